//! `_aggregate`: what is to be made of the events.

use super::{
    Selection,
    fields::{self, named},
};
use crate::{
    error::Failure,
    event::UnixMillis,
    http::{
        parameters::{NumberRange, Parameters, invalid},
        spans::{self, Span},
    },
    query::{Aggregation, Interval, MAX_BUCKETS, NotAggregatable},
    schema::Field,
};

const SIZE: NumberRange = NumberRange { default: 10, min: 1, max: MAX_BUCKETS as u64 };
const PERCENTS: [f64; 4] = [50.0, 90.0, 95.0, 99.0];
const MAX_PERCENTS: usize = 20;

/// The kinds of aggregation, by their parameters, each with the one that belongs to it.
const KINDS: [(&str, Option<&str>); 4] =
    [("terms", Some("size")), ("histogram", Some("interval")), ("stats", None), ("percentiles", Some("percents"))];

#[derive(Debug)]
pub(in crate::http) struct AggregateRequest {
    pub(in crate::http) selection: Selection,
    pub(in crate::http) asked: Asked,
}

#[derive(Debug)]
pub(in crate::http) enum Asked {
    Histogram {
        field: &'static Field,
        spans: Spans,
    },
    /// Terms, statistics or percentiles.
    Other(Aggregation),
}

/// How long the spans of a histogram are.
#[derive(Debug)]
pub(in crate::http) enum Spans {
    /// As fits the time that the events take.
    Auto,
    Of(Span),
}

impl AggregateRequest {
    pub(in crate::http) fn parse(mut parameters: Parameters, now: UnixMillis) -> Result<Self, Failure> {
        let selection = Selection::take(&mut parameters, now)?;
        let asked = Asked::take(&mut parameters)?;
        parameters.finish()?;
        Ok(Self { selection, asked })
    }
}

impl Asked {
    fn take(parameters: &mut Parameters) -> Result<Self, Failure> {
        let kind = kind(parameters)?;
        let path = parameters.take(kind, "string")?.unwrap_or_default();
        let field = named(&path, kind)?;
        let asked = match kind {
            "terms" => Self::terms(parameters, field)?,
            "histogram" => Self::Histogram { field, spans: spans(parameters)? },
            "stats" => Self::Other(Aggregation::Statistics { field }),
            _ => Self::Other(Aggregation::Percentiles { field, percents: percents(parameters)? }),
        };
        asked.check().map_err(|error| invalid(kind, error))?;
        Ok(asked)
    }

    fn terms(parameters: &mut Parameters, field: &'static Field) -> Result<Self, Failure> {
        let limit = parameters.take_number("size", SIZE)?;
        Ok(Self::Other(Aggregation::Terms { field, limit: usize::try_from(limit).unwrap_or(MAX_BUCKETS) }))
    }

    fn check(&self) -> Result<(), NotAggregatable> {
        match self {
            Self::Histogram { field, .. } => Aggregation::Histogram { field, interval: Interval::Millis(1) }.check(),
            Self::Other(aggregation) => aggregation.check(),
        }
    }
}

/// The one kind that is asked for. What belongs to another kind is refused.
fn kind(parameters: &Parameters) -> Result<&'static str, Failure> {
    let mut given = KINDS.iter().map(|(kind, _)| *kind).filter(|kind| parameters.has(kind));
    let kind = match (given.next(), given.next()) {
        (Some(kind), None) => kind,
        (Some(kind), Some(other)) => return Err(invalid(other, format_args!("cannot be given together with {kind}"))),
        (None, _) => {
            let message = "[request query]: expected one of [terms, histogram, stats, percentiles], with a field";
            return Err(Failure::invalid(message));
        }
    };
    for (other, companion) in KINDS {
        if let Some(companion) = companion.filter(|companion| other != kind && parameters.has(companion)) {
            return Err(invalid(companion, format_args!("belongs to {other}, and {kind} is asked for")));
        }
    }
    Ok(kind)
}

fn spans(parameters: &mut Parameters) -> Result<Spans, Failure> {
    match parameters.take("interval", "string")?.as_deref() {
        None | Some("auto") => Ok(Spans::Auto),
        Some(text) => spans::parse(text).map(Spans::Of).map_err(|error| invalid("interval", error)),
    }
}

fn percents(parameters: &mut Parameters) -> Result<Vec<f64>, Failure> {
    let Some(texts) = fields::list(parameters, "percents")? else {
        return Ok(PERCENTS.to_vec());
    };
    if texts.len() > MAX_PERCENTS {
        let reason = format!("array size is [{}], but cannot be greater than [{MAX_PERCENTS}]", texts.len());
        return Err(invalid("percents", reason));
    }
    let percent = |text: &String| {
        let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
        number.ok_or_else(|| invalid("percents", format_args!("expected numbers from [0] to [100] but got [{text}]")))
    };
    texts.iter().map(percent).collect()
}
