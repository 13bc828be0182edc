//! Texts that no store can keep, or find, as they were sent. Whoever is logged may have chosen them, so they are repaired
//! rather than keep the event out:
//!
//! - U+FFFD stands for U+0000, for a lone surrogate, and for bytes that are not UTF-8.
//! - Of a text that is longer than its field takes, the field has the beginning; of an address with a zone, the address.
//!   `annals.originals` has the whole text.
//!
//! `annals.repaired` names the fields.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    canonical::put_text,
    names::{first_bytes, tell_apart},
};
use crate::schema::{Field, Kind};

/// Maximum number of paths in `annals.repaired`. If there are more, [`MORE`] follows them.
const MAX_PATHS: usize = 100;
const MORE: &str = "…";

/// What was repaired in an event.
#[derive(Default)]
pub(super) struct Repairs {
    fields: BTreeSet<&'static str>,
    /// By path, the texts as sent, quoted and separated by commas.
    originals: BTreeMap<String, Vec<u8>>,
}

impl Repairs {
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    pub(super) fn clear(&mut self) {
        if !self.is_empty() {
            *self = Self::default();
        }
    }

    /// Notes that something in a field was repaired.
    pub(super) fn add(&mut self, field: &Field) {
        self.fields.insert(field.path);
    }

    /// Keeps a text of which the field has only a part.
    pub(super) fn keep_original(&mut self, field: &Field, path: &str, text: &str) {
        self.add(field);
        let texts = self.originals.entry(path.to_owned()).or_default();
        if !texts.is_empty() {
            texts.push(b',');
        }
        put_text(text, texts);
    }

    /// Returns the canonical values of `annals.repaired` and, if there are any, of `annals.originals`.
    pub(super) fn into_values(self) -> (Vec<u8>, Option<Vec<u8>>) {
        let more = (self.fields.len() > MAX_PATHS).then_some(MORE);
        let mut repaired = Vec::new();
        for path in self.fields.into_iter().take(MAX_PATHS).chain(more) {
            repaired.push(if repaired.is_empty() { b'[' } else { b',' });
            put_text(path, &mut repaired);
        }
        repaired.push(b']');
        let mut originals = Vec::new();
        for (path, texts) in self.originals {
            originals.extend_from_slice(if originals.is_empty() { b"[{\"path\":" } else { b",{\"path\":" });
            put_text(&path, &mut originals);
            originals.extend_from_slice(b",\"texts\":[");
            originals.extend_from_slice(&texts);
            originals.extend_from_slice(b"]}");
        }
        originals.push(b']');
        (repaired, Some(originals).filter(|originals| originals.len() > 1))
    }
}

/// The part of a text by which every store finds it, and which its field has.
pub(super) fn beginning<'t>(text: &'t str, field: &Field) -> &'t str {
    let bytes = if field.max_bytes == 0 { usize::MAX } else { field.max_bytes as usize };
    let units =
        if field.kind == Kind::Keyword && field.max_bytes != 0 { usize::from(field.longest_value) } else { usize::MAX };
    let mut taken = 0;
    let end = text.char_indices().find(|(at, character)| {
        taken += character.len_utf16();
        taken > units || at + character.len_utf8() > bytes
    });
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Limits of the texts in an object of any members.
pub(super) struct ObjectLimits {
    /// Maximum bytes of a text, and of the names that lead to it, joined by dots.
    pub(super) text: usize,
    /// Maximum bytes of each name if the names that lead to some text are longer.
    pub(super) name: usize,
}

/// Shortens the texts of an object of any members, and its names if some of them are too long together. Returns the whole
/// texts and names in its order.
pub(super) fn shorten(value: Value, limits: &ObjectLimits, names_too: bool, whole: &mut Vec<String>) -> Value {
    match value {
        Value::String(text) if text.len() > limits.text => {
            let short = first_bytes(&text, limits.text).to_owned();
            whole.push(text);
            Value::String(short)
        }
        Value::Array(elements) => {
            Value::Array(elements.into_iter().map(|element| shorten(element, limits, names_too, whole)).collect())
        }
        Value::Object(members) => {
            let mut short = Vec::with_capacity(members.len());
            let mut cut = Vec::new();
            for (name, value) in members {
                let mut kept = name;
                if names_too && kept.len() > limits.name {
                    let name = first_bytes(&kept, limits.name).to_owned();
                    whole.push(std::mem::replace(&mut kept, name));
                    cut.push(short.len());
                }
                short.push((kept, shorten(value, limits, names_too, whole)));
            }
            tell_apart(&mut short, &cut, limits.name);
            Value::Object(Map::from_iter(short))
        }
        other @ (Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null) => other,
    }
}
