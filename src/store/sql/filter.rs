//! Translates filters into SQL conditions.
//!
//! A condition may be NULL where a value is missing; only negation has to tell NULL from false.

use std::ops::Bound;

use super::{
    columns::SAVED_OBJECTS,
    dialect::{Dialect, FullTextQuery, Parameter, StatementBuilder},
    fields::{Context, ValueExpression, elements},
    form::{Form, RANGE_DIGITS, range_digits},
    text::encode_text,
};
use crate::{
    event::{ChainId, UnixMillis},
    query::{
        Pattern, Subject, address_digits,
        filter::{Filter, Test, Value, instants},
    },
    schema::{Field, Kind, Search},
};

const TRUE: &str = "TRUE";
const FALSE: &str = "FALSE";

/// The longest word that the index has, in UTF-16 units.
const MAX_WORD_LENGTH: usize = 255;

/// Returns the condition that an event, or an element of one, matches the filter.
pub(super) fn condition(filter: &Filter, context: Context, builder: &mut StatementBuilder) -> String {
    match filter {
        Filter::All(parts) => joined(parts, " AND ", TRUE, context, builder),
        Filter::Any(parts) => joined(parts, " OR ", FALSE, context, builder),
        Filter::Not(inner) => format!("NOT (({}) IS TRUE)", condition(inner, context, builder)),
        Filter::Element(nested, inner) => match context {
            Context::Event { .. } => in_some_element(nested, inner, builder),
            Context::Element(_) => FALSE.to_owned(),
        },
        Filter::Value(subject, test) => of_subject(subject, test, context, builder),
    }
}

fn joined(parts: &[Filter], operator: &str, of_none: &str, context: Context, builder: &mut StatementBuilder) -> String {
    let parts: Vec<_> = parts.iter().map(|part| condition(part, context, builder)).collect();
    match parts.as_slice() {
        [] => of_none.to_owned(),
        parts => format!("({})", parts.join(operator)),
    }
}

fn in_some_element(nested: &'static Field, inner: &Filter, builder: &mut StatementBuilder) -> String {
    let dialect = builder.dialect;
    let (table, on) = elements(dialect, nested);
    let condition = condition(inner, Context::Element(nested), builder);
    // SQLite evaluates EXISTS event by event; IN makes it start from the objects. PostgreSQL's planner chooses by
    // itself.
    if dialect == Dialect::Sqlite && nested.path == SAVED_OBJECTS && names_objects(inner) {
        return format!("e.id IN (SELECT o.event FROM {table} WHERE {condition})");
    }
    format!("EXISTS (SELECT 1 FROM {table} WHERE {on} AND {condition})")
}

/// Whether the condition names ids of objects: these match few rows and have an index.
fn names_objects(filter: &Filter) -> bool {
    match filter {
        Filter::All(parts) => parts.iter().any(names_objects),
        Filter::Value(Subject::Field(field), Test::OneOf(_)) => field.path == "kibana.saved_objects.id",
        Filter::Any(_) | Filter::Not(_) | Filter::Element(..) | Filter::Value(..) => false,
    }
}

fn of_subject(subject: &Subject, test: &Test, context: Context, builder: &mut StatementBuilder) -> String {
    if let (Subject::Field(field), Test::OneOf(wanted), Context::Event { alias }) = (subject, test, context)
        && field.path == "annals.chain"
    {
        return of_chains(wanted, alias, builder);
    }
    let field = subject.field();
    let found = match (subject, context) {
        (Subject::Field(field), _) => ValueExpression::for_field(builder.dialect, field, form(field, test), context),
        (Subject::Label(label), Context::Event { .. }) => ValueExpression::label(label, builder),
        (Subject::Label(_), Context::Element(_)) => ValueExpression::Absent,
    };
    match found {
        ValueExpression::Absent => FALSE.to_owned(),
        ValueExpression::Single { value, is_indexed, .. } => {
            let passes = match field.kind {
                Kind::DateRange => overlaps(&value, test, builder),
                _ => passes(&value, is_indexed, test, builder),
            };
            let looked_up = if field.path == "message" { full_text_condition(test, builder) } else { None };
            match looked_up {
                Some(found) => format!("({found} AND {passes})"),
                None => passes,
            }
        }
        ValueExpression::Multiple { table, on, value } => {
            let passes = match field.kind {
                Kind::DateRange => overlaps(&value, test, builder),
                _ => passes(&value, false, test, builder),
            };
            format!("EXISTS (SELECT 1 FROM {table} WHERE {on} AND {passes})")
        }
    }
}

/// Compares the column itself, which has an index. Clients that follow the log query chain by chain.
fn of_chains(wanted: &[Value], alias: &str, builder: &mut StatementBuilder) -> String {
    let chains: Vec<String> = wanted
        .iter()
        .filter_map(text)
        .filter_map(|text| text.parse::<ChainId>().ok())
        .map(|chain| builder.bind(Parameter::Bytes(chain.as_bytes().to_vec())))
        .collect();
    if chains.is_empty() { FALSE.to_owned() } else { format!("{alias}.chain IN ({})", chains.join(", ")) }
}

/// Returns the form of the field that the test applies to.
fn form(field: &Field, test: &Test) -> Form {
    match test {
        // The engines index words of texts of any length, so a text exists for them even if it is too long to be a
        // value.
        Test::Exists if matches!(field.kind, Kind::Text | Kind::Json) || field.search == Search::Words => Form::Words,
        Test::Words(_) | Test::Phrase(_) | Test::WordLike(_) => Form::Words,
        Test::Exists | Test::OneOf(_) | Test::Range { .. } if field.kind == Kind::Ip => Form::Address,
        Test::Exists | Test::OneOf(_) | Test::Range { .. } | Test::Like(_) => Form::Value,
    }
}

fn passes(value: &str, is_indexed: bool, test: &Test, builder: &mut StatementBuilder) -> String {
    match test {
        Test::Exists => format!("{value} IS NOT NULL"),
        Test::OneOf(wanted) => is_one_of(value, is_indexed, wanted, builder),
        Test::Range { low, high } => is_within(value, low, high, builder),
        Test::Like(pattern) => is_like(value, is_indexed, pattern, builder),
        Test::Words(wanted) => {
            let wanted = wanted.iter().filter(|word| is_word(word));
            let ways: Vec<_> = wanted.map(|word| builder.contains(value, &format!(" {word} "))).collect();
            if ways.is_empty() { FALSE.to_owned() } else { format!("({})", ways.join(" OR ")) }
        }
        Test::Phrase(wanted) if !wanted.is_empty() && wanted.iter().all(|word| is_word(word)) => {
            builder.contains(value, &format!(" {} ", wanted.join(" ")))
        }
        Test::Phrase(_) => FALSE.to_owned(),
        Test::WordLike(pattern) => has_word_like(value, pattern, builder),
    }
}

/// Returns the condition that a range of dates has a millisecond in common with what is tested for.
fn overlaps(value: &str, test: &Test, builder: &mut StatementBuilder) -> String {
    let mut has_in_common = |first: Option<UnixMillis>, last: Option<UnixMillis>| {
        if first.zip(last).is_some_and(|(first, last)| first > last) {
            return FALSE.to_owned();
        }
        let ends = first.map(|first| {
            let begin = builder.text(&range_digits(first));
            format!("substr({value}, {}) >= {begin}", RANGE_DIGITS + 2)
        });
        let begins = last.map(|last| {
            let end = builder.text(&range_digits(last));
            format!("substr({value}, 1, {RANGE_DIGITS}) <= {end}")
        });
        let limits: Vec<_> = ends.into_iter().chain(begins).collect();
        if limits.is_empty() { format!("{value} IS NOT NULL") } else { format!("({})", limits.join(" AND ")) }
    };
    match test {
        Test::Exists => format!("{value} IS NOT NULL"),
        Test::OneOf(wanted) => {
            let dates =
                wanted.iter().filter_map(|date| if let Value::Millis(date) = date { Some(*date) } else { None });
            let ways: Vec<_> = dates.map(|date| has_in_common(Some(date), Some(date))).collect();
            if ways.is_empty() { FALSE.to_owned() } else { format!("({})", ways.join(" OR ")) }
        }
        Test::Range { low, high } => {
            let (first, last) = instants(low, high);
            has_in_common(first, last)
        }
        Test::Like(_) | Test::Words(_) | Test::Phrase(_) | Test::WordLike(_) => FALSE.to_owned(),
    }
}

fn is_one_of(value: &str, is_indexed: bool, wanted: &[Value], builder: &mut StatementBuilder) -> String {
    let texts: Vec<String> = wanted.iter().filter_map(text).collect();
    if !texts.is_empty() {
        return match is_indexed {
            true => format!("({})", builder.indexed_is_one_of(value, &texts)),
            false => builder.is_one_of(value, &texts),
        };
    }
    let wanted: Vec<_> = wanted.iter().map(|wanted| builder.bind(parameter(wanted))).collect();
    if wanted.is_empty() { FALSE.to_owned() } else { format!("{value} IN ({})", wanted.join(", ")) }
}

fn is_within(value: &str, low: &Bound<Value>, high: &Bound<Value>, builder: &mut StatementBuilder) -> String {
    if let (Bound::Included(low), Bound::Included(high)) = (low, high) {
        // SQLite evaluates an expression again at each mention, so it is mentioned once.
        return format!("{value} BETWEEN {} AND {}", builder.bind(parameter(low)), builder.bind(parameter(high)));
    }
    let limits =
        [bound_condition(value, low, [">=", ">"], builder), bound_condition(value, high, ["<=", "<"], builder)];
    let limits: Vec<_> = limits.into_iter().flatten().collect();
    if limits.is_empty() { format!("{value} IS NOT NULL") } else { format!("({})", limits.join(" AND ")) }
}

fn bound_condition(
    value: &str,
    bound: &Bound<Value>,
    [included, excluded]: [&str; 2],
    builder: &mut StatementBuilder,
) -> Option<String> {
    match bound {
        Bound::Included(limit) => Some(format!("{value} {included} {}", builder.bind(parameter(limit)))),
        Bound::Excluded(limit) => Some(format!("{value} {excluded} {}", builder.bind(parameter(limit)))),
        Bound::Unbounded => None,
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Address(address) => Some(address_digits((*address).into())),
        Value::Integer(_) | Value::Number(_) | Value::Boolean(_) | Value::Millis(_) => None,
    }
}

fn parameter(value: &Value) -> Parameter {
    match value {
        Value::Text(text) => Parameter::Text(encode_text(text).into_owned()),
        Value::Integer(integer) => Parameter::Integer(*integer),
        Value::Number(number) => Parameter::Number((*number).into()),
        Value::Boolean(boolean) => Parameter::Integer((*boolean).into()),
        Value::Millis(millis) => Parameter::Integer(millis.0),
        Value::Address(address) => Parameter::Text(address_digits((*address).into())),
    }
}

fn is_like(value: &str, is_indexed: bool, pattern: &Pattern, builder: &mut StatementBuilder) -> String {
    if let [exact] = pattern.pieces() {
        return is_one_of(value, is_indexed, &[Value::Text(exact.clone())], builder);
    }
    if let Some(prefix) = pattern.prefix() {
        return begins_with(value, prefix, builder);
    }
    builder.is_like(value, pattern)
}

/// Prefix match as a range, so that an index can answer it.
fn begins_with(value: &str, prefix: &str, builder: &mut StatementBuilder) -> String {
    let first = builder.text(prefix);
    let from = format!("{value} >= {first}");
    match prefix_successor(&encode_text(prefix)) {
        Some(end) => format!("({from} AND {value} < {})", builder.bind(Parameter::Text(end))),
        None => from,
    }
}

/// Returns the smallest text greater than all texts with this prefix; `None` if there is none.
fn prefix_successor(prefix: &str) -> Option<String> {
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

fn has_word_like(value: &str, pattern: &Pattern, builder: &mut StatementBuilder) -> String {
    if !pattern.pieces().iter().all(|piece| piece.is_empty() || is_word(piece)) {
        return FALSE.to_owned();
    }
    match (pattern.pieces(), pattern.prefix()) {
        ([exact], _) if exact.is_empty() => FALSE.to_owned(),
        ([exact], _) => builder.contains(value, &format!(" {exact} ")),
        (_, Some("")) => format!("{value} <> ' '"),
        (_, Some(prefix)) => builder.contains(value, &format!(" {prefix}")),
        _ => builder.has_word_like(value, pattern),
    }
}

/// Whether a text can be a word of the index: not empty, not too long, no blanks or control characters.
fn is_word(word: &str) -> bool {
    !word.is_empty()
        && !word.contains(|character: char| character == ' ' || character.is_ascii_control())
        && word.encode_utf16().count() <= MAX_WORD_LENGTH
}

/// Returns a condition that every passing message meets and that the full-text index answers.
fn full_text_condition(test: &Test, builder: &mut StatementBuilder) -> Option<String> {
    let terms = match test {
        Test::Words(wanted) => FullTextQuery::Any(wanted.iter().filter(|word| is_word(word)).cloned().collect()),
        Test::Phrase(wanted) if wanted.iter().all(|word| is_word(word)) => FullTextQuery::All(wanted.clone()),
        Test::WordLike(pattern) => match pattern.pieces() {
            [exact] if is_word(exact) => FullTextQuery::All(vec![exact.clone()]),
            [first, ..] if is_word(first) => FullTextQuery::Beginning(first.clone()),
            _ => return None,
        },
        Test::Exists | Test::OneOf(_) | Test::Range { .. } | Test::Like(_) | Test::Phrase(_) => return None,
    };
    terms.is_useful().then(|| builder.look_up_words(&terms))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::{
        schema,
        store::{
            sql::{Dialect, Select, Statement},
            testing::{about, fresh_chain},
        },
    };

    /// A tail runs little else, over and over.
    #[test]
    fn a_chain_is_looked_up_in_its_column_which_has_an_index() {
        let wanted = vec![Value::Text(fresh_chain().to_string())];
        let chain = Subject::Field(schema::field("annals.chain").unwrap());
        let asked = about("t", "1").with(Filter::value(chain, Test::OneOf(wanted)).unwrap()).build();
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let Statement { text, .. } = Select::of(dialect, asked.query()).count();
            assert!(text.contains(".chain IN ("), "{text}");
        }
    }
}
