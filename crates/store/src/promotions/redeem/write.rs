//! Turns what was planned into changes of items, one for each item.

use std::collections::BTreeSet;

use revtrail_core::promotion::account::AccountFigures;
use revtrail_core::promotion::pool::LevelChange;
use revtrail_core::value::id::PromotionId;

use super::load::TransactionPlan;
use crate::market::Market;
use crate::promotions::account_list;
use crate::promotions::order_links::{add_link, remember_ahead};
use crate::promotions::records::StoredVoucher;
use crate::table::attributes::{DATA, beside_account, figures, voucher};
use crate::table::change::{Changes, ItemChange};
use crate::table::fault::StoreError;
use crate::table::keys;

impl TransactionPlan<'_> {
    /// Everything that was planned, as changes of items.
    pub(super) fn close(mut self) -> Result<Changes, StoreError> {
        let id = &self.market.id;
        let mut moved: BTreeSet<PromotionId> = BTreeSet::new();
        for ((promotion, customer), open) in &self.accounts {
            if open.beside[0] != open.beside[1] {
                self.changes
                    .at(&keys::beside_account(id, customer, promotion))
                    .number(beside_account::SUCCESSES, open.beside[1])
                    .next_version_since(open.beside_version, self.now);
            }
            if !open.changed {
                continue;
            }
            moved.insert(promotion.clone());
            self.changes
                .at(&keys::account(id, customer, promotion))
                .packed(&open.account)
                .next_version_since(open.version, self.now);
            if open.version == 0 {
                let entry = account_list::entry_key(self.market, promotion, customer);
                self.changes.at(&entry).data(customer);
            }
            let difference = open.account.figures().minus(&open.before);
            add_figures(
                &mut self.changes,
                self.market,
                self.shard,
                promotion,
                &difference,
            );
        }
        for (promotion, before, after) in &self.loose {
            moved.insert(promotion.clone());
            let total = keys::promotion_total(id, self.shard, promotion);
            self.changes.at(&total).mark(figures::BESIDE);
            let difference = after.figures().minus(&before.figures());
            add_figures(
                &mut self.changes,
                self.market,
                self.shard,
                promotion,
                &difference,
            );
        }
        for ((promotion, code), open) in &self.vouchers {
            let root = keys::voucher(id, promotion, code);
            if open.assigned && !open.was_assigned {
                self.changes.at(&root).mark(voucher::ASSIGNED);
            }
            if open.uses == 0 {
                continue;
            }
            moved.insert(promotion.clone());
            let spread = open.made.as_ref().is_some_and(StoredVoucher::is_spread);
            if spread {
                let own = keys::voucher_shard(id, self.shard, promotion, code);
                self.changes.at(&own).add(voucher::USES, open.uses);
            } else {
                self.changes.at(&root).add(voucher::USES, open.uses);
            }
            if open.made.is_none() {
                self.changes.at(&root).require(DATA, None);
            }
            if let Some(pool) = &open.pool {
                take(pool.root_change(), voucher::LEFT, self.changes.at(&root));
                for (shard, taken) in pool.shard_changes() {
                    let key = keys::voucher_shard(id, shard, promotion, code);
                    take(taken, voucher::LEFT, self.changes.at(&key));
                }
            }
            if open.by_root {
                // Whether giving a use back opens one depends on how many are overdrawn, and so does the reverse.
                let read = self
                    .items
                    .get(&root)
                    .and_then(|item| item.get(voucher::LEFT));
                self.changes.at(&root).require(voucher::LEFT, read.cloned());
            }
            let total = keys::promotion_total(id, self.shard, promotion);
            self.changes.at(&total).add(figures::OPEN_USES, open.opened);
        }
        for (pools, attribute) in [
            (&self.caps, figures::CAP_LEFT),
            (&self.budgets, figures::BUDGET_LEFT),
        ] {
            for (promotion, pool) in pools {
                let root = keys::promotion_pool(id, promotion);
                take(pool.root_change(), attribute, self.changes.at(&root));
                for (shard, taken) in pool.shard_changes() {
                    let key = keys::promotion_total(id, shard, promotion);
                    let change = self.changes.at(&key);
                    take(taken, attribute, change);
                    if shard != self.shard {
                        change.add(figures::MOVES, 1);
                    }
                }
            }
        }
        for ((order, promotion), open) in &self.links {
            if open.link == open.before {
                continue;
            }
            if let Some(order) = &open.order {
                remember_ahead(self.market, order, self.now, &mut self.changes);
            }
            match self.order_key(order)? {
                Some(key) => self.changes.at(&key).require(DATA, open.standing.clone()),
                None => self
                    .changes
                    .at(&keys::order_pointer(id, order))
                    .require_absent(),
            };
            let total = keys::promotion_total(id, self.shard, promotion);
            add_link(
                &mut self.changes,
                &keys::order_link(id, order, promotion),
                &total,
                open.version,
                &open.before,
                &open.link,
            );
        }
        for promotion in moved {
            let version = self.promotions.get(&promotion).and_then(Option::as_ref);
            let total = keys::promotion_total(id, self.shard, &promotion);
            let change = self.changes.at(&total).add(figures::MOVES, 1);
            if let Some((_, version)) = version {
                change.require_number(figures::PROMOTION_VERSION, version);
            }
        }
        Ok(self.changes)
    }
}

/// Writes what was taken from one place, on condition that the place still holds enough.
fn take(taken: LevelChange, attribute: &str, change: &mut ItemChange) {
    change.add(attribute, taken.add);
    if let Some(least) = taken.at_least {
        change.require_least(attribute, least);
    }
}

/// Adds what an account adds to the figures of its promotion, in one shard.
pub(in crate::promotions) fn add_figures(
    changes: &mut Changes,
    market: &Market,
    shard: u8,
    promotion: &PromotionId,
    difference: &AccountFigures,
) {
    let id = &market.id;
    let total = keys::promotion_total(id, shard, promotion);
    for ((tier, segment), cell) in &difference.cells {
        let key = keys::promotion_cell(id, shard, promotion, tier.as_ref(), segment.as_ref());
        for key in [&total, &key] {
            changes
                .at(key)
                .add(figures::ASSIGNED, cell.assigned)
                .add(figures::REDEEMED, cell.redeemed)
                .add(figures::REDEMPTIONS, cell.redemptions);
        }
    }
    for (day, figures) in &difference.days {
        changes
            .at(&keys::promotion_day(id, shard, promotion, *day))
            .add(figures::REDEEMED, figures.redeemed)
            .add(figures::REDEMPTIONS, figures.success)
            .add(figures::FAILURES, figures.failure);
        changes.at(&total).add(figures::FAILURES, figures.failure);
    }
    changes
        .at(&total)
        .add(figures::ROLLED_BACK, difference.rolled_back)
        .add(figures::PUBLISHED, difference.publications[0])
        .add(figures::NOT_PUBLISHED, difference.publications[1]);
}
