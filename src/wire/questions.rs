//! What `_find`, `_count` and `_aggregate` answer.

use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// One page of what was found.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FindAnswer {
    /// Absent where `after` was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u64>,
    pub per_page: u64,
    /// How many events match in all, exactly.
    pub total: u64,
    /// The events, byte for byte as they were stored; of each what `fields` chooses.
    #[cfg_attr(feature = "server", schema(value_type = Vec<Object>))]
    pub data: Vec<Box<RawValue>>,
    /// For `after`; null at the end. Absent where `after` was not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CountAnswer {
    /// How many events match, exactly.
    #[cfg_attr(feature = "server", schema(example = 2))]
    pub count: u64,
}

/// The answer has, besides the field, what was asked for.
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
    /// How many different values there are in all.
    pub distinct: u64,
    /// How many events have none.
    pub without: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Term {
    /// As it is in events: a text, a number or a boolean.
    #[cfg_attr(feature = "server", schema(value_type = Value))]
    pub value: Value,
    pub count: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct HistogramAnswer {
    pub field: String,
    /// How long the intervals are.
    pub interval: String,
    /// From the first that has any events to the last.
    pub histogram: Vec<Interval>,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Interval {
    /// The interval's first instant.
    pub start: String,
    pub count: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct StatsAnswer {
    pub field: String,
    pub stats: Statistics,
}

/// Dates are in milliseconds since 1970. Without values all but `count` and `sum` is null.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Statistics {
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
    /// Null where there are no values.
    pub value: Option<f64>,
}
