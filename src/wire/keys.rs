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

/// One role, and where it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// One of `admin`, `auditor`, `space-admin`, `space-auditor`, `writer`, `reader`, `monitor`.
    #[cfg_attr(feature = "server", schema(example = "writer"))]
    pub role: String,
    /// Names of spaces, or `*` alone; none for `admin`, `auditor` and `monitor`, which are the same in every space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(example = json!(["default"])))]
    pub spaces: Vec<String>,
    /// Of a writer: names of providers, or `*` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "server", schema(example = json!(["shop"])))]
    pub providers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KeysAnswer {
    /// In the order in which they were made.
    pub keys: Vec<KeyAnswer>,
}

/// A key, without its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KeyAnswer {
    pub name: String,
    pub created: String,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// It has expired.
    pub expired: bool,
    pub grants: Vec<GrantAnswer>,
}

/// One role, and where it holds.
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
    /// The text of the key, which is shown this once.
    #[serde(serialize_with = "expose")]
    #[cfg_attr(feature = "server", schema(value_type = String))]
    pub key: Secret,
    #[serde(flatten)]
    pub about: KeyAnswer,
}

fn expose<S: Serializer>(key: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(key.expose())
}
