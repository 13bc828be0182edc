//! `annals dead-letters list` and `annals dead-letters replay`

use serde::Serialize;

use super::{
    Failure, block_on,
    connection::ConnectionArgs,
    output::{self, Format},
    table::{self, Table},
};
use crate::client::api::{DeadLetter, DeadLetters, Replayed};

/// Shows and replays events that a store refused for good
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
    /// The store; without it each of them
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// How many to skip
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    from: u64,
    /// How many to show at most
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u64,
    /// How to print; without it a table on a terminal, NDJSON elsewhere
    #[arg(long, short, value_enum)]
    output: Option<Format>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// Offers refused events to the store again, after what made it refuse them was mended
#[derive(Debug, clap::Args)]
struct ReplayArgs {
    /// The store; without it each of them
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::List(args) => list(args),
        Command::Replay(args) => replay(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let api = args.connection.connect()?;
    let stores = block_on(async { Ok(api.dead_letters(args.store.as_deref(), args.from, args.limit).await?) })?;
    let shown = match Format::or_usual(args.output) {
        Format::Table if stores.iter().all(|letters| letters.items.is_empty()) => String::new(),
        Format::Table => render(&stores).render(table::terminal_width()),
        Format::Ndjson => lines(&stores)?,
        Format::Json => serde_json::to_string(&stores).map_err(Failure::local)? + "\n",
    };
    output::print(shown.as_bytes())?;
    if stores.iter().all(|letters| letters.total == 0) {
        return Ok(output::complain("no dead letters")?);
    }
    for DeadLetters { store, total, items } in &stores {
        let last = args.from.saturating_add(u64::try_from(items.len()).unwrap_or(u64::MAX));
        if last < *total {
            let first = args.from + 1;
            output::complain(&format!(
                "{store}: dead letters {first} to {last} of {total}; --from {last} has the next"
            ))?;
        }
    }
    Ok(())
}

/// Each dead letter on a line, with its store.
fn lines(stores: &[DeadLetters]) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Line<'a> {
        store: &'a str,
        #[serde(flatten)]
        letter: &'a DeadLetter,
    }
    let all = stores.iter().flat_map(|DeadLetters { store, items, .. }| {
        items.iter().map(move |letter| serde_json::to_string(&Line { store, letter }))
    });
    all.map(|line| Ok(line.map_err(Failure::local)? + "\n")).collect()
}

fn render(stores: &[DeadLetters]) -> Table {
    let mut table = Table::new(&["store", "position", "target", "refused at", "reason"]);
    for DeadLetters { store, items, .. } in stores {
        for letter in items {
            let position = letter.position.as_str().map_or_else(|| letter.position.to_string(), str::to_owned);
            let (target, refused_at) = (letter.target.clone(), letter.refused_at.clone());
            table.row([store.clone(), position, target, refused_at, letter.reason.clone()]);
        }
    }
    table
}

fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let api = args.connection.connect()?;
    let stores = block_on(async { Ok(api.replay_dead_letters(args.store.as_deref()).await?) })?;
    let shown = if args.json {
        serde_json::to_string(&stores).map_err(Failure::local)? + "\n"
    } else {
        let line = |it: &Replayed| format!("{}: {} stored, {} refused again\n", it.store, it.stored, it.refused);
        stores.iter().map(line).collect()
    };
    output::print(shown.as_bytes())?;
    let refused: u64 = stores.iter().map(|replayed| replayed.refused).sum();
    if refused == 0 {
        return Ok(());
    }
    Err(Failure::server(format!("{refused} events were refused again"))
        .advise("`annals dead-letters list` has the reasons"))
}
