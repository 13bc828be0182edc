//! The fields of events, generated from `mappings/` by `scripts/generate`.

mod field;
mod suggest;
mod table;
mod tree;

pub use field::{Field, Kind, Search, SetBy};
pub use suggest::{UnknownField, closest};
pub use table::{ECS_VERSION, FIELDS};
pub use tree::{FieldId, Member, NodeId, Tree};

/// Returns the field with this dotted path.
pub fn field(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.path == path)
}
