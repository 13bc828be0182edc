//! The sealed record: what is hashed, linked and sealed, and how. The formats here are for ever; format 1 is this.
//!
//! - The **content** of an event is its canonical JSON (RFC 8785) without the six seal members `annals.chain`,
//!   `annals.previous`, `annals.received`, `annals.seal`, `event.hash` and `event.sequence`. The stored document is the content
//!   with those members spliced in, in two places, so the content can be cut out of it again byte for byte.
//! - The **digest** is SHA-256("annals content 1\n" ‖ salt ‖ content), with 16 random bytes of salt per event; it is
//!   `event.hash`, in base64url without padding.
//! - The **leaf hash** covers chain, sequence, time received, kind, class, key epoch, the previous leaf hash and the digest
//!   ([`Leaf`]). It is the leaf of the chain's RFC 6962 tree, and the next event's `annals.previous`.
//! - The **seal** is `<epoch>.<base64url(salt ‖ mac)>`, the mac being the first 16 bytes of HMAC-SHA-256 over the leaf hash
//!   under the chain's key of that epoch ([`ChainKeys`]).
//! - The first event of a chain links to the hash of its [`OpeningRecord`].
//! - A **stub** stands in the place of an event that a store refuses for good: the same seal members, and the content as
//!   text in `annals.content`.

mod chain;
mod keys;
mod leaf;
mod stub;
mod tree;
mod verify;

pub use chain::{Chain, ChainError, ChainState, ContentRef, OpeningRecord, Predecessor, SEAL_OVERHEAD, Sealing};
pub use keys::{ChainKeys, MAC_BYTES, SealSecret, ShortSecret};
pub use leaf::{
    ContentDigest, Epoch, LEAF_BYTES, Leaf, LeafKind, RetentionClass, Salt, decode_hash, encode_hash, node_hash,
};
pub use stub::{stub, stub_without_content};
pub use tree::Frontier;
pub use verify::{Opened, VerifyError, open};

use serde::Deserialize;

/// The seal of a stored document, `annals.seal`; `None` if the bytes are no document or hold none.
///
/// The seal ends in a mac over the leaf hash, which covers position, link and content: two documents with the same seal
/// are the same event, also if one of them is the stub of the other.
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
