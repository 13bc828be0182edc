//! Errors, in Kibana's format.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The body of every error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorAnswer<'a> {
    /// The HTTP status.
    // A proxy between client and server may answer with only the message.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required, example = 400))]
    pub status_code: u16,
    /// The name of the status.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required, example = "Bad Request"))]
    pub error: Cow<'a, str>,
    /// What was expected and what was found.
    #[cfg_attr(
        feature = "server",
        schema(example = "[request query.page]: Value must be equal to or greater than [1].")
    )]
    pub message: Cow<'a, str>,
}
