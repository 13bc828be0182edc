//! What the program does, seen from outside.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

/// The real program, real engines, and proofs about what a store holds.
mod support;

/// The configuration and its reference.
mod config;

/// The command line against a server that answers by script.
mod cli;

/// The commands that find, export and follow, against the real server.
mod finding;

/// What the program says when it starts, or cannot; and its commands against it.
mod start;

/// The program as its first user meets it, on every store.
mod first_run;

/// Who is calling, and what they may do.
mod access;

/// Crashes, damage and shortage of the program's own.
mod crashes;

/// Lost files, and old copies of the data folder.
mod copies;

/// Disks that are full, or fail.
mod disks;

/// What can be switched off: chaining, keeping events, the log as a whole.
mod switches;

/// Stores that go away, answer badly, or not at all.
mod outages;
mod process;

/// Events that a store refuses for good.
mod refusals;

/// What the engine has to have ready for events, and what happens when somebody takes it away.
mod resources;

/// Engines with TLS and users.
mod secured;

/// What is generated is as its source says.
mod generated;

/// What README.md and docs/integrity.md say, done.
mod readme;

/// What the client alone depends on.
mod client_alone;

/// The house rules that a machine can check.
mod tidy;
