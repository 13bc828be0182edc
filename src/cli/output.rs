//! Standard output and standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;

use super::Failure;

/// The form in which found things are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// One JSON object a line
    Ndjson,
    /// The answer as a whole
    Json,
}

impl Format {
    /// What was asked for; else a table for people and NDJSON for programs.
    pub(super) fn or_usual(asked: Option<Self>) -> Self {
        asked.unwrap_or(if io::stdout().is_terminal() { Self::Table } else { Self::Ndjson })
    }
}

/// Prints to standard output. A reader that has gone away, as `head` does, is no error.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::local(format!("standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a line to standard error.
pub(super) fn complain(line: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{}", printable(line))
}

/// The text without what would steer a terminal, or turn the direction of writing; lines stay lines.
pub(super) fn printable(text: &str) -> String {
    let steers =
        |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}
