//! One file of records.

use std::{
    collections::VecDeque,
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::{Damage, JournalError, Position};
use crate::files;

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
    let base = |name: &str| name.strip_suffix(".journal")?.parse().ok();
    let names = files::list(folder).map_err(JournalError::io(folder))?;
    let mut segments: Vec<_> =
        names.iter().filter_map(|name| base(name.to_str()?)).map(|base| SegmentName { base: Position(base) }).collect();
    segments.sort_unstable();
    Ok(segments.into())
}

/// Returns where the records of a segment begin in its file. If its header is damaged, the first sound record tells;
/// `None` if there is none.
pub(super) fn records_at(file: &File, base: Position) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    let mut header = [0; SEGMENT_HEADER];
    if length < SEGMENT_HEADER as u64 {
        return Ok(None);
    }
    file.read_exact_at(&mut header, 0)?;
    let records_at = SEGMENT_HEADER as u64 + number(&header, 16..20);
    if records_at <= length {
        let mut snapshot = vec![0; records_at as usize - SEGMENT_HEADER];
        file.read_exact_at(&mut snapshot, SEGMENT_HEADER as u64)?;
        if header == segment_header(base, &snapshot) {
            return Ok(Some(records_at));
        }
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(first_record(&bytes, base))
}

/// Returns where the records begin, according to the first sound one and its position.
fn first_record(bytes: &[u8], base: Position) -> Option<u64> {
    memchr::memmem::find_iter(bytes, RECORD_MAGIC).find_map(|offset| {
        let record = bytes.get(offset..).filter(|record| record.len() >= RECORD_HEADER)?;
        let position = Position(number(record, 8..16));
        parse_record(record, position).ok()?;
        let records_at = (offset as u64).checked_sub(position.0.checked_sub(base.0)?)?;
        (records_at >= SEGMENT_HEADER as u64).then_some(records_at)
    })
}

/// The length of a segment's file, the part before its records, and the position at which its records end.
struct Extent {
    length: u64,
    records_at: u64,
    end: Position,
}

impl Extent {
    fn of(name: SegmentName, path: &Path) -> Result<Self, JournalError> {
        let file = files::open(path).map_err(JournalError::io(path))?;
        let length = file.metadata().map_err(JournalError::io(path))?.len();
        let records_at = records_at(&file, name.base).map_err(JournalError::io(path))?.unwrap_or(length);
        Ok(Self { length, records_at, end: Position(name.base.0 + length.saturating_sub(records_at)) })
    }
}

/// Removes the newest segment if it has no records and begins before the end of the one before it. Earlier versions left
/// such a file when it could not be created durably, and went on in the other.
pub(super) fn remove_unused(folder: &Path, names: &mut VecDeque<SegmentName>) -> Result<(), JournalError> {
    while let [.., before, newest] = *names.make_contiguous() {
        let path = newest.path(folder);
        let is_overtaken = Extent::of(before, &before.path(folder))?.end > newest.base;
        let extent = Extent::of(newest, &path)?;
        if !is_overtaken || extent.length > extent.records_at {
            return Ok(());
        }
        files::remove(&path).and_then(|()| files::sync_parent(&path)).map_err(JournalError::io(&path))?;
        names.pop_back();
    }
    Ok(())
}

/// Finds the places where a segment ends before the next one begins.
pub(super) fn holes(folder: &Path, names: &VecDeque<SegmentName>) -> Result<Vec<Damage>, JournalError> {
    let mut holes = Vec::new();
    for (name, next) in names.iter().zip(names.iter().skip(1)) {
        let path = name.path(folder);
        let from = Extent::of(*name, &path)?.end;
        let until = next.base;
        if from < until {
            holes.push(Damage { path, from, until });
        }
    }
    Ok(holes)
}

/// Keeps a copy of a segment as it was first found damaged, for those who want to know what happened to it.
pub(super) fn keep_damaged(path: &Path) -> io::Result<()> {
    let kept = files::with_suffix(path, ".damaged");
    if kept.exists() { Ok(()) } else { files::replace(&kept, &files::read(path)?) }
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
    pub(super) damage: Vec<Damage>,
}

impl Scan {
    /// Reads the newest segment. Bytes that are not a sound record are damage if a sound record follows them; at the
    /// end they are ignored.
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
        let snapshot = snapshot.to_vec();
        let mut scan =
            Self { snapshot, payloads: Vec::new(), records_at: records_at as u64, end: base, damage: Vec::new() };
        let records = bytes.get(records_at..).unwrap_or_default();
        while let Some(next) = next_record(records, base, scan.end) {
            if next > scan.end {
                scan.damage.push(Damage { path: path.to_owned(), from: scan.end, until: next });
            }
            let rest = records.get((next.0 - base.0) as usize..).unwrap_or_default();
            let Ok(payload) = parse_record(rest, next) else { break };
            scan.payloads.push(payload.to_vec());
            scan.end = Position(next.0 + (RECORD_HEADER + payload.len()) as u64);
        }
        Ok(scan)
    }
}

/// The first sound record at this position or later. `records` begin at `base`.
pub(super) fn next_record(records: &[u8], base: Position, from: Position) -> Option<Position> {
    let skipped = usize::try_from(from.0.checked_sub(base.0)?).ok()?;
    let rest = records.get(skipped..)?;
    let at = |offset: usize| Position(from.0 + offset as u64);
    let is_sound = |offset: &usize| parse_record(rest.get(*offset..).unwrap_or_default(), at(*offset)).is_ok();
    memchr::memmem::find_iter(rest, RECORD_MAGIC).find(is_sound).map(at)
}
