//! Reads records from any position, from disk; at the tail they come from the page cache.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path, sync::Arc};

use bytes::Bytes;

use super::{
    JournalError, Position, Shared,
    segment::{self, RECORD_HEADER, SegmentName, announced_length, parse_record},
};
use crate::{buffers::Pool, files};

#[derive(Clone, Debug)]
pub struct Record {
    pub begin: Position,
    pub end: Position,
    pub payload: Bytes,
}

pub struct Reader {
    shared: Arc<Shared>,
    position: Position,
    open: Option<OpenSegment>,
    pool: Pool,
}

struct OpenSegment {
    name: SegmentName,
    file: File,
    records_at: u64,
    /// The end of the file when it was last determined.
    end: Position,
}

impl OpenSegment {
    fn open(name: SegmentName, shared: &Shared) -> Result<Self, JournalError> {
        let path = name.path(&shared.folder);
        let file = File::open(&path).map_err(JournalError::io(&path))?;
        let records_at = segment::records_at(&file, name.base).map_err(|source| read_error(&path, 0, source))?;
        let reason = || "its header is damaged, and no record of it is sound".to_owned();
        let records_at = records_at.ok_or_else(|| JournalError::Damaged { path, offset: 0, reason: reason() })?;
        Ok(Self { name, file, records_at, end: name.base })
    }

    /// Where the position is in the file.
    fn offset(&self, position: Position) -> u64 {
        self.records_at + (position.0 - self.name.base.0)
    }

    /// Whether the file has bytes up to this position.
    fn reaches(&mut self, position: Position) -> io::Result<bool> {
        if position > self.end {
            let length = self.file.metadata()?.len();
            self.end = Position(self.name.base.0 + length.saturating_sub(self.records_at));
        }
        Ok(position <= self.end)
    }
}

/// A file that is too short was damaged; other errors may pass.
fn read_error(path: &Path, offset: u64, source: io::Error) -> JournalError {
    let path = path.to_owned();
    if source.kind() == io::ErrorKind::UnexpectedEof {
        return JournalError::Damaged { path, offset, reason: "the file ends too early".to_owned() };
    }
    JournalError::Io { path, source }
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, position: Position) -> Self {
        Self { shared, position, open: None, pool: Pool::default() }
    }

    /// Where the next record begins.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns the next records, in order: as many as are durable and fit into `max_bytes`, but at least one if there
    /// is any. Blocks on the disk.
    pub fn read(&mut self, max_bytes: usize) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        let end = *self.shared.end.borrow();
        while self.position < end {
            let room = if records.is_empty() { usize::MAX } else { max_bytes.saturating_sub(bytes) };
            match self.read_next(room) {
                Ok(Some(record)) => {
                    bytes += (record.end.0 - record.begin.0) as usize;
                    records.push(record);
                }
                Ok(None) => break,
                Err(error) if records.is_empty() => return Err(error),
                // The records read so far must not be lost. If the failure persists, the next read returns it.
                Err(_) => break,
            }
        }
        if self.position == end {
            // It is unknown when there will be more to read, and an open file would keep its disk space after it is
            // trimmed.
            self.open = None;
        }
        Ok(records)
    }

    /// Returns the next record, unless it is longer than `room`. On failure the position is unchanged.
    fn read_next(&mut self, room: usize) -> Result<Option<Record>, JournalError> {
        self.segment()?;
        if self.position >= *self.shared.end.borrow() {
            return Ok(None);
        }
        let length = self.peek_length()?;
        if length > room { Ok(None) } else { self.read_record(length).map(Some) }
    }

    fn peek_length(&self) -> Result<usize, JournalError> {
        let mut header = [0; RECORD_HEADER];
        self.read_at_position(&mut header)?;
        Ok(RECORD_HEADER + announced_length(&header))
    }

    fn read_record(&mut self, length: usize) -> Result<Record, JournalError> {
        let begin = self.position;
        let end = Position(begin.0 + length as u64);
        let reaches = self.open.as_mut().map_or(Ok(false), |open| open.reaches(end));
        if !reaches.map_err(|source| self.read_error(source))? {
            return Err(self.damaged("the record is cut short"));
        }
        let mut buffer = self.pool.filled(length);
        self.read_at_position(&mut buffer.bytes)?;
        if let Err(reason) = parse_record(&buffer.bytes, begin) {
            return Err(self.damaged(reason));
        }
        self.position = end;
        let payload = Bytes::from_owner(buffer).slice(RECORD_HEADER..);
        Ok(Record { begin, end, payload })
    }

    /// Reads from the open segment.
    fn read_at_position(&self, bytes: &mut [u8]) -> Result<(), JournalError> {
        let Some(open) = &self.open else { return Err(self.damaged("no segment is open")) };
        open.file.read_exact_at(bytes, open.offset(self.position)).map_err(|source| self.read_error(source))
    }

    fn damaged(&self, reason: &str) -> JournalError {
        let (path, offset) = self.file_offset();
        JournalError::Damaged { path, offset, reason: reason.to_owned() }
    }

    fn read_error(&self, source: io::Error) -> JournalError {
        let (path, offset) = self.file_offset();
        read_error(&path, offset, source)
    }

    /// Goes on to the next sound record behind damage that a read has reported. Keeps a copy of the damaged segment.
    pub fn skip_damage(&mut self) -> Result<(), JournalError> {
        let Ok((name, next)) = self.segment_names() else {
            self.position = self.shared.begin();
            return Ok(());
        };
        let path = name.path(&self.shared.folder);
        let records_at = self.segment().map_or(usize::MAX, |open| open.records_at as usize);
        let bytes = files::read(&path).map_err(JournalError::io(&path))?;
        segment::keep_damaged(&path).map_err(JournalError::io(&path))?;
        let records = bytes.get(records_at..).unwrap_or_default();
        let end = *self.shared.end.borrow();
        let sound = segment::next_record(records, name.base, Position(self.position.0 + 1));
        self.position = sound.or(next.map(|next| next.base)).unwrap_or(end).min(end);
        self.open = None;
        Ok(())
    }

    /// File and offset of the position.
    fn file_offset(&self) -> (std::path::PathBuf, u64) {
        match &self.open {
            Some(open) => (open.name.path(&self.shared.folder), open.offset(self.position)),
            None => (self.shared.folder.clone(), 0),
        }
    }

    /// The segment that contains the position. If its file has no record there and another one follows, the records in
    /// between are gone, and the position moves on.
    fn segment(&mut self) -> Result<&OpenSegment, JournalError> {
        loop {
            let (name, next) = self.segment_names()?;
            let mut open = match self.open.take() {
                Some(open) if open.name == name => open,
                _ => OpenSegment::open(name, &self.shared)?,
            };
            let reaches = open
                .reaches(Position(self.position.0 + 1))
                .map_err(JournalError::io(&name.path(&self.shared.folder)))?;
            match next {
                Some(next) if !reaches => self.position = next.base,
                _ => return Ok(self.open.insert(open)),
            }
        }
    }

    /// The segment that contains the position, and the one behind it.
    fn segment_names(&self) -> Result<(SegmentName, Option<SegmentName>), JournalError> {
        let segments = self.shared.segments();
        let after = segments.partition_point(|segment| segment.base <= self.position);
        match after.checked_sub(1).and_then(|at| segments.get(at)) {
            Some(name) => Ok((*name, segments.get(after).copied())),
            None => {
                let reason = format!("position {} was removed before it was read", self.position.0);
                Err(JournalError::Damaged { path: self.shared.folder.clone(), offset: 0, reason })
            }
        }
    }
}
