//! Whatever comes as the `after` of a find or as the id of an event of a tail is a place that an event may have, or is refused.
//!
//! The first two bytes of an input choose what is made of the rest, and the order of the find.

#![no_main]

use std::{cmp::Ordering, sync::LazyLock};

use annals::{
    http::fuzzing::{Question, last_event_id, opened, sealed},
    query::{Place, Sort},
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// As it is stored.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let event = include_str!("../../golden/events/every-field.json");
    let mut event: Value = serde_json::from_str(event).expect("the example is JSON");
    event["annals"]["chain"] = "0123456789abcdef0123456789abcdef".into();
    event["annals"]["sequence"] = 300.into();
    event
});

/// A key of each kind that events are sorted by, and several at once.
const SORTS: [&str; 8] = [
    r#"[]"#,
    r#"[{"sort_field":"@timestamp","sort_order":"asc"}]"#,
    r#"[{"sort_field":"kibana.alert.flapping","sort_order":"desc"}]"#,
    r#"[{"sort_field":"event.duration","sort_order":"desc"}]"#,
    r#"[{"sort_field":"event.risk_score","sort_order":"asc"}]"#,
    r#"[{"sort_field":"kibana.alerting.status","sort_order":"asc"}]"#,
    r#"[{"sort_field":"message","sort_order":"desc"},{"sort_field":"event.end","sort_order":"asc"}]"#,
    r#"[{"sort_field":"event.action","sort_order":"asc"},{"sort_field":"event.risk_score","sort_order":"desc"},{"sort_field":"@timestamp","sort_order":"desc"}]"#,
];

/// In the content of a cursor, the question that it is of.
const QUESTION: std::ops::Range<usize> = 8..24;

/// The cursor behind the document in each order.
static CURSORS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let behind = |sort| Question { sort, start: None }.cursor_behind(DOCUMENT.to_string().as_bytes());
    SORTS.into_iter().map(|sort| behind(sort).expect("the example has a place")).collect()
});

fuzz_target!(|input: &[u8]| {
    let Some(([made, order], rest)) = input.split_first_chunk() else { return };
    let order = usize::from(*order) % SORTS.len();
    match made % 6 {
        0 => any_text(order, &String::from_utf8_lossy(rest)),
        1 => any_content(order, rest),
        2 => damaged(order, rest),
        3 => any_id(rest),
        4 => any_id(sealed(rest).as_bytes()),
        _ => counted_from(order, rest),
    }
});

/// What passes is spelt as this program spells it.
fn any_text(order: usize, text: &str) {
    let Ok((place, _)) = place_after(order, text) else { return };
    assert_eq!(opened(text).map(|content| sealed(&content)).as_deref(), Some(text), "{place:?}");
}

/// The check and the question are right, whatever else is.
fn any_content(order: usize, content: &[u8]) {
    let mut content = content.to_vec();
    let right = opened(&CURSORS[order]).expect("a cursor of this version");
    if let Some(question) = content.get_mut(QUESTION) {
        question.copy_from_slice(&right[QUESTION]);
    }
    let text = sealed(&content);
    if let Ok((place, sort)) = place_after(order, &text) {
        assert!(i64::try_from(place.position.sequence.0).is_ok(), "{place:?}");
        assert_eq!(place.keys.len(), sort.len());
        assert!(place.keys.iter().zip(&sort).all(|(key, sort)| key.as_ref().is_none_or(|key| sort.may_have(key))));
        let other = Place::of(&DOCUMENT, &sort).expect("the example has a place");
        assert_eq!(place.compare(&other, &sort), other.compare(&place, &sort).reverse());
        assert_eq!(place.compare(&place, &sort), Ordering::Equal);
    }
}

/// Bytes of a good cursor are changed: it is refused, unless nothing is other than it was.
fn damaged(order: usize, changes: &[u8]) {
    let good = &CURSORS[order];
    let mut bytes = good.clone().into_bytes();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(place_after(order, &text).is_ok(), text == good.as_str(), "{text}");
}

/// Times before now that count from any time.
fn counted_from(order: usize, rest: &[u8]) {
    let Some((asked, start)) = rest.split_first_chunk::<8>() else { return };
    let mut content = opened(&CURSORS[order]).expect("a cursor of this version");
    content[..8].copy_from_slice(asked);
    let question = Question { sort: SORTS[order], start: Some(&String::from_utf8_lossy(start)) };
    check(question.place_after(&sealed(&content)));
}

fn any_id(bytes: &[u8]) {
    if let Some(id) = check(last_event_id(bytes)) {
        assert_eq!(last_event_id(id.as_bytes()), Ok(id));
    }
}

fn place_after(order: usize, text: &str) -> Result<(Place, Vec<Sort>), String> {
    let read = Question { sort: SORTS[order], start: None }.place_after(text);
    if let Err(refusal) = &read {
        check::<()>(Err(refusal.clone()));
    }
    read
}

/// A refusal says what was wanted.
fn check<T>(read: Result<T, String>) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(refusal) => {
            assert!(!refusal.is_empty() && refusal.len() < 4_096, "{refusal}");
            None
        }
    }
}
