//! The entry point for everything that is read: every protocol reads through a [`Reader`].
//!
//! Requests are plain structs ([`FindRequest`], [`AggregateRequest`], [`ExportRequest`], [`TailRequest`], …), and so are results;
//! nothing here depends on HTTP. A protocol parses its requests into these structs and writes the results. [`scope`] checks
//! whether the caller may read the requested events, and records reads in the audit log; the protocol has to check beforehand
//! whether the caller may query at all.

mod aggregate;
mod buckets;
mod count;
mod cursor;
mod error;
mod event;
mod export;
mod find;
mod pages;
mod projection;
mod scan;
mod scope;
mod selection;
mod streams;
mod tail;
mod token;
mod visibility;

#[cfg(any(test, fuzzing))]
pub(crate) use token::{decode as decode_token, encode as encode_token};

pub use aggregate::{AggregateRequest, Aggregated, BadAggregation, Buckets, Requested};
pub use buckets::{BadInterval, NamedInterval, parse_interval};
pub use cursor::{BadCursor, Cursor};
pub use error::ReadError;
pub use event::{EventRequest, FoundEvent};
pub use export::{CsvColumns, Export, ExportRequest, ExportSummary, Format};
pub use find::{BadPaging, FindRequest, Found, Paging};
pub use projection::{BadFields, MAX_FIELDS, Projection};
pub use scope::{AccessWatch, MAX_IDS, ObjectIds, RequestedScope};
pub use selection::Selection;
pub use tail::{BadPositions, Begin, Gone, Positions, Tail, TailMessage, TailOutput, TailRequest};

pub(crate) use scan::OpenScan;

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use self::{pages::PageReader, streams::StreamLimiter, visibility::Visibility};
use crate::{
    access::{Access, Caller},
    audit::Audit,
    journal::Position,
    limiter::{HeldPermits, SharedPermits},
    memory_budget::{Memory, Reservation},
    ship::Confirmations,
    store::EventIndex,
    time::Clock,
};

/// Limits on queries.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of concurrent queries of one caller; further ones wait.
    pub queries_per_caller: u32,
    /// Maximum number of concurrent exports, and of tails, of one caller.
    pub exports_per_caller: usize,
    pub tails_per_caller: usize,
    /// How long events may be confirmed before every query sees them; exports see them at once.
    pub max_staleness: Duration,
    /// How long the index may take for one step of a streamed answer.
    pub step_timeout: Duration,
}

/// Answers queries about the events of one index.
pub struct Reader {
    index: Arc<dyn EventIndex>,
    access: Arc<Access>,
    audit: Audit,
    clock: Arc<dyn Clock>,
    confirmations: Confirmations,
    pages: PageReader,
    memory: Arc<Memory>,
    turns: SharedPermits,
    streams: StreamLimiter,
    visibility: Visibility,
    max_staleness: Duration,
    step_timeout: Duration,
}

/// Reserved memory of a result; keep it until the answer is sent.
pub type AnswerMemory = Reservation;

impl Reader {
    /// `confirmations` must be those of the index's store.
    pub fn new(
        index: Arc<dyn EventIndex>,
        confirmations: Confirmations,
        access: Arc<Access>,
        audit: Audit,
        clock: Arc<dyn Clock>,
        memory: Arc<Memory>,
        limits: Limits,
    ) -> Self {
        Self {
            visibility: Visibility::new(Arc::clone(&index), confirmations.clone()),
            pages: PageReader::new(Arc::clone(&memory)),
            // No limit in total: a store limits its queries by itself.
            turns: SharedPermits::new(u32::MAX, limits.queries_per_caller),
            streams: StreamLimiter::new(Arc::clone(&memory), limits.exports_per_caller, limits.tails_per_caller),
            memory,
            max_staleness: limits.max_staleness,
            step_timeout: limits.step_timeout,
            index,
            access,
            audit,
            clock,
            confirmations,
        }
    }

    /// Waits until everything before this journal position can be found; `false` if the deadline passes.
    pub async fn wait_until_found(&self, end: Position, deadline: Instant) -> bool {
        tokio::time::timeout_at(deadline, self.visibility.wait(end)).await.is_ok()
    }

    /// Waits until it is the caller's turn to query the index.
    async fn turn(&self, caller: &Caller, deadline: Instant) -> Result<HeldPermits, ReadError> {
        self.turns.acquire(&caller.principal.to_string(), 1, deadline).await.map_err(|_| ReadError::Busy)
    }

    /// Returns the deadline for one step of a streamed answer.
    fn step_deadline(&self) -> Instant {
        Instant::now() + self.step_timeout
    }
}
