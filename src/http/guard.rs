//! Who is calling, and whether the route is theirs.
//!
//! An [`Operation`](super::operation::Operation) says what a caller needs for it. What is another space's answers as if there were nothing.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Services, Shared, address::Peer, parameters::InSpace};
use crate::{
    access::{Caller, Credentials, FailedAttempts, Identified, Permission, Refusal},
    audit::{Action, Record},
    error::{ErrorCode, Failure},
};

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

/// Finds out who is calling, and turns away whoever cannot say.
pub(super) async fn authenticate(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match identify(&shared, &parts).await {
        Ok(caller) => {
            parts.extensions.insert(caller);
        }
        Err(_) if shared.open_paths.contains(&parts.uri.path()) => {}
        Err(failure) => return failure.into_response(),
    }
    next.run(Request::from_parts(parts, body)).await
}

async fn identify(shared: &Shared, parts: &Parts) -> Result<Caller, Failure> {
    let Services { access, proxies, clock, .. } = &shared.services;
    let Parts { method, headers, extensions, .. } = parts;
    let credentials = credentials(headers, access.session_cookie());
    if credentials.is_empty() {
        return Err(unauthenticated());
    }
    let peer = extensions.get::<Peer>();
    let address = peer.map(|peer| proxies.client(peer.0, headers));
    let principal = match access.identify(&credentials, address, clock.now()).await {
        Identified::Known(principal) => principal,
        Identified::Unknown(attempts) => {
            if let Some(attempts) = attempts {
                shared.services.audit.record(authentication_failed(attempts));
            }
            return Err(unauthenticated());
        }
        Identified::Locked(wait) => {
            let message = "too many attempts failed; try again later";
            return Err(Failure::new(ErrorCode::TooManyAttempts, message).retry_after(wait));
        }
        Identified::Unavailable(error) => return Err(error.into()),
    };
    // A browser sends a session by itself, also for a page of somebody else's.
    let is_meant = method.is_safe() || ["kbn-xsrf", "kbn-version"].iter().any(|name| headers.contains_key(*name));
    if credentials.is_session_alone() && !is_meant {
        return Err(Failure::invalid("Request must contain a kbn-xsrf header."));
    }
    Ok(Caller { principal, credentials, address })
}

/// The event of the log's own that tells of failed attempts.
pub fn authentication_failed(attempts: FailedAttempts) -> Record {
    let FailedAttempts { address, login, attempts } = attempts;
    let from = address.map_or_else(|| "several addresses".to_owned(), |address| address.to_string());
    Record {
        action: Action::AuthenticationFailed,
        message: format!("{attempts} attempts to authenticate from {from} failed"),
        space: None,
        user: login,
        address,
        payload: json!({"attempts": attempts}),
    }
}

fn unauthenticated() -> Failure {
    let message = "expected known credentials, such as an API key in a header `authorization: ApiKey <key>`";
    Failure::new(ErrorCode::Unauthenticated, message)
}

/// What the request shows of who is calling: an `authorization` that is given once, and a session.
fn credentials(headers: &HeaderMap, session_cookie: Option<&str>) -> Credentials {
    let mut credentials = Credentials::default();
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    if let (Some(value), None) = (values.next(), values.next())
        && let Ok(value) = value.to_str()
    {
        credentials = credentials.with_authorization(value);
    }
    match session_cookie.and_then(|name| cookie(headers, name)) {
        Some(session) => credentials.with_session(session),
        None => credentials,
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let texts = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = texts.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(given, value)| *given == name && !value.is_empty()).map(|(_, value)| value)
}

/// Turns away whoever may not do this, here.
pub(super) async fn check(
    State(permission): State<Permission>,
    InSpace(space): InSpace,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match caller.principal.check(permission, space.as_ref()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refused(permission, &refusal).into_response(),
    }
}

fn refused(permission: Permission, refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::Role { .. } => Failure::new(ErrorCode::Forbidden, refusal.to_string()),
        // Any name is a space's, so this tells nothing; and who logs has to learn why it did not.
        Refusal::Space if permission == Permission::LogEvents => {
            Failure::new(ErrorCode::Forbidden, "the caller may not log in this space")
        }
        Refusal::Space => Failure::not_found(),
    }
}
