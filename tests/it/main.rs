//! What the program does, seen from outside.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

/// The configuration and its reference.
mod config;

/// The command line against a server that answers by script.
mod cli;

/// What README.md and docs/integrity.md say, done.
mod readme;

/// The house rules that a machine can check.
mod tidy;
