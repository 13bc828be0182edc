//! Writes events, each exactly once.

use std::sync::LazyLock;

use rusqlite::{
    CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior, params, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use crate::{
    event::SealedEvent,
    integrity::is_stub,
    store::{
        Outcome,
        occupied::outcome_at,
        sql::{Column, ColumnValue, EVENT_COLUMNS, EventRow, OBJECT_COLUMNS, ObjectRow, column_list},
    },
};

static INSERT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO events (document, {}) VALUES (?1, {}) ON CONFLICT (chain, sequence) DO NOTHING",
        column_list(&EVENT_COLUMNS, |name, _| name.to_owned()),
        column_list(&EVENT_COLUMNS, |_, number| format!("?{}", number + 1)),
    )
});

static INSERT_OBJECT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO objects (event, {}) VALUES (?1, {})",
        column_list(&OBJECT_COLUMNS, |name, _| name.to_owned()),
        column_list(&OBJECT_COLUMNS, |_, number| format!("?{}", number + 1)),
    )
});

/// An event with its rows for the tables, or the reason why the store rejects it. Prepared off the writer's thread,
/// which is the bottleneck.
pub(super) struct PreparedRow {
    event: SealedEvent,
    row: Result<EventRow, Outcome>,
}

impl PreparedRow {
    pub(super) fn of(event: SealedEvent) -> Self {
        let row = EventRow::of(&event).map_err(|error| Outcome::Rejected { reason: error.to_string() });
        Self { event, row }
    }
}

/// Stores all events in one transaction: they are on disk when this returns, or not stored at all.
pub(super) fn append(connection: &mut Connection, events: &[PreparedRow]) -> rusqlite::Result<Vec<Outcome>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let outcomes = {
        let mut inserter = EventInserter::of(&transaction)?;
        let append = |prepared: &PreparedRow| match &prepared.row {
            Ok(row) => inserter.append(&prepared.event, row),
            Err(refused) => Ok(refused.clone()),
        };
        let outcomes = events.iter().map(append).collect::<rusqlite::Result<_>>()?;
        inserter.index_words()?;
        outcomes
    };
    transaction.commit()?;
    Ok(outcomes)
}

/// Replaces the event's stub, or stores the event if its position is free.
pub(super) fn replace(
    connection: &mut Connection,
    PreparedRow { event, row }: &PreparedRow,
) -> rusqlite::Result<Outcome> {
    let row = match row {
        Ok(row) => row,
        Err(refused) => return Ok(refused.clone()),
    };
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let outcome = {
        let mut inserter = EventInserter::of(&transaction)?;
        let outcome = inserter.replace(event, row)?;
        inserter.index_words()?;
        outcome
    };
    transaction.commit()?;
    Ok(outcome)
}

/// The prepared statements of one transaction.
pub(super) struct EventInserter<'t> {
    insert: CachedStatement<'t>,
    refer: CachedStatement<'t>,
    /// The first row inserted; later ones have greater numbers.
    first: Option<i64>,
    transaction: &'t Transaction<'t>,
}

impl<'t> EventInserter<'t> {
    pub(super) fn of(transaction: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: transaction.prepare_cached(&INSERT)?,
            refer: transaction.prepare_cached(&INSERT_OBJECT)?,
            first: None,
            transaction,
        })
    }

    /// Indexes the words of the inserted rows, before the transaction ends. If indexed row by row, as by a trigger,
    /// they would be written to disk row by row.
    pub(super) fn index_words(&mut self) -> rusqlite::Result<()> {
        let Some(first) = self.first.take() else { return Ok(()) };
        let mut index = self.transaction.prepare_cached(
            "INSERT INTO message_words (rowid, words)
             SELECT id, words FROM events WHERE id >= ?1 AND words <> ' ' ORDER BY id",
        )?;
        index.execute([first])?;
        Ok(())
    }

    fn append(&mut self, event: &SealedEvent, row: &EventRow) -> rusqlite::Result<Outcome> {
        if self.insert(row, &event.document)? {
            return Ok(Outcome::Stored);
        }
        Ok(match self.stored(row)? {
            Some((_, stored)) => outcome_at(&stored, event),
            None => Outcome::Retry { reason: "its position was taken, but no event is found there".to_owned() },
        })
    }

    /// Returns `false` if the position is taken.
    pub(super) fn insert(&mut self, row: &EventRow, document: &[u8]) -> rusqlite::Result<bool> {
        let document = ToSqlOutput::Borrowed(ValueRef::Blob(document));
        let inserted =
            self.insert.execute(params_from_iter([document].into_iter().chain(values(&EVENT_COLUMNS, row))))?;
        if inserted == 0 {
            return Ok(false);
        }
        let event = self.transaction.last_insert_rowid();
        self.first.get_or_insert(event);
        for object in &row.objects {
            self.insert_object(event, object)?;
        }
        Ok(true)
    }

    fn insert_object(&mut self, event: i64, object: &ObjectRow) -> rusqlite::Result<()> {
        let values = [event.into()].into_iter().chain(values(&OBJECT_COLUMNS, object));
        self.refer.execute(params_from_iter(values))?;
        Ok(())
    }

    fn replace(&mut self, event: &SealedEvent, row: &EventRow) -> rusqlite::Result<Outcome> {
        if let Some((id, stored)) = self.stored(row)? {
            let outcome = outcome_at(&stored, event);
            if outcome != Outcome::Duplicate || !is_stub(&stored) || stored == event.document {
                return Ok(outcome);
            }
            // A stub has no words and no references.
            self.transaction.execute("DELETE FROM events WHERE id = ?1", [id])?;
        }
        self.append(event, row)
    }

    /// Returns the row's id and document at this position.
    fn stored(&self, row: &EventRow) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
        self.transaction
            .prepare_cached("SELECT id, document FROM events WHERE chain = ?1 AND sequence = ?2")?
            .query_row(params![row.chain, row.sequence], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }
}

/// Returns the row's values in the order of the columns.
pub(super) fn values<'r, R>(columns: &'r [Column<R>], row: &'r R) -> impl Iterator<Item = ToSqlOutput<'r>> {
    columns.iter().map(|column| {
        ToSqlOutput::Borrowed(match column.value {
            ColumnValue::Integer(value) => value(row).map_or(ValueRef::Null, ValueRef::Integer),
            ColumnValue::Text(value) => value(row).map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes())),
            ColumnValue::Bytes(value) => ValueRef::Blob(value(row)),
        })
    })
}
