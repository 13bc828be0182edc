//! JSON's tokens (RFC 8259), read in place: a token is a range of the input.
//!
//! The input is UTF-8 already. A scanner never goes back; what it returns as an error is about the grammar alone.

#![expect(clippy::indexing_slicing, reason = "every range was found within the input by the scanner itself")]

use std::ops::Range;

/// A place where the input is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    pub(super) offset: usize,
    pub(super) expected: &'static str,
}

/// What a value is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// The range holds the quotes; `escaped` if there is a backslash between them.
    String {
        range: Range<usize>,
        escaped: bool,
    },
    /// `whole` if it has neither fraction nor exponent.
    Number {
        range: Range<usize>,
        whole: bool,
    },
    True(Range<usize>),
    False(Range<usize>),
    Null(Range<usize>),
    /// `{` or `[`; what is inside is still to be read.
    Object(usize),
    Array(usize),
}

#[derive(Clone)]
pub(super) struct Scanner<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(input: &'a [u8], at: usize) -> Self {
        Self { input, at }
    }

    pub(super) fn input(&self) -> &'a [u8] {
        self.input
    }

    pub(super) fn offset(&self) -> usize {
        self.at
    }

    pub(super) fn fail<T>(&self, expected: &'static str) -> Result<T, Syntax> {
        Err(Syntax { offset: self.at, expected })
    }

    /// The next byte that is not white space, which stays unread.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.input.get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    /// Reads this byte if it is the next.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Syntax> {
        if self.take(byte) { Ok(()) } else { self.fail(expected) }
    }

    /// After an element: whether another one follows, or else `close` was read.
    pub(super) fn more(&mut self, close: u8, expected: &'static str) -> Result<bool, Syntax> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(close, expected).map(|()| false)
    }

    pub(super) fn value(&mut self) -> Result<Token, Syntax> {
        match self.peek() {
            Some(b'"') => self.string().map(|(range, escaped)| Token::String { range, escaped }),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'{') => {
                self.at += 1;
                Ok(Token::Object(self.at - 1))
            }
            Some(b'[') => {
                self.at += 1;
                Ok(Token::Array(self.at - 1))
            }
            Some(b't') => self.word(b"true").map(Token::True),
            Some(b'f') => self.word(b"false").map(Token::False),
            Some(b'n') => self.word(b"null").map(Token::Null),
            _ => self.fail("a JSON value"),
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<Range<usize>, Syntax> {
        if !self.input[self.at..].starts_with(word) {
            return self.fail("a JSON value");
        }
        self.at += word.len();
        Ok(self.at - word.len()..self.at)
    }

    /// A string with its quotes, and whether it holds escapes. Escapes are checked when they are decoded.
    pub(super) fn string(&mut self) -> Result<(Range<usize>, bool), Syntax> {
        self.peek();
        let start = self.at;
        self.expect(b'"', "a text in double quotes")?;
        let mut escaped = false;
        loop {
            self.at += plain_length(&self.input[self.at..]);
            match self.input.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((start..self.at, escaped));
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    if self.at >= self.input.len() {
                        return self.fail("an escaped character");
                    }
                    self.at += 1;
                }
                Some(_) => return self.fail("no control character within a text"),
                None => return self.fail("the closing quote of a text"),
            }
        }
    }

    fn number(&mut self) -> Result<Token, Syntax> {
        let start = self.at;
        self.at += usize::from(self.input[self.at] == b'-');
        match self.input.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fail("a digit"),
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
        Ok(Token::Number { range: start..self.at, whole })
    }

    fn digits(&mut self) {
        while matches!(self.input.get(self.at), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), Syntax> {
        let before = self.at;
        self.digits();
        if self.at == before { self.fail("a digit") } else { Ok(()) }
    }

    /// Reads on to the end of a value that began with this token.
    pub(super) fn skip(&mut self, token: &Token, depth: usize) -> Result<(), Syntax> {
        match token {
            Token::Object(_) => {
                if depth == 0 {
                    return self.fail("less nesting");
                }
                if self.take(b'}') {
                    return Ok(());
                }
                loop {
                    self.string()?;
                    self.expect(b':', "a colon")?;
                    let inner = self.value()?;
                    self.skip(&inner, depth - 1)?;
                    if !self.more(b'}', "a comma or a closing brace")? {
                        return Ok(());
                    }
                }
            }
            Token::Array(_) => {
                if depth == 0 {
                    return self.fail("less nesting");
                }
                if self.take(b']') {
                    return Ok(());
                }
                loop {
                    let inner = self.value()?;
                    self.skip(&inner, depth - 1)?;
                    if !self.more(b']', "a comma or a closing bracket")? {
                        return Ok(());
                    }
                }
            }
            Token::String { .. } | Token::Number { .. } | Token::True(_) | Token::False(_) | Token::Null(_) => Ok(()),
        }
    }
}

/// How many bytes from the beginning are neither a quote, nor a backslash, nor a control character. Eight at a time.
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of each byte that is zero; bytes above a zero may be marked by the borrow, which is no matter, as the
    // first mark is exact and the rest is looked at byte by byte.
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

/// Why a text with escapes cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadText {
    Escape,
    LoneSurrogate,
    Null,
}

impl BadText {
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Escape => "a text with valid escapes",
            Self::LoneSurrogate => "a text without lone surrogates",
            Self::Null => "a text without U+0000",
        }
    }
}

/// The text between the quotes, with its escapes resolved.
pub(super) fn decode(quoted: &[u8]) -> Result<String, BadText> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    let text = String::from_utf8_lossy(inner);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let mut after = rest[at + 1..].chars();
        let escape = after.next().ok_or(BadText::Escape)?;
        rest = after.as_str();
        let character = match escape {
            '"' | '\\' | '/' => escape,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                let (character, remaining) = unicode_escape(rest)?;
                rest = remaining;
                character
            }
            _ => return Err(BadText::Escape),
        };
        if character == '\0' {
            return Err(BadText::Null);
        }
        out.push(character);
    }
    out.push_str(rest);
    Ok(out)
}

fn unicode_escape(text: &str) -> Result<(char, &str), BadText> {
    let (first, rest) = hex4(text)?;
    let low = match first {
        0xd800..=0xdbff => rest.strip_prefix("\\u").map(hex4).transpose()?,
        _ => return char::from_u32(first).map(|c| (c, rest)).ok_or(BadText::LoneSurrogate),
    };
    match low {
        Some((low @ 0xdc00..=0xdfff, rest)) => {
            let code = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            char::from_u32(code).map(|c| (c, rest)).ok_or(BadText::LoneSurrogate)
        }
        _ => Err(BadText::LoneSurrogate),
    }
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
            let ours = scanner.value().and_then(|token| scanner.skip(&token, 100)).is_ok() && scanner.peek().is_none();
            let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            // Escapes are checked when they are decoded.
            prop_assert!(ours == theirs || text.contains('\\'), "{} ours {} theirs {}", text, ours, theirs);
        }
    }

    #[test]
    fn escapes_are_resolved_or_refused() {
        for (text, expected) in [
            (r#""a\"\\\/\b\f\n\r\t""#, Ok("a\"\\/\u{8}\u{c}\n\r\t".to_owned())),
            (r#""\u00e9\ud83d\ude00""#, Ok("é😀".to_owned())),
            (r#""\ud83d""#, Err(BadText::LoneSurrogate)),
            (r#""\ude00""#, Err(BadText::LoneSurrogate)),
            (r#""\ud83d\u0041""#, Err(BadText::LoneSurrogate)),
            (r#""\u0000""#, Err(BadText::Null)),
            (r#""\x""#, Err(BadText::Escape)),
            (r#""\u+123""#, Err(BadText::Escape)),
            (r#""\u12""#, Err(BadText::Escape)),
        ] {
            assert_eq!(decode(text.as_bytes()), expected, "{text}");
        }
    }
}
