//! Reads and changes are recorded before they take effect, or refused.

use futures_util::future::join_all;

use super::*;

const PROVIDER: &str = "/api/event_log/providers/shop";

#[tokio::test]
async fn what_cannot_be_recorded_is_refused() {
    let log = Log::configured(&[("access.log_finds", "true")]);
    log.await_ready().await;
    log.post(PROVIDER, r#"{"actions": ["a"]}"#).await;
    let put = |path: &str, body: &'static str| log.request("PUT", path).body(Body::from(body)).unwrap();
    let register = || put(PROVIDER, r#"{"actions": ["b"]}"#);
    assert_eq!(log.send(put(PROVIDER, r#"{"actions": ["a"]}"#)).await.status, 200);
    log.new_key("other", &[grant(Role::Auditor, &[], &[])]);
    log.store.asked();

    // Nothing can be written from now on.
    log.writer.close();
    let delete = |path: &str| log.request("DELETE", path).body(Body::empty()).unwrap();
    let key = r#"{"name": "new", "grants": [{"role": "auditor"}]}"#;
    for (what, answer) in [
        ("find", log.get("/api/event_log/_find").await),
        ("count", log.get("/api/event_log/_count").await),
        ("aggregate", log.get("/api/event_log/_aggregate?terms=event.action").await),
        ("event", log.get("/api/event_log/events/e-1").await),
        ("objects", log.get("/api/event_log/order/1/_find").await),
        ("export", log.get("/api/event_log/_export").await),
        ("tail", log.get("/api/event_log/_tail").await),
        ("register", log.send(register()).await),
        ("delete", log.send(delete(PROVIDER)).await),
        ("create a key", log.post("/api/access/keys", key).await),
        ("revoke a key", log.send(delete("/api/access/keys/other")).await),
    ] {
        assert_eq!(answer.header("annals-error"), Some("not_recorded"), "{what}: {:?}", answer.body);
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")), "{what}");
    }
    assert!(log.metrics.render().unwrap().contains("annals_audit_failures_total 11\n"));
    let providers = log.get("/api/event_log/providers").await.json();
    assert_eq!(providers["providers"]["shop"]["actions"], serde_json::json!(["a"]), "{providers}");
    let keys: Vec<_> = log.keys.list().into_iter().map(|key| key.name).collect();
    assert_eq!(keys, ["admin", "other"]);
}

#[tokio::test]
async fn no_read_of_many_at_once_goes_unrecorded() {
    const READS: usize = 600;
    let log = Log::configured(&[("access.log_finds", "true")]);
    log.await_ready().await;
    let answers = join_all((0..READS).map(|_| log.get("/api/event_log/_count"))).await;
    let answered = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(answered, READS, "{:?}", answers.iter().find(|answer| answer.status != 200).map(|answer| &answer.body));
    assert_eq!(log.store.own_events(READS).await.len(), READS);
}
