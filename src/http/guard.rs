//! Identifies callers and checks their permissions.
//!
//! The required permission is part of an [`Operation`](super::operation::Operation). A space that the caller may not see
//! answers as if it did not exist.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{RETRY_AFTER, Services, Shared, address::Peer, parameters::InSpace, places::Place};
use crate::{
    access::{Caller, Credentials, Identified, Permission, Principal, Refusal},
    error::{ErrorCode, Failure},
};

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

/// Identifies the caller, and refuses requests without known credentials, unless they are for an open operation.
pub(super) async fn authenticate(
    State(shared): State<Arc<Shared>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let is_open = path.is_some_and(|path| shared.open_paths.contains(&path.as_str()));
    let (mut parts, body) = request.into_parts();
    match identify(&shared, &parts).await {
        Ok(caller) => {
            if let Some(place) = parts.extensions.get::<Arc<Place>>()
                && !place.admit(caller.principal.to_string())
                && !is_open
            {
                let message = "too many requests are running, of this caller or of all; try again later";
                return Failure::new(ErrorCode::Busy, message).retry_after(RETRY_AFTER).into_response();
            }
            parts.extensions.insert(caller);
        }
        Err(_) if is_open => {}
        Err(failure) => return failure.into_response(),
    }
    next.run(Request::from_parts(parts, body)).await
}

async fn identify(shared: &Shared, Parts { method, headers, extensions, .. }: &Parts) -> Result<Caller, Failure> {
    let Services { access, proxies, .. } = &shared.services;
    let credentials = credentials(headers, access.session_cookie());
    let address = extensions.get::<Peer>().map(|peer| proxies.client(peer.0, headers));
    let principal = authenticated(shared, &credentials, address).await?;
    // A browser sends the session cookie automatically, even for another site's page (CSRF).
    let is_meant = method.is_safe() || ["kbn-xsrf", "kbn-version"].iter().any(|name| headers.contains_key(*name));
    if credentials.is_session_alone() && !is_meant {
        return Err(Failure::invalid("Request must contain a kbn-xsrf header."));
    }
    Ok(Caller { principal, credentials, address })
}

/// Authenticates the caller; records failed attempts in the audit log.
async fn authenticated(
    shared: &Shared,
    credentials: &Credentials,
    address: Option<IpAddr>,
) -> Result<Arc<Principal>, Failure> {
    if credentials.is_empty() {
        return Err(unauthenticated());
    }
    let Services { access, audit, clock, .. } = &shared.services;
    match access.identify(credentials, address, clock.now()).await {
        Identified::Known(principal) => Ok(principal),
        Identified::Unknown(attempts) => {
            if let Some(attempts) = attempts {
                audit.failed_attempts(attempts);
            }
            Err(unauthenticated())
        }
        Identified::Locked(wait) => {
            let message = "too many failed attempts; try again later";
            Err(Failure::new(ErrorCode::TooManyAttempts, message).retry_after(wait))
        }
        Identified::Unavailable(error) => Err(error.into()),
    }
}

fn unauthenticated() -> Failure {
    let message = "expected valid credentials, such as an API key in a header `authorization: ApiKey <key>`";
    Failure::new(ErrorCode::Unauthenticated, message)
}

/// Returns the credentials of a request: its `authorization`, unless there are several, and its session.
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

/// Refuses callers without the permission in this space.
pub(super) async fn check(
    State(permission): State<Permission>,
    InSpace(space): InSpace,
    caller: Caller,
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
        // Every name is a valid space, so this reveals nothing, and a writer has to learn why its events were refused.
        Refusal::Space if permission == Permission::LogEvents => {
            Failure::new(ErrorCode::Forbidden, "the caller may not log events in this space")
        }
        Refusal::Space => Failure::not_found(),
    }
}
