//! Writing events, each once.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::columns::{Columns, Text};
use crate::store::{Outcome, SealedEvent, occupied::outcome_at};

/// All in one transaction: on disk when this returns, or not there at all.
pub(super) fn append(connection: &mut Connection, events: &[SealedEvent]) -> rusqlite::Result<Vec<Outcome>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let outcomes = {
        let mut table = Table::of(&transaction)?;
        events.iter().map(|event| table.append(event)).collect::<rusqlite::Result<_>>()?
    };
    transaction.commit()?;
    Ok(outcomes)
}

/// Puts the event in the place of its stub, or where nothing is yet.
pub(super) fn replace(connection: &mut Connection, event: &SealedEvent) -> rusqlite::Result<Outcome> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let outcome = Table::of(&transaction)?.replace(event)?;
    transaction.commit()?;
    Ok(outcome)
}

/// The statements of one transaction, prepared once.
struct Table<'t> {
    insert: CachedStatement<'t>,
    refer: CachedStatement<'t>,
    transaction: &'t Transaction<'t>,
}

impl<'t> Table<'t> {
    fn of(transaction: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: transaction.prepare_cached(
                "INSERT INTO events (chain, sequence, received, timestamp, started, ended, duration, provider, action,
                                     message, document)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (chain, sequence) DO NOTHING",
            )?,
            refer: transaction.prepare_cached(
                "INSERT INTO objects (namespace, type, object, timestamp, sequence, chain, event)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT DO NOTHING",
            )?,
            transaction,
        })
    }

    fn append(&mut self, event: &SealedEvent) -> rusqlite::Result<Outcome> {
        let (key, columns) = match read(event) {
            Ok(read) => read,
            Err(refused) => return Ok(refused),
        };
        let inserted = self.insert.execute(params![
            key.chain,
            key.sequence,
            columns.received,
            columns.timestamp,
            columns.started,
            columns.ended,
            columns.duration,
            columns.provider.as_ref().map(Text::as_str),
            columns.action.as_ref().map(Text::as_str),
            columns.message.as_ref().map(Text::as_str),
            &event.document[..],
        ])?;
        if inserted == 0 {
            return Ok(match self.stored(&key)? {
                Some((_, stored)) => outcome_at(&stored, event),
                None => Outcome::Retry { reason: "its place was taken, and is free".to_owned() },
            });
        }
        self.refer_to_objects(&key, &columns)?;
        Ok(Outcome::Stored)
    }

    fn refer_to_objects(&mut self, key: &Key, columns: &Columns<'_>) -> rusqlite::Result<()> {
        let Some(timestamp) = columns.timestamp else { return Ok(()) };
        let event = self.transaction.last_insert_rowid();
        for object in columns.references() {
            self.refer.execute(params![
                object.namespace,
                object.object_type,
                object.id,
                timestamp,
                key.sequence,
                key.chain,
                event
            ])?;
        }
        Ok(())
    }

    fn replace(&mut self, event: &SealedEvent) -> rusqlite::Result<Outcome> {
        let key = match read(event) {
            Ok((key, _)) => key,
            Err(refused) => return Ok(refused),
        };
        if let Some((id, stored)) = self.stored(&key)? {
            let outcome = outcome_at(&stored, event);
            let is_stub = Columns::of(&stored).is_ok_and(|columns| columns.is_stub());
            if outcome != Outcome::Duplicate || !is_stub || stored == event.document {
                return Ok(outcome);
            }
            self.transaction.execute("DELETE FROM events WHERE id = ?1", [id])?;
        }
        self.append(event)
    }

    /// What stands there: the row's id, and the document.
    fn stored(&self, key: &Key) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
        self.transaction
            .prepare_cached("SELECT id, document FROM events WHERE chain = ?1 AND sequence = ?2")?
            .query_row(params![key.chain, key.sequence], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
    }
}

/// A position as the tables have it.
struct Key {
    chain: [u8; 16],
    sequence: i64,
}

/// The columns of an event, or why it will never be taken.
fn read(event: &SealedEvent) -> Result<(Key, Columns<'_>), Outcome> {
    let refused = |reason| Outcome::Rejected { reason };
    let sequence = event.position.sequence.0;
    let sequence = i64::try_from(sequence).map_err(|_| refused(format!("the sequence {sequence} is beyond 2^63−1")))?;
    let columns = Columns::of(&event.document).map_err(|error| refused(error.to_string()))?;
    Ok((Key { chain: *event.position.chain.as_bytes(), sequence }, columns))
}
