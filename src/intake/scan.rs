//! Reads JSON tokens (RFC 8259) in place: a token is a range of the input.
//!
//! A scanner never goes back; its errors are about the grammar alone. It runs for every byte received, so tokens and
//! errors fit into two registers.

#![expect(clippy::indexing_slicing, reason = "every range was found within the input by the scanner itself")]

use std::ops::Range;

use serde::Deserialize;

/// A syntax error in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    offset: u32,
    pub(super) expected: Expected,
}

impl Syntax {
    pub(super) fn new(offset: usize, expected: Expected) -> Self {
        Self { offset: short(offset), expected }
    }

    pub(super) const fn offset(self) -> usize {
        self.offset as usize
    }
}

/// What was expected at the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Utf8,
    Value,
    Object,
    Array,
    Text,
    EscapedCharacter,
    NoControlCharacter,
    ClosingQuote,
    Digit,
    Colon,
    MoreMembers,
    MoreElements,
    LessNesting,
    EndOfEvent,
    EndOfArray,
}

impl Expected {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Value => "a JSON value",
            Self::Object => "an object",
            Self::Array => "an array",
            Self::Text => "a text in double quotes",
            Self::EscapedCharacter => "an escaped character",
            Self::NoControlCharacter => "no control character within a text",
            Self::ClosingQuote => "the closing quote of a text",
            Self::Digit => "a digit",
            Self::Colon => "a colon",
            Self::MoreMembers => "a comma or a closing brace",
            Self::MoreElements => "a comma or a closing bracket",
            Self::LessNesting => "less nesting",
            Self::EndOfEvent => "nothing after the event",
            Self::EndOfArray => "nothing after the array",
        }
    }
}

/// A range of the input. Bodies are bounded far below 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteRange {
    start: u32,
    end: u32,
}

impl ByteRange {
    pub(super) fn new(range: Range<usize>) -> Self {
        Self { start: short(range.start), end: short(range.end) }
    }

    pub(super) const fn start(self) -> usize {
        self.start as usize
    }

    pub(super) const fn end(self) -> usize {
        self.end as usize
    }

    pub(super) const fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Returns the range's bytes in the buffer in which it was found.
    pub(super) fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start()..self.end()).unwrap_or_default()
    }

    /// The range between the quotes of a quoted text.
    pub(super) const fn inner(self) -> Self {
        Self { start: self.start + 1, end: self.end - 1 }
    }
}

fn short(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// The kind of a value, and its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A string without escapes; the range includes the quotes.
    Text(ByteRange),
    /// A string with a backslash in it, or any in an input that is not UTF-8. It is checked when it is decoded.
    Escaped(ByteRange),
    /// A number without fraction or exponent.
    Whole(ByteRange),
    /// Any other number.
    Fraction(ByteRange),
    True(ByteRange),
    False(ByteRange),
    Null,
    /// `{` or `[`, already read; the content is still to be read.
    Object,
    Array,
}

#[derive(Clone)]
pub(super) struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
    is_utf8: bool,
    on_bad_text: OnBadText,
    /// The number of texts that were repaired.
    pub(super) repaired: usize,
}

impl<'a> Scanner<'a> {
    /// A scanner of UTF-8 that refuses bad texts.
    pub(super) fn new(input: &'a [u8], at: usize) -> Self {
        Self { input, at, is_utf8: true, on_bad_text: OnBadText::Refuse, repaired: 0 }
    }

    /// A scanner of anything, for texts that are to be repaired or refused.
    pub(super) fn of_texts(input: &'a [u8], at: usize, on_bad_text: OnBadText, is_utf8: bool) -> Self {
        Self { is_utf8, on_bad_text, ..Self::new(input, at) }
    }

    pub(super) fn input(&self) -> &'a [u8] {
        self.input
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn fail<T>(&self, expected: Expected) -> Result<T, Syntax> {
        Err(Syntax::new(self.at, expected))
    }

    /// Returns the next byte that is not white space, without reading it.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match *self.input.get(self.at)? {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                byte => return Some(byte),
            }
        }
    }

    /// Reads this byte if it is next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Reads these bytes if they are next, apart from white space before them.
    #[inline]
    pub(super) fn take_all(&mut self, bytes: &[u8]) -> bool {
        self.peek();
        let found = self.input[self.at..].starts_with(bytes);
        self.at += if found { bytes.len() } else { 0 };
        found
    }

    pub(super) fn expect(&mut self, byte: u8, expected: Expected) -> Result<(), Syntax> {
        if self.take(byte) { Ok(()) } else { self.fail(expected) }
    }

    /// Reads the separator after a member or element. Returns `true` after a comma, `false` after `close`.
    #[inline]
    pub(super) fn more(&mut self, close: u8) -> Result<bool, Syntax> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.fail(if close == b'}' { Expected::MoreMembers } else { Expected::MoreElements }),
        }
    }

    #[inline]
    pub(super) fn value(&mut self) -> Result<Token, Syntax> {
        match self.peek() {
            Some(b'"') => {
                let (span, escaped) = self.text()?;
                Ok(if escaped { Token::Escaped(span) } else { Token::Text(span) })
            }
            Some(b'{') => {
                self.at += 1;
                Ok(Token::Object)
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Token::Array)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true").map(Token::True),
            Some(b'f') => self.word(b"false").map(Token::False),
            Some(b'n') => self.word(b"null").map(|_| Token::Null),
            _ => self.fail(Expected::Value),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<ByteRange, Syntax> {
        if !self.input[self.at..].starts_with(word) {
            return self.fail(Expected::Value);
        }
        self.at += word.len();
        Ok(ByteRange::new(self.at - word.len()..self.at))
    }

    /// Returns the text of an [`Token::Escaped`], repaired if need be.
    pub(super) fn decode(&mut self, span: ByteRange) -> Result<String, BadText> {
        let Decoded { text, bad } = decode(span.of(self.input))?;
        match bad {
            Some(bad) if self.on_bad_text == OnBadText::Refuse => Err(bad),
            bad => {
                self.repaired += usize::from(bad.is_some());
                Ok(text)
            }
        }
    }

    /// Reads a string with its quotes; returns whether it has to be decoded.
    pub(super) fn string(&mut self) -> Result<(ByteRange, bool), Syntax> {
        if self.peek() == Some(b'"') { self.text() } else { self.fail(Expected::Text) }
    }

    /// Reads a string whose opening quote is the next byte.
    fn text(&mut self) -> Result<(ByteRange, bool), Syntax> {
        let start = self.at;
        self.at += 1;
        let mut escaped = !self.is_utf8;
        loop {
            self.at += plain_length(&self.input[self.at..]);
            match self.input.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((ByteRange::new(start..self.at), escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    if self.at >= self.input.len() {
                        return self.fail(Expected::EscapedCharacter);
                    }
                    self.at += 1;
                }
                Some(_) => return self.fail(Expected::NoControlCharacter),
                None => return self.fail(Expected::ClosingQuote),
            }
        }
    }

    fn number(&mut self) -> Result<Token, Syntax> {
        let start = self.at;
        self.at += usize::from(self.input[self.at] == b'-');
        match self.input.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fail(Expected::Digit),
        }
        let mut whole = true;
        if self.input.get(self.at) == Some(&b'.') {
            whole = false;
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.input.get(self.at) {
            whole = false;
            self.at += 1;
            self.at += usize::from(matches!(self.input.get(self.at), Some(b'+' | b'-')));
            self.some_digits()?;
        }
        let span = ByteRange::new(start..self.at);
        Ok(if whole { Token::Whole(span) } else { Token::Fraction(span) })
    }

    fn digits(&mut self) {
        while matches!(self.input.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Syntax> {
        let before = self.at;
        self.digits();
        if self.at == before { self.fail(Expected::Digit) } else { Ok(()) }
    }

    /// Reads to the end of a member.
    pub(super) fn member(&mut self, depth: usize) -> Result<(), Syntax> {
        self.string()?;
        self.expect(b':', Expected::Colon)?;
        let token = self.value()?;
        self.skip(token, depth)
    }

    /// Reads to the end of the value that begins with this token.
    pub(super) fn skip(&mut self, token: Token, depth: usize) -> Result<(), Syntax> {
        match token {
            Token::Object => {
                if depth == 0 {
                    return self.fail(Expected::LessNesting);
                }
                if self.take(b'}') {
                    return Ok(());
                }
                loop {
                    self.member(depth - 1)?;
                    if !self.more(b'}')? {
                        return Ok(());
                    }
                }
            }
            Token::Array => {
                if depth == 0 {
                    return self.fail(Expected::LessNesting);
                }
                if self.take(b']') {
                    return Ok(());
                }
                loop {
                    let inner = self.value()?;
                    self.skip(inner, depth - 1)?;
                    if !self.more(b']')? {
                        return Ok(());
                    }
                }
            }
            Token::Text(_)
            | Token::Escaped(_)
            | Token::Whole(_)
            | Token::Fraction(_)
            | Token::True(_)
            | Token::False(_)
            | Token::Null => Ok(()),
        }
    }
}

/// Returns the number of leading bytes that are neither quote, backslash nor control character, testing eight at a
/// time.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // Sets the high bit of each zero byte. The borrow may also mark bytes above a zero, which is harmless: only the
    // first mark is used, and that is exact.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut length = 0;
    for chunk in bytes.chunks_exact(8) {
        let Ok(eight) = chunk.try_into() else { break };
        let word = u64::from_le_bytes(eight);
        let quote = zeros(word ^ (ONES * u64::from(b'"')));
        let backslash = zeros(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let marks = quote | backslash | control;
        if marks != 0 {
            return length + marks.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    length + bytes[length..].iter().take_while(|byte| **byte >= 0x20 && **byte != b'"' && **byte != b'\\').count()
}

/// What happens to an event with a bad text: one that no store can keep or find as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadText {
    /// It is accepted with the text repaired.
    #[default]
    Repair,
    /// It is rejected.
    Refuse,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadText {
    /// No JSON.
    Escape,
    Utf8,
    LoneSurrogate,
    Null,
}

impl BadText {
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Escape => "a text with valid escapes",
            Self::Utf8 => "a text in UTF-8",
            Self::LoneSurrogate => "a text without lone surrogates",
            Self::Null => "a text without U+0000",
        }
    }
}

/// A text whose escapes are resolved.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    /// U+FFFD stands for bytes that are not UTF-8, for lone surrogates and for U+0000.
    pub(super) text: String,
    /// The last of these, if there are any.
    pub(super) bad: Option<BadText>,
}

/// Returns the text between the quotes. Fails if an escape is not one of JSON.
pub(super) fn decode(quoted: &[u8]) -> Result<Decoded, BadText> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let text = String::from_utf8_lossy(inner);
    let mut bad = std::str::from_utf8(inner).err().map(|_| BadText::Utf8);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let mut after = rest[at + 1..].chars();
        let escape = after.next().ok_or(BadText::Escape)?;
        rest = after.as_str();
        let character = match escape {
            '"' | '\\' | '/' => Ok(escape),
            'b' => Ok('\u{8}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'u' => {
                let (character, remaining) = unicode_escape(rest)?;
                rest = remaining;
                character
            }
            _ => return Err(BadText::Escape),
        };
        out.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        bad = character.err().or(bad);
    }
    out.push_str(rest);
    Ok(Decoded { text: out, bad })
}

/// Returns the character of an escape, if it is one that a text may have, and what follows it.
fn unicode_escape(text: &str) -> Result<(Result<char, BadText>, &str), BadText> {
    let (first, rest) = hex4(text)?;
    let low = match first {
        0 => return Ok((Err(BadText::Null), rest)),
        0xd800..=0xdbff => rest.strip_prefix("\\u").map(hex4).transpose()?,
        _ => None,
    };
    let (code, rest) = match low {
        Some((low @ 0xdc00..=0xdfff, rest)) => (0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00), rest),
        Some(_) | None => (first, rest),
    };
    Ok((char::from_u32(code).ok_or(BadText::LoneSurrogate), rest))
}

fn hex4(text: &str) -> Result<(u32, &str), BadText> {
    let (digits, rest) = text.split_at_checked(4).ok_or(BadText::Escape)?;
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(BadText::Escape);
    }
    u32::from_str_radix(digits, 16).map(|value| (value, rest)).map_err(|_| BadText::Escape)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn plain_length_is_that_of_a_byte_by_byte_search(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let slow = bytes.iter().take_while(|b| **b >= 0x20 && **b != b'"' && **b != b'\\').count();
            prop_assert_eq!(plain_length(&bytes), slow);
        }

        #[test]
        fn values_are_accepted_exactly_if_serde_json_accepts_them(text in r#"[\[\]{}:,"a\\ntruefalse0-9.eE+ -]{0,24}"#) {
            let mut scanner = Scanner::new(text.as_bytes(), 0);
            let ours = scanner.value().and_then(|token| scanner.skip(token, 100)).is_ok() && scanner.peek().is_none();
            let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            // Escapes are checked when they are decoded.
            prop_assert!(ours == theirs || text.contains('\\'), "{} ours {} theirs {}", text, ours, theirs);
        }
    }

    #[test]
    fn escapes_are_resolved_and_bad_characters_replaced() {
        let good = |text: &str| Ok((text.to_owned(), None));
        let bad = |text: &str, bad: BadText| Ok((text.to_owned(), Some(bad)));
        for (text, expected) in [
            (&br#""a\"\\\/\b\f\n\r\t""#[..], good("a\"\\/\u{8}\u{c}\n\r\t")),
            (br#""\u00e9\ud83d\ude00""#, good("é😀")),
            (br#""\ud83d""#, bad("\u{fffd}", BadText::LoneSurrogate)),
            (br#""\ude00\ud83d""#, bad("\u{fffd}\u{fffd}", BadText::LoneSurrogate)),
            (br#""\ud83d\u0041""#, bad("\u{fffd}A", BadText::LoneSurrogate)),
            (br#""\ud83d\ud83d\ude00""#, bad("\u{fffd}😀", BadText::LoneSurrogate)),
            (br#""\ud83d\n""#, bad("\u{fffd}\n", BadText::LoneSurrogate)),
            (br#""a\u0000b""#, bad("a\u{fffd}b", BadText::Null)),
            (b"\"a\xff\\n\xe2\x82b\"", bad("a\u{fffd}\n\u{fffd}b", BadText::Utf8)),
            (b"\"\xff\\u0000\"", bad("\u{fffd}\u{fffd}", BadText::Null)),
            (br#""\x""#, Err(BadText::Escape)),
            (br#""\u+123""#, Err(BadText::Escape)),
            (br#""\u12""#, Err(BadText::Escape)),
            (br#""\ud83d\u12""#, Err(BadText::Escape)),
        ] {
            let decoded = decode(text).map(|Decoded { text, bad }| (text, bad));
            assert_eq!(decoded, expected, "{}", String::from_utf8_lossy(text));
        }
    }
}
