//! Numbers, seals and journals events: every acknowledged event is on disk.

mod chains;
mod committer;
mod record;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    event::{ChainId, ChainPosition, LeafHash, Stream},
    identity::Identity,
    intake::Contents,
    integrity::{ChainError, Predecessor},
    journal::{self, Journal, JournalError, JournalHandle},
    metrics::JournalMetrics,
    time::Clock,
};
pub use chains::OwnChain;
use chains::{ChainOptions, Chains};
use committer::{Committer, Submission};
pub use record::{BadRecord, Group, Section};

/// Target size of a journal record. A record holds the events of at least one request, so it may be larger.
pub(crate) const GROUP_BYTES: usize = 2 << 20;

/// Maximum size of a record, if that keeps a request in one record.
const PAYLOAD_BYTES: usize = GROUP_BYTES + (GROUP_BYTES >> 2);

/// How many submissions may wait for the committer; further ones block and hold their requests open.
const QUEUE_CAPACITY: usize = 256;

/// How long clients should wait after the journal was full.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(5);

/// How long a write failure is reported, unless a write is attempted earlier.
const FAILURE_LIFETIME: Duration = Duration::from_secs(10);

/// How to treat events for which the journal has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Reject them; the client may retry.
    Reject,
    /// Drop, count and log them.
    Drop,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub journal: journal::Options,
    pub overflow: Overflow,
    /// How long one key seals, in milliseconds; fixed when a chain is opened.
    pub epoch_ms: u64,
    /// Whether events are hashed, linked and sealed rather than only numbered.
    pub chaining: bool,
}

/// Why a writer cannot resume.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the opening record {} is not valid: {reason}", path.display())]
    OpeningRecord { path: PathBuf, reason: String },
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Record(#[from] BadRecord),
    #[error("the operating system has no random bytes: {0}")]
    Random(String),
    #[error("the chain that was just opened is gone")]
    NoChain,
}

/// A writer that has recovered its chains but not started. Its chains can still be superseded where a store has more.
pub struct Recovering {
    journal: Journal,
    chains: Chains,
    clock: Arc<dyn Clock>,
    options: Options,
    /// Bytes cut off the journal because they were never acknowledged.
    pub cut: u64,
}

impl Recovering {
    /// Opens the journal and the chains in the data folder.
    pub fn open(
        journal_folder: &Path,
        chains_folder: &Path,
        identity: Identity,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let (journal, recovered) = Journal::open(journal_folder, options.journal)?;
        let cut = recovered.cut;
        let chains = Chains::recover(chains_folder, identity, ChainOptions::of(&options), recovered)?;
        Ok(Self { journal, chains, clock, options, cut })
    }

    pub fn journal(&self) -> JournalHandle {
        self.journal.handle()
    }

    /// Number of events ever written to the journal.
    pub fn events(&self) -> u64 {
        self.chains.events
    }

    /// The chains as recorded in the journal.
    pub fn own_chains(&self) -> Vec<OwnChain> {
        self.chains.own()
    }

    /// Opens a new chain for the stream. Its predecessor is `seen`, the event of the old chain that a store holds and
    /// the journal has lost, or else the last event in the journal.
    pub fn supersede(&mut self, stream: &Stream, seen: Option<Predecessor>) -> Result<(), OpenError> {
        let now = self.clock.now();
        self.chains.supersede(stream, seen, now)?;
        // The new chain must be known after a restart even if it gets no event until then.
        let snapshot = self.chains.snapshot();
        Ok(self.journal.begin_segment(&snapshot)?)
    }

    /// Supersedes every chain whose sealing differs from the configuration. Returns the closed chains.
    pub fn switch_chaining(&mut self) -> Result<Vec<ChainId>, OpenError> {
        let now = self.clock.now();
        let closed = self.chains.switch_chaining(now)?;
        if !closed.is_empty() {
            let snapshot = self.chains.snapshot();
            self.journal.begin_segment(&snapshot)?;
        }
        Ok(closed)
    }

    pub fn start(self, metrics: JournalMetrics) -> io::Result<(Writer, WriterThread)> {
        metrics.limit_bytes.set(i64::try_from(self.options.journal.max_bytes).unwrap_or(i64::MAX));
        let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
        let state = Arc::new(State::new(self.chains.events));
        let limit = self.options.journal.max_bytes;
        let journal = self.journal.handle();
        let chains_folder = self.chains.folder.clone();
        let committer = Committer {
            journal: self.journal,
            chains: self.chains,
            clock: self.clock,
            overflow: self.options.overflow,
            state: Arc::clone(&state),
            metrics,
            payload: Vec::with_capacity(PAYLOAD_BYTES),
        };
        let thread = thread::Builder::new().name("committer".to_owned()).spawn(move || committer.run(receiver))?;
        let sender = Arc::new(Mutex::new(Some(sender)));
        Ok((Writer { sender, state, journal, limit, chains_folder }, WriterThread(thread)))
    }
}

/// The committer's thread; join it after [`Writer::close`].
pub struct WriterThread(JoinHandle<()>);

impl WriterThread {
    /// Waits until every submission is on disk.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the committer panicked");
        }
    }
}

/// A handle on the writer; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    sender: Arc<Mutex<Option<mpsc::Sender<Submission>>>>,
    state: Arc<State>,
    journal: JournalHandle,
    /// Maximum size of the journal in bytes.
    limit: u64,
    /// Folder of the opening records.
    chains_folder: PathBuf,
}

impl Writer {
    /// Seals the contents in order and returns once they are on disk. Completes even if the caller goes away.
    pub async fn submit(&self, contents: Contents) -> Result<Receipts, SubmitError> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, receipts) = oneshot::channel();
        let sender = sender.ok_or(SubmitError::Closed)?;
        sender.send(Submission { contents, answer }).await.map_err(|_| SubmitError::Closed)?;
        drop(sender);
        receipts.await.unwrap_or(Err(SubmitError::Closed))
    }

    /// Accepts no more submissions; those already accepted are completed.
    pub fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The last event of this chain's predecessor, as the writer knew it when it closed the predecessor.
    pub fn predecessor(&self, chain: ChainId) -> Result<Option<Predecessor>, OpenError> {
        Ok(chains::read_record(&self.chains_folder, chain)?.predecessor)
    }

    /// Whether events are accepted, and if not, why.
    pub fn health(&self) -> Result<(), String> {
        if self.sender.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err("the writer is shutting down".to_owned());
        }
        let room = self.limit.saturating_sub(self.journal.used());
        if self.state.refused_bytes.load(Ordering::Relaxed) > room {
            return Err(format!(
                "the journal is full: {} of {} bytes wait for a store",
                self.journal.used(),
                self.limit
            ));
        }
        let failure = self.state.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure
            .as_ref()
            .filter(|failure| failure.is_current(Instant::now()))
            .map_or(Ok(()), |it| Err(it.reason.clone()))
    }

    pub fn stats(&self) -> WriterStats {
        WriterStats {
            events: self.state.events.load(Ordering::Relaxed),
            dropped: self.state.dropped.load(Ordering::Relaxed),
            journal_bytes: self.journal.used(),
        }
    }
}

/// Counts since the journal was created; `dropped` counts since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterStats {
    pub events: u64,
    pub dropped: u64,
    pub journal_bytes: u64,
}

/// State that the committer shares with the handles.
struct State {
    events: AtomicU64,
    dropped: AtomicU64,
    /// Bytes needed by the last submission if the journal had no room for it; else 0.
    refused_bytes: AtomicU64,
    failure: Mutex<Option<WriteFailure>>,
}

/// Why the last write to the journal failed.
struct WriteFailure {
    reason: String,
    at: Instant,
    /// Whether it lasts until a restart.
    is_final: bool,
}

impl WriteFailure {
    /// A failure expires: a write is attempted only when events come, and none would come if the failure were reported
    /// forever.
    fn is_current(&self, now: Instant) -> bool {
        self.is_final || now.saturating_duration_since(self.at) < FAILURE_LIFETIME
    }
}

impl State {
    fn new(events: u64) -> Self {
        Self {
            events: AtomicU64::new(events),
            dropped: AtomicU64::new(0),
            refused_bytes: AtomicU64::new(0),
            failure: Mutex::new(None),
        }
    }

    fn count_accepted(&self, events: u64) {
        self.events.fetch_add(events, Ordering::Relaxed);
    }

    fn count_dropped(&self, events: u64) {
        self.dropped.fetch_add(events, Ordering::Relaxed);
    }

    fn fail(&self, reason: String, is_final: bool) {
        let failure = WriteFailure { reason, at: Instant::now(), is_final };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    fn refuse(&self, bytes: u64) {
        self.refused_bytes.store(bytes, Ordering::Relaxed);
    }

    fn succeed(&self) {
        self.refused_bytes.store(0, Ordering::Relaxed);
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

#[derive(Debug)]
pub struct Receipts {
    /// One per content, in order.
    pub receipts: Vec<SealReceipt>,
    /// Where the journal ends after them: a store that has confirmed this position has them all.
    pub end: JournalPosition,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealReceipt {
    pub position: ChainPosition,
    /// `None` in an unsealed chain.
    pub leaf_hash: Option<LeafHash>,
}

pub use crate::journal::Position as JournalPosition;

#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The journal is full: 429; nothing was written.
    #[error("the journal is full: {used} of {limit} bytes wait for a store")]
    Full { used: u64, limit: u64, retry_after: Duration },
    /// The events are larger than the whole journal may be: 413; nothing was written.
    #[error("the events need {needed} bytes in the journal, whose limit is {limit}")]
    TooLarge { needed: u64, limit: u64 },
    /// The journal is full and configured to drop: counted and logged; nothing was written.
    #[error("the journal is full and the events were dropped, as configured")]
    Dropped,
    #[error("the writer is shutting down")]
    Closed,
    /// The disk failed. After a failed sync, nothing is accepted until a restart.
    #[error("the journal cannot be written: {reason}")]
    Failed { reason: String },
}

#[cfg(test)]
mod tests;
