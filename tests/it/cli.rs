use std::{
    collections::VecDeque,
    fs,
    io::Write,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use annals::server_file::{ServerAddress, ServerFile};
use axum::{Router, extract::Request, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};

/// A scripted server that records its requests.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone, Debug)]
struct RecordedRequest {
    line: String,
    key: Option<String>,
    body: String,
}

type Answer = (u16, Value);

impl Server {
    /// After the end of the script it accepts every line.
    fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<RecordedRequest>>> = Arc::default();
        let script: Arc<Mutex<VecDeque<Answer>>> = Arc::new(Mutex::new(script.into_iter().collect()));
        let record = Arc::clone(&requests);
        let router = Router::new().fallback(move |request: Request| answer(request, record, script));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router).await
        });
        Self { url, requests, _runtime: runtime }
    }

    fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }

    fn annals(&self, folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_annals"));
        command.current_dir(folder).env_clear().env("ANNALS_URL", &self.url).stdin(Stdio::null());
        command
    }
}

async fn answer(
    request: Request,
    record: Arc<Mutex<Vec<RecordedRequest>>>,
    script: Arc<Mutex<VecDeque<Answer>>>,
) -> axum::response::Response {
    let line = format!("{} {}", request.method(), request.uri());
    let key = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let events = body.lines().count();
    record.lock().unwrap().push(RecordedRequest { line, key, body });
    let scripted = script.lock().unwrap().pop_front();
    let (status, body) = scripted.unwrap_or_else(|| (202, json!({"items": vec![accepted(); events]})));
    (StatusCode::from_u16(status).unwrap(), [("retry-after", "0")], body.to_string()).into_response()
}

/// Removes the ids that the command gives to events.
fn without_ids(body: &str) -> String {
    let mut parts = body.split("\"event.id\":\"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let (id, rest) = part.split_once('"').unwrap();
        assert_eq!(id.len(), 36);
        text + rest.strip_prefix(',').unwrap_or(rest)
    })
}

fn accepted() -> Value {
    json!({"status": "accepted", "id": "i-1", "chain": "c", "sequence": 12, "hash": "h"})
}

fn rejected() -> Value {
    json!({"status": "rejected", "error": {"path": "event.duration", "reason": "expected an integer, found \"x\""},
        "errors": [{"path": "event.duration", "expected": "an integer", "found": "\"x\""}]})
}

fn page(total: u64, data: &[Value]) -> Answer {
    (200, json!({"page": 1, "per_page": 10, "total": total, "data": data}))
}

/// Returns a command's standard output, standard error and exit code.
fn decode_output(output: Output) -> (String, String, i32) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

fn run(command: &mut Command) -> (String, String, i32) {
    decode_output(command.output().unwrap())
}

fn run_with_input(command: &mut Command, input: &str) -> (String, String, i32) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    decode_output(child.wait_with_output().unwrap())
}

#[test]
fn log_sends_one_event_from_its_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([(200, json!({}))]);
    let arguments = ["log", "--provider=shop", "--action=ship", "--object=order:7", "--space=eu", "--register"];
    let (stdout, stderr, exit) = run(server.annals(folder.path()).args(arguments).args(["--wait-for", "stored"]));
    assert_eq!((stdout.as_str(), stderr.as_str(), exit), ("accepted i-1 (chain c, sequence 12)\n", "", 0));
    let requests = server.requests();
    assert_eq!(requests[0].line, "PUT /s/eu/api/event_log/providers/shop");
    assert_eq!(requests[0].body, r#"{"actions":["ship"]}"#);
    assert_eq!(requests[1].line, "POST /s/eu/api/event_log/events?wait_for=stored");
    let sent: Value = serde_json::from_str(&without_ids(&requests[1].body)).unwrap();
    let reference = json!([{"rel": "primary", "type": "order", "id": "7", "namespace": "eu"}]);
    assert_eq!(sent, json!({"event": {"provider": "shop", "action": "ship"}, "kibana": {"saved_objects": reference}}));
}

#[test]
fn a_provider_that_is_not_registered_keeps_no_other_event_from_being_sent() {
    let folder = tempfile::tempdir().unwrap();
    let refused =
        json!({"statusCode": 403, "error": "Forbidden", "message": "the caller may not register this provider"});
    let server = Server::start([(403, refused), (200, json!({}))]);
    let lines = "{\"event\":{\"provider\":\"annals\",\"action\":\"x\"}}\n{\"event\":{\"provider\":\"shop\",\"action\":\"ship\"}}\n";
    let mut command = server.annals(folder.path());
    let (_, stderr, exit) = run_with_input(command.args(["log", "--register", "-"]), lines);
    assert_eq!((stderr.as_str(), exit), ("2 accepted, 0 rejected\n", 0), "by this server");
    let lines: Vec<_> = server.requests().iter().map(|request| request.line.clone()).collect();
    assert_eq!(lines[2..], ["POST /api/event_log/events"], "{lines:?}");
}

#[test]
fn a_rejected_event_is_explained_and_exits_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let body = json!({"statusCode": 400, "error": "Bad Request", "message": "no event is good", "items": [rejected()]});
    let server = Server::start([(400, body)]);
    let (stdout, stderr, exit) = run(server.annals(folder.path()).args(["log", "--set", "event.duration=x"]));
    assert_eq!((stdout.as_str(), exit), ("", 3));
    assert!(
        stderr.starts_with("error: the event was rejected\nevent.duration: expected an integer, found \"x\"\nadvice: "),
        "{stderr}"
    );
}

#[test]
fn log_answers_for_each_line_of_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([(202, json!({"items": [accepted(), rejected(), {"status": "filtered"}]}))]);
    let (stdout, stderr, exit) =
        run_with_input(server.annals(folder.path()).args(["log", "--json"]), "{}\n\n{\"a\":1}\n{}\n");
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0]["line"].clone(), lines[0]["sequence"].clone()), (json!(1), json!(12)));
    assert_eq!((lines[1]["line"].clone(), lines[1]["status"].clone()), (json!(3), json!("rejected")));
    assert_eq!(lines[2], json!({"line": 4, "status": "filtered"}));
    let expected = "line 3: event.duration: expected an integer, found \"x\"\n\
                    1 accepted, 1 rejected, 1 filtered\n\
                    error: 1 of 3 events were rejected\nadvice: ";
    assert!(stderr.starts_with(expected), "{stderr}");
    assert_eq!(exit, 3);
    assert_eq!(without_ids(&server.requests()[0].body), "{}\n{\"a\":1}\n{}\n");
}

#[test]
fn a_large_file_goes_in_batches_and_a_busy_server_gets_a_batch_again() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..1_100).map(|number| format!("{{\"message\":\"{number}\"}}\n")).collect();
    fs::write(folder.path().join("events.ndjson"), &lines).unwrap();
    let busy = |status| (status, json!({"statusCode": status, "error": "x", "message": "the journal is full"}));
    let server = Server::start([busy(429), busy(503)]);
    let (stdout, stderr, exit) = run(server.annals(folder.path()).args(["log", "events.ndjson"]));
    assert_eq!((stdout.as_str(), stderr.as_str(), exit), ("", "1100 accepted, 0 rejected\n", 0));
    let requests = server.requests();
    assert!(requests[0].body == requests[1].body && requests[1].body == requests[2].body);
    let sent: String = requests[2..].iter().map(|request| request.body.as_str()).collect();
    assert_eq!(without_ids(&sent), lines);
}

fn refusal(status: u16, message: &str) -> Answer {
    (status, json!({"statusCode": status, "error": "x", "message": message}))
}

#[test]
fn a_line_that_the_server_refuses_alone_is_reported_and_the_others_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    for status in [413, 400] {
        let refused = || refusal(status, "it is too much");
        // All four, the first two, the first one alone.
        let server = Server::start([refused(), refused(), refused()]);
        let lines = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n";
        let (stdout, stderr, exit) = run_with_input(server.annals(folder.path()).args(["log", "--json"]), lines);
        let reason = format!("the server refused ({status}): it is too much; the line has 7 bytes");
        assert!(stderr.starts_with(&format!("line 1: {reason}\n3 accepted, 1 rejected\n")), "{stderr}");
        assert_eq!((stdout.lines().count(), exit), (4, 3));
        let first: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
        let error = json!({"path": "", "reason": reason});
        assert_eq!(first, json!({"line": 1, "status": "rejected", "error": error, "errors": []}));
        let sent: Vec<_> = server.requests().iter().map(|request| without_ids(&request.body)).collect();
        assert_eq!(sent[3..], ["{\"a\":2}\n", "{\"a\":3}\n{\"a\":4}\n"]);
    }
}

#[test]
fn a_request_that_is_refused_whatever_it_has_is_not_repeated_for_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(std::iter::repeat_n(refusal(400, "no such parameter"), 100));
    let (_, stderr, exit) = run_with_input(server.annals(folder.path()).args(["log", "-"]), &"{}\n".repeat(64));
    assert!(stderr.contains("\nerror: the server refused (400): no such parameter; not logged: line 3"), "{stderr}");
    assert_eq!(exit, 3);
    assert!(server.requests().len() < 12, "{}", server.requests().len());
}

#[test]
fn retries_with_a_busy_server_end() {
    let folder = tempfile::tempdir().unwrap();
    let busy = (429, json!({"statusCode": 429, "error": "Too Many Requests", "message": "the journal is full"}));
    let server = Server::start([busy]);
    let arguments = ["log", "--message=x", "--retry-for=1ms"];
    let (_, stderr, exit) = run(server.annals(folder.path()).args(arguments));
    let expected =
        "error: the server is busy (429): the journal is full; not logged: the event\nadvice: try again later";
    assert!(stderr.starts_with(expected), "{stderr}");
    assert_eq!((exit, server.requests().len()), (3, 1));
}

#[test]
fn a_json_array_is_refused_with_advice_and_nothing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([]);
    let (_, stderr, exit) = run_with_input(server.annals(folder.path()).args(["log", "-"]), "[\n{}\n]\n");
    assert!(stderr.contains("expected one event per line\nadvice: `jq"), "{stderr}");
    assert_eq!((exit, server.requests().len()), (1, 0));
}

#[test]
fn find_asks_by_one_id_or_many_and_prints_documents_as_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let documents = [json!({"message": "one"}), json!({"message": "two"})];
    let server = Server::start([page(2, &documents), page(12, &documents)]);
    let (stdout, stderr, exit) = run(server.annals(folder.path()).args(["find", "order", "a/7", "--start", "24h"]));
    assert_eq!((stdout.as_str(), stderr.as_str(), exit), ("{\"message\":\"one\"}\n{\"message\":\"two\"}\n", "", 0));
    let sort = ["--sort", "@timestamp:desc", "--sort", "message", "--format", "json"];
    let (stdout, stderr, _) = run(server.annals(folder.path()).args(["find", "order", "7", "8"]).args(sort));
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap()["total"], 12);
    assert_eq!(stderr, "events 1 to 2 of 12; --page 2 shows the next\n");
    let requests = server.requests();
    assert_eq!(requests[0].line, "GET /api/event_log/order/a%2F7/_find?page=1&per_page=10&start=24h");
    assert!(
        requests[1].line.starts_with("POST /api/event_log/order/_find?page=1&per_page=10&sort=%5B%7B%22sort_field%22"),
        "{}",
        requests[1].line
    );
    assert_eq!(requests[1].body, r#"{"ids":["7","8"]}"#);
}

#[test]
fn count_and_get_ask_what_they_were_told_and_print_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let absent = json!({"statusCode": 404, "error": "Not Found", "message": "Not Found"});
    let script =
        [(200, json!({"count": 7})), (200, json!({"count": 2})), (200, json!({"message": "one"})), (404, absent)];
    let server = Server::start(script);
    let annals = |arguments: &[&str]| run(server.annals(folder.path()).args(arguments));
    assert_eq!(annals(&["count", "--is", "event.outcome=failure"]), ("7\n".to_owned(), String::new(), 0));
    assert_eq!(annals(&["count", "order", "7", "8", "--start=24h"]).0, "2\n");
    assert_eq!(annals(&["get", "a/b"]), ("{\"message\":\"one\"}\n".to_owned(), String::new(), 0));
    assert_eq!(annals(&["get", "none"]).2, 3);
    assert_eq!(annals(&["count", "order"]).2, 2);
    let requests = server.requests();
    assert_eq!(requests[0].line, "GET /api/event_log/_count?filter=event.outcome%3A%22failure%22");
    assert_eq!(requests[1].line, "POST /api/event_log/order/_count?start=24h");
    assert_eq!(requests[2].line, "GET /api/event_log/events/a%2Fb");
}

#[test]
fn values_and_finds_need_no_object() {
    let folder = tempfile::tempdir().unwrap();
    let values = json!({"field": "a", "terms": [{"value": "x", "count": 2}], "distinct": 3, "without": 1});
    let server = Server::start([(200, values), page(0, &[])]);
    let annals = |arguments: &[&str]| run(server.annals(folder.path()).args(arguments));
    let (stdout, stderr, exit) = annals(&["values", "--field", "a", "--limit=1", "--not", "tags=x y"]);
    assert_eq!((stdout.as_str(), exit), ("{\"value\":\"x\",\"count\":2}\n", 0));
    assert_eq!(stderr, "2 more of 3 values; --limit shows more; 1 events have no a\n");
    let (_, stderr, exit) = annals(&["find", "--kql", "event.outcome:failure", "--is", "tags=x"]);
    assert_eq!((stderr.lines().next(), exit), (Some("no events"), 0));
    // A filter that would change its meaning when combined is not sent.
    let (_, stderr, exit) = annals(&["find", "--kql", "a) or (b", "--is", "tags=x"]);
    assert!(stderr.contains("a) or (b\n") && stderr.contains('^'), "{stderr}");
    assert_eq!(exit, 1);
    let requests = server.requests();
    assert_eq!(requests[0].line, "GET /api/event_log/_aggregate?filter=not+tags%3A%22x+y%22&terms=a&size=1");
    let filter = "%28event.outcome%3Afailure%29+and+tags%3A%22x%22";
    assert_eq!(requests[1].line, format!("GET /api/event_log/_find?page=1&per_page=10&filter={filter}"));
    assert_eq!(requests.len(), 2);
}

#[test]
fn finding_nothing_says_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([page(0, &[])]);
    let (stdout, stderr, exit) = run(server.annals(folder.path()).args(["find", "order", "7", "--format", "table"]));
    assert_eq!((stdout.as_str(), exit), ("", 0));
    assert!(stderr.starts_with("no events of order 7 in the space default\nadvice: "), "{stderr}");
}

#[test]
fn a_key_that_was_named_goes_to_the_address_that_was_named_and_that_of_a_data_folder_only_to_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(std::iter::repeat_n(page(0, &[]), 5));
    let command = |url: Option<&str>| {
        let mut command = server.annals(folder.path());
        command.env_remove("ANNALS_URL").args(["find", "order", "7"]).args(url.map(|url| format!("--url={url}")));
        command
    };
    let data = folder.path().join("annals-data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("admin.key"), "local\n").unwrap();
    fs::write(folder.path().join("my.key"), "# mine\nfile\n").unwrap();
    let at = Some(server.url.as_str());
    assert_eq!(run(&mut command(at)).2, 0, "no server has run yet");
    run(command(at).env("ANNALS_API_KEY", "env"));
    run(command(at).env("ANNALS_API_KEY", "env").args(["--key-file", "my.key"]));

    // What a server leaves behind that was killed while it listened here.
    let address = ServerAddress::new(server.url.strip_prefix("http://").unwrap().parse().unwrap(), None);
    let listening = ServerFile::create(&data, &address).unwrap();
    let left = fs::read(data.join("server.json")).unwrap();
    drop(listening);
    fs::write(data.join("server.json"), left).unwrap();
    assert_eq!(run(&mut command(at)).2, 0);
    let (_, stderr, exit) = run(&mut command(None));
    assert!(stderr.starts_with("error: no server runs on the data folder annals-data\nadvice: start it"), "{stderr}");
    assert_eq!(exit, 3);

    let _listening = ServerFile::create(&data, &address).unwrap();
    run(&mut command(None));
    run(&mut command(at));
    run(command(None).env("ANNALS_API_KEY", "env"));
    let other = server.url.replace("127.0.0.1", "localhost");
    run(&mut command(Some(&other)));
    let keys: Vec<_> = server.requests().into_iter().map(|request| request.key).collect();
    let [local, env] = ["ApiKey local", "ApiKey env"].map(Some);
    let expected = [None, env, Some("ApiKey file"), None, local, local, env, None];
    assert_eq!(keys.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
}

#[test]
fn rejected_events_are_listed_with_a_line_for_each_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = |path: &str| json!({"path": path, "expected": "e", "found": "f"});
    let event = |errors: Value| {
        json!({"time": "2021-03-02T12:00:00.000Z", "caller": {"name": "shop", "realm": "api_key"}, "space": "default",
            "action": "go", "errors": errors, "event": "{}", "bytes": 2})
    };
    let items = json!([event(json!([error("a"), error("b")])), event(json!([error("")]))]);
    let page = json!({"recording": true, "total": 7, "unrecorded": 3, "items": items});
    let last = json!({"recording": true, "total": 7, "unrecorded": 0, "items": []});
    let server = Server::start([(200, page), (200, last)]);
    let arguments = ["rejected", "--from=2", "--limit=2", "--format=csv"];
    let (stdout, stderr, exit) = run(server.annals(folder.path()).args(arguments));
    let row = |path: &str| format!("2021-03-02T12:00:00.000Z,api_key:shop,,go,{path},e,f\r\n");
    let expected = ["time,caller,provider,action,path,expected,found\r\n", &row("a"), &row("b"), &row("")].concat();
    assert_eq!(stdout, expected);
    let notes = "rejected events 3 to 4 of 7; --from 4 shows the next\n\
                 3 more since the start of the server could not be recorded; its log says why\n";
    assert_eq!((stderr.as_str(), exit), (notes, 0));
    let (stdout, stderr, _) = run(server.annals(folder.path()).args(["rejected", "--from=7"]));
    assert_eq!((stdout.as_str(), stderr.as_str()), ("", "none shown of 7 rejected events\n"));
    let lines: Vec<_> = server.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["GET /api/event_log/rejected?from=2&limit=2", "GET /api/event_log/rejected?from=7&limit=100"]);
}

#[test]
fn dead_letters_are_listed_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let letter =
        json!({"position": "c-1", "target": "index", "reason": "mapper", "refused_at": "t", "document": {"a": 1}});
    let nothing = json!({"store": "copy", "total": 0, "items": []});
    let list = (200, json!({"stores": [{"store": "main", "total": 2, "items": [letter]}, nothing]}));
    let replayed = json!([{"store": "main", "stored": 1, "refused": 1, "reason": "mapper"}, {"store": "copy", "error": "it is away"},
        {"store": "third", "stored": 0, "refused": 0}]);
    let server = Server::start([list, (200, json!({"stores": replayed}))]);
    let (stdout, stderr, exit) = run(server.annals(folder.path()).args(["dead-letters", "list", "--store=main"]));
    let mut shown = letter.clone();
    shown["store"] = json!("main");
    assert_eq!(serde_json::from_str::<Value>(&stdout).unwrap(), shown);
    assert_eq!((stderr.as_str(), exit), ("main: dead letters 1 to 1 of 2; --from 1 shows the next\n", 0));
    let (stdout, stderr, exit) = run(server.annals(folder.path()).args(["dead-letters", "replay"]));
    let expected = "main: 1 stored, 1 refused again\ncopy: stopped: it is away\nthird: 0 stored, 0 refused again\n";
    assert_eq!((stdout.as_str(), exit), (expected, 3));
    let expected =
        "main: the first was refused again because of mapper\nerror: dead letters are left in main, copy\nadvice: ";
    assert!(stderr.starts_with(expected), "{stderr}");
    let lines: Vec<_> = server.requests().into_iter().map(|request| request.line).collect();
    let listed = "GET /api/event_log/dead_letters?store=main&from=0&limit=100";
    assert_eq!(lines, [listed, "POST /api/event_log/dead_letters/_replay"]);
}

#[test]
fn a_server_that_is_away_or_refuses_exits_with_3_and_advice() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = json!({"statusCode": 401, "error": "Unauthorized", "message": "a key is required"});
    let server = Server::start([(401, refusal)]);
    let (_, stderr, exit) = run(server.annals(folder.path()).args(["find", "order", "7"]));
    assert!(stderr.starts_with("error: the server refused (401): a key is required\nadvice: name a key"), "{stderr}");
    assert_eq!(exit, 3);

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = format!("--url=http://{nobody}");
    for arguments in [vec!["find", "order", "7", &away], vec!["log", "--message=x", &away]] {
        let (_, stderr, exit) = run(server.annals(folder.path()).args(arguments));
        assert!(stderr.starts_with(&format!("error: no connection to http://{nobody}/: ")), "{stderr}");
        assert!(stderr.contains("\nadvice: start the server with `annals serve`"), "{stderr}");
        assert_eq!(exit, 3);
    }
}

#[test]
fn a_command_typed_wrong_exits_with_2_and_completions_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start([]);
    let wrong = |arguments: &[&str], said: &str| {
        let (_, stderr, exit) = run(server.annals(folder.path()).args(arguments));
        assert!(stderr.contains(said) && exit == 2, "{exit}: {stderr}");
    };
    // Whatever the environment says.
    wrong(&["find", "order"], "\nUsage: annals find <TYPE> <ID>...\n");
    wrong(&["log", "--api-key=x"], "unexpected argument");
    wrong(&["find", "--per-page=10001"], "10001 is not in 0..=10000");
    wrong(&["find", "--page=0"], "0 is not in 1..=10000");
    wrong(&["find", "--limit=0"], "expected a number of at least 1");
    wrong(&["find", "--page=101", "--per-page=100"], "is beyond event 10000");
    wrong(&["values", "--field=a", "--limit=10001"], "10001 is not in 1..=10000");
    assert_eq!(server.requests().len(), 0);
    let (stdout, _, exit) = run(server.annals(folder.path()).args(["completions", "bash"]));
    assert!(stdout.contains("dead-letters") && exit == 0);
}

#[test]
fn a_key_whose_text_cannot_be_printed_is_reported_as_useless() {
    let folder = tempfile::tempdir().unwrap();
    let about = json!({"name": "shop", "created": "2026-01-01T00:00:00.000Z", "expired": false, "grants": [{"role": "monitor"}]});
    let mut answer = about.clone();
    answer["key"] = json!("annals_secret");
    let server = Server::start([(200, answer)]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = server.annals(folder.path());
    command.args(["keys", "create", "shop", "--grant=monitor"]).stdout(writer).stderr(Stdio::piped());
    let (_, stderr, exit) = decode_output(command.spawn().unwrap().wait_with_output().unwrap());
    assert_eq!(exit, 1, "{stderr}");
    assert!(stderr.contains("could not be shown") && stderr.contains("annals keys revoke shop"), "{stderr}");
    assert!(!stderr.contains("annals_secret"), "{stderr}");
}
