//! Decomposes a stored document into its content and the leaf that its seal members claim.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

use super::leaf::{ContentDigest, Epoch, Leaf, LeafKind, Salt, decode_hash, encode_hash};
use crate::event::{ChainId, LeafHash, RetentionClass, Sequence, UnixMillis};

/// A decomposed document.
#[derive(Debug)]
pub struct Opened {
    pub leaf: Leaf,
    pub salt: Salt,
    pub mac: [u8; 16],
}

/// Why a document cannot be verified.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("the document has no valid {0}")]
    Member(&'static str),
    /// It has a position in a chain but no seal. In a sealed chain that is a fault.
    #[error("the document is not sealed and cannot be verified")]
    Unsealed,
    #[error("the content does not have the digest that the document states")]
    Digest,
}

/// Reads the seal members, extracts the content and checks its digest. Works on documents exactly as written, and on
/// stubs that have their content.
pub fn open(document: &[u8]) -> Result<Opened, VerifyError> {
    let Members { chain, received, sequence, seal, .. } = parse(document)?;
    let seal = seal.ok_or(VerifyError::Unsealed)?;
    let chain: ChainId = chain.parse().map_err(|_| VerifyError::Member("annals.chain"))?;
    let previous = decode_hash(seal.previous).ok_or(VerifyError::Member("annals.previous"))?;
    let received = UnixMillis::parse(received).ok_or(VerifyError::Member("annals.received"))?;
    let stated = decode_hash(seal.hash).ok_or(VerifyError::Member("event.hash"))?;
    let (epoch, salt, mac) = parse_seal(seal.seal).ok_or(VerifyError::Member("annals.seal"))?;
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
        sequence: Sequence(sequence),
        received,
        kind: LeafKind::Event,
        class,
        epoch,
        previous: LeafHash(previous),
        digest,
    };
    Ok(Opened { leaf, salt, mac })
}

/// The members set by the log itself, which documents and stubs have in common. None of their texts contains an escape.
pub(super) struct Members<'a> {
    pub(super) chain: &'a str,
    pub(super) received: &'a str,
    pub(super) sequence: u64,
    /// `None` in an unsealed chain.
    pub(super) seal: Option<SealMembers<'a>>,
    content: Option<String>,
}

pub(super) struct SealMembers<'a> {
    pub(super) previous: &'a str,
    pub(super) seal: &'a str,
    pub(super) hash: &'a str,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    annals: Annals<'a>,
    #[serde(borrow)]
    event: Event<'a>,
}

#[derive(Deserialize)]
struct Annals<'a> {
    chain: &'a str,
    previous: Option<&'a str>,
    received: &'a str,
    seal: Option<&'a str>,
    content: Option<String>,
}

#[derive(Deserialize)]
struct Event<'a> {
    hash: Option<&'a str>,
    sequence: u64,
}

pub(super) fn parse(document: &[u8]) -> Result<Members<'_>, VerifyError> {
    let Document { annals, event } =
        serde_json::from_slice(document).map_err(|_| VerifyError::Member("annals and event"))?;
    let seal = match (annals.previous, annals.seal, event.hash) {
        (Some(previous), Some(seal), Some(hash)) => Some(SealMembers { previous, seal, hash }),
        (None, None, None) => None,
        (None, _, _) => return Err(VerifyError::Member("annals.previous")),
        (_, None, _) => return Err(VerifyError::Member("annals.seal")),
        (_, _, None) => return Err(VerifyError::Member("event.hash")),
    };
    let Annals { chain, received, content, .. } = annals;
    Ok(Members { chain, received, sequence: event.sequence, seal, content })
}

impl Members<'_> {
    /// The inserted members of `annals` and of `event`, without the commas around them.
    pub(super) fn inserted_members(&self) -> (String, String) {
        let Self { chain, received, sequence, .. } = self;
        match &self.seal {
            Some(SealMembers { previous, seal, hash }) => (
                format!(
                    "\"chain\":\"{chain}\",\"previous\":\"{previous}\",\"received\":\"{received}\",\"seal\":\"{seal}\""
                ),
                format!("\"hash\":\"{hash}\",\"sequence\":{sequence}"),
            ),
            None => (format!("\"chain\":\"{chain}\",\"received\":\"{received}\""), format!("\"sequence\":{sequence}")),
        }
    }
}

/// The content of a document, or of a stub that has it: the hashed bytes.
pub(super) fn content_of(document: &[u8]) -> Option<Vec<u8>> {
    let members = parse(document).ok()?;
    let (annals, event) = members.inserted_members();
    if let Some(content) = members.content {
        return Some(content.into_bytes());
    }
    let without = remove_members(document, b"\"annals\":{", &annals)?;
    remove_members(&without, b"\"event\":{", &event)
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

/// `document` without `inserted_members` and the comma after it, which must directly follow the first `opening`.
fn remove_members(document: &[u8], opening: &[u8], inserted_members: &str) -> Option<Vec<u8>> {
    let found = memchr::memmem::find(document, opening)?;
    let (before, rest) = document.split_at_checked(found + opening.len())?;
    Some([before, rest.strip_prefix(inserted_members.as_bytes())?.strip_prefix(b",")?].concat())
}

fn parse_seal(seal: &str) -> Option<(Epoch, Salt, [u8; 16])> {
    let (epoch, both) = seal.split_once('.')?;
    let number: u32 = epoch.parse().ok()?;
    let both: [u8; 32] = URL_SAFE_NO_PAD.decode(both).ok()?.try_into().ok()?;
    // A seal has exactly one text form: no sign, no leading zeros, no spare bits.
    (number.to_string() == epoch && encode_hash(&both).as_slice() == seal.split_once('.')?.1.as_bytes())
        .then_some(())?;
    let (salt, mac) = both.split_at_checked(16)?;
    Some((Epoch(number), Salt(salt.try_into().ok()?), mac.try_into().ok()?))
}
