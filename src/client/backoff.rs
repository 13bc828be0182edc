//! How long to wait before the next attempt.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);

/// Doubles from 200 ms to 30 s; each wait is drawn from the upper half, so that clients that failed together do not
/// come back together. A server's `Retry-After` is the least wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let ceiling = FIRST.saturating_mul(2u32.saturating_pow(self.attempts)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        let half = ceiling / 2;
        let drawn = half + half.mul_f64(fraction());
        retry_after.map_or(drawn, |least| drawn.max(least))
    }
}

/// Uniform in 0..1; the middle if the system has no randomness to give.
fn fraction() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}
