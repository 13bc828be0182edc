//! Answers recorded from engines, or documented ones where no engine at hand gives them.

use serde_json::{Value, json};

use super::{
    ElasticStore, events,
    fake::{Asked, Fake, Reply, error, reply, text},
    fresh_chain, store,
};
use crate::{
    event::{Space, Stream},
    query::{ObjectScope, Query, Scope, ScopedQuery, filter::Filter},
    store::{EventIndex, EventSink, Outcome, SinkError, Target, elastic::ElasticConfig},
};

fn target() -> Target {
    Target("i-000001".to_owned())
}

async fn append(answer: impl Fn(&Asked) -> Reply + Clone + Send + Sync + 'static) -> Result<Vec<Outcome>, SinkError> {
    let engine = Fake::start(answer).await;
    store(&[&engine.url]).append(&target(), &events(fresh_chain(), 0..2)).await
}

#[tokio::test]
async fn whole_answers_are_told_apart() {
    let block = |status| move |_: &Asked| error(status, "cluster_block_exception", "index [i] blocked by: [x];");
    let check = |error: SinkError, expected: fn(&SinkError) -> bool| assert!(expected(&error), "{error:?}");
    check(append(|_| text(413, "")).await.unwrap_err(), |error| matches!(error, SinkError::TooLarge));
    check(
        append(|_| error(429, "es_rejected_execution_exception", "full").with("retry-after", "7")).await.unwrap_err(),
        |error| matches!(error, SinkError::Unavailable { retry_after: Some(after), .. } if after.as_secs() == 7),
    );
    check(append(block(429)).await.unwrap_err(), |error| matches!(error, SinkError::Blocked { .. }));
    check(append(block(403)).await.unwrap_err(), |error| matches!(error, SinkError::Blocked { .. }));
    check(append(block(503)).await.unwrap_err(), |error| matches!(error, SinkError::Unavailable { .. }));
    check(
        append(|_| error(403, "security_exception", "no")).await.unwrap_err(),
        |error| matches!(error, SinkError::Denied { reason } if reason.ends_with("security_exception: no")),
    );
    check(
        append(|_| text(401, "Unauthorized")).await.unwrap_err(),
        |error| matches!(error, SinkError::Denied { reason } if reason.ends_with("HTTP 401: Unauthorized")),
    );
    check(append(|_| text(502, "<html>")).await.unwrap_err(), |error| matches!(error, SinkError::Unavailable { .. }));
    check(append(|_| error(400, "illegal_argument_exception", "Malformed action")).await.unwrap_err(), |error| {
        matches!(error, SinkError::Refused { .. })
    });
}

/// A proxy in front of an engine refuses for a while only, and knows nothing about events.
#[tokio::test]
async fn a_refusal_that_is_not_the_engines_verdict_on_events_is_transient() {
    let is_passing = |error: SinkError| assert!(matches!(error, SinkError::Unavailable { .. }), "{error:?}");
    for status in [301, 400, 404, 405, 410, 421] {
        is_passing(append(move |_| text(status, "<html>default backend</html>")).await.unwrap_err());
        is_passing(append(move |_| reply(status, json!({"error": "no handler found"}))).await.unwrap_err());
    }
    is_passing(append(|_| error(404, "resource_not_found_exception", "r")).await.unwrap_err());

    let [taken, blocked] = [(409, "version_conflict_engine_exception"), (403, "cluster_block_exception")]
        .map(|(status, kind)| json!({"status": status, "error": {"type": kind, "reason": "r"}}));
    for item in [taken, blocked, missing()] {
        for status in [400, 404, 413] {
            let item = item.clone();
            let besides = append(move |asked| match asked.call.as_str() {
                "POST /i-000001-writer/_bulk" => items([item.clone(), json!({"status": 201})]),
                _ => error(status, "illegal_argument_exception", "no"),
            });
            match besides.await {
                // An alias without indices has not moved on.
                Ok(outcomes) => assert!(matches!(outcomes[..], [Outcome::Retry { .. }, Outcome::Stored])),
                Err(error) => is_passing(error),
            }
        }
    }
}

#[tokio::test]
async fn only_the_engine_can_report_a_position_as_free() {
    let replace = async |status: u16, body: &'static str| {
        let engine = Fake::start(move |_| text(status, body)).await;
        store(&[&engine.url]).replace(&target(), &events(fresh_chain(), 0..1)[0]).await
    };
    let absent = replace(404, r#"{"_index":"i-000001","_id":"x","found":false}"#).await.unwrap();
    assert!(matches!(absent, Outcome::Rejected { .. }), "{absent:?}");
    for (status, body) in [(404, "<html>"), (404, "{}"), (405, "<html>")] {
        let error = replace(status, body).await.unwrap_err();
        assert!(matches!(error, SinkError::Unavailable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_about_fewer_events_is_rejected() {
    let short = append(|_| reply(200, json!({"errors": false, "items": [{"create": {"status": 201}}]}))).await;
    assert!(matches!(short.unwrap_err(), SinkError::Unavailable { .. }));
    let cut = append(|_| text(200, "{\"errors\":false,\"items\":[{\"create\":{\"stat")).await;
    assert!(matches!(cut.unwrap_err(), SinkError::Unavailable { .. }));
}

fn items(items: [Value; 2]) -> Reply {
    let [one, other] = items;
    reply(200, json!({"errors": true, "items": [{"create": one}, {"create": other}]}))
}

#[tokio::test]
async fn an_unreadable_document_is_retried() {
    let outcomes = append(|asked| match asked.call.as_str() {
        "POST /i-000001-writer/_bulk" => {
            let taken = json!({"status": 409, "error": {"type": "version_conflict_engine_exception", "reason": "r"}});
            items([taken, json!({"status": 201})])
        }
        "POST /i-000001-writer/_refresh" => reply(200, json!({"_shards": {"failed": 0}})),
        "POST /i-000001-writer/_search" => {
            reply(200, json!({"timed_out": false, "_shards": {"failed": 0}, "hits": {"hits": []}}))
        }
        call => text(500, call),
    });
    assert!(matches!(outcomes.await.unwrap()[..], [Outcome::Retry { .. }, Outcome::Stored]));
}

fn missing() -> Value {
    json!({"status": 404, "error": {"type": "index_not_found_exception", "reason": "no such index [i-000001-writer]"}})
}

#[tokio::test]
async fn a_target_is_lost_only_if_the_master_says_so() {
    let with_master = |state: Value| {
        append(move |asked| match asked.call.as_str() {
            "POST /i-000001-writer/_bulk" => items([missing(), missing()]),
            "GET /_cluster/state/metadata/i-000001" => reply(200, state.clone()),
            call => error(400, "illegal_argument_exception", call),
        })
    };
    let state = |indices: Value| json!({"cluster_uuid": "u", "metadata": {"indices": indices}});
    let absent = with_master(json!({"cluster_uuid": "u"})).await.unwrap_err();
    assert!(matches!(absent, SinkError::TargetLost { .. }), "{absent:?}");
    let there = state(json!({"i-000001": {"state": "open", "aliases": ["i-000001-writer"]}}));
    let shrunken = state(json!({"shrink-i-000001": {"state": "open", "aliases": ["i-000001"]}}));
    let nothing = json!({});
    for elsewhere in [there, shrunken, nothing] {
        let error = with_master(elsewhere).await.unwrap_err();
        assert!(matches!(error, SinkError::Unavailable { .. }), "{error:?}");
    }
    let without_master = append(|asked| match asked.call.as_str() {
        "POST /i-000001-writer/_bulk" => items([missing(), missing()]),
        _ => error(503, "master_not_discovered_exception", "null"),
    });
    assert!(matches!(without_master.await.unwrap_err(), SinkError::Unavailable { .. }));
}

#[tokio::test]
async fn a_partial_answer_is_an_error() {
    let objects = ObjectScope { space: Space::parse("s").unwrap(), object_type: "t".to_owned(), ids: vec![] };
    let scope = Scope::Objects(objects);
    let query = Query {
        scope,
        start: None,
        end: None,
        filter: Filter::EVERYTHING,
        sort: vec![],
        after: None,
        offset: 0,
        limit: 10,
        bytes: usize::MAX,
    };
    let find = async |timed_out: bool, failed: u64| {
        let hits = json!({"total": {"value": 0, "relation": "eq"}, "hits": []});
        let answer = json!({"timed_out": timed_out, "_shards": {"total": 2, "failed": failed}, "hits": hits});
        let engine = Fake::start(move |_| reply(200, answer.clone())).await;
        store(&[&engine.url]).find(&ScopedQuery::new(query.clone())).await
    };
    assert_eq!(find(false, 0).await.unwrap().total, 0);
    assert!(find(true, 0).await.unwrap_err().to_string().contains("took too long"));
    assert!(find(false, 1).await.unwrap_err().to_string().contains("1 shards failed"));
}

/// An engine that answers the calls of a set-up, up to the first index.
fn engine_with(
    root: Value,
    policy: fn(&Asked) -> Reply,
    template: Value,
) -> impl Fn(&Asked) -> Reply + Clone + Send + Sync + 'static {
    move |asked| match asked.call.as_str() {
        "GET /" => reply(200, root.clone()),
        call if call.contains("_ism/policies") || call.contains("_ilm/policy") => policy(asked),
        call if call.starts_with("GET /_index_template/") && template.is_null() => text(404, "{}"),
        call if call.starts_with("GET /_index_template/") => {
            reply(200, json!({"index_templates": [{"index_template": template}]}))
        }
        call if call.starts_with("PUT /_index_template/") => reply(200, json!({"acknowledged": true})),
        _ => error(503, "stop", "here"),
    }
}

fn opensearch() -> Value {
    json!({"version": {"distribution": "opensearch", "number": "3.8.0"}})
}

fn elasticsearch() -> Value {
    json!({"version": {"number": "9.5.3", "build_flavor": "default"}})
}

struct Tried {
    engine: Fake,
    result: Result<(), SinkError>,
}

async fn set_up(answer: impl Fn(&Asked) -> Reply + Clone + Send + Sync + 'static) -> Tried {
    let engine = Fake::start(answer).await;
    let config = ElasticConfig { version: "1.2.3".to_owned(), ..super::config(&[&engine.url]) };
    let config = ElasticConfig { index_prefix: ".annals".to_owned(), ..config };
    let store = ElasticStore::new(&config).unwrap();
    let result = store.setup(&[Stream::general()]).await;
    Tried { engine, result }
}

const TEMPLATE: &str = "/_index_template/.annals-event-log-1.2.3-general-template";
const ISM: &str = "/_plugins/_ism/policies/annals-event-log-policy";
const ILM: &str = "/_ilm/policy/annals-event-log-policy";

fn absent(asked: &Asked) -> Reply {
    if asked.call.starts_with("GET") { error(404, "status_exception", "Policy not found") } else { text(201, "{}") }
}

fn present(asked: &Asked) -> Reply {
    if asked.call.starts_with("GET") { text(200, "{}") } else { text(500, "it must not be touched") }
}

#[tokio::test]
async fn opensearch_gets_the_policy_in_its_own_format() {
    let Tried { engine, .. } = set_up(engine_with(opensearch(), absent, Value::Null)).await;
    let policy = engine.sent(&format!("PUT {ISM}"));
    assert_eq!(policy["policy"]["ism_template"][0]["index_patterns"], json!([".annals-event-log-*"]));
    assert!(policy["policy"]["states"][0]["actions"][0]["rollover"]["min_size"].is_string());
    let template = engine.sent(&format!("PUT {TEMPLATE}"));
    let alias = &template["template"]["settings"]["index"]["plugins"]["index_state_management"]["rollover_alias"];
    assert_eq!(alias, ".annals-event-log-1.2.3-general");
    assert_eq!(template["template"]["settings"]["index"]["lifecycle"], Value::Null);
}

#[tokio::test]
async fn a_policy_that_is_there_is_left_alone() {
    for (root, path) in [(opensearch(), ISM), (elasticsearch(), ILM)] {
        let Tried { engine, .. } = set_up(engine_with(root, present, Value::Null)).await;
        assert!(engine.calls().contains(&format!("GET {path}")));
        assert!(!engine.calls().contains(&format!("PUT {path}")));
        engine.sent(&format!("PUT {TEMPLATE}"));
    }
}

#[tokio::test]
async fn another_writer_may_create_the_policy_meanwhile() {
    let raced = |asked: &Asked| {
        if asked.call.starts_with("GET") {
            text(404, "{}")
        } else {
            error(409, "version_conflict_engine_exception", "x")
        }
    };
    let Tried { engine, .. } = set_up(engine_with(opensearch(), raced, Value::Null)).await;
    let index = engine.sent(&format!("PUT {TEMPLATE}"))["template"]["settings"]["index"].clone();
    assert!(index["plugins"].is_object(), "the engine runs the policy all the same");
}

#[tokio::test]
async fn elasticsearch_knows_the_policy_by_the_settings_of_the_index() {
    let Tried { engine, .. } = set_up(engine_with(elasticsearch(), absent, Value::Null)).await;
    assert_eq!(engine.sent(&format!("PUT {ILM}"))["policy"]["phases"]["delete"]["min_age"], "90d");
    let expected = json!({"name": "annals-event-log-policy", "rollover_alias": ".annals-event-log-1.2.3-general"});
    assert_eq!(engine.sent(&format!("PUT {TEMPLATE}"))["template"]["settings"]["index"]["lifecycle"], expected);
}

#[tokio::test]
async fn an_engine_without_policies_is_supported() {
    let withheld = |_: &Asked| error(410, "api_not_available_exception", "not available in serverless mode");
    let Tried { engine, .. } = set_up(engine_with(elasticsearch(), withheld, Value::Null)).await;
    let index = engine.sent(&format!("PUT {TEMPLATE}"))["template"]["settings"]["index"].clone();
    assert_eq!(index["lifecycle"], Value::Null);
}

#[tokio::test]
async fn a_forbidden_policy_is_not_taken_for_an_absent_one() {
    let forbidden = |_: &Asked| error(403, "security_exception", "action [cluster:admin/ilm/get] is unauthorized");
    let Tried { result, .. } = set_up(engine_with(elasticsearch(), forbidden, Value::Null)).await;
    assert!(matches!(result.unwrap_err(), SinkError::Denied { .. }));
}

#[tokio::test]
async fn an_engine_too_old_is_refused_by_name() {
    let Tried { result, .. } =
        set_up(engine_with(json!({"version": {"number": "7.17.6"}}), present, Value::Null)).await;
    let error = result.unwrap_err();
    assert!(
        matches!(&error, SinkError::Refused { reason } if reason.ends_with("found elasticsearch 7.17.6")),
        "{error}"
    );
}

#[tokio::test]
async fn a_template_is_replaced_if_it_is_of_an_older_annals() {
    let with_template = |mark: Value| set_up(engine_with(elasticsearch(), present, json!({"_meta": mark})));
    let is_replaced = |tried: &Tried| tried.engine.calls().contains(&format!("PUT {TEMPLATE}"));
    let older = with_template(json!({"managed_by": "annals", "version": "0.0.9", "hash": "of another"})).await;
    assert!(is_replaced(&older));
    let newer = with_template(json!({"managed_by": "annals", "version": "9999.0.0", "hash": "of another"})).await;
    assert!(!is_replaced(&newer));
    let current = older.engine.sent(&format!("PUT {TEMPLATE}"))["_meta"].clone();
    assert!(!is_replaced(&with_template(current).await), "whatever an operator changed in it");
    let foreign = with_template(json!({"managed_by": "somebody"})).await;
    assert!(!is_replaced(&foreign));
    assert!(matches!(foreign.result.unwrap_err(), SinkError::Refused { .. }));
}
