//! Grants in the configuration that let some callers read the events about certain saved objects.

use serde::Deserialize;

use super::{
    principal::{ALL, Principal},
    rules::matches,
};
use crate::{event::Space, query::ObjectScope};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectGrant {
    /// Patterns of `realm:name`.
    pub callers: Vec<String>,
    pub spaces: Vec<String>,
    pub types: Vec<String>,
    pub ids: Vec<String>,
}

impl ObjectGrant {
    pub(super) fn problem(&self) -> Option<String> {
        let invalid = self.spaces.iter().find(|space| *space != ALL && Space::parse(space).is_err())?;
        Some(format!("spaces: expected names of spaces, or \"*\", found {invalid:?}"))
    }

    pub(super) fn is_about(&self, principal: &Principal, objects: &ObjectScope) -> bool {
        let is_among = |patterns: &[String], text: &str| patterns.iter().any(|pattern| matches(text, pattern));
        let space = Space::name(objects.space.as_ref());
        is_among(&self.callers, &principal.to_string())
            && self.spaces.iter().any(|name| name == ALL || name == space)
            && is_among(&self.types, &objects.object_type)
    }
}
