//! Translates queries into SQL statements.

use super::{
    dialect::{Dialect, Statement, StatementBuilder},
    fields::Context,
    filter::condition,
    order::OrderBy,
};
use crate::{
    event::Space,
    query::{ObjectScope, Order, Place, Query, Scope, Visible},
};

/// Builds the statements of a query.
pub(in crate::store) struct Select<'q> {
    dialect: Dialect,
    query: &'q Query,
    /// Restricts the query to rows up to this one.
    last_row: Option<i64>,
}

/// The tables and conditions that select the matches of a query.
pub(super) struct RowSource {
    /// The tables; `events` is among them as `e`.
    pub(super) from: String,
    pub(super) conditions: String,
    /// The alias of the table with the columns `timestamp`, `sequence` and `chain`.
    pub(super) alias: &'static str,
    /// The expression of the event's row id.
    pub(super) id: &'static str,
}

impl<'q> Select<'q> {
    pub(in crate::store) fn of(dialect: Dialect, query: &'q Query) -> Self {
        Self { dialect, query, last_row: None }
    }

    /// Leaves out everything stored after this row.
    pub(in crate::store) fn up_to(self, last_row: i64) -> Self {
        Self { last_row: Some(last_row), ..self }
    }

    /// Selects the number of all matches.
    pub(in crate::store) fn count(&self) -> Statement {
        let mut builder = StatementBuilder::new(self.dialect);
        let RowSource { from, conditions, .. } = self.row_source(&mut builder);
        builder.build(format!("SELECT count(*) FROM {from} WHERE {conditions}"))
    }

    /// Selects the row ids of the page's events, in order.
    pub(in crate::store) fn page(&self, after: Option<&Place>, offset: u64, limit: u64) -> Statement {
        let mut builder = StatementBuilder::new(self.dialect);
        let RowSource { from, conditions, alias, id } = self.row_source(&mut builder);
        let ties = Order::of_ties(&self.query.sort);
        let ordering = OrderBy::of(&self.query.sort, alias, &mut builder);
        let after_place = after.map(|place| format!(" AND {}", ordering.after_place(place, ties, &mut builder)));
        let order = ordering.clause(ties);
        let limit = builder.integer(i64::try_from(limit).unwrap_or(i64::MAX));
        let offset = builder.integer(i64::try_from(offset).unwrap_or(i64::MAX));
        builder.build(format!(
            "SELECT {id} FROM {from} WHERE {conditions}{} ORDER BY {order} LIMIT {limit} OFFSET {offset}",
            after_place.unwrap_or_default()
        ))
    }

    pub(super) fn row_source(&self, builder: &mut StatementBuilder) -> RowSource {
        let (from, mut conditions, alias, id) = match &self.query.scope {
            Scope::Objects(objects) => self.referring_to(objects, builder),
            Scope::Visible(visible) => {
                let from = "events AS e".to_owned();
                (from, vec![self.within_time("e", builder), is_visible(visible, builder)], "e", "e.id")
            }
        };
        if let Some(row) = self.last_row {
            conditions.push(format!("{id} <= {}", builder.integer(row)));
        }
        conditions.push(condition(&self.query.filter, Context::Event { alias }, builder));
        conditions.retain(|condition| condition != "TRUE");
        if conditions.is_empty() {
            conditions.push("TRUE".to_owned());
        }
        RowSource { from, conditions: conditions.join(" AND "), alias, id }
    }

    /// Reads the index of `objects`, so that a page in the usual order costs no more than its rows. The join is an
    /// outer one, although every object has its event, because the databases then drop it where no column of the event
    /// is used.
    fn referring_to(
        &self,
        objects: &ObjectScope,
        builder: &mut StatementBuilder,
    ) -> (String, Vec<String>, &'static str, &'static str) {
        let space = objects.space.as_ref().map_or_else(String::new, |space| space.as_str().to_owned());
        let mut conditions = vec![
            builder.indexed_is_one_of("m.object", &objects.ids),
            builder.indexed_is_one_of("m.type", std::slice::from_ref(&objects.object_type)),
            builder.indexed_is_one_of("m.found_in", &[space]),
            self.within_time("m", builder),
        ];
        let joined = "LEFT JOIN events AS e ON e.id = m.event";
        if objects.ids.len() == 1 {
            return (format!("objects AS m {joined}"), conditions, "m", "m.event");
        }
        // One event may refer to several of the objects.
        let from = format!(
            "(SELECT DISTINCT m.event, m.timestamp, m.sequence, m.chain FROM objects AS m WHERE {}) AS m {joined}",
            conditions.join(" AND ")
        );
        conditions.clear();
        (from, conditions, "m", "m.event")
    }

    /// Also requires a time, which stubs do not have.
    fn within_time(&self, alias: &str, builder: &mut StatementBuilder) -> String {
        let start = self.query.start.map(|start| format!("{alias}.timestamp >= {}", builder.integer(start.0)));
        let end = self.query.end.map(|end| format!("{alias}.timestamp <= {}", builder.integer(end.0)));
        let bounds: Vec<_> = start.into_iter().chain(end).collect();
        if bounds.is_empty() { format!("{alias}.timestamp IS NOT NULL") } else { bounds.join(" AND ") }
    }
}

fn is_visible(visible: &Visible, builder: &mut StatementBuilder) -> String {
    match visible {
        Visible::Everything => "TRUE".to_owned(),
        Visible::Spaces(spaces) => {
            let mut within =
                |space: &Option<Space>| builder.contains("e.spaces", &format!(",{},", Space::name(space.as_ref())));
            let within: Vec<_> = spaces.iter().map(&mut within).collect();
            if within.is_empty() { "FALSE".to_owned() } else { format!("({})", within.join(" OR ")) }
        }
    }
}
