//! The only way to make a query that a store will run.

use super::Query;

/// A query that the caller may ask. A question of a caller reaches a store only as this, so no protocol can skip the
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

    /// The same query, with this bound on the size of the answer.
    pub fn within(mut self, bytes: usize) -> Self {
        self.0.bytes = bytes;
        self
    }
}
