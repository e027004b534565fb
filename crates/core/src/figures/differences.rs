//! In which figures two daily aggregates differ, by names that people read. A verification reports what is wrong by these names.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::figures::counters::COUNTER_NAMES;
use crate::figures::daily::Aggregate;
use crate::value::id::CampaignId;
use crate::value::money::Money;

/// A stored figure that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongFigure {
    /// The name of the figure, like `spring email revenue EUR`.
    pub figure: String,
    /// What is stored, a count or an amount.
    pub stored: Money,
    /// What it should be.
    pub right: Money,
}

impl WrongFigure {
    /// The figures in which what is stored differs from what is right, in the order of their names. A figure that one side does
    /// not have is zero there.
    pub fn between(stored: &BTreeMap<String, Money>, right: &BTreeMap<String, Money>) -> Vec<Self> {
        let names: BTreeSet<&String> = stored.keys().chain(right.keys()).collect();
        let of = |side: &BTreeMap<String, Money>, name: &str| {
            side.get(name).copied().unwrap_or_default()
        };
        let one = |name: &String| Self {
            figure: name.clone(),
            stored: of(stored, name),
            right: of(right, name),
        };
        let wrong = |one: &Self| one.stored != one.right;
        names.into_iter().map(one).filter(wrong).collect()
    }
}

impl Aggregate<CampaignId> {
    /// The same aggregate without the counts of records that arrived. What is left is the sum of contributions.
    pub fn without_intake(self) -> Self {
        Self {
            orders_in: Default::default(),
            events_in: Default::default(),
            ignored: Default::default(),
            rejections: Default::default(),
            ..self
        }
    }

    /// All figures that are sums of contributions, by their names.
    pub fn named(&self) -> BTreeMap<String, Money> {
        let mut named = BTreeMap::new();
        for ((campaign, channel), figures) in &self.rows {
            let row = format!("{campaign} {}", channel.name());
            for (counter, name) in COUNTER_NAMES {
                let n = figures.counter(counter);
                named.insert(format!("{row} {name}"), Money::from(n));
            }
            named.insert(format!("{row} orders"), figures.orders.into());
            named.insert(format!("{row} purchasers"), figures.purchasers.into());
            for (currency, earned) in &figures.earned {
                let purchases = format!("{row} purchases {currency}");
                named.insert(purchases, earned.purchases.into());
                named.insert(format!("{row} revenue {currency}"), earned.revenue);
                named.insert(format!("{row} refunded {currency}"), earned.refunded);
            }
        }
        let statuses = self.statuses.iter();
        let statuses = statuses.map(|((status, currency), tally)| {
            (format!("status {} {currency}", status.name()), tally)
        });
        let counted = self.counted.iter();
        let counted = counted.map(|(currency, tally)| (format!("counted {currency}"), tally));
        let uncredited = self.uncredited.iter();
        let uncredited =
            uncredited.map(|(currency, tally)| (format!("uncredited {currency}"), tally));
        for (name, tally) in statuses.chain(counted).chain(uncredited) {
            named.insert(format!("{name} orders"), tally.0.into());
            named.insert(format!("{name} amount"), tally.1);
        }
        for (reason, &n) in &self.not_counted {
            named.insert(format!("not counted {}", reason.name()), n.into());
        }
        named.retain(|_, value| !value.is_zero());
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::decide::NotCounted;
    use crate::attribution::event::Channel;
    use crate::attribution::order::Status;
    use crate::figures::counters::COUNTERS;
    use crate::figures::daily::{Earned, Figures, IntakeCounts, Tally};
    use crate::value::money::Currency;

    /// Every field of an aggregate differs once, so a field that has no name here would be missed.
    #[test]
    fn every_figure_has_a_name_but_the_counts_of_records_that_arrived() {
        let eur = Currency::parse("EUR").unwrap();
        let money = |n: i64| Money::from(n);
        let counters: [i64; COUNTERS] = std::array::from_fn(|n| n as i64 + 1);
        let figures = Figures {
            counters: counters.into(),
            orders: 13,
            purchasers: 14,
            earned: [(
                eur,
                Earned {
                    purchases: 15,
                    revenue: money(16),
                    refunded: money(17),
                },
            )]
            .into(),
        };
        let campaign = CampaignId::new("spring").unwrap();
        let records = IntakeCounts {
            received: 99,
            ..Default::default()
        };
        let aggregate = Aggregate {
            rows: [((campaign, Channel::Email), figures)].into(),
            statuses: [((Status::Delivered, eur), Tally(18, money(19)))].into(),
            counted: [(eur, Tally(20, money(21)))].into(),
            uncredited: [(eur, Tally(22, money(23)))].into(),
            not_counted: [(NotCounted::Refunded, 24)].into(),
            orders_in: records,
            events_in: records,
            ignored: [("resend email.scheduled".to_owned(), 99)].into(),
            rejections: [("orders bad_money".to_owned(), 99)].into(),
        };
        let mut values: Vec<Money> = aggregate.named().into_values().collect();
        values.sort();
        assert_eq!(values, (1..=24).map(money).collect::<Vec<_>>());
        let left = Aggregate {
            orders_in: IntakeCounts::default(),
            events_in: IntakeCounts::default(),
            ignored: BTreeMap::new(),
            rejections: BTreeMap::new(),
            ..aggregate.clone()
        };
        assert_eq!(aggregate.clone().without_intake(), left);
        let wrong = WrongFigure::between(&Aggregate::default().named(), &aggregate.named());
        assert_eq!(wrong.len(), 24);
        assert_eq!(wrong[0].figure, "counted EUR amount");
        assert_eq!((wrong[0].stored, wrong[0].right), (money(0), money(21)));
    }
}
