//! Projections: selected members of a document, byte for byte as in the store.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{
    document::Members,
    query::{Pattern, TooMany},
    schema::{Field, Kind, Tree, UnknownField, field, fields_beginning},
};

/// Which members of each document are kept.
#[derive(Debug)]
pub struct Projection {
    /// `None` keeps the document as it is.
    selectors: Option<Vec<Selector>>,
}

/// Maximum number of fields or columns in a request.
pub const MAX_FIELDS: usize = 200;

/// Why fields cannot be returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFields {
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Unknown(#[from] UnknownField),
}

/// Selects a member by its dotted path, in which `*` matches anything, including dots. An object is selected with all
/// of its members.
#[derive(Debug)]
pub(super) struct Selector {
    pattern: Pattern,
    /// The text before the first wildcard.
    beginning: String,
}

impl Selector {
    /// Fails if no document can have such a member.
    pub(super) fn new(text: &str) -> Result<Self, UnknownField> {
        let selector = Self::parse(text);
        if selector.is_of_known_fields() { Ok(selector) } else { Err(UnknownField::new(text)) }
    }

    fn parse(text: &str) -> Self {
        let beginning = text.split('*').next().unwrap_or_default().to_owned();
        Self { pattern: Pattern::new(text.split('*').map(str::to_owned)), beginning }
    }

    fn is_of_known_fields(&self) -> bool {
        if self.pattern.is_exact() {
            return Tree::get().find(&self.beginning).is_some() || is_any_member(&self.beginning);
        }
        let has_match = |field: &Field| paths_to(field.path).any(|path| self.pattern.matches(path));
        is_any_member(&self.beginning) || fields_beginning(&self.beginning).iter().any(has_match)
    }

    /// Whether a member below this path may be selected.
    fn reaches_below(&self, path: &str) -> bool {
        if self.pattern.is_exact() {
            return is_below(&self.beginning, path);
        }
        self.beginning.starts_with(path) || path.starts_with(&self.beginning)
    }
}

/// Whether the path leads into an object with any members.
fn is_any_member(path: &str) -> bool {
    let mut around = path.match_indices('.').filter(|(at, _)| at + 1 < path.len()).filter_map(|(at, _)| path.get(..at));
    around.any(|outer| field(outer).is_some_and(|field| matches!(field.kind, Kind::Labels | Kind::Flattened)))
}

/// Returns `a`, `a.b` and `a.b.c` for `a.b.c`.
fn paths_to(path: &str) -> impl Iterator<Item = &str> {
    let objects = path.match_indices('.').filter_map(|(at, _)| path.get(..at));
    objects.chain([path])
}

fn is_below(path: &str, object: &str) -> bool {
    path.strip_prefix(object).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'))
}

impl Projection {
    pub fn whole() -> Self {
        Self { selectors: None }
    }

    pub fn is_whole(&self) -> bool {
        self.selectors.is_none()
    }

    /// Parses paths such as `event.action`, `user` or `kibana.*`.
    pub fn of(paths: &[impl AsRef<str>]) -> Result<Self, BadFields> {
        TooMany::check(paths.len(), MAX_FIELDS)?;
        let selectors: Result<_, _> = paths.iter().map(|path| Selector::new(path.as_ref())).collect();
        Ok(Self { selectors: Some(selectors?) })
    }

    /// Returns the selected members of a document. Objects and arrays of objects without selected members are left out.
    pub fn apply(&self, document: Bytes) -> Result<Bytes, serde_json::Error> {
        let Some(selectors) = &self.selectors else {
            return Ok(document);
        };
        let mut kept = Vec::with_capacity(document.len());
        let root: &RawValue = serde_json::from_slice(&document)?;
        if !keep(root.get(), "", selectors, &mut kept)? {
            kept.extend_from_slice(b"{}");
        }
        Ok(kept.into())
    }
}

/// Writes the selected members of the value at this path; returns `false` and writes nothing if there are none.
fn keep(value: &str, path: &str, selectors: &[Selector], kept: &mut Vec<u8>) -> Result<bool, serde_json::Error> {
    match value.as_bytes().first() {
        Some(b'{') => keep_object(value, path, selectors, kept),
        Some(b'[') => keep_array(value, path, selectors, kept),
        _ => Ok(false),
    }
}

fn keep_object(value: &str, path: &str, selectors: &[Selector], kept: &mut Vec<u8>) -> Result<bool, serde_json::Error> {
    let start = kept.len();
    for (name, member) in serde_json::from_str::<Members<'_>>(value)?.0 {
        let below = if path.is_empty() { name.clone().into_owned() } else { format!("{path}.{name}") };
        let end = kept.len();
        kept.push(if end == start { b'{' } else { b',' });
        serde_json::to_writer(&mut *kept, &name)?;
        kept.push(b':');
        let is_chosen = selectors.iter().any(|selector| selector.pattern.matches(&below));
        let is_kept = if is_chosen {
            kept.extend_from_slice(member.get().as_bytes());
            true
        } else {
            let reaches = selectors.iter().any(|selector| selector.reaches_below(&below));
            reaches && keep(member.get(), &below, selectors, kept)?
        };
        if !is_kept {
            kept.truncate(end);
        }
    }
    let has_any = kept.len() > start;
    if has_any {
        kept.push(b'}');
    }
    Ok(has_any)
}

/// Elements have the path of their array.
fn keep_array(value: &str, path: &str, selectors: &[Selector], kept: &mut Vec<u8>) -> Result<bool, serde_json::Error> {
    let start = kept.len();
    for element in serde_json::from_str::<Vec<&RawValue>>(value)? {
        let end = kept.len();
        kept.push(if end == start { b'[' } else { b',' });
        if !keep(element.get(), path, selectors, kept)? {
            kept.truncate(end);
        }
    }
    let has_any = kept.len() > start;
    if has_any {
        kept.push(b']');
    }
    Ok(has_any)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"@timestamp":"t","event":{"action":"a\u0041","duration":"12","id":"i"},"kibana":{"saved_objects":[{"id":"1","rel":"primary"},{"rel":"primary"},{"id":"2"}],"version":"1.0.0"},"labels":{"a.b":"x","c":"y"},"tags":["one","two"],"x":1.50}"#;

    fn of(names: &[&str]) -> String {
        let projection = Projection { selectors: Some(names.iter().map(|name| Selector::parse(name)).collect()) };
        String::from_utf8(projection.apply(Bytes::from_static(DOCUMENT.as_bytes())).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn members_keep_their_bytes() {
        for (names, expected) in [
            (&["event.action"][..], r#"{"event":{"action":"a\u0041"}}"#),
            (&["x"], r#"{"x":1.50}"#),
            (&["event"], r#"{"event":{"action":"a\u0041","duration":"12","id":"i"}}"#),
            (&["event.i*", "tags"], r#"{"event":{"id":"i"},"tags":["one","two"]}"#),
            (&["*.id"], r#"{"event":{"id":"i"},"kibana":{"saved_objects":[{"id":"1"},{"id":"2"}]}}"#),
            (&["kibana.saved_objects.id"], r#"{"kibana":{"saved_objects":[{"id":"1"},{"id":"2"}]}}"#),
            (&["labels.a.b"], r#"{"labels":{"a.b":"x"}}"#),
            (&["labels"], r#"{"labels":{"a.b":"x","c":"y"}}"#),
            (&["message"], "{}"),
            (&["event.nothing"], "{}"),
            (&["ev"], "{}"),
            (&["*"], DOCUMENT),
        ] {
            assert_eq!(of(names), expected, "{names:?}");
        }
    }

    #[test]
    fn without_names_the_document_is_unchanged() {
        let document = Bytes::from_static(b"{ \"odd\" : 1 }");
        assert_eq!(Projection::whole().apply(document.clone()).unwrap(), document);
    }

    #[test]
    fn names_that_no_document_can_have_are_refused() {
        for known in ["event", "event.action", "event.*", "*", "labels.any.thing", "kibana.saved_objects.*", "*.id"] {
            assert!(Selector::new(known).is_ok(), "{known}");
        }
        for unknown in ["", "evnt", "event.acton", "event.", "labels.", "foo*", "event.action.x", "labelsx"] {
            assert!(Selector::new(unknown).is_err(), "{unknown}");
        }
    }
}
