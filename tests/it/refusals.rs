use serde_json::{Value, json};

use crate::support::{Annals, Engine, Fault, Home, Kind, Load, Pace, Proxy, await_that, verify};

fn reference(id: &str) -> Value {
    json!({"rel": "primary", "type": "order", "id": id})
}

fn event(id: &str, message: &str, references: &[Value]) -> Value {
    let about = json!({"provider": "load", "action": "run", "id": id});
    json!({"event": about, "message": message, "kibana": {"saved_objects": references}})
}

#[track_caller]
fn await_dead_letters(annals: &Annals, count: u64) {
    await_that("a store has refused events", || annals.store("main")["dead_letters"] == json!(count));
}

#[test]
fn events_that_elasticsearch_refuses_are_kept_and_replayed_into_their_place() {
    refuse_for_good(Kind::Elasticsearch);
}

#[test]
fn events_that_opensearch_refuses_are_kept_and_replayed_into_their_place() {
    refuse_for_good(Kind::Opensearch);
}

fn refuse_for_good(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let home = Home::on_engine(&engine.url, &prefix);
    let annals = home.start();
    annals.await_stored("main");
    let index = prefix.indices().pop().unwrap();
    let limit = |limit: Value| {
        let settings = json!({"index.mapping.nested_objects.limit": limit}).to_string();
        engine.ask("PUT", &format!("{index}/_settings"), &settings);
    };
    limit(json!(1));
    let load = Load::start(&annals, Pace::default());
    load.await_more(30);
    let refused = event("n-refused", "too much for the engine", &[reference("a"), reference("b")]);
    let answer = annals.log_events(&refused).expect(202).json();
    let refused = serde_json::from_value(answer["items"][0].clone()).unwrap();
    load.await_more(30);
    let mut acknowledged = load.stop();
    acknowledged.push(refused);
    await_dead_letters(&annals, 1);
    annals.await_stored("main");

    let documents = prefix.documents();
    let verified = verify(&home, &documents, &acknowledged);
    assert_eq!(verified.stubs, 1, "one stub stands in for the event, and verifies as the event would");
    let listed = home.run(&annals, &["dead-letters", "list"]);
    let letter: Value =
        serde_json::from_str(&listed.stdout).unwrap_or_else(|error| panic!("{error}: {}", listed.stderr));
    let receipt = acknowledged.last().unwrap();
    assert_eq!(letter["position"], format!("{}-{:020}", receipt.chain, receipt.sequence));
    assert_eq!(letter["document"]["event"]["id"], "n-refused");
    assert!(letter["reason"].as_str().unwrap().contains("nested"), "{letter}");

    let again = home.run(&annals, &["dead-letters", "replay"]);
    assert_eq!((again.stdout.as_str(), again.exit), ("main: 0 stored, 1 refused again\n", 3), "{}", again.stderr);
    assert!(again.stderr.contains("nested"), "{}", again.stderr);
    limit(Value::Null);
    let replayed = home.run(&annals, &["dead-letters", "replay"]);
    assert_eq!(
        (replayed.stdout.as_str(), replayed.exit),
        ("main: 1 stored, 0 refused again\n", 0),
        "{}",
        replayed.stderr
    );
    await_dead_letters(&annals, 0);
    let verified = verify(&home, &prefix.documents(), &acknowledged);
    assert_eq!((verified.stubs, verified.events), (0, documents.len()));
}

#[test]
fn an_index_whose_pipeline_is_gone_gets_the_events_once_it_is_there_again() {
    for kind in [Kind::Elasticsearch, Kind::Opensearch] {
        let Some(engine) = Engine::shared(kind) else { continue };
        let prefix = engine.prefix();
        let home = Home::on_engine(&engine.url, &prefix);
        let annals = home.start();
        annals.await_stored("main");
        let index = prefix.indices().pop().unwrap();
        let pipeline = |name: Value| {
            let settings = json!({"index.default_pipeline": name}).to_string();
            engine.ask("PUT", &format!("{index}/_settings"), &settings);
        };
        let answered = || annals.metric("annals_store_requests_total{store=\"main\",outcome=\"answered\"}") as u64;
        let before = answered();
        pipeline(json!("nowhere"));
        let events: Vec<_> = (0..50).map(|number| event(&format!("n-{number}"), "m", &[reference("a")])).collect();
        let answer = annals.log_events(&json!(events)).expect(202).json();
        let acknowledged: Vec<_> = serde_json::from_value(answer["items"].clone()).unwrap();
        // After six rounds, each with events, stubs, and stubs without content, there is a pause of seconds.
        await_that("the engine refuses everything", || answered() == before + 18);
        assert!(annals.store("main")["trouble"].as_str().unwrap().contains("pipeline with id [nowhere]"));
        pipeline(Value::Null);
        annals.await_stored("main");
        assert_eq!(annals.store("main")["dead_letters"], 0);
        assert_eq!(verify(&home, &prefix.documents(), &acknowledged).stubs, 0);
    }
}

#[test]
fn an_event_too_large_for_the_engine_is_kept_and_replayed_into_its_place() {
    let Some(engine) = Engine::shared(Kind::Elasticsearch) else { return };
    let prefix = engine.prefix();
    let proxy = Proxy::before(&engine.url);
    let home = Home::on_engine(&proxy.url, &prefix);
    let annals = home.start();
    annals.await_stored("main");
    proxy.plan(|request| if request.body_bytes > 8_000 { Fault::Refuse(413) } else { Fault::None });
    let small = |number: u64| event(&format!("n-{number}"), &"x".repeat(400), &[reference("a")]);
    let mut events: Vec<Value> = (0..40).map(small).collect();
    events.insert(20, event("n-large", &"words and words ".repeat(800), &[reference("a")]));
    let answer = annals.log_events(&json!(events)).expect(202).json();
    let acknowledged: Vec<_> = serde_json::from_value(answer["items"].clone()).unwrap();
    await_dead_letters(&annals, 1);
    annals.await_stored("main");
    let documents = prefix.documents();
    assert_eq!(documents.len(), 42, "nothing but the large event is kept from its place, and a stub stands there");

    proxy.heal();
    let replayed = home.run(&annals, &["dead-letters", "replay"]);
    assert_eq!(
        (replayed.stdout.as_str(), replayed.exit),
        ("main: 1 stored, 0 refused again\n", 0),
        "{}",
        replayed.stderr
    );
    let verified = verify(&home, &prefix.documents(), &acknowledged);
    assert_eq!(verified.stubs, 0);
}

#[test]
fn dead_letters_and_stubs_survive_crashes() {
    let Some(engine) = Engine::shared(Kind::Opensearch) else { return };
    let prefix = engine.prefix();
    let home = Home::on_engine(&engine.url, &prefix);
    let mut annals = home.start();
    annals.await_stored("main");
    let index = prefix.indices().pop().unwrap();
    engine.ask("PUT", &format!("{index}/_settings"), "{\"index.mapping.nested_objects.limit\": 1}");
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let events: Vec<_> = (0..10)
            .map(|number| event(&format!("n-{round}-{number}"), "m", &vec![reference("a"); 1 + number % 2]))
            .collect();
        let answer = annals.log_events(&json!(events)).expect(202).json();
        acknowledged.extend(serde_json::from_value::<Vec<_>>(answer["items"].clone()).unwrap());
        annals.kill();
        annals = home.start();
    }
    annals.await_stored("main");
    assert_eq!(annals.store("main")["dead_letters"], json!(25));
    assert_eq!(verify(&home, &prefix.documents(), &acknowledged).stubs, 25);
}
