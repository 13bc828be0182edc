//! A [`Permit`] is the only way from a question to a query that a store will answer.

use super::{Access, Credentials, Permission, Principal, Unavailable};
use crate::{
    event::Space,
    query::{ObjectScope, Query, Scope, ScopedQuery, Visible},
};

/// Proof that a caller may read these events. Only this module can make one.
#[derive(Clone, Debug)]
pub struct Permit {
    scope: Scope,
    is_by_role: bool,
}

/// Why there is no permit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The caller sees the same answer as if there were no events.
    #[error("the caller may not read these events")]
    Refused,
    /// It cannot be determined whether the caller may read them, so they may not.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Permit {
    /// The events that it covers.
    pub fn events(&self) -> &Scope {
        &self.scope
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
        credentials: &Credentials,
        objects: ObjectScope,
    ) -> Result<Permit, Denied> {
        let space = objects.space.as_ref();
        if principal.check(Permission::ReadEvents, space).is_ok() {
            return Ok(Permit { scope: Scope::Objects(objects), is_by_role: true });
        }
        principal.check(Permission::FindByObject, space).map_err(|_| Denied::Refused)?;
        if self.authority.allows(principal, credentials, &objects).await? {
            return Ok(Permit { scope: Scope::Objects(objects), is_by_role: false });
        }
        Err(Denied::Refused)
    }

    /// Whether the authority would still give this permit. A permit by role is valid as long as the caller [is known as
    /// before](Self::still_knows); if the authority is unavailable, the answer is yes.
    pub async fn still_permits(&self, principal: &Principal, credentials: &Credentials, permit: &Permit) -> bool {
        match &permit.scope {
            Scope::Objects(objects) if !permit.is_by_role => {
                self.authority.allows(principal, credentials, objects).await.unwrap_or(true)
            }
            Scope::Objects(_) | Scope::Visible(_) => true,
        }
    }
}

/// A permit for all events that the caller may see by role: of this space (`Some(None)` is the default space), or of
/// all.
pub fn permit_visible(principal: &Principal, within: Option<Option<Space>>) -> Result<Permit, Denied> {
    let visible = match within {
        None => principal.visible(),
        Some(space) => {
            principal.check(Permission::ReadEvents, space.as_ref()).map_err(|_| Denied::Refused)?;
            Visible::Spaces(vec![space])
        }
    };
    match visible {
        Visible::Spaces(spaces) if spaces.is_empty() => Err(Denied::Refused),
        visible @ (Visible::Everything | Visible::Spaces(_)) => {
            Ok(Permit { scope: Scope::Visible(visible), is_by_role: true })
        }
    }
}

/// Makes a query of exactly the permit's scope. This is the only way from a [`Query`] to a store.
pub fn scope(permit: Permit, query: impl FnOnce(Scope) -> Query) -> ScopedQuery {
    let scope = permit.scope.clone();
    ScopedQuery::new(Query { scope: permit.scope, ..query(scope) })
}

/// Like [`scope`], for a query that may fail.
pub fn try_scope<E>(permit: Permit, query: impl FnOnce(Scope) -> Result<Query, E>) -> Result<ScopedQuery, E> {
    let query = query(permit.scope.clone())?;
    Ok(scope(permit, |_| query))
}
