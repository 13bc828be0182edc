//! The configuration: layered, checked as a whole before anything starts, and the same for every command.
//!
//! Defaults, then a TOML file, then the environment, then flags; a later layer wins key by key. [`settings::SETTINGS`] says
//! what each key means and takes; the structs here are what the rest of the program reads.

mod check;
mod kinds;
mod layers;
mod paths;
mod reference;
pub mod setting;
pub mod settings;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

use self::paths::KeyPath;
pub use self::{
    layers::{Flag, Sources},
    reference::render as render_reference,
};
use crate::{
    access::AccessConfig,
    intake::{OnBadText, Registration, UnknownFields},
    schema::OwnField,
    store::{elastic::ElasticConfig, postgres::PostgresConfig, sqlite::SqliteConfig},
    units::{ByteSize, Network, deserialize_duration, deserialize_duration_or_zero, deserialize_size_or_zero},
};

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub data_dir: PathBuf,
    pub server: Server,
    pub log: Log,
    pub events: Events,
    pub journal: Journal,
    pub seal: Seal,
    pub node: Node,
    pub writer: Writer,
    /// Never empty.
    pub stores: BTreeMap<String, Store>,
    pub query: Query,
    pub access: AccessConfig,
    #[serde(default)]
    pub providers: BTreeMap<String, Registration>,
    /// From `events.fields_file`.
    #[serde(skip)]
    pub own_fields: Vec<OwnField>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    /// `memory_limit` suffices for it.
    pub max_batch_bytes: ByteSize,
    pub max_batch_events: usize,
    /// At most `max_batch_bytes`.
    pub max_event_bytes: ByteSize,
    pub max_depth: usize,
    pub max_array_length: usize,
    #[serde(deserialize_with = "deserialize_duration")]
    pub request_timeout: Duration,
    #[serde(deserialize_with = "deserialize_duration")]
    pub shutdown_timeout: Duration,
    pub memory_limit: ByteSize,
    pub connections_per_address: usize,
    pub exports_per_caller: usize,
    pub tails_per_caller: usize,
    #[serde(default)]
    pub tls: TlsFiles,
    #[serde(default)]
    pub trusted_proxies: Vec<Network>,
    pub proxy_header: ProxyHeader,
}

/// Both files have to be set, or neither.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

/// The header in which proxies name the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    XForwardedFor,
    Forwarded,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
    /// Copy each valid event to the log.
    pub events: bool,
}

/// What happens to valid events.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Whether anything happens to them at all.
    pub enabled: bool,
    /// Whether they are made durable and sent to the stores.
    pub keep: bool,
    #[serde(deserialize_with = "deserialize_duration")]
    pub repeat_window: Duration,
    pub repeat_count: usize,
    pub unknown_fields: UnknownFields,
    pub on_bad_text: OnBadText,
    /// 0, or at least 1 MiB.
    #[serde(deserialize_with = "deserialize_size_or_zero")]
    pub rejected_bytes: ByteSize,
    #[serde(default)]
    pub fields_file: Option<PathBuf>,
}

impl Events {
    pub fn are_kept(&self) -> bool {
        self.enabled && self.keep
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    pub max_bytes: ByteSize,
    /// At most half of `max_bytes`, so that a full file can be dropped while another one is written.
    pub segment_bytes: ByteSize,
    pub overflow: Overflow,
}

/// What happens to new events when the journal is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    Reject,
    Drop,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// Whether events are hashed, linked and sealed, rather than only numbered.
    pub chaining: bool,
    #[serde(deserialize_with = "deserialize_duration")]
    pub epoch: Duration,
    /// `None`: the secret is created at the first start and kept in the data folder.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// The `annals.node` of each event.
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writer {
    /// The `kibana.version` of each event.
    pub version: String,
    #[serde(deserialize_with = "deserialize_duration")]
    pub max_clock_jump: Duration,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Store {
    Sqlite(SqliteConfig),
    Elasticsearch(Box<ElasticConfig>),
    Postgres(Box<PostgresConfig>),
}

/// The requests that append to a store.
#[derive(Clone, Copy, Debug)]
pub struct AppendRequests {
    /// Bytes of events in one request.
    pub bytes: usize,
    /// Maximum number of requests at once.
    pub concurrency: usize,
}

impl Default for AppendRequests {
    /// One transaction at a time, about as large as an engine's requests; the next one is read in the meantime.
    fn default() -> Self {
        Self { bytes: 2 << 20, concurrency: 2 }
    }
}

impl Store {
    pub fn append_requests(&self) -> AppendRequests {
        match self {
            Self::Sqlite(_) | Self::Postgres(_) => AppendRequests::default(),
            Self::Elasticsearch(elastic) => {
                AppendRequests { bytes: elastic.bulk_bytes.as_usize(), concurrency: elastic.concurrency }
            }
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// One of the names of `stores`.
    pub store: String,
    #[serde(deserialize_with = "deserialize_duration_or_zero")]
    pub max_staleness: Duration,
}

impl Config {
    /// Merges the layers into a configuration, or returns all problems.
    pub fn load(sources: &Sources) -> Result<Self, Invalid> {
        Self::load_with_origins(sources).map(|(config, _)| config)
    }

    /// Like [`Self::load`], and also returns the value and origin of each key.
    pub fn load_with_origins(sources: &Sources) -> Result<(Self, Effective), Invalid> {
        check::resolve(layers::Layers::read(sources))
    }

    /// Returns the data folder that the layers set, even if there are problems elsewhere.
    pub fn data_dir_of(sources: &Sources) -> Option<PathBuf> {
        check::data_dir(layers::Layers::read(sources))
    }
}

/// All keys that have values, in the order of the table of keys.
pub struct Effective(Vec<EffectiveValue>);

struct EffectiveValue {
    path: KeyPath,
    /// TOML, secrets redacted.
    shown: String,
    origin: String,
}

impl fmt::Display for Effective {
    /// Writes a TOML file that sets the same values except for secrets, each line with its origin.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for EffectiveValue { path, shown, origin } in &self.0 {
            writeln!(f, "{path} = {shown}  # {origin}")?;
        }
        Ok(())
    }
}

/// All problems of a configuration; never empty.
#[derive(Debug)]
pub struct Invalid(pub Vec<Problem>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// A problem of a configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("{}: {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{origin}: unknown key {key}{}", suggestion.as_ref().map(|it| format!("; did you mean {it}?")).unwrap_or_default())]
    UnknownKey { key: String, origin: String, suggestion: Option<String> },
    #[error("{origin}: {key}: expected {expected}, found {found}")]
    WrongValue { key: String, expected: String, found: String, origin: String },
    /// Values that are valid individually but contradict each other.
    #[error("{0}")]
    Conflict(String),
}

impl Problem {
    fn unknown(path: &KeyPath, origin: &str) -> Self {
        let suggestion = paths::suggest(path).map(|near| near.to_string());
        Self::UnknownKey { key: path.to_string(), origin: origin.to_owned(), suggestion }
    }

    fn wrong(path: &KeyPath, expected: impl Into<String>, found: &str, origin: &str) -> Self {
        Self::WrongValue {
            key: path.to_string(),
            expected: expected.into(),
            found: found.to_owned(),
            origin: origin.to_owned(),
        }
    }
}
