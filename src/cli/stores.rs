//! `annals stores check`

use serde::Serialize;

use super::{CliError, ExitStatus, output, settings::SettingsArgs};
use crate::{
    app::{Checked, StoreCheck, StoresToCheck},
    config::Config,
};

/// Checks the stores themselves
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(CheckArgs),
}

/// Compares what SQLite and PostgreSQL find events by with the events, beside a running server or without one
///
/// Exits with 1 if something differs, with 2 if the configuration or the name of the store is wrong, and with 3 if a
/// store could not be read to its end.
#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The store; by default all that are configured
    #[arg(value_name = "STORE")]
    store: Option<String>,
    /// Print each difference as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Serialize)]
struct Line<'a> {
    store: &'a str,
    chain: String,
    sequence: u64,
    column: &'a str,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    match &args.command {
        Command::Check(args) => check(args),
    }
}

fn check(args: &CheckArgs) -> Result<(), CliError> {
    // 1 is for differences alone.
    let usage = |error| CliError { exit: ExitStatus::Usage, ..error };
    let config = args.settings.load().map_err(usage)?;
    if let Some(store) = &args.store {
        check_name(store, &config)?;
    }
    let stores = StoresToCheck::open(&config, args.store.as_deref());
    let stores = stores.map_err(|error| usage(CliError::from_chain(&error)))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let checks = runtime.block_on(stores.check(|store, misfiled| {
        let (chain, sequence) = (misfiled.position.chain.to_string(), misfiled.position.sequence.0);
        print(&Line { store, chain, sequence, column: &misfiled.column }, args.json)
    }))?;
    for check in &checks {
        output::print_stderr(&format!("{}: {}", check.store, describe(check)))?;
    }
    conclude(&checks)
}

fn check_name(store: &str, config: &Config) -> Result<(), CliError> {
    if config.stores.contains_key(store) {
        return Ok(());
    }
    let known: Vec<_> = config.stores.keys().map(String::as_str).collect();
    Err(CliError::usage(format!("no store {store:?} is configured, only {}", known.join(", "))))
}

fn print(line: &Line<'_>, as_json: bool) -> Result<(), CliError> {
    let shown = if as_json {
        output::json_line(line)?
    } else {
        let Line { store, chain, sequence, column } = line;
        format!("{store}: chain {chain}, sequence {sequence}: {column}\n")
    };
    output::print(shown.as_bytes())
}

fn describe(StoreCheck { differences, outcome, .. }: &StoreCheck) -> String {
    let found = match differences {
        0 => "nothing differs".to_owned(),
        1 => "1 difference".to_owned(),
        more => format!("{more} differences"),
    };
    match outcome {
        Ok(Checked::Documents(documents)) => format!("{documents} events compared, {found}"),
        Ok(Checked::NothingBeside) => {
            "not compared: its engine derives what it finds events by from the events by itself".to_owned()
        }
        Err(error) => format!("not compared to its end, {found}: {error}"),
    }
}

fn conclude(checks: &[StoreCheck]) -> Result<(), CliError> {
    let names = |is_wanted: fn(&StoreCheck) -> bool| {
        let wanted = checks.iter().filter(|check| is_wanted(check)).map(|check| check.store.as_str());
        wanted.collect::<Vec<_>>().join(", ")
    };
    let (differ, failed) = (names(|check| check.differences > 0), names(|check| check.outcome.is_err()));
    if !differ.is_empty() {
        Err(CliError::local(format!("queries of {differ} cannot be trusted"))
            .with_advice("docs/integrity.md says what this means, docs/operations.md what to do"))
    } else if !failed.is_empty() {
        Err(CliError::server(format!("{failed} could not be compared to the end")))
    } else {
        Ok(())
    }
}
