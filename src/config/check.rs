//! Turns layers into a configuration: takes the strongest value of each key, adds defaults, and checks for
//! contradictions.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use config::{Value, ValueKind};

use super::{
    Config, Effective, EffectiveValue, Invalid, Problem, Store, TlsFiles,
    layers::{Assignment, Layers},
    paths::KeyPath,
    setting::{DefaultValue, Setting, StoreKind},
    settings::SETTINGS,
};
use crate::{
    error::with_reasons, identity, memory_budget, own_fields, rejected, reserved::looks_like_reserved, schema::Mistake,
    units::ByteSize,
};

pub(super) fn resolve(layers: Layers) -> Result<(Config, Effective), Invalid> {
    Resolver::new(layers).into_config()
}

pub(super) fn data_dir(layers: Layers) -> Option<PathBuf> {
    Resolver::new(layers).text("data_dir", "").map(PathBuf::from)
}

struct Resolver {
    defaults: Vec<Assignment>,
    /// The values that the layers set, weakest first.
    values: Vec<Assignment>,
    /// In the order in which they first appear.
    stores: Vec<String>,
    problems: Vec<Problem>,
}

impl Resolver {
    fn new(Layers { values, mut problems }: Layers) -> Self {
        let mut stores = Vec::new();
        for Assignment { path, setting, value } in &values {
            if let [section, name, ..] = path.0.as_slice()
                && section == "stores"
                && !stores.contains(name)
            {
                stores.push(name.clone());
            }
            if let Err(expected) = setting.kind.check(&value.kind) {
                let found = setting.kind.quote(value);
                problems.push(Problem::wrong(path, expected, &found, value.origin().unwrap_or_default()));
            }
        }
        let mut resolver = Self { defaults: Vec::new(), values, stores, problems };
        resolver.add_defaults();
        resolver
    }

    fn add_defaults(&mut self) {
        for key in SETTINGS.iter().filter(|key| !key.path.contains("<name>")) {
            self.add_default(key, "");
        }
        self.set_default("node.name", "", &host_name());
        self.set_default("writer.version", "", env!("CARGO_PKG_VERSION"));
        if self.stores.is_empty() {
            self.stores.push("sqlite".to_owned());
            self.set_default("stores.<name>.kind", "sqlite", StoreKind::Sqlite.as_str());
        }
        for name in self.stores.clone() {
            self.add_store_defaults(&name);
        }
        if let Some(first) = self.stores.first().cloned() {
            self.set_default("query.store", "", &first);
        }
        self.add_access_engine_defaults();
        for section in ["providers", "access.rules", "access.grants"] {
            for name in self.names_in(section) {
                for key in SETTINGS.iter().filter(|key| key.path.starts_with(&format!("{section}.<name>."))) {
                    self.add_default(key, &name);
                }
            }
        }
    }

    /// By default callers are known to the engine that answers queries.
    fn add_access_engine_defaults(&mut self) {
        let Some(queried) = self.text("query.store", "").map(str::to_owned) else { return };
        for (own, of_store) in [
            ("access.elasticsearch.urls", "stores.<name>.urls"),
            ("access.elasticsearch.ca_file", "stores.<name>.ca_file"),
        ] {
            let Some(key) = SETTINGS.iter().find(|known| known.path == own) else { continue };
            let Some(value) = self.effective_assignment(of_store, &queried).map(|found| found.value.kind.clone())
            else {
                continue;
            };
            self.defaults.push(Assignment::new(KeyPath::of(key, ""), key, value, &DEFAULT.to_owned()));
        }
    }

    fn add_store_defaults(&mut self, name: &str) {
        let fits = !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if !fits {
            self.conflict(format!(
                "stores.{name:?}: expected a name of lower-case letters, digits, hyphens and underscores"
            ));
        }
        let Some(kind) = self.text("stores.<name>.kind", name) else {
            let kinds: Vec<_> = StoreKind::NAMES.iter().map(|name| format!("{name:?}")).collect();
            return self.conflict(format!("stores.{name}.kind: not set; expected one of {}", kinds.join(", ")));
        };
        let Some(kind) = StoreKind::ALL.iter().copied().find(|known| known.as_str() == kind) else { return };
        for key in SETTINGS.iter().filter(|key| key.path.starts_with("stores.")) {
            if key.stores.is_empty() || key.stores.contains(&kind) {
                self.add_default(key, name);
            } else {
                self.reject_foreign_key(key, name, kind);
            }
        }
        match kind {
            StoreKind::Sqlite => {
                let data_dir = self.text("data_dir", "").unwrap_or_default().to_owned();
                let path = Path::new(&data_dir).join("events.db");
                self.set_default("stores.<name>.path", name, &path.to_string_lossy());
            }
            StoreKind::Elasticsearch => {
                self.set_default("stores.<name>.version", name, env!("CARGO_PKG_VERSION"));
            }
            StoreKind::Postgres => {}
        }
    }

    fn reject_foreign_key(&mut self, setting: &Setting, name: &str, kind: StoreKind) {
        let path = KeyPath::of(setting, name);
        if let Some(Assignment { value, .. }) = self.values.extract_if(.., |value| value.path == path).last() {
            let expected = format!("no such key, for the store is of the kind {:?}", kind.as_str());
            self.problems.push(Problem::wrong(&path, expected, "a value", value.origin().unwrap_or_default()));
        }
    }

    fn add_default(&mut self, setting: &'static Setting, name: &str) {
        match setting.default {
            DefaultValue::Fixed(text) => self.set_default(setting.path, name, text),
            DefaultValue::Required if self.effective_assignment(setting.path, name).is_none() => {
                self.conflict(format!("{}: not set; expected {}", KeyPath::of(setting, name), setting.kind));
            }
            DefaultValue::Required | DefaultValue::Unset(_) => {}
        }
    }

    fn set_default(&mut self, key: &str, name: &str, text: &str) {
        if let Some(setting) = SETTINGS.iter().find(|known| known.path == key) {
            let (path, value) = (KeyPath::of(setting, name), setting.kind.value_of(text));
            self.defaults.push(Assignment::new(path, setting, value, &DEFAULT.to_owned()));
        }
    }

    fn text(&self, key: &str, name: &str) -> Option<&str> {
        match &self.effective_assignment(key, name)?.value.kind {
            ValueKind::String(text) => Some(text),
            _ => None,
        }
    }

    fn effective_assignment(&self, key: &str, name: &str) -> Option<&Assignment> {
        let setting = SETTINGS.iter().find(|known| known.path == key)?;
        self.assignment_at(&KeyPath::of(setting, name))
    }

    fn assignment_at(&self, path: &KeyPath) -> Option<&Assignment> {
        self.defaults.iter().chain(&self.values).rfind(|value| value.path == *path)
    }

    fn names_in(&self, section: &str) -> BTreeSet<String> {
        let section = section.split('.').map(str::to_owned).collect::<Vec<_>>();
        let names = self.values.iter().filter_map(|Assignment { path, .. }| {
            let below = path.0.strip_prefix(section.as_slice());
            below.and_then(|below| if let [name, _, ..] = below { Some(name.clone()) } else { None })
        });
        names.collect()
    }

    fn conflict(&mut self, message: String) {
        self.problems.push(Problem::Conflict(message));
    }

    fn into_config(mut self) -> Result<(Config, Effective), Invalid> {
        let layers = self.defaults.iter().chain(&self.values);
        let merged = layers.cloned().fold(config::Config::builder(), |merged, value| merged.add_source(value)).build();
        let read = merged.and_then(|merged| Ok((self.effective(&merged.cache), merged.try_deserialize::<Config>()?)));
        match read {
            Ok((effective, mut config)) => {
                self.problems.extend(cross_checks(&config));
                self.problems.extend(read_own_fields(&mut config));
                if self.problems.is_empty() { Ok((config, effective)) } else { Err(Invalid(self.problems)) }
            }
            // The problems found earlier are the cause, and describe it better.
            Err(_) if !self.problems.is_empty() => Err(Invalid(self.problems)),
            Err(error) => Err(Invalid(vec![Problem::Conflict(error.to_string())])),
        }
    }

    /// Returns the effective values in the order of the table, section by section and name by name.
    fn effective(&self, merged: &Value) -> Effective {
        let row = |of: &dyn Fn(&Setting) -> bool| SETTINGS.iter().position(of);
        let all = self.defaults.iter().chain(&self.values);
        let order: BTreeMap<_, _> = all
            .map(|Assignment { path, setting, .. }| {
                let named = setting.name_at().and_then(|at| path.0.get(..=at));
                let section = setting.segments().next();
                let place = (row(&|it| it.segments().next() == section), named, row(&|it| it.path == setting.path));
                (place, (path, setting.kind))
            })
            .collect();
        let shown = order.into_values().filter_map(|(path, kind)| {
            // The crate does not keep the origin of tables.
            let origin = self.assignment_at(path)?.value.origin().unwrap_or_default().to_owned();
            Some(EffectiveValue { path: path.clone(), shown: kind.show(path.find_in(merged)?), origin })
        });
        Effective(shown.collect())
    }
}

const DEFAULT: &str = "default";

/// Returns the contradictions between values that are valid individually.
/// Bytes of a node's name, which is in every event.
const MAX_NODE_NAME: usize = 256;

fn cross_checks(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let server = &config.server;
    check_at_most(
        &mut found,
        ("server.max_event_bytes", server.max_event_bytes),
        ("server.max_batch_bytes", server.max_batch_bytes),
    );
    let least = memory_budget::minimum(server.max_batch_bytes.as_usize());
    if server.memory_limit.as_usize() < least {
        let mib = least.div_ceil(1 << 20);
        found.push(format!(
            "server.memory_limit ({}) is less than {mib}mb, which requests of server.max_batch_bytes ({}) need",
            server.memory_limit, server.max_batch_bytes
        ));
    }
    if !(1..=MAX_NODE_NAME).contains(&config.node.name.len()) {
        found.push(format!("node.name: expected 1 to {MAX_NODE_NAME} bytes, found {}", config.node.name.len()));
    }
    if config.journal.segment_bytes.as_u64() > config.journal.max_bytes.as_u64() / 2 {
        found.push(format!(
            "journal.segment_bytes ({}) is more than half of journal.max_bytes ({})",
            config.journal.segment_bytes, config.journal.max_bytes
        ));
    }
    let recorded = config.events.rejected_bytes;
    if recorded.as_u64() > 0 && recorded < rejected::MIN_SIZE {
        found.push(format!("events.rejected_bytes ({recorded}) is neither 0 nor at least {}", rejected::MIN_SIZE));
    }
    if !config.stores.contains_key(&config.query.store) {
        let names: Vec<_> = config.stores.keys().map(String::as_str).collect();
        found.push(format!(
            "query.store: no store is named {:?}; expected one of {}",
            config.query.store,
            names.join(", ")
        ));
    }
    check_tls(&server.tls, &mut found);
    check_stores(config, &mut found);
    found.extend(config.access.problems().iter().map(|problem| format!("access.{problem}")));
    if let Some(Err(error)) = config.seal.secret_file.as_deref().map(identity::read_secret) {
        found.push(format!("seal.secret_file: {}", with_reasons(&error)));
    }
    for name in config.providers.keys() {
        match looks_like_reserved(name) {
            Some(own) if own == name => found.push(format!("providers.{name}: the provider is the log's own")),
            Some(own) => found.push(format!("providers.{name:?}: the name looks like {own}, which is the log's own")),
            None => {}
        }
    }
    found.extend(
        config.providers.keys().filter(|name| name.is_empty()).map(|_| "providers: a provider has no name".to_owned()),
    );
    found.into_iter().map(Problem::Conflict).collect()
}

fn read_own_fields(config: &mut Config) -> Vec<Problem> {
    let Some(path) = &config.events.fields_file else { return Vec::new() };
    match own_fields::read(path) {
        Ok(Ok(fields)) => {
            config.own_fields = fields;
            Vec::new()
        }
        Ok(Err(mistakes)) => {
            let problem = |mistake: Mistake| Problem::File { path: path.clone(), reason: mistake.to_string() };
            mistakes.into_iter().map(problem).collect()
        }
        Err(error) => {
            vec![Problem::Conflict(format!("events.fields_file: cannot read {}: {error}", path.display()))]
        }
    }
}

fn check_at_most(found: &mut Vec<String>, (key, size): (&str, ByteSize), (bound, most): (&str, ByteSize)) {
    if size > most {
        found.push(format!("{key} ({size}) is more than {bound} ({most})"));
    }
}

fn check_tls(tls: &TlsFiles, found: &mut Vec<String>) {
    match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => found.push("server.tls.key_file: not set, but server.tls.cert_file is".to_owned()),
        (None, Some(_)) => found.push("server.tls.cert_file: not set, but server.tls.key_file is".to_owned()),
        (Some(_), Some(_)) | (None, None) => {}
    }
    for (key, file) in [("cert_file", &tls.cert_file), ("key_file", &tls.key_file)] {
        if let Some(Err(error)) = file.as_ref().map(std::fs::File::open) {
            let path = file.as_deref().unwrap_or(Path::new("")).display();
            found.push(format!("server.tls.{key}: cannot read {path}: {error}"));
        }
    }
}

fn check_stores(config: &Config, found: &mut Vec<String>) {
    let mut owners: BTreeMap<&Path, &str> = BTreeMap::new();
    for (name, store) in &config.stores {
        match store {
            Store::Sqlite(sqlite) => {
                if let Some(other) = owners.insert(&sqlite.path, name) {
                    found.push(format!("stores.{other} and stores.{name} share the file {}", sqlite.path.display()));
                }
            }
            Store::Elasticsearch(elastic) => {
                found.extend(elastic.problems().iter().map(|error| format!("stores.{name}.{}", with_reasons(error))));
            }
            Store::Postgres(postgres) => {
                found.extend(postgres.problems().iter().map(|error| format!("stores.{name}.{}", with_reasons(error))));
            }
        }
    }
}

/// The name of this host.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
