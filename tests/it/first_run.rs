use serde_json::{Value, json};

use crate::support::{Annals, Engine, Home, Kind};

#[test]
fn three_events_are_logged_and_the_two_good_ones_found_with_nothing_configured() {
    log_three_and_find_two(&Home::on_sqlite().start());
}

#[test]
fn three_events_are_logged_and_the_two_good_ones_found_in_elasticsearch() {
    on_engine(Kind::Elasticsearch);
}

#[test]
fn three_events_are_logged_and_the_two_good_ones_found_in_opensearch() {
    on_engine(Kind::Opensearch);
}

fn on_engine(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    log_three_and_find_two(&Home::on_engine(&engine.url, &prefix).start());
}

fn log_three_and_find_two(annals: &Annals) {
    let register = annals.request("PUT", "/api/event_log/providers/shop").body(r#"{"actions":["order","ship"]}"#);
    register.send().unwrap().expect(200);
    let mut log = annals.request("POST", "/api/event_log/events?wait_for=stored");
    log.content_type = "application/x-ndjson";
    let lines = [event("order", "ordered"), event("shup", "misspelt"), event("ship", "shipped")];
    let lines: String = lines.iter().map(|event| format!("{event}\n")).collect();
    let answer = log.body(lines).send().unwrap().expect(202).json();
    let statuses: Vec<_> = answer["items"].as_array().unwrap().iter().map(|item| &item["status"]).collect();
    assert_eq!(statuses, ["accepted", "rejected", "accepted"]);
    assert_eq!(answer["items"][1]["error"]["path"], "event.action");
    assert_eq!(answer["stored"], true);

    let found = annals.get("/api/event_log/order/7/_find?sort_order=asc");
    let messages: Vec<_> = found["data"].as_array().unwrap().iter().map(|event| &event["message"]).collect();
    assert_eq!((&found["total"], messages), (&json!(2), vec![&json!("ordered"), &json!("shipped")]));
    let elsewhere = annals.get("/s/other/api/event_log/order/7/_find");
    assert_eq!(elsewhere["total"], 0);
    let closed = crate::support::Request::new("GET", format!("{}/api/event_log/order/7/_find", annals.url));
    closed.send().unwrap().expect(401);
}

fn event(action: &str, message: &str) -> Value {
    json!({
        "event": {"provider": "shop", "action": action},
        "message": message,
        "kibana": {"saved_objects": [{"rel": "primary", "type": "order", "id": "7"}]},
    })
}
