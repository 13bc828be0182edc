//! `annals count`

use super::{
    CliError, block_on,
    connection::ConnectionArgs,
    output::{self, OutputFormat},
    selection::SelectionArgs,
    zone::ZoneArgs,
};

/// Counts events
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals count\n  annals count order 7 --start 24h\n  \
                        annals count --kql 'event.outcome:failure' --not user.name=ann")]
pub(super) struct Args {
    #[command(flatten)]
    selection: SelectionArgs,
    /// The output format; `table` is the number alone
    #[arg(long, short, value_enum, default_value = "table")]
    format: OutputFormat,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let api = args.connection.connect()?;
    let SelectionArgs { object_type, ids, .. } = &args.selection;
    let parameters = args.selection.parameters(&args.zone)?;
    let count = block_on(async { Ok(api.count(object_type.as_deref(), ids, &parameters).await?) })?;
    let shown = match args.format {
        OutputFormat::Table => format!("{count}\n"),
        OutputFormat::Ndjson | OutputFormat::Json => format!("{{\"count\":{count}}}\n"),
        OutputFormat::Csv => format!("count\r\n{count}\r\n"),
    };
    output::print(shown.as_bytes())
}
