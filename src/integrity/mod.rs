//! The sealed record: what is hashed, linked and sealed, and how.

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
