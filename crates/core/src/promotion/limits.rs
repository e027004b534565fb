//! What a success costs and takes of its limits: those of the customer, the voucher, the cap and the budget (rule 6).

use std::collections::BTreeSet;

use crate::promotion::Promotion;
use crate::promotion::pool::{Pool, Took};
use crate::promotion::redemption::{Flag, Outcome, Redemption, Refusal};
use crate::record::{Code, RecordProblem};
use crate::value::money::{Currency, Money};

/// What a success costs: an amount and its currency.
pub type Cost = (Money, Currency);

/// What a redemption costs. It is the reward, in the redemption's own currency or else the promotion's. A success without a
/// reward costs the value of the promotion where that is an amount, and nothing where the promotion gives something else.
///
/// # Errors
/// `missing` where neither the redemption nor the promotion has a currency.
pub fn cost(redemption: &Redemption, promotion: &Promotion) -> Result<Option<Cost>, RecordProblem> {
    let Some(amount) = redemption.reward_amount else {
        let succeeded = redemption.result == Outcome::Success;
        let value = promotion.cost_of_a_use(redemption.tier_id.as_ref());
        return Ok(value.filter(|_| succeeded));
    };
    match redemption.currency.or(promotion.reward_currency()) {
        Some(currency) => Ok(Some((amount, currency))),
        None => Err(RecordProblem::of(
            "currency",
            Code::Missing,
            "currency is needed beside reward_amount: this promotion has none",
        )),
    }
}

/// What a redeem call costs.
///
/// # Errors
/// `missing` as for [`cost`]; `other_currency` where the budget has another currency.
pub fn cost_of_redeem(
    asked: &Redemption,
    promotion: &Promotion,
) -> Result<Option<Cost>, RecordProblem> {
    let cost = cost(asked, promotion)?;
    match (cost, promotion.budget) {
        (Some((_, currency)), Some(budget)) if currency != budget.currency => {
            let detail = format!(
                "currency: this use costs {currency}, and the promotion's budget is of {}: redeem with a reward in {}",
                budget.currency, budget.currency
            );
            Err(RecordProblem::of("currency", Code::OtherCurrency, detail))
        }
        _ => Ok(cost),
    }
}

/// True where the redemption costs something that the budget cannot count, because the budget has another currency.
pub fn is_of_another_currency(cost: Option<Cost>, promotion: &Promotion) -> bool {
    cost.zip(promotion.budget)
        .is_some_and(|((_, currency), budget)| currency != budget.currency)
}

/// What a cost takes from the budget. It is zero where the budget has another currency.
pub fn spends(cost: Option<Cost>, promotion: &Promotion) -> Money {
    match (cost, promotion.budget) {
        (Some((amount, currency)), Some(budget)) if currency == budget.currency => amount,
        _ => Money::ZERO,
    }
}

/// A limit that successful redemptions use up. The variants are in the order in which a refusal names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// The limit for one customer, `limit_per_customer`.
    Customer,
    /// The number of uses that the voucher itself allows.
    Voucher,
    /// The number of successful redemptions that the promotion allows.
    Cap,
    /// The most that the promotion may cost.
    Budget,
}

impl Limit {
    /// Why a redeem is refused when nothing is left of this limit.
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Customer => Refusal::CustomerLimitReached,
            Self::Voucher => Refusal::LimitReached,
            Self::Cap => Refusal::CapReached,
            Self::Budget => Refusal::BudgetReached,
        }
    }

    /// How a reported redemption is flagged when nothing was left of this limit.
    pub fn flag(self) -> Flag {
        match self {
            Self::Customer => Flag::OverCustomerLimit,
            Self::Voucher => Flag::OverLimit,
            Self::Cap => Flag::OverCap,
            Self::Budget => Flag::OverBudget,
        }
    }
}

/// What is left of each limit for a redemption; `None` where there is no such limit.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// How many more successes the customer may have. It is below zero where they have too many.
    pub customer: Option<i64>,
    /// How many more times the voucher may be used.
    pub voucher: Option<Pool>,
    /// How many more successes the promotion may have.
    pub cap: Option<Pool>,
    /// How much more the promotion may cost.
    pub budget: Option<Pool>,
}

/// The result of taking one use from the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taking {
    /// Enough was left of every limit, and the use was taken.
    Enough,
    /// Too little was left of these limits. After [`Limits::take`] they are only the first such limit, and nothing was taken.
    /// After [`Limits::honour`] they are all such limits, and everything was taken, so that less than nothing is left.
    Short(BTreeSet<Limit>),
    /// The result is unknown until all shards of these limits are read. Nothing was taken.
    Unread(BTreeSet<Limit>),
}

impl Limits {
    /// Takes one use of every limit and `spends` of the budget, or nothing at all.
    pub fn take(&mut self, spends: Money) -> Taking {
        self.use_up(spends, false)
    }

    /// Takes a use that the shop has already honoured, even where too little is left.
    pub fn honour(&mut self, spends: Money) -> Taking {
        self.use_up(spends, true)
    }

    fn use_up(&mut self, spends: Money, honoured: bool) -> Taking {
        let mut after = self.clone();
        let (mut short, mut unread) = (BTreeSet::new(), BTreeSet::new());
        if let Some(left) = &mut after.customer {
            if *left < 1 {
                short.insert(Limit::Customer);
            }
            *left -= 1;
        }
        let one = Money::from(1);
        for (limit, pool, amount) in [
            (Limit::Voucher, &mut after.voucher, one),
            (Limit::Cap, &mut after.cap, one),
            (Limit::Budget, &mut after.budget, spends),
        ] {
            let first_is_known = unread.is_empty() && !short.is_empty();
            if first_is_known && !honoured {
                return Taking::Short(short);
            }
            let Some(pool) = pool.as_mut().filter(|_| !amount.is_zero()) else {
                continue;
            };
            match pool.take(amount) {
                Took::Enough => {}
                Took::Nothing => {
                    short.insert(limit);
                    if honoured {
                        pool.overdraw(amount);
                    }
                }
                Took::Unknown => {
                    unread.insert(limit);
                }
            }
        }
        if !unread.is_empty() {
            return Taking::Unread(unread);
        }
        if short.is_empty() || honoured {
            *self = after;
        }
        match short.is_empty() {
            true => Taking::Enough,
            false => Taking::Short(short),
        }
    }

    /// Gives back what a use took.
    pub fn give_back(&mut self, spends: Money) {
        for pool in [&mut self.voucher, &mut self.cap].into_iter().flatten() {
            pool.give_back(Money::from(1));
        }
        if let Some(budget) = &mut self.budget {
            budget.give_back(spends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(customer: Option<i64>, voucher: i64, cap: i64, budget: i64) -> Limits {
        let pool = |left: i64| Some(Pool::unspread(Money::from(left)));
        Limits {
            customer,
            voucher: pool(voucher),
            cap: pool(cap),
            budget: pool(budget),
        }
    }

    fn all_left(limits: &Limits) -> [Option<Money>; 4] {
        let pool = |pool: &Option<Pool>| pool.as_ref().map(Pool::left);
        [
            limits.customer.map(Money::from),
            pool(&limits.voucher),
            pool(&limits.cap),
            pool(&limits.budget),
        ]
    }

    #[test]
    fn a_use_takes_of_everything_or_of_nothing_and_what_was_honoured_takes_all_the_same() {
        use Limit::{Budget, Cap, Customer, Voucher};
        // The columns: what is left for the customer, of voucher, cap and budget; what is spent; which limits are short.
        for (customer, voucher, cap, budget, spends, short) in [
            (Some(1), 1, 1, 5, 5, vec![]),
            (None, 1, 1, 5, 0, vec![]),
            (Some(0), 0, 0, 4, 5, vec![Customer, Voucher, Cap, Budget]),
            (Some(-1), 1, 1, 5, 5, vec![Customer]),
            (None, 0, 1, 4, 5, vec![Voucher, Budget]),
            (None, 1, 0, 5, 5, vec![Cap]),
            (None, 1, 1, -3, 5, vec![Budget]),
            // A use that costs nothing is never over the budget.
            (None, 1, 1, -3, 0, vec![]),
        ] {
            let before = left(customer, voucher, cap, budget);
            let spends = Money::from(spends);
            let first = short.first().map(|first| BTreeSet::from([*first]));
            let mut asked = before.clone();
            let submitted = first.map_or(Taking::Enough, Taking::Short);
            assert_eq!(asked.take(spends), submitted);
            let mut honoured = before.clone();
            let all = BTreeSet::from_iter(short.iter().copied());
            let submitted = if short.is_empty() {
                Taking::Enough
            } else {
                Taking::Short(all)
            };
            assert_eq!(honoured.honour(spends), submitted);
            let one = Money::from(1);
            let taken = [
                customer.map(|left| Money::from(left - 1)),
                Some(Money::from(voucher) - one),
                Some(Money::from(cap) - one),
                Some(Money::from(budget) - spends),
            ];
            assert_eq!(all_left(&honoured), taken, "{short:?}");
            let asked_left = if short.is_empty() {
                taken
            } else {
                all_left(&before)
            };
            assert_eq!(all_left(&asked), asked_left, "{short:?}");
            honoured.give_back(spends);
            assert_eq!(all_left(&honoured)[1..], all_left(&before)[1..]);
        }
    }

    #[test]
    fn nothing_is_decided_before_all_that_may_decide_is_read() {
        let unread = |own: i64| Some(Pool::new(Money::ZERO, 8, 0, Money::from(own), true));
        for (customer, voucher, cap, submitted) in [
            (
                None,
                unread(0),
                unread(1),
                Taking::Unread(BTreeSet::from([Limit::Voucher])),
            ),
            (
                None,
                unread(0),
                unread(0),
                Taking::Unread(BTreeSet::from([Limit::Voucher, Limit::Cap])),
            ),
            (
                Some(0),
                unread(0),
                unread(1),
                Taking::Short(BTreeSet::from([Limit::Customer])),
            ),
            (Some(1), unread(1), unread(1), Taking::Enough),
        ] {
            let mut limits = Limits {
                customer,
                voucher,
                cap,
                budget: None,
            };
            assert_eq!(limits.take(Money::ZERO), submitted);
        }
    }
}
