//! Makes sure that queries see what is stored.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{
    backoff::Backoff,
    journal::Position,
    ship::Confirmations,
    store::{EventIndex, IndexError},
};

/// Initial wait after a failed refresh.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// Makes confirmed events visible, with one refresh for all waiting requests, and none if nothing was confirmed since
/// the last one.
pub(super) struct Visibility {
    index: Arc<dyn EventIndex>,
    confirmations: Confirmations,
    unseen: Mutex<Unseen>,
}

struct Unseen {
    /// Reports what was confirmed since the last refresh.
    confirmations: Confirmations,
    /// When that began.
    refreshed: Option<Instant>,
}

impl Visibility {
    pub(super) fn new(index: Arc<dyn EventIndex>, confirmations: Confirmations) -> Self {
        let unseen = Unseen { confirmations: confirmations.from_the_start(), refreshed: None };
        let unseen = Mutex::new(unseen);
        Self { index, confirmations, unseen }
    }

    /// Makes everything visible that was confirmed this long ago.
    pub(super) async fn catch_up(&self, age: Duration) -> Result<(), IndexError> {
        // Requests that arrive during a refresh wait for it; usually the next one covers them all.
        let mut unseen = self.unseen.lock().await;
        let is_old = unseen.refreshed.is_none_or(|refreshed| refreshed.elapsed() >= age);
        if is_old && unseen.confirmations.has_more() {
            let later = Unseen { confirmations: unseen.confirmations.from_now(), refreshed: Some(Instant::now()) };
            self.index.refresh().await?;
            *unseen = later;
        }
        Ok(())
    }

    /// Waits until everything before this journal position can be found, without a timeout.
    pub(super) async fn wait(&self, end: Position) {
        self.confirmations.clone().reach(end).await;
        let mut backoff = Backoff::starting_at(FIRST_WAIT);
        while self.catch_up(Duration::ZERO).await.is_err() {
            sleep(backoff.next(None)).await;
        }
    }
}
