//! A store that permanently refuses events that it would accept at another time.

use super::*;

const REFUSES_ALL: &str = "the store refuses even the stub of an event: no such pipeline";

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_even_stubs_gets_the_events_themselves_in_the_end() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted { refuses_all: AtomicBool::new(true), ..Scripted::new(Vec::new()) });
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    let receipts = fixture.log(&["one", "poison", "three"]).await;
    await_trouble(&shipper, Some(REFUSES_ALL)).await;
    assert_eq!(shipper.progress().dead_letters, 3, "a stub may have been taken for any of them");
    let (sent, started) = (lock(&store.appends).len(), Instant::now());
    while lock(&store.appends).len() < sent + 60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(shipper.progress().trouble.as_deref(), Some(REFUSES_ALL));
    }
    assert!(started.elapsed() > Duration::from_secs(60), "it waits longer and longer");
    assert!(started.elapsed() < Duration::from_secs(1200), "but for the events together");
    store.refuses_all.store(false, Ordering::Relaxed);
    assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    assert_complete(&store, &receipts.receipts).await;
    for (receipt, is_event) in receipts.receipts.iter().zip([true, false, true]) {
        let stored = store.memory.get(receipt.position).unwrap();
        assert_eq!(String::from_utf8_lossy(&stored).contains("@timestamp\":\"2"), is_event);
    }
    let kept = DeadLetterFile::open(&fixture.folder.path("s.jsonl")).unwrap().list(0, 10).unwrap();
    let poisoned = receipts.receipts[1].position.to_string();
    assert_eq!(kept.iter().map(|letter| &letter.position).collect::<Vec<_>>(), [&poisoned]);
    assert_eq!(shipper.0.metrics.rejected.get(), 1);
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_whole_requests_even_of_stubs_gets_the_events_themselves_in_the_end() {
    let refused = Fault::Fails(SinkError::Refused { reason: "no".to_owned() });
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted::new(vec![refused; 4]));
    let receipts = fixture.log(&["one", "two"]).await;
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    for receipt in &receipts.receipts {
        let stored = integrity::open(&store.memory.get(receipt.position).unwrap()).unwrap();
        assert_eq!(Some(stored.leaf.hash()), receipt.leaf_hash);
    }
    assert_eq!(shipper.progress().dead_letters, 0);
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_stays_if_its_stub_may_be_stored() {
    use Fault::{AnswerLost, RejectsAll};
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted::new(vec![RejectsAll, AnswerLost, RejectsAll, RejectsAll]));
    let receipts = fixture.log(&["one"]).await;
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    assert_eq!(lock(&store.appends).len(), 5);
    assert_eq!(shipper.progress().dead_letters, 1);
    assert_eq!(shipper.replay_dead_letters().await.unwrap().stored, 1);
    let stored = integrity::open(&store.memory.get(receipts.receipts[0].position).unwrap()).unwrap();
    assert_eq!(Some(stored.leaf.hash()), receipts.receipts[0].leaf_hash);
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_refused_again_does_not_hold_up_others() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted::new(Vec::new()));
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    let receipts = fixture.log(&["poison"; 6]).await;
    assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    let said = || "said".to_owned();
    let refusals = [
        SinkError::TargetLost { reason: said() },
        SinkError::Blocked { reason: said() },
        SinkError::TooLarge,
        SinkError::Refused { reason: said() },
    ];
    lock(&store.failing_replaces).extend(refusals);
    let replayed = shipper.replay_dead_letters().await.unwrap();
    assert_eq!((replayed.stored, replayed.refused, replayed.reason), (2, 4, Some(said())));
    assert_eq!(shipper.progress().dead_letters, 4);
    for ending in [away(), SinkError::Denied { reason: said() }] {
        lock(&store.failing_replaces).push_back(ending.clone());
        assert_eq!(shipper.replay_dead_letters().await.err(), Some(ending.to_string()));
        assert_eq!(shipper.progress().dead_letters, 4);
    }
    assert_eq!(shipper.replay_dead_letters().await.unwrap().stored, 4);
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}
