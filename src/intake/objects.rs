//! The flat copy of an event's primary objects, for tools that do not see inside arrays of objects.
//!
//! `annals.objects` has a text `type:id` for each reference that is primary and has both, `annals.object_types` has their
//! types; each in order and without duplicates. That is less than [`kibana.saved_objects`](super::complete) tells, so that
//! whoever may read the event learns nothing new by them.

use memchr::memchr2;

use super::{
    builder::{Defaults, EventBuilder},
    known::KnownFields,
};

/// A primary reference. Both texts are canonical JSON, without their quotes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PrimaryObject<'a> {
    object_type: &'a [u8],
    id: &'a [u8],
}

/// Sets the fields of an event that has primary objects.
pub(super) fn put_flat_objects(builder: &mut EventBuilder, input: &[u8], defaults: &Defaults) {
    let known = KnownFields::get();
    if !builder.has(known.saved_objects) {
        return;
    }
    let (mut objects, mut types) = (builder.begin_array(), builder.begin_array());
    let references = builder.value(known.saved_objects, input, defaults).unwrap_or_default();
    put_objects(PrimaryObjects { rest: references }, &mut objects, &mut types);
    for (field, texts) in [(known.objects, objects), (known.object_types, types)] {
        let is_empty = texts.len() == 1;
        let array = builder.keep_array(texts);
        if !is_empty {
            builder.set(field, array);
        }
    }
}

/// Appends the elements of both arrays, each of which has been opened.
fn put_objects(mut primary: PrimaryObjects<'_>, objects: &mut Vec<u8>, types: &mut Vec<u8>) {
    let Some(first) = primary.next() else { return };
    // In the usual case there is one, and nothing is allocated.
    let mut others: Vec<_> = primary.collect();
    if others.is_empty() {
        put_text(objects, &[first.object_type, b":", first.id]);
        put_text(types, &[first.object_type]);
        return;
    }
    others.push(first);
    others.sort_unstable();
    others.dedup();
    for PrimaryObject { object_type, id } in &others {
        put_text(objects, &[object_type, b":", id]);
    }
    others.dedup_by_key(|object| object.object_type);
    for PrimaryObject { object_type, .. } in &others {
        put_text(types, &[object_type]);
    }
}

fn put_text(array: &mut Vec<u8>, parts: &[&[u8]]) {
    array.extend_from_slice(if array.len() == 1 { b"\"" } else { b",\"" });
    parts.iter().for_each(|part| array.extend_from_slice(part));
    array.push(b'"');
}

/// The primary objects of a canonical array of references, each with members in the order of their names, whose values are
/// texts and booleans.
struct PrimaryObjects<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for PrimaryObjects<'a> {
    type Item = PrimaryObject<'a>;

    fn next(&mut self) -> Option<PrimaryObject<'a>> {
        loop {
            let (mut id, mut object_type, mut is_primary) = (None, None, false);
            // Before each element is `[` or `,`.
            self.rest = self.rest.get(1..)?.strip_prefix(b"{")?;
            while let Some(name) = self.text() {
                self.rest = self.rest.strip_prefix(b":")?;
                let value = self.text();
                match name {
                    b"id" => id = value,
                    b"type" => object_type = value,
                    b"rel" => is_primary = value == Some(b"primary"),
                    _ => {}
                }
                if value.is_none() {
                    let end = memchr2(b',', b'}', self.rest)?;
                    self.rest = self.rest.get(end..)?;
                }
                let Some(rest) = self.rest.strip_prefix(b",") else { break };
                self.rest = rest;
            }
            self.rest = self.rest.strip_prefix(b"}")?;
            if let (true, Some(object_type), Some(id)) = (is_primary, object_type, id) {
                return Some(PrimaryObject { object_type, id });
            }
        }
    }
}

impl<'a> PrimaryObjects<'a> {
    /// Takes the text that comes next, without its quotes.
    fn text(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.strip_prefix(b"\"")?;
        let mut end = 0;
        loop {
            end += memchr2(b'"', b'\\', text.get(end..)?)?;
            if text.get(end) == Some(&b'"') {
                self.rest = text.get(end + 1..)?;
                return text.get(..end);
            }
            end += 2;
        }
    }
}
