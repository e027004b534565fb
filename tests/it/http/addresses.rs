//! Messages to addresses over HTTP (rule 3.5): a mail tool names an e-mail address, a shop names a customer, and the two meet in the
//! orders that name the address.

use http::Method;
use serde_json::{Value, json};

use crate::http::erasure::{ANN, of_ann};
use crate::support::fixtures::{Shop, assert_part, segment, with};
use crate::support::scan;

impl Shop {
    async fn verify(&self) {
        let run = self
            .service
            .run_with(self.id, &json!({"verify": "all"}))
            .await;
        assert_part("verified", &run["verify"], &json!({"differences": 0}));
    }

    /// Who earned some orders: told before the next run, by the run, and by the verification.
    async fn earners(&self, orders: &[&str]) -> Vec<String> {
        let mut before = Vec::new();
        for order in orders {
            before.push(self.earner(order).await);
        }
        self.run().await;
        let mut after = Vec::new();
        for order in orders {
            after.push(self.earner(order).await);
            let told = self.get(&format!("orders/{order}/attribution")).await;
            assert_eq!(told["decided"], json!("run"), "{order}");
        }
        assert_eq!(before, after);
        self.verify().await;
        after
    }
}

/// What comes in, one after the other: lines of events and of orders.
type Steps = &'static [&'static str];
/// What a story shows, the settings, its steps, and who earns each order.
type Story = (
    &'static str,
    Value,
    Steps,
    &'static [(&'static str, &'static str)],
);

/// What the steps of a story make of its orders, whatever order they come in and however often runs come between.
#[tokio::test]
async fn an_order_is_earned_by_messages_to_its_customer_and_its_addresses() {
    let stories: [Story; 8] = [
        (
            "an address is compared without blanks and in lower case",
            json!({}),
            &[
                "A email sent,opened to:Ann@Example.com 17T10:00",
                "o c READY 1 EUR 17T11:00 email=ann@example.com",
            ],
            &[("o", "A")],
        ),
        (
            "a phone is its digits",
            json!({}),
            &[
                "A sms sent,delivered to:+380-94-258 17T10:00",
                "o c READY 1 EUR 17T11:00 phone=38094258",
            ],
            &[("o", "A")],
        ),
        (
            "nobody owns an address",
            json!({}),
            &[
                "A email sent,opened to:ann@x.org 17T10:00",
                "o c READY 1 EUR 17T11:00 email=ann@x.org",
                "p d READY 1 EUR 17T11:00 email=ann@x.org",
                "q d READY 1 EUR 17T11:00 email=bob@x.org",
            ],
            &[("o", "A"), ("p", "A"), ("q", "nobody no_candidate")],
        ),
        (
            "the standing copy names the addresses",
            json!({"supersede": "none"}),
            &[
                "A email sent,opened to:ann@x.org 17T10:00",
                "B email sent,opened to:bob@x.org 16T10:00",
                "o c READY 1 EUR 17T11:00 email=ann@x.org updated_at=17T11:00",
                "o c READY 1 EUR 17T11:00 email=bob@x.org updated_at=17T12:00",
            ],
            &[("o", "B")],
        ),
        (
            "the union is what last_sent compares",
            json!({"supersede": "none"}),
            &[
                "A email sent,opened c 17T09:00",
                "B email sent,opened to:ann@x.org 17T10:00",
                "C sms sent,delivered to:+3809425 16T10:00",
                "o c READY 1 EUR 17T11:00 email=ann@x.org phone=3809425",
            ],
            &[("o", "B")],
        ),
        (
            "supersede: customer reads the union too",
            json!({"supersede": "customer"}),
            &[
                "A email sent,opened c 17T09:00",
                "B email sent to:ann@x.org 17T10:00",
                "o c READY 1 EUR 17T11:00 email=ann@x.org",
                "p c READY 1 EUR 17T11:00",
            ],
            &[("o", "nobody no_candidate"), ("p", "A")],
        ),
        (
            "an event with a customer is the customer's, whatever its email says",
            json!({}),
            &[
                "A email sent,opened d 17T10:00 email=ann@x.org",
                "o c READY 1 EUR 17T11:00 email=ann@x.org",
                "p d READY 1 EUR 17T11:00",
            ],
            &[("o", "nobody no_candidate"), ("p", "A")],
        ),
        (
            "an address that is an order's e-mail is not another's customer",
            json!({}),
            &[
                "A email sent,opened to:ann@x.org 17T10:00",
                "o ann@x.org READY 1 EUR 17T11:00",
            ],
            &[("o", "nobody no_candidate")],
        ),
    ];
    for (story, settings, steps, expected) in stories {
        let mut seen: Option<Value> = None;
        for play in 0..4 {
            let shop = Shop::open(settings.clone()).await;
            let mut steps = steps.to_vec();
            if play % 2 == 1 {
                steps.reverse();
            }
            for step in steps {
                let words: Vec<&str> = step.split(' ').collect();
                match words[1] {
                    "email" | "sms" => shop.events(&[step]).await,
                    _ => shop.orders(&[step]).await,
                }
                if play > 1 {
                    shop.run().await;
                }
            }
            let orders: Vec<&str> = expected.iter().map(|(order, _)| *order).collect();
            let earners = shop.earners(&orders).await;
            let told: Vec<&str> = expected.iter().map(|(_, earner)| *earner).collect();
            assert_eq!(earners, told, "{story}, play {play}");
            let mut figures = shop.figures().await;
            figures["reconciliation"]["orders"] = Value::Null;
            assert_eq!(
                seen.get_or_insert_with(|| figures.clone()),
                &figures,
                "{story}, play {play}"
            );
        }
    }
}

#[tokio::test]
async fn engagement_counts_once_and_the_reconciliation_says_where_it_went() {
    let shop = Shop::open(json!({})).await;
    shop.events(&[
        "A email sent,delivered,opened to:ann@x.org 17T10:00",
        "A email sent,delivered to:bob@x.org 17T10:00",
    ])
    .await;
    shop.run().await;
    let events = async || shop.get("reports/reconciliation").await["events"].clone();
    let part = |named: i64| json!({"received": 5, "stored": 5, "by_address": 5, "by_address_named": named});
    assert_part("nobody names it", &events().await, &part(0));
    // The order says whose the address may be, and folds it again.
    shop.orders(&[
        "o c READY 10 EUR 17T11:00 email=ann@x.org",
        "p d READY 10 EUR 17T12:00 email=ANN@x.org",
    ])
    .await;
    shop.run().await;
    assert_part("two orders name it", &events().await, &part(3));
    let row = json!({"deliveries": 2, "opens": 1, "unique_opens": 1, "purchases": 2, "purchasers": 2, "revenue": {"EUR": "20.00"}});
    assert_part("A", &shop.row("A").await, &row);
    let card = shop.get("customers/c").await;
    let message = json!({"campaign_id": "A", "by_address": true});
    assert_part("card", &card["messages"][0], &message);
    assert_eq!(card["messages"].as_array().unwrap().len(), 1);
    shop.verify().await;
    // An event by address waits like a customer, and shows at once in single orders and their lists.
    shop.events(&["B email sent,clicked to:ann@x.org 17T10:30"])
        .await;
    assert_eq!(shop.get("reports/campaigns").await["pending"], json!(1));
    assert_eq!(shop.earner("p").await, "B");
    let listed = shop.get("orders").await;
    let credited = |row: &Value| row["credited_to"]["campaign_id"].clone();
    let listed: Vec<Value> = listed["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(credited)
        .collect();
    assert_eq!(listed, [json!("B"), json!("B")]);
    let tried = json!({"settings": {"channels": {}}, "from": "2026-11-17", "to": "2026-11-18"});
    let (_, told) = shop.call(Method::POST, "what-if", tried).await;
    assert_part("what-if", &told, &json!({"orders": 2, "moved_total": 2}));
    shop.run().await;
    assert_eq!(shop.purchases("B").await, ["p 10.00", "o 10.00"]);
}

/// A plan folds the first customers of an address, and a job of its own the rest.
#[tokio::test]
async fn a_call_centre_is_folded_whole() {
    let shop = Shop::open(json!({})).await;
    let orders: Vec<String> = (0..250)
        .map(|n| format!("o{n} c{n} READY 1 EUR 17T11:00 email=calls@x.org"))
        .collect();
    shop.orders(&orders.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    shop.run().await;
    shop.events(&["A email sent,opened to:calls@x.org 17T10:00"])
        .await;
    shop.run().await;
    assert_part(
        "A",
        &shop.row("A").await,
        &json!({"purchases": 250, "purchasers": 250}),
    );
    shop.verify().await;
}

#[tokio::test]
async fn a_code_in_a_message_to_an_address_is_a_distribution_without_a_customer() {
    let shop = Shop::open(json!({})).await;
    shop.put("promotions/p", json!({"name": "p"})).await;
    shop.events(&["A email sent,delivered to:ann@x.org 17T10:00 promotion_id=p voucher_code=SAVE message_id=m"])
        .await;
    let listed = shop.get("promotions/p/distributions").await;
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{listed}");
    assert_part(
        "message",
        &items[0],
        &json!({"customer_id": null, "state": "delivered", "voucher_code": "SAVE"}),
    );
    assert_eq!(items[0]["address"].as_str().unwrap().len(), 32);
}

/// Whoever is erased keeps what was earned, by messages to their addresses too, and nobody is named.
#[tokio::test]
async fn an_erasure_leaves_no_link_and_every_credit() {
    let shop = Shop::open(json!({"supersede": "none"})).await;
    shop.events(&["A email sent,opened to:ann@example.com 16T10:00"])
        .await;
    let copies = [
        with(
            of_ann("o x READY 10 EUR 16T11:00 updated_at=16T11:00"),
            &json!({"email": "old@x.org"}),
        ),
        of_ann("o x READY 10 EUR 16T11:00 updated_at=16T12:00"),
    ];
    shop.service.feed("m", "orders", &copies, 9).await;
    assert_eq!(shop.earners(&["o"]).await, ["A"]);
    let figures = shop.figures().await;
    let erase = async || {
        let path = format!("customers/{}", segment(ANN));
        let (status, told) = shop.call(Method::DELETE, &path, json!({})).await;
        assert_eq!(status, 202, "{told}");
        shop.service.work_off().await;
    };
    erase().await;
    shop.run().await;
    let named = || scan::holding(shop.service.tripwire.database(), &[ANN, "ann@example.com"]);
    assert_eq!(named(), Vec::<String>::new());
    let campaigns = |figures: &Value| figures["campaigns"].clone();
    assert_eq!(campaigns(&shop.figures().await), campaigns(&figures));
    // A message that is reported late may still earn the order of the pseudonym, and a known copy changes nothing.
    shop.service.feed("m", "orders", &copies, 9).await;
    shop.events(&["B email sent,clicked to:ann@example.com 16T10:30"])
        .await;
    assert_eq!(shop.earners(&["o"]).await, ["B"]);
    assert_eq!(named(), Vec::<String>::new());
    // Whoever comes under the old id is a new customer, with a link of their own.
    let new = of_ann("n x READY 10 EUR 17T11:00");
    shop.service.feed("m", "orders", &[new], 9).await;
    shop.run().await;
    shop.events(&["C email sent,clicked to:ann@example.com 17T10:00"])
        .await;
    assert_eq!(shop.earners(&["n", "o"]).await, ["C", "B"]);
    erase().await;
    assert_eq!(shop.earners(&["n", "o"]).await, ["C", "B"]);
    assert_eq!(named(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_no_address_is_rejected() {
    let shop = Shop::open(json!({})).await;
    let event = |whom: Value| {
        let event = json!({"event_id": "e", "kind": "sent", "channel": "email", "campaign_id": "A", "occurred_at": "2026-11-17T10:00:00Z"});
        with(event, &whom)
    };
    for (whom, code, field) in [
        (json!({}), "missing", "customer_id"),
        (json!({"email": " "}), "bad_address", "email"),
        (json!({"phone": "12345"}), "bad_address", "phone"),
        (json!({"email": 7}), "wrong_type", "email"),
    ] {
        let (status, told) = shop.call(Method::POST, "events", event(whom)).await;
        assert_eq!(status, 422, "{told}");
        assert_part(
            "rejected",
            &told["rejected"][0],
            &json!({"code": code, "field": field}),
        );
    }
    // Two recipients may have an event of one id.
    for whom in [
        json!({"email": "a@x.org"}),
        json!({"email": "b@x.org"}),
        json!({"customer_id": "a@x.org"}),
    ] {
        let (status, told) = shop.call(Method::POST, "events", event(whom)).await;
        assert_eq!((status, &told["accepted"]), (202, &json!(1)), "{told}");
    }
    let (_, told) = shop
        .call(Method::POST, "events", event(json!({"email": "A@x.org"})))
        .await;
    assert_eq!(told["duplicates"], json!(1));
}
