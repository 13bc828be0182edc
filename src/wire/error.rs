//! Errors, in the shape that Kibana gives them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The body of every answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ErrorAnswer<'a> {
    /// The HTTP status.
    // What stands between client and server may leave out all but the message.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required, example = 400))]
    pub status_code: u16,
    /// The name of the status.
    #[serde(default)]
    #[cfg_attr(feature = "server", schema(required, example = "Bad Request"))]
    pub error: Cow<'a, str>,
    /// What was expected and what came.
    #[cfg_attr(
        feature = "server",
        schema(example = "[request query.page]: Value must be equal to or greater than [1].")
    )]
    pub message: Cow<'a, str>,
}
