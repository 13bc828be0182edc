//! The client address of a request: the peer of the connection, or the address that a trusted proxy reports.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::units::Network;

/// The peer of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// The trusted proxies, and the one header that they set. They may pass on any other header from the client unchanged.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    pub trusted: Vec<Network>,
    pub header: ForwardHeader,
}

/// The header in which proxies report the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardHeader {
    #[default]
    XForwardedFor,
    Forwarded,
}

impl Proxies {
    /// Returns the client's address. Each proxy appends its own peer to the header, so the client is the last address that
    /// is not a trusted proxy.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let hops = self.hops(headers);
        let mut hops = hops.iter().rev();
        while self.is_trusted(client) {
            match hops.next().and_then(|hop| read(hop)) {
                Some(before) => client = before,
                // No more hops, or an unreadable one: use the last known address.
                None => break,
            }
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    fn hops(&self, headers: &HeaderMap) -> Vec<String> {
        let name = match self.header {
            ForwardHeader::XForwardedFor => "x-forwarded-for",
            ForwardHeader::Forwarded => "forwarded",
        };
        let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
        let parts = values.flat_map(|value| value.split(','));
        match self.header {
            ForwardHeader::XForwardedFor => parts.map(|part| part.trim().to_owned()).collect(),
            ForwardHeader::Forwarded => parts.map(forwarded_for).collect(),
        }
    }
}

/// Returns the `for` parameter of one element (RFC 7239); empty if it has none.
fn forwarded_for(element: &str) -> String {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.next().map(|(_, value)| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
}

/// Parses an address, with or without brackets and a port.
fn read(text: &str) -> Option<IpAddr> {
    let address = text.parse::<SocketAddr>().map(|address| address.ip());
    let address = address.or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: ForwardHeader, peer: &str, headers: &[(&'static str, &str)], expected: &str) {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap()).to_vec();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let found = Proxies { trusted, header }.client(peer.parse().unwrap(), &map);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {headers:?}");
    }

    #[test]
    fn hops_are_believed_up_to_the_first_untrusted_address() {
        let check = |peer, values: &[&str], expected| {
            let headers: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
            check(ForwardHeader::XForwardedFor, peer, &headers, expected);
        };
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        // The client's own entries come first.
        check("10.0.0.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["127.0.0.1, 198.51.100.1, 10.0.0.9"], "198.51.100.1");
        check("10.0.0.1", &["127.0.0.1", "198.51.100.1", "10.0.0.9,10.0.0.8"], "198.51.100.1");
        check("2001:db8::1", &["[2001:db9::7]:4711"], "2001:db9::7");
        check("::ffff:10.0.0.1", &["198.51.100.1:80"], "198.51.100.1");
        // No other address, or none that can be read.
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &[""], "10.0.0.1");
    }

    #[test]
    fn the_header_that_is_not_configured_is_ignored() {
        let both = [("forwarded", "for=198.51.100.1;proto=https"), ("x-forwarded-for", "198.51.100.2")];
        check(ForwardHeader::XForwardedFor, "10.0.0.1", &both, "198.51.100.2");
        check(ForwardHeader::Forwarded, "10.0.0.1", &both, "198.51.100.1");
        let quoted = [("forwarded", "for=127.0.0.1, proto=http; For=\"[2001:db9::7]:47\", for=10.1.1.1")];
        check(ForwardHeader::Forwarded, "10.0.0.1", &quoted, "2001:db9::7");
        check(ForwardHeader::Forwarded, "10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1");
    }
}
