use std::{fs, path::Path};

use serde_json::json;

use crate::support::{
    Acknowledged, Annals, Database, Document, Engine, Home, Kind, await_that, engine_variable, verify,
};

/// Logs events and waits until a find would show them; returns their acknowledgements.
#[track_caller]
fn log_stored(annals: &Annals, name: &str, events: usize) -> Vec<Acknowledged> {
    let event = |n: usize| json!({"event": {"provider": "load", "action": "run", "id": format!("{name}-{n}")}, "message": name});
    let events: Vec<_> = (0..events).map(event).collect();
    let request = annals.request("POST", "/api/event_log/events?wait_for=stored");
    let answer = request.body(json!(events).to_string()).send().unwrap().expect(202).json();
    assert_eq!(answer["stored"], true, "{answer}");
    assert_eq!(count(annals, name), events.len() as u64, "what is called stored is found");
    serde_json::from_value(answer["items"].clone()).unwrap()
}

/// Counts the events with this message.
#[track_caller]
fn count(annals: &Annals, name: &str) -> u64 {
    annals.get(&format!("/api/event_log/_count?filter=message:{name}"))["count"].as_u64().unwrap()
}

fn remove_database(path: &Path) {
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{end}", path.display())).unwrap_or_default();
    }
}

#[test]
fn a_database_file_that_is_deleted_under_the_running_service_is_made_again_and_lacks_nothing() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let mut acknowledged = log_stored(&annals, "before", 100);
    remove_database(&home.data().join("events.db"));
    for round in 0..10 {
        acknowledged.extend(log_stored(&annals, &format!("after{round}"), 100));
    }
    await_that("what was there before is sent again", || count(&annals, "before") == 100);
    assert!(annals.log().contains("another store is in its place"), "{}", annals.log());
    assert_eq!(annals.metric("annals_store_missing_events{store=\"sqlite\"}"), 0.0);
    assert!(annals.stop().success());
    let annals = home.start();
    annals.await_stored("sqlite");
    assert_eq!(count(&annals, "before"), 100);
    verify(&home, &Document::all_of_sqlite(&home.data().join("events.db")), &acknowledged);
}

#[test]
fn a_database_file_that_is_replaced_by_an_old_copy_gets_what_it_lacks() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let path = home.data().join("events.db");
    let mut acknowledged = log_stored(&annals, "before", 100);
    assert!(annals.stop().success());
    let copy = home.data().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    let annals = home.start();
    acknowledged.extend(log_stored(&annals, "after", 100));
    remove_database(&path);
    fs::rename(&copy, &path).unwrap();
    await_that("what the copy lacks is sent again", || {
        annals.store("sqlite")["behind_bytes"] == 0 && count(&annals, "after") == 100
    });
    assert!(annals.log().contains("its newest events are gone"), "{}", annals.log());
    assert!(annals.stop().success());
    verify(&home, &Document::all_of_sqlite(&path), &acknowledged);
}

#[test]
fn a_store_that_is_configured_elsewhere_gets_what_the_journal_has() {
    let store = |file: &str| format!("[stores.main]\nkind = \"sqlite\"\npath = \"{file}\"\n");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let home = Home::new(&store(&path("first.db").display().to_string()));
    let annals = home.start();
    let mut acknowledged = log_stored(&annals, "before", 100);
    assert!(annals.stop().success());
    home.configure(&store(&path("second.db").display().to_string()));
    let annals = home.start();
    annals.await_stored("main");
    acknowledged.extend(log_stored(&annals, "after", 10));
    assert_eq!(count(&annals, "before"), 100);
    assert!(annals.log().contains("another store is in its place"), "{}", annals.log());
    assert!(annals.stop().success());
    verify(&home, &Document::all_of_sqlite(&path("second.db")), &acknowledged);
}

#[test]
fn a_table_that_is_emptied_gets_its_events_again() {
    lose_in_postgres("TRUNCATE {}.events CASCADE", "its newest events are gone");
}

#[test]
fn a_schema_that_is_dropped_gets_its_events_again() {
    lose_in_postgres("DROP SCHEMA {} CASCADE", "another store is in its place");
}

fn lose_in_postgres(statement: &str, reason: &str) {
    let Some(url) = engine_variable("ANNALS_TEST_POSTGRES") else { return };
    let database = Database::at(&url);
    let home = Home::new(&database.store());
    let annals = home.start();
    let mut acknowledged = log_stored(&annals, "before", 100);
    database.run(statement);
    acknowledged.extend(log_stored(&annals, "after", 10));
    await_that("its events are sent again", || {
        annals.store("main")["behind_bytes"] == 0 && count(&annals, "before") == 100
    });
    assert!(annals.log().contains(reason), "{}", annals.log());
    assert!(annals.stop().success());
    verify(&home, &database.documents(), &acknowledged);
}

#[test]
fn an_index_that_is_deleted_from_elasticsearch_gets_its_events_again() {
    delete_index(Kind::Elasticsearch);
}

#[test]
fn an_index_that_is_deleted_from_opensearch_gets_its_events_again() {
    delete_index(Kind::Opensearch);
}

/// Deletes an older index, whose events the journal still has, and the newest one, while nothing is logged.
fn delete_index(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let home = Home::on_engine(&engine.url, &prefix);
    let annals = home.start();
    let mut acknowledged = log_stored(&annals, "first", 100);
    prefix.roll_over();
    // Once the new index is known, events go there.
    await_that("events are in the new index", || {
        acknowledged.extend(log_stored(&annals, &format!("second{}", acknowledged.len()), 10));
        prefix.documents().iter().any(|document| document.index.ends_with("-000002"))
    });
    for index in prefix.indices() {
        engine.ask("DELETE", &index, "");
        await_that("its events are in another index", || {
            let found = annals.get("/api/event_log/_count?filter=event.provider:load");
            found["count"] == acknowledged.len() && annals.store("main")["behind_bytes"] == 0
        });
    }
    assert!(annals.stop().success());
    verify(&home, &prefix.documents(), &acknowledged);
}

#[test]
fn another_prefix_gets_what_the_journal_has() {
    let Some(engine) = Engine::shared(Kind::Elasticsearch) else { return };
    let (first, second) = (engine.prefix(), engine.prefix());
    let home = Home::on_engine(&engine.url, &first);
    let annals = home.start();
    let mut acknowledged = log_stored(&annals, "before", 100);
    assert!(annals.stop().success());
    home.configure(&Home::engine_store("main", &engine.url, &second));
    let annals = home.start();
    annals.await_stored("main");
    acknowledged.extend(log_stored(&annals, "after", 10));
    assert!(annals.log().contains("another store is in its place"), "{}", annals.log());
    assert!(annals.stop().success());
    verify(&home, &second.documents(), &acknowledged);
}
