//! The filter language of Kibana, from text to [`Filter`]. docs/kql.md is for those who write in it.
//!
//! A text is parsed into syntax without any knowledge of fields, and then resolved: names become fields, values become what
//! their fields hold. Both tell what they do not take, with the place. Work and memory grow with the length of the text and
//! the number of clauses, and both are bounded.

mod error;
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
use error::Complaint;
use syntax::Span;

/// The longest text, in bytes.
pub const LONGEST_TEXT: usize = 16 * 1024;
/// The deepest nesting of parentheses and braces.
pub const MOST_NESTED: usize = 64;
/// The most tests of values and words that a text may become. One value for several fields counts for each. A store must take
/// whatever is taken here, and OpenSearch, whose own limit is 1,024, counts some twice: those on numbers, dates and addresses.
pub const MOST_CLAUSES: usize = 500;

/// The filter that a text stands for. A blank text finds everything.
pub fn parse(text: &str, now: UnixMillis) -> Result<Filter, KqlError> {
    read(text, now).map_err(|complaint| complaint.about(text))
}

fn read(text: &str, now: UnixMillis) -> Result<Filter, Complaint> {
    if text.len() > LONGEST_TEXT {
        let message = format!("The filter has {} bytes, and {LONGEST_TEXT} are the most", text.len());
        return Err(Complaint::new(Span { start: LONGEST_TEXT, end: text.len() }, message));
    }
    match parser::parse(text)? {
        Some(expression) => resolve::filter(&expression, now),
        None => Ok(Filter::EVERYTHING),
    }
}

/// A value as it is written in a filter to mean exactly this text.
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

/// The condition that the field's value has this text somewhere in it, each character standing for itself, by case.
pub fn containing(field: &str, text: &str) -> String {
    let is_text =
        |field: &&Field| matches!(field.kind, Kind::Text | Kind::Json) && field.search == Search::ValueAndWords;
    let of_value = if schema::field(field).filter(is_text).is_some() { ".keyword" } else { "" };
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if parser::is_special(character) {
            escaped.extend(['\\', character]);
        } else if character.is_whitespace() {
            // Blanks would end before a keyword.
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            escaped.push(character);
        }
    }
    format!("{field}{of_value}:*{escaped}*")
}
