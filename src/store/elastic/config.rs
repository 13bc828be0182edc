//! What an operator says about an engine: where it is, who we are to it, and what our resources there are called.

use std::{
    fmt, fs, io,
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
use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

use super::names::{BadName, Names};

/// How to reach Elasticsearch or OpenSearch, and what Annals' resources there are called.
///
/// The names are `{index_prefix}-event-log-{version}-{stream}` for the alias that a stream is written through, the same
/// with `-000001` and so on for its indices and with `-template` for its index template, and `{index_prefix}` without its
/// leading dot and `-event-log-policy` for the lifecycle policy. Events are searched in `{index_prefix}-event-log-*`. With
/// `index_prefix = ".kibana"` the names are thus Kibana's own: what reads Kibana's event log finds the events of Annals,
/// and Annals finds those of Kibana, also such as older versions wrote.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ElasticConfig {
    /// The nodes, such as `["https://node-1:9200", "https://node-2:9200"]`. Requests go to each in turn; one that fails
    /// is left alone for a while.
    pub urls: Vec<NodeUrl>,
    /// The id of an Elastic Cloud deployment, in place of `urls`.
    pub cloud_id: Option<String>,
    /// Who we are to the engine: one of `basic`, `bearer` and `api_key`, or none where it asks for nothing.
    pub auth: Auth,
    /// PEM file of authorities that may have signed the nodes' certificates, besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// How long a query or a set-up request may take, such as `"30s"`.
    #[serde(deserialize_with = "duration")]
    pub request_timeout: Duration,
    /// How long one bulk request may take.
    #[serde(deserialize_with = "duration")]
    pub bulk_timeout: Duration,
    /// What the names of indices, aliases, templates and the policy begin with.
    pub index_prefix: String,
    /// The version in those names; lower-cased. With each version begins a new series of indices.
    pub version: String,
}

impl Default for ElasticConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            cloud_id: None,
            auth: Auth::default(),
            ca_file: None,
            request_timeout: Duration::from_secs(30),
            bulk_timeout: Duration::from_secs(60),
            index_prefix: ".annals".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The ways to say who we are; at most one may be given.
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

/// A user and a password.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Basic {
    /// The user's name.
    pub username: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// A file that holds the password, in place of `password`.
    pub password_file: Option<PathBuf>,
}

/// A bearer token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bearer {
    /// The token.
    pub token: Option<Secret>,
    /// A file that holds the token, in place of `token`.
    pub token_file: Option<PathBuf>,
}

/// An API key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiKey {
    /// The id of the key.
    pub id: Option<String>,
    /// The key itself.
    pub key: Option<Secret>,
    /// A file that holds the key, in place of `key`.
    pub key_file: Option<PathBuf>,
    /// Id and key in one, in Base64.
    pub encoded: Option<Secret>,
    /// A file that holds id and key in one, in place of `encoded`.
    pub encoded_file: Option<PathBuf>,
}

/// A password, token or key: wiped when dropped, and never printed.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
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

/// What is wrong with a configuration. No variant shows a secret, nor an address that might hold one.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("urls: expected addresses of nodes, such as \"https://localhost:9200\"")]
    BadUrl,
    #[error("urls: an address must not hold a user or password; give them in auth.basic")]
    SecretInUrl,
    #[error("expected either urls or cloud_id, found {found}")]
    Address { found: &'static str },
    #[error("cloud_id: expected \"name:\" and the Base64 text that the cloud console shows")]
    BadCloudId,
    #[error("auth: expected one way to say who we are, found {0} and {1}")]
    TwoWays(&'static str, &'static str),
    #[error("auth: expected {expected}, found {found}")]
    Secret { expected: &'static str, found: &'static str },
    #[error("auth.api_key.encoded: expected Base64 text")]
    BadEncodedKey,
    #[error("{key}: cannot read {}", path.display())]
    File { key: &'static str, path: PathBuf, source: io::Error },
    #[error("ca_file: expected PEM certificates in {}", path.display())]
    BadCertificate { path: PathBuf, source: elasticsearch::Error },
    #[error(transparent)]
    Name(#[from] BadName),
    #[error("the client for {url} cannot be made")]
    Client { url: String, source: elasticsearch::http::transport::BuildError },
}

impl ElasticConfig {
    pub(super) fn names(&self) -> Result<Names, ConfigError> {
        Ok(Names::new(&self.index_prefix, &self.version)?)
    }

    /// The nodes, one at least.
    pub(super) fn nodes(&self) -> Result<Vec<NodeUrl>, ConfigError> {
        match (&self.cloud_id, self.urls.is_empty()) {
            (None, false) => Ok(self.urls.clone()),
            (Some(id), true) => Ok(vec![cloud_url(id).ok_or(ConfigError::BadCloudId)?]),
            (None, true) => Err(ConfigError::Address { found: "neither" }),
            (Some(_), false) => Err(ConfigError::Address { found: "both" }),
        }
    }

    pub(super) fn certificates(&self) -> Result<Option<CertificateValidation>, ConfigError> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let file = |source| ConfigError::File { key: "ca_file", path: path.clone(), source };
        let certificates = Certificate::from_pem(&fs::read(path).map_err(file)?)
            .map_err(|source| ConfigError::BadCertificate { path: path.clone(), source })?;
        Ok(Some(CertificateValidation::Full(certificates)))
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

impl Basic {
    fn credentials(&self) -> Result<Credentials, ConfigError> {
        let password =
            secret("auth.basic.password or auth.basic.password_file", &self.password, self.password_file.as_deref())?;
        Ok(Credentials::Basic(self.username.clone(), password.0.to_string()))
    }
}

impl Bearer {
    fn credentials(&self) -> Result<Credentials, ConfigError> {
        let token = secret("auth.bearer.token or auth.bearer.token_file", &self.token, self.token_file.as_deref())?;
        Ok(Credentials::Bearer(token.0.to_string()))
    }
}

impl ApiKey {
    fn credentials(&self) -> Result<Credentials, ConfigError> {
        const EITHER: &str = "either auth.api_key.id with key or key_file, or encoded or encoded_file";
        let in_one = self.encoded.is_some() || self.encoded_file.is_some();
        let in_two = self.key.is_some() || self.key_file.is_some();
        match (&self.id, in_two, in_one) {
            (Some(id), true, false) => {
                let key = secret("auth.api_key.key or auth.api_key.key_file", &self.key, self.key_file.as_deref())?;
                Ok(Credentials::ApiKey(id.clone(), key.0.to_string()))
            }
            (None, false, true) => {
                let expected = "auth.api_key.encoded or auth.api_key.encoded_file";
                let encoded = secret(expected, &self.encoded, self.encoded_file.as_deref())?;
                BASE64_STANDARD.decode(encoded.0.as_bytes()).map_err(|_| ConfigError::BadEncodedKey)?;
                Ok(Credentials::EncodedApiKey(encoded.0.to_string()))
            }
            (_, _, true) => Err(ConfigError::Secret { expected: EITHER, found: "both" }),
            (Some(_), false, false) => Err(ConfigError::Secret { expected: EITHER, found: "an id alone" }),
            (None, true, false) => Err(ConfigError::Secret { expected: EITHER, found: "a key alone" }),
            (None, false, false) => Err(ConfigError::Secret { expected: EITHER, found: "neither" }),
        }
    }
}

/// The secret that is given in one of two ways. A line break at the end of a file is the editor's.
fn secret(expected: &'static str, text: &Option<Secret>, file: Option<&Path>) -> Result<Secret, ConfigError> {
    match (text, file) {
        (Some(text), None) => Ok(text.clone()),
        (None, Some(path)) => {
            let text = fs::read_to_string(path).map(Zeroizing::new).map_err(|source| ConfigError::File {
                key: "auth",
                path: path.to_owned(),
                source,
            })?;
            Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
        }
        (None, None) => Err(ConfigError::Secret { expected, found: "neither" }),
        (Some(_), Some(_)) => Err(ConfigError::Secret { expected, found: "both" }),
    }
}

/// A cloud id is `name:` and, in Base64, the domain, the engine's own name in it, and others' after a `$` each.
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

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let span = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
    span.filter(|span| !span.is_zero())
        .ok_or_else(|| de::Error::custom(format!("expected a duration above zero, such as \"30s\", found {text:?}")))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn read(toml: &str) -> Result<ElasticConfig, toml::de::Error> {
        toml::from_str(toml)
    }

    fn refusal<T>(result: Result<T, ConfigError>) -> String {
        result.err().unwrap().to_string()
    }

    #[test]
    fn everything_can_be_set() {
        let config = read(
            "urls = [\"https://a:9200/path\", \"http://b:9200\"]\nca_file = \"ca.pem\"\nrequest_timeout = \"5s\"\n\
             bulk_timeout = \"2m\"\nindex_prefix = \".kibana\"\nversion = \"8.0.0-SNAPSHOT\"\n\
             auth.basic = { username = \"elastic\", password = \"hidden\" }",
        )
        .unwrap();
        assert_eq!(config.nodes().unwrap().len(), 2);
        assert_eq!((config.request_timeout, config.bulk_timeout), (Duration::from_secs(5), Duration::from_secs(120)));
        assert_eq!(config.names().unwrap().pattern(), ".kibana-event-log-*");
        assert!(matches!(config.credentials().unwrap(), Some(Credentials::Basic(user, password))
            if user == "elastic" && password == "hidden"));
    }

    #[test]
    fn a_misspelt_key_is_refused_by_name() {
        assert!(read("url = []").unwrap_err().to_string().contains("unknown field `url`"));
        assert!(read("auth.basic = { user = \"a\" }").unwrap_err().to_string().contains("unknown field `user`"));
        assert!(read("request_timeout = \"soon\"").unwrap_err().to_string().contains("found \"soon\""));
        assert!(read("request_timeout = \"-3s\"").is_err());
    }

    #[test]
    fn secrets_are_never_printed() {
        let config = read(
            "[auth]\nbasic = { username = \"u\", password = \"hidden\" }\nbearer = { token = \"hidden\" }\n\
             api_key = { id = \"i\", key = \"hidden\", encoded = \"hidden\" }",
        )
        .unwrap();
        assert!(!format!("{config:?}").contains("hidden"));
        let error = read("urls = [\"https://elastic:hidden@localhost:9200\"]").unwrap_err();
        assert!(error.message().contains("must not hold a user or password"), "{}", error.message());
        assert!(!error.message().contains("hidden"));
    }

    #[test]
    fn two_ways_to_say_who_we_are_are_named() {
        let basic = "basic = { username = \"u\", password = \"p\" }";
        let bearer = "bearer = { token = \"t\" }";
        let api_key = "api_key = { encoded = \"aTpr\" }";
        let both = |one: &str, other: &str| refusal(read(&format!("[auth]\n{one}\n{other}")).unwrap().credentials());
        assert!(both(basic, bearer).ends_with("found auth.basic and auth.bearer"));
        assert!(both(basic, api_key).ends_with("found auth.basic and auth.api_key"));
        assert!(both(bearer, api_key).ends_with("found auth.bearer and auth.api_key"));
    }

    #[test]
    fn an_api_key_is_whole() {
        let key = |keys: &str| read(&format!("auth.api_key = {{ {keys} }}")).unwrap().credentials();
        assert!(matches!(key("id = \"i\", key = \"k\"").unwrap(), Some(Credentials::ApiKey(id, key))
            if id == "i" && key == "k"));
        assert!(matches!(key("encoded = \"aTpr\"").unwrap(), Some(Credentials::EncodedApiKey(key)) if key == "aTpr"));
        assert!(refusal(key("id = \"i\"")).ends_with("found an id alone"));
        assert!(refusal(key("key = \"k\"")).ends_with("found a key alone"));
        assert!(refusal(key("id = \"i\", key = \"k\", encoded = \"aTpr\"")).ends_with("found both"));
        assert!(refusal(key("encoded = \"\\u0000\"")).contains("expected Base64"));
    }

    #[test]
    fn a_secret_comes_from_a_file_without_its_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "s3cret\n").unwrap();
        let bearer = |keys: &str| read(&format!("auth.bearer = {{ {keys} }}")).unwrap().credentials();
        let file = format!("token_file = {:?}", path.to_str().unwrap());
        assert!(matches!(bearer(&file).unwrap(), Some(Credentials::Bearer(token)) if token == "s3cret"));
        assert!(refusal(bearer(&format!("token = \"t\", {file}"))).ends_with("found both"));
        assert!(refusal(bearer("")).ends_with("found neither"));
        let missing = refusal(bearer("token_file = \"/nowhere/token\""));
        assert_eq!(missing, "auth: cannot read /nowhere/token");
    }

    #[test]
    fn a_cloud_id_is_an_address() {
        let id = |text: &str| format!("name:{}", BASE64_STANDARD.encode(text));
        let config = |id: String| ElasticConfig { cloud_id: Some(id), ..ElasticConfig::default() };
        let nodes = config(id("eu.example.org:9243$abc$def")).nodes().unwrap();
        assert_eq!(nodes, ["https://abc.eu.example.org:9243".parse().unwrap()]);
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
