//! Types of settings with a unit, and of secret settings.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

/// The expected form of a size.
pub const SIZE: &str = "a size above zero with its unit, such as \"64mb\" (b, kb, mb, gb, tb)";

/// A number of bytes, written with its unit: `512b`, `64kb`, `16mb`, `4gb`, `1tb`, in powers of 1,024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    const UNITS: [(&str, u64); 5] = [("tb", 1 << 40), ("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10), ("b", 1)];

    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the size for use in memory, clamped to the address space.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A text that is not in the form that its unit requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct BadUnit(pub &'static str);

impl FromStr for ByteSize {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = BadUnit(SIZE);
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).ok_or(bad)?);
        let (_, factor) = Self::UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)).ok_or(bad)?;
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or(bad)
    }
}

/// Parses a size that may be `0`.
pub fn parse_size_or_zero(text: &str) -> Result<ByteSize, BadUnit> {
    if text.trim() == "0" { Ok(ByteSize(0)) } else { text.parse() }
}

pub fn deserialize_size_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
    parse_size_or_zero(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

impl fmt::Display for ByteSize {
    /// In the largest unit that leaves no remainder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u64)| self.0 >= *factor && self.0.is_multiple_of(*factor);
        let (unit, factor) = Self::UNITS.iter().find(fits).copied().unwrap_or(("b", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A network, such as `10.0.0.0/8`, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u32,
}

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        let differs = |bits: u32, difference: u128| difference.checked_shr(bits - self.prefix).unwrap_or(0) != 0;
        match (self.first, address) {
            (IpAddr::V4(first), IpAddr::V4(address)) => !differs(32, u128::from(first.to_bits() ^ address.to_bits())),
            (IpAddr::V6(first), IpAddr::V6(address)) => !differs(128, first.to_bits() ^ address.to_bits()),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// Returns the network that identifies a client: the owner of one address of an IPv6 /64 has all of them.
pub fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

impl FromStr for Network {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = BadUnit("an address, or a network such as \"10.0.0.0/8\"");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let first: IpAddr = address.parse().map_err(|_| bad)?;
        let bits = if first.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(bits), str::parse).map_err(|_| bad)?;
        if prefix <= bits { Ok(Self { first, prefix }) } else { Err(bad) }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The expected form of a duration.
pub const DURATION: &str = "a duration of at least 1ms with its unit, such as \"30s\", \"1h 30m\" or \"7d\"";

/// Parses a duration such as `500ms`, `30s` or `1h 30m`, of at least one millisecond: engines treat a time limit of 0
/// ms as none.
pub fn parse_duration(text: &str) -> Result<Duration, BadUnit> {
    parse_duration_or_zero(text).ok().filter(|duration| !duration.is_zero()).ok_or(BadUnit(DURATION))
}

/// Parses a duration that may be `0s`.
pub fn parse_duration_or_zero(text: &str) -> Result<Duration, BadUnit> {
    // A sum of 2^64 seconds, which takes more digits than this, makes the parser panic.
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let duration = if digits <= 15 { humantime::parse_duration(text).ok() } else { None };
    let fits =
        |duration: &Duration| u64::try_from(duration.as_millis()).is_ok_and(|millis| millis > 0 || duration.is_zero());
    duration.filter(fits).ok_or(BadUnit(DURATION))
}

pub fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

pub fn deserialize_duration_or_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration_or_zero(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

/// A password, token or key. It is wiped when dropped and never printed; reading it takes an explicit call.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, inside: &[&str], outside: &[&str]) {
        let network: Network = network.parse().unwrap();
        assert!(inside.iter().all(|address| network.contains(address.parse().unwrap())), "{network:?}");
        assert!(!outside.iter().any(|address| network.contains(address.parse().unwrap())), "{network:?}");
    }

    #[test]
    fn a_network_has_the_addresses_with_its_first_bits() {
        check("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"], &["9.255.255.255", "11.0.0.0", "::a00:1"]);
        check("192.0.2.7", &["192.0.2.7"], &["192.0.2.6"]);
        check("192.0.2.4/30", &["192.0.2.4", "192.0.2.7"], &["192.0.2.3", "192.0.2.8"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
        check("2001:db8::/32", &["2001:db8:ffff::1"], &["2001:db9::", "10.0.0.1"]);
        check("::/0", &["::1", "ffff::"], &["1.2.3.4"]);
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8", "::/129", "10.0.0.0/8/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_duration_is_a_sum_of_numbers_with_units() {
        let millis = |text: &str| parse_duration(text).ok().map(|duration| duration.as_millis());
        for (text, expected) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("1h 30m", 5_400_000),
            ("2weeks", 1_209_600_000),
            ("1.5s", 1_500),
            ("1M", 2_630_016_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
        for wrong in ["", "0", "0s", "30", "s", "-1s", "999us", "1x", "1h -1m", "600000000y"] {
            assert_eq!(parse_duration(wrong), Err(BadUnit(DURATION)), "{wrong}");
        }
        for (text, expected) in [("0s", Some(0)), ("0h 0ms", Some(0)), ("1ms", Some(1)), ("999us", None), ("s", None)] {
            let duration = parse_duration_or_zero(text).ok();
            assert_eq!(duration, expected.map(Duration::from_millis), "{text}");
        }
        // The parser would panic.
        assert_eq!(millis("18446744073709551615s 1000ms"), None);
    }
}
