//! The thread that places events in their chains: it seals waiting submissions, writes them as one record, and answers
//! after the sync. Submissions that arrive during a sync form the next record.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use tokio::sync::{mpsc, oneshot};

use super::{
    Acknowledged, GROUP_BYTES, OWN_BYTES, OWN_SHARE, Origin, Overflow, PAYLOAD_BYTES, Receipts, SealReceipt, State,
    SubmitError,
    chains::Chains,
    recent::{RecentEvent, RecentEvents},
    record::{ENTRY_BYTES, KEY_BYTES, RECORD_OVERHEAD, SECTION_OVERHEAD, SectionWriter, put_record_header},
};
use crate::{
    event::{ChainPosition, UnixMillis},
    intake::Contents,
    integrity::SEAL_OVERHEAD,
    journal::{Journal, Position},
    metrics::JournalMetrics,
};

pub(super) struct Submission {
    pub(super) contents: Contents,
    pub(super) origin: Origin,
    pub(super) answer: oneshot::Sender<Result<Receipts, SubmitError>>,
}

/// A submission, parts of which may already be written.
struct Pending {
    submission: Submission,
    receipts: Vec<SealReceipt>,
}

impl Pending {
    fn sealed_count(&self) -> usize {
        self.receipts.len()
    }

    fn is_complete(&self) -> bool {
        self.sealed_count() == self.submission.contents.len()
    }

    fn answer(self, end: Position) {
        // The caller may be gone; the events are in the journal all the same.
        let _ = self.submission.answer.send(Ok(Receipts { receipts: self.receipts, end }));
    }

    fn refuse(self, error: SubmitError) {
        let _ = self.submission.answer.send(Err(error));
    }
}

pub(super) struct Committer {
    pub(super) journal: Journal,
    pub(super) chains: Chains,
    pub(super) recent: RecentEvents,
    pub(super) overflow: Overflow,
    pub(super) state: Arc<State>,
    pub(super) metrics: JournalMetrics,
    /// Buffer for the record being built; kept for its capacity.
    pub(super) payload: Vec<u8>,
}

impl Committer {
    /// Runs until all senders are dropped and every submission is answered. Returns whether the journal is in order.
    pub(super) fn run(mut self, mut submissions: mpsc::Receiver<Submission>) -> bool {
        while let Some(first) = submissions.blocking_recv() {
            let mut bytes = first.contents.total_bytes();
            let mut group = VecDeque::from([first]);
            while bytes < GROUP_BYTES
                && let Ok(next) = submissions.try_recv()
            {
                bytes += next.contents.total_bytes();
                group.push_back(next);
            }
            self.commit(group);
        }
        !self.journal.is_closed()
    }

    fn commit(&mut self, group: VecDeque<Submission>) {
        let now = match self.state.clock.now() {
            Ok(now) => now,
            Err(jumped) => {
                for submission in group {
                    Pending { submission, receipts: Vec::new() }.refuse(SubmitError::ClockJumped(jumped));
                }
                return;
            }
        };
        let mut taken = 0;
        let mut pending = VecDeque::new();
        for submission in group {
            let reserved = self.reserved(submission.origin);
            let needed = space_for(&submission.contents);
            let waiting = Pending { submission, receipts: Vec::new() };
            let limit = self.journal.options().max_bytes - reserved;
            if needed > limit {
                waiting.refuse(SubmitError::TooLarge { needed, limit });
            } else if self.has_room(taken + needed + reserved) {
                taken += needed;
                pending.push_back(waiting);
            } else {
                self.refuse_for_room(waiting, needed + reserved);
            }
        }
        while !pending.is_empty() {
            if let Err(reason) = self.write(&mut pending, now) {
                tracing::error!(%reason, "events cannot be written to the journal");
                self.state.fail(reason.clone(), self.journal.is_closed());
                pending.drain(..).for_each(|waiting| waiting.refuse(SubmitError::Failed { reason: reason.clone() }));
            }
        }
    }

    /// Room that must be left for others.
    fn reserved(&self, origin: Origin) -> u64 {
        match origin {
            Origin::Caller => (self.journal.options().max_bytes / OWN_SHARE).min(OWN_BYTES),
            Origin::Log => 0,
        }
    }

    fn has_room(&mut self, needed: u64) -> bool {
        if needed > self.journal.room()
            && let Err(error) = self.journal.make_room(|| self.chains.snapshot(self.recent.iter()))
        {
            tracing::warn!(%error, "no new journal segment can be created");
        }
        needed <= self.journal.room()
    }

    fn refuse_for_room(&self, waiting: Pending, needed: u64) {
        let overflow = match waiting.submission.origin {
            Origin::Caller => self.overflow,
            Origin::Log => Overflow::Reject,
        };
        self.state.refuse(needed);
        let events = waiting.submission.contents.len() as u64;
        let used = self.journal.handle().used();
        let limit = self.journal.options().max_bytes;
        match overflow {
            Overflow::Reject => waiting.refuse(SubmitError::Full { used, limit, retry_after: super::FULL_RETRY_AFTER }),
            Overflow::Drop => {
                self.state.count_dropped(events);
                tracing::error!(events, used, limit, "the journal is full: events dropped, as configured");
                waiting.refuse(SubmitError::Dropped);
            }
        }
    }

    /// Seals and writes one record of waiting submissions (or one larger submission), and answers. On failure, leaves
    /// nothing behind.
    fn write(&mut self, pending: &mut VecDeque<Pending>, now: UnixMillis) -> Result<(), String> {
        self.chains.end_outdated(now).map_err(|error| error.to_string())?;
        let before = self.chains.states();
        let events_before = self.chains.events;
        if let Err(reason) = self.write_records(pending, now) {
            // Nothing reached the journal, so the chains must forget it too.
            self.chains.restore(&before, events_before);
            self.recent.roll_back();
            // There may be no room for more.
            self.journal.free_disk_space(&self.chains.snapshot([].iter()));
            return Err(reason);
        }
        self.recent.commit();
        let begin = self.journal.handle().end();
        let end = self.journal.publish();
        let events = self.chains.events - events_before;
        let (events_so_far, chains) = (self.chains.events, self.chains.ends());
        self.state.acknowledge(Acknowledged { journal_end: end, events: events_so_far, chains });
        self.metrics.appended_events.inc_by(events);
        self.metrics.appended_bytes.inc_by(end.0 - begin.0);
        self.state.succeed();
        while pending.front().is_some_and(Pending::is_complete) {
            if let Some(complete) = pending.pop_front() {
                complete.answer(end);
            }
        }
        Ok(())
    }

    /// Writes records until no submission is partly written.
    fn write_records(&mut self, pending: &mut VecDeque<Pending>, now: UnixMillis) -> Result<(), String> {
        self.state.record_run().map_err(|error| format!("what is acknowledged cannot be recorded: {error}"))?;
        if self.journal.is_segment_due() {
            let snapshot = self.chains.snapshot(self.recent.iter());
            self.journal.begin_segment(&snapshot).map_err(|error| error.to_string())?;
        }
        loop {
            self.seal(pending, now)?;
            if self.payload.len() > RECORD_OVERHEAD {
                let started = Instant::now();
                self.journal.append(&self.payload).map_err(|error| error.to_string())?;
                self.metrics.sync_seconds.observe(started.elapsed().as_secs_f64());
            }
            if pending.iter().all(|waiting| waiting.sealed_count() == 0 || waiting.is_complete()) {
                return Ok(());
            }
        }
    }

    /// Builds one record from the waiting submissions, oldest first, up to about [`GROUP_BYTES`]. It holds whole
    /// submissions; only the first may be partly written already.
    fn seal(&mut self, pending: &mut VecDeque<Pending>, now: UnixMillis) -> Result<(), String> {
        let events_before = self.chains.events;
        self.payload.clear();
        put_record_header(&mut self.payload, self.chains.events);
        for waiting in pending.iter_mut() {
            if self.payload.len() >= GROUP_BYTES {
                break;
            }
            let contents = &waiting.submission.contents;
            let fits = self.payload.len() + sealed_bytes(contents) <= PAYLOAD_BYTES;
            let is_first = self.chains.events == events_before;
            if !fits && !is_first {
                break;
            }
            while fits || self.payload.len() < GROUP_BYTES {
                let sealed_count = waiting.receipts.len();
                let Some((stream, length)) = contents.run_at(sealed_count) else { break };
                let room = if fits { usize::MAX } else { GROUP_BYTES - self.payload.len() };
                let run = contents.iter().skip(sealed_count).take(length);
                let count = count_within(room, run.map(|content| content.bytes.len()));
                let range = sealed_count..sealed_count + count;
                let new = self.recent.new_events(contents, range.clone(), now);
                if new.count == 0 {
                    let receipt = |index| self.recent.receipt(&contents.key(index)?, now);
                    waiting.receipts.extend(range.filter_map(receipt));
                    continue;
                }
                let chain = self.chains.chain(stream, now).map_err(|error| error.to_string())?;
                let first = ChainPosition { chain: chain.state().chain, sequence: chain.state().next() };
                let mut sealing = chain.begin(now);
                let received = sealing.received();
                let mut section = SectionWriter::begin(&mut self.payload, stream, received, first, &new);
                for (index, content) in range.zip(contents.iter().skip(sealed_count)) {
                    let key = contents.key(index);
                    if let Some(receipt) = key.and_then(|key| self.recent.receipt(&key, now)) {
                        waiting.receipts.push(receipt);
                        continue;
                    }
                    let start = self.payload.len();
                    let (position, leaf_hash) = sealing.seal(&content, &mut self.payload);
                    let length = self.payload.len() - start;
                    section.push_entry(&mut self.payload, length, leaf_hash);
                    waiting.receipts.push(SealReceipt { position, leaf_hash, repeats: None });
                    if let Some(key) = key {
                        self.recent.insert(RecentEvent { key, position, leaf_hash, received });
                    }
                }
                self.chains.events += new.count as u64;
            }
        }
        Ok(())
    }
}

/// Returns how many of these contents fill the room, the last of which may exceed it; at least one.
fn count_within(room: usize, sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fitting = sizes.take_while(|size| {
        let is_within = bytes < room;
        bytes += size + SEAL_OVERHEAD + ENTRY_BYTES + KEY_BYTES;
        is_within
    });
    fitting.count()
}

/// Upper bound of the bytes that a submission takes in the journal.
fn space_for(contents: &Contents) -> u64 {
    let events = sealed_bytes(contents);
    let records = events / GROUP_BYTES + 2;
    (events + records * (RECORD_OVERHEAD + SECTION_OVERHEAD + 64)) as u64
}

/// Upper bound of the bytes that a submission's events take in records.
fn sealed_bytes(contents: &Contents) -> usize {
    contents.total_bytes()
        + contents.len() * (SEAL_OVERHEAD + ENTRY_BYTES)
        + contents.key_count() * KEY_BYTES
        + contents.run_count() * SECTION_OVERHEAD
}
