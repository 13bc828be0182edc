//! The syntax tree of a filter, before names and values are resolved.

/// A range of bytes of the text; `end` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    /// Two or more.
    Or(Vec<Expression>),
    /// Two or more.
    And(Vec<Expression>),
    Not(Box<Expression>),
    /// `path:{ … }`
    Group(Literal, Box<Expression>),
    /// `field >= value`
    Compare(Literal, Comparison, Literal),
    /// `field:value`
    Field(Literal, Values),
    /// A value without a field.
    Free(Literal),
}

/// The values after `field:`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    One(Literal),
    /// Two or more.
    Or(Vec<Values>),
    /// Two or more.
    And(Vec<Values>),
    Not(Box<Values>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    AtMost,
    More,
    AtLeast,
}

/// A name or a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Literal {
    pub(super) symbols: Vec<Symbol>,
    pub(super) quoted: bool,
    pub(super) span: Span,
}

/// A wildcard is distinct from the character `*`, which can be escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbol {
    Character(char),
    Wildcard,
}

impl Literal {
    /// Returns the text, or `None` if it contains a wildcard.
    pub(super) fn text(&self) -> Option<String> {
        let character = |symbol: &Symbol| match symbol {
            Symbol::Character(character) => Some(*character),
            Symbol::Wildcard => None,
        };
        self.symbols.iter().map(character).collect()
    }

    pub(super) fn is_any(&self) -> bool {
        !self.symbols.is_empty() && self.symbols.iter().all(|symbol| *symbol == Symbol::Wildcard)
    }

    /// Returns the text with its wildcards, for messages.
    pub(super) fn shown(&self) -> String {
        let shown = |symbol: &Symbol| match symbol {
            Symbol::Character(character) => *character,
            Symbol::Wildcard => '*',
        };
        self.symbols.iter().map(shown).collect()
    }
}

/// Splits a text at its wildcards.
pub(super) fn pieces(symbols: &[Symbol]) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for symbol in symbols {
        match (symbol, pieces.last_mut()) {
            (Symbol::Character(character), Some(piece)) => piece.push(*character),
            (Symbol::Wildcard, _) | (Symbol::Character(_), None) => pieces.push(String::new()),
        }
    }
    pieces
}

/// Whether a character has a meaning of its own outside of quotes.
pub(super) fn is_special(character: char) -> bool {
    matches!(character, '\\' | '(' | ')' | ':' | '<' | '>' | '"' | '*' | '{' | '}')
}
