//! Tests of the store on a real server.
//!
//! They run if `ANNALS_TEST_POSTGRES` holds the address of a database. If not, they are skipped with a message, or fail
//! if `ANNALS_TEST_ENGINES` is `required`. Each test creates and removes its own schema.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    env,
    num::NonZeroU32,
    panic::{AssertUnwindSafe, resume_unwind},
    path::PathBuf,
};

use futures_util::FutureExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::types::Type;

use super::*;
use crate::{
    query::{
        Pattern, Subject,
        filter::{Filter, Test, Value},
    },
    schema,
    store::{
        conformance,
        sql::{Dialect, Select, Statement},
        testing::{self, draft, fresh_chain, fresh_name, position},
    },
    units::Secret,
};

fn config(url: &str) -> PostgresConfig {
    PostgresConfig {
        url: Some(Secret::new(url)),
        host: None,
        port: None,
        user: None,
        password: None,
        password_file: None,
        database: None,
        schema: format!("test_{}", fresh_name()),
        tls: TlsMode::Off,
        ca_file: None,
        connections: NonZeroU32::MIN.saturating_add(7),
        connect_timeout: Duration::from_secs(5),
        query_timeout: Duration::from_secs(30),
        append_timeout: Duration::from_secs(30),
    }
}

/// Runs a case with a configuration that has a schema of its own.
async fn on_a_server(case: impl AsyncFn(&PostgresConfig)) {
    let url = env::var("ANNALS_TEST_POSTGRES").unwrap_or_default();
    if url.is_empty() {
        assert_ne!(env::var("ANNALS_TEST_ENGINES").as_deref(), Ok("required"), "ANNALS_TEST_POSTGRES is not set");
        eprintln!("skipped: ANNALS_TEST_POSTGRES is not set");
        return;
    }
    let config = config(&url);
    let result = AssertUnwindSafe(case(&config)).catch_unwind().await;
    execute(&config, &format!("DROP SCHEMA IF EXISTS {} CASCADE", config.schema)).await;
    if let Err(panic) = result {
        resume_unwind(panic);
    }
}

/// Runs statements on a separate connection.
async fn execute(config: &PostgresConfig, statements: &str) {
    let statements = format!("SET search_path TO {}; {statements}", config.schema);
    let (client, connection) = config.connection().unwrap().connect(config.tls().unwrap()).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(&statements).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

async fn store(config: &PostgresConfig) -> PostgresStore {
    let store = PostgresStore::new(config).unwrap();
    store.setup(&[]).await.unwrap();
    store
}

fn nowhere() -> Target {
    Target(String::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn conforms() {
    on_a_server(async |config| conformance::suite(&store(config).await).await).await;
}

#[tokio::test]
async fn several_writers_create_the_tables_at_once() {
    on_a_server(async |config| {
        let stores: Vec<_> = (0..4).map(|_| PostgresStore::new(config).unwrap()).collect();
        let done = futures_util::future::join_all(stores.iter().map(|store| store.setup(&[]))).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    })
    .await;
}

#[tokio::test]
async fn a_schema_of_a_newer_version_is_left_alone() {
    on_a_server(async |config| {
        let store = store(config).await;
        execute(config, "INSERT INTO versions (version) VALUES (7)").await;
        let SinkError::Blocked { reason } = store.setup(&[]).await.unwrap_err() else { panic!("not blocked") };
        assert!(
            reason.ends_with("has version 7, but this program only supports versions up to 5: use a newer program"),
            "{reason}"
        );
    })
    .await;
}

#[tokio::test]
async fn tables_of_another_program_are_left_alone() {
    on_a_server(async |config| {
        execute(config, &format!("CREATE SCHEMA {0}; CREATE TABLE {0}.events (id int)", config.schema)).await;
        let SinkError::Blocked { reason } = PostgresStore::new(config).unwrap().setup(&[]).await.unwrap_err() else {
            panic!("not blocked")
        };
        assert!(reason.ends_with("has tables of another program"), "{reason}");
    })
    .await;
}

/// Runs a statement that is unique to this schema's test and does not end by itself.
async fn sleep(connection: &mut deadpool_postgres::Object, schema: &str) -> Result<(), failure::OperationError> {
    Ok(connection.batch_execute(&format!("SELECT pg_sleep(600), '{schema}'")).await?)
}

#[tokio::test]
async fn a_query_is_given_up_when_its_time_is_over_and_the_next_one_runs() {
    on_a_server(async |config| {
        let store = store(config).await;
        let schema = config.schema.clone();
        let error = store
            .connections
            .run(Duration::from_millis(300), move |c| async move { sleep(c, &schema).await }.boxed())
            .await
            .unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("no answer within 0.3 s")));
        assert_eq!(store.chains().await.unwrap(), []);
        still_running(config, 0).await;
    })
    .await;
}

#[tokio::test]
async fn a_query_whose_caller_is_gone_is_cancelled() {
    on_a_server(async |config| {
        let store = store(config).await;
        let schema = config.schema.clone();
        tokio::select! {
            _ = store.connections.run(Duration::from_secs(600), move |c| async move { sleep(c, &schema).await }.boxed()) => panic!("the query ended"),
            () = still_running(config, 1) => {}
        }
        still_running(config, 0).await;
    })
    .await;
}

/// Waits until this many of the schema's sessions sleep.
async fn still_running(config: &PostgresConfig, expected: i64) {
    let (client, connection) = config.connection().unwrap().connect(config.tls().unwrap()).await.unwrap();
    tokio::spawn(connection);
    let count = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = $1";
    let query = format!("SELECT pg_sleep(600), '{}'", config.schema);
    loop {
        let running: i64 = client.query_one(count, &[&query]).await.unwrap().get(0);
        if running == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn session(connection: &mut deadpool_postgres::Object) -> Result<i32, failure::OperationError> {
    Ok(connection.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?)
}

#[tokio::test]
async fn sessions_that_the_server_ended_are_replaced() {
    on_a_server(async |config| {
        let store = store(config).await;
        let event = draft().about("alert", "a").sealed(position(fresh_chain(), 0));
        store.append(&nowhere(), std::slice::from_ref(&event)).await.unwrap();
        // The pool hands out the newest idle connection first, and there is only one.
        let session = store.ask(|connection| session(connection).boxed()).await.unwrap();
        execute(config, &format!("SELECT pg_terminate_backend({session}, 5000)")).await;
        let asked = testing::about("alert", "a").build();
        // A query may still get the session while it is ending, but not once it has ended.
        let mut found = store.find(&asked).await;
        for _ in 0..100 {
            let Err(IndexError::Unavailable { .. }) = found else { break };
            found = store.find(&asked).await;
        }
        assert_eq!(found.unwrap().documents, [event.document]);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable_and_wrong_credentials_are_denied() {
    on_a_server(async |config| {
        let away = PostgresConfig { host: Some("127.0.0.1".to_owned()), port: Some(1), ..config.clone() };
        let error = PostgresStore::new(&away).unwrap().setup(&[]).await.unwrap_err();
        assert!(
            matches!(&error, SinkError::Unavailable { reason, .. } if reason.contains("127.0.0.1:1/")),
            "{error:?}"
        );
        let nobody = PostgresConfig { user: Some("annals_nobody".to_owned()), ..config.clone() };
        let error = PostgresStore::new(&nobody).unwrap().setup(&[]).await.unwrap_err();
        assert!(matches!(&error, SinkError::Denied { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_read_only_database_blocks() {
    on_a_server(async |config| {
        let store = store(config).await;
        execute(config, "ALTER TABLE events ADD CHECK (false)").await;
        let event = draft().sealed(position(fresh_chain(), 0));
        let error = store.append(&nowhere(), &[event]).await.unwrap_err();
        assert!(matches!(&error, SinkError::Blocked { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_table_or_schema_that_is_missing_is_named() {
    on_a_server(async |config| {
        let store = store(config).await;
        let event = draft().about("alert", "a").sealed(position(fresh_chain(), 0));
        for (removed, missing) in [("TABLE objects", "objects"), ("SCHEMA {} CASCADE", "events")] {
            execute(config, &format!("DROP {}", removed.replace("{}", &config.schema))).await;
            let lost = store.append(&nowhere(), std::slice::from_ref(&event)).await.unwrap_err();
            let SinkError::TargetLost { reason } = lost else { panic!("{lost:?}") };
            let expected = format!(
                ": a table of the schema {}, or all of it, is missing: relation \"{missing}\" does not exist (42P01)",
                config.schema
            );
            assert!(reason.ends_with(&expected), "{reason}");
        }
    })
    .await;
}

/// Asks the server whether its connection is encrypted.
async fn is_encrypted(config: &PostgresConfig) -> Result<bool, StoreError> {
    const ASK: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let store = PostgresStore::new(config).unwrap();
    store.ask(|connection| async move { Ok(connection.query_one(ASK, &[]).await?.try_get(0)?) }.boxed()).await
}

/// Trusts only this authority, and expects a server of this name at the address of the real one.
fn encrypted(config: &PostgresConfig, ca_file: Option<PathBuf>, name: &str) -> PostgresConfig {
    let url = config.url.as_ref().unwrap().expose().replace("@127.0.0.1:", &format!("@{name}:"));
    let url = Secret::new(format!("{url}?hostaddr=127.0.0.1"));
    PostgresConfig { url: Some(url), tls: TlsMode::Required, ca_file, ..config.clone() }
}

#[tokio::test]
async fn only_a_server_certified_by_the_right_authority_for_its_name_is_trusted() {
    on_a_server(async |config| {
        let ca_file = env::var_os("ANNALS_TEST_POSTGRES_CA").map(PathBuf::from);
        assert!(ca_file.is_some(), "ANNALS_TEST_POSTGRES_CA is not set, and ANNALS_TEST_POSTGRES is");
        for name in ["localhost", "127.0.0.1"] {
            assert!(is_encrypted(&encrypted(config, ca_file.clone(), name)).await.unwrap(), "{name}");
        }
        assert!(!is_encrypted(config).await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let stranger = folder.path().join("stranger.pem");
        std::fs::write(&stranger, rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem())
            .unwrap();
        for (ca_file, name) in [(ca_file, "elsewhere.test"), (Some(stranger), "localhost"), (None, "localhost")] {
            let refused = is_encrypted(&encrypted(config, ca_file, name)).await;
            let Err(StoreError::Unavailable { reason, .. }) = &refused else { panic!("{name}: {refused:?}") };
            assert!(reason.contains("certificate"), "{name}: {reason}");
        }
    })
    .await;
}

/// The server gets nothing in plain text, least of all a password.
#[tokio::test]
async fn a_server_without_tls_gets_nothing_if_tls_is_required() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = async {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut told = Vec::new();
        client.read_exact(&mut [0; 8]).await.unwrap();
        client.write_all(b"N").await.unwrap();
        client.read_to_end(&mut told).await.unwrap();
        told
    };
    let config = PostgresConfig {
        tls: TlsMode::Required,
        ..config(&format!("postgres://annals:secret@127.0.0.1:{port}/annals"))
    };
    let (told, answer) = tokio::join!(server, is_encrypted(&config));
    assert_eq!(told, b"");
    assert!(matches!(&answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
}

/// Waits until something in the schema's database waits for a lock, unless `work` ends first.
async fn until_it_waits<T>(config: &PostgresConfig, work: impl Future<Output = T> + Unpin) -> Option<T> {
    let (client, connection) = config.connection().unwrap().connect(config.tls().unwrap()).await.unwrap();
    tokio::spawn(connection);
    let waiting = async {
        let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
        while client.query_one(count, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        done = work => Some(done),
        () = waiting => None,
    }
}

/// An append of the first and the last of these events that has written them but not yet committed.
#[tokio::test]
async fn a_scan_has_all_of_an_append_that_was_under_way_or_nothing() {
    on_a_server(async |config| {
        let store = store(config).await;
        let chain = fresh_chain();
        let events: Vec<_> = (0..3).map(|at| draft().about("alert", "a").sealed(position(chain, at))).collect();
        let [first, middle, last] = events.clone().try_into().unwrap();
        let (written, is_written) = tokio::sync::oneshot::channel();
        let (end, is_to_end) = tokio::sync::oneshot::channel();
        let slow = store.connections.run(Duration::from_secs(30), move |connection| {
            async move {
                let transaction = append::adding(connection).await?;
                append::store(&transaction, &[PreparedRow::of(first), PreparedRow::of(last)]).await?;
                written.send(()).unwrap();
                is_to_end.await.unwrap();
                Ok(transaction.commit().await?)
            }
            .boxed()
        });
        let others = async {
            is_written.await.unwrap();
            store.append(&nowhere(), &[middle]).await.unwrap();
            let asked = testing::about("alert", "a").build();
            let mut beginning = Box::pin(async {
                let mut scan = store.scan(&asked).await.unwrap();
                let found = scan.next(1).await.unwrap();
                (scan, found)
            });
            let begun = until_it_waits(config, &mut beginning).await;
            end.send(()).unwrap();
            let (mut scan, mut found) = match begun {
                Some(begun) => begun,
                None => beginning.await,
            };
            while let rest = scan.next(1).await.unwrap()
                && !rest.is_empty()
            {
                found.extend(rest);
            }
            found
        };
        let (slow, found) = tokio::join!(slow, others);
        slow.unwrap();
        let expected: Vec<_> = events.into_iter().map(|event| event.document).collect();
        assert_eq!(found, expected);
    })
    .await;
}

fn by_id(id: &str) -> crate::query::ScopedQuery {
    let id_of_event = Subject::Field(schema::field("event.id").unwrap());
    let test = Test::OneOf(vec![Value::Text(id.to_owned())]);
    testing::visible_everywhere().with(Filter::value(id_of_event, test).unwrap()).page(0, 1).build()
}

/// Marks a schema as one that the first version left.
const VERSION_1: &str = "CREATE TABLE versions (version integer PRIMARY KEY, taken timestamptz NOT NULL DEFAULT now());
    INSERT INTO versions (version) VALUES (1)";

#[tokio::test]
async fn events_of_the_first_version_are_found_by_their_ids() {
    on_a_server(async |config| {
        let first = include_str!("migrations/0001_events.sql");
        let events = "INSERT INTO events (chain, sequence, received, timestamp, fields, document)
            SELECT '\\x00', n, 0, 0, jsonb_build_object('event.id', 'id ' || n), convert_to('document ' || n, 'UTF8')
            FROM generate_series(1, 2000) AS n";
        execute(config, &format!("CREATE SCHEMA {}; {first}; {VERSION_1}; {events}", config.schema)).await;
        let store = store(config).await;
        assert_eq!(store.find(&by_id("id 7")).await.unwrap().documents, ["document 7"]);
        execute(config, "ANALYZE").await;
        let plan = plan_of(&store, by_id("id 7")).await;
        assert_eq!(plan.matches("events_by_event_id").count(), 2, "{plan}");
        assert!(!plan.contains("Seq Scan"), "{plan}");
    })
    .await;
}

/// Earlier versions left out texts of more than 1,024 units.
#[tokio::test]
async fn long_texts_of_before_are_found_by_their_parts() {
    on_a_server(async |config| {
        let chain = fresh_chain();
        let visible = draft().with("kibana.space_ids", json!(["default"]));
        let event = |at: u64, length: usize| {
            let long = |end: &str| format!("{}\0 {end} {at}", "é".repeat(length));
            let texts = visible.clone().with("message", long("message")).with("url.full", long("url"));
            texts.sealed(position(chain, at))
        };
        let mut events: Vec<_> = (0..120).map(|at| event(at, 5_000)).collect();
        events.push(event(120, 9_000));
        store(config).await.append(&nowhere(), &events).await.unwrap();
        let before =
            "UPDATE events SET message = NULL, fields = fields - 'url.full'; DELETE FROM versions WHERE version = 5";
        execute(config, before).await;
        execute(config, "UPDATE events SET document = document || ' no event' WHERE sequence = 60").await;
        let store = store(config).await;
        let contains = |path: &str, part: &str| {
            let subject = Subject::Field(crate::schema::field(path).unwrap());
            let filter = Filter::value(subject, Test::Like(Pattern::containing(part))).unwrap();
            testing::visible_everywhere().with(filter).build()
        };
        for (path, part, found) in [
            ("message", "\0 message 0", 1),
            ("message", "éé\0 mess", 119),
            ("message", "message 120", 0),
            ("url.full", "\0 url 119", 1),
            ("url.full", "éé\0 url", 119),
        ] {
            assert_eq!(store.find(&contains(path, part)).await.unwrap().total, found, "{path} {part:?}");
        }
        assert_eq!(found(&store, usize::MAX).await, [(60, "events.document: not an event".to_owned())]);
    })
    .await;
}

/// Migrating a large schema takes long. Here a lock holds it up for longer than an append may take.
#[tokio::test]
async fn steps_may_take_longer_than_appends_and_queries() {
    on_a_server(async |config| {
        let first = include_str!("migrations/0001_events.sql");
        execute(config, &format!("CREATE SCHEMA {0}; SET search_path TO {0}; {first}; {VERSION_1}", config.schema))
            .await;
        let limit = Duration::from_secs(1);
        let hasty = PostgresConfig { query_timeout: limit, append_timeout: limit, ..config.clone() };
        let (client, connection) = config.connection().unwrap().connect(config.tls().unwrap()).await.unwrap();
        tokio::spawn(connection);
        let lock = format!("BEGIN; LOCK TABLE {}.events IN ACCESS SHARE MODE", config.schema);
        client.batch_execute(&lock).await.unwrap();
        let store = PostgresStore::new(&hasty).unwrap();
        let mut setup = store.setup(&[]);
        tokio::select! {
            done = &mut setup => panic!("not stopped by the lock: {done:?}"),
            () = until_a_lock_was_waited_for(config, 2 * limit) => {}
        }
        client.batch_execute("COMMIT").await.unwrap();
        setup.await.unwrap();
    })
    .await;
}

/// Waits until something has waited longer than this for a lock on the schema's events.
async fn until_a_lock_was_waited_for(config: &PostgresConfig, limit: Duration) {
    let (client, connection) = config.connection().unwrap().connect(config.tls().unwrap()).await.unwrap();
    tokio::spawn(connection);
    let waiting = "SELECT count(*) FROM pg_locks
        WHERE relation = to_regclass($1) AND clock_timestamp() - waitstart > make_interval(secs => $2)";
    let events = format!("{}.events", config.schema);
    while client.query_one(waiting, &[&events, &limit.as_secs_f64()]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Returns the server's plan for a query.
async fn plan_of(store: &PostgresStore, query: crate::query::ScopedQuery) -> String {
    let explain = async move |connection: &mut deadpool_postgres::Object| {
        let search = Select::of(Dialect::Postgres, query.query());
        let mut plan = String::new();
        for statement in [search.count(), search.page(None, 0, 1)] {
            let explained = format!("EXPLAIN {}", statement.text);
            let transaction = connection.transaction().await?;
            let rows = find::rows(&transaction, &Statement { text: explained, ..statement }).await?;
            rows.iter().for_each(|row| plan += &format!("{}\n", row.get::<_, String>(0)));
        }
        Ok(plan)
    };
    store.ask(move |connection| async move { explain(connection).await }.boxed()).await.unwrap()
}

fn everything_with(filter: Filter) -> testing::QueryBuilder {
    testing::visible_in(&["default"]).with(filter)
}

#[tokio::test]
async fn texts_of_any_length_and_character_are_stored_and_found() {
    on_a_server(async |config| {
        let store = store(config).await;
        let chain = fresh_chain();
        let long = |character: &str, times: usize| character.repeat(times);
        // Text that does not compress: an index entry with all of it would be too long.
        let noise: String = (0..1_000_u32).filter_map(|n| char::from_u32(0x4e00 + n * 7_919 % 20_000)).collect();
        let words: String = (0..200_000).map(|n| format!("w{n} ")).collect();
        let drafts = [
            draft().about(&noise, &noise).with("event.action", noise.as_str()).with("user.name", noise.as_str()),
            draft().about("nul", "a\0b").with("message", "a\0b \u{1}").with("labels", serde_json::json!({"a\0": "\0"})),
            draft()
                .about("long", "1")
                .with("message", words.as_str())
                .with("kibana.space_ids", serde_json::json!(["default"])),
            draft().about("long", "2").with("message", long("ä", 100_000)),
        ];
        let events: Vec<_> = drafts.into_iter().zip(0..).map(|(draft, at)| draft.sealed(position(chain, at))).collect();
        assert_eq!(store.append(&nowhere(), &events).await.unwrap(), vec![Outcome::Stored; 4]);
        for (object_type, id, at) in [(noise.as_str(), noise.as_str(), 0), ("nul", "a\0b", 1), ("long", "1", 2)] {
            let found = store.find(&testing::about(object_type, id).build()).await.unwrap().documents;
            assert_eq!(found, [events.get(at).unwrap().document.clone()], "{at}");
        }
        let message = Subject::Field(schema::field("message").unwrap());
        let test = Test::Phrase(vec!["w150000".to_owned(), "w150001".to_owned()]);
        let filter = Filter::value(message, test).unwrap();
        let found = store.find(&everything_with(filter).build()).await.unwrap().documents;
        assert_eq!(found, [events.get(2).unwrap().document.clone()]);
    })
    .await;
}

/// The sequence of each difference's event, and the column.
async fn found(store: &PostgresStore, bytes: usize) -> Vec<(u64, String)> {
    let (_, found) = testing::misfiled(store, bytes).await.unwrap();
    found.into_iter().map(|misfiled| (misfiled.position.sequence.0, misfiled.column)).collect()
}

/// The columns of a table, with a statement for each that changes it in the row that meets the condition.
async fn changes(config: &PostgresConfig, table: &str, condition: &str) -> Vec<(String, String)> {
    let (client, connection) = config.connection().unwrap().connect(config.tls().unwrap()).await.unwrap();
    tokio::spawn(connection);
    let columns = "SELECT column_name, data_type FROM information_schema.columns
        WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position";
    let rows = client.query_typed(columns, &[(&config.schema, Type::TEXT), (&table, Type::TEXT)]).await.unwrap();
    let change = |row: &tokio_postgres::Row| {
        let (column, kind): (String, String) = (row.get(0), row.get(1));
        let value = match kind.as_str() {
            "bigint" | "integer" => format!("coalesce({column}, 0) + 1000"),
            "text" => format!("coalesce({column}, '') || 'x'"),
            "bytea" => "'\\x0011'".to_owned(),
            "jsonb" => format!("{column} || '{{\"tags\": [\"other\"]}}'"),
            other => panic!("{column} is {other}"),
        };
        let change = format!("UPDATE {table} SET {column} = {value} WHERE {condition}");
        (column, change)
    };
    rows.iter().map(change).collect()
}

#[tokio::test]
async fn whatever_is_filed_otherwise_than_its_document_says_is_found() {
    on_a_server(async |config| {
        let store = store(config).await;
        let events = testing::odd_events(fresh_chain());
        store.append(&nowhere(), &events).await.unwrap();
        assert_eq!(testing::misfiled(&store, 1).await, Some((12, vec![])));
        assert_eq!(testing::misfiled(&store, usize::MAX).await, Some((12, vec![])));
        let as_of_the_first_version =
            "UPDATE events SET fields = fields || '{\"event.id\": \"id\"}' WHERE sequence = 0";
        execute(config, as_of_the_first_version).await;
        assert_eq!(testing::misfiled(&store, usize::MAX).await, Some((12, vec![])));
        let of_a_field_that_was_removed =
            "UPDATE events SET fields = fields || '{\"acme.gone\": 1}' WHERE sequence IN (8, 9)";
        execute(config, of_a_field_that_was_removed).await;
        assert_eq!(testing::misfiled(&store, usize::MAX).await, Some((12, vec![])));
        let no_keys = "SET session_replication_role TO replica";
        execute(
            config,
            "CREATE TABLE kept AS SELECT * FROM events; CREATE TABLE kept_objects AS SELECT * FROM objects",
        )
        .await;
        for (column, change) in changes(config, "events", "sequence = 9").await {
            if matches!(column.as_str(), "id" | "document") {
                continue;
            }
            execute(config, &change).await;
            assert_eq!(found(&store, 1_000).await, [(9, format!("events.{column}"))]);
            let back = format!("UPDATE events SET {column} = kept.{column} FROM kept WHERE kept.id = events.id");
            execute(config, &back).await;
            assert_eq!(found(&store, usize::MAX).await, [], "{column} is as before");
        }
        let restore = format!("{no_keys}; DELETE FROM objects; INSERT INTO objects SELECT * FROM kept_objects");
        for (column, change) in changes(config, "objects", "sequence = 5 AND ordinal = 1").await {
            let expected: &[&str] = match column.as_str() {
                "event" => &["objects: a row is missing", "objects: 1 without an event"],
                "ordinal" => &["objects: a row is missing", "objects: a row too many"],
                other => &[&format!("objects.{other}")],
            };
            execute(config, &format!("{no_keys}; {change}")).await;
            let expected: Vec<_> = expected.iter().map(|what| (5, (*what).to_owned())).collect();
            assert_eq!(found(&store, 1_000).await, expected, "{column}");
            execute(config, &restore).await;
            assert_eq!(found(&store, usize::MAX).await, [], "{column} is as before");
        }
        execute(config, "DELETE FROM objects WHERE sequence = 0").await;
        execute(config, "UPDATE events SET user_name = NULL, document = 'no event' WHERE sequence = 1").await;
        execute(config, "UPDATE events SET sequence = -7, spaces = NULL WHERE sequence = 9").await;
        let expected = [
            (1, "events.document: not an event"),
            (9, "events.sequence"),
            (9, "events.spaces"),
            (0, "objects: a row is missing"),
        ];
        assert_eq!(found(&store, usize::MAX).await, expected.map(|(at, column)| (at, column.to_owned())));
    })
    .await;
}
