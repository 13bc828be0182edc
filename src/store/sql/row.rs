//! The rows that the tables keep of a document, beside its bytes, for finding and sorting.

use std::borrow::Cow;

use serde::Deserialize;

use super::{form::joined_words, text::encode_text};
use crate::{
    event::{ChainId, ChainPosition, SealedEvent, Sequence, Space, UnixMillis},
    integrity::position_of,
    schema::{LONGEST_TEXT, LONGEST_VALUE, has_at_most},
};

/// A row of `events` and its rows of `objects`. Texts are in the form of the tables.
pub(in crate::store) struct EventRow {
    pub(in crate::store) chain: [u8; 16],
    pub(in crate::store) sequence: i64,
    pub(in crate::store) received: i64,
    /// `None` in a stub, which stands for an event that a store refused; no query finds stubs.
    pub(in crate::store) timestamp: Option<i64>,
    pub(in crate::store) started: Option<i64>,
    pub(in crate::store) ended: Option<i64>,
    pub(in crate::store) duration: Option<i64>,
    pub(in crate::store) event_id: Option<String>,
    pub(in crate::store) provider: Option<String>,
    pub(in crate::store) action: Option<String>,
    pub(in crate::store) outcome: Option<String>,
    pub(in crate::store) severity: Option<String>,
    pub(in crate::store) level: Option<String>,
    pub(in crate::store) user_id: Option<String>,
    pub(in crate::store) user_name: Option<String>,
    /// The spaces in which the event is visible, with a comma before and after each.
    pub(in crate::store) spaces: Option<String>,
    pub(in crate::store) message: Option<String>,
    /// The message's words, with a blank before and after each.
    pub(in crate::store) words: Option<String>,
    pub(in crate::store) objects: Vec<ObjectRow>,
}

/// A row of `objects`: one reference.
pub(in crate::store) struct ObjectRow {
    /// The space in which this reference makes the event findable, empty for the default space; `None` if it does not.
    pub(in crate::store) found_in: Option<String>,
    pub(in crate::store) rel: Option<String>,
    pub(in crate::store) namespace: Option<String>,
    pub(in crate::store) object_type: Option<String>,
    pub(in crate::store) id: Option<String>,
    pub(in crate::store) name: Option<String>,
    pub(in crate::store) type_id: Option<String>,
    pub(in crate::store) space_agnostic: Option<i64>,
    /// Its place among the event's references.
    pub(in crate::store) ordinal: i64,
    pub(in crate::store) event: EventKeys,
}

/// The columns of an event that the rows of its objects repeat.
#[derive(Clone, Copy)]
pub(in crate::store) struct EventKeys {
    pub(in crate::store) chain: [u8; 16],
    pub(in crate::store) sequence: i64,
    pub(in crate::store) timestamp: Option<i64>,
}

/// Why a document does not fit the tables.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum BadDocument {
    #[error("the document is not an event: {0}")]
    NotAnEvent(#[from] serde_json::Error),
    #[error("{field}: expected an RFC 3339 date and time, found {found:?}")]
    BadDate { field: &'static str, found: String },
    #[error("event.duration: expected a whole number of 64 bits in a text, found {found:?}")]
    BadDuration { found: String },
    #[error("the sequence {0} is beyond 2^63−1")]
    BadSequence(u64),
    #[error("the document has no position in a chain")]
    NoPosition,
}

impl EventRow {
    pub(in crate::store) fn of(event: &SealedEvent) -> Result<Self, BadDocument> {
        Self::at_position(event.position, &event.document)
    }

    /// The row of a stored document, at the position that the document itself states.
    pub(in crate::store) fn of_document(document: &[u8]) -> Result<Self, BadDocument> {
        Self::at_position(position_of(document).ok_or(BadDocument::NoPosition)?, document)
    }

    fn at_position(ChainPosition { chain, sequence }: ChainPosition, document: &[u8]) -> Result<Self, BadDocument> {
        let sequence = i64::try_from(sequence.0).map_err(|_| BadDocument::BadSequence(sequence.0))?;
        Self::at(*chain.as_bytes(), sequence, document)
    }

    pub(in crate::store) fn at(chain: [u8; 16], sequence: i64, document: &[u8]) -> Result<Self, BadDocument> {
        let document: Document<'_> = serde_json::from_slice(document)?;
        let event = document.event;
        let date = |field, date: Option<Text<'_>>| date.map(|date| unix_millis(field, &date)).transpose();
        let duration = |text: Text<'_>| {
            text.as_str().parse().map_err(|_| BadDocument::BadDuration { found: text.as_str().to_owned() })
        };
        let timestamp = date("@timestamp", document.timestamp)?;
        Ok(Self {
            chain,
            sequence,
            received: unix_millis("annals.received", &document.annals.received)?,
            timestamp,
            started: date("event.start", event.start)?,
            ended: date("event.end", event.end)?,
            duration: event.duration.map(duration).transpose()?,
            event_id: short(event.id.as_ref()),
            provider: short(event.provider.as_ref()),
            action: short(event.action.as_ref()),
            outcome: short(event.outcome.as_ref()),
            severity: short(document.annals.severity.as_ref()),
            level: short(document.log.level.as_ref()),
            user_id: short(document.user.id.as_ref()),
            user_name: short(document.user.name.as_ref()),
            spaces: visible_in(&document.kibana.space_ids),
            message: value(document.message.as_ref(), LONGEST_TEXT),
            words: document.message.as_ref().map(|message| joined_words(message.as_str())),
            objects: objects(&document.kibana.saved_objects, EventKeys { chain, sequence, timestamp }),
        })
    }

    pub(in crate::store) fn position(&self) -> ChainPosition {
        ChainPosition { chain: ChainId::from_bytes(self.chain), sequence: Sequence(self.sequence.unsigned_abs()) }
    }
}

/// Keeps only valid names of spaces, as queries ask for no others. These contain no comma.
fn visible_in(ids: &[Text<'_>]) -> Option<String> {
    let names: Vec<_> = ids.iter().map(Text::as_str).filter(|name| Space::parse(name).is_ok()).collect();
    (!names.is_empty()).then(|| format!(",{},", names.join(",")))
}

/// An event that refers to the same object twice is found once.
fn objects(references: &[SavedObject<'_>], event: EventKeys) -> Vec<ObjectRow> {
    let mut rows: Vec<ObjectRow> = Vec::with_capacity(references.len());
    for (reference, ordinal) in references.iter().zip(0..) {
        let mut row = reference.row(ordinal, event);
        let is_same = |other: &ObjectRow| {
            (&other.found_in, &other.object_type, &other.id) == (&row.found_in, &row.object_type, &row.id)
        };
        if rows.iter().any(is_same) {
            row.found_in = None;
        }
        rows.push(row);
    }
    rows
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, rename = "@timestamp")]
    timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    annals: Annals<'a>,
    #[serde(borrow, default)]
    event: Event<'a>,
    #[serde(borrow, default)]
    kibana: Kibana<'a>,
    #[serde(borrow, default)]
    log: Log<'a>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
    #[serde(borrow, default)]
    user: User<'a>,
}

#[derive(Deserialize)]
struct Annals<'a> {
    #[serde(borrow)]
    received: Text<'a>,
    #[serde(borrow)]
    severity: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    start: Option<Text<'a>>,
    #[serde(borrow)]
    end: Option<Text<'a>>,
    #[serde(borrow)]
    duration: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    provider: Option<Text<'a>>,
    #[serde(borrow)]
    action: Option<Text<'a>>,
    #[serde(borrow)]
    outcome: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct Log<'a> {
    #[serde(borrow)]
    level: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct Kibana<'a> {
    #[serde(borrow, default)]
    saved_objects: Vec<SavedObject<'a>>,
    #[serde(borrow, default)]
    space_ids: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct SavedObject<'a> {
    #[serde(borrow)]
    rel: Option<Text<'a>>,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    object_type: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    type_id: Option<Text<'a>>,
    space_agnostic: Option<bool>,
}

impl SavedObject<'_> {
    fn row(&self, ordinal: i64, event: EventKeys) -> ObjectRow {
        ObjectRow {
            found_in: self.found_in().map(|space| encode_text(space).into_owned()),
            rel: short(self.rel.as_ref()),
            namespace: short(self.namespace.as_ref()),
            object_type: short(self.object_type.as_ref()),
            id: short(self.id.as_ref()),
            name: short(self.name.as_ref()),
            type_id: short(self.type_id.as_ref()),
            space_agnostic: self.space_agnostic.map(i64::from),
            ordinal,
            event,
        }
    }

    fn found_in(&self) -> Option<&str> {
        if self.rel.as_ref()?.as_str() != "primary" {
            return None;
        }
        match &self.namespace {
            // No space has an empty name, so no query finds this reference. An empty text in the table would mean the
            // default space.
            Some(namespace) => Some(namespace.as_str()).filter(|name| !name.is_empty()),
            None => Some(""),
        }
    }
}

/// A text that is borrowed where possible. (Serde borrows a `Cow` that is a field itself, but not one in an `Option`.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Returns a text of the usual length; a longer one has no value.
fn short(text: Option<&Text<'_>>) -> Option<String> {
    value(text, LONGEST_VALUE)
}

fn value(text: Option<&Text<'_>>, longest: u16) -> Option<String> {
    let text = text.map(Text::as_str).filter(|text| has_at_most(text, longest))?;
    Some(encode_text(text).into_owned())
}

/// Returns the date in whole milliseconds.
fn unix_millis(field: &'static str, date: &Text<'_>) -> Result<i64, BadDocument> {
    let millis = UnixMillis::parse(date.as_str()).map(|date| date.0);
    millis.ok_or_else(|| BadDocument::BadDate { field, found: date.as_str().to_owned() })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::format_time;

    proptest! {
        #[test]
        fn every_date_that_an_event_can_have_comes_out_of_its_row(
            millis in prop_oneof![
                UnixMillis::FIRST.0..=UnixMillis::LAST.0,
                Just(UnixMillis::FIRST.0),
                UnixMillis::LAST.0 - 100_000_000..=UnixMillis::LAST.0,
            ],
        ) {
            let date = format_time(UnixMillis(millis));
            let document = format!(
                r#"{{"@timestamp":"{date}","annals":{{"received":"{date}"}},"event":{{"start":"{date}","end":"{date}"}}}}"#
            );
            let row = row(&document).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(row.received, millis);
            prop_assert_eq!([row.timestamp, row.started, row.ended], [Some(millis); 3]);
        }
    }

    fn row(document: &str) -> Result<EventRow, BadDocument> {
        EventRow::at([0; 16], 0, document.as_bytes())
    }

    #[test]
    fn texts_without_escapes_are_borrowed() {
        let document = br#"{"@timestamp":"2026-11-24T01:02:03.004Z","annals":{"received":"2026-11-24T01:02:03.005Z"},"event":{"action":"execute"},"message":"a \"b\""}"#;
        let document: Document<'_> = serde_json::from_slice(document).unwrap();
        assert!(matches!(document.event.action, Some(Text(Cow::Borrowed("execute")))));
        assert_eq!(document.message.unwrap().as_str(), "a \"b\"");
    }

    #[test]
    fn an_object_finds_the_event_by_one_reference() {
        let document = r#"{"annals":{"received":"2026-11-24T01:02:03.005Z"},"kibana":{"saved_objects":[
            {"rel":"primary","type":"alert","id":"1"},{"type":"alert","id":"1"},
            {"rel":"primary","type":"alert","id":"1"},{"rel":"primary","type":"alert","id":"1","namespace":"sales"},
            {"rel":"primary","type":"alert","id":"1","namespace":""}]}}"#;
        let found_in: Vec<_> = row(document).unwrap().objects.into_iter().map(|object| object.found_in).collect();
        assert_eq!(found_in, [Some(String::new()), None, None, Some("sales".to_owned()), None]);
    }

    #[test]
    fn dates_are_cut_to_milliseconds_also_before_1970() {
        let millis = |date: &'static str| unix_millis("x", &Text(date.into())).unwrap();
        assert_eq!(millis("1970-01-01T00:00:00.001999999Z"), 1);
        assert_eq!(millis("1969-12-31T23:59:59.998000001Z"), -2);
    }

    #[test]
    fn a_document_that_does_not_fit_says_where() {
        let complaint = |document: &str| row(document).err().unwrap().to_string();
        let document = r#"{"annals":{"received":"2026-11-24T01:02:03.005Z"},"event":{"duration":"1.5"}}"#;
        assert_eq!(complaint(document), "event.duration: expected a whole number of 64 bits in a text, found \"1.5\"");
        assert_eq!(
            complaint(&document.replace("2026-11-24T", "yesterday ")),
            "annals.received: expected an RFC 3339 date and time, found \"yesterday 01:02:03.005Z\""
        );
        assert!(complaint("{}").contains("missing field `annals`"));
    }
}
