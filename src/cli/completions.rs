//! `annals completions`

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, CliError, output};

/// Prints the completions for a shell
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "annals", &mut script);
    output::print(&script)
}
