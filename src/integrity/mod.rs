//! The sealed record: what is hashed, linked and sealed, and how. The formats here never change; this is format 1.
//!
//! - The **content** of an event is its canonical JSON (RFC 8785) without the seal members: in `annals`, `chain`, `hash`,
//!   `kind`, `previous`, `received`, `retention`, `seal` and `sequence`. The stored document is the content with those
//!   members inserted as the first ones of `annals`, so that the content can be extracted byte for byte.
//! - `annals.kind` says what a document is ([`DocumentKind`]).
//! - The **digest** is SHA-256("annals content 1\n" ‖ salt ‖ content), with 16 random bytes of salt per event. It is
//!   stored as `annals.hash`, in base64url without padding.
//! - The **leaf hash** covers chain, sequence, time received, kind, class, key epoch, the previous leaf hash and the
//!   digest ([`Leaf`]). It is the leaf of the chain's RFC 6962 tree, and the next event's `annals.previous`.
//! - The **seal** is `<epoch>.<base64url(salt ‖ mac)>`, where the MAC is the first 16 bytes of HMAC-SHA-256 over the
//!   leaf hash under the chain's key of that epoch ([`ChainKeys`]).
//! - The first event of a chain links to the hash of its [`OpeningRecord`].
//! - A chain whose opening record says `"sealed":false` has no digest, leaf, link or seal: its documents have no
//!   `annals.hash`, `annals.previous` and `annals.seal`.
//! - A **stub** replaces an event that a store permanently refuses: it has the same seal members, and the content as
//!   text in `annals.content`, or none.

mod chain;
mod keys;
mod leaf;
mod members;
pub mod proof;
mod stub;
mod tree;
mod verify;

pub use chain::{
    Chain, ChainError, ChainState, ContentRef, MustEnd, OpeningRecord, Predecessor, SEAL_OVERHEAD, Sealing,
};
pub use keys::{ChainKeys, MAC_BYTES, SealSecret, ShortSecret};
pub use leaf::{ContentDigest, Epoch, LEAF_BYTES, Leaf, LeafKind, Salt, decode_hash, encode_hash, node_hash};
pub use members::DocumentKind;
pub use stub::{stub, stub_without_content};
pub use tree::{NodeHash, TreeRange};
pub use verify::{Opened, VerifyError, open};

use serde::Deserialize;

use crate::event::{ChainPosition, Sequence};

/// The position that a stored document or stub states, whether or not it is sealed.
pub fn position_of(document: &[u8]) -> Option<ChainPosition> {
    #[derive(Deserialize)]
    struct Document {
        annals: Annals,
    }
    #[derive(Deserialize)]
    struct Annals {
        chain: String,
        sequence: u64,
    }
    let Annals { chain, sequence } = serde_json::from_slice::<Document>(document).ok()?.annals;
    Some(ChainPosition { chain: chain.parse().ok()?, sequence: Sequence(sequence) })
}

/// The seal of a stored document, `annals.seal`; `None` if the bytes are not a document or hold no seal.
///
/// The seal ends in a MAC over the leaf hash, which covers position, link and content: two documents with the same seal
/// are the same event, even if one of them is the stub of the other.
pub fn seal_of(document: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Document {
        annals: Annals,
    }
    #[derive(Deserialize)]
    struct Annals {
        seal: String,
    }
    serde_json::from_slice::<Document>(document).ok().map(|document| document.annals.seal)
}

/// Whether the document is in the place of an event that its store refused.
pub fn is_stub(document: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        annals: Annals<'a>,
    }
    #[derive(Deserialize)]
    struct Annals<'a> {
        kind: &'a str,
    }
    serde_json::from_slice::<Document<'_>>(document)
        .ok()
        .and_then(|document| DocumentKind::parse(document.annals.kind))
        .is_some_and(|kind| kind != DocumentKind::Event)
}

/// Whether two documents at the same position are the same event, even if one is the stub of the other.
///
/// Compares seals. Unsealed documents are compared byte for byte, a stub by the document that it was made from.
pub fn is_same_event(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return true;
    }
    let is_stub_of = |stub_bytes: &[u8], document: &[u8]| {
        [stub(document), stub_without_content(document)].iter().flatten().any(|stub| stub == stub_bytes)
    };
    match (seal_of(one), seal_of(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => is_stub_of(one, other) || is_stub_of(other, one),
        (Some(_), None) | (None, Some(_)) => false,
    }
}
