use std::fs;

use serde_json::json;

use crate::support::{Access, Engine, Home, Kind, Prefix, await_that};

/// The configuration of one store: the engine, with its user's password in this file.
fn store(engine: &Engine, prefix: &Prefix, password_file: &str) -> String {
    let Access { ca_file, .. } = engine.access.as_ref().unwrap();
    let login = Access::LOGIN;
    format!(
        "{}ca_file = {ca_file:?}\nauth.basic = {{ login = {login:?}, password_file = {password_file:?} }}\n",
        Home::engine_store("main", &engine.url, prefix)
    )
}

#[test]
fn an_engine_that_refuses_the_password_gets_everything_once_it_is_right() {
    let Some(engine) = Engine::shared(Kind::ElasticsearchSecure) else { return };
    let right = fs::read_to_string(&engine.access.as_ref().unwrap().password_file).unwrap();
    let wrong = right.trim().chars().rev().collect::<String>();
    let prefix = engine.prefix();
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    fs::write(&password_file, &wrong).unwrap();
    let home = Home::new(&store(&engine, &prefix, password_file.to_str().unwrap()));

    let annals = home.start();
    annals.log_events(&json!({"event": {"provider": "load", "action": "run"}})).expect(202);
    await_that("the store says that it was refused", || {
        annals.store("main")["trouble"].as_str().is_some_and(|trouble| trouble.contains("HTTP 401"))
    });
    assert!(!format!("{}{}", annals.log(), annals.get("/readyz")).contains(&wrong));
    annals.stop();

    fs::write(&password_file, &right).unwrap();
    let annals = home.start();
    annals.await_stored("main");
    let documents = prefix.documents();
    let logged = documents.iter().filter(|document| String::from_utf8_lossy(&document.source).contains("\"load\""));
    assert_eq!(logged.count(), 1);
    assert!(!annals.log().contains(right.trim()));
}
