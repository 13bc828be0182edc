//! From a store's configuration to the store: the only place that names them all.

use std::{error::Error, sync::Arc};

use super::{
    Store,
    elastic::{self, ElasticConfig, ElasticStore},
    sqlite::{SqliteConfig, SqliteStore},
};
use crate::config;

/// Opens a store; its own set-up waits for [`Store::setup`].
pub fn open(config: &config::Store) -> Result<Arc<dyn Store>, Box<dyn Error + Send + Sync>> {
    Ok(match config {
        config::Store::Sqlite(sqlite) => Arc::new(SqliteStore::new(SqliteConfig::at(sqlite.path.clone()))?),
        config::Store::Elasticsearch(elastic) => Arc::new(ElasticStore::new(&elastic_config(elastic)?)?),
    })
}

fn elastic_config(config: &config::ElasticStore) -> Result<ElasticConfig, elastic::ConfigError> {
    let secret = |secret: &config::Secret| Some(elastic::Secret::new(secret.expose()));
    let mut auth = elastic::Auth::default();
    match &config.auth {
        None => {}
        Some(config::Auth::Basic { login, password }) => {
            let (username, password) = (login.clone(), secret(password));
            auth.basic = Some(elastic::Basic { username, password, password_file: None });
        }
        Some(config::Auth::Bearer { token }) => {
            auth.bearer = Some(elastic::Bearer { token: secret(token), token_file: None });
        }
        Some(config::Auth::ApiKey { id, key }) => {
            let (id, key) = (Some(id.clone()), secret(key));
            auth.api_key = Some(elastic::ApiKey { id, key, ..elastic::ApiKey::default() });
        }
    }
    Ok(ElasticConfig {
        urls: config.urls.iter().map(|url| url.parse()).collect::<Result<_, _>>()?,
        cloud_id: config.cloud_id.clone(),
        auth,
        ca_file: config.ca_file.clone(),
        request_timeout: config.request_timeout,
        bulk_timeout: config.bulk_timeout,
        index_prefix: config.index_prefix.clone(),
        version: config.version.clone(),
    })
}
