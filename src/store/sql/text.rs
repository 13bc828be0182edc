//! Texts in the form in which the tables keep them.
//!
//! PostgreSQL's texts cannot hold NUL, and some functions of SQLite end at it. So NUL is written as U+0001 U+0001 and
//! U+0001 as U+0001 U+0002, which keeps texts distinct and in the order of their code points.

use std::borrow::Cow;

/// Returns the text in the form of the tables.
pub(in crate::store) fn encode_text(text: &str) -> Cow<'_, str> {
    if text.contains(needs_escape) {
        Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Reverses [`encode_text`].
pub(in crate::store) fn decode_text(encoded: String) -> String {
    if !encoded.contains('\u{1}') {
        return encoded;
    }
    let mut text = String::with_capacity(encoded.len());
    let mut characters = encoded.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\u{1}' if characters.next() == Some('\u{1}') => '\0',
            other => other,
        });
    }
    text
}

fn needs_escape(character: char) -> bool {
    matches!(character, '\0' | '\u{1}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_keep_their_order() {
        let texts = ["", "\0", "\0\0", "\0\u{1}", "\0a", "\u{1}", "\u{1}\0", "\u{1}\u{1}", "\u{2}", "a", "a\0", "ä"];
        for pair in texts.windows(2) {
            let [one, other] = pair else { continue };
            assert!(encode_text(one) < encode_text(other), "{one:?} {other:?}");
        }
        for text in texts {
            assert!(!encode_text(text).contains('\0'));
            assert_eq!(decode_text(encode_text(text).into_owned()), text);
        }
    }
}
