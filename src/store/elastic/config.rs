//! The configuration of an engine: where it is, how to log in, and the names of our resources in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use elasticsearch::{
    auth::Credentials,
    cert::{Certificate, CertificateValidation},
    http::Url,
};
use reqwest::header::HeaderValue;
use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

use super::names::{BadName, IndexNames};
pub use crate::units::Secret;
use crate::{
    ca_file::{self, CaFileError},
    units::{ByteSize, deserialize_duration},
};

/// How to reach Elasticsearch or OpenSearch, and the names of Annals' resources there.
///
/// The write alias of a stream is `{index_prefix}-event-log-{version}-{stream}`; its indices add `-000001` and so on,
/// its index template adds `-template`. The lifecycle policy is `{index_prefix}` without its leading dot, followed by
/// `-event-log-policy`. Events are searched in `{index_prefix}-event-log-*`. With `index_prefix = ".kibana"` these are
/// Kibana's own names: readers of Kibana's event log find the events of Annals, and Annals finds those of Kibana,
/// including ones that older versions wrote.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElasticConfig {
    /// The nodes, such as `["https://node-1:9200", "https://node-2:9200"]`. Requests go to each in turn; one that fails
    /// is left alone for a while.
    #[serde(default)]
    pub urls: Vec<NodeUrl>,
    /// The id of an Elastic Cloud deployment, instead of `urls`.
    #[serde(default)]
    pub cloud_id: Option<String>,
    /// The credentials: one of `basic`, `bearer` and `api_key`, or none if the engine requires none.
    #[serde(default)]
    pub auth: Auth,
    /// PEM file of authorities that may have signed the nodes' certificates, besides the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long a query or a set-up request may take.
    #[serde(deserialize_with = "deserialize_duration")]
    pub request_timeout: Duration,
    /// How long one bulk request may take.
    #[serde(deserialize_with = "deserialize_duration")]
    pub bulk_timeout: Duration,
    /// The size at which a bulk request is sent.
    pub bulk_bytes: ByteSize,
    /// The most bulk requests in flight.
    pub concurrency: usize,
    /// The prefix of the names of indices, aliases, templates and the policy.
    pub index_prefix: String,
    /// The version in those names; lower-cased. Each version begins a new series of indices.
    pub version: String,
}

/// The kinds of credentials; at most one may be given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// A user and a password.
    pub basic: Option<Basic>,
    /// A token, sent as it is.
    pub bearer: Option<Bearer>,
    /// An API key: either `id` and `key`, or both in `encoded`, as the engine gave it out.
    pub api_key: Option<ApiKey>,
}

/// A user and a password, or a file that holds the password.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Basic {
    pub login: String,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
}

/// A bearer token, or a file that holds it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bearer {
    pub token: Option<Secret>,
    pub token_file: Option<PathBuf>,
}

/// An API key: its id and secret, or both together in Base64; each of the two secrets may be in a file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKey {
    pub id: Option<String>,
    pub key: Option<Secret>,
    pub key_file: Option<PathBuf>,
    pub encoded: Option<Secret>,
    pub encoded_file: Option<PathBuf>,
}

/// The address of a node: `http` or `https`, without credentials, so that it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeUrl(Url);

impl NodeUrl {
    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for NodeUrl {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| ConfigError::BadUrl)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some() {
            return Err(ConfigError::BadUrl);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ConfigError::SecretInUrl);
        }
        Ok(Self(url))
    }
}

impl<'de> Deserialize<'de> for NodeUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A problem in a configuration, by its key. No variant shows a secret, nor an address that might contain one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("urls: expected addresses of nodes, such as \"https://localhost:9200\"")]
    BadUrl,
    #[error("urls: an address must not contain a user or password; set them in auth.basic")]
    SecretInUrl,
    #[error("urls or cloud_id: expected one of them, found {found}")]
    Address { found: &'static str },
    #[error("cloud_id: expected \"name:\" and the Base64 text that the cloud console shows")]
    BadCloudId,
    #[error("cloud_id: a cloud deployment requires auth, which is not set")]
    CloudWithoutAuth,
    #[error("auth: expected one kind of credentials, found {0} and {1}")]
    TwoWays(&'static str, &'static str),
    #[error("auth.basic.login: not set, but the rest of its section is")]
    NoLogin,
    #[error("auth.api_key: expected an id and a key, or both in one, found {found}")]
    ApiKey { found: &'static str },
    #[error("{key} or {key}_file: expected one of them, found {found}")]
    Secret { key: &'static str, found: &'static str },
    #[error("{key}_file: {} is empty", path.display())]
    EmptySecret { key: &'static str, path: PathBuf },
    #[error("{key}_file: cannot read {}", path.display())]
    SecretFile { key: &'static str, path: PathBuf, source: io::Error },
    #[error("auth.api_key.encoded: expected Base64 text")]
    BadEncodedKey,
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("the client for {url} cannot be created")]
    Client { url: String, source: elasticsearch::http::transport::BuildError },
    #[error("auth: expected a secret without line breaks or other control characters")]
    BadSecret,
    #[error("the client for {url} cannot be created")]
    SearchClient { url: String, source: reqwest::Error },
}

impl ElasticConfig {
    /// Returns all problems; reads the files that the configuration names.
    pub fn problems(&self) -> Vec<ConfigError> {
        let checks = [self.names().err(), self.nodes().err(), self.credentials().err(), self.certificates().err()];
        checks.into_iter().flatten().collect()
    }

    pub(super) fn names(&self) -> Result<IndexNames, ConfigError> {
        Ok(IndexNames::new(&self.index_prefix, &self.version)?)
    }

    /// Returns the nodes, at least one.
    pub(super) fn nodes(&self) -> Result<Vec<NodeUrl>, ConfigError> {
        match (&self.cloud_id, self.urls.is_empty()) {
            (None, false) => Ok(self.urls.clone()),
            (Some(id), true) => {
                let url = cloud_url(id).ok_or(ConfigError::BadCloudId)?;
                if self.auth.is_empty() { Err(ConfigError::CloudWithoutAuth) } else { Ok(vec![url]) }
            }
            (None, true) => Err(ConfigError::Address { found: "neither" }),
            (Some(_), false) => Err(ConfigError::Address { found: "both" }),
        }
    }

    pub(super) fn certificates(&self) -> Result<Option<CertificateValidation>, ConfigError> {
        let parse = |pem: &[u8]| Certificate::from_pem(pem).ok().map(CertificateValidation::Full);
        Ok(self.ca_file.as_ref().map(|path| ca_file::read(path, parse)).transpose()?)
    }

    /// Returns the same certificates, for searches.
    pub(super) fn authorities(&self) -> Result<Vec<reqwest::Certificate>, ConfigError> {
        Ok(self.ca_file.as_deref().map(ca_file::read_for_reqwest).transpose()?.unwrap_or_default())
    }

    /// Returns the header that the client makes from the credentials, for searches.
    pub(super) fn authorization(&self) -> Result<Option<HeaderValue>, ConfigError> {
        let text = match self.credentials()? {
            None | Some(Credentials::Certificate(_)) => return Ok(None),
            Some(Credentials::Basic(login, password)) => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{login}:{password}")))
            }
            Some(Credentials::Bearer(token)) => format!("Bearer {token}"),
            Some(Credentials::ApiKey(id, key)) => format!("ApiKey {}", BASE64_STANDARD.encode(format!("{id}:{key}"))),
            Some(Credentials::EncodedApiKey(encoded)) => format!("ApiKey {encoded}"),
            Some(Credentials::AuthorizationHeader(value)) => value,
        };
        let mut value = HeaderValue::try_from(Zeroizing::new(text).as_str()).map_err(|_| ConfigError::BadSecret)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    pub(super) fn credentials(&self) -> Result<Option<Credentials>, ConfigError> {
        match (&self.auth.basic, &self.auth.bearer, &self.auth.api_key) {
            (None, None, None) => Ok(None),
            (Some(basic), None, None) => basic.credentials().map(Some),
            (None, Some(bearer), None) => bearer.credentials().map(Some),
            (None, None, Some(api_key)) => api_key.credentials().map(Some),
            (Some(_), Some(_), _) => Err(ConfigError::TwoWays("auth.basic", "auth.bearer")),
            (Some(_), None, Some(_)) => Err(ConfigError::TwoWays("auth.basic", "auth.api_key")),
            (None, Some(_), Some(_)) => Err(ConfigError::TwoWays("auth.bearer", "auth.api_key")),
        }
    }
}

impl Auth {
    fn is_empty(&self) -> bool {
        self.basic.is_none() && self.bearer.is_none() && self.api_key.is_none()
    }
}

impl Basic {
    fn credentials(&self) -> Result<Credentials, ConfigError> {
        if self.login.is_empty() {
            return Err(ConfigError::NoLogin);
        }
        let password = secret("auth.basic.password", self.password.as_ref(), self.password_file.as_deref())?;
        Ok(Credentials::Basic(self.login.clone(), password.expose().to_owned()))
    }
}

impl Bearer {
    fn credentials(&self) -> Result<Credentials, ConfigError> {
        let token = secret("auth.bearer.token", self.token.as_ref(), self.token_file.as_deref())?;
        Ok(Credentials::Bearer(token.expose().to_owned()))
    }
}

impl ApiKey {
    fn credentials(&self) -> Result<Credentials, ConfigError> {
        let in_one = self.encoded.is_some() || self.encoded_file.is_some();
        let in_two = self.key.is_some() || self.key_file.is_some();
        match (&self.id, in_two, in_one) {
            (Some(id), true, false) => {
                let key = secret("auth.api_key.key", self.key.as_ref(), self.key_file.as_deref())?;
                Ok(Credentials::ApiKey(id.clone(), key.expose().to_owned()))
            }
            (None, false, true) => {
                let encoded = secret("auth.api_key.encoded", self.encoded.as_ref(), self.encoded_file.as_deref())?;
                BASE64_STANDARD.decode(encoded.expose()).map_err(|_| ConfigError::BadEncodedKey)?;
                Ok(Credentials::EncodedApiKey(encoded.expose().to_owned()))
            }
            (_, _, true) => Err(ConfigError::ApiKey { found: "both" }),
            (Some(_), false, false) => Err(ConfigError::ApiKey { found: "an id alone" }),
            (None, true, false) => Err(ConfigError::ApiKey { found: "a key alone" }),
            (None, false, false) => Err(ConfigError::ApiKey { found: "neither" }),
        }
    }
}

/// Returns the secret, which is given as text or in a file. White space at the end of a file is ignored.
fn secret(key: &'static str, text: Option<&Secret>, file: Option<&Path>) -> Result<Secret, ConfigError> {
    match (text, file) {
        (Some(text), None) => Ok(text.clone()),
        (None, Some(path)) => {
            let text = fs::read_to_string(path).map(Zeroizing::new);
            let text = text.map_err(|source| ConfigError::SecretFile { key, path: path.to_owned(), source })?;
            match text.trim_ascii_end() {
                "" => Err(ConfigError::EmptySecret { key, path: path.to_owned() }),
                secret => Ok(Secret::new(secret)),
            }
        }
        (None, None) => Err(ConfigError::Secret { key, found: "neither" }),
        (Some(_), Some(_)) => Err(ConfigError::Secret { key, found: "both" }),
    }
}

/// A cloud id is `name:` followed, in Base64, by the domain and the names of the engine and others, each after a `$`.
fn cloud_url(cloud_id: &str) -> Option<NodeUrl> {
    let (_, encoded) = cloud_id.rsplit_once(':')?;
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
    let mut parts = decoded.split('$');
    let (domain, engine) = (parts.next()?, parts.next()?);
    if domain.is_empty() || engine.is_empty() {
        return None;
    }
    format!("https://{engine}.{domain}").parse().ok()
}

/// For tests that do not depend on it.
#[cfg(test)]
impl Default for ElasticConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            cloud_id: None,
            auth: Auth::default(),
            ca_file: None,
            request_timeout: Duration::from_secs(30),
            bulk_timeout: Duration::from_secs(60),
            bulk_bytes: ByteSize::from_bytes(2 << 20),
            concurrency: 2,
            index_prefix: ".annals".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn auth(toml: &str) -> ElasticConfig {
        ElasticConfig { auth: toml::from_str(toml).unwrap(), ..ElasticConfig::default() }
    }

    fn credentials(toml: &str) -> Result<Credentials, ConfigError> {
        auth(toml).credentials().map(Option::unwrap)
    }

    fn refusal<T>(result: Result<T, ConfigError>) -> String {
        result.err().unwrap().to_string()
    }

    #[test]
    fn secrets_are_never_printed() {
        let config = auth(
            "basic = { login = \"u\", password = \"hidden\" }\nbearer = { token = \"hidden\" }\n\
             api_key = { id = \"i\", key = \"hidden\", encoded = \"hidden\" }",
        );
        assert!(!format!("{config:?}").contains("hidden"));
        let error = refusal("https://elastic:hidden@localhost:9200".parse::<NodeUrl>());
        assert!(error.contains("must not contain a user or password") && !error.contains("hidden"), "{error}");
    }

    #[test]
    fn a_node_is_an_http_address() {
        assert!("https://a:9200/path".parse::<NodeUrl>().is_ok());
        for bad in ["a:9200", "ftp://a", "https://", "http://a?b=c", ""] {
            assert!(refusal(bad.parse::<NodeUrl>()).starts_with("urls: expected addresses"), "{bad}");
        }
    }

    #[test]
    fn two_kinds_of_credentials_are_an_error_that_names_both() {
        let basic = "basic = { login = \"u\", password = \"p\" }";
        let bearer = "bearer = { token = \"t\" }";
        let api_key = "api_key = { encoded = \"aTpr\" }";
        let both = |one: &str, other: &str| refusal(credentials(&format!("{one}\n{other}")));
        assert!(both(basic, bearer).ends_with("found auth.basic and auth.bearer"));
        assert!(both(basic, api_key).ends_with("found auth.basic and auth.api_key"));
        assert!(both(bearer, api_key).ends_with("found auth.bearer and auth.api_key"));
    }

    #[test]
    fn a_user_has_a_login_and_a_password() {
        assert!(matches!(credentials("basic = { login = \"u\", password = \"p\" }").unwrap(),
            Credentials::Basic(login, password) if login == "u" && password == "p"));
        assert!(refusal(credentials("basic.login = \"u\"")).ends_with("found neither"));
        assert!(refusal(credentials("basic.password = \"p\"")).starts_with("auth.basic.login: not set"));
    }

    #[test]
    fn an_api_key_is_whole() {
        let key = |keys: &str| credentials(&format!("api_key = {{ {keys} }}"));
        assert!(matches!(key("id = \"i\", key = \"k\"").unwrap(), Credentials::ApiKey(id, key)
            if id == "i" && key == "k"));
        assert!(matches!(key("encoded = \"aTpr\"").unwrap(), Credentials::EncodedApiKey(key) if key == "aTpr"));
        assert!(refusal(key("id = \"i\"")).ends_with("found an id alone"));
        assert!(refusal(key("key = \"k\"")).ends_with("found a key alone"));
        assert!(refusal(key("id = \"i\", key = \"k\", encoded = \"aTpr\"")).ends_with("found both"));
        assert!(refusal(key("encoded = \"\\u0000\"")).contains("expected Base64"));
    }

    #[test]
    fn a_secret_comes_from_a_file_without_its_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, "aTpr\r\n").unwrap();
        let file = format!("{:?}", path.to_str().unwrap());
        let from_file = |keys: &str| credentials(&keys.replace("FILE", &file));
        assert!(matches!(from_file("basic = { login = \"u\", password_file = FILE }").unwrap(),
            Credentials::Basic(_, password) if password == "aTpr"));
        assert!(matches!(from_file("bearer.token_file = FILE").unwrap(),
            Credentials::Bearer(token) if token == "aTpr"));
        assert!(matches!(from_file("api_key = { id = \"i\", key_file = FILE }").unwrap(),
            Credentials::ApiKey(_, key) if key == "aTpr"));
        assert!(matches!(from_file("api_key.encoded_file = FILE").unwrap(),
            Credentials::EncodedApiKey(key) if key == "aTpr"));
        assert!(refusal(from_file("bearer = { token = \"t\", token_file = FILE }")).ends_with("found both"));
        fs::write(&path, "\n").unwrap();
        assert!(refusal(from_file("bearer.token_file = FILE")).ends_with(" is empty"));
        let missing = refusal(credentials("bearer.token_file = \"/nowhere/token\""));
        assert_eq!(missing, "auth.bearer.token_file: cannot read /nowhere/token");
    }

    #[test]
    fn certificates_are_pem() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let config = ElasticConfig { ca_file: Some(path.clone()), ..ElasticConfig::default() };
        assert!(refusal(config.certificates()).starts_with("ca_file: cannot read"));
        fs::write(&path, "nonsense").unwrap();
        assert!(refusal(config.certificates()).starts_with("ca_file: expected PEM certificates in"));
    }

    #[test]
    fn a_cloud_id_is_an_address_and_asks_for_auth() {
        let id = |text: &str| format!("name:{}", BASE64_STANDARD.encode(text));
        let config = |id: String| ElasticConfig { cloud_id: Some(id), ..auth("bearer.token = \"t\"") };
        let good = config(id("eu.example.org:9243$abc$def"));
        assert_eq!(good.nodes().unwrap(), ["https://abc.eu.example.org:9243".parse().unwrap()]);
        let without = ElasticConfig { auth: Auth::default(), ..good };
        assert!(refusal(without.nodes()).starts_with("cloud_id: a cloud deployment requires auth"));
        for bad in ["name".to_owned(), "name:!".to_owned(), id("eu.example.org"), id("$abc")] {
            assert!(refusal(config(bad).nodes()).starts_with("cloud_id: expected"));
        }
    }

    #[test]
    fn an_engine_has_one_kind_of_address() {
        assert!(refusal(ElasticConfig::default().nodes()).ends_with("found neither"));
        let urls = vec!["http://localhost:9200".parse().unwrap()];
        let both = ElasticConfig { urls, cloud_id: Some("name:".to_owned()), ..ElasticConfig::default() };
        assert!(refusal(both.nodes()).ends_with("found both"));
    }
}
