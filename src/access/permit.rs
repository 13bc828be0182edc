//! From a question to one that a store will answer: only by way of a [`Permit`].

use super::{Access, Need, Presented, Principal, Unavailable};
use crate::query::{ObjectScope, Query, ScopedQuery};

/// That a caller may read the events of these objects. Nobody but this module can make one.
#[derive(Debug)]
pub struct Permit {
    objects: ObjectScope,
    is_by_role: bool,
}

/// Why there is no permit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// To the caller it looks as if the objects did not exist.
    #[error("the caller may not read these objects")]
    Refused,
    /// Whether they may cannot be found out; so they may not.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Permit {
    pub fn objects(&self) -> &ObjectScope {
        &self.objects
    }

    /// Whether the caller may read all events of the space anyway.
    pub fn is_by_role(&self) -> bool {
        self.is_by_role
    }
}

impl Access {
    /// Asks whether the caller may read the events of these objects.
    pub async fn permit(
        &self,
        principal: &Principal,
        presented: &Presented,
        objects: ObjectScope,
    ) -> Result<Permit, Denied> {
        let space = objects.space.as_ref();
        if principal.check(Need::ReadEvents, space).is_ok() {
            return Ok(Permit { objects, is_by_role: true });
        }
        principal.check(Need::FindByObject, space).map_err(|_| Denied::Refused)?;
        if self.authority.allows(principal, presented, &objects).await? {
            return Ok(Permit { objects, is_by_role: false });
        }
        Err(Denied::Refused)
    }
}

/// The query, about the objects of the permit whatever it was about. This is the only way from a [`Query`] to a store.
pub fn scope(permit: Permit, query: Query) -> ScopedQuery {
    ScopedQuery::new(Query { objects: permit.objects, ..query })
}
