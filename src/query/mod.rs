//! What can be asked of a store. Plain values: no store, no HTTP.

pub mod filter;
pub mod kql;
pub mod moment;
pub mod words;

mod access;
mod pattern;
#[cfg(test)]
mod tests;

pub use access::ScopedQuery;
pub use pattern::Pattern;

use crate::{
    event::{Space, UnixMillis},
    schema::Field,
};

/// The pages of one query reach this far, as the engines' own `index.max_result_window` does.
pub const RESULT_WINDOW: u64 = 10_000;

/// Find events by the saved objects that they refer to.
#[derive(Clone, Debug)]
pub struct Query {
    pub objects: ObjectScope,
    /// Inclusive bounds on `@timestamp`, which every store compares in milliseconds.
    pub start: Option<UnixMillis>,
    pub end: Option<UnixMillis>,
    /// The sort keys in order. Events that are equal in all of them stand in chain order: by `event.sequence`, then
    /// by `annals.chain`, both in the direction of the first key (ascending if there is none). An event
    /// without a key's field comes last in either direction. Dates compare in milliseconds, texts by code point; a
    /// `message` of more than 1,024 UTF-16 units counts as absent, as the engines' keyword does.
    pub sort: Vec<Sort>,
    /// How many events to skip, and how many to return at most; together within [`RESULT_WINDOW`].
    pub offset: u64,
    pub limit: u64,
}

/// Events match that have one reference (one element of `kibana.saved_objects`) which at once is primary, is of this
/// type, has one of these ids, and is in this space: `namespace` equal to it, or absent for the default space.
#[derive(Clone, Debug)]
pub struct ObjectScope {
    pub space: Option<Space>,
    pub object_type: String,
    pub ids: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct Sort {
    pub field: &'static Field,
    pub order: Order,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}
