//! `/api/event_log/rejected`: events that were rejected on arrival.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use tokio::{task, time::timeout_at};

use crate::{
    access::{Caller, Permission},
    error::Failure,
    http::{
        Shared, answer,
        body::busy,
        held_body,
        operation::{Answer, Operation},
        parameters::{InSpace, MAX_SAFE, NumberRange, Parameter, Parameters},
    },
    rejected::Recorded,
    wire::RejectedAnswer,
};

const FROM: Parameter = Parameter::number(
    "from",
    NumberRange { default: 0, min: 0, max: MAX_SAFE },
    "How many rejected events to skip, from the newest",
);
const LIMIT: Parameter = Parameter::number(
    "limit",
    NumberRange { default: 100, min: 0, max: 1000 },
    "How many rejected events to list; there are fewer if they are large",
);

pub(super) fn operations() -> Vec<Operation> {
    let list =
        Operation::get(Permission::ListRejectedEvents, "/api/event_log/rejected", "list_rejected_events", list)
            .in_spaces()
            .tagged("events")
            .summary("List events that were rejected on arrival")
            .description(
                "Events and bodies that were refused with 400, or with 413 because of what they contain, from all spaces and callers, \
                 each with its errors. They are recorded shortly after their senders were answered, and kept as far as \
                 `events.rejected_bytes` allows.",
            )
            .parameters([&FROM, &LIMIT])
            .answers([
                Answer::json::<RejectedAnswer>(200, "Rejected events, newest first"),
                Answer::error(400, "The request is invalid"),
            ]);
    vec![list]
}

/// Bytes of events after which no more are listed.
const LIST_BYTES: usize = 12 << 20;

/// What such a list takes: the events and the answer.
const LIST_MEMORY: usize = 48 << 20;

async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    _space: InSpace,
    mut parameters: Parameters,
) -> Result<Response, Failure> {
    let from = parameters.number(&FROM)?;
    let limit = usize::try_from(parameters.number(&LIMIT)?).unwrap_or(usize::MAX);
    parameters.finish()?;
    let deadline = shared.deadline();
    let answers = &shared.services.memory.answers;
    let memory = answers.reserve(&caller.principal.to_string(), LIST_MEMORY, deadline).await.map_err(busy)?;
    let rejected = Arc::clone(&shared.services.rejected);
    // The memory is in use until the work is done, even if nobody waits for it any more.
    let work = task::spawn_blocking(move || {
        let Recorded { total, items } =
            rejected.list(from, limit, LIST_BYTES).map_err(|error| Failure::internal(error.to_string()))?;
        let (recording, unrecorded) = (rejected.is_recording(), rejected.unrecorded());
        let body = serde_json::to_vec(&RejectedAnswer { recording, total, unrecorded, items })
            .map_err(|error| Failure::internal(error.to_string()))?;
        Ok::<_, Failure>((body, memory))
    });
    let late = |_| Failure::internal("the rejected events could not be read in time");
    let (body, memory) =
        timeout_at(deadline, work).await.map_err(late)?.map_err(|error| Failure::internal(error.to_string()))??;
    Ok(answer::json_bytes(StatusCode::OK, held_body::body(body, memory)))
}
