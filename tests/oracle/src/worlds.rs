//! Random small worlds, each from its seed alone, aimed at what tells two readings of the specification apart:
//! ties to the millisecond, edges of windows, ids that look alike, copies in every order.

use chrono::{DateTime, Duration, FixedOffset, NaiveDate, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::addresses::{by_address, used};
use crate::naive::{Replay, Version, World};
pub use crate::rng::Rng;

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;
pub(crate) const DAY_MS: i64 = 24 * HOUR_MS;

/// No event or order is later than this, 2026-11-25T12:00:00Z, nor more than 90 days earlier.
pub const NOW_MS: i64 = 1_795_608_000_000;

const CHANNELS: [&str; 3] = ["email", "push", "sms"];
const KINDS: [&str; 8] = [
    "sent",
    "delivered",
    "opened",
    "clicked",
    "bounced",
    "failed",
    "unsubscribed",
    "complained",
];
pub(crate) const CUSTOMERS: [&str; 10] = [
    "c", "c#1", "c/1", "c%231", "c%2F1", "c 1", "c\"1\"", "ç", "🛒", "C",
];
pub(crate) const CAMPAIGNS: [&str; 16] = [
    "a", "a#", "a#b", "a/b", "a%23b", "a%", "A", "a b", "\"a\"", "a'b", "ab", "é", "😀", "b", "=1",
    "email",
];
const MESSAGES: [&str; 9] = ["m", "m#1", "m/1", "m%231", "%", "M", " ", "😀", "null"];
const ORDERS: [&str; 12] = [
    "o", "o#1", "o#10", "o/1", "o%231", "o%2F1", "O", "o 1", "o\"", "ö", "🧾", "10",
];
const TAGS: [&str; 4] = ["technical", "Technical", "promo", "été"];
const VERSIONS: [&str; 12] = [
    "5.10", "5.1", "5.0.9", "5", "5.1-beta", "5.0-rc.9", "4.99", "6", "05.01", "5.1.0", "10.0",
    "5..1",
];
const ZONES: [&str; 7] = [
    "UTC",
    "Europe/Dublin",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
];
const CURRENCIES: [&str; 4] = ["USD", "EUR", "JPY", "KWD"];
const STATUSES: [&str; 11] = [
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
/// With their length in hours.
const WINDOWS: [(&str, i64); 12] = [
    ("1h", 1),
    ("2h", 2),
    ("24h", 24),
    ("1d", 24),
    ("2d", 48),
    ("7d", 168),
    ("1w", 168),
    ("168h", 168),
    ("10d", 240),
    ("30d", 720),
    ("720h", 720),
    ("52w", 8_736),
];
/// Local midnights and changes of the clock in the zones above, in milliseconds before [`NOW_MS`].
const TURNS: [i64; 8] = [
    // 2026-11-25T00:00Z and 05:00Z (New York), 2026-11-24T18:15Z (Kathmandu)
    12 * HOUR_MS,
    7 * HOUR_MS,
    17 * HOUR_MS + 45 * MINUTE_MS,
    // 2026-11-22T13:00Z (Lord Howe), 2026-11-20T10:00Z (Kiritimati)
    71 * HOUR_MS,
    122 * HOUR_MS,
    // 2026-11-01T06:00Z: New York ends summer time; 2026-10-25T01:00Z: Dublin does
    24 * DAY_MS + 6 * HOUR_MS,
    31 * DAY_MS + 11 * HOUR_MS,
    // 2026-10-24T23:00Z: Dublin's last midnight in summer time
    31 * DAY_MS + 13 * HOUR_MS,
];

/// The greatest amount there is, in millionths.
const MONEY_MAX: i128 = 999_999_999_999_999_999_999;

/// The world of a seed: up to about 45 events, 8 orders in up to about 20 copies, 6 campaigns, 3 versions.
pub fn world(seed: u64) -> World {
    let rng = &mut Rng::new(seed);
    let look_back = *rng.pick(&[
        None,
        Some(30 * DAY_MS),
        Some(30 * DAY_MS),
        Some(10 * DAY_MS),
        Some(20 * DAY_MS + 8 * HOUR_MS),
    ]);
    let settings: Vec<Value> = (0..*rng.pick(&[1, 1, 1, 2, 2, 3]))
        .map(|_| settings(rng, look_back))
        .collect();
    let times = Times::new(rng, NOW_MS, 58, look_back, &settings);
    let versions = versions(rng, &times, settings);

    let customer_count = 1 + rng.below(4);
    let customers = rng.some(&CUSTOMERS, customer_count);
    let campaign_count = 1 + rng.below(6);
    let campaign_ids = rng.some(&CAMPAIGNS, campaign_count);
    let mut events = events(rng, &times, &customers, &campaign_ids);
    let mut orders = orders(rng, &times, &customers, &versions);
    let mut campaigns = Vec::new();
    for id in campaign_ids {
        if rng.chance(65) {
            campaigns.push(campaign(rng, &times, id));
        }
    }
    let replays = replays(rng, &times, &versions);
    if rng.chance(70) {
        let used = used(rng);
        by_address(rng, &used, &mut events, &mut orders);
    }
    World {
        events,
        orders,
        campaigns,
        versions,
        replays,
        look_back,
    }
}

/// Days to ask a report of a world for: around one of its facts, open at either end or not, often one day, rarely none.
pub fn period(rng: &mut Rng, world: &World) -> (Option<NaiveDate>, Option<NaiveDate>) {
    let mut times = Vec::new();
    times.extend(world.events.iter().map(|event| &event["occurred_at"]));
    times.extend(world.orders.iter().map(|order| &order["placed_at"]));
    let fact = rng.pick(&times).as_str().unwrap_or_default();
    let utc = DateTime::parse_from_rfc3339(fact).unwrap_or_default();
    let start = utc.date_naive() + Duration::days(*rng.pick(&[0, 0, 0, 0, 0, 0, 1, -1]));
    let end = start + Duration::days(*rng.pick(&[0, 1, 1, 1, 2, 7, 30]));
    let from = rng.chance(80).then_some(start);
    let to = rng.chance(80).then_some(end);
    (from, to)
}

/// The instants of a world: a few purchases, and what lies an exact edge away from them.
pub(crate) struct Times {
    now: i64,
    pub(crate) purchases: Vec<i64>,
    edges: Vec<i64>,
}

impl Times {
    /// Purchases in some days before `now`, more than 8.
    pub(crate) fn new(
        rng: &mut Rng,
        now: i64,
        days: usize,
        look_back: Option<i64>,
        settings: &[Value],
    ) -> Times {
        let mut edges = vec![HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS];
        edges.extend(look_back);
        for version in settings {
            for channel in CHANNELS {
                let window = &version["channels"][channel]["window"];
                let known = WINDOWS.iter().find(|(text, _)| window == text);
                edges.extend(known.map(|(_, hours)| hours * HOUR_MS));
            }
        }
        edges.retain(|edge| *edge <= 30 * DAY_MS || rng.chance(20));

        let mut purchases = Vec::new();
        for _ in 0..1 + rng.below(4) {
            let purchase = match purchases.last() {
                Some(last) if rng.chance(50) => last - *rng.pick(&edges),
                _ if rng.chance(50) => now - *rng.pick(&TURNS),
                _ => now - (1 + rng.below((days - 8) * 24) as i64) * HOUR_MS,
            };
            purchases.push(purchase.max(now - days as i64 * DAY_MS));
        }
        Times {
            now,
            purchases,
            edges,
        }
    }

    pub(crate) fn purchase(&self, rng: &mut Rng) -> i64 {
        *rng.pick(&self.purchases) + *rng.pick(&[0, 0, 0, 1, -1])
    }

    /// Mostly before a purchase, by little, by an edge, or by a millisecond more or less than an edge.
    fn near(&self, rng: &mut Rng) -> i64 {
        let purchase = *rng.pick(&self.purchases);
        let away = match rng.below(10) {
            0 => 0,
            1..=4 => -(1 + rng.below(4) as i64) * 10 * MINUTE_MS,
            5 => -(1 + rng.below(60) as i64) * HOUR_MS,
            6 => *rng.pick(&self.edges),
            _ => -*rng.pick(&self.edges),
        };
        let jitter = *rng.pick(&[0, 0, 0, 0, 1, -1]);
        let at = purchase + away + jitter;
        if at > self.now { purchase } else { at }
    }
}

pub(crate) fn settings(rng: &mut Rng, look_back: Option<i64>) -> Value {
    let random = Map::from_iter([
        ("channels".to_owned(), json!({})),
        ("winner".to_owned(), json!("")),
        ("supersede".to_owned(), json!("")),
        ("counted_statuses".to_owned(), json!([])),
        ("refunds".to_owned(), json!("")),
        ("currency".to_owned(), Value::Null),
    ]);
    let mut settings = random;
    let preset = *rng.pick(&["none", "none", "redbox", "yespo_v1", "yespo_v2"]);
    let other = |email: Value, rest: &str, window: &str, from: &str| {
        let rest = json!({"connect_on": [rest], "window": window, "window_from": from});
        json!({"email": email, "push": rest, "sms": rest})
    };
    let by_click = json!({"connect_on": ["clicked"], "window": "24h", "window_from": "event"});
    let by_open =
        json!({"connect_on": ["opened", "clicked"], "window": "7d", "window_from": "sent"});
    let mut set = |key: &str, value: Value| settings.insert(key.to_owned(), value);
    if preset == "redbox" {
        set("channels", other(by_open, "delivered", "7d", "sent"));
        set("winner", json!("last_sent"));
        set("supersede", json!("marketplace"));
        set(
            "counted_statuses",
            json!(["PREPARING", "READY", "COMPLETE"]),
        );
        set("refunds", json!("drop_order"));
    } else {
        let newer = preset == "yespo_v2";
        let winner = if newer {
            "last_interaction"
        } else {
            "last_sent"
        };
        set("channels", other(by_click, "delivered", "24h", "event"));
        set("winner", json!(winner));
        set("supersede", json!("none"));
        set("counted_statuses", json!(["DELIVERED"]));
        set("refunds", json!("gross"));
    }

    // Beside a preset a field is replaced now and then; without one, all are drawn.
    let drawn = |rng: &mut Rng| preset == "none" || rng.chance(12);
    if drawn(rng) {
        set("channels", channels(rng, look_back));
    }
    if drawn(rng) {
        set(
            "winner",
            json!(rng.pick(&["last_sent", "last_interaction"])),
        );
    }
    if drawn(rng) {
        let modes = ["none", "customer", "customer", "marketplace"];
        set("supersede", json!(rng.pick(&modes)));
    }
    if drawn(rng) {
        let count = 1 + rng.below(STATUSES.len());
        set("counted_statuses", json!(rng.some(&STATUSES, count)));
    }
    if drawn(rng) {
        set("refunds", json!(rng.pick(&["drop_order", "gross", "net"])));
    }
    if rng.chance(45) {
        set("currency", json!(rng.pick(&CURRENCIES)));
    }
    set("enabled", json!(!rng.chance(5)));
    set("link", json!(!rng.chance(4)));
    set("timezone", json!(rng.pick(&ZONES)));
    let excluded_count = *rng.pick(&[0, 0, 1, 2]);
    set("excluded_tags", json!(rng.some(&TAGS, excluded_count)));
    let machines = ["ignore", "ignore", "count"];
    set("machine_events", json!(rng.pick(&machines)));
    Value::Object(settings)
}

fn channels(rng: &mut Rng, look_back: Option<i64>) -> Value {
    let mut longest = look_back.unwrap_or(i64::MAX);
    if rng.chance(50) {
        longest = longest.min(7 * DAY_MS);
    }
    let mut windows: Vec<String> = Vec::new();
    for (text, hours) in WINDOWS {
        if hours * HOUR_MS <= longest {
            windows.push(text.to_owned());
        }
    }
    if let Some(look_back) = look_back.filter(|_| longest >= 8 * DAY_MS) {
        windows.push(format!("{}h", look_back / HOUR_MS));
    }
    let mut channels = Map::new();
    for channel in CHANNELS {
        if rng.chance(12) {
            continue;
        }
        let count = *rng.pick(&[1, 1, 2, 2, 3, 4]);
        let kinds = match channel {
            // Else an app's version hardly ever decides.
            "push" if rng.chance(30) => vec!["opened"],
            _ => rng.some(&["sent", "delivered", "opened", "clicked"], count),
        };
        let rule = json!({
            "connect_on": kinds,
            "window": rng.pick(&windows),
            "window_from": rng.pick(&["sent", "event"]),
        });
        channels.insert(channel.to_owned(), rule);
    }
    Value::Object(channels)
}

fn versions(rng: &mut Rng, times: &Times, settings: Vec<Value>) -> Vec<Version> {
    let mut starts = Vec::new();
    for _ in 1..settings.len() {
        // Right at a purchase, or anywhere between the facts.
        let start = if rng.chance(50) {
            times.purchase(rng)
        } else {
            times.near(rng)
        };
        starts.push(start);
    }
    starts.sort_unstable();
    starts.dedup();
    let starts = std::iter::once(None).chain(starts.into_iter().map(Some));
    let mut number = 0;
    let mut versions = Vec::new();
    for (in_force_from, settings) in starts.zip(settings) {
        number += 1 + u64::from(rng.chance(20));
        versions.push(Version {
            number,
            in_force_from,
            settings,
        });
    }
    versions
}

/// Right at a purchase, or by its day.
fn replays(rng: &mut Rng, times: &Times, versions: &[Version]) -> Vec<Replay> {
    let mut replays = Vec::new();
    for _ in 0..*rng.pick(&[0, 0, 0, 1, 1, 2, 3]) {
        let from = times.purchase(rng);
        let [from, to] = bounds_near(rng, from);
        let version = rng.pick(versions).number;
        replays.push(Replay { from, to, version });
    }
    replays
}

/// What a world is asked ahead: other settings, and a period around one of its orders.
pub fn proposal(rng: &mut Rng, world: &World) -> (Value, [String; 2]) {
    let placed = world.orders.iter().map(|order| &order["placed_at"]);
    let placed: Vec<i64> = placed
        .filter_map(|at| DateTime::parse_from_rfc3339(at.as_str()?).ok())
        .map(|at| at.timestamp_millis())
        .collect();
    let from = if placed.is_empty() {
        NOW_MS
    } else {
        *rng.pick(&placed) - *rng.pick(&[0, 0, 1, DAY_MS, 30 * DAY_MS])
    };
    let bounds = bounds_near(rng, from);
    (settings(rng, world.look_back), bounds)
}

/// A period of instants, or of days, that begins at a time.
pub fn bounds_near(rng: &mut Rng, from: i64) -> [String; 2] {
    let days = *rng.pick(&[1, 1, 2, 7, 30]);
    if rng.chance(50) {
        let to = from + *rng.pick(&[1, HOUR_MS, days * DAY_MS]);
        [from, to].map(|at| utc(at).to_rfc3339())
    } else {
        let first = utc(from).date_naive() - Duration::days(*rng.pick(&[0, 0, 1]));
        [first, first + Duration::days(days)].map(|day| day.to_string())
    }
}

fn utc(at: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at).unwrap_or_default()
}

pub(crate) fn events(
    rng: &mut Rng,
    times: &Times,
    customers: &[&str],
    campaigns: &[&str],
) -> Vec<Value> {
    let mut messages = Vec::new();
    for _ in 0..1 + rng.below(9) {
        let message_id = rng.chance(45).then(|| *rng.pick(&MESSAGES));
        let to = *rng.pick(customers);
        let of = *rng.pick(campaigns);
        messages.push((to, of, *rng.pick(&CHANNELS), message_id));
        // The same message_id elsewhere is another message.
        if rng.chance(20) {
            messages.push((to, of, *rng.pick(&CHANNELS), message_id));
        }
    }
    let count = *rng.pick(&[2, 6, 12, 20, 30, 40]);
    let mut events: Vec<Value> = Vec::new();
    for number in 0..count {
        let (customer_id, campaign_id, channel, message_id) = *rng.pick(&messages);
        let kind = match channel {
            "email" => *rng.pick(&[
                "sent",
                "delivered",
                "opened",
                "clicked",
                "opened",
                "clicked",
            ]),
            "push" => *rng.pick(&[
                "sent",
                "delivered",
                "delivered",
                "opened",
                "opened",
                "clicked",
            ]),
            _ => *rng.pick(&["sent", "delivered", "delivered", "clicked"]),
        };
        let kind = if rng.chance(15) {
            *rng.pick(&KINDS)
        } else {
            kind
        };
        let event_id = match events.last() {
            // For another customer another event; for the same one a later copy that differs.
            Some(last) if rng.chance(6) => last["event_id"].clone(),
            _ => json!(format!("e{number}")),
        };
        let at = times.near(rng);
        let mut event = json!({
            "event_id": event_id,
            "kind": kind,
            "channel": channel,
            "campaign_id": campaign_id,
            "customer_id": customer_id,
            "occurred_at": instant(rng, at),
        });
        match message_id {
            Some(id) => event["message_id"] = json!(id),
            None if rng.chance(20) => event["message_id"] = Value::Null,
            None => {}
        }
        if rng.chance(30) {
            event["machine"] = json!(rng.chance(80));
        }
        if rng.chance(if channel == "push" { 60 } else { 5 }) {
            event["app_version"] = json!(rng.pick(&VERSIONS));
        }
        events.push(event);
    }
    rng.shuffle(&mut events);
    deliver_some_again(rng, &mut events);
    events
}

pub(crate) fn orders(
    rng: &mut Rng,
    times: &Times,
    customers: &[&str],
    versions: &[Version],
) -> Vec<Value> {
    let count = 1 + rng.below(8);
    let mut copies = Vec::new();
    for order_id in rng.some(&ORDERS, count) {
        let version = &rng.pick(versions).settings;
        let currency = match version["currency"].as_str() {
            Some(set) if rng.chance(70) => set,
            _ => *rng.pick(&CURRENCIES),
        };
        let customer_id = *rng.pick(customers);
        let placed_at = times.purchase(rng);
        // One spelling an order: whether a missing refund and a refund of 0 are the same bytes is open.
        let spells_no_refund = rng.chance(50);
        let updates = [0, 1, HOUR_MS, -HOUR_MS];
        for _ in 0..*rng.pick(&[1, 1, 1, 2, 3, 4]) {
            let total = total(rng);
            let refund = refund(rng, total);
            // Customers were merged in the shop.
            let sent_with = if rng.chance(15) {
                *rng.pick(customers)
            } else {
                customer_id
            };
            let mut copy = json!({
                "order_id": order_id,
                "customer_id": sent_with,
                "status": status(rng, &version["counted_statuses"]),
                "total": money(rng, total),
                "currency": currency,
                "placed_at": instant(rng, placed_at),
            });
            if refund > 0 || spells_no_refund {
                copy["refunded_total"] = money(rng, refund);
            }
            if rng.chance(45) {
                let at = placed_at + *rng.pick(&updates);
                copy["updated_at"] = instant(rng, at);
            }
            if rng.chance(25) {
                copy["source"] = json!(rng.pick(&["website", "app"]));
            }
            if rng.chance(15) {
                copy["coupon_codes"] = json!([rng.pick(&["SAVE10", "SAVE20"])]);
            }
            // A copy that differs in one thing only, so that ties are broken by each of their rules.
            if rng.chance(15) {
                let mut twin = copy.clone();
                match rng.below(4) {
                    0 => twin["refunded_total"] = money(rng, (refund + 1).min(MONEY_MAX)),
                    1 => twin["customer_id"] = json!(rng.pick(customers)),
                    2 => twin["source"] = json!(rng.pick(&["website", "app", "~"])),
                    _ => twin["status"] = status(rng, &version["counted_statuses"]),
                }
                copies.push(twin);
            }
            copies.push(copy);
        }
    }
    rng.shuffle(&mut copies);
    deliver_some_again(rng, &mut copies);
    copies
}

pub(crate) fn campaign(rng: &mut Rng, times: &Times, id: &str) -> Value {
    let mut campaign = json!({"campaign_id": id});
    if rng.chance(70) {
        campaign["name"] = json!(format!("Issue {id}"));
    }
    if rng.chance(70) {
        let count = rng.below(3);
        campaign["tags"] = json!(rng.some(&TAGS, count));
    }
    if rng.chance(50) {
        let mut at = times.near(rng);
        if rng.chance(30) {
            // A message without a `sent` takes a send time at most 30 days before its first event.
            at -= 30 * DAY_MS + *rng.pick(&[0, 0, 1, -1]);
        }
        campaign["sent_at"] = instant(rng, at);
    }
    if rng.chance(40) {
        campaign["triggered"] = json!(rng.chance(40));
    }
    campaign
}

fn deliver_some_again(rng: &mut Rng, bodies: &mut Vec<Value>) {
    for _ in 0..rng.below(4) {
        let copy = rng.pick(bodies).clone();
        let place = rng.below(bodies.len() + 1);
        bodies.insert(place, copy);
    }
}

/// One of the many spellings of an instant; digits beyond the millisecond are to be cut.
pub(crate) fn instant(rng: &mut Rng, at: i64) -> Value {
    let utc = DateTime::from_timestamp_millis(at).unwrap_or_default();
    let minutes_east = *rng.pick(&[0, 0, 0, 60, -300, 345]);
    let zone = FixedOffset::east_opt(minutes_east * 60);
    let local = utc
        .fixed_offset()
        .with_timezone(&zone.unwrap_or(utc.fixed_offset().timezone()));
    let text = match rng.below(6) {
        0 if at % 1_000 == 0 => local.to_rfc3339_opts(SecondsFormat::Secs, true),
        1 => {
            let finer = local + Duration::nanoseconds(rng.below(1_000_000) as i64);
            finer.to_rfc3339_opts(SecondsFormat::Nanos, true)
        }
        _ => local.to_rfc3339_opts(SecondsFormat::Millis, true),
    };
    Value::String(text)
}

pub(crate) fn status(rng: &mut Rng, counted: &Value) -> Value {
    let counted = counted.as_array().map(Vec::as_slice).unwrap_or_default();
    if !counted.is_empty() && rng.chance(65) {
        return rng.pick(counted).clone();
    }
    let name = *rng.pick(&STATUSES);
    match rng.below(10) {
        0 => json!(name.to_lowercase()),
        1 => json!(format!("{}{}", &name[..1], name[1..].to_lowercase())),
        _ => json!(name),
    }
}

/// Millionths.
pub(crate) fn total(rng: &mut Rng) -> i128 {
    match rng.below(12) {
        0 => 0,
        1 => 1,
        2 => MONEY_MAX,
        3 => 123_456_789_012_345_123_456,
        4 => rng.below(1_000_000_000) as i128,
        5 => 5_000,
        6 => 33_333_333,
        7..=8 => rng.below(20) as i128 * 5_000_000,
        9 => 100_500_000,
        _ => 100_000_000,
    }
}

/// Now and then more than the total.
pub(crate) fn refund(rng: &mut Rng, total: i128) -> i128 {
    match rng.below(12) {
        10 => (total + 1).min(MONEY_MAX),
        11 => (total * 2 + 5_000_000).min(MONEY_MAX),
        0 => total,
        1 => (total - 1).max(0),
        2 => total / 2,
        3 => total.min(1),
        _ => 0,
    }
}

/// One of the spellings rule 2 allows for so many millionths.
pub(crate) fn money(rng: &mut Rng, millionths: i128) -> Value {
    let whole = millionths / 1_000_000;
    let mut fraction = format!("{:06}", millionths % 1_000_000);
    let keep = rng.below(7);
    while fraction.len() > keep && fraction.ends_with('0') {
        fraction.pop();
    }
    if !fraction.is_empty() {
        return Value::String(format!("{whole}.{fraction}"));
    }
    match u64::try_from(whole) {
        Ok(number) if rng.chance(10) => json!(number),
        _ => Value::String(whole.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::naive::Facts;

    #[test]
    fn now_is_the_instant_its_comment_names() {
        let now = DateTime::from_timestamp_millis(NOW_MS).unwrap();
        assert_eq!(now.to_rfc3339(), "2026-11-25T12:00:00+00:00");
    }

    #[test]
    fn a_seed_is_a_world() {
        for seed in 0..50 {
            assert_eq!(format!("{:?}", world(seed)), format!("{:?}", world(seed)));
        }
        assert_ne!(format!("{:?}", world(1)), format!("{:?}", world(2)));
    }

    #[test]
    fn facts_are_no_older_than_the_retention_and_not_of_the_future() {
        for seed in 0..2_000 {
            let world = world(seed);
            if world.look_back.is_none() {
                continue;
            }
            let events = world.events.iter().map(|event| &event["occurred_at"]);
            let orders = world.orders.iter().map(|order| &order["placed_at"]);
            for at in events.chain(orders) {
                let at = DateTime::parse_from_rfc3339(at.as_str().unwrap()).unwrap();
                let age = NOW_MS - at.timestamp_millis();
                assert!((-1..=90 * DAY_MS).contains(&age), "seed {seed}: {at}");
            }
        }
    }

    /// A generator that never reaches a rule proves nothing about it.
    #[test]
    fn every_outcome_and_reason_is_frequent() {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for seed in 0..2_000 {
            let world = world(seed);
            let facts = Facts::read(&world);
            let ids: std::collections::BTreeSet<&str> = world
                .orders
                .iter()
                .filter_map(|order| order["order_id"].as_str())
                .collect();
            for id in ids {
                let decision = facts.attribution(id);
                *seen.entry(decision["reason"].to_string()).or_default() += 1;
                for candidate in decision["candidates"].as_array().unwrap() {
                    *seen.entry(candidate["outcome"].to_string()).or_default() += 1;
                }
            }
        }
        let expected = [
            "null",
            "\"status\"",
            "\"currency\"",
            "\"refunded\"",
            "\"linking_off\"",
            "\"no_candidate\"",
            "\"credited\"",
            "\"tag_excluded\"",
            "\"channel_off\"",
            "\"no_connecting_event\"",
            "\"after_order\"",
            "\"machine_event\"",
            "\"app_version_too_old\"",
            "\"outside_window\"",
            "\"superseded\"",
            "\"earlier_sent\"",
            "\"earlier_interaction\"",
        ];
        for name in expected {
            let times = seen.get(name).copied().unwrap_or(0);
            assert!(times >= 50, "{name} only {times} times in {seen:?}");
        }
        assert_eq!(seen.len(), expected.len(), "{seen:?}");
    }
}
