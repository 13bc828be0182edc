use super::*;
use crate::store::testing::{draft, fresh_chain, position};

#[tokio::test(start_paused = true)]
async fn chains_that_the_folder_does_not_know_are_reported_once() {
    let fixture = Fixture::new(1);
    let own = fixture.log(&["begins a chain"]).await.receipts[0].position.chain;
    let store = Arc::new(Scripted::new(Vec::new()));
    store.failing_chains.store(3, Ordering::Relaxed);
    let writer = fixture.writer.id().to_owned();
    let unknown = fresh_chain();
    let event =
        |chain, sequence, writer: &str| draft().with("kibana.server_uuid", writer).sealed(position(chain, sequence));
    let stored = [
        event(unknown, 0, &writer),
        event(unknown, 1, &writer),
        event(fresh_chain(), 4, &writer),
        event(own, 9, &writer),
        event(fresh_chain(), 2, "another"),
    ];
    store.memory.append(&Target(String::new()), &stored).await.unwrap();

    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("main", &store, &shutdown);
    let is_saved = || {
        let progress = std::fs::read_to_string(fixture.folder.path("main.json")).unwrap();
        progress.contains(&unknown.to_string())
    };
    let saved = async {
        while !is_saved() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(100), saved).await.unwrap();
    assert_eq!(shipper.progress().beyond_journal, 2 + 5);
    shutdown.cancel();
    task.join().await;

    store.chain_questions.store(0, Ordering::Relaxed);
    let shutdown = CancellationToken::new();
    let (shipper, task) = fixture.ship("main", &store, &shutdown);
    while store.chain_questions.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(shipper.progress().beyond_journal, 0, "they were reported before");
    shutdown.cancel();
    task.join().await;
    fixture.finish();
}
