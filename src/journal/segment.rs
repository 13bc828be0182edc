//! One file of records.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{JournalError, Position};

const SEGMENT_MAGIC: &[u8; 8] = b"ANNJRNL1";
const RECORD_MAGIC: &[u8; 4] = b"ANRC";
pub(super) const SEGMENT_HEADER: usize = 24;
pub(super) const RECORD_HEADER: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SegmentName {
    pub(super) base: Position,
}

impl SegmentName {
    pub(super) fn path(self, folder: &Path) -> PathBuf {
        folder.join(format!("{:020}.journal", self.base.0))
    }
}

/// The segments of a folder, oldest first. Ignores other files.
pub(super) fn list(folder: &Path) -> Result<VecDeque<SegmentName>, JournalError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(JournalError::io(folder))? {
        let name = entry.map_err(JournalError::io(folder))?.file_name();
        let base = name.to_str().and_then(|name| name.strip_suffix(".journal")).and_then(|base| base.parse().ok());
        names.extend(base.map(|base| SegmentName { base: Position(base) }));
    }
    names.sort_unstable();
    Ok(names.into())
}

/// Checks that each segment ends where the next one begins; otherwise a segment was lost.
pub(super) fn check_contiguous(folder: &Path, names: &VecDeque<SegmentName>) -> Result<(), JournalError> {
    for (name, next) in names.iter().zip(names.iter().skip(1)) {
        let path = name.path(folder);
        let mut file = File::open(&path).map_err(JournalError::io(&path))?;
        let mut header = [0; SEGMENT_HEADER];
        file.read_exact(&mut header).map_err(JournalError::io(&path))?;
        let length = file.metadata().map_err(JournalError::io(&path))?.len();
        let expected = SEGMENT_HEADER as u64 + number(&header, 16..20) + (next.base.0 - name.base.0);
        if length != expected {
            let reason = format!("it has {length} bytes, but the next segment begins after {expected}");
            return Err(JournalError::Damaged { path, offset: length.min(expected), reason });
        }
    }
    Ok(())
}

pub(super) fn segment_header(base: Position, snapshot: &[u8]) -> [u8; SEGMENT_HEADER] {
    let mut header = [0; SEGMENT_HEADER];
    put(&mut header, 0, SEGMENT_MAGIC);
    put(&mut header, 8, &base.0.to_be_bytes());
    put(&mut header, 16, &u32::try_from(snapshot.len()).unwrap_or(u32::MAX).to_be_bytes());
    let crc = checksum(header.get(..20).unwrap_or_default(), snapshot);
    put(&mut header, 20, &crc.to_be_bytes());
    header
}

pub(super) fn record_header(position: Position, payload: &[u8]) -> [u8; RECORD_HEADER] {
    let mut header = [0; RECORD_HEADER];
    put(&mut header, 0, RECORD_MAGIC);
    put(&mut header, 4, &u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    put(&mut header, 8, &position.0.to_be_bytes());
    let crc = checksum(header.get(4..16).unwrap_or_default(), payload);
    put(&mut header, 16, &crc.to_be_bytes());
    header
}

fn checksum(header: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(header), body)
}

fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    to.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
}

/// A big-endian number of up to 8 bytes.
fn number(bytes: &[u8], range: std::ops::Range<usize>) -> u64 {
    bytes.get(range).unwrap_or_default().iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The payload of the record at the start of `bytes`, if the record is complete, sound and at this position.
pub(super) fn parse_record(bytes: &[u8], position: Position) -> Result<&[u8], &'static str> {
    let header = bytes.get(..RECORD_HEADER).ok_or("the record's header is cut short")?;
    if !header.starts_with(RECORD_MAGIC) {
        return Err("no record begins here");
    }
    if number(header, 8..16) != position.0 {
        return Err("the record belongs to another position");
    }
    let length = number(header, 4..8) as usize;
    let payload = bytes.get(RECORD_HEADER..RECORD_HEADER + length).ok_or("the record is cut short")?;
    let crc = u64::from(checksum(header.get(4..16).unwrap_or_default(), payload));
    if crc == number(header, 16..20) { Ok(payload) } else { Err("the record's checksum is wrong") }
}

/// The payload length stated in a sound header.
pub(super) fn announced_length(header: &[u8; RECORD_HEADER]) -> usize {
    number(header, 4..8) as usize
}

/// A segment read as a whole.
pub(super) struct Scan {
    pub(super) snapshot: Vec<u8>,
    pub(super) payloads: Vec<Vec<u8>>,
    pub(super) records_at: u64,
    /// The end of the sound records.
    pub(super) end: Position,
}

impl Scan {
    /// Reads the newest segment. Ignores bytes at its end that are not a sound record, unless a sound record follows
    /// them: then they are damage.
    pub(super) fn of(bytes: &[u8], base: Position, path: &Path) -> Result<Self, JournalError> {
        let damaged = |offset: usize, reason: &str| JournalError::Damaged {
            path: path.to_owned(),
            offset: offset as u64,
            reason: reason.to_owned(),
        };
        let header = bytes.get(..SEGMENT_HEADER).ok_or_else(|| damaged(0, "the header is cut short"))?;
        let records_at = SEGMENT_HEADER + number(header, 16..20) as usize;
        let snapshot = bytes.get(SEGMENT_HEADER..records_at).ok_or_else(|| damaged(16, "the snapshot is cut short"))?;
        if header != segment_header(base, snapshot) {
            return Err(damaged(0, "the header's checksum is wrong, or it is another segment's"));
        }
        let mut scan =
            Self { snapshot: snapshot.to_vec(), payloads: Vec::new(), records_at: records_at as u64, end: base };
        let mut at = records_at;
        while at < bytes.len() {
            let rest = bytes.get(at..).unwrap_or_default();
            match parse_record(rest, scan.end) {
                Ok(payload) => {
                    scan.payloads.push(payload.to_vec());
                    at += RECORD_HEADER + payload.len();
                    scan.end = Position(base.0 + (at - records_at) as u64);
                }
                Err(reason) if record_follows(rest, scan.end) => return Err(damaged(at, reason)),
                Err(_) => break,
            }
        }
        Ok(scan)
    }
}

/// Whether a sound record begins anywhere after the first byte.
fn record_follows(bytes: &[u8], position: Position) -> bool {
    memchr::memmem::find_iter(bytes, RECORD_MAGIC)
        .filter(|at| *at > 0)
        .any(|at| parse_record(bytes.get(at..).unwrap_or_default(), Position(position.0 + at as u64)).is_ok())
}
