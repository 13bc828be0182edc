//! Writes answers as JSON, and errors in Kibana's format.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::error::{ErrorCode, Failure};
pub(super) use crate::wire::ErrorAnswer;

/// The header with the [`ErrorCode`]; the body has only Kibana's three fields.
pub(super) const ERROR_HEADER: &str = "annals-error";

/// The error code of an answer, for the layer that counts errors.
#[derive(Clone, Copy)]
pub(super) struct Code(pub(super) ErrorCode);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let message = message(&self);
        if self.code.status() >= 500 {
            let cause = self.cause.as_deref();
            tracing::warn!(code = self.code.name(), cause, "{message}");
        }
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = ErrorAnswer { status_code: status.as_u16(), error: reason(status).into(), message };
        let mut response = json(status, &body);
        mark(&mut response, &self);
        response
    }
}

/// Returns the message of an error; names the parameter at fault as Kibana does.
pub(super) fn message(failure: &Failure) -> Cow<'_, str> {
    match &failure.parameter {
        Some(name) => format!("[request query.{name}]: {}", failure.message).into(),
        None => failure.message.as_str().into(),
    }
}

/// Sets the headers for the error's code, when to retry, and how to authenticate.
pub(super) fn mark(response: &mut Response, failure: &Failure) {
    let headers = response.headers_mut();
    headers.insert(ERROR_HEADER, HeaderValue::from_static(failure.code.name()));
    if let Some(wait) = failure.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if failure.code == ErrorCode::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
    }
    response.extensions_mut().insert(Code(failure.code));
}

/// Returns the name of a status.
pub(super) fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => json_bytes(status, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(super) fn json_bytes(status: StatusCode, body: impl Into<Body>) -> Response {
    let head = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, head, body.into()).into_response()
}
