//! `_tail`: new events, as server-sent events.

use std::{sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::question::{Asked, Form, Question};
use crate::{
    audit::Action,
    error::Failure,
    http::{
        Shared,
        operation::{Answer, Operation},
        request,
        streamed_body::{self, End, Sender},
    },
    read::{AccessWatch, Gone, Tail, TailMessage, TailOutput},
};

/// How often a comment is sent, so that proxies see that the connection is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Maximum duration of a tail. The client reconnects with the id of the last event, and is authenticated again.
const LONGEST: Duration = Duration::from_secs(15 * 60);

pub(super) fn operations() -> Vec<Operation> {
    let question = Question {
        by_id: Form {
            path: "/api/event_log/{type}/{id}/_tail",
            id: "tail_by_id",
            summary: "Follow the events of a saved object",
        },
        visible: Form {
            path: "/api/event_log/_tail",
            id: "tail",
            summary: "Follow all events that the caller may see",
        },
        by_ids: None,
        details: "Each event is one message, in the order of its chain, none missing and none twice; its id resumes the tail \
                  after it. A message `gap` reports positions of a chain that did not reach the store within a minute and are \
                  skipped. After 15 minutes the answer ends, and the client should reconnect with the last id.",
        tag: "tail",
        action: Action::Tail,
        parameters: [&request::TAIL[..], &[&request::FIELDS]].concat(),
        answer: Answer::text(200, "Server-sent events", "text/event-stream"),
    };
    question.operations(tail)
}

async fn tail(shared: Arc<Shared>, asked: Asked) -> Result<Response, Failure> {
    let Asked { caller, parameters, headers, scope, deadline, .. } = asked;
    let request = request::tail(parameters, &headers, shared.services.clock.now())?;
    let scope = scope.read(&shared, &caller, &headers, deadline).await?;
    let (tail, access) = shared.services.reader.tail(&caller, scope, request, deadline).await?;
    let (sender, body) = streamed_body::body();
    tokio::spawn(run(shared, tail, access, sender));
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((head, body).into_response())
}

async fn run(shared: Arc<Shared>, mut tail: Tail, access: AccessWatch, sender: Sender) {
    let stopping = &shared.services.stopping;
    let events = ServerSentEvents(&sender);
    let end = tokio::select! {
        biased;
        () = sender.closed() => End::without_reader(stopping),
        () = stopping.cancelled() => End::Shutdown,
        () = tokio::time::sleep(LONGEST) => End::Complete,
        () = access.lost() => End::Access,
        Gone = beat(&sender) => End::without_reader(stopping),
        Gone = tail.follow(&events) => End::without_reader(stopping),
    };
    if end == End::Access {
        sender.cutter().cut();
    } else {
        // The client reconnects with the last id, so a failure here does not matter.
        let _ = sender.finish(HeaderMap::new()).await;
    }
    shared.services.metrics.http.streamed("tail", end.name());
    tracing::debug!(by = end.name(), "a tail ended");
}

/// Sends heartbeats.
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

struct ServerSentEvents<'a>(&'a Sender);

impl TailOutput for ServerSentEvents<'_> {
    async fn send(&self, message: TailMessage<'_>) -> Result<(), Gone> {
        match message {
            TailMessage::Begin { id } => self.0.send(format!("retry: 1000\nid: {id}\n\n")).await,
            TailMessage::Event { id, document } => self.0.send(event(None, &id, &document)).await,
            TailMessage::Gap { id, chain, from, to } => {
                let gap = format!(r#"{{"chain":"{chain}","from":{},"to":{}}}"#, from.0, to.0);
                self.0.send(event(Some("gap"), &id, gap.as_bytes())).await
            }
            TailMessage::Position { id } => self.0.send(format!("id: {id}\n\n")).await,
            TailMessage::Waiting(error) => {
                let Failure { code, message, cause, .. } = error.clone().into();
                tracing::warn!(code = code.name(), cause, "a tail waits for the store");
                self.0.send(format!(": {message}; this continues automatically\n\n")).await
            }
        }
    }
}

/// Formats a server-sent event.
fn event(kind: Option<&str>, id: &str, data: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(data.len() + id.len() + 64);
    if let Some(kind) = kind {
        text.extend_from_slice(format!("event: {kind}\n").as_bytes());
    }
    text.extend_from_slice(format!("id: {id}\n").as_bytes());
    // Documents are a single line; if a store reformatted one, it must not become two messages.
    for line in data.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty()) {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.push(b'\n');
    text
}
