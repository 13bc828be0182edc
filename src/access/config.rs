//! The configuration of access: who authenticates callers, and how.

use std::{collections::BTreeMap, error::Error, path::PathBuf, time::Duration};

use serde::Deserialize;

use super::{
    object_grant::ObjectGrant,
    remote::{RemoteError, parse_url},
    rules::{External, Rule},
};
use crate::{ca_file, units::deserialize_duration};

/// What stands for the type of an object in the name of a privilege.
pub(super) const TYPE_IN_PRIVILEGE: &str = "{type}";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessConfig {
    /// The authenticators to ask, in order.
    pub authenticators: Vec<AuthenticatorKind>,
    /// Maximum time for another system's answer.
    #[serde(deserialize_with = "deserialize_duration")]
    pub timeout: Duration,
    /// How long another system's answer is cached.
    #[serde(deserialize_with = "deserialize_duration")]
    pub cache: Duration,
    #[serde(default)]
    pub elasticsearch: EngineConfig,
    #[serde(default)]
    pub kibana: KibanaConfig,
    pub oidc: OidcConfig,
    #[serde(default)]
    pub rules: BTreeMap<String, Rule>,
    /// The authority on which saved objects a reader may read.
    pub authority: AuthorityKind,
    #[serde(default)]
    pub grants: BTreeMap<String, ObjectGrant>,
    pub lockout: LockoutConfig,
    /// Whether to log reads by callers who may read everything.
    pub log_finds: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorityKind {
    Roles,
    Grants,
    Elasticsearch,
    Kibana,
}

impl AuthorityKind {
    pub const NAMES: &'static [&'static str] = &["roles", "grants", "elasticsearch", "kibana"];
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockoutConfig {
    pub failures: u32,
    #[serde(deserialize_with = "deserialize_duration")]
    pub longest: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthenticatorKind {
    ApiKeys,
    Elasticsearch,
    Kibana,
    Oidc,
}

impl AuthenticatorKind {
    pub const NAMES: &'static [&'static str] = &["api_keys", "elasticsearch", "kibana", "oidc"];
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    pub urls: Vec<String>,
    pub ca_file: Option<PathBuf>,
    /// The name under which Kibana registers its privileges.
    pub application: String,
    /// The privilege that lets a reader read objects of `{type}`.
    pub privilege: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KibanaConfig {
    pub urls: Vec<String>,
    pub ca_file: Option<PathBuf>,
    /// The name of the session cookie.
    pub cookie: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcConfig {
    #[serde(default)]
    pub issuer: Option<String>,
    #[serde(default)]
    pub audience: Vec<String>,
    #[serde(default)]
    pub jwks_url: Option<String>,
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The claim that holds the caller's name.
    pub name_claim: String,
    #[serde(deserialize_with = "deserialize_duration")]
    pub leeway: Duration,
}

/// An error in the configuration of access, with the key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AccessProblem(pub String);

impl AccessConfig {
    /// All errors in the configuration; reads the files that it names.
    pub fn problems(&self) -> Vec<AccessProblem> {
        let mut found = Vec::new();
        if self.uses(AuthenticatorKind::Elasticsearch) && self.elasticsearch.urls.is_empty() {
            found.push("elasticsearch.urls: not set, but access.authenticators has elasticsearch".to_owned());
        }
        if self.uses(AuthenticatorKind::Kibana) && self.kibana.urls.is_empty() {
            found.push("kibana.urls: not set, but access.authenticators has kibana".to_owned());
        }
        if self.uses(AuthenticatorKind::Oidc) {
            self.check_oidc(&mut found);
        }
        for (name, rule) in &self.rules {
            if let Err(error) = rule.grant() {
                found.push(format!("rules.{name}.{error}"));
            }
            let is_used = self.uses(match rule.authenticator {
                External::Elasticsearch => AuthenticatorKind::Elasticsearch,
                External::Kibana => AuthenticatorKind::Kibana,
                External::Oidc => AuthenticatorKind::Oidc,
            });
            if !is_used {
                found.push(format!("rules.{name}.authenticator: it is not in access.authenticators"));
            }
        }
        self.check_authority(&mut found);
        self.check_ca_files(&mut found);
        found.into_iter().map(AccessProblem).collect()
    }

    pub(super) fn uses(&self, kind: AuthenticatorKind) -> bool {
        self.authenticators.contains(&kind)
    }

    fn check_authority(&self, found: &mut Vec<String>) {
        let not_set = |section: &str| format!("{section}.urls: not set, but access.authority is {section}");
        match self.authority {
            AuthorityKind::Elasticsearch if self.elasticsearch.urls.is_empty() => found.push(not_set("elasticsearch")),
            AuthorityKind::Kibana if self.kibana.urls.is_empty() => found.push(not_set("kibana")),
            AuthorityKind::Grants if self.grants.is_empty() => {
                found.push("grants: none, but access.authority is grants".to_owned());
            }
            AuthorityKind::Roles | AuthorityKind::Grants | AuthorityKind::Elasticsearch | AuthorityKind::Kibana => {}
        }
        if self.authority != AuthorityKind::Grants && !self.grants.is_empty() {
            found.push("grants: access.authority is not grants".to_owned());
        }
        if !self.elasticsearch.privilege.contains(TYPE_IN_PRIVILEGE) {
            found.push(format!("elasticsearch.privilege: expected {TYPE_IN_PRIVILEGE} in it"));
        }
        for (name, grant) in &self.grants {
            found.extend(grant.problem().map(|problem| format!("grants.{name}.{problem}")));
        }
    }

    fn check_ca_files(&self, found: &mut Vec<String>) {
        let Self { elasticsearch, kibana, oidc, authority, .. } = self;
        let is_asked = |kind, as_authority| self.uses(kind) || Some(*authority) == as_authority;
        for (section, ca_file, is_asked) in [
            (
                "elasticsearch",
                &elasticsearch.ca_file,
                is_asked(AuthenticatorKind::Elasticsearch, Some(AuthorityKind::Elasticsearch)),
            ),
            ("kibana", &kibana.ca_file, is_asked(AuthenticatorKind::Kibana, Some(AuthorityKind::Kibana))),
            ("oidc", &oidc.ca_file, is_asked(AuthenticatorKind::Oidc, None)),
        ] {
            let error = ca_file.as_ref().filter(|_| is_asked).and_then(|path| ca_file::read_for_reqwest(path).err());
            found.extend(error.map(|error| {
                let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
                format!("{section}.{error}{source}")
            }));
        }
    }

    fn check_oidc(&self, found: &mut Vec<String>) {
        let oidc = &self.oidc;
        match &oidc.issuer {
            None => found.push("oidc.issuer: not set, but access.authenticators has oidc".to_owned()),
            Some(issuer) => found.extend(wrong_url("oidc.issuer", parse_url(issuer).err())),
        }
        if oidc.audience.is_empty() {
            found.push("oidc.audience: not set; tokens for other services must not be accepted".to_owned());
        }
        let jwks_url = oidc.jwks_url.as_ref().and_then(|url| parse_url(url).err());
        found.extend(wrong_url("oidc.jwks_url", jwks_url));
    }
}

fn wrong_url(key: &str, error: Option<RemoteError>) -> Option<String> {
    error.map(|error| format!("{key}: {error}"))
}
