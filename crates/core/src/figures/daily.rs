//! Daily aggregates: the sums that every report is made of. What a fact adds to which figure stands here and nowhere else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribution::decide::NotCounted;
use crate::attribution::event::Channel;
use crate::attribution::order::Status;
use crate::value::money::{Currency, Money, Sums};

/// An engagement figure that events move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// Any event at all: it gives a campaign its row.
    Events,
    /// Messages delivered.
    Deliveries,
    /// Opens, repeated ones too.
    Opens,
    /// Messages opened.
    UniqueOpens,
    /// E-mails bounced.
    Bounces,
    /// E-mails with any event that enters a figure.
    Emails,
    /// Clicks, repeated ones too.
    Clicks,
    /// Messages clicked.
    UniqueClicks,
}

/// How many counters there are.
pub const COUNTERS: usize = 8;

/// The figures of a campaign on a channel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Figures {
    /// By [`Counter`].
    #[serde(rename = "g")]
    pub counters: [i64; COUNTERS],
    /// Credited orders, counted or not.
    #[serde(rename = "o", default, skip_serializing_if = "is_zero")]
    pub orders: i64,
    /// Buyers, each at the first purchase.
    #[serde(rename = "b", default, skip_serializing_if = "is_zero")]
    pub purchasers: i64,
    /// What was earned, by currency.
    #[serde(rename = "e", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub earned: BTreeMap<Currency, Earned>,
}

/// What a campaign earned in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Earned {
    /// Counted orders.
    #[serde(rename = "n")]
    pub purchases: i64,
    /// Their amounts.
    #[serde(rename = "r")]
    pub revenue: Money,
    /// Refunds of the credited orders that count, or would but for their refund.
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
    /// A counter's sum.
    pub fn counter(&self, counter: Counter) -> i64 {
        self.counters[counter as usize]
    }

    /// Counted orders, all currencies.
    pub fn purchases(&self) -> i64 {
        self.earned.values().map(|earned| earned.purchases).sum()
    }

    /// Adds other figures.
    pub fn add(&mut self, other: &Self) {
        self.add_times(other, 1);
    }

    fn add_times(&mut self, other: &Self, sign: i64) {
        for (sum, n) in self.counters.iter_mut().zip(other.counters) {
            *sum += sign * n;
        }
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

/// So many orders, worth so much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally(pub i64, pub Money);

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.0 += other.0;
        self.1 += other.1;
    }
}

/// Tallies by currency.
pub type Tallies = BTreeMap<Currency, Tally>;

/// Counts of a call's records, by what became of them; summed on the daily aggregate of the day of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IntakeCounts {
    /// Records.
    #[serde(rename = "n", default, skip_serializing_if = "is_zero")]
    pub received: i64,
    /// Records stored as new facts.
    #[serde(rename = "s", default, skip_serializing_if = "is_zero")]
    pub stored: i64,
    /// Records equal to what stood.
    #[serde(rename = "d", default, skip_serializing_if = "is_zero")]
    pub duplicates: i64,
    /// Copies of orders that are not, or no longer, the standing one.
    #[serde(rename = "o", default, skip_serializing_if = "is_zero")]
    pub older_copies: i64,
    /// Records rejected.
    #[serde(rename = "r", default, skip_serializing_if = "is_zero")]
    pub rejected: i64,
}

impl IntakeCounts {
    /// Adds other counts.
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

/// What an order adds to the figures, under `C`, the name of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderFigures<C> {
    /// Of all its amounts.
    pub currency: Currency,
    /// Where it stands.
    pub status: Status,
    /// What it is worth.
    pub total: Money,
    /// What of its refund its campaign has.
    pub refunded: Money,
    /// What it brings in, if it counts.
    pub amount: Money,
    /// Why it does not count.
    pub not_counted: Option<NotCounted>,
    /// Who earned it.
    pub credit: Option<(C, Channel)>,
    /// The customer's first counted order for that campaign.
    pub first_purchase: bool,
}

/// The sums of a day, or of many days. `C` names a campaign: its id in storage, its place in file runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(serialize = "C: Serialize", deserialize = "C: Deserialize<'de> + Ord"))]
pub struct Aggregate<C> {
    /// By campaign and channel.
    #[serde(
        rename = "r",
        with = "pairs",
        default = "BTreeMap::new",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub rows: BTreeMap<(C, Channel), Figures>,
    /// Orders by status, in all currencies.
    #[serde(
        rename = "s",
        with = "pairs",
        default = "BTreeMap::new",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub statuses: BTreeMap<(Status, Currency), Tally>,
    /// Counted orders.
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counted: Tallies,
    /// Counted orders that nobody earned.
    #[serde(rename = "u", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub uncredited: Tallies,
    /// Orders that do not count, by reason.
    #[serde(rename = "x", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_counted: BTreeMap<NotCounted, i64>,
    /// Records of orders that arrived.
    #[serde(rename = "io", default)]
    pub orders_in: IntakeCounts,
    /// Records of events that arrived.
    #[serde(rename = "ie", default)]
    pub events_in: IntakeCounts,
}

/// Maps with keys that are no JSON texts, as lists of pairs.
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
        }
    }
}

impl<C: Ord + Clone> Aggregate<C> {
    /// One more on a counter.
    pub fn add_counter(&mut self, campaign: C, channel: Channel, counter: Counter) {
        self.rows.entry((campaign, channel)).or_default().counters[counter as usize] += 1;
    }

    /// One more order.
    pub fn add_order(&mut self, order: &OrderFigures<C>) {
        self.statuses
            .entry((order.status, order.currency))
            .or_default()
            .add(Tally(1, order.total));
        if let Some(credit) = &order.credit {
            let row = self.rows.entry(credit.clone()).or_default();
            row.orders += 1;
            row.purchasers += i64::from(order.first_purchase);
            let earned = row.earned.entry(order.currency).or_default();
            earned.refunded += order.refunded;
            if order.not_counted.is_none() {
                earned.purchases += 1;
                earned.revenue += order.amount;
            }
            row.earned.retain(|_, earned| *earned != Earned::default());
        }
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

    /// Adds another daily aggregate, figure by figure.
    pub fn add(&mut self, other: &Self) {
        self.add_times(other, 1);
    }

    /// Takes another daily aggregate away, figure by figure: a difference may be negative.
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
    }

    /// What all campaigns earned together, by currency.
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

    /// The invariant of rule 5: counted = credited + uncredited, in count and in money, per currency.
    pub fn adds_up(&self) -> bool {
        let mut both = self.credited();
        for (&currency, &tally) in &self.uncredited {
            both.entry(currency).or_default().add(tally);
        }
        both.retain(|_, tally| *tally != Tally::default());
        both == self.counted
    }
}

/// The number of orders in tallies.
pub fn orders_of(tallies: &Tallies) -> i64 {
    tallies.values().map(|tally| tally.0).sum()
}

/// The amounts in tallies.
pub fn amounts_of(tallies: &Tallies) -> Sums {
    tallies
        .iter()
        .map(|(&currency, tally)| (currency, tally.1))
        .collect()
}
