//! Sends batches with patience, and tells what became of each event.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Exit, Failure, batches::Batch};
use crate::{
    client::{Api, ApiError, Backoff, api::WaitFor},
    wire::{EventResult, EventsAnswer, Registration},
};

/// How to send.
pub(super) struct Manner {
    pub(super) wait_for: WaitFor,
    /// How long a busy server is asked again.
    pub(super) retry_for: Duration,
    /// Register each provider and action before its first event.
    pub(super) register: bool,
}

/// What became of the events so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) filtered: u64,
    pub(super) rejected: u64,
    pub(super) dropped: u64,
    /// Valid, and the server was told to keep no events.
    pub(super) not_kept: u64,
    /// Accepted, and not in the store when the server stopped waiting for that.
    pub(super) not_yet_stored: u64,
}

impl Counts {
    fn add(&mut self, told: &Told<'_>) {
        match told.item {
            EventResult::Accepted(_) => {
                self.accepted += 1;
                self.not_yet_stored += u64::from(told.stored == Some(false));
            }
            EventResult::Filtered => self.filtered += 1,
            EventResult::Dropped => self.dropped += 1,
            EventResult::NotKept => self.not_kept += 1,
            EventResult::Rejected(_) | EventResult::Unknown => self.rejected += 1,
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.accepted + self.filtered + self.rejected + self.dropped + self.not_kept
    }
}

pub(super) struct Sender {
    api: Api,
    manner: Manner,
    registered: BTreeMap<String, BTreeSet<String>>,
    /// Once the server has answered, losing it is worth waiting for; before, the address may be wrong.
    answered: bool,
    pub(super) counts: Counts,
}

impl Sender {
    pub(super) fn new(api: Api, manner: Manner) -> Self {
        Self { api, manner, registered: BTreeMap::new(), answered: false, counts: Counts::default() }
    }

    /// Sends a batch, in parts where the server takes no more at once. `tell` hears of each event, in order.
    pub(super) async fn send(&mut self, batch: Batch, mut tell: impl FnMut(&Told<'_>)) -> Result<(), Failure> {
        if self.manner.register {
            self.register(&batch).await?;
        }
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.send_patiently(&part).await {
                Ok(logged) => {
                    for (line, item) in part.lines().iter().zip(&logged.items) {
                        let stored = logged.stored.filter(|_| matches!(item, EventResult::Accepted(_)));
                        let told = Told { line: line.number, item, stored };
                        self.counts.add(&told);
                        tell(&told);
                    }
                }
                Err(error @ ApiError::Refused { status: 413, .. }) => {
                    let place = part.place();
                    let (first, second) = part.halves().ok_or_else(|| stopped(&place, error))?;
                    parts.extend([second, first]);
                }
                Err(error) => return Err(stopped(&part.place(), error)),
            }
        }
        Ok(())
    }

    async fn send_patiently(&mut self, part: &Batch) -> Result<EventsAnswer, ApiError> {
        let wait_for = self.manner.wait_for;
        self.patiently(async |api| api.log(part.body(), part.lines().len(), wait_for).await).await
    }

    /// Asks again for as long as waiting may help.
    async fn patiently<T>(&mut self, ask: impl AsyncFn(&Api) -> Result<T, ApiError>) -> Result<T, ApiError> {
        let started = Instant::now();
        let mut backoff = Backoff::default();
        loop {
            let answer = ask(&self.api).await;
            let retry_after = match &answer {
                Err(ApiError::Busy { retry_after, .. }) => *retry_after,
                Err(ApiError::Unreachable { .. }) if self.answered => None,
                Ok(_) | Err(_) => {
                    self.answered = true;
                    return answer;
                }
            };
            let wait = backoff.next(retry_after);
            if started.elapsed() + wait > self.manner.retry_for {
                return answer;
            }
            tokio::time::sleep(wait).await;
        }
    }

    async fn register(&mut self, batch: &Batch) -> Result<(), Failure> {
        let mut missing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in batch.lines() {
            // What cannot be read here is rejected by the server, with the reason.
            let Ok(Kind { event: Names { provider, action } }) = serde_json::from_slice(&line.text) else { continue };
            if !self.registered.get(&provider).is_some_and(|known| known.contains(&action)) {
                missing.entry(provider).or_default().insert(action);
            }
        }
        for (provider, actions) in missing {
            let registration =
                Registration { actions: actions.iter().cloned().collect(), defaults: serde_json::Map::new() };
            match self.patiently(async |api| api.register(&provider, &registration).await).await {
                // What is refused here is said of each event, when that is rejected.
                Ok(_) | Err(ApiError::Refused { .. } | ApiError::Endpoint(_)) => {}
                Err(error) => return Err(stopped(&batch.place(), error)),
            }
            self.registered.entry(provider).or_default().extend(actions);
        }
        Ok(())
    }
}

/// What `--register` has to know of an event.
#[derive(Deserialize)]
struct Kind {
    event: Names,
}

#[derive(Deserialize)]
struct Names {
    provider: String,
    action: String,
}

/// One event's outcome; `--json` prints it so.
#[derive(Serialize)]
pub(super) struct Told<'a> {
    pub(super) line: u64,
    #[serde(flatten)]
    pub(super) item: &'a EventResult,
    /// Whether the store has it, where that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stored: Option<bool>,
}

/// Everything before was answered for; what about these events?
fn stopped(place: &str, error: ApiError) -> Failure {
    let fate = match error {
        ApiError::AnswerLost { .. } | ApiError::BrokenOff { .. } | ApiError::Strange { .. } => "logged or not",
        ApiError::Endpoint(_) | ApiError::Unreachable { .. } | ApiError::Busy { .. } | ApiError::Refused { .. } => {
            "not logged"
        }
    };
    let failure = Failure::from(error);
    let rest = if place == "the event" { "" } else { ", and not sent: what comes after" };
    Failure { exit: Exit::Server, message: format!("{}; {fate}: {place}{rest}", failure.message), ..failure }
}
