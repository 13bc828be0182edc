//! Questions, run on a connection that reads.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params_from_iter, types::Value};

use crate::{
    event::{ChainId, ChainPosition, Sequence},
    integrity::seal_of,
    query::{Aggregate, Aggregation, Place, Query},
    store::{
        Head, Page, StoreError,
        sql::{Bound, CHAINS, Cell, Counting, Dialect, HEAD, REACH, Search, Statement},
    },
};

/// All statements see the same state, so that the page and the total agree.
pub(super) fn find(connection: &mut Connection, query: &Query) -> rusqlite::Result<Page> {
    let search = Search::of(Dialect::Sqlite, query);
    let transaction = connection.transaction()?;
    let total = count(&transaction, &search.count())?;
    if query.offset >= total || query.limit == 0 {
        return Ok(Page { total, ..Page::default() });
    }
    let page = search.page(query.after.as_ref(), query.offset, query.limit);
    let (documents, is_cut) = documents(&transaction, &page, query.bytes)?;
    Ok(Page { total, documents, is_cut })
}

pub(super) fn aggregate(
    connection: &mut Connection,
    query: &Query,
    aggregation: &Aggregation,
) -> rusqlite::Result<Result<Aggregate, StoreError>> {
    let counting = Counting::of(Dialect::Sqlite, query, aggregation);
    let Statement { text, values } = counting.statement();
    let mut statement = connection.prepare_cached(&text)?;
    let columns = statement.column_count();
    let rows =
        statement.query_map(parameters(values), |row| (0..columns).map(|at| cell(row.get_ref(at)?)).collect())?;
    let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(counting.answer(&rows))
}

/// The newest row that there is.
pub(super) fn last_row(connection: &mut Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT coalesce(max(id), 0) FROM events", [], |row| row.get(0))
}

/// The next documents of a scan that began when this was the last row.
pub(super) fn step(
    connection: &mut Connection,
    query: &Query,
    last_row: i64,
    after: Option<&Place>,
    limit: u64,
) -> rusqlite::Result<Vec<Bytes>> {
    let search = Search::of(Dialect::Sqlite, query).up_to(last_row);
    let transaction = connection.transaction()?;
    Ok(documents(&transaction, &search.page(after, 0, limit), query.bytes)?.0)
}

pub(super) fn chains(connection: &mut Connection) -> rusqlite::Result<Vec<ChainId>> {
    let mut chains = connection.prepare_cached(CHAINS)?;
    chains.query_map([], |row| Ok(ChainId::from_bytes(row.get(0)?)))?.collect()
}

pub(super) fn reach(connection: &mut Connection, chain: ChainId, from: Sequence) -> rusqlite::Result<Option<Sequence>> {
    let Ok(from) = i64::try_from(from.0) else { return Ok(None) };
    let mut reach = connection.prepare_cached(REACH)?;
    let last = reach.query_row((chain.as_bytes(), from), |row| row.get::<_, i64>(0)).optional()?;
    Ok(last.map(|last| Sequence(last.unsigned_abs())))
}

/// The end of a chain.
pub(super) fn head(connection: &mut Connection, chain: ChainId) -> rusqlite::Result<Option<Head>> {
    connection
        .prepare_cached(HEAD)?
        .query_row([chain.as_bytes()], |row| {
            let sequence: i64 = row.get(0)?;
            let document: Vec<u8> = row.get(1)?;
            let position = ChainPosition { chain, sequence: Sequence(sequence.unsigned_abs()) };
            Ok(Head { position, seal: seal_of(&document) })
        })
        .optional()
}

fn count(connection: &Connection, statement: &Statement) -> rusqlite::Result<u64> {
    let mut count = connection.prepare_cached(&statement.text)?;
    let total: i64 = count.query_row(parameters(statement.values.clone()), |row| row.get(0))?;
    Ok(total.unsigned_abs())
}

/// The documents of these rows until they come to so many bytes, and whether there are more.
fn documents(connection: &Connection, page: &Statement, most_bytes: usize) -> rusqlite::Result<(Vec<Bytes>, bool)> {
    let mut rows = connection.prepare_cached(&page.text)?;
    let mut rows = rows.query(parameters(page.values.clone()))?;
    // The documents are fetched by themselves: whatever is sorted should be small.
    let mut document = connection.prepare_cached("SELECT document FROM events WHERE id = ?1")?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if bytes >= most_bytes {
            return Ok((found, true));
        }
        let event: i64 = row.get(0)?;
        let document: Vec<u8> = document.query_row([event], |row| row.get(0))?;
        bytes += document.len();
        found.push(Bytes::from(document));
    }
    Ok((found, false))
}

pub(super) fn parameters(values: Vec<Bound>) -> rusqlite::ParamsFromIter<impl IntoIterator<Item = Value>> {
    params_from_iter(values.into_iter().map(|value| match value {
        Bound::Integer(integer) => Value::Integer(integer),
        Bound::Number(number) => Value::Real(number),
        Bound::Text(text) => Value::Text(text),
        Bound::Bytes(bytes) => Value::Blob(bytes),
        Bound::Texts(texts) => Value::Text(serde_json::Value::from(texts).to_string()),
    }))
}

fn cell(value: rusqlite::types::ValueRef<'_>) -> rusqlite::Result<Cell> {
    Ok(match Value::try_from(value)? {
        Value::Null => Cell::Null,
        Value::Integer(integer) => Cell::Integer(integer),
        Value::Real(number) => Cell::Number(number),
        Value::Text(text) => Cell::Text(text),
        Value::Blob(_) => Cell::Null,
    })
}
