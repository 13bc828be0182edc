//! `_aggregate`: values of a field, counts over time, and statistics.

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};
use serde_json::json;
use tokio::task;

use super::question::{Asked, Form, Question};
use crate::{
    audit::Action,
    error::Failure,
    event::UnixMillis,
    http::{
        LARGE, Shared, answer, held_body,
        operation::{Answer, Operation},
        request,
    },
    query::{self, Bucket, Key},
    read::Aggregated,
    schema::{Field, Kind},
    time::format_time,
    wire::{
        AggregateAnswer, FieldStatistics, HistogramAnswer, HistogramBucket, Percentile, PercentilesAnswer, StatsAnswer,
        Term, TermsAnswer,
    },
};

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
        details: "Requires exactly one of `terms`, `histogram`, `stats` and `percentiles`.",
        tag: "aggregate",
        action: Action::Find,
        parameters: [&request::AGGREGATION[..], &request::SELECTION].concat(),
        answer: Answer::json::<AggregateAnswer>(200, "The result of the aggregation"),
    };
    question.operations(aggregate)
}

async fn aggregate(shared: Arc<Shared>, asked: Asked) -> Result<Response, Failure> {
    let Asked { caller, parameters, headers, scope, deadline, .. } = asked;
    let request = request::aggregate(parameters, shared.services.clock.now())?;
    let scope = scope.read(&shared, &caller, &headers, deadline).await?;
    let (aggregated, memory) = shared.services.reader.aggregate(&caller, scope, request, deadline).await?;
    let write = move || serde_json::to_vec(&AggregateAnswer::from(aggregated));
    let written = if memory.bytes() > LARGE {
        task::spawn_blocking(write).await.map_err(|error| Failure::internal(error.to_string()))?
    } else {
        write()
    };
    let body = written.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(answer::json_bytes(StatusCode::OK, held_body::body(body, memory)))
}

impl From<Aggregated> for AggregateAnswer {
    fn from(aggregated: Aggregated) -> Self {
        let path = |field: &Field| field.path.to_owned();
        match aggregated {
            Aggregated::Terms { subject, buckets, distinct, without } => {
                let terms = buckets.into_iter().map(|bucket| term(subject.field(), bucket)).collect();
                Self::Terms(TermsAnswer { field: subject.path(), terms, distinct, without })
            }
            Aggregated::Histogram { field, interval, buckets } => {
                let interval_of = |(start, count)| HistogramBucket { start: format_time(start), count };
                let histogram = buckets.into_iter().map(interval_of).collect();
                Self::Histogram(HistogramAnswer { field: path(field), interval, histogram })
            }
            Aggregated::Statistics { field, statistics: query::Statistics { values, min, max, sum } } => {
                let avg = (values > 0).then(|| sum / values as f64);
                Self::Stats(StatsAnswer {
                    field: path(field),
                    stats: FieldStatistics { count: values, min, max, sum, avg },
                })
            }
            Aggregated::Percentiles { field, percentiles } => {
                let percentiles =
                    percentiles.into_iter().map(|(percent, value)| Percentile { percent, value }).collect();
                Self::Percentiles(PercentilesAnswer { field: path(field), percentiles })
            }
        }
    }
}

/// Formats the value as it is in events.
fn term(field: &Field, Bucket { value, events }: Bucket) -> Term {
    let value = match (value, field.kind) {
        (Key::Integer(millis), Kind::Date) => json!(format_time(UnixMillis(millis))),
        (Key::Integer(number), Kind::Long64) => json!(number.to_string()),
        (Key::Integer(number), Kind::Boolean) => json!(number != 0),
        (Key::Integer(number), _) => json!(number),
        (Key::Number(number), _) => json!(number),
        (Key::Text(text), _) => json!(text),
    };
    Term { value, count: events }
}
