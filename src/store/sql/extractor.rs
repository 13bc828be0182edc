//! Extracts the values of a field from the bytes of a document, on demand.

use serde_json::{Map, Value};

use super::{
    dialect::Cell,
    form::{Form, indexable_text, indexed, indexed_text, json},
    index::{self, each, element_of},
    member::{FoundMember, MemberPath, NotAnObject},
    term_counter::{TermCounter, TooManyValues},
    text::decode_text,
};
use crate::schema::{self, Field, Kind};

/// Extracts one field, in one form, from the bytes of documents.
pub(in crate::store) struct FieldExtractor {
    field: &'static Field,
    form: Form,
    path: MemberPath,
}

impl FieldExtractor {
    /// Returns the extractor for the index entry of this name.
    pub(in crate::store) fn named(name: &str) -> Option<Self> {
        let (path, form) = match name.split_once(' ') {
            Some((path, "address")) => (path, Form::Address),
            Some((path, "words")) => (path, Form::Words),
            Some(_) => return None,
            None => (name, Form::Value),
        };
        Some(Self::of(schema::field(path)?, form))
    }

    pub(super) fn of(field: &'static Field, form: Form) -> Self {
        Self { field, form, path: MemberPath::new(field.path) }
    }

    /// Returns the first value.
    pub(in crate::store) fn value(&self, document: &[u8]) -> Result<Option<Cell>, ExtractError> {
        let Some(found) = self.path.find(document)? else { return Ok(None) };
        if let Some(text) = plain_text(&found) {
            return Ok(indexed_text(text, self.field, self.form));
        }
        Ok(self.values_of(&found)?.into_iter().next())
    }

    /// Returns all values, through arrays and elements of nested fields, as a JSON array.
    pub(in crate::store) fn values(&self, document: &[u8]) -> Result<Value, ExtractError> {
        let Some(found) = self.path.find(document)? else { return Ok(Value::Array(Vec::new())) };
        Ok(self.values_of(&found)?.into_iter().map(json).collect())
    }

    /// Returns the elements of a nested field, as a JSON array of their index entries.
    pub(in crate::store) fn elements(&self, document: &[u8]) -> Result<Value, ExtractError> {
        let Some(found) = self.path.find(document)? else { return Ok(Value::Array(Vec::new())) };
        let value: Value = serde_json::from_slice(found.value)?;
        Ok(each(&value).iter().map(|element| element_of(element, self.field)).collect())
    }

    /// Returns the label of this name, which is given in the tables' form of texts.
    pub(in crate::store) fn label(&self, document: &[u8], kept_name: &str) -> Result<Option<Cell>, ExtractError> {
        let Some(found) = self.path.find(document)? else { return Ok(None) };
        let labels: Value = serde_json::from_slice(found.value)?;
        let name = decode_text(kept_name.to_owned());
        Ok(labels.get(name).and_then(|value| indexed(value, self.field, Form::Value)))
    }

    /// Counts the values of one more event. This runs for very many events, so the usual text is not copied.
    pub(in crate::store) fn count(
        &self,
        document: &[u8],
        counter: &mut TermCounter,
    ) -> Result<Result<(), TooManyValues>, ExtractError> {
        let Some(found) = self.path.find(document)? else { return Ok(counter.add_missing()) };
        let plain = plain_text(&found).filter(|_| self.form == Form::Value);
        match plain.and_then(|text| indexable_text(text, self.field)) {
            Some(text) => Ok(counter.add_text(&text)),
            None => Ok(counter.add_all(&self.values_of(&found)?)),
        }
    }

    fn values_of(&self, found: &FoundMember<'_, '_>) -> Result<Vec<Cell>, ExtractError> {
        let value: Value = serde_json::from_slice(found.value)?;
        let mut values: Vec<&Value> = each(&value).iter().collect();
        for name in found.names_left {
            values = values.into_iter().filter_map(|value| value.get(name.as_str())).flat_map(each).collect();
        }
        if self.field.kind == Kind::Labels {
            values = values.into_iter().filter_map(Value::as_object).flat_map(Map::values).collect();
        }
        let values = values.into_iter().flat_map(|value| index::values(value, self.field));
        Ok(values.filter_map(|value| indexed(&value, self.field, self.form)).collect())
    }
}

/// Why the value of a document cannot be extracted.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum ExtractError {
    #[error(transparent)]
    NotAnObject(#[from] NotAnObject),
    #[error("a stored document cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// Returns the text if it has no escapes and can be borrowed, as most can.
fn plain_text<'d>(found: &FoundMember<'d, '_>) -> Option<&'d str> {
    let text = found.value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if !found.names_left.is_empty() || memchr::memchr(b'\\', text).is_some() {
        return None;
    }
    std::str::from_utf8(text).ok()
}
