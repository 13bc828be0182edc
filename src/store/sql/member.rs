//! Finds the value of one field in the bytes of a document without parsing the others.
//!
//! Only JSON objects are stored, so skipped parts are not checked for being well-formed. Names are compared as they are
//! written, because names of fields need no escapes.

use memchr::{memchr, memchr2, memchr2_iter, memmem::Finder};

/// The names on the path to a value.
#[derive(Debug)]
pub(in crate::store) struct MemberPath(Vec<MemberName>);

#[derive(Debug)]
pub(super) struct MemberName {
    name: String,
    /// Finds the name in quotation marks.
    quoted: Finder<'static>,
}

/// A value as it is written. Names are left where the path leads into the elements of an array.
#[derive(Debug)]
pub(super) struct FoundMember<'d, 'p> {
    pub(super) value: &'d [u8],
    pub(super) names_left: &'p [MemberName],
}

#[derive(Debug, thiserror::Error)]
#[error("a stored document is not a JSON object")]
pub(in crate::store) struct NotAnObject;

impl MemberPath {
    pub(super) fn new(dotted: &str) -> Self {
        let name = |name: &str| {
            let quoted = format!("\"{name}\"");
            MemberName { name: name.to_owned(), quoted: Finder::new(quoted.as_bytes()).into_owned() }
        };
        Self(dotted.split('.').map(name).collect())
    }

    pub(super) fn find<'d>(&self, document: &'d [u8]) -> Result<Option<FoundMember<'d, '_>>, NotAnObject> {
        if document.first() != Some(&b'{') {
            return Err(NotAnObject);
        }
        self.seek(document).ok_or(NotAnObject)
    }

    /// Returns `None` if the document ends before the value does.
    fn seek<'d>(&self, document: &'d [u8]) -> Option<Option<FoundMember<'d, '_>>> {
        let (mut found, mut names_left) = (document, self.0.as_slice());
        while let Some((name, rest)) = names_left.split_first()
            && found.first() == Some(&b'{')
        {
            match name.value_in(found)? {
                Some(value) => (found, names_left) = (value, rest),
                None => return Some(None),
            }
        }
        let value = found.get(..length(found)?)?;
        Some(Some(FoundMember { value, names_left }))
    }
}

impl MemberName {
    pub(super) fn as_str(&self) -> &str {
        &self.name
    }

    /// Returns the bytes of the object from the value of this name on. Searches for the name's bytes, so most of a
    /// document is never looked at, and a missing name costs one search.
    fn value_in<'d>(&self, object: &'d [u8]) -> Option<Option<&'d [u8]>> {
        let length = self.quoted.needle().len();
        let mut from = 0;
        while let Some(at) = self.quoted.find(object.get(from..)?) {
            let (before, rest) = object.split_at_checked(from + at)?;
            from += at + length;
            let behind = rest.get(length..)?.trim_ascii_start();
            // After a backslash it is part of a text; without a colon after it, it is not a name.
            let (false, Some(value)) = (before.ends_with(b"\\"), behind.strip_prefix(b":")) else { continue };
            match objects_open(before) {
                Some(1) => return Some(Some(value.trim_ascii_start())),
                Some(0) => return Some(None),
                Some(_) => {}
                None => return find_by_parsing(object, self.name.as_bytes()),
            }
        }
        Some(None)
    }
}

/// Counts the objects that are still open at the end of these bytes, which must be outside of texts; 0 if the first
/// object is closed. `None` if there are escapes, as quotation marks may be escaped.
fn objects_open(bytes: &[u8]) -> Option<usize> {
    if memchr(b'\\', bytes).is_some() {
        return None;
    }
    let (mut open, mut from, mut in_text) = (0_usize, 0, 0);
    for at in memchr2_iter(b'{', b'}', bytes) {
        in_text ^= quote_parity(bytes.get(from..at)?);
        from = at;
        if in_text == 0 {
            open = if bytes.get(at) == Some(&b'{') { open + 1 } else { open.checked_sub(1)? };
            if open == 0 {
                break;
            }
        }
    }
    Some(open)
}

/// Returns 1 for an odd number of quotation marks, else 0. A `u8`, as the compiler does not vectorise this for `bool`.
fn quote_parity(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |odd, byte| odd ^ u8::from(*byte == b'"'))
}

/// Like [`MemberName::value_in`], but parses everything before the value.
fn find_by_parsing<'d>(object: &'d [u8], wanted: &[u8]) -> Option<Option<&'d [u8]>> {
    let mut rest = object.strip_prefix(b"{")?.trim_ascii_start();
    while let Some(from_name) = rest.strip_prefix(b"\"") {
        let (name, behind) = from_name.split_at_checked(text_length(from_name)?)?;
        let value = behind.strip_prefix(b"\"")?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        if name == wanted {
            return Some(Some(value));
        }
        rest = value.get(length(value)?..)?.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
    }
    rest.starts_with(b"}").then_some(None)
}

/// Returns the length of the value that these bytes begin with.
fn length(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' => Some(text_length(bytes.get(1..)?)? + 2),
        b'{' | b'[' => container_length(bytes),
        _ => bytes.iter().position(|byte| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace()),
    }
}

fn container_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at)? {
            b'"' => at += text_length(bytes.get(at + 1..)?)? + 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Returns the length of the text whose inside these bytes begin with, up to its closing quotation mark.
fn text_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn found(document: &str, path: &str) -> Option<(String, usize)> {
        let path = MemberPath::new(path);
        let found = path.find(document.as_bytes()).unwrap()?;
        Some((String::from_utf8(found.value.to_vec()).unwrap(), found.names_left.len()))
    }

    #[test]
    fn a_value_is_found_as_it_is_written() {
        let document = r#"{"@t":1,"a":{"b":{"c":"d \"e\\"}},"b" : [ {"c":1} , 2 ] ,"f":-0.5e3,"g":null,"h":[],"i":""}"#;
        for (path, value, names_left) in [
            ("@t", "1", 0),
            ("a.b", r#"{"c":"d \"e\\"}"#, 0),
            ("a.b.c", r#""d \"e\\""#, 0),
            ("b", r#"[ {"c":1} , 2 ]"#, 0),
            ("b.c", r#"[ {"c":1} , 2 ]"#, 1),
            ("f", "-0.5e3", 0),
            ("f.g.h", "-0.5e3", 2),
            ("g", "null", 0),
            ("h", "[]", 0),
            ("i", "\"\"", 0),
        ] {
            assert_eq!(found(document, path), Some((value.to_owned(), names_left)), "{path}");
        }
        for path in ["c", "a.c", "a.b.d", "d", "e", "i.j.k.l", "t", ""] {
            assert_eq!(found(document, path).filter(|(_, left)| *left == 0), None, "{path}");
        }
    }

    /// In each of these the name first occurs somewhere else.
    #[test]
    fn a_name_elsewhere_is_not_a_member() {
        for before in [
            r#""a":"host""#,
            r#""a":"\"host\":{""#,
            r#""a":"\\","b":{"host":{"name":"no"}}"#,
            r#""a":["host",{"host":{"name":"no"}}]"#,
            r#""a":{"b":{},"host":{"name":"no"}}"#,
            r#""a":"}","b":{"host":{"name":"no"},"c":"{"}"#,
            r#""a \"host":{"name":"no"}"#,
            r#""a":"{{{","b":"}}""#,
            r#""b":{"c":{},"d":"\"host\":{"},"c":{"host":"x"}"#,
        ] {
            let document = format!(r#"{{{before},"host":{{"id":"host","name":"yes"}}}}"#);
            serde_json::from_str::<Value>(&document).unwrap();
            assert_eq!(found(&document, "host.name"), Some(("\"yes\"".to_owned(), 0)), "{document}");
            assert_eq!(found(&format!("{{{before}}}"), "host.name"), None, "{before}");
        }
    }

    #[test]
    fn anything_but_a_document_is_an_error() {
        let path = MemberPath::new("a.b");
        for document in ["", "null", "[]", r#"{"a":"#, r#"{"a":{"b":"c"#, r#"{"a":{"b":[1,{}"#, r#"{"a":{"b":1"#] {
            assert!(path.find(document.as_bytes()).is_err(), "{document}");
        }
    }

    /// Names and texts that overlap, with everything that may look like the end of something.
    fn anything() -> impl Strategy<Value = Value> {
        let text = prop::sample::select(vec!["a", "b", "\"a\"", "a\":{", "\\", "{", "}}", "[\"", ",\"a\":", ""]);
        let scalar =
            prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), text.clone().prop_map(Value::from)];
        scalar.prop_recursive(4, 24, 4, move |inner| {
            let members = prop::collection::vec((text.clone(), inner.clone()), 0..4);
            prop_oneof![
                3 => members.prop_map(|members| Value::Object(members.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())),
                1 => prop::collection::vec(inner, 0..3).prop_map(Value::from),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_value_is_found_as_in_the_parsed_document(
            members in prop::collection::vec((prop::sample::select(vec!["a", "b", "x\"a", "z"]), anything()), 0..4),
            path in prop::sample::select(vec!["a", "b", "a.a", "a.b", "b.a", "b.b.a"]),
            is_pretty in any::<bool>(),
        ) {
            let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
            let document = Value::Object(members.collect::<Map<_, _>>());
            let written = if is_pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) };
            let written = written.unwrap();
            let mut expected = Some(&document);
            let mut left = path.split('.').count();
            for name in path.split('.') {
                let Some(Value::Object(members)) = expected else { break };
                (expected, left) = (members.get(name), left - 1);
            }
            let path = MemberPath::new(path);
            let found = path.find(&written).unwrap();
            let found = found.map(|found| (serde_json::from_slice(found.value).unwrap(), found.names_left.len()));
            prop_assert_eq!(found, expected.map(|value: &Value| (json!(value), left)));
        }
    }
}
