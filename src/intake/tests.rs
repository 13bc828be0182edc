#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod labels;
mod numbers;
mod origin;
mod shapes;
mod texts;
mod unknown;
mod warnings;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    integrity::{Chain, DocumentKind},
    time::format_time,
};

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_795_482_000_123)
    }
}

fn intake_with(defaults: Value) -> (Intake, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let limits =
        Limits { max_event_bytes: 4000, max_batch_events: 20, max_depth: 8, max_array_length: 5, ..Limits::default() };
    let registry = Registry::open(folder.path().join("providers.json"), limits).unwrap();
    registry.register("p", None, registration(&["a", "b"], defaults), |_| Ok::<_, RegisterError>(())).unwrap();
    let intake = Intake::new(
        Arc::new(registry),
        limits,
        Arc::new(FixedClock),
        &Source { node: "node-1".to_owned(), server_uuid: "uuid".to_owned(), version: "1.2.3".to_owned() },
    );
    (intake, folder)
}

fn accept(body: &str) -> Accepted {
    intake_with(Value::Null).0.accept(&Author::anyone(), None, body.as_bytes()).unwrap()
}

#[test]
fn what_is_made_from_a_body_is_limited_with_defaults_and_errors_included() {
    let defaults = serde_json::json!({"message": "x".repeat(4000)});
    let (intake, _folder) = intake_with(defaults);
    let tiny = r#"{"event":{"provider":"p","action":"a"}}"#;
    for body in [format!("{tiny}\n").repeat(20), "1\n".repeat(20)] {
        let likely = intake.likely_bytes(body.as_bytes());
        let accepted = intake.accept(&Author::anyone(), None, body.as_bytes()).unwrap();
        let memory = accepted.memory();
        assert!(memory >= accepted.contents.total_bytes() && memory > 20 * super::ITEM_BYTES);
        assert!(body.starts_with('1') || (memory..=2 * memory).contains(&likely), "{likely} for {memory}");
        let within = |most| intake.accept_within(&Author::anyone(), None, body.as_bytes(), most).err();
        assert_eq!(within(memory), None);
        assert_eq!(within(memory - 1), Some(BodyError::TooMuch { limit: memory - 1 }));
    }
}

#[test]
fn configured_limits_do_not_apply_to_the_log_itself() {
    let (intake, _folder) = intake_with(Value::Null);
    let line = format!(r#"{{"event":{{"provider":"p","action":"a"}},"message":"{}"}}"#, "x".repeat(5000));
    let body = vec![line; 30].join("\n");
    assert!(intake.accept(&Author::anyone(), None, body.as_bytes()).is_err());
    assert_eq!(intake.accept(&Author::log(), None, body.as_bytes()).unwrap().contents.len(), 30);
}

/// Returns the contents as JSON.
fn contents(accepted: &Accepted) -> Vec<Value> {
    let parse = |content: ContentRef<'_>| serde_json::from_slice(content.bytes).unwrap();
    accepted.contents.iter().map(parse).collect()
}

fn violations(body: &str) -> Vec<(String, String, String)> {
    match accept(body).items.remove(0) {
        Item::Rejected(violations) => violations.into_iter().map(|v| (v.path, v.expected, v.found)).collect(),
        item => panic!("{item:?}"),
    }
}

fn event(extra: &str) -> String {
    format!(r#"{{"event":{{"provider":"p","action":"a","id":"i"}}{extra}}}"#)
}

#[test]
fn an_event_is_completed_and_written_in_canonical_form() {
    let accepted = accept(&event(r#" , "message" : "caf\u00e9\/" , "tags":["b","a"],"event.duration":"0012" "#));
    assert_eq!(accepted.items, [Item::Accepted { id: "i".to_owned() }]);
    let content = accepted.contents.iter().next().unwrap();
    let expected = format!(
        concat!(
            r#"{{"@timestamp":"{}","annals":{{"node":"node-1","principal":{{"name":"anyone","realm":"none"}},"severity":"informational","severity_number":9,"stream":"general"}},"#,
            r#""ecs":{{"version":"{}"}},"event":{{"action":"a","duration":"12","id":"i","provider":"p"}},"#,
            r#""kibana":{{"server_uuid":"uuid","space_ids":["default"],"version":"1.2.3"}},"message":"café/","tags":["b","a"]}}"#
        ),
        format_time(FixedClock.now()),
        ECS_VERSION
    );
    assert_eq!(String::from_utf8_lossy(content.bytes), expected);
    assert!(content.bytes[..content.annals_at].ends_with(b"\"annals\":{"));
}

#[test]
fn every_violation_is_reported_with_path_expected_and_found() {
    let body = r#"{"event":{"provider":"p","action":"a","durration":1,"start":"yesterday"},"annals":{"sequence":3},
        "kibana":{"saved_objects":[{"rel":"primary"},{"tpye":"x","rel":5}]},"tags":5,"message":null,"error":7}"#;
    let body = body.replace('\n', " ");
    let found = violations(&body);
    let as_text: Vec<String> = found.iter().map(|(p, e, f)| format!("{p}: expected {e}, found {f}")).collect();
    assert_eq!(
        as_text,
        [
            "event.durration: expected a known field (did you mean event.duration? Otherwise, own data fits into labels, annals.payload or fields of events.fields_file, or is kept by events.unknown_fields), found an unknown field",
            "event.start: expected a date and time in RFC 3339, such as \"2026-11-24T12:00:00.000Z\", found \"yesterday\"",
            "annals.sequence: expected nothing, because the log sets it, found 3",
            "kibana.saved_objects[1].tpye: expected a known field (did you mean kibana.saved_objects.type?), found an unknown field",
            "kibana.saved_objects[1].rel: expected a text, found 5",
            "tags: expected an array of texts, found 5",
            "message: expected a text, found null",
            "error: expected an object, found 7",
        ]
    );
}

#[test]
fn violations_beyond_the_limit_are_only_counted() {
    let found = violations(&event(&r#","mesage":1"#.repeat(150)));
    assert_eq!(found.len(), 101);
    assert_eq!(found.iter().filter(|(_, expected, _)| expected.contains("did you mean message")).count(), 10);
    let last = ("", "no errors besides the 100 before", "50 more");
    assert_eq!(found.last().map(|(p, e, f)| (p.as_str(), e.as_str(), f.as_str())), Some(last));
    let (path, ..) = &violations(&event(&format!(r#","{}":1"#, "é".repeat(1000))))[0];
    assert_eq!(*path, format!("{}…", "é".repeat(250)));
    let labels: Vec<_> = (0..7).map(|number| format!(r#""{number}":1"#)).collect();
    let labels = format!(r#"{{"a":1,"b":1,"c":1,"d":1,"e":1,{}}}"#, labels.join(","));
    let (path, expected, found) = &violations(&event(&format!(r#","labels":{labels}"#)))[0];
    assert_eq!((path.as_str(), expected.as_str(), found.as_str()), ("labels", "at most 5 members", "12 members"));
}

#[test]
fn the_length_of_a_text_is_that_without_escapes() {
    let id = |text: &str| event("").replace(r#""id":"i""#, &format!(r#""id":"{text}""#));
    for (one, count) in [("x", 1_024), (r#"\""#, 1_024), (r"\\", 1_024), (r"\n", 1_024), (r"\u0001", 600)] {
        assert!(matches!(accept(&id(&one.repeat(count))).items[0], Item::Accepted { .. }), "{one}");
    }
    let (path, expected, found) = &violations(&id(&r"\n".repeat(1_025)))[0];
    assert_eq!([path, expected, found], ["event.id", "a text of at most 1024 bytes", "1025 bytes"]);
}

/// The engines accept 10,000 nested objects per event, whatever is configured.
#[test]
fn nested_objects_are_limited_as_in_the_engines() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { max_array_length: 100_000, ..Limits::default() };
    let registry = Registry::open(folder.path().join("providers.json"), limits).unwrap();
    let intake = Intake::new(
        Arc::new(registry),
        limits,
        Arc::new(FixedClock),
        &Source { node: "node-1".to_owned(), server_uuid: "uuid".to_owned(), version: "1.2.3".to_owned() },
    );
    let nested = |count: usize| {
        let body = event(&format!(r#","kibana.saved_objects":[{}]"#, vec!["{}"; count].join(",")));
        match intake.accept(&Author::anyone(), None, body.as_bytes()).unwrap().items.remove(0) {
            Item::Rejected(violations) => violations[0].clone(),
            item => panic!("{item:?}"),
        }
    };
    assert_eq!(nested(5_000).path, "event.provider");
    assert_eq!(
        (nested(5_001).path.as_str(), nested(5_001).expected.as_str()),
        ("kibana.saved_objects", "at most 5000 objects in all arrays of objects")
    );
    let two = |count: usize| {
        let sections = vec!["{}"; count].join(",");
        format!(r#","kibana.saved_objects":[{}],"file.pe.sections":[{sections}]"#, vec!["{}"; 2_500].join(","))
    };
    let found = |count: usize| {
        let body = event(&two(count));
        match intake.accept(&Author::anyone(), None, body.as_bytes()).unwrap().items.remove(0) {
            Item::Rejected(violations) => violations[0].path.clone(),
            item => panic!("{item:?}"),
        }
    };
    assert_eq!((found(2_500).as_str(), found(2_501).as_str()), ("event.provider", "file.pe.sections"));
}

#[test]
fn an_event_that_is_too_long_does_not_affect_others() {
    let good = event("");
    let long = |extra: &str, length: usize| {
        let event = event(&format!(r#"{extra},"message":"""#));
        event.replace(r#"message":""#, &format!(r#"message":"{}"#, "x".repeat(length - event.len())))
    };
    let whole = |item: &Item| match item {
        Item::Accepted { .. } => "accepted".to_owned(),
        Item::Rejected(violations) => {
            violations.iter().map(|v| format!("{}, found {};", v.expected, v.found)).collect()
        }
        Item::Filtered => unreachable!(),
    };
    let deep = format!(r#","annals.payload":{}{}"#, "[".repeat(8), "]".repeat(8));
    for extra in ["", r#","x":1,"tags":5"#, r#","labels":{"a":1}"#, &deep] {
        for length in [3900, 3999, 4000, 4001, 4002, 9000] {
            let long = long(extra, length);
            assert_eq!(long.len(), length);
            let lines: Vec<_> =
                accept(&[&good, &long, &good].map(String::as_str).join("\n")).items.iter().map(whole).collect();
            let array: Vec<_> = accept(&format!("[{good} , {long} ,{good}]")).items.iter().map(whole).collect();
            assert_eq!(lines, array);
            assert_eq!(lines.len(), 3);
            if length > 4000 {
                assert_eq!(lines[1], format!("an event of at most 4000 bytes, found {length} bytes;"));
            }
        }
    }
    let broken = long("", 5000).replace("}", "");
    assert_eq!(violations(&broken)[0].1, "an event of at most 4000 bytes");
    let (intake, _folder) = intake_with(Value::Null);
    let error = intake.accept(&Author::anyone(), None, format!("[{broken}]").as_bytes()).err();
    assert!(matches!(error, Some(BodyError::NotJson { offset, .. }) if offset == broken.len() + 1), "{error:?}");
}

#[test]
fn a_value_of_the_wrong_kind_or_out_of_bounds_is_refused() {
    for (extra, path) in [
        (r#","event.duration":1.5"#, "event.duration"),
        (r#","event.duration":"9223372036854775808""#, "event.duration"),
        (r#","event.duration":"+5""#, "event.duration"),
        (r#","event.duration":"abc""#, "event.duration"),
        (r#","event.severity":9007199254740993"#, "event.severity"),
        (r#","event.severity":"5.0""#, "event.severity"),
        (r#","event.severity":"9007199254740992""#, "event.severity"),
        (r#","event.risk_score":1e999"#, "event.risk_score"),
        (r#","event.risk_score":1e39"#, "event.risk_score"),
        (r#","event.risk_score":-3.4028235677973366e38"#, "event.risk_score"),
        (r#","source.ip":"300.1.1.1""#, "source.ip"),
        (r#","annals.code":40000"#, "annals.code"),
        (r#","annals.severity":"loud""#, "annals.severity"),
        (r#","event.outcome":"maybe""#, "event.outcome"),
        (r#","tags":["1","2","3","4","5","6"]"#, "tags"),
        (r#","labels":{"a":[]}"#, "labels.a"),
        (r#","labels":{"a":1,"a":2}"#, "labels"),
        (r#","event.severity":-9223372036854775808"#, "event.severity"),
        (r#","event.severity":"-9223372036854775808""#, "event.severity"),
        (r#","event.severity":4503599627370496.3"#, "event.severity"),
        (r#","event.severity":1e16"#, "event.severity"),
        (r#","event.duration":9223372036854775808"#, "event.duration"),
        (r#","event.duration":1e19"#, "event.duration"),
        (r#","event.risk_score":9007199254740993"#, "event.risk_score"),
        (r#","http.request.headers":{"n":9007199254740993}"#, "http.request.headers.n"),
        (r#","http.request.headers":{"":1}"#, "http.request.headers"),
        (r#","annals.payload":{"n":1e400}"#, "annals.payload.n"),
        (r#","annals.payload":{"n":1,"n":1}"#, "annals.payload"),
        (r#","labels":{"n":-1e400}"#, "labels.n"),
        (r#","event.action":"b""#, "event.action"),
        (r#","event":{"kind":"event"}"#, "event"),
        (r#","annals.seal":"x""#, "annals.seal"),
        (r#","annals.hash":"x""#, "annals.hash"),
        (r#","kibana.saved_objects":[{"rel":"secondary"}]"#, "kibana.saved_objects[0].rel"),
    ] {
        let found = violations(&event(extra));
        assert_eq!(found.iter().map(|(p, ..)| p.as_str()).collect::<Vec<_>>(), [path], "{extra}: {found:?}");
    }
}

#[test]
fn long_numbers_stay_exact_and_have_one_form() {
    for (given, form) in [
        ("9223372036854775807", "9223372036854775807"),
        ("\"9007199254740993\"", "9007199254740993"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1e18", "1000000000000000000"),
        ("1.5e3", "1500"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("\"-007\"", "-7"),
    ] {
        let accepted = accept(&event(&format!(r#","event.duration":{given}"#)));
        assert_eq!(contents(&accepted)[0]["event"]["duration"], json!(form), "{given}");
    }
}

#[test]
fn provider_and_action_must_be_registered() {
    for (body, path) in [
        (r#"{"event":{"provider":"x","action":"a"}}"#, "event.provider"),
        (r#"{"event":{"provider":"p","action":"x"}}"#, "event.action"),
        (r#"{"event":{"provider":"","action":"a"}}"#, "event.provider"),
        (r#"{"event":{"provider":"p"}}"#, "event.action"),
        (r#"{"event":{"provider":5,"action":"a"}}"#, "event.provider"),
    ] {
        assert_eq!(violations(body)[0].0, path, "{body}");
    }
    assert_eq!(violations("{}").len(), 2);
}

#[test]
fn the_events_of_a_body_are_judged_one_by_one() {
    let good = event("");
    let rejected = |item: &Item| matches!(item, Item::Rejected(_));
    for (body, expected) in [
        (good.clone(), vec![false]),
        (format!("{good}\n{{bad\n\n5\n{good}\r\n"), vec![false, true, true, false]),
        (format!("[{good}, 5 ,{good}]"), vec![false, true, false]),
        (good.replace(',', "\n,").replacen('{', "{ \n", 1), vec![false]),
        (format!("{good} {good}\n{good}"), vec![true, false]),
    ] {
        let found: Vec<bool> = accept(&body).items.iter().map(rejected).collect();
        assert_eq!(found, expected, "{body}");
    }
    let (intake, _folder) = intake_with(Value::Null);
    let not_utf8 = [good.as_bytes(), b"\n{\"message\":\"\xff\"}\n", good.as_bytes()].concat();
    assert_eq!(
        intake.accept(&Author::anyone(), None, &not_utf8).unwrap().items.iter().map(rejected).collect::<Vec<_>>(),
        [false, true, false]
    );
    assert_eq!(intake.accept(&Author::anyone(), None, b" \n ").err(), Some(BodyError::Empty));
    assert_eq!(intake.accept(&Author::anyone(), None, b"[]").err(), Some(BodyError::Empty));
    assert!(matches!(intake.accept(&Author::anyone(), None, b"[{]").err(), Some(BodyError::NotJson { offset: 2, .. })));
    let many = vec![good; 21].join("\n");
    assert_eq!(intake.accept(&Author::anyone(), None, many.as_bytes()).err(), Some(BodyError::TooMany { limit: 20 }));
    assert_eq!(
        violations(&event(&format!(r#","message":"{}""#, "x".repeat(4000))))[0].1,
        "an event of at most 4000 bytes"
    );
    let deep = event(&format!(r#","annals.payload":{}{}"#, "[".repeat(9), "]".repeat(9)));
    assert_eq!(violations(&deep)[0].1, "less nesting");
}

#[test]
fn defaults_lie_under_the_event() {
    let defaults =
        json!({"event": {"kind": "event", "action": "b"}, "labels": {"env": "prod", "x": "default"}, "tags": ["d"]});
    let (intake, _folder) = intake_with(defaults);
    let accepted =
        intake.accept(&Author::anyone(), None, br#"{"event":{"provider":"p"},"labels":{"x":"own"}}"#).unwrap();
    let content = &contents(&accepted)[0];
    assert_eq!(content["event"]["action"], "b");
    assert_eq!(content["event"]["kind"], "event");
    assert_eq!(content["labels"], json!({"env": "prod", "x": "own"}));
    assert_eq!(content["tags"], json!(["d"]));
    let accepted =
        intake.accept(&Author::anyone(), None, br#"{"event":{"provider":"p","action":"a"},"tags":[]}"#).unwrap();
    assert_eq!(contents(&accepted)[0]["event"]["action"], "a");
    assert_eq!(contents(&accepted)[0]["tags"], json!([]));
}

#[test]
fn severity_is_explicit_or_derived_from_level_or_outcome() {
    for (extra, severity) in [
        (r#","annals.severity":"fatal","log.level":"debug""#, "fatal"),
        (r#","log.level":"WARN","event.outcome":"success""#, "warning"),
        (r#","log.level":"crit""#, "critical"),
        (r#","log.level":"whatever","event.outcome":"failure""#, "warning"),
        (r#","event.outcome":"failure""#, "warning"),
        (r#","event.outcome":"success""#, "informational"),
        ("", "informational"),
    ] {
        assert_eq!(contents(&accept(&event(extra)))[0]["annals"]["severity"], severity, "{extra}");
    }
}

#[test]
fn a_name_denotes_a_member_of_its_own_object_whatever_came_before() {
    let lines = [
        r#"{"event":{"provider":"p","action":"a"}}"#,
        r#"{"event.provider":"p","event.action":"a"}"#,
        r#"{"event.provider":"p","action":"a"}"#,
    ];
    let accepted = accept(&lines.join("\n"));
    assert!(matches!(&accepted.items[..], [Item::Accepted { .. }, Item::Accepted { .. }, Item::Rejected(_)]));
    let Item::Rejected(violations) = &accepted.items[2] else { unreachable!() };
    assert_eq!(violations[0].path, "action");
}

#[test]
fn payloads_are_kept_as_canonical_text() {
    let accepted = accept(&event(r#","annals":{"payload":{"b": 1.0, "a":[true,"x"]}}"#));
    assert_eq!(contents(&accepted)[0]["annals"]["payload"], json!(r#"{"a":[true,"x"],"b":1}"#));
}

fn registration(actions: &[&str], defaults: Value) -> Registration {
    let actions = actions.iter().map(|action| (*action).to_owned()).collect();
    Registration { actions, defaults: defaults.as_object().cloned(), ..Registration::default() }
}

#[test]
fn registrations_add_up_and_survive_a_restart() {
    let (intake, folder) = intake_with(json!({"message": "m"}));
    let change = intake
        .registry()
        .register("p", None, registration(&["c"], Value::Null), |_| Ok::<_, RegisterError>(()))
        .unwrap();
    assert_eq!(change.before.unwrap().actions, ["a", "b"]);
    assert_eq!(change.after, registration(&["a", "b", "c"], json!({"message": "m"})));
    let again = Registry::open(folder.path().join("providers.json"), Limits::default()).unwrap();
    assert_eq!(again.list(None)["p"], change.after);
    let refused = |actions: &[&str], defaults: Value| {
        again
            .register("q", None, registration(actions, defaults), |_| Ok::<_, RegisterError>(()))
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&["a"], json!({"mesage": 1})).starts_with("defaults.mesage: expected a known field"));
    assert!(refused(&[], Value::Null).starts_with("actions: expected"));
    assert!(refused(&["a"], json!({"annals": {"code": "x"}})).starts_with("defaults.annals.code: expected a whole"));
    assert!(refused(&["a"], json!({"annals.severity": "x"})).starts_with("defaults.annals.severity: expected debug"));
    assert!(
        refused(&["a"], json!({"message": "x".repeat(5_000)})).starts_with("defaults: expected at most 4096 bytes")
    );
    let many: Vec<_> = (0..=1_000).map(|action| action.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert!(refused(&many, Value::Null).starts_with("actions: expected at most 1000 actions"));
    assert!(!again.list(None).contains_key("q"));
    assert_eq!(again.delete("p", |_| Ok::<_, RegisterError>(())).unwrap().actions, ["a", "b", "c"]);
    assert!(matches!(again.delete("p", |_| Ok::<_, RegisterError>(())), Err(RegisterError::Absent)));
    let again = Registry::open(folder.path().join("providers.json"), Limits::default()).unwrap();
    assert!(again.list(None).is_empty());
}

#[test]
fn defaults_hold_in_their_space_over_those_of_the_configuration_until_they_are_cleared() {
    let (intake, _folder) = intake_with(json!({"tags": ["default"]}));
    let registry = intake.registry();
    let team = Space::parse("team").unwrap();
    registry.add_fixed("p", registration(&["a"], json!({"labels": {"by": "operator", "in": "all"}}))).unwrap();
    registry
        .register("p", team.as_ref(), registration(&["a"], json!({"labels": {"by": "team"}})), |_| {
            Ok::<_, RegisterError>(())
        })
        .unwrap();
    let logged = |space: Option<&Space>| {
        let line = br#"{"event":{"provider":"p","action":"a"}}"#;
        let event = contents(&intake.accept(&Author::anyone(), space, line).unwrap()).remove(0);
        (event["labels"].clone(), event["tags"].clone())
    };
    let other = Space::parse("other").unwrap();
    let all = json!({"by": "operator", "in": "all"});
    assert_eq!(logged(None), (all.clone(), json!(["default"])));
    assert_eq!(logged(team.as_ref()), (json!({"by": "team", "in": "all"}), Value::Null));
    assert_eq!(logged(other.as_ref()), (all.clone(), Value::Null));
    registry.register("p", team.as_ref(), registration(&["a"], Value::Null), |_| Ok::<_, RegisterError>(())).unwrap();
    assert_eq!(logged(team.as_ref()).0, json!({"by": "team", "in": "all"}), "they stay if none are given");
    registry.register("p", team.as_ref(), registration(&["a"], json!({})), |_| Ok::<_, RegisterError>(())).unwrap();
    assert_eq!(logged(team.as_ref()).0, all);
}

#[test]
fn defaults_say_nothing_about_who_where_how_and_which_objects() {
    let (intake, _folder) = intake_with(Value::Null);
    for (defaults, path) in [
        (json!({"user": {"name": "ada"}}), "user"),
        (json!({"user.name": "ada"}), "user.name"),
        (json!({"event": {"outcome": "success"}}), "event.outcome"),
        (json!({"event": {"id": "1"}}), "event.id"),
        (json!({"source": {"ip": "192.0.2.1"}}), "source"),
        (json!({"kibana": {"space_ids": ["other"]}}), "kibana.space_ids"),
        (json!({"kibana": {"saved_objects": []}}), "kibana.saved_objects"),
        (json!({"@timestamp": "2021-03-02"}), "@timestamp"),
    ] {
        let refused = intake
            .registry()
            .register("p", None, registration(&["a"], defaults), |_| Ok::<_, RegisterError>(()))
            .unwrap_err()
            .to_string();
        assert!(refused.starts_with(&format!("defaults.{path}: expected nothing that says who")), "{refused}");
    }
    let harmless = json!({"event": {"category": ["iam"]}, "users": 1});
    assert!(
        intake
            .registry()
            .register("p", None, registration(&["a"], harmless), |_| Ok::<_, RegisterError>(()))
            .is_err_and(|error| { error.to_string().starts_with("defaults.users: expected a known field") })
    );
}

#[test]
fn the_logs_own_providers_cannot_be_registered_nor_any_that_look_like_them() {
    let (intake, folder) = intake_with(Value::Null);
    for name in ["annals", "Annals", "annals ", "аnnals", "eventLog", "eventlog", "event-log"] {
        let refused =
            intake.registry().register(name, None, registration(&["a"], Value::Null), |_| Ok::<_, RegisterError>(()));
        assert!(matches!(refused, Err(RegisterError::Reserved { .. })), "{name}");
    }
    let path = folder.path().join("old.json");
    let old = r#"{"eventLog": {"actions": ["x"], "defaults": {"event": {"kind": "x"}}}, "p": {"actions": ["a"],
        "defaults": {"tags": ["t"]}}, "q": {"actions": ["a"], "defaults": {"user": {"name": "ada"}}}}"#;
    std::fs::write(&path, old).unwrap();
    let registry = Registry::open(path.clone(), Limits::default()).unwrap();
    let listed = registry.list(None);
    assert_eq!(listed["p"], registration(&["a"], json!({"tags": ["t"]})), "format 1 is read");
    assert_eq!(listed["q"], registration(&["a"], json!({})), "without what no default may say");
    assert!(!listed.contains_key("eventLog"));
    std::fs::write(&path, r#"{"format": 3, "providers": {}}"#).unwrap();
    assert!(Registry::open(path, Limits::default()).is_err());
}

fn arbitrary_event() -> impl Strategy<Value = Value> {
    let text = "[ -~é€😀\\n\"\\\\]{0,12}";
    (
        (prop::option::of(text), prop::option::of(prop::collection::vec(text, 0..4)), any::<Option<i64>>()),
        (prop::option::of(prop::collection::btree_map("[a-c😀\u{fb33}]{1,2}", text, 0..4)), any::<Option<f32>>()),
        prop::collection::vec((text, text), 0..3),
    )
        .prop_map(|((message, tags, duration), (labels, score), references)| {
            let mut event = json!({"event": {"provider": "p", "action": "a", "id": "i"}});
            if let Some(message) = message {
                event["message"] = json!(message);
            }
            if let Some(tags) = tags {
                event["tags"] = json!(tags);
            }
            if let Some(duration) = duration {
                event["event"]["duration"] = json!(duration);
            }
            if let Some(labels) = labels {
                event["labels"] = json!(labels);
            }
            if let Some(score) = score.filter(|score| score.is_finite()) {
                event["event"]["risk_score"] = json!(f64::from(score));
            }
            let objects: Vec<Value> =
                references.iter().map(|(t, i)| json!({"rel": "primary", "type": t, "id": i})).collect();
            event["kibana"] = json!({ "saved_objects": objects });
            event
        })
}

/// Formats an event in one line: optionally with its members in reverse order, with spaces, and with dots in the names
/// of `event`.
fn spell(event: &Value, [reversed, spaced, dotted]: [bool; 3]) -> String {
    let Value::Object(members) = event else {
        let Value::Array(elements) = event else { return event.to_string() };
        let elements: Vec<_> = elements.iter().map(|element| spell(element, [reversed, spaced, false])).collect();
        return format!("[{}]", elements.join(if spaced { " , " } else { "," }));
    };
    let mut spelt = Vec::new();
    for (name, value) in members {
        match value {
            Value::Object(inner) if dotted && name == "event" => {
                spelt.extend(inner.iter().map(|(inner, value)| (format!("{name}.{inner}"), value)));
            }
            value => spelt.push((name.clone(), value)),
        }
    }
    if reversed {
        spelt.reverse();
    }
    let space = if spaced { " " } else { "" };
    let member = |(name, value): (String, &Value)| {
        format!("{space}{}{space}:{space}{}{space}", json!(name), spell(value, [reversed, spaced, false]))
    };
    format!("{{{}}}", spelt.into_iter().map(member).collect::<Vec<_>>().join(","))
}

proptest! {
    /// The engines' ranges: `float` is finite in 32 bits, `long` has 64 bits.
    #[test]
    fn an_accepted_number_fits_its_type_in_the_engines(
        number in r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?",
        large in 3e38_f64..4e38,
    ) {
        let fields = ["risk_score", "severity", "duration"];
        let line = |number: &String| fields.map(|field| event(&format!(r#","event.{field}":{number}"#))).join("\n");
        let accepted = accept(&[number, large.to_string(), format!("{large:e}")].each_ref().map(line).join("\n"));
        for content in contents(&accepted) {
            let [score, severity, duration] = fields.map(|field| content["event"].get(field));
            prop_assert!(score.is_none_or(|value| (value.as_f64().unwrap() as f32).is_finite()), "{content}");
            prop_assert!(severity.is_none_or(|value| value.as_i64().is_some()), "{content}");
            prop_assert!(duration.is_none_or(|value| value.as_str().unwrap().parse::<i64>().is_ok()), "{content}");
        }
    }

    /// Every spelling of an event gives the same content, in RFC 8785 form.
    #[test]
    fn the_spelling_of_an_event_does_not_matter(event in arbitrary_event()) {
        let compact = event.to_string();
        let mut escaped = String::new();
        for character in serde_json::to_string_pretty(&event).unwrap().replace('\n', "\t").chars() {
            let mut units = [0; 2];
            match character {
                ' '..='~' | '\t' => escaped.push(character),
                other => other.encode_utf16(&mut units).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04X}"))),
            }
        }
        let (a, b) = (accept(&compact), accept(&escaped));
        prop_assert_eq!(&a.items, &b.items);
        let a = a.contents.iter().next().unwrap().bytes.to_vec();
        let b = b.contents.iter().next().unwrap().bytes.to_vec();
        prop_assert_eq!(&a, &b);
        let value: Value = serde_json::from_slice(&a).unwrap();
        for (name, given) in event.as_object().unwrap() {
            if name == "message" || name == "tags" || name == "labels" {
                prop_assert_eq!(&value[name], given);
            }
        }
        let mut scanner = Scanner::new(&a, 0);
        let token = scanner.value().unwrap();
        let mut again = Vec::new();
        canonical::put_value(&mut scanner, token, &"", canonical::Form::document(32), &mut again).unwrap();
        prop_assert_eq!(a, again);
    }

    /// Earlier events in a body, with other fields, orders or spellings, do not affect an event.
    #[test]
    fn earlier_events_do_not_matter(events in prop::collection::vec((arbitrary_event(), any::<[bool; 3]>()), 1..8)) {
        let lines: Vec<String> = events.iter().map(|(event, spelling)| spell(event, *spelling)).collect();
        let together = accept(&lines.join("\n"));
        prop_assert_eq!(together.contents.len(), lines.len(), "{:?}", together.items);
        for (line, content) in lines.iter().zip(together.contents.iter()) {
            let alone = accept(line);
            let alone = alone.contents.iter().next().unwrap();
            prop_assert_eq!(String::from_utf8_lossy(content.bytes), String::from_utf8_lossy(alone.bytes), "{}", line);
            prop_assert_eq!(content.annals_at, alone.annals_at);
        }
    }

    #[test]
    fn no_body_causes_a_panic(body in prop::collection::vec(any::<u8>(), 0..64), text in r#"[\[\]{}:,"\\a-z0-9. \n-]{0,80}"#) {
        let (intake, _folder) = intake_with(Value::Null);
        let _ = intake.accept(&Author::anyone(), None, &body);
        let _ = intake.accept(&Author::anyone(), None, text.as_bytes());
    }
}

#[test]
fn sealed_contents_can_be_opened_again_and_link_up() {
    use crate::integrity::{self, LeafKind, OpeningRecord, SealSecret, TreeRange};
    let accepted = accept(&[event(""), event(r#","message":"\"annals\":{ \"event\":{""#), event("")].join("\n"));
    let secret = SealSecret::new(vec![7; 32].into()).unwrap();
    let id = crate::event::ChainId::from_bytes([3; 16]);
    let record = OpeningRecord {
        chain: id.to_string(),
        epoch_ms: 3_600_000,
        format: 1,
        key_check: base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            integrity::ChainKeys::first(&secret, id).check_value(),
        ),
        opened_ms: FixedClock.now().0 - 3 * 3_600_000,
        predecessor: None,
        sealed: true,
        stream: "general".to_owned(),
        verifier_key: String::new(),
        writer: "uuid".to_owned(),
    };
    let state = integrity::ChainState {
        chain: id,
        previous: record.genesis(),
        received: UnixMillis(0),
        tree: TreeRange::default(),
    };
    let mut chain = Chain::resume(&record, state, &secret).unwrap();
    let mut previous = record.genesis();
    let mut keys = integrity::ChainKeys::first(&secret, id);
    keys.advance(integrity::Epoch(3));
    for (index, content) in accepted.contents.iter().enumerate() {
        let mut document = Vec::new();
        let (position, leaf) = chain.begin(FixedClock.now()).seal(&content, &mut document);
        let leaf = leaf.unwrap();
        assert!(document.len() <= content.bytes.len() + integrity::SEAL_OVERHEAD);
        serde_json::from_slice::<Value>(&document).unwrap();
        let opened = integrity::open(&document).unwrap();
        assert_eq!(opened.leaf.kind, LeafKind::Event);
        assert_eq!(opened.leaf.hash(), leaf);
        assert_eq!(opened.leaf.previous, previous);
        assert_eq!((opened.leaf.sequence, position.sequence.0), (position.sequence, index as u64));
        assert_eq!(opened.leaf.epoch, integrity::Epoch(3));
        assert_eq!(keys.mac(&leaf), opened.mac);
        let stub = integrity::stub(&document).unwrap();
        assert_eq!(integrity::seal_of(&stub), integrity::seal_of(&document));
        assert_eq!(integrity::open(&stub).unwrap().leaf, opened.leaf);
        let hollow = integrity::open(&integrity::stub_without_content(&document).unwrap()).unwrap();
        assert_eq!((hollow.kind, hollow.leaf), (DocumentKind::Hollow, opened.leaf));
        let changed = String::from_utf8(document).unwrap().replace("\"p\"", "\"q\"");
        assert_eq!(integrity::open(changed.as_bytes()).unwrap_err(), integrity::VerifyError::Digest);
        previous = leaf;
    }
}
