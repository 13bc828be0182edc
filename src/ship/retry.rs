//! When to try again: exponential back-off with full jitter, for as long as it takes.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// The failures in a row of one thing that is tried.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after another failure: between half of 100 ms, doubled with each failure up to 30 s, and all of it,
    /// but at least what the store asked for. `random` is evenly spread over 0.0..1.0.
    pub(super) fn after_failure(&mut self, asked_for: Option<Duration>, random: f64) -> Duration {
        let bound = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LONGEST);
        self.failures = (self.failures + 1).min(30);
        let jittered = bound.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        jittered.max(asked_for.unwrap_or_default().min(Duration::from_secs(600)))
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Evenly spread over 0.0..1.0; 0 if the operating system has no random bytes, which costs nothing but the jitter.
pub(super) fn random() -> f64 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_never_undercut_what_was_asked_for() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..12).map(|_| backoff.after_failure(None, 1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.after_failure(None, 0.0).as_millis(), 15_000);
        assert_eq!(backoff.after_failure(Some(Duration::from_secs(60)), 1.0).as_secs(), 60);
        backoff.reset();
        assert_eq!(backoff.after_failure(None, 1.0).as_millis(), 100);
        for _ in 0..100 {
            backoff.after_failure(None, 1.0);
        }
        assert_eq!(backoff.after_failure(None, 1.0), LONGEST);
    }
}
