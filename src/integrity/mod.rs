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
mod check;
mod finding;
mod keys;
mod leaf;
mod members;
pub mod proof;
mod stated;
mod stub;
mod tree;
mod verify;

pub use chain::{
    Chain, ChainError, ChainState, ContentRef, MustEnd, OpeningRecord, Predecessor, SEAL_OVERHEAD, Sealing,
};
pub use check::{ChainCheck, ChainSummary, Known};
pub use finding::{Finding, FindingCode, Findings};
pub use keys::{ChainKeys, MAC_BYTES, SealSecret, ShortSecret};
pub use leaf::{ContentDigest, Epoch, LEAF_BYTES, Leaf, LeafKind, Salt, decode_hash, encode_hash, node_hash};
pub use members::DocumentKind;
pub use stated::{is_same_event, is_stub, position_of, seal_of};
pub use stub::{stub, stub_without_content};
pub use tree::{NodeHash, TreeRange};
pub use verify::{Examined, Opened, VerifyError, open};

#[cfg(test)]
mod tests;
