//! The health of a store, as its shipper sees it.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{FIRST_WAIT, Inner, lock};
use crate::backoff::Backoff;

/// Upper bound on the wait that a store can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The health of a store, combined from all attempts of its shipper.
#[derive(Default)]
pub(super) struct Health {
    condition: Condition,
    /// Number of current attempts whose last try failed.
    failing: usize,
}

#[derive(Default)]
enum Condition {
    /// Not set up since the start: it is unknown whether the store is there.
    #[default]
    Unknown,
    /// An attempt failed. If the store was never set up, this is not reported as a change.
    Failing {
        reason: String,
        was_set_up: bool,
    },
    Healthy,
}

impl Health {
    pub(super) fn trouble(&self) -> Option<String> {
        match &self.condition {
            Condition::Unknown => Some("the store is not set up yet".to_owned()),
            Condition::Failing { reason, .. } => Some(reason.clone()),
            Condition::Healthy => None,
        }
    }
}

/// Something that is retried until it succeeds. A success makes the store healthy only if no other current attempt
/// fails: otherwise the reported condition would flap between requests that succeed and others that fail.
pub(super) struct Attempt {
    inner: Arc<Inner>,
    backoff: Backoff,
    is_failing: bool,
}

impl Attempt {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        Self { inner: Arc::clone(inner), backoff: Backoff::starting_at(FIRST_WAIT), is_failing: false }
    }

    /// Reports, once, what blocks the shipper.
    pub(super) fn report_trouble(&mut self, reason: &str) {
        let store = &self.inner.name;
        let mut health = lock(&self.inner.health);
        health.failing += usize::from(!std::mem::replace(&mut self.is_failing, true));
        let was_set_up = match health.condition {
            Condition::Failing { was_set_up, .. } => was_set_up,
            Condition::Unknown | Condition::Healthy => {
                tracing::warn!(store, reason, "the store does not accept events; trying again until it does");
                matches!(health.condition, Condition::Healthy)
            }
        };
        health.condition = Condition::Failing { reason: reason.to_owned(), was_set_up };
    }

    pub(super) fn report_success(&mut self) {
        let store = &self.inner.name;
        let mut health = lock(&self.inner.health);
        health.failing -= usize::from(std::mem::take(&mut self.is_failing));
        if health.failing > 0 {
            return;
        }
        match std::mem::replace(&mut health.condition, Condition::Healthy) {
            Condition::Healthy => {}
            Condition::Unknown => tracing::debug!(store, "the store is set up"),
            Condition::Failing { was_set_up: false, .. } => tracing::info!(store, "the store accepts events now"),
            Condition::Failing { was_set_up: true, .. } => tracing::info!(store, "the store accepts events again"),
        }
    }

    /// Makes the next wait short again.
    pub(super) fn reset(&mut self) {
        self.backoff.reset();
    }

    /// How long to wait after another failure.
    pub(super) fn next_delay(&mut self, retry_after: Option<Duration>) -> Duration {
        self.backoff.next(retry_after.map(|wait| wait.min(MAX_RETRY_AFTER)))
    }

    pub(super) async fn wait(&mut self, retry_after: Option<Duration>) {
        sleep(self.next_delay(retry_after)).await;
    }

    /// Reports a failure and waits before the next try.
    pub(super) async fn fail(&mut self, reason: &str) {
        self.report_trouble(reason);
        self.wait(None).await;
    }
}

impl Drop for Attempt {
    /// An abandoned attempt has not succeeded; it only no longer counts as failing.
    fn drop(&mut self) {
        lock(&self.inner.health).failing -= usize::from(self.is_failing);
    }
}
