//! One member of a document, without reading the others into memory.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// The document with nothing but the member in which this path begins; what is no object has no members. What comes
/// behind that member is not looked at.
pub(in crate::store) fn member_only(document: &[u8], path: &str) -> serde_json::Result<Value> {
    let name = path.split('.').next().unwrap_or_default();
    let mut found = None;
    let read = Seek { name, found: &mut found }.deserialize(&mut serde_json::Deserializer::from_slice(document));
    match (found, read) {
        (Some(value), _) => Ok(Value::Object(Map::from_iter([(name.to_owned(), value)]))),
        (None, Ok(())) => Ok(Value::Null),
        (None, Err(error)) => Err(error),
    }
}

/// Ends with an error as soon as the value is there: serde has no other way to leave off.
struct Seek<'n> {
    name: &'n str,
    found: &'n mut Option<Value>,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or null")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<(), M::Error> {
        while let Some(is_wanted) = members.next_key_seed(Is(self.name))? {
            if is_wanted {
                *self.found = Some(members.next_value()?);
                return Err(Error::custom("found"));
            }
            members.next_value::<IgnoredAny>()?;
        }
        Ok(())
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
        assert_eq!(member("b"), Value::Null);
        assert_eq!(member_only(b"null", "a").unwrap(), Value::Null);
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        for document in ["", "{", r#"{"b":1"#, r#"{"a":}"#, "[]"] {
            assert!(member_only(document.as_bytes(), "a").is_err(), "{document}");
        }
    }
}
