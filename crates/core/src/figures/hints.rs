//! Why figures can be zero although there are orders: the orders and the settings, or the orders and the events, may not match.
//! The findings are given in fields, and in sentences that end in what to do.

use serde::Serialize;

use crate::attribution::decide::NotCounted;
use crate::attribution::order::Status;
use crate::attribution::settings::Settings;
use crate::figures::daily::Aggregate;

/// How the orders of a report match its settings and its events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hints {
    /// The statuses that occur among the orders, in the order of an order's life.
    pub statuses_seen: Vec<Status>,
    /// The number of orders with a status that counts, even if another reason keeps them from counting.
    pub orders_of_counted_statuses: i64,
    /// The number of customers who have orders.
    pub customers_with_orders: usize,
    /// The number of those customers who have no event at all.
    pub customers_without_event: usize,
    /// In words: what may be wrong, if anything, and what to do about it.
    pub hints: Vec<String>,
}

impl Hints {
    /// Makes the hints from the sums of all orders. `customers` have orders, and `without_event` of them have no event.
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
        // The daily aggregate has one entry for each currency, so equal statuses follow each other.
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
