//! `/livez` and `/readyz`: for whatever watches over the process.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    access::{Caller, Permission},
    http::{Shared, answer},
    ship::Progress,
};

#[derive(Serialize, ToSchema)]
struct LiveAnswer {
    #[schema(example = "alive")]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
struct ReadyAnswer {
    status: Status,
    /// For callers who may see metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    writer: Option<WriterState>,
    /// For callers who may see metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    stores: Option<Vec<StoreState>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// Events are accepted, and every store is set up and goes on.
    Ready,
    /// Events are accepted, but something keeps a store from going on, or it is yet to be set up for the first time since the start.
    Degraded,
    /// No events are accepted.
    Unavailable,
}

#[derive(Serialize, ToSchema)]
struct WriterState {
    accepting: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct StoreState {
    store: String,
    /// Events in the journal that the store has not confirmed.
    behind_events: u64,
    behind_bytes: u64,
    /// Age of the oldest of them.
    behind_seconds: f64,
    dead_letters: u64,
    /// Events of this writer that the store has and the journal had lost at the start: the data folder is an old copy.
    #[serde(skip_serializing_if = "is_zero")]
    beyond_journal: u64,
    /// What keeps the store from going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Whether the process runs
#[utoipa::path(
    get,
    path = "/livez",
    tag = "operation",
    security(()),
    responses((status = 200, description = "It does", body = LiveAnswer))
)]
pub(in crate::http) async fn live() -> Response {
    answer::json(StatusCode::OK, &LiveAnswer { status: "alive" })
}

/// Whether events are accepted, and how far each store is
///
/// To callers who may not see metrics the answer is the status alone.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    security((), ("api_key" = [])),
    responses(
        (status = 200, description = "Events are accepted; `degraded` if a store cannot go on, or is not set up yet", body = ReadyAnswer),
        (status = 503, description = "No events are accepted", body = ReadyAnswer),
    )
)]
pub(in crate::http) async fn ready(State(shared): State<Arc<Shared>>, caller: Option<Extension<Caller>>) -> Response {
    let writer = shared.services.writer.health();
    let stores: Vec<_> = shared.services.stores.iter().map(|(name, shipper)| state(name, shipper.progress())).collect();
    let status = overall(&writer, &stores);
    let code = match status {
        Status::Ready | Status::Degraded => StatusCode::OK,
        Status::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let writer = WriterState { accepting: writer.is_ok(), reason: writer.err() };
    let may_see = caller.is_some_and(|Extension(caller)| caller.principal.check(Permission::Monitor, None).is_ok());
    let (writer, stores) = may_see.then_some((writer, stores)).unzip();
    answer::json(code, &ReadyAnswer { status, writer, stores })
}

fn overall(writer: &Result<(), String>, stores: &[StoreState]) -> Status {
    if writer.is_err() {
        return Status::Unavailable;
    }
    if stores.iter().any(|store| store.trouble.is_some()) { Status::Degraded } else { Status::Ready }
}

fn state(name: &str, progress: Progress) -> StoreState {
    StoreState {
        store: name.to_owned(),
        behind_events: progress.behind_events,
        behind_bytes: progress.behind_bytes,
        behind_seconds: progress.behind_for.unwrap_or_default().as_secs_f64(),
        dead_letters: progress.dead_letters,
        beyond_journal: progress.beyond_journal,
        trouble: progress.trouble,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(trouble: Option<&str>) -> Progress {
        Progress {
            store: "s".to_owned(),
            behind_bytes: 10,
            behind_events: 1,
            behind_for: None,
            trouble: trouble.map(str::to_owned),
            dead_letters: 0,
            beyond_journal: 0,
        }
    }

    #[test]
    fn being_behind_is_no_trouble_and_trouble_is_not_down() {
        let (well, ill) = (state("a", progress(None)), state("b", progress(Some("away"))));
        let down = Err("disk full".to_owned());
        assert_eq!(overall(&Ok(()), std::slice::from_ref(&well)), Status::Ready);
        assert_eq!(overall(&down, std::slice::from_ref(&well)), Status::Unavailable);
        assert_eq!(overall(&Ok(()), &[well, ill]), Status::Degraded);
    }
}
