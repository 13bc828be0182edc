//! The queue of events to send, bounded in number and in bytes.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// Counts so far. Each logged event is in exactly one of the first five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Waiting or being sent.
    pub queued: u64,
    /// Made durable by the server.
    pub sent: u64,
    /// Valid, but not logged by the server: below the minimum severity of the space, or the server keeps no events.
    pub filtered: u64,
    /// Rejected by the server, or larger than a request; the program's log has the reasons.
    pub rejected: u64,
    /// Lost: no room here or on the server, logged after the client was closed, or not sent within the close timeout.
    pub dropped: u64,
    /// Requests that had to be repeated.
    pub retries: u64,
}

#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    state: Mutex<State>,
    /// Wakes the sender.
    changed: Notify,
    /// How many events have left the queue.
    completed: watch::Sender<u64>,
    sent: AtomicU64,
    filtered: AtomicU64,
    rejected: AtomicU64,
    dropped: AtomicU64,
    retries: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) batch_events: usize,
    pub(super) batch_bytes: usize,
    pub(super) interval: Duration,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Bytes>,
    /// When the oldest event was queued.
    since: Option<Instant>,
    /// The bytes of waiting and in-flight events.
    bytes: usize,
    in_flight: usize,
    /// How many events have ever been queued.
    enqueued: u64,
    /// Events up to this one are sent without waiting for a full batch.
    flush_to: u64,
    closed: bool,
}

/// The outcomes of a batch's events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BatchCounts {
    pub(super) sent: u64,
    pub(super) filtered: u64,
    pub(super) rejected: u64,
    pub(super) dropped: u64,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            changed: Notify::new(),
            completed: watch::Sender::new(0),
            sent: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// Adds the event. Drops it if there is no room, and rejects it if no request could have it.
    pub(super) fn push(&self, event: Bytes) {
        if event.len() > self.limits.batch_bytes {
            tracing::warn!(
                bytes = event.len(),
                limit = self.limits.batch_bytes,
                "rejected an event larger than a request"
            );
            self.count_rejected();
            return;
        }
        let mut state = self.state();
        let events = state.waiting.len() + state.in_flight;
        if state.closed || events >= self.limits.events || state.bytes.saturating_add(event.len()) > self.limits.bytes {
            drop(state);
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // Logged at each power of two, so that the log is not flooded.
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "the event queue is full or closed; new events are dropped");
            }
            return;
        }
        state.bytes += event.len();
        state.enqueued += 1;
        state.since.get_or_insert_with(Instant::now);
        state.waiting.push_back(event);
        let first_or_full = state.waiting.len() == 1 || state.waiting.len() >= self.limits.batch_events;
        drop(state);
        if first_or_full {
            self.changed.notify_one();
        }
    }

    /// The next batch, once it is due; `None` when the queue is closed and empty.
    pub(super) async fn next_batch(&self) -> Option<Vec<Bytes>> {
        loop {
            let due_at = {
                let mut state = self.state();
                if state.waiting.is_empty() && state.closed {
                    return None;
                }
                let due_at = state.since.map(|since| since + self.limits.interval);
                if self.is_due(&state, due_at) {
                    return Some(self.take(&mut state));
                }
                due_at
            };
            match due_at {
                Some(due_at) => {
                    let _ = tokio::time::timeout_at(due_at, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    fn is_due(&self, state: &State, due_at: Option<Instant>) -> bool {
        let left = state.enqueued - to_u64(state.waiting.len());
        !state.waiting.is_empty()
            && (state.closed
                || state.waiting.len() >= self.limits.batch_events
                || state.flush_to > left
                || due_at.is_some_and(|due_at| due_at <= Instant::now()))
    }

    fn take(&self, state: &mut State) -> Vec<Bytes> {
        let mut batch = Vec::new();
        let mut bytes = 0usize;
        while let Some(event) = state.waiting.front() {
            bytes = bytes.saturating_add(event.len());
            if !batch.is_empty() && (batch.len() >= self.limits.batch_events || bytes > self.limits.batch_bytes) {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        state.in_flight = batch.len();
        // The remaining events have waited nearly as long.
        state.since = state.since.filter(|_| !state.waiting.is_empty());
        batch
    }

    /// Removes the events that were in flight.
    pub(super) fn complete(&self, batch: &[Bytes], counts: BatchCounts) {
        self.sent.fetch_add(counts.sent, Ordering::Relaxed);
        self.filtered.fetch_add(counts.filtered, Ordering::Relaxed);
        self.rejected.fetch_add(counts.rejected, Ordering::Relaxed);
        self.dropped.fetch_add(counts.dropped, Ordering::Relaxed);
        {
            let mut state = self.state();
            state.in_flight = state.in_flight.saturating_sub(batch.len());
            state.bytes = state.bytes.saturating_sub(batch.iter().map(Bytes::len).sum());
        }
        self.completed.send_modify(|completed| *completed += to_u64(batch.len()));
    }

    /// Drops the waiting events.
    pub(super) fn drop_waiting(&self) -> u64 {
        let waiting: Vec<_> = {
            let mut state = self.state();
            let waiting: Vec<_> = state.waiting.drain(..).collect();
            state.in_flight += waiting.len();
            waiting
        };
        let dropped = to_u64(waiting.len());
        self.complete(&waiting, BatchCounts { dropped, ..BatchCounts::default() });
        dropped
    }

    pub(super) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when every event that is in the queue now has left it.
    pub(super) async fn flush(&self) {
        let target = {
            let mut state = self.state();
            state.flush_to = state.enqueued;
            state.enqueued
        };
        self.changed.notify_one();
        // The watch's sender lives as long as the queue, so waiting cannot fail.
        let _ = self.completed.subscribe().wait_for(|completed| *completed >= target).await;
    }

    /// Accepts no more events.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    pub(super) fn stats(&self) -> Stats {
        let queued = {
            let state = self.state();
            to_u64(state.waiting.len() + state.in_flight)
        };
        Stats {
            queued,
            sent: self.sent.load(Ordering::Relaxed),
            filtered: self.filtered.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }

    /// The state is consistent after each statement, so that a panic elsewhere cannot have left it half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
