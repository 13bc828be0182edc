//! The answers of `_find`, `_count` and `_aggregate`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// A page of events.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FindAnswer {
    /// Absent if `after` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u64>,
    pub per_page: u64,
    /// The exact number of matching events.
    pub total: u64,
    /// The events, byte for byte as they were stored; with `fields`, only these.
    #[cfg_attr(feature = "server", schema(value_type = Vec<Object>))]
    pub data: Vec<Box<RawValue>>,
    /// The next value of `after`; null at the end. Absent if `after` was not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CountAnswer {
    /// The exact number of matching events.
    #[cfg_attr(feature = "server", schema(example = 2))]
    pub count: u64,
}

/// The field, and the result of the requested aggregation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub enum AggregateAnswer {
    Terms(TermsAnswer),
    Histogram(HistogramAnswer),
    Stats(StatsAnswer),
    Percentiles(PercentilesAnswer),
}

/// The values of a field, the most frequent first.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct TermsAnswer {
    pub field: String,
    pub terms: Vec<Term>,
    /// The total number of different values.
    pub distinct: u64,
    /// The number of events without a value.
    pub without: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Term {
    /// As in events: a text, a number or a boolean.
    #[cfg_attr(feature = "server", schema(value_type = Value))]
    pub value: Value,
    pub count: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct HistogramAnswer {
    pub field: String,
    /// The length of the intervals.
    pub interval: String,
    /// From the first interval with events to the last.
    pub histogram: Vec<HistogramBucket>,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(as = Interval))]
pub struct HistogramBucket {
    /// The interval's first instant.
    pub start: String,
    pub count: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StatsAnswer {
    pub field: String,
    pub stats: FieldStatistics,
}

/// Dates are in milliseconds since 1970. Without values, all members except `count` and `sum` are null.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema), schema(as = Statistics))]
pub struct FieldStatistics {
    pub count: u64,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub sum: f64,
    pub avg: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PercentilesAnswer {
    pub field: String,
    pub percentiles: Vec<Percentile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Percentile {
    pub percent: f64,
    /// Null if there are no values.
    pub value: Option<f64>,
}
