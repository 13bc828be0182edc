//! The order of events: their sort keys, and places in that order.

use std::{
    cmp::Ordering,
    net::{IpAddr, Ipv6Addr},
    ops::Deref,
};

use serde_json::Value;

use super::{
    TooMany,
    subject::{Subject, value_at},
};
use crate::{
    event::{ChainId, ChainPosition, Sequence, Severity, UnixMillis},
    schema::{self, Field, Kind, LONGEST_VALUE, Search, nested_around},
};

/// The names of severities, and the field that orders them.
pub(super) const SEVERITY: &str = "annals.severity";
const SEVERITY_NUMBER: &str = "annals.severity_number";

#[derive(Clone, Debug)]
pub struct Sort {
    subject: Subject,
    pub order: Order,
}

/// The most sort keys that a question may have.
pub const MAX_SORT_KEYS: usize = 10;

/// The most UTF-16 units that the texts of a place's keys may have, so that it fits a cursor in the head of a request.
pub const MAX_SORT_UNITS: usize = 12 << 10;

/// The sort keys of a question, at most [`MAX_SORT_KEYS`], whose longest values have at most [`MAX_SORT_UNITS`] together.
#[derive(Clone, Debug)]
pub struct SortKeys(Vec<Sort>);

/// Sort keys that are too many or too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSortKeys {
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(
        "expected keys whose texts have at most [{MAX_SORT_UNITS}] UTF-16 units together but got [{units}]: leave out one of {}",
        .fields.join(", ")
    )]
    TooLong {
        units: usize,
        /// The paths of those with the longest texts.
        fields: Vec<String>,
    },
}

impl SortKeys {
    pub fn new(keys: Vec<Sort>) -> Result<Self, BadSortKeys> {
        TooMany::check(keys.len(), MAX_SORT_KEYS)?;
        let texts = keys.iter().filter(|key| has_texts(key.field().kind));
        let units = texts.clone().map(|key| usize::from(key.field().longest_value)).sum();
        if units > MAX_SORT_UNITS {
            let long = texts.filter(|key| key.field().longest_value > LONGEST_VALUE);
            return Err(BadSortKeys::TooLong { units, fields: long.map(|key| key.subject.path()).collect() });
        }
        Ok(Self(keys))
    }

    pub fn into_vec(self) -> Vec<Sort> {
        self.0
    }
}

impl From<Sort> for SortKeys {
    fn from(key: Sort) -> Self {
        Self(vec![key])
    }
}

impl Deref for SortKeys {
    type Target = [Sort];

    fn deref(&self) -> &[Sort] {
        &self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Ascending,
    Descending,
}

/// A field without a single value that all stores order the same way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("events cannot be sorted by {field}: {reason}")]
pub struct NotSortable {
    pub field: &'static str,
    pub reason: &'static str,
}

/// Where a counted value is listed: severities by gravity; `None` for the values of other fields.
pub fn gravity(field: &Field, value: &Key) -> Option<Severity> {
    match value {
        Key::Text(name) if field.path == SEVERITY => Severity::parse(name),
        Key::Text(_) | Key::Integer(_) | Key::Number(_) => None,
    }
}

/// The sort key of a field's value. Texts compare by code point, which is the order of their bytes; an address is the text
/// of its 32 hexadecimal digits, IPv4 as the IPv6 address that it maps to.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum Key {
    /// Also a boolean (0 or 1), and a date in milliseconds since 1970.
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Key {
    /// The key under which a value is counted. Versions count by their texts, addresses by their shortest form, numbers
    /// of a floating-point field by the nearest 32-bit number, as the engines store them.
    pub fn counted(value: &Value, field: &Field) -> Option<Self> {
        match field.kind {
            Kind::Version => Some(Self::Text(value.as_str()?.to_owned())),
            Kind::Ip => {
                let address: IpAddr = value.as_str()?.parse().ok()?;
                Some(Self::Text(address.to_canonical().to_string()))
            }
            Kind::Keyword
            | Kind::Text
            | Kind::Date
            | Kind::DateRange
            | Kind::Long
            | Kind::Long64
            | Kind::Float
            | Kind::Boolean
            | Kind::GeoPoint
            | Kind::Labels
            | Kind::Flattened
            | Kind::Json
            | Kind::Nested
            | Kind::Objects => key(value, field),
        }
    }

    /// The order of equally frequent values: that of the values, addresses by their 128 bits.
    pub fn compare_counted(&self, other: &Self, kind: Kind) -> Ordering {
        let address = |key: &Self| match key {
            Self::Text(text) if kind == Kind::Ip => text.parse::<IpAddr>().ok().map(to_ipv6),
            Self::Text(_) | Self::Integer(_) | Self::Number(_) => None,
        };
        let by_address = address(self).cmp(&address(other));
        by_address.then(self.partial_cmp(other).unwrap_or(Ordering::Equal))
    }
}

/// An event's place in an order: its key for each [`Sort`], `None` where it lacks the field, and the tie breakers.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub keys: Vec<Option<Key>>,
    pub position: ChainPosition,
}

/// Where in an order a page ended.
#[derive(Clone, Debug, PartialEq)]
pub enum PageEnd {
    Event(Place),
    /// A document in a store that also has documents of others, by the store's own sort values. Of other stores, it is
    /// refused.
    Document(Vec<Option<Key>>),
}

impl PageEnd {
    /// Returns the store's own sort values.
    pub fn of_document(&self) -> Option<&[Option<Key>]> {
        match self {
            Self::Event(_) => None,
            Self::Document(values) => Some(values),
        }
    }
}

impl Sort {
    pub fn by(subject: impl Into<Subject>, order: Order) -> Result<Self, NotSortable> {
        let field = match subject.into() {
            label @ Subject::Label(_) => return Ok(Self { subject: label, order }),
            // Severities are ordered by gravity, not by their names.
            Subject::Field(field) if field.path == SEVERITY => schema::field(SEVERITY_NUMBER).unwrap_or(field),
            Subject::Field(field) => field,
        };
        match reason_against(field) {
            None => Ok(Self { subject: field.into(), order }),
            Some(reason) => Err(NotSortable { field: field.path, reason }),
        }
    }

    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The field that has the values: `labels` for a label.
    pub fn field(&self) -> &'static Field {
        self.subject.field()
    }

    /// Whether an event can have this key.
    pub fn may_have(&self, key: &Key) -> bool {
        let field = self.field();
        match key {
            Key::Integer(integer) => match field.kind {
                Kind::Date => (UnixMillis::FIRST..=UnixMillis::LAST).contains(&UnixMillis(*integer)),
                Kind::Boolean => matches!(integer, 0 | 1),
                kind => matches!(kind, Kind::Long | Kind::Long64),
            },
            Key::Number(number) => field.kind == Kind::Float && rounded_to_f32(*number) == *number,
            Key::Text(text) if field.kind == Kind::Ip => address_of_digits(text).is_some(),
            Key::Text(text) => has_texts(field.kind) && field.is_value(text),
        }
    }

    pub fn key(&self, document: &Value) -> Option<Key> {
        key(self.subject.value_in(document)?, self.field())
    }
}

impl Order {
    /// The direction of ties: that of the first key.
    pub fn of_ties(sort: &[Sort]) -> Self {
        sort.first().map_or(Self::Ascending, |first| first.order)
    }

    fn directed(self, ordering: Ordering) -> Ordering {
        match self {
            Self::Ascending => ordering,
            Self::Descending => ordering.reverse(),
        }
    }
}

impl Place {
    /// The place of a stored document; `None` if it has no position.
    pub fn of(document: &Value, sort: &[Sort]) -> Option<Self> {
        let chain: ChainId = value_at(document, "annals.chain")?.as_str()?.parse().ok()?;
        let sequence = Sequence(value_at(document, "annals.sequence")?.as_u64()?);
        let keys = sort.iter().map(|sort| sort.key(document)).collect();
        Some(Self { keys, position: ChainPosition { chain, sequence } })
    }

    /// Compares two places of this order.
    pub fn compare(&self, other: &Self, sort: &[Sort]) -> Ordering {
        let keys = self.keys.iter().zip(&other.keys).zip(sort);
        let by_keys = keys.map(|((one, other), sort)| compare_keys(one.as_ref(), other.as_ref(), sort.order));
        let position = |place: &Self| (place.position.sequence, place.position.chain);
        let by_position = position(self).cmp(&position(other));
        by_keys.fold(Ordering::Equal, Ordering::then).then(Order::of_ties(sort).directed(by_position))
    }
}

fn compare_keys(one: Option<&Key>, other: Option<&Key>, order: Order) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => order.directed(one.partial_cmp(other).unwrap_or(Ordering::Equal)),
        (one, other) => other.is_some().cmp(&one.is_some()),
    }
}

fn key(value: &Value, field: &Field) -> Option<Key> {
    match field.kind {
        Kind::Date => UnixMillis::parse(value.as_str()?).map(|date| Key::Integer(date.0)),
        Kind::Long => value.as_i64().map(Key::Integer),
        Kind::Long64 => value.as_str()?.parse().ok().map(Key::Integer),
        Kind::Boolean => value.as_bool().map(|value| Key::Integer(value.into())),
        Kind::Float => value.as_f64().map(rounded_to_f32).filter(|number| number.is_finite()).map(Key::Number),
        Kind::Keyword | Kind::Text | Kind::Labels => {
            value.as_str().filter(|text| field.is_value(text)).map(|text| Key::Text(text.to_owned()))
        }
        Kind::Ip => {
            let address: IpAddr = value.as_str()?.parse().ok()?;
            Some(Key::Text(address_digits(address)))
        }
        Kind::Version
        | Kind::DateRange
        | Kind::GeoPoint
        | Kind::Flattened
        | Kind::Json
        | Kind::Nested
        | Kind::Objects => None,
    }
}

/// Whether the sort keys of such values are their texts.
const fn has_texts(kind: Kind) -> bool {
    matches!(kind, Kind::Keyword | Kind::Text | Kind::Labels)
}

/// The sort key of an address.
pub(crate) fn address_digits(address: IpAddr) -> String {
    format!("{:032x}", to_ipv6(address).to_bits())
}

/// The address whose sort key this is.
pub(crate) fn address_of_digits(digits: &str) -> Option<Ipv6Addr> {
    let is_key = digits.len() == 32 && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    u128::from_str_radix(digits, 16).ok().filter(|_| is_key).map(Ipv6Addr::from)
}

fn to_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The nearest 32-bit number, as the engines store it; infinite beyond their range.
fn rounded_to_f32(number: f64) -> f64 {
    f64::from(number as f32)
}

/// Labels are sorted by and counted one by one.
pub(super) const NAME_A_LABEL: &str = "name a single label, such as labels.team";

/// Why events cannot be sorted by the field; `None` if they can.
fn reason_against(field: &Field) -> Option<&'static str> {
    const MANY: &str = "an event may have several values of it";
    const WORDS: &str = "it is only searched by its words";
    if field.search == Search::Never {
        return Some("it is kept, but not indexed");
    }
    if field.kind == Kind::Labels {
        return Some(NAME_A_LABEL);
    }
    if field.has_several() || nested_around(field.path).is_some() {
        return Some(MANY);
    }
    match field.kind {
        Kind::Labels | Kind::Flattened | Kind::Nested | Kind::Objects => Some(MANY),
        Kind::GeoPoint => Some("places have no order"),
        Kind::DateRange => Some("it is a range of dates"),
        Kind::Version => Some("not every store can compare versions"),
        Kind::Json => Some(WORDS),
        Kind::Text if !matches!(field.path, "message" | "error.message") => Some(WORDS),
        Kind::Keyword
        | Kind::Text
        | Kind::Date
        | Kind::Long
        | Kind::Long64
        | Kind::Float
        | Kind::Boolean
        | Kind::Ip => (!field.search.by_value()).then_some(WORDS),
    }
}
