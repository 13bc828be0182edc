//! Functions that the SQL statements call, for operations that SQL lacks. All are pure.

use rusqlite::{
    Connection,
    functions::{Context, FunctionFlags},
    types::{Value, ValueRef},
};

use crate::{
    query::Pattern,
    store::sql::{Cell, ExtractError, FieldExtractor},
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Registers the functions with a connection.
pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    // Returns the value of an entry of the document's index, or NULL.
    connection.create_scalar_function("annals_value", 2, flags, |context| {
        let entry = context.get_or_create_aux(1, entry)?;
        let found = document(context)?.map(|document| entry.value(document)).transpose().map_err(failed)?;
        Ok(found.flatten().map_or(Value::Null, value))
    })?;
    // Returns all values of an entry as a JSON array.
    connection.create_scalar_function("annals_values", 2, flags, |context| {
        let entry = context.get_or_create_aux(1, entry)?;
        let found = document(context)?.map(|document| entry.values(document)).transpose().map_err(failed)?;
        Ok(found.map(|values| values.to_string()))
    })?;
    // Returns the elements of a nested field as a JSON array of their index entries.
    connection.create_scalar_function("annals_elements", 2, flags, |context| {
        let entry = context.get_or_create_aux(1, entry)?;
        let found = document(context)?.map(|document| entry.elements(document)).transpose().map_err(failed)?;
        Ok(found.map(|elements| elements.to_string()))
    })?;
    connection.create_scalar_function("annals_label", 2, flags, |context| {
        let (labels, name) = &*context.get_or_create_aux(1, label)?;
        let found = document(context)?.map(|document| labels.label(document, name)).transpose().map_err(failed)?;
        Ok(found.flatten().map_or(Value::Null, value))
    })?;
    connection.create_scalar_function("annals_like", 2, flags, |context| {
        let pattern = context.get_or_create_aux(1, pattern)?;
        Ok(text(context)?.map(|text| pattern.matches(text)))
    })?;
    // Whether one of these words, separated by blanks, matches the pattern.
    connection.create_scalar_function("annals_word_like", 2, flags, |context| {
        let pattern = context.get_or_create_aux(1, pattern)?;
        let mut words = text(context)?.map(|text| text.split(' ').filter(|word| !word.is_empty()));
        Ok(words.as_mut().map(|words| words.any(|word| pattern.matches(word))))
    })
}

/// Returns `None` for a row that an outer join left empty.
fn document<'c>(context: &'c Context<'_>) -> rusqlite::Result<Option<&'c [u8]>> {
    Ok(context.get_raw(0).as_bytes_or_null()?)
}

pub(super) fn failed(error: ExtractError) -> rusqlite::Error {
    rusqlite::Error::UserFunctionError(error.into())
}

fn text<'c>(context: &'c Context<'_>) -> rusqlite::Result<Option<&'c str>> {
    Ok(context.get_raw(0).as_str_or_null()?)
}

fn entry(name: ValueRef<'_>) -> Result<FieldExtractor, Error> {
    let name = name.as_str()?;
    FieldExtractor::named(name).ok_or_else(|| format!("no field has an entry {name:?}").into())
}

fn label(name: ValueRef<'_>) -> Result<(FieldExtractor, String), Error> {
    let labels = FieldExtractor::named("labels").ok_or("there are no labels")?;
    Ok((labels, name.as_str()?.to_owned()))
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
