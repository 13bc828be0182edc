//! Creates the schema, and migrates it.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::Transaction;

use super::{
    append::fields_of,
    failure::{ErrorClassifier, OperationError},
};
use crate::store::sql::EventRow;

/// Migrations; each brings the schema from the version that is its index to the next. New ones are appended, existing
/// ones never change.
const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_events.sql"),
    include_str!("migrations/0002_reading.sql"),
    include_str!("migrations/0003_identity.sql"),
    include_str!("migrations/0004_object_names.sql"),
    include_str!("migrations/0005_long_texts.sql"),
];

/// The version from which on longer texts are filed.
const LONG_TEXTS: i32 = 5;

/// Older servers are no longer maintained, or soon will not be.
const OLDEST_SERVER: i32 = 150_000;

/// How long migrations may take, as they may have to rewrite every event.
pub(super) const MIGRATION_TIMEOUT: Duration = Duration::from_secs(3_600);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("the server has version {found}, but at least 15 is required")]
    OldServer { found: String },
    #[error("the database has the encoding {found}, but UTF8 is required")]
    Encoding { found: String },
    #[error("the schema {schema} has tables of another program")]
    Foreign { schema: String },
    #[error(
        "the schema {schema} has version {found}, but this program only supports versions up to {known}: use a newer program"
    )]
    Newer { schema: String, found: i32, known: usize },
}

/// Whether the server is supported and no migration is left to run.
pub(super) async fn is_up_to_date(connection: &mut Object, errors: &ErrorClassifier) -> Result<bool, OperationError> {
    check_server(connection).await?.map_err(|error| errors.blocked(&error.to_string()))?;
    let exists = connection.query_one("SELECT to_regclass('versions') IS NOT NULL", &[]).await?;
    if !exists.try_get::<_, bool>(0)? {
        return Ok(false);
    }
    let found: i32 = connection.query_one(NEWEST, &[]).await?.try_get(0)?;
    Ok(usize::try_from(found).is_ok_and(|found| found == MIGRATIONS.len()))
}

const NEWEST: &str = "SELECT coalesce(max(version), 0) FROM versions";

/// Runs the missing migrations, recording each in its transaction. Several programs may do so at once.
pub(super) async fn migrate(
    connection: &mut Object,
    schema: &str,
    errors: &ErrorClassifier,
) -> Result<(), OperationError> {
    let transaction = connection.transaction().await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&format!("annals {schema}")])
        .await?;
    let taken = steps_taken(&transaction, schema).await?.map_err(|error| errors.blocked(&error.to_string()))?;
    transaction.batch_execute("SET LOCAL statement_timeout TO 0").await?;
    for (step, version) in MIGRATIONS.iter().zip(1_i32..).skip(taken) {
        transaction.batch_execute(step).await?;
        if version == LONG_TEXTS {
            file_long_texts(&transaction).await?;
        }
        transaction.execute("INSERT INTO versions (version) VALUES ($1)", &[&version]).await?;
    }
    Ok(transaction.commit().await?)
}

/// Files the rows anew whose documents have room for a text that was too long for an earlier version.
async fn file_long_texts(transaction: &Transaction<'_>) -> Result<(), OperationError> {
    const LONGEST_BEFORE: i32 = 1_024;
    const ROWS: i64 = 50;
    let select = "SELECT id, document FROM events WHERE id > $1 AND octet_length(document) > $2 ORDER BY id LIMIT $3";
    let update = "UPDATE events AS e SET message = u.message, fields = u.fields::jsonb
        FROM unnest($1::bigint[], $2::text[], $3::text[]) AS u (id, message, fields)
        WHERE e.id = u.id AND (e.message IS DISTINCT FROM u.message OR e.fields IS DISTINCT FROM u.fields::jsonb)";
    let (select, update) = (transaction.prepare(select).await?, transaction.prepare(update).await?);
    let mut last = i64::MIN;
    loop {
        let found = transaction.query(&select, &[&last, &LONGEST_BEFORE, &ROWS]).await?;
        let Some(end) = found.last() else { return Ok(()) };
        last = end.try_get(0)?;
        let (mut ids, mut messages, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        for row in &found {
            let (id, document): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
            // What is not an event is left alone; `stores check` reports it.
            if let (Ok(event), Ok(indexed)) = (EventRow::of_document(document), fields_of(document)) {
                ids.push(id);
                messages.push(event.message);
                fields.push(indexed);
            }
        }
        transaction.execute(&update, &[&ids, &messages, &fields]).await?;
    }
}

async fn check_server(connection: &Object) -> Result<Result<(), SetupError>, OperationError> {
    let row = connection
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                    current_setting('server_encoding')",
            &[],
        )
        .await?;
    let (number, version, encoding): (i32, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(if number < OLDEST_SERVER {
        Err(SetupError::OldServer { found: version })
    } else if encoding != "UTF8" {
        Err(SetupError::Encoding { found: encoding })
    } else {
        Ok(())
    })
}

/// Returns the number of migrations done; creates the schema if it is absent.
async fn steps_taken(transaction: &Transaction<'_>, schema: &str) -> Result<Result<usize, SetupError>, OperationError> {
    let exists = transaction.query_opt("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&schema]).await?.is_some();
    if !exists {
        // The name consists of lower-case letters, digits and underscores.
        transaction.batch_execute(&format!("CREATE SCHEMA \"{schema}\"")).await?;
    }
    let tables = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname IN ('versions', 'events', 'objects')";
    let tables: Vec<String> = transaction.query(tables, &[&schema]).await?.iter().map(|row| row.get(0)).collect();
    if !tables.iter().any(|name| name == "versions") {
        if !tables.is_empty() {
            return Ok(Err(SetupError::Foreign { schema: schema.to_owned() }));
        }
        transaction
            .batch_execute(
                "CREATE TABLE versions (version integer PRIMARY KEY, taken timestamptz NOT NULL DEFAULT now())",
            )
            .await?;
        return Ok(Ok(0));
    }
    let found: i32 = transaction.query_one(NEWEST, &[]).await?.try_get(0)?;
    Ok(match usize::try_from(found) {
        Ok(taken) if taken <= MIGRATIONS.len() => Ok(taken),
        _ => Err(SetupError::Newer { schema: schema.to_owned(), found, known: MIGRATIONS.len() }),
    })
}
