//! The store in a PostgreSQL database: a schema of its own, and a pool of connections.
//!
//! Each append is one transaction, which is on disk when the call returns. Several writers may share a database.

mod append;
mod config;
mod failure;
mod filing;
mod find;
mod pool;
mod setup;
mod tls;

#[cfg(test)]
mod tests;

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;

pub use self::config::{ConfigError, PostgresConfig, TlsMode};
use self::{append::PreparedRow, pool::Connections};
use super::{
    ChainDocument, EventIndex, EventSink, FiledPart, IndexError, Outcome, Page, RowId, Scan, SinkError, StoreError,
    StoreId, Target, sql::PagedScan,
};
use crate::{
    event::{ChainEntry, ChainHead, ChainId, ChainPosition, SealedEvent, Sequence, Stream},
    query::{Aggregate, Aggregation, Place, Query, ScopedQuery},
};

/// Events in a PostgreSQL database.
pub struct PostgresStore {
    connections: Arc<Connections>,
    schema: Arc<str>,
    query_timeout: Duration,
    append_timeout: Duration,
}

impl PostgresStore {
    /// Does not connect before [`Store::setup`].
    pub fn new(config: &PostgresConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            connections: Arc::new(Connections::new(config)?),
            schema: config.schema.as_str().into(),
            query_timeout: config.query_timeout,
            append_timeout: config.append_timeout,
        })
    }

    async fn ask<T: Send + 'static>(&self, work: impl pool::Work<T>) -> Result<T, StoreError> {
        self.connections.run(self.query_timeout, work).await
    }
}

async fn prepare(events: Vec<SealedEvent>) -> Result<Vec<PreparedRow>, StoreError> {
    let prepared = tokio::task::spawn_blocking(|| events.into_iter().map(PreparedRow::of).collect()).await;
    prepared.map_err(|error| StoreError::Unavailable { reason: error.to_string(), retry_after: None })
}

#[async_trait]
impl EventSink for PostgresStore {
    async fn setup(&self, _: &[Stream]) -> Result<(), SinkError> {
        self.connections.close_idle();
        let errors = self.connections.errors.clone();
        let is_up_to_date = self
            .connections
            .run(self.append_timeout, move |connection| {
                async move { setup::is_up_to_date(connection, &errors).await }.boxed()
            })
            .await?;
        if is_up_to_date {
            return Ok(());
        }
        let (schema, errors) = (Arc::clone(&self.schema), self.connections.errors.clone());
        Ok(self
            .connections
            .run(setup::MIGRATION_TIMEOUT, move |connection| {
                async move { setup::migrate(connection, &schema, &errors).await }.boxed()
            })
            .await?)
    }

    async fn identity(&self) -> Result<StoreId, SinkError> {
        Ok(self.ask(|connection| find::identity(connection).boxed()).await?)
    }

    async fn holds(&self, positions: &[(Target, ChainPosition)]) -> Result<Vec<bool>, SinkError> {
        let positions = positions.iter().map(|(_, position)| *position).collect();
        Ok(self.ask(move |connection| find::holds(connection, positions).boxed()).await?)
    }

    async fn target(&self, _: &Stream) -> Result<Target, SinkError> {
        Ok(Target(String::new()))
    }

    async fn append(&self, _: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, SinkError> {
        let rows = prepare(events.to_vec()).await?;
        Ok(self
            .connections
            .run(self.append_timeout, move |connection| async move { append::append(connection, &rows).await }.boxed())
            .await?)
    }

    async fn replace(&self, _: &Target, event: &SealedEvent) -> Result<Outcome, SinkError> {
        let row = PreparedRow::of(event.clone());
        Ok(self
            .connections
            .run(self.append_timeout, move |connection| append::replace(connection, row).boxed())
            .await?)
    }

    async fn head(&self, chain: ChainId) -> Result<Option<ChainHead>, SinkError> {
        Ok(self.ask(move |connection| find::head(connection, chain).boxed()).await?)
    }

    async fn chains_of(&self, writer: &str) -> Result<Vec<ChainId>, SinkError> {
        let writer = writer.to_owned();
        Ok(self.ask(move |connection| async move { find::chains_of(connection, &writer).await }.boxed()).await?)
    }

    async fn maintain(&self, _: &[Stream]) -> Result<(), SinkError> {
        Ok(())
    }
}

#[async_trait]
impl EventIndex for PostgresStore {
    async fn refresh(&self) -> Result<(), IndexError> {
        Ok(())
    }

    async fn find(&self, query: &ScopedQuery) -> Result<Page, IndexError> {
        let query = query.query().clone();
        query.after_event()?;
        Ok(self.ask(move |connection| async move { find::find(connection, &query).await }.boxed()).await?)
    }

    async fn aggregate(&self, query: &ScopedQuery, aggregation: &Aggregation) -> Result<Aggregate, IndexError> {
        let (query, aggregation) = (query.query().clone(), aggregation.clone());
        Ok(self
            .ask(move |connection| async move { find::aggregate(connection, &query, &aggregation).await }.boxed())
            .await??)
    }

    async fn scan(&self, query: &ScopedQuery) -> Result<Box<dyn Scan>, IndexError> {
        let last_row = self.ask(|connection| append::last_row(connection).boxed()).await?;
        let reader = ScanReader { connections: Arc::clone(&self.connections), limit: self.query_timeout };
        Ok(Box::new(PagedScan::begin(reader, query.query().clone(), last_row)?))
    }

    async fn chains(&self) -> Result<Vec<ChainEntry>, IndexError> {
        Ok(self.ask(|connection| find::chains(connection).boxed()).await?)
    }

    async fn at_positions(
        &self,
        chain: ChainId,
        range: RangeInclusive<Sequence>,
        bytes: usize,
    ) -> Result<Vec<ChainDocument>, IndexError> {
        Ok(self.ask(move |connection| find::at_positions(connection, chain, range, bytes).boxed()).await?)
    }

    async fn first(&self, chain: ChainId, from: Sequence) -> Result<Option<ChainEntry>, IndexError> {
        Ok(self.ask(move |connection| find::first(connection, chain, from).boxed()).await?)
    }

    async fn reach(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, IndexError> {
        Ok(self.ask(move |connection| find::reach(connection, chain, from).boxed()).await?)
    }

    async fn misfiled(&self, from: Option<RowId>, bytes: usize) -> Result<Option<FiledPart>, IndexError> {
        let from = from.map_or(i64::MIN, |row| row.0);
        Ok(Some(self.ask(move |connection| filing::misfiled(connection, from, bytes).boxed()).await?))
    }
}

/// Reads the batches of a scan.
struct ScanReader {
    connections: Arc<Connections>,
    limit: Duration,
}

#[async_trait]
impl super::sql::BatchReader for ScanReader {
    async fn read_batch(
        &self,
        query: &Arc<Query>,
        last_row: i64,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Vec<Bytes>, StoreError> {
        let query = Arc::clone(query);
        self.connections
            .run(self.limit, move |connection| {
                async move { find::read_batch(connection, &query, last_row, after.as_ref(), limit).await }.boxed()
            })
            .await
    }
}
