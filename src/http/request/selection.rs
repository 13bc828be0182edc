//! Which events a request is about: the part that all questions share.

use crate::{
    error::Failure,
    event::UnixMillis,
    http::parameters::{Parameters, invalid},
    query::{
        PAGE_BYTES, Query, Scope, Sort,
        filter::Filter,
        kql,
        moment::{self, Moment},
    },
};

/// `start`, `end` and `filter`.
#[derive(Debug)]
pub(in crate::http) struct Selection {
    pub(in crate::http) start: Option<UnixMillis>,
    pub(in crate::http) end: Option<UnixMillis>,
    pub(in crate::http) filter: Filter,
    /// The filter as it was written, without the white space around it.
    pub(super) filter_text: String,
}

impl Selection {
    pub(in crate::http) fn take(parameters: &mut Parameters, now: UnixMillis) -> Result<Self, Failure> {
        let start = moment(parameters, "start", now)?.map(|start| start.first);
        let end = moment(parameters, "end", now)?.map(|end| end.last);
        let (filter_text, filter) = filter(parameters, now)?;
        Ok(Self { start, end, filter, filter_text })
    }

    /// All events of the selection in this scope; the first page is empty.
    pub(in crate::http) fn query(&self, scope: Scope, sort: Vec<Sort>) -> Query {
        Query {
            scope,
            start: self.start,
            end: self.end,
            filter: self.filter.clone(),
            sort,
            after: None,
            offset: 0,
            limit: 0,
            bytes: PAGE_BYTES,
        }
    }
}

/// A moment, as the parameter has it.
pub(in crate::http) fn moment(
    parameters: &mut Parameters,
    name: &str,
    now: UnixMillis,
) -> Result<Option<Moment>, Failure> {
    let Some(text) = parameters.take(name, "string")? else {
        return Ok(None);
    };
    moment::parse(&text, now).map(Some).map_err(|bad| invalid(name, format!("expected {bad}")))
}

/// The filter and its text. A blank one is no filter, as in Kibana.
pub(in crate::http) fn filter(parameters: &mut Parameters, now: UnixMillis) -> Result<(String, Filter), Failure> {
    let text = parameters.take("filter", "string")?.unwrap_or_default();
    let text = text.trim();
    let filter = if text.is_empty() { Filter::EVERYTHING } else { parse(text, now)? };
    Ok((text.to_owned(), filter))
}

/// What is wrong is said, and shown below.
fn parse(text: &str, now: UnixMillis) -> Result<Filter, Failure> {
    kql::parse(text, now).map_err(|error| {
        let pointed = error.pointed();
        let place: Vec<_> = pointed.lines().take(2).collect();
        invalid("filter", format!("{error}\n{}", place.join("\n")))
    })
}
