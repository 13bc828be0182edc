//! What can be asked of a store. Plain values: no store, no HTTP.

pub mod filter;
pub mod kql;
pub mod moment;
pub mod words;

mod access;
mod aggregate;
mod order;
mod pattern;
#[cfg(test)]
mod tests;

pub use access::ScopedQuery;
pub use aggregate::{
    Aggregate, Aggregation, Bucket, Interval, MAX_BUCKETS, NotAggregatable, Statistics, TooManySpans, Unit,
};
pub(crate) use order::value_at;
pub use order::{Key, NotSortable, Order, Place, Sort};
pub use pattern::Pattern;

use self::filter::Filter;
use crate::event::{Space, UnixMillis};

/// The pages of one query reach this far, as the engines' own `index.max_result_window` does. What lies beyond is
/// reached by [`Query::after`].
pub const RESULT_WINDOW: u64 = 10_000;

/// The most bytes of events on one page, wherever they come from. What is more is reached by smaller pages.
pub const PAGE_BYTES: usize = 64 << 20;

/// Which events, in which order, and which of them to return.
#[derive(Clone, Debug)]
pub struct Query {
    pub scope: Scope,
    /// Inclusive bounds on `@timestamp`, which every store compares in milliseconds.
    pub start: Option<UnixMillis>,
    pub end: Option<UnixMillis>,
    pub filter: Filter,
    /// The sort keys in order. Events that are equal in all of them stand in chain order: by `event.sequence`, then
    /// by `annals.chain`, both in the direction of the first key (ascending if there is none). An event
    /// without a key's field comes last in either direction. Dates compare in milliseconds, texts by code point; a
    /// text of more than 1,024 UTF-16 units counts as absent, as the engines' keyword does.
    pub sort: Vec<Sort>,
    /// Only events that stand behind this place in that order are returned. The total counts all that match.
    pub after: Option<Place>,
    /// How many events to skip, and how many to return at most; together within [`RESULT_WINDOW`].
    pub offset: u64,
    pub limit: u64,
    /// No further event is returned once those before it come to so many bytes; of a scan, at once.
    pub bytes: usize,
}

/// Whose events are asked for.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Those that refer to these objects.
    Objects(ObjectScope),
    /// All that the caller may see.
    Visible(Visible),
}

/// Events match that have one reference (one element of `kibana.saved_objects`) which at once is primary, is of this
/// type, has one of these ids, and is in this space: `namespace` equal to it, or absent for the default space.
#[derive(Clone, Debug)]
pub struct ObjectScope {
    pub space: Option<Space>,
    pub object_type: String,
    pub ids: Vec<String>,
}

/// Events that are seen whatever they refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    Everything,
    /// Those with one of these spaces in `kibana.space_ids`, where the default space (`None`) is called `default`. An
    /// empty list sees nothing.
    Spaces(Vec<Option<Space>>),
}
