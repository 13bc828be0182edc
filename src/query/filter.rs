//! The one tree that every filter is translated to, whatever syntax it was written in, and its semantics.
//!
//! [`Filter::matches`] is the definition: a store translates the tree, and finds exactly the documents for which it is
//! true. It is the simplest statement of what the engines answer with the mappings of `mappings/`:
//!
//! - A document without `@timestamp` is a stub. No filter finds it, nor does a negated filter.
//! - If a field has several values, a single one has to pass the test.
//! - A text longer than [`Field::longest_value`] has no value: it neither equals anything nor contains anything nor
//!   exists. Its words are found.
//! - `Kind::Text` and `Kind::Json` exist whatever their length. They have both a value, which is the whole text, and
//!   words.
//! - Of a `Kind::Flattened`, the values at any depth are values, as texts. A `Kind::DateRange` equals each date in it, and
//!   passes a range that has a millisecond in common with it. A `Kind::GeoPoint` only exists.
//! - Dates compare in milliseconds, truncated; `Kind::Float` in 32 bits, and a number beyond their range is no value;
//!   texts by code point, case-sensitively; IPv4 addresses as the IPv6 addresses that they map to.
//! - The members of `Kind::Objects` are values of the event, or of the element, that has the array.
//! - Inside [`Filter::Element`] only that element is visible, by the same dotted paths; outside, nothing inside
//!   elements is.

use core::net::{IpAddr, Ipv6Addr};
use std::{
    cmp::Ordering,
    ops::{Bound, RangeBounds as _},
};

use serde_json::Value as Json;

use super::{
    order::SEVERITY,
    pattern::Pattern,
    subject::{Subject, value_at},
    words::words,
};
use crate::{
    event::{Severity, UnixMillis},
    schema::{Field, Kind, Search, nested_around},
};

/// Maximum length of a pattern after its first wildcard, in characters. Engines refuse patterns that need a large
/// automaton.
pub const MAX_PATTERN_LENGTH: usize = 128;

/// A condition on events. Create a [`Filter::Value`] from outside input with [`Filter::value`].
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// All of them hold; true for an empty list.
    All(Vec<Filter>),
    /// At least one of them holds; false for an empty list.
    Any(Vec<Filter>),
    Not(Box<Filter>),
    /// The whole filter holds for one element of this nested field.
    Element(&'static Field, Box<Filter>),
    /// Some value of the subject passes.
    Value(Subject, Test),
}

/// A test of a value, or of the words of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    Exists,
    /// It equals one of these.
    OneOf(Vec<Value>),
    Range {
        low: Bound<Value>,
        high: Bound<Value>,
    },
    /// The whole value matches the pattern.
    Like(Pattern),
    /// One of these words occurs.
    Words(Vec<String>),
    /// These words occur in a row; more than one.
    Phrase(Vec<String>),
    /// Some word matches the pattern, which is in lower case, as words are.
    WordLike(Pattern),
}

/// A value, by the kind of field that can have it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// For keywords, texts, JSON, versions and labels.
    Text(String),
    /// For `Kind::Long` and `Kind::Long64`.
    Integer(i64),
    /// For `Kind::Float`. Zero and negative zero are the same here; a store that distinguishes them treats both as 0.
    Number(f32),
    Boolean(bool),
    Millis(UnixMillis),
    /// IPv4 is mapped to IPv6.
    Address(Ipv6Addr),
}

/// Why no store can apply a test to a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(String);

/// The severities between two of them, by gravity.
fn severities_within(low: &Bound<Value>, high: &Bound<Value>) -> Result<Vec<Value>, Unsupported> {
    let severity = |value: &Value| {
        let Value::Text(name) = value else { return None };
        Severity::parse(name)
    };
    let bound = |bound: &Bound<Value>| match bound {
        Bound::Unbounded => Ok(Bound::Unbounded),
        Bound::Included(value) => severity(value).map(Bound::Included).ok_or_else(no_severity),
        Bound::Excluded(value) => severity(value).map(Bound::Excluded).ok_or_else(no_severity),
    };
    let range = (bound(low)?, bound(high)?);
    let within = Severity::ALL.into_iter().filter(|severity| range.contains(severity));
    Ok(within.map(|severity| Value::Text(severity.as_str().to_owned())).collect())
}

fn no_severity() -> Unsupported {
    let names = Severity::ALL.map(Severity::as_str).join(", ");
    Unsupported(format!("{SEVERITY} is compared with one of {names}"))
}

impl Filter {
    pub const EVERYTHING: Self = Self::All(Vec::new());
    pub const NOTHING: Self = Self::Any(Vec::new());

    /// The conjunction of these, as one list with nested conjunctions flattened.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        let parts = filters.into_iter().flat_map(|filter| match filter {
            Self::All(parts) => parts,
            other @ (Self::Any(_) | Self::Not(_) | Self::Element(..) | Self::Value(..)) => vec![other],
        });
        single_or_list(parts.collect()).unwrap_or_else(Self::All)
    }

    /// The disjunction of these, likewise.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        let parts = filters.into_iter().flat_map(|filter| match filter {
            Self::Any(parts) => parts,
            other @ (Self::All(_) | Self::Not(_) | Self::Element(..) | Self::Value(..)) => vec![other],
        });
        single_or_list(parts.collect()).unwrap_or_else(Self::Any)
    }

    /// The negation. Stubs match neither.
    pub fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other @ (Self::All(_) | Self::Any(_) | Self::Element(..) | Self::Value(..)) => Self::Not(Box::new(other)),
        }
    }

    /// A test of a subject, if every store can answer it.
    pub fn value(subject: Subject, test: Test) -> Result<Self, Unsupported> {
        test.fits(&subject)?;
        if let (Subject::Field(Field { path: SEVERITY, .. }), Test::Range { low, high }) = (&subject, &test) {
            let severities = severities_within(low, high)?;
            return Ok(match severities.is_empty() {
                true => Self::NOTHING,
                false => Self::Value(subject, Test::OneOf(severities)),
            });
        }
        Ok(Self::Value(subject, test))
    }

    /// Whether a query with this filter finds the document.
    pub fn matches(&self, document: &Json) -> bool {
        document.get("@timestamp").is_some() && self.holds(&Scope { path: "", object: document })
    }

    fn holds(&self, scope: &Scope<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(scope)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(scope)),
            Self::Not(inner) => !inner.holds(scope),
            Self::Element(field, inner) => {
                scope.values(field).into_iter().any(|object| inner.holds(&Scope { path: field.path, object }))
            }
            Self::Value(Subject::Field(field), test) if field.kind == Kind::Labels => {
                let labels = scope.at(field.path).and_then(Json::as_object);
                labels.is_some_and(|labels| labels.values().any(|label| test.passes(label, field)))
            }
            Self::Value(Subject::Field(field), test) if field.kind == Kind::Flattened => {
                scope.values(field).into_iter().flat_map(leaves).any(|value| test.passes(&value, field))
            }
            Self::Value(Subject::Field(field), test) => {
                scope.values(field).into_iter().any(|value| test.passes(value, field))
            }
            Self::Value(Subject::Label(label), test) => {
                let value = scope.at(label.field().path).and_then(|labels| labels.get(label.name()));
                value.is_some_and(|value| test.passes(value, label.field()))
            }
        }
    }
}

/// The element of a one-element list, else the list.
fn single_or_list(mut parts: Vec<Filter>) -> Result<Filter, Vec<Filter>> {
    if parts.len() == 1 { parts.pop().ok_or(parts) } else { Err(parts) }
}

/// An object, and its path.
struct Scope<'a> {
    path: &'static str,
    object: &'a Json,
}

impl<'a> Scope<'a> {
    fn at(&self, path: &str) -> Option<&'a Json> {
        let within = match self.path {
            "" => path,
            own => path.strip_prefix(own)?.strip_prefix('.')?,
        };
        value_at(self.object, within)
    }

    fn values(&self, field: &Field) -> Vec<&'a Json> {
        if field.in_objects {
            // Elements of nested fields are visible inside only.
            let own = nested_around(field.path).map_or("", |nested| nested.path);
            return if own == self.path { self.within_objects(field.path) } else { Vec::new() };
        }
        self.at(field.path).map(each).unwrap_or_default().iter().collect()
    }

    /// The values at a path through arrays of objects.
    fn within_objects(&self, path: &str) -> Vec<&'a Json> {
        let within = path.get(self.path.len()..).unwrap_or_default();
        let names = within.split('.').filter(|name| !name.is_empty());
        names.fold(vec![self.object], |found, name| {
            found.into_iter().filter_map(|value| value.get(name)).flat_map(each).collect()
        })
    }
}

fn each(value: &Json) -> &[Json] {
    match value {
        Json::Array(values) => values,
        value => std::slice::from_ref(value),
    }
}

/// The values in an object with any members, at any depth, as texts.
pub(crate) fn leaves(value: &Json) -> Vec<Json> {
    match value {
        Json::Object(members) => members.values().flat_map(leaves).collect(),
        Json::Array(values) => values.iter().flat_map(leaves).collect(),
        Json::String(_) => vec![value.clone()],
        // The canonical form of a number that is stored is the shortest one, as it was read.
        Json::Number(_) | Json::Bool(_) => vec![Json::String(canonical_text(value))],
        Json::Null => Vec::new(),
    }
}

/// Returns a number as it is written in a document.
fn canonical_text(value: &Json) -> String {
    match value.as_f64().filter(|_| value.as_i64().is_none()) {
        Some(number) => ryu_js::Buffer::new().format_finite(number).to_owned(),
        None => value.to_string(),
    }
}

/// The first and the last instant within two bounds of dates; `None` where there is no bound.
pub(crate) fn instants(low: &Bound<Value>, high: &Bound<Value>) -> (Option<UnixMillis>, Option<UnixMillis>) {
    let instant = |bound: &Bound<Value>, step: i64| match bound {
        Bound::Included(Value::Millis(millis)) => Some(*millis),
        Bound::Excluded(Value::Millis(millis)) => Some(UnixMillis(millis.0.saturating_add(step))),
        Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => None,
    };
    (instant(low, 1), instant(high, -1))
}

impl Test {
    fn passes(&self, value: &Json, field: &Field) -> bool {
        match field.kind {
            Kind::DateRange => return self.overlaps(value),
            Kind::GeoPoint => return *self == Self::Exists && value.is_object(),
            _ => {}
        }
        match self {
            Self::Exists if is_found_at_any_length(field) => value.is_string(),
            Self::Exists => Value::of(value, field).is_some(),
            Self::OneOf(wanted) => Value::of(value, field).is_some_and(|value| wanted.contains(&value)),
            Self::Range { low, high } => {
                Value::of(value, field).is_some_and(|value| value.is_above(low) && value.is_below(high))
            }
            Self::Like(pattern) => match Value::of(value, field) {
                Some(Value::Text(text)) => pattern.matches(&text),
                Some(
                    Value::Integer(_) | Value::Number(_) | Value::Boolean(_) | Value::Millis(_) | Value::Address(_),
                )
                | None => false,
            },
            Self::Words(wanted) => text_of(value, field).is_some_and(|text| words(text).any(|w| wanted.contains(&w))),
            Self::Phrase(wanted) => text_of(value, field).is_some_and(|text| {
                let found: Vec<String> = words(text).collect();
                !wanted.is_empty() && found.windows(wanted.len()).any(|row| row == wanted)
            }),
            Self::WordLike(pattern) => {
                text_of(value, field).is_some_and(|text| words(text).any(|word| pattern.matches(&word)))
            }
        }
    }

    /// Whether a range of dates passes.
    fn overlaps(&self, range: &Json) -> bool {
        let date = |name: &str| UnixMillis::parse(range.get(name)?.as_str()?);
        let Some((first, last)) = date("gte").zip(date("lte")) else { return false };
        match self {
            Self::Exists => true,
            Self::OneOf(wanted) => {
                wanted.iter().any(|date| matches!(date, Value::Millis(date) if (first..=last).contains(date)))
            }
            Self::Range { low, high } => {
                let (low, high) = instants(low, high);
                let is_empty = low.zip(high).is_some_and(|(low, high)| low > high);
                !is_empty && low.is_none_or(|low| low <= last) && high.is_none_or(|high| first <= high)
            }
            Self::Like(_) | Self::Words(_) | Self::Phrase(_) | Self::WordLike(_) => false,
        }
    }

    /// Whether every store can answer the test, and if not, why.
    fn fits(&self, subject: &Subject) -> Result<(), Unsupported> {
        let (field, name) = (subject.field(), subject.path());
        let unless = |holds: bool, reason: &str| {
            if holds { Ok(()) } else { Err(Unsupported(format!("{name} {reason}"))) }
        };
        unless(field.search != Search::Never, "is kept, but not indexed, so it cannot be searched")?;
        let is_array = matches!(field.kind, Kind::Nested | Kind::Objects);
        unless(!is_array, "is an array of objects: use a field of its objects")?;
        let is_place = field.kind == Kind::GeoPoint && *self != Self::Exists;
        unless(!is_place, "is a place, so that only its existence can be tested")?;
        if let Self::Like(pattern) | Self::WordLike(pattern) = self {
            let reason = format!("takes at most {MAX_PATTERN_LENGTH} characters after the first wildcard");
            unless(pattern.open_length() <= MAX_PATTERN_LENGTH, &reason)?;
        }
        match self {
            Self::Exists => Ok(()),
            Self::OneOf(values) => {
                unless(field.search.by_value(), "can only be found by its words")?;
                unless(values.iter().all(|value| value.fits(field)), "cannot have a value of this type")
            }
            Self::Range { low, high } => {
                unless(field.search.by_value(), "can only be found by its words")?;
                let fits = |bound: &Bound<Value>| match bound {
                    Bound::Included(value) | Bound::Excluded(value) => value.fits(field),
                    Bound::Unbounded => true,
                };
                unless(has_order(field.kind), "has no order to compare by")?;
                unless(fits(low) && fits(high), "cannot have a value of this type")
            }
            Self::Like(pattern) => {
                unless(field.search.by_value(), "can only be found by its words")?;
                unless(Value::Text(String::new()).fits(field), "is not a text, so it cannot have a wildcard")?;
                let is_prefix = pattern.is_exact() || pattern.prefix().is_some();
                let has_any = matches!(field.kind, Kind::Labels | Kind::Flattened);
                unless(!has_any || is_prefix, "can only have a wildcard at the end")
            }
            Self::Words(_) | Self::Phrase(_) | Self::WordLike(_) => {
                unless(field.search.by_words(), "is not searched by words")
            }
        }
    }
}

/// Versions would be ordered numerically in one store and alphabetically in another, and labels are texts even if they
/// look like numbers.
fn has_order(kind: Kind) -> bool {
    match kind {
        Kind::Keyword
        | Kind::Text
        | Kind::Json
        | Kind::Date
        | Kind::DateRange
        | Kind::Long
        | Kind::Long64
        | Kind::Float
        | Kind::Ip => true,
        Kind::Boolean
        | Kind::GeoPoint
        | Kind::Version
        | Kind::Labels
        | Kind::Flattened
        | Kind::Nested
        | Kind::Objects => false,
    }
}

/// Whether the engines search the field itself, which takes texts of any length, rather than its keyword.
fn is_found_at_any_length(field: &Field) -> bool {
    matches!(field.kind, Kind::Text | Kind::Json) || field.search == Search::Words
}

/// The text whose words are indexed.
fn text_of<'a>(value: &'a Json, field: &Field) -> Option<&'a str> {
    value.as_str().filter(|_| field.search.by_words())
}

impl Value {
    /// The indexed form of a value; `None` if it is not indexed.
    fn of(value: &Json, field: &Field) -> Option<Self> {
        if !field.search.by_value() {
            return None;
        }
        match field.kind {
            Kind::Keyword | Kind::Text | Kind::Json | Kind::Version | Kind::Labels | Kind::Flattened => {
                let text = value.as_str()?;
                field.is_value(text).then(|| Self::Text(text.to_owned()))
            }
            Kind::Date => UnixMillis::parse(value.as_str()?).map(Self::Millis),
            Kind::Long => value.as_i64().map(Self::Integer),
            Kind::Long64 => value.as_str()?.parse().ok().map(Self::Integer),
            Kind::Float => {
                value.as_f64().map(|number| number as f32).filter(|number| number.is_finite()).map(Self::Number)
            }
            Kind::Boolean => value.as_bool().map(Self::Boolean),
            Kind::Ip => {
                let address: IpAddr = value.as_str()?.parse().ok()?;
                Some(Self::address(address))
            }
            Kind::DateRange | Kind::GeoPoint | Kind::Nested | Kind::Objects => None,
        }
    }

    pub fn address(address: IpAddr) -> Self {
        Self::Address(match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        })
    }

    /// Whether a field of this kind can have the value.
    fn fits(&self, field: &Field) -> bool {
        match self {
            Self::Text(_) => {
                matches!(
                    field.kind,
                    Kind::Keyword | Kind::Text | Kind::Json | Kind::Version | Kind::Labels | Kind::Flattened
                )
            }
            Self::Integer(_) => matches!(field.kind, Kind::Long | Kind::Long64),
            Self::Number(number) => field.kind == Kind::Float && number.is_finite(),
            Self::Boolean(_) => field.kind == Kind::Boolean,
            Self::Millis(_) => matches!(field.kind, Kind::Date | Kind::DateRange),
            Self::Address(_) => field.kind == Kind::Ip,
        }
    }

    fn is_above(&self, low: &Bound<Self>) -> bool {
        match low {
            Bound::Included(low) => self.compare(low).is_some_and(Ordering::is_ge),
            Bound::Excluded(low) => self.compare(low).is_some_and(Ordering::is_gt),
            Bound::Unbounded => true,
        }
    }

    fn is_below(&self, high: &Bound<Self>) -> bool {
        match high {
            Bound::Included(high) => self.compare(high).is_some_and(Ordering::is_le),
            Bound::Excluded(high) => self.compare(high).is_some_and(Ordering::is_lt),
            Bound::Unbounded => true,
        }
    }

    /// `None` between values of different kinds.
    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(other)),
            (Self::Number(one), Self::Number(other)) => one.partial_cmp(other),
            (Self::Millis(one), Self::Millis(other)) => Some(one.cmp(other)),
            (Self::Address(one), Self::Address(other)) => Some(one.cmp(other)),
            (
                Self::Text(_)
                | Self::Integer(_)
                | Self::Number(_)
                | Self::Boolean(_)
                | Self::Millis(_)
                | Self::Address(_),
                _,
            ) => None,
        }
    }
}
