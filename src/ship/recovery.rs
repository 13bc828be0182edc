//! Compares the writer's chains with the stores before the writer resumes them.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::{
    event::ChainHead,
    policy::{self, Succession},
    store::{EventSink, SinkError},
    writer::{OpenError, OwnChain, Recovering},
};

/// How long the start waits for a store's answer about our chains.
const HEAD_TIMEOUT: Duration = Duration::from_secs(4);

/// Supersedes the chains of which some store has, or may have, more than the journal.
pub async fn reconcile_chains(
    recovering: &mut Recovering,
    own: &[OwnChain],
    stores: &[(String, Arc<dyn EventSink>)],
) -> Result<(), OpenError> {
    let heads = join_all(stores.iter().map(|(name, store)| heads(name, store.as_ref(), own))).await;
    for OwnChain { stream, chain, next, is_doubtful, .. } in own {
        let journal_ends_before = next.0;
        match policy::succession(*chain, *next, *is_doubtful, &heads) {
            Succession::Continue => {}
            Succession::FromStore(predecessor) => {
                tracing::error!(
                    %chain,
                    store_has = predecessor.sequence,
                    journal_ends_before,
                    "the journal has lost events that a store has; their chain is closed and a new one continues from there"
                );
                recovering.supersede(stream, Some(predecessor))?;
            }
            Succession::FromJournal => {
                let reason = if *is_doubtful {
                    "the last run did not end in order, or the journal is damaged"
                } else {
                    "a store did not answer whether it has more of the chain than the journal"
                };
                tracing::warn!(%chain, journal_ends_before, "{reason}; a new chain continues from here");
                recovering.supersede(stream, None)?;
            }
        }
    }
    Ok(())
}

/// The store's heads of our chains; `None` if it does not answer in time.
async fn heads(name: &str, store: &dyn EventSink, own: &[OwnChain]) -> Option<Vec<ChainHead>> {
    let ask = async {
        let mut heads = Vec::new();
        if !own.is_empty() {
            store.setup(&policy::streams()).await?;
        }
        for chain in own {
            heads.extend(store.head(chain.chain).await?);
        }
        Ok::<_, SinkError>(heads)
    };
    match timeout(HEAD_TIMEOUT, ask).await {
        Ok(Ok(heads)) => Some(heads),
        Ok(Err(error)) => {
            tracing::warn!(store = name, %error, "the store could not be asked for its newest events");
            None
        }
        Err(_) => {
            tracing::warn!(store = name, "the store did not report its newest events in time");
            None
        }
    }
}
