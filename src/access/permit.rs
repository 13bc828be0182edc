//! From a question to one that a store will answer: only by way of a [`Permit`].

use super::{Need, Principal};
use crate::query::{ObjectScope, Query, ScopedQuery};

/// That a caller may read the events of these objects. Nobody but this module can make one.
#[derive(Debug)]
pub struct Permit {
    objects: ObjectScope,
}

/// Why there is no permit. To the caller it looks as if the objects did not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller may not read these objects")]
pub struct Denied;

impl Permit {
    pub fn objects(&self) -> &ObjectScope {
        &self.objects
    }
}

/// Asks whether the caller may read the events of these objects.
pub fn permit(principal: &Principal, objects: ObjectScope) -> Result<Permit, Denied> {
    let reads_all = principal.check(Need::ReadEvents, objects.space.as_ref()).is_ok();
    if reads_all { Ok(Permit { objects }) } else { Err(Denied) }
}

/// The query, about the objects of the permit whatever it was about. This is the only way from a [`Query`] to a store.
pub fn scope(permit: Permit, query: Query) -> ScopedQuery {
    ScopedQuery::new(Query { objects: permit.objects, ..query })
}
