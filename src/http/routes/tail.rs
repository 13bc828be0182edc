//! `_tail`: events as they come, as server-sent events.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use utoipa::IntoParams;

use super::described::{FieldsParameter, ObjectPath, QuestionErrors};
use crate::{
    access::Permit,
    audit::Action,
    error::Failure,
    http::{
        Shared,
        ask::Whose,
        guard::{self, Caller},
        parameters::Parameters,
        request::TailRequest,
        streams::{self, End, Gone, Sender, StreamPlace},
        tail::{Follower, Interrupted},
    },
};

/// How often something is sent, so that everyone in between sees that the connection lives.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A tail ends then, in order: the client comes back with the id of the last event, and is asked again who it is.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// How long after a look at the store the next one is: at least, when more is confirmed; and at most, first and last, when not.
const SOONEST: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(5);

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
struct TailParameters {
    /// Begin with events that happened from then on: a date, a date and time, or a duration before now. Without it, with what is stored from now on.
    #[param(example = "10m")]
    since: Option<String>,
    /// The id of an event of a tail, to go on behind it; as the header `last-event-id`, which goes before it. `since` is then what it was.
    last_event_id: Option<String>,
    /// KQL: only events that match it.
    #[param(example = "event.outcome:failure")]
    filter: Option<String>,
}

/// Follow the events of a saved object
///
/// As `/api/event_log/_tail`.
#[utoipa::path(
    get,
    path = "/api/event_log/{type}/{id}/_tail",
    operation_id = "tail_by_id",
    tag = "tail",
    params(
        ObjectPath,
        TailParameters,
        FieldsParameter,
    ),
    responses(
        (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        QuestionErrors,
    )
)]
pub(in crate::http) async fn by_id(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    whose: Whose,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    tail(shared, &caller, whose, parameters, &headers).await
}

/// Follow all events that the caller may see
///
/// Under `/s/{space}` those of that space, else those of every space. Each event is one message, in the order of its chain, none missing and none
/// twice; its id is where to go on behind it. A message `gap` tells of positions of a chain that the store did not get for a minute, and that are passed. After
/// 15 minutes the answer ends, and the client is to come back with the last id.
#[utoipa::path(
    get,
    path = "/api/event_log/_tail",
    operation_id = "tail",
    tag = "tail",
    params(TailParameters, FieldsParameter),
    responses(
        (status = 200, description = "Server-sent events", content_type = "text/event-stream", body = String),
        QuestionErrors,
    )
)]
pub(in crate::http) async fn visible(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    whose: Whose,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    tail(shared, &caller, whose, parameters, &headers).await
}

async fn tail(
    shared: Arc<Shared>,
    caller: &Caller,
    whose: Whose,
    parameters: Parameters,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let request = TailRequest::parse(parameters, headers, shared.services.clock.now())?;
    let deadline = shared.deadline();
    let permit = whose.permit(&shared, caller, deadline, Action::Tail).await?;
    let place = shared.streams.begin_tail(&caller.principal)?;
    let follower = Follower::begin(Arc::clone(&shared), permit.clone(), request).await?;
    let (sender, body) = streams::body();
    let tail = Tail { shared, caller: caller.clone(), permit, _place: place };
    tokio::spawn(tail.run(follower, sender));
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((head, body).into_response())
}

/// A tail that is being written.
struct Tail {
    shared: Arc<Shared>,
    caller: Caller,
    permit: Permit,
    _place: StreamPlace,
}

impl Tail {
    async fn run(self, mut follower: Follower, sender: Sender) {
        let Self { shared, caller, permit, _place } = self;
        let end = tokio::select! {
            biased;
            () = sender.closed() => shared.streams.end_without_reader(),
            () = shared.streams.stopping.cancelled() => End::Shutdown,
            () = tokio::time::sleep(LONGEST) => End::Complete,
            () = guard::lost(&shared, &caller, &permit) => End::Access,
            Gone = beat(&sender) => shared.streams.end_without_reader(),
            Gone = follow(&shared, &mut follower, &sender) => shared.streams.end_without_reader(),
        };
        if end == End::Access {
            sender.cutter().cut();
        } else {
            // An end is no failure: the client comes back with the last id.
            let _ = sender.finish(HeaderMap::new()).await;
        }
        shared.services.metrics.http.streamed("tail", end.name());
        tracing::debug!(by = end.name(), "a tail ended");
    }
}

/// Sends a comment from time to time.
async fn beat(sender: &Sender) -> Gone {
    let mut beats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        if let Err(gone) = sender.send(":\n\n").await {
            return gone;
        }
    }
}

/// Shows what comes, for as long as somebody reads.
async fn follow(shared: &Shared, follower: &mut Follower, sender: &Sender) -> Gone {
    let mut confirmations = shared.services.query_shipper.confirmations();
    if let Err(gone) = sender.send(format!("retry: 1000\n{}", follower.place())).await {
        return gone;
    }
    let mut pause = SOON;
    loop {
        let failed = match follower.round(sender).await {
            Ok(true) => {
                pause = SOON;
                None
            }
            Ok(false) => {
                pause = pause.mul_f32(1.5).min(LATEST);
                None
            }
            Err(Interrupted::Reader) => return Gone,
            Err(Interrupted::Store(failure)) => Some(failure),
        };
        let looked = Instant::now();
        if let Some(failure) = failed {
            let cause = failure.cause.as_deref();
            tracing::warn!(code = failure.code.name(), cause, "a tail waits for the store");
            if let Err(gone) = sender.send(format!(": {}; this goes on by itself\n\n", failure.message)).await {
                return gone;
            }
            pause = (pause * 2).min(2 * LATEST);
            sleep_until(looked + pause).await;
            continue;
        }
        tokio::select! {
            () = confirmations.more() => {
                pause = SOON;
                sleep_until(looked + SOONEST).await;
            }
            () = sleep_until(looked + pause) => {}
        }
    }
}
