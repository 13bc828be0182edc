//! Stubs, which replace events that a store permanently refuses, so that their chains have no gaps.

use super::members::{DocumentKind, Members};

/// A document with the seal members of `document` and its content as text in `annals.content`, a field that no engine
/// indexes. `None` if `document` has no position in a chain.
pub fn stub(document: &[u8]) -> Option<Vec<u8>> {
    let members = Members::of(document).ok()?;
    let content = String::from_utf8(members.content()?).ok()?;
    members.stub(DocumentKind::Stub, Some(&content))
}

/// A stub without the content, for a store that accepts nothing of that size. Its digest can be checked only against
/// the dead letter; chain, link and seal can be checked as usual.
pub fn stub_without_content(document: &[u8]) -> Option<Vec<u8>> {
    Members::of(document).ok()?.stub(DocumentKind::Hollow, None)
}
