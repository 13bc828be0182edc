//! Appends to a chain: numbers, links and seals contents.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    keys::{ChainKeys, SealSecret},
    leaf::{ContentDigest, Epoch, Leaf, LeafKind, Salt, encode_hash},
    members::{DocumentKind, Placed, Sealed, put_members},
    tree::TreeRange,
};
use crate::{
    event::{ChainId, ChainPosition, LeafHash, RetentionClass, Sequence, UnixMillis},
    time::format_millis,
};

/// The immutable properties of a chain. The first event links to the hash of the record's canonical JSON. The fields
/// are in the order of RFC 8785, and none has a value that RFC 8785 would write differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningRecord {
    /// 32 lower-case hex digits.
    pub chain: String,
    pub epoch_ms: u64,
    /// Version of all formats of `integrity`: 1.
    pub format: u32,
    /// Base64 of [`ChainKeys::check_value`].
    pub key_check: String,
    /// Unix milliseconds; epochs count from here.
    pub opened_ms: i64,
    /// The chain that this one follows, if that one was closed.
    pub predecessor: Option<Predecessor>,
    /// Absent (`true`) or `false`: events are numbered, but neither hashed, linked nor sealed.
    #[serde(default = "is_sealed", skip_serializing_if = "Clone::clone")]
    pub sealed: bool,
    pub stream: String,
    /// Base64 of the writer's Ed25519 public key.
    pub verifier_key: String,
    /// `kibana.server_uuid`
    pub writer: String,
}

fn is_sealed() -> bool {
    true
}

/// The last event of a closed chain, named by the chain that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predecessor {
    pub chain: String,
    /// The leaf hash of that event in base64url, if the journal had it when the chain was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// The seal of the event in a store, if a store could be asked.
    pub seal: Option<String>,
    pub sequence: u64,
}

impl OpeningRecord {
    /// The keys of epoch 0 of the chain that this is the record of.
    pub fn first_keys(&self, chain: ChainId, secret: &SealSecret) -> Result<ChainKeys, ChainError> {
        if self.format != 1 {
            return Err(ChainError::UnknownFormat { chain, format: self.format });
        }
        let keys = ChainKeys::first(secret, chain);
        if self.key_check == STANDARD.encode(keys.check_value()) {
            Ok(keys)
        } else {
            Err(ChainError::WrongSecret { chain })
        }
    }

    /// The epoch of events received then.
    pub fn epoch_at(&self, received: UnixMillis) -> u64 {
        epoch_at(UnixMillis(self.opened_ms), self.epoch_ms, received)
    }

    /// SHA-256("annals genesis 1\n" ‖ canonical JSON of the record): the `previous` of event 0.
    pub fn genesis(&self) -> LeafHash {
        let mut hash = Sha256::new();
        hash.update(b"annals genesis 1\n");
        // A struct of texts and integers always has a JSON form.
        hash.update(serde_json::to_vec(self).unwrap_or_default());
        LeafHash(hash.finalize().into())
    }
}

/// The state needed to resume a chain, kept in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainState {
    pub chain: ChainId,
    pub previous: LeafHash,
    /// When the last event was received; never decreases.
    pub received: UnixMillis,
    /// Of all its leaves.
    pub tree: TreeRange,
}

impl ChainState {
    pub fn next(&self) -> Sequence {
        Sequence(self.tree.end())
    }

    /// Applies an event that already has its position. An unsealed event has no leaf and is only counted.
    pub fn advance(&mut self, leaf: Option<LeafHash>, received: UnixMillis) {
        let leaf = leaf.unwrap_or(LeafHash([0; 32]));
        self.tree.push(&leaf);
        self.previous = leaf;
        self.received = self.received.max(received);
    }
}

/// A content ready to be sealed: canonical JSON without the seal members.
#[derive(Clone, Copy, Debug)]
pub struct ContentRef<'a> {
    pub bytes: &'a [u8],
    /// Offset in `bytes` at which the members of `annals` begin.
    pub annals_at: usize,
    pub class: RetentionClass,
    pub salt: Salt,
    pub digest: ContentDigest,
}

/// How far the last event may be dated ahead of the clock, in milliseconds. Times never decrease within a chain, so a clock
/// that was wrong once would otherwise date all later events.
const MAX_AHEAD_MS: i64 = 3_600_000;

/// Keys are derived one by one, so this bounds how long a start takes: about a second.
pub(super) const MAX_EPOCH: u64 = 1 << 20;

/// Why a chain must not get more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MustEnd {
    /// The last event is dated more than an hour ahead of the clock.
    Ahead,
    /// There would be too many epochs.
    Epochs,
}

/// Why a chain cannot be resumed.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    #[error("the seal secret is not the one that chain {chain} was opened with")]
    WrongSecret { chain: ChainId },
    #[error("the opening record of chain {chain} has format {format}, but this program supports only format 1")]
    UnknownFormat { chain: ChainId, format: u32 },
}

pub struct Chain {
    state: ChainState,
    opened: UnixMillis,
    epoch_ms: u64,
    keys: ChainKeys,
    is_sealed: bool,
    id_text: String,
}

impl Chain {
    /// Resumes the chain at `state`.
    pub fn resume(record: &OpeningRecord, state: ChainState, secret: &SealSecret) -> Result<Self, ChainError> {
        let chain = state.chain;
        let keys = record.first_keys(chain, secret)?;
        Ok(Self {
            state,
            opened: UnixMillis(record.opened_ms),
            epoch_ms: record.epoch_ms.max(1),
            keys,
            is_sealed: record.sealed,
            id_text: chain.to_string(),
        })
    }

    pub fn state(&self) -> &ChainState {
        &self.state
    }

    /// Whether events are hashed, linked and sealed rather than only numbered.
    pub fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Why events received now must go to a new chain, if they must.
    pub fn must_end(&self, now: UnixMillis) -> Option<MustEnd> {
        if self.state.received.0 > now.0.saturating_add(MAX_AHEAD_MS) {
            return Some(MustEnd::Ahead);
        }
        (self.epoch_at(now) > MAX_EPOCH).then_some(MustEnd::Epochs)
    }

    fn epoch_at(&self, received: UnixMillis) -> u64 {
        epoch_at(self.opened, self.epoch_ms, received)
    }

    /// Returns to an earlier state, because the events sealed since could not be written. The keys do not go back.
    pub fn restore(&mut self, state: ChainState) {
        self.state = state;
    }

    /// Begins a group of events received at the same time: brings time and keys up to date.
    pub fn begin(&mut self, now: UnixMillis) -> Sealing<'_> {
        let received = now.max(self.state.received);
        self.state.received = received;
        let epoch = Epoch(u32::try_from(self.epoch_at(received)).unwrap_or(u32::MAX));
        self.keys.advance(epoch);
        Sealing { received, received_text: format_millis(received), chain: self }
    }
}

/// The number of whole epochs of `epoch_ms` since the chain was opened.
fn epoch_at(opened: UnixMillis, epoch_ms: u64, received: UnixMillis) -> u64 {
    u64::try_from(received.0.saturating_sub(opened.0)).unwrap_or(0) / epoch_ms.max(1)
}

/// A chain that is sealing a group.
pub struct Sealing<'a> {
    chain: &'a mut Chain,
    received: UnixMillis,
    received_text: [u8; crate::time::TIME_BYTES],
}

impl Sealing<'_> {
    pub fn received(&self) -> UnixMillis {
        self.received
    }

    /// Appends the document to `out`: the content with the seal members inserted as the first members of `annals`. In
    /// an unsealed chain there is no leaf, and digest, link and seal are absent.
    pub fn seal(&mut self, content: &ContentRef<'_>, out: &mut Vec<u8>) -> (ChainPosition, Option<LeafHash>) {
        if !self.chain.is_sealed {
            return (self.write_unsealed(content, out), None);
        }
        let state = &mut self.chain.state;
        let previous = state.previous;
        let sequence = state.next();
        let epoch = self.chain.keys.epoch();
        let leaf = Leaf {
            chain: state.chain,
            sequence,
            received: self.received,
            kind: LeafKind::Event,
            class: content.class,
            epoch,
            previous,
            digest: content.digest,
        }
        .hash();
        let mac = self.chain.keys.mac(&leaf);
        state.advance(Some(leaf), self.received);

        let seal = encode_seal(epoch, &content.salt, &mac);
        let (hash, previous) = (encode_hash(&content.digest.0), encode_hash(&previous.0));
        let sealed = Sealed { hash: ascii(&hash), previous: ascii(&previous), seal: &seal };
        self.write(content, sequence, Some(&sealed), out);
        (ChainPosition { chain: self.chain.state.chain, sequence }, Some(leaf))
    }

    /// Adds an event's position without sealing it.
    fn write_unsealed(&mut self, content: &ContentRef<'_>, out: &mut Vec<u8>) -> ChainPosition {
        let sequence = self.chain.state.next();
        self.chain.state.advance(None, self.received);
        self.write(content, sequence, None, out);
        ChainPosition { chain: self.chain.state.chain, sequence }
    }

    fn write(&self, content: &ContentRef<'_>, sequence: Sequence, sealed: Option<&Sealed<'_>>, out: &mut Vec<u8>) {
        let placed = Placed {
            chain: &self.chain.id_text,
            kind: DocumentKind::Event,
            received: ascii(&self.received_text),
            class: content.class,
            sequence: sequence.0,
        };
        let (before, after) = content.bytes.split_at_checked(content.annals_at).unwrap_or((content.bytes, b""));
        out.extend_from_slice(before);
        put_members(&placed, sealed, out);
        out.extend_from_slice(after);
    }
}

/// Maximum number of bytes that sealing adds to a content.
pub const SEAL_OVERHEAD: usize = 380;

fn encode_seal(epoch: Epoch, salt: &Salt, mac: &[u8; 16]) -> String {
    let mut both = [0; 32];
    both.iter_mut().zip(salt.0.iter().chain(mac)).for_each(|(to, from)| *to = *from);
    let mut text = String::with_capacity(54);
    text.push_str(itoa::Buffer::new().format(epoch.0));
    text.push('.');
    text.push_str(ascii(&encode_hash(&both)));
    text
}

/// Digits and letters as text.
fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}
