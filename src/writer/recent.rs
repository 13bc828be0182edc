//! The events of the last minutes that came with their own ids, by which one that is sent again is recognized.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    ops::Range,
    time::Duration,
};

use super::{Repeat, SealReceipt};
use crate::{
    event::{ChainPosition, LeafHash, UnixMillis},
    intake::{Contents, IdempotencyKey},
};

/// For how long, and of how many events, ids are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecentOptions {
    pub window_ms: i64,
    pub capacity: usize,
}

impl RecentOptions {
    /// Each segment of the journal begins with these events, so they may take a part of it only.
    pub fn new(window: Duration, capacity: usize, segment_bytes: u64) -> Self {
        let fitting = usize::try_from(segment_bytes / 8).unwrap_or(usize::MAX) / RECENT_BYTES;
        let window_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        Self { window_ms, capacity: capacity.min(fitting) }
    }
}

/// An event that was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecentEvent {
    pub(super) key: IdempotencyKey,
    pub(super) position: ChainPosition,
    /// `None` in an unsealed chain.
    pub(super) leaf_hash: Option<LeafHash>,
    pub(super) received: UnixMillis,
}

/// The events of a part of a request that are sent for the first time.
pub(super) struct NewEvents {
    pub(super) count: usize,
    /// The keys of those that came with their own ids, by the index among them.
    pub(super) keys: Vec<(usize, IdempotencyKey)>,
}

/// Bytes of an event in the journal.
pub(super) const RECENT_BYTES: usize = 84;

/// Remembers events by their keys.
#[derive(Debug)]
pub(super) struct RecentEvents {
    options: RecentOptions,
    /// The oldest first.
    events: VecDeque<RecentEvent>,
    /// The number of the first of `events`; each has the number after that of the one before it.
    first: u64,
    /// The number of the newest event with a key.
    numbers: HashMap<[u8; 16], u64>,
    /// How many of the newest are not durable yet.
    pending: usize,
}

impl RecentEvents {
    pub(super) fn new(options: RecentOptions) -> Self {
        Self { options, events: VecDeque::new(), first: 0, numbers: HashMap::new(), pending: 0 }
    }

    fn find(&self, key: &IdempotencyKey, now: UnixMillis) -> Option<&RecentEvent> {
        let index = usize::try_from(self.numbers.get(&key.event)? - self.first).ok()?;
        self.events.get(index).filter(|event| self.is_recent(event.received, now))
    }

    /// The receipt of the event with this key, if it was received within the window.
    pub(super) fn receipt(&self, key: &IdempotencyKey, now: UnixMillis) -> Option<SealReceipt> {
        let RecentEvent { key: first, position, leaf_hash, .. } = *self.find(key, now)?;
        let repeats = if first.content == key.content { Repeat::Same } else { Repeat::Different };
        Some(SealReceipt { position, leaf_hash, repeats: Some(repeats) })
    }

    /// Which of these events are sent for the first time.
    pub(super) fn new_events(&self, contents: &Contents, range: Range<usize>, now: UnixMillis) -> NewEvents {
        if contents.key_count() == 0 || !self.is_enabled() {
            return NewEvents { count: range.len(), keys: Vec::new() };
        }
        let mut new = NewEvents { count: 0, keys: Vec::new() };
        let mut seen = HashSet::new();
        for index in range {
            let key = contents.key(index);
            if key.is_some_and(|key| self.find(&key, now).is_some() || !seen.insert(key.event)) {
                continue;
            }
            new.keys.extend(key.map(|key| (new.count, key)));
            new.count += 1;
        }
        new
    }

    /// Remembers an event until it is forgotten with [`Self::roll_back`], or for good after [`Self::commit`].
    pub(super) fn insert(&mut self, event: RecentEvent) {
        if !self.is_enabled() {
            return;
        }
        self.numbers.insert(event.key.event, self.first + self.events.len() as u64);
        self.events.push_back(event);
        self.pending += 1;
    }

    pub(super) fn commit(&mut self) {
        self.pending = 0;
        let Some(now) = self.events.back().map(|newest| newest.received) else { return };
        while self
            .events
            .front()
            .is_some_and(|oldest| self.events.len() > self.options.capacity || !self.is_recent(oldest.received, now))
        {
            let number = self.first;
            if let Some(oldest) = self.events.pop_front() {
                self.forget(&oldest, number);
            }
            self.first += 1;
        }
    }

    pub(super) fn roll_back(&mut self) {
        for _ in 0..std::mem::take(&mut self.pending) {
            if let Some(newest) = self.events.pop_back() {
                self.forget(&newest, self.first + self.events.len() as u64);
            }
        }
    }

    fn forget(&mut self, event: &RecentEvent, number: u64) {
        let key = &event.key.event;
        if self.numbers.get(key) == Some(&number) {
            self.numbers.remove(key);
        }
    }

    /// The events, the oldest first.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &RecentEvent> {
        self.events.iter()
    }

    fn is_enabled(&self) -> bool {
        self.options.window_ms > 0 && self.options.capacity > 0
    }

    fn is_recent(&self, received: UnixMillis, now: UnixMillis) -> bool {
        now.0.saturating_sub(received.0) < self.options.window_ms
    }
}
