//! What a shipper reports about its store.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_store_is_in_trouble_until_it_is_set_up_for_the_first_time() {
    let fixture = Fixture::new(1);
    for failing in [0, 3] {
        let store = Arc::new(Scripted::new(Vec::new()));
        store.failing_setups.store(failing, Ordering::Relaxed);
        let shutdown = CancellationToken::new();
        let (shipper, task) = fixture.ship("s", &store, &shutdown);
        assert_eq!(shipper.progress().trouble.as_deref(), Some("the store is not set up yet"), "before anything else");
        if failing > 0 {
            await_trouble(&shipper, Some("away")).await;
        }
        await_trouble(&shipper, None).await;
        shutdown.cancel();
        task.join().await;
    }
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn a_store_is_in_trouble_while_one_request_fails_though_others_succeed() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted { refuses_first: AtomicBool::new(true), ..Scripted::new(Vec::new()) });
    for _ in 0..20 {
        fixture.log(&["one", "two", "three", "four", "five", "six"]).await;
    }
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    while store.memory.len() < 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..10_000 {
        assert_eq!(shipper.progress().trouble.as_deref(), Some("away"));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    store.refuses_first.store(false, Ordering::Relaxed);
    assert!(shipper.wait_stored(fixture.trimmer.journal.end(), FOREVER).await);
    assert_eq!(shipper.progress().trouble, None);
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}
