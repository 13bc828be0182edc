//! What an append comes to where an event stands already.

use super::Outcome;
use crate::{
    event::SealedEvent,
    integrity::{is_same_event, seal_of},
};

/// The same event was there already; anything else is a fork of the chain.
pub(super) fn outcome_at(stored: &[u8], event: &SealedEvent) -> Outcome {
    if is_same_event(stored, &event.document) {
        return Outcome::Duplicate;
    }
    Outcome::Conflict { found_seal: seal_of(stored).unwrap_or_default() }
}
