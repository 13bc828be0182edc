//! The API document and the routes say the same.

use std::{collections::BTreeMap, env, fs, path::Path};

use axum::{body::Body, http::Method};
use serde_json::Value;

use super::Log;
use crate::http::{in_space, of_operation, openapi, request::SORT_FIELDS};

fn document() -> Value {
    serde_json::from_str(&openapi().unwrap()).unwrap()
}

/// Path to methods, in upper case and order.
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
async fn every_route_is_described_and_everything_described_is_routed() {
    let log = Log::new();
    let mut routed = BTreeMap::new();
    for (path, _) in in_space().iter().chain(&of_operation()) {
        let uri = path.replace(['{', '}'], "");
        let method = Method::from_bytes(b"PROBE").unwrap();
        let answer = log.send(log.request(method.as_str(), &uri).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 405, "{path}");
        let allowed = answer.header("allow").unwrap().split(',').filter(|method| *method != "HEAD");
        let mut methods: Vec<_> = allowed.map(str::to_owned).collect();
        methods.sort();
        routed.insert((*path).to_owned(), methods);
    }
    assert_eq!(described(), routed);
}

#[test]
fn the_document_in_docs_is_fresh() {
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
async fn the_document_is_served() {
    let log = Log::new();
    let answer = log.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body, openapi().unwrap());
}

#[tokio::test]
async fn the_described_parameters_of_find_are_those_that_it_takes() {
    let log = Log::new();
    let samples = [
        ("page", "1"),
        ("per_page", "5"),
        ("sort_field", "message"),
        ("sort_order", "desc"),
        ("sort", "[]"),
        ("start", "1d"),
        ("end", "2021-03-02"),
        ("filter", "x"),
    ];
    for path in ["/api/event_log/{type}/{id}/_find", "/api/event_log/{type}/_find"] {
        let document = document();
        let operation = document["paths"][path].as_object().unwrap().values().next().unwrap().clone();
        let parameters = operation["parameters"].as_array().unwrap();
        let names: Vec<_> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| &parameter["name"])
            .collect();
        assert_eq!(names, samples.map(|(name, _)| name));
        let fields = parameters.iter().find(|parameter| parameter["name"] == "sort_field").unwrap();
        for field in SORT_FIELDS {
            assert!(fields["description"].as_str().unwrap().contains(&format!("`{field}`")), "{field}");
        }
    }
    for (name, value) in samples {
        let answer = log.get(&format!("/api/event_log/t/1/_find?{name}={value}")).await;
        let expected = if name == "filter" { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{name}");
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
fn every_operation_but_health_says_that_it_needs_a_key() {
    for (path, operations) in document()["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_open = ["/livez", "/readyz"].contains(&path.as_str());
            assert_eq!(operation["responses"].get("401").is_none(), is_open, "{method} {path}");
        }
    }
}
