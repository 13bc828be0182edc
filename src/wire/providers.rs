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
    /// Default properties, merged under each event of the provider.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(value_type = Object))]
    pub defaults: Map<String, Value>,
}

/// The registered actions and defaults of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ProviderAnswer {
    pub actions: Vec<String>,
    /// Default properties, merged under each event of the provider.
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
        Self { actions, defaults }
    }
}
