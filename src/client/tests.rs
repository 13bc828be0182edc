#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::{collections::VecDeque, sync::Mutex};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use tokio::sync::Notify;

use super::*;

/// A server that records requests, and gives scripted answers before it accepts everything.
#[derive(Default)]
struct Fake {
    requests: Mutex<Vec<RecordedRequest>>,
    script: Mutex<VecDeque<Answer>>,
    arrived: Notify,
    release: Notify,
}

#[derive(Clone, Debug)]
struct RecordedRequest {
    line: String,
    key: Option<String>,
    body: String,
}

impl RecordedRequest {
    fn events(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

enum Answer {
    /// An answer with this status, these headers and this body.
    Say(u16, &'static [(&'static str, &'static str)], Value),
    /// Accepts once the test allows it.
    Hold,
    /// Never answers.
    Silence,
}

impl Fake {
    async fn start(script: impl IntoIterator<Item = Answer>) -> (Arc<Self>, String) {
        let fake = Arc::new(Self { script: Mutex::new(script.into_iter().collect()), ..Self::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(Arc::clone(&fake));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, url)
    }

    fn requests(&self) -> Vec<RecordedRequest> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until this many requests have arrived.
    async fn wait_for(&self, requests: usize) {
        bounded(async {
            while self.requests().len() < requests {
                self.arrived.notified().await;
            }
        })
        .await;
    }
}

/// Fails if the work takes longer than a test should wait.
async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap()
}

async fn answer(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let key = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let request = RecordedRequest { line, key, body: String::from_utf8(body.to_vec()).unwrap() };
    let events = request.body.lines().count();
    fake.requests.lock().unwrap().push(request);
    fake.arrived.notify_one();
    let answer = fake.script.lock().unwrap().pop_front();
    match answer {
        Some(Answer::Say(status, headers, body)) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            return response;
        }
        Some(Answer::Silence) => std::future::pending().await,
        Some(Answer::Hold) => fake.release.notified().await,
        None => {}
    }
    let items: Vec<_> = (0..events).map(accepted).collect();
    (StatusCode::ACCEPTED, json!({ "items": items }).to_string()).into_response()
}

fn accepted(sequence: usize) -> Value {
    json!({"status": "accepted", "id": "i", "chain": "c", "sequence": sequence, "hash": "h"})
}

fn rejected() -> Value {
    let errors = json!([{"path": "event.action", "expected": "a registered action", "found": "\"x\""}]);
    json!({"status": "rejected", "error": {"path": "event.action", "reason": "expected …, found …"}, "errors": errors})
}

/// Sends by count and flush only, so that no test depends on the clock.
fn config(url: &str) -> ClientConfig {
    ClientConfig { flush_interval: Duration::from_secs(3600), ..ClientConfig::new(url) }
}

fn numbered(number: usize) -> Value {
    json!({ "message": number.to_string() })
}

fn messages(requests: &[RecordedRequest]) -> Vec<Vec<String>> {
    let message = |event: Value| event["message"].as_str().unwrap().to_owned();
    requests.iter().map(|request| request.events().into_iter().map(message).collect()).collect()
}

/// Returns an address on which nothing listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn events_arrive_complete_in_order_and_in_batches() {
    let (fake, url) = Fake::start([]).await;
    let client = Client::new(ClientConfig {
        flush_events: 2,
        api_key: Some(Secret::new("key")),
        space: Some("ops".to_owned()),
        ..config(&url)
    });
    let client = client.unwrap();
    let logger = client.logger(json!({"event": {"provider": "p", "action": "a"}}));
    for number in 0..5 {
        logger.log_event(numbered(number));
    }
    bounded(client.flush()).await;
    let requests = fake.requests();
    assert_eq!(messages(&requests), [vec!["0", "1"], vec!["2", "3"], vec!["4"]]);
    assert_eq!(requests[0].line, "POST /s/ops/api/event_log/events");
    assert_eq!(requests[0].key.as_deref(), Some("ApiKey key"));
    for event in requests.iter().flat_map(RecordedRequest::events) {
        assert_eq!(event["event"]["provider"], "p");
        assert!(event["event"]["id"].is_string() && event["@timestamp"].is_string(), "{event}");
    }
    assert_eq!(client.close().await, Stats { sent: 5, ..Stats::default() });
}

#[tokio::test]
async fn a_lone_event_is_sent_after_the_interval() {
    let (fake, url) = Fake::start([]).await;
    let interval = Duration::from_millis(5);
    let client = Client::new(ClientConfig { flush_interval: interval, ..config(&url) }).unwrap();
    client.logger(Value::Null).log_event(numbered(0));
    fake.wait_for(1).await;
    assert_eq!(messages(&fake.requests()), [["0"]]);
}

#[tokio::test]
async fn what_a_full_batch_leaves_behind_is_sent_after_the_interval() {
    let (fake, url) = Fake::start([]).await;
    let interval = Duration::from_millis(5);
    let client = Client::new(ClientConfig { flush_interval: interval, flush_events: 2, ..config(&url) }).unwrap();
    let logger = client.logger(Value::Null);
    (0..3).for_each(|number| logger.log_event(numbered(number)));
    fake.wait_for(2).await;
    assert_eq!(messages(&fake.requests()), [vec!["0", "1"], vec!["2"]]);
}

#[tokio::test]
async fn a_full_queue_keeps_old_events_and_drops_new_ones() {
    let (fake, url) = Fake::start([Answer::Hold]).await;
    let client = Client::new(ClientConfig { queue_events: 3, flush_events: 1, ..config(&url) }).unwrap();
    let logger = client.logger(Value::Null);
    logger.log_event(numbered(0));
    fake.wait_for(1).await;
    for number in 1..6 {
        logger.log_event(numbered(number));
    }
    assert_eq!(client.stats(), Stats { queued: 3, dropped: 3, ..Stats::default() });
    fake.release.notify_one();
    assert_eq!(client.close().await, Stats { sent: 3, dropped: 3, ..Stats::default() });
    assert_eq!(messages(&fake.requests()), [["0"], ["1"], ["2"]]);
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes_as_well() {
    let client = Client::new(ClientConfig { queue_bytes: 1000, ..config(&nobody()) }).unwrap();
    let logger = client.logger(Value::Null);
    logger.log_event(json!({ "message": "x".repeat(600) }));
    logger.log_event(json!({ "message": "x".repeat(600) }));
    logger.log_event(json!({ "message": "small" }));
    assert_eq!(client.stats(), Stats { queued: 2, dropped: 1, ..Stats::default() });
}

#[tokio::test]
async fn a_busy_server_gets_the_same_batch_again() {
    let busy = |status| Answer::Say(status, &[("retry-after", "0")], json!({"message": "later"}));
    let (fake, url) = Fake::start([busy(429), busy(503)]).await;
    let client = Client::new(config(&url)).unwrap();
    let logger = client.logger(Value::Null);
    logger.log_event(numbered(0));
    logger.log_event(numbered(1));
    assert_eq!(client.close().await, Stats { sent: 2, retries: 2, ..Stats::default() });
    let requests = fake.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.body == requests[0].body), "{requests:?}");
}

#[tokio::test]
async fn a_very_long_retry_after_is_not_honoured() {
    const AGES: &[(&str, &str)] = &[("retry-after", "18446744073709551615")];
    let (_fake, url) = Fake::start([Answer::Say(503, AGES, json!({"message": "later"}))]).await;
    let endpoint = Endpoint { url, api_key: None, space: None, timeout: Duration::from_secs(60), ca_pem: None };
    let answer = Api::new(&endpoint).unwrap().log("{}".into(), 1, api::WaitFor::Durable).await;
    let Err(ApiError::Busy { retry_after: Some(wait), .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(wait, Duration::from_secs(24 * 60 * 60));
}

#[tokio::test]
async fn a_batch_whose_answer_was_lost_goes_again_with_the_same_ids() {
    let (fake, url) = Fake::start([Answer::Silence]).await;
    let timeout = Duration::from_millis(200);
    let client = Client::new(ClientConfig { request_timeout: timeout, ..config(&url) }).unwrap();
    client.logger(Value::Null).log_event(numbered(0));
    bounded(client.flush()).await;
    let requests = fake.requests();
    assert_eq!(requests[0].events()[0]["event"]["id"], requests[1].events()[0]["event"]["id"]);
    assert_eq!(client.close().await, Stats { sent: 1, retries: 1, ..Stats::default() });
}

#[tokio::test]
async fn each_event_of_a_batch_is_counted_by_its_own_outcome() {
    let items = json!({"items": [accepted(0), rejected(), {"status": "filtered"}, accepted(1)]});
    let all_bad = json!({"statusCode": 400, "error": "Bad Request", "message": "…", "items": [rejected()]});
    let (_fake, url) = Fake::start([Answer::Say(202, &[], items), Answer::Say(400, &[], all_bad)]).await;
    let client = Client::new(config(&url)).unwrap();
    let logger = client.logger(Value::Null);
    (0..4).for_each(|number| logger.log_event(numbered(number)));
    bounded(client.flush()).await;
    logger.log_event(numbered(4));
    logger.log_event(json!("not an event"));
    assert_eq!(client.close().await, Stats { sent: 2, filtered: 1, rejected: 3, ..Stats::default() });
}

#[tokio::test]
async fn an_answer_that_does_not_cover_every_event_is_not_accepted() {
    let short = Answer::Say(202, &[], json!({"items": [accepted(0)]}));
    let (fake, url) = Fake::start([short]).await;
    let client = Client::new(config(&url)).unwrap();
    let logger = client.logger(Value::Null);
    (0..2).for_each(|number| logger.log_event(numbered(number)));
    assert_eq!(client.close().await, Stats { sent: 2, retries: 1, ..Stats::default() });
    assert_eq!(messages(&fake.requests()), [["0", "1"], ["0", "1"]]);
}

#[tokio::test]
async fn a_batch_that_is_refused_goes_in_halves_and_in_order() {
    for status in [413, 400] {
        let refused = || Answer::Say(status, &[], json!({"message": "too much"}));
        // The whole batch and its first half are refused, and so is the second event by itself.
        let ok = || Answer::Say(202, &[], json!({"items": [accepted(0)]}));
        let (fake, url) = Fake::start([refused(), refused(), ok(), refused()]).await;
        let client = Client::new(config(&url)).unwrap();
        let logger = client.logger(Value::Null);
        (0..4).for_each(|number| logger.log_event(numbered(number)));
        assert_eq!(client.close().await, Stats { sent: 3, rejected: 1, ..Stats::default() });
        let expected: [&[&str]; 5] = [&["0", "1", "2", "3"], &["0", "1"], &["0"], &["1"], &["2", "3"]];
        assert_eq!(messages(&fake.requests()), expected);
    }
}

#[tokio::test]
async fn an_event_larger_than_a_request_is_rejected_and_does_not_block_the_queue() {
    let (fake, url) = Fake::start([]).await;
    let client = Client::new(ClientConfig { request_bytes: 1_000, ..config(&url) }).unwrap();
    let logger = client.logger(Value::Null);
    logger.log_event(json!({ "message": "x".repeat(1_000) }));
    logger.log_event(numbered(7));
    assert_eq!(client.close().await, Stats { sent: 1, rejected: 1, ..Stats::default() });
    assert_eq!(messages(&fake.requests()), [["7"]]);
}

#[tokio::test]
async fn closing_gives_up_after_its_timeout_and_counts_lost_events() {
    let close_timeout = Duration::from_millis(20);
    let client = Client::new(ClientConfig { close_timeout, flush_events: 2, ..config(&nobody()) }).unwrap();
    let logger = client.logger(Value::Null);
    (0..5).for_each(|number| logger.log_event(numbered(number)));
    let stats = client.close().await;
    assert_eq!((stats.queued, stats.dropped), (0, 5));
    logger.log_event(numbered(5));
    assert_eq!(logger.queue.stats().dropped, 6);
}

#[tokio::test]
async fn a_dropped_client_still_sends_what_is_queued() {
    let (fake, url) = Fake::start([]).await;
    let client = Client::new(config(&url)).unwrap();
    client.logger(Value::Null).log_event(numbered(0));
    drop(client);
    fake.wait_for(1).await;
    assert_eq!(messages(&fake.requests()), [["0"]]);
}

#[tokio::test]
async fn an_acknowledged_event_comes_with_its_receipt_or_the_reason_why_not() {
    let one = |item: Value| Answer::Say(202, &[], json!({ "items": [item] }));
    let script = [
        one(accepted(12)),
        one(rejected()),
        one(json!({"status": "filtered"})),
        Answer::Say(429, &[("retry-after", "7")], json!({"message": "journal full"})),
        Answer::Say(401, &[], json!({"message": "no key"})),
        Answer::Say(202, &[], json!({"items": []})),
    ];
    let (_fake, url) = Fake::start(script).await;
    let client = Client::new(config(&url)).unwrap();
    let logger = client.logger(Value::Null);
    let log = || logger.log_event_acknowledged(json!({}));
    assert_eq!(log().await.unwrap().sequence, 12);
    let reason = log().await.unwrap_err().to_string();
    assert_eq!(reason, "event.action: expected a registered action, found \"x\"");
    assert!(matches!(log().await, Err(LogError::Filtered)));
    match log().await {
        Err(LogError::Api(ApiError::Busy { retry_after, .. })) => assert_eq!(retry_after, Some(Duration::from_secs(7))),
        other => panic!("{other:?}"),
    }
    assert!(matches!(log().await, Err(LogError::Api(ApiError::Refused { status: 401, .. }))));
    assert!(matches!(log().await, Err(LogError::Api(ApiError::UnexpectedAnswer { .. }))));
    assert!(matches!(logger.log_event_acknowledged(json!(1)).await, Err(LogError::NotAnObject)));

    let away = Client::new(config(&nobody())).unwrap();
    let result = away.logger(Value::Null).log_event_acknowledged(json!({})).await;
    assert!(matches!(result, Err(LogError::Api(ApiError::Unreachable { .. }))), "{result:?}");
}

#[tokio::test]
async fn a_provider_is_registered_under_its_very_name() {
    let (fake, url) = Fake::start([Answer::Say(200, &[], json!({}))]).await;
    let client = Client::new(config(&format!("{url}/behind/a/proxy/"))).unwrap();
    client.register("a/b c", &["x"], json!({"tags": ["t"]})).await.unwrap();
    let request = &fake.requests()[0];
    assert_eq!(request.line, "PUT /behind/a/proxy/api/event_log/providers/a%2Fb%20c");
    assert_eq!(request.events()[0], json!({"actions": ["x"], "defaults": {"tags": ["t"]}}));
    assert!(client.register("..", &["x"], Value::Null).await.is_err());
}

#[test]
fn a_client_needs_a_runtime_and_a_plain_address() {
    assert!(matches!(Client::new(config("http://127.0.0.1:1")), Err(ClientError::NoRuntime)));
    for url in ["", "127.0.0.1:6780", "ftp://a", "http://user:hunter2@a"] {
        let endpoint =
            Endpoint { url: url.to_owned(), api_key: None, space: None, timeout: Duration::from_secs(1), ca_pem: None };
        let reason = Api::new(&endpoint).unwrap_err().to_string();
        assert!(reason.contains("expected an address") && !reason.contains("hunter2"), "{url}: {reason}");
    }
}

#[test]
fn waits_double_up_to_a_bound_and_honour_the_server() {
    let mut backoff = Backoff::default();
    for ceiling in [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000] {
        let wait = backoff.next(None).as_millis();
        assert!((ceiling / 2..=ceiling).contains(&wait), "{wait} of {ceiling}");
    }
    assert_eq!(Backoff::default().next(Some(Duration::from_secs(9))), Duration::from_secs(9));
}
