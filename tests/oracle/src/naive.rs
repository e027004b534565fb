//! rules 2 to 5 a second time, sentence by sentence and as slow as it likes: the judge of `revtrail-core`.
//!
//! Shares no code with it. Not here: intake, storage, paging, sale formulas; promotions are in `naive_promotions`.

#![allow(
    clippy::unwrap_used,
    reason = "worlds hold valid bodies only; anything else should stop the test where it is"
)]

mod decide;
pub(crate) mod facts;
pub(crate) mod print;
mod reports;
#[cfg(test)]
mod tests;
mod what_if;

use chrono::NaiveDate;
use serde_json::Value;

pub use facts::{Facts, recipient_of};
pub use what_if::MODELS;

/// All that one marketplace was told, in order of arrival, as the JSON bodies it came in.
///
/// Bodies are valid, and the copies of an order agree in `placed_at` and `currency`; not always in `customer_id`.
#[derive(Clone, Debug)]
pub struct World {
    /// Bodies of rule 3.1; the same event may come twice, and an `event_id` with two contents.
    pub events: Vec<Value>,
    /// Bodies of rule 3.2; several copies of an order, in any order.
    pub orders: Vec<Value>,
    /// `{campaign_id, name, tags, sent_at, triggered}`, each campaign at most once; all but the id may be missing.
    pub campaigns: Vec<Value>,
    /// At least one, by ascending number.
    pub versions: Vec<Version>,
    /// In the order they were asked for: the newest that holds an order decides it.
    pub replays: Vec<Replay>,
    /// Milliseconds; `None` in a file run, which looks back without limit.
    pub look_back: Option<i64>,
}

/// One version of the settings that is in force for at least an instant.
#[derive(Clone, Debug)]
pub struct Version {
    /// Counts from 1; there may be gaps.
    pub number: u64,
    /// Milliseconds since 1970, included; `None` for the first, which covers everything before, too.
    pub in_force_from: Option<i64>,
    /// A complete settings object of rule 4.1, no preset.
    pub settings: Value,
}

/// A saved version that was applied to the orders of a half-open period.
#[derive(Clone, Debug)]
pub struct Replay {
    /// A day or an instant, as it was asked for.
    pub from: String,
    /// The same, excluded.
    pub to: String,
    /// Any version's number.
    pub version: u64,
}

/// `GET M/orders/{id}/attribution` without `sale_formula` and `decided`; null for an unknown order.
pub fn attribution(world: &World, order_id: &str) -> Value {
    Facts::read(world).attribution(order_id)
}

/// `{totals, campaigns, counted, credited, uncredited}` of rule 5 for the days `from` (included) to `to` (excluded).
pub fn campaign_report(
    world: &World,
    from: Option<NaiveDate>,
    to: Option<NaiveDate>,
    channel: Option<&str>,
) -> Value {
    Facts::read(world).campaign_report(from, to, channel)
}

/// `{statuses, total, cancelled}` of rule 5 for the days `from` (included) to `to` (excluded).
pub fn orders_report(world: &World, from: Option<NaiveDate>, to: Option<NaiveDate>) -> Value {
    Facts::read(world).orders_report(from, to)
}

/// How many orders are in which class of the reconciliation.
pub fn order_classes(world: &World) -> Value {
    Facts::read(world).order_classes(None, None)
}
