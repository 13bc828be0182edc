//! What became of each event of a request, written straight into bytes: this is on the path of every event.

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::reason;
use crate::{
    error::Failure,
    event::ChainId,
    intake::{Item, Violation},
    writer::Receipt,
};

/// The answer to a request that logs events. [`write`] makes its bytes; this describes them.
#[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsAnswer {
    /// One for each event, in the order of the request.
    pub(super) items: Vec<ItemAnswer>,
    /// With `wait_for=stored`: whether the events can be found now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stored: Option<bool>,
}

/// The answer if every event is invalid, or the request itself.
#[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct AllRejectedAnswer {
    #[schema(example = 400)]
    pub(super) status_code: u16,
    #[schema(example = "Bad Request")]
    pub(super) error: String,
    pub(super) message: String,
    /// Absent if the request itself is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) items: Option<Vec<ItemAnswer>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stored: Option<bool>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ItemAnswer {
    /// Sealed and on disk.
    Accepted {
        /// `event.id`
        id: String,
        chain: String,
        sequence: u64,
        /// The hash of the event's leaf in the tree of its chain, base64url without padding. Absent if its chain is not
        /// sealed: the answer then proves nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<String>,
    },
    /// Below the minimum severity of its space, and not logged.
    Filtered,
    /// The journal is full, and the log was told to drop events then.
    Dropped,
    /// Valid, and not logged: the log was told to keep no events.
    NotKept,
    Rejected {
        error: ItemError,
        /// At most 100 of an event and, once there are 10,000 in the answer, one. The last then says how many more there are.
        errors: Vec<ViolationAnswer>,
    },
}

/// The first thing that is wrong.
#[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ItemError {
    path: String,
    reason: String,
}

/// One of all the things that are wrong.
#[derive(Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ViolationAnswer {
    /// Dotted path; empty for the event as a whole.
    #[schema(example = "kibana.saved_objects[0].rel")]
    path: String,
    expected: String,
    found: String,
}

/// What the writer did with the contents of a request.
#[derive(Clone, Copy)]
pub(super) enum Submitted<'a> {
    /// One receipt for each accepted event, in order.
    Sealed(&'a [Receipt]),
    Dropped,
    /// Nothing: it was not asked.
    NotKept,
}

/// The status and body of the answer.
pub(super) fn write(
    items: &[Item],
    submitted: Submitted<'_>,
    stored: Option<bool>,
) -> Result<(StatusCode, Vec<u8>), Failure> {
    let mut body = Body(Vec::with_capacity(64 + items.len() * 192));
    let status = match first_of_all_rejected(items) {
        Some(first) => {
            body.failure_head(items.len(), first);
            StatusCode::BAD_REQUEST
        }
        None => {
            body.put("{");
            StatusCode::ACCEPTED
        }
    };
    body.put("\"items\":[");
    body.items(items, submitted)?;
    body.put("]");
    if let Some(stored) = stored {
        body.put(if stored { ",\"stored\":true" } else { ",\"stored\":false" });
    }
    body.put("}");
    Ok((status, body.0))
}

/// The first violation, if there are events and none of them is valid.
fn first_of_all_rejected(items: &[Item]) -> Option<&Violation> {
    let all = items.iter().all(|item| matches!(item, Item::Rejected(_)));
    match items.first() {
        Some(Item::Rejected(violations)) if all => violations.first(),
        Some(Item::Rejected(_) | Item::Accepted { .. } | Item::Filtered) | None => None,
    }
}

/// JSON under construction.
struct Body(Vec<u8>);

impl Body {
    fn items(&mut self, items: &[Item], submitted: Submitted<'_>) -> Result<(), Failure> {
        let mut chain = None;
        let mut receipts = match submitted {
            Submitted::Sealed(receipts) => receipts.iter(),
            Submitted::Dropped | Submitted::NotKept => [].iter(),
        };
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.put(",");
            }
            match (item, submitted) {
                (Item::Accepted { id }, Submitted::Sealed(_)) => {
                    let receipt = receipts.next().ok_or_else(mismatch)?;
                    self.accepted(id, receipt, &mut chain);
                }
                (Item::Accepted { .. }, Submitted::Dropped) => self.put(r#"{"status":"dropped"}"#),
                (Item::Accepted { .. }, Submitted::NotKept) => self.put(r#"{"status":"not_kept"}"#),
                (Item::Filtered, _) => self.put(r#"{"status":"filtered"}"#),
                (Item::Rejected(violations), _) => self.rejected(violations),
            }
        }
        if receipts.next().is_none() { Ok(()) } else { Err(mismatch()) }
    }

    /// `chain` is the text of the chain last written: the events of a request are mostly of one.
    fn accepted(&mut self, id: &str, receipt: &Receipt, chain: &mut Option<(ChainId, String)>) {
        let position = receipt.position;
        if chain.as_ref().is_none_or(|(last, _)| *last != position.chain) {
            *chain = Some((position.chain, position.chain.to_string()));
        }
        self.put(r#"{"status":"accepted","id":"#);
        self.text(id);
        self.put(r#","chain":""#);
        self.put(chain.as_ref().map_or("", |(_, text)| text));
        self.put(r#"","sequence":"#);
        self.number(position.sequence.0);
        if let Some(leaf) = receipt.leaf_hash {
            self.put(r#","hash":""#);
            let mut hash = [0_u8; 43];
            let length = URL_SAFE_NO_PAD.encode_slice(leaf.0, &mut hash).unwrap_or_default();
            self.0.extend_from_slice(hash.get(..length).unwrap_or_default());
            self.put("\"");
        }
        self.put("}");
    }

    fn rejected(&mut self, violations: &[Violation]) {
        self.put(r#"{"status":"rejected","error":{"path":"#);
        self.text(violations.first().map_or("", |first| &first.path));
        self.put(r#","reason":"#);
        self.text(&violations.first().map_or_else(String::new, reason_of));
        self.put(r#"},"errors":["#);
        for (index, violation) in violations.iter().enumerate() {
            self.put(if index == 0 { r#"{"path":"# } else { r#",{"path":"# });
            self.text(&violation.path);
            self.put(r#","expected":"#);
            self.text(&violation.expected);
            self.put(r#","found":"#);
            self.text(&violation.found);
            self.put("}");
        }
        self.put("]}");
    }

    /// The fields that every error answer begins with.
    fn failure_head(&mut self, events: usize, first: &Violation) {
        let place = if first.path.is_empty() { String::new() } else { format!("{}: ", first.path) };
        let message = match events {
            1 => format!("the event was rejected: {place}{}", reason_of(first)),
            _ => format!("all {events} events were rejected, the first for: {place}{}", reason_of(first)),
        };
        self.put(r#"{"statusCode":400,"error":"#);
        self.text(reason(StatusCode::BAD_REQUEST));
        self.put(r#","message":"#);
        self.text(&message);
        self.put(",");
    }

    fn put(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A JSON string.
    fn text(&mut self, text: &str) {
        let is_plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
        self.put("\"");
        if is_plain {
            self.put(text);
        } else {
            text.chars().for_each(|character| self.character(character));
        }
        self.put("\"");
    }

    fn character(&mut self, character: char) {
        match character {
            '"' => self.put("\\\""),
            '\\' => self.put("\\\\"),
            control if control < ' ' => self.put(&format!("\\u{:04x}", u32::from(control))),
            other => self.put(other.encode_utf8(&mut [0; 4])),
        }
    }

    fn number(&mut self, mut number: u64) {
        let start = self.0.len();
        loop {
            self.0.push(b'0' + (number % 10) as u8);
            number /= 10;
            if number == 0 {
                break;
            }
        }
        if let Some(digits) = self.0.get_mut(start..) {
            digits.reverse();
        }
    }
}

fn reason_of(violation: &Violation) -> String {
    format!("expected {}, found {}", violation.expected, violation.found)
}

fn mismatch() -> Failure {
    Failure::internal("the writer's receipts are not one for each accepted event")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::{ChainPosition, LeafHash, Sequence};

    fn accepted(id: &str) -> Item {
        Item::Accepted { id: id.to_owned() }
    }

    fn rejected(path: &str) -> Item {
        let violation = |path: &str| Violation {
            path: path.to_owned(),
            expected: "a \"date\"".to_owned(),
            found: "a\nline \u{1} \\ é".to_owned(),
        };
        Item::Rejected(vec![violation(path), violation("tags[1]")])
    }

    fn receipt(chain: u8, sequence: u64) -> Receipt {
        let position = ChainPosition { chain: ChainId::from_bytes([chain; 16]), sequence: Sequence(sequence) };
        Receipt { position, leaf_hash: Some(LeafHash([0xfb; 32])) }
    }

    /// The answer, after a look at whether it is as described.
    fn check(items: &[Item], submitted: Submitted<'_>, stored: Option<bool>) -> (u16, serde_json::Value) {
        let (status, body) = write(items, submitted, stored).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let described = match status {
            StatusCode::ACCEPTED => serde_json::to_value(serde_json::from_slice::<EventsAnswer>(&body).unwrap()),
            _ => serde_json::to_value(serde_json::from_slice::<AllRejectedAnswer>(&body).unwrap()),
        };
        assert_eq!(described.unwrap(), json);
        (status.as_u16(), json)
    }

    #[test]
    fn each_event_is_answered_for_in_order() {
        let items = [accepted("a"), Item::Filtered, rejected("@timestamp"), accepted("\"é\n")];
        let receipts = [receipt(0x0a, 0), receipt(0xff, u64::MAX)];
        let hash = "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s";
        let errors = json!([
            { "path": "@timestamp", "expected": "a \"date\"", "found": "a\nline \u{1} \\ é" },
            { "path": "tags[1]", "expected": "a \"date\"", "found": "a\nline \u{1} \\ é" },
        ]);
        let reason = "expected a \"date\", found a\nline \u{1} \\ é";
        let (status, answer) = check(&items, Submitted::Sealed(&receipts), None);
        assert_eq!(status, 202);
        let expected = json!({ "items": [
            { "status": "accepted", "id": "a", "chain": "0a".repeat(16), "sequence": 0, "hash": hash },
            { "status": "filtered" },
            { "status": "rejected", "error": { "path": "@timestamp", "reason": reason }, "errors": errors },
            { "status": "accepted", "id": "\"é\n", "chain": "ff".repeat(16), "sequence": u64::MAX, "hash": hash },
        ] });
        assert_eq!(answer, expected);
    }

    #[test]
    fn an_event_that_is_not_sealed_is_answered_for_without_a_hash() {
        let unsealed = Receipt { leaf_hash: None, ..receipt(1, 7) };
        let (_, answer) = check(&[accepted("a")], Submitted::Sealed(&[unsealed]), None);
        let expected = json!({ "status": "accepted", "id": "a", "chain": "01".repeat(16), "sequence": 7 });
        assert_eq!(answer["items"][0], expected);
    }

    #[test]
    fn whether_it_was_stored_is_said_if_it_was_asked() {
        let items = [accepted("a")];
        for stored in [None, Some(true), Some(false)] {
            let (_, answer) = check(&items, Submitted::Sealed(&[receipt(1, 1)]), stored);
            assert_eq!(answer.get("stored"), stored.map(|stored| json!(stored)).as_ref());
        }
    }

    #[test]
    fn what_a_full_log_dropped_is_called_dropped() {
        let (status, answer) = check(&[accepted("a"), Item::Filtered], Submitted::Dropped, None);
        assert_eq!((status, answer), (202, json!({ "items": [{ "status": "dropped" }, { "status": "filtered" }] })));
    }

    #[test]
    fn if_all_are_invalid_it_is_an_error_that_names_the_first_violation() {
        let reason = "expected a \"date\", found a\nline \u{1} \\ é";
        for (items, message) in [
            (vec![rejected("a.b")], format!("the event was rejected: a.b: {reason}")),
            (vec![rejected("")], format!("the event was rejected: {reason}")),
            (vec![rejected("x"), rejected("y")], format!("all 2 events were rejected, the first for: x: {reason}")),
        ] {
            let (status, answer) = check(&items, Submitted::Sealed(&[]), None);
            assert_eq!((status, &answer["statusCode"], &answer["error"]), (400, &json!(400), &json!("Bad Request")));
            assert_eq!(answer["message"], message);
            assert_eq!(answer["items"].as_array().unwrap().len(), items.len());
        }
    }

    #[test]
    fn nothing_and_nothing_but_filtered_events_are_no_error() {
        for items in [vec![], vec![Item::Filtered], vec![rejected("x"), Item::Filtered]] {
            assert_eq!(check(&items, Submitted::Sealed(&[]), None).0, 202);
        }
    }

    #[test]
    fn receipts_that_do_not_match_the_events_are_never_shown() {
        let items = [accepted("a"), rejected("x")];
        for receipts in [vec![], vec![receipt(1, 1), receipt(1, 2)]] {
            assert!(write(&items, Submitted::Sealed(&receipts), None).is_err());
        }
    }
}
