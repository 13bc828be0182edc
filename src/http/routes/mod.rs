//! One file for each resource: its operations and their handlers.

mod aggregate;
mod count;
mod dead_letters;
mod event;
mod events;
mod export;
mod find;
mod health;
mod keys;
mod metrics;
mod openapi;
mod providers;
mod question;
mod rejected;
mod tail;

use super::operation::Operation;

/// Returns all operations of the interface.
pub(super) fn operations() -> Vec<Operation> {
    [
        events::operations(),
        event::operations(),
        providers::operations(),
        find::operations(),
        count::operations(),
        aggregate::operations(),
        export::operations(),
        tail::operations(),
        dead_letters::operations(),
        rejected::operations(),
        keys::operations(),
        health::operations(),
        metrics::operations(),
        openapi::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
