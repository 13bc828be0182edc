//! `_tail`: which events, and from where on.

use axum::http::HeaderMap;

use super::{
    fields,
    selection::{filter, moment},
};
use crate::{
    error::Failure,
    event::UnixMillis,
    http::{
        parameters::{Parameters, invalid},
        projection::Projection,
        tail::Positions,
    },
    query::filter::Filter,
};

const HEADER: &str = "last-event-id";
const PARAMETER: &str = "last_event_id";

pub(in crate::http) struct TailRequest {
    pub(in crate::http) filter: Filter,
    pub(in crate::http) projection: Projection,
    pub(in crate::http) begin: Begin,
}

/// Where a tail begins.
pub(in crate::http) enum Begin {
    /// With what is stored from now on.
    Now,
    /// With all events that happened from then on.
    Since(UnixMillis),
    /// Where another one ended.
    Resumed(Positions),
}

impl TailRequest {
    pub(in crate::http) fn parse(
        mut parameters: Parameters,
        headers: &HeaderMap,
        now: UnixMillis,
    ) -> Result<Self, Failure> {
        let begin = begin(&mut parameters, headers, now)?;
        let (_, filter) = filter(&mut parameters, now)?;
        let projection = fields::chosen(&mut parameters)?;
        parameters.finish()?;
        Ok(Self { filter, projection, begin })
    }
}

/// What a browser sends when it comes back is newer than what its page was made with, so the header goes before the
/// parameter, and either before `since`.
fn begin(parameters: &mut Parameters, headers: &HeaderMap, now: UnixMillis) -> Result<Begin, Failure> {
    let since = moment(parameters, "since", now)?.map(|since| since.first);
    let parameter = parameters.take(PARAMETER, "string")?.filter(|text| !text.is_empty());
    let of_parameter = parameter.map(|text| Positions::decode(&text).map_err(|error| invalid(PARAMETER, error)));
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
