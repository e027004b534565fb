//! `core` against the second implementation, on random worlds: the same facts, the same JSON.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use revtrail_core::attribution::campaign::{Campaign, Catalog};
use revtrail_core::attribution::event::Event;
use revtrail_core::attribution::explain::explain;
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::settings::{Settings, Version, Versions};
use revtrail_core::figures::fold::{Contribution, World};
use revtrail_core::figures::report::{Filter, campaign_report, orders_report, reconciliation};
use revtrail_core::figures::sheet::Sheet;
use revtrail_core::record::Record;
use revtrail_core::value::id::{CampaignId, CustomerId, OrderId};
use revtrail_core::value::time::{DAY_MS, Day, Instant};
use revtrail_oracle::naive;
use revtrail_oracle::worlds::{Rng, period, world};
use serde_json::{Value, json};

/// How many worlds; `REVTRAIL_WORLDS` asks for others, `REVTRAIL_FROM` for the first seed, `REVTRAIL_SEED` for one.
const WORLDS: u64 = 100_000;

/// A world as `core` takes it.
struct Taken {
    events: BTreeMap<CustomerId, Vec<Event>>,
    orders: BTreeMap<CustomerId, Vec<Order>>,
    catalog: Catalog,
    versions: Versions,
    look_back_ms: Option<i64>,
}

fn record<T>(body: &Value, read: impl Fn(&Record<'_>) -> T) -> T {
    read(&Record::from_json(&body.to_string()).unwrap())
}

impl Taken {
    fn of(world: &naive::World) -> Self {
        let mut events: BTreeMap<CustomerId, Vec<Event>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for body in &world.events {
            let event = record(body, |record| Event::read(record, None)).unwrap();
            if seen.insert((event.customer_id.clone(), event.event_id.clone())) {
                events
                    .entry(event.customer_id.clone())
                    .or_default()
                    .push(event);
            }
        }
        let mut standing: BTreeMap<OrderId, Order> = BTreeMap::new();
        for body in &world.orders {
            let order = record(body, |record| Order::read(record, None)).unwrap();
            match standing.get(&order.order_id) {
                Some(stands) if stands.standing() >= order.standing() => {}
                _ => drop(standing.insert(order.order_id.clone(), order)),
            }
        }
        let mut orders: BTreeMap<CustomerId, Vec<Order>> = BTreeMap::new();
        for order in standing.into_values() {
            orders
                .entry(order.customer_id.clone())
                .or_default()
                .push(order);
        }
        let told = world.campaigns.iter().map(|body| {
            let id = CampaignId::new(body["campaign_id"].as_str().unwrap()).unwrap();
            record(body, |record| Campaign::read(id.clone(), record)).unwrap()
        });
        let told = Catalog::new(told.collect());
        let catalog = told.witnessing(events.values().flatten()).unwrap_or(told);
        let versions = world.versions.iter().map(|version| Version {
            version: version.number as u32,
            saved_at: Instant::from_ms(version.in_force_from.unwrap_or(0)),
            saved_by: String::new(),
            replaced: false,
            settings: Settings::read(&version.settings, 364 * DAY_MS).unwrap(),
        });
        Self {
            events,
            orders,
            catalog,
            versions: Versions::new(versions.collect()).unwrap(),
            look_back_ms: world.look_back,
        }
    }

    fn customers(&self) -> impl Iterator<Item = (&[Event], &[Order])> {
        let ids: std::collections::BTreeSet<&CustomerId> =
            self.events.keys().chain(self.orders.keys()).collect();
        ids.into_iter().map(|id| {
            (
                self.events.get(id).map_or(&[][..], Vec::as_slice),
                self.orders.get(id).map_or(&[][..], Vec::as_slice),
            )
        })
    }

    fn attributions(&self) -> BTreeMap<OrderId, Value> {
        let world = World::new(&self.catalog, &self.versions, self.look_back_ms);
        let mut found = BTreeMap::new();
        for (events, orders) in self.customers() {
            let timeline = world.timeline(events);
            for order in orders {
                let mut shown = serde_json::to_value(explain(order, &timeline, &world)).unwrap();
                shown.as_object_mut().unwrap().remove("sale_formula");
                found.insert(order.order_id.clone(), shown);
            }
        }
        found
    }

    fn sheets(&self) -> BTreeMap<Day, Sheet<CampaignId>> {
        let world = World::new(&self.catalog, &self.versions, self.look_back_ms);
        let mut sheets: BTreeMap<Day, Sheet<CampaignId>> = BTreeMap::new();
        let first = Day::parse("0001-01-01").unwrap();
        for (events, orders) in self.customers() {
            let contribution = Contribution::of(&world.timeline(events), orders, &world, first);
            // What is stored is what was folded.
            let stored: Contribution =
                serde_json::from_str(&serde_json::to_string(&contribution).unwrap()).unwrap();
            assert_eq!(stored, contribution);
            for (day, part) in contribution.days {
                sheets.entry(day).or_default().add(&part.sheet());
            }
        }
        sheets
    }
}

fn report(taken: &Taken, sums: &Sheet<CampaignId>, channel: Option<&str>) -> Value {
    let channel = channel.and_then(revtrail_core::attribution::event::Channel::parse);
    let filter = Filter {
        channel,
        ..Filter::default()
    };
    let find = |id: &CampaignId| Cow::Borrowed(taken.catalog.get(id).unwrap());
    let settings = &taken.versions.newest().settings;
    let report = campaign_report(sums, find, settings, &filter).unwrap();
    let mut shown = serde_json::to_value(&report).unwrap();
    shown["sort_currency"] = serde_json::to_value(report.sort_currency).unwrap();
    for row in shown["campaigns"].as_array_mut().unwrap() {
        row.as_object_mut().unwrap().remove("sale_formula");
    }
    shown
}

/// The first thing in which `core` and the second implementation differ, if any.
fn difference(seed: u64) -> Option<String> {
    let world = world(seed);
    let taken = Taken::of(&world);
    let facts = naive::Facts::read(&world);
    let check = |what: &str, core: &Value, naive: &Value| {
        (core != naive).then(|| format!("{what}\n core  {core}\n naive {naive}"))
    };
    for (order, shown) in taken.attributions() {
        if let Some(difference) = check("attribution", &shown, &facts.attribution(order.as_str())) {
            return Some(difference);
        }
    }
    let mut rng = Rng::new(seed ^ 0xC0DE);
    let sheets = taken.sheets();
    for channel in [None, Some("email"), Some("push")] {
        let (from, to) = period(&mut rng, &world);
        let within = |day: &Day| {
            from.is_none_or(|from| day.to_string() >= from.to_string())
                && to.is_none_or(|to| day.to_string() < to.to_string())
        };
        let mut sums = Sheet::default();
        for (_, sheet) in sheets.iter().filter(|(day, _)| within(day)) {
            sums.add(sheet);
        }
        let campaigns = check(
            "campaigns",
            &report(&taken, &sums, channel),
            &facts.campaign_report(from, to, channel),
        );
        let orders = check(
            "orders",
            &serde_json::to_value(orders_report(&sums)).unwrap(),
            &facts.orders_report(from, to),
        );
        if let Some(difference) = campaigns.or(orders) {
            return Some(difference);
        }
    }
    let mut all = Sheet::default();
    for sheet in sheets.values() {
        all.add(sheet);
    }
    let classes = serde_json::to_value(reconciliation(&all)).unwrap();
    let naive = facts.order_classes(None, None);
    naive
        .as_object()
        .unwrap()
        .iter()
        .find_map(|(class, n)| check(class, &classes["orders"][class], n))
}

#[test]
fn core_equals_the_second_implementation() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seeds = match number("REVTRAIL_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let from = number("REVTRAIL_FROM").unwrap_or(0);
            from..from + number("REVTRAIL_WORLDS").unwrap_or(WORLDS)
        }
    };
    let count = seeds.end - seeds.start;
    let halves: Vec<u64> = seeds.collect();
    let failed = std::thread::scope(|scope| {
        let workers: Vec<_> = halves
            .chunks(halves.len().div_ceil(2))
            .map(|seeds| {
                scope.spawn(|| {
                    seeds
                        .iter()
                        .find_map(|&seed| Some((seed, difference(seed)?)))
                })
            })
            .collect();
        workers
            .into_iter()
            .filter_map(|worker| worker.join().unwrap())
            .next()
    });
    if let Some((seed, difference)) = failed {
        let world = world(seed);
        panic!(
            "seed {seed}: {difference}\nfacts {}\nreplay: REVTRAIL_SEED={seed} cargo test -p revtrail-tests --test it rules::worlds",
            json!([world.events, world.orders, world.campaigns])
        );
    }
    println!("worlds: {count}");
}
