//! Sort orders, and conditions for what follows a place in one.

use super::{
    dialect::{Parameter, StatementBuilder},
    fields::ValueExpression,
};
use crate::query::{Key, Order, Place, Sort};

/// A sort key as an SQL expression.
struct SortTerm {
    value: String,
    is_never_null: bool,
    order: Order,
}

/// All sort terms; ties are broken by sequence and chain.
pub(super) struct OrderBy {
    terms: Vec<SortTerm>,
    alias: &'static str,
}

impl OrderBy {
    pub(super) fn of(sort: &[Sort], alias: &'static str, builder: &mut StatementBuilder) -> Self {
        Self { terms: sort.iter().map(|sort| term(sort, alias, builder)).collect(), alias }
    }

    /// Returns the text after ORDER BY.
    pub(super) fn clause(&self, ties: Order) -> String {
        let terms = self.terms.iter().filter(|term| term.value != NULL).map(|term| {
            let nulls = if term.is_never_null { "" } else { " NULLS LAST" };
            format!("{} {}{nulls}", term.value, direction(term.order))
        });
        let alias = self.alias;
        let ties = ["sequence", "chain"].map(|column| format!("{alias}.{column} {}", direction(ties)));
        terms.chain(ties).collect::<Vec<_>>().join(", ")
    }

    /// Returns the condition that an event comes after this place.
    pub(super) fn after_place(&self, place: &Place, ties: Order, builder: &mut StatementBuilder) -> String {
        let chain = Parameter::Bytes(place.position.chain.as_bytes().to_vec());
        // No store has a greater position.
        let sequence = Parameter::Integer(i64::try_from(place.position.sequence.0).unwrap_or(i64::MAX));
        let keys = self.terms.iter().zip(&place.keys).filter(|(term, _)| term.value != NULL);
        let keys: Vec<(&SortTerm, Option<Parameter>)> =
            keys.map(|(term, key)| (term, key.as_ref().map(parameter))).collect();
        let alias = self.alias;
        let is_row =
            |(term, key): &(&SortTerm, Option<Parameter>)| term.is_never_null && term.order == ties && key.is_some();
        if keys.iter().all(is_row) {
            // A single row comparison, which an index can answer.
            let mut columns: Vec<String> = keys.iter().map(|(term, _)| term.value.clone()).collect();
            columns.extend([format!("{alias}.sequence"), format!("{alias}.chain")]);
            let bounds = keys.into_iter().filter_map(|(_, key)| key).chain([sequence, chain]);
            let bounds: Vec<_> = bounds.map(|bound| builder.bind(bound)).collect();
            return format!("({}) {} ({})", columns.join(", "), comparison_operator(ties), bounds.join(", "));
        }
        let mut alternatives = Vec::new();
        let mut equal: Vec<String> = Vec::new();
        for (term, key) in keys {
            let Some(key) = key else {
                equal.push(format!("{} IS NULL", term.value));
                continue;
            };
            let key = builder.bind(key);
            let beyond = format!("{} {} {key}", term.value, comparison_operator(term.order));
            let follows = if term.is_never_null { beyond } else { format!("({beyond} OR {} IS NULL)", term.value) };
            alternatives.push(equal.iter().cloned().chain([follows]).collect::<Vec<_>>().join(" AND "));
            equal.push(format!("{} = {key}", term.value));
        }
        let (sequence, chain) = (builder.bind(sequence), builder.bind(chain));
        equal.push(format!("({alias}.sequence, {alias}.chain) {} ({sequence}, {chain})", comparison_operator(ties)));
        alternatives.push(equal.join(" AND "));
        format!("({})", alternatives.join(" OR "))
    }
}

/// The expression of a field that never has a sortable value.
const NULL: &str = "NULL";

fn term(sort: &Sort, alias: &'static str, builder: &mut StatementBuilder) -> SortTerm {
    let order = sort.order;
    match ValueExpression::sorted(sort.subject(), alias, builder) {
        ValueExpression::Single { value, is_never_null, .. } => SortTerm { value, is_never_null, order },
        // Events cannot be sorted by a field with several values.
        ValueExpression::Absent | ValueExpression::Multiple { .. } => {
            SortTerm { value: NULL.to_owned(), is_never_null: false, order }
        }
    }
}

fn parameter(key: &Key) -> Parameter {
    match key {
        Key::Integer(integer) => Parameter::Integer(*integer),
        Key::Number(number) => Parameter::Number(*number),
        Key::Text(text) => Parameter::Text(super::text::encode_text(text).into_owned()),
    }
}

fn direction(order: Order) -> &'static str {
    match order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    }
}

fn comparison_operator(order: Order) -> &'static str {
    match order {
        Order::Ascending => ">",
        Order::Descending => "<",
    }
}
