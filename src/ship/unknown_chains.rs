//! Looks in the store for chains of this writer that the data folder does not know: those that were begun after a copy of
//! the folder was made, if the copy was restored.

use std::sync::{Arc, atomic::Ordering};

use tokio::time::sleep;

use super::{FIRST_WAIT, Inner};
use crate::{backoff::Backoff, event::ChainPosition, store::SinkError};

/// Reports these chains, each of them once, and counts their events. Asks until the store answers.
pub(super) async fn report_unknown_chains(inner: Arc<Inner>) {
    let mut backoff = Backoff::starting_at(FIRST_WAIT);
    let mut has_failed = false;
    let ends = loop {
        match unknown_ends(&inner).await {
            Ok(ends) => break ends,
            Err(error) if !has_failed => {
                tracing::warn!(store = inner.name, %error, "the store could not be asked for this writer's chains; asking again");
                has_failed = true;
            }
            Err(_) => {}
        }
        sleep(backoff.next(None)).await;
    };
    if ends.is_empty() {
        return;
    }
    for ChainPosition { chain, sequence } in &ends {
        tracing::error!(
            store = inner.name,
            %chain,
            events = sequence.next().0,
            "the store has a chain of this writer that the data folder does not know: the folder is an old copy"
        );
    }
    inner.beyond_journal.fetch_add(ends.iter().map(|end| end.sequence.next().0).sum(), Ordering::Relaxed);
    let noted = inner.with_progress(move |progress| progress.note_reported(ends.iter().map(|end| end.chain))).await;
    // A panic is reported by the runtime.
    if let Ok(Err(error)) = noted {
        tracing::warn!(store = inner.name, %error, "the unknown chains will be reported again at the next start");
    }
}

/// The last entry of each such chain that was not reported.
async fn unknown_ends(inner: &Inner) -> Result<Vec<ChainPosition>, SinkError> {
    let mut chains = inner.store.chains_of(inner.writer.id()).await?;
    {
        let progress = inner.progress.lock().await;
        // Asked after the store, so the chains that have been begun since are known.
        chains.retain(|chain| !inner.writer.knows(*chain) && !progress.has_reported(*chain));
    }
    let mut ends = Vec::new();
    for chain in chains {
        ends.extend(inner.store.head(chain).await?.map(|head| head.position));
    }
    Ok(ends)
}
