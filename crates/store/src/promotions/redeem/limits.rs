//! What a redemption takes of its voucher's limit, of cap and budget, and what it gives back; what its reward is.

use revtrail_core::promotion::Promotion;
use revtrail_core::promotion::redemption::{Redemption, Refusal};
use revtrail_core::record::{Code, Problem};
use revtrail_core::value::money::{Currency, Money};
use revtrail_core::value::time::Instant;

use super::RedemptionFact;
use super::load::{Draft, PoolOf};
use crate::promotions::order_links::adds;
use crate::promotions::pool::Took;
use crate::table::fault::StoreError;

impl Draft<'_> {
    /// Takes one use of the voucher, one of the cap, and the reward of the budget: all or, where one has not enough, none of them;
    /// but where the till has honoured it already (`honoured`), all of them, below nothing.
    pub(super) fn use_up(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
        honoured: bool,
    ) -> Result<Result<(), Refusal>, StoreError> {
        self.open_pools(promotion);
        let one = Money::from(1);
        let id = &promotion.promotion_id;
        let spends = spends(fact.reward, promotion);
        let voucher = fact.told.voucher_code.as_ref();
        let mut of_voucher = match voucher {
            Some(code) => self.voucher(id, code)?.pool.clone(),
            None => None,
        };
        let mut of_cap = self.caps.get(id).cloned();
        let mut of_budget = self.budgets.get(id).cloned().filter(|_| !spends.is_zero());
        let mut missing = None;
        let (mut opened, mut by_head) = (0, false);
        for (pool, amount, refusal) in [
            (&mut of_voucher, one, Refusal::LimitReached),
            (&mut of_cap, one, Refusal::CapReached),
            (&mut of_budget, spends, Refusal::BudgetReached),
        ] {
            let Some(pool) = pool else { continue };
            match pool.take(amount) {
                Took::Enough => opened -= i64::from(refusal == Refusal::LimitReached),
                Took::Nothing if honoured => {
                    pool.overdraw(amount);
                    by_head |= refusal == Refusal::LimitReached;
                    missing = missing.or(Some(refusal));
                }
                Took::Nothing => return Ok(Err(refusal)),
                Took::Unknown => {
                    self.unknown.insert(PoolOf {
                        promotion: id.clone(),
                        voucher: voucher
                            .filter(|_| refusal == Refusal::LimitReached)
                            .cloned(),
                    });
                }
            }
        }
        if let Some(code) = voucher {
            let open = self.voucher(id, code)?;
            open.pool = of_voucher;
            open.uses += 1;
            open.by_head |= by_head;
            if !open.disabled {
                open.opened += opened;
            }
        }
        self.caps.extend(of_cap.map(|pool| (id.clone(), pool)));
        self.budgets
            .extend(of_budget.map(|pool| (id.clone(), pool)));
        if let Some((amount, currency)) = fact.reward {
            let total = self.total(id);
            self.changes
                .at(&total)
                .add(&format!("w:{currency}"), amount);
        }
        self.name_order(fact, 1)?;
        Ok(missing.map_or(Ok(()), Err))
    }

    pub(super) fn give_back(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
    ) -> Result<(), StoreError> {
        self.open_pools(promotion);
        let one = Money::from(1);
        let id = &promotion.promotion_id;
        if let Some(code) = &fact.told.voucher_code {
            let open = self.voucher(id, code)?;
            open.uses -= 1;
            if let Some(pool) = &mut open.pool {
                open.by_head = true;
                if !open.disabled && !pool.is_overdrawn() {
                    open.opened += 1;
                }
                pool.give_back(one);
            }
        }
        if let Some(pool) = self.caps.get_mut(id) {
            pool.give_back(one);
        }
        if let Some(pool) = self.budgets.get_mut(id) {
            pool.give_back(spends(fact.reward, promotion));
        }
        if let Some((amount, currency)) = fact.reward {
            let total = self.total(id);
            self.changes
                .at(&total)
                .add(&format!("w:{currency}"), -amount);
        }
        self.name_order(fact, -1)
    }

    /// A success that names an order, more or less.
    pub(super) fn name_order(
        &mut self,
        fact: &RedemptionFact,
        more: i64,
    ) -> Result<(), StoreError> {
        let Some(order) = &fact.told.order_id else {
            return Ok(());
        };
        let versions = self.versions()?.clone();
        let open = self.link(order, &fact.told.promotion_id)?;
        open.link.named += more;
        open.link.adds = match &open.order {
            _ if open.link.named == 0 => None,
            Some(order) => adds(order, &versions),
            // What expired adds what it added.
            None => open.link.adds,
        };
        Ok(())
    }
}

/// What a redemption gave, with the currency that is its own or the promotion's.
pub(super) fn reward(
    told: &Redemption,
    promotion: &Promotion,
) -> Result<Option<(Money, Currency)>, Problem> {
    let Some(amount) = told.reward_amount else {
        return Ok(None);
    };
    match told.currency.or(promotion.reward_currency()) {
        Some(currency) => Ok(Some((amount, currency))),
        None => Err(Problem::of(
            "currency",
            Code::Missing,
            "currency is needed beside reward_amount: this promotion has none",
        )),
    }
}

/// A promotion is tracked from a time on: nothing is redeemed before it.
pub(super) fn tracked(at: Instant, promotion: &Promotion) -> Result<(), Problem> {
    if at >= promotion.tracking_from {
        return Ok(());
    }
    let detail = format!(
        "redeemed_at: {at} is before {}, from when on this promotion is tracked",
        promotion.tracking_from
    );
    Err(Problem::of("redeemed_at", Code::BeforeTracking, detail))
}

/// What a reward takes of the budget: nothing, where it is of another currency.
fn spends(reward: Option<(Money, Currency)>, promotion: &Promotion) -> Money {
    match (reward, promotion.budget) {
        (Some((amount, currency)), Some(budget)) if currency == budget.currency => amount,
        _ => Money::ZERO,
    }
}
