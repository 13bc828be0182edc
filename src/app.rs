//! The composition root: from the configuration to a running service and its orderly shutdown.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Access, AccessError, Keys, KeysError},
    audit::{self, Audit},
    config::{self, Config},
    http,
    identity::{DataFolder, DataFolderError, Identity},
    ingest::Ingest,
    intake::{Intake, Limits, RegisterError, Registration, Registry, RegistryError, Source},
    integrity::ChainError,
    journal,
    memory_budget::Memory,
    metrics::Metrics,
    own_fields::{self, RecordError},
    policy,
    read::{self, Reader},
    rejected::RejectedEvents,
    reserved::LIFECYCLE_PROVIDER,
    schema::{self, AlreadyRead},
    server_file::{ServerAddress, ServerFile},
    ship::{self, Shipper, ShipperTask, StartError, Trimmer},
    store::{self, EventIndex, EventSink, IndexError, Misfiled, Store},
    time::{Clock, SystemClock},
    writer::{self, Findings, OpenError, OwnChain, Recovering, Writer, WriterThread},
};

/// How often certificates are checked for renewal.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(5);
/// How often summary reports of failed attempts are logged.
const ATTEMPTS_INTERVAL: Duration = Duration::from_secs(60);
const MAX_CONNECTIONS: usize = 1024;
/// Number of open files per connection; the rest are for the journal and the stores.
const FILES_FOR_CONNECTION: u64 = 2;
/// Maximum time for a client to send its first head, to be idle before the next, and to read a part of its answer.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const CLIENT_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of concurrent queries of one caller to a store on a server of its own.
const QUERIES_PER_CALLER: u32 = 4;

const STARTING: &str = "starting";
const STOPPING: &str = "stopping";

/// Why the service did not run.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    DataFolder(#[from] DataFolderError),
    #[error(transparent)]
    OwnFields(#[from] RecordError),
    #[error(transparent)]
    Schema(#[from] AlreadyRead),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("the configured provider {provider} cannot be registered")]
    Provider { provider: String, source: RegisterError },
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Tls(#[from] http::TlsError),
    #[error("the seal secret in {} does not fit the log in {}", secret_file.display(), data_dir.display())]
    SealSecret { secret_file: PathBuf, data_dir: PathBuf, source: OpenError },
    #[error("the log in {} cannot be resumed", data_dir.display())]
    Writer { data_dir: PathBuf, source: OpenError },
    #[error("the store {store} cannot be opened")]
    Store { store: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("shipping to the store {store} cannot start")]
    Shipper { store: String, source: StartError },
    #[error(
        "a part of the service failed unexpectedly; the service was stopped in order, and nothing acknowledged is lost"
    )]
    Failed,
    #[error("the operating system refuses a thread or a signal handler")]
    System(#[from] io::Error),
}

/// Runs the service until it receives a signal to stop.
pub async fn serve(config: Config) -> Result<(), AppError> {
    schema::install(config.own_fields.clone())?;
    let mut stop = StopSignals::new()?;
    let address = config.server.listen;
    let listen = |source| AppError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let tls = open_tls(&config)?;
    let service = Service::start(&config).await?;
    if !config.events.are_kept() {
        let config::Events { enabled, keep, .. } = &config.events;
        tracing::warn!(enabled, keep, "events are not kept, as configured: they are answered with not_kept");
    }
    service.log_own_event(STARTING).await;
    let server = &config.server;
    let files = raise_file_limit();
    let here = ServerAddress::new(address, server.tls.cert_file.as_deref());
    // Commands can do without it, and on a full disk it cannot be written.
    let listening = ServerFile::create(&config.data_dir, &here).inspect_err(
        |error| tracing::warn!(%error, "commands will not find this server: server.json cannot be written"),
    );
    tracing::info!(%address, tls = tls.is_some(), data_dir = %config.data_dir.display(), "accepting events");
    if service.is_first_start {
        tracing::info!("try it: {}", first_commands(&config.data_dir, &here));
    }
    let memory = Arc::new(Memory::of(server.memory_limit.as_usize(), server.max_batch_bytes.as_usize()));
    let connections = http::Connections {
        max: most_connections(files).min(memory.connections / http::MAX_HEAD),
        first_head_timeout: FIRST_HEAD_TIMEOUT,
        header_timeout: CLIENT_TIMEOUT,
        write_timeout: CLIENT_TIMEOUT,
        drain: server.shutdown_timeout,
    };
    let per_address = http::PerAddress {
        most: server.connections_per_address,
        exempt: server.trusted_proxies.clone(),
        refused: service.metrics.http.refused_connections.clone(),
    };
    let stopping = CancellationToken::new();
    let router = http::router(service.services(&config, memory, stopping.clone()));
    if let Some(tls) = tls.clone() {
        let shutdown = service.shutdown.clone();
        tokio::spawn(async move { shutdown.run_until_cancelled(tls.watch(CERTIFICATE_INTERVAL)).await });
    }
    let failed = service.writer.failed().clone();
    let has_failed = failed.clone();
    let stopped = async move {
        tokio::select! {
            () = stop.received() => {}
            () = has_failed.cancelled() => {}
        }
        // While the address is still ours.
        drop(listening);
        stopping.cancel();
    };
    http::serve(listener, tls, router, stopped, connections, per_address).await;
    tracing::info!("stopping");
    let last = service.access.last_failed_attempts();
    for attempts in last {
        service.audit.failed_attempts(attempts);
    }
    service.audit.close(server.shutdown_timeout).await;
    service.log_own_event(STOPPING).await;
    service.stop(server.shutdown_timeout).await;
    tracing::info!("stopped");
    if failed.is_cancelled() { Err(AppError::Failed) } else { Ok(()) }
}

/// Raises the limit of open files to the maximum allowed to the process, and returns it. The default of most systems
/// suits programs that still keep files in a bit set.
fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { raised.current } else { limit.current };
    tracing::debug!(files = current, "limit of open files");
    current
}

fn most_connections(files: Option<u64>) -> usize {
    let most = files.and_then(|files| usize::try_from(files / FILES_FOR_CONNECTION).ok());
    most.unwrap_or(usize::MAX).min(MAX_CONNECTIONS)
}

/// Half of the queries that the queried store runs at once, so that no caller occupies it alone.
fn queries_per_caller(config: &Config) -> u32 {
    match config.stores.get(&config.query.store) {
        Some(config::Store::Sqlite(sqlite)) => sqlite.concurrent_queries.get().div_ceil(2),
        Some(config::Store::Elasticsearch(_) | config::Store::Postgres(_)) | None => QUERIES_PER_CALLER,
    }
}

/// Prepares the data folder and every store, and reports the progress of each.
pub async fn setup(config: Config) -> Result<(), AppError> {
    schema::install(config.own_fields.clone())?;
    let folder = DataFolder::open(&config.data_dir)?;
    own_fields::record(folder.path(own_fields::RECORD), &config.own_fields)?;
    let clock = SystemClock;
    Identity::open(&folder, config.seal.secret_file.as_deref(), clock.now())?;
    Keys::open(&config.data_dir, clock.now())?;
    for (name, store) in open_stores(&config)? {
        store
            .setup(&policy::streams())
            .await
            .map_err(|source| AppError::Store { store: name.clone(), source: source.into() })?;
        tracing::info!(store = name, "the store is set up");
    }
    Ok(())
}

/// How many bytes of documents are compared at once.
const CHECKED_BYTES: usize = 4 << 20;

/// Stores that are opened without being set up, to compare what they find events by with the events.
pub struct StoresToCheck(Vec<NamedStore>);

/// The result for one store.
pub struct StoreCheck {
    pub store: String,
    pub differences: u64,
    pub outcome: Result<Checked, IndexError>,
}

pub enum Checked {
    Documents(u64),
    /// The store keeps nothing beside its documents that could differ from them.
    NothingBeside,
}

impl StoresToCheck {
    /// All stores, or only this one.
    pub fn open(config: &Config, only: Option<&str>) -> Result<Self, AppError> {
        schema::install(config.own_fields.clone())?;
        let mut stores = open_stores(config)?;
        stores.retain(|(name, _)| only.is_none_or(|only| only == name));
        Ok(Self(stores))
    }

    /// Passes on each difference with the store's name, until that fails.
    pub async fn check<E>(
        self,
        mut pass_on: impl FnMut(&str, &Misfiled) -> Result<(), E>,
    ) -> Result<Vec<StoreCheck>, E> {
        let mut checks = Vec::new();
        for (name, store) in self.0 {
            checks.push(check_store(name, store.as_ref(), &mut pass_on).await?);
        }
        Ok(checks)
    }
}

async fn check_store<E>(
    name: String,
    store: &dyn Store,
    mut pass_on: impl FnMut(&str, &Misfiled) -> Result<(), E>,
) -> Result<StoreCheck, E> {
    let (mut documents, mut differences, mut from) = (0, 0, None);
    let outcome = loop {
        let part = match store.misfiled(from, CHECKED_BYTES).await {
            Ok(Some(part)) => part,
            Ok(None) => break Ok(Checked::NothingBeside),
            Err(error) => break Err(error),
        };
        documents += part.documents;
        differences += part.misfiled.len() as u64;
        part.misfiled.iter().try_for_each(|misfiled| pass_on(&name, misfiled))?;
        match part.next {
            Some(next) => from = Some(next),
            None => break Ok(Checked::Documents(documents)),
        }
    };
    Ok(StoreCheck { store: name, differences, outcome })
}

/// Everything that runs besides the HTTP server.
struct Service {
    folder: DataFolder,
    ingest: Arc<Ingest>,
    rejected: Arc<RejectedEvents>,
    access: Arc<Access>,
    audit: Audit,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    writer: Writer,
    writer_thread: WriterThread,
    shippers: Vec<RunningShipper>,
    shutdown: CancellationToken,
    is_first_start: bool,
}

struct RunningShipper {
    name: String,
    store: Arc<dyn Store>,
    shipper: Shipper,
    task: ShipperTask,
}

impl Service {
    async fn start(config: &Config) -> Result<Self, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = DataFolder::open(&config.data_dir)?;
        own_fields::record(folder.path(own_fields::RECORD), &config.own_fields)?;
        let is_first_start = !folder.has_writer();
        let identity = Identity::open(&folder, config.seal.secret_file.as_deref(), clock.now())?;
        let keys = Arc::new(Keys::open(&config.data_dir, clock.now())?);
        let access = Arc::new(Access::new(&config.access, keys)?);
        let metrics = Arc::new(Metrics::new());
        let intake = open_intake(config, &folder, &identity.writer, Arc::clone(&clock))?;

        let mut recovering = Recovering::open(&folder, identity, Arc::clone(&clock), writer_options(config))
            .map_err(|source| writer_error(config, &folder, source))?;
        report_findings(&recovering.findings);
        let stores = open_stores(config)?;
        let own = recovering.own_chains();
        let sinks: Vec<_> =
            stores.iter().map(|(name, store)| (name.clone(), Arc::clone(store) as Arc<dyn EventSink>)).collect();
        ship::reconcile_chains(&mut recovering, &own, &sinks)
            .await
            .map_err(|source| writer_error(config, &folder, source))?;
        switch_chaining(&mut recovering, config).map_err(|source| writer_error(config, &folder, source))?;
        let trimmer = Trimmer::new(recovering.journal(), stores.len());
        let (writer, writer_thread) =
            recovering.start(metrics.journal.clone()).map_err(|source| writer_error(config, &folder, source))?;
        let kept_by = config.events.are_kept().then(|| writer.clone());
        let rejected = Arc::new(RejectedEvents::start(
            &config.data_dir,
            config.events.rejected_bytes.as_u64(),
            Arc::clone(intake.registry()),
            Arc::clone(&clock),
            metrics.intake.clone(),
        )?);
        let ingest = Ingest::new(intake, kept_by, metrics.intake.clone()).recording_rejected(Arc::clone(&rejected));
        let ingest = Arc::new(ingest);
        let audit = Audit::start(Arc::clone(&ingest), metrics.audit.clone());

        let shutdown = CancellationToken::new();
        tokio::spawn(audit_failed_attempts(Arc::clone(&access), audit.clone(), shutdown.clone()));
        let mut shippers = Vec::new();
        for (name, store) in stores {
            let options = shipper_options(config, &folder, &name, &own, &metrics);
            let (shipper, task) = Shipper::start(
                options,
                Arc::clone(&store) as Arc<dyn EventSink>,
                writer.clone(),
                &trimmer,
                Arc::clone(&clock),
                shutdown.clone(),
            )
            .map_err(|source| AppError::Shipper { store: name.clone(), source })?;
            shippers.push(RunningShipper { name, store, shipper, task });
        }
        Ok(Self {
            folder,
            ingest,
            rejected,
            access,
            audit,
            metrics,
            clock,
            writer,
            writer_thread,
            shippers,
            shutdown,
            is_first_start,
        })
    }

    fn services(&self, config: &Config, memory: Arc<Memory>, stopping: CancellationToken) -> http::Services {
        let server = &config.server;
        http::Services {
            ingest: Arc::clone(&self.ingest),
            writer: self.writer.clone(),
            stores: self.shippers.iter().map(|running| (running.name.clone(), running.shipper.clone())).collect(),
            access: Arc::clone(&self.access),
            audit: self.audit.clone(),
            proxies: http::Proxies {
                trusted: server.trusted_proxies.clone(),
                header: match server.proxy_header {
                    config::ProxyHeader::XForwardedFor => http::ForwardHeader::XForwardedFor,
                    config::ProxyHeader::Forwarded => http::ForwardHeader::Forwarded,
                },
            },
            metrics: Arc::clone(&self.metrics),
            clock: Arc::clone(&self.clock),
            limits: http::Limits {
                max_batch_bytes: server.max_batch_bytes.as_usize(),
                body_pace: http::BodyPace::DEFAULT,
                request_timeout: server.request_timeout,
            },
            memory: Arc::clone(&memory),
            reader: self.reader(config, memory),
            rejected: Arc::clone(&self.rejected),
            stopping,
        }
    }

    fn reader(&self, config: &Config, memory: Arc<Memory>) -> Arc<Reader> {
        let server = &config.server;
        let queried = self.shippers.iter().find(|running| running.name == config.query.store);
        let Some(queried) = queried.or(self.shippers.first()) else {
            unreachable!("a configuration has at least one store")
        };
        let limits = read::Limits {
            queries_per_caller: queries_per_caller(config),
            exports_per_caller: server.exports_per_caller,
            tails_per_caller: server.tails_per_caller,
            max_staleness: config.query.max_staleness,
            step_timeout: server.request_timeout,
        };
        Arc::new(Reader::new(
            Arc::clone(&queried.store) as Arc<dyn EventIndex>,
            queried.shipper.confirmations(),
            Arc::clone(&self.access),
            self.audit.clone(),
            Arc::clone(&self.clock),
            memory,
            limits,
        ))
    }

    /// Logs an event of the log's own; if that fails, the reason goes to the program's log.
    async fn log_own_event(&self, action: &str) {
        let message = format!("event log {action}");
        let event = json!({"event": {"provider": LIFECYCLE_PROVIDER, "action": action}, "message": message});
        if let Err(error) = self.ingest.log_own(None, event.to_string().as_bytes()).await {
            tracing::warn!(action, %error, "the log's own event could not be logged");
        }
    }

    /// Everything acknowledged is already on disk; the stores get a while to catch up.
    async fn stop(self, limit: Duration) {
        self.writer.close();
        let rejected = Arc::clone(&self.rejected);
        if !tokio::task::spawn_blocking(move || rejected.flush(limit)).await.unwrap_or(false) {
            tracing::warn!("not all rejected events are recorded");
        }
        if tokio::task::spawn_blocking(|| self.writer_thread.join()).await.is_err() {
            tracing::error!("waiting for the committer failed");
        }
        let drained = join_all(self.shippers.iter().map(|running| running.shipper.drain(limit))).await;
        for (running, drained) in self.shippers.iter().zip(drained) {
            if !drained {
                let events = running.shipper.progress().behind_events;
                tracing::warn!(
                    store = running.name,
                    events,
                    "the store does not have everything; the rest stays in the journal"
                );
            }
        }
        self.shutdown.cancel();
        for running in self.shippers {
            running.task.join().await;
        }
        drop(self.folder);
    }
}

/// Periodically logs the failed attempts that were not reported one by one.
async fn audit_failed_attempts(access: Arc<Access>, audit: Audit, shutdown: CancellationToken) {
    let mut turns = tokio::time::interval(ATTEMPTS_INTERVAL);
    while shutdown.run_until_cancelled(turns.tick()).await.is_some() {
        for attempts in access.failed_attempts() {
            audit.failed_attempts(attempts);
        }
    }
}

fn report_findings(Findings { cut, damage, lost_events, is_unclosed }: &Findings) {
    if *is_unclosed {
        tracing::info!("the last run did not end in order");
    }
    if *cut > 0 {
        tracing::warn!(bytes = cut, "the journal ended in bytes that are no whole record; they were cut off");
    }
    for damage in damage {
        tracing::error!(%damage, "a part of the journal is gone; the stores tell whether they have its events");
    }
    if *lost_events > 0 {
        let at_least = if *is_unclosed { "at least " } else { "" };
        tracing::error!(
            lost_events,
            "{at_least}{lost_events} acknowledged events are missing from the journal; the stores tell whether they have them"
        );
    }
}

/// Names the seal secret if it is at fault: it may have been recreated because its file was lost.
fn writer_error(config: &Config, folder: &DataFolder, source: OpenError) -> AppError {
    let data_dir = config.data_dir.clone();
    if matches!(source, OpenError::Chain(ChainError::WrongSecret { .. })) {
        let secret_file = folder.seal_secret(config.seal.secret_file.as_deref());
        return AppError::SealSecret { secret_file, data_dir, source };
    }
    AppError::Writer { data_dir, source }
}

/// `None` for plain HTTP.
fn open_tls(config: &Config) -> Result<Option<Arc<http::Tls>>, AppError> {
    let files = &config.server.tls;
    let both = files.cert_file.as_ref().zip(files.key_file.as_ref());
    Ok(both.map(|(cert, key)| http::Tls::open(cert, key)).transpose()?.map(Arc::new))
}

/// Commands for a first user to try in another terminal, in the same folder.
fn first_commands(data_dir: &Path, here: &ServerAddress) -> String {
    let mut server = String::new();
    if data_dir != Path::new("annals-data") {
        server = format!(" --data-dir {}", data_dir.display());
    }
    if !here.is_private() {
        server += &format!(" --key-file {}", data_dir.join("admin.key").display());
    }
    let event = "--register --provider demo --action try --object demo:1 --message hello --wait-for stored";
    format!("annals log{server} {event} && annals find{server} demo 1")
}

fn open_intake(
    config: &Config,
    folder: &DataFolder,
    server_uuid: &str,
    clock: Arc<dyn Clock>,
) -> Result<Intake, AppError> {
    let server = &config.server;
    let limits = Limits {
        max_event_bytes: server.max_event_bytes.as_usize(),
        max_batch_events: server.max_batch_events,
        max_depth: server.max_depth,
        max_array_length: server.max_array_length,
        on_bad_text: config.events.on_bad_text,
    };
    let registry = Registry::open(folder.path("providers.json"), limits)?;
    let own = Registration { actions: vec![STARTING.to_owned(), STOPPING.to_owned()], ..Registration::default() };
    let own = (LIFECYCLE_PROVIDER.to_owned(), own);
    for (provider, registration) in config.providers.clone().into_iter().chain([own, audit::registration()]) {
        registry
            .add_fixed(&provider, registration)
            .map_err(|source| AppError::Provider { provider: provider.clone(), source })?;
    }
    let source = Source {
        node: config.node.name.clone(),
        server_uuid: server_uuid.to_owned(),
        version: config.writer.version.clone(),
    };
    let intake = Intake::new(Arc::new(registry), limits, clock, &source);
    let intake = intake.with_unknown_fields(config.events.unknown_fields);
    Ok(if config.log.events && config.events.enabled { intake.logging_events() } else { intake })
}

fn writer_options(config: &Config) -> writer::Options {
    // A journal is trimmed by whole segments.
    let segment_bytes = config.journal.segment_bytes.as_u64().min(config.journal.max_bytes.as_u64() / 8);
    writer::Options {
        journal: journal::Options { max_bytes: config.journal.max_bytes.as_u64(), segment_bytes },
        overflow: match config.journal.overflow {
            config::Overflow::Reject => writer::Overflow::Reject,
            config::Overflow::Drop => writer::Overflow::Drop,
        },
        epoch_ms: u64::try_from(config.seal.epoch.as_millis()).unwrap_or(u64::MAX),
        chaining: config.seal.chaining,
        max_clock_jump: config.writer.max_clock_jump,
        recent: writer::RecentOptions::new(config.events.repeat_window, config.events.repeat_count, segment_bytes),
    }
}

fn shipper_options(
    config: &Config,
    folder: &DataFolder,
    name: &str,
    own: &[OwnChain],
    metrics: &Metrics,
) -> ship::Options {
    let requests = config.stores.get(name).map(config::Store::append_requests).unwrap_or_default();
    ship::Options {
        name: name.to_owned(),
        progress_file: folder.path(&format!("store-{name}.json")),
        dead_letter_file: folder.path(&format!("store-{name}.dead-letters.jsonl")),
        streams: policy::streams(),
        own_chains: own.iter().map(|own| (own.chain, own.next)).collect(),
        bulk_bytes: requests.bytes,
        concurrency: requests.concurrency,
        metrics: metrics.store(name),
    }
}

type NamedStore = (String, Arc<dyn Store>);

fn open_stores(config: &Config) -> Result<Vec<NamedStore>, AppError> {
    let open = |(name, store): (&String, &config::Store)| match store::open(store) {
        Ok(store) => Ok((name.clone(), store)),
        Err(source) => Err(AppError::Store { store: name.clone(), source }),
    };
    config.stores.iter().map(open).collect()
}

/// Opens new chains for those whose sealing differs from the configuration.
fn switch_chaining(recovering: &mut Recovering, config: &Config) -> Result<(), OpenError> {
    let sealed = config.seal.chaining;
    for chain in recovering.switch_chaining()? {
        tracing::warn!(%chain, sealed, "the chain is closed, as seal.chaining was changed; a new one follows it");
    }
    if !sealed {
        tracing::warn!("seal.chaining is off: events are only numbered, and changes to them cannot be detected");
    }
    Ok(())
}

/// SIGTERM and SIGINT, both of which shut the service down in order, and SIGHUP, which does not.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl StopSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn received(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => tracing::info!(
                    "SIGHUP: renewed certificates are used without it; other settings take effect at the next start"
                ),
            }
        }
    }
}
