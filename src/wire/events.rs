//! `/api/event_log/events`: the results for the events of a request.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The answer to a request that logs events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct EventsAnswer {
    /// One for each event, in the order of the request.
    pub items: Vec<EventResult>,
    /// With `wait_for=stored`: whether the events can be found now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<bool>,
    /// What will surprise about the accepted events; at most one for each code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// Something that will surprise about accepted events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Warning {
    pub code: WarningCode,
    /// How many events of the request it is true of.
    pub events: u64,
    /// The index of the first of them in the request. Path and message are about that one.
    pub first: u64,
    #[cfg_attr(feature = "server", schema(example = "kibana.saved_objects"))]
    pub path: String,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// The event cannot be found by an object.
    NoPrimaryObject,
    /// Its time is more than a day before that of the request, or more than five minutes after it.
    DistantTime,
    /// The log does not know its `log.level`, so its severity was guessed.
    UnknownLevel,
    /// The log does not know some of its fields: they are kept in `annals.unmapped`, and cannot be searched.
    UnmappedFields,
    /// Texts that no store can keep, or find, as they came were repaired: `annals.repaired` names their fields.
    RepairedTexts,
    /// A code of a later server. No server says "unknown", so it cannot be serialized.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl fmt::Display for Warning {
    /// Path and message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&at(&self.path, &self.message))
    }
}

/// The answer if every event is invalid, or the request itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct AllRejectedAnswer {
    #[cfg_attr(feature = "server", schema(example = 400))]
    pub status_code: u16,
    #[cfg_attr(feature = "server", schema(example = "Bad Request"))]
    pub error: String,
    pub message: String,
    /// Absent if the request itself is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<EventResult>>,
}

/// The result for one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum EventResult {
    /// Sealed and on disk.
    Accepted(Receipt),
    /// Not logged again: the same caller has logged an event with this id before. The receipt is that one's.
    Duplicate(Duplicate),
    /// Below the minimum severity of its space, and therefore not logged.
    Filtered,
    /// The journal is full, and the log is configured to drop events then.
    Dropped,
    /// Valid but not logged: the log is configured to keep no events.
    NotKept,
    Rejected(Rejection),
    /// A status of a later server. No server says "unknown", so it cannot be serialized.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// Proof that an event was accepted, and its position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// `event.id`
    pub id: String,
    pub chain: String,
    pub sequence: u64,
    /// The hash of the event's leaf in the tree of its chain, base64url without padding. Absent if its chain is not
    /// sealed: the receipt then proves nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// The receipt of the event that was logged with the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Duplicate {
    #[serde(flatten)]
    pub receipt: Receipt,
    /// Whether that one has other content, so that this one is lost: ids must not be used twice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub differs: bool,
}

/// The errors of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Rejection {
    pub error: FirstError,
    /// At most 100 per event and, once the answer has 10,000, one. The last one then states how many more there are.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required))]
    pub errors: Vec<Violation>,
}

/// The first error of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FirstError {
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required))]
    pub path: String,
    pub reason: String,
}

/// An error of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Violation {
    /// Dotted path, with indices for array elements; empty for the event as a whole.
    #[cfg_attr(feature = "server", schema(example = "kibana.saved_objects[0].rel"))]
    pub path: String,
    pub expected: String,
    pub found: String,
}

impl Rejection {
    pub fn new(violations: Vec<Violation>) -> Self {
        let error = match violations.first() {
            Some(first) => FirstError { path: first.path.clone(), reason: first.reason() },
            None => FirstError { path: String::new(), reason: String::new() },
        };
        Self { error, errors: violations }
    }

    /// One line for each violation.
    pub fn lines(&self) -> Vec<String> {
        if self.errors.is_empty() {
            return vec![at(&self.error.path, &self.error.reason)];
        }
        self.errors.iter().map(Violation::to_string).collect()
    }
}

impl Violation {
    pub fn reason(&self) -> String {
        format!("expected {}, found {}", self.expected, self.found)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&at(&self.path, &self.reason()))
    }
}

fn at(path: &str, reason: &str) -> String {
    if path.is_empty() { reason.to_owned() } else { format!("{path}: {reason}") }
}
