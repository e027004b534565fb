//! Random lives of a marketplace, each from its seed alone: what it is told over weeks and months, in moments so far apart that
//! facts leave the reports, the look-back and the table; and what of it the specification says is taken in.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use serde_json::{Value, json};

use crate::addresses::{Address, by_address, used};
use crate::naive::{Replay, Version, World, recipient_of};
use crate::worlds::{
    CAMPAIGNS, CUSTOMERS, DAY_MS, HOUR_MS, MINUTE_MS, NOW_MS, Rng, Times, bounds_near, campaign,
    events, instant, money, orders, refund, settings, status, total,
};

/// What a marketplace is told within an hour or so.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Settings that are saved then.
    pub settings: Vec<Value>,
    /// What is told of campaigns.
    pub campaigns: Vec<Value>,
    /// Events, some of them too old by then.
    pub events: Vec<Value>,
    /// Orders, new ones and later copies.
    pub orders: Vec<Value>,
    /// Periods that some version is replayed over in the end.
    pub replays: Vec<[String; 2]>,
}

/// A life of a marketplace.
#[derive(Clone, Debug)]
pub struct History {
    /// The deployment's.
    pub retention_days: u32,
    /// Who may have facts.
    pub customers: Vec<&'static str>,
    /// Which campaigns may.
    pub campaigns: Vec<&'static str>,
    /// The settings it is made with.
    pub first_settings: Value,
    /// The settings in the first moment are saved before there is any order.
    pub early: bool,
    /// What follows, by time.
    pub moments: Vec<Moment>,
}

/// The shortest time between two moments: in it lie the steps of the first, and a quarter of an hour after which the notes of
/// dead calls may go.
pub const MOMENT_MS: i64 = 4 * HOUR_MS;

/// The life of a seed: two to four moments, up to half a year.
pub fn history(seed: u64) -> History {
    let rng = &mut Rng::new(seed);
    let retention_days = *rng.pick(&[30_u32, 30, 30, 42]);
    let look_back = i64::from(retention_days) * DAY_MS / 3;
    let customer_count = 2 + rng.below(2);
    let customers = rng.some(&CUSTOMERS, customer_count);
    let campaign_count = 2 + rng.below(4);
    let ids = rng.some(&CAMPAIGNS, campaign_count);
    let first_settings = settings(rng, Some(look_back));
    // A share of the events goes to addresses.
    let addresses = rng.chance(60).then(|| used(rng));
    let mut all_settings = vec![first_settings.clone()];
    let mut at = NOW_MS - rng.below(40) as i64 * DAY_MS;
    let mut known_orders: Vec<Value> = Vec::new();
    let mut purchases: Vec<i64> = Vec::new();
    let mut moments = Vec::new();
    for n in 0..2 + rng.below(3) {
        let mut saved = Vec::new();
        for _ in 0..*rng.pick(&[0, 0, 0, 1, 1, 2]) {
            saved.push(settings(rng, Some(look_back)));
        }
        all_settings.extend(saved.iter().cloned());
        let reach = retention_days as usize - 2;
        let mut times = Times::new(rng, at, reach, Some(look_back), &all_settings);
        // Facts that come late lie around the purchases of moments before.
        times.purchases.extend(
            purchases
                .iter()
                .copied()
                .filter(|one| at - one < look_back * 3),
        );
        let mut events = events(rng, &times, &customers, &ids);
        events.truncate(2 + rng.below(10));
        for event in &mut events {
            event["event_id"] = json!(format!(
                "{n}{}",
                event["event_id"].as_str().unwrap_or_default()
            ));
            // Of a clock that is ahead, or by a receiver that is behind: settings may be saved that are in force at its instant.
            if rng.chance(15) {
                let ahead = at + rng.below(30) as i64 * MINUTE_MS;
                event["occurred_at"] = instant(rng, ahead);
            }
        }
        let version = Version {
            number: 0,
            in_force_from: None,
            settings: all_settings.last().cloned().unwrap_or_default(),
        };
        let mut orders = orders(rng, &times, &customers, std::slice::from_ref(&version));
        orders.truncate(1 + rng.below(6));
        for order in &mut orders {
            order["order_id"] = json!(format!(
                "{}{n}",
                order["order_id"].as_str().unwrap_or_default()
            ));
        }
        if let Some(used) = &addresses {
            by_address(rng, used, &mut events, &mut orders);
            one_address_an_order(&mut orders);
        }
        for _ in 0..rng.below(3) {
            if !known_orders.is_empty() {
                let stood = rng.pick(&known_orders).clone();
                let mut copy = later_copy(rng, stood, at, &version.settings, &customers);
                if let Some(used) = addresses.as_ref().filter(|_| rng.chance(25)) {
                    move_away(rng, &mut copy, used, at);
                }
                orders.push(copy);
            }
        }
        known_orders.extend(orders.iter().cloned());
        let told = ids.iter().filter(|_| rng.chance(35)).collect::<Vec<_>>();
        let campaigns = told
            .into_iter()
            .map(|id| campaign(rng, &times, id))
            .collect();
        let mut replays = Vec::new();
        for _ in 0..*rng.pick(&[0, 0, 1, 2]) {
            let from = *rng.pick(&times.purchases);
            replays.push(bounds_near(rng, from));
        }
        purchases.extend(times.purchases);
        moments.push(Moment {
            at,
            settings: saved,
            campaigns,
            events,
            orders,
            replays,
        });
        let days = *rng.pick(&[0, 0, 1, 3, 9, 10, 14, 20, 25, 29, 30, 31, 40, 53]);
        at += MOMENT_MS + days * DAY_MS + *rng.pick(&[-HOUR_MS, 0, 0, 1, 5 * HOUR_MS]).max(&0);
    }
    History {
        retention_days,
        customers,
        campaigns: ids,
        first_settings,
        early: rng.chance(40),
        moments,
    }
}

/// All copies of a moment name what the first of their order does. Of an erased order nothing is left that tells equal copies apart.
fn one_address_an_order(orders: &mut [Value]) {
    let mut named: BTreeMap<String, [Value; 2]> = BTreeMap::new();
    for copy in orders {
        let own = ["email", "phone"].map(|field| copy[field].clone());
        let named = named.entry(text(copy, "order_id")).or_insert(own);
        for (field, value) in ["email", "phone"].into_iter().zip(named) {
            copy[field] = value.clone();
        }
    }
}

/// A later copy names another address.
fn move_away(rng: &mut Rng, copy: &mut Value, used: &[Address], at: i64) {
    let (field, spellings) = *rng.pick(used);
    copy["email"] = Value::Null;
    copy["phone"] = Value::Null;
    copy[field] = json!(rng.pick(spellings));
    let updated = at - 30 * HOUR_MS - rng.below(3_600_000) as i64;
    copy["updated_at"] = instant(rng, updated);
}

/// A copy of an order as it stands some time later; rarely one that changes what never changes.
fn later_copy(
    rng: &mut Rng,
    mut order: Value,
    at: i64,
    settings: &Value,
    customers: &[&str],
) -> Value {
    let worth = total(rng);
    let back = refund(rng, worth);
    order["status"] = status(rng, &settings["counted_statuses"]);
    order["total"] = money(rng, worth);
    order["refunded_total"] = money(rng, back);
    if rng.chance(70) {
        let updated = at - rng.below(30) as i64 * HOUR_MS;
        order["updated_at"] = instant(rng, updated);
    }
    // Customers were merged in the shop.
    if rng.chance(20) {
        order["customer_id"] = json!(rng.pick(customers));
    }
    if rng.chance(6) {
        order["currency"] = json!(if order["currency"] == "USD" {
            "EUR"
        } else {
            "USD"
        });
    }
    order
}

/// What the specification says becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A fact.
    Taken,
    /// The customer has an event of that id.
    Duplicate,
    /// Too old, of the future, or an order that differs in what never changes.
    Rejected,
}

/// What a marketplace was told and took in, by rules 2 and 3.
#[derive(Clone, Debug, Default)]
pub struct Told {
    retention_ms: i64,
    /// The standing event of each id, with the receiver's clock.
    pub events: Vec<(i64, Value)>,
    /// Every accepted copy, with the receiver's clock.
    pub orders: Vec<(i64, Value)>,
    /// In the order they were told; the last of an id stands.
    pub campaigns: Vec<(i64, Value)>,
    /// Those that are in force for an instant.
    pub versions: Vec<Version>,
    /// Those that were applied, with the receiver's clock.
    pub replays: Vec<(i64, Replay)>,
    /// What was told of every version, by its number.
    pub saved: BTreeMap<u64, Value>,
    event_ids: BTreeSet<(String, String)>,
    order_keys: BTreeMap<String, (Value, i64)>,
    /// Of each order the customer of the first copy, whose it is.
    pub owners: BTreeMap<String, String>,
    /// The pseudonyms of customers who were erased.
    pub pseudonyms: BTreeSet<String>,
}

fn at(body: &Value, field: &str) -> Option<i64> {
    let parsed = DateTime::parse_from_rfc3339(body[field].as_str()?).ok()?;
    Some(parsed.timestamp_millis())
}

fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_default().to_owned()
}

impl Told {
    /// Nothing yet.
    pub fn new(history: &History) -> Self {
        Self {
            retention_ms: i64::from(history.retention_days) * DAY_MS,
            ..Self::default()
        }
    }

    /// Acceptance by time alone (rule 2): from the retention back to ten minutes ahead, both included.
    pub fn acceptable(&self, record: &Value, now: i64) -> bool {
        let of = at(record, "occurred_at")
            .or(at(record, "placed_at"))
            .unwrap_or(i64::MAX);
        let ahead = now + 10 * MINUTE_MS;
        (now - self.retention_ms..=ahead).contains(&of)
            && at(record, "updated_at").is_none_or(|updated| updated <= ahead)
    }

    /// Takes an event in, if it is a fact.
    pub fn event(&mut self, body: &Value, now: i64) -> Verdict {
        if !self.acceptable(body, now) {
            return Verdict::Rejected;
        }
        if !self
            .event_ids
            .insert((recipient_of(body), text(body, "event_id")))
        {
            return Verdict::Duplicate;
        }
        self.events.push((now, body.clone()));
        Verdict::Taken
    }

    /// Takes a copy of an order in.
    pub fn order(&mut self, body: &Value, now: i64) -> Verdict {
        let key = (
            body["currency"].clone(),
            at(body, "placed_at").unwrap_or_default(),
        );
        if !self.acceptable(body, now) {
            return Verdict::Rejected;
        }
        let known = self
            .order_keys
            .entry(text(body, "order_id"))
            .or_insert_with(|| key.clone());
        if *known != key {
            return Verdict::Rejected;
        }
        let owner = self
            .owners
            .entry(text(body, "order_id"))
            .or_insert_with(|| text(body, "customer_id"));
        let mut copy = body.clone();
        if self.pseudonyms.contains(owner) {
            copy["customer_id"] = json!(owner);
        }
        self.orders.push((now, copy));
        Verdict::Taken
    }

    /// A customer is erased: what was told of them is a pseudonym's from here on, and of their orders the standing copies remain,
    /// which `stands` knows. Copies of others' orders do not name them any more.
    pub fn erase(&mut self, customer: &str, pseudonym: &str, stands: impl Fn(&Value) -> bool) {
        self.pseudonyms.insert(pseudonym.to_owned());
        let is = |body: &Value| body["customer_id"] == customer;
        for (_, event) in self.events.iter_mut().filter(|(_, event)| is(event)) {
            event["customer_id"] = json!(pseudonym);
        }
        let ids = std::mem::take(&mut self.event_ids).into_iter();
        let named = |customer: &str| recipient_of(&json!({ "customer_id": customer }));
        let (old, new) = (named(customer), named(pseudonym));
        let renamed = |(of, id): (String, String)| match of == old {
            true => (new.clone(), id),
            false => (of, id),
        };
        self.event_ids = ids.map(renamed).collect();
        let owners = self.owners.clone();
        let owner = |body: &Value| {
            owners
                .get(&text(body, "order_id"))
                .cloned()
                .unwrap_or_default()
        };
        self.orders
            .retain(|(_, copy)| (owner(copy) != customer && !is(copy)) || stands(copy));
        for (_, copy) in &mut self.orders {
            match owner(copy) {
                of if of == customer => copy["customer_id"] = json!(pseudonym),
                of if is(copy) => copy["customer_id"] = json!(of),
                _ => {}
            }
        }
        for of in self.owners.values_mut().filter(|of| **of == customer) {
            pseudonym.clone_into(of);
        }
    }

    /// Whose an accepted fact is: an order's first customer, an event's own.
    pub fn owner<'b>(&'b self, body: &'b Value) -> &'b str {
        let owner = body["order_id"].as_str().and_then(|id| self.owners.get(id));
        owner.map_or_else(
            || body["customer_id"].as_str().unwrap_or_default(),
            String::as_str,
        )
    }

    /// True for an order of which some copy was sent with another customer than the first.
    pub fn was_merged(&self, body: &Value) -> bool {
        let copies = self.orders.iter().map(|(_, copy)| copy);
        let mut copies = copies.filter(|copy| copy["order_id"] == body["order_id"]);
        copies.any(|copy| copy["customer_id"] != self.owner(copy))
    }

    /// All of it, for the second implementation.
    pub fn world(&self) -> World {
        let standing: BTreeMap<String, Value> = self
            .campaigns
            .iter()
            .map(|(_, body)| (text(body, "campaign_id"), body.clone()))
            .collect();
        World {
            events: self.events.iter().map(|(_, body)| body.clone()).collect(),
            orders: self.orders.iter().map(|(_, body)| body.clone()).collect(),
            campaigns: standing.into_values().collect(),
            versions: self.versions.clone(),
            replays: self.replays.iter().map(|(_, one)| one.clone()).collect(),
            look_back: Some(self.retention_ms / 3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_history_and_what_it_is_for_is_frequent() {
        let (mut rejected, mut old, mut copies, mut saved) = (0, 0, 0, 0);
        for seed in 0..500 {
            let history = history(seed);
            assert_eq!(
                format!("{history:?}"),
                format!("{:?}", super::history(seed))
            );
            let mut told = Told::new(&history);
            let last = history.moments.last().map_or(0, |moment| moment.at);
            for moment in &history.moments {
                saved += moment.settings.len();
                for event in &moment.events {
                    rejected += usize::from(told.event(event, moment.at) == Verdict::Rejected);
                }
                for order in &moment.orders {
                    rejected += usize::from(told.order(order, moment.at) == Verdict::Rejected);
                }
            }
            let gone = told.retention_ms * 5 / 3;
            old += told
                .events
                .iter()
                .filter(|(_, event)| last - at(event, "occurred_at").unwrap_or(last) > gone)
                .count();
            copies += told.orders.len() - told.order_keys.len();
        }
        for (what, times) in [
            ("rejected", rejected),
            ("expired", old),
            ("copies", copies),
            ("saved", saved),
        ] {
            assert!(times >= 300, "{what} only {times} times");
        }
    }
}
