//! What takes the place of an event that a store refuses for good, so that its chain has no hole there.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::verify::content_of;

/// A document with the seal members of `document` and its content as text in `annals.content`, a field that no engine
/// reads. `None` if `document` is not a sealed one.
pub fn stub(document: &[u8]) -> Option<Vec<u8>> {
    build(document, Some(&String::from_utf8(content_of(document)?).ok()?))
}

/// The same without the content, for a store that takes nothing of that size. Its digest can be checked against the dead
/// letter only; chain, link and seal can be checked as ever.
pub fn stub_without_content(document: &[u8]) -> Option<Vec<u8>> {
    build(document, None)
}

fn build(document: &[u8], content: Option<&str>) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        annals: Annals<'a>,
        #[serde(borrow)]
        event: Event<'a>,
    }
    #[derive(Deserialize)]
    struct Annals<'a> {
        #[serde(borrow)]
        chain: &'a RawValue,
        #[serde(borrow)]
        previous: &'a RawValue,
        #[serde(borrow)]
        received: &'a RawValue,
        #[serde(borrow)]
        seal: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        hash: &'a RawValue,
        #[serde(borrow)]
        sequence: &'a RawValue,
    }
    let Document { annals, event } = serde_json::from_slice(document).ok()?;
    let content = match content {
        Some(text) => format!(",\"content\":{}", serde_json::to_string(text).ok()?),
        None => String::new(),
    };
    Some(
        format!(
            "{{\"annals\":{{\"chain\":{},\"previous\":{},\"received\":{},\"seal\":{}{content}}},\
             \"event\":{{\"hash\":{},\"sequence\":{}}}}}",
            annals.chain, annals.previous, annals.received, annals.seal, event.hash, event.sequence
        )
        .into_bytes(),
    )
}
