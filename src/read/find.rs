//! Pages of events.

use bytes::Bytes;
use serde_json::Value;
use tokio::{task, time::Instant};

use super::{AnswerMemory, Cursor, Projection, ReadError, Reader, RequestedScope, Selection, cursor::QuestionDigest};
use crate::{
    access::{self, Caller},
    audit::Action,
    event::UnixMillis,
    query::{Place, Query, Scope, ScopedQuery, Sort},
    store::Page,
};

/// Which events, in which order, how many of them and what of each: all but whose.
#[derive(Debug)]
pub struct FindRequest {
    pub selection: Selection,
    pub sort: Vec<Sort>,
    pub paging: Paging,
    pub projection: Projection,
}

/// Which of the events that match.
#[derive(Debug)]
pub enum Paging {
    Page {
        /// From 1.
        page: u64,
        per_page: u64,
    },
    /// The first ones, or those behind the cursor.
    Cursor {
        per_page: u64,
        /// When the first page was asked for.
        asked: UnixMillis,
        behind: Option<Box<Cursor>>,
    },
}

/// One page of what was found.
pub struct Found {
    /// How many events match in all, exactly.
    pub total: u64,
    /// The events as they were stored; of each what the projection chooses.
    pub documents: Vec<Bytes>,
    /// The cursor for what comes behind the page, where one was asked for and there may be more.
    pub next: Option<String>,
    /// `None` if nothing was read.
    pub memory: Option<AnswerMemory>,
}

impl FindRequest {
    /// Where the request's cursor leads; refused if it belongs to another question.
    pub(crate) fn after(&self, scope: &Scope) -> Result<Option<Place>, ReadError> {
        let Paging::Cursor { behind: Some(cursor), .. } = &self.paging else {
            return Ok(None);
        };
        Ok(Some(cursor.clone().place_in(self.digest(scope), &self.sort)?))
    }

    pub(crate) fn query(&self, scope: Scope, after: Option<Place>) -> Query {
        let (offset, limit) = match self.paging {
            Paging::Page { page, per_page } => (page.saturating_sub(1).saturating_mul(per_page), per_page),
            Paging::Cursor { per_page, .. } => (0, per_page),
        };
        Query { after, offset, limit, ..self.selection.query(scope, self.sort.clone()) }
    }

    /// The cursor for what comes behind this document, the last one of an answer about this scope.
    pub(crate) fn cursor_behind(&self, document: &[u8], scope: &Scope) -> Result<String, ReadError> {
        let place = serde_json::from_slice(document).ok().and_then(|document: Value| Place::of(&document, &self.sort));
        let (Some(place), Paging::Cursor { asked, .. }) = (place, &self.paging) else {
            return Err(ReadError::internal("a stored document has no place in its chain"));
        };
        Ok(Cursor { asked: *asked, question: self.digest(scope), place }.encode())
    }

    fn digest(&self, scope: &Scope) -> QuestionDigest {
        QuestionDigest::of(scope, &self.selection, &self.sort)
    }

    fn next(&self, query: &ScopedQuery, page: &Page) -> Result<Option<String>, ReadError> {
        let Paging::Cursor { per_page, .. } = self.paging else { return Ok(None) };
        let is_full = page.is_cut || page.documents.len() as u64 >= per_page;
        let last = page.documents.last().filter(|_| is_full);
        last.map(|last| self.cursor_behind(last, &query.query().scope)).transpose()
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
        let permit = self.permit(caller, scope, Action::Find, deadline).await?;
        let after = request.after(permit.events())?;
        let query = access::scope(permit, |scope| request.query(scope, after));
        let (page, memory) = self.pages.find(self.index.as_ref(), &query, deadline).await?;
        let may_be_short = matches!(request.paging, Paging::Cursor { .. });
        if page.is_cut && !may_be_short {
            return Err(ReadError::PageTooLarge);
        }
        let next = request.next(&query, &page)?;
        let Page { total, documents, .. } = page;
        let documents = projected(request.projection, documents).await?;
        Ok(Found { total, documents, next, memory: Some(memory) })
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
