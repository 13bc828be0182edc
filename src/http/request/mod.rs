//! What requests ask for, turned into a [`Query`].
//!
//! Where the request itself is at fault the answer is 400 and says why; Kibana answers some of these with a bare 404.

mod aggregation;
mod cursor;
mod event;
mod export;
mod fields;
mod objects;
mod selection;
mod sort;
mod tail;

pub(super) use aggregation::{AggregateRequest, Asked, Spans};
pub(super) use event::EventRequest;
pub(super) use export::ExportRequest;
pub(super) use objects::ids;
pub(super) use selection::Selection;
pub(super) use tail::{Begin, TailRequest};

use serde_json::Value;

use self::cursor::{Cursor, Question};
use super::{
    parameters::{MAX_SAFE, NumberRange, Parameters, invalid},
    projection::Projection,
};
use crate::{
    error::Failure,
    event::UnixMillis,
    query::{Place, Query, RESULT_WINDOW, Scope, Sort},
};

const PAGE: NumberRange = NumberRange { default: 1, min: 1, max: MAX_SAFE };
const PER_PAGE: NumberRange = NumberRange { default: 10, min: 0, max: MAX_SAFE };

/// Which events, in which order, which of them and what of each: all but whose.
#[derive(Debug)]
pub(super) struct FindRequest {
    selection: Selection,
    sort: Vec<Sort>,
    pub(super) paging: Paging,
    pub(super) projection: Projection,
}

/// Which of the events that match.
#[derive(Debug)]
pub(super) enum Paging {
    Page {
        page: u64,
        per_page: u64,
    },
    /// The first ones, or those behind the cursor.
    Cursor {
        per_page: u64,
        asked: UnixMillis,
        behind: Option<Box<Cursor>>,
    },
}

impl FindRequest {
    pub(super) fn parse(mut parameters: Parameters, now: UnixMillis) -> Result<Self, Failure> {
        let paging = Paging::take(&mut parameters, now)?;
        let sort = sort::take(&mut parameters)?;
        let selection = Selection::take(&mut parameters, paging.asked(now))?;
        let projection = fields::chosen(&mut parameters)?;
        parameters.finish()?;
        Ok(Self { selection, sort, paging, projection })
    }

    /// Where the request's cursor leads; refused if it belongs to another question.
    pub(super) fn after(&self, scope: &Scope) -> Result<Option<Place>, Failure> {
        let Paging::Cursor { behind: Some(cursor), .. } = &self.paging else {
            return Ok(None);
        };
        let place = cursor.clone().place_in(self.question(scope), &self.sort);
        place.map(Some).map_err(|error| invalid("after", error))
    }

    pub(super) fn query(&self, scope: Scope, after: Option<Place>) -> Query {
        let (offset, limit) = match self.paging {
            Paging::Page { page, per_page } => ((page - 1) * per_page, per_page),
            Paging::Cursor { per_page, .. } => (0, per_page),
        };
        Query { after, offset, limit, ..self.selection.query(scope, self.sort.clone()) }
    }

    /// The cursor for what comes behind this document, the last one of an answer about this scope.
    pub(super) fn cursor_behind(&self, document: &[u8], scope: &Scope) -> Result<String, Failure> {
        let place = serde_json::from_slice(document).ok().and_then(|document: Value| Place::of(&document, &self.sort));
        let (Some(place), Paging::Cursor { asked, .. }) = (place, &self.paging) else {
            return Err(Failure::internal("a stored document has no place in its chain"));
        };
        Ok(Cursor { asked: *asked, question: self.question(scope), place }.encode())
    }

    fn question(&self, scope: &Scope) -> Question {
        Question::of(scope, &self.selection, &self.sort)
    }
}

impl Paging {
    /// Whether what is missing from a page is found by its `next`.
    pub(super) fn may_be_short(&self) -> bool {
        match self {
            Self::Page { .. } => false,
            Self::Cursor { .. } => true,
        }
    }

    fn take(parameters: &mut Parameters, now: UnixMillis) -> Result<Self, Failure> {
        let has_page = parameters.has("page");
        let page = parameters.take_number("page", PAGE)?;
        let per_page = parameters.take_number("per_page", PER_PAGE)?;
        let Some(after) = parameters.take("after", "string")? else {
            return Self::page(page, per_page);
        };
        if has_page {
            return Err(invalid("after", "cannot be given together with page"));
        }
        if !(1..=RESULT_WINDOW).contains(&per_page) {
            let reason = format!("expected a number from [1] to [{RESULT_WINDOW}] together with after");
            return Err(invalid("per_page", reason));
        }
        if after.is_empty() {
            return Ok(Self::Cursor { per_page, asked: now, behind: None });
        }
        let cursor = Cursor::decode(&after).map_err(|error| invalid("after", error))?;
        Ok(Self::Cursor { per_page, asked: cursor.asked, behind: Some(Box::new(cursor)) })
    }

    fn page(page: u64, per_page: u64) -> Result<Self, Failure> {
        if page.checked_mul(per_page).is_none_or(|last| last > RESULT_WINDOW) {
            let reason = format!(
                "page × per_page reaches at most [{RESULT_WINDOW}]; to go on from there, ask with an empty [after] \
                 instead of [page] and follow the [next] of each answer"
            );
            return Err(invalid("page", reason));
        }
        Ok(Self::Page { page, per_page })
    }

    /// What times before now count from: a question stays the same on all of its pages.
    fn asked(&self, now: UnixMillis) -> UnixMillis {
        match self {
            Self::Page { .. } => now,
            Self::Cursor { asked, .. } => *asked,
        }
    }
}
