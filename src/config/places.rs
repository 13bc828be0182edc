//! Where values stand, and which key that is.

use std::fmt;

use super::keys::{KEYS, Key};

/// The place of a value: its names from the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(pub(super) Vec<String>);

impl KeyPath {
    pub(super) fn root() -> Self {
        Self(Vec::new())
    }

    pub(super) fn child(&self, name: &str) -> Self {
        let mut names = self.0.clone();
        names.push(name.to_owned());
        Self(names)
    }

    /// The key at this place, its `<name>` being the one given.
    pub(super) fn of(key: &Key, name: &str) -> Self {
        Self(key.segments().map(|part| if part == "<name>" { name } else { part }.to_owned()).collect())
    }
}

impl fmt::Display for KeyPath {
    /// As TOML writes a dotted key.
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

/// What stands at a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Key(&'static Key),
    /// A table that holds keys further down.
    Section,
    Unknown,
}

pub(super) fn look_up(path: &KeyPath) -> Place {
    let mut section = path.0.is_empty();
    for key in KEYS {
        let expected: Vec<&str> = key.segments().collect();
        let agrees = path.0.iter().zip(&expected).all(|(name, part)| name == part || *part == "<name>");
        if !agrees || path.0.len() > expected.len() {
            continue;
        }
        if path.0.len() == expected.len() {
            return Place::Key(key);
        }
        section = true;
    }
    if section { Place::Section } else { Place::Unknown }
}

/// The key that was probably meant: the nearest in spelling, or the only one that ends in the same name.
pub(super) fn suggest(path: &KeyPath) -> Option<KeyPath> {
    let typed = path.0.join(".");
    let last = path.0.last()?;
    let name_in = |key: &Key| path.0.get(key.name_at()?).map(String::as_str);
    let candidates = KEYS.iter().map(|key| KeyPath::of(key, name_in(key).unwrap_or("<name>")));
    let (distance, nearest) = candidates
        .clone()
        .map(|candidate| (strsim::damerau_levenshtein(&typed, &candidate.0.join(".")), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    if distance <= 2.max(typed.len() / 6) {
        return Some(nearest);
    }
    // A variable such as ANNALS_PORT, which others make, is no store's port.
    let same_end = candidates.filter(|candidate| candidate.0.last() == Some(last));
    let mut same_end = same_end.filter(|candidate| candidate.0.get(1).is_none_or(|name| name != "<name>"));
    same_end.next().filter(|_| same_end.next().is_none())
}
