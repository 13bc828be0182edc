//! `annals get`

use super::{Failure, block_on, connection::ConnectionArgs, output};

/// Prints one event by its `event.id`, byte for byte as it is stored; exits with 3 if there is none to see
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  annals get 0199d6b2-6f3c-7a51-9c40-5e3f9d0c8a11 | jq .message")]
pub(super) struct Args {
    /// Its `event.id`
    id: String,
    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let api = args.connection.connect()?;
    let event = block_on(async { Ok(api.event(&args.id).await?) })?;
    output::print(format!("{}\n", event.get()).as_bytes())
}
