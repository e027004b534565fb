//! Folding: customers' facts into contributions, moved into the sheets a hundred at a time.

use std::collections::{BTreeSet, VecDeque};

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::fold::{Contribution, World};
use revtrail_core::id::CustomerId;
use revtrail_core::time::Instant;
use revtrail_store::contribution::{Move, Moved};
use revtrail_store::facts::CustomerFacts;
use revtrail_store::market::{Market, witnessed};
use revtrail_store::sheets::Desk;
use revtrail_store::work::Unit;

use crate::AttributorError;

/// Customers folded at a time: about what one transaction carries.
const BATCH: usize = 90;
/// Customers read at the same time.
const READS_AT_ONCE: usize = 8;

/// Works off a unit of customers and deletes it. Customers who cannot be folded are put into a unit of their own, so that
/// they keep nobody else from being folded, and wait for the next tick.
///
/// # Errors
/// What the table answers, and the first customer who could not be folded. What was done stays, and does no harm when it is
/// done again.
pub(crate) async fn work(
    market: &Market,
    unit: &Unit,
    run_id: &str,
    now: Instant,
) -> Result<(), AttributorError> {
    let mut total = Moved::default();
    let mut stuck = BTreeSet::new();
    let mut outcome = Ok(());
    let mut waiting: VecDeque<CustomerId> = unit.customers().iter().cloned().collect();
    let mut desk = Desk::default();
    let mut at_once = BATCH;
    while !waiting.is_empty() {
        let some: Vec<CustomerId> = waiting.drain(..waiting.len().min(at_once)).collect();
        match fold_some(market, some.clone(), &mut desk, now).await {
            Ok(moved) => {
                waiting.extend(moved.again.iter().cloned());
                total.add(moved);
            }
            // Trying again helps with what passes; the next tick does.
            Err(AttributorError::Store(error)) if error.is_busy() => return Err(error.into()),
            Err(error) if some.len() == 1 => {
                stuck.extend(some);
                outcome = Err(error);
                desk = Desk::default();
            }
            Err(_) => {
                // One of them is at fault: from here on one by one.
                at_once = 1;
                some.into_iter()
                    .rev()
                    .for_each(|one| waiting.push_front(one));
                desk = Desk::default();
            }
        }
    }
    if !stuck.is_empty() {
        crate::plan::add_units(market, stuck, run_id).await?;
    }
    if !market.meta().await?.has_orders {
        market.keep_early(unit).await?;
    }
    market.unit_done(unit, &total).await?;
    outcome
}

async fn fold_some(
    market: &Market,
    customers: Vec<CustomerId>,
    desk: &mut Desk,
    now: Instant,
) -> Result<Moved, AttributorError> {
    // The version of the rules first, then the rules, then the facts: a change on the way is noticed when the fold is written.
    let mut rules = market.rules_seen().await?;
    let Some(versions) = market.versions().await? else {
        return Ok(Moved::default());
    };
    let mut catalog = market.catalog().await?;
    let reads: Vec<_> = customers
        .into_iter()
        .map(|id| read(market, id, now))
        .collect();
    let facts: Vec<(CustomerId, CustomerFacts)> = stream::iter(reads)
        .buffered(READS_AT_ONCE)
        .try_collect()
        .await?;
    let events = || facts.iter().flat_map(|(_, facts)| &facts.events);
    if let Some(grown) = catalog.witnessing(events()) {
        // Facts whose note is not closed yet, or never will be: their campaigns are told here.
        for seen in witnessed(events()) {
            if grown.get(&seen.campaign_id) != catalog.get(&seen.campaign_id) {
                market.witness_campaign(&seen, &versions).await?;
            }
        }
        rules = market.rules_seen().await?;
        catalog = market.catalog().await?;
    }
    let world = World::new(&catalog, &versions, Some(market.retention().look_back_ms()));
    let first_visible = market.retention().first_visible(world.day(now));
    let fold = |(customer, facts): (CustomerId, CustomerFacts)| {
        let new = Contribution::of(
            &world.timeline(&facts.events),
            &facts.orders,
            &world,
            first_visible,
        );
        Move {
            customer,
            stored: facts.stored,
            new,
        }
    };
    let moves = facts.into_iter().map(fold).collect();
    Ok(market
        .move_all(moves, rules, first_visible, desk, now)
        .await?)
}

async fn read(
    market: &Market,
    id: CustomerId,
    now: Instant,
) -> Result<(CustomerId, CustomerFacts), AttributorError> {
    let facts = market.customer(&id, now).await?;
    Ok((id, facts))
}
