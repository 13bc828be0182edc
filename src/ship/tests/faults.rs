//! Each system call on the writer's and the shippers' files fails once, and then everything is started again.

use super::*;
use crate::files::faults::OneFault;

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    InOrder,
    Killed,
}

const OPTIONS: writer::Options = writer::Options {
    journal: journal::Options { max_bytes: 1 << 30, segment_bytes: 1500 },
    overflow: Overflow::Reject,
    epoch_ms: 1000,
    chaining: true,
    max_clock_jump: std::time::Duration::from_secs(3_600),
    recent: crate::writer::RecentOptions { window_ms: 600_000, capacity: 1_000 },
};

/// Starts a writer and a shipper, logs some events, has them stored, and ends. Adds what was acknowledged.
async fn run(
    root: &std::path::Path,
    store: &Arc<Scripted>,
    acknowledged: &mut Vec<writer::SealReceipt>,
    end: End,
) -> Result<(), String> {
    let folder = DataFolder::open(root).map_err(|error| error.to_string())?;
    let identity = Identity::open(&folder, None, UnixMillis(0)).map_err(|error| error.to_string())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let recovering = Recovering::open(&folder, identity, Arc::clone(&clock), OPTIONS);
    let mut recovering = recovering.map_err(|error| error.to_string())?;
    let sink: Arc<dyn EventSink> = store.clone();
    let own = recovering.own_chains();
    let reconciled = reconcile_chains(&mut recovering, &own, &[("s".to_owned(), Arc::clone(&sink))]).await;
    reconciled.map_err(|error| error.to_string())?;
    let trimmer = Trimmer::new(recovering.journal(), 1);
    let (writer, thread) = recovering.start(Metrics::new().journal).map_err(|error| error.to_string())?;
    let shutdown = CancellationToken::new();
    let options = Options {
        name: "s".to_owned(),
        progress_file: folder.path("store-s.json"),
        dead_letter_file: folder.path("store-s.dead-letters.jsonl"),
        streams: vec![Stream::general()],
        own_chains: own.iter().map(|own| (own.chain, own.next)).collect(),
        bulk_bytes: 3000,
        concurrency: 2,
        metrics: Metrics::new().store("s"),
    };
    let started = Shipper::start(options, sink, writer.clone(), &trimmer, clock, shutdown.clone());
    let shipped = match started {
        Ok((shipper, task)) => {
            for messages in [["one", "poison"], ["two", "three"], ["four", "five"], ["six", "seven"]] {
                if let Ok(receipts) = writer.submit(contents_elsewhere(&messages), writer::Origin::Caller).await {
                    acknowledged.extend(receipts.receipts);
                }
                shipper.wait_stored(trimmer.journal.end(), FOREVER).await;
            }
            let _ = shipper.replay_dead_letters().await;
            shutdown.cancel();
            task.join().await;
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    };
    writer.close();
    match end {
        End::InOrder => thread.join(),
        End::Killed => drop(thread),
    }
    shipped
}

/// The contents' own files are not what is tested.
fn contents_elsewhere(messages: &[&str]) -> Contents {
    let root = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(root.path()).unwrap();
    contents(&folder, messages)
}

#[test]
fn whichever_system_call_fails_the_next_start_succeeds_and_has_everything_acknowledged() {
    for end in [End::InOrder, End::Killed] {
        for before in 0.. {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            // In memory if possible: the real disk would have to sync thousands of times.
            let root = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
            let store = Arc::new(Scripted::new(Vec::new()));
            let mut acknowledged = Vec::new();
            let failed = runtime.block_on(async {
                // The first run is without a fault, so that there are files to resume.
                if before % 2 == 1 {
                    run(root.path(), &store, &mut acknowledged, end).await.unwrap();
                }
                let fault = OneFault::after(before / 2, root.path());
                let _ = run(root.path(), &store, &mut acknowledged, end).await;
                fault.failed()
            });
            let Some(failed) = failed else {
                assert!(before > 100, "{before}");
                break;
            };
            runtime.block_on(async {
                let again = run(root.path(), &store, &mut acknowledged, End::InOrder).await;
                assert_eq!(again, Ok(()), "{end:?}: {failed}");
                for receipt in &acknowledged {
                    let stored = store.memory.get(receipt.position);
                    let stored = stored.unwrap_or_else(|| panic!("{end:?}: {failed}: {} is lost", receipt.position));
                    let leaf = integrity::open(&stored).map(|opened| opened.leaf.hash());
                    assert!(leaf.is_err() || leaf.ok() == receipt.leaf_hash, "{end:?}: {failed}: {}", receipt.position);
                }
            });
        }
    }
}
