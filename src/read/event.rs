//! Gets a single event by its id.

use bytes::Bytes;
use tokio::time::Instant;

use super::{AnswerMemory, Projection, ReadError, Reader, RequestedScope};
use crate::{
    access::{self, Caller},
    audit::Action,
    query::{
        Order, PAGE_BYTES, Query, Scope, Sort, Subject,
        filter::{Filter, Test, Value},
    },
    schema,
};

#[derive(Debug)]
pub struct EventRequest {
    /// `event.id`
    pub id: String,
    pub projection: Projection,
}

impl EventRequest {
    /// Queries the event with the id that the log received first: a later one cannot take its place, whatever time it
    /// states.
    fn query(&self, scope: Scope) -> Result<Query, ReadError> {
        let field = |path: &str| schema::field(path).ok_or_else(|| ReadError::internal(format!("no field {path}")));
        let by_receipt = Sort::by(field("annals.received")?, Order::Ascending).map_err(ReadError::internal)?;
        let test = Test::OneOf(vec![Value::Text(self.id.clone())]);
        let filter = Filter::value(Subject::Field(field("event.id")?), test).map_err(ReadError::internal)?;
        Ok(Query {
            scope,
            start: None,
            end: None,
            filter,
            sort: vec![by_receipt],
            after: None,
            offset: 0,
            limit: 1,
            bytes: PAGE_BYTES,
        })
    }
}

/// An event, and how many have its id.
pub struct FoundEvent {
    /// As it was stored, or its projection.
    pub document: Bytes,
    /// Events with the id that the caller may see, this one included.
    pub count: u64,
    pub memory: AnswerMemory,
}

impl Reader {
    /// Returns the first of the events with the id.
    pub async fn event(
        &self,
        caller: &Caller,
        scope: RequestedScope,
        request: EventRequest,
        deadline: Instant,
    ) -> Result<FoundEvent, ReadError> {
        let (permit, record) = self.permit(caller, scope, Action::Find, deadline).await?;
        let query = access::try_scope(permit, |scope| request.query(scope))?;
        let (page, memory) = record.before(self.page(caller, &query, deadline)).await?;
        let count = page.total;
        let document = page.documents.into_iter().next().ok_or(ReadError::NotFound)?;
        let document = request.projection.apply(document).map_err(ReadError::internal)?;
        Ok(FoundEvent { document, count, memory })
    }
}
