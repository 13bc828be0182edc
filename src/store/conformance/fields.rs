//! Every field that events are sorted or counted by, with every kind of value that it may have.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Fixture, parse, sequence};
use crate::{
    query::{
        Aggregate, Aggregation, Bucket, Key,
        Order::{Ascending, Descending},
        Place, Sort,
    },
    schema::{self, Field, Kind, Search, nested_around},
    store::testing::{by, fresh_chain, fresh_name},
};

/// Number of events that have a value of every field; one more has none.
const EVENTS: u64 = 14;

/// Values for a field of this kind: small, large, equal, and too long to be found.
fn values(field: &Field) -> Vec<Value> {
    let texts = |more: &[&str]| more.iter().map(|text| json!(text)).collect::<Vec<_>>();
    match field.kind {
        Kind::Keyword | Kind::Text | Kind::Json => {
            let mut values = texts(&["", "a", "a\u{fffd}", "a\u{10000}", "\0", "\u{1}", "A", "a"]);
            let longest = usize::from(field.longest_value);
            let longer = "\u{1f980}".repeat(longest / 2 + 1);
            values.extend([json!("x".repeat(longest)), json!("x".repeat(longest + 1)), json!(longer)]);
            values
        }
        Kind::Date => texts(&[
            "0000-01-01T00:00:00.000Z",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00.000Z",
            "2026-11-24T12:00:00.001Z",
            "2026-11-24T12:00:00.001999Z",
            "9999-12-31T23:59:59.999Z",
        ]),
        Kind::Long => [-9_007_199_254_740_991_i64, -1, 0, 7, 7, 9_007_199_254_740_991].map(Value::from).to_vec(),
        // Some lie between two neighbouring floating-point numbers; some are the shortest text of one and must be
        // parsed exactly.
        Kind::Long64 => texts(&[
            "-9223372036854775808",
            "-9007199254740993",
            "0",
            "0",
            "91469693109500370",
            "91469693109500371",
            "115741109381411798",
            "115741109381411799",
            "9223372036854775806",
            "9223372036854775807",
        ]),
        Kind::Float => [-3.4e38, -0.1, 0.0, 0.1, 0.1, 0.100_000_001, 1e-50, 1e-40, 16_777_217.0, 3.402_823_4e38]
            .map(Value::from)
            .to_vec(),
        Kind::Boolean => vec![json!(false), json!(true), json!(true)],
        Kind::Ip => texts(&["10.0.0.1", "::ffff:10.0.0.1", "9.0.0.1", "2001:db8::1", "2001:DB8:0::1", "::1", "ff::"]),
        Kind::Version => texts(&["1.0.0", "1.10.0", "1.9.0", "1.9.0"]),
        Kind::DateRange => vec![json!({"gte": "2026-11-24T12:00:00.000Z", "lte": "2026-11-24T13:00:00.000Z"})],
        Kind::GeoPoint => vec![json!({"lat": 48.5, "lon": -2.5})],
        Kind::Flattened => vec![json!({"a": ["b", 1], "c": {"d": true}})],
        Kind::Labels | Kind::Nested | Kind::Objects => Vec::new(),
    }
}

/// The fields to test: those of Annals, of Kibana and of the sets that nearly every event has, and two of each other shape.
fn tested() -> Vec<&'static Field> {
    let mut shapes: Vec<Field> = Vec::new();
    let mut is_tested = |field: &Field| {
        let set = field.path.split('.').next().unwrap_or_default();
        if set == field.path || ["annals", "kibana", "event", "error", "log", "rule"].contains(&set) {
            return true;
        }
        shapes.push(Field { path: "", ..*field });
        shapes.iter().filter(|shape| *shape == &Field { path: "", ..*field }).count() <= 2
    };
    schema::fields().iter().filter(|field| is_free(field)).filter(|field| is_tested(field)).collect()
}

/// The field's value in the event of this number, or two values if the field may have several.
fn value(field: &Field, event: u64) -> Option<Value> {
    let values = values(field);
    let at = |place: u64| values.get(usize::try_from(place).ok()? % values.len().max(1)).cloned();
    if field.multi { Some(json!([at(event)?, at(event + 3)?])) } else { at(event) }
}

/// Whether the test may set the field. It may not set fields that change the event's place or visibility; elements are
/// tested by themselves.
fn is_free(field: &Field) -> bool {
    field.search != Search::Never
        && !matches!(field.path, "@timestamp" | "annals.chain" | "annals.sequence")
        && !field.in_objects
        && nested_around(field.path).is_none()
        && !matches!(field.kind, Kind::Nested | Kind::Objects)
}

/// Splits the fields into parts with separate events, to keep these small.
fn parts<'a>(fixture: &Fixture<'a>) -> Vec<(Vec<&'static Field>, Fixture<'a>)> {
    let part = |fields: &[&'static Field]| {
        let (store, target) = (fixture.store, fixture.target.clone());
        (fields.to_vec(), Fixture { store, target, chain: fresh_chain(), id: fresh_name() })
    };
    tested().chunks(20).map(part).collect()
}

/// Stores the events with these fields and returns the documents.
async fn stored(fixture: &Fixture<'_>, fields: &[&'static Field]) -> Vec<Value> {
    let drafts = (0..=EVENTS).map(|event| {
        fields.iter().fold(fixture.draft(), |draft, field| match value(field, event).filter(|_| event < EVENTS) {
            Some(value) => draft.with(field.path, value),
            None if field.kind == Kind::Labels => draft,
            None => draft.with(field.path, json!("")).without(field.path),
        })
    });
    let events = fixture.stored(drafts).await;
    fixture.store.refresh().await.expect("the store refreshes");
    events.iter().map(|event| parse(&event.document)).collect()
}

/// Reads in small pages, by a scan and by places. Terminates even if a store returns the same events over and over.
pub(super) async fn every_sortable_field_divides(fixture: &Fixture<'_>) {
    let mut failed = BTreeSet::new();
    for (fields, fixture) in parts(fixture) {
        let documents = stored(&fixture, &fields).await;
        let sorts = fields.iter().flat_map(|field| [(*field, Ascending), (*field, Descending)]);
        for (field, order) in sorts {
            if Sort::by(field, order).is_err() {
                continue;
            }
            let sort = [by(field, order)];
            let mut places: Vec<Place> = documents.iter().filter_map(|document| Place::of(document, &sort)).collect();
            places.sort_by(|one, other| one.compare(other, &sort));
            let expected: Vec<u64> = places.iter().map(|place| place.position.sequence.0).collect();
            let question = fixture.query().by(&[(field, order)]).page(0, 4);

            let mut scanned: Vec<u64> = Vec::new();
            let mut scan = fixture.store.scan(&question.clone().build()).await.expect("the store scans");
            while scanned.len() <= documents.len() {
                let part = scan.next(4).await.expect("the scan goes on");
                if part.is_empty() {
                    break;
                }
                scanned.extend(part.iter().map(sequence));
            }
            scan.close().await;

            let mut paged: Vec<u64> = Vec::new();
            let mut last: Option<Bytes> = None;
            while paged.len() <= documents.len() {
                let next = match &last {
                    Some(last) => question.clone().after(&parse(last)),
                    None => question.clone(),
                };
                let page = fixture.store.find(&next.build()).await.expect("the store answers").documents;
                paged.extend(page.iter().map(sequence));
                let Some(end) = page.last() else { break };
                last = Some(end.clone());
            }
            if scanned != expected || paged != expected {
                failed.insert(format!("{} {order:?}: {expected:?}, scanned {scanned:?}, paged {paged:?}", field.path));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

pub(super) async fn every_countable_field_counts(fixture: &Fixture<'_>) {
    let mut failed = BTreeSet::new();
    for (fields, fixture) in parts(fixture) {
        let documents = stored(&fixture, &fields).await;
        for field in fields {
            let aggregation = Aggregation::Terms { subject: field.into(), limit: 1_000 };
            if aggregation.check().is_err() {
                continue;
            }
            let answer = fixture.store.aggregate(&fixture.query().build(), &aggregation).await;
            let (answer, expected) = (answer.expect("the store counts"), counted(&documents, field));
            if answer != expected {
                failed.insert(format!("{}: {expected:?}, counted {answer:?}", field.path));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Members of arrays of objects, with several values within one object and among them.
pub(super) async fn members_of_objects_count(fixture: &Fixture<'_>) {
    let enrichments = json!([
        {"indicator": {"ip": "10.0.0.1", "port": 1, "file": {"attributes": ["a", "b"], "elf": {"sections": [{"name": "x", "physical_size": 1}, {"name": "y"}]}}}},
        {"indicator": {"ip": "::ffff:10.0.0.1", "file": {"attributes": ["a"], "elf": {"sections": [{"name": "x"}]}}}},
        {"matched": {"field": "f"}},
    ]);
    let answers = json!([{"name": "one", "ttl": 60}, {"name": "two"}, {"name": "one", "data": "d"}]);
    let drafts = [
        fixture.draft().with("threat.enrichments", enrichments).with("dns.answers", answers),
        fixture.draft().with("threat.enrichments", json!([{"indicator": {"file": {"attributes": []}}}])),
        fixture.draft().with("dns.answers", json!([{"name": "two", "ttl": 5}])),
        fixture.draft(),
    ];
    let events = fixture.stored(drafts).await;
    fixture.store.refresh().await.expect("the store refreshes");
    let documents: Vec<Value> = events.iter().map(|event| parse(&event.document)).collect();
    for path in [
        "threat.enrichments.indicator.ip",
        "threat.enrichments.indicator.port",
        "threat.enrichments.indicator.file.attributes",
        "threat.enrichments.indicator.file.elf.sections.name",
        "threat.enrichments.indicator.file.elf.sections.physical_size",
        "dns.answers.name",
        "dns.answers.ttl",
        "dns.answers.data",
    ] {
        let field = schema::field(path).expect("the field is mapped");
        let aggregation = Aggregation::Terms { subject: field.into(), limit: 10 };
        let answer = fixture.store.aggregate(&fixture.query().build(), &aggregation).await.expect("the store counts");
        assert_eq!(answer, counted(&documents, field), "{path}");
    }
}

fn counted(documents: &[Value], field: &Field) -> Aggregate {
    let (mut buckets, mut without): (Vec<Bucket>, u64) = (Vec::new(), 0);
    for document in documents {
        let values = field.path.split('.').fold(vec![document.clone()], |found, name| {
            let members = found.into_iter().filter_map(|mut value| value.get_mut(name).map(Value::take));
            members.flat_map(|member| if let Value::Array(values) = member { values } else { vec![member] }).collect()
        });
        let mut keys: Vec<Key> = Vec::new();
        for key in values.iter().filter_map(|value| Key::counted(value, field)) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        without += u64::from(keys.is_empty());
        for key in keys {
            match buckets.iter_mut().find(|bucket| bucket.value == key) {
                Some(bucket) => bucket.events += 1,
                None => buckets.push(Bucket { value: key, events: 1 }),
            }
        }
    }
    buckets
        .sort_by(|one, other| other.events.cmp(&one.events).then(one.value.compare_counted(&other.value, field.kind)));
    Aggregate::Terms { distinct: buckets.len() as u64, buckets, without }
}
