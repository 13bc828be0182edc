//! Who logs events, and what they may log: for which providers, and in which spaces.

use super::Space;

/// Who logs events, as authenticated: `annals.principal` of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    name: String,
    /// How they were authenticated.
    pub realm: &'static str,
    pub scope: WriteScope,
}

impl Author {
    /// Maximum length of a name in bytes; longer ones are cut.
    const MAX_NAME: usize = 1_024;

    pub fn new(mut name: String, realm: &'static str, scope: WriteScope) -> Self {
        name.truncate(name.floor_char_boundary(Self::MAX_NAME));
        Self { name, realm, scope }
    }

    /// The log itself.
    pub fn log() -> Self {
        Self::new("annals".to_owned(), "annals", WriteScope::Log)
    }

    /// Someone who may log for any provider but the log's own, in any space.
    pub fn anyone() -> Self {
        let everything = ProviderScope { providers: None, spaces: None };
        Self::new("anyone".to_owned(), "none", WriteScope::Limited(vec![everything]))
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteScope {
    /// The log itself, which may log anything without limits.
    Log,
    /// Any of these, but never the log's own providers.
    Limited(Vec<ProviderScope>),
}

/// Some providers in some spaces; `None` means all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderScope {
    pub providers: Option<Vec<String>>,
    /// `None` in the list is the default space.
    pub spaces: Option<Vec<Option<Space>>>,
}
