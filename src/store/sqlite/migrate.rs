//! Moving the rows of the first version's table into those of today.
//!
//! Part by part, each a transaction of its own: the log stays short, and a move that was broken off goes on where it was.

use rusqlite::{Connection, TransactionBehavior};

use super::{append::Tables, database::OpenError};
use crate::{
    event::{ChainId, ChainPosition, Sequence},
    store::sql::Row,
};

/// A part is so many rows, or fewer if they come to so many bytes.
const PART: usize = 1_000;
const PART_BYTES: usize = 8 << 20;

/// Whether rows wait to be moved.
pub(super) fn is_under_way(connection: &Connection) -> rusqlite::Result<bool> {
    let exists = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'events_1')";
    connection.query_row(exists, [], |row| row.get(0))
}

pub(super) fn move_rows(connection: &mut Connection) -> Result<(), OpenError> {
    while is_under_way(connection)? {
        move_part(connection)?;
    }
    Ok(())
}

/// Moves the oldest rows; the table goes when there are none. Another process may be at it as well.
pub(super) fn move_part(connection: &mut Connection) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if !is_under_way(&transaction)? {
        return Ok(());
    }
    let mut last = None;
    {
        let mut tables = Tables::of(&transaction)?;
        let mut select = transaction.prepare("SELECT id, chain, sequence, document FROM events_1 ORDER BY id")?;
        let mut rows = select.query([])?;
        let (mut count, mut bytes) = (0, 0);
        while count < PART
            && bytes < PART_BYTES
            && let Some(row) = rows.next()?
        {
            let (chain, sequence): ([u8; 16], i64) = (row.get(1)?, row.get(2)?);
            let document = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            let at = ChainPosition { chain: ChainId::from_bytes(chain), sequence: Sequence(sequence.unsigned_abs()) };
            let columns = Row::at(chain, sequence, document).map_err(|error| OpenError::BadEvent(at, error))?;
            tables.insert(&columns, document)?;
            (last, count, bytes) = (Some(row.get::<_, i64>(0)?), count + 1, bytes + document.len());
        }
        tables.index_words()?;
    }
    match last {
        Some(last) => transaction.execute("DELETE FROM events_1 WHERE id <= ?1", [last])?,
        None => transaction.execute("DROP TABLE events_1", [])?,
    };
    Ok(transaction.commit()?)
}
