//! What a caller may log: for which providers, and in which spaces.

use super::Space;

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

impl WriteScope {
    /// Any provider but the log's own, in any space.
    pub fn anyone() -> Self {
        Self::Limited(vec![ProviderScope { providers: None, spaces: None }])
    }
}
