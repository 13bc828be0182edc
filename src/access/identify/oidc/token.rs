//! Parses a signed JWT in compact form (RFC 7515, RFC 7519); nothing in it is verified here.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

const MAX_BYTES: usize = 16 << 10;

pub(super) struct Token<'a> {
    pub(super) algorithm: Algorithm,
    /// The id of the key that allegedly signed it.
    pub(super) key_id: Option<String>,
    pub(super) claims: Value,
    /// The signed text: header and claims as received.
    pub(super) signed: &'a str,
    pub(super) signature: Vec<u8>,
}

/// The accepted signature algorithms. Neither `none` nor a shared secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Algorithm {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    /// Extensions that must be understood; none are.
    crit: Option<Value>,
}

impl<'a> Token<'a> {
    /// Returns `None` if the text is not such a token.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let claims: Value = serde_json::from_slice(&decode(claims)?).ok()?;
        if header.crit.is_some() || !claims.is_object() {
            return None;
        }
        let signature = decode(signature)?;
        Some(Self { algorithm: header.alg, key_id: header.kid, claims, signed, signature })
    }
}

pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
