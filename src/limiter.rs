//! Limits the number of concurrent permits per key, such as a caller or an address.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
