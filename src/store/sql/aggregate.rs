//! Translates aggregations into SQL statements, and their rows into answers.

use std::collections::BTreeMap;

use super::{
    columns::has_column,
    dialect::{Cell, Dialect, Parameter, Statement, StatementBuilder},
    extractor::FieldExtractor,
    fields::ValueExpression,
    form::{address_of, counted_form},
    search::{RowSource, Select},
    text::decode_text,
};
use crate::{
    event::UnixMillis,
    query::{
        Aggregate, Aggregation, Bucket, Interval, Key, MAX_BUCKETS, MAX_PARTS, Query, Statistics, Subject, TooManySpans,
    },
    schema::{Field, Kind, nested_around},
    store::IndexError,
};

/// Longer spans are cut to this many milliseconds, lest they overflow: one ends at 1970 and one begins there.
const MAX_SPAN: i64 = 1 << 60;

/// Builds the statement of an aggregation, and reads the answer from its rows.
pub(in crate::store) struct AggregateQuery<'q> {
    dialect: Dialect,
    query: &'q Query,
    aggregation: &'q Aggregation,
}

/// A statement with a row per event: its value, or its document for the extractor to read the values from.
pub(in crate::store) struct ValueScan {
    pub(in crate::store) statement: Statement,
    pub(in crate::store) extractor: Option<FieldExtractor>,
    /// The most values in the answer.
    pub(in crate::store) limit: usize,
}

/// A source with a row for each value, or one row with NULL for an event that has none.
struct ValueSource {
    from: String,
    conditions: String,
    id: &'static str,
    value: String,
    is_many: bool,
    is_indexed: bool,
}

impl<'q> AggregateQuery<'q> {
    pub(in crate::store) fn of(dialect: Dialect, query: &'q Query, aggregation: &'q Aggregation) -> Self {
        Self { dialect, query, aggregation }
    }

    pub(in crate::store) fn statement(&self) -> Statement {
        let mut builder = StatementBuilder::new(self.dialect);
        let text = match self.aggregation {
            Aggregation::Terms { subject, limit } => self.terms(subject, *limit, &mut builder),
            Aggregation::Histogram { field, interval } => self.histogram(field, interval, &mut builder),
            Aggregation::Statistics { field } => self.statistics(field, &mut builder),
            Aggregation::Percentiles { field, percents } => self.percentiles(field, percents, &mut builder),
        };
        builder.build(text)
    }

    /// Returns a scan for a [`super::TermCounter`], where the database would sort all values to count them: in SQLite,
    /// unless the field's own index yields the values in order.
    pub(in crate::store) fn value_scan(&self) -> Option<ValueScan> {
        let (Dialect::Sqlite, Aggregation::Terms { subject, limit }) = (self.dialect, self.aggregation) else {
            return None;
        };
        let mut builder = StatementBuilder::new(self.dialect);
        let RowSource { from, conditions, alias, .. } = Select::of(self.dialect, self.query).row_source(&mut builder);
        let field = subject.field();
        let (each, extractor) = match ValueExpression::counted(subject, alias, &mut builder) {
            ValueExpression::Single { value, .. } if matches!(subject, Subject::Label(_)) => (value, None),
            ValueExpression::Single { is_indexed: true, .. } if !self.is_within_time() => return None,
            ValueExpression::Single { value, .. } if has_column(field, counted_form(field)) => (value, None),
            ValueExpression::Multiple { .. } if nested_around(field.path).is_some() => return None,
            ValueExpression::Single { .. } | ValueExpression::Multiple { .. } => {
                ("e.document".to_owned(), Some(FieldExtractor::of(field, counted_form(field))))
            }
            ValueExpression::Absent => return None,
        };
        let statement = builder.build(format!("SELECT {each} FROM {from} WHERE {conditions}"));
        Some(ValueScan { statement, extractor, limit: *limit })
    }

    fn is_within_time(&self) -> bool {
        self.query.start.is_some() || self.query.end.is_some()
    }

    /// Reads the answer from the rows of the statement.
    pub(in crate::store) fn answer(&self, rows: &[Vec<Cell>]) -> Result<Aggregate, IndexError> {
        match self.aggregation {
            Aggregation::Terms { limit, .. } => Ok(self.decode_addresses(terms_of(rows, *limit))),
            Aggregation::Histogram { interval, .. } => spans_of(rows, interval).map(Aggregate::Histogram),
            Aggregation::Statistics { .. } => Ok(Aggregate::Statistics(statistics_of(rows))),
            Aggregation::Percentiles { percents, .. } => Ok(Aggregate::Percentiles(percentiles_of(rows, percents))),
        }
    }

    /// Converts addresses, which are counted by their digits, to their text.
    pub(in crate::store) fn decode_addresses(&self, mut answer: Aggregate) -> Aggregate {
        if let (Aggregation::Terms { subject, .. }, Aggregate::Terms { buckets, .. }) = (self.aggregation, &mut answer)
            && subject.field().kind == Kind::Ip
        {
            for bucket in buckets {
                if let Key::Text(digits) = &mut bucket.value
                    && let Some(address) = address_of(digits)
                {
                    *digits = address;
                }
            }
        }
        answer
    }

    fn value_source(&self, subject: &Subject, builder: &mut StatementBuilder) -> ValueSource {
        let RowSource { from, conditions, alias, id } = Select::of(self.dialect, self.query).row_source(builder);
        match ValueExpression::counted(subject, alias, builder) {
            ValueExpression::Absent => {
                ValueSource { from, conditions, id, value: "NULL".to_owned(), is_many: false, is_indexed: false }
            }
            ValueExpression::Single { value, is_indexed, .. } => {
                ValueSource { from, conditions, id, value, is_many: false, is_indexed }
            }
            ValueExpression::Multiple { table, on, value } => {
                let from = format!("{from} LEFT JOIN {table} ON {on} AND {value} IS NOT NULL");
                ValueSource { from, conditions, id, value, is_many: true, is_indexed: false }
            }
        }
    }

    /// Keeps SQLite from merging the subquery into the query around it, where its values would be computed at each
    /// mention. It does not merge a subquery with a limit.
    fn prevent_flattening(&self, select: String) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("{select} LIMIT -1"),
            Dialect::Postgres => select,
        }
    }

    /// Selects each value, how many events have it, and the number of values. The first row has no value if there are
    /// events without one.
    fn terms(&self, subject: &Subject, limit: usize, builder: &mut StatementBuilder) -> String {
        let ValueSource { from, conditions, id, value, is_many, is_indexed } = self.value_source(subject, builder);
        let select = format!("SELECT {value} AS value FROM {from} WHERE {conditions}");
        let each = match is_many {
            true => format!("SELECT DISTINCT {id} AS id, {value} AS value FROM {from} WHERE {conditions}"),
            // Without bounds in time the field's own index has the values, in order.
            false if is_indexed && !self.is_within_time() => select,
            false => self.prevent_flattening(select),
        };
        let limit = builder.integer(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
        format!(
            "WITH counted AS (SELECT v.value, count(*) AS events FROM ({each}) AS v GROUP BY v.value)
            SELECT value, events, count(value) OVER () FROM counted
            ORDER BY value IS NOT NULL, events DESC, value LIMIT {limit}"
        )
    }

    /// Selects the start of each span, or of each part from which a calendar span is summed up, and how many events are in
    /// it, in order.
    fn histogram(&self, field: &'static Field, interval: &Interval, builder: &mut StatementBuilder) -> String {
        let ValueSource { from, conditions, id, value, is_many, .. } = self.value_source(&field.into(), builder);
        let each =
            self.prevent_flattening(format!("SELECT {id} AS id, {value} AS value FROM {from} WHERE {conditions}"));
        let (length, limit) = match interval {
            Interval::Millis(length) => ((*length).min(MAX_SPAN), MAX_BUCKETS as i64 + 1),
            Interval::Calendar(..) => (interval.granule(), MAX_PARTS as i64 + 1),
        };
        let (length, limit) = (builder.integer(length), builder.integer(limit));
        let start = format!("v.value - v.value % {length} - CASE WHEN v.value % {length} < 0 THEN {length} ELSE 0 END");
        let one = if is_many { "count(DISTINCT v.id)" } else { "count(*)" };
        format!(
            "SELECT {start} AS start, {one} FROM ({each}) AS v
            WHERE v.value IS NOT NULL GROUP BY start ORDER BY start LIMIT {limit}"
        )
    }

    fn statistics(&self, field: &'static Field, builder: &mut StatementBuilder) -> String {
        let each = self.each_number(field, builder);
        format!("SELECT count(v.value), min(v.value), max(v.value), coalesce(sum(v.value), 0) FROM ({each}) AS v")
    }

    /// Selects the rank of a value, the value, and the number of values, for the neighbours of each percentile.
    fn percentiles(&self, field: &'static Field, percents: &[f64], builder: &mut StatementBuilder) -> String {
        let each = self.each_number(field, builder);
        let mut near = |percent: &f64| {
            let share = builder.bind(Parameter::Number(percent / 100.0));
            format!("abs(r.place - {share} * (r.total - 1)) < 1")
        };
        let near: Vec<_> = percents.iter().map(&mut near).collect();
        let near = if near.is_empty() { "FALSE".to_owned() } else { near.join(" OR ") };
        format!(
            "SELECT r.place, r.value, r.total FROM (
                SELECT v.value, row_number() OVER (ORDER BY v.value) - 1 AS place, count(*) OVER () AS total
                FROM ({each}) AS v WHERE v.value IS NOT NULL
            ) AS r WHERE {near} ORDER BY r.place"
        )
    }

    fn each_number(&self, field: &'static Field, builder: &mut StatementBuilder) -> String {
        let ValueSource { from, conditions, value, .. } = self.value_source(&field.into(), builder);
        let float = match self.dialect {
            Dialect::Sqlite => "REAL",
            Dialect::Postgres => "float8",
        };
        self.prevent_flattening(format!("SELECT CAST({value} AS {float}) AS value FROM {from} WHERE {conditions}"))
    }
}

fn terms_of(rows: &[Vec<Cell>], limit: usize) -> Aggregate {
    let (mut buckets, mut distinct, mut without) = (Vec::new(), 0, 0);
    for row in rows {
        let [value, events, values] = row.as_slice() else { continue };
        distinct = count(values);
        match key(value) {
            Some(value) if buckets.len() < limit => buckets.push(Bucket { value, events: count(events) }),
            Some(_) => {}
            None => without = count(events),
        }
    }
    Aggregate::Terms { buckets, distinct, without }
}

fn key(cell: &Cell) -> Option<Key> {
    match cell {
        Cell::Null => None,
        Cell::Integer(integer) => Some(Key::Integer(*integer)),
        Cell::Number(number) => Some(Key::Number(*number)),
        Cell::Text(text) => Some(Key::Text(decode_text(text.clone()))),
    }
}

/// Returns all spans from the first to the last, empty ones included.
fn spans_of(rows: &[Vec<Cell>], interval: &Interval) -> Result<Vec<(UnixMillis, u64)>, IndexError> {
    if rows.len() > MAX_PARTS {
        return Err(TooManySpans.into());
    }
    let mut counts: BTreeMap<UnixMillis, u64> = BTreeMap::new();
    for row in rows {
        let [Cell::Integer(start), events] = row.as_slice() else { continue };
        let Some(start) = interval.start_of(UnixMillis(*start)) else { continue };
        *counts.entry(start).or_default() += count(events);
    }
    Ok(interval.fill_gaps(&counts)?)
}

fn statistics_of(rows: &[Vec<Cell>]) -> Statistics {
    match rows {
        [row] => match row.as_slice() {
            [values, min, max, sum] => Statistics {
                values: count(values),
                min: number(min),
                max: number(max),
                sum: number(sum).unwrap_or_default(),
            },
            _ => Statistics::default(),
        },
        _ => Statistics::default(),
    }
}

/// Interpolates linearly between neighbouring values.
fn percentiles_of(rows: &[Vec<Cell>], percents: &[f64]) -> Vec<Option<f64>> {
    let at = |place: f64| {
        let row = rows.iter().find(|row| row.first().and_then(number) == Some(place))?;
        number(row.get(1)?)
    };
    let total = rows.first().and_then(|row| number(row.get(2)?));
    let of = |percent: &f64| {
        let place = percent / 100.0 * (total? - 1.0);
        let (below, above) = (at(place.floor())?, at(place.ceil())?);
        Some(below + (above - below) * place.fract())
    };
    percents.iter().map(of).collect()
}

fn count(cell: &Cell) -> u64 {
    match cell {
        Cell::Integer(count) => count.unsigned_abs(),
        Cell::Null | Cell::Number(_) | Cell::Text(_) => 0,
    }
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Integer(integer) => Some(*integer as f64),
        Cell::Number(number) => Some(*number),
        Cell::Null | Cell::Text(_) => None,
    }
}
