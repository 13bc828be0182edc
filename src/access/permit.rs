//! From a question to one that a store will answer: only by way of a [`Permit`].

use super::{Need, Principal};
use crate::{
    event::Space,
    query::{ObjectScope, Query, Scope, ScopedQuery, Visible},
};

/// That a caller may read these events. Nobody but this module can make one.
#[derive(Clone, Debug)]
pub struct Permit {
    scope: Scope,
}

impl Permit {
    /// Whose events it is for.
    pub fn events(&self) -> &Scope {
        &self.scope
    }
}

/// Why there is no permit. To the caller it looks as if there were nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the caller may not read these events")]
pub struct Denied;

/// Asks whether the caller may read the events of these objects.
pub fn permit(principal: &Principal, objects: ObjectScope) -> Result<Permit, Denied> {
    let reads_all = principal.check(Need::ReadEvents, objects.space.as_ref()).is_ok();
    if reads_all { Ok(Permit { scope: Scope::Objects(objects) }) } else { Err(Denied) }
}

/// Asks for all events that the caller may see by role: of this space (`Some(None)` is the default one), or of all.
pub fn permit_visible(principal: &Principal, within: Option<Option<Space>>) -> Result<Permit, Denied> {
    let visible = match within {
        None => principal.visible(),
        Some(space) => {
            principal.check(Need::ReadEvents, space.as_ref()).map_err(|_| Denied)?;
            Visible::Spaces(vec![space])
        }
    };
    match visible {
        Visible::Spaces(spaces) if spaces.is_empty() => Err(Denied),
        visible @ (Visible::Everything | Visible::Spaces(_)) => Ok(Permit { scope: Scope::Visible(visible) }),
    }
}

/// The query that this makes of the permit's scope, and of no other. This is the only way from a [`Query`] to a store.
pub fn scope(permit: Permit, query: impl FnOnce(Scope) -> Query) -> ScopedQuery {
    let scope = permit.scope.clone();
    ScopedQuery::new(Query { scope: permit.scope, ..query(scope) })
}
