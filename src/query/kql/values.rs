//! Parses values into tests of one field.

use core::net::IpAddr;
use std::{collections::HashSet, ops::Bound};

use super::{
    names::{IndexChoice, IndexKind, Target},
    syntax::{Comparison, Literal, Symbol, pieces},
};
use crate::{
    event::{Decimal, UnixMillis},
    query::{
        Pattern,
        filter::{Filter, Test, Value},
        moment::{self, Moment},
        words,
    },
    schema::{Field, Kind},
};

/// Why a field cannot be tested this way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// What the value should have been.
    Expected(String),
    Reason(String),
}

impl Mismatch {
    pub(super) fn message(&self, target: &Target, found: &str) -> String {
        match self {
            Self::Expected(what) => format!("{}: expected {what}, found {found}", target.subject.path()),
            Self::Reason(reason) => reason.clone(),
        }
    }
}

fn mismatch<T>(reason: String) -> Result<T, Mismatch> {
    Err(Mismatch::Reason(reason))
}

/// Returns the test for `field:value`.
pub(super) fn equal(target: &Target, literal: &Literal, now: UnixMillis) -> Result<Filter, Mismatch> {
    let name = target.subject.path();
    if literal.is_any() {
        return exists(target);
    }
    if !literal.quoted && literal.text().as_deref() == Some("null") {
        return mismatch(format!(
            "null is not a value; write `not {name}:*` for events without {name}, or \"null\" for the text"
        ));
    }
    if target.field.kind == Kind::Nested {
        return mismatch(format!("{name} is an array of objects; write {name}:{{ … }} for what one of them has"));
    }
    if target.index.kind() == IndexKind::Words {
        return by_words(target, literal);
    }
    let Some(text) = literal.text() else {
        return wildcard(target, literal);
    };
    let test = match target.field.kind {
        Kind::Keyword | Kind::Text | Kind::Json | Kind::Version | Kind::Labels | Kind::Flattened => {
            one(Value::Text(text))
        }
        Kind::Long | Kind::Long64 => one(Value::Integer(integer(target, &text)?)),
        Kind::Float => one(Value::Number(number(target, &text)?)),
        Kind::Boolean => one(Value::Boolean(boolean(target, &text)?)),
        Kind::Date | Kind::DateRange => {
            let Moment { first, last } = date(&text, now)?;
            Test::Range { low: Bound::Included(Value::Millis(first)), high: Bound::Included(Value::Millis(last)) }
        }
        Kind::Ip => match addresses(target, &text)? {
            (first, last) if first == last => one(first),
            (first, last) => Test::Range { low: Bound::Included(first), high: Bound::Included(last) },
        },
        Kind::GeoPoint => return mismatch(format!("{name} is a place; only {name}:* can be asked")),
        Kind::Nested | Kind::Objects => return mismatch(format!("{name} is an array of objects")),
    };
    value(target, test)
}

fn one(value: Value) -> Test {
    Test::OneOf(vec![value])
}

fn value(target: &Target, test: Test) -> Result<Filter, Mismatch> {
    Filter::value(target.subject.clone(), test).map_err(|unsupported| Mismatch::Reason(unsupported.to_string()))
}

fn exists(target: &Target) -> Result<Filter, Mismatch> {
    let any = || Pattern::new([String::new(), String::new()]);
    match target.index {
        IndexChoice::Default(_) if target.field.kind == Kind::Nested => {
            Ok(Filter::Element(target.field, Box::new(Filter::EVERYTHING)))
        }
        IndexChoice::Default(_) => value(target, Test::Exists),
        IndexChoice::Named(IndexKind::Value) => value(target, Test::Like(any())),
        IndexChoice::Named(IndexKind::Words) => value(target, Test::WordLike(any())),
    }
}

/// Tests the whole value against a pattern.
fn wildcard(target: &Target, literal: &Literal) -> Result<Filter, Mismatch> {
    let name = target.subject.path();
    match target.field.kind {
        Kind::Keyword | Kind::Text | Kind::Json | Kind::Version | Kind::Labels | Kind::Flattened => {
            value(target, Test::Like(Pattern::new(pieces(&literal.symbols))))
        }
        Kind::Ip => mismatch(format!("{name} takes no wildcard; write a network such as 10.0.0.0/8")),
        Kind::Date
        | Kind::DateRange
        | Kind::Long
        | Kind::Long64
        | Kind::Float
        | Kind::Boolean
        | Kind::GeoPoint
        | Kind::Nested
        | Kind::Objects => mismatch(format!("{name} takes no wildcard, as it is {}", kind_in_words(target.field))),
    }
}

/// Quoted: these words as a phrase. Unquoted: any of the words, where a chunk with a wildcard is a pattern for words.
fn by_words(target: &Target, literal: &Literal) -> Result<Filter, Mismatch> {
    let text = literal.text();
    if let Some(text) = text.filter(|_| literal.quoted) {
        let found: Vec<String> = words::words(&text).collect();
        return match found.as_slice() {
            [] => mismatch(no_words(target)),
            [_] => value(target, Test::Words(found)),
            [_, _, ..] => value(target, Test::Phrase(found)),
        };
    }
    let is_blank = |symbol: &Symbol| matches!(symbol, Symbol::Character(character) if character.is_whitespace());
    let mut plain: Vec<String> = Vec::new();
    let mut alternatives = Vec::new();
    for chunk in literal.symbols.split(is_blank) {
        if chunk.contains(&Symbol::Wildcard) {
            let (apart, joined) = (parts_of_words(chunk, false), parts_of_words(chunk, true));
            let readings = if apart == joined { vec![apart] } else { vec![apart, joined] };
            for parts in readings.into_iter().filter(|parts| !parts.is_empty()) {
                let tests = parts.into_iter().map(|part| value(target, part));
                alternatives.push(Filter::all(tests.collect::<Result<Vec<_>, _>>()?));
            }
        } else {
            plain.extend(pieces(chunk).iter().flat_map(|piece| words::words(piece)));
        }
    }
    let mut seen = HashSet::new();
    let unique: Vec<String> = plain.into_iter().filter(|word| seen.insert(word.clone())).collect();
    if !unique.is_empty() {
        alternatives.insert(0, value(target, Test::Words(unique))?);
    }
    if alternatives.is_empty() { mismatch(no_words(target)) } else { Ok(Filter::any(alternatives)) }
}

fn no_words(target: &Target) -> String {
    let name = target.subject.path();
    let hint = match target.index {
        IndexChoice::Default(_) if target.field.search.by_value() => {
            format!("; {name}.keyword:*…* searches for a part of the whole text")
        }
        IndexChoice::Default(_) | IndexChoice::Named(_) => String::new(),
    };
    format!("There is no word in this, but {name} is searched by its words{hint}")
}

/// Returns the tests for a text with wildcards: `user@exam*` needs the word `user` and a word that begins with `exam`.
/// Punctuation next to a wildcard may join letters into one word, or not (`joined`): `rule.*` matches `rule.executed`
/// and `rule. Next`.
fn parts_of_words(chunk: &[Symbol], joined: bool) -> Vec<Test> {
    let mut parts = Parts::default();
    let pieces = pieces(chunk);
    let last = pieces.len() - 1;
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            parts.wildcard();
        }
        let mut read = 0;
        for word in words::spans(piece) {
            let start = piece.get(read..).and_then(|rest| rest.find(word)).map_or(read, |at| read + at);
            let before = piece.get(read..start).unwrap_or_default();
            if joined && read == 0 && index > 0 && is_joiner(before) {
                parts.text(before);
            } else if start > 0 {
                parts.end();
            }
            parts.text(word);
            read = start + word.len();
        }
        let after = piece.get(read..).unwrap_or_default();
        if joined && read > 0 && index < last && is_joiner(after) {
            parts.text(after);
        } else if !after.is_empty() {
            parts.end();
        }
    }
    parts.end();
    parts.tests
}

/// Whether this character joins the letters or digits on both sides into one word.
fn is_joiner(text: &str) -> bool {
    let is_one = |text: String| words::spans(&text).count() == 1;
    text.chars().count() == 1 && (is_one(format!("a{text}a")) || is_one(format!("1{text}1")))
}

#[derive(Default)]
struct Parts {
    tests: Vec<Test>,
    /// The pieces of the current word.
    open: Vec<String>,
}

impl Parts {
    fn wildcard(&mut self) {
        if self.open.is_empty() {
            self.open.push(String::new());
        }
        self.open.push(String::new());
    }

    fn text(&mut self, text: &str) {
        let text = words::lower_case(text);
        match self.open.last_mut() {
            Some(piece) => piece.push_str(&text),
            None => self.open.push(text),
        }
    }

    fn end(&mut self) {
        let pattern = Pattern::new(std::mem::take(&mut self.open));
        match pattern.pieces() {
            [word] if word.is_empty() => {}
            [word] => self.tests.push(Test::Words(vec![word.clone()])),
            // A wildcard alone requires nothing.
            pieces if pieces.iter().all(String::is_empty) => {}
            _ => self.tests.push(Test::WordLike(pattern)),
        }
    }
}

/// Returns the test for `field >= value`.
pub(super) fn compare(
    target: &Target,
    comparison: Comparison,
    literal: &Literal,
    now: UnixMillis,
) -> Result<Filter, Mismatch> {
    let name = target.subject.path();
    let Some(text) = literal.text() else {
        return mismatch("A comparison takes no wildcard".to_owned());
    };
    if target.index.kind() == IndexKind::Words {
        return mismatch(match target.field.search.by_value() {
            true => format!("{name} is searched by its words; {name}.keyword has an order to compare by"),
            false => format!("{name} is searched by its words, and has no order to compare by"),
        });
    }
    let test = match target.field.kind {
        Kind::Date | Kind::DateRange => {
            let Moment { first, last } = date(&text, now)?;
            bound(comparison, Value::Millis(first), Value::Millis(last))
        }
        Kind::Long | Kind::Long64 => whole_bound(target, comparison, &text)?,
        Kind::Float => {
            let number = Value::Number(number(target, &text)?);
            bound(comparison, number.clone(), number)
        }
        Kind::Ip => {
            let (first, last) = addresses(target, &text)?;
            bound(comparison, first, last)
        }
        Kind::Keyword
        | Kind::Text
        | Kind::Json
        | Kind::Boolean
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Nested
        | Kind::Objects => bound(comparison, Value::Text(text.clone()), Value::Text(text)),
    };
    value(target, test)
}

/// Compares with all that the value spans.
fn bound(comparison: Comparison, first: Value, last: Value) -> Test {
    let (low, high) = match comparison {
        Comparison::Less => (Bound::Unbounded, Bound::Excluded(first)),
        Comparison::AtMost => (Bound::Unbounded, Bound::Included(last)),
        Comparison::More => (Bound::Excluded(last), Bound::Unbounded),
        Comparison::AtLeast => (Bound::Included(first), Bound::Unbounded),
    };
    Test::Range { low, high }
}

/// Whole numbers can also be compared with fractions: more than 3.5 is at least 4.
fn whole_bound(target: &Target, comparison: Comparison, text: &str) -> Result<Test, Mismatch> {
    if let Ok(whole) = integer(target, text) {
        return Ok(bound(comparison, Value::Integer(whole), Value::Integer(whole)));
    }
    let floor = finite(text).map(f64::floor).filter(|floor| floor.abs() < TWO_TO_53).ok_or_else(|| not_a(target))?;
    let below = Value::Integer(floor as i64);
    Ok(match comparison {
        Comparison::Less | Comparison::AtMost => bound(Comparison::AtMost, below.clone(), below),
        Comparison::More | Comparison::AtLeast => bound(Comparison::More, below.clone(), below),
    })
}

/// Smaller whole numbers are exact in 64-bit floating point.
const TWO_TO_53: f64 = 9_007_199_254_740_992.0;

fn integer(target: &Target, text: &str) -> Result<i64, Mismatch> {
    let text = text.trim();
    Decimal::parse(text.strip_prefix('+').unwrap_or(text))
        .and_then(|number| number.to_i64())
        .ok_or_else(|| not_a(target))
}

fn number(target: &Target, text: &str) -> Result<f32, Mismatch> {
    // Turns negative zero into zero: the engines distinguish them.
    let number = finite(text.trim()).map(|number| number as f32 + 0.0).filter(|number| number.is_finite());
    number.ok_or_else(|| not_a(target))
}

/// Parses a decimal number, without the words that Rust accepts, such as `inf` and `nan`.
fn finite(text: &str) -> Option<f64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    text.parse().ok().filter(|number: &f64| is_decimal && number.is_finite())
}

fn boolean(target: &Target, text: &str) -> Result<bool, Mismatch> {
    match text.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(not_a(target)),
    }
}

fn date(text: &str, now: UnixMillis) -> Result<Moment, Mismatch> {
    moment::parse(text, now).map_err(|bad| Mismatch::Expected(bad.to_string()))
}

/// Returns the first and the last address of a network. For a single address, both are the address.
fn addresses(target: &Target, text: &str) -> Result<(Value, Value), Mismatch> {
    let text = text.trim();
    let parse = |text: &str| text.parse::<IpAddr>().map_err(|_| not_a(target));
    let Some((base, length)) = text.split_once('/') else {
        let address = Value::address(parse(text)?);
        return Ok((address.clone(), address));
    };
    let base = parse(base)?;
    let is_plain = !length.is_empty() && length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u32 = length.parse().ok().filter(|_| is_plain).ok_or_else(|| not_a(target))?;
    let width = if base.is_ipv4() { 32 } else { 128 };
    // An IPv4 address is the last 32 bits of the IPv6 address that it maps to.
    let hosts = u32::checked_sub(width, length).ok_or_else(|| not_a(target))?;
    let bits = match base {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let of_hosts = 1_u128.checked_shl(hosts).map_or(u128::MAX, |beyond| beyond - 1);
    Ok((Value::Address((bits & !of_hosts).into()), Value::Address((bits | of_hosts).into())))
}

fn not_a(target: &Target) -> Mismatch {
    Mismatch::Expected(kind_in_words(target.field).to_owned())
}

fn kind_in_words(field: &Field) -> &'static str {
    match field.kind {
        Kind::Keyword | Kind::Text | Kind::Json | Kind::Version | Kind::Labels | Kind::Flattened => "a text",
        Kind::Date => "a date",
        Kind::DateRange => "a range of dates",
        Kind::Long | Kind::Long64 => "a whole number of 64 bits",
        Kind::Float => "a number",
        Kind::Boolean => "true or false",
        Kind::Ip => "an IP address or a network such as 10.0.0.0/8",
        Kind::GeoPoint => "a place",
        Kind::Nested | Kind::Objects => "an array of objects",
    }
}
