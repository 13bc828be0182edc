//! Who may ask, and for what.

mod keys;

pub use keys::{Keys, KeysError};

use crate::query::{Query, ScopedQuery};

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name of the API key.
    pub name: String,
}

/// Limits a query to what the principal may see. This is the only way from a [`Query`] to a store.
///
/// Whoever holds a key may see every event for now.
pub fn scope(principal: &Principal, query: Query) -> ScopedQuery {
    let _ = principal;
    ScopedQuery::new(query)
}
