//! `annals get`

use std::io::{self, IsTerminal as _};

use super::{
    CliError, block_on,
    connection::ConnectionArgs,
    display::DisplayArgs,
    output::{self, OutputFormat},
    pretty::pretty,
    zone::ZoneArgs,
};

/// Prints one event by its `event.id`; exits with 3 if no such event is visible
///
/// Prints indented JSON on a terminal; elsewhere one line, byte for byte as stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals get 0199d6b2-6f3c-7a51-9c40-5e3f9d0c8a11\n  \
                        annals get 0199d6b2-6f3c-7a51-9c40-5e3f9d0c8a11 --fields event,message | jq .message")]
pub(super) struct Args {
    /// The `event.id`
    id: String,
    #[command(flatten)]
    display: DisplayArgs,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let usual = if io::stdout().is_terminal() { OutputFormat::Json } else { OutputFormat::Ndjson };
    let format = args.display.format(usual)?;
    let parameters: Vec<_> = args.display.parameter(format).into_iter().collect();
    let api = args.connection.connect()?;
    let event = block_on(async { Ok(api.event(&args.id, &parameters).await?) })?;
    let shown = match format {
        OutputFormat::Json => (pretty(event.get()) + "\n").into_bytes(),
        OutputFormat::Table | OutputFormat::Ndjson | OutputFormat::Csv => {
            args.display.printer(format, &args.zone).lines([event.get()])?
        }
    };
    output::print(&shown)
}
