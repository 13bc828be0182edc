//! Parses the selection of events, which most queries share.

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

pub(in crate::http) const SELECTION: [&Parameter; 3] = [&START, &END, &FILTER];

/// Parses a request whose only parameters are the selection.
pub(in crate::http) fn selection(mut parameters: Parameters, now: UnixMillis) -> Result<Selection, Failure> {
    let selection = take(&mut parameters, now)?;
    parameters.finish()?;
    Ok(selection)
}

/// Takes `start`, `end` and `filter`.
pub(super) fn take(parameters: &mut Parameters, now: UnixMillis) -> Result<Selection, Failure> {
    let start = moment(parameters, &START, now)?.map(|start| start.first);
    let end = moment(parameters, &END, now)?.map(|end| end.last);
    let (filter_text, filter) = filter(parameters, now)?;
    Ok(Selection { start, end, filter, filter_text })
}

/// Takes the moment in a parameter.
pub(super) fn moment(
    parameters: &mut Parameters,
    parameter: &Parameter,
    now: UnixMillis,
) -> Result<Option<Moment>, Failure> {
    let Some(text) = parameters.text(parameter)? else {
        return Ok(None);
    };
    moment::parse(&text, now).map(Some).map_err(|bad| Failure::parameter(parameter.name, format!("expected {bad}")))
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
