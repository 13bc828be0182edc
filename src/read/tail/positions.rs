//! The positions of a tail, encoded as the id of an event, from which the tail can be resumed.
//!
//! **Format, version 1**, as the content of a [token](crate::read::token): a byte of flags, then times (8 bytes, big-endian,
//! milliseconds since 1970): `since` if bit 0 is set, `read_until` if bit 1 is set. Then, for each named chain, its id (16 bytes)
//! and the next sequence to read as a LEB128 varint. In chains that are not named, everything received until `read_until` was
//! read; without that time, nothing.
//!
//! Positions do not depend on the query: they record what was read, not what was shown.

use std::collections::BTreeMap;

use crate::{
    event::{ChainId, Sequence, UnixMillis},
    read::token::{self, BadToken, take},
};

const VERSION: u8 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Events that happened before this time are not shown.
    pub(super) since: Option<UnixMillis>,
    /// In chains that are not named, everything received until this time was read; if `None`, nothing was.
    pub(super) read_until: Option<UnixMillis>,
    /// The next sequence to read in each named chain.
    pub(super) next: BTreeMap<ChainId, Sequence>,
}

/// Why a text is not the id of an event of a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPositions {
    #[error("expected the id of an event of a tail")]
    NoId,
    #[error("the id is from another version of this program; start again with since")]
    OtherVersion,
    #[error("the id is damaged; expected the whole id of an event of a tail")]
    Damaged,
}

impl From<BadToken> for BadPositions {
    fn from(bad: BadToken) -> Self {
        match bad {
            BadToken::Foreign => Self::NoId,
            BadToken::OtherVersion => Self::OtherVersion,
            BadToken::Damaged => Self::Damaged,
        }
    }
}

impl Positions {
    pub(super) fn of(&self, chain: ChainId) -> Sequence {
        self.next.get(&chain).copied().unwrap_or(Sequence(0))
    }

    pub fn encode(&self) -> String {
        let mut bytes = vec![u8::from(self.since.is_some()) | u8::from(self.read_until.is_some()) << 1];
        for time in self.since.into_iter().chain(self.read_until) {
            bytes.extend(time.0.to_be_bytes());
        }
        for (chain, Sequence(next)) in &self.next {
            bytes.extend(chain.as_bytes());
            write_number(*next, &mut bytes);
        }
        token::encode(VERSION, &bytes)
    }

    pub fn decode(text: &str) -> Result<Self, BadPositions> {
        read(&token::decode(VERSION, text)?).ok_or(BadPositions::Damaged)
    }
}

fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Maximum number of named chains. An id of that many has about 100 KiB; the head of a request may have 128 KiB.
pub(super) const MOST_CHAINS: usize = 4_000;

fn read(mut rest: &[u8]) -> Option<Positions> {
    let [bits] = *take(&mut rest)?;
    if bits > 3 {
        return None;
    }
    let mut time = |is_there: bool| match is_there {
        true => take(&mut rest).map(|bytes| Some(UnixMillis(i64::from_be_bytes(*bytes)))),
        false => Some(None),
    };
    let (since, read_until) = (time(bits & 1 != 0)?, time(bits & 2 != 0)?);
    let mut next = BTreeMap::new();
    while !rest.is_empty() {
        let chain = ChainId::from_bytes(*take(&mut rest)?);
        next.insert(chain, Sequence(read_number(&mut rest)?));
        if next.len() > MOST_CHAINS {
            return None;
        }
    }
    Some(Positions { since, read_until, next })
}

fn read_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let [byte] = *take(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // Stores keep sequences as signed 64-bit integers.
            return i64::try_from(number).is_ok().then_some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    prop_compose! {
        fn positions()(
            since in any::<Option<i64>>(),
            read_until in any::<Option<i64>>(),
            next in prop::collection::btree_map(any::<[u8; 16]>(), 0..=i64::MAX as u64, 0..5),
        ) -> Positions {
            let next = next.into_iter().map(|(chain, next)| (ChainId::from_bytes(chain), Sequence(next))).collect();
            Positions { since: since.map(UnixMillis), read_until: read_until.map(UnixMillis), next }
        }
    }

    proptest! {
        #[test]
        fn positions_round_trip(positions in positions()) {
            prop_assert_eq!(Positions::decode(&positions.encode()), Ok(positions));
        }

        #[test]
        fn no_content_panics(content in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Positions::decode(&token::encode(VERSION, &content));
        }
    }

    #[test]
    fn ids_of_version_1_stay_readable() {
        let next = BTreeMap::from([(ChainId::from_bytes([7; 16]), Sequence(300))]);
        let of_then = Positions { since: Some(UnixMillis(5)), read_until: None, next };
        let of_many = Positions { read_until: Some(UnixMillis(6)), ..of_then.clone() };
        for (positions, text) in [
            (of_then, "AQEAAAAAAAAABQcHBwcHBwcHBwcHBwcHBwesArIyCuYDIT_8"),
            (of_many, "AQMAAAAAAAAABQAAAAAAAAAGBwcHBwcHBwcHBwcHBwcHB6wCA945pvcFjC4"),
        ] {
            assert_eq!(positions.encode(), text);
            assert_eq!(Positions::decode(text), Ok(positions));
        }
    }
}
