//! The seal members of a stored document: the first members of `annals`, as one span of bytes.

use memchr::{memchr, memchr2, memmem};
use serde::Deserialize;

use super::leaf::{ContentDigest, LeafKind, Salt};
use crate::event::RetentionClass;

/// The beginning of the object that the seal members are in.
const ANNALS: &[u8] = b"\"annals\":{";

/// What a stored document is, `annals.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentKind {
    /// An event with its content.
    Event,
    /// In the place of an event that the store refused: seal members, and the content as text in `annals.content`.
    Stub,
    /// In the place of an event that the store refused even so: seal members only.
    Hollow,
}

impl DocumentKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Stub => "stub",
            Self::Hollow => "hollow",
        }
    }

    /// What the leaf of such a document says that it is of.
    pub(super) const fn leaf_kind(self) -> LeafKind {
        match self {
            Self::Event | Self::Stub | Self::Hollow => LeafKind::Event,
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Event, Self::Stub, Self::Hollow].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The member that keeps a document from being read.
#[derive(Debug)]
pub(super) struct BadMember(pub(super) &'static str);

/// The values of the members that do not depend on whether the chain is sealed. None of the texts needs an escape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    pub(super) chain: &'a str,
    pub(super) kind: DocumentKind,
    /// In the form that documents have it.
    pub(super) received: &'a str,
    pub(super) class: RetentionClass,
    pub(super) sequence: u64,
}

/// The values of the members that only sealed documents have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed<'a> {
    pub(super) hash: &'a str,
    pub(super) previous: &'a str,
    pub(super) seal: &'a str,
}

/// Appends the members in the order of their names, each with a comma after it.
pub(super) fn put_members(placed: &Placed<'_>, sealed: Option<&Sealed<'_>>, out: &mut Vec<u8>) {
    let mut put = |parts: [&str; 3]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
    put(["\"chain\":\"", placed.chain, "\","]);
    if let Some(Sealed { hash, .. }) = sealed {
        put(["\"hash\":\"", hash, "\","]);
    }
    put(["\"kind\":\"", placed.kind.as_str(), "\","]);
    if let Some(Sealed { previous, .. }) = sealed {
        put(["\"previous\":\"", previous, "\","]);
    }
    put(["\"received\":\"", placed.received, "\","]);
    put(["\"retention\":\"", placed.class.as_str(), "\","]);
    if let Some(Sealed { seal, .. }) = sealed {
        put(["\"seal\":\"", seal, "\","]);
    }
    put(["\"sequence\":", itoa::Buffer::new().format(placed.sequence), ","]);
}

/// The members of a stored document that the log adds when it places an event in a chain.
#[derive(Debug)]
pub(super) struct Members<'a> {
    pub(super) placed: Placed<'a>,
    /// `None` in an unsealed chain.
    pub(super) sealed: Option<Sealed<'a>>,
    content: Content<'a>,
}

/// Where the hashed bytes are.
#[derive(Debug)]
enum Content<'a> {
    /// Before the seal members and behind them.
    Around([&'a [u8]; 2]),
    /// In a stub.
    Text(String),
    /// Nowhere, or the seal members are not where they belong.
    None,
}

/// What is around the seal members of a document.
fn around<'d>(document: &'d [u8], placed: &Placed<'_>, sealed: Option<&Sealed<'_>>) -> Option<[&'d [u8]; 2]> {
    let mut span = ANNALS.to_vec();
    put_members(placed, sealed, &mut span);
    let (before, rest) = document.split_at_checked(memmem::find(document, &span)? + ANNALS.len())?;
    Some([before, rest.get(span.len() - ANNALS.len()..)?])
}

/// Reads members that are written as the log writes them, each with a comma behind it.
struct Span<'a>(&'a [u8]);

impl<'a> Span<'a> {
    /// Takes a text without escapes, behind this beginning.
    fn text(&mut self, beginning: &str) -> Option<&'a str> {
        let rest = self.0.strip_prefix(beginning.as_bytes())?;
        let (text, rest) = rest.split_at_checked(memchr2(b'"', b'\\', rest)?)?;
        self.0 = rest.strip_prefix(b"\",")?;
        std::str::from_utf8(text).ok()
    }

    fn number(&mut self, beginning: &str) -> Option<u64> {
        let rest = self.0.strip_prefix(beginning.as_bytes())?;
        let (digits, rest) = rest.split_at_checked(memchr(b',', rest)?)?;
        let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        self.0 = rest.strip_prefix(b",")?;
        (itoa::Buffer::new().format(number).as_bytes() == digits).then_some(number)
    }
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    annals: Annals<'a>,
}

#[derive(Deserialize)]
struct Annals<'a> {
    chain: &'a str,
    content: Option<String>,
    hash: Option<&'a str>,
    kind: &'a str,
    previous: Option<&'a str>,
    received: &'a str,
    retention: &'a str,
    seal: Option<&'a str>,
    sequence: u64,
}

impl<'a> Members<'a> {
    pub(super) fn of(document: &'a [u8]) -> Result<Self, BadMember> {
        match Self::in_place(document) {
            Some(members) => Ok(members),
            None => Self::anywhere(document),
        }
    }

    /// Reads the members of a sealed event without parsing the rest of the document, if before them there is nothing but the
    /// usual time, so that no other object can be taken for theirs.
    fn in_place(document: &'a [u8]) -> Option<Self> {
        const TIME: &[u8] = b"{\"@timestamp\":\"";
        let time = document.strip_prefix(TIME)?;
        let (_, rest) = time.split_at_checked(memchr2(b'"', b'\\', time)?)?;
        let rest = rest.strip_prefix(b"\",")?.strip_prefix(ANNALS)?;
        let (before, _) = document.split_at_checked(document.len() - rest.len())?;
        let mut span = Span(rest);
        let chain = span.text("\"chain\":\"")?;
        let hash = span.text("\"hash\":\"")?;
        let kind = DocumentKind::parse(span.text("\"kind\":\"")?).filter(|kind| *kind == DocumentKind::Event)?;
        let previous = span.text("\"previous\":\"")?;
        let received = span.text("\"received\":\"")?;
        let class = RetentionClass::parse(span.text("\"retention\":\"")?)?;
        let seal = span.text("\"seal\":\"")?;
        let sequence = span.number("\"sequence\":")?;
        Some(Self {
            placed: Placed { chain, kind, received, class, sequence },
            sealed: Some(Sealed { hash, previous, seal }),
            content: Content::Around([before, span.0]),
        })
    }

    fn anywhere(document: &'a [u8]) -> Result<Self, BadMember> {
        let Document { annals } = serde_json::from_slice(document).map_err(|_| BadMember("annals"))?;
        let Annals { chain, content, hash, kind, previous, received, retention, seal, sequence } = annals;
        let kind = DocumentKind::parse(kind).ok_or(BadMember("annals.kind"))?;
        let class = RetentionClass::parse(retention).ok_or(BadMember("annals.retention"))?;
        let sealed = match (hash, previous, seal) {
            (Some(hash), Some(previous), Some(seal)) => Some(Sealed { hash, previous, seal }),
            (None, None, None) => None,
            (None, _, _) => return Err(BadMember("annals.hash")),
            (_, None, _) => return Err(BadMember("annals.previous")),
            (_, _, None) => return Err(BadMember("annals.seal")),
        };
        let placed = Placed { chain, kind, received, class, sequence };
        let content = match (kind, content) {
            (DocumentKind::Event, _) => {
                around(document, &placed, sealed.as_ref()).map_or(Content::None, Content::Around)
            }
            (DocumentKind::Stub, Some(text)) => Content::Text(text),
            (DocumentKind::Stub | DocumentKind::Hollow, _) => Content::None,
        };
        Ok(Self { placed, sealed, content })
    }

    /// The hashed bytes; `None` if the document has none, or if its seal members are not where they belong.
    pub(super) fn content(&self) -> Option<Vec<u8>> {
        self.parts().map(|parts| parts.concat())
    }

    /// The digest of the hashed bytes, if there are any.
    pub(super) fn digest(&self, salt: &Salt) -> Option<ContentDigest> {
        self.parts().map(|parts| ContentDigest::of_parts(salt, &parts))
    }

    /// Whether a document in the place of an event has these members and the content, and nothing else.
    pub(super) fn are_all_of(&self, document: &[u8]) -> bool {
        let text = match &self.content {
            Content::Text(text) => Some(text.as_str()),
            Content::Around(_) | Content::None => None,
        };
        self.stub(self.placed.kind, text).as_deref() == Some(document)
    }

    fn parts(&self) -> Option<[&[u8]; 2]> {
        match &self.content {
            Content::Around(parts) => Some(*parts),
            Content::Text(text) => Some([text.as_bytes(), b""]),
            Content::None => None,
        }
    }

    /// The document of another kind with the same members, and possibly a content as text.
    pub(super) fn stub(&self, kind: DocumentKind, content: Option<&str>) -> Option<Vec<u8>> {
        let mut stub = [b"{", ANNALS].concat();
        put_members(&Placed { kind, ..self.placed }, self.sealed.as_ref(), &mut stub);
        match content {
            Some(content) => {
                stub.extend_from_slice(b"\"content\":");
                serde_json::to_writer(&mut stub, content).ok()?;
            }
            // The comma after the last member.
            None => stub.truncate(stub.len() - 1),
        }
        stub.extend_from_slice(b"}}");
        Some(stub)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn document(content: &str) -> Vec<u8> {
        let placed = Placed {
            chain: "0123456789abcdef0123456789abcdef",
            kind: DocumentKind::Event,
            received: "2026-11-24T12:00:00.000Z",
            class: RetentionClass::General,
            sequence: 70,
        };
        let sealed = Sealed { hash: "aGFzaA", previous: "cHJldmlvdXM", seal: "0.c2VhbA" };
        let mut members = Vec::new();
        put_members(&placed, Some(&sealed), &mut members);
        let at = content.find("\"annals\":{").unwrap() + ANNALS.len();
        [&content.as_bytes()[..at], &members, &content.as_bytes()[at..]].concat()
    }

    const CONTENT: &str = r#"{"@timestamp":"2026-11-24T12:00:00.000Z","annals":{"node":"n","unmapped":{"x":{"annals":{"chain":"c"}}}},"message":"\"annals\":{"}"#;

    #[test]
    fn members_are_found_without_parsing_the_document() {
        let document = document(CONTENT);
        let members = Members::in_place(&document).unwrap();
        assert_eq!(members.placed.sequence, 70);
        assert_eq!(members.content().unwrap(), CONTENT.as_bytes());
        // Each has one form.
        let text = String::from_utf8(document).unwrap();
        for (from, to) in [("\"sequence\":70", "\"sequence\":070"), ("\"chain\":\"01", "\"chain\":\"\\u00301")] {
            assert!(text.contains(from) && Members::in_place(text.replace(from, to).as_bytes()).is_none(), "{to}");
        }
        // Moved to another object of that name, they are not the document's.
        let span = &text[text.find("\"chain\":\"0").unwrap()..text.find("\"node\"").unwrap()];
        let moved = CONTENT.replace("\"chain\":\"c\"", &format!("{span}\"chain\":\"c\""));
        assert!(Members::of(moved.as_bytes()).is_err());
        // Nor are those of an object before.
        let before =
            format!("{{\"@timestamp\":\"t\",\"a\":{{\"annals\":{{{span}\"z\":1}}}},\"annals\":{{\"node\":\"n\"}}}}");
        assert!(Members::of(before.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn both_ways_of_reading_agree(at in any::<prop::sample::Index>(), byte in prop::sample::select(b"\"\\,:{}[]0123456789aZ \n".to_vec())) {
            let mut document = document(CONTENT);
            let at = at.index(document.len());
            document[at] = byte;
            if let (Some(fast), Ok(slow)) = (Members::in_place(&document), Members::anywhere(&document)) {
                prop_assert_eq!(format!("{fast:?}"), format!("{slow:?}"));
            }
        }
    }
}
