//! The shapes in which programs send ECS: as logging libraries and agents write it, with dotted names or objects, single
//! values or arrays.

use serde_json::{Value, json};

use super::{super::*, contents};

/// Returns the content of an event as a program sent it, once it has a provider and an action.
fn accepted(mut event: Value) -> Result<Value, Vec<Violation>> {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("providers.json"), Limits::default()).unwrap();
    let registration = Registration { actions: vec!["log".to_owned()], ..Registration::default() };
    registry.register("service", None, registration, |_| Ok::<_, RegisterError>(())).unwrap();
    let source = Source { node: "n".to_owned(), server_uuid: "uuid".to_owned(), version: "1.2.3".to_owned() };
    let intake = Intake::new(Arc::new(registry), Limits::default(), Arc::new(super::FixedClock), &source);
    event["event.provider"] = "service".into();
    event["event.action"] = "log".into();
    let mut accepted = intake.accept(&Author::anyone(), None, event.to_string().as_bytes()).unwrap();
    match accepted.items.remove(0) {
        Item::Rejected(violations) => Err(violations),
        Item::Accepted { .. } | Item::Filtered => Ok(contents(&accepted).remove(0)),
    }
}

/// Checks that the event is accepted, and has these members at these paths.
fn check(event: Value, expected: &[(&str, Value)]) {
    let content = accepted(event.clone()).unwrap_or_else(|violations| panic!("{event}: {violations:?}"));
    for (path, value) in expected {
        assert_eq!(crate::query::value_at(&content, path), Some(value), "{path} of {content}");
    }
}

#[test]
fn changes_have_values_of_any_type_as_texts() {
    let changes = json!([
        {"field": "limit", "from": 250.50, "to": 1e3}, {"field": "active", "from": false, "to": true},
        {"field": "email", "to": "ann@example.org"}
    ]);
    check(
        json!({"annals": {"changes": changes}, "kibana.saved_objects": [{"type": "user", "id": "7", "name": "Ann"}]}),
        &[
            (
                "annals.changes",
                json!([
                    {"field": "limit", "from": "250.5", "to": "1000"}, {"field": "active", "from": "false", "to": "true"},
                    {"field": "email", "to": "ann@example.org"}
                ]),
            ),
            ("kibana.saved_objects", json!([{"id": "7", "name": "Ann", "type": "user"}])),
        ],
    );
    for value in [json!(null), json!({}), json!([1, 2])] {
        let refused = accepted(json!({"annals": {"changes": [{"field": "x", "to": value}]}})).unwrap_err();
        assert_eq!(
            (refused[0].path.as_str(), refused[0].expected.as_str()),
            ("annals.changes[0].to", "a text, a number or a boolean")
        );
    }
    assert_eq!(accepted(json!({"message": 5})).unwrap_err()[0].expected, "a text");
}

#[test]
fn what_logging_libraries_send_is_accepted() {
    // Python
    check(
        json!({
            "@timestamp": "2026-11-24T12:00:00.123Z", "log.level": "info", "message": "hello", "ecs.version": "1.6.0",
            "log": {"logger": "app", "original": "hello", "origin": {"function": "run", "file": {"line": 14, "name": "app.py"}}},
            "process": {"name": "MainProcess", "pid": 7, "thread": {"id": 140_735_194_021_760_i64, "name": "MainThread"}},
            "error": {"type": "ValueError", "message": "no", "stack_trace": "Traceback:\n  File"},
        }),
        &[
            ("log.level", "info".into()),
            ("log.origin.file.line", 14.into()),
            ("process.thread.id", 140_735_194_021_760_i64.into()),
        ],
    );
    // Node.js: pino, winston, morgan
    check(
        json!({
            "log.level": "info", "@timestamp": "2026-11-24T12:00:00.123Z", "process.pid": 7, "host.hostname": "h",
            "ecs.version": "8.10.0", "message": "request completed",
            "http": {
                "version": "1.1",
                "request": {"method": "GET", "id": "1", "headers": {"host": "localhost:3000", "accept": "*/*", "x-many": ["a", "b"]}, "body": {"bytes": 0}},
                "response": {"status_code": 200, "headers": {"content-length": 12, "keep-alive": "timeout=5"}, "body": {"bytes": 12}},
            },
            "url": {"full": "http://localhost:3000/", "path": "/", "domain": "localhost", "port": 3000},
            "client": {"ip": "::1", "address": "::1", "port": 50_000}, "user_agent": {"original": "curl/8"},
            "event": {"duration": 1_500_000}, "trace": {"id": "t"}, "transaction.id": "x", "span": {"id": "s"},
            "service.name": "s", "service": {"version": "1", "environment": "e", "node": {"name": "n"}}, "event.dataset": "s",
        }),
        &[
            ("http.request.headers.x-many", json!(["a", "b"])),
            ("event.duration", "1500000".into()),
            ("service.node.name", "n".into()),
        ],
    );
    // Java: logback, log4j
    check(
        json!({
            "@timestamp": "2026-11-24T12:00:00.123Z", "log.level": "ERROR", "message": "m", "ecs.version": "1.2.0",
            "service.name": "s", "event.dataset": "s", "process.thread.name": "main", "log.logger": "org.example.A",
            "log.origin": {"file.name": "A.java", "function": "a", "file.line": 3},
            "error.type": "java.lang.Exception", "error.message": "e", "error.stack_trace": ["java.lang.Exception: e\n\tat A.a(A.java:3)"],
            "tags": "one", "labels": {"tenant": "t"},
        }),
        &[
            ("log.origin.file.name", "A.java".into()),
            ("tags", json!(["one"])),
            ("error.stack_trace", "java.lang.Exception: e\n\tat A.a(A.java:3)".into()),
        ],
    );
    // Spring Boot, flat and nested
    check(
        json!({
            "@timestamp": "2026-11-24T10:15:00.067462556Z", "log.level": "INFO", "process.pid": 39_599, "process.thread.name": "main",
            "service.name": "s", "service.node.name": "n", "log.logger": "org.example.Application", "message": "m", "ecs.version": "8.11",
        }),
        &[("@timestamp", "2026-11-24T10:15:00.067462556Z".into()), ("process.pid", 39_599.into())],
    );
    check(
        json!({
            "@timestamp": "2026-11-24T10:15:00.067462556Z", "log": {"level": "INFO", "logger": "org.example.Application"},
            "process": {"pid": 39_599, "thread": {"name": "main"}}, "service": {"name": "s", "node": {}}, "message": "m",
            "ecs": {"version": "8.11"}, "tags": ["a"],
        }),
        &[("log.logger", "org.example.Application".into())],
    );
    // Quarkus
    check(
        json!({
            "@timestamp": "2026-11-24T13:15:00.067+01:00", "log.logger": "io.quarkus", "log.level": "INFO", "message": "started",
            "process.name": "app.jar", "process.pid": 7, "process.thread.name": "main", "process.thread.id": 1, "host.hostname": "h",
            "ecs.version": "1.12.2", "data_stream.type": "logs", "service.name": "s", "service.version": "1", "service.environment": "e",
        }),
        &[("@timestamp", "2026-11-24T12:15:00.067Z".into()), ("data_stream.type", "logs".into())],
    );
}

#[test]
fn single_values_and_arrays_take_one_form() {
    check(
        json!({
            "event": {"kind": "event", "category": "web", "type": ["access"], "outcome": ["success"]},
            "host": {"ip": "10.0.0.1", "mac": "00-00-5E-00-53-23", "name": ["h"]},
            "related.ip": ["10.0.0.1"], "file": {"pe": {"imports": {"dll": "a"}, "sections": {"name": ".text"}}},
            "dns": {"answers": {"name": "a"}, "resolved_ip": "10.0.0.1"},
            "source": {"geo": {"location": {"lon": "2.5", "lat": 48}}}, "client.geo.location": [2.5, 48],
        }),
        &[
            ("event.category", json!(["web"])),
            ("event.type", json!(["access"])),
            ("event.outcome", "success".into()),
            ("host.ip", json!(["10.0.0.1"])),
            ("host.name", "h".into()),
            ("file.pe.imports", json!([{"dll": "a"}])),
            ("file.pe.sections", json!([{"name": ".text"}])),
            ("dns.answers", json!([{"name": "a"}])),
            ("source.geo.location", json!({"lat": 48, "lon": 2.5})),
            ("client.geo.location", json!({"lat": 48, "lon": 2.5})),
        ],
    );
    let found = |event: Value| accepted(event).unwrap_err().remove(0);
    let several = found(json!({"host": {"name": ["a", "b"]}}));
    assert_eq!([several.path, several.expected, several.found], ["host.name", "a text", "an array"]);
    assert_eq!(found(json!({"host": {"name": [["a"]]}})).path, "host.name");
    assert_eq!(found(json!({"host": {"name": []}})).path, "host.name");
    assert_eq!(found(json!({"host": {"ip": "somewhere"}})).expected, "an IPv4 or IPv6 address");
}

#[test]
fn arrays_of_objects_are_read_at_any_depth() {
    let event = json!({
        "threat": {"enrichments": [
            {"matched.field": "f", "indicator": {"file": {"elf": {"sections": [{"physical_size": 1, "name": "b"}, {"name": "a"}]}, "name": "n"}}},
            {},
            {"indicator": {"ip": "10.0.0.1", "file.attributes": "hidden"}},
        ]},
        "email.attachments": {"file": {"size": "5", "name": "a.txt"}},
    });
    check(
        event,
        &[
            (
                "threat.enrichments",
                json!([
                    {"indicator": {"file": {"elf": {"sections": [{"name": "b", "physical_size": 1}, {"name": "a"}]}, "name": "n"}}, "matched": {"field": "f"}},
                    {},
                    {"indicator": {"file": {"attributes": ["hidden"]}, "ip": "10.0.0.1"}},
                ]),
            ),
            ("email.attachments", json!([{"file": {"name": "a.txt", "size": 5}}])),
        ],
    );
    let sections = json!([{"name": "a"}, {"name": 5}, {"nam": "a"}]);
    let event = json!({"threat": {"enrichments": [{}, {"indicator": {"file": {"elf": {"sections": sections}}}}]}});
    let violations: Vec<_> = accepted(event).unwrap_err().into_iter().map(|violation| violation.path).collect();
    let within = "threat.enrichments[1].indicator.file.elf.sections";
    assert_eq!(violations, [format!("{within}[1].name"), format!("{within}[2].nam")]);
}

#[test]
fn a_body_leaves_nothing_behind_for_the_next() {
    let (intake, _folder) = super::intake_with(Value::Null);
    let accept = |body: &str| intake.accept(&Author::anyone(), None, body.as_bytes()).unwrap();
    let good = r#"{"event":{"provider":"p","action":"a","id":"i"},"dns.answers":[{"name":"a"}],"kibana":{"saved_objects":[{"id":"b"}]}}"#;
    let expected = contents(&accept(good));
    for broken in [
        r#"{"event":{"provider":"p","action":5,"nmae":1},"message":"left","dns.answers":[{"name":"x","ttl":"no"}]}"#
            .to_owned(),
        r#"{"event":{"provider":"p"},"kibana":{"saved_objects":[{"id":"x","type":"#.to_owned(),
        format!(r#"{{"event":{{"nmae":1}},{}"x":1}}"#, r#""y":1,"#.repeat(200)),
    ] {
        assert!(accept(&broken).items[0].violations().is_some());
        let after = accept(good);
        assert_eq!(after.items, [Item::Accepted { id: "i".to_owned() }]);
        assert_eq!(contents(&after), expected);
        assert_eq!(accept(&broken).items, accept(&broken).items, "guesses and errors are counted for each body");
    }
}

/// The content is canonical, whatever the order of members.
#[test]
fn the_example_with_every_field_is_accepted_as_it_is() {
    let example: Value = serde_json::from_str(include_str!("../../../tests/golden/events/every-field.json")).unwrap();
    let mut event = example.clone();
    event["event"].as_object_mut().unwrap().retain(|name, _| name != "provider" && name != "action");
    let content = accepted(event).unwrap();
    for field in crate::schema::fields() {
        let is_set =
            field.set_by == crate::schema::SetBy::Client && !matches!(field.path, "event.provider" | "event.action");
        let (expected, found) = (value(&example, field.path), value(&content, field.path));
        if is_set && !matches!(field.path, "annals.payload" | "labels") {
            assert!(expected.is_some() && expected == found, "{}: {expected:?}, {found:?}", field.path);
        }
    }
}

/// The value at a path, through the first element of each array.
fn value<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(document, |value, name| match value {
        Value::Array(elements) => elements.first()?.get(name),
        value => value.get(name),
    })
}
