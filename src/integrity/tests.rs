//! Attacks on a chain, and what its check says of them.

#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;
use crate::event::{ChainId, LeafHash, RetentionClass, UnixMillis};

const EPOCH_MS: u64 = 1_000;
const OPENED: UnixMillis = UnixMillis(1_795_000_000_000);

fn secret(byte: u8) -> SealSecret {
    SealSecret::new(vec![byte; 32].into()).unwrap()
}

struct Log {
    record: OpeningRecord,
    documents: Vec<Vec<u8>>,
    leaves: Vec<LeafHash>,
}

/// A chain of so many events, two in each epoch, of which every other one is not used.
fn log(chain: u8, secret: &SealSecret, events: usize) -> Log {
    let id = ChainId::from_bytes([chain; 16]);
    let record = OpeningRecord {
        chain: id.to_string(),
        epoch_ms: EPOCH_MS,
        format: 1,
        key_check: STANDARD.encode(ChainKeys::first(secret, id).check_value()),
        opened_ms: OPENED.0,
        predecessor: None,
        sealed: true,
        stream: "general".to_owned(),
        verifier_key: String::new(),
        writer: "uuid".to_owned(),
    };
    let tree = TreeRange::default();
    let state = ChainState { chain: id, previous: record.genesis(), received: UnixMillis(0), tree };
    let mut sealing = Chain::resume(&record, state, secret).unwrap();
    let (mut documents, mut leaves) = (Vec::new(), Vec::new());
    for index in 0..events {
        let head = r#"{"@timestamp":"2026-11-24T12:00:00.000Z","annals":{"#;
        let bytes = format!(r#"{head}"stream":"general"}},"event":{{"id":"e{index}"}},"message":"event {index}"}}"#);
        let salt = Salt([index as u8; 16]);
        let digest = ContentDigest::of(&salt, bytes.as_bytes());
        let class = RetentionClass::General;
        let content = ContentRef { bytes: bytes.as_bytes(), annals_at: head.len(), class, salt, digest };
        let received = UnixMillis(OPENED.0 + (index as i64 / 2) * 2 * EPOCH_MS as i64);
        let mut document = Vec::new();
        let (_, leaf) = sealing.begin(received).seal(&content, &mut document);
        documents.push(document);
        leaves.push(leaf.unwrap());
    }
    Log { record, documents, leaves }
}

struct Checked {
    summary: ChainSummary,
    codes: Vec<(FindingCode, u64)>,
    count: u64,
}

fn check<'d>(known: Known, secret: Option<&SealSecret>, documents: impl IntoIterator<Item = &'d Vec<u8>>) -> Checked {
    let mut findings = Findings::default();
    let mut check = ChainCheck::new(ChainId::from_bytes([1; 16]), known, secret);
    let mut without_place = 0;
    for document in documents {
        let examined = Examined::of(document);
        without_place += u64::from(examined.position().is_none());
        check.push(&examined, &mut findings);
    }
    let summary = check.finish(false, &mut findings);
    let place = |finding: &Finding| finding.sequences.as_ref().map_or(u64::MAX, |sequences| *sequences.start());
    let codes = findings.kept().iter().map(|finding| (finding.code, place(finding))).collect();
    Checked { summary, codes, count: findings.count() + without_place }
}

fn known(log: &Log) -> Known {
    Known { opening: Some(log.record.clone()), ..Known::default() }
}

#[test]
fn a_whole_chain_is_verified_in_any_order() {
    let secret = secret(7);
    let log = log(1, &secret, 37);
    let mut tree = TreeRange::default();
    log.leaves.iter().for_each(|leaf| tree.push(leaf));
    let mut orders: Vec<Vec<&Vec<u8>>> = vec![log.documents.iter().collect(), log.documents.iter().rev().collect()];
    orders.push((0..37).map(|index| &log.documents[index * 10 % 37]).collect());
    for order in orders {
        let Checked { summary, codes, .. } = check(known(&log), Some(&secret), order);
        assert_eq!(codes, []);
        assert_eq!((summary.first, summary.last, summary.events), (Some(0), Some(36), 37));
        assert!(summary.begins_as_opened);
        assert_eq!(summary.root, tree.root());
    }
    let empty = check(known(&log), Some(&secret), []);
    assert_eq!((empty.codes, empty.summary.events, empty.summary.root), (vec![], 0, None));
}

#[test]
fn stubs_and_copies_are_events_and_are_counted() {
    let secret = secret(7);
    let mut log = log(1, &secret, 5);
    log.documents[1] = stub(&log.documents[1]).unwrap();
    log.documents[3] = stub_without_content(&log.documents[3]).unwrap();
    let last = log.documents[4].clone();
    log.documents.push(last);
    let Checked { summary, codes, .. } = check(known(&log), Some(&secret), &log.documents);
    assert_eq!(codes, []);
    assert_eq!((summary.events, summary.without_content, summary.duplicates), (5, 1, 1));
}

/// Replaces a text in a document.
fn replaced(document: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(document.to_vec()).unwrap();
    assert!(text.contains(from), "{from} is in {text}");
    text.replace(from, to).into_bytes()
}

/// Moves the seal members of one document to the content of another.
fn with_content_of(document: &[u8], other: &[u8]) -> Vec<u8> {
    let (own, other) = (String::from_utf8_lossy(document), String::from_utf8_lossy(other));
    let begin = |text: &str| text.find("\"chain\"").unwrap();
    let end = |text: &str| text.find("\"stream\"").unwrap();
    let members = &own[begin(&own)..end(&own)];
    [&other[..begin(&other)], members, &other[end(&other)..]].concat().into_bytes()
}

#[test]
fn each_attack_is_found_where_it_was_made() {
    use FindingCode::*;
    let (right, wrong) = (secret(7), secret(8));
    let genuine = log(1, &right, 12);
    let forged = log(1, &wrong, 12);
    let foreign = log(2, &right, 12);
    type Attack<'a> = (&'static str, Box<dyn Fn(&mut Vec<Vec<u8>>) + 'a>, Vec<(FindingCode, u64)>);
    let attacks: Vec<Attack<'_>> = vec![
        ("one letter", Box::new(|d| d[5] = replaced(&d[5], "event 5", "event 6")), vec![(ContentModified, 5)]),
        (
            "a seal member",
            Box::new(|d| d[5] = replaced(&d[5], "\"received\":\"2026", "\"received\":\"2025")),
            vec![(EpochInvalid, 5), (EpochInvalid, 5), (LinkBroken, 6)],
        ),
        (
            "the class",
            Box::new(|d| d[5] = replaced(&d[5], "\"retention\":\"general", "\"retention\":\"long")),
            vec![(SealInvalid, 5), (LinkBroken, 6)],
        ),
        (
            "an unknown class",
            Box::new(|d| d[5] = replaced(&d[5], "\"retention\":\"general", "\"retention\":\"none")),
            vec![(DocumentInvalid, 5), (EventMissing, 5)],
        ),
        (
            "two contents swapped",
            Box::new(|d| {
                let (one, other) = (with_content_of(&d[5], &d[8]), with_content_of(&d[8], &d[5]));
                (d[5], d[8]) = (one, other);
            }),
            vec![(ContentModified, 5), (ContentModified, 8)],
        ),
        (
            "fields beside a stub",
            Box::new(|d| d[5] = replaced(&stub(&d[5]).unwrap(), "{\"annals\"", "{\"a\":1,\"annals\"")),
            vec![(ContentModified, 5)],
        ),
        (
            "fields beside the seal of a hollow document",
            Box::new(|d| {
                let hollow = stub_without_content(&d[5]).unwrap();
                d[5] = replaced(&hollow, "{\"annals\"", "{\"a\":1,\"annals\"");
            }),
            vec![(ContentModified, 5)],
        ),
        (
            "another form of the time",
            Box::new(|d| d[5] = replaced(&d[5], "Z\",\"retention", "z\",\"retention")),
            vec![(DocumentInvalid, 5), (EventMissing, 5)],
        ),
        (
            "the last possible sequence",
            Box::new(|d| {
                let last = format!("\"sequence\":{}", u64::MAX);
                let added = replaced(&d[5], "\"sequence\":5", &last);
                d.push(added);
            }),
            vec![(SealInvalid, u64::MAX), (DocumentInvalid, u64::MAX)],
        ),
        ("the first deleted", Box::new(|d| _ = d.remove(0)), vec![(EventMissing, 0)]),
        ("some deleted", Box::new(|d| _ = d.drain(4..7)), vec![(EventMissing, 4)]),
        ("the last deleted", Box::new(|d| _ = d.pop()), vec![(TailMissing, 11)]),
        ("all deleted", Box::new(Vec::clear), vec![(TailMissing, 11)]),
        (
            "one sealed with another secret",
            Box::new(|d| d[5].clone_from(&forged.documents[5])),
            vec![(SealInvalid, 5), (LinkBroken, 5), (LinkBroken, 6)],
        ),
        (
            "the end sealed with another secret",
            Box::new(|d| d[11].clone_from(&forged.documents[11])),
            vec![(SealInvalid, 11), (TailMissing, 11), (LinkBroken, 11)],
        ),
        (
            "another event in a place",
            Box::new(|d| d.push(forged.documents[5].clone())),
            vec![(SealInvalid, 5), (DuplicateConflict, 5)],
        ),
        (
            "the seal removed",
            Box::new(|d| {
                let text = String::from_utf8_lossy(&d[5]).into_owned();
                let seal = &text[text.find("\"seal\"").unwrap()..text.find("\"sequence\"").unwrap()];
                d[5] = text.replace(seal, "").into_bytes();
            }),
            vec![(DocumentInvalid, 5), (EventMissing, 5)],
        ),
        (
            "all seal members removed",
            Box::new(|d| {
                let mut text: serde_json::Value = serde_json::from_slice(&d[5]).unwrap();
                let annals = text["annals"].as_object_mut().unwrap();
                annals.retain(|name, _| !["hash", "previous", "seal"].contains(&name.as_str()));
                d[5] = text.to_string().into_bytes();
            }),
            vec![(EventUnsealed, 5)],
        ),
        (
            "an epoch beyond all",
            Box::new(|d| d[5] = replaced(&d[5], "\"seal\":\"4.", "\"seal\":\"4000000000.")),
            vec![(EpochInvalid, 5), (EpochInvalid, 5), (LinkBroken, 6), (EpochInvalid, 6)],
        ),
    ];
    for (name, attack, expected) in attacks {
        let mut documents = genuine.documents.clone();
        attack(&mut documents);
        let known = Known { kept: [(11, Some(genuine.leaves[11]))].into(), ..known(&genuine) };
        assert_eq!(check(known, Some(&right), &documents).codes, expected, "{name}");
    }
    // Without the secret, an end that was sealed with another one still does not link, and a whole chain has another beginning.
    let rebuilt = check(known(&genuine), None, &forged.documents);
    assert_eq!(rebuilt.codes, [(LinkBroken, 0)]);
    assert!(!rebuilt.summary.begins_as_opened);
    let known = known(&foreign);
    assert_eq!(check(known, Some(&right), &foreign.documents).count, 12, "another chain's keys are not this one's");
}

#[test]
fn an_unsealed_chain_proves_nothing_and_says_so() {
    let secret = secret(7);
    let mut log = log(1, &secret, 3);
    log.record.sealed = false;
    for document in &mut log.documents {
        let mut text: serde_json::Value = serde_json::from_slice(document).unwrap();
        text["annals"]
            .as_object_mut()
            .unwrap()
            .retain(|name, _| !["hash", "previous", "seal"].contains(&name.as_str()));
        *document = text.to_string().into_bytes();
    }
    let Checked { summary, codes, .. } = check(known(&log), Some(&secret), &log.documents);
    assert_eq!((codes, summary.unsealed, summary.events, summary.root), (vec![], 3, 3, None));
}

#[test]
fn keys_are_those_of_each_epoch_in_any_order() {
    let secret = secret(7);
    let log = log(1, &secret, 5_000);
    let order = (0..5_000).map(|index| &log.documents[index * 1_777 % 5_000]);
    assert_eq!(check(known(&log), Some(&secret), order).codes, []);
}

proptest! {
    #[test]
    fn any_changed_byte_is_found(events in 1..6_usize, at in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let secret = secret(7);
        let mut log = log(1, &secret, events);
        let document = at.index(events);
        let byte = place.index(log.documents[document].len());
        log.documents[document][byte] ^= flip;
        let kept = [(events as u64 - 1, Some(log.leaves[events - 1]))].into();
        let checked = check(Known { kept, ..known(&log) }, Some(&secret), &log.documents);
        prop_assert!(checked.count > 0, "{}", String::from_utf8_lossy(&log.documents[document]));
    }
}
