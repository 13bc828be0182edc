//! Which node is asked, with which credentials, and what is not tried twice.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode},
};
use futures_util::FutureExt;
use serde_json::json;
use tokio::{net::TcpListener, time::timeout};

use super::{
    config, events,
    fake::{Fake, reply},
    fresh_chain, store,
};
use crate::store::{
    EventIndex, EventSink, IndexError, Outcome, SinkError, Target,
    elastic::{ApiKey, Auth, Basic, Bearer, ElasticStore, Secret},
    testing::visible_everywhere,
};

/// Answers a refresh, and a bulk request of one event.
async fn engine() -> Fake {
    Fake::start(|asked| match asked.call.as_str() {
        call if call.ends_with("_bulk") => reply(200, json!({"errors": false, "items": [{"create": {"status": 201}}]})),
        _ => reply(200, json!({"_shards": {"failed": 0}})),
    })
    .await
}

/// Returns an address on which nothing listens.
async fn nobody() -> String {
    silent().await.0
}

#[tokio::test]
async fn nodes_are_asked_in_turn() {
    let (one, other) = (engine().await, engine().await);
    let store = store(&[&one.url, &other.url]);
    for _ in 0..6 {
        store.refresh().await.unwrap();
    }
    assert_eq!((one.calls().len(), other.calls().len()), (3, 3));
}

#[tokio::test]
async fn a_question_goes_on_to_the_next_node_when_one_is_dead() {
    let (dead, alive) = (nobody().await, engine().await);
    let store = store(&[&dead, &alive.url]);
    for _ in 0..4 {
        store.refresh().await.unwrap();
    }
    assert_eq!(alive.calls().len(), 4);
}

#[tokio::test]
async fn an_append_is_sent_once_and_the_dead_node_then_rests() {
    let (dead, alive) = (nobody().await, engine().await);
    let store = store(&[&dead, &alive.url]);
    let (target, batch) = (Target("i-000001".to_owned()), events(fresh_chain(), 0..1));
    let first = store.append(&target, &batch).await.unwrap_err();
    assert!(matches!(&first, SinkError::Unavailable { reason, .. } if reason.starts_with(&dead)), "{first}");
    assert!(alive.calls().is_empty(), "a failed append is the caller's to repeat");
    for _ in 0..4 {
        assert_eq!(store.append(&target, &batch).await.unwrap(), [Outcome::Stored]);
    }
}

#[tokio::test]
async fn resting_nodes_are_tried_if_all_rest() {
    let store = store(&[&nobody().await]);
    for _ in 0..2 {
        assert!(matches!(store.refresh().await.unwrap_err(), IndexError::Unavailable { .. }));
    }
}

#[tokio::test]
async fn a_silent_node_is_given_up_in_time() {
    let (url, _listener) = silent().await;
    let limit = Duration::from_millis(50);
    let config = super::ElasticConfig { request_timeout: limit, bulk_timeout: limit, ..config(&[&url]) };
    let store = ElasticStore::new(&config).unwrap();
    let error = store.append(&Target("i-000001".to_owned()), &events(fresh_chain(), 0..1)).await.unwrap_err();
    assert_eq!(error.to_string(), format!("{url}/ did not answer in time"));
    assert!(matches!(store.refresh().await.unwrap_err(), IndexError::Unavailable { .. }));
}

/// Returns the address of a node that accepts connections and never answers, and the listener that keeps it there.
async fn silent() -> (String, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    (format!("http://{}", listener.local_addr().unwrap()), listener)
}

/// Returns the address of a node that answers probes and nothing else.
async fn stuck() -> String {
    let (url, listener) = silent().await;
    let answer = async |request: Request| if request.method() == Method::HEAD { "" } else { pending().await };
    tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    url
}

#[tokio::test]
async fn a_silent_node_costs_no_call_its_answer_and_is_not_asked_again() {
    let ((url, listener), alive) = (silent().await, engine().await);
    let store = store(&[&url, &alive.url]);
    store.refresh().await.unwrap();
    for _ in 0..4 {
        store.refresh().await.unwrap();
    }
    assert_eq!(alive.calls().len(), 5);
    // The call, and the probe.
    for _ in 0..2 {
        listener.accept().await.unwrap();
    }
    assert!(listener.accept().now_or_never().is_none());
}

#[tokio::test]
async fn an_append_leaves_a_silent_node_long_before_its_time_is_over() {
    let ((url, _listener), alive) = (silent().await, engine().await);
    let config = super::ElasticConfig { bulk_timeout: Duration::from_secs(3_600), ..config(&[&url, &alive.url]) };
    let store = ElasticStore::new(&config).unwrap();
    let (target, batch) = (Target("i-000001".to_owned()), events(fresh_chain(), 0..1));
    assert!(matches!(store.append(&target, &batch).await.unwrap_err(), SinkError::Unavailable { .. }));
    for _ in 0..4 {
        assert_eq!(store.append(&target, &batch).await.unwrap(), [Outcome::Stored]);
    }
}

#[tokio::test]
async fn a_node_gets_only_a_share_of_the_time_while_others_are_left() {
    let (stuck, alive) = (stuck().await, engine().await);
    let config = super::ElasticConfig { request_timeout: Duration::from_secs(4), ..config(&[&stuck, &alive.url]) };
    let store = ElasticStore::new(&config).unwrap();
    for _ in 0..3 {
        store.refresh().await.unwrap();
    }
    assert_eq!(alive.calls().len(), 3);
}

/// Shards are missing almost until the end, and then the node falls silent.
#[tokio::test]
async fn a_search_takes_no_longer_than_a_request_however_often_it_is_tried() {
    let (url, listener) = silent().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = move || {
        let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if !is_first {
                pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(1_600)).await;
            let body = json!({"error": {"type": "no_shard_available_action_exception", "reason": ""}, "status": 503});
            (StatusCode::SERVICE_UNAVAILABLE, [("content-type", "application/json")], body.to_string())
        }
    };
    tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    let config = super::ElasticConfig { request_timeout: Duration::from_secs(2), ..config(&[&url]) };
    let store = ElasticStore::new(&config).unwrap();
    let found = timeout(Duration::from_secs(3), store.find(&visible_everywhere().build())).await;
    assert!(matches!(found.unwrap().unwrap_err(), IndexError::Unavailable { .. }));
}

#[tokio::test]
async fn a_failed_node_is_used_again_once_it_answers_a_probe() {
    let (one, other) = (engine().await, engine().await);
    let store = store(&[&one.url, &other.url]);
    store.client.fail_first_node();
    for _ in 0..4 {
        store.refresh().await.unwrap();
    }
    assert!(one.calls().is_empty());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    let is_asked = async {
        while !one.calls().iter().any(|call| call.starts_with("POST")) {
            store.refresh().await.unwrap()
        }
    };
    timeout(Duration::from_secs(60), is_asked).await.unwrap();
}

#[tokio::test]
async fn the_engine_gets_the_credentials() {
    let check = async |auth: Auth, expected: &str| {
        let engine = engine().await;
        let config = super::ElasticConfig { auth, ..config(&[&engine.url]) };
        ElasticStore::new(&config).unwrap().refresh().await.unwrap();
        assert_eq!(engine.asked()[0].headers["authorization"], expected);
    };
    let secret = |text: &str| Some(Secret::new(text));
    let basic = Basic { login: "u".to_owned(), password: secret("p"), ..Basic::default() };
    check(Auth { basic: Some(basic), ..Auth::default() }, "Basic dTpw").await;
    let bearer = Bearer { token: secret("t"), ..Bearer::default() };
    check(Auth { bearer: Some(bearer), ..Auth::default() }, "Bearer t").await;
    let pair = ApiKey { id: Some("i".to_owned()), key: secret("k"), ..ApiKey::default() };
    check(Auth { api_key: Some(pair), ..Auth::default() }, "ApiKey aTpr").await;
    let encoded = ApiKey { encoded: secret("aTpr"), ..ApiKey::default() };
    check(Auth { api_key: Some(encoded), ..Auth::default() }, "ApiKey aTpr").await;
}

#[tokio::test]
async fn only_plain_media_types_are_sent() {
    let engine = engine().await;
    let store = store(&[&engine.url]);
    store.append(&Target("i-000001".to_owned()), &events(fresh_chain(), 0..1)).await.unwrap();
    store.refresh().await.unwrap();
    let asked = engine.asked();
    assert_eq!(asked[0].headers["content-type"], "application/x-ndjson");
    assert_eq!(asked[1].headers["content-type"], "application/json");
    assert!(asked.iter().all(|asked| asked.headers["accept"] == "application/json"));
}
