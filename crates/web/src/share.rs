//! How much of this process one marketplace may use at once, so that the others find room. This is for `revtrail serve`: one process
//! of a Lambda function has one call at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use revtrail_core::value::id::MarketplaceId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// How many calls with a body are worked on at once.
const WRITES_AT_ONCE: usize = 8;
/// The most marketplaces that are remembered. Above it, those without a call are forgotten.
const REMEMBERED_MAX: usize = 1_000;

/// The largest body that is read beside any others: some hundred records, about a millisecond of work.
const SMALL_BODY_BYTES_MAX: usize = 64 * 1024;

/// What a call takes of its marketplace's share.
///
/// What computes for long is done few at once: of each of the two kinds, as many as half of the cores, so one on a machine of two. A
/// marketplace that asks for both without an end has two threads that compute, and one at the database, where every marketplace has
/// an equal share of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A list or a report, which reads much. Each holds some 25 MB.
    Heavy,
    /// Any other call that reads.
    Light,
    /// A call that sends a body. Eight bodies of 4 MiB, with what is read of them, are some 150 MB. Those that wait have not sent theirs,
    /// and take a few KB each, so that a sale's rush of redeems waits and is not turned away.
    Write,
    /// A large body, as soon as it is there: reading a thousand records takes some ten milliseconds. Its call takes [`Work::Write`] too.
    Bulk,
}

impl Work {
    /// What a call takes before its body is read, so that calls that wait hold none. A client that sends slowly keeps none of the few
    /// places from others.
    pub(crate) fn at_the_door(self, has_body: bool) -> Self {
        match has_body {
            true => Self::Write,
            false => self,
        }
    }

    /// What a call takes in addition when its body is there.
    pub(crate) fn with_body(self, body: &Bytes, headers: &HeaderMap) -> Option<Self> {
        let is_large = body.len() > SMALL_BODY_BYTES_MAX || headers.contains_key(CONTENT_ENCODING);
        match self {
            Self::Heavy => Some(Self::Heavy),
            _ => is_large.then_some(Self::Bulk),
        }
    }
}

/// The calls of one kind: so many are worked on at once, and so many are there, with those that wait.
struct Lane {
    places: Arc<Semaphore>,
    workers: Arc<Semaphore>,
}

impl Lane {
    fn new(at_once: usize, places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            workers: Arc::new(Semaphore::new(at_once)),
        }
    }
}

/// The share of one marketplace.
struct Share {
    heavy: Lane,
    light: Lane,
    write: Lane,
    bulk: Lane,
}

impl Share {
    fn of(cores: usize) -> Self {
        let few = (cores / 2).max(1);
        Self {
            heavy: Lane::new(few, 128),
            light: Lane::new(16, 256),
            write: Lane::new(WRITES_AT_ONCE, 20_000),
            // Whoever comes here has a place among the writes.
            bulk: Lane::new(few, WRITES_AT_ONCE),
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
pub(crate) struct Shares {
    cores: usize,
    taken: Mutex<HashMap<MarketplaceId, Arc<Share>>>,
}

impl Default for Shares {
    /// The shares of this machine.
    fn default() -> Self {
        Self::on(thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Shares {
    fn on(cores: usize) -> Self {
        Self {
            cores,
            taken: Mutex::default(),
        }
    }

    fn of(&self, marketplace: &MarketplaceId) -> Arc<Share> {
        let mut shares = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(marketplace) {
            return share.clone();
        }
        if shares.len() >= REMEMBERED_MAX {
            // Whoever holds a part of a share holds its semaphores too.
            let in_use = |lane: &Lane| Arc::strong_count(&lane.places) > 1;
            shares.retain(|_, share| {
                let lanes = [&share.heavy, &share.light, &share.write, &share.bulk];
                Arc::strong_count(share) > 1 || lanes.into_iter().any(in_use)
            });
        }
        let new = || Arc::new(Share::of(self.cores));
        shares
            .entry(marketplace.clone())
            .or_insert_with(new)
            .clone()
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
            Work::Bulk => &share.bulk,
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
        let shares = Shares::on(8);
        let a = MarketplaceId::new("a").unwrap();
        let held = shares.take(&a, Work::Heavy).now_or_never();
        let held = held.unwrap().unwrap();
        for (of, work, expected) in [
            ("a", Work::Heavy, [3, 124, 23]),
            ("a", Work::Light, [16, 134, 0]),
            ("a", Work::Write, [8, 142, 0]),
            ("a", Work::Bulk, [4, 4, 142]),
            ("b", Work::Heavy, [4, 124, 22]),
        ] {
            assert_eq!(counts(&shares, of, work, 150), expected, "{of} {work:?}");
        }
        // Calls that were dropped while they waited gave back what they had.
        drop(held);
        assert_eq!(counts(&shares, "a", Work::Heavy, 150), [4, 124, 22]);
    }

    /// What computes for long is worked on by half of the cores, and by one at least.
    #[test]
    fn few_calls_that_compute_for_long_are_worked_on_at_once() {
        for (cores, at_once) in [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8)] {
            for work in [Work::Heavy, Work::Bulk] {
                let [working, ..] = counts(&Shares::on(cores), "a", work, 100);
                assert_eq!(working, at_once, "{work:?} on {cores} cores");
            }
        }
    }

    /// What a call takes when its body of so many bytes is there, packed or not.
    #[test]
    fn a_large_body_is_read_beside_few_others() {
        let mut packed = HeaderMap::new();
        packed.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        let plain = HeaderMap::new();
        for (work, bytes, headers, expected) in [
            (Work::Write, 65_536, &plain, None),
            (Work::Write, 65_537, &plain, Some(Work::Bulk)),
            (Work::Write, 1, &packed, Some(Work::Bulk)),
            (Work::Heavy, 1, &plain, Some(Work::Heavy)),
        ] {
            let taken = work.with_body(&Bytes::from(vec![0; bytes]), headers);
            assert_eq!(taken, expected, "{work:?} {bytes} {headers:?}");
        }
    }

    #[test]
    fn only_marketplaces_without_a_call_are_forgotten() {
        let shares = Shares::on(8);
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
        assert!(shares.taken.lock().unwrap().len() <= REMEMBERED_MAX);
        drop(held);
    }
}
