//! One file for each resource.

pub(super) mod dead_letters;
pub(super) mod events;
pub(super) mod find;
pub(super) mod health;
pub(super) mod keys;
pub(super) mod metrics;
pub(super) mod openapi;
pub(super) mod providers;
