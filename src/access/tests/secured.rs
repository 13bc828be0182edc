//! With the real Elasticsearch, its users, roles, API keys and privileges.

use std::fs;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{Asked, Log, shown, text};
use crate::{
    access::{Credentials, Grant, Identified, Role},
    event::Space,
    query::ObjectScope,
    tests::{SecuredEngine, secured_engine},
};

/// `elastic` may do everything there; each test uses its own names.
struct Secured {
    url: String,
    ca_file: String,
    elastic: String,
    http: reqwest::Client,
    name: String,
}

fn basic(login: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{login}:{password}")))
}

impl Secured {
    /// `None`, with a message, if there is no such engine.
    fn from_environment() -> Option<Self> {
        let SecuredEngine { url, ca_file, password_file } = secured_engine()?;
        let password = fs::read_to_string(password_file).unwrap();
        let certificate = reqwest::Certificate::from_pem(&fs::read(&ca_file).unwrap()).unwrap();
        let http = reqwest::Client::builder().no_proxy().add_root_certificate(certificate).build().unwrap();
        let name = format!("annals-{:016x}", getrandom::u64().unwrap());
        let ca_file = ca_file.to_str().unwrap().to_owned();
        Some(Self { url, ca_file, elastic: basic("elastic", password.trim()), http, name })
    }

    async fn put(&self, path: &str, body: Value) -> Value {
        let request = self.http.put(format!("{}/{path}", self.url)).header("authorization", &self.elastic);
        let answer = request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// A user that may read objects of type `rule` in space `team`, as Kibana grants it.
    async fn make_reader(&self) -> Credentials {
        let Self { name, .. } = self;
        let privilege = json!({"actions": ["login:", "saved_object:rule/get", "saved_object:rule/bulk_get"]});
        self.put("_security/privilege", json!({name: {"feature_rules.read": privilege}})).await;
        let application =
            json!({"application": name, "privileges": ["feature_rules.read"], "resources": ["space:team"]});
        self.put(&format!("_security/role/{name}"), json!({"applications": [application]})).await;
        let user = json!({"password": "a long password", "roles": [name]});
        self.put(&format!("_security/user/{name}"), user).await;
        shown(&basic(name, "a long password"))
    }

    fn log(&self) -> Log {
        Log::new(&[
            ("access.authenticators", "api_keys,elasticsearch"),
            ("access.elasticsearch.urls", &self.url),
            ("access.elasticsearch.ca_file", &self.ca_file),
            ("access.elasticsearch.application", &self.name),
            ("access.authority", "elasticsearch"),
            ("access.rules.boss.authenticator", "elasticsearch"),
            ("access.rules.boss.values", "superuser"),
            ("access.rules.boss.role", "admin"),
            ("access.rules.readers.authenticator", "elasticsearch"),
            ("access.rules.readers.values", "annals-*"),
            ("access.rules.readers.role", "reader"),
            ("access.rules.readers.spaces", "*"),
            ("access.rules.keys.authenticator", "elasticsearch"),
            ("access.rules.keys.claim", "api_key.name"),
            ("access.rules.keys.values", "annals-*"),
            ("access.rules.keys.role", "auditor"),
        ])
    }
}

#[tokio::test]
async fn users_and_api_keys_of_the_real_elasticsearch_are_known() {
    let Some(engine) = Secured::from_environment() else { return };
    let log = engine.log();
    let elastic = log.principal(&shown(&engine.elastic)).await;
    assert_eq!(
        (elastic.to_string().as_str(), elastic.grants.as_slice()),
        ("elasticsearch:elastic", [Grant::admin()].as_slice())
    );
    let reader = log.principal(&engine.make_reader().await).await;
    assert_eq!(reader.grants.iter().map(Grant::text).collect::<Vec<_>>(), [text(Role::Reader, &["*"])]);

    let made = engine.put("_security/api_key", json!({"name": engine.name, "role_descriptors": {}})).await;
    let key = log.principal(&shown(&format!("ApiKey {}", made["encoded"].as_str().unwrap()))).await;
    assert_eq!(key.grants.iter().map(Grant::text).collect::<Vec<_>>(), [text(Role::Auditor, &[])]);

    for wrong in
        [basic("elastic", "wrong"), basic("nobody", "x"), "ApiKey d3Jvbmc6d3Jvbmc=".to_owned(), "Bearer x".to_owned()]
    {
        assert!(matches!(log.ask(&shown(&wrong)).await, Identified::Unknown(_)), "{wrong}");
    }
}

#[tokio::test]
async fn kibanas_privileges_in_the_real_elasticsearch_decide_by_type_and_space() {
    let Some(engine) = Secured::from_environment() else { return };
    let log = engine.log();
    let credentials = engine.make_reader().await;
    let reader = log.principal(&credentials).await;
    let ask =
        async |space: &str, object_type: &str| log.permit(&reader, &credentials, space, object_type, &["1"]).await;
    assert_eq!(ask("team", "rule").await, Asked::ByAuthority);
    assert_eq!(ask("other", "rule").await, Asked::Refused);
    assert_eq!(ask("default", "rule").await, Asked::Refused);
    assert_eq!(ask("team", "dashboard").await, Asked::Refused);
    let elastic = shown(&engine.elastic);
    let admin = log.principal(&elastic).await;
    assert_eq!(log.permit(&admin, &elastic, "other", "dashboard", &["1"]).await, Asked::ByRole);
}

#[tokio::test]
async fn what_the_real_elasticsearch_revokes_is_no_longer_permitted() {
    let Some(engine) = Secured::from_environment() else { return };
    let log = engine.log();
    let credentials = engine.make_reader().await;
    let reader = log.principal(&credentials).await;
    let space = Space::parse("team").unwrap();
    let objects = ObjectScope { space, object_type: "rule".to_owned(), ids: vec!["1".to_owned()] };
    let permit = log.access.permit(&reader, &credentials, objects).await.unwrap();
    assert!(log.access.still_permits(&reader, &credentials, &permit).await);
    engine.put(&format!("_security/role/{}", engine.name), json!({"applications": []})).await;
    assert!(!log.access.still_permits(&reader, &credentials, &permit).await);
}
