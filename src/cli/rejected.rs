//! `annals rejected`

use super::{
    CliError, block_on,
    connection::ConnectionArgs,
    output::{self, OutputFormat},
    table::{self, Table},
    zone::ZoneArgs,
};
use crate::wire::{RejectedAnswer, RejectedCaller, RejectedEvent, Violation};

/// Shows events that were rejected on arrival, with their errors, newest first
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The number of newer events to skip
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    from: u64,
    /// The maximum number of events to show
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    limit: u64,
    /// The output format; by default a table on a terminal, NDJSON elsewhere. Tables and CSV have a line for each error
    #[arg(long, short, value_enum)]
    format: Option<OutputFormat>,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let api = args.connection.connect()?;
    let rejected = block_on(async { Ok(api.rejected_events(args.from, args.limit).await?) })?;
    let shown = match OutputFormat::or_default(args.format) {
        OutputFormat::Table => {
            render(&rejected.items, |time| args.zone.show(time)).render(table::terminal_width()).into_bytes()
        }
        OutputFormat::Ndjson => {
            let lines: Result<String, _> = rejected.items.iter().map(output::json_line).collect();
            lines?.into_bytes()
        }
        OutputFormat::Json => output::json_line(&rejected)?.into_bytes(),
        OutputFormat::Csv => render(&rejected.items, str::to_owned).into_csv(),
    };
    output::print(&shown)?;
    for note in notes(&rejected, args.from) {
        output::print_stderr(&note)?;
    }
    Ok(())
}

/// Returns what the events alone do not say.
fn notes(RejectedAnswer { recording, total, unrecorded, items }: &RejectedAnswer, from: u64) -> Vec<String> {
    let mut notes = Vec::new();
    let last = from.saturating_add(u64::try_from(items.len()).unwrap_or(u64::MAX));
    if *total == 0 {
        notes.push("no rejected events".to_owned());
    } else if items.is_empty() {
        notes.push(format!("none shown of {total} rejected events"));
    } else if last < *total {
        let first = from + 1;
        notes.push(format!("rejected events {first} to {last} of {total}; --from {last} shows the next"));
    }
    if !recording {
        notes.push("rejected events are not recorded: events.rejected_bytes is 0".to_owned());
    }
    if *unrecorded > 0 {
        notes.push(format!("{unrecorded} more since the start of the server could not be recorded; its log says why"));
    }
    notes
}

fn render(items: &[RejectedEvent], time: impl Fn(&str) -> String) -> Table {
    let mut table = Table::new(["time", "caller", "provider", "action", "path", "expected", "found"]);
    for RejectedEvent { time: at, caller: RejectedCaller { name, realm }, provider, action, errors, .. } in items {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        for Violation { path, expected, found } in errors {
            let event = [time(at), format!("{realm}:{name}"), text(provider), text(action)];
            table.row(event.into_iter().chain([path, expected, found].map(Clone::clone)));
        }
    }
    table
}
