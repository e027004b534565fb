//! Random worlds over HTTP: everything delivered twice and shuffled, with runs in between, settings saved on the way and
//! campaigns told before or after their events. What comes out must be what the second implementation computes from the facts.

use chrono::NaiveDate;
use revtrail_core::value::time::{DAY_MS, Instant, Retention};
use revtrail_oracle::naive;
use revtrail_oracle::worlds::{NOW_MS, Rng, bounds_near, proposal, world};
use serde_json::{Value, json};

use crate::support::fixtures::{segment, with};
use crate::support::service::{Service, block_on};
use crate::support::tier::{seeds, spread};

/// Of how many seeds, of a share and of all; `REVTRAIL_HTTP_WORLDS` asks for others, `REVTRAIL_FROM` for the first, `REVTRAIL_SEED`
/// for one. Two in five give a world that can be told.
const SEEDS: [u64; 2] = [100, 500];

/// A world that the service can be told: with the default look-back, and an order before the second version of the settings.
pub fn deliverable(seed: u64) -> Option<naive::World> {
    let mut world = world(seed);
    if world.look_back != Some(Retention::DEFAULT.look_back_ms()) {
        return None;
    }
    let first = json!({"order_id": "~first", "customer_id": "~first", "status": "PENDING", "total": "1", "currency": "USD",
        "placed_at": Instant::from_ms(NOW_MS - 90 * DAY_MS)});
    world.orders.insert(0, first);
    // The versions are not numbered as they will be saved, and nobody replayed one yet.
    world.replays.clear();
    Some(world)
}

pub async fn deliver(service: &Service, world: &mut naive::World, rng: &mut Rng) {
    let from = |version: &naive::Version| {
        Instant::from_ms(version.in_force_from.unwrap_or(NOW_MS - 90 * DAY_MS))
    };
    service.set_now(Instant::from_ms(NOW_MS - 90 * DAY_MS));
    service.make("m", &world.versions[0].settings).await;
    service.feed("m", "orders", &world.orders[..1], 1).await;
    for (i, version) in world.versions.iter_mut().enumerate() {
        if i > 0 {
            service.set_now(from(version));
            let (status, body) = service
                .put("/v1/marketplaces/m/settings", &version.settings)
                .await;
            assert!(status.is_success(), "{body}");
            version.number = body["version"].as_u64().unwrap();
        } else {
            version.number = 1;
        }
    }
    service.set_now(Instant::from_ms(NOW_MS));
    let mut campaigns = world.campaigns.clone();
    let late = rng.below(campaigns.len() + 1);
    let late = campaigns.split_off(late);
    tell(service, &campaigns).await;
    for list in [&mut world.events, &mut world.orders] {
        let copies = list.clone();
        list.extend(copies);
        rng.shuffle(list);
    }
    let (mut events, mut orders) = (world.events.as_slice(), world.orders.as_slice());
    while !events.is_empty() || !orders.is_empty() {
        let (some, rest) = events.split_at((1 + rng.below(12)).min(events.len()));
        service.feed("m", "events", some, 100).await;
        events = rest;
        let (some, rest) = orders.split_at((1 + rng.below(5)).min(orders.len()));
        service.feed("m", "orders", some, 100).await;
        orders = rest;
        if rng.chance(20) {
            service.run("m").await;
        }
    }
    tell(service, &late).await;
}

async fn tell(service: &Service, campaigns: &[Value]) {
    for campaign in campaigns {
        let path = format!(
            "/v1/marketplaces/m/campaigns/{}",
            segment(campaign["campaign_id"].as_str().unwrap())
        );
        let (status, body) = service.put(&path, campaign).await;
        assert!(status.is_success(), "{body}");
    }
}

fn without(mut body: Value, keys: &[&str]) -> Value {
    keys.iter()
        .for_each(|key| drop(body.as_object_mut().unwrap().remove(*key)));
    body
}

pub async fn compare(service: &Service, world: &naive::World, rng: &mut Rng) {
    let facts = naive::Facts::read(world);
    let ids: std::collections::BTreeSet<&str> = world
        .orders
        .iter()
        .map(|order| order["order_id"].as_str().unwrap())
        .collect();
    let attributions = async |decided: Option<&str>| {
        for id in &ids {
            let shown = service
                .get(&format!(
                    "/v1/marketplaces/m/orders/{}/attribution",
                    segment(id)
                ))
                .await;
            // A zone can put the first hours of the retention on a day that is no longer shown, and so in no run's figures.
            let at_the_edge = Instant::parse(shown["placed_at"].as_str().unwrap()).unwrap()
                < Instant::from_ms(NOW_MS - 89 * DAY_MS);
            if let Some(decided) = decided.filter(|_| !at_the_edge) {
                assert_eq!(shown["decided"], decided, "{id}");
            }
            assert_eq!(
                without(shown, &["sale_formula", "decided"]),
                facts.attribution(id),
                "attribution of {id}"
            );
        }
    };
    attributions(None).await;
    let run = service.run("m").await;
    assert_eq!((&run["state"], &run["errors"]), (&json!("done"), &json!(0)));
    attributions(Some("run")).await;
    let zone: chrono_tz::Tz = world.versions.last().unwrap().settings["timezone"]
        .as_str()
        .unwrap_or("UTC")
        .parse()
        .unwrap();
    let today = Instant::from_ms(NOW_MS).day(zone);
    let date = |day: revtrail_core::value::time::Day| day.to_string().parse::<NaiveDate>().unwrap();
    let first = today.minus(90);
    for channel in [None, Some("email"), Some("sms")] {
        let (from, to) = match rng.chance(50) {
            true => (first.plus(rng.below(40) as u32), today.plus(2)),
            // The period before begins on a visible day, or on none.
            false => {
                let from = first.plus(1 + rng.below(80) as u32);
                (from, from.plus(1 + rng.below(40) as u32))
            }
        };
        let filter = channel
            .map(|channel| format!("&channel={channel}"))
            .unwrap_or_default();
        let path = format!(
            "/v1/marketplaces/m/reports/campaigns?from={from}&to={to}&limit=1000&sort=campaign_id&compare=previous{filter}"
        );
        let shown = service.get(&path).await;
        assert_eq!(
            (&shown["pending"], &shown["estimate"]),
            (&json!(0), &json!(true))
        );
        assert_eq!(shown["period"], json!({ "from": from, "to": to }));
        let before = from.minus(to.since(from) as u32);
        let naive = |from, to| facts.campaign_report(Some(date(from)), Some(date(to)), channel);
        let mut previous = without(naive(before, from), &["campaigns", "sort_currency"]);
        previous["period"] = json!({ "from": before, "to": from });
        let visible = (before >= first).then_some(previous);
        assert_eq!(shown["previous"], json!(visible), "{path}");
        let mut shown = without(
            shown,
            &[
                "as_of",
                "pending",
                "estimate",
                "next_cursor",
                "period",
                "previous",
            ],
        );
        shown["campaigns"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(|row| *row = without(row.take(), &["sale_formula"]));
        assert_eq!(shown, naive(from, to), "{path}");
        let rows = shown["campaigns"].as_array().unwrap();
        if !rows.is_empty() {
            let row = rng.pick(rows);
            let days = |day: NaiveDate| {
                facts.campaign_report(Some(day), Some(day + chrono::Days::new(1)), channel)
            };
            let query = format!("from={from}&to={to}{filter}");
            one_campaign_equals_its_row_and_its_days(service, row, &query, days).await;
        }
        let orders = service
            .get(&format!(
                "/v1/marketplaces/m/reports/orders?from={from}&to={to}"
            ))
            .await;
        assert_eq!(
            without(orders, &["as_of", "pending", "period"]),
            facts.orders_report(Some(date(from)), Some(date(to)))
        );
        if shown["totals"].get("purchases").is_some() {
            purchases_sum_to_rows(service, &shown, &format!("from={from}&to={to}{filter}")).await;
        }
    }
    let classes = service
        .get("/v1/marketplaces/m/reports/reconciliation")
        .await;
    let naive = facts.order_classes(None, None);
    let invisible =
        naive["stored"].as_i64().unwrap() - classes["orders"]["stored"].as_i64().unwrap();
    let n = |of: &str, name: &str| classes[of][name].as_i64().unwrap();
    // A zone can put the first instant of the retention on a day that is no longer shown.
    assert!((0..=ids.len() as i64).contains(&invisible));
    if invisible == 0 {
        naive
            .as_object()
            .unwrap()
            .iter()
            .for_each(|(class, n)| assert_eq!(&classes["orders"][class], n, "{class}"));
        assert_eq!(
            n("orders", "received"),
            world.orders.len() as i64 + 1,
            "{classes}"
        );
    }
    assert_eq!(
        n("orders", "received"),
        n("orders", "arrived")
            + n("orders", "duplicates")
            + n("orders", "older_copies")
            + n("orders", "rejected")
    );
    assert_eq!(
        n("events", "received"),
        n("events", "stored") + n("events", "duplicates") + n("events", "rejected")
    );
    assert_eq!(n("events", "received"), world.events.len() as i64);
}

/// `of_day` is the report of one day, made from the facts.
async fn one_campaign_equals_its_row_and_its_days(
    service: &Service,
    row: &Value,
    query: &str,
    of_day: impl Fn(NaiveDate) -> Value,
) {
    let id = segment(row["campaign_id"].as_str().unwrap());
    let path = format!("/v1/marketplaces/m/reports/campaigns/{id}?{query}");
    let mut one = service.get(&path).await;
    let days = one["days"].take();
    let about = [
        "days",
        "as_of",
        "pending",
        "estimate",
        "period",
        "sale_formula",
    ];
    assert_eq!(&without(one, &about), row, "{path}");
    for day in days.as_array().unwrap() {
        let date: NaiveDate = day["date"].as_str().unwrap().parse().unwrap();
        let mut rows = of_day(date)["campaigns"].take();
        let rows = rows.as_array_mut().unwrap().iter_mut();
        let mut found = rows.filter(|found| found["campaign_id"] == row["campaign_id"]);
        let of_day = found.next().expect("a day that is shown has facts").take();
        let as_of_now = [
            "campaign_id",
            "name",
            "tags",
            "channels",
            "sent_at",
            "excluded",
        ];
        let shown = without(day.clone(), &["date"]);
        assert_eq!(shown, without(of_day, &as_of_now), "{path} {date}");
    }
}

/// Tries other settings, on some periods and on one order: the answers are the second implementation's, and no figure moves.
async fn what_if(service: &Service, world: &naive::World, rng: &mut Rng) {
    let facts = naive::Facts::read(world);
    for _ in 0..3 {
        let (settings, [from, to]) = proposal(rng, world);
        let body = json!({"settings": settings, "from": from, "to": to, "models": naive::MODELS});
        let (status, shown) = service.post("/v1/marketplaces/m/what-if", &body).await;
        if is_old(&from) {
            continue;
        }
        assert_eq!(status, 200, "{shown}");
        assert_eq!(shown["period"]["from"].as_str().unwrap()[..10], from[..10]);
        let id = shown["what_if_id"].as_str().unwrap();
        let again = service
            .get(&format!("/v1/marketplaces/m/what-ifs/{id}"))
            .await;
        assert_eq!(again, shown);
        let state = [
            "what_if_id",
            "state",
            "progress",
            "period",
            "skipped",
            "settings",
            "names",
        ];
        assert_eq!(
            (&shown["state"], &shown["skipped"]),
            (&json!("done"), &json!(0))
        );
        assert_eq!(
            without(shown, &state),
            facts.what_if(&settings, [&from, &to]),
            "{from} to {to}: {settings}"
        );
        let order = rng.pick(&world.orders)["order_id"].as_str().unwrap();
        let body = with(body, &json!({"order_id": order}));
        let (status, shown) = service.post("/v1/marketplaces/m/what-if", &body).await;
        assert_eq!(
            (status.as_u16(), &shown["orders"]),
            (200, &json!(1)),
            "{shown}"
        );
        assert_eq!(
            without(shown["attribution"].clone(), &["sale_formula"]),
            facts.attribution_by(order, &settings),
            "{order}: {settings}"
        );
    }
}

/// True for a period that begins where orders may not be seen any more.
fn is_old(from: &str) -> bool {
    from < Instant::from_ms(NOW_MS - 88 * DAY_MS).to_string().as_str()
}

/// Replays a version, after a look at what it would do, and is told of an order of that period afterwards.
async fn replay_one(service: &Service, world: &mut naive::World, rng: &mut Rng) {
    let placed = rng.pick(&world.orders)["placed_at"].as_str().unwrap();
    let placed = Instant::parse(placed).unwrap().ms();
    let [from, to] = bounds_near(rng, placed.max(NOW_MS - 86 * DAY_MS));
    let version = rng.pick(&world.versions).clone();
    let expected = naive::Facts::read(world).what_if(&version.settings, [&from, &to]);
    for dry_run in [true, false] {
        let body = json!({"version": version.number, "from": from, "to": to, "dry_run": dry_run});
        let (status, asked) = service.post("/v1/marketplaces/m/replays", &body).await;
        assert_eq!(status, 202, "{asked}");
        service.work_off().await;
        let id = asked["replay_id"].as_str().unwrap();
        let shown = service
            .get(&format!("/v1/marketplaces/m/replays/{id}"))
            .await;
        for (name, is) in [
            ("state", json!("done")),
            ("version", json!(version.number)),
            ("dry_run", json!(dry_run)),
            ("skipped", json!(0)),
            ("orders", expected["orders"].clone()),
            ("moved", expected["moved_total"].clone()),
        ] {
            assert_eq!(shown[name], is, "{name}: {shown}");
        }
        for (side, of) in [("before", "current"), ("after", "proposed")] {
            let rows = expected["campaigns"].as_array().unwrap().iter();
            let rows = rows
                .filter(|row| row[of]["purchases"] != 0)
                .map(|row| with(json!({"campaign_id": row["campaign_id"]}), &row[of]));
            let whole = with(
                expected[of].clone(),
                &json!({"campaigns": rows.collect::<Vec<_>>()}),
            );
            assert_eq!(
                shown[side], whole,
                "{side} of {from} to {to} by {version:?}"
            );
        }
    }
    let version = version.number;
    world.replays.push(naive::Replay { from, to, version });
    let mut late = rng.pick(&world.orders).clone();
    late["order_id"] = json!(format!("~late{}", world.replays.len()));
    late["placed_at"] = json!(Instant::from_ms(placed.max(NOW_MS - 89 * DAY_MS)));
    service
        .feed("m", "orders", std::slice::from_ref(&late), 1)
        .await;
    world.orders.push(late);
}

async fn purchases_sum_to_rows(service: &Service, shown: &Value, query: &str) {
    for row in shown["campaigns"].as_array().unwrap() {
        let path = format!(
            "/v1/marketplaces/m/reports/campaigns/{}/purchases?limit=2&{query}",
            segment(row["campaign_id"].as_str().unwrap())
        );
        let (mut count, mut cursor) = (0, String::new());
        loop {
            let page = service.get(&format!("{path}{cursor}")).await;
            count += page["purchases"].as_array().unwrap().len();
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(row["purchases"], json!(count), "{path}");
    }
}

#[test]
fn worlds_over_http_equal_the_second_implementation() {
    let [share, all] = SEEDS;
    let mut seeds: Vec<u64> = seeds("REVTRAIL_HTTP_WORLDS", share, all).collect();
    seeds.retain(|seed| deliverable(*seed).is_some());
    let replay = |seed: &u64| format!("REVTRAIL_SEED={seed} cargo t --test it http::worlds");
    let played = spread(&seeds, replay, |&seed| {
        block_on(async {
            let mut world = deliverable(seed).expect("the seeds were looked through");
            let service = Service::at("2026-01-01T00:00:00Z").await;
            let mut rng = Rng::new(seed);
            deliver(&service, &mut world, &mut rng).await;
            compare(&service, &world, &mut rng).await;
            what_if(&service, &world, &mut rng).await;
            for _ in 0..2 {
                replay_one(&service, &mut world, &mut rng).await;
            }
            what_if(&service, &world, &mut rng).await;
            compare(&service, &world, &mut rng).await;
            let verified = service.run_with("m", &json!({"verify": "all"})).await;
            assert_eq!(verified["verify"]["differences"], 0, "{verified}");
        });
    });
    println!("worlds over HTTP: {}", played.len());
    assert!(!played.is_empty(), "no seed gives a world that can be told");
}
