//! Logging events. `items.rs` tests the answers in detail.

use std::{io::Write, task::Poll, time::Duration};

use axum::body::{Body, Bytes};
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::yield_now, time::timeout};
use tower::ServiceExt;

use super::{LIMITS, Log};
use crate::{http::Limits, store::SinkError};

const PATH: &str = "/api/event_log/events";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn if_every_event_is_invalid_the_answer_is_400_with_a_reason_for_each() {
    let log = Log::new();
    let body = r#"[{"event":{"provider":"app","action":"walk"}},{"event":{"provider":"app","action":"run"},"nope":1}]"#;
    let answer = log.post(PATH, body).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("annals-error"), Some("events_rejected"));
    let json = answer.json();
    assert_eq!((&json["statusCode"], &json["error"]), (&json!(400), &json!("Bad Request")));
    assert!(json["message"].as_str().unwrap().starts_with("all 2 events were rejected, the first for: "), "{json}");
    let items = json["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(items[0]["status"], "rejected");
    assert_eq!(items[1]["errors"][0]["path"], "nope");
    let text = log.metrics.render().unwrap();
    assert!(text.contains(r#"annals_intake_events_total{outcome="rejected"} 2"#), "{text}");
    assert!(text.contains(r#"annals_http_errors_total{code="events_rejected"} 1"#), "{text}");
}

#[tokio::test]
async fn unknown_fields_are_kept_for_a_provider_that_is_registered_so_and_counted_and_warned_of() {
    let log = Log::new();
    let event = r#"{"event":{"provider":"app","action":"run"},"tenant":{"id":7},"x":1}"#;
    assert_eq!(log.post(PATH, event).await.status, 400);
    let register = r#"{"actions":["run"],"unknown_fields":"keep"}"#;
    let registered = log.put("/api/event_log/providers/app", register).await;
    assert_eq!((registered.status.as_u16(), &registered.json()["unknown_fields"]), (200, &json!("keep")));
    let answer = log.post(PATH, event).await.json();
    let codes: Vec<_> = answer["warnings"].as_array().unwrap().iter().map(|warning| &warning["code"]).collect();
    assert_eq!(codes, ["no_primary_object", "unmapped_fields"]);
    let text = log.metrics.render().unwrap();
    assert!(text.contains(r#"annals_intake_unmapped_fields_total{provider="app"} 2"#), "{text}");
    let refused = log.put("/api/event_log/providers/app", r#"{"actions":["run"],"unknown_fields":"drop"}"#).await;
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(
        (refused.status.as_u16(), message.contains("expected [refuse] or [keep] but got [drop]")),
        (400, true),
        "{message}"
    );
}

const VALID: &str = r#"{"event":{"provider":"app","action":"run","id":"a"}}"#;

#[tokio::test]
async fn each_event_has_a_result_and_valid_ones_a_position_in_the_chain() {
    let log = Log::new();
    let another = VALID.replace(r#""id":"a""#, r#""id":"b""#);
    let answer = log.post(PATH, format!("{VALID}\n{{\n{another}")).await;
    assert_eq!(answer.status, 202, "{:?}", answer.body);
    let json = answer.json();
    let items = json["items"].as_array().unwrap();
    let statuses: Vec<_> = items.iter().map(|item| item["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["accepted", "rejected", "accepted"]);
    assert_eq!(items[0]["id"], "a");
    assert_eq!(items[0]["chain"], items[2]["chain"]);
    assert_eq!(items[0]["sequence"].as_u64().unwrap() + 1, items[2]["sequence"].as_u64().unwrap());
    assert_ne!(items[0]["hash"], items[2]["hash"]);
    assert_eq!(json.get("stored"), None);
    let text = log.metrics.render().unwrap();
    assert!(text.contains(r#"annals_intake_events_total{outcome="accepted"} 2"#), "{text}");

    let again = log.post(PATH, format!("{VALID}\n{}", another.replace("run", "stop"))).await.json();
    let receipt =
        |item: &Value| (item["id"].clone(), item["chain"].clone(), item["sequence"].clone(), item["hash"].clone());
    assert_eq!(again["items"][0]["status"], "duplicate");
    assert_eq!(receipt(&again["items"][0]), receipt(&items[0]));
    assert_eq!(again["items"][0].get("differs"), None);
    let changed = log.post(PATH, VALID.replace(r#""id":"a""#, r#""id":"a","reason":"x""#)).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["items"][0]["differs"]), (202, &json!(true)));
    let text = log.metrics.render().unwrap();
    assert!(text.contains(r#"annals_intake_events_total{outcome="duplicate"} 2"#), "{text}");
}

#[tokio::test]
async fn wait_for_stored_answers_whether_the_events_can_be_found() {
    let stored = "/api/event_log/events?wait_for=stored";
    let log = Log::new();
    let answer = log.post(stored, VALID).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["stored"]), (202, &json!(true)));

    let log = Log::with(Limits { request_timeout: Duration::from_millis(100), ..LIMITS });
    log.store.fail_appends(SinkError::Unavailable { reason: "away".to_owned(), retry_after: None });
    let answer = log.post(stored, VALID).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["stored"]), (202, &json!(false)));
    assert_eq!(answer.json()["items"][0]["status"], "accepted");
}

#[tokio::test]
async fn a_stopping_writer_refuses_events() {
    let log = Log::new();
    log.writer.close();
    let answer = log.post(PATH, VALID).await;
    assert_eq!((answer.status.as_u16(), answer.header("annals-error")), (503, Some("shutting_down")));
    assert_eq!(answer.header("retry-after"), Some("5"));
    let ready = log.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["status"]), (503, &json!("unavailable")));
    assert_eq!(ready.json()["writer"]["accepting"], false);
}

/// The body is large, so that it is processed on another thread and the request can be dropped before that ends.
#[tokio::test]
async fn events_that_arrived_are_logged_even_if_the_client_disconnects() {
    let log = Log::with(Limits { max_batch_bytes: 1 << 20, ..LIMITS });
    let events = format!("{VALID}{}", " ".repeat(70_000));
    let (read, all_read) = oneshot::channel::<()>();
    let mut read = Some(read);
    let mut body = Some(Bytes::from(events));
    let body = stream::poll_fn(move |_| {
        let chunk = body.take().map(Ok::<_, std::io::Error>);
        if chunk.is_none() {
            drop(read.take());
        }
        Poll::Ready(chunk)
    });
    let request = log.request("POST", PATH).body(Body::from_stream(body)).unwrap();
    let client = log.router.clone().oneshot(request);
    tokio::select! {
        biased;
        _ = all_read => {}
        _ = client => panic!("the client got an answer"),
    }
    let logged = async {
        while log.writer.stats().events == 0 {
            yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), logged).await.unwrap();
}

#[tokio::test]
async fn waiting_for_events_that_were_not_logged_ends_at_once() {
    let log = Log::new();
    let answer = log.post("/api/event_log/events?wait_for=stored", "{}").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["stored"]), (400, &json!(null)));
}

#[tokio::test]
async fn ndjson_and_json_are_accepted_with_or_without_content_type_and_compression() {
    let log = Log::new();
    for content_type in
        [None, Some("application/json"), Some("Application/X-NDJSON"), Some("application/json; charset=UTF-8")]
    {
        for encoding in [None, Some("identity"), Some("gzip"), Some("GZIP")] {
            let mut request = log.request("POST", PATH);
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            let mut body = b"{}\n{}\n".to_vec();
            if let Some(encoding) = encoding {
                request = request.header("content-encoding", encoding);
            }
            if encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("gzip")) {
                body = gzip(&body);
            }
            let answer = log.send(request.body(Body::from(body)).unwrap()).await;
            assert_eq!(answer.json()["items"].as_array().unwrap().len(), 2, "{content_type:?} {encoding:?}");
        }
    }
}

#[tokio::test]
async fn a_large_body_is_checked_like_a_small_one() {
    let log = Log::new();
    let body = "{}\n".repeat(30_000);
    assert!(body.len() > 64 * 1024 && body.len() < LIMITS.max_batch_bytes);
    let answer = log.post(PATH, body).await;
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (413, "the body has more than 1000 events"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_however_it_is_sent() {
    let log = Log::new();
    let limit = LIMITS.max_batch_bytes;
    let fits = format!("{{}}{}", " ".repeat(limit - 2));
    let too_large = format!("{fits} ");
    let chunked = |text: &str| {
        let chunks: Vec<_> = text.as_bytes().chunks(7000).map(Bytes::copy_from_slice).collect();
        Body::from_stream(stream::iter(chunks).map(Ok::<_, std::io::Error>))
    };
    let compressed = |text: &str| {
        let request = log.request("POST", PATH).header("content-encoding", "gzip");
        request.body(Body::from(gzip(text.as_bytes()))).unwrap()
    };
    for (status, text) in [(400, &fits), (413, &too_large)] {
        assert_eq!(log.post(PATH, text.clone()).await.status, status);
        assert_eq!(log.post(PATH, chunked(text)).await.status, status, "chunked");
        assert_eq!(log.send(compressed(text)).await.status, status, "gzip");
    }
    let declared = log.request("POST", PATH).header("content-length", limit + 1);
    let answer =
        log.send(declared.body(Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (413, "the body has more than 100000 bytes"));
}

#[tokio::test]
async fn a_compressed_body_cannot_grow_beyond_the_limit() {
    let log = Log::new();
    let bomb = gzip(&vec![b' '; 10 << 20]);
    assert!(bomb.len() < LIMITS.max_batch_bytes);
    let request = log.request("POST", PATH).header("content-encoding", "gzip");
    assert_eq!(log.send(request.body(Body::from(bomb)).unwrap()).await.status, 413);
}

#[tokio::test]
async fn a_compressed_body_that_is_cut_off_is_400() {
    let log = Log::new();
    let cut = gzip(b"{}");
    let request = log.request("POST", PATH).header("content-encoding", "gzip");
    let answer = log.send(request.body(Body::from(cut[..cut.len() - 4].to_vec())).unwrap()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.error().starts_with("the body is not gzip"), "{}", answer.error());
}

fn never() -> Body {
    Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>())
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let log = Log::with(Limits { request_timeout: Duration::from_millis(20), ..LIMITS });
    let answer = log.post(PATH, never()).await;
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (408, "the body did not arrive in time"));
}

#[tokio::test]
async fn an_incomplete_body_is_400() {
    let log = Log::new();
    let broken = stream::iter([Ok(Bytes::from_static(b"{}")), Err(std::io::Error::other("cut"))]);
    let answer = log.post(PATH, Body::from_stream(broken)).await;
    assert_eq!((answer.status.as_u16(), answer.error().as_str()), (400, "the body ended before it was complete"));
}
