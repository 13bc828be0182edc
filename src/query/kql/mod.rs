//! Parses KQL, the filter language of Kibana, into a [`Filter`]. docs/kql.md is its user documentation.
//!
//! Parsing knows nothing of fields. Resolution then maps names to fields, and values to the types of those fields. Both
//! report errors with their position. Time and memory grow with the length of the text and the number of clauses, and
//! both are limited.

mod error;
mod hints;
mod names;
mod parser;
mod resolve;
mod syntax;
#[cfg(test)]
mod tests;
mod values;

pub use error::{KqlError, Position};

use super::filter::Filter;
use crate::{
    event::UnixMillis,
    schema::{self, Field, Kind, Search},
};
use error::SpannedError;
use syntax::Span;

/// Maximum length of a filter, in bytes.
pub const MAX_BYTES: usize = 16 * 1024;
/// Maximum nesting depth of parentheses and braces.
pub const MAX_NESTING: usize = 64;
/// Maximum number of tests of values and words in a filter. A value that is tested in several fields counts once for
/// each. Every store must take what is accepted here, and OpenSearch, whose own limit is 1,024, counts tests of
/// numbers, dates and addresses twice.
pub const MAX_CLAUSES: usize = 500;

/// Parses a filter. Blank text matches everything.
pub fn parse(text: &str, now: UnixMillis) -> Result<Filter, KqlError> {
    read(text, now).map_err(|error| error.locate(text))
}

fn read(text: &str, now: UnixMillis) -> Result<Filter, SpannedError> {
    if text.len() > MAX_BYTES {
        let message = format!("The filter has {} bytes, but may have at most {MAX_BYTES}", text.len());
        return Err(SpannedError::new(Span { start: MAX_BYTES, end: text.len() }, message));
    }
    match parser::parse(text)? {
        Some(expression) => resolve::filter(&expression, now),
        None => Ok(Filter::EVERYTHING),
    }
}

/// Quotes a value so that a filter matches exactly this text.
pub fn quote(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for character in value.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns a condition that the field's value contains this text, taken literally and case-sensitively.
pub fn containing(field: &str, text: &str) -> String {
    let is_text =
        |field: &&Field| matches!(field.kind, Kind::Text | Kind::Json) && field.search == Search::ValueAndWords;
    let of_value = if schema::field(field).filter(is_text).is_some() { ".keyword" } else { "" };
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if syntax::is_special(character) {
            escaped.extend(['\\', character]);
        } else if character.is_whitespace() {
            // A blank before a keyword would end the value.
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    format!("{field}{of_value}:*{escaped}*")
}
