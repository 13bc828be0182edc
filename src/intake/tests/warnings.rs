//! What an answer warns of.

use serde_json::{Value, json};

use super::{super::*, FixedClock, accept, intake_with};
use crate::wire::WarningCode;

const OBJECT: &str = r#","kibana.saved_objects":[{"rel":"primary","type":"t","id":"1"}]"#;

fn event(extra: &str) -> String {
    super::event(&format!("{OBJECT}{extra}"))
}

/// Codes and paths.
fn warned(body: &str) -> Vec<(WarningCode, String)> {
    accept(body).warnings.into_iter().map(|warning| (warning.code, warning.path)).collect()
}

#[test]
fn what_will_surprise_is_warned_of_and_nothing_else() {
    let at = |offset_ms: i64| {
        format!(r#","@timestamp":"{}""#, crate::time::format_time(UnixMillis(FixedClock.now().0 + offset_ms)))
    };
    let (day, minutes) = (86_400_000, 300_000);
    for (body, expected) in [
        (event(""), None),
        (super::event(""), Some((WarningCode::NoPrimaryObject, "kibana.saved_objects"))),
        (
            super::event(r#","kibana.saved_objects":[{"type":"t","id":"1"}]"#),
            Some((WarningCode::NoPrimaryObject, "kibana.saved_objects")),
        ),
        (event(&at(-day)), None),
        (event(&at(-day - 1)), Some((WarningCode::DistantTime, "@timestamp"))),
        (event(&at(minutes)), None),
        (event(&at(minutes + 1)), Some((WarningCode::DistantTime, "@timestamp"))),
        (event(r#","log.level":"warning""#), None),
        (event(r#","log.level":"loud""#), Some((WarningCode::UnknownLevel, "log.level"))),
        (event(r#","log.level":"loud","annals.severity":"error""#), None),
        (event(r#","user.name":"a\u0000""#), Some((WarningCode::RepairedTexts, "user.name"))),
        (event(r#","user.name":"a\u0001""#), None),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(code, path)| (code, path.to_owned())).collect();
        assert_eq!(warned(&body), expected, "{body}");
    }
    let (intake, _folder) = intake_with(Value::Null);
    let intake = intake.with_unknown_fields(UnknownFields::Keep);
    let kept = intake.accept(&Author::anyone(), None, event(r#","zeta.x":1,"app":2"#).as_bytes()).unwrap();
    assert_eq!((kept.warnings[0].code, kept.warnings[0].path.as_str()), (WarningCode::UnmappedFields, "app"));
}

#[test]
fn each_kind_is_warned_of_once_with_the_first_event_and_their_number() {
    let lines = [
        event(""),
        super::event(r#","mesage":1"#),
        event(r#","log.level":"loud""#),
        super::event(""),
        event(r#","log.level":"louder""#),
    ];
    let warnings = accept(&lines.join("\n")).warnings;
    let seen: Vec<_> = warnings.iter().map(|warning| (warning.code, warning.events, warning.first)).collect();
    assert_eq!(seen, [(WarningCode::UnknownLevel, 2, 2), (WarningCode::NoPrimaryObject, 1, 3)]);
    assert_eq!(warnings[0].message, "\"loud\" is no level that the log knows, so the severity is informational");
}

#[test]
fn the_log_does_not_warn_itself() {
    let (intake, _folder) = intake_with(json!({}));
    assert_eq!(intake.accept(&Author::log(), None, super::event("").as_bytes()).unwrap().warnings, []);
}
