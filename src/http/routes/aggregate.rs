//! `_aggregate`: the values of a field, their number over time, and their statistics.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::{
    described::{BodyErrors, IdsBody, ObjectPath, QuestionErrors, SelectionParameters, TypePath},
    find::whose_ids,
};
use crate::{
    access,
    audit::Action,
    error::Failure,
    event::UnixMillis,
    http::{
        Shared, answer,
        ask::{self, Whose},
        guard::Caller,
        parameters::{InSpace, Names, Parameters, invalid},
        request::{AggregateRequest, Asked, Selection, Spans},
        spans::{self, Span},
    },
    query::{Aggregate, Aggregation, Bucket, Key, MAX_BUCKETS, ScopedQuery, Statistics},
    schema::{Field, Kind},
    time::format_time,
};

/// What is to be made of the events: exactly one of `terms`, `histogram`, `stats` and `percentiles`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "a description")]
struct AggregateParameters {
    /// A field: its values, the most frequent first, each with the number of events that have it.
    #[param(example = "event.action")]
    terms: Option<String>,
    /// With `terms`: how many values.
    #[param(minimum = 1, maximum = 10_000, default = 10)]
    size: Option<u64>,
    /// A date: how many events there are in each span of time.
    #[param(example = "@timestamp")]
    histogram: Option<String>,
    /// With `histogram`: `auto` (at most about 100 spans), a number of `ms`, `s`, `m`, `h` or `d`, or one of `1w`, `1M`, `1q`, `1y` of the
    /// calendar in UTC.
    #[param(default = "auto", example = "1h")]
    interval: Option<String>,
    /// A number, a duration or a date: how many values there are, the least, the greatest, their sum and their mean.
    #[param(example = "event.duration")]
    stats: Option<String>,
    /// A number, a duration or a date: the values below which these percentages of the values lie.
    #[param(example = "event.duration")]
    percentiles: Option<String>,
    /// With `percentiles`: numbers from 0 to 100, separated by commas.
    #[param(default = "50,90,95,99")]
    percents: Option<String>,
}

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

/// Aggregate the events of a saved object
#[utoipa::path(
    get,
    path = "/api/event_log/{type}/{id}/_aggregate",
    operation_id = "aggregate_by_id",
    tag = "aggregate",
    params(
        ObjectPath,
        AggregateParameters,
        SelectionParameters,
    ),
    responses(
        (status = 200, description = "What the aggregation makes of the events", body = AggregateAnswer),
        QuestionErrors,
    )
)]
pub(in crate::http) async fn by_id(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    whose: Whose,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = AggregateRequest::parse(parameters, shared.services.clock.now())?;
    aggregate(&shared, &caller, request, whose, deadline).await
}

/// Aggregate all events that the caller may see
///
/// Under `/s/{space}` those of that space, else those of every space.
#[utoipa::path(
    get,
    path = "/api/event_log/_aggregate",
    operation_id = "aggregate",
    tag = "aggregate",
    params(AggregateParameters, SelectionParameters),
    responses(
        (status = 200, description = "What the aggregation makes of the events", body = AggregateAnswer),
        QuestionErrors,
    )
)]
pub(in crate::http) async fn visible(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    whose: Whose,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = AggregateRequest::parse(parameters, shared.services.clock.now())?;
    aggregate(&shared, &caller, request, whose, deadline).await
}

/// Aggregate the events of several saved objects of one type
#[utoipa::path(
    post,
    path = "/api/event_log/{type}/_aggregate",
    operation_id = "aggregate_by_ids",
    tag = "aggregate",
    params(
        TypePath,
        AggregateParameters,
        SelectionParameters,
    ),
    request_body(content((IdsBody = "application/json"))),
    responses(
        (status = 200, description = "What the aggregation makes of the events", body = AggregateAnswer),
        QuestionErrors,
        BodyErrors,
    )
)]
pub(in crate::http) async fn by_ids(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    InSpace(space): InSpace,
    names: Names,
    parameters: Parameters,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let deadline = shared.deadline();
    let request = AggregateRequest::parse(parameters, shared.services.clock.now())?;
    let whose = whose_ids(&shared, space, names, &headers, body, deadline).await?;
    aggregate(&shared, &caller, request, whose, deadline).await
}

async fn aggregate(
    shared: &Shared,
    caller: &Caller,
    request: AggregateRequest,
    whose: Whose,
    deadline: Instant,
) -> Result<Response, Failure> {
    let AggregateRequest { selection, asked } = request;
    let mut query = None;
    if !whose.is_nobody() {
        let permit = whose.permit(shared, caller, deadline, Action::Find).await?;
        query = Some(access::scope(permit, |scope| selection.query(scope, Vec::new())));
    }
    let store = Source { shared, query, deadline };
    let answer = match asked {
        Asked::Histogram { field, spans } => histogram(&store, &selection, field, spans).await?,
        Asked::Other(aggregation) => {
            let aggregate = store.aggregate(&aggregation).await?;
            shown(&aggregation, aggregate)?
        }
    };
    Ok(answer::json(StatusCode::OK, &answer))
}

/// Where the answers come from.
struct Source<'a> {
    shared: &'a Shared,
    /// `None` where there is nothing to ask about.
    query: Option<ScopedQuery>,
    deadline: Instant,
}

impl Source<'_> {
    async fn aggregate(&self, aggregation: &Aggregation) -> Result<Aggregate, Failure> {
        match &self.query {
            Some(query) => {
                ask::answered(self.deadline, self.shared.services.query_store.aggregate(query, aggregation)).await
            }
            None => Ok(nothing(aggregation)),
        }
    }

    /// The first and the last instant of a date; `None` if no event has one.
    async fn reach(&self, field: &'static Field) -> Result<Option<(UnixMillis, UnixMillis)>, Failure> {
        let statistics = match self.aggregate(&Aggregation::Statistics { field }).await? {
            Aggregate::Statistics(statistics) => statistics,
            other @ (Aggregate::Terms { .. } | Aggregate::Histogram(_) | Aggregate::Percentiles(_)) => {
                return Err(misfit(&other));
            }
        };
        let millis = |number: f64| UnixMillis(number as i64);
        Ok(statistics.min.zip(statistics.max).map(|(min, max)| (millis(min), millis(max))))
    }
}

/// What an aggregation makes of no events.
fn nothing(aggregation: &Aggregation) -> Aggregate {
    match aggregation {
        Aggregation::Terms { .. } => Aggregate::Terms { buckets: Vec::new(), distinct: 0, without: 0 },
        Aggregation::Histogram { .. } => Aggregate::Histogram(Vec::new()),
        Aggregation::Statistics { .. } => Aggregate::Statistics(Statistics::default()),
        Aggregation::Percentiles { percents, .. } => Aggregate::Percentiles(vec![None; percents.len()]),
    }
}

async fn histogram(
    store: &Source<'_>,
    selection: &Selection,
    field: &'static Field,
    spans: Spans,
) -> Result<AggregateAnswer, Failure> {
    let bounds = selection.start.zip(selection.end).filter(|_| field.path == "@timestamp");
    // The events may take far less time than the bounds leave them.
    let reach = match bounds.filter(|bounds| fits(&spans, *bounds)) {
        Some(bounds) => Some(bounds),
        None => store.reach(field).await?,
    };
    let span = span(spans, reach, field)?;
    let interval = span.interval;
    let spans = match store.aggregate(&Aggregation::Histogram { field, interval }).await? {
        Aggregate::Histogram(spans) => spans,
        other @ (Aggregate::Terms { .. } | Aggregate::Statistics(_) | Aggregate::Percentiles(_)) => {
            return Err(misfit(&other));
        }
    };
    let histogram = spans.into_iter().map(|(start, count)| SpanAnswer { start: format_time(start), count }).collect();
    Ok(AggregateAnswer::Histogram { field: field.path, interval: span.name, histogram })
}

/// Whether an answer can hold the spans from the one to the other.
fn fits(spans: &Spans, (first, last): (UnixMillis, UnixMillis)) -> bool {
    match spans {
        Spans::Auto => true,
        Spans::Of(span) => span.interval.spans(first, last).is_ok(),
    }
}

/// The span to use, if an answer can hold as many as there would be.
fn span(spans: Spans, reach: Option<(UnixMillis, UnixMillis)>, field: &Field) -> Result<Span, Failure> {
    let (first, last) = reach.unwrap_or((UnixMillis(0), UnixMillis(0)));
    let fits = fits(&spans, (first, last));
    match spans {
        Spans::Auto => Ok(spans::auto(first, last)),
        Spans::Of(span) if fits => Ok(span),
        Spans::Of(span) => {
            let reason = format!(
                "[{}] makes more than [{MAX_BUCKETS}] spans of {} from {} to {}; expected a longer one, or [auto]",
                span.name,
                field.path,
                format_time(first),
                format_time(last)
            );
            Err(invalid("interval", reason))
        }
    }
}

fn shown(aggregation: &Aggregation, aggregate: Aggregate) -> Result<AggregateAnswer, Failure> {
    match (aggregation, aggregate) {
        (Aggregation::Terms { field, .. }, Aggregate::Terms { buckets, distinct, without }) => {
            let terms = buckets.into_iter().map(|bucket| term(field, bucket)).collect();
            Ok(AggregateAnswer::Terms { field: field.path, terms, distinct, without })
        }
        (Aggregation::Statistics { field }, Aggregate::Statistics(Statistics { values, min, max, sum })) => {
            let avg = (values > 0).then(|| sum / values as f64);
            Ok(AggregateAnswer::Stats { field: field.path, stats: StatsAnswer { count: values, min, max, sum, avg } })
        }
        (Aggregation::Percentiles { field, percents }, Aggregate::Percentiles(values)) => {
            let answer = |(percent, value): (&f64, Option<f64>)| PercentileAnswer { percent: *percent, value };
            let percentiles = percents.iter().zip(values).map(answer).collect();
            Ok(AggregateAnswer::Percentiles { field: field.path, percentiles })
        }
        (_, other) => Err(misfit(&other)),
    }
}

fn misfit(aggregate: &Aggregate) -> Failure {
    Failure::internal(format!("the store answered another question: {aggregate:?}"))
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
