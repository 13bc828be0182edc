//! Who is calling, what they may do, and what of the log they may read.
//!
//! A [`Principal`] has grants of roles; [`Need`] is the one table of what a role may do. A query becomes a
//! [`ScopedQuery`](crate::query::ScopedQuery) by a [`Permit`] alone. Nothing here knows HTTP.

mod config;
mod identify;
mod keys;
mod needs;
mod permit;
mod presented;
mod principal;
mod remote;
mod rules;

use std::sync::Arc;

pub use config::{AccessConfig, AccessProblem, AuthenticatorKind};
pub use identify::AccessError;
use identify::Authenticators;
pub use keys::{ChangeError, KeyInfo, Keys, KeysError, Known, NewKey};
pub use needs::Need;
pub use permit::{Denied, Permit, permit, scope};
pub use presented::Presented;
pub use principal::{BadGrant, Grant, GrantText, Means, Principal, Refusal, Role, Visible};
pub use remote::Unavailable;

use crate::event::UnixMillis;

/// All that is known of access while the service runs.
pub struct Access {
    keys: Arc<Keys>,
    authenticators: Authenticators,
    session_cookie: Option<String>,
}

impl Access {
    pub fn new(config: &AccessConfig, keys: Arc<Keys>) -> Result<Self, AccessError> {
        let session_cookie = config.uses(AuthenticatorKind::Kibana).then(|| config.kibana.cookie.clone());
        Ok(Self { authenticators: Authenticators::new(config, &keys)?, keys, session_cookie })
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The name of the cookie that says who is calling, where one does.
    pub fn session_cookie(&self) -> Option<&str> {
        self.session_cookie.as_deref()
    }

    pub async fn identify(&self, presented: &Presented, now: UnixMillis) -> Identified {
        match self.authenticators.own_key(presented, now) {
            Known::Key(principal) => return Identified::Known(principal),
            Known::Expired { .. } | Known::Unknown => {}
        }
        match self.authenticators.known_elsewhere(presented, now).await {
            Ok(Some(principal)) => Identified::Known(principal),
            Ok(None) => Identified::Unknown,
            Err(error) => Identified::Unavailable(error),
        }
    }
}

/// What came of the question who is calling.
#[derive(Clone, Debug)]
pub enum Identified {
    Known(Arc<Principal>),
    /// Nobody knows these credentials.
    Unknown,
    /// Nobody knows them of those who could be asked, and one could not.
    Unavailable(Unavailable),
}
