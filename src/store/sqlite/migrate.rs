//! Migrates the rows of an older file once its tables have been changed.
//!
//! Each batch is a transaction of its own: that keeps the log short, and an interrupted migration resumes where it
//! stopped.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{append::EventInserter, failure::OpenError};
use crate::{
    event::{ChainId, ChainPosition, Sequence},
    store::sql::EventRow,
};

/// A batch has this many rows, or fewer if they reach this many bytes.
const BATCH_ROWS: usize = 1_000;
const BATCH_BYTES: usize = 8 << 20;

/// The table that exists until all its rows have been moved.
const MOVE: &str = "events_1";

/// A column that rows of before lack.
pub(super) struct Fill {
    /// The table that has the newest row that lacks it, and exists until none does.
    table: &'static str,
    assignment: &'static str,
    condition: &'static str,
}

pub(super) const EVENT_ID: Fill =
    Fill { table: "without_event_id", assignment: "event_id = annals_value(document, 'event.id')", condition: "TRUE" };
const LONG_MESSAGE: Fill = Fill {
    table: "without_long_message",
    assignment: "message = annals_value(document, 'message')",
    condition: "message IS NULL AND words IS NOT NULL",
};

/// Whether rows are still to be moved or filled.
pub(super) fn is_under_way(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(exists(connection, MOVE)? || exists(connection, EVENT_ID.table)? || exists(connection, LONG_MESSAGE.table)?)
}

fn exists(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    connection.query_row(exists, [table], |row| row.get(0))
}

/// Runs the migration to its end. The connection needs the functions of [`super::functions`].
pub(super) fn finish(connection: &mut Connection) -> Result<(), OpenError> {
    while exists(connection, MOVE)? {
        move_batch(connection)?;
    }
    for fill in [EVENT_ID, LONG_MESSAGE] {
        while exists(connection, fill.table)? {
            fill_batch(connection, &fill)?;
        }
    }
    Ok(())
}

/// Moves the oldest rows out of the first version's table, which is dropped once it is empty. Other processes may do
/// the same.
pub(super) fn move_batch(connection: &mut Connection) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !exists(&transaction, MOVE)? {
        return Ok(());
    }
    let mut last = None;
    {
        let mut inserter = EventInserter::of(&transaction)?;
        let mut select = transaction.prepare("SELECT id, chain, sequence, document FROM events_1 ORDER BY id")?;
        let mut rows = select.query([])?;
        let (mut count, mut bytes) = (0, 0);
        while count < BATCH_ROWS
            && bytes < BATCH_BYTES
            && let Some(row) = rows.next()?
        {
            let (chain, sequence): ([u8; 16], i64) = (row.get(1)?, row.get(2)?);
            let document = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            let at = ChainPosition { chain: ChainId::from_bytes(chain), sequence: Sequence(sequence.unsigned_abs()) };
            let columns = EventRow::at(chain, sequence, document).map_err(|error| OpenError::BadEvent(at, error))?;
            inserter.insert(&columns, document)?;
            (last, count, bytes) = (Some(row.get::<_, i64>(0)?), count + 1, bytes + document.len());
        }
        inserter.index_words()?;
    }
    match last {
        Some(last) => transaction.execute("DELETE FROM events_1 WHERE id <= ?1", [last])?,
        None => transaction.execute("DROP TABLE events_1", [])?,
    };
    Ok(transaction.commit()?)
}

/// Sets the column in the newest rows that lack it; the table that tracks them is dropped when none are left.
pub(super) fn fill_batch(connection: &mut Connection, fill: &Fill) -> Result<(), OpenError> {
    let Fill { table, assignment, condition } = fill;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !exists(&transaction, table)? {
        return Ok(());
    }
    match first_of_batch(&transaction, table)? {
        Some(first) => {
            let rows = format!("id BETWEEN ?1 AND (SELECT last FROM {table}) AND {condition}");
            transaction.execute(&format!("UPDATE events SET {assignment} WHERE {rows}"), [first])?;
            transaction.execute(&format!("UPDATE {table} SET last = ?1 - 1"), [first])?;
        }
        None => {
            transaction.execute(&format!("DROP TABLE {table}"), [])?;
        }
    }
    Ok(transaction.commit()?)
}

fn first_of_batch(transaction: &Transaction<'_>, table: &str) -> rusqlite::Result<Option<i64>> {
    let mut select = transaction.prepare(&format!(
        "SELECT id, length(document) FROM events WHERE id <= (SELECT last FROM {table}) ORDER BY id DESC",
    ))?;
    let mut rows = select.query([])?;
    let (mut first, mut count, mut bytes) = (None, 0, 0);
    while count < BATCH_ROWS
        && bytes < BATCH_BYTES
        && let Some(row) = rows.next()?
    {
        let length: i64 = row.get(1)?;
        (first, count, bytes) = (Some(row.get(0)?), count + 1, bytes + usize::try_from(length).unwrap_or(BATCH_BYTES));
    }
    Ok(first)
}
