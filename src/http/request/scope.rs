//! Extracts the scope of a request from its path.

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{
    error::Failure,
    http::parameters::{InSpace, Names},
    read::{ObjectIds, RequestedScope},
};

/// The saved object in the path, or all events: those of the space in the path, or of all spaces.
impl<S: Send + Sync> FromRequestParts<S> for RequestedScope {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let InSpace(space) = InSpace::from_request_parts(parts, state).await?;
        let mut names = Names::from_request_parts(parts, state).await?;
        let is_in_space = names.take("space").is_ok();
        Ok(match (names.take("type"), names.take("id")) {
            (Ok(object_type), Ok(id)) => Self::Objects { space, object_type, ids: ObjectIds::one(id) },
            (Ok(_), Err(_)) | (Err(_), _) if is_in_space => Self::Space(space),
            (Ok(_), Err(_)) | (Err(_), _) => Self::Everything,
        })
    }
}
