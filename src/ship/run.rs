//! The loop of a shipper: read, bind, send, confirm.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinHandle, spawn_blocking},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    Inner, ProgressFile, Trimmer,
    deliver::{Part, deliver},
    events_before,
    health::Attempt,
    lock,
    presence::{Witnesses, find_loss},
    progress::Loss,
    unknown_chains::report_unknown_chains,
};
use crate::{
    event::{ChainId, ChainPosition, SealedEvent, Sequence, Stream, UnixMillis},
    journal::{JournalError, Position, Reader, Record},
    store::{SinkError, Target},
    writer::{BadRecord, Group, Section},
};

/// How long a stream's target is taken as current before the store is asked again.
const TARGET_AGE: Duration = Duration::from_secs(5);
/// How soon after a check what was confirmed since is checked, and the progress written to disk.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// How long the store may take to be checked when the shipper ends.
const LAST_CHECK: Duration = Duration::from_secs(2);
/// How often damage of the journal is read again, [`DAMAGE_WAIT`] apart, before it is skipped: memory and cables fail too.
const DAMAGE_READS: u32 = 3;
const DAMAGE_WAIT: Duration = Duration::from_secs(2);
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(10);
/// How many units per concurrent request may be delivered or in flight behind an unfinished one. A slow unit must not
/// leave the other requests idle, nor may a restart have to send much again.
const UNITS_PER_REQUEST: usize = 4;

pub(super) struct LoopOptions {
    pub(super) bulk_bytes: usize,
    /// Maximum number of concurrent requests. One more unit is kept ready, so that the next request follows at once.
    pub(super) concurrency: usize,
    /// The shipper's index at the trimmer.
    pub(super) index: usize,
}

/// Consecutive events that are sent together.
pub(super) struct Unit {
    end: Position,
    /// Number of events ever written to the journal before `end`.
    events: u64,
    /// Number of events that are missing in the journal before or between the parts.
    missing: u64,
    parts: Vec<Part>,
}

pub(super) async fn run(inner: Arc<Inner>, trimmer: Arc<Trimmer>, options: LoopOptions, shutdown: CancellationToken) {
    let confirmed = *inner.confirmed.borrow();
    let mut shipper = Loop {
        reader: Some(inner.journal.reader(confirmed)),
        read_events: inner.confirmed_events.load(Ordering::Relaxed),
        bound_until: inner.journal.end(),
        unsure_until: inner.journal.end(),
        heads: Vec::new(),
        compared: Vec::new(),
        targets: Vec::new(),
        in_flight: VecDeque::new(),
        witnesses: Vec::new(),
        checked: Instant::now(),
        is_saved: true,
        check: None,
        has_check_failed: false,
        inner,
        trimmer,
        options,
    };
    let worked = shutdown.run_until_cancelled(shipper.work()).await;
    debug_assert!(worked.is_none(), "the work ends by cancellation alone");
    // Unfinished deliveries may be aborted: their events are in the journal and will be sent again.
    shipper.in_flight.iter().for_each(|unfinished| unfinished.task.abort());
    shipper.check_last().await;
}

/// Waits for units in flight to finish, in any order, and records their outcomes. Never returns if there are none.
async fn note_finished(in_flight: &mut VecDeque<InFlight>) {
    poll_fn(|context| {
        let mut noted = Poll::Pending;
        for unit in in_flight.iter_mut().filter(|unit| unit.outcome.is_none()) {
            if let Poll::Ready(outcome) = Pin::new(&mut unit.task).poll(context) {
                unit.outcome = Some(outcome);
                noted = Poll::Ready(());
            }
        }
        noted
    })
    .await;
}

/// Waits for the check under way; never returns if there is none. A check that panicked counts as unanswered.
async fn await_check(under_way: &mut Option<Check>) -> (Check, Result<Option<Loss>, SinkError>) {
    let ended = match under_way {
        Some(check) => (&mut check.task).await,
        None => std::future::pending().await,
    };
    let Some(check) = under_way.take() else { return std::future::pending().await };
    let failed = |error: JoinError| Err(SinkError::Unavailable { reason: error.to_string(), retry_after: None });
    (check, ended.unwrap_or_else(failed))
}

/// Times never decrease within a chain, so this is approximately the oldest.
fn oldest_received(groups: &[Group]) -> Option<UnixMillis> {
    groups.iter().flat_map(|group| &group.sections).map(|section| section.received).min()
}

struct Loop {
    inner: Arc<Inner>,
    trimmer: Arc<Trimmer>,
    options: LoopOptions,
    /// `None` while a thread reads.
    reader: Option<Reader>,
    /// Number of events ever written to the journal before the reader's position, as the records so far say.
    read_events: u64,
    /// Records before this may already have been sent to their bound targets.
    bound_until: Position,
    /// Records before this existed at the start. Their bindings may be lost, or come from an old copy of the data
    /// folder.
    unsure_until: Position,
    /// The store's head of each chain at the start. Later events were in none of its indices.
    heads: Vec<(ChainId, Option<Sequence>)>,
    /// The chains already compared: whether the store has more of them than the journal had.
    compared: Vec<ChainId>,
    /// The last known target of each stream, and when the store was last asked, successfully or not.
    targets: Vec<(Stream, Target, Instant)>,
    /// In the order of the journal, which is the order of confirmation.
    in_flight: VecDeque<InFlight>,
    /// The last event of each part that was confirmed since the last check, where the part's target is certain to hold
    /// it.
    witnesses: Witnesses,
    /// When the last check ended.
    checked: Instant,
    /// Whether everything confirmed was found in the store, and the progress is on disk.
    is_saved: bool,
    /// A check under way.
    check: Option<Check>,
    /// Whether the last check got no answer, or its result could not be saved.
    has_check_failed: bool,
}

/// A check of what the store had confirmed when it began.
struct Check {
    confirmed: Position,
    events: u64,
    missing: u64,
    witnesses: Witnesses,
    task: JoinHandle<Result<Option<Loss>, SinkError>>,
}

/// A unit that is being delivered, or is delivered and waits for an earlier one.
struct InFlight {
    end: Position,
    events: u64,
    missing: u64,
    received: Option<UnixMillis>,
    witnesses: Witnesses,
    task: JoinHandle<()>,
    /// How the task ended.
    outcome: Option<Result<(), JoinError>>,
}

/// Returns the last event of a part. If some of the part may be stored elsewhere, so may be its last event.
fn witness(part: &Part) -> Option<(Target, ChainPosition)> {
    let last = part.events.last().filter(|_| !part.may_be_stored)?;
    Some((part.target.clone(), last.position))
}

impl Loop {
    async fn work(&mut self) {
        self.prepare().await;
        // At its own pace, as it may take a large store long. Ends with the work.
        let _unknown_chains = AbortOnDropHandle::new(tokio::spawn(report_unknown_chains(Arc::clone(&self.inner))));
        let (trimmer, index, confirmed) =
            (Arc::clone(&self.trimmer), self.options.index, *self.inner.confirmed.borrow());
        // It fails only by panicking; the next check trims again.
        let _ = spawn_blocking(move || trimmer.confirm(index, confirmed)).await;
        let mut appended = self.inner.journal.watch();
        let mut maintenance = tokio::time::interval(MAINTENANCE_INTERVAL);
        maintenance.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            while self.should_read() {
                self.send_next().await;
            }
            // A journal without room waits for nothing but the check.
            let is_urgent = self.inner.writer.is_short_of_room() && !self.has_check_failed;
            let wait = if is_urgent { Duration::ZERO } else { CHECK_INTERVAL };
            let check_due = self.checked + wait;
            tokio::select! {
                () = note_finished(&mut self.in_flight) => self.confirm(),
                _ = appended.changed() => {}
                () = sleep_until(check_due), if !self.is_saved && self.check.is_none() => self.begin_check(),
                _ = maintenance.tick() => {
                    self.maintain();
                    self.begin_check();
                }
                (check, found) = await_check(&mut self.check) => self.finish_check(check, found).await,
            }
        }
    }

    /// Sets the store up and asks for its heads, retrying while it is unavailable.
    async fn prepare(&mut self) {
        let mut attempt = Attempt::new(&self.inner);
        while let Err(error) = self.set_up_store().await {
            attempt.report_trouble(&error.to_string());
            let again = Instant::now() + attempt.next_delay(None);
            let mut appended = self.inner.journal.watch();
            self.look_ahead().await;
            // If nothing is waiting yet, the next event to come in becomes the oldest.
            while lock(&self.inner.oldest).is_none() && timeout_at(again, appended.changed()).await.is_ok() {
                self.look_ahead().await;
            }
            sleep_until(again).await;
        }
        attempt.report_success();
    }

    async fn set_up_store(&mut self) -> Result<(), SinkError> {
        self.inner.store.setup(&self.inner.streams).await?;
        if let Some(loss) = find_loss(&self.inner, &[]).await? {
            self.start_over(&loss).await;
        }
        for (chain, next) in self.inner.own_chains.clone() {
            self.compare_head(chain, next).await?;
        }
        Ok(())
    }

    /// Reports if the store has more of this chain than the journal had.
    async fn compare_head(&mut self, chain: ChainId, next: Sequence) -> Result<(), SinkError> {
        if !self.compared.contains(&chain) {
            let head = self.head(chain).await?;
            self.compared.push(chain);
            if let Some(head) = head.filter(|head| *head >= next) {
                self.inner.report_beyond(chain, next, head);
            }
        }
        Ok(())
    }

    /// Compares the predecessor of a new chain: the writer may have closed it because this store did not answer.
    async fn compare_predecessor(&mut self, events: &[SealedEvent]) {
        let Some(first) = events.first().filter(|first| first.position.sequence == Sequence(0)) else { return };
        let predecessor = match self.inner.writer.predecessor(first.position.chain) {
            Ok(predecessor) => predecessor,
            Err(error) => {
                tracing::error!(store = self.inner.name, %error, "the predecessor of a chain cannot be read");
                None
            }
        };
        let Some(predecessor) = predecessor else { return };
        let Ok(chain) = predecessor.chain.parse() else { return };
        let mut attempt = Attempt::new(&self.inner);
        while let Err(error) = self.compare_head(chain, Sequence(predecessor.sequence).next()).await {
            attempt.fail(&error.to_string()).await;
        }
    }

    /// The store's head of this chain when it was first asked.
    async fn head(&mut self, chain: ChainId) -> Result<Option<Sequence>, SinkError> {
        if let Some((_, head)) = self.heads.iter().find(|(known, _)| *known == chain) {
            return Ok(*head);
        }
        let head = self.inner.store.head(chain).await?.map(|head| head.position.sequence);
        self.heads.push((chain, head));
        Ok(head)
    }

    /// Whether some of these events may be in the store, in an index that they are not known to be bound to.
    async fn may_be_stored(&mut self, at: Position, events: &[SealedEvent]) -> bool {
        let Some(first) = events.first().filter(|_| at < self.unsure_until) else { return false };
        let ChainPosition { chain, sequence } = first.position;
        let mut attempt = Attempt::new(&self.inner);
        loop {
            match self.head(chain).await {
                Ok(head) => return head.is_some_and(|head| sequence <= head),
                Err(error) => attempt.fail(&error.to_string()).await,
            }
        }
    }

    /// Determines how long the oldest event has waited, even while nothing can be sent.
    async fn look_ahead(&mut self) {
        let is_known = lock(&self.inner.oldest).is_some();
        if is_known || self.inner.journal.end() <= *self.inner.confirmed.borrow() {
            return;
        }
        // A fault of the journal is reported when its events are due to be sent.
        if let Ok(records) = self.read().await {
            let groups: Vec<_> = records.iter().flat_map(|record| Group::decode(&record.payload)).collect();
            self.note_oldest(oldest_received(&groups));
        }
        self.restart();
    }

    /// While a request is in flight, another one is worth sending only if it is full; small ones would just be more
    /// requests.
    fn should_read(&self) -> bool {
        let at = self.reader.as_ref().map_or(Position(u64::MAX), Reader::position);
        let available = self.inner.journal.end().0.saturating_sub(at.0);
        let under_way = self.in_flight.iter().filter(|unit| unit.outcome.is_none()).count();
        let is_awaited = under_way == 0 || available >= self.options.bulk_bytes as u64;
        let concurrency = self.options.concurrency;
        available > 0
            && is_awaited
            && under_way <= concurrency
            && self.in_flight.len() < concurrency * UNITS_PER_REQUEST
    }

    async fn send_next(&mut self) {
        let records = self.read_on().await;
        let groups: Result<Vec<_>, BadRecord> = records.iter().map(|record| Group::decode(&record.payload)).collect();
        let groups = match groups {
            Ok(groups) => groups,
            Err(error) => {
                Attempt::new(&self.inner).report_trouble(&error.to_string());
                return std::future::pending().await;
            }
        };
        let received = oldest_received(&groups);
        self.note_oldest(received);
        let Unit { end, events, missing, parts } = self.next_unit(&records, groups).await;
        let witnesses = parts.iter().filter_map(witness).collect();
        let task = tokio::spawn(deliver(Arc::clone(&self.inner), parts));
        self.in_flight.push_back(InFlight { end, events, missing, received, witnesses, task, outcome: None });
    }

    /// Reads until it succeeds. What stays damaged is skipped: the events behind it must not wait for what is lost.
    async fn read_on(&mut self) -> Vec<Record> {
        let mut attempt = Attempt::new(&self.inner);
        let mut damaged_reads = 0;
        loop {
            let error = match self.read().await {
                Ok(records) => return records,
                Err(error) => error,
            };
            attempt.report_trouble(&format!("the journal cannot be read: {error}"));
            damaged_reads = if matches!(error, JournalError::Damaged { .. }) { damaged_reads + 1 } else { 0 };
            if damaged_reads < DAMAGE_READS {
                attempt.wait(Some(DAMAGE_WAIT)).await;
                continue;
            }
            tracing::error!(store = self.inner.name, %error, "a damaged part of the journal is skipped; the file is kept as it is beside the journal's, with the suffix .damaged");
            match self.with_reader(Reader::skip_damage).await {
                Some(Ok(())) => {}
                Some(Err(error)) => attempt.fail(&format!("damage of the journal cannot be skipped: {error}")).await,
                None => {}
            }
        }
    }

    /// Records since when the oldest event has waited: of those in flight, or else of those read.
    fn note_oldest(&self, read: Option<UnixMillis>) {
        let under_way = self.in_flight.front().and_then(|unfinished| unfinished.received);
        *lock(&self.inner.oldest) = under_way.or(read);
    }

    async fn read(&mut self) -> Result<Vec<Record>, JournalError> {
        let bytes = self.options.bulk_bytes;
        self.with_reader(move |reader| reader.read(bytes)).await.unwrap_or(Ok(Vec::new()))
    }

    /// Uses the reader on a thread that may block. `None` if that panicked, which starts it anew.
    async fn with_reader<T: Send + 'static>(
        &mut self,
        access: impl FnOnce(&mut Reader) -> T + Send + 'static,
    ) -> Option<T> {
        let mut reader = self.reader.take()?;
        let access = move || {
            let result = access(&mut reader);
            (reader, result)
        };
        match tokio::task::spawn_blocking(access).await {
            Ok((reader, result)) => {
                self.reader = Some(reader);
                Some(result)
            }
            Err(_) => {
                self.restart();
                None
            }
        }
    }

    async fn next_unit(&mut self, records: &[Record], groups: Vec<Group>) -> Unit {
        // Without a record, the reader has passed a place where records are missing.
        let read_until = records.last().map(|record| record.end);
        let end = read_until.or(self.reader.as_ref().map(Reader::position)).unwrap_or(*self.inner.confirmed.borrow());
        let mut unit = Unit { end, events: self.read_events, missing: 0, parts: Vec::new() };
        for (record, group) in records.iter().zip(groups) {
            unit.missing += group.events_before.saturating_sub(self.read_events);
            unit.events = group.events_before + group.event_count();
            self.read_events = unit.events;
            for section in group.sections {
                let target = self.target(&section.stream, record.begin, group.events_before).await;
                self.compare_predecessor(&section.events).await;
                let may_be_stored = self.may_be_stored(record.begin, &section.events).await;
                match unit.parts.last_mut() {
                    Some(part)
                        if part.stream == section.stream
                            && part.target == target
                            && part.may_be_stored == may_be_stored =>
                    {
                        part.events.extend(section.events);
                    }
                    _ => {
                        let Section { stream, events, .. } = section;
                        let (begin, events_before) = (record.begin, group.events_before);
                        unit.parts.push(Part { stream, begin, events_before, target, may_be_stored, events });
                    }
                }
            }
        }
        unit
    }

    /// The target of this stream's events at this position of the journal; on disk before this returns.
    async fn target(&mut self, stream: &Stream, at: Position, events_before: u64) -> Target {
        let bound = self.inner.progress.lock().await.binding(stream, at);
        let known = self.targets.iter().find(|(known, ..)| known == stream);
        let is_fresh = known.is_some_and(|(.., asked)| asked.elapsed() < TARGET_AGE);
        if let Some(bound) = &bound
            && (at < self.bound_until || is_fresh)
        {
            return bound.clone();
        }
        let target = self.ask_target(stream, bound.as_ref()).await;
        if bound.as_ref() != Some(&target) {
            let mut attempt = Attempt::new(&self.inner);
            while let Err(error) = self.inner.bind(stream, at, events_before, &target).await {
                attempt.fail(&error).await;
            }
        }
        self.targets.retain(|(known, ..)| known != stream);
        self.targets.push((stream.clone(), target.clone(), Instant::now()));
        target
    }

    /// The store's target for this stream, or the bound one if the store does not answer.
    async fn ask_target(&self, stream: &Stream, bound: Option<&Target>) -> Target {
        let mut attempt = Attempt::new(&self.inner);
        loop {
            let error = match self.inner.store.target(stream).await {
                Ok(target) => return target,
                Err(error) => error,
            };
            attempt.report_trouble(&error.to_string());
            // A store that answers no questions may still accept events.
            if let Some(bound) = bound {
                return bound.clone();
            }
            attempt.wait(None).await;
        }
    }

    /// Processes the outcomes of the oldest units, up to the first unfinished one.
    fn confirm(&mut self) {
        while let Some(oldest) = self.in_flight.pop_front_if(|oldest| oldest.outcome.is_some()) {
            if let Some(Err(error)) = oldest.outcome {
                tracing::error!(store = self.inner.name, %error, "a delivery failed unexpectedly; it is restarted");
                return self.restart();
            }
            self.witnesses.extend(oldest.witnesses);
            self.note_missing(oldest.missing);
            self.inner.confirmed_events.store(oldest.events, Ordering::Relaxed);
            self.inner.confirmed.send_replace(oldest.end);
            self.note_oldest(None);
            self.is_saved = false;
        }
    }

    /// Counts events that the journal lost before the store had them.
    fn note_missing(&self, events: u64) {
        if events > 0 {
            self.inner.missing_events.fetch_add(events, Ordering::Relaxed);
            tracing::error!(
                store = self.inner.name,
                events,
                "events are missing in the journal that this store never received: a part of the journal was lost, or the store was not configured while others received them"
            );
        }
    }

    /// Returns to the last confirmed position. Everything sent since stays bound to its target.
    fn restart(&mut self) {
        self.bound_until = self.inner.journal.end();
        self.in_flight.drain(..).for_each(|unfinished| unfinished.task.abort());
        self.reader = Some(self.inner.journal.reader(*self.inner.confirmed.borrow()));
        self.read_events = self.inner.confirmed_events.load(Ordering::Relaxed);
    }

    /// Checks what the store has confirmed, unless a check is under way.
    fn begin_check(&mut self) {
        if self.check.is_some() {
            return;
        }
        let (inner, witnesses) = (Arc::clone(&self.inner), std::mem::take(&mut self.witnesses));
        let (confirmed, events) = (*inner.confirmed.borrow(), inner.confirmed_events.load(Ordering::Relaxed));
        let missing = inner.missing_events.load(Ordering::Relaxed);
        let sought = witnesses.clone();
        let task = tokio::spawn(async move { find_loss(&inner, &sought).await });
        self.check = Some(Check { confirmed, events, missing, witnesses, task });
    }

    /// Records what the store was found to hold, or starts over if it has lost anything.
    async fn finish_check(&mut self, check: Check, found: Result<Option<Loss>, SinkError>) {
        self.checked = Instant::now();
        self.has_check_failed = found.is_err();
        match found {
            Ok(None) if self.is_saved => {}
            Ok(None) => self.save(check).await,
            Ok(Some(loss)) => {
                self.start_over(&loss).await;
                self.prepare().await;
            }
            // Its tables or its file are gone: once they are there again, it turns out what is missing.
            Err(SinkError::TargetLost { reason }) => {
                tracing::warn!(store = self.inner.name, reason, "the store is set up again");
                self.prepare().await;
            }
            Err(error) => {
                tracing::debug!(store = self.inner.name, %error, "the store cannot be checked at present");
                self.witnesses.extend(check.witnesses);
            }
        }
    }

    /// Checks once more at the end, if the store answers soon. What is not recorded is sent again at the next start.
    async fn check_last(&mut self) {
        if self.is_saved {
            return;
        }
        self.begin_check();
        if let Ok((check, Ok(None))) = timeout(LAST_CHECK, await_check(&mut self.check)).await {
            self.save(check).await;
        }
    }

    /// Sends everything in the journal again, as the store has lost events that it confirmed.
    async fn start_over(&mut self, loss: &Loss) {
        let inner = Arc::clone(&self.inner);
        let begin = inner.journal.begin();
        let events = events_before(&inner.journal, begin, &inner.writer);
        let missing = inner.progress.lock().await.start_over(begin, events, loss);
        let sent_again = inner.writer.stats().events.saturating_sub(events);
        tracing::error!(
            store = inner.name,
            sent_again,
            missing,
            "{}: the events in the journal are sent again; at most {missing} others that the store confirmed are lost to it",
            loss.reason()
        );
        inner.missing_events.fetch_add(missing, Ordering::Relaxed);
        inner.confirmed_events.store(events, Ordering::Relaxed);
        inner.confirmed.send_replace(begin);
        self.trimmer.confirm(self.options.index, begin);
        self.check = None;
        self.witnesses.clear();
        self.is_saved = false;
        self.unsure_until = inner.journal.end();
        self.heads.clear();
        self.targets.clear();
        self.restart();
    }

    /// Writes to disk what the store was found to hold, and trims the journal behind it.
    async fn save(&mut self, Check { confirmed, events, missing, witnesses, .. }: Check) {
        let (inner, trimmer, index) = (Arc::clone(&self.inner), Arc::clone(&self.trimmer), self.options.index);
        let save = move |progress: &mut ProgressFile| {
            witnesses.iter().for_each(|(target, position)| progress.note_held(target, *position));
            progress.confirm(confirmed, events);
            progress.set_missing_events(missing);
            let saved = progress.save(inner.journal.begin());
            match &saved {
                Ok(()) => trimmer.confirm(index, confirmed),
                Err(error) => tracing::error!(store = inner.name, %error, "the progress cannot be written"),
            }
            saved.is_ok()
        };
        // It fails only by panicking, which the runtime has reported. Failed writes are retried; the journal is not
        // trimmed before.
        let saved = self.inner.with_progress(save).await.unwrap_or(false);
        self.has_check_failed |= !saved;
        self.is_saved = saved && confirmed == *self.inner.confirmed.borrow();
    }

    fn maintain(&self) {
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            if let Err(error) = inner.store.maintain(&inner.streams).await {
                tracing::debug!(store = inner.name, %error, "maintenance failed and will be tried again");
            }
        });
    }
}
