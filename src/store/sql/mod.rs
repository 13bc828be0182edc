//! What the SQL databases have in common: what their tables keep of a document, and questions as statements.
//!
//! Pure: no connection, no database. A question becomes text and values apart from each other; in the text are only names
//! that are our own. What a database says in its own way is said in `dialect`, and nowhere else.
//!
//! Both databases have the same tables: `events`, with a column for each field that is often asked for, and `objects`, the
//! references of events to saved objects. All other fields are found in the document's index (see `index`), which
//! SQLite makes when it is asked for it and PostgreSQL keeps in a column.

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
mod term_counter;
mod text;

pub(super) use aggregate::{AggregateQuery, ValueScan};
pub(super) use dialect::{Cell, Dialect, Parameter, Statement};
pub(super) use extractor::{ExtractError, FieldExtractor};
pub(super) use row::{BadDocument, EventRow, ObjectRow};
pub(super) use scan::{BatchReader, PagedScan};
pub(super) use search::Select;
pub(super) use term_counter::{TermCounter, TooManyValues};

/// The chains that there are, and what stands last in each; some look-ups for each.
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

/// What stands at the positions from $2 to $3 of a chain, at most $4 rows of them, until they come to $5 bytes.
pub(super) const RANGE: &str = "SELECT sequence, document FROM (
        SELECT sequence, document, sum(octet_length(document)) OVER (ORDER BY sequence) - octet_length(document) AS before
        FROM (SELECT sequence, document FROM events WHERE chain = $1 AND sequence BETWEEN $2 AND $3 ORDER BY sequence LIMIT $4) AS part
    ) AS counted WHERE before < $5 OR before = 0 ORDER BY sequence";

/// The most rows of one answer.
pub(super) const RANGE_ROWS: i64 = 10_000;

pub(super) const FIRST: &str =
    "SELECT chain, sequence, received FROM events WHERE chain = $1 AND sequence >= $2 ORDER BY sequence LIMIT 1";

/// The last position before the first gap, from a position of a chain on that has to be there.
pub(super) const REACH: &str = "SELECT e.sequence FROM events AS e
    WHERE e.chain = $1 AND e.sequence >= $2
        AND EXISTS (SELECT 1 FROM events AS f WHERE f.chain = $1 AND f.sequence = $2)
        AND NOT EXISTS (SELECT 1 FROM events AS n WHERE n.chain = $1 AND n.sequence = e.sequence + 1)
    ORDER BY e.sequence LIMIT 1";

pub(super) const HEAD: &str = "SELECT sequence, document FROM events WHERE chain = $1 ORDER BY sequence DESC LIMIT 1";
