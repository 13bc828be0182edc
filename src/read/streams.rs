//! Limits concurrent streamed answers, in total and per caller.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use super::ReadError;
use crate::{
    access::Principal,
    limiter::{KeyedLimiter, KeyedPermit},
    memory_budget::{Memory, MemoryBudget, Reservation},
};

/// Maximum number of each kind in this process: exports keep a scan open in the store, tails query it repeatedly.
const MAX_EXPORTS: usize = 8;
const MAX_TAILS: usize = 64;

pub(super) struct StreamLimiter {
    memory: Arc<Memory>,
    exports: Limiter,
    tails: Limiter,
}

/// Held until the answer ends.
pub(super) struct StreamPermit {
    _in_all: OwnedSemaphorePermit,
    _of_caller: KeyedPermit<String>,
    _memory: Reservation,
}

struct Limiter {
    what: &'static str,
    in_all: Arc<Semaphore>,
    per_caller: usize,
    callers: KeyedLimiter<String>,
}

impl StreamLimiter {
    pub(super) fn new(memory: Arc<Memory>, exports_per_caller: usize, tails_per_caller: usize) -> Self {
        let limiter = |what, in_all, per_caller| Limiter {
            what,
            in_all: Arc::new(Semaphore::new(in_all)),
            per_caller,
            callers: KeyedLimiter::default(),
        };
        Self {
            memory,
            exports: limiter("exports", MAX_EXPORTS, exports_per_caller),
            tails: limiter("tails", MAX_TAILS, tails_per_caller),
        }
    }

    /// `bytes` is what the export takes.
    pub(super) async fn begin_export(&self, caller: &Principal, bytes: usize) -> Result<StreamPermit, ReadError> {
        self.exports.try_acquire(caller, &self.memory.streams, bytes).await
    }

    /// `bytes` is what the tail takes.
    pub(super) async fn begin_tail(&self, caller: &Principal, bytes: usize) -> Result<StreamPermit, ReadError> {
        self.tails.try_acquire(caller, &self.memory.streams, bytes).await
    }
}

impl Limiter {
    async fn try_acquire(
        &self,
        caller: &Principal,
        memory: &MemoryBudget,
        bytes: usize,
    ) -> Result<StreamPermit, ReadError> {
        let too_many = || ReadError::TooManyStreams(format!("too many {} are running", self.what));
        let of_caller = self
            .callers
            .try_acquire(caller.to_string(), self.per_caller)
            .ok_or_else(|| ReadError::TooManyStreams(format!("{caller} has too many {} running", self.what)))?;
        let in_all = Arc::clone(&self.in_all).try_acquire_owned().map_err(|_| too_many())?;
        let memory = memory.reserve(&caller.to_string(), bytes, Instant::now()).await.map_err(|_| too_many())?;
        Ok(StreamPermit { _in_all: in_all, _of_caller: of_caller, _memory: memory })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::access::Realm;

    #[tokio::test]
    async fn the_limits_are_per_caller_and_permits_are_returned() {
        let streams = StreamLimiter::new(Arc::new(Memory::of(0, 0)), 2, 1);
        let caller = |name: &str| Principal { name: name.to_owned(), realm: Realm::ApiKey, grants: Vec::new() };
        let taken = [
            streams.begin_export(&caller("a"), 1000).await.unwrap(),
            streams.begin_export(&caller("a"), 1000).await.unwrap(),
        ];
        let ReadError::TooManyStreams(refused) = streams.begin_export(&caller("a"), 1000).await.err().unwrap() else {
            panic!()
        };
        assert!(refused.starts_with("api_key:a has too many exports"), "{refused}");
        let _other = streams.begin_export(&caller("b"), 1000).await.unwrap();
        let _tail = streams.begin_tail(&caller("a"), 1000).await.unwrap();
        assert!(streams.begin_tail(&caller("a"), 1000).await.is_err());
        drop(taken);
        let _again = streams.begin_export(&caller("a"), 1000).await.unwrap();
    }
}
