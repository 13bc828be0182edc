//! From the journal to each store, in order, for as long as it takes.

use std::time::Duration;

use crate::writer::JournalPosition;

/// One store's shipper, as others see it.
#[derive(Clone)]
pub struct Shipper {}

/// How far a store is.
#[derive(Clone, Debug)]
pub struct Progress {
    pub store: String,
    /// Bytes and events in the journal that this store has not confirmed.
    pub behind_bytes: u64,
    pub behind_events: u64,
    /// Age of the oldest of them.
    pub behind_for: Option<Duration>,
    /// What keeps it from going on, if anything does: the last failure since it last went forward.
    pub trouble: Option<String>,
    pub dead_letters: u64,
}

impl Shipper {
    pub fn progress(&self) -> Progress {
        Progress {
            store: String::new(),
            behind_bytes: 0,
            behind_events: 0,
            behind_for: None,
            trouble: None,
            dead_letters: 0,
        }
    }

    /// Waits until the store has everything before `end` and find would see it. `false` if that took longer than `limit`.
    pub async fn wait_stored(&self, end: JournalPosition, limit: Duration) -> bool {
        let _ = (end, limit);
        true
    }

    /// What the store refused for good, oldest first, from the index `from` on.
    pub async fn dead_letters(&self, from: usize, limit: usize) -> Result<DeadLetters, String> {
        let _ = (from, limit);
        Ok(DeadLetters { total: 0, items: Vec::new() })
    }

    /// Offers all dead letters to the store again; those that it takes are dead letters no longer.
    pub async fn replay_dead_letters(&self) -> Result<Replayed, String> {
        Ok(Replayed { stored: 0, refused: 0 })
    }
}

pub struct DeadLetters {
    pub total: usize,
    pub items: Vec<DeadLetter>,
}

/// An event that a store refused for good.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// `<chain>-<sequence>`
    pub position: String,
    pub target: String,
    pub reason: String,
    /// When it was refused, RFC 3339.
    pub refused_at: String,
    /// The sealed document.
    pub document: String,
}

pub struct Replayed {
    pub stored: usize,
    pub refused: usize,
}
