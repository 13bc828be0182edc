//! Texts in the form in which the tables keep them.
//!
//! PostgreSQL's texts cannot hold NUL, and some functions of SQLite end at it. So NUL is written as U+0001 U+0001 and
//! U+0001 as U+0001 U+0002, which keeps texts distinct and in the order of their code points.

use std::borrow::Cow;

/// Returns the text in the form of the tables.
pub(in crate::store) fn kept(text: &str) -> Cow<'_, str> {
    if text.contains(is_special) {
        Cow::Owned(text.replace('\u{1}', "\u{1}\u{2}").replace('\0', "\u{1}\u{1}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Reverses [`kept`].
pub(in crate::store) fn original(kept: String) -> String {
    if !kept.contains('\u{1}') {
        return kept;
    }
    let mut text = String::with_capacity(kept.len());
    let mut characters = kept.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\u{1}' if characters.next() == Some('\u{1}') => '\0',
            other => other,
        });
    }
    text
}

fn is_special(character: char) -> bool {
    matches!(character, '\0' | '\u{1}')
}

/// Whether a text is short enough to be found and sorted by as a whole.
pub(in crate::store) fn is_short(text: &str, most_units: usize) -> bool {
    // Each byte of UTF-8 makes at most one unit of UTF-16.
    text.len() <= most_units || text.encode_utf16().take(most_units + 1).count() <= most_units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_and_keep_their_order() {
        let texts = ["", "\0", "\0\0", "\0\u{1}", "\0a", "\u{1}", "\u{1}\0", "\u{1}\u{1}", "\u{2}", "a", "a\0", "ä"];
        for pair in texts.windows(2) {
            let [one, other] = pair else { continue };
            assert!(kept(one) < kept(other), "{one:?} {other:?}");
        }
        for text in texts {
            assert!(!kept(text).contains('\0'));
            assert_eq!(original(kept(text).into_owned()), text);
        }
    }
}
