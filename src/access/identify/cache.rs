//! A cache of identified callers, so that not every request asks another system.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::access::{Credentials, Principal};

const MAX_ENTRIES: usize = 10_000;

/// Callers by a salted hash of their credentials. The credentials themselves are not stored.
pub(super) struct Cache {
    salt: [u8; 32],
    holds_for: Duration,
    known: Mutex<HashMap<[u8; 32], Entry>>,
}

/// The caller, and when the entry expires.
type Entry = (Arc<Principal>, Instant);

impl Cache {
    pub(super) fn new(holds_for: Duration) -> Result<Self, getrandom::Error> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)?;
        Ok(Self { salt, holds_for, known: Mutex::default() })
    }

    pub(super) fn get(&self, credentials: &Credentials) -> Option<Arc<Principal>> {
        let digest = credentials.digest(&self.salt);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (principal, until) = known.get(&digest)?;
        (*until > Instant::now()).then(|| Arc::clone(principal))
    }

    pub(super) fn put(&self, credentials: &Credentials, principal: &Arc<Principal>) {
        let digest = credentials.digest(&self.salt);
        let now = Instant::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_ENTRIES {
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() < MAX_ENTRIES {
            known.insert(digest, (Arc::clone(principal), now + self.holds_for));
        }
    }
}
