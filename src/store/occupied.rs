//! The outcome of an append to an occupied position.

use super::Outcome;
use crate::{
    event::SealedEvent,
    integrity::{is_same_event, seal_of},
};

/// A duplicate if it is the same event; anything else is a fork of the chain.
pub(super) fn outcome_at(stored: &[u8], event: &SealedEvent) -> Outcome {
    if is_same_event(stored, &event.document) {
        return Outcome::Duplicate;
    }
    Outcome::Conflict { found_seal: seal_of(stored).unwrap_or_default() }
}
