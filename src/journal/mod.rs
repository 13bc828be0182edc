//! The writer's durable queue: records of opaque bytes, on disk before they are acknowledged. Every shipper reads it at
//! its own position; records that the last shipper has passed are removed.
//!
//! # Format 1
//!
//! The journal is a folder of segments. A segment is named after the position of its first record, in 20 digits, with
//! the extension `journal`. Positions count the bytes of records, headers included, since the journal's beginning; they
//! never decrease. All numbers are big-endian.
//!
//! ```text
//! segment:  "ANNJRNL1" | base position u64 | snapshot length u32 | CRC-32C of the 20 bytes before and of the snapshot u32
//!           | snapshot | record*
//! record:   "ANRC" | payload length u32 | position u64 | CRC-32C of the 12 bytes before and of the payload u32 | payload
//! ```
//!
//! The snapshot holds what the owner of the journal needs to interpret the segment without the earlier ones.
//!
//! # Guarantees
//!
//! - A record is durable when [`Journal::append`] has returned: its data is synced, and so was the folder when the
//!   segment was created. A failed sync closes the journal, because the contents of the disk are then unknown.
//! - Readers see appended records only once they are published. A failure removes all unpublished records, so that
//!   records which belong together are either all present or all absent.
//! - One append writes one record, so a crash can damage only the last record of the newest segment. Opening cuts such
//!   a record off. Nothing else is ever cut, overwritten or given another position: a segment that is damaged is kept
//!   under its name with the suffix `.damaged`, and the records behind the damage, or behind a missing segment, remain.
//! - No position is used twice. If the journal ends before a position that was acknowledged, it continues from there.
//! - The journal does not use a full disk up to its last block: it appends only while it holds a reserve file beside
//!   the segments. After a failure it releases the reserve, so that there is room to save the stores' progress, and
//!   begins a new segment, so that the previous one can be removed.
//! - The bytes on disk are bounded: an append beyond the bound is refused before anything is written.

mod reader;
mod reserve;
mod segment;

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

pub use reader::{Reader, Record};
use reserve::Reserve;
use segment::{RECORD_HEADER, Scan, SegmentName, record_header};

use crate::files::{self, DurableFile};

/// An offset in bytes since the journal's beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Maximum size of all segments together.
    pub max_bytes: u64,
    /// A segment that reaches this size is closed and a new one begun.
    pub segment_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Damaged { path: PathBuf, offset: u64, reason: String },
    #[error("the journal holds {used} of at most {limit} bytes")]
    Full { used: u64, limit: u64 },
    #[error("the journal was closed by an earlier failure: {0}")]
    Closed(String),
    #[error("the journal needs a new segment first")]
    SegmentDue,
}

impl JournalError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// The result of opening a journal.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The snapshot of the newest segment; empty if the journal is new.
    pub snapshot: Vec<u8>,
    /// The sound records of the newest segment.
    pub payloads: Vec<Vec<u8>>,
    /// Bytes cut off the newest segment because they are no sound record.
    pub cut: u64,
    /// Whether the newest segment was damaged or cut.
    pub is_end_damaged: bool,
    /// The end of the records, before the journal was moved on to the acknowledged position.
    pub end: Position,
    /// What is missing or damaged, besides what was cut off.
    pub damage: Vec<Damage>,
}

/// A part of the journal that is gone. That does no harm if every store had confirmed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: the journal lacks the positions {} to {}", path.display(), from.0, until.0)]
pub struct Damage {
    /// The segment, or the one before the missing ones.
    pub path: PathBuf,
    pub from: Position,
    pub until: Position,
}

/// State shared by the journal and its readers.
pub(crate) struct Shared {
    folder: PathBuf,
    segments: Mutex<VecDeque<SegmentName>>,
    /// All records before this position may be removed.
    passed: AtomicU64,
    /// The end of the published records.
    end: watch::Sender<Position>,
}

impl Shared {
    fn segments(&self) -> std::sync::MutexGuard<'_, VecDeque<SegmentName>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The position of the oldest record that still exists.
    fn begin(&self) -> Position {
        self.segments().front().map_or(Position(0), |segment| segment.base)
    }

    /// Removes the segments that end at or before `passed`, except the newest, oldest first. A segment that cannot be
    /// removed stays known, so that the next call tries again.
    fn trim(&self) -> Result<(), JournalError> {
        let mut removed = None;
        while let Some(oldest) = self.oldest_passed() {
            let path = oldest.path(&self.folder);
            files::remove(&path).map_err(JournalError::io(&path))?;
            // Another thread may have removed it at the same time.
            self.segments().pop_front_if(|front| *front == oldest);
            removed = Some(path);
        }
        // If it fails, a power cut may bring the files back: the next start removes them again.
        removed.map_or(Ok(()), |path| files::sync_parent(&path).map_err(JournalError::io(&self.folder)))
    }

    fn oldest_passed(&self) -> Option<SegmentName> {
        let passed = Position(self.passed.load(Ordering::Relaxed));
        let segments = self.segments();
        segments.get(1).filter(|second| second.base <= passed)?;
        segments.front().copied()
    }
}

/// A handle for everything but appending; cheap to clone.
#[derive(Clone)]
pub struct JournalHandle(Arc<Shared>);

impl JournalHandle {
    /// A reader that begins at `position`, or at the journal's beginning if that is later.
    pub fn reader(&self, position: Position) -> Reader {
        Reader::new(Arc::clone(&self.0), position.max(self.0.begin()))
    }

    /// The position of the oldest record that still exists.
    pub fn begin(&self) -> Position {
        self.0.begin()
    }

    /// The end of the published records.
    pub fn end(&self) -> Position {
        *self.0.end.borrow()
    }

    /// Notifies of published records.
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.0.end.subscribe()
    }

    /// Bytes on disk.
    pub fn used(&self) -> u64 {
        self.end().0.saturating_sub(self.0.begin().0)
    }

    /// Declares the records before `position` unneeded, and all others needed.
    pub fn pass(&self, position: Position) {
        self.0.passed.store(position.0, Ordering::Relaxed);
    }

    /// Removes the segments without needed records, except the newest.
    pub fn trim(&self) -> Result<(), JournalError> {
        self.0.trim()
    }
}

/// The only writer of the journal.
pub struct Journal {
    shared: Arc<Shared>,
    options: Options,
    file: DurableFile,
    /// Offset of the segment's first record in the file.
    records_at: u64,
    base: Position,
    /// The end of the durable records, published or not.
    end: Position,
    reserve: Reserve,
    /// Whether nothing may be appended before a new segment is begun: the file of one may exist already, or the end is
    /// not the end of the newest segment.
    is_segment_due: bool,
    closed: Option<String>,
}

impl Journal {
    /// Opens the journal in this folder, or creates one. All records before `acknowledged` were once durable: if the
    /// journal ends earlier, they were lost, and it continues at that position.
    pub fn open(folder: &Path, options: Options, acknowledged: Position) -> Result<(Self, Recovered), JournalError> {
        files::create_folder(folder).map_err(JournalError::io(folder))?;
        let reserve = Reserve::free(folder);
        let mut names = segment::list(folder)?;
        segment::remove_unused(folder, &mut names)?;
        let mut recovered = Recovered::default();
        let (file, records_at, base) = match names.back() {
            Some(name) => {
                let path = name.path(folder);
                let bytes = files::read(&path).map_err(JournalError::io(&path))?;
                let scan = Scan::of(&bytes, name.base, &path)?;
                let valid_length = scan.records_at + (scan.end.0 - name.base.0);
                recovered.cut = bytes.len() as u64 - valid_length;
                if !scan.damage.is_empty() || (recovered.cut > 0 && scan.end < acknowledged) {
                    segment::keep_damaged(&path).map_err(JournalError::io(&path))?;
                }
                let file = DurableFile::open(&path).map_err(JournalError::io(&path))?;
                if recovered.cut > 0 {
                    file.truncate(valid_length).map_err(JournalError::io(&path))?;
                }
                recovered.snapshot = scan.snapshot;
                recovered.payloads = scan.payloads;
                recovered.end = scan.end;
                recovered.is_end_damaged = recovered.cut > 0 || !scan.damage.is_empty();
                recovered.damage = scan.damage;
                (file, scan.records_at, name.base)
            }
            None => {
                let name = SegmentName { base: acknowledged };
                let (file, records_at) = create_segment(folder, name, &[])?;
                names.push_back(name);
                (file, records_at, acknowledged)
            }
        };
        let end = recovered.end.max(acknowledged);
        let is_segment_due = recovered.end < end || !recovered.damage.is_empty();
        recovered.damage.extend(segment::holes(folder, &names)?);
        let (sender, _) = watch::channel(end);
        let (segments, passed) = (Mutex::new(names), AtomicU64::new(0));
        let shared = Shared { folder: folder.to_owned(), segments, passed, end: sender };
        let shared = Arc::new(shared);
        let journal = Self { shared, options, file, records_at, base, end, reserve, is_segment_due, closed: None };
        Ok((journal, recovered))
    }

    pub fn handle(&self) -> JournalHandle {
        JournalHandle(Arc::clone(&self.shared))
    }

    /// Whether the next append has to go to a new segment. Unpublished records stay together in one segment.
    pub fn is_segment_due(&self) -> bool {
        let is_full = self.end.0 - self.base.0 >= self.options.segment_bytes;
        self.is_segment_due || (is_full && self.end == self.published())
    }

    /// Begins a new segment. `snapshot` is the owner's state at this position.
    pub fn begin_segment(&mut self, snapshot: &[u8]) -> Result<(), JournalError> {
        self.check_open()?;
        let name = SegmentName { base: self.end };
        // If this fails, the file may exist all the same. Records behind its position in the segment before would make
        // both worthless.
        self.is_segment_due = true;
        let (file, records_at) = create_segment(&self.shared.folder, name, snapshot)?;
        self.is_segment_due = false;
        (self.file, self.records_at, self.base) = (file, records_at, self.end);
        let mut segments = self.shared.segments();
        // A segment without records is replaced by the new one, which has its name.
        if segments.back() != Some(&name) {
            segments.push_back(name);
        }
        Ok(())
    }

    /// Bytes that may still be appended, headers included.
    pub fn room(&self) -> u64 {
        self.options.max_bytes.saturating_sub(self.used())
    }

    fn used(&self) -> u64 {
        self.end.0.saturating_sub(self.shared.begin().0)
    }

    fn published(&self) -> Position {
        *self.shared.end.borrow()
    }

    /// Makes the newest segment removable too if none of it is needed. `snapshot` returns the owner's state at the end.
    pub fn make_room(&mut self, snapshot: impl FnOnce() -> Vec<u8>) -> Result<(), JournalError> {
        let is_passed = self.shared.passed.load(Ordering::Relaxed) >= self.end.0;
        if is_passed && self.end > self.base {
            self.begin_segment(&snapshot())?;
            self.shared.trim()?;
        }
        Ok(())
    }

    pub fn options(&self) -> Options {
        self.options
    }

    /// Writes one record and returns once it is durable; readers see it after [`Journal::publish`]. On failure, all
    /// unpublished records are removed.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        self.check_open()?;
        if self.is_segment_due {
            return Err(JournalError::SegmentDue);
        }
        let appended = self.write(payload);
        if let Err(cause) = &appended {
            self.roll_back(cause);
        }
        appended
    }

    fn write(&mut self, payload: &[u8]) -> Result<(), JournalError> {
        let length = (RECORD_HEADER + payload.len()) as u64;
        if length > self.room() {
            return Err(JournalError::Full { used: self.used(), limit: self.options.max_bytes });
        }
        self.reserve.hold().map_err(JournalError::io(self.reserve.path()))?;
        let header = record_header(self.end, payload);
        self.file.write(&[&header, payload]).map_err(JournalError::io(self.file.path()))?;
        if let Err(source) = self.file.sync() {
            self.closed = Some(format!("{}: {source}", self.file.path().display()));
            return Err(JournalError::io(self.file.path())(source));
        }
        self.end.0 += length;
        Ok(())
    }

    /// Makes all appended records visible to readers and returns their end.
    pub fn publish(&mut self) -> Position {
        self.shared.end.send_replace(self.end);
        self.end
    }

    /// Removes the unpublished records. If that fails the journal closes, because the contents of the file are unknown.
    fn roll_back(&mut self, cause: &JournalError) {
        self.end = self.published();
        if let Err(error) = self.file.truncate(self.valid_length()) {
            self.closed.get_or_insert_with(|| format!("{cause}, and then {error}"));
        }
    }

    /// Length of the newest segment's file up to the end of the journal.
    fn valid_length(&self) -> u64 {
        self.records_at + (self.end.0 - self.base.0)
    }

    /// Frees as much disk space as it can after a failed append. `snapshot` is the owner's state at the end. The next
    /// append shows whether that was enough.
    pub fn free_disk_space(&mut self, snapshot: &[u8]) {
        self.reserve.release();
        if self.end > self.base
            && let Err(error) = self.begin_segment(snapshot)
        {
            tracing::warn!(%error, "no new journal segment can be created");
        }
    }

    /// Whether nothing can be appended until the journal is opened again.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    fn check_open(&self) -> Result<(), JournalError> {
        self.closed.as_ref().map_or(Ok(()), |reason| Err(JournalError::Closed(reason.clone())))
    }
}

/// Creates the segment's file atomically.
fn create_segment(folder: &Path, name: SegmentName, snapshot: &[u8]) -> Result<(DurableFile, u64), JournalError> {
    let path = name.path(folder);
    let bytes = [segment::segment_header(name.base, snapshot).as_slice(), snapshot].concat();
    let create = || {
        files::replace(&path, &bytes)?;
        DurableFile::open(&path)
    };
    let file = create().map_err(JournalError::io(&path))?;
    Ok((file, bytes.len() as u64))
}

#[cfg(test)]
mod tests;
