//! JSON for people.

use std::{fmt::Write as _, iter::Peekable, str::Chars};

use super::output::is_terminal_control;

/// Indents a document. Values keep their exact text, except that terminal control characters are escaped.
pub(super) fn pretty(json: &str) -> String {
    let mut pretty = Pretty { text: String::with_capacity(2 * json.len()), depth: 0 };
    pretty.write(json.chars().peekable());
    pretty.text
}

struct Pretty {
    text: String,
    depth: usize,
}

impl Pretty {
    fn write(&mut self, mut rest: Peekable<Chars<'_>>) {
        while let Some(character) = rest.next() {
            match character {
                '"' => self.string(&mut rest),
                '{' | '[' => {
                    self.text.push(character);
                    while rest.next_if(char::is_ascii_whitespace).is_some() {}
                    if let Some(close) = rest.next_if(|next| matches!(next, '}' | ']')) {
                        self.text.push(close);
                    } else {
                        self.depth += 1;
                        self.line();
                    }
                }
                '}' | ']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.line();
                    self.text.push(character);
                }
                ',' => {
                    self.text.push(',');
                    self.line();
                }
                ':' => self.text.push_str(": "),
                blank if blank.is_ascii_whitespace() => {}
                other => self.text.push(other),
            }
        }
    }

    fn line(&mut self) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n("  ", self.depth));
    }

    /// Copies a string, beginning after its opening quote.
    fn string(&mut self, rest: &mut Peekable<Chars<'_>>) {
        self.text.push('"');
        let mut is_escaped = false;
        for character in rest {
            if is_terminal_control(character) {
                let _ = write!(self.text, "\\u{:04x}", u32::from(character));
            } else {
                self.text.push(character);
            }
            match character {
                '"' if !is_escaped => return,
                '\\' => is_escaped = !is_escaped,
                _ => is_escaped = false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn values_keep_their_text_and_cannot_control_the_terminal() {
        let json = "{\"b\":1.50,\"a\":[{},[ ],{\"x\":\"a\\\\\\\"},{:\"}], \"n\":18446744073709551616,\"t\":\"\u{9b}1m\u{202e}\"}";
        let expected = r#"{
  "b": 1.50,
  "a": [
    {},
    [],
    {
      "x": "a\\\"},{:"
    }
  ],
  "n": 18446744073709551616,
  "t": "\u009b1m\u202e"
}"#;
        assert_eq!(pretty(json), expected);
    }
}
