//! Verification: what is stored of customers against what their facts add up to. It writes nothing but what it found.

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::{ListPlace, Progress, Unit, Work};
use revtrail_store::market::Market;

use crate::fold::{Book, contribution};
use crate::{AttributorError, Limits, Turn, Until};

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
    /// Folded by another unit since, parked, or waiting for a run: there is nothing to compare here.
    Elsewhere,
}

/// Walks through the lists of all units, and compares every customer under the unit that folded him last: so each once. What a list
/// gave is counted with the place behind it, so that whoever goes on, and however many do, count it once.
pub(crate) async fn work(
    market: &Market,
    unit: &Unit,
    (after, mut left): (Option<ListPlace>, Option<usize>),
    limits: Limits,
    until: Until<'_>,
) -> Result<Turn, AttributorError> {
    let mut unit = unit.clone();
    let mut place = after.unwrap_or_else(ListPlace::anywhere);
    // None left: all are counted, and whoever counted the last died before the unit was done.
    while left != Some(0) {
        let now = until.now();
        let Some(book) =
            Book::read(market, market.settings().rules_seen(unit.stripe).await?).await?
        else {
            return Ok(Turn::Done);
        };
        let (lists, next) = market.jobs().unit_lists(place.clone(), now).await?;
        for (folded_by, customers) in &lists {
            let mut found = Progress::default();
            let looks: Vec<_> = customers
                .iter()
                .map(|customer| look(market, &book, customer, folded_by, limits, now))
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
            if !market.jobs().verified(&mut unit, &found, rest).await? {
                return Ok(Turn::Done);
            }
            if left == Some(0) {
                break;
            }
            if until.is_over() {
                return Ok(Turn::HandedOver);
            }
        }
        let Some(next) = next else { break };
        place = next;
    }
    market.jobs().unit_done(&unit).await?;
    Ok(Turn::Done)
}

async fn look(
    market: &Market,
    book: &Book,
    customer: &CustomerId,
    folded_by: &str,
    limits: Limits,
    now: Instant,
) -> Result<Found, AttributorError> {
    let mut newer: Option<Book> = None;
    for _ in 0..LOOKS_MAX {
        let book = newer.as_ref().unwrap_or(book);
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
        let Some(facts) = facts.filter(|facts| facts.stored.unit_id == folded_by) else {
            return Ok(Found::Elsewhere);
        };
        let (world, first_folded) = book.world(market, now);
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
            && book.is_of(seen)
        {
            tracing::error!(marketplace = %market.id(), "a stored contribution is not what the facts add up to");
            return Ok(Found::Different);
        }
        newer = Book::read(market, seen).await?;
    }
    Ok(Found::Elsewhere)
}
