//! Filters as conditions.
//!
//! A condition may be NULL where a value is missing; only what negates it has to tell that from false.

use std::ops::Bound as Limit;

use super::{
    columns::SAVED_OBJECTS,
    dialect::{Bound, Dialect, Terms, Values as Bindings},
    fields::{Place, Values, elements},
    form::{Form, hexadecimal},
    text::kept,
};
use crate::{
    event::ChainId,
    query::{
        Pattern,
        filter::{Filter, Subject, Test, Value},
    },
    schema::{Field, Kind, Search},
};

const TRUE: &str = "TRUE";
const FALSE: &str = "FALSE";

/// UTF-16 units of the longest word that there is.
const LONGEST_WORD: usize = 255;

/// That an event, or an element of it, matches.
pub(super) fn condition(filter: &Filter, place: Place, values: &mut Bindings) -> String {
    match filter {
        Filter::All(parts) => joined(parts, " AND ", TRUE, place, values),
        Filter::Any(parts) => joined(parts, " OR ", FALSE, place, values),
        Filter::Not(inner) => format!("NOT (({}) IS TRUE)", condition(inner, place, values)),
        Filter::Element(nested, inner) => match place {
            Place::Event { .. } => in_some_element(nested, inner, values),
            Place::Element(_) => FALSE.to_owned(),
        },
        Filter::Value(subject, test) => of_subject(subject, test, place, values),
    }
}

fn joined(parts: &[Filter], operator: &str, of_none: &str, place: Place, values: &mut Bindings) -> String {
    let parts: Vec<_> = parts.iter().map(|part| condition(part, place, values)).collect();
    match parts.as_slice() {
        [] => of_none.to_owned(),
        parts => format!("({})", parts.join(operator)),
    }
}

fn in_some_element(nested: &'static Field, inner: &Filter, values: &mut Bindings) -> String {
    let dialect = values.dialect;
    let (table, on) = elements(dialect, nested);
    let condition = condition(inner, Place::Element(nested), values);
    // SQLite asks each event for its elements unless it is told to begin with the elements; PostgreSQL decides by itself.
    if dialect == Dialect::Sqlite && nested.path == SAVED_OBJECTS && names_objects(inner) {
        return format!("e.id IN (SELECT o.event FROM {table} WHERE {condition})");
    }
    format!("EXISTS (SELECT 1 FROM {table} WHERE {on} AND {condition})")
}

/// Whether the condition is one on few objects, which have an index.
fn names_objects(filter: &Filter) -> bool {
    match filter {
        Filter::All(parts) => parts.iter().any(names_objects),
        Filter::Value(Subject::Field(field), Test::OneOf(_)) => field.path == "kibana.saved_objects.id",
        Filter::Any(_) | Filter::Not(_) | Filter::Element(..) | Filter::Value(..) => false,
    }
}

fn of_subject(subject: &Subject, test: &Test, place: Place, values: &mut Bindings) -> String {
    if let (Subject::Field(field), Test::OneOf(wanted), Place::Event { alias }) = (subject, test, place)
        && field.path == "annals.chain"
    {
        return of_chains(wanted, alias, values);
    }
    let Some(field) = subject.field() else { return FALSE.to_owned() };
    let found = match (subject, place) {
        (Subject::Field(field), _) => Values::of(values.dialect, field, form(field, test), place),
        (Subject::Label(name), Place::Event { .. }) => {
            let name = values.text(name);
            Values::label(values.dialect, &name)
        }
        (Subject::Label(_), Place::Element(_)) => Values::None,
    };
    match found {
        Values::None => FALSE.to_owned(),
        Values::One { value, is_indexed, .. } => {
            let passes = passes(&value, is_indexed, test, values);
            let looked_up = if field.path == "message" { look_up(test, values) } else { None };
            match looked_up {
                Some(found) => format!("({found} AND {passes})"),
                None => passes,
            }
        }
        Values::Many { table, on, value } => {
            format!("EXISTS (SELECT 1 FROM {table} WHERE {on} AND {})", passes(&value, false, test, values))
        }
    }
}

/// By the column, whose index begins with it: whoever follows the log asks chain by chain.
fn of_chains(wanted: &[Value], alias: &str, values: &mut Bindings) -> String {
    let chains: Vec<String> = wanted
        .iter()
        .filter_map(text)
        .filter_map(|text| text.parse::<ChainId>().ok())
        .map(|chain| values.bind(Bound::Bytes(chain.as_bytes().to_vec())))
        .collect();
    if chains.is_empty() { FALSE.to_owned() } else { format!("{alias}.chain IN ({})", chains.join(", ")) }
}

/// Which of the field's forms the test is asked of.
fn form(field: &Field, test: &Test) -> Form {
    match test {
        // The engines find a text that has words at any length.
        Test::Exists if matches!(field.kind, Kind::Text | Kind::Json) || field.search == Search::Words => Form::Words,
        Test::Words(_) | Test::Phrase(_) | Test::WordLike(_) => Form::Words,
        Test::Exists | Test::OneOf(_) | Test::Range { .. } if field.kind == Kind::Ip => Form::Address,
        Test::Exists | Test::OneOf(_) | Test::Range { .. } | Test::Like(_) => Form::Value,
    }
}

fn passes(value: &str, is_indexed: bool, test: &Test, values: &mut Bindings) -> String {
    match test {
        Test::Exists => format!("{value} IS NOT NULL"),
        Test::OneOf(wanted) => is_one_of(value, is_indexed, wanted, values),
        Test::Range { low, high } => is_within(value, low, high, values),
        Test::Like(pattern) => is_like(value, is_indexed, pattern, values),
        Test::Words(wanted) => {
            let wanted = wanted.iter().filter(|word| is_word(word));
            let ways: Vec<_> = wanted.map(|word| values.contains(value, &format!(" {word} "))).collect();
            if ways.is_empty() { FALSE.to_owned() } else { format!("({})", ways.join(" OR ")) }
        }
        Test::Phrase(wanted) if !wanted.is_empty() && wanted.iter().all(|word| is_word(word)) => {
            values.contains(value, &format!(" {} ", wanted.join(" ")))
        }
        Test::Phrase(_) => FALSE.to_owned(),
        Test::WordLike(pattern) => has_word_like(value, pattern, values),
    }
}

fn is_one_of(value: &str, is_indexed: bool, wanted: &[Value], values: &mut Bindings) -> String {
    let texts: Vec<String> = wanted.iter().filter_map(text).collect();
    if !texts.is_empty() {
        return match is_indexed {
            true => format!("({})", values.indexed_is_one_of(value, &texts)),
            false => values.is_one_of(value, &texts),
        };
    }
    let wanted: Vec<_> = wanted.iter().map(|wanted| values.bind(bound(wanted))).collect();
    if wanted.is_empty() { FALSE.to_owned() } else { format!("{value} IN ({})", wanted.join(", ")) }
}

fn is_within(value: &str, low: &Limit<Value>, high: &Limit<Value>, values: &mut Bindings) -> String {
    if let (Limit::Included(low), Limit::Included(high)) = (low, high) {
        // SQLite makes a value anew wherever it is named.
        return format!("{value} BETWEEN {} AND {}", values.bind(bound(low)), values.bind(bound(high)));
    }
    let limits = [limit(value, low, [">=", ">"], values), limit(value, high, ["<=", "<"], values)];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    if limits.is_empty() { format!("{value} IS NOT NULL") } else { format!("({})", limits.join(" AND ")) }
}

fn limit(value: &str, limit: &Limit<Value>, [included, excluded]: [&str; 2], values: &mut Bindings) -> Option<String> {
    match limit {
        Limit::Included(limit) => Some(format!("{value} {included} {}", values.bind(bound(limit)))),
        Limit::Excluded(limit) => Some(format!("{value} {excluded} {}", values.bind(bound(limit)))),
        Limit::Unbounded => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Address(address) => Some(hexadecimal((*address).into())),
        Value::Integer(_) | Value::Number(_) | Value::Boolean(_) | Value::Millis(_) => None,
    }
}

fn bound(value: &Value) -> Bound {
    match value {
        Value::Text(text) => Bound::Text(kept(text).into_owned()),
        Value::Integer(integer) => Bound::Integer(*integer),
        Value::Number(number) => Bound::Number((*number).into()),
        Value::Boolean(boolean) => Bound::Integer((*boolean).into()),
        Value::Millis(millis) => Bound::Integer(millis.0),
        Value::Address(address) => Bound::Text(hexadecimal((*address).into())),
    }
}

fn is_like(value: &str, is_indexed: bool, pattern: &Pattern, values: &mut Bindings) -> String {
    if let [exact] = pattern.pieces() {
        return is_one_of(value, is_indexed, &[Value::Text(exact.clone())], values);
    }
    if let Some(prefix) = pattern.prefix() {
        return begins_with(value, prefix, values);
    }
    values.is_like(value, pattern)
}

/// As a range, which an index may answer.
fn begins_with(value: &str, prefix: &str, values: &mut Bindings) -> String {
    let first = values.text(prefix);
    let from = format!("{value} >= {first}");
    match behind_all(&kept(prefix)) {
        Some(end) => format!("({from} AND {value} < {})", values.bind(Bound::Text(end))),
        None => from,
    }
}

/// The first text behind all those that begin with this one; `None` if there is none.
fn behind_all(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

fn has_word_like(value: &str, pattern: &Pattern, values: &mut Bindings) -> String {
    if !pattern.pieces().iter().all(|piece| piece.is_empty() || is_word(piece)) {
        return FALSE.to_owned();
    }
    match (pattern.pieces(), pattern.prefix()) {
        ([exact], _) if exact.is_empty() => FALSE.to_owned(),
        ([exact], _) => values.contains(value, &format!(" {exact} ")),
        (_, Some("")) => format!("{value} <> ' '"),
        (_, Some(prefix)) => values.contains(value, &format!(" {prefix}")),
        _ => values.has_word_like(value, pattern),
    }
}

/// Whether a text has any word like this: none has blanks or control characters in it.
fn is_word(word: &str) -> bool {
    !word.is_empty()
        && !word.contains(|character: char| character == ' ' || character.is_ascii_control())
        && word.encode_utf16().count() <= LONGEST_WORD
}

/// A condition on messages by their full-text index, which all that pass fulfil.
fn look_up(test: &Test, values: &mut Bindings) -> Option<String> {
    let terms = match test {
        Test::Words(wanted) => Terms::Any(wanted.iter().filter(|word| is_word(word)).cloned().collect()),
        Test::Phrase(wanted) if wanted.iter().all(|word| is_word(word)) => Terms::All(wanted.clone()),
        Test::WordLike(pattern) => match pattern.pieces() {
            [exact] if is_word(exact) => Terms::All(vec![exact.clone()]),
            [first, ..] if is_word(first) => Terms::Beginning(first.clone()),
            _ => return None,
        },
        Test::Exists | Test::OneOf(_) | Test::Range { .. } | Test::Like(_) | Test::Phrase(_) => return None,
    };
    terms.is_useful().then(|| values.look_up_words(&terms))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{
        schema,
        store::{
            sql::{Dialect, Search, Statement},
            testing::{about, fresh_chain},
        },
    };

    /// A tail asks for little else, again and again.
    #[test]
    fn a_chain_is_looked_up_in_its_column_which_has_an_index() {
        let wanted = vec![Value::Text(fresh_chain().to_string())];
        let chain = Subject::Field(schema::field("annals.chain").unwrap());
        let asked = about("t", "1").with(Filter::value(chain, Test::OneOf(wanted)).unwrap()).asked();
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let Statement { text, .. } = Search::of(dialect, asked.query()).count();
            assert!(text.contains(".chain IN ("), "{text}");
        }
    }
}
