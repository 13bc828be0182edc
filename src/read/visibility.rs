//! Waits until logged events can be found.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::sleep};

use crate::{backoff::Backoff, journal::Position, ship::Confirmations, store::EventIndex};

/// Initial wait after a failed refresh.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Makes confirmed events visible, with one refresh for all waiting requests.
pub(super) struct Visibility {
    index: Arc<dyn EventIndex>,
    confirmations: Confirmations,
    /// Everything before this is visible.
    refreshed: Mutex<Position>,
}

impl Visibility {
    pub(super) fn new(index: Arc<dyn EventIndex>, confirmations: Confirmations) -> Self {
        Self { index, confirmations, refreshed: Mutex::new(Position(0)) }
    }

    /// Waits until everything before this journal position can be found, without a timeout.
    pub(super) async fn wait(&self, end: Position) {
        let mut confirmations = self.confirmations.clone();
        confirmations.reach(end).await;
        // Requests that arrive during a refresh wait for it; usually it covers them.
        let mut refreshed = self.refreshed.lock().await;
        let mut backoff = Backoff::starting_at(FIRST_WAIT);
        while *refreshed < end {
            let covered = confirmations.confirmed();
            match self.index.refresh().await {
                Ok(()) => *refreshed = covered,
                Err(_) => sleep(backoff.next(None)).await,
            }
        }
    }
}
