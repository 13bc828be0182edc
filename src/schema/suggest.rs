//! "Did you mean": the known name nearest to a misspelt one.

use super::FIELDS;

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
        let nearest = closest(path, FIELDS.iter().map(|field| field.path));
        Self { path: shortened(path), nearest }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|near| format!(", did you mean [{near}]?")).unwrap_or_default()
}

/// A caller's own text, shortened for a message.
fn shortened(text: &str) -> String {
    const MAX_CHARACTERS: usize = 100;
    if text.chars().count() <= MAX_CHARACTERS {
        return text.to_owned();
    }
    text.chars().take(MAX_CHARACTERS).chain(['…']).collect()
}

/// Returns the nearest of the known names, if it is near enough to be what was meant; never the name itself. Case is ignored.
pub fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 100 {
        return None;
    }
    let lower = name.to_lowercase();
    let length = lower.chars().count();
    let bound = (length / 3).clamp(1, 3);
    known
        // Cheaper than the distance, and a lower bound of it.
        .filter(|other| *other != name && other.chars().count().abs_diff(length) <= bound)
        .map(|other| (strsim::osa_distance(&lower, &other.to_lowercase()), other))
        .filter(|(far, _)| *far <= bound)
        .min()
        .map(|(_, other)| other)
}

#[cfg(test)]
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
}
