//! Sends batches, with retries, and reports the outcome of each event.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    CliError, ExitStatus,
    batches::{BATCH_BYTES, Batch},
};
use crate::{
    client::{Api, ApiError, Backoff, api::WaitFor},
    wire::{Duplicate, EventResult, EventsAnswer, FirstError, Registration, Rejection, Warning},
};

/// How many single events may be refused with 400 before any event has been answered. More refusals are not about the events.
const EARLY_REFUSALS: u32 = 2;

pub(super) struct SendOptions {
    pub(super) wait_for: WaitFor,
    /// How long to retry while the server is busy.
    pub(super) retry_for: Duration,
    /// Register each provider and action before its first event.
    pub(super) register: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OutcomeCounts {
    pub(super) accepted: u64,
    /// Logged before, with the same id.
    pub(super) duplicates: u64,
    pub(super) filtered: u64,
    pub(super) rejected: u64,
    pub(super) dropped: u64,
    /// Valid, but the server is configured to keep no events.
    pub(super) not_kept: u64,
    /// Accepted, but not yet in the store when the server stopped waiting.
    pub(super) not_yet_stored: u64,
}

impl OutcomeCounts {
    fn add(&mut self, outcome: &EventOutcome<'_>) {
        match outcome.item {
            EventResult::Accepted(_) => {
                self.accepted += 1;
                self.not_yet_stored += u64::from(outcome.stored == Some(false));
            }
            EventResult::Duplicate(Duplicate { differs: false, .. }) => self.duplicates += 1,
            EventResult::Filtered => self.filtered += 1,
            EventResult::Dropped => self.dropped += 1,
            EventResult::NotKept => self.not_kept += 1,
            EventResult::Duplicate(Duplicate { differs: true, .. })
            | EventResult::Rejected(_)
            | EventResult::Unknown => self.rejected += 1,
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.accepted + self.duplicates + self.filtered + self.rejected + self.dropped + self.not_kept
    }
}

pub(super) struct BatchSender {
    api: Api,
    options: SendOptions,
    registered: BTreeMap<String, BTreeSet<String>>,
    /// Whether the server has ever answered. Before that the address may be wrong, so only afterwards is a lost server
    /// waited for.
    answered: bool,
    /// How many more single events may be refused with 400; `None` for any number, once an event has been answered.
    refusals_left: Option<u32>,
    pub(super) counts: OutcomeCounts,
    /// One for each code; `first` is the number of the line.
    pub(super) warnings: Vec<Warning>,
}

impl BatchSender {
    pub(super) fn new(api: Api, options: SendOptions) -> Self {
        let counts = OutcomeCounts::default();
        let refusals_left = Some(EARLY_REFUSALS);
        let (registered, warnings) = (BTreeMap::new(), Vec::new());
        Self { api, options, registered, answered: false, refusals_left, counts, warnings }
    }

    /// Sends a batch, in parts if the server refuses it as a whole: so a line that cannot be sent is rejected alone. Calls
    /// `report` for each event, in order.
    pub(super) async fn send(
        &mut self,
        mut batch: Batch,
        mut report: impl FnMut(&EventOutcome<'_>),
    ) -> Result<(), CliError> {
        if self.options.register {
            self.register(&batch).await?;
        }
        batch.identify();
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.send_with_retries(&part).await {
                Ok(logged) => {
                    self.refusals_left = None;
                    for (line, item) in part.lines().iter().zip(&logged.items) {
                        let stored = logged.stored.filter(|_| matches!(item, EventResult::Accepted(_)));
                        let outcome = EventOutcome { line: line.number, item, stored };
                        self.counts.add(&outcome);
                        report(&outcome);
                    }
                    self.note(logged.warnings, &part);
                }
                Err(error @ ApiError::Refused { status: 400 | 413, .. }) => {
                    if let Some([first, second]) = part.halves() {
                        parts.extend([second, first]);
                        continue;
                    }
                    let Some(line) = part.only_line().filter(|_| self.is_about_the_event(&error)) else {
                        return Err(send_failure(&part.location(), error));
                    };
                    self.reject(line.number, line.text.len() as u64, &error.to_string(), &mut report);
                }
                Err(error @ ApiError::AnswerLost { .. }) => {
                    // A server that finds a body too large may close the connection before its refusal can be read.
                    let Some(line) = part.only_line().filter(|line| line.text.len() > BATCH_BYTES) else {
                        return Err(send_failure(&part.location(), error));
                    };
                    let reason = format!(
                        "{error}, which may be because the server accepts no line of this size; it may be logged or not"
                    );
                    self.reject(line.number, line.text.len() as u64, &reason, &mut report);
                }
                Err(error) => return Err(send_failure(&part.location(), error)),
            }
        }
        Ok(())
    }

    /// Adds warnings about the events of a part to those of earlier parts.
    fn note(&mut self, warnings: Vec<Warning>, part: &Batch) {
        for mut warning in warnings {
            match self.warnings.iter_mut().find(|noted| noted.code == warning.code) {
                Some(noted) => noted.events = noted.events.saturating_add(warning.events),
                None => {
                    let line = usize::try_from(warning.first).ok().and_then(|first| part.lines().get(first));
                    warning.first = line.map_or(0, |line| line.number);
                    self.warnings.push(warning);
                }
            }
        }
    }

    /// Counts and reports a line that cannot be sent.
    pub(super) fn reject(&mut self, line: u64, bytes: u64, reason: &str, mut report: impl FnMut(&EventOutcome<'_>)) {
        let error = FirstError { path: String::new(), reason: format!("{reason}; the line has {bytes} bytes") };
        let item = EventResult::Rejected(Rejection { error, errors: Vec::new() });
        let outcome = EventOutcome { line, item: &item, stored: None };
        self.counts.add(&outcome);
        report(&outcome);
    }

    /// Whether a refusal of a single event is about this event, and not about every request.
    fn is_about_the_event(&mut self, error: &ApiError) -> bool {
        match (error, &mut self.refusals_left) {
            (ApiError::Refused { status: 400, .. }, Some(0)) => false,
            (ApiError::Refused { status: 400, .. }, Some(left)) => {
                *left -= 1;
                true
            }
            _ => true,
        }
    }

    /// Events have ids of their own, so none is logged twice.
    async fn send_with_retries(&mut self, part: &Batch) -> Result<EventsAnswer, ApiError> {
        let wait_for = self.options.wait_for;
        let is_large = part.lines().iter().any(|line| line.text.len() > BATCH_BYTES);
        let ask = async |api: &Api| api.log(part.body(), part.lines().len(), wait_for).await;
        self.with_retries(!is_large, ask).await
    }

    /// Retries as long as that may help; after a lost answer if `is_repeatable`.
    async fn with_retries<T>(
        &mut self,
        is_repeatable: bool,
        ask: impl AsyncFn(&Api) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let started = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let answer = ask(&self.api).await;
            let retry_after = match &answer {
                Err(ApiError::Busy { retry_after, .. }) => *retry_after,
                Err(ApiError::Unreachable { .. }) if self.answered => None,
                Err(ApiError::AnswerLost { .. }) if self.answered && is_repeatable => None,
                Ok(_) | Err(_) => {
                    self.answered = true;
                    return answer;
                }
            };
            let wait = backoff.next(retry_after);
            if started.elapsed() + wait > self.options.retry_for {
                return answer;
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn register(&mut self, batch: &Batch) -> Result<(), CliError> {
        let mut missing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in batch.lines() {
            // The server rejects events that cannot be parsed here, with a reason.
            let Ok(EventKind { event: ProviderAction { provider, action } }) = serde_json::from_slice(&line.text)
            else {
                continue;
            };
            if !self.registered.get(&provider).is_some_and(|known| known.contains(&action)) {
                missing.entry(provider).or_default().insert(action);
            }
        }
        for (provider, actions) in missing {
            let registration = Registration { actions: actions.iter().cloned().collect(), ..Registration::default() };
            match self.with_retries(true, async |api| api.register(&provider, &registration).await).await {
                // If this is refused, the events are rejected as well, each with its reason.
                Ok(_) | Err(ApiError::Refused { .. } | ApiError::Endpoint(_)) => {}
                Err(error) => return Err(send_failure(&batch.location(), error)),
            }
            self.registered.entry(provider).or_default().extend(actions);
        }
        Ok(())
    }
}

/// The part of an event that `--register` needs.
#[derive(Deserialize)]
struct EventKind {
    event: ProviderAction,
}

#[derive(Deserialize)]
struct ProviderAction {
    provider: String,
    action: String,
}

/// The outcome of one event, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct EventOutcome<'a> {
    pub(super) line: u64,
    #[serde(flatten)]
    pub(super) item: &'a EventResult,
    /// Whether the store has it, if `--wait-for stored` was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stored: Option<bool>,
}

/// Adds to the error what happened to the events of the failed request.
fn send_failure(location: &str, error: ApiError) -> CliError {
    let outcome = match error {
        ApiError::AnswerLost { .. } | ApiError::BrokenOff { .. } | ApiError::UnexpectedAnswer { .. } => "logged or not",
        ApiError::Endpoint(_)
        | ApiError::Unreachable { .. }
        | ApiError::Untrusted { .. }
        | ApiError::WrongProtocol { .. }
        | ApiError::Busy { .. }
        | ApiError::Refused { .. } => "not logged",
    };
    let failure = CliError::from(error);
    let rest = if location == "the event" { "" } else { ", and not sent: what comes after" };
    CliError {
        exit: ExitStatus::Server,
        message: format!("{}; {outcome}: {location}{rest}", failure.message),
        ..failure
    }
}
