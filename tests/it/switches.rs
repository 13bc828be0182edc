use std::fs;

use annals::integrity::{OpeningRecord, seal_of};
use serde_json::{Value, json};

use crate::support::{Acknowledged, Annals, Document, Engine, Home, Kind, Load, Pace, verify};

/// Logs one event and returns its acknowledgement.
#[track_caller]
fn log_one(annals: &Annals, id: &str) -> Acknowledged {
    let event = json!({"event": {"provider": "load", "action": "run", "id": id}, "message": id});
    let answer = annals.log_events(&event).expect(202).json();
    serde_json::from_value(answer["items"][0].clone()).unwrap()
}

fn opening_record(home: &Home, chain: &str) -> OpeningRecord {
    serde_json::from_slice(&fs::read(home.data().join(format!("chains/{chain}.json"))).unwrap()).unwrap()
}

fn documents(home: &Home) -> Vec<Document> {
    Document::all_of_sqlite(&home.data().join("events.db"))
}

const CHAINING_OFF: &str = "[seal]\nchaining = false\n";

#[test]
fn chaining_switched_off_and_on_again_begins_chains_that_name_each_other() {
    let home = Home::on_sqlite();
    let logged = |id: &str| {
        let annals = home.start();
        let acknowledged = log_one(&annals, id);
        annals.await_stored("sqlite");
        annals.kill();
        acknowledged
    };
    let sealed = logged("n-1");
    home.configure(CHAINING_OFF);
    let unsealed = [logged("n-2"), logged("n-3")];
    home.configure("");
    let again = [logged("n-4"), logged("n-5")];

    assert!(unsealed.iter().all(|receipt| receipt.hash.is_none()), "a receipt proves something or has no hash");
    let record = opening_record(&home, &unsealed[0].chain);
    let predecessor = record.predecessor.unwrap();
    assert!(!record.sealed);
    assert_eq!((&predecessor.chain, predecessor.sequence), (&sealed.chain, sealed.sequence));
    assert_eq!(predecessor.leaf, sealed.hash, "the end of what is sealed is pinned");
    let record = opening_record(&home, &again[0].chain);
    let predecessor = record.predecessor.unwrap();
    assert!(record.sealed);
    assert_eq!((&predecessor.chain, predecessor.sequence), (&unsealed[1].chain, unsealed[1].sequence));
    assert_eq!((predecessor.leaf, predecessor.seal), (None, None));

    let documents = documents(&home);
    let acknowledged = [vec![sealed], unsealed.to_vec(), again.to_vec()].concat();
    let verified = verify(&home, &documents, &acknowledged);
    assert_eq!((verified.chains.len(), verified.unsealed.len()), (3, 2), "{verified:?}");
    for document in documents.iter().filter(|document| document.id.starts_with(&unsealed[0].chain)) {
        assert_eq!(seal_of(&document.source), None);
        let source: Value = serde_json::from_slice(&document.source).unwrap();
        assert_eq!((&source["annals"]["previous"], &source["event"]["hash"]), (&Value::Null, &Value::Null), "{source}");
    }
}

#[test]
fn without_seals_each_event_is_in_sqlite_once_all_the_same() {
    let home = Home::new(&format!("{CHAINING_OFF}[journal]\nmax_bytes = \"8mb\"\nsegment_bytes = \"32kb\"\n"));
    kill_under_load(&home, "sqlite", || documents(&home));
}

#[test]
fn without_seals_each_event_is_in_elasticsearch_once_all_the_same() {
    without_seals_on(Kind::Elasticsearch);
}

#[test]
fn without_seals_each_event_is_in_opensearch_once_all_the_same() {
    without_seals_on(Kind::Opensearch);
}

fn without_seals_on(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let home = Home::new(&(CHAINING_OFF.to_owned() + &Home::engine_store("main", &engine.url, &prefix)));
    kill_under_load(&home, "main", || prefix.documents());
}

/// The stores get events again that they have, and must recognise them by their bytes.
fn kill_under_load(home: &Home, store: &str, documents: impl Fn() -> Vec<Document>) {
    let mut annals = home.start();
    annals.await_stored(store);
    let load = Load::start(&annals, Pace::default());
    for _ in 0..3 {
        load.await_more(60);
        annals.kill();
        annals = home.start();
        load.turn_to(&annals);
    }
    load.await_more(1);
    let acknowledged = load.stop();
    annals.await_stored(store);
    annals.kill();
    let again = forget_what_is_confirmed(home, store);
    let annals = home.start();
    annals.await_stored(store);
    assert!(
        !again || annals.metric(&format!("annals_store_events_total{{store=\"{store}\",outcome=\"duplicate\"}}")) > 0.0
    );
    let verified = verify(home, &documents(), &acknowledged);
    assert!(verified.chains.is_empty() && !verified.unsealed.is_empty(), "{verified:?}");
}

/// Makes the store get everything again that is still in the journal, at its old target. Returns whether that is
/// anything.
fn forget_what_is_confirmed(home: &Home, store: &str) -> bool {
    let path = home.data().join(format!("store-{store}.json"));
    let mut progress: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let oldest = fs::read_dir(home.data().join("journal")).unwrap();
    let oldest = oldest.map(|entry| entry.unwrap().file_name().into_string().unwrap()).min().unwrap();
    let begin: u64 = oldest.trim_end_matches(".journal").parse().unwrap();
    let is_less = begin < progress["confirmed"].as_u64().unwrap();
    progress["confirmed"] = json!(begin);
    for binding in progress["bindings"].as_array_mut().unwrap() {
        binding["from"] = json!(begin);
    }
    fs::write(path, progress.to_string()).unwrap();
    is_less
}

/// Returns the status of each event in an answer.
fn statuses(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|item| item["status"].as_str().unwrap()).collect()
}

/// Returns the number of event copies in the program's log that contain `what`.
fn copies(annals: &Annals, what: &str) -> usize {
    annals.log().lines().filter(|line| line.contains("\\\"provider\\\"") && line.contains(what)).count()
}

#[test]
fn events_that_are_not_kept_are_checked_copied_to_the_log_and_never_called_accepted() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let before = log_one(&annals, "n-1");
    annals.await_stored("sqlite");
    annals.kill();
    let kept = documents(&home).len();

    home.configure("[events]\nkeep = false\n[log]\nevents = true\n");
    let annals = home.start();
    let good = json!({"event": {"provider": "load", "action": "run"}, "message": "good"});
    let events = json!([good, {"event": {"provider": "load", "action": "walk"}}]);
    let request = annals.request("POST", "/api/event_log/events?wait_for=stored").body(events.to_string());
    let answer = request.send().unwrap().expect(202).json();
    assert_eq!(statuses(&answer), ["not_kept", "rejected"], "{answer}");
    assert_eq!(answer["stored"], false, "what is not kept cannot be found");
    assert!(answer["items"][0].get("sequence").is_none() && answer["items"][0].get("hash").is_none(), "{answer}");
    assert_eq!(annals.metric("annals_intake_events_total{outcome=\"not_kept\"}"), 1.0);
    assert_eq!((copies(&annals, "good"), copies(&annals, "event log starting")), (1, 1), "{}", annals.log());
    let output = home.run(&annals, &["log", "--provider", "load", "--action", "run"]);
    assert!(
        output.exit == 0 && output.stderr.contains("the server is configured not to keep events"),
        "{}",
        output.stderr
    );
    annals.stop();
    assert_eq!(documents(&home).len(), kept, "not even the log's own start and end");
    verify(&home, &documents(&home), &[before]);

    home.configure("");
    let annals = home.start();
    let after = log_one(&annals, "n-2");
    annals.await_stored("sqlite");
    verify(&home, &documents(&home), &[after]);
}

#[test]
fn a_log_that_is_switched_off_answers_and_does_nothing() {
    let home = Home::new("[events]\nenabled = false\n[log]\nevents = true\n");
    let annals = home.start();
    let answer = annals.log_events(&json!({"event": {"provider": "load", "action": "run"}, "message": "m"}));
    assert_eq!(statuses(&answer.expect(202).json()), ["not_kept"]);
    assert_eq!(annals.log_events(&json!({"event": {"provider": "load"}})).status, 400);
    assert_eq!(annals.metric("annals_journal_appended_events_total"), 0.0);
    assert_eq!((copies(&annals, "message"), copies(&annals, "starting")), (0, 0), "{}", annals.log());
}

#[test]
fn bad_texts_are_repaired_or_refused_as_configured() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let name = format!("annabel{}", "x".repeat(40_000));
    let event = json!({"event": {"provider": "load", "action": "run"}, "user": {"name": name}, "message": "a\0b"});
    let answer = annals.log_events(&event).expect(202).json();
    assert_eq!(statuses(&answer), ["accepted"], "{answer}");
    let acknowledged: Acknowledged = serde_json::from_value(answer["items"][0].clone()).unwrap();
    // Not UTF-8, as programs send bytes of others.
    let broken = [br#"{"event":{"provider":"load","action":"run"},"message":"c"#, &b"\xff\"}"[..]].concat();
    let not_utf8 = || annals.request("POST", "/api/event_log/events").body(broken.clone()).send().unwrap();
    assert_eq!(statuses(&not_utf8().expect(202).json()), ["accepted"]);
    annals.await_stored("sqlite");
    let found = annals.get("/api/event_log/_find?filter=user.name:annabel*%20and%20annals.repaired:message");
    let found = &found["data"][0];
    assert_eq!(found["message"], "a\u{fffd}b");
    assert_eq!(found["user"]["name"], name[..1_024]);
    assert_eq!(found["annals"]["originals"], json!([{"path": "user.name", "texts": [name]}]));
    assert_eq!(annals.get("/api/event_log/_count?filter=annals.repaired:*")["count"], 2);
    annals.stop();
    verify(&home, &documents(&home), &[acknowledged]);

    home.configure("[events]\non_bad_text = \"refuse\"\n");
    let annals = home.start();
    let answer = annals.log_events(&event).expect(400).json();
    assert_eq!(statuses(&answer), ["rejected"], "{answer}");
}
