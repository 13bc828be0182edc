//! The scope of a query, and whether the caller may read it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use super::{ReadError, Reader, error::answered};
use crate::{
    access::{self, Caller, Permit, Unavailable},
    audit::{Action, Record, Recording},
    event::Space,
    query::{ObjectScope, Scope, TooMany, Visible},
};

/// The scope that a request asks for.
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

/// Maximum number of ids in a query: engines accept no more in a `terms` query.
pub const MAX_IDS: usize = 65_536;

/// Ids of saved objects without duplicates, at most [`MAX_IDS`].
#[derive(Debug, Default)]
pub struct ObjectIds {
    ids: Vec<String>,
    known: HashSet<String>,
    /// Includes duplicates.
    count: usize,
}

impl ObjectIds {
    pub fn one(id: String) -> Self {
        Self { ids: vec![id], ..Self::default() }
    }

    /// Adds an id. Duplicates count towards the limit, but are kept once, because an authority is asked about each id.
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
    /// Whether it names no objects, so that there is nothing to find and no permission to check.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Objects { ids, .. } => ids.as_slice().is_empty(),
            Self::Space(_) | Self::Everything => false,
        }
    }
}

/// The record of a read, if it is recorded.
#[must_use = "nothing may be returned before the record is durable"]
pub(super) struct ReadRecord(Option<Recording>);

impl ReadRecord {
    /// Waits until the record is durable.
    pub(super) async fn done(self) -> Result<(), ReadError> {
        match self.0 {
            Some(recording) => Ok(recording.done().await?),
            None => Ok(()),
        }
    }

    /// Reads while the record is written, and returns what was read once it is durable.
    pub(super) async fn before<T>(self, read: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
        let (recorded, read) = tokio::join!(self.done(), read);
        recorded?;
        read
    }
}

/// How often a streamed answer checks whether its caller still has access.
const RECHECK: Duration = Duration::from_secs(3);

impl Reader {
    /// Checks whether the caller may read these events, and makes those visible that are stored; all queries pass through
    /// here. Begins to record every export, and, if configured, reads that a role permits: the caller may get nothing
    /// before the record is durable.
    pub(super) async fn permit(
        &self,
        caller: &Caller,
        scope: RequestedScope,
        action: Action,
        deadline: Instant,
    ) -> Result<(Permit, ReadRecord), ReadError> {
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
        let is_recorded = action == Action::Export || (permit.is_by_role() && self.access.logs_finds());
        let recording = match is_recorded {
            true => Some(self.audit.begin(record(caller, action, permit.events()), deadline).await?),
            false => None,
        };
        let age = if action == Action::Export { Duration::ZERO } else { self.max_staleness };
        answered(deadline, self.visibility.catch_up(age)).await?;
        Ok((permit, ReadRecord(recording)))
    }

    /// Watches the access that the permit is based on.
    pub(super) fn watch(self: &Arc<Self>, caller: &Caller, permit: Permit) -> AccessWatch {
        AccessWatch { reader: Arc::clone(self), caller: caller.clone(), permit }
    }
}

/// Watches the access of a streamed answer.
pub struct AccessWatch {
    reader: Arc<Reader>,
    caller: Caller,
    permit: Permit,
}

impl AccessWatch {
    /// Waits until the caller's identity changes, such as after a key was revoked, a token expired or roles changed, or until
    /// the authority no longer permits the read. Other systems are asked at most once per `access.cache`.
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

/// Maximum number of requested ids in a record.
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
        Action::Find
        | Action::AuthenticationFailed
        | Action::KeyCreated
        | Action::KeyRevoked
        | Action::ProviderRegistered
        | Action::ProviderDeleted => "found",
    };
    Record { space, ..Record::by(caller, action, format!("{verb} {what}"), payload) }
}
