//! Cursors: the place after which the next page begins, as an opaque text.
//!
//! **Format, versions 1 and 2**, as the content of a [token](super::token); numbers are big-endian.
//!
//! | bytes | |
//! | --- | --- |
//! | 8 | time of the request for the first page, in milliseconds since 1970; relative times count from it on every page |
//! | 16 | the query that the cursor belongs to: the first bytes of the SHA-256 of its parts, see [`QuestionDigest`] |
//! | 16, 8 | in version 1: chain and sequence of the last event |
//! | 1 | number of sort keys, then each key: `0` for none; `1` and an integer (8); `2` and the bits of a float (8); `3`, a length (2) and a text |
//!
//! In version 2, the keys are those of the store, which has documents without a position in a chain, and may name those that tie.
//!
//! A forged cursor reveals nothing that the caller may not see, because the scope is checked for each page.

use sha2::{Digest, Sha256};

use super::{
    Selection,
    token::{self, BadToken, first_bytes, take},
};
use crate::{
    event::{ChainId, ChainPosition, Sequence, Space, UnixMillis},
    query::{Key, MAX_SORT_UNITS, Order, PageEnd, Place, Scope, Sort, Visible},
};

/// The versions for an event and for a document of a store.
const EVENT_VERSION: u8 = 1;
const DOCUMENT_VERSION: u8 = 2;

/// Maximum length of a cursor, with texts of [`MAX_SORT_UNITS`] in UTF-8, in base64.
const LONGEST: usize = 4 * MAX_SORT_UNITS + 1_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Cursor {
    /// Time of the request for the first page.
    pub asked: UnixMillis,
    pub(super) question: QuestionDigest,
    pub(super) end: PageEnd,
}

/// Identifies the query that a cursor belongs to by scope, selection and order, but not by page size or fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QuestionDigest([u8; 16]);

/// Why a cursor cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCursor {
    #[error("expected a cursor from the `next` of an answer, or an empty text for the first page")]
    NoCursor,
    #[error("the cursor is from another version of this program; start again from the first page")]
    OtherVersion,
    #[error("the cursor is damaged; expected the whole `next` of an answer")]
    Damaged,
    #[error("the cursor belongs to another query; type, ids, space, start, end, filter and sort must stay the same")]
    OtherQuestion,
}

impl From<BadToken> for BadCursor {
    fn from(bad: BadToken) -> Self {
        match bad {
            BadToken::Foreign => Self::NoCursor,
            BadToken::OtherVersion => Self::OtherVersion,
            BadToken::Damaged => Self::Damaged,
        }
    }
}

impl Cursor {
    pub(super) fn encode(&self) -> String {
        let mut bytes = self.asked.0.to_be_bytes().to_vec();
        bytes.extend(self.question.0);
        let (version, keys) = match &self.end {
            PageEnd::Event(Place { keys, position }) => {
                bytes.extend(position.chain.as_bytes());
                bytes.extend(position.sequence.0.to_be_bytes());
                (EVENT_VERSION, keys)
            }
            PageEnd::Document(keys) => (DOCUMENT_VERSION, keys),
        };
        bytes.push(u8::try_from(keys.len()).unwrap_or(u8::MAX));
        for key in keys {
            write_key(&mut bytes, key.as_ref());
        }
        token::encode(version, &bytes)
    }

    pub fn decode(text: &str) -> Result<Self, BadCursor> {
        if text.len() > LONGEST {
            return Err(BadCursor::NoCursor);
        }
        let cursor = match token::decode(DOCUMENT_VERSION, text) {
            Err(BadToken::OtherVersion) => read(&token::decode(EVENT_VERSION, text)?, EVENT_VERSION),
            content => read(&content?, DOCUMENT_VERSION),
        };
        cursor.ok_or(BadCursor::Damaged)
    }

    /// Returns the end of the page if the cursor belongs to this query and has keys for this order. Only the store can
    /// check its own keys.
    pub(super) fn end_in(self, question: QuestionDigest, sort: &[Sort]) -> Result<PageEnd, BadCursor> {
        if self.question != question {
            return Err(BadCursor::OtherQuestion);
        }
        let is_of_order = match &self.end {
            PageEnd::Document(_) => true,
            PageEnd::Event(Place { keys, .. }) => {
                let may_have = |(key, sort): (&Option<Key>, &Sort)| key.as_ref().is_none_or(|key| sort.may_have(key));
                keys.len() == sort.len() && keys.iter().zip(sort).all(may_have)
            }
        };
        if is_of_order { Ok(self.end) } else { Err(BadCursor::Damaged) }
    }
}

fn write_key(bytes: &mut Vec<u8>, key: Option<&Key>) {
    match key {
        None => bytes.push(0),
        Some(Key::Integer(integer)) => {
            bytes.push(1);
            bytes.extend(integer.to_be_bytes());
        }
        Some(Key::Number(number)) => {
            bytes.push(2);
            bytes.extend(number.to_bits().to_be_bytes());
        }
        Some(Key::Text(text)) => {
            bytes.push(3);
            bytes.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
    }
}

fn read(content: &[u8], version: u8) -> Option<Cursor> {
    let mut rest = content;
    let asked = i64::from_be_bytes(*take(&mut rest)?);
    // Relative times are calculated from it.
    let asked = Some(UnixMillis(asked)).filter(|asked| asked.utc().is_some())?;
    let question = QuestionDigest(*take(&mut rest)?);
    let position = if version == EVENT_VERSION { Some(read_position(&mut rest)?) } else { None };
    let [count] = *take(&mut rest)?;
    let keys = (0..count).map(|_| read_key(&mut rest)).collect::<Option<Vec<_>>>()?;
    let end = match position {
        Some(position) => PageEnd::Event(Place { keys, position }),
        None => PageEnd::Document(keys),
    };
    rest.is_empty().then_some(Cursor { asked, question, end })
}

fn read_position(rest: &mut &[u8]) -> Option<ChainPosition> {
    let chain = ChainId::from_bytes(*take(rest)?);
    // Stores keep sequences as signed 64-bit integers.
    let sequence = Sequence(i64::from_be_bytes(*take(rest)?).try_into().ok()?);
    Some(ChainPosition { chain, sequence })
}

/// Returns `Some(None)` for the key of an event without the field.
fn read_key(rest: &mut &[u8]) -> Option<Option<Key>> {
    let [tag] = *take(rest)?;
    match tag {
        0 => Some(None),
        1 => Some(Some(Key::Integer(i64::from_be_bytes(*take(rest)?)))),
        2 => {
            let number = f64::from_bits(u64::from_be_bytes(*take(rest)?));
            number.is_finite().then_some(Some(Key::Number(number)))
        }
        3 => {
            let length = usize::from(u16::from_be_bytes(*take(rest)?));
            let (text, after) = rest.split_at_checked(length)?;
            *rest = after;
            Some(Some(Key::Text(std::str::from_utf8(text).ok()?.to_owned())))
        }
        _ => None,
    }
}

impl QuestionDigest {
    pub(super) fn of(scope: &Scope, selection: &Selection, order: &[Sort]) -> Self {
        let mut writer = Writer(Sha256::new());
        writer.scope(scope);
        writer.moment(selection.start);
        writer.moment(selection.end);
        writer.text(&selection.filter_text);
        writer.count(order.len());
        for sort in order {
            writer.text(&sort.subject().path());
            writer.count(usize::from(sort.order == Order::Descending));
        }
        Self(first_bytes(writer.0.finalize().as_slice()))
    }
}

/// Hashes values in an unambiguous encoding.
struct Writer(Sha256);

impl Writer {
    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.update(text.as_bytes());
    }

    fn moment(&mut self, moment: Option<UnixMillis>) {
        self.count(usize::from(moment.is_some()));
        self.0.update(moment.map_or(0, |moment| moment.0).to_be_bytes());
    }

    fn scope(&mut self, scope: &Scope) {
        match scope {
            Scope::Objects(objects) => {
                self.text("objects");
                self.text(Space::name(objects.space.as_ref()));
                self.text(&objects.object_type);
                self.count(objects.ids.len());
                objects.ids.iter().for_each(|id| self.text(id));
            }
            Scope::Visible(Visible::Everything) => self.text("everything"),
            Scope::Visible(Visible::Spaces(spaces)) => {
                self.text("spaces");
                self.count(spaces.len());
                spaces.iter().for_each(|space| self.text(Space::name(space.as_ref())));
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        query::SortKeys,
        schema::{Kind, field},
    };

    fn key() -> impl Strategy<Value = Option<Key>> {
        prop_oneof![
            Just(None),
            any::<i64>().prop_map(|integer| Some(Key::Integer(integer))),
            prop::num::f64::NORMAL.prop_map(|number| Some(Key::Number(number))),
            "\\PC{0,40}".prop_map(|text| Some(Key::Text(text))),
        ]
    }

    prop_compose! {
        fn cursor()(
            asked in -(1_i64 << 47)..1 << 47,
            question in any::<[u8; 16]>(),
            chain in any::<[u8; 16]>(),
            sequence in 0..=i64::MAX as u64,
            keys in prop::collection::vec(key(), 0..10),
            is_event in any::<bool>(),
        ) -> Cursor {
            let position = ChainPosition { chain: ChainId::from_bytes(chain), sequence: Sequence(sequence) };
            let end = if is_event { PageEnd::Event(Place { keys, position }) } else { PageEnd::Document(keys) };
            Cursor { asked: UnixMillis(asked), question: QuestionDigest(question), end }
        }
    }

    proptest! {
        #[test]
        fn cursors_round_trip(cursor in cursor()) {
            prop_assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        }

        /// A caller can forge a content with a valid checksum; it must not panic.
        #[test]
        fn no_content_panics(content in prop::collection::vec(any::<u8>(), 0..200)) {
            for version in [EVENT_VERSION, DOCUMENT_VERSION] {
                let _ = Cursor::decode(&token::encode(version, &content));
            }
        }
    }

    /// An engine would fail on such a place, and the caller would get a server error.
    #[test]
    fn a_place_that_no_event_can_have_is_refused() {
        let leads = |path: &str, key: Key, sequence: u64| {
            let sort = Sort::by(field(path).unwrap(), Order::Ascending).unwrap();
            let position = ChainPosition { chain: ChainId::from_bytes([7; 16]), sequence: Sequence(sequence) };
            let end = PageEnd::Event(Place { keys: vec![Some(key)], position });
            let cursor = Cursor { asked: UnixMillis(5), question: QuestionDigest([9; 16]), end };
            Cursor::decode(&cursor.encode())?.end_in(QuestionDigest([9; 16]), &[sort])
        };
        let (text, longer) = ("a".repeat(8_191), "a".repeat(8_192));
        for (path, key, sequence) in [
            ("@timestamp", Key::Integer(0), i64::MAX as u64),
            ("@timestamp", Key::Integer(UnixMillis::FIRST.0), 0),
            ("@timestamp", Key::Integer(UnixMillis::LAST.0), 0),
            ("event.duration", Key::Integer(i64::MIN), 0),
            ("kibana.alert.flapping", Key::Integer(1), 0),
            ("event.risk_score", Key::Number(0.5), 0),
            ("message", Key::Text(text), 0),
            ("source.ip", Key::Text(format!("{:032x}", 7)), 0),
        ] {
            assert!(leads(path, key, sequence).is_ok(), "{path}");
        }
        for (path, key, sequence) in [
            ("@timestamp", Key::Integer(0), i64::MAX as u64 + 1),
            ("@timestamp", Key::Integer(i64::MIN), 0),
            ("@timestamp", Key::Integer(UnixMillis::LAST.0 + 1), 0),
            ("@timestamp", Key::Number(0.5), 0),
            ("kibana.alert.flapping", Key::Integer(2), 0),
            ("event.risk_score", Key::Number(0.1), 0),
            ("event.risk_score", Key::Number(1e300), 0),
            ("message", Key::Text(longer), 0),
            ("message", Key::Integer(0), 0),
            ("source.ip", Key::Text("10.0.0.1".to_owned()), 0),
        ] {
            assert_eq!(leads(path, key, sequence), Err(BadCursor::Damaged), "{path}");
        }
    }

    #[test]
    fn the_longest_keys_that_a_sort_may_have_fit_a_cursor() {
        let by = |path: &str| Sort::by(field(path).unwrap(), Order::Ascending).unwrap();
        let usual = ["event.action", "event.reason", "event.code", "event.dataset"];
        let others = ["event.start", "event.end", "event.duration", "event.severity", "source.ip"];
        let sort: Vec<Sort> = ["message"].iter().chain(&usual).chain(&others).map(|path| by(path)).collect();
        assert!(SortKeys::new(sort.clone()).is_ok());
        let key = |sort: &Sort| match sort.field().kind {
            Kind::Keyword | Kind::Text => Key::Text("世".repeat(sort.field().longest_value.into())),
            Kind::Ip => Key::Text("f".repeat(32)),
            _ => Key::Integer(i64::MAX),
        };
        let position = ChainPosition { chain: ChainId::from_bytes([7; 16]), sequence: Sequence(0) };
        let end = PageEnd::Event(Place { keys: sort.iter().map(|sort| Some(key(sort))).collect(), position });
        let cursor = Cursor { asked: UnixMillis(5), question: QuestionDigest([9; 16]), end };
        assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor));
        let longer = usual.iter().chain(&["error.message", "message"]).map(|path| by(path)).collect();
        let refused = SortKeys::new(longer).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "expected keys whose texts have at most [12288] UTF-16 units together but got [20478]: leave out one of \
             error.message, message"
        );
    }

    #[test]
    fn a_cursor_with_a_time_out_of_range_is_refused() {
        let position = ChainPosition { chain: ChainId::from_bytes([7; 16]), sequence: Sequence(0) };
        let end = PageEnd::Event(Place { keys: Vec::new(), position });
        for asked in [i64::MIN, i64::MAX, 1 << 48] {
            let cursor = Cursor { asked: UnixMillis(asked), question: QuestionDigest([9; 16]), end: end.clone() };
            assert_eq!(Cursor::decode(&cursor.encode()), Err(BadCursor::Damaged), "{asked}");
        }
    }

    #[test]
    fn cursors_of_version_1_stay_readable() {
        let position = ChainPosition { chain: ChainId::from_bytes([7; 16]), sequence: Sequence(42) };
        let keys = vec![Some(Key::Integer(1_614_686_400_000)), None, Some(Key::Text("é".to_owned()))];
        let end = PageEnd::Event(Place { keys, position });
        let cursor = Cursor { asked: UnixMillis(5), question: QuestionDigest([9; 16]), end };
        let text = "AQAAAAAAAAAFCQkJCQkJCQkJCQkJCQkJCQcHBwcHBwcHBwcHBwcHBwcAAAAAAAAAKgMBAAABd_LPLgAAAwACw6mkr_-H53TRqg";
        assert_eq!(cursor.encode(), text);
        assert_eq!(Cursor::decode(text), Ok(cursor));
    }
}
