//! `/livez` and `/readyz`.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LiveAnswer {
    #[cfg_attr(feature = "server", schema(example = "alive"))]
    pub status: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReadyAnswer {
    pub status: Readiness,
    /// For callers who may see metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<WriterHealth>,
    /// For callers who may see metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stores: Option<Vec<StoreHealth>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Events are accepted, and every store is set up and makes progress.
    Ready,
    /// Events are accepted, but something keeps a store from making progress, or it has not been set up since the start.
    Degraded,
    /// No events are accepted.
    Unavailable,
    /// A status of a later server.
    #[serde(other, skip_serializing)]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct WriterHealth {
    pub accepting: bool,
    /// Why it does not accept events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Number of acknowledged events that were missing from the journal at the start; after a crash, at least. Stores
    /// may have them: those that lack them count them in `missing_events`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_events: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StoreHealth {
    pub store: String,
    /// Events in the journal that the store has not confirmed.
    pub behind_events: u64,
    pub behind_bytes: u64,
    /// Age of the oldest of them.
    pub behind_seconds: f64,
    pub dead_letters: u64,
    /// Events of this writer that the store has and the journal had lost at the start: the data folder is an old copy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beyond_journal: u64,
    /// The greatest possible number of events that are neither in the store nor in the journal: the store was replaced,
    /// emptied or set back, a part of the journal was lost, or the store was not configured while others received them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing_events: u64,
    /// What keeps the store from making progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
