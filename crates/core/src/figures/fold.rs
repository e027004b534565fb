//! The fold: a customer's timeline into entries, and entries into a contribution by day. Every report is a sum of contributions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribution::campaign::{CampaignIx, Catalog};
use crate::attribution::decide::{Decision, NotCounted, Rules, Timeline, Touchpoint, decide};
use crate::attribution::event::{Channel, Event, EventKind};
use crate::attribution::order::{Order, Status};
use crate::attribution::settings::{Settings, Versions};
use crate::figures::daily::{Aggregate, COUNTERS, Counter, OrderFigures};
use crate::value::id::{CampaignId, MessageId, OrderId};
use crate::value::money::{Currency, Money};
use crate::value::time::{Day, Instant};

/// Names the rules by which facts become a contribution. Whoever changes the fold so that the same facts give another one raises it,
/// as a text: everybody who was folded by a lesser one is folded again, once. Since 2 a campaign's `refunded` is of orders that count,
/// or would but for their refund.
pub const FOLD_VERSION: &str = "2";

/// All that decisions depend on besides a customer's own facts.
#[derive(Debug)]
pub struct World<'a> {
    /// The campaigns, as they stand.
    pub catalog: &'a Catalog,
    /// The settings, by version.
    pub versions: &'a Versions,
    /// How far back anything decided looks; `None` in file runs.
    pub look_back_ms: Option<i64>,
    rules: Vec<Rules<'a>>,
}

impl<'a> World<'a> {
    /// Holds every version of the settings against the campaigns.
    pub fn new(catalog: &'a Catalog, versions: &'a Versions, look_back_ms: Option<i64>) -> Self {
        let rules = versions
            .all()
            .iter()
            .map(|version| Rules::new(&version.settings, catalog))
            .collect();
        Self {
            catalog,
            versions,
            look_back_ms,
            rules,
        }
    }

    /// The rules in force at an instant.
    pub fn rules_at(&self, at: Instant) -> &Rules<'a> {
        &self.rules[self.versions.place_at(at)]
    }

    /// The newest settings.
    pub fn newest(&self) -> &'a Settings {
        &self.versions.newest().settings
    }

    /// A fact's day, fixed by the zone in force at its instant.
    pub fn day(&self, at: Instant) -> Day {
        at.day(self.rules_at(at).settings.timezone)
    }

    /// The timeline of a customer's events; those of campaigns that the catalog does not know are left out,
    /// see [`Catalog::witnessing`].
    pub fn timeline<'e>(&self, events: impl IntoIterator<Item = &'e Event>) -> Timeline<'e> {
        let touchpoint = |event: &'e Event| {
            Some(Touchpoint::of(
                event,
                self.catalog.place(&event.campaign_id)?,
            ))
        };
        Timeline::new(events.into_iter().filter_map(touchpoint).collect())
    }

    /// Decides an order under the rules in force when it was placed.
    pub fn decide<'t>(&self, order: &Order, timeline: &Timeline<'t>) -> Decision<'t> {
        decide(
            order,
            timeline,
            self.rules_at(order.placed_at),
            self.look_back_ms,
        )
    }

    /// True where nothing of the same sort lies in the look-back before `at`; `last` is the latest before.
    fn is_first(&self, last: Option<Instant>, at: Instant) -> bool {
        match (last, self.look_back_ms) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(last), Some(ms)) => last < at.minus_ms(ms),
        }
    }
}

/// One thing a customer adds to the figures of a day.
#[derive(Debug)]
pub enum FoldEntry<'f, 'a> {
    /// One more on a counter.
    Counter(Day, CampaignIx, Channel, Counter),
    /// An order, decided; and whether it is the customer's first purchase of the campaign that earned it.
    Order(Day, &'f Order, Decision<'a>, bool),
}

impl Aggregate<CampaignIx> {
    /// Adds an entry, whatever its day: for sums over all days, as in file runs.
    pub fn add_entry(&mut self, entry: &FoldEntry<'_, '_>) {
        match *entry {
            FoldEntry::Counter(_, campaign, channel, counter) => {
                self.add_counter(campaign, channel, counter)
            }
            FoldEntry::Order(_, order, decision, first_purchase) => self.add_order(&OrderFigures {
                currency: order.currency,
                status: order.status,
                total: order.total,
                refunded: decision.refunded,
                amount: decision.amount,
                not_counted: decision.not_counted,
                credit: decision
                    .credit
                    .map(|credit| (credit.message.campaign, credit.message.channel)),
                first_purchase,
            }),
        }
    }
}

/// Folds a customer's facts into entries: events first, then orders by (`placed_at`, `order_id`).
pub fn fold<'f, 'a>(
    timeline: &Timeline<'a>,
    orders: &'f [Order],
    world: &World<'_>,
    mut each: impl FnMut(FoldEntry<'f, 'a>),
) {
    for touchpoints in timeline.messages() {
        fold_message(touchpoints, world, &mut each);
    }
    let mut sorted: Vec<&Order> = orders.iter().collect();
    sorted.sort_by(|a, b| (a.placed_at, &a.order_id).cmp(&(b.placed_at, &b.order_id)));
    let mut last_purchase: BTreeMap<CampaignIx, Instant> = BTreeMap::new();
    for order in sorted {
        let decision = world.decide(order, timeline);
        let purchase_of = decision.credit.filter(|_| decision.not_counted.is_none());
        let first = purchase_of.is_some_and(|credit| {
            let last = last_purchase.insert(credit.message.campaign, order.placed_at);
            world.is_first(last, order.placed_at)
        });
        each(FoldEntry::Order(
            world.day(order.placed_at),
            order,
            decision,
            first,
        ));
    }
}

fn fold_message<'f, 'a>(
    touchpoints: &[Touchpoint<'a>],
    world: &World<'_>,
    each: &mut impl FnMut(FoldEntry<'f, 'a>),
) {
    // The latest of each sort so far: any, delivered, opened, clicked, bounced.
    let mut last = [None; 5];
    for touchpoint in touchpoints {
        let day = world.day(touchpoint.at);
        let mut add = |counter| {
            each(FoldEntry::Counter(
                day,
                touchpoint.campaign,
                touchpoint.channel,
                counter,
            ))
        };
        let mut first = |sort: usize| {
            let before = last[sort].replace(touchpoint.at);
            world.is_first(before, touchpoint.at)
        };
        add(Counter::Events);
        if world.rules_at(touchpoint.at).is_ignored(touchpoint) {
            continue;
        }
        if touchpoint.channel == Channel::Email && first(0) {
            add(Counter::Emails);
        }
        match touchpoint.kind {
            EventKind::Delivered if first(1) => add(Counter::Deliveries),
            EventKind::Opened => {
                add(Counter::Opens);
                if first(2) {
                    add(Counter::UniqueOpens);
                }
            }
            EventKind::Clicked => {
                add(Counter::Clicks);
                if first(3) {
                    add(Counter::UniqueClicks);
                }
            }
            EventKind::Bounced if touchpoint.channel == Channel::Email && first(4) => {
                add(Counter::Bounces)
            }
            _ => {}
        }
    }
}

/// What one customer adds to every day that is folded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contribution {
    /// By day; a day without anything is absent.
    pub days: BTreeMap<Day, DayPart>,
}

/// What one customer adds to one day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DayPart {
    /// Engagement by campaign and channel.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<(CampaignId, Channel, [i64; COUNTERS])>,
    /// Orders placed that day, by (`placed_at`, `order_id`).
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<OrderLine>,
}

/// One order as the last run decided it: what the figures, the purchase list and the explanation must agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// Which order.
    #[serde(rename = "i")]
    pub order_id: OrderId,
    /// When it was placed.
    #[serde(rename = "p")]
    pub placed_at: Instant,
    /// Of all its amounts.
    #[serde(rename = "y")]
    pub currency: Currency,
    /// Where it stands.
    #[serde(rename = "s")]
    pub status: Status,
    /// What it is worth.
    #[serde(rename = "t")]
    pub total: Money,
    /// What of its refund its campaign has. In lines of before this was ruled it is every refund, and so the daily aggregates had it:
    /// what a fold takes away is what was added.
    #[serde(rename = "f", default, skip_serializing_if = "is_nothing")]
    pub refunded: Money,
    /// What it brings in, if it counts.
    #[serde(rename = "a")]
    pub amount: Money,
    /// Why it does not count.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<NotCounted>,
    /// Who earned it.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<LineCredit>,
    /// The customer's first purchase of that campaign.
    #[serde(rename = "b", default, skip_serializing_if = "std::ops::Not::not")]
    pub first_purchase: bool,
}

fn is_nothing(amount: &Money) -> bool {
    amount.is_zero()
}

/// Who earned an order, and by what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineCredit {
    /// Whose message.
    pub campaign_id: CampaignId,
    /// Where.
    pub channel: Channel,
    /// Which message.
    pub message_id: Option<MessageId>,
    /// What connects it to the order.
    pub touch_kind: EventKind,
    /// When that happened.
    pub touch_at: Instant,
    /// When the message was sent.
    pub sent_at: Instant,
}

impl LineCredit {
    /// A decision's credit, with the campaign's id in place of its place.
    pub fn of(credit: &crate::attribution::decide::Credit<'_>, catalog: &Catalog) -> Self {
        Self {
            campaign_id: catalog.at(credit.message.campaign).campaign_id.clone(),
            channel: credit.message.channel,
            message_id: credit
                .message
                .message
                .and_then(|id| MessageId::new(id).ok()),
            touch_kind: credit.touch.kind,
            touch_at: credit.touch.at,
            sent_at: credit.message.sent_at,
        }
    }
}

impl OrderLine {
    /// The line of a decided order.
    pub fn of(
        order: &Order,
        decision: &Decision<'_>,
        first_purchase: bool,
        catalog: &Catalog,
    ) -> Self {
        Self {
            order_id: order.order_id.clone(),
            placed_at: order.placed_at,
            currency: order.currency,
            status: order.status,
            total: order.total,
            refunded: decision.refunded,
            amount: decision.amount,
            not_counted: decision.not_counted,
            credit: decision
                .credit
                .map(|credit| LineCredit::of(&credit, catalog)),
            first_purchase,
        }
    }

    fn figures(&self) -> OrderFigures<CampaignId> {
        OrderFigures {
            currency: self.currency,
            status: self.status,
            total: self.total,
            refunded: self.refunded,
            amount: self.amount,
            not_counted: self.not_counted,
            credit: self
                .credit
                .as_ref()
                .map(|credit| (credit.campaign_id.clone(), credit.channel)),
            first_purchase: self.first_purchase,
        }
    }
}

impl DayPart {
    /// What this part adds to its day's daily aggregate.
    pub fn aggregate(&self) -> Aggregate<CampaignId> {
        let mut aggregate = Aggregate::default();
        for (campaign, channel, counters) in &self.counters {
            aggregate
                .rows
                .entry((campaign.clone(), *channel))
                .or_default()
                .counters = *counters;
        }
        for order in &self.orders {
            aggregate.add_order(&order.figures());
        }
        aggregate
    }
}

impl Contribution {
    /// Folds a customer's facts; days before `from` are left out.
    pub fn of(timeline: &Timeline<'_>, orders: &[Order], world: &World<'_>, from: Day) -> Self {
        let mut counters: BTreeMap<(Day, CampaignIx, Channel), [i64; COUNTERS]> = BTreeMap::new();
        let mut days: BTreeMap<Day, DayPart> = BTreeMap::new();
        fold(timeline, orders, world, |entry| match entry {
            FoldEntry::Counter(day, campaign, channel, counter) if day >= from => {
                counters.entry((day, campaign, channel)).or_default()[counter as usize] += 1;
            }
            FoldEntry::Order(day, order, decision, first) if day >= from => {
                days.entry(day).or_default().orders.push(OrderLine::of(
                    order,
                    &decision,
                    first,
                    world.catalog,
                ));
            }
            FoldEntry::Counter(..) | FoldEntry::Order(..) => {}
        });
        for ((day, campaign, channel), counts) in counters {
            let campaign_id = world.catalog.at(campaign).campaign_id.clone();
            days.entry(day)
                .or_default()
                .counters
                .push((campaign_id, channel, counts));
        }
        Self { days }
    }
}
