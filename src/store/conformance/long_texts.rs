//! Texts around the lengths up to which they are values: a longer one is found by its words alone.

use std::ops::Bound;

use serde_json::Value as Json;

use super::{Fixture, parse};
use crate::{
    query::{
        Aggregate, Aggregation,
        Order::{Ascending, Descending},
        Pattern, Sort, Subject,
        filter::{Filter, Test, Value},
        kql,
    },
    schema::{self, Field},
    store::testing::{SEQUENCE, fresh_chain, fresh_name},
};

/// Fields with the longest values that they take, in UTF-16 units.
const FIELDS: [(&str, usize); 8] = [
    ("message", 8_191),
    ("error.message", 8_191),
    ("url.full", 8_191),
    ("url.original", 8_191),
    ("url.path", 8_191),
    ("url.query", 8_191),
    ("annals.payload", 8_191),
    ("event.reason", 1_024),
];
const LENGTHS: [usize; 6] = [20, 1_024, 1_025, 8_191, 8_192, 100_000];
const LETTERS: [&str; 3] = ["x", "é", "🦀"];

/// Returns a text of so many units of UTF-16, most of which are this letter.
fn text(letter: &str, units: usize) -> String {
    let (begin, end) = ("Begin ", " the End");
    let size = letter.encode_utf16().count();
    let (count, rest) = ((units - begin.len() - end.len()) / size, (units - begin.len() - end.len()) % size);
    let text = format!("{begin}{}{}{end}", letter.repeat(count), "-".repeat(rest));
    assert_eq!(text.encode_utf16().count(), units);
    text
}

pub(super) async fn have_values_up_to_a_length(fixture: &Fixture<'_>) {
    for (path, longest) in FIELDS {
        let fixture = Fixture { chain: fresh_chain(), id: fresh_name(), target: fixture.target.clone(), ..*fixture };
        check(&fixture, schema::field(path).expect("the field is mapped"), longest).await;
    }
}

async fn check(fixture: &Fixture<'_>, field: &'static Field, longest: usize) {
    let texts: Vec<String> = LETTERS.iter().flat_map(|letter| LENGTHS.map(|units| text(letter, units))).collect();
    let drafts = texts.iter().map(|text| fixture.draft().with(field.path, text.as_str()));
    let without = fixture.draft().with(field.path, "").without(field.path);
    let events = fixture.stored(drafts.chain([without])).await;
    let documents: Vec<Json> = events.iter().map(|event| parse(&event.document)).collect();
    let is_value = |text: &str| text.encode_utf16().count() <= longest;
    let all = 0..events.len() as u64;
    let with_value = |passes: &dyn Fn(&str) -> bool| {
        let passing = (0..).zip(&texts).filter(|(_, text)| is_value(text) && passes(text));
        passing.map(|(at, _)| at).collect::<Vec<u64>>()
    };

    let like = |pieces: &[&str]| Test::Like(Pattern::new(pieces.iter().map(|piece| (*piece).to_owned())));
    let is = |at: usize| Test::OneOf(vec![Value::Text(texts[at].clone())]);
    let from = |low: &str| Test::Range { low: Bound::Included(Value::Text(low.to_owned())), high: Bound::Unbounded };
    let mut cases: Vec<(Test, Vec<u64>)> = vec![
        (like(&["", " the E", ""]), with_value(&|_| true)),
        (like(&["", " the end", ""]), Vec::new()),
        (like(&["Begin ", ""]), with_value(&|_| true)),
        (like(&["Begin é", ""]), with_value(&|text| text.contains('é'))),
        (like(&["", "é the End"]), with_value(&|text| text.contains('é'))),
        (like(&["", "🦀🦀", "the End"]), with_value(&|text| text.contains("🦀🦀"))),
        (like(&["B", "n xx", "x", " End"]), with_value(&|text| text.contains("xxx"))),
        (from("Begin é"), with_value(&|text| text >= "Begin é")),
    ];
    // No filter is longer, and the engines take no longer terms.
    let askable = (0..texts.len()).filter(|at| texts[*at].len() <= kql::MAX_BYTES);
    cases.extend(askable.map(|at| (is(at), with_value(&|text| text == texts[at]))));
    let exists = match field.search.by_words() {
        // The field itself, by its words, which the engines index whatever their number.
        true => (0..texts.len() as u64).collect(),
        false => with_value(&|_| true),
    };
    cases.push((Test::Exists, exists));
    for (test, expected) in cases {
        let filter = Filter::value(Subject::Field(field), test).expect("the field can be tested so");
        let others: Vec<u64> = all.clone().filter(|at| !expected.contains(at)).collect();
        for (filter, expected) in [(filter.clone(), &expected), (filter.negated(), &others)] {
            let means = all.clone().zip(&documents).filter(|(_, document)| filter.matches(document));
            let name = || format!("{}: {:.200}", field.path, format!("{filter:?}"));
            assert_eq!(&means.map(|(at, _)| at).collect::<Vec<_>>(), expected, "the meaning of {}", name());
            let question = fixture.query().by(&[(&SEQUENCE, Ascending)]).page(0, 100).with(filter.clone());
            assert_eq!(&fixture.order(question).await, expected, "{}", name());
        }
    }
    if Sort::by(field, Ascending).is_ok() {
        are_sorted(fixture, field, &texts, with_value(&|_| true)).await;
    }
    let aggregation = Aggregation::Terms { subject: field.into(), limit: 1 };
    if aggregation.check().is_ok() {
        let values = with_value(&|_| true).len() as u64;
        let counted = fixture.store.aggregate(&fixture.query().build(), &aggregation).await;
        let Ok(Aggregate::Terms { distinct, without, .. }) = counted else { panic!("{}: {counted:?}", field.path) };
        assert_eq!((distinct, without), (values, events.len() as u64 - values), "{}", field.path);
    }
}

/// What has no value comes last in either order; pages begin behind long values too.
async fn are_sorted(fixture: &Fixture<'_>, field: &'static Field, texts: &[String], mut with_value: Vec<u64>) {
    let all = 0..=texts.len() as u64;
    let without: Vec<u64> = all.filter(|at| !with_value.contains(at)).collect();
    with_value.sort_by_key(|at| &texts[*at as usize]);
    let ascending = [with_value.clone(), without.clone()].concat();
    let descending: Vec<u64> = with_value.into_iter().rev().chain(without.into_iter().rev()).collect();
    for (order, expected) in [(Ascending, ascending), (Descending, descending)] {
        let question = fixture.query().by(&[(field, order)]).page(0, 100);
        let found = fixture.find(question.clone()).await.documents;
        let sequences: Vec<u64> = found.iter().map(super::sequence).collect();
        assert_eq!(sequences, expected, "{} {order:?}", field.path);
        for (document, rest) in found.iter().zip(1..) {
            let next = fixture.store.find(&question.clone().after(&parse(document)).page(0, 1).build()).await;
            let next: Vec<u64> = next.expect("the store answers").documents.iter().map(super::sequence).collect();
            assert_eq!(next, expected[rest..].iter().take(1).copied().collect::<Vec<_>>(), "{} {order:?}", field.path);
        }
    }
}
