//! Who is calling, what they may do, and what of the log they may read.
//!
//! A [`Principal`] has grants of roles; [`Need`] is the one table of what a role may do. A query becomes a
//! [`ScopedQuery`](crate::query::ScopedQuery) by a [`Permit`] alone. Nothing here knows HTTP.

mod keys;
mod needs;
mod permit;
mod principal;

pub use keys::{ChangeError, KeyInfo, Keys, KeysError, Known, NewKey};
pub use needs::Need;
pub use permit::{Denied, Permit, permit, permit_visible, scope};
pub use principal::{BadGrant, Grant, GrantText, Means, Principal, Refusal, Role};
