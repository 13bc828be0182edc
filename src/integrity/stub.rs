//! Stubs, which replace events that a store permanently refuses, so that their chains have no gaps.

use super::verify::{content_of, parse};

/// A document with the seal members of `document` and its content as text in `annals.content`, a field that no engine
/// indexes. `None` if `document` has no position in a chain.
pub fn stub(document: &[u8]) -> Option<Vec<u8>> {
    build(document, Some(&String::from_utf8(content_of(document)?).ok()?))
}

/// A stub without the content, for a store that accepts nothing of that size. Its digest can be checked only against
/// the dead letter; chain, link and seal can be checked as usual.
pub fn stub_without_content(document: &[u8]) -> Option<Vec<u8>> {
    build(document, None)
}

fn build(document: &[u8], content: Option<&str>) -> Option<Vec<u8>> {
    let (annals, event) = parse(document).ok()?.inserted_members();
    let content = match content {
        Some(text) => format!(",\"content\":{}", serde_json::to_string(text).ok()?),
        None => String::new(),
    };
    Some(format!("{{\"annals\":{{{annals}{content}}},\"event\":{{{event}}}}}").into_bytes())
}
