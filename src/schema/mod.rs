//! The fields of events, generated from `mappings/` by `scripts/generate`.

mod field;
mod suggest;
mod table;
mod tree;

pub use field::{Field, Kind, LONGEST_TEXT, LONGEST_VALUE, Search, SetBy, has_at_most};
pub use suggest::{UnknownField, closest, nearest};
pub use table::{ECS_VERSION, FIELDS};
pub use tree::{FieldId, Member, NodeId, Tree};

/// Returns the field with this dotted path.
pub fn field(path: &str) -> Option<&'static Field> {
    field_id(path).map(FieldId::field)
}

/// Returns the number of the field with this dotted path.
pub fn field_id(path: &str) -> Option<FieldId> {
    FIELDS.binary_search_by(|field| field.path.cmp(path)).ok().map(|index| FieldId(index as u16))
}

/// Returns the fields whose paths begin so.
pub fn fields_beginning(beginning: &str) -> &'static [Field] {
    let start = FIELDS.partition_point(|field| field.path < beginning);
    let rest = FIELDS.get(start..).unwrap_or_default();
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
        for known in &FIELDS {
            assert!(field(known.path).is_some_and(|found| std::ptr::eq(found, known)), "{}", known.path);
            let is_around = |outer: &Field| {
                outer.kind == Kind::Nested
                    && known.path.strip_prefix(outer.path).is_some_and(|rest| rest.starts_with('.'))
            };
            let around = FIELDS.iter().find(|outer| is_around(outer)).map(|outer| outer.path);
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
        assert_eq!(fields_beginning("").len(), FIELDS.len());
    }
}
