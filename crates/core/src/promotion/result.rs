//! The result of a promotion in money: what orders bring in, what rewards cost, and what the promotion can still cost (rule 6).
//! A figure that cannot be held exactly is left out.

use std::collections::BTreeMap;

use crate::attribution::decide;
use crate::attribution::order::Order;
use crate::attribution::plain::Decidable;
use crate::attribution::settings::Versions;
use crate::promotion::Promotion;
use crate::value::money::{Currency, Money, Sums};
use crate::value::time::Day;

/// What an order adds to the result of a promotion whose redemptions name it: its amount, where the order counts. The order of
/// another customer adds its amount too, since the shop honoured the use. In that case the redemption is flagged.
pub fn adds(order: &Order, versions: &Versions) -> Option<(Currency, Money)> {
    let settings = &versions.for_order(order.placed_at).settings;
    let (not_counted, amount) = decide::count(&order.plain(), settings);
    not_counted.is_none().then_some((order.currency, amount))
}

/// The most that the promotion can still cost. In each currency it is the least of what is left of the budget, of the cap and of
/// the uses of the vouchers. `None` where nothing bounds the cost, or where a bound cannot be held exactly.
pub fn worst_case(
    promotion: &Promotion,
    spent: Money,
    successes: i64,
    open_uses: Option<i128>,
) -> Option<Sums> {
    let mut bounds: BTreeMap<Currency, Option<Money>> = BTreeMap::new();
    // An amount that cannot be held is more than any amount that can, so it never is the least.
    let mut bound = |currency, amount: Option<Money>| {
        let least = bounds.entry(currency).or_insert(amount);
        *least = [*least, amount].into_iter().flatten().min();
    };
    if let Some(budget) = promotion.budget {
        // An amount that cannot be held means that the budget was overspent by far.
        let left = budget.amount.checked_sub(spent).unwrap_or_default();
        bound(budget.currency, Some(left.max(Money::ZERO)));
    }
    if let Some((amount, currency)) = promotion.most_a_use_costs() {
        let left_of_cap = promotion
            .cap
            .map(|cap| i128::from(cap) - i128::from(successes));
        for uses in [left_of_cap, open_uses].into_iter().flatten() {
            bound(currency, amount.checked_times(uses.max(0)));
        }
    }
    let smallest = |(currency, least): (Currency, Option<Money>)| Some((currency, least?));
    let is_bounded = !bounds.is_empty();
    let bounds: Option<Sums> = bounds.into_iter().map(smallest).collect();
    bounds.filter(|_| is_bounded)
}

/// How many days, the present one included, tell the pace of a promotion.
pub const PACE_DAYS: u32 = 7;

/// A limit that would last longer than this many days is not said to be used up.
const PACE_DAYS_AHEAD_MAX: i128 = 3_660;

/// The day on which what is left of a limit would be used up, if every day took what the last [`PACE_DAYS`] took on average:
/// today, where nothing is left. `None` where those days took nothing, or where the limit would last for ten years.
pub fn used_up_on(today: Day, left: i128, taken: i128) -> Option<Day> {
    if left <= 0 {
        return Some(today);
    }
    let needed = left.checked_mul(i128::from(PACE_DAYS))?;
    let days = (needed - 1).checked_div(taken).filter(|_| taken > 0)? + 1;
    (days <= PACE_DAYS_AHEAD_MAX).then(|| today.plus(days as u32))
}

/// When the budget and the cap of a promotion would be used up at the pace of the last [`PACE_DAYS`], in which so many redemptions
/// succeeded. A redemption is taken to cost what redemptions cost on average until now. A budget is never used up of which more is left
/// than the worst case can still cost.
pub fn pace(
    promotion: &Promotion,
    today: Day,
    spent: Money,
    successes: i64,
    of_late: i64,
    worst_case: Option<&Sums>,
) -> [Option<Day>; 2] {
    let of_budget = promotion.budget.and_then(|budget| {
        let left = budget.amount.checked_sub(spent)?;
        if worst_case.is_some_and(|worst| worst.get(budget.currency) < left) {
            return None;
        }
        // Both sides are multiplied by the number of successes, so nothing is rounded.
        let left = left.micros();
        let left = left.checked_mul(i128::from(successes.max(1)))?;
        let taken = spent.micros().checked_mul(i128::from(of_late))?;
        used_up_on(today, left, taken)
    });
    let of_cap = promotion
        .cap
        .and_then(|cap| used_up_on(today, i128::from(cap - successes), i128::from(of_late)));
    [of_budget, of_cap]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promotion::PromotionInput;
    use crate::record::Record;
    use crate::value::id::PromotionId;
    use crate::value::time::Instant;

    #[test]
    fn the_worst_case_is_the_smallest_bound_of_each_currency_or_no_figure() {
        let largest = r#""type":"amount","value":"999999999999999.999999","currency":"EUR""#;
        let five = r#""type":"amount","value":"5","currency":"EUR""#;
        let budget = r#""budget":{"amount":"12","currency":"EUR"}"#;
        let in_usd = r#""budget":{"amount":"12","currency":"USD"}"#;
        let with = |parts: &[&str]| format!("{{{}}}", parts.join(","));
        // The columns: the promotion, what was spent, the number of uses, open uses; the bounds as JSON, or `none`.
        for (body, spent, successes, open, worst) in [
            (with(&[five]), "0", 0, None, "none"),
            (with(&[budget]), "10", 2, None, r#"{"EUR":"2.00"}"#),
            (with(&[budget]), "13", 2, None, "{}"),
            (
                with(&[five, r#""cap":5"#]),
                "0",
                3,
                None,
                r#"{"EUR":"10.00"}"#,
            ),
            (with(&[five, r#""cap":5"#]), "0", 6, None, "{}"),
            (
                with(&[five, r#""cap":5"#]),
                "0",
                3,
                Some(1),
                r#"{"EUR":"5.00"}"#,
            ),
            (with(&[five, budget]), "4", 0, Some(1), r#"{"EUR":"5.00"}"#),
            (
                with(&[five, in_usd]),
                "4",
                0,
                Some(1),
                r#"{"EUR":"5.00","USD":"8.00"}"#,
            ),
            (
                with(&[five, r#""tiers":[{"tier_id":"a","value":"7"}]"#]),
                "0",
                0,
                Some(2),
                r#"{"EUR":"14.00"}"#,
            ),
            (
                with(&[r#""type":"percent","value":"5","cap":2"#]),
                "0",
                0,
                Some(2),
                "none",
            ),
            (
                with(&[largest]),
                "0",
                0,
                Some(1_000_000_000_000_000),
                "none",
            ),
            (with(&[largest]), "0", 0, Some(i128::MAX), "none"),
            (
                with(&[largest, budget]),
                "0",
                0,
                Some(i128::MAX),
                r#"{"EUR":"12.00"}"#,
            ),
            (with(&[largest, in_usd]), "0", 0, Some(i128::MAX), "none"),
            (
                with(&[largest]),
                "0",
                0,
                Some(1),
                r#"{"EUR":"999999999999999.999999"}"#,
            ),
        ] {
            let now = Instant::parse("2026-11-20T12:00:00Z").unwrap();
            let record = Record::from_json(&body).unwrap();
            let submitted =
                PromotionInput::read(PromotionId::new("p").unwrap(), &record, now).unwrap();
            let promotion = submitted.promotion(None, None);
            let spent = Money::stored(spent).unwrap();
            let found = worst_case(&promotion, spent, successes, open);
            let found = found.map_or("none".to_owned(), |sums| {
                serde_json::to_string(&sums).unwrap()
            });
            assert_eq!(found, worst, "{body} {successes} {open:?}");
        }
    }

    #[test]
    fn a_limit_is_used_up_at_the_pace_of_seven_days() {
        let today = Day::parse("2026-11-20").unwrap();
        // The columns: what is left, what seven days took; the day, or none.
        for (left, taken, day) in [
            (70, 70, Some("2026-11-27")),
            (71, 70, Some("2026-11-28")),
            (1, 70, Some("2026-11-21")),
            (0, 70, Some("2026-11-20")),
            (-5, 0, Some("2026-11-20")),
            (5, 0, None),
            (5, -1, None),
            (3_660, 7, Some("2036-11-27")),
            (3_661, 7, None),
            (i128::MAX, 7, None),
        ] {
            let told = used_up_on(today, left, taken).map(|day| day.to_string());
            assert_eq!(told.as_deref(), day, "{left} at {taken}");
        }
    }

    #[test]
    fn a_budget_lasts_by_what_redemptions_cost_on_average() {
        let today = Day::parse("2026-11-20").unwrap();
        let promotion = |body: &str| {
            let record = Record::from_json(body).unwrap();
            let id = PromotionId::new("p").unwrap();
            let submitted = PromotionInput::read(id, &record, Instant::from_ms(0)).unwrap();
            submitted.promotion(None, None)
        };
        let limited = promotion(r#"{"budget":{"amount":"100","currency":"EUR"},"cap":30}"#);
        // 10 uses cost 40 in all, 7 of them of late: 4 a day of the 60 that are left, and 1 a day of 20 uses.
        let days = pace(&limited, today, Money::from(40), 10, 7, None);
        let told = days.map(|day| day.map(|day| day.to_string()));
        assert_eq!(
            told,
            [Some("2026-12-05".to_owned()), Some("2026-12-10".to_owned())]
        );
        assert_eq!(pace(&limited, today, Money::ZERO, 0, 0, None), [None, None]);
        assert_eq!(
            pace(&promotion("{}"), today, Money::from(40), 10, 7, None),
            [None, None]
        );
        // 60 are left, and a use costs 5: 12 open uses can take it all, and 11 cannot.
        let five = promotion(
            r#"{"type":"amount","value":"5","currency":"EUR","budget":{"amount":"100","currency":"EUR"}}"#,
        );
        for (open, used_up) in [(Some(12), true), (Some(11), false), (None, true)] {
            let worst = worst_case(&five, Money::from(40), 10, open);
            let [budget, _] = pace(&five, today, Money::from(40), 10, 7, worst.as_ref());
            assert_eq!(budget.is_some(), used_up, "{open:?}");
        }
    }
}
