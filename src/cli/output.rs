//! Standard output and standard error.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
};

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;

use super::CliError;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// For people
    Table,
    /// One JSON object a line
    Ndjson,
    /// The whole answer as one JSON object
    Json,
    /// Comma-separated values that no spreadsheet evaluates as formulas
    Csv,
}

impl OutputFormat {
    pub(super) fn or_default(asked: Option<Self>) -> Self {
        asked.unwrap_or_else(Self::default_for_stdout)
    }

    /// Returns a table for people and NDJSON for programs.
    pub(super) fn default_for_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Table } else { Self::Ndjson }
    }
}

/// Whether anything still reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum OutputStatus {
    Open,
    /// For example, `head` closes it once it has enough.
    Closed,
}

/// Returns a value as one line of JSON, with its line break.
pub(super) fn json_line(value: &impl Serialize) -> Result<String, CliError> {
    Ok(serde_json::to_string(value).map_err(CliError::local)? + "\n")
}

/// Prints to standard output. A closed pipe is not an error.
pub(super) fn print(bytes: &[u8]) -> Result<(), CliError> {
    write(bytes).map(|_| ())
}

/// Prints to standard output, and returns whether further output would be read.
pub(super) fn write(bytes: &[u8]) -> Result<OutputStatus, CliError> {
    let mut stdout = io::stdout().lock();
    let bytes = if stdout.is_terminal() { for_terminal(bytes) } else { Cow::Borrowed(bytes) };
    match stdout.write_all(&bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(OutputStatus::Open),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(OutputStatus::Closed),
        Err(error) => Err(CliError::local(format!("standard output: {error}"))),
    }
}

/// Standard output for bytes that come in parts, which may end in the middle of a character. On a terminal, an incomplete
/// character is held back until its rest comes, because its parts could not be recognised as a control character.
#[derive(Default)]
pub(super) struct OutputInParts {
    held: Vec<u8>,
}

impl OutputInParts {
    pub(super) fn write(&mut self, part: &[u8]) -> Result<OutputStatus, CliError> {
        if !io::stdout().is_terminal() {
            return write(part);
        }
        write(&self.whole_characters(part))
    }

    /// Writes what is held back.
    pub(super) fn finish(self) -> Result<(), CliError> {
        print(&self.held)
    }

    fn whole_characters(&mut self, part: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(part);
        let incomplete = match self.held.last() {
            // It may be the first half of a line end.
            Some(b'\r') => 1,
            _ => self.held.utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len()),
        };
        let rest = self.held.split_off(self.held.len() - incomplete);
        std::mem::replace(&mut self.held, rest)
    }
}

/// Checks standard output without printing anything.
pub(super) fn status() -> OutputStatus {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_polled = poll(&mut polled, Some(&at_once)).is_ok();
    let [stdout] = polled;
    if is_polled && stdout.revents().contains(PollFlags::ERR) { OutputStatus::Closed } else { OutputStatus::Open }
}

/// Prints a line to standard error.
pub(super) fn print_stderr(line: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{}", printable(line))
}

/// Writes characters that control a terminal as JSON does (`\u009b`), except tabs and line ends. Lines of JSON mean the same
/// as before: there, such characters occur only in strings. Bytes that are not UTF-8 are replaced.
fn for_terminal(bytes: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(bytes);
    let mut escaped = String::new();
    let mut copied = 0;
    for (at, character) in text.char_indices().filter(|(_, character)| is_terminal_control(*character)) {
        let end = at + character.len_utf8();
        // A carriage return elsewhere than at the end of a line goes back to its beginning.
        let is_line_end = character == '\r' && text.as_bytes().get(end) == Some(&b'\n');
        if !is_line_end && !matches!(character, '\n' | '\t') {
            escaped.push_str(text.get(copied..at).unwrap_or_default());
            escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
            copied = end;
        }
    }
    match text {
        Cow::Borrowed(_) if copied == 0 => Cow::Borrowed(bytes),
        text => Cow::Owned((escaped + text.get(copied..).unwrap_or_default()).into_bytes()),
    }
}

/// Replaces characters that control a terminal, except line breaks.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_terminal_control(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Whether the character controls a terminal or the text direction.
pub(super) fn is_terminal_control(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn no_format_controls_a_terminal_and_json_keeps_its_meaning() {
        let line = "{\"message\":\"a\u{9b}31m\u{202e}b\u{2066}\"}\r\n";
        let escaped = for_terminal(line.as_bytes());
        assert_eq!(&*escaped, b"{\"message\":\"a\\u009b31m\\u202eb\\u2066\"}\r\n");
        let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).ok();
        assert_eq!(value(&escaped), value(line.as_bytes()));
        assert_eq!(&*for_terminal(b"\x1b[31m,\x07\t1\r\n"), b"\\u001b[31m,\\u0007\t1\r\n");
        assert_eq!(&*for_terminal(b"a,right\rwrong\r\nb\r"), b"a,right\\u000dwrong\r\nb\\u000d");
        assert_eq!(&*for_terminal(b"\x9b31m"), "\u{fffd}31m".as_bytes());
        assert!(matches!(for_terminal("plain é\n".as_bytes()), Cow::Borrowed(_)));
    }

    #[test]
    fn a_control_character_is_recognised_even_if_it_comes_in_two_parts() {
        let text = "é\u{9b}31m\u{202e}漢x".as_bytes();
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            let mut output = OutputInParts::default();
            let shown = [first, second].map(|part| for_terminal(&output.whole_characters(part)).into_owned());
            assert_eq!(String::from_utf8(shown.concat()).unwrap(), "é\\u009b31m\\u202e漢x", "{cut}");
        }
        let mut output = OutputInParts::default();
        assert_eq!(
            (output.whole_characters(b"a\r"), output.whole_characters(b"\nb")),
            (b"a".to_vec(), b"\r\nb".to_vec())
        );
        assert_eq!(
            (output.whole_characters(b"ab\xc2"), output.whole_characters(b"c")),
            (b"ab".to_vec(), b"\xc2c".to_vec())
        );
    }
}
