//! Checks the documents of a chain: contents, links, seals and times, and that none is missing.
//!
//! The documents may come in any order. Of those that follow each other only both ends are kept, so a chain in its own order
//! takes the same memory whatever its length, and any other order as much as it has gaps at a time.

use std::collections::BTreeMap;

use subtle::ConstantTimeEq;

use super::{
    chain::{MAX_EPOCH, OpeningRecord},
    finding::{Finding, FindingCode, Findings},
    keys::{ChainKeys, MAC_BYTES, SealSecret},
    leaf::{Epoch, encode_hash},
    members::DocumentKind,
    tree::TreeRange,
    verify::{Examined, Opened},
};
use crate::event::{ChainId, LeafHash, UnixMillis};

/// What is known of a chain besides its documents.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub opening: Option<OpeningRecord>,
    /// Events that must be there, from receipts, heads or the chain that follows, with their leaf hashes if those are known.
    pub kept: BTreeMap<u64, Option<LeafHash>>,
}

/// The documents of one chain that were seen so far.
pub struct ChainCheck {
    chain: ChainId,
    opening: Option<OpeningRecord>,
    keys: Option<EpochKeys>,
    /// By the sequence after the last event, so that an event finds those before it.
    segments: BTreeMap<u64, Segment>,
    kept: BTreeMap<u64, Option<LeafHash>>,
    /// The last of them that was seen.
    last_kept: Option<u64>,
    summary: ChainSummary,
}

/// What was seen of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSummary {
    pub chain: ChainId,
    /// The first and the last sequence.
    pub first: Option<u64>,
    pub last: Option<u64>,
    /// Events, each counted once.
    pub events: u64,
    /// Events whose content is not there, so that only their digests are proven.
    pub without_content: u64,
    /// Copies of events that were seen already.
    pub duplicates: u64,
    /// Events of a chain that was opened without seals: nothing is proven of them.
    pub unsealed: u64,
    /// Whether the first event is the one that the opening record begins the chain with.
    pub begins_as_opened: bool,
    /// Whether the last event is known from elsewhere.
    pub ends_as_kept: bool,
    /// The RFC 6962 root over all events, if none is missing from the first on.
    pub root: Option<[u8; 32]>,
}

/// Events that follow each other.
struct Segment {
    tree: TreeRange,
    first: Edge,
    last: Edge,
}

/// What a neighbour is compared with.
#[derive(Clone)]
struct Edge {
    /// `None` of an event that is not sealed.
    previous: Option<LeafHash>,
    leaf: Option<LeafHash>,
    received: UnixMillis,
    epoch: Epoch,
}

impl ChainCheck {
    /// Seals are checked if there is a secret, which must be the one of the chain.
    pub fn new(chain: ChainId, known: Known, secret: Option<&SealSecret>) -> Self {
        let keys = secret.map(|secret| EpochKeys::new(secret, chain));
        let summary = ChainSummary {
            chain,
            first: None,
            last: None,
            events: 0,
            without_content: 0,
            duplicates: 0,
            unsealed: 0,
            begins_as_opened: false,
            ends_as_kept: false,
            root: None,
        };
        Self {
            chain,
            opening: known.opening,
            keys,
            segments: BTreeMap::new(),
            kept: known.kept,
            last_kept: None,
            summary,
        }
    }

    /// Checks a document of this chain.
    pub fn push(&mut self, examined: &Examined, findings: &mut Findings) {
        let sequence = examined.position().map(|position| position.sequence.0);
        match (examined, sequence) {
            (Examined::Sealed { opened, leaf, is_genuine }, _) => self.sealed(opened, *leaf, *is_genuine, findings),
            (Examined::Unsealed(_), Some(sequence)) => self.unsealed(sequence, findings),
            (Examined::Invalid { reason, .. }, Some(sequence)) => {
                let (code, expected) = (FindingCode::DocumentInvalid, "a document of the log");
                self.add(code, sequence, expected, reason.to_string(), findings);
            }
            // Without a position it is of no chain.
            (Examined::Unsealed(_) | Examined::Invalid { .. }, None) => {}
        }
    }

    fn unsealed(&mut self, sequence: u64, findings: &mut Findings) {
        if self.opening.as_ref().is_some_and(|opening| !opening.sealed) {
            self.summary.unsealed += 1;
        } else {
            self.add(FindingCode::EventUnsealed, sequence, "a seal", "no annals.seal".to_owned(), findings);
        }
        let edge = Edge { previous: None, leaf: None, received: UnixMillis::FIRST, epoch: Epoch(0) };
        self.place(sequence, edge, findings);
    }

    fn sealed(&mut self, opened: &Opened, hash: LeafHash, is_genuine: bool, findings: &mut Findings) {
        let Opened { kind, leaf, mac, .. } = opened;
        let sequence = leaf.sequence.0;
        self.summary.without_content += u64::from(*kind == DocumentKind::Hollow);
        if !is_genuine {
            let found = "one with another digest".to_owned();
            self.add(FindingCode::ContentModified, sequence, "the content of annals.hash", found, findings);
        }
        let mut is_due = true;
        if let Some(opening) = &self.opening {
            let due = opening.epoch_at(leaf.received);
            is_due = due == u64::from(leaf.epoch.0);
            if !is_due {
                self.add(
                    FindingCode::EpochInvalid,
                    sequence,
                    &format!("epoch {due} by annals.received"),
                    leaf.epoch.0.to_string(),
                    findings,
                );
            }
        }
        if u64::from(leaf.epoch.0) > MAX_EPOCH {
            self.add(
                FindingCode::EpochInvalid,
                sequence,
                &format!("an epoch of at most {MAX_EPOCH}"),
                leaf.epoch.0.to_string(),
                findings,
            );
        } else if is_due && self.keys.as_mut().is_some_and(|keys| !keys.is_genuine(leaf.epoch, &hash, mac)) {
            self.add(FindingCode::SealInvalid, sequence, "the MAC of this event", "another one".to_owned(), findings);
        }
        let genesis = self.opening.as_ref().filter(|_| sequence == 0).map(OpeningRecord::genesis);
        if let Some(genesis) = genesis {
            self.summary.begins_as_opened = genesis == leaf.previous;
            if genesis != leaf.previous {
                self.add(FindingCode::LinkBroken, sequence, &hash_text(&genesis), hash_text(&leaf.previous), findings);
            }
        }
        let (previous, leaf, received, epoch) = (Some(leaf.previous), Some(hash), leaf.received, leaf.epoch);
        self.place(sequence, Edge { previous, leaf, received, epoch }, findings);
    }

    /// Does not require this event any longer.
    pub fn release(&mut self, sequence: u64) {
        self.kept.remove(&sequence);
    }

    /// Puts an event where it belongs, and compares it with its neighbours.
    fn place(&mut self, sequence: u64, edge: Edge, findings: &mut Findings) {
        let Some(after) = sequence.checked_add(1) else {
            let found = "none can follow it".to_owned();
            return self.add(FindingCode::DocumentInvalid, sequence, "a position that has a next", found, findings);
        };
        let at_or_after = self.segments.range(after..).next();
        if let Some((end, segment)) = at_or_after
            && segment.tree.begin() <= sequence
        {
            let is_same = (*end == after && segment.last.leaf == edge.leaf)
                || (segment.tree.begin() == sequence && segment.first.leaf == edge.leaf);
            let proves_nothing = self.opening.as_ref().is_some_and(|opening| !opening.sealed);
            if is_same && (edge.leaf.is_some() || proves_nothing) {
                self.summary.duplicates += 1;
            } else {
                self.add(FindingCode::DuplicateConflict, sequence, "one event", "a further one".to_owned(), findings);
            }
            return;
        }
        self.summary.events += 1;
        if let Some(Some(kept)) = self.kept.get(&sequence)
            && edge.leaf != Some(*kept)
        {
            let found = edge.leaf.as_ref().map_or("no leaf".to_owned(), hash_text);
            self.add(FindingCode::TailMissing, sequence, &hash_text(kept), found, findings);
        }
        if self.kept.remove(&sequence).is_some() {
            self.last_kept = self.last_kept.max(Some(sequence));
        }
        let mut tree = TreeRange::at(sequence);
        tree.push(&edge.leaf.unwrap_or(LeafHash([0; 32])));
        let mut segment = Segment { tree, first: edge.clone(), last: edge };
        if let Some(before) = self.segments.remove(&sequence) {
            segment = self.joined(before, segment, findings);
        }
        let next = self.segments.range(after..).next().filter(|(_, next)| next.tree.begin() == after);
        if let Some(end) = next.map(|(end, _)| *end)
            && let Some(next) = self.segments.remove(&end)
        {
            segment = self.joined(segment, next, findings);
        }
        self.segments.insert(segment.tree.end(), segment);
    }

    fn joined(&self, mut one: Segment, next: Segment, findings: &mut Findings) -> Segment {
        let sequence = next.tree.begin();
        if let (Some(leaf), Some(previous)) = (one.last.leaf, next.first.previous) {
            if leaf != previous {
                self.add(FindingCode::LinkBroken, sequence, &hash_text(&leaf), hash_text(&previous), findings);
            }
            if next.first.received < one.last.received || next.first.epoch < one.last.epoch {
                let found = "an earlier time or key".to_owned();
                self.add(FindingCode::EpochInvalid, sequence, "those of the event before, or later", found, findings);
            }
        }
        // They adjoin, so this cannot fail.
        let _ = one.tree.join(&next.tree);
        Segment { last: next.last, ..one }
    }

    fn add(&self, code: FindingCode, sequence: u64, expected: &str, found: String, findings: &mut Findings) {
        let (chain, sequences) = (Some(self.chain), Some(sequence..=sequence));
        findings.add(Finding { code, chain, sequences, expected: expected.to_owned(), found });
    }

    /// Ends the check. Unless the documents are only a part of the chain, those that are missing are found.
    pub fn finish(self, is_part: bool, findings: &mut Findings) -> ChainSummary {
        let Self { chain, segments, kept, last_kept, mut summary, .. } = self;
        let missing = |code, sequences, expected: &str| Finding {
            code,
            chain: Some(chain),
            sequences: Some(sequences),
            expected: expected.to_owned(),
            found: "nothing".to_owned(),
        };
        let mut next = 0;
        for segment in segments.values().filter(|_| !is_part) {
            if segment.tree.begin() > next {
                findings.add(missing(FindingCode::EventMissing, next..=segment.tree.begin() - 1, "these events"));
            }
            next = segment.tree.end();
        }
        for sequence in kept.into_keys() {
            findings.add(missing(
                FindingCode::TailMissing,
                sequence..=sequence,
                "the event that is known from elsewhere",
            ));
        }
        summary.first = segments.values().next().map(|segment| segment.tree.begin());
        summary.last = segments.keys().next_back().map(|end| end - 1);
        summary.ends_as_kept = summary.last.is_some() && summary.last == last_kept;
        summary.root = match segments.values().collect::<Vec<_>>().as_slice() {
            [one] if summary.unsealed == 0 => one.tree.root(),
            _ => None,
        };
        summary
    }
}

fn hash_text(hash: &LeafHash) -> String {
    String::from_utf8_lossy(&encode_hash(&hash.0)).into_owned()
}

/// The keys of a chain at any epoch. Keys only move forward, so those of some epochs are kept to begin from.
struct EpochKeys {
    /// Of every [`Self::STEP`]th epoch from 0 on.
    marks: Vec<ChainKeys>,
    current: ChainKeys,
}

impl EpochKeys {
    const STEP: u32 = 1024;

    fn new(secret: &SealSecret, chain: ChainId) -> Self {
        let first = ChainKeys::first(secret, chain);
        Self { marks: vec![first.clone()], current: first }
    }

    /// Whether the MAC of this leaf is genuine. The epoch is at most [`MAX_EPOCH`].
    fn is_genuine(&mut self, epoch: Epoch, hash: &LeafHash, mac: &[u8; MAC_BYTES]) -> bool {
        if epoch != self.current.epoch() {
            self.current = self.at(epoch);
        }
        self.current.mac(hash).ct_eq(mac).into()
    }

    fn at(&mut self, epoch: Epoch) -> ChainKeys {
        let index = (epoch.0 / Self::STEP) as usize;
        while let Some(last) = self.marks.last().filter(|_| self.marks.len() <= index) {
            let mut next = last.clone();
            next.advance(Epoch(next.epoch().0 + Self::STEP));
            self.marks.push(next);
        }
        let mark =
            self.marks.get(index).filter(|mark| mark.epoch() > self.current.epoch() || epoch < self.current.epoch());
        let mut keys = mark.unwrap_or(&self.current).clone();
        keys.advance(epoch);
        keys
    }
}
