//! Verification of everything stored: a wrong daily aggregate and a wrong total of a promotion are found, named, and set right once,
//! whatever fails meanwhile and whoever folds meanwhile.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::types::AttributeValue;
use hourly_attributor::{Attributor, JobLimits};
use http::Method;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::value::id::{CampaignId, MarketplaceId, PromotionId};
use revtrail_core::value::money::Money;
use revtrail_core::value::time::{Day, Instant, Retention};
use revtrail_store::Store;
use revtrail_store::jobs::job::{JobMessage, Work};
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use revtrail_store::table::keys::{self, Key};
use serde_json::{Value, json};

use crate::faults::schedule::{Gate, Window, drive};
use crate::faults::two_at_once::{attributor, plan};
use crate::support::fault_client::{self, Fault, FaultClient, points};
use crate::support::fixtures::{NOW, Shop, assert_part};
use crate::support::invariants::{assert_same, held};
use crate::support::promotion_lists::shown;
use crate::support::service::{Service, block_on};
use crate::support::tier::{fails, one_in, spread};
use crate::support::tripwire::Tripwire;

const CUSTOMERS: [&str; 4] = ["ann", "bob", "cyd", "dee"];
const CAMPAIGNS: [&str; 1] = ["spring"];
const DAY: &str = "2026-11-17";

/// Figures of every kind: credited and other orders, assignments, redemptions that name an order, codes, a cap and a budget.
async fn fill(shop: &Shop) {
    shop.events(&[
        "spring email sent,delivered,clicked ann 17T10:00",
        "spring email sent,clicked bob 16T10:00",
    ])
    .await;
    shop.orders(&[
        "o1 ann COMPLETE 10.00 EUR 17T11:00",
        "o2 bob COMPLETE 20.00 EUR 17T11:00",
        "o3 cyd PENDING 40.00 EUR 17T12:00",
    ])
    .await;
    let promotion = json!({"name": "Gift", "kind": "tiered", "type": "amount", "value": "5.00", "currency": "EUR", "cap": 150,
        "budget": {"amount": "1000.00", "currency": "EUR"}, "tiers": [{"tier_id": "gold", "name": "Gold"}],
        "tracking_from": "2026-11-01T00:00:00Z"});
    shop.put("promotions/gift", promotion).await;
    for (codes, limit) in [(["ONE", "TWO"], 1), (["MANY", "MORE"], 120)] {
        let vouchers = json!({"codes": codes, "limit": limit});
        let (status, body) = shop
            .call(Method::POST, "promotions/gift/vouchers", vouchers)
            .await;
        assert_eq!(status, 201, "{body}");
    }
    let assigned = |id: &str, customer: &str, more: Value| {
        let mut one = json!({"assignment_id": id, "promotion_id": "gift", "customer_id": customer});
        one.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        one
    };
    let redeemed = |id: &str, customer: &str, more: Value| {
        let mut one = json!({"redemption_id": id, "promotion_id": "gift", "customer_id": customer});
        one.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        one
    };
    let assignments = [
        assigned(
            "a1",
            "ann",
            json!({"tier_id": "gold", "segment": "vip", "voucher_code": "ONE"}),
        ),
        assigned("a2", "bob", json!({})),
        assigned(
            "a3",
            "dee",
            json!({"result": "failure", "voucher_code": "TWO"}),
        ),
    ];
    let redemptions = [
        redeemed(
            "r1",
            "ann",
            json!({"voucher_code": "ONE", "order_id": "o1"}),
        ),
        redeemed(
            "r2",
            "bob",
            json!({"voucher_code": "MANY", "order_id": "o1", "reward_amount": "2.50", "currency": "EUR"}),
        ),
        redeemed("r3", "cyd", json!({"voucher_code": "?", "order_id": "o2"})),
        redeemed("r4", "dee", json!({"result": "failure"})),
        redeemed("r5", "dee", json!({"voucher_code": "TWO"})),
    ];
    shop.service
        .feed(shop.id, "assignments", &assignments, 10)
        .await;
    shop.service
        .feed(shop.id, "redemptions", &redemptions, 10)
        .await;
    let rollback = json!({"rollback_id": "b1", "reason": "no"});
    let (status, body) = shop
        .call(Method::POST, "redemptions/r5/rollback", rollback)
        .await;
    assert_eq!(status, 200, "{body}");
    shop.run().await;
}

async fn filled() -> Shop {
    let shop = Shop::open(json!({})).await;
    fill(&shop).await;
    shop
}

/// The raw table below a service, for what no writer of the service does.
struct Raw(aws_sdk_dynamodb::Client);

impl Raw {
    fn of(service: &Service) -> Self {
        Self(embedded::client(service.tripwire.clone()))
    }

    async fn item(&self, key: &Key) -> std::collections::HashMap<String, AttributeValue> {
        let (pk, sk) = (&key.pk, &key.sk);
        let get = self.0.get_item().table_name(TABLE);
        let get = get.key("pk", AttributeValue::S(pk.clone()));
        let get = get.key("sk", AttributeValue::S(sk.clone()));
        get.send().await.unwrap().item.unwrap_or_default()
    }

    /// Spoils a day as a bug in the moving of sums would: its version does not say so.
    async fn spoil_day(&self, id: &MarketplaceId) {
        let key = keys::aggregate(id, 0, Day::parse(DAY).unwrap());
        let mut item = self.item(&key).await;
        let mut aggregate: Aggregate<CampaignId> =
            serde_json::from_str(item["d"].as_s().unwrap()).unwrap();
        let (_, row) = aggregate.rows.iter_mut().next().unwrap();
        row.purchasers += 1;
        for earned in row.earned.values_mut() {
            earned.revenue += Money::from(7);
        }
        let data = serde_json::to_string(&aggregate).unwrap();
        item.insert("d".to_owned(), AttributeValue::S(data));
        let put = self.0.put_item().table_name(TABLE).set_item(Some(item));
        put.send().await.unwrap();
    }

    /// Adds to an attribute of an item.
    async fn spoil(&self, key: &Key, attribute: &str, more: &str) {
        let update = self.0.update_item().table_name(TABLE);
        let update = update.key("pk", AttributeValue::S(key.pk.clone()));
        let update = update.key("sk", AttributeValue::S(key.sk.clone()));
        let update = update.update_expression("ADD #a :n");
        let update = update.expression_attribute_names("#a", attribute);
        let more = AttributeValue::N(more.to_owned());
        let update = update.expression_attribute_values(":n", more);
        update.send().await.unwrap();
    }
}

fn id() -> MarketplaceId {
    MarketplaceId::new("m").unwrap()
}

fn gift() -> PromotionId {
    PromotionId::new("gift").unwrap()
}

async fn verify(shop: &Shop, body: Value) -> Value {
    let run = shop.service.run_with(shop.id, &body).await;
    assert_part("run", &run, &json!({ "state": "done", "errors": 0 }));
    run["verify"].clone()
}

/// Everything that is shown, however it is stored.
async fn all(service: &Service, now: Instant) -> Vec<String> {
    let market = service.store.market(&id(), Retention::DEFAULT);
    let mut all = held(&market, &CUSTOMERS, &CAMPAIGNS, now, false).await;
    all.extend(shown(service).await);
    all
}

#[tokio::test]
async fn what_is_right_is_found_right() {
    let shop = filled().await;
    // A worker that writes a day several times.
    let single = JobLimits {
        batch_customers: 1,
        ..JobLimits::DEFAULT
    };
    shop.orders(&[
        "o5 eva COMPLETE 1.00 EUR 17T11:00",
        "o6 fay COMPLETE 2.00 EUR 17T11:00",
        "o7 gil COMPLETE 4.00 EUR 17T11:00",
    ])
    .await;
    let attributor = Attributor {
        limits: single,
        ..shop.service.attributor()
    };
    attributor.drain(vec![plan()], &now).await.unwrap();
    let right = json!({"checked": 6, "differences": 0});
    for body in [
        json!({"verify": "sample"}),
        json!({"verify": "all"}),
        json!({"verify": "all", "repair": false}),
        json!({"verify": "all", "repair": true}),
    ] {
        assert_eq!(verify(&shop, body.clone()).await, right, "{body}");
    }
}

#[tokio::test]
async fn a_wrong_daily_aggregate_is_found_and_set_right() {
    let shop = filled().await;
    let before = all(&shop.service, shop.service.now()).await;
    Raw::of(&shop.service).spoil_day(&id()).await;
    let wrong = |repaired: bool| {
        let figure = |figure: &str, stored: &str, right: &str| json!({"of": "day 2026-11-17", "figure": figure, "stored": stored, "right": right, "repaired": repaired});
        json!([
            figure("spring email purchasers", "3", "2"),
            figure("spring email revenue EUR", "37", "30"),
        ])
    };
    // A sample says nothing about sums.
    let sampled = verify(&shop, json!({"verify": "sample"})).await;
    assert_eq!(sampled["differences"], 0, "{sampled}");
    for _ in 0..2 {
        let found = verify(&shop, json!({"verify": "all"})).await;
        let expected = json!({"checked": 3, "differences": 1, "found": wrong(false)});
        assert_eq!(found, expected);
    }
    let repaired = verify(&shop, json!({"verify": "all", "repair": true})).await;
    let expected = json!({"checked": 3, "differences": 1, "repaired": 1, "found": wrong(true)});
    assert_eq!(repaired, expected);
    assert_same(&all(&shop.service, shop.service.now()).await, &before);
    let again = verify(&shop, json!({"verify": "all", "repair": true})).await;
    assert_eq!(again, json!({"checked": 3, "differences": 0}));
}

/// An aggregate that is lost, as by a deletion by hand, is made again from the contributions.
#[tokio::test]
async fn a_daily_aggregate_that_is_gone_is_made_again() {
    let shop = filled().await;
    let before = shop.get("reports/campaigns").await;
    let raw = Raw::of(&shop.service);
    let key = keys::aggregate(&id(), 0, Day::parse(DAY).unwrap());
    let delete = raw.0.delete_item().table_name(TABLE);
    let delete = delete.key("pk", AttributeValue::S(key.pk));
    let delete = delete.key("sk", AttributeValue::S(key.sk));
    delete.send().await.unwrap();
    assert_ne!(
        shop.get("reports/campaigns").await["credited"],
        before["credited"]
    );
    let repaired = verify(&shop, json!({"verify": "all", "repair": true})).await;
    assert_eq!(repaired["repaired"], 1, "{repaired}");
    let after = shop.get("reports/campaigns").await;
    assert_eq!(
        (&after["totals"], &after["campaigns"]),
        (&before["totals"], &before["campaigns"])
    );
}

#[tokio::test]
async fn a_wrong_total_of_a_promotion_is_found_and_set_right() {
    let total = |shard| keys::promotion_total(&id(), shard, &gift());
    let day = Day::parse("2026-11-20").unwrap();
    // What is spoiled; the figure, what is stored then, and what is right.
    for (key, attribute, more, figure, stored, right) in [
        (total(3), "a", "1", "assigned", "3", "2"),
        (total(0), "r", "-1", "redeemed", "1", "2"),
        (total(7), "s", "10", "redemptions", "13", "3"),
        (total(1), "b", "1", "rolled back", "2", "1"),
        (total(2), "w:EUR", "0.50", "rewards EUR", "13", "12.5"),
        (total(2), "o:EUR", "-10", "orders EUR", "20", "30"),
        (total(4), "op", "1", "open uses", "241", "240"),
        (total(5), "cl", "2", "left of the cap", "149", "147"),
        (
            total(5),
            "bl",
            "-100",
            "left of the budget",
            "887.5",
            "987.5",
        ),
        (
            keys::promotion_day(&id(), 2, &gift(), day),
            "s",
            "1",
            "day 2026-11-20 redemptions",
            "4",
            "3",
        ),
    ] {
        let shop = filled().await;
        let before = all(&shop.service, shop.service.now()).await;
        Raw::of(&shop.service).spoil(&key, attribute, more).await;
        let wrong = |repaired: bool| json!([{"of": "promotion gift", "figure": figure, "stored": stored, "right": right, "repaired": repaired}]);
        let found = verify(&shop, json!({"verify": "all"})).await;
        let expected = json!({"checked": 3, "differences": 1, "found": wrong(false)});
        assert_eq!(found, expected, "{figure}");
        let repaired = verify(&shop, json!({"verify": "all", "repair": true})).await;
        let expected = json!({"checked": 3, "differences": 1, "repaired": 1, "found": wrong(true)});
        assert_eq!(repaired, expected, "{figure}");
        assert_same(&all(&shop.service, shop.service.now()).await, &before);
        let again = verify(&shop, json!({"verify": "all"})).await;
        assert_eq!(again, json!({"checked": 3, "differences": 0}), "{figure}");
    }
}

/// What no total can set right is named all the same: a voucher that may be used too often.
#[tokio::test]
async fn what_cannot_be_set_right_is_named() {
    let shop = filled().await;
    let code = revtrail_core::value::id::VoucherCode::new("ONE").unwrap();
    let voucher = keys::voucher(&id(), &gift(), &code);
    Raw::of(&shop.service).spoil(&voucher, "l", "5").await;
    for body in [
        json!({"verify": "all"}),
        json!({"verify": "all", "repair": true}),
    ] {
        let found = verify(&shop, body).await;
        let wrong = json!([{"of": "promotion gift", "figure": "left of vouchers", "stored": "245", "right": "240", "repaired": false}]);
        let expected = json!({"checked": 3, "differences": 1, "found": wrong});
        assert_eq!(found, expected);
    }
}

/// A shop of which a day and a promotion are wrong.
async fn spoiled() -> Embedded {
    let line = FaultClient::new();
    let shop = Shop::over(&line).await;
    fill(&shop).await;
    let raw = Raw::of(&shop.service);
    raw.spoil_day(&id()).await;
    let total = keys::promotion_total(&id(), 3, &gift());
    raw.spoil(&total, "a", "4").await;
    line.database.copy().unwrap()
}

fn now() -> Instant {
    Instant::parse(NOW).unwrap()
}

/// Asks for a repair as long as none is done, each time by a process that remembers nothing; then the attributor ticks twice. Says
/// what there is then, and how many things were repaired.
async fn repair(line: &FaultClient) -> (Vec<String>, i64, Vec<fault_client::Call>) {
    for attempt in 0..3 {
        if attempt > 0 {
            line.clear();
        }
        let service = Service::over(line, now());
        let path = "/v1/marketplaces/m/runs";
        let asked = service
            .post(path, &json!({"verify": "all", "repair": true}))
            .await;
        let clock = || now();
        let enqueued = service.enqueued();
        let worked = service.attributor().drain(enqueued, &clock).await;
        if asked.0 == http::StatusCode::ACCEPTED && worked.is_ok() {
            break;
        }
    }
    let calls = line.calls();
    line.clear();
    let later = now().plus_ms(20 * 60_000);
    let service = Service::over(line, later);
    for _ in 0..2 {
        service.tick("m").await.unwrap();
    }
    let market = service.store.market(&id(), Retention::DEFAULT);
    let (runs, _) = market.runs().list(None, 100, later).await.unwrap();
    let repaired = runs
        .iter()
        .filter_map(|(_, run)| Some(run.verify.as_ref()?.repaired));
    let repaired = repaired.sum();
    (all(&service, later).await, repaired, calls)
}

#[test]
fn every_crash_point_of_a_repair_ends_in_one_repair() {
    let before = block_on(spoiled());
    let play = |failing: Option<(usize, Fault)>| {
        let line = FaultClient::over(before.copy().unwrap());
        if let Some((call, fault)) = failing {
            line.fail_at(call, fault);
        }
        block_on(repair(&line))
    };
    let (right, repaired, calls) = play(None);
    assert_eq!(repaired, 2, "the day and the promotion");
    let points = points(&calls, fails);
    spread(
        &points,
        |point| format!("cargo t --test it faults::verification ({point:?})"),
        |&(call, fault)| {
            let (all, repaired, _) = play(Some((call, fault)));
            assert_eq!(repaired, 2, "call {call}, {fault:?}");
            assert_same(&all, &right);
        },
    );
    let played = (calls.len(), points.len());
    println!("calls and crash points of a repair: {played:?}");
    assert!(played.0 >= 100 && played.1 >= played.0 / 8, "{played:?}");
}

/// Asks for a repair of everything, and says which run does it.
async fn ask_for_repair(shop: &Shop) -> Value {
    let repair = json!({"verify": "all", "repair": true});
    let (status, asked) = shop.call(Method::POST, "runs", repair).await;
    assert_eq!(status, 202, "{asked}");
    asked
}

/// A new fact of the day that is wrong waits, and so does the verification: the messages that point at them.
async fn both_wait() -> (Embedded, JobMessage) {
    let database = spoiled().await;
    let shop = Shop {
        service: Service::on(
            embedded::store(database.clone()).await.unwrap(),
            Tripwire::over(database.clone()),
            now(),
            Retention::DEFAULT,
        ),
        id: "m",
    };
    ask_for_repair(&shop).await;
    let [planned] = &shop.service.enqueued()[..] else {
        panic!("a run is one message");
    };
    let left = attributor(&shop.service.store)
        .handle(planned, &now, now())
        .await;
    let [work] = &left.unwrap()[..] else {
        panic!("nothing waits but the verification");
    };
    let jobs = shop.service.store.market(&id(), Retention::DEFAULT);
    let jobs = jobs.jobs().jobs().await.unwrap();
    assert!(matches!(jobs[..], [ref one] if matches!(one.work, Work::Verify { .. })));
    shop.orders(&["o4 ann COMPLETE 80.00 EUR 17T12:00"]).await;
    (database, work.clone())
}

/// A fold moves the day while it is verified and repaired: whoever comes first, the day is right in the end, with the new order in it.
#[test]
fn a_fold_and_a_repair_at_once_end_in_the_right_day() {
    let (before, work) = block_on(both_wait());
    let play = |turns: &[usize]| {
        block_on(async {
            let database = before.copy().unwrap();
            let gates = [Gate::over(&database), Gate::over(&database)];
            let stores = gates
                .each_ref()
                .map(|gate| Store::new(embedded::client(gate.clone()), TABLE));
            let over: [AtomicUsize; 2] = Default::default();
            let caller = async |i: usize, message: JobMessage| {
                let drained = attributor(&stores[i]).drain(vec![message], &now).await;
                over[i].store(1, Ordering::SeqCst);
                drained
            };
            let driver = drive(&gates, &over, turns);
            let (repaired, folded, ()) =
                tokio::join!(caller(0, work.clone()), caller(1, plan()), driver);
            let made = gates.each_ref().map(Gate::made);
            let later = now().plus_ms(20 * 60_000);
            let service = Service::on(
                embedded::store(database.clone()).await.unwrap(),
                Tripwire::over(database),
                later,
                Retention::DEFAULT,
            );
            if repaired.is_err() || folded.is_err() {
                service.tick("m").await.unwrap();
            }
            service.tick("m").await.unwrap();
            (made, all(&service, later).await)
        })
    };
    let (made, one) = play(&[0; 1_000]);
    let (_, other) = play(&[1; 1_000]);
    assert_same(&other, &one);
    const PLACES: usize = 6;
    const SHARE: usize = 12;
    let places = [0, 1].map(|i| (0..made[i].len()).step_by(made[i].len().div_ceil(PLACES)));
    let [first, second] = places;
    let windows: Vec<Window> = first
        .flat_map(|one| second.clone().map(move |other| [one, other]))
        .enumerate()
        .filter(|(n, _)| one_in(SHARE, *n))
        .map(|(_, alone)| Window { alone, calls: 2 })
        .collect();
    let played = spread(
        &windows,
        |window| format!("cargo t --test it faults::verification ({window:?})"),
        |window| {
            window.orders(|turns| {
                let (made, end) = play(turns);
                assert_same(&end, &one);
                made
            })
        },
    );
    let played: usize = played.iter().map(|orders| orders.played).sum();
    println!("interleavings of a fold and a repair: {played}");
    assert!(played >= windows.len());
}

/// A busy day is not called wrong, and not called right.
#[tokio::test]
async fn a_day_that_changes_during_every_walk_is_named() {
    let shop = filled().await;
    let asked = ask_for_repair(&shop).await;
    let mut waiting = shop.service.enqueued();
    let mut turns = 0;
    while let Some(message) = waiting.pop() {
        let attributor = shop.service.attributor();
        waiting.extend(attributor.handle(&message, &now, now()).await.unwrap());
        turns += 1;
        let order = format!("n{turns} ann COMPLETE 1.00 EUR 17T11:00");
        shop.orders(&[&order]).await;
        // A tick points at the verification too. It is left to this loop.
        let market = shop.service.store.market(&id(), Retention::DEFAULT);
        let mut folds = attributor
            .handle(&plan(), &now, Instant::MAX)
            .await
            .unwrap();
        while let Some(message) = folds.pop() {
            let JobMessage::Work { job_id, .. } = &message else {
                continue;
            };
            let job = market.jobs().job(job_id).await.unwrap();
            if job.is_some_and(|job| !matches!(job.work, Work::Verify { .. })) {
                folds.extend(
                    attributor
                        .handle(&message, &now, Instant::MAX)
                        .await
                        .unwrap(),
                );
            }
        }
    }
    let run = shop
        .get(&format!("runs/{}", asked["run_id"].as_str().unwrap()))
        .await;
    assert_part("run", &run, &json!({"state": "done"}));
    let verify = &run["verify"];
    assert_eq!(
        (&verify["differences"], &verify["not_compared"]),
        (&json!(0), &json!(["day 2026-11-17", "day 2026-11-20"])),
        "{run}"
    );
}

/// Who may ask for a repair, what else is refused, and what the access log says of it.
#[tokio::test]
async fn a_repair_is_asked_for_by_administrators_and_logged() {
    let shop = filled().await;
    let path = shop.path("runs");
    let marketer = shop.key("marketer").await;
    for (key, body, status, field) in [
        (
            &marketer,
            json!({"verify": "all", "repair": true}),
            403,
            None,
        ),
        (
            &marketer,
            json!({"verify": "all", "repair": false}),
            202,
            None,
        ),
    ] {
        let (got, answer) = shop
            .service
            .call_as(key, Method::POST, &path, Some(&body))
            .await;
        assert_eq!(
            (got.as_u16(), answer["errors"][0]["field"].as_str()),
            (status, field),
            "{body}"
        );
    }
    for (body, field) in [
        (json!({"repair": true}), "repair"),
        (json!({"verify": "sample", "repair": true}), "repair"),
        (json!({"verify": "all", "repair": "yes"}), "repair"),
        (json!({"verify": "repair"}), "verify"),
    ] {
        let (status, answer) = shop.call(Method::POST, "runs", body.clone()).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (422, &json!(field)),
            "{body}"
        );
    }
    let run = shop
        .service
        .run_with(shop.id, &json!({"verify": "all", "repair": true}))
        .await;
    let log = shop.get("access-log?limit=1000").await;
    let entries = log["items"].as_array().unwrap();
    let repairs: BTreeSet<String> = entries
        .iter()
        .filter(|entry| entry["on"]["repair"] == "true")
        .map(|entry| entry["on"]["made"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        repairs,
        BTreeSet::from([run["run_id"].as_str().unwrap().to_owned()])
    );
    let refused = entries
        .iter()
        .any(|entry| entry["what"] == "POST M/runs" && entry["kind"] == "refusal");
    assert!(refused, "{log}");
}
