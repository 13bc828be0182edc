//! `annals count`

use super::{
    Failure, block_on,
    connection::ConnectionArgs,
    output::{self, Format},
    selection::Selection,
    zone::Zone,
};

/// Counts events
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals count\n  annals count order 7 --start 24h\n  \
                        annals count --kql 'event.outcome:failure' --not user.name=ann")]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// How to print; `table` is the number alone
    #[arg(long, short, value_enum, default_value = "table")]
    output: Format,
    #[command(flatten)]
    zone: Zone,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let api = args.connection.connect()?;
    let Selection { object_type, ids, .. } = &args.selection;
    let parameters = args.selection.parameters(&args.zone)?;
    let count = block_on(async { Ok(api.count(object_type.as_deref(), ids, &parameters).await?) })?;
    let shown = match args.output {
        Format::Table => format!("{count}\n"),
        Format::Ndjson | Format::Json => format!("{{\"count\":{count}}}\n"),
        Format::Csv => format!("count\r\n{count}\r\n"),
    };
    output::print(shown.as_bytes())
}
