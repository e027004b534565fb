//! What orders add to the results of the promotions whose redemptions name them. Each order adds once, by how it counts now.

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join;
use revtrail_core::attribution::order::Order;
use revtrail_core::promotion::result::adds;
use revtrail_core::value::id::{OrderId, PromotionId};
use revtrail_core::value::money::{Currency, Money};
use revtrail_core::value::time::{DAY_MS, Instant};
use serde::{Deserialize, Serialize};

use crate::market::Market;
use crate::table::attributes::{DATA, figures};
use crate::table::change::Changes;
use crate::table::client::{Range, Reading};
use crate::table::contention::{TRIES_MAX, backoff};
use crate::table::fault::StoreError;
use crate::table::item::{Item, data, sk, version};
use crate::table::keys::{self, Key, promotion_shard_of};
use crate::table::write::Transacted;

/// The most items of one transaction; each promotion needs a link and a shard.
const LINKS_AT_ONCE: usize = 90;

/// What redemptions of a promotion that name an order add to the promotion's result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// How many successes that were not taken back name the order.
    #[serde(rename = "n")]
    pub(crate) named: i64,
    /// What the order adds now; `None` if it does not count.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) adds: Option<(Currency, Money)>,
}

/// What orders of one marketplace add to promotions. Reached by [`Market::order_links`].
#[derive(Debug, Clone, Copy)]
pub struct OrderLinks<'m> {
    market: &'m Market,
}

impl Market {
    /// What orders of one marketplace add to promotions.
    pub fn order_links(&self) -> OrderLinks<'_> {
        OrderLinks { market: self }
    }
}

impl OrderLinks<'_> {
    /// Counts the orders again that were ahead of the clock.
    pub(super) async fn settle_orders_ahead(self, now: Instant) -> Result<(), StoreError> {
        let pk = keys::orders_ahead(&self.market.id);
        let items = self
            .market
            .store
            .query(&pk, &Range::All, Reading::STRONG)
            .await?;
        for order in items.iter().filter_map(|item| OrderId::new(sk(item)).ok()) {
            self.settle_order(&order, now).await?;
        }
        Ok(())
    }

    /// Moves the results of the promotions whose redemptions name an order, after a copy of the order came in. Doing the same
    /// again changes nothing.
    ///
    /// # Errors
    /// As every call of the table; the same call may be made again.
    pub async fn settle_order(self, order: &OrderId, now: Instant) -> Result<(), StoreError> {
        let pk = keys::order_links(&self.market.id, order);
        let shard = promotion_shard_of(order.as_str());
        let mut remembered = false;
        for attempt in 0..TRIES_MAX {
            let items = self
                .market
                .store
                .query(&pk, &Range::All, Reading::STRONG)
                .await?;
            let link = |item: Item| Some((keys::link_promotion(sk(&item))?, item));
            let links: Vec<(PromotionId, Item)> = items.into_iter().filter_map(link).collect();
            if links.is_empty() {
                return Ok(());
            }
            let (current, versions) = try_join(
                self.market.facts().order(order, now),
                self.market.settings().versions(),
            )
            .await?;
            let (Some(current), Some(versions)) = (current, versions) else {
                return Ok(());
            };
            let mut changes = Changes::default();
            for (promotion, item) in &links {
                let before: Link = data(item)?;
                let adds = adds(&current, &versions).filter(|_| before.named > 0);
                if before.adds != adds && changes.len() < LINKS_AT_ONCE {
                    let after = Link {
                        adds,
                        ..before.clone()
                    };
                    add_link(
                        &mut changes,
                        &keys::order_link(&self.market.id, order, promotion),
                        &keys::promotion_total(&self.market.id, shard, promotion),
                        version(item),
                        &before,
                        &after,
                    );
                }
            }
            let moves = changes.len() > 0;
            // An order that adds nothing yet is remembered too: settings may come before its time that count it.
            if moves || !remembered {
                remember_ahead(self.market, &current, now, &mut changes);
            }
            if changes.len() == 0 {
                return Ok(());
            }
            changes
                .at(&keys::order(&self.market.id, &current.customer_id, order))
                .require(DATA, Some(AttributeValue::S(current.standing())));
            match self
                .market
                .store
                .transact(changes.writes(&self.market.store))
                .await?
            {
                Transacted::Done if !moves => return Ok(()),
                // More links may be left, so the loop goes on.
                Transacted::Done => remembered = true,
                Transacted::Cancelled(_) => backoff(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "counting an order for promotions",
        })
    }
}

/// Writes what an order adds to a promotion's result, and moves the result by the difference.
pub(crate) fn add_link(
    changes: &mut Changes,
    key: &Key,
    total: &Key,
    version: i64,
    before: &Link,
    after: &Link,
) {
    changes.at(key).data(after).next_version(version);
    let total = changes.at(total);
    if let Some((currency, amount)) = before.adds {
        total.add(&figures::Amount::Orders(currency).name(), -amount);
    }
    if let Some((currency, amount)) = after.adds {
        total.add(&figures::Amount::Orders(currency).name(), amount);
    }
    total.add(figures::MOVES, 1);
}

/// Remembers an order that is ahead of the clock, because settings that are saved before its time decide whether it counts.
pub(super) fn remember_ahead(market: &Market, order: &Order, now: Instant, changes: &mut Changes) {
    if order.placed_at > now {
        changes
            .at(&keys::order_ahead(&market.id, &order.order_id))
            .expires(order.placed_at.plus_ms(DAY_MS));
    }
}
