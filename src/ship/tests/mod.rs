#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod faults;
mod losses;
mod refusals;
mod targets;
mod trouble;
mod unknown_chains;

use std::{collections::VecDeque, sync::atomic::AtomicBool};

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::{
    event::ChainHead,
    identity::{DataFolder, Identity},
    intake::{Contents, Intake, Limits, Registration, Registry},
    journal,
    metrics::Metrics,
    store::{SinkError, StoreId, memory::MemoryStore},
    time::SystemClock,
    writer::{self, Overflow, Recovering, WriterThread},
};

/// The fault of one append.
#[derive(Clone, Debug)]
enum Fault {
    Nothing,
    /// Nothing is stored.
    Fails(SinkError),
    /// Everything is stored, and the answer is lost.
    AnswerLost,
    /// Every event is reported as permanently refused.
    RejectsAll,
    /// The event at this index (modulo their number) is refused for now.
    ItemRetry(usize),
    /// The answer is one event short.
    ShortAnswer,
    /// The target is lost and replaced by another.
    TargetLost,
}

/// A store that plays a script of faults and then behaves correctly.
struct Scripted {
    memory: MemoryStore,
    /// Number of attempts to set it up that fail.
    failing_setups: AtomicU64,
    /// Number of target requests that fail, and how many there were in all.
    failing_targets: AtomicU64,
    target_questions: AtomicU64,
    /// Number of requests for the chains of a writer that fail, and how many there were in all.
    failing_chains: AtomicU64,
    chain_questions: AtomicU64,
    /// Whether every append fails, whatever the script says.
    is_away: AtomicBool,
    /// Whether it cannot be asked which store it is.
    is_unidentified: AtomicBool,
    /// Whether every append of the first event fails.
    refuses_first: AtomicBool,
    /// Whether every event and every stub is permanently refused, whatever the script says.
    refuses_all: AtomicBool,
    script: Mutex<VecDeque<Fault>>,
    /// Errors of the first replaces.
    failing_replaces: Mutex<VecDeque<SinkError>>,
    generation: AtomicU64,
    /// Events with this message are permanently refused; stubs are accepted.
    poison: &'static str,
    /// Requests of more events than this are too large.
    max_events: usize,
    /// Requests of more events than this are not answered in time.
    max_events_in_time: usize,
    /// Target and first position of each append.
    appends: Mutex<Vec<(Target, u64)>>,
    /// The append of the first event is answered after this many appends of others.
    first_waits_for: usize,
    /// How many appends are in flight, and the maximum so far.
    under_way: AtomicU64,
    most_under_way: AtomicU64,
    another: tokio::sync::Notify,
}

impl Scripted {
    fn new(script: Vec<Fault>) -> Self {
        Self {
            memory: MemoryStore::default(),
            failing_setups: AtomicU64::new(0),
            failing_targets: AtomicU64::new(0),
            target_questions: AtomicU64::new(0),
            failing_chains: AtomicU64::new(0),
            chain_questions: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            is_unidentified: AtomicBool::new(false),
            refuses_first: AtomicBool::new(false),
            refuses_all: AtomicBool::new(false),
            script: Mutex::new(script.into()),
            failing_replaces: Mutex::default(),
            generation: AtomicU64::new(0),
            poison: "\"message\":\"poison\"",
            max_events: usize::MAX,
            max_events_in_time: usize::MAX,
            appends: Mutex::new(Vec::new()),
            first_waits_for: 0,
            under_way: AtomicU64::new(0),
            most_under_way: AtomicU64::new(0),
            another: tokio::sync::Notify::new(),
        }
    }

    /// Delays the append that begins at this position.
    async fn delay(&self, first: u64) {
        let now = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_under_way.fetch_max(now, Ordering::Relaxed);
        // Let others run at the same time.
        tokio::task::yield_now().await;
        self.another.notify_waiters();
        while first == 0 && lock(&self.appends).len() <= self.first_waits_for {
            self.another.notified().await;
        }
        self.under_way.fetch_sub(1, Ordering::Relaxed);
    }

    fn present_target(&self) -> Target {
        Target(format!("index-{}", self.generation.load(Ordering::Relaxed)))
    }

    fn is_poisoned(&self, event: &SealedEvent) -> bool {
        let text = String::from_utf8_lossy(&event.document);
        text.contains(self.poison) && !text.contains("\"content\":")
    }
}

/// Decrements the counter unless it is zero.
fn takes_one(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

fn away() -> SinkError {
    SinkError::Unavailable { reason: "away".to_owned(), retry_after: None }
}

#[async_trait]
impl EventSink for Scripted {
    async fn setup(&self, streams: &[Stream]) -> Result<(), SinkError> {
        if takes_one(&self.failing_setups) {
            return Err(away());
        }
        self.memory.setup(streams).await
    }

    async fn identity(&self) -> Result<StoreId, SinkError> {
        if self.is_unidentified.load(Ordering::Relaxed) { Err(away()) } else { self.memory.identity().await }
    }

    async fn holds(&self, positions: &[(Target, ChainPosition)]) -> Result<Vec<bool>, SinkError> {
        self.memory.holds(positions).await
    }

    async fn target(&self, _: &Stream) -> Result<Target, SinkError> {
        self.target_questions.fetch_add(1, Ordering::Relaxed);
        if takes_one(&self.failing_targets) { Err(away()) } else { Ok(self.present_target()) }
    }

    async fn append(&self, target: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, SinkError> {
        let first = events[0].position.sequence.0;
        lock(&self.appends).push((target.clone(), first));
        self.delay(first).await;
        if self.is_away.load(Ordering::Relaxed) || first == 0 && self.refuses_first.load(Ordering::Relaxed) {
            return Err(away());
        }
        if events.len() > self.max_events {
            return Err(SinkError::TooLarge);
        }
        if events.len() > self.max_events_in_time {
            return Err(away());
        }
        let fault = lock(&self.script).pop_front().unwrap_or(Fault::Nothing);
        if let Fault::Fails(error) = fault {
            return Err(error);
        }
        if matches!(fault, Fault::RejectsAll) || self.refuses_all.load(Ordering::Relaxed) {
            return Ok(vec![Outcome::Rejected { reason: "no such pipeline".to_owned() }; events.len()]);
        }
        if let Fault::TargetLost = fault {
            self.generation.fetch_add(1, Ordering::Relaxed);
        }
        if *target != self.present_target() {
            return Err(SinkError::TargetLost { reason: "gone".to_owned() });
        }
        let skipped = match fault {
            Fault::ItemRetry(index) => Some(index % events.len()),
            _ => None,
        };
        let mut outcomes = Vec::new();
        for (index, event) in events.iter().enumerate() {
            outcomes.push(if skipped == Some(index) {
                Outcome::Retry { reason: "busy".to_owned() }
            } else if self.is_poisoned(event) {
                Outcome::Rejected { reason: "poisoned".to_owned() }
            } else {
                self.memory.append(target, std::slice::from_ref(event)).await?.remove(0)
            });
        }
        match fault {
            Fault::AnswerLost => Err(away()),
            Fault::ShortAnswer => {
                outcomes.pop();
                Ok(outcomes)
            }
            _ => Ok(outcomes),
        }
    }

    async fn replace(&self, target: &Target, event: &SealedEvent) -> Result<Outcome, SinkError> {
        let failure = lock(&self.failing_replaces).pop_front();
        match failure {
            Some(error) => Err(error),
            None => self.memory.replace(target, event).await,
        }
    }

    async fn head(&self, chain: ChainId) -> Result<Option<ChainHead>, SinkError> {
        self.memory.head(chain).await
    }

    async fn chains_of(&self, writer: &str) -> Result<Vec<ChainId>, SinkError> {
        self.chain_questions.fetch_add(1, Ordering::Relaxed);
        if takes_one(&self.failing_chains) { Err(away()) } else { self.memory.chains_of(writer).await }
    }

    async fn maintain(&self, streams: &[Stream]) -> Result<(), SinkError> {
        self.memory.maintain(streams).await
    }
}

/// A writer in its own folder.
struct Fixture {
    root: tempfile::TempDir,
    folder: DataFolder,
    writer: Writer,
    thread: WriterThread,
    trimmer: Arc<Trimmer>,
}

impl Fixture {
    fn new(stores: usize) -> Self {
        Self::of(tempfile::tempdir().unwrap(), stores)
    }

    /// The same folder after an orderly end of the writer.
    fn restarted(self) -> Self {
        self.writer.close();
        self.thread.join();
        drop(self.folder);
        Self::of(self.root, self.trimmer.shippers)
    }

    fn of(root: tempfile::TempDir, stores: usize) -> Self {
        let folder = DataFolder::open(root.path()).unwrap();
        let identity = Identity::open(&folder, None, UnixMillis(0)).unwrap();
        let options = writer::Options {
            journal: journal::Options { max_bytes: 1 << 30, segment_bytes: 4000 },
            overflow: Overflow::Reject,
            epoch_ms: 1000,
            chaining: true,
            max_clock_jump: std::time::Duration::from_secs(3_600),
            recent: crate::writer::RecentOptions { window_ms: 600_000, capacity: 1_000 },
        };
        let recovering = Recovering::open(&folder, identity, Arc::new(SystemClock), options).unwrap();
        let trimmer = Trimmer::new(recovering.journal(), stores);
        let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
        Self { root, folder, writer, thread, trimmer }
    }

    async fn log(&self, messages: &[&str]) -> writer::Receipts {
        self.writer.submit(contents(&self.folder, messages), writer::Origin::Caller).await.unwrap()
    }

    fn ship(&self, name: &str, store: &Arc<Scripted>, shutdown: &CancellationToken) -> (Shipper, ShipperTask) {
        let options = Options {
            name: name.to_owned(),
            progress_file: self.folder.path(&format!("{name}.json")),
            dead_letter_file: self.folder.path(&format!("{name}.jsonl")),
            streams: vec![Stream::general()],
            own_chains: Vec::new(),
            bulk_bytes: 3000,
            concurrency: 2,
            metrics: Metrics::new().store(name),
        };
        let store: Arc<dyn EventSink> = store.clone();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        Shipper::start(options, store, self.writer.clone(), &self.trimmer, clock, shutdown.clone()).unwrap()
    }

    fn finish(self) {
        self.writer.close();
        self.thread.join();
        drop((self.folder, self.root));
    }
}

fn contents(folder: &DataFolder, messages: &[&str]) -> Contents {
    let registry = Registry::open(folder.path("providers.json"), Limits::default()).unwrap();
    registry
        .register("p", None, Registration { actions: vec!["a".to_owned()], ..Registration::default() }, |_| {
            Ok::<_, crate::intake::RegisterError>(())
        })
        .unwrap();
    let intake = Intake::new(
        Arc::new(registry),
        Limits::default(),
        Arc::new(SystemClock),
        &crate::intake::Source { node: "node-1".to_owned(), server_uuid: "u".to_owned(), version: "1.0.0".to_owned() },
    );
    let line =
        |message: &&str| format!("{{\"event\":{{\"provider\":\"p\",\"action\":\"a\"}},\"message\":\"{message}\"}}");
    let body: Vec<String> = messages.iter().map(line).collect();
    intake.accept(&crate::event::Author::log(), None, body.join("\n").as_bytes()).unwrap().contents
}

const FOREVER: Duration = Duration::from_secs(100_000);

/// Asserts that the store has every event of the chain, or its stub, at its position and with its seal.
async fn assert_complete(store: &Scripted, receipts: &[writer::SealReceipt]) {
    for receipt in receipts {
        let stored = store.memory.get(receipt.position).unwrap();
        assert_eq!(Some(integrity::open(&stored).unwrap().leaf.hash()), receipt.leaf_hash);
    }
    assert_eq!(store.memory.len(), receipts.len());
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let fails = |error: SinkError| Just(Fault::Fails(error));
    prop_oneof![
        Just(Fault::Nothing),
        fails(away()),
        fails(SinkError::Unavailable { reason: "busy".to_owned(), retry_after: Some(Duration::from_secs(3)) }),
        fails(SinkError::Blocked { reason: "read-only".to_owned() }),
        fails(SinkError::Denied { reason: "401".to_owned() }),
        fails(SinkError::TooLarge),
        Just(Fault::AnswerLost),
        Just(Fault::RejectsAll),
        (0..9usize).prop_map(Fault::ItemRetry),
        Just(Fault::ShortAnswer),
        Just(Fault::TargetLost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever goes wrong, each event is stored once, and the journal is trimmed behind it.
    #[test]
    fn every_event_arrives_once_whatever_goes_wrong(script in prop::collection::vec(any_fault(), 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new(1);
            let store = Arc::new(Scripted::new(script));
            let shutdown = CancellationToken::new();
            let (shipper, task) = fixture.ship("s", &store, &shutdown);
            let mut receipts = Vec::new();
            for _ in 0..12 {
                receipts.extend(fixture.log(&["one", "two", "three"]).await.receipts);
            }
            let end = fixture.trimmer.journal.end();
            assert!(shipper.wait_stored(end, FOREVER).await);
            // A single event that is too large becomes a dead letter, so its stub may replace it.
            assert_complete(&store, &receipts).await;
            assert_eq!(shipper.progress().behind_events, 0);
            shutdown.cancel();
            task.join().await;
            assert!(fixture.trimmer.journal.used() < 8000, "{} bytes stay", fixture.trimmer.journal.used());
            fixture.finish();
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_store_holds_up_neither_intake_nor_another_store_and_catches_up() {
    let fixture = Fixture::new(2);
    let dead = Arc::new(Scripted { is_away: AtomicBool::new(true), ..Scripted::new(Vec::new()) });
    let well = Arc::new(Scripted::new(Vec::new()));
    let shutdown = CancellationToken::new();
    let (slow, slow_task) = fixture.ship("dead", &dead, &shutdown);
    let (fast, fast_task) = fixture.ship("well", &well, &shutdown);
    let mut receipts = fixture.log(&["one"]).await.receipts;
    let second = fixture.log(&["two"]).await;
    receipts.extend(second.receipts);
    assert!(fast.wait_stored(second.end, FOREVER).await);
    assert!(!slow.wait_stored(second.end, Duration::from_millis(1)).await);
    assert_eq!(slow.progress().behind_events, 2);
    await_trouble(&slow, Some("away")).await;
    dead.is_away.store(false, Ordering::Relaxed);
    assert!(slow.wait_stored(second.end, FOREVER).await);
    assert_eq!(slow.progress().trouble, None);
    assert_complete(&dead, &receipts).await;
    assert_complete(&well, &receipts).await;
    shutdown.cancel();
    slow_task.join().await;
    fast_task.join().await;
    fixture.finish();
}

/// Waits until the shipper reports this trouble, or none.
async fn await_trouble(shipper: &Shipper, expected: Option<&str>) {
    let told = async {
        while shipper.progress().trouble.as_deref() != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(FOREVER, told).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_events_go_to_the_target_they_were_bound_to() {
    let fixture = Fixture::new(1);
    let receipts = fixture.log(&["one"]).await;
    let store = Arc::new(Scripted::new(vec![Fault::AnswerLost; 1000]));
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    assert!(!shipper.wait_stored(receipts.end, Duration::from_secs(60)).await);
    shutdown.cancel();
    task.join().await;
    // The first attempt may have arrived, so the retry must go to the same target, wherever the alias now points.
    lock(&store.script).clear();
    lock(&store.appends).clear();
    let shutdown = CancellationToken::new();
    store.generation.store(7, Ordering::Relaxed);
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    assert_eq!(lock(&store.appends)[0].0, Target("index-0".to_owned()));
    let next = fixture.log(&["two"]).await;
    assert!(shipper.wait_stored(next.end, FOREVER).await);
    assert_eq!(lock(&store.appends).last().unwrap().0, Target("index-7".to_owned()));
    assert_eq!(store.memory.len(), 2);
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn a_refused_event_becomes_a_dead_letter_and_a_stub_and_can_be_replayed() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted::new(Vec::new()));
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    let receipts = fixture.log(&["one", "poison", "three"]).await;
    assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    assert_complete(&store, &receipts.receipts).await;
    let poisoned = receipts.receipts[1].position;
    assert!(String::from_utf8_lossy(&store.memory.get(poisoned).unwrap()).contains("\"content\":"));
    let letters = shipper.dead_letters(0, 10).await.unwrap();
    assert_eq!((letters.total, letters.items[0].position.clone()), (1, poisoned.to_string()));
    assert_eq!(letters.items[0].reason, "poisoned");
    let replayed = shipper.replay_dead_letters().await.unwrap();
    assert_eq!((replayed.stored, replayed.refused), (1, 0));
    assert_eq!(store.memory.get(poisoned).unwrap(), letters.items[0].document.as_bytes());
    assert_eq!(shipper.progress().dead_letters, 0);
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_split_until_it_fits() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted { max_events: 1, ..Scripted::new(Vec::new()) });
    let receipts = fixture.log(&["1", "2", "3", "4", "5"]).await;
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    let started = Instant::now();
    assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    assert!(started.elapsed() < Duration::from_secs(5), "splitting needs no waiting");
    assert_complete(&store, &receipts.receipts).await;
    assert_eq!(shipper.progress().dead_letters, 0);
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_too_slow_for_large_requests_gets_smaller_ones() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted { max_events_in_time: 100, ..Scripted::new(Vec::new()) });
    let receipts = fixture.log(&["x"; 1_000]).await;
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    assert_complete(&store, &receipts.receipts).await;
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_does_not_block_those_that_follow() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted { first_waits_for: 5, ..Scripted::new(Vec::new()) });
    let mut receipts = Vec::new();
    for _ in 0..20 {
        receipts.extend(fixture.log(&["one", "two", "three", "four", "five", "six"]).await.receipts);
    }
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    assert!(shipper.wait_stored(fixture.trimmer.journal.end(), FOREVER).await);
    assert_complete(&store, &receipts).await;
    assert_eq!(store.most_under_way.load(Ordering::Relaxed), 2, "requests at a time");
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}
