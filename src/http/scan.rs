//! A scan of the store that is let go whichever way its reader ends.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{Shared, ask};
use crate::{error::Failure, query::ScopedQuery, store::Scan};

/// How long the store may take to let go.
const CLOSING: Duration = Duration::from_secs(30);

/// Closed when it is dropped, in the background.
pub(super) struct OpenScan(Option<Box<dyn Scan>>);

impl OpenScan {
    pub(super) async fn open(shared: &Shared, query: &ScopedQuery, deadline: Instant) -> Result<Self, Failure> {
        Ok(Self(Some(ask::answered(deadline, shared.services.query_store.scan(query)).await?)))
    }

    /// The next events, at most so many; none at the end.
    pub(super) async fn next(&mut self, limit: u64, deadline: Instant) -> Result<Vec<Bytes>, Failure> {
        match &mut self.0 {
            Some(scan) => ask::answered(deadline, scan.next(limit)).await,
            None => Ok(Vec::new()),
        }
    }
}

impl Drop for OpenScan {
    fn drop(&mut self) {
        // Where nothing runs any more, the store lets go by itself.
        if let (Some(scan), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(close(scan));
        }
    }
}

async fn close(scan: Box<dyn Scan>) {
    if timeout(CLOSING, scan.close()).await.is_err() {
        tracing::warn!("the store did not let go of a scan in time");
    }
}
