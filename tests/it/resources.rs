use serde_json::Value;

use crate::support::{Engine, Home, Kind, Load, Pace, Prefix, await_that, verify};

/// Whether an index maps `kibana.saved_objects` as nested; without the template its mapping would be guessed.
#[track_caller]
fn is_nested(engine: &Engine, index: &str) -> bool {
    let mapping = engine.ask("GET", &format!("{index}/_mapping"), "");
    let of_kibana = &mapping[index]["mappings"]["properties"]["kibana"]["properties"];
    of_kibana["saved_objects"]["type"] == "nested"
}

#[track_caller]
fn write_index(engine: &Engine, prefix: &Prefix) -> String {
    let found = engine.ask("GET", &format!("_alias/{}", prefix.alias()), "");
    let is_written = |index: &Value| index["aliases"][prefix.alias()]["is_write_index"] == true;
    let written = found.as_object().unwrap().iter().find(|(_, index)| is_written(index));
    written.unwrap_or_else(|| panic!("no write index in {found}")).0.clone()
}

#[track_caller]
fn drop_template(engine: &Engine, prefix: &Prefix) {
    engine.ask("DELETE", &format!("_index_template/{}", prefix.template()), "");
}

fn has_template(engine: &Engine, prefix: &Prefix) -> bool {
    engine.send("GET", &format!("_index_template/{}", prefix.template()), "").status == 200
}

#[test]
fn a_template_that_elasticsearch_lost_is_back_before_the_next_index() {
    lose_template_between_starts(Kind::Elasticsearch);
}

#[test]
fn a_template_that_opensearch_lost_is_back_before_the_next_index() {
    lose_template_between_starts(Kind::Opensearch);
}

fn lose_template_between_starts(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let home = Home::on_engine(&engine.url, &prefix);
    let annals = home.start();
    annals.await_stored("main");
    let load = Load::start(&annals, Pace::default());
    load.await_more(50);
    annals.kill();
    drop_template(&engine, &prefix);
    let annals = home.start();
    load.turn_to(&annals);
    await_that("the template is back", || has_template(&engine, &prefix));
    prefix.roll_over();
    load.await_more(50);
    let acknowledged = load.stop();
    annals.await_stored("main");
    assert!(prefix.indices().iter().all(|index| is_nested(&engine, index)));
    verify(&home, &prefix.documents(), &acknowledged);
}

#[test]
fn an_index_that_elasticsearch_made_without_the_template_gets_no_events() {
    lose_template_while_running(Kind::Elasticsearch);
}

#[test]
fn an_index_that_opensearch_made_without_the_template_gets_no_events() {
    lose_template_while_running(Kind::Opensearch);
}

fn lose_template_while_running(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let home = Home::on_engine(&engine.url, &prefix);
    let annals = home.start();
    let load = Load::start(&annals, Pace::default());
    load.await_more(50);
    annals.await_stored("main");
    drop_template(&engine, &prefix);
    prefix.roll_over();
    let spoilt = write_index(&engine, &prefix);
    assert!(!is_nested(&engine, &spoilt));
    await_that("the spoilt index was rolled over", || write_index(&engine, &prefix) != spoilt);
    load.await_more(50);
    let acknowledged = load.stop();
    annals.await_stored("main");
    assert!(is_nested(&engine, &write_index(&engine, &prefix)) && has_template(&engine, &prefix));
    let documents = prefix.documents();
    assert!(documents.iter().all(|document| document.index != spoilt));
    verify(&home, &documents, &acknowledged);
}

#[test]
fn several_rollovers_under_load_spread_one_chain_over_several_indices() {
    let Some(engine) = Engine::shared(Kind::Elasticsearch) else { return };
    let prefix = engine.prefix();
    let home = Home::on_engine(&engine.url, &prefix);
    let annals = home.start();
    annals.await_stored("main");
    let load = Load::start(&annals, Pace::default());
    for _ in 0..2 {
        let filled = |prefix: &Prefix| {
            let index = write_index(&engine, prefix);
            engine.ask("GET", &format!("{index}/_count"), "")["count"].as_u64().unwrap() > 0
        };
        await_that("the index is in use", || filled(&prefix));
        prefix.roll_over();
    }
    await_that("events go to the last index", || {
        let index = write_index(&engine, &prefix);
        engine.ask("GET", &format!("{index}/_count"), "")["count"].as_u64().unwrap() > 0
    });
    let acknowledged = load.stop();
    annals.await_stored("main");
    let documents = prefix.documents();
    let verified = verify(&home, &documents, &acknowledged);
    assert_eq!((verified.chains.len(), prefix.indices().len()), (1, 3));
}
