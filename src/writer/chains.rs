//! The writer's chains, one per stream: opened with the stream's first event, resumed after a restart.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};

use super::{
    OpenError, Options, OwnChain,
    recent::RecentEvent,
    record::{Group, Snapshot},
};
use crate::{
    event::{ChainId, LeafHash, SealedEvent, Sequence, Stream, UnixMillis},
    files,
    identity::Identity,
    integrity::{Chain, ChainKeys, ChainState, MustEnd, OpeningRecord, Predecessor, TreeRange},
    journal::Recovered,
};

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEnd {
    pub stream: Stream,
    pub chain: ChainId,
    /// The sequence after the last event's.
    pub next: Sequence,
    /// The leaf hash of the last event, if the chain is sealed.
    pub leaf: Option<LeafHash>,
}

impl ChainEnd {
    fn of(stream: &Stream, chain: &Chain) -> Self {
        let ChainState { chain: id, previous, .. } = chain.state();
        let leaf = chain.is_sealed().then_some(*previous);
        Self { stream: stream.clone(), chain: *id, next: chain.state().next(), leaf }
    }

    /// The last event, as the next chain's predecessor; `None` if there is none.
    pub fn last(&self) -> Option<Predecessor> {
        let sequence = self.next.0.checked_sub(1)?;
        let leaf = self.leaf.map(|leaf| URL_SAFE_NO_PAD.encode(leaf.0));
        Some(Predecessor { chain: self.chain.to_string(), leaf, seal: None, sequence })
    }
}

#[derive(Clone, Copy)]
pub(super) struct ChainOptions {
    epoch_ms: u64,
    sealed: bool,
}

impl ChainOptions {
    pub(super) fn of(options: &Options) -> Self {
        Self { epoch_ms: options.epoch_ms, sealed: options.chaining }
    }
}

pub(super) struct Chains {
    /// Folder of the opening records.
    pub(super) folder: PathBuf,
    identity: Identity,
    options: ChainOptions,
    chains: Vec<(Stream, Chain)>,
    /// Number of events ever written to the journal.
    pub(super) events: u64,
}

/// The chains at the end of the journal.
pub(super) struct RecoveredChains {
    /// If the newest segment is damaged, these must not be continued.
    pub(super) chains: Chains,
    /// Where they end; behind any damage of the newest segment.
    pub(super) ends: Vec<ChainEnd>,
    /// Number of events that are missing between the records of the newest segment.
    pub(super) lost_events: u64,
    /// The oldest first.
    pub(super) recent: Vec<RecentEvent>,
}

impl Chains {
    /// Resumes the chains at the end of the journal.
    pub(super) fn recover(
        folder: &Path,
        identity: Identity,
        options: ChainOptions,
        recovered: Recovered,
    ) -> Result<RecoveredChains, OpenError> {
        files::create_folder(folder).map_err(|source| OpenError::Io { path: folder.to_owned(), source })?;
        let Snapshot { mut events, mut recent, chains: mut states } = Snapshot::decode(recovered.snapshot)?;
        let mut lost_events = 0;
        let mut last = HashMap::new();
        for payload in recovered.payloads {
            let group = Group::decode(&payload.into())?;
            lost_events += group.events_before.saturating_sub(events);
            events = group.events_before + group.event_count();
            for section in &group.sections {
                recent.extend(section.recent());
                for event in &section.events {
                    advance(&mut states, &section.stream, event, section.received);
                    last.insert(event.position.chain, (event.position.sequence.next(), event.leaf_hash));
                }
            }
        }
        let mut chains = Self { folder: folder.to_owned(), identity, options, chains: Vec::new(), events };
        for (stream, mut state) in states {
            let record = chains.read_record(state.chain)?;
            if state.tree.end() == 0 {
                state.previous = record.genesis();
            }
            let chain = Chain::resume(&record, state, &chains.identity.seal_secret)?;
            chains.chains.push((stream, chain));
        }
        let mut ends = chains.ends();
        for end in &mut ends {
            if let Some((next, leaf)) = last.remove(&end.chain) {
                (end.next, end.leaf) = (next, leaf);
            }
        }
        Ok(RecoveredChains { chains, ends, lost_events, recent })
    }

    /// The writer's identity, `kibana.server_uuid`.
    pub(super) fn writer(&self) -> &str {
        &self.identity.writer
    }

    /// Where the chains end.
    pub(super) fn ends(&self) -> Vec<ChainEnd> {
        self.chains.iter().map(|(stream, chain)| ChainEnd::of(stream, chain)).collect()
    }

    /// The chains that the journal ends with, and those of which it has lost everything.
    pub(super) fn own(&self, ends: &[ChainEnd], lost: &[ChainEnd], is_doubtful: bool) -> Vec<OwnChain> {
        let own = |end: &ChainEnd, last: &ChainEnd| OwnChain {
            stream: end.stream.clone(),
            chain: end.chain,
            next: end.next,
            last: last.last().or_else(|| self.read_record(last.chain).ok()?.predecessor),
            is_doubtful,
        };
        let lost_end = |end: &ChainEnd| lost.iter().find(|lost| lost.stream == end.stream);
        let in_journal = ends.iter().map(|end| own(end, lost_end(end).unwrap_or(end)));
        let is_gone = |lost: &&ChainEnd| !ends.iter().any(|end| end.stream == lost.stream);
        let gone = lost.iter().filter(is_gone).map(|lost| own(lost, lost));
        in_journal.chain(gone).collect()
    }

    pub(super) fn states(&self) -> Vec<(Stream, ChainState)> {
        self.chains.iter().map(|(stream, chain)| (stream.clone(), chain.state().clone())).collect()
    }

    /// Returns the chains to their state before a record that could not be written.
    pub(super) fn restore(&mut self, before: &[(Stream, ChainState)], events: u64) {
        self.events = events;
        let state = |stream: &Stream| before.iter().find(|(own, _)| own == stream).map(|(_, state)| state.clone());
        self.chains.retain_mut(|(stream, chain)| match state(stream) {
            Some(state) => {
                chain.restore(state);
                true
            }
            None => false,
        });
    }

    /// The state at the end of the journal, with the events that are to be recognized.
    pub(super) fn snapshot<'a>(&self, recent: impl ExactSizeIterator<Item = &'a RecentEvent>) -> Vec<u8> {
        Snapshot::encode(self.events, recent, self.chains.iter().map(|(stream, chain)| (stream, chain.state())))
    }

    /// The stream's chain; opens one if there is none.
    pub(super) fn chain(&mut self, stream: &Stream, now: UnixMillis) -> Result<&mut Chain, OpenError> {
        let found = self.chains.iter().position(|(own, _)| own == stream);
        let index = match found {
            Some(index) => index,
            None => {
                let chain = self.open(stream, now, None)?;
                self.chains.push((stream.clone(), chain));
                self.chains.len() - 1
            }
        };
        let (_, chain) = self.chains.get_mut(index).ok_or(OpenError::NoChain)?;
        Ok(chain)
    }

    /// Closes a stream's chain and opens a new one with this predecessor, or the closed chain's own if that is `None`:
    /// then the closed chain has no event.
    pub(super) fn supersede(
        &mut self,
        stream: &Stream,
        last: Option<Predecessor>,
        now: UnixMillis,
    ) -> Result<(), OpenError> {
        let predecessor = match (last, self.chains.iter().find(|(own, _)| own == stream)) {
            (Some(last), _) => Some(last),
            (None, Some((_, chain))) => self.read_record(chain.state().chain)?.predecessor,
            (None, None) => None,
        };
        let chain = self.open(stream, now, predecessor)?;
        self.chains.retain(|(own, _)| own != stream);
        self.chains.push((stream.clone(), chain));
        Ok(())
    }

    /// Closes the chains that must not get events received now, and opens new ones.
    pub(super) fn end_outdated(&mut self, now: UnixMillis) -> Result<(), OpenError> {
        let must_end = |(stream, chain): &(Stream, Chain)| Some((ChainEnd::of(stream, chain), chain.must_end(now)?));
        for (end, reason) in self.chains.iter().filter_map(must_end).collect::<Vec<_>>() {
            let chain = end.chain;
            match reason {
                MustEnd::Ahead => tracing::error!(
                    %chain,
                    "the chain's last event is dated more than an hour ahead of the clock, which was or is wrong; a new chain begins"
                ),
                MustEnd::Epochs => tracing::info!(%chain, "the chain has as many epochs as it may; a new chain begins"),
            }
            self.supersede(&end.stream, end.last(), now)?;
        }
        Ok(())
    }

    /// Closes the chains whose sealing differs from the configuration and returns their ids.
    pub(super) fn switch_chaining(&mut self, now: UnixMillis) -> Result<Vec<ChainId>, OpenError> {
        let mut closed = Vec::new();
        let mut chains = Vec::new();
        for (stream, chain) in std::mem::take(&mut self.chains) {
            if chain.is_sealed() == self.options.sealed {
                chains.push((stream, chain));
                continue;
            }
            closed.push(chain.state().chain);
            let predecessor = match ChainEnd::of(&stream, &chain).last() {
                Some(last) => Some(last),
                None => self.read_record(chain.state().chain)?.predecessor,
            };
            let next = self.open(&stream, now, predecessor)?;
            chains.push((stream, next));
        }
        self.chains = chains;
        Ok(closed)
    }

    fn open(&self, stream: &Stream, now: UnixMillis, predecessor: Option<Predecessor>) -> Result<Chain, OpenError> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| OpenError::Random(error.to_string()))?;
        let id = ChainId::from_bytes(id);
        let secret = &self.identity.seal_secret;
        let record = OpeningRecord {
            chain: id.to_string(),
            epoch_ms: self.options.epoch_ms,
            format: 1,
            key_check: STANDARD.encode(ChainKeys::first(secret, id).check_value()),
            opened_ms: now.0,
            predecessor,
            sealed: self.options.sealed,
            stream: stream.to_string(),
            verifier_key: self.identity.verifier_key(),
            writer: self.identity.writer.clone(),
        };
        let path = record_path(&self.folder, id);
        let bytes = serde_json::to_vec(&record).unwrap_or_default();
        files::replace(&path, &bytes).map_err(|source| OpenError::Io { path, source })?;
        let state = ChainState {
            chain: id,
            previous: record.genesis(),
            received: UnixMillis(record.opened_ms),
            tree: TreeRange::default(),
        };
        Ok(Chain::resume(&record, state, secret)?)
    }

    fn read_record(&self, id: ChainId) -> Result<OpeningRecord, OpenError> {
        read_record(&self.folder, id)
    }
}

pub(super) fn record_path(folder: &Path, id: ChainId) -> PathBuf {
    folder.join(format!("{id}.json"))
}

pub(super) fn read_record(folder: &Path, id: ChainId) -> Result<OpeningRecord, OpenError> {
    let path = record_path(folder, id);
    let bytes = files::read(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
    serde_json::from_slice(&bytes).map_err(|error| OpenError::OpeningRecord { path, reason: error.to_string() })
}

/// Applies an event from the journal to the state of its chain. A stream's first event of another chain resets the
/// state.
fn advance(states: &mut Vec<(Stream, ChainState)>, stream: &Stream, event: &SealedEvent, received: UnixMillis) {
    let known = states.iter().position(|(own, state)| own == stream && state.chain == event.position.chain);
    let index = known.unwrap_or_else(|| {
        states.retain(|(own, _)| own != stream);
        let state = ChainState {
            chain: event.position.chain,
            previous: LeafHash([0; 32]),
            received,
            tree: TreeRange::default(),
        };
        states.push((stream.clone(), state));
        states.len() - 1
    });
    if let Some((_, state)) = states.get_mut(index) {
        state.advance(event.leaf_hash, received);
    }
}
