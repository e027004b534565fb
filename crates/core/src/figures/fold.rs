//! The fold: it makes entries of a customer's timeline and a contribution of the entries. Reports are sums of contributions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribution::campaign::{CampaignIx, Catalog};
use crate::attribution::decide::{Credit, Decision, Rules, decide};
use crate::attribution::event::{Channel, Event, EventKind};
use crate::attribution::order::Order;
use crate::attribution::plain::{Decidable, PlainOrder};
use crate::attribution::settings::{Settings, Versions};
use crate::attribution::timeline::{Timeline, Timelines, Touchpoint};
use crate::figures::counters::{COUNTERS, Counter, CounterSet, Counters};
use crate::figures::daily::{Aggregate, OrderFigures};
use crate::value::address::AddressHash;
use crate::value::id::{CampaignId, MarketplaceId, MessageId, OrderId};
use crate::value::time::{Day, Instant};

/// The version of the fold. Whoever changes the fold so that the same facts give another contribution raises this text. Then
/// every customer who was folded by a lesser version is folded again, once. Since version 2, a campaign's `refunded` covers the
/// orders that count, or that would count if they were not refunded. A new counter raises no version if no fact that was accepted
/// before adds to it: such facts give the same contribution, in which the new counter is 0.
pub const FOLD_VERSION: &str = "2";

/// Everything that decisions depend on besides a customer's own facts.
#[derive(Debug)]
pub struct World<'a> {
    /// The marketplace: the same address has another hash in another one.
    pub marketplace: &'a MarketplaceId,
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
    pub fn new(
        marketplace: &'a MarketplaceId,
        catalog: &'a Catalog,
        versions: &'a Versions,
        look_back_ms: Option<i64>,
    ) -> Self {
        let rules = versions
            .all()
            .iter()
            .map(|version| Rules::new(&version.settings, catalog))
            .collect();
        Self {
            marketplace,
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
    pub fn rules_for(&self, order: &impl Decidable) -> &Rules<'a> {
        &self.rules[self.versions.place_for_order(order.plain().placed_at)]
    }

    /// The rules of every version.
    pub fn rules(&self) -> &[Rules<'a>] {
        &self.rules
    }

    /// The longest window of any version, in milliseconds: an order that was placed longer after a touch is not earned by it.
    pub fn window_ms_max(&self) -> i64 {
        let windows = self
            .rules
            .iter()
            .map(|rules| rules.settings.longest_window_ms());
        windows.max().unwrap_or_default()
    }

    /// The newest version of the settings.
    pub fn newest(&self) -> &'a Settings {
        &self.versions.newest().settings
    }

    /// The day of a fact, by the time zone that is in force at the instant of the fact.
    pub fn day(&self, at: Instant) -> Day {
        at.day(self.rules_at(at).settings.timezone)
    }

    /// The timelines that the orders of a customer are decided by (rule 3.5). `by_address` has the events of the addresses that the
    /// orders name. An address as a recipient has events of its own and no orders. Events of campaigns that the catalog does not know
    /// are left out, see [`Catalog::witnessing`].
    pub fn timelines<'e>(
        &self,
        events: &'e [Event],
        by_address: &'e BTreeMap<AddressHash, Vec<Event>>,
        orders: &[Order],
    ) -> Timelines<'e> {
        let touchpoint = |event: &'e Event| {
            let campaign = self.catalog.place(&event.campaign_id)?;
            Some(Touchpoint::of(event, campaign))
        };
        let all = |events: &'e [Event]| events.iter().filter_map(touchpoint).collect();
        let of_addresses = by_address.iter();
        let of_addresses = of_addresses.map(|(address, events)| (*address, all(events)));
        // Without messages to addresses, it does not matter which addresses the orders name.
        let orders = if by_address.is_empty() { &[] } else { orders };
        let sets = orders.iter().map(|order| order.addresses(self.marketplace));
        Timelines::new(all(events), of_addresses.collect(), sets)
    }

    /// The timeline that an order is decided by.
    pub fn timeline_of<'t, 'e>(
        &self,
        order: &impl Decidable,
        timelines: &'t Timelines<'e>,
    ) -> &'t Timeline<'e> {
        timelines.of(|| order.addresses(self.marketplace))
    }

    /// Decides who earned an order, by the rules of its time or of its replay.
    pub fn decide<'t>(&self, order: &impl Decidable, timelines: &Timelines<'t>) -> Decision<'t> {
        let timeline = self.timeline_of(order, timelines);
        let rules = self.rules_for(order);
        decide(&order.plain(), timeline, rules, self.look_back_ms)
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

/// Folds the facts of a customer, or of an address, into entries: first the events, then the orders by (`placed_at`, `order_id`).
/// Messages to the addresses of the orders decide, and their engagement is that of the addresses.
pub fn fold<'f, 'a>(
    timelines: &Timelines<'a>,
    orders: &'f [Order],
    world: &World<'_>,
    mut each: impl FnMut(FoldEntry<'f, 'a>),
) {
    for touchpoints in timelines.own().messages() {
        fold_message(touchpoints, timelines.named, world, &mut each);
    }
    fold_orders(timelines, orders, world, |order, decision, first| {
        each(FoldEntry::Order(order, decision, first));
    });
}

/// Decides the orders of a customer, by (`placed_at`, `order_id`), and says of each whether it is the customer's first purchase from the
/// campaign that earned it. The timelines may be without messages that earn nothing and decide nothing, see [`Rules::connects`],
/// [`World::window_ms_max`] and [`Rules::needs_all_messages`].
pub fn fold_orders<'f, 'a, O: Decidable>(
    timelines: &Timelines<'a>,
    orders: &'f [O],
    world: &World<'_>,
    mut each: impl FnMut(&'f O, Decision<'a>, bool),
) {
    let mut sorted: Vec<(PlainOrder<'f>, &'f O)> =
        orders.iter().map(|order| (order.plain(), order)).collect();
    sorted.sort_by(|(a, _), (b, _)| (a.placed_at, a.order_id).cmp(&(b.placed_at, b.order_id)));
    let mut last_purchase: BTreeMap<CampaignIx, Instant> = BTreeMap::new();
    for (plain, order) in sorted {
        let decision = world.decide(order, timelines);
        let purchase_of = decision.credit.filter(|_| decision.not_counted.is_none());
        let first = purchase_of.is_some_and(|credit| {
            let last = last_purchase.insert(credit.message.campaign, plain.placed_at);
            world.is_first(last, plain.placed_at)
        });
        each(order, decision, first);
    }
}

/// The counters that an event adds to: those that it always adds to, and those that only the first such event of a message adds to.
/// `named` is what [`Timelines::of_address`] says.
pub fn counters_of(
    touchpoint: &Touchpoint<'_>,
    named: Option<bool>,
    world: &World<'_>,
) -> [CounterSet; 2] {
    let [mut of_events, mut of_messages] = [CounterSet::default(); 2];
    of_events.add(Counter::Events);
    if let Some(named) = named {
        of_events.add(Counter::ByAddress);
        named.then(|| of_events.add(Counter::ByAddressNamed));
    }
    if world.rules_at(touchpoint.at).is_ignored(touchpoint) {
        return [of_events, of_messages];
    }
    let is_email = touchpoint.channel == Channel::Email;
    is_email.then(|| of_messages.add(Counter::Emails));
    match touchpoint.kind {
        EventKind::Opened => {
            of_events.add(Counter::Opens);
            of_messages.add(Counter::UniqueOpens);
        }
        EventKind::Clicked => {
            of_events.add(Counter::Clicks);
            of_messages.add(Counter::UniqueClicks);
        }
        EventKind::Delivered => of_messages.add(Counter::Deliveries),
        EventKind::Bounced if is_email => of_messages.add(Counter::Bounces),
        EventKind::Unsubscribed => of_messages.add(Counter::Unsubscribes),
        EventKind::Complained => of_messages.add(Counter::Complaints),
        EventKind::Bounced | EventKind::Sent | EventKind::Failed => {}
    }
    [of_events, of_messages]
}

fn fold_message<'f, 'a>(
    touchpoints: &[Touchpoint<'a>],
    named: Option<bool>,
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
        let [of_events, of_messages] = counters_of(touchpoint, named, world);
        of_events.into_iter().for_each(&mut add);
        for counter in of_messages {
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
            figures: OrderFigures::of(&order.plain(), decision, first_purchase, |credit| {
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
    pub fn of(timelines: &Timelines<'_>, orders: &[Order], world: &World<'_>, from: Day) -> Self {
        let mut counters: BTreeMap<(Day, CampaignIx, Channel), Counters> = BTreeMap::new();
        let mut days: BTreeMap<Day, DayPart> = BTreeMap::new();
        // An event adds to several counters, and its day is found once.
        let mut last: Option<(Instant, Day)> = None;
        let mut day_of = |at| match last {
            Some((instant, day)) if instant == at => day,
            _ => last.insert((at, world.day(at))).1,
        };
        fold(timelines, orders, world, |entry| match entry {
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
    use crate::attribution::decide::CandidateOutcome;
    use crate::attribution::explain::explain_with_lanes;
    use crate::record::Record;
    use crate::value::id::CustomerId;
    use crate::value::time::{DAY_MS, HOUR_MS};
    use serde_json::json;

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

    fn at(hour: i64) -> Instant {
        Instant::parse("2026-11-20T00:00:00Z")
            .unwrap()
            .plus_ms(hour * HOUR_MS)
    }

    /// An event in words: whom it went to, campaign, message, kind, and hour.
    fn event(words: &str, shop: &MarketplaceId) -> Event {
        let words: Vec<&str> = words.split(' ').collect();
        let [whom, campaign, message, kind, hour] = words[..] else {
            panic!("{words:?}");
        };
        let field = match whom.as_bytes() {
            [b'+', ..] => "phone",
            _ if whom.contains('@') => "email",
            _ => "customer_id",
        };
        let body = json!({
            "event_id": words.join(" "), "kind": kind, "channel": "email", "campaign_id": campaign, field: whom,
            "message_id": message, "occurred_at": at(hour.parse().unwrap()),
        });
        Event::read(&Record::from_json(&body.to_string()).unwrap(), shop, None).unwrap()
    }

    /// What becomes of the messages for an order of c at hour 20, in words.
    fn outcomes(events: &[Event], order: &Order, supersede: &str, shop: &MarketplaceId) -> String {
        let rule =
            json!({"connect_on": ["opened", "clicked"], "window": "7d", "window_from": "sent"});
        let settings = json!({"channels": {"email": rule}, "supersede": supersede, "counted_statuses": ["READY"]});
        let versions = Versions::only(Settings::read(&settings, 30 * DAY_MS).unwrap());
        let told = Catalog::new(Vec::new());
        let catalog = told.witnessing(events).unwrap();
        let world = World::new(shop, &catalog, &versions, Some(30 * DAY_MS));
        let (mut own, mut by_address) = (Vec::new(), BTreeMap::<_, Vec<Event>>::new());
        for event in events {
            match event.recipient.address() {
                None => own.push(event.clone()),
                Some(address) => by_address.entry(address).or_default().push(event.clone()),
            }
        }
        let timelines = world.timelines(&own, &by_address, std::slice::from_ref(order));
        // Nothing of an address is engagement of the customer.
        let contribution =
            Contribution::of(&timelines, &[], &world, Day::parse("2026-01-01").unwrap());
        let parts = contribution.days.values().flat_map(|part| &part.counters);
        let counted: i64 = parts
            .map(|(_, _, counters)| counters[Counter::Events])
            .sum();
        assert_eq!(counted, own.len() as i64);
        let (explained, lanes) = explain_with_lanes(order, &timelines, &world);
        let first = explained
            .candidates
            .first()
            .filter(|first| first.outcome == CandidateOutcome::Credited);
        let credit = world.decide(order, &timelines).credit;
        let credit = credit.map(|credit| LineCredit::of(&credit, &catalog));
        assert_eq!(
            credit.as_ref().map(|credit| Some(credit.touch_at)),
            first.map(|first| first.touch_at)
        );
        let shown = explained.candidates.iter().zip(lanes).map(|(one, lane)| {
            let outcome = serde_json::to_value(one.outcome).unwrap();
            let message = one.message_id.as_deref().unwrap_or_default();
            let kinds = lane.events.iter().map(|event| &event.kind.name()[..1]);
            format!(
                "{} {message} {} {}",
                one.campaign_id,
                outcome.as_str().unwrap(),
                kinds.collect::<String>()
            )
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// Each row: what happened, the order's e-mail and phone, `supersede`, and what becomes of the messages. A message shows the first
    /// letters of its events.
    #[test]
    fn an_order_is_decided_by_its_customer_and_its_addresses() {
        for (events, [email, phone], supersede, expected) in [
            (
                &["ann@x.org A m opened 1"][..],
                [" Ann@X.org", ""],
                "none",
                "A m credited o",
            ),
            (&["ann@x.org A m opened 1"], ["", "ann@x.org"], "none", ""),
            (&["ann@x.org A m opened 1"], ["", ""], "none", ""),
            (
                &["c A m opened 1", "bob@x.org B m opened 2"],
                ["ann@x.org", ""],
                "none",
                "A m credited o",
            ),
            // The same message id to two recipients is two messages.
            (
                &["c A m sent 1", "c A m opened 2", "ann@x.org A m opened 3"],
                ["ann@x.org", ""],
                "none",
                "A m credited o, A m earlier_sent so",
            ),
            (
                &["c A m clicked 3", "ann@x.org A m sent 1"],
                ["ann@x.org", ""],
                "none",
                "A m credited c, A m no_connecting_event s",
            ),
            // Equal in all that decides: the later kind wins, whoever got the message.
            (
                &["c A m opened 3", "ann@x.org A m clicked 3"],
                ["ann@x.org", ""],
                "none",
                "A m credited c, A m earlier_sent o",
            ),
            (
                &["c A m clicked 3", "ann@x.org A m opened 3"],
                ["ann@x.org", ""],
                "none",
                "A m credited c, A m earlier_sent o",
            ),
            // A later message to the address is a later message to the customer.
            (
                &["c A m opened 1", "ann@x.org B m sent 2"],
                ["ann@x.org", ""],
                "customer",
                "B m no_connecting_event s, A m superseded o",
            ),
            (
                &["c A m opened 1", "bob@x.org B m sent 2"],
                ["ann@x.org", ""],
                "customer",
                "A m credited o",
            ),
            // Both addresses of an order count, and one that is both counts once.
            (
                &["ann@x.org A m opened 1", "+380940 B m opened 2"],
                ["ann@x.org", "380 94 0"],
                "none",
                "B m credited o, A m earlier_sent o",
            ),
            (
                &["+380940 A m opened 1"],
                ["380940", "+380940"],
                "none",
                "A m credited o",
            ),
            // Equal messages that a gate stopped: the customer's first, then the e-mail's.
            (
                &[
                    "+380940 A m sent 1",
                    "ann@x.org A m delivered 1",
                    "c A m failed 1",
                ],
                ["ann@x.org", "+380940"],
                "none",
                "A m no_connecting_event f, A m no_connecting_event d, A m no_connecting_event s",
            ),
        ] {
            let shop = MarketplaceId::new("shop").unwrap();
            let mut events: Vec<Event> = events.iter().map(|words| event(words, &shop)).collect();
            events.push(event("c Z z bounced -900", &shop));
            let body = json!({
                "order_id": "o", "customer_id": "c", "status": "READY", "total": "1", "currency": "EUR",
                "placed_at": at(20), "email": email, "phone": phone,
            });
            let order = Order::read(&Record::from_json(&body.to_string()).unwrap(), None).unwrap();
            // Whom it was erased for does not matter, and neither does the order of the facts.
            let erased = order
                .clone()
                .without_person(&CustomerId::new("p").unwrap(), &shop);
            assert_eq!((&erased.email, &erased.phone), (&None, &None));
            let stored = Order::from_standing(&erased.standing()).unwrap();
            for order in [&order, &stored] {
                assert_eq!(
                    outcomes(&events, order, supersede, &shop),
                    expected,
                    "{body}"
                );
                events.reverse();
            }
        }
    }
}
