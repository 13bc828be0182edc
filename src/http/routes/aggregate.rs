//! `_aggregate`: the values of a field, their number over time, and their statistics.

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::question::{Asked, Form, Question};
use crate::{
    audit::Action,
    error::Failure,
    event::UnixMillis,
    http::{
        Shared, answer,
        operation::{Answer, Operation},
        request,
    },
    query::{Bucket, Key, Statistics},
    read::Aggregated,
    schema::{Field, Kind},
    time::format_time,
};

/// The answer has, besides the field, what was asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum AggregateAnswer {
    Terms {
        field: &'static str,
        terms: Vec<TermAnswer>,
        /// How many different values there are in all.
        distinct: u64,
        /// How many events have none.
        without: u64,
    },
    Histogram {
        field: &'static str,
        /// How long the spans are.
        interval: String,
        /// From the first that has any events to the last.
        histogram: Vec<SpanAnswer>,
    },
    Stats {
        field: &'static str,
        stats: StatsAnswer,
    },
    Percentiles {
        field: &'static str,
        percentiles: Vec<PercentileAnswer>,
    },
}

#[derive(Serialize, ToSchema)]
struct TermAnswer {
    /// As it is in events.
    #[schema(value_type = Value)]
    value: Value,
    count: u64,
}

#[derive(Serialize, ToSchema)]
struct SpanAnswer {
    /// The span's first instant.
    start: String,
    count: u64,
}

/// Dates are in milliseconds since 1970. Without values all but `count` and `sum` is null.
#[derive(Serialize, ToSchema)]
struct StatsAnswer {
    count: u64,
    min: Option<f64>,
    max: Option<f64>,
    sum: f64,
    avg: Option<f64>,
}

#[derive(Serialize, ToSchema)]
struct PercentileAnswer {
    percent: f64,
    /// Null where there are no values.
    value: Option<f64>,
}

pub(super) fn operations() -> Vec<Operation> {
    let question = Question {
        by_id: Form {
            path: "/api/event_log/{type}/{id}/_aggregate",
            id: "aggregate_by_id",
            summary: "Aggregate the events of a saved object",
        },
        visible: Form {
            path: "/api/event_log/_aggregate",
            id: "aggregate",
            summary: "Aggregate all events that the caller may see",
        },
        by_ids: Some(Form {
            path: "/api/event_log/{type}/_aggregate",
            id: "aggregate_by_ids",
            summary: "Aggregate the events of several saved objects of one type",
        }),
        details: "Exactly one of `terms`, `histogram`, `stats` and `percentiles` says what is to be made of them.",
        tag: "aggregate",
        action: Action::Find,
        parameters: [&request::AGGREGATION[..], &request::SELECTION].concat(),
        answer: Answer::json::<AggregateAnswer>(200, "What the aggregation makes of the events"),
    };
    question.operations(aggregate)
}

async fn aggregate(shared: Arc<Shared>, asked: Asked) -> Result<Response, Failure> {
    let Asked { caller, parameters, headers, scope, deadline, .. } = asked;
    let request = request::aggregate(parameters, shared.services.clock.now())?;
    let scope = scope.read(&shared, &headers, deadline).await?;
    let aggregated = shared.services.reader.aggregate(&caller, scope, request, deadline).await?;
    Ok(answer::json(StatusCode::OK, &AggregateAnswer::from(aggregated)))
}

impl From<Aggregated> for AggregateAnswer {
    fn from(aggregated: Aggregated) -> Self {
        match aggregated {
            Aggregated::Terms { field, buckets, distinct, without } => {
                let terms = buckets.into_iter().map(|bucket| term(field, bucket)).collect();
                Self::Terms { field: field.path, terms, distinct, without }
            }
            Aggregated::Histogram { field, interval, buckets } => {
                let span = |(start, count)| SpanAnswer { start: format_time(start), count };
                Self::Histogram { field: field.path, interval, histogram: buckets.into_iter().map(span).collect() }
            }
            Aggregated::Statistics { field, statistics: Statistics { values, min, max, sum } } => {
                let avg = (values > 0).then(|| sum / values as f64);
                Self::Stats { field: field.path, stats: StatsAnswer { count: values, min, max, sum, avg } }
            }
            Aggregated::Percentiles { field, percentiles } => {
                let answer = |(percent, value)| PercentileAnswer { percent, value };
                Self::Percentiles { field: field.path, percentiles: percentiles.into_iter().map(answer).collect() }
            }
        }
    }
}

/// A value as events have it.
fn term(field: &Field, Bucket { value, events }: Bucket) -> TermAnswer {
    let value = match (value, field.kind) {
        (Key::Integer(millis), Kind::Date) => json!(format_time(UnixMillis(millis))),
        (Key::Integer(number), Kind::Long64) => json!(number.to_string()),
        (Key::Integer(number), Kind::Boolean) => json!(number != 0),
        (Key::Integer(number), _) => json!(number),
        (Key::Number(number), _) => json!(number),
        (Key::Text(text), _) => json!(text),
    };
    TermAnswer { value, count: events }
}
