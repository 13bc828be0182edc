//! Numbers, seals and journals events: every acknowledged event is on disk.

mod acknowledged;
mod chains;
mod clock_guard;
mod committer;
mod recent;
mod record;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc as sync_mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    event::{ChainId, ChainPosition, LeafHash, Sequence, Stream},
    identity::{DataFolder, Identity},
    intake::Contents,
    integrity::{ChainError, Predecessor},
    journal::{self, Damage, Journal, JournalError, JournalHandle},
    metrics::JournalMetrics,
    time::Clock,
};
use acknowledged::{Acknowledged, AcknowledgedFile};
pub use chains::ChainEnd;
use chains::{ChainOptions, Chains, RecoveredChains};
use clock_guard::ClockGuard;
pub use clock_guard::ClockJumped;
use committer::{Committer, Submission};
use recent::RecentEvents;
pub use recent::RecentOptions;
pub use record::{BadRecord, Group, Section};

/// Target size of a journal record. A record holds the events of at least one request, so it may be larger.
pub(crate) const GROUP_BYTES: usize = 2 << 20;

/// Maximum size of a record, if that keeps a request in one record.
const PAYLOAD_BYTES: usize = GROUP_BYTES + (GROUP_BYTES >> 2);

/// How many submissions may wait for the committer; further ones block and hold their requests open.
const QUEUE_CAPACITY: usize = 256;

/// The part of the journal that only the log's own events may use: what cannot be recorded is refused, so a full
/// journal would otherwise stop all reading. This divisor of its size, at most so many bytes.
const OWN_SHARE: u64 = 16;
const OWN_BYTES: u64 = 64 << 20;

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

/// Whose events they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Caller,
    /// The log itself, whose events have a part of the journal for themselves.
    Log,
}

#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub journal: journal::Options,
    pub overflow: Overflow,
    /// How long one key seals, in milliseconds; fixed when a chain is opened.
    pub epoch_ms: u64,
    /// Whether events are hashed, linked and sealed rather than only numbered.
    pub chaining: bool,
    /// How far the clock may jump ahead while the process runs.
    pub max_clock_jump: Duration,
    pub recent: RecentOptions,
}

/// Why a writer cannot resume.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} has format {found}, written by a newer version", path.display())]
    AcknowledgedFormat { path: PathBuf, found: u32 },
    #[error("a thread cannot be started: {0}")]
    Thread(io::Error),
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
    recent: RecentEvents,
    clock: Arc<dyn Clock>,
    options: Options,
    acknowledged: AcknowledgedFile,
    own: Vec<OwnChain>,
    /// What happened to the journal.
    pub findings: Findings,
}

/// A chain that the journal ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnChain {
    pub stream: Stream,
    pub chain: ChainId,
    /// The sequence after the last event's in the journal.
    pub next: Sequence,
    /// The last event that is known to be acknowledged, which the journal may have lost; `None` if the chain has none.
    pub last: Option<Predecessor>,
    /// Whether the journal may lack acknowledged events of this chain, so that it must not be continued.
    pub is_doubtful: bool,
}

/// What became of the journal since the last run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Bytes cut off at its end, as they are no sound record.
    pub cut: u64,
    pub damage: Vec<Damage>,
    /// Number of acknowledged events that are missing at its end; after a crash, at least.
    pub lost_events: u64,
    /// Whether the last run ended without closing the journal, or the folder is a copy.
    pub is_unclosed: bool,
}

impl Recovering {
    /// Opens the journal and the chains in the data folder.
    pub fn open(
        folder: &DataFolder,
        identity: Identity,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, OpenError> {
        let acknowledged = AcknowledgedFile::open(&folder.path("acknowledged.json"))?;
        let at_least = acknowledged.at_least();
        let (journal, mut recovered) = Journal::open(&folder.path("journal"), options.journal, at_least.journal_end)?;
        let (cut, damage, end) = (recovered.cut, std::mem::take(&mut recovered.damage), recovered.end);
        let is_end_damaged = recovered.is_end_damaged;
        let is_new = recovered.snapshot.is_empty() && recovered.payloads.is_empty();
        let recovered = Chains::recover(&folder.path("chains"), identity, ChainOptions::of(&options), recovered)?;
        let RecoveredChains { mut chains, ends, lost_events, recent: events } = recovered;
        let mut recent = RecentEvents::new(options.recent);
        events.into_iter().for_each(|event| recent.insert(event));
        recent.commit();
        // A lost segment may have had no event, but the beginning of a chain.
        let is_same = at_least.journal_end == end && at_least.chains.iter().all(|end| ends.contains(end));
        let is_exact = acknowledged.exactly().is_some() && is_same;
        let findings = Findings {
            cut,
            damage,
            lost_events: lost_events + at_least.events.saturating_sub(chains.events),
            is_unclosed: acknowledged.exactly().is_none() && !is_new,
        };
        chains.events = chains.events.max(at_least.events);
        let is_doubtful = !is_exact || is_end_damaged;
        let lost = if end <= at_least.journal_end && !is_same { at_least.chains } else { Vec::new() };
        let own = chains.own(&ends, &lost, is_doubtful);
        Ok(Self { journal, chains, recent, clock, options, acknowledged, own, findings })
    }

    pub fn journal(&self) -> JournalHandle {
        self.journal.handle()
    }

    /// Number of events ever written to the journal.
    pub fn events(&self) -> u64 {
        self.chains.events
    }

    /// The chains that the journal ends with.
    pub fn own_chains(&self) -> Vec<OwnChain> {
        self.own.clone()
    }

    /// Opens a new chain for the stream. Its predecessor is `seen`, an event of the old chain that a store holds, or
    /// else the last event that is known to be acknowledged.
    pub fn supersede(&mut self, stream: &Stream, seen: Option<Predecessor>) -> Result<(), OpenError> {
        let now = self.clock.now();
        let own = self.own.iter().position(|own| own.stream == *stream).map(|at| self.own.remove(at));
        let known = own.and_then(|own| own.last);
        let last = match (seen, known) {
            (Some(seen), Some(known)) if seen.chain == known.chain && seen.sequence > known.sequence => Some(seen),
            (Some(seen), Some(known)) if seen.chain == known.chain && seen.sequence == known.sequence => {
                Some(Predecessor { seal: seen.seal, ..known })
            }
            (seen, known) => known.or(seen),
        };
        self.chains.supersede(stream, last, now)?;
        self.renew_own(stream);
        // The new chain must be known after a restart even if it gets no event until then.
        let snapshot = self.chains.snapshot(self.recent.iter());
        Ok(self.journal.begin_segment(&snapshot)?)
    }

    /// Supersedes every chain whose sealing differs from the configuration. Returns the closed chains.
    pub fn switch_chaining(&mut self) -> Result<Vec<ChainId>, OpenError> {
        let now = self.clock.now();
        let closed = self.chains.switch_chaining(now)?;
        if !closed.is_empty() {
            for stream in self.own.iter().map(|own| own.stream.clone()).collect::<Vec<_>>() {
                self.renew_own(&stream);
            }
            let snapshot = self.chains.snapshot(self.recent.iter());
            self.journal.begin_segment(&snapshot)?;
        }
        Ok(closed)
    }

    /// Takes over the stream's chain as it is now.
    fn renew_own(&mut self, stream: &Stream) {
        self.own.retain(|own| own.stream != *stream);
        let ends: Vec<_> = self.chains.ends().into_iter().filter(|end| end.stream == *stream).collect();
        self.own.extend(self.chains.own(&ends, &[], false));
    }

    /// Starts the writer. Doubtful chains that were not superseded are now.
    pub fn start(mut self, metrics: JournalMetrics) -> Result<(Writer, WriterThread), OpenError> {
        for own in self.own.clone().into_iter().filter(|own| own.is_doubtful) {
            self.supersede(&own.stream, None)?;
        }
        metrics.limit_bytes.set(i64::try_from(self.options.journal.max_bytes).unwrap_or(i64::MAX));
        let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
        let journal = self.journal.handle();
        let acknowledged =
            Acknowledged { journal_end: journal.end(), events: self.chains.events, chains: self.chains.ends() };
        let clock = ClockGuard::new(self.clock, self.options.max_clock_jump);
        let state = Arc::new(State::new(acknowledged, self.acknowledged, self.findings.lost_events, clock));
        let limit = self.options.journal.max_bytes;
        let chains_folder = self.chains.folder.clone();
        let id = self.chains.writer().into();
        let committer = Committer {
            journal: self.journal,
            chains: self.chains,
            recent: self.recent,
            overflow: self.options.overflow,
            state: Arc::clone(&state),
            metrics,
            payload: Vec::with_capacity(PAYLOAD_BYTES),
        };
        let committer = {
            let state = Arc::clone(&state);
            spawn("committer", move || {
                let _guard = PanicGuard(state);
                committer.run(receiver)
            })?
        };
        let (ended, committer_ended) = sync_mpsc::channel();
        let keeper = {
            let state = Arc::clone(&state);
            spawn("acknowledged", move || acknowledged::keep_current(&state, &committer_ended))?
        };
        let sender = Arc::new(Mutex::new(Some(sender)));
        Ok((Writer { sender, state, journal, limit, chains_folder, id }, WriterThread { committer, keeper, ended }))
    }
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>, OpenError> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(OpenError::Thread)
}

/// Reports a panic of the committer.
struct PanicGuard(Arc<State>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail("the writer failed unexpectedly".to_owned(), true);
            self.0.failed.cancel();
        }
    }
}

/// The writer's threads; join them after [`Writer::close`].
pub struct WriterThread {
    /// Returns whether the journal is in order.
    committer: JoinHandle<bool>,
    keeper: JoinHandle<()>,
    /// Tells the keeper whether the committer has ended in order.
    ended: sync_mpsc::Sender<bool>,
}

impl WriterThread {
    /// Waits until every submission is on disk, and records that nothing else was acknowledged.
    pub fn join(self) {
        let is_in_order = self.committer.join().unwrap_or_else(|_| {
            tracing::error!("the committer panicked");
            false
        });
        // The keeper only ends by itself if it panicked, which is reported by the runtime.
        let _ = self.ended.send(is_in_order);
        if self.keeper.join().is_err() {
            tracing::error!("the record of what was acknowledged is not up to date");
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
    id: Arc<str>,
}

impl Writer {
    /// Seals the contents in order and returns once they are on disk. Completes even if the caller goes away.
    pub async fn submit(&self, contents: Contents, origin: Origin) -> Result<Receipts, SubmitError> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, receipts) = oneshot::channel();
        let sender = sender.ok_or(SubmitError::Closed)?;
        sender.send(Submission { contents, origin, answer }).await.map_err(|_| SubmitError::Closed)?;
        drop(sender);
        receipts.await.unwrap_or(Err(SubmitError::Closed))
    }

    /// Accepts no more submissions; those already accepted are completed.
    pub fn close(&self) {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// `kibana.server_uuid` of the writer's events.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the data folder has the chain's opening record, as it does before a store gets the chain's first event.
    /// A record that cannot be looked for counts as there.
    pub fn knows(&self, chain: ChainId) -> bool {
        chains::record_path(&self.chains_folder, chain).try_exists().unwrap_or(true)
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
        self.state.clock.now().map_err(|jumped| jumped.to_string())?;
        let room = self.limit.saturating_sub(self.journal.used());
        if self.state.refused_bytes.load(Ordering::Relaxed) > room {
            return Err(format!(
                "the journal is full: {} of {} bytes are not known to be in every store",
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

    /// Cancelled when the committer, or a task that ships its events, has failed unexpectedly.
    pub fn failed(&self) -> &CancellationToken {
        &self.state.failed
    }

    /// Whether more than half of the journal's room is used.
    pub fn is_short_of_room(&self) -> bool {
        self.journal.used() > self.limit / 2
    }

    pub fn stats(&self) -> WriterStats {
        WriterStats {
            events: self.state.events.load(Ordering::Relaxed),
            dropped: self.state.dropped.load(Ordering::Relaxed),
            lost: self.state.lost,
            journal_bytes: self.journal.used(),
        }
    }
}

/// Counts since the journal was created; `dropped` counts since the process started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterStats {
    pub events: u64,
    pub dropped: u64,
    /// Number of acknowledged events that were missing at the end of the journal when the process started; after a
    /// crash, at least.
    pub lost: u64,
    pub journal_bytes: u64,
}

/// State that the committer shares with the handles.
struct State {
    acknowledged: Mutex<Acknowledged>,
    acknowledged_file: Mutex<AcknowledgedFile>,
    /// Whether the file says that more is acknowledged in this run.
    is_run_recorded: AtomicBool,
    lost: u64,
    events: AtomicU64,
    dropped: AtomicU64,
    /// Bytes that the last submission needed for which the journal had no room.
    refused_bytes: AtomicU64,
    failure: Mutex<Option<WriteFailure>>,
    clock: ClockGuard,
    failed: CancellationToken,
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
    fn new(acknowledged: Acknowledged, file: AcknowledgedFile, lost: u64, clock: ClockGuard) -> Self {
        Self {
            events: AtomicU64::new(acknowledged.events),
            acknowledged: Mutex::new(acknowledged),
            acknowledged_file: Mutex::new(file),
            is_run_recorded: AtomicBool::new(false),
            lost,
            dropped: AtomicU64::new(0),
            refused_bytes: AtomicU64::new(0),
            failure: Mutex::new(None),
            clock,
            failed: CancellationToken::new(),
        }
    }

    /// To be called before the first event of a run is acknowledged.
    fn record_run(&self) -> io::Result<()> {
        if !self.is_run_recorded.load(Ordering::Relaxed) {
            self.acknowledged_file().begin_run(&self.acknowledged())?;
            self.is_run_recorded.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn acknowledged_file(&self) -> MutexGuard<'_, AcknowledgedFile> {
        self.acknowledged_file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acknowledged(&self) -> Acknowledged {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn acknowledge(&self, acknowledged: Acknowledged) {
        self.events.store(acknowledged.events, Ordering::Relaxed);
        *self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) = acknowledged;
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

impl Receipts {
    /// The number of events that were not logged again.
    pub fn duplicates(&self) -> u64 {
        self.receipts.iter().filter(|receipt| receipt.repeats.is_some()).count() as u64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealReceipt {
    pub position: ChainPosition,
    /// `None` in an unsealed chain.
    pub leaf_hash: Option<LeafHash>,
    /// If the event was not logged again, because one with its id was: the receipt is that one's.
    pub repeats: Option<Repeat>,
}

/// What an event that is sent again has in common with the first one besides its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    Same,
    /// The content differs.
    Different,
}

pub use crate::journal::Position as JournalPosition;

#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The journal is full: 429; nothing was written.
    #[error("the journal is full: {used} of {limit} bytes are not known to be in every store")]
    Full { used: u64, limit: u64, retry_after: Duration },
    /// The events are larger than the whole journal may be: 413; nothing was written.
    #[error("the events need {needed} bytes in the journal, whose limit is {limit}")]
    TooLarge { needed: u64, limit: u64 },
    /// The journal is full and configured to drop: counted and logged; nothing was written.
    #[error("the journal is full and the events were dropped, as configured")]
    Dropped,
    #[error("the writer is shutting down")]
    Closed,
    /// Nothing was written.
    #[error(transparent)]
    ClockJumped(ClockJumped),
    /// The disk failed. After a failed sync, nothing is accepted until a restart.
    #[error("the journal cannot be written: {reason}")]
    Failed { reason: String },
}

#[cfg(test)]
mod tests;
