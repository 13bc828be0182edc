//! `POST /api/event_log/events`: logs events.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use tokio::{task, time::Instant};

use crate::{
    access::{Caller, Permission},
    error::{ErrorCode, Failure},
    event::{Space, WriteScope},
    http::{
        Shared, answer,
        body::{Expected, Sent},
        items::{self, Submitted},
        operation::{Answer, Operation},
        parameters::{InSpace, Parameter, Parameters},
    },
    ingest::{Logged, Outcome},
    intake::{Accepted, Item},
    memory_budget::Reservation,
    wire::{AllRejectedAnswer, EventsAnswer},
};

const CONTENT_TYPES: &[&str] = &["application/json", "application/x-ndjson"];

const WAIT_FOR: Parameter =
    Parameter::text("wait_for", "`stored`: answer once the events can be found").such_as("stored");

pub(super) fn operations() -> Vec<Operation> {
    let log = Operation::post(Permission::LogEvents, "/api/event_log/events", "log_events", log)
        .in_spaces()
        .tagged("events")
        .summary("Log events")
        .description(
            "The body is one event, an array of events, or one event per line; it may be compressed with gzip. Each event has \
             its own result. An accepted event is sealed and on disk: it reaches every store, whatever happens. If the log is \
             configured to keep no events, the result of valid ones is `not_kept`.",
        )
        .parameters([&WAIT_FOR])
        .events_body("Events as described by the JSON Schema of this log")
        .answers([
            Answer::json::<EventsAnswer>(202, "At least one event is valid, or none was sent"),
            Answer::json::<AllRejectedAnswer>(
                400,
                "Every event is invalid or may not be logged by the caller, or the request is invalid",
            ),
            Answer::error(408, "The body did not arrive in time"),
            Answer::error(413, "The body is too large or has too many events"),
            Answer::error(415, "The content type or encoding is not accepted"),
            Answer::error(503, "No events are accepted at present; nothing was written"),
        ]);
    vec![log]
}

async fn log(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InSpace(space): InSpace,
    parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let wait = Wait::parse(parameters)?;
    let expected = Expected { content_types: CONTENT_TYPES, limit: shared.services.limits.max_batch_bytes };
    let sent = shared.bodies.read(&headers, body, expected, deadline).await?;
    // Completes even if the client disconnects and this handler is dropped.
    let from = From { scope: caller.principal.write_scope(), space };
    let work = tokio::spawn(async move { take_in(&shared, from, sent, wait, deadline).await });
    work.await.map_err(|error| Failure::internal(error.to_string()))?
}

/// The origin of the events.
struct From {
    scope: WriteScope,
    space: Option<Space>,
}

/// When to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Durable,
    Stored,
}

impl Wait {
    fn parse(mut parameters: Parameters) -> Result<Self, Failure> {
        let wait = match parameters.text(&WAIT_FOR)?.as_deref() {
            None => Self::Durable,
            Some("stored") => Self::Stored,
            Some(other) => {
                return Err(Failure::parameter(WAIT_FOR.name, format_args!("expected [stored] but got [{other}]")));
            }
        };
        parameters.finish()?;
        Ok(wait)
    }
}

async fn take_in(
    shared: &Arc<Shared>,
    from: From,
    sent: Sent,
    wait: Wait,
    deadline: Instant,
) -> Result<Response, Failure> {
    let (accepted, memory) = check(shared, from, sent).await?;
    let logged = shared.services.ingest.log(accepted).await?;
    drop(memory);
    let stored = match wait {
        Wait::Durable => None,
        Wait::Stored => is_stored(shared, &logged, deadline).await,
    };
    respond(logged, stored)
}

/// Decompresses and validates the body; its reservation is kept for the contents derived from it.
async fn check(shared: &Arc<Shared>, from: From, sent: Sent) -> Result<(Accepted, Reservation), Failure> {
    if !sent.is_large() {
        return check_now(shared, &from, sent);
    }
    let _turn = shared.checking.acquire().await;
    let on_thread = Arc::clone(shared);
    task::spawn_blocking(move || check_now(&on_thread, &from, sent))
        .await
        .map_err(|error| Failure::internal(error.to_string()))?
}

fn check_now(shared: &Shared, from: &From, sent: Sent) -> Result<(Accepted, Reservation), Failure> {
    let plain = sent.decode()?;
    let accepted = shared.services.ingest.check(&from.scope, from.space.as_ref(), &plain.bytes)?;
    Ok((accepted, plain.into_memory()))
}

/// Whether all accepted events can be found in the queried store; `None` if events were dropped.
async fn is_stored(shared: &Shared, Logged { items, outcome }: &Logged, deadline: Instant) -> Option<bool> {
    match outcome {
        Outcome::Sealed(None) => Some(true),
        Outcome::Sealed(Some(receipts)) => Some(shared.services.reader.wait_until_found(receipts.end, deadline).await),
        Outcome::Dropped => None,
        Outcome::NotKept => Some(!items.iter().any(Item::is_accepted)),
    }
}

fn respond(Logged { items, outcome }: Logged, stored: Option<bool>) -> Result<Response, Failure> {
    let (status, body) = items::write(items, Submitted::from(&outcome), stored)?;
    let mut response = answer::json_bytes(status, body).into_response();
    if status.is_client_error() {
        answer::mark(&mut response, &Failure::new(ErrorCode::EventsRejected, ""));
    }
    Ok(response)
}
