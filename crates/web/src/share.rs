//! How much of this process one marketplace may use at once, so that the others find room. This is for `revtrail serve`: one process
//! of a Lambda function has one call at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use revtrail_core::value::id::MarketplaceId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// The most marketplaces that are remembered. Above it, those without a call are forgotten.
const REMEMBERED_MAX: usize = 1_000;

/// What a call takes of its marketplace's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A list or a report, which reads much. Four of them hold some 100 MB.
    Heavy,
    /// Any other call that reads.
    Light,
    /// A call that writes. Eight bodies of 4 MiB, with what is read of them, are some 150 MB. Those that wait have not sent theirs,
    /// and take a few KB each, so that a sale's rush of redeems waits and is not turned away.
    Write,
}

/// The calls of one kind: so many are worked on at once, and so many more wait.
struct Lane {
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
}

impl Lane {
    fn new(at_once: usize, waiting: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(at_once + waiting)),
            workers: Arc::new(Semaphore::new(at_once)),
        }
    }
}

/// The share of one marketplace.
struct Share {
    heavy: Lane,
    light: Lane,
    write: Lane,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            heavy: Lane::new(4, 124),
            light: Lane::new(16, 240),
            write: Lane::new(8, 20_000),
        }
    }
}

/// A part of a share. It is given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ShareTaken {
    _worker: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
}

/// The shares of all marketplaces that call.
#[derive(Default)]
pub(crate) struct Shares(Mutex<HashMap<MarketplaceId, Arc<Share>>>);

impl Shares {
    fn of(&self, marketplace: &MarketplaceId) -> Arc<Share> {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(marketplace) {
            return share.clone();
        }
        if shares.len() >= REMEMBERED_MAX {
            // Whoever holds a part of a share holds its semaphores too.
            let in_use = |lane: &Lane| Arc::strong_count(&lane.places) > 1;
            shares.retain(|_, share| {
                let lanes = [&share.heavy, &share.light, &share.write];
                Arc::strong_count(share) > 1 || lanes.into_iter().any(in_use)
            });
        }
        shares.entry(marketplace.clone()).or_default().clone()
    }

    /// Waits for a part of a marketplace's share.
    ///
    /// # Errors
    /// 429 where too many calls of this marketplace wait already.
    pub(crate) async fn take(
        &self,
        marketplace: &MarketplaceId,
        work: Work,
    ) -> Result<ShareTaken, Problem> {
        let share = self.of(marketplace);
        let lane = match work {
            Work::Heavy => &share.heavy,
            Work::Light => &share.light,
            Work::Write => &share.write,
        };
        let place = lane.places.clone().try_acquire_owned();
        let place = place.map_err(|_| Problem::too_many_calls())?;
        let worker = lane.workers.clone().acquire_owned().await;
        Ok(ShareTaken {
            _worker: worker.map_err(|closed| Problem::internal(&closed))?,
            _place: place,
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// What becomes of so many calls that begin at once: how many work, wait, and are refused.
    fn counts(shares: &Shares, of: &str, work: Work, calls: usize) -> [usize; 3] {
        let id = MarketplaceId::new(of).unwrap();
        let mut waiting: Vec<_> = (0..calls)
            .map(|_| Box::pin(shares.take(&id, work)))
            .collect();
        let now: Vec<_> = waiting.iter_mut().map(|call| call.now_or_never()).collect();
        let count = |is: fn(&Option<Result<ShareTaken, Problem>>) -> bool| {
            now.iter().filter(|call| is(call)).count()
        };
        let working = count(|call| matches!(call, Some(Ok(_))));
        let refused = count(|call| matches!(call, Some(Err(problem)) if problem.status() == 429));
        [working, calls - working - refused, refused]
    }

    #[test]
    fn a_marketplace_has_its_share_and_no_more() {
        let shares = Shares::default();
        let a = MarketplaceId::new("a").unwrap();
        let held = shares.take(&a, Work::Heavy).now_or_never();
        let held = held.unwrap().unwrap();
        for (of, work, expected) in [
            ("a", Work::Heavy, [3, 124, 23]),
            ("a", Work::Light, [16, 134, 0]),
            ("a", Work::Write, [8, 142, 0]),
            ("b", Work::Heavy, [4, 124, 22]),
        ] {
            assert_eq!(counts(&shares, of, work, 150), expected, "{of} {work:?}");
        }
        // Calls that were dropped while they waited gave back what they had.
        drop(held);
        assert_eq!(counts(&shares, "a", Work::Heavy, 150), [4, 124, 22]);
    }

    #[test]
    fn only_marketplaces_without_a_call_are_forgotten() {
        let shares = Shares::default();
        let first = MarketplaceId::new("first").unwrap();
        let take = || shares.take(&first, Work::Heavy).now_or_never();
        let held: Vec<_> = (0..4).map(|_| take().unwrap().unwrap()).collect();
        for n in 0..2 * REMEMBERED_MAX {
            let id = MarketplaceId::new(&format!("m{n}")).unwrap();
            drop(shares.take(&id, Work::Light).now_or_never());
        }
        assert!(
            take().is_none(),
            "the share of a busy marketplace was forgotten"
        );
        assert!(shares.0.lock().unwrap().len() <= REMEMBERED_MAX);
        drop(held);
    }
}
