//! Texts that are repaired, or refused if so configured.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::*, FixedClock, contents, event, registration};

fn accept_with(on_bad_text: OnBadText, body: &[u8]) -> Accepted {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { on_bad_text, ..Limits::default() };
    let registry = Registry::open(folder.path().join("providers.json"), limits).unwrap();
    registry.register("p", None, registration(&["a"], Value::Null), |_| Ok::<_, RegisterError>(())).unwrap();
    let source = Source { node: "n".to_owned(), server_uuid: "uuid".to_owned(), version: "1.2.3".to_owned() };
    let intake = Intake::new(Arc::new(registry), limits, Arc::new(FixedClock), &source);
    intake.accept(&Author::anyone(), None, body).unwrap()
}

fn repaired(body: impl AsRef<[u8]>) -> Value {
    let accepted = accept_with(OnBadText::Repair, body.as_ref());
    assert!(accepted.items[0].is_accepted(), "{:?}", accepted.items);
    contents(&accepted).remove(0)
}

fn refused(on_bad_text: OnBadText, body: impl AsRef<[u8]>) -> [String; 3] {
    match accept_with(on_bad_text, body.as_ref()).items.remove(0) {
        Item::Rejected(mut violations) => {
            let Violation { path, expected, found } = violations.remove(0);
            [path, expected, found]
        }
        item => panic!("{item:?}"),
    }
}

/// An event with this text, which is not UTF-8.
fn event_of_bytes(name: &str, text: &[u8]) -> Vec<u8> {
    let event = event(&format!(r#","{name}":"TEXT""#));
    let (before, after) = event.split_once("TEXT").unwrap();
    [before.as_bytes(), text, after.as_bytes()].concat()
}

/// Checks what becomes of a value, which is named in `annals.repaired`, and that it is refused if so configured.
fn check(extra: &str, expected: &[(&str, Value)], expected_if_refused: [&str; 2]) {
    let body = event(extra);
    let content = repaired(&body);
    for (path, value) in expected {
        assert_eq!(crate::query::value_at(&content, path), Some(value), "{path} of {content}");
    }
    let [path, expected, _] = refused(OnBadText::Refuse, &body);
    assert_eq!([path.as_str(), expected.as_str()], expected_if_refused, "{extra}");
}

#[test]
fn bad_characters_become_replacement_characters() {
    const NULL: &str = "a text without U+0000";
    const SURROGATE: &str = "a text without lone surrogates";
    let is_repaired = |path: &str| ("annals.repaired", json!([path]));
    check(
        r#","message":"a\u0000b\\u0000""#,
        &[("message", json!("a\u{fffd}b\\u0000")), is_repaired("message")],
        ["message", NULL],
    );
    check(
        r#","user.name":"\ud800x\udc00""#,
        &[("user.name", json!("\u{fffd}x\u{fffd}")), is_repaired("user.name")],
        ["user.name", SURROGATE],
    );
    check(
        r#","tags":["a","\u0000","\ud800"]"#,
        &[("tags", json!(["a", "\u{fffd}", "\u{fffd}"])), is_repaired("tags")],
        ["tags", NULL],
    );
    check(
        r#","annals.changes":[{"to":"x"},{"to":"\u0000"}],"threat.enrichments":[{"indicator":{"name":"\ud800"}}]"#,
        &[
            ("annals.changes", json!([{"to": "x"}, {"to": "\u{fffd}"}])),
            ("annals.repaired", json!(["annals.changes.to", "threat.enrichments.indicator.name"])),
        ],
        ["annals.changes[1].to", NULL],
    );
    check(
        r#","labels":{"a\u0000":"x","b":"\ud800"}"#,
        &[("labels", json!({"a\u{fffd}": "x", "b": "\u{fffd}"})), is_repaired("labels")],
        ["labels", NULL],
    );
    check(
        r#","annals.payload":{"\u0000":["\ud800",{"\ud801":1}]}"#,
        &[("annals.payload", json!("{\"\u{fffd}\":[\"\u{fffd}\",{\"\u{fffd}\":1}]}")), is_repaired("annals.payload")],
        ["annals.payload", NULL],
    );
    check(
        r#","http.request.headers":{"x\u0000":"\ud800"}"#,
        &[("http.request.headers", json!({"x\u{fffd}": "\u{fffd}"})), is_repaired("http.request.headers")],
        ["http.request.headers", NULL],
    );
    let clean = repaired(event(r#","message":"a\ufffdb""#));
    assert_eq!((clean["message"].as_str(), clean["annals"].get("repaired")), (Some("a\u{fffd}b"), None));
}

#[test]
fn bytes_that_are_not_utf8_become_replacement_characters() {
    for (name, bytes, text) in [
        ("message", &b"a\xffb"[..], "a\u{fffd}b"),
        ("message", b"\xe2\x82\\u0041\xf0\x9f", "\u{fffd}A\u{fffd}"),
        ("user.name", b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
    ] {
        let body = event_of_bytes(name, bytes);
        let next = event(r#","message":"é""#);
        let lines = [&body, b"\n".as_slice(), next.as_bytes()].concat();
        let array = [b"[", next.as_bytes(), b",".as_slice(), &body, b"]"].concat();
        let (lines, array) = (accept_with(OnBadText::Repair, &lines), accept_with(OnBadText::Repair, &array));
        let (lines, mut array) = (contents(&lines), contents(&array));
        array.reverse();
        assert_eq!(lines, array);
        assert_eq!(crate::query::value_at(&lines[0], name), Some(&json!(text)));
        assert_eq!(lines[0]["annals"]["repaired"], json!([name]));
        assert_eq!((lines[1]["message"].as_str(), lines[1]["annals"].get("repaired")), (Some("é"), None));
        assert_eq!(refused(OnBadText::Refuse, &body)[1], "UTF-8");
    }
    // The other texts of such an event are what they are.
    let plain = r#","event.start":"2026-11-24T12:00:00.000Z","source.ip":"::1","event.duration":"12","source.geo.location":"48.5,2","labels":{"a":"b"},"kibana.alert.rule.gap.range":{"gte":"2026-11-24T12:00:00Z","lte":"2026-11-24T12:00:00Z"}"#;
    let bytes = event(&format!(r#"{plain},"message":"TEXT""#));
    let (before, after) = bytes.split_once("TEXT").unwrap();
    let mut broken = repaired([before.as_bytes(), b"\xff", after.as_bytes()].concat());
    broken["annals"].as_object_mut().unwrap().remove("repaired");
    assert_eq!(broken, repaired(event(&format!(r#"{plain},"message":"\ufffd""#))));
    // Names are texts, too; anything else is JSON or is not.
    let bytes = event(r#","labels":{"NAME":"x"}"#);
    let (before, after) = bytes.split_once("NAME").unwrap();
    let content = repaired([before.as_bytes(), b"\xff", after.as_bytes()].concat());
    assert_eq!(content["labels"], json!({"\u{fffd}": "x"}));
    let outside = [event("").as_bytes(), b"\xff"].concat();
    assert_eq!(refused(OnBadText::Repair, &outside)[1], "nothing after the event");
    assert_eq!(refused(OnBadText::Repair, event_of_bytes("event.start", b"\xff"))[0], "event.start");
}

#[test]
fn names_that_become_the_same_are_told_apart() {
    let content = repaired(event(
        r#","labels":{"\u0000":"1","\ufffd":"2","\ud800":"3","\ufffd#2":"4"},"annals.payload":{"\ud800":1,"\ud801":2}"#,
    ));
    let labels = json!({"\u{fffd}": "2", "\u{fffd}#2": "4", "\u{fffd}#3": "1", "\u{fffd}#4": "3"});
    assert_eq!(content["labels"], labels);
    assert_eq!(content["annals"]["payload"], json!("{\"\u{fffd}\":1,\"\u{fffd}#2\":2}"));
    for members in [r#""a":1,"a":2"#, r#""\ufffd":1,"\ufffd":2"#, r#""\u0000":1,"a":1,"a":2"#] {
        let [path, expected, _] = refused(OnBadText::Repair, event(&format!(r#","labels":{{{members}}}"#)));
        assert_eq!([path.as_str(), expected.as_str()], ["labels", "members with different names"], "{members}");
    }
}

#[test]
fn a_text_that_is_too_long_is_kept_whole_and_its_field_has_the_beginning() {
    let long = |one: &str, count: usize| one.repeat(count);
    // The limit is in UTF-16 units, or in bytes where the field has its own.
    for (name, text, kept) in [
        ("user.name", long("x", 1_025), long("x", 1_024)),
        ("user.name", long("é", 40_000), long("é", 1_024)),
        ("user.name", long("🦀", 513), long("🦀", 512)),
        ("user.name", long("🦀", 512) + "x", long("🦀", 512)),
        ("user.name", "x".to_owned() + &long("🦀", 512), "x".to_owned() + &long("🦀", 511)),
        ("annals.changes.field", long("é", 513), long("é", 512)),
        ("kibana.alert.uuid", long("\n", 1_025), long("\n", 1_024)),
    ] {
        let value = match name.strip_prefix("annals.changes.") {
            Some(member) => json!({"annals.changes": [{member: &text}]}),
            None => json!({name: &text}),
        };
        let extra = value.to_string();
        let content = repaired(event(&format!(",{}", &extra[1..extra.len() - 1])));
        let found = match name.strip_prefix("annals.changes.") {
            Some(member) => &content["annals"]["changes"][0][member],
            None => crate::query::value_at(&content, name).unwrap(),
        };
        assert_eq!(found, &json!(kept), "{name} of {} bytes", text.len());
        assert_eq!(content["annals"]["repaired"], json!([name]));
        assert_eq!(content["annals"]["originals"], json!([{"path": name, "texts": [text]}]));
    }
    for (name, text) in [
        ("user.name", long("x", 1_024)),
        ("user.name", long("世", 1_024)),
        ("user.name", long("\\", 1_024)),
        ("message", long("x", 100_000)),
        ("url.full", long("x", 100_000)),
        ("event.original", long("x", 100_000)),
    ] {
        let content = repaired(event(&format!(r#","{name}":{}"#, json!(text))));
        assert_eq!(crate::query::value_at(&content, name), Some(&json!(text)));
        assert_eq!(content["annals"].get("repaired"), None, "{name}");
    }
    let change = long("x", 100_000);
    let content = repaired(event(&format!(r#","annals.changes":{{"to":"{change}"}}"#)));
    assert_eq!(content["annals"]["changes"], json!([{"to": change}]));
    let long_name = event(&format!(r#","user.name":"{}""#, long("x", 32_767)));
    let expected = ["user.name", "a text of at most 32766 bytes", "32767 bytes"];
    assert_eq!(refused(OnBadText::Refuse, long_name), expected);
    let short = event(&format!(r#","user.name":"{}""#, long("x", 32_766)));
    assert!(accept_with(OnBadText::Refuse, short.as_bytes()).items[0].is_accepted());
}

#[test]
fn the_texts_of_a_field_are_kept_in_their_order() {
    let (one, two) = ("x".repeat(2_000), "y".repeat(2_000));
    let content = repaired(event(&format!(r#","tags":["{two}","b","{one}"],"host.ip":["fe80::1%eth0","::1"]"#)));
    assert_eq!(content["tags"], json!([two[..1_024], "b", one[..1_024]]));
    assert_eq!(content["annals"]["repaired"], json!(["host.ip", "tags"]));
    let originals = json!([{"path": "host.ip", "texts": ["fe80::1%eth0"]}, {"path": "tags", "texts": [two, one]}]);
    assert_eq!(content["annals"]["originals"], originals);
}

#[test]
fn labels_and_any_objects_have_the_beginnings_of_names_and_texts() {
    let (long, limit) = ("é".repeat(5_000), "é".repeat(4_095));
    let extra = format!(r#","labels":{{"a":"{long}","{long}":"x","{long}!":"{long}"}}"#);
    let content = repaired(event(&extra));
    let stem = "é".repeat((8_191 - 11) / 2);
    assert_eq!(content["labels"], json!({"a": limit, &limit: "x", format!("{stem}#2"): limit}));
    let originals = &content["annals"]["originals"];
    let expected = json!([
        {"path": "labels", "texts": [long, format!("{long}!")]},
        {"path": "labels.a", "texts": [long]},
        {"path": format!("labels.{stem}#2"), "texts": [long]},
    ]);
    assert_eq!(originals, &expected);
    assert_eq!(content["annals"]["repaired"], json!(["labels"]));

    let content = repaired(event(&format!(r#","http.request.headers":{{"b":["x","{long}"],"a":{{"n":2.50}}}}"#)));
    assert_eq!(content["http"]["request"]["headers"], json!({"a": {"n": 2.5}, "b": ["x", limit]}));
    assert_eq!(content["annals"]["originals"], json!([{"path": "http.request.headers", "texts": [long]}]));
    let content = repaired(event(&format!(r#","http.request.headers":{{"{long}":{{"b":1}}}}"#)));
    assert_eq!(content["http"]["request"]["headers"], json!({"é".repeat(204): {"b": 1}}));
    assert_eq!(content["annals"]["originals"], json!([{"path": "http.request.headers", "texts": [long]}]));
    let deep = |name: &str| format!(r#"{}1{}"#, format!(r#"{{"{name}":"#).repeat(20), "}".repeat(20));
    let content = repaired(event(&format!(r#","http.request.headers":{}"#, deep(&"x".repeat(9_000)))));
    let headers = serde_json::from_str::<Value>(&deep(&"x".repeat(408))).unwrap();
    assert_eq!(content["http"]["request"]["headers"], headers);
    let [path, expected, _] = refused(OnBadText::Refuse, event(&extra));
    assert_eq!([path.as_str(), expected.as_str()], ["labels.a", "a name and a text of at most 8191 bytes"]);
}

#[test]
fn the_zone_of_an_address_is_kept_beside_it() {
    check(
        r#","source.ip":"fe80::1%eth0""#,
        &[
            ("source.ip", json!("fe80::1")),
            ("annals.repaired", json!(["source.ip"])),
            ("annals.originals", json!([{"path": "source.ip", "texts": ["fe80::1%eth0"]}])),
        ],
        ["source.ip", "an IPv4 or IPv6 address"],
    );
    for wrong in ["fe80::1%", "10.0.0.1%eth0", "%eth0", "somewhere%eth0", "fe80::1 eth0"] {
        let [path, ..] = refused(OnBadText::Repair, event(&format!(r#","source.ip":"{wrong}""#)));
        assert_eq!(path, "source.ip", "{wrong}");
    }
}

#[test]
fn a_bad_text_that_identifies_something_is_refused() {
    let long = "x".repeat(2_000);
    for (extra, path) in [
        (r#","event.id":"\u0000""#.to_owned(), "event.id"),
        (format!(r#","event.id":"{long}""#), "event.id"),
        (r#","kibana.space_ids":["\ud800"]"#.to_owned(), "kibana.space_ids"),
        (r#","kibana.saved_objects":[{"id":"\u0000"}]"#.to_owned(), "kibana.saved_objects[0].id"),
        (format!(r#","kibana.saved_objects":[{{"type":"{long}"}}]"#), "kibana.saved_objects[0].type"),
        (r#","annals.repaired":["x"]"#.to_owned(), "annals.repaired"),
        (r#","annals":{"originals":[{"path":"x"}]}"#.to_owned(), "annals.originals"),
    ] {
        let body = event(&extra).replace(r#","id":"i""#, "");
        assert_eq!(refused(OnBadText::Repair, &body)[0], path, "{extra}");
    }
    let body = r#"{"event":{"provider":"p","action":"a\u0000"}}"#;
    assert_eq!(refused(OnBadText::Repair, body)[..2], ["event.action", "a text without U+0000"]);
    let name = repaired(event(&format!(r#","kibana.saved_objects":[{{"name":"{long}"}}]"#)));
    assert_eq!(name["kibana"]["saved_objects"][0]["name"], json!(long[..1_024]));
    for (escape, expected) in [(r"\x", "a text with valid escapes"), ("\u{1}", "no control character within a text")] {
        assert_eq!(refused(OnBadText::Repair, event(&format!(r#","message":"{escape}""#)))[1], expected);
    }
}

#[test]
fn at_most_100_repaired_fields_are_named() {
    let fields = crate::schema::fields().iter().filter(|field| {
        field.kind == crate::schema::Kind::Text && field.set_by == crate::schema::SetBy::Client && !field.in_objects
    });
    let all: Vec<_> = fields.map(|field| field.path).filter(|path| !path.starts_with("kibana")).collect();
    let keywords = crate::schema::fields_within("process").iter().filter(|field| {
        field.kind == crate::schema::Kind::Keyword
            && !field.in_objects
            && crate::schema::nested_around(field.path).is_none()
    });
    let paths: Vec<_> = keywords.map(|field| field.path).chain(all).collect();
    for count in [100, 101] {
        let extra: String = paths[..count].iter().map(|path| format!(r#","{path}":"\u0000""#)).collect();
        let repaired = repaired(event(&extra))["annals"]["repaired"].clone();
        let mut expected: Vec<_> = paths[..count].to_vec();
        expected.sort_unstable();
        expected.truncate(100);
        expected.extend((count > 100).then_some("…"));
        assert_eq!(repaired, json!(expected));
    }
}

#[test]
fn an_event_that_is_sent_again_is_the_same_if_its_whole_texts_are() {
    let key = |end: &str| {
        let body = event(&format!(r#","user.name":"{}{end}""#, "x".repeat(2_000)));
        accept_with(OnBadText::Repair, body.as_bytes()).contents.key(0)
    };
    assert!(key("a").is_some() && key("a") == key("a"));
    assert_ne!(key("a"), key("b"));
}

#[test]
fn escapes_that_only_spell_a_text_change_nothing() {
    let plain = r#","event.start":"2026-11-24T12:00:00+02:00","source.ip":"::1","event.duration":"12","event.severity":"7","source.geo.location":"48.5,12","client.geo.location":{"lat":"12","lon":"12"},"kibana.alert.rule.gap.range":{"gte":"2026-11-24T12:00:00Z","lte":"2026-11-24T12:00:00Z"}"#;
    let escaped = plain
        .replace('+', r"\u002B")
        .replace("::1", r"\u003a:1")
        .replace("12", r"\u0031\u0032")
        .replace(r#""7""#, r#""\u0037""#);
    assert_eq!(repaired(event(&escaped)), repaired(event(plain)));
}

proptest! {
    /// Whatever text a person chooses, the event is accepted, its content is valid, and nothing that was sent is lost.
    #[test]
    fn no_text_keeps_an_event_out(
        text in prop::collection::vec(prop_oneof![Just("\\u0000"), Just("\\ud800"), Just("\\udc01"), Just("é"), Just("🦀"), Just("a"), Just("\\n")], 0..9),
        times in prop_oneof![Just(1_usize), Just(300), Just(9_000)],
        label in any::<bool>(),
    ) {
        let text = text.concat().repeat(times);
        prop_assume!(!text.is_empty() && text.len() < 400_000);
        let names = if label { format!(r#""{text}":"{text}""#) } else { format!(r#""a":"{text}""#) };
        let extra = format!(
            r#","user.name":"{text}","message":"{text}","tags":["{text}"],"labels":{{{names}}},"http.request.headers":{{{names}}},"annals.payload":{{{names}}}"#
        );
        prop_assume!(extra.len() < 1_000_000);
        let content = repaired(event(&extra));
        let whole = content["message"].as_str().unwrap();
        let name = content["user"]["name"].as_str().unwrap();
        prop_assert!(name.encode_utf16().count() <= 1_024 && whole.starts_with(name));
        let kept = content["annals"]["originals"].as_array().into_iter().flatten();
        let kept = kept.filter(|original| original["path"] == "user.name").any(|original| original["texts"] == json!([whole]));
        prop_assert_eq!(kept, name != whole);
        let is_repaired = whole.contains('\u{fffd}') || name != whole;
        prop_assert_eq!(content["annals"]["repaired"].is_array(), is_repaired || whole.len() > 8_191);
    }
}

#[test]
fn every_keyword_takes_a_text_of_1024_bytes_unless_it_says_less() {
    for field in crate::schema::fields().iter().filter(|field| field.kind == crate::schema::Kind::Keyword) {
        assert!(field.longest_value >= 1_024, "{}", field.path);
    }
}
