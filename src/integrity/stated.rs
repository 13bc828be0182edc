//! What a stored document states of itself, without a check.

use serde::Deserialize;

use super::{
    members::DocumentKind,
    stub::{stub, stub_without_content},
};
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
