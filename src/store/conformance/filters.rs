//! Random filters over random events: a store finds exactly the events that [`Filter::matches`] defines.

use std::{net::IpAddr, ops::Bound};

use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::TestRunner,
};
use serde_json::{Value as Json, json};

use super::{Fixture, parse, sequence};
use crate::{
    query::{
        Order::Ascending,
        Pattern, Subject,
        filter::{Filter, Test, Value},
        words::words,
    },
    schema::{self, Field, Kind, nested_around},
    store::testing::{Draft, SEQUENCE, millis},
};

const EVENTS: usize = 120;
const FILTERS: usize = 600;

/// A few texts, so that filters match some; of every kind, including odd ones.
const TEXTS: [&str; 14] = [
    "execute",
    "Execute",
    "exec",
    "a b",
    "a*b",
    "a?b",
    "a\\b",
    "[ab]",
    "%_",
    "ÄÖ",
    "äö",
    "日本語",
    "a\u{10000}",
    "\"'",
];
const SENTENCES: [&str; 9] = [
    "The quick brown fox",
    "the QUICK, brown-fox!",
    "fox brown quick",
    "user@example.com failed 10.5 times",
    "Straße İstanbul ΑΣ",
    "日本語のテキスト と カタカナ",
    "can't stop_this 🦀 now",
    "a b a c a b",
    "",
];
const NUMBERS: [i64; 8] = [-9_007_199_254_740_991, -1, 0, 1, 7, 10, 1_000_000, 9_007_199_254_740_991];
const DURATIONS: [&str; 6] = ["-1", "0", "10", "9007199254740993", "9223372036854775807", "-9223372036854775808"];
const SCORES: [f64; 6] = [-0.5, 0.1, 1.0, 1e30, 16_777_217.0, f32::MAX as f64];
const DATES: [&str; 6] = [
    "2026-11-24T12:00:00.000Z",
    "2026-11-24T12:00:00.000999Z",
    "2026-11-24T12:00:00.001Z",
    "1969-12-31T23:59:59.999Z",
    "0000-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
];
/// Dates that begin and end ranges.
const RANGES: [(&str, &str); 5] = [
    ("2026-11-24T12:00:00.000Z", "2026-11-24T12:00:00.000999Z"),
    ("2026-11-24T12:00:00.001Z", "2026-11-24T12:00:00.001Z"),
    ("1969-12-31T23:59:59.999Z", "2026-11-24T12:00:00.000Z"),
    ("0000-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"),
    ("0000-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z"),
];
const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.0.255", "192.168.1.1", "2001:db8::1", "::1", "::ffff:10.0.0.1"];
const LABELS: [&str; 6] = ["env", "a.b", "Env", "n", "a", "a=b"];

/// Deterministic, so that failures can be reproduced.
fn generated(base: Draft) -> (Vec<Draft>, Vec<Filter>) {
    let mut runner = TestRunner::deterministic();
    let strategy = (vec(draft_of(base), EVENTS), vec(filter(), FILTERS));
    strategy.new_tree(&mut runner).expect("the strategies generate values").current()
}

pub(super) async fn random_filters(fixture: &Fixture<'_>) {
    let (drafts, filters) = generated(fixture.draft());
    let events = fixture.stored(drafts).await;
    let documents: Vec<Json> = events.iter().map(|event| parse(&event.document)).collect();
    let divide = compare(fixture, &documents, filters).await;
    assert!(divide > FILTERS / 4, "only {divide} filters divide the events");
}

/// Some stores keep a name and its value as one text.
pub(super) async fn labels_are_told_apart(fixture: &Fixture<'_>) {
    const NAMES: [&str; 9] = ["a", "a=", "a=b", "ab", "a.b", "=", "*", "a*", "labels"];
    const VALUES: [&str; 5] = ["b", "=b", "b=c", "c", "="];
    let mut labels: Vec<Json> = NAMES.iter().flat_map(|name| VALUES.map(|value| json!({*name: value}))).collect();
    labels.extend([json!({"a": "z", "a=b": "c", "q": "b=c"}), json!({"a=b": "c", "b": "b=c", "ab": "a"})]);
    let events = fixture.stored(labels.into_iter().map(|labels| fixture.draft().with("labels", labels))).await;
    let documents: Vec<Json> = events.iter().map(|event| parse(&event.document)).collect();
    let text = |text: &str| Value::Text(text.to_owned());
    let subjects = NAMES.iter().map(|name| label(name)).chain([Subject::Field(field("labels"))]);
    let mut filters = Vec::new();
    for subject in subjects {
        let tests = VALUES.iter().flat_map(|value| {
            let prefix = Pattern::new(vec![(*value).to_owned(), String::new()]);
            [Test::OneOf(vec![text(value)]), Test::OneOf(vec![text(value), text("z")]), Test::Like(prefix)]
        });
        let tests = tests.chain([Test::Exists]);
        filters.extend(tests.map(|test| Filter::value(subject.clone(), test).expect("a test of labels")));
    }
    filters.extend(NAMES.map(|name| {
        let exists = Filter::value(label(name), Test::Exists).expect("a test of labels");
        Filter::Not(Box::new(exists))
    }));
    compare(fixture, &documents, filters).await;
}

/// Of texts that are too long, fields have the beginning, as long as may be, and `annals.originals` the whole.
pub(super) async fn beginnings_are_found(fixture: &Fixture<'_>) {
    let paths = ["user.name", "tags", "rule.name", "annals.changes.field", "http.request.headers", "labels"];
    let mut drafts = vec![fixture.draft()];
    let mut filters = vec![Filter::value(Subject::Field(field("annals.repaired")), Test::Exists).expect("a test")];
    for (path, one) in paths.into_iter().flat_map(|path| [(path, "x"), (path, "é"), (path, "🦀")]) {
        let field = field(path);
        let bytes = if field.max_bytes == 0 { 8_191 } else { field.max_bytes as usize };
        let kept = one.repeat((usize::from(field.longest_value) / one.encode_utf16().count()).min(bytes / one.len()));
        let value = match path {
            "annals.changes.field" => json!([{"field": kept}]),
            "http.request.headers" | "labels" => json!({"n": kept}),
            "tags" => json!(["a", kept]),
            _ => json!(kept),
        };
        let at = path.strip_suffix(".field").unwrap_or(path);
        let originals = json!([{"path": path, "texts": [one.repeat(50_000)]}]);
        let draft = fixture.draft().with(at, value).with("annals.repaired", json!([path]));
        drafts.push(draft.with("annals.originals", originals));
        let text = |text: &str| Value::Text(text.to_owned());
        let prefix = |length: usize| Pattern::new([kept.chars().take(length).collect(), String::new()]);
        for test in [
            Test::Exists,
            Test::Like(prefix(10)),
            // OpenSearch takes prefixes of at most 1,000 UTF-16 units.
            Test::Like(prefix(500)),
            Test::OneOf(vec![text(&kept)]),
            Test::OneOf(vec![text(&format!("{kept}{one}"))]),
        ] {
            let filter = Filter::value(Subject::Field(field), test).expect("a test of a text");
            filters.push(match nested_around(path) {
                Some(nested) => Filter::Element(nested, Box::new(filter)),
                None => filter,
            });
        }
        filters.push(
            Filter::value(Subject::Field(self::field("annals.repaired")), Test::OneOf(vec![text(path)]))
                .expect("a test"),
        );
    }
    let events = fixture.stored(drafts).await;
    let documents: Vec<Json> = events.iter().map(|event| parse(&event.document)).collect();
    let divide = compare(fixture, &documents, filters).await;
    assert_eq!(divide, 1 + paths.len() * 3 * 5, "all but longer texts are found");
}

/// Asserts that the store finds what the filters mean; returns how many divide the documents.
async fn compare(fixture: &Fixture<'_>, documents: &[Json], filters: Vec<Filter>) -> usize {
    let count = filters.len();
    let mut wrong: Vec<String> = Vec::new();
    let mut divide = 0;
    for filter in filters {
        let expected: Vec<u64> =
            (0..).zip(documents).filter(|(_, document)| filter.matches(document)).map(|(at, _)| at).collect();
        divide += usize::from(!expected.is_empty() && expected.len() < documents.len());
        let question = fixture.query().by(&[(&SEQUENCE, Ascending)]).page(0, 1_000).with(filter.clone());
        let found: Vec<u64> = fixture.find(question).await.documents.iter().map(sequence).collect();
        if found != expected {
            let missing: Vec<_> = expected.iter().filter(|at| !found.contains(at)).collect();
            let extra: Vec<_> = found.iter().filter(|at| !expected.contains(at)).collect();
            let example = missing.first().or(extra.first()).and_then(|at| documents.get(usize::try_from(**at).ok()?));
            let example = example.map(Json::to_string).unwrap_or_default();
            wrong.push(format!("{filter:?}\n  missing {missing:?}, too many {extra:?}, such as {example}"));
        }
    }
    wrong.sort_by_key(String::len);
    assert!(
        wrong.is_empty(),
        "{} of {count} filters, the shortest:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n")
    );
    divide
}

/// A draft with random fields of those that filters use.
fn draft_of(base: Draft) -> BoxedStrategy<Draft> {
    let set = |path: &'static str, values: BoxedStrategy<Json>| {
        option::weighted(0.6, values).prop_map(move |value| value.map(|value| (path, value)))
    };
    let long = select(&["x", "a b "][..]).prop_flat_map(|text| {
        let units = select(&[1_024_usize, 1_028, 8_188, 8_192][..]);
        units.prop_map(move |units| Json::from(text.repeat(units / text.len())))
    });
    let text = || prop_oneof![8 => select(&TEXTS[..]).prop_map(Json::from), 1 => long.clone()].boxed();
    let sentence = || select(&SENTENCES[..]).prop_map(Json::from).boxed();
    let date = || select(&DATES[..]).prop_map(Json::from).boxed();
    let fields = vec![
        set("event.action", text()),
        set("event.reason", text()),
        set("tags", vec(text(), 0..3).prop_map(Json::from).boxed()),
        set("message", prop_oneof![sentence(), long.clone()].boxed()),
        set("error.message", prop_oneof![4 => sentence(), 1 => long.clone()].boxed()),
        set("url.full", prop_oneof![4 => text(), 1 => long.clone()].boxed()),
        set("error.stack_trace", sentence()),
        set("user.name", prop_oneof![sentence(), text()].boxed()),
        set("annals.payload", prop_oneof![sentence(), text()].boxed()),
        set("annals.code", select(&NUMBERS[..]).prop_map(Json::from).boxed()),
        set("event.duration", select(&DURATIONS[..]).prop_map(Json::from).boxed()),
        set("event.risk_score", select(&SCORES[..]).prop_map(Json::from).boxed()),
        set("event.end", date()),
        set("source.ip", select(&ADDRESSES[..]).prop_map(Json::from).boxed()),
        set("kibana.alert.flapping", any::<bool>().prop_map(Json::from).boxed()),
        set("kibana.version", select(&["1.0.0", "10.0.0", "2.0.0-rc.1"][..]).prop_map(Json::from).boxed()),
        set("labels", btree_map(select(&LABELS[..]), text(), 0..3).prop_map(|labels| json!(labels)).boxed()),
    ];
    let dates = || select(&RANGES[..]).prop_map(|(gte, lte)| json!({"gte": gte, "lte": lte})).boxed();
    let any_object = || {
        let value = prop_oneof![
            3 => text(),
            1 => select(&NUMBERS[..]).prop_map(Json::from),
            1 => select(&[1.5, 1e-7, 1e30][..]).prop_map(Json::from),
            1 => any::<bool>().prop_map(Json::from),
            1 => Just(Json::Null),
            1 => vec(text(), 0..3).prop_map(Json::from),
        ];
        let inner = btree_map(select(&LABELS[..]), value.clone(), 0..3).prop_map(|members| json!(members));
        btree_map(select(&LABELS[..]), prop_oneof![3 => value, 1 => inner], 0..3)
            .prop_map(|members| json!(members))
            .boxed()
    };
    let address = || select(&ADDRESSES[..]).prop_map(Json::from);
    let answer = (text(), option::of(select(&NUMBERS[..])), option::of(vec(select(&TEXTS[..]), 0..3)));
    let answer = answer.prop_map(|(name, ttl, codes)| {
        let mut answer = json!({"name": name});
        let members = answer.as_object_mut().expect("answers are objects");
        members.extend(ttl.map(|ttl| ("ttl".to_owned(), ttl.into())));
        members.extend(codes.and_then(|codes| Some(("data".to_owned(), (*codes.first()?).into()))));
        answer
    });
    let section = (select(&TEXTS[..]), select(&NUMBERS[..]))
        .prop_map(|(name, size)| json!({"name": name, "physical_size": size}));
    let enrichment = (address(), vec(text(), 0..3), vec(section, 0..3), option::of(date()), option::of(any_object()));
    let enrichment = enrichment.prop_map(|(ip, attributes, sections, seen, exports)| {
        let mut enrichment =
            json!({"indicator": {"ip": ip, "file": {"attributes": attributes, "elf": {"sections": sections}}}});
        if let Some(seen) = seen {
            enrichment["indicator"]["last_seen"] = seen;
        }
        if let Some(exports) = exports {
            enrichment["indicator"]["file"]["elf"]["exports"] = json!([exports]);
        }
        enrichment
    });
    let structured = vec![
        set("host.geo.location", Just(json!({"lat": 48.5, "lon": -2.5})).boxed()),
        set("host.ip", vec(address(), 0..3).prop_map(Json::from).boxed()),
        set("kibana.alert.rule.gap.range", dates()),
        set("kibana.alert.rule.gap.filled_intervals", vec(dates(), 0..3).prop_map(Json::from).boxed()),
        set("entity.raw", any_object()),
        set("dll.pe.imports", vec(any_object(), 0..3).prop_map(Json::from).boxed()),
        set("dns.answers", vec(answer, 0..3).prop_map(Json::from).boxed()),
        set("threat.enrichments", vec(enrichment, 0..3).prop_map(Json::from).boxed()),
    ];
    let reference =
        (option::of(Just("primary")), select(&["alert", "action"][..]), select(&TEXTS[..]), option::of(any::<bool>()));
    let references = vec(reference, 0..3);
    (fields, structured, references, date())
        .prop_map(move |(fields, structured, references, time)| {
            let draft = base.clone().with("@timestamp", time);
            let fields = fields.into_iter().chain(structured);
            let draft = fields.flatten().fold(draft, |draft, (path, value)| draft.with(path, value));
            references.into_iter().fold(draft, |draft, (rel, object_type, id, agnostic)| {
                let mut reference = json!({"type": object_type, "id": id});
                let members = reference.as_object_mut().expect("references are objects");
                members.extend(rel.map(|rel| ("rel".to_owned(), rel.into())));
                members.extend(agnostic.map(|agnostic| ("space_agnostic".to_owned(), agnostic.into())));
                draft.referring(reference)
            })
        })
        .boxed()
}

const FIELDS: [&str; 29] = [
    "@timestamp",
    "event.action",
    "event.reason",
    "tags",
    "message",
    "error.message",
    "error.stack_trace",
    "url.full",
    "user.name",
    "annals.payload",
    "annals.code",
    "event.duration",
    "event.risk_score",
    "event.end",
    "source.ip",
    "kibana.alert.flapping",
    "kibana.version",
    "labels",
    "host.geo.location",
    "host.ip",
    "kibana.alert.rule.gap.range",
    "kibana.alert.rule.gap.filled_intervals",
    "entity.raw",
    "dll.pe.imports",
    "dns.answers.name",
    "dns.answers.ttl",
    "dns.answers.data",
    // Visible in elements only.
    "threat.enrichments.indicator.ip",
    "threat.enrichments.indicator.file.elf.sections.name",
];
const MEMBERS: [&str; 4] = [
    "kibana.saved_objects.rel",
    "kibana.saved_objects.type",
    "kibana.saved_objects.id",
    "kibana.saved_objects.space_agnostic",
];

const ENRICHMENT: [&str; 6] = [
    "threat.enrichments.indicator.ip",
    "threat.enrichments.indicator.last_seen",
    "threat.enrichments.indicator.file.attributes",
    "threat.enrichments.indicator.file.elf.exports",
    "threat.enrichments.indicator.file.elf.sections.name",
    "threat.enrichments.indicator.file.elf.sections.physical_size",
];

fn filter() -> BoxedStrategy<Filter> {
    let label = select(&LABELS[..]).prop_map(label);
    let subject = prop_oneof![8 => select(&FIELDS[..]).prop_map(|path| Subject::Field(field(path))), 1 => label];
    let element = |nested: &'static str, members: &'static [&'static str]| {
        tree(leaf(select(members).prop_map(|path| Subject::Field(field(path))).boxed()), 2)
            .prop_map(move |inner| Filter::Element(field(nested), Box::new(inner)))
    };
    let reference = element("kibana.saved_objects", &MEMBERS);
    let enrichment = element("threat.enrichments", &ENRICHMENT);
    tree(prop_oneof![6 => leaf(subject.boxed()), 1 => reference, 1 => enrichment].boxed(), 3)
}

fn tree(leaf: BoxedStrategy<Filter>, depth: u32) -> BoxedStrategy<Filter> {
    leaf.prop_recursive(depth, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Filter::All),
            vec(inner.clone(), 0..4).prop_map(Filter::Any),
            inner.prop_map(|inner| Filter::Not(Box::new(inner))),
        ]
    })
    .boxed()
}

/// A random test that the subject allows.
fn leaf(subjects: BoxedStrategy<Subject>) -> BoxedStrategy<Filter> {
    let tested = subjects.prop_flat_map(|subject| {
        let kind = subject.field().kind;
        (Just(subject), test(kind))
    });
    tested
        .prop_filter_map("a test that the subject allows", |(subject, test)| Filter::value(subject, test).ok())
        .boxed()
}

fn test(kind: Kind) -> BoxedStrategy<Test> {
    let bound = || {
        prop_oneof![
            value(kind).prop_map(Bound::Included),
            value(kind).prop_map(Bound::Excluded),
            Just(Bound::Unbounded),
        ]
    };
    let word = select(&SENTENCES[..]).prop_flat_map(|sentence| {
        let words: Vec<String> = words(sentence).chain(["absent".to_owned()]).collect();
        select(words)
    });
    let phrase = select(&SENTENCES[..]).prop_flat_map(|sentence| {
        let words: Vec<String> = words(sentence).chain(["a".to_owned(), "b".to_owned()]).collect();
        (0..words.len() - 1, 2..4_usize)
            .prop_map(move |(from, length)| words[from..words.len().min(from + length)].to_vec())
    });
    prop_oneof![
        1 => Just(Test::Exists),
        3 => vec(value(kind), 1..3).prop_map(Test::OneOf),
        2 => (bound(), bound()).prop_map(|(low, high)| Test::Range { low, high }),
        2 => select(&TEXTS[..]).prop_flat_map(|text| pattern(text.to_owned())).prop_map(Test::Like),
        1 => vec(word.clone(), 1..3).prop_map(Test::Words),
        1 => phrase.prop_filter("more than one word", |words| words.len() > 1).prop_map(Test::Phrase),
        1 => word.prop_flat_map(pattern).prop_map(Test::WordLike),
    ]
    .boxed()
}

/// The text with parts replaced by wildcards.
fn pattern(text: String) -> impl Strategy<Value = Pattern> {
    let letters: Vec<char> = text.chars().collect();
    (vec(any::<bool>(), letters.len()), any::<bool>()).prop_map(move |(keep, open)| {
        let mut pieces = vec![String::new()];
        for (letter, keep) in letters.iter().zip(&keep) {
            match pieces.last_mut() {
                Some(piece) if *keep => piece.push(*letter),
                _ => pieces.push(String::new()),
            }
        }
        if open {
            pieces.push(String::new());
        }
        Pattern::new(pieces)
    })
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::Date | Kind::DateRange => select(&DATES[..]).prop_map(|date| Value::Millis(millis(date))).boxed(),
        Kind::Long => select(&NUMBERS[..]).prop_map(Value::Integer).boxed(),
        Kind::Long64 => select(&DURATIONS[..]).prop_map(|text| Value::Integer(text.parse().expect("a number"))).boxed(),
        Kind::Float => select(&SCORES[..]).prop_map(|score| Value::Number(score as f32)).boxed(),
        Kind::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        Kind::Ip => {
            select(&ADDRESSES[..]).prop_map(|text| Value::address(text.parse::<IpAddr>().expect("an address"))).boxed()
        }
        Kind::Keyword
        | Kind::Text
        | Kind::Json
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Nested
        | Kind::Objects => select(
            TEXTS
                .iter()
                .chain(&SENTENCES)
                .copied()
                .chain(["primary", "alert", "1.0.0", "true", "1", "1e+30", "1e-7"])
                .collect::<Vec<_>>(),
        )
        .prop_map(|text| Value::Text(text.to_owned()))
        .boxed(),
    }
}

fn field(path: &str) -> &'static Field {
    schema::field(path).expect("the field is mapped")
}

fn label(name: &str) -> Subject {
    Subject::at(&format!("labels.{name}")).expect("labels have any names")
}
