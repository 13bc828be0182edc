//! The flags that name the server and the credentials.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{CliError, settings::SettingsArgs};
use crate::{
    client::{Api, Endpoint},
    config::Config,
    event::Space,
    server_file::running_server,
    units::{Secret, parse_duration},
};

/// The address of a server with the default configuration, for those who name a key but cannot read the data folder.
const USUAL_URL: &str = "http://127.0.0.1:6780";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionArgs {
    /// The server's address; by default ANNALS_URL in the environment, or else that of the server that runs on the data
    /// folder
    #[arg(long)]
    url: Option<String>,
    /// A file with the API key; by default the key in ANNALS_API_KEY in the environment, or else in `admin.key` in the
    /// data folder, which is only sent to the server that runs on this folder
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The data folder of a server on this machine; by default that of the configuration
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The space; by default the default space
    #[arg(long, value_name = "NAME")]
    pub(super) space: Option<String>,
    /// How long to wait for an answer, and for each part of an export. It should be more than the server's own
    /// `server.request_timeout`, 30s by default, so that the server can say what is wrong
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    timeout: Duration,
    /// A PEM file with the authorities that may have signed the server's certificate; by default that in ANNALS_CA_FILE
    /// in the environment, or else the certificate itself, if the server runs on the data folder
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A server, and the key for it.
struct Target {
    url: String,
    api_key: Option<Secret>,
    cert_file: Option<PathBuf>,
    /// The data folder that the key is from, if it was not named.
    key_of: Option<PathBuf>,
}

impl Target {
    fn named(url: String, api_key: Option<Secret>) -> Self {
        Self { url, api_key, cert_file: None, key_of: None }
    }
}

impl ConnectionArgs {
    pub(super) fn connect(&self) -> Result<Api, CliError> {
        let Target { url, api_key, cert_file, key_of } = self.target()?;
        let ca_file = self.ca_file.clone().or_else(|| environment("ANNALS_CA_FILE").map(PathBuf::from));
        let read = |path: &PathBuf| fs::read(path).map_err(|error| unreadable(path, &error));
        let endpoint = Endpoint {
            url: url.clone(),
            api_key,
            space: self.parse_space()?,
            timeout: self.timeout,
            ca_pem: ca_file.or(cert_file).as_ref().map(read).transpose()?,
        };
        let api = Api::new(&endpoint)?;
        Ok(match key_of {
            None => api,
            Some(data_dir) => api.guarded(move || match running_server(&data_dir) {
                Ok(Some(server)) if server.url() == url => Ok(()),
                Ok(_) => Err(format!("the server that ran on {} has stopped", data_dir.display())),
                Err(error) => Err(format!("{}: {error}", data_dir.display())),
            }),
        })
    }

    /// Returns `None` for the default space.
    pub(super) fn parse_space(&self) -> Result<Option<Space>, CliError> {
        let parsed = self.space.as_deref().map(Space::parse).transpose().map_err(CliError::usage)?;
        Ok(parsed.flatten())
    }

    /// Finds the server. The key of a data folder only goes to the server that runs on this folder; a key that was named
    /// goes to any server.
    fn target(&self) -> Result<Target, CliError> {
        let named_key = self.named_key()?;
        let named_url = self.url.clone().or_else(|| environment("ANNALS_URL"));
        let data_dir = self.data_dir()?;
        let running = running_server(&data_dir);
        if let Ok(Some(server)) = &running
            && named_url.as_ref().is_none_or(|url| is_same_address(url, &server.url()))
        {
            let target = Target { cert_file: server.cert_file.clone(), ..Target::named(server.url(), named_key) };
            if target.api_key.is_some() || !server.is_private() {
                return Ok(target);
            }
            let own_key = read_key(&data_dir.join("admin.key")).ok().flatten();
            return Ok(Target { key_of: own_key.is_some().then_some(data_dir), api_key: own_key, ..target });
        }
        let reason = match (&named_url, &named_key, running) {
            (None, None, Ok(_)) => format!("no server runs on the data folder {}", data_dir.display()),
            (None, None, Err(error)) => format!("the server of {} cannot be found: {error}", data_dir.display()),
            (Some(_), ..) | (_, Some(_), _) => {
                return Ok(Target::named(named_url.unwrap_or_else(|| USUAL_URL.to_owned()), named_key));
            }
        };
        Err(CliError::server(reason).with_advice(
            "start it with `annals serve`, or name another folder with --data-dir, or a server with --url and --key-file",
        ))
    }

    fn data_dir(&self) -> Result<PathBuf, CliError> {
        let configured = || Config::data_dir_of(&SettingsArgs::default().sources());
        let data_dir = self.data_dir.clone().or_else(configured);
        data_dir.ok_or_else(|| CliError::local("the data_dir of the configuration is not a path"))
    }

    fn named_key(&self) -> Result<Option<Secret>, CliError> {
        if let Some(path) = &self.key_file {
            let key = read_key(path).map_err(|error| unreadable(path, &error))?;
            return key.ok_or_else(|| CliError::local(format!("{}: it contains no key", path.display()))).map(Some);
        }
        Ok(environment("ANNALS_API_KEY").map(|key| Secret::new(key.trim())))
    }
}

/// Returns a variable unless it is blank. Not by clap, which would put the flag into every usage line, and print secrets.
fn environment(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Whether both are the same URL, as in `http://127.0.0.1:80` and `http://127.0.0.1/`. Two names of one address are not:
/// other programs may answer at one of them.
fn is_same_address(one: &str, other: &str) -> bool {
    match (reqwest::Url::parse(one), reqwest::Url::parse(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
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
    #![expect(clippy::unwrap_used, reason = "tests")]

    use clap::Parser;

    use super::*;
    use crate::config::Sources;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        connection: ConnectionArgs,
    }

    #[test]
    fn a_command_waits_longer_than_the_server_so_that_it_can_say_what_is_wrong() {
        let server = Config::load(&Sources::default()).unwrap().server;
        assert!(Typed::parse_from(["x"]).connection.timeout >= server.request_timeout + Duration::from_secs(5));
    }

    #[test]
    fn an_address_is_the_same_only_if_nobody_else_can_answer_there() {
        let server = "http://127.0.0.1:6780";
        assert!(["http://127.0.0.1:6780", "http://127.0.0.1:6780/"].iter().all(|url| is_same_address(url, server)));
        for url in [
            "http://localhost:6780",
            "http://127.0.0.2:6780",
            "http://[::1]:6780",
            "http://127.0.0.1:6781",
            "https://127.0.0.1:6780",
            "http://127.0.0.1:6780@example.org",
            "http://127.0.0.1:6780.example.org",
            "nonsense",
        ] {
            assert!(!is_same_address(url, server), "{url}");
        }
    }
}
