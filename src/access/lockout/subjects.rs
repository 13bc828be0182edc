//! The subjects whose failures are counted, and for how long.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

/// Maximum number of subjects remembered.
pub(super) const MAX_SUBJECTS: usize = 10_000;
/// How many subjects are removed at once if there is no room.
const EVICTED_AT_ONCE: usize = MAX_SUBJECTS / 20;

const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long a success is remembered.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Address(IpAddr),
    Login(String),
    Pair(IpAddr, PresentedCredentials),
}

/// The credentials that an address presents.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum PresentedCredentials {
    /// The login that basic credentials name, whatever the password.
    Login(String),
    /// Other credentials, by a salted hash.
    Credentials([u8; 32]),
}

pub(super) struct Subjects {
    longest: Duration,
    records: HashMap<Subject, SubjectRecord>,
}

struct SubjectRecord {
    failures: u32,
    /// Attempts in progress.
    pending: u32,
    last: Instant,
    locked_until: Option<Instant>,
    known_until: Option<Instant>,
    /// Number of failures from which the subject has to wait.
    limit: u32,
}

impl SubjectRecord {
    fn is_known(&self, now: Instant) -> bool {
        self.known_until.is_some_and(|until| now < until)
    }

    fn is_locked(&self, now: Instant) -> bool {
        self.locked_until.is_some_and(|until| now < until)
    }

    fn is_over(&self, now: Instant, longest: Duration) -> bool {
        let has_failed = self.failures > 0 && now - self.last <= longest;
        self.pending == 0 && !has_failed && !self.is_known(now)
    }

    /// Subjects of the least worth are removed first. A remembered success is worth as much as failures up to the
    /// limit.
    fn eviction_priority(&self, now: Instant) -> (bool, bool, u32, Instant) {
        let known = if self.is_known(now) { self.limit } else { 0 };
        (self.pending > 0, self.is_locked(now), self.failures.max(known), self.last)
    }
}

impl Subjects {
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest: longest.max(FIRST_WAIT), records: HashMap::new() }
    }

    /// How long the subject still has to wait.
    pub(super) fn wait(&self, subject: &Subject, now: Instant) -> Option<Duration> {
        let until = self.records.get(subject)?.locked_until?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    pub(super) fn is_known(&self, subject: &Subject, now: Instant) -> bool {
        self.records.get(subject).is_some_and(|record| record.is_known(now))
    }

    /// Whether one more attempt may be in progress: as many that all may fail without exceeding the limit, but at least
    /// one.
    pub(super) fn has_room(&self, subject: &Subject, limit: u32, now: Instant) -> bool {
        let Some(record) = self.records.get(subject) else { return true };
        let failures = if now - record.last > self.longest { 0 } else { record.failures };
        record.pending < limit.saturating_sub(failures).max(1)
    }

    /// Records that an attempt has begun.
    pub(super) fn begin(&mut self, subject: &Subject, limit: u32, now: Instant) {
        if !self.records.contains_key(subject) {
            self.make_room(now);
        }
        let fresh = SubjectRecord { failures: 0, pending: 0, last: now, locked_until: None, known_until: None, limit };
        self.records.entry(subject.clone()).or_insert(fresh).pending += 1;
    }

    /// Records that an attempt ended without a result.
    pub(super) fn release(&mut self, subject: &Subject) {
        if let Some(record) = self.records.get_mut(subject) {
            record.pending = record.pending.saturating_sub(1);
        }
    }

    /// Records a failure. From the limit on, each further one doubles the wait.
    pub(super) fn fail(&mut self, subject: &Subject, now: Instant) {
        self.release(subject);
        let Some(record) = self.records.get_mut(subject) else { return };
        if now - record.last > self.longest {
            record.failures = 0;
        }
        record.failures = record.failures.saturating_add(1);
        record.last = now;
        if let Some(beyond) = record.failures.checked_sub(record.limit) {
            let wait = FIRST_WAIT.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX));
            record.locked_until = Some(now + wait.min(self.longest));
        }
    }

    /// Records a success of this pair.
    pub(super) fn succeed(&mut self, pair: &Subject, now: Instant) {
        self.release(pair);
        if let Some(record) = self.records.get_mut(pair) {
            (record.failures, record.locked_until) = (0, None);
            record.known_until = Some(now + KNOWN_FOR);
        }
    }

    fn make_room(&mut self, now: Instant) {
        if self.records.len() < MAX_SUBJECTS {
            return;
        }
        let longest = self.longest;
        self.records.retain(|_, record| !record.is_over(now, longest));
        let excess = self.records.len().checked_sub(MAX_SUBJECTS - EVICTED_AT_ONCE);
        let Some(excess) = excess.filter(|excess| *excess > 0) else { return };
        let mut eviction_priority: Vec<_> = self.records.values().map(|record| record.eviction_priority(now)).collect();
        eviction_priority.sort_unstable();
        let Some(least_kept) = eviction_priority.get(excess).copied() else { return };
        // Subjects of equal worth are removed or kept together, as far as there is room.
        let mut left = excess;
        self.records.retain(|_, record| {
            let goes = left > 0 && record.eviction_priority(now) <= least_kept && record.pending == 0;
            left -= usize::from(goes);
            !goes
        });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }
}
