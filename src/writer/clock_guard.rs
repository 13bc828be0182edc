//! Notices when the clock jumps ahead.
//!
//! Times never decrease within a chain, so an event sealed while the clock is wrong would date all later ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use crate::{event::UnixMillis, time::Clock};

/// Compares the clock with the time that has passed since the process started.
pub(super) struct ClockGuard {
    clock: Arc<dyn Clock>,
    max_jump: Duration,
    /// By how many milliseconds the clock was furthest ahead of the time that had passed.
    furthest: AtomicI64,
    is_refusing: AtomicBool,
}

/// The clock is further ahead than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock has jumped ahead by {}; events are refused until it is set back, or until a restart if it is right",
    humantime::format_duration(Duration::from_secs(.ahead.as_secs()))
)]
pub struct ClockJumped {
    pub ahead: Duration,
}

impl ClockGuard {
    pub(super) fn new(clock: Arc<dyn Clock>, max_jump: Duration) -> Self {
        let furthest = AtomicI64::new(offset(clock.as_ref()).1);
        Self { clock, max_jump, furthest, is_refusing: AtomicBool::new(false) }
    }

    /// The time, unless the clock has jumped ahead. A clock that is set back and forth again has not.
    pub(super) fn now(&self) -> Result<UnixMillis, ClockJumped> {
        let (now, offset) = offset(self.clock.as_ref());
        let furthest = self.furthest.load(Ordering::Relaxed);
        let ahead = Duration::from_millis(u64::try_from(offset.saturating_sub(furthest)).unwrap_or(0));
        let has_jumped = ahead > self.max_jump;
        if self.is_refusing.swap(has_jumped, Ordering::Relaxed) != has_jumped {
            match has_jumped {
                true => {
                    tracing::error!(ahead_seconds = ahead.as_secs(), "the clock has jumped ahead: events are refused")
                }
                false => tracing::warn!("the clock is right again: events are accepted"),
            }
        }
        if has_jumped {
            return Err(ClockJumped { ahead });
        }
        self.furthest.fetch_max(offset, Ordering::Relaxed);
        Ok(now)
    }
}

/// The time, and by how many milliseconds it is ahead of the time that has passed.
fn offset(clock: &dyn Clock) -> (UnixMillis, i64) {
    let now = clock.now();
    let passed = i64::try_from(clock.since_boot().as_millis()).unwrap_or(i64::MAX);
    (now, now.0.saturating_sub(passed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Set {
        now: AtomicI64,
        passed: AtomicI64,
    }

    impl Clock for Set {
        fn now(&self) -> UnixMillis {
            UnixMillis(self.now.load(Ordering::Relaxed))
        }

        fn since_boot(&self) -> Duration {
            Duration::from_millis(self.passed.load(Ordering::Relaxed).unsigned_abs())
        }
    }

    #[test]
    fn a_jump_ahead_is_refused_until_the_clock_is_back() {
        const HOUR: i64 = 3_600_000;
        let clock = Arc::new(Set::default());
        let guard = ClockGuard::new(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(3_600));
        let at = |now: i64, passed: i64| {
            clock.now.store(now, Ordering::Relaxed);
            clock.passed.store(passed, Ordering::Relaxed);
            guard.now().map_err(|jump| jump.ahead.as_secs() / 3_600)
        };
        assert_eq!(at(0, 0), Ok(UnixMillis(0)));
        assert_eq!(at(500 * HOUR, 500 * HOUR), Ok(UnixMillis(500 * HOUR)), "time passes while nothing is logged");
        assert_eq!(at(9_600 * HOUR, 501 * HOUR), Err(9_099));
        assert_eq!(at(9_700 * HOUR, 601 * HOUR), Err(9_099), "however long it lasts");
        assert_eq!(at(602 * HOUR, 602 * HOUR), Ok(UnixMillis(602 * HOUR)));
        assert_eq!(at(100 * HOUR, 603 * HOUR), Ok(UnixMillis(100 * HOUR)), "chains see to a clock that is set back");
        assert_eq!(at(604 * HOUR, 604 * HOUR), Ok(UnixMillis(604 * HOUR)));
        assert_eq!(at(606 * HOUR, 605 * HOUR), Ok(UnixMillis(606 * HOUR)), "as far as allowed");
    }
}
