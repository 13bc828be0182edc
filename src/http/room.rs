//! Memory that is set aside before it is taken, so that all of it together is bounded.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::error::{ErrorCode, Failure};

/// Memory is set aside in pieces of this size.
const PIECE: usize = 1024;

/// What there is to be set aside.
pub(super) struct Room(Arc<Semaphore>);

/// What was set aside; free again once it is dropped.
#[derive(Debug)]
pub(super) struct Place(OwnedSemaphorePermit);

impl Room {
    pub(super) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(pieces(bytes) as usize)))
    }

    /// Waits until there is room, in the order of asking; fails with this message where there is none before the deadline.
    pub(super) async fn set_aside(&self, bytes: usize, deadline: Instant, busy: &str) -> Result<Place, Failure> {
        match timeout_at(deadline, Arc::clone(&self.0).acquire_many_owned(pieces(bytes))).await {
            Ok(Ok(place)) => Ok(Place(place)),
            Ok(Err(_)) | Err(_) => {
                Err(Failure::new(ErrorCode::Busy, busy.to_owned()).retry_after(Duration::from_secs(1)))
            }
        }
    }

    #[cfg(test)]
    pub(super) fn free_pieces(&self) -> usize {
        self.0.available_permits()
    }
}

impl Place {
    /// Gives back what is set aside beyond so many bytes.
    pub(super) fn keep(&mut self, bytes: usize) {
        let excess = self.0.num_permits().saturating_sub(pieces(bytes) as usize);
        drop(self.0.split(excess));
    }
}

fn pieces(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}
