//! One file for each resource: its operations, the types of their bodies, and the handlers.

mod aggregate;
mod count;
pub(super) mod dead_letters;
mod described;
mod event;
pub(super) mod events;
mod export;
mod find;
pub(super) mod health;
pub(super) mod keys;
pub(super) mod metrics;
pub(super) mod openapi;
pub(super) mod providers;
mod question;
mod tail;

use super::operation::Operation;

/// Every operation of the interface.
pub(super) fn operations() -> Vec<Operation> {
    [
        event::operations(),
        find::operations(),
        count::operations(),
        aggregate::operations(),
        export::operations(),
        tail::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
