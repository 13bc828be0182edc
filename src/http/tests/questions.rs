//! Queries beyond Kibana's finds: cursors, projections, counts, aggregations, single events.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{Log, NOW};
use crate::{
    event::ChainId,
    query::{Key, PageEnd, Scope, Visible},
    store::{
        EventSink, Page, StoreError, Target,
        testing::{Draft, draft, position},
    },
};

const CHAIN: [u8; 16] = [7; 16];

impl Log {
    /// Stores events, at positions from 0 on.
    pub(super) async fn store(&self, drafts: impl IntoIterator<Item = Draft>) {
        self.store_from(0, drafts).await;
    }

    pub(super) async fn store_from(&self, first: u64, drafts: impl IntoIterator<Item = Draft>) {
        let sealed = (first..).zip(drafts).map(|(at, draft)| draft.sealed(position(ChainId::from_bytes(CHAIN), at)));
        let events: Vec<_> = sealed.collect();
        self.store.memory.append(&Target(String::new()), &events).await.unwrap();
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.json()
    }
}

/// Waits until the queried store has confirmed what is logged.
async fn await_confirmed(log: &Log) {
    let confirmed = async {
        while log.get("/readyz").await.json()["stores"][0]["behind_bytes"] != 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(100), confirmed).await.unwrap();
}

#[tokio::test]
async fn queries_refresh_what_was_confirmed_as_long_ago_as_configured_and_exports_everything() {
    let paths = ["_find?", "t/1/_find?", "_count?", "_aggregate?terms=tags", "events/none", "_export?"];
    for max_staleness in [Duration::ZERO, Duration::from_secs(1000)] {
        let log = Log::with_max_staleness(max_staleness);
        log.json("/api/event_log/_count").await;
        for path in paths {
            let event = r#"{"event": {"provider": "app", "action": "run"}}"#;
            assert_eq!(log.post("/api/event_log/events", event).await.status, 202);
            await_confirmed(&log).await;
            let before = log.store.refreshes.load(Ordering::Relaxed);
            log.get(&format!("/api/event_log/{path}")).await;
            let has_refreshed = log.store.refreshes.load(Ordering::Relaxed) > before;
            let expected = max_staleness.is_zero() || path == "_export?";
            assert_eq!(has_refreshed, expected, "{path} {max_staleness:?}");
        }
    }
}

fn at(second: u64) -> Draft {
    draft().at(&format!("2021-03-02T11:00:{second:02}.000Z")).about("t", "1").with("event.id", format!("e{second}"))
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["data"].as_array().unwrap().iter().map(|event| event["event"]["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn cursors_return_every_event_once_even_if_events_arrive_meanwhile() {
    let log = Log::new();
    log.store((0..7).map(at)).await;
    for base in ["/api/event_log/t/1/_find", "/api/event_log/_find"] {
        let mut found = Vec::new();
        let mut after = String::new();
        for round in 0.. {
            let uri = format!("{base}?per_page=3&sort_field=event.action&sort_order=desc&after={after}");
            let answer = log.json(&uri).await;
            assert_eq!((&answer["per_page"], answer.get("page")), (&json!(3), None));
            found.extend(ids(&answer).iter().map(|id| (*id).to_owned()));
            let Some(next) = answer["next"].as_str() else {
                assert_eq!((answer["next"].is_null(), answer.get("next").is_some(), round), (true, true, 2));
                break;
            };
            after = next.to_owned();
        }
        assert_eq!(found, ["e6", "e5", "e4", "e3", "e2", "e1", "e0"]);
    }
}

/// A label's name is everything after `labels.`; in Kibana's form of a sort too.
#[tokio::test]
async fn events_are_sorted_and_counted_by_a_label_of_any_name() {
    let log = Log::new();
    let label = |second: u64, labels: Value| at(second).with("labels", labels);
    log.store([
        label(0, json!({"team.eu/1": "b"})),
        at(1),
        label(2, json!({"team.eu/1": "a"})),
        label(3, json!({"team.eu/1": "b", "other": "a"})),
        label(4, json!({"team": "c"})),
    ])
    .await;
    let one = "sort_field=labels.team.eu%2F1&sort_order=desc";
    let several = "sort=[{%22sort_field%22:%22labels.team.eu/1%22,%22sort_order%22:%22desc%22}]";
    for (base, sort) in
        [("/api/event_log/t/1/_find", one), ("/internal/event_log/t/1/_find", one), ("/api/event_log/_find", several)]
    {
        let mut found: Vec<String> = Vec::new();
        let mut after = String::new();
        loop {
            let answer = log.json(&format!("{base}?per_page=2&{sort}&after={after}")).await;
            found.extend(ids(&answer).iter().map(|id| (*id).to_owned()));
            let Some(next) = answer["next"].as_str() else { break };
            after = next.to_owned();
        }
        assert_eq!(found, ["e3", "e0", "e2", "e4", "e1"], "{base}");
    }
    let counted = log.json("/api/event_log/_aggregate?terms=labels.team.eu%2F1&size=1").await;
    let terms = json!([{"value": "b", "count": 2}]);
    assert_eq!(counted, json!({"field": "labels.team.eu/1", "terms": terms, "distinct": 2, "without": 2}));
    // A cursor belongs to the label.
    let next = log.json(&format!("/api/event_log/_find?per_page=2&{one}&after=")).await["next"].to_string();
    let other = format!(
        "/api/event_log/_find?per_page=2&sort_field=labels.team&sort_order=desc&after={}",
        next.trim_matches('"')
    );
    assert_eq!(log.get(&other).await.status, 400);
}

#[tokio::test]
async fn a_cursor_leads_behind_a_document_that_has_no_position() {
    let log = Log::new();
    let end = vec![Some(Key::Integer(5)), None, Some(Key::Text("index".to_owned()))];
    let documents = vec![br#"{"@timestamp":"2021-03-01"}"#.as_slice().into()];
    log.store.answer(Ok(Page { total: 2, documents, is_cut: false, end: Some(end.clone()) }));
    let uri = "/api/event_log/_find?per_page=1";
    let next = log.json(&format!("{uri}&after=")).await["next"].as_str().unwrap().to_owned();
    log.store.asked();
    // The store of this test has no such documents.
    let elsewhere = log.get(&format!("{uri}&after={next}")).await;
    assert_eq!(log.store.asked()[0].after, Some(PageEnd::Document(end)));
    assert_eq!(elsewhere.header("annals-error"), Some("store_refused"));
}

#[tokio::test]
async fn relative_times_stay_those_of_the_first_page() {
    let log = Log::new();
    log.store((0..4).map(at)).await;
    let uri = "/api/event_log/_find?per_page=2&start=2h&end=now";
    let next = log.json(&format!("{uri}&after=")).await["next"].as_str().unwrap().to_owned();
    log.store.asked();
    log.clock.pass(7_200_000);
    let answer = log.json(&format!("{uri}&after={next}")).await;
    assert_eq!(ids(&answer), ["e2", "e3"]);
    assert_eq!(log.store.asked()[0].end, Some(NOW));
}

#[tokio::test]
async fn a_cursor_is_refused_with_another_query() {
    let log = Log::new();
    log.store((0..4).map(at)).await;
    let uri = "/api/event_log/t/1/_find?per_page=2";
    let next = log.json(&format!("{uri}&after=")).await["next"].as_str().unwrap().to_owned();
    for same in [uri, "/s/default/api/event_log/t/1/_find?per_page=1", "/api/event_log/t/1/_find?fields=event"] {
        assert_eq!(log.get(&format!("{same}&after={next}")).await.status, 200, "{same}");
    }
    for other in [
        "/api/event_log/t/2/_find?",
        "/api/event_log/u/1/_find?",
        "/s/team/api/event_log/t/1/_find?",
        "/api/event_log/_find?",
        "/s/default/api/event_log/_find?",
        "/api/event_log/t/1/_find?start=2021-01-01",
        "/api/event_log/t/1/_find?end=now",
        "/api/event_log/t/1/_find?sort_order=desc",
        "/api/event_log/t/1/_find?sort_field=event.action",
        "/api/event_log/t/1/_find?sort=[]",
    ] {
        let answer = log.get(&format!("{other}&after={next}")).await;
        assert_eq!(answer.status, 400, "{other}");
        assert!(answer.error().starts_with("[request query.after]: the cursor belongs to another query"), "{other}");
    }
    for cut in [1, next.len() / 2, next.len() - 1] {
        let answer = log.get(&format!("{uri}&after={}", &next[..cut])).await;
        assert!(answer.error().starts_with("[request query.after]: "), "{cut}");
    }
}

#[tokio::test]
async fn the_error_for_a_page_beyond_the_window_mentions_cursors() {
    let answer = Log::new().get("/api/event_log/_find?page=1001").await;
    assert!(answer.error().contains("send an empty [after]"), "{}", answer.error());
}

#[tokio::test]
async fn projected_members_have_the_bytes_of_the_store() {
    let log = Log::new();
    let document = br#"{"event":{"action":"r\u0075n","duration":"12"},"tags":[ "a" ],"x":1.0}"#;
    let page = Page { total: 1, documents: vec![document.as_slice().into()], ..Page::default() };
    log.store.answer(Ok(page));
    let answer = log.get("/api/event_log/_find?fields=event.action&fields=tags,mess*").await;
    let expected = r#"{"page":1,"per_page":10,"total":1,"data":[{"event":{"action":"r\u0075n"},"tags":[ "a" ]}]}"#;
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn without_objects_a_query_covers_the_visible_events_or_those_of_the_space() {
    let log = Log::new();
    let spaces = |text: &str| crate::event::Space::parse(text).unwrap();
    for (path, expected) in [
        ("/api/event_log/_find", Visible::Everything),
        ("/s/team/api/event_log/_find", Visible::Spaces(vec![spaces("team")])),
        ("/s/default/api/event_log/_find", Visible::Spaces(vec![None])),
    ] {
        log.json(path).await;
        let asked = log.store.asked();
        assert!(matches!(&asked[0].scope, Scope::Visible(visible) if *visible == expected), "{path}: {asked:?}");
    }
}

#[tokio::test]
async fn legacy_ids_count_like_ids() {
    let log = Log::new();
    for (body, expected) in [
        (r#"{"ids":["1"],"legacyIds":["2","3"]}"#, &["1", "2", "3"][..]),
        (r#"{"legacyIds":["2"]}"#, &["2"]),
        (r#"{"legacyIds":"[\"2\"]","ids":[]}"#, &["2"]),
    ] {
        assert_eq!(log.post("/api/event_log/t/_find", body).await.status, 200, "{body}");
        let Scope::Objects(objects) = log.store.asked().remove(0).scope else { panic!("{body}") };
        assert_eq!(objects.ids, expected);
    }
}

#[tokio::test]
async fn counts() {
    let log = Log::new();
    log.store((0..5).map(at).chain([draft().about("t", "2")])).await;
    for (path, count) in [
        ("/api/event_log/_count", 6),
        ("/api/event_log/_count?end=2021-03-02T11:00:02Z", 3),
        ("/api/event_log/t/1/_count", 5),
        ("/api/event_log/t/3/_count", 0),
        ("/s/team/api/event_log/_count", 0),
    ] {
        assert_eq!(log.json(path).await, json!({ "count": count }), "{path}");
    }
    for (body, count) in [(r#"{"ids":["1","2"]}"#, 6), ("{}", 0)] {
        assert_eq!(log.post("/api/event_log/t/_count", body).await.json(), json!({ "count": count }), "{body}");
    }
}

#[tokio::test]
async fn aggregations() {
    let log = Log::new();
    let events = [
        at(0).with("event.duration", "1000").with("event.start", "2021-03-02T11:00:00.000Z"),
        at(1).with("event.duration", "3000").with("event.action", "stop"),
        at(2).without("event.action"),
    ];
    log.store(events).await;
    for (query, expected) in [
        (
            "terms=event.action",
            json!({"field": "event.action", "terms": [{"value": "execute", "count": 1}, {"value": "stop", "count": 1}],
                   "distinct": 2, "without": 1}),
        ),
        (
            "terms=event.action&size=1",
            json!({"field": "event.action", "terms": [{"value": "execute", "count": 1}], "distinct": 2, "without": 1}),
        ),
        (
            "terms=event.duration&end=2021-03-02T11:00:00Z",
            json!({"field": "event.duration", "terms": [{"value": "1000", "count": 1}], "distinct": 1, "without": 0}),
        ),
        (
            "terms=event.start",
            json!({"field": "event.start", "terms": [{"value": "2021-03-02T11:00:00.000Z", "count": 1}],
                   "distinct": 1, "without": 2}),
        ),
        (
            "terms=kibana.saved_objects.type",
            json!({"field": "kibana.saved_objects.type", "terms": [{"value": "t", "count": 3}], "distinct": 1, "without": 0}),
        ),
        (
            "histogram=@timestamp&interval=1s",
            json!({"field": "@timestamp", "interval": "1s", "histogram": [
                {"start": "2021-03-02T11:00:00.000Z", "count": 1}, {"start": "2021-03-02T11:00:01.000Z", "count": 1},
                {"start": "2021-03-02T11:00:02.000Z", "count": 1}]}),
        ),
        (
            "histogram=@timestamp&start=2021-03-01&end=2021-03-03",
            json!({"field": "@timestamp", "interval": "1h",
                   "histogram": [{"start": "2021-03-02T11:00:00.000Z", "count": 3}]}),
        ),
        (
            "histogram=@timestamp&interval=1M",
            json!({"field": "@timestamp", "interval": "1M",
                   "histogram": [{"start": "2021-03-01T00:00:00.000Z", "count": 3}]}),
        ),
        (
            "histogram=@timestamp&interval=1d&time_zone=Pacific/Auckland",
            json!({"field": "@timestamp", "interval": "1d",
                   "histogram": [{"start": "2021-03-02T11:00:00.000Z", "count": 3}]}),
        ),
        (
            "histogram=@timestamp&interval=1d&time_zone=-03:30",
            json!({"field": "@timestamp", "interval": "1d",
                   "histogram": [{"start": "2021-03-02T03:30:00.000Z", "count": 3}]}),
        ),
        (
            "stats=event.duration",
            json!({"field": "event.duration",
                   "stats": {"count": 2, "min": 1000.0, "max": 3000.0, "sum": 4000.0, "avg": 2000.0}}),
        ),
        (
            "stats=event.severity",
            json!({"field": "event.severity",
                   "stats": {"count": 0, "min": null, "max": null, "sum": 0.0, "avg": null}}),
        ),
        (
            "percentiles=event.duration&percents=0,50,100",
            json!({"field": "event.duration", "percentiles": [
                {"percent": 0.0, "value": 1000.0}, {"percent": 50.0, "value": 2000.0}, {"percent": 100.0, "value": 3000.0}]}),
        ),
    ] {
        for base in ["/api/event_log/_aggregate", "/api/event_log/t/1/_aggregate"] {
            assert_eq!(log.json(&format!("{base}?{query}")).await, expected, "{base}?{query}");
        }
    }
    let automatic = log.json("/api/event_log/_aggregate?histogram=@timestamp").await;
    assert_eq!((&automatic["interval"], automatic["histogram"].as_array().unwrap().len()), (&json!("50ms"), 41));
    let empty = log.post("/api/event_log/t/_aggregate?terms=event.action", "{}").await;
    assert_eq!(empty.json(), json!({"field": "event.action", "terms": [], "distinct": 0, "without": 0}));
}

#[tokio::test]
async fn severities_are_listed_by_gravity() {
    let log = Log::new();
    let with = |severity: &str| at(0).with("annals.severity", severity);
    log.store([with("fatal"), with("warning"), with("warning"), with("debug")]).await;
    let terms = log.json("/api/event_log/_aggregate?terms=annals.severity").await["terms"].clone();
    let names: Vec<_> = terms.as_array().unwrap().iter().map(|term| term["value"].as_str().unwrap()).collect();
    assert_eq!(names, ["debug", "warning", "fatal"]);
}

#[tokio::test]
async fn too_many_buckets_are_refused_based_on_the_stored_events() {
    let log = Log::new();
    log.store([at(0), at(1).at("2022-03-02T11:00:00.000Z")]).await;
    let answer = log.get("/api/event_log/_aggregate?histogram=@timestamp&interval=1m").await;
    assert_eq!(answer.status, 400);
    assert!(answer.error().contains("[1m] makes more than [10000] intervals"), "{}", answer.error());
    let within = |bounds: &str| format!("/api/event_log/_aggregate?histogram=@timestamp&interval=1m&{bounds}");
    let answer = log.get(&within("start=1970-01-01&end=2023-01-01")).await;
    let expected = "intervals of @timestamp from 2021-03-02T11:00:00.000Z to 2022-03-02T11:00:00.000Z";
    assert!(answer.error().contains(expected), "{}", answer.error());
    // Even if the bounds are far apart.
    let answer = log.json(&within("start=1970-01-01&end=2022-01-01")).await;
    assert_eq!(answer["histogram"], json!([{"start": "2021-03-02T11:00:00.000Z", "count": 1}]));
    let answer = log.json(&within("start=1970-01-01&end=2021-01-01")).await;
    assert_eq!(answer["histogram"], json!([]));
}

#[tokio::test]
async fn one_event_by_its_id() {
    let log = Log::new();
    log.store([at(3).with("event.id", "twice"), at(1).with("event.id", "twice"), at(2)]).await;
    let answer = log.get("/api/event_log/events/e2").await;
    assert_eq!(answer.json()["annals"]["sequence"], 2);
    assert_eq!(answer.header("annals-count"), Some("1"));
    let first = log.get("/api/event_log/events/twice").await;
    assert_eq!(first.json()["@timestamp"], "2021-03-02T11:00:03.000Z", "though another states an earlier time");
    assert_eq!(first.header("annals-count"), Some("2"));
    let chosen = log.get("/api/event_log/events/e2?fields=event.id").await;
    assert_eq!(chosen.body, r#"{"event":{"id":"e2"}}"#);
    for absent in ["/api/event_log/events/none", "/s/team/api/event_log/events/e2"] {
        let answer = log.get(absent).await;
        assert_eq!((answer.status.as_u16(), answer.error().as_str()), (404, "Not Found"), "{absent}");
    }
}

#[tokio::test]
async fn an_unavailable_store_is_503_for_every_query() {
    let log = Log::new();
    log.store.be_away(Some(StoreError::Unavailable { reason: "node-7 is gone".to_owned(), retry_after: None }));
    for path in [
        "/api/event_log/_find",
        "/api/event_log/_count",
        "/api/event_log/t/1/_count",
        "/api/event_log/_aggregate?terms=event.action",
        "/api/event_log/_aggregate?histogram=@timestamp",
        "/api/event_log/events/1",
    ] {
        let answer = log.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")), "{path}");
        assert_eq!(answer.error(), "the store does not answer at present; try again later");
    }
}

#[tokio::test]
async fn a_filter_narrows_every_query() {
    let log = Log::new();
    log.store((0..5).map(|second| at(second).with("message", if second < 3 { "order shipped" } else { "lost" }))).await;
    let filter = "filter=message:shipped+and+not+event.id:e1";
    assert_eq!(ids(&log.json(&format!("/api/event_log/_find?{filter}")).await), ["e0", "e2"]);
    assert_eq!(ids(&log.json(&format!("/api/event_log/t/1/_find?{filter}")).await), ["e0", "e2"]);
    assert_eq!(log.json(&format!("/api/event_log/_count?{filter}")).await, json!({ "count": 2 }));
    let terms = log.json(&format!("/api/event_log/_aggregate?terms=event.id&{filter}")).await;
    assert_eq!(terms["distinct"], 2);
    let export = log.get(&format!("/api/event_log/_export?format=csv&columns=event.id&{filter}")).await;
    assert_eq!(export.body, "event.id\r\ne0\r\ne2\r\n");
    let next = log.json(&format!("/api/event_log/_find?per_page=1&after=&{filter}")).await["next"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(ids(&log.json(&format!("/api/event_log/_find?after={next}&{filter}")).await), ["e2"]);
    let other = log.get(&format!("/api/event_log/_find?after={next}&filter=message:shipped")).await;
    assert!(other.error().contains("the cursor belongs to another query"));
}

#[tokio::test]
async fn the_error_in_a_filter_is_shown_with_its_position() {
    let log = Log::new();
    let answer = log.get("/api/event_log/_find?filter=event.action:run+and+event.acton:x").await;
    assert_eq!(answer.status, 400);
    let message = answer.error();
    let lines: Vec<_> = message.lines().collect();
    assert!(lines[0].starts_with("[request query.filter]: line 1, column 22: "), "{message}");
    assert_eq!(lines[1..], ["event.action:run and event.acton:x", "                     ^^^^^^^^^^^"]);
}
