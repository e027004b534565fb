//! Verification: what is stored of customers against what their facts add up to. It writes nothing but what it found.

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::{Job, ListPlace, Progress, Work};
use revtrail_store::market::Market;

use crate::fold::{RulesSnapshot, contribution};
use crate::{AttributorError, Invocation, JobLimits, Until};

/// Customers compared at the same time.
const READS_AT_ONCE: usize = 8;
/// How often a customer who is changed meanwhile is looked at again.
const LOOKS_MAX: usize = 5;

/// What a look at a customer found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    /// All as the facts say.
    Same,
    /// Something else, and nothing waits that would explain it.
    Different,
    /// Folded by another job since, parked, or waiting for a run: there is nothing to compare here.
    Elsewhere,
}

/// Walks through the lists of all jobs, and compares every customer under the job that folded him last: so each once. What a list
/// gave is counted with the place behind it, so that whoever goes on, and however many do, count it once.
pub(crate) async fn work(
    market: &Market,
    job: &Job,
    (after, mut left): (Option<ListPlace>, Option<usize>),
    limits: JobLimits,
    until: Until<'_>,
) -> Result<Invocation, AttributorError> {
    let mut job = job.clone();
    let mut place = after.unwrap_or_else(ListPlace::anywhere);
    // None left: all are counted, and whoever counted the last died before the job was done.
    while left != Some(0) {
        let now = until.now();
        let Some(snapshot) =
            RulesSnapshot::read(market, market.settings().rules_seen(job.shard).await?).await?
        else {
            return Ok(Invocation::Done);
        };
        let (lists, next) = market.jobs().job_lists(place.clone(), now).await?;
        for (folded_by, customers) in &lists {
            let mut found = Progress::default();
            let looks: Vec<_> = customers
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
            let after = Some(place.behind(folded_by));
            let rest = Work::Verify { after, left };
            if !market.jobs().verified(&mut job, &found, rest).await? {
                return Ok(Invocation::Done);
            }
            if left == Some(0) {
                break;
            }
            if until.is_over() {
                return Ok(Invocation::HandedOver);
            }
        }
        let Some(next) = next else { break };
        place = next;
    }
    market.jobs().job_done(&job).await?;
    Ok(Invocation::Done)
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
            // Whoever cannot be read is parked.
            Err(_) => None,
        };
        let Some(facts) = facts.filter(|facts| facts.stored.job_id == folded_by) else {
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
        // Was he, or were the rules, changed while he was looked at? Then another look tells.
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
