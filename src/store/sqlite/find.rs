//! Queries in SQL.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, named_params};

use crate::{
    event::{ChainId, ChainPosition, Sequence},
    integrity::seal_of,
    query::{Order, Query, Scope, Sort},
    schema::{Field, Kind},
    store::{Head, Page, StoreError},
};

/// A query as statements and the values that go into them. Nothing of the query is in the text of the statements but the
/// paths of the fields that it sorts by, which are our own.
pub(super) struct Search {
    count: &'static str,
    /// Gives the ids of the page's events, in order.
    page: String,
    namespace: String,
    object_type: String,
    /// The id, if it is one, and else a JSON array of them.
    objects: String,
    start: i64,
    end: i64,
    limit: i64,
    offset: i64,
}

const COUNT_OF_ONE: &str = "SELECT count(*) FROM objects
    WHERE namespace = :namespace AND type = :type AND object = :objects AND timestamp BETWEEN :start AND :end";

const COUNT_OF_MANY: &str = "SELECT count(DISTINCT event) FROM objects
    WHERE namespace = :namespace AND type = :type AND object IN (SELECT value FROM json_each(:objects))
        AND timestamp BETWEEN :start AND :end";

/// Read in the order of the primary key, so that a page in the usual order costs no more than its rows. There is an event
/// for each object: the join is an outer one because SQLite leaves that out where nothing is sorted by the event.
const MATCHES_OF_ONE: &str = "SELECT m.event FROM objects AS m LEFT JOIN events AS e ON e.id = m.event
    WHERE m.namespace = :namespace AND m.type = :type AND m.object = :objects
        AND m.timestamp BETWEEN :start AND :end";

/// One event may refer to several of the objects.
const MATCHES_OF_MANY: &str = "SELECT m.event FROM (
        SELECT DISTINCT event, timestamp, sequence, chain FROM objects
        WHERE namespace = :namespace AND type = :type AND object IN (SELECT value FROM json_each(:objects))
            AND timestamp BETWEEN :start AND :end
    ) AS m LEFT JOIN events AS e ON e.id = m.event";

impl Search {
    pub(super) fn of(query: &Query) -> Result<Self, StoreError> {
        let Scope::Objects(scope) = &query.scope else {
            return Err(StoreError::Refused { reason: "not yet".to_owned() });
        };
        let (count, matches, objects) = match scope.ids.as_slice() {
            [id] => (COUNT_OF_ONE, MATCHES_OF_ONE, id.clone()),
            ids => (COUNT_OF_MANY, MATCHES_OF_MANY, serde_json::Value::from(ids).to_string()),
        };
        Ok(Self {
            count,
            page: format!("{matches} ORDER BY {} LIMIT :limit OFFSET :offset", order_by(&query.sort)?),
            namespace: scope.space.as_ref().map_or_else(String::new, |space| space.as_str().to_owned()),
            object_type: scope.object_type.clone(),
            objects,
            start: query.start.map_or(i64::MIN, |start| start.0),
            end: query.end.map_or(i64::MAX, |end| end.0),
            limit: i64::try_from(query.limit).unwrap_or(i64::MAX),
            offset: i64::try_from(query.offset).unwrap_or(i64::MAX),
        })
    }

    /// All statements see the same state, so that the page and the total agree.
    pub(super) fn run(&self, connection: &mut Connection) -> rusqlite::Result<Page> {
        let transaction = connection.transaction()?;
        let total: i64 = transaction.prepare_cached(self.count)?.query_row(
            named_params! {
                ":namespace": self.namespace,
                ":type": self.object_type,
                ":objects": self.objects,
                ":start": self.start,
                ":end": self.end,
            },
            |row| row.get(0),
        )?;
        let documents = if self.offset < total { self.documents(&transaction)? } else { Vec::new() };
        Ok(Page { total: total.unsigned_abs(), documents })
    }

    fn documents(&self, connection: &Connection) -> rusqlite::Result<Vec<Bytes>> {
        let mut page = connection.prepare_cached(&self.page)?;
        // The documents are fetched by themselves: whatever is sorted should be small.
        let mut document = connection.prepare_cached("SELECT document FROM events WHERE id = ?1")?;
        page.query_and_then(
            named_params! {
                ":namespace": self.namespace,
                ":type": self.object_type,
                ":objects": self.objects,
                ":start": self.start,
                ":end": self.end,
                ":limit": self.limit,
                ":offset": self.offset,
            },
            |row| {
                let event: i64 = row.get(0)?;
                document.query_row([event], |row| Ok(Bytes::from(row.get::<_, Vec<u8>>(0)?)))
            },
        )?
        .collect()
    }
}

fn order_by(sort: &[Sort]) -> Result<String, StoreError> {
    let mut keys = sort.iter().map(sort_key).collect::<Result<Vec<_>, _>>()?;
    let direction = direction(sort.first().map_or(Order::Ascending, |first| first.order));
    keys.push(format!("m.sequence {direction}, m.chain {direction}"));
    Ok(keys.join(", "))
}

fn direction(order: Order) -> &'static str {
    match order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    }
}

fn sort_key(sort: &Sort) -> Result<String, StoreError> {
    let direction = direction(sort.order);
    let column = match sort.field().path {
        // Never NULL, and in the key by which the matches are read.
        "@timestamp" => return Ok(format!("m.timestamp {direction}")),
        "event.sequence" => return Ok(format!("m.sequence {direction}")),
        "annals.received" => "e.received",
        "event.start" => "e.started",
        "event.end" => "e.ended",
        "event.duration" => "e.duration",
        "event.provider" => "e.provider",
        "event.action" => "e.action",
        "message" => "e.message",
        _ => return Ok(format!("{} {direction} NULLS LAST", extracted(sort)?)),
    };
    Ok(format!("{column} {direction} NULLS LAST"))
}

/// A field that has no column: taken from the document, and of several values the one that comes first in this order.
fn extracted(sort: &Sort) -> Result<String, StoreError> {
    let Field { path, kind, .. } = sort.field();
    let value = match kind {
        Kind::Keyword | Kind::Long | Kind::Float | Kind::Boolean => "value",
        Kind::Long64 => "CAST(value AS INTEGER)",
        // All dates have one form, which sorts as text does: the milliseconds end at the 23rd place.
        Kind::Date => "substr(value, 1, 23)",
        Kind::Text | Kind::Ip | Kind::Version | Kind::Labels | Kind::Json | Kind::Nested => {
            return Err(StoreError::Refused { reason: format!("events cannot be sorted by {path}") });
        }
    };
    let first = match sort.order {
        Order::Ascending => "min",
        Order::Descending => "max",
    };
    let path = path.replace('.', "\".\"");
    Ok(format!("(SELECT {first}({value}) FROM json_each(CAST(e.document AS TEXT), '$.\"{path}\"'))"))
}

/// The end of a chain.
pub(super) fn head(connection: &mut Connection, chain: ChainId) -> rusqlite::Result<Option<Head>> {
    connection
        .prepare_cached("SELECT sequence, document FROM events WHERE chain = ?1 ORDER BY sequence DESC LIMIT 1")?
        .query_row([chain.as_bytes()], |row| {
            let sequence: i64 = row.get(0)?;
            let document: Vec<u8> = row.get(1)?;
            let position = ChainPosition { chain, sequence: Sequence(sequence.unsigned_abs()) };
            Ok(Head { position, seal: seal_of(&document) })
        })
        .optional()
}
