//! Pages of events.

use bytes::Bytes;
use serde_json::Value;
use tokio::{task, time::Instant};

use super::{AnswerMemory, Cursor, Projection, ReadError, Reader, RequestedScope, Selection, cursor::QuestionDigest};
use crate::{
    access::{self, Caller},
    audit::Action,
    event::UnixMillis,
    query::{PageEnd, Place, Query, RESULT_WINDOW, Scope, ScopedQuery, SortKeys},
    store::Page,
};

/// Selection, order, paging and projection; the scope is separate.
#[derive(Debug)]
pub struct FindRequest {
    pub selection: Selection,
    pub sort: SortKeys,
    pub paging: Paging,
    pub projection: Projection,
}

/// Which of the matching events to return: a numbered page, or the events after a cursor.
#[derive(Debug)]
pub struct Paging {
    per_page: u64,
    start: Start,
}

#[derive(Debug)]
enum Start {
    /// From 1.
    Page(u64),
    Cursor {
        /// Time of the request for the first page.
        asked: UnixMillis,
        /// `None` for the first page.
        behind: Option<Box<Cursor>>,
    },
}

/// Why a page cannot be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPaging {
    #[error("expected a page from [1]")]
    Zero,
    #[error("page × per_page must be at most [{RESULT_WINDOW}]")]
    BeyondWindow,
    #[error("expected a number from [1] to [{RESULT_WINDOW}]")]
    PerPage,
}

impl Paging {
    /// Requests a numbered page, from 1. `per_page` may be 0, to get only the total.
    pub fn page(page: u64, per_page: u64) -> Result<Self, BadPaging> {
        if page == 0 {
            return Err(BadPaging::Zero);
        }
        if page.checked_mul(per_page).is_none_or(|last| last > RESULT_WINDOW) {
            return Err(BadPaging::BeyondWindow);
        }
        Ok(Self { per_page, start: Start::Page(page) })
    }

    /// Requests the first page of a sequence that continues by cursors.
    pub fn first(per_page: u64, now: UnixMillis) -> Result<Self, BadPaging> {
        Self::by_cursor(per_page, Start::Cursor { asked: now, behind: None })
    }

    pub fn behind(cursor: Cursor, per_page: u64) -> Result<Self, BadPaging> {
        Self::by_cursor(per_page, Start::Cursor { asked: cursor.asked, behind: Some(Box::new(cursor)) })
    }

    fn by_cursor(per_page: u64, start: Start) -> Result<Self, BadPaging> {
        if (1..=RESULT_WINDOW).contains(&per_page) { Ok(Self { per_page, start }) } else { Err(BadPaging::PerPage) }
    }

    /// Returns the number of the page; `None` with cursors.
    pub fn number(&self) -> Option<u64> {
        match self.start {
            Start::Page(page) => Some(page),
            Start::Cursor { .. } => None,
        }
    }

    pub fn per_page(&self) -> u64 {
        self.per_page
    }

    /// Returns the instant from which relative times count, which is the same for all pages of a query.
    pub fn asked(&self, now: UnixMillis) -> UnixMillis {
        match self.start {
            Start::Page(_) => now,
            Start::Cursor { asked, .. } => asked,
        }
    }

    fn offset(&self) -> u64 {
        self.number().map_or(0, |page| (page - 1) * self.per_page)
    }
}

/// A page of events.
pub struct Found {
    /// The exact number of matching events.
    pub total: u64,
    /// The projections of the events; values are as they were stored.
    pub documents: Vec<Bytes>,
    /// The cursor for the next page, if the request used cursors and there may be more events.
    pub next: Option<String>,
    /// `None` if nothing was read.
    pub memory: Option<AnswerMemory>,
}

impl FindRequest {
    /// Returns the place of the request's cursor; fails if it belongs to another query.
    pub(crate) fn after(&self, scope: &Scope) -> Result<Option<PageEnd>, ReadError> {
        let Start::Cursor { behind: Some(cursor), .. } = &self.paging.start else {
            return Ok(None);
        };
        Ok(Some(cursor.clone().end_in(self.digest(scope), &self.sort)?))
    }

    pub(crate) fn query(&self, scope: Scope, after: Option<PageEnd>) -> Query {
        let (offset, limit) = (self.paging.offset(), self.paging.per_page);
        Query { after, offset, limit, ..self.selection.query(scope, self.sort.to_vec()) }
    }

    /// Returns the cursor for the events after this document, the last one of an answer for this scope.
    pub(crate) fn cursor_behind(&self, document: &[u8], scope: &Scope) -> Result<String, ReadError> {
        let place = serde_json::from_slice(document).ok().and_then(|document: Value| Place::of(&document, &self.sort));
        let place = place.ok_or_else(|| ReadError::internal("a stored document has no position in its chain"))?;
        self.cursor_at(PageEnd::Event(place), scope)
    }

    fn cursor_at(&self, end: PageEnd, scope: &Scope) -> Result<String, ReadError> {
        let Start::Cursor { asked, .. } = &self.paging.start else {
            return Err(ReadError::internal("a numbered page has no cursor"));
        };
        Ok(Cursor { asked: *asked, question: self.digest(scope), end }.encode())
    }

    fn digest(&self, scope: &Scope) -> QuestionDigest {
        QuestionDigest::of(scope, &self.selection, &self.sort)
    }

    fn next(&self, query: &ScopedQuery, page: &Page) -> Result<Option<String>, ReadError> {
        if self.paging.number().is_some() {
            return Ok(None);
        }
        let is_full = page.is_cut || page.documents.len() as u64 >= self.paging.per_page;
        let Some(last) = page.documents.last().filter(|_| is_full) else { return Ok(None) };
        let scope = &query.query().scope;
        match &page.end {
            Some(values) => self.cursor_at(PageEnd::Document(values.clone()), scope),
            None => self.cursor_behind(last, scope),
        }
        .map(Some)
    }
}

impl Reader {
    pub async fn find(
        &self,
        caller: &Caller,
        scope: RequestedScope,
        request: FindRequest,
        deadline: Instant,
    ) -> Result<Found, ReadError> {
        if scope.is_empty() {
            return Ok(Found { total: 0, documents: Vec::new(), next: None, memory: None });
        }
        let (permit, record) = self.permit(caller, scope, Action::Find, deadline).await?;
        let after = request.after(permit.events())?;
        let query = access::scope(permit, |scope| request.query(scope, after));
        let (page, memory) = record.before(self.page(caller, &query, deadline)).await?;
        if page.is_cut && request.paging.number().is_some() {
            return Err(ReadError::PageTooLarge);
        }
        let next = request.next(&query, &page)?;
        let Page { total, documents, .. } = page;
        let documents = projected(request.projection, documents).await?;
        Ok(Found { total, documents, next, memory: Some(memory) })
    }
}

impl Reader {
    /// Reads a page, in the caller's turn.
    pub(super) async fn page(
        &self,
        caller: &Caller,
        query: &ScopedQuery,
        deadline: Instant,
    ) -> Result<(Page, AnswerMemory), ReadError> {
        let _turn = self.turn(caller, deadline).await?;
        self.pages.find(self.index.as_ref(), &caller.principal.to_string(), query, deadline).await
    }
}

async fn projected(projection: Projection, documents: Vec<Bytes>) -> Result<Vec<Bytes>, ReadError> {
    if projection.is_whole() {
        return Ok(documents);
    }
    let apply = move || documents.into_iter().map(|document| projection.apply(document)).collect::<Result<Vec<_>, _>>();
    let applied = task::spawn_blocking(apply).await.map_err(ReadError::internal)?;
    applied.map_err(|error| ReadError::internal(format!("a stored document: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_begin_at_one_and_end_with_the_window() {
        for (page, per_page, bad) in [
            (0, 10, Some(BadPaging::Zero)),
            (0, 0, Some(BadPaging::Zero)),
            (1, 0, None),
            (u64::MAX, 0, None),
            (1, RESULT_WINDOW, None),
            (1_000, 10, None),
            (1_001, 10, Some(BadPaging::BeyondWindow)),
            (u64::MAX, u64::MAX, Some(BadPaging::BeyondWindow)),
        ] {
            assert_eq!(Paging::page(page, per_page).err(), bad, "{page} × {per_page}");
        }
        for (per_page, bad) in [(0, true), (1, false), (RESULT_WINDOW, false), (RESULT_WINDOW + 1, true)] {
            assert_eq!(Paging::first(per_page, UnixMillis(0)).is_err(), bad, "{per_page}");
        }
    }
}
