//! Ships events from the journal to each store, in order, retrying until they are stored.
//!
//! Each store has its own shipper with its own position in the journal, so a slow or unavailable store delays neither
//! the others nor the intake. A shipper reads records, sends their events in a few concurrent requests, and confirms in
//! the order of the journal; the journal is trimmed behind the slowest store.
//!
//! An event is bound to one target forever, and the binding is on disk before the event is sent ([`progress`]). Even if
//! answers are lost or indices roll over in between, a retry goes to the same target as the first attempt, where its
//! position identifies it as a duplicate.

mod dead_letter;
mod deliver;
mod health;
mod presence;
mod progress;
mod recovery;
mod run;
mod unknown_chains;

use std::{
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore, watch},
    task::{JoinError, JoinHandle, spawn_blocking},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use dead_letter::DeadLetterFile;
pub use dead_letter::{DeadLetter, DeadLetterError};
use health::Health;
pub use progress::ProgressError;
use progress::ProgressFile;
pub use recovery::reconcile_chains;

use crate::{
    event::{ChainId, ChainPosition, SealedEvent, Sequence, Stream, UnixMillis},
    integrity::{self, VerifyError},
    journal::{JournalError, JournalHandle, Position},
    metrics::StoreMetrics,
    store::{EventSink, Outcome, SinkError, Target},
    time::Clock,
    writer::{Group, Writer},
};

const FIRST_WAIT: Duration = Duration::from_millis(100);

pub struct Options {
    /// The store's name in the configuration.
    pub name: String,
    /// The files of its progress and of its dead letters.
    pub progress_file: PathBuf,
    pub dead_letter_file: PathBuf,
    pub streams: Vec<Stream>,
    /// The writer's chains as recorded in the journal at the start, each with its next sequence.
    pub own_chains: Vec<(ChainId, Sequence)>,
    /// Approximate bytes of documents per request.
    pub bulk_bytes: usize,
    /// Maximum number of concurrent requests.
    pub concurrency: usize,
    pub metrics: StoreMetrics,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Progress(#[from] ProgressError),
    #[error(transparent)]
    DeadLetters(#[from] DeadLetterError),
}

/// Trims the journal behind the slowest of several shippers.
pub struct Trimmer {
    journal: JournalHandle,
    /// Expected number of shippers; nothing is trimmed before each has reported its position.
    shippers: usize,
    confirmed: Mutex<Vec<Position>>,
}

impl Trimmer {
    pub fn new(journal: JournalHandle, shippers: usize) -> Arc<Self> {
        Arc::new(Self { journal, shippers, confirmed: Mutex::new(Vec::new()) })
    }

    fn register(&self, confirmed: Position) -> usize {
        let index = {
            let mut all = lock(&self.confirmed);
            all.push(confirmed);
            all.len() - 1
        };
        self.confirm(index, confirmed);
        index
    }

    /// Records how far a store has durably confirmed, and trims the journal behind the slowest store.
    fn confirm(&self, index: usize, confirmed: Position) {
        let slowest = {
            let mut all = lock(&self.confirmed);
            if let Some(own) = all.get_mut(index) {
                *own = confirmed;
            }
            let slowest = all.iter().min().copied().filter(|_| all.len() == self.shippers);
            if let Some(slowest) = slowest {
                self.journal.pass(slowest);
            }
            slowest
        };
        if slowest.is_some()
            && let Err(error) = self.journal.trim()
        {
            tracing::error!(%error, "the journal cannot be trimmed");
        }
    }
}

/// State shared by a shipper's tasks and its callers.
struct Inner {
    name: String,
    store: Arc<dyn EventSink>,
    streams: Vec<Stream>,
    own_chains: Vec<(ChainId, Sequence)>,
    clock: Arc<dyn Clock>,
    journal: JournalHandle,
    writer: Writer,
    /// Held while the file is written, as are the dead letters.
    progress: AsyncMutex<ProgressFile>,
    dead_letters: AsyncMutex<DeadLetterFile>,
    dead_letter_count: AtomicU64,
    confirmed: watch::Sender<Position>,
    confirmed_events: AtomicU64,
    metrics: StoreMetrics,
    /// One permit per concurrent request.
    requests: Semaphore,
    /// When the oldest event was received that is read but not confirmed.
    oldest: Mutex<Option<UnixMillis>>,
    health: Mutex<Health>,
    has_panicked: AtomicBool,
    /// Events of this writer's chains that the store has and the journal does not know.
    beyond_journal: AtomicU64,
    /// Events that are neither in the store nor in the journal, at most.
    missing_events: AtomicU64,
}

/// Handle on one store's shipper.
#[derive(Clone)]
pub struct Shipper(Arc<Inner>);

/// A shipper's task; join it after cancelling its token.
pub struct ShipperTask(JoinHandle<()>);

impl ShipperTask {
    pub async fn join(self) {
        if let Err(error) = self.0.await {
            tracing::error!(%error, "a shipper failed unexpectedly");
        }
    }
}

/// Notifies of a store's confirmations. Queries may see the events a moment later.
#[derive(Clone)]
pub struct Confirmations(watch::Receiver<Position>);

impl Confirmations {
    /// A copy that reports only confirmations from now on.
    pub fn from_now(&self) -> Self {
        let mut confirmed = self.0.clone();
        confirmed.mark_unchanged();
        Self(confirmed)
    }

    /// A copy that has yet to report what is confirmed already.
    pub fn from_the_start(&self) -> Self {
        let mut confirmed = self.0.clone();
        confirmed.mark_changed();
        Self(confirmed)
    }

    /// Whether there are confirmations that [`Self::more`] has not reported.
    pub fn has_more(&self) -> bool {
        // The shipper has ended: whether it confirmed more before is unknown.
        self.0.has_changed().unwrap_or(true)
    }

    /// Waits until everything before `end` is confirmed.
    pub async fn reach(&mut self, end: Position) {
        if self.0.wait_for(|confirmed| *confirmed >= end).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until more has been confirmed since the last call.
    pub async fn more(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// How far a store has got.
#[derive(Clone, Debug)]
pub struct Progress {
    pub store: String,
    /// Bytes and events in the journal that this store has not confirmed.
    pub behind_bytes: u64,
    pub behind_events: u64,
    /// Age of the oldest unconfirmed event that was read from the journal.
    pub behind_for: Option<Duration>,
    /// What blocks the store, if anything: the last failure since it last made progress, or that it has not been set up
    /// since the start.
    pub trouble: Option<String>,
    pub dead_letters: u64,
    /// Events of this writer's chains that the store has and the journal did not know at the start: the data folder is
    /// an old copy.
    pub beyond_journal: u64,
    /// At most so many events are neither in the store nor in the journal: the store was replaced, emptied or set back,
    /// a part of the journal was lost, or the store was not configured while others received them.
    pub missing_events: u64,
}

pub struct DeadLetters {
    pub total: usize,
    pub items: Vec<DeadLetter>,
}

#[derive(Default)]
pub struct Replayed {
    pub stored: usize,
    pub refused: usize,
    /// Why the first refused event was refused again.
    pub reason: Option<String>,
}

impl Shipper {
    /// Starts shipping at the position in the store's progress file, until the token is cancelled.
    pub fn start(
        options: Options,
        store: Arc<dyn EventSink>,
        writer: Writer,
        trimmer: &Arc<Trimmer>,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Result<(Self, ShipperTask), StartError> {
        let journal = trimmer.journal.clone();
        let begin = journal.begin();
        let mut progress = ProgressFile::open(&options.progress_file, begin, events_before(&journal, begin, &writer))?;
        if progress.confirmed() > journal.end() {
            tracing::error!(store = options.name, "the journal has lost events that this store confirmed");
            progress.confirm(journal.end(), writer.stats().events);
        }
        progress.save(begin)?;
        // The journal may be trimmed once the store was found to hold what it has confirmed.
        let index = trimmer.register(begin);
        let concurrency = options.concurrency.max(1);
        let dead_letters = DeadLetterFile::open(&options.dead_letter_file)?;
        let inner = Arc::new(Inner {
            confirmed: watch::channel(progress.confirmed()).0,
            confirmed_events: AtomicU64::new(progress.confirmed_events()),
            missing_events: AtomicU64::new(progress.missing_events()),
            name: options.name,
            store,
            streams: options.streams,
            own_chains: options.own_chains,
            clock,
            journal,
            writer,
            progress: AsyncMutex::new(progress),
            dead_letter_count: AtomicU64::new(dead_letters.len() as u64),
            dead_letters: AsyncMutex::new(dead_letters),
            metrics: options.metrics,
            requests: Semaphore::new(concurrency),
            oldest: Mutex::new(None),
            health: Mutex::default(),
            has_panicked: AtomicBool::new(false),
            beyond_journal: AtomicU64::new(0),
        });
        let loop_options = run::LoopOptions { bulk_bytes: options.bulk_bytes.max(1), concurrency, index };
        let shipped = Arc::clone(&inner);
        let task = run::run(Arc::clone(&inner), Arc::clone(trimmer), loop_options, shutdown);
        let task = async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                shipped.has_panicked.store(true, Ordering::Relaxed);
                shipped.writer.failed().cancel();
            }
        };
        Ok((Self(inner), ShipperTask(tokio::spawn(task))))
    }

    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn progress(&self) -> Progress {
        let inner = &self.0;
        let behind_bytes = inner.journal.end().0.saturating_sub(inner.confirmed.borrow().0);
        let confirmed_events = inner.confirmed_events.load(Ordering::Relaxed);
        let oldest = if behind_bytes == 0 { None } else { *lock(&inner.oldest) };
        let age = |oldest: UnixMillis| u64::try_from(inner.clock.now().0 - oldest.0).unwrap_or(0);
        Progress {
            store: inner.name.clone(),
            behind_bytes,
            behind_events: inner.writer.stats().events.saturating_sub(confirmed_events),
            behind_for: oldest.map(|oldest| Duration::from_millis(age(oldest))),
            trouble: if inner.has_panicked.load(Ordering::Relaxed) {
                Some("the shipper failed unexpectedly".to_owned())
            } else {
                lock(&inner.health).trouble()
            },
            dead_letters: inner.dead_letter_count.load(Ordering::Relaxed),
            beyond_journal: inner.beyond_journal.load(Ordering::Relaxed),
            missing_events: inner.missing_events.load(Ordering::Relaxed),
        }
    }

    /// Waits until the store has everything before `end`. `false` if that took longer than `limit`.
    #[cfg(test)]
    async fn wait_stored(&self, end: Position, limit: Duration) -> bool {
        timeout(limit, self.confirmations().reach(end)).await.is_ok()
    }

    /// Reports the store's confirmations from now on.
    pub fn confirmations(&self) -> Confirmations {
        Confirmations(self.0.confirmed.subscribe())
    }

    /// Waits until the store has everything that is in the journal now. `false` if that took longer than `limit`.
    pub async fn drain(&self, limit: Duration) -> bool {
        let end = self.0.journal.end();
        let mut confirmed = self.0.confirmed.subscribe();
        timeout(limit, confirmed.wait_for(|confirmed| *confirmed >= end)).await.is_ok_and(|result| result.is_ok())
    }

    /// The events that the store permanently refused, in chain order, from index `from`.
    pub async fn dead_letters(&self, from: usize, limit: usize) -> Result<DeadLetters, String> {
        let list = move |letters: &mut DeadLetterFile| {
            let items = letters.list(from, limit).map_err(|error| error.to_string())?;
            Ok(DeadLetters { total: letters.len(), items })
        };
        self.0.with_dead_letters(list).await.map_err(|error| error.to_string())?
    }

    /// Offers all dead letters to the store again and removes those that it accepts.
    pub async fn replay_dead_letters(&self) -> Result<Replayed, String> {
        let mut replayed = Replayed::default();
        let outcome = self.replay_into(&mut replayed).await;
        if replayed.stored > 0 {
            let compacted = self.0.with_dead_letters(DeadLetterFile::compact).await;
            compacted.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        }
        outcome.map(|()| replayed)
    }

    async fn replay_into(&self, replayed: &mut Replayed) -> Result<(), String> {
        const BATCH: usize = 8;
        loop {
            let letters = self.dead_letters(replayed.refused, BATCH).await?.items;
            if letters.is_empty() {
                return Ok(());
            }
            for letter in letters {
                match self.replay(&letter).await? {
                    Ok(()) => {
                        let remove = move |letters: &mut DeadLetterFile| letters.remove(&letter.position);
                        self.0.with_dead_letters(remove).await.map_err(|error| error.to_string())?;
                        replayed.stored += 1;
                    }
                    Err(reason) => {
                        replayed.refused += 1;
                        replayed.reason.get_or_insert(reason);
                    }
                }
            }
        }
    }

    /// Offers one letter to the store. The inner error says why it is refused again; the outer, why the store accepts
    /// none at present.
    async fn replay(&self, letter: &DeadLetter) -> Result<Result<(), String>, String> {
        let position = &letter.position;
        let Some(event) = event_of(letter) else { return Ok(Err(format!("{position} holds no sealed event"))) };
        match self.0.store.replace(&Target(letter.target.clone()), &event).await {
            Ok(Outcome::Stored | Outcome::Duplicate) => Ok(Ok(())),
            Ok(Outcome::Rejected { reason } | Outcome::Retry { reason }) => Ok(Err(reason)),
            Ok(Outcome::Conflict { .. }) => Ok(Err(format!("another event is stored at {position}"))),
            Err(error @ (SinkError::Unavailable { .. } | SinkError::Denied { .. })) => Err(error.to_string()),
            // Others may go to another index, or be smaller.
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

impl Inner {
    /// Uses the dead letters on a thread that may block. Fails only if that panics.
    async fn with_dead_letters<T: Send + 'static>(
        self: &Arc<Self>,
        access: impl FnOnce(&mut DeadLetterFile) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let inner = Arc::clone(self);
        let access = move || {
            let mut letters = inner.dead_letters.blocking_lock();
            let result = access(&mut letters);
            inner.dead_letter_count.store(letters.len() as u64, Ordering::Relaxed);
            result
        };
        spawn_blocking(access).await
    }

    /// Like [`Self::with_dead_letters`], for the progress.
    async fn with_progress<T: Send + 'static>(
        self: &Arc<Self>,
        access: impl FnOnce(&mut ProgressFile) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let inner = Arc::clone(self);
        spawn_blocking(move || access(&mut inner.progress.blocking_lock())).await
    }

    /// Durably binds the stream's events from this position of the journal on to a target.
    async fn bind(
        self: &Arc<Self>,
        stream: &Stream,
        from: Position,
        events_before: u64,
        target: &Target,
    ) -> Result<(), String> {
        let (stream, target) = (stream.clone(), target.clone());
        let bound = self.with_progress(move |progress| progress.bind(&stream, from, events_before, &target)).await;
        bound.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Reports that the store has more of a chain than the journal had at the start. The writer does not resume such a
    /// chain, so new events are fine; but the operator should know.
    fn report_beyond(&self, chain: ChainId, next: Sequence, head: Sequence) {
        let events = head.0 - next.0 + 1;
        self.beyond_journal.fetch_add(events, Ordering::Relaxed);
        tracing::error!(
            store = self.name,
            %chain,
            events,
            journal_ends_before = next.0,
            "the store has events that the journal has lost: the data folder is an old copy, or its disk lost data"
        );
    }
}

/// How many events the journal held before this position, as far as known.
fn events_before(journal: &JournalHandle, at: Position, writer: &Writer) -> u64 {
    let mut reader = journal.reader(at);
    let mut first = reader.read(1);
    while let Err(JournalError::Damaged { .. }) = first
        && reader.skip_damage().is_ok()
    {
        first = reader.read(1);
    }
    let group = first.ok().and_then(|records| Group::decode(&records.into_iter().next()?.payload).ok());
    group.map_or(writer.stats().events, |group| group.events_before)
}

fn event_of(letter: &DeadLetter) -> Option<SealedEvent> {
    let position: ChainPosition = letter.position.parse().ok()?;
    let leaf_hash = match integrity::open(letter.document.as_bytes()) {
        Ok(opened) => Some(opened.leaf.hash()),
        Err(VerifyError::Unsealed) => None,
        Err(VerifyError::Member(_) | VerifyError::Digest) => return None,
    };
    Some(SealedEvent { position, leaf_hash, document: Bytes::from(letter.document.clone()) })
}

/// Ignores poisoning: a panicking holder leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
