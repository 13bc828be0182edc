//! Makes callers who fail to authenticate wait, longer each time.
//!
//! **What is counted.** Failures count against three subjects: the *pair* of the client's address (for IPv6, its /64)
//! and the login named by basic credentials, or the exact credentials of other kinds; the *address*, whatever
//! credentials it presents; and the *login*, from whatever address. From the limit on, each further failure doubles the
//! wait, from one second up to a maximum. An address has five times the limit of a pair, so that one person's failures
//! do not lock out others behind the same address; a login has a hundred times the limit, so that locking its owner out
//! takes about a hundred addresses. Failures are forgotten when none has been added for the longest wait.
//!
//! **Successes are remembered.** For a day after a success, a pair waits only because of its own failures. So neither
//! an attacker at the same address nor one with many addresses locks out users at their usual place.
//!
//! **Attempts are counted before they are made.** The number of concurrent attempts is bounded so that even if all
//! fail, no limit is exceeded, or to one where the limit is reached; further attempts wait for their turn. A successful
//! attempt gives its place back. An abandoned one, because the client hung up, counts as failed. If no system was
//! available, nothing was learnt and nothing is counted; if one system refused a login and another was unavailable, the
//! password was tried, and that counts.

mod reports;
mod subjects;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::{
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};

pub use self::reports::FailedAttempts;
use self::{
    reports::Reports,
    subjects::{Subject, Subjects},
};
use super::Credentials;
use crate::units::client_network;

/// The limits of an address and of a login, as multiples of a pair's limit.
const ADDRESS_FACTOR: u32 = 5;
const LOGIN_FACTOR: u32 = 100;

pub(super) struct Lockout {
    limit: u32,
    salt: [u8; 32],
    state: Mutex<State>,
    /// Notified whenever an attempt has ended.
    ended: Notify,
}

struct State {
    subjects: Subjects,
    reports: Reports,
}

/// A caller's address and credentials.
pub(super) struct AttemptRequest<'a> {
    pub(super) address: Option<IpAddr>,
    pub(super) credentials: &'a Credentials,
    /// The name of an expired key, for reports; its credentials name no login.
    pub(super) expired_key: Option<String>,
}

/// The result of trying to begin an attempt.
pub(super) enum BeginOutcome<'a> {
    Attempt(Attempt<'a>),
    /// Too many failures; this is the remaining wait.
    Locked(Duration),
    /// Too many concurrent attempts.
    Full,
}

/// An attempt in progress. Dropping it without an outcome counts as a failure.
pub(super) struct Attempt<'a> {
    lockout: &'a Lockout,
    /// Without a connection there is no address and no pair.
    pair: Option<Subject>,
    wider_subjects: Vec<(Subject, u32)>,
    address: Option<IpAddr>,
    /// For reports.
    login: Option<String>,
    /// Whether it may be guessing a secret chosen by a person.
    pub(super) is_of_login: bool,
    has_ended: bool,
}

impl Lockout {
    pub(super) fn new(limit: u32, longest: Duration) -> Result<Self, getrandom::Error> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)?;
        let state = State { subjects: Subjects::new(longest), reports: Reports::default() };
        Ok(Self { limit, salt, state: Mutex::new(state), ended: Notify::new() })
    }

    /// Begins an attempt, if allowed.
    pub(super) fn begin(&self, request: AttemptRequest<'_>) -> BeginOutcome<'_> {
        let now = Instant::now();
        let AttemptRequest { address, credentials, expired_key } = request;
        let address = address.map(client_network);
        let login = credentials.login();
        // Different spellings that some system may accept for the same login count together.
        let counted = login.as_deref().map(str::to_lowercase);
        let shown = match &counted {
            Some(login) => subjects::PresentedCredentials::Login(login.clone()),
            None => subjects::PresentedCredentials::Credentials(credentials.digest(&self.salt)),
        };
        let pair = address.map(|address| Subject::Pair(address, shown));
        let mut state = self.state();
        let is_known = pair.as_ref().is_some_and(|pair| state.subjects.is_known(pair, now));
        let wider_subjects = if is_known { Vec::new() } else { self.wider_subjects(address, counted) };
        let all = || {
            let wider_subjects = wider_subjects.iter().map(|(subject, limit)| (subject, *limit));
            wider_subjects.chain(pair.iter().map(|pair| (pair, self.limit)))
        };
        if let Some(wait) = all().filter_map(|(subject, _)| state.subjects.wait(subject, now)).max() {
            state.reports.count_attempt(address, None, now);
            return BeginOutcome::Locked(wait);
        }
        if !all().all(|(subject, limit)| state.subjects.has_room(subject, limit, now)) {
            return BeginOutcome::Full;
        }
        all().for_each(|(subject, limit)| state.subjects.begin(subject, limit, now));
        let is_of_login = login.is_some();
        let login = login.or(expired_key);
        BeginOutcome::Attempt(Attempt {
            lockout: self,
            pair,
            wider_subjects,
            address,
            login,
            is_of_login,
            has_ended: false,
        })
    }

    /// The subjects of the attempt other than its pair, with their limits.
    fn wider_subjects(&self, address: Option<IpAddr>, login: Option<String>) -> Vec<(Subject, u32)> {
        let address = address.map(|address| (Subject::Address(address), self.limit.saturating_mul(ADDRESS_FACTOR)));
        let login = login.map(|login| (Subject::Login(login), self.limit.saturating_mul(LOGIN_FACTOR)));
        address.into_iter().chain(login).collect()
    }

    /// Waits until an attempt ends, from now on.
    pub(super) fn ended(&self) -> Notified<'_> {
        self.ended.notified()
    }

    /// The reports that are due; to be called periodically.
    pub(super) fn due_reports(&self) -> Vec<FailedAttempts> {
        self.state().reports.due_reports(Instant::now())
    }

    /// The remaining reports, at shutdown.
    pub(super) fn remaining_reports(&self) -> Vec<FailedAttempts> {
        self.state().reports.remaining_reports(Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The caller was identified.
    pub(super) fn succeeded(mut self) {
        let now = Instant::now();
        self.end(|state, attempt| {
            attempt.pair.iter().for_each(|pair| state.subjects.succeed(pair, now));
            attempt.wider_subjects.iter().for_each(|(subject, _)| state.subjects.release(subject));
        });
    }

    /// No system was available.
    pub(super) fn cancel(mut self) {
        self.end(|state, attempt| {
            attempt.subjects().for_each(|subject| state.subjects.release(subject));
        });
    }

    /// The caller is unknown. Returns a report, unless it is left for a later one.
    pub(super) fn failed(mut self) -> Option<FailedAttempts> {
        self.fail();
        self.lockout.state().reports.report(self.address, Instant::now())
    }

    fn fail(&mut self) {
        let now = Instant::now();
        self.end(|state, attempt| {
            attempt.subjects().for_each(|subject| state.subjects.fail(subject, now));
            state.reports.count_attempt(attempt.address, attempt.login.as_deref(), now);
        });
    }

    fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.wider_subjects.iter().map(|(subject, _)| subject).chain(&self.pair)
    }

    fn end(&mut self, outcome: impl FnOnce(&mut State, &Self)) {
        if !self.has_ended {
            outcome(&mut self.lockout.state(), self);
            self.has_ended = true;
            self.lockout.ended.notify_waiters();
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.fail();
    }
}
