//! `annals config check`

use super::{CliError, output, settings::SettingsArgs};

/// Checks the configuration
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Check(CheckArgs),
}

/// Checks the configuration, and reports everything that is wrong with it
#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// Print each value and its origin, with secrets redacted
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    match &args.command {
        Command::Check(args) => {
            let (_, effective) = args.settings.load_with_origins()?;
            let shown = if args.show { effective.to_string() } else { "ok\n".to_owned() };
            output::print(shown.as_bytes())
        }
    }
}
