//! Identifies callers: asks the authenticators in the configured order.

mod cache;
mod engine;
pub(super) mod kibana;
mod oidc;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::Value;

use self::{cache::Cache, oidc::Oidc};
use super::{
    Credentials, KeyLookup, Keys, Principal, Realm,
    config::{AccessConfig, AuthenticatorKind},
    principal::BadGrant,
    remote::{Remote, RemoteError, Unavailable},
    rules::{Rules, look_up},
};
use crate::event::UnixMillis;

/// Why authentication cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error("access.{section}")]
    Remote { section: &'static str, source: RemoteError },
    #[error("access.rules: {0}")]
    Rule(#[from] BadGrant),
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// All authenticators. No other system knows the log's own keys, so their place in the order makes no difference.
pub(super) struct Authenticators {
    keys: Option<Arc<Keys>>,
    externals: Vec<External>,
}

/// The answer of other systems about a caller.
pub(super) enum ExternalIdentity {
    Known(Arc<Principal>),
    Unknown,
    /// None of the systems that answered knows them.
    Unavailable {
        error: Unavailable,
        /// Whether a system received the credentials and answered.
        was_refused: bool,
    },
}

/// Another system, how its answers map to grants here, and its recent answers.
struct External {
    realm: Realm,
    system: System,
    rules: Rules,
    /// Where its answers hold the caller's name.
    name_claim: String,
    cache: Cache,
}

enum System {
    Engine(Remote),
    Kibana { remote: Remote, cookie: String },
    Oidc(Box<Oidc>),
}

impl Authenticators {
    pub(super) fn new(config: &AccessConfig, keys: &Arc<Keys>) -> Result<Self, AccessError> {
        let externals = config.authenticators.iter().filter_map(|kind| external(*kind, config));
        Ok(Self {
            keys: config.uses(AuthenticatorKind::ApiKeys).then(|| Arc::clone(keys)),
            externals: externals.collect::<Result<_, _>>()?,
        })
    }

    /// Checks for one of this log's own keys. That is cheap, and a key cannot be guessed.
    pub(super) fn own_key(&self, credentials: &Credentials, now: UnixMillis) -> KeyLookup {
        match (&self.keys, credentials.key()) {
            (Some(keys), Some(key)) => keys.look_up(key, now),
            (None, _) | (_, None) => KeyLookup::Unknown,
        }
    }

    /// The caller if another system identified them recently.
    pub(super) fn cached(&self, credentials: &Credentials) -> Option<Arc<Principal>> {
        self.externals.iter().find_map(|external| external.cache.get(credentials))
    }

    /// Asks the other systems. The first one that knows the caller decides.
    pub(super) async fn ask_externals(&self, credentials: &Credentials, now: UnixMillis) -> ExternalIdentity {
        let (mut was_refused, mut silent) = (false, None);
        for external in &self.externals {
            match external.identify(credentials, now).await {
                Ok(Some(principal)) => return ExternalIdentity::Known(principal),
                Ok(None) => was_refused |= external.accepts(credentials),
                Err(error) => silent = Some(Unavailable(format!("{}: {error}", external.realm))),
            }
        }
        silent.map_or(ExternalIdentity::Unknown, |error| ExternalIdentity::Unavailable { error, was_refused })
    }
}

/// `None` for the log's own keys.
fn external(kind: AuthenticatorKind, config: &AccessConfig) -> Option<Result<External, AccessError>> {
    let at = |section, urls: &[String], ca_file: Option<&Path>| {
        Remote::new(section, urls, ca_file, config.timeout).map_err(|source| AccessError::Remote { section, source })
    };
    let AccessConfig { elasticsearch, kibana, oidc, .. } = config;
    let (realm, system, name_claim) = match kind {
        AuthenticatorKind::ApiKeys => return None,
        AuthenticatorKind::Elasticsearch => {
            let remote = at("elasticsearch", &elasticsearch.urls, elasticsearch.ca_file.as_deref());
            (Realm::Elasticsearch, remote.map(System::Engine), "username")
        }
        AuthenticatorKind::Kibana => {
            let remote = at("kibana", &kibana.urls, kibana.ca_file.as_deref());
            let system = remote.map(|remote| System::Kibana { remote, cookie: kibana.cookie.clone() });
            (Realm::Kibana, system, "username")
        }
        AuthenticatorKind::Oidc => {
            let issuer = Oidc::new(oidc, config.timeout);
            let issuer = issuer.map_err(|source| AccessError::Remote { section: "oidc", source });
            (Realm::Oidc, issuer.map(|issuer| System::Oidc(Box::new(issuer))), oidc.name_claim.as_str())
        }
    };
    Some(system.and_then(|system| External::new(realm, system, name_claim, config)))
}

impl External {
    fn new(realm: Realm, system: System, name_claim: &str, config: &AccessConfig) -> Result<Self, AccessError> {
        let rules = Rules::of(realm, config.rules.values())?;
        // A token is verified here each time, so that it ends when it expires.
        let holds_for = if realm == Realm::Oidc { Duration::ZERO } else { config.cache };
        Ok(Self { realm, system, rules, name_claim: name_claim.to_owned(), cache: Cache::new(holds_for)? })
    }

    /// Whether it is asked about these credentials.
    fn accepts(&self, credentials: &Credentials) -> bool {
        match &self.system {
            System::Engine(_) => credentials.authorization().is_some(),
            System::Kibana { .. } => credentials.authorization().is_some() || credentials.session().is_some(),
            System::Oidc(_) => credentials.bearer().is_some(),
        }
    }

    async fn identify(
        &self,
        credentials: &Credentials,
        now: UnixMillis,
    ) -> Result<Option<Arc<Principal>>, Unavailable> {
        if let Some(principal) = self.cache.get(credentials) {
            return Ok(Some(principal));
        }
        let claims = match &self.system {
            System::Engine(remote) => engine::ask(remote, credentials).await?,
            System::Kibana { remote, cookie } => kibana::ask(remote, cookie, credentials).await?,
            System::Oidc(oidc) => match credentials.bearer() {
                Some(bearer) => oidc.ask(bearer, now).await?,
                None => None,
            },
        };
        let principal = claims.and_then(|claims| self.principal(&claims)).map(Arc::new);
        if let Some(principal) = &principal {
            self.cache.put(credentials, principal);
        }
        Ok(principal)
    }

    /// `None` if the answer has no name.
    fn principal(&self, claims: &Value) -> Option<Principal> {
        let name = look_up(claims, &self.name_claim)?.as_str().filter(|name| !name.is_empty())?.to_owned();
        Some(Principal { name, realm: self.realm, grants: self.rules.grants(claims) })
    }
}
