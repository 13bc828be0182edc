//! Memory limits of queries.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::{FutureExt, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{LIMITS, Log};
use crate::{
    event::ChainId,
    http::Limits,
    memory_budget::MemoryBudget,
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
        answer["data"].as_array().unwrap().iter().map(|event| event["annals"]["sequence"].as_u64().unwrap()).collect()
    };
    let first = log.get("/api/event_log/_find?per_page=50&after=").await.json();
    assert_eq!(sequences(&first), [0]);
    let next = first["next"].as_str().unwrap();
    let second = log.get(&format!("/api/event_log/_find?per_page=50&after={next}")).await.json();
    assert_eq!((sequences(&second), &second["next"]), (vec![1, 2], &json!(null)));
}

#[tokio::test]
async fn bodies_that_never_arrive_take_no_memory() {
    let log = Log::new();
    let free = |budget: &MemoryBudget| budget.free_units();
    let before = (free(&log.memory.event_bodies), free(&log.memory.other_bodies));
    let ask = |path| {
        let never = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
        Box::pin(log.post(path, never))
    };
    let mut asked: Vec<_> =
        (0..100).map(|number| ask(["/api/event_log/t/_find", "/api/event_log/events"][number % 2])).collect();
    assert!(asked.iter_mut().all(|question| question.now_or_never().is_none()));
    assert_eq!((free(&log.memory.event_bodies), free(&log.memory.other_bodies)), before);
}

/// The caller has taken its share of a budget; its requests are refused then, without any effect.
async fn check_busy(of: impl Fn(&Log) -> &MemoryBudget, ask: impl AsyncFn(&Log) -> super::Answer, expected: u16) {
    let log = Log::with(Limits { request_timeout: Duration::from_millis(100), ..LIMITS });
    let budget = of(&log);
    let taken = budget.reserve("api_key:admin", budget.share(), Instant::now()).await.unwrap();
    let refused = ask(&log).await;
    assert_eq!((refused.status.as_u16(), refused.header("annals-error")), (503, Some("busy")));
    assert_eq!((refused.header("retry-after"), log.writer.stats().events), (Some("1"), 0));
    drop(taken);
    // The deadline is near, so it may need some attempts.
    for _ in 0..100 {
        if ask(&log).await.status == expected {
            return;
        }
    }
    panic!("no answer once there is memory");
}

#[tokio::test]
async fn nothing_is_made_without_memory_for_it() {
    let log_event =
        async |log: &Log| log.post("/api/event_log/events", r#"{"event":{"provider":"app","action":"run"}}"#).await;
    check_busy(|log| &log.memory.event_bodies, log_event, 202).await;
    check_busy(|log| &log.memory.checked_events, log_event, 202).await;
    check_busy(|log| &log.memory.event_answers, log_event, 202).await;
    check_busy(|log| &log.memory.other_bodies, async |log| log.post("/api/event_log/t/_find", "{}").await, 200).await;
    for path in ["_find", "_aggregate?terms=event.action", "_aggregate?histogram=@timestamp", "providers"] {
        let ask = async |log: &Log| log.get(&format!("/api/event_log/{path}")).await;
        check_busy(|log| &log.memory.answers, ask, 200).await;
    }
}

#[tokio::test]
async fn memory_is_free_again_after_every_answer() {
    let log = Log::new();
    let free = || {
        let memory = &log.memory;
        let budgets = [
            &memory.event_bodies,
            &memory.checked_events,
            &memory.event_answers,
            &memory.other_bodies,
            &memory.streams,
            &memory.answers,
        ];
        budgets.map(MemoryBudget::free_units)
    };
    let before = free();
    let event = r#"{"event":{"provider":"app","action":"run"}}"#;
    log.post("/api/event_log/events", event).await;
    log.post("/api/event_log/events", [event, "\n1\n"].concat().repeat(400)).await;
    log.post("/api/event_log/events", "[]").await;
    log.post("/api/event_log/t/_find", r#"{"ids":["1"]}"#).await;
    for path in
        ["_find", "_count", "_aggregate?terms=event.action", "_export", "providers", "events/1", "_find?filter=("]
    {
        log.get(&format!("/api/event_log/{path}")).await;
    }
    // The task of an export ends shortly after its answer.
    super::until(|| free() == before).await;
}
