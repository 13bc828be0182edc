//! Difficulties that only engines have: several indices, copies, foreign indices, large numbers, lost points in time.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};

use super::{
    engines::{on_each_engine, query},
    event_with, events, fresh_chain,
};
use crate::{
    event::{ChainId, SealedEvent, Sequence, Stream, UnixMillis},
    query::{
        Aggregate, Aggregation, Bucket, Interval, Key, Order, PageEnd, Pattern, Query, Scope, ScopedQuery, Sort,
        Statistics, Subject, Visible,
        filter::{Filter, Test, Value as FilterValue},
        kql,
    },
    schema::{self, Field},
    store::{
        EventIndex, EventSink, IndexError, Scan, Target,
        elastic::{ElasticStore, names, point::Point, scan::ElasticScan},
    },
};

fn field(path: &str) -> &'static Field {
    schema::field(path).unwrap()
}

fn everything() -> Query {
    Query { scope: Scope::Visible(Visible::Everything), ..query() }
}

fn build_query(query: Query) -> ScopedQuery {
    ScopedQuery::new(query)
}

fn terms(path: &str, limit: usize) -> Aggregation {
    Aggregation::Terms { subject: Subject::at(path).unwrap(), limit }
}

async fn counted(store: &ElasticStore, path: &str, limit: usize) -> (Vec<(Key, u64)>, u64, u64) {
    match store.aggregate(&build_query(everything()), &terms(path, limit)).await.unwrap() {
        Aggregate::Terms { buckets, distinct, without } => {
            (buckets.into_iter().map(|Bucket { value, events }| (value, events)).collect(), distinct, without)
        }
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Key {
    Key::Text(text.to_owned())
}

async fn read_on(scan: &mut dyn Scan, limit: u64) -> Vec<Bytes> {
    let mut found = Vec::new();
    loop {
        let documents = scan.next(limit).await.unwrap();
        if documents.is_empty() {
            return found;
        }
        found.extend(documents);
    }
}

fn documents(events: &[SealedEvent]) -> Vec<Bytes> {
    events.iter().map(|event| event.document.clone()).collect()
}

async fn reach(store: &ElasticStore, chain: ChainId, from: u64) -> Option<u64> {
    store.reach(chain, Sequence(from)).await.unwrap().map(|Sequence(last)| last)
}

/// Rolls over and returns the new target.
async fn next_target(store: &ElasticStore) -> Target {
    store.roll_over().await;
    store.target(&Stream::general()).await.unwrap()
}

#[tokio::test]
async fn without_an_index_nothing_is_found() {
    on_each_engine(async |store| {
        let mut scan = store.scan(&build_query(everything())).await.unwrap();
        assert_eq!(scan.next(10).await.unwrap(), Vec::<Bytes>::new());
        scan.close().await;
        assert_eq!(counted(store, "event.action", 10).await, (vec![], 0, 0));
        let aggregate = async |aggregation| store.aggregate(&build_query(everything()), &aggregation).await.unwrap();
        let (time, duration) = (field("@timestamp"), field("event.duration"));
        let histogram = Aggregation::Histogram { field: time, interval: Interval::Millis(1) };
        assert_eq!(aggregate(histogram).await, Aggregate::Histogram(vec![]));
        let statistics = Aggregation::Statistics { field: duration };
        assert_eq!(aggregate(statistics).await, Aggregate::Statistics(Statistics::default()));
        let percentiles = Aggregation::Percentiles { field: duration, percents: vec![50.0, 1.0] };
        assert_eq!(aggregate(percentiles).await, Aggregate::Percentiles(vec![None, None]));
        assert_eq!(store.chains().await.unwrap(), []);
        assert_eq!(reach(store, fresh_chain(), 0).await, None);
    })
    .await;
}

#[tokio::test]
async fn queries_cover_all_our_indices_and_tolerate_others() {
    on_each_engine(async |store| {
        let (one, other) = (fresh_chain(), fresh_chain());
        let first = store.set_up().await;
        store.stored(&first, &events(one, 0..3)).await;
        store.put(&format!("{}-strange", store.names.pattern().trim_end_matches("-*")), json!({})).await;
        store
            .delete(&format!("_index_template/{}", names::template(&store.names.alias(&Stream::general()).unwrap())))
            .await;
        store.roll_over().await;
        let second = store.target(&Stream::general()).await.unwrap();
        store.stored(&second, &events(one, 3..6)).await;
        let third = next_target(store).await;
        store.stored(&third, &events(other, 0..2)).await;
        store.refresh().await.unwrap();
        let expected: Vec<SealedEvent> = events(one, 0..6);
        let of_one =
            Filter::Value(Subject::Field(field("annals.chain")), Test::OneOf(vec![FilterValue::Text(one.to_string())]));
        let question = build_query(Query { filter: of_one.clone(), ..everything() });
        for limit in [1, 2, 100] {
            let mut scan = store.scan(&question).await.unwrap();
            assert_eq!(read_on(scan.as_mut(), limit).await, documents(&expected));
            scan.close().await;
        }
        let without = build_query(Query { filter: Filter::Not(Box::new(of_one)), ..everything() });
        assert_eq!(store.find(&without).await.unwrap().total, 2);
        assert_eq!(counted(store, "event.action", 10).await, (vec![(text("execute"), 8)], 1, 0));
        assert_eq!(counted(store, "kibana.saved_objects.id", 10).await, (vec![(text("a"), 8)], 1, 0));
        let chains: BTreeSet<_> = store.chains().await.unwrap().iter().map(|end| end.position.chain).collect();
        assert_eq!(chains, BTreeSet::from([one, other]));
        assert_eq!(reach(store, one, 0).await, Some(5));
        let by_action = Sort::by(field("event.reason"), Order::Descending).unwrap();
        assert_eq!(store.find(&build_query(Query { sort: vec![by_action], ..everything() })).await.unwrap().total, 8);
    })
    .await;
}

/// Puts documents into indices that match the pattern and were not made from our template: of Kibana's event log, with
/// dates of nanoseconds, and with a position that is none, or not its own.
async fn store_foreign(store: &ElasticStore, own: &[SealedEvent]) -> usize {
    let keyword = json!({"type": "keyword", "ignore_above": 1024});
    let reference = json!({"rel": &keyword, "namespace": &keyword, "id": &keyword, "type": &keyword});
    let kibana = |timestamp: &str, sequence: &str| {
        json!({"mappings": {"dynamic": "false", "properties": {
            "@timestamp": {"type": timestamp},
            "message": {"type": "text", "norms": false},
            "annals": {"properties": {"sequence": {"type": sequence}}},
            "event": {"properties": {"action": &keyword, "provider": &keyword, "duration": {"type": "long"}}},
            "kibana": {"properties": {"saved_objects": {"type": "nested", "properties": &reference}}},
        }}, "settings": {"index": {"hidden": true}}})
    };
    let document = |at: usize| {
        let objects = json!([{"rel": "primary", "type": "alert", "id": "a"}]);
        let event = json!({"provider": "alerting", "action": "execute", "duration": at.to_string()});
        json!({"@timestamp": "2026-11-24T12:00:00.000Z", "event": event, "kibana": {"saved_objects": objects}})
    };
    let name = |series: &str| format!("{}-{series}-000001", store.names.pattern().trim_end_matches("-*"));
    let with_sequence = |at: usize| {
        let mut document = document(at);
        document["annals"]["sequence"] = (at % 3).into();
        document
    };
    let mut unusual: Vec<Value> = (0..3).map(document).collect();
    unusual[0]["@timestamp"] = json!("2026-11-24T12:00:00+00:00");
    unusual[1]["event"]["duration"] = json!(5.7);
    unusual[2]["annals"] = json!({"chain": "not one"});
    let copies = own.iter().map(|event| serde_json::from_slice(&event.document).unwrap()).collect();
    let indices: [(&str, Value, Vec<Value>); 4] = [
        ("8.19.0", kibana("date", "long"), (0..120).map(document).collect()),
        ("nanos", kibana("date_nanos", "double"), (0..7).map(with_sequence).collect()),
        ("unusual", kibana("date", "long"), unusual),
        ("copies", kibana("date", "long"), copies),
    ];
    let mut count = 0;
    for (series, settings, documents) in indices {
        store.put(&name(series), settings).await;
        for (at, document) in documents.into_iter().enumerate() {
            store.put(&format!("{}/_doc/{at}", name(series)), document).await;
            count += 1;
        }
    }
    store.refresh().await.unwrap();
    count
}

/// Reads all pages of this size, each after the end of the one before.
async fn paged(store: &ElasticStore, query: &Query, limit: u64) -> Vec<Bytes> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.find(&build_query(Query { limit, after, ..query.clone() })).await.unwrap();
        found.extend(page.documents.iter().cloned());
        if (page.documents.len() as u64) < limit {
            return found;
        }
        after = Some(PageEnd::Document(page.end.unwrap()));
    }
}

#[tokio::test]
async fn every_document_of_others_has_a_place_in_every_order() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let chain = fresh_chain();
        let own = events(chain, 0..4);
        store.stored(&target, &own).await;
        let count = own.len() + store_foreign(store, &own).await;
        let orders: [&[(&str, Order)]; 6] = [
            &[],
            &[("@timestamp", Order::Ascending)],
            &[("@timestamp", Order::Descending)],
            &[("event.duration", Order::Descending), ("message", Order::Ascending)],
            &[("event.action", Order::Ascending), ("event.risk_score", Order::Descending)],
            &[("kibana.alert.flapping", Order::Descending)],
        ];
        for keys in orders {
            let sort: Vec<_> = keys.iter().map(|(path, order)| Sort::by(field(path), *order).unwrap()).collect();
            let query = Query { sort, ..everything() };
            let mut scan = store.scan(&build_query(query.clone())).await.unwrap();
            let all = read_on(scan.as_mut(), 11).await;
            scan.close().await;
            assert_eq!(all.len(), count, "{keys:?}");
            let distinct: BTreeSet<_> = all.iter().collect();
            assert!(distinct.len() >= 120 + own.len(), "{keys:?}: none twice in the place of another");
            for limit in [4, 101] {
                assert!(paged(store, &query, limit).await == all, "{keys:?}, pages of {limit}");
            }
        }
        assert_eq!(paged(store, &query(), 9).await.len(), count, "about an object");
        assert_eq!(counted(store, "event.action", 10).await, (vec![(text("execute"), count as u64)], 1, 0));
        assert_eq!(reach(store, chain, 0).await, Some(3));
        let chains = store.chains().await.unwrap();
        assert_eq!(chains.iter().map(|end| end.position.chain).collect::<Vec<_>>(), [chain]);
        let by_time = vec![Sort::by(field("@timestamp"), Order::Ascending).unwrap()];
        let wrong = PageEnd::Document(vec![None]);
        let refused = store.find(&build_query(Query { sort: by_time, after: Some(wrong), ..everything() })).await;
        assert!(matches!(refused, Err(IndexError::Refused { .. })), "{refused:?}");
    })
    .await;
}

/// Each shard numbers its documents by itself.
#[tokio::test]
async fn documents_of_others_that_tie_across_shards_are_read_once() {
    const COUNT: usize = 230;
    on_each_engine(async |store| {
        store.set_up().await;
        let index = format!("{}-shards-000001", store.names.pattern().trim_end_matches("-*"));
        let mappings = json!({"properties": {"@timestamp": {"type": "date"}, "event.action": {"type": "keyword"}}});
        store.put(&index, json!({"mappings": mappings, "settings": {"number_of_shards": 3}})).await;
        for at in 0..COUNT {
            let document = json!({"@timestamp": "2026-11-24T12:00:00.000Z", "event.action": "a", "message": at});
            store.put(&format!("{index}/_doc/{at}"), document).await;
        }
        store.refresh().await.unwrap();
        let once = |found: &[Bytes]| found.len() == COUNT && found.iter().collect::<BTreeSet<_>>().len() == COUNT;
        for order in [Order::Ascending, Order::Descending] {
            let sort = vec![Sort::by(field("event.action"), order).unwrap()];
            let query = Query { sort, ..everything() };
            for limit in [1, 2, 7, 101] {
                assert!(once(&paged(store, &query, limit).await), "{order:?}, pages of {limit}");
                let mut scan = store.scan(&build_query(query.clone())).await.unwrap();
                assert!(once(&read_on(scan.as_mut(), limit).await), "{order:?}, parts of {limit}");
                scan.close().await;
            }
            // Reading on in parts from the end of a page.
            let first = store.find(&build_query(Query { limit: 7, ..query.clone() })).await.unwrap();
            let after = first.end.map(PageEnd::Document);
            let mut scan = store.scan(&build_query(Query { after, ..query })).await.unwrap();
            let rest = read_on(scan.as_mut(), 7).await;
            assert!(once(&[first.documents, rest].concat()), "{order:?}");
            scan.close().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_position_in_several_indices_counts_once() {
    on_each_engine(async |store| {
        let chain = fresh_chain();
        let first = store.set_up().await;
        store.stored(&first, &events(chain, 0..10)).await;
        let second = next_target(store).await;
        // Copies of some events, as many others after a gap, and the ones that the other index lacks.
        store.stored(&second, &events(chain, 0..5)).await;
        store.stored(&second, &events(chain, 12..15)).await;
        store.stored(&first, &events(chain, 16..17)).await;
        store.stored(&second, &events(chain, 15..16)).await;
        store.refresh().await.unwrap();
        assert_eq!(reach(store, chain, 0).await, Some(9));
        assert_eq!(reach(store, chain, 4).await, Some(9));
        assert_eq!(reach(store, chain, 10).await, None);
        assert_eq!(reach(store, chain, 12).await, Some(16));
        assert_eq!(reach(store, chain, 17).await, None);
        assert_eq!(reach(store, chain, u64::MAX).await, None);
    })
    .await;
}

/// Returns an event for each position, each with its own code and object. The code is a label too, next to others; every
/// fourth event lacks it.
fn many(chain: ChainId, sequences: impl IntoIterator<Item = u64>) -> Vec<SealedEvent> {
    let event = |sequence: u64| {
        let id = format!("{:05}", sequence / 2 * 2);
        let object = json!({"id": id, "rel": "primary", "type": "rule"});
        let code = format!("{sequence:05}");
        let labels = match sequence % 4 {
            3 => json!({"other": code}),
            _ => json!({"code": code, "code2": "x", "cod": code}),
        };
        let more = json!({"event": {"code": code}, "kibana": {"saved_objects": [object, object]}, "labels": labels});
        event_with(chain, sequence, "0.s", more)
    };
    sequences.into_iter().map(event).collect()
}

async fn stored_in_parts(store: &ElasticStore, target: &Target, events: &[SealedEvent]) {
    for part in events.chunks(4_000) {
        store.stored(target, part).await;
    }
}

/// More than an engine counts at once, and more than are checked one by one.
#[tokio::test]
async fn many_values_are_counted_exactly_and_long_chains_reach_far() {
    const HOLE: u64 = 23_456;
    on_each_engine(async |store| {
        let chain = fresh_chain();
        let first = store.set_up().await;
        stored_in_parts(store, &first, &many(chain, 0..13_000)).await;
        let second = next_target(store).await;
        stored_in_parts(store, &second, &many(chain, (12_000..24_000).filter(|at| *at != HOLE))).await;
        store.refresh().await.unwrap();

        assert_eq!(reach(store, chain, 0).await, Some(HOLE - 1));
        assert_eq!(reach(store, chain, 12_999).await, Some(HOLE - 1));
        assert_eq!(reach(store, chain, HOLE).await, None);
        assert_eq!(reach(store, chain, HOLE + 1).await, Some(23_999));

        // The copies count, like any event in a store.
        let (codes, distinct, without) = counted(store, "event.code", 3).await;
        assert_eq!(codes, [(text("12000"), 2), (text("12001"), 2), (text("12002"), 2)]);
        assert_eq!((distinct, without), (23_999, 0));
        let (ids, distinct, without) = counted(store, "kibana.saved_objects.id", 2).await;
        assert_eq!(ids, [(text("12000"), 4), (text("12002"), 4)]);
        assert_eq!((distinct, without), (12_000, 0));
        let (codes, distinct, without) = counted(store, "labels.code", 4).await;
        assert_eq!(codes, [(text("12000"), 2), (text("12001"), 2), (text("12002"), 2), (text("12004"), 2)]);
        assert_eq!((distinct, without), (17_999, 6_250));

        for path in ["event.code", "labels.code"] {
            let by_code = vec![Sort::by(Subject::at(path).unwrap(), Order::Descending).unwrap()];
            let mut scan = store.scan(&build_query(Query { sort: by_code, ..everything() })).await.unwrap();
            let found = read_on(scan.as_mut(), 10_000).await;
            scan.close().await;
            assert_eq!(found.len(), 24_999);
            let (object, member) = path.split_once('.').unwrap();
            let code = |document: &Bytes| {
                let document: Value = serde_json::from_slice(document).unwrap();
                document[object][member].as_str().map(str::to_owned)
            };
            // The least value is none.
            assert!(found.iter().map(code).is_sorted_by(|one, other| one >= other), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn spans_of_any_length_are_counted_and_too_many_are_refused() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let dates = ["0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"];
        let at =
            |(date, sequence): (&str, u64)| event_with(fresh_chain(), sequence, "0.s", json!({"@timestamp": date}));
        let batch: Vec<_> = dates.into_iter().zip(0..).map(at).collect();
        store.stored(&target, &batch).await;
        store.refresh().await.unwrap();
        let histogram = async |length| {
            let aggregation = Aggregation::Histogram { field: field("@timestamp"), interval: Interval::Millis(length) };
            store.aggregate(&build_query(everything()), &aggregation).await
        };
        let found = histogram(i64::MAX).await.unwrap();
        assert_eq!(found, Aggregate::Histogram(vec![(UnixMillis(-i64::MAX), 1), (UnixMillis(0), 1)]));
        for length in [1, 1_000, 86_400_000] {
            let error = histogram(length).await.unwrap_err();
            assert!(matches!(&error, IndexError::TooManyBuckets), "{error:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn addresses_count_however_they_are_written() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let chain = fresh_chain();
        let addresses = ["2001:DB8:0::1", "2001:db8::1", "::ffff:10.0.0.1", "10.0.0.1", "::"];
        let of = |(ip, sequence): (&str, u64)| event_with(chain, sequence, "0.s", json!({"source": {"ip": ip}}));
        store.stored(&target, &addresses.into_iter().zip(0..).map(of).collect::<Vec<_>>()).await;
        store.refresh().await.unwrap();
        let expected = vec![(text("10.0.0.1"), 2), (text("2001:db8::1"), 2), (text("::"), 1)];
        assert_eq!(counted(store, "source.ip", 10).await, (expected, 3, 0));
        let keys = addresses.map(|ip| Key::counted(&json!(ip), field("source.ip")).unwrap());
        assert_eq!(keys, ["2001:db8::1", "2001:db8::1", "10.0.0.1", "10.0.0.1", "::"].map(text));
    })
    .await;
}

#[tokio::test]
async fn versions_count_by_their_texts() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let versions = ["10.0.0-SNAPSHOT", "10.0.0-snapshot", "8.1.0", "8.1.0"];
        let of = |(version, sequence): (&str, u64)| {
            event_with(fresh_chain(), sequence, "0.s", json!({"kibana": {"version": version}}))
        };
        store.stored(&target, &versions.into_iter().zip(0..).map(of).collect::<Vec<_>>()).await;
        store.refresh().await.unwrap();
        let expected = vec![(text("8.1.0"), 2), (text("10.0.0-SNAPSHOT"), 1), (text("10.0.0-snapshot"), 1)];
        assert_eq!(counted(store, "kibana.version", 10).await, (expected, 3, 0));
    })
    .await;
}

#[tokio::test]
async fn no_query_fails_while_a_new_index_starts() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        let chain = fresh_chain();
        store.stored(&target, &events(chain, 0..2)).await;
        store.refresh().await.unwrap();
        let is_over = AtomicBool::new(false);
        let rollovers = async {
            for _ in 0..8 {
                store.roll_over().await;
            }
            is_over.store(true, Ordering::Relaxed);
        };
        let queries = async || {
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(store.find(&build_query(everything())).await.unwrap().total, 2);
                assert_eq!(counted(store, "event.action", 10).await.0, [(text("execute"), 2)]);
                let mut scan = store.scan(&build_query(everything())).await.unwrap();
                assert_eq!(read_on(scan.as_mut(), 10).await.len(), 2);
                scan.close().await;
                assert_eq!(reach(store, chain, 0).await, Some(1));
            }
        };
        join(rollovers, join_all((0..4).map(|_| queries()))).await;
    })
    .await;
}

#[tokio::test]
async fn a_missing_shard_is_an_error_and_never_a_partial_answer() {
    on_each_engine(async |engine| {
        let store = &engine.again_within(Duration::from_secs(2));
        let target = store.set_up().await;
        store.stored(&target, &events(fresh_chain(), 0..2)).await;
        let nowhere = json!({"settings": {"index": {"hidden": true, "routing.allocation.require._name": "nowhere"}}});
        let path =
            format!("{}?wait_for_active_shards=0", names::index(&store.names.alias(&Stream::general()).unwrap(), 9));
        store.put(&path, nowhere).await;
        let away = |error: IndexError| assert!(matches!(error, IndexError::Unavailable { .. }), "{error:?}");
        away(store.find(&build_query(everything())).await.unwrap_err());
        away(store.aggregate(&build_query(everything()), &terms("event.action", 1)).await.unwrap_err());
        away(store.chains().await.unwrap_err());
        away(store.reach(fresh_chain(), Sequence(0)).await.unwrap_err());
        away(match store.scan(&build_query(everything())).await {
            Err(error) => error,
            Ok(mut scan) => scan.next(1).await.unwrap_err(),
        });
        let late = store.refresh().await.unwrap_err();
        assert!(late.to_string().contains("are shards missing?"), "{late}");
    })
    .await;
}

async fn release(store: &ElasticStore, scan: &ElasticScan) {
    let id = scan.point.as_ref().and_then(Point::id).unwrap().to_owned();
    store.flavor().await.unwrap().product.close_point(&store.client, &id).await;
}

#[tokio::test]
async fn a_scan_whose_point_in_time_is_gone_says_so() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        store.stored(&target, &events(fresh_chain(), 0..5)).await;
        store.refresh().await.unwrap();
        let mut scan = ElasticScan::open(store, &everything()).await.unwrap();
        assert_eq!(scan.next(2).await.unwrap().len(), 2);
        release(store, &scan).await;
        for _ in 0..2 {
            let error = scan.next(2).await.unwrap_err();
            assert!(
                matches!(&error, IndexError::Unavailable { reason, .. } if reason.contains("begin again")),
                "{error:?}"
            );
        }
        let mut scan = ElasticScan::open(store, &everything()).await.unwrap();
        assert_eq!(scan.next(2).await.unwrap().len(), 2);
        store.delete(&target.0).await;
        assert!(matches!(scan.next(2).await.unwrap_err(), IndexError::Unavailable { .. }));
    })
    .await;
}

/// Waits until the engine has released this point in time.
async fn is_released(store: &ElasticStore, id: &str) {
    let search = json!({"size": 0, "pit": {"id": id}}).to_string();
    while store.client.post("_search", search.clone()).await.unwrap().status != 404 {}
}

#[tokio::test]
async fn the_engine_is_told_when_a_scan_ends() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        store.stored(&target, &events(fresh_chain(), 0..3)).await;
        store.refresh().await.unwrap();
        let open = async || {
            let mut scan = ElasticScan::open(store, &everything()).await.unwrap();
            assert_eq!(scan.next(2).await.unwrap().len(), 2);
            let id = scan.point.as_ref().and_then(Point::id).unwrap().to_owned();
            (Box::new(scan), id)
        };
        let (closed, id) = open().await;
        closed.close().await;
        is_released(store, &id).await;
        let (dropped, id) = open().await;
        drop(dropped);
        is_released(store, &id).await;
        let (mut ended, id) = open().await;
        assert_eq!(ended.next(2).await.unwrap().len(), 1);
        is_released(store, &id).await;
        assert_eq!(ended.next(2).await.unwrap(), Vec::<Bytes>::new());
    })
    .await;
}

fn has(path: &str) -> Filter {
    Filter::Value(Subject::Field(field(path)), Test::Exists)
}

/// Elasticsearch parses 30 levels at most.
#[tokio::test]
async fn a_filter_may_be_as_deep_as_kql_makes_it() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        store.stored(&target, &events(fresh_chain(), 0..2)).await;
        store.refresh().await.unwrap();
        let nested = field("kibana.saved_objects");
        for depth in [9, 10, 11, 28, 29, 30, 31, 100, 200] {
            let deeper = |filter: Filter, level: u32| match level % 3 {
                0 => Filter::Not(Box::new(filter)),
                1 => Filter::Any(vec![filter, has("event.reason")]),
                _ => Filter::All(vec![filter, has("event.action")]),
            };
            let nots = depth / 3;
            let outside = (1..=depth).fold(has("event.action"), deeper);
            let found = store.find(&build_query(Query { filter: outside, ..everything() })).await.unwrap().total;
            assert_eq!(found, if nots % 2 == 0 { 2 } else { 0 }, "{depth}");
            let not = |filter: Filter, _: u32| Filter::Not(Box::new(filter));
            let inside = (0..depth).fold(has("kibana.saved_objects.id"), not);
            let filter = Filter::Element(nested, Box::new(inside));
            let found = store.find(&build_query(Query { filter, ..everything() })).await.unwrap().total;
            assert_eq!(found, if depth % 2 == 0 { 2 } else { 0 }, "{depth}, in an element");
        }
    })
    .await;
}

#[tokio::test]
async fn a_filter_that_the_engine_does_not_take_is_refused_with_its_reason() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        store.stored(&target, &events(fresh_chain(), 0..1)).await;
        let refused = async |filter: Filter, reason: &str| {
            let error = store.find(&build_query(Query { filter, ..everything() })).await.unwrap_err();
            assert!(matches!(&error, IndexError::Refused { reason: found } if found.contains(reason)), "{error:?}");
        };
        let subject = Subject::Field(field("message"));
        let pattern = Filter::Value(subject, Test::Like(Pattern::containing(&"ab".repeat(400))));
        refused(pattern, "Determinizing automaton").await;
        let duration = |length: i64| {
            let values = vec![FilterValue::Integer(length)];
            Filter::Value(Subject::Field(field("event.duration")), Test::OneOf(values))
        };
        refused(Filter::Any((0..20_000).map(duration).collect()), "maxClauseCount").await;
    })
    .await;
}

#[tokio::test]
async fn whatever_the_filter_language_takes_an_engine_takes() {
    on_each_engine(async |store| {
        let target = store.set_up().await;
        store.stored(&target, &events(fresh_chain(), 0..1)).await;
        // OpenSearch counts each of these twice towards its limit.
        let most = kql::MAX_CLAUSES;
        let numbers = (0..most).map(|at| format!("event.duration>{at}"));
        let dates = (0..most).map(|at| format!("event.end>{}", 2000 + at));
        let addresses = (0..most).map(|at| format!("source.ip>1.1.{}.{}", at / 256, at % 256));
        let phrases = (0..most / 2).map(|at| format!("message:\"a {at}\""));
        // As long as a filter may be, with as much behind the wildcard as may be there.
        let long = format!("message.keyword:{}*{}*", "x".repeat(16_000), "y".repeat(126));
        for tests in [numbers.collect::<Vec<_>>(), dates.collect(), addresses.collect(), phrases.collect(), vec![long]]
        {
            let filter = kql::parse(&tests.join(" or "), UnixMillis(0)).unwrap();
            store.find(&build_query(Query { filter, ..query() })).await.unwrap();
        }
    })
    .await;
}
