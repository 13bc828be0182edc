//! Streamed answers, and an authority that withdraws a privilege meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicU16, AtomicUsize, Ordering},
};

use axum::{
    Router,
    body::{Body, BodyDataStream},
    extract::Request,
    http::StatusCode,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Duration, timeout},
};
use tower::ServiceExt;

use super::{Log, ended, grant, request_with, until};
use crate::{access::Role, store::testing::draft};

const YES: u16 = 200;
/// Denied: the privilege was withdrawn.
const NO: u16 = 404;
const NO_ANSWER: u16 = 500;

/// An Elasticsearch that knows every caller, and answers whether they have the privilege.
#[derive(Clone, Default)]
struct Engine {
    says: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Engine {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let engine = self.clone();
        let router = Router::new().fallback(move |request: Request| {
            let answer = engine.answer(request.uri().path());
            async move { answer }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn answer(&self, path: &str) -> (StatusCode, String) {
        if path == "/_security/_authenticate" {
            return (StatusCode::OK, json!({"username": "rob", "roles": ["readers"]}).to_string());
        }
        assert_eq!(path, "/_security/user/_has_privileges");
        self.asked.fetch_add(1, Ordering::Relaxed);
        match self.says.load(Ordering::Relaxed) {
            NO_ANSWER => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            says => (StatusCode::OK, json!({"has_all_requested": says == YES}).to_string()),
        }
    }

    fn says(&self, answer: u16) {
        self.says.store(answer, Ordering::Relaxed);
    }

    /// Waits for two more requests, so that the latest answer has been used.
    async fn await_asked(&self) {
        let enough = self.asked.load(Ordering::Relaxed) + 2;
        until(|| self.asked.load(Ordering::Relaxed) >= enough).await;
    }
}

/// Returns a log with many events about one order, and the beginning of the answer to a reader of that order.
async fn answered(engine: &Engine, path: &str) -> (Log, BodyDataStream) {
    let url = engine.start().await;
    engine.says(YES);
    let log = Log::configured(&[
        ("access.authenticators", "api_keys,elasticsearch"),
        ("access.authority", "elasticsearch"),
        ("access.elasticsearch.urls", &url),
        // The paused clock of these tests jumps; that must not cause timeouts.
        ("access.timeout", "1h"),
        ("access.cache", "1s"),
        ("access.rules.a.authenticator", "elasticsearch"),
        ("access.rules.a.values", "readers"),
        ("access.rules.a.role", "reader"),
        ("access.rules.a.spaces", "default"),
    ]);
    log.store((0..5000).map(|index| draft().about("order", "7").with("event.id", format!("e{index}")))).await;
    *log.store.scan_waits_after.lock().unwrap() = Some(2);
    let request = Request::builder().uri(path).header("authorization", "Basic cm9iOngK").body(Body::empty()).unwrap();
    let response = log.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    // The read is recorded: the writer, which knows no other time, has answered.
    tokio::time::pause();
    let mut body = response.into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    (log, body)
}

/// Reads the body; returns whether it has a proper end.
async fn is_whole(mut body: BodyDataStream) -> bool {
    while let Some(piece) = body.next().await {
        if piece.is_err() {
            return false;
        }
    }
    true
}

/// Checks that the stream continues while the authority permits it or does not answer, and is aborted when it denies.
async fn check(kind: &str, path: &str) {
    let engine = Engine::default();
    let (log, body) = answered(&engine, path).await;
    let reading = tokio::spawn(is_whole(body));
    engine.await_asked().await;
    engine.says(NO_ANSWER);
    engine.await_asked().await;
    assert!(!reading.is_finished());
    engine.says(NO);
    assert!(!timeout(Duration::from_secs(60), reading).await.unwrap().unwrap());
    until(|| ended(&log, kind, "access")).await;
}

#[tokio::test]
async fn an_export_is_aborted_when_the_authority_withdraws_the_privilege() {
    check("export", "/api/event_log/order/7/_export").await;
}

#[tokio::test]
async fn a_tail_is_aborted_when_the_authority_withdraws_the_privilege() {
    check("tail", "/api/event_log/order/7/_tail").await;
}

/// A reader finds the events of an object as a whole, with the other objects that they are about. Their flat copy counts
/// those same objects, and no others.
#[tokio::test]
async fn a_reader_counts_the_objects_of_those_events_only_that_it_finds() {
    let log = Log::configured(&[
        ("access.authority", "grants"),
        ("access.grants.one.callers", "*"),
        ("access.grants.one.spaces", "default"),
        ("access.grants.one.types", "order"),
        ("access.grants.one.ids", "7"),
    ]);
    let key = log.new_key("reader", &[grant(Role::Reader, &["default"], &[])]);
    let event = |objects: &[(&str, &str)]| {
        let about = objects.iter().fold(draft(), |draft, (object_type, id)| draft.about(object_type, id));
        let texts: Vec<String> = objects.iter().map(|(object_type, id)| format!("{object_type}:{id}")).collect();
        about.with("annals.objects", texts)
    };
    let (seventh, eighth, customer) = (("order", "7"), ("order", "8"), ("customer", "1"));
    log.store([event(&[customer, seventh]), event(&[seventh]), event(&[customer, eighth]), event(&[customer])]).await;
    let ask = async |path: &str| {
        let answer = log.send(request_with(&key, "GET", path).body(Body::empty()).unwrap()).await;
        (answer.status.as_u16(), answer.json())
    };
    let (status, found) = ask("/api/event_log/order/7/_find").await;
    assert_eq!((status, &found["total"]), (200, &json!(2)));
    let listed: Vec<&Value> = found["data"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|event| event["annals"]["objects"].as_array().unwrap())
        .collect();
    assert_eq!(listed, ["customer:1", "order:7", "order:7"]);
    let (status, counted) = ask("/api/event_log/order/7/_aggregate?terms=annals.objects").await;
    let expected = json!([{"value": "order:7", "count": 2}, {"value": "customer:1", "count": 1}]);
    assert_eq!((status, &counted["terms"]), (200, &expected));
    for path in ["order/8/_aggregate", "customer/1/_aggregate", "_aggregate"] {
        let (status, _) = ask(&format!("/api/event_log/{path}?terms=annals.objects")).await;
        assert_eq!(status, if path == "_aggregate" { 403 } else { 404 }, "{path}");
    }
}
