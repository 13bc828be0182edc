//! The only way to make a query that a store will run.

use super::Query;

/// A query that the caller may run. A caller's query reaches a store only in this form, so no protocol can skip the
/// check.
#[derive(Clone, Debug)]
pub struct ScopedQuery(Query);

impl ScopedQuery {
    pub(crate) fn new(query: Query) -> Self {
        Self(query)
    }

    pub fn query(&self) -> &Query {
        &self.0
    }

    /// Limits the size of the answer.
    pub fn within(mut self, bytes: usize) -> Self {
        self.0.bytes = bytes;
        self
    }
}
