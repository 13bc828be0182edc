//! Exponential back-off with jitter.

use std::time::Duration;

const MAX_WAIT: Duration = Duration::from_secs(30);

/// Doubles with each failure up to 30 s. Each wait is drawn from the upper half, so that clients that failed together
/// do not retry together.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    failures: u32,
}

impl Default for Backoff {
    /// Begins at 200 ms.
    fn default() -> Self {
        Self::starting_at(Duration::from_millis(200))
    }
}

impl Backoff {
    pub const fn starting_at(first: Duration) -> Self {
        Self { first, failures: 0 }
    }

    /// Returns the wait after another failure; at least `least`, for example because a server asked for it.
    pub fn next(&mut self, least: Option<Duration>) -> Duration {
        // Without random bytes, take the middle: only the jitter is lost.
        self.draw(least, getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX)))
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    fn draw(&mut self, least: Option<Duration>, fraction: f64) -> Duration {
        let ceiling = self.first.saturating_mul(2_u32.saturating_pow(self.failures)).min(MAX_WAIT);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(0.5 + fraction / 2.0).max(least.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_are_at_least_as_long_as_asked() {
        let mut backoff = Backoff::starting_at(Duration::from_millis(100));
        let waits: Vec<u128> = (0..12).map(|_| backoff.draw(None, 1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
        assert_eq!(backoff.draw(None, 0.0).as_millis(), 15_000);
        assert_eq!(backoff.draw(Some(Duration::from_secs(60)), 1.0).as_secs(), 60);
        backoff.reset();
        assert_eq!(backoff.draw(None, 1.0).as_millis(), 100);
        for _ in 0..100 {
            backoff.draw(None, 1.0);
        }
        assert_eq!(backoff.draw(None, 1.0), MAX_WAIT);
    }
}
