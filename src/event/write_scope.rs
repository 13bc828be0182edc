//! What a caller may log: for which providers, and in which spaces.

use super::Space;

/// The provider of the log's own audit events. Nobody else may log as it.
pub const OWN_PROVIDER: &str = "annals";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteScope {
    /// The log itself, which may log anything without limits.
    Log,
    /// Any of these; never as [`OWN_PROVIDER`].
    Limited(Vec<ProviderScope>),
}

/// Some providers in some spaces; `None` means all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderScope {
    pub providers: Option<Vec<String>>,
    /// `None` in the list is the default space.
    pub spaces: Option<Vec<Option<Space>>>,
}

impl WriteScope {
    /// Any provider but the log's own, in any space.
    pub fn anyone() -> Self {
        Self::Limited(vec![ProviderScope { providers: None, spaces: None }])
    }
}
