//! Runs queries on a connection.

use bytes::Bytes;
use deadpool_postgres::{Object, Transaction};
use futures_util::TryStreamExt;
use tokio_postgres::{
    IsolationLevel, Row,
    types::{ToSql, Type},
};

use super::failure::OperationError;
use crate::{
    event::{ChainEntry, ChainHead, ChainId, ChainPosition, Sequence, UnixMillis},
    integrity::seal_of,
    query::{Aggregate, Aggregation, Place, Query},
    store::{
        ChainDocument, IndexError, Page, StoreId,
        sql::{
            self, AggregateQuery, CHAINS, Cell, Dialect, FIRST, HEAD, Parameter, RANGE, RANGE_ROWS, REACH, Select,
            Statement,
        },
    },
};

use std::ops::RangeInclusive;

/// Selects the documents of these rows, in order, up to the one at which they reach $2 bytes. PostgreSQL knows their
/// sizes without reading them.
const DOCUMENTS: &str = "SELECT document FROM (
        SELECT e.document, page.place, octet_length(e.document) AS bytes,
            sum(octet_length(e.document)) OVER (ORDER BY page.place ROWS UNBOUNDED PRECEDING) AS so_far
        FROM unnest($1::bigint[]) WITH ORDINALITY AS page (id, place) JOIN events AS e ON e.id = page.id
    ) AS sized WHERE so_far - bytes < $2::bigint ORDER BY place";

/// Reads page and total in one transaction, so that they agree. The query must begin at a place of an event.
pub(super) async fn find(connection: &mut Object, query: &Query) -> Result<Page, OperationError> {
    let search = Select::of(Dialect::Postgres, query);
    let transaction = reading(connection).await?;
    let total = integer(rows(&transaction, &search.count()).await?.first())?.unsigned_abs();
    let (documents, is_cut) = if query.offset < total && query.limit > 0 {
        let page = search.page(query.after_event().unwrap_or_default(), query.offset, query.limit);
        documents(&transaction, &page, query.bytes).await?
    } else {
        (Vec::new(), false)
    };
    transaction.commit().await?;
    Ok(Page { total, documents, is_cut, end: None })
}

pub(super) async fn aggregate(
    connection: &mut Object,
    query: &Query,
    aggregation: &Aggregation,
) -> Result<Result<Aggregate, IndexError>, OperationError> {
    let counting = AggregateQuery::of(Dialect::Postgres, query, aggregation);
    let transaction = reading(connection).await?;
    let rows = rows(&transaction, &counting.statement()).await?;
    let rows = rows.iter().map(cells).collect::<Result<Vec<_>, _>>()?;
    Ok(counting.answer(&rows))
}

/// Returns the next documents of a scan; `last_row` was the last row when the scan began.
pub(super) async fn read_batch(
    connection: &mut Object,
    query: &Query,
    last_row: i64,
    after: Option<&Place>,
    limit: u64,
) -> Result<Vec<Bytes>, OperationError> {
    let search = Select::of(Dialect::Postgres, query).up_to(last_row);
    let transaction = reading(connection).await?;
    Ok(documents(&transaction, &search.page(after, 0, limit), query.bytes).await?.0)
}

pub(super) async fn chains(connection: &mut Object) -> Result<Vec<ChainEntry>, OperationError> {
    connection.query(CHAINS, &[]).await?.iter().map(chain_entry).collect()
}

pub(super) async fn chains_of(connection: &mut Object, writer: &str) -> Result<Vec<ChainId>, OperationError> {
    let transaction = reading(connection).await?;
    let chains = rows(&transaction, &sql::chains_of(Dialect::Postgres, writer)).await?;
    chains.iter().map(|row| Ok(chain_of(row.try_get(0)?))).collect()
}

pub(super) async fn first(
    connection: &mut Object,
    chain: ChainId,
    from: Sequence,
) -> Result<Option<ChainEntry>, OperationError> {
    let Ok(from) = i64::try_from(from.0) else { return Ok(None) };
    connection.query_opt(FIRST, &[&chain.as_bytes().as_slice(), &from]).await?.as_ref().map(chain_entry).transpose()
}

pub(super) async fn at_positions(
    connection: &mut Object,
    chain: ChainId,
    range: RangeInclusive<Sequence>,
    bytes: usize,
) -> Result<Vec<ChainDocument>, OperationError> {
    let Ok(from) = i64::try_from(range.start().0) else { return Ok(Vec::new()) };
    let to = i64::try_from(range.end().0).unwrap_or(i64::MAX);
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let chain = chain.as_bytes().as_slice();
    let values: [(&(dyn ToSql + Sync), Type); 5] = [
        (&chain, Type::BYTEA),
        (&from, Type::INT8),
        (&to, Type::INT8),
        (&RANGE_ROWS, Type::INT8),
        (&bytes, Type::INT8),
    ];
    let rows = connection.query_typed(RANGE, &values).await?;
    let read = |row: &Row| {
        let (sequence, document): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        let document = Bytes::copy_from_slice(document);
        Ok(ChainDocument { sequence: Sequence(sequence.unsigned_abs()), id: None, document })
    };
    rows.iter().map(read).collect()
}

fn chain_entry(row: &Row) -> Result<ChainEntry, OperationError> {
    let (chain, sequence): (&[u8], i64) = (row.try_get(0)?, row.try_get(1)?);
    let position = ChainPosition { chain: chain_of(chain), sequence: Sequence(sequence.unsigned_abs()) };
    Ok(ChainEntry { position, received: UnixMillis(row.try_get(2)?) })
}

pub(super) async fn reach(
    connection: &mut Object,
    chain: ChainId,
    from: Sequence,
) -> Result<Option<Sequence>, OperationError> {
    let Ok(from) = i64::try_from(from.0) else { return Ok(None) };
    let row = connection.query_opt(REACH, &[&chain.as_bytes().as_slice(), &from]).await?;
    let last: Option<i64> = row.map(|row| row.try_get(0)).transpose()?;
    Ok(last.map(|last| Sequence(last.unsigned_abs())))
}

/// Returns the last entry of a chain.
pub(super) async fn head(connection: &mut Object, chain: ChainId) -> Result<Option<ChainHead>, OperationError> {
    let Some(row) = connection.query_opt(HEAD, &[&chain.as_bytes().as_slice()]).await? else { return Ok(None) };
    let (sequence, document): (i64, &[u8]) = (row.try_get(0)?, row.try_get(1)?);
    let position = ChainPosition { chain, sequence: Sequence(sequence.unsigned_abs()) };
    Ok(Some(ChainHead { position, seal: seal_of(document) }))
}

/// Returns the identity of the store; an empty one if its row was deleted.
pub(super) async fn identity(connection: &mut Object) -> Result<StoreId, OperationError> {
    let row = connection.query_opt("SELECT id::text FROM store", &[]).await?;
    let id = row.map(|row| row.try_get(0)).transpose()?;
    Ok(StoreId(id.unwrap_or_default()))
}

/// Returns whether there is a row at each position.
pub(super) async fn holds(connection: &mut Object, positions: Vec<ChainPosition>) -> Result<Vec<bool>, OperationError> {
    let exists = "SELECT EXISTS (SELECT 1 FROM events WHERE chain = $1 AND sequence = $2)";
    let exists = connection.prepare_cached(exists).await?;
    let mut held = Vec::with_capacity(positions.len());
    for position in positions {
        let Ok(sequence) = i64::try_from(position.sequence.0) else {
            held.push(false);
            continue;
        };
        let row = connection.query_one(&exists, &[&position.chain.as_bytes().as_slice(), &sequence]).await?;
        held.push(row.try_get(0)?);
    }
    Ok(held)
}

/// Begins a read-only transaction with a stable snapshot.
pub(super) async fn reading(connection: &mut Object) -> Result<Transaction<'_>, OperationError> {
    let transaction = connection.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    Ok(transaction.start().await?)
}

/// Plans the statement for these values and does not cache it, as statements differ from query to query.
pub(super) async fn rows(
    transaction: &Transaction<'_>,
    Statement { text, values }: &Statement,
) -> Result<Vec<Row>, OperationError> {
    let values: Vec<_> = values.iter().map(parameter).collect();
    Ok(transaction.query_typed(text, &values).await?)
}

fn parameter(value: &Parameter) -> (&(dyn ToSql + Sync), Type) {
    match value {
        Parameter::Integer(integer) => (integer, Type::INT8),
        Parameter::Number(number) => (number, Type::FLOAT8),
        Parameter::Text(text) => (text, Type::TEXT),
        Parameter::Bytes(bytes) => (bytes, Type::BYTEA),
        Parameter::Texts(texts) => (texts, Type::TEXT_ARRAY),
    }
}

/// Returns the documents of these rows up to the one at which they reach `max_bytes`, and whether more follow.
async fn documents(
    transaction: &Transaction<'_>,
    page: &Statement,
    max_bytes: usize,
) -> Result<(Vec<Bytes>, bool), OperationError> {
    let ids = rows(transaction, page).await?.iter().map(|row| integer(Some(row))).collect::<Result<Vec<_>, _>>()?;
    let select = transaction.prepare_cached(DOCUMENTS).await?;
    let max_bytes = i64::try_from(max_bytes).unwrap_or(i64::MAX);
    let parameters: [&(dyn ToSql + Sync); 2] = [&ids, &max_bytes];
    let rows = transaction.query_raw(&select, parameters).await?;
    tokio::pin!(rows);
    let mut found = Vec::new();
    // Copied row by row, as each row keeps the buffer it arrived in.
    while let Some(row) = rows.try_next().await? {
        found.push(Bytes::copy_from_slice(row.try_get(0)?));
    }
    let is_cut = found.len() < ids.len();
    Ok((found, is_cut))
}

fn integer(row: Option<&Row>) -> Result<i64, OperationError> {
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
}

fn cells(row: &Row) -> Result<Vec<Cell>, OperationError> {
    let cell = |(at, column): (usize, &tokio_postgres::Column)| {
        Ok(match *column.type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(at)?.map_or(Cell::Null, Cell::Integer),
            Type::FLOAT8 => row.try_get::<_, Option<f64>>(at)?.map_or(Cell::Null, Cell::Number),
            _ => row.try_get::<_, Option<String>>(at)?.map_or(Cell::Null, Cell::Text),
        })
    };
    row.columns().iter().enumerate().map(cell).collect()
}

pub(super) fn chain_of(bytes: &[u8]) -> ChainId {
    // The column holds the 16 bytes of an id.
    ChainId::from_bytes(bytes.try_into().unwrap_or_default())
}
