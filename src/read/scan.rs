//! A scan of the index that is always closed.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

use super::{ReadError, error::answered};
use crate::{
    query::ScopedQuery,
    store::{EventIndex, Scan},
};

/// How long the store may take to close a scan.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A scan that is closed in the background when it is dropped.
pub(crate) struct OpenScan(Option<Box<dyn Scan>>);

impl OpenScan {
    pub(crate) async fn open(
        index: &dyn EventIndex,
        query: &ScopedQuery,
        deadline: Instant,
    ) -> Result<Self, ReadError> {
        Ok(Self(Some(answered(deadline, index.scan(query)).await?)))
    }

    /// Returns the next events, at most `limit`; none at the end.
    pub(crate) async fn next(&mut self, limit: u64, deadline: Instant) -> Result<Vec<Bytes>, ReadError> {
        match &mut self.0 {
            Some(scan) => answered(deadline, scan.next(limit)).await,
            None => Ok(Vec::new()),
        }
    }
}

impl Drop for OpenScan {
    fn drop(&mut self) {
        // Without a runtime, the store closes the scan itself.
        if let (Some(scan), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(close(scan));
        }
    }
}

async fn close(scan: Box<dyn Scan>) {
    if timeout(CLOSE_TIMEOUT, scan.close()).await.is_err() {
        tracing::warn!("the store did not close a scan in time");
    }
}
