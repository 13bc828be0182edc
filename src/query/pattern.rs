//! Text patterns with wildcards.

/// Pieces of text in order, with anything or nothing between them. A single piece is the text itself. The first and
/// last pieces are empty if the pattern begins or ends with a wildcard; no other piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// A pattern of the pieces between wildcards. Consecutive wildcards are one.
    pub fn new(pieces: impl IntoIterator<Item = String>) -> Self {
        let mut pieces: Vec<String> = pieces.into_iter().collect();
        let last = pieces.len().saturating_sub(1);
        let mut index = 0;
        pieces.retain(|piece| {
            let is_inner = index != 0 && index != last;
            index += 1;
            !is_inner || !piece.is_empty()
        });
        if pieces.is_empty() {
            pieces.push(String::new());
        }
        Self(pieces)
    }

    /// A pattern for all texts that contain this part.
    pub fn containing(part: &str) -> Self {
        Self::new([String::new(), part.to_owned(), String::new()])
    }

    pub fn pieces(&self) -> &[String] {
        &self.0
    }

    pub fn is_exact(&self) -> bool {
        self.0.len() == 1
    }

    /// The prefix, if the only wildcard is at the end.
    pub fn prefix(&self) -> Option<&str> {
        match self.0.as_slice() {
            [prefix, end] if end.is_empty() => Some(prefix),
            _ => None,
        }
    }

    /// Number of characters after the first wildcard, which determines the engines' cost.
    pub fn open_length(&self) -> usize {
        self.0.iter().skip(1).map(|piece| piece.chars().count() + 1).sum()
    }

    pub fn matches(&self, text: &str) -> bool {
        let (first, inner, last) = match self.0.as_slice() {
            [] => return text.is_empty(),
            [exact] => return text == exact,
            [first, inner @ .., last] => (first, inner, last),
        };
        let Some(rest) = text.strip_prefix(first.as_str()) else { return false };
        let after = inner.iter().try_fold(rest, |rest, piece| Some(rest.split_once(piece.as_str())?.1));
        after.is_some_and(|rest| rest.ends_with(last.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text.split('*').map(str::to_owned))
    }

    #[test]
    fn anything_may_stand_for_a_wildcard() {
        for (wild, text) in [
            ("abc", "abc"),
            ("*", ""),
            ("*", "abc"),
            ("**", "abc"),
            ("a*", "a"),
            ("a*", "abc"),
            ("*c", "abc"),
            ("a*c", "ac"),
            ("a*c", "abcbc"),
            ("*b*", "abc"),
            ("a*b*b*c", "abbc"),
            ("a***c", "a*c"),
            ("*ü*", "für"),
        ] {
            assert!(pattern(wild).matches(text), "{wild} {text}");
        }
        for (wild, text) in [
            ("abc", "abcd"),
            ("", "a"),
            ("a*", "ba"),
            ("*c", "cb"),
            ("aba*aba", "aba"),
            ("a*b*b*c", "abc"),
            ("A*", "a"),
        ] {
            assert!(!pattern(wild).matches(text), "{wild} {text}");
        }
    }

    #[test]
    fn wildcards_in_a_row_are_one() {
        assert_eq!(pattern("a**b***"), pattern("a*b*"));
        assert_eq!(pattern("***"), pattern("*"));
        assert_eq!(pattern("*x*"), Pattern::containing("x"));
        assert_eq!(Pattern::containing(""), pattern("*"));
        assert_eq!(pattern("abc*").prefix(), Some("abc"));
        assert_eq!(pattern("a*c*").prefix(), None);
    }
}
