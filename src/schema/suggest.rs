//! "Did you mean": the known name nearest to a misspelt one.

/// The nearest of these names, if it is near enough to be what was meant.
pub fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 100 {
        return None;
    }
    let length = name.chars().count();
    let bound = (length / 3).clamp(1, 3);
    known
        // Quicker to see than how far they are, and no less far.
        .filter(|other| other.chars().count().abs_diff(length) <= bound)
        .map(|other| (strsim::osa_distance(name, other), other))
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
    }
}
