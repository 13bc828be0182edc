//! Annals: a tamper-evident event log (audit trail) backed by Elasticsearch, OpenSearch, PostgreSQL or SQLite.
//!
//! A program sends an event; it is checked ([`intake`]), sealed ([`integrity`]), made durable ([`writer`], [`journal`])
//! and delivered to every store ([`ship`], [`store`]). [`client`] is for programs that log, and the feature `client`
//! builds only that; the rest is the service and its commands. `ARCHITECTURE.md` has the module map, the path of an
//! event, and which module may use which.

#[cfg(feature = "client")]
mod backoff;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod event;
#[cfg(feature = "client")]
pub mod units;
#[cfg(feature = "client")]
pub mod wire;

#[cfg(feature = "server")]
pub mod access;
#[cfg(feature = "server")]
pub mod app;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
mod buffers;
#[cfg(feature = "server")]
mod ca_file;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod columns;
#[cfg(feature = "server")]
pub mod config;
#[cfg(feature = "server")]
mod document;
#[cfg(feature = "server")]
pub mod error;
#[cfg(feature = "server")]
mod files;
#[cfg(feature = "server")]
pub mod http;
#[cfg(feature = "server")]
pub mod identity;
#[cfg(feature = "server")]
pub mod ingest;
#[cfg(feature = "server")]
pub mod intake;
#[cfg(feature = "server")]
pub mod integrity;
#[cfg(feature = "server")]
pub mod journal;
#[cfg(feature = "server")]
mod limiter;
#[cfg(feature = "server")]
pub mod memory_budget;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
pub mod own_fields;
#[cfg(feature = "server")]
pub mod policy;
#[cfg(feature = "server")]
pub mod query;
#[cfg(feature = "server")]
pub mod read;
#[cfg(feature = "server")]
pub mod rejected;
#[cfg(feature = "server")]
pub mod reserved;
#[cfg(feature = "server")]
pub mod schema;
#[cfg(feature = "server")]
pub mod server_file;
#[cfg(feature = "server")]
pub mod ship;
#[cfg(feature = "server")]
pub mod store;
#[cfg(feature = "server")]
pub mod telemetry;
#[cfg(all(test, feature = "server"))]
mod tests;
#[cfg(feature = "server")]
pub mod time;
#[cfg(feature = "server")]
pub mod writer;
