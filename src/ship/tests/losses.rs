//! A store that no longer has what it confirmed.

use futures_util::future::join_all;

use super::*;
use crate::files;

const MESSAGES: [&str; 4] = ["one", "two", "three", "four"];

/// Logs 40 events, and waits until the store has them and the journal is trimmed behind it.
async fn log_and_trim(fixture: &Fixture, shipper: &Shipper) {
    for _ in 0..10 {
        let receipts = fixture.log(&MESSAGES).await;
        assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    }
    while fixture.trimmer.journal.begin() == Position(0) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until the store has everything that is in the journal.
async fn await_sent_again(fixture: &Fixture, shipper: &Shipper, missing: impl Fn(u64) -> bool) {
    let sent_again = async {
        while !missing(shipper.progress().missing_events) || shipper.progress().behind_bytes > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(FOREVER, sent_again).await.unwrap_or_else(|_| panic!("{:?}", shipper.progress()));
    assert!(shipper.wait_stored(fixture.trimmer.journal.end(), FOREVER).await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_replaced_gets_what_the_journal_has_and_the_rest_is_counted() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted::new(Vec::new()));
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    log_and_trim(&fixture, &shipper).await;
    assert_eq!((store.memory.len(), shipper.progress().missing_events), (40, 0));

    store.memory.become_another();
    fixture.log(&["five"]).await;
    await_sent_again(&fixture, &shipper, |missing| missing > 0).await;
    let missing = shipper.progress().missing_events;
    assert_eq!(missing + store.memory.len() as u64, 41, "each is there or counted");
    assert!(store.memory.len() > 1, "the journal had some");
    shutdown.cancel();
    task.join().await;

    let another = Arc::new(Scripted::new(Vec::new()));
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &another, &shutdown);
    await_sent_again(&fixture, &shipper, |now| now > missing).await;
    let newly_missing = shipper.progress().missing_events - missing;
    assert_eq!(newly_missing + another.memory.len() as u64, 41, "also after a restart with another configuration");
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_set_back_gets_what_it_lost() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted::new(Vec::new()));
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    log_and_trim(&fixture, &shipper).await;
    store.memory.set_back(Sequence(39));
    while store.memory.len() < 40 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    await_sent_again(&fixture, &shipper, |missing| missing > 0).await;
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn the_journal_keeps_what_was_confirmed_since_the_last_check() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted::new(Vec::new()));
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    let first = fixture.log(&["first"]).await;
    assert!(shipper.wait_stored(first.end, FOREVER).await);
    store.is_unidentified.store(true, Ordering::Relaxed);
    for _ in 0..10 {
        let receipts = fixture.log(&MESSAGES).await;
        assert!(shipper.wait_stored(receipts.end, FOREVER).await);
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    store.memory.become_another();
    store.is_unidentified.store(false, Ordering::Relaxed);
    while store.memory.len() < 41 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(shipper.progress().missing_events, 0);
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

#[tokio::test(start_paused = true)]
async fn what_the_journal_lost_is_skipped_and_counted_for_a_store_that_never_had_it() {
    let fixture = Fixture::new(1);
    let store = Arc::new(Scripted { is_away: AtomicBool::new(true), ..Scripted::new(Vec::new()) });
    let shutdown = CancellationToken::new();
    let (_, task) = fixture.ship("s", &store, &shutdown);
    for _ in 0..16 {
        fixture.log(&MESSAGES).await;
    }
    shutdown.cancel();
    task.join().await;
    let folder = fixture.folder.path("journal");
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = names.filter(|path| path.extension().is_some_and(|kind| kind == "journal")).collect();
    segments.sort();
    assert!(segments.len() > 6, "{segments:?}");
    // The oldest and one in the middle are gone, and one has a damaged record.
    std::fs::remove_file(&segments[0]).unwrap();
    std::fs::remove_file(&segments[4]).unwrap();
    let mut bytes = std::fs::read(&segments[2]).unwrap();
    let records_at = 24 + u32::from_be_bytes(bytes[16..20].try_into().unwrap()) as usize;
    bytes[records_at + 500] ^= 1;
    std::fs::write(&segments[2], bytes).unwrap();

    let fixture = fixture.restarted();
    store.is_away.store(false, Ordering::Relaxed);
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    let last = fixture.log(&MESSAGES).await;
    assert!(shipper.wait_stored(last.end, FOREVER).await, "{:?}", shipper.progress());
    let missing = shipper.progress().missing_events;
    assert_eq!(missing + store.memory.len() as u64, 68, "each is there or counted");
    assert!((12..=40).contains(&missing), "{missing}");
    assert!(files::with_suffix(&segments[2], ".damaged").exists(), "an investigator finds it");
    shutdown.cancel();
    task.join().await;
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("s", &store, &shutdown);
    assert_eq!(shipper.progress().missing_events, missing, "until the operator clears it");
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}

/// The other store confirms, and the journal could be trimmed, before the one that was replaced can be checked.
#[tokio::test(start_paused = true)]
async fn a_store_that_was_replaced_between_two_runs_gets_everything_that_the_journal_has() {
    let fixture = Fixture::new(2);
    let (store, other) = (Arc::new(Scripted::new(Vec::new())), Arc::new(Scripted::new(Vec::new())));
    let shutdown = CancellationToken::new();
    let ([shipper, of_other], tasks) = ship_both(&fixture, [&store, &other], &shutdown);
    // As much as one segment may have: the next event begins another, and this one could be removed.
    fixture.log(&MESSAGES).await;
    let receipts = fixture.log(&MESSAGES).await;
    assert!(shipper.wait_stored(receipts.end, FOREVER).await && of_other.wait_stored(receipts.end, FOREVER).await);
    shutdown.cancel();
    join_all(tasks.map(ShipperTask::join)).await;
    let fixture = fixture.restarted();

    let another = Arc::new(Scripted { is_unidentified: AtomicBool::new(true), ..Scripted::new(Vec::new()) });
    let shutdown = CancellationToken::new();
    let ([shipper, of_other], tasks) = ship_both(&fixture, [&another, &other], &shutdown);
    for _ in 0..10 {
        let receipts = fixture.log(&MESSAGES).await;
        assert!(of_other.wait_stored(receipts.end, FOREVER).await);
    }
    // Several checks of the other store.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(fixture.trimmer.journal.begin(), Position(0));
    another.is_unidentified.store(false, Ordering::Relaxed);
    while fixture.trimmer.journal.begin() == Position(0) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((another.memory.len(), shipper.progress().missing_events), (48, 0));
    shutdown.cancel();
    join_all(tasks.map(ShipperTask::join)).await;
    fixture.finish();
}

fn ship_both(
    fixture: &Fixture,
    [one, other]: [&Arc<Scripted>; 2],
    shutdown: &CancellationToken,
) -> ([Shipper; 2], [ShipperTask; 2]) {
    let (one, task) = fixture.ship("s", one, shutdown);
    let (other, of_other) = fixture.ship("t", other, shutdown);
    ([one, other], [task, of_other])
}
