//! Why figures can be zero though there are orders: what the orders and the settings, or the orders and the events, do not have in
//! common. In fields, and in words that end in what to do.

use serde::Serialize;

use crate::attribution::decide::NotCounted;
use crate::attribution::order::Status;
use crate::attribution::settings::Settings;
use crate::figures::daily::Aggregate;

/// What the orders of a report have in common with its settings and its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hints {
    /// The statuses that orders have, in the order of an order's life.
    pub statuses_seen: Vec<Status>,
    /// Orders whose status counts, whatever else keeps them from counting.
    pub orders_of_counted_statuses: i64,
    /// Customers who have orders.
    pub customers_with_orders: usize,
    /// Those of them who have no event at all.
    pub customers_without_event: usize,
    /// In words: what may be wrong, if anything, and what to do.
    pub hints: Vec<String>,
}

impl Hints {
    /// Of the sums of all orders; `customers` have orders, and so many of them `without_event`.
    pub fn new<C>(
        sums: &Aggregate<C>,
        newest: &Settings,
        customers: usize,
        without_event: usize,
    ) -> Self {
        let orders = sums.statuses.values().map(|tally| tally.0).sum::<i64>();
        let by_status = sums.not_counted.get(&NotCounted::Status);
        let mut statuses_seen: Vec<Status> = sums
            .statuses
            .iter()
            .filter(|(_, tally)| tally.0 != 0)
            .map(|((status, _), _)| *status)
            .collect();
        // One after the other in the daily aggregate, for each currency.
        statuses_seen.dedup();
        let counted = orders - by_status.copied().unwrap_or(0);
        let mut hints = Vec::new();
        if orders > 0 && counted == 0 {
            hints.push(format!(
                "statuses seen: {}, none counts: the settings count {}; name in counted_statuses those that are sales",
                names(&statuses_seen),
                names(&newest.counted_statuses),
            ));
        }
        if without_event > 0 {
            hints.push(format!(
                "customers with orders who have no event: {without_event} of {customers}; where that is too many, see that events and orders \
                 name a customer by the same id"
            ));
        }
        Self {
            statuses_seen,
            orders_of_counted_statuses: counted,
            customers_with_orders: customers,
            customers_without_event: without_event,
            hints,
        }
    }
}

fn names<'s>(statuses: impl IntoIterator<Item = &'s Status>) -> String {
    let names: Vec<&str> = statuses.into_iter().map(|status| status.name()).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}
