//! The leaf record hashed for each event, and the text form of hashes.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::event::{ChainId, LeafHash, RetentionClass, Sequence, UnixMillis};

pub const LEAF_BYTES: usize = 110;

/// Random bytes that keep an erased content from being guessed by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

/// The salted SHA-256 of an event's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigest(pub [u8; 32]);

impl ContentDigest {
    /// SHA-256("annals content 1\n" ‖ salt ‖ content).
    pub fn of(salt: &Salt, content: &[u8]) -> Self {
        Self::of_parts(salt, &[content])
    }

    /// The digest of a content that is in several pieces.
    pub(super) fn of_parts(salt: &Salt, content: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"annals content 1\n");
        hash.update(salt.0);
        content.iter().for_each(|part| hash.update(part));
        Self(hash.finalize().into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LeafKind {
    Event = 1,
    LedgerRecord = 2,
}

/// Index of a key in a chain's key sequence: whole epochs since the chain was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u32);

/// Everything that a leaf hash covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub chain: ChainId,
    pub sequence: Sequence,
    pub received: UnixMillis,
    pub kind: LeafKind,
    pub class: RetentionClass,
    pub epoch: Epoch,
    pub previous: LeafHash,
    pub digest: ContentDigest,
}

impl Leaf {
    /// `ANNLEAF1` ‖ chain ‖ sequence u64 ‖ received i64 ‖ kind u8 ‖ class u8 ‖ epoch u32 ‖ previous ‖ digest, big-endian.
    pub fn data(&self) -> [u8; LEAF_BYTES] {
        let mut data = [0; LEAF_BYTES];
        let mut rest = data.as_mut_slice();
        let mut put = |bytes: &[u8]| {
            if let Some((place, after)) = std::mem::take(&mut rest).split_at_mut_checked(bytes.len()) {
                place.copy_from_slice(bytes);
                rest = after;
            }
        };
        put(b"ANNLEAF1");
        put(self.chain.as_bytes());
        put(&self.sequence.0.to_be_bytes());
        put(&self.received.0.to_be_bytes());
        put(&[self.kind as u8, self.class as u8]);
        put(&self.epoch.0.to_be_bytes());
        put(&self.previous.0);
        put(&self.digest.0);
        data
    }

    /// RFC 6962 2.1: SHA-256(0x00 ‖ leaf data).
    pub fn hash(&self) -> LeafHash {
        let mut hash = Sha256::new();
        hash.update([0]);
        hash.update(self.data());
        LeafHash(hash.finalize().into())
    }
}

/// RFC 6962 2.1: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// 32 bytes as text in a document: base64url without padding, 43 characters.
pub fn encode_hash(hash: &[u8; 32]) -> [u8; 43] {
    let mut text = [0; 43];
    // 32 bytes are always 43 characters, so the slice always fits.
    let _ = URL_SAFE_NO_PAD.encode_slice(hash, &mut text);
    text
}

/// Strict inverse of [`encode_hash`]: `None` for any other text, including one with spare bits set.
pub fn decode_hash(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}
