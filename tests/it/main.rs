//! Tests of the program from outside.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

/// The real program, real engines, and checks of the contents of a store.
mod support;

/// The configuration and its reference.
mod config;

/// The command line against a scripted server.
mod cli;

/// The commands that find, export and follow, against the real server.
mod finding;

/// Messages at start and at a failed start; and the commands against a running program.
mod start;

/// The first use of the program, on every store.
mod first_run;

/// Authentication and permissions.
mod access;

/// Crashes, damage and shortage of resources on the program's side.
mod crashes;

/// Lost files, and old copies of the data folder.
mod copies;

/// Stores that lose what they have confirmed, or are exchanged for others.
mod losses;

/// What `stores check` finds.
mod stores;

/// What `verify` proves.
mod verify;

/// Disks that are full or fail.
mod disks;

/// What clients can make the program keep in memory.
mod attacks;

/// Switches: chaining, keeping events, the log as a whole.
mod switches;

/// What a server says, on a terminal.
mod terminal;

/// Stores that are away, answer badly, or do not answer.
mod outages;
mod process;

/// Fields that the operator adds.
mod own_fields;

/// Events that are rejected on arrival.
mod rejected;

/// Events that a store refuses permanently.
mod refusals;

/// The resources that an engine needs for events, and what happens if somebody removes them.
mod resources;

/// Engines with TLS and users.
mod secured;

/// Generated files match their sources.
mod generated;

/// README.md and docs/integrity.md, executed.
mod readme;

/// The dependencies of the client alone.
mod client_alone;

/// House rules that a machine can check.
mod tidy;
