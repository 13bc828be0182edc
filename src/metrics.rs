//! All metrics of the program, with all names and labels.
//!
//! Names are an interface: `annals_<noun>_<unit>[_total]`. Labels have few values, never an id, a path or a caller's
//! text. The handles are cheap to clone and to update; they never block.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of one running instance.
pub struct Metrics {
    registry: Registry,
    pub http: HttpMetrics,
    pub audit: AuditMetrics,
    pub intake: IntakeMetrics,
    pub journal: JournalMetrics,
    stores: StoreFamilies,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("annals");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running version", build);
        Self {
            http: HttpMetrics::register(&mut registry),
            audit: AuditMetrics::register(&mut registry),
            intake: IntakeMetrics::register(&mut registry),
            journal: JournalMetrics::register(&mut registry),
            stores: StoreFamilies::register(&mut registry),
            registry,
        }
    }

    /// The metrics of one store, by its name in the configuration.
    pub fn store(&self, name: &str) -> StoreMetrics {
        self.stores.of(name)
    }

    /// The response to a scrape, in the OpenMetrics format.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Audit events.
#[derive(Clone)]
pub struct AuditMetrics {
    /// Times that audit events could not be logged.
    pub failures: Counter,
}

impl AuditMetrics {
    fn register(registry: &mut Registry) -> Self {
        let failures = Counter::default();
        registry.register("audit_failures", "Times that audit events could not be logged", failures.clone());
        Self { failures }
    }
}

/// Requests and their bodies.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabel, Histogram>,
    errors: Family<CodeLabel, Counter>,
    streams: Family<StreamLabels, Counter>,
    /// Connections closed because their client had reached its connection limit.
    pub refused_connections: Counter,
}

/// `route` is the pattern of a route, or `none`; never the path of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

/// `kind` is `export` or `tail`; `end` is `complete`, `client`, `store`, `access` or `shutdown`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    kind: &'static str,
    end: &'static str,
}

impl HttpMetrics {
    fn register(registry: &mut Registry) -> Self {
        let requests = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let seconds = Family::new_with_constructor(seconds_histogram as fn() -> Histogram);
        registry.register_with_unit(
            "http_request",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            seconds.clone(),
        );
        let errors = Family::default();
        registry.register("http_errors", "Error answers, by code", errors.clone());
        let streams = Family::default();
        registry.register("http_streams", "Finished exports and tails, by what ended them", streams.clone());
        let refused_connections = Counter::default();
        let help = "Connections that were closed because their address had too many";
        registry.register("http_refused_connections", help, refused_connections.clone());
        Self { requests, seconds, errors, streams, refused_connections }
    }

    /// Counts an answered request. `route` is a route's pattern or `none`.
    pub fn answered(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let route = route.to_owned();
        self.seconds.get_or_create(&RouteLabel { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// Counts the end of an export or a tail.
    pub fn streamed(&self, kind: &'static str, end: &'static str) {
        self.streams.get_or_create(&StreamLabels { kind, end }).inc();
    }

    /// Counts an error answer by its code.
    pub fn failed(&self, code: &'static str) {
        self.errors.get_or_create(&CodeLabel { code }).inc();
    }
}

/// Incoming events.
#[derive(Clone)]
pub struct IntakeMetrics {
    /// Bytes of event bodies, after decompression.
    pub bytes: Counter,
    pub accepted: Counter,
    pub filtered: Counter,
    pub rejected: Counter,
    /// Dropped because the journal was full and configured to drop.
    pub duplicate: Counter,
    pub dropped: Counter,
    /// Valid, but the log is configured to keep no events.
    pub not_kept: Counter,
    /// Rejected events and bodies.
    pub rejected_by_provider: ProviderCounters,
    /// Fields that the log does not know, of events that keep them.
    pub unmapped: ProviderCounters,
    /// Rejected events that were not written to the file of rejected events.
    pub unrecorded: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl IntakeMetrics {
    fn register(registry: &mut Registry) -> Self {
        let bytes = Counter::default();
        registry.register_with_unit(
            "intake_body",
            "Size of event bodies, after decompression",
            Unit::Bytes,
            bytes.clone(),
        );
        let events = Family::<OutcomeLabel, Counter>::default();
        registry.register("intake_events", "Events received, by outcome", events.clone());
        let outcome = |outcome| events.get_or_create_owned(&OutcomeLabel { outcome });
        let rejected_by_provider = ProviderCounters::default();
        let help = "Rejected events and bodies, by the registered provider that they name, or other";
        registry.register("intake_rejected", help, rejected_by_provider.family.clone());
        let unmapped = ProviderCounters::default();
        let help = "Unknown fields that events keep in annals.unmapped, by provider";
        registry.register("intake_unmapped_fields", help, unmapped.family.clone());
        let unrecorded = Counter::default();
        let help = "Rejected events and bodies that the file of rejected events lacks";
        registry.register("intake_unrecorded", help, unrecorded.clone());
        Self {
            rejected_by_provider,
            unmapped,
            unrecorded,
            bytes,
            accepted: outcome("accepted"),
            filtered: outcome("filtered"),
            rejected: outcome("rejected"),
            duplicate: outcome("duplicate"),
            dropped: outcome("dropped"),
            not_kept: outcome("not_kept"),
        }
    }
}

/// A counter for each of the first providers, and one for all others.
#[derive(Clone, Default)]
pub struct ProviderCounters {
    family: Family<ProviderLabel, Counter>,
    named: Arc<Mutex<HashSet<String>>>,
}

impl ProviderCounters {
    /// Maximum number of providers that are counted by name.
    pub const MOST: usize = 1_000;

    /// Of no particular provider, or of those beyond the first.
    const OTHER: &str = "other";

    pub fn of(&self, provider: Option<&str>) -> Counter {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = provider.filter(|provider| {
            named.contains(*provider) || named.len() < Self::MOST && named.insert((*provider).to_owned())
        });
        let provider = counted.unwrap_or(Self::OTHER).to_owned();
        self.family.get_or_create_owned(&ProviderLabel { provider })
    }
}

/// The journal; updated by the writer.
#[derive(Clone)]
pub struct JournalMetrics {
    /// Bytes that the journal takes now.
    pub used_bytes: Gauge,
    pub limit_bytes: Gauge,
    /// Acknowledged events that were missing at the start.
    pub lost_events: Gauge,
    pub appended_events: Counter,
    pub appended_bytes: Counter,
    /// Duration of a sync to disk.
    pub sync_seconds: Histogram,
}

impl JournalMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            used_bytes: Gauge::default(),
            limit_bytes: Gauge::default(),
            lost_events: Gauge::default(),
            appended_events: Counter::default(),
            appended_bytes: Counter::default(),
            sync_seconds: seconds_histogram(),
        };
        let used = metrics.used_bytes.clone();
        registry.register_with_unit("journal_used", "Size of the journal on disk", Unit::Bytes, used);
        let limit = metrics.limit_bytes.clone();
        registry.register_with_unit("journal_limit", "Maximum size of the journal", Unit::Bytes, limit);
        let lost = metrics.lost_events.clone();
        registry.register("journal_lost_events", "Acknowledged events that the journal had lost at the start", lost);
        let events = metrics.appended_events.clone();
        registry.register("journal_appended_events", "Events made durable", events);
        let bytes = metrics.appended_bytes.clone();
        registry.register_with_unit("journal_appended", "Size of the events made durable", Unit::Bytes, bytes);
        let sync = metrics.sync_seconds.clone();
        registry.register_with_unit("journal_sync", "Time of one sync to disk", Unit::Seconds, sync);
        metrics
    }
}

/// One store, as seen by its shipper.
#[derive(Clone)]
pub struct StoreMetrics {
    /// Outcomes of single events.
    pub stored: Counter,
    pub duplicate: Counter,
    pub conflict: Counter,
    /// Permanently refused: each became a dead letter.
    pub rejected: Counter,
    /// Refused for now, and retried.
    pub retried: Counter,
    /// Appends that were answered, and those that failed as a whole.
    pub requests_answered: Counter,
    pub requests_failed: Counter,
    /// Duration of an append.
    pub request_seconds: Histogram,
    /// How far the store is behind; set from the shipper's progress at each scrape.
    pub behind_events: Gauge,
    pub behind_bytes: Gauge,
    pub behind_seconds: Gauge<f64, AtomicU64>,
    pub dead_letters: Gauge,
    /// Events that the store has and the journal did not know at the start.
    pub beyond_journal: Gauge,
    /// Events that are neither in the store nor in the journal, at most.
    pub missing_events: Gauge,
    /// 1 while the store is blocked or not set up yet.
    pub trouble: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabel {
    store: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreOutcomeLabels {
    store: String,
    outcome: &'static str,
}

struct StoreFamilies {
    events: Family<StoreOutcomeLabels, Counter>,
    requests: Family<StoreOutcomeLabels, Counter>,
    request_seconds: Family<StoreLabel, Histogram>,
    behind_events: Family<StoreLabel, Gauge>,
    behind_bytes: Family<StoreLabel, Gauge>,
    behind_seconds: Family<StoreLabel, Gauge<f64, AtomicU64>>,
    dead_letters: Family<StoreLabel, Gauge>,
    beyond_journal: Family<StoreLabel, Gauge>,
    missing_events: Family<StoreLabel, Gauge>,
    trouble: Family<StoreLabel, Gauge>,
}

impl StoreFamilies {
    fn register(registry: &mut Registry) -> Self {
        let families = Self {
            events: Family::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds_histogram as fn() -> Histogram),
            behind_events: Family::default(),
            behind_bytes: Family::default(),
            behind_seconds: Family::default(),
            dead_letters: Family::default(),
            beyond_journal: Family::default(),
            missing_events: Family::default(),
            trouble: Family::default(),
        };
        registry.register("store_events", "Events offered to a store, by outcome", families.events.clone());
        registry.register("store_requests", "Appends to a store, by outcome", families.requests.clone());
        let seconds = families.request_seconds.clone();
        registry.register_with_unit("store_request", "Time of one append to a store", Unit::Seconds, seconds);
        let behind = families.behind_events.clone();
        registry.register("store_behind_events", "Events in the journal that the store has not confirmed", behind);
        let behind = families.behind_bytes.clone();
        registry.register_with_unit("store_behind", "Bytes in the journal not confirmed", Unit::Bytes, behind);
        let behind = families.behind_seconds.clone();
        registry.register_with_unit("store_behind", "Age of the oldest event not confirmed", Unit::Seconds, behind);
        let dead = families.dead_letters.clone();
        registry.register("store_dead_letters", "Events that the store refused permanently", dead);
        let beyond = families.beyond_journal.clone();
        registry.register(
            "store_beyond_journal_events",
            "Events of this writer that the store has and the journal lost",
            beyond,
        );
        let missing = families.missing_events.clone();
        registry.register(
            "store_missing_events",
            "Events that are neither in the store nor in the journal, at most",
            missing,
        );
        let trouble = families.trouble.clone();
        registry.register("store_trouble", "1 while the store is blocked or not set up yet", trouble);
        families
    }

    fn of(&self, name: &str) -> StoreMetrics {
        let store = StoreLabel { store: name.to_owned() };
        let outcome = |outcome| StoreOutcomeLabels { store: name.to_owned(), outcome };
        StoreMetrics {
            stored: self.events.get_or_create_owned(&outcome("stored")),
            duplicate: self.events.get_or_create_owned(&outcome("duplicate")),
            conflict: self.events.get_or_create_owned(&outcome("conflict")),
            rejected: self.events.get_or_create_owned(&outcome("rejected")),
            retried: self.events.get_or_create_owned(&outcome("retried")),
            requests_answered: self.requests.get_or_create_owned(&outcome("answered")),
            requests_failed: self.requests.get_or_create_owned(&outcome("failed")),
            request_seconds: self.request_seconds.get_or_create_owned(&store),
            behind_events: self.behind_events.get_or_create_owned(&store),
            behind_bytes: self.behind_bytes.get_or_create_owned(&store),
            behind_seconds: self.behind_seconds.get_or_create_owned(&store),
            dead_letters: self.dead_letters.get_or_create_owned(&store),
            beyond_journal: self.beyond_journal.get_or_create_owned(&store),
            missing_events: self.missing_events.get_or_create_owned(&store),
            trouble: self.trouble.get_or_create_owned(&store),
        }
    }
}

/// From 0.1 ms to about 26 s, each bound four times the previous one.
fn seconds_histogram() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 4.0, 10))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_unique_and_has_the_prefix_and_help() {
        let metrics = Metrics::new();
        let text = metrics.render().unwrap();
        let mut names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert!(names.iter().all(|name| name.starts_with("annals_")), "{names:?}");
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(text.lines().filter(|line| line.starts_with("# HELP ")).count(), count);
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new();
        metrics.http.answered("GET", "/readyz", 200, Duration::from_millis(2));
        metrics.http.failed("journal_full");
        metrics.intake.rejected.inc_by(3);
        metrics.store("sqlite").stored.inc();
        metrics.store("sqlite").stored.inc();
        let text = metrics.render().unwrap();
        for line in [
            r#"annals_http_requests_total{method="GET",route="/readyz",status="200"} 1"#,
            r#"annals_http_errors_total{code="journal_full"} 1"#,
            r#"annals_intake_events_total{outcome="rejected"} 3"#,
            r#"annals_store_events_total{store="sqlite",outcome="stored"} 2"#,
        ] {
            assert!(text.contains(line), "no {line} in:\n{text}");
        }
    }
}
