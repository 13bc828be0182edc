//! Which events filters find.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::ops::Bound;

use jiff::tz::TimeZone;
use serde_json::{Value as Json, json};

use super::{
    Interval, Order, Pattern, Sort, Subject, Unit,
    filter::{Filter, Test, Value},
    kql,
};
use crate::{
    event::UnixMillis,
    schema::{self, Field, Kind, Search},
};

const NOW: UnixMillis = UnixMillis(1_614_686_400_000);

fn event(more: Json) -> Json {
    let mut event = json!({"@timestamp": "2021-03-02T10:15:30.123Z"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// Checks each filter on this event.
#[track_caller]
fn check(event: &Json, finding: &[&str], missing: &[&str]) {
    for text in finding {
        let filter = kql::parse(text, NOW).unwrap();
        assert!(filter.matches(event), "{text} does not find {event}");
        assert!(!filter.negated().matches(event), "not ({text}) finds {event}");
    }
    for text in missing {
        let filter = kql::parse(text, NOW).unwrap();
        assert!(!filter.matches(event), "{text} finds {event}");
        assert!(filter.negated().matches(event), "not ({text}) does not find {event}");
    }
}

#[test]
fn keywords_match_as_a_whole_and_by_case() {
    let event =
        event(json!({"event": {"action": "Sign in", "outcome": "success"}, "tags": ["a", "b"], "rule": {"id": ""}}));
    check(
        &event,
        &[
            "event.action:Sign in",
            "event.action:\"Sign in\"",
            "event.action:S*n",
            "event.action:*",
            "event.action:(out or Sign in)",
            "tags:a and tags:b",
            "tags:(a and not c)",
            "rule.id:\"\"",
            "rule.id:*",
            "event.action > \"Sign\" and event.action <= \"Sign in\"",
        ],
        &[
            "event.action:sign in",
            "event.action:Sign",
            "event.action:\"S*\"",
            "event.code:*",
            "tags:(a and c)",
            "tags:(not a)",
            "event.action > \"Sign in\"",
            "event.code < \"z\"",
        ],
    );
}

#[test]
fn texts_match_by_words() {
    let event = event(json!({
        "message": "Payroll export for user@example.com failed",
        "error": {"stack_trace": "at main (Job.rs)"},
        "user": {"name": "Ann Smith"},
        "annals": {"payload": "{\"limit\":250.5}"},
    }));
    check(
        &event,
        &[
            "message:payroll",
            "message:nothing EXPORT",
            "message:\"payroll export\"",
            "message:\"for user\"",
            "message:pay*",
            "message:us*@ex*.com",
            "message.keyword:*user@*",
            "message.keyword:\"Payroll export for user@example.com failed\"",
            "error.stack_trace:main",
            "error.stack_trace:*",
            "user.name:Ann Smith",
            "user.name.text:smith",
            "annals.payload:limit",
            "annals.payload.keyword:*250.5*",
            "payroll",
            "Ann Smith",
        ],
        &[
            "message:pay",
            "message:\"export payroll\"",
            "message:\"payroll for\"",
            "message:Payroll*export",
            "message.keyword:payroll*",
            "user.name:ann",
            "user.name:smith",
            "smith",
        ],
    );
}

#[test]
fn texts_that_are_too_long_have_words_but_no_value() {
    let longest = "ü".repeat(1024);
    check(
        &event(json!({"message": longest, "user": {"name": longest}})),
        &["user.name:*", "message.keyword:*", "user.name:ü*"],
        &[],
    );
    let fields = |text: String| {
        let (url, payload) = (json!({"full": text, "query": text}), json!({"payload": text}));
        event(json!({"message": text, "error": {"message": text}, "url": url, "annals": payload}))
    };
    let paths = ["message.keyword", "error.message.keyword", "url.full", "url.query", "annals.payload.keyword"];
    for (units, has_value) in [(1_025, true), (8_191, true), (8_192, false), (100_000, false)] {
        for text in ["x".repeat(units - 4) + "tail", "𐐀".repeat((units - 4) / 2) + &"-".repeat(units % 2) + "tail"] {
            for path in paths {
                let filters = [format!("{path}:*tai*"), format!("{path}:*")];
                let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
                let (finding, missing) = if has_value { (&filters[..], &[][..]) } else { (&[][..], &filters[..]) };
                check(&fields(text.clone()), finding, missing);
            }
        }
    }
    // Half the characters, as each is two units.
    let long = format!("{} tail", "𐐀".repeat(4_096));
    check(
        &event(
            json!({"message": long, "user": {"name": long}, "annals": {"payload": format!("\"{}\"", "x".repeat(8190))}}),
        ),
        &["message:*", "message:tail", "user.name.text:tail", "annals.payload:*"],
        &["user.name:*", "user.name:𐐀*", "message.keyword:*", "message.keyword:*tail", "annals.payload.keyword:*"],
    );
}

#[test]
fn numbers_dates_and_addresses_compare_as_such() {
    let event = event(json!({
        "event": {"duration": "9007199254740993", "severity": 10, "risk_score": 0.1, "start": "1969-12-31T23:59:59.999999Z"},
        "kibana": {"alert": {"flapping": false}, "version": "9.10.0"},
        "source": {"ip": "10.0.0.5"},
    }));
    check(
        &event,
        &[
            "event.duration:9007199254740993",
            "event.duration > 9007199254740992",
            "event.severity > 9",
            "event.severity > 9.5",
            "event.severity:10.0",
            "event.risk_score:0.1",
            "event.risk_score <= 0.1",
            "event.risk_score:0.10000000001",
            "event.start:1969-12-31T23:59:59.999",
            "event.start < 1970",
            "@timestamp:2021-03-02T10:15:30.123",
            "@timestamp:2021",
            "@timestamp <= 2021-03-02",
            "@timestamp > 2021-03-01",
            "@timestamp >= now-1d/d",
            "kibana.alert.flapping:false",
            "kibana.version:9.1*",
            "source.ip:10.0.0.0/29",
            "source.ip:::/0",
            "source.ip:::ffff:10.0.0.5",
            "source.ip >= 10.0.0.5",
            "10.0.0.5",
        ],
        &[
            "event.duration:9007199254740992",
            "event.severity < 10",
            "event.start:1970",
            "@timestamp < 2021-03-02",
            "@timestamp > 2021-03-02",
            "kibana.alert.flapping:true",
            "kibana.version:9.1",
            "source.ip:10.0.0.0/30",
            "source.ip > 10.0.0.5",
            "event.end:*",
        ],
    );
}

#[test]
fn labels_are_texts_by_name() {
    let event = event(json!({"labels": {"team": "payroll", "a.b": "x", "attempt": "2", "long": "y".repeat(8000)}}));
    check(
        &event,
        &[
            "labels.team:payroll",
            "labels.team:pay*",
            "labels.a.b:x",
            "labels.attempt:2",
            "labels:x",
            "labels:pay*",
            "labels.*:x",
            "labels:*",
            "labels.long:yyy*",
        ],
        &["labels.team:x", "labels.a:x", "labels.none:*", "labels:team"],
    );
    check(&self::event(json!({"labels": {}})), &[], &["labels:*"]);
}

#[test]
fn a_single_element_must_pass() {
    let event =
        event(json!({"kibana": {"saved_objects": [{"type": "alert", "id": "a"}, {"type": "action", "id": "b"}]}}));
    check(
        &event,
        &[
            "kibana.saved_objects:{ type:alert and id:a }",
            "kibana.saved_objects:{ type:alert and not id:b }",
            "kibana.saved_objects.type:alert and kibana.saved_objects.id:b",
            "kibana.saved_objects.id:(a and b)",
            "kibana.saved_objects:*",
            "kibana.saved_objects:{ b }",
            "b",
        ],
        &[
            "kibana.saved_objects:{ type:alert and id:b }",
            "kibana.saved_objects:{ id:(a and b) }",
            "not kibana.saved_objects.id:a",
            "kibana.saved_objects.namespace:*",
        ],
    );
    check(&self::event(json!({"kibana": {"saved_objects": []}})), &[], &["kibana.saved_objects:*"]);
    let outside = Filter::value(Subject::Field(field("kibana.saved_objects.id")), Test::Exists).unwrap();
    assert!(!outside.matches(&event), "members are seen inside an element only");
    let inside = Filter::value(Subject::Field(field("@timestamp")), Test::Exists).unwrap();
    assert!(!Filter::Element(field("kibana.saved_objects"), Box::new(inside)).matches(&event));
}

#[test]
fn no_filter_finds_a_stub() {
    let stub = json!({"annals": {"chain": "c", "content": "{}", "kind": "stub", "sequence": 1}});
    for text in ["", "*:*", "annals.sequence:1", "not annals.sequence:1", "not message:x"] {
        assert!(!kql::parse(text, NOW).unwrap().matches(&stub), "{text}");
    }
    assert!(!Filter::EVERYTHING.matches(&stub) && !Filter::NOTHING.negated().matches(&stub));
}

fn field(path: &str) -> &'static Field {
    crate::schema::field(path).unwrap()
}

#[test]
fn nested_lists_of_the_same_kind_are_flattened() {
    let leaf = |path| Filter::value(Subject::Field(field(path)), Test::Exists).unwrap();
    let (one, two) = (leaf("event.action"), leaf("event.code"));
    assert_eq!(Filter::all([one.clone()]), one);
    assert_eq!(Filter::any([]), Filter::NOTHING);
    assert_eq!(Filter::all([Filter::EVERYTHING, one.clone()]), one);
    let nested = Filter::any([Filter::any([one.clone(), two.clone()]), Filter::NOTHING, one.clone()]);
    assert_eq!(nested, Filter::Any(vec![one.clone(), two, one.clone()]));
    assert_eq!(one.clone().negated().negated(), one);
}

fn values() -> [Value; 6] {
    [
        Value::Text("x".to_owned()),
        Value::Integer(1),
        Value::Number(0.5),
        Value::Boolean(true),
        Value::Millis(NOW),
        Value::Address(std::net::Ipv6Addr::LOCALHOST),
    ]
}

#[test]
fn unsearchable_fields_and_values_of_another_type_are_refused() {
    for field in schema::fields() {
        let asked = |test: Test| Filter::value(Subject::Field(field), test);
        let is_never = field.search == Search::Never || matches!(field.kind, Kind::Nested | Kind::Objects);
        assert_eq!(asked(Test::Exists).is_err(), is_never, "{}", field.path);
        let taken = values().into_iter().filter(|value| asked(Test::OneOf(vec![value.clone()])).is_ok()).count();
        let has_value = !is_never && field.search.by_value() && field.kind != Kind::GeoPoint;
        assert_eq!(taken, usize::from(has_value), "{}", field.path);
        let ordered = values()
            .into_iter()
            .filter(|value| asked(Test::Range { low: Bound::Included(value.clone()), high: Bound::Unbounded }).is_ok());
        // Severities are only compared with severities.
        let has_order = !matches!(field.kind, Kind::Version | Kind::Labels | Kind::Flattened | Kind::Boolean)
            && field.path != "annals.severity";
        assert_eq!(ordered.count(), usize::from(taken == 1 && has_order), "{}", field.path);
        assert_eq!(asked(Test::Words(vec!["x".to_owned()])).is_ok(), field.search.by_words(), "{}", field.path);
        let long = asked(Test::Like(Pattern::containing(&"x".repeat(200))));
        assert!(long.is_err(), "{}", field.path);
    }
    let inner = Filter::value(Subject::at("labels.x").unwrap(), Test::Like(Pattern::containing("x")));
    assert_eq!(inner.unwrap_err().to_string(), "labels.x can only have a wildcard at the end");
}

#[test]
fn events_are_sorted_by_single_values_that_every_store_orders_the_same_way() {
    let reason = |path: &str| Sort::by(field(path), Order::Ascending).err().map(|error| error.reason);
    for field in schema::fields().iter().filter(|field| field.multi) {
        assert!(Sort::by(field, Order::Descending).is_err(), "{}", field.path);
    }
    assert_eq!(reason("labels"), Some("name a single label, such as labels.team"));
    assert_eq!(reason("tags"), Some("an event may have several values of it"));
    assert_eq!(reason("kibana.saved_objects.id"), Some("an event may have several values of it"));
    assert_eq!(reason("dns.answers.ttl"), Some("an event may have several values of it"));
    assert_eq!(reason("entity.raw"), Some("an event may have several values of it"));
    assert_eq!(reason("host.geo.location"), Some("places have no order"));
    assert_eq!(reason("kibana.alert.rule.gap.range"), Some("it is a range of dates"));
    assert_eq!(reason("kibana.version"), Some("not every store can compare versions"));
    assert_eq!(reason("annals.hash"), Some("it is kept, but not indexed"));
    assert_eq!(reason("error.stack_trace"), Some("it is only searched by its words"));
    let by_address = Sort::by(field("source.ip"), Order::Ascending).unwrap();
    let mut addresses = ["::ffff:10.0.0.1", "9.0.0.1", "2001:db8::1", "10.0.0.2", "::1"];
    addresses.sort_by(|one, other| {
        let key = |address: &str| by_address.key(&json!({"source": {"ip": address}})).unwrap();
        key(one).partial_cmp(&key(other)).unwrap()
    });
    assert_eq!(addresses, ["::1", "9.0.0.1", "::ffff:10.0.0.1", "10.0.0.2", "2001:db8::1"]);
}

#[test]
fn calendar_intervals_divide_all_time_in_every_zone() {
    let zones = ["CET-1CEST,M3.5.0,M10.5.0/3", "<-04>4<-03>,M9.1.6/24,M4.1.6/24", "<+0545>-5:45", "UTC0"];
    let zones = zones.map(|zone| TimeZone::posix(zone).unwrap());
    let first = UnixMillis::parse("2020-12-25T00:15:00Z").unwrap();
    for zone in zones {
        for unit in [Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Years(1), Unit::Years(10)] {
            let interval = Interval::Calendar(unit, zone.clone());
            let mut last = None;
            for instant in (0..400 * 48).map(|half_hour| UnixMillis(first.0 + half_hour * 1_800_000)) {
                let start = interval.start_of(instant).unwrap();
                let next = interval.next(start).unwrap();
                assert!(start <= instant && instant < next, "{unit:?} {zone:?} {instant:?}");
                assert_eq!(start.0 % interval.granule(), 0, "{unit:?} {zone:?} {instant:?}");
                assert!(last.is_none_or(|(from, to)| start == from || start == to), "{unit:?} {zone:?} {instant:?}");
                last = Some((start, next));
            }
        }
    }
    let granule = |zone: &str| Interval::Calendar(Unit::Day, TimeZone::posix(zone).unwrap()).granule();
    assert_eq!(["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<+0545>-5:45"].map(granule), [86_400_000, 3_600_000, 900_000]);
}
