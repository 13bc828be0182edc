//! What the sender of a body may log.

use super::canonical::put_text;
use crate::{
    event::{Author, ProviderScope, Space, WriteScope},
    reserved::is_reserved,
};

/// An [`Author`], prepared for the canonical bytes of events.
pub(super) struct Sender {
    /// `None` is the log itself.
    scopes: Option<Vec<Scope>>,
    /// Quoted and in canonical form.
    pub(super) name: Box<[u8]>,
    pub(super) realm: Box<[u8]>,
}

struct Scope {
    /// Quoted and in canonical form, as in events.
    providers: Option<Vec<Box<[u8]>>>,
    spaces: Option<Vec<Option<Space>>>,
}

impl Sender {
    pub(super) fn new(author: &Author) -> Self {
        let limited = |scope: &ProviderScope| Scope {
            providers: scope.providers.as_ref().map(|names| names.iter().map(|name| quoted(name)).collect()),
            spaces: scope.spaces.clone(),
        };
        let scopes = match &author.scope {
            WriteScope::Log => None,
            WriteScope::Limited(scopes) => Some(scopes.iter().map(limited).collect()),
        };
        Self { scopes, name: quoted(author.name()), realm: quoted(author.realm) }
    }

    pub(super) const fn is_log(&self) -> bool {
        self.scopes.is_none()
    }

    pub(super) fn may_log_in(&self, provider: &[u8], space: Option<&Space>) -> bool {
        self.has_scope(provider, |spaces| spaces.iter().any(|named| named.as_ref() == space))
    }

    pub(super) fn may_log_everywhere(&self, provider: &[u8]) -> bool {
        self.has_scope(provider, |_| false)
    }

    fn has_scope(&self, provider: &[u8], is_among: impl Fn(&[Option<Space>]) -> bool) -> bool {
        let Some(scopes) = &self.scopes else { return true };
        let name = provider.strip_prefix(b"\"").and_then(|name| name.strip_suffix(b"\""));
        let is_own = name.and_then(|name| std::str::from_utf8(name).ok()).is_some_and(is_reserved);
        !is_own
            && scopes.iter().any(|scope| {
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
