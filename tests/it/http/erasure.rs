//! Erasure: a customer is forgotten, and every figure stays (rule 5).

use http::Method;
use revtrail_core::value::id::{CustomerId, OrderId};
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::jobs::parked::{Parked, ParkedFor};
use serde_json::{Value, json};

use crate::faults::batches::{SMALL, batches};
use crate::support::fault_client::FaultClient;
use crate::support::fixtures::{NOW, Shop, assert_part, events, order, segment, strip, with};
use crate::support::invariants::assert_same;
use crate::support::root::Root;
use crate::support::scan;
use crate::support::service::{ADMIN, Service};

/// The id of the customer who is erased, in the sample; and what says who they are.
pub const ANN: &str = "ann/the customer";
pub const PERSON: [&str; 5] = [
    ANN,
    "ann@example.com",
    "+353 87 123",
    "Annabel",
    "Oak Street",
];

/// An order of the customer with everything that says who they are.
pub fn of_ann(line: &str) -> Value {
    let more = json!({
        "customer_id": ANN, "email": "ann@example.com", "phone": "+353 87 123", "first_name": "Annabel", "last_name": "of Oak Street",
        "items": [{"id": "sku-1", "name": "Tea"}], "coupon_codes": ["SAVE"],
    });
    with(order(line), &more)
}

fn event_of_ann(line: &str) -> Vec<Value> {
    let told = events(line).into_iter();
    let more = |event: Value| {
        let id = format!("{ANN} {}", event["event_id"].as_str().unwrap());
        with(
            event,
            &json!({"customer_id": ANN, "event_id": id, "url": "https://shop/?mail=ann@example.com"}),
        )
    };
    told.map(more).collect()
}

/// Everything in which a customer can be named: facts, folded and not; an order of another that some copy gave to them; a segment, and
/// promotions with all that can come of them.
pub async fn fill(service: &Service) {
    let m = "/v1/marketplaces/m";
    let ok = async |method: Method, path: &str, body: Value| {
        let (status, told) = service
            .call_as(ADMIN, method, &format!("{m}/{path}"), Some(&body))
            .await;
        assert!(status.is_success(), "{path}: {status} {told}");
    };
    let run = async || service.run("m").await;
    service
        .feed(
            "m",
            "events",
            &event_of_ann("E email sent,opened x 16T10:00 message_id=1"),
            9,
        )
        .await;
    let bob = events("E email sent,opened bob 16T10:00");
    service.feed("m", "events", &bob, 9).await;
    let orders = [
        of_ann("o1 x COMPLETE 10.00 USD 16T11:00 updated_at=16T11:00"),
        of_ann("o2 x PENDING 20.00 USD 17T11:00 updated_at=17T11:00"),
        order("o3 bob COMPLETE 40.00 USD 16T12:00 updated_at=16T12:00"),
    ];
    service.feed("m", "orders", &orders, 9).await;
    run().await;
    let merged = with(
        order("o3 bob COMPLETE 40.00 USD 16T12:00 updated_at=17T12:00"),
        &json!({"customer_id": ANN}),
    );
    service.feed("m", "orders", &[merged], 9).await;
    let gift = json!({"name": "Gift", "type": "amount", "value": "5.00", "currency": "USD", "tracking_from": "2026-11-01T00:00:00Z", "limit_per_customer": 5});
    ok(Method::PUT, "promotions/gift", gift).await;
    ok(
        Method::POST,
        "promotions/gift/vouchers",
        json!({"codes": ["ONE", "TWO"], "limit": 3}),
    )
    .await;
    for promotion in ["gift", "late"] {
        let record = |id: &str, more: Value| {
            let ids = json!({id: format!("{promotion} {id} 1"), "promotion_id": promotion, "customer_id": ANN, "voucher_code": "ONE"});
            with(ids, &more)
        };
        let assigned = record(
            "assignment_id",
            json!({"segment": "vip", "assigned_at": "2026-11-16T09:00:00Z"}),
        );
        ok(Method::POST, "assignments", assigned).await;
        let redeemed = record(
            "redemption_id",
            json!({"order_id": "o1", "redeemed_at": "2026-11-16T11:00:00Z"}),
        );
        ok(Method::POST, "redemptions", redeemed).await;
    }
    let redeem = |id: &str| json!({"redemption_id": id, "customer_id": ANN, "order_id": "o2"});
    for id in ["r1", "r2"] {
        ok(
            Method::POST,
            "promotions/gift/vouchers/TWO/redeem",
            redeem(id),
        )
        .await;
    }
    let back = json!({"rollback_id": "b", "reason": "Annabel came back"});
    ok(Method::POST, "redemptions/r2/rollback", back).await;
    let coded: Vec<Value> = event_of_ann(
        "E email delivered x 16T10:01 message_id=2 promotion_id=gift voucher_code=ONE",
    );
    service.feed("m", "events", &coded, 9).await;
    run().await;
    let segment =
        json!({"name": "buyers", "campaign_id": "E", "from": "2026-11-01", "to": "2026-12-01"});
    ok(Method::POST, "segments", segment).await;
    // The orders that would move name their customers.
    let tried = json!({"settings": {"link": false}, "from": "2026-11-01", "to": "2026-11-20"});
    ok(Method::POST, "what-if", tried).await;
    // What no run has seen yet.
    service
        .feed(
            "m",
            "events",
            &event_of_ann("F push delivered x 18T10:00"),
            9,
        )
        .await;
    service
        .feed(
            "m",
            "orders",
            &[of_ann(
                "o4 x COMPLETE 80.00 USD 18T11:00 updated_at=18T11:00",
            )],
            9,
        )
        .await;
}

async fn shop() -> Shop {
    let shop = Shop::open(json!({"supersede": "none", "counted_statuses": ["COMPLETE"]})).await;
    fill(&shop.service).await;
    shop
}

impl Shop {
    /// Asks for an erasure, and has it done; the erasure as it is shown then.
    async fn erase(&self, customer: &str) -> Value {
        let path = format!("customers/{}", segment(customer));
        let (status, told) = self.call(Method::DELETE, &path, json!({})).await;
        assert_eq!(status, 202, "{told}");
        self.service.work_off().await;
        self.get(&format!(
            "erasures/{}",
            told["erasure_id"].as_str().unwrap()
        ))
        .await
    }

    /// All figures and lists, but for who somebody is.
    pub async fn all_figures(&self) -> Value {
        let mut shown = json!([
            self.figures().await,
            self.get("reports/promotions").await,
            self.get("promotions/gift/dashboard").await,
            self.get("promotions/gift/redemptions").await,
            self.get("promotions/gift/publications").await,
            self.get("promotions/gift/distributions").await,
            self.get("quarantine").await,
            self.get("redemptions?since=2026-11-01T00:00:00Z").await,
            self.get("orders/o1/attribution").await,
            self.get("orders/o4/attribution").await,
        ]);
        let who = [
            "customer_id",
            "email",
            "phone",
            "first_name",
            "last_name",
            "next_cursor",
            "as_of",
            "decided",
            "rollback_reason",
            "reason",
        ];
        strip(&mut shown, &who);
        shown
    }

    fn named(&self) -> Vec<String> {
        scan::holding(self.service.tripwire.database(), &PERSON)
    }

    async fn verified(&self) {
        let run = self.service.run_with("m", &json!({"verify": "all"})).await;
        assert_eq!(
            (&run["state"], &run["verify"]["differences"]),
            (&json!("done"), &json!(0)),
            "{run}"
        );
    }
}

/// Fails where two answers differ, and says in which lines.
fn same(got: &Value, expected: &Value) {
    let lines = |value: &Value| -> Vec<String> {
        let text = serde_json::to_string_pretty(value).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    assert_same(&lines(got), &lines(expected));
}

#[tokio::test]
async fn nothing_names_whoever_was_erased_and_every_figure_stays() {
    let shop = shop().await;
    let kinds = |named: &[String]| -> std::collections::BTreeSet<String> {
        let family = |line: &String| {
            line.split("m/m/")
                .nth(1)
                .unwrap()
                .split(['/', ' '])
                .next()
                .unwrap()
                .to_owned()
        };
        named.iter().map(family).collect()
    };
    // Facts, pointers, accounts, records, lists of jobs, markers, purchase rows of a campaign, messages and segments name them.
    let before = kinds(&shop.named());
    for family in ["c", "o", "b", "f", "j", "n", "p", "h", "sc"] {
        assert!(before.contains(family), "{family} in {before:?}");
    }
    let figures = shop.all_figures().await;
    let erasure = shop.erase(ANN).await;
    assert_part(
        "erasure",
        &erasure,
        &json!({"state": "done", "by": "the deployment's key", "at": "2026-11-20T12:00:00.000Z", "facts": 13}),
    );
    assert_eq!(shop.named(), Vec::<String>::new());
    shop.run().await;
    let unfolded = shop.all_figures().await;
    shop.verified().await;
    assert_eq!(shop.named(), Vec::<String>::new());
    // What was not folded before is folded now, as it is where nobody was erased.
    let other = self::shop().await;
    same(&other.all_figures().await, &figures);
    other.run().await;
    same(&unfolded, &other.all_figures().await);
    let card = format!("customers/{}", segment(ANN));
    assert_eq!(shop.status_for(ADMIN, &card).await, 404);
    assert_eq!(
        shop.get("segments").await["items"][0]["customers"],
        json!(1)
    );
    // The pseudonym has a card of its own.
    let owner = shop.get("orders/o1").await["customer_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(owner.starts_with("erased-"), "{owner}");
    let card = shop.get(&format!("customers/{owner}")).await;
    assert_eq!(
        (card["orders"].as_array().unwrap().len(), &card["email"]),
        (3, &Value::Null)
    );
}

#[tokio::test]
async fn what_comes_late_is_a_new_customers_but_copies_of_known_orders() {
    let shop = shop().await;
    shop.erase(ANN).await;
    shop.run().await;
    let row = async || {
        let row = shop.row("E").await;
        (
            row["purchases"].clone(),
            row["revenue"].clone(),
            row["unique_opens"].clone(),
        )
    };
    assert_eq!(row().await, (json!(2), json!({"USD": "50.00"}), json!(2)));
    // A refund of a known order is the pseudonym's, and brings no name back.
    let refund = of_ann("o1 x REFUNDED 10.00 USD 16T11:00 updated_at=19T11:00");
    shop.service
        .feed("m", "orders", &[refund.clone(), refund], 9)
        .await;
    shop.run().await;
    assert_eq!(row().await, (json!(1), json!({"USD": "40.00"}), json!(2)));
    assert_eq!(shop.named(), Vec::<String>::new());
    // A known redemption is known still, and an event that is sent again is another's.
    let again = json!({"redemption_id": "gift redemption_id 1", "promotion_id": "gift", "customer_id": ANN, "voucher_code": "ONE"});
    let (_, told) = shop.call(Method::POST, "redemptions", again).await;
    assert_part("again", &told, &json!({"duplicates": 1, "rejected": []}));
    shop.service
        .feed(
            "m",
            "events",
            &event_of_ann("E email sent,opened x 16T10:00 message_id=1"),
            9,
        )
        .await;
    shop.service
        .feed(
            "m",
            "orders",
            &[of_ann("o9 x COMPLETE 1.00 USD 16T12:00")],
            9,
        )
        .await;
    shop.run().await;
    assert_eq!(row().await, (json!(2), json!({"USD": "41.00"}), json!(3)));
    let card = shop.get(&format!("customers/{}", segment(ANN))).await;
    assert_eq!(
        (
            card["orders"].as_array().unwrap().len(),
            card["redemptions"].as_array().unwrap().len()
        ),
        (1, 0)
    );
    shop.verified().await;
    // Erased once more, they are gone again, and the first pseudonym is another.
    let erasure = shop.erase(ANN).await;
    assert_part("again", &erasure, &json!({"state": "done", "facts": 3}));
    shop.run().await;
    assert_eq!((row().await.0, shop.named()), (json!(2), vec![]));
    shop.verified().await;
}

#[tokio::test]
async fn done_again_it_is_done_the_same() {
    let shop = shop().await;
    shop.erase(ANN).await;
    let figures = shop.all_figures().await;
    for customer in [ANN, "nobody"] {
        let erasure = shop.erase(customer).await;
        assert_part(customer, &erasure, &json!({"state": "done", "facts": 0}));
    }
    assert_eq!(shop.all_figures().await, figures);
    // Asked for twice before it is done, it is one.
    let path = "customers/bob";
    let (_, first) = shop.call(Method::DELETE, path, json!({})).await;
    let (_, second) = shop.call(Method::DELETE, path, json!({})).await;
    assert_eq!(first, second);
    shop.service.enqueued();
    shop.service.tick("m").await.unwrap();
    let erasure = shop
        .get(&format!(
            "erasures/{}",
            first["erasure_id"].as_str().unwrap()
        ))
        .await;
    assert_part("by a tick", &erasure, &json!({"state": "done", "facts": 3}));
    for (path, status) in [("erasures/none", 404), ("customers/%00", 404)] {
        let method = if path.starts_with('e') {
            Method::GET
        } else {
            Method::DELETE
        };
        assert_eq!(shop.call(method, path, json!({})).await.0, status, "{path}");
    }
}

/// What comes after the answer of an erasure and before its work is done is a new customer's, as what comes after the work is. Other
/// work may go on in between.
#[tokio::test]
async fn what_comes_between_the_answer_and_the_work_is_a_new_customers() {
    let play = async |between: bool| {
        let shop = shop().await;
        let path = format!("customers/{}", segment(ANN));
        let delete = async || shop.call(Method::DELETE, &path, json!({})).await;
        let (status, told) = delete().await;
        assert_eq!(status, 202, "{told}");
        // Whoever was not answered asks again, and nothing came since.
        assert_eq!(delete().await, (202, told.clone()));
        let mut held = shop.service.enqueued();
        held.truncate(1);
        let work = async |messages: Vec<JobMessage>| {
            let now = shop.service.now();
            let attributor = shop.service.attributor();
            attributor.drain(messages, &|| now).await.unwrap();
        };
        if !between {
            work(held.clone()).await;
        }
        shop.put(
            "promotions/other",
            json!({"name": "Other", "tracking_from": "2026-11-01T00:00:00Z"}),
        )
        .await;
        come_late(&shop.service).await;
        if between {
            // A run meets the new facts, and folds nobody who is being erased.
            let now = shop.service.now();
            let plan = JobMessage::Plan {
                marketplace: shop_id().clone(),
                run_id: None,
            };
            let attributor = shop.service.attributor();
            let mut planned = attributor
                .handle(&plan, &|| now, Instant::MAX)
                .await
                .unwrap();
            planned.retain(|message| !held.contains(message));
            work(planned).await;
            // The new facts are not in the list, so they are erased by an erasure of their own, and not yet.
            assert_eq!(delete().await.0, 503);
            work(held).await;
        }
        let path = format!("erasures/{}", told["erasure_id"].as_str().unwrap());
        assert_part(
            "erasure",
            &shop.get(&path).await,
            &json!({"state": "done", "facts": 13}),
        );
        shop.run().await;
        let folded = shop.all_figures().await;
        // Messages to the address are found by the new customer's order and by the pseudonym's.
        shop.events(&[
            "J email sent,clicked to:ann@example.com 18T10:30",
            "K email sent,clicked to:ann@example.com 19T10:30",
        ])
        .await;
        shop.run().await;
        assert_eq!(
            [shop.earner("o4").await, shop.earner("o8").await],
            ["J", "K"]
        );
        let figures = shop.all_figures().await;
        shop.verified().await;
        let mut card = shop.get(&format!("customers/{}", segment(ANN))).await;
        strip(&mut card, &["as_of"]);
        let erasure = shop.erase(ANN).await;
        assert_part(
            "of the new customer",
            &erasure,
            &json!({"state": "done", "facts": 4}),
        );
        shop.run().await;
        assert_eq!(shop.named(), Vec::<String>::new());
        same(&shop.all_figures().await, &figures);
        json!([folded, figures, card])
    };
    let (before, after) = (play(true).await, play(false).await);
    same(&before, &after);
    let card = &after[2];
    let counts = ["orders", "messages", "redemptions"].map(|of| card[of].as_array().unwrap().len());
    assert_eq!(counts[0], 1, "{card}");
    assert_eq!(counts[2], 1, "{card}");
}

/// What comes after the answer of an erasure: two events, a new order, a refund of a known one, and a redemption of a promotion of which
/// there is no account.
pub async fn come_late(service: &Service) {
    let late = event_of_ann("G email sent,clicked x 19T10:00 message_id=9");
    service.feed("m", "events", &late, 9).await;
    let orders = [
        of_ann("o8 x COMPLETE 7.00 USD 19T11:00"),
        of_ann("o1 x REFUNDED 10.00 USD 16T11:00 updated_at=19T11:00"),
    ];
    service.feed("m", "orders", &orders, 9).await;
    let redeemed = json!({"redemption_id": "other 1", "promotion_id": "other", "customer_id": ANN, "redeemed_at": NOW});
    service.feed("m", "redemptions", &[redeemed], 9).await;
}

/// A customer with more facts than an erasure can tell from later ones, 35 MiB of orders, is erased before anybody is answered. So what comes
/// after the answer is a new customer's, and what came before it is not.
#[tokio::test]
async fn who_has_too_many_facts_is_erased_before_the_answer() {
    let shop = Shop::open(json!({"supersede": "none"})).await;
    let items = vec![json!({"id": "s".repeat(128), "name": "n".repeat(400), "quantity": 1}); 200];
    let more = json!({"customer_id": ANN, "items": items});
    let orders: Vec<Value> = (0..320)
        .map(|n| with(order(&format!("o{n} x COMPLETE 1.00 USD 16T11:00")), &more))
        .collect();
    shop.service.feed("m", "orders", &orders, 32).await;
    let path = format!("customers/{}", segment(ANN));
    let delete = async || shop.call(Method::DELETE, &path, json!({})).await;
    let event = async |n: usize| {
        let told = event_of_ann(&format!("E email opened x 16T10:00 message_id={n}"));
        shop.service.feed("m", "events", &told, 1).await;
    };
    assert_eq!(delete().await.0, 503);
    event(1).await;
    assert_eq!(delete().await.0, 503);
    shop.service.work_off().await;
    assert_eq!(shop.named(), Vec::<String>::new());
    let (status, told) = delete().await;
    assert_eq!(status, 202, "{told}");
    event(2).await;
    shop.service.work_off().await;
    let path = format!("erasures/{}", told["erasure_id"].as_str().unwrap());
    let erasure = shop.get(&path).await;
    assert_part("erasure", &erasure, &json!({"state": "done", "facts": 0}));
    let card = shop.get(&format!("customers/{}", segment(ANN))).await;
    let counts = ["orders", "messages"].map(|of| card[of].as_array().unwrap().len());
    assert_eq!(counts, [0, 1], "{card}");
    let market = shop.service.store.market(shop_id(), Retention::DEFAULT);
    let order = OrderId::new("o7").unwrap();
    let order = market.facts().order(&order, shop.service.now()).await;
    let owner = order.unwrap().unwrap().customer_id;
    assert!(owner.as_str().starts_with("erased-"), "{owner}");
}

/// Of a customer who is being erased only a part of the facts may be here, so a what-if skips them, and says so.
#[tokio::test]
async fn a_what_if_skips_whoever_is_being_erased() {
    let shop = shop().await;
    let looked_at = async || {
        let tried = json!({"settings": {"link": false}, "from": "2026-11-01", "to": "2026-11-20"});
        let (status, told) = shop.call(Method::POST, "what-if", tried).await;
        assert_eq!(status, 200, "{told}");
        ["orders", "skipped"].map(|of| told[of].as_i64().unwrap())
    };
    assert_eq!(looked_at().await, [4, 0]);
    let path = format!("customers/{}", segment(ANN));
    assert_eq!(shop.call(Method::DELETE, &path, json!({})).await.0, 202);
    assert_eq!(looked_at().await, [1, 1]);
    shop.service.work_off().await;
    assert_eq!(looked_at().await, [4, 0]);
}

/// A customer whose facts are many more than a transaction holds, with an account of as many redemptions, in turns of one step.
#[tokio::test]
async fn a_large_customer_is_erased_in_as_many_turns_as_it_takes() {
    let shop = Shop::open(json!({"supersede": "none"})).await;
    let told: Vec<Value> = (0..150)
        .flat_map(|n| event_of_ann(&format!("E email sent,opened x 16T10:00 message_id={n}")))
        .collect();
    shop.service.feed("m", "events", &told, 1_000).await;
    let orders: Vec<Value> = (0..60)
        .map(|n| of_ann(&format!("o{n} x COMPLETE 1.00 USD 16T11:00")))
        .collect();
    shop.service.feed("m", "orders", &orders, 1_000).await;
    shop.put("promotions/gift", json!({"name": "Gift"})).await;
    let redeemed: Vec<Value> = (0..250)
        .map(|n| json!({"redemption_id": format!("r{n}"), "promotion_id": "gift", "customer_id": ANN, "redeemed_at": NOW}))
        .collect();
    shop.put(
        "promotions/gift",
        json!({"name": "Gift", "tracking_from": "2026-11-01T00:00:00Z"}),
    )
    .await;
    shop.service
        .feed("m", "redemptions", &redeemed, 1_000)
        .await;
    shop.run().await;
    let figures = async || {
        let mut shown = json!([
            shop.figures().await,
            shop.get("promotions/gift/dashboard").await
        ]);
        strip(
            &mut shown,
            &[
                "customer_id",
                "email",
                "phone",
                "first_name",
                "last_name",
                "next_cursor",
                "as_of",
            ],
        );
        shown
    };
    let before = figures().await;
    let (_, asked) = shop
        .call(
            Method::DELETE,
            &format!("customers/{}", segment(ANN)),
            json!({}),
        )
        .await;
    let mut messages = shop.service.enqueued();
    let mut turns = 0;
    let ms = std::sync::atomic::AtomicI64::new(Instant::parse(NOW).unwrap().ms());
    let clock = || Instant::from_ms(ms.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
    while let Some(message) = messages.pop() {
        let stop_at = clock().plus_ms(8);
        messages.extend(
            shop.service
                .attributor()
                .handle(&message, &clock, stop_at)
                .await
                .unwrap(),
        );
        turns += 1;
    }
    assert!(turns > 5, "{turns}");
    let erasure = shop
        .get(&format!(
            "erasures/{}",
            asked["erasure_id"].as_str().unwrap()
        ))
        .await;
    assert_part(
        "large",
        &erasure,
        &json!({"state": "done", "facts": 300 + 60 + 250}),
    );
    assert_eq!(shop.named(), Vec::<String>::new());
    shop.run().await;
    assert_eq!(figures().await, before);
    shop.verified().await;
    // A rollback finds the account.
    let (status, _) = shop
        .call(
            Method::POST,
            "redemptions/r0/rollback",
            json!({"rollback_id": "b"}),
        )
        .await;
    assert_eq!(status, 200);
    let dashboard = shop.get("promotions/gift/dashboard").await;
    let results = &dashboard["breakdown"]["result"];
    assert!(
        results
            .to_string()
            .contains(r#""key":"success","redemptions":249"#),
        "{results}"
    );
}

/// A row that was rejected names them, and so does the list of those who cannot be folded.
#[tokio::test]
async fn rejected_rows_and_parked_customers_name_nobody_who_was_erased() {
    let line = FaultClient::new();
    let shop = Shop::over(&line).await;
    let now = shop.service.now();
    shop.put("promotions/p", json!({"name": "P"})).await;
    let root = Root::new();
    let text = format!(
        "redemption_id,promotion_id,customer_id,redeemed_at\nr1,p,{ANN},soon\nr2,p,bob,soon\nr3,p,bob\nr4,p,\"{ANN}\",late\n"
    );
    let file = root.put("a.csv", text.as_bytes());
    let etag = root.folder().etag(&file.key).unwrap();
    let worker = batches(&shop.service.store, &root, SMALL);
    worker
        .work(&file, &etag, &|| now, Instant::MAX)
        .await
        .unwrap();
    let market = shop.service.store.market(shop_id(), shop.service.retention);
    let recipient = CustomerId::new(ANN).unwrap().into();
    let parked = Parked {
        recipient,
        at: now,
        reason: ParkedFor::NotStorable,
    };
    market.parked().park(&parked).await.unwrap();
    let named = || scan::holding(&line.database, &[ANN]);
    assert_eq!(named().len(), 3, "{:#?}", named());
    // The table names nobody any more; the results beside the file do, until whoever has the files writes them again.
    assert!(root.result(&file, "rejected.csv").contains(ANN));
    let erasure = shop.erase(ANN).await;
    assert_eq!((named(), &erasure["state"]), (vec![], &json!("running")));
    worker.write_outdated(shop_id(), now).await.unwrap();
    let written = root.result(&file, "rejected.csv");
    assert!(
        !written.contains(ANN) && written.contains("2,bad_time,,\n") && written.contains("bob"),
        "{written}"
    );
    let path = format!("erasures/{}", erasure["erasure_id"].as_str().unwrap());
    assert_eq!(shop.get(&path).await["state"], "done");
    let rows = scan::holding(&line.database, &["bob"]);
    assert!(
        rows.len() == 1 && rows[0].contains("2,bad_time,,") && rows[0].contains("3,bad_time"),
        "{rows:#?}"
    );
}

fn shop_id() -> &'static revtrail_core::value::id::MarketplaceId {
    static ID: std::sync::LazyLock<revtrail_core::value::id::MarketplaceId> =
        std::sync::LazyLock::new(|| revtrail_core::value::id::MarketplaceId::new("m").unwrap());
    &ID
}
