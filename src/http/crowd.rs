//! How many connections each client has open, so that none takes them all.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::metrics::counter::Counter;

use crate::units::{Network, client_network};

/// The bound on connections of one address (of IPv6, of one /64).
#[derive(Clone, Debug)]
pub struct PerAddress {
    pub most: usize,
    /// Proxies, behind which there are many clients.
    pub exempt: Vec<Network>,
    /// Counts those that are closed because there are as many already.
    pub refused: Counter,
}

impl PerAddress {
    #[cfg(test)]
    pub(super) fn unbounded() -> Self {
        Self { most: usize::MAX, exempt: Vec::new(), refused: Counter::default() }
    }
}

pub(super) struct Crowd {
    bound: PerAddress,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of a client; counted until it is dropped.
pub(super) struct Guest {
    client: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Crowd {
    pub(super) fn new(bound: PerAddress) -> Self {
        Self { bound, open: Arc::default() }
    }

    /// `None` if the client has as many connections as it may.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<Guest> {
        let client = client_network(peer);
        let is_exempt = self.bound.exempt.iter().any(|network| network.has(peer.to_canonical()));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(client).or_default();
        if *count >= self.bound.most && !is_exempt {
            self.bound.refused.inc();
            tracing::debug!(%peer, "a client has as many connections as it may, and one more was closed");
            return None;
        }
        *count += 1;
        Some(Guest { client, open: Arc::clone(&self.open) })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}
