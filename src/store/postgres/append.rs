//! Writes events, each exactly once.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::{Object, Transaction};

use super::failure::OperationError;
use crate::{
    event::SealedEvent,
    store::{
        Outcome,
        occupied::outcome_at,
        sql::{self, EventRow},
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
    let document = serde_json::from_slice(&event.document).map_err(|error| error.to_string())?;
    Ok((row, sql::index::of(&document).to_string()))
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
        let is_stub = EventRow::at(chain, sequence, &stored).is_ok_and(|stored| stored.is_stub());
        if outcome != Outcome::Duplicate || !is_stub || stored == prepared.event.document {
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
const INSERT: &str =
    "INSERT INTO events (chain, sequence, received, timestamp, started, ended, duration, provider, action,
        outcome, severity, level, user_id, user_name, spaces, message, words, fields, document, event_id)
    SELECT chain, sequence, received, timestamp, started, ended, duration, provider, action,
        outcome, severity, level, user_id, user_name, spaces, message, words, fields::jsonb, document, event_id
    FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::text[],
        $16::text[], $17::text[], $18::text[], $19::bytea[], $20::text[])
        WITH ORDINALITY AS u (chain, sequence, received, timestamp, started, ended, duration, provider, action,
        outcome, severity, level, user_id, user_name, spaces, message, words, fields, document, event_id, ordinal)
    ORDER BY chain, sequence, ordinal
    ON CONFLICT (chain, sequence) DO NOTHING
    RETURNING id, chain, sequence";

/// Returns the ids of the rows that were not there before.
async fn insert(transaction: &Transaction<'_>, events: &[PreparedRow]) -> Result<HashMap<RowKey, i64>, OperationError> {
    let fitting = || events.iter().filter_map(|prepared| prepared.row.as_ref().ok().map(|row| (prepared, row)));
    if fitting().next().is_none() {
        return Ok(HashMap::new());
    }
    macro_rules! column {
        ($row:ident => $value:expr) => {
            fitting().map(|(_, ($row, _))| $value).collect::<Vec<_>>()
        };
    }
    let fields: Vec<&str> = fitting().map(|(_, (_, fields))| fields.as_str()).collect();
    let documents: Vec<&[u8]> = fitting().map(|(prepared, _)| &prepared.event.document[..]).collect();
    let insert = transaction.prepare_cached(INSERT).await?;
    let inserted = transaction
        .query(
            &insert,
            &[
                &column!(row => row.chain.as_slice()),
                &column!(row => row.sequence),
                &column!(row => row.received),
                &column!(row => row.timestamp),
                &column!(row => row.started),
                &column!(row => row.ended),
                &column!(row => row.duration),
                &column!(row => row.provider.as_deref()),
                &column!(row => row.action.as_deref()),
                &column!(row => row.outcome.as_deref()),
                &column!(row => row.severity.as_deref()),
                &column!(row => row.level.as_deref()),
                &column!(row => row.user_id.as_deref()),
                &column!(row => row.user_name.as_deref()),
                &column!(row => row.spaces.as_deref()),
                &column!(row => row.message.as_deref()),
                &column!(row => row.words.as_deref()),
                &fields,
                &documents,
                &column!(row => row.event_id.as_deref()),
            ],
        )
        .await?;
    inserted.iter().map(|row| Ok((key_at(row, 1)?, row.try_get(0)?))).collect()
}

const INSERT_OBJECTS: &str =
    "INSERT INTO objects (event, ordinal, found_in, rel, namespace, type, object, type_id, space_agnostic,
        timestamp, sequence, chain)
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bytea[])";

async fn insert_objects(
    transaction: &Transaction<'_>,
    events: &[PreparedRow],
    stored: &HashMap<RowKey, i64>,
) -> Result<(), OperationError> {
    let mut seen = HashSet::new();
    let mut references = Vec::new();
    for (row, _) in events.iter().filter_map(|prepared| prepared.row.as_ref().ok()) {
        let key = (row.chain, row.sequence);
        let Some(&event) = stored.get(&key).filter(|_| seen.insert(key)) else { continue };
        references.extend(row.objects.iter().zip(0_i32..).map(|(object, ordinal)| (event, ordinal, object, row)));
    }
    if references.is_empty() {
        return Ok(());
    }
    macro_rules! column {
        ($object:ident => $value:expr) => {
            references.iter().map(|(_, _, $object, _)| $value).collect::<Vec<_>>()
        };
    }
    let insert_objects = transaction.prepare_cached(INSERT_OBJECTS).await?;
    transaction
        .execute(
            &insert_objects,
            &[
                &references.iter().map(|(event, ..)| *event).collect::<Vec<_>>(),
                &references.iter().map(|(_, ordinal, ..)| *ordinal).collect::<Vec<_>>(),
                &column!(object => object.found_in.as_deref()),
                &column!(object => object.rel.as_deref()),
                &column!(object => object.namespace.as_deref()),
                &column!(object => object.object_type.as_deref()),
                &column!(object => object.id.as_deref()),
                &column!(object => object.type_id.as_deref()),
                &column!(object => object.space_agnostic),
                &references.iter().map(|(_, _, _, row)| row.timestamp).collect::<Vec<_>>(),
                &references.iter().map(|(_, _, _, row)| row.sequence).collect::<Vec<_>>(),
                &references.iter().map(|(_, _, _, row)| row.chain.as_slice()).collect::<Vec<_>>(),
            ],
        )
        .await?;
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
