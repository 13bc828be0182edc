//! Parses the parameters of `_tail`.

use axum::http::HeaderMap;

use super::{
    fields,
    selection::{FILTER, filter, moment},
};
use crate::{
    error::Failure,
    event::UnixMillis,
    http::parameters::{Parameter, Parameters},
    read::{Begin, Positions, TailRequest},
};

const SINCE: Parameter = Parameter::text(
    "since",
    "Start with events that happened since this time: a date, a date and time, or a duration before now. Without it, start \
     with events that are stored from now on.",
)
.such_as("10m");
const LAST_EVENT_ID: Parameter = Parameter::text(
    "last_event_id",
    "The id of an event of a tail, to resume after it; the header `last-event-id` takes precedence. The `since` of that tail \
     still applies.",
);
const HEADER: &str = "last-event-id";

pub(in crate::http) const TAIL: [&Parameter; 3] = [&SINCE, &LAST_EVENT_ID, &FILTER];

pub(in crate::http) fn tail(
    mut parameters: Parameters,
    headers: &HeaderMap,
    now: UnixMillis,
) -> Result<TailRequest, Failure> {
    let begin = begin(&mut parameters, headers, now)?;
    let (_, filter) = filter(&mut parameters, now)?;
    let projection = fields::chosen(&mut parameters, &fields::FIELDS)?;
    parameters.finish()?;
    Ok(TailRequest { filter, projection, begin })
}

/// The header takes precedence over the parameter, because a browser that reconnects sends a newer id than the one in its URL;
/// both take precedence over `since`.
fn begin(parameters: &mut Parameters, headers: &HeaderMap, now: UnixMillis) -> Result<Begin, Failure> {
    let since = moment(parameters, &SINCE, now)?.map(|since| since.first);
    let parameter = parameters.text(&LAST_EVENT_ID)?.filter(|text| !text.is_empty());
    let of_parameter =
        parameter.map(|text| Positions::decode(&text).map_err(|error| Failure::parameter(LAST_EVENT_ID.name, error)));
    let of_parameter = of_parameter.transpose()?;
    if let Some(positions) = in_header(headers)?.or(of_parameter) {
        return Ok(Begin::Resumed(positions));
    }
    Ok(since.map_or(Begin::Now, Begin::Since))
}

fn in_header(headers: &HeaderMap) -> Result<Option<Positions>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::invalid(format!("[request headers.{HEADER}]: {error}"));
    let mut values = headers.get_all(HEADER).iter();
    let text = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.to_str().map_err(|_| wrong(&"expected ASCII text"))?,
        (Some(_), Some(_)) => return Err(wrong(&"expected one, found several")),
    };
    if text.is_empty() {
        return Ok(None);
    }
    Positions::decode(text).map(Some).map_err(|error| wrong(&error))
}
