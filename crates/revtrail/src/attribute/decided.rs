//! Turns facts into decided orders and their sums, customer by customer. The rules are in `revtrail-core`.

use revtrail_core::attribution::campaign::CampaignIx;
use revtrail_core::attribution::decide::{Decision, Timeline};
use revtrail_core::attribution::event::Event;
use revtrail_core::attribution::order::Order;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::figures::fold::{FoldEntry, World, fold};

use super::facts::FileFacts;

/// Every order with its decision, and what the orders add up to.
#[derive(Debug, Default)]
pub(crate) struct Decided<'f> {
    /// The orders, sorted by the bytes of their ids.
    pub(crate) orders: Vec<DecidedOrder<'f>>,
    /// The sums over all days.
    pub(crate) sums: Aggregate<CampaignIx>,
    /// How many customers have orders.
    pub(crate) customers: usize,
    /// How many of these customers have no event.
    pub(crate) without_event: usize,
    timelines: Vec<Timeline<'f>>,
}

/// One order, and the campaign that earned it.
#[derive(Debug)]
pub(crate) struct DecidedOrder<'f> {
    pub(crate) order: &'f Order,
    pub(crate) decision: Decision<'f>,
    timeline: usize,
}

impl<'f> Decided<'f> {
    /// Decides all orders. Events and orders are both sorted by customer, so one walk along both meets every customer once.
    pub(crate) fn of(facts: &'f FileFacts, world: &World<'_>) -> Self {
        let mut decided = Self::default();
        let mut events = facts
            .events
            .chunk_by(|a, b| a.customer_id == b.customer_id)
            .peekable();
        for orders in facts.orders.chunk_by(|a, b| a.customer_id == b.customer_id) {
            let customer = &orders[0].customer_id;
            while let Some(others) = events.next_if(|events| events[0].customer_id < *customer) {
                decided.fold_customer(others, &[], world);
            }
            let own = events.next_if(|events| events[0].customer_id == *customer);
            decided.customers += 1;
            decided.without_event += usize::from(own.is_none());
            decided.fold_customer(own.unwrap_or_default(), orders, world);
        }
        for others in events {
            decided.fold_customer(others, &[], world);
        }
        decided
            .orders
            .sort_unstable_by(|a, b| a.order.order_id.cmp(&b.order.order_id));
        decided
    }

    fn fold_customer(&mut self, events: &'f [Event], orders: &'f [Order], world: &World<'_>) {
        let timeline = world.timeline(events);
        fold(&timeline, orders, world, |entry| {
            self.sums.add_entry(&entry);
            if let FoldEntry::Order(_, order, decision, _) = entry {
                self.orders.push(DecidedOrder {
                    order,
                    decision,
                    timeline: self.timelines.len(),
                });
            }
        });
        self.timelines.push(timeline);
    }

    /// The timeline that an order was decided on.
    pub(crate) fn timeline(&self, decided: &DecidedOrder<'f>) -> &Timeline<'f> {
        &self.timelines[decided.timeline]
    }
}
