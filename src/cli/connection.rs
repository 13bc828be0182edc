//! The flags that name the server and the credentials.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{CliError, settings::SettingsArgs};
use crate::{
    client::{Api, Endpoint},
    config::Config,
    event::Space,
    units::{Secret, parse_duration},
};

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArgs {
    /// The server's address
    #[arg(long, env = "ANNALS_URL", default_value = "http://127.0.0.1:6780")]
    url: String,
    /// A file with the API key; by default ANNALS_API_KEY in the environment is used, or for a server on this machine
    /// `admin.key` in the data folder
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The space; by default the default space
    #[arg(long, value_name = "NAME")]
    pub(super) space: Option<String>,
    /// The timeout of a request, and of each part of an export; by default 5s, or 1m for exports and for commands that
    /// make the server wait for a store
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// A PEM file with the authorities that may have signed the server's certificate
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl ConnectionArgs {
    pub(super) fn connect(&self) -> Result<Api, CliError> {
        self.connect_for(TIMEOUT)
    }

    /// Connects with this default timeout.
    pub(super) fn connect_for(&self, usual_timeout: Duration) -> Result<Api, CliError> {
        let read = |path: &PathBuf| fs::read(path).map_err(|error| unreadable(path, &error));
        let endpoint = Endpoint {
            url: self.url.clone(),
            api_key: self.api_key()?,
            space: self.parse_space()?,
            timeout: self.timeout.unwrap_or(usual_timeout),
            ca_pem: self.ca_file.as_ref().map(read).transpose()?,
        };
        Ok(Api::new(&endpoint)?)
    }

    /// Returns `None` for the default space.
    pub(super) fn parse_space(&self) -> Result<Option<Space>, CliError> {
        let parsed = self.space.as_deref().map(Space::parse).transpose().map_err(CliError::local)?;
        Ok(parsed.flatten())
    }

    fn api_key(&self) -> Result<Option<Secret>, CliError> {
        if let Some(path) = &self.key_file {
            let key = read_key(path).map_err(|error| unreadable(path, &error))?;
            return key.ok_or_else(|| CliError::local(format!("{}: it contains no key", path.display()))).map(Some);
        }
        // Not a clap argument, because clap would print its value in help texts and errors.
        if let Some(key) = std::env::var("ANNALS_API_KEY").ok().filter(|key| !key.trim().is_empty()) {
            return Ok(Some(Secret::new(key.trim())));
        }
        if !is_on_this_machine(&self.url) {
            return Ok(None);
        }
        // A convenience: users who cannot read the data folder have to name a key.
        let Some(data_dir) = Config::data_dir_of(&SettingsArgs::of_environment().sources()) else { return Ok(None) };
        Ok(read_key(&data_dir.join("admin.key")).ok().flatten())
    }
}

/// Whether the server is on this machine. By default the local admin key is never sent to another one.
fn is_on_this_machine(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns the first line of the file that is neither empty nor a comment.
fn read_key(path: &Path) -> io::Result<Option<Secret>> {
    let text = zeroize::Zeroizing::new(fs::read_to_string(path)?);
    let key = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(key.map(Secret::new))
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::local(format!("{}: {error}", path.display()))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::is_on_this_machine;

    #[test]
    fn the_local_key_goes_to_this_machine_only() {
        for url in ["http://127.0.0.1:6780", "http://localhost", "https://[::1]:1/x", "http://127.9.9.9"] {
            assert!(is_on_this_machine(url), "{url}");
        }
        for url in ["http://10.0.0.1", "http://localhost.example.org", "http://127.0.0.1@example.org", "nonsense"] {
            assert!(!is_on_this_machine(url), "{url}");
        }
    }
}
