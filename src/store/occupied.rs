//! What an append comes to where an event stands already.

use super::{Outcome, SealedEvent};
use crate::integrity::seal_of;

/// The same bytes, or at least the same seal, are the same event; anything else is a fork of the chain.
pub(super) fn outcome_at(stored: &[u8], event: &SealedEvent) -> Outcome {
    if stored == event.document {
        return Outcome::Duplicate;
    }
    let found = seal_of(stored);
    if found.is_some() && found == seal_of(&event.document) {
        return Outcome::Duplicate;
    }
    Outcome::Conflict { found_seal: found.unwrap_or_default() }
}
