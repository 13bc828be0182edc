//! Providers, their actions and their default fields. Registrations survive restarts.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use serde_json::{Map, Value};

use super::{
    Limits, Violation,
    builder::{Defaults, EventBuilder},
    canonical::put_text,
    parse,
    scan::{Expected, Scanner, Token},
};
use crate::files;
pub use crate::wire::Registration;

/// Why a registration was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("{0}")]
    Invalid(Violation),
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
    providers: Mutex<BTreeMap<String, Registration>>,
    current: RwLock<Arc<Registered>>,
}

/// Registrations in the form used to check events. Names are quoted texts in canonical form, as in events.
#[derive(Default)]
pub(super) struct Registered(BTreeMap<Box<[u8]>, Provider>);

pub(super) struct Provider {
    pub(super) actions: BTreeSet<Box<[u8]>>,
    pub(super) defaults: Defaults,
}

impl Registered {
    pub(super) fn provider(&self, quoted: &[u8]) -> Option<&Provider> {
        self.0.get(quoted)
    }
}

impl Registry {
    /// Reads the existing registrations, if any.
    pub fn open(path: PathBuf, limits: Limits) -> Result<Self, RegistryError> {
        let fail = |reason: String| RegistryError { path: path.clone(), reason };
        let providers: BTreeMap<String, Registration> = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| fail(error.to_string()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(fail(error.to_string())),
        };
        let registered =
            compile(&providers, &limits).map_err(|violation| fail(RegisterError::Invalid(violation).to_string()))?;
        Ok(Self { path, limits, providers: Mutex::new(providers), current: RwLock::new(Arc::new(registered)) })
    }

    /// Adds actions to the existing ones and replaces the defaults if any are given; durable on return.
    pub fn register(&self, provider: &str, registration: Registration) -> Result<Registration, RegisterError> {
        check_names(provider, &registration.actions).map_err(RegisterError::Invalid)?;
        let mut providers = self.providers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = providers.clone();
        let entry = changed.entry(provider.to_owned()).or_default();
        let known: BTreeSet<String> = entry.actions.drain(..).chain(registration.actions).collect();
        entry.actions = known.into_iter().collect();
        if !registration.defaults.is_empty() {
            entry.defaults = registration.defaults;
        }
        let result = entry.clone();
        if *providers == changed {
            return Ok(result);
        }
        let registered = compile(&changed, &self.limits).map_err(RegisterError::Invalid)?;
        let bytes = serde_json::to_vec_pretty(&changed).map_err(|error| RegisterError::Write(error.to_string()))?;
        files::replace(&self.path, &bytes).map_err(|error| RegisterError::Write(error.to_string()))?;
        *providers = changed;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registered);
        Ok(result)
    }

    pub fn list(&self) -> BTreeMap<String, Registration> {
        self.providers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn current(&self) -> Arc<Registered> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
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

fn compile(providers: &BTreeMap<String, Registration>, limits: &Limits) -> Result<Registered, Violation> {
    let mut registered = BTreeMap::new();
    for (name, registration) in providers {
        let provider = Provider {
            actions: registration.actions.iter().map(|action| quoted(action)).collect(),
            defaults: compile_defaults(&registration.defaults, limits)?,
        };
        registered.insert(quoted(name), provider);
    }
    Ok(Registered(registered))
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
    let parsed = match scanner.value() {
        Ok(Token::Object) => parse::event(&mut scanner, &mut builder, limits),
        Ok(_) | Err(_) => scanner.fail(Expected::Object),
    };
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
