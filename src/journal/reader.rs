//! Reads records from any position, from disk; at the tail they come from the page cache.

use std::{fs::File, os::unix::fs::FileExt as _, sync::Arc};

use bytes::Bytes;

use super::{
    JournalError, Position, Shared,
    segment::{RECORD_HEADER, SEGMENT_HEADER, SegmentName, announced_length, parse_record},
};
use crate::buffers::Pool;

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
        let length = self.peek_length()?;
        if length > room { Ok(None) } else { self.read_record(length).map(Some) }
    }

    fn peek_length(&mut self) -> Result<usize, JournalError> {
        let mut header = [0; RECORD_HEADER];
        self.read_at_position(&mut header)?;
        Ok(RECORD_HEADER + announced_length(&header))
    }

    fn read_record(&mut self, length: usize) -> Result<Record, JournalError> {
        let begin = self.position;
        let end = *self.shared.end.borrow();
        let bounded = length.min(usize::try_from(end.0 - begin.0).unwrap_or(usize::MAX));
        let mut buffer = self.pool.filled(bounded);
        self.read_at_position(&mut buffer.bytes)?;
        if let Err(reason) = parse_record(&buffer.bytes, begin) {
            let (path, offset) = self.file_offset();
            return Err(JournalError::Damaged { path, offset, reason: reason.to_owned() });
        }
        self.position = Position(begin.0 + length as u64);
        let payload = Bytes::from_owner(buffer).slice(RECORD_HEADER..);
        Ok(Record { begin, end: self.position, payload })
    }

    fn read_at_position(&mut self, bytes: &mut [u8]) -> Result<(), JournalError> {
        let position = self.position;
        let segment = self.segment()?;
        let offset = segment.records_at + (position.0 - segment.name.base.0);
        let result = segment.file.read_exact_at(bytes, offset);
        result.map_err(|source| JournalError::Io { path: self.file_offset().0, source })
    }

    /// File and offset of the position.
    fn file_offset(&self) -> (std::path::PathBuf, u64) {
        match &self.open {
            Some(open) => (open.name.path(&self.shared.folder), open.records_at + (self.position.0 - open.name.base.0)),
            None => (self.shared.folder.clone(), 0),
        }
    }

    /// The segment that contains the position.
    fn segment(&mut self) -> Result<&OpenSegment, JournalError> {
        let name = {
            let segments = self.shared.segments();
            segments.iter().rev().find(|segment| segment.base <= self.position).copied()
        };
        let Some(name) = name else {
            let reason = format!("position {} was removed before it was read", self.position.0);
            return Err(JournalError::Damaged { path: self.shared.folder.clone(), offset: 0, reason });
        };
        let open = match self.open.take() {
            Some(open) if open.name == name => open,
            _ => {
                let path = name.path(&self.shared.folder);
                let file = File::open(&path).map_err(JournalError::io(&path))?;
                let mut length = [0; 4];
                file.read_exact_at(&mut length, 16).map_err(JournalError::io(&path))?;
                OpenSegment { name, file, records_at: SEGMENT_HEADER as u64 + u64::from(u32::from_be_bytes(length)) }
            }
        };
        Ok(self.open.insert(open))
    }
}
