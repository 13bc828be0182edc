//! The grammar of words, as regular expressions over sets of characters, and the automaton compiled from it.

use std::{collections::BTreeMap, sync::LazyLock};

use super::table::{
    CLASSES, DIGIT, DOUBLE_QUOTE, EMOJI, EMOJI_BASE, EMOJI_MARK, EMOJI_MODIFIER, EMOJI_SELECTOR, END_OF_TAGS,
    FLAG_LETTER, HEBREW, HIRAGANA, IDEOGRAPH, JOINER, KATAKANA, KEYCAP, KEYCAP_BASE, LETTER, MARK, MID_DIGIT,
    MID_LETTER, RUNS, SINGLE_QUOTE, SOUTH_EAST_ASIAN, TAG, ZERO_WIDTH_JOINER,
};

/// A regular expression.
#[derive(Clone)]
enum Rule {
    /// A character in one of these sets.
    One(u32),
    Row(Vec<Rule>),
    Either(Vec<Rule>),
    /// Zero or more repetitions.
    Many(Box<Rule>),
}

fn row<const N: usize>(rules: [Rule; N]) -> Rule {
    Rule::Row(rules.into())
}

fn either<const N: usize>(rules: [Rule; N]) -> Rule {
    Rule::Either(rules.into())
}

fn many(rule: Rule) -> Rule {
    Rule::Many(Box::new(rule))
}

fn some(rule: Rule) -> Rule {
    row([rule.clone(), many(rule)])
}

fn maybe(rule: Rule) -> Rule {
    either([rule, row([])])
}

/// A character and the marks that follow it (UAX #29, WB4).
fn marked(sets: u32) -> Rule {
    row([Rule::One(sets), many(Rule::One(MARK))])
}

fn marked_emoji(sets: u32) -> Rule {
    row([Rule::One(sets), many(Rule::One(EMOJI_MARK))])
}

/// Any word.
fn word() -> Rule {
    either([
        emoji_sequence(),
        letters_and_digits(),
        some(marked(SOUTH_EAST_ASIAN)),
        marked(IDEOGRAPH),
        marked(HIRAGANA),
    ])
}

/// UAX #29, WB5 to WB13b.
fn letters_and_digits() -> Rule {
    let joiners = || many(marked(JOINER));
    let katakana = row([marked(KATAKANA), many(row([joiners(), marked(KATAKANA)]))]);
    let hebrew = row([marked(HEBREW), either([marked(SINGLE_QUOTE), row([marked(DOUBLE_QUOTE), marked(HEBREW)])])]);
    let number = row([marked(DIGIT), many(row([either([joiners(), marked(MID_DIGIT)]), marked(DIGIT)]))]);
    let letters = row([marked(LETTER), many(row([either([joiners(), marked(MID_LETTER)]), marked(LETTER)]))]);
    let part = either([katakana, some(either([hebrew, number, letters]))]);
    row([joiners(), part.clone(), many(row([some(marked(JOINER)), part])), joiners()])
}

/// UTS #51.
fn emoji_sequence() -> Rule {
    let joined = || many(Rule::One(ZERO_WIDTH_JOINER));
    let character = row([joined(), marked_emoji(EMOJI), maybe(Rule::One(EMOJI_SELECTOR))]);
    let modified = row([maybe(row([joined(), marked_emoji(EMOJI_BASE)])), marked_emoji(EMOJI_MODIFIER)]);
    let element = either([character, modified]);
    either([
        row([
            element.clone(),
            either([
                many(row([Rule::One(ZERO_WIDTH_JOINER), element])),
                row([some(Rule::One(TAG)), Rule::One(END_OF_TAGS)]),
            ]),
        ]),
        row([marked_emoji(KEYCAP_BASE), maybe(Rule::One(EMOJI_SELECTOR)), marked_emoji(KEYCAP)]),
        row([marked(FLAG_LETTER), marked(FLAG_LETTER)]),
    ])
}

/// A nondeterministic automaton under construction. For each state, `on` has the sets of characters that it reads and
/// the state they lead to, and `free` the states reached without reading.
#[derive(Default)]
struct Nondeterministic {
    on: Vec<Option<(u32, usize)>>,
    free: Vec<Vec<usize>>,
}

impl Nondeterministic {
    fn state(&mut self) -> usize {
        self.on.push(None);
        self.free.push(Vec::new());
        self.on.len() - 1
    }

    fn link(&mut self, from: usize, to: usize) {
        if let Some(free) = self.free.get_mut(from) {
            free.push(to);
        }
    }

    /// Adds states that read this rule after a state; returns the state after it.
    fn add(&mut self, rule: &Rule, from: usize) -> usize {
        match rule {
            Rule::One(sets) => {
                let start = self.state();
                let end = self.state();
                self.link(from, start);
                if let Some(on) = self.on.get_mut(start) {
                    *on = Some((*sets, end));
                }
                end
            }
            Rule::Row(rules) => rules.iter().fold(from, |from, rule| self.add(rule, from)),
            Rule::Either(rules) => {
                let ends: Vec<usize> = rules.iter().map(|rule| self.add(rule, from)).collect();
                let end = self.state();
                ends.into_iter().for_each(|each| self.link(each, end));
                end
            }
            Rule::Many(rule) => {
                let start = self.state();
                self.link(from, start);
                let end = self.add(rule, start);
                self.link(end, start);
                start
            }
        }
    }

    /// Returns all states reachable from these without reading, in ascending order.
    fn closure(&self, states: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut found = std::collections::BTreeSet::new();
        let mut open: Vec<usize> = states.into_iter().collect();
        while let Some(state) = open.pop() {
            if found.insert(state) {
                open.extend(self.free.get(state).into_iter().flatten());
            }
        }
        found.into_iter().collect()
    }

    fn step(&self, states: &[usize], class: u32) -> Vec<usize> {
        let edges = states.iter().filter_map(|state| *self.on.get(*state)?);
        self.closure(edges.filter(|(sets, _)| sets & class != 0).map(|(_, to)| to))
    }
}

/// The deterministic automaton. Each character takes one lookup of its class and one of the next state.
pub(super) struct Automaton {
    /// Classes of the characters of the basic multilingual plane.
    basic: Vec<u8>,
    /// By state and class.
    next: Vec<[u16; CLASSES.len()]>,
    accepts: Vec<bool>,
}

/// The dead end: it only leads to itself.
const DEAD: u16 = 0;
const START: u16 = 1;

impl Automaton {
    pub(super) fn get() -> &'static Self {
        static AUTOMATON: LazyLock<Automaton> = LazyLock::new(|| Automaton::of(&word()));
        &AUTOMATON
    }

    fn of(rule: &Rule) -> Self {
        let mut machine = Nondeterministic::default();
        let start = machine.state();
        let end = machine.add(rule, start);
        let mut known = BTreeMap::from([(Vec::new(), DEAD), (machine.closure([start]), START)]);
        let mut states = vec![Vec::new(), machine.closure([start])];
        let mut next = Vec::new();
        while let Some(state) = states.get(next.len()).cloned() {
            next.push(CLASSES.map(|class| {
                let reached = machine.step(&state, class);
                *known.entry(reached).or_insert_with_key(|reached| {
                    states.push(reached.clone());
                    (states.len() - 1) as u16
                })
            }));
        }
        let accepts = states.iter().map(|state| state.contains(&end)).collect();
        Self { basic: (0..=0xffff).map(class_in_table).collect(), next, accepts }
    }

    /// Returns the length in bytes of the longest word at the beginning of the text, of at most this many UTF-16 units.
    pub(super) fn longest_word(&self, text: &str, units: usize) -> Option<usize> {
        let mut longest = None;
        let mut state = START;
        let mut left = units;
        for (at, character) in text.char_indices() {
            state = self.after(state, character);
            left = match left.checked_sub(character.len_utf16()) {
                Some(left) if state != DEAD => left,
                Some(_) | None => break,
            };
            if self.accepts.get(usize::from(state)).is_some_and(|accepts| *accepts) {
                longest = Some(at + character.len_utf8());
            }
        }
        longest
    }

    fn after(&self, state: u16, character: char) -> u16 {
        let row = self.next.get(usize::from(state));
        row.and_then(|row| row.get(usize::from(self.class(character)))).copied().unwrap_or(DEAD)
    }

    fn class(&self, character: char) -> u8 {
        let point = u32::from(character);
        self.basic.get(point as usize).copied().unwrap_or_else(|| class_in_table(point))
    }
}

fn class_in_table(point: u32) -> u8 {
    let after = RUNS.partition_point(|(first, _)| *first <= point);
    after.checked_sub(1).and_then(|at| RUNS.get(at)).map_or(0, |(_, class)| *class)
}
