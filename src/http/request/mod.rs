//! Parses requests into the request types of [`read`](crate::read).
//!
//! An invalid request is answered with 400 and the reason; Kibana answers some of these with a bare 404.

mod aggregation;
mod export;
mod fields;
mod find;
mod json;
mod objects;
mod scope;
mod selection;
mod sort;
mod tail;

pub(super) use aggregation::{AGGREGATION, aggregate};
pub(super) use export::{FORMAT, export};
pub(super) use fields::{FIELDS, projection};
pub(super) use find::{PAGING, find};
pub(super) use json::Members;
pub(super) use objects::ids;
pub(super) use selection::{SELECTION, selection};
pub(super) use sort::SORT;
pub(super) use tail::{TAIL, tail};
