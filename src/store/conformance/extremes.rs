//! No store may refuse the largest events that the intake accepts.

use serde_json::{Map, Value, json};

use super::Fixture;
use crate::store::Outcome;

/// An event of about 1 MiB, the default maximum.
pub(super) async fn are_accepted(fixture: &Fixture<'_>) {
    let text = |one: &str, bytes: usize| one.repeat(bytes / one.len());
    let words: Vec<_> = (0..150_000).map(|number| format!("{number:x}")).collect();
    let reference = |one: &str| json!({"rel": "primary", "id": text(one, 1_024), "type": text(one, 1_024), "type_id": text(one, 1_024), "name": text(one, 1_024), "namespace": text(one, 1_024)});
    let references = |one: &str, count: usize| Value::Array(vec![reference(one); count]);
    let numbered = |count: usize| (0..count).map(|number| format!("{number}{}", "x".repeat(900)));
    let (long, wide) = (text("x", 8_191), text("🦀", 8_191));
    let labels = json!({".": "", "..": ".", " ": " ", "a.": "a", ".a": "=", "a=b": "\u{1}", "\u{1}": "\"", &long: &long, &wide: &wide});
    let many_labels: Map<String, Value> = numbered(1_000).map(|text| (text, "v".into())).collect();
    let results: Vec<_> = numbered(1_000).map(|text| json!({"rule_id": text, "processed_gaps": -1})).collect();
    // Objects with any members, as deep and with texts as long as the intake takes them.
    let deep = |depth: usize, value: Value| (0..depth).fold(value, |inner, _| json!({"a": inner}));
    let any_object =
        json!({&long: &long, ".": {" ": "=", "a=b": [1e30, -0.5, true, null]}, "\u{1}": &"🦀".repeat(2_047)});
    let many_values: Map<String, Value> = numbered(1_000).map(|text| (text.clone(), text.into())).collect();
    let enrichment =
        json!({"indicator": {"file": {"elf": {"sections": vec![json!({"name": "x", "physical_size": 1}); 100]}}}});
    let range = json!({"gte": "0000-01-01T00:00:00.000Z", "lte": "9999-12-31T23:59:59.999999999Z"});
    let with = |path: &str, value: Value| fixture.draft().with(path, value);
    let drafts = [
        with("message", words.join(" ").into()),
        with("message", text("x", 1_000_000).into()),
        with("message", format!("{} ", "é".repeat(255)).repeat(1_900).into()),
        with("message", text("世", 1_000_000).into()),
        with("message", text("\u{1}", 1_000).into()),
        with("annals.payload", text("é", 1_000_000).into()),
        with("error.stack_trace", text("🦀 ", 1_000_000).into()),
        with("event.original", text("x", 1_000_000).into()),
        with(
            "annals.originals",
            json!([{"path": "user.name", "texts": [text("🦀", 1_000_000), text("\u{1}", 1_000)]}]),
        ),
        with("event.id", text("🦀", 1_024).into()).with("event.action", text("世", 1_024)),
        with("user.name", text("é", 32_766).into()).with("user.id", "世".repeat(1_024)),
        with("tags", numbered(1_000).collect()),
        with("annals.objects", numbered(500).map(|text| text.repeat(2)).collect()),
        with("url.query", text("é", 32_766).into()).with("url.full", text("世", 8_191 * 3)),
        with("labels", labels),
        with("labels", many_labels.into()),
        with("kibana.saved_objects", references("🦀", 200)),
        with("kibana.saved_objects", references("\u{1}", 200)),
        with("kibana.saved_objects", Value::Array(vec![json!({}); 5_000])),
        with("kibana.gap_auto_fill.execution.results", results.into()),
        with("entity.raw", any_object.clone()),
        with("entity.raw", deep(20, "x".into())),
        with("entity.raw", many_values.into()),
        with("dll.pe.imports", json!([any_object, {}])),
        with("http.request.body.content", text("🦀", 1_000_000).into()),
        with("threat.enrichments", Value::Array(vec![json!({}); 5_000])),
        with("threat.enrichments", Value::Array(vec![enrichment; 20])),
        with("dns.answers", Value::Array(vec![json!({"name": "x", "ttl": 1}); 1_000])),
        with("kibana.alert.rule.gap.range", range.clone()),
        with("kibana.alert.rule.gap.filled_intervals", Value::Array(vec![range; 1_000])),
        with("host.geo.location", json!({"lat": 90, "lon": -180})),
        with("host.geo.location", json!({"lat": -90, "lon": 180})),
        with("event.risk_score", 3.402_823_567_797_336_2e38.into()),
        with("event.risk_score", 5e-324.into()),
        with("event.severity", (1_i64 - (1 << 53)).into()),
        with("source.ip", "::ffff:255.255.255.255".into()),
    ];
    let events: Vec<_> = (0..).zip(drafts).map(|(sequence, draft)| fixture.sealed(sequence, draft)).collect();
    // An engine with a small heap does not take all of them at once.
    for part in events.chunks(8) {
        assert_eq!(fixture.append(part).await, vec![Outcome::Stored; part.len()]);
    }
}
