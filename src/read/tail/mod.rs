//! Tails: new events of the store, each exactly once, whatever order they arrive in.
//!
//! A tail follows positions in chains, not times. It knows the next position to read in each chain. Events arrive out of order,
//! because several bulks are in flight at once. So a chain is only read up to its first hole ([`EventIndex::reach`]), which is
//! determined before the events are read, so that an event that arrives in between is not skipped. Events after a hole wait.
//! **A hole that lasts for [`PATIENCE`]** is announced as a gap and skipped: events that fill it later, such as a replayed dead
//! letter, can be found but are not shown.
//!
//! [`EventIndex::reach`]: crate::store::EventIndex::reach

mod chains;
mod follow;
mod positions;
mod start;

pub use positions::{BadPositions, Positions};

use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::try_join_all;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::{
    AccessWatch, OpenScan, Projection, ReadError, Reader, RequestedScope, error::answered, streams::StreamPermit,
};
use crate::{
    access::{self, Caller, Permit},
    audit::Action,
    event::{ChainEntry, ChainId, ChainPosition, Sequence, UnixMillis},
    query::{
        Aggregate, Aggregation, Key, Place, Query, ScopedQuery, Subject,
        filter::{Filter, Test, Value},
    },
    schema::{self, Field},
};

/// How long a hole in a chain may last before the events after it are shown.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the positions of chains without matching events are advanced.
const CATCH_UP: Duration = Duration::from_secs(30);

/// How often the chains are listed.
const DISCOVER: Duration = Duration::from_secs(10);

/// Maximum events that are read at once, and their bytes.
const PAGE: u64 = 100;
const PAGE_BYTES: usize = 128 << 10;

/// What a tail takes: a page, and its events that wait for the client.
const MEMORY: usize = 2 * PAGE_BYTES;

/// Maximum chains in one query.
const CHAINS_AT_ONCE: usize = 100;

/// Maximum concurrent queries about chains.
const CONCURRENT: usize = 4;

/// Filter, projection and start of a tail.
pub struct TailRequest {
    pub filter: Filter,
    pub projection: Projection,
    pub begin: Begin,
}

/// Where a tail begins.
pub enum Begin {
    /// With events that are stored from now on.
    Now,
    /// With all events that happened at this time or later.
    Since(UnixMillis),
    /// After the position of an earlier tail.
    Resumed(Positions),
}

/// A message of a tail. Its `id` resumes the tail after the message.
pub enum TailMessage<'a> {
    /// The first message.
    Begin {
        id: String,
    },
    Event {
        id: String,
        document: Bytes,
    },
    /// An inclusive range of positions that did not reach the store within a minute and is skipped.
    Gap {
        id: String,
        chain: ChainId,
        from: Sequence,
        to: Sequence,
    },
    /// The progress of the tail, without an event.
    Position {
        id: String,
    },
    /// The index does not answer; the tail continues automatically.
    Waiting(&'a ReadError),
}

/// The reader of a tail.
pub trait TailOutput: Sync {
    /// Sends a message; waits until there is room for it.
    fn send(&self, message: TailMessage<'_>) -> impl Future<Output = Result<(), Gone>> + Send;
}

/// The reader is gone, or too slow.
#[derive(Debug)]
pub struct Gone;

/// Follows the chains for one reader.
pub struct Tail {
    reader: Arc<Reader>,
    permit: Permit,
    filter: Filter,
    projection: Projection,
    positions: Positions,
    /// The next sequence of chains at rest that the id does not name.
    resting: BTreeMap<ChainId, Sequence>,
    /// The last entry of each chain when the chains were last listed.
    ends: BTreeMap<ChainId, ChainEntry>,
    /// The hole that a chain waits at, and since when.
    waiting: BTreeMap<ChainId, (Sequence, Instant)>,
    caught_up: Instant,
    discovered: Instant,
    fields: Fields,
    _permit: StreamPermit,
}

struct Fields {
    chain: &'static Field,
    sequence: &'static Field,
}

/// Why a round was interrupted.
enum Interrupted {
    Reader,
    Index(ReadError),
}

impl From<Gone> for Interrupted {
    fn from(Gone: Gone) -> Self {
        Self::Reader
    }
}

impl From<ReadError> for Interrupted {
    fn from(error: ReadError) -> Self {
        Self::Index(error)
    }
}

/// An inclusive range of positions in one chain.
#[derive(Clone, Copy)]
struct Reach {
    chain: ChainId,
    from: Sequence,
    to: Sequence,
}

impl Reader {
    /// Prepares a tail, which includes first queries to the store. The caller must use the watch to end the tail when access is
    /// lost.
    pub async fn tail(
        self: &Arc<Self>,
        caller: &Caller,
        scope: RequestedScope,
        request: TailRequest,
        deadline: Instant,
    ) -> Result<(Tail, AccessWatch), ReadError> {
        let field = |path: &str| schema::field(path).ok_or_else(|| ReadError::internal(format!("no field {path}")));
        let fields = Fields { chain: field("annals.chain")?, sequence: field("annals.sequence")? };
        let (permit, record) = self.permit(caller, scope, Action::Tail, deadline).await?;
        record.done().await?;
        let _permit = self.streams.begin_tail(&caller.principal, MEMORY).await?;
        let TailRequest { filter, projection, begin } = request;
        let positions = match begin {
            Begin::Now => start::now(self).await?,
            Begin::Since(since) => Positions { since: Some(since), ..Positions::default() },
            Begin::Resumed(positions) => positions,
        };
        let now = Instant::now();
        let mut tail = Tail {
            reader: Arc::clone(self),
            permit: permit.clone(),
            filter,
            projection,
            positions,
            resting: BTreeMap::new(),
            ends: BTreeMap::new(),
            waiting: BTreeMap::new(),
            caught_up: now,
            discovered: now,
            fields,
            _permit,
        };
        tail.discover().await?;
        tail.pass_what_rests().await?;
        tail.fits()?;
        Ok((tail, self.watch(caller, permit)))
    }
}

impl Tail {
    /// Shows all readable events; returns whether there were any.
    async fn round(&mut self, output: &impl TailOutput) -> Result<bool, Interrupted> {
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
            has_shown |= self.show(reaches, output).await?;
        }
        for chain in with_more {
            match reaches.iter().any(|reach| reach.chain == chain) {
                true => drop(self.waiting.remove(&chain)),
                false => has_shown |= self.wait_at_hole(chain, output).await?,
            }
        }
        if is_catching_up {
            self.caught_up = Instant::now();
            self.let_rest();
            output.send(self.position()).await?;
        }
        Ok(has_shown)
    }

    fn position(&self) -> TailMessage<'static> {
        TailMessage::Position { id: self.positions.encode() }
    }

    async fn chains_among(&self, filter: Filter) -> Result<Vec<ChainId>, ReadError> {
        let query = self.query(filter, 0);
        let aggregation = Aggregation::Terms { subject: self.fields.chain.into(), limit: CHAINS_AT_ONCE };
        let index = &self.reader.index;
        let buckets = match answered(self.reader.step_deadline(), index.aggregate(&query, &aggregation)).await? {
            Aggregate::Terms { buckets, .. } => buckets,
            other @ (Aggregate::Histogram(_) | Aggregate::Statistics(_) | Aggregate::Percentiles(_)) => {
                return Err(ReadError::internal(format!("the store returned another kind of result: {other:?}")));
            }
        };
        let chain = |key: Key| match key {
            Key::Text(text) => {
                text.parse().map_err(|_| ReadError::internal(format!("{text} is not the id of a chain")))
            }
            Key::Integer(_) | Key::Number(_) => Err(ReadError::internal("the id of a chain is not a text")),
        };
        buckets.into_iter().map(|bucket| chain(bucket.value)).collect()
    }

    /// Returns how far each of these chains can be read. Chains that wait at a hole or have nothing new are left out.
    async fn reaches(&self, chains: &[ChainId]) -> Result<Vec<Reach>, ReadError> {
        let mut reaches = Vec::with_capacity(chains.len());
        for chains in chains.chunks(CONCURRENT) {
            reaches.extend(try_join_all(chains.iter().map(|chain| self.reach(*chain))).await?.into_iter().flatten());
        }
        Ok(reaches)
    }

    async fn reach(&self, chain: ChainId) -> Result<Option<Reach>, ReadError> {
        let from = self.positions.of(chain);
        let to = answered(self.reader.step_deadline(), self.reader.index.reach(chain, from)).await?;
        Ok(to.map(|to| Reach { chain, from, to }))
    }

    /// Shows the events in these ranges; returns whether there were any. New events usually fit into one page; the rest of a
    /// backlog is read with a scan.
    async fn show(&mut self, reaches: &[Reach], output: &impl TailOutput) -> Result<bool, Interrupted> {
        let index = Arc::clone(&self.reader.index);
        let query = self.query(self.within_any(reaches)?, PAGE);
        let page = answered(self.reader.step_deadline(), index.find(&query)).await?;
        let is_full = page.is_cut || page.documents.len() as u64 >= PAGE;
        let has_shown = !page.documents.is_empty();
        for document in page.documents {
            self.show_event(document, output).await?;
        }
        if is_full {
            self.show_rest(reaches, output).await?;
        }
        for reach in reaches {
            self.positions.next.insert(reach.chain, reach.to.next());
        }
        Ok(has_shown)
    }

    async fn show_rest(&mut self, reaches: &[Reach], output: &impl TailOutput) -> Result<(), Interrupted> {
        let query = self.query(self.within_any(reaches)?, PAGE);
        let mut scan = OpenScan::open(self.reader.index.as_ref(), &query, self.reader.step_deadline()).await?;
        loop {
            let documents = scan.next(PAGE, self.reader.step_deadline()).await?;
            if documents.is_empty() {
                return Ok(());
            }
            for document in documents {
                self.show_event(document, output).await?;
            }
        }
    }

    fn within_any(&self, reaches: &[Reach]) -> Result<Filter, ReadError> {
        let parts: Result<Vec<_>, _> = reaches.iter().map(|reach| self.within(reach)).collect();
        Ok(Filter::any(parts?))
    }

    async fn show_event(&mut self, document: Bytes, output: &impl TailOutput) -> Result<(), Interrupted> {
        let ChainPosition { chain, sequence } = position_of(&document)?;
        self.positions.next.insert(chain, sequence.next());
        let shown = self.projection.apply(document).map_err(ReadError::internal)?;
        let message = TailMessage::Event { id: self.positions.encode(), document: shown };
        Ok(output.send(message).await?)
    }

    /// Handles a chain with events after a hole; returns whether the hole was skipped.
    async fn wait_at_hole(&mut self, chain: ChainId, output: &impl TailOutput) -> Result<bool, Interrupted> {
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
        output.send(TailMessage::Gap { id: self.positions.encode(), chain, from: hole, to: last }).await?;
        Ok(true)
    }

    /// Returns the position of the first matching event at or after this one.
    async fn first_behind(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, ReadError> {
        let query = self.query(self.rest(chain, from)?, 1);
        let index = &self.reader.index;
        let page = answered(self.reader.step_deadline(), index.find(&query)).await?;
        page.documents.first().map(|document| position_of(document).map(|position| position.sequence)).transpose()
    }

    /// Returns a query for events that match the client's filter and this one, in chain order.
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

    fn within(&self, reach: &Reach) -> Result<Filter, ReadError> {
        self.part_of(
            reach.chain,
            Bound::Included(self.positions.of(reach.chain).max(reach.from)),
            Bound::Included(reach.to),
        )
    }

    fn rest(&self, chain: ChainId, next: Sequence) -> Result<Filter, ReadError> {
        self.part_of(chain, Bound::Included(next), Bound::Unbounded)
    }

    fn part_of(&self, chain: ChainId, low: Bound<Sequence>, high: Bound<Sequence>) -> Result<Filter, ReadError> {
        let number = |Sequence(number)| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
        let range = Test::Range { low: low.map(number), high: high.map(number) };
        let value = |field, test| Filter::value(Subject::Field(field), test).map_err(ReadError::internal);
        let is_of_chain = value(self.fields.chain, Test::OneOf(vec![Value::Text(chain.to_string())]))?;
        Ok(Filter::all([value(self.fields.sequence, range)?, is_of_chain]))
    }
}

fn position_of(document: &[u8]) -> Result<ChainPosition, ReadError> {
    let place = serde_json::from_slice(document).ok().and_then(|document: Json| Place::of(&document, &[]));
    place
        .map(|place| place.position)
        .ok_or_else(|| ReadError::internal("a stored document has no position in its chain"))
}
