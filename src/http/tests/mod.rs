//! Tests of the interface: they send requests and check the answers.

mod access;
mod authority;
mod bounds;
mod contract;
mod events;
mod examples;
mod export;
mod find;
mod operation;
mod questions;
mod recorded;
mod refused;
mod rejected;
mod serving;
mod tail;
mod tls;

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, Request, StatusCode, header, request},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use super::{BodyPace, Limits, Proxies, Services, router};
use crate::{
    access::{Access, AccessConfig, Grant, GrantText, Keys, NewKey, Principal, Realm, Role},
    audit::{self, Audit},
    config::{Config, Flag, Sources},
    event::{ChainEntry, ChainHead, ChainId, ChainPosition, SealedEvent, Sequence, Stream, UnixMillis},
    identity::{DataFolder, Identity},
    ingest::Ingest,
    intake::{self, Intake, Registration, Registry},
    journal,
    memory_budget::Memory,
    metrics::Metrics,
    query::{Aggregate, Aggregation, Query, ScopedQuery},
    read::{self, Reader},
    rejected::RejectedEvents,
    ship::{self, Shipper, Trimmer},
    store::{
        ChainDocument, EventIndex, EventSink, IndexError, Outcome, Page, Scan, SinkError, StoreError, StoreId, Target,
        memory::MemoryStore,
    },
    time::Clock,
    writer::{self, Recovering, Writer},
};

/// 2021-03-02T12:00:00Z
const NOW: UnixMillis = UnixMillis(1_614_686_400_000);

/// The operations that answer without credentials; every other one must not.
const OPEN: &[&str] = &["/livez", "/readyz"];

const LIMITS: Limits =
    Limits { max_batch_bytes: 100_000, body_pace: BodyPace::DEFAULT, request_timeout: Duration::from_secs(60) };

/// How long a store's confirmations may be unseen.
const MAX_STALENESS: Duration = Duration::from_secs(1);

/// An in-process log with two stores, of which `main` is queried. The provider `app` with the action `run` is registered.
struct Log {
    router: Router,
    memory: Arc<Memory>,
    rejected: Arc<RejectedEvents>,
    key: String,
    keys: Arc<Keys>,
    store: Arc<Scripted>,
    writer: Writer,
    metrics: Arc<Metrics>,
    clock: Arc<Hand>,
    stopping: CancellationToken,
    _stop: DropGuard,
    _folder: TempDir,
}

impl Log {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        Self::start(limits, MAX_STALENESS, &access_config(&[]))
    }

    fn with_max_staleness(max_staleness: Duration) -> Self {
        Self::start(LIMITS, max_staleness, &access_config(&[]))
    }

    /// Starts a log with these configuration keys set.
    fn configured(settings: &[(&str, &str)]) -> Self {
        Self::start(LIMITS, MAX_STALENESS, &access_config(settings))
    }

    fn start(limits: Limits, max_staleness: Duration, access: &AccessConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = Arc::new(Keys::open(folder.path(), NOW).unwrap());
        let key = std::fs::read_to_string(folder.path().join("admin.key")).unwrap().trim().to_owned();
        let metrics = Arc::new(Metrics::new());
        let (writer, trimmer) = start_writer(&folder, &metrics);
        let stop = CancellationToken::new();
        let start = |name: &str, store: &Arc<Scripted>| {
            let options = shipper_options(&folder, name, &metrics);
            let store = Arc::clone(store) as Arc<dyn EventSink>;
            Shipper::start(options, store, writer.clone(), &trimmer, Arc::new(Fixed), stop.clone()).unwrap().0
        };
        let store = Arc::new(Scripted::default());
        let (main, copy) = (start("main", &store), start("copy", &Arc::default()));
        let intake = intake(&folder);
        let (clock, stopping) = (Arc::new(Hand::default()), stop.child_token());
        let access = Arc::new(Access::new(access, Arc::clone(&keys)).unwrap());
        let rejected = RejectedEvents::start(
            folder.path(),
            1 << 20,
            Arc::clone(intake.registry()),
            Arc::clone(&clock) as Arc<dyn Clock>,
            metrics.intake.clone(),
        );
        let rejected = Arc::new(rejected.unwrap());
        let ingest = Ingest::new(intake, Some(writer.clone()), metrics.intake.clone());
        let ingest = Arc::new(ingest.recording_rejected(Arc::clone(&rejected)));
        let audit = Audit::start(Arc::clone(&ingest), metrics.audit.clone());
        let memory = Arc::new(Memory::of(512 << 20, limits.max_batch_bytes));
        let reader = Reader::new(
            Arc::clone(&store) as Arc<dyn EventIndex>,
            main.confirmations(),
            Arc::clone(&access),
            audit.clone(),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&memory),
            read::Limits {
                queries_per_caller: 8,
                exports_per_caller: 8,
                tails_per_caller: 64,
                max_staleness,
                step_timeout: limits.request_timeout,
            },
        );
        let services = Services {
            reader: Arc::new(reader),
            rejected: Arc::clone(&rejected),
            audit,
            proxies: Proxies::default(),
            ingest,
            writer: writer.clone(),
            stores: vec![("main".to_owned(), main), ("copy".to_owned(), copy)],
            access,
            metrics: Arc::clone(&metrics),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            limits,
            memory: Arc::clone(&memory),
            stopping: stopping.clone(),
        };
        let _stop = stop.drop_guard();
        Self {
            router: router(services),
            memory,
            rejected,
            key,
            keys,
            store,
            writer,
            metrics,
            clock,
            stopping,
            _stop,
            _folder: folder,
        }
    }

    /// Builds a request with the admin's key.
    fn request(&self, method: &str, path: &str) -> request::Builder {
        request_with(&self.key, method, path)
    }

    /// Creates a key with these grants.
    fn new_key(&self, name: &str, grants: &[GrantText]) -> String {
        let admin = Principal { name: "admin".to_owned(), realm: Realm::ApiKey, grants: vec![Grant::admin()] };
        let grants = grants.iter().map(|grant| Grant::read(grant).unwrap()).collect();
        let new = NewKey { name: name.to_owned(), grants, expires: None };
        self.keys.create(new, &admin, NOW, |_| Ok::<_, crate::access::ChangeError>(())).unwrap().1.expose().to_owned()
    }

    /// Waits until both stores are set up.
    async fn await_ready(&self) {
        let ready = async {
            while self.get("/readyz").await.json()["status"] != "ready" {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(100), ready).await.unwrap();
    }

    /// Waits until everything that was rejected is recorded.
    async fn await_rejected(&self) {
        let rejected = Arc::clone(&self.rejected);
        assert!(tokio::task::spawn_blocking(move || rejected.flush(Duration::from_secs(100))).await.unwrap());
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    async fn put(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(self.request("PUT", path).body(body.into()).unwrap()).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send(self.request("POST", path).body(body.into()).unwrap()).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        // Endless answers are not read.
        let is_endless = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
        let body = if is_endless { Bytes::new() } else { to_bytes(body, usize::MAX).await.unwrap() };
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

fn request_with(key: &str, method: &str, path: &str) -> request::Builder {
    Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("ApiKey {key}"))
}

fn grant(role: Role, spaces: &[&str], providers: &[&str]) -> GrantText {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    GrantText { role, spaces: texts(spaces), providers: texts(providers) }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks the members of an error answer; returns the message.
    fn error(&self) -> String {
        let body = self.json();
        let mut fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["error", "message", "statusCode"], "{body}");
        assert_eq!(body["statusCode"], self.status.as_u16());
        assert_eq!(body["error"], self.status.canonical_reason().unwrap());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert!(self.header("annals-error").is_some());
        body["message"].as_str().unwrap().to_owned()
    }
}

/// Returns the access configuration with these keys set.
fn access_config(settings: &[(&str, &str)]) -> AccessConfig {
    let flag = |(key, value): &(&str, &str)| Flag {
        name: "--set".to_owned(),
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    };
    // A recorded find adds an event, so tests have to request that.
    let quiet = ("access.log_finds", "false");
    let flags = [&quiet].into_iter().chain(settings).map(flag).collect();
    let sources = Sources { flags, ..Sources::default() };
    Config::load(&sources).unwrap().access
}

fn intake(folder: &TempDir) -> Intake {
    let limits = intake::Limits { max_batch_events: 1000, ..intake::Limits::default() };
    let registry = Registry::open(folder.path().join("providers.json"), limits).unwrap();
    let registration = Registration { actions: vec!["run".to_owned()], ..Registration::default() };
    registry.register("app", None, registration, |_| Ok::<_, crate::intake::RegisterError>(())).unwrap();
    let (own, registration) = audit::registration();
    registry.add_fixed(&own, registration).unwrap();
    Intake::new(
        Arc::new(registry),
        limits,
        Arc::new(Fixed),
        &crate::intake::Source {
            node: "node-1".to_owned(),
            server_uuid: "00000000-0000-4000-8000-000000000000".to_owned(),
            version: "1.2.3".to_owned(),
        },
    )
}

fn start_writer(folder: &TempDir, metrics: &Metrics) -> (Writer, Arc<Trimmer>) {
    let data = DataFolder::open(&folder.path().join("data")).unwrap();
    let identity = Identity::open(&data, None, NOW).unwrap();
    let options = writer::Options {
        journal: journal::Options { max_bytes: 1 << 24, segment_bytes: 1 << 20 },
        overflow: writer::Overflow::Reject,
        epoch_ms: 86_400_000,
        chaining: true,
        max_clock_jump: std::time::Duration::from_secs(3_600),
        recent: crate::writer::RecentOptions { window_ms: 600_000, capacity: 1_000 },
    };
    let recovering = Recovering::open(&data, identity, Arc::new(Fixed), options).unwrap();
    let trimmer = Trimmer::new(recovering.journal(), 2);
    (recovering.start(metrics.journal.clone()).unwrap().0, trimmer)
}

fn shipper_options(folder: &TempDir, name: &str, metrics: &Metrics) -> ship::Options {
    ship::Options {
        name: name.to_owned(),
        progress_file: folder.path().join(format!("{name}.json")),
        dead_letter_file: folder.path().join(format!("{name}.dead-letters.jsonl")),
        streams: vec![Stream::general()],
        own_chains: Vec::new(),
        bulk_bytes: 1 << 20,
        concurrency: 2,
        metrics: metrics.store(name),
    }
}

struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> UnixMillis {
        NOW
    }
}

/// A clock that stands at [`NOW`] until it is advanced.
#[derive(Default)]
struct Hand(AtomicI64);

impl Hand {
    fn pass(&self, millis: i64) {
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> UnixMillis {
        UnixMillis(NOW.0 + self.0.load(Ordering::Relaxed))
    }
}

/// A store that returns scripted answers, otherwise answers from memory, and records the queries.
#[derive(Default)]
struct Scripted {
    memory: MemoryStore,
    /// Every query fails with this.
    away: Mutex<Option<StoreError>>,
    asked: Mutex<Vec<Query>>,
    answers: Mutex<VecDeque<Result<Page, IndexError>>>,
    fails: Mutex<Option<SinkError>>,
    refuses: Mutex<Option<String>>,
    appended: Mutex<Vec<Value>>,
    replaced: Mutex<Option<Result<Outcome, SinkError>>>,
    /// A scan fails, or hangs, after this many batches.
    scan_fails_after: Mutex<Option<(usize, IndexError)>>,
    scan_waits_after: Mutex<Option<usize>>,
    closed_scans: Arc<AtomicUsize>,
    refreshes: AtomicUsize,
}

impl Scripted {
    /// Every query fails with this error from now on, until it is called with `None`.
    fn be_away(&self, error: Option<StoreError>) {
        *self.away.lock().unwrap() = error;
    }

    fn is_there(&self) -> Result<(), StoreError> {
        self.away.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    /// Queues the answer to a find.
    fn answer(&self, answer: Result<Page, IndexError>) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// Every append fails from now on.
    fn fail_appends(&self, error: SinkError) {
        *self.fails.lock().unwrap() = Some(error);
    }

    /// The next append refuses its events permanently; their stubs are then accepted.
    fn refuse_next(&self, reason: &str) {
        *self.refuses.lock().unwrap() = Some(reason.to_owned());
    }

    /// Sets the outcome of every replayed dead letter.
    fn replace_becomes(&self, outcome: Result<Outcome, SinkError>) {
        *self.replaced.lock().unwrap() = Some(outcome);
    }

    /// Waits for `count` of the log's own audit events, and returns them.
    async fn own_events(&self, count: usize) -> Vec<Value> {
        let found = async {
            loop {
                let appended = self.appended.lock().unwrap().clone();
                let own: Vec<_> = appended.into_iter().filter(|event| event["event"]["provider"] == "annals").collect();
                if own.len() >= count {
                    break own;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), found).await.unwrap()
    }

    fn asked(&self) -> Vec<Query> {
        self.asked.lock().unwrap().drain(..).collect()
    }
}

#[async_trait]
impl EventSink for Scripted {
    async fn setup(&self, _: &[Stream]) -> Result<(), SinkError> {
        Ok(self.is_there()?)
    }

    async fn identity(&self) -> Result<StoreId, SinkError> {
        self.memory.identity().await
    }

    async fn holds(&self, positions: &[(Target, ChainPosition)]) -> Result<Vec<bool>, SinkError> {
        self.memory.holds(positions).await
    }

    async fn target(&self, _: &Stream) -> Result<Target, SinkError> {
        Ok(Target(String::new()))
    }

    async fn append(&self, target: &Target, events: &[SealedEvent]) -> Result<Vec<Outcome>, SinkError> {
        if let Some(error) = self.fails.lock().unwrap().clone() {
            return Err(error);
        }
        let documents = events.iter().map(|event| serde_json::from_slice(&event.document).unwrap());
        self.appended.lock().unwrap().extend(documents);
        let refused = self.refuses.lock().unwrap().take();
        match refused {
            Some(reason) => Ok(vec![Outcome::Rejected { reason }; events.len()]),
            None => self.memory.append(target, events).await,
        }
    }

    async fn replace(&self, _: &Target, _: &SealedEvent) -> Result<Outcome, SinkError> {
        self.replaced.lock().unwrap().clone().unwrap_or(Ok(Outcome::Stored))
    }

    async fn head(&self, chain: ChainId) -> Result<Option<ChainHead>, SinkError> {
        self.is_there()?;
        self.memory.head(chain).await
    }

    async fn chains_of(&self, writer: &str) -> Result<Vec<ChainId>, SinkError> {
        self.is_there()?;
        self.memory.chains_of(writer).await
    }

    async fn maintain(&self, _: &[Stream]) -> Result<(), SinkError> {
        Ok(())
    }
}

#[async_trait]
impl EventIndex for Scripted {
    async fn refresh(&self) -> Result<(), IndexError> {
        self.refreshes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn find(&self, query: &ScopedQuery) -> Result<Page, IndexError> {
        self.asked.lock().unwrap().push(query.query().clone());
        let told = self.answers.lock().unwrap().pop_front();
        match told {
            Some(answer) => answer,
            None => {
                self.is_there()?;
                self.memory.find(query).await
            }
        }
    }

    async fn aggregate(&self, query: &ScopedQuery, aggregation: &Aggregation) -> Result<Aggregate, IndexError> {
        self.is_there()?;
        self.memory.aggregate(query, aggregation).await
    }

    async fn scan(&self, query: &ScopedQuery) -> Result<Box<dyn Scan>, IndexError> {
        self.is_there()?;
        Ok(Box::new(ScriptedScan {
            scan: self.memory.scan(query).await?,
            batches: 0,
            fails_after: self.scan_fails_after.lock().unwrap().clone(),
            waits_after: *self.scan_waits_after.lock().unwrap(),
            closed: Arc::clone(&self.closed_scans),
        }))
    }

    async fn at_positions(
        &self,
        chain: ChainId,
        range: RangeInclusive<Sequence>,
        bytes: usize,
    ) -> Result<Vec<ChainDocument>, IndexError> {
        self.is_there()?;
        self.memory.at_positions(chain, range, bytes).await
    }

    async fn first(&self, chain: ChainId, from: Sequence) -> Result<Option<ChainEntry>, IndexError> {
        self.is_there()?;
        self.memory.first(chain, from).await
    }

    async fn chains(&self) -> Result<Vec<ChainEntry>, IndexError> {
        self.is_there()?;
        self.memory.chains().await
    }

    async fn reach(&self, chain: ChainId, from: Sequence) -> Result<Option<Sequence>, IndexError> {
        self.is_there()?;
        self.memory.reach(chain, from).await
    }
}

struct ScriptedScan {
    scan: Box<dyn Scan>,
    batches: usize,
    fails_after: Option<(usize, IndexError)>,
    waits_after: Option<usize>,
    closed: Arc<AtomicUsize>,
}

#[async_trait]
impl Scan for ScriptedScan {
    async fn next(&mut self, limit: u64) -> Result<Vec<Bytes>, IndexError> {
        if self.waits_after.is_some_and(|batches| self.batches >= batches) {
            std::future::pending::<()>().await;
        }
        if let Some((batches, error)) = &self.fails_after
            && self.batches >= *batches
        {
            return Err(error.clone());
        }
        self.batches += 1;
        self.scan.next(limit).await
    }

    async fn close(self: Box<Self>) {
        self.scan.close().await;
        self.closed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls until a condition holds.
async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(1000), wait).await.unwrap();
}

/// Whether the metrics count one streamed answer of this kind with this end.
fn ended(log: &Log, kind: &str, end: &str) -> bool {
    log.metrics.render().unwrap().contains(&format!("annals_http_streams_total{{kind=\"{kind}\",end=\"{end}\"}} 1"))
}
