//! Parses the selection of events, which most queries share.

use jiff::tz::{Offset, TimeZone};

use crate::{
    error::Failure,
    event::UnixMillis,
    http::parameters::{Parameter, Parameters},
    query::{
        filter::Filter,
        kql,
        moment::{self, Moment},
    },
    read::Selection,
};

const START: Parameter = Parameter::text(
    "start",
    "The earliest `@timestamp`, inclusive: a date, a date and time, a duration before now, or date math.",
)
.such_as("2021-03-02");
const END: Parameter =
    Parameter::text("end", "The latest `@timestamp`, inclusive. A date without a time means the end of that day.")
        .such_as("1h");
pub(super) const FILTER: Parameter =
    Parameter::text("filter", "KQL: only matching events.").such_as("event.outcome:failure");

const TIME_ZONE: Parameter = Parameter::text(
    "time_zone",
    "The time zone of dates without an offset in `start` and `end`, and of days and longer intervals of a histogram: `UTC`, a \
     name such as `Europe/Helsinki`, or an offset such as `+02:00`. A time that occurs twice stands for both. Date math, and \
     dates in `filter`, are in UTC.",
)
.or("UTC")
.such_as("Europe/Helsinki");

pub(in crate::http) const SELECTION: [&Parameter; 4] = [&START, &END, &TIME_ZONE, &FILTER];

/// Parses a request whose only parameters are the selection.
pub(in crate::http) fn selection(mut parameters: Parameters, now: UnixMillis) -> Result<Selection, Failure> {
    let selection = take(&mut parameters, now)?;
    parameters.finish()?;
    Ok(selection)
}

/// Takes `start`, `end`, `time_zone` and `filter`.
pub(super) fn take(parameters: &mut Parameters, now: UnixMillis) -> Result<Selection, Failure> {
    let zone = zone(parameters)?;
    take_in(parameters, &zone, now)
}

/// Takes `time_zone`.
pub(super) fn zone(parameters: &mut Parameters) -> Result<TimeZone, Failure> {
    let Some(text) = parameters.text(&TIME_ZONE)? else {
        return Ok(TimeZone::UTC);
    };
    parse_zone(&text).ok_or_else(|| {
        let expected = "expected UTC, a name such as Europe/Helsinki or an offset such as +02:00";
        Failure::parameter(TIME_ZONE.name, format_args!("{expected} but got [{text}]"))
    })
}

/// Returns a zone that the engines know by the same name, or offset.
fn parse_zone(text: &str) -> Option<TimeZone> {
    if matches!(text, "UTC" | "Z") {
        return Some(TimeZone::UTC);
    }
    // A blank stands for a plus sign that was put into a URL unencoded.
    if let Some(offset) = text.strip_prefix(['+', '-', ' ']) {
        let (hours, minutes) = offset.split_once(':').or_else(|| offset.split_at_checked(2))?;
        let number = |text: &str| {
            let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<i32>().ok().filter(|_| is_number)
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let seconds = Some((hours * 60 + minutes) * 60).filter(|seconds| minutes < 60 && *seconds <= 18 * 3_600)?;
        return Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok().map(TimeZone::fixed);
    }
    let zone = TimeZone::get(text).ok()?;
    let is_region = |name: &str| name.contains('/') && name.starts_with(|first: char| first.is_ascii_uppercase());
    zone.iana_name().is_some_and(is_region).then_some(zone)
}

/// Takes `start`, `end` and `filter`.
pub(super) fn take_in(parameters: &mut Parameters, zone: &TimeZone, now: UnixMillis) -> Result<Selection, Failure> {
    let mut edge = |parameter| match parameters.text(parameter)? {
        None => Ok(None),
        Some(text) => match moment::in_zone(&text, zone) {
            Some(moment) if *zone != TimeZone::UTC => Ok(Some(moment)),
            _ => parse_moment(&text, parameter, now).map(Some),
        },
    };
    let start = edge(&START)?.map(|start| start.first);
    let end = edge(&END)?.map(|end| end.last);
    let (filter_text, filter) = filter(parameters, now)?;
    Ok(Selection { start, end, filter, filter_text })
}

/// Takes the moment in a parameter; dates without an offset are in UTC.
pub(super) fn moment(
    parameters: &mut Parameters,
    parameter: &Parameter,
    now: UnixMillis,
) -> Result<Option<Moment>, Failure> {
    let Some(text) = parameters.text(parameter)? else {
        return Ok(None);
    };
    parse_moment(&text, parameter, now).map(Some)
}

fn parse_moment(text: &str, parameter: &Parameter, now: UnixMillis) -> Result<Moment, Failure> {
    moment::parse(text, now).map_err(|bad| Failure::parameter(parameter.name, format!("expected {bad}")))
}

/// Takes the filter; returns it with its text. As in Kibana, a blank text means no filter.
pub(super) fn filter(parameters: &mut Parameters, now: UnixMillis) -> Result<(String, Filter), Failure> {
    let text = parameters.text(&FILTER)?.unwrap_or_default();
    let text = text.trim();
    let filter = if text.is_empty() { Filter::EVERYTHING } else { parse(text, now)? };
    Ok((text.to_owned(), filter))
}

/// Parses KQL. The error message shows the position of the error in the text.
fn parse(text: &str, now: UnixMillis) -> Result<Filter, Failure> {
    kql::parse(text, now).map_err(|error| {
        let rendered = error.render();
        let place: Vec<_> = rendered.lines().take(2).collect();
        Failure::parameter(FILTER.name, format!("{error}\n{}", place.join("\n")))
    })
}
