//! `core` against the second implementation, on random worlds: the same facts, the same JSON.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::NaiveDate;
use revtrail_core::attribution::campaign::{Campaign, Catalog};
use revtrail_core::attribution::decide::Rules;
use revtrail_core::attribution::event::Event;
use revtrail_core::attribution::explain::explain;
use revtrail_core::attribution::models::Model;
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::settings::{Bound, Period, Replay, Settings, Version, Versions};
use revtrail_core::attribution::timeline::Timelines;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::figures::fold::{Contribution, World};
use revtrail_core::figures::preview::{Comparison, Preview, Proposal};
use revtrail_core::figures::report::{Filter, campaign_report, orders_report, reconciliation};
use revtrail_core::record::Record;
use revtrail_core::value::address::{AddressHash, Recipient};
use revtrail_core::value::id::{CampaignId, MarketplaceId, OrderId};
use revtrail_core::value::time::{DAY_MS, Day, Instant};
use revtrail_oracle::naive;
use revtrail_oracle::shrink::{facts, shrink};
use revtrail_oracle::worlds::{Rng, period, proposal, world};
use serde_json::{Value, json};

use crate::support::tier::{seeds, spread};

/// How many worlds, of a share and of all; `REVTRAIL_WORLDS` asks for others, `REVTRAIL_FROM` for the first seed, `REVTRAIL_SEED`
/// for one.
const WORLDS: [u64; 2] = [20_000, 100_000];
/// Worlds are small: a thread takes so many at a time.
const AT_A_TIME: usize = 500;

/// A world as `core` takes it.
struct Taken {
    shop: MarketplaceId,
    /// The events of addresses, which are recipients too.
    by_address: BTreeMap<AddressHash, Vec<Event>>,
    events: BTreeMap<Recipient, Vec<Event>>,
    orders: BTreeMap<Recipient, Vec<Order>>,
    catalog: Catalog,
    versions: Versions,
    look_back_ms: Option<i64>,
}

fn record<T>(body: &Value, read: impl Fn(&Record<'_>) -> T) -> T {
    read(&Record::from_json(&body.to_string()).unwrap())
}

impl Taken {
    /// None where a body is none that is taken: what a shrunk world may hold.
    fn of(world: &naive::World) -> Option<Self> {
        let shop = MarketplaceId::new("shop").unwrap();
        let mut events: BTreeMap<Recipient, Vec<Event>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for body in &world.events {
            let event = record(body, |record| Event::read(record, &shop, None)).ok()?;
            if seen.insert((event.recipient.clone(), event.event_id.clone())) {
                events
                    .entry(event.recipient.clone())
                    .or_default()
                    .push(event);
            }
        }
        let mut standing: BTreeMap<OrderId, Order> = BTreeMap::new();
        for body in &world.orders {
            let order = record(body, |record| Order::read(record, None)).ok()?;
            let stands = standing.get(&order.order_id);
            let order = match stands {
                Some(first) => order.of_customer(&first.customer_id),
                None => order,
            };
            if stands.is_none_or(|stands| stands.standing() < order.standing()) {
                standing.insert(order.order_id.clone(), order);
            }
        }
        let mut orders: BTreeMap<Recipient, Vec<Order>> = BTreeMap::new();
        for order in standing.into_values() {
            orders
                .entry(order.customer_id.clone().into())
                .or_default()
                .push(order);
        }
        let told = world.campaigns.iter().map(|body| {
            let id = CampaignId::new(body["campaign_id"].as_str()?).ok()?;
            record(body, |record| Campaign::read(id.clone(), record)).ok()
        });
        let told = Catalog::new(told.collect::<Option<_>>()?);
        let catalog = told.witnessing(events.values().flatten()).unwrap_or(told);
        let versions = world.versions.iter().map(|version| Version {
            version: version.number as u32,
            saved_at: Instant::from_ms(version.in_force_from.unwrap_or(0)),
            saved_by: String::new(),
            replaced: false,
            settings: Settings::read(&version.settings, 364 * DAY_MS).unwrap(),
        });
        let replays = world.replays.iter().map(|replay| Replay {
            replay_id: String::new(),
            version: replay.version as u32,
            period: Period {
                from: Bound::parse(&replay.from).unwrap(),
                to: Bound::parse(&replay.to).unwrap(),
            },
            by: String::new(),
            at: Instant::from_ms(0),
        });
        let versions = Versions::new(versions.collect()).unwrap();
        let of_address = |(recipient, events): (&Recipient, &Vec<Event>)| {
            Some((recipient.address()?, events.clone()))
        };
        Some(Self {
            shop,
            by_address: events.iter().filter_map(of_address).collect(),
            events,
            orders,
            catalog,
            versions: versions.with_replays(replays.collect()),
            look_back_ms: world.look_back,
        })
    }

    fn world(&self) -> World<'_> {
        World::new(&self.shop, &self.catalog, &self.versions, self.look_back_ms)
    }

    /// The orders of each customer and of each address, which has none, with what they are decided by.
    fn customers(&self) -> impl Iterator<Item = (Timelines<'_>, &[Order])> {
        let ids: BTreeSet<&Recipient> = self.events.keys().chain(self.orders.keys()).collect();
        ids.into_iter().map(|id| {
            let events = self.events.get(id).map_or(&[][..], Vec::as_slice);
            let orders = self.orders.get(id).map_or(&[][..], Vec::as_slice);
            (
                self.world().timelines(events, &self.by_address, orders),
                orders,
            )
        })
    }

    fn attributions(&self) -> BTreeMap<OrderId, Value> {
        let world = self.world();
        let mut found = BTreeMap::new();
        for (timelines, orders) in self.customers() {
            for order in orders {
                let mut shown = serde_json::to_value(explain(order, &timelines, &world)).unwrap();
                shown.as_object_mut().unwrap().remove("sale_formula");
                found.insert(order.order_id.clone(), shown);
            }
        }
        found
    }

    /// What a world says ahead, put together from parts of its customers as it is stored.
    fn preview(&self, settings: &Value, [from, to]: &[String; 2]) -> Value {
        let world = self.world();
        let settings = Settings::read(settings, 364 * DAY_MS).unwrap();
        let models: Vec<Model> = naive::MODELS
            .map(|name| serde_json::from_value(json!(name)).unwrap())
            .into();
        let proposal = Proposal {
            period: Period {
                from: Bound::parse(from).unwrap(),
                to: Bound::parse(to).unwrap(),
            },
            rules: Rules::new(&settings, &self.catalog),
            models: &models,
        };
        let mut all = Preview::new(&models);
        for some in Vec::from_iter(self.customers()).chunks(2) {
            let mut part = Comparison::new(&world, &proposal);
            for (timelines, orders) in some {
                part.add_customer(timelines, orders);
            }
            let stored = serde_json::to_string(&part.preview()).unwrap();
            all.add(serde_json::from_str(&stored).unwrap());
        }
        all.shown()
    }

    fn aggregates(&self) -> BTreeMap<Day, Aggregate<CampaignId>> {
        let world = self.world();
        let mut aggregates: BTreeMap<Day, Aggregate<CampaignId>> = BTreeMap::new();
        let first = Day::parse("0001-01-01").unwrap();
        for (timelines, orders) in self.customers() {
            let contribution = Contribution::of(&timelines, orders, &world, first);
            // What is stored is what was folded.
            let stored: Contribution =
                serde_json::from_str(&serde_json::to_string(&contribution).unwrap()).unwrap();
            assert_eq!(stored, contribution);
            for (day, part) in contribution.days {
                aggregates.entry(day).or_default().add(&part.aggregate());
            }
        }
        aggregates
    }
}

fn report(taken: &Taken, sums: &Aggregate<CampaignId>, channel: Option<&str>) -> Value {
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

/// The first thing in which `core`, told the one world, and the second implementation, told the other, differ, if any. A
/// difference begins with what differs.
fn difference(seed: u64, core: &naive::World, naive: &naive::World) -> Option<String> {
    difference_in(&Asked::of(seed, naive), core, naive)
}

/// What a world is asked.
struct Asked {
    /// Days, and a channel.
    periods: [([Option<NaiveDate>; 2], Option<&'static str>); 3],
    /// Settings that are proposed, and for which period.
    proposal: (Value, [String; 2]),
}

impl Asked {
    fn of(seed: u64, world: &naive::World) -> Self {
        let mut rng = Rng::new(seed ^ 0xC0DE);
        Self {
            periods: [None, Some("email"), Some("push")]
                .map(|channel| (period(&mut rng, world).into(), channel)),
            proposal: proposal(&mut rng, world),
        }
    }
}

fn difference_in(asked: &Asked, core: &naive::World, naive: &naive::World) -> Option<String> {
    let taken = Taken::of(core)?;
    let facts = naive::Facts::read(naive);
    let check = |what: &str, core: &Value, naive: &Value| {
        (core != naive).then(|| format!("{what}\n core  {core}\n naive {naive}"))
    };
    for (order, shown) in taken.attributions() {
        if let Some(difference) = check("attribution", &shown, &facts.attribution(order.as_str())) {
            return Some(difference);
        }
    }
    let aggregates = taken.aggregates();
    for ([from, to], channel) in asked.periods {
        let within = |day: &Day| {
            from.is_none_or(|from| day.to_string() >= from.to_string())
                && to.is_none_or(|to| day.to_string() < to.to_string())
        };
        let mut sums = Aggregate::default();
        for (_, aggregate) in aggregates.iter().filter(|(day, _)| within(day)) {
            sums.add(aggregate);
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
    let (settings, bounds) = &asked.proposal;
    let ahead = check(
        "what-if",
        &taken.preview(settings, bounds),
        &facts.what_if(settings, bounds.each_ref().map(String::as_str)),
    );
    if ahead.is_some() {
        return ahead;
    }
    let mut all = Aggregate::default();
    for aggregate in aggregates.values() {
        all.add(aggregate);
    }
    let classes = serde_json::to_value(reconciliation(&all)).unwrap();
    let naive = facts.order_classes(None, None);
    naive
        .as_object()
        .unwrap()
        .iter()
        .find_map(|(class, n)| check(class, &classes["orders"][class], n))
}

/// The smallest world that can be made of a failing one in which the same differs, and how. `core` is told `told` of it.
fn smallest(
    seed: u64,
    world: naive::World,
    told: impl Fn(&naive::World) -> naive::World,
) -> Option<(naive::World, String)> {
    // A period is drawn around a fact. Were it drawn anew, it would move when the fact goes.
    let asked = Asked::of(seed, &world);
    let differs = |world: &naive::World| {
        Taken::of(world)?;
        let play = || difference_in(&asked, &told(world), world);
        catch_unwind(AssertUnwindSafe(play)).ok()?
    };
    let what = |difference: &str| difference.lines().next().map(str::to_owned);
    let first = what(&differs(&world)?);
    let same = |world: &naive::World| differs(world).is_some_and(|found| what(&found) == first);
    let small = shrink(world, same);
    let difference = differs(&small)?;
    Some((small, difference))
}

#[test]
fn core_equals_the_second_implementation() {
    let [share, all] = WORLDS;
    let seeds: Vec<u64> = seeds("REVTRAIL_WORLDS", share, all).collect();
    let some: Vec<&[u64]> = seeds.chunks(AT_A_TIME).collect();
    let in_some = |seeds: &&[u64]| {
        format!(
            "REVTRAIL_FROM={} REVTRAIL_WORLDS={} cargo t --test it rules::worlds",
            seeds[0],
            seeds.len()
        )
    };
    let counts = spread(&some, in_some, |seeds| {
        for &seed in *seeds {
            let world = world(seed);
            if difference(seed, &world, &world).is_none() {
                continue;
            }
            let (small, difference) =
                smallest(seed, world.clone(), naive::World::clone).expect("it differs, as before");
            panic!(
                "seed {seed}: {difference}\n{} of {} facts are needed: {}\nreplay: REVTRAIL_SEED={seed} cargo t --test it rules::worlds",
                facts(&small),
                facts(&world),
                json!({
                    "events": small.events, "orders": small.orders, "campaigns": small.campaigns,
                    "settings": small.versions.iter().map(|one| &one.settings).collect::<Vec<_>>(),
                    "replays": format!("{:?}", small.replays),
                }),
            );
        }
        seeds.len()
    });
    println!("worlds: {}", counts.iter().sum::<usize>());
}

/// A planted difference: `core` is not told of refunds, or of clicks.
#[test]
fn a_world_that_fails_is_shown_small() {
    let without_refunds = |world: &naive::World| {
        let mut told = world.clone();
        for order in &mut told.orders {
            order.as_object_mut().unwrap().remove("refunded_total");
        }
        told
    };
    let without_clicks = |world: &naive::World| {
        let mut told = world.clone();
        told.events.retain(|event| event["kind"] != "clicked");
        told
    };
    let plants: [&dyn Fn(&naive::World) -> naive::World; 2] = [&without_refunds, &without_clicks];
    for told in plants {
        let failing = |seed: &u64| difference(*seed, &told(&world(*seed)), &world(*seed)).is_some();
        let seeds: Vec<u64> = (0..200).filter(failing).take(5).collect();
        assert_eq!(seeds.len(), 5);
        for seed in seeds {
            let (small, difference) = smallest(seed, world(seed), told).unwrap();
            assert!(
                facts(&small) <= 4,
                "{} facts: {small:#?}\n{difference}",
                facts(&small)
            );
        }
    }
}
