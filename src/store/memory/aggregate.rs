//! Aggregations, computed naively.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::values_of;
use crate::{
    event::UnixMillis,
    query::{Aggregate, Aggregation, Bucket, Interval, Key, Statistics, Subject, TooManySpans},
    schema::Field,
};

pub(super) fn of(documents: &[Value], aggregation: &Aggregation) -> Result<Aggregate, TooManySpans> {
    Ok(match aggregation {
        Aggregation::Terms { subject, limit } => terms(documents, subject, *limit),
        Aggregation::Histogram { field, interval } => Aggregate::Histogram(histogram(documents, field, interval)?),
        Aggregation::Statistics { field } => Aggregate::Statistics(statistics(&numbers(documents, field))),
        Aggregation::Percentiles { field, percents } => Aggregate::Percentiles(percentiles(documents, field, percents)),
    })
}

fn terms(documents: &[Value], subject: &Subject, limit: usize) -> Aggregate {
    let mut counts: Vec<Bucket> = Vec::new();
    let mut without = 0;
    for document in documents {
        let keys = distinct(document, subject);
        without += u64::from(keys.is_empty());
        for key in keys {
            match counts.iter_mut().find(|bucket| bucket.value == key) {
                Some(bucket) => bucket.events += 1,
                None => counts.push(Bucket { value: key, events: 1 }),
            }
        }
    }
    counts.sort_by(|one, other| {
        other.events.cmp(&one.events).then(one.value.compare_counted(&other.value, subject.field().kind))
    });
    let distinct = counts.len() as u64;
    counts.truncate(limit);
    Aggregate::Terms { buckets: counts, distinct, without }
}

fn keys(document: &Value, subject: &Subject) -> Vec<Key> {
    let values = values_of(document, subject).into_iter();
    values.filter_map(|value| Key::counted(value, subject.field())).collect()
}

fn distinct(document: &Value, subject: &Subject) -> Vec<Key> {
    let mut distinct: Vec<Key> = Vec::new();
    for key in keys(document, subject) {
        if !distinct.contains(&key) {
            distinct.push(key);
        }
    }
    distinct
}

fn histogram(
    documents: &[Value],
    field: &'static Field,
    interval: &Interval,
) -> Result<Vec<(UnixMillis, u64)>, TooManySpans> {
    let mut counts: BTreeMap<UnixMillis, u64> = BTreeMap::new();
    for document in documents {
        let starts: BTreeSet<_> =
            keys(document, &field.into()).iter().filter_map(|key| interval.start_of(millis(key)?)).collect();
        for start in starts {
            *counts.entry(start).or_default() += 1;
        }
    }
    interval.fill_gaps(&counts)
}

fn millis(key: &Key) -> Option<UnixMillis> {
    match key {
        Key::Integer(millis) => Some(UnixMillis(*millis)),
        Key::Number(_) | Key::Text(_) => None,
    }
}

fn numbers(documents: &[Value], field: &'static Field) -> Vec<f64> {
    let number = |key| match key {
        Key::Integer(integer) => Some(integer as f64),
        Key::Number(number) => Some(number),
        Key::Text(_) => None,
    };
    documents.iter().flat_map(|document| keys(document, &field.into())).filter_map(number).collect()
}

fn statistics(numbers: &[f64]) -> Statistics {
    Statistics {
        values: numbers.len() as u64,
        min: numbers.iter().copied().reduce(f64::min),
        max: numbers.iter().copied().reduce(f64::max),
        sum: numbers.iter().sum(),
    }
}

/// Interpolates linearly between neighbouring values.
fn percentiles(documents: &[Value], field: &'static Field, percents: &[f64]) -> Vec<Option<f64>> {
    let mut numbers = numbers(documents, field);
    numbers.sort_by(f64::total_cmp);
    let at = |percent: &f64| {
        let place = percent / 100.0 * numbers.len().checked_sub(1)? as f64;
        let (below, above) = (numbers.get(place.floor() as usize)?, numbers.get(place.ceil() as usize)?);
        Some(below + (above - below) * place.fract())
    };
    percents.iter().map(at).collect()
}
