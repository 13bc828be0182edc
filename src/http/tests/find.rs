//! Finds: the queries to the store, and the answers.

use std::time::Duration;

use axum::body::{Body, Bytes};
use serde_json::json;

use super::{Log, NOW};
use crate::{
    event::UnixMillis,
    query::{ObjectScope, Order, Query, Scope},
    store::{IndexError, Page},
};

const PATH: &str = "/api/event_log/t/1/_find";

async fn asked(log: &Log, path: &str) -> Query {
    let path = path.replace('"', "%22").replace('{', "%7B").replace('}', "%7D");
    let answer = log.get(&path).await;
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    let mut asked = log.store.asked();
    assert_eq!(asked.len(), 1, "{path}");
    asked.remove(0)
}

fn objects(query: Query) -> ObjectScope {
    match query.scope {
        Scope::Objects(objects) => objects,
        Scope::Visible(_) => panic!("the query is about objects"),
    }
}

fn sort(query: &Query) -> Vec<(&'static str, Order)> {
    query.sort.iter().map(|sort| (sort.field().path, sort.order)).collect()
}

#[tokio::test]
async fn without_parameters_a_find_returns_the_first_ten_by_time() {
    let query = asked(&Log::new(), PATH).await;
    assert_eq!((query.offset, query.limit, query.start, query.end), (0, 10, None, None));
    assert_eq!(sort(&query), [("@timestamp", Order::Ascending)]);
    let objects = objects(query);
    assert_eq!(objects.space, None);
    assert_eq!((objects.object_type.as_str(), objects.ids.as_slice()), ("t", &["1".to_owned()][..]));
}

#[tokio::test]
async fn space_type_and_id_in_the_path_are_decoded() {
    let log = Log::new();
    for (path, space, object_type, id) in [
        ("/s/default/api/event_log/t/1/_find", None, "t", "1"),
        ("/s/team-a_1/api/event_log/t/1/_find", Some("team-a_1"), "t", "1"),
        ("/s/team/api/event_log/a%20b/x%2Fy%3F%C3%A9/_find", Some("team"), "a b", "x/y?é"),
        ("/api/event_log/providers/1/_find", None, "providers", "1"),
        ("/api/event_log/a+b/c+d/_find", None, "a+b", "c+d"),
    ] {
        let objects = objects(asked(&log, path).await);
        assert_eq!(objects.space.as_ref().map(|space| space.as_str()), space, "{path}");
        assert_eq!((objects.object_type.as_str(), objects.ids[0].as_str()), (object_type, id), "{path}");
    }
}

#[tokio::test]
async fn page_numbers_are_parsed_like_in_javascript() {
    let log = Log::new();
    for (query, offset, limit) in [
        ("page=2", 10, 10),
        ("page=+2+&per_page=1e1", 10, 10),
        ("page=3.0&per_page=7", 14, 7),
        ("per_page=0", 0, 0),
        ("page=123456789&per_page=0", 0, 0),
        ("per_page=10000", 0, 10_000),
        ("page=1000&per_page=10", 9990, 10),
        ("page=%2B1", 0, 10),
    ] {
        let found = asked(&log, &format!("{PATH}?{query}")).await;
        assert_eq!((found.offset, found.limit), (offset, limit), "{query}");
    }
}

#[tokio::test]
async fn every_indexed_single_valued_field_can_be_sorted_by_in_both_orders() {
    let log = Log::new();
    let of_kibana = [
        "@timestamp",
        "event.start",
        "event.end",
        "event.provider",
        "event.duration",
        "event.action",
        "message",
        "annals.sequence",
        "kibana.alert.rule.gap.status",
        "kibana.alert.rule.gap.total_gap_duration_ms",
    ];
    for field in of_kibana.into_iter().chain(["event.id", "user.name", "event.risk_score", "annals.received"]) {
        for (order, expected) in [("asc", Order::Ascending), ("desc", Order::Descending)] {
            let path = format!("{PATH}?sort_field={field}&sort_order={order}");
            assert_eq!(sort(&asked(&log, &path).await), [(field, expected)]);
        }
    }
}

#[tokio::test]
async fn several_sort_keys_are_one_array_or_repeated_parameters() {
    let log = Log::new();
    let two = [("event.action", Order::Descending), ("@timestamp", Order::Ascending)];
    let first = r#"{"sort_field":"event.action","sort_order":"desc"}"#;
    let second = r#"{"sort_field":"@timestamp","sort_order":"asc"}"#;
    assert_eq!(sort(&asked(&log, &format!("{PATH}?sort=[{first},{second}]")).await), two);
    assert_eq!(sort(&asked(&log, &format!("{PATH}?sort={first}&sort={second}")).await), two);
    assert_eq!(sort(&asked(&log, &format!("{PATH}?sort=[{first}]")).await), two[..1]);
    assert_eq!(sort(&asked(&log, &format!("{PATH}?sort=[]")).await), []);
    assert_eq!(sort(&asked(&log, &format!("{PATH}?sort_order=desc")).await), [("@timestamp", Order::Descending)]);
}

#[tokio::test]
async fn start_and_end_are_dates_or_durations_before_now() {
    let log = Log::new();
    let day = 86_400_000;
    let noon = NOW.0;
    let query = asked(&log, &format!("{PATH}?start=2021-03-02&end=2021-03-02")).await;
    assert_eq!(query.start, Some(UnixMillis(noon - day / 2)));
    assert_eq!(query.end, Some(UnixMillis(noon + day / 2 - 1)));
    let query = asked(&log, &format!("{PATH}?start=30d&end=now-1h")).await;
    assert_eq!((query.start, query.end), (Some(UnixMillis(noon - 30 * day)), Some(UnixMillis(noon - 3_600_000))));
    let query = asked(&log, &format!("{PATH}?start=2021-03-02T14:00:00.000+02:00")).await;
    assert_eq!((query.start, query.end), (Some(NOW), None));
}

#[tokio::test]
async fn documents_are_returned_as_they_were_stored() {
    let log = Log::new();
    let documents = vec![Bytes::from_static(br#"{"b":1.0,"a":"\u0041"}"#), Bytes::from_static(br#"{"a":1e2}"#)];
    log.store.answer(Ok(Page { total: 12_345, documents, ..Page::default() }));
    let answer = log.get(&format!("{PATH}?page=2&per_page=2")).await;
    let expected = r#"{"page":2,"per_page":2,"total":12345,"data":[{"b":1.0,"a":"\u0041"},{"a":1e2}]}"#;
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn ids_in_a_body_are_queried_together() {
    let log = Log::new();
    for (body, ids) in [(r#"{"ids":["a","b c","é"]}"#, vec!["a", "b c", "é"]), (r#"{"ids":"[\"a\"]"}"#, vec!["a"])] {
        let request = log.request("POST", "/s/team/api/event_log/t/_find?per_page=3").header("kbn-xsrf", "1");
        let answer = log.send(request.body(Body::from(body)).unwrap()).await;
        assert_eq!(answer.status, 200, "{body}");
        let query = log.store.asked().remove(0);
        assert_eq!(query.limit, 3);
        let objects = objects(query);
        assert_eq!(objects.ids, ids);
        assert_eq!(objects.space.unwrap().as_str(), "team");
    }
}

#[tokio::test]
async fn no_ids_find_nothing_without_querying_the_store() {
    let log = Log::new();
    for body in ["{}", r#"{"ids":[]}"#, r#"{"ids":"[]"}"#, r#" {"ids":[]} "#] {
        let answer = log.post("/api/event_log/t/_find?page=3", body).await;
        assert_eq!(answer.json(), json!({ "page": 3, "per_page": 10, "total": 0, "data": [] }), "{body}");
    }
    assert!(log.store.asked().is_empty());
}

#[tokio::test]
async fn a_failing_store_is_503_and_its_message_is_not_shown() {
    let log = Log::new();
    let reason = || "node-7:9200 is gone".to_owned();
    let wait = Some(Duration::from_millis(1500));
    for (error, status, retry_after, code) in [
        (IndexError::Unavailable { reason: reason(), retry_after: wait }, 503, Some("2"), "store_unavailable"),
        (IndexError::Unavailable { reason: reason(), retry_after: None }, 503, Some("5"), "store_unavailable"),
        (IndexError::Blocked { reason: reason() }, 503, Some("5"), "store_blocked"),
        (IndexError::Denied { reason: reason() }, 503, Some("5"), "store_denied"),
        (IndexError::NotSetUp { reason: reason() }, 503, Some("5"), "store_unavailable"),
        (IndexError::Refused { reason: reason() }, 500, None, "store_refused"),
    ] {
        log.store.answer(Err(error));
        let answer = log.get(PATH).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, retry_after), "{code}");
        assert_eq!(answer.header("annals-error"), Some(code));
        assert!(!answer.error().contains("node-7"));
    }
}

#[tokio::test]
async fn objects_of_every_type_are_found_under_all_paths() {
    let log = Log::new();
    for object_type in ["events", "providers", "rejected", "dead_letters", "alert"] {
        for prefix in ["/api/event_log", "/s/team/api/event_log", "/internal/event_log", "/s/team/internal/event_log"] {
            let answer = log.post(&format!("{prefix}/{object_type}/_find?per_page=3"), r#"{"ids":["1"]}"#).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["per_page"]),
                (200, &json!(3)),
                "{prefix}/{object_type}"
            );
            let answer = log.get(&format!("{prefix}/{object_type}/1/_find?per_page=3")).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["per_page"]),
                (200, &json!(3)),
                "{prefix}/{object_type}/1"
            );
        }
        for operation in ["_count", "_aggregate?terms=event.action"] {
            let answer = log.post(&format!("/api/event_log/{object_type}/{operation}"), r#"{"ids":["1"]}"#).await;
            assert_eq!(answer.status, 200, "{object_type}/{operation}");
        }
    }
    let asked = log.store.asked();
    assert!(asked.iter().any(|query| format!("{query:?}").contains("\"events\"")));
    assert_eq!(log.get("/internal/event_log/_find").await.status, 404);
    assert_eq!(log.post("/internal/event_log/alert/_count", r#"{"ids":["1"]}"#).await.status, 404);
}

#[tokio::test]
async fn dates_are_read_in_the_time_zone_of_the_request() {
    let log = Log::new();
    let range = async |bounds: &str| {
        let query = asked(&log, &format!("{PATH}?{bounds}")).await;
        [query.start, query.end].map(|bound| bound.map(crate::time::format_time))
    };
    let expected = |first: &str, last: &str| [Some(first.to_owned()), Some(last.to_owned())];
    let day = "start=2021-03-02&end=2021-03-02";
    assert_eq!(range(day).await, expected("2021-03-02T00:00:00.000Z", "2021-03-02T23:59:59.999Z"));
    let helsinki = format!("{day}&time_zone=Europe/Helsinki");
    assert_eq!(range(&helsinki).await, expected("2021-03-01T22:00:00.000Z", "2021-03-02T21:59:59.999Z"));
    let offset = format!("{day}&time_zone=%2B05:45");
    assert_eq!(range(&offset).await, expected("2021-03-01T18:15:00.000Z", "2021-03-02T18:14:59.999Z"));
    let unencoded = format!("{day}&time_zone=+05:45");
    assert_eq!(range(&unencoded).await, expected("2021-03-01T18:15:00.000Z", "2021-03-02T18:14:59.999Z"));
    // An offset of its own, and math, are independent of the zone.
    let own = "start=2021-03-02T10:15Z&end=now/d&time_zone=Europe/Helsinki";
    assert_eq!(range(own).await, expected("2021-03-02T10:15:00.000Z", "2021-03-02T23:59:59.999Z"));
    // The hour that occurs twice.
    let twice = "start=2020-10-25T03:00&end=2020-10-25T03:59&time_zone=Europe/Helsinki";
    assert_eq!(range(twice).await, expected("2020-10-25T00:00:00.000Z", "2020-10-25T01:59:59.999Z"));
}
