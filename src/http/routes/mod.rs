//! One file for each resource.

pub(super) mod aggregate;
pub(super) mod count;
pub(super) mod dead_letters;
mod described;
pub(super) mod event;
pub(super) mod events;
pub(super) mod export;
pub(super) mod find;
pub(super) mod health;
pub(super) mod keys;
pub(super) mod metrics;
pub(super) mod openapi;
pub(super) mod providers;
pub(super) mod tail;
