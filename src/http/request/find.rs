//! Parses the parameters of `_find`: selection, order, paging and fields.

use super::{fields, selection, sort};
use crate::{
    error::Failure,
    event::UnixMillis,
    http::parameters::{MAX_SAFE, NumberRange, Parameter, Parameters},
    query::RESULT_WINDOW,
    read::{BadPaging, Cursor, FindRequest, Paging},
};

const PAGE: Parameter = Parameter::number(
    "page",
    NumberRange { default: 1, min: 1, max: MAX_SAFE },
    "From 1. Pages reach to the 10,000th event; `after` goes beyond.",
);
const PER_PAGE: Parameter = Parameter::number(
    "per_page",
    NumberRange { default: 10, min: 0, max: MAX_SAFE },
    "0 returns only the total. A page of more than 64 MiB of events is refused.",
)
.of_use_up_to(RESULT_WINDOW);
const AFTER: Parameter = Parameter::text(
    "after",
    "Instead of `page`: empty for the first page, then the `next` of the previous answer, which is null only at the end: a \
     page that reaches 64 MiB ends before it has `per_page` events. Everything except `per_page` and `fields` must stay the \
     same.",
)
.such_as("");

pub(in crate::http) const PAGING: [&Parameter; 3] = [&PAGE, &PER_PAGE, &AFTER];

pub(in crate::http) fn find(mut parameters: Parameters, now: UnixMillis) -> Result<FindRequest, Failure> {
    let paging = paging(&mut parameters, now)?;
    let sort = sort::take(&mut parameters)?;
    let selection = selection::take(&mut parameters, paging.asked(now))?;
    let projection = fields::chosen(&mut parameters, &fields::FIELDS)?;
    parameters.finish()?;
    Ok(FindRequest { selection, sort, paging, projection })
}

fn paging(parameters: &mut Parameters, now: UnixMillis) -> Result<Paging, Failure> {
    let has_page = parameters.has(&PAGE);
    let page = parameters.number(&PAGE)?;
    let per_page = parameters.number(&PER_PAGE)?;
    let Some(after) = parameters.text(&AFTER)? else {
        return Paging::page(page, per_page).map_err(bad_paging);
    };
    if has_page {
        return Err(Failure::parameter("after", "cannot be given together with page"));
    }
    let paging = if after.is_empty() {
        Paging::first(per_page, now)
    } else {
        let cursor = Cursor::decode(&after).map_err(|error| Failure::parameter("after", error))?;
        Paging::behind(cursor, per_page)
    };
    paging.map_err(bad_paging)
}

fn bad_paging(error: BadPaging) -> Failure {
    match error {
        BadPaging::Zero => Failure::parameter(PAGE.name, error),
        BadPaging::BeyondWindow => {
            let remedy = "to go beyond, send an empty [after] instead of [page] and follow the [next] of each answer";
            Failure::parameter(PAGE.name, format_args!("{error}; {remedy}"))
        }
        BadPaging::PerPage => Failure::parameter(PER_PAGE.name, format_args!("{error} together with after")),
    }
}
