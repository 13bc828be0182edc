//! What the tables keep of a document beside its bytes, to find it and to sort by.

use std::borrow::Cow;

use serde::Deserialize;

/// The longest `message` that is sorted by, in UTF-16 units.
const LONGEST_SORTED: usize = 1_024;

/// Borrowed from the document wherever its texts hold no escapes.
pub(super) struct Columns<'a> {
    pub(super) received: i64,
    /// `None` in a stub, which stands for an event that some store refused and which no query finds.
    pub(super) timestamp: Option<i64>,
    pub(super) started: Option<i64>,
    pub(super) ended: Option<i64>,
    pub(super) duration: Option<i64>,
    pub(super) provider: Option<Text<'a>>,
    pub(super) action: Option<Text<'a>>,
    /// `None` also if it is too long to sort by.
    pub(super) message: Option<Text<'a>>,
    saved_objects: Vec<SavedObject<'a>>,
}

/// A primary reference.
pub(super) struct Reference<'a> {
    /// Empty for the default space.
    pub(super) namespace: &'a str,
    pub(super) object_type: &'a str,
    pub(super) id: &'a str,
}

/// Why a document does not fit the tables.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadDocument {
    #[error("the document is not an event: {0}")]
    NotAnEvent(#[from] serde_json::Error),
    #[error("{field}: expected an RFC 3339 date and time, found {found:?}")]
    BadDate { field: &'static str, found: String },
    #[error("event.duration: expected a whole number of 64 bits in a text, found {found:?}")]
    BadDuration { found: String },
}

impl<'a> Columns<'a> {
    pub(super) fn of(document: &'a [u8]) -> Result<Self, BadDocument> {
        let document: Document<'a> = serde_json::from_slice(document)?;
        let event = document.event;
        let duration = |text: Text<'a>| {
            text.as_str().parse().map_err(|_| BadDocument::BadDuration { found: text.as_str().to_owned() })
        };
        Ok(Self {
            received: unix_millis("annals.received", &document.annals.received)?,
            timestamp: document.timestamp.map(|date| unix_millis("@timestamp", &date)).transpose()?,
            started: event.start.map(|date| unix_millis("event.start", &date)).transpose()?,
            ended: event.end.map(|date| unix_millis("event.end", &date)).transpose()?,
            duration: event.duration.map(duration).transpose()?,
            provider: event.provider,
            action: event.action,
            message: document.message.filter(|message| is_sortable(message.as_str())),
            saved_objects: document.kibana.saved_objects,
        })
    }

    pub(super) fn is_stub(&self) -> bool {
        self.timestamp.is_none()
    }

    /// The references by which queries may find the event.
    pub(super) fn references(&self) -> impl Iterator<Item = Reference<'_>> {
        self.saved_objects.iter().filter_map(SavedObject::as_reference)
    }
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
    #[serde(borrow)]
    message: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Annals<'a> {
    #[serde(borrow)]
    received: Text<'a>,
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
    provider: Option<Text<'a>>,
    #[serde(borrow)]
    action: Option<Text<'a>>,
}

#[derive(Default, Deserialize)]
struct Kibana<'a> {
    #[serde(borrow, default)]
    saved_objects: Vec<SavedObject<'a>>,
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
}

impl SavedObject<'_> {
    fn as_reference(&self) -> Option<Reference<'_>> {
        if self.rel.as_ref()?.as_str() != "primary" {
            return None;
        }
        let namespace = match &self.namespace {
            // No space has an empty name, so no query finds this; in the table it would pass for the default space.
            Some(namespace) if namespace.as_str().is_empty() => return None,
            Some(namespace) => namespace.as_str(),
            None => "",
        };
        Some(Reference { namespace, object_type: self.object_type.as_ref()?.as_str(), id: self.id.as_ref()?.as_str() })
    }
}

/// A text that is borrowed if it can be. (Serde borrows a `Cow` that is a field itself, not one inside an `Option`.)
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The milliseconds of a date, without what is beyond them.
fn unix_millis(field: &'static str, date: &Text<'_>) -> Result<i64, BadDocument> {
    let bad = || BadDocument::BadDate { field, found: date.as_str().to_owned() };
    let instant: jiff::Timestamp = date.as_str().parse().map_err(|_| bad())?;
    i64::try_from(instant.as_nanosecond().div_euclid(1_000_000)).map_err(|_| bad())
}

fn is_sortable(message: &str) -> bool {
    // Each byte of UTF-8 comes to at most one unit of UTF-16.
    message.len() <= LONGEST_SORTED || message.encode_utf16().take(LONGEST_SORTED + 1).count() <= LONGEST_SORTED
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn texts_without_escapes_are_borrowed() {
        let document = br#"{"@timestamp":"2026-11-24T01:02:03.004Z","annals":{"received":"2026-11-24T01:02:03.005Z"},"event":{"action":"execute"},"message":"a \"b\""}"#;
        let columns = Columns::of(document).unwrap();
        assert!(matches!(columns.action, Some(Text(Cow::Borrowed("execute")))));
        assert_eq!(columns.message.unwrap().as_str(), "a \"b\"");
    }

    #[test]
    fn dates_lose_what_is_beyond_milliseconds_also_before_1970() {
        let millis = |date: &'static str| unix_millis("x", &Text(date.into())).unwrap();
        assert_eq!(millis("1970-01-01T00:00:00.001999999Z"), 1);
        assert_eq!(millis("1969-12-31T23:59:59.998000001Z"), -2);
    }

    #[test]
    fn a_document_that_does_not_fit_says_where() {
        let complaint = |document: &str| Columns::of(document.as_bytes()).err().unwrap().to_string();
        let document = r#"{"annals":{"received":"2026-11-24T01:02:03.005Z"},"event":{"duration":"1.5"}}"#;
        assert_eq!(complaint(document), "event.duration: expected a whole number of 64 bits in a text, found \"1.5\"");
        assert_eq!(
            complaint(&document.replace("2026-11-24T", "yesterday ")),
            "annals.received: expected an RFC 3339 date and time, found \"yesterday 01:02:03.005Z\""
        );
        assert!(complaint("{}").contains("missing field `annals`"));
    }
}
