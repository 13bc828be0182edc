//! How many connections each client has open, so that none takes them all.

use std::net::IpAddr;

use prometheus_client::metrics::counter::Counter;

use crate::{
    limiter::{KeyedLimiter, KeyedPermit},
    units::{Network, client_network},
};

/// The bound on connections of one address (of IPv6, of one /64).
#[derive(Clone, Debug)]
pub struct PerAddress {
    pub most: usize,
    /// Proxies, behind which there are many clients.
    pub exempt: Vec<Network>,
    /// Counts the connections that are closed because their client has too many.
    pub refused: Counter,
}

impl PerAddress {
    #[cfg(test)]
    pub(super) fn unbounded() -> Self {
        Self { most: usize::MAX, exempt: Vec::new(), refused: Counter::default() }
    }
}

pub(super) struct ConnectionLimiter {
    bound: PerAddress,
    open: KeyedLimiter<IpAddr>,
}

/// One connection of a client; counted until it is dropped.
pub(super) type ConnectionPermit = KeyedPermit<IpAddr>;

impl ConnectionLimiter {
    pub(super) fn new(bound: PerAddress) -> Self {
        Self { bound, open: KeyedLimiter::default() }
    }

    /// `None` if the client has as many connections as it may.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<ConnectionPermit> {
        let is_exempt = self.bound.exempt.iter().any(|network| network.contains(peer.to_canonical()));
        let most = if is_exempt { usize::MAX } else { self.bound.most };
        let permit = self.open.try_acquire(client_network(peer), most);
        if permit.is_none() {
            self.bound.refused.inc();
            tracing::debug!(%peer, "a connection was closed, as its client has as many as it may");
        }
        permit
    }
}
