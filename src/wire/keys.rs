//! `/api/access/keys`: the log's own API keys.

use serde::{Deserialize, Serialize, Serializer};

use crate::units::Secret;

/// A new key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewKeyRequest {
    /// 1 to 64 letters, digits, dots, hyphens and underscores.
    #[cfg_attr(feature = "server", schema(example = "shop"))]
    pub name: String,
    pub grants: Vec<GrantRequest>,
    /// A time, or a duration from now; without it the key is valid until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "server", schema(example = "90d"))]
    pub expires: Option<String>,
}

/// A role, and where it applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// One of `admin`, `auditor`, `space-admin`, `space-auditor`, `writer`, `reader`, `monitor`.
    #[cfg_attr(feature = "server", schema(example = "writer"))]
    pub role: String,
    /// Names of spaces, or only `*`; none for `admin`, `auditor` and `monitor`, which apply to every space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(example = json!(["default"])))]
    pub spaces: Vec<String>,
    /// Of a writer: names of providers, or only `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(example = json!(["shop"])))]
    pub providers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KeysAnswer {
    /// In the order of their creation.
    pub keys: Vec<KeyAnswer>,
}

/// A key, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KeyAnswer {
    pub name: String,
    pub created: String,
    /// The caller who created it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Whether it has expired.
    pub expired: bool,
    pub grants: Vec<GrantAnswer>,
}

/// A role, and where it applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct GrantAnswer {
    #[cfg_attr(feature = "server", schema(example = "writer"))]
    pub role: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spaces: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
}

/// A new key with its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct NewKeyAnswer {
    /// The text of the key, which is only shown this once.
    #[serde(serialize_with = "expose")]
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub key: Secret,
    #[serde(flatten)]
    pub about: KeyAnswer,
}

fn expose<S: Serializer>(key: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose())
}
