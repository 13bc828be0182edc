//! `annals dead-letters list` and `annals dead-letters replay`

use serde::Serialize;

use super::{
    CliError, block_on,
    connection::ConnectionArgs,
    output::{self, OutputFormat},
    table::{self, Table},
    zone::ZoneArgs,
};
use crate::wire::{DeadLetterAnswer, DeadLettersAnswer, ReplayOutcome, StoreDeadLetters, StoreReplay};

/// Shows and replays events that a store refused permanently
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Replay(ReplayArgs),
}

/// Lists refused events with the store's reasons, oldest first
#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The store; by default all of them
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// The number of events to skip in each store
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    from: u64,
    /// The maximum number of events to show of each store
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u64,
    /// The output format; by default a table on a terminal, NDJSON elsewhere
    #[arg(long, short, value_enum)]
    format: Option<OutputFormat>,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Sends refused events to the store again, after the cause has been fixed
#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// The store; by default all of them
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Replay(args) => replay(args),
    }
}

fn list(args: &ListArgs) -> Result<(), CliError> {
    let api = args.connection.connect()?;
    let letters = block_on(async { Ok(api.dead_letters(args.store.as_deref(), args.from, args.limit).await?) })?;
    let shown = match OutputFormat::or_default(args.format) {
        OutputFormat::Table => {
            render(&letters, |time| args.zone.show(time)).render(table::terminal_width()).into_bytes()
        }
        OutputFormat::Ndjson => lines(&letters)?.into_bytes(),
        OutputFormat::Json => output::json_line(&letters)?.into_bytes(),
        OutputFormat::Csv => render(&letters, str::to_owned).into_csv(),
    };
    output::print(&shown)?;
    if letters.stores.iter().all(|store| store.total == 0) {
        output::print_stderr("no dead letters")?;
    }
    for StoreDeadLetters { store, total, items } in &letters.stores {
        let last = args.from.saturating_add(u64::try_from(items.len()).unwrap_or(u64::MAX));
        if args.from < last && last < *total {
            let first = args.from + 1;
            output::print_stderr(&format!(
                "{store}: dead letters {first} to {last} of {total}; --from {last} shows the next"
            ))?;
        } else if items.is_empty() && *total > 0 {
            output::print_stderr(&format!("{store}: none shown of {total}"))?;
        }
    }
    Ok(())
}

fn render(letters: &DeadLettersAnswer, time: impl Fn(&str) -> String) -> Table {
    let mut table = Table::new(["store", "position", "refused at", "target", "reason"]);
    for StoreDeadLetters { store, items, .. } in &letters.stores {
        for DeadLetterAnswer { position, target, reason, refused_at, .. } in items {
            table.row([store.clone(), position.clone(), time(refused_at), target.clone(), reason.clone()]);
        }
    }
    table
}

/// Returns one line per dead letter, with the name of its store.
fn lines(letters: &DeadLettersAnswer) -> Result<String, CliError> {
    #[derive(Serialize)]
    struct Line<'a> {
        store: &'a str,
        #[serde(flatten)]
        letter: &'a DeadLetterAnswer,
    }
    let mut lines = String::new();
    for StoreDeadLetters { store, items, .. } in &letters.stores {
        for letter in items {
            lines += &output::json_line(&Line { store, letter })?;
        }
    }
    Ok(lines)
}

fn replay(args: &ReplayArgs) -> Result<(), CliError> {
    let api = args.connection.connect()?;
    let replay = block_on(async { Ok(api.replay_dead_letters(args.store.as_deref()).await?) })?;
    let shown = if args.json {
        output::json_line(&replay)?
    } else {
        replay.stores.iter().map(|store| format!("{}: {}\n", store.store, outcome(&store.outcome))).collect()
    };
    output::print(shown.as_bytes())?;
    for StoreReplay { store, outcome } in &replay.stores {
        if let ReplayOutcome::Done { reason: Some(reason), .. } = outcome {
            output::print_stderr(&format!("{store}: the first was refused again because of {reason}"))?;
        }
    }
    let is_left = |store: &&StoreReplay| !matches!(store.outcome, ReplayOutcome::Done { refused: 0, .. });
    let left: Vec<_> = replay.stores.iter().filter(is_left).map(|store| store.store.as_str()).collect();
    if left.is_empty() {
        return Ok(());
    }
    Err(CliError::server(format!("dead letters are left in {}", left.join(", ")))
        .with_advice("`annals dead-letters list` shows the reasons"))
}

fn outcome(outcome: &ReplayOutcome) -> String {
    match outcome {
        ReplayOutcome::Done { stored, refused, .. } => format!("{stored} stored, {refused} refused again"),
        ReplayOutcome::Failed { error } => format!("stopped: {error}"),
    }
}
