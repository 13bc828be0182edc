//! A tail: events as the store gets them, each once, whatever order they arrive in.
//!
//! It follows positions in chains, not times. Of each chain it knows the position to be read next. Events arrive out of order, as
//! several bulks are under way at once; so of a chain only as much is read as is there without a hole ([`Store::reach`]), and that is asked
//! before the events are, so that none which arrives in between is passed over. What lies behind a hole waits. **A hole that stays
//! for [`PATIENCE`]** is announced as a gap and passed: what fills it later, such as a dead letter that is replayed, is found, and not shown.
//!
//! [`Store::reach`]: crate::store::Store::reach

mod chains;
mod positions;
mod start;

pub(super) use positions::Positions;

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::try_join_all;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::{
    Shared, ask,
    projection::Projection,
    request::{Begin, TailRequest},
    scan::OpenScan,
    streams::{Gone, Sender},
};
use crate::{
    access::{self, Permit},
    error::Failure,
    event::{ChainEntry, ChainId, ChainPosition, Sequence},
    query::{
        Aggregate, Aggregation, Key, Place, Query, ScopedQuery,
        filter::{Filter, Subject, Test, Value},
    },
    schema::{self, Field},
};

/// How long a hole in a chain may stay before what lies behind it is shown.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the positions of chains go on that have nothing to show.
const CATCH_UP: Duration = Duration::from_secs(30);

/// How often it is asked which chains there are.
const DISCOVER: Duration = Duration::from_secs(10);

/// Events that are read at once.
const PAGE: u64 = 100;
const PAGE_BYTES: usize = 1 << 20;

/// Chains that one question is about.
const CHAINS_AT_ONCE: usize = 100;

/// Questions about chains that are under way at once.
const CONCURRENT: usize = 4;

/// Follows the chains for one client.
pub(super) struct Follower {
    shared: Arc<Shared>,
    permit: Permit,
    filter: Filter,
    projection: Projection,
    positions: Positions,
    /// What is to be read next of chains that are at rest, and not named.
    resting: BTreeMap<ChainId, Sequence>,
    /// What stood last in each chain when it was last asked.
    ends: BTreeMap<ChainId, ChainEntry>,
    /// Where chains wait at a hole, and since when.
    waiting: BTreeMap<ChainId, (Sequence, Instant)>,
    caught_up: Instant,
    discovered: Instant,
    fields: Fields,
}

struct Fields {
    chain: &'static Field,
    sequence: &'static Field,
}

/// Why a round of reading ended early.
pub(super) enum Interrupted {
    Reader,
    Store(Failure),
}

impl From<Gone> for Interrupted {
    fn from(Gone: Gone) -> Self {
        Self::Reader
    }
}

impl From<Failure> for Interrupted {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

/// Positions of one chain, both included.
#[derive(Clone, Copy)]
struct Reach {
    chain: ChainId,
    from: Sequence,
    to: Sequence,
}

impl Follower {
    /// Ready to follow, from where the request says; the store has answered once.
    pub(super) async fn begin(shared: Arc<Shared>, permit: Permit, request: TailRequest) -> Result<Self, Failure> {
        let field = |path: &str| schema::field(path).ok_or_else(|| Failure::internal(format!("no field {path}")));
        let fields = Fields { chain: field("annals.chain")?, sequence: field("event.sequence")? };
        let TailRequest { filter, projection, begin } = request;
        let positions = match begin {
            Begin::Now => start::now(&shared).await?,
            Begin::Since(since) => Positions { since: Some(since), ..Positions::default() },
            Begin::Resumed(positions) => positions,
        };
        let now = Instant::now();
        let mut follower = Self {
            shared,
            permit,
            filter,
            projection,
            positions,
            resting: BTreeMap::new(),
            ends: BTreeMap::new(),
            waiting: BTreeMap::new(),
            caught_up: now,
            discovered: now,
            fields,
        };
        follower.discover().await?;
        follower.pass_what_rests().await?;
        follower.fits()?;
        Ok(follower)
    }

    /// Shows what there is to show; whether there was anything.
    pub(super) async fn round(&mut self, sender: &Sender) -> Result<bool, Interrupted> {
        if self.discovered.elapsed() >= DISCOVER {
            self.discover().await?;
            self.fits()?;
        }
        let with_more = self.chains_with_more().await?;
        if with_more.is_empty() && self.caught_up.elapsed() < CATCH_UP {
            return Ok(false);
        }
        let is_catching_up = self.caught_up.elapsed() >= CATCH_UP;
        let mut chains = with_more.clone();
        if is_catching_up {
            self.pass(&with_more);
            let others = self.behind(false).map(|(chain, _)| chain);
            chains.extend(others.filter(|chain| !with_more.contains(chain)));
        }
        let reaches = self.reaches(&chains).await?;
        let mut has_shown = false;
        for reaches in reaches.chunks(CHAINS_AT_ONCE) {
            has_shown |= self.show(reaches, sender).await?;
        }
        for chain in with_more {
            match reaches.iter().any(|reach| reach.chain == chain) {
                true => drop(self.waiting.remove(&chain)),
                false => has_shown |= self.wait_at_hole(chain, sender).await?,
            }
        }
        if is_catching_up {
            self.caught_up = Instant::now();
            self.let_rest();
            sender.send(self.place()).await?;
        }
        Ok(has_shown)
    }

    /// How far it has come, for the client to come back to, without an event.
    pub(super) fn place(&self) -> String {
        format!("id: {}\n\n", self.positions.encode())
    }

    async fn chains_among(&self, filter: Filter) -> Result<Vec<ChainId>, Failure> {
        let query = self.query(filter, 0);
        let aggregation = Aggregation::Terms { field: self.fields.chain, limit: CHAINS_AT_ONCE };
        let store = &self.shared.services.query_store;
        let buckets = match ask::answered(self.shared.deadline(), store.aggregate(&query, &aggregation)).await? {
            Aggregate::Terms { buckets, .. } => buckets,
            other @ (Aggregate::Histogram(_) | Aggregate::Statistics(_) | Aggregate::Percentiles(_)) => {
                return Err(Failure::internal(format!("the store answered another question: {other:?}")));
            }
        };
        let chain = |key: Key| match key {
            Key::Text(text) => text.parse().map_err(|_| Failure::internal(format!("{text} names no chain"))),
            Key::Integer(_) | Key::Number(_) => Err(Failure::internal("a chain has a text for a name")),
        };
        buckets.into_iter().map(|bucket| chain(bucket.value)).collect()
    }

    /// How far each of these chains can be read; those that wait at a hole, or have nothing new, are left out.
    async fn reaches(&self, chains: &[ChainId]) -> Result<Vec<Reach>, Failure> {
        let mut reaches = Vec::with_capacity(chains.len());
        for chains in chains.chunks(CONCURRENT) {
            reaches.extend(try_join_all(chains.iter().map(|chain| self.reach(*chain))).await?.into_iter().flatten());
        }
        Ok(reaches)
    }

    async fn reach(&self, chain: ChainId) -> Result<Option<Reach>, Failure> {
        let from = self.positions.of(chain);
        let to = self.shared.services.query_store.reach(chain, from);
        let to = ask::answered(self.shared.deadline(), to).await?;
        Ok(to.map(|to| Reach { chain, from, to }))
    }

    /// Shows the events within these positions; whether there were any. What comes mostly fits one page; of a backlog the
    /// rest is read in one go.
    async fn show(&mut self, reaches: &[Reach], sender: &Sender) -> Result<bool, Interrupted> {
        let store = Arc::clone(&self.shared.services.query_store);
        let query = self.query(self.within_any(reaches)?, PAGE);
        let page = ask::answered(self.shared.deadline(), store.find(&query)).await?;
        let is_full = page.is_cut || page.documents.len() as u64 >= PAGE;
        let has_shown = !page.documents.is_empty();
        for document in page.documents {
            self.show_event(document, sender).await?;
        }
        if is_full {
            self.show_rest(reaches, sender).await?;
        }
        for reach in reaches {
            self.positions.next.insert(reach.chain, reach.to.next());
        }
        Ok(has_shown)
    }

    async fn show_rest(&mut self, reaches: &[Reach], sender: &Sender) -> Result<(), Interrupted> {
        let query = self.query(self.within_any(reaches)?, PAGE);
        let mut scan = OpenScan::open(&self.shared, &query, self.shared.deadline()).await?;
        loop {
            let documents = scan.next(PAGE, self.shared.deadline()).await?;
            if documents.is_empty() {
                return Ok(());
            }
            for document in documents {
                self.show_event(document, sender).await?;
            }
        }
    }

    fn within_any(&self, reaches: &[Reach]) -> Result<Filter, Failure> {
        let parts: Result<Vec<_>, _> = reaches.iter().map(|reach| self.within(reach)).collect();
        Ok(Filter::any(parts?))
    }

    async fn show_event(&mut self, document: Bytes, sender: &Sender) -> Result<(), Interrupted> {
        let ChainPosition { chain, sequence } = position_of(&document)?;
        self.positions.next.insert(chain, sequence.next());
        let shown = self.projection.apply(document).map_err(|error| Failure::internal(error.to_string()))?;
        Ok(sender.send(message(None, &self.positions, &shown)).await?)
    }

    /// A chain that has something behind a hole; whether the hole was passed.
    async fn wait_at_hole(&mut self, chain: ChainId, sender: &Sender) -> Result<bool, Interrupted> {
        let hole = self.positions.of(chain);
        let waiting = self.waiting.entry(chain).or_insert_with(|| (hole, Instant::now()));
        if waiting.0 != hole {
            *waiting = (hole, Instant::now());
        }
        if waiting.1.elapsed() < PATIENCE {
            return Ok(false);
        }
        let Some(next) = self.first_behind(chain, hole).await? else { return Ok(false) };
        let last = Sequence(next.0.saturating_sub(1));
        self.waiting.remove(&chain);
        self.positions.next.insert(chain, next);
        tracing::warn!(%chain, from = hole.0, to = last.0, "a tail passes a hole in a chain");
        let gap = format!(r#"{{"chain":"{chain}","from":{},"to":{}}}"#, hole.0, last.0);
        sender.send(message(Some("gap"), &self.positions, gap.as_bytes())).await?;
        Ok(true)
    }

    /// The position of the first event to show that is there at or behind this one.
    async fn first_behind(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, Failure> {
        let query = self.query(self.rest(chain, from)?, 1);
        let store = &self.shared.services.query_store;
        let page = ask::answered(self.shared.deadline(), store.find(&query)).await?;
        page.documents.first().map(|document| position_of(document).map(|position| position.sequence)).transpose()
    }

    /// What the client wants, and this too, in the order of chains.
    fn query(&self, filter: Filter, limit: u64) -> ScopedQuery {
        access::scope(self.permit.clone(), |scope| Query {
            scope,
            start: self.positions.since,
            end: None,
            filter: Filter::all([self.filter.clone(), filter]),
            sort: Vec::new(),
            after: None,
            offset: 0,
            limit,
            bytes: PAGE_BYTES,
        })
    }

    fn within(&self, reach: &Reach) -> Result<Filter, Failure> {
        self.part_of(
            reach.chain,
            Bound::Included(self.positions.of(reach.chain).max(reach.from)),
            Bound::Included(reach.to),
        )
    }

    fn rest(&self, chain: ChainId, next: Sequence) -> Result<Filter, Failure> {
        self.part_of(chain, Bound::Included(next), Bound::Unbounded)
    }

    fn part_of(&self, chain: ChainId, low: Bound<Sequence>, high: Bound<Sequence>) -> Result<Filter, Failure> {
        let number = |Sequence(number)| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let range = Test::Range { low: low.map(number), high: high.map(number) };
        let value = |field, test| {
            Filter::value(Subject::Field(field), test).map_err(|error| Failure::internal(error.to_string()))
        };
        let is_of_chain = value(self.fields.chain, Test::OneOf(vec![Value::Text(chain.to_string())]))?;
        Ok(Filter::all([value(self.fields.sequence, range)?, is_of_chain]))
    }
}

fn position_of(document: &[u8]) -> Result<ChainPosition, Failure> {
    let place = serde_json::from_slice(document).ok().and_then(|document: Json| Place::of(&document, &[]));
    place.map(|place| place.position).ok_or_else(|| Failure::internal("a stored document has no place in its chain"))
}

/// One message of a stream of server-sent events.
fn message(kind: Option<&str>, positions: &Positions, data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len() + 128);
    if let Some(kind) = kind {
        text.extend_from_slice(format!("event: {kind}\n").as_bytes());
    }
    text.extend_from_slice(format!("id: {}\n", positions.encode()).as_bytes());
    // Documents are one line; a store that breaks them makes no two messages of one.
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()) {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    text
}
