//! Checks that the store is still the one that confirmed, and still holds what it confirmed.
//!
//! A file may be deleted or replaced, a table emptied, an index deleted, a backup restored, or the configuration may
//! name another place. Therefore what a store confirms counts only once a later check has found it there: the progress
//! file and the trimming of the journal follow the checks, and what is lost before can be sent again.
//!
//! A check looks for the last event of each request since the last check, as a store that is set back loses the newest
//! requests, and for the last event that was found before. The very newest event alone would not do: it may have been
//! stored after the loss.

use super::{Inner, progress::Loss};
use crate::{
    event::ChainPosition,
    store::{SinkError, Target},
};

/// The last event of each request that the store confirmed.
pub(super) type Witnesses = Vec<(Target, ChainPosition)>;

/// Compares the store with the progress file and with what it has confirmed since. A store that has confirmed nothing
/// yet becomes the one that does.
pub(super) async fn find_loss(inner: &Inner, confirmed: &[(Target, ChainPosition)]) -> Result<Option<Loss>, SinkError> {
    let identity = inner.store.identity().await?;
    let (known, mut witnesses) = {
        let progress = inner.progress.lock().await;
        (progress.store().cloned(), progress.held())
    };
    match known {
        Some(known) if known != identity => return Ok(Some(Loss::Replaced { found: identity })),
        Some(_) => {}
        None => inner.progress.lock().await.set_store(identity),
    }
    witnesses.extend_from_slice(confirmed);
    let held = inner.store.holds(&witnesses).await?;
    let missing = witnesses.into_iter().zip(held).filter(|(_, is_held)| !is_held);
    let mut targets: Vec<_> = missing.map(|((target, _), _)| target).collect();
    targets.dedup();
    Ok((!targets.is_empty()).then_some(Loss::Missing { targets }))
}

impl Loss {
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Replaced { .. } => "another store is in its place".to_owned(),
            Self::Missing { targets } => {
                let names = targets.iter().map(|target| target.0.as_str()).filter(|name| !name.is_empty());
                match names.collect::<Vec<_>>().as_slice() {
                    [] => "its newest events are gone".to_owned(),
                    names => format!("events of {} are gone", names.join(", ")),
                }
            }
        }
    }
}
