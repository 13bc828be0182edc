//! Decomposes a stored document into its content and the leaf that its seal members claim.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    leaf::{ContentDigest, Epoch, Leaf, Salt, decode_hash, encode_hash},
    members::{BadMember, DocumentKind, Members, Placed},
    stated::position_of,
};
use crate::{
    event::{ChainId, ChainPosition, LeafHash, Sequence, UnixMillis},
    time::format_millis,
};

/// A decomposed document.
#[derive(Debug)]
pub struct Opened {
    pub kind: DocumentKind,
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

impl From<BadMember> for VerifyError {
    fn from(BadMember(name): BadMember) -> Self {
        Self::Member(name)
    }
}

/// Reads the seal members, extracts the content and checks its digest. Works on documents exactly as written, and on
/// stubs. The digest of a hollow document is taken as it is stated.
pub fn open(document: &[u8]) -> Result<Opened, VerifyError> {
    let (opened, is_genuine) = open_any(document)?;
    if is_genuine { Ok(opened) } else { Err(VerifyError::Digest) }
}

/// A document, examined by itself.
#[derive(Debug)]
pub enum Examined {
    Sealed {
        opened: Opened,
        /// The leaf that it states.
        leaf: LeafHash,
        /// Whether its content is the one that the leaf has the digest of.
        is_genuine: bool,
    },
    /// It has a position in a chain but no seal.
    Unsealed(ChainPosition),
    /// It is none of the log, or was damaged.
    Invalid { position: Option<ChainPosition>, reason: VerifyError },
}

impl Examined {
    pub fn of(document: &[u8]) -> Self {
        let reason = match open_any(document) {
            Ok((opened, is_genuine)) => return Self::Sealed { leaf: opened.leaf.hash(), opened, is_genuine },
            Err(reason) => reason,
        };
        match (reason, position_of(document)) {
            (VerifyError::Unsealed, Some(position)) => Self::Unsealed(position),
            (reason, position) => Self::Invalid { position, reason },
        }
    }

    /// The position that the document states.
    pub fn position(&self) -> Option<ChainPosition> {
        match self {
            Self::Sealed { opened: Opened { leaf, .. }, .. } => {
                Some(ChainPosition { chain: leaf.chain, sequence: leaf.sequence })
            }
            Self::Unsealed(position) => Some(*position),
            Self::Invalid { position, .. } => *position,
        }
    }
}

/// Like [`open`], but with the leaf that a document with another content states, and whether the content is the one of its
/// digest.
fn open_any(document: &[u8]) -> Result<(Opened, bool), VerifyError> {
    let members = Members::of(document)?;
    let Placed { chain, kind, received, class, sequence } = members.placed;
    let sealed = members.sealed.ok_or(VerifyError::Unsealed)?;
    let chain: ChainId = chain.parse().map_err(|_| VerifyError::Member("annals.chain"))?;
    let previous = decode_hash(sealed.previous).ok_or(VerifyError::Member("annals.previous"))?;
    let received = UnixMillis::parse(received)
        .filter(|millis| format_millis(*millis) == received.as_bytes())
        .ok_or(VerifyError::Member("annals.received"))?;
    let digest = ContentDigest(decode_hash(sealed.hash).ok_or(VerifyError::Member("annals.hash"))?);
    let (epoch, salt, mac) = parse_seal(sealed.seal).ok_or(VerifyError::Member("annals.seal"))?;
    // In the place of an event there is nothing that its digest does not cover.
    let is_bare = kind == DocumentKind::Event || members.are_all_of(document);
    let has_digest = || members.digest(&salt).map(|own| own == digest).ok_or(VerifyError::Member("content"));
    let is_genuine = is_bare && (kind == DocumentKind::Hollow || has_digest()?);
    let leaf = Leaf {
        chain,
        sequence: Sequence(sequence),
        received,
        kind: kind.leaf_kind(),
        class,
        epoch,
        previous: LeafHash(previous),
        digest,
    };
    Ok((Opened { kind, leaf, salt, mac }, is_genuine))
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
