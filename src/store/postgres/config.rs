//! The configuration of a PostgreSQL database: where it is, how to log in, and the limits on its use.

use std::{
    fs, io,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tokio_postgres::config::{Host, SslMode};

use super::tls::{Tls, TlsError};
use crate::units::{Secret, deserialize_duration};

/// How to reach a database, and the name of our schema in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database`. The keys below give the same in parts, and take precedence.
    #[serde(default)]
    pub url: Option<Secret>,
    #[serde(default)]
    pub host: Option<String>,
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub password: Option<Secret>,
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    #[serde(default)]
    pub database: Option<String>,
    /// The schema of our tables; it is created if it is absent.
    pub schema: String,
    pub tls: TlsMode,
    /// PEM file of the authorities that may have signed the server's certificate.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The maximum number of connections, for appends and queries together.
    pub connections: NonZeroU32,
    #[serde(deserialize_with = "deserialize_duration")]
    pub connect_timeout: Duration,
    #[serde(deserialize_with = "deserialize_duration")]
    pub query_timeout: Duration,
    #[serde(deserialize_with = "deserialize_duration")]
    pub append_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Encrypted, with the server's certificate verified.
    Required,
    Off,
}

/// A problem in a configuration, by its key. No variant shows a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("url: expected an address such as \"postgres://annals@localhost:5432/annals\"")]
    BadUrl,
    #[error("url or {0}: not set")]
    Missing(&'static str),
    #[error("password or password_file: expected one of them, found both")]
    TwoPasswords,
    #[error("password_file: cannot read {}", .0.display())]
    ReadPassword(PathBuf, #[source] io::Error),
    #[error("password_file: {} is empty", .0.display())]
    EmptyPassword(PathBuf),
    #[error("schema: expected lower-case letters, digits and underscores, at most 48 and a letter first, found {0:?}")]
    BadSchema(String),
    #[error("ca_file: set, although tls is \"off\"")]
    AuthoritiesWithoutTls,
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl PostgresConfig {
    /// Returns all problems; reads the files that the configuration names.
    pub fn problems(&self) -> Vec<ConfigError> {
        [self.connection().err(), self.tls().err(), self.check_schema().err()].into_iter().flatten().collect()
    }

    /// Returns the server and the credentials to connect with.
    pub(super) fn connection(&self) -> Result<tokio_postgres::Config, ConfigError> {
        let mut connection = match &self.url {
            Some(url) => url.expose().parse().map_err(|_| ConfigError::BadUrl)?,
            None => tokio_postgres::Config::new(),
        };
        if self.host.is_some() || self.port.is_some() {
            self.replace_server(&mut connection);
        }
        if let Some(user) = &self.user {
            connection.user(user);
        }
        if let Some(database) = &self.database {
            connection.dbname(database);
        }
        if let Some(password) = self.password()? {
            connection.password(password.expose());
        }
        let missing = [
            (connection.get_hosts().is_empty(), "host"),
            (connection.get_user().is_none(), "user"),
            (connection.get_dbname().is_none(), "database"),
        ];
        if let Some((_, name)) = missing.into_iter().find(|(is_missing, _)| *is_missing) {
            return Err(ConfigError::Missing(name));
        }
        connection.application_name("annals").connect_timeout(self.connect_timeout);
        connection.tcp_user_timeout(self.query_timeout.max(self.append_timeout));
        connection.ssl_mode(match self.tls {
            TlsMode::Required => SslMode::Require,
            TlsMode::Off => SslMode::Disable,
        });
        Ok(connection)
    }

    /// `Config` appends hosts and ports; those given in keys replace the URL's.
    fn replace_server(&self, connection: &mut tokio_postgres::Config) {
        let from_url = |host: &Host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.to_string_lossy().into_owned(),
        };
        let hosts = match &self.host {
            Some(host) => vec![host.clone()],
            None => connection.get_hosts().iter().map(from_url).collect(),
        };
        let port = self.port.or_else(|| connection.get_ports().first().copied());
        let mut replaced = tokio_postgres::Config::new();
        if let Some(user) = connection.get_user() {
            replaced.user(user);
        }
        if let Some(password) = connection.get_password() {
            replaced.password(password);
        }
        if let Some(database) = connection.get_dbname() {
            replaced.dbname(database);
        }
        for host in hosts {
            replaced.host(host);
        }
        if let Some(port) = port {
            replaced.port(port);
        }
        *connection = replaced;
    }

    fn password(&self) -> Result<Option<Secret>, ConfigError> {
        match (&self.password, &self.password_file) {
            (Some(_), Some(_)) => Err(ConfigError::TwoPasswords),
            (Some(password), None) => Ok(Some(password.clone())),
            (None, Some(path)) => read_password(path).map(Some),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn tls(&self) -> Result<Tls, ConfigError> {
        match (self.tls, &self.ca_file) {
            (TlsMode::Off, Some(_)) => Err(ConfigError::AuthoritiesWithoutTls),
            (TlsMode::Off | TlsMode::Required, ca_file) => Ok(Tls::trusting(ca_file.as_deref())?),
        }
    }

    fn check_schema(&self) -> Result<(), ConfigError> {
        let name = &self.schema;
        let fits = (1..=48).contains(&name.len())
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            && !name.starts_with("pg_");
        if fits { Ok(()) } else { Err(ConfigError::BadSchema(name.clone())) }
    }
}

fn read_password(path: &Path) -> Result<Secret, ConfigError> {
    let text = fs::read_to_string(path).map_err(|error| ConfigError::ReadPassword(path.to_owned(), error))?;
    let text = zeroize::Zeroizing::new(text);
    let password = text.trim_end_matches(['\n', '\r']);
    if password.is_empty() { Err(ConfigError::EmptyPassword(path.to_owned())) } else { Ok(Secret::new(password)) }
}
