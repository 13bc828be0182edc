//! Checks the examples of the API document: sends their requests to a log and compares the answers.
//!
//! With `UPDATE_GOLDEN=1`, the examples are rewritten.

use std::{collections::BTreeMap, env, fs, path::Path, time::Duration};

use axum::{
    body::{Body, to_bytes},
    http::{Request, request},
};
use boon::{Compiler, Schemas};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{LIMITS, Log, OPEN, access::from, grant};
use crate::{
    access::Role,
    http::{
        Limits, openapi,
        openapi::examples::{Bodies, Examples, Exchanges},
    },
    store::{Outcome, StoreError},
};

/// Members that differ in every log, so the examples keep their old values.
const OWN: [&str; 10] =
    ["behind_bytes", "behind_events", "behind_seconds", "chain", "hash", "key", "next", "position", "previous", "seal"];

/// Queries, each with its query string.
const QUESTIONS: [(&str, &str); 13] = [
    ("find_by_id", "?sort_field=event.action&fields=@timestamp,event.action,message"),
    ("find_by_ids", "?per_page=1"),
    ("find", "?after=&per_page=1&fields=event.id"),
    ("count_by_id", ""),
    ("count_by_ids", ""),
    ("count", "?filter=event.outcome:failure"),
    ("aggregate_by_id", "?terms=event.action"),
    ("aggregate_by_ids", "?histogram=@timestamp&interval=1h"),
    ("aggregate", "?stats=event.duration"),
    ("export_by_id", "?fields=@timestamp,event.action"),
    ("export", "?filter=event.provider:shop&fields=event.id"),
    ("tail_by_id", "?since=1h&fields=event.id,event.action"),
    ("tail", "?since=1h&filter=event.provider:shop&fields=event.id"),
];

fn paid(object: &str, outcome: &str) -> Value {
    json!({
        "@timestamp": "2021-03-02T11:59:58.250Z",
        "message": format!("order {object} was paid"),
        "event": {
            "provider": "shop", "action": "order-paid", "id": format!("{object}-paid"),
            "outcome": outcome, "duration": "1250000000",
        },
        "user": {"name": "ada"},
        "kibana": {"saved_objects": [{"rel": "primary", "type": "order", "id": object}]},
    })
}

/// Returns the request bodies by operation.
fn requests() -> BTreeMap<&'static str, Bodies> {
    let json = |body: Value| Bodies::from([("application/json".to_owned(), body)]);
    let lines = format!("{}\n{}\n", paid("8", "failure"), paid("10", "success"));
    let events = [("application/json", paid("7", "success")), ("application/x-ndjson", lines.into())];
    let grants = json!({"role": "writer", "spaces": ["default"], "providers": ["shop"]});
    let ids = || json(json!({"ids": ["7", "8"]}));
    BTreeMap::from([
        ("log_events", events.map(|(kind, body)| (kind.to_owned(), body)).into()),
        ("register_provider", json(json!({"actions": ["order-paid"], "defaults": {"tags": ["web"]}}))),
        ("find_by_ids", ids()),
        ("count_by_ids", ids()),
        ("aggregate_by_ids", ids()),
        ("create_key", json(json!({"name": "shop", "grants": [grants], "expires": "90d"}))),
    ])
}

fn document() -> Value {
    serde_json::from_str(&openapi().unwrap()).unwrap()
}

/// Returns path, method and description of every operation by its id.
fn operations(document: &Value) -> BTreeMap<&str, (&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    all.map(|operation| (operation.2["operationId"].as_str().unwrap(), operation)).collect()
}

/// Sends requests to a log and records the answers.
struct Recorder {
    log: Log,
    document: Value,
    examples: Examples,
}

impl Recorder {
    fn new(log: Log) -> Self {
        Self { log, document: document(), examples: Examples::default() }
    }

    /// Returns method and path of an operation, with the examples of its path parameters.
    fn target(&self, operation: &str) -> (String, String) {
        let (path, method, description) = operations(&self.document)[operation];
        let parameters = description["parameters"].as_array().into_iter().flatten();
        let in_path = parameters.filter(|parameter| parameter["in"] == "path");
        let path = in_path.fold(path.to_owned(), |path, parameter| {
            let name = format!("{{{}}}", parameter["name"].as_str().unwrap());
            path.replace(&name, parameter["example"].as_str().unwrap())
        });
        (method.to_uppercase(), path)
    }

    fn request(&self, operation: &str, query: &str) -> request::Builder {
        let (method, path) = self.target(operation);
        self.log.request(&method, &format!("{path}{query}"))
    }

    /// Sends the operation's example request and records the answer.
    async fn exchange(&mut self, operation: &str, query: &str, status: u16) {
        let bodies = requests().remove(operation).unwrap_or_default();
        if bodies.is_empty() {
            self.answers(operation, self.request(operation, query).body(Body::empty()).unwrap(), status).await;
        }
        for (kind, body) in &bodies {
            let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let request = self.request(operation, query).header("content-type", kind).body(Body::from(text));
            self.answers(operation, request.unwrap(), status).await;
        }
        self.of(operation).request = bodies;
    }

    async fn answers(&mut self, operation: &str, request: Request<Body>, status: u16) {
        let bodies = self.send(request, status).await;
        self.of(operation).answers.entry(status.to_string()).or_default().extend(bodies);
    }

    async fn send(&self, request: Request<Body>, status: u16) -> Bodies {
        let what = format!("{} {}", request.method(), request.uri());
        let response = self.log.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        assert_eq!(head.status, status, "{what}");
        let kind = head.headers["content-type"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let text = if kind == "text/event-stream" {
            until_an_event(body).await
        } else {
            String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap()
        };
        let body = if kind == "application/json" { serde_json::from_str(&text).unwrap() } else { json!(text) };
        Bodies::from([(kind, body)])
    }

    async fn refused(&mut self, operation: &str, query: &str, body: &str, status: u16) {
        let request = self.request(operation, query).body(Body::from(body.to_owned())).unwrap();
        self.answers(operation, request, status).await;
    }

    fn of(&mut self, operation: &str) -> &mut Exchanges {
        self.examples.operations.entry(operation.to_owned()).or_default()
    }
}

async fn until_an_event(body: Body) -> String {
    let mut chunks = body.into_data_stream();
    let mut text = String::new();
    while !text.contains("data: ") {
        text += std::str::from_utf8(&chunks.next().await.unwrap().unwrap()).unwrap();
    }
    text
}

/// Records successful answers. Exports and tails come last, because the log records events about them.
async fn record_success(recorder: &mut Recorder) {
    recorder.exchange("register_provider", "", 200).await;
    recorder.exchange("log_events", "?wait_for=stored", 202).await;
    recorder.log.store.refuse_next("the document is nested too deeply");
    let refused = recorder.request("log_events", "?wait_for=stored").body(Body::from(paid("9", "success").to_string()));
    recorder.send(refused.unwrap(), 202).await;
    recorder.exchange("list_dead_letters", "?store=main", 200).await;
    let misspelt = paid("9", "success").to_string().replace("order-paid", "order-payed");
    recorder.send(recorder.request("log_events", "").body(Body::from(misspelt)).unwrap(), 400).await;
    recorder.log.await_rejected().await;
    recorder.exchange("list_rejected_events", "", 200).await;
    recorder.log.store.replace_becomes(Ok(Outcome::Stored));
    recorder.exchange("replay_dead_letters", "?store=main", 200).await;
    for operation in ["get_event", "list_providers", "live", "ready", "metrics", "openapi", "event_schema"] {
        recorder.exchange(operation, "", 200).await;
    }
    for (operation, query) in QUESTIONS {
        recorder.exchange(operation, query, 200).await;
    }
    for (operation, filter) in [("export_by_id", ""), ("export", "&filter=event.provider:shop")] {
        let formats = ["?format=json&fields=event.id,message", "?format=csv&columns=@timestamp,event.action,message"];
        for format in formats {
            recorder.exchange(operation, &format!("{format}{filter}"), 200).await;
        }
    }
    recorder.exchange("create_key", "", 201).await;
    recorder.exchange("list_keys", "", 200).await;
}

/// Records errors in requests.
async fn record_refusals(recorder: &mut Recorder) {
    let stranger = recorder.log.new_key("stranger", &[grant(Role::SpaceAuditor, &["other"], &[])]);
    for (operation, query) in QUESTIONS {
        let bound = if operation.starts_with("tail") { "since" } else { "start" };
        let and = if query.is_empty() { "?" } else { "&" };
        let odd = format!("{}{and}{bound}=yesterday", query.replace("since=1h&", ""));
        recorder.refused(operation, &odd, r#"{"ids":["7"]}"#, 400).await;
        let (method, path) = recorder.target(operation);
        let theirs = super::request_with(&stranger, &method, &format!("/s/shop{path}{query}"));
        recorder.answers(operation, theirs.body(Body::from(r#"{"ids":["7"]}"#)).unwrap(), 404).await;
    }
    for (operation, query, body) in [
        ("get_event", "?field=event", ""),
        ("log_events", "", r#"{"event":{"provider":"shop","action":"order-payed"}}"#),
        ("register_provider", "", r#"{"actions":"order-paid"}"#),
        ("create_key", "", r#"{"name":"shop","grants":[{"role":"owner"}]}"#),
        ("revoke_key", "?force=true", ""),
        ("list_rejected_events", "?from=first", ""),
        ("list_dead_letters", "?store=copies", ""),
        ("replay_dead_letters", "?store=copies", ""),
    ] {
        recorder.refused(operation, query, body, 400).await;
    }
    for operation in requests().into_keys() {
        let query = QUESTIONS.into_iter().find(|(name, _)| *name == operation).map_or("", |(_, query)| query);
        recorder.refused(operation, query, &" ".repeat(5 << 20), 413).await;
        let request = recorder.request(operation, query).header("content-type", "text/plain");
        recorder.answers(operation, request.body(Body::from("order 7")).unwrap(), 415).await;
    }
    recorder.refused("create_key", "", &requests()["create_key"]["application/json"].to_string(), 409).await;
    let last = recorder.log.request("DELETE", "/api/access/keys/admin").body(Body::empty()).unwrap();
    recorder.answers("revoke_key", last, 409).await;
    recorder.exchange("revoke_key", "", 200).await;
    recorder.refused("revoke_key", "", "", 404).await;
    recorder.refused("delete_provider", "?force=true", "", 400).await;
    let own = recorder.log.request("DELETE", "/api/event_log/providers/annals").body(Body::empty()).unwrap();
    recorder.answers("delete_provider", own, 409).await;
    recorder.exchange("delete_provider", "", 200).await;
    recorder.refused("delete_provider", "", "", 404).await;
    recorder.exchange("register_provider", "", 200).await;
    let absent = recorder.log.request("GET", "/api/event_log/events/11-paid").body(Body::empty()).unwrap();
    recorder.answers("get_event", absent, 404).await;
}

/// Records errors of the log.
async fn record_trouble(recorder: &mut Recorder) {
    recorder.log.store.be_away(Some(StoreError::Unavailable { reason: "away".to_owned(), retry_after: None }));
    for (operation, query) in QUESTIONS.into_iter().chain([("get_event", "")]) {
        recorder.refused(operation, query, r#"{"ids":["7"]}"#, 503).await;
    }
    recorder.log.writer.close();
    recorder.refused("log_events", "", &paid("7", "success").to_string(), 503).await;
    recorder.refused("ready", "", "", 503).await;
    fs::remove_dir_all(recorder.log._folder.path()).unwrap();
    recorder.refused("register_provider", "", r#"{"actions":["order-shipped"]}"#, 503).await;
    recorder.refused("delete_provider", "", "", 503).await;
    recorder.refused("create_key", "", r#"{"name":"other","grants":[{"role":"monitor"}]}"#, 503).await;
    let stranger = recorder.log.request("DELETE", "/api/access/keys/stranger").body(Body::empty()).unwrap();
    recorder.answers("revoke_key", stranger, 503).await;
    recorder.log = Log::with(Limits { request_timeout: Duration::from_millis(20), ..LIMITS });
    let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    recorder.answers("log_events", recorder.request("log_events", "").body(never).unwrap(), 408).await;
}

/// Records refusals of callers: no permission, and too many attempts.
async fn record_common(recorder: &mut Recorder) {
    recorder.log = Log::configured(&[("access.lockout.failures", "1")]);
    let monitor = recorder.log.new_key("monitor", &[grant(Role::Monitor, &[], &[])]);
    let wrong = || from("192.0.2.1", super::request_with("wrong", "GET", "/metrics"));
    recorder.send(wrong(), 401).await;
    let not_theirs = super::request_with(&monitor, "GET", "/api/access/keys").body(Body::empty()).unwrap();
    let without_key = Request::builder().uri("/metrics").body(Body::empty()).unwrap();
    for (request, status) in [(without_key, 401), (not_theirs, 403), (wrong(), 429)] {
        let bodies = recorder.send(request, status).await;
        recorder.examples.common.insert(status.to_string(), bodies);
    }
}

async fn recorded() -> Examples {
    let mut recorder = Recorder::new(Log::new());
    recorder.log.await_ready().await;
    record_success(&mut recorder).await;
    record_refusals(&mut recorder).await;
    record_trouble(&mut recorder).await;
    record_common(&mut recorder).await;
    let mut examples = recorder.examples;
    shorten(&mut examples);
    examples
}

/// Shortens the longest answers to their beginning.
fn shorten(examples: &mut Examples) {
    let mut body = |operation: &str, kind: &str, shorten: &dyn Fn(&mut Value)| {
        shorten(examples.operations.get_mut(operation).unwrap().answers.get_mut("200").unwrap().get_mut(kind).unwrap());
    };
    body("metrics", "application/openmetrics-text", &|text| {
        let of_intake = |line: &&str| line.contains("annals_intake_body_bytes") || *line == "# EOF";
        *text =
            text.as_str().unwrap().lines().filter(of_intake).map(|line| format!("{line}\n")).collect::<String>().into();
    });
    body("openapi", "application/json", &|document| {
        document.as_object_mut().unwrap().retain(|name, _| ["openapi", "info", "servers"].contains(&name.as_str()));
    });
    body("event_schema", "application/json", &|schema| {
        schema.as_object_mut().unwrap().retain(|name, _| ["$schema", "$id", "title", "type"].contains(&name.as_str()));
    });
}

/// Returns the answer with the values that differ in every log taken from the example.
fn as_in(example: &Value, answer: Value) -> Value {
    match (answer, example) {
        (Value::Object(members), Value::Object(example)) => members
            .into_iter()
            .map(|(name, value)| match example.get(&name) {
                Some(own) if OWN.contains(&name.as_str()) && own.is_string() == value.is_string() => {
                    (name, own.clone())
                }
                Some(example) => (name, as_in(example, value)),
                None => (name, value),
            })
            .collect(),
        (Value::Array(values), Value::Array(examples)) => {
            let beyond = std::iter::repeat(&Value::Null);
            values
                .into_iter()
                .zip(examples.iter().chain(beyond))
                .map(|(value, example)| as_in(example, value))
                .collect()
        }
        (Value::String(text), Value::String(example)) => {
            let lines = text.split('\n').zip(example.split('\n').chain(std::iter::repeat("")));
            lines.map(|(line, example)| line_as_in(example, line)).collect::<Vec<_>>().join("\n").into()
        }
        (answer, _) => answer,
    }
}

/// Does the same for a line of NDJSON or a message of a tail.
fn line_as_in(example: &str, line: &str) -> String {
    let (head, data) = if line.starts_with("data: ") { line.split_at(6) } else { ("", line) };
    match (serde_json::from_str(data), serde_json::from_str(example.trim_start_matches("data: "))) {
        (Ok(value @ Value::Object(_)), Ok(example)) => format!("{head}{}", as_in(&example, value)),
        _ if line.starts_with("id: ") && example.starts_with("id: ") => example.to_owned(),
        _ => line.to_owned(),
    }
}

#[tokio::test]
async fn the_examples_are_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/openapi/examples.json");
    let kept: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let answered = format!("{:#}\n", as_in(&kept, serde_json::to_value(recorded().await).unwrap()));
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &answered).unwrap();
        return;
    }
    let kept = format!("{kept:#}\n");
    let differing = answered.lines().zip(kept.lines()).find(|(answered, kept)| answered != kept);
    let how = "run this test with UPDATE_GOLDEN=1, and then those in contract";
    assert!(answered == kept, "src/http/openapi/examples.json is stale: {how}; the first difference: {differing:?}");
}

#[test]
fn every_body_of_the_document_has_an_example_that_its_schema_allows() {
    let document = document();
    let mut compiler = Compiler::new();
    compiler.add_resource("mem:///openapi.json", document.clone()).unwrap();
    let mut schemas = Schemas::new();
    let mut check = |place: &str, described: &Value| {
        let example = described.get("example").unwrap_or_else(|| panic!("{place} has no example"));
        let schema = compiler.compile(&format!("mem:///openapi.json#{place}/schema"), &mut schemas).unwrap();
        schemas.validate(example, schema).unwrap_or_else(|error| panic!("{place}: {error:#}"));
    };
    let escaped = |name: &str| name.replace('~', "~0").replace('/', "~1").replace('{', "%7B").replace('}', "%7D");
    for (path, method, operation) in operations(&document).into_values() {
        let place = format!("/paths/{}/{method}", escaped(path));
        let request = operation.get("requestBody").map(|body| (format!("{place}/requestBody"), body));
        let answers = operation["responses"].as_object().unwrap().iter();
        let answers = answers.map(|(status, answer)| (format!("{place}/responses/{status}"), answer));
        for (place, body) in request.into_iter().chain(answers) {
            for (kind, content) in body["content"].as_object().unwrap() {
                check(&format!("{place}/content/{}", escaped(kind)), content);
            }
        }
        for (index, parameter) in operation["parameters"].as_array().into_iter().flatten().enumerate() {
            if parameter["in"] == "path" || parameter.get("example").is_some() {
                check(&format!("{place}/parameters/{index}"), parameter);
            }
        }
    }
}

#[tokio::test]
async fn each_operation_records_the_action_in_its_description() {
    let mut recorder = Recorder::new(Log::configured(&[("access.log_finds", "true")]));
    recorder.log.await_ready().await;
    let first = [
        ("register_provider", "", 200),
        ("log_events", "?wait_for=stored", 202),
        ("get_event", "", 200),
        ("list_providers", "", 200),
        ("list_rejected_events", "", 200),
        ("list_dead_letters", "", 200),
        ("replay_dead_letters", "?store=main", 200),
        ("create_key", "", 201),
        ("list_keys", "", 200),
        ("revoke_key", "", 200),
        ("live", "", 200),
        ("ready", "", 200),
        ("metrics", "", 200),
        ("openapi", "", 200),
        ("event_schema", "", 200),
    ];
    let questions = QUESTIONS.map(|(operation, query)| (operation, query, 200));
    let mut expected = Vec::new();
    let last = [("delete_provider", "", 200)];
    for (operation, query, status) in first.into_iter().chain(questions).chain(last) {
        recorder.exchange(operation, query, status).await;
        let (_, _, description) = operations(&recorder.document)[operation];
        expected.extend(description.get("x-annals-records").map(|action| action.as_str().unwrap().to_owned()));
    }
    assert_eq!(recorder.examples.operations.len(), operations(&recorder.document).len());
    // Recorded last, so that nothing more can follow.
    recorder.send(from("192.0.2.1", super::request_with("wrong", "GET", "/metrics")), 401).await;
    expected.push("authentication-failed".to_owned());
    let own = recorder.log.store.own_events(expected.len()).await;
    let recorded: Vec<_> = own.iter().map(|event| event["event"]["action"].as_str().unwrap()).collect();
    assert_eq!(recorded, expected);
}

#[tokio::test]
async fn without_a_key_every_operation_but_health_has_the_same_answer() {
    let recorder = Recorder::new(Log::new());
    let expected = &Examples::read().unwrap().common["401"];
    for operation in operations(&recorder.document).into_keys() {
        let (method, path) = recorder.target(operation);
        if OPEN.contains(&path.as_str()) {
            continue;
        }
        let request = Request::builder().method(method.as_str()).uri(path).body(Body::empty()).unwrap();
        assert_eq!(&recorder.send(request, 401).await, expected, "{operation}");
    }
}
