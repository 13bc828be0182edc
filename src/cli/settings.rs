//! The configuration flags.

use std::{env, path::PathBuf};

use super::CliError;
use crate::config::{Config, Effective, Flag, Invalid, Sources};

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Configuration")]
pub(super) struct SettingsArgs {
    /// The configuration file; by default that in ANNALS_CONFIG in the environment, or else `annals.toml` in the working
    /// directory, if it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sets one key, such as `--set journal.max_bytes=1gb`; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
    /// Sets `server.listen`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Sets `data_dir`
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<String>,
}

impl SettingsArgs {
    pub(super) fn load(&self) -> Result<Config, CliError> {
        Config::load(&self.sources()).map_err(failure)
    }

    pub(super) fn load_with_origins(&self) -> Result<(Config, Effective), CliError> {
        Config::load_with_origins(&self.sources()).map_err(failure)
    }

    pub(super) fn sources(&self) -> Sources {
        let flag = |name: &str, key: &str, value: &str| Flag {
            name: name.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let mut flags: Vec<_> = self.set.iter().map(|(key, value)| flag("--set", key, value)).collect();
        flags.extend(self.listen.iter().map(|value| flag("--listen", "server.listen", value)));
        flags.extend(self.data_dir.iter().map(|value| flag("--data-dir", "data_dir", value)));
        // Not by clap, which would put the flag into every usage line.
        let named = || env::var_os("ANNALS_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
        Sources {
            file: self.config.clone().or_else(named),
            usual_file: Some(PathBuf::from("annals.toml")),
            environment: env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            flags,
        }
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

fn failure(invalid: Invalid) -> CliError {
    let text = match invalid.0.as_slice() {
        [only] => format!("the configuration is not valid: {only}"),
        _ => format!("the configuration is not valid\n{invalid}"),
    };
    CliError::local(text)
        .with_advice("docs/configuration.md has every key; `annals config check` tries a configuration")
}
