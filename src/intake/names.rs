//! Names of members that repairs have made the same.

use std::collections::{HashMap, HashSet};

/// Bytes that [`tell_apart`] may add to a name: `#` and a number.
const SUFFIX_BYTES: usize = 11;

/// Appends `#2`, `#3` and so on to those of the repaired names, given by their indexes, that other members have too. No
/// name gets longer than `most` bytes by that.
pub(super) fn tell_apart<V>(members: &mut [(String, V)], repaired: &[usize], most: usize) {
    if repaired.is_empty() {
        return;
    }
    let others = members.iter().enumerate().filter(|(index, _)| repaired.binary_search(index).is_err());
    let mut names: HashSet<String> = others.map(|(_, (name, _))| name.clone()).collect();
    let mut counts: HashMap<String, u32> = HashMap::new();
    for index in repaired {
        let Some((name, _)) = members.get_mut(*index) else { continue };
        let stem = first_bytes(name, most.saturating_sub(SUFFIX_BYTES)).to_owned();
        while !names.insert(name.clone()) {
            let count = counts.entry(stem.clone()).or_insert(1);
            *count += 1;
            *name = format!("{stem}#{count}");
        }
    }
}

/// The beginning of a text that has at most this many bytes.
pub(super) fn first_bytes(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}
