//! Providers, their actions and their default properties.
//!
//! Registrations of callers survive restarts. Their defaults hold in one space, and cannot say who did something, from
//! where, how it ended or about which objects: they are merged under the events of every writer there. The
//! registrations of the log itself and of the configuration hold in every space, are not stored, and cannot be changed.
//!
//! # Format 2
//!
//! `{"format": 2, "providers": {"<name>": {"actions": […], "defaults": {"<space>": {…}}}}}`. In format 1 the file was
//! the object of providers alone, with one object of defaults for each, which held in every space; they are read as
//! those of the default space.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::unknown::UnknownFields;
use super::{
    Limits, Violation,
    builder::EventBuilder,
    canonical::put_text,
    defaults::Defaults,
    parse, rules,
    scan::{Expected, OnBadText, Scanner, Token},
};
pub use crate::wire::Registration;
use crate::{
    event::Space,
    files,
    reserved::looks_like_reserved,
    schema::{Member, Tree},
};

const FORMAT: u32 = 2;

/// Maximum number of actions of a provider.
const MAX_ACTIONS: usize = 1_000;
/// Maximum bytes of a provider's defaults in one space, as JSON.
const MAX_DEFAULTS: usize = 4 << 10;
/// Maximum bytes of all registrations together.
const MAX_BYTES: usize = 16 << 20;

/// Fields that callers' defaults cannot set, each with everything below it.
const NO_DEFAULTS: [&str; 14] = [
    "@timestamp",
    "client",
    "destination",
    "event.id",
    "event.outcome",
    "event.provider",
    "group",
    "host",
    "kibana.saved_objects",
    "kibana.space_ids",
    "related",
    "server",
    "source",
    "user",
];

/// Why a registration was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("{0}")]
    Invalid(Violation),
    #[error("the provider {name:?} looks like {own:?}, which is the log's own")]
    Reserved { name: String, own: &'static str },
    #[error("the registrations of all providers would have more than {MAX_BYTES} bytes; delete some that are not used")]
    TooMany,
    #[error("there is no provider of this name")]
    Absent,
    #[error("the provider belongs to the log or its configuration, and cannot be deleted")]
    Fixed,
    /// The registration could not be made durable.
    #[error("the registration could not be written: {0}")]
    Write(String),
}

/// Why the existing registrations cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the registrations in {} cannot be read: {reason}", path.display())]
pub struct RegistryError {
    path: PathBuf,
    reason: String,
}

/// The providers and their actions.
pub struct Registry {
    path: PathBuf,
    limits: Limits,
    /// Locked while the file is written, so that concurrent registrations do not overwrite each other.
    changing: Mutex<()>,
    providers: Mutex<Providers>,
    current: RwLock<Arc<Registered>>,
    /// Bytes of all registrations, approximately.
    bytes: AtomicUsize,
}

#[derive(Clone, Default)]
struct Providers {
    /// Of the log itself and of the configuration.
    fixed: BTreeMap<String, Registration>,
    /// Of callers.
    stored: BTreeMap<String, Stored>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    providers: BTreeMap<String, Stored>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    actions: BTreeSet<String>,
    /// By the name of the space.
    #[serde(default)]
    defaults: BTreeMap<String, Map<String, Value>>,
    /// By the name of the space.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    unknown_fields: BTreeMap<String, UnknownFields>,
}

/// A registration before and after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `None` if the provider was not registered.
    pub before: Option<Registration>,
    pub after: Registration,
}

/// Registrations in the form used to check events. Names are quoted texts in canonical form, as in events.
#[derive(Default)]
pub(super) struct Registered {
    providers: BTreeMap<Box<[u8]>, Provider>,
    largest_defaults: usize,
    /// Whether some provider's unknown fields are kept in some space.
    keeps_unknown_fields: bool,
}

pub(super) struct Provider {
    pub(super) actions: BTreeSet<Box<[u8]>>,
    defaults: Defaults,
    /// In the spaces that have defaults of their own, by name.
    by_space: BTreeMap<String, Defaults>,
    unknown_fields: Option<UnknownFields>,
    /// In the spaces that have an own choice, by name.
    unknown_by_space: BTreeMap<String, UnknownFields>,
}

impl Registered {
    pub(super) fn provider(&self, quoted: &[u8]) -> Option<&Provider> {
        self.providers.get(quoted)
    }

    /// Bytes of the largest defaults of any provider.
    pub(super) fn largest_defaults(&self) -> usize {
        self.largest_defaults
    }

    pub(super) fn keeps_unknown_fields(&self) -> bool {
        self.keeps_unknown_fields
    }
}

impl Provider {
    /// The defaults of events in this space.
    pub(super) fn defaults(&self, space: Option<&Space>) -> &Defaults {
        if self.by_space.is_empty() {
            return &self.defaults;
        }
        self.by_space.get(Space::name(space)).unwrap_or(&self.defaults)
    }

    /// What is done with the unknown fields of events in this space, if that was chosen.
    pub(super) fn unknown_fields(&self, space: Option<&Space>) -> Option<UnknownFields> {
        self.unknown_by_space.get(Space::name(space)).copied().or(self.unknown_fields)
    }
}

impl Registry {
    /// Reads the existing registrations, if any. Those of names that look like the log's own are ignored.
    pub fn open(path: PathBuf, limits: Limits) -> Result<Self, RegistryError> {
        let fail = |reason: String| RegistryError { path: path.clone(), reason };
        let mut stored = read(&path).map_err(fail)?;
        stored.retain(|name, _| {
            let reserved = looks_like_reserved(name);
            if let Some(own) = reserved {
                tracing::warn!(provider = name, own, "a registered provider looks like the log's own, and is ignored");
            }
            reserved.is_none()
        });
        for (provider, stored) in &mut stored {
            for (space, defaults) in &mut stored.defaults {
                for field in drop_unknown(defaults, "") {
                    tracing::warn!(
                        provider,
                        space,
                        field,
                        "a registered default is ignored: events have no such field"
                    );
                }
            }
        }
        let providers = Providers { fixed: BTreeMap::new(), stored };
        let registered = providers.compile(&limits).map_err(|violation| fail(violation.to_string()))?;
        let bytes = AtomicUsize::new(providers.bytes());
        Ok(Self {
            path,
            limits,
            changing: Mutex::new(()),
            providers: Mutex::new(providers),
            current: RwLock::new(Arc::new(registered)),
            bytes,
        })
    }

    /// Adds a provider of the log itself or of the configuration.
    pub fn add_fixed(&self, provider: &str, registration: Registration) -> Result<(), RegisterError> {
        check_names(provider, &registration.actions).map_err(RegisterError::Invalid)?;
        let _changing = self.changing();
        let mut changed = self.lock().clone();
        changed.fixed.insert(provider.to_owned(), registration);
        let registered = changed.compile(&self.limits).map_err(RegisterError::Invalid)?;
        self.apply(changed, registered);
        Ok(())
    }

    /// Adds actions to the existing ones, and replaces the defaults in this space if any are given; durable on return.
    /// `record` is called for a change that nothing but the disk can prevent; its failure does.
    pub fn register<E: From<RegisterError>>(
        &self,
        provider: &str,
        space: Option<&Space>,
        registration: Registration,
        record: impl FnOnce(&Change) -> Result<(), E>,
    ) -> Result<Change, E> {
        if let Some(own) = looks_like_reserved(provider) {
            return Err(RegisterError::Reserved { name: provider.to_owned(), own }.into());
        }
        check_names(provider, &registration.actions).map_err(RegisterError::Invalid)?;
        if let Some(defaults) = &registration.defaults {
            check_defaults(defaults).map_err(RegisterError::Invalid)?;
        }
        let _changing = self.changing();
        let providers = self.lock().clone();
        let mut changed = providers.clone();
        let stored = changed.stored.entry(provider.to_owned()).or_default();
        stored.actions.extend(registration.actions);
        if stored.actions.len() > MAX_ACTIONS {
            let expected = format!("at most {MAX_ACTIONS} actions of a provider");
            let found = stored.actions.len().to_string();
            return Err(RegisterError::Invalid(Violation { path: "actions".to_owned(), expected, found }).into());
        }
        match registration.defaults {
            None => {}
            Some(defaults) if defaults.is_empty() => drop(stored.defaults.remove(Space::name(space))),
            Some(defaults) => drop(stored.defaults.insert(Space::name(space).to_owned(), defaults)),
        }
        if let Some(unknown_fields) = registration.unknown_fields {
            stored.unknown_fields.insert(Space::name(space).to_owned(), unknown_fields);
        }
        let after = changed.in_space(provider, space).unwrap_or_default();
        let change = Change { before: providers.in_space(provider, space), after };
        if providers.stored != changed.stored {
            self.store(changed, || record(&change))?;
        }
        Ok(change)
    }

    /// Deletes a provider, with its defaults in every space; durable on return. Returns what it was. `record` is called
    /// as in [`Self::register`].
    pub fn delete<E: From<RegisterError>>(
        &self,
        provider: &str,
        record: impl FnOnce(&Registration) -> Result<(), E>,
    ) -> Result<Registration, E> {
        let _changing = self.changing();
        let mut changed = self.lock().clone();
        let Some(stored) = changed.stored.remove(provider) else {
            let is_fixed = changed.fixed.contains_key(provider);
            return Err(if is_fixed { RegisterError::Fixed } else { RegisterError::Absent }.into());
        };
        let defaults = stored.defaults.into_iter().map(|(space, defaults)| (space, Value::Object(defaults)));
        let before = Registration {
            actions: stored.actions.into_iter().collect(),
            defaults: Some(defaults.collect()),
            unknown_fields: None,
        };
        self.store(changed, || record(&before))?;
        Ok(before)
    }

    /// The providers with the defaults that hold in this space.
    pub fn list(&self, space: Option<&Space>) -> BTreeMap<String, Registration> {
        let providers = self.lock();
        let names: BTreeSet<_> = providers.fixed.keys().chain(providers.stored.keys()).collect();
        names.into_iter().filter_map(|name| Some((name.clone(), providers.in_space(name, space)?))).collect()
    }

    pub fn is_registered(&self, provider: &str) -> bool {
        let mut quoted = Vec::new();
        put_text(provider, &mut quoted);
        self.current().provider(&quoted).is_some()
    }

    /// Returns how many bytes the names, actions and defaults of all providers have, approximately.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn current(&self) -> Arc<Registered> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Providers> {
        self.providers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while a change is made, which may wait for the disk.
    fn changing(&self) -> std::sync::MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, changed: Providers, registered: Registered) {
        self.bytes.store(changed.bytes(), Ordering::Relaxed);
        *self.lock() = changed;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registered);
    }

    /// Writes the registrations of callers to disk and applies them, if events can be checked by them.
    fn store<E: From<RegisterError>>(
        &self,
        changed: Providers,
        record: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let registered = changed.compile(&self.limits).map_err(RegisterError::Invalid)?;
        let file = File { format: FORMAT, providers: changed.stored.clone() };
        let bytes = serde_json::to_vec_pretty(&file).map_err(|error| RegisterError::Write(error.to_string()))?;
        if bytes.len() > MAX_BYTES {
            return Err(RegisterError::TooMany.into());
        }
        record()?;
        files::replace(&self.path, &bytes).map_err(|error| RegisterError::Write(error.to_string()))?;
        self.apply(changed, registered);
        Ok(())
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, Stored>, String> {
    let bytes = files::read_if_exists(path).map_err(|error| error.to_string())?;
    let Some(bytes) = bytes else { return Ok(BTreeMap::new()) };
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    match value.get("format") {
        Some(Value::Number(format)) if format.as_u64() == Some(FORMAT.into()) => {
            let file: File = serde_json::from_value(value).map_err(|error| error.to_string())?;
            Ok(file.providers)
        }
        Some(Value::Number(format)) => Err(format!(
            "it has format {format}, but this program only supports formats up to {FORMAT}: use a newer program"
        )),
        Some(_) | None => {
            let providers: BTreeMap<String, Registration> =
                serde_json::from_value(value).map_err(|error| error.to_string())?;
            Ok(providers.into_iter().map(|(name, registration)| (name, Stored::of_format_1(registration))).collect())
        }
    }
}

impl Stored {
    fn of_format_1(Registration { actions, defaults, .. }: Registration) -> Self {
        let defaults = defaults.filter(|defaults| check_defaults(defaults).is_ok());
        let defaults = defaults.filter(|defaults| !defaults.is_empty());
        Self {
            actions: actions.into_iter().collect(),
            defaults: defaults.map(|defaults| (Space::DEFAULT.to_owned(), defaults)).into_iter().collect(),
            unknown_fields: BTreeMap::new(),
        }
    }
}

impl Providers {
    fn bytes(&self) -> usize {
        let defaults = |defaults: &Map<String, Value>| Value::Object(defaults.clone()).to_string().len();
        let fixed = self.fixed.iter().map(|(name, Registration { actions, defaults: given, .. })| {
            name.len() + actions.iter().map(String::len).sum::<usize>() + given.as_ref().map_or(0, defaults)
        });
        let stored = self.stored.iter().map(|(name, stored)| {
            let of_spaces = stored.defaults.iter().map(|(space, given)| space.len() + defaults(given));
            name.len() + stored.actions.iter().map(String::len).sum::<usize>() + of_spaces.sum::<usize>()
        });
        fixed.chain(stored).sum()
    }

    /// All actions of the provider, and the defaults that hold in this space.
    fn in_space(&self, provider: &str, space: Option<&Space>) -> Option<Registration> {
        let (fixed, stored) = (self.fixed.get(provider), self.stored.get(provider));
        if fixed.is_none() && stored.is_none() {
            return None;
        }
        let mut actions: BTreeSet<String> = fixed.into_iter().flat_map(|fixed| &fixed.actions).cloned().collect();
        actions.extend(stored.into_iter().flat_map(|stored| &stored.actions).cloned());
        let space = Space::name(space);
        let defaults = self.defaults(provider, space);
        let own = stored.and_then(|stored| stored.unknown_fields.get(space).copied());
        let unknown_fields = own.or(fixed.and_then(|fixed| fixed.unknown_fields));
        Some(Registration { actions: actions.into_iter().collect(), defaults: Some(defaults), unknown_fields })
    }

    /// The defaults of the space, over those of the configuration.
    fn defaults(&self, provider: &str, space: &str) -> Map<String, Value> {
        let fixed = self.fixed.get(provider).and_then(|fixed| fixed.defaults.clone()).unwrap_or_default();
        let own = self.stored.get(provider).and_then(|stored| stored.defaults.get(space));
        own.map_or(fixed.clone(), |own| merged(fixed, own))
    }

    fn compile(&self, limits: &Limits) -> Result<Registered, Violation> {
        let mut registered = BTreeMap::new();
        let names: BTreeSet<_> = self.fixed.keys().chain(self.stored.keys()).collect();
        for name in names {
            let spaces = self.stored.get(name).into_iter().flat_map(|stored| stored.defaults.keys());
            let compiled = spaces.map(|space| {
                let defaults = compile_defaults(&self.defaults(name, space), limits)?;
                Ok((space.clone(), defaults))
            });
            let fixed = self.fixed.get(name).and_then(|fixed| fixed.defaults.clone()).unwrap_or_default();
            let provider = Provider {
                by_space: compiled.collect::<Result<_, Violation>>()?,
                actions: self
                    .in_space(name, None)
                    .unwrap_or_default()
                    .actions
                    .iter()
                    .map(|name| quoted(name))
                    .collect(),
                defaults: compile_defaults(&fixed, limits)?,
                unknown_fields: self.fixed.get(name).and_then(|fixed| fixed.unknown_fields),
                unknown_by_space: self.stored.get(name).map(|stored| stored.unknown_fields.clone()).unwrap_or_default(),
            };
            registered.insert(quoted(name), provider);
        }
        let defaults =
            registered.values().flat_map(|Provider { defaults, by_space, .. }| by_space.values().chain([defaults]));
        let largest_defaults = defaults.map(|defaults| defaults.bytes().len()).max().unwrap_or(0);
        let keeps = |provider: &Provider| {
            provider.unknown_by_space.values().chain(&provider.unknown_fields).any(|own| *own == UnknownFields::Keep)
        };
        let keeps_unknown_fields = registered.values().any(keeps);
        Ok(Registered { providers: registered, largest_defaults, keeps_unknown_fields })
    }
}

/// Lays the members of one object over those of another, objects member by member.
fn merged(mut under: Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    for (name, value) in over {
        let value = match (under.remove(name), value) {
            (Some(Value::Object(under)), Value::Object(over)) => Value::Object(merged(under, over)),
            (_, value) => value.clone(),
        };
        under.insert(name.clone(), value);
    }
    under
}

fn check_names(provider: &str, actions: &[String]) -> Result<(), Violation> {
    let check = |path: String, name: &str| {
        let fits = (1..=1024).contains(&name.len()) && !name.chars().any(char::is_control);
        let found = if name.len() > 1024 { format!("{} bytes", name.len()) } else { format!("{name:?}") };
        let expected = "a text of 1 to 1024 bytes without control characters".to_owned();
        if fits { Ok(()) } else { Err(Violation { path, expected, found }) }
    };
    check("provider".to_owned(), provider)?;
    if actions.is_empty() {
        let expected = "at least one action".to_owned();
        return Err(Violation { path: "actions".to_owned(), expected, found: "none".to_owned() });
    }
    actions.iter().enumerate().try_for_each(|(index, action)| check(format!("actions[{index}]"), action))
}

/// Whether a caller may give these defaults to all events of a provider in a space.
fn check_defaults(defaults: &Map<String, Value>) -> Result<(), Violation> {
    let bytes = Value::Object(defaults.clone()).to_string().len();
    if bytes > MAX_DEFAULTS {
        let expected = format!("at most {MAX_DEFAULTS} bytes");
        return Err(Violation { path: "defaults".to_owned(), expected, found: format!("{bytes} bytes") });
    }
    match first_forbidden(defaults, "") {
        None => Ok(()),
        Some(path) => Err(Violation {
            path: format!("defaults.{path}"),
            expected: "nothing that says who did something, where, how it ended or about which objects: each event says that itself"
                .to_owned(),
            found: path,
        }),
    }
}

/// Drops the members that events do not have, or no longer have, and returns their paths. Names may be dotted.
fn drop_unknown(object: &mut Map<String, Value>, above: &str) -> Vec<String> {
    let mut dropped = Vec::new();
    object.retain(|name, value| {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match (Tree::get().find(&path), value) {
            (Some(Member::Object(_)), Value::Object(inner)) => dropped.extend(drop_unknown(inner, &path)),
            (Some(_), _) => {}
            (None, _) => {
                dropped.push(path);
                return false;
            }
        }
        true
    });
    dropped
}

/// Returns the first path that is, or is below, one that defaults cannot set. Names may be dotted.
fn first_forbidden(object: &Map<String, Value>, above: &str) -> Option<String> {
    object.iter().find_map(|(name, value)| {
        let path = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        let is_within =
            |field: &&str| path.strip_prefix(*field).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if NO_DEFAULTS.iter().any(is_within) {
            return Some(path);
        }
        value.as_object().and_then(|value| first_forbidden(value, &path))
    })
}

fn quoted(name: &str) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    put_text(name, &mut bytes);
    bytes.into_boxed_slice()
}

fn compile_defaults(defaults: &Map<String, Value>, limits: &Limits) -> Result<Defaults, Violation> {
    let input = Value::Object(defaults.clone()).to_string();
    let mut scanner = Scanner::new(input.as_bytes(), 0);
    let mut builder = EventBuilder::new();
    let limits = Limits { on_bad_text: OnBadText::Refuse, ..*limits };
    let parsed = match scanner.value() {
        Ok(Token::Object) => parse::event(&mut scanner, &mut builder, &limits),
        Ok(_) | Err(_) => scanner.fail(Expected::Object),
    };
    if parsed.is_ok() {
        rules::check_values(&mut builder, input.as_bytes());
    }
    let mut violation = builder.violations.take().into_iter().next();
    if let Err(syntax) = parsed {
        let expected = syntax.expected.as_str().to_owned();
        violation = Some(Violation { path: String::new(), expected, found: "something else".to_owned() });
    }
    match violation {
        Some(violation) => {
            let path =
                if violation.path.is_empty() { "defaults".to_owned() } else { format!("defaults.{}", violation.path) };
            Err(Violation { path, ..violation })
        }
        None => Ok(builder.into_defaults(input.as_bytes())),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn defaults_of_a_field_that_was_removed_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("providers.json");
        let defaults = serde_json::json!({
            "acme": {"ticket": "T"}, "event": {"acme": 1, "kind": "event"}, "event.gone": 1, "labels": {"any": "x"}, "tags": ["a"],
        });
        let file = serde_json::json!({
            "format": 2, "providers": {"p": {"actions": ["a"], "defaults": {"default": defaults}}},
        });
        std::fs::write(&path, file.to_string()).unwrap();
        let registry = Registry::open(path, Limits::default()).unwrap();
        let left = registry.list(None).remove("p").unwrap().defaults.unwrap();
        let expected = serde_json::json!({"event": {"kind": "event"}, "labels": {"any": "x"}, "tags": ["a"]});
        assert_eq!(Value::Object(left), expected);
    }

    #[test]
    fn whichever_system_call_fails_the_next_start_knows_the_registrations_that_were_acknowledged() {
        for before in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("providers.json");
            let open = || Registry::open(path.clone(), Limits::default()).unwrap();
            let registration = || Registration { actions: vec!["a".to_owned()], ..Registration::default() };
            open().register("before", None, registration(), |_| Ok::<_, RegisterError>(())).unwrap();
            let fault = files::faults::OneFault::after(before, folder.path());
            let registry = Registry::open(path.clone(), Limits::default()).unwrap_or_else(|_| open());
            let acknowledged: Vec<_> = ["x", "y"]
                .into_iter()
                .filter(|name| registry.register(name, None, registration(), |_| Ok::<_, RegisterError>(())).is_ok())
                .collect();
            let failed = fault.failed();
            drop(fault);
            let known = open().list(None);
            for name in acknowledged.into_iter().chain(["before"]) {
                assert!(known.contains_key(name), "{failed:?}: {name}");
            }
            open().register("after", None, registration(), |_| Ok::<_, RegisterError>(())).unwrap();
            if failed.is_none() {
                assert!(before > 8, "{before}");
                break;
            }
        }
    }
}
