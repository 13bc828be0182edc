//! The columns of both tables, each with its value in the rows of a document. The stores write rows by these lists, and
//! check rows by them, so that no column can be written and not checked.

use super::row::{EventRow, ObjectRow};
use crate::{
    event::ChainPosition,
    store::{FiledPart, Misfiled},
};

pub(in crate::store) struct Column<R> {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) value: ColumnValue<R>,
}

/// How to get the value from a row.
pub(in crate::store) enum ColumnValue<R> {
    Integer(fn(&R) -> Option<i64>),
    Text(fn(&R) -> Option<&str>),
    Bytes(fn(&R) -> &[u8]),
}

/// The columns of `events`, except for the row's id and the document, and for PostgreSQL's index of the document.
pub(in crate::store) const EVENT_COLUMNS: [Column<EventRow>; 18] = [
    bytes("chain", |row| &row.chain),
    integer("sequence", |row| Some(row.sequence)),
    integer("received", |row| Some(row.received)),
    integer("timestamp", |row| row.timestamp),
    integer("started", |row| row.started),
    integer("ended", |row| row.ended),
    integer("duration", |row| row.duration),
    text("event_id", |row| row.event_id.as_deref()),
    text("provider", |row| row.provider.as_deref()),
    text("action", |row| row.action.as_deref()),
    text("outcome", |row| row.outcome.as_deref()),
    text("severity", |row| row.severity.as_deref()),
    text("level", |row| row.level.as_deref()),
    text("user_id", |row| row.user_id.as_deref()),
    text("user_name", |row| row.user_name.as_deref()),
    text("spaces", |row| row.spaces.as_deref()),
    text("message", |row| row.message.as_deref()),
    text("words", |row| row.words.as_deref()),
];

/// The columns of `objects`, except for the id of the event's row.
pub(in crate::store) const OBJECT_COLUMNS: [Column<ObjectRow>; 12] = [
    integer("ordinal", |row| Some(row.ordinal)),
    text("found_in", |row| row.found_in.as_deref()),
    text("rel", |row| row.rel.as_deref()),
    text("namespace", |row| row.namespace.as_deref()),
    text("type", |row| row.object_type.as_deref()),
    text("object", |row| row.id.as_deref()),
    text("name", |row| row.name.as_deref()),
    text("type_id", |row| row.type_id.as_deref()),
    integer("space_agnostic", |row| row.space_agnostic),
    integer("timestamp", |row| row.event.timestamp),
    integer("sequence", |row| Some(row.event.sequence)),
    bytes("chain", |row| &row.event.chain),
];

const fn integer<R>(name: &'static str, value: fn(&R) -> Option<i64>) -> Column<R> {
    Column { name, value: ColumnValue::Integer(value) }
}

const fn text<R>(name: &'static str, value: fn(&R) -> Option<&str>) -> Column<R> {
    Column { name, value: ColumnValue::Text(value) }
}

const fn bytes<R>(name: &'static str, value: fn(&R) -> &[u8]) -> Column<R> {
    Column { name, value: ColumnValue::Bytes(value) }
}

/// Returns what `write` makes of each column's name and its number, from 1, separated by commas.
pub(in crate::store) fn column_list<R>(columns: &[Column<R>], write: impl Fn(&str, usize) -> String) -> String {
    columns.iter().zip(1..).map(|(column, number)| write(column.name, number)).collect::<Vec<_>>().join(", ")
}

/// Selects, by chain, the first position and the number of the rows of `objects` that belong to no event, among those
/// of the events' rows $1 to $2.
pub(in crate::store) const STRAY_OBJECTS: &str = "SELECT chain, min(sequence), count(*) FROM objects AS o
    WHERE event >= $1 AND event <= $2 AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.id = o.event) GROUP BY chain";

/// How a row differs from its document.
pub(in crate::store) enum Filed<'c> {
    /// The document is not an event, so nothing can be compared with it.
    Unreadable,
    EventColumn(&'c str),
    ObjectColumn(&'c str),
    MissingObject,
    ExtraObject,
    StrayObjects(i64),
    MissingWord,
}

impl FiledPart {
    pub(in crate::store) fn report(&mut self, position: ChainPosition, filed: Filed<'_>) {
        let column = match filed {
            Filed::Unreadable => "events.document: not an event".to_owned(),
            Filed::EventColumn(column) => format!("events.{column}"),
            Filed::ObjectColumn(column) => format!("objects.{column}"),
            Filed::MissingObject => "objects: a row is missing".to_owned(),
            Filed::ExtraObject => "objects: a row too many".to_owned(),
            Filed::StrayObjects(rows) => format!("objects: {rows} without an event"),
            Filed::MissingWord => "message_words: a word is missing".to_owned(),
        };
        self.misfiled.push(Misfiled { position, column });
    }
}
