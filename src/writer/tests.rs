#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{collections::HashMap, fs, sync::atomic::AtomicI64};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;

mod golden;
mod model;
mod repeats;

use super::*;
use crate::{
    event::{Sequence, UnixMillis},
    identity::DataFolder,
    intake::{Intake, Limits, Registration, Registry},
    integrity::{self, ChainKeys, Epoch},
    journal::Position,
    metrics::Metrics,
};

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

const OPTIONS: Options = Options {
    journal: journal::Options { max_bytes: 1 << 30, segment_bytes: 20_000 },
    overflow: Overflow::Reject,
    epoch_ms: 1000,
    chaining: true,
    max_clock_jump: std::time::Duration::from_secs(3_600),
    recent: crate::writer::RecentOptions { window_ms: 600_000, capacity: 1_000 },
};

fn open(folder: &DataFolder, clock: &Arc<TestClock>, options: Options) -> Recovering {
    let identity = Identity::open(folder, None, clock.now()).unwrap();
    let clock: Arc<dyn Clock> = clock.clone();
    Recovering::open(folder, identity, clock, options).unwrap()
}

fn intake() -> Intake {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("p.json"), Limits::default()).unwrap();
    for (provider, action) in [("p", "a"), ("shop", "ship")] {
        let registration = Registration { actions: vec![action.to_owned()], ..Registration::default() };
        let recorded = |_: &_| Ok::<_, crate::intake::RegisterError>(());
        registry.register(provider, None, registration, recorded).unwrap();
    }
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    Intake::new(
        Arc::new(registry),
        Limits::default(),
        clock,
        &crate::intake::Source { node: "node-1".to_owned(), server_uuid: "u".to_owned(), version: "1.0.0".to_owned() },
    )
}

fn contents(count: usize, padding: usize) -> Contents {
    let line =
        format!("{{\"event\":{{\"provider\":\"p\",\"action\":\"a\"}},\"message\":\"{}\"}}\n", "x".repeat(padding));
    intake().accept(&crate::event::Author::log(), None, line.repeat(count).as_bytes()).unwrap().contents
}

fn documents(journal: &JournalHandle) -> Vec<Bytes> {
    let mut reader = journal.reader(Position(0));
    let mut documents = Vec::new();
    loop {
        let records = reader.read(1 << 20).unwrap();
        if records.is_empty() {
            return documents;
        }
        for record in records {
            let group = Group::decode(&record.payload).unwrap();
            assert_eq!(group.events_before, documents.len() as u64);
            documents.extend(group.sections.into_iter().flat_map(|section| section.events).map(|event| event.document));
        }
    }
}

/// Verifies every document, its link to its predecessor, and the MAC of its epoch.
fn verify(documents: &[Bytes], folder: &DataFolder) {
    let identity = Identity::open(folder, None, UnixMillis(0)).unwrap();
    let mut previous: Option<integrity::Leaf> = None;
    for document in documents {
        let opened = integrity::open(document).unwrap();
        let mut keys = ChainKeys::first(&identity.seal_secret, opened.leaf.chain);
        keys.advance(opened.leaf.epoch);
        assert_eq!(keys.mac(&opened.leaf.hash()), opened.mac);
        match previous {
            Some(before) if before.chain == opened.leaf.chain => {
                assert_eq!(opened.leaf.previous, before.hash());
                assert_eq!(opened.leaf.sequence, before.sequence.next());
                assert!(opened.leaf.received >= before.received && opened.leaf.epoch >= before.epoch);
            }
            _ => assert_eq!(opened.leaf.sequence.0, 0),
        }
        previous = Some(opened.leaf);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

#[test]
fn each_stream_has_its_own_chain_and_receipts_keep_the_order() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(10_000)));
    let (writer, thread) = open(&folder, &clock, OPTIONS).start(Metrics::new().journal).unwrap();
    let streams: [Stream; 2] = [Stream::general(), "long".parse().unwrap()];
    // The second submission takes more than one record.
    let pattern = [0, 0, 1, 0, 1, 1, 1, 0];
    let mut receipts = Vec::new();
    for (count, padding) in [(8, 10), (64, 50_000), (8, 10)] {
        let mixed = contents(count, padding).in_streams(|index| streams[pattern[index % 8]].clone());
        receipts.extend(runtime().block_on(writer.submit(mixed, Origin::Caller)).unwrap().receipts);
    }
    writer.close();
    thread.join();
    let recovering = open(&folder, &clock, OPTIONS);
    let chains: Vec<_> = recovering.own_chains();
    let mut next = [0_u64; 2];
    for (index, receipt) in receipts.iter().enumerate() {
        let stream = pattern[index % 8];
        let own = chains.iter().find(|own| own.stream == streams[stream]).unwrap();
        assert_eq!(receipt.position, ChainPosition { chain: own.chain, sequence: Sequence(next[stream]) });
        next[stream] += 1;
    }
    let mut stored = documents(&recovering.journal());
    assert_eq!(stored.len(), receipts.len());
    let leaf = |document: &Bytes| integrity::open(document).unwrap().leaf;
    for (document, receipt) in stored.iter().zip(&receipts) {
        assert_eq!(Some(leaf(document).hash()), receipt.leaf_hash);
    }
    stored.sort_by_key(|document| (leaf(document).chain, leaf(document).sequence));
    verify(&stored, &folder);
}

#[test]
fn a_record_of_several_streams_that_cannot_be_written_leaves_no_gap_in_any() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(10_000)));
    let recovering = open(&folder, &clock, OPTIONS);
    let journal = recovering.journal();
    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    let streams: [Stream; 3] = [Stream::general(), "long".parse().unwrap(), "new".parse().unwrap()];
    let submit = |count: usize| {
        let mixed = contents(6, 10).in_streams(|index| streams[index % count].clone());
        runtime().block_on(writer.submit(mixed, Origin::Caller))
    };
    submit(2).unwrap();
    // The third stream needs an opening record, which cannot be written.
    let (chains, elsewhere) = (folder.path("chains"), root.path().join("elsewhere"));
    fs::rename(&chains, &elsewhere).unwrap();
    let end = journal.end();
    for _ in 0..2 {
        assert!(matches!(submit(3), Err(SubmitError::Failed { .. })));
        assert_eq!(journal.end(), end);
    }
    fs::rename(&elsewhere, &chains).unwrap();
    let positions = submit(3).unwrap().receipts.into_iter().map(|receipt| receipt.position.sequence.0);
    assert_eq!(positions.collect::<Vec<_>>(), [3, 3, 0, 4, 4, 1]);
    writer.close();
    thread.join();
    let mut stored = documents(&journal);
    assert_eq!(stored.len(), 12);
    let leaf = |document: &Bytes| integrity::open(document).unwrap().leaf;
    stored.sort_by_key(|document| (leaf(document).chain, leaf(document).sequence));
    verify(&stored, &folder);
}

#[test]
fn a_record_of_many_small_runs_keeps_its_size() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(10_000)));
    let recovering = open(&folder, &clock, OPTIONS);
    let journal = recovering.journal();
    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    let streams: [Stream; 2] = [Stream::general(), "long".parse().unwrap()];
    let mixed = contents(6_000, 0).in_streams(|index| streams[index % 2].clone());
    assert_eq!(runtime().block_on(writer.submit(mixed, Origin::Caller)).unwrap().receipts.len(), 6_000);
    let mut reader = journal.reader(Position(0));
    let sizes: Vec<usize> = reader.read(usize::MAX).unwrap().iter().map(|record| record.payload.len()).collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|size| *size < GROUP_BYTES + 2_000), "{sizes:?}");
    writer.close();
    thread.join();
}

#[test]
fn chains_continue_across_restarts_segments_and_a_clock_set_back() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(10_000)));
    let mut expected = Vec::new();
    for round in 0..6 {
        clock.0.store(10_000 + [0, 1500, 700, 5000, 0, 9000][round], Ordering::Relaxed);
        let (writer, thread) = open(&folder, &clock, OPTIONS).start(Metrics::new().journal).unwrap();
        for _ in 0..5 {
            let receipts = runtime().block_on(writer.submit(contents(7, 200), Origin::Caller)).unwrap();
            expected.extend(receipts.receipts);
        }
        writer.close();
        assert!(matches!(runtime().block_on(writer.submit(contents(1, 0), Origin::Caller)), Err(SubmitError::Closed)));
        thread.join();
    }
    let recovering = open(&folder, &clock, OPTIONS);
    let documents = documents(&recovering.journal());
    verify(&documents, &folder);
    assert_eq!(recovering.events(), 210);
    let receipts: Vec<SealReceipt> = documents
        .iter()
        .map(|document| integrity::open(document).unwrap().leaf)
        .map(|leaf| SealReceipt {
            position: ChainPosition { chain: leaf.chain, sequence: leaf.sequence },
            leaf_hash: Some(leaf.hash()),
            repeats: None,
        })
        .collect();
    assert_eq!(receipts, expected);
    let last = integrity::open(documents.last().unwrap()).unwrap().leaf;
    assert_eq!(last.epoch, Epoch(9));
    let own = &recovering.own_chains()[0];
    let leaf = Some(URL_SAFE_NO_PAD.encode(last.hash().0));
    assert_eq!((own.next.0, own.last.as_ref().and_then(|last| last.leaf.clone())), (210, leaf));
}

#[test]
fn a_submission_larger_than_a_record_is_split_and_stays_whole() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let recovering = open(&folder, &clock, OPTIONS);
    let journal = recovering.journal();
    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    let receipts = runtime().block_on(writer.submit(contents(300, 20_000), Origin::Caller)).unwrap();
    assert_eq!(receipts.receipts.len(), 300);
    assert_eq!(receipts.end, journal.end());
    let both = runtime().block_on(async {
        let (large, small) = tokio::join!(
            writer.submit(contents(80, 20_000), Origin::Caller),
            writer.submit(contents(60, 20_000), Origin::Caller)
        );
        [large.unwrap().receipts.len(), small.unwrap().receipts.len()]
    });
    assert_eq!(both, [80, 60], "which are more than a record together");
    let mut reader = journal.reader(Position(0));
    let sizes: Vec<usize> = reader.read(usize::MAX).unwrap().iter().map(|record| record.payload.len()).collect();
    assert!(sizes.len() >= 3 && sizes.iter().all(|size| *size < GROUP_BYTES + 50_000), "{sizes:?}");
    verify(&documents(&journal), &folder);
    writer.close();
    thread.join();
}

#[test]
fn a_full_journal_refuses_or_drops_and_accepts_more_after_trimming() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let small = Options { journal: journal::Options { max_bytes: 30_000, segment_bytes: 5000 }, ..OPTIONS };
    let recovering = open(&folder, &clock, small);
    let journal = recovering.journal();
    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    let submit = |count| runtime().block_on(writer.submit(contents(count, 500), Origin::Caller));
    let mut accepted = 0;
    let refused = loop {
        match submit(5) {
            Ok(receipts) => accepted += receipts.receipts.len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SubmitError::Full { limit: 30_000, .. }), "{refused:?}");
    verify(&documents(&journal), &folder);
    assert!(writer.health().is_err_and(|reason| reason.starts_with("the journal is full")));
    assert!(matches!(submit(500), Err(SubmitError::TooLarge { limit: 28_125, .. })));
    journal.pass(journal.end());
    journal.trim().unwrap();
    assert_eq!(writer.health(), Ok(()));
    let next = submit(5).unwrap();
    assert_eq!(next.receipts[0].position.sequence.0, accepted as u64);
    writer.close();
    thread.join();

    let dropping = Options { overflow: Overflow::Drop, ..small };
    let (writer, thread) = open(&folder, &clock, dropping).start(Metrics::new().journal).unwrap();
    let answer = runtime().block_on(async {
        writer.submit(contents(10, 500), Origin::Caller).await.unwrap();
        writer.submit(contents(10, 500), Origin::Caller).await
    });
    assert!(matches!(answer, Err(SubmitError::Dropped)), "{answer:?}");
    assert_eq!(writer.stats().dropped, 10);
    writer.close();
    thread.join();
}

#[test]
fn a_fully_confirmed_journal_has_all_of_its_room() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let small = Options { journal: journal::Options { max_bytes: 30_000, segment_bytes: 20_000 }, ..OPTIONS };
    let recovering = open(&folder, &clock, small);
    let journal = recovering.journal();
    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    let submit = |count| runtime().block_on(writer.submit(contents(count, 500), Origin::Caller));
    for _ in 0..5 {
        submit(15).unwrap();
        assert!(matches!(submit(15), Err(SubmitError::Full { .. })), "what a store has not is kept");
        journal.pass(journal.end());
        journal.trim().unwrap();
    }
    writer.close();
    thread.join();
    assert_eq!(open(&folder, &clock, small).events(), 75);
}

#[test]
fn the_successor_of_a_superseded_chain_names_it_even_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let (writer, thread) = open(&folder, &clock, OPTIONS).start(Metrics::new().journal).unwrap();
    let first = runtime().block_on(writer.submit(contents(3, 0), Origin::Caller)).unwrap().receipts[0].position.chain;
    writer.close();
    thread.join();
    let mut recovering = open(&folder, &clock, OPTIONS);
    let predecessor = Predecessor { chain: first.to_string(), leaf: None, seal: Some("0.x".to_owned()), sequence: 9 };
    recovering.supersede(&Stream::general(), Some(predecessor)).unwrap();
    drop(recovering);
    let (writer, thread) = open(&folder, &clock, OPTIONS).start(Metrics::new().journal).unwrap();
    let second = runtime().block_on(writer.submit(contents(2, 0), Origin::Caller)).unwrap().receipts[0].position;
    writer.close();
    thread.join();
    assert_ne!(second.chain, first);
    assert_eq!(second.sequence.0, 0);
    let record = std::fs::read_to_string(folder.path("chains").join(format!("{}.json", second.chain))).unwrap();
    assert!(record.contains(&format!("\"predecessor\":{{\"chain\":\"{first}\"")), "{record}");
    let recovering = open(&folder, &clock, OPTIONS);
    verify(&documents(&recovering.journal()), &folder);
    assert_eq!(recovering.own_chains().len(), 1);
}

#[test]
fn a_wrong_secret_is_reported() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let (writer, thread) = open(&folder, &clock, OPTIONS).start(Metrics::new().journal).unwrap();
    runtime().block_on(writer.submit(contents(1, 0), Origin::Caller)).unwrap();
    writer.close();
    thread.join();
    let other = folder.path("other.secret");
    std::fs::write(&other, [200; 40]).unwrap();
    let identity = Identity::open(&folder, Some(&other), UnixMillis(0)).unwrap();
    let opened = Recovering::open(&folder, identity, clock, OPTIONS);
    assert!(matches!(opened.err(), Some(OpenError::Chain(ChainError::WrongSecret { .. }))));
}

#[test]
fn one_data_folder_has_one_owner() {
    let root = tempfile::tempdir().unwrap();
    let first = DataFolder::open(root.path()).unwrap();
    assert!(DataFolder::open(root.path()).is_err_and(|error| error.to_string().contains("in use by another process")));
    drop(first);
    DataFolder::open(root.path()).unwrap();
}

#[test]
fn a_write_failure_expires_unless_it_is_final() {
    let at = Instant::now();
    let failure = |is_final| WriteFailure { reason: "no space".to_owned(), at, is_final };
    assert!(failure(false).is_current(at + FAILURE_LIFETIME / 2));
    assert!(!failure(false).is_current(at + FAILURE_LIFETIME));
    assert!(failure(true).is_current(at + FAILURE_LIFETIME * 1000));
}

#[test]
fn switched_chains_stay_switched_after_a_restart_without_events() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let unchained = Options { chaining: false, ..OPTIONS };
    let log = |options: Options| {
        let mut recovering = open(&folder, &clock, options);
        let closed = recovering.switch_chaining().unwrap();
        let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
        let receipt = runtime().block_on(writer.submit(contents(2, 0), Origin::Caller)).unwrap().receipts[1];
        writer.close();
        thread.join();
        (closed, receipt)
    };
    let (closed, sealed) = log(OPTIONS);
    assert_eq!(closed, []);
    assert_eq!(open(&folder, &clock, unchained).switch_chaining().unwrap(), [sealed.position.chain]);
    let (closed, unsealed) = log(unchained);
    assert_eq!(closed, [], "the switch before this start was kept, though it got no event");
    assert_eq!((unsealed.position.sequence.0, unsealed.leaf_hash), (1, None));
    let (closed, again) = log(unchained);
    assert_eq!((closed.len(), again.position.sequence.0), (0, 3), "an unsealed chain is resumed");
    // After switching there and back, the empty chain in between names its own predecessor, and so does its successor.
    assert_eq!(open(&folder, &clock, OPTIONS).switch_chaining().unwrap(), [unsealed.position.chain]);
    let mut recovering = open(&folder, &clock, unchained);
    assert_eq!(recovering.switch_chaining().unwrap().len(), 1);
    let last = recovering.own_chains()[0].chain;
    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    let predecessor = writer.predecessor(last).unwrap().unwrap();
    assert_eq!((predecessor.chain, predecessor.sequence), (unsealed.position.chain.to_string(), 3));
    writer.close();
    thread.join();
}

#[test]
fn a_clock_that_was_wrong_once_does_not_date_later_events() {
    const DAY: i64 = 86_400_000;
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(DAY)));
    let daily = Options { epoch_ms: 86_400_000, ..OPTIONS };
    let (writer, thread) = open(&folder, &clock, daily).start(Metrics::new().journal).unwrap();
    let mut received = Vec::new();
    let mut chains = Vec::new();
    let year_9000 = 221_845_392_000_000;
    for now in [DAY, 401 * DAY, DAY + 1_000, DAY + 3_000_000, DAY + 2_000, year_9000, DAY + 4_000_000] {
        clock.0.store(now, Ordering::Relaxed);
        let receipt = runtime().block_on(writer.submit(contents(1, 0), Origin::Caller)).unwrap().receipts[0];
        chains.push(receipt.position.chain);
        received.push(now);
    }
    end(&writer, thread, true);
    let leaves: Vec<_> = documents(&open(&folder, &clock, daily).journal())
        .iter()
        .map(|document| integrity::open(document).unwrap().leaf)
        .collect();
    // Set back by less than an hour, the clock only stands still.
    received[4] = received[3];
    assert_eq!(leaves.iter().map(|leaf| leaf.received.0).collect::<Vec<_>>(), received);
    assert!(leaves.iter().all(|leaf| leaf.epoch.0 <= 1 << 20), "a start derives each key");
    let same = |a: usize, b: usize| chains[a] == chains[b];
    assert!(same(0, 1) && !same(1, 2) && same(2, 3) && same(3, 4) && !same(4, 5) && !same(5, 6), "{chains:?}");
    let predecessor = writer.predecessor(chains[2]).unwrap().unwrap();
    assert_eq!((predecessor.chain, predecessor.sequence), (chains[1].to_string(), 1));
}

/// Ends a run: in order, or as a kill does.
fn end(writer: &Writer, thread: WriterThread, in_order: bool) {
    writer.close();
    let WriterThread { committer, keeper, ended } = thread;
    let is_in_order = committer.join().unwrap();
    if in_order {
        ended.send(is_in_order).unwrap();
    }
    drop(ended);
    keeper.join().unwrap();
}

fn newest_segment(folder: &DataFolder) -> PathBuf {
    let files = fs::read_dir(folder.path("journal")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "journal")).max().unwrap()
}

#[test]
fn a_run_that_did_not_end_in_order_is_followed_by_a_new_chain() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let mut last: Option<SealReceipt> = None;
    for in_order in [true, false, true] {
        let recovering = open(&folder, &clock, OPTIONS);
        assert_eq!(recovering.findings, Findings::default());
        let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
        let receipts = runtime().block_on(writer.submit(contents(3, 0), Origin::Caller)).unwrap().receipts;
        let continues = last.is_none_or(|last| last.position.chain == receipts[0].position.chain);
        assert!(continues, "after an orderly end");
        last = receipts.last().copied();
        end(&writer, thread, in_order);
        if !in_order {
            break;
        }
    }
    let recovering = open(&folder, &clock, OPTIONS);
    assert_eq!(recovering.findings, Findings { is_unclosed: true, ..Findings::default() });
    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    let next = runtime().block_on(writer.submit(contents(1, 0), Origin::Caller)).unwrap().receipts[0];
    let (before, next) = (last.unwrap(), next.position);
    assert_eq!(next.sequence, Sequence(0));
    let predecessor = writer.predecessor(next.chain).unwrap().unwrap();
    let leaf = before.leaf_hash.map(|leaf| URL_SAFE_NO_PAD.encode(leaf.0));
    assert_eq!((predecessor.chain, predecessor.sequence), (before.position.chain.to_string(), 5));
    assert_eq!(predecessor.leaf, leaf);
    end(&writer, thread, true);
    let events = documents(&open(&folder, &clock, OPTIONS).journal());
    assert_eq!(events.len(), 7);
    verify(&events, &folder);
}

#[test]
fn events_that_the_journal_lost_are_counted_and_named_by_the_next_chain() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    for (round, what) in ["a byte", "the newest segment", "the journal"].into_iter().enumerate() {
        let (writer, thread) = open(&folder, &clock, OPTIONS).start(Metrics::new().journal).unwrap();
        let submit = |count| runtime().block_on(writer.submit(contents(count, 0), Origin::Caller)).unwrap().receipts;
        submit(2);
        let last = submit(3).last().copied().unwrap();
        let events = writer.stats().events;
        end(&writer, thread, true);
        let newest = newest_segment(&folder);
        let lost = match round {
            0 => {
                let mut bytes = fs::read(&newest).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(&newest, bytes).unwrap();
                3
            }
            1 => {
                fs::remove_file(&newest).unwrap();
                // The first two are left; what was lost before is counted again.
                events - 2
            }
            _ => {
                fs::remove_dir_all(folder.path("journal")).unwrap();
                events
            }
        };
        let recovering = open(&folder, &clock, OPTIONS);
        assert_eq!(recovering.findings.lost_events, lost, "{what}");
        assert_eq!(recovering.events(), events, "{what}: their numbers are not given out again");
        let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
        assert_eq!(writer.stats().lost, lost, "{what}");
        let next = runtime().block_on(writer.submit(contents(1, 0), Origin::Caller)).unwrap().receipts[0].position;
        assert_eq!(next.sequence, Sequence(0), "{what}");
        let predecessor = writer.predecessor(next.chain).unwrap().unwrap();
        let named = (predecessor.chain, predecessor.sequence, predecessor.leaf);
        let leaf = last.leaf_hash.map(|leaf| URL_SAFE_NO_PAD.encode(leaf.0));
        assert_eq!(named, (last.position.chain.to_string(), last.position.sequence.0, leaf), "{what}");
        end(&writer, thread, true);
        assert_eq!(open(&folder, &clock, OPTIONS).findings.lost_events, 0, "{what}: it is told once");
    }
}

/// A clock beside which no time passes.
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }

    fn since_boot(&self) -> Duration {
        Duration::ZERO
    }
}

#[tokio::test]
async fn while_the_clock_is_far_ahead_events_are_refused_and_afterwards_none_is_dated_then() {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock = Arc::new(SetClock(AtomicI64::new(0)));
    let identity = Identity::open(&folder, None, clock.now()).unwrap();
    let recovering = Recovering::open(&folder, identity, Arc::clone(&clock) as Arc<dyn Clock>, OPTIONS).unwrap();
    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    writer.submit(contents(1, 0), Origin::Caller).await.unwrap();

    let year = 365 * 86_400_000;
    clock.0.store(year, Ordering::Relaxed);
    for origin in [Origin::Caller, Origin::Log] {
        let refused = writer.submit(contents(1, 0), origin).await.unwrap_err();
        assert!(matches!(refused, SubmitError::ClockJumped(_)), "{refused}");
        let reason = writer.health().unwrap_err();
        assert!(reason.starts_with("the clock has jumped ahead by 11months"), "{reason}");
    }
    clock.0.store(1_000, Ordering::Relaxed);
    writer.health().unwrap();
    writer.submit(contents(1, 0), Origin::Caller).await.unwrap();
    end(&writer, thread, true);
    let leaves: Vec<_> =
        documents(&writer.journal).iter().map(|document| integrity::open(document).unwrap().leaf).collect();
    assert_eq!(leaves.iter().map(|leaf| leaf.received.0).collect::<Vec<_>>(), [0, 1_000]);
    assert_eq!(leaves[1].previous, leaves[0].hash(), "the chain goes on");
}
