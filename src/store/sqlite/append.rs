//! Writing events, each once.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::{
    event::SealedEvent,
    store::{
        Outcome,
        occupied::outcome_at,
        sql::{EventRow, ObjectRow},
    },
};

/// An event with what the tables keep of it, or why it will never be taken. Made on other threads than the writer's, which
/// is the one that everything waits for.
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

/// All in one transaction: on disk when this returns, or not there at all.
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

/// Puts the event in the place of its stub, or where nothing is yet.
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

/// The statements of one transaction, prepared once.
pub(super) struct EventInserter<'t> {
    insert: CachedStatement<'t>,
    refer: CachedStatement<'t>,
    /// The first row that was inserted; later ones have higher numbers.
    first: Option<i64>,
    transaction: &'t Transaction<'t>,
}

impl<'t> EventInserter<'t> {
    pub(super) fn of(transaction: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: transaction.prepare_cached(
                "INSERT INTO events (chain, sequence, received, timestamp, started, ended, duration, provider, action,
                                     outcome, severity, level, user_id, user_name, spaces, message, words, document,
                                     event_id)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
                 ON CONFLICT (chain, sequence) DO NOTHING",
            )?,
            refer: transaction.prepare_cached(
                "INSERT INTO objects (event, ordinal, found_in, rel, namespace, type, object, type_id, space_agnostic,
                                      timestamp, sequence, chain)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?,
            first: None,
            transaction,
        })
    }

    /// Enters the words of what was inserted, before the transaction ends: all at once, for an index that gets them row by
    /// row, as from a trigger, is written to disk row by row.
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
            None => Outcome::Retry { reason: "its place was taken, and is free".to_owned() },
        })
    }

    /// False if something is there already.
    pub(super) fn insert(&mut self, row: &EventRow, document: &[u8]) -> rusqlite::Result<bool> {
        let inserted = self.insert.execute(params![
            row.chain,
            row.sequence,
            row.received,
            row.timestamp,
            row.started,
            row.ended,
            row.duration,
            row.provider,
            row.action,
            row.outcome,
            row.severity,
            row.level,
            row.user_id,
            row.user_name,
            row.spaces,
            row.message,
            row.words,
            document,
            row.event_id,
        ])?;
        if inserted == 0 {
            return Ok(false);
        }
        let event = self.transaction.last_insert_rowid();
        self.first.get_or_insert(event);
        for (object, ordinal) in row.objects.iter().zip(0_i64..) {
            self.refer(event, ordinal, object, row)?;
        }
        Ok(true)
    }

    fn refer(&mut self, event: i64, ordinal: i64, object: &ObjectRow, row: &EventRow) -> rusqlite::Result<()> {
        self.refer.execute(params![
            event,
            ordinal,
            object.found_in,
            object.rel,
            object.namespace,
            object.object_type,
            object.id,
            object.type_id,
            object.space_agnostic,
            row.timestamp,
            row.sequence,
            row.chain,
        ])?;
        Ok(())
    }

    fn replace(&mut self, event: &SealedEvent, row: &EventRow) -> rusqlite::Result<Outcome> {
        if let Some((id, stored)) = self.stored(row)? {
            let outcome = outcome_at(&stored, event);
            let is_stub = EventRow::at(row.chain, row.sequence, &stored).is_ok_and(|stored| stored.is_stub());
            if outcome != Outcome::Duplicate || !is_stub || stored == event.document {
                return Ok(outcome);
            }
            // A stub has neither words nor references.
            self.transaction.execute("DELETE FROM events WHERE id = ?1", [id])?;
        }
        self.append(event, row)
    }

    /// What stands there: the row's id, and the document.
    fn stored(&self, row: &EventRow) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
        self.transaction
            .prepare_cached("SELECT id, document FROM events WHERE chain = ?1 AND sequence = ?2")?
            .query_row(params![row.chain, row.sequence], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }
}
