//! The text around an event's values: the names, braces and commas of its content, and the values that are the same in
//! every event.
//!
//! Programs log events with few different sets of fields. For the sets that came last, this text is kept, so that a content
//! is written by copying text and values in turn.

use super::{defaults::Defaults, known::KnownFields, nesting::Nesting, number_set::NumberSet};
use crate::schema::{FieldId, NodeId, Tree};

/// The text around the values of one set of fields.
struct Outline {
    fields: NumberSet,
    text: Vec<u8>,
    /// In the order of the content.
    values: Vec<Gap>,
    /// How many values precede the members of `annals`, and where in the text these begin.
    before_annals: usize,
    annals_at: usize,
}

/// Where a value belongs.
struct Gap {
    /// In the text.
    at: usize,
    field: FieldId,
}

impl Outline {
    fn of(fields: &NumberSet, fixed: &Defaults) -> Self {
        let tree = Tree::get();
        let annals = tree.location(KnownFields::get().node).parent;
        let mut all = fields.clone();
        fixed.ranges().for_each(|(field, _)| _ = all.insert(field.index()));
        let (mut text, mut values) = (Vec::new(), Vec::new());
        let (mut before_annals, mut annals_at) = (0, 0);
        let mut nesting = Nesting::of(NodeId::ROOT);
        for field in all.iter().map(|number| FieldId(number as u16)) {
            let location = tree.location(field);
            if nesting.put_name(field, &mut text) && location.parent == annals {
                (before_annals, annals_at) = (values.len(), text.len() - location.key().len());
            }
            match fixed.get(field) {
                Some(value) => text.extend_from_slice(value),
                None => values.push(Gap { at: text.len(), field }),
            }
        }
        nesting.close(&mut text);
        Self { fields: fields.clone(), text, values, before_annals, annals_at }
    }

    /// Appends the content to `out`. Returns the offset in it at which the members of `annals` begin.
    fn write<'v>(&self, value: impl Fn(FieldId) -> &'v [u8], out: &mut Vec<u8>) -> usize {
        let begin = out.len();
        let (before, after) = self.values.split_at_checked(self.before_annals).unwrap_or_default();
        let mut written = 0;
        let mut fill = |gaps: &[Gap], out: &mut Vec<u8>| {
            for gap in gaps {
                out.extend_from_slice(self.text.get(written..gap.at).unwrap_or_default());
                out.extend_from_slice(value(gap.field));
                written = gap.at;
            }
            written
        };
        let annals_at = self.annals_at - fill(before, out) + out.len() - begin;
        let rest = fill(after, out);
        out.extend_from_slice(self.text.get(rest..).unwrap_or_default());
        annals_at
    }
}

/// The outlines of the sets of fields that came last.
#[derive(Default)]
pub(super) struct Outlines([Option<Box<Outline>>; Self::PLACES]);

impl Outlines {
    const PLACES: usize = 16;
    /// Longer ones are not kept.
    const MAX_KEPT_BYTES: usize = 4 << 10;

    /// Appends the content with the values of these fields, and of the fixed ones, which must always be the same, to `out`.
    /// Returns the offset in it at which the members of `annals` begin.
    pub(super) fn write<'v>(
        &mut self,
        fields: &NumberSet,
        fixed: &Defaults,
        value: impl Fn(FieldId) -> &'v [u8],
        out: &mut Vec<u8>,
    ) -> usize {
        let place = self.0.get_mut(fields.checksum() % Self::PLACES);
        match place {
            Some(Some(kept)) if kept.fields == *fields => kept.write(value, out),
            place => {
                let outline = Outline::of(fields, fixed);
                let annals_at = outline.write(value, out);
                if let Some(place) = place.filter(|_| outline.text.len() <= Self::MAX_KEPT_BYTES) {
                    *place = Some(Box::new(outline));
                }
                annals_at
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::{collection, prelude::*};
    use serde_json::{Value, json};

    use super::*;
    use crate::schema::{Kind, fields};

    /// The fields outside of arrays of objects.
    fn plain_fields() -> Vec<FieldId> {
        let is_array = |field: &&crate::schema::Field| matches!(field.kind, Kind::Nested | Kind::Objects);
        let arrays: Vec<_> = fields().iter().filter(is_array).map(|array| format!("{}.", array.path)).collect();
        let is_plain = |field: &FieldId| !arrays.iter().any(|array| field.field().path.starts_with(array));
        (0..fields().len() as u16).map(FieldId).filter(is_plain).collect()
    }

    fn insert(document: &mut Value, field: FieldId, value: Value) {
        let pointer = field.field().path.split('.').fold(document, |object, name| &mut object[name]);
        *pointer = value;
    }

    proptest! {
        #[test]
        fn a_content_is_canonical_whether_its_outline_was_kept_or_not(
            shapes in collection::vec(collection::vec(any::<prop::sample::Index>(), 0..40), 1..40),
            order in collection::vec(any::<prop::sample::Index>(), 1..120),
            long in any::<bool>(),
        ) {
            let plain = plain_fields();
            let node = KnownFields::get().node;
            let fixed: Defaults = [(node, b"\"n\"".to_vec()), (KnownFields::get().version, b"\"1\"".to_vec())].into_iter().collect();
            let values: Vec<_> = (0..fields().len()).map(|number| number.to_string().into_bytes()).collect();
            let mut outlines = Outlines::default();
            for shape in order {
                let mut shape: Vec<_> = shape.get(&shapes).iter().map(|field| *field.get(&plain)).collect();
                if long && shape.len() == 3 {
                    shape.clone_from(&plain);
                }
                let mut set = NumberSet::default();
                let mut document = json!({});
                for field in shape.into_iter().filter(|field| !fixed.contains(*field)) {
                    set.insert(field.index());
                    insert(&mut document, field, json!(field.index()));
                }
                insert(&mut document, node, json!("n"));
                insert(&mut document, KnownFields::get().version, json!("1"));
                let mut out = b"before".to_vec();
                let annals_at = outlines.write(&set, &fixed, |field| values[field.index()].as_slice(), &mut out);
                let content = std::str::from_utf8(&out[6..]).unwrap();
                prop_assert_eq!(content, serde_json_canonicalizer::to_string(&document).unwrap());
                prop_assert!(content[..annals_at].ends_with("\"annals\":{"), "{} {}", annals_at, content);
            }
        }
    }
}
