//! `annals dead-letters list` and `annals dead-letters replay`

use super::{
    Failure, block_on,
    connection::ConnectionArgs,
    output::{self, Format},
    table::{self, Table},
};
use crate::client::api::DeadLetters;

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
    /// The store, where there are several
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
    /// The store, where there are several
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
    let letters = block_on(async { Ok(api.dead_letters(args.store.as_deref(), args.from, args.limit).await?) })?;
    let shown = match Format::or_usual(args.output) {
        Format::Table if letters.items.is_empty() => String::new(),
        Format::Table => render(&letters).render(table::terminal_width()),
        Format::Ndjson => {
            let lines: Result<Vec<_>, _> = letters.items.iter().map(serde_json::to_string).collect();
            lines.map_err(Failure::local)?.into_iter().map(|line| line + "\n").collect()
        }
        Format::Json => serde_json::to_string(&letters).map_err(Failure::local)? + "\n",
    };
    output::print(shown.as_bytes())?;
    let shown = u64::try_from(letters.items.len()).unwrap_or(u64::MAX);
    if letters.total == 0 {
        output::complain("no dead letters")?;
    } else if args.from + shown < letters.total {
        let (first, last) = (args.from + 1, args.from + shown);
        output::complain(&format!("dead letters {first} to {last} of {}; --from {last} has the next", letters.total))?;
    }
    Ok(())
}

fn render(letters: &DeadLetters) -> Table {
    let mut table = Table::new(&["position", "target", "refused at", "reason"]);
    for letter in &letters.items {
        let position = letter.position.as_str().map_or_else(|| letter.position.to_string(), str::to_owned);
        table.row([position, letter.target.clone(), letter.refused_at.clone(), letter.reason.clone()]);
    }
    table
}

fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let api = args.connection.connect()?;
    let replayed = block_on(async { Ok(api.replay_dead_letters(args.store.as_deref()).await?) })?;
    let shown = if args.json {
        serde_json::to_string(&replayed).map_err(Failure::local)? + "\n"
    } else {
        format!("{} stored, {} refused again\n", replayed.stored, replayed.refused)
    };
    output::print(shown.as_bytes())?;
    if replayed.refused == 0 {
        return Ok(());
    }
    Err(Failure::server(format!("the store refused {} events again", replayed.refused))
        .advise("`annals dead-letters list` has the reasons"))
}
