//! Reserves memory before it is allocated, so that the total is bounded.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// The unit of reservations, in bytes.
const UNIT: usize = 1024;

/// A number of bytes that can be reserved in portions.
pub struct MemoryBudget(Arc<Semaphore>);

/// Reserved bytes, released when dropped.
#[derive(Debug)]
pub struct Reservation(OwnedSemaphorePermit);

/// Not enough memory was free before the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much memory is in use")]
pub struct Exhausted;

impl MemoryBudget {
    pub fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(units(bytes) as usize)))
    }

    /// Waits until these bytes are free; requests are served in order.
    pub async fn reserve(&self, bytes: usize, deadline: Instant) -> Result<Reservation, Exhausted> {
        match timeout_at(deadline, Arc::clone(&self.0).acquire_many_owned(units(bytes))).await {
            Ok(Ok(permit)) => Ok(Reservation(permit)),
            Ok(Err(_)) | Err(_) => Err(Exhausted),
        }
    }

    #[cfg(test)]
    pub(crate) fn free_units(&self) -> usize {
        self.0.available_permits()
    }
}

impl Reservation {
    /// Releases all but this many of the reserved bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        let excess = self.0.num_permits().saturating_sub(units(bytes) as usize);
        drop(self.0.split(excess));
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}
