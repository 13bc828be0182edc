//! No store may refuse the largest events that the intake accepts.

use serde_json::{Map, Value, json};

use super::Fixture;

/// An event of about 1 MiB, the default maximum.
pub(super) async fn are_accepted(fixture: &Fixture<'_>) {
    let text = |one: &str, bytes: usize| one.repeat(bytes / one.len());
    let words: Vec<_> = (0..150_000).map(|number| format!("{number:x}")).collect();
    let reference = |one: &str| json!({"rel": "primary", "id": text(one, 1_024), "type": text(one, 1_024), "type_id": text(one, 1_024), "namespace": text(one, 1_024)});
    let references = |one: &str, count: usize| Value::Array(vec![reference(one); count]);
    let numbered = |count: usize| (0..count).map(|number| format!("{number}{}", "x".repeat(900)));
    let (long, wide) = (text("x", 8_191), text("🦀", 8_191));
    let labels = json!({".": "", "..": ".", " ": " ", "a.": "a", ".a": "=", "a=b": "\u{1}", "\u{1}": "\"", &long: &long, &wide: &wide});
    let many_labels: Map<String, Value> = numbered(1_000).map(|text| (text, "v".into())).collect();
    let results: Vec<_> = numbered(1_000).map(|text| json!({"rule_id": text, "processed_gaps": -1})).collect();
    let with = |path: &str, value: Value| fixture.draft().with(path, value);
    fixture
        .stored([
            with("message", words.join(" ").into()),
            with("message", text("x", 1_000_000).into()),
            with("message", format!("{} ", "é".repeat(255)).repeat(1_900).into()),
            with("message", text("世", 1_000_000).into()),
            with("message", text("\u{1}", 1_000).into()),
            with("annals.payload", text("é", 1_000_000).into()),
            with("error.stack_trace", text("🦀 ", 1_000_000).into()),
            with("event.original", text("x", 1_000_000).into()),
            with("event.id", text("🦀", 1_024).into()).with("event.action", text("世", 1_024)),
            with("user.name", text("é", 32_766).into()).with("user.id", "世".repeat(1_024)),
            with("tags", numbered(1_000).collect()),
            with("labels", labels),
            with("labels", many_labels.into()),
            with("kibana.saved_objects", references("🦀", 200)),
            with("kibana.saved_objects", references("\u{1}", 200)),
            with("kibana.saved_objects", Value::Array(vec![json!({}); 5_000])),
            with("kibana.gap_auto_fill.execution.results", results.into()),
            with("event.risk_score", 3.402_823_567_797_336_2e38.into()),
            with("event.risk_score", 5e-324.into()),
            with("event.severity", (1_i64 - (1 << 53)).into()),
            with("source.ip", "::ffff:255.255.255.255".into()),
        ])
        .await;
}
