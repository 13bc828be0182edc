//! From a store's configuration to the store: the only place that names them all.

use std::{io, sync::Arc};

use super::{
    Store,
    sqlite::{SqliteConfig, SqliteStore},
};
use crate::config;

/// Opens a store; its own set-up waits for [`Store::setup`].
pub fn open(config: &config::Store) -> io::Result<Arc<dyn Store>> {
    Ok(match config {
        config::Store::Sqlite(sqlite) => Arc::new(SqliteStore::new(SqliteConfig::at(sqlite.path.clone()))?),
        config::Store::Elasticsearch(_) => return Err(io::Error::other("not yet")),
    })
}
