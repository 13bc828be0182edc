//! Limits concurrent streamed answers, in total and per caller.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ReadError;
use crate::{
    access::Principal,
    limiter::{KeyedLimiter, KeyedPermit},
};

/// Maximum number of each kind in this process: exports keep a scan open in the store, tails query it repeatedly.
const MAX_EXPORTS: usize = 8;
const MAX_TAILS: usize = 64;

pub(super) struct StreamLimiter {
    exports: Limiter,
    tails: Limiter,
}

/// Held until the answer ends.
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
        let of_caller = self
            .callers
            .try_acquire(caller.to_string(), self.per_caller)
            .ok_or_else(|| ReadError::TooManyStreams(format!("{caller} has too many {} running", self.what)))?;
        let in_all = Arc::clone(&self.in_all)
            .try_acquire_owned()
            .map_err(|_| ReadError::TooManyStreams(format!("too many {} are running", self.what)))?;
        Ok(StreamPermit { _in_all: in_all, _of_caller: of_caller })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::access::Realm;

    #[test]
    fn the_limits_are_per_caller_and_permits_are_returned() {
        let streams = StreamLimiter::new(2, 1);
        let caller = |name: &str| Principal { name: name.to_owned(), realm: Realm::ApiKey, grants: Vec::new() };
        let taken = [streams.begin_export(&caller("a")).unwrap(), streams.begin_export(&caller("a")).unwrap()];
        let ReadError::TooManyStreams(refused) = streams.begin_export(&caller("a")).err().unwrap() else { panic!() };
        assert!(refused.starts_with("api_key:a has too many exports"), "{refused}");
        let _other = streams.begin_export(&caller("b")).unwrap();
        let _tail = streams.begin_tail(&caller("a")).unwrap();
        assert!(streams.begin_tail(&caller("a")).is_err());
        drop(taken);
        let _again = streams.begin_export(&caller("a")).unwrap();
    }
}
