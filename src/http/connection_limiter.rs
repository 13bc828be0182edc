//! Limits the open connections of each client, so that no client can take them all.

use std::net::IpAddr;

use prometheus_client::metrics::counter::Counter;

use crate::{
    limiter::{KeyedLimiter, KeyedPermit},
    units::{Network, client_network},
};

/// The limit on connections of one address (for IPv6, of one /64 network).
#[derive(Clone, Debug)]
pub struct PerAddress {
    pub most: usize,
    /// Networks without the limit: proxies, which have many clients.
    pub exempt: Vec<Network>,
    /// Counts the connections that were closed because of the limit.
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

/// Counts one connection of a client until it is dropped.
pub(super) type ConnectionPermit = KeyedPermit<IpAddr>;

impl ConnectionLimiter {
    pub(super) fn new(bound: PerAddress) -> Self {
        Self { bound, open: KeyedLimiter::default() }
    }

    /// Returns `None` if the client has reached its limit.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<ConnectionPermit> {
        let most = if self.client(peer).is_some() { self.bound.most } else { usize::MAX };
        let permit = self.open.try_acquire(client_network(peer), most);
        if permit.is_none() {
            self.bound.refused.inc();
            tracing::debug!(%peer, "a connection was closed because its client has too many");
        }
        permit
    }

    /// The client that an address stands for; `None` for a proxy, which has many.
    pub(super) fn client(&self, peer: IpAddr) -> Option<IpAddr> {
        let is_exempt = self.bound.exempt.iter().any(|network| network.contains(peer.to_canonical()));
        (!is_exempt).then(|| client_network(peer))
    }
}
