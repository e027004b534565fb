//! What the totals of a promotion must be: sums over its accounts, redemptions, orders and vouchers.

use std::collections::BTreeMap;

use revtrail_core::figures::differences::WrongFigure;
use revtrail_core::promotion::Promotion;
use revtrail_core::value::money::{Currency, Money};
use serde::{Deserialize, Serialize};

use super::totals::{LEFT, PlacedFigures};
use crate::market::Market;
use crate::table::attributes::figures::{self, Amount};
use crate::table::keys;

/// What was added up of a promotion so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct PromotionSums {
    pub(super) figures: PlacedFigures,
    /// True if a redemption that counts is no longer kept, so that nobody knows its reward and its order.
    pub(super) is_over: bool,
    /// The uses that name an order, by how many the order says that there are: their number, and what their orders add. Orders that
    /// n uses name are met n times.
    pub(super) orders: BTreeMap<i64, (i64, BTreeMap<Currency, Money>)>,
    /// Uses with a code, as the redemptions have them and as the vouchers have them.
    pub(super) uses: [i64; 2],
    /// Uses that are left of limited vouchers, as limits and uses say and as the vouchers have them.
    pub(super) left: [Money; 2],
}

impl PromotionSums {
    /// All figures as they must be; and what is wrong besides, in items that no total can set right.
    pub(super) fn all(
        &self,
        market: &Market,
        promotion: &Promotion,
    ) -> (PlacedFigures, Vec<WrongFigure>) {
        let id = &promotion.promotion_id;
        let (mut all, mut beyond) = (self.figures.clone(), Vec::new());
        let total = keys::promotion_total(&market.id, 0, id);
        // Where a redemption is not kept, its order is not met.
        for (&named, (uses, adds)) in self.orders.iter().filter(|_| !self.is_over) {
            if named < 1 || uses % named != 0 {
                let figure = format!("uses of orders that {named} uses name");
                let right = Money::from(*uses);
                beyond.push(WrongFigure {
                    figure,
                    stored: Money::ZERO,
                    right,
                });
            }
            for (&currency, sum) in adds {
                let orders = Amount::Orders(currency).name();
                all.add(&total, &orders, sum.part(named));
            }
        }
        let pool = keys::promotion_pool(&market.id, id);
        let total_of = |attribute: &str| all.at(&total, attribute);
        let left = [
            promotion
                .cap
                .map(|cap| Money::from(cap) - total_of(figures::REDEMPTIONS)),
            promotion
                .budget
                .map(|budget| budget.amount - total_of(&Amount::Rewards(budget.currency).name())),
        ];
        for (attribute, left) in LEFT.into_iter().zip(left) {
            if let Some(left) = left {
                all.add(&pool, attribute, left);
            }
        }
        let pairs = [
            ("uses of vouchers", self.uses.map(Money::from)),
            ("left of vouchers", self.left),
        ];
        for (figure, [right, stored]) in pairs {
            if right != stored {
                let figure = figure.to_owned();
                beyond.push(WrongFigure {
                    figure,
                    stored,
                    right,
                });
            }
        }
        (all, beyond)
    }
}

/// True for the figures that follow from rewards and orders.
pub(super) fn is_money(attribute: &str) -> bool {
    Amount::parse(attribute).is_some() || attribute == figures::BUDGET_LEFT
}
