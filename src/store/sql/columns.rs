//! The fields that have columns of their own.

use super::form::Form;
use crate::schema::Field;

/// The nested field with its own table.
pub(super) const SAVED_OBJECTS: &str = "kibana.saved_objects";

/// The fields with a column in `events`, for sorting, counting and finding. `message` has a column too, and another one
/// for its words.
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

/// The fields whose column has an index too, for texts of any length.
const INDEXED_COLUMNS: [(&str, &str); 4] =
    [("event.action", "action"), ("event.id", "event_id"), ("user.id", "user_id"), ("user.name", "user_name")];

/// The members of saved objects, each with a column in `objects`.
const MEMBERS: [(&str, &str); 7] = [
    ("kibana.saved_objects.id", "object"),
    ("kibana.saved_objects.name", "name"),
    ("kibana.saved_objects.namespace", "namespace"),
    ("kibana.saved_objects.rel", "rel"),
    ("kibana.saved_objects.space_agnostic", "space_agnostic"),
    ("kibana.saved_objects.type", "type"),
    ("kibana.saved_objects.type_id", "type_id"),
];

/// Whether a field's form is in a column of `events` rather than in the document's index.
pub(super) fn has_column(field: &Field, form: Form) -> bool {
    match form {
        Form::Value => {
            matches!(field.path, "@timestamp" | "annals.sequence")
                || column(&COLUMNS, field).or_else(|| column(&INDEXED_COLUMNS, field)).is_some()
        }
        Form::Words => field.path == "message",
        Form::Address => false,
    }
}

/// Returns the column of `events` with the values of this field.
pub(super) fn event_column(field: &Field) -> Option<&'static str> {
    column(&COLUMNS, field)
}

/// Returns that column if it has an index.
pub(super) fn indexed_column(field: &Field) -> Option<&'static str> {
    column(&INDEXED_COLUMNS, field)
}

/// Returns the column of `objects` with this member of saved objects.
pub(super) fn object_column(field: &Field) -> Option<&'static str> {
    column(&MEMBERS, field)
}

fn column(columns: &'static [(&'static str, &'static str)], field: &Field) -> Option<&'static str> {
    columns.iter().find(|(path, _)| *path == field.path).map(|(_, column)| *column)
}
