//! Limits the number of concurrent permits per key, such as a caller or an address.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Counts permits by key; a key without permits takes no memory.
pub(crate) struct KeyedLimiter<K>(Arc<Mutex<HashMap<K, usize>>>);

/// A permit, counted until it is dropped.
pub(crate) struct KeyedPermit<K: Eq + Hash> {
    key: K,
    limiter: KeyedLimiter<K>,
}

impl<K> Default for KeyedLimiter<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash> KeyedLimiter<K> {
    /// Returns `None` if the key already has `limit` permits.
    pub(crate) fn try_acquire(&self, key: K, limit: usize) -> Option<KeyedPermit<K>> {
        let mut counts = self.counts();
        if counts.get(&key).copied().unwrap_or(0) >= limit {
            return None;
        }
        *counts.entry(key.clone()).or_default() += 1;
        Some(KeyedPermit { key, limiter: Self(Arc::clone(&self.0)) })
    }
}

impl<K> KeyedLimiter<K> {
    fn counts(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut counts = self.limiter.counts();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}

/// A number of permits of which each key has at most a share. Whoever waits for the share of a key waits only behind others of
/// that key; whoever waits for many permits is overtaken by those for whom there are enough.
pub(crate) struct SharedPermits {
    all: Arc<All>,
    share: u32,
    of_keys: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// The permits of all keys. A semaphore's own queue would let one that waits for many block all behind it.
#[derive(Debug)]
struct All {
    permits: Arc<Semaphore>,
    returned: Notify,
}

/// Permits that are returned when dropped.
#[derive(Debug)]
pub(crate) struct HeldPermits {
    of_all: OwnedSemaphorePermit,
    of_key: OwnedSemaphorePermit,
    /// Dropped last, once the permits are returned.
    returned: Returned,
}

#[derive(Debug)]
struct Returned(Arc<All>);

impl Drop for Returned {
    fn drop(&mut self) {
        self.0.returned.notify_waiters();
    }
}

/// The permits were not free in time, or are more than the share of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotFree;

impl SharedPermits {
    /// `share` is raised to 1 and lowered to `all`.
    pub(crate) fn new(all: u32, share: u32) -> Self {
        let all = all.max(1);
        let permits = Arc::new(Semaphore::new(all as usize));
        let share = share.clamp(1, all);
        Self { all: Arc::new(All { permits, returned: Notify::new() }), share, of_keys: Mutex::default() }
    }

    pub(crate) fn share(&self) -> u32 {
        self.share
    }

    /// Waits until the permits are free; those of a key are served in order.
    pub(crate) async fn acquire(&self, key: &str, count: u32, deadline: Instant) -> Result<HeldPermits, NotFree> {
        if count > self.share {
            return Err(NotFree);
        }
        acquire(self.of_key(key), Arc::clone(&self.all), count, deadline).await
    }

    fn of_key(&self, key: &str) -> Arc<Semaphore> {
        let mut of_keys = self.of_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = of_keys.get(key).and_then(Weak::upgrade) {
            return found;
        }
        of_keys.retain(|_, of_key| of_key.strong_count() > 0);
        let new = Arc::new(Semaphore::new(self.share as usize));
        of_keys.insert(key.to_owned(), Arc::downgrade(&new));
        new
    }

    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.all.permits.available_permits()
    }
}

impl HeldPermits {
    pub(crate) fn count(&self) -> usize {
        self.of_all.num_permits()
    }

    /// Acquires this many in addition.
    pub(crate) async fn grow(&mut self, more: u32, deadline: Instant) -> Result<(), NotFree> {
        let of_key = Arc::clone(self.of_key.semaphore());
        let (of_key, of_all) = acquire_both(of_key, &self.returned.0, more, deadline).await?;
        self.of_key.merge(of_key);
        self.of_all.merge(of_all);
        Ok(())
    }

    /// Returns all but this many.
    pub(crate) fn shrink_to(&mut self, count: usize) {
        let excess = self.count().saturating_sub(count);
        drop((self.of_all.split(excess), self.of_key.split(excess)));
        self.returned.0.returned.notify_waiters();
    }
}

async fn acquire(of_key: Arc<Semaphore>, all: Arc<All>, count: u32, deadline: Instant) -> Result<HeldPermits, NotFree> {
    let (of_key, of_all) = acquire_both(of_key, &all, count, deadline).await?;
    Ok(HeldPermits { of_all, of_key, returned: Returned(all) })
}

async fn acquire_both(
    of_key: Arc<Semaphore>,
    all: &All,
    count: u32,
    deadline: Instant,
) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), NotFree> {
    let of_key = timeout_at(deadline, of_key.acquire_many_owned(count)).await;
    let of_key = of_key.map_err(|_| NotFree)?.map_err(|_| NotFree)?;
    loop {
        let returned = all.returned.notified();
        if let Ok(of_all) = Arc::clone(&all.permits).try_acquire_many_owned(count) {
            return Ok((of_key, of_all));
        }
        timeout_at(deadline, returned).await.map_err(|_| NotFree)?;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn a_key_that_has_its_share_waits_behind_its_own_and_others_overtake() {
        let permits = SharedPermits::new(8, 3);
        let held = permits.acquire("a", 3, later()).await.unwrap();
        let mut waiting = [2, 1].map(|count| Box::pin(permits.acquire("a", count, later())));
        assert!(waiting.iter_mut().all(|waiting| waiting.now_or_never().is_none()));
        drop(permits.acquire("b", 3, later()).now_or_never().unwrap().unwrap());
        assert_eq!(permits.acquire("b", 4, later()).await.unwrap_err(), NotFree, "more than a share is never free");
        drop(held);
        let served = waiting.map(|waiting| waiting.now_or_never().unwrap().unwrap());
        assert_eq!(permits.free(), 5);
        drop(served);
        assert_eq!(permits.free(), 8);
    }

    #[tokio::test]
    async fn who_waits_for_many_keeps_none_from_those_for_whom_there_are_enough() {
        let permits = SharedPermits::new(4, 3);
        let held = permits.acquire("a", 3, later()).await.unwrap();
        let mut many = Box::pin(permits.acquire("b", 3, later()));
        assert!((&mut many).now_or_never().is_none());
        drop(permits.acquire("c", 1, later()).now_or_never().unwrap().unwrap());
        assert!((&mut many).now_or_never().is_none());
        drop(held);
        many.await.unwrap();
    }

    #[tokio::test]
    async fn held_permits_grow_within_the_share_and_shrink() {
        let permits = SharedPermits::new(4, 3);
        let mut held = permits.acquire("a", 1, later()).await.unwrap();
        held.grow(2, later()).await.unwrap();
        assert_eq!(held.grow(1, Instant::now()).await, Err(NotFree));
        let other = permits.acquire("b", 1, later()).await.unwrap();
        held.shrink_to(1);
        assert_eq!((held.count(), permits.free()), (1, 2));
        let more = permits.acquire("b", 2, later()).await.unwrap();
        assert_eq!(held.grow(1, Instant::now()).await, Err(NotFree), "all are held");
        drop((other, more, held));
        assert_eq!(permits.free(), 4);
    }

    #[tokio::test]
    async fn who_gave_up_leaves_nothing_behind() {
        let permits = SharedPermits::new(2, 2);
        let held = permits.acquire("a", 2, later()).await.unwrap();
        assert!(permits.acquire("b", 1, Instant::now()).await.is_err());
        drop(held);
        assert_eq!(permits.free(), 2);
        drop(permits.acquire("c", 1, later()).await.unwrap());
        assert_eq!(permits.of_keys.lock().unwrap().len(), 1);
    }
}
