//! `/api/event_log/dead_letters`: events that a store refused permanently.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DeadLettersAnswer {
    pub stores: Vec<StoreDeadLetters>,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StoreDeadLetters {
    pub store: String,
    pub total: u64,
    /// Oldest first.
    pub items: Vec<DeadLetterAnswer>,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DeadLetterAnswer {
    /// Chain and sequence, as in the id of the document.
    pub position: String,
    /// The index or table that the event was meant for.
    pub target: String,
    /// The message of the store.
    pub reason: String,
    pub refused_at: String,
    /// The sealed event.
    #[cfg_attr(feature = "server", schema(value_type = Object))]
    pub document: Box<RawValue>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ReplayAnswer {
    pub stores: Vec<StoreReplay>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StoreReplay {
    pub store: String,
    #[serde(flatten)]
    pub outcome: ReplayOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum ReplayOutcome {
    Done {
        /// Number of events that are now stored.
        stored: u64,
        /// Number of events that were refused again.
        refused: u64,
        /// Why the first of them was refused again: the message of the store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    Failed {
        /// Why not all could be offered: the message of the store.
        error: String,
    },
}
