//! What several routes describe alike.

use utoipa::IntoResponses;

use crate::http::answer::ErrorAnswer;

/// Why a body is not read.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "a description")]
pub(super) enum BodyErrors {
    /// The body is too large
    #[response(status = 413)]
    TooLarge(ErrorAnswer<'static>),
    /// The content type or encoding is not accepted
    #[response(status = 415)]
    Unsupported(ErrorAnswer<'static>),
}
