//! Parses the body that names saved objects.
//!
//! The visitor keeps only the ids, and stops at the first error or at the first id too many.

use std::fmt;

use serde::{
    Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::json::{self, check_object, expected, not_json, shortened, whole};
use crate::{error::Failure, query::TooMany, read::ObjectIds};

const BODY: &str = "request body";

/// Returns the `ids` and `legacyIds` of a body in one list without duplicates. A legacy id is treated like any other id: events
/// that refer to it are found, and the caller must be allowed to read it.
pub(in crate::http) fn ids(body: &[u8]) -> Result<ObjectIds, Failure> {
    // Checks the syntax without allocating.
    let whole = whole(body)?;
    check_object(BODY, whole)?;
    let mut read = Ids::default();
    let members = serde_json::Deserializer::from_str(whole.get()).deserialize_map(Members(&mut read));
    if let Some(failure) = read.failure {
        return Err(failure);
    }
    members.map_err(|error| not_json(BODY, &error))?;
    Ok(read.ids)
}

/// The ids read so far.
#[derive(Default)]
struct Ids {
    ids: ObjectIds,
    failure: Option<Failure>,
}

impl Ids {
    fn add(&mut self, name: &str, index: usize, element: &RawValue) -> Result<(), Failure> {
        let id: String = serde_json::from_str(element.get())
            .map_err(|_| wrong(&format!("{name}.{index}"), expected("string", element)))?;
        self.ids.add(id).map_err(|TooMany { found, max }| {
            wrong(name, format_args!("array size is [{found}] or more, but cannot be greater than [{max}]"))
        })
    }

    /// Reads an array, or a string that contains a JSON array.
    fn list(&mut self, name: &'static str, value: &RawValue) -> Result<(), Failure> {
        let not_parsed = || wrong(name, "could not parse array value from json input");
        let text;
        let array = match value.get().as_bytes().first() {
            Some(b'[') => value.get(),
            Some(b'"') => {
                text = serde_json::from_str::<String>(value.get()).map_err(|_| not_parsed())?;
                let array: &RawValue = serde_json::from_str(&text).map_err(|_| not_parsed())?;
                if !array.get().starts_with('[') {
                    return Err(not_parsed());
                }
                array.get()
            }
            _ => return Err(wrong(name, expected("array", value))),
        };
        let read = serde_json::Deserializer::from_str(array).deserialize_seq(Elements { ids: self, name });
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => read.map_err(|_| not_parsed()),
        }
    }
}

struct Members<'a>(&'a mut Ids);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            let read = match name.as_str() {
                "ids" => self.0.list("ids", members.next_value()?),
                "legacyIds" => self.0.list("legacyIds", members.next_value()?),
                _ => Err(wrong(&shortened(&name), "definition for this key is missing")),
            };
            if let Err(failure) = read {
                self.0.failure = Some(failure);
                return Err(A::Error::custom("refused"));
            }
        }
        Ok(())
    }
}

struct Elements<'a> {
    ids: &'a mut Ids,
    name: &'static str,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut index = 0;
        while let Some(element) = elements.next_element::<&RawValue>()? {
            if let Err(failure) = self.ids.add(self.name, index, element) {
                self.ids.failure = Some(failure);
                return Err(A::Error::custom("refused"));
            }
            index += 1;
        }
        Ok(())
    }
}

fn wrong(name: &str, reason: impl fmt::Display) -> Failure {
    json::wrong(&format!("{BODY}.{name}"), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::MAX_IDS;

    /// The tests of the interface check the error messages.
    #[test]
    fn reading_stops_at_the_first_id_too_many() {
        let all: Vec<_> = (0..MAX_IDS).map(|id| id.to_string()).collect();
        let body = |ids: &[String]| serde_json::json!({"ids": ids}).to_string();
        assert!(ids(body(&all).as_bytes()).is_ok_and(|ids| ids.as_slice() == all));
        let mut read = Ids::default();
        let many = format!("[{}]", vec!["\"x\""; 2 * MAX_IDS].join(","));
        let many = RawValue::from_string(many).map(|many| read.list("ids", &many));
        assert!(many.is_ok_and(|read| read.is_err_and(|failure| failure.message.contains("[65537] or more"))));
        assert_eq!(read.ids.as_slice(), ["x"]);
    }
}
