//! What the sender of a body may log, beyond what any event may be.

use super::canonical::put_text;
use crate::event::Space;

/// The provider of the log's own events about access, which nobody else may log.
pub const OWN_PROVIDER: &str = "annals";
const OWN_PROVIDER_QUOTED: &[u8] = b"\"annals\"";

/// As which providers a body's events may be, and in which spaces what they refer to.
pub struct Sender(Kind);

enum Kind {
    /// The log itself.
    Log,
    Limited(Vec<Scope>),
}

/// Some providers in some spaces; `None` is all of them.
pub struct SenderScope {
    pub providers: Option<Vec<String>>,
    /// `None` in the list is the default space.
    pub spaces: Option<Vec<Option<Space>>>,
}

struct Scope {
    /// Quoted and in canonical form, as events hold them.
    providers: Option<Vec<Box<[u8]>>>,
    spaces: Option<Vec<Option<Space>>>,
}

impl Sender {
    /// The log itself, which may log anything.
    pub const fn log() -> Self {
        Self(Kind::Log)
    }

    /// Whoever has one of these scopes.
    pub fn of(scopes: impl IntoIterator<Item = SenderScope>) -> Self {
        let scope = |scope: SenderScope| Scope {
            providers: scope.providers.map(|names| names.iter().map(|name| quoted(name)).collect()),
            spaces: scope.spaces,
        };
        Self(Kind::Limited(scopes.into_iter().map(scope).collect()))
    }

    /// Any provider but the log's own, in any space.
    pub fn anyone() -> Self {
        Self::of([SenderScope { providers: None, spaces: None }])
    }

    pub(super) const fn is_log(&self) -> bool {
        matches!(self.0, Kind::Log)
    }

    pub(super) fn may_log_in(&self, provider: &[u8], space: Option<&Space>) -> bool {
        self.has_scope(provider, |spaces| spaces.iter().any(|named| named.as_ref() == space))
    }

    pub(super) fn may_log_everywhere(&self, provider: &[u8]) -> bool {
        self.has_scope(provider, |_| false)
    }

    fn has_scope(&self, provider: &[u8], is_among: impl Fn(&[Option<Space>]) -> bool) -> bool {
        let scopes = match &self.0 {
            Kind::Log => return true,
            Kind::Limited(_) if provider == OWN_PROVIDER_QUOTED => return false,
            Kind::Limited(scopes) => scopes,
        };
        scopes.iter().any(|scope| {
            scope.providers.as_ref().is_none_or(|names| names.iter().any(|name| **name == *provider))
                && scope.spaces.as_deref().is_none_or(&is_among)
        })
    }
}

fn quoted(name: &str) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(name.len() + 2);
    put_text(name, &mut bytes);
    bytes.into_boxed_slice()
}
