//! Verification compares what is stored of customers with what their facts add up to. It writes nothing but what it found.

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::{Job, ListPlace, Progress, Work};
use revtrail_store::market::Market;

use crate::fold::{RulesSnapshot, contribution};
use crate::{AttributorError, JobEnd, JobLimits, Until};

/// How many customers are compared at the same time.
const READS_AT_ONCE: usize = 8;
/// How many customers are compared before the clock is looked at.
const CUSTOMERS_AT_ONCE: usize = 64;
/// How often a customer is looked at again because they were changed in the meantime.
const LOOKS_MAX: usize = 5;

/// What comparing a customer found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// What is stored is what the facts add up to.
    Same,
    /// Something else is stored, and no work that waits explains it.
    Different,
    /// The customer was folded by another job since, is parked, or waits for a run, so there is nothing to compare here.
    Elsewhere,
}

/// Walks through the lists of all jobs, and compares every customer under the job that folded them last, so each of them once.
/// What a list gave is counted together with the next place, so that it counts once, however many workers go on with the walk.
pub(crate) async fn work(
    market: &Market,
    job: &Job,
    (after, mut left, mut within): (Option<ListPlace>, Option<usize>, Option<(String, usize)>),
    limits: JobLimits,
    until: Until<'_>,
) -> Result<JobEnd, AttributorError> {
    let mut job = job.clone();
    let mut place = after.unwrap_or_else(ListPlace::anywhere);
    // None are left if all are counted, and the worker that counted the last one died before the job was done.
    while left != Some(0) {
        let now = until.now();
        let Some(snapshot) =
            RulesSnapshot::read(market, market.settings().rules_seen(job.shard).await?).await?
        else {
            return Ok(JobEnd::Done);
        };
        let (lists, next) = market.jobs().job_lists(place.clone(), now).await?;
        // The place from which the list that is walked through is read again.
        let mut before = place.clone();
        for (folded_by, customers) in &lists {
            let mut found = Progress::default();
            let done = within.take().filter(|(list, _)| list == folded_by);
            let mut done = done.map_or(0, |(_, done)| done.min(customers.len()));
            while left != Some(0) {
                let some = &customers[done..customers.len().min(done + CUSTOMERS_AT_ONCE)];
                done += some.len();
                let looks: Vec<_> = some
                    .iter()
                    .map(|customer| look(market, &snapshot, customer, folded_by, limits, now))
                    .collect();
                let mut looks = stream::iter(looks).buffered(READS_AT_ONCE);
                while left != Some(0)
                    && let Some(outcome) = looks.try_next().await?
                {
                    if outcome != Found::Elsewhere {
                        found.checked += 1;
                        found.differences += i64::from(outcome == Found::Different);
                        left = left.map(|left| left - 1);
                    }
                }
                if done == customers.len() || until.is_over() {
                    break;
                }
            }
            within = (done < customers.len()).then(|| (folded_by.clone(), done));
            if within.is_none() {
                before = place.behind(folded_by);
            }
            let rest = Work::Verify {
                after: Some(before.clone()),
                left,
                within: within.clone(),
            };
            if !market.jobs().verified(&mut job, &found, rest).await? {
                return Ok(JobEnd::Done);
            }
            if left == Some(0) {
                break;
            }
            if within.is_some() || until.is_over() {
                return Ok(JobEnd::HandedOver);
            }
        }
        let Some(next) = next else { break };
        place = next;
    }
    market.jobs().job_done(&job).await?;
    Ok(JobEnd::Done)
}

async fn look(
    market: &Market,
    snapshot: &RulesSnapshot,
    customer: &CustomerId,
    folded_by: &str,
    limits: JobLimits,
    now: Instant,
) -> Result<Found, AttributorError> {
    let mut newer: Option<RulesSnapshot> = None;
    for _ in 0..LOOKS_MAX {
        let snapshot = newer.as_ref().unwrap_or(snapshot);
        let facts = match market
            .facts()
            .customer(customer, limits.timeline_bytes, now)
            .await
        {
            Ok(facts) => facts,
            Err(error) if error.is_busy() => return Err(error.into()),
            // A customer who cannot be read is parked.
            Err(_) => None,
        };
        let Some(facts) =
            facts.filter(|facts| facts.stored.job_id == folded_by && !facts.stored.is_moving)
        else {
            return Ok(Found::Elsewhere);
        };
        let (world, first_folded) = snapshot.world(market, now);
        let stored = facts.stored.since(first_folded);
        if contribution(&facts, &world, first_folded) == stored
            && market.purchases().rows_are(customer, &stored).await?
        {
            return Ok(Found::Same);
        }
        if market.intake().waits(customer).await? {
            return Ok(Found::Elsewhere);
        }
        // If the customer, or the rules, changed in the meantime, only another look can tell.
        let seen = market.settings().rules_seen(0).await?;
        let stands = market
            .facts()
            .customer(customer, limits.timeline_bytes, now)
            .await?;
        if stands.is_some_and(|stands| stands.stored.version == facts.stored.version)
            && snapshot.is_of(seen)
        {
            tracing::error!(marketplace = %market.id(), "a stored contribution is not what the facts add up to");
            return Ok(Found::Different);
        }
        newer = RulesSnapshot::read(market, seen).await?;
    }
    Ok(Found::Elsewhere)
}
