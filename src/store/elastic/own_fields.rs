//! The operator's own fields in mappings, as `scripts/generate` writes the mappings of all other fields.
//!
//! They are only ever added, to what is there: other writers may have other fields, and what an operator has changed in a
//! template stays. An index keeps the mapping of a field for ever, so a field that is mapped in another way is an error.

use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use super::{flavor::Product, search::with};
use crate::{
    schema::{self, Field, Kind, Search},
    store::StoreError,
};

/// The fields, and the index that is known to map them.
pub(super) struct OwnFields {
    fields: Vec<&'static Field>,
    mapped_by: Mutex<Option<String>>,
}

impl OwnFields {
    pub(super) fn installed() -> Self {
        Self::of(schema::own_fields().iter().filter_map(|own| schema::field(&own.path)).collect())
    }

    pub(super) fn of(fields: Vec<&'static Field>) -> Self {
        Self { fields, mapped_by: Mutex::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Whether this index is known to map them.
    pub(super) fn are_mapped_by(&self, index: &str) -> bool {
        self.is_empty() || self.mapped_by.lock().unwrap_or_else(PoisonError::into_inner).as_deref() == Some(index)
    }

    pub(super) fn note_mapped_by(&self, index: &str) {
        *self.mapped_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(index.to_owned());
    }

    /// Adds the fields that are missing to the `properties` of a mapping. Returns the `properties` to add, which are empty
    /// if none is missing. `place` is where the mapping is, for the error that a field is mapped in another way.
    pub(super) fn add_missing(
        &self,
        properties: &mut Map<String, Value>,
        product: Product,
        place: &str,
    ) -> Result<Map<String, Value>, StoreError> {
        add_missing(properties, &self.fields, product, place)
    }
}

/// Returns the mapping of a field that is no array of objects.
fn mapping(field: &Field, product: Product) -> Value {
    let whole = || json!({"type": "keyword", "ignore_above": field.longest_value});
    let text = json!({"type": "text", "norms": false});
    match field.kind {
        Kind::Keyword => {
            let unindexed = json!({"type": "keyword", "index": false, "doc_values": false});
            let by_words = |mapping: Value| with(mapping, "fields", json!({"text": text}));
            match field.search {
                Search::Value => whole(),
                Search::ValueAndWords => by_words(whole()),
                Search::Words => by_words(unindexed),
                Search::Never => unindexed,
            }
        }
        Kind::Text if field.search.by_value() => with(text, "fields", json!({"keyword": whole()})),
        Kind::Text => text,
        Kind::Json => with(text, "fields", json!({"keyword": whole()})),
        Kind::Date => json!({"type": "date"}),
        Kind::DateRange => json!({"type": "date_range", "format": "strict_date_optional_time||epoch_millis"}),
        Kind::Long | Kind::Long64 => json!({"type": "long"}),
        Kind::Float => json!({"type": "float"}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Ip => json!({"type": "ip"}),
        Kind::GeoPoint => json!({"type": "geo_point"}),
        Kind::Version => match product {
            Product::Elasticsearch => json!({"type": "version"}),
            Product::OpenSearch => whole(),
        },
        Kind::Flattened if field.search == Search::Never => json!({"type": "object", "enabled": false}),
        Kind::Labels | Kind::Flattened => match product {
            Product::Elasticsearch => json!({"type": "flattened", "ignore_above": field.longest_value}),
            Product::OpenSearch => json!({"type": "flat_object"}),
        },
        Kind::Nested => json!({"type": "nested"}),
        Kind::Objects => json!({}),
    }
}

fn add_missing(
    properties: &mut Map<String, Value>,
    fields: &[&Field],
    product: Product,
    place: &str,
) -> Result<Map<String, Value>, StoreError> {
    let mut added = Map::new();
    for field in fields {
        let expected = mapping(field, product);
        if let Some(found) = find(properties, field.path) {
            let same = |key: &str| found.get(key) == expected.get(key);
            if !(same("type") && same("index")) {
                return Err(conflict(place, field.path, &expected, &found.to_string()));
            }
            // A second index for the field, such as that by words, can be added later.
            let has_second = expected.get("fields").is_none_or(|fields| {
                let names = || fields.as_object().into_iter().flat_map(Map::keys);
                names().all(|name| found.get("fields").is_some_and(|found| found.get(name).is_some()))
            });
            if has_second {
                continue;
            }
        }
        for properties in [&mut *properties, &mut added] {
            if let Err(outer) = put(properties, field.path, &expected) {
                return Err(conflict(place, field.path, &expected, &format!("a field {outer} around it")));
            }
        }
    }
    Ok(added)
}

fn conflict(place: &str, path: &str, expected: &Value, found: &str) -> StoreError {
    let found: String = found.chars().take(200).collect();
    let reason = format!(
        "events.fields_file: {path}: expected the mapping {expected} in {place}, found {found}: an index keeps the mapping of a \
         field, so define it as before, or choose another path"
    );
    StoreError::Refused { reason }
}

fn find<'m>(properties: &'m Map<String, Value>, path: &str) -> Option<&'m Value> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let found = properties.get(first)?;
    match rest {
        None => Some(found),
        Some(rest) => find(found.get("properties")?.as_object()?, rest),
    }
}

/// Returns the name of a field that is in the place of an object.
fn put<'p>(properties: &mut Map<String, Value>, path: &'p str, mapping: &Value) -> Result<(), &'p str> {
    let Some((first, rest)) = path.split_once('.') else {
        properties.insert(path.to_owned(), mapping.clone());
        return Ok(());
    };
    let object = properties.entry(first).or_insert_with(|| json!({}));
    if object.get("type").is_some_and(|kind| kind != "object") {
        return Err(first);
    }
    let Some(inner) = object.as_object_mut() else { return Err(first) };
    match inner.entry("properties").or_insert_with(|| json!({})) {
        Value::Object(properties) => put(properties, rest, mapping),
        _ => Err(first),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn field(path: &'static str, like: &str) -> Field {
        Field { path, ..schema::field(like).unwrap().clone() }
    }

    fn properties(mappings: Value) -> Map<String, Value> {
        mappings.as_object().unwrap().clone()
    }

    #[test]
    fn a_field_is_mapped_as_the_generated_templates_map_it() {
        for product in [Product::Elasticsearch, Product::OpenSearch] {
            let template: Value = serde_json::from_str(product.index_template()).unwrap();
            let properties = template["template"]["mappings"]["properties"].as_object().unwrap();
            let fields = schema::fields().iter().filter(|field| !matches!(field.kind, Kind::Nested | Kind::Objects));
            for field in fields {
                assert_eq!(find(properties, field.path), Some(&mapping(field, product)), "{}", field.path);
            }
        }
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let (ticket, note) = (field("acme.ticket", "host.name"), field("acme.note", "message"));
        let fields = [&ticket, &note];
        let mut found = properties(json!({
            "acme": {"properties": {"ticket": {"type": "keyword", "ignore_above": 5}, "other": {"type": "long"}}},
        }));
        let added = add_missing(&mut found, &fields, Product::Elasticsearch, "x").unwrap();
        let note =
            json!({"type": "text", "norms": false, "fields": {"keyword": {"type": "keyword", "ignore_above": 8191}}});
        assert_eq!(Value::from(added), json!({"acme": {"properties": {"note": note}}}));
        let expected = json!({"acme": {"properties": {
            "ticket": {"type": "keyword", "ignore_above": 5}, "other": {"type": "long"}, "note": note,
        }}});
        assert_eq!(Value::from(found.clone()), expected, "what is there stays");
        assert!(add_missing(&mut found, &fields, Product::Elasticsearch, "x").unwrap().is_empty());
        let second = found["acme"]["properties"]["note"].as_object_mut().unwrap().remove("fields");
        assert!(second.is_some());
        let added = add_missing(&mut found, &fields, Product::Elasticsearch, "x").unwrap();
        assert_eq!(Value::from(added), json!({"acme": {"properties": {"note": note}}}));
    }

    #[test]
    fn another_mapping_of_a_field_is_a_conflict_that_names_it() {
        let ticket = field("acme.ticket", "host.name");
        for (found, shown) in [
            (json!({"acme": {"properties": {"ticket": {"type": "long"}}}}), r#"{"type":"long"}"#),
            (
                json!({"acme": {"properties": {"ticket": {"type": "keyword", "index": false}}}}),
                r#"{"index":false,"type":"keyword"}"#,
            ),
            (json!({"acme": {"properties": {"ticket": {"properties": {}}}}}), r#"{"properties":{}}"#),
            (json!({"acme": {"type": "keyword"}}), "a field acme around it"),
        ] {
            let added = add_missing(&mut properties(found), &[&ticket], Product::Elasticsearch, "the index i");
            let Err(StoreError::Refused { reason }) = added else { panic!("{shown}: {added:?}") };
            let expected = format!(
                "events.fields_file: acme.ticket: expected the mapping {{\"ignore_above\":1024,\"type\":\"keyword\"}} in the \
                 index i, found {shown}: an index keeps the mapping of a field, so define it as before, or choose another path"
            );
            assert_eq!(reason, expected);
        }
    }
}
