//! Checks that the API document matches the routes.

use std::{collections::BTreeMap, env, fs, path::Path};

use axum::{body::Body, http::Method};
use serde_json::Value;

use super::{Log, OPEN};
use crate::http::{openapi, routes};

fn document() -> Value {
    serde_json::from_str(&openapi().unwrap()).unwrap()
}

/// Returns the methods of each path, in upper case and sorted.
fn described() -> BTreeMap<String, Vec<String>> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let methods = |path: &Value| {
        let mut methods: Vec<_> = path.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        methods.sort();
        methods
    };
    paths.iter().map(|(path, operations)| (path.clone(), methods(operations))).collect()
}

#[tokio::test]
async fn the_routes_and_the_document_have_the_same_operations() {
    let log = Log::new();
    let mut routed = BTreeMap::new();
    for operation in routes::operations() {
        let path = operation.path;
        let uri = path.replace(['{', '}'], "");
        let method = Method::from_bytes(b"PROBE").unwrap();
        let answer = log.send(log.request(method.as_str(), &uri).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.header("allow").unwrap().split(',').filter(|method| *method != "HEAD");
        let mut methods: Vec<_> = allowed.map(str::to_owned).collect();
        methods.sort();
        routed.insert(path.to_owned(), methods);
    }
    assert_eq!(described(), routed);
}

#[test]
fn the_document_in_docs_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let current = openapi().unwrap();
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &current).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == current, "docs/openapi.json is stale: run this test with UPDATE_GOLDEN=1");
}

#[tokio::test]
async fn the_schema_of_an_event_is_served() {
    let answer = Log::new().get("/api/event_log/schema").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, include_str!("../../../docs/event.schema.json"));
}

#[tokio::test]
async fn the_document_is_served() {
    let log = Log::new();
    let answer = log.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, openapi().unwrap());
}

/// A valid value for each parameter of each query, by the end of its path.
const SAMPLES: [(&str, &[(&str, &str)]); 6] = [
    (
        "/_find",
        &[
            ("page", "1"),
            ("per_page", "5"),
            ("after", ""),
            ("fields", "event.action"),
            ("sort_field", "message"),
            ("sort_order", "desc"),
            ("sort", "[]"),
            ("start", "1d"),
            ("end", "2021-03-02"),
            ("time_zone", "Europe/Helsinki"),
            ("filter", ""),
        ],
    ),
    ("/_count", &[("start", "1d"), ("end", "2021-03-02"), ("time_zone", "UTC"), ("filter", "")]),
    (
        "/_aggregate",
        &[
            ("terms", "event.action"),
            ("size", "5&terms=event.action"),
            ("histogram", "@timestamp"),
            ("interval", "1h&histogram=@timestamp"),
            ("stats", "event.duration"),
            ("percentiles", "event.duration"),
            ("percents", "50&percentiles=event.duration"),
            ("start", "1d&stats=event.duration"),
            ("end", "2021-03-02&stats=event.duration"),
            ("time_zone", "-03:30&stats=event.duration"),
            ("filter", "&stats=event.duration"),
        ],
    ),
    ("/events/{id}", &[("fields", "event.id")]),
    (
        "/_export",
        &[
            ("format", "json"),
            ("fields", "event"),
            ("columns", "message&format=csv"),
            ("sort_field", "message"),
            ("sort_order", "desc"),
            ("sort", "[]"),
            ("start", "1d"),
            ("end", "2021-03-02"),
            ("time_zone", "Europe/Helsinki"),
            ("filter", ""),
        ],
    ),
    ("/_tail", &[("since", "1d"), ("last_event_id", ""), ("filter", ""), ("fields", "event")]),
];

/// Operations with parameters that are not queries.
const OTHERS: [&str; 4] = [
    "/api/event_log/events",
    "/api/event_log/rejected",
    "/api/event_log/dead_letters",
    "/api/event_log/dead_letters/_replay",
];

#[tokio::test]
async fn queries_take_exactly_the_described_parameters() {
    let log = Log::new();
    let document = document();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some((_, samples)) = SAMPLES.iter().find(|(end, _)| path.ends_with(end)) else {
            let takes_some = operations.to_string().contains(r#""in":"query""#);
            assert!(!takes_some || OTHERS.contains(&path.as_str()), "{path} has no samples");
            continue;
        };
        for (method, operation) in operations.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().unwrap();
            let in_query = parameters.iter().filter(|parameter| parameter["in"] == "query");
            let names: Vec<_> = in_query.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            assert_eq!(names, samples.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{method} {path}");
            for (name, value) in *samples {
                let uri = format!("{}?{name}={value}", path.replace(['{', '}'], ""));
                let request = log.request(&method.to_uppercase(), &uri);
                let answer = log.send(request.body(Body::from(r#"{"ids":["1"]}"#)).unwrap()).await;
                let expected = if path.contains("events/{id}") { 404 } else { 200 };
                assert_eq!(answer.status, expected, "{method} {uri}: {:?}", answer.body);
            }
        }
    }
}

#[test]
fn every_operation_has_its_own_id() {
    let document = document();
    let paths = document["paths"].as_object().unwrap().values();
    let mut ids: Vec<_> = paths
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str())
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), ids.contains(&None)), (count, false));
}

#[test]
fn every_operation_but_health_is_described_as_requiring_a_key() {
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_open = OPEN.contains(&path.as_str());
            assert_eq!(operation["responses"].get("401").is_none(), is_open, "{method} {path}");
        }
    }
}

/// Values of every JSON type, also within arrays and objects.
const WRONG: [&str; 14] = [
    "null",
    "true",
    "-1",
    "1.5",
    "1e400",
    "\"x\"",
    "[]",
    "[1]",
    "[[]]",
    "[{}]",
    "{}",
    "{\"x\":1}",
    "[{\"sort_field\":1,\"sort_order\":[],\"role\":{}}]",
    "{",
];

/// Words of the parser, which mean nothing to callers.
fn is_of_rust(message: &str) -> bool {
    let words = [
        "struct", "enum", "variant", "map", "sequence", "tuple", "unit", "newtype", "u64", "u32", "i64", "usize", "f64",
    ];
    let phrases =
        ["missing field `", "unknown field `", "invalid type", "did not match", "EOF while", "trailing characters"];
    let is_word = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&word));
    is_word(message) || phrases.iter().any(|phrase| message.contains(phrase))
}

#[tokio::test]
async fn refusals_name_the_place_in_plain_words() {
    let log = Log::new();
    let document = document();
    let mut refused = 0;
    let mut check = async |method: &str, uri: &str, body: String| {
        let request = log.request(&method.to_uppercase(), uri).body(Body::from(body.clone())).unwrap();
        let answer = log.send(request).await;
        let is_health = OPEN.contains(&uri);
        if answer.status.is_client_error() && answer.status != 404 && !is_health {
            refused += 1;
            let message = answer.json()["message"].as_str().unwrap().to_owned();
            assert!(!is_of_rust(&message), "{method} {uri} {body}: {message}");
            let names_place = message.starts_with("[request ") || message.contains(':') || answer.status != 400;
            assert!(names_place, "{method} {uri} {body}: {message}");
        }
    };
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let uri = path.replace(['{', '}'], "");
            // A tail or an export without an error does not end.
            for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|of| of["in"] == "query") {
                let name = parameter["name"].as_str().unwrap();
                for value in WRONG.iter().filter(|_| !path.ends_with("_tail") || name != "filter") {
                    let value: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
                    check(method, &format!("{uri}?{name}={value}"), r#"{"ids":["1"]}"#.to_owned()).await;
                }
            }
            let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") else { continue };
            let schema = match schema["$ref"].as_str() {
                Some(name) => &document["components"]["schemas"][name.rsplit('/').next().unwrap()],
                None => schema,
            };
            for value in WRONG {
                check(method, &uri, value.to_owned()).await;
                for name in schema["properties"].as_object().into_iter().flat_map(|members| members.keys()) {
                    let valid = r#""name":"n","grants":[],"actions":["a"]"#;
                    check(method, &uri, format!(r#"{{"{name}":{value}}}"#)).await;
                    check(method, &uri, format!(r#"{{{valid},"{name}":{value}}}"#)).await;
                    let role =
                        format!(r#"{{"name":"n","grants":[{{"role":"admin","{name}":{value},"spaces":{value}}}]}}"#);
                    check(method, &uri, role).await;
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}
