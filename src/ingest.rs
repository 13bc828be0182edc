//! The entry point for everything that is logged: events of callers over any protocol, and the log's own, pass through an
//! [`Ingest`]. The protocol has to check beforehand whether the sender may log at all.

use std::sync::Arc;

use crate::{
    event::{Author, Space},
    intake::{Accepted, BodyError, Intake, Item, Registry, Warning},
    metrics::IntakeMetrics,
    rejected::RejectedEvents,
    writer::{Origin, Receipts, SubmitError, Writer},
};

/// Validates events and makes them durable.
pub struct Ingest {
    intake: Intake,
    /// `None` if the log is configured to keep no events.
    writer: Option<Writer>,
    metrics: IntakeMetrics,
    rejected: Option<Arc<RejectedEvents>>,
}

/// The result for each event of a body, in its order.
pub struct Logged {
    pub items: Vec<Item>,
    /// What was done with the accepted ones.
    pub outcome: Outcome,
    /// What will surprise about them.
    pub warnings: Vec<Warning>,
}

pub enum Outcome {
    /// Sealed and durable; `None` if no event was accepted.
    Sealed(Option<Receipts>),
    /// The journal is full, and the log is configured to drop events then.
    Dropped,
    /// The log is configured to keep no events.
    NotKept,
}

/// Why the log's own events were not logged.
#[derive(Debug, thiserror::Error)]
pub enum OwnEventError {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("{path} is not valid")]
    Rejected {
        /// The number of events that were rejected; the others were logged.
        events: usize,
        /// The field at fault in the first of them.
        path: String,
    },
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

impl Ingest {
    /// Without a writer, events are validated and not kept.
    pub fn new(intake: Intake, writer: Option<Writer>, metrics: IntakeMetrics) -> Self {
        Self { intake, writer, metrics, rejected: None }
    }

    /// Records events of callers that are rejected.
    pub fn recording_rejected(self, rejected: Arc<RejectedEvents>) -> Self {
        Self { rejected: Some(rejected), ..self }
    }

    pub fn registry(&self) -> &Arc<Registry> {
        self.intake.registry()
    }

    /// Returns how many bytes [`Self::check`] will probably make from a body.
    pub fn likely_bytes(&self, body: &[u8]) -> usize {
        self.intake.likely_bytes(body)
    }

    /// Validates a caller's events: one event, a JSON array of events, or NDJSON. It takes a while if the body, or what is made
    /// from it, is large. Fails if that is more than `most` bytes, which is not recorded, as it may be tried again with more.
    pub fn check(
        &self,
        author: &Author,
        space: Option<&Space>,
        body: &[u8],
        most: usize,
    ) -> Result<Accepted, BodyError> {
        let checked = self.intake.accept_within(author, space, body, most);
        match &checked {
            Err(BodyError::TooMuch { .. }) => return checked,
            Err(error) => self.record_rejected_body(author, space, body, error),
            Ok(accepted) => {
                self.rejected.iter().for_each(|events| events.record(author, space, body, accepted));
                for (provider, fields) in &accepted.unmapped {
                    self.metrics.unmapped.of(Some(provider)).inc_by(*fields);
                }
            }
        }
        self.metrics.bytes.inc_by(body.len() as u64);
        checked
    }

    /// Records a caller's body that is rejected as a whole.
    pub fn record_rejected_body(&self, author: &Author, space: Option<&Space>, body: &[u8], error: &BodyError) {
        self.rejected.iter().for_each(|events| events.record_body(author, space, body, error));
    }

    /// Makes valid events durable. Completes even if the caller goes away.
    pub async fn log(&self, accepted: Accepted) -> Result<Logged, SubmitError> {
        let logged = self.submit(accepted, Origin::Caller).await?;
        self.count(&logged);
        Ok(logged)
    }

    /// Logs events of the log itself, in NDJSON.
    pub async fn log_own(&self, space: Option<&Space>, lines: &[u8]) -> Result<(), OwnEventError> {
        let accepted = self.intake.accept(&Author::log(), space, lines)?;
        let Logged { items, .. } = self.submit(accepted, Origin::Log).await?;
        let rejected: Vec<_> = items.iter().filter_map(Item::violations).collect();
        match rejected.first() {
            Some(violations) => {
                let path = violations.first().map(|violation| violation.path.clone()).unwrap_or_default();
                Err(OwnEventError::Rejected { events: rejected.len(), path })
            }
            None => Ok(()),
        }
    }

    async fn submit(
        &self,
        Accepted { items, contents, warnings, .. }: Accepted,
        origin: Origin,
    ) -> Result<Logged, SubmitError> {
        let outcome = match &self.writer {
            None => Outcome::NotKept,
            Some(_) if contents.is_empty() => Outcome::Sealed(None),
            Some(writer) => match writer.submit(contents, origin).await {
                Ok(receipts) => Outcome::Sealed(Some(receipts)),
                Err(SubmitError::Dropped) => Outcome::Dropped,
                Err(error) => return Err(error),
            },
        };
        Ok(Logged { items, outcome, warnings })
    }

    fn count(&self, Logged { items, outcome, .. }: &Logged) {
        let (mut accepted, mut filtered, mut rejected) = (0, 0, 0);
        for item in items {
            match item {
                Item::Accepted { .. } => accepted += 1,
                Item::Filtered => filtered += 1,
                Item::Rejected(_) => rejected += 1,
            }
        }
        match outcome {
            Outcome::Sealed(receipts) => {
                let duplicates = receipts.as_ref().map_or(0, Receipts::duplicates);
                self.metrics.duplicate.inc_by(duplicates);
                self.metrics.accepted.inc_by(accepted - duplicates)
            }
            Outcome::Dropped => self.metrics.dropped.inc_by(accepted),
            Outcome::NotKept => self.metrics.not_kept.inc_by(accepted),
        };
        self.metrics.filtered.inc_by(filtered);
        self.metrics.rejected.inc_by(rejected);
    }
}
