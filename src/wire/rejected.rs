//! `/api/event_log/rejected`: events that were rejected on arrival.

use serde::{Deserialize, Serialize};

use super::Violation;

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RejectedAnswer {
    /// Whether rejected events are recorded: `events.rejected_bytes` is not 0.
    pub recording: bool,
    /// How many events are recorded; the oldest are removed when there are too many.
    pub total: u64,
    /// How many events were rejected since the start of the server, and could not be recorded.
    pub unrecorded: u64,
    /// Newest first.
    pub items: Vec<RejectedEvent>,
}

/// A rejected event, or a body that was rejected as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RejectedEvent {
    pub time: String,
    pub caller: RejectedCaller,
    /// The space of the request.
    pub space: String,
    /// The provider, the action and the id that the event names, as far as they can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The first errors.
    pub errors: Vec<Violation>,
    /// How many more errors there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_errors: u64,
    /// Whether the body was rejected as a whole; then `event` is the body.
    #[serde(default, skip_serializing_if = "is_false")]
    pub whole_body: bool,
    /// The event as it was sent.
    pub event: String,
    /// The length of the event as it was sent, in bytes.
    pub bytes: u64,
    /// Whether `event` is only the beginning.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RejectedCaller {
    pub name: String,
    /// How the caller was authenticated.
    pub realm: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
