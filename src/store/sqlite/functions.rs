//! What SQL cannot say by itself: functions that statements call. All are pure.

use rusqlite::{
    Connection,
    functions::{Context, FunctionFlags},
    types::{Value, ValueRef},
};
use serde_json::Value as Json;

use crate::{
    query::Pattern,
    schema::Field,
    store::sql::{
        Cell,
        index::{self, Form},
        member_only,
    },
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Makes them known to a connection.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    // The value of an entry of a document's index, if it has one.
    connection.create_scalar_function("annals_value", 2, flags, |context| {
        let values = entries(context)?;
        Ok(values.into_iter().next().map_or(Value::Null, value))
    })?;
    // All values of an entry, as a JSON array.
    connection.create_scalar_function("annals_values", 2, flags, |context| {
        Ok(entries(context)?.into_iter().map(index::json).collect::<Json>().to_string())
    })?;
    // The elements of a nested field, as a JSON array of their indexes.
    connection.create_scalar_function("annals_elements", 2, flags, |context| {
        let (field, _) = *context.get_or_create_aux(1, entry)?;
        Ok(index::elements(&document(context, field.path)?, field).to_string())
    })?;
    connection.create_scalar_function("annals_label", 2, flags, |context| {
        let name: String = context.get(1)?;
        Ok(index::label(&document(context, "labels")?, &name).map_or(Value::Null, value))
    })?;
    connection.create_scalar_function("annals_like", 2, flags, |context| {
        let pattern = context.get_or_create_aux(1, pattern)?;
        Ok(text(context)?.map(|text| pattern.matches(text)))
    })?;
    // Whether one of the words with blanks between them looks like this.
    connection.create_scalar_function("annals_word_like", 2, flags, |context| {
        let pattern = context.get_or_create_aux(1, pattern)?;
        let mut words = text(context)?.map(|text| text.split(' ').filter(|word| !word.is_empty()));
        Ok(words.as_mut().map(|words| words.any(|word| pattern.matches(word))))
    })
}

fn entries(context: &Context<'_>) -> rusqlite::Result<Vec<Cell>> {
    let (field, form) = *context.get_or_create_aux(1, entry)?;
    Ok(index::values(&document(context, field.path)?, field, form))
}

/// What the document has where the path begins; to read all of it would take several times as long.
fn document(context: &Context<'_>, path: &str) -> rusqlite::Result<Json> {
    // A row that an outer join left empty has no document.
    let bytes = context.get_raw(0).as_bytes_or_null()?.unwrap_or(b"null");
    member_only(bytes, path).map_err(|error| rusqlite::Error::UserFunctionError(error.into()))
}

fn text<'c>(context: &'c Context<'_>) -> rusqlite::Result<Option<&'c str>> {
    Ok(context.get_raw(0).as_str_or_null()?)
}

fn entry(name: ValueRef<'_>) -> Result<(&'static Field, Form), Error> {
    let name = name.as_str()?;
    index::entry(name).ok_or_else(|| format!("no field has an entry {name:?}").into())
}

fn pattern(pieces: ValueRef<'_>) -> Result<Pattern, Error> {
    let pieces: Vec<String> = serde_json::from_str(pieces.as_str()?)?;
    Ok(Pattern::new(pieces))
}

fn value(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Integer(integer) => integer.into(),
        Cell::Number(number) => number.into(),
        Cell::Text(text) => text.into(),
    }
}
