//! How often the program's own log has a line about rejected events.

use std::{collections::HashMap, time::Duration};

/// The least time between two lines about the same.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);

/// Maximum number of subjects. Events of further ones are reported together.
const MAX_SUBJECTS: usize = 1_000;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subject {
    /// With the realm, as in `api_key:shop`.
    pub(super) caller: String,
    pub(super) provider: Option<String>,
    /// The path of the first error.
    pub(super) path: String,
}

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// `None` for the events of all subjects beyond the maximum.
    pub(super) subject: Option<Subject>,
    /// Since the last line.
    pub(super) events: u64,
}

#[derive(Default)]
pub(super) struct Reports {
    subjects: HashMap<Subject, Interval>,
    others: Interval,
}

impl Reports {
    /// Counts an event; returns the line that is to be written at once.
    pub(super) fn count(&mut self, subject: Subject, now: Duration) -> Option<Report> {
        if self.subjects.len() >= MAX_SUBJECTS && !self.subjects.contains_key(&subject) {
            return self.others.add(1, now).map(|events| Report { subject: None, events });
        }
        let events = self.subjects.entry(subject.clone()).or_default().add(1, now)?;
        Some(Report { subject: Some(subject), events })
    }

    /// Returns the lines that have become due, and forgets the subjects of which nothing was counted since their last line.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Report> {
        let mut due = Vec::new();
        self.subjects.retain(|subject, interval| match interval.due(now) {
            Some(0) => false,
            Some(events) => {
                due.push(Report { subject: Some(subject.clone()), events });
                true
            }
            None => true,
        });
        due.extend(self.others.due(now).filter(|events| *events > 0).map(|events| Report { subject: None, events }));
        due
    }

    /// Returns everything that was counted and not reported.
    pub(super) fn rest(&mut self) -> Vec<Report> {
        self.due(Duration::MAX)
    }
}

/// Counts what is reported once per [`INTERVAL`].
#[derive(Default)]
pub(super) struct Interval {
    reported: Option<Duration>,
    /// Since then.
    count: u64,
}

impl Interval {
    /// Counts; returns the count if it is to be reported at once.
    pub(super) fn add(&mut self, count: u64, now: Duration) -> Option<u64> {
        self.count += count;
        self.due(now)
    }

    /// Returns the count, also if it is 0, once it may be reported.
    fn due(&mut self, now: Duration) -> Option<u64> {
        if self.reported.is_some_and(|reported| now.saturating_sub(reported) < INTERVAL) {
            return None;
        }
        if self.count > 0 {
            self.reported = Some(now);
        }
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn subject(caller: usize, path: &str) -> Subject {
        Subject { caller: caller.to_string(), provider: None, path: path.to_owned() }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn report(subject: Subject, events: u64) -> Report {
        Report { subject: Some(subject), events }
    }

    #[test]
    fn each_subject_has_a_line_at_once_and_then_one_a_minute_with_the_count() {
        let mut reports = Reports::default();
        assert_eq!(reports.count(subject(1, "a"), at(100)), Some(report(subject(1, "a"), 1)));
        for _ in 0..7 {
            assert_eq!(reports.count(subject(1, "a"), at(130)), None);
        }
        assert_eq!(reports.count(subject(1, "b"), at(130)), Some(report(subject(1, "b"), 1)));
        assert_eq!(reports.due(at(159)), []);
        assert_eq!(reports.due(at(160)), [report(subject(1, "a"), 7)]);
        assert_eq!(reports.count(subject(1, "a"), at(219)), None);
        assert_eq!(reports.count(subject(1, "a"), at(220)), Some(report(subject(1, "a"), 2)));
        assert_eq!(reports.count(subject(1, "a"), at(221)), None);
        assert_eq!(reports.rest(), [report(subject(1, "a"), 1)]);
    }

    #[test]
    fn the_events_of_too_many_subjects_are_reported_together() {
        let mut reports = Reports::default();
        let lines = (0..5_000).filter_map(|caller| reports.count(subject(caller, ""), at(0))).count();
        assert_eq!((lines, reports.subjects.len()), (MAX_SUBJECTS + 1, MAX_SUBJECTS));
        let due = reports.due(at(60));
        assert_eq!(due, [Report { subject: None, events: 3_999 }]);
        assert!(reports.subjects.is_empty());
        assert_eq!(reports.count(subject(4_000, ""), at(60)).unwrap().subject, Some(subject(4_000, "")));
    }
}
