//! Reads JSON of requests. Every error names the place, what was expected there and what was found, in the words of Kibana.

use std::{collections::HashSet, fmt};

use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::error::Failure;

/// The members of an object, which are taken by name; [`Members::finish`] refuses the rest.
pub(in crate::http) struct Members<'a> {
    place: String,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Reads the whole body, which is an object.
    pub(in crate::http) fn of_body(body: &'a [u8]) -> Result<Self, Failure> {
        Self::of("request body", whole(body)?)
    }

    /// Reads the value at this place, which is an object.
    pub(in crate::http) fn of(place: impl Into<String>, value: &'a RawValue) -> Result<Self, Failure> {
        let place = place.into();
        check_object(&place, value)?;
        let members = serde_json::Deserializer::from_str(value.get()).deserialize_map(EachMember);
        let members = members.map_err(|error| not_json(&place, &error))?;
        let mut seen = HashSet::new();
        match members.iter().find(|(name, _)| !seen.insert(name)) {
            Some((twice, _)) => {
                Err(wrong(&format!("{place}.{}", shortened(twice)), "expected one value but got several"))
            }
            None => Ok(Self { place, members }),
        }
    }

    /// Takes a member; `None` if it is absent or null.
    pub(in crate::http) fn optional(&mut self, name: &str) -> Option<&'a RawValue> {
        let value = self.members.extract_if(.., |(member, _)| member == name).next()?.1;
        (value.get() != "null").then_some(value)
    }

    pub(in crate::http) fn optional_text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        self.optional(name).map(|value| text(&self.path(name), value)).transpose()
    }

    pub(in crate::http) fn text(&mut self, name: &str) -> Result<String, Failure> {
        let value = self.required(name, "string")?;
        text(&self.path(name), value)
    }

    /// Takes an array, with the place of each element.
    pub(in crate::http) fn array(&mut self, name: &str) -> Result<Vec<(String, &'a RawValue)>, Failure> {
        let value = self.required(name, "array")?;
        array(&self.path(name), value)
    }

    pub(in crate::http) fn texts(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        self.array(name)?.into_iter().map(|(place, element)| text(&place, element)).collect()
    }

    pub(in crate::http) fn optional_texts(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        if self.members.iter().any(|(member, _)| member == name) { self.texts(name) } else { Ok(Vec::new()) }
    }

    /// Takes an object; `None` if it is absent or null.
    pub(in crate::http) fn object(
        &mut self,
        name: &str,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, Failure> {
        let Some(value) = self.optional(name) else { return Ok(None) };
        if !value.get().starts_with('{') {
            return Err(self.wrong(name, expected("object", value)));
        }
        serde_json::from_str(value.get()).map(Some).map_err(|error| not_json(&self.path(name), &error))
    }

    /// Fails if any member has not been taken.
    pub(in crate::http) fn finish(self) -> Result<(), Failure> {
        match self.members.first() {
            None => Ok(()),
            Some((name, _)) => Err(self.wrong(&shortened(name), "definition for this key is missing")),
        }
    }

    fn required(&mut self, name: &str, kind: &str) -> Result<&'a RawValue, Failure> {
        let value = self.members.extract_if(.., |(member, _)| member == name).next().map(|(_, value)| value);
        value.ok_or_else(|| self.wrong(name, format_args!("expected value of type [{kind}] but it is missing")))
    }

    fn path(&self, name: &str) -> String {
        format!("{}.{name}", self.place)
    }

    fn wrong(&self, name: &str, reason: impl fmt::Display) -> Failure {
        wrong(&self.path(name), reason)
    }
}

/// Checks the syntax of a body without allocating.
pub(super) fn whole(body: &[u8]) -> Result<&RawValue, Failure> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(wrong("request body", "expected a plain object value, but found [null] instead."));
    }
    serde_json::from_slice(body).map_err(|error| not_json("request body", &error))
}

pub(super) fn check_object(place: &str, value: &RawValue) -> Result<(), Failure> {
    if value.get().starts_with('{') {
        return Ok(());
    }
    Err(wrong(place, format_args!("expected a plain object value, but found [{}] instead.", type_name(value))))
}

/// The elements of an array, each with its place.
fn array<'a>(place: &str, value: &'a RawValue) -> Result<Vec<(String, &'a RawValue)>, Failure> {
    if !value.get().starts_with('[') {
        return Err(wrong(place, expected("array", value)));
    }
    let elements: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|error| not_json(place, &error))?;
    Ok(elements.into_iter().enumerate().map(|(index, element)| (format!("{place}.{index}"), element)).collect())
}

fn text(place: &str, value: &RawValue) -> Result<String, Failure> {
    serde_json::from_str(value.get()).map_err(|_| wrong(place, expected("string", value)))
}

pub(super) fn expected(kind: &str, found: &RawValue) -> String {
    format!("expected value of type [{kind}] but got [{}]", type_name(found))
}

pub(super) fn wrong(place: &str, reason: impl fmt::Display) -> Failure {
    Failure::invalid(format!("[{place}]: {reason}"))
}

/// Describes an error of syntax by its position only, as the words of the parser are about its own types.
pub(super) fn not_json(place: &str, error: &serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    if error.is_eof() {
        wrong(place, format_args!("expected JSON, but it ends too early, at line {line}, column {column}"))
    } else {
        wrong(place, format_args!("expected JSON, found something else at line {line}, column {column}"))
    }
}

/// Returns Kibana's name of a JSON type.
fn type_name(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "boolean",
        Some(b'"') => "string",
        Some(b'[') => "Array",
        Some(b'{') => "Object",
        _ => "number",
    }
}

pub(super) fn shortened(name: &str) -> String {
    name.chars().take(100).collect()
}

struct EachMember;

impl<'de> Visitor<'de> for EachMember {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        while let Some(member) = members.next_entry()? {
            read.push(member);
        }
        Ok(read)
    }
}
