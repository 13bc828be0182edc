//! From a request to the store: whose events it is about, whether the caller may ask that, and for how long.

use axum::{extract::FromRequestParts, http::request::Parts};
use tokio::time::{Instant, timeout_at};

use super::{
    guard::{self, Caller},
    parameters::{InSpace, Names},
};
use crate::{
    access::{self, Denied, Permit},
    error::{ErrorCode, Failure},
    event::Space,
    query::ObjectScope,
    store::StoreError,
};

/// Whose events a request is about.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    Objects(ObjectScope),
    /// All that the caller may see: of this space (`Some(None)` is the default one), or of all.
    Visible(Option<Option<Space>>),
}

/// As the path says: the saved object that it names, or everything, in the space that it begins with or in all.
impl<S: Send + Sync> FromRequestParts<S> for Whose {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let InSpace(space) = InSpace::from_request_parts(parts, state).await?;
        let mut names = Names::from_request_parts(parts, state).await?;
        let is_in_space = names.take("space").is_ok();
        Ok(match (names.take("type"), names.take("id")) {
            (Ok(object_type), Ok(id)) => Self::Objects(ObjectScope { space, object_type, ids: vec![id] }),
            (Ok(_), Err(_)) | (Err(_), _) => Self::Visible(is_in_space.then_some(space)),
        })
    }
}

impl Whose {
    /// It is about no objects, so there is nothing to find, nor to be allowed.
    pub(super) fn is_nobody(&self) -> bool {
        match self {
            Self::Objects(objects) => objects.ids.is_empty(),
            Self::Visible(_) => false,
        }
    }

    /// The caller's permit to read these events: the one place where questions meet access.
    pub(super) async fn permit(self, caller: &Caller) -> Result<Permit, Failure> {
        let permit = match self {
            Self::Objects(objects) => access::permit(&caller.principal, objects),
            Self::Visible(within) => access::permit_visible(&caller.principal, within),
        };
        permit.map_err(|Denied| guard::absent())
    }
}

/// What the store answers, if it does so before the deadline.
pub(super) async fn answered<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Failure> {
    let answer = timeout_at(deadline, answer).await;
    Ok(answer.map_err(|_| Failure::new(ErrorCode::StoreTimeout, "the store did not answer in time"))??)
}
