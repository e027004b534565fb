//! Daily aggregates: the sums that every report is made of. Only this module says which figure a fact adds to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribution::decide::{Credit, Decision, NotCounted};
use crate::attribution::event::Channel;
use crate::attribution::order::Status;
use crate::attribution::plain::PlainOrder;
use crate::figures::counters::{Counter, Counters};
use crate::value::money::{Currency, Money, Sums};

/// The figures of one campaign on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// The value of each [`Counter`].
    #[serde(rename = "g")]
    pub counters: Counters,
    /// The number of credited orders, whether they are counted or not.
    #[serde(rename = "o", default, skip_serializing_if = "is_zero")]
    pub orders: i64,
    /// The number of buyers; a customer counts at their first purchase from the campaign.
    #[serde(rename = "b", default, skip_serializing_if = "is_zero")]
    pub purchasers: i64,
    /// What the campaign earned, by currency.
    #[serde(rename = "e", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub earned: BTreeMap<Currency, Earned>,
}

/// What a campaign earned in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Earned {
    /// The number of counted orders.
    #[serde(rename = "n")]
    pub purchases: i64,
    /// The sum of the amounts of the counted orders.
    #[serde(rename = "r")]
    pub revenue: Money,
    /// The refunds of credited orders that count, or that would count if they were not refunded.
    #[serde(rename = "f", default, skip_serializing_if = "Money::is_zero_ref")]
    pub refunded: Money,
}

impl Money {
    fn is_zero_ref(&self) -> bool {
        self.is_zero()
    }
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

impl Figures {
    /// The value of one counter.
    pub fn counter(&self, counter: Counter) -> i64 {
        self.counters[counter]
    }

    /// The number of counted orders in all currencies.
    pub fn purchases(&self) -> i64 {
        self.earned.values().map(|earned| earned.purchases).sum()
    }

    /// Adds other figures to these.
    pub fn add(&mut self, other: &Self) {
        self.add_times(other, 1);
    }

    /// Adds an order that is credited to this campaign on this channel.
    pub fn add_order<K>(&mut self, order: &OrderFigures<K>) {
        self.orders += 1;
        self.purchasers += i64::from(order.first_purchase);
        let earned = self.earned.entry(order.currency).or_default();
        earned.refunded += order.refunded;
        if order.not_counted.is_none() {
            earned.purchases += 1;
            earned.revenue += order.amount;
        }
        if *earned == Earned::default() {
            self.earned.remove(&order.currency);
        }
    }

    fn add_times(&mut self, other: &Self, sign: i64) {
        self.counters.add_times(&other.counters, sign);
        self.orders += sign * other.orders;
        self.purchasers += sign * other.purchasers;
        for (&currency, earned) in &other.earned {
            let sum = self.earned.entry(currency).or_default();
            sum.purchases += sign * earned.purchases;
            sum.revenue += times(earned.revenue, sign);
            sum.refunded += times(earned.refunded, sign);
        }
        self.earned.retain(|_, earned| *earned != Earned::default());
    }
}

fn times(amount: Money, sign: i64) -> Money {
    if sign < 0 { -amount } else { amount }
}

/// A number of orders, and the sum of what they are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally(pub i64, pub Money);

impl Tally {
    /// Adds another tally to this one.
    pub fn add(&mut self, other: Self) {
        self.0 += other.0;
        self.1 += other.1;
    }
}

/// Tallies by currency.
pub type Tallies = BTreeMap<Currency, Tally>;

/// What became of the records of one call, as counts. The daily aggregate of the day of arrival sums them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IntakeCounts {
    /// All records of the call.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub received: i64,
    /// Records that were stored as new facts.
    #[serde(rename = "s", default, skip_serializing_if = "is_zero")]
    pub stored: i64,
    /// Records that are equal to what was stored already.
    #[serde(rename = "d", default, skip_serializing_if = "is_zero")]
    pub duplicates: i64,
    /// Copies of orders that are not, or are no longer, the current copy.
    #[serde(rename = "o", default, skip_serializing_if = "is_zero")]
    pub older_copies: i64,
    /// Records that were rejected.
    #[serde(rename = "r", default, skip_serializing_if = "is_zero")]
    pub rejected: i64,
}

impl IntakeCounts {
    /// So many records that were rejected.
    pub fn rejected(records: i64) -> Self {
        Self {
            received: records,
            rejected: records,
            ..Self::default()
        }
    }

    /// True where nothing is counted.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Adds other counts to these.
    pub fn add(&mut self, other: &Self) {
        self.add_times(other, 1);
    }

    fn add_times(&mut self, other: &Self, sign: i64) {
        self.received += sign * other.received;
        self.stored += sign * other.stored;
        self.duplicates += sign * other.duplicates;
        self.older_copies += sign * other.older_copies;
        self.rejected += sign * other.rejected;
    }
}

/// What a decided order adds to the figures. `C` is what is kept of the credit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "C: Deserialize<'de>"))]
pub struct OrderFigures<C> {
    /// The currency of all amounts of the order.
    #[serde(rename = "y")]
    pub currency: Currency,
    /// The current status of the order.
    #[serde(rename = "s")]
    pub status: Status,
    /// The total of the order.
    #[serde(rename = "t")]
    pub total: Money,
    /// The part of the refund that is shown for the campaign. A line from before fold version 2 holds the whole refund, and the
    /// daily aggregates were given the same: a fold subtracts exactly what was added.
    #[serde(rename = "f", default, skip_serializing_if = "Money::is_zero_ref")]
    pub refunded: Money,
    /// The amount that the order adds to revenue, if the order counts.
    #[serde(rename = "a")]
    pub amount: Money,
    /// The reason why the order does not count, if it does not.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<NotCounted>,
    /// What earned the order, if any campaign did.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<C>,
    /// True where the order is the customer's first purchase from that campaign.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub first_purchase: bool,
}

impl<C> OrderFigures<C> {
    /// Makes the figures of a decided order; `credit` is what is kept of the decision's credit.
    pub fn of(
        order: &PlainOrder<'_>,
        decision: &Decision<'_>,
        first_purchase: bool,
        credit: impl FnOnce(&Credit<'_>) -> C,
    ) -> Self {
        Self {
            currency: order.currency,
            status: order.status,
            total: order.total,
            refunded: decision.refunded,
            amount: decision.amount,
            not_counted: decision.not_counted,
            credit: decision.credit.as_ref().map(credit),
            first_purchase,
        }
    }
}

/// The sums of one day or of many days. `C` is how a campaign is named: by its id in storage, by its index in runs over files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Serialize", deserialize = "C: Deserialize<'de> + Ord"))]
pub struct Aggregate<C> {
    /// The figures by campaign and channel.
    #[serde(
        rename = "r",
        with = "pairs",
        default = "BTreeMap::new",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub rows: BTreeMap<(C, Channel), Figures>,
    /// The orders by status and currency, with their number and totals.
    #[serde(
        rename = "s",
        with = "pairs",
        default = "BTreeMap::new",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub statuses: BTreeMap<(Status, Currency), Tally>,
    /// The counted orders.
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counted: Tallies,
    /// The counted orders that no campaign earned.
    #[serde(rename = "u", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uncredited: Tallies,
    /// The number of orders that do not count, by reason.
    #[serde(rename = "x", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_counted: BTreeMap<NotCounted, i64>,
    /// The records of orders that arrived.
    #[serde(rename = "io", default)]
    pub orders_in: IntakeCounts,
    /// The records of events that arrived.
    #[serde(rename = "ie", default)]
    pub events_in: IntakeCounts,
    /// How many things that senders of webhooks posted mean nothing here, by sender and word, with a blank between.
    #[serde(rename = "ig", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ignored: BTreeMap<String, i64>,
    /// How many records of those above were rejected, by what they were to be and the code, with a blank between.
    #[serde(rename = "rj", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejections: BTreeMap<String, i64>,
}

/// The most senders and words of a day that are counted apart. What is beyond is counted as another kind of its sender.
const IGNORED_WORDS_MAX: usize = 200;

/// Writes maps as lists of pairs, since their keys are not JSON texts.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Vec::<(K, V)>::deserialize(deserializer).map(|pairs| pairs.into_iter().collect())
    }
}

impl<C> Default for Aggregate<C> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            statuses: BTreeMap::new(),
            counted: Tallies::new(),
            uncredited: Tallies::new(),
            not_counted: BTreeMap::new(),
            orders_in: IntakeCounts::default(),
            events_in: IntakeCounts::default(),
            ignored: BTreeMap::new(),
            rejections: BTreeMap::new(),
        }
    }
}

impl<C: Ord + Clone> Aggregate<C> {
    /// Adds figures to those of a campaign on a channel.
    pub fn add_row(&mut self, campaign: C, channel: Channel, figures: &Figures) {
        if *figures != Figures::default() {
            self.rows
                .entry((campaign, channel))
                .or_default()
                .add(figures);
        }
    }

    /// Adds one order to all figures that it belongs to; `row` says which row its credit belongs to.
    pub fn add_order<K>(&mut self, order: &OrderFigures<K>, row: impl FnOnce(&K) -> (C, Channel)) {
        if let Some(credit) = &order.credit {
            self.rows.entry(row(credit)).or_default().add_order(order);
        }
        self.add_order_totals(order);
    }

    /// Adds one order to the figures that are not of a campaign.
    pub fn add_order_totals<K>(&mut self, order: &OrderFigures<K>) {
        self.statuses
            .entry((order.status, order.currency))
            .or_default()
            .add(Tally(1, order.total));
        match order.not_counted {
            Some(reason) => *self.not_counted.entry(reason).or_default() += 1,
            None => {
                self.counted
                    .entry(order.currency)
                    .or_default()
                    .add(Tally(1, order.amount));
                if order.credit.is_none() {
                    self.uncredited
                        .entry(order.currency)
                        .or_default()
                        .add(Tally(1, order.amount));
                }
            }
        }
    }

    /// Adds another daily aggregate to this one, figure by figure.
    pub fn add(&mut self, other: &Self) {
        self.add_times(other, 1);
    }

    /// Subtracts another daily aggregate from this one, figure by figure. The difference may be negative.
    pub fn subtract(&mut self, other: &Self) {
        self.add_times(other, -1);
    }

    /// True where every figure is 0.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn add_times(&mut self, other: &Self, sign: i64) {
        fn add_tallies<K: Ord + Clone>(
            sums: &mut BTreeMap<K, Tally>,
            others: &BTreeMap<K, Tally>,
            sign: i64,
        ) {
            for (key, tally) in others {
                sums.entry(key.clone())
                    .or_default()
                    .add(Tally(sign * tally.0, times(tally.1, sign)));
            }
            sums.retain(|_, tally| *tally != Tally::default());
        }
        for (key, figures) in &other.rows {
            self.rows
                .entry(key.clone())
                .or_default()
                .add_times(figures, sign);
        }
        self.rows
            .retain(|_, figures| *figures != Figures::default());
        add_tallies(&mut self.statuses, &other.statuses, sign);
        add_tallies(&mut self.counted, &other.counted, sign);
        add_tallies(&mut self.uncredited, &other.uncredited, sign);
        for (&reason, n) in &other.not_counted {
            *self.not_counted.entry(reason).or_default() += sign * n;
        }
        self.not_counted.retain(|_, n| *n != 0);
        self.orders_in.add_times(&other.orders_in, sign);
        self.events_in.add_times(&other.events_in, sign);
        for (word, n) in &other.ignored {
            self.add_ignored(word, sign * n);
        }
        self.ignored.retain(|_, n| *n != 0);
        for (code, n) in &other.rejections {
            self.add_rejections(code, sign * n);
        }
        self.rejections.retain(|_, n| *n != 0);
    }

    /// Counts records that were rejected, by what they were to be and the code.
    pub fn add_rejections(&mut self, code: &str, n: i64) {
        *self.rejections.entry(code.to_owned()).or_default() += n;
    }

    /// Counts what senders posted and means nothing here, by sender and word.
    pub fn add_ignored(&mut self, word: &str, n: i64) {
        let is_known = self.ignored.contains_key(word) || self.ignored.len() < IGNORED_WORDS_MAX;
        let word = match word.split_once(' ') {
            Some((sender, _)) if !is_known => format!("{sender} another kind"),
            _ => word.to_owned(),
        };
        *self.ignored.entry(word).or_default() += n;
    }

    /// What all campaigns together earned, by currency.
    pub fn credited(&self) -> Tallies {
        let mut credited = Tallies::new();
        for (&currency, earned) in self.rows.values().flat_map(|figures| &figures.earned) {
            credited
                .entry(currency)
                .or_default()
                .add(Tally(earned.purchases, earned.revenue));
        }
        credited.retain(|_, tally| *tally != Tally::default());
        credited
    }

    /// The invariant of rule 5: counted = credited + uncredited, both in number and in money, for each currency.
    pub fn adds_up(&self) -> bool {
        let mut both = self.credited();
        for (&currency, &tally) in &self.uncredited {
            both.entry(currency).or_default().add(tally);
        }
        both.retain(|_, tally| *tally != Tally::default());
        both == self.counted
    }
}

/// The number of orders in all the tallies.
pub fn orders_of(tallies: &Tallies) -> i64 {
    tallies.values().map(|tally| tally.0).sum()
}

/// The amounts in the tallies, by currency.
pub fn amounts_of(tallies: &Tallies) -> Sums {
    tallies
        .iter()
        .map(|(&currency, tally)| (currency, tally.1))
        .collect()
}
