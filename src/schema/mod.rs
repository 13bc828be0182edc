//! The fields of events: those that `scripts/generate` generates from `mappings/`, and the operator's own.
//!
//! A process has one schema. [`install`] sets it, before anything reads it; otherwise it is the generated one.

mod field;
mod own;
mod suggest;
mod table;
mod tree;

use std::sync::OnceLock;

pub use field::{Field, Kind, LONGEST_TEXT, LONGEST_VALUE, Search, SetBy, has_at_most};
pub use own::{MAX_MAPPED, Mistake, OwnField, parse as parse_own};
pub use suggest::{UnknownField, closest, nearest};
pub use table::ECS_VERSION;
pub use tree::{FieldId, Member, NodeId, Tree};

static SCHEMA: OnceLock<Schema> = OnceLock::new();

/// The fields, by their paths and as a tree.
struct Schema {
    /// In canonical order, which is also that of their paths.
    fields: &'static [Field],
    tree: Tree,
    own: Vec<OwnField>,
}

/// The schema was already read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fields of events are already in use, and cannot be extended")]
pub struct AlreadyRead;

impl Schema {
    /// `own` must be from [`parse_own`].
    fn with(own: Vec<OwnField>) -> Self {
        let fields: &'static [Field] = if own.is_empty() {
            &table::FIELDS
        } else {
            let mut fields: Vec<_> = table::FIELDS.iter().cloned().chain(own.iter().map(OwnField::to_field)).collect();
            fields.sort_by_key(|field| field.path);
            fields.leak()
        };
        Self { fields, tree: Tree::build(fields), own }
    }

    #[inline]
    fn get() -> &'static Self {
        SCHEMA.get_or_init(|| Self::with(Vec::new()))
    }
}

/// Adds an operator's own fields to the schema of this process.
pub fn install(own: Vec<OwnField>) -> Result<(), AlreadyRead> {
    if own.is_empty() {
        return Ok(());
    }
    SCHEMA.set(Schema::with(own)).map_err(|_| AlreadyRead)
}

/// Returns all fields, in canonical order.
#[inline]
pub fn fields() -> &'static [Field] {
    Schema::get().fields
}

/// Returns the operator's own fields.
pub fn own_fields() -> &'static [OwnField] {
    &Schema::get().own
}

/// Returns the field with this dotted path.
pub fn field(path: &str) -> Option<&'static Field> {
    field_id(path).map(FieldId::field)
}

/// Returns the number of the field with this dotted path.
pub fn field_id(path: &str) -> Option<FieldId> {
    fields().binary_search_by(|field| field.path.cmp(path)).ok().map(|index| FieldId(index as u16))
}

/// Returns the fields whose paths begin so.
pub fn fields_beginning(beginning: &str) -> &'static [Field] {
    fields_of_beginning(fields(), beginning)
}

fn fields_of_beginning<'f>(fields: &'f [Field], beginning: &str) -> &'f [Field] {
    let start = fields.partition_point(|field| field.path < beginning);
    let rest = fields.get(start..).unwrap_or_default();
    rest.get(..rest.partition_point(|field| field.path.starts_with(beginning))).unwrap_or_default()
}

/// Returns the fields within the object, or the array of objects, of this path.
pub fn fields_within(path: &str) -> &'static [Field] {
    fields_beginning(&format!("{path}."))
}

/// Returns the nested field whose elements have the field of this path.
pub fn nested_around(path: &str) -> Option<&'static Field> {
    let ends = path.match_indices('.').filter_map(|(at, _)| path.get(..at));
    let mut node = NodeId::ROOT;
    let mut from = 0;
    for outer in ends {
        match Tree::get().member(node, outer.get(from..)?.as_bytes())? {
            Member::Array(field, _) if field.field().kind == Kind::Nested => return Some(field.field()),
            Member::Object(inner) | Member::Array(_, inner) => node = inner,
            Member::Field(_) => return None,
        }
        from = outer.len() + 1;
    }
    None
}

/// Returns all nested fields.
pub fn nested_fields() -> impl Iterator<Item = &'static Field> {
    Tree::get().nested().iter().map(|field| field.field())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_paths() {
        for known in fields() {
            assert!(field(known.path).is_some_and(|found| std::ptr::eq(found, known)), "{}", known.path);
            let is_around = |outer: &Field| {
                outer.kind == Kind::Nested
                    && known.path.strip_prefix(outer.path).is_some_and(|rest| rest.starts_with('.'))
            };
            let around = fields().iter().find(|outer| is_around(outer)).map(|outer| outer.path);
            assert_eq!(nested_around(known.path).map(|outer| outer.path), around, "{}", known.path);
        }
        for path in
            ["", "event", "event.", "event.actio", "event.actions", "message.keyword", "kibana.saved_objects.ids"]
        {
            assert_eq!(field(path).map(|field| field.path), None, "{path}");
        }
        let paths = |fields: &[Field]| fields.iter().map(|field| field.path).collect::<Vec<_>>();
        assert_eq!(paths(fields_within("related")), ["related.hash", "related.hosts", "related.ip", "related.user"]);
        assert_eq!(paths(fields_within("relate")), [""; 0]);
        assert_eq!(paths(fields_beginning("tag")), ["tags"]);
        assert_eq!(fields_beginning("").len(), fields().len());
    }
}
