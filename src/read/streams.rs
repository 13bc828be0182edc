//! How many answers that go on for long there may be at once, in all and of one caller.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ReadError;
use crate::{
    access::Principal,
    limiter::{KeyedLimiter, KeyedPermit},
};

/// How many of each kind this process serves at once: each keeps something open in the store, or asks it again and again.
const MAX_EXPORTS: usize = 8;
const MAX_TAILS: usize = 64;

pub(super) struct StreamLimiter {
    exports: Limiter,
    tails: Limiter,
}

/// Held for as long as the answer goes on.
pub(super) struct StreamPermit {
    _in_all: OwnedSemaphorePermit,
    _of_caller: KeyedPermit<String>,
}

struct Limiter {
    what: &'static str,
    in_all: Arc<Semaphore>,
    per_caller: usize,
    callers: KeyedLimiter<String>,
}

impl StreamLimiter {
    pub(super) fn new(exports_per_caller: usize, tails_per_caller: usize) -> Self {
        Self {
            exports: Limiter::new("exports", MAX_EXPORTS, exports_per_caller),
            tails: Limiter::new("tails", MAX_TAILS, tails_per_caller),
        }
    }

    pub(super) fn begin_export(&self, caller: &Principal) -> Result<StreamPermit, ReadError> {
        self.exports.try_acquire(caller)
    }

    pub(super) fn begin_tail(&self, caller: &Principal) -> Result<StreamPermit, ReadError> {
        self.tails.try_acquire(caller)
    }
}

impl Limiter {
    fn new(what: &'static str, in_all: usize, per_caller: usize) -> Self {
        Self { what, in_all: Arc::new(Semaphore::new(in_all)), per_caller, callers: KeyedLimiter::default() }
    }

    fn try_acquire(&self, caller: &Principal) -> Result<StreamPermit, ReadError> {
        let of_caller = self.callers.try_acquire(caller.to_string(), self.per_caller).ok_or_else(|| {
            ReadError::TooManyStreams(format!("{caller} has as many {} running as it may at once", self.what))
        })?;
        let in_all = Arc::clone(&self.in_all)
            .try_acquire_owned()
            .map_err(|_| ReadError::TooManyStreams(format!("as many {} are running as may at once", self.what)))?;
        Ok(StreamPermit { _in_all: in_all, _of_caller: of_caller })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::access::Realm;

    #[test]
    fn a_caller_has_only_so_many_places_and_gets_them_back() {
        let streams = StreamLimiter::new(2, 1);
        let caller = |name: &str| Principal { name: name.to_owned(), realm: Realm::ApiKey, grants: Vec::new() };
        let taken = [streams.begin_export(&caller("a")).unwrap(), streams.begin_export(&caller("a")).unwrap()];
        let ReadError::TooManyStreams(refused) = streams.begin_export(&caller("a")).err().unwrap() else { panic!() };
        assert!(refused.starts_with("api_key:a has as many exports"), "{refused}");
        let _other = streams.begin_export(&caller("b")).unwrap();
        let _tail = streams.begin_tail(&caller("a")).unwrap();
        assert!(streams.begin_tail(&caller("a")).is_err());
        drop(taken);
        let _again = streams.begin_export(&caller("a")).unwrap();
    }
}
