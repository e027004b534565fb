//! Facts of a marketplace that has none of them yet, many in one transaction. They are the items that single puts would leave; a call
//! costs more than an item, so a sample is there sooner this way.

use revtrail_core::attribution::event::Event;
use revtrail_core::attribution::order::Order;

use crate::ledger::facts::Pointer;
use crate::ledger::links::MissingLinks;
use crate::market::Market;
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::write::{TRANSACTION_ITEMS_MAX, Transacted, Write};

/// The first facts of a marketplace. Reached by [`Market::first_facts`].
#[derive(Debug, Clone, Copy)]
pub struct FirstFacts<'m> {
    market: &'m Market,
}

impl Market {
    /// The first facts of the marketplace.
    pub fn first_facts(&self) -> FirstFacts<'_> {
        FirstFacts { market: self }
    }
}

impl FirstFacts<'_> {
    /// Stores events, each with an id of its own.
    ///
    /// # Errors
    /// [`StoreError::Contended`] where one of them is there; otherwise as every call of the table.
    pub async fn put_events(self, events: &[&Event]) -> Result<(), StoreError> {
        let facts = self.market.facts();
        let write = |event: &&Event| {
            let item = facts.event_item(event);
            self.market.store.put_write(item, Some(Condition::absent()))
        };
        self.transact(events.iter().map(write).collect()).await
    }

    /// Stores orders, each with an id of its own, and the links to their addresses.
    ///
    /// # Errors
    /// [`StoreError::Contended`] where one of them is there; otherwise as every call of the table.
    pub async fn put_orders(
        self,
        orders: &[&Order],
        missing: &MissingLinks,
    ) -> Result<(), StoreError> {
        let (facts, store) = (self.market.facts(), &self.market.store);
        // A customer finds the link before the address does.
        let mut writes: Vec<Write> = self
            .market
            .links()
            .writes(missing)
            .into_iter()
            .flatten()
            .collect();
        for order in orders {
            let pointer = facts.pointer_item(order, &Pointer::of(order));
            let items = [pointer, facts.order_item(order)];
            writes.extend(items.map(|item| store.put_write(item, Some(Condition::absent()))));
        }
        self.transact(writes).await
    }

    async fn transact(self, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut writes = writes.into_iter();
        loop {
            let some: Vec<Write> = writes.by_ref().take(TRANSACTION_ITEMS_MAX).collect();
            if some.is_empty() {
                return Ok(());
            }
            if let Transacted::Cancelled(_) = self.market.store.transact(some).await? {
                return Err(StoreError::Contended {
                    op: "storing the first facts of a marketplace",
                });
            }
        }
    }
}
