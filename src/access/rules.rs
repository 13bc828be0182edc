//! Maps another system's answer about a caller to roles in this log.

use serde::Deserialize;
use serde_json::Value;

use super::principal::{BadGrant, Grant, GrantText, Realm, Role};
use crate::query::value_at;

/// Grants a role to callers whose claim has one of the values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub authenticator: External,
    /// The name of the claim; dots separate the names of nested members.
    pub claim: String,
    /// Values of which the claim must be, or contain, one. A trailing `*` matches anything.
    pub values: Vec<String>,
    pub role: Role,
    #[serde(default)]
    pub spaces: Vec<String>,
    #[serde(default)]
    pub providers: Vec<String>,
}

/// The systems that have rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum External {
    Elasticsearch,
    Kibana,
    Oidc,
}

impl External {
    const fn realm(self) -> Realm {
        match self {
            Self::Elasticsearch => Realm::Elasticsearch,
            Self::Kibana => Realm::Kibana,
            Self::Oidc => Realm::Oidc,
        }
    }
}

impl Rule {
    pub(super) fn grant(&self) -> Result<Grant, BadGrant> {
        let Self { role, spaces, providers, .. } = self;
        Grant::read(&GrantText { role: *role, spaces: spaces.clone(), providers: providers.clone() })
    }
}

/// The rules of one system.
#[derive(Clone, Debug)]
pub(super) struct Rules(Vec<(Rule, Grant)>);

impl Rules {
    pub(super) fn of<'a>(realm: Realm, rules: impl Iterator<Item = &'a Rule>) -> Result<Self, BadGrant> {
        let own = rules.filter(|rule| rule.authenticator.realm() == realm);
        own.map(|rule| Ok((rule.clone(), rule.grant()?))).collect::<Result<_, _>>().map(Self)
    }

    /// The grants of a caller with these claims.
    pub(super) fn grants(&self, claims: &Value) -> Vec<Grant> {
        let fits = |(rule, grant): &(Rule, Grant)| {
            let found = look_up(claims, &rule.claim)?;
            rule.values.iter().any(|expected| says(found, expected)).then(|| grant.clone())
        };
        self.0.iter().filter_map(fits).collect()
    }
}

/// The claim of this name, or the nested one at its dotted path.
pub(super) fn look_up<'a>(claims: &'a Value, claim: &str) -> Option<&'a Value> {
    claims.get(claim).or_else(|| value_at(claims, claim))
}

fn says(found: &Value, expected: &str) -> bool {
    match found {
        Value::String(text) => matches(text, expected),
        Value::Array(items) => items.iter().filter_map(Value::as_str).any(|text| matches(text, expected)),
        Value::Bool(flag) => matches(if *flag { "true" } else { "false" }, expected),
        Value::Number(number) => matches(&number.to_string(), expected),
        Value::Null | Value::Object(_) => false,
    }
}

/// A pattern is a text, or a prefix followed by `*`.
pub(super) fn matches(text: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(text == pattern, |beginning| text.starts_with(beginning))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(claim: &str, values: &[&str], claims: &Value, fits: bool) {
        let rule = Rule {
            authenticator: External::Oidc,
            claim: claim.to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            role: Role::Auditor,
            spaces: Vec::new(),
            providers: Vec::new(),
        };
        let grants = Rules::of(Realm::Oidc, [&rule].into_iter()).unwrap().grants(claims);
        assert_eq!(grants.len(), usize::from(fits), "{claim} {values:?} {claims}");
        assert!(Rules::of(Realm::Kibana, [&rule].into_iter()).unwrap().grants(claims).is_empty());
    }

    #[test]
    fn a_rule_matches_a_claim_by_value_or_prefix() {
        let claims = json!({
            "username": "alice", "roles": ["viewer", "audit-eu"], "realm_access": {"roles": ["x"]},
            "https://a.example/role": "boss", "enabled": true, "empty": [],
        });
        check("username", &["alice"], &claims, true);
        check("username", &["bob", "al*"], &claims, true);
        check("username", &["alic", "alice2"], &claims, false);
        check("roles", &["audit-*"], &claims, true);
        check("roles", &["audit"], &claims, false);
        check("realm_access.roles", &["x"], &claims, true);
        check("https://a.example/role", &["boss"], &claims, true);
        check("enabled", &["true"], &claims, true);
        check("empty", &["*"], &claims, false);
        check("absent", &["*"], &claims, false);
        check("realm_access", &["*"], &claims, false);
    }
}
