//! Where a request really comes from: the peer of the connection, or whom proxies that are trusted name in its place.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::units::Network;

/// The peer of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// The proxies that are believed, and the one header by which: they let a client's other ones pass.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    pub trusted: Vec<Network>,
    pub header: ForwardHeader,
}

/// How proxies say whom they forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardHeader {
    #[default]
    XForwardedFor,
    Forwarded,
}

impl Proxies {
    /// Each proxy adds its own peer at the end: from there on back, the first address that is no proxy's is the client's.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let hops = self.hops(headers);
        let mut hops = hops.iter().rev();
        while self.is_trusted(client) {
            match hops.next().and_then(|hop| read(hop)) {
                Some(before) => client = before,
                // Nobody before, or one who does not say where: the last that is known.
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

/// The `for` of one element (RFC 7239); empty if it has none.
fn forwarded_for(element: &str) -> String {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let mut named = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    named.next().map(|(_, value)| value.trim().trim_matches('"').to_owned()).unwrap_or_default()
}

/// An address, in brackets or not, with a port or not.
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
    fn only_proxies_that_are_trusted_are_believed_and_only_up_to_the_first_that_is_not() {
        let check = |peer, values: &[&str], expected| {
            let headers: Vec<_> = values.iter().map(|value| ("x-forwarded-for", *value)).collect();
            check(ForwardHeader::XForwardedFor, peer, &headers, expected);
        };
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["198.51.100.1"], "192.0.2.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        // What the client itself wrote stands before.
        check("10.0.0.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["127.0.0.1, 198.51.100.1, 10.0.0.9"], "198.51.100.1");
        check("10.0.0.1", &["127.0.0.1", "198.51.100.1", "10.0.0.9,10.0.0.8"], "198.51.100.1");
        check("2001:db8::1", &["[2001:db9::7]:4711"], "2001:db9::7");
        check("::ffff:10.0.0.1", &["198.51.100.1:80"], "198.51.100.1");
        // Nobody else, or nobody that could be read.
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3");
        check("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &[""], "10.0.0.1");
    }

    #[test]
    fn the_header_that_is_not_configured_is_the_clients_own() {
        let both = [("forwarded", "for=198.51.100.1;proto=https"), ("x-forwarded-for", "198.51.100.2")];
        check(ForwardHeader::XForwardedFor, "10.0.0.1", &both, "198.51.100.2");
        check(ForwardHeader::Forwarded, "10.0.0.1", &both, "198.51.100.1");
        let quoted = [("forwarded", "for=127.0.0.1, proto=http; For=\"[2001:db9::7]:47\", for=10.1.1.1")];
        check(ForwardHeader::Forwarded, "10.0.0.1", &quoted, "2001:db9::7");
        check(ForwardHeader::Forwarded, "10.0.0.1", &[("forwarded", "for=_hidden")], "10.0.0.1");
    }
}
