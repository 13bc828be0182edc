//! The violations of the events of a body, limited in number and size whatever the body contains.

pub use crate::wire::Violation;

/// Maximum number of violations kept per event. The rest is counted.
const MAX_PER_EVENT: usize = 100;
/// Once this many violations of a body are kept, only the first is kept of each further event.
const MAX_PER_BODY: usize = 10_000;

/// Maximum number of names for which a similar known one is looked for, which takes longer than everything else for an
/// event.
const MAX_GUESSES_PER_EVENT: usize = 10;
const MAX_GUESSES_PER_BODY: usize = 1_000;

/// Maximum bytes of a path in a message. Known paths are far shorter.
const MAX_PATH_BYTES: usize = 500;

/// The violations of the current event of a body.
#[derive(Default)]
pub(super) struct Violations {
    kept: Vec<Violation>,
    more: usize,
    guesses: usize,
    has_explained: bool,
    /// For the previous events of the body.
    kept_of_body: usize,
    guesses_of_body: usize,
}

impl Violations {
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn contains_path(&self, path: &str) -> bool {
        self.kept.iter().any(|violation| violation.path == path)
    }

    /// Creates the violation only if it is kept.
    pub(super) fn add(&mut self, make: impl FnOnce() -> Violation) {
        let most = if self.kept_of_body < MAX_PER_BODY { MAX_PER_EVENT } else { 1 };
        if self.kept.len() >= most {
            self.more += 1;
            return;
        }
        let mut violation = make();
        truncate(&mut violation.path);
        self.kept.push(violation);
    }

    /// Whether a similar name may be looked for; if so, counts the attempt.
    pub(super) fn may_guess(&mut self) -> bool {
        let may = self.guesses < MAX_GUESSES_PER_EVENT && self.guesses_of_body < MAX_GUESSES_PER_BODY;
        self.guesses += usize::from(may);
        self.guesses_of_body += usize::from(may);
        may
    }

    /// Whether a violation of this kind may say what else can be done: the first of an event.
    pub(super) fn may_explain(&mut self) -> bool {
        !std::mem::replace(&mut self.has_explained, true)
    }

    /// Returns the kept violations, followed by one that counts the rest, if any.
    pub(super) fn take(&mut self) -> Vec<Violation> {
        let mut taken = std::mem::take(&mut self.kept);
        self.kept_of_body += taken.len();
        if self.more > 0 {
            let expected = format!("no errors besides the {} before", taken.len());
            taken.push(Violation { path: String::new(), expected, found: format!("{} more", self.more) });
        }
        taken
    }

    /// Prepares for the next event of the body.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.more = 0;
        self.guesses = 0;
        self.has_explained = false;
    }
}

fn truncate(path: &mut String) {
    if path.len() > MAX_PATH_BYTES {
        path.truncate(path.floor_char_boundary(MAX_PATH_BYTES));
        path.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(violations: &mut Violations, wrong: usize) -> Vec<Violation> {
        violations.clear();
        for number in 0..wrong {
            violations.add(|| Violation { path: number.to_string(), expected: "e".to_owned(), found: "f".to_owned() });
        }
        violations.take()
    }

    #[test]
    fn in_a_body_full_of_mistakes_each_event_keeps_its_first() {
        let mut violations = Violations::default();
        assert_eq!(event(&mut violations, 100).len(), 100);
        let more = |count: usize, before: usize| Violation {
            path: String::new(),
            expected: format!("no errors besides the {before} before"),
            found: format!("{count} more"),
        };
        for _ in 1..MAX_PER_BODY / MAX_PER_EVENT {
            let taken = event(&mut violations, 1_000_000);
            assert_eq!((taken.len(), taken.last()), (101, Some(&more(999_900, 100))));
        }
        let taken = event(&mut violations, 5);
        assert_eq!(taken.iter().map(|violation| violation.path.as_str()).collect::<Vec<_>>(), ["0", ""]);
        assert_eq!(taken.last(), Some(&more(4, 1)));
        assert_eq!(event(&mut violations, 1).len(), 1);
        assert!(event(&mut violations, 0).is_empty());
    }

    #[test]
    fn guesses_are_limited_per_event_and_per_body() {
        let mut violations = Violations::default();
        let mut guesses = |_: usize| {
            violations.clear();
            (0..20).filter(|_| violations.may_guess()).count()
        };
        let of_events: Vec<usize> = (0..101).map(&mut guesses).collect();
        assert_eq!((of_events.first(), of_events.last()), (Some(&10), Some(&0)));
        assert_eq!(of_events.iter().sum::<usize>(), 1_000);
    }
}
