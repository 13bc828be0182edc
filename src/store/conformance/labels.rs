//! Sorting and counting by the labels of one name.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::{
    collection::{btree_map, vec},
    prelude::*,
    sample::select,
    strategy::ValueTree as _,
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use super::{Fixture, parse, sequence};
use crate::{
    query::{
        Aggregate, Aggregation, Bucket, Key,
        Order::{self, Ascending, Descending},
        Place, Sort, Subject,
        filter::{Filter, Test},
    },
    store::testing::QueryBuilder,
};

/// Some of these and of [`VALUES`] are one text where a store joins a name and its value. The last one is in no event.
const NAMES: [&str; 22] = [
    "team", "Team", "a", "a=", "a=b", "ab", "a.b", ".", "..", " ", "a.", "=", "labels", "labels.a", "\u{1}", "\"",
    "\\", "'", "${é}", "*", "a*", "nobody",
];
const VALUES: [&str; 20] = [
    "", "a", "b", "b=c", "=b", "c", "=", "A", "10", "9", "true", "-1.5", " a", "é", "\u{fffd}", "🦀", "\u{1}", "a\0",
    "%", "\"'\\",
];
const EVENTS: usize = 60;

/// The value of a label, exactly as it is in an event.
fn value(document: &Value, name: &str) -> Option<String> {
    document["labels"].get(name)?.as_str().map(str::to_owned)
}

fn label(name: &str) -> Subject {
    Subject::at(&format!("labels.{name}")).expect("labels have any names")
}

fn by(name: &str, order: Order) -> Sort {
    Sort::by(label(name), order).expect("events are sorted by labels")
}

/// Deterministic, so that failures can be reproduced.
fn generated() -> Vec<BTreeMap<&'static str, String>> {
    let longest = || select(&["x", "世", "🦀"][..]).prop_map(|one| one.repeat(8_191 / one.len()));
    let text = prop_oneof![40 => select(&VALUES[..]).prop_map(str::to_owned), 1 => longest()];
    let (_, names) = NAMES.split_last().expect("there are names");
    let labels = vec(btree_map(select(names), text, 0..8), EVENTS);
    labels.new_tree(&mut TestRunner::deterministic()).expect("the strategy generates labels").current()
}

/// Stores events with random labels and returns their documents.
async fn stored(fixture: &Fixture<'_>) -> Vec<Value> {
    let drafts = generated().into_iter().map(|labels| fixture.draft().with("labels", json!(labels)));
    let events = fixture.stored(drafts).await;
    fixture.store.refresh().await.expect("the store refreshes");
    events.iter().map(|event| parse(&event.document)).collect()
}

/// Asserts that a scan, pages by their offsets and pages by their places read the events in this order.
async fn are_in_order(fixture: &Fixture<'_>, question: QueryBuilder, expected: &[u64], name: &str) {
    const PAGE: u64 = 13;
    let mut scan = fixture.store.scan(&question.clone().build()).await.expect("the store scans");
    let mut scanned: Vec<u64> = Vec::new();
    let (mut paged, mut placed): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    let mut last: Option<Bytes> = None;
    for offset in (0..expected.len() as u64).step_by(PAGE as usize) {
        scanned.extend(scan.next(PAGE).await.expect("the scan goes on").iter().map(sequence));
        let page = question.clone().page(offset, PAGE).build();
        paged.extend(fixture.store.find(&page).await.expect("the store answers").documents.iter().map(sequence));
        let next = last.as_ref().map_or_else(|| question.clone(), |last| question.clone().after(&parse(last)));
        let page = fixture.store.find(&next.page(0, PAGE).build()).await.expect("the store answers").documents;
        placed.extend(page.iter().map(sequence));
        last = page.last().cloned();
    }
    scan.close().await;
    assert_eq!(scanned, expected, "scanned by {name}");
    assert_eq!(paged, expected, "by {name}");
    assert_eq!(placed, expected, "after places by {name}");
}

pub(super) async fn labels_are_sorted_by(fixture: &Fixture<'_>) {
    let documents = stored(fixture).await;
    let cases = NAMES.iter().flat_map(|name| [vec![(*name, Ascending)], vec![(*name, Descending)]]);
    let several = [
        vec![("a", Ascending), ("a=", Descending), ("a.b", Ascending)],
        vec![("nobody", Descending), ("=", Ascending)],
    ];
    for keys in cases.chain(several) {
        // The bytes of UTF-8 are in the order of the code points. Missing values come last in either direction.
        let mut expected: Vec<(u64, &Value)> = (0..).zip(&documents).collect();
        let Some((_, ties)) = keys.first() else { continue };
        expected.sort_by(|(at, one), (other_at, other)| {
            let by_keys = keys.iter().map(|(name, order)| match (value(one, name), value(other, name), order) {
                (Some(one), Some(other), Ascending) => one.as_bytes().cmp(other.as_bytes()),
                (Some(one), Some(other), Descending) => other.as_bytes().cmp(one.as_bytes()),
                (one, other, _) => other.is_some().cmp(&one.is_some()),
            });
            let by_position = if *ties == Ascending { at.cmp(other_at) } else { other_at.cmp(at) };
            by_keys.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then).then(by_position)
        });
        let expected: Vec<u64> = expected.into_iter().map(|(at, _)| at).collect();
        let sort: Vec<Sort> = keys.iter().map(|(name, order)| by(name, *order)).collect();
        let mut places: Vec<Place> = documents.iter().filter_map(|document| Place::of(document, &sort)).collect();
        places.sort_by(|one, other| one.compare(other, &sort));
        let model: Vec<u64> = places.iter().map(|place| place.position.sequence.0).collect();
        assert_eq!(model, expected, "the places of {keys:?}");
        are_in_order(fixture, fixture.query().sorted(sort), &expected, &format!("{keys:?}")).await;
    }
}

pub(super) async fn labels_are_counted(fixture: &Fixture<'_>) {
    let documents = stored(fixture).await;
    let has_a = Filter::value(label("a"), Test::Exists).expect("labels exist");
    for (filter, is_found) in [(Filter::EVERYTHING, false), (has_a, true)] {
        let found: Vec<&Value> = documents.iter().filter(|event| !is_found || value(event, "a").is_some()).collect();
        for name in NAMES {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for value in found.iter().filter_map(|event| value(event, name)) {
                *counts.entry(value).or_default() += 1;
            }
            let without = found.len() as u64 - counts.values().sum::<u64>();
            let distinct = counts.len() as u64;
            // The sort is stable: equally frequent ones stay in the order of the values.
            let mut buckets: Vec<Bucket> =
                counts.into_iter().map(|(value, events)| Bucket { value: Key::Text(value), events }).collect();
            buckets.sort_by_key(|bucket| std::cmp::Reverse(bucket.events));
            for limit in [1, 3, 1_000] {
                let aggregation = Aggregation::Terms { subject: label(name), limit };
                aggregation.check().expect("labels are counted");
                let question = fixture.query().with(filter.clone()).build();
                let counted = fixture.store.aggregate(&question, &aggregation).await.expect("the store counts");
                let buckets = buckets.iter().take(limit).cloned().collect();
                assert_eq!(counted, Aggregate::Terms { buckets, distinct, without }, "{limit} of {name:?}");
            }
        }
    }
}
