//! Bearer tokens of an OpenID Connect issuer: signed JWTs, verified here with the keys that the issuer publishes.
//!
//! A token holds if its signature is by one of the issuer's keys with RS256, ES256 or EdDSA (the key's own kind, whatever
//! the token says), its issuer and audience are those configured, and its time is now. A token of another
//! issuer is not ours to judge.

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

/// One issuer.
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

    /// What the token says of the caller; `None` if it does not hold.
    pub(super) async fn ask(&self, bearer: &str, now: UnixMillis) -> Result<Option<Value>, Unavailable> {
        let Some(token) = Token::read(bearer) else { return Ok(None) };
        let Some(claims) = self.claims_that_hold(&token, now) else { return Ok(None) };
        Ok(self.jwks.has_signed(&token).await?.then_some(claims))
    }

    /// All but the signature, which costs more.
    fn claims_that_hold(&self, token: &Token<'_>, now: UnixMillis) -> Option<Value> {
        let claims = &token.claims;
        let text = |value: &Value, expected: &[String]| {
            value.as_str().is_some_and(|text| expected.iter().any(|expected| expected == text))
        };
        let audience = claims.get("aud")?;
        let is_for_us = match audience {
            Value::Array(items) => items.iter().any(|item| text(item, &self.audience)),
            Value::String(_) => text(audience, &self.audience),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
        };
        let is_from_issuer = claims.get("iss").and_then(Value::as_str) == Some(self.issuer.as_str());
        let seconds = |name: &str| claims.get(name).map(|time| time.as_f64().unwrap_or(f64::NAN));
        let now = now.0 as f64 / 1000.0;
        let leeway = self.leeway.as_secs_f64();
        let has_not_ended = seconds("exp").is_some_and(|exp| now < exp + leeway);
        let has_begun = seconds("nbf").is_none_or(|nbf| nbf - leeway <= now);
        (is_for_us && is_from_issuer && has_not_ended && has_begun).then(|| claims.clone())
    }
}
