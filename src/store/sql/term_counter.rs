//! Counts values while they are read, for a database that would sort all of them to count them.

use std::{cmp::Ordering, collections::HashMap};

use super::{dialect::Cell, text::decode_text};
use crate::query::{Aggregate, Bucket, Key};

/// The memory in bytes that a value takes beside its text.
const ENTRY_OVERHEAD: usize = 64;

/// Counts how many events have each value, and how many have none.
#[derive(Default)]
pub(in crate::store) struct TermCounter {
    texts: HashMap<String, u64>,
    numbers: HashMap<Number, u64>,
    without: u64,
    /// How many bytes further values may take.
    bytes_left: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Number {
    Integer(i64),
    /// The bits of the number.
    Float(u64),
}

/// The values do not fit the memory allowed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct TooManyValues;

impl TermCounter {
    /// Creates a counter whose values may take this many bytes.
    pub(in crate::store) fn with_limit(bytes: usize) -> Self {
        Self { bytes_left: bytes, ..Self::default() }
    }

    /// Counts an event without a value.
    pub(in crate::store) fn add_missing(&mut self) -> Result<(), TooManyValues> {
        self.without += 1;
        Ok(())
    }

    pub(in crate::store) fn add_text(&mut self, encoded: &str) -> Result<(), TooManyValues> {
        if let Some(events) = self.texts.get_mut(encoded) {
            *events += 1;
            return Ok(());
        }
        self.make_room(encoded.len())?;
        self.texts.insert(encoded.to_owned(), 1);
        Ok(())
    }

    pub(in crate::store) fn add_integer(&mut self, integer: i64) -> Result<(), TooManyValues> {
        self.count(Number::Integer(integer))
    }

    pub(in crate::store) fn add_float(&mut self, float: f64) -> Result<(), TooManyValues> {
        // 0.0 and -0.0 are the same value.
        self.count(Number::Float((float + 0.0).to_bits()))
    }

    /// Counts all values of one event, each distinct value once.
    pub(in crate::store) fn add_all(&mut self, values: &[Cell]) -> Result<(), TooManyValues> {
        if values.is_empty() {
            return self.add_missing();
        }
        for (at, value) in values.iter().enumerate() {
            if values.iter().take(at).any(|earlier| earlier == value) {
                continue;
            }
            match value {
                Cell::Null => {}
                Cell::Integer(integer) => self.add_integer(*integer)?,
                Cell::Number(number) => self.add_float(*number)?,
                Cell::Text(text) => self.add_text(text)?,
            }
        }
        Ok(())
    }

    fn count(&mut self, number: Number) -> Result<(), TooManyValues> {
        if let Some(events) = self.numbers.get_mut(&number) {
            *events += 1;
            return Ok(());
        }
        self.make_room(0)?;
        self.numbers.insert(number, 1);
        Ok(())
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), TooManyValues> {
        self.bytes_left = self.bytes_left.checked_sub(ENTRY_OVERHEAD + bytes).ok_or(TooManyValues)?;
        Ok(())
    }

    pub(in crate::store) fn into_aggregate(self, limit: usize) -> Aggregate {
        let texts = self.texts.into_iter().map(|(text, events)| Bucket { value: Key::Text(decode_text(text)), events });
        let numbers = self.numbers.into_iter().map(|(number, events)| Bucket { value: number.key(), events });
        let mut buckets: Vec<Bucket> = texts.chain(numbers).collect();
        let distinct = buckets.len() as u64;
        let by_place = |one: &Bucket, other: &Bucket| {
            let by_value = || one.value.partial_cmp(&other.value).unwrap_or(Ordering::Equal);
            other.events.cmp(&one.events).then_with(by_value)
        };
        if limit < buckets.len() {
            buckets.select_nth_unstable_by(limit, by_place);
            buckets.truncate(limit);
        }
        buckets.sort_by(by_place);
        Aggregate::Terms { buckets, distinct, without: self.without }
    }
}

impl Number {
    fn key(self) -> Key {
        match self {
            Self::Integer(integer) => Key::Integer(integer),
            Self::Float(bits) => Key::Number(f64::from_bits(bits)),
        }
    }
}
