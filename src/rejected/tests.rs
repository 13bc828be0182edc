use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::*;
use crate::{
    event::UnixMillis,
    files::faults::OneFault,
    intake::{Intake, Limits, Registration, Source},
    metrics::Metrics,
};

fn event(number: usize) -> RejectedEvent {
    RejectedEvent {
        time: "2021-03-02T12:00:00.000Z".to_owned(),
        caller: RejectedCaller { name: "shop".to_owned(), realm: "api_key".to_owned() },
        space: "default".to_owned(),
        provider: Some("app".to_owned()),
        action: None,
        event_id: None,
        errors: vec![Violation { path: "x".to_owned(), expected: "a field".to_owned(), found: "none".to_owned() }],
        more_errors: 0,
        whole_body: false,
        event: format!("{number:07}"),
        bytes: 7,
        cut: false,
    }
}

fn line(number: usize) -> Vec<u8> {
    serialize(&event(number)).unwrap()
}

fn append(file: &RejectedFile, numbers: std::ops::Range<usize>) {
    numbers.for_each(|number| file.append(&line(number)).unwrap());
}

/// The numbers of the events from the newest on, and the total.
fn listed(file: &RejectedFile, from: u64, limit: usize, max_bytes: usize) -> (Vec<usize>, u64) {
    let Recorded { total, items } = file.list(from, limit, max_bytes).unwrap();
    (items.iter().map(|item| item.event.parse().unwrap()).collect(), total)
}

fn all(file: &RejectedFile) -> (Vec<usize>, u64) {
    listed(file, 0, usize::MAX, usize::MAX)
}

fn sizes(folder: &TempDir) -> [u64; 2] {
    ["rejected.ndjson", "rejected.1.ndjson"]
        .map(|name| fs::metadata(folder.path().join(name)).map_or(0, |file| file.len()))
}

#[test]
fn the_files_stay_within_their_maximum_and_have_the_newest_events() {
    let folder = tempfile::tempdir().unwrap();
    let length = line(0).len() as u64;
    let max_bytes = 10 * length + 5;
    let file = RejectedFile::open(folder.path(), max_bytes);
    for count in 1..40 {
        append(&file, count - 1..count);
        let [current, older] = sizes(&folder);
        assert!(current + older <= max_bytes && current <= max_bytes / 2, "{current} + {older}");
        let (numbers, total) = all(&file);
        assert_eq!(numbers.len() as u64, total);
        assert!(count <= 5 || total > 5, "half of the bytes are never thrown away for one event");
        assert_eq!(numbers, (0..count).rev().take(numbers.len()).collect::<Vec<_>>());
    }
    for name in ["rejected.ndjson", "rejected.1.ndjson"] {
        assert_eq!(fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(file.append(&vec![b'x'; 6 * line(0).len()]).is_err());
    assert_eq!(all(&file).0[0], 38);
}

#[test]
fn a_restart_continues_the_files_and_shortens_them_to_a_smaller_maximum() {
    let folder = tempfile::tempdir().unwrap();
    let length = line(0).len() as u64;
    append(&RejectedFile::open(folder.path(), 20 * length), 0..17);
    let file = RejectedFile::open(folder.path(), 20 * length);
    assert_eq!(all(&file), ((0..17).rev().collect(), 17));
    append(&file, 17..21);
    assert_eq!(all(&file), ((10..21).rev().collect(), 11));

    for (max_bytes, expected) in [(8 * length, vec![20, 19, 18, 17]), (5 * length, vec![20, 19])] {
        let file = RejectedFile::open(folder.path(), max_bytes);
        let [current, older] = sizes(&folder);
        assert!(current + older <= max_bytes, "{current} + {older} of {max_bytes}");
        let (numbers, total) = all(&file);
        assert_eq!((&numbers[..1], numbers.len() as u64), (&expected[..1], total));
        append(&file, 21..22);
        let now = all(&file).0;
        assert_eq!(now[0], 21);
        fs::write(folder.path().join("rejected.ndjson"), (10..21).flat_map(line).collect::<Vec<_>>()).unwrap();
        fs::remove_file(folder.path().join("rejected.1.ndjson")).unwrap();
        assert_eq!(all(&RejectedFile::open(folder.path(), max_bytes)).0, expected);
        assert_eq!(sizes(&folder), [expected.len() as u64 * length, 0]);
    }
    // Switched off, the file is left as it is.
    let before = sizes(&folder);
    let off = RejectedFile::open(folder.path(), 0);
    assert_eq!((off.is_recording(), all(&off).1, sizes(&folder)), (false, 2, before));
}

#[test]
fn a_torn_last_line_is_cut_off_and_a_damaged_one_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected.ndjson");
    let mut bytes = [line(0), b"\0\0\0\n".to_vec(), b"{\"time\":1}\n".to_vec(), line(1)].concat();
    let whole = bytes.len() as u64;
    bytes.extend_from_slice(&line(2)[..20]);
    fs::write(&path, &bytes).unwrap();
    let file = RejectedFile::open(folder.path(), 1 << 20);
    assert_eq!(all(&file), (vec![1, 0], 2));
    append(&file, 3..4);
    assert_eq!(all(&file), (vec![3, 1, 0], 3));
    assert_eq!(sizes(&folder)[0], whole + line(3).len() as u64);
    assert_eq!(all(&RejectedFile::open(folder.path(), 1 << 20)), (vec![3, 1, 0], 3));
}

#[test]
fn the_lines_of_the_first_version_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let short = r#"{"time":"t","caller":{"name":"n","realm":"r"},"space":"s","errors":[],"event":"1","bytes":1}"#;
    let long = r#"{"time":"t","caller":{"name":"n","realm":"r"},"space":"s","provider":"p","action":"a","event_id":"i","errors":[{"path":"x","expected":"e","found":"f"}],"more_errors":2,"whole_body":true,"event":"2","bytes":3,"cut":true,"later":1}"#;
    fs::write(folder.path().join("rejected.ndjson"), format!("{short}\n{long}\n")).unwrap();
    let items = RejectedFile::open(folder.path(), 1 << 20).list(0, 9, 999).unwrap().items;
    assert_eq!(serde_json::to_string(&items[1]).unwrap(), short);
    assert_eq!(serde_json::to_string(&items[0]).unwrap(), long.replace(",\"later\":1", ""));
}

#[test]
fn pages_continue_through_both_files_and_skip_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let length = line(0).len();
    let file = RejectedFile::open(folder.path(), 20 * length as u64);
    append(&file, 0..15);
    assert!(sizes(&folder)[1] > 0);
    for limit in [1, 3, 4, 7, 20] {
        for max_bytes in [1, 2 * length, 6 * length, usize::MAX] {
            let mut pages = Vec::new();
            loop {
                let (page, total) = listed(&file, pages.len() as u64, limit, max_bytes);
                assert_eq!(total, 15);
                if page.is_empty() {
                    break;
                }
                assert!(page.len() <= limit && (page.len() == 1 || page.len() * length <= max_bytes));
                pages.extend(page);
            }
            assert_eq!(pages, (0..15).rev().collect::<Vec<_>>(), "{limit} {max_bytes}");
        }
    }
    assert_eq!(listed(&file, 3, 0, 999), (vec![], 15));

    // A page that leaves out a large event has no smaller one behind it either.
    let folder = tempfile::tempdir().unwrap();
    let large = serialize(&RejectedEvent { space: "x".repeat(300_000), ..event(1) }).unwrap();
    fs::write(folder.path().join("rejected.1.ndjson"), line(0)).unwrap();
    fs::write(folder.path().join("rejected.ndjson"), [large, line(2)].concat()).unwrap();
    let file = RejectedFile::open(folder.path(), 1 << 20);
    assert_eq!(listed(&file, 0, 9, 10 * length), (vec![2], 3));
}

#[test]
fn a_failing_disk_costs_the_events_of_its_failures_alone() {
    let (mut failures, mut before) = (0, 0);
    loop {
        let folder = tempfile::tempdir().unwrap();
        let file = RejectedFile::open(folder.path(), 6 * line(0).len() as u64);
        let fault = OneFault::after(before, folder.path());
        let kept: Vec<_> = (0..9).filter(|number| file.append(&line(*number)).is_ok()).collect();
        let failed = fault.failed();
        drop(fault);
        let (numbers, total) = all(&file);
        assert_eq!(numbers.len() as u64, total, "{failed:?}");
        assert_eq!(numbers, kept.iter().rev().copied().take(numbers.len()).collect::<Vec<_>>(), "{failed:?}");
        assert!(numbers.len() >= 3 && kept.len() >= 8, "{failed:?}");
        assert_eq!(all(&RejectedFile::open(folder.path(), 1 << 20)), (numbers, total), "{failed:?}");
        if failed.is_none() {
            break;
        }
        failures += usize::from(kept.len() < 9);
        before += 1;
    }
    assert!(failures > 9, "{failures}");
}

#[test]
fn a_file_that_an_operator_removes_or_empties_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rejected.ndjson");
    let file = RejectedFile::open(folder.path(), 1 << 20);
    append(&file, 0..3);
    fs::remove_file(&path).unwrap();
    assert_eq!(all(&file), (vec![], 0));
    append(&file, 3..5);
    assert_eq!(all(&file), (vec![4, 3], 2));
    fs::write(&path, "").unwrap();
    append(&file, 5..6);
    assert_eq!(all(&file), (vec![5], 1));
}

/// A clock that is set by hand.
#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_614_686_400_000 + self.0.load(Ordering::Relaxed))
    }
}

struct Log {
    intake: Intake,
    rejected: RejectedEvents,
    metrics: Metrics,
    folder: TempDir,
}

impl Log {
    fn start(max_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { max_event_bytes: 200_000, max_batch_events: 100_000, ..Limits::default() };
        let registry = Registry::open(folder.path().join("providers.json"), limits).unwrap();
        registry.add_fixed("app", Registration { actions: vec!["run".to_owned()], ..Registration::default() }).unwrap();
        let source = Source { node: "n".to_owned(), server_uuid: "u".to_owned(), version: "1".to_owned() };
        let clock: Arc<dyn Clock> = Arc::new(Hand::default());
        let intake = Intake::new(Arc::new(registry), limits, Arc::clone(&clock), &source);
        let metrics = Metrics::new();
        let registry = Arc::clone(intake.registry());
        let rejected =
            RejectedEvents::start(folder.path(), max_bytes, registry, clock, metrics.intake.clone()).unwrap();
        Self { intake, rejected, metrics, folder }
    }

    fn send(&self, body: &str) {
        let author = Author::anyone();
        match self.intake.accept(&author, None, body.as_bytes()) {
            Ok(accepted) => self.rejected.record(&author, None, body.as_bytes(), &accepted),
            Err(error) => self.rejected.record_body(&author, None, body.as_bytes(), &error),
        }
    }

    /// The recorded events, newest first.
    fn recorded(&self) -> Vec<RejectedEvent> {
        assert!(self.rejected.flush(Duration::from_secs(100)));
        self.rejected.list(0, usize::MAX, usize::MAX).unwrap().items
    }

    #[track_caller]
    fn assert_metric(&self, line: &str) {
        let text = self.metrics.render().unwrap();
        assert!(text.lines().any(|shown| shown == line), "no {line} in:\n{text}");
    }
}

#[test]
fn the_text_of_each_event_is_recorded_as_sent_wherever_it_is_in_the_body() {
    let log = Log::start(1 << 20);
    let good = r#"{"event":{"provider":"app","action":"run"}}"#;
    let bad = [r#"{"event":{"provider":"app","action":"go", "id":"é"}}"#, "[1 ,2]", "7", r#"{"x":"]},"}"#];
    log.send(&format!("{good}\n {} \r\n\n{}\n{good}\n{}\n{}", bad[0], bad[1], bad[2], bad[3]));
    log.send(&format!(" [ {} ,{good},\n {},{} , {}]\n", bad[0], bad[1], bad[2], bad[3]));
    let pretty = "{\n \"event\": {\"provider\": \"app\", \"action\": \"walk\"}\n}";
    log.send(&format!("\n{pretty}\n"));
    let texts: Vec<_> = log.recorded().into_iter().rev().map(|event| event.event).collect();
    assert_eq!(texts, [&bad[..], &bad[..], &[pretty]].concat());
    let first = log.recorded().pop().unwrap();
    assert_eq!(
        (first.provider.as_deref(), first.action.as_deref(), first.event_id.as_deref()),
        (Some("app"), Some("go"), Some("é"))
    );
    assert_eq!((first.errors.len(), first.errors[0].path.as_str()), (1, "event.action"));
    assert_eq!((first.time.as_str(), first.space.as_str()), ("2021-03-02T12:00:00.000Z", "default"));
    log.assert_metric(r#"annals_intake_rejected_total{provider="app"} 3"#);
    log.assert_metric(r#"annals_intake_rejected_total{provider="other"} 6"#);
}

#[test]
fn a_whole_body_is_one_entry_with_its_reason() {
    let log = Log::start(1 << 20);
    let broken = r#"[{"event":{"provider":"app","action":"run"}},{"event":]"#;
    for body in ["", "[]", broken] {
        log.send(body);
    }
    let events = log.recorded();
    let shown: Vec<_> =
        events.iter().rev().map(|event| (event.event.as_str(), event.errors[0].expected.as_str())).collect();
    let some = "one event, an array of events, or one event per line";
    assert_eq!(shown, [("", some), ("[]", some), (broken, "JSON")]);
    assert!(events.iter().all(|event| event.whole_body));
    assert_eq!((events[0].provider.as_deref(), events[0].errors[0].found.contains("at byte 54")), (Some("app"), true));
}

#[test]
fn long_texts_and_many_errors_are_cut_and_said_to_be() {
    let log = Log::start(MIN_SIZE.as_u64());
    let fields = |count: usize| (0..count).map(|field| format!(",\"x{field}\":1")).collect::<String>();
    log.send(&format!(r#"{{"event":{{"provider":"app"}}{},"message":"{}"}}"#, fields(14), "é".repeat(60_000)));
    // The longest line that there can be.
    let hostile = "\u{1}".repeat(300_000);
    log.send(&hostile);
    let name = "\\u0001".repeat(3_000);
    log.send(&format!(r#"{{"event":{{"provider":"{name}","action":"{name}","id":"{name}"}},"{name}":"{name}"}}"#));
    let events = log.recorded();
    let [long, broken, first] = &events[..] else { panic!("{}", events.len()) };
    assert_eq!((first.errors.len(), first.more_errors, first.cut), (MAX_ERRORS, 5, true));
    assert!(first.event.len() > MAX_TEXT - 2 && first.event.len() <= MAX_TEXT && first.event.ends_with('é'));
    assert!(first.bytes > 120_000, "{}", first.bytes);
    assert_eq!((broken.event.len(), broken.bytes, broken.cut), (MAX_TEXT, 300_000, true));
    assert!(long.provider.as_ref().unwrap().len() <= 256);
    let longest = RejectedEvent {
        errors: vec![
            Violation {
                path: hostile[..512].to_owned(),
                expected: hostile[..512].to_owned(),
                found: hostile[..512].to_owned()
            };
            MAX_ERRORS
        ],
        provider: Some(hostile[..256].to_owned()),
        action: Some(hostile[..256].to_owned()),
        event_id: Some(hostile[..256].to_owned()),
        caller: RejectedCaller { name: hostile[..1_024].to_owned(), realm: "api_key".to_owned() },
        space: "x".repeat(256),
        ..broken.clone()
    };
    assert!(serialize(&longest).unwrap().len() as u64 <= MIN_SIZE.as_u64() / 2);
}

/// Makes the thread wait for a reader of the file, for ever.
pub(crate) fn get_stuck(folder: &Path) {
    let path = folder.join("rejected.ndjson");
    let _ = fs::remove_file(&path);
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn nobody_waits_for_a_thread_that_is_stuck_and_what_does_not_fit_is_counted() {
    let log = Log::start(1 << 20);
    get_stuck(log.folder.path());
    let bad = format!(r#"{{"event":{{"provider":"app"}},"x":"{}"}}"#, "x".repeat(1_000));
    for _ in 0..10 {
        log.send(&vec![bad.as_str(); 1_000].join("\n"));
    }
    let waiting = 10_000 - log.rejected.unrecorded();
    assert!((1_000..=4_096).contains(&waiting), "{waiting}");
    assert!(log.rejected.queued.load(Ordering::Relaxed) <= QUEUE_BYTES);
    log.assert_metric(&format!(r#"annals_intake_unrecorded_total {}"#, 10_000 - waiting));
    assert!(!log.rejected.flush(Duration::from_millis(1)));

    // Once the disk works again, everything that waits is recorded, and there is room again.
    let aside = log.folder.path().join("aside");
    fs::rename(log.folder.path().join("rejected.ndjson"), &aside).unwrap();
    let reader = fs::File::open(aside).unwrap();
    assert!(log.rejected.flush(Duration::from_secs(100)));
    drop(reader);
    assert_eq!(log.rejected.queued.load(Ordering::Relaxed), 0);
    log.assert_metric(&format!(r#"annals_intake_rejected_total{{provider="app"}} {waiting}"#));
    log.assert_metric(&format!(r#"annals_intake_rejected_total{{provider="other"}} {}"#, 10_000 - waiting));
    log.send("{}");
    assert_eq!(log.recorded()[0].event, "{}");
}

#[test]
fn a_disk_that_fails_is_counted_and_recovers() {
    let log = Log::start(1 << 20);
    fs::create_dir(log.folder.path().join("rejected.ndjson")).unwrap();
    log.send("{}");
    assert!(log.rejected.flush(Duration::from_secs(100)));
    assert_eq!(log.rejected.unrecorded(), 1);
    fs::remove_dir(log.folder.path().join("rejected.ndjson")).unwrap();
    log.send("[{}]");
    assert_eq!((log.recorded().len(), log.rejected.unrecorded()), (1, 1));
}

#[test]
fn only_registered_providers_are_counted_by_name_and_a_limited_number_of_them() {
    let log = Log::start(0);
    for number in 0..1_200 {
        let actions = vec!["run".to_owned()];
        let name = format!("p{number}");
        log.intake.registry().add_fixed(&name, Registration { actions, ..Registration::default() }).unwrap();
    }
    let all: Vec<_> = (0..1_200).map(|number| format!(r#"{{"event":{{"provider":"p{number}"}}}}"#)).collect();
    log.send(&all.join("\n"));
    log.send(r#"{"event":{"provider":"unknown"}}"#);
    assert!(log.recorded().is_empty(), "nothing is recorded");
    let text = log.metrics.render().unwrap();
    let labels = text.lines().filter(|line| line.starts_with("annals_intake_rejected_total{")).count();
    assert_eq!(labels, crate::metrics::ProviderCounters::MOST + 1);
    log.assert_metric(r#"annals_intake_rejected_total{provider="p0"} 1"#);
    log.assert_metric(r#"annals_intake_rejected_total{provider="other"} 201"#);
    assert_eq!(sizes(&log.folder), [0, 0]);
}
