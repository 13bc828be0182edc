//! The file of rejected events, and the older one that it replaced last.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    files::{self, DurableFile},
    wire::RejectedEvent,
};

/// Bytes that are copied at a time.
const BLOCK: usize = 64 << 10;

pub(super) struct RejectedFile {
    path: PathBuf,
    /// Where the file is moved when it has half of the bytes.
    older: PathBuf,
    /// Of both files; 0 if nothing is recorded.
    max_bytes: u64,
    /// Locked while the files are exchanged, and not while they are written or read.
    sizes: Mutex<Sizes>,
}

#[derive(Clone, Copy, Default)]
struct Sizes {
    current: Extent,
    older: Extent,
}

/// The part of a file that consists of whole lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extent {
    bytes: u64,
    /// The number of lines that are events.
    events: u64,
}

/// A part of the recorded events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Of all recorded events.
    pub total: u64,
    /// Newest first.
    pub items: Vec<RejectedEvent>,
}

impl RejectedFile {
    /// Opens the files in a folder, and shortens them to the maximum. If they cannot be read, they are read again when the next event
    /// is appended.
    pub(super) fn open(folder: &Path, max_bytes: u64) -> Self {
        let (path, older) = (folder.join("rejected.ndjson"), folder.join("rejected.1.ndjson"));
        let measured = |path: &Path| {
            let shortened = if max_bytes > 0 { shorten(path, max_bytes / 2) } else { Ok(()) };
            shortened.and_then(|()| measure(path)).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "rejected events of earlier runs cannot be read");
                Extent::default()
            })
        };
        let sizes = Mutex::new(Sizes { current: measured(&path), older: measured(&older) });
        Self { path, older, max_bytes, sizes }
    }

    pub(super) const fn is_recording(&self) -> bool {
        self.max_bytes > 0
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an event's line, with its line break. To be called by one thread. What is left of a failed attempt is removed by
    /// the next one.
    pub(super) fn append(&self, line: &[u8]) -> io::Result<()> {
        let half = self.max_bytes / 2;
        let length = line.len() as u64;
        if length > half {
            return Err(io::Error::other(format!("{length} bytes of an event in a file of {half} bytes")));
        }
        let mut current = self.sizes().current;
        let mut file = DurableFile::open_or_create(&self.path)?;
        if file.length()? != current.bytes {
            current = measure(&self.path)?;
            file.truncate(current.bytes)?;
        }
        if current.bytes + length > half {
            file = self.rotate(current)?;
            current = Extent::default();
        }
        file.write(&[line])?;
        self.sizes().current = Extent { bytes: current.bytes + length, events: current.events + 1 };
        Ok(())
    }

    fn rotate(&self, current: Extent) -> io::Result<DurableFile> {
        let mut sizes = self.sizes();
        files::rename(&self.path, &self.older)?;
        *sizes = Sizes { current: Extent::default(), older: current };
        drop(sizes);
        DurableFile::open_or_create(&self.path)
    }

    /// Returns `limit` events behind the `from` newest, fewer if they have more than `max_bytes` bytes, but at least one. It reads
    /// the files, which takes a while.
    pub(super) fn list(&self, from: u64, limit: usize, max_bytes: usize) -> io::Result<Recorded> {
        let (parts, total) = {
            let sizes = self.sizes();
            let current = files::open_if_exists(&self.path)?.map(|file| (file, sizes.current));
            let older = files::open_if_exists(&self.older)?.map(|file| (file, sizes.older));
            let parts: Vec<_> = current.into_iter().chain(older).collect();
            let total = parts.iter().map(|(_, extent)| extent.events).sum();
            (parts, total)
        };
        let mut listed = Listed { items: Vec::new(), skip: from, limit, bytes: max_bytes };
        for (file, extent) in parts {
            if listed.is_full() || listed.read(file, extent)? == Part::Cut {
                break;
            }
        }
        Ok(Recorded { total, items: listed.items })
    }

    fn sizes(&self) -> MutexGuard<'_, Sizes> {
        self.sizes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A list in the making.
struct Listed {
    items: Vec<RejectedEvent>,
    /// The number of newer events that are not to be listed.
    skip: u64,
    limit: usize,
    /// Bytes of lines that may still be listed.
    bytes: usize,
}

#[derive(PartialEq, Eq)]
enum Part {
    Whole,
    /// Older events of the file were left out.
    Cut,
}

impl Listed {
    fn is_full(&self) -> bool {
        self.items.len() >= self.limit
    }

    /// Adds the events of a file, which are older than those before.
    fn read(&mut self, file: File, extent: Extent) -> io::Result<Part> {
        if self.skip >= extent.events {
            self.skip -= extent.events;
            return Ok(Part::Whole);
        }
        let end = extent.events - self.skip;
        self.skip = 0;
        let begin = end.saturating_sub((self.limit - self.items.len()) as u64);
        let mut kept = VecDeque::new();
        let (mut number, mut bytes, mut part) = (0, 0, Part::Whole);
        for_each_line(BufReader::new(file.take(extent.bytes)), |line| {
            let Some(event) = event_in(line) else { return };
            number += 1;
            if (begin + 1..=end).contains(&number) {
                kept.push_back((event, line.len()));
                bytes += line.len();
            }
            while bytes > self.bytes && kept.len() + self.items.len() > 1 {
                bytes -= kept.pop_front().map_or(0, |(_, length)| length);
                part = Part::Cut;
            }
        })?;
        self.bytes = self.bytes.saturating_sub(bytes);
        self.items.extend(kept.into_iter().rev().map(|(event, _)| event));
        Ok(part)
    }
}

/// Returns the event of a line, unless the line was torn by a crash or is of another version.
fn event_in(line: &[u8]) -> Option<RejectedEvent> {
    serde_json::from_slice(line).ok()
}

fn measure(path: &Path) -> io::Result<Extent> {
    let mut extent = Extent::default();
    if let Some(file) = files::open_if_exists(path)? {
        for_each_line(BufReader::new(file), |line| {
            extent.bytes += line.len() as u64;
            extent.events += u64::from(event_in(line).is_some());
        })?;
    }
    Ok(extent)
}

/// Calls a function with each line that ends in a line break.
fn for_each_line(mut file: impl io::BufRead, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
        each(&line);
        line.clear();
    }
    Ok(())
}

/// Removes the first lines of a file that has more than `max_bytes` bytes.
fn shorten(path: &Path, max_bytes: u64) -> io::Result<()> {
    let Some(mut file) = files::open_if_exists(path)? else { return Ok(()) };
    let excess = file.metadata()?.len().saturating_sub(max_bytes);
    if excess == 0 {
        return Ok(());
    }
    // The rest of the line that the maximum begins in; none if a line begins there.
    file.seek(SeekFrom::Start(excess - 1))?;
    let mut file = BufReader::new(file);
    file.skip_until(b'\n')?;
    files::replace_with(path, |shorter| {
        let mut block = vec![0; BLOCK];
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                return Ok(());
            }
            shorter.write(&[block.get(..read).unwrap_or_default()])?;
        }
    })
}
