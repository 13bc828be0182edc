//! Who is calling, what they may do, and which events they may read.
//!
//! A [`Principal`] has grants of roles; [`Permission`] is the one table of what a role may do. Only a [`Permit`] turns
//! a query into a [`ScopedQuery`](crate::query::ScopedQuery). Nothing here knows HTTP.

mod authority;
mod caller;
mod config;
mod credentials;
mod identify;
mod keys;
mod lockout;
mod object_grant;
mod permissions;
mod permit;
mod principal;
mod remote;
mod rules;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Duration};

use authority::Authority;
pub use caller::Caller;
pub use config::{AccessConfig, AccessProblem, AuthenticatorKind, AuthorityKind};
pub use credentials::Credentials;
pub use identify::AccessError;
use identify::{Authenticators, ExternalIdentity};
pub use keys::{ChangeError, KeyInfo, KeyLookup, Keys, KeysError, NewKey};
pub use lockout::FailedAttempts;
use lockout::{Attempt, AttemptRequest, BeginOutcome, Lockout};
pub use permissions::Permission;
pub use permit::{Denied, Permit, permit_visible, scope, try_scope};
pub use principal::{BadGrant, Grant, GrantText, Principal, Realm, Refusal, Role};
pub use remote::Unavailable;

use tokio::time::{Instant, timeout_at};

use crate::event::UnixMillis;

/// How long an attempt waits for its turn behind others of the same address or login.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything about access while the service runs.
pub struct Access {
    keys: Arc<Keys>,
    authenticators: Authenticators,
    authority: Authority,
    lockout: Lockout,
    session_cookie: Option<String>,
    cache: Duration,
    logs_finds: bool,
}

/// The result of identifying a caller.
#[derive(Clone, Debug)]
pub enum Identified {
    Known(Arc<Principal>),
    /// No system knows these credentials. If there is a report, it is to be logged.
    Unknown(Option<FailedAttempts>),
    /// Too many failures, or too many concurrent attempts: no system was asked, and the caller has to wait this long.
    Locked(Duration),
    /// At least one system was unavailable, and none of the others knows these credentials.
    Unavailable(Unavailable),
}

impl Access {
    pub fn new(config: &AccessConfig, keys: Arc<Keys>) -> Result<Self, AccessError> {
        Ok(Self {
            authenticators: Authenticators::new(config, &keys)?,
            keys,
            authority: Authority::new(config)?,
            lockout: Lockout::new(config.lockout.failures, config.lockout.longest)?,
            session_cookie: config.uses(AuthenticatorKind::Kibana).then(|| config.kibana.cookie.clone()),
            cache: config.cache,
            logs_finds: config.log_finds,
        })
    }

    /// How long another system's answer is cached.
    pub fn cache(&self) -> Duration {
        self.cache
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The name of the session cookie, if sessions are accepted.
    pub fn session_cookie(&self) -> Option<&str> {
        self.session_cookie.as_deref()
    }

    /// Whether to log finds by callers who may read everything.
    pub fn logs_finds(&self) -> bool {
        self.logs_finds
    }

    /// Identifies the caller. After too many failures, callers have to wait. That does not apply to the log's own keys,
    /// which cannot be guessed, so failures of others behind the same address need not lock their owner out; nor to
    /// recently identified callers.
    pub async fn identify(&self, credentials: &Credentials, address: Option<IpAddr>, now: UnixMillis) -> Identified {
        let expired_key = match self.authenticators.own_key(credentials, now) {
            KeyLookup::Key(principal) => return Identified::Known(principal),
            KeyLookup::Expired { name } => Some(name),
            KeyLookup::Unknown => None,
        };
        let attempt = match self.begin(credentials, address, expired_key).await {
            Ok(attempt) => attempt,
            Err(identified) => return identified,
        };
        match self.authenticators.ask_externals(credentials, now).await {
            ExternalIdentity::Known(principal) => {
                attempt.succeeded();
                Identified::Known(principal)
            }
            ExternalIdentity::Unknown => Identified::Unknown(attempt.failed()),
            ExternalIdentity::Unavailable { error, was_refused } => {
                if !(was_refused && attempt.is_of_login) {
                    attempt.cancel();
                }
                Identified::Unavailable(error)
            }
        }
    }

    /// Whether the credentials still identify the caller as this principal. This never counts as an attempt; if another
    /// system is unavailable, the answer is yes.
    pub async fn still_knows(&self, principal: &Principal, credentials: &Credentials, now: UnixMillis) -> bool {
        match self.authenticators.own_key(credentials, now) {
            KeyLookup::Key(found) => *found == *principal,
            KeyLookup::Expired { .. } => false,
            KeyLookup::Unknown => match self.authenticators.ask_externals(credentials, now).await {
                ExternalIdentity::Known(found) => *found == *principal,
                ExternalIdentity::Unknown => false,
                ExternalIdentity::Unavailable { .. } => true,
            },
        }
    }

    /// Begins an attempt, waiting for its turn; or returns a result that needs none.
    async fn begin(
        &self,
        credentials: &Credentials,
        address: Option<IpAddr>,
        expired_key: Option<String>,
    ) -> Result<Attempt<'_>, Identified> {
        let deadline = Instant::now() + TURN_TIMEOUT;
        loop {
            // Waiting requests mostly have the same credentials: one success is enough for all.
            if let Some(principal) = self.authenticators.cached(credentials) {
                return Err(Identified::Known(principal));
            }
            let ended = self.lockout.ended();
            match self.lockout.begin(AttemptRequest { address, credentials, expired_key: expired_key.clone() }) {
                BeginOutcome::Attempt(attempt) => return Ok(attempt),
                BeginOutcome::Locked(wait) => return Err(Identified::Locked(wait)),
                BeginOutcome::Full if timeout_at(deadline, ended).await.is_ok() => {}
                BeginOutcome::Full => return Err(Identified::Locked(Duration::from_secs(1))),
            }
        }
    }

    /// Reports of failed attempts that are due; to be called periodically.
    pub fn failed_attempts(&self) -> Vec<FailedAttempts> {
        self.lockout.due_reports()
    }

    /// All remaining reports, at shutdown.
    pub fn last_failed_attempts(&self) -> Vec<FailedAttempts> {
        self.lockout.remaining_reports()
    }
}
