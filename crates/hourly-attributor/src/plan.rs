//! Planning: from notes to units. Units are written before the notes go, so that no customer is ever in neither.

use std::collections::BTreeSet;

use revtrail_core::id::CustomerId;
use revtrail_core::time::Instant;
use revtrail_store::contribution::Moved;
use revtrail_store::market::{Market, merge_witnessed};
use revtrail_store::notes::Note;
use revtrail_store::sheets::Desk;
use revtrail_store::work::{Redecide, UNIT_CUSTOMERS_MAX, Unit, Work};

use crate::AttributorError;

/// Reads all notes, takes in what they tell of campaigns, groups their customers into units, and deletes the notes that may go.
pub(crate) async fn plan(
    market: &Market,
    run_id: &str,
    now: Instant,
) -> Result<(), AttributorError> {
    let notes = market.notes().await?;
    let Some(versions) = market.versions().await? else {
        return Ok(());
    };
    // Send times first: work planned below must see them.
    for seen in merge_witnessed(notes.iter().flat_map(|note| note.campaigns.iter().cloned())) {
        market.witness_campaign(&seen, &versions).await?;
    }
    let customers: BTreeSet<CustomerId> = notes
        .iter()
        .flat_map(|note| note.customers.iter().cloned())
        .collect();
    add_units(market, customers, Some(run_id.to_owned())).await?;
    let going: Vec<Note> = notes.into_iter().filter(|note| note.may_go(now)).collect();
    market
        .absorb_notes(&going, &versions, &mut Desk::default())
        .await?;
    Ok(())
}

/// Turns a time of orders into units of their customers. The day sheets say which campaigns earned an order that day.
pub(crate) async fn plan_redecide(
    market: &Market,
    unit: &Unit,
    redecide: Redecide,
    now: Instant,
) -> Result<(), AttributorError> {
    if let Some(versions) = market.versions().await? {
        let day = |at: Instant| at.day(versions.at(at).settings.timezone);
        // A day on both sides: a day is named by the zone in force at the order's own instant.
        let (first, last) = (
            day(redecide.from).minus(1),
            day(redecide.to.unwrap_or(now)).plus(2),
        );
        let first = first.max(market.retention().first_visible(day(now)));
        let mut customers = BTreeSet::new();
        for (day, sheet) in market.sheets_now(first, last, now).await? {
            for row in market.orders_of_day(day, &sheet, now).await? {
                if row.line.placed_at >= redecide.from
                    && redecide.to.is_none_or(|to| row.line.placed_at <= to)
                {
                    customers.insert(row.customer_id);
                }
            }
        }
        add_units(market, customers, unit.run_id.clone()).await?;
    }
    Ok(market.unit_done(unit, &Moved::default()).await?)
}

/// Puts the customers that were folded before the first order back into units.
pub(crate) async fn plan_early(market: &Market, unit: &Unit) -> Result<(), AttributorError> {
    let mut customers = BTreeSet::new();
    for early in market.early_units().await? {
        if let Work::Customers(list) = early.work {
            customers.extend(list);
        }
    }
    add_units(market, customers, unit.run_id.clone()).await?;
    Ok(market.unit_done(unit, &Moved::default()).await?)
}

async fn add_units(
    market: &Market,
    customers: BTreeSet<CustomerId>,
    run_id: Option<String>,
) -> Result<(), AttributorError> {
    let customers: Vec<CustomerId> = customers.into_iter().collect();
    let units: Vec<_> = customers
        .chunks(UNIT_CUSTOMERS_MAX)
        .map(|some| Unit::new(Work::Customers(some.to_vec()), run_id.clone()))
        .collect();
    for unit in &units {
        market.add_unit(unit).await?;
    }
    if let Some(run_id) = run_id
        && !units.is_empty()
    {
        market.planned(&run_id, units.len()).await?;
    }
    Ok(())
}
