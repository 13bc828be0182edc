//! The memory of everything that callers send, request and are sent: reserved before it is allocated, so that the total is
//! bounded by `server.memory_limit`.
//!
//! [`Memory`] names the parts. Each caller has at most a share of each part, and waits only behind its own requests for it.

use tokio::time::Instant;

use crate::limiter::{HeldPermits, NotFree, SharedPermits};

/// The unit of reservations, in bytes.
const UNIT: usize = 1024;

/// The part of a budget that a caller may use: one in this many, but as much as one of its largest requests needs.
const SHARE: usize = 4;

/// What the largest page of events takes, with its answer.
pub const LARGEST_ANSWER: usize = 128 << 20;

/// Maximum bytes of a body that does not consist of events.
pub const MAX_OTHER_BODY: usize = 4 << 20;

/// The sizes of the parts, in 32nds of the limit.
const CONNECTIONS: usize = 4;
const EVENT_BODIES: usize = 3;
const CHECKED_EVENTS: usize = 4;
const EVENT_ANSWERS: usize = 2;
const OTHER_BODIES: usize = 1;
const STREAMS: usize = 4;
const ANSWERS: usize = 14;
const PARTS: usize = 32;
const _: () = assert!(
    CONNECTIONS + EVENT_BODIES + CHECKED_EVENTS + EVENT_ANSWERS + OTHER_BODIES + STREAMS + ANSWERS == PARTS,
    "the parts are the whole"
);

/// The parts of the memory limit.
pub struct Memory {
    /// Bytes for what connections buffer.
    pub connections: usize,
    /// Bodies of events, and the same decompressed.
    pub event_bodies: MemoryBudget,
    /// Events with all that the log adds to them, and errors of events, until they are journalled.
    pub checked_events: MemoryBudget,
    /// Answers with a result for each event.
    pub event_answers: MemoryBudget,
    /// Other bodies, so that callers who may only query cannot block events.
    pub other_bodies: MemoryBudget,
    /// Exports and tails.
    pub streams: MemoryBudget,
    /// Pages of events, aggregations and lists, from the store to the client.
    pub answers: MemoryBudget,
}

impl Memory {
    /// Divides the limit, raised to the [`minimum`].
    pub fn of(limit: usize, max_batch_bytes: usize) -> Self {
        let limit = limit.max(minimum(max_batch_bytes));
        let part = |part: usize, largest: usize| MemoryBudget::new(limit / PARTS * part, largest);
        Self {
            connections: limit / PARTS * CONNECTIONS,
            event_bodies: part(EVENT_BODIES, received(max_batch_bytes)),
            checked_events: part(CHECKED_EVENTS, checked(max_batch_bytes)),
            // Half of it, so that a caller has several large requests at once.
            event_answers: part(EVENT_ANSWERS, limit / PARTS * EVENT_ANSWERS / 2),
            other_bodies: part(OTHER_BODIES, received(MAX_OTHER_BODY)),
            // Their number per caller is limited.
            streams: part(STREAMS, limit),
            answers: part(ANSWERS, LARGEST_ANSWER),
        }
    }
}

/// Returns the least limit with which every request can be answered, and no caller can take all of a part.
pub fn minimum(max_batch_bytes: usize) -> usize {
    let needs = [
        (received(max_batch_bytes), EVENT_BODIES),
        (checked(max_batch_bytes), CHECKED_EVENTS),
        (received(MAX_OTHER_BODY), OTHER_BODIES),
        (LARGEST_ANSWER, ANSWERS),
    ];
    needs
        .into_iter()
        .map(|(need, part)| need.div_ceil(part).saturating_mul(PARTS).div_ceil(3).saturating_mul(4))
        .fold(0, usize::max)
}

/// What a body of this size takes, compressed and decompressed.
const fn received(body: usize) -> usize {
    body.saturating_mul(2)
}

/// What may be made from a body of events: the log adds fields, and a provider's defaults.
const fn checked(body: usize) -> usize {
    body.saturating_mul(3)
}

/// A number of bytes that callers reserve portions of.
pub struct MemoryBudget(SharedPermits);

/// Reserved bytes, released when dropped.
#[derive(Debug)]
pub struct Reservation(HeldPermits);

/// Not enough memory was free before the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much memory is in use")]
pub struct Exhausted;

impl From<NotFree> for Exhausted {
    fn from(NotFree: NotFree) -> Self {
        Self
    }
}

impl MemoryBudget {
    /// `largest` is what the largest request of a caller needs.
    pub fn new(bytes: usize, largest: usize) -> Self {
        Self(SharedPermits::new(bytes_to_units(bytes), bytes_to_units((bytes / SHARE).max(largest))))
    }

    /// Returns how many bytes a caller may reserve.
    pub fn share(&self) -> usize {
        self.0.share() as usize * UNIT
    }

    /// Waits until these bytes are free, and free for the caller; a caller's requests are served in order. More than the share
    /// is never free.
    pub async fn reserve(&self, caller: &str, bytes: usize, deadline: Instant) -> Result<Reservation, Exhausted> {
        Ok(Reservation(self.0.acquire(caller, bytes_to_units(bytes), deadline).await?))
    }

    #[cfg(test)]
    pub(crate) fn free_units(&self) -> usize {
        self.0.free()
    }
}

impl Reservation {
    pub fn bytes(&self) -> usize {
        self.0.count() * UNIT
    }

    /// Waits until as many more bytes are free as are missing. Whoever holds a part of what they need keeps others from it, so
    /// the deadline has to be near.
    pub async fn grow_to(&mut self, bytes: usize, deadline: Instant) -> Result<(), Exhausted> {
        let missing = bytes.saturating_sub(self.bytes());
        if missing > 0 {
            self.0.grow(bytes_to_units(missing), deadline).await?;
        }
        Ok(())
    }

    /// Releases all but this many of the reserved bytes.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.0.shrink_to(bytes_to_units(bytes) as usize);
    }
}

fn bytes_to_units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_the_minimum_the_share_of_a_caller_suffices_for_every_request_and_leaves_some_for_others() {
        for max_batch_bytes in [1 << 10, 1 << 20, 16 << 20, 100 << 20] {
            let memory = Memory::of(minimum(max_batch_bytes), max_batch_bytes);
            for (budget, need) in [
                (&memory.event_bodies, received(max_batch_bytes)),
                (&memory.checked_events, checked(max_batch_bytes)),
                (&memory.other_bodies, received(MAX_OTHER_BODY)),
                (&memory.answers, LARGEST_ANSWER),
            ] {
                assert!(budget.share() >= need, "{max_batch_bytes}");
                assert!(budget.free_units() * UNIT - budget.share() >= need / 4, "{max_batch_bytes}");
            }
        }
        assert!(minimum(16 << 20) <= 512 << 20);
    }
}
