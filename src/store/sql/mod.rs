//! Common to the SQL databases: the rows of a document, and queries as statements.
//!
//! Pure: no connection, no database. A query becomes a text and its parameters; the text contains only names of our
//! own, never a value. All differences between the databases are in `dialect`.
//!
//! Both databases have the same tables: `events`, with a column for each field that queries often use, and `objects`,
//! the references of events to saved objects. All other fields are in the document's index (see `index`), which SQLite
//! computes on demand and PostgreSQL keeps in a column.

mod aggregate;
mod columns;
mod dialect;
mod extractor;
mod fields;
mod filter;
mod form;
pub(super) mod index;
mod member;
mod order;
mod row;
mod scan;
mod search;
mod tables;
mod term_counter;
mod text;

use dialect::StatementBuilder;

pub(super) use aggregate::{AggregateQuery, ValueScan};
pub(super) use dialect::{Cell, Dialect, Parameter, Statement};
pub(super) use extractor::{ExtractError, FieldExtractor};
pub(super) use row::{BadDocument, EventRow, ObjectRow};
pub(super) use scan::{BatchReader, PagedScan};
pub(super) use search::Select;
pub(super) use tables::{Column, ColumnValue, EVENT_COLUMNS, Filed, OBJECT_COLUMNS, STRAY_OBJECTS, column_list};
pub(super) use term_counter::{TermCounter, TooManyValues};

/// Selects each chain and its last entry, with a few look-ups per chain.
pub(super) const CHAINS: &str = "WITH RECURSIVE found (chain) AS (
        SELECT (SELECT chain FROM events ORDER BY chain LIMIT 1)
        UNION ALL
        SELECT (SELECT e.chain FROM events AS e WHERE e.chain > found.chain ORDER BY e.chain LIMIT 1)
        FROM found WHERE found.chain IS NOT NULL
    )
    SELECT chain,
        (SELECT e.sequence FROM events AS e WHERE e.chain = found.chain ORDER BY e.sequence DESC LIMIT 1),
        (SELECT e.received FROM events AS e WHERE e.chain = found.chain ORDER BY e.sequence DESC LIMIT 1)
    FROM found WHERE chain IS NOT NULL";

/// Selects the chains of a writer, by the first document of each that is not a stub.
pub(super) fn chains_of(dialect: Dialect, writer: &str) -> Statement {
    let mut builder = StatementBuilder::new(dialect);
    let writer = builder.text(writer);
    let named = match dialect {
        Dialect::Sqlite => "annals_value(e.document, 'kibana.server_uuid')",
        Dialect::Postgres => "e.fields ->> 'kibana.server_uuid'",
    };
    builder.build(format!(
        "SELECT c.chain FROM ({CHAINS}) AS c WHERE {writer} = (SELECT {named} FROM events AS e
            WHERE e.chain = c.chain AND e.timestamp IS NOT NULL ORDER BY e.sequence LIMIT 1)"
    ))
}

/// Selects the documents at positions $2 to $3 of a chain: at most $4 rows, up to the one at which they reach $5 bytes.
pub(super) const RANGE: &str = "SELECT sequence, document FROM (
        SELECT sequence, document, sum(octet_length(document)) OVER (ORDER BY sequence) - octet_length(document) AS before
        FROM (SELECT sequence, document FROM events WHERE chain = $1 AND sequence BETWEEN $2 AND $3 ORDER BY sequence LIMIT $4) AS part
    ) AS counted WHERE before < $5 OR before = 0 ORDER BY sequence";

/// The most rows that [`RANGE`] may return at once.
pub(super) const RANGE_ROWS: i64 = 10_000;

pub(super) const FIRST: &str =
    "SELECT chain, sequence, received FROM events WHERE chain = $1 AND sequence >= $2 ORDER BY sequence LIMIT 1";

/// Selects the last position before the first gap, from a position on that has to exist.
pub(super) const REACH: &str = "SELECT e.sequence FROM events AS e
    WHERE e.chain = $1 AND e.sequence >= $2
        AND EXISTS (SELECT 1 FROM events AS f WHERE f.chain = $1 AND f.sequence = $2)
        AND NOT EXISTS (SELECT 1 FROM events AS n WHERE n.chain = $1 AND n.sequence = e.sequence + 1)
    ORDER BY e.sequence LIMIT 1";

pub(super) const HEAD: &str = "SELECT sequence, document FROM events WHERE chain = $1 ORDER BY sequence DESC LIMIT 1";
