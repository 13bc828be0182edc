//! Events that are sent again are logged once.

use super::*;
use crate::event::{Author, Space};

const MINUTE: i64 = 60_000;

/// Contents of events with these ids and messages.
fn sent(events: &[(&str, &str)]) -> Contents {
    sent_by(&Author::anyone(), None, events)
}

fn sent_by(author: &Author, space: Option<&Space>, events: &[(&str, &str)]) -> Contents {
    let line = |(id, message): &(&str, &str)| {
        let id = if id.is_empty() { String::new() } else { format!(r#","id":"{id}""#) };
        format!(r#"{{"event":{{"provider":"p","action":"a"{id}}},"message":"{message}"}}"#)
    };
    let body: Vec<_> = events.iter().map(line).collect();
    intake().accept(author, space, body.join("\n").as_bytes()).unwrap().contents
}

fn log(writer: &Writer, contents: Contents) -> Vec<(u64, Option<Repeat>)> {
    let receipts = runtime().block_on(writer.submit(contents, Origin::Caller)).unwrap().receipts;
    receipts.iter().map(|receipt| (receipt.position.sequence.0, receipt.repeats)).collect()
}

struct Log {
    _root: tempfile::TempDir,
    folder: DataFolder,
    clock: Arc<TestClock>,
    options: Options,
    running: Option<(Writer, WriterThread)>,
}

impl Log {
    fn start(recent: RecentOptions) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path()).unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(0)));
        let mut log = Self { _root: root, folder, clock, options: Options { recent, ..OPTIONS }, running: None };
        log.open();
        log
    }

    fn open(&mut self) {
        let recovering = open(&self.folder, &self.clock, self.options);
        self.running = Some(recovering.start(Metrics::new().journal).unwrap());
    }

    fn restart(&mut self, in_order: bool) {
        let (writer, thread) = self.running.take().unwrap();
        end(&writer, thread, in_order);
        self.open();
    }

    fn writer(&self) -> &Writer {
        &self.running.as_ref().unwrap().0
    }

    fn log(&self, events: &[(&str, &str)]) -> Vec<(u64, Option<Repeat>)> {
        log(self.writer(), sent(events))
    }

    fn documents(&self) -> usize {
        documents(&self.writer().journal).len()
    }
}

const RECENT: RecentOptions = RecentOptions { window_ms: 10 * MINUTE, capacity: 100 };
const SAME: Option<Repeat> = Some(Repeat::Same);
const DIFFERENT: Option<Repeat> = Some(Repeat::Different);

#[test]
fn an_event_is_logged_once_however_often_it_is_sent() {
    let mut log = Log::start(RECENT);
    assert_eq!(
        log.log(&[("a", "1"), ("", "2"), ("a", "1"), ("b", "3"), ("b", "4")]),
        [(0, None), (1, None), (0, SAME), (2, None), (2, DIFFERENT)]
    );
    assert_eq!(log.log(&[("b", "3"), ("a", "1")]), [(2, SAME), (0, SAME)]);
    assert_eq!(log.log(&[("", "2")]), [(3, None)]);
    for in_order in [true, false] {
        log.restart(in_order);
        assert_eq!(log.log(&[("a", "1"), ("b", "4")]), [(0, SAME), (2, DIFFERENT)], "{in_order}");
    }
    assert_eq!(log.documents(), 4);
}

#[test]
fn an_id_is_its_callers_providers_and_spaces() {
    let log = Log::start(RECENT);
    let space = Space::parse("red").unwrap();
    let other = Author::new("other".to_owned(), "api_key", Author::anyone().scope);
    let mut sequences = Vec::new();
    for _ in 0..2 {
        for (author, space) in [(&Author::anyone(), None), (&Author::anyone(), space.as_ref()), (&other, None)] {
            sequences.extend(log_of(&log, author, space));
        }
    }
    assert_eq!(sequences, [(0, None), (1, None), (2, None), (0, SAME), (1, SAME), (2, SAME)]);
}

fn log_of(log: &Log, author: &Author, space: Option<&Space>) -> Vec<(u64, Option<Repeat>)> {
    super::repeats::log(log.writer(), sent_by(author, space, &[("a", "1")]))
}

#[test]
fn ids_are_forgotten_after_a_while_and_beyond_a_number() {
    let mut log = Log::start(RecentOptions { capacity: 2, ..RECENT });
    assert_eq!(log.log(&[("a", "1"), ("b", "1")]), [(0, None), (1, None)]);
    log.clock.0.store(10 * MINUTE - 1, Ordering::Relaxed);
    assert_eq!(log.log(&[("a", "1")]), [(0, SAME)]);
    log.clock.0.store(10 * MINUTE, Ordering::Relaxed);
    assert_eq!(log.log(&[("a", "1")]), [(2, None)]);
    assert_eq!(log.log(&[("c", "1"), ("d", "1")]), [(3, None), (4, None)]);
    assert_eq!(log.log(&[("a", "1")]), [(5, None)], "two are remembered");
    log.restart(true);
    assert_eq!(log.log(&[("d", "1"), ("a", "1"), ("c", "1")]), [(4, SAME), (5, SAME), (6, None)]);

    let off = Log::start(RecentOptions { window_ms: 0, ..RECENT });
    assert_eq!(off.log(&[("a", "1"), ("a", "1")]), [(0, None), (1, None)]);
}

#[test]
fn ids_outlive_the_segments_of_their_events() {
    let mut log = Log::start(RecentOptions { capacity: 1_000, ..RECENT });
    log.log(&[("a", "1")]);
    let long = "x".repeat(5_000);
    for _ in 0..10 {
        log.log(&[("", &long)]);
    }
    let journal = &log.writer().journal;
    journal.pass(journal.end());
    journal.trim().unwrap();
    assert!(journal.begin() > Position(0));
    log.restart(true);
    assert_eq!(log.log(&[("a", "1")]), [(0, SAME)]);
}
