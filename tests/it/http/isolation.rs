//! Nothing of a marketplace depends on whether another exists.

use std::panic::{AssertUnwindSafe, catch_unwind};

use revtrail_core::value::id::{CustomerId, MarketplaceId};
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, at, strip};

const EVENTS: [&str; 5] = [
    "E email sent,delivered,opened c 16T10:00 message_id=m",
    "S sms sent,delivered d 16T12:00",
    "S sms delivered c 16T12:30",
    "P push sent,delivered c 17T10:00 app_version=5.0",
    "X email sent,opened c 17T10:30",
];
const ORDERS: [&str; 5] = [
    "o c COMPLETE 10.00 USD 16T11:00 email=a@b.c",
    "p d READY 5.00 EUR 16T13:00",
    "q c PENDING 7.00 USD 17T11:00",
    "r c COMPLETE 20.00 USD 17T12:00 refunded_total=20",
    "s e COMPLETE 1.00 USD 18T12:00",
];

/// Everything a marketplace can show, as its readers get it.
async fn everything(shop: &Shop) -> Value {
    let mut shown = json!({});
    for path in [
        "reports/campaigns",
        "reports/campaigns?channel=email&sort=name",
        "reports/campaigns/E",
        "reports/campaigns/S/purchases",
        "reports/campaigns/X",
        "reports/orders",
        "reports/reconciliation",
        "orders",
        "orders?customer_id=c",
        "orders/o",
        "orders/o/attribution",
        "orders/r/attribution",
        "customers/c",
        "customers/d",
        "settings",
        "settings/versions",
        "keys",
        "runs",
    ] {
        shown[path] = shop.get(path).await;
    }
    // Runs are named at random.
    strip(&mut shown, &["run_id"]);
    shown
}

/// One marketplace's days, step by step; beside it, if there is one, another has days of its own.
async fn told(other: Option<&'static str>) -> Vec<Value> {
    let mut shop = Shop::open(json!({ "excluded_tags": ["technical"] })).await;
    let mut shown = Vec::new();
    for step in 0..5 {
        shop.service.set_now(at(&format!("20T12:0{step}")));
        if let Some(other) = other {
            shop.id = other;
            if step == 0 {
                shop.service.make(other, &json!({ "preset": "yespo_v2", "currency": "EUR", "timezone": "Asia/Tokyo" })).await;
            }
            shop.put("campaigns/E", json!({ "name": format!("not ours {step}"), "sent_at": "2026-11-16T10:59:00Z", "tags": ["technical"] })).await;
            let busier: Vec<String> = EVENTS
                .iter()
                .map(|line| {
                    line.replace("16T", "15T")
                        .replace(",delivered", ",delivered,clicked")
                })
                .collect();
            shop.events(&busier.iter().map(String::as_str).collect::<Vec<_>>())
                .await;
            shop.orders(
                &ORDERS
                    .map(|line| line.replace("0 ", "9 "))
                    .each_ref()
                    .map(String::as_str),
            )
            .await;
            shop.put(
                "settings",
                json!({ "preset": "yespo_v1", "currency": "USD", "link": step % 2 == 0 }),
            )
            .await;
            if step != 2 {
                shop.run().await;
            }
            shop.id = "m";
        }
        match step {
            0 => shop.events(&EVENTS[..3]).await,
            1 => shop.orders(&ORDERS).await,
            2 => shop.events(&EVENTS[2..]).await,
            3 => drop(
                shop.put("campaigns/X", json!({ "tags": ["technical"] }))
                    .await,
            ),
            _ => drop(shop.put("settings", json!({ "currency": "USD" })).await),
        }
        if step > 0 {
            shown.push(everything_yet(&shop, step).await);
        }
        shop.run().await;
        if step > 1 {
            shown.push(everything(&shop).await);
        }
    }
    shown
}

/// Before the orders are in there is less to show.
async fn everything_yet(shop: &Shop, step: usize) -> Value {
    if step > 2 {
        everything(shop).await
    } else {
        shop.figures().await
    }
}

#[tokio::test]
async fn a_marketplace_is_the_same_with_and_without_another() {
    let alone = told(None).await;
    assert_eq!(alone.len(), 7);
    for (step, (beside, alone)) in told(Some("m2")).await.iter().zip(&alone).enumerate() {
        assert_eq!(beside.to_string(), alone.to_string(), "step {step}");
    }
    // A name that begins like the other's, and one that it begins like.
    for other in ["m-2", "0"] {
        assert_eq!(told(Some(other)).await, alone, "{other}");
    }
}

#[tokio::test]
async fn the_tripwire_finds_a_stray() {
    let shop = Shop::after(json!({}), &EVENTS, &ORDERS).await;
    shop.service.make("other", &json!({})).await;
    let customer = CustomerId::new("c").unwrap().into();
    let read = async |id: &str| {
        let market = shop
            .service
            .store
            .market(&MarketplaceId::new(id).unwrap(), shop.service.retention);
        let tripwire = &shop.service.tripwire;
        let armed = tripwire.arm("m");
        let read = market
            .facts()
            .customer(&customer, usize::MAX, shop.service.now())
            .await
            .is_ok();
        let versions = market.settings().versions().await.is_ok();
        let written = market.mark_orders().await.is_ok();
        drop(armed);
        let found = catch_unwind(AssertUnwindSafe(|| tripwire.assert_untouched())).is_err();
        ([read, versions, written], found)
    };
    assert_eq!(read("m").await, ([true; 3], false));
    assert_eq!(read("other").await, ([false; 3], true));
}
