use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use annals::integrity::{OpeningRecord, Predecessor};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Acknowledged, Annals, Database, Document, Engine, Fault, Home, Kind, Load, Pace, Proxy, await_that,
    engine_variable, random, verify,
};

/// Keeps the embedded store from writing while this exists.
struct StoreLock(rusqlite::Connection);

impl StoreLock {
    fn take(home: &Home) -> Self {
        let database = rusqlite::Connection::open(home.data().join("events.db")).unwrap();
        database.busy_timeout(Duration::from_secs(10)).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(database)
    }

    fn release(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

fn documents(home: &Home) -> Vec<Document> {
    Document::all_of_sqlite(&home.data().join("events.db"))
}

/// Logs one event and returns its acknowledgement.
#[track_caller]
fn log_one(annals: &Annals, id: &str) -> Acknowledged {
    let event = json!({"event": {"provider": "load", "action": "run", "id": id}, "message": "one"});
    let answer = annals.log_events(&event).expect(202).json();
    serde_json::from_value(answer["items"][0].clone()).unwrap()
}

#[test]
fn an_event_that_is_sent_again_is_logged_once_also_after_a_crash() {
    let home = Home::on_sqlite();
    let mut annals = home.start();
    let event = |message: &str| json!({"event": {"provider": "load", "action": "run", "id": "a"}, "message": message});
    let send =
        |annals: &Annals, message: &str| annals.log_events(&event(message)).expect(202).json()["items"][0].clone();
    let first = send(&annals, "one");
    assert_eq!(first["status"], "accepted");
    let duplicate = |differs: bool| {
        let mut answer = first.clone();
        answer["status"] = json!("duplicate");
        if differs {
            answer["differs"] = json!(true);
        }
        answer
    };
    for _ in 0..2 {
        assert_eq!(send(&annals, "one"), duplicate(false));
        assert_eq!(send(&annals, "two"), duplicate(true));
        annals.await_stored("sqlite");
        annals.kill();
        annals = home.start();
    }
    let found = annals.get("/api/event_log/_count?filter=event.provider:load%20and%20event.id:a");
    assert_eq!(found["count"], 1, "{found}");
}

fn newest_segment(home: &Home) -> PathBuf {
    segments(home).pop().unwrap()
}

/// Returns the journal's segments, oldest first.
fn segments(home: &Home) -> Vec<PathBuf> {
    let folder = fs::read_dir(home.data().join("journal")).unwrap();
    let mut segments: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "journal"));
    segments.sort();
    segments
}

fn cut_off(path: &Path, bytes: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
}

/// Kills and restarts the program at random moments under load, `rounds` times; returns everything acknowledged.
fn kill_again_and_again(home: &Home, rounds: usize, store: &str) -> Vec<Acknowledged> {
    let mut annals = home.start();
    let load = Load::start(&annals, Pace { connections: 4, batch: 10, pause: Duration::from_millis(1) });
    for _ in 0..rounds {
        load.await_more(random(150) as usize);
        thread::sleep(Duration::from_micros(random(30_000)));
        annals.kill();
        annals = home.start();
        load.turn_to(&annals);
    }
    load.await_more(1);
    let acknowledged = load.stop();
    annals.await_stored(store);
    annals.kill();
    acknowledged
}

#[test]
fn killed_twenty_times_under_load_it_loses_and_duplicates_nothing() {
    let home = Home::new("[journal]\nmax_bytes = \"8mb\"\nsegment_bytes = \"32kb\"\n");
    let acknowledged = kill_again_and_again(&home, 20, "sqlite");
    let verified = verify(&home, &documents(&home), &acknowledged);
    assert_eq!(verified.chains.len(), 21, "a crash ends a chain: {verified:?}");
}

#[test]
fn killed_under_load_with_elasticsearch_it_loses_and_duplicates_nothing() {
    killed_before(Kind::Elasticsearch);
}

#[test]
fn killed_under_load_with_opensearch_it_loses_and_duplicates_nothing() {
    killed_before(Kind::Opensearch);
}

#[test]
fn killed_under_load_with_postgres_it_loses_and_duplicates_nothing() {
    let Some(url) = engine_variable("ANNALS_TEST_POSTGRES") else { return };
    let database = Database::at(&url);
    let home = Home::new(&database.store());
    let acknowledged = kill_again_and_again(&home, 6, "main");
    verify(&home, &database.documents(), &acknowledged);
}

fn killed_before(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let home = Home::on_engine(&engine.url, &prefix);
    let acknowledged = kill_again_and_again(&home, 6, "main");
    verify(&home, &prefix.documents(), &acknowledged);
}

#[test]
fn stopped_under_load_it_ends_properly_and_the_next_start_delivers_the_rest() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let load = Load::start(&annals, Pace::default());
    load.await_more(100);
    let status = annals.stop();
    assert_eq!(status.code(), Some(0), "{status}");
    let annals = home.start();
    load.turn_to(&annals);
    load.await_more(20);
    let acknowledged = load.stop();
    annals.await_stored("sqlite");
    assert_eq!(annals.stop().code(), Some(0));
    let documents = documents(&home);
    verify(&home, &documents, &acknowledged);
    let own = |action: &str| {
        let is_own = |source: Value| source["event"]["provider"] == "eventLog" && source["event"]["action"] == action;
        documents.iter().filter(|document| is_own(serde_json::from_slice(&document.source).unwrap())).count()
    };
    assert_eq!((own("starting"), own("stopping")), (2, 2));
}

#[test]
fn stopped_while_the_store_is_away_it_leaves_the_rest_in_the_journal() {
    let home = Home::new("[server]\nshutdown_timeout = \"1s\"\n");
    let annals = home.start();
    annals.await_stored("sqlite");
    let lock = StoreLock::take(&home);
    let load = Load::start(&annals, Pace::default());
    load.await_more(100);
    assert_eq!(annals.stop().code(), Some(0));
    let acknowledged = load.stop();
    lock.release();
    let annals = home.start();
    annals.await_stored("sqlite");
    verify(&home, &documents(&home), &acknowledged);
}

#[test]
fn a_data_folder_in_use_is_not_opened_twice() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let second = home.start_expecting_failure();
    assert_eq!(second.exit, 1);
    let expected = format!("the data folder {} is in use by another process", home.data().display());
    assert!(second.stderr.contains(&expected), "{}", second.stderr);
    let acknowledged = log_one(&annals, "n-1");
    annals.await_stored("sqlite");
    verify(&home, &documents(&home), &[acknowledged]);
}

#[test]
fn a_full_journal_refuses_loses_nothing_and_accepts_again() {
    let home = Home::new("[journal]\nmax_bytes = \"256kb\"\nsegment_bytes = \"64kb\"\n");
    let annals = home.start();
    annals.await_stored("sqlite");
    let lock = StoreLock::take(&home);
    let load = Load::start(&annals, Pace::default());
    await_that("the journal is full", || load.take_refused().contains(&429));
    let refused = await_refusal(&annals);
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.retry_after.as_deref().unwrap().parse::<u64>().unwrap() > 0);
    assert!(annals.metric("annals_journal_used_bytes") <= annals.metric("annals_journal_limit_bytes"));
    lock.release();
    load.await_more(100);
    let acknowledged = load.stop();
    annals.await_stored("sqlite");
    verify(&home, &documents(&home), &acknowledged);
}

/// Logs large events until one is refused.
fn await_refusal(annals: &Annals) -> crate::support::Answer {
    loop {
        let event = json!({"event": {"provider": "load", "action": "run"}, "message": "x".repeat(900)});
        let answer = annals.log_events(&Value::from(vec![event; 40]));
        if answer.status != 202 {
            return answer;
        }
    }
}

#[test]
fn a_full_journal_drops_and_counts_if_configured_to() {
    let home = Home::new("[journal]\nmax_bytes = \"256kb\"\nsegment_bytes = \"64kb\"\noverflow = \"drop\"\n");
    let annals = home.start();
    annals.await_stored("sqlite");
    let lock = StoreLock::take(&home);
    let load = Load::start(&annals, Pace::default());
    let dropped = || annals.metric("annals_intake_events_total{outcome=\"dropped\"}");
    await_that("events are dropped", || dropped() > 0.0);
    assert_eq!(load.take_refused(), [0; 0], "whoever logs is not refused");
    lock.release();
    load.await_more(50);
    let acknowledged = load.stop();
    annals.await_stored("sqlite");
    let verified = verify(&home, &documents(&home), &acknowledged);
    assert_eq!(verified.events, acknowledged.len() + 1, "nothing of what was dropped, and the log's own first event");
    assert!(dropped() > 0.0);
    assert!(annals.log().contains("the journal is full: events dropped, as configured"));
}

/// What the opening record of a chain says was before it.
fn predecessor(home: &Home, chain: &str) -> Predecessor {
    let record = fs::read(home.data().join(format!("chains/{chain}.json"))).unwrap();
    let record: OpeningRecord = serde_json::from_slice(&record).unwrap();
    record.predecessor.unwrap()
}

#[test]
fn where_the_journal_lost_its_end_and_the_store_has_it_a_new_chain_goes_on_from_there() {
    let home = Home::on_sqlite();
    let annals = home.start();
    let mut acknowledged = vec![log_one(&annals, "n-1"), log_one(&annals, "n-2")];
    annals.await_stored("sqlite");
    annals.kill();
    cut_off(&newest_segment(&home), 5);

    let annals = home.start();
    acknowledged.push(log_one(&annals, "n-3"));
    annals.await_stored("sqlite");
    annals.kill();
    let annals = home.start();
    acknowledged.push(log_one(&annals, "n-4"));
    annals.await_stored("sqlite");
    let documents = documents(&home);
    let verified = verify(&home, &documents, &acknowledged);
    assert_eq!(verified.chains.len(), 3, "{verified:?}");

    let [lost, next] = [&acknowledged[1], &acknowledged[2]];
    assert_ne!(lost.chain, next.chain);
    let last = predecessor(&home, &acknowledged[3].chain);
    assert_eq!(
        (&last.chain, last.sequence),
        (&next.chain, next.sequence),
        "the new chain is known after another crash"
    );
    let predecessor = predecessor(&home, &next.chain);
    assert_eq!((&predecessor.chain, predecessor.sequence), (&lost.chain, lost.sequence));
    let id = format!("{}-{:020}", lost.chain, lost.sequence);
    let stored = documents.iter().find(|document| document.id == id).unwrap();
    assert_eq!(predecessor.seal, annals::integrity::seal_of(&stored.source));
}

#[test]
fn where_the_journal_lost_its_end_and_the_store_cannot_be_asked_the_chain_does_not_fork() {
    let Some(engine) = Engine::shared(Kind::Opensearch) else { return };
    let prefix = engine.prefix();
    let proxy = Proxy::before(&engine.url);
    let home = Home::on_engine(&proxy.url, &prefix);
    let annals = home.start();
    let mut acknowledged = vec![log_one(&annals, "n-1"), log_one(&annals, "n-2")];
    annals.await_stored("main");
    annals.kill();
    cut_off(&newest_segment(&home), 5);

    proxy.plan(|_| Fault::Refuse(503));
    let annals = home.start();
    acknowledged.push(log_one(&annals, "n-3"));
    proxy.heal();
    annals.await_stored("main");
    let verified = verify(&home, &prefix.documents(), &acknowledged);
    assert_eq!(verified.chains.len(), 2, "{verified:?}");
    assert_ne!(acknowledged[1].chain, acknowledged[2].chain);
}

#[test]
fn where_the_journal_lost_its_end_and_no_store_has_it_no_position_is_used_again() {
    for is_cut in [true, false] {
        let home = Home::on_sqlite();
        let annals = home.start();
        let first = log_one(&annals, "n-1");
        annals.await_stored("sqlite");
        let lock = StoreLock::take(&home);
        let lost = log_one(&annals, "n-2");
        annals.kill();
        lock.release();
        let segment = newest_segment(&home);
        if is_cut {
            cut_off(&segment, 5);
        } else {
            flip_byte(&segment, fs::metadata(&segment).unwrap().len() - 40);
        }

        let annals = home.start();
        assert!(annals.log().contains("the journal ended in bytes that are no whole record; they were cut off"));
        let next = log_one(&annals, "n-3");
        annals.await_stored("sqlite");
        assert_ne!(next.chain, lost.chain);
        let named = predecessor(&home, &next.chain);
        assert!(named.chain == first.chain && named.sequence >= first.sequence, "{named:?}");
        let verified = verify(&home, &documents(&home), &[first, next]);
        assert_eq!(verified.chains.len(), 2);
    }
}

#[test]
fn events_that_the_journal_lost_are_counted_and_those_behind_them_delivered() {
    let home = Home::new("[journal]\nmax_bytes = \"1mb\"\nsegment_bytes = \"8kb\"\n");
    let annals = home.start();
    annals.await_stored("sqlite");
    let before = documents(&home).len();
    let lock = StoreLock::take(&home);
    let load = Load::start(&annals, Pace::default());
    await_that("the journal has several parts", || segments(&home).len() > 4);
    let acknowledged = load.stop();
    assert_eq!(annals.stop().code(), Some(0));
    lock.release();
    // One part has a damaged record, one in the middle is gone, and so is the newest.
    let parts = segments(&home);
    flip_byte(&parts[1], 4_000);
    fs::remove_file(&parts[2]).unwrap();
    fs::remove_file(&parts[parts.len() - 1]).unwrap();

    let annals = home.start();
    let lost = annals.get("/readyz")["writer"]["lost_events"].as_u64().unwrap();
    assert!(lost > 0 && annals.log().contains("acknowledged events are missing from the journal"));
    log_one(&annals, "n-last");
    annals.await_stored("sqlite");
    let missing = annals.store("sqlite")["missing_events"].as_u64().unwrap();
    assert!(missing > lost, "{missing} of which {lost} at the end");
    // Besides those that were acknowledged: one at each start and stop, and the last.
    let found = documents(&home).len() - before;
    assert_eq!(found as u64 + missing, acknowledged.len() as u64 + 3, "each is there or counted");
    assert!(parts[1].with_extension("journal.damaged").exists());
}

fn flip_byte(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at as usize] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn of_two_stores_the_one_that_works_gets_everything_while_the_other_is_dead() {
    let home = Home::new("");
    let path = |name: &str| home.data().join(format!("{name}.db"));
    let store = |name: &str| format!("[stores.{name}]\nkind = \"sqlite\"\npath = \"{}\"\n", path(name).display());
    home.configure(&(store("well") + &store("ill")));
    let annals = home.start();
    annals.await_stored("ill");
    let dead = rusqlite::Connection::open(path("ill")).unwrap();
    dead.execute_batch("BEGIN IMMEDIATE").unwrap();
    let load = Load::start(&annals, Pace::default());
    load.await_more(200);
    await_that("the dead store is in trouble", || annals.store("ill")["trouble"].is_string());
    load.await_more(200);
    let acknowledged = load.stop();
    annals.await_stored("well");
    assert!(annals.store("ill")["behind_events"].as_u64().unwrap() >= 400);
    assert_eq!(annals.store("well")["trouble"], Value::Null);
    verify(&home, &Document::all_of_sqlite(&path("well")), &acknowledged);
    dead.execute_batch("ROLLBACK").unwrap();
    annals.await_stored("ill");
    verify(&home, &Document::all_of_sqlite(&path("ill")), &acknowledged);
}

#[test]
fn frozen_for_a_while_it_continues_where_it_was() {
    let Some(engine) = Engine::shared(Kind::Elasticsearch) else { return };
    let prefix = engine.prefix();
    let home = Home::on_engine(&engine.url, &prefix);
    let annals = home.start();
    let load = Load::start(&annals, Pace::default());
    load.await_more(50);
    annals.signal(Signal::STOP);
    thread::sleep(Duration::from_secs(3));
    annals.signal(Signal::CONT);
    load.await_more(50);
    let acknowledged = load.stop();
    annals.await_stored("main");
    verify(&home, &prefix.documents(), &acknowledged);
}
