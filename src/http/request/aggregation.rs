//! Parses the parameters of `_aggregate`.

use jiff::tz::TimeZone;

use super::{
    fields::{self, named},
    selection,
};
use crate::{
    error::Failure,
    event::UnixMillis,
    http::parameters::{NumberRange, Parameter, Parameters},
    query::MAX_BUCKETS,
    read::{AggregateRequest, BadAggregation, Buckets, Requested, parse_interval},
};

const TERMS: Parameter = Parameter::text(
    "terms",
    "A field or a label: its most frequent values first, each with the number of events that have it.",
)
.such_as("event.action");
const SIZE: Parameter = Parameter::number(
    "size",
    NumberRange { default: 10, min: 1, max: MAX_BUCKETS as u64 },
    "With `terms`: the maximum number of values.",
);
const HISTOGRAM: Parameter =
    Parameter::text("histogram", "A date field: the number of events in each interval.").such_as("@timestamp");
const INTERVAL: Parameter = Parameter::text(
    "interval",
    "With `histogram`: `auto` (about 50 to 100 intervals), a number of `ms`, `s`, `m`, `h` or `d`, or one of the calendar \
     intervals `1w`, `1M`, `1q`, `1y`, `2y`, `5y`, `10y`, `20y`, `50y`, `100y`. These and `1d` begin at midnight in \
     `time_zone`; all others are counted from the beginning of 1970 in UTC.",
)
.or("auto")
.such_as("1h");
const STATS: Parameter = Parameter::text(
    "stats",
    "A field with numbers, durations or dates: the number of values, their minimum, maximum, sum and mean.",
)
.such_as("event.duration");
const PERCENTILES: Parameter = Parameter::text(
    "percentiles",
    "A field with numbers, durations or dates: the values below which the given percentages of the values lie.",
)
.such_as("event.duration");
const PERCENTS: Parameter =
    Parameter::text("percents", "With `percentiles`: numbers from 0 to 100, separated by commas.").or("50,90,95,99");

pub(in crate::http) const AGGREGATION: [&Parameter; 7] =
    [&TERMS, &SIZE, &HISTOGRAM, &INTERVAL, &STATS, &PERCENTILES, &PERCENTS];

const DEFAULT_PERCENTS: [f64; 4] = [50.0, 90.0, 95.0, 99.0];

/// The kinds of aggregation, each with its additional parameter.
const KINDS: [(&Parameter, Option<&Parameter>); 4] =
    [(&TERMS, Some(&SIZE)), (&HISTOGRAM, Some(&INTERVAL)), (&STATS, None), (&PERCENTILES, Some(&PERCENTS))];

pub(in crate::http) fn aggregate(mut parameters: Parameters, now: UnixMillis) -> Result<AggregateRequest, Failure> {
    let zone = selection::zone(&mut parameters)?;
    let selection = selection::take_in(&mut parameters, &zone, now)?;
    let requested = requested(&mut parameters, zone)?;
    parameters.finish()?;
    Ok(AggregateRequest { selection, requested })
}

fn requested(parameters: &mut Parameters, zone: TimeZone) -> Result<Requested, Failure> {
    let kind = kind(parameters)?;
    let path = parameters.text(kind)?.unwrap_or_default();
    let subject = named(&path, kind.name)?;
    let requested = if kind.name == TERMS.name {
        let limit = usize::try_from(parameters.number(&SIZE)?).unwrap_or(usize::MAX);
        Requested::terms(subject, limit)
    } else if kind.name == HISTOGRAM.name {
        Requested::histogram(subject, buckets(parameters, zone)?)
    } else if kind.name == STATS.name {
        Requested::statistics(subject)
    } else {
        Requested::percentiles(subject, percents(parameters)?)
    };
    requested.map_err(|error| {
        let parameter = match error {
            BadAggregation::Field(_) => kind,
            BadAggregation::Limit { .. } => &SIZE,
            BadAggregation::TooManyPercents(_) | BadAggregation::Percent(_) => &PERCENTS,
        };
        Failure::parameter(parameter.name, error)
    })
}

/// Returns the requested kind. Parameters of other kinds are refused.
fn kind(parameters: &Parameters) -> Result<&'static Parameter, Failure> {
    let mut given = KINDS.iter().map(|(kind, _)| *kind).filter(|kind| parameters.has(kind));
    let kind = match (given.next(), given.next()) {
        (Some(kind), None) => kind,
        (Some(kind), Some(other)) => {
            return Err(Failure::parameter(other.name, format_args!("cannot be given together with {}", kind.name)));
        }
        (None, _) => {
            let message = "[request query]: expected one of [terms, histogram, stats, percentiles], with a field";
            return Err(Failure::invalid(message));
        }
    };
    for (other, companion) in KINDS {
        if let Some(companion) = companion.filter(|companion| other.name != kind.name && parameters.has(companion)) {
            let reason = format_args!("belongs to {}, but {} was requested", other.name, kind.name);
            return Err(Failure::parameter(companion.name, reason));
        }
    }
    Ok(kind)
}

fn buckets(parameters: &mut Parameters, zone: TimeZone) -> Result<Buckets, Failure> {
    match parameters.text(&INTERVAL)?.as_deref() {
        None | Some("auto") => Ok(Buckets::Auto(zone)),
        Some(text) => {
            parse_interval(text, &zone).map(Buckets::Of).map_err(|error| Failure::parameter(INTERVAL.name, error))
        }
    }
}

fn percents(parameters: &mut Parameters) -> Result<Vec<f64>, Failure> {
    let Some(texts) = fields::list(parameters, &PERCENTS)? else {
        return Ok(DEFAULT_PERCENTS.to_vec());
    };
    let percent = |text: &String| {
        let bad =
            |_| Failure::parameter(PERCENTS.name, format_args!("expected numbers from [0] to [100] but got [{text}]"));
        text.parse().map_err(bad)
    };
    texts.iter().map(percent).collect()
}
