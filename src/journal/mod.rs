//! The writer's durable queue: records of opaque bytes, on disk before they are acknowledged, read by every shipper from
//! its own place, removed when the last of them has passed.
//!
//! # Format 1
//!
//! The journal is a folder of segments. A segment is named after the position of its first record, in 20 digits, with the
//! extension `journal`. Positions count the bytes of records, headers included, since the journal's beginning; they never
//! go back. All numbers are big-endian.
//!
//! ```text
//! segment:  "ANNJRNL1" | base position u64 | snapshot length u32 | CRC-32C of the 20 bytes before and of the snapshot u32
//!           | snapshot | record*
//! record:   "ANRC" | payload length u32 | position u64 | CRC-32C of the 12 bytes before and of the payload u32 | payload
//! ```
//!
//! The snapshot is what the owner of the journal needs to understand the segment without those before it.
//!
//! # Promises
//!
//! - A record is durable when [`Journal::append`] has returned: the data was synced, and so was the folder when the segment
//!   was made. A failed sync closes the journal, because what the disk holds is then unknown.
//! - One append writes one record, so a crash can damage the last record of the newest segment only. Opening cuts such a
//!   record off: it was never acknowledged. Damage anywhere else is an error that names file and offset.
//! - Where the disk is full, what is left is not used up to the last block: appending goes on only while a reserve can be
//!   held beside the segments. After a failure it is let go, so that there is room to note what stores have confirmed, and
//!   a new segment is begun, so that the one before can be removed.
//! - The bytes on disk are bounded: an append beyond the bound is refused before anything is written.

mod reader;
mod reserve;
mod segment;

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

pub use reader::{Reader, Record};
use reserve::Reserve;
use segment::{RECORD_HEADER, Scan, SegmentName, record_header};

/// A place in the journal, in bytes since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// All segments together.
    pub max_bytes: u64,
    /// A segment that has reached this size is followed by a new one.
    pub segment_bytes: u64,
}

/// Why the journal cannot be opened, read or written.
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
}

impl JournalError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// What opening found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The snapshot of the newest segment; empty if the journal is new.
    pub snapshot: Vec<u8>,
    /// The payloads of the newest segment.
    pub payloads: Vec<Vec<u8>>,
    /// The bytes that were cut off because they were never acknowledged.
    pub cut: u64,
}

/// The journal as its readers see it.
pub(crate) struct Shared {
    folder: PathBuf,
    segments: Mutex<VecDeque<SegmentName>>,
    end: watch::Sender<Position>,
}

impl Shared {
    fn segments(&self) -> std::sync::MutexGuard<'_, VecDeque<SegmentName>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the oldest record that is still there begins.
    fn begin(&self) -> Position {
        self.segments().front().map_or(Position(0), |segment| segment.base)
    }
}

/// Everything about the journal but appending to it; cheap to clone.
#[derive(Clone)]
pub struct JournalHandle(Arc<Shared>);

impl JournalHandle {
    /// A reader that begins at `position`, or where the journal begins if that is later.
    pub fn reader(&self, position: Position) -> Reader {
        Reader::new(Arc::clone(&self.0), position.max(self.0.begin()))
    }

    /// Where the oldest record that is still there begins.
    pub fn begin(&self) -> Position {
        self.0.begin()
    }

    /// Where the durable records end.
    pub fn end(&self) -> Position {
        *self.0.end.borrow()
    }

    /// Tells of every append.
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.0.end.subscribe()
    }

    /// Bytes on disk.
    pub fn used(&self) -> u64 {
        self.end().0.saturating_sub(self.0.begin().0)
    }

    /// Removes the segments that end at or before `position`, but never the newest.
    pub fn trim(&self, position: Position) -> Result<(), JournalError> {
        let mut removed = Vec::new();
        {
            let mut segments = self.0.segments();
            while segments.get(1).is_some_and(|second| second.base <= position) {
                removed.extend(segments.pop_front());
            }
        }
        for segment in &removed {
            let path = segment.path(&self.0.folder);
            fs::remove_file(&path).map_err(JournalError::io(&path))?;
        }
        if !removed.is_empty() {
            crate::files::sync_parent(&self.0.folder.join("x")).map_err(JournalError::io(&self.0.folder))?;
        }
        Ok(())
    }
}

/// The appending end; there is one.
pub struct Journal {
    shared: Arc<Shared>,
    options: Options,
    file: File,
    path: PathBuf,
    /// Where the records of the segment begin in the file.
    records_at: u64,
    base: Position,
    end: Position,
    reserve: Reserve,
    closed: Option<String>,
}

impl Journal {
    /// Opens the journal in this folder, or begins one.
    pub fn open(folder: &Path, options: Options) -> Result<(Self, Recovered), JournalError> {
        fs::create_dir_all(folder).map_err(JournalError::io(folder))?;
        let reserve = Reserve::free(folder);
        let mut names = segment::list(folder)?;
        let mut recovered = Recovered::default();
        let (file, path, records_at, base, end) = match names.back() {
            Some(name) => {
                let path = name.path(folder);
                let bytes = fs::read(&path).map_err(JournalError::io(&path))?;
                let scan = Scan::of(&bytes, name.base, &path)?;
                let file = OpenOptions::new().append(true).open(&path).map_err(JournalError::io(&path))?;
                let sound = scan.records_at + (scan.end.0 - name.base.0);
                recovered.cut = bytes.len() as u64 - sound;
                if recovered.cut > 0 {
                    file.set_len(sound).and_then(|()| file.sync_all()).map_err(JournalError::io(&path))?;
                }
                recovered.snapshot = scan.snapshot;
                recovered.payloads = scan.payloads;
                (file, path, scan.records_at, name.base, scan.end)
            }
            None => {
                let name = SegmentName { base: Position(0) };
                let (file, path, records_at) = create_segment(folder, name, &[])?;
                names.push_back(name);
                (file, path, records_at, Position(0), Position(0))
            }
        };
        segment::check_joints(folder, &names)?;
        let (sender, _) = watch::channel(end);
        let shared = Shared { folder: folder.to_owned(), segments: Mutex::new(names), end: sender };
        let shared = Arc::new(shared);
        let journal = Self { shared, options, file, path, records_at, base, end, reserve, closed: None };
        Ok((journal, recovered))
    }

    pub fn handle(&self) -> JournalHandle {
        JournalHandle(Arc::clone(&self.shared))
    }

    /// Whether the next append should go to a new segment.
    pub fn is_segment_full(&self) -> bool {
        self.end.0 - self.base.0 >= self.options.segment_bytes
    }

    /// Begins a new segment. `snapshot` is what is to be known at this place.
    pub fn begin_segment(&mut self, snapshot: &[u8]) -> Result<(), JournalError> {
        self.check_open()?;
        let name = SegmentName { base: self.end };
        let (file, path, records_at) = create_segment(&self.shared.folder, name, snapshot)?;
        (self.file, self.path, self.records_at, self.base) = (file, path, records_at, self.end);
        let mut segments = self.shared.segments();
        // A segment without records is replaced by the new one, which has its name.
        if segments.back() != Some(&name) {
            segments.push_back(name);
        }
        Ok(())
    }

    /// Bytes that may still be appended, headers included.
    pub fn room(&self) -> u64 {
        self.options.max_bytes.saturating_sub(self.handle().used())
    }

    pub fn options(&self) -> Options {
        self.options
    }

    /// Writes one record and returns once it is durable: its beginning and its end.
    pub fn append(&mut self, payload: &[u8]) -> Result<(Position, Position), JournalError> {
        self.check_open()?;
        let length = (RECORD_HEADER + payload.len()) as u64;
        if length > self.room() {
            return Err(JournalError::Full { used: self.handle().used(), limit: self.options.max_bytes });
        }
        self.reserve.hold().map_err(JournalError::io(self.reserve.path()))?;
        let begin = self.end;
        let header = record_header(begin, payload);
        if let Err(source) = write_both(&mut self.file, &header, payload) {
            self.undo_write(&source);
            return Err(JournalError::Io { path: self.path.clone(), source });
        }
        if let Err(source) = self.file.sync_data() {
            self.closed = Some(format!("{}: {source}", self.path.display()));
            // Nobody was told that it is there; if this succeeds, a later start does not find it either.
            let _ = self.file.set_len(self.sound_length());
            return Err(JournalError::Io { path: self.path.clone(), source });
        }
        self.end = Position(begin.0 + length);
        self.shared.end.send_replace(self.end);
        Ok((begin, self.end))
    }

    /// Takes back a write that came half through, as on a full disk; if that fails too, nothing more can be appended.
    fn undo_write(&mut self, cause: &io::Error) {
        if let Err(error) = self.file.set_len(self.sound_length()) {
            self.closed = Some(format!("{}: {cause}, and then {error}", self.path.display()));
        }
    }

    /// Of the newest segment's file, without what is not durable.
    fn sound_length(&self) -> u64 {
        self.records_at + (self.end.0 - self.base.0)
    }

    /// After an append has failed: makes it possible that the disk has room again. `snapshot` is what is to be known at the
    /// end. Whether that works or not, the next append will tell.
    pub fn give_way(&mut self, snapshot: &[u8]) {
        self.reserve.let_go();
        if self.end > self.base
            && let Err(error) = self.begin_segment(snapshot)
        {
            tracing::warn!(%error, "no new segment of the journal can be begun");
        }
    }

    /// Whether nothing can be appended any more until the journal is opened again.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    fn check_open(&self) -> Result<(), JournalError> {
        self.closed.as_ref().map_or(Ok(()), |reason| Err(JournalError::Closed(reason.clone())))
    }
}

/// A segment appears under its name whole or not at all.
fn create_segment(folder: &Path, name: SegmentName, snapshot: &[u8]) -> Result<(File, PathBuf, u64), JournalError> {
    let path = name.path(folder);
    let bytes = [segment::segment_header(name.base, snapshot).as_slice(), snapshot].concat();
    let create = || {
        crate::files::replace(&path, &bytes)?;
        OpenOptions::new().append(true).open(&path)
    };
    let file = create().map_err(JournalError::io(&path))?;
    Ok((file, path.clone(), bytes.len() as u64))
}

fn write_both(file: &mut File, header: &[u8], payload: &[u8]) -> io::Result<()> {
    let written = file.write_vectored(&[IoSlice::new(header), IoSlice::new(payload)])?;
    match written.checked_sub(header.len()) {
        Some(of_payload) => file.write_all(payload.get(of_payload..).unwrap_or_default()),
        None => {
            file.write_all(header.get(written..).unwrap_or_default())?;
            file.write_all(payload)
        }
    }
}

#[cfg(test)]
mod tests;
