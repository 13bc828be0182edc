//! Bulk bodies and their answers.
//!
//! A body is built in one pass, into one buffer of known size, without an allocation per event: its cost per event
//! limits the log's throughput.

use std::iter;

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::client::EngineError;
use crate::{
    buffers::Pool,
    event::{ChainId, ChainPosition, SealedEvent},
};

/// The response filter: the parts that [`read`] needs, with an entry for each item so that positions are kept.
pub(super) const ANSWER: &str = "filter_path=errors,items.*.status,items.*.error";

const OPEN: &[u8] = b"{\"create\":{\"_id\":\"";
const CLOSE: &[u8] = b"\"}}\n";

/// Returns a body that creates these events, each under the id of its position.
pub(super) fn creates(events: &[SealedEvent], pool: &Pool) -> Bytes {
    let documents: usize = events.iter().map(|event| event.document.len()).sum();
    let mut buffer = pool.empty(documents + events.len() * (OPEN.len() + ID_BYTES + CLOSE.len() + 1));
    let body = &mut buffer.bytes;
    let mut id = Id::new();
    for event in events {
        body.extend_from_slice(OPEN);
        body.extend_from_slice(id.of(event.position));
        body.extend_from_slice(CLOSE);
        body.extend_from_slice(&event.document);
        body.push(b'\n');
    }
    Bytes::from_owner(buffer)
}

/// Returns a body that replaces the document of this version by an event.
pub(super) fn overwrite(event: &SealedEvent, seq_no: u64, primary_term: u64) -> Bytes {
    let id = event.position;
    let line =
        format!("{{\"index\":{{\"_id\":\"{id}\",\"if_seq_no\":{seq_no},\"if_primary_term\":{primary_term}}}}}\n");
    [line.as_bytes(), &event.document, b"\n"].concat().into()
}

const CHAIN_BYTES: usize = 32;
const ID_BYTES: usize = CHAIN_BYTES + 1 + 20;

/// Writes ids like the `Display` of [`ChainPosition`], but faster for many of one chain in a row.
struct Id {
    chain: Option<ChainId>,
    text: [u8; ID_BYTES],
}

impl Id {
    const fn new() -> Self {
        Self { chain: None, text: [b'-'; ID_BYTES] }
    }

    fn of(&mut self, position: ChainPosition) -> &[u8] {
        if self.chain != Some(position.chain) {
            let hex = position.chain.to_string();
            self.text.iter_mut().zip(hex.as_bytes()).for_each(|(place, digit)| *place = *digit);
            self.chain = Some(position.chain);
        }
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(position.sequence.0).bytes().rev().chain(iter::repeat(b'0'));
        self.text.iter_mut().skip(CHAIN_BYTES + 1).rev().zip(digits).for_each(|(place, digit)| *place = digit);
        &self.text
    }
}

/// The engine's result for one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Stored,
    /// There is a document under this id.
    Conflict,
    /// The index or its private alias was not found.
    IndexMissing(String),
    /// The index takes no writes.
    Blocked(String),
    /// We are not allowed to write there.
    Denied(String),
    /// The document is at fault.
    Rejected(String),
    /// To be retried later.
    Retry(String),
}

/// Reads an answer: one item for each of `expected`, in order.
pub(super) fn read(answer: &[u8], expected: usize) -> Result<Vec<Item>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        errors: bool,
        #[serde(borrow, default)]
        items: Vec<ItemAnswer<'a>>,
    }
    if is_all_created(answer, expected) {
        return Ok(vec![Item::Stored; expected]);
    }
    let Answer { errors, items } = serde_json::from_slice(answer)?;
    if items.len() != expected {
        return Err(serde_json::Error::custom(format_args!("expected {expected} items, found {}", items.len())));
    }
    if !errors && items.iter().all(ItemAnswer::is_success) {
        return Ok(vec![Item::Stored; expected]);
    }
    Ok(items.into_iter().map(ItemAnswer::into_item).collect())
}

/// Whether the answer is, byte for byte, the one for this many created events, as it nearly always is.
fn is_all_created(answer: &[u8], expected: usize) -> bool {
    const ITEM: &[u8] = b"{\"create\":{\"status\":201}}";
    let items = answer.strip_prefix(b"{\"errors\":false,\"items\":[").and_then(|rest| rest.strip_suffix(b"]}"));
    let mut found = 0;
    let mut is_item = |item: &[u8]| {
        found += 1;
        item.strip_suffix(b",").unwrap_or(item) == ITEM
    };
    let all = items.is_some_and(|items| items.chunks(ITEM.len() + 1).all(&mut is_item));
    all && found == expected
}

/// `{"create": {"status": …, "error": …}}`, whatever the action.
struct ItemAnswer<'a> {
    status: u16,
    error: Option<&'a RawValue>,
}

impl ItemAnswer<'_> {
    const fn is_success(&self) -> bool {
        matches!(self.status, 200..300)
    }

    fn into_item(self) -> Item {
        if self.is_success() {
            return Item::Stored;
        }
        let error =
            self.error.map_or_else(|| EngineError { kind: String::new(), reason: String::new() }, EngineError::read);
        match self.status {
            409 => Item::Conflict,
            404 if error.is("index_not_found_exception") => Item::IndexMissing(error.to_string()),
            400 | 403 | 429 if error.is_block() => Item::Blocked(error.to_string()),
            401 | 403 => Item::Denied(error.to_string()),
            400 => Item::Rejected(error.to_string()),
            status => Item::Retry(format!("HTTP {status}: {error}")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ItemAnswer<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = ItemAnswer<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the result of one action")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ItemAnswer<'de>, A::Error> {
        #[derive(Deserialize)]
        struct Entry<'a> {
            status: u16,
            #[serde(borrow, default)]
            error: Option<&'a RawValue>,
        }
        let Some((_, Entry { status, error })) = map.next_entry::<&str, Entry<'de>>()? else {
            return Err(A::Error::custom("an item without an action"));
        };
        Ok(ItemAnswer { status, error })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::event::Sequence;

    fn event(chain: u8, sequence: u64, document: &'static str) -> SealedEvent {
        let position = ChainPosition { chain: ChainId::from_bytes([chain; 16]), sequence: Sequence(sequence) };
        SealedEvent { position, leaf_hash: None, document: Bytes::from_static(document.as_bytes()) }
    }

    #[test]
    fn a_body_creates_each_event_under_the_id_of_its_position() {
        let events =
            [event(1, 0, "{\"a\":1}"), event(1, 9_999_999_999, "{}"), event(2, u64::MAX, "{ }"), event(1, 7, "{}")];
        let expected: String = events
            .iter()
            .map(|event| {
                let document = String::from_utf8_lossy(&event.document);
                format!("{{\"create\":{{\"_id\":\"{}\"}}}}\n{document}\n", event.position)
            })
            .collect();
        let pool = Pool::default();
        assert_eq!(creates(&events, &pool), expected);
        assert_eq!(pool.empty(0).bytes.capacity(), expected.len(), "the size was known beforehand");
    }

    #[test]
    fn a_successful_answer_means_all_stored() {
        let answer = br#"{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}"#;
        assert_eq!(read(answer, 2).unwrap(), [Item::Stored, Item::Stored]);
    }

    #[test]
    fn an_answer_with_another_number_of_items_is_invalid() {
        let answer = br#"{"errors":false,"items":[{"create":{"status":201}}]}"#;
        assert_eq!(read(answer, 2).unwrap_err().to_string(), "expected 2 items, found 1");
        assert!(read(br#"{"errors":false}"#, 1).is_err());
        assert!(read(br#"{"errors":false,"items":[{}]}"#, 1).is_err());
        assert!(read(b"<html>", 1).is_err());
    }

    #[test]
    fn a_bad_status_overrides_an_answer_without_errors() {
        let answer = br#"{"errors":false,"items":[{"create":{"status":503}}]}"#;
        assert_eq!(read(answer, 1).unwrap(), [Item::Retry("HTTP 503: no reason given".to_owned())]);
    }

    /// As the engines answered, shortened by the response filter.
    #[test]
    fn each_recorded_item_is_told_apart() {
        let check = |item: &str, expected: fn(&Item) -> bool| {
            let answer =
                format!("{{\"errors\":true,\"items\":[{{\"create\":{item}}},{{\"create\":{{\"status\":201}}}}]}}");
            let items = read(answer.as_bytes(), 2).unwrap();
            assert!(expected(&items[0]), "{items:?}");
            assert_eq!(items[1], Item::Stored);
        };
        check(
            r#"{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[1]: version conflict, document already exists (current version [1])","index_uuid":"LhlqNJmdTNySg6HQIL5WEw","shard":"0","index":"i-000001"}}"#,
            |item| *item == Item::Conflict,
        );
        check(
            r#"{"status":404,"error":{"type":"index_not_found_exception","reason":"no such index [i-000007-writer] and [require_alias] request flag is [true] and [i-000007-writer] is not an alias","index_uuid":"_na_","index":"i-000007-writer"}}"#,
            |item| matches!(item, Item::IndexMissing(_)),
        );
        check(
            r#"{"status":403,"error":{"type":"cluster_block_exception","reason":"index [i-000001] blocked by: [FORBIDDEN/8/index write (api)];"}}"#,
            |item| matches!(item, Item::Blocked(reason) if reason.contains("FORBIDDEN/8")),
        );
        check(
            r#"{"status":429,"error":{"type":"cluster_block_exception","reason":"index [i-000001] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];"}}"#,
            |item| matches!(item, Item::Blocked(_)),
        );
        check(
            r#"{"status":400,"error":{"type":"index_closed_exception","reason":"closed","index_uuid":"LhlqNJmdTNySg6HQIL5WEw","index":"i-000001"}}"#,
            |item| matches!(item, Item::Blocked(_)),
        );
        check(
            r#"{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"rejected execution of primary operation"}}"#,
            |item| matches!(item, Item::Retry(_)),
        );
        check(
            r#"{"status":503,"error":{"type":"unavailable_shards_exception","reason":"[i-000001][0] primary shard is not active"}}"#,
            |item| matches!(item, Item::Retry(_)),
        );
        // While the elected master is busy; events never change the mapping, but an index may have just been made.
        check(
            r#"{"status":503,"error":{"type":"process_cluster_event_timeout_exception","reason":"failed to process cluster event (put-mapping [i-000001/LhlqNJmdTNySg6HQIL5WEw]) within 30s"}}"#,
            |item| matches!(item, Item::Retry(_)),
        );
        check(
            r#"{"status":403,"error":{"type":"security_exception","reason":"action [indices:data/write/bulk[s]] is unauthorized"}}"#,
            |item| matches!(item, Item::Denied(_)),
        );
        check(
            r#"{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:15] failed to parse field [@timestamp] of type [date]","caused_by":{"type":"illegal_argument_exception","reason":"failed to parse date field [soon]","caused_by":{"type":"date_time_parse_exception","reason":"Text 'soon' could not be parsed at index 0"}}}}"#,
            |item| {
                let expected = "document_parsing_exception: [1:15] failed to parse field [@timestamp] of type [date]: \
                                failed to parse date field [soon]: Text 'soon' could not be parsed at index 0";
                *item == Item::Rejected(expected.to_owned())
            },
        );
    }

    #[test]
    fn a_reason_is_bounded() {
        let answer = format!(
            "{{\"errors\":true,\"items\":[{{\"index\":{{\"status\":400,\"error\":{{\"type\":\"t\",\"reason\":\"{}\"}}}}}}]}}",
            "ä".repeat(10_000)
        );
        assert!(matches!(&read(answer.as_bytes(), 1).unwrap()[0], Item::Rejected(reason) if reason.len() < 1_000));
    }
}
