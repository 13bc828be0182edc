//! Who is calling, what they may do, and what of the log they may read.
//!
//! A [`Principal`] has grants of roles; [`Permission`] is the one table of what a role may do. A query becomes a
//! [`ScopedQuery`](crate::query::ScopedQuery) by a [`Permit`] alone. Nothing here knows HTTP.

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
pub use keys::{ChangeError, KeyInfo, Keys, KeysError, Known, NewKey};
pub use lockout::FailedAttempts;
use lockout::{Attempt, Begun, Claim, Lockout};
pub use permissions::Permission;
pub use permit::{Denied, Permit, permit_visible, scope, try_scope};
pub use principal::{BadGrant, Grant, GrantText, Principal, Realm, Refusal, Role};
pub use remote::Unavailable;

use tokio::time::{Instant, timeout_at};

use crate::event::UnixMillis;

/// How long an attempt waits for its turn behind others of the same address or login.
const TURN: Duration = Duration::from_secs(10);

/// All that is known of access while the service runs.
pub struct Access {
    keys: Arc<Keys>,
    authenticators: Authenticators,
    authority: Authority,
    lockout: Lockout,
    session_cookie: Option<String>,
    cache: Duration,
    logs_finds: bool,
}

/// What came of the question who is calling.
#[derive(Clone, Debug)]
pub enum Identified {
    Known(Arc<Principal>),
    /// Nobody knows these credentials; an event may have to tell of it.
    Unknown(Option<FailedAttempts>),
    /// Nobody was asked: there were too many failures before, or too many attempts are under way, and the caller has to wait for so long.
    Locked(Duration),
    /// Nobody knows them of those who could be asked, and one could not.
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

    /// How long what another system said is believed.
    pub fn cache(&self) -> Duration {
        self.cache
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The name of the cookie that says who is calling, where one does.
    pub fn session_cookie(&self) -> Option<&str> {
        self.session_cookie.as_deref()
    }

    /// Whether finds by those who may read everything are to be logged.
    pub fn logs_finds(&self) -> bool {
        self.logs_finds
    }

    /// Finds out who is calling. Whoever failed too often has to wait, but for the log's own keys: nobody can guess one, so
    /// that somebody else's failures behind the same address need not keep its owner out; and for those who were known a moment ago.
    pub async fn identify(&self, credentials: &Credentials, address: Option<IpAddr>, now: UnixMillis) -> Identified {
        let expired_key = match self.authenticators.own_key(credentials, now) {
            Known::Key(principal) => return Identified::Known(principal),
            Known::Expired { name } => Some(name),
            Known::Unknown => None,
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
                    attempt.came_to_nothing();
                }
                Identified::Unavailable(error)
            }
        }
    }

    /// Whether what was shown still makes the caller who they were found to be. Nobody fails here, so nothing counts as an attempt;
    /// where another system does not answer, nothing has changed.
    pub async fn still_knows(&self, principal: &Principal, credentials: &Credentials, now: UnixMillis) -> bool {
        match self.authenticators.own_key(credentials, now) {
            Known::Key(found) => *found == *principal,
            Known::Expired { .. } => false,
            Known::Unknown => match self.authenticators.ask_externals(credentials, now).await {
                ExternalIdentity::Known(found) => *found == *principal,
                ExternalIdentity::Unknown => false,
                ExternalIdentity::Unavailable { .. } => true,
            },
        }
    }

    /// An attempt, once it is its turn; or what is known without one.
    async fn begin(
        &self,
        credentials: &Credentials,
        address: Option<IpAddr>,
        expired_key: Option<String>,
    ) -> Result<Attempt<'_>, Identified> {
        let deadline = Instant::now() + TURN;
        loop {
            // Others that wait show the same, mostly: it is enough that one of them is known.
            if let Some(principal) = self.authenticators.cached(credentials) {
                return Err(Identified::Known(principal));
            }
            let ended = self.lockout.ended();
            match self.lockout.begin(Claim { address, credentials, expired_key: expired_key.clone() }) {
                Begun::Attempt(attempt) => return Ok(attempt),
                Begun::Locked(wait) => return Err(Identified::Locked(wait)),
                Begun::Full if timeout_at(deadline, ended).await.is_ok() => {}
                Begun::Full => return Err(Identified::Locked(Duration::from_secs(1))),
            }
        }
    }

    /// Failed attempts of which no event has told yet; to be asked for now and then.
    pub fn failed_attempts(&self) -> Vec<FailedAttempts> {
        self.lockout.due()
    }

    /// All of them, as nobody will ask again.
    pub fn last_failed_attempts(&self) -> Vec<FailedAttempts> {
        self.lockout.rest()
    }
}
