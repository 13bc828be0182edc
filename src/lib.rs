//! Annals: a tamper-evident event log (audit trail) backed by Elasticsearch, OpenSearch or SQLite.
//!
//! `ARCHITECTURE.md` has the map; the modules below are in the order in which an event meets them.

pub mod access;
pub mod app;
pub mod cli;
pub mod client;
pub mod config;
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
pub mod time;
pub mod units;
pub mod writer;
