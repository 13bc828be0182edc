use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::support::{
    Annals, Database, Document, Engine, Fault, FaultyEngine, Forwarded, Home, Kind, Load, Pace, Prefix, Proxy, Request,
    await_that, random, verify,
};

/// Checks that while the engine of the store `main` does not answer, events are accepted and `/readyz` says what is
/// wrong.
#[track_caller]
fn check_outage(annals: &Annals, load: &Load) {
    await_that("the store is in trouble", || annals.store("main")["trouble"].is_string());
    let before = annals.store("main")["behind_events"].as_u64().unwrap();
    load.take_refused();
    load.await_more(60);
    assert_eq!(load.take_refused(), [0; 0], "every request was accepted meanwhile");
    let ready = annals.get("/readyz");
    assert_eq!((&ready["status"], &ready["writer"]["accepting"]), (&json!("degraded"), &json!(true)));
    // An event in flight when `before` was read is counted in it but acknowledged later; the load continues meanwhile.
    await_that("the store falls behind by what was accepted", || {
        annals.store("main")["behind_events"].as_u64().unwrap() >= before + 60
    });
    assert!(annals.store("main")["behind_bytes"].as_u64().unwrap() > 0);
    await_that("it is known since when", || annals.store("main")["behind_seconds"].as_f64().unwrap() > 0.0);
}

#[track_caller]
fn await_healthy(annals: &Annals) {
    await_that("the store accepts events again", || annals.store("main")["trouble"] == Value::Null);
}

#[test]
fn elasticsearch_may_stop_freeze_and_crash_under_load() {
    stop_freeze_and_crash(Kind::Elasticsearch);
}

#[test]
fn opensearch_may_stop_freeze_and_crash_under_load() {
    stop_freeze_and_crash(Kind::Opensearch);
}

#[test]
fn postgres_may_stop_freeze_and_crash_under_load() {
    let Some(faulty) = FaultyEngine::start(Kind::Postgres) else { return };
    let database = Database::at(&faulty.engine.url);
    bring_down(&faulty, &Home::new(&database.store()), || database.documents());
}

fn stop_freeze_and_crash(kind: Kind) {
    let Some(faulty) = FaultyEngine::start(kind) else { return };
    let prefix = faulty.engine.prefix();
    bring_down(&faulty, &Home::on_engine(&faulty.engine.url, &prefix), || prefix.documents());
}

fn bring_down(faulty: &FaultyEngine, home: &Home, documents: impl Fn() -> Vec<Document>) {
    let annals = home.start();
    // An outage lasts as long as the machine takes to start an engine, and all that piles up must be stored in the end.
    let load = Load::start(&annals, Pace { pause: Duration::from_millis(40), ..Pace::default() });
    load.await_more(100);
    await_healthy(&annals);

    faulty.pause();
    check_outage(&annals, &load);
    faulty.resume();
    await_healthy(&annals);

    load.await_more(50);
    faulty.crash();
    check_outage(&annals, &load);
    faulty.start_again();
    await_healthy(&annals);

    load.await_more(50);
    faulty.stop();
    check_outage(&annals, &load);
    faulty.start_again();
    await_healthy(&annals);

    load.await_more(50);
    let acknowledged = load.stop();
    annals.await_stored("main");
    assert_eq!(annals.get("/readyz")["status"], "ready");
    verify(home, &documents(), &acknowledged);
}

#[test]
fn an_overloaded_elasticsearch_refuses_events_and_gets_them_again() {
    overload(Kind::Elasticsearch);
}

#[test]
fn an_overloaded_opensearch_refuses_events_and_gets_them_again() {
    overload(Kind::Opensearch);
}

/// The engine has a single write thread and two places in its queue, and other writers keep both busy.
fn overload(kind: Kind) {
    let Some(faulty) = FaultyEngine::start(kind) else { return };
    let prefix = faulty.engine.prefix();
    let home = Home::on_engine(&faulty.engine.url, &prefix);
    let annals = home.start();
    annals.await_stored("main");
    let competing = CompetingWriters::start(&faulty.engine, &prefix);
    let load = Load::start(&annals, Pace::default());
    let refused = || {
        annals.metric("annals_store_events_total{store=\"main\",outcome=\"retried\"}")
            + annals.metric("annals_store_requests_total{store=\"main\",outcome=\"failed\"}")
    };
    await_that("the engine refuses something", || refused() > 0.0);
    load.await_more(100);
    competing.stop();
    let acknowledged = load.stop();
    annals.await_stored("main");
    verify(
        &home,
        &prefix.documents().into_iter().filter(|d| !d.index.ends_with("others")).collect::<Vec<_>>(),
        &acknowledged,
    );
}

/// Writers of unrelated documents.
struct CompetingWriters {
    stop: Arc<AtomicBool>,
    writers: Vec<thread::JoinHandle<()>>,
}

impl CompetingWriters {
    fn start(engine: &Engine, prefix: &Prefix) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let url = format!("{}/{}-others/_bulk", engine.url, prefix.name());
        let writer = |_| {
            let (stop, url) = (Arc::clone(&stop), url.clone());
            let body = "{\"index\":{}}\n{\"message\":\"we were here first\"}\n".repeat(500);
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // The answer does not matter; the engine was busy.
                    let _ = Request::new("POST", url.clone()).body(body.clone()).send();
                }
            })
        };
        let writers = (0..8).map(writer).collect();
        Self { stop, writers }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.writers.into_iter().for_each(|writer| writer.join().unwrap());
    }
}

/// Runs a load behind a proxy that follows a plan for bulk requests, until enough events are logged.
fn through_a_proxy(
    kind: Kind,
    mut plan: impl FnMut(&Forwarded) -> Fault + Send + 'static,
    check: impl FnOnce(&Annals),
) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let proxy = Proxy::before(&engine.url);
    let home = Home::on_engine(&proxy.url, &prefix);
    let annals = home.start();
    annals.await_stored("main");
    proxy.plan(move |request| if request.is_bulk() { plan(request) } else { Fault::None });
    let load = Load::start(&annals, Pace::default());
    load.await_more(400);
    check(&annals);
    proxy.heal();
    let acknowledged = load.stop();
    annals.await_stored("main");
    verify(&home, &prefix.documents(), &acknowledged);
}

#[test]
fn whole_requests_may_be_answered_with_429_or_503_or_404_or_nonsense() {
    let refuse = |request: &Forwarded| match request.number % 7 {
        0 => Fault::Refuse(429),
        1 => Fault::Refuse(503),
        2 => Fault::Refuse(502),
        3 => Fault::Refuse(404),
        4 => Fault::Refuse(405),
        5 => Fault::UnrelatedAnswer,
        _ => Fault::None,
    };
    through_a_proxy(Kind::Elasticsearch, refuse, |annals| {
        await_that("requests fail", || {
            annals.metric("annals_store_requests_total{store=\"main\",outcome=\"failed\"}") >= 6.0
        });
        assert_eq!(annals.store("main")["dead_letters"], 0);
    });
}

#[test]
fn single_items_may_be_refused_with_429() {
    refuse_items(429);
}

#[test]
fn single_items_may_be_refused_with_503() {
    refuse_items(503);
}

/// Some of the items reported as refused were in fact stored.
fn refuse_items(status: u16) {
    let refuse = move |request: &Forwarded| {
        if request.number.is_multiple_of(2) { Fault::RefuseItems(status) } else { Fault::None }
    };
    through_a_proxy(Kind::Elasticsearch, refuse, |annals| {
        await_that("items are offered again and found there", || {
            annals.metric("annals_store_events_total{store=\"main\",outcome=\"duplicate\"}") > 0.0
        });
        assert!(annals.metric("annals_store_events_total{store=\"main\",outcome=\"retried\"}") > 0.0);
    });
}

#[test]
fn a_503_from_the_first_request_on_delays_the_set_up_only() {
    let Some(engine) = Engine::shared(Kind::Opensearch) else { return };
    let prefix = engine.prefix();
    let proxy = Proxy::before(&engine.url);
    proxy.plan(|_| Fault::Refuse(503));
    let home = Home::on_engine(&proxy.url, &prefix);
    let annals = home.start();
    let load = Load::start(&annals, Pace::default());
    check_outage(&annals, &load);
    proxy.heal();
    let acknowledged = load.stop();
    annals.await_stored("main");
    verify(&home, &prefix.documents(), &acknowledged);
}

#[test]
fn answers_of_elasticsearch_get_lost_across_rollovers_and_crashes() {
    lose_answers(Kind::Elasticsearch);
}

#[test]
fn answers_of_opensearch_get_lost_across_rollovers_and_crashes() {
    lose_answers(Kind::Opensearch);
}

/// Most answers are lost after the engine has the request, some requests arrive after their sender gave up, the alias
/// rolls over meanwhile, and the program is killed in between.
fn lose_answers(kind: Kind) {
    let Some(engine) = Engine::shared(kind) else { return };
    let prefix = engine.prefix();
    let proxy = Proxy::before(&engine.url);
    let home = Home::on_engine(&proxy.url, &prefix);
    let mut annals = home.start();
    annals.await_stored("main");
    proxy.plan(|request| match random(10) {
        _ if !request.is_bulk() => Fault::None,
        0..4 => Fault::LoseAnswer,
        4..6 => Fault::TearAnswer,
        6 => Fault::Delay(Duration::from_millis(2500)),
        _ => Fault::None,
    });
    let load = Load::start(&annals, Pace::default());
    let mut duplicates = 0.0;
    for round in 0..6 {
        load.await_more(60);
        await_that("an answer was lost", || {
            annals.metric("annals_store_requests_total{store=\"main\",outcome=\"failed\"}") > 0.0
        });
        prefix.roll_over();
        load.await_more(60);
        if round % 2 == 1 {
            duplicates += annals.metric("annals_store_events_total{store=\"main\",outcome=\"duplicate\"}");
            annals.kill();
            annals = home.start();
            load.turn_to(&annals);
        }
    }
    proxy.heal();
    let acknowledged = load.stop();
    annals.await_stored("main");
    duplicates += annals.metric("annals_store_events_total{store=\"main\",outcome=\"duplicate\"}");
    assert!(duplicates > 0.0, "something was sent twice");
    assert!(prefix.indices().len() > 6, "{:?}", prefix.indices());
    verify(&home, &prefix.documents(), &acknowledged);
}

#[test]
fn an_embedded_store_gets_everything_while_the_engine_beside_it_is_dead() {
    let Some(engine) = Engine::shared(Kind::Elasticsearch) else { return };
    let prefix = engine.prefix();
    let proxy = Proxy::before(&engine.url);
    proxy.plan(|_| Fault::LoseAnswer);
    let home = Home::new("");
    home.configure(&format!("[stores.near]\nkind = \"sqlite\"\n{}", Home::engine_store("main", &proxy.url, &prefix)));
    let annals = home.start();
    let load = Load::start(&annals, Pace::default());
    check_outage(&annals, &load);
    load.await_more(100);
    let acknowledged = load.stop();
    annals.await_stored("near");
    verify(&home, &Document::all_of_sqlite(&home.data().join("events.db")), &acknowledged);
    proxy.heal();
    annals.await_stored("main");
    verify(&home, &prefix.documents(), &acknowledged);
}
