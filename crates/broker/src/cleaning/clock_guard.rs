//! A wall clock that leaps must not delete what is young: after a leap forward, deleting by time waits.
//!
//! Pure. The two clocks are compared between rounds: the wall clock may not have gained more than an hour on the one that only
//! ever counts up. A machine that slept looks the same; there the wait costs nothing.

use std::time::Duration;

/// Gain on the steady clock that is taken for a leap.
const LEAP_MS: i64 = 3_600_000;
/// How long nothing is deleted by time after a leap: time for it to be put right.
const WAIT: Duration = Duration::from_secs(300);

/// What the two clocks showed when they were last looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ClockGuard {
    last: Option<(i64, Duration)>,
    wait_until: Option<Duration>,
}

/// Whether the wall clock can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    Yes,
    /// It has just leapt, by so many milliseconds.
    Leapt(i64),
    Waiting,
}

impl ClockGuard {
    /// `steady` counts from any moment, and never back.
    pub fn check(&mut self, wall_ms: i64, steady: Duration) -> Trust {
        let last = self.last.replace((wall_ms, steady));
        if let Some((before_ms, before)) = last {
            let passed = steady.saturating_sub(before).as_millis();
            let passed_ms = i64::try_from(passed).unwrap_or(i64::MAX);
            let gained_ms = wall_ms.saturating_sub(before_ms).saturating_sub(passed_ms);
            if gained_ms > LEAP_MS {
                self.wait_until = Some(steady + WAIT);
                return Trust::Leapt(gained_ms);
            }
            // Back again: what was waited for has happened.
            if gained_ms < -LEAP_MS {
                self.wait_until = None;
            }
        }
        match self.wait_until {
            Some(until) if steady < until => Trust::Waiting,
            _ => {
                self.wait_until = None;
                Trust::Yes
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_MS: i64 = 365 * 24 * 3_600_000;

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_leap_is_waited_for_and_believed_if_it_stays() {
        let mut guard = ClockGuard::default();
        assert_eq!(guard.check(1_000, after(1)), Trust::Yes);
        assert_eq!(guard.check(61_000, after(61)), Trust::Yes);
        assert_eq!(
            guard.check(62_000 + YEAR_MS, after(62)),
            Trust::Leapt(YEAR_MS)
        );
        assert_eq!(guard.check(162_000 + YEAR_MS, after(162)), Trust::Waiting);
        assert_eq!(guard.check(362_000 + YEAR_MS, after(362)), Trust::Yes);
    }

    #[test]
    fn a_leap_that_is_put_right_ends_the_wait() {
        let mut guard = ClockGuard::default();
        guard.check(1_000, after(1));
        assert!(matches!(
            guard.check(2_000 + YEAR_MS, after(2)),
            Trust::Leapt(_)
        ));
        assert_eq!(guard.check(3_000, after(3)), Trust::Yes);
    }

    #[test]
    fn small_steps_and_steps_back_are_no_leaps() {
        let mut guard = ClockGuard::default();
        guard.check(YEAR_MS, after(0));
        assert_eq!(guard.check(YEAR_MS + 1_800_000, after(1)), Trust::Yes);
        assert_eq!(guard.check(5, after(2)), Trust::Yes);
    }
}
