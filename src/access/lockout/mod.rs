//! Who fails to say who they are is made to wait, longer each time.
//!
//! **What is counted.** Failures count for three things: the *pair* of the client's address (of IPv6, its /64) and the login that basic
//! credentials name, or the very credentials of other kinds; the *address*, whatever it shows; and the *login*, wherever it is tried.
//! From the limit on, each further failure doubles the wait, from one second up to the longest. An address has five times the limit of
//! a pair, so that one person's failures keep nobody else out who comes by the same address; a login has a hundred times, so that it takes
//! some hundred addresses to keep its owner out. Failures are forgotten when none has been added for the longest wait.
//!
//! **Who is let in is remembered.** A pair that was let in has for a day to wait for nobody's failures but its own. So neither a guesser at
//! the same address nor one with many addresses keeps out whoever is at their usual place.
//!
//! **An attempt is counted before it is made.** At most so many are under way that all of them may fail without going beyond a limit,
//! and one where the limit is reached; further ones wait for their turn. An attempt that is let in gives its place back. One of which nobody hears the
//! end, as the client hung up, has failed. Where no system could be asked, nothing was learnt, and nothing is counted; where one said no to a login
//! and another was silent, the password was tried, and that counts.

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

/// The limits of an address, and of a login, in limits of a pair.
const ADDRESS_FACTOR: u32 = 5;
const LOGIN_FACTOR: u32 = 100;

pub(super) struct Lockout {
    limit: u32,
    salt: [u8; 32],
    state: Mutex<State>,
    /// Told whenever an attempt has ended.
    ended: Notify,
}

struct State {
    subjects: Subjects,
    reports: Reports,
}

/// Who tries: from where, and what they show.
pub(super) struct Claim<'a> {
    pub(super) address: Option<IpAddr>,
    pub(super) credentials: &'a Credentials,
    /// For reports, where the credentials name none.
    pub(super) expired_key: Option<String>,
}

/// What comes of a claim.
pub(super) enum Begun<'a> {
    Attempt(Attempt<'a>),
    /// There were too many failures; so long is left.
    Locked(Duration),
    /// As many attempts are under way as may be.
    Full,
}

/// An attempt under way. Dropped without an outcome, it has failed.
pub(super) struct Attempt<'a> {
    lockout: &'a Lockout,
    /// Where there is no connection, there is no address and no pair.
    pair: Option<Subject>,
    others: Vec<(Subject, u32)>,
    address: Option<IpAddr>,
    /// For reports.
    login: Option<String>,
    /// Whether it may guess at something that a person chose.
    pub(super) is_of_login: bool,
    is_settled: bool,
}

impl Lockout {
    pub(super) fn new(limit: u32, longest: Duration) -> Result<Self, getrandom::Error> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt)?;
        let state = State { subjects: Subjects::new(longest), reports: Reports::default() };
        Ok(Self { limit, salt, state: Mutex::new(state), ended: Notify::new() })
    }

    /// Lets an attempt begin, if it may.
    pub(super) fn begin(&self, claim: Claim<'_>) -> Begun<'_> {
        let now = Instant::now();
        let Claim { address, credentials, expired_key } = claim;
        let address = address.map(client_network);
        let login = credentials.login();
        // Spellings that some system may take for the same login are the same one here.
        let counted = login.as_deref().map(str::to_lowercase);
        let shown = match &counted {
            Some(login) => subjects::Shown::Login(login.clone()),
            None => subjects::Shown::Credentials(credentials.digest(&self.salt)),
        };
        let pair = address.map(|address| Subject::Pair(address, shown));
        let mut state = self.state();
        let is_known = pair.as_ref().is_some_and(|pair| state.subjects.is_known(pair, now));
        let others = if is_known { Vec::new() } else { self.others(address, counted) };
        let all = || {
            let others = others.iter().map(|(subject, limit)| (subject, *limit));
            others.chain(pair.iter().map(|pair| (pair, self.limit)))
        };
        if let Some(wait) = all().filter_map(|(subject, _)| state.subjects.wait(subject, now)).max() {
            state.reports.note(address, None, now);
            return Begun::Locked(wait);
        }
        if !all().all(|(subject, limit)| state.subjects.has_room(subject, limit, now)) {
            return Begun::Full;
        }
        all().for_each(|(subject, limit)| state.subjects.begin(subject, limit, now));
        let is_of_login = login.is_some();
        let login = login.or(expired_key);
        Begun::Attempt(Attempt { lockout: self, pair, others, address, login, is_of_login, is_settled: false })
    }

    /// What the attempt counts for besides its pair, with the limits.
    fn others(&self, address: Option<IpAddr>, login: Option<String>) -> Vec<(Subject, u32)> {
        let address = address.map(|address| (Subject::Address(address), self.limit.saturating_mul(ADDRESS_FACTOR)));
        let login = login.map(|login| (Subject::Login(login), self.limit.saturating_mul(LOGIN_FACTOR)));
        address.into_iter().chain(login).collect()
    }

    /// Waits until an attempt has ended, from now on.
    pub(super) fn ended(&self) -> Notified<'_> {
        self.ended.notified()
    }

    /// Reports of what came since the last ones; to be asked for now and then.
    pub(super) fn due(&self) -> Vec<FailedAttempts> {
        self.state().reports.due(Instant::now())
    }

    /// What is left of them, at the end.
    pub(super) fn rest(&self) -> Vec<FailedAttempts> {
        self.state().reports.rest(Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Somebody knows the caller.
    pub(super) fn succeeded(mut self) {
        let now = Instant::now();
        self.settle(|state, attempt| {
            attempt.pair.iter().for_each(|pair| state.subjects.succeed(pair, now));
            attempt.others.iter().for_each(|(subject, _)| state.subjects.give_back(subject));
        });
    }

    /// Nobody could say anything.
    pub(super) fn came_to_nothing(mut self) {
        self.settle(|state, attempt| {
            attempt.subjects().for_each(|subject| state.subjects.give_back(subject));
        });
    }

    /// Nobody knows the caller. A report is due now, or will come with a later one.
    pub(super) fn failed(mut self) -> Option<FailedAttempts> {
        self.fail();
        self.lockout.state().reports.report(self.address, Instant::now())
    }

    fn fail(&mut self) {
        let now = Instant::now();
        self.settle(|state, attempt| {
            attempt.subjects().for_each(|subject| state.subjects.fail(subject, now));
            state.reports.note(attempt.address, attempt.login.as_deref(), now);
        });
    }

    fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.others.iter().map(|(subject, _)| subject).chain(&self.pair)
    }

    fn settle(&mut self, outcome: impl FnOnce(&mut State, &Self)) {
        if !self.is_settled {
            outcome(&mut self.lockout.state(), self);
            self.is_settled = true;
            self.lockout.ended.notify_waiters();
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.fail();
    }
}
