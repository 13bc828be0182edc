//! How many connections each client has open, so that none takes them all.

use std::net::IpAddr;

use prometheus_client::metrics::counter::Counter;

use super::tally::{Counted, Tally};
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
    open: Tally<IpAddr>,
}

/// One connection of a client; counted until it is dropped.
pub(super) type Guest = Counted<IpAddr>;

impl Crowd {
    pub(super) fn new(bound: PerAddress) -> Self {
        Self { bound, open: Tally::default() }
    }

    /// `None` if the client has as many connections as it may.
    pub(super) fn admit(&self, peer: IpAddr) -> Option<Guest> {
        let is_exempt = self.bound.exempt.iter().any(|network| network.contains(peer.to_canonical()));
        let most = if is_exempt { usize::MAX } else { self.bound.most };
        let guest = self.open.add(client_network(peer), most);
        if guest.is_none() {
            self.bound.refused.inc();
            tracing::debug!(%peer, "a client has as many connections as it may, and one more was closed");
        }
        guest
    }
}
