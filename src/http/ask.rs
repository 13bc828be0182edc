//! From a request to the store: whose events it is about, whether the caller may ask that, and for how long.

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::time::{Instant, timeout_at};

use super::{
    Shared,
    parameters::{InSpace, Names},
};
use crate::{
    access::{self, Principal},
    error::{ErrorCode, Failure},
    query::{ObjectScope, Query, Scope, ScopedQuery, Visible},
    store::StoreError,
};

/// Whose events the path asks for: those of the saved object that it names, or all that the caller may see, in the space
/// that the path begins with or, where it names none, in every one.
pub(super) struct InScope(pub(super) Scope);

impl<S: Send + Sync> FromRequestParts<S> for InScope {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let InSpace(space) = InSpace::from_request_parts(parts, state).await?;
        let mut names = Names::from_request_parts(parts, state).await?;
        let is_in_space = names.take("space").is_ok();
        let scope = match (names.take("type"), names.take("id")) {
            (Ok(object_type), Ok(id)) => Scope::Objects(ObjectScope { space, object_type, ids: vec![id] }),
            _ if is_in_space => Scope::Visible(Visible::Spaces(vec![space])),
            _ => Scope::Visible(Visible::Everything),
        };
        Ok(Self(scope))
    }
}

/// The query, limited to what the caller may see: the only way of the routes to a question that the store takes.
pub(super) async fn allowed(shared: &Shared, principal: &Principal, query: Query) -> Result<ScopedQuery, Failure> {
    let _ = shared;
    Ok(access::scope(principal, query))
}

/// What the store answers, if it does so before the deadline.
pub(super) async fn answered<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Failure> {
    let answer = timeout_at(deadline, answer).await;
    Ok(answer.map_err(|_| Failure::new(ErrorCode::StoreTimeout, "the store did not answer in time"))??)
}
