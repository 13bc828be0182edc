#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;

use proptest::{prelude::*, sample::select};
use rusqlite::Connection;
use serde_json::json;

use super::{database::open_to_write, *};
use crate::{
    event::ChainPosition,
    query::{
        Order::{Ascending, Descending},
        Pattern, Subject,
        filter::{Filter, Test, Value},
    },
    schema::{Field, Kind, LONGEST_TEXT, LONGEST_VALUE, Search as SearchedBy, SetBy},
    store::{
        StoreError, conformance,
        memory::MemoryStore,
        sql::{AggregateQuery, Dialect, EventRow, Select, Statement},
        testing::{self, Draft, QueryBuilder, draft, fresh_chain, position},
    },
};

struct TestFile {
    folder: tempfile::TempDir,
}

impl TestFile {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("events.db")
    }

    fn config(&self) -> SqliteConfig {
        let concurrent_queries = NonZeroU32::MIN.saturating_add(3);
        SqliteConfig { path: self.path(), query_timeout: Duration::from_secs(30), concurrent_queries }
    }

    async fn store(&self) -> SqliteStore {
        let store = SqliteStore::new(self.config()).unwrap();
        store.setup(&[]).await.unwrap();
        store
    }
}

fn nowhere() -> Target {
    Target(String::new())
}

#[tokio::test]
async fn conforms() {
    conformance::suite(&TestFile::new().store().await).await;
}

#[tokio::test]
async fn stored_events_survive_reopening_the_store() {
    let place = TestFile::new();
    let chain = fresh_chain();
    let event = draft().about("alert", "a").sealed(position(chain, 0));
    let appended = place.store().await.append(&nowhere(), std::slice::from_ref(&event)).await;
    assert_eq!(appended.unwrap(), [Outcome::Stored]);
    let store = place.store().await;
    assert_eq!(store.find(&testing::about("alert", "a").build()).await.unwrap().documents, [event.document]);
    assert_eq!(store.head(chain).await.unwrap().unwrap().position, event.position);
}

#[tokio::test]
async fn a_document_that_does_not_fit_is_refused_alone() {
    let place = TestFile::new();
    let store = place.store().await;
    let chain = fresh_chain();
    let events = [
        draft().sealed(position(chain, 0)),
        draft().with("event.duration", "soon").sealed(position(chain, 1)),
        draft().sealed_with(position(chain, 2), |_| "{".to_owned()),
        draft().sealed(ChainPosition { sequence: crate::event::Sequence(u64::MAX), ..position(chain, 0) }),
        draft().sealed(position(chain, 3)),
    ];
    let outcomes = store.append(&nowhere(), &events).await.unwrap();
    let reasons: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Rejected { reason } => reason,
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "Stored",
            "event.duration: expected a whole number of 64 bits in a text, found \"soon\"",
            "the document is not an event: EOF while parsing an object at line 1 column 1",
            "the sequence 18446744073709551615 is beyond 2^63−1",
            "Stored",
        ]
    );
}

#[tokio::test]
async fn a_stub_takes_no_events_place() {
    let place = TestFile::new();
    let store = place.store().await;
    let event = draft().about("alert", "a").sealed(position(fresh_chain(), 0));
    store.append(&nowhere(), std::slice::from_ref(&event)).await.unwrap();
    assert_eq!(store.replace(&nowhere(), &testing::stub_of(&event)).await.unwrap(), Outcome::Duplicate);
    assert_eq!(store.find(&testing::about("alert", "a").build()).await.unwrap().documents, [event.document]);
}

const fn field(path: &'static str, kind: Kind) -> Field {
    Field {
        path,
        kind,
        multi: false,
        in_objects: false,
        takes_scalars: false,
        set_by: SetBy::Client,
        max_bytes: 0,
        exact: false,
        longest_value: if matches!(kind, Kind::Text) { LONGEST_TEXT } else { LONGEST_VALUE },
        search: SearchedBy::Value,
    }
}

#[tokio::test]
async fn before_its_setup_a_store_is_unavailable() {
    let place = TestFile::new();
    let store = SqliteStore::new(place.config()).unwrap();
    let event = draft().sealed(position(fresh_chain(), 0));
    let appended = store.append(&nowhere(), &[event]).await;
    let expected = format!("the SQLite store {}: it is not open", place.path().display());
    assert!(matches!(appended, Err(SinkError::Unavailable { reason, .. }) if reason == expected));
    assert!(!place.path().exists());
}

#[tokio::test]
async fn a_file_that_is_not_ours_blocks_until_it_is_gone() {
    let place = TestFile::new();
    Connection::open(place.path()).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    let store = SqliteStore::new(place.config()).unwrap();
    let SinkError::Blocked { reason } = store.setup(&[]).await.unwrap_err() else { panic!("not blocked") };
    assert!(reason.contains("events.db: the file is the database of another program"), "{reason}");
    std::fs::remove_file(place.path()).unwrap();
    store.setup(&[]).await.unwrap();
}

fn batch() -> Vec<SealedEvent> {
    let chain = fresh_chain();
    (0..500).map(|sequence| draft().about("alert", "a").sealed(position(chain, sequence))).collect()
}

/// Returns the error of an append on a connection in this state, after checking that nothing of it was stored.
fn failure_of_append<T>(prepare: impl FnOnce(&Connection, &Path) -> T) -> StoreError {
    let place = TestFile::new();
    let mut connection = open_to_write(&place.path()).unwrap();
    let _kept = prepare(&connection, &place.path());
    let error = append::append(&mut connection, &batch().into_iter().map(append::PreparedRow::of).collect::<Vec<_>>())
        .unwrap_err();
    let rows: i64 = connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
    failure::store_error(&place.path(), &error)
}

#[test]
fn a_full_disk_blocks_and_leaves_nothing_half_done() {
    let error = failure_of_append(|connection, _| connection.pragma_update(None, "max_page_count", 50).unwrap());
    assert!(
        matches!(&error, StoreError::Blocked { reason } if reason.ends_with("database or disk is full")),
        "{error:?}"
    );
}

#[test]
fn a_read_only_file_blocks() {
    let error = failure_of_append(|connection, _| connection.pragma_update(None, "query_only", true).unwrap());
    assert!(
        matches!(&error, StoreError::Blocked { reason } if reason.ends_with("attempt to write a readonly database")),
        "{error:?}"
    );
}

#[test]
fn a_file_that_another_process_writes_to_is_unavailable() {
    let error = failure_of_append(|connection, path| {
        connection.busy_timeout(Duration::ZERO).unwrap();
        let other = Connection::open(path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    });
    assert!(
        matches!(&error, StoreError::Unavailable { reason, .. } if reason.ends_with("database is locked")),
        "{error:?}"
    );
}

fn seven(connection: &mut Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT 7", [], |row| row.get(0))
}

/// Runs a query that would take years.
fn endless(connection: &mut Connection) -> rusqlite::Result<i64> {
    let endless = "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    connection.query_row(endless, [], |row| row.get(0))
}

#[tokio::test]
async fn a_query_is_given_up_when_its_time_is_over_and_the_next_one_runs() {
    let place = TestFile::new();
    let _store = place.store().await;
    let readers = Readers::new(place.path(), NonZeroU32::MIN, Duration::from_secs(1));
    let error = readers.run(endless).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Unavailable { reason, .. } if reason.ends_with("the query took longer than 1 s")),
        "{error:?}"
    );
    assert_eq!(readers.run(seven).await.unwrap(), 7);
}

#[tokio::test]
async fn a_query_whose_caller_is_gone_makes_room() {
    let place = TestFile::new();
    let _store = place.store().await;
    let readers = Readers::new(place.path(), NonZeroU32::MIN, Duration::from_secs(600));
    let (started, starts) = tokio::sync::oneshot::channel();
    let query = readers.run(move |connection| {
        started.send(()).unwrap();
        endless(connection)
    });
    tokio::select! {
        _ = query => panic!("the query ended"),
        started = starts => started.unwrap(),
    }
    assert_eq!(readers.run(seven).await.unwrap(), 7);
}

#[tokio::test]
async fn a_long_log_is_shortened() {
    let place = TestFile::new();
    let store = place.store().await;
    let log = place.path().with_extension("db-wal");
    // A reader in the way lets the log grow.
    let reader = Connection::open(place.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    let large = "x".repeat(1 << 20);
    let chain = fresh_chain();
    let events: Vec<_> =
        (0..70).map(|sequence| draft().with("message", large.as_str()).sealed(position(chain, sequence))).collect();
    store.append(&nowhere(), &events).await.unwrap();
    drop(reader);
    assert!(log.metadata().unwrap().len() > 64 << 20);
    store.maintain(&[]).await.unwrap();
    assert_eq!(log.metadata().unwrap().len(), 0);
}

static ADDRESS: Field = field("source.ip", Kind::Ip);
static CREATED: Field = field("event.created", Kind::Date);
static RISK: Field = field("event.risk_score", Kind::Float);
static SCHEDULE_DELAY: Field = field("kibana.task.schedule_delay", Kind::Long64);
static FLAPPING: Field = field("kibana.alert.flapping", Kind::Boolean);

fn any_of<T: Clone + std::fmt::Debug + Into<serde_json::Value> + 'static>(
    path: &'static str,
    values: Vec<T>,
) -> impl Strategy<Value = Option<(&'static str, serde_json::Value)>> {
    proptest::option::weighted(0.7, select(values)).prop_map(move |value| value.map(|value| (path, value.into())))
}

fn drafts() -> impl Strategy<Value = Draft> {
    let dates = vec![
        "2026-11-24T12:00:00.000Z",
        "2026-11-24T12:00:00.000000001Z",
        "2026-11-24T12:00:00.001Z",
        "2026-11-24T12:00:00.002Z",
    ];
    let texts = vec!["", "A", "a", "a\u{fffd}", "a\u{10000}", "b \"c\"\n"];
    let messages = vec!["a".to_owned(), "b".repeat(1_024), "b".repeat(1_025), "🦀".repeat(512), "🦀".repeat(513)];
    let integers = vec!["-9223372036854775808", "-1", "9", "10", "9007199254740992", "9007199254740993"];
    let fields = (
        select(dates.clone()),
        any_of("event.start", dates.clone()),
        any_of("event.created", dates),
        any_of("event.provider", texts.clone()),
        any_of("event.duration", integers.clone()),
        any_of("kibana.task.schedule_delay", integers),
        any_of("message", messages),
        any_of("event.risk_score", vec![-0.5, 0.0, 7.0, 7.25]),
        any_of("kibana.alert.flapping", vec![false, true]),
        any_of("source.ip", vec!["10.0.0.1", "::ffff:10.0.0.1", "9.0.0.1", "2001:db8::1", "::1"]),
    );
    let reference = (
        proptest::option::weighted(0.8, Just("primary")),
        proptest::option::weighted(0.2, select(vec!["default", "marketing"])),
        select(vec!["action", "alert", "alert"]),
        select(vec!["1", "2"]),
    );
    let references = proptest::collection::vec(reference, 0..5);
    (fields, references).prop_map(|((at, a, b, c, d, e, f, g, h, i), references)| {
        let bare = draft().at(at).without("event.provider").without("message");
        let filled = [a, b, c, d, e, f, g, h, i].into_iter().flatten();
        let filled = filled.fold(bare, |draft, (path, value)| draft.with(path, value));
        references.into_iter().fold(filled, |draft, (rel, namespace, object_type, id)| {
            let mut reference = json!({"type": object_type, "id": id});
            for (name, value) in [("rel", rel), ("namespace", namespace)] {
                if let Some(value) = value {
                    reference[name] = value.into();
                }
            }
            draft.referring(reference)
        })
    })
}

fn questions() -> impl Strategy<Value = QueryBuilder> {
    let fields: Vec<&'static Field> = vec![
        &testing::TIMESTAMP,
        &testing::SEQUENCE,
        &testing::START,
        &testing::PROVIDER,
        &testing::DURATION,
        &testing::MESSAGE,
        &CREATED,
        &ADDRESS,
        &RISK,
        &SCHEDULE_DELAY,
        &FLAPPING,
    ];
    let key = (select(fields), select(vec![Ascending, Descending]));
    let bounds = proptest::option::weighted(0.3, select(vec!["2026-11-24T12:00:00.000Z", "2026-11-24T12:00:00.001Z"]));
    (
        proptest::collection::vec(select(vec!["1", "2", "3"]), 1..4),
        select(vec!["default", "default", "marketing", "sales"]),
        (bounds.clone(), bounds),
        proptest::collection::vec(key, 0..3),
        (0..4_u64, 0..24_u64),
    )
        .prop_map(|(ids, space, (start, end), keys, (offset, limit))| {
            let ids = ids.into_iter().map(str::to_owned).collect();
            let question = testing::about_any("alert", ids).in_space(space).by(&keys).page(offset, limit);
            let question = start.into_iter().fold(question, QueryBuilder::from);
            end.into_iter().fold(question, QueryBuilder::to)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_the_reference_store_does(
        drafts in proptest::collection::vec((drafts(), any::<bool>()), 0..32),
        questions in proptest::collection::vec(questions(), 24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = TestFile::new();
            let (store, reference) = (place.store().await, MemoryStore::default());
            let chains = [fresh_chain(), fresh_chain()];
            let events: Vec<_> = drafts
                .into_iter()
                .zip(0..)
                .map(|((draft, chain), n)| draft.sealed(position(chains[usize::from(chain)], n / 2)))
                .collect();
            let stored = store.append(&nowhere(), &events).await.unwrap();
            assert_eq!(stored, reference.append(&nowhere(), &events).await.unwrap());
            for question in questions {
                let described = format!("{question:?}");
                let question = question.build();
                let (found, expected) = (store.find(&question).await.unwrap(), reference.find(&question).await.unwrap());
                assert_eq!((found.total, found.documents), (expected.total, expected.documents), "{described}");
            }
            for chain in chains {
                assert_eq!(store.head(chain).await.unwrap(), reference.head(chain).await.unwrap());
            }
        });
    }
}

/// Creates a file as the first version left it, with these events.
fn file_of_the_first_version(path: &Path, events: &[SealedEvent]) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(include_str!("migrations/0001_events.sql")).unwrap();
    connection.pragma_update(None, "application_id", 0x414e_4e4c).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let insert = "INSERT INTO events (chain, sequence, received, document) VALUES (?1, ?2, 0, ?3)";
    for event in events {
        let sequence = i64::try_from(event.position.sequence.0).unwrap();
        connection.execute(insert, (event.position.chain.as_bytes(), sequence, &event.document[..])).unwrap();
    }
    connection
}

fn events_of_before() -> Vec<SealedEvent> {
    let chain = fresh_chain();
    let mut events: Vec<_> = (0..2_500)
        .map(|n| draft().about("alert", "a").with("message", format!("number {n}")).sealed(position(chain, n)))
        .collect();
    events[7] = testing::stub_of(&events[7]);
    events
}

#[tokio::test]
async fn a_file_of_the_first_version_is_brought_up_to_date() {
    let place = TestFile::new();
    let events = events_of_before();
    drop(file_of_the_first_version(&place.path(), &events));
    let store = place.store().await;
    let newest = testing::about("alert", "a").by(&[(&testing::SEQUENCE, Descending)]);
    let page = store.find(&newest.build()).await.unwrap();
    let expected: Vec<_> = events.iter().rev().take(10).map(|event| event.document.clone()).collect();
    assert_eq!((page.total, page.documents), (2_499, expected));
    let outcomes = store.append(&nowhere(), &events).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Duplicate));
    let rows = Connection::open(place.path()).unwrap();
    assert!(!migrate::is_under_way(&rows).unwrap());
    let found: i64 = rows
        .query_row(
            "SELECT count(*) FROM message_words WHERE message_words MATCH '\"number\" AND \"2499\"'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(found, 1);
}

/// Each batch is a transaction of its own, so this is the state after a kill between two of them.
#[tokio::test]
async fn an_interrupted_migration_resumes_and_no_query_is_answered_before_its_end() {
    let place = TestFile::new();
    let events = events_of_before();
    let mut connection = file_of_the_first_version(&place.path(), &events);
    connection.execute_batch(include_str!("migrations/0002_questions.sql")).unwrap();
    connection.execute_batch(include_str!("migrations/0003_reading.sql")).unwrap();
    connection.execute_batch(include_str!("migrations/0004_identity.sql")).unwrap();
    connection.execute_batch(include_str!("migrations/0005_object_names.sql")).unwrap();
    connection.execute_batch(include_str!("migrations/0006_long_messages.sql")).unwrap();
    connection.pragma_update(None, "user_version", 6).unwrap();
    migrate::move_batch(&mut connection).unwrap();
    let moved: i64 = connection.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(moved, 1_000);
    drop(connection);
    let store = SqliteStore::new(place.config()).unwrap();
    let asked = testing::about("alert", "a").build();
    let early = store.find(&asked).await.unwrap_err();
    assert!(matches!(&early, IndexError::Unavailable { reason, .. } if reason.ends_with("has not been migrated yet")));
    store.setup(&[]).await.unwrap();
    assert_eq!(store.find(&asked).await.unwrap().total, 2_499);
    assert_eq!(store.reach(events[0].position.chain, crate::event::Sequence(0)).await.unwrap().unwrap().0, 2_499);
}

/// Creates a file as the second version left it, with these events.
fn file_of_the_second_version(path: &Path, events: &[SealedEvent]) -> Connection {
    let connection = file_of_the_first_version(path, &[]);
    connection.execute_batch(include_str!("migrations/0002_questions.sql")).unwrap();
    connection.execute_batch("DROP TABLE events_1; PRAGMA user_version = 2").unwrap();
    let insert = "INSERT INTO events (chain, sequence, received, timestamp, document) VALUES (?1, ?2, 0, ?3, ?4)";
    for event in events {
        let row = EventRow::of(event).unwrap();
        connection.execute(insert, (row.chain, row.sequence, row.timestamp, &event.document[..])).unwrap();
    }
    connection
}

fn with_ids(events: u64) -> Vec<SealedEvent> {
    let chain = fresh_chain();
    let visible = draft().with("kibana.space_ids", json!(["default"]));
    (0..events).map(|n| visible.clone().with("event.id", format!("id {n}")).sealed(position(chain, n))).collect()
}

fn by_id(id: &str) -> ScopedQuery {
    let id_of_event = Subject::Field(crate::schema::field("event.id").unwrap());
    let filter = Filter::value(id_of_event, Test::OneOf(vec![Value::Text(id.to_owned())])).unwrap();
    testing::visible_everywhere().with(filter).page(0, 1).build()
}

#[tokio::test]
async fn older_events_are_found_by_their_ids_once_all_are_filled_in() {
    let place = TestFile::new();
    let mut events = with_ids(2_500);
    events[1] = testing::stub_of(&events[1]);
    let mut connection = file_of_the_second_version(&place.path(), &events);
    connection.execute_batch(include_str!("migrations/0003_reading.sql")).unwrap();
    connection.pragma_update(None, "user_version", 3).unwrap();
    super::functions::register(&connection).unwrap();
    // The state after a kill between two batches.
    migrate::fill_batch(&mut connection, &migrate::EVENT_ID).unwrap();
    let filled: i64 = connection.query_row("SELECT count(event_id) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(filled, 1_000);
    drop(connection);
    let store = SqliteStore::new(place.config()).unwrap();
    let early = store.find(&by_id("id 0")).await.unwrap_err();
    assert!(matches!(&early, IndexError::Unavailable { reason, .. } if reason.ends_with("has not been migrated yet")));
    store.setup(&[]).await.unwrap();
    for n in [0, 2, 999, 1_500, 2_499] {
        let found = store.find(&by_id(&format!("id {n}"))).await.unwrap().documents;
        assert_eq!(found, [events[n].document.clone()], "{n}");
    }
    assert_eq!(store.find(&by_id("id 1")).await.unwrap().total, 0);
    let newer = with_ids(1);
    store.append(&nowhere(), &newer).await.unwrap();
    assert_eq!(store.find(&by_id("id 0")).await.unwrap().total, 2);
}

/// Earlier versions left out a message of more than 1,024 units.
#[tokio::test]
async fn long_messages_of_before_are_found_by_their_parts() {
    let place = TestFile::new();
    let chain = fresh_chain();
    let message = |at: u64| format!("{}\0 end {at}", "é".repeat(if at == 2 { 9_000 } else { 5_000 }));
    let visible = draft().with("kibana.space_ids", json!(["default"]));
    let events: Vec<_> =
        (0..3).map(|at| visible.clone().with("message", message(at)).sealed(position(chain, at))).collect();
    place.store().await.append(&nowhere(), &events).await.unwrap();
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch("UPDATE events SET message = NULL; PRAGMA user_version = 5").unwrap();
    drop(connection);
    let store = place.store().await;
    let contains = |part: &str| {
        let subject = Subject::Field(crate::schema::field("message").unwrap());
        testing::visible_everywhere()
            .with(Filter::value(subject, Test::Like(Pattern::containing(part))).unwrap())
            .build()
    };
    for (part, found) in [("\0 end 0", 1), ("éé\0 end", 2), ("end 2", 0)] {
        assert_eq!(store.find(&contains(part)).await.unwrap().total, found, "{part:?}");
    }
    assert_eq!(testing::misfiled(&store, usize::MAX).await, Some((3, vec![])));
}

/// Returns SQLite's plan for these statements, a line for each step.
fn plan<const N: usize>(statements: [Statement; N]) -> String {
    let place = TestFile::new();
    let connection = open_to_write(&place.path()).unwrap();
    let mut plan = String::new();
    for statement in statements {
        let mut explained = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", statement.text)).unwrap();
        let steps = explained.query_map(find::parameters(statement.values), |row| row.get::<_, String>("detail"));
        steps.unwrap().for_each(|step| plan += &format!("{}\n", step.unwrap()));
    }
    plan
}

#[test]
fn an_id_is_looked_up() {
    let query = by_id("id 7");
    let search = Select::of(Dialect::Sqlite, query.query());
    let plan = plan([search.count(), search.page(None, 0, 1)]);
    assert_eq!(plan.matches("USING INDEX events_by_event_id (event_id=?)").count(), 2, "{plan}");
    assert!(!plan.contains("SCAN"), "{plan}");
}

#[test]
fn the_last_hours_are_counted_from_their_index_alone() {
    for path in ["annals.severity", "log.level", "event.outcome", "event.action", "user.name"] {
        let terms = Aggregation::Terms { subject: crate::schema::field(path).unwrap().into(), limit: 10 };
        let query = testing::visible_in(&["default"]).from(testing::NOON).build();
        let counting = AggregateQuery::of(Dialect::Sqlite, query.query(), &terms);
        let plan = plan([counting.statement(), counting.value_scan().unwrap().statement]);
        let step = "SEARCH e USING COVERING INDEX events_by_time (timestamp>?)";
        assert_eq!(plan.matches(step).count(), 2, "{path}: {plan}");
    }
}
