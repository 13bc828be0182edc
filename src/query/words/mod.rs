//! Splits texts into words, exactly as the engines' standard analyzer does.
//!
//! The analyzer is Lucene's StandardTokenizer and LowerCaseFilter. Letters, digits and the characters that join them
//! form words by UAX #29; each ideograph and each hiragana is a word; a run of South-East Asian letters is one word;
//! emoji are words; nothing else is part of a word. At each place the longest word is taken, up to [`MAX_WORD_LENGTH`]
//! UTF-16 units; longer ones are cut into several. A test against the engines verifies this. Other stores index these
//! words, so a different result for any text would require rebuilding their indexes.

mod grammar;
mod table;

use grammar::Automaton;

/// Maximum length of a word, in UTF-16 units.
const MAX_WORD_LENGTH: usize = 255;

/// Returns the words of a text in order, in lower case.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    spans(text).map(lower_case)
}

/// Returns the words of a text in order, as written.
pub fn spans(text: &str) -> impl Iterator<Item = &str> {
    let automaton = Automaton::get();
    let mut rest = text;
    std::iter::from_fn(move || {
        while let Some(first) = rest.chars().next() {
            let length = automaton.longest_word(rest, MAX_WORD_LENGTH);
            let (word, after) = rest.split_at_checked(length.unwrap_or(first.len_utf8()))?;
            rest = after;
            if length.is_some() {
                return Some(word);
            }
        }
        None
    })
}

/// Lower-cases each character to a single one, as the engines do (in Java).
pub fn lower_case(text: &str) -> String {
    let lower = |character: char| match character {
        'İ' => 'i',
        other => other.to_lowercase().next().unwrap_or(other),
    };
    text.chars().map(lower).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(words(text).collect::<Vec<_>>(), expected, "{text:?}");
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        check("", &[]);
        check(" \t\n…!? ", &[]);
        check("Rule executed: Payroll Export", &["rule", "executed", "payroll", "export"]);
        check("it's 3.14, 1,000;5 a.b.c x_y __ _z", &["it's", "3.14", "1,000;5", "a.b.c", "x_y", "_z"]);
        check(
            "don’t a:b a: b 'q' 1:2 user@example.com",
            &["don’t", "a:b", "a", "b", "q", "1", "2", "user", "example.com"],
        );
        check("/var/log-file(2)", &["var", "log", "file", "2"]);
        check("ÄÖÜ ẞ STRASSE", &["äöü", "ß", "strasse"]);
    }

    #[test]
    fn one_character_stays_one_in_lower_case() {
        check("İSTANBUL ΣΊΣΥΦΟΣ", &["istanbul", "σίσυφοσ"]);
    }

    #[test]
    fn scripts_without_blanks_have_rules_of_their_own() {
        check("漢字かなカタカナ한국어", &["漢", "字", "か", "な", "カタカナ", "한국어"]);
        check("การที่ได้ต้อง ພາສາລາວ", &["การที่ได้ต้อง", "ພາສາລາວ"]);
        check("צה\"ל ג'", &["צה\"ל", "ג'"]);
        check("１２３ａｂ", &["１２３ａｂ"]);
    }

    #[test]
    fn emoji_are_words() {
        check(
            "ok👍🏽 👩‍👩‍👧 🇫🇮🇸🇪 1️⃣ #️⃣ 🏴\u{e0067}\u{e0062}\u{e007f}x",
            &["ok", "👍🏽", "👩‍👩‍👧", "🇫🇮", "🇸🇪", "1️⃣", "#️⃣", "🏴\u{e0067}\u{e0062}\u{e007f}", "x"],
        );
    }

    #[test]
    fn long_words_are_cut() {
        let long = "a".repeat(600);
        check(&long, &[&long[..255], &long[..255], &long[..90]]);
        let astral = "𐐨".repeat(200);
        check(&astral, &[&astral[..127 * 4], &astral[..73 * 4]]);
    }
}
