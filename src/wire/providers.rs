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
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ProvidersAnswer {
    /// By name.
    pub providers: BTreeMap<String, ProviderAnswer>,
}

impl From<Registration> for ProviderAnswer {
    fn from(Registration { actions, defaults }: Registration) -> Self {
        Self { actions, defaults: defaults.unwrap_or_default() }
    }
}
