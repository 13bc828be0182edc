//! The seal members of a stored document: the first members of `annals`, as one span of bytes.

use memchr::memmem;
use serde::Deserialize;

use super::leaf::LeafKind;
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
    /// Of a stub.
    content: Option<String>,
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
        Ok(Self { placed: Placed { chain, kind, received, class, sequence }, sealed, content })
    }

    /// The hashed bytes, from the document that these members are of; `None` if it has none, or if its seal members
    /// are not where they belong.
    pub(super) fn content(&self, document: &[u8]) -> Option<Vec<u8>> {
        match self.placed.kind {
            DocumentKind::Event => {
                let mut span = ANNALS.to_vec();
                put_members(&self.placed, self.sealed.as_ref(), &mut span);
                let found = memmem::find(document, &span)?;
                let (before, rest) = document.split_at_checked(found)?;
                Some([before, ANNALS, rest.get(span.len()..)?].concat())
            }
            DocumentKind::Stub => self.content.clone().map(String::into_bytes),
            DocumentKind::Hollow => None,
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
