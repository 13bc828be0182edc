//! A recursive-descent parser. Nesting is limited to [`MAX_NESTING`], and each character is read a bounded number of
//! times.

use super::{
    MAX_NESTING,
    error::SpannedError,
    hints::{self, Foreign},
    names,
    syntax::{Comparison, Expression, Literal, Span, Symbol, Values, is_special},
};
use crate::schema::{self, Kind};

type Parsed<T> = Result<T, SpannedError>;

const AFTER_CONDITION: &str = "AND, OR";
const AFTER_LITERAL: &str = "\":\", \"<\", \"<=\", \">\", \">=\", AND, OR";
const CONDITION: &str = "a field name, a value, NOT or \"(\"";
const VALUE: &str = "a value";

/// Parses a filter; returns `None` for blank text.
pub(super) fn parse(text: &str) -> Parsed<Option<Expression>> {
    let mut parser = Parser { text, at: 0, nested: 0, expected: CONDITION, last_value: Span { start: 0, end: 0 } };
    parser.skip_blanks();
    if parser.peek().is_none() {
        return Ok(None);
    }
    let expression = parser.alternatives()?;
    match parser.peek() {
        None => Ok(Some(expression)),
        Some(_) => Err(parser.unexpected(&format!("{} or the end of the filter", parser.expected))),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyword {
    And,
    Or,
    Not,
}

impl Keyword {
    const ALL: [Self; 3] = [Self::And, Self::Or, Self::Not];

    const fn name(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nested: usize,
    /// What may follow the last token, besides the end of the text.
    expected: &'static str,
    last_value: Span,
}

impl<'a> Parser<'a> {
    /// `a or b or c`
    fn alternatives(&mut self) -> Parsed<Expression> {
        let mut parts = vec![self.conjunction()?];
        while self.take_keyword(Keyword::Or) {
            parts.push(self.conjunction()?);
        }
        Ok(one_or(parts, Expression::Or))
    }

    fn conjunction(&mut self) -> Parsed<Expression> {
        let mut parts = vec![self.condition()?];
        while self.take_keyword(Keyword::And) {
            parts.push(self.condition()?);
        }
        Ok(one_or(parts, Expression::And))
    }

    fn condition(&mut self) -> Parsed<Expression> {
        let negated = self.take_nots();
        self.expected = CONDITION;
        self.refuse(hints::condition(self.rest()))?;
        let condition = if self.peek() == Some('(') { self.enclosed(')', Self::alternatives)? } else { self.simple()? };
        Ok(if negated { Expression::Not(Box::new(condition)) } else { condition })
    }

    fn simple(&mut self) -> Parsed<Expression> {
        let name = self.literal(CONDITION, false)?;
        self.skip_blanks();
        self.expected = AFTER_CONDITION;
        if let Some(comparison) = self.take_comparison() {
            self.skip_blanks();
            let value = self.literal(VALUE, has_colons(&name))?;
            self.last_value = value.span;
            self.skip_blanks();
            return Ok(Expression::Compare(name, comparison, value));
        }
        if self.peek() != Some(':') {
            self.expected = AFTER_LITERAL;
            return Ok(Expression::Free(name));
        }
        let colon = self.at;
        self.step();
        if let Some(quoted) = self.unquoted_text_with_colon(&name) {
            let span = Span { start: name.span.start, end: colon + 1 };
            let message =
                format!("There is no field {:?}; a value with a colon in it needs quotes: {quoted}", name.shown());
            return Err(SpannedError::new(span, message));
        }
        self.skip_blanks();
        self.refuse_after_colon(&name)?;
        if self.peek() == Some('{') {
            let inner = self.enclosed('}', Self::alternatives)?;
            return Ok(Expression::Group(name, Box::new(inner)));
        }
        let values = self.values(&name)?;
        Ok(Expression::Field(name, values))
    }

    /// Parses a value of this field, or values in parentheses.
    fn values(&mut self, name: &Literal) -> Parsed<Values> {
        if self.peek() == Some('(') {
            return self.enclosed(')', |parser| parser.value_alternatives(name));
        }
        self.refuse_after_colon(name)?;
        let value = self.literal("a value or \"(\"", has_colons(name))?;
        self.last_value = value.span;
        self.skip_blanks();
        self.expected = AFTER_CONDITION;
        Ok(Values::One(value))
    }

    fn value_alternatives(&mut self, name: &Literal) -> Parsed<Values> {
        let mut parts = vec![self.value_conjunction(name)?];
        while self.take_keyword(Keyword::Or) {
            parts.push(self.value_conjunction(name)?);
        }
        Ok(one_or(parts, Values::Or))
    }

    fn value_conjunction(&mut self, name: &Literal) -> Parsed<Values> {
        let mut parts = vec![self.value_condition(name)?];
        while self.take_keyword(Keyword::And) {
            parts.push(self.value_condition(name)?);
        }
        Ok(one_or(parts, Values::And))
    }

    fn value_condition(&mut self, name: &Literal) -> Parsed<Values> {
        let negated = self.take_nots();
        let values = self.values(name)?;
        Ok(if negated { Values::Not(Box::new(values)) } else { values })
    }

    /// Parses from the opening bracket, which is next, to the closing one.
    fn enclosed<T>(&mut self, close: char, inner: impl Fn(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let open = Span { start: self.at, end: self.at + 1 };
        self.nested += 1;
        if self.nested > MAX_NESTING {
            return Err(SpannedError::new(open, format!("The filter is nested deeper than {MAX_NESTING} levels")));
        }
        self.step();
        self.skip_blanks();
        let found = inner(self)?;
        if self.peek() != Some(close) {
            let expected = self.expected;
            return Err(self.unexpected(&format!("{expected} or \"{close}\"")));
        }
        self.step();
        self.skip_blanks();
        self.nested -= 1;
        self.expected = AFTER_CONDITION;
        Ok(found)
    }

    /// Skips all `not` that follow. Returns whether their number is odd.
    fn take_nots(&mut self) -> bool {
        let mut negated = false;
        while self.take_keyword(Keyword::Not) {
            negated = !negated;
        }
        negated
    }

    fn take_keyword(&mut self, keyword: Keyword) -> bool {
        if self.keyword_at(self.at) != Some(keyword) {
            return false;
        }
        self.at += keyword.name().len();
        self.skip_blanks();
        true
    }

    /// Returns the keyword at this offset, where a condition or a value may begin. A blank, quote or bracket follows it, or
    /// the end of the text, where its operand is missing.
    fn keyword_at(&self, at: usize) -> Option<Keyword> {
        Keyword::ALL.into_iter().find(|keyword| {
            let end = at + keyword.name().len();
            let word = self.text.get(at..end);
            let next = self.text.get(end..).and_then(|rest| rest.chars().next());
            let ends = next.is_none_or(|next| next.is_whitespace() || matches!(next, '(' | '"' | ')' | '}'));
            ends && word.is_some_and(|word| word.eq_ignore_ascii_case(keyword.name()))
        })
    }

    /// Returns the keyword that ends the value before this offset. A value may end in `not`.
    fn keyword_after_value(&self, at: usize) -> Option<Keyword> {
        self.keyword_at(at).filter(|keyword| *keyword != Keyword::Not || at + keyword.name().len() < self.text.len())
    }

    fn take_comparison(&mut self) -> Option<Comparison> {
        let (comparison, length) = match self.text.as_bytes().get(self.at..)? {
            [b'<', b'=', ..] => (Comparison::AtMost, 2),
            [b'<', ..] => (Comparison::Less, 1),
            [b'>', b'=', ..] => (Comparison::AtLeast, 2),
            [b'>', ..] => (Comparison::More, 1),
            _ => return None,
        };
        self.at += length;
        Some(comparison)
    }

    fn literal(&mut self, expected: &str, colons: bool) -> Parsed<Literal> {
        if self.peek() == Some('"') { self.quoted() } else { self.unquoted(expected, colons) }
    }

    fn quoted(&mut self) -> Parsed<Literal> {
        let start = self.at;
        self.step();
        let mut symbols = Vec::new();
        loop {
            let character = match self.peek() {
                None => {
                    let hint =
                        if self.text.ends_with("\\\"") { "; the last one is escaped by the \\ before it" } else { "" };
                    let span = Span { start, end: start + 1 };
                    return Err(SpannedError::new(span, format!("Expected a closing quote for this one{hint}")));
                }
                Some('"') => {
                    self.step();
                    return Ok(Literal { symbols, quoted: true, span: Span { start, end: self.at } });
                }
                Some('\\') => self.escape_in_quotes()?,
                Some(other) => {
                    self.step();
                    other
                }
            };
            symbols.push(Symbol::Character(character));
        }
    }

    /// A backslash that escapes nothing is literal, as in Kibana.
    fn escape_in_quotes(&mut self) -> Parsed<char> {
        self.step();
        match self.peek() {
            Some(escaped @ ('\\' | '"')) => {
                self.step();
                Ok(escaped)
            }
            _ => Ok(self.named_escape().unwrap_or('\\')),
        }
    }

    /// Parses the escape after a backslash: `t`, `r`, `n` or `uXXXX`.
    fn named_escape(&mut self) -> Option<char> {
        let rest = self.text.get(self.at..)?;
        let (character, length) = match rest.chars().next()? {
            't' => ('\t', 1),
            'r' => ('\r', 1),
            'n' => ('\n', 1),
            'u' => {
                let unit = |from: usize| {
                    let digits = rest.get(from..from + 4)?;
                    let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                    u16::from_str_radix(digits, 16).ok().filter(|_| is_hex)
                };
                let first = unit(1)?;
                let second = rest.get(5..7).filter(|next| *next == "\\u").and_then(|_| unit(7));
                match char::from_u32(first.into()) {
                    Some(character) => (character, 5),
                    // A surrogate pair.
                    None => (char::decode_utf16([first, second?]).next()?.ok()?, 11),
                }
            }
            _ => return None,
        };
        self.at += length;
        Some(character)
    }

    /// Parses up to a special character or a keyword, without surrounding blanks.
    fn unquoted(&mut self, expected: &str, colons: bool) -> Parsed<Literal> {
        if self.keyword_at(self.at).is_some() {
            return Err(self.unexpected(expected));
        }
        self.refuse(hints::connective(self.rest()))?;
        let start = self.at;
        let mut symbols = Vec::new();
        let mut end = start;
        while let Some(next) = self.peek() {
            if next.is_whitespace() {
                let blanks = self.blanks();
                if self.keyword_after_value(self.at + blanks.len()).is_some() {
                    break;
                }
                self.at += blanks.len();
                self.refuse(hints::connective(self.rest()))?;
                if self.peek().is_none_or(|after| is_special(after) && after != '\\' && after != '*') {
                    break;
                }
                symbols.extend(blanks.chars().map(Symbol::Character));
                continue;
            }
            match next {
                '\\' => symbols.push(Symbol::Character(self.escape()?)),
                '*' => {
                    self.step();
                    symbols.push(Symbol::Wildcard);
                }
                ':' if colons && (!symbols.is_empty() || self.follows(':')) => {
                    self.step();
                    symbols.push(Symbol::Character(':'));
                }
                special if is_special(special) => break,
                other => {
                    self.step();
                    symbols.push(Symbol::Character(other));
                }
            }
            end = self.at;
        }
        if symbols.is_empty() {
            return Err(self.unexpected(expected));
        }
        Ok(Literal { symbols, quoted: false, span: Span { start, end } })
    }

    /// Fails if the condition that comes next is not KQL.
    fn refuse(&self, foreign: Option<Foreign>) -> Parsed<()> {
        let Some(foreign) = foreign else { return Ok(()) };
        let span = Span { start: self.at, end: self.at + foreign.length };
        Err(SpannedError::new(span, foreign.message()))
    }

    fn refuse_after_colon(&self, name: &Literal) -> Parsed<()> {
        self.refuse(hints::after_colon(self.source(name.span), self.rest()))
    }

    /// After a colon, returns the name before it with what follows as one quoted text, if that is what was meant.
    fn unquoted_text_with_colon(&self, name: &Literal) -> Option<String> {
        let source = self.source(name.span);
        // `http` is also an object of fields.
        let is_address = self.rest().starts_with("//") && schema::field(source).is_none();
        let is_name = name.quoted || names::is_known(source) && !is_address;
        if is_name { None } else { hints::text_with_colon(hints::last_word(source), self.rest()) }
    }

    /// Whether the character after the next is this one.
    fn follows(&self, character: char) -> bool {
        self.text.get(self.at..).is_some_and(|rest| rest.chars().nth(1) == Some(character))
    }

    fn escape(&mut self) -> Parsed<char> {
        let start = self.at;
        self.step();
        let next = self.peek();
        let escaped = match next {
            Some(special) if is_special(special) => Some(special),
            // Only the first letter of the keyword is read: the rest of it is no keyword.
            first if self.escapes_keyword() => first,
            _ => None,
        };
        if let Some(escaped) = escaped {
            self.step();
            return Ok(escaped);
        }
        self.named_escape().ok_or_else(|| {
            let found = next.map(|next| format!("\\{next}")).unwrap_or_else(|| "\\".to_owned());
            let end = start + 1 + next.map_or(0, char::len_utf8);
            let hint = "write \\\\ for a backslash, or put the text in quotes";
            SpannedError::new(Span { start, end }, format!("Expected a known escape, found \"{found}\"; {hint}"))
        })
    }

    /// Whether a keyword is next. Within a longer word, `\not` is a line break and `ot`.
    fn escapes_keyword(&self) -> bool {
        Keyword::ALL.into_iter().any(|keyword| {
            let end = self.at + keyword.name().len();
            let ends = |next: char| next.is_whitespace() || is_special(next);
            self.text.get(self.at..end).is_some_and(|word| word.eq_ignore_ascii_case(keyword.name()))
                && (keyword != Keyword::Not
                    || self.text.get(end..).is_some_and(|rest| rest.chars().next().is_none_or(ends)))
        })
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn source(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    fn step(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    fn skip_blanks(&mut self) {
        self.at += self.blanks().len();
    }

    fn blanks(&self) -> &'a str {
        let rest = self.rest();
        rest.split_at_checked(rest.len() - rest.trim_start().len()).map_or("", |(blanks, _)| blanks)
    }

    fn unexpected(&self, expected: &str) -> SpannedError {
        let rest = self.rest();
        let word = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let length = word.max(rest.chars().next().map_or(0, char::len_utf8));
        let found = rest.get(..length).unwrap_or_default();
        let shown = match found.chars().count() {
            0 => "the end of the filter".to_owned(),
            1..=40 => format!("{found:?}"),
            _ => format!("{:?}", found.chars().take(40).chain(['…']).collect::<String>()),
        };
        let is_after_value = expected.starts_with(AFTER_CONDITION);
        let hint = match found {
            ":" if is_after_value => self.hint_at_colon(),
            "&" | "|" if let Some(foreign) = hints::connective(rest) => {
                format!("; KQL has `{}` for {found}{found}", foreign.kql)
            }
            "\"" | "(" | "not" if is_after_value => BETWEEN_CONDITIONS.to_owned(),
            ")" | "}" if self.nested == 0 => "; there is nothing open that it could close".to_owned(),
            "{" if self.at == 0 => "; a filter is KQL, not JSON".to_owned(),
            "{" | "<" | ">" => "; in a value it needs quotes or a \\ before it".to_owned(),
            _ => String::new(),
        };
        let span = Span { start: self.at, end: self.at + length };
        SpannedError::new(span, format!("Expected {expected}, found {shown}{hint}"))
    }

    /// The colon is part of the value before it, or of a condition that begins with the last word of that value.
    fn hint_at_colon(&self) -> String {
        let value = self.source(self.last_value);
        for (sign, keyword) in [("&&", "and"), ("||", "or")] {
            if value.contains(sign) {
                return format!("; KQL has `{keyword}` for {sign}");
            }
        }
        let last = hints::last_word(value);
        let after = self.rest().get(1..).unwrap_or_default();
        let is_address = after.starts_with("//");
        let is_condition = names::is_known(last) || last != value && names::suggestion(last).is_some();
        if is_condition && !is_address {
            return BETWEEN_CONDITIONS.to_owned();
        }
        format!("; a value with a colon in it needs quotes: {}", hints::quoted_with_colon(last, after))
    }
}

const BETWEEN_CONDITIONS: &str = "; between conditions there must be AND or OR";

fn one_or<T>(mut parts: Vec<T>, many: impl Fn(Vec<T>) -> T) -> T {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => many(parts.into_iter().chain(last).collect()),
    }
}

/// Whether values of this field contain colons, as times and addresses do.
fn has_colons(name: &Literal) -> bool {
    let kind = name.text().and_then(|name| schema::field(&name)).map(|field| field.kind);
    matches!(kind, Some(Kind::Date | Kind::DateRange | Kind::Ip))
}
