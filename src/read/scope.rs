//! Which events a question is about, and whether the caller may ask that.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use super::{ReadError, Reader};
use crate::{
    access::{self, Caller, Permit, Unavailable},
    audit::{Action, Record},
    event::Space,
    query::{ObjectScope, Scope, TooMany, Visible},
};

/// The events that a question is about.
#[derive(Debug)]
pub enum RequestedScope {
    /// Events of saved objects of one type.
    Objects {
        /// `None` is the default space.
        space: Option<Space>,
        object_type: String,
        ids: ObjectIds,
    },
    /// All events of this space that the caller may see; `None` is the default space.
    Space(Option<Space>),
    /// All events that the caller may see.
    Everything,
}

/// The most ids of one question: an engine takes no more in one list of terms.
pub const MAX_IDS: usize = 65_536;

/// Ids of saved objects, each once, at most [`MAX_IDS`].
#[derive(Debug, Default)]
pub struct ObjectIds {
    ids: Vec<String>,
    known: HashSet<String>,
    /// Repeated ids included.
    count: usize,
}

impl ObjectIds {
    pub fn one(id: String) -> Self {
        Self { ids: vec![id], ..Self::default() }
    }

    /// Adds an id. Repeated ids count, but are kept once: an authority is asked about each.
    pub fn add(&mut self, id: String) -> Result<(), TooMany> {
        TooMany::check(self.count + 1, MAX_IDS)?;
        self.count += 1;
        if self.known.insert(id.clone()) {
            self.ids.push(id);
        }
        Ok(())
    }

    pub fn as_slice(&self) -> &[String] {
        &self.ids
    }
}

impl RequestedScope {
    /// Whether it names no objects: there is nothing to find, and no permission to ask for.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Objects { ids, .. } => ids.as_slice().is_empty(),
            Self::Space(_) | Self::Everything => false,
        }
    }
}

/// How soon an answer that goes on for long ends after its caller has lost access.
const RECHECK: Duration = Duration::from_secs(3);

impl Reader {
    /// The caller's permit to read these events: the one place where questions meet access. Records reads by those who
    /// may read everything, if that is wanted, and every export.
    pub(super) async fn permit(
        &self,
        caller: &Caller,
        scope: RequestedScope,
        action: Action,
        deadline: Instant,
    ) -> Result<Permit, ReadError> {
        let permit = match scope {
            RequestedScope::Objects { space, object_type, ids } => {
                let objects = ObjectScope { space, object_type, ids: ids.ids };
                let asked = self.access.permit(&caller.principal, &caller.credentials, objects);
                let late = |_| Err(Unavailable("it took too long".to_owned()).into());
                timeout_at(deadline, asked).await.unwrap_or_else(late)
            }
            RequestedScope::Space(space) => access::permit_visible(&caller.principal, Some(space)),
            RequestedScope::Everything => access::permit_visible(&caller.principal, None),
        }?;
        if action == Action::Export || (permit.is_by_role() && self.access.logs_finds()) {
            self.audit.record(record(caller, action, permit.events()));
        }
        Ok(permit)
    }

    /// Watches over what the permit was given for.
    pub(super) fn watch(self: &Arc<Self>, caller: &Caller, permit: Permit) -> AccessWatch {
        AccessWatch { reader: Arc::clone(self), caller: caller.clone(), permit }
    }
}

/// Watches over the access that an answer which goes on for long began with.
pub struct AccessWatch {
    reader: Arc<Reader>,
    caller: Caller,
    permit: Permit,
}

impl AccessWatch {
    /// Waits until the caller is no longer who they were, as when a key was revoked, a token ended or the roles changed; or until
    /// the authority no longer lets them read what the permit is for. Other systems are asked no more often than `access.cache` says.
    pub async fn lost(&self) {
        let Self { reader, caller: Caller { principal, credentials, .. }, permit } = self;
        let access = &reader.access;
        let mut permitted = Instant::now();
        loop {
            sleep(RECHECK).await;
            if !access.still_knows(principal, credentials, reader.clock.now()).await {
                return;
            }
            if permitted.elapsed() >= access.cache() {
                if !access.still_permits(principal, credentials, permit).await {
                    return;
                }
                permitted = Instant::now();
            }
        }
    }
}

/// How many of the ids that were asked for are in the record.
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
    Record { space, ..Record::by(caller, action, format!("{verb} {what}"), payload) }
}
