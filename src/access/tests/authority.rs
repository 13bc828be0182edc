use serde_json::{Value, json};

use super::{Asked, Log, Other, basic, caller, shown, text};
use crate::access::{Credentials, Realm, Role};

const NO_ANSWERS: [(&str, &str); 0] = [];

#[tokio::test]
async fn without_an_authority_only_those_who_read_by_role_may() {
    let log = Log::new(&NO_ANSWERS);
    let ask = async |role: Role, spaces: &[&str]| {
        let caller = caller(Realm::ApiKey, "a", &[text(role, spaces)]);
        log.permit(&caller, &Credentials::default(), "team", "t", &["1"]).await
    };
    for role in [Role::Admin, Role::Auditor] {
        assert_eq!(ask(role, &[]).await, Asked::ByRole);
    }
    for role in [Role::SpaceAdmin, Role::SpaceAuditor] {
        assert_eq!(ask(role, &["other", "team"]).await, Asked::ByRole);
        assert_eq!(ask(role, &["other"]).await, Asked::Refused);
    }
    assert_eq!(ask(Role::Reader, &["*"]).await, Asked::Refused);
    assert_eq!(ask(Role::Monitor, &[]).await, Asked::Refused);
}

#[tokio::test]
async fn grants_name_callers_spaces_types_and_ids() {
    let log = Log::new(&[
        ("access.authority", "grants"),
        ("access.grants.a.callers", "api_key:shop,oidc:*"),
        ("access.grants.a.spaces", "team,default"),
        ("access.grants.a.types", "order,rule*"),
        ("access.grants.a.ids", "1,2,x-*"),
        ("access.grants.b.callers", "api_key:shop"),
        ("access.grants.b.spaces", "*"),
        ("access.grants.b.types", "order"),
        ("access.grants.b.ids", "9"),
    ]);
    let reader = |realm, name| caller(realm, name, &[text(Role::Reader, &["team", "default", "other"])]);
    let shop = reader(Realm::ApiKey, "shop");
    let cases: [(&str, &str, &[&str], bool); 12] = [
        ("team", "order", &["1"], true),
        ("default", "order", &["1", "2", "x-7"], true),
        ("team", "rule", &["1"], true),
        ("team", "rule-old", &["1"], true),
        ("team", "order", &["1", "9"], true),
        ("other", "order", &["9"], true),
        ("other", "order", &["1"], false),
        ("other", "order", &["1", "9"], false),
        ("team", "orders", &["1"], false),
        ("team", "order", &["3"], false),
        ("team", "order", &["1", "3"], false),
        ("nowhere", "order", &["9"], false),
    ];
    for (space, object_type, ids, may) in cases {
        let expected = if may { Asked::ByAuthority } else { Asked::Refused };
        let asked = log.permit(&shop, &Credentials::default(), space, object_type, ids).await;
        assert_eq!(asked, expected, "{space} {object_type} {ids:?}");
    }
    for (realm, name, may) in
        [(Realm::Oidc, "anyone", true), (Realm::Elasticsearch, "shop", false), (Realm::ApiKey, "shop2", false)]
    {
        let asked = log.permit(&reader(realm, name), &Credentials::default(), "team", "order", &["1"]).await;
        assert_eq!(asked == Asked::ByAuthority, may, "{realm}:{name}");
    }
}

#[tokio::test]
async fn elasticsearch_is_asked_in_the_callers_name_for_the_privilege_in_the_space() {
    let engine = Other::start().await;
    let log = Log::new(&[("access.authority", "elasticsearch"), ("access.elasticsearch.urls", &engine.url)]);
    let alice = caller(Realm::Elasticsearch, "alice", &[text(Role::Reader, &["*"])]);
    let credentials = shown(&basic("alice"));
    let ask = async |space: &str, object_type: &str| log.permit(&alice, &credentials, space, object_type, &["1"]).await;
    let answer = |has: bool| (200, json!({"username": "alice", "has_all_requested": has, "application": {}}));
    engine.answers([answer(true)]);
    assert_eq!(ask("team", "rule").await, Asked::ByAuthority);
    let (line, headers) = engine.seen().pop().unwrap();
    assert_eq!(line, "POST /_security/user/_has_privileges");
    assert_eq!(headers["authorization"], basic("alice").as_str());
    engine.answers([answer(false)]);
    assert_eq!(ask("default", "rule").await, Asked::Refused);
    for (status, body) in [(401, json!({})), (403, json!({}))] {
        engine.answers([(status, body)]);
        assert_eq!(ask("team", "rule").await, Asked::Refused);
    }
    for (status, body) in [(500, json!({})), (429, json!({})), (200, json!({})), (200, json!([])), (302, json!({}))] {
        engine.answers([(status, body.clone())]);
        assert_eq!(ask("team", "rule").await, Asked::Unavailable, "{status} {body}");
    }
    // The engine is asked neither about types that could form another privilege's name nor about callers it does not
    // know.
    engine.seen();
    engine.answers([answer(true)]);
    for odd in ["*", "rule/get", "a b", "é"] {
        assert_eq!(ask("team", odd).await, Asked::Refused, "{odd}");
    }
    for realm in [Realm::ApiKey, Realm::Oidc] {
        let other = caller(realm, "alice", &[text(Role::Reader, &["*"])]);
        assert_eq!(log.permit(&other, &credentials, "team", "rule", &["1"]).await, Asked::Refused);
    }
    let session = Credentials::default().with_session("x");
    assert_eq!(log.permit(&alice, &session, "team", "rule", &["1"]).await, Asked::Refused);
    // Nor about a reader of another space.
    let elsewhere = caller(Realm::Elasticsearch, "alice", &[text(Role::Reader, &["other"])]);
    assert_eq!(log.permit(&elsewhere, &credentials, "team", "rule", &["1"]).await, Asked::Refused);
    assert!(engine.seen().is_empty());
}

fn object(id: &str) -> Value {
    json!({"type": "rule", "id": id, "attributes": {"name": "x"}, "references": []})
}

fn failed(id: &str, status: u16) -> Value {
    json!({"type": "rule", "id": id, "error": {"statusCode": status, "error": "x", "message": "y"}})
}

#[tokio::test]
async fn kibana_has_to_give_every_object_to_the_caller() {
    let kibana = Other::start().await;
    let base = format!("{}/base", kibana.url);
    let log = Log::new(&[("access.authority", "kibana"), ("access.kibana.urls", &base)]);
    let alice = caller(Realm::Kibana, "alice", &[text(Role::Reader, &["*"])]);
    let session = Credentials::default().with_session("x");
    let ask = async |space: &str, ids: &[&str]| log.permit(&alice, &session, space, "rule", ids).await;
    let given = |objects: &[Value]| (200, json!({"saved_objects": objects}));
    kibana.answers([given(&[object("1"), object("2")])]);
    assert_eq!(ask("team", &["1", "2"]).await, Asked::ByAuthority);
    assert_eq!(ask("default", &["2"]).await, Asked::ByAuthority);
    let seen = kibana.seen();
    let lines: Vec<_> = seen.iter().map(|(line, _)| line.as_str()).collect();
    assert_eq!(lines, ["POST /base/s/team/api/saved_objects/_bulk_get", "POST /base/api/saved_objects/_bulk_get"]);
    assert_eq!((&seen[0].1["cookie"], seen[0].1.contains_key("kbn-xsrf")), (&"sid=x".parse().unwrap(), true));

    let short = given(&[object("1")]);
    let other_type = given(&[object("1"), json!({"type": "other", "id": "2"})]);
    let missing = given(&[object("1"), failed("2", 404)]);
    let forbidden = given(&[failed("1", 403), object("2")]);
    for answer in [short, other_type, missing, forbidden, given(&[])] {
        kibana.answers([answer.clone()]);
        assert_eq!(ask("team", &["1", "2"]).await, Asked::Refused, "{answer:?}");
    }
    for status in [400, 401, 403, 404, 302] {
        kibana.answers([(status, json!({}))]);
        assert_eq!(ask("team", &["1"]).await, Asked::Refused, "{status}");
    }
    for (status, body) in [(500, json!({})), (503, json!({})), (429, json!({})), (200, json!({}))] {
        kibana.answers([(status, body)]);
        assert_eq!(ask("team", &["1"]).await, Asked::Unavailable, "{status}");
    }
    // Many objects are requested in batches, and every batch has to be allowed.
    let many: Vec<String> = (0..150).map(|id| id.to_string()).collect();
    let ids: Vec<_> = many.iter().map(String::as_str).collect();
    let part = |range: std::ops::Range<usize>| given(&many[range].iter().map(|id| object(id)).collect::<Vec<_>>());
    kibana.answers([part(0..100), part(100..150)]);
    assert_eq!(ask("team", &ids).await, Asked::ByAuthority);
    kibana.answers([part(0..100), part(100..149)]);
    assert_eq!(ask("team", &ids).await, Asked::Refused);
}
