//! Providers, dead letters, health and metrics.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{Request, header},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{task::yield_now, time::timeout};
use tower::ServiceExt;

use super::Log;
use crate::store::{Outcome, SinkError, StoreError};

#[tokio::test]
async fn registering_adds_actions_and_returns_the_registration() {
    let log = Log::new();
    let put = |path: &'static str, body: &'static str| {
        log.send(log.request("PUT", path).header("content-type", "application/json").body(Body::from(body)).unwrap())
    };
    let answer = put("/api/event_log/providers/crm", r#"{"actions":["login"],"defaults":{"tags":["x"]}}"#).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (200, json!({ "actions": ["login"], "defaults": { "tags": ["x"] } }))
    );
    // The content type is optional.
    let request = log.request("PUT", "/s/team/api/event_log/providers/crm");
    let answer = log.send(request.body(Body::from(r#"{"actions":["logout"]}"#)).unwrap()).await;
    assert_eq!(answer.json(), json!({ "actions": ["login", "logout"], "defaults": {} }), "in that space");
    let now = json!({ "actions": ["login", "logout"], "defaults": { "tags": ["x"] } });
    let mut listed = log.get("/api/event_log/providers").await.json();
    // The log's own provider.
    listed["providers"].as_object_mut().unwrap().remove("annals").unwrap();
    assert_eq!(listed, json!({ "providers": { "app": { "actions": ["run"], "defaults": {} }, "crm": now } }));
}

#[tokio::test]
async fn dead_letters_are_shown_and_replayed_by_store() {
    let log = Log::new();
    let empty = |store: &str| json!({ "store": store, "total": 0, "items": [] });
    let all = log.get("/api/event_log/dead_letters?from=0&limit=10").await.json();
    assert_eq!(all, json!({ "stores": [empty("main"), empty("copy")] }));
    let one = log.get("/api/event_log/dead_letters?store=copy").await.json();
    assert_eq!(one, json!({ "stores": [empty("copy")] }));

    log.store.refuse_next("too long");
    let event = r#"{"event":{"provider":"app","action":"run","id":"a"}}"#;
    log.post("/api/event_log/events?wait_for=stored", event).await;
    let listed = log.get("/api/event_log/dead_letters?store=main").await.json();
    let letter = &listed["stores"][0]["items"][0];
    assert_eq!((&listed["stores"][0]["total"], &letter["reason"]), (&json!(1), &json!("too long")));
    assert_eq!(letter["document"]["event"]["id"], "a");
    let skipped = log.get("/api/event_log/dead_letters?store=main&from=1").await.json();
    assert_eq!(skipped, json!({ "stores": [{ "store": "main", "total": 1, "items": [] }] }));

    let replayed = async |expected: Value| {
        let replayed = log.post("/api/event_log/dead_letters/_replay?store=main", "").await.json();
        assert_eq!(replayed, json!({ "stores": [expected] }));
    };
    log.store.replace_becomes(Ok(Outcome::Rejected { reason: "still".to_owned() }));
    replayed(json!({ "store": "main", "stored": 0, "refused": 1, "reason": "still" })).await;
    log.store.replace_becomes(Err(SinkError::Blocked { reason: "the disk is full".to_owned() }));
    replayed(json!({ "store": "main", "stored": 0, "refused": 1, "reason": "the disk is full" })).await;
    log.store.replace_becomes(Err(SinkError::Denied { reason: "who are you".to_owned() }));
    let all = log.post("/api/event_log/dead_letters/_replay", "").await;
    let failed = json!({ "store": "main", "error": "who are you" });
    let expected = json!({ "stores": [failed, { "store": "copy", "stored": 0, "refused": 0 }] });
    assert_eq!((all.status.as_u16(), all.json()), (200, expected));
    log.store.replace_becomes(Ok(Outcome::Stored));
    replayed(json!({ "store": "main", "stored": 1, "refused": 0 })).await;
    replayed(json!({ "store": "main", "stored": 0, "refused": 0 })).await;
}

#[tokio::test]
async fn an_answer_has_the_id_of_its_request_which_the_caller_may_choose() {
    let log = Log::new();
    let id = async |given: Option<&str>| {
        let request = log.request("GET", "/livez");
        let request = given.iter().fold(request, |request, id| request.header("x-request-id", *id));
        log.send(request.body(Body::empty()).unwrap()).await.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(id(Some("order-7/a")).await, "order-7/a");
    assert_eq!(id(None).await.len(), 16);
    assert_ne!(id(None).await, id(None).await);
    let long = "x".repeat(65);
    for odd in ["", "two words", &long] {
        assert_eq!(id(Some(odd)).await.len(), 16, "{odd:?}");
    }
}

#[tokio::test]
async fn health_needs_no_key_but_its_details_do() {
    let log = Log::new();
    log.await_ready().await;
    let without_key = |path: &'static str, authorization: Option<&'static str>| {
        let mut request = Request::builder().uri(path);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        log.send(request.body(Body::empty()).unwrap())
    };
    assert_eq!(without_key("/livez", None).await.json(), json!({ "status": "alive" }));
    assert_eq!(without_key("/readyz?verbose", None).await.json(), json!({ "status": "ready" }));
    assert_eq!(without_key("/readyz", Some("ApiKey wrong")).await.json(), json!({ "status": "ready" }));

    let detailed = log.get("/readyz").await.json();
    assert_eq!(detailed["writer"], json!({ "accepting": true }));
    let store =
        json!({ "store": "main", "behind_events": 0, "behind_bytes": 0, "behind_seconds": 0.0, "dead_letters": 0 });
    assert_eq!(detailed["stores"][0], store);
}

#[tokio::test(start_paused = true)]
async fn readiness_waits_for_every_store_to_be_set_up() {
    let log = Log::new();
    log.store.be_away(Some(StoreError::Unavailable { reason: "no route".to_owned(), retry_after: None }));
    let first = log.get("/readyz").await;
    assert_eq!((first.status.as_u16(), &first.json()["status"]), (200, &json!("degraded")));
    assert_eq!(first.json()["stores"][0]["trouble"], "the store is not set up yet");
    let accepted = log.post("/api/event_log/events", r#"{"event":{"provider":"app","action":"run"}}"#).await;
    assert_eq!(accepted.status, 202);
    log.store.be_away(None);
    log.await_ready().await;
    assert!(log.get("/readyz").await.json()["stores"][0].get("trouble").is_none());
}

#[tokio::test]
async fn a_failing_store_degrades_readiness_and_is_named_with_its_backlog() {
    let log = Log::new();
    log.store.fail_appends(SinkError::Blocked { reason: "the disk is full".to_owned() });
    log.post("/api/event_log/events", r#"{"event":{"provider":"app","action":"run"}}"#).await;
    let in_trouble = async {
        loop {
            let ready = log.get("/readyz").await;
            if ready.json()["stores"][0].get("trouble").is_some() {
                break ready;
            }
            yield_now().await;
        }
    };
    let ready = timeout(Duration::from_secs(10), in_trouble).await.unwrap();
    let json = ready.json();
    assert_eq!((ready.status.as_u16(), &json["status"]), (200, &json!("degraded")));
    let store = &json["stores"][0];
    assert_eq!((&store["store"], &store["behind_events"]), (&json!("main"), &json!(1)));
    assert!(store["behind_bytes"].as_u64().unwrap() > 0);
    assert!(store["trouble"].as_str().unwrap().contains("the disk is full"));
    let text = String::from_utf8(log.get("/metrics").await.body.to_vec()).unwrap();
    assert!(text.contains(r#"annals_store_trouble{store="main"} 1"#), "{text}");
}

#[tokio::test]
async fn metrics_name_routes_and_never_paths() {
    let log = Log::new();
    log.get("/s/team/api/event_log/secret-type/secret-id/_find").await;
    log.get("/secret-path").await;
    log.send(log.request("SECRET", "/livez").body(Body::empty()).unwrap()).await;
    let answer = log.get("/metrics").await;
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    for line in [
        r#"annals_http_requests_total{method="GET",route="/s/{space}/api/event_log/{type}/{id}/_find",status="200"} 1"#,
        r#"annals_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"annals_http_requests_total{method="other",route="/livez",status="405"} 1"#,
        r#"annals_http_errors_total{code="not_found"} 1"#,
        r#"annals_store_behind_events{store="copy"} 0"#,
    ] {
        assert!(text.contains(line), "no {line} in:\n{text}");
    }
    assert!(!text.to_lowercase().contains("secret"), "{text}");
}

#[tokio::test]
async fn a_panic_becomes_a_500_without_details() {
    async fn panics() {
        panic!("a secret");
    }
    let layer = tower_http::catch_panic::CatchPanicLayer::custom(crate::http::after_panic);
    let router = Router::new().route("/", get(panics)).layer(layer);
    let response = router.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(response.status(), 500);
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(
        body,
        r#"{"statusCode":500,"error":"Internal Server Error","message":"An internal server error occurred"}"#
    );
}

#[tokio::test]
async fn only_answers_that_are_the_same_for_all_may_be_cached() {
    let log = Log::new();
    for (path, header) in [
        ("/livez", None),
        ("/openapi.json", None),
        ("/readyz", Some("no-store")),
        ("/api/event_log/_find", Some("no-store")),
        ("/api/event_log/_export", Some("no-store")),
        ("/api/event_log/_find?page=0", Some("no-store")),
        ("/nothing", Some("no-store")),
    ] {
        assert_eq!(log.get(path).await.header("cache-control"), header, "{path}");
    }
}
