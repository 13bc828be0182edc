//! Who is calling, and whether the route is theirs.
//!
//! A route cannot be served without a [`Guarded`] around its handlers, which says what a caller needs for it. What is
//! another space's answers as if there were nothing.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, header, request::Parts},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::MethodRouter,
};

use super::{Shared, parameters::InSpace};
use crate::{
    access::{Known, Need, Principal, Refusal},
    error::{ErrorCode, Failure},
};

/// The only paths that answer without a key.
const OPEN: [&str; 2] = ["/livez", "/readyz"];

/// The handlers of a path, each behind what it needs.
#[derive(Clone)]
pub(super) struct Guarded(MethodRouter<Arc<Shared>>);

impl Guarded {
    /// With further methods of the same path.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0.merge(other.0))
    }

    pub(super) fn into_methods(self) -> MethodRouter<Arc<Shared>> {
        self.0
    }
}

/// Handlers for callers who may do this.
pub(super) fn needs(need: Need, methods: MethodRouter<Arc<Shared>>) -> Guarded {
    Guarded(methods.route_layer(from_fn_with_state(need, check)))
}

/// Handlers for everyone; for [`OPEN`].
pub(super) fn open(methods: MethodRouter<Arc<Shared>>) -> Guarded {
    Guarded(methods)
}

/// Who is calling.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) principal: Arc<Principal>,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

/// Finds out who is calling, and turns away whoever cannot say.
pub(super) async fn authenticate(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    match caller(&shared, request.headers()) {
        Some(caller) => {
            request.extensions_mut().insert(caller);
        }
        None if OPEN.contains(&request.uri().path()) => {}
        None => return unauthenticated().into_response(),
    }
    next.run(request).await
}

fn caller(shared: &Shared, headers: &HeaderMap) -> Option<Caller> {
    let key = presented_key(headers)?;
    match shared.services.keys.look_up(key, shared.services.clock.now()) {
        Known::Key(principal) => Some(Caller { principal }),
        Known::Expired { .. } | Known::Unknown => None,
    }
}

fn unauthenticated() -> Failure {
    let message = "expected a known API key, in a header `authorization: ApiKey <key>`";
    Failure::new(ErrorCode::Unauthenticated, message)
}

/// `ApiKey <key>` or `Bearer <key>`, given once.
fn presented_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, key) = value.to_str().ok()?.trim().split_once(' ')?;
    let is_known = ["ApiKey", "Bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    is_known.then(|| key.trim())
}

/// Turns away whoever may not do this, here.
async fn check(
    State(need): State<Need>,
    InSpace(space): InSpace,
    Extension(caller): Extension<Caller>,
    request: Request,
    next: Next,
) -> Response {
    match caller.principal.check(need, space.as_ref()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refused(need, &refusal).into_response(),
    }
}

fn refused(need: Need, refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::Role { .. } => Failure::new(ErrorCode::Forbidden, refusal.to_string()),
        // Any name is a space's, so this tells nothing; and who logs has to learn why it did not.
        Refusal::Space if need == Need::LogEvents => {
            Failure::new(ErrorCode::Forbidden, "the caller may not log in this space")
        }
        Refusal::Space => absent(),
    }
}

/// What is not there, and what the caller may not see.
pub(super) fn absent() -> Failure {
    Failure::new(ErrorCode::NotFound, "Not Found")
}
