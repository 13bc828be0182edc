//! `/livez` and `/readyz`: health checks.

use std::sync::Arc;

use axum::{Extension, extract::State, http::StatusCode, response::Response};

use crate::{
    access::{Caller, Permission},
    http::{
        Shared, answer,
        operation::{Access, Answer, Operation},
    },
    ship::Progress,
    wire::{LiveAnswer, Readiness, ReadyAnswer, StoreHealth, WriterHealth},
};

pub(super) fn operations() -> Vec<Operation> {
    let live = Operation::get(Access::Open, "/livez", "live", live)
        .tagged("operation")
        .summary("Whether the process is running")
        .answers([Answer::json::<LiveAnswer>(200, "The process is running")]);
    let ready = Operation::get(Access::OpenWithCredentials, "/readyz", "ready", ready)
        .tagged("operation")
        .summary("Whether events are accepted, and the progress of each store")
        .description("Callers who may not see metrics only get the status.")
        .answers([
            Answer::json::<ReadyAnswer>(
                200,
                "Events are accepted; `degraded` if a store cannot make progress, or is not set up yet",
            ),
            Answer::json::<ReadyAnswer>(503, "No events are accepted"),
        ]);
    vec![live, ready]
}

async fn live() -> Response {
    answer::json(StatusCode::OK, &LiveAnswer { status: "alive".to_owned() })
}

async fn ready(State(shared): State<Arc<Shared>>, caller: Option<Extension<Caller>>) -> Response {
    let writer = shared.services.writer.health();
    let stores: Vec<_> = shared.services.stores.iter().map(|(name, shipper)| state(name, shipper.progress())).collect();
    let status = overall(&writer, &stores);
    let code = if writer.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let lost_events = shared.services.writer.stats().lost;
    let writer = WriterHealth { accepting: writer.is_ok(), reason: writer.err(), lost_events };
    let may_see = caller.is_some_and(|Extension(caller)| caller.principal.check(Permission::Monitor, None).is_ok());
    let (writer, stores) = may_see.then_some((writer, stores)).unzip();
    answer::json(code, &ReadyAnswer { status, writer, stores })
}

fn overall(writer: &Result<(), String>, stores: &[StoreHealth]) -> Readiness {
    if writer.is_err() {
        return Readiness::Unavailable;
    }
    if stores.iter().any(|store| store.trouble.is_some()) { Readiness::Degraded } else { Readiness::Ready }
}

fn state(name: &str, progress: Progress) -> StoreHealth {
    StoreHealth {
        store: name.to_owned(),
        behind_events: progress.behind_events,
        behind_bytes: progress.behind_bytes,
        behind_seconds: progress.behind_for.unwrap_or_default().as_secs_f64(),
        dead_letters: progress.dead_letters,
        beyond_journal: progress.beyond_journal,
        missing_events: progress.missing_events,
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
            missing_events: 0,
        }
    }

    #[test]
    fn a_store_that_is_behind_is_ready_and_one_in_trouble_is_degraded() {
        let (well, ill) = (state("a", progress(None)), state("b", progress(Some("away"))));
        let down = Err("disk full".to_owned());
        assert_eq!(overall(&Ok(()), std::slice::from_ref(&well)), Readiness::Ready);
        assert_eq!(overall(&down, std::slice::from_ref(&well)), Readiness::Unavailable);
        assert_eq!(overall(&Ok(()), &[well, ill]), Readiness::Degraded);
    }
}
