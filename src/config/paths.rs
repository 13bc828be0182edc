//! The paths of keys, and look-ups in the table of keys.

use std::fmt;

use config::{Value, ValueKind};

use super::{setting::Setting, settings::SETTINGS};

/// A key's names, from the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(pub(super) Vec<String>);

impl KeyPath {
    pub(super) fn child(&self, name: &str) -> Self {
        let mut names = self.0.clone();
        names.push(name.to_owned());
        Self(names)
    }

    /// Returns the path of a key, with this name in place of its `<name>`.
    pub(super) fn of(key: &Setting, name: &str) -> Self {
        Self(key.segments().map(|part| if part == "<name>" { name } else { part }.to_owned()).collect())
    }

    pub(super) fn find_in<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, name| match &value.kind {
            ValueKind::Table(entries) => entries.get(name),
            _ => None,
        })
    }
}

impl fmt::Display for KeyPath {
    /// Formats the path as a dotted TOML key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if bare { f.write_str(name)? } else { write!(f, "{name:?}")? }
        }
        Ok(())
    }
}

/// The result of looking up a path in the table.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lookup {
    Setting(&'static Setting),
    /// A table that contains keys.
    Section,
    NotFound,
}

pub(super) fn look_up(path: &KeyPath) -> Lookup {
    let mut section = path.0.is_empty();
    for key in SETTINGS {
        let expected: Vec<&str> = key.segments().collect();
        let agrees = path.0.iter().zip(&expected).all(|(name, part)| name == part || *part == "<name>");
        if !agrees || path.0.len() > expected.len() {
            continue;
        }
        if path.0.len() == expected.len() {
            return Lookup::Setting(key);
        }
        section = true;
    }
    if section { Lookup::Section } else { Lookup::NotFound }
}

/// Returns the key that was probably meant: the closest in spelling, or the only one that ends in the same name.
pub(super) fn suggest(path: &KeyPath) -> Option<KeyPath> {
    let typed = path.0.join(".");
    let last = path.0.last()?;
    let name_in = |key: &Setting| path.0.get(key.name_at()?).map(String::as_str);
    let candidates = SETTINGS.iter().map(|key| KeyPath::of(key, name_in(key).unwrap_or("<name>")));
    let (distance, nearest) = candidates
        .clone()
        .map(|candidate| (strsim::damerau_levenshtein(&typed, &candidate.0.join(".")), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    if distance <= 2.max(typed.len() / 6) {
        return Some(nearest);
    }
    // A variable such as ANNALS_PORT, set by something else, is not taken for a store's port.
    let same_end = candidates.filter(|candidate| candidate.0.last() == Some(last));
    let mut same_end = same_end.filter(|candidate| candidate.0.get(1).is_none_or(|name| name != "<name>"));
    same_end.next().filter(|_| same_end.next().is_none())
}
