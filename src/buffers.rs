//! Reuses large buffers: the system maps fresh memory page by page, and each page costs as much as copying several
//! events.

use std::sync::{Arc, Mutex, PoisonError};

/// Maximum number of free buffers, and the maximum capacity of each.
const MAX_POOLED: usize = 4;
const MAX_CAPACITY: usize = 8 << 20;

/// A pool to which buffers return when dropped; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    /// An empty buffer of this capacity.
    pub(crate) fn empty(&self, capacity: usize) -> Buffer {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        bytes.clear();
        bytes.reserve(capacity);
        Buffer { bytes, pool: self.clone() }
    }

    /// A buffer of this length with arbitrary contents, to be overwritten.
    pub(crate) fn filled(&self, length: usize) -> Buffer {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        // Existing bytes are not zeroed again.
        bytes.resize(length, 0);
        Buffer { bytes, pool: self.clone() }
    }
}

/// A buffer that returns to its pool when dropped.
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pool: Pool,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut pool = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < MAX_POOLED && self.bytes.capacity() <= MAX_CAPACITY {
            pool.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_reused_without_its_contents() {
        let pool = Pool::default();
        let mut first = pool.filled(100);
        first.bytes.fill(7);
        let place = first.bytes.as_ptr();
        drop(first);
        let second = pool.empty(10);
        assert_eq!(second.bytes.as_ptr(), place);
        assert!(second.as_ref().is_empty());
        drop(second);
        assert_eq!(pool.filled(5).as_ref().len(), 5);
        drop(pool.filled(MAX_CAPACITY + 1));
        let held: Vec<Buffer> = (0..MAX_POOLED + 2).map(|_| pool.empty(1)).collect();
        drop(held);
        assert_eq!(pool.0.lock().map_or(0, |buffers| buffers.len()), MAX_POOLED);
    }
}
