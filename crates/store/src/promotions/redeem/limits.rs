//! Gives `core` what is left of a redemption's limits, and keeps what `core` made of it.

use std::collections::BTreeSet;

use revtrail_core::promotion::Promotion;
use revtrail_core::promotion::limits::{Limit, Limits, Taking, spends};
use revtrail_core::promotion::result::adds;

use super::load::{PoolOf, TransactionPlan};
use crate::promotions::records::RedemptionFact;
use crate::table::attributes::figures::Amount;
use crate::table::fault::StoreError;

impl TransactionPlan<'_> {
    /// Takes what a success uses: all of it or, if one limit is too low, nothing. A redemption that a till has already honoured
    /// always takes all of it. The answer says which limits were too low.
    pub(super) fn use_up(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
        honoured: bool,
    ) -> Result<BTreeSet<Limit>, StoreError> {
        let mut limits = self.limits(fact, promotion)?;
        let spends = spends(fact.reward, promotion);
        let taking = match honoured {
            true => limits.honour(spends),
            false => limits.take(spends),
        };
        let short = match taking {
            Taking::Enough => BTreeSet::new(),
            Taking::Short(short) if honoured => short,
            Taking::Short(short) => return Ok(short),
            // Nothing of this plan is written. It is made again after all shards were read.
            Taking::Unread(unread) => {
                self.unknown
                    .extend(unread.into_iter().map(|limit| PoolOf::new(limit, fact)));
                return Ok(BTreeSet::new());
            }
        };
        if let Some(code) = &fact.submitted.voucher_code {
            let open = self.voucher(&fact.submitted.promotion_id, code)?;
            open.uses += 1;
            let is_over = short.contains(&Limit::Voucher);
            open.by_root |= is_over;
            if limits.voucher.is_some() && !open.disabled && !is_over {
                open.opened -= 1;
            }
        }
        self.keep(fact, limits)?;
        if let Some((amount, currency)) = fact.reward {
            let total = self.total(&promotion.promotion_id);
            self.changes
                .at(&total)
                .add(&Amount::Rewards(currency).name(), amount);
        }
        self.name_order(fact, 1)?;
        Ok(short)
    }

    /// Gives back what a success took.
    pub(super) fn give_back(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
    ) -> Result<(), StoreError> {
        let mut limits = self.limits(fact, promotion)?;
        if let Some(code) = &fact.submitted.voucher_code {
            let open = self.voucher(&fact.submitted.promotion_id, code)?;
            open.uses -= 1;
            if let Some(pool) = &limits.voucher {
                open.by_root = true;
                if !open.disabled && !pool.is_overdrawn() {
                    open.opened += 1;
                }
            }
        }
        limits.give_back(spends(fact.reward, promotion));
        self.keep(fact, limits)?;
        if let Some((amount, currency)) = fact.reward {
            let total = self.total(&promotion.promotion_id);
            self.changes
                .at(&total)
                .add(&Amount::Rewards(currency).name(), -amount);
        }
        self.name_order(fact, -1)
    }

    /// What is left of each limit that applies to a redemption.
    fn limits(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
    ) -> Result<Limits, StoreError> {
        self.open_pools(promotion);
        let (submitted, id) = (&fact.submitted, &promotion.promotion_id);
        let customer = match promotion.limit_per_customer {
            Some(limit) => Some(limit - self.account(id, &submitted.customer_id)?.successes()),
            None => None,
        };
        let voucher = match &submitted.voucher_code {
            Some(code) => self.voucher(id, code)?.pool.clone(),
            None => None,
        };
        Ok(Limits {
            customer,
            voucher,
            cap: self.caps.get(id).cloned(),
            budget: self.budgets.get(id).cloned(),
        })
    }

    /// Keeps what is left afterwards. The customer's own limit needs no place, because it follows from the promotion account.
    fn keep(&mut self, fact: &RedemptionFact, limits: Limits) -> Result<(), StoreError> {
        let id = &fact.submitted.promotion_id;
        if let Some(code) = &fact.submitted.voucher_code {
            self.voucher(id, code)?.pool = limits.voucher;
        }
        self.caps.extend(limits.cap.map(|pool| (id.clone(), pool)));
        self.budgets
            .extend(limits.budget.map(|pool| (id.clone(), pool)));
        Ok(())
    }

    /// Counts one more success that names an order, or one fewer.
    pub(super) fn name_order(
        &mut self,
        fact: &RedemptionFact,
        more: i64,
    ) -> Result<(), StoreError> {
        let Some(order) = &fact.submitted.order_id else {
            return Ok(());
        };
        let versions = self.versions.clone();
        let open = self.link(order, &fact.submitted.promotion_id)?;
        open.link.named += more;
        open.link.adds = match &open.order {
            _ if open.link.named == 0 => None,
            Some(order) => adds(order, &versions),
            // An expired order keeps adding what it added before.
            None => open.link.adds,
        };
        Ok(())
    }
}
