//! When events that were logged can be found.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::sleep};

use crate::{backoff::Backoff, journal::Position, ship::Confirmations, store::EventIndex};

/// How long after a refresh that failed the next one is tried, at first.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Makes what the store has confirmed visible, with one refresh for all who wait.
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

    /// Waits until everything before this position of the journal is found, however long that takes.
    pub(super) async fn wait(&self, end: Position) {
        let mut confirmations = self.confirmations.clone();
        confirmations.reach(end).await;
        // Whoever comes while another refreshes waits for it, and most often finds itself covered.
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
