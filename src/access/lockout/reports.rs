//! Reports every failed attempt, but not each one separately: an address's first at once, those of the next minute
//! together.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use tokio::time::Instant;

/// Maximum number of addresses remembered.
const MAX_ADDRESSES: usize = 10_000;
/// An address is reported at most once per interval, and at most this many addresses are.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(60);
const MAX_REPORTS: u32 = 60;

/// The contents of a report event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempts {
    /// `None` if unknown, or if the attempts are from several addresses.
    pub address: Option<IpAddr>,
    /// The login or key of the latest attempt.
    pub login: Option<String>,
    pub attempts: u64,
}

#[derive(Default)]
pub(super) struct Reports {
    addresses: HashMap<Option<IpAddr>, AddressRecord>,
    budget: Budget,
    /// Attempts left out of all reports so far, because there would have been too many.
    unreported: u64,
}

struct AddressRecord {
    last: Instant,
    reported: Option<Instant>,
    /// Attempts since.
    attempts: u64,
    /// The login of the latest.
    login: Option<String>,
}

/// Number of reports in the interval that began at this time.
#[derive(Default)]
struct Budget {
    since: Option<Instant>,
    used: u32,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| now - since >= REPORT_INTERVAL) {
            *self = Self { since: Some(now), used: 0 };
        }
        self.used += 1;
        self.used <= MAX_REPORTS
    }
}

impl Reports {
    /// Counts an attempt for a later report.
    pub(super) fn count_attempt(&mut self, address: Option<IpAddr>, login: Option<&str>, now: Instant) {
        if !self.addresses.contains_key(&address) {
            self.make_room(now);
        }
        let fresh = AddressRecord { last: now, reported: None, attempts: 0, login: None };
        let record = self.addresses.entry(address).or_insert(fresh);
        record.attempts += 1;
        record.last = now;
        record.login = login.map(str::to_owned).or_else(|| record.login.take());
    }

    /// A report for this address, unless it was reported within the interval.
    pub(super) fn report(&mut self, address: Option<IpAddr>, now: Instant) -> Option<FailedAttempts> {
        let record = self.addresses.get_mut(&address)?;
        if record.reported.is_some_and(|reported| now - reported < REPORT_INTERVAL) {
            return None;
        }
        record.reported = Some(now);
        let attempts = std::mem::take(&mut record.attempts);
        let login = record.login.take();
        if self.budget.take(now) {
            return Some(FailedAttempts { address, login, attempts });
        }
        self.unreported += attempts;
        None
    }

    /// All reports that are due.
    pub(super) fn due_reports(&mut self, now: Instant) -> Vec<FailedAttempts> {
        let waiting = self.addresses.iter().filter(|(_, record)| record.attempts > 0);
        let waiting: Vec<_> = waiting.map(|(address, _)| *address).collect();
        let mut due: Vec<_> = waiting.into_iter().filter_map(|address| self.report(address, now)).collect();
        if self.unreported > 0 {
            let attempts = std::mem::take(&mut self.unreported);
            due.push(FailedAttempts { address: None, login: None, attempts });
        }
        due
    }

    /// All unreported attempts, at shutdown.
    pub(super) fn remaining_reports(&mut self, now: Instant) -> Vec<FailedAttempts> {
        self.addresses.values_mut().for_each(|record| record.reported = None);
        self.due_reports(now)
    }

    /// Removes addresses without anything to report, or else the address that was quiet the longest.
    fn make_room(&mut self, now: Instant) {
        if self.addresses.len() < MAX_ADDRESSES {
            return;
        }
        let is_over = |record: &AddressRecord| record.attempts == 0 && now - record.last > REPORT_INTERVAL;
        self.addresses.retain(|_, record| !is_over(record));
        let quiet = self.addresses.iter().min_by_key(|(_, record)| record.last).map(|(quiet, _)| *quiet);
        if self.addresses.len() >= MAX_ADDRESSES
            && let Some(record) = quiet.and_then(|quiet| self.addresses.remove(&quiet))
        {
            self.unreported += record.attempts;
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn failed(
        reports: &mut Reports,
        address: Option<IpAddr>,
        login: Option<&str>,
        now: Instant,
    ) -> Option<FailedAttempts> {
        reports.count_attempt(address, login, now);
        reports.report(address, now)
    }

    #[test]
    fn the_first_failure_is_reported_at_once_and_the_rest_of_the_minute_together() {
        let (mut reports, mut now) = (Reports::default(), Instant::now());
        let expected_report = |attempts, login: Option<&str>| FailedAttempts {
            address: address(1),
            login: login.map(str::to_owned),
            attempts,
        };
        assert_eq!(failed(&mut reports, address(1), Some("a"), now), Some(expected_report(1, Some("a"))));
        for _ in 0..5 {
            assert_eq!(failed(&mut reports, address(1), Some("b"), now), None);
        }
        assert_eq!(reports.due_reports(now), []);
        now += REPORT_INTERVAL;
        assert_eq!(reports.due_reports(now), [expected_report(5, Some("b"))]);
        now += REPORT_INTERVAL;
        assert_eq!(reports.due_reports(now), []);
        assert_eq!(failed(&mut reports, address(1), None, now), Some(expected_report(1, None)));
        assert_eq!(failed(&mut reports, address(1), Some("c"), now), None);
        assert_eq!(reports.due_reports(now), []);
        assert_eq!(reports.remaining_reports(now), [expected_report(1, Some("c"))], "as there will be no later");
    }

    #[test]
    fn neither_memory_nor_the_journal_grows_with_the_number_of_attackers() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        let attackers = u32::try_from(MAX_ADDRESSES).unwrap() + 1000;
        let mut reported = 0;
        for host in 0..attackers {
            let address = Some(IpAddr::from((host + 1).to_be_bytes()));
            reported += failed(&mut reports, address, None, now).map_or(0, |it| it.attempts);
        }
        assert_eq!(reported, u64::from(MAX_REPORTS));
        assert_eq!(reports.addresses.len(), MAX_ADDRESSES);
        let due = reports.due_reports(now + REPORT_INTERVAL + SECOND);
        assert!(due.len() <= MAX_REPORTS as usize + 1, "{}", due.len());
        reported += due.iter().map(|it| it.attempts).sum::<u64>();
        assert_eq!(reported, u64::from(attackers), "each attempt is told of once");
    }
}
