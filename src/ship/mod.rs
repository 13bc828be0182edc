//! From the journal to each store, in order, for as long as it takes.
//!
//! Each store has a shipper of its own, with its own place in the journal, so a store that is slow or away holds up neither
//! the others nor the intake. A shipper reads records, sends their events in a few requests at a time, and confirms in the
//! order of the journal; the journal is trimmed behind the slowest.
//!
//! An event is bound to one target for life, and the binding is on disk before the event is sent ([`progress`]): whatever
//! answers get lost, and whatever rolls over meanwhile, a repetition goes to where the first attempt went, and is found out
//! there by its position.

mod dead_letter;
mod deliver;
mod health;
mod progress;
mod recovery;
mod run;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use dead_letter::DeadLetters as DeadLetterFile;
pub use dead_letter::{DeadLetter, DeadLetterError};
use health::Health;
pub use progress::ProgressError;
use progress::ProgressFile;
pub use recovery::settle_chains;

use crate::{
    event::{ChainId, ChainPosition, SealedEvent, Sequence, Stream, UnixMillis},
    integrity::{self, VerifyError},
    journal::{JournalHandle, Position},
    metrics::StoreMetrics,
    store::{EventSink, Outcome, SinkError, Target},
    time::Clock,
    writer::{Group, Writer},
};

/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// What a shipper needs to know.
pub struct Options {
    /// The store's name in the configuration.
    pub name: String,
    /// The file of its progress, and the one of its dead letters.
    pub progress_file: PathBuf,
    pub dead_letter_file: PathBuf,
    pub streams: Vec<Stream>,
    /// The writer's chains as the journal had them at the start, each with the sequence that would have come next.
    pub own_chains: Vec<(ChainId, Sequence)>,
    /// Bytes of documents that one request takes up, about.
    pub bulk_bytes: usize,
    /// Requests at a time.
    pub concurrency: usize,
    pub metrics: StoreMetrics,
}

/// Why a shipper cannot start.
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
    /// How many shippers there are going to be; nothing is trimmed before each has said where it is.
    shippers: usize,
    confirmed: Mutex<Vec<Position>>,
}

impl Trimmer {
    pub fn new(journal: JournalHandle, shippers: usize) -> Arc<Self> {
        Arc::new(Self { journal, shippers, confirmed: Mutex::new(Vec::new()) })
    }

    fn enter(&self, confirmed: Position) -> usize {
        let index = {
            let mut all = lock(&self.confirmed);
            all.push(confirmed);
            all.len() - 1
        };
        self.confirm(index, confirmed);
        index
    }

    /// Notes how far one store is, durably so, and removes what every store has.
    fn confirm(&self, index: usize, confirmed: Position) {
        let slowest = {
            let mut all = lock(&self.confirmed);
            if let Some(own) = all.get_mut(index) {
                *own = confirmed;
            }
            all.iter().min().copied().filter(|_| all.len() == self.shippers)
        };
        if let Some(slowest) = slowest
            && let Err(error) = self.journal.trim(slowest)
        {
            tracing::error!(%error, "the journal cannot be trimmed");
        }
    }
}

/// What a shipper's tasks and its callers share.
struct Inner {
    name: String,
    store: Arc<dyn EventSink>,
    streams: Vec<Stream>,
    own_chains: Vec<(ChainId, Sequence)>,
    clock: Arc<dyn Clock>,
    journal: JournalHandle,
    writer: Writer,
    progress: Mutex<ProgressFile>,
    dead_letters: Mutex<DeadLetterFile>,
    confirmed: watch::Sender<Position>,
    confirmed_events: AtomicU64,
    metrics: StoreMetrics,
    /// One permit for each request at a time.
    requests: Semaphore,
    /// When the oldest event was received that was read and is not confirmed.
    oldest: Mutex<Option<UnixMillis>>,
    health: Mutex<Health>,
    /// Events that the store has of this writer's chains and the journal does not know.
    beyond_journal: AtomicU64,
}

/// One store's shipper, as others see it.
#[derive(Clone)]
pub struct Shipper(Arc<Inner>);

/// A shipper's task, to be awaited after its token was cancelled.
pub struct ShipperTask(JoinHandle<()>);

impl ShipperTask {
    pub async fn join(self) {
        if let Err(error) = self.0.await {
            tracing::error!(%error, "a shipper ended by a fault of its own");
        }
    }
}

/// News of what a store has confirmed. That find sees it may take a moment longer.
#[derive(Clone)]
pub struct Confirmations(watch::Receiver<Position>);

impl Confirmations {
    /// The same, of which only what is confirmed from now on is new.
    pub fn from_now(&self) -> Self {
        let mut confirmed = self.0.clone();
        confirmed.mark_unchanged();
        Self(confirmed)
    }

    /// Everything before this is confirmed.
    pub fn confirmed(&self) -> Position {
        *self.0.borrow()
    }

    /// Waits until everything before `end` is confirmed.
    pub async fn reach(&mut self, end: Position) {
        if self.0.wait_for(|confirmed| *confirmed >= end).await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits until there has been more since the last call.
    pub async fn more(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// How far a store is.
#[derive(Clone, Debug)]
pub struct Progress {
    pub store: String,
    /// Bytes and events in the journal that this store has not confirmed.
    pub behind_bytes: u64,
    pub behind_events: u64,
    /// Age of the oldest of them that was read from the journal.
    pub behind_for: Option<Duration>,
    /// What keeps it from going on, if anything does: the last failure since it last went forward, or that it is yet to be
    /// set up for the first time since the start.
    pub trouble: Option<String>,
    pub dead_letters: u64,
    /// Events that the store has of this writer's chains, and the journal did not know at the start: the data folder is an old copy.
    pub beyond_journal: u64,
}

pub struct DeadLetters {
    pub total: usize,
    pub items: Vec<DeadLetter>,
}

#[derive(Default)]
pub struct Replayed {
    pub stored: usize,
    pub refused: usize,
    /// Why the first of those was refused again.
    pub reason: Option<String>,
}

impl Shipper {
    /// Starts shipping where the store's progress file says, until the token is cancelled.
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
        if progress.confirmed() < begin {
            let (confirmed, begin) = (progress.confirmed().0, begin.0);
            tracing::error!(
                store = options.name,
                confirmed,
                begin,
                "the journal has dropped events that this store never got: it was not configured while others got them"
            );
        }
        progress.save()?;
        let index = trimmer.enter(progress.confirmed());
        let concurrency = options.concurrency.max(1);
        let inner = Arc::new(Inner {
            confirmed: watch::channel(progress.confirmed()).0,
            confirmed_events: AtomicU64::new(progress.confirmed_events()),
            name: options.name,
            store,
            streams: options.streams,
            own_chains: options.own_chains,
            clock,
            journal,
            writer,
            progress: Mutex::new(progress),
            dead_letters: Mutex::new(DeadLetterFile::open(&options.dead_letter_file)?),
            metrics: options.metrics,
            requests: Semaphore::new(concurrency),
            oldest: Mutex::new(None),
            health: Mutex::default(),
            beyond_journal: AtomicU64::new(0),
        });
        let loop_options = run::LoopOptions { bulk_bytes: options.bulk_bytes.max(1), concurrency, index };
        let task = run::run(Arc::clone(&inner), Arc::clone(trimmer), loop_options, shutdown);
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
            trouble: lock(&inner.health).trouble(),
            dead_letters: lock(&inner.dead_letters).len() as u64,
            beyond_journal: inner.beyond_journal.load(Ordering::Relaxed),
        }
    }

    /// Waits until the store has everything before `end`. `false` if that took longer than `limit`.
    #[cfg(test)]
    async fn wait_stored(&self, end: Position, limit: Duration) -> bool {
        timeout(limit, self.confirmations().reach(end)).await.is_ok()
    }

    /// Tells, from now on, when the store has confirmed more.
    pub fn confirmations(&self) -> Confirmations {
        Confirmations(self.0.confirmed.subscribe())
    }

    /// Waits until the store has everything that is in the journal now. `false` if that took longer than `limit`.
    pub async fn drain(&self, limit: Duration) -> bool {
        let end = self.0.journal.end();
        let mut confirmed = self.0.confirmed.subscribe();
        timeout(limit, confirmed.wait_for(|confirmed| *confirmed >= end)).await.is_ok_and(|result| result.is_ok())
    }

    /// What the store refused for good, in the order of chains, from the index `from` on.
    pub async fn dead_letters(&self, from: usize, limit: usize) -> Result<DeadLetters, String> {
        let inner = Arc::clone(&self.0);
        let list = move || {
            let letters = lock(&inner.dead_letters);
            let items = letters.list(from, limit).map_err(|error| error.to_string())?;
            Ok(DeadLetters { total: letters.len(), items })
        };
        tokio::task::spawn_blocking(list).await.map_err(|error| error.to_string())?
    }

    /// Offers all dead letters to the store again; those that it takes are dead letters no longer.
    pub async fn replay_dead_letters(&self) -> Result<Replayed, String> {
        let mut replayed = Replayed::default();
        let outcome = self.replay_into(&mut replayed).await;
        if replayed.stored > 0 {
            let inner = Arc::clone(&self.0);
            let compact = move || lock(&inner.dead_letters).compact().map_err(|error| error.to_string());
            tokio::task::spawn_blocking(compact).await.map_err(|error| error.to_string())??;
        }
        outcome.map(|()| replayed)
    }

    async fn replay_into(&self, replayed: &mut Replayed) -> Result<(), String> {
        const AT_A_TIME: usize = 100;
        loop {
            let letters = self.dead_letters(replayed.refused, AT_A_TIME).await?.items;
            if letters.is_empty() {
                return Ok(());
            }
            for letter in letters {
                match self.replay(&letter).await? {
                    Ok(()) => {
                        lock(&self.0.dead_letters).remove(&letter.position);
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

    /// Offers one to the store; why it is refused again, or why the store takes none at present.
    async fn replay(&self, letter: &DeadLetter) -> Result<Result<(), String>, String> {
        let position = &letter.position;
        let Some(event) = event_of(letter) else { return Ok(Err(format!("{position} holds no sealed event"))) };
        match self.0.store.replace(&Target(letter.target.clone()), &event).await {
            Ok(Outcome::Stored | Outcome::Duplicate) => Ok(Ok(())),
            Ok(Outcome::Rejected { reason } | Outcome::Retry { reason }) => Ok(Err(reason)),
            Ok(Outcome::Conflict { .. }) => Ok(Err(format!("another event stands at {position}"))),
            Err(error @ (SinkError::Unavailable { .. } | SinkError::Denied { .. })) => Err(error.to_string()),
            // Others may go to another index, or be smaller.
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

impl Inner {
    /// Says that the store has more of a chain than the journal had at the start. The writer does not go on with such a
    /// chain, so nothing is wrong with what comes; but somebody should know.
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

/// How many events the journal held before this place, as far as it can say.
fn events_before(journal: &JournalHandle, at: Position, writer: &Writer) -> u64 {
    let first = journal.reader(at).read(1).ok().and_then(|records| records.into_iter().next());
    let group = first.and_then(|record| Group::decode(&record.payload).ok());
    group.map_or(writer.stats().events, |group| group.events_before)
}

fn event_of(letter: &DeadLetter) -> Option<SealedEvent> {
    let (chain, sequence) = letter.position.rsplit_once('-')?;
    let chain: ChainId = chain.parse().ok()?;
    let position = ChainPosition { chain, sequence: Sequence(sequence.parse().ok()?) };
    let leaf_hash = match integrity::open(letter.document.as_bytes()) {
        Ok(opened) => Some(opened.leaf.hash()),
        Err(VerifyError::Unsealed) => None,
        Err(VerifyError::Member(_) | VerifyError::Digest) => return None,
    };
    Some(SealedEvent { position, leaf_hash, document: Bytes::from(letter.document.clone()) })
}

/// A panic of another holder leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
