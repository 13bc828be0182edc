//! From layers to a configuration: the strongest value of each key, defaults for the rest, and whether they agree.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    Config, Effective, Invalid, Origin, Problem, Setting, Store, TlsFiles,
    keys::{KEYS, Key, Preset, StoreKind},
    layers::{Given, Layers},
    places::KeyPath,
};
use crate::{error::with_reasons, event::OWN_PROVIDER, identity, units::ByteSize};

pub(super) fn settle(layers: Layers) -> Result<(Config, Effective), Invalid> {
    let mut settled = Settled::of(layers);
    settled.add_defaults();
    settled.into_config()
}

pub(super) fn data_dir(layers: Layers) -> Option<PathBuf> {
    let mut settled = Settled::of(layers);
    settled.add_defaults();
    settled.text("data_dir", "").map(PathBuf::from)
}

/// The strongest value of each key.
struct Settled {
    values: BTreeMap<KeyPath, Given>,
    /// In the order in which they were first named.
    stores: Vec<String>,
    problems: Vec<Problem>,
}

impl Settled {
    fn of(Layers { given, problems }: Layers) -> Self {
        let mut settled = Self { values: BTreeMap::new(), stores: Vec::new(), problems };
        given.into_iter().for_each(|value| settled.take(value));
        settled
    }

    fn take(&mut self, given: Given) {
        if let [section, name, ..] = given.path.0.as_slice()
            && section == "stores"
            && !self.stores.contains(name)
        {
            self.stores.push(name.clone());
        }
        if let Err(expected) = given.key.kind.check(&given.value) {
            let found = given.key.kind.quote(&given.value);
            self.problems.push(Problem::wrong(&given.path, expected, &found, &given.origin));
        }
        self.values.insert(given.path.clone(), given);
    }

    fn add_defaults(&mut self) {
        for key in KEYS.iter().filter(|key| !key.path.contains("<name>")) {
            self.add_default(key, "");
        }
        self.set_default("writer.version", "", env!("CARGO_PKG_VERSION"));
        if self.stores.is_empty() {
            self.stores.push("sqlite".to_owned());
            self.set_default("stores.<name>.kind", "sqlite", StoreKind::Sqlite.as_str());
        }
        for name in self.stores.clone() {
            self.complete_store(&name);
        }
        if let Some(first) = self.stores.first().cloned() {
            self.set_default("query.store", "", &first);
        }
        self.complete_engine_of_access();
        for section in ["providers", "access.rules", "access.grants"] {
            for name in self.names_in(section) {
                for key in KEYS.iter().filter(|key| key.path.starts_with(&format!("{section}.<name>."))) {
                    self.add_default(key, &name);
                }
            }
        }
    }

    /// Unless told otherwise, callers are known to the engine that is queried.
    fn complete_engine_of_access(&mut self) {
        let Some(queried) = self.text("query.store", "").map(str::to_owned) else { return };
        for (own, of_store) in [
            ("access.elasticsearch.urls", "stores.<name>.urls"),
            ("access.elasticsearch.ca_file", "stores.<name>.ca_file"),
        ] {
            let Some(key) = KEYS.iter().find(|known| known.path == own) else { continue };
            let Some(value) = self.given(of_store, &queried).map(|given| given.value.clone()) else { continue };
            let path = KeyPath::of(key, "");
            let given = Given { path: path.clone(), key, value, origin: Origin::Default };
            self.values.entry(path).or_insert(given);
        }
    }

    fn complete_store(&mut self, name: &str) {
        let fits = !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if !fits {
            self.conflict(format!(
                "stores.{name:?}: expected a name of lower-case letters, digits, hyphens and underscores"
            ));
        }
        let Some(kind) = self.text("stores.<name>.kind", name) else {
            let kinds: Vec<_> = StoreKind::ALL.iter().map(|kind| format!("{:?}", kind.as_str())).collect();
            return self.conflict(format!("stores.{name}.kind: not set; expected one of {}", kinds.join(", ")));
        };
        let Some(kind) = StoreKind::ALL.into_iter().find(|known| known.as_str() == kind) else { return };
        for key in KEYS.iter().filter(|key| key.path.starts_with("stores.")) {
            if key.stores.is_empty() || key.stores.contains(&kind) {
                self.add_default(key, name);
            } else {
                self.refuse_foreign(key, name, kind);
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

    fn refuse_foreign(&mut self, key: &'static Key, name: &str, kind: StoreKind) {
        if let Some(given) = self.values.remove(&KeyPath::of(key, name)) {
            let expected = format!("no such key, for the store is of the kind {:?}", kind.as_str());
            self.problems.push(Problem::wrong(&given.path, expected, "a value", &given.origin));
        }
    }

    fn add_default(&mut self, key: &'static Key, name: &str) {
        let path = KeyPath::of(key, name);
        match key.default {
            Preset::Is(text) if !self.values.contains_key(&path) => {
                let value = key.kind.value_of(text);
                self.values.insert(path.clone(), Given { path, key, value, origin: Origin::Default });
            }
            Preset::Required if !self.values.contains_key(&path) => {
                self.conflict(format!("{path}: not set; expected {}", key.kind));
            }
            Preset::Is(_) | Preset::Required | Preset::Unset(_) => {}
        }
    }

    /// A default that the table can only describe.
    fn set_default(&mut self, key: &str, name: &str, text: &str) {
        if let Some(key) = KEYS.iter().find(|known| known.path == key) {
            let path = KeyPath::of(key, name);
            let given = Given { path: path.clone(), key, value: Value::from(text), origin: Origin::Default };
            self.values.entry(path).or_insert(given);
        }
    }

    fn text(&self, key: &str, name: &str) -> Option<&str> {
        self.given(key, name)?.value.as_str()
    }

    fn given(&self, key: &str, name: &str) -> Option<&Given> {
        let key = KEYS.iter().find(|known| known.path == key)?;
        self.values.get(&KeyPath::of(key, name))
    }

    fn names_in(&self, section: &str) -> Vec<String> {
        let section: Vec<_> = section.split('.').collect();
        let in_section = self.values.keys().filter_map(|path| {
            let is_in = section.iter().zip(&path.0).all(|(part, name)| part == name);
            (is_in && path.0.len() > section.len() + 1).then(|| path.0.get(section.len()).cloned())?
        });
        let mut names: Vec<_> = in_section.collect();
        names.dedup();
        names
    }

    fn conflict(&mut self, message: String) {
        self.problems.push(Problem::Conflict(message));
    }

    fn into_config(mut self) -> Result<(Config, Effective), Invalid> {
        let mut tree = Value::Object(Map::new());
        for given in self.values.values() {
            plant(&mut tree, &given.path.0, given.value.clone());
        }
        match serde_json::from_value::<Config>(tree) {
            Ok(config) => {
                self.problems.extend(disagreements(&config));
                if self.problems.is_empty() { Ok((config, self.effective())) } else { Err(Invalid(self.problems)) }
            }
            // What was found wrong before is the reason, and says it better.
            Err(_) if !self.problems.is_empty() => Err(Invalid(self.problems)),
            Err(error) => Err(Invalid(vec![Problem::Conflict(error.to_string())])),
        }
    }

    fn effective(self) -> Effective {
        let row = |given: &Given| KEYS.iter().position(|key| key.path == given.key.path);
        let mut given: Vec<_> = self.values.into_values().collect();
        given.sort_by_cached_key(|value| {
            let named = value.key.name_at().and_then(|at| value.path.0.get(..=at)).map(<[String]>::to_vec);
            let section = value.key.segments().next().unwrap_or_default();
            let first = KEYS.iter().position(|key| key.segments().next() == Some(section));
            (first, named, row(value))
        });
        let show = |given: Given| {
            let shown = given.key.kind.show(&given.value);
            Setting { path: given.path, shown, origin: given.origin }
        };
        Effective(given.into_iter().map(show).collect())
    }
}

fn plant(tree: &mut Value, path: &[String], value: Value) {
    let Some((name, rest)) = path.split_first() else {
        *tree = value;
        return;
    };
    if let Value::Object(entries) = tree {
        plant(entries.entry(name).or_insert_with(|| Value::Object(Map::new())), rest, value);
    }
}

/// What is wrong with values that are right each by itself.
fn disagreements(config: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let server = &config.server;
    at_most(
        &mut found,
        ("server.max_event_bytes", server.max_event_bytes),
        ("server.max_batch_bytes", server.max_batch_bytes),
    );
    at_most(
        &mut found,
        ("server.max_batch_bytes", server.max_batch_bytes),
        ("server.max_concurrent_bytes", server.max_concurrent_bytes),
    );
    if config.journal.segment_bytes.as_u64() > config.journal.max_bytes.as_u64() / 2 {
        found.push(format!(
            "journal.segment_bytes ({}) is more than half of journal.max_bytes ({})",
            config.journal.segment_bytes, config.journal.max_bytes
        ));
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
    if config.providers.contains_key(OWN_PROVIDER) {
        found.push(format!("providers.{OWN_PROVIDER}: the provider is the log's own"));
    }
    found.extend(
        config.providers.keys().filter(|name| name.is_empty()).map(|_| "providers: a provider has no name".to_owned()),
    );
    found.into_iter().map(Problem::Conflict).collect()
}

fn at_most(found: &mut Vec<String>, (key, size): (&str, ByteSize), (bound, most): (&str, ByteSize)) {
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
