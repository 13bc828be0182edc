//! The embedded store: one SQLite file, one thread that writes, a few connections that read.
//!
//! Each append is one transaction, which is on disk when the call returns. The file is in WAL mode, so that queries and
//! appends do not wait for each other.

mod append;
mod database;
mod failure;
mod filing;
mod find;
mod functions;
mod migrate;
mod readers;
mod scan;
mod writer;

#[cfg(test)]
mod tests;

use std::{num::NonZeroU32, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::Deserialize;

use self::{append::PreparedRow, readers::Readers, writer::WriterThread};
use super::{
    ChainDocument, EventIndex, EventSink, FiledPart, IndexError, Outcome, Page, RowId, Scan, SinkError, StoreId,
    Target, sql::PagedScan,
};
use crate::{
    event::{ChainEntry, ChainHead, ChainId, ChainPosition, SealedEvent, Sequence, Stream},
    query::{Aggregate, Aggregation, ScopedQuery},
    units::deserialize_duration,
};

/// Where the embedded store is, and how much it may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {
    /// The database file. It is created if it is absent, and so are its parent folders. SQLite keeps two more files
    /// next to it, whose names end in `-wal` and `-shm`: they belong to it, and a copy has to include all three.
    pub path: PathBuf,
    /// How long a query may take before it is cancelled.
    #[serde(deserialize_with = "deserialize_duration")]
    pub query_timeout: Duration,
    /// How many queries may run at a time; further ones wait for their turn.
    pub concurrent_queries: NonZeroU32,
}

/// Events in one SQLite file.
pub struct SqliteStore {
    writer: WriterThread,
    readers: Arc<Readers>,
}

impl SqliteStore {
    /// Starts the writer thread. Does not touch the file before [`Store::setup`].
    pub fn new(config: SqliteConfig) -> std::io::Result<Self> {
        let readers = Readers::new(config.path.clone(), config.concurrent_queries, config.query_timeout);
        Ok(Self { writer: WriterThread::start(config.path)?, readers: Arc::new(readers) })
    }
}

#[async_trait]
impl EventSink for SqliteStore {
    async fn setup(&self, _: &[Stream]) -> Result<(), SinkError> {
        self.readers.close_idle();
        Ok(self.writer.open().await?)
    }

    async fn identity(&self) -> Result<StoreId, SinkError> {
        Ok(self.writer.run(|connection| find::identity(connection)).await?)
    }

    async fn holds(&self, positions: &[(Target, ChainPosition)]) -> Result<Vec<bool>, SinkError> {
        let positions: Vec<_> = positions.iter().map(|(_, position)| *position).collect();
        // By the connection that appends, so that it is the same file.
        Ok(self.writer.run(move |connection| find::holds(connection, &positions)).await?)
    }

    async fn target(&self, _: &Stream) -> Result<Target, SinkError> {
        Ok(Target(String::new()))
    }

    async fn append(&self, _: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, SinkError> {
        let events = events.to_vec();
        let rows = tokio::task::spawn_blocking(|| events.into_iter().map(PreparedRow::of).collect::<Vec<_>>()).await;
        let rows = rows.map_err(|error| SinkError::Unavailable { reason: error.to_string(), retry_after: None })?;
        Ok(self.writer.run(move |connection| append::append(connection, &rows)).await?)
    }

    async fn replace(&self, _: &Target, event: &SealedEvent) -> Result<Outcome, SinkError> {
        let row = PreparedRow::of(event.clone());
        Ok(self.writer.run(move |connection| append::replace(connection, &row)).await?)
    }

    async fn head(&self, chain: ChainId) -> Result<Option<ChainHead>, SinkError> {
        Ok(self.readers.run(move |connection| find::head(connection, chain)).await?)
    }

    async fn chains_of(&self, writer: &str) -> Result<Vec<ChainId>, SinkError> {
        let writer = writer.to_owned();
        Ok(self.readers.run(move |connection| find::chains_of(connection, &writer)).await?)
    }

    async fn maintain(&self, _: &[Stream]) -> Result<(), SinkError> {
        Ok(self.writer.shorten_log().await?)
    }
}

#[async_trait]
impl EventIndex for SqliteStore {
    async fn refresh(&self) -> Result<(), IndexError> {
        Ok(())
    }

    async fn find(&self, query: &ScopedQuery) -> Result<Page, IndexError> {
        let query = query.query().clone();
        query.after_event()?;
        Ok(self.readers.run(move |connection| find::find(connection, &query)).await?)
    }

    async fn aggregate(&self, query: &ScopedQuery, aggregation: &Aggregation) -> Result<Aggregate, IndexError> {
        let (query, aggregation) = (query.query().clone(), aggregation.clone());
        self.readers.run(move |connection| find::aggregate(connection, &query, &aggregation)).await?
    }

    async fn scan(&self, query: &ScopedQuery) -> Result<Box<dyn Scan>, IndexError> {
        let last_row = self.readers.run(find::last_row).await?;
        Ok(Box::new(PagedScan::begin(Arc::clone(&self.readers), query.query().clone(), last_row)?))
    }

    async fn chains(&self) -> Result<Vec<ChainEntry>, IndexError> {
        Ok(self.readers.run(find::chains).await?)
    }

    async fn at_positions(
        &self,
        chain: ChainId,
        range: RangeInclusive<Sequence>,
        bytes: usize,
    ) -> Result<Vec<ChainDocument>, IndexError> {
        Ok(self.readers.run(move |connection| find::at_positions(connection, chain, &range, bytes)).await?)
    }

    async fn first(&self, chain: ChainId, from: Sequence) -> Result<Option<ChainEntry>, IndexError> {
        Ok(self.readers.run(move |connection| find::first(connection, chain, from)).await?)
    }

    async fn reach(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, IndexError> {
        Ok(self.readers.run(move |connection| find::reach(connection, chain, from)).await?)
    }

    async fn misfiled(&self, from: Option<RowId>, bytes: usize) -> Result<Option<FiledPart>, IndexError> {
        let from = from.map_or(i64::MIN, |row| row.0);
        Ok(Some(self.readers.run(move |connection| filing::misfiled(connection, from, bytes)).await?))
    }
}
