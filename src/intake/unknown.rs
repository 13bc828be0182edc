//! Members of an event that the schema does not have: refused, or kept in `annals.unmapped`.
//!
//! Whether they are kept depends on the provider, which is known only when the whole event is read. If some may be kept,
//! all are collected until then.

use super::{Limits, Violation};
use crate::schema::{NodeId, Tree, closest, nearest};
pub use crate::wire::UnknownFields;

/// What else can be done about it.
const WAYS_OUT: &str =
    "own data fits into labels, annals.payload or fields of events.fields_file, or is kept by events.unknown_fields";

/// The unknown members of an event.
#[derive(Default)]
pub(super) struct UnknownMembers {
    /// Whether they are collected. Otherwise they are refused at once.
    pub(super) are_collected: bool,
    members: Vec<UnknownMember>,
    count: usize,
    /// How many the event keeps.
    pub(super) kept: u64,
}

pub(super) struct UnknownMember {
    /// The object that has it.
    pub(super) object: NodeId,
    pub(super) name: String,
    /// With the indices of the array elements around it.
    pub(super) path: String,
    /// Whether the name was repaired.
    pub(super) is_repaired: bool,
    /// In canonical form.
    pub(super) value: Vec<u8>,
}

impl UnknownMembers {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn clear(&mut self) {
        self.members.clear();
        self.count = 0;
        self.kept = 0;
    }

    pub(super) fn add(&mut self, member: UnknownMember, limits: &Limits) {
        self.count += 1;
        if self.count <= limits.max_array_length {
            self.members.push(member);
        }
    }

    /// Returns how many there are, and as many of them as an event may have, and leaves none.
    pub(super) fn take(&mut self) -> (usize, Vec<UnknownMember>) {
        (std::mem::take(&mut self.count), std::mem::take(&mut self.members))
    }
}

/// Says what is wrong about an unknown member; whether a similar name may be looked for, and the ways out named.
pub(super) fn violation(object: NodeId, name: &str, path: String, may_guess: bool, may_explain: bool) -> Violation {
    let guess = if may_guess { similar(object, name) } else { None };
    let expected = match (guess, may_explain) {
        (Some(similar), true) => format!("a known field (did you mean {similar}? Otherwise, {WAYS_OUT})"),
        (Some(similar), false) => format!("a known field (did you mean {similar}?)"),
        (None, true) => format!("a known field ({WAYS_OUT})"),
        (None, false) => "a known field".to_owned(),
    };
    Violation { path, expected, found: "an unknown field".to_owned() }
}

/// Returns the path of a known field with a similar name, in the same object or elsewhere.
fn similar(object: NodeId, name: &str) -> Option<String> {
    let tree = Tree::get();
    let within = |name: &str| match tree.node(object).path.as_str() {
        "" => name.to_owned(),
        object => format!("{object}.{name}"),
    };
    let sibling = closest(name, tree.names(object)).map(within);
    sibling.or_else(|| nearest(&within(name)).map(str::to_owned))
}
