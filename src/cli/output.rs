//! Standard output and standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
    /// Comma-separated values, which no spreadsheet takes for formulas
    Csv,
}

impl Format {
    /// What was asked for; else a table for people and NDJSON for programs.
    pub(super) fn or_usual(asked: Option<Self>) -> Self {
        asked.unwrap_or_else(Self::usual)
    }

    /// A table for people and NDJSON for programs.
    pub(super) fn usual() -> Self {
        if io::stdout().is_terminal() { Self::Table } else { Self::Ndjson }
    }
}

/// Whether somebody reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Reader {
    There,
    /// As `head` is, once it has what it wants.
    Gone,
}

/// Prints to standard output. A reader that has gone away is no error.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    show(bytes).map(|_| ())
}

/// Prints to standard output what is not the last, so that it matters whether there is a reader.
pub(super) fn show(bytes: &[u8]) -> Result<Reader, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::local(format!("standard output: {error}"))),
    }
}

/// Whether there is a reader, without printing anything.
pub(super) fn reader() -> Reader {
    let stdout = io::stdout();
    let mut looked_at = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let is_told = poll(&mut looked_at, Some(&at_once)).is_ok();
    let [stdout] = looked_at;
    if is_told && stdout.revents().contains(PollFlags::ERR) { Reader::Gone } else { Reader::There }
}

/// Prints a line to standard error.
pub(super) fn complain(line: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{}", printable(line))
}

/// The text without what would steer a terminal; lines stay lines.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Whether this would steer a terminal, or turn the direction of writing.
pub(super) fn steers(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
