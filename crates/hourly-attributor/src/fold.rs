//! Folding: customers' facts into contributions, moved into the sheets a hundred at a time.

use std::collections::VecDeque;

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

pub(crate) async fn fold_customers(
    market: &Market,
    unit: &Unit,
    customers: &[CustomerId],
    now: Instant,
) -> Result<(), AttributorError> {
    let mut total = Moved::default();
    let mut waiting: VecDeque<CustomerId> = customers.iter().cloned().collect();
    let mut desk = Desk::default();
    while !waiting.is_empty() {
        let some: Vec<CustomerId> = waiting.drain(..waiting.len().min(BATCH)).collect();
        let moved = fold_some(market, some, &mut desk, now).await?;
        waiting.extend(moved.again);
        total.customers += moved.customers;
        total.orders += moved.orders;
        total.credits_changed += moved.credits_changed;
        total.revenue_moved.add_all(&moved.revenue_moved);
    }
    if !market.meta().await?.has_orders {
        market.keep_early(unit).await?;
    }
    Ok(market.unit_done(unit, &total).await?)
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
