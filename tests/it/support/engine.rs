//! Real engines: shared ones that the environment names, and private ones that may be damaged.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Access, Answer, Document, Request, await_some};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Elasticsearch,
    /// With TLS, users and privileges.
    ElasticsearchSecure,
    Opensearch,
    Postgres,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch => "elasticsearch",
            Self::ElasticsearchSecure => "elasticsearch-secure",
            Self::Opensearch => "opensearch",
            Self::Postgres => "postgres",
        }
    }

    fn variable(self) -> String {
        format!("ANNALS_TEST_{}", self.name().to_uppercase().replace('-', "_"))
    }

    /// `files` returns the paths of the authority's certificate and of the password.
    fn access(self, files: impl FnOnce() -> [String; 2]) -> Option<Access> {
        match self {
            Self::Elasticsearch | Self::Opensearch | Self::Postgres => None,
            Self::ElasticsearchSecure => Some(Access::new(files())),
        }
    }
}

/// Returns the variable with which `scripts/test` describes a shared engine. Without it the test is skipped, unless
/// engines are required.
pub(crate) fn engine_variable(variable: &str) -> Option<String> {
    let value = env::var(variable).ok().filter(|value| !value.is_empty());
    let required = env::var("ANNALS_TEST_ENGINES").is_ok_and(|engines| engines == "required");
    assert!(value.is_some() || !required, "{variable} is not set, and engines are required");
    if value.is_none() {
        eprintln!("skipped: {variable} is not set");
    }
    value
}

#[derive(Clone)]
pub(crate) struct Engine {
    kind: Kind,
    pub(crate) url: String,
    /// The credentials, if the engine requires any.
    pub(crate) access: Option<Access>,
}

impl Engine {
    /// The engine that all tests share; no test may affect it as a whole.
    pub(crate) fn shared(kind: Kind) -> Option<Self> {
        let variable = kind.variable();
        let url = engine_variable(&variable)?;
        let file = |what| {
            let variable = format!("{variable}_{what}");
            env::var(&variable).unwrap_or_else(|_| panic!("{variable} is not set"))
        };
        Some(Self { kind, url, access: kind.access(|| ["CA", "PASSWORD_FILE"].map(file)) })
    }

    fn request<'a>(&'a self, method: &'a str, path: &str) -> Request<'a> {
        Request::new(method, format!("{}/{path}", self.url)).access(self.access.as_ref())
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        self.request(method, path).body(body).send().unwrap()
    }

    #[track_caller]
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        self.send(method, path, body).expect(200).json()
    }

    /// Returns a unique prefix for names; everything with this prefix is deleted when it goes out of scope.
    pub(crate) fn prefix(&self) -> Prefix {
        Prefix { engine: self.clone(), name: format!(".annals-it-{:016x}", super::random(u64::MAX)) }
    }
}

/// The names of one test's indices, templates and policy.
pub(crate) struct Prefix {
    engine: Engine,
    name: String,
}

impl Prefix {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the write alias.
    pub(crate) fn alias(&self) -> String {
        format!("{}-event-log-{}-general", self.name, env!("CARGO_PKG_VERSION"))
    }

    pub(crate) fn template(&self) -> String {
        format!("{}-template", self.alias())
    }

    /// Returns the names of the indices, in order.
    #[track_caller]
    pub(crate) fn indices(&self) -> Vec<String> {
        let path = format!("{}-*?expand_wildcards=all&filter_path=*.settings.index.uuid", self.name);
        let found = self.engine.ask("GET", &path, "");
        found.as_object().unwrap().keys().cloned().collect()
    }

    /// Rolls over to a new index, as the engine's own lifecycle management would.
    #[track_caller]
    pub(crate) fn roll_over(&self) {
        self.engine.ask("POST", &format!("{}/_rollover", self.alias()), "{}");
    }

    /// Ends the engine's own refreshes of the present indices.
    #[track_caller]
    pub(crate) fn stop_refreshing(&self) {
        let path = format!("{}-*/_settings?expand_wildcards=all", self.name);
        self.engine.ask("PUT", &path, r#"{"index": {"refresh_interval": "-1"}}"#);
    }

    /// Returns all documents of all indices, byte for byte.
    #[track_caller]
    pub(crate) fn documents(&self) -> Vec<Document> {
        #[derive(Deserialize)]
        struct Page<'a> {
            _scroll_id: String,
            #[serde(borrow)]
            hits: Hits<'a>,
        }
        #[derive(Deserialize)]
        struct Hits<'a> {
            #[serde(borrow)]
            hits: Vec<Hit<'a>>,
        }
        #[derive(Deserialize)]
        struct Hit<'a> {
            _index: String,
            _id: String,
            #[serde(borrow)]
            _source: &'a RawValue,
        }
        let pattern = format!("{}-*", self.name);
        self.engine.ask("POST", &format!("{pattern}/_refresh?expand_wildcards=all"), "");
        let first = format!("{pattern}/_search?expand_wildcards=all&scroll=1m&size=2000&sort=_doc");
        let mut answer = self.engine.send("POST", &first, "{}").expect(200);
        let mut documents = Vec::new();
        loop {
            let Page { _scroll_id: scroll, hits: Hits { hits } } = serde_json::from_slice(&answer.body).unwrap();
            if hits.is_empty() {
                self.engine.ask("DELETE", "_search/scroll", &format!("{{\"scroll_id\":\"{scroll}\"}}"));
                return documents;
            }
            documents.extend(hits.into_iter().map(|hit| Document {
                index: hit._index,
                id: hit._id,
                source: hit._source.get().as_bytes().to_vec(),
            }));
            let next = format!("{{\"scroll_id\":\"{scroll}\",\"scroll\":\"1m\"}}");
            answer = self.engine.send("POST", "_search/scroll", &next).expect(200);
        }
    }

    fn clean_up(&self) -> Result<(), String> {
        let delete = |path: &str| self.engine.request("DELETE", path).send();
        let path = format!("{}-*?expand_wildcards=all&filter_path=*.settings.index.uuid", self.name);
        let found = self.engine.request("GET", &path).send()?.json();
        for index in found.as_object().into_iter().flat_map(serde_json::Map::keys) {
            delete(index)?;
        }
        delete(&format!("_index_template/{}", self.template()))?;
        let policy = format!("{}-event-log-policy", self.name.trim_start_matches('.'));
        delete(&match self.engine.kind {
            Kind::Elasticsearch | Kind::ElasticsearchSecure => format!("_ilm/policy/{policy}"),
            Kind::Opensearch => format!("_plugins/_ism/policies/{policy}"),
            Kind::Postgres => return Err("a database has no indices".to_owned()),
        })?;
        Ok(())
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        if let Err(error) = self.clean_up() {
            eprintln!("{} is not cleaned up: {error}", self.name);
        }
    }
}

static ELASTICSEARCH: Mutex<()> = Mutex::new(());
static ELASTICSEARCH_SECURE: Mutex<()> = Mutex::new(());
static OPENSEARCH: Mutex<()> = Mutex::new(());
static POSTGRES: Mutex<()> = Mutex::new(());

/// A private engine, for one test at a time to stop, pause and kill. It keeps running for the next test; whoever runs
/// the tests stops it, as `scripts/test` does.
pub(crate) struct FaultyEngine {
    pub(crate) engine: Engine,
    _turn: MutexGuard<'static, ()>,
}

impl FaultyEngine {
    /// Returns `None` if there is no shared engine of this kind either. It has a single write thread and almost no
    /// queue, so that it answers 429 as soon as it is under pressure.
    #[track_caller]
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        engine_variable(&kind.variable())?;
        let turn = match kind {
            Kind::Elasticsearch => &ELASTICSEARCH,
            Kind::ElasticsearchSecure => &ELASTICSEARCH_SECURE,
            Kind::Opensearch => &OPENSEARCH,
            Kind::Postgres => &POSTGRES,
        };
        let turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("{}@faulty", kind.name());
        if !script(&["status"]).lines().any(|line| line.starts_with(&format!("{name} ")) && line.contains("running")) {
            // Left by a failed test.
            script(&["stop", &name]);
            let mut arguments = vec!["start", &name, "--fresh"];
            if kind == Kind::Postgres {
                // Both its orderly end and its crash must keep what was committed.
                arguments.extend(["--set", "fsync=on", "--set", "synchronous_commit=on"]);
            } else {
                arguments.extend(["--heap", "400m"]);
                arguments.extend(["--set", "thread_pool.write.size=1", "--set", "thread_pool.write.queue_size=2"]);
            }
            if matches!(kind, Kind::Elasticsearch | Kind::ElasticsearchSecure) {
                arguments.extend(["--set", "annals.test.stand_in_types=true"]);
            }
            script(&arguments);
        }
        let url = script(&["url", &name]).trim().to_owned();
        let access = kind.access(|| ["ca", "password"].map(|what| script(&[what, &name]).trim().to_owned()));
        Some(Self { engine: Engine { kind, url, access }, _turn: turn })
    }

    fn run(&self, command: &str) {
        script(&[command, &format!("{}@faulty", self.engine.kind.name())]);
    }

    pub(crate) fn stop(&self) {
        self.run("stop");
    }

    pub(crate) fn crash(&self) {
        self.run("crash");
    }

    pub(crate) fn pause(&self) {
        self.run("pause");
    }

    pub(crate) fn resume(&self) {
        self.run("resume");
    }

    /// Starts the engine again, with its data and settings, and waits until its shards are available.
    pub(crate) fn start_again(&self) {
        let name = format!("{}@faulty", self.engine.kind.name());
        if self.engine.kind == Kind::Postgres {
            script(&["start", &name]);
            return;
        }
        script(&["start", &name, "--heap", "400m"]);
        await_some("the engine is well", || {
            let health = self.engine.request("GET", "_cluster/health").send().ok()?.json();
            (health["status"] != "red").then_some(())
        });
    }
}

#[track_caller]
fn script(arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engines");
    let output = Command::new(script).args(arguments).stdin(Stdio::null()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/engines {}: {complaint}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
