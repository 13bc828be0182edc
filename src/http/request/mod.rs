//! What requests ask for, as [`read`](crate::read) takes it.
//!
//! Where the request itself is at fault the answer is 400 and says why; Kibana answers some of these with a bare 404.

mod aggregation;
mod export;
mod fields;
mod find;
mod objects;
mod scope;
mod selection;
mod sort;
mod tail;

pub(super) use aggregation::{AGGREGATION, aggregate};
pub(super) use export::{FORMAT, export};
pub(super) use fields::{FIELDS, projection};
pub(super) use find::{PAGING, find};
pub(super) use objects::ids;
pub(super) use selection::{SELECTION, selection};
pub(super) use sort::SORT;
pub(super) use tail::{TAIL, tail};
