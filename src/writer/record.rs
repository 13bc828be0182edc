//! The format of the journal's records and snapshots.
//!
//! # Format 1
//!
//! All numbers are big-endian; a stream is its length (u8) and its name.
//!
//! ```text
//! record:   version u8 = 1 | events before this record u64 | section*
//! section:  stream | chain 16 | received i64, Unix ms | sequence of the first event u64 | count u32 | entry * count
//!           | count u32 | key * count | document * count
//! entry:    length of the document u32 | leaf hash 32, zeros if the chain is not sealed
//! key:      index of the event in the section u32 | hash of what identifies it 16 | checksum of its content u32
//! snapshot: version u8 = 1 | events so far u64 | count u32 | recent * count | chain*
//! recent:   hash of what identifies the event 16 | checksum u32 | chain 16 | sequence u64 | leaf hash 32 | received i64
//! chain:    stream | chain 16 | previous leaf hash 32 | received i64 | tree size u64 | subtree root 32 * ones in the size
//! ```

use bytes::{Buf as _, Bytes};

use super::recent::{NewEvents, RECENT_BYTES, RecentEvent};
use crate::{
    event::{ChainId, ChainPosition, LeafHash, SealedEvent, Sequence, Stream, UnixMillis},
    intake::IdempotencyKey,
    integrity::{ChainState, TreeRange},
};

const VERSION: u8 = 1;
/// Bytes of a record besides its sections.
pub(super) const RECORD_OVERHEAD: usize = 9;
/// Maximum bytes of a section besides its events.
pub(super) const SECTION_OVERHEAD: usize = 73;
/// Bytes of the key of an event that came with its own id.
pub(super) const KEY_BYTES: usize = 24;
/// Bytes of an event besides its document.
pub(super) const ENTRY_BYTES: usize = 36;
/// Placeholder for the leaf hash of an unsealed event.
const UNSEALED: [u8; 32] = [0; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a journal record has an unknown format")]
pub struct BadRecord;

/// A decoded record.
#[derive(Debug)]
pub struct Group {
    /// Number of events written to the journal before this record.
    pub events_before: u64,
    pub sections: Vec<Section>,
}

/// Consecutive events of one chain.
#[derive(Debug)]
pub struct Section {
    pub stream: Stream,
    pub received: UnixMillis,
    pub events: Vec<SealedEvent>,
    /// The events that came with their own ids, by their index.
    pub(super) keys: Vec<(usize, IdempotencyKey)>,
}

impl Group {
    pub fn event_count(&self) -> u64 {
        self.sections.iter().map(|section| section.events.len() as u64).sum()
    }

    /// The documents are slices of the payload.
    pub fn decode(payload: &Bytes) -> Result<Self, BadRecord> {
        let mut bytes = payload.clone();
        if bytes.try_get_u8().map_err(|_| BadRecord)? != VERSION {
            return Err(BadRecord);
        }
        let events_before = bytes.try_get_u64().map_err(|_| BadRecord)?;
        let mut sections = Vec::new();
        while bytes.has_remaining() {
            sections.push(Section::decode(&mut bytes)?);
        }
        Ok(Self { events_before, sections })
    }
}

impl Section {
    /// The events that came with their own ids.
    pub(super) fn recent(&self) -> impl Iterator<Item = RecentEvent> {
        self.keys.iter().filter_map(|(index, key)| {
            let SealedEvent { position, leaf_hash, .. } = self.events.get(*index)?;
            Some(RecentEvent { key: *key, position: *position, leaf_hash: *leaf_hash, received: self.received })
        })
    }

    fn decode(bytes: &mut Bytes) -> Result<Self, BadRecord> {
        let stream = get_stream(bytes)?;
        let chain = ChainId::from_bytes(get_array(bytes)?);
        let received = UnixMillis(bytes.try_get_i64().map_err(|_| BadRecord)?);
        let first = bytes.try_get_u64().map_err(|_| BadRecord)?;
        let count = bytes.try_get_u32().map_err(|_| BadRecord)? as usize;
        if bytes.remaining() < count * ENTRY_BYTES {
            return Err(BadRecord);
        }
        let mut entries = bytes.split_to(count * ENTRY_BYTES);
        let key_count = bytes.try_get_u32().map_err(|_| BadRecord)? as usize;
        if bytes.remaining() < key_count * KEY_BYTES {
            return Err(BadRecord);
        }
        let keys = (0..key_count)
            .map(|_| Ok((bytes.try_get_u32().map_err(|_| BadRecord)? as usize, get_key(bytes)?)))
            .collect::<Result<_, _>>()?;
        let mut events = Vec::with_capacity(count);
        for sequence in (first..).take(count) {
            let length = entries.try_get_u32().map_err(|_| BadRecord)? as usize;
            let leaf_hash = get_leaf(&mut entries)?;
            if bytes.remaining() < length {
                return Err(BadRecord);
            }
            let position = ChainPosition { chain, sequence: Sequence(sequence) };
            events.push(SealedEvent { position, leaf_hash, document: bytes.split_to(length) });
        }
        Ok(Self { stream, received, events, keys })
    }
}

pub(super) fn put_record_header(out: &mut Vec<u8>, events_before: u64) {
    out.push(VERSION);
    out.extend_from_slice(&events_before.to_be_bytes());
}

/// A section being written: its entries are filled in as its documents are appended.
pub(super) struct SectionWriter {
    next_entry: usize,
}

impl SectionWriter {
    pub(super) fn begin(
        out: &mut Vec<u8>,
        stream: &Stream,
        received: UnixMillis,
        first: ChainPosition,
        events: &NewEvents,
    ) -> Self {
        let NewEvents { count, keys } = events;
        put_stream(out, stream);
        out.extend_from_slice(first.chain.as_bytes());
        out.extend_from_slice(&received.0.to_be_bytes());
        out.extend_from_slice(&first.sequence.0.to_be_bytes());
        put_count(out, *count);
        let next_entry = out.len();
        out.resize(next_entry + count * ENTRY_BYTES, 0);
        put_count(out, keys.len());
        for (index, key) in keys {
            put_count(out, *index);
            put_key(out, key);
        }
        Self { next_entry }
    }

    /// Fills in the next entry, for an appended document of this length.
    pub(super) fn push_entry(&mut self, out: &mut [u8], length: usize, leaf: Option<LeafHash>) {
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let entry = out.iter_mut().skip(self.next_entry);
        let leaf = leaf.map_or(UNSEALED, |leaf| leaf.0);
        entry.zip(length.iter().chain(&leaf)).for_each(|(to, from)| *to = *from);
        self.next_entry += ENTRY_BYTES;
    }
}

/// The snapshot at the start of a segment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) events: u64,
    /// The oldest first.
    pub(super) recent: Vec<RecentEvent>,
    pub(super) chains: Vec<(Stream, ChainState)>,
}

impl Snapshot {
    pub(super) fn encode<'r, 'c>(
        events: u64,
        recent: impl ExactSizeIterator<Item = &'r RecentEvent>,
        chains: impl Iterator<Item = (&'c Stream, &'c ChainState)>,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(1_024 + recent.len() * RECENT_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&events.to_be_bytes());
        put_count(&mut out, recent.len());
        for RecentEvent { key, position, leaf_hash, received } in recent {
            put_key(&mut out, key);
            out.extend_from_slice(position.chain.as_bytes());
            out.extend_from_slice(&position.sequence.0.to_be_bytes());
            out.extend_from_slice(&leaf_hash.map_or(UNSEALED, |leaf| leaf.0));
            out.extend_from_slice(&received.0.to_be_bytes());
        }
        for (stream, state) in chains {
            put_stream(&mut out, stream);
            out.extend_from_slice(state.chain.as_bytes());
            out.extend_from_slice(&state.previous.0);
            out.extend_from_slice(&state.received.0.to_be_bytes());
            out.extend_from_slice(&state.tree.end().to_be_bytes());
            state.tree.roots().iter().for_each(|root| out.extend_from_slice(root));
        }
        out
    }

    /// An empty snapshot is that of a new journal.
    pub(super) fn decode(bytes: Vec<u8>) -> Result<Self, BadRecord> {
        let mut bytes = Bytes::from(bytes);
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if bytes.try_get_u8().map_err(|_| BadRecord)? != VERSION {
            return Err(BadRecord);
        }
        let events = bytes.try_get_u64().map_err(|_| BadRecord)?;
        let recent_count = bytes.try_get_u32().map_err(|_| BadRecord)?;
        let recent = (0..recent_count).map(|_| get_recent(&mut bytes)).collect::<Result<_, _>>()?;
        let mut chains = Vec::new();
        while bytes.has_remaining() {
            let stream = get_stream(&mut bytes)?;
            let chain = ChainId::from_bytes(get_array(&mut bytes)?);
            let previous = LeafHash(get_array(&mut bytes)?);
            let received = UnixMillis(bytes.try_get_i64().map_err(|_| BadRecord)?);
            let size = bytes.try_get_u64().map_err(|_| BadRecord)?;
            let roots = (0..size.count_ones()).map(|_| get_array(&mut bytes)).collect::<Result<_, _>>()?;
            let tree = TreeRange::from_roots(size, roots).ok_or(BadRecord)?;
            chains.push((stream, ChainState { chain, previous, received, tree }));
        }
        Ok(Self { events, recent, chains })
    }
}

fn put_stream(out: &mut Vec<u8>, stream: &Stream) {
    // A stream's name has at most 32 bytes.
    out.push(stream.as_str().len() as u8);
    out.extend_from_slice(stream.as_str().as_bytes());
}

fn get_stream(bytes: &mut Bytes) -> Result<Stream, BadRecord> {
    let length = bytes.try_get_u8().map_err(|_| BadRecord)? as usize;
    if bytes.remaining() < length {
        return Err(BadRecord);
    }
    std::str::from_utf8(&bytes.split_to(length)).map_err(|_| BadRecord)?.parse().map_err(|_| BadRecord)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn put_key(out: &mut Vec<u8>, IdempotencyKey { event, content }: &IdempotencyKey) {
    out.extend_from_slice(event);
    out.extend_from_slice(&content.to_be_bytes());
}

fn get_key(bytes: &mut Bytes) -> Result<IdempotencyKey, BadRecord> {
    Ok(IdempotencyKey { event: get_array(bytes)?, content: bytes.try_get_u32().map_err(|_| BadRecord)? })
}

fn get_recent(bytes: &mut Bytes) -> Result<RecentEvent, BadRecord> {
    let key = get_key(bytes)?;
    let chain = ChainId::from_bytes(get_array(bytes)?);
    let sequence = Sequence(bytes.try_get_u64().map_err(|_| BadRecord)?);
    let leaf_hash = get_leaf(bytes)?;
    let received = UnixMillis(bytes.try_get_i64().map_err(|_| BadRecord)?);
    Ok(RecentEvent { key, position: ChainPosition { chain, sequence }, leaf_hash, received })
}

/// `None` for the placeholder of an unsealed event.
fn get_leaf(bytes: &mut Bytes) -> Result<Option<LeafHash>, BadRecord> {
    Ok(Some(LeafHash(get_array(bytes)?)).filter(|leaf| leaf.0 != UNSEALED))
}

fn get_array<const N: usize>(bytes: &mut Bytes) -> Result<[u8; N], BadRecord> {
    let mut array = [0; N];
    bytes.try_copy_to_slice(&mut array).map_err(|_| BadRecord)?;
    Ok(array)
}
