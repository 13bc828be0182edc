//! Opens a store from its configuration.

use std::{error::Error, sync::Arc};

use super::{Store, elastic::ElasticStore, postgres::PostgresStore, sqlite::SqliteStore};
use crate::config;

/// Opens a store without setting it up; [`Store::setup`] does that.
pub fn open(config: &config::Store) -> Result<Arc<dyn Store>, Box<dyn Error + Send + Sync>> {
    Ok(match config {
        config::Store::Sqlite(sqlite) => Arc::new(SqliteStore::new(sqlite.clone())?),
        config::Store::Elasticsearch(elastic) => Arc::new(ElasticStore::new(elastic)?),
        config::Store::Postgres(postgres) => Arc::new(PostgresStore::new(postgres)?),
    })
}
