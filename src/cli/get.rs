//! `annals get`

use std::io::{self, IsTerminal as _};

use super::{
    Failure, block_on,
    connection::ConnectionArgs,
    output::{self, Format},
    pretty::pretty,
    shape::Shape,
    zone::Zone,
};

/// Prints one event by its `event.id`; exits with 3 if there is none to see
///
/// As JSON over many lines on a terminal; elsewhere as one line, byte for byte as it is stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals get 0199d6b2-6f3c-7a51-9c40-5e3f9d0c8a11\n  \
                        annals get 0199d6b2-6f3c-7a51-9c40-5e3f9d0c8a11 --fields event,message | jq .message")]
pub(super) struct Args {
    /// Its `event.id`
    id: String,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    zone: Zone,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let usual = if io::stdout().is_terminal() { Format::Json } else { Format::Ndjson };
    let format = args.shape.format(usual)?;
    let parameters: Vec<_> = args.shape.parameter(format).into_iter().collect();
    let api = args.connection.connect()?;
    let event = block_on(async { Ok(api.event(&args.id, &parameters).await?) })?;
    let shown = match format {
        Format::Json => (pretty(event.get()) + "\n").into_bytes(),
        Format::Table | Format::Ndjson | Format::Csv => args.shape.printer(format, &args.zone).lines([event.get()])?,
    };
    output::print(&shown)
}
