//! The caller's identity: how they were authenticated, and in which roles, and where.
//!
//! A [`Grant`] is one role in some spaces. Its text form is the same in the key file, in the configuration and over
//! HTTP: [`GrantText`], which [`Grant::read`] validates.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::permissions::Permission;
use crate::{
    event::{Author, ProviderScope, Space, WriteScope},
    query::Visible,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name of the key, or the user name in the other system.
    pub name: String,
    pub realm: Realm,
    pub grants: Vec<Grant>,
}

/// How a caller was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, VariantArray)]
pub enum Realm {
    ApiKey,
    Elasticsearch,
    Kibana,
    Oidc,
}

impl Realm {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Elasticsearch => "elasticsearch",
            Self::Kibana => "kibana",
            Self::Oidc => "oidc",
        }
    }
}

impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A caller's role in this log. [`Permission`] says what each role may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, VariantArray)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Admin,
    Auditor,
    SpaceAdmin,
    SpaceAuditor,
    Writer,
    Reader,
    Monitor,
}

impl Role {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const NAMES: &'static [&'static str] =
        &["admin", "auditor", "space-admin", "space-auditor", "writer", "reader", "monitor"];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::SpaceAdmin => "space-admin",
            Self::SpaceAuditor => "space-auditor",
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Monitor => "monitor",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text)
    }

    /// Whether the role applies to all spaces alike.
    const fn is_everywhere(self) -> bool {
        match self {
            Self::Admin | Self::Auditor | Self::Monitor => true,
            Self::SpaceAdmin | Self::SpaceAuditor | Self::Writer | Self::Reader => false,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One role in some spaces and, for a writer, for some providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    role: Role,
    spaces: Spaces,
    providers: Providers,
}

/// Some spaces; `None` in the list is the default space.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Spaces {
    All,
    Named(Vec<Option<Space>>),
}

impl Spaces {
    fn has(&self, space: Option<&Space>) -> bool {
        match self {
            Self::All => true,
            Self::Named(named) => named.iter().any(|name| name.as_ref() == space),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Providers {
    All,
    Named(Vec<String>),
}

impl Providers {
    fn has(&self, provider: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(named) => named.iter().any(|name| name == provider),
        }
    }
}

/// Stands for all spaces or providers.
pub(super) const ALL: &str = "*";

/// A grant in text form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantText {
    pub role: Role,
    /// Names of spaces, or only `*`; omitted for a role that applies to all spaces alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spaces: Vec<String>,
    /// For a writer: names of providers, or only `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
}

impl GrantText {
    /// Total length of all names.
    pub(super) fn bytes(&self) -> usize {
        self.spaces.iter().chain(&self.providers).map(|name| name.len() + 1).sum()
    }
}

/// An incomplete or contradictory grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
pub struct BadGrant {
    pub field: &'static str,
    pub expected: String,
    pub found: String,
}

impl BadGrant {
    fn new(field: &'static str, expected: impl Into<String>, found: impl fmt::Debug) -> Self {
        Self { field, expected: expected.into(), found: format!("{found:?}") }
    }
}

impl Grant {
    /// Allows everything.
    pub const fn admin() -> Self {
        Self { role: Role::Admin, spaces: Spaces::All, providers: Providers::All }
    }

    pub const fn role(&self) -> Role {
        self.role
    }

    /// The role in all spaces, for all providers.
    #[cfg(test)]
    pub(crate) const fn everywhere(role: Role) -> Self {
        Self { role, spaces: Spaces::All, providers: Providers::All }
    }

    pub fn read(text: &GrantText) -> Result<Self, BadGrant> {
        let GrantText { role, spaces, providers } = text;
        Ok(Self { role: *role, spaces: read_spaces(*role, spaces)?, providers: read_providers(*role, providers)? })
    }

    pub fn text(&self) -> GrantText {
        let spaces = match &self.spaces {
            Spaces::All if self.role.is_everywhere() => Vec::new(),
            Spaces::All => vec![ALL.to_owned()],
            Spaces::Named(named) => {
                named.iter().map(|space| space.as_ref().map_or("default", Space::as_str).to_owned()).collect()
            }
        };
        let providers = match &self.providers {
            Providers::All if self.role != Role::Writer => Vec::new(),
            Providers::All => vec![ALL.to_owned()],
            Providers::Named(named) => named.clone(),
        };
        GrantText { role: self.role, spaces, providers }
    }
}

fn read_spaces(role: Role, spaces: &[String]) -> Result<Spaces, BadGrant> {
    if is_all(spaces) || (role.is_everywhere() && spaces.is_empty()) {
        return Ok(Spaces::All);
    }
    if role.is_everywhere() {
        return Err(BadGrant::new("spaces", format!("none, because {role} applies to every space"), spaces));
    }
    if spaces.is_empty() {
        return Err(BadGrant::new("spaces", format!("the spaces of the {role}, or \"*\""), spaces));
    }
    let parse = |name: &String| {
        Space::parse(name).map_err(|_| BadGrant::new("spaces", "names of spaces, or only \"*\"".to_owned(), name))
    };
    spaces.iter().map(parse).collect::<Result<_, _>>().map(Spaces::Named)
}

fn read_providers(role: Role, providers: &[String]) -> Result<Providers, BadGrant> {
    match (role == Role::Writer, providers.is_empty()) {
        (false, true) => Ok(Providers::All),
        (false, false) => Err(BadGrant::new("providers", format!("none, because a {role} has none"), providers)),
        (true, true) => Err(BadGrant::new("providers", "the providers of the writer, or \"*\"", providers)),
        (true, false) if is_all(providers) => Ok(Providers::All),
        (true, false) => {
            let invalid = providers.iter().find(|name| name.is_empty() || *name == ALL);
            match invalid {
                Some(name) => Err(BadGrant::new("providers", "names of providers, or only \"*\"", name)),
                None => Ok(Providers::Named(providers.to_vec())),
            }
        }
    }
}

fn is_all(names: &[String]) -> bool {
    matches!(names, [only] if only == ALL)
}

/// Why a caller may not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// None of the caller's roles allows this anywhere.
    #[error("this needs one of the roles {}; the caller has {}", list(permission.roles()), list(has))]
    Role { permission: Permission, has: Vec<Role> },
    /// Not in this space.
    #[error("not in this space")]
    Space,
}

fn list(roles: &[Role]) -> String {
    let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl Principal {
    /// Whether the caller may do this, in this space if the permission applies to one space.
    pub fn check(&self, permission: Permission, space: Option<&Space>) -> Result<(), Refusal> {
        let mut fitting = self.with_role_for(permission).peekable();
        if fitting.peek().is_none() {
            let mut has: Vec<_> = self.grants.iter().map(|grant| grant.role).collect();
            has.sort_unstable();
            has.dedup();
            return Err(Refusal::Role { permission, has });
        }
        let may = !permission.is_of_a_space() || fitting.any(|grant| grant.spaces.has(space));
        if may { Ok(()) } else { Err(Refusal::Space) }
    }

    fn with_role_for(&self, permission: Permission) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(move |grant| permission.roles().contains(&grant.role))
    }

    /// Whether the caller may register this provider in this space.
    pub fn may_register(&self, provider: &str, space: Option<&Space>) -> bool {
        let mut grants = self.with_role_for(Permission::RegisterProviders);
        grants.any(|grant| grant.providers.has(provider) && grant.spaces.has(space))
    }

    /// Whether the caller may delete this provider, which writers in any space may use.
    pub fn may_delete_provider(&self, provider: &str) -> bool {
        let mut grants = self.with_role_for(Permission::RegisterProviders);
        grants.any(|grant| grant.providers.has(provider) && grant.spaces == Spaces::All)
    }

    /// Whether the caller may see the registration of this provider.
    pub fn may_see_provider(&self, provider: &str) -> bool {
        self.with_role_for(Permission::ListProviders).any(|grant| grant.providers.has(provider))
    }

    /// The caller as the author of events, with the spaces and providers that they may log for.
    pub fn author(&self) -> Author {
        let scope = |grant: &Grant| ProviderScope {
            providers: match &grant.providers {
                Providers::All => None,
                Providers::Named(named) => Some(named.clone()),
            },
            spaces: match &grant.spaces {
                Spaces::All => None,
                Spaces::Named(named) => Some(named.clone()),
            },
        };
        let scope = WriteScope::Limited(self.with_role_for(Permission::LogEvents).map(scope).collect());
        Author::new(self.name.clone(), self.realm.as_str(), scope)
    }

    /// The events that the caller may see by role alone, without asking about the objects that they refer to.
    pub fn visible(&self) -> Visible {
        let mut spaces = Vec::new();
        for grant in self.with_role_for(Permission::ReadEvents) {
            match &grant.spaces {
                Spaces::All => return Visible::Everything,
                Spaces::Named(named) => spaces.extend(named.iter().cloned()),
            }
        }
        spaces.sort_by(|a, b| a.as_ref().map(Space::as_str).cmp(&b.as_ref().map(Space::as_str)));
        spaces.dedup();
        Visible::Spaces(spaces)
    }
}

impl fmt::Display for Principal {
    /// Names are unique only within a system, so the system is part of the text: `oidc:alice`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.realm, self.name)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn grant(role: Role, spaces: &[&str], providers: &[&str]) -> Result<Grant, BadGrant> {
        Grant::read(&GrantText { role, spaces: texts(spaces), providers: texts(providers) })
    }

    #[test]
    fn a_grant_names_spaces_and_providers_only_if_its_role_has_them() {
        let good: [(Role, &[&str], &[&str]); 6] = [
            (Role::Admin, &[], &[]),
            (Role::Monitor, &[], &[]),
            (Role::SpaceAdmin, &["*"], &[]),
            (Role::Reader, &["default", "team"], &[]),
            (Role::Writer, &["team"], &["*"]),
            (Role::Writer, &["*"], &["crm", "shop"]),
        ];
        for (role, spaces, providers) in good {
            let read = grant(role, spaces, providers).unwrap();
            assert_eq!(read.text(), GrantText { role, spaces: texts(spaces), providers: texts(providers) });
        }
        let bad: [(Role, &[&str], &[&str], &str); 9] = [
            (Role::Admin, &["team"], &[], "spaces: expected none, because admin applies to every space"),
            (Role::Admin, &[], &["crm"], "providers: expected none"),
            (Role::Reader, &[], &[], "spaces: expected the spaces of the reader"),
            (Role::Reader, &["*", "team"], &[], "spaces: expected names of spaces, or only \"*\""),
            (Role::Reader, &["Team"], &[], "found \"Team\""),
            (Role::Reader, &["team"], &["crm"], "providers: expected none, because a reader has none"),
            (Role::Writer, &["team"], &[], "providers: expected the providers of the writer"),
            (Role::Writer, &["team"], &["crm", "*"], "or only \"*\""),
            (Role::Writer, &["team"], &[""], "names of providers"),
        ];
        for (role, spaces, providers, expected) in bad {
            let error = grant(role, spaces, providers).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn visibility_is_the_union_of_all_reading_grants() {
        let caller = |grants: Vec<Grant>| Principal { name: "n".to_owned(), realm: Realm::ApiKey, grants };
        let team = || Space::parse("team").unwrap();
        let mixed = caller(vec![
            grant(Role::SpaceAuditor, &["team", "default"], &[]).unwrap(),
            grant(Role::SpaceAdmin, &["team"], &[]).unwrap(),
            grant(Role::Writer, &["other"], &["*"]).unwrap(),
            grant(Role::Reader, &["another"], &[]).unwrap(),
        ]);
        assert_eq!(mixed.visible(), Visible::Spaces(vec![None, team()]));
        assert_eq!(caller(Vec::new()).visible(), Visible::Spaces(Vec::new()));
        assert_eq!(caller(vec![Grant::everywhere(Role::Auditor)]).visible(), Visible::Everything);
        assert_eq!(caller(vec![grant(Role::SpaceAdmin, &["*"], &[]).unwrap()]).visible(), Visible::Everything);
    }

    #[test]
    fn every_role_has_its_name_and_realms_are_told_apart() {
        let names: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
        assert_eq!(names, Role::NAMES);
        assert!(Role::ALL.iter().all(|role| Role::parse(role.as_str()) == Some(*role)));
        let names: std::collections::BTreeSet<_> = Realm::ALL.iter().map(|realm| realm.as_str()).collect();
        assert_eq!(names.len(), Realm::ALL.len());
    }
}
