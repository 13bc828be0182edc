//! `annals count`

use super::{Failure, block_on, connection::ConnectionArgs, output, selection::Selection};

/// Counts events
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  annals count\n  annals count order 7 --start 24h\n  \
                        annals count --kql 'event.outcome:failure' --not user.name=ann")]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let api = args.connection.connect()?;
    let Selection { object_type, ids, .. } = &args.selection;
    let parameters = args.selection.parameters()?;
    let count = block_on(async { Ok(api.count(object_type.as_deref(), ids, &parameters).await?) })?;
    output::print(format!("{count}\n").as_bytes())
}
