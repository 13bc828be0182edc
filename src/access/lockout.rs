//! Who fails to say who they are is made to wait, longer each time; and each failure is told of, but not each by itself.
//!
//! Failures count for the address of the client (of IPv6, its /64), and for the login that basic credentials name. Past the
//! limit each further one doubles the wait, from one second up to the longest. A login has five times the limit of an address, so that
//! it takes many addresses to lock somebody else out. Failures are forgotten when none has been added for the longest wait.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How many addresses and logins are remembered.
const MAX_SUBJECTS: usize = 10_000;
const LOGIN_FACTOR: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// An address is told of once in so long, and this many of them.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
const MAX_REPORTS: u32 = 60;

pub(super) struct Lockout {
    limit: u32,
    longest: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    subjects: HashMap<Subject, Record>,
    budget: Budget,
    /// Attempts that no report tells of, as there would be too many.
    untold: u64,
}

/// How many reports there were in the interval that began then.
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

#[derive(Clone, PartialEq, Eq, Hash)]
enum Subject {
    Address(IpAddr),
    Login(String),
}

struct Record {
    failures: u32,
    last: Instant,
    locked_until: Option<Instant>,
    reported: Option<Instant>,
    /// Attempts since.
    attempts: u64,
    /// The login of the latest.
    login: Option<String>,
}

/// What an event is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempts {
    /// `None` if it is not known, or they are of many.
    pub address: Option<IpAddr>,
    /// What the latest of them said to be.
    pub login: Option<String>,
    pub attempts: u64,
}

impl Lockout {
    pub(super) fn new(limit: u32, longest: Duration) -> Self {
        Self { limit, longest: longest.max(FIRST_WAIT), state: Mutex::default() }
    }

    /// How long the caller still has to wait. The attempt counts for the next report.
    pub(super) fn wait(&self, address: Option<IpAddr>, login: Option<&str>) -> Option<Duration> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let subjects = subjects(address, login);
        let left = |subject: &Subject| {
            let until = state.subjects.get(subject)?.locked_until?;
            until.checked_duration_since(now).filter(|left| !left.is_zero())
        };
        let wait = subjects.iter().filter_map(left).max()?;
        if let Some(record) = subjects.first().and_then(|subject| state.subjects.get_mut(subject)) {
            record.attempts += 1;
        }
        Some(wait)
    }

    /// Counts a failure. The report is due now, or will come with a later one.
    pub(super) fn failed(&self, address: Option<IpAddr>, login: Option<&str>) -> Option<FailedAttempts> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let subjects = subjects(address, login);
        for subject in &subjects {
            let limit = match subject {
                Subject::Address(_) => self.limit,
                Subject::Login(_) => self.limit.saturating_mul(LOGIN_FACTOR),
            };
            self.count(&mut state, subject, limit, now);
        }
        let Some(first) = subjects.first() else {
            state.untold += 1;
            return None;
        };
        if let Some(record) = state.subjects.get_mut(first) {
            record.attempts += 1;
            record.login = login.map(str::to_owned);
        }
        state.report(first, now)
    }

    /// Reports of what came since the last ones; to be asked for now and then.
    pub(super) fn due(&self) -> Vec<FailedAttempts> {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = state.subjects.iter().filter(|(_, record)| record.attempts > 0);
        let waiting: Vec<_> = waiting.map(|(subject, _)| subject.clone()).collect();
        let mut due: Vec<_> = waiting.iter().filter_map(|subject| state.report(subject, now)).collect();
        if state.untold > 0 {
            let attempts = std::mem::take(&mut state.untold);
            due.push(FailedAttempts { address: None, login: None, attempts });
        }
        due
    }

    fn count(&self, state: &mut State, subject: &Subject, limit: u32, now: Instant) {
        if !state.subjects.contains_key(subject) {
            state.make_room(now, self.longest);
        }
        let fresh = Record { failures: 0, last: now, locked_until: None, reported: None, attempts: 0, login: None };
        let record = state.subjects.entry(subject.clone()).or_insert(fresh);
        if now - record.last > self.longest {
            record.failures = 0;
        }
        record.failures = record.failures.saturating_add(1);
        record.last = now;
        if let Some(beyond) = record.failures.checked_sub(limit) {
            let wait = FIRST_WAIT.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX));
            record.locked_until = Some(now + wait.min(self.longest));
        }
    }
}

impl State {
    fn report(&mut self, subject: &Subject, now: Instant) -> Option<FailedAttempts> {
        let record = self.subjects.get_mut(subject)?;
        if record.reported.is_some_and(|reported| now - reported < REPORT_INTERVAL) {
            return None;
        }
        record.reported = Some(now);
        let attempts = std::mem::take(&mut record.attempts);
        if !self.budget.take(now) {
            self.untold += attempts;
            return None;
        }
        let (address, login) = match subject {
            Subject::Address(address) => (Some(*address), record.login.clone()),
            Subject::Login(login) => (None, Some(login.clone())),
        };
        Some(FailedAttempts { address, login, attempts })
    }

    /// Forgets what is over; else whoever was quiet for longest.
    fn make_room(&mut self, now: Instant, longest: Duration) {
        if self.subjects.len() < MAX_SUBJECTS {
            return;
        }
        let Self { subjects, untold, .. } = self;
        subjects.retain(|_, record| {
            let holds = now - record.last <= longest;
            *untold += if holds { 0 } else { record.attempts };
            holds
        });
        if subjects.len() >= MAX_SUBJECTS
            && let Some(quiet) = subjects.iter().min_by_key(|(_, record)| record.last).map(|(quiet, _)| quiet.clone())
        {
            *untold += subjects.remove(&quiet).map_or(0, |record| record.attempts);
        }
    }
}

/// The address first, which reports are about.
fn subjects(address: Option<IpAddr>, login: Option<&str>) -> Vec<Subject> {
    let address = address.map(|address| Subject::Address(network(address)));
    address.into_iter().chain(login.map(|login| Subject::Login(login.to_owned()))).collect()
}

/// Whoever has one address of a /64 has all of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(900);

    fn lockout() -> Lockout {
        Lockout::new(3, LONGEST)
    }

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test(start_paused = true)]
    async fn past_the_limit_each_failure_doubles_the_wait_of_its_address_alone() {
        let lockout = lockout();
        for _ in 0..2 {
            lockout.failed(address(1), None);
            assert_eq!(lockout.wait(address(1), None), None);
        }
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            lockout.failed(address(1), None);
            assert_eq!(lockout.wait(address(1), None), Some(SECOND * expected));
            assert_eq!(lockout.wait(address(2), None), None);
            advance(SECOND * expected).await;
            assert_eq!(lockout.wait(address(1), None), None);
        }
        // Forgotten once it was quiet for long enough.
        advance(LONGEST + SECOND).await;
        lockout.failed(address(1), None);
        assert_eq!(lockout.wait(address(1), None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_login_is_locked_from_wherever_it_is_tried_but_later() {
        let lockout = lockout();
        for last in 0..14 {
            lockout.failed(address(last), Some("alice"));
            assert_eq!(lockout.wait(address(99), Some("alice")), None);
        }
        lockout.failed(address(14), Some("alice"));
        assert_eq!(lockout.wait(address(99), Some("alice")), Some(SECOND));
        assert_eq!(lockout.wait(address(99), Some("bob")), None);
        assert_eq!(lockout.wait(address(99), None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn neighbours_in_ipv6_count_as_one_and_ipv4_is_itself_in_either_dress() {
        let lockout = lockout();
        for host in ["2001:db8::1", "2001:db8::2:0:0:1", "2001:db8:0:0:ffff::"] {
            lockout.failed(Some(host.parse().unwrap()), None);
        }
        assert!(lockout.wait(Some("2001:db8::9".parse().unwrap()), None).is_some());
        assert!(lockout.wait(Some("2001:db8:0:1::1".parse().unwrap()), None).is_none());
        for _ in 0..3 {
            lockout.failed(Some("::ffff:192.0.2.7".parse().unwrap()), None);
        }
        assert!(lockout.wait(address(7), None).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_failure_is_told_at_once_and_the_rest_of_the_minute_together() {
        let lockout = Lockout::new(100, LONGEST);
        let told = |attempts, login: Option<&str>| FailedAttempts {
            address: address(1),
            login: login.map(str::to_owned),
            attempts,
        };
        assert_eq!(lockout.failed(address(1), Some("a")), Some(told(1, Some("a"))));
        for _ in 0..5 {
            assert_eq!(lockout.failed(address(1), Some("b")), None);
        }
        assert_eq!(lockout.due(), []);
        advance(REPORT_INTERVAL).await;
        assert_eq!(lockout.due(), [told(5, Some("b"))]);
        advance(REPORT_INTERVAL).await;
        assert_eq!(lockout.due(), []);
        assert_eq!(lockout.failed(address(1), None), Some(told(1, None)));
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_while_it_is_locked_are_told_of_too() {
        let lockout = Lockout::new(1, LONGEST);
        lockout.failed(address(1), None);
        for _ in 0..4 {
            assert!(lockout.wait(address(1), None).is_some());
        }
        advance(REPORT_INTERVAL).await;
        assert_eq!(lockout.due(), [FailedAttempts { address: address(1), login: None, attempts: 4 }]);
    }

    #[tokio::test(start_paused = true)]
    async fn neither_memory_nor_the_journal_grows_with_the_number_of_attackers() {
        let lockout = lockout();
        let attackers = u32::try_from(MAX_SUBJECTS).unwrap() + 1000;
        let mut told = 0;
        for host in 0..attackers {
            told += lockout.failed(Some(IpAddr::from((host + 1).to_be_bytes())), None).map_or(0, |it| it.attempts);
        }
        assert_eq!(told, u64::from(MAX_REPORTS));
        assert_eq!(lockout.state.lock().unwrap().subjects.len(), MAX_SUBJECTS);
        advance(REPORT_INTERVAL).await;
        let due = lockout.due();
        assert!(due.len() <= MAX_REPORTS as usize + 1, "{}", due.len());
        told += due.iter().map(|it| it.attempts).sum::<u64>();
        assert_eq!(told, u64::from(attackers), "each attempt is told of once");
    }
}
