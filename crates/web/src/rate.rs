//! How many calls a second each key may make in this process.
//!
//! On Lambda a process has one call at a time and there are as many processes as calls at once, so there this brakes a caller that
//! calls one process without a pause. The gateway holds the deployment to its own rate.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use revtrail_core::value::time::Instant;

/// The most keys that are remembered: a few hundred KB. Above it, those are forgotten that have their whole burst.
const REMEMBERED_MAX: usize = 10_000;
/// A key may make as many calls at once as it may make in so many seconds.
const BURST_SECONDS: i64 = 2;
/// What a call takes of a bucket: a thousandth flows in each millisecond for each call a second.
const CALL: i64 = 1_000;
/// A clock that goes back by more than this was set, and the time before it tells nothing.
const CLOCK_BACK_MS: i64 = 60_000;

/// A bucket for each key, by the key's id.
pub(crate) struct Rates {
    per_second: i64,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Clone, Copy)]
struct Bucket {
    left: i64,
    at: Instant,
}

impl Rates {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        Self {
            per_second: per_second.get().into(),
            buckets: Mutex::default(),
        }
    }

    /// True if a key may make a call now. The call is counted.
    pub(crate) fn allows(&self, key_id: &str, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED_MAX && !buckets.contains_key(key_id) {
            buckets.retain(|_, bucket| self.left(*bucket, now) < self.whole());
            if buckets.len() >= REMEMBERED_MAX {
                buckets.clear();
            }
        }
        let known = buckets.get(key_id);
        let left = known.map_or(self.whole(), |bucket| self.left(*bucket, now));
        let is_allowed = left >= CALL;
        let left = left - if is_allowed { CALL } else { 0 };
        // Calls at once have times that differ by some milliseconds, in any order, and no time may fill a bucket twice.
        let later = known
            .map(|bucket| bucket.at)
            .filter(|at| *at > now && *at < now.plus_ms(CLOCK_BACK_MS));
        let at = later.unwrap_or(now);
        buckets.insert(key_id.to_owned(), Bucket { left, at });
        is_allowed
    }

    fn whole(&self) -> i64 {
        self.per_second * BURST_SECONDS * CALL
    }

    /// What a bucket holds now. A clock that went back fills none.
    fn left(&self, bucket: Bucket, now: Instant) -> i64 {
        let passed = now.ms().saturating_sub(bucket.at.ms()).max(0);
        let flowed = passed.saturating_mul(self.per_second);
        bucket.left.saturating_add(flowed).min(self.whole())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Instant {
        Instant::from_ms(ms)
    }

    /// How many calls of a key are allowed at a time.
    fn allowed(rates: &Rates, key: &str, ms: i64) -> usize {
        (0..100).filter(|_| rates.allows(key, at(ms))).count()
    }

    #[test]
    fn a_key_has_a_burst_and_then_its_rate() {
        let rates = Rates::new(NonZeroU32::new(5).unwrap());
        // When, and how many of a hundred calls of the keys a and b are allowed.
        for (ms, a, b) in [
            (0, 10, 10),
            (100, 0, 0),
            (200, 1, 1),
            (1_200, 5, 5),
            (1_199, 0, 0),
            (1_200, 0, 0),
            (1_400, 1, 1),
            (90_000, 10, 10),
            // The clock was set back.
            (0, 0, 0),
            (200, 1, 1),
        ] {
            let both = (allowed(&rates, "a", ms), allowed(&rates, "b", ms));
            assert_eq!(both, (a, b), "after {ms} ms");
        }
    }

    /// What is remembered is bounded; a key that is at its bound stays there as long as others can be forgotten.
    #[test]
    fn keys_that_have_their_burst_are_forgotten_first() {
        let rates = Rates::new(NonZeroU32::new(5).unwrap());
        let name = |n: usize| format!("key {n}");
        for n in 1..REMEMBERED_MAX {
            assert!(rates.allows(&name(n), at(0)));
        }
        assert_eq!(allowed(&rates, "busy", 1_000), 10);
        assert!(rates.allows("another", at(1_000)));
        assert_eq!(allowed(&rates, "busy", 1_000), 0);
        assert_eq!(rates.buckets.lock().unwrap().len(), 2);
        for n in 0..2 * REMEMBERED_MAX {
            rates.allows(&name(n), at(1_000));
        }
        assert!(rates.buckets.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
