//! Customers and changes far above the usual: they are counted as exactly, and keep nobody else waiting.

use std::collections::VecDeque;
use std::io::Write;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::attribution::event::Channel;
use revtrail_core::figures::daily::{Aggregate, Figures};
use revtrail_core::value::id::{CampaignId, MarketplaceId};
use revtrail_core::value::time::Day;
use revtrail_oracle::worlds::Rng;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::table::embedded::{self, TABLE};
use revtrail_store::table::keys;
use serde_json::{Value, json};

use crate::support::fault_client::FaultClient;
use crate::support::fixtures::{Shop, strip};
use crate::support::service::Service;

const NOW: &str = "2026-11-20T12:00:00Z";

fn uuid(i: usize) -> String {
    format!(
        "{:08x}-0000-4000-8000-{i:012x}",
        i.wrapping_mul(2_654_435_761) & 0xffff_ffff
    )
}

fn event(i: usize, kind: &str, campaign: &str, customer: &str) -> Value {
    json!({"event_id": format!("e{i}"), "kind": kind, "channel": "push", "campaign_id": campaign, "customer_id": customer,
        "message_id": uuid(i), "occurred_at": "2026-11-20T01:00:00Z"})
}

fn order(i: usize, customer: &str) -> Value {
    json!({"order_id": uuid(i), "customer_id": customer, "status": "COMPLETE", "total": "1.01", "currency": "USD",
        "placed_at": format!("2026-11-20T{:02}:{:02}:{:02}Z", 2 + i / 3600, i / 60 % 60, i % 60)})
}

#[tokio::test]
async fn a_till_that_is_one_customer_is_counted_to_the_cent() {
    let service = Service::at(NOW).await;
    service.make("m", &json!({})).await;
    let mut events = vec![event(0, "delivered", "spring-sale-2026-app-push", "till")];
    // As many campaigns, with the longest of names, to one customer in a day.
    events.extend((1..=800).map(|i| event(i, "bounced", &format!("{i:0>128}"), "till")));
    service.feed("m", "events", &events, 1_000).await;
    let mut orders: Vec<Value> = (0..1_700).map(|i| order(i, "till")).collect();
    orders.extend((0..40).map(|i| order(10_000 + i, &format!("c{i}"))));
    service.feed("m", "orders", &orders, 1_000).await;
    let run = service.run("m").await;
    assert_eq!(
        (&run["state"], &run["errors"], &run["orders"]),
        (&json!("done"), &json!(0), &json!(1_740))
    );
    let report = service
        .get("/v1/marketplaces/m/reports/campaigns?limit=1")
        .await;
    assert_eq!(
        (&report["pending"], &report["totals"]["campaigns"]),
        (&json!(0), &json!(801))
    );
    assert_eq!(
        report["counted"],
        json!({"purchases": 1_740, "revenue": {"USD": "1757.40"}})
    );
    // One more order moves one order.
    service
        .feed("m", "orders", &[order(20_000, "till")], 1)
        .await;
    let run = service.run("m").await;
    assert_eq!(
        (&run["state"], &run["credits_changed"]),
        (&json!("done"), &json!(1))
    );
    assert_eq!(
        service.get("/v1/marketplaces/m/reports/campaigns").await["counted"]["purchases"],
        json!(1_741)
    );
}

#[tokio::test]
async fn many_changed_campaigns_decide_a_customer_once() {
    let service = Service::at(NOW).await;
    service
        .make("m", &json!({"excluded_tags": ["x"], "supersede": "none"}))
        .await;
    let campaigns: Vec<String> = (0..25).map(|i| format!("c{i}")).collect();
    let mut events = Vec::new();
    for customer in 0..30 {
        events.extend(
            campaigns
                .iter()
                .enumerate()
                .map(|(i, campaign)| event(i, "delivered", campaign, &format!("p{customer}"))),
        );
    }
    service.feed("m", "events", &events, 1_000).await;
    let orders: Vec<Value> = (0..30).map(|i| order(i, &format!("p{i}"))).collect();
    service.feed("m", "orders", &orders, 1_000).await;
    let credited = |report: &Value| report["credited"]["purchases"].clone();
    service.run("m").await;
    let report = "/v1/marketplaces/m/reports/campaigns";
    assert_eq!(credited(&service.get(report).await), json!(30));
    for campaign in &campaigns {
        let (status, body) = service
            .put(
                &format!("/v1/marketplaces/m/campaigns/{campaign}"),
                &json!({"tags": ["x"]}),
            )
            .await;
        assert!(status.is_success(), "{body}");
    }
    let run = service.run("m").await;
    assert_eq!(
        (
            &run["customers"],
            &run["credits_changed"],
            &run["revenue_moved"]["USD"]
        ),
        (&json!(30), &json!(30), &json!("-30.30"))
    );
    assert_eq!(credited(&service.get(report).await), json!(0));
}

/// More orders of a campaign than are read at once, others between them, and some that no run has seen.
#[tokio::test]
async fn the_orders_of_a_busy_day_are_listed_by_time_whoever_earned_them() {
    let service = Service::at(NOW).await;
    service.make("m", &json!({"supersede": "none"})).await;
    let earned = (0..18).map(|i| {
        let campaign = if i < 15 { "a" } else { "b" };
        event(i, "delivered", campaign, &format!("p{i}"))
    });
    service
        .feed("m", "events", &earned.collect::<Vec<_>>(), 1_000)
        .await;
    let mut orders: Vec<Value> = (0..1_400)
        .map(|i| order(i * 11 % 1_400, &format!("p{}", i % 20)))
        .collect();
    service.feed("m", "orders", &orders, 1_000).await;
    service.run("m").await;
    let late: Vec<Value> = [5, 700, 1_398]
        .map(|i| order(2_000 + i, &format!("p{}", i % 20)))
        .into();
    service.feed("m", "orders", &late, 3).await;
    orders.extend(late);
    let time = |order: &Value| order["placed_at"].as_str().unwrap().to_owned();
    orders.sort_by_key(|order| std::cmp::Reverse(time(order)));
    let expected: Vec<&Value> = orders.iter().map(|order| &order["order_id"]).collect();
    for limit in [83, 1_000] {
        let (mut listed, mut earners) = (Vec::new(), [0, 0, 0]);
        let mut path = format!("/v1/marketplaces/m/orders?limit={limit}");
        loop {
            let page = service.get(&path).await;
            for one in page["orders"].as_array().unwrap() {
                listed.push(one["order_id"].clone());
                earners[match one["credited_to"]["campaign_id"].as_str() {
                    Some("a") => 0,
                    Some(_) => 1,
                    None => 2,
                }] += 1;
            }
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            path = format!("/v1/marketplaces/m/orders?limit={limit}&cursor={next}");
        }
        assert_eq!(listed.iter().collect::<Vec<_>>(), expected, "{limit}");
        assert_eq!(earners, [1_052, 210, 141], "{limit}");
    }
}

/// A bot that opens and clicks fifty thousand times, in the same hour: read in pages, folded alone, counted exactly.
#[tokio::test]
async fn a_bot_with_fifty_thousand_events_is_one_customer_like_any_other() {
    let service = Service::at(NOW).await;
    service.make("m", &json!({"machine_events": "count"})).await;
    let event = |i: usize| {
        json!({"event_id": uuid(i), "kind": if i.is_multiple_of(2) { "opened" } else { "clicked" }, "channel": "email",
        "campaign_id": format!("c{}", i % 7), "customer_id": "bot", "message_id": format!("m{}", i % 1_000), "machine": true,
        "url": "https://example.com/a/link/that/is/as/long/as/links/in/newsletters/are", "occurred_at": "2026-11-20T01:00:00Z"})
    };
    let events: Vec<Value> = (0..50_000).map(event).collect();
    service.feed("m", "events", &events, 1_000).await;
    let orders = [order(1, "bot"), order(2, "ann")];
    service.feed("m", "orders", &orders, 2).await;
    let run = service.run_with("m", &json!({"verify": "all"})).await;
    assert_eq!(
        (
            &run["state"],
            &run["errors"],
            &run["parked"],
            &run["verify"]
        ),
        (
            &json!("done"),
            &json!(0),
            &json!(0),
            &json!({"checked": 2, "differences": 0})
        )
    );
    let report = service.get("/v1/marketplaces/m/reports/campaigns").await;
    let totals = &report["totals"];
    assert_eq!(
        (
            &totals["opens"],
            &totals["clicks"],
            &totals["purchases"],
            &report["pending"]
        ),
        (&json!(25_000), &json!(25_000), &json!(1), &json!(0))
    );
}

/// A day on which as many campaigns with the longest of names sent something, as it is stored.
fn busy_day(rng: &mut Rng, campaigns: usize) -> Vec<u8> {
    let mut aggregate = Aggregate::default();
    for _ in 0..campaigns {
        let letter = |_| char::from(b'0' + rng.below(64) as u8);
        let id = CampaignId::new(&(0..128).map(letter).collect::<String>()).unwrap();
        aggregate
            .rows
            .insert((id, Channel::Email), Figures::default());
    }
    let json = serde_json::to_vec(&aggregate).unwrap();
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(&json).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn a_customer_of_many_busy_days_is_folded_in_steps() {
    folded_over_busy_days(true).await;
}

/// Where the days are not split, the aggregates are in the transaction of the fold, and all of them fit into none.
#[tokio::test]
async fn busy_days_of_an_earlier_release_are_folded_in_steps() {
    folded_over_busy_days(false).await;
}

async fn folded_over_busy_days(split: bool) {
    let service = Service::at(NOW).await;
    service.make("m", &json!({})).await;
    let client = embedded::client(service.tripwire.clone());
    if !split {
        let meta = keys::meta(&MarketplaceId::new("m").unwrap());
        let update = client.update_item().table_name(TABLE);
        let update = update.key("pk", AttributeValue::S(meta.pk));
        let update = update.key("sk", AttributeValue::S(meta.sk));
        let update = update.update_expression("REMOVE split_from");
        update.send().await.unwrap();
    }
    let (id, mut rng) = (MarketplaceId::new("m").unwrap(), Rng::new(1));
    let last = Day::parse("2026-11-18").unwrap();
    let (mut events, mut bytes) = (Vec::new(), 0);
    for day in (0..50).map(|days| last.minus(days)) {
        let (key, aggregate) = (keys::aggregate(&id, 0, day), busy_day(&mut rng, 900));
        bytes += aggregate.len();
        let put = client
            .put_item()
            .table_name(TABLE)
            .item("pk", AttributeValue::S(key.pk))
            .item("sk", AttributeValue::S(key.sk))
            .item("v", AttributeValue::N("1".to_owned()))
            .item("z", AttributeValue::B(Blob::new(aggregate)));
        put.send().await.unwrap();
        events.push(json!({"event_id": day.to_string(), "kind": "sent", "channel": "email", "campaign_id": "spring",
            "customer_id": "ann", "message_id": day.to_string(), "occurred_at": format!("{day}T12:00:00Z")}));
    }
    assert!(bytes > 4 << 20, "more than a transaction holds: {bytes}");
    service.feed("m", "events", &events, 1_000).await;
    let run = service.run("m").await;
    assert_eq!(
        (&run["state"], &run["errors"], &run["parked"]),
        (&json!("done"), &json!(0), &json!(0)),
        "{run}"
    );
    let report = service
        .get("/v1/marketplaces/m/reports/campaigns/spring?from=2026-09-01&to=2026-11-30")
        .await;
    assert_eq!(report["days"].as_array().unwrap().len(), 50, "{report}");
}

/// Works messages off, each for as short as it goes; the most calls of the table that one of them took.
async fn hurried(line: &FaultClient, service: &Service, messages: Vec<JobMessage>) -> usize {
    let (attributor, now) = (service.attributor(), service.now());
    let (mut waiting, mut most) = (VecDeque::from(messages), 0);
    for _ in 0..5_000 {
        let Some(message) = waiting.pop_front() else {
            return most;
        };
        line.clear();
        waiting.extend(attributor.handle(&message, &|| now, now).await.unwrap());
        most = most.max(line.calls().len());
    }
    panic!("it never ends");
}

#[tokio::test]
async fn every_loop_of_the_attributor_gives_the_others_their_turn() {
    let line = FaultClient::new();
    let service = Shop::over(&line).await.service;
    // Many new campaigns, and many customers in one job.
    let mut events: Vec<Value> = (0..180)
        .map(|i| event(i, "delivered", &format!("c{i}"), &format!("b{i}")))
        .collect();
    events.push(event(900, "delivered", "c0", "b1"));
    service.feed("m", "events", &events, 1_000).await;
    let orders: Vec<Value> = (0..180).map(|i| order(i, &format!("b{i}"))).collect();
    service.feed("m", "orders", &orders, 1_000).await;
    let m = "/v1/marketplaces/m";
    let (status, run) = service
        .post(&format!("{m}/runs"), &json!({"verify": "all"}))
        .await;
    assert_eq!(status, 202, "{run}");
    let most = hurried(&line, &service, service.enqueued()).await;
    assert!(most < 450, "{most} calls of the table in one turn");
    let run = service
        .get(&format!("{m}/runs/{}", run["run_id"].as_str().unwrap()))
        .await;
    assert_eq!(
        (&run["state"], &run["verify"], &run["orders"]),
        (
            &json!("done"),
            &json!({"checked": 180, "differences": 0}),
            &json!(180)
        )
    );
    let report = async || {
        let mut report = service
            .get(&format!("{m}/reports/campaigns?limit=1000"))
            .await;
        strip(&mut report, &["as_of"]);
        report
    };
    let before = report().await;
    assert_eq!(
        (
            &before["totals"]["campaigns"],
            &before["counted"]["purchases"]
        ),
        (&json!(180), &json!(180))
    );
    // Nobody has more to say.
    service.run("m").await;
    assert_eq!(report().await, before);
}
