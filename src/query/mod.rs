//! Queries to a store, as plain values, independent of stores and HTTP.

pub mod filter;
pub mod kql;
pub mod moment;
pub mod words;

mod access;
mod aggregate;
mod order;
mod pattern;
mod subject;
#[cfg(test)]
mod tests;

pub use access::ScopedQuery;
pub use aggregate::{
    Aggregate, Aggregation, Bucket, Interval, MAX_BUCKETS, MAX_PARTS, NotAggregatable, Statistics, TooManySpans, Unit,
};
pub(crate) use filter::leaves;
pub use order::{
    BadSortKeys, Key, MAX_SORT_KEYS, MAX_SORT_UNITS, NotSortable, Order, PageEnd, Place, Sort, SortKeys, gravity,
};
pub(crate) use order::{address_digits, address_of_digits};
pub use pattern::Pattern;
pub(crate) use subject::value_at;
pub use subject::{Label, Subject};

use self::filter::Filter;
use crate::event::{Space, UnixMillis};

/// The pages of one query reach this far, like the engines' `index.max_result_window`. [`Query::after`] reaches events
/// beyond it.
pub const RESULT_WINDOW: u64 = 10_000;

/// Maximum bytes of events on one page, from any store. Smaller pages reach the rest.
pub const PAGE_BYTES: usize = 64 << 20;

/// A list in a question is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("array size is [{found}], but cannot be greater than [{max}]")]
pub struct TooMany {
    pub found: usize,
    pub max: usize,
}

impl TooMany {
    pub(crate) fn check(found: usize, max: usize) -> Result<(), Self> {
        if found > max { Err(Self { found, max }) } else { Ok(()) }
    }
}

/// Which events, in which order, and which part of them to return.
#[derive(Clone, Debug)]
pub struct Query {
    pub scope: Scope,
    /// Inclusive bounds on `@timestamp`, which every store compares in milliseconds.
    pub start: Option<UnixMillis>,
    pub end: Option<UnixMillis>,
    pub filter: Filter,
    /// The sort keys in order. Events that are equal in all of them are in chain order: by `annals.sequence`, then by
    /// `annals.chain`, both in the direction of the first key (ascending if there is none). An event without a key's
    /// field or label comes last in either direction. Dates compare in milliseconds, texts by code point; a text
    /// that is longer than the field's longest value counts as absent, as in the engines' keyword.
    pub sort: Vec<Sort>,
    /// Only events after this place in the order are returned. The total counts all that match.
    pub after: Option<PageEnd>,
    /// How many events to skip, and the maximum number to return; together within [`RESULT_WINDOW`].
    pub offset: u64,
    pub limit: u64,
    /// A page ends once its events reach this many bytes; for a scan, each batch does.
    pub bytes: usize,
}

impl Query {
    /// Returns the place of the event after which to begin, if any; `Err` if only another store can find the place.
    pub fn after_event(&self) -> Result<Option<&Place>, ForeignPlace> {
        match &self.after {
            None => Ok(None),
            Some(PageEnd::Event(place)) => Ok(Some(place)),
            Some(PageEnd::Document(_)) => Err(ForeignPlace),
        }
    }
}

/// A page ended in another store, at a place that only that store knows.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the page before came from another store; begin again with the first page")]
pub struct ForeignPlace;

/// Which events a query may find.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Events that refer to these objects.
    Objects(ObjectScope),
    /// All events that the caller may see.
    Visible(Visible),
}

/// An event matches if a single reference (one element of `kibana.saved_objects`) is primary, is of this type, has one
/// of these ids, and is in this space: `namespace` equal to it, or absent for the default space.
#[derive(Clone, Debug)]
pub struct ObjectScope {
    pub space: Option<Space>,
    pub object_type: String,
    pub ids: Vec<String>,
}

/// Events visible to the caller, whatever they refer to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    Everything,
    /// Events with one of these spaces in `kibana.space_ids`, where the default space (`None`) is called `default`. An
    /// empty list sees nothing.
    Spaces(Vec<Option<Space>>),
}
