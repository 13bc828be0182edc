//! The promises of the store, kept on a real server.
//!
//! They run where `ANNALS_TEST_POSTGRES` holds the address of a database. Where it does not they are skipped with a word, or
//! fail where `ANNALS_TEST_ENGINES` is `required`. Each has a schema of its own, and removes it.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    env,
    num::NonZeroU32,
    panic::{AssertUnwindSafe, resume_unwind},
};

use futures_util::FutureExt;

use super::*;
use crate::{
    query::filter::{Filter, Subject, Test, Value},
    schema,
    store::{
        conformance,
        sql::{Dialect, Search, Statement},
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
        tls: UseTls::Off,
        ca_file: None,
        connections: NonZeroU32::MIN.saturating_add(7),
        connect_timeout: Duration::from_secs(5),
        query_timeout: Duration::from_secs(30),
        append_timeout: Duration::from_secs(30),
    }
}

/// Runs a case with a configuration whose schema is its own.
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

/// By a connection of its own.
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
async fn several_writers_make_the_tables_at_once() {
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
        let StoreError::Blocked { reason } = store.setup(&[]).await.unwrap_err() else { panic!("not blocked") };
        assert!(
            reason.ends_with("has version 7, and this program knows versions up to 2: use a newer one"),
            "{reason}"
        );
    })
    .await;
}

#[tokio::test]
async fn tables_of_another_program_are_left_alone() {
    on_a_server(async |config| {
        execute(config, &format!("CREATE SCHEMA {0}; CREATE TABLE {0}.events (id int)", config.schema)).await;
        let StoreError::Blocked { reason } = PostgresStore::new(config).unwrap().setup(&[]).await.unwrap_err() else {
            panic!("not blocked")
        };
        assert!(reason.ends_with("has tables of another program"), "{reason}");
    })
    .await;
}

/// A statement that only this schema's test makes, and that does not end by itself.
async fn sleep(connection: &mut deadpool_postgres::Object, schema: &str) -> Result<(), failure::Fault> {
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

/// Waits until so many of the schema's sessions sleep.
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

async fn session(connection: &mut deadpool_postgres::Object) -> Result<i32, failure::Fault> {
    Ok(connection.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?)
}

#[tokio::test]
async fn sessions_that_the_server_ended_are_made_anew() {
    on_a_server(async |config| {
        let store = store(config).await;
        let event = draft().about("alert", "a").sealed(position(fresh_chain(), 0));
        store.append(&nowhere(), std::slice::from_ref(&event)).await.unwrap();
        // Of the idle connections the newest is taken first, and there is but one.
        let session = store.ask(|connection| session(connection).boxed()).await.unwrap();
        execute(config, &format!("SELECT pg_terminate_backend({session}, 5000)")).await;
        let asked = testing::about("alert", "a").asked();
        // A question may meet the session that is just ending; when it has ended, none does.
        let mut found = store.find(&asked).await;
        for _ in 0..100 {
            let Err(StoreError::Unavailable { .. }) = found else { break };
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
            matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("127.0.0.1:1/")),
            "{error:?}"
        );
        let nobody = PostgresConfig { user: Some("annals_nobody".to_owned()), ..config.clone() };
        let error = PostgresStore::new(&nobody).unwrap().setup(&[]).await.unwrap_err();
        assert!(matches!(&error, StoreError::Denied { .. }), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_database_that_only_reads_blocks() {
    on_a_server(async |config| {
        let store = store(config).await;
        execute(config, "ALTER TABLE events ADD CHECK (false)").await;
        let event = draft().sealed(position(fresh_chain(), 0));
        let error = store.append(&nowhere(), &[event]).await.unwrap_err();
        assert!(matches!(&error, StoreError::Blocked { .. }), "{error:?}");
    })
    .await;
}

fn by_id(id: &str) -> crate::query::ScopedQuery {
    let id_of_event = Subject::Field(schema::field("event.id").unwrap());
    let test = Test::OneOf(vec![Value::Text(id.to_owned())]);
    testing::visible_everywhere().with(Filter::value(id_of_event, test).unwrap()).page(0, 1).asked()
}

#[tokio::test]
async fn events_of_the_first_version_are_found_by_their_ids() {
    on_a_server(async |config| {
        let first = include_str!("migrations/0001_events.sql");
        let versions = "CREATE TABLE versions (version integer PRIMARY KEY, taken timestamptz NOT NULL DEFAULT now());
            INSERT INTO versions (version) VALUES (1)";
        let events = "INSERT INTO events (chain, sequence, received, timestamp, fields, document)
            SELECT '\\x00', n, 0, 0, jsonb_build_object('event.id', 'id ' || n), convert_to('document ' || n, 'UTF8')
            FROM generate_series(1, 2000) AS n";
        execute(config, &format!("CREATE SCHEMA {}; {first}; {versions}; {events}", config.schema)).await;
        let store = store(config).await;
        assert_eq!(store.find(&by_id("id 7")).await.unwrap().documents, ["document 7"]);
        execute(config, "ANALYZE").await;
        let plan = plan_of(&store, by_id("id 7")).await;
        assert_eq!(plan.matches("events_by_event_id").count(), 2, "{plan}");
        assert!(!plan.contains("Seq Scan"), "{plan}");
    })
    .await;
}

/// How the server goes about the statements of a query.
async fn plan_of(store: &PostgresStore, query: crate::query::ScopedQuery) -> String {
    let explain = async move |connection: &mut deadpool_postgres::Object| {
        let search = Search::of(Dialect::Postgres, query.query());
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

fn everything_with(filter: Filter) -> testing::Question {
    testing::visible_in(&["default"]).with(filter)
}

#[tokio::test]
async fn texts_of_any_length_and_character_are_stored_and_found() {
    on_a_server(async |config| {
        let store = store(config).await;
        let chain = fresh_chain();
        let long = |character: &str, times: usize| character.repeat(times);
        // What does not compress: an index entry of all of it would be too long.
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
            let found = store.find(&testing::about(object_type, id).asked()).await.unwrap().documents;
            assert_eq!(found, [events.get(at).unwrap().document.clone()], "{at}");
        }
        let message = Subject::Field(schema::field("message").unwrap());
        let test = Test::Phrase(vec!["w150000".to_owned(), "w150001".to_owned()]);
        let filter = Filter::value(message, test).unwrap();
        let found = store.find(&everything_with(filter).asked()).await.unwrap().documents;
        assert_eq!(found, [events.get(2).unwrap().document.clone()]);
    })
    .await;
}
