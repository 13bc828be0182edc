//! From layers to a configuration: the strongest value of each key, defaults for the rest, and whether they agree.

use std::{collections::BTreeMap, path::Path};

use serde_json::{Map, Value};

use super::{
    Config, Effective, Invalid, Origin, Problem, Setting, Store,
    keys::{KEYS, Key, KeyPath, Preset, StoreKind},
    layers::{Given, Layers},
};

pub(super) fn settle(layers: Layers) -> Result<(Config, Effective), Invalid> {
    let Layers { given, problems } = layers;
    let mut settled = Settled { values: BTreeMap::new(), stores: Vec::new(), problems };
    given.into_iter().for_each(|value| settled.take(value));
    settled.add_defaults();
    settled.check_auth();
    settled.into_config()
}

/// The strongest value of each key.
struct Settled {
    values: BTreeMap<KeyPath, Given>,
    /// In the order in which they were first named.
    stores: Vec<String>,
    problems: Vec<Problem>,
}

impl Settled {
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
        for name in self.names_in("providers") {
            for key in KEYS.iter().filter(|key| key.path.starts_with("providers.")) {
                self.add_default(key, &name);
            }
        }
    }

    fn complete_store(&mut self, name: &str) {
        let fits = !name.is_empty() && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if !fits {
            self.conflict(format!(
                "stores.{name:?}: expected a name of lower-case letters, digits, hyphens and underscores"
            ));
        }
        let kind = match self.text("stores.<name>.kind", name) {
            Some("sqlite") => StoreKind::Sqlite,
            Some("elasticsearch") => StoreKind::Elasticsearch,
            Some(_) => return,
            None => {
                return self.conflict(format!("stores.{name}.kind: not set; expected \"sqlite\" or \"elasticsearch\""));
            }
        };
        for key in KEYS.iter().filter(|key| key.path.starts_with("stores.")) {
            match key.store {
                Some(of) if of != kind => self.refuse_foreign(key, name, kind),
                Some(_) | None => self.add_default(key, name),
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
                self.check_address(name);
            }
        }
    }

    fn refuse_foreign(&mut self, key: &'static Key, name: &str, kind: StoreKind) {
        if let Some(given) = self.values.remove(&KeyPath::of(key, name)) {
            let expected = format!("no such key, for the store is of the kind {:?}", kind.as_str());
            self.problems.push(Problem::wrong(&given.path, expected, "a value", &given.origin));
        }
    }

    fn check_address(&mut self, name: &str) {
        let urls = self.has("stores.<name>.urls", name);
        match (urls, self.has("stores.<name>.cloud_id", name)) {
            (true, true) => {
                self.conflict(format!("stores.{name}: urls and cloud_id are both set; expected one of them"));
            }
            (false, false) => {
                self.conflict(format!("stores.{name}: neither urls nor cloud_id is set; expected one of them"))
            }
            (true, false) => {}
            (false, true) => {
                let auth = KeyPath(vec!["stores".to_owned(), name.to_owned(), "auth".to_owned()]);
                if !self.values.keys().any(|path| path.0.starts_with(&auth.0)) {
                    self.conflict(format!(
                        "stores.{name}.cloud_id: a cloud deployment asks for auth, which is not set"
                    ));
                }
            }
        }
    }

    /// A store is told one identity, and all of it.
    fn check_auth(&mut self) {
        for name in self.stores.clone() {
            let mut ways: BTreeMap<&str, Vec<(&Key, bool)>> = BTreeMap::new();
            for key in KEYS {
                if let Some((way, _)) =
                    key.path.strip_prefix("stores.<name>.auth.").and_then(|rest| rest.split_once('.'))
                {
                    ways.entry(way).or_default().push((key, self.values.contains_key(&KeyPath::of(key, &name))));
                }
            }
            ways.retain(|_, parts| parts.iter().any(|(_, set)| *set));
            let unset: Vec<_> = ways.values().flatten().filter(|(_, set)| !set).map(|(key, _)| *key).collect();
            let names: Vec<_> = ways.keys().map(|way| format!("auth.{way}")).collect();
            if names.len() > 1 {
                self.conflict(format!("stores.{name}: {} are both set; expected one of them", names.join(" and ")));
            }
            for key in unset {
                self.conflict(format!("{}: not set; the rest of its section is", KeyPath::of(key, &name)));
            }
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

    fn has(&self, key: &str, name: &str) -> bool {
        self.given(key, name).is_some()
    }

    fn text(&self, key: &str, name: &str) -> Option<&str> {
        self.given(key, name)?.value.as_str()
    }

    fn given(&self, key: &str, name: &str) -> Option<&Given> {
        let key = KEYS.iter().find(|known| known.path == key)?;
        self.values.get(&KeyPath::of(key, name))
    }

    fn names_in(&self, section: &str) -> Vec<String> {
        let in_section = self.values.keys().filter_map(|path| match path.0.as_slice() {
            [first, name, _, ..] if first == section => Some(name.clone()),
            _ => None,
        });
        let mut names: Vec<_> = in_section.collect();
        names.dedup();
        names
    }

    fn conflict(&mut self, message: String) {
        self.problems.push(Problem::Conflict(message));
    }

    fn into_config(mut self) -> Result<(Config, Effective), Invalid> {
        if !self.problems.is_empty() {
            return Err(Invalid(self.problems));
        }
        let mut tree = Value::Object(Map::new());
        for given in self.values.values() {
            plant(&mut tree, &given.path.0, given.value.clone());
        }
        let config: Config =
            serde_json::from_value(tree).map_err(|error| Invalid(vec![Problem::Conflict(error.to_string())]))?;
        self.problems = disagreements(&config);
        if self.problems.is_empty() { Ok((config, self.effective())) } else { Err(Invalid(self.problems)) }
    }

    fn effective(self) -> Effective {
        let row = |given: &Given| KEYS.iter().position(|key| key.path == given.key.path);
        let mut given: Vec<_> = self.values.into_values().collect();
        given.sort_by_cached_key(|value| {
            let named =
                value.key.path.contains("<name>").then(|| value.path.0.get(..2).map(<[String]>::to_vec)).flatten();
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
    check_stores(config, &mut found);
    found.extend(
        config.providers.keys().filter(|name| name.is_empty()).map(|_| "providers: a provider has no name".to_owned()),
    );
    found.into_iter().map(Problem::Conflict).collect()
}

fn at_most(found: &mut Vec<String>, (key, size): (&str, super::ByteSize), (bound, most): (&str, super::ByteSize)) {
    if size > most {
        found.push(format!("{key} ({size}) is more than {bound} ({most})"));
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
                let prefix = &elastic.index_prefix;
                if !prefix.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')) {
                    found.push(format!(
                        "stores.{name}.index_prefix: expected lower-case letters, digits, dots, hyphens and \
                         underscores, found {prefix:?}"
                    ));
                }
            }
        }
    }
}
