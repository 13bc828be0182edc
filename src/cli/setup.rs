//! `annals setup`

use super::{CliError, settings::SettingsArgs};
use crate::{app, telemetry};

/// Prepares the data folder and the stores, then exits; `serve` does the same by itself
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let config = args.settings.load()?;
    telemetry::init(&config.log).map_err(CliError::local)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(app::setup(config)).map_err(|error| CliError::from_chain(&error))
}
