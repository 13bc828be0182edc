//! Takes a stored document apart again: its content, and the leaf that its seal members claim.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::leaf::{ContentDigest, Epoch, Leaf, LeafKind, RetentionClass, Salt, decode_hash, encode_hash};
use crate::event::{ChainId, LeafHash, Sequence, UnixMillis};

/// A stored document, taken apart.
#[derive(Debug)]
pub struct Opened {
    pub leaf: Leaf,
    pub salt: Salt,
    pub mac: [u8; 16],
}

/// What makes a document unverifiable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("the document has no {0}, or not in its form")]
    Member(&'static str),
    #[error("the content does not have the digest that the document states")]
    Digest,
}

/// Reads the seal members, cuts the content out and checks its digest. Works on documents byte for byte as they were
/// written, and on stubs that keep their content.
pub fn open(document: &[u8]) -> Result<Opened, VerifyError> {
    let Document { annals, event } = parse(document)?;
    let chain: ChainId = annals.chain.parse().map_err(|_| VerifyError::Member("annals.chain"))?;
    let previous = decode_hash(annals.previous).ok_or(VerifyError::Member("annals.previous"))?;
    let received: jiff::Timestamp = annals.received.parse().map_err(|_| VerifyError::Member("annals.received"))?;
    let stated = decode_hash(event.hash).ok_or(VerifyError::Member("event.hash"))?;
    let (epoch, salt, mac) = parse_seal(annals.seal).ok_or(VerifyError::Member("annals.seal"))?;
    let content = content_of(document).ok_or(VerifyError::Member("seal members where they belong"))?;
    let digest = ContentDigest::of(&salt, &content);
    if digest.0 != stated {
        return Err(VerifyError::Digest);
    }
    let retention = retention_of(&content);
    let class = [RetentionClass::General, RetentionClass::Long, RetentionClass::Permanent]
        .into_iter()
        .find(|class| retention.as_deref() == Some(class.as_str()))
        .ok_or(VerifyError::Member("annals.retention"))?;
    let leaf = Leaf {
        chain,
        sequence: Sequence(event.sequence),
        received: UnixMillis(received.as_millisecond()),
        kind: LeafKind::Event,
        class,
        epoch,
        previous: LeafHash(previous),
        digest,
    };
    Ok(Opened { leaf, salt, mac })
}

/// The seal members, which documents and stubs alike have. None of their texts holds an escape.
#[derive(Deserialize)]
pub(super) struct Document<'a> {
    #[serde(borrow)]
    pub(super) annals: Annals<'a>,
    #[serde(borrow)]
    pub(super) event: Event<'a>,
}

#[derive(Deserialize)]
pub(super) struct Annals<'a> {
    pub(super) chain: &'a str,
    pub(super) previous: &'a str,
    pub(super) received: &'a str,
    pub(super) seal: &'a str,
    content: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Event<'a> {
    pub(super) hash: &'a str,
    pub(super) sequence: u64,
}

pub(super) fn parse(document: &[u8]) -> Result<Document<'_>, VerifyError> {
    serde_json::from_slice(document).map_err(|_| VerifyError::Member("annals and event"))
}

/// The content of a sealed document, or of a stub that kept it: the bytes that were hashed.
pub(super) fn content_of(document: &[u8]) -> Option<Vec<u8>> {
    let Document { annals, event } = parse(document).ok()?;
    if let Some(content) = annals.content {
        return Some(content.into_bytes());
    }
    let spliced_annals = format!(
        "\"chain\":\"{}\",\"previous\":\"{}\",\"received\":\"{}\",\"seal\":\"{}\",",
        annals.chain, annals.previous, annals.received, annals.seal
    );
    let spliced_event = format!("\"hash\":\"{}\",\"sequence\":{},", event.hash, event.sequence);
    let without = cut(document, b"\"annals\":{", spliced_annals.as_bytes())?;
    cut(&without, b"\"event\":{", spliced_event.as_bytes())
}

fn retention_of(content: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Content {
        annals: Annals,
    }
    #[derive(Deserialize)]
    struct Annals {
        retention: String,
    }
    serde_json::from_slice::<Content>(content).ok().map(|content| content.annals.retention)
}

/// `document` without `spliced`, which must follow directly on the first `opening`.
fn cut(document: &[u8], opening: &[u8], spliced: &[u8]) -> Option<Vec<u8>> {
    let found = memchr::memmem::find(document, opening)?;
    let (before, rest) = document.split_at_checked(found + opening.len())?;
    Some([before, rest.strip_prefix(spliced)?].concat())
}

fn parse_seal(seal: &str) -> Option<(Epoch, Salt, [u8; 16])> {
    let (epoch, both) = seal.split_once('.')?;
    let number: u32 = epoch.parse().ok()?;
    let both: [u8; 32] = URL_SAFE_NO_PAD.decode(both).ok()?.try_into().ok()?;
    // One seal has one text: no sign, no leading zeros, no spare bits.
    (number.to_string() == epoch && encode_hash(&both).as_slice() == seal.split_once('.')?.1.as_bytes())
        .then_some(())?;
    let (salt, mac) = both.split_at_checked(16)?;
    Some((Epoch(number), Salt(salt.try_into().ok()?), mac.try_into().ok()?))
}
