use std::{fs, path::Path, process::Command};

use serde_json::json;

use crate::support::{
    Acknowledged, Annals, Document, Engine, Fault, Home, Kind, Load, Pace, Prefix, Proxy, await_that, verify,
};

/// Logs under load until this many more events are acknowledged; returns all that were.
fn log_some(annals: &Annals, events: usize) -> Vec<Acknowledged> {
    let load = Load::start(annals, Pace::default());
    load.await_more(events);
    load.stop()
}

/// Logs events with unique ids; returns their acknowledgements.
#[track_caller]
fn log_named(annals: &Annals, name: &str, events: usize) -> Vec<Acknowledged> {
    let event = |n: usize| json!({"event": {"provider": "load", "action": "run", "id": format!("{name}-{n}")}, "message": name});
    let events: Vec<_> = (0..events).map(event).collect();
    let answer = annals.log_events(&json!(events)).expect(202).json();
    serde_json::from_value(answer["items"].clone()).unwrap()
}

fn duplicates(annals: &Annals) -> f64 {
    annals.metric("annals_store_events_total{store=\"main\",outcome=\"duplicate\"}")
}

#[test]
fn a_lost_record_of_events_in_elasticsearch_duplicates_nothing_despite_rollover() {
    lost_progress(Kind::Elasticsearch);
}

#[test]
fn a_lost_record_of_events_in_opensearch_duplicates_nothing_despite_rollover() {
    lost_progress(Kind::Opensearch);
}

fn lost_progress(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let proxy = Proxy::before(&engine.url);
    let home = Home::on_engine(&proxy.url, &prefix);
    let annals = home.start();
    let mut acknowledged = log_some(&annals, 60);
    annals.await_stored("main");
    prefix.roll_over();
    acknowledged.extend(log_named(&annals, "rolled", 30));
    annals.await_stored("main");
    proxy.plan(|_| Fault::Refuse(503));
    acknowledged.extend(log_named(&annals, "waiting", 30));
    annals.kill();
    prefix.roll_over();
    proxy.heal();
    fs::remove_file(home.data().join("store-main.json")).unwrap();

    let annals = home.start();
    annals.await_stored("main");
    assert!(duplicates(&annals) >= 90.0, "all that the journal still has was sought in the store");
    acknowledged.extend(log_named(&annals, "last", 3));
    annals.await_stored("main");
    assert_eq!(prefix.indices().len(), 3);
    verify(&home, &prefix.documents(), &acknowledged);
}

/// A copy of the data folder, to be restored later.
struct Backup {
    of: std::path::PathBuf,
    copy: tempfile::TempDir,
}

impl Backup {
    fn take(home: &Home) -> Self {
        let backup = Self { of: home.data(), copy: tempfile::tempdir().unwrap() };
        copy_folder(&backup.of, &backup.copy.path().join("data"));
        backup
    }

    fn restore(self) {
        fs::remove_dir_all(&self.of).unwrap();
        copy_folder(&self.copy.path().join("data"), &self.of);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// What was acknowledged before the data folder was copied, between copying and restoring it (and lost by that), and
/// afterwards.
struct AcknowledgedEvents {
    before: Vec<Acknowledged>,
    lost: Vec<Acknowledged>,
    after: Vec<Acknowledged>,
}

/// Copies the data folder while events wait, then continues until everything is in the store, which rolls over. Then
/// restores the copy and runs on it, twice, while the store is away.
fn run_on_an_old_copy(home: &Home, proxy: &Proxy, prefix: &Prefix) -> (Annals, AcknowledgedEvents) {
    let annals = home.start();
    let mut before = log_some(&annals, 40);
    annals.await_stored("main");
    proxy.plan(|_| Fault::Refuse(503));
    before.extend(log_named(&annals, "waiting", 20));
    let backup = Backup::take(home);

    proxy.heal();
    annals.await_stored("main");
    let mut lost = log_named(&annals, "lost", 20);
    annals.await_stored("main");
    prefix.roll_over();
    lost.extend(log_named(&annals, "rolled", 20));
    annals.await_stored("main");
    annals.kill();

    backup.restore();
    proxy.plan(|_| Fault::Refuse(503));
    let annals = home.start();
    let mut after = log_named(&annals, "after", 30);
    annals.kill();
    let annals = home.start();
    after.extend(log_named(&annals, "again", 30));
    proxy.heal();
    annals.await_stored("main");
    after.extend(log_named(&annals, "healed", 10));
    annals.await_stored("main");
    (annals, AcknowledgedEvents { before, lost, after })
}

#[test]
fn run_on_from_an_old_copy_while_the_store_is_away_no_chain_forks_and_nothing_is_lost_or_doubled() {
    let Some(engine) = Engine::shared(Kind::Elasticsearch) else { return };
    let prefix = engine.prefix();
    let proxy = Proxy::before(&engine.url);
    let home = Home::on_engine(&proxy.url, &prefix);
    let (annals, acknowledged) = run_on_an_old_copy(&home, &proxy, &prefix);

    let lost = acknowledged.lost.len() as u64;
    assert!(annals.log().contains("the store has events that the journal has lost"), "{}", annals.log());
    assert_eq!(annals.store("main")["beyond_journal"], json!(lost));
    assert_eq!(annals.metric("annals_store_beyond_journal_events{store=\"main\"}"), lost as f64);
    assert_eq!(annals.metric("annals_store_events_total{store=\"main\",outcome=\"conflict\"}"), 0.0);
    assert!(duplicates(&annals) >= 20.0, "what waited when the copy was made is known, in the index before");
    let all = [acknowledged.before, acknowledged.lost, acknowledged.after].concat();
    let verified = verify(&home, &prefix.documents(), &all);
    assert_eq!(verified.chains.len(), 3, "the copy's, and one for each start without the store: {verified:?}");
}

#[test]
fn what_elasticsearch_has_of_chains_begun_after_the_copy_is_counted() {
    let Some(engine) = Engine::shared(Kind::Elasticsearch) else { return };
    let prefix = engine.prefix();
    let store = Home::engine_store("main", &engine.url, &prefix);
    count_chains_begun_after_the_copy(&store, || prefix.documents().len());
}

#[test]
fn what_sqlite_has_of_chains_begun_after_the_copy_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.db");
    let store = format!("[stores.main]\nkind = \"sqlite\"\npath = \"{}\"\n", path.display());
    count_chains_begun_after_the_copy(&store, || Document::all_of_sqlite(&path).len());
}

/// `documents` returns how many documents the store has.
fn count_chains_begun_after_the_copy(store: &str, documents: impl Fn() -> usize) {
    let home = Home::new(store);
    let annals = home.start();
    log_named(&annals, "before", 10);
    annals.await_stored("main");
    let backup = Backup::take(&home);
    let copied = documents();
    log_named(&annals, "lost", 20);
    annals.await_stored("main");
    annals.kill();
    for name in ["crashed", "stopped"] {
        let annals = home.start();
        log_named(&annals, name, 30);
        annals.await_stored("main");
        if name == "crashed" { annals.kill() } else { assert!(annals.stop().success()) }
    }
    let lost = documents() - copied;
    // Not of this writer.
    let other_home = Home::new(store);
    let other = other_home.start();
    log_named(&other, "other", 10);
    other.await_stored("main");
    assert!(other.stop().success());

    backup.restore();
    let annals = home.start();
    log_named(&annals, "after", 5);
    await_that("what the folder does not know is counted", || annals.store("main")["beyond_journal"] == json!(lost));
    assert_eq!(annals.metric("annals_store_beyond_journal_events{store=\"main\"}"), lost as f64);
    assert_eq!(annals.log().matches("a chain of this writer that the data folder does not know").count(), 2);
}

#[test]
fn of_two_stores_of_an_old_copy_each_gets_everything_from_then_on() {
    let Some(engine) = Engine::shared(Kind::Opensearch) else { return };
    let prefix = engine.prefix();
    let proxy = Proxy::before(&engine.url);
    // The embedded store is in the data folder, so it is restored as well and knows nothing of the lost events.
    let embedded = "[stores.embedded]\nkind = \"sqlite\"\n";
    let home = Home::new(&(Home::engine_store("main", &proxy.url, &prefix) + embedded));
    let (annals, acknowledged) = run_on_an_old_copy(&home, &proxy, &prefix);
    annals.await_stored("embedded");
    let all = [acknowledged.before.clone(), acknowledged.lost, acknowledged.after.clone()].concat();
    verify(&home, &prefix.documents(), &all);
    let documents = Document::all_of_sqlite(&home.data().join("events.db"));
    verify(&home, &documents, &[acknowledged.before, acknowledged.after].concat());
}
