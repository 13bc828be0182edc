//! The real program, real engines, and faults between them.

mod database;
mod engine;
mod http;
mod load;
mod program;
mod proxy;
mod verify;
mod wire;

use std::{
    thread,
    time::{Duration, Instant},
};

pub(crate) use database::Database;
pub(crate) use engine::{Engine, FaultyEngine, Kind, Prefix, engine_variable};
pub(crate) use http::{Access, Answer, Request};
pub(crate) use load::{Acknowledged, Load, Pace};
pub(crate) use program::{Annals, CommandOutput, Home};
pub(crate) use proxy::{Fault, Forwarded, Proxy};
pub(crate) use verify::{Document, verify};
pub(crate) use wire::{Damage, Wire};

/// How long anything may take that a test waits for, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `look` returns something; `what` describes it if it never does.
#[track_caller]
pub(crate) fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
pub(crate) fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    await_some(what, || holds().then_some(()));
}

/// Returns a random number below `bound`.
pub(crate) fn random(bound: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_ne_bytes(bytes) % bound
}
