//! The fold: it makes entries of a customer's timeline and a contribution of the entries. Reports are sums of contributions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribution::campaign::{CampaignIx, Catalog};
use crate::attribution::decide::{Credit, Decision, Rules, decide};
use crate::attribution::event::{Channel, Event, EventKind};
use crate::attribution::order::Order;
use crate::attribution::settings::{Settings, Versions};
use crate::attribution::timeline::{Timeline, Touchpoint};
use crate::figures::counters::{COUNTERS, Counter, Counters};
use crate::figures::daily::{Aggregate, OrderFigures};
use crate::value::id::{CampaignId, MessageId, OrderId};
use crate::value::time::{Day, Instant};

/// The version of the fold. Whoever changes the fold so that the same facts give another contribution raises this text. Then
/// every customer who was folded by a lesser version is folded again, once. Since version 2, a campaign's `refunded` covers the
/// orders that count, or that would count if they were not refunded. A new counter raises no version if no fact that was accepted
/// before adds to it: such facts give the same contribution, in which the new counter is 0.
pub const FOLD_VERSION: &str = "2";

/// Everything that decisions depend on besides a customer's own facts.
#[derive(Debug)]
pub struct World<'a> {
    /// The campaigns as they are now.
    pub catalog: &'a Catalog,
    /// All versions of the settings.
    pub versions: &'a Versions,
    /// How far back any decision looks, in milliseconds; `None` in runs over files, where nothing limits it.
    pub look_back_ms: Option<i64>,
    rules: Vec<Rules<'a>>,
}

impl<'a> World<'a> {
    /// Combines every version of the settings with the campaigns.
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

    /// The rules that decide an order: those of the newest replay that holds it, or else those in force when it was placed.
    pub fn rules_for(&self, order: &Order) -> &Rules<'a> {
        &self.rules[self.versions.place_for_order(order.placed_at)]
    }

    /// The newest version of the settings.
    pub fn newest(&self) -> &'a Settings {
        &self.versions.newest().settings
    }

    /// The day of a fact, by the time zone that is in force at the instant of the fact.
    pub fn day(&self, at: Instant) -> Day {
        at.day(self.rules_at(at).settings.timezone)
    }

    /// The timeline of a customer's events. Events of campaigns that the catalog does not know are left out,
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

    /// Decides who earned an order, by the rules of its time or of its replay.
    pub fn decide<'t>(&self, order: &Order, timeline: &Timeline<'t>) -> Decision<'t> {
        decide(order, timeline, self.rules_for(order), self.look_back_ms)
    }

    /// True where nothing of the same kind lies in the look-back before `at`. `last` is the latest of that kind before `at`.
    fn is_first(&self, last: Option<Instant>, at: Instant) -> bool {
        match (last, self.look_back_ms) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(last), Some(ms)) => last < at.minus_ms(ms),
        }
    }
}

/// One thing that a customer adds to the figures of the day of a fact. Runs over files add up all days and ask for none of them.
#[derive(Debug)]
pub enum FoldEntry<'f, 'a> {
    /// One more on a counter of a campaign on a channel, by an event of this instant.
    Counter(Instant, CampaignIx, Channel, Counter),
    /// A decided order, and whether it is the customer's first purchase from the campaign that earned it.
    Order(&'f Order, Decision<'a>, bool),
}

/// Folds a customer's facts into entries: first the events, then the orders by (`placed_at`, `order_id`).
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
        each(FoldEntry::Order(order, decision, first));
    }
}

fn fold_message<'f, 'a>(
    touchpoints: &[Touchpoint<'a>],
    world: &World<'_>,
    each: &mut impl FnMut(FoldEntry<'f, 'a>),
) {
    // When each counter of messages last saw what it counts.
    let mut last = [None; COUNTERS];
    for touchpoint in touchpoints {
        let mut add = |counter| {
            each(FoldEntry::Counter(
                touchpoint.at,
                touchpoint.campaign,
                touchpoint.channel,
                counter,
            ))
        };
        add(Counter::Events);
        if world.rules_at(touchpoint.at).is_ignored(touchpoint) {
            continue;
        }
        let is_email = touchpoint.channel == Channel::Email;
        let (of_events, of_messages) = match touchpoint.kind {
            EventKind::Opened => (Some(Counter::Opens), Some(Counter::UniqueOpens)),
            EventKind::Clicked => (Some(Counter::Clicks), Some(Counter::UniqueClicks)),
            EventKind::Delivered => (None, Some(Counter::Deliveries)),
            EventKind::Bounced => (None, is_email.then_some(Counter::Bounces)),
            EventKind::Unsubscribed => (None, Some(Counter::Unsubscribes)),
            EventKind::Complained => (None, Some(Counter::Complaints)),
            EventKind::Sent | EventKind::Failed => (None, None),
        };
        of_events.into_iter().for_each(&mut add);
        let emails = is_email.then_some(Counter::Emails);
        for counter in emails.into_iter().chain(of_messages) {
            let before = last[counter as usize].replace(touchpoint.at);
            if world.is_first(before, touchpoint.at) {
                add(counter);
            }
        }
    }
}

/// What one customer adds to every day that is folded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contribution {
    /// The part of each day. A day to which the customer adds nothing is absent.
    pub days: BTreeMap<Day, DayPart>,
}

/// What one customer adds to one day.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DayPart {
    /// The counters of engagement by campaign and channel.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub counters: Vec<(CampaignId, Channel, Counters)>,
    /// The orders placed on that day, by (`placed_at`, `order_id`).
    #[serde(rename = "o", default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<OrderLine>,
}

/// One order as the last run decided it. The figures, the list of purchases and the explanation must agree on this line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The id of the order.
    #[serde(rename = "i")]
    pub order_id: OrderId,
    /// When the order was placed, in UTC.
    #[serde(rename = "p")]
    pub placed_at: Instant,
    /// What the order adds to the figures, and the campaign and the touch that earned it.
    #[serde(flatten)]
    pub figures: OrderFigures<LineCredit>,
}

/// The campaign and the touch that earned an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineCredit {
    /// The campaign that earned the order.
    pub campaign_id: CampaignId,
    /// The channel of the message.
    pub channel: Channel,
    /// The message that earned the order, where its id is known.
    pub message_id: Option<MessageId>,
    /// The kind of event that connects the message to the order.
    pub touch_kind: EventKind,
    /// When that event happened, in UTC.
    pub touch_at: Instant,
    /// When the message was sent, in UTC.
    pub sent_at: Instant,
}

impl LineCredit {
    /// The credit of a decision, with the id of the campaign instead of its index in the catalog.
    pub fn of(credit: &Credit<'_>, catalog: &Catalog) -> Self {
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
    /// Makes the line of a decided order.
    pub fn of(
        order: &Order,
        decision: &Decision<'_>,
        first_purchase: bool,
        catalog: &Catalog,
    ) -> Self {
        Self {
            order_id: order.order_id.clone(),
            placed_at: order.placed_at,
            figures: OrderFigures::of(order, decision, first_purchase, |credit| {
                LineCredit::of(credit, catalog)
            }),
        }
    }
}

impl DayPart {
    /// What this part adds to the daily aggregate of its day.
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
            aggregate.add_order(&order.figures, |credit| {
                (credit.campaign_id.clone(), credit.channel)
            });
        }
        aggregate
    }
}

impl Contribution {
    /// Folds a customer's facts. Days before `from` are left out.
    pub fn of(timeline: &Timeline<'_>, orders: &[Order], world: &World<'_>, from: Day) -> Self {
        let mut counters: BTreeMap<(Day, CampaignIx, Channel), Counters> = BTreeMap::new();
        let mut days: BTreeMap<Day, DayPart> = BTreeMap::new();
        // An event adds to several counters, and its day is found once.
        let mut last: Option<(Instant, Day)> = None;
        let mut day_of = |at| match last {
            Some((instant, day)) if instant == at => day,
            _ => last.insert((at, world.day(at))).1,
        };
        fold(timeline, orders, world, |entry| match entry {
            FoldEntry::Counter(at, campaign, channel, counter) => {
                let day = day_of(at);
                if day >= from {
                    counters.entry((day, campaign, channel)).or_default()[counter] += 1;
                }
            }
            FoldEntry::Order(order, decision, first) => {
                let day = day_of(order.placed_at);
                if day >= from {
                    let line = OrderLine::of(order, &decision, first, world.catalog);
                    days.entry(day).or_default().orders.push(line);
                }
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What earlier versions stored is read, and written as they wrote it: the table compares these texts.
    #[test]
    fn a_line_is_stored_as_it_always_was() {
        for stored in [
            r#"{"i":"o-1","p":"2026-11-20T10:00:00.000Z","y":"EUR","s":"COMPLETE","t":"19.99","a":"19.99"}"#,
            r#"{"i":"o-2","p":"2026-11-20T10:00:00.000Z","y":"KWD","s":"REFUNDED","t":"0.125","f":"0.125","a":"0","x":"status"}"#,
            r#"{"i":"o-3","p":"2026-11-20T10:00:00.000Z","y":"EUR","s":"DELIVERED","t":"20","f":"5","a":"15","c":{"campaign_id":"spring","channel":"email","message_id":"m-1","touch_kind":"clicked","touch_at":"2026-11-20T09:00:00.000Z","sent_at":"2026-11-20T08:00:00.000Z"},"b":true}"#,
        ] {
            let line: OrderLine = serde_json::from_str(stored).unwrap();
            assert_eq!(serde_json::to_string(&line).unwrap(), stored);
        }
    }
}
