//! Completes an event before it is sent: defaults, a time, an id; and times operations.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::event::{UnixMillis, Uuid};

/// Merges defaults under an event: objects are merged member by member; any other value of the event, arrays and null
/// included, takes precedence as a whole.
pub(super) fn merge_defaults(event: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    for (name, default) in defaults {
        match (event.get_mut(name), default) {
            (Some(Value::Object(own)), Value::Object(below)) => merge_defaults(own, below),
            (Some(_), _) => {}
            (None, _) => {
                event.insert(name.clone(), default.clone());
            }
        }
    }
}

/// Sets `@timestamp` and `event.id` where they are absent.
pub(super) fn complete(event: &mut Map<String, Value>) {
    let now = Timestamp::now();
    event.entry("@timestamp").or_insert_with(|| Value::from(now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()));
    if let Value::Object(fields) = event.entry("event").or_insert_with(|| Value::Object(Map::new())) {
        fields.entry("id").or_insert_with(|| Value::from(uuid_v7(now)));
    }
}

/// Returns a new `event.id`: with one, an event can be sent again and is logged once.
pub fn new_id() -> String {
    uuid_v7(Timestamp::now())
}

fn uuid_v7(now: Timestamp) -> String {
    let mut random = [0u8; 16];
    // Without randomness ids may collide. They are not used for security, so logging goes on.
    let _ = getrandom::fill(&mut random);
    Uuid::v7(UnixMillis(now.as_millisecond()), random).to_string()
}

/// Sets `event.start` to now.
pub fn start_timing(event: &mut Value) {
    if let Some(fields) = event_fields(event) {
        fields.insert("start".to_owned(), Value::from(Timestamp::now().to_string()));
    }
}

/// Sets `event.end` to now and `event.duration` to the nanoseconds since `event.start`, as a decimal string, since a JSON
/// number may not hold them exactly. Does nothing without a valid start.
pub fn stop_timing(event: &mut Value) {
    let end = Timestamp::now();
    let start = event.pointer("/event/start").and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    let Some(start) = start else { return };
    if let Some(fields) = event_fields(event) {
        // The clock may have been set back in between.
        let nanoseconds = end.as_nanosecond().saturating_sub(start.as_nanosecond()).max(0);
        fields.insert("end".to_owned(), Value::from(end.to_string()));
        fields.insert("duration".to_owned(), Value::from(nanoseconds.to_string()));
    }
}

/// The `event` object, created if absent; `None` if it is not an object.
fn event_fields(event: &mut Value) -> Option<&mut Map<String, Value>> {
    event.as_object_mut()?.entry("event").or_insert_with(|| Value::Object(Map::new())).as_object_mut()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check_merge(event: Value, defaults: &Value, expected: &Value) {
        let mut event = event.as_object().unwrap().clone();
        merge_defaults(&mut event, defaults.as_object().unwrap());
        assert_eq!(&Value::Object(event), expected);
    }

    #[test]
    fn an_events_own_members_take_precedence_over_defaults() {
        let defaults = json!({"event": {"provider": "p", "action": "a"}, "tags": ["x", "y"], "user": {"name": "u"}});
        let event = json!({"event": {"action": "b"}, "tags": ["z"], "user": null});
        let merged = json!({"event": {"provider": "p", "action": "b"}, "tags": ["z"], "user": null});
        check_merge(event, &defaults, &merged);
        check_merge(json!({}), &defaults, &defaults);
    }

    #[test]
    fn time_and_id_are_set_only_where_absent() {
        let own = json!({"@timestamp": "2021-01-01T00:00:00.000Z", "event": {"id": "mine"}});
        let mut event = own.as_object().unwrap().clone();
        complete(&mut event);
        assert_eq!(Value::Object(event), own);

        let mut bare = Map::new();
        complete(&mut bare);
        let time = bare["@timestamp"].as_str().unwrap();
        assert!(time.len() == 24 && time.parse::<Timestamp>().is_ok(), "{time}");
    }

    #[test]
    fn ids_are_uuids_of_version_7_that_begin_with_the_time() {
        let now: Timestamp = "2022-02-22T19:22:22Z".parse().unwrap();
        let (one, two) = (uuid_v7(now), uuid_v7(now));
        assert_ne!(one, two);
        for id in [one, two] {
            assert_eq!(&id[..15], "017f22e2-79b0-7");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b") && id.len() == 36, "{id}");
        }
    }

    #[test]
    fn timing_gives_end_and_duration_in_nanoseconds_as_text() {
        let mut event = json!({"event": {"start": "2021-01-01T00:00:00Z"}});
        stop_timing(&mut event);
        let end: Timestamp = event["event"]["end"].as_str().unwrap().parse().unwrap();
        let start: Timestamp = "2021-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(event["event"]["duration"], (end.as_nanosecond() - start.as_nanosecond()).to_string());

        let mut timed = json!({});
        start_timing(&mut timed);
        stop_timing(&mut timed);
        assert!(timed["event"]["duration"].as_str().unwrap().parse::<u64>().is_ok(), "{timed}");
    }

    #[test]
    fn a_start_in_the_future_gives_no_negative_duration() {
        let mut event = json!({"event": {"start": "9000-01-01T00:00:00Z"}});
        stop_timing(&mut event);
        assert_eq!(event["event"]["duration"], "0");
    }

    #[test]
    fn without_a_readable_start_stopping_does_nothing() {
        for mut event in [json!({}), json!({"event": {"start": "soon"}}), json!({"event": 1}), json!("text")] {
            let before = event.clone();
            stop_timing(&mut event);
            assert_eq!(event, before);
        }
    }
}
