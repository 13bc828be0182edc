//! Aggregations in the engines' query language, and their answers.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ElasticStore,
    search::{self, SearchAnswer},
    values::{AggregatedField, AggregatedValues, CountedTerms, Counts, read},
};
use crate::{
    event::UnixMillis,
    query::{Aggregate, Aggregation, Interval, Query, Statistics, Subject, Unit},
    schema::Field,
    store::IndexError,
};

/// The longest interval, in milliseconds, that the engines can compute with; all dates are closer together.
const MAX_INTERVAL_MILLIS: i64 = 1_000_000_000_000_000;

pub(super) async fn aggregate(
    store: &ElasticStore,
    query: &Query,
    aggregation: &Aggregation,
) -> Result<Aggregate, IndexError> {
    aggregation.check().map_err(|error| refused(error.to_string()))?;
    let counted = match aggregation {
        Aggregation::Terms { subject: Subject::Label(label), .. } => Some(label),
        Aggregation::Terms { subject: Subject::Field(_), .. }
        | Aggregation::Histogram { .. }
        | Aggregation::Statistics { .. }
        | Aggregation::Percentiles { .. } => None,
    };
    let terms = store.label_terms(counted.is_some() || search::has_labels(query)).await?;
    let request = AggregationRequest { store, matching: search::matching(query, counted, terms) };
    Ok(match aggregation {
        Aggregation::Terms { subject, limit } => {
            let values = match subject {
                Subject::Field(field) => AggregatedField::of(field),
                Subject::Label(label) => AggregatedField::label(label, terms),
            };
            let CountedTerms { buckets, distinct, without } = values.count(store, &request.matching, *limit).await?;
            Aggregate::Terms { buckets, distinct, without }
        }
        Aggregation::Histogram { field, interval } => Aggregate::Histogram(request.histogram(field, interval).await?),
        Aggregation::Statistics { field } => {
            Aggregate::Statistics(request.statistics(&AggregatedField::of(field)).await?.into())
        }
        Aggregation::Percentiles { field, percents } => {
            Aggregate::Percentiles(request.percentiles(&AggregatedField::of(field), percents).await?)
        }
    })
}

fn refused(reason: String) -> IndexError {
    IndexError::Refused { reason }
}

/// The events to aggregate.
struct AggregationRequest<'a> {
    store: &'a ElasticStore,
    matching: Value,
}

impl AggregationRequest<'_> {
    async fn ask<T: for<'a> Deserialize<'a> + Default>(&self, aggregations: Value) -> Result<T, IndexError> {
        let body = search::aggregations(&self.matching, aggregations, &self.store.search_timeout());
        let answer = self.store.search(body).await?;
        let AggregatedValues { values, .. } = read(&SearchAnswer::read(&answer)?, &answer)?;
        Ok(values)
    }

    /// Checks the number of spans first, because OpenSearch accepts any number and may break down under it.
    async fn histogram(
        &self,
        field: &'static Field,
        interval: &Interval,
    ) -> Result<Vec<(UnixMillis, u64)>, IndexError> {
        let values = AggregatedField::of(field);
        let Extent { min: Some(min), max: Some(max), .. } = self.statistics(&values).await? else {
            return Ok(Vec::new());
        };
        interval.spans(UnixMillis(min as i64), UnixMillis(max as i64))?;
        let (kind, length, zone) = match interval {
            Interval::Millis(length) => {
                ("fixed_interval", format!("{}ms", (*length).min(MAX_INTERVAL_MILLIS)), "UTC".to_owned())
            }
            Interval::Calendar(unit, zone) => ("calendar_interval", name(*unit).to_owned(), zone_name(zone)),
        };
        let aggregation =
            json!({"date_histogram": {"field": values.path(), kind: length, "time_zone": zone, "min_doc_count": 1}});
        let Histogram { buckets } = self.ask(values.wrap_buckets(aggregation)).await?;
        let mut counts: BTreeMap<UnixMillis, u64> = BTreeMap::new();
        for HistogramBucket { key, counts: events } in buckets {
            if let Some(start) = interval.start_of(UnixMillis(key)) {
                *counts.entry(start).or_default() += events.events();
            }
        }
        Ok(interval.fill_gaps(&counts)?)
    }

    async fn statistics(&self, values: &AggregatedField) -> Result<Extent, IndexError> {
        self.ask(values.wrap(json!({"stats": {"field": values.path()}}))).await
    }

    async fn percentiles(&self, values: &AggregatedField, percents: &[f64]) -> Result<Vec<Option<f64>>, IndexError> {
        if percents.is_empty() {
            return Ok(Vec::new());
        }
        // Distinct and ascending, as the engines answer.
        let mut asked = percents.to_vec();
        asked.sort_by(f64::total_cmp);
        asked.dedup();
        let aggregation = json!({"percentiles": {"field": values.path(), "percents": asked, "keyed": false}});
        let Percentiles { values: found } = self.ask(values.wrap(aggregation)).await?;
        let value = |percent: &f64| {
            let at = asked.iter().position(|asked| asked.total_cmp(percent).is_eq())?;
            found.get(at)?.value
        };
        Ok(percents.iter().map(value).collect())
    }
}

/// Returns the engines' name of a time zone.
fn zone_name(zone: &TimeZone) -> String {
    if let Some(name) = zone.iana_name() {
        return name.to_owned();
    }
    let seconds = zone.to_fixed_offset().map_or(0, jiff::tz::Offset::seconds);
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Returns the unit from whose spans those of this one are summed up.
const fn name(unit: Unit) -> &'static str {
    match unit {
        Unit::Day => "day",
        Unit::Week => "week",
        Unit::Month => "month",
        Unit::Quarter => "quarter",
        Unit::Years(_) => "year",
    }
}

#[derive(Default, Deserialize)]
struct Histogram {
    buckets: Vec<HistogramBucket>,
}

#[derive(Deserialize)]
struct HistogramBucket {
    key: i64,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Default, Deserialize)]
struct Extent {
    count: u64,
    min: Option<f64>,
    max: Option<f64>,
    sum: f64,
}

impl From<Extent> for Statistics {
    fn from(Extent { count, min, max, sum }: Extent) -> Self {
        Self { values: count, min, max, sum }
    }
}

#[derive(Default, Deserialize)]
struct Percentiles {
    values: Vec<Percentile>,
}

#[derive(Deserialize)]
struct Percentile {
    value: Option<f64>,
}
