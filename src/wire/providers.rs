//! `/api/event_log/providers`: providers, their actions and their default properties.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Actions and defaults to register for a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Registration {
    pub actions: Vec<String>,
    /// Default properties, merged under each event of the provider in the space of the request. They replace the
    /// registered ones; an empty object clears them; without this member they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(value_type = Object))]
    pub defaults: Option<Map<String, Value>>,
    /// What is done with fields that the log does not know, in the space of the request; `events.unknown_fields` if no
    /// choice was made. Without this member the choice stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_fields: Option<UnknownFields>,
}

/// What is done with the fields of an event that the log does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnknownFields {
    /// The event is rejected.
    #[default]
    Refuse,
    /// They are moved to `annals.unmapped`, by their paths: sealed, stored and shown, but not searchable.
    Keep,
}

/// The registered actions and defaults of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ProviderAnswer {
    pub actions: Vec<String>,
    /// The default properties in the space of the request, with those of the configuration.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required, value_type = Object))]
    pub defaults: Map<String, Value>,
    /// The choice for the space of the request, if one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown_fields: Option<UnknownFields>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ProvidersAnswer {
    /// By name.
    pub providers: BTreeMap<String, ProviderAnswer>,
}

impl From<Registration> for ProviderAnswer {
    fn from(Registration { actions, defaults, unknown_fields }: Registration) -> Self {
        Self { actions, defaults: defaults.unwrap_or_default(), unknown_fields }
    }
}
