//! The writer's chains, one per stream: opened with the stream's first event, resumed after a restart.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    OpenError, Options,
    record::{Group, Snapshot},
};
use crate::{
    event::{ChainId, LeafHash, SealedEvent, Stream, UnixMillis},
    files,
    identity::Identity,
    integrity::{Chain, ChainKeys, ChainState, Frontier, OpeningRecord, Predecessor},
    journal::Recovered,
};

/// A resumed chain, as recorded in the journal.
#[derive(Clone, Debug)]
pub struct OwnChain {
    pub stream: Stream,
    pub state: ChainState,
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

impl Chains {
    /// Resumes the chains at the end of the journal.
    pub(super) fn recover(
        folder: &Path,
        identity: Identity,
        options: ChainOptions,
        recovered: Recovered,
    ) -> Result<Self, OpenError> {
        fs::create_dir_all(folder).map_err(|source| OpenError::Io { path: folder.to_owned(), source })?;
        let Snapshot { mut events, chains: mut states } = Snapshot::decode(recovered.snapshot)?;
        for payload in recovered.payloads {
            let group = Group::decode(&payload.into())?;
            events += group.event_count();
            for section in &group.sections {
                for event in &section.events {
                    advance(&mut states, &section.stream, event, section.received);
                }
            }
        }
        let mut chains = Self { folder: folder.to_owned(), identity, options, chains: Vec::new(), events };
        for (stream, mut state) in states {
            let record = chains.read_record(state.chain)?;
            if state.frontier.size() == 0 {
                state.previous = record.genesis();
            }
            let chain = Chain::resume(&record, state, &chains.identity.seal_secret)?;
            chains.chains.push((stream, chain));
        }
        Ok(chains)
    }

    pub(super) fn own(&self) -> Vec<OwnChain> {
        self.chains
            .iter()
            .map(|(stream, chain)| OwnChain { stream: stream.clone(), state: chain.state().clone() })
            .collect()
    }

    /// Returns the chains to their state before a record that could not be written.
    pub(super) fn restore(&mut self, before: &[OwnChain], events: u64) {
        self.events = events;
        self.chains.retain(|(stream, _)| before.iter().any(|own| own.stream == *stream));
        for (stream, chain) in &mut self.chains {
            if let Some(own) = before.iter().find(|own| own.stream == *stream) {
                chain.restore(own.state.clone());
            }
        }
    }

    pub(super) fn snapshot(&self) -> Vec<u8> {
        Snapshot::encode(self.events, self.chains.iter().map(|(stream, chain)| (stream, chain.state())))
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

    /// Closes a stream's chain and opens a new one, whose predecessor is the event that a store holds or else the
    /// chain's own end.
    pub(super) fn supersede(
        &mut self,
        stream: &Stream,
        seen: Option<Predecessor>,
        now: UnixMillis,
    ) -> Result<(), OpenError> {
        let predecessor = match (seen, self.chains.iter().find(|(own, _)| own == stream)) {
            (Some(seen), _) => Some(seen),
            (None, Some((_, chain))) => self.predecessor_after(chain)?,
            (None, None) => None,
        };
        let chain = self.open(stream, now, predecessor)?;
        self.chains.retain(|(own, _)| own != stream);
        self.chains.push((stream.clone(), chain));
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
            let next = self.open(&stream, now, self.predecessor_after(&chain)?)?;
            chains.push((stream, next));
        }
        self.chains = chains;
        Ok(closed)
    }

    /// The predecessor for the successor of this chain: its last event, or its own predecessor if it is empty.
    fn predecessor_after(&self, chain: &Chain) -> Result<Option<Predecessor>, OpenError> {
        match chain.last() {
            Some(last) => Ok(Some(last)),
            None => Ok(self.read_record(chain.state().chain)?.predecessor),
        }
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
            frontier: Frontier::default(),
        };
        Ok(Chain::resume(&record, state, secret)?)
    }

    fn read_record(&self, id: ChainId) -> Result<OpeningRecord, OpenError> {
        read_record(&self.folder, id)
    }
}

fn record_path(folder: &Path, id: ChainId) -> PathBuf {
    folder.join(format!("{id}.json"))
}

pub(super) fn read_record(folder: &Path, id: ChainId) -> Result<OpeningRecord, OpenError> {
    let path = record_path(folder, id);
    let bytes = fs::read(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
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
            frontier: Frontier::default(),
        };
        states.push((stream.clone(), state));
        states.len() - 1
    });
    if let Some((_, state)) = states.get_mut(index) {
        state.advance(event.leaf_hash, received);
    }
}
