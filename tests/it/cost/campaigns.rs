//! What an event costs where a shop sends from many campaigns a day on three channels: the daily aggregate of the day is large, and
//! every fold of customers moves it.

use std::sync::LazyLock;

use revtrail_core::attribution::event::Channel;
use revtrail_core::figures::fold::DayPart;
use revtrail_core::value::id::CampaignId;
use serde_json::{Value, json};

use crate::cost::units::{Row, Shop, counters, customer, put_day, uuid};
use crate::support::service::block_on;

/// Customers who get something in an hour: fewer than a job has, so that one daily aggregate is moved.
const CUSTOMERS: usize = 2_000;

/// Campaigns have random ids, which do not compress.
fn campaign(c: usize) -> String {
    uuid(&format!("campaign {c}"))
}

fn event(shop: &Shop, kind: &str, i: usize, c: usize, minutes: i64) -> Value {
    json!({
        "event_id": uuid(&format!("{kind} {i}")), "kind": kind, "channel": Channel::ALL[i % 3].name(),
        "campaign_id": campaign(c), "customer_id": customer(i), "occurred_at": shop.ago(minutes).to_string(),
    })
}

/// Each customer gets something of a campaign that no neighbour got: sent and delivered to all, opened by 30 %, clicked by 5 %.
fn events(shop: &Shop, campaigns: usize) -> Vec<Value> {
    let kinds = [
        ("sent", 100),
        ("delivered", 100),
        ("opened", 30),
        ("clicked", 5),
    ];
    let of = |i: usize| {
        kinds
            .into_iter()
            .zip(0..)
            .filter(move |((_, percent), _)| i * 37 % 100 < *percent)
            .map(move |((kind, _), step)| {
                event(shop, kind, i, i * 7_919 % campaigns, 60 - 10 * step)
            })
    };
    (0..CUSTOMERS).flat_map(of).collect()
}

/// An event of one of ten campaigns, and of one of a thousand. Two tests ask for them.
pub static AMONG_FEW: LazyLock<Row> = LazyLock::new(|| block_on(event_among(FEW)));
pub static AMONG_MANY: LazyLock<Row> = LazyLock::new(|| block_on(event_among(MANY)));
const FEW: usize = 10;
const MANY: usize = 1_000;

/// An event, its hourly run included, on a day on which so many campaigns have figures on each channel.
async fn event_among(campaigns: usize) -> Row {
    let shop = Shop::open().await;
    let mut part = DayPart::default();
    for c in 0..campaigns {
        let id = CampaignId::new(&campaign(c)).unwrap();
        let rows = Channel::ALL.map(|channel| (id.clone(), channel, counters(c, channel as u32)));
        part.counters.extend(rows);
    }
    put_day(&shop, 0, part).await;
    // A campaign that nobody knows yet on a channel costs an item of its own and a new version of the rules, once.
    let known = (0..3 * campaigns).map(|k| event(&shop, "sent", CUSTOMERS + k, k / 3, 70));
    let known: Vec<Value> = known.collect();
    shop.feed("events", &known, 1_000).await;
    shop.run().await;
    let events = events(&shop, campaigns);
    let fed = shop.spent(shop.feed("events", &events, 100)).await;
    Row::of(&[fed, shop.spent_on_run().await], events.len())
}

#[test]
fn an_event_of_one_of_many_campaigns() {
    for (campaigns, row, must) in [
        (FEW, AMONG_FEW.clone(), 2.05),
        (500, block_on(event_among(500)), 2.2),
        (MANY, AMONG_MANY.clone(), 2.3),
    ] {
        row.check(
            &format!("an event of a new customer, of one of {campaigns} campaigns on 3 channels"),
            (Some(must), Some(1.5)),
            None,
        );
    }
}
