//! Bearer tokens of an OpenID Connect issuer: signed JWTs, verified here with the keys that the issuer publishes.
//!
//! A token is valid if it is signed by one of the issuer's keys with RS256, ES256 or EdDSA (the key's own kind,
//! whatever the token says), has the configured issuer and audience, and is within its time of validity. Tokens of
//! other issuers are ignored.

mod jwks;
mod token;

use std::time::Duration;

use serde_json::Value;

use self::{jwks::Jwks, token::Token};
use crate::{
    access::{
        config::OidcConfig,
        remote::{RemoteError, Unavailable},
    },
    event::UnixMillis,
};

pub(super) struct Oidc {
    issuer: String,
    audience: Vec<String>,
    leeway: Duration,
    jwks: Jwks,
}

impl Oidc {
    pub(super) fn new(config: &OidcConfig, timeout: Duration) -> Result<Self, RemoteError> {
        Ok(Self {
            issuer: config.issuer.clone().unwrap_or_default(),
            audience: config.audience.clone(),
            leeway: config.leeway,
            jwks: Jwks::new(config, timeout)?,
        })
    }

    /// The claims of a valid token, else `None`. Only the operator learns why a token is invalid.
    pub(super) async fn ask(&self, bearer: &str, now: UnixMillis) -> Result<Option<Value>, Unavailable> {
        let Some(token) = Token::read(bearer) else { return Ok(None) };
        if let Some(reason) = self.flaw(&token.claims, now) {
            tracing::debug!(reason, "a token is not valid");
            return Ok(None);
        }
        if !self.jwks.verifies(&token).await? {
            tracing::debug!(key = token.key_id, "a token is not valid: none of the issuer's keys has signed it");
            return Ok(None);
        }
        Ok(Some(token.claims))
    }

    /// The first error in the claims; the signature is checked last, as it costs more.
    fn flaw(&self, claims: &Value, now: UnixMillis) -> Option<&'static str> {
        let is_ours = |audience: &Value| {
            audience.as_str().is_some_and(|audience| self.audience.iter().any(|ours| ours == audience))
        };
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(items)) => items.iter().any(is_ours),
            Some(one) => is_ours(one),
            None => false,
        };
        let is_from_issuer = claims.get("iss").and_then(Value::as_str) == Some(self.issuer.as_str());
        let seconds = |name: &str| claims.get(name).map(|time| time.as_f64().unwrap_or(f64::NAN));
        let now = now.0 as f64 / 1000.0;
        let leeway = self.leeway.as_secs_f64();
        let has_not_ended = seconds("exp").is_some_and(|exp| now < exp + leeway);
        let has_begun = seconds("nbf").is_none_or(|nbf| nbf - leeway <= now);
        match (is_from_issuer, is_for_us, has_not_ended, has_begun) {
            (false, ..) => Some("`iss` is not access.oidc.issuer"),
            (_, false, ..) => Some("`aud` has none of access.oidc.audience"),
            (_, _, false, _) => Some("`exp` has passed or is missing"),
            (.., false) => Some("`nbf` is to come"),
            (true, true, true, true) => None,
        }
    }
}
