//! Writes events, each exactly once.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use deadpool_postgres::{Object, Transaction};
use tokio_postgres::types::ToSql;

use super::failure::OperationError;
use crate::{
    event::SealedEvent,
    integrity::is_stub,
    store::{
        Outcome,
        occupied::outcome_at,
        sql::{self, Column, ColumnValue, EVENT_COLUMNS, EventRow, OBJECT_COLUMNS, column_list},
    },
};

/// An event with its rows for the tables, or the reason why the store rejects it.
pub(super) struct PreparedRow {
    event: SealedEvent,
    row: Result<(EventRow, String), Outcome>,
}

type RowKey = ([u8; 16], i64);

/// The advisory lock that transactions share while they add rows. A lock on the table itself would conflict with
/// VACUUM.
const ADDITIONS: &str = "hashtextextended('annals additions ' || current_schema(), 0)";

impl PreparedRow {
    pub(super) fn of(event: SealedEvent) -> Self {
        let row = prepare(&event).map_err(|reason| Outcome::Rejected { reason });
        Self { event, row }
    }

    fn key(&self) -> Option<RowKey> {
        self.row.as_ref().ok().map(|(row, _)| (row.chain, row.sequence))
    }
}

fn prepare(event: &SealedEvent) -> Result<(EventRow, String), String> {
    let row = EventRow::of(event).map_err(|error| error.to_string())?;
    let fields = fields_of(&event.document).map_err(|error| error.to_string())?;
    Ok((row, fields))
}

/// Returns the index of a document.
pub(super) fn fields_of(document: &[u8]) -> serde_json::Result<String> {
    Ok(sql::index::of(&serde_json::from_slice(document)?).to_string())
}

/// Stores all events in one transaction: they are on disk when this returns, or not stored at all.
pub(super) async fn append(connection: &mut Object, events: &[PreparedRow]) -> Result<Vec<Outcome>, OperationError> {
    let transaction = adding(connection).await?;
    let outcomes = store(&transaction, events).await?;
    transaction.commit().await?;
    Ok(outcomes)
}

/// Replaces the event's stub, or stores the event if its position is free.
pub(super) async fn replace(connection: &mut Object, prepared: PreparedRow) -> Result<Outcome, OperationError> {
    let Some((chain, sequence)) = prepared.key() else {
        return Ok(prepared.row.err().unwrap_or(Outcome::Stored));
    };
    let transaction = adding(connection).await?;
    let select = "SELECT id, document FROM events WHERE chain = $1 AND sequence = $2 FOR UPDATE";
    if let Some(found) = transaction.query_opt(select, &[&chain.as_slice(), &sequence]).await? {
        let (id, stored): (i64, Vec<u8>) = (found.try_get(0)?, found.try_get(1)?);
        let outcome = outcome_at(&stored, &prepared.event);
        if outcome != Outcome::Duplicate || !is_stub(&stored) || stored == prepared.event.document {
            return Ok(outcome);
        }
        transaction.execute("DELETE FROM events WHERE id = $1", &[&id]).await?;
    }
    let outcome = store(&transaction, std::slice::from_ref(&prepared)).await?.into_iter().next();
    transaction.commit().await?;
    Ok(outcome.unwrap_or_else(conflict_vanished))
}

/// Begins a transaction that adds rows; [`last_row`] waits until it has ended.
pub(super) async fn adding(connection: &mut Object) -> Result<Transaction<'_>, OperationError> {
    let transaction = connection.transaction().await?;
    let lock = transaction.prepare_cached(&format!("SELECT pg_advisory_xact_lock_shared({ADDITIONS})")).await?;
    transaction.execute(&lock, &[]).await?;
    Ok(transaction)
}

/// Returns the newest row. No row below it is added later, although ids are assigned before transactions end.
pub(super) async fn last_row(connection: &mut Object) -> Result<i64, OperationError> {
    let transaction = connection.transaction().await?;
    transaction.execute(&format!("SELECT pg_advisory_xact_lock({ADDITIONS})"), &[]).await?;
    let row = transaction.query_one("SELECT coalesce(max(id), 0) FROM events", &[]).await?;
    transaction.commit().await?;
    Ok(row.try_get(0)?)
}

pub(super) async fn store(
    transaction: &Transaction<'_>,
    events: &[PreparedRow],
) -> Result<Vec<Outcome>, OperationError> {
    let mut stored = insert(transaction, events).await?;
    insert_objects(transaction, events, &stored).await?;
    let others: HashSet<RowKey> =
        events.iter().filter_map(PreparedRow::key).filter(|key| !stored.contains_key(key)).collect();
    // If an append contains an event twice, the first one is stored.
    let twice = events.len() > stored.len() + others.len();
    let found = match others.is_empty() && !twice {
        true => HashMap::new(),
        false => documents(transaction, events).await?,
    };
    let mut outcome = |prepared: &PreparedRow| match (&prepared.row, prepared.key()) {
        (Err(refused), _) => refused.clone(),
        (Ok(_), Some(key)) if stored.remove(&key).is_some() => Outcome::Stored,
        (Ok(_), key) => match key.and_then(|key| found.get(&key)) {
            Some(document) => outcome_at(document, &prepared.event),
            None => conflict_vanished(),
        },
    };
    Ok(events.iter().map(&mut outcome).collect())
}

fn conflict_vanished() -> Outcome {
    Outcome::Retry { reason: "its position was taken, but no event is found there".to_owned() }
}

/// Inserts in the order of the keys, so that several programs that insert the same events do not deadlock.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let names = column_list(&EVENT_COLUMNS, |name, _| name.to_owned());
    format!(
        "INSERT INTO events (fields, document, {names})
        SELECT fields::jsonb, document, {names}
        FROM unnest($1::text[], $2::bytea[], {}) WITH ORDINALITY AS u (fields, document, {names}, place)
        ORDER BY chain, sequence, place
        ON CONFLICT (chain, sequence) DO NOTHING
        RETURNING id, chain, sequence",
        typed_arrays(&EVENT_COLUMNS, 3),
    )
});

static INSERT_OBJECTS: LazyLock<String> = LazyLock::new(|| {
    let names = column_list(&OBJECT_COLUMNS, |name, _| name.to_owned());
    let arrays = typed_arrays(&OBJECT_COLUMNS, 2);
    format!("INSERT INTO objects (event, {names}) SELECT * FROM unnest($1::bigint[], {arrays})")
});

/// Returns the parameters with the values of these columns, an array each; the first one has this number.
pub(super) fn typed_arrays<R>(columns: &[Column<R>], first: usize) -> String {
    let arrays = columns.iter().zip(first..).map(|(column, number)| {
        let kind = match column.value {
            ColumnValue::Integer(_) => "bigint",
            ColumnValue::Text(_) => "text",
            ColumnValue::Bytes(_) => "bytea",
        };
        format!("${number}::{kind}[]")
    });
    arrays.collect::<Vec<_>>().join(", ")
}

/// A parameter that may be held while waiting.
pub(super) type Array<'r> = Box<dyn ToSql + Send + Sync + 'r>;

/// Returns the values of these rows, column by column.
pub(super) fn arrays<'r, R>(columns: &[Column<R>], rows: &[&'r R]) -> Vec<Array<'r>> {
    let rows = || rows.iter().copied();
    let array = |column: &Column<R>| -> Array<'r> {
        match column.value {
            ColumnValue::Integer(value) => Box::new(rows().map(value).collect::<Vec<_>>()),
            ColumnValue::Text(value) => Box::new(rows().map(value).collect::<Vec<_>>()),
            ColumnValue::Bytes(value) => Box::new(rows().map(value).collect::<Vec<_>>()),
        }
    };
    columns.iter().map(array).collect()
}

pub(super) fn parameters<'p>(arrays: &'p [Array<'_>]) -> Vec<&'p (dyn ToSql + Sync)> {
    arrays.iter().map(|array| &**array as &(dyn ToSql + Sync)).collect()
}

/// Returns the ids of the rows that were not there before.
async fn insert(transaction: &Transaction<'_>, events: &[PreparedRow]) -> Result<HashMap<RowKey, i64>, OperationError> {
    let fitting = || events.iter().filter_map(|prepared| prepared.row.as_ref().ok().map(|row| (prepared, row)));
    if fitting().next().is_none() {
        return Ok(HashMap::new());
    }
    let fields: Vec<&str> = fitting().map(|(_, (_, fields))| fields.as_str()).collect();
    let documents: Vec<&[u8]> = fitting().map(|(prepared, _)| &prepared.event.document[..]).collect();
    let rows: Vec<&EventRow> = fitting().map(|(_, (row, _))| row).collect();
    let mut values: Vec<Array<'_>> = vec![Box::new(fields), Box::new(documents)];
    values.extend(arrays(&EVENT_COLUMNS, &rows));
    let insert = transaction.prepare_cached(&INSERT).await?;
    let inserted = transaction.query(&insert, &parameters(&values)).await?;
    inserted.iter().map(|row| Ok((key_at(row, 1)?, row.try_get(0)?))).collect()
}

async fn insert_objects(
    transaction: &Transaction<'_>,
    events: &[PreparedRow],
    stored: &HashMap<RowKey, i64>,
) -> Result<(), OperationError> {
    let mut seen = HashSet::new();
    let (mut ids, mut objects) = (Vec::new(), Vec::new());
    for (row, _) in events.iter().filter_map(|prepared| prepared.row.as_ref().ok()) {
        let key = (row.chain, row.sequence);
        let Some(&event) = stored.get(&key).filter(|_| seen.insert(key)) else { continue };
        ids.extend(row.objects.iter().map(|_| event));
        objects.extend(&row.objects);
    }
    if objects.is_empty() {
        return Ok(());
    }
    let mut values: Vec<Array<'_>> = vec![Box::new(ids)];
    values.extend(arrays(&OBJECT_COLUMNS, &objects));
    let insert = transaction.prepare_cached(&INSERT_OBJECTS).await?;
    transaction.execute(&insert, &parameters(&values)).await?;
    Ok(())
}

/// Returns the documents at the positions of these events.
async fn documents(
    transaction: &Transaction<'_>,
    events: &[PreparedRow],
) -> Result<HashMap<RowKey, Vec<u8>>, OperationError> {
    let keys: HashSet<RowKey> = events.iter().filter_map(PreparedRow::key).collect();
    let (chains, sequences): (Vec<&[u8]>, Vec<i64>) = keys.iter().map(|(chain, at)| (chain.as_slice(), *at)).unzip();
    let select = "SELECT chain, sequence, document FROM events
        JOIN unnest($1::bytea[], $2::bigint[]) AS u (chain, sequence) USING (chain, sequence)";
    let select = transaction.prepare_cached(select).await?;
    let found = transaction.query(&select, &[&chains, &sequences]).await?;
    found.iter().map(|row| Ok((key_at(row, 0)?, row.try_get(2)?))).collect()
}

/// Reads a position from this column and the next.
fn key_at(row: &tokio_postgres::Row, column: usize) -> Result<RowKey, OperationError> {
    let chain: &[u8] = row.try_get(column)?;
    // The column holds the 16 bytes of an id.
    Ok((chain.try_into().unwrap_or_default(), row.try_get(column + 1)?))
}
