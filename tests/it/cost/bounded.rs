//! Reads that stay bounded, however many calls and orders there are. Each scenario is measured twice, the second time beside ten times
//! as much of what must not be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use http::{Method, StatusCode};
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::{CampaignId, MarketplaceId};
use revtrail_core::value::time::{DAY_MS, Retention};
use revtrail_store::Store;
use revtrail_store::ledger::intake::IntakeMarker;
use revtrail_store::market::campaigns::Observed;
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use serde_json::{Value, json};

use crate::cost::units::{CAMPAIGN, Row, Shop, customer, order, uuid};
use crate::support::fixtures::at;
use crate::support::service::{ADMIN, Service, block_on};
use crate::support::tripwire::Tripwire;

/// Leaves the closed intake markers of so many calls. Each changed this many customers of its own.
async fn calls(shop: &Shop, calls: usize, customers: usize) {
    let id = MarketplaceId::new("shop").unwrap();
    let market = shop.service.store.market(&id, Retention::DEFAULT);
    let now = shop.service.now();
    for call in 0..calls {
        let name = |n| Recipient::parse(&format!("{}-{n}", customer(call))).unwrap();
        let customers: BTreeSet<Recipient> = (0..customers).map(name).collect();
        let mut marker = IntakeMarker::open(customers, now);
        marker.closed = true;
        marker.campaigns = vec![Observed {
            campaign_id: CampaignId::new(CAMPAIGN).unwrap(),
            first_at: BTreeMap::new(),
        }];
        market.intake().put_marker(&marker).await.unwrap();
    }
}

/// What reading something costs.
async fn read(shop: &Shop, path: &str, check: impl Fn(&Value)) -> Row {
    let read = async {
        let path = format!("/v1/marketplaces/shop/{path}");
        let (status, body) = shop.service.call_as(ADMIN, Method::GET, &path, None).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        check(&body);
    };
    Row::of(&[shop.spent(read).await], 1)
}

/// Prints what both cost. The second may cost no more than the first, but for the size of the figures.
fn same(what: &str, [few, many]: [Row; 2], must: f64) {
    few.check(what, (None, Some(must)), None);
    many.check(what, (None, Some(1.05 * few.per.reads)), None);
}

#[test]
fn an_explanation_reads_no_intake_marker() {
    let reads = [200, 2_000].map(|many| {
        block_on(async {
            let shop = Shop::open().await;
            calls(&shop, many, 1).await;
            let path = format!(
                "orders/{}/attribution",
                uuid(&format!("order {}", customer(999_999)))
            );
            let explained = read(&shop, &path, |body| {
                assert_eq!(body["customer_id"], json!(customer(999_999)));
            });
            explained.await
        })
    });
    same("an explanation beside 200 calls, and 2,000", reads, 10.0);
}

/// Calls that changed nobody, as a sender makes who repeats what it sent: they are not read without an end.
#[test]
fn who_waits_is_looked_for_in_a_bounded_number_of_calls() {
    let reads = [2_500, 5_000].map(|many| {
        block_on(async {
            let shop = Shop::open().await;
            calls(&shop, many, 0).await;
            let report = read(&shop, "reports/campaigns", |body| {
                let pending = (&body["pending"], &body["pending_more"]);
                assert_eq!(pending, (&json!(0), &json!(true)), "{body}");
            });
            report.await
        })
    });
    same(
        "a report beside 2,500 calls of duplicates, and 5,000",
        reads,
        250.0,
    );
}

/// The reconciliation reads an item for each promotion of the last days, and one for all promotions of a day before them. What it says
/// stays the same.
#[test]
fn a_reconciliation_does_not_read_every_promotion_of_every_day() {
    let reads = [4, 200].map(|many| {
        block_on(async {
            let shop = Shop::open().await;
            let began = shop.service.now();
            for n in 0..many {
                let path = format!("/v1/marketplaces/shop/promotions/p{n}");
                let promotion = json!({"name": "Gift", "tracking_from": "2026-04-01T00:00:00Z"});
                let (status, made) = shop
                    .service
                    .call_as(ADMIN, Method::PUT, &path, Some(&promotion))
                    .await;
                assert_eq!(status, StatusCode::CREATED, "{made}");
            }
            for day in 0..10 {
                shop.service.set_now(began.plus_ms(day * DAY_MS));
                let redeemed = |n| {
                    json!({"redemption_id": format!("{day} {n}"), "promotion_id": format!("p{n}"), "customer_id": customer(n)})
                };
                let redeemed: Vec<Value> = (0..many).map(redeemed).collect();
                // Each call counts in a shard.
                shop.feed("redemptions", &redeemed, 1.max(many / 8)).await;
            }
            let told = async || {
                let path = "/v1/marketplaces/shop/reports/reconciliation";
                shop.service.get(path).await["redemptions"].clone()
            };
            let before = told().await;
            let counts = json!({"received": 10 * many, "matched": 10 * many, "duplicates": 0, "quarantined": 0, "rejected": 0});
            assert_eq!(before, counts);
            shop.service.set_now(began.plus_ms(13 * DAY_MS));
            shop.run().await;
            read(&shop, "reports/reconciliation", |body| {
                assert_eq!(body["redemptions"], before);
            })
            .await
        })
    });
    same(
        "a reconciliation of ten days with 4 promotions, and 200",
        reads,
        60.0,
    );
}

/// Settings say how many orders stay under older versions, and count the orders of the day by its figures.
#[test]
fn settings_do_not_read_the_orders_of_a_day() {
    let reads = [100, 400].map(|many| {
        block_on(async {
            let shop = Shop::open().await;
            let placed = shop.service.now();
            let orders: Vec<Value> = (0..many).map(|i| order(i, "COMPLETE", placed)).collect();
            shop.feed("orders", &orders, 1_000).await;
            // One that is ahead of the clock is not placed before.
            let mut ahead = order(many, "COMPLETE", placed);
            ahead["placed_at"] = json!(placed.plus_ms(300_000).to_string());
            ahead["updated_at"] = ahead["placed_at"].clone();
            shop.feed("orders", &[ahead], 1).await;
            shop.run().await;
            // And one that no run has decided yet.
            shop.feed("orders", &[order(many + 1, "COMPLETE", placed)], 1)
                .await;
            let save = async {
                let path = "/v1/marketplaces/shop/settings";
                let settings = json!({"timezone": "Europe/Dublin", "winner": "last_interaction"});
                let (status, body) = shop
                    .service
                    .call_as(ADMIN, Method::PUT, path, Some(&settings))
                    .await;
                assert_eq!(status, StatusCode::OK, "{body}");
                // The one that the shop was opened with, and the one that waits.
                assert_eq!(body["orders_before"], json!(many + 2), "{body}");
                assert_eq!(body["orders_before_more"], Value::Null, "{body}");
            };
            Row::of(&[shop.spent(save).await], 1)
        })
    });
    same(
        "PUT settings beside 100 orders of the day, and 400",
        reads,
        40.0,
    );
}

/// A wire that counts how many customers are read at the same time, each with all facts.
#[derive(Debug, Clone)]
struct AtOnce {
    wire: Tripwire,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl HttpConnector for AtOnce {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        if !body.contains("/c/") || !body.contains("\"pk = :pk\"") {
            return self.wire.call(request);
        }
        let here = self.clone();
        HttpConnectorFuture::new(async move {
            let now = here.now.fetch_add(1, Ordering::SeqCst) + 1;
            here.most.fetch_max(now, Ordering::SeqCst);
            // Whoever else asks without waiting for this answer asks now.
            tokio::task::yield_now().await;
            let answer = here.wire.call(request).await;
            here.now.fetch_sub(1, Ordering::SeqCst);
            answer
        })
    }
}

/// The orders of a page that wait for a run are decided from the facts of their customers, which are read together, but not all at once.
#[test]
fn customers_who_wait_are_read_together_and_few_at_once() {
    block_on(async {
        let at_once = AtOnce {
            wire: Tripwire::over(Embedded::memory().unwrap()),
            now: Arc::default(),
            most: Arc::default(),
        };
        let store = Store::new(embedded::client(at_once.clone()), TABLE);
        store.create_table().await.unwrap();
        let now = at("2026-04-14T12:00:00Z");
        let service = Service::on(store, at_once.wire.clone(), now, Retention::DEFAULT);
        service.make("shop", &json!({})).await;
        let without_address = |i| {
            let mut order = order(i, "COMPLETE", now);
            order["email"] = Value::Null;
            order
        };
        let orders: Vec<Value> = (0..40).map(without_address).collect();
        service.feed("shop", "orders", &orders, 1_000).await;
        at_once.most.store(0, Ordering::SeqCst);
        let path = "/v1/marketplaces/shop/orders?limit=100";
        let listed = service.get(path).await;
        assert_eq!(
            listed["orders"].as_array().map(Vec::len),
            Some(40),
            "{listed}"
        );
        assert_eq!(at_once.most.load(Ordering::SeqCst), 16);
    });
}
