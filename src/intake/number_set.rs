//! A set of small numbers.

use std::ops::Range;

use crate::schema;

/// A set of fields or objects, by number. An event has few of very many, so that the set knows its words that are in use.
#[derive(Clone, Debug)]
pub(super) struct NumberSet {
    words: [u64; Self::WORDS],
    /// One bit for each word that may not be 0.
    used: u64,
}

impl Default for NumberSet {
    fn default() -> Self {
        Self { words: [0; Self::WORDS], used: 0 }
    }
}

const _: () = assert!(schema::MAX_MAPPED <= NumberSet::CAPACITY, "every field and object has a number");

impl PartialEq for NumberSet {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.used == other.used && bits(self.used).all(|index| self.words.get(index) == other.words.get(index))
    }
}

impl NumberSet {
    const WORDS: usize = 64;
    const CAPACITY: usize = Self::WORDS * 64;

    #[inline]
    pub(super) fn contains(&self, number: usize) -> bool {
        self.words.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Returns whether the number is new.
    #[inline]
    pub(super) fn insert(&mut self, number: usize) -> bool {
        let Some(word) = self.words.get_mut(number / 64) else { return false };
        let bit = 1 << (number % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        self.used |= 1 << (number / 64);
        is_new
    }

    #[inline]
    pub(super) fn remove(&mut self, number: usize) {
        if let Some(word) = self.words.get_mut(number / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    pub(super) fn clear(&mut self) {
        for index in bits(self.used) {
            if let Some(word) = self.words.get_mut(index) {
                *word = 0;
            }
        }
        self.used = 0;
    }

    /// Ascending.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        bits(self.used).flat_map(|index| {
            let word = self.words.get(index).copied().unwrap_or_default();
            bits(word).map(move |bit| index * 64 + bit)
        })
    }

    #[inline]
    pub(super) fn checksum(&self) -> usize {
        let sum = bits(self.used).fold(self.used, |sum, index| {
            let word = self.words.get(index).copied().unwrap_or_default();
            (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        (sum >> 32) as usize
    }

    /// The numbers in this range, ascending.
    pub(super) fn within(&self, range: Range<usize>) -> impl Iterator<Item = usize> {
        let last = range.end.div_ceil(64);
        (range.start / 64..last).flat_map(move |index| {
            let word = self.words.get(index).copied().unwrap_or_default();
            let range = range.clone();
            bits(word).map(move |bit| index * 64 + bit).filter(move |number| range.contains(number))
        })
    }
}

/// The places of the bits that are set, ascending.
#[inline]
fn bits(word: u64) -> impl Iterator<Item = usize> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let bit = rest.trailing_zeros() as usize;
        rest &= rest.wrapping_sub(1);
        (bit < 64).then_some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_ascending() {
        let mut numbers = NumberSet::default();
        for number in [511, 0, 63, 64, 7, 200] {
            assert!(numbers.insert(number));
            assert!(!numbers.insert(number));
        }
        numbers.remove(7);
        assert_eq!(numbers.iter().collect::<Vec<_>>(), [0, 63, 64, 200, 511]);
        assert_eq!(numbers.within(63..200).collect::<Vec<_>>(), [63, 64]);
        assert_eq!(numbers.within(65..1_000).collect::<Vec<_>>(), [200, 511]);
        numbers.clear();
        assert_eq!(numbers.iter().next(), None);
        assert!(!numbers.contains(63) && numbers.insert(63));
    }
}
