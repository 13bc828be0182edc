//! The command line: each command has its own file; exit codes and error messages are here.

mod batches;
mod completions;
mod config;
mod connection;
mod count;
mod dead_letters;
mod display;
mod export;
mod find;
mod get;
mod keys;
mod log;
mod output;
mod pretty;
mod rejected;
mod resume;
mod selection;
mod sending;
mod serve;
mod settings;
mod setup;
mod sort;
mod stores;
mod table;
mod tail;
mod values;
mod verify;
mod zone;

use std::{fmt, future::Future, io, process::ExitCode};

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::{client::ApiError, error::with_reasons};

/// A tamper-evident event log (audit trail) backed by Elasticsearch, OpenSearch, PostgreSQL or SQLite.
#[derive(Debug, Parser)]
#[command(name = "annals", version, arg_required_else_help = true)]
#[command(after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Setup(setup::Args),
    Log(log::Args),
    Find(find::Args),
    Count(count::Args),
    Values(values::Args),
    Get(get::Args),
    Tail(tail::Args),
    Export(export::Args),
    Rejected(rejected::Args),
    DeadLetters(dead_letters::Args),
    Verify(verify::Args),
    Stores(stores::Args),
    Keys(keys::Args),
    Config(config::Args),
    Completions(completions::Args),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = output::print_stderr(&failure.to_string());
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(command: Command) -> Result<(), CliError> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Setup(args) => setup::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Find(args) => find::run(&args),
        Command::Count(args) => count::run(&args),
        Command::Values(args) => values::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Tail(args) => tail::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Rejected(args) => rejected::run(&args),
        Command::DeadLetters(args) => dead_letters::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Stores(args) => stores::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Waits for Ctrl-C or SIGTERM.
async fn shutdown_signal() -> Result<(), CliError> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminate.recv() => Ok(()),
    }
}

/// The exit codes besides 0; [`EXIT_CODES`] explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum ExitStatus {
    Local = 1,
    /// The same as clap's.
    Usage = 2,
    Server = 3,
    Incomplete = 4,
    /// Events were changed, removed or added.
    Broken = 5,
    /// 128 plus the number of the signal, as in shells.
    Interrupted = 130,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    success; also if nothing was found, and for a tail ended by Ctrl-C
  1    a local error, such as in a file or the configuration; or `stores check` found a difference
  2    invalid arguments
  3    the server is unavailable, failed, or refused the request or some of the events
  4    an export is incomplete, or differs from what the server states; or `verify` cannot prove all of it
  5    `verify` found that events were changed, removed or added
  130  interrupted by Ctrl-C";

/// An error message, and a hint for the user.
#[derive(Debug)]
struct CliError {
    exit: ExitStatus,
    message: String,
    advice: Option<String>,
}

impl CliError {
    fn local(message: impl fmt::Display) -> Self {
        Self { exit: ExitStatus::Local, message: message.to_string(), advice: None }
    }

    fn server(message: impl fmt::Display) -> Self {
        Self { exit: ExitStatus::Server, message: message.to_string(), advice: None }
    }

    fn usage(message: impl fmt::Display) -> Self {
        Self { exit: ExitStatus::Usage, ..Self::local(message) }
    }

    fn incomplete(message: impl fmt::Display) -> Self {
        Self { exit: ExitStatus::Incomplete, ..Self::local(message) }
    }

    fn interrupted() -> Self {
        Self { exit: ExitStatus::Interrupted, ..Self::local("interrupted before it was done") }
    }

    fn with_advice(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Builds an error from an error and all its sources.
    fn from_chain(error: &dyn std::error::Error) -> Self {
        Self::local(with_reasons(error))
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.advice.iter().try_for_each(|advice| write!(f, "\nadvice: {advice}"))
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        Self::local(error)
    }
}

impl From<ApiError> for CliError {
    fn from(error: ApiError) -> Self {
        let advice = match &error {
            ApiError::Endpoint(_) => return Self::local(error),
            ApiError::Unreachable { .. } => {
                "start the server with `annals serve`, or name another with --url and its key with --key-file"
            }
            ApiError::Untrusted { .. } => {
                "name the authority that signed it, or the certificate itself, with --ca-file or in the environment as \
                 ANNALS_CA_FILE, and the server in --url as the certificate names it"
            }
            ApiError::WrongProtocol { url, .. } if url.starts_with("https:") => {
                "is the port right? if this server has no certificate, its --url begins with http:"
            }
            ApiError::WrongProtocol { .. } => {
                "is the port right? if this server has a certificate (`server.tls`), its --url begins with https:"
            }
            ApiError::AnswerLost { .. } => "allow more time with --timeout",
            ApiError::BrokenOff { .. } => {
                return Self::incomplete(error).with_advice("the result is incomplete; start again");
            }
            ApiError::Busy { .. } => "try again later; `/readyz` and `/metrics` of the server show the reason",
            ApiError::Refused { status: 401, .. } => {
                "name a key of this server with --key-file, or in the environment as ANNALS_API_KEY; the key in a data folder is \
                 only sent to the server that runs on this folder"
            }
            ApiError::Refused { status: 403, .. } => {
                "use a key with this permission, by --key-file or in the environment as ANNALS_API_KEY"
            }
            ApiError::Refused { status: 404, .. } => {
                "check --url, --space and the names; a key does not find what it may not see"
            }
            ApiError::Refused { .. } => return Self::server(error),
            ApiError::UnexpectedAnswer { .. } => "check --url: is it an Annals server of a compatible version?",
        };
        Self::server(error).with_advice(advice)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::CommandFactory;

    use super::{Cli, EXIT_CODES};

    #[test]
    fn the_definition_of_commands_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The letter, the name and the possible values of each option of each command that has a letter.
    fn letters(command: &clap::Command) -> Vec<(char, String)> {
        let own = command.get_arguments().filter_map(|option| {
            let values: Vec<_> = option.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
            let kind = if values.is_empty() { "anything" } else { "one of a list" };
            Some((option.get_short()?, format!("{} {kind}", option.get_long().unwrap_or_default())))
        });
        own.chain(command.get_subcommands().flat_map(letters)).collect()
    }

    #[test]
    fn a_letter_means_the_same_option_in_every_command() {
        let mut command = Cli::command();
        command.build();
        let mut meanings = BTreeMap::new();
        for (letter, meaning) in letters(&command) {
            assert_eq!(meanings.entry(letter).or_insert_with(|| meaning.clone()), &meaning, "-{letter}");
        }
        assert_eq!(meanings.get(&'o').map(String::as_str), Some("output anything"));
        assert_eq!(meanings.get(&'f').map(String::as_str), Some("format one of a list"));
    }

    #[test]
    fn the_documentation_has_the_exit_codes_as_the_help_has_them() {
        assert!(include_str!("../../docs/finding.md").contains(EXIT_CODES));
    }
}
