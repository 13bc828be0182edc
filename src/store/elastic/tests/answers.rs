//! Answers that real engines cannot be made to give: partial ones, refusals, and silence between two pages.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};

use super::{
    engines::query,
    events,
    fake::{Asked, Fake, Reply, error, reply, text},
    fresh_chain, store,
};
use crate::{
    event::{ChainId, Sequence},
    query::{Aggregation, Interval, Query, Scope, ScopedQuery, Visible},
    schema,
    store::{EventIndex, EventSink, IndexError, Scan, elastic::ElasticStore},
};

fn everything() -> ScopedQuery {
    ScopedQuery::new(Query { scope: Scope::Visible(Visible::Everything), ..query() })
}

/// Returns the call without the names of the indices.
fn call(asked: &Asked) -> String {
    let (method, path) = asked.call.split_once(' ').unwrap();
    let path = path.trim_start_matches('/');
    let path = path.split_once("-event-log-*").map_or(path, |(_, call)| call.trim_start_matches('/'));
    format!("{method} {path}")
}

/// An engine that answers these calls, and the ones that come before them.
async fn engine(root: Value, answer: impl Fn(&str, &Asked) -> Reply + Clone + Send + Sync + 'static) -> Fake {
    Fake::start(move |asked| match call(asked).as_str() {
        "GET " => reply(200, root.clone()),
        call if call.contains("_ilm/policy") || call.contains("_ism/policies") => text(200, "{}"),
        call => answer(call, asked),
    })
    .await
}

fn elasticsearch() -> Value {
    json!({"version": {"number": "9.5.3"}})
}

fn opensearch() -> Value {
    json!({"version": {"distribution": "opensearch", "number": "2.3.0"}})
}

fn found(events: std::ops::Range<u64>) -> Reply {
    let hits: Vec<Value> = events
        .map(|at| json!({"_id": at.to_string(), "_source": {"n": at}, "sort": [at, "chain", at << 32]}))
        .collect();
    let shards = json!({"total": 1, "failed": 0});
    reply(200, json!({"timed_out": false, "_shards": shards, "hits": {"hits": hits}, "pit_id": "second"}))
}

fn opened() -> Reply {
    reply(200, json!({"id": "first", "_shards": {"failed": 0}}))
}

async fn scan(store: &ElasticStore) -> Result<Box<dyn Scan>, IndexError> {
    store.scan(&everything()).await
}

#[tokio::test]
async fn a_scan_continues_where_it_was_after_an_outage() {
    let calls = Arc::new(AtomicUsize::new(0));
    let engine = engine(elasticsearch(), move |call, _| match call {
        "POST _pit" => opened(),
        "POST _search" => match calls.fetch_add(1, Ordering::Relaxed) {
            0 => found(0..2),
            1 => error(429, "es_rejected_execution_exception", "full"),
            2 => text(200, "{\"timed_out\":false,\"_shards\":{\"failed\":0},\"hits\":{\"hits\":[{\"_sour"),
            _ => found(2..3),
        },
        "DELETE _pit" => text(200, "{}"),
        other => text(500, other),
    })
    .await;
    let store = store(&[&engine.url]);
    let mut scan = scan(&store).await.unwrap();
    assert_eq!(scan.next(2).await.unwrap().len(), 2);
    for _ in 0..2 {
        assert!(matches!(scan.next(10).await.unwrap_err(), IndexError::Unavailable { .. }));
    }
    assert_eq!(scan.next(10).await.unwrap(), [r#"{"n":2}"#]);
    assert!(scan.next(10).await.unwrap().is_empty());
    scan.close().await;
    let searches: Vec<Value> = engine
        .asked()
        .iter()
        .filter(|asked| call(asked) == "POST _search")
        .map(|asked| serde_json::from_str(&asked.body).unwrap())
        .collect();
    let members = |name: &str| searches.iter().map(|search| search[name].clone()).collect::<Vec<_>>();
    let stood = json!([1, "chain", 1_u64 << 32]);
    assert_eq!(members("search_after"), [Value::Null, stood.clone(), stood.clone(), stood]);
    let point = |id: &str| json!({"id": id, "keep_alive": "5m"});
    assert_eq!(members("pit"), [point("first"), point("second"), point("second"), point("second")]);
    assert_eq!(members("size"), [2, 10, 5, 3], "it asks for less after it failed");
}

#[tokio::test]
async fn shards_that_have_not_started_are_waited_for() {
    let calls = Arc::new(AtomicUsize::new(0));
    let engine = engine(elasticsearch(), move |call, _| match (call, calls.fetch_add(1, Ordering::Relaxed)) {
        (_, 0 | 4) => error(503, "search_phase_execution_exception", "Search rejected due to missing shards [[i][0]]."),
        (_, 1 | 5) => error(503, "no_shard_available_action_exception", "[indices:data/read/open_reader_context]"),
        ("POST _pit", 2) => opened(),
        ("POST _search", 6) => found(0..2),
        (other, call) => text(500, &format!("{call}: {other}")),
    })
    .await;
    let store = store(&[&engine.url]);
    let mut scan = scan(&store).await.unwrap();
    // Any other failure is reported at once.
    assert!(matches!(scan.next(2).await.unwrap_err(), IndexError::Unavailable { .. }));
    assert_eq!(scan.next(2).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_partial_answer_is_an_error_for_every_query() {
    for (timed_out, failed) in [(true, 0), (false, 1)] {
        let half = json!({
            "timed_out": timed_out,
            "_shards": {"total": 2, "failed": failed},
            "hits": {"total": {"value": 0, "relation": "eq"}, "hits": []},
        });
        let engine = engine(elasticsearch(), move |call, _| match call {
            "POST _pit" => opened(),
            _ => reply(200, half.clone()),
        })
        .await;
        let store = store(&[&engine.url]);
        let away = |error: IndexError| assert!(matches!(error, IndexError::Unavailable { .. }), "{error:?}");
        away(store.find(&everything()).await.unwrap_err());
        away(scan(&store).await.unwrap().next(10).await.unwrap_err());
        away(store.chains().await.unwrap_err());
        away(store.reach(fresh_chain(), Sequence(0)).await.unwrap_err());
        let field = schema::field("@timestamp").unwrap();
        for aggregation in [
            Aggregation::Terms { subject: field.into(), limit: 1 },
            Aggregation::Histogram { field, interval: Interval::Millis(1) },
            Aggregation::Statistics { field },
            Aggregation::Percentiles { field, percents: vec![50.0] },
        ] {
            away(store.aggregate(&everything(), &aggregation).await.unwrap_err());
        }
    }
}

#[tokio::test]
async fn an_engine_that_opens_no_point_in_time_is_reported() {
    let refused = async |root: Value, answer: fn() -> Reply| {
        let engine = engine(root, move |_, _| answer()).await;
        let store = store(&[&engine.url]);
        scan(&store).await.err().unwrap()
    };
    let denied = refused(elasticsearch(), || error(403, "security_exception", "action is unauthorized")).await;
    assert!(matches!(&denied, IndexError::Denied { reason } if reason.contains("unauthorized")), "{denied:?}");
    let full = refused(elasticsearch(), || error(429, "rejected_execution_exception", "too many points")).await;
    assert!(matches!(&full, IndexError::Unavailable { reason, .. } if reason.contains("too many points")), "{full:?}");
    let none = || reply(400, json!({"error": "no handler found for uri [/x/_search/point_in_time] and method [POST]"}));
    let old = refused(opensearch(), none).await;
    assert!(matches!(&old, IndexError::Refused { reason } if reason.contains("since 2.4")), "{old:?}");
}

#[tokio::test]
async fn too_many_buckets_are_refused_whatever_the_engine_calls_it() {
    let cause = json!({"type": "too_many_buckets_exception", "reason": "Must be less than or equal to: [10]"});
    let failure = json!({
        "error": {"root_cause": [], "type": "search_phase_execution_exception", "reason": "", "caused_by": cause},
        "status": 503,
    });
    let engine = engine(opensearch(), move |_, _| reply(503, failure.clone())).await;
    let error = store(&[&engine.url]).chains().await.unwrap_err();
    assert!(matches!(&error, IndexError::Refused { reason } if reason.contains("equal to: [10]")), "{error:?}");
}

#[tokio::test]
async fn the_chains_of_a_writer_are_read_page_by_page() {
    let pages = [[Some(fresh_chain()), None], [Some(fresh_chain()), Some(fresh_chain())]];
    let engine = engine(elasticsearch(), move |call, asked| match call {
        "POST _refresh" => reply(200, json!({"_shards": {"failed": 0}})),
        "POST _search" => {
            let question: Value = serde_json::from_str(&asked.body).unwrap();
            assert_eq!(question["query"], json!({"term": {"kibana.server_uuid": {"value": "w"}}}));
            let after = question["aggs"]["chains"]["composite"].get("after");
            let (page, next) = match after.map(|after| after["chain"].as_str().unwrap()) {
                None => (&pages[0], Some("one")),
                Some("one") => (&pages[1], Some("two")),
                Some(_) => return chains(&[], None),
            };
            chains(page, next)
        }
        other => text(500, other),
    })
    .await;
    let expected: Vec<_> = pages.into_iter().flatten().flatten().collect();
    assert_eq!(store(&[&engine.url]).chains_of("w").await.unwrap(), expected);
}

/// A page of chains; `None` is a text that is no chain of ours.
fn chains(chains: &[Option<ChainId>], after: Option<&str>) -> Reply {
    let key = |chain: &Option<ChainId>| chain.map_or("foreign".to_owned(), |chain| chain.to_string());
    let buckets: Vec<_> = chains.iter().map(|chain| json!({"key": {"chain": key(chain)}, "doc_count": 1})).collect();
    let mut page = json!({"buckets": buckets});
    if let Some(after) = after {
        page["after_key"] = json!({"chain": after});
    }
    let hits = json!({"total": {"value": 0}, "hits": []});
    let shards = json!({"failed": 0});
    reply(200, json!({"timed_out": false, "_shards": shards, "hits": hits, "aggregations": {"chains": page}}))
}

/// The engines rarely announce the length of an answer.
#[tokio::test]
async fn an_answer_that_is_too_large_is_given_up_and_fewer_events_are_asked_for() {
    const LARGE: usize = 200_000;
    let engine = engine(elasticsearch(), |call, asked| match call {
        "POST _pit" => opened(),
        "DELETE _pit" => text(200, "{}"),
        "POST _search" => {
            let question: Value = serde_json::from_str(&asked.body).unwrap();
            let from = question["search_after"][0].as_u64().map_or(0, |last| last + 1);
            let to = (from + question["size"].as_u64().unwrap()).min(20);
            let hit = |at| json!({"_id": "", "_source": {"n": at, "x": "x".repeat(LARGE)}, "sort": [at]});
            let hits: Vec<_> = (from..to).map(hit).collect();
            let hits = json!({"total": {"value": 20}, "hits": hits});
            reply(200, json!({"timed_out": false, "_shards": {"failed": 0}, "hits": hits})).in_chunks()
        }
        other => text(500, other),
    })
    .await;
    let store = store(&[&engine.url]);
    let ask = |limit, bytes| ScopedQuery::new(Query { limit, bytes, ..everything().query().clone() });
    let sizes = |asked: &[Asked]| -> Vec<u64> {
        let searches = asked.iter().filter(|asked| call(asked) == "POST _search");
        searches.map(|asked| serde_json::from_str::<Value>(&asked.body).unwrap()["size"].as_u64().unwrap()).collect()
    };
    let page = store.find(&ask(10, LARGE)).await.unwrap();
    assert_eq!((page.documents.len(), page.is_cut, page.total), (1, true, 20));
    assert_eq!(sizes(&engine.asked()), [10, 10, 2]);

    let page = store.find(&ask(10_000, 10 * LARGE)).await.unwrap();
    assert_eq!((page.documents.len(), page.is_cut), (10, true));
    let page = store.find(&ask(10_000, usize::MAX)).await.unwrap();
    assert_eq!((page.documents.len(), page.is_cut), (20, false));

    let mut scan = store.scan(&ask(0, 2 * LARGE)).await.unwrap();
    let mut read = Vec::new();
    loop {
        let documents = scan.next(5_000).await.unwrap();
        assert!(documents.len() <= 2);
        if documents.is_empty() {
            break;
        }
        read.extend(documents);
    }
    let numbers = read.iter().map(|document| serde_json::from_slice::<Value>(document).unwrap()["n"].as_u64().unwrap());
    assert!(numbers.eq(0..20));
}

/// The engines cancel a search when its connection closes.
#[tokio::test]
async fn a_question_that_is_given_up_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = store(&[&format!("http://{}", listener.local_addr().unwrap())]);
    let question = everything();
    let mut asking = Box::pin(store.find(&question));
    let (mut connection, _) = tokio::select! {
        accepted = listener.accept() => accepted.unwrap(),
        answer = &mut asking => panic!("{answer:?}"),
    };
    let mut received = [0; 1];
    tokio::select! {
        read = connection.read_exact(&mut received) => drop(read.unwrap()),
        answer = &mut asking => panic!("{answer:?}"),
    }
    drop(asking);
    let mut rest = Vec::new();
    // The connection ends, cleanly or not.
    drop(connection.read_to_end(&mut rest).await);
}

#[tokio::test]
async fn all_searches_of_a_store_ask_the_same_copies() {
    const NONE: &str = r#"{"timed_out":false,"_shards":{"failed":0},"hits":{"total":{"value":0},"hits":[]}}"#;
    let mut preferences = Vec::new();
    for (root, open) in [(elasticsearch(), "POST _pit"), (opensearch(), "POST _search/point_in_time")] {
        let engine = engine(root, move |call, _| match call {
            call if call == open => opened(),
            "POST _refresh" => reply(200, json!({"_shards": {"failed": 0}})),
            _ => text(200, NONE),
        })
        .await;
        let store = store(&[&engine.url]);
        let field = schema::field("event.action").unwrap();
        let duration = schema::field("event.duration").unwrap();
        store.find(&everything()).await.unwrap();
        // The engine's answers to these do not matter, only that it is asked.
        let _ = store.aggregate(&everything(), &Aggregation::Statistics { field: duration }).await;
        let _ = store.aggregate(&everything(), &Aggregation::Terms { subject: field.into(), limit: 1 }).await;
        let _ = store.chains().await;
        let _ = store.reach(fresh_chain(), Sequence(0)).await;
        store.head(fresh_chain()).await.unwrap();
        store.look_up(&events(fresh_chain(), 0..1)).await.unwrap();
        scan(&store).await.unwrap().next(1).await.unwrap();

        let asked = engine.asked();
        let at_a_point = |asked: &&Asked| asked.call == "POST /_search";
        // An engine refuses a search at a point that names copies.
        assert!(asked.iter().filter(at_a_point).all(|asked| !asked.query.contains("preference")));
        assert_eq!(asked.iter().filter(at_a_point).count(), 1);
        let searches = |asked: &&Asked| !at_a_point(asked) && ["POST _search", open].contains(&call(asked).as_str());
        let of =
            |asked: &Asked| asked.query.split('&').find_map(|part| part.strip_prefix("preference=")).map(str::to_owned);
        let found: Vec<Option<String>> = asked.iter().filter(searches).map(of).collect();
        assert_eq!(found.len(), 8);
        assert!(found.iter().all(|preference| preference.is_some() && *preference == found[0]), "{found:?}");
        preferences.push(found[0].clone());
    }
    assert_ne!(preferences[0], preferences[1], "stores share the copies among them");
}
