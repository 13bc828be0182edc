//! Fields that many events share.

use std::ops::Range;

use crate::schema::FieldId;

/// Fields that many events share, such as the default ones of a provider, with their canonical values.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    bytes: Vec<u8>,
    values: Vec<(FieldId, Range<usize>)>,
}

pub(super) static NO_DEFAULTS: Defaults = Defaults::NONE;

impl Defaults {
    const NONE: Self = Self { bytes: Vec::new(), values: Vec::new() };

    pub(super) fn get(&self, field: FieldId) -> Option<&[u8]> {
        let (_, range) = self.values.iter().find(|(given, _)| *given == field)?;
        self.bytes.get(range.clone())
    }

    pub(super) fn contains(&self, field: FieldId) -> bool {
        self.get(field).is_some()
    }

    pub(super) fn push(&mut self, field: FieldId, canonical: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(canonical);
        self.values.push((field, start..self.bytes.len()));
    }

    /// The values, one after the other.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where each field's value is in [`Self::bytes`].
    pub(super) fn ranges(&self) -> impl Iterator<Item = (FieldId, Range<usize>)> {
        self.values.iter().cloned()
    }
}

impl FromIterator<(FieldId, Vec<u8>)> for Defaults {
    fn from_iter<I: IntoIterator<Item = (FieldId, Vec<u8>)>>(fields: I) -> Self {
        let mut defaults = Self::NONE;
        fields.into_iter().for_each(|(field, canonical)| defaults.push(field, &canonical));
        defaults
    }
}
