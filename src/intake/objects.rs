//! The flat copy of an event's primary objects, for tools that do not see inside arrays of objects.
//!
//! `annals.objects` has a text `type:id` for each reference that is primary and has both, `annals.object_types` has their
//! types; each in order and without duplicates. That is less than [`kibana.saved_objects`](super::complete) tells, so that
//! whoever may read the event learns nothing new by them.

use memchr::memchr2;

use super::{builder::EventBuilder, defaults::Defaults, known::KnownFields};

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
    let mut text = builder.begin_array();
    let references = builder.value(known.saved_objects, input, defaults).unwrap_or_default();
    let end = match only_object(references) {
        Some(object) => put_objects(&[object], &mut text),
        None => {
            let mut objects: Vec<_> = PrimaryObjects { rest: references }.collect();
            objects.sort_unstable();
            objects.dedup();
            if objects.is_empty() {
                return;
            }
            put_objects(&objects, &mut text)
        }
    };
    builder.put_arrays([known.objects, known.object_types], text, end);
}

/// Writes the array of the objects, which has been opened, and behind it that of their types. Returns where the first ends.
fn put_objects(objects: &[PrimaryObject<'_>], text: &mut Vec<u8>) -> usize {
    let mut separator: &[u8] = b"\"";
    for PrimaryObject { object_type, id } in objects {
        text.extend_from_slice(separator);
        text.extend_from_slice(object_type);
        text.push(b':');
        text.extend_from_slice(id);
        text.push(b'"');
        separator = b",\"";
    }
    text.push(b']');
    let end = text.len();
    let mut previous = None;
    for PrimaryObject { object_type, .. } in objects {
        if previous == Some(object_type) {
            continue;
        }
        text.extend_from_slice(if previous.is_none() { b"[\"" } else { b",\"" });
        text.extend_from_slice(object_type);
        text.push(b'"');
        previous = Some(object_type);
    }
    text.push(b']');
    end
}

/// Returns the object of the usual array, which has one primary reference that names no space.
fn only_object(references: &[u8]) -> Option<PrimaryObject<'_>> {
    let (id, rest) = up_to_quote(references.strip_prefix(b"[{\"id\":\"")?)?;
    let rest = match rest.strip_prefix(b",\"name\":\"") {
        Some(name) => up_to_quote(name)?.1,
        None => rest,
    };
    let (object_type, rest) = up_to_quote(rest.strip_prefix(b",\"rel\":\"primary\",\"type\":\"")?)?;
    (rest == b"}]").then_some(PrimaryObject { object_type, id })
}

/// Splits a text at its first quote. If that is an escaped one, what is behind it is part of the text, in which no quote
/// is without a backslash, so that it cannot be taken for the next member.
fn up_to_quote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, rest) = text.split_at_checked(text.iter().position(|byte| *byte == b'"')?)?;
    Some((text, rest.strip_prefix(b"\"")?))
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
