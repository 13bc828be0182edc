//! Delivers events to the store, retrying until each of them or its stub is stored.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use super::{DeadLetter, Inner, health::Attempt};
use crate::{
    event::{ChainPosition, SealedEvent, Stream},
    integrity,
    journal::Position,
    store::{Outcome, SinkError, Target},
    time::format_time,
};

/// Requests with at most so many events are not divided because the store did not answer.
const FEW: usize = 100;

/// Consecutive events that have the same target.
pub(super) struct Part {
    pub(super) stream: Stream,
    pub(super) begin: Position,
    /// Number of events ever written to the journal before `begin`.
    pub(super) events_before: u64,
    pub(super) target: Target,
    /// Whether some of them may already be in the store, at a target that an earlier run chose and this one does not
    /// know.
    pub(super) may_be_stored: bool,
    pub(super) events: Vec<SealedEvent>,
}

/// Returns when the store has all events of these parts, or stubs in place of those that it permanently refuses.
pub(super) async fn deliver(inner: Arc<Inner>, parts: Vec<Part>) {
    for part in parts {
        let attempt = Attempt::new(&inner);
        let source = Source { stream: part.stream, begin: part.begin, events_before: part.events_before };
        let mut delivery = Delivery { inner: &inner, source, target: part.target, attempt, has_forked: false };
        let events = if part.may_be_stored { delivery.missing(part.events).await } else { part.events };
        let mut chunks = vec![Chunk::of(events)];
        while let Some(chunk) = chunks.pop() {
            if !chunk.events.is_empty() {
                let next = delivery.try_once(chunk).await;
                chunks.extend(next);
            }
        }
        delivery.attempt.report_success();
    }
}

/// Events sent in one request.
#[derive(Default)]
struct Chunk {
    events: Vec<SealedEvent>,
    /// The form in which each event is sent.
    forms: Vec<Form>,
}

/// A refused event is sent in the next form. If the last form is refused too, the cause cannot be the event, so the
/// event itself is tried again.
enum Form {
    Event,
    Stub(Refused),
    StubWithoutContent(Refused),
}

/// An event that is replaced by a stub.
struct Refused {
    document: Bytes,
    reason: String,
}

impl Chunk {
    fn of(events: Vec<SealedEvent>) -> Self {
        let forms = events.iter().map(|_| Form::Event).collect();
        Self { events, forms }
    }

    fn push(&mut self, event: SealedEvent, form: Form) {
        self.events.push(event);
        self.forms.push(form);
    }

    fn into_items(self) -> impl Iterator<Item = (SealedEvent, Form)> {
        self.events.into_iter().zip(self.forms)
    }

    /// The second half comes first, so that popping from the end yields the first half first.
    fn split(mut self) -> Vec<Self> {
        let at = self.events.len() / 2;
        let second = Self { events: self.events.split_off(at), forms: self.forms.split_off(at) };
        vec![second, self]
    }
}

/// Where in the journal the events of a part begin.
struct Source {
    stream: Stream,
    begin: Position,
    events_before: u64,
}

struct Delivery<'a> {
    inner: &'a Arc<Inner>,
    source: Source,
    target: Target,
    attempt: Attempt,
    /// Whether the fork of the chain was reported.
    has_forked: bool,
}

impl Delivery<'_> {
    /// The events that the store does not have in any index.
    async fn missing(&mut self, events: Vec<SealedEvent>) -> Vec<SealedEvent> {
        loop {
            let outcomes = match self.inner.store.look_up(&events).await {
                Ok(outcomes) => outcomes,
                Err(error) => {
                    self.attempt.fail(&error.to_string()).await;
                    continue;
                }
            };
            let forked = events.iter().zip(&outcomes).find_map(|(event, outcome)| match outcome {
                Some(Outcome::Conflict { found_seal }) => Some((event, found_seal)),
                Some(Outcome::Stored | Outcome::Duplicate | Outcome::Rejected { .. } | Outcome::Retry { .. })
                | None => None,
            });
            let Some((event, found_seal)) = forked else {
                let missing = events.into_iter().zip(outcomes);
                let (missing, known): (Vec<_>, Vec<_>) = missing.partition(|(_, outcome)| outcome.is_none());
                self.inner.metrics.duplicate.inc_by(known.len() as u64);
                return missing.into_iter().map(|(event, _)| event).collect();
            };
            let reason = self.report_fork(event, found_seal);
            self.attempt.fail(&reason).await;
        }
    }

    /// Reports the fork of the chain once. Returns the reason to report from then on.
    fn report_fork(&mut self, event: &SealedEvent, found_seal: &str) -> String {
        self.inner.metrics.conflict.inc();
        let position = event.position;
        if !std::mem::replace(&mut self.has_forked, true) {
            tracing::error!(store = self.inner.name, %position, found_seal, "the chain has forked");
        }
        format!("the chain has forked at {position}: the store holds another event there")
    }

    /// Sends a chunk once. Returns the chunks that remain to be sent.
    async fn try_once(&mut self, chunk: Chunk) -> Vec<Chunk> {
        let answer = self.send(&chunk.events).await;
        let error = match answer {
            Ok(outcomes) if outcomes.len() == chunk.events.len() => {
                return self.process_outcomes(chunk, outcomes).await;
            }
            Ok(outcomes) => {
                let reason = format!("the store answered for {} of {} events", outcomes.len(), chunk.events.len());
                SinkError::Unavailable { reason, retry_after: None }
            }
            Err(error) => error,
        };
        self.inner.metrics.requests_failed.inc();
        match error {
            SinkError::TooLarge | SinkError::Refused { .. } if chunk.events.len() > 1 => chunk.split(),
            SinkError::TooLarge | SinkError::Refused { .. } => {
                let reason = error.to_string();
                let mut retry = Chunk::default();
                let refused = chunk.into_items().map(|(event, form)| (event, form, reason.clone())).collect();
                let (stubs, trouble) = self.refuse(refused, &mut retry).await;
                if let Some(reason) = trouble {
                    self.attempt.fail(&reason).await;
                }
                vec![retry, stubs]
            }
            SinkError::TargetLost { reason } => {
                self.attempt.report_trouble(&reason);
                match self.rebind().await {
                    Ok(true) => {}
                    Ok(false) => self.attempt.wait(None).await,
                    Err(reason) => self.attempt.fail(&reason).await,
                }
                vec![chunk]
            }
            SinkError::Unavailable { ref reason, retry_after } => {
                self.attempt.report_trouble(reason);
                self.attempt.wait(retry_after).await;
                // The store may be too slow to take so many within its time limit, however often they are sent.
                if chunk.events.len() > FEW { chunk.split() } else { vec![chunk] }
            }
            SinkError::Blocked { ref reason } | SinkError::Denied { ref reason } => {
                self.attempt.fail(reason).await;
                vec![chunk]
            }
        }
    }

    /// Makes one request once a permit is free.
    async fn send(&self, events: &[SealedEvent]) -> Result<Vec<Outcome>, SinkError> {
        // The semaphore is never closed; even without a permit the request would be one too many, not wrong.
        let _permit = self.inner.requests.acquire().await;
        let started = Instant::now();
        let answer = self.inner.store.append(&self.target, events).await;
        self.inner.metrics.request_seconds.observe(started.elapsed().as_secs_f64());
        answer
    }

    /// Processes the outcome of each event of a chunk.
    async fn process_outcomes(&mut self, chunk: Chunk, outcomes: Vec<Outcome>) -> Vec<Chunk> {
        let metrics = &self.inner.metrics;
        metrics.requests_answered.inc();
        let mut stored = Vec::new();
        let mut duplicates = 0;
        let (mut retry, mut refused) = (Chunk::default(), Vec::new());
        let mut trouble = None;
        for ((event, form), outcome) in chunk.into_items().zip(outcomes) {
            match outcome {
                Outcome::Stored => {
                    self.report_stub(event.position, &form);
                    stored.push((event.position, form));
                }
                Outcome::Duplicate => {
                    self.report_stub(event.position, &form);
                    duplicates += 1;
                }
                Outcome::Retry { reason } => {
                    metrics.retried.inc();
                    trouble = Some(reason);
                    retry.push(event, form);
                }
                Outcome::Rejected { reason } => refused.push((event, form, reason)),
                Outcome::Conflict { found_seal } => {
                    trouble = Some(self.report_fork(&event, &found_seal));
                    retry.push(event, form);
                }
            }
        }
        metrics.stored.inc_by(stored.len() as u64);
        metrics.duplicate.inc_by(duplicates);
        let (stubs, refused_as_stub) = self.refuse(refused, &mut retry).await;
        if !stored.is_empty() || duplicates > 0 {
            self.attempt.reset();
        }
        match trouble.or(refused_as_stub) {
            Some(reason) => {
                self.attempt.fail(&reason).await;
            }
            None if stored.is_empty() && duplicates == 0 => {}
            None => self.attempt.report_success(),
        }
        self.withdraw_letters(&stored).await;
        vec![retry, stubs]
    }

    /// Saves refused events as dead letters, durably, and returns a chunk with their stubs. Events refused even as
    /// stubs are put into `retry` unchanged; the reason is returned with the chunk.
    async fn refuse(
        &mut self,
        refused: Vec<(SealedEvent, Form, String)>,
        retry: &mut Chunk,
    ) -> (Chunk, Option<String>) {
        let (mut stubs, mut letters, mut trouble) = (Chunk::default(), Vec::new(), None);
        for (event, form, reason) in refused {
            let (refused, stub) = match form {
                Form::Event => {
                    letters.push(self.letter(&event, &reason));
                    let refused = Refused { document: event.document.clone(), reason: reason.clone() };
                    let stub = integrity::stub(&refused.document);
                    (refused, stub.map(|stub| (stub, Form::Stub as fn(Refused) -> Form)))
                }
                Form::Stub(refused) => {
                    let stub = integrity::stub_without_content(&refused.document);
                    (refused, stub.map(|stub| (stub, Form::StubWithoutContent as fn(Refused) -> Form)))
                }
                Form::StubWithoutContent(refused) => (refused, None),
            };
            match stub {
                Some((stub, form)) => {
                    stubs.push(SealedEvent { document: Bytes::from(stub), ..event }, form(refused));
                }
                None => {
                    trouble = Some(format!("the store refuses even the stub of an event: {reason}"));
                    retry.push(SealedEvent { document: refused.document, ..event }, Form::Event);
                }
            }
        }
        while let Err(error) = self.save_letters(&letters).await {
            self.attempt.fail(&format!("a dead letter cannot be saved: {error}")).await;
        }
        (stubs, trouble)
    }

    fn letter(&self, event: &SealedEvent, reason: &str) -> DeadLetter {
        DeadLetter {
            position: event.position.to_string(),
            target: self.target.0.clone(),
            reason: reason.to_owned(),
            refused_at: format_time(self.inner.clock.now()),
            document: String::from_utf8_lossy(&event.document).into_owned(),
        }
    }

    async fn save_letters(&self, letters: &[DeadLetter]) -> Result<(), String> {
        if letters.is_empty() {
            return Ok(());
        }
        let letters = letters.to_vec();
        let added = self.inner.with_dead_letters(move |file| file.add(&letters)).await;
        added.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Reports that an event is permanently refused, once the store has accepted its stub.
    fn report_stub(&self, position: ChainPosition, form: &Form) {
        if let Form::Stub(Refused { reason, .. }) | Form::StubWithoutContent(Refused { reason, .. }) = form {
            self.inner.metrics.rejected.inc();
            tracing::error!(store = self.inner.name, %position, reason, "the store permanently refuses an event");
        }
    }

    /// Removes the dead letters of events that were refused even as stubs but stored in the end. A duplicate does not
    /// count: the stored document may be the stub.
    async fn withdraw_letters(&self, stored: &[(ChainPosition, Form)]) {
        if self.inner.dead_letter_count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let events = stored.iter().filter(|(_, form)| matches!(form, Form::Event)).map(|(position, _)| *position);
        let events: Vec<_> = events.collect();
        // A panic is reported by the runtime.
        if let Ok(Err(error)) = self.inner.with_dead_letters(|file| file.withdraw(events.into_iter())).await {
            // The event is offered to the store once more when it is replayed, and found there.
            tracing::warn!(store = self.inner.name, %error, "a dead letter cannot be removed");
        }
    }

    /// Sets the store up again and binds the events of a lost target to the current one. Returns whether it is
    /// another one; a store with a single place has it again.
    async fn rebind(&mut self) -> Result<bool, String> {
        let Source { stream, begin, events_before } = &self.source;
        // Another delivery may have done it.
        let bound = self.inner.progress.lock().await.binding(stream, *begin);
        if let Some(bound) = bound
            && bound != self.target
        {
            self.target = bound;
            return Ok(true);
        }
        self.inner.store.setup(&self.inner.streams).await.map_err(|error| error.to_string())?;
        let target = self.inner.store.target(stream).await.map_err(|error| error.to_string())?;
        if target == self.target {
            return Ok(false);
        }
        self.inner.bind(stream, *begin, *events_before, &target).await?;
        self.target = target;
        Ok(true)
    }
}
