//! How many of something there are at once, of each by itself.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Has no entry for what there is none of.
pub(super) struct Tally<K>(Arc<Mutex<HashMap<K, usize>>>);

/// One of those that are there; counted until it is dropped.
pub(super) struct Counted<K: Eq + Hash> {
    key: K,
    tally: Tally<K>,
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash> Tally<K> {
    /// Counts one more; `None` if there are as many as there may be.
    pub(super) fn add(&self, key: K, most: usize) -> Option<Counted<K>> {
        let mut counts = self.counts();
        if counts.get(&key).copied().unwrap_or(0) >= most {
            return None;
        }
        *counts.entry(key.clone()).or_default() += 1;
        Some(Counted { key, tally: Self(Arc::clone(&self.0)) })
    }
}

impl<K> Tally<K> {
    fn counts(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = self.tally.counts();
        if let Some(count) = counts.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.key);
            }
        }
    }
}
