//! One event between input and content: for each field of the schema, the location of its canonical value.
//!
//! Most values arrive in canonical form. Such a value stays in the input and is copied once, into the content. Fields
//! are numbered in the order of a canonical document, so the content is written in one pass over the numbers that are
//! set, which also takes care of sorting, dotted names and merged defaults.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

use crate::schema::{self, FieldId, NodeId, Tree};

use super::{
    composite::Labels,
    defaults::{Defaults, NO_DEFAULTS},
    known::KnownFields,
    nesting::Nesting,
    number_set::NumberSet,
    outline::Outlines,
    predictor::MemberPredictor,
    repair::Repairs,
    scan::ByteRange,
    unknown::{self, UnknownMembers},
    violations::Violations,
};

/// The buffer that holds a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Buffer {
    Input,
    Scratch,
    Defaults,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    buffer: Buffer,
    span: ByteRange,
}

impl Slot {
    /// A value that arrived in canonical form.
    pub(super) const fn given(span: ByteRange) -> Self {
        Self { buffer: Buffer::Input, span }
    }

    fn new(buffer: Buffer, range: Range<usize>) -> Self {
        Self { buffer, span: ByteRange::new(range) }
    }

    pub(super) fn is_given(self) -> bool {
        self.buffer == Buffer::Input
    }

    /// Length of the canonical value in bytes.
    pub(super) const fn len(self) -> usize {
        self.span.len()
    }

    #[inline]
    fn of<'a>(self, input: &'a [u8], scratch: &'a [u8], defaults: &'a Defaults) -> &'a [u8] {
        self.span.of(match self.buffer {
            Buffer::Input => input,
            Buffer::Scratch => scratch,
            Buffer::Defaults => defaults.bytes(),
        })
    }
}

/// One event, cleared for each of a body.
pub(super) struct EventBuilder {
    slots: Vec<Slot>,
    set: NumberSet,
    /// The objects seen so far, to detect duplicates.
    objects: NumberSet,
    /// The number of objects in nested fields so far.
    pub(super) nested_objects: usize,
    /// Canonical values that differ from the input.
    pub(super) scratch: Vec<u8>,
    pub(super) violations: Violations,
    pub(super) repairs: Repairs,
    /// Buffers for arrays under construction, reused for their capacity.
    spare: Vec<Vec<u8>>,
    pub(super) predictor: MemberPredictor,
    outlines: Outlines,
    pub(super) labels: Labels,
    pub(super) unknown: UnknownMembers,
    /// Whether the severity was guessed, as the level of the event is not known.
    pub(super) is_severity_guessed: bool,
}

/// The builders between bodies. A builder has a place for every field, so that it takes longer to make than to clear, and
/// knows the usual events by its predictor and its outlines.
#[derive(Default)]
pub(super) struct BuilderPool(Mutex<Vec<EventBuilder>>);

/// A builder with larger buffers, and more builders than these, are not kept.
const MAX_KEPT_BYTES: usize = 64 << 10;
const MAX_KEPT: usize = 32;

impl BuilderPool {
    /// Returns a builder for the events of a body.
    pub(super) fn take(&self) -> EventBuilder {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(EventBuilder::new, |builder| EventBuilder { violations: Violations::default(), ..builder })
    }

    pub(super) fn put_back(&self, builder: EventBuilder) {
        let spare: usize = builder.spare.iter().map(Vec::capacity).sum();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if builder.scratch.capacity() + spare <= MAX_KEPT_BYTES && kept.len() < MAX_KEPT {
            kept.push(builder);
        }
    }
}

impl EventBuilder {
    pub(super) fn new() -> Self {
        Self {
            slots: vec![Slot::given(ByteRange::new(0..0)); schema::fields().len()],
            set: NumberSet::default(),
            objects: NumberSet::default(),
            nested_objects: 0,
            scratch: Vec::new(),
            violations: Violations::default(),
            repairs: Repairs::default(),
            spare: Vec::new(),
            predictor: MemberPredictor::default(),
            outlines: Outlines::default(),
            labels: Labels::default(),
            unknown: UnknownMembers::default(),
            is_severity_guessed: false,
        }
    }

    /// Returns a buffer with an opened array; [`Self::keep_array`] takes it back.
    pub(super) fn begin_array(&mut self) -> Vec<u8> {
        let mut text = self.spare.pop().unwrap_or_default();
        text.clear();
        text.push(b'[');
        text
    }

    pub(super) fn keep_array(&mut self, mut text: Vec<u8>) -> Slot {
        text.push(b']');
        let slot = self.keep(&text);
        self.spare.push(text);
        slot
    }

    /// Alternative to [`Self::keep_array`] if the input holds the same array.
    pub(super) fn drop_array(&mut self, text: Vec<u8>, given: ByteRange) -> Slot {
        self.spare.push(text);
        Slot::given(given)
    }

    /// Takes back a buffer with two arrays, of which the first ends here, and sets the fields to them.
    pub(super) fn put_arrays(&mut self, [first, second]: [FieldId; 2], text: Vec<u8>, end: usize) {
        let start = self.scratch.len();
        self.scratch.extend_from_slice(&text);
        self.set(first, Slot::new(Buffer::Scratch, start..start + end));
        self.set(second, Slot::new(Buffer::Scratch, start + end..self.scratch.len()));
        self.spare.push(text);
    }

    pub(super) fn clear(&mut self) {
        self.set.clear();
        self.objects.clear();
        self.nested_objects = 0;
        self.scratch.clear();
        self.violations.clear();
        self.labels.clear();
        self.unknown.clear();
        self.is_severity_guessed = false;
        self.repairs.clear();
    }

    pub(super) fn has(&self, field: FieldId) -> bool {
        self.set.contains(field.index())
    }

    pub(super) fn set(&mut self, field: FieldId, slot: Slot) {
        self.set.insert(field.index());
        if let Some(location) = self.slots.get_mut(field.index()) {
            *location = slot;
        }
    }

    /// Returns whether the object is new.
    pub(super) fn enter(&mut self, object: NodeId) -> bool {
        self.objects.insert(object.index())
    }

    /// Sets a field to a canonical value.
    pub(super) fn put(&mut self, field: FieldId, canonical: &[u8]) {
        let slot = self.keep(canonical);
        self.set(field, slot);
    }

    /// Sets a field to a text that needs no escapes.
    pub(super) fn put_name(&mut self, field: FieldId, name: &[u8]) {
        let slot = self.keep_quoted(name);
        self.set(field, slot);
    }

    /// Sets the fields that say what was repaired.
    #[cold]
    pub(super) fn put_repairs(&mut self) {
        let known = KnownFields::get();
        let (repaired, originals) = std::mem::take(&mut self.repairs).into_values();
        self.put(known.repaired, &repaired);
        if let Some(originals) = originals {
            self.put(known.originals, &originals);
        }
    }

    /// Copies a text that needs no escapes to the scratch buffer, in quotes.
    pub(super) fn keep_quoted(&mut self, text: &[u8]) -> Slot {
        let start = self.scratch.len();
        self.scratch.push(b'"');
        self.scratch.extend_from_slice(text);
        self.scratch.push(b'"');
        Slot::new(Buffer::Scratch, start..self.scratch.len())
    }

    /// Copies a canonical value to the scratch buffer.
    pub(super) fn keep(&mut self, canonical: &[u8]) -> Slot {
        let start = self.scratch.len();
        self.scratch.extend_from_slice(canonical);
        Slot::new(Buffer::Scratch, start..self.scratch.len())
    }

    /// Returns the canonical bytes of a value of the event itself.
    pub(super) fn given_bytes<'a>(&'a self, slot: Slot, input: &'a [u8]) -> &'a [u8] {
        self.bytes(slot, input, &NO_DEFAULTS)
    }

    fn bytes<'a>(&'a self, slot: Slot, input: &'a [u8], defaults: &'a Defaults) -> &'a [u8] {
        slot.of(input, &self.scratch, defaults)
    }

    /// Reports a member that the schema does not have.
    pub(super) fn refuse_unknown(&mut self, object: NodeId, name: &str, path: impl FnOnce() -> String) {
        let (may_guess, may_explain) = (self.violations.may_guess(), self.violations.may_explain());
        self.violations.add(|| unknown::violation(object, name, path(), may_guess, may_explain));
    }

    /// Returns the canonical value of a field that the event itself has.
    pub(super) fn given<'a>(&'a self, field: FieldId, input: &'a [u8]) -> Option<&'a [u8]> {
        self.value(field, input, &NO_DEFAULTS)
    }

    pub(super) fn value<'a>(&'a self, field: FieldId, input: &'a [u8], defaults: &'a Defaults) -> Option<&'a [u8]> {
        let slot = *self.slots.get(field.index())?;
        self.has(field).then(|| self.bytes(slot, input, defaults))
    }

    /// Applies each default whose field the event lacks.
    pub(super) fn merge_defaults(&mut self, defaults: &Defaults) {
        for (field, range) in defaults.ranges() {
            if !self.has(field) {
                self.set(field, Slot::new(Buffer::Defaults, range));
            }
        }
    }

    /// Returns a checksum of the fields that the event itself has.
    pub(super) fn checksum(&self, input: &[u8]) -> u32 {
        let tree = Tree::get();
        self.set.iter().fold(0, |sum, number| {
            let field = FieldId(number as u16);
            let sum = crc32c::crc32c_append(sum, tree.location(field).path_from(tree.node(NodeId::ROOT)));
            crc32c::crc32c_append(sum, self.given(field, input).unwrap_or_default())
        })
    }

    /// Turns the parsed event into defaults for others.
    pub(super) fn into_defaults(self, input: &[u8]) -> Defaults {
        let mut defaults = Defaults::default();
        for number in self.set.iter() {
            let field = FieldId(number as u16);
            defaults.push(field, self.given(field, input).unwrap_or_default());
        }
        defaults
    }

    /// Appends the content, with the fixed fields, which must always be the same, to `out`. Returns the offset in it at
    /// which the members of `annals` begin.
    pub(super) fn write(&mut self, input: &[u8], defaults: &Defaults, fixed: &Defaults, out: &mut Vec<u8>) -> usize {
        let Self { outlines, set, slots, scratch, .. } = self;
        let value = |field: FieldId| slots.get(field.index()).map_or(&[][..], |slot| slot.of(input, scratch, defaults));
        outlines.write(set, fixed, value, out)
    }

    /// Appends one element of an array of objects, an object of the fields in `element` that are set, and unsets them.
    pub(super) fn write_element(&mut self, element: NodeId, input: &[u8], out: &mut Vec<u8>) {
        let node = Tree::get().node(element);
        let mut nesting = Nesting::of(element);
        for field in self.set.within(node.fields()).map(|number| FieldId(number as u16)) {
            nesting.put_name(field, out);
            out.extend_from_slice(self.given(field, input).unwrap_or_default());
        }
        nesting.close(out);
        node.fields().for_each(|number| self.set.remove(number));
        node.nodes(element).for_each(|number| self.objects.remove(number));
    }
}
