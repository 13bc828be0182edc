//! Where the values of a field are.

use super::{
    dialect::{Dialect, quoted},
    index::{Form, entry_name},
};
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

/// Where an expression stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Over events `e`, whose time, sequence and chain are those of this alias.
    Event { alias: &'static str },
    /// Within one element `o` of this nested field.
    Element(&'static Field),
}

/// An expression for each value of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Never any.
    None,
    /// One or NULL.
    One { value: String, is_indexed: bool, is_never_null: bool },
    /// `value` in each row of `table`, which is joined to the event by `on`.
    Many { table: String, on: String, value: String },
}

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

/// What a field is counted by. Addresses are by their digits, as the same one may be written in several ways.
pub(super) fn counted_form(field: &Field) -> Form {
    if field.kind == Kind::Ip { Form::Address } else { Form::Value }
}

/// The nested field that this path leads through.
pub(super) fn nested_around(path: &str) -> Option<&'static Field> {
    schema::FIELDS.iter().find(|field| field.kind == Kind::Nested && is_within(path, field.path))
}

pub(super) fn is_within(path: &str, nested: &str) -> bool {
    path.strip_prefix(nested).is_some_and(|rest| rest.starts_with('.'))
}

impl Values {
    /// The values of an event as they are counted: also those in elements.
    pub(super) fn counted(dialect: Dialect, field: &'static Field, alias: &'static str) -> Self {
        match nested_around(field.path) {
            Some(nested) => Self::in_elements(dialect, field, nested),
            None => Self::of(dialect, field, counted_form(field), Place::Event { alias }),
        }
    }

    /// The values at a place. Elements are places of their own.
    pub(super) fn of(dialect: Dialect, field: &'static Field, form: Form, place: Place) -> Self {
        match (place, nested_around(field.path)) {
            (Place::Event { alias }, None) => Self::of_event(dialect, field, form, alias),
            (Place::Element(element), Some(nested)) if element.path == nested.path => {
                let is_indexed = matches!(field.path, "kibana.saved_objects.id" | "kibana.saved_objects.type");
                Self::One { value: in_element(dialect, field, form, nested), is_indexed, is_never_null: false }
            }
            (Place::Event { .. }, Some(_)) | (Place::Element(_), _) => Self::None,
        }
    }

    fn of_event(dialect: Dialect, field: &'static Field, form: Form, alias: &'static str) -> Self {
        match (form, field.path) {
            (Form::Value, "@timestamp") => return Self::never_null(format!("{alias}.timestamp")),
            (Form::Value, "event.sequence") => return Self::never_null(format!("{alias}.sequence")),
            (Form::Words, "message") => return Self::one("e.words".to_owned()),
            (Form::Value | Form::Address | Form::Words, _) => {}
        }
        if form == Form::Value {
            if let Some(column) = column(&INDEXED_COLUMNS, field) {
                return Self::One { value: format!("e.{column}"), is_indexed: true, is_never_null: false };
            }
            if let Some(column) = column(&COLUMNS, field) {
                return Self::one(format!("e.{column}"));
            }
        }
        let name = quoted(&entry_name(field, form));
        if field.multi || field.kind == Kind::Labels {
            let (table, value) = match dialect {
                Dialect::Sqlite => (format!("json_each(annals_values(e.document, {name})) AS v"), "v.value".to_owned()),
                Dialect::Postgres if field.kind == Kind::Labels => {
                    (format!("jsonb_each_text(e.fields -> {name}) AS v (name, value)"), typed("v.value", field, form))
                }
                Dialect::Postgres => (
                    format!("jsonb_array_elements_text(e.fields -> {name}) AS v (value)"),
                    typed("v.value", field, form),
                ),
            };
            return Self::Many { table, on: "TRUE".to_owned(), value };
        }
        Self::one(match dialect {
            Dialect::Sqlite => format!("annals_value(e.document, {name})"),
            Dialect::Postgres => typed(&format!("(e.fields ->> {name})"), field, form),
        })
    }

    fn in_elements(dialect: Dialect, field: &'static Field, nested: &'static Field) -> Self {
        let (table, on) = elements(dialect, nested);
        Self::Many { table, on, value: in_element(dialect, field, counted_form(field), nested) }
    }

    /// The label that a parameter names.
    pub(super) fn label(dialect: Dialect, name: &str) -> Self {
        Self::one(match dialect {
            Dialect::Sqlite => format!("annals_label(e.document, {name})"),
            Dialect::Postgres => format!("(e.fields -> 'labels' ->> {name}) COLLATE \"C\""),
        })
    }

    fn one(value: String) -> Self {
        Self::One { value, is_indexed: false, is_never_null: false }
    }

    fn never_null(value: String) -> Self {
        Self::One { value, is_indexed: false, is_never_null: true }
    }
}

/// The elements of a nested field: a table `o`, and how it is joined to the event.
pub(super) fn elements(dialect: Dialect, nested: &Field) -> (String, String) {
    if nested.path == SAVED_OBJECTS {
        return ("objects AS o".to_owned(), "o.event = e.id".to_owned());
    }
    let name = quoted(nested.path);
    let table = match dialect {
        Dialect::Sqlite => format!("json_each(annals_elements(e.document, {name})) AS o"),
        Dialect::Postgres => format!("jsonb_array_elements(e.fields -> {name}) AS o (value)"),
    };
    (table, "TRUE".to_owned())
}

fn in_element(dialect: Dialect, field: &Field, form: Form, nested: &Field) -> String {
    if nested.path == SAVED_OBJECTS {
        // All members are keywords or booleans, which have but one form.
        return column(&MEMBERS, field).map_or_else(|| "NULL".to_owned(), |column| format!("o.{column}"));
    }
    let name = quoted(&entry_name(field, form));
    match dialect {
        Dialect::Sqlite => format!("(o.value ->> {})", quoted(&format!("$.\"{}\"", entry_name(field, form)))),
        Dialect::Postgres => typed(&format!("(o.value ->> {name})"), field, form),
    }
}

/// A text of the index as what it stands for.
fn typed(text: &str, field: &Field, form: Form) -> String {
    match (form, field.kind) {
        (Form::Value, Kind::Date | Kind::Long | Kind::Long64 | Kind::Boolean) => format!("{text}::bigint"),
        (Form::Value, Kind::Float) => format!("{text}::float8"),
        (
            Form::Value,
            Kind::Keyword | Kind::Text | Kind::Ip | Kind::Version | Kind::Labels | Kind::Json | Kind::Nested,
        )
        | (Form::Address | Form::Words, _) => format!("{text} COLLATE \"C\""),
    }
}

fn column(columns: &'static [(&'static str, &'static str)], field: &Field) -> Option<&'static str> {
    columns.iter().find(|(path, _)| *path == field.path).map(|(_, column)| *column)
}
