//! Labels: as an object, within objects, and by themselves under dotted names.

use serde_json::{Value, json};

use super::{accept, contents, event, violations};

fn labels(extra: &str) -> Value {
    contents(&accept(&event(extra)))[0]["labels"].clone()
}

#[test]
fn labels_may_be_nested_and_dotted_in_any_combination() {
    for (extra, expected) in [
        (r#","labels.team":"a""#, json!({"team": "a"})),
        (r#","labels.team.lead":"a","labels.team":"b""#, json!({"team": "b", "team.lead": "a"})),
        (r#","labels":{"b":{"d":1,"c":{"x":true}}},"labels.a":1.50"#, json!({"a": "1.5", "b.c.x": "true", "b.d": "1"})),
        (r#","labels.a":"1","labels":{"b":"2"},"labels.c":{"d":"3"}"#, json!({"a": "1", "b": "2", "c.d": "3"})),
        (r#","labels.a\u002eb":"\u0041""#, json!({"a.b": "A"})),
        (r#","labels":{}"#, json!({})),
        (r#","labels":{"a":{}}"#, json!({})),
    ] {
        assert_eq!(labels(extra), expected, "{extra}");
    }
}

#[test]
fn bad_names_of_labels_are_repaired_and_stay_apart_however_they_come() {
    for extra in [
        r#","labels.a\u0000b":1,"labels.a\ufffdb":2"#,
        r#","labels":{"a\ud800b":1},"labels.a\ufffdb":2"#,
        r#","labels.a\u0000b":1,"labels":{"a\ufffdb":2}"#,
    ] {
        assert_eq!(labels(extra), json!({"a\u{fffd}b": "2", "a\u{fffd}b#2": "1"}), "{extra}");
        assert_eq!(contents(&accept(&event(extra)))[0]["annals"]["repaired"], json!(["labels"]), "{extra}");
    }
}

#[test]
fn a_label_comes_once_and_has_a_single_value() {
    for (extra, path, expected, found) in [
        (r#","labels":{"a":1},"labels.a":1"#, "labels", "members with different names", "\"a\" twice"),
        (r#","labels":{"a":{"b":1},"a.b":2}"#, "labels", "members with different names", "\"a.b\" twice"),
        (r#","labels":{"a":1},"labels":{"b":1}"#, "labels", "only one member with this name", "an object"),
        (r#","labels.a":null"#, "labels.a", "a text, a number or a boolean", "null"),
        (r#","labels.a":[1]"#, "labels.a", "a text, a number or a boolean", "an array"),
        (r#","labels":{"a":{"b":null}}"#, "labels.a.b", "a text, a number or a boolean", "null"),
        (r#","labels":[]"#, "labels", "an object of texts, numbers and booleans", "an array"),
        (r#","labels":{"a":1,"b":1,"c":1},"labels.d":{"e":1,"f":1,"g":1}"#, "labels", "at most 5 members", "6 members"),
    ] {
        let (path, expected, found) = (path.to_owned(), expected.to_owned(), found.to_owned());
        assert_eq!(violations(&event(extra)), [(path, expected, found)], "{extra}");
    }
    let unknown = violations(&event(r#","labels.":1"#));
    assert_eq!((unknown[0].0.as_str(), unknown[0].2.as_str()), ("labels.", "an unknown field"));
}

#[test]
fn the_labels_of_an_event_do_not_reach_the_next() {
    let broken = r#"{"labels.c":1,"x"}"#;
    let body = format!("{}\n{}\n{broken}\n{}", event(r#","labels.a":1"#), event(r#","labels.b":null"#), event(""));
    let contents = contents(&accept(&body));
    let labels: Vec<_> = contents.iter().map(|content| content.get("labels").cloned()).collect();
    assert_eq!(labels, [Some(json!({"a": "1"})), None]);
}
