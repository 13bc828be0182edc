//! Which chains a tail follows, and which of them its id names.
//!
//! Every data folder of a writer leaves a chain behind, and an id has to fit into the head of a request. So where there are more than
//! [`NAMED`], those that are at rest, and read to their end, are left out, the longest at rest first; the id says until when they were
//! received. Nor are those asked about round by round; that they are no longer at rest is seen when it is asked which chains there are.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::{CHAINS_AT_ONCE, CONCURRENT, Tail, positions::MOST_CHAINS, start};
use crate::{
    event::{ChainEntry, ChainId, Sequence, UnixMillis},
    query::filter::Filter,
    read::{ReadError, error::answered},
};

/// How many chains an id names whether they are at rest or not: so many that it is taken by what stands before a server, too.
const NAMED: usize = 250;

impl Tail {
    /// Finds the chains never heard of, and those that are no longer at rest.
    pub(super) async fn discover(&mut self) -> Result<(), ReadError> {
        let ends = answered(self.reader.step_deadline(), self.reader.index.chains()).await?;
        for end in &ends {
            let (chain, last) = (end.position.chain, end.position.sequence);
            if self.positions.next.contains_key(&chain) {
                continue;
            }
            let next = match self.resting.get(&chain) {
                Some(next) => *next,
                None => self.next_of_unnamed(end).await?,
            };
            if next > last && self.positions.read_until.is_some_and(|until| end.received <= until) {
                self.resting.insert(chain, next);
            } else {
                self.resting.remove(&chain);
                self.positions.next.insert(chain, next);
            }
        }
        self.ends = ends.into_iter().map(|end| (end.position.chain, end)).collect();
        self.discovered = Instant::now();
        self.let_rest();
        Ok(())
    }

    /// What is to be read next of a chain that the id did not name.
    async fn next_of_unnamed(&self, end: &ChainEntry) -> Result<Sequence, ReadError> {
        let (chain, last) = (end.position.chain, end.position.sequence);
        let Some(until) = self.positions.read_until else { return Ok(Sequence(0)) };
        if end.received <= until {
            return Ok(last.next());
        }
        let index = &self.reader.index;
        let is_read = async |at| {
            let first = answered(self.reader.step_deadline(), index.first(chain, Sequence(at))).await?;
            Ok::<_, ReadError>(first.filter(|first| first.received <= until).map(|first| first.position.sequence))
        };
        // A chain never goes back in time.
        let Some(Sequence(first)) = is_read(0).await? else { return Ok(Sequence(0)) };
        let (mut low, mut high) = (first + 1, last.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match is_read(middle).await? {
                Some(Sequence(read)) => low = read + 1,
                None => high = middle,
            }
        }
        Ok(Sequence(low))
    }

    /// Leaves out of the id what need not be named.
    pub(super) fn let_rest(&mut self) {
        let excess = self.positions.next.len().saturating_sub(NAMED);
        if excess == 0 {
            return;
        }
        let young = start::young(&self.reader);
        let at_rest = |(chain, next): (&ChainId, &Sequence)| match self.ends.get(chain) {
            // Whatever there was of it was deleted.
            None => Some((UnixMillis(i64::MIN), *chain)),
            Some(end) => (end.received < young && *next > end.position.sequence).then_some((end.received, *chain)),
        };
        let mut at_rest: Vec<_> = self.positions.next.iter().filter_map(at_rest).collect();
        at_rest.sort_unstable();
        for (received, chain) in at_rest.into_iter().take(excess) {
            if let Some(next) = self.positions.next.remove(&chain) {
                self.resting.insert(chain, next);
                self.positions.read_until = self.positions.read_until.max(Some(received));
            }
        }
    }

    /// That there are not more chains to be named than an id has room for.
    pub(super) fn fits(&self) -> Result<(), ReadError> {
        let count = self.positions.next.len();
        if count <= MOST_CHAINS {
            return Ok(());
        }
        Err(ReadError::TooManyChains(format!(
            "a tail follows at most {MOST_CHAINS} chains that had events within a day, or have some to show; here are \
             {count}; begin with a later [since], or without it"
        )))
    }

    /// Passes what there is of chains at rest that have nothing to show, so that they need not be named.
    pub(super) async fn pass_what_rests(&mut self) -> Result<(), ReadError> {
        if self.behind(true).next().is_some() {
            let with_more = self.chains_with_more().await?;
            self.pass(&with_more);
        }
        self.let_rest();
        Ok(())
    }

    pub(super) fn pass(&mut self, with_more: &[ChainId]) {
        let passed: BTreeMap<_, _> = self.behind(true).filter(|(chain, _)| !with_more.contains(chain)).collect();
        self.positions.next.extend(passed);
    }

    /// The chains that the store has more of than was read, and what comes behind that; if there are too many to be named, those
    /// at rest are apart from the others.
    pub(super) fn behind(&self, are_resting: bool) -> impl Iterator<Item = (ChainId, Sequence)> {
        let young = if self.positions.next.len() > NAMED { start::young(&self.reader) } else { UnixMillis(i64::MIN) };
        let ends = self.positions.next.iter().filter_map(|(chain, next)| Some((next, self.ends.get(chain)?)));
        let behind =
            ends.filter(move |(next, end)| **next <= end.position.sequence && are_resting == (end.received < young));
        behind.map(|(_, end)| (end.position.chain, end.position.sequence.next()))
    }

    /// The chains that have events to show at or behind the position to be read next.
    pub(super) async fn chains_with_more(&self) -> Result<Vec<ChainId>, ReadError> {
        let rests: Result<Vec<_>, _> =
            self.positions.next.iter().map(|(chain, next)| self.rest(*chain, *next)).collect();
        let rests = rests?;
        let questions: Vec<_> = rests.chunks(CHAINS_AT_ONCE).map(|rests| Filter::any(rests.iter().cloned())).collect();
        let mut chains = Vec::new();
        for questions in questions.chunks(CONCURRENT) {
            let answers = questions.iter().map(|question| self.chains_among(question.clone()));
            chains.extend(try_join_all(answers).await?.into_iter().flatten());
        }
        Ok(chains)
    }
}
