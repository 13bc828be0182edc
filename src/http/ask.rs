//! From a request to the store: whose events it is about, whether the caller may ask that, and for how long.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{
    Shared,
    guard::{self, Caller},
    parameters::{InSpace, Names},
};
use crate::{
    access::{self, Denied, Permit, Unavailable},
    audit::{Action, Record},
    error::{ErrorCode, Failure},
    event::Space,
    query::{ObjectScope, Scope, Visible},
    store::IndexError,
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

    /// The caller's permit to do this with these events: the one place where questions meet access. It is recorded who
    /// reads what they may read anyway, if that is wanted, and every export.
    pub(super) async fn permit(
        self,
        shared: &Shared,
        caller: &Caller,
        deadline: Instant,
        action: Action,
    ) -> Result<Permit, Failure> {
        let access = &shared.services.access;
        let permit = match self {
            Self::Objects(objects) => {
                let asked = access.permit(&caller.principal, &caller.credentials, objects);
                let late = |_| Err(Unavailable("it took too long".to_owned()).into());
                timeout_at(deadline, asked).await.unwrap_or_else(late)
            }
            Self::Visible(within) => access::permit_visible(&caller.principal, within),
        };
        let permit = permit.map_err(|denied| match denied {
            Denied::Refused => guard::absent(),
            Denied::Unavailable(error) => error.into(),
        })?;
        if action == Action::Export || (permit.is_by_role() && access.logs_finds()) {
            shared.services.audit.record(record(caller, action, permit.events()));
        }
        Ok(permit)
    }
}

/// An event tells of so many ids that were asked for.
const RECORDED_IDS: usize = 20;

fn record(caller: &Caller, action: Action, events: &Scope) -> Record {
    let (space, what, payload) = match events {
        Scope::Objects(ObjectScope { space, object_type, ids }) => {
            let shown: Vec<_> = ids.iter().take(RECORDED_IDS).collect();
            let payload = json!({"type": object_type, "ids": shown, "ids_count": ids.len()});
            let object = ids.first().map_or("", String::as_str);
            (space.clone(), format!("events of {object_type} {object}"), payload)
        }
        Scope::Visible(Visible::Everything) => (None, "all events".to_owned(), json!({"spaces": "*"})),
        Scope::Visible(Visible::Spaces(spaces)) => {
            let names: Vec<_> = spaces.iter().map(|space| Space::name(space.as_ref())).collect();
            let only = match spaces.as_slice() {
                [space] => space.clone(),
                _ => None,
            };
            (only, "all events of some spaces".to_owned(), json!({"spaces": names}))
        }
    };
    let verb = match action {
        Action::Export => "exported",
        Action::Tail => "followed",
        Action::Find | Action::AuthenticationFailed | Action::KeyCreated | Action::KeyRevoked => "found",
    };
    Record { space, ..caller.did(action, format!("{verb} {what}"), payload) }
}

/// What the store answers, if it does so before the deadline.
pub(super) async fn answered<T>(
    deadline: Instant,
    answer: impl Future<Output = Result<T, IndexError>>,
) -> Result<T, Failure> {
    let answer = timeout_at(deadline, answer).await;
    Ok(answer.map_err(|_| Failure::new(ErrorCode::StoreTimeout, "the store did not answer in time"))??)
}
