//! Which fields have a column of their own, and which columns these are.

use super::form::Form;
use crate::schema::{self, Field, Kind};

/// The nested field that has a table of its own.
pub(super) const SAVED_OBJECTS: &str = "kibana.saved_objects";

/// The fields that have a column in `events`, by which they are sorted, counted and found. Also `message` has one, and
/// another one for its words.
const COLUMNS: [(&str, &str); 9] = [
    ("annals.received", "received"),
    ("annals.severity", "severity"),
    ("event.duration", "duration"),
    ("event.end", "ended"),
    ("event.outcome", "outcome"),
    ("event.provider", "provider"),
    ("event.start", "started"),
    ("log.level", "level"),
    ("message", "message"),
];

/// Those that have an index as well, for texts of any length.
const INDEXED_COLUMNS: [(&str, &str); 4] =
    [("event.action", "action"), ("event.id", "event_id"), ("user.id", "user_id"), ("user.name", "user_name")];

/// The members of saved objects, each a column of `objects`.
const MEMBERS: [(&str, &str); 6] = [
    ("kibana.saved_objects.id", "object"),
    ("kibana.saved_objects.namespace", "namespace"),
    ("kibana.saved_objects.rel", "rel"),
    ("kibana.saved_objects.space_agnostic", "space_agnostic"),
    ("kibana.saved_objects.type", "type"),
    ("kibana.saved_objects.type_id", "type_id"),
];

/// Whether this is kept in a column of events rather than in the index of the document.
pub(super) fn has_column(field: &Field, form: Form) -> bool {
    match form {
        Form::Value => {
            matches!(field.path, "@timestamp" | "event.sequence")
                || column(&COLUMNS, field).or_else(|| column(&INDEXED_COLUMNS, field)).is_some()
        }
        Form::Words => field.path == "message",
        Form::Address => false,
    }
}

/// The nested field that this path leads through.
pub(super) fn nested_around(path: &str) -> Option<&'static Field> {
    schema::FIELDS.iter().find(|field| field.kind == Kind::Nested && is_within(path, field.path))
}

pub(super) fn is_within(path: &str, nested: &str) -> bool {
    path.strip_prefix(nested).is_some_and(|rest| rest.starts_with('.'))
}

/// The column of `events` that has the values of this field.
pub(super) fn event_column(field: &Field) -> Option<&'static str> {
    column(&COLUMNS, field)
}

/// The same, if the column has an index.
pub(super) fn indexed_column(field: &Field) -> Option<&'static str> {
    column(&INDEXED_COLUMNS, field)
}

/// The column of `objects` that has this member of saved objects.
pub(super) fn object_column(field: &Field) -> Option<&'static str> {
    column(&MEMBERS, field)
}

fn column(columns: &'static [(&'static str, &'static str)], field: &Field) -> Option<&'static str> {
    columns.iter().find(|(path, _)| *path == field.path).map(|(_, column)| *column)
}
