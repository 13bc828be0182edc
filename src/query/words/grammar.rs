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
    Sequence(Vec<Rule>),
    Choice(Vec<Rule>),
    /// Zero or more repetitions.
    Repeat(Box<Rule>),
}

fn sequence<const N: usize>(rules: [Rule; N]) -> Rule {
    Rule::Sequence(rules.into())
}

fn choice<const N: usize>(rules: [Rule; N]) -> Rule {
    Rule::Choice(rules.into())
}

fn zero_or_more(rule: Rule) -> Rule {
    Rule::Repeat(Box::new(rule))
}

fn one_or_more(rule: Rule) -> Rule {
    sequence([rule.clone(), zero_or_more(rule)])
}

fn optional(rule: Rule) -> Rule {
    choice([rule, sequence([])])
}

/// A character and the marks that follow it (UAX #29, WB4).
fn with_marks(sets: u32) -> Rule {
    sequence([Rule::One(sets), zero_or_more(Rule::One(MARK))])
}

fn emoji_with_marks(sets: u32) -> Rule {
    sequence([Rule::One(sets), zero_or_more(Rule::One(EMOJI_MARK))])
}

/// Any word.
fn word() -> Rule {
    choice([
        emoji_sequence(),
        letters_and_digits(),
        one_or_more(with_marks(SOUTH_EAST_ASIAN)),
        with_marks(IDEOGRAPH),
        with_marks(HIRAGANA),
    ])
}

/// UAX #29, WB5 to WB13b.
fn letters_and_digits() -> Rule {
    let joiners = || zero_or_more(with_marks(JOINER));
    let katakana = sequence([with_marks(KATAKANA), zero_or_more(sequence([joiners(), with_marks(KATAKANA)]))]);
    let hebrew = sequence([
        with_marks(HEBREW),
        choice([with_marks(SINGLE_QUOTE), sequence([with_marks(DOUBLE_QUOTE), with_marks(HEBREW)])]),
    ]);
    let number = sequence([
        with_marks(DIGIT),
        zero_or_more(sequence([choice([joiners(), with_marks(MID_DIGIT)]), with_marks(DIGIT)])),
    ]);
    let letters = sequence([
        with_marks(LETTER),
        zero_or_more(sequence([choice([joiners(), with_marks(MID_LETTER)]), with_marks(LETTER)])),
    ]);
    let part = choice([katakana, one_or_more(choice([hebrew, number, letters]))]);
    sequence([joiners(), part.clone(), zero_or_more(sequence([one_or_more(with_marks(JOINER)), part])), joiners()])
}

/// UTS #51.
fn emoji_sequence() -> Rule {
    let joined = || zero_or_more(Rule::One(ZERO_WIDTH_JOINER));
    let character = sequence([joined(), emoji_with_marks(EMOJI), optional(Rule::One(EMOJI_SELECTOR))]);
    let modified =
        sequence([optional(sequence([joined(), emoji_with_marks(EMOJI_BASE)])), emoji_with_marks(EMOJI_MODIFIER)]);
    let element = choice([character, modified]);
    choice([
        sequence([
            element.clone(),
            choice([
                zero_or_more(sequence([Rule::One(ZERO_WIDTH_JOINER), element])),
                sequence([one_or_more(Rule::One(TAG)), Rule::One(END_OF_TAGS)]),
            ]),
        ]),
        sequence([emoji_with_marks(KEYCAP_BASE), optional(Rule::One(EMOJI_SELECTOR)), emoji_with_marks(KEYCAP)]),
        sequence([with_marks(FLAG_LETTER), with_marks(FLAG_LETTER)]),
    ])
}

/// A nondeterministic automaton under construction. For each state, `transitions` has the sets of characters that it
/// reads and the state they lead to, and `epsilon` the states reached without reading.
#[derive(Default)]
struct Nfa {
    transitions: Vec<Option<(u32, usize)>>,
    epsilon: Vec<Vec<usize>>,
}

impl Nfa {
    fn state(&mut self) -> usize {
        self.transitions.push(None);
        self.epsilon.push(Vec::new());
        self.transitions.len() - 1
    }

    fn link(&mut self, from: usize, to: usize) {
        if let Some(epsilon) = self.epsilon.get_mut(from) {
            epsilon.push(to);
        }
    }

    /// Adds states that read this rule after a state; returns the state after it.
    fn add(&mut self, rule: &Rule, from: usize) -> usize {
        match rule {
            Rule::One(sets) => {
                let start = self.state();
                let end = self.state();
                self.link(from, start);
                if let Some(transition) = self.transitions.get_mut(start) {
                    *transition = Some((*sets, end));
                }
                end
            }
            Rule::Sequence(rules) => rules.iter().fold(from, |from, rule| self.add(rule, from)),
            Rule::Choice(rules) => {
                let ends: Vec<usize> = rules.iter().map(|rule| self.add(rule, from)).collect();
                let end = self.state();
                ends.into_iter().for_each(|each| self.link(each, end));
                end
            }
            Rule::Repeat(rule) => {
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
                open.extend(self.epsilon.get(state).into_iter().flatten());
            }
        }
        found.into_iter().collect()
    }

    fn step(&self, states: &[usize], class: u32) -> Vec<usize> {
        let edges = states.iter().filter_map(|state| *self.transitions.get(*state)?);
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
        let mut nfa = Nfa::default();
        let start = nfa.state();
        let end = nfa.add(rule, start);
        let mut known = BTreeMap::from([(Vec::new(), DEAD), (nfa.closure([start]), START)]);
        let mut states = vec![Vec::new(), nfa.closure([start])];
        let mut next = Vec::new();
        while let Some(state) = states.get(next.len()).cloned() {
            next.push(CLASSES.map(|class| {
                let reached = nfa.step(&state, class);
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
        let transitions = self.next.get(usize::from(state));
        transitions.and_then(|transitions| transitions.get(usize::from(self.class(character)))).copied().unwrap_or(DEAD)
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
