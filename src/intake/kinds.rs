//! What the values of each kind of field look like, in texts and in messages.

use std::net::{IpAddr, Ipv6Addr};

use super::composite;
use crate::schema::{Field, Kind};

/// Numbers of up to this many digits are exact as a `long` in JSON, and as a 64-bit integer.
pub(super) const MAX_SAFE_DIGITS: usize = 15;
pub(super) const MAX_LONG_DIGITS: usize = 18;

/// Whether a whole number is in canonical form, judging by its length alone.
pub(super) fn is_short_integer(digits: &[u8], longest: usize) -> bool {
    digits.len() <= longest && digits != b"-0"
}

pub(super) fn is_ip(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}

/// Returns the address of one with a zone, such as `fe80::1%eth0`.
pub(super) fn address_in_zone(text: &str) -> Option<&str> {
    let (address, zone) = text.split_once('%')?;
    (!zone.is_empty() && address.parse::<Ipv6Addr>().is_ok()).then_some(address)
}

/// Whether a text has digits only, with an optional minus sign.
pub(super) fn is_integer(text: &str) -> bool {
    text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn expected_of(field: &Field) -> String {
    if field.takes_scalars { "a text, a number or a boolean".to_owned() } else { plain(field.kind) }
}

pub(super) fn plain(kind: Kind) -> String {
    match kind {
        Kind::Keyword | Kind::Text => "a text",
        Kind::Date => "a date and time in RFC 3339, such as \"2026-11-24T12:00:00.000Z\"",
        Kind::Long => "a whole number within ±(2^53−1), as a number or as decimal digits in a text",
        Kind::Long64 => "a whole number from −2^63 to 2^63−1, as a number or as decimal digits in a text",
        Kind::Float => "a number within ±3.4028235e38 (32 bits)",
        Kind::Boolean => "true or false",
        Kind::Ip => "an IPv4 or IPv6 address",
        Kind::Version => "a version such as \"1.2.3\"",
        Kind::DateRange => composite::RANGE,
        Kind::GeoPoint => composite::PLACE,
        Kind::Labels => "an object of texts, numbers and booleans",
        Kind::Flattened => "an object",
        Kind::Json => "any JSON",
        Kind::Nested | Kind::Objects => "an array of objects",
    }
    .to_owned()
}

pub(super) fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Keyword | Kind::Text => "texts",
        Kind::Date => "dates",
        Kind::Long | Kind::Long64 | Kind::Float => "numbers",
        Kind::Boolean => "booleans",
        Kind::Ip => "IP addresses",
        Kind::Version => "versions",
        Kind::DateRange => "ranges of dates",
        Kind::GeoPoint => "places",
        Kind::Labels | Kind::Flattened | Kind::Nested | Kind::Objects => "objects",
        Kind::Json => "values",
    }
}

/// Three whole numbers separated by dots, and anything that semantic versions allow after them.
pub(super) fn is_version(text: &[u8]) -> bool {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'))
}
