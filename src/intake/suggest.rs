//! "Did you mean": the known name nearest to a misspelt one.

/// The nearest of these names, if it is near enough to be what was meant.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 100 {
        return None;
    }
    let bound = (name.chars().count() / 3).clamp(1, 3);
    known.map(|other| (distance(name, other), other)).filter(|(far, _)| *far <= bound).min().map(|(_, other)| other)
}

/// Edits (insert, remove, replace, swap neighbours) between two texts.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let get = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = (get(&last, j) + usize::from(from != to)).min(get(&last, j + 1) + 1).min(get(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                best = best.min(get(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
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
