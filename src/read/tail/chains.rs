//! The chains that a tail follows, and the chains that its id names.
//!
//! Every data folder of a writer leaves a chain behind, but an id has to fit into the head of a request. If there are more than
//! [`NAMED`] chains, the id leaves out chains that are at rest and completely read, the longest at rest first; it contains the
//! time until which their events were read. The tail does not query those chains every round; it notices new events in them
//! when it lists the chains.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::{CHAINS_AT_ONCE, CONCURRENT, Tail, positions::MOST_CHAINS, start};
use crate::{
    event::{ChainEntry, ChainId, Sequence, UnixMillis},
    query::filter::Filter,
    read::{ReadError, error::answered},
};

/// Number of chains that an id names even if they are at rest: few enough that proxies accept the id in a header.
const NAMED: usize = 250;

impl Tail {
    /// Finds new chains, and chains that are no longer at rest.
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

    /// Returns the next sequence to read in a chain that the id does not name.
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
        // Receive times never decrease within a chain, so a binary search works.
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

    /// Removes chains at rest from the id if it names too many chains.
    pub(super) fn let_rest(&mut self) {
        let excess = self.positions.next.len().saturating_sub(NAMED);
        if excess == 0 {
            return;
        }
        let young = start::young(&self.reader);
        let at_rest = |(chain, next): (&ChainId, &Sequence)| match self.ends.get(chain) {
            // All its events were deleted.
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

    /// Fails if there are more chains to name than fit into an id.
    pub(super) fn fits(&self) -> Result<(), ReadError> {
        let count = self.positions.next.len();
        if count <= MOST_CHAINS {
            return Ok(());
        }
        Err(ReadError::TooManyChains(format!(
            "a tail follows at most {MOST_CHAINS} chains that had events within a day or have events to show, but there \
             are {count}; start with a later [since], or without it"
        )))
    }

    /// Skips to the end of chains at rest that have no matching events, so that the id need not name them.
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

    /// Returns the chains with unread events, and the sequence after their last event. If there are more than [`NAMED`] chains,
    /// `are_resting` selects those at rest or the others; if not, all of them count as active.
    pub(super) fn behind(&self, are_resting: bool) -> impl Iterator<Item = (ChainId, Sequence)> {
        let young = if self.positions.next.len() > NAMED { start::young(&self.reader) } else { UnixMillis(i64::MIN) };
        let ends = self.positions.next.iter().filter_map(|(chain, next)| Some((next, self.ends.get(chain)?)));
        let behind =
            ends.filter(move |(next, end)| **next <= end.position.sequence && are_resting == (end.received < young));
        behind.map(|(_, end)| (end.position.chain, end.position.sequence.next()))
    }

    /// Returns the chains with matching events at or after the next position to read.
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
