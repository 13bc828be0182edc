//! Cases beyond a single page: visibility, places, scans, chains and aggregations.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Fixture, NONE, parse, sequence, values};
use crate::{
    event::{ChainEntry, Sequence, UnixMillis},
    query::{
        Aggregate, Aggregation, Bucket, Interval, Key, MAX_BUCKETS,
        Order::{Ascending, Descending},
        Statistics, Subject, Unit,
        filter::{self, Filter, Test},
    },
    schema::{self, Field},
    store::{
        IndexError, Outcome,
        testing::{
            ACTION, DURATION, QueryBuilder, SEQUENCE, TIMESTAMP, draft, fresh_chain, fresh_name, position, stub_of,
            visible_in,
        },
    },
};

impl Fixture<'_> {
    async fn aggregate(&self, aggregation: Aggregation) -> Aggregate {
        aggregation.check().expect("the aggregation fits its field");
        self.store.refresh().await.expect("the store refreshes");
        self.store.aggregate(&self.query().build(), &aggregation).await.expect("the store counts")
    }

    /// The values of a field with their counts, the number of values, and the number of events without one.
    async fn terms(&self, path: &str, limit: usize) -> (Vec<(Key, u64)>, u64, u64) {
        match self.aggregate(Aggregation::Terms { subject: Subject::at(path).expect("the path is known"), limit }).await
        {
            Aggregate::Terms { buckets, distinct, without } => {
                let counts = buckets.into_iter().map(|Bucket { value, events }| (value, events)).collect();
                (counts, distinct, without)
            }
            other => panic!("asked for terms, got {other:?}"),
        }
    }

    async fn histogram(&self, path: &str, interval: Interval) -> Vec<(String, u64)> {
        match self.aggregate(Aggregation::Histogram { field: field(path), interval }).await {
            Aggregate::Histogram(spans) => spans.into_iter().map(|(start, events)| (written(start), events)).collect(),
            other => panic!("asked for a histogram, got {other:?}"),
        }
    }

    async fn statistics(&self, path: &str) -> Statistics {
        match self.aggregate(Aggregation::Statistics { field: field(path) }).await {
            Aggregate::Statistics(statistics) => statistics,
            other => panic!("asked for statistics, got {other:?}"),
        }
    }

    async fn percentiles(&self, path: &str, percents: &[f64]) -> Vec<Option<f64>> {
        let percents = percents.to_vec();
        match self.aggregate(Aggregation::Percentiles { field: field(path), percents }).await {
            Aggregate::Percentiles(values) => values,
            other => panic!("asked for percentiles, got {other:?}"),
        }
    }
}

fn field(path: &str) -> &'static Field {
    schema::field(path).expect("the field is mapped")
}

fn text(text: &str) -> Key {
    Key::Text(text.to_owned())
}

fn written(instant: UnixMillis) -> String {
    crate::time::format_time(instant)
}

pub(super) async fn what_is_visible(fixture: &Fixture<'_>) {
    let (one, other) = (fresh_name(), fresh_name());
    let within = |spaces: Value| draft().with("kibana.space_ids", spaces);
    let inside = |space: &str| json!({"rel": "primary", "type": "alert", "id": "1", "namespace": space});
    let drafts = [
        within(json!([one])),
        within(json!([other])),
        within(json!([other, one])),
        draft().without("kibana.space_ids").referring(inside(&one)),
        within(json!([one.to_uppercase()])),
    ];
    fixture.stored(drafts).await;
    let stub = stub_of(&fixture.sealed(5, within(json!([one]))));
    assert_eq!(fixture.append(&[stub]).await, [Outcome::Stored]);
    assert_eq!(fixture.order(visible_in(&[&one])).await, [0, 2]);
    assert_eq!(fixture.order(visible_in(&[&other])).await, [1, 2]);
    assert_eq!(fixture.order(visible_in(&[&one, &other])).await, [0, 1, 2]);
    assert_eq!(fixture.order(visible_in(&[&fresh_name()])).await, NONE);
    assert_eq!(fixture.order(visible_in(&[])).await, NONE);
}

/// In every order, each event is the end of a page once.
pub(super) async fn places_divide_orders(fixture: &Fixture<'_>) {
    for (field, [low, middle, high]) in values() {
        let fixture = Fixture { chain: fresh_chain(), id: fresh_name(), target: fixture.target.clone(), ..*fixture };
        let of = |value: &Value| fixture.draft().with(field.path, value.clone());
        let without = || fixture.draft().without(field.path);
        fixture.stored([of(&middle), without(), of(&low), of(&middle), of(&high), without()]).await;
        for order in [Ascending, Descending] {
            let question = fixture.query().by(&[(field, order)]);
            divided_everywhere(&fixture, question, &format!("{field:?} {order:?}")).await;
        }
    }
}

pub(super) async fn places_divide_ties(fixture: &Fixture<'_>) {
    let of =
        |action: &str, duration: &str| fixture.draft().with("event.action", action).with("event.duration", duration);
    fixture.stored([of("b", "1"), of("a", "2"), of("b", "3"), of("a", "4"), of("b", "3"), of("a", "2")]).await;
    for (first, second) in [(Ascending, Descending), (Descending, Ascending), (Descending, Descending)] {
        let question = fixture.query().by(&[(&ACTION, first), (&DURATION, second)]);
        divided_everywhere(fixture, question, &format!("{first:?} {second:?}")).await;
    }
    divided_everywhere(fixture, fixture.query().by(&[(&TIMESTAMP, Descending)]), "time").await;
    divided_everywhere(fixture, fixture.query().by(&[]), "no key").await;
}

async fn divided_everywhere(fixture: &Fixture<'_>, question: QueryBuilder, what: &str) {
    let whole = fixture.find(question.clone()).await;
    for (index, last) in whole.documents.iter().enumerate() {
        let rest = fixture.find(question.clone().after(&parse(last))).await;
        assert_eq!(rest.total, whole.total, "{what}: the total is that of all that match");
        let expected: Vec<_> = whole.documents[index + 1..].iter().map(sequence).collect();
        let found: Vec<_> = rest.documents.iter().map(sequence).collect();
        assert_eq!(found, expected, "{what} after {}", sequence(last));
        let next = fixture.find(question.clone().after(&parse(last)).page(0, 1)).await;
        assert_eq!(next.documents.iter().map(sequence).collect::<Vec<_>>(), expected.get(..1).unwrap_or(&[]), "{what}");
    }
}

pub(super) async fn scans_are_whole(fixture: &Fixture<'_>) {
    fixture
        .stored((0..23).map(|n| fixture.draft().with("event.action", if n % 2 == 0 { "even" } else { "odd" })))
        .await;
    let question = fixture.query().by(&[(&ACTION, Descending), (&SEQUENCE, Ascending)]).page(0, 1);
    fixture.store.refresh().await.expect("the store refreshes");
    let mut scan = fixture.store.scan(&question.build()).await.expect("the store scans");
    let mut found = Vec::new();
    for limit in [5, 1, 100, 5] {
        let documents = scan.next(limit).await.expect("the scan goes on");
        assert!(documents.len() as u64 <= limit);
        found.extend(documents.iter().map(sequence));
        // Events stored later are not part of it.
        let later = fixture.sealed(100 + limit, fixture.draft().with("event.action", "even"));
        fixture.append(&[later]).await;
        fixture.store.refresh().await.expect("the store refreshes");
    }
    assert_eq!(scan.next(5).await.expect("a finished scan can be asked again"), Vec::<bytes::Bytes>::new());
    scan.close().await;
    let expected: Vec<u64> = (1..23).step_by(2).chain((0..23).step_by(2)).collect();
    assert_eq!(found, expected);
}

/// Small events first, so that the size of the others cannot be guessed from them.
pub(super) async fn bytes_are_bounded(fixture: &Fixture<'_>) {
    const LARGE: usize = 60_000;
    let large = "x".repeat(LARGE);
    let text = |n: u64| if n < 300 { "small" } else { large.as_str() };
    let stored = fixture.stored((0..320).map(|n| fixture.draft().with("message", text(n)))).await;
    let question = || fixture.query().by(&[(&SEQUENCE, Ascending)]);
    let sizes: Vec<_> = stored.iter().map(|event| event.document.len()).collect();

    let page = fixture.find(question().page(0, 320).max_bytes(4 * LARGE)).await;
    let small: usize = sizes[..300].iter().sum();
    let expected = 300 + (4 * LARGE - small).div_ceil(sizes[300]);
    assert_eq!((page.documents.len(), page.total, page.is_cut), (expected, 320, true));
    let page = fixture.find(question().page(expected as u64, 400).max_bytes(usize::MAX)).await;
    assert_eq!((page.documents.len(), page.is_cut), (320 - expected, false));
    let page = fixture.find(question().page(310, 3).max_bytes(1)).await;
    assert_eq!((page.documents.len(), page.is_cut), (1, true), "one is always read");
    let behind = question().after(&parse(&stored[309].document)).page(0, 10);
    let page = fixture.find(behind.max_bytes(2 * LARGE)).await;
    assert_eq!((sequence(&page.documents[0]), page.documents.len(), page.is_cut), (310, 2, true));

    let mut scan = fixture.store.scan(&question().max_bytes(3 * LARGE).build()).await.expect("the store scans");
    let mut found = Vec::new();
    loop {
        let documents = scan.next(5_000).await.expect("the scan goes on");
        let bytes: usize = documents.iter().map(bytes::Bytes::len).sum();
        assert!(bytes < 3 * LARGE + sizes[300], "{bytes} at once");
        if documents.is_empty() {
            break;
        }
        found.extend(documents.iter().map(sequence));
    }
    assert!(found.into_iter().eq(0..320));
}

pub(super) async fn scans_of_nothing(fixture: &Fixture<'_>) {
    let mut scan = fixture.store.scan(&fixture.query().build()).await.expect("the store scans");
    assert_eq!(scan.next(10).await.expect("the scan ends"), Vec::<bytes::Bytes>::new());
    scan.close().await;
}

pub(super) async fn chains_reach(fixture: &Fixture<'_>) {
    let other = fresh_chain();
    fixture.stored((0..5).map(|_| fixture.draft())).await;
    let stub = stub_of(&fixture.sealed(5, fixture.draft()));
    fixture.append(&[fixture.sealed(8, fixture.draft()), stub, fixture.sealed(7, fixture.draft())]).await;
    fixture.store.refresh().await.expect("the store refreshes");
    let reach =
        async |from| fixture.store.reach(fixture.chain, Sequence(from)).await.expect("the store knows its chains");
    assert_eq!(reach(0).await, Some(Sequence(5)));
    assert_eq!(reach(5).await, Some(Sequence(5)));
    assert_eq!(reach(6).await, None);
    assert_eq!(reach(7).await, Some(Sequence(8)));
    assert_eq!(reach(9).await, None);
    assert_eq!(fixture.store.reach(other, Sequence(0)).await.expect("the store knows its chains"), None);
    let chains = fixture.store.chains().await.expect("the store names its chains");
    let received = UnixMillis::parse("2026-11-24T12:00:00.001Z").expect("a date");
    let at = |sequence| ChainEntry { position: position(fixture.chain, sequence), received };
    let ends: Vec<_> = chains.iter().filter(|end| end.position.chain == fixture.chain).collect();
    assert_eq!(ends, [&at(8)]);
    assert!(chains.iter().all(|end| end.position.chain != other));
    let first =
        async |chain, from| fixture.store.first(chain, Sequence(from)).await.expect("the store knows its chains");
    assert_eq!(first(fixture.chain, 0).await, Some(at(0)));
    assert_eq!(first(fixture.chain, 5).await, Some(at(5)));
    assert_eq!(first(fixture.chain, 6).await, Some(at(7)));
    assert_eq!(first(fixture.chain, 9).await, None);
    assert_eq!(first(fixture.chain, u64::MAX).await, None);
    assert_eq!(first(other, 0).await, None);
}

pub(super) async fn ranges_have_everything(fixture: &Fixture<'_>) {
    let mut all = fixture.stored((0..5).map(|_| fixture.draft().with("message", "x".repeat(1_000)))).await;
    all.push(stub_of(&fixture.sealed(5, fixture.draft())));
    all.push(fixture.sealed(8, fixture.draft()));
    fixture.append(&all[5..]).await;
    fixture.append(&[fixture.draft().sealed(position(fresh_chain(), 3))]).await;
    fixture.store.refresh().await.expect("the store refreshes");
    let read = async |from, to, bytes| {
        let range = Sequence(from)..=Sequence(to);
        let read = fixture.store.at_positions(fixture.chain, range, bytes).await.expect("the store knows its chains");
        read.into_iter().map(|it| (it.sequence.0, it.document)).collect::<Vec<_>>()
    };
    let of = |sequences: &[u64]| {
        let event = |sequence: &u64| all.iter().find(|event| event.position.sequence.0 == *sequence);
        let events = sequences.iter().map(|sequence| event(sequence).expect("it was appended"));
        events.map(|event| (event.position.sequence.0, event.document.clone())).collect::<Vec<_>>()
    };
    assert_eq!(read(0, u64::MAX, 1 << 20).await, of(&[0, 1, 2, 3, 4, 5, 8]));
    assert_eq!(read(2, 5, 1 << 20).await, of(&[2, 3, 4, 5]));
    assert_eq!(read(6, 7, 1 << 20).await, of(&[]));
    assert_eq!(read(u64::MAX, u64::MAX, 1 << 20).await, of(&[]));
    // However few bytes are asked for at once, repeated calls read everything, each document once.
    for bytes in [0, 1, 2_500] {
        let (mut whole, mut from) = (Vec::new(), 0);
        loop {
            let part = read(from, 8, bytes).await;
            let Some((last, _)) = part.last() else { break };
            from = last + 1;
            whole.extend(part);
        }
        assert_eq!(whole, of(&[0, 1, 2, 3, 4, 5, 8]), "{bytes}");
    }
}

pub(super) async fn chains_are_found(fixture: &Fixture<'_>) {
    let other = fresh_chain();
    fixture.stored((0..3).map(|_| fixture.draft())).await;
    fixture.append(&[fixture.draft().sealed(position(other, 7))]).await;
    let chain = |texts: &[&str]| {
        let wanted = texts.iter().map(|text| filter::Value::Text((*text).to_owned())).collect();
        Filter::value(Subject::Field(field("annals.chain")), Test::OneOf(wanted)).expect("chains are searched by")
    };
    let found = async |filter: Filter| fixture.order(fixture.query().by(&[(&SEQUENCE, Ascending)]).with(filter)).await;
    let (own, other) = (fixture.chain.to_string(), other.to_string());
    assert_eq!(found(chain(&[&own])).await, [0, 1, 2]);
    assert_eq!(found(chain(&[&other, "no chain"])).await, [7]);
    assert_eq!(found(chain(&[&own, &other])).await, [0, 1, 2, 7]);
    assert_eq!(found(chain(&["no chain"])).await, NONE);
    assert_eq!(found(chain(&[&own.to_uppercase(), ""])).await, NONE);
    assert_eq!(found(chain(&[&own]).negated()).await, [7]);
}

pub(super) async fn terms_are_counted(fixture: &Fixture<'_>) {
    let of = |action: &str| fixture.draft().with("event.action", action);
    let long = "x".repeat(1_025);
    fixture
        .stored([of("b"), of("a"), of("c"), of("b"), of("Ä"), fixture.draft().without("event.action"), of(&long)])
        .await;
    let all = vec![(text("b"), 2), (text("a"), 1), (text("c"), 1), (text("Ä"), 1)];
    assert_eq!(fixture.terms("event.action", 10).await, (all.clone(), 4, 2));
    assert_eq!(fixture.terms("event.action", 2).await, (all[..2].to_vec(), 4, 2));
    assert_eq!(fixture.terms("event.reason", 2).await, (Vec::new(), 0, 7));
}

pub(super) async fn terms_of_every_kind(fixture: &Fixture<'_>) {
    type Expected = Vec<(Key, u64)>;
    let cases: Vec<(&str, [Value; 3], Expected)> = vec![
        (
            "event.duration",
            [json!("9007199254740993"), json!("-1"), json!("-1")],
            vec![(Key::Integer(-1), 2), (Key::Integer(9_007_199_254_740_993), 1)],
        ),
        ("annals.code", [json!(7), json!(-7), json!(7)], vec![(Key::Integer(7), 2), (Key::Integer(-7), 1)]),
        (
            "event.risk_score",
            [json!(0.1), json!(2.5), json!(0.1)],
            vec![(Key::Number(f64::from(0.1_f32)), 2), (Key::Number(2.5), 1)],
        ),
        (
            "kibana.alert.flapping",
            [json!(true), json!(false), json!(true)],
            vec![(Key::Integer(1), 2), (Key::Integer(0), 1)],
        ),
        (
            "event.start",
            [
                json!("2026-11-24T12:00:00.001Z"),
                json!("1969-12-31T23:59:59.999Z"),
                json!("2026-11-24T12:00:00.001999Z"),
            ],
            vec![(Key::Integer(1_795_521_600_001), 2), (Key::Integer(-1), 1)],
        ),
        (
            "source.ip",
            [json!("10.0.0.1"), json!("2001:db8::1"), json!("10.0.0.1")],
            vec![(text("10.0.0.1"), 2), (text("2001:db8::1"), 1)],
        ),
        ("message", [json!("A man"), json!("a plan"), json!("A man")], vec![(text("A man"), 2), (text("a plan"), 1)]),
        ("tags", [json!(["a", "b", "a"]), json!(["a"]), json!([])], vec![(text("a"), 2), (text("b"), 1)]),
    ];
    for (path, values, expected) in cases {
        let fixture = Fixture { chain: fresh_chain(), id: fresh_name(), target: fixture.target.clone(), ..*fixture };
        fixture.stored(values.clone().map(|value| fixture.draft().with(path, value))).await;
        let (counts, distinct, without) = fixture.terms(path, 10).await;
        assert_eq!((counts, distinct), (expected.clone(), expected.len() as u64), "{path}");
        assert_eq!(without, values.iter().filter(|value| **value == json!([])).count() as u64, "{path}");
    }
}

/// An event counts once, however many of its elements have the value.
pub(super) async fn terms_in_elements(fixture: &Fixture<'_>) {
    let with = |types: &[&str]| {
        let about = fixture.draft();
        types.iter().fold(about, |draft, name| draft.referring(json!({"type": name, "id": fresh_name()})))
    };
    fixture.stored([with(&["action", "action"]), with(&["action", "space"]), with(&[])]).await;
    let expected = vec![(text("alert"), 3), (text("action"), 2), (text("space"), 1)];
    assert_eq!(fixture.terms("kibana.saved_objects.type", 10).await, (expected, 3, 0));
    let expected = vec![(text("primary"), 3)];
    assert_eq!(fixture.terms("kibana.saved_objects.rel", 10).await, (expected, 1, 0));
}

/// More values than an engine returns by default.
pub(super) async fn terms_in_any_number(fixture: &Fixture<'_>) {
    let code = |n: u64| fixture.draft().with("event.code", format!("{:03}", n % 150));
    fixture.stored((0..301).map(code)).await;
    let (counts, distinct, without) = fixture.terms("event.code", 3).await;
    assert_eq!(counts, [(text("000"), 3), (text("001"), 2), (text("002"), 2)]);
    assert_eq!((distinct, without), (150, 0));
    assert_eq!(fixture.terms("event.code", 1_000).await.0.len(), 150);
}

pub(super) async fn histograms_have_no_gaps(fixture: &Fixture<'_>) {
    let times = [
        "2024-02-29T23:59:59.999Z",
        "2024-03-01T00:00:00.000Z",
        "2024-03-01T00:00:59.999Z",
        "2024-03-03T23:59:59.999Z",
        "2024-03-04T00:00:00.000Z",
        "2024-12-31T23:59:59.999Z",
    ];
    fixture.stored(times.map(|time| fixture.draft().at(time))).await;
    let days = fixture.histogram("@timestamp", Interval::Millis(86_400_000)).await;
    assert_eq!(days.len(), 307);
    let some: Vec<_> = days.into_iter().filter(|(_, events)| *events > 0).collect();
    let expected = [("2024-02-29", 1), ("2024-03-01", 2), ("2024-03-03", 1), ("2024-03-04", 1), ("2024-12-31", 1)];
    assert_eq!(some, expected.map(|(day, events)| (format!("{day}T00:00:00.000Z"), events)));

    let of = async |unit| fixture.histogram("@timestamp", Interval::Calendar(unit, TimeZone::UTC)).await;
    let months = of(Unit::Month).await;
    assert_eq!(months.len(), 11);
    let month = |at: usize| (months[at].0.as_str(), months[at].1);
    assert_eq!(
        [month(0), month(1), month(2), month(10)],
        [
            ("2024-02-01T00:00:00.000Z", 1),
            ("2024-03-01T00:00:00.000Z", 4),
            ("2024-04-01T00:00:00.000Z", 0),
            ("2024-12-01T00:00:00.000Z", 1),
        ]
    );
    let weeks = of(Unit::Week).await;
    assert_eq!(weeks[..2], [("2024-02-26T00:00:00.000Z".to_owned(), 4), ("2024-03-04T00:00:00.000Z".to_owned(), 1)]);
    let quarters: Vec<_> = of(Unit::Quarter).await.into_iter().map(|(_, events)| events).collect();
    assert_eq!(quarters, [5, 0, 0, 1]);
    assert_eq!(of(Unit::Years(1)).await, [("2024-01-01T00:00:00.000Z".to_owned(), 6)]);
    assert_eq!(of(Unit::Years(100)).await, [("2000-01-01T00:00:00.000Z".to_owned(), 6)]);
}

pub(super) async fn histograms_follow_a_time_zone(fixture: &Fixture<'_>) {
    // In Berlin: the last hour of February, and both sides of midnight on the day on which clocks go forward.
    let times = [
        "2024-02-29T22:59:59.999Z",
        "2024-02-29T23:00:00.000Z",
        "2024-03-30T22:59:59.999Z",
        "2024-03-30T23:00:00.000Z",
        "2024-03-31T21:59:59.999Z",
        "2024-03-31T22:00:00.000Z",
    ];
    fixture.stored(times.map(|time| fixture.draft().at(time))).await;
    let of = async |unit, zone: &TimeZone| {
        let spans = fixture.histogram("@timestamp", Interval::Calendar(unit, zone.clone())).await;
        spans.into_iter().filter(|(_, events)| *events > 0).collect::<Vec<_>>()
    };
    let owned = |spans: &[(&str, u64)]| {
        spans.iter().map(|(start, events)| (format!("{start}:00.000Z"), *events)).collect::<Vec<_>>()
    };
    let berlin = TimeZone::get("Europe/Berlin").expect("the system has time zones");
    let days = [
        ("2024-02-28T23:00", 1),
        ("2024-02-29T23:00", 1),
        ("2024-03-29T23:00", 1),
        ("2024-03-30T23:00", 2),
        ("2024-03-31T22:00", 1),
    ];
    assert_eq!(of(Unit::Day, &berlin).await, owned(&days));
    let months = [("2024-01-31T23:00", 1), ("2024-02-29T23:00", 4), ("2024-03-31T22:00", 1)];
    assert_eq!(of(Unit::Month, &berlin).await, owned(&months));
    assert_eq!(of(Unit::Week, &berlin).await.last(), owned(&[("2024-03-31T22:00", 1)]).first());
    let kathmandu = TimeZone::fixed(jiff::tz::Offset::from_seconds(20_700).expect("an offset"));
    assert_eq!(of(Unit::Years(1), &kathmandu).await, owned(&[("2023-12-31T18:15", 6)]));
    let days = [("2024-02-29T18:15", 2), ("2024-03-30T18:15", 2), ("2024-03-31T18:15", 2)];
    assert_eq!(of(Unit::Day, &kathmandu).await, owned(&days));
}

pub(super) async fn histograms_of_what_may_be_missing(fixture: &Fixture<'_>) {
    let of = |time: &str| fixture.draft().with("event.end", time);
    fixture
        .stored([of("1969-12-31T23:59:59.999Z"), fixture.draft().without("event.end"), of("1970-01-01T00:00:07.000Z")])
        .await;
    let spans = fixture.histogram("event.end", Interval::Millis(4_000)).await;
    let expected = [("1969-12-31T23:59:56.000Z", 1), ("1970-01-01T00:00:00.000Z", 0), ("1970-01-01T00:00:04.000Z", 1)];
    assert_eq!(spans, expected.map(|(start, events)| (start.to_owned(), events)));
    assert_eq!(fixture.histogram("event.start", Interval::Millis(1_000)).await, Vec::<(String, u64)>::new());
}

pub(super) async fn histograms_end_somewhere(fixture: &Fixture<'_>) {
    let of = |time: &str| fixture.draft().with("event.end", time);
    fixture.stored([of("1970-01-01T00:00:00.000Z"), of("1970-01-01T00:00:09.999Z")]).await;
    assert_eq!(fixture.histogram("event.end", Interval::Millis(1)).await.len(), MAX_BUCKETS);
    let one_more = fixture.sealed(2, fixture.draft().with("event.end", "1970-01-01T00:00:10.000Z"));
    fixture.append(&[one_more]).await;
    fixture.store.refresh().await.expect("the store refreshes");
    let aggregation = Aggregation::Histogram { field: field("event.end"), interval: Interval::Millis(1) };
    let refused = fixture.store.aggregate(&fixture.query().build(), &aggregation).await;
    assert!(matches!(refused, Err(IndexError::TooManyBuckets)), "{refused:?}");
    assert_eq!(fixture.histogram("event.end", Interval::Millis(2)).await.len(), 5_001);
}

pub(super) async fn numbers_have_statistics(fixture: &Fixture<'_>) {
    let of = |duration: &str| fixture.draft().with("event.duration", duration).with("event.risk_score", 0.5);
    fixture.stored([of("-4"), of("10"), fixture.draft().without("event.duration"), of("3")]).await;
    let expected = Statistics { values: 3, min: Some(-4.0), max: Some(10.0), sum: 9.0 };
    assert_eq!(fixture.statistics("event.duration").await, expected);
    let expected = Statistics { values: 3, min: Some(0.5), max: Some(0.5), sum: 1.5 };
    assert_eq!(fixture.statistics("event.risk_score").await, expected);
    assert_eq!(fixture.statistics("annals.code").await, Statistics::default());
}

pub(super) async fn numbers_have_percentiles(fixture: &Fixture<'_>) {
    let of = |n: i64| fixture.draft().with("annals.code", n);
    fixture.stored((1..=101).map(of)).await;
    let found = fixture.percentiles("annals.code", &[0.0, 50.0, 95.0, 100.0]).await;
    for (found, expected) in found.into_iter().zip([1.0, 51.0, 96.0, 101.0]) {
        let found = found.expect("there are values");
        assert!((found - expected).abs() <= 1.0, "expected about {expected}, found {found}");
    }
    assert_eq!(fixture.percentiles("event.duration", &[50.0]).await, [None]);
}
