//! The issuer's keys (RFC 7517). They are fetched when first needed, when they are old, and when a token names an
//! unknown key, because that is how issuers change keys. While the issuer does not answer, the known keys stay in use.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use reqwest::{Method, StatusCode};
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

use super::token::{Algorithm, Token, decode};
use crate::access::{
    config::OidcConfig,
    remote::{Remote, RemoteError, Request, Response, Unavailable, parse_url},
};

/// Keys are fetched again after this time, so that withdrawn ones become invalid.
const MAX_AGE: Duration = Duration::from_secs(600);
/// The minimum time between requests to the issuer, so that tokens with made-up keys cannot cause more of them.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// How long known keys are used if they cannot be fetched again.
const MAX_STALE_AGE: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Jwks(Arc<Store>);

struct Store {
    source: KeySource,
    keys: RwLock<Arc<FetchedKeys>>,
    /// When keys were last requested. Locked while one request fetches them for all.
    fetching: Mutex<Option<Instant>>,
}

enum KeySource {
    /// The key set itself.
    Keys { remote: Remote, path: String },
    /// A discovery document with the address of the key set.
    Discovery { remote: Remote, path: String, timeout: Duration, ca_file: Option<std::path::PathBuf> },
}

#[derive(Default)]
struct FetchedKeys {
    keys: Vec<VerificationKey>,
    at: Option<Instant>,
}

impl FetchedKeys {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.at.is_some_and(|at| at.elapsed() < age)
    }
}

struct VerificationKey {
    id: Option<String>,
    public: PublicKey,
}

enum PublicKey {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwks {
    pub(super) fn new(config: &OidcConfig, timeout: Duration) -> Result<Self, RemoteError> {
        let ca_file = config.ca_file.clone();
        let source = match &config.jwks_url {
            Some(url) => {
                let (remote, path) = split_url(url, ca_file.as_deref(), timeout)?;
                KeySource::Keys { remote, path }
            }
            None => {
                let issuer = config.issuer.as_deref().unwrap_or_default();
                let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let (remote, path) = split_url(&url, ca_file.as_deref(), timeout)?;
                KeySource::Discovery { remote, path, timeout, ca_file }
            }
        };
        Ok(Self(Arc::new(Store { source, keys: RwLock::default(), fetching: Mutex::default() })))
    }

    pub(super) async fn verifies(&self, token: &Token<'_>) -> Result<bool, Unavailable> {
        let known = self.0.current();
        if known.is_younger_than(MAX_AGE) && known.has_key_for(token) {
            return Ok(known.verifies(token));
        }
        match self.refresh(&known).await {
            Ok(fetched) => Ok(fetched.verifies(token)),
            Err(_) if known.is_younger_than(MAX_STALE_AGE) && known.has_key_for(token) => Ok(known.verifies(token)),
            Err(error) => Err(error),
        }
    }

    /// Runs in a task of its own, so that it completes even if the caller goes away, possibly on purpose.
    async fn refresh(&self, stale: &Arc<FetchedKeys>) -> Result<Arc<FetchedKeys>, Unavailable> {
        let (store, stale) = (Arc::clone(&self.0), Arc::clone(stale));
        let refreshed = tokio::spawn(async move { store.refresh(&stale).await }).await;
        refreshed.unwrap_or_else(|error| Err(Unavailable(format!("fetching the issuer's keys was aborted: {error}"))))
    }
}

impl Store {
    fn current(&self) -> Arc<FetchedKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns newer keys than these, unless that was tried a moment ago.
    async fn refresh(&self, stale: &Arc<FetchedKeys>) -> Result<Arc<FetchedKeys>, Unavailable> {
        let mut last = self.fetching.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, stale) {
            return Ok(current);
        }
        if last.is_some_and(|last| last.elapsed() < MIN_FETCH_INTERVAL) {
            let failed_before = current.at.is_none_or(|at| last.is_some_and(|last| last > at));
            let reason = "the issuer's keys could not be fetched a moment ago";
            return if failed_before { Err(Unavailable(reason.to_owned())) } else { Ok(current) };
        }
        let fetched = self.source.fetch().await;
        // Set after the attempt, so that callers who waited for it share its result, however long it took.
        *last = Some(Instant::now());
        let keys = fetched.inspect_err(
            |error| tracing::warn!(%error, "the issuer's keys cannot be fetched; known ones are used for up to a day"),
        )?;
        let fetched = Arc::new(FetchedKeys { keys, at: Some(Instant::now()) });
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fetched);
        Ok(fetched)
    }
}

/// Splits an address into its node and path.
fn split_url(url: &str, ca_file: Option<&std::path::Path>, timeout: Duration) -> Result<(Remote, String), RemoteError> {
    let mut node = parse_url(url)?;
    let path = node.path().trim_start_matches('/').to_owned();
    node.set_path("");
    Ok((Remote::new("oidc", &[node.to_string()], ca_file, timeout)?, path))
}

impl KeySource {
    async fn fetch(&self) -> Result<Vec<VerificationKey>, Unavailable> {
        match self {
            Self::Keys { remote, path } => fetch_keys(remote, path).await,
            Self::Discovery { remote, path, timeout, ca_file } => {
                #[derive(Deserialize)]
                struct Document {
                    jwks_uri: String,
                }
                let answer = get(remote, path).await?;
                let document: Document =
                    serde_json::from_slice(&answer.body).map_err(|error| answer.unexpected(error))?;
                let (remote, path) = split_url(&document.jwks_uri, ca_file.as_deref(), *timeout)
                    .map_err(|error| answer.unexpected(format_args!("jwks_uri: {error}")))?;
                fetch_keys(&remote, &path).await
            }
        }
    }
}

async fn fetch_keys(remote: &Remote, path: &str) -> Result<Vec<VerificationKey>, Unavailable> {
    let answer = get(remote, path).await?;
    let set: KeySet = serde_json::from_slice(&answer.body).map_err(|error| answer.unexpected(error))?;
    Ok(set.keys.into_iter().filter_map(VerificationKey::read).collect())
}

async fn get(remote: &Remote, path: &str) -> Result<Response, Unavailable> {
    let headers = vec![("accept", "application/json")];
    let answer = remote.ask(&Request { method: Method::GET, path, headers, body: None }).await?;
    if answer.status == StatusCode::OK { Ok(answer) } else { Err(answer.unexpected("expected a document")) }
}

fn strip_leading_zeros(number: Vec<u8>) -> Vec<u8> {
    number.into_iter().skip_while(|byte| *byte == 0).collect()
}

impl FetchedKeys {
    fn has_key_for(&self, token: &Token<'_>) -> bool {
        self.keys.iter().any(|key| key.matches(token))
    }

    fn verifies(&self, token: &Token<'_>) -> bool {
        self.keys.iter().filter(|key| key.matches(token)).any(|key| key.verifies(token))
    }
}

impl VerificationKey {
    /// Returns `None` for keys that do not sign or are of an unsupported kind.
    fn read(jwk: Jwk) -> Option<Self> {
        if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let bytes = |text: &Option<String>| text.as_deref().and_then(decode);
        let public = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            // Some issuers write leading zeros, as in a signed number.
            ("RSA", _) => {
                PublicKey::Rsa { n: strip_leading_zeros(bytes(&jwk.n)?), e: strip_leading_zeros(bytes(&jwk.e)?) }
            }
            ("EC", Some("P-256")) => {
                let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
                PublicKey::P256([&[4], x.as_slice(), y.as_slice()].concat())
            }
            ("OKP", Some("Ed25519")) => PublicKey::Ed25519(bytes(&jwk.x)?),
            _ => return None,
        };
        Some(Self { id: jwk.kid, public })
    }

    /// Matches by id, if the token names one, and by the kind of the key: a token cannot choose how a key is used.
    fn matches(&self, token: &Token<'_>) -> bool {
        let is_of_kind = match self.public {
            PublicKey::Rsa { .. } => token.algorithm == Algorithm::Rs256,
            PublicKey::P256(_) => token.algorithm == Algorithm::Es256,
            PublicKey::Ed25519(_) => token.algorithm == Algorithm::EdDsa,
        };
        is_of_kind && (token.key_id.is_none() || token.key_id == self.id)
    }

    fn verifies(&self, token: &Token<'_>) -> bool {
        let (message, signature) = (token.signed.as_bytes(), token.signature.as_slice());
        let verified = match &self.public {
            PublicKey::Rsa { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            PublicKey::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            PublicKey::Ed25519(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, signature),
        };
        verified.is_ok()
    }
}
