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
    add_units(market, customers, run_id).await?;
    let going: Vec<Note> = notes.into_iter().filter(|note| note.may_go(now)).collect();
    market
        .absorb_notes(&going, &versions, &mut Desk::default())
        .await?;
    Ok(())
}

/// Turns what settings and campaigns asked for into units of customers, each customer once however many changes touch it.
/// Customers who are in units already are left to them: these are worked off after the change.
pub(crate) async fn expand(
    market: &Market,
    asked: &[Unit],
    in_units: &BTreeSet<CustomerId>,
    run_id: &str,
    now: Instant,
) -> Result<(), AttributorError> {
    let mut customers = BTreeSet::new();
    if asked.iter().any(|unit| unit.work == Work::RefoldEarly) {
        for early in market.early_units().await? {
            if let Work::Customers(list) = early.work {
                customers.extend(list);
            }
        }
    }
    let redecides = asked.iter().filter_map(|unit| match unit.work {
        Work::Redecide(redecide) => Some(redecide),
        _ => None,
    });
    if let Some(redecide) = redecides.reduce(Redecide::both) {
        customers.extend(touched(market, redecide, now).await?);
    }
    customers.retain(|customer| !in_units.contains(customer));
    add_units(market, customers, run_id).await?;
    for unit in asked {
        market.unit_done(unit, &Moved::default()).await?;
    }
    Ok(())
}

/// The customers of the orders placed in a time. The day sheets say which campaigns earned an order that day.
async fn touched(
    market: &Market,
    redecide: Redecide,
    now: Instant,
) -> Result<BTreeSet<CustomerId>, AttributorError> {
    let mut customers = BTreeSet::new();
    let Some(versions) = market.versions().await? else {
        return Ok(customers);
    };
    let day = |at: Instant| at.day(versions.at(at).settings.timezone);
    // A day on both sides: a day is named by the zone in force at the order's own instant.
    let first = day(redecide.from).minus(1);
    let last = day(redecide.to.unwrap_or(now)).plus(2);
    let first = first.max(market.retention().first_visible(day(now)));
    if first <= last {
        for (day, sheet) in market.sheets_now(first, last, now).await? {
            for row in market.orders_of_day(day, &sheet, now).await? {
                if redecide.takes(row.line.placed_at) {
                    customers.insert(row.customer_id);
                }
            }
        }
    }
    Ok(customers)
}

/// Writes units of customers, and how many they are into the run's record.
pub(crate) async fn add_units(
    market: &Market,
    customers: BTreeSet<CustomerId>,
    run_id: &str,
) -> Result<(), AttributorError> {
    let customers: Vec<CustomerId> = customers.into_iter().collect();
    let unit =
        |some: &[CustomerId]| Unit::new(Work::Customers(some.to_vec()), Some(run_id.to_owned()));
    let units: Vec<Unit> = customers.chunks(UNIT_CUSTOMERS_MAX).map(unit).collect();
    for unit in &units {
        market.add_unit(unit).await?;
    }
    if !units.is_empty() {
        market.planned(run_id, units.len()).await?;
    }
    Ok(())
}
