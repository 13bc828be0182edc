//! Memory limits of queries.

use axum::body::{Body, Bytes};
use futures_util::{FutureExt, stream};
use serde_json::{Value, json};

use super::{LIMITS, Log};
use crate::{
    event::ChainId,
    http::Limits,
    query::PAGE_BYTES,
    store::{
        Page,
        testing::{draft, position},
    },
};

const CHAIN: [u8; 16] = [7; 16];

fn document(at: u64) -> Bytes {
    draft().sealed(position(ChainId::from_bytes(CHAIN), at)).document
}

/// A page that is cut after one event.
fn cut(at: u64) -> Page {
    Page { total: 50, documents: vec![document(at)], is_cut: true, end: None }
}

#[tokio::test]
async fn an_unusually_large_page_is_read_again_with_more_memory() {
    let log = Log::new();
    log.store.answer(Ok(cut(0)));
    log.store.answer(Ok(Page { total: 2, documents: vec![document(0), document(1)], is_cut: false, end: None }));
    let answer = log.get("/api/event_log/_find?per_page=50").await;
    assert_eq!(answer.json()["data"].as_array().unwrap().len(), 2);
    let bytes: Vec<_> = log.store.asked().iter().map(|query| query.bytes).collect();
    assert!(bytes[0] < PAGE_BYTES && bytes[1] == PAGE_BYTES, "{bytes:?}");
}

#[tokio::test]
async fn a_page_that_is_too_large_is_refused_with_a_remedy() {
    let log = Log::new();
    for _ in 0..2 {
        log.store.answer(Ok(cut(0)));
    }
    let answer = log.get("/api/event_log/_find?per_page=50").await;
    assert_eq!((answer.status.as_u16(), answer.header("annals-error")), (400, Some("page_too_large")));
    let message = answer.error();
    assert!(message.contains("64 MiB") && message.contains("[per_page]") && message.contains("[after]"), "{message}");
}

#[tokio::test]
async fn a_page_by_cursor_ends_when_it_is_full_and_the_next_continues() {
    let log = Log::new();
    log.store((0..3).map(|_| draft())).await;
    for _ in 0..2 {
        log.store.answer(Ok(cut(0)));
    }
    let sequences = |answer: &Value| -> Vec<u64> {
        answer["data"].as_array().unwrap().iter().map(|event| event["event"]["sequence"].as_u64().unwrap()).collect()
    };
    let first = log.get("/api/event_log/_find?per_page=50&after=").await.json();
    assert_eq!(sequences(&first), [0]);
    let next = first["next"].as_str().unwrap();
    let second = log.get(&format!("/api/event_log/_find?per_page=50&after={next}")).await.json();
    assert_eq!((sequences(&second), &second["next"]), (vec![1, 2], &json!(null)));
}

#[tokio::test]
async fn query_bodies_that_never_arrive_do_not_block_events() {
    let log = Log::with(Limits { max_concurrent_bytes: 1 << 20, ..LIMITS });
    let ask = || {
        let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
        Box::pin(log.post("/api/event_log/t/_find", never))
    };
    let mut asked: Vec<_> = (0..10).map(|_| ask()).collect();
    assert!(asked.iter_mut().all(|question| question.now_or_never().is_none()));
    let answer = log.post("/api/event_log/events", r#"{"event":{"provider":"app","action":"run"}}"#).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
}
