//! Permissions: every role at every route, in its own space and in another.

use std::collections::BTreeSet;

use axum::{Router, body::Body, http::Request, routing::get};
use serde_json::{Value, json};

use super::{Answer, Log, grant, request_with};
use crate::{access::Role, http::openapi};

const EVENT: &str = r#"{"event":{"provider":"app","action":"run"}}"#;
const PROVIDER: &str = r#"{"actions":["run"]}"#;

/// A request that succeeds for permitted callers; `{s}` is the place for a space.
struct Row {
    method: &'static str,
    path: &'static str,
    uri: &'static str,
    body: &'static str,
    /// The status for each caller in its own space.
    own: [u16; 8],
    /// In another space, or in the default space.
    other: [u16; 8],
    /// If the path names no space.
    without: [u16; 8],
}

/// Independent of spaces.
const fn row(method: &'static str, path: &'static str, uri: &'static str, body: &'static str, own: [u16; 8]) -> Row {
    Row { method, path, uri, body, own, other: own, without: own }
}

const fn in_space(row: Row, other: [u16; 8]) -> Row {
    Row { other, without: other, ..row }
}

/// Without a space, the answer covers all events that the caller may see.
const fn visible(path: &'static str, uri: &'static str) -> Row {
    Row {
        method: "GET",
        path,
        uri,
        body: "",
        own: [200, 200, 200, 200, 403, 403, 403, 401],
        other: [200, 200, 404, 404, 403, 403, 403, 401],
        without: [200, 200, 200, 200, 403, 403, 403, 401],
    }
}

const fn by_object(method: &'static str, path: &'static str, uri: &'static str, body: &'static str) -> Row {
    let own = [200, 200, 200, 200, 403, 404, 403, 401];
    in_space(row(method, path, uri, body, own), [200, 200, 404, 404, 403, 404, 403, 401])
}

const IDS: &str = r#"{"ids":["1"]}"#;

/// The callers of the columns; those with spaces have `team`, and the writer has the provider `app`.
const CALLERS: [(&str, Option<Role>); 8] = [
    ("admin", Some(Role::Admin)),
    ("auditor", Some(Role::Auditor)),
    ("space-admin", Some(Role::SpaceAdmin)),
    ("space-auditor", Some(Role::SpaceAuditor)),
    ("writer", Some(Role::Writer)),
    ("reader", Some(Role::Reader)),
    ("monitor", Some(Role::Monitor)),
    ("nobody", None),
];

#[rustfmt::skip]
const TABLE: &[Row] = &[
    //                                                            admin audit s-adm s-aud write readr monit nobody
    in_space(row("POST", "/api/event_log/events", "{s}/api/event_log/events", EVENT,
                                                                   [202, 403, 202, 403, 202, 403, 403, 401]),
                                                                   [202, 403, 403, 403, 403, 403, 403, 401]),
    by_object("GET", "/api/event_log/{type}/{id}/_find", "{s}/api/event_log/t/1/_find", ""),
    by_object("POST", "/api/event_log/{type}/_find", "{s}/api/event_log/t/_find", IDS),
    visible("/api/event_log/_find", "{s}/api/event_log/_find"),
    by_object("GET", "/api/event_log/{type}/{id}/_count", "{s}/api/event_log/t/1/_count", ""),
    by_object("POST", "/api/event_log/{type}/_count", "{s}/api/event_log/t/_count", IDS),
    visible("/api/event_log/_count", "{s}/api/event_log/_count"),
    by_object("GET", "/api/event_log/{type}/{id}/_aggregate", "{s}/api/event_log/t/1/_aggregate?terms=tags", ""),
    by_object("POST", "/api/event_log/{type}/_aggregate", "{s}/api/event_log/t/_aggregate?terms=tags", IDS),
    visible("/api/event_log/_aggregate", "{s}/api/event_log/_aggregate?terms=tags"),
    by_object("GET", "/api/event_log/{type}/{id}/_export", "{s}/api/event_log/t/1/_export", ""),
    visible("/api/event_log/_export", "{s}/api/event_log/_export"),
    by_object("GET", "/api/event_log/{type}/{id}/_tail", "{s}/api/event_log/t/1/_tail", ""),
    visible("/api/event_log/_tail", "{s}/api/event_log/_tail"),
    // No event has this id; the answer is the same for an event that the caller may not see.
    row("GET", "/api/event_log/events/{id}", "{s}/api/event_log/events/none", "",
                                                                   [404, 404, 404, 404, 403, 403, 403, 401]),
    row("GET", "/api/event_log/providers", "{s}/api/event_log/providers", "",
                                                                   [200, 200, 403, 403, 200, 403, 403, 401]),
    in_space(row("PUT", "/api/event_log/providers/{provider}", "{s}/api/event_log/providers/app", PROVIDER,
                                                                   [200, 403, 403, 403, 200, 403, 403, 401]),
                                                                   [200, 403, 403, 403, 403, 403, 403, 401]),
    row("DELETE", "/api/event_log/providers/{provider}", "/api/event_log/providers/nobodys", "",
                                                                   [404, 403, 403, 403, 403, 403, 403, 401]),
    row("GET", "/api/event_log/rejected", "{s}/api/event_log/rejected", "",
                                                                   [200, 200, 403, 403, 403, 403, 403, 401]),
    row("GET", "/api/event_log/dead_letters", "{s}/api/event_log/dead_letters", "",
                                                                   [200, 200, 403, 403, 403, 403, 403, 401]),
    row("POST", "/api/event_log/dead_letters/_replay", "{s}/api/event_log/dead_letters/_replay", "",
                                                                   [200, 403, 403, 403, 403, 403, 403, 401]),
    row("GET", "/api/access/keys", "/api/access/keys", "",         [200, 200, 403, 403, 403, 403, 403, 401]),
    // Permitted callers get 400 because this key has no name, and 404 for a key that does not exist.
    row("POST", "/api/access/keys", "/api/access/keys", r#"{"name":"","grants":[]}"#,
                                                                   [400, 403, 403, 403, 403, 403, 403, 401]),
    row("DELETE", "/api/access/keys/{name}", "/api/access/keys/nobodys", "",
                                                                   [404, 403, 403, 403, 403, 403, 403, 401]),
    row("GET", "/metrics", "/metrics", "",                         [200, 200, 403, 403, 403, 403, 200, 401]),
    row("GET", "/openapi.json", "/openapi.json", "",               [200, 200, 200, 200, 200, 200, 200, 401]),
    row("GET", "/api/event_log/schema", "/api/event_log/schema", "",
                                                                   [200, 200, 200, 200, 200, 200, 200, 401]),
    row("GET", "/livez", "/livez", "",                             [200, 200, 200, 200, 200, 200, 200, 200]),
    row("GET", "/readyz", "/readyz", "",                           [200, 200, 200, 200, 200, 200, 200, 200]),
];

fn key_of(log: &Log, name: &str, role: Option<Role>) -> Option<String> {
    let grant = match role? {
        Role::Writer => grant(Role::Writer, &["team"], &["app"]),
        role @ (Role::SpaceAdmin | Role::SpaceAuditor | Role::Reader) => grant(role, &["team"], &[]),
        role @ (Role::Admin | Role::Auditor | Role::Monitor) => grant(role, &[], &[]),
    };
    Some(log.new_key(&format!("the-{name}"), &[grant]))
}

async fn ask(log: &Log, key: Option<&str>, method: &str, uri: &str, body: &'static str) -> Answer {
    let request = match key {
        Some(key) => request_with(key, method, uri),
        None => Request::builder().method(method).uri(uri),
    };
    log.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn every_role_has_the_permissions_of_the_table_at_every_route() {
    let log = Log::new();
    for (column, (name, role)) in CALLERS.into_iter().enumerate() {
        let key = key_of(&log, name, role);
        for Row { method, uri, body, own, other, without, .. } in TABLE {
            for (space, expected) in [("/s/team", own), ("/s/other", other), ("", without), ("/s/default", other)] {
                let uri = uri.replace("{s}", space);
                let answer = ask(&log, key.as_deref(), method, &uri, body).await;
                let status = answer.status.as_u16();
                assert_eq!(status, expected[column], "{name}: {method} {uri}: {:?}", answer.body);
                let code = answer.header("annals-error");
                let expected = match status {
                    401 => Some("unauthenticated"),
                    403 => Some("forbidden"),
                    404 => Some("not_found"),
                    400 => Some("invalid_request"),
                    _ => None,
                };
                assert_eq!(code, expected, "{name}: {method} {uri}");
            }
        }
    }
}

#[test]
fn the_table_has_every_route() {
    let document: Value = serde_json::from_str(&openapi().unwrap()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, operations)| {
            operations.as_object().unwrap().keys().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect();
    let tabled: BTreeSet<_> = TABLE.iter().map(|row| (row.method.to_owned(), row.path.to_owned())).collect();
    assert_eq!(tabled, described);
}

#[test]
fn the_table_in_the_documents_is_the_same() {
    let document = include_str!("../../../docs/access.md");
    for Row { method, path, own, .. } in TABLE {
        let may = |column: usize| !matches!(own[column], 401 | 403);
        let roles = if may(7) {
            "everyone".to_owned()
        } else {
            let names: Vec<_> = (0..7).filter(|column| may(*column)).map(|column| CALLERS[column].0).collect();
            if names.len() == 7 { "every role".to_owned() } else { names.join(", ") }
        };
        let line = format!("| `{method} {path}` | {roles} |");
        assert!(document.contains(&line), "docs/access.md lacks {line}");
    }
}

#[tokio::test]
async fn invisible_objects_look_like_absent_ones() {
    let log = Log::new();
    let auditor = key_of(&log, "auditor", Some(Role::SpaceAuditor)).unwrap();
    let reader = key_of(&log, "reader", Some(Role::Reader)).unwrap();
    let absent = log.get("/api/event_log/nothing").await;
    for (key, uri) in [
        (&auditor, "/s/other/api/event_log/t/1/_find"),
        (&auditor, "/api/event_log/t/1/_find"),
        (&reader, "/s/team/api/event_log/t/1/_find"),
        (&reader, "/s/other/api/event_log/t/1/_find"),
    ] {
        let answer = ask(&log, Some(key), "GET", uri, "").await;
        let told: Vec<_> = answer.headers.iter().filter(|(name, _)| *name != "x-request-id").collect();
        let usual: Vec<_> = absent.headers.iter().filter(|(name, _)| *name != "x-request-id").collect();
        assert_eq!((answer.status, &answer.body, told), (absent.status, &absent.body, usual), "{uri}");
    }
    assert!(log.store.asked().is_empty());
}

#[tokio::test]
async fn the_details_of_readiness_require_a_monitoring_role() {
    let log = Log::new();
    for (name, role) in CALLERS {
        let key = key_of(&log, name, role);
        let answer = ask(&log, key.as_deref(), "GET", "/readyz", "").await;
        let sees = matches!(role, Some(Role::Admin | Role::Auditor | Role::Monitor));
        assert_eq!(answer.json().get("stores").is_some(), sees, "{name}");
    }
}

#[tokio::test]
async fn a_writer_logs_only_as_its_providers_and_in_its_spaces() {
    let log = Log::new();
    let put = log.request("PUT", "/api/event_log/providers/crm").body(Body::from(PROVIDER)).unwrap();
    assert_eq!(log.send(put).await.status, 200);
    let writer = log
        .new_key("w", &[grant(Role::Writer, &["default", "team"], &["app"]), grant(Role::Writer, &["shop"], &["crm"])]);
    let event = |provider: &str, extra: Value| {
        let mut event = json!({"event": {"provider": provider, "action": "run"}});
        event.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        event
    };
    let reference = |extra: Value| {
        let mut reference = json!({"rel": "primary", "type": "t", "id": "1"});
        reference.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"kibana": {"saved_objects": [reference]}})
    };
    let none = || json!({});
    let foreign_provider = "a provider that the sender may log as in this space";
    let cases = [
        ("", event("app", none()), None),
        ("/s/shop", event("crm", none()), None),
        ("", event("crm", none()), Some(("event.provider", foreign_provider))),
        ("/s/team", event("crm", none()), Some(("event.provider", foreign_provider))),
        ("/s/shop", event("app", none()), Some(("event.provider", foreign_provider))),
        // Registered or not makes no difference.
        ("", event("unknown", none()), Some(("event.provider", foreign_provider))),
        ("", event("annals", none()), Some(("event.provider", foreign_provider))),
        ("", event("app", reference(json!({"namespace": "team"}))), None),
        ("", event("app", reference(json!({"namespace": "default"}))), None),
        (
            "",
            event("app", reference(json!({"namespace": "shop"}))),
            Some(("kibana.saved_objects[0].namespace", "a space in which the sender may log")),
        ),
        (
            "",
            event("app", reference(json!({"space_agnostic": true}))),
            Some(("kibana.saved_objects[0].space_agnostic", "false, because the sender may not log in every space")),
        ),
        (
            "/s/team",
            event("app", reference(json!({"space_agnostic": true}))),
            Some(("kibana.saved_objects[0].space_agnostic", "false, because the sender may not log in every space")),
        ),
        ("", event("app", json!({"kibana": {"space_ids": ["default", "team"]}})), None),
        (
            "",
            event("app", json!({"kibana": {"space_ids": ["default", "shop"]}})),
            Some(("kibana.space_ids", "spaces in which the sender may log")),
        ),
        (
            "",
            event("app", json!({"kibana": {"space_ids": ["*"]}})),
            Some(("kibana.space_ids", "spaces in which the sender may log")),
        ),
    ];
    for (space, event, refused) in cases {
        let request = request_with(&writer, "POST", &format!("{space}/api/event_log/events"));
        let answer = log.send(request.body(Body::from(event.to_string())).unwrap()).await;
        let item = &answer.json()["items"][0];
        match refused {
            None => assert_eq!(item["status"], "accepted", "{space} {event}: {item}"),
            Some((path, expected)) => {
                let error = &item["errors"][0];
                assert_eq!((&error["path"], &error["expected"]), (&json!(path), &json!(expected)), "{space} {event}");
                assert_eq!(item["errors"].as_array().unwrap().len(), 1, "{item}");
            }
        }
    }
    // A bad event does not affect the good one in the same request.
    let body = json!([event("app", none()), event("crm", none())]).to_string();
    let answer = log.send(request_with(&writer, "POST", "/api/event_log/events").body(Body::from(body)).unwrap()).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.json()["items"][1]["status"], "rejected");
}

#[tokio::test]
async fn an_admin_may_log_as_anyone_but_the_log_itself() {
    let log = Log::new();
    let agnostic = r#"{"event":{"provider":"app","action":"run"},"kibana":{"space_ids":["*"],"saved_objects":[
        {"rel":"primary","type":"t","id":"1","space_agnostic":true},{"type":"t","id":"2","namespace":"any"}]}}"#;
    let accepted = log.post("/api/event_log/events", agnostic.replace('\n', "")).await;
    assert_eq!(accepted.status, 202, "{:?}", accepted.body);
    let own = log.post("/api/event_log/events", r#"{"event":{"provider":"annals","action":"find"}}"#).await;
    assert_eq!((own.status.as_u16(), &own.json()["items"][0]["error"]["path"]), (400, &json!("event.provider")));
    let put = log.request("PUT", "/api/event_log/providers/annals").body(Body::from(PROVIDER)).unwrap();
    let answer = log.send(put).await;
    assert_eq!(answer.status, 403);
    assert!(answer.error().contains("which is the log's own"), "{:?}", answer.body);
}

/// What one writer registers changes nothing for others, but for the actions that there are.
#[tokio::test]
async fn defaults_of_one_space_say_nothing_about_events_of_another() {
    let log = Log::new();
    let team = log.new_key("team", &[grant(Role::Writer, &["team"], &["app"])]);
    let put = async |uri: &str, body: &'static str| ask(&log, Some(&team), "PUT", uri, body).await;
    for forged in [
        r#"{"actions":["run"],"defaults":{"user":{"name":"admin"}}}"#,
        r#"{"actions":["run"],"defaults":{"event":{"outcome":"success"}}}"#,
        r#"{"actions":["run"],"defaults":{"kibana":{"space_ids":["team"]}}}"#,
        r#"{"actions":["run"],"defaults":{"kibana.saved_objects":[{"rel":"primary","type":"t","id":"1","namespace":"team"}]}}"#,
        r#"{"actions":["run"],"defaults":{"annals":{"severity":"none"}}}"#,
    ] {
        assert_eq!(put("/s/team/api/event_log/providers/app", forged).await.status, 400, "{forged}");
    }
    let harmless = r#"{"actions":["run"],"defaults":{"labels":{"by":"team"}}}"#;
    for elsewhere in ["/api/event_log/providers/app", "/s/other/api/event_log/providers/app"] {
        assert_eq!(put(elsewhere, harmless).await.status, 403, "{elsewhere}");
    }
    assert_eq!(put("/s/team/api/event_log/providers/app", harmless).await.status, 200);

    for (space, labels) in [("/s/team", json!({"by": "team"})), ("", Value::Null), ("/s/other", Value::Null)] {
        let uri = format!("{space}/api/event_log/events?wait_for=stored");
        let answer =
            log.post(&uri, format!(r#"{{"event":{{"provider":"app","action":"run","id":"in{space}"}}}}"#)).await;
        assert_eq!(answer.status, 202);
        let appended = log.store.appended.lock().unwrap().clone();
        let stored = appended.iter().find(|event| event["event"]["id"] == format!("in{space}")).unwrap();
        assert_eq!(stored["labels"], labels, "{space}");
    }
    let own = log.store.own_events(1).await;
    let payload: Value = serde_json::from_str(own[0]["annals"]["payload"].as_str().unwrap()).unwrap();
    let registered = |defaults: Value| json!({"actions": ["run"], "defaults": defaults});
    let after = registered(json!({"labels": {"by": "team"}}));
    assert_eq!(payload, json!({"provider": "app", "before": registered(json!({})), "after": after}));
    assert_eq!(
        (&own[0]["event"]["action"], &own[0]["user"]["name"]),
        (&json!("provider-registered"), &json!("api_key:team"))
    );
    assert_eq!(own[0]["kibana"]["space_ids"], json!(["team"]));
}

#[tokio::test]
async fn a_writer_registers_and_sees_only_its_own_providers() {
    let log = Log::new();
    let writer = log.new_key("w", &[grant(Role::Writer, &["team"], &["mine", "app"])]);
    let put = async |name: &str| {
        let uri = format!("/s/team/api/event_log/providers/{name}");
        ask(&log, Some(&writer), "PUT", &uri, PROVIDER).await.status.as_u16()
    };
    assert_eq!((put("mine").await, put("theirs").await), (200, 403));
    let all = log.request("PUT", "/api/event_log/providers/theirs").body(Body::from(PROVIDER)).unwrap();
    assert_eq!(log.send(all).await.status, 200);
    let seen = ask(&log, Some(&writer), "GET", "/api/event_log/providers", "").await.json();
    assert_eq!(seen["providers"].as_object().unwrap().keys().collect::<Vec<_>>(), ["app", "mine"]);
}

/// Changes take effect with the next request.
#[tokio::test]
async fn keys_are_made_listed_and_revoked_over_http() {
    let log = Log::new();
    let body = r#"{"name":"shop","expires":"90d","grants":[{"role":"writer","spaces":["team"],"providers":["app"]}]}"#;
    let made = log.post("/api/access/keys", body).await;
    assert_eq!(made.status, 201);
    let mut made = made.json();
    let key = made.as_object_mut().unwrap().remove("key").unwrap().as_str().unwrap().to_owned();
    let about = json!({
        "name": "shop", "created": "2021-03-02T12:00:00.000Z", "created_by": "api_key:admin",
        "expires": "2021-05-31T12:00:00.000Z", "expired": false,
        "grants": [{"role": "writer", "spaces": ["team"], "providers": ["app"]}],
    });
    assert_eq!(made, about);
    let status =
        async |key: &str| ask(&log, Some(key), "POST", "/s/team/api/event_log/events", EVENT).await.status.as_u16();
    assert_eq!(status(&key).await, 202);

    let listed = log.get("/api/access/keys").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(&key));
    let listed = listed.json();
    assert_eq!((&listed["keys"][0]["name"], &listed["keys"][1]), (&json!("admin"), &about));
    assert_eq!(listed["keys"][0]["grants"], json!([{"role": "admin"}]));

    let again = log.post("/api/access/keys", body).await;
    assert_eq!((again.status.as_u16(), again.error().as_str()), (409, r#"a key named "shop" already exists"#));

    let delete = async |name: &str| {
        log.send(log.request("DELETE", &format!("/api/access/keys/{name}")).body(Body::empty()).unwrap()).await
    };
    let revoked = delete("shop").await;
    assert_eq!((revoked.status.as_u16(), revoked.json()), (200, about));
    assert_eq!(status(&key).await, 401);
    assert_eq!(delete("shop").await.status, 404);
    let last = delete("admin").await;
    assert_eq!(last.status, 409);
    assert!(last.error().contains("create another one first"));
}

#[tokio::test]
async fn an_invalid_key_request_is_refused_with_the_reason() {
    let log = Log::new();
    let cases = [
        ("", "[request body]"),
        ("[]", "[request body]"),
        (r#"{"name":"x"}"#, "[request body.grants]: expected value of type [array] but it is missing"),
        (r#"{"name":"x","grants":[],"role":"admin"}"#, "[request body.role]: definition for this key is missing"),
        (r#"{"name":"x","grants":[]}"#, "[request body]: grants: expected at least one"),
        (r#"{"name":"a/b","grants":[{"role":"admin"}]}"#, "[request body]: name: expected 1 to 64 letters"),
        (r#"{"name":"x","grants":[7]}"#, "[request body.grants.0]: expected a plain object value, but found [number]"),
        (r#"{"name":"x","grants":[{"role":"root"}]}"#, "[request body.grants.0]: role: expected one of admin,"),
        (r#"{"name":"x","grants":[{"role":"reader"}]}"#, "[request body.grants.0]: spaces: expected the spaces"),
        (r#"{"name":"x","grants":[{"role":"admin"}],"expires":"soon"}"#, "[request body.expires]: expected a time"),
        (
            r#"{"name":"x","grants":[{"role":"admin"}],"expires":"2021-03-02T12:00:00Z"}"#,
            "expires: expected a time in the future",
        ),
    ];
    for (body, message) in cases {
        let answer = log.post("/api/access/keys", body).await;
        assert_eq!(answer.status, 400, "{body}: {:?}", answer.body);
        assert!(answer.error().contains(message), "{body}: {}", answer.error());
    }
    assert_eq!(log.get("/api/access/keys").await.json()["keys"].as_array().unwrap().len(), 1);
}

/// A Kibana that identifies every caller with a session or credentials as `alice`.
async fn kibana() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let alice = get(async || r#"{"username":"alice","roles":["editor"]}"#);
    let router = Router::new().route("/internal/security/me", alice);
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_session_alone_changes_nothing_without_a_kbn_header() {
    let url = kibana().await;
    let log = Log::configured(&[
        ("access.authenticators", "api_keys,kibana"),
        ("access.kibana.urls", &url),
        ("access.rules.a.authenticator", "kibana"),
        ("access.rules.a.values", "editor"),
        ("access.rules.a.role", "admin"),
    ]);
    let with_session = |method: &str, uri: &str| {
        Request::builder().method(method).uri(uri).header("cookie", "theme=dark; sid=Fe26.2**x; other=1")
    };
    let send = async |request: axum::http::request::Builder, body: &'static str| {
        log.send(request.body(Body::from(body)).unwrap()).await
    };
    assert_eq!(send(with_session("GET", "/api/event_log/t/1/_find"), "").await.status, 200);
    let refused = send(with_session("POST", "/api/event_log/events"), EVENT).await;
    assert_eq!((refused.status.as_u16(), refused.error().as_str()), (400, "Request must contain a kbn-xsrf header."));
    let meant = with_session("POST", "/api/event_log/events").header("kbn-xsrf", "true");
    assert_eq!(send(meant, EVENT).await.status, 202);
    let shown = Request::builder().method("POST").uri("/api/event_log/events").header("authorization", "Basic YTpi");
    assert_eq!(send(shown, EVENT).await.status, 202);
    for other in ["sid=", "side=x", ""] {
        let request = Request::builder().uri("/api/event_log/t/1/_find").header("cookie", other);
        assert_eq!(send(request, "").await.status, 401, "{other}");
    }
}

#[tokio::test]
async fn an_outage_of_the_identity_system_is_503_and_health_still_answers() {
    let log = Log::configured(&[
        ("access.authenticators", "api_keys,elasticsearch"),
        ("access.elasticsearch.urls", "http://127.0.0.1:1"),
    ]);
    log.await_ready().await;
    let with_login = |uri: &str| Request::builder().uri(uri).header("authorization", "Basic YTpi").body(Body::empty());
    let answer = log.send(with_login("/api/event_log/t/1/_find").unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("annals-error")), (503, Some("access_unavailable")));
    assert!(answer.header("retry-after").is_some() && !answer.error().contains("127.0.0.1"));
    assert_eq!(log.send(with_login("/readyz").unwrap()).await.json(), json!({"status": "ready"}));
    assert_eq!(log.get("/api/event_log/t/1/_find").await.status, 200);
}

pub(super) fn from(address: &str, request: axum::http::request::Builder) -> Request<Body> {
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(crate::http::address::Peer(address.parse().unwrap()));
    request
}

#[tokio::test]
async fn callers_with_too_many_failed_attempts_are_locked_out_and_others_are_not() {
    let log = Log::configured(&[("access.lockout.failures", "3")]);
    log.await_ready().await;
    let wrong = |uri: &'static str| Request::builder().uri(uri).header("authorization", "ApiKey wrong");
    for _ in 0..2 {
        assert_eq!(log.send(from("192.0.2.1", wrong("/metrics"))).await.status, 401);
    }
    // The health routes reveal nothing either.
    assert_eq!(log.send(from("192.0.2.1", wrong("/readyz"))).await.json(), json!({"status": "ready"}));
    let locked = log.send(from("192.0.2.1", wrong("/metrics"))).await;
    assert_eq!((locked.status.as_u16(), locked.header("annals-error")), (429, Some("too_many_attempts")));
    assert_eq!(locked.header("retry-after"), Some("1"));
    assert_eq!(log.send(from("192.0.2.2", wrong("/metrics"))).await.status, 401);
    // A valid key cannot have been guessed; a request without credentials is no attempt.
    assert_eq!(log.send(from("192.0.2.1", log.request("GET", "/metrics"))).await.status, 200);
    assert_eq!(log.send(from("192.0.2.1", Request::builder().uri("/metrics"))).await.status, 401);
    assert_eq!(log.send(from("192.0.2.1", wrong("/livez"))).await.status, 200);
}

#[tokio::test]
async fn failed_attempts_key_changes_and_finds_by_role_are_recorded() {
    let log = Log::configured(&[("access.log_finds", "true"), ("access.authority", "grants"), READS, ANY, ANYWHERE]);
    let wrong = Request::builder().uri("/metrics").header("authorization", "Basic YWxpY2U6eA==");
    assert_eq!(log.send(from("::ffff:192.0.2.1", wrong)).await.status, 401);
    log.post("/api/access/keys", r#"{"name":"shop","grants":[{"role":"reader","spaces":["*"]}]}"#).await;
    log.send(log.request("DELETE", "/api/access/keys/shop").body(Body::empty()).unwrap()).await;
    log.get("/s/team/api/event_log/order/7/_find").await;
    let reader = log.new_key("reader", &[grant(Role::Reader, &["*"], &[])]);
    assert_eq!(ask(&log, Some(&reader), "GET", "/api/event_log/order/8/_find", "").await.status, 200);
    log.get("/api/event_log/order/9/_find").await;

    let own = log.store.own_events(5).await;
    let told: Vec<_> = own
        .iter()
        .map(|event| {
            let payload: Value = serde_json::from_str(event["annals"]["payload"].as_str().unwrap()).unwrap();
            (event["event"]["action"].as_str().unwrap(), event["user"]["name"].as_str().unwrap(), payload)
        })
        .collect();
    let grants = json!([{"role": "reader", "spaces": ["*"]}]);
    let admin = "api_key:admin";
    let expected = [
        ("authentication-failed", "alice", json!({"attempts": 1})),
        ("key-created", admin, json!({"key": "shop", "grants": grants})),
        ("key-revoked", admin, json!({"key": "shop"})),
        ("find", admin, json!({"type": "order", "ids": ["7"], "ids_count": 1})),
        ("find", admin, json!({"type": "order", "ids": ["9"], "ids_count": 1})),
    ];
    assert_eq!(told, expected);
    assert_eq!((&own[0]["source"]["ip"], &own[0]["event"]["outcome"]), (&json!("192.0.2.1"), &json!("failure")));
    assert_eq!(own[3]["kibana"]["space_ids"], json!(["team"]));
}

/// Even if finds are not recorded, and for every caller.
#[tokio::test]
async fn every_export_is_recorded() {
    let log = Log::configured(&[("access.authority", "grants"), READS, ANY, ANYWHERE]);
    let reader = log.new_key("reader", &[grant(Role::Reader, &["*"], &[])]);
    for what in ["_find", "_export", "_tail"] {
        let uri = format!("/s/team/api/event_log/order/8/{what}");
        assert_eq!(ask(&log, Some(&reader), "GET", &uri, "").await.status, 200, "{what}");
    }
    log.get("/api/event_log/_export").await;
    let own = log.store.own_events(2).await;
    let told: Vec<_> = own.iter().map(|event| (&event["event"]["action"], &event["message"])).collect();
    let export = json!("export");
    let messages = [json!("exported events of order 8"), json!("exported all events")];
    assert_eq!(told, messages.each_ref().map(|message| (&export, message)));
}

#[tokio::test]
async fn no_input_prevents_an_action_from_being_recorded() {
    let log = Log::configured(&[("access.log_finds", "true")]);
    // A login with U+0000, which events must not contain.
    let wrong = Request::builder().uri("/metrics").header("authorization", "Basic AGJvYjp4");
    assert_eq!(log.send(from("192.0.2.1", wrong)).await.status, 401);
    let long = "7".repeat(1 << 20);
    let ids = json!({"ids": ["7\u{0}", long]}).to_string();
    assert_eq!(log.post("/api/event_log/order/_count", ids).await.status, 200);
    assert_eq!(log.get("/api/event_log/a%00b/%00/_export").await.status, 200);
    let own = log.store.own_events(3).await;
    let user = |event: &Value| event["user"]["name"].as_str().unwrap().to_owned();
    assert_eq!(user(&own[0]), "\u{fffd}bob");
    let payload = |event: &Value| serde_json::from_str::<Value>(event["annals"]["payload"].as_str().unwrap()).unwrap();
    assert_eq!(payload(&own[1])["ids"], json!(["7\u{fffd}", "7".repeat(256)]));
    assert_eq!((&own[2]["event"]["action"], &payload(&own[2])["type"]), (&json!("export"), &json!("a\u{fffd}b")));
}

const READS: (&str, &str) = ("access.grants.a.callers", "api_key:reader");
const ANY: (&str, &str) = ("access.grants.a.types", "*");
const ANYWHERE: (&str, &str) = ("access.grants.a.spaces", "*");

#[tokio::test]
async fn an_unavailable_authority_is_503_and_the_store_is_not_queried() {
    let url = kibana().await;
    let log = Log::configured(&[
        ("access.authenticators", "api_keys,kibana"),
        ("access.kibana.urls", &url),
        ("access.authority", "elasticsearch"),
        ("access.elasticsearch.urls", "http://127.0.0.1:1"),
        ("access.rules.a.authenticator", "kibana"),
        ("access.rules.a.values", "editor"),
        ("access.rules.a.role", "reader"),
        ("access.rules.a.spaces", "*"),
    ]);
    let find = Request::builder().uri("/api/event_log/t/1/_find").header("authorization", "Basic YTpi");
    let answer = log.send(find.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.header("annals-error")), (503, Some("access_unavailable")));
    // Elasticsearch does not accept Kibana's session.
    let find = Request::builder().uri("/api/event_log/t/1/_find").header("cookie", "sid=x");
    assert_eq!(log.send(find.body(Body::empty()).unwrap()).await.status, 404);
    assert!(log.store.asked().is_empty());
}
