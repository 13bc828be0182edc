//! Annals: a tamper-evident event log (audit trail) backed by Elasticsearch, OpenSearch, PostgreSQL or SQLite.
//!
//! A program sends an event; it is checked ([`intake`]), sealed ([`integrity`]), made durable ([`writer`], [`journal`]) and
//! brought to every store ([`ship`], [`store`]). [`client`] is for programs that log; the rest is the service and its
//! commands. `ARCHITECTURE.md` has the map, the way of an event, and which module may use which.

pub mod access;
pub mod app;
pub mod audit;
mod backoff;
mod buffers;
mod ca_file;
pub mod cli;
pub mod client;
mod columns;
pub mod config;
mod document;
pub mod error;
pub mod event;
mod files;
pub mod http;
pub mod identity;
pub mod intake;
pub mod integrity;
pub mod journal;
pub mod metrics;
pub mod query;
pub mod schema;
pub mod ship;
pub mod store;
pub mod telemetry;
#[cfg(test)]
mod tests;
pub mod time;
pub mod units;
pub mod writer;
