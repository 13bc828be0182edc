//! Where events go when the store does not name a target, or the disk cannot save it.

use super::*;

/// A paused clock would advance whenever the test waits for the writer's thread.
#[tokio::test]
async fn an_unavailable_target_is_not_requested_for_each_record() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted::new(Vec::new()));
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    let first = fixture.log(&["one"]).await;
    assert!(shipper.wait_stored(first.end, FOREVER).await);
    shutdown.cancel();
    task.join().await;
    store.failing_targets.store(u64::MAX, Ordering::Relaxed);
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    let before = store.target_questions.load(Ordering::Relaxed);
    let started = Instant::now();
    for _ in 0..50 {
        let receipts = fixture.log(&["more"]).await;
        assert!(shipper.wait_stored(receipts.end, FOREVER).await, "it still goes to where it is bound");
    }
    let asked = store.target_questions.load(Ordering::Relaxed) - before;
    let most = started.elapsed().as_secs() / 5 + 1;
    assert!((1..=most).contains(&asked), "{asked} questions where {most} are due");
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_to_a_new_target_before_its_binding_is_on_disk() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted::new(Vec::new()));
    let shutdown = CancellationToken::new();
    let disk = fixture.folder.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let (shipper, task) = fixture.ship("disk/s", &store, &shutdown);
    let first = fixture.log(&["one"]).await;
    assert!(shipper.wait_stored(first.end, FOREVER).await);
    tokio::time::sleep(Duration::from_secs(60)).await;
    std::fs::remove_dir_all(&disk).unwrap();
    store.generation.store(1, Ordering::Relaxed);
    let second = fixture.log(&["two"]).await;
    assert!(!shipper.wait_stored(second.end, Duration::from_secs(600)).await);
    assert_eq!(lock(&store.appends).len(), 1, "nor does it go to the old one: the disk may say either");
    assert!(shipper.progress().trouble.unwrap().contains("No such file"));
    std::fs::create_dir(&disk).unwrap();
    assert!(shipper.wait_stored(second.end, FOREVER).await);
    assert_eq!(lock(&store.appends).last().unwrap().0, Target("index-1".to_owned()));
    assert!(std::fs::read_to_string(disk.join("s.json")).unwrap().contains("index-1"));
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}
