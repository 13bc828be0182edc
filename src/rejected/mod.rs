//! Events that were rejected on arrival: recorded in a file, counted by provider, and reported in the program's own log.
//!
//! A thread of its own does this. Nobody waits for it: up to [`QUEUE_BYTES`] of events wait for it, and further ones are only
//! counted.
//!
//! # Format
//!
//! `rejected.ndjson` in the data folder has one line per event, a [`RejectedEvent`] as JSON. When it has half of the configured
//! bytes, it becomes `rejected.1.ndjson`, in place of the one before. Lines are not synced: a crash of the machine may lose the
//! last ones. What follows the last line break is cut off, and a line that is no such object is skipped.

mod file;
mod labels;
mod reports;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
pub(crate) mod tests;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::{
    event::{Author, Space},
    intake::{Accepted, BodyError, Registry, Violation},
    metrics::IntakeMetrics,
    time::{Clock, format_time},
    units::ByteSize,
    wire::{RejectedCaller, RejectedEvent},
};
pub use file::Recorded;
use file::RejectedFile;
use labels::{Labels, cut};
use reports::{Interval, Report, Reports, Subject};

/// Maximum bytes of events that wait to be recorded.
const QUEUE_BYTES: usize = 4 << 20;

/// Bytes of a waiting event besides its text and its errors, at most.
const OVERHEAD: usize = 1 << 10;

/// How many messages may wait; as many events as the bytes allow, and those that ask for a flush.
const QUEUE: usize = QUEUE_BYTES / OVERHEAD + 16;

/// Maximum bytes of an event's text, number of its errors, and bytes of each text of an error.
const MAX_TEXT: usize = 64 << 10;
const MAX_ERRORS: usize = 10;
const MAX_ERROR_TEXT: usize = 512;

/// How often it is checked whether a report is due.
const TICK: Duration = Duration::from_secs(1);

/// The least value of `events.rejected_bytes` besides 0: with it, each of the two files has room for the longest line.
pub const MIN_SIZE: ByteSize = ByteSize::from_bytes(1 << 20);

/// Handle on the thread, which ends when this is dropped.
pub struct RejectedEvents {
    queue: SyncSender<Message>,
    queued: Arc<AtomicUsize>,
    unrecorded: Arc<Unrecorded>,
    file: Arc<RejectedFile>,
    clock: Arc<dyn Clock>,
    metrics: IntakeMetrics,
}

enum Message {
    Event(Box<Waiting>),
    /// Answer when everything before is recorded and reported.
    Flush(SyncSender<()>),
}

/// An event that waits to be recorded.
struct Waiting {
    request: Arc<Request>,
    errors: Vec<Violation>,
    more_errors: usize,
    whole_body: bool,
    text: Vec<u8>,
    /// Length of the text before it was cut.
    bytes: usize,
    _place: Place,
}

struct Request {
    time: String,
    caller: RejectedCaller,
    space: String,
}

/// Bytes of the queue, free again when dropped.
struct Place {
    bytes: usize,
    queued: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queued.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The numbers of events that are not recorded.
#[derive(Default)]
struct Unrecorded {
    /// For whatever reason.
    all: AtomicU64,
    /// Those for which the queue had no place, until they are reported.
    unreported: AtomicU64,
}

impl RejectedEvents {
    /// Opens the file in the data folder, whose size is limited, and starts the thread. With a maximum of 0, events are counted and
    /// reported, and not recorded.
    pub fn start(
        folder: &Path,
        max_bytes: u64,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        metrics: IntakeMetrics,
    ) -> io::Result<Self> {
        let (queue, messages) = sync_channel(QUEUE);
        let file = Arc::new(RejectedFile::open(folder, max_bytes));
        let unrecorded = Arc::new(Unrecorded::default());
        let recorder = Recorder {
            file: Arc::clone(&file),
            registry,
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            unrecorded: Arc::clone(&unrecorded),
            reports: Reports::default(),
            failures: Interval::default(),
            overflows: Interval::default(),
        };
        thread::Builder::new().name("rejected-events".to_owned()).spawn(move || recorder.run(&messages))?;
        Ok(Self { queue, queued: Arc::default(), unrecorded, file, clock, metrics })
    }

    /// Records the rejected events of a body, as far as there is room for them in the queue.
    pub fn record(&self, author: &Author, space: Option<&Space>, body: &[u8], accepted: &Accepted) {
        if accepted.rejected.is_empty() {
            return;
        }
        let request = self.request(author, space);
        for rejected in &accepted.rejected {
            let violations = accepted.items.get(rejected.index).and_then(|item| item.violations()).unwrap_or_default();
            let text = body.get(rejected.range.clone()).unwrap_or_default().trim_ascii();
            self.submit(&request, text, violations, false);
        }
    }

    /// Records a body that was rejected as a whole.
    pub fn record_body(&self, author: &Author, space: Option<&Space>, body: &[u8], error: &BodyError) {
        self.submit(&self.request(author, space), body, &[violation(error)], true);
    }

    fn request(&self, author: &Author, space: Option<&Space>) -> Arc<Request> {
        Arc::new(Request {
            time: format_time(self.clock.now()),
            caller: RejectedCaller { name: author.name().to_owned(), realm: author.realm.to_owned() },
            space: Space::name(space).to_owned(),
        })
    }

    fn submit(&self, request: &Arc<Request>, text: &[u8], violations: &[Violation], whole_body: bool) {
        let errors = violations.get(..MAX_ERRORS).unwrap_or(violations);
        let kept = beginning(text);
        let texts = |error: &Violation| error.path.len() + error.expected.len() + error.found.len();
        let bytes = OVERHEAD + kept.len() + errors.iter().map(texts).sum::<usize>();
        let sent = self.place(bytes).is_some_and(|place| {
            let waiting = Waiting {
                request: Arc::clone(request),
                errors: errors.to_vec(),
                more_errors: violations.len() - errors.len(),
                whole_body,
                text: kept.to_vec(),
                bytes: text.len(),
                _place: place,
            };
            self.queue.try_send(Message::Event(Box::new(waiting))).is_ok()
        });
        if !sent {
            self.metrics.rejected_by_provider.of(None).inc();
            self.metrics.unrecorded.inc();
            self.unrecorded.all.fetch_add(1, Ordering::Relaxed);
            self.unrecorded.unreported.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn place(&self, bytes: usize) -> Option<Place> {
        let add = |queued: usize| Some(queued + bytes).filter(|queued| *queued <= QUEUE_BYTES);
        self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Place { bytes, queued: Arc::clone(&self.queued) })
    }

    /// Whether rejected events are recorded at all.
    pub fn is_recording(&self) -> bool {
        self.file.is_recording()
    }

    /// The number of events since the start that could not be recorded.
    pub fn unrecorded(&self) -> u64 {
        self.unrecorded.all.load(Ordering::Relaxed)
    }

    /// Returns `limit` recorded events behind the `from` newest, fewer if they have more than `max_bytes` bytes. It reads the file, which
    /// takes a while.
    pub fn list(&self, from: u64, limit: usize, max_bytes: usize) -> io::Result<Recorded> {
        self.file.list(from, limit, max_bytes)
    }

    /// Waits until everything that was submitted before is recorded and reported; `false` if that takes longer than the limit.
    pub fn flush(&self, limit: Duration) -> bool {
        let (done, is_done) = sync_channel(1);
        self.queue.try_send(Message::Flush(done)).is_ok() && is_done.recv_timeout(limit).is_ok()
    }
}

/// Cuts a text to its maximum, without a part of a character.
fn beginning(text: &[u8]) -> &[u8] {
    let Some(kept) = text.get(..MAX_TEXT).filter(|kept| kept.len() < text.len()) else { return text };
    match std::str::from_utf8(kept) {
        Err(error) if error.error_len().is_none() => kept.get(..error.valid_up_to()).unwrap_or(kept),
        Ok(_) | Err(_) => kept,
    }
}

/// The error of a whole body as that of an event.
fn violation(error: &BodyError) -> Violation {
    let (expected, found) = match error {
        BodyError::Empty => {
            ("one event, an array of events, or one event per line".to_owned(), "an empty body".to_owned())
        }
        BodyError::TooMany { limit } => (format!("at most {limit} events"), "more".to_owned()),
        BodyError::NotJson { reason, .. } => ("JSON".to_owned(), reason.clone()),
        BodyError::TooMuch { limit } => {
            (format!("events that have at most {limit} bytes once they are complete"), "more".to_owned())
        }
    };
    Violation { path: String::new(), expected, found }
}

/// What the thread has.
struct Recorder {
    file: Arc<RejectedFile>,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    metrics: IntakeMetrics,
    unrecorded: Arc<Unrecorded>,
    reports: Reports,
    failures: Interval,
    overflows: Interval,
}

impl Recorder {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(TICK) {
                Ok(Message::Event(waiting)) => self.record(*waiting),
                Ok(Message::Flush(done)) => {
                    self.reports.rest().into_iter().for_each(write);
                    // Whoever asked may have given up.
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = self.clock.since_boot();
            self.reports.due(now).into_iter().for_each(write);
            self.report_overflow(now);
        }
    }

    fn record(&mut self, waiting: Waiting) {
        let event = rejected_event(&waiting);
        self.count(event.provider.as_deref());
        let now = self.clock.since_boot();
        let RejectedCaller { name, realm } = &event.caller;
        let subject = Subject {
            caller: format!("{realm}:{name}"),
            provider: event.provider.clone(),
            path: event.errors.first().map(|error| error.path.clone()).unwrap_or_default(),
        };
        self.reports.count(subject, now).into_iter().for_each(write);
        if self.file.is_recording()
            && let Err(error) = serialize(&event).and_then(|line| self.file.append(&line))
        {
            self.unrecorded.all.fetch_add(1, Ordering::Relaxed);
            self.metrics.unrecorded.inc();
            if let Some(events) = self.failures.add(1, now) {
                let path = self.file.path().display();
                tracing::error!(%path, %error, events, "rejected events cannot be recorded");
            }
        }
    }

    fn count(&mut self, provider: Option<&str>) {
        let registered = provider.filter(|provider| self.registry.is_registered(provider));
        self.metrics.rejected_by_provider.of(registered).inc();
    }

    fn report_overflow(&mut self, now: Duration) {
        let events = self.unrecorded.unreported.swap(0, Ordering::Relaxed);
        if let Some(events) = self.overflows.add(events, now).filter(|events| *events > 0) {
            tracing::warn!(events, "events were rejected faster than they can be recorded; they are only counted");
        }
    }
}

fn rejected_event(waiting: &Waiting) -> RejectedEvent {
    let Waiting { request, errors, more_errors, whole_body, text, bytes, .. } = waiting;
    let Labels { provider, action, event_id } = Labels::read(text);
    let short = |text: &String| cut(text.clone(), MAX_ERROR_TEXT);
    let errors = errors.iter().map(|Violation { path, expected, found }| Violation {
        path: short(path),
        expected: short(expected),
        found: short(found),
    });
    RejectedEvent {
        time: request.time.clone(),
        caller: request.caller.clone(),
        space: request.space.clone(),
        provider,
        action,
        event_id,
        errors: errors.collect(),
        more_errors: *more_errors as u64,
        whole_body: *whole_body,
        event: String::from_utf8_lossy(text).into_owned(),
        bytes: *bytes as u64,
        cut: text.len() < *bytes,
    }
}

fn serialize(event: &RejectedEvent) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    Ok(line)
}

/// Writes a line of the program's own log. Texts of callers are quoted there.
fn write(Report { subject, events }: Report) {
    match subject {
        Some(Subject { caller, provider, path }) => {
            let (caller, path) = (caller.as_str(), path.as_str());
            tracing::warn!(caller, provider, path, events, "events were rejected; `annals rejected` lists them");
        }
        None => tracing::warn!(events, "events of many more callers, providers and paths were rejected"),
    }
}
