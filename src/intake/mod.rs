//! From the bytes of a request to the contents of events: parse, merge defaults, check, complete, make canonical.

use std::{collections::BTreeMap, sync::Arc};

use crate::event::Space;

/// Checks events and gives them their canonical form.
pub struct Intake {
    registry: Arc<Registry>,
}

impl Intake {
    /// `body` is one event, a JSON array of events, or NDJSON. Each event is judged on its own.
    pub fn accept(&self, space: Option<&Space>, body: &[u8]) -> Result<Accepted, BodyError> {
        let _ = (space, body);
        Ok(Accepted { items: Vec::new(), contents: Contents::default() })
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// What became of a body's events.
pub struct Accepted {
    /// One for each event, in the order of the body.
    pub items: Vec<Item>,
    /// The contents of those that are `Item::Accepted`, in the same order.
    pub contents: Contents,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Accepted {
        /// `event.id`
        id: String,
    },
    /// Below the minimum severity of its space.
    Filtered,
    /// Everything that is wrong with the event; never empty.
    Rejected(Vec<Violation>),
}

/// One thing that is wrong with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Dotted path, with indices for array elements: `kibana.saved_objects[0].rel`; empty for the event as a whole.
    pub path: String,
    pub expected: String,
    pub found: String,
}

/// Canonical contents, each with its digest, ready to be sealed.
#[derive(Default)]
pub struct Contents {}

impl Contents {
    pub fn len(&self) -> usize {
        0
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Why a body as a whole cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is empty: expected one event, an array of events, or one event a line")]
    Empty,
    #[error("the body has more than {limit} events")]
    TooMany { limit: usize },
    /// The JSON array itself is broken; nothing after the place can be told apart.
    #[error("the body is not JSON: {reason} at byte {offset}")]
    NotJson { offset: usize, reason: String },
}

/// The providers and their actions.
pub struct Registry {}

/// What is registered of one provider.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    pub actions: Vec<String>,
    /// Default properties, merged under each event of the provider.
    #[serde(default)]
    pub defaults: serde_json::Map<String, serde_json::Value>,
}

/// Why a registration was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("{path}: expected {expected}, found {found}", path = .0.path, expected = .0.expected, found = .0.found)]
    Invalid(Violation),
    /// It could not be made durable.
    #[error("the registration could not be written: {0}")]
    Write(String),
}

impl Registry {
    /// Adds the actions to those that are there and, if any are given, replaces the defaults; durable on return.
    pub fn register(&self, provider: &str, registration: Registration) -> Result<Registration, RegisterError> {
        let _ = provider;
        Ok(registration)
    }

    pub fn list(&self) -> BTreeMap<String, Registration> {
        BTreeMap::new()
    }
}
