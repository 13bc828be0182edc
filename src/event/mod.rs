//! Plain values that every other module uses: identities, positions, severities, times.

mod decimal;
mod retention;
mod sealed;
mod write_scope;

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use jiff::{
    SignedDuration,
    civil::{self, DateTime},
    fmt::temporal::Pieces,
    tz::Offset,
};

pub use decimal::Decimal;
pub use retention::RetentionClass;
pub use sealed::{ChainEntry, ChainHead, SealedEvent};
pub use write_scope::{Author, ProviderScope, WriteScope};

/// The identity of a chain: 128 random bits, created with the chain. Text form: 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainId([u8; 16]);

impl ChainId {
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chain id is 32 lower-case hex digits")]
pub struct BadChainId;

impl FromStr for ChainId {
    type Err = BadChainId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.as_bytes();
        if digits.len() != 32 || !digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(BadChainId);
        }
        let value = u128::from_str_radix(text, 16).map_err(|_| BadChainId)?;
        Ok(Self(value.to_be_bytes()))
    }
}

/// The position of an event in its chain, from 0; `annals.sequence` in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u64);

impl Sequence {
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The hash of an event's leaf in the RFC 6962 tree of its chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeafHash(pub [u8; 32]);

impl fmt::Debug for LeafHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

/// Formats bytes in lower-case hexadecimal.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A UUID (RFC 9562). Text form: lower-case hex digits in five groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// Length of the text form in bytes.
    pub const TEXT_BYTES: usize = 36;

    /// Version 4: random.
    pub fn v4(random: [u8; 16]) -> Self {
        Self::of_version(4, random)
    }

    /// Version 7: 48 bits of milliseconds, then random bits.
    pub fn v7(time: UnixMillis, mut random: [u8; 16]) -> Self {
        let millis = time.0.unsigned_abs().to_be_bytes();
        random.iter_mut().zip(millis.iter().skip(2)).for_each(|(to, from)| *to = *from);
        Self::of_version(7, random)
    }

    fn of_version(number: u8, mut bytes: [u8; 16]) -> Self {
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = (*version & 0x0f) | (number << 4);
        *variant = (*variant & 0x3f) | 0x80;
        Self(bytes)
    }

    /// The text form, without an allocation.
    pub fn text(&self) -> [u8; Self::TEXT_BYTES] {
        let mut text = [b'-'; Self::TEXT_BYTES];
        let mut places = text.iter_mut();
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                places.next();
            }
            for digit in [byte >> 4, byte & 0x0f] {
                if let Some(place) = places.next() {
                    *place = b'0' + digit + u8::from(digit > 9) * (b'a' - b'0' - 10);
                }
            }
        }
        text
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().iter().try_for_each(|digit| fmt::Write::write_char(f, char::from(*digit)))
    }
}

/// The position of an event: the key under which every store holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainPosition {
    pub chain: ChainId,
    pub sequence: Sequence,
}

impl fmt::Display for ChainPosition {
    /// The `_id` of the document: the chain, a hyphen, and the sequence in 20 digits, so that ids sort as positions do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:020}", self.chain, self.sequence.0)
    }
}

impl FromStr for ChainPosition {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Self, BadPosition> {
        let (chain, sequence) = text.rsplit_once('-').ok_or(BadPosition)?;
        let sequence = Sequence(sequence.parse().map_err(|_| BadPosition)?);
        Ok(Self { chain: chain.parse().map_err(|_| BadPosition)?, sequence })
    }
}

/// A text that is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a chain, a hyphen and a sequence")]
pub struct BadPosition;

/// Events that share a retention class and period: one write alias, one index series and, per writer, one chain.
/// Lower-case letters, digits and hyphens, 1 to 32 of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stream(Arc<str>);

impl Stream {
    pub fn general() -> Self {
        static GENERAL: LazyLock<Stream> = LazyLock::new(|| Stream("general".into()));
        GENERAL.clone()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that cannot name a stream.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream's name is 1 to 32 lower-case letters, digits and hyphens, not {0:?}")]
pub struct BadStream(String);

impl FromStr for Stream {
    type Err = BadStream;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits =
            (1..=32).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits { Ok(Self(text.into())) } else { Err(BadStream(text.to_owned())) }
    }
}

/// A tenant other than the default one: `[a-z0-9_-]+`, never `default`. The default space is the absence of a `Space`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Space(Arc<str>);

impl Space {
    /// The name of the default space.
    pub const DEFAULT: &str = "default";

    /// `None` is the default space.
    pub fn parse(text: &str) -> Result<Option<Self>, BadSpace> {
        if text == Self::DEFAULT {
            return Ok(None);
        }
        let fits = (1..=256).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if fits { Ok(Some(Self(text.into()))) } else { Err(BadSpace(text.to_owned())) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a space, or of the default space if there is none.
    pub fn name(space: Option<&Self>) -> &str {
        space.map_or(Self::DEFAULT, Self::as_str)
    }
}

/// A text that cannot name a space.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a space's name is lower-case letters, digits, hyphens and underscores, not {0:?}")]
pub struct BadSpace(String);

/// Milliseconds since 1970-01-01T00:00:00Z, which every store can sort and compare by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The first and the last that documents can have, in the years 0 and 9999. The time library's instants end a day
    /// earlier, so times are computed with its calendar types.
    pub const FIRST: Self = Self(-62_167_219_200_000);
    pub const LAST: Self = Self(253_402_300_799_999);

    /// Parses a date and time of RFC 3339, with at most nine fractional digits and without leap seconds. Digits beyond
    /// milliseconds are cut off, before 1970 too.
    pub fn parse(date: &str) -> Option<Self> {
        Self::parse_with_nanos(date).map(|(millis, _)| millis)
    }

    /// Like [`UnixMillis::parse`], with the nanoseconds beyond milliseconds.
    pub fn parse_with_nanos(date: &str) -> Option<(Self, u32)> {
        let pieces = Pieces::parse(Some(date).filter(|date| is_rfc3339(date.as_bytes()))?).ok()?;
        let time = pieces.date().to_datetime(pieces.time()?);
        let offset = pieces.to_numeric_offset()?;
        let millis = Self::at(time, offset);
        Some((millis, time.subsec_nanosecond().unsigned_abs() % 1_000_000))
    }

    /// Converts calendar and clock at this offset.
    pub fn at(time: DateTime, offset: Offset) -> Self {
        let since = time.duration_since(EPOCH) - SignedDuration::from_secs(offset.seconds().into());
        Self(since.as_secs() * 1000 + i64::from(since.subsec_nanos().div_euclid(1_000_000)))
    }

    /// Returns calendar and clock in UTC; `None` outside of their years.
    pub fn utc(self) -> Option<DateTime> {
        EPOCH.checked_add(SignedDuration::from_millis(self.0)).ok()
    }
}

/// Whether a text has the form of RFC 3339, with an offset of less than a day. Neither its calendar nor its clock is
/// checked, except for a leap second.
fn is_rfc3339(date: &[u8]) -> bool {
    let Some((time, rest)) = date.split_at_checked(19) else { return false };
    let has_form = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text.iter().zip(form).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                form => byte.eq_ignore_ascii_case(form),
            })
    };
    let fraction = rest.strip_prefix(b".").map(|rest| rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let offset = fraction.map_or(Some(rest), |digits| rest.get(digits + 1..)).unwrap_or_default();
    let is_offset = match offset {
        [b'+' | b'-', offset @ ..] => {
            let (hours, minutes) = (offset.get(..2), offset.get(3..));
            has_form(offset, b"00:00") && hours < Some(b"24") && minutes < Some(b"60")
        }
        offset => offset.eq_ignore_ascii_case(b"Z"),
    };
    has_form(time, b"0000-00-00T00:00:00") && !time.ends_with(b"60") && fraction != Some(0) && is_offset
}

const EPOCH: DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// The severity of an event, ascending; `annals.severity` in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Debug,
    Informational,
    Warning,
    Error,
    Critical,
    Fatal,
}

impl Severity {
    pub const ALL: [Self; 6] =
        [Self::Debug, Self::Informational, Self::Warning, Self::Error, Self::Critical, Self::Fatal];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Informational => "informational",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Fatal => "fatal",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.as_str() == name)
    }

    /// `annals.severity_number`: the SeverityNumber of OpenTelemetry, which orders severities by gravity.
    pub const fn number(self) -> u8 {
        match self {
            Self::Debug => 5,
            Self::Informational => 9,
            Self::Warning => 13,
            Self::Error => 17,
            Self::Critical => 18,
            Self::Fatal => 21,
        }
    }
}
