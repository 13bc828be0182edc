//! Events in Elasticsearch 9 and OpenSearch 3.
//!
//! Each stream has one alias over a series of indices. Their names are in [`names`], their creation in [`setup`], and
//! the reason why each event is in them exactly once in [`append`]. All differences between the engines are in
//! [`flavor`].
//!
//! On an Elasticsearch with security the user needs the cluster privileges `monitor`, `manage_index_templates` and
//! `manage_ilm`, and on `{index_prefix}-event-log-*` the index privileges `manage`, `index` and `read`.
//!
//! Requests are bounded in time on both sides: the engine is told when to give up, and a call that is dropped closes
//! its connection, upon which the engine cancels its search.

mod aggregate;
mod append;
mod bulk;
mod chains;
mod client;
mod config;
mod filter;
mod flavor;
mod labels;
mod lifecycle;
mod look_up;
mod names;
mod order;
mod own_fields;
mod point;
mod presence;
mod range;
mod reading;
mod scan;
mod search;
mod setup;
#[cfg(test)]
pub(crate) mod tests;
mod values;

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use serde::Deserialize;
use tokio::time::timeout;

pub use self::config::{ApiKey, Auth, Basic, Bearer, ConfigError, ElasticConfig, NodeUrl, Secret};
use self::{
    client::{Answer, Client, MAX_ANSWER, require_answer, unavailable},
    flavor::Flavor,
    labels::LabelTerms,
    lifecycle::Policy,
    names::IndexNames,
    own_fields::OwnFields,
    scan::ElasticScan,
    setup::Series,
};
use super::{
    ChainDocument, EventIndex, EventSink, IndexError, Outcome, Page, Scan, SinkError, StoreError, StoreId, Target,
};
use crate::{
    buffers::Pool,
    event::{ChainEntry, ChainHead, ChainId, ChainPosition, SealedEvent, Sequence, Stream},
    query::{Aggregate, Aggregation, ScopedQuery},
};

/// Events in an engine.
pub struct ElasticStore {
    client: Arc<Client>,
    names: IndexNames,
    /// Selects the shard copies that answer: see [`preference`].
    preference: String,
    /// The engine as detected at the last set-up.
    flavor: Mutex<Option<Flavor>>,
    own: OwnFields,
    /// Buffers for bulk bodies.
    bodies: Pool,
}

impl ElasticStore {
    /// Reads the secrets that the configuration names. Does not contact the engine before [`Store::setup`].
    pub fn new(config: &ElasticConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            client: Arc::new(Client::new(config)?),
            names: config.names()?,
            preference: preference(),
            flavor: Mutex::new(None),
            own: OwnFields::installed(),
            bodies: Pool::default(),
        })
    }

    async fn flavor(&self) -> Result<Flavor, StoreError> {
        let known = *self.flavor.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some(flavor) => Ok(flavor),
            None => self.detect().await,
        }
    }

    async fn detect(&self) -> Result<Flavor, StoreError> {
        let flavor = Flavor::detect(&self.client, &self.names, &policy()?).await?;
        *self.flavor.lock().unwrap_or_else(PoisonError::into_inner) = Some(flavor);
        Ok(flavor)
    }

    async fn series(&self, stream: &Stream) -> Result<Series<'_>, StoreError> {
        Series::new(&self.client, &self.names, self.flavor().await?, &self.own, stream)
    }

    /// Makes everything that was stored before the call visible to searches.
    async fn make_visible(&self) -> Result<(), StoreError> {
        self.make_visible_in(&self.names.pattern()).await
    }

    /// Does so for these indices alone.
    async fn make_visible_in(&self, indices: &str) -> Result<(), StoreError> {
        #[derive(Deserialize)]
        struct Refreshed {
            #[serde(rename = "_shards")]
            shards: Shards,
        }
        #[derive(Deserialize)]
        struct Shards {
            failed: u64,
        }
        let path = format!("{indices}/_refresh?{}&filter_path=_shards", search::INDICES);
        // The engine waits a minute for shards that are missing.
        let asked = timeout(self.client.request_timeout() * 9 / 10, self.client.post(&path, "")).await;
        let answer =
            asked.map_err(|_| unavailable(format!("{indices}: the refresh takes too long; are shards missing?")))??;
        match answer.json::<Refreshed>()?.shards.failed {
            0 => Ok(()),
            failed => Err(answer.unexpected(format_args!("{failed} shards failed"))),
        }
    }

    /// Returns what the engine indexes of labels. Without labels all engines are alike, and this one may not have been
    /// asked yet what it is.
    async fn label_terms(&self, has_labels: bool) -> Result<LabelTerms, StoreError> {
        if has_labels { Ok(self.flavor().await?.product.label_terms()) } else { Ok(LabelTerms::Exact) }
    }

    async fn search(&self, body: impl ToString) -> Result<Answer, StoreError> {
        require_answer(self.search_within(body, MAX_ANSWER).await?)
    }

    /// Returns `None` if the answer has more than `max_bytes` bytes.
    async fn search_within(&self, body: impl ToString, max_bytes: usize) -> Result<Option<Answer>, StoreError> {
        self.search_in(&self.names.pattern(), body, max_bytes).await
    }

    async fn search_in(
        &self,
        indices: &str,
        body: impl ToString,
        max_bytes: usize,
    ) -> Result<Option<Answer>, StoreError> {
        let preference = &self.preference;
        let path = format!("{indices}/_search?{}&{}&preference={preference}", search::INDICES, search::WHOLE);
        self.client.search(&path, body.to_string(), max_bytes).await
    }

    /// Returns the engine's time limit for a search.
    fn search_timeout(&self) -> String {
        format!("{}ms", self.client.engine_timeout().as_millis())
    }
}

/// Returns a random preference, with which the same shard copies answer all searches of one store, as long as they
/// exist. Copies are refreshed independently, so one may lack events that another has shown: a caller that asks how far
/// a chain reaches, and then reads its events, would miss some. Each store draws its own, so that different writers use
/// different copies.
fn preference() -> String {
    // Without randomness the copies are only used less evenly.
    format!("annals-{:016x}", getrandom::u64().unwrap_or_default())
}

fn policy() -> Result<Policy, StoreError> {
    Policy::built_in().map_err(|error| StoreError::Refused { reason: format!("built-in lifecycle policy: {error}") })
}

#[async_trait]
impl EventSink for ElasticStore {
    async fn setup(&self, streams: &[Stream]) -> Result<(), SinkError> {
        self.detect().await?;
        for stream in streams {
            let series = self.series(stream).await?;
            series.ensure_template().await?;
            series.ensure_index().await?;
        }
        Ok(())
    }

    async fn identity(&self) -> Result<StoreId, SinkError> {
        Ok(presence::identity(self).await?)
    }

    async fn holds(&self, positions: &[(Target, ChainPosition)]) -> Result<Vec<bool>, SinkError> {
        Ok(presence::holds(self, positions).await?)
    }

    async fn target(&self, stream: &Stream) -> Result<Target, SinkError> {
        Ok(self.series(stream).await?.ensure_index().await.map(Target)?)
    }

    async fn append(&self, target: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, SinkError> {
        append::append(self, target, events).await
    }

    async fn look_up(&self, events: &[SealedEvent]) -> Result<Vec<Option<Outcome>>, SinkError> {
        Ok(look_up::look_up(self, events).await?)
    }

    async fn replace(&self, target: &Target, event: &SealedEvent) -> Result<Outcome, SinkError> {
        append::replace(self, target, event).await
    }

    async fn head(&self, chain: ChainId) -> Result<Option<ChainHead>, SinkError> {
        self.make_visible().await?;
        let answer = self.search(search::last(chain, &self.search_timeout())).await?;
        Ok(search::read_last(&answer, chain)?)
    }

    async fn chains_of(&self, writer: &str) -> Result<Vec<ChainId>, SinkError> {
        self.make_visible().await?;
        Ok(chains::of_writer(self, writer).await?)
    }

    async fn maintain(&self, streams: &[Stream]) -> Result<(), SinkError> {
        let policy = policy()?;
        for stream in streams {
            self.series(stream).await?.roll_over_if_due(&policy).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl EventIndex for ElasticStore {
    async fn refresh(&self) -> Result<(), IndexError> {
        Ok(self.make_visible().await?)
    }

    async fn find(&self, query: &ScopedQuery) -> Result<Page, IndexError> {
        Ok(scan::page(self, query.query()).await?)
    }

    async fn aggregate(&self, query: &ScopedQuery, aggregation: &Aggregation) -> Result<Aggregate, IndexError> {
        aggregate::aggregate(self, query.query(), aggregation).await
    }

    async fn scan(&self, query: &ScopedQuery) -> Result<Box<dyn Scan>, IndexError> {
        Ok(Box::new(ElasticScan::open(self, query.query()).await?))
    }

    async fn at_positions(
        &self,
        chain: ChainId,
        range: RangeInclusive<Sequence>,
        bytes: usize,
    ) -> Result<Vec<ChainDocument>, IndexError> {
        Ok(range::read(self, chain, range, bytes).await?)
    }

    async fn first(&self, chain: ChainId, from: Sequence) -> Result<Option<ChainEntry>, IndexError> {
        Ok(chains::first(self, chain, from).await?)
    }

    async fn chains(&self) -> Result<Vec<ChainEntry>, IndexError> {
        Ok(chains::chains(self).await?)
    }

    async fn reach(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, IndexError> {
        Ok(chains::reach(self, chain, from).await?)
    }
}
