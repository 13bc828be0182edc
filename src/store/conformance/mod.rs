//! One test suite for all stores. It makes no assumption about existing data: each case has its own chain and objects.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod extremes;
mod fields;
mod filters;
mod labels;
mod long_texts;
mod questions;

use std::{collections::BTreeSet, ops::Bound, panic::AssertUnwindSafe};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use serde_json::{Value, json};

use super::{
    Outcome, Page, Store, Target,
    testing::{
        ACTION, DURATION, Draft, END, GAP_DURATION, GAP_STATUS, MESSAGE, PROVIDER, QueryBuilder, SEQUENCE, START,
        TIMESTAMP, about, about_any, draft, fresh_chain, fresh_name, misfiled, position, stub_of,
    },
};
use crate::{
    event::{ChainHead, ChainId, SealedEvent, Severity, Stream},
    integrity::{self, seal_of},
    query::{
        Order::{self, Ascending, Descending},
        Subject,
        filter::{Filter, Test, Value as FilterValue},
    },
    schema::{self, Field},
};

/// Runs all cases; fails with the names of those that failed.
pub(crate) async fn suite(store: &dyn Store) {
    let general = Stream::general();
    store.setup(std::slice::from_ref(&general)).await.expect("the store sets itself up");
    store.setup(std::slice::from_ref(&general)).await.expect("the store sets itself up again");
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let target = store.target(&general).await.expect("the store has a target");
        let fixture = Fixture { store, target, chain: fresh_chain(), id: fresh_name() };
        if AssertUnwindSafe(case(&fixture)).catch_unwind().await.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "the store fails: {failed:#?}");
    // Nothing that the cases have stored, replaced or appended twice is filed otherwise than its document says.
    if let Some((documents, found)) = misfiled(store, 1 << 20).await {
        assert!(documents > 0, "the store compares its documents");
        assert_eq!(found, []);
    }
}

type Case = for<'a> fn(&'a Fixture<'a>) -> BoxFuture<'a, ()>;

const CASES: &[(&str, Case)] = &[
    // First, as they make many queries, and one store scans everything for each.
    ("labels are sorted by, whatever their names", |b| Box::pin(labels::labels_are_sorted_by(b))),
    ("labels are counted, whatever their names", |b| Box::pin(labels::labels_are_counted(b))),
    ("every field that is sorted by divides into pages", |b| Box::pin(fields::every_sortable_field_divides(b))),
    ("every field that is counted is counted alike", |b| Box::pin(fields::every_countable_field_counts(b))),
    ("members of arrays of objects are counted alike", |b| Box::pin(fields::members_of_objects_count(b))),
    ("documents come back byte for byte", |b| Box::pin(bytes_come_back(b))),
    ("fields that are not known are kept in any shape", |b| Box::pin(unmapped_fields_come_back(b))),
    ("an event that is appended again is there once", |b| Box::pin(append_is_idempotent(b))),
    ("an event may be twice in one append", |b| Box::pin(twice_in_one_append(b))),
    ("appends of the same events at once store each once", |b| Box::pin(appends_at_once(b))),
    ("another event at a position is a conflict that tells its seal", |b| Box::pin(conflict(b))),
    ("each event has its outcome, in order", |b| Box::pin(outcomes_in_order(b))),
    ("without seals the bytes tell events apart", |b| Box::pin(unsealed(b))),
    ("nothing appended is nothing stored", |b| Box::pin(append_nothing(b))),
    ("the reference matches as a whole", |b| Box::pin(one_element_matches(b))),
    ("an event is found once however many of its references match", |b| Box::pin(found_once(b))),
    ("spaces are apart", |b| Box::pin(spaces_are_apart(b))),
    ("start and end are within", |b| Box::pin(bounds_are_inclusive(b))),
    ("bounds compare in milliseconds", |b| Box::pin(bounds_in_milliseconds(b))),
    ("every field sorts both ways, what is missing last", |b| Box::pin(every_field_sorts(b))),
    ("time sorts both ways", |b| Box::pin(time_sorts(b))),
    ("severities sort by gravity", |b| Box::pin(severities_sort(b))),
    ("a message too long to sort by counts as missing", |b| Box::pin(long_messages_sort_last(b))),
    ("times equal in milliseconds stand in chain order", |b| Box::pin(milliseconds_tie(b))),
    ("equal sequences stand in the order of their chains", |b| Box::pin(chains_break_ties(b))),
    ("the second key sorts what the first leaves equal", |b| Box::pin(second_key(b))),
    ("no key at all sorts by chain position", |b| Box::pin(no_key(b))),
    ("pages over ties are whole", |b| Box::pin(pages_are_whole(b))),
    ("a page of none has the total", |b| Box::pin(page_of_none(b))),
    ("a page beyond the end is empty", |b| Box::pin(page_beyond_the_end(b))),
    ("thousands of ids may be asked for", |b| Box::pin(many_ids(b))),
    ("no ids find nothing", |b| Box::pin(no_ids(b))),
    ("ids are plain text", |b| Box::pin(special_character_ids(b))),
    ("long texts have values up to a length", |b| Box::pin(long_texts::have_values_up_to_a_length(b))),
    ("random filters find what they mean", |b| Box::pin(filters::random_filters(b))),
    ("texts that were too long are found by their beginnings", |b| Box::pin(filters::beginnings_are_found(b))),
    ("labels are told apart, whatever their names", |b| Box::pin(filters::labels_are_told_apart(b))),
    ("what is visible is what is in the spaces", |b| Box::pin(questions::what_is_visible(b))),
    ("a place divides every order", |b| Box::pin(questions::places_divide_orders(b))),
    ("a place divides what is equal", |b| Box::pin(questions::places_divide_ties(b))),
    ("a scan reads what was there, once, in order", |b| Box::pin(questions::scans_are_whole(b))),
    ("pages and scans end at their bytes", |b| Box::pin(questions::bytes_are_bounded(b))),
    ("a scan of nothing ends", |b| Box::pin(questions::scans_of_nothing(b))),
    ("chains are known, and how far they reach", |b| Box::pin(questions::chains_reach(b))),
    ("a range of a chain is read with everything in it", |b| Box::pin(questions::ranges_have_everything(b))),
    ("chains are found by their names", |b| Box::pin(questions::chains_are_found(b))),
    ("terms are counted", |b| Box::pin(questions::terms_are_counted(b))),
    ("terms of every kind are counted", |b| Box::pin(questions::terms_of_every_kind(b))),
    ("terms in elements count events", |b| Box::pin(questions::terms_in_elements(b))),
    ("terms are counted whatever their number", |b| Box::pin(questions::terms_in_any_number(b))),
    ("histograms have no gaps", |b| Box::pin(questions::histograms_have_no_gaps(b))),
    ("histograms follow a time zone", |b| Box::pin(questions::histograms_follow_a_time_zone(b))),
    ("histograms leave out what has no date", |b| Box::pin(questions::histograms_of_what_may_be_missing(b))),
    ("histograms have so many spans and no more", |b| Box::pin(questions::histograms_end_somewhere(b))),
    ("numbers have statistics", |b| Box::pin(questions::numbers_have_statistics(b))),
    ("numbers have percentiles", |b| Box::pin(questions::numbers_have_percentiles(b))),
    ("a store knows itself and what it holds", |b| Box::pin(what_is_held(b))),
    ("the head is the end of the chain", |b| Box::pin(heads(b))),
    ("a writer's chains are known", |b| Box::pin(chains_of_writers(b))),
    ("a stub holds its place, unseen", |b| Box::pin(stub_holds_its_place(b))),
    ("an event takes its stub's place", |b| Box::pin(stub_is_replaced(b))),
    ("a replacement takes nothing else's place", |b| Box::pin(only_stubs_are_replaced(b))),
    ("what events may hold at most is taken", |b| Box::pin(extremes::are_accepted(b))),
];

/// A store, with names unique to the case.
struct Fixture<'a> {
    store: &'a dyn Store,
    target: Target,
    chain: ChainId,
    id: String,
}

impl Fixture<'_> {
    /// A draft about the case's object.
    fn draft(&self) -> Draft {
        draft().about("alert", &self.id)
    }

    fn sealed(&self, sequence: u64, draft: Draft) -> SealedEvent {
        draft.sealed(position(self.chain, sequence))
    }

    async fn append(&self, events: &[SealedEvent]) -> Vec<Outcome> {
        let outcomes = self.store.append(&self.target, events).await.expect("the store takes events");
        assert_eq!(outcomes.len(), events.len());
        outcomes
    }

    /// Appends the drafts from position 0 on, and asserts that they are stored.
    async fn stored(&self, drafts: impl IntoIterator<Item = Draft>) -> Vec<SealedEvent> {
        let events: Vec<_> =
            drafts.into_iter().zip(0..).map(|(draft, sequence)| self.sealed(sequence, draft)).collect();
        assert_eq!(self.append(&events).await, vec![Outcome::Stored; events.len()]);
        events
    }

    async fn replace(&self, event: &SealedEvent) -> Outcome {
        self.store.replace(&self.target, event).await.expect("the store replaces")
    }

    async fn find(&self, question: QueryBuilder) -> Page {
        self.store.refresh().await.expect("the store refreshes");
        self.store.find(&question.build()).await.expect("the store answers")
    }

    /// The sequences of the found events, in order; all on one page.
    async fn order(&self, question: QueryBuilder) -> Vec<u64> {
        let page = self.find(question).await;
        assert_eq!(page.total, page.documents.len() as u64, "the total is that of the page");
        page.documents.iter().map(sequence).collect()
    }

    async fn head(&self, chain: ChainId) -> Option<ChainHead> {
        self.store.refresh().await.expect("the store refreshes");
        self.store.head(chain).await.expect("the store knows its heads")
    }

    fn query(&self) -> QueryBuilder {
        about("alert", &self.id)
    }
}

const NONE: [u64; 0] = [];

fn parse(document: &Bytes) -> Value {
    serde_json::from_slice(document).expect("documents are JSON")
}

fn sequence(document: &Bytes) -> u64 {
    parse(document)["annals"]["sequence"].as_u64().expect("documents have a sequence")
}

fn documents(events: &[SealedEvent]) -> Vec<Bytes> {
    events.iter().map(|event| event.document.clone()).collect()
}

async fn bytes_come_back(fixture: &Fixture<'_>) {
    let texts = ["Grüße, 世界 🦀 \u{2028} \u{7f}", "\"\\/\u{8}\t\n\u{c}\r\u{1}", &"long ".repeat(20_000), ""];
    let mut events = fixture.stored(texts.map(|text| fixture.draft().with("message", text))).await;
    // Not canonical, but kept unchanged.
    let odd = fixture.draft().with("message", "number").with("annals.code", 7).sealed_with(
        position(fixture.chain, 4),
        |value| {
            let text = value.to_string().replace("\"number\"", " \"\\u0041 \\/ \\ud83e\\udd80\"  ");
            text.replace("\"code\":7", "\"code\": 7.0e0")
        },
    );
    assert_eq!(fixture.append(std::slice::from_ref(&odd)).await, [Outcome::Stored]);
    events.push(odd);
    let page = fixture.find(fixture.query().by(&[(&SEQUENCE, Ascending)])).await;
    assert_eq!(page.total, 5);
    assert_eq!(page.documents, documents(&events));
}

/// No event keeps another out by the shape of what nobody maps.
async fn unmapped_fields_come_back(fixture: &Fixture<'_>) {
    let shapes = [
        json!({"x": 1, "message": {"deep": [1, {"er": null}]}}),
        json!({"x": {"y": "text"}, "x.y": [[]], "message": "text"}),
        json!({"x": "2026-13-45", "@timestamp": {}, "a[0].b": true}),
    ];
    let drafts = shapes.map(|shape| fixture.draft().with("annals.unmapped", shape));
    let events = fixture.stored(drafts).await;
    let documents: Vec<_> = events.iter().map(|event| event.document.clone()).collect();
    let query = fixture.query().by(&[(&SEQUENCE, Ascending)]);
    assert_eq!(fixture.find(query).await.documents, documents);
}

async fn append_is_idempotent(fixture: &Fixture<'_>) {
    let events = fixture.stored([fixture.draft(), fixture.draft()]).await;
    assert_eq!(fixture.append(&events).await, [Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(fixture.find(fixture.query()).await.documents, documents(&events));
}

async fn twice_in_one_append(fixture: &Fixture<'_>) {
    let event = fixture.sealed(0, fixture.draft());
    assert_eq!(fixture.append(&[event.clone(), event]).await, [Outcome::Stored, Outcome::Duplicate]);
    assert_eq!(fixture.find(fixture.query()).await.total, 1);
}

async fn appends_at_once(fixture: &Fixture<'_>) {
    let events: Vec<_> = (0..20).map(|sequence| fixture.sealed(sequence, fixture.draft())).collect();
    let outcomes = join_all((0..4).map(|_| fixture.append(&events))).await;
    for place in 0..events.len() {
        let stored = outcomes.iter().filter(|outcomes| outcomes[place] == Outcome::Stored).count();
        let duplicate = outcomes.iter().filter(|outcomes| outcomes[place] == Outcome::Duplicate).count();
        assert_eq!((stored, duplicate), (1, 3), "at {place}");
    }
    assert_eq!(fixture.find(fixture.query()).await.total, 20);
}

async fn conflict(fixture: &Fixture<'_>) {
    let first = fixture.stored([fixture.draft()]).await.remove(0);
    let other = fixture.sealed(0, fixture.draft().with("message", "forged"));
    let found_seal = seal_of(&first.document).expect("events are sealed");
    assert_eq!(fixture.append(&[other]).await, [Outcome::Conflict { found_seal }]);
    assert_eq!(fixture.find(fixture.query()).await.documents, [first.document]);
}

async fn unsealed(fixture: &Fixture<'_>) {
    let place = |sequence: u64, message: &str| {
        fixture.draft().with("message", message).unsealed(position(fixture.chain, sequence))
    };
    let stub_of = |event: &SealedEvent, stub: Option<Vec<u8>>| SealedEvent {
        document: stub.expect("events have stubs").into(),
        ..event.clone()
    };
    let (first, second, third) = (place(0, "1"), place(1, "2"), place(2, "3"));
    let second_stub = stub_of(&second, integrity::stub(&second.document));
    let third_stub = stub_of(&third, integrity::stub_without_content(&third.document));
    let batch = [first.clone(), second_stub.clone(), third_stub];
    assert_eq!(fixture.append(&batch).await, vec![Outcome::Stored; 3]);
    assert_eq!(fixture.append(&batch).await, vec![Outcome::Duplicate; 3]);
    assert_eq!(fixture.append(&[second.clone(), third]).await, vec![Outcome::Duplicate; 2], "whose stubs are there");
    let conflict = Outcome::Conflict { found_seal: String::new() };
    let sealed = fixture.sealed(0, fixture.draft());
    let others = [place(0, "another"), place(1, "another"), sealed];
    assert_eq!(fixture.append(&others).await, vec![conflict; 3]);
    assert_eq!(fixture.replace(&second).await, Outcome::Stored);
    assert_eq!(fixture.append(&[second_stub]).await, [Outcome::Duplicate]);
    assert_eq!(fixture.order(fixture.query().by(&[(&SEQUENCE, Ascending)])).await, [0, 1]);
    assert_eq!(fixture.head(fixture.chain).await, Some(ChainHead { position: position(fixture.chain, 2), seal: None }));
}

async fn outcomes_in_order(fixture: &Fixture<'_>) {
    let stored = fixture.stored([fixture.draft(), fixture.draft(), fixture.draft()]).await;
    let other = fixture.sealed(2, fixture.draft());
    let batch = [
        fixture.sealed(4, fixture.draft()),
        stored[1].clone(),
        other,
        fixture.sealed(3, fixture.draft()),
        stored[0].clone(),
    ];
    let found_seal = seal_of(&stored[2].document).expect("events are sealed");
    let expected =
        [Outcome::Stored, Outcome::Duplicate, Outcome::Conflict { found_seal }, Outcome::Stored, Outcome::Duplicate];
    assert_eq!(fixture.append(&batch).await, expected);
    assert_eq!(fixture.order(fixture.query().by(&[(&SEQUENCE, Ascending)])).await, [0, 1, 2, 3, 4]);
}

async fn append_nothing(fixture: &Fixture<'_>) {
    assert_eq!(fixture.append(&[]).await, []);
}

async fn one_element_matches(fixture: &Fixture<'_>) {
    let id = &fixture.id;
    let not_primary = json!({"type": "alert", "id": id, "namespace": "marketing"});
    let oddly_related = json!({"rel": "secondary", "type": "alert", "id": id, "namespace": "marketing"});
    let other_type = json!({"rel": "primary", "type": "action", "id": id, "namespace": "marketing"});
    let other_id = json!({"rel": "primary", "type": "alert", "id": "other", "namespace": "marketing"});
    let other_space = json!({"rel": "primary", "type": "alert", "id": id, "namespace": "sales"});
    let default_space = json!({"rel": "primary", "type": "alert", "id": id});
    let right = json!({"rel": "primary", "type": "alert", "id": id, "namespace": "marketing"});
    let references = [
        vec![&not_primary],
        vec![&not_primary, &other_id],
        vec![&oddly_related, &other_id],
        vec![&other_type, &other_id],
        vec![&other_space, &other_type],
        vec![&default_space, &other_id],
        vec![&other_id, &right, &not_primary],
    ];
    let draft_of = |references: Vec<&Value>| references.into_iter().cloned().fold(draft(), Draft::referring);
    fixture.stored(references.map(draft_of)).await;
    assert_eq!(fixture.order(fixture.query().in_space("marketing")).await, [6]);
}

async fn found_once(fixture: &Fixture<'_>) {
    let other = fresh_name();
    fixture.stored([fixture.draft().about("alert", &fixture.id).about("alert", &other), fixture.draft()]).await;
    assert_eq!(fixture.order(fixture.query()).await, [0, 1]);
    assert_eq!(fixture.order(about_any("alert", vec![other.clone(), fixture.id.clone()])).await, [0, 1]);
    assert_eq!(fixture.order(about_any("alert", vec![fixture.id.clone(), fixture.id.clone()])).await, [0, 1]);
    assert_eq!(fixture.order(about("alert", &other)).await, [0]);
}

async fn spaces_are_apart(fixture: &Fixture<'_>) {
    let within = |space: &str| {
        draft().referring(json!({"rel": "primary", "type": "alert", "id": fixture.id, "namespace": space}))
    };
    fixture.stored([fixture.draft(), within("marketing"), within("sales"), within("default")]).await;
    assert_eq!(fixture.order(fixture.query()).await, [0], "a namespace named default is not the default space");
    assert_eq!(fixture.order(fixture.query().in_space("marketing")).await, [1]);
    assert_eq!(fixture.order(fixture.query().in_space("sales")).await, [2]);
    assert_eq!(fixture.order(fixture.query().in_space("elsewhere")).await, NONE);
}

async fn bounds_are_inclusive(fixture: &Fixture<'_>) {
    let times = ["12:00:00.000", "12:00:00.001", "12:00:00.002", "12:00:00.003"];
    fixture.stored(times.map(|time| fixture.draft().at(&format!("2026-11-24T{time}Z")))).await;
    let (first, last) = ("2026-11-24T12:00:00.001Z", "2026-11-24T12:00:00.002Z");
    assert_eq!(fixture.order(fixture.query().from(first).to(last)).await, [1, 2]);
    assert_eq!(fixture.order(fixture.query().from(last)).await, [2, 3]);
    assert_eq!(fixture.order(fixture.query().to(first)).await, [0, 1]);
    assert_eq!(fixture.order(fixture.query().from(last).to(first)).await, NONE);
}

async fn bounds_in_milliseconds(fixture: &Fixture<'_>) {
    fixture.stored([fixture.draft().at("2026-11-24T12:00:00.001999999Z")]).await;
    let within = |time: &str| fixture.query().from(time).to(time);
    assert_eq!(fixture.order(within("2026-11-24T12:00:00.001Z")).await, [0]);
    assert_eq!(fixture.order(within("2026-11-24T12:00:00.002Z")).await, NONE);
}

/// Three values per field, ascending.
fn values() -> Vec<(&'static Field, [Value; 3])> {
    let dates = ["2026-11-24T11:59:59.999Z", "2026-11-24T12:00:00.000Z", "2026-11-24T12:00:00.001Z"];
    let texts = ["Zoë", "a", "ß"];
    // By code point, not by UTF-16 unit.
    let high = ["a", "a\u{fffd}", "a\u{10000}"];
    vec![
        (&START, dates.map(Value::from)),
        (&END, ["0999-12-31T00:00:00.000Z", "1969-12-31T00:00:00.000Z", "9999-01-01T00:00:00.000Z"].map(Value::from)),
        (&PROVIDER, texts.map(Value::from)),
        (&ACTION, high.map(Value::from)),
        (&DURATION, ["-1", "9", "10"].map(Value::from)),
        (&DURATION, ["9007199254740992", "9007199254740993", "9223372036854775807"].map(Value::from)),
        (&MESSAGE, ["A man", "a Plan", "a canal"].map(Value::from)),
        (&MESSAGE, high.map(Value::from)),
        (&GAP_STATUS, ["filled", "partially_filled", "unfilled"].map(Value::from)),
        (&GAP_DURATION, [9, 10, 100].map(Value::from)),
    ]
}

async fn every_field_sorts(fixture: &Fixture<'_>) {
    for (field, [low, middle, high]) in values() {
        let fixture = Fixture { chain: fresh_chain(), id: fresh_name(), target: fixture.target.clone(), ..*fixture };
        let of = |value: &Value| fixture.draft().with(field.path, value.clone());
        let without = || fixture.draft().without(field.path);
        fixture.stored([of(&middle), without(), of(&low), of(&middle), of(&high), without()]).await;
        let by = |order| fixture.query().by(&[(field, order)]);
        assert_eq!(fixture.order(by(Ascending)).await, [2, 0, 3, 4, 1, 5], "{field:?} ascending");
        assert_eq!(fixture.order(by(Descending)).await, [4, 3, 0, 2, 5, 1], "{field:?} descending");
    }
}

async fn time_sorts(fixture: &Fixture<'_>) {
    let times = ["2026-11-24T12:00:00.000Z", "1969-12-31T23:59:59.999Z", "2026-11-24T12:00:00.000Z"];
    fixture.stored(times.map(|time| fixture.draft().at(time))).await;
    assert_eq!(fixture.order(fixture.query().by(&[(&TIMESTAMP, Ascending)])).await, [1, 0, 2]);
    assert_eq!(fixture.order(fixture.query().by(&[(&TIMESTAMP, Descending)])).await, [2, 0, 1]);
    assert_eq!(fixture.order(fixture.query().by(&[(&SEQUENCE, Descending)])).await, [2, 1, 0]);
}

async fn long_messages_sort_last(fixture: &Fixture<'_>) {
    let messages = [
        "a".repeat(8_192),         // too long
        "b".repeat(8_191),         // as long as may be
        "\u{1f980}".repeat(4_096), // 8,192 units
        "\u{1f980}".repeat(4_095), // 8,190 units
        "é".repeat(8_191),         // twice as many bytes
    ];
    fixture.stored(messages.map(|message| fixture.draft().with("message", message))).await;
    assert_eq!(fixture.order(fixture.query().by(&[(&MESSAGE, Ascending)])).await, [1, 4, 3, 0, 2]);
    assert_eq!(fixture.order(fixture.query().by(&[(&MESSAGE, Descending)])).await, [3, 4, 1, 2, 0]);
}

async fn severities_sort(fixture: &Fixture<'_>) {
    let severities = [Severity::Error, Severity::Debug, Severity::Fatal, Severity::Warning, Severity::Critical];
    let of = |severity: Severity| {
        let number = fixture.draft().with("annals.severity_number", severity.number());
        number.with("annals.severity", severity.as_str())
    };
    fixture.stored(severities.map(of)).await;
    let severity = schema::field("annals.severity").expect("the field is in the table");
    assert_eq!(fixture.order(fixture.query().by(&[(severity, Ascending)])).await, [1, 3, 0, 4, 2]);
    assert_eq!(fixture.order(fixture.query().by(&[(severity, Descending)])).await, [2, 4, 0, 3, 1]);
    let graver = Test::Range { low: Bound::Excluded(FilterValue::Text("warning".to_owned())), high: Bound::Unbounded };
    let graver = Filter::value(Subject::Field(severity), graver).expect("severities can be compared");
    assert_eq!(fixture.order(fixture.query().with(graver)).await, [0, 2, 4]);
}

async fn milliseconds_tie(fixture: &Fixture<'_>) {
    let times = ["000999999", "000000001", "000", "001"];
    fixture.stored(times.map(|time| fixture.draft().at(&format!("2026-11-24T12:00:00.{time}Z")))).await;
    assert_eq!(fixture.order(fixture.query().by(&[(&TIMESTAMP, Ascending)])).await, [0, 1, 2, 3]);
    assert_eq!(fixture.order(fixture.query().by(&[(&TIMESTAMP, Descending)])).await, [3, 2, 1, 0]);
}

async fn chains_break_ties(fixture: &Fixture<'_>) {
    let mut chains = [fixture.chain, fresh_chain()];
    chains.sort();
    let of =
        |chain, sequence, message: &str| fixture.draft().with("message", message).sealed(position(chain, sequence));
    let events =
        [of(chains[1], 0, "second"), of(chains[1], 1, "fourth"), of(chains[0], 1, "third"), of(chains[0], 0, "first")];
    assert_eq!(fixture.append(&events).await, vec![Outcome::Stored; 4]);
    let mut expected: Vec<_> = [3, 0, 2, 1].map(|event: usize| events[event].document.clone()).into();
    assert_eq!(fixture.find(fixture.query().by(&[(&TIMESTAMP, Ascending)])).await.documents, expected);
    expected.reverse();
    assert_eq!(fixture.find(fixture.query().by(&[(&TIMESTAMP, Descending)])).await.documents, expected);
}

async fn second_key(fixture: &Fixture<'_>) {
    let of =
        |action: &str, duration: &str| fixture.draft().with("event.action", action).with("event.duration", duration);
    fixture.stored([of("b", "1"), of("a", "2"), of("b", "3"), of("a", "4"), of("b", "3")]).await;
    let by = |first: Order, second: Order| fixture.query().by(&[(&ACTION, first), (&DURATION, second)]);
    assert_eq!(fixture.order(by(Ascending, Descending)).await, [3, 1, 2, 4, 0]);
    assert_eq!(fixture.order(by(Descending, Ascending)).await, [0, 4, 2, 1, 3], "ties go with the first key");
}

async fn no_key(fixture: &Fixture<'_>) {
    fixture.stored([2, 1, 0].map(|second| fixture.draft().at(&format!("2026-11-24T12:00:0{second}.000Z")))).await;
    assert_eq!(fixture.order(fixture.query().by(&[])).await, [0, 1, 2]);
}

async fn pages_are_whole(fixture: &Fixture<'_>) {
    fixture
        .stored((0..23).map(|n| fixture.draft().with("event.action", if n % 2 == 0 { "even" } else { "odd" })))
        .await;
    for (field, order) in [(&TIMESTAMP, Ascending), (&ACTION, Ascending), (&ACTION, Descending)] {
        let whole = fixture.order(fixture.query().by(&[(field, order)]).page(0, 100)).await;
        let mut pages = Vec::new();
        for offset in (0..23).step_by(5) {
            let page = fixture.find(fixture.query().by(&[(field, order)]).page(offset, 5)).await;
            assert_eq!(page.total, 23);
            pages.extend(page.documents.iter().map(sequence));
        }
        assert_eq!(pages, whole, "{field:?} {order:?}");
    }
}

async fn page_of_none(fixture: &Fixture<'_>) {
    fixture.stored([fixture.draft(), fixture.draft()]).await;
    let page = fixture.find(fixture.query().page(0, 0)).await;
    assert_eq!((page.total, page.documents.len()), (2, 0));
}

async fn page_beyond_the_end(fixture: &Fixture<'_>) {
    fixture.stored([fixture.draft(), fixture.draft()]).await;
    let page = fixture.find(fixture.query().page(20, 10)).await;
    assert_eq!((page.total, page.documents.len()), (2, 0));
}

async fn many_ids(fixture: &Fixture<'_>) {
    let ids: Vec<_> = (0..3_000).map(|n| format!("{}-{n}", fixture.id)).collect();
    fixture.stored([2_999, 0, 1_500].map(|n: usize| draft().about("alert", &ids[n]))).await;
    assert_eq!(fixture.order(about_any("alert", ids)).await, [0, 1, 2]);
}

async fn no_ids(fixture: &Fixture<'_>) {
    fixture.stored([fixture.draft()]).await;
    assert_eq!(fixture.order(about_any("alert", Vec::new())).await, NONE);
}

async fn special_character_ids(fixture: &Fixture<'_>) {
    let odd = ["'", "\"", "\\", "%", "*", " ", "[\"a\"]", "ä", "\u{1f980}", "Ä", ":id", "1"];
    let id = |text: &str| format!("{text}{}", fixture.id);
    fixture.stored(odd.map(|text| draft().about("al'\"ert", &id(text)))).await;
    for (text, place) in odd.into_iter().zip(0..) {
        assert_eq!(fixture.order(about("al'\"ert", &id(text))).await, [place], "{text}");
    }
    let all = odd.map(id).to_vec();
    assert_eq!(fixture.find(about_any("al'\"ert", all)).await.total, odd.len() as u64);
}

async fn what_is_held(fixture: &Fixture<'_>) {
    let identity = fixture.store.identity().await.expect("the store has an identity");
    assert!(!identity.0.is_empty());
    let mut events = fixture.stored((0..3).map(|_| fixture.draft())).await;
    events.push(fixture.sealed(3, fixture.draft()));
    fixture.append(&[stub_of(&events[3])]).await;
    let at = |position| (fixture.target.clone(), position);
    let mut positions: Vec<_> = events.iter().map(|event| at(event.position)).collect();
    positions.extend([
        at(position(fixture.chain, 4)),
        at(position(fresh_chain(), 0)),
        at(position(fixture.chain, u64::MAX)),
    ]);
    let held = fixture.store.holds(&positions).await.expect("the store says what it holds");
    assert_eq!(held, [true, true, true, true, false, false, false], "an event, a stub, or nothing");
    assert_eq!(fixture.store.holds(&[]).await.expect("nothing is asked"), Vec::<bool>::new());
    fixture.store.setup(&[Stream::general()]).await.expect("the store sets itself up again");
    assert_eq!(fixture.store.identity().await.expect("the store has an identity"), identity);
}

async fn heads(fixture: &Fixture<'_>) {
    assert_eq!(fixture.head(fresh_chain()).await, None);
    let events = fixture.stored((0..12).map(|_| fixture.draft())).await;
    assert_eq!(fixture.append(&events[3..5]).await, [Outcome::Duplicate, Outcome::Duplicate]);
    let seal = seal_of(&events[11].document).expect("events are sealed");
    assert_eq!(
        fixture.head(fixture.chain).await,
        Some(ChainHead { position: position(fixture.chain, 11), seal: Some(seal) })
    );
}

async fn chains_of_writers(fixture: &Fixture<'_>) {
    let (one, other) = (fresh_name(), fresh_name());
    let chains = [fresh_chain(), fresh_chain(), fresh_chain(), fresh_chain()];
    let event = |chain: usize, sequence, writer: &str| {
        fixture.draft().with("kibana.server_uuid", writer).sealed(position(chains[chain], sequence))
    };
    let events = [
        event(0, 0, &one),
        event(0, 1, &one),
        event(1, 0, &other),
        stub_of(&event(2, 0, &one)),
        event(2, 1, &one),
        event(3, 7, &one),
        fixture.draft().without("kibana.server_uuid").sealed(position(fixture.chain, 0)),
    ];
    assert_eq!(fixture.append(&events).await, vec![Outcome::Stored; events.len()]);
    let of_writer = async |writer: &str| {
        let chains = fixture.store.chains_of(writer).await.expect("the store knows its chains");
        let distinct: BTreeSet<_> = chains.iter().copied().collect();
        assert_eq!(distinct.len(), chains.len(), "each once");
        distinct
    };
    assert_eq!(of_writer(&one).await, BTreeSet::from([chains[0], chains[2], chains[3]]), "at once");
    assert_eq!(of_writer(&other).await, BTreeSet::from([chains[1]]));
    assert_eq!(of_writer(&fresh_name()).await, BTreeSet::new());
}

async fn stub_holds_its_place(fixture: &Fixture<'_>) {
    let event = fixture.sealed(0, fixture.draft());
    let stub = stub_of(&event);
    assert_eq!(fixture.append(std::slice::from_ref(&stub)).await, [Outcome::Stored]);
    assert_eq!(fixture.append(&[stub.clone(), event.clone()]).await, [Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(fixture.find(fixture.query()).await.total, 0);
    let seal = seal_of(&event.document).expect("events are sealed");
    assert_eq!(
        fixture.head(fixture.chain).await,
        Some(ChainHead { position: event.position, seal: Some(seal.clone()) })
    );
    let other = fixture.sealed(0, fixture.draft());
    assert_eq!(fixture.append(&[other]).await, [Outcome::Conflict { found_seal: seal }]);
}

async fn stub_is_replaced(fixture: &Fixture<'_>) {
    let event = fixture.sealed(0, fixture.draft());
    let after = fixture.sealed(1, fixture.draft());
    assert_eq!(fixture.append(&[stub_of(&event), after.clone()]).await, [Outcome::Stored, Outcome::Stored]);
    for _ in 0..2 {
        let outcome = fixture.replace(&event).await;
        assert!(matches!(outcome, Outcome::Stored | Outcome::Duplicate), "{outcome:?}");
        let page = fixture.find(fixture.query()).await;
        assert_eq!(page.documents, documents(&[event.clone(), after.clone()]));
    }
    assert_eq!(fixture.append(&[event.clone(), stub_of(&event)]).await, [Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(fixture.find(fixture.query()).await.documents, documents(&[event, after]));
}

async fn only_stubs_are_replaced(fixture: &Fixture<'_>) {
    let event = fixture.stored([fixture.draft()]).await.remove(0);
    let other = fixture.sealed(0, fixture.draft());
    let found_seal = seal_of(&event.document).expect("events are sealed");
    assert_eq!(fixture.replace(&other).await, Outcome::Conflict { found_seal });
    assert_eq!(fixture.find(fixture.query()).await.documents, [event.document]);
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_and_opensearch_keep_the_contract() {
    super::elastic::tests::engines::on_each_engine(async |store| suite(store).await).await;
}
