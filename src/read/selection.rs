//! The selection of events within a scope.

use crate::{
    event::UnixMillis,
    query::{PAGE_BYTES, Query, Scope, Sort, filter::Filter},
};

#[derive(Clone, Debug)]
pub struct Selection {
    /// Inclusive bounds on `@timestamp`.
    pub start: Option<UnixMillis>,
    pub end: Option<UnixMillis>,
    pub filter: Filter,
    /// The text of the filter, trimmed; a cursor is only valid for the same text.
    pub filter_text: String,
}

impl Selection {
    /// Returns a query for the selection in this scope, with a limit of 0.
    pub(super) fn query(&self, scope: Scope, sort: Vec<Sort>) -> Query {
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
