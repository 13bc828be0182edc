//! Events that are rejected on arrival, as an operator finds them.

use axum::body::Body;
use serde_json::{Value, json};

use super::{LIMITS, Log, grant, request_with};
use crate::{access::Role, http::Limits, rejected::tests::get_stuck};

const PATH: &str = "/api/event_log/rejected";
const GOOD: &str = r#"{"event":{"provider":"app","action":"run"}}"#;

async fn listed(log: &Log, query: &str) -> Value {
    log.await_rejected().await;
    let answer = log.get(&format!("{PATH}{query}")).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    answer.json()
}

#[tokio::test]
async fn every_event_and_body_that_is_rejected_is_listed_newest_first() {
    let log = Log::with(Limits { max_batch_bytes: 4 << 20, ..LIMITS });
    let empty = json!({"recording": true, "total": 0, "unrecorded": 0, "items": []});
    assert_eq!(listed(&log, "").await, empty);

    let writer = log.new_key("shop", &[grant(Role::Writer, &["team"], &["app"])]);
    let wrong = r#"{"event":{"provider":"app","action":"go","id":"7"}}"#;
    let lines = request_with(&writer, "POST", "/s/team/api/event_log/events");
    let lines = log.send(lines.body(Body::from(format!("{GOOD}\n{wrong}\n"))).unwrap()).await;
    assert_eq!(lines.status, 202);
    let unknown = r#"{"event":{"provider":"crm","action":"run"},"colour":"red"}"#;
    assert_eq!(log.post("/api/event_log/events", format!("[{GOOD}, {unknown}]")).await.status, 202);
    assert_eq!(log.post("/api/event_log/events", "[{\"event\":").await.status, 400);
    let large = format!(r#"{{"event":{{"provider":"app","action":"run"}},"message":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(log.post("/api/event_log/events", format!("[{large},{GOOD}]")).await.status, 202);
    let many = vec![GOOD; 1_001].join("\n");
    assert_eq!(log.post("/api/event_log/events", many.clone()).await.status, 413);

    let all = listed(&log, "").await;
    assert_eq!((&all["total"], &all["unrecorded"]), (&json!(5), &json!(0)));
    let items = all["items"].as_array().unwrap();
    let admin = json!({"name": "admin", "realm": "api_key"});
    let expected = json!({
        "time": "2021-03-02T12:00:00.000Z", "caller": {"name": "shop", "realm": "api_key"}, "space": "team",
        "provider": "app", "action": "go", "event_id": "7", "event": wrong, "bytes": wrong.len(),
        "errors": lines.json()["items"][1]["errors"],
    });
    assert_eq!(items[4], expected);
    assert_eq!(
        (&items[3]["provider"], &items[3]["event"], &items[3]["caller"]),
        (&json!("crm"), &json!(unknown), &admin)
    );
    assert_eq!(items[3]["errors"].as_array().unwrap().len(), 2, "{}", items[3]);
    assert_eq!((&items[2]["whole_body"], &items[2]["event"]), (&json!(true), &json!("[{\"event\":")));
    assert_eq!(items[2]["errors"][0]["expected"], "JSON");
    assert_eq!(
        (&items[1]["cut"], &items[1]["bytes"], &items[1]["provider"]),
        (&json!(true), &json!(large.len()), &json!("app"))
    );
    assert_eq!(items[1]["event"], large[..64 << 10]);
    assert_eq!((&items[0]["whole_body"], &items[0]["bytes"]), (&json!(true), &json!(many.len())));
    assert_eq!(items[0]["errors"][0]["expected"], "at most 1000 events");

    let page = listed(&log, "?from=1&limit=2").await;
    assert_eq!((&page["total"], page["items"].as_array().unwrap().as_slice()), (&json!(5), &items[1..3]));
    let metrics = log.metrics.render().unwrap();
    for line in [
        r#"annals_intake_rejected_total{provider="app"} 3"#,
        r#"annals_intake_rejected_total{provider="other"} 2"#,
        "annals_intake_unrecorded_total 0",
    ] {
        assert!(metrics.contains(line), "no {line} in:\n{metrics}");
    }
    let file = std::fs::read_to_string(log._folder.path().join("rejected.ndjson")).unwrap();
    assert!(!file.contains(&writer) && !file.contains(&log.key), "a key is in the file");
}

#[tokio::test]
async fn a_body_that_is_checked_twice_for_its_size_is_recorded_once() {
    let log = Log::new();
    // It has many errors, more than such a body usually has.
    let wrong = (0..50).map(|field| format!("\"x{field}\":0,")).collect::<String>();
    let body = vec![format!(r#"{{{wrong}"event":{{"provider":"app","action":"run"}}}}"#); 100].join("\n");
    let accepted = log.post("/api/event_log/events", body).await;
    assert_eq!(accepted.status, 400);
    assert_eq!(listed(&log, "").await["total"], 100);
}

#[tokio::test]
async fn the_log_takes_events_while_rejected_ones_cannot_be_recorded() {
    let log = Log::new();
    get_stuck(log._folder.path());
    let wrong = format!(r#"{{"x":"{}"}}"#, "x".repeat(90_000));
    while log.rejected.unrecorded() == 0 {
        assert_eq!(log.post("/api/event_log/events", wrong.clone()).await.status, 400);
    }
    assert_eq!(log.post("/api/event_log/events", format!("{GOOD}\n{wrong}")).await.status, 202);
    assert!(log.rejected.unrecorded() > 1);
    let metrics = log.metrics.render().unwrap();
    assert!(metrics.contains(&format!("annals_intake_unrecorded_total {}", log.rejected.unrecorded())), "{metrics}");
}
