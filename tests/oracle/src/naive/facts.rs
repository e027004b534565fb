//! From JSON bodies to facts: which copy of an event or order stands, and when a campaign was sent (rule 3).

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use serde_json::Value;

use super::print::money;
use super::{Replay, World};

const HOUR_MS: i64 = 3_600_000;

/// In the order of an order's life.
pub(super) const STATUSES: [&str; 11] = [
    "ABANDONED_SHOPPING_CART",
    "PENDING",
    "INITIALIZED",
    "IN_PROGRESS",
    "PREPARING",
    "READY",
    "COMPLETE",
    "DELIVERED",
    "REJECTED",
    "CANCELLED",
    "REFUNDED",
];

pub(super) const CHANNELS: [&str; 3] = ["email", "push", "sms"];

/// The standing facts of a [`World`]; reading them once serves any number of questions.
#[derive(Debug)]
pub struct Facts {
    pub(super) events: Vec<Event>,
    /// By id.
    pub(super) orders: BTreeMap<String, Order>,
    /// By id, also those that only events name.
    pub(super) campaigns: BTreeMap<String, Campaign>,
    /// By ascending number.
    pub(super) settings: Vec<Settings>,
    replays: Vec<Replay>,
    pub(super) look_back: Option<i64>,
}

/// Whom a message went to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recipient {
    Customer(String),
    /// As addresses are compared.
    Address(String),
}

/// E-mail addresses are compared without blanks around them and in lower case.
fn email(text: &str) -> Recipient {
    Recipient::Address(text.trim().to_lowercase())
}

/// Phones are compared as their digits; fewer than 6 of them are no phone.
fn phone(text: &str) -> Option<Recipient> {
    let mut digits = text.to_owned();
    digits.retain(|c| c.is_ascii_digit());
    (digits.len() >= 6).then_some(Recipient::Address(digits))
}

#[derive(Debug)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) channel: String,
    pub(super) campaign_id: String,
    pub(super) recipient: Recipient,
    pub(super) message_id: Option<String>,
    pub(super) at: i64,
    machine: bool,
    app_version: Option<String>,
}

impl Event {
    /// `machine` on other kinds means nothing.
    pub(super) fn is_machine(&self) -> bool {
        self.machine && (self.kind == "opened" || self.kind == "clicked")
    }

    /// An open of a push by an app below 5.1; without a version it counts.
    pub(super) fn is_too_old_app(&self) -> bool {
        let Some(version) = &self.app_version else {
            return false;
        };
        self.channel == "push" && self.kind == "opened" && is_below(version, &["5", "1"])
    }

    pub(super) fn same_message(&self, other: &Event) -> bool {
        self.campaign_id == other.campaign_id
            && self.recipient == other.recipient
            && self.channel == other.channel
            && self.message_id == other.message_id
    }
}

/// Numbers joined by dots, compared number by number; what follows the first other character is ignored.
fn is_below(version: &str, least: &[&str]) -> bool {
    let end = version
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(version.len());
    let parts: Vec<&str> = version[..end].split('.').collect();
    for place in 0..parts.len().max(least.len()) {
        let have = parts.get(place).unwrap_or(&"0").trim_start_matches('0');
        let want = least.get(place).unwrap_or(&"0").trim_start_matches('0');
        // Without leading zeros the longer number is the greater one.
        if (have.len(), have) != (want.len(), want) {
            return (have.len(), have) < (want.len(), want);
        }
    }
    false
}

#[derive(Debug)]
pub(super) struct Order {
    pub(super) order_id: String,
    pub(super) customer_id: String,
    /// Index into [`STATUSES`].
    pub(super) status: usize,
    /// In millionths, as all money here.
    pub(super) total: i128,
    pub(super) refunded_total: i128,
    pub(super) currency: String,
    pub(super) placed_at: i64,
    updated_at: Option<i64>,
    /// What its `email` and its `phone` name.
    addresses: Vec<Recipient>,
    bytes: String,
}

impl Order {
    pub(super) fn status_name(&self) -> &'static str {
        STATUSES[self.status]
    }

    /// Those whose messages this order is decided by: its customer, the address of its `email`, that of its `phone`.
    pub(super) fn recipients(&self) -> Vec<Recipient> {
        let mut recipients = vec![Recipient::Customer(self.customer_id.clone())];
        recipients.extend(self.addresses.clone());
        recipients
    }

    /// The standing copy is the one where this is greatest.
    fn standing(&self) -> (i64, usize, i128, &str) {
        (
            self.updated_at.unwrap_or(self.placed_at),
            self.status,
            self.refunded_total,
            &self.bytes,
        )
    }
}

#[derive(Debug)]
pub(super) struct Campaign {
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    pub(super) send_time: Option<i64>,
    /// Of all its events ever.
    pub(super) channels: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) number: u64,
    in_force_from: Option<i64>,
    pub(super) enabled: bool,
    pub(super) link: bool,
    zone: Tz,
    pub(super) currency: Option<String>,
    /// By channel name.
    pub(super) channels: BTreeMap<String, Rule>,
    pub(super) winner: String,
    pub(super) supersede: String,
    pub(super) excluded_tags: Vec<String>,
    pub(super) counted_statuses: Vec<String>,
    pub(super) refunds: String,
    pub(super) ignores_machines: bool,
}

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) connect_on: Vec<String>,
    pub(super) window_ms: i64,
    pub(super) window_from: String,
}

impl Settings {
    pub(super) fn excludes(&self, campaign: &Campaign) -> bool {
        campaign
            .tags
            .iter()
            .any(|tag| self.excluded_tags.contains(tag))
    }
}

impl Facts {
    /// Reads every body once.
    ///
    /// # Panics
    /// On a body that rule 3 or 4.1 does not allow.
    pub fn read(world: &World) -> Facts {
        let mut known = BTreeSet::new();
        let mut events = Vec::new();
        for body in &world.events {
            let event = read_event(body);
            // The first one stands, even when a later copy differs.
            if known.insert((event.recipient.clone(), text(body, "event_id"))) {
                events.push(event);
            }
        }

        let mut orders: BTreeMap<String, Order> = BTreeMap::new();
        let mut came_with: BTreeMap<String, String> = BTreeMap::new();
        for body in &world.orders {
            let copy = read_order(body);
            came_with
                .entry(copy.order_id.clone())
                .or_insert(copy.customer_id.clone());
            let older = orders
                .get(&copy.order_id)
                .is_some_and(|known| known.standing() >= copy.standing());
            if !older {
                orders.insert(copy.order_id.clone(), copy);
            }
        }
        // Whatever customer the standing copy names, the order stays with the one it came with first.
        for (id, customer_id) in came_with {
            orders.get_mut(&id).unwrap().customer_id = customer_id;
        }

        let settings = world.versions.iter().map(read_settings).collect();
        let campaigns = read_campaigns(&world.campaigns, &events);
        let look_back = world.look_back;
        Facts {
            events,
            orders,
            campaigns,
            settings,
            replays: world.replays.clone(),
            look_back,
        }
    }

    pub(super) fn newest_settings(&self) -> &Settings {
        self.settings.last().unwrap()
    }

    /// The version in force at an instant; the first also covers everything before it.
    pub(super) fn settings_at(&self, at: i64) -> &Settings {
        let begun = |version: &&Settings| version.in_force_from.is_none_or(|from| from <= at);
        self.settings.iter().rev().find(begun).unwrap()
    }

    /// The version that decides an order: the newest replay's that was of a period with it, else the one in force.
    pub(super) fn settings_for(&self, order: &Order) -> &Settings {
        let holds = |replay: &&Replay| self.is_within(order, &replay.from, &replay.to);
        match self.replays.iter().rev().find(holds) {
            Some(replay) => self
                .settings
                .iter()
                .find(|version| version.number == replay.version)
                .unwrap(),
            None => self.settings_at(order.placed_at),
        }
    }

    /// True for an order that was placed in a half-open period, of which each end is a day or an instant.
    pub(super) fn is_within(&self, order: &Order, from: &str, to: &str) -> bool {
        let begun = |bound: &str| match NaiveDate::parse_from_str(bound, "%Y-%m-%d") {
            Ok(day) => self.day_of(order.placed_at) >= day,
            Err(_) => order.placed_at >= instant(bound),
        };
        begun(from) && !begun(to)
    }

    /// The calendar day of a fact, in the zone of the version in force at its own instant.
    pub(crate) fn day_of(&self, at: i64) -> NaiveDate {
        let utc = DateTime::from_timestamp_millis(at).unwrap();
        utc.with_timezone(&self.settings_at(at).zone).date_naive()
    }

    /// Whether something at `earlier` lies in the look-back before `at`, both ends included.
    pub(super) fn in_look_back(&self, earlier: i64, at: i64) -> bool {
        self.look_back
            .is_none_or(|look_back| at - earlier <= look_back)
    }
}

fn read_event(body: &Value) -> Event {
    Event {
        kind: text(body, "kind"),
        channel: text(body, "channel"),
        campaign_id: text(body, "campaign_id"),
        recipient: recipient(body),
        message_id: optional_text(body, "message_id"),
        at: instant(&text(body, "occurred_at")),
        machine: body["machine"].as_bool().unwrap_or(false),
        app_version: optional_text(body, "app_version"),
    }
}

/// Whom an event went to, as a text that is the same for the same recipient.
pub fn recipient_of(body: &Value) -> String {
    format!("{:?}", recipient(body))
}

/// The customer, or else the e-mail address, or else the phone.
fn recipient(body: &Value) -> Recipient {
    if let Some(id) = optional_text(body, "customer_id") {
        return Recipient::Customer(id);
    }
    if let Some(given) = optional_text(body, "email") {
        return email(&given);
    }
    let given = text(body, "phone");
    phone(&given).unwrap_or_else(|| panic!("no phone {given}"))
}

fn read_order(body: &Value) -> Order {
    let status = text(body, "status").to_ascii_uppercase();
    let mut order = Order {
        order_id: text(body, "order_id"),
        customer_id: text(body, "customer_id"),
        status: STATUSES.iter().position(|name| *name == status).unwrap(),
        total: millionths(&body["total"]),
        refunded_total: match &body["refunded_total"] {
            Value::Null => 0,
            given => millionths(given),
        },
        currency: text(body, "currency"),
        placed_at: instant(&text(body, "placed_at")),
        updated_at: optional_text(body, "updated_at").map(|text| instant(&text)),
        addresses: Vec::new(),
        bytes: String::new(),
    };
    let named = optional_text(body, "email").map(|given| email(&given));
    order.addresses.extend(named);
    let named = optional_text(body, "phone").and_then(|given| phone(&given));
    order.addresses.extend(named);
    order.bytes = known_fields(body, &order);
    order
}

/// The known fields of an order, parsed, as JSON with sorted keys.
fn known_fields(body: &Value, order: &Order) -> String {
    let mut fields: BTreeMap<&str, Value> = BTreeMap::new();
    for name in [
        "source",
        "coupon_codes",
        "items",
        "email",
        "phone",
        "first_name",
        "last_name",
    ] {
        if !body[name].is_null() {
            fields.insert(name, body[name].clone());
        }
    }
    fields.insert("order_id", order.order_id.clone().into());
    fields.insert("customer_id", order.customer_id.clone().into());
    fields.insert("status", order.status_name().into());
    fields.insert("total", money(order.total, &order.currency).into());
    let refunded_total = money(order.refunded_total, &order.currency);
    fields.insert("refunded_total", refunded_total.into());
    fields.insert("currency", order.currency.clone().into());
    fields.insert("placed_at", super::print::instant(order.placed_at));
    if let Some(updated_at) = order.updated_at {
        fields.insert("updated_at", super::print::instant(updated_at));
    }
    serde_json::to_string(&fields).unwrap()
}

fn read_campaigns(bodies: &[Value], events: &[Event]) -> BTreeMap<String, Campaign> {
    let given: BTreeMap<String, &Value> = bodies
        .iter()
        .map(|body| (text(body, "campaign_id"), body))
        .collect();
    let mut ids: BTreeSet<&String> = given.keys().collect();
    ids.extend(events.iter().map(|event| &event.campaign_id));

    let mut campaigns = BTreeMap::new();
    for id in ids {
        let body = given.get(id).copied().unwrap_or(&Value::Null);
        let its_events = || events.iter().filter(|event| event.campaign_id == *id);
        let given_time = optional_text(body, "sent_at").map(|text| instant(&text));
        let triggered = body["triggered"].as_bool().unwrap_or(false);
        let campaign = Campaign {
            name: optional_text(body, "name").unwrap_or_else(|| id.clone()),
            tags: texts(&body["tags"]),
            send_time: if triggered {
                None
            } else {
                given_time.or(its_events().map(|event| event.at).min())
            },
            channels: its_events().map(|event| event.channel.clone()).collect(),
        };
        campaigns.insert(id.clone(), campaign);
    }
    campaigns
}

pub(super) fn read_settings(version: &super::Version) -> Settings {
    let body = &version.settings;
    let channels = body["channels"].as_object().unwrap();
    let rule = |rule: &Value| Rule {
        connect_on: texts(&rule["connect_on"]),
        window_ms: duration_ms(&text(rule, "window")),
        window_from: text(rule, "window_from"),
    };
    Settings {
        number: version.number,
        in_force_from: version.in_force_from,
        enabled: body["enabled"].as_bool().unwrap(),
        link: body["link"].as_bool().unwrap(),
        zone: text(body, "timezone").parse().unwrap(),
        currency: optional_text(body, "currency"),
        channels: channels
            .iter()
            .map(|(name, value)| (name.clone(), rule(value)))
            .collect(),
        winner: text(body, "winner"),
        supersede: text(body, "supersede"),
        excluded_tags: texts(&body["excluded_tags"]),
        counted_statuses: texts(&body["counted_statuses"]),
        refunds: text(body, "refunds"),
        ignores_machines: text(body, "machine_events") == "ignore",
    }
}

fn text(body: &Value, field: &str) -> String {
    let value = body[field].as_str();
    value
        .unwrap_or_else(|| panic!("no text {field} in {body}"))
        .to_owned()
}

fn optional_text(body: &Value, field: &str) -> Option<String> {
    body[field].as_str().map(str::to_owned)
}

/// Absent and null are the empty list.
fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

/// RFC 3339 to milliseconds since 1970; further digits are cut.
pub(crate) fn instant(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text)
        .unwrap()
        .timestamp_millis()
}

fn duration_ms(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 168,
        other => panic!("unknown unit {other}"),
    };
    number.parse::<i64>().unwrap() * hours * HOUR_MS
}

/// Money in text, or as a whole JSON number, to millionths.
pub(crate) fn millionths(money: &Value) -> i128 {
    let text = match money {
        Value::String(text) => text.clone(),
        number => number.to_string(),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    assert!(fraction.len() <= 6, "{text} has more than 6 decimals");
    format!("{whole}{fraction:0<6}").parse().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_number_by_number() {
        for (version, below) in [
            ("5.1", false),
            ("5.10", false),
            ("5.1.0", false),
            ("05.01", false),
            ("6", false),
            ("10.0", false),
            ("5.1-beta", false),
            ("5.99999999999999999999999999999999999999999", false),
            ("5", true),
            ("5.0.9", true),
            ("5.0-9", true),
            ("4.10", true),
            ("abc", true),
        ] {
            assert_eq!(is_below(version, &["5", "1"]), below, "{version}");
        }
    }

    #[test]
    fn money_is_read_from_its_text() {
        for (given, expect) in [
            (serde_json::json!("0"), 0),
            (serde_json::json!("0.000001"), 1),
            (serde_json::json!("1.5"), 1_500_000),
            (serde_json::json!(7), 7_000_000),
            (
                serde_json::json!("999999999999999.999999"),
                999_999_999_999_999_999_999,
            ),
        ] {
            assert_eq!(millionths(&given), expect, "{given}");
        }
    }
}
