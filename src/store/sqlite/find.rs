//! Runs queries on a read connection.

use bytes::Bytes;
use rusqlite::{
    Connection, OptionalExtension, Row, params, params_from_iter,
    types::{Value, ValueRef},
};

use super::functions;
use crate::{
    event::{ChainEntry, ChainHead, ChainId, ChainPosition, Sequence, UnixMillis},
    integrity::seal_of,
    query::{Aggregate, Aggregation, Place, Query},
    store::{
        ChainDocument, IndexError, Page, StoreId,
        sql::{
            self, AggregateQuery, CHAINS, Cell, Dialect, FIRST, HEAD, Parameter, RANGE, RANGE_ROWS, REACH, Select,
            Statement, TermCounter, TooManyValues, ValueScan,
        },
    },
};

use std::ops::RangeInclusive;

/// Reads page and total in one transaction, so that they agree. The query must begin at a place of an event.
pub(super) fn find(connection: &mut Connection, query: &Query) -> rusqlite::Result<Page> {
    let search = Select::of(Dialect::Sqlite, query);
    let transaction = connection.transaction()?;
    let total = count(&transaction, &search.count())?;
    if query.offset >= total || query.limit == 0 {
        return Ok(Page { total, ..Page::default() });
    }
    let page = search.page(query.after_event().unwrap_or_default(), query.offset, query.limit);
    let (documents, is_cut) = documents(&transaction, &page, query.bytes)?;
    Ok(Page { total, documents, is_cut, end: None })
}

/// The memory in bytes for counting values; beyond it the database counts.
const MAX_COUNTER_BYTES: usize = 16 << 20;

pub(super) fn aggregate(
    connection: &mut Connection,
    query: &Query,
    aggregation: &Aggregation,
) -> rusqlite::Result<Result<Aggregate, IndexError>> {
    aggregate_within(connection, query, aggregation, MAX_COUNTER_BYTES)
}

fn aggregate_within(
    connection: &Connection,
    query: &Query,
    aggregation: &Aggregation,
    bytes: usize,
) -> rusqlite::Result<Result<Aggregate, IndexError>> {
    let counting = AggregateQuery::of(Dialect::Sqlite, query, aggregation);
    if let Some(each) = counting.value_scan()
        && let Ok(answer) = count_terms(connection, each, bytes)?
    {
        return Ok(Ok(counting.decode_addresses(answer)));
    }
    aggregate_in_database(connection, &counting)
}

/// Counts the values while reading them.
fn count_terms(
    connection: &Connection,
    each: ValueScan,
    bytes: usize,
) -> rusqlite::Result<Result<Aggregate, TooManyValues>> {
    let mut statement = connection.prepare_cached(&each.statement.text)?;
    let mut rows = statement.query(parameters(each.statement.values))?;
    let mut counter = TermCounter::with_limit(bytes);
    while let Some(row) = rows.next()? {
        let value = row.get_ref(0)?;
        let counted = match (value, &each.extractor) {
            (ValueRef::Blob(document), Some(extractor)) => {
                extractor.count(document, &mut counter).map_err(functions::failed)?
            }
            (ValueRef::Integer(integer), _) => counter.add_integer(integer),
            (ValueRef::Real(number), _) => counter.add_float(number),
            (ValueRef::Text(_), _) => counter.add_text(value.as_str()?),
            (ValueRef::Null | ValueRef::Blob(_), _) => counter.add_missing(),
        };
        if let Err(too_many) = counted {
            return Ok(Err(too_many));
        }
    }
    Ok(Ok(counter.into_aggregate(each.limit)))
}

/// Lets the database count, which sorts any number of values, on disk if need be.
fn aggregate_in_database(
    connection: &Connection,
    counting: &AggregateQuery<'_>,
) -> rusqlite::Result<Result<Aggregate, IndexError>> {
    let Statement { text, values } = counting.statement();
    let mut statement = connection.prepare_cached(&text)?;
    let columns = statement.column_count();
    let rows =
        statement.query_map(parameters(values), |row| (0..columns).map(|at| cell(row.get_ref(at)?)).collect())?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(counting.answer(&rows))
}

/// Returns the newest row.
pub(super) fn last_row(connection: &mut Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))
}

/// Returns the next documents of a scan; `last_row` was the last row when the scan began.
pub(super) fn read_batch(
    connection: &mut Connection,
    query: &Query,
    last_row: i64,
    after: Option<&Place>,
    limit: u64,
) -> rusqlite::Result<Vec<Bytes>> {
    let search = Select::of(Dialect::Sqlite, query).up_to(last_row);
    let transaction = connection.transaction()?;
    Ok(documents(&transaction, &search.page(after, 0, limit), query.bytes)?.0)
}

pub(super) fn chains(connection: &mut Connection) -> rusqlite::Result<Vec<ChainEntry>> {
    let mut chains = connection.prepare_cached(CHAINS)?;
    chains.query_map([], chain_entry)?.collect()
}

pub(super) fn chains_of(connection: &mut Connection, writer: &str) -> rusqlite::Result<Vec<ChainId>> {
    let Statement { text, values } = sql::chains_of(Dialect::Sqlite, writer);
    let mut chains = connection.prepare_cached(&text)?;
    chains.query_map(parameters(values), |row| row.get(0).map(ChainId::from_bytes))?.collect()
}

pub(super) fn first(
    connection: &mut Connection,
    chain: ChainId,
    from: Sequence,
) -> rusqlite::Result<Option<ChainEntry>> {
    let Ok(from) = i64::try_from(from.0) else { return Ok(None) };
    connection.prepare_cached(FIRST)?.query_row((chain.as_bytes(), from), chain_entry).optional()
}

pub(super) fn at_positions(
    connection: &mut Connection,
    chain: ChainId,
    range: &RangeInclusive<Sequence>,
    bytes: usize,
) -> rusqlite::Result<Vec<ChainDocument>> {
    let Ok(from) = i64::try_from(range.start().0) else { return Ok(Vec::new()) };
    let to = i64::try_from(range.end().0).unwrap_or(i64::MAX);
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut range = connection.prepare_cached(RANGE)?;
    let rows = range.query_map((chain.as_bytes(), from, to, RANGE_ROWS, bytes), |row| {
        let document: Vec<u8> = row.get(1)?;
        let sequence = Sequence(row.get::<_, i64>(0)?.unsigned_abs());
        Ok(ChainDocument { sequence, id: None, document: document.into() })
    })?;
    rows.collect()
}

fn chain_entry(row: &Row<'_>) -> rusqlite::Result<ChainEntry> {
    let (chain, sequence) = (ChainId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?);
    let position = ChainPosition { chain, sequence: Sequence(sequence.unsigned_abs()) };
    Ok(ChainEntry { position, received: UnixMillis(row.get(2)?) })
}

pub(super) fn reach(connection: &mut Connection, chain: ChainId, from: Sequence) -> rusqlite::Result<Option<Sequence>> {
    let Ok(from) = i64::try_from(from.0) else { return Ok(None) };
    let mut reach = connection.prepare_cached(REACH)?;
    let last = reach.query_row((chain.as_bytes(), from), |row| row.get::<_, i64>(0)).optional()?;
    Ok(last.map(|last| Sequence(last.unsigned_abs())))
}

/// Returns the last entry of a chain.
pub(super) fn head(connection: &mut Connection, chain: ChainId) -> rusqlite::Result<Option<ChainHead>> {
    connection
        .prepare_cached(HEAD)?
        .query_row([chain.as_bytes()], |row| {
            let sequence: i64 = row.get(0)?;
            let document: Vec<u8> = row.get(1)?;
            let position = ChainPosition { chain, sequence: Sequence(sequence.unsigned_abs()) };
            Ok(ChainHead { position, seal: seal_of(&document) })
        })
        .optional()
}

pub(super) fn identity(connection: &Connection) -> rusqlite::Result<StoreId> {
    connection.query_row("SELECT hex(id) FROM store", [], |row| row.get(0).map(StoreId))
}

/// Returns whether there is a row at each position.
pub(super) fn holds(connection: &Connection, positions: &[ChainPosition]) -> rusqlite::Result<Vec<bool>> {
    let mut exists =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE chain = ?1 AND sequence = ?2)")?;
    let holds = |position: &ChainPosition| match i64::try_from(position.sequence.0) {
        Ok(sequence) => exists.query_row(params![position.chain.as_bytes(), sequence], |row| row.get(0)),
        Err(_) => Ok(false),
    };
    positions.iter().map(holds).collect()
}

fn count(connection: &Connection, statement: &Statement) -> rusqlite::Result<u64> {
    let mut count = connection.prepare_cached(&statement.text)?;
    let total: i64 = count.query_row(parameters(statement.values.clone()), |row| row.get(0))?;
    Ok(total.unsigned_abs())
}

/// Returns the documents of these rows up to the one at which they reach `max_bytes`, and whether more follow.
fn documents(connection: &Connection, page: &Statement, max_bytes: usize) -> rusqlite::Result<(Vec<Bytes>, bool)> {
    let mut rows = connection.prepare_cached(&page.text)?;
    let mut rows = rows.query(parameters(page.values.clone()))?;
    // Documents are fetched separately, so that sorting handles only small rows.
    let mut document = connection.prepare_cached("SELECT document FROM events WHERE id = ?1")?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if bytes >= max_bytes {
            return Ok((found, true));
        }
        let event: i64 = row.get(0)?;
        let document: Vec<u8> = document.query_row([event], |row| row.get(0))?;
        bytes += document.len();
        found.push(Bytes::from(document));
    }
    Ok((found, false))
}

pub(super) fn parameters(values: Vec<Parameter>) -> rusqlite::ParamsFromIter<impl IntoIterator<Item = Value>> {
    params_from_iter(values.into_iter().map(|value| match value {
        Parameter::Integer(integer) => Value::Integer(integer),
        Parameter::Number(number) => Value::Real(number),
        Parameter::Text(text) => Value::Text(text),
        Parameter::Bytes(bytes) => Value::Blob(bytes),
        Parameter::Texts(texts) => Value::Text(serde_json::Value::from(texts).to_string()),
    }))
}

fn cell(value: ValueRef<'_>) -> rusqlite::Result<Cell> {
    Ok(match Value::try_from(value)? {
        Value::Null => Cell::Null,
        Value::Integer(integer) => Cell::Integer(integer),
        Value::Real(number) => Cell::Number(number),
        Value::Text(text) => Cell::Text(text),
        Value::Blob(_) => Cell::Null,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::{Value as Json, json};

    use super::{super::append, *};
    use crate::{
        query::Order::Ascending,
        schema,
        store::testing::{Draft, SEQUENCE, draft, fresh_chain, position, visible_everywhere},
    };

    /// Creates a database with these events.
    fn database(drafts: impl IntoIterator<Item = Draft>) -> (tempfile::TempDir, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = super::super::database::open_to_write(&folder.path().join("events.db")).unwrap();
        let chain = fresh_chain();
        let events: Vec<_> = drafts.into_iter().zip(0..).map(|(draft, at)| draft.sealed(position(chain, at))).collect();
        append::append(&mut connection, &events.into_iter().map(append::PreparedRow::of).collect::<Vec<_>>()).unwrap();
        (folder, connection)
    }

    fn counted(connection: &Connection, path: &str, bytes: usize) -> Result<Aggregate, TooManyValues> {
        let query = visible_everywhere().by(&[(&SEQUENCE, Ascending)]).build();
        let terms = Aggregation::Terms { subject: schema::field(path).unwrap().into(), limit: 3 };
        let counting = AggregateQuery::of(Dialect::Sqlite, query.query(), &terms);
        let in_memory = count_terms(connection, counting.value_scan().unwrap(), bytes).unwrap();
        if let Ok(in_memory) = &in_memory {
            assert_eq!(in_memory, &aggregate_in_database(connection, &counting).unwrap().unwrap(), "{path}");
        }
        in_memory
    }

    #[test]
    fn values_counted_in_memory_equal_those_counted_by_the_database() {
        let texts = ["b", "", "a\0", "a\u{1}", "b", "Ä", "a\u{10000}", "a\u{ffff}", "\"\\", &"x".repeat(1_025)];
        let numbers = [1.0, 0.1, -1e-60, 0.0, 16_777_217.0, 0.1, 1e30, -0.5];
        let lists =
            [json!([]), json!(["a", "b", "a"]), json!(["b"]), json!(["\u{0}"]), json!(["a", "x".repeat(1_025)])];
        let long = ["9223372036854775807", "-1", "9007199254740993", "9007199254740993"];
        let each =
            |path: &'static str, values: Vec<Json>| values.into_iter().map(move |value| draft().with(path, value));
        let of = |values: &[&str]| values.iter().map(|value| Json::from(*value)).collect();
        let drafts = each("host.name", of(&texts))
            .chain(each("event.risk_score", numbers.map(Json::from).to_vec()))
            .chain(each("tags", lists.to_vec()))
            .chain(each("event.provider", of(&texts)))
            .chain(each("kibana.task.schedule_delay", of(&long)))
            .chain(each("kibana.alert.flapping", vec![true.into(), false.into()]));
        let (_folder, connection) = database(drafts);
        for (path, distinct, without) in [
            ("host.name", 8, 30),
            ("event.risk_score", 6, 31),
            ("tags", 3, 35),
            ("event.provider", 9, 1),
            ("kibana.task.schedule_delay", 3, 35),
            ("kibana.alert.flapping", 2, 37),
            ("event.created", 0, 39),
        ] {
            let Ok(Aggregate::Terms { buckets, distinct: found, without: others }) = counted(&connection, path, 10_000)
            else {
                panic!("{path} was not counted")
            };
            assert_eq!((found, others, buckets.len()), (distinct, without, distinct.min(3) as usize), "{path}");
        }
    }

    #[test]
    fn values_that_exceed_the_memory_limit_are_counted_by_the_database() {
        let (_folder, connection) = database((0..40).map(|n| draft().with("host.name", format!("host {n}"))));
        assert_eq!(counted(&connection, "host.name", 40 * 60), Err(TooManyValues));
        counted(&connection, "host.name", 40 * 80).unwrap();
        let (query, field) = (visible_everywhere().build(), schema::field("host.name").unwrap());
        let terms = Aggregation::Terms { subject: field.into(), limit: 40 };
        let found = aggregate_within(&connection, query.query(), &terms, 40 * 60).unwrap().unwrap();
        let Aggregate::Terms { buckets, distinct: 40, without: 0 } = found else { panic!("{found:?}") };
        assert_eq!(buckets.len(), 40);
    }
}
