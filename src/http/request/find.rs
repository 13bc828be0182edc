//! `_find`: which events, in which order, which of them and what of each.

use super::{fields, selection, sort};
use crate::{
    error::Failure,
    event::UnixMillis,
    http::parameters::{MAX_SAFE, NumberRange, Parameter, Parameters, invalid},
    query::RESULT_WINDOW,
    read::{Cursor, FindRequest, Paging},
};

const PAGE: Parameter = Parameter::number(
    "page",
    NumberRange { default: 1, min: 1, max: MAX_SAFE },
    "From 1. The pages of one query reach to the 10,000th event; `after` goes on.",
);
const PER_PAGE: Parameter = Parameter::number(
    "per_page",
    NumberRange { default: 10, min: 0, max: MAX_SAFE },
    "0 returns the total alone. A page of more than 64 MiB of events is refused.",
)
.of_use_up_to(RESULT_WINDOW);
const AFTER: Parameter = Parameter::text(
    "after",
    "Instead of `page`: empty for the first events, then the `next` of each answer, which is null at the end and there only: a page of \
     64 MiB ends before it has `per_page` events. Everything but `per_page` and `fields` must stay as it was.",
)
.such_as("");

pub(in crate::http) const PAGING: [&Parameter; 3] = [&PAGE, &PER_PAGE, &AFTER];

pub(in crate::http) fn find(mut parameters: Parameters, now: UnixMillis) -> Result<FindRequest, Failure> {
    let paging = paging(&mut parameters, now)?;
    let sort = sort::take(&mut parameters)?;
    let selection = selection::take(&mut parameters, asked(&paging, now))?;
    let projection = fields::chosen(&mut parameters, &fields::FIELDS)?;
    parameters.finish()?;
    Ok(FindRequest { selection, sort, paging, projection })
}

fn paging(parameters: &mut Parameters, now: UnixMillis) -> Result<Paging, Failure> {
    let has_page = parameters.has(&PAGE);
    let page = parameters.number(&PAGE)?;
    let per_page = parameters.number(&PER_PAGE)?;
    let Some(after) = parameters.text(&AFTER)? else {
        return numbered(page, per_page);
    };
    if has_page {
        return Err(invalid("after", "cannot be given together with page"));
    }
    if !(1..=RESULT_WINDOW).contains(&per_page) {
        let reason = format!("expected a number from [1] to [{RESULT_WINDOW}] together with after");
        return Err(invalid("per_page", reason));
    }
    if after.is_empty() {
        return Ok(Paging::Cursor { per_page, asked: now, behind: None });
    }
    let cursor = Cursor::decode(&after).map_err(|error| invalid("after", error))?;
    Ok(Paging::Cursor { per_page, asked: cursor.asked, behind: Some(Box::new(cursor)) })
}

fn numbered(page: u64, per_page: u64) -> Result<Paging, Failure> {
    if page.checked_mul(per_page).is_none_or(|last| last > RESULT_WINDOW) {
        let reason = format!(
            "page × per_page reaches at most [{RESULT_WINDOW}]; to go on from there, ask with an empty [after] \
             instead of [page] and follow the [next] of each answer"
        );
        return Err(invalid("page", reason));
    }
    Ok(Paging::Page { page, per_page })
}

/// What times before now count from: a question stays the same on all of its pages.
fn asked(paging: &Paging, now: UnixMillis) -> UnixMillis {
    match paging {
        Paging::Page { .. } => now,
        Paging::Cursor { asked, .. } => *asked,
    }
}
