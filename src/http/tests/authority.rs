//! Answers that go on for long, and an authority that changes its mind meanwhile.

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
use serde_json::json;
use tokio::{
    net::TcpListener,
    time::{Duration, timeout},
};
use tower::ServiceExt;

use super::{Log, ended, until};
use crate::store::testing::draft;

const YES: u16 = 200;
/// It says no: the privilege was taken away.
const NO: u16 = 404;
const NO_ANSWER: u16 = 500;

/// An Elasticsearch that knows everybody, and says whether they have the privilege.
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

    /// Waits until it has been asked so often again that its last word has been heard.
    async fn await_asked(&self) {
        let enough = self.asked.load(Ordering::Relaxed) + 2;
        until(|| self.asked.load(Ordering::Relaxed) >= enough).await;
    }
}

/// A log of many events about one order, and what a reader of that order begins to be answered.
async fn answered(engine: &Engine, path: &str) -> (Log, BodyDataStream) {
    let url = engine.start().await;
    engine.says(YES);
    let log = Log::configured(&[
        ("access.authenticators", "api_keys,elasticsearch"),
        ("access.authority", "elasticsearch"),
        ("access.elasticsearch.urls", &url),
        // The clock of these tests jumps, and no answer is late by it.
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
    let mut body = response.into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    (log, body)
}

/// Reads to the end; whether that is one.
async fn is_whole(mut body: BodyDataStream) -> bool {
    while let Some(piece) = body.next().await {
        if piece.is_err() {
            return false;
        }
    }
    true
}

/// It goes on while the authority says yes or nothing, and is broken off when it says no.
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

#[tokio::test(start_paused = true)]
async fn an_export_is_broken_off_when_the_authority_changes_its_mind() {
    check("export", "/api/event_log/order/7/_export").await;
}

#[tokio::test(start_paused = true)]
async fn a_tail_is_broken_off_when_the_authority_changes_its_mind() {
    check("tail", "/api/event_log/order/7/_tail").await;
}
