//! Who is calling, what they may do, and what of the log they may read.
//!
//! A [`Principal`] has grants of roles; [`Need`] is the one table of what a role may do. A query becomes a
//! [`ScopedQuery`](crate::query::ScopedQuery) by a [`Permit`] alone. Nothing here knows HTTP.

mod authority;
mod config;
mod identify;
mod keys;
mod lockout;
mod needs;
mod permit;
mod presented;
mod principal;
mod remote;
mod rules;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;

use std::{net::IpAddr, sync::Arc, time::Duration};

use authority::Authority;
pub use config::{AccessConfig, AccessProblem, AuthenticatorKind, AuthorityKind};
pub use identify::AccessError;
use identify::Authenticators;
pub use keys::{ChangeError, KeyInfo, Keys, KeysError, Known, NewKey};
pub use lockout::FailedAttempts;
use lockout::Lockout;
pub use needs::Need;
pub use permit::{Denied, Permit, permit_visible, scope};
pub use presented::Presented;
pub use principal::{BadGrant, Grant, GrantText, Means, Principal, Refusal, Role};
pub use remote::Unavailable;

use crate::event::UnixMillis;

/// All that is known of access while the service runs.
pub struct Access {
    keys: Arc<Keys>,
    authenticators: Authenticators,
    authority: Authority,
    lockout: Lockout,
    session_cookie: Option<String>,
    logs_finds: bool,
}

/// What came of the question who is calling.
#[derive(Clone, Debug)]
pub enum Identified {
    Known(Arc<Principal>),
    /// Nobody knows these credentials; an event may have to tell of it.
    Unknown(Option<FailedAttempts>),
    /// Nobody was asked: there were too many failures before, and the caller has to wait for so long.
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
            lockout: Lockout::new(config.lockout.failures, config.lockout.longest),
            session_cookie: config.uses(AuthenticatorKind::Kibana).then(|| config.kibana.cookie.clone()),
            logs_finds: config.log_finds,
        })
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
    /// that somebody else's failures behind the same address need not keep its owner out.
    pub async fn identify(&self, presented: &Presented, address: Option<IpAddr>, now: UnixMillis) -> Identified {
        let login = match self.authenticators.own_key(presented, now) {
            Known::Key(principal) => return Identified::Known(principal),
            Known::Expired { name } => Some(name),
            Known::Unknown => presented.login(),
        };
        if let Some(wait) = self.lockout.wait(address, login.as_deref()) {
            return Identified::Locked(wait);
        }
        match self.authenticators.known_elsewhere(presented, now).await {
            Ok(Some(principal)) => Identified::Known(principal),
            Ok(None) => Identified::Unknown(self.lockout.failed(address, login.as_deref())),
            Err(error) => Identified::Unavailable(error),
        }
    }

    /// Failed attempts of which no event has told yet; to be asked for now and then.
    pub fn failed_attempts(&self) -> Vec<FailedAttempts> {
        self.lockout.due()
    }
}
