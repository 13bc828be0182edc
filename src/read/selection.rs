//! Which events of a scope a question is about.

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
    /// The filter as it was written, without the white space around it; a cursor belongs to it.
    pub filter_text: String,
}

impl Selection {
    /// All events of the selection in this scope; the first page is empty.
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
