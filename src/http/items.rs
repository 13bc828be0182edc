//! Writes the answer to a request that logs events, from the results of intake and the writer.
//!
//! Every event has a receipt, so the JSON of receipts is assembled by hand: serializing each with serde takes three times as
//! long. The tests check the JSON against [`EventsAnswer`](crate::wire::EventsAnswer).

use axum::http::StatusCode;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::answer::reason;
use crate::{
    error::Failure,
    event::ChainId,
    ingest::Outcome,
    intake::{Item, Violation},
    wire::{ErrorAnswer, EventResult, Rejection, Warning},
    writer::{Repeat, SealReceipt},
};

/// The writer's result for the events of a request.
#[derive(Clone, Copy)]
pub(super) enum Submitted<'a> {
    /// One receipt for each accepted event, in order.
    Sealed(&'a [SealReceipt]),
    Dropped,
    /// The writer was not called.
    NotKept,
}

impl<'a> From<&'a Outcome> for Submitted<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        match outcome {
            Outcome::Sealed(receipts) => {
                Self::Sealed(receipts.as_ref().map_or(&[], |receipts| receipts.receipts.as_slice()))
            }
            Outcome::Dropped => Self::Dropped,
            Outcome::NotKept => Self::NotKept,
        }
    }
}

/// Bytes of a result without its texts, at most; and of the members around all results.
const RESULT_BYTES: usize = 256;

/// Returns how many bytes the answer has at most.
pub(super) fn max_bytes(items: &[Item], warnings: &[Warning]) -> usize {
    let of_first = first_of_all_rejected(items).map_or(0, texts);
    let of_warning = |Warning { path, message, .. }: &Warning| RESULT_BYTES + json_length(path) + json_length(message);
    items.iter().map(result_bytes).chain(warnings.iter().map(of_warning)).sum::<usize>() + of_first + RESULT_BYTES
}

fn result_bytes(item: &Item) -> usize {
    match item {
        Item::Accepted { id } => RESULT_BYTES + json_length(id),
        Item::Filtered => RESULT_BYTES,
        Item::Rejected(violations) => {
            let each = violations.iter().map(|violation| RESULT_BYTES + texts(violation)).sum::<usize>();
            RESULT_BYTES + violations.first().map_or(0, texts) + each
        }
    }
}

fn texts(Violation { path, expected, found }: &Violation) -> usize {
    [path, expected, found].into_iter().map(|text| json_length(text)).sum()
}

/// Returns the length of a text in JSON, without quotes.
fn json_length(text: &str) -> usize {
    let of_byte = |byte| match byte {
        b'"' | b'\\' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(of_byte).sum()
}

/// Returns the status and the body of the answer.
pub(super) fn write(
    items: Vec<Item>,
    warnings: &[Warning],
    submitted: Submitted<'_>,
    stored: Option<bool>,
) -> Result<(StatusCode, Vec<u8>), Failure> {
    let mut body = Vec::with_capacity(max_bytes(&items, warnings));
    let status = match first_of_all_rejected(&items) {
        Some(first) => {
            put_json(&mut body, &all_rejected(items.len(), first))?;
            // More members follow.
            body.pop();
            body.push(b',');
            StatusCode::BAD_REQUEST
        }
        None => {
            body.push(b'{');
            StatusCode::ACCEPTED
        }
    };
    body.extend_from_slice(b"\"items\":[");
    put_items(&mut body, items, submitted)?;
    body.push(b']');
    if let Some(stored) = stored.filter(|_| status == StatusCode::ACCEPTED) {
        body.extend_from_slice(b",\"stored\":");
        put_json(&mut body, &stored)?;
    }
    if !warnings.is_empty() {
        body.extend_from_slice(b",\"warnings\":");
        put_json(&mut body, &warnings)?;
    }
    body.push(b'}');
    Ok((status, body))
}

/// Returns the first violation if there are events and all of them are rejected.
fn first_of_all_rejected(items: &[Item]) -> Option<&Violation> {
    let all = items.iter().all(|item| matches!(item, Item::Rejected(_)));
    match items.first() {
        Some(Item::Rejected(violations)) if all => violations.first(),
        Some(Item::Rejected(_) | Item::Accepted { .. } | Item::Filtered) | None => None,
    }
}

fn all_rejected(events: usize, first: &Violation) -> ErrorAnswer<'static> {
    let status = StatusCode::BAD_REQUEST;
    let message = match events {
        1 => format!("the event was rejected: {first}"),
        _ => format!("all {events} events were rejected, the first for: {first}"),
    };
    ErrorAnswer { status_code: status.as_u16(), error: reason(status).into(), message: message.into() }
}

fn put_items(body: &mut Vec<u8>, items: Vec<Item>, submitted: Submitted<'_>) -> Result<(), Failure> {
    let mut receipts = match submitted {
        Submitted::Sealed(receipts) => receipts.iter(),
        Submitted::Dropped | Submitted::NotKept => [].iter(),
    };
    let mut chain = None;
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match (item, submitted) {
            (Item::Accepted { id }, Submitted::Sealed(_)) => {
                put_receipt(body, &id, receipts.next().ok_or_else(mismatch)?, &mut chain)?;
            }
            (Item::Accepted { .. }, Submitted::Dropped) => put_json(body, &EventResult::Dropped)?,
            (Item::Accepted { .. }, Submitted::NotKept) => put_json(body, &EventResult::NotKept)?,
            (Item::Filtered, _) => put_json(body, &EventResult::Filtered)?,
            (Item::Rejected(violations), _) => put_json(body, &EventResult::Rejected(Rejection::new(violations)))?,
        }
    }
    if receipts.next().is_none() { Ok(()) } else { Err(mismatch()) }
}

/// Writes an [`EventResult::Accepted`] or an [`EventResult::Duplicate`]. `chain` caches the JSON of the last chain, because most events of a request are in
/// the same chain.
fn put_receipt(
    body: &mut Vec<u8>,
    id: &str,
    receipt: &SealReceipt,
    chain: &mut Option<(ChainId, String)>,
) -> Result<(), Failure> {
    let position = receipt.position;
    let (_, text) = match chain {
        Some(last) if last.0 == position.chain => last,
        other => other.insert((position.chain, format!(r#","chain":"{}","sequence":"#, position.chain))),
    };
    body.extend_from_slice(match receipt.repeats {
        None => br#"{"status":"accepted","id":"#.as_slice(),
        Some(Repeat::Same | Repeat::Different) => br#"{"status":"duplicate","id":"#,
    });
    put_json(body, id)?;
    body.extend_from_slice(text.as_bytes());
    put_json(body, &position.sequence.0)?;
    if let Some(leaf) = receipt.leaf_hash {
        let mut hash = [0_u8; 43];
        let length = URL_SAFE_NO_PAD.encode_slice(leaf.0, &mut hash).unwrap_or_default();
        body.extend_from_slice(br#","hash":""#);
        body.extend_from_slice(hash.get(..length).unwrap_or_default());
        body.push(b'"');
    }
    if receipt.repeats == Some(Repeat::Different) {
        body.extend_from_slice(br#","differs":true"#);
    }
    body.push(b'}');
    Ok(())
}

fn put_json(body: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
    serde_json::to_writer(body, value).map_err(|error| Failure::internal(error.to_string()))
}

fn mismatch() -> Failure {
    Failure::internal("the writer's receipts do not match the accepted events")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        event::{ChainPosition, LeafHash, Sequence},
        wire::{AllRejectedAnswer, EventsAnswer, WarningCode},
    };

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

    fn receipt(chain: u8, sequence: u64) -> SealReceipt {
        let position = ChainPosition { chain: ChainId::from_bytes([chain; 16]), sequence: Sequence(sequence) };
        SealReceipt { position, leaf_hash: Some(LeafHash([0xfb; 32])), repeats: None }
    }

    /// Returns the answer after checking it against the documented type.
    fn check(items: Vec<Item>, submitted: Submitted<'_>, stored: Option<bool>) -> (u16, serde_json::Value) {
        check_with(items, &[], submitted, stored)
    }

    fn check_with(
        items: Vec<Item>,
        warnings: &[Warning],
        submitted: Submitted<'_>,
        stored: Option<bool>,
    ) -> (u16, serde_json::Value) {
        let most = max_bytes(&items, warnings);
        let (status, body) = write(items, warnings, submitted, stored).unwrap();
        assert!(body.len() <= most && body.capacity() == most, "{} of at most {most} bytes", body.len());
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let described = match status {
            StatusCode::ACCEPTED => serde_json::to_value(serde_json::from_slice::<EventsAnswer>(&body).unwrap()),
            _ => serde_json::to_value(serde_json::from_slice::<AllRejectedAnswer>(&body).unwrap()),
        };
        assert_eq!(described.unwrap(), json);
        (status.as_u16(), json)
    }

    #[test]
    fn each_event_has_its_result_in_order() {
        let items = [accepted("a"), Item::Filtered, rejected("@timestamp"), accepted("\"é\n")];
        let receipts = [receipt(0x0a, 0), receipt(0xff, u64::MAX)];
        let hash = "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s";
        let errors = json!([
            { "path": "@timestamp", "expected": "a \"date\"", "found": "a\nline \u{1} \\ é" },
            { "path": "tags[1]", "expected": "a \"date\"", "found": "a\nline \u{1} \\ é" },
        ]);
        let reason = "expected a \"date\", found a\nline \u{1} \\ é";
        let (status, answer) = check(items.into(), Submitted::Sealed(&receipts), None);
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
    fn the_receipt_of_an_unsealed_event_has_no_hash() {
        let unsealed = SealReceipt { leaf_hash: None, ..receipt(1, 7) };
        let (_, answer) = check(vec![accepted("a")], Submitted::Sealed(&[unsealed]), None);
        let expected = json!({ "status": "accepted", "id": "a", "chain": "01".repeat(16), "sequence": 7 });
        assert_eq!(answer["items"][0], expected);
    }

    #[test]
    fn stored_is_in_the_answer_if_it_was_requested() {
        for stored in [None, Some(true), Some(false)] {
            let (_, answer) = check(vec![accepted("a")], Submitted::Sealed(&[receipt(1, 1)]), stored);
            assert_eq!(answer.get("stored"), stored.map(|stored| json!(stored)).as_ref());
        }
    }

    #[test]
    fn warnings_come_last() {
        let warning = Warning {
            code: WarningCode::UnknownLevel,
            events: u64::MAX,
            first: u64::MAX,
            path: "log.\"level\"".to_owned(),
            message: "\u{1}é".repeat(50),
        };
        let receipts = Submitted::Sealed(&[receipt(1, 1)]);
        let (_, answer) = check_with(vec![accepted("a")], &[warning.clone(), warning.clone()], receipts, None);
        assert_eq!(answer["warnings"], json!([warning, warning]));
    }

    #[test]
    fn nothing_is_stored_if_every_event_is_rejected() {
        let (status, answer) = check(vec![rejected("a")], Submitted::Sealed(&[]), Some(true));
        assert_eq!((status, answer.get("stored")), (400, None));
    }

    #[test]
    fn events_dropped_by_a_full_journal_are_reported_as_dropped() {
        let (status, answer) = check(vec![accepted("a"), Item::Filtered], Submitted::Dropped, None);
        assert_eq!((status, answer), (202, json!({ "items": [{ "status": "dropped" }, { "status": "filtered" }] })));
    }

    #[test]
    fn all_events_invalid_is_an_error_with_the_first_violation() {
        let reason = "expected a \"date\", found a\nline \u{1} \\ é";
        for (items, message) in [
            (vec![rejected("a.b")], format!("the event was rejected: a.b: {reason}")),
            (vec![rejected("")], format!("the event was rejected: {reason}")),
            (vec![rejected("x"), rejected("y")], format!("all 2 events were rejected, the first for: x: {reason}")),
        ] {
            let count = items.len();
            let (status, answer) = check(items, Submitted::Sealed(&[]), None);
            assert_eq!((status, &answer["statusCode"], &answer["error"]), (400, &json!(400), &json!("Bad Request")));
            assert_eq!(answer["message"], message);
            assert_eq!(answer["items"].as_array().unwrap().len(), count);
        }
    }

    #[test]
    fn an_empty_body_or_only_filtered_events_are_not_an_error() {
        for items in [vec![], vec![Item::Filtered], vec![rejected("x"), Item::Filtered]] {
            assert_eq!(check(items, Submitted::Sealed(&[]), None).0, 202);
        }
    }

    #[test]
    fn receipts_that_do_not_match_the_events_are_an_error() {
        for receipts in [vec![], vec![receipt(1, 1), receipt(1, 2)]] {
            assert!(write(vec![accepted("a"), rejected("x")], &[], Submitted::Sealed(&receipts), None).is_err());
        }
    }
}
