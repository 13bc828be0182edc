//! The canonical form of values: RFC 8785, restricted so that no two different values share one form, and extended in
//! texts.
//!
//! Members are sorted by the UTF-16 code units of their names; numbers take ECMAScript's shortest form; texts use only
//! the escapes `\" \\ \b \t \n \f \r` and `\u00xx`. These are refused, never repaired: duplicate members, empty names, and
//! numbers that a double cannot hold. In a text, numbers keep all of their digits, and names may be empty; in a field that
//! the log does not know, numbers that a double cannot hold become texts.

use std::{
    fmt::{self, Display},
    io::Write as _,
};

use super::{
    Violation,
    names::tell_apart,
    number,
    scan::{Expected, Scanner, Syntax, Token},
};

/// Where the canonical form of a value is written, and how deep it may be nested.
#[derive(Clone, Copy)]
pub(super) struct Form {
    place: Place,
    depth: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Document,
    Text,
    Unmapped,
}

impl Form {
    /// In a document.
    pub(super) const fn document(depth: usize) -> Self {
        Self { place: Place::Document, depth }
    }

    /// In a text, which may say what no document can: numbers keep all digits, and names may be empty.
    pub(super) const fn text(depth: usize) -> Self {
        Self { place: Place::Text, depth }
    }

    /// In a document, in a field of no type: a number that no double keeps becomes a text of its digits as they were sent.
    pub(super) const fn unmapped(depth: usize) -> Self {
        Self { place: Place::Unmapped, depth }
    }

    /// The form of what is in an object or an array.
    fn inner(self, scanner: &Scanner<'_>) -> Result<Self, Syntax> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => scanner.fail(Expected::LessNesting),
        }
    }
}

/// Why a value has no canonical form.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CanonicalError {
    Syntax(Syntax),
    Violation(Violation),
}

impl From<Syntax> for CanonicalError {
    fn from(syntax: Syntax) -> Self {
        Self::Syntax(syntax)
    }
}

fn refuse<T>(path: &dyn Display, expected: &str, found: impl Into<String>) -> Result<T, CanonicalError> {
    Err(CanonicalError::Violation(Violation {
        path: path.to_string(),
        expected: expected.to_owned(),
        found: found.into(),
    }))
}

/// The path of a member or an element, formatted only for an error.
struct ChildPath<'p> {
    outer: &'p dyn Display,
    step: PathSegment<'p>,
}

enum PathSegment<'p> {
    Member(&'p str),
    Element(usize),
}

impl Display for ChildPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            PathSegment::Member(name) => write!(f, "{}.{name}", self.outer),
            PathSegment::Element(index) => write!(f, "{}[{index}]", self.outer),
        }
    }
}

/// Appends the canonical form of the value that begins with `token`, and reads to its end.
pub(super) fn put_value(
    scanner: &mut Scanner<'_>,
    token: Token,
    path: &dyn Display,
    form: Form,
    out: &mut Vec<u8>,
) -> Result<(), CanonicalError> {
    match token {
        Token::Text(span) => out.extend_from_slice(span.of(scanner.input())),
        Token::Escaped(span) => match scanner.decode(span) {
            Ok(text) => put_text(&text, out),
            Err(bad) => return refuse(path, bad.expected(), abbreviate(span.of(scanner.input()))),
        },
        Token::Whole(span) | Token::Fraction(span) => {
            let digits = span.of(scanner.input());
            match if form.place == Place::Text { number::exact(digits) } else { number::double(digits) } {
                Ok(text) => out.extend_from_slice(text.as_bytes()),
                Err(_) if form.place == Place::Unmapped => out.extend_from_slice(&[b"\"", digits, b"\""].concat()),
                Err(expected) => return refuse(path, &expected, abbreviate(digits)),
            }
        }
        Token::True(_) => out.extend_from_slice(b"true"),
        Token::False(_) => out.extend_from_slice(b"false"),
        Token::Null => out.extend_from_slice(b"null"),
        Token::Array => put_array(scanner, path, form, out)?,
        Token::Object => put_object(scanner, path, form, out)?,
    }
    Ok(())
}

fn put_array(
    scanner: &mut Scanner<'_>,
    path: &dyn Display,
    form: Form,
    out: &mut Vec<u8>,
) -> Result<(), CanonicalError> {
    let form = form.inner(scanner)?;
    out.push(b'[');
    if !scanner.take(b']') {
        for index in 0_usize.. {
            let token = scanner.value()?;
            put_value(scanner, token, &ChildPath { outer: path, step: PathSegment::Element(index) }, form, out)?;
            if !scanner.more(b']')? {
                break;
            }
            out.push(b',');
        }
    }
    out.push(b']');
    Ok(())
}

fn put_object(
    scanner: &mut Scanner<'_>,
    path: &dyn Display,
    form: Form,
    out: &mut Vec<u8>,
) -> Result<(), CanonicalError> {
    let form = form.inner(scanner)?;
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    let mut repaired = Vec::new();
    if !scanner.take(b'}') {
        loop {
            let before = scanner.repaired;
            let name = member_name(scanner, path)?;
            if name.is_empty() && form.place != Place::Text {
                return refuse_empty_name(path);
            }
            if scanner.repaired != before {
                repaired.push(members.len());
            }
            let token = scanner.value()?;
            let mut value = Vec::new();
            put_value(scanner, token, &ChildPath { outer: path, step: PathSegment::Member(&name) }, form, &mut value)?;
            members.push((name, value));
            if !scanner.more(b'}')? {
                break;
            }
        }
    }
    tell_apart(&mut members, &repaired, usize::MAX);
    put_members(members, path, out)
}

/// Reads a member's name and the colon after it.
pub(super) fn member_name(scanner: &mut Scanner<'_>, path: &dyn Display) -> Result<String, CanonicalError> {
    let (span, escaped) = scanner.string()?;
    scanner.expect(b':', Expected::Colon)?;
    let name = match escaped {
        true => scanner.decode(span),
        false => Ok(String::from_utf8_lossy(span.inner().of(scanner.input())).into_owned()),
    };
    match name {
        Ok(name) => Ok(name),
        Err(bad) => refuse(path, bad.expected(), abbreviate(span.of(scanner.input()))),
    }
}

pub(super) fn refuse_empty_name<T>(path: &dyn Display) -> Result<T, CanonicalError> {
    refuse(path, "members with names", "an empty name")
}

/// Appends an object of these members, whose values are in canonical form.
pub(super) fn put_members(
    mut members: Vec<(String, Vec<u8>)>,
    path: &dyn Display,
    out: &mut Vec<u8>,
) -> Result<(), CanonicalError> {
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    let mut previous: Option<&str> = None;
    out.push(b'{');
    for (name, value) in &members {
        if previous == Some(name) {
            return refuse(path, "members with different names", format!("\"{name}\" twice"));
        }
        if previous.is_some() {
            out.push(b',');
        }
        previous = Some(name);
        put_text(name, out);
        out.push(b':');
        out.extend_from_slice(value);
    }
    out.push(b'}');
    Ok(())
}

/// Appends a text with its quotes.
pub(super) fn put_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..0x20 => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
            }
            other => out.push(other),
        }
    }
    out.push(b'"');
}

/// Shortens a quoted text or a number for a message.
pub(super) fn abbreviate(value: &[u8]) -> String {
    const SHOWN: usize = 60;
    let text = String::from_utf8_lossy(value);
    if text.chars().count() <= SHOWN { text.into_owned() } else { text.chars().take(SHOWN).chain(['…']).collect() }
}

/// Describes a value, for a message.
pub(super) fn describe(token: Token, input: &[u8]) -> String {
    match token {
        Token::Text(span) | Token::Escaped(span) | Token::Whole(span) | Token::Fraction(span) => {
            abbreviate(span.of(input))
        }
        Token::True(_) => "true".to_owned(),
        Token::False(_) => "false".to_owned(),
        Token::Null => "null".to_owned(),
        Token::Object => "an object".to_owned(),
        Token::Array => "an array".to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> Result<String, CanonicalError> {
        let mut scanner = Scanner::new(text.as_bytes(), 0);
        let token = scanner.value()?;
        let mut out = Vec::new();
        put_value(&mut scanner, token, &"", Form::document(32), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn values_take_the_form_of_rfc_8785() {
        for (given, expected) in [
            // RFC 8785 3.2.2 and 3.2.3, and appendix B.
            (
                r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001]}"#,
                r#"{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27]}"#,
            ),
            (r#""\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/""#, "\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\""),
            (
                "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
                "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}",
            ),
            ("[-0, 1.0, 1e21, 1e-7, 9007199254740991, -1e3]", "[0,1,1e+21,1e-7,9007199254740991,-1000]"),
            ("[ true , false , null , { } , [ ] ]", "[true,false,null,{},[]]"),
            ("\"\u{2028}\u{7f}\"", "\"\u{2028}\u{7f}\""),
        ] {
            assert_eq!(canonical(given).unwrap(), expected, "{given}");
        }
    }

    #[test]
    fn values_without_an_exact_form_are_refused() {
        for given in [
            "9007199254740993",
            "-9007199254740993",
            "-9223372036854775808",
            "1e400",
            "{\"a\":1,\"\\u0061\":2}",
            "{\"\":1}",
            "\"\\ud800\"",
            "\"\\u0000\"",
        ] {
            assert!(matches!(canonical(given), Err(CanonicalError::Violation(_))), "{given}");
        }
        assert!(matches!(canonical(&"[".repeat(33)), Err(CanonicalError::Syntax(_))));
    }

    proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point_and_keeps_the_value(text in r#"\{"[a-c]":(-?[1-9][0-9]{0,14}|0\.[0-9]{1,20}|"[a-zé\\n]{0,5}"|\[1,2\.50\])\}"#) {
            if let Ok(once) = canonical(&text) {
                prop_assert_eq!(canonical(&once).unwrap(), once.clone());
                let a: serde_json::Value = serde_json::from_str(&text).unwrap();
                let b: serde_json::Value = serde_json::from_str(&once).unwrap();
                prop_assert_eq!(a.to_string().parse::<f64>().ok(), b.to_string().parse::<f64>().ok());
            }
        }
    }
}
