//! SQL expressions for the values of a field.

use super::{
    columns::{SAVED_OBJECTS, event_column, indexed_column, object_column},
    dialect::{Dialect, StatementBuilder, quoted},
    form::{Form, counted_form},
    index::entry_name,
};
use crate::{
    query::{Label, Subject},
    schema::{Field, Kind, nested_around},
};

/// The row on which an expression is evaluated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Context {
    /// An event `e`; its time, sequence and chain are columns of this alias.
    Event { alias: &'static str },
    /// An element `o` of this nested field.
    Element(&'static Field),
}

/// An expression for the values of a field.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ValueExpression {
    /// No values.
    Absent,
    /// One value or NULL.
    Single { value: String, is_indexed: bool, is_never_null: bool },
    /// `value` in each row of `table`, joined to the event by `on`.
    Multiple { table: String, on: String, value: String },
}

impl ValueExpression {
    /// Returns the values of an event to count, including those in elements.
    pub(super) fn counted(subject: &Subject, alias: &'static str, builder: &mut StatementBuilder) -> Self {
        match subject {
            Subject::Field(field) => match nested_around(field.path) {
                Some(nested) => Self::in_elements(builder.dialect, field, nested),
                None => Self::sorted(subject, alias, builder),
            },
            Subject::Label(label) => Self::label(label, builder),
        }
    }

    /// Returns the value of an event to sort by.
    pub(super) fn sorted(subject: &Subject, alias: &'static str, builder: &mut StatementBuilder) -> Self {
        match subject {
            Subject::Field(field) => {
                Self::for_field(builder.dialect, field, counted_form(field), Context::Event { alias })
            }
            Subject::Label(label) => Self::label(label, builder),
        }
    }

    /// Returns the values in a context. Values in elements are not visible outside of them.
    pub(super) fn for_field(dialect: Dialect, field: &'static Field, form: Form, context: Context) -> Self {
        match (context, nested_around(field.path)) {
            (Context::Event { alias }, None) => Self::for_event(dialect, field, form, alias),
            (Context::Element(element), Some(nested)) if element.path == nested.path => {
                if field.has_several() {
                    return Self::several_in_element(dialect, field, form);
                }
                let is_indexed = matches!(field.path, "kibana.saved_objects.id" | "kibana.saved_objects.type");
                Self::Single { value: in_element(dialect, field, form, nested), is_indexed, is_never_null: false }
            }
            (Context::Event { .. }, Some(_)) | (Context::Element(_), _) => Self::Absent,
        }
    }

    fn for_event(dialect: Dialect, field: &'static Field, form: Form, alias: &'static str) -> Self {
        match (form, field.path) {
            (Form::Value, "@timestamp") => return Self::never_null(format!("{alias}.timestamp")),
            (Form::Value, "annals.sequence") => return Self::never_null(format!("{alias}.sequence")),
            (Form::Words, "message") => return Self::single("e.words".to_owned()),
            (Form::Value | Form::Address | Form::Words, _) => {}
        }
        if form == Form::Value {
            if let Some(column) = indexed_column(field) {
                return Self::Single { value: format!("e.{column}"), is_indexed: true, is_never_null: false };
            }
            if let Some(column) = event_column(field) {
                return Self::single(format!("e.{column}"));
            }
        }
        let name = quoted(&entry_name(field, form));
        if field.has_several() {
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
            return Self::Multiple { table, on: "TRUE".to_owned(), value };
        }
        Self::single(match dialect {
            Dialect::Sqlite => format!("annals_value(e.document, {name})"),
            Dialect::Postgres => typed(&format!("(e.fields ->> {name})"), field, form),
        })
    }

    /// Returns the values of an element `o` that may have several.
    fn several_in_element(dialect: Dialect, field: &'static Field, form: Form) -> Self {
        let name = entry_name(field, form);
        let (table, value) = match dialect {
            Dialect::Sqlite => {
                (format!("json_each(o.value, {}) AS v", quoted(&format!("$.\"{name}\""))), "v.value".to_owned())
            }
            Dialect::Postgres => (
                format!("jsonb_array_elements_text(o.value -> {}) AS v (value)", quoted(&name)),
                typed("v.value", field, form),
            ),
        };
        Self::Multiple { table, on: "TRUE".to_owned(), value }
    }

    /// Returns the values in all elements.
    fn in_elements(dialect: Dialect, field: &'static Field, nested: &'static Field) -> Self {
        let form = counted_form(field);
        if !field.has_several() {
            let (table, on) = elements(dialect, nested);
            return Self::Multiple { table, on, value: in_element(dialect, field, form, nested) };
        }
        let name = entry_name(field, form);
        let (table, value) = match dialect {
            Dialect::Sqlite => {
                (format!("json_each(annals_values(e.document, {})) AS v", quoted(&name)), "v.value".to_owned())
            }
            Dialect::Postgres => {
                let path = quoted(&format!("$[*].\"{name}\"[*]"));
                let values = format!("jsonb_path_query(e.fields -> {}, {path}) AS v (value)", quoted(nested.path));
                (values, typed("(v.value #>> '{}')", field, form))
            }
        };
        Self::Multiple { table, on: "TRUE".to_owned(), value }
    }

    /// Returns the label of an event. Its name is a parameter of the statement.
    pub(super) fn label(label: &Label, builder: &mut StatementBuilder) -> Self {
        let name = builder.text(label.name());
        Self::single(match builder.dialect {
            Dialect::Sqlite => format!("annals_label(e.document, {name})"),
            Dialect::Postgres => format!("(e.fields -> 'labels' ->> {name}) COLLATE \"C\""),
        })
    }

    fn single(value: String) -> Self {
        Self::Single { value, is_indexed: false, is_never_null: false }
    }

    fn never_null(value: String) -> Self {
        Self::Single { value, is_indexed: false, is_never_null: true }
    }
}

/// Returns the elements of a nested field: a table `o`, and the condition that joins it to the event.
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
        // All members are keywords or booleans, which have only one form.
        return object_column(field).map_or_else(|| "NULL".to_owned(), |column| format!("o.{column}"));
    }
    let name = quoted(&entry_name(field, form));
    match dialect {
        Dialect::Sqlite => format!("(o.value ->> {})", quoted(&format!("$.\"{}\"", entry_name(field, form)))),
        Dialect::Postgres => typed(&format!("(o.value ->> {name})"), field, form),
    }
}

/// Casts a text of the index to its SQL type.
fn typed(text: &str, field: &Field, form: Form) -> String {
    match (form, field.kind) {
        (Form::Value, Kind::Date | Kind::Long | Kind::Long64 | Kind::Boolean) => format!("{text}::bigint"),
        (Form::Value, Kind::Float) => format!("{text}::float8"),
        (
            Form::Value,
            Kind::Keyword
            | Kind::Text
            | Kind::DateRange
            | Kind::Ip
            | Kind::GeoPoint
            | Kind::Version
            | Kind::Labels
            | Kind::Flattened
            | Kind::Json
            | Kind::Nested
            | Kind::Objects,
        )
        | (Form::Address | Form::Words, _) => format!("{text} COLLATE \"C\""),
    }
}
