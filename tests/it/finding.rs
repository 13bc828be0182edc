use std::{
    collections::{BTreeSet, HashMap},
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{
    Annals, Answer, CommandOutput, Damage, Document, Engine, Home, Kind, Load, PATIENCE, Pace, Wire, await_some,
    await_that, verify,
};

/// Selects only the events of these tests, leaving out the log's own.
const OURS: [&str; 2] = ["--is", "event.provider=load"];

/// Logs an event for each message in one request, and waits until they can be found.
#[track_caller]
fn log(annals: &Annals, messages: impl IntoIterator<Item = String>) {
    let event = |message: String| {
        let about = json!([{"rel": "primary", "type": "item", "id": "1"}]);
        json!({"event": {"provider": "load", "action": "run"}, "message": message, "kibana": {"saved_objects": about}})
    };
    annals.log_events(&messages.into_iter().map(event).collect()).expect(202);
    annals.await_stored("sqlite");
}

#[test]
fn what_elasticsearch_has_confirmed_is_seen_by_every_kind_of_query() {
    see_what_is_confirmed(Kind::Elasticsearch, "1s");
}

#[test]
fn what_opensearch_has_confirmed_is_seen_by_every_kind_of_query() {
    see_what_is_confirmed(Kind::Opensearch, "1s");
}

#[test]
fn without_staleness_every_kind_of_query_of_elasticsearch_sees_at_once_what_is_confirmed() {
    see_what_is_confirmed(Kind::Elasticsearch, "0s");
}

#[test]
fn without_staleness_every_kind_of_query_of_opensearch_sees_at_once_what_is_confirmed() {
    see_what_is_confirmed(Kind::Opensearch, "0s");
}

fn see_what_is_confirmed(kind: Kind, max_staleness: &str) {
    const EVENTS: usize = 100;
    type Read = fn(Answer) -> Value;
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let query = format!("[query]\nmax_staleness = \"{max_staleness}\"\n");
    let home = Home::new(&(Home::engine_store("main", &engine.url, &prefix) + &query));
    let annals = home.start();
    let seen: [(&str, Read); 5] = [
        ("_count?", |answer| answer.json()["count"].clone()),
        ("_find?per_page=1&", |answer| answer.json()["total"].clone()),
        ("_aggregate?terms=event.action&", |answer| answer.json()["terms"][0]["count"].clone()),
        ("_export?", |answer| answer.text().lines().count().into()),
        ("events/", |answer| answer.json()["event"]["id"].clone()),
    ];
    for (round, (path, read)) in seen.into_iter().cycle().take(15).enumerate() {
        let name = format!("round{round}");
        let event =
            |at| json!({"event": {"provider": "load", "action": "run", "id": format!("{name}-{at}")}, "message": name});
        annals.log_events(&(0..EVENTS).map(event).collect()).expect(202);
        annals.await_stored("main");
        if round == 0 {
            prefix.stop_refreshing();
        }
        let last = format!("{name}-{}", EVENTS - 1);
        let (query, expected) = if path == "events/" {
            (last.clone(), json!(last))
        } else {
            (format!("filter=message:{name}"), json!(EVENTS))
        };
        let url = format!("/api/event_log/{path}{query}");
        let ask = || annals.request("GET", &url).send().unwrap();
        if max_staleness == "0s" || path == "_export?" {
            assert_eq!(read(ask().expect(200)), expected, "at once");
        } else {
            await_that(&url, || {
                Some(ask()).filter(|answer| answer.status == 200).is_some_and(|answer| read(answer) == expected)
            });
        }
    }
}

fn numbered(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("event {number:04}"))
}

fn messages(lines: &str) -> Vec<String> {
    let message = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["message"].as_str().unwrap().to_owned()
    };
    lines.lines().map(message).collect()
}

/// A command that runs until it is stopped.
struct Running {
    child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    fn start(home: &Home, url: &str, arguments: &[&str]) -> Self {
        let mut command = home.command_at(url, arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines() {
                // After a failure of the test nobody receives the lines.
                let _ = sender.send(line.unwrap());
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self { child, lines, stderr: Some(stderr) }
    }

    #[track_caller]
    fn lines(&self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.lines.recv_timeout(PATIENCE).unwrap()).collect()
    }

    #[track_caller]
    fn messages(&self, count: usize) -> Vec<String> {
        self.lines(count).iter().flat_map(|line| messages(line)).collect()
    }

    /// Sends Ctrl-C; returns the remaining output, standard error, and the exit code.
    #[track_caller]
    fn interrupt(self) -> (Vec<String>, String, i32) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.end()
    }

    #[track_caller]
    fn end(mut self) -> (Vec<String>, String, i32) {
        let status = await_some("the command ends", || self.child.try_wait().unwrap());
        let stderr = self.stderr.take().unwrap().join().unwrap();
        (self.lines.iter().collect(), stderr, status.code().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const TAIL: [&str; 5] = ["tail", "--format=ndjson", "--since=1h", OURS[0], OURS[1]];

#[test]
fn a_tail_shows_each_event_once_and_in_order_despite_server_failures() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let wire = Wire::to(&annals.url);
    log(&annals, numbered(0..5));
    let tail = Running::start(&home, &wire.url, &TAIL);
    let mut seen = tail.messages(5);
    annals.kill();
    let annals = home.start();
    log(&annals, numbered(5..7));
    wire.turn_to(&annals.url);
    seen.extend(tail.messages(2));
    log(&annals, numbered(7..8));
    seen.extend(tail.messages(1));
    annals.stop();
    // Each connection delivers some events, and breaks in the middle of one.
    let annals = home.start();
    log(&annals, numbered(8..20));
    wire.damage(Damage::CutAfter(6_000));
    wire.turn_to(&annals.url);
    seen.extend(tail.messages(12));
    let (rest, stderr, exit) = tail.interrupt();
    assert_eq!(seen, numbered(0..20).collect::<Vec<_>>());
    assert_eq!((rest, exit), (vec![], 0), "{stderr}");
    assert!(stderr.contains("; this continues automatically\n") && stderr.contains("\nfollowing again\n"), "{stderr}");
}

#[test]
fn a_tail_from_the_middle_shows_each_event_once_and_in_order_though_the_server_is_killed() {
    let home = Home::on_sqlite();
    let mut annals = home.start();
    let wire = Wire::to(&annals.url);
    log(&annals, numbered(0..20));
    let tail = Running::start(&home, &wire.url, &TAIL);
    let load = Load::start(&annals, Pace::default());
    let mut seen = tail.lines(30);
    for _ in 0..3 {
        annals.kill();
        annals = home.start();
        load.turn_to(&annals);
        // Events logged while the tail tries to reconnect.
        load.await_more(50);
        wire.turn_to(&annals.url);
        seen.extend(tail.lines(80));
    }
    let acknowledged = load.stop();
    annals.await_stored("sqlite");
    let documents = Document::all_of_sqlite(&home.data().join("events.db"));
    let lines = documents.iter().map(|document| std::str::from_utf8(&document.source).unwrap());
    let mut stored: Vec<_> = lines.filter(|line| position(line).0 == "load").collect();
    stored.sort_by_key(|line| position(line));
    seen.extend(tail.lines(stored.len().saturating_sub(seen.len())));
    let (rest, stderr, exit) = tail.interrupt();
    seen.extend(rest);
    let positions = |lines: &[&str]| lines.iter().map(|line| position(line)).collect::<Vec<_>>();
    let mut seen: Vec<_> = seen.iter().map(String::as_str).collect();
    // Each run has its own chain.
    let mut last = HashMap::new();
    for (_, chain, sequence) in positions(&seen) {
        assert!(last.insert(chain, sequence).is_none_or(|before| before < sequence), "in order");
    }
    seen.sort_by_key(|line| position(line));
    assert_eq!(positions(&seen), positions(&stored), "{stderr}");
    assert!(seen == stored, "the tail shows the very bytes");
    assert_eq!((stderr.matches("\nfollowing again\n").count(), exit), (3, 0), "{stderr}");
    verify(&home, &documents, &acknowledged);
}

/// Returns an event's provider, chain and sequence.
fn position(line: &str) -> (String, String, u64) {
    let event: Value = serde_json::from_str(line).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&event["event"]["provider"]), text(&event["annals"]["chain"]), event["annals"]["sequence"].as_u64().unwrap())
}

#[test]
fn a_tail_resumes_where_the_previous_one_ended() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let place = home.data().with_file_name("place");
    let resumed = [&TAIL[..], &["--resume", place.to_str().unwrap()]].concat();
    log(&annals, numbered(0..3));
    let tail = Running::start(&home, &annals.url, &resumed);
    assert_eq!(tail.messages(3), numbered(0..3).collect::<Vec<_>>());
    assert_eq!(tail.interrupt().2, 0);
    log(&annals, numbered(3..6));
    let tail = Running::start(&home, &annals.url, &resumed);
    assert_eq!(tail.messages(3), numbered(3..6).collect::<Vec<_>>());
    // The position is saved while the tail runs, too.
    let (before, kept) = (fs::read_to_string(&place).unwrap(), || fs::read_to_string(&place).unwrap());
    log(&annals, numbered(6..7));
    assert_eq!(tail.messages(1), ["event 0006"]);
    await_that("the place is kept", || kept() != before);
    assert_eq!(tail.interrupt().0, [""; 0]);
    let tail = Running::start(&home, &annals.url, &resumed);
    log(&annals, numbered(7..8));
    assert_eq!(tail.messages(1), ["event 0007"]);
    assert_eq!(tail.interrupt().0, [""; 0]);

    fs::write(&place, "no place\n").unwrap();
    let output = home.run(&annals, &resumed);
    assert!(output.stderr.contains("it does not contain the position of a tail\nadvice: "), "{}", output.stderr);
    assert_eq!(output.exit, 1);
}

#[test]
fn a_tail_ends_when_nobody_reads_and_when_it_is_refused() {
    let home = Home::on_sqlite();
    let annals = home.start();
    log(&annals, numbered(0..1));
    let mut command = home.command_at(&annals.url, &TAIL);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut first).unwrap();
    drop(stdout);
    let status = await_some("the tail ends without another event", || child.try_wait().unwrap());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((stderr.as_str(), status.code()), ("", Some(0)));

    let check = |arguments: &[&str], exit: i32, said: &str| {
        let output = home.run(&annals, arguments);
        assert!(output.stderr.contains(said) && output.exit == exit, "{}: {}", output.exit, output.stderr);
    };
    fs::write(home.data().with_file_name("wrong.key"), "annals_wrong\n").unwrap();
    check(&["tail", "--key-file=wrong.key"], 3, "error: the server refused (401)");
    check(&["tail", "--kql=evnt:x"], 3, "There is no field \"evnt\"");
    check(&["tail", "--since=soon"], 3, "since");
    check(&["tail", "--format=json"], 2, "ndjson");
    check(&["tail", "item"], 2, "<ID>");
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    check(&["tail", &format!("--url=http://{nobody}")], 3, "error: no connection");
}

#[test]
fn a_tail_reports_problems_on_standard_error_and_waits_only_for_transient_ones() {
    let home = Home::on_sqlite();
    let followed = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\nretry: 1\nid: a\n\n\
                    id: b\ndata: {\"message\":\"one\"}\n\n: the store does not answer\n\n\
                    event: gap\nid: c\ndata: {\"chain\":\"x\",\"from\":5,\"to\":7}\n\n\
                    id: d\ndata: {\"message\":\"torn\"}\n";
    let refused = |status: u16| {
        let body = json!({"statusCode": status, "error": "x", "message": format!("told {status}")}).to_string();
        let head = format!("HTTP/1.1 {status} Told\r\nretry-after: 0\r\nconnection: close\r\ncontent-length: ");
        format!("{head}{}\r\n\r\n{body}", body.len())
    };
    let answers = [refused(503), followed.to_owned(), refused(502), refused(503), refused(401)];
    let (url, server) = answering(&answers);
    let tail = Running::start(&home, &url, &["tail", "--format=ndjson", "--resume=place"]);
    let (events, stderr, exit) = tail.end();
    assert_eq!((events, exit), (vec![r#"{"message":"one"}"#.to_owned()], 3), "{stderr}");
    let lines: Vec<_> = stderr.lines().map(|line| line.split(": ").collect::<Vec<_>>()).collect();
    let begins = |number: usize, expected: &[&str]| assert!(lines[number].starts_with(expected), "{stderr}");
    begins(0, &["the server is busy (503)", "told 503; this continues automatically"]);
    begins(1, &["the server says", "the store does not answer"]);
    assert!(lines[2][0] == "gap" && lines[2][1].starts_with("positions 5 to 7 of the chain x "), "{stderr}");
    begins(3, &["following again"]);
    begins(4, &["the server refused (502)", "told 502; this continues automatically"]);
    begins(5, &["the server is busy (503)", "told 503; this continues automatically"]);
    begins(6, &["error", "the server refused (401)", "told 401"]);
    server.join().unwrap();
    assert_eq!(fs::read_to_string(home.data().with_file_name("place")).unwrap(), "c\n");
}

struct Exported {
    home: Home,
    annals: Annals,
}

impl Exported {
    /// A server with 1,200 events, some of which a spreadsheet could evaluate as formulas.
    fn new() -> Self {
        let home = Home::on_sqlite();
        let annals = home.start();
        log(&annals, numbered(0..1_197).chain(["=1+1", "a \"b\", c\nd", "ünd 漢"].map(str::to_owned)));
        Self { home, annals }
    }

    fn export(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&[&["export"], &OURS[..], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> CommandOutput {
        self.home.run(&self.annals, arguments)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.data().with_file_name(name)
    }

    /// Checks that neither the file nor its partial file exists.
    #[track_caller]
    fn assert_no_file(&self, name: &str) {
        let there: Vec<_> = [name.to_owned(), format!("{name}.part")].map(|name| self.path(&name).exists()).into();
        assert_eq!(there, [false, false]);
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_export_is_complete_in_each_format_and_reports_count_and_digest() {
    let server = Exported::new();
    let output = server.export(&["--output", "events.ndjson"]);
    assert_eq!((output.stdout.as_str(), output.exit), ("", 0), "{}", output.stderr);
    let lines = fs::read(server.path("events.ndjson")).unwrap();
    assert_eq!(output.stderr, format!("events.ndjson: 1200 events, sha-256={}\n", digest(&lines)));
    assert!(!server.path("events.ndjson.part").exists());
    assert_eq!(fs::metadata(server.path("events.ndjson")).unwrap().permissions().mode() & 0o777, 0o600);
    let found = server.run(&[&["find", "--limit=5000", "--format=ndjson"], &OURS[..]].concat());
    assert!(found.stdout.as_bytes() == lines, "an export has what a find has");

    for (format, events) in [("json", 1_200), ("csv", 1_200), ("ndjson", 1_200)] {
        let plain = server.export(&["item", "1", "--format", format]);
        assert_eq!(plain.exit, 0, "{}", plain.stderr);
        let whole = format!("{events} events, sha-256={}\n", digest(plain.stdout.as_bytes()));
        assert_eq!(plain.stderr, format!("standard output: {whole}"));
        let packed = server.export(&["item", "1", "--format", format, "--gzip", "--output=packed.gz"]);
        assert_eq!((packed.stderr, packed.exit), (format!("packed.gz: {whole}"), 0));
        let mut unpacked = String::new();
        let file = fs::File::open(server.path("packed.gz")).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut unpacked).unwrap();
        assert!(unpacked == plain.stdout, "{format}");
    }
    let nothing = server.export(&["--is", "event.action=none", "--output=none.ndjson"]);
    assert!(nothing.stderr.starts_with("none.ndjson: 0 events, ") && nothing.exit == 0, "{}", nothing.stderr);
    assert_eq!(fs::read(server.path("none.ndjson")).unwrap(), b"");
}

#[test]
fn an_export_that_breaks_off_leaves_no_file_and_exits_with_4() {
    let server = Exported::new();
    let wire = Wire::to(&server.annals.url);
    let run = |arguments: &[&str]| {
        CommandOutput::of(&mut server.home.command_at(&wire.url, &[&["export"], arguments].concat()))
    };
    fs::write(server.path("old.ndjson"), "before").unwrap();
    for arguments in [&["--output=new.ndjson"][..], &["--output=old.ndjson", "--gzip"], &["--format=csv"]] {
        wire.damage(Damage::CutAfter(if arguments.len() == 2 { 5_000 } else { 20_000 }));
        let output = run(arguments);
        assert!(
            output.stderr.contains(" is incomplete: ") && output.stderr.contains("\nadvice: "),
            "{}",
            output.stderr
        );
        assert_eq!(output.exit, 4);
    }
    server.assert_no_file("new.ndjson");
    assert_eq!(fs::read(server.path("old.ndjson")).unwrap(), b"before");
    assert!(!server.path("old.ndjson.part").exists());

    wire.damage(Damage::HoldAfter(20_000));
    let stuck = Running::start(&server.home, &wire.url, &["export", "--output=stuck.ndjson"]);
    await_that("the export has begun", || server.path("stuck.ndjson.part").exists());
    let (_, stderr, exit) = stuck.interrupt();
    assert_eq!((stderr.as_str(), exit), ("error: interrupted before it was done\n", 130));
    server.assert_no_file("stuck.ndjson");

    let output = run(&["--output=late.ndjson", "--timeout=1s"]);
    assert!(output.stderr.contains("nothing came for 1s") && output.exit == 4, "{}: {}", output.exit, output.stderr);
    server.assert_no_file("late.ndjson");
}

/// A server that gives each connection one of these answers, and then is gone.
pub(crate) fn answering(answers: &[String]) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = answers.to_vec();
    let server = thread::spawn(move || {
        for answer in answers {
            let (mut client, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
            while !lines.next().unwrap().unwrap().is_empty() {}
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    (url, server)
}

#[test]
fn an_export_is_believed_only_if_count_and_digest_agree() {
    let home = Home::on_sqlite();
    let check = |trailers: &str, exit: i32, said: &str| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        let (url, server) = answering(&[format!("{head}3\r\n{{}}\n\r\n0\r\n{trailers}\r\n")]);
        let output = CommandOutput::of(&mut home.command_at(&url, &["export", "--output=told.ndjson"]));
        server.join().unwrap();
        assert!(output.stderr.contains(said) && output.exit == exit, "{}: {}", output.exit, output.stderr);
        assert_eq!(home.data().with_file_name("told.ndjson").exists(), exit == 0);
    };
    let (right, wrong) = (digest(b"{}\n"), digest(b"{} \n"));
    let trailers = |count: u64, digest: &str| format!("annals-count: {count}\r\nannals-digest: sha-256={digest}\r\n");
    let complete = "annals-complete: true\r\n";
    check("", 4, "nothing says that it is complete");
    check(&trailers(1, &right), 4, "nothing says that it is complete");
    check(
        &format!("{}{complete}", trailers(1, &wrong)),
        4,
        &format!("1 events with sha-256={right} came, and 1 events with"),
    );
    check(&format!("{}{complete}", trailers(2, &right)), 4, "and 2 events with");
    check(&format!("{}{complete}", trailers(1, &right)), 0, "told.ndjson: 1 events, ");
}

#[test]
fn a_limit_spans_pages_in_each_format() {
    let server = Exported::new();
    let find = |arguments: &[&str]| server.run(&[&["find", "--sort=annals.sequence"], &OURS[..], arguments].concat());
    let output = find(&["--limit=1100", "--format=ndjson"]);
    assert_eq!(messages(&output.stdout), numbered(0..1_100).collect::<Vec<_>>());
    assert_eq!(
        (output.stderr.as_str(), output.exit),
        ("1100 of 1200 events; --limit shows more, and `annals export` all\n", 0)
    );
    let all = find(&["--limit=20000", "--format=ndjson", "--fields=message"]);
    assert_eq!(messages(&all.stdout).into_iter().collect::<BTreeSet<_>>().len(), 1_200);
    assert_eq!((all.stdout.lines().next(), all.stderr.as_str()), (Some(r#"{"message":"event 0000"}"#), ""));
    let whole = find(&["--limit=1001", "--format=json", "--fields=message"]);
    let whole: Value = serde_json::from_str(&whole.stdout).unwrap();
    assert_eq!((whole["data"].as_array().unwrap().len(), &whole["total"]), (1_001, &json!(1_200)));
    let table = find(&["--limit=501", "--format=table", "--columns=message,event.action"]).stdout;
    let lines: Vec<_> = table.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[501]), (502, "message     event.action", "event 0500  run"));
    assert_eq!(find(&["--limit=5", "--page=2"]).exit, 2);
}

#[test]
fn csv_is_that_of_the_export_and_contains_means_the_very_text() {
    let server = Exported::new();
    let columns = ["--columns=message,event.duration,kibana.saved_objects.id", "--sort=annals.sequence"];
    let found = server.run(&[&["find", "--limit=2000", "--format=csv"], &OURS[..], &columns].concat()).stdout;
    assert!(found == server.export(&[&["--format=csv"], &columns[..]].concat()).stdout);
    let end = "'=1+1,,\"[\"\"1\"\"]\"\r\n\"a \"\"b\"\", c\nd\",,\"[\"\"1\"\"]\"\r\nünd 漢,,\"[\"\"1\"\"]\"\r\n";
    assert!(found.ends_with(end), "{}", &found[found.len() - 200..]);

    let count = |contained: &str| {
        let output = server.run(&[&["count", "--contains"], &[contained][..], &OURS].concat());
        assert_eq!(output.exit, 0, "{}", output.stderr);
        output.stdout.trim().parse::<u64>().unwrap()
    };
    assert_eq!(count("message=vent 000"), 10);
    assert_eq!(count("message=a \"b\", c\nd"), 1);
    assert_eq!((count("message=nd 漢"), count("message=ND 漢"), count("message=*")), (1, 0, 0));
    assert_eq!(count("event.action=u"), 1_200);

    let nothing = ["--contains", "message=no such text"];
    let empty = |arguments: &[&str]| {
        let output = server.run(&[arguments, &nothing].concat());
        assert_eq!(output.exit, 0, "{}", output.stderr);
        output.stdout
    };
    assert_eq!(empty(&["find", "--format=csv", "--columns=message"]), "message\r\n");
    assert_eq!(empty(&["find", "--limit=10", "--format=table"]), "");
    assert_eq!(empty(&["values", "--field=event.action", "--format=csv"]), "value,count\r\n");
    assert_eq!(empty(&["count", "--format=ndjson"]), "{\"count\":0}\n");
    let output = server.run(&["find", "--contains", "event.duration=7"]);
    assert!(output.exit == 3 && output.stderr.starts_with("error: the server refused (400)"), "{}", output.stderr);
}

#[test]
fn dates_are_read_in_the_zone_in_which_they_are_shown() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let event =
        json!({"@timestamp": "2021-03-01T20:00:00Z", "event": {"provider": "load", "action": "run", "id": "early"}});
    annals.log_events(&event).expect(202);
    annals.await_stored("sqlite");
    let on = |zone: &str, day: &str| {
        let output = home.run(&annals, &["count", "--tz", zone, "--start", day, "--end", day]);
        assert_eq!(output.exit, 0, "{}", output.stderr);
        output.stdout
    };
    assert_eq!((on("UTC", "2021-03-01"), on("UTC", "2021-03-02")), ("1\n".to_owned(), "0\n".to_owned()));
    assert_eq!((on("+05:30", "2021-03-01"), on("+05:30", "2021-03-02")), ("0\n".to_owned(), "1\n".to_owned()));
    let shown = home.run(&annals, &["get", "early", "--format=table", "--columns=@timestamp", "--tz=+05:30"]).stdout;
    assert_eq!(shown, "@timestamp\n2021-03-02 01:30:00.000+05:30\n");
    assert_eq!(on("UTC", "2021-03-02 01:30:00.000+05:30"), "1\n");
    let line = home.run(&annals, &["get", "early", "--fields=event.id"]).stdout;
    assert_eq!(line, "{\"event\":{\"id\":\"early\"}}\n");
    let lines = home.run(&annals, &["get", "early", "--fields=event.id", "--format=json"]).stdout;
    assert_eq!(lines, "{\n  \"event\": {\n    \"id\": \"early\"\n  }\n}\n");
}
