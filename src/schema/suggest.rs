//! "Did you mean": the known name nearest to a misspelt one.

use super::fields;

/// A path that no event has, with the nearest one that events have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no field [{path}]{}", hint(*.nearest))]
pub struct UnknownField {
    /// At most 100 characters of the path.
    path: String,
    nearest: Option<&'static str>,
}

impl UnknownField {
    pub fn new(path: &str) -> Self {
        Self { path: shortened(path), nearest: nearest(path) }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|near| format!(", did you mean [{near}]?")).unwrap_or_default()
}

/// A caller's own text, shortened for a message.
pub(super) fn shortened(text: &str) -> String {
    const MAX_CHARACTERS: usize = 100;
    if text.chars().count() <= MAX_CHARACTERS {
        return text.to_owned();
    }
    text.chars().take(MAX_CHARACTERS).chain(['…']).collect()
}

/// Returns the field that was probably meant by a path of none: one with nearly the same path, or else one of the same last
/// name, such as `host.hostname` for `hostname`.
pub fn nearest(path: &str) -> Option<&'static str> {
    let paths = || fields().iter().map(|field| field.path);
    closest(path, paths()).or_else(|| {
        let name = path.rsplit('.').next().filter(|name| !name.is_empty())?;
        let has_name = |known: &&str| known.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(name));
        // Of an event itself rather than of something that it mentions.
        paths().filter(has_name).min_by_key(|known| {
            let is_own = known.starts_with("event.") || !known.contains('.');
            (!is_own, known.matches('.').count(), known.len())
        })
    })
}

/// Returns the nearest of the known names, if it is near enough to be what was meant; never the name itself. Case is
/// ignored. Of equally near ones, the one with the fewest dots.
pub fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 100 {
        return None;
    }
    let lower = name.to_lowercase();
    let length = lower.chars().count();
    let bound = (length / 3).clamp(1, 3);
    let letters = letters_of(&lower);
    known
        // Both are cheaper than the distance, and lower bounds of it.
        .filter(|other| *other != name && other.len().abs_diff(length) <= bound)
        .filter(|other| (letters_of(other) ^ letters).count_ones() as usize <= 2 * bound)
        .map(|other| (strsim::osa_distance(&lower, &other.to_lowercase()), other))
        .filter(|(far, _)| *far <= bound)
        .min_by_key(|(far, other)| (*far, other.matches('.').count(), *other))
        .map(|(_, other)| other)
}

/// The set of the bytes in a text, with case ignored, in 64 bits. An edit changes at most two of its members.
fn letters_of(text: &str) -> u64 {
    text.bytes().fold(0, |set, byte| set | 1 << (byte.to_ascii_lowercase() % 64))
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["type", "id", "rel", "namespace"];
        assert_eq!(closest("tpye", known.into_iter()), Some("type"));
        assert_eq!(closest("namespase", known.into_iter()), Some("namespace"));
        assert_eq!(closest("colour", known.into_iter()), None);
        assert_eq!(closest("NAMESPACE", known.into_iter()), Some("namespace"));
        assert_eq!(closest("id", known.into_iter()), None);
    }

    /// What is tested before the distance excludes nothing that is near.
    #[test]
    fn the_nearest_of_all_is_found() {
        let paths = || fields().iter().map(|field| field.path);
        for (index, path) in paths().enumerate().step_by(37) {
            // Up to three letters are replaced, left out or swapped, each time others.
            let mut letters: Vec<char> = path.chars().collect();
            for edit in 0..index % 4 {
                let at = (index * 31 + edit * 17) % (letters.len() - 1);
                match (index + edit) % 3 {
                    0 => letters[at] = 'q',
                    1 => drop(letters.remove(at)),
                    _ => letters.swap(at, at + 1),
                }
            }
            let name: String = letters.into_iter().collect();
            let bound = (name.chars().count() / 3).clamp(1, 3);
            let far = |known: &str| strsim::osa_distance(&name, known);
            let nearest = paths().filter(|known| *known != name).map(far).min().filter(|far| *far <= bound);
            assert_eq!(closest(&name, paths()).map(far), nearest, "{name}");
        }
    }

    #[test]
    fn a_field_is_suggested_for_a_misspelt_or_incomplete_path() {
        for (path, expected) in [
            ("event.acton", Some("event.action")),
            ("evnet.action", Some("event.action")),
            ("Event.Action", Some("event.action")),
            ("user.nmae", Some("user.name")),
            ("userName", Some("user.name")),
            ("command_line", Some("process.command_line")),
            ("host.hostnam", Some("host.hostname")),
            ("client_ip", Some("client.ip")),
            ("timestamp", Some("@timestamp")),
            ("process.command_lin", Some("process.command_line")),
            ("data.command_line", Some("process.command_line")),
            ("action", Some("event.action")),
            ("duration", Some("event.duration")),
            ("created", Some("event.created")),
            ("colour", None),
        ] {
            assert_eq!(nearest(path), expected, "{path}");
        }
    }
}
