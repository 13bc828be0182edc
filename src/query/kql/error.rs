//! Errors in a filter, with their position.

use std::fmt;

use super::syntax::Span;

/// Maximum width of an excerpt, in characters.
const MAX_EXCERPT_WIDTH: usize = 100;

/// A position in the text of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// In bytes, from 0.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// Why a text is not a valid filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KqlError {
    pub position: Position,
    /// What was expected and what was found, without the position.
    pub message: String,
    /// The part of the line around the position.
    excerpt: String,
    /// Display columns before the position in the excerpt.
    indent: usize,
    /// Display columns at fault.
    width: usize,
}

/// A message, and the part of the text that it is about.
#[derive(Debug)]
pub(super) struct SpannedError {
    pub(super) span: Span,
    pub(super) message: String,
}

impl SpannedError {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    pub(super) fn locate(self, text: &str) -> KqlError {
        let offset = (0..=self.span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (before, after) = text.split_at_checked(offset).unwrap_or((text, ""));
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        let line_rest = after.split('\n').next().unwrap_or_default();
        let position = Position { offset, line: before.matches('\n').count() + 1, column: in_line.chars().count() + 1 };

        let skipped = (position.column - 1).saturating_sub(MAX_EXCERPT_WIDTH / 2);
        let mut excerpt: String = in_line.chars().skip(skipped).map(visible).collect();
        let indent = width(&excerpt);
        let faulty = line_rest.get(..self.span.end.saturating_sub(offset)).unwrap_or(line_rest);
        let shown: String = line_rest.chars().take(MAX_EXCERPT_WIDTH / 2).map(visible).collect();
        let faulty: String = faulty.chars().take(MAX_EXCERPT_WIDTH / 2).map(visible).collect();
        excerpt.push_str(shown.trim_end());
        let message = self.message.chars().fold(String::new(), |mut message, character| {
            // Names and values in the message are raw input.
            if character.is_control() {
                message.extend(character.escape_default())
            } else {
                message.push(character)
            }
            message
        });
        KqlError { position, message, excerpt, indent, width: width(&faulty).max(1) }
    }
}

/// Replaces control characters, which could move the cursor of a terminal.
fn visible(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

fn width(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

impl KqlError {
    /// Returns the line at fault, carets under the position, and the message, without a trailing line break.
    pub fn render(&self) -> String {
        format!("{}\n{}{}\n{}", self.excerpt, " ".repeat(self.indent), "^".repeat(self.width), self.message)
    }
}

impl fmt::Display for KqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column, .. } = self.position;
        write!(f, "line {line}, column {column}: {}", self.message)
    }
}

impl std::error::Error for KqlError {}
