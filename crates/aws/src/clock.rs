//! The receiver's clock. Among the HTTP functions, only this file reads the machine's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use revtrail_core::value::time::Instant;

/// Where the current time comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock, shifted by an offset.
    Running {
        /// How far this clock is ahead of the machine's clock, in milliseconds.
        offset_ms: i64,
    },
    /// A clock that does not run. It shows the stored value, in milliseconds since the epoch, until somebody stores another.
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock without an offset.
    pub const REAL: Self = Self::Running { offset_ms: 0 };

    /// A clock that shows `start` now and runs on from there.
    pub fn starting_at(start: Instant) -> Self {
        Self::Running {
            offset_ms: start.ms() - machine_ms(),
        }
    }

    /// The current time of this clock.
    pub fn now(&self) -> Instant {
        Instant::from_ms(match self {
            Self::Running { offset_ms } => machine_ms().saturating_add(*offset_ms),
            Self::Set(ms) => ms.load(Ordering::Relaxed),
        })
    }
}

fn machine_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_runs_on_from_its_start_and_a_set_one_stands() {
        let start = Instant::parse("2026-11-20T10:00:00Z").unwrap();
        let ahead_ms = Clock::starting_at(start).now().ms() - start.ms();
        assert!((0..60_000).contains(&ahead_ms), "{ahead_ms}");
        let hand = Arc::new(AtomicI64::new(7));
        let clock = Clock::Set(hand.clone());
        assert_eq!(clock.now().ms(), 7);
        hand.store(9, Ordering::Relaxed);
        assert_eq!(clock.now().ms(), 9);
    }
}
