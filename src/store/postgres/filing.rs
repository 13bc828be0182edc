//! Compares the rows of events with their documents.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use deadpool_postgres::{Object, Transaction};
use tokio::task::spawn_blocking;
use tokio_postgres::Row;

use super::{
    append::{Array, arrays, fields_of, parameters, typed_arrays},
    failure::OperationError,
    find::{chain_of, reading},
};
use crate::{
    event::{ChainPosition, Sequence},
    store::{
        FiledPart, RowId, StoreError,
        sql::{self, Column, EVENT_COLUMNS, EventRow, Filed, OBJECT_COLUMNS, ObjectRow, STRAY_OBJECTS, column_list},
    },
};

/// Selects the rows from $1 on: at most $2, up to the one at which their documents reach $3 bytes.
const PART: &str = "SELECT id, chain, sequence, document FROM (
        SELECT id, chain, sequence, document, sum(octet_length(document)) OVER (ORDER BY id) - octet_length(document) AS before
        FROM (SELECT id, chain, sequence, document FROM events WHERE id >= $1 ORDER BY id LIMIT $2) AS part
    ) AS counted WHERE before < $3 OR before = 0 ORDER BY id";

const MAX_ROWS: i64 = 10_000;

/// The column with the index of the document.
const FIELDS: &str = "fields";

/// Selects the rows that differ from the expected ones, with the names of the columns that do. Rows of the first version
/// have the event's id in the index of the document too, where nothing reads it.
static DIFFERENCES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT id, columns FROM (
            SELECT e.id, array_remove(ARRAY[
                CASE WHEN e.fields - 'event.id' IS DISTINCT FROM u.fields::jsonb THEN 'fields' END, {}], NULL) AS columns
            FROM unnest($1::bigint[], $2::text[], {}) AS u (id, fields, {}) JOIN events AS e ON e.id = u.id
        ) AS compared WHERE cardinality(columns) > 0 ORDER BY id",
        differing("e", &EVENT_COLUMNS),
        typed_arrays(&EVENT_COLUMNS, 3),
        names(&EVENT_COLUMNS),
    )
});

/// Selects the events $1 whose rows of `objects` differ from the expected ones, with whether the row is there and is
/// expected, and the names of the columns.
static OBJECT_DIFFERENCES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT event, is_there, is_expected, columns FROM (
            SELECT coalesce(o.event, u.event) AS event, coalesce(o.ordinal, u.ordinal) AS ordinal,
                o.event IS NOT NULL AS is_there, u.event IS NOT NULL AS is_expected,
                array_remove(ARRAY[{}], NULL) AS columns
            FROM (SELECT * FROM objects WHERE event = ANY($1::bigint[])) AS o
            FULL JOIN unnest($2::bigint[], {}) AS u (event, {}) ON u.event = o.event AND u.ordinal = o.ordinal
        ) AS compared WHERE cardinality(columns) > 0 OR NOT is_there OR NOT is_expected ORDER BY event, ordinal",
        differing("o", &OBJECT_COLUMNS),
        typed_arrays(&OBJECT_COLUMNS, 3),
        names(&OBJECT_COLUMNS),
    )
});

fn names<R>(columns: &[Column<R>]) -> String {
    column_list(columns, |name, _| name.to_owned())
}

/// Returns the elements of an array: the name of each column that differs, or NULL.
fn differing<R>(table: &str, columns: &[Column<R>]) -> String {
    column_list(columns, |name, _| format!("CASE WHEN {table}.{name} IS DISTINCT FROM u.{name} THEN '{name}' END"))
}

/// A row, and what it should be.
struct Expected {
    id: i64,
    row: EventRow,
    fields: String,
}

/// Checks the rows from this one on, up to the one at which the documents reach this many bytes.
pub(super) async fn misfiled(connection: &mut Object, from: i64, bytes: usize) -> Result<FiledPart, OperationError> {
    // In one snapshot, as rows may be replaced meanwhile.
    let transaction = reading(connection).await?;
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let rows = transaction.query(PART, &[&from, &MAX_ROWS, &bytes]).await?;
    let last: Option<i64> = rows.last().map(|row| row.try_get(0)).transpose()?;
    let mut part = FiledPart { documents: rows.len() as u64, next: None, misfiled: Vec::new() };
    part.next = last.and_then(|last| last.checked_add(1)).map(RowId);
    let expecting = spawn_blocking(move || rows.iter().map(expected).collect::<Result<Vec<_>, _>>()).await;
    let expecting = expecting.map_err(|error| StoreError::Unavailable { reason: error.to_string(), retry_after: None });
    let mut expected = Vec::new();
    for row in expecting?? {
        match row {
            Ok(row) => expected.push(row),
            Err(position) => part.report(position, Filed::Unreadable),
        }
    }
    let positions = expected.iter().map(|expected| (expected.id, expected.row.position())).collect();
    compare_events(&transaction, &expected, &positions, &mut part).await?;
    compare_objects(&transaction, &expected, &positions, &mut part).await?;
    for row in transaction.query(STRAY_OBJECTS, &[&from, &last.unwrap_or(i64::MAX)]).await? {
        part.report(position(&row, 0)?, Filed::StrayObjects(row.try_get(2)?));
    }
    Ok(part)
}

/// Returns the position in the columns instead if the document is not an event.
fn expected(found: &Row) -> Result<Result<Expected, ChainPosition>, OperationError> {
    let (id, document): (i64, &[u8]) = (found.try_get(0)?, found.try_get(3)?);
    match (EventRow::of_document(document), fields_of(document)) {
        (Ok(row), Ok(fields)) => Ok(Ok(Expected { id, row, fields })),
        (Err(_), _) | (_, Err(_)) => Ok(Err(position(found, 1)?)),
    }
}

/// Reads a position from this column and the next. They may have been changed: a chain that is none becomes the chain of
/// zeros.
fn position(row: &Row, column: usize) -> Result<ChainPosition, OperationError> {
    let (chain, sequence): (&[u8], i64) = (row.try_get(column)?, row.try_get(column + 1)?);
    Ok(ChainPosition { chain: chain_of(chain), sequence: Sequence(sequence.unsigned_abs()) })
}

async fn compare_events(
    transaction: &Transaction<'_>,
    expected: &[Expected],
    positions: &HashMap<i64, ChainPosition>,
    part: &mut FiledPart,
) -> Result<(), OperationError> {
    let rows: Vec<&EventRow> = expected.iter().map(|expected| &expected.row).collect();
    let fields: Vec<&str> = expected.iter().map(|expected| expected.fields.as_str()).collect();
    let mut values: Vec<Array<'_>> = vec![Box::new(ids(expected)), Box::new(fields)];
    values.extend(arrays(&EVENT_COLUMNS, &rows));
    let rows = transaction.query(&*DIFFERENCES, &parameters(&values)).await?;
    let mut differences: Vec<(i64, Vec<&str>)> = Vec::new();
    for row in &rows {
        differences.push((row.try_get(0)?, row.try_get(1)?));
    }
    let has_fields = |columns: &[&str]| columns.contains(&FIELDS);
    let ids: Vec<i64> = differences.iter().filter(|(_, columns)| has_fields(columns)).map(|(id, _)| *id).collect();
    let differing = differing_fields(transaction, expected, &ids).await?;
    for (id, columns) in differences {
        let Some(position) = positions.get(&id) else { continue };
        let columns = columns.into_iter().filter(|column| *column != FIELDS || differing.contains(&id));
        columns.for_each(|column| part.report(*position, Filed::EventColumn(column)));
    }
    Ok(())
}

/// Returns those of the events whose indexes differ in more than entries that nothing reads: those of an operator's own
/// fields that were removed, or that only another writer has.
async fn differing_fields(
    transaction: &Transaction<'_>,
    expected: &[Expected],
    ids: &[i64],
) -> Result<HashSet<i64>, OperationError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let select = "SELECT DISTINCT jsonb_object_keys(fields) FROM events WHERE id = ANY($1)";
    let mut unread: Vec<String> = vec!["event.id".to_owned()];
    for row in transaction.query(select, &[&ids]).await? {
        unread.extend(Some(row.try_get(0)?).filter(|name: &String| !sql::index::is_entry(name)));
    }
    let expected = expected.iter().filter(|expected| ids.contains(&expected.id));
    let (ids, fields): (Vec<i64>, Vec<&str>) = expected.map(|expected| (expected.id, expected.fields.as_str())).unzip();
    let select = "SELECT e.id FROM unnest($1::bigint[], $2::text[]) AS u (id, fields) JOIN events AS e ON e.id = u.id
        WHERE e.fields - $3::text[] IS DISTINCT FROM u.fields::jsonb";
    let rows = transaction.query(select, &[&ids, &fields, &unread]).await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

async fn compare_objects(
    transaction: &Transaction<'_>,
    expected: &[Expected],
    positions: &HashMap<i64, ChainPosition>,
    part: &mut FiledPart,
) -> Result<(), OperationError> {
    let objects = || expected.iter().flat_map(|event| event.row.objects.iter().map(|object| (event.id, object)));
    let events: Vec<i64> = objects().map(|(event, _)| event).collect();
    let rows: Vec<&ObjectRow> = objects().map(|(_, object)| object).collect();
    let mut values: Vec<Array<'_>> = vec![Box::new(ids(expected)), Box::new(events)];
    values.extend(arrays(&OBJECT_COLUMNS, &rows));
    for row in transaction.query(&*OBJECT_DIFFERENCES, &parameters(&values)).await? {
        let Some(position) = positions.get(&row.try_get(0)?) else { continue };
        match (row.try_get(1)?, row.try_get(2)?) {
            (false, _) => part.report(*position, Filed::MissingObject),
            (_, false) => part.report(*position, Filed::ExtraObject),
            (true, true) => {
                let columns: Vec<&str> = row.try_get(3)?;
                columns.into_iter().for_each(|column| part.report(*position, Filed::ObjectColumn(column)));
            }
        }
    }
    Ok(())
}

fn ids(expected: &[Expected]) -> Vec<i64> {
    expected.iter().map(|expected| expected.id).collect()
}
