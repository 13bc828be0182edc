//! One member of a document, without reading the others into memory.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// The document with nothing but the member in which this path begins; what is no object has no members.
pub(in crate::store) fn member_only(document: &[u8], path: &str) -> serde_json::Result<Value> {
    let name = path.split('.').next().unwrap_or_default();
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    let only = Only(name).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(only)
}

struct Only<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Only<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Only<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or null")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Value, M::Error> {
        let mut kept = Map::new();
        while let Some(is_wanted) = members.next_key_seed(Is(self.0))? {
            if is_wanted {
                kept.insert(self.0.to_owned(), members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Value::Object(kept))
    }
}

/// Whether a name is this one.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_member_of_a_path_is_what_the_whole_document_has_there() {
        let document = br#"{"a":[{"b":1}],"\u0061b":{"c":{"d":"e"},"f":null},"g":"h"}"#;
        let member = |path| member_only(document, path).unwrap();
        assert_eq!(member("a.b"), json!({"a": [{"b": 1}]}));
        assert_eq!(member("ab.c.d"), json!({"ab": {"c": {"d": "e"}, "f": null}}));
        assert_eq!(member("g"), json!({"g": "h"}));
        assert_eq!(member("b"), json!({}));
        assert_eq!(member_only(b"null", "a").unwrap(), Value::Null);
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        for document in ["", "{", r#"{"a":1}}"#, r#"{"a":1"#] {
            assert!(member_only(document.as_bytes(), "a").is_err(), "{document}");
        }
    }
}
