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
    event::{Author, Space},
    http::{
        LARGE, Shared, answer,
        body::{Expected, Plain, Reading, Sent, busy},
        held_body,
        items::{self, Submitted},
        operation::{Answer, Operation},
        parameters::{InSpace, Parameter, Parameters},
    },
    ingest::{Logged, Outcome},
    intake::{Accepted, BodyError, Item},
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
             configured to keep no events, the result of valid ones is `not_kept`. An event with an `event.id` may be sent again, \
             for example if an answer was lost: if the same caller has logged an event with that id in the last minutes \
             (`events.repeat_window`), for the same provider and with a request to the same space, the result is `duplicate` \
             with the first one's receipt, and nothing is logged; `differs` says that the first one has other content. `warnings` name what will surprise about \
             accepted events, such as a time that is far from now or no object to find them by.",
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
    let from = From { caller: caller.principal.to_string(), author: caller.principal.author(), space };
    let reading = Reading {
        budget: &shared.services.memory.event_bodies,
        caller: &from.caller,
        pace: shared.services.limits.body_pace,
        deadline,
    };
    let sent = reading.body(&headers, body, expected).await?;
    // Completes even if the client disconnects and this handler is dropped.
    let work = tokio::spawn(async move { take_in(&shared, from, sent, wait, deadline).await });
    work.await.map_err(|error| Failure::internal(error.to_string()))?
}

/// The origin of the events.
struct From {
    caller: String,
    author: Author,
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
    let from = Arc::new(from);
    let (accepted, mut memory) = check(shared, &from, sent, deadline).await?;
    // Afterwards the events are logged, and there must be an answer.
    let answer_memory = reserve_answer(shared, &from, &accepted, deadline).await?;
    let item_bytes = accepted.item_bytes();
    let logged = shared.services.ingest.log(accepted).await?;
    memory.shrink_to(item_bytes);
    let stored = match wait {
        Wait::Durable => None,
        Wait::Stored => is_stored(shared, &logged, deadline).await,
    };
    let respond = move || respond(logged, stored, answer_memory);
    if memory.bytes() <= LARGE {
        return respond();
    }
    task::spawn_blocking(respond).await.map_err(|error| Failure::internal(error.to_string()))?
}

/// Decompresses and checks the body. Returns what was made from it, with its memory.
async fn check(
    shared: &Arc<Shared>,
    from: &Arc<From>,
    sent: Sent,
    deadline: Instant,
) -> Result<(Accepted, Reservation), Failure> {
    let is_large = sent.is_large();
    let on_thread = Arc::clone(shared);
    let decode = move || {
        let plain = sent.decode()?;
        let likely = on_thread.services.ingest.likely_bytes(&plain.bytes);
        Ok::<_, Failure>((plain, likely))
    };
    let (plain, likely) = if is_large { shared.work(&from.caller, deadline, decode).await?? } else { decode()? };
    let budget = &shared.services.memory.checked_events;
    let most = budget.share();
    let plain = Arc::new(plain);
    for bytes in [likely.min(most), most] {
        let mut memory = budget.reserve(&from.caller, bytes, deadline).await.map_err(busy)?;
        match check_within(shared, from, &plain, bytes, deadline).await {
            Ok(accepted) => {
                memory.shrink_to(accepted.memory());
                return Ok((accepted, memory));
            }
            Err(Unchecked::Body(BodyError::TooMuch { .. })) if bytes < most => {}
            Err(Unchecked::Body(BodyError::TooMuch { .. })) => break,
            Err(Unchecked::Body(error)) => return Err(error.into()),
            Err(Unchecked::Failed(failure)) => return Err(failure),
        }
    }
    let error = BodyError::TooMuch { limit: most };
    shared.services.ingest.record_rejected_body(&from.author, from.space.as_ref(), &plain.bytes, &error);
    Err(error.into())
}

/// Why a body was not checked.
enum Unchecked {
    Body(BodyError),
    Failed(Failure),
}

/// Checks the body; fails if more than these bytes would be made from it.
async fn check_within(
    shared: &Arc<Shared>,
    from: &Arc<From>,
    plain: &Arc<Plain>,
    bytes: usize,
    deadline: Instant,
) -> Result<Accepted, Unchecked> {
    let (on_thread, sender, body) = (Arc::clone(shared), Arc::clone(from), Arc::clone(plain));
    let check = move || on_thread.services.ingest.check(&sender.author, sender.space.as_ref(), &body.bytes, bytes);
    if bytes <= LARGE {
        return check().map_err(Unchecked::Body);
    }
    shared.work(&from.caller, deadline, check).await.map_err(Unchecked::Failed)?.map_err(Unchecked::Body)
}

async fn reserve_answer(
    shared: &Shared,
    from: &From,
    accepted: &Accepted,
    deadline: Instant,
) -> Result<Reservation, Failure> {
    let budget = &shared.services.memory.event_answers;
    let bytes = items::max_bytes(&accepted.items, &accepted.warnings);
    if bytes > budget.share() {
        let message = format!("the results of the events would have more than {} bytes", budget.share());
        return Err(Failure::new(ErrorCode::TooLarge, message));
    }
    budget.reserve(&from.caller, bytes, deadline).await.map_err(busy)
}

/// Whether all accepted events can be found in the queried store; `None` if events were dropped.
async fn is_stored(shared: &Shared, Logged { items, outcome, .. }: &Logged, deadline: Instant) -> Option<bool> {
    match outcome {
        Outcome::Sealed(None) => Some(true),
        Outcome::Sealed(Some(receipts)) => Some(shared.services.reader.wait_until_found(receipts.end, deadline).await),
        Outcome::Dropped => None,
        Outcome::NotKept => Some(!items.iter().any(Item::is_accepted)),
    }
}

fn respond(logged: Logged, stored: Option<bool>, memory: Reservation) -> Result<Response, Failure> {
    let Logged { items, outcome, warnings } = logged;
    let (status, body) = items::write(items, &warnings, Submitted::from(&outcome), stored)?;
    let mut response = answer::json_bytes(status, held_body::body(body, memory)).into_response();
    if status.is_client_error() {
        answer::mark(&mut response, &Failure::new(ErrorCode::EventsRejected, ""));
    }
    Ok(response)
}
