//! How a store is, as far as its shipper knows.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{FIRST_WAIT, Inner, lock};
use crate::backoff::Backoff;

/// The longest wait that a store can ask for.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(600);

/// What all attempts of a shipper make of its store.
#[derive(Default)]
pub(super) struct Health {
    condition: Condition,
    /// How many attempts are under way that failed the last time.
    failing: usize,
}

#[derive(Default)]
enum Condition {
    /// It is yet to be set up for the first time since the start: nobody knows whether it is there.
    #[default]
    Unmet,
    /// An attempt failed. Before the store was ever set up, that is no news of a change.
    Ill {
        reason: String,
        was_met: bool,
    },
    Well,
}

impl Health {
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.condition {
            Condition::Unmet => Some("the store is not set up yet".to_owned()),
            Condition::Ill { reason, .. } => Some(reason.clone()),
            Condition::Well => None,
        }
    }
}

/// Something that is tried until it succeeds. A success makes the store well unless something else fails that is under
/// way: otherwise requests that succeed and others that fail would take turns in saying how it is.
pub(super) struct Attempt {
    inner: Arc<Inner>,
    backoff: Backoff,
    fails: bool,
}

impl Attempt {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        Self { inner: Arc::clone(inner), backoff: Backoff::starting_at(FIRST_WAIT), fails: false }
    }

    /// Says once what keeps the shipper from going on.
    pub(super) fn report_trouble(&mut self, reason: &str) {
        let store = &self.inner.name;
        let mut health = lock(&self.inner.health);
        health.failing += usize::from(!std::mem::replace(&mut self.fails, true));
        let was_met = match health.condition {
            Condition::Ill { was_met, .. } => was_met,
            Condition::Unmet | Condition::Well => {
                tracing::warn!(store, reason, "the store does not take events; trying again until it does");
                matches!(health.condition, Condition::Well)
            }
        };
        health.condition = Condition::Ill { reason: reason.to_owned(), was_met };
    }

    pub(super) fn report_success(&mut self) {
        let store = &self.inner.name;
        let mut health = lock(&self.inner.health);
        health.failing -= usize::from(std::mem::take(&mut self.fails));
        if health.failing > 0 {
            return;
        }
        match std::mem::replace(&mut health.condition, Condition::Well) {
            Condition::Well => {}
            Condition::Unmet => tracing::debug!(store, "the store is set up"),
            Condition::Ill { was_met: false, .. } => tracing::info!(store, "the store takes events now"),
            Condition::Ill { was_met: true, .. } => tracing::info!(store, "the store takes events again"),
        }
    }

    /// The next wait is a short one again.
    pub(super) fn reset(&mut self) {
        self.backoff.reset();
    }

    /// How long to wait after another failure.
    pub(super) fn pause(&mut self, asked_for: Option<Duration>) -> Duration {
        self.backoff.next(asked_for.map(|wait| wait.min(LONGEST_ASKED_FOR)))
    }

    pub(super) async fn wait(&mut self, asked_for: Option<Duration>) {
        sleep(self.pause(asked_for)).await;
    }

    /// Says what went wrong, and waits before the next try.
    pub(super) async fn fail(&mut self, reason: &str) {
        self.report_trouble(reason);
        self.wait(None).await;
    }
}

impl Drop for Attempt {
    /// What is given up has not succeeded: it says nothing more of the store.
    fn drop(&mut self) {
        lock(&self.inner.health).failing -= usize::from(self.fails);
    }
}
