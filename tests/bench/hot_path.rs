//! Where the time of an event goes on its way from a request's bytes to the journal, in microseconds of one core.
//!
//! `cargo bench --bench hot_path [-- EVENTS]` prints one line a step. The bytes are those of `scripts/bench`: about 350 when
//! sent, about 860 when sealed; requests of 500.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a benchmark")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use annals::{
    event::{Stream, UnixMillis},
    identity::{DataFolder, Identity},
    intake::{Contents, Intake, Limits, Registration, Registry},
    integrity::ContentDigest,
    journal::{self, Position},
    metrics::Metrics,
    time::{Clock, SystemClock},
    writer::{self, Group, Overflow, Recovering},
};

const REQUEST: usize = 500;

fn main() {
    let events: usize = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(200_000);
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let intake = open_intake(&folder, &clock);
    let requests: Vec<String> = (0..events / REQUEST).map(request).collect();
    let sent: usize = requests.iter().map(String::len).sum();
    println!("{events} events, {} bytes each when sent", sent / events);

    let report = |step: &str, took: Duration| {
        println!("{step:<44} {:>7.3} µs", took.as_secs_f64() * 1e6 / events as f64);
    };

    let mut accepted: Vec<Contents> = Vec::with_capacity(requests.len());
    let started = Instant::now();
    for request in &requests {
        accepted.push(intake.accept(&annals::event::Author::log(), None, request.as_bytes()).unwrap().contents);
    }
    report("parse, check, canonical form, digest", started.elapsed());
    assert_eq!(accepted.iter().map(Contents::len).sum::<usize>(), events);

    let started = Instant::now();
    for content in accepted.iter().flat_map(Contents::iter) {
        assert_eq!(ContentDigest::of(&content.salt, content.bytes), content.digest);
    }
    report("  of which the digest", started.elapsed());

    let identity = Identity::open(&folder, None, UnixMillis(0)).unwrap();
    let options = writer::Options {
        journal: journal::Options { max_bytes: u64::MAX, segment_bytes: 64 << 20 },
        overflow: Overflow::Reject,
        epoch_ms: 3_600_000,
        chaining: true,
        max_clock_jump: std::time::Duration::from_secs(3_600),
        recent: annals::writer::RecentOptions { window_ms: 600_000, capacity: 100_000 },
    };
    let recovering = Recovering::open(&folder, identity, clock, options).unwrap();
    let journal = recovering.journal();
    let (writer, thread) = recovering.start(Metrics::new().journal).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let started = Instant::now();
    runtime.block_on(async {
        let submitted = accepted.into_iter().map(|contents| writer.submit(contents, writer::Origin::Caller));
        for receipts in futures_util::future::join_all(submitted).await {
            assert_eq!(receipts.unwrap().receipts.len(), REQUEST);
        }
    });
    report("seal, journal, sync (with the disk)", started.elapsed());

    let mut reader = journal.reader(Position(0));
    let mut bytes = 0;
    let mut read = 0;
    let started = Instant::now();
    loop {
        let records = reader.read(2 << 20).unwrap();
        if records.is_empty() {
            break;
        }
        for record in &records {
            let group = Group::decode(&record.payload).unwrap();
            for section in &group.sections {
                assert_eq!(section.stream, Stream::general());
                read += section.events.len();
                bytes += section.events.iter().map(|event| event.document.len()).sum::<usize>();
            }
        }
    }
    report("read and take apart", started.elapsed());
    assert_eq!(read, events);
    println!("{} bytes each when sealed", bytes / events);
    writer.close();
    thread.join();
}

fn open_intake(folder: &DataFolder, clock: &Arc<dyn Clock>) -> Intake {
    let registry = Registry::open(folder.path("providers.json"), Limits::default()).unwrap();
    let actions = ["sign-in", "sign-out", "create", "modify"].map(str::to_owned).to_vec();
    registry
        .register("bench", None, Registration { actions, ..Registration::default() }, |_| {
            Ok::<_, annals::intake::RegisterError>(())
        })
        .unwrap();
    Intake::new(
        Arc::new(registry),
        Limits::default(),
        Arc::clone(clock),
        &annals::intake::Source {
            node: "node-1".to_owned(),
            server_uuid: "1c0bdc23-8a72-4d0c-b53f-6c0ea27e3b0d".to_owned(),
            version: "0.1.0".to_owned(),
        },
    )
}

fn request(number: usize) -> String {
    let event = |index: usize| {
        let n = number * REQUEST + index;
        let action = ["sign-in", "sign-out", "create", "modify"][n % 4];
        format!(
            concat!(
                r#"{{"@timestamp":"2026-11-24T01:{:02}:{:02}.{:03}Z","message":"user {} did {} on rule {} from the console","#,
                r#""event":{{"provider":"bench","action":"{}","outcome":"success","duration":{},"category":["iam"]}},"#,
                r#""user":{{"name":"user-{}"}},"source":{{"ip":"10.1.{}.{}"}},"#,
                r#""kibana":{{"saved_objects":[{{"rel":"primary","type":"alert","id":"rule-{}"}}]}}}}"#
            ),
            n / 60 % 60,
            n % 60,
            n % 1000,
            n % 977,
            action,
            n % 1009,
            action,
            n * 1000 + 17,
            n % 977,
            n % 200,
            n % 251,
            n % 1009
        )
    };
    (0..REQUEST).map(|index| event(index) + "\n").collect()
}
