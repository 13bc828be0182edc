//! One test suite for all stores. It makes no assumption about existing data: each case has its own chain and objects.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod extremes;
mod fields;
mod filters;
mod questions;

use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use serde_json::{Value, json};

use super::{
    Outcome, Page, Store, Target,
    testing::{
        ACTION, DURATION, Draft, END, GAP_DURATION, GAP_STATUS, MESSAGE, PROVIDER, Question, SEQUENCE, START,
        TIMESTAMP, about, about_any, draft, fresh_chain, fresh_name, position, stub_of,
    },
};
use crate::{
    event::{ChainHead, ChainId, SealedEvent, Stream},
    integrity::{self, seal_of},
    query::Order::{self, Ascending, Descending},
    schema::Field,
};

/// Runs all cases; fails with the names of those that failed.
pub(crate) async fn suite(store: &dyn Store) {
    let general = Stream::general();
    store.setup(std::slice::from_ref(&general)).await.expect("the store sets itself up");
    store.setup(std::slice::from_ref(&general)).await.expect("the store sets itself up again");
    let mut failed = Vec::new();
    for (name, case) in CASES {
        let target = store.target(&general).await.expect("the store has a target");
        let bench = Bench { store, target, chain: fresh_chain(), id: fresh_name() };
        if AssertUnwindSafe(case(&bench)).catch_unwind().await.is_err() {
            failed.push(*name);
        }
    }
    assert!(failed.is_empty(), "the store fails: {failed:#?}");
}

type Case = for<'a> fn(&'a Bench<'a>) -> BoxFuture<'a, ()>;

const CASES: &[(&str, Case)] = &[
    // First, as it makes many queries, and one store scans everything for each.
    ("every field that is sorted by divides into pages", |b| Box::pin(fields::every_sortable_field_divides(b))),
    ("every field that is counted is counted alike", |b| Box::pin(fields::every_countable_field_counts(b))),
    ("documents come back byte for byte", |b| Box::pin(bytes_come_back(b))),
    ("an event that is appended again is there once", |b| Box::pin(again(b))),
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
    ("ids are plain text", |b| Box::pin(odd_ids(b))),
    ("random filters find what they mean", |b| Box::pin(filters::random_filters(b))),
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
    ("histograms leave out what has no date", |b| Box::pin(questions::histograms_of_what_may_be_missing(b))),
    ("histograms have so many spans and no more", |b| Box::pin(questions::histograms_end_somewhere(b))),
    ("numbers have statistics", |b| Box::pin(questions::numbers_have_statistics(b))),
    ("numbers have percentiles", |b| Box::pin(questions::numbers_have_percentiles(b))),
    ("a store knows itself and what it holds", |b| Box::pin(what_is_held(b))),
    ("the head is the end of the chain", |b| Box::pin(heads(b))),
    ("a stub holds its place, unseen", |b| Box::pin(stub_holds_its_place(b))),
    ("an event takes its stub's place", |b| Box::pin(stub_is_replaced(b))),
    ("a replacement takes nothing else's place", |b| Box::pin(only_stubs_are_replaced(b))),
    ("what events may hold at most is taken", |b| Box::pin(extremes::are_taken(b))),
];

/// A store, with names unique to the case.
struct Bench<'a> {
    store: &'a dyn Store,
    target: Target,
    chain: ChainId,
    id: String,
}

impl Bench<'_> {
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

    async fn find(&self, question: Question) -> Page {
        self.store.refresh().await.expect("the store refreshes");
        self.store.find(&question.asked()).await.expect("the store answers")
    }

    /// The sequences of the found events, in order; all on one page.
    async fn order(&self, question: Question) -> Vec<u64> {
        let page = self.find(question).await;
        assert_eq!(page.total, page.documents.len() as u64, "the total is that of the page");
        page.documents.iter().map(sequence).collect()
    }

    async fn head(&self, chain: ChainId) -> Option<ChainHead> {
        self.store.refresh().await.expect("the store refreshes");
        self.store.head(chain).await.expect("the store knows its heads")
    }

    fn about_it(&self) -> Question {
        about("alert", &self.id)
    }
}

const NONE: [u64; 0] = [];

fn parse(document: &Bytes) -> Value {
    serde_json::from_slice(document).expect("documents are JSON")
}

fn sequence(document: &Bytes) -> u64 {
    parse(document)["event"]["sequence"].as_u64().expect("documents have a sequence")
}

fn documents(events: &[SealedEvent]) -> Vec<Bytes> {
    events.iter().map(|event| event.document.clone()).collect()
}

async fn bytes_come_back(bench: &Bench<'_>) {
    let texts = ["Grüße, 世界 🦀 \u{2028} \u{7f}", "\"\\/\u{8}\t\n\u{c}\r\u{1}", &"long ".repeat(20_000), ""];
    let mut events = bench.stored(texts.map(|text| bench.draft().with("message", text))).await;
    // Not canonical, but kept unchanged.
    let odd =
        bench.draft().with("message", "number").with("annals.code", 7).written(position(bench.chain, 4), |value| {
            let text = value.to_string().replace("\"number\"", " \"\\u0041 \\/ \\ud83e\\udd80\"  ");
            text.replace("\"code\":7", "\"code\": 7.0e0")
        });
    assert_eq!(bench.append(std::slice::from_ref(&odd)).await, [Outcome::Stored]);
    events.push(odd);
    let page = bench.find(bench.about_it().by(&[(&SEQUENCE, Ascending)])).await;
    assert_eq!(page.total, 5);
    assert_eq!(page.documents, documents(&events));
}

async fn again(bench: &Bench<'_>) {
    let events = bench.stored([bench.draft(), bench.draft()]).await;
    assert_eq!(bench.append(&events).await, [Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(bench.find(bench.about_it()).await.documents, documents(&events));
}

async fn twice_in_one_append(bench: &Bench<'_>) {
    let event = bench.sealed(0, bench.draft());
    assert_eq!(bench.append(&[event.clone(), event]).await, [Outcome::Stored, Outcome::Duplicate]);
    assert_eq!(bench.find(bench.about_it()).await.total, 1);
}

async fn appends_at_once(bench: &Bench<'_>) {
    let events: Vec<_> = (0..20).map(|sequence| bench.sealed(sequence, bench.draft())).collect();
    let outcomes = join_all((0..4).map(|_| bench.append(&events))).await;
    for place in 0..events.len() {
        let stored = outcomes.iter().filter(|outcomes| outcomes[place] == Outcome::Stored).count();
        let duplicate = outcomes.iter().filter(|outcomes| outcomes[place] == Outcome::Duplicate).count();
        assert_eq!((stored, duplicate), (1, 3), "at {place}");
    }
    assert_eq!(bench.find(bench.about_it()).await.total, 20);
}

async fn conflict(bench: &Bench<'_>) {
    let first = bench.stored([bench.draft()]).await.remove(0);
    let other = bench.sealed(0, bench.draft().with("message", "forged"));
    let found_seal = seal_of(&first.document).expect("events are sealed");
    assert_eq!(bench.append(&[other]).await, [Outcome::Conflict { found_seal }]);
    assert_eq!(bench.find(bench.about_it()).await.documents, [first.document]);
}

async fn unsealed(bench: &Bench<'_>) {
    let place =
        |sequence: u64, message: &str| bench.draft().with("message", message).unsealed(position(bench.chain, sequence));
    let stub_of = |event: &SealedEvent, stub: Option<Vec<u8>>| SealedEvent {
        document: stub.expect("events have stubs").into(),
        ..event.clone()
    };
    let (first, second, third) = (place(0, "1"), place(1, "2"), place(2, "3"));
    let second_stub = stub_of(&second, integrity::stub(&second.document));
    let third_stub = stub_of(&third, integrity::stub_without_content(&third.document));
    let batch = [first.clone(), second_stub.clone(), third_stub];
    assert_eq!(bench.append(&batch).await, vec![Outcome::Stored; 3]);
    assert_eq!(bench.append(&batch).await, vec![Outcome::Duplicate; 3]);
    assert_eq!(bench.append(&[second.clone(), third]).await, vec![Outcome::Duplicate; 2], "whose stubs are there");
    let conflict = Outcome::Conflict { found_seal: String::new() };
    let sealed = bench.sealed(0, bench.draft());
    let others = [place(0, "another"), place(1, "another"), sealed];
    assert_eq!(bench.append(&others).await, vec![conflict; 3]);
    assert_eq!(bench.replace(&second).await, Outcome::Stored);
    assert_eq!(bench.append(&[second_stub]).await, [Outcome::Duplicate]);
    assert_eq!(bench.order(bench.about_it().by(&[(&SEQUENCE, Ascending)])).await, [0, 1]);
    assert_eq!(bench.head(bench.chain).await, Some(ChainHead { position: position(bench.chain, 2), seal: None }));
}

async fn outcomes_in_order(bench: &Bench<'_>) {
    let stored = bench.stored([bench.draft(), bench.draft(), bench.draft()]).await;
    let other = bench.sealed(2, bench.draft());
    let batch =
        [bench.sealed(4, bench.draft()), stored[1].clone(), other, bench.sealed(3, bench.draft()), stored[0].clone()];
    let found_seal = seal_of(&stored[2].document).expect("events are sealed");
    let expected =
        [Outcome::Stored, Outcome::Duplicate, Outcome::Conflict { found_seal }, Outcome::Stored, Outcome::Duplicate];
    assert_eq!(bench.append(&batch).await, expected);
    assert_eq!(bench.order(bench.about_it().by(&[(&SEQUENCE, Ascending)])).await, [0, 1, 2, 3, 4]);
}

async fn append_nothing(bench: &Bench<'_>) {
    assert_eq!(bench.append(&[]).await, []);
}

async fn one_element_matches(bench: &Bench<'_>) {
    let id = &bench.id;
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
    bench.stored(references.map(draft_of)).await;
    assert_eq!(bench.order(bench.about_it().within("marketing")).await, [6]);
}

async fn found_once(bench: &Bench<'_>) {
    let other = fresh_name();
    bench.stored([bench.draft().about("alert", &bench.id).about("alert", &other), bench.draft()]).await;
    assert_eq!(bench.order(bench.about_it()).await, [0, 1]);
    assert_eq!(bench.order(about_any("alert", vec![other.clone(), bench.id.clone()])).await, [0, 1]);
    assert_eq!(bench.order(about_any("alert", vec![bench.id.clone(), bench.id.clone()])).await, [0, 1]);
    assert_eq!(bench.order(about("alert", &other)).await, [0]);
}

async fn spaces_are_apart(bench: &Bench<'_>) {
    let within =
        |space: &str| draft().referring(json!({"rel": "primary", "type": "alert", "id": bench.id, "namespace": space}));
    bench.stored([bench.draft(), within("marketing"), within("sales"), within("default")]).await;
    assert_eq!(bench.order(bench.about_it()).await, [0], "a namespace named default is not the default space");
    assert_eq!(bench.order(bench.about_it().within("marketing")).await, [1]);
    assert_eq!(bench.order(bench.about_it().within("sales")).await, [2]);
    assert_eq!(bench.order(bench.about_it().within("elsewhere")).await, NONE);
}

async fn bounds_are_inclusive(bench: &Bench<'_>) {
    let times = ["12:00:00.000", "12:00:00.001", "12:00:00.002", "12:00:00.003"];
    bench.stored(times.map(|time| bench.draft().at(&format!("2026-11-24T{time}Z")))).await;
    let (first, last) = ("2026-11-24T12:00:00.001Z", "2026-11-24T12:00:00.002Z");
    assert_eq!(bench.order(bench.about_it().from(first).to(last)).await, [1, 2]);
    assert_eq!(bench.order(bench.about_it().from(last)).await, [2, 3]);
    assert_eq!(bench.order(bench.about_it().to(first)).await, [0, 1]);
    assert_eq!(bench.order(bench.about_it().from(last).to(first)).await, NONE);
}

async fn bounds_in_milliseconds(bench: &Bench<'_>) {
    bench.stored([bench.draft().at("2026-11-24T12:00:00.001999999Z")]).await;
    let within = |time: &str| bench.about_it().from(time).to(time);
    assert_eq!(bench.order(within("2026-11-24T12:00:00.001Z")).await, [0]);
    assert_eq!(bench.order(within("2026-11-24T12:00:00.002Z")).await, NONE);
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

async fn every_field_sorts(bench: &Bench<'_>) {
    for (field, [low, middle, high]) in values() {
        let bench = Bench { chain: fresh_chain(), id: fresh_name(), target: bench.target.clone(), ..*bench };
        let of = |value: &Value| bench.draft().with(field.path, value.clone());
        let without = || bench.draft().without(field.path);
        bench.stored([of(&middle), without(), of(&low), of(&middle), of(&high), without()]).await;
        let by = |order| bench.about_it().by(&[(field, order)]);
        assert_eq!(bench.order(by(Ascending)).await, [2, 0, 3, 4, 1, 5], "{field:?} ascending");
        assert_eq!(bench.order(by(Descending)).await, [4, 3, 0, 2, 5, 1], "{field:?} descending");
    }
}

async fn time_sorts(bench: &Bench<'_>) {
    let times = ["2026-11-24T12:00:00.000Z", "1969-12-31T23:59:59.999Z", "2026-11-24T12:00:00.000Z"];
    bench.stored(times.map(|time| bench.draft().at(time))).await;
    assert_eq!(bench.order(bench.about_it().by(&[(&TIMESTAMP, Ascending)])).await, [1, 0, 2]);
    assert_eq!(bench.order(bench.about_it().by(&[(&TIMESTAMP, Descending)])).await, [2, 0, 1]);
    assert_eq!(bench.order(bench.about_it().by(&[(&SEQUENCE, Descending)])).await, [2, 1, 0]);
}

async fn long_messages_sort_last(bench: &Bench<'_>) {
    let messages = [
        "a".repeat(1_025),       // too long
        "b".repeat(1_024),       // as long as may be
        "\u{1f980}".repeat(513), // 1,026 units
        "\u{1f980}".repeat(512), // 1,024 units
        "é".repeat(1_024),       // twice as many bytes
    ];
    bench.stored(messages.map(|message| bench.draft().with("message", message))).await;
    assert_eq!(bench.order(bench.about_it().by(&[(&MESSAGE, Ascending)])).await, [1, 4, 3, 0, 2]);
    assert_eq!(bench.order(bench.about_it().by(&[(&MESSAGE, Descending)])).await, [3, 4, 1, 2, 0]);
}

async fn milliseconds_tie(bench: &Bench<'_>) {
    let times = ["000999999", "000000001", "000", "001"];
    bench.stored(times.map(|time| bench.draft().at(&format!("2026-11-24T12:00:00.{time}Z")))).await;
    assert_eq!(bench.order(bench.about_it().by(&[(&TIMESTAMP, Ascending)])).await, [0, 1, 2, 3]);
    assert_eq!(bench.order(bench.about_it().by(&[(&TIMESTAMP, Descending)])).await, [3, 2, 1, 0]);
}

async fn chains_break_ties(bench: &Bench<'_>) {
    let mut chains = [bench.chain, fresh_chain()];
    chains.sort();
    let of = |chain, sequence, message: &str| bench.draft().with("message", message).sealed(position(chain, sequence));
    let events =
        [of(chains[1], 0, "second"), of(chains[1], 1, "fourth"), of(chains[0], 1, "third"), of(chains[0], 0, "first")];
    assert_eq!(bench.append(&events).await, vec![Outcome::Stored; 4]);
    let mut expected: Vec<_> = [3, 0, 2, 1].map(|event: usize| events[event].document.clone()).into();
    assert_eq!(bench.find(bench.about_it().by(&[(&TIMESTAMP, Ascending)])).await.documents, expected);
    expected.reverse();
    assert_eq!(bench.find(bench.about_it().by(&[(&TIMESTAMP, Descending)])).await.documents, expected);
}

async fn second_key(bench: &Bench<'_>) {
    let of = |action: &str, duration: &str| bench.draft().with("event.action", action).with("event.duration", duration);
    bench.stored([of("b", "1"), of("a", "2"), of("b", "3"), of("a", "4"), of("b", "3")]).await;
    let by = |first: Order, second: Order| bench.about_it().by(&[(&ACTION, first), (&DURATION, second)]);
    assert_eq!(bench.order(by(Ascending, Descending)).await, [3, 1, 2, 4, 0]);
    assert_eq!(bench.order(by(Descending, Ascending)).await, [0, 4, 2, 1, 3], "ties go with the first key");
}

async fn no_key(bench: &Bench<'_>) {
    bench.stored([2, 1, 0].map(|second| bench.draft().at(&format!("2026-11-24T12:00:0{second}.000Z")))).await;
    assert_eq!(bench.order(bench.about_it().by(&[])).await, [0, 1, 2]);
}

async fn pages_are_whole(bench: &Bench<'_>) {
    bench.stored((0..23).map(|n| bench.draft().with("event.action", if n % 2 == 0 { "even" } else { "odd" }))).await;
    for (field, order) in [(&TIMESTAMP, Ascending), (&ACTION, Ascending), (&ACTION, Descending)] {
        let whole = bench.order(bench.about_it().by(&[(field, order)]).page(0, 100)).await;
        let mut pages = Vec::new();
        for offset in (0..23).step_by(5) {
            let page = bench.find(bench.about_it().by(&[(field, order)]).page(offset, 5)).await;
            assert_eq!(page.total, 23);
            pages.extend(page.documents.iter().map(sequence));
        }
        assert_eq!(pages, whole, "{field:?} {order:?}");
    }
}

async fn page_of_none(bench: &Bench<'_>) {
    bench.stored([bench.draft(), bench.draft()]).await;
    let page = bench.find(bench.about_it().page(0, 0)).await;
    assert_eq!((page.total, page.documents.len()), (2, 0));
}

async fn page_beyond_the_end(bench: &Bench<'_>) {
    bench.stored([bench.draft(), bench.draft()]).await;
    let page = bench.find(bench.about_it().page(20, 10)).await;
    assert_eq!((page.total, page.documents.len()), (2, 0));
}

async fn many_ids(bench: &Bench<'_>) {
    let ids: Vec<_> = (0..3_000).map(|n| format!("{}-{n}", bench.id)).collect();
    bench.stored([2_999, 0, 1_500].map(|n: usize| draft().about("alert", &ids[n]))).await;
    assert_eq!(bench.order(about_any("alert", ids)).await, [0, 1, 2]);
}

async fn no_ids(bench: &Bench<'_>) {
    bench.stored([bench.draft()]).await;
    assert_eq!(bench.order(about_any("alert", Vec::new())).await, NONE);
}

async fn odd_ids(bench: &Bench<'_>) {
    let odd = ["'", "\"", "\\", "%", "*", " ", "[\"a\"]", "ä", "\u{1f980}", "Ä", ":id", "1"];
    let id = |text: &str| format!("{text}{}", bench.id);
    bench.stored(odd.map(|text| draft().about("al'\"ert", &id(text)))).await;
    for (text, place) in odd.into_iter().zip(0..) {
        assert_eq!(bench.order(about("al'\"ert", &id(text))).await, [place], "{text}");
    }
    let all = odd.map(id).to_vec();
    assert_eq!(bench.find(about_any("al'\"ert", all)).await.total, odd.len() as u64);
}

async fn what_is_held(bench: &Bench<'_>) {
    let identity = bench.store.identity().await.expect("the store has an identity");
    assert!(!identity.0.is_empty());
    let mut events = bench.stored((0..3).map(|_| bench.draft())).await;
    events.push(bench.sealed(3, bench.draft()));
    bench.append(&[stub_of(&events[3])]).await;
    let at = |position| (bench.target.clone(), position);
    let mut positions: Vec<_> = events.iter().map(|event| at(event.position)).collect();
    positions.extend([
        at(position(bench.chain, 4)),
        at(position(fresh_chain(), 0)),
        at(position(bench.chain, u64::MAX)),
    ]);
    let held = bench.store.holds(&positions).await.expect("the store says what it holds");
    assert_eq!(held, [true, true, true, true, false, false, false], "an event, a stub, or nothing");
    assert_eq!(bench.store.holds(&[]).await.expect("nothing is asked"), Vec::<bool>::new());
    bench.store.setup(&[Stream::general()]).await.expect("the store sets itself up again");
    assert_eq!(bench.store.identity().await.expect("the store has an identity"), identity);
}

async fn heads(bench: &Bench<'_>) {
    assert_eq!(bench.head(fresh_chain()).await, None);
    let events = bench.stored((0..12).map(|_| bench.draft())).await;
    assert_eq!(bench.append(&events[3..5]).await, [Outcome::Duplicate, Outcome::Duplicate]);
    let seal = seal_of(&events[11].document).expect("events are sealed");
    assert_eq!(
        bench.head(bench.chain).await,
        Some(ChainHead { position: position(bench.chain, 11), seal: Some(seal) })
    );
}

async fn stub_holds_its_place(bench: &Bench<'_>) {
    let event = bench.sealed(0, bench.draft());
    let stub = stub_of(&event);
    assert_eq!(bench.append(std::slice::from_ref(&stub)).await, [Outcome::Stored]);
    assert_eq!(bench.append(&[stub.clone(), event.clone()]).await, [Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(bench.find(bench.about_it()).await.total, 0);
    let seal = seal_of(&event.document).expect("events are sealed");
    assert_eq!(bench.head(bench.chain).await, Some(ChainHead { position: event.position, seal: Some(seal.clone()) }));
    let other = bench.sealed(0, bench.draft());
    assert_eq!(bench.append(&[other]).await, [Outcome::Conflict { found_seal: seal }]);
}

async fn stub_is_replaced(bench: &Bench<'_>) {
    let event = bench.sealed(0, bench.draft());
    let after = bench.sealed(1, bench.draft());
    assert_eq!(bench.append(&[stub_of(&event), after.clone()]).await, [Outcome::Stored, Outcome::Stored]);
    for _ in 0..2 {
        let outcome = bench.replace(&event).await;
        assert!(matches!(outcome, Outcome::Stored | Outcome::Duplicate), "{outcome:?}");
        let page = bench.find(bench.about_it()).await;
        assert_eq!(page.documents, documents(&[event.clone(), after.clone()]));
    }
    assert_eq!(bench.append(&[event.clone(), stub_of(&event)]).await, [Outcome::Duplicate, Outcome::Duplicate]);
    assert_eq!(bench.find(bench.about_it()).await.documents, documents(&[event, after]));
}

async fn only_stubs_are_replaced(bench: &Bench<'_>) {
    let event = bench.stored([bench.draft()]).await.remove(0);
    let other = bench.sealed(0, bench.draft());
    let found_seal = seal_of(&event.document).expect("events are sealed");
    assert_eq!(bench.replace(&other).await, Outcome::Conflict { found_seal });
    assert_eq!(bench.find(bench.about_it()).await.documents, [event.document]);
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_and_opensearch_keep_the_contract() {
    super::elastic::tests::engines::on_each_engine(async |store| suite(store).await).await;
}
