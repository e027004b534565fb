//! Posts of senders over HTTP: who may send, what is refused, and what the figures are, posted once, twice and in any order.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::fixtures::Shop;
use crate::support::service::ADMIN;

impl Shop {
    /// The status and the answer to a post of a sender, or of a shop to the interface of Yespo.
    pub async fn posted(&self, sender: &str, body: &Value) -> (u16, Value) {
        let path = match sender.starts_with("compat/") {
            true => format!("{sender}?key={ADMIN}"),
            false => format!("webhooks/{sender}?key={ADMIN}"),
        };
        self.sent(
            &path,
            &[("content-type", "application/json")],
            &body.to_string(),
        )
        .await
    }

    async fn sent(&self, rest: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let path = self.path(rest);
        let (status, _, answer) = self
            .service
            .send(Method::POST, &path, headers, body.into())
            .await;
        (
            status.as_u16(),
            serde_json::from_slice(&answer).unwrap_or_default(),
        )
    }
}

fn mapped() -> Value {
    json!({ "currency": "USD", "providers": {
        "sendgrid": { "campaign_id": "metadata.campaign", "customer_id": "metadata.customer" },
        "voucherify": { "campaign_id": "data.campaign.name" },
    } })
}

fn sendgrid(kind: &str, customer: &str, at: i64) -> Value {
    json!({ "email": "ann@example.com", "timestamp": at, "event": kind, "sg_event_id": format!("{kind}{at}{customer}"),
        "campaign": "spring", "customer": customer, "smtp-id": format!("<{customer}>") })
}

fn shopify(id: u64, customer: u64, updated_at: &str, refunded: &str) -> Value {
    json!({ "id": id, "customer": { "id": customer }, "email": "ann@example.com", "created_at": "2026-11-20T06:00:00-05:00",
        "updated_at": updated_at, "total_price": "100.00", "currency": "USD", "financial_status": "paid",
        "refunds": [{ "transactions": [{ "kind": "refund", "status": "success", "amount": refunded }] }] })
}

/// Noon of the fixtures' Friday, less two hours, in seconds of the epoch.
const TEN: i64 = 1_795_168_800;

#[tokio::test]
async fn a_key_is_taken_wherever_a_sender_can_put_it() {
    let shop = Shop::open(json!({})).await;
    let ingest = shop.key("ingest").await;
    let analyst = shop.key("analyst").await;
    let basic = |key: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("anybody:{key}")));
    let bearer = |key: &str| format!("Bearer {key}");
    let mut refused: Option<Value> = None;
    for (rest, authorization, expected) in [
        ("webhooks/postmark".to_owned(), None, 401),
        (format!("webhooks/postmark?key={ingest}"), None, 200),
        ("webhooks/postmark".to_owned(), Some(basic(&ingest)), 200),
        ("webhooks/postmark".to_owned(), Some(bearer(&ingest)), 200),
        ("webhooks/postmark".to_owned(), Some(basic("nobody's")), 401),
        (
            format!("webhooks/postmark?key={ingest}"),
            Some(bearer(&ingest)),
            401,
        ),
        (format!("webhooks/postmark?key={analyst}"), None, 403),
        (format!("webhooks/nobody?key={ingest}"), None, 404),
        (format!("compat/yespo/event?key={ingest}"), None, 200),
        ("compat/yespo/orders".to_owned(), None, 401),
    ] {
        let headers: Vec<(&str, &str)> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let path = shop.path(&rest);
        let answer = shop
            .service
            .answer(Method::POST, &path, &headers, b"{}".to_vec())
            .await;
        assert_eq!(
            answer.status().as_u16(),
            expected,
            "{rest} {authorization:?}"
        );
        // One body for all causes.
        if expected == 401 {
            let told: Value = serde_json::from_slice(answer.body()).unwrap();
            let detail = told["detail"].as_str().unwrap();
            assert!(detail.contains("of two in one call, none counts"), "{told}");
            assert_eq!(refused.get_or_insert_with(|| told.clone()), &told);
        }
        let asks = answer
            .headers()
            .get("www-authenticate")
            .map(|value| value.to_str().unwrap());
        let basic = (expected == 401).then_some("Basic realm=\"revtrail\"");
        assert_eq!(asks, basic, "{rest}");
    }
    for (method, rest) in [
        (Method::GET, "webhooks/yespo"),
        (Method::HEAD, "webhooks/unisender_go"),
        (Method::GET, "webhooks/woocommerce?key=whatever"),
    ] {
        let (status, _, body) = shop
            .service
            .send(method, &shop.path(rest), &[], Vec::new())
            .await;
        assert_eq!((status, body.len()), (StatusCode::NO_CONTENT, 0), "{rest}");
    }
}

#[tokio::test]
async fn nothing_of_a_refused_post_is_stored() {
    let shop = Shop::open(mapped()).await;
    let before = shop.figures().await;
    let event = json!([sendgrid("open", "7", TEN)]).to_string();
    let json = ("content-type", "application/json");
    for (rest, body, expected) in [
        ("webhooks/sendgrid", "[{".to_owned(), 400),
        ("webhooks/sendgrid", "[".repeat(100_000), 400),
        (
            "webhooks/sendgrid",
            format!("{event}{}", " ".repeat(4 << 20)),
            413,
        ),
        ("webhooks/nobody", event.clone(), 404),
        ("webhooks/shopify", "[".to_owned(), 400),
    ] {
        let told = shop
            .sent(&format!("{rest}?key={ADMIN}"), &[json], &body)
            .await;
        assert_eq!(told.0, expected, "{rest}: {}", told.1);
    }
    let keyed = json!({ "providers": {
        "sendgrid": { "campaign_id": "metadata.campaign", "customer_id": "metadata.customer", "verification_key": "AAAA" },
        "shopify": { "verification_key": "s" },
    } });
    let (status, told) = shop.call(Method::PATCH, "settings", keyed).await;
    assert_eq!(status, 200, "{told}");
    let order = shopify(1, 7, "2026-11-20T06:00:00-05:00", "0").to_string();
    for (rest, body) in [("webhooks/sendgrid", &event), ("webhooks/shopify", &order)] {
        let told = shop
            .sent(
                &format!("{rest}?key={ADMIN}"),
                &[json, ("x-shopify-hmac-sha256", "AAAA")],
                body,
            )
            .await;
        assert_eq!(told.0, 403, "{rest}: {}", told.1);
    }
    shop.run().await;
    assert_eq!(shop.figures().await, before);
}

/// The two resources of a shop's own interface: orders in a list, and an event whose parameters are an order. One id is one order.
#[tokio::test]
async fn r025_orders_arrive_by_two_resources_and_the_same_id_is_one_order() {
    let orders = json!({ "orders": [{ "externalOrderId": "7", "externalCustomerId": "ann", "totalCost": 258.5,
        "status": "INITIALIZED", "date": "2026-11-20T10:11:00", "currency": "USD" }] });
    let event = |status: &str| {
        let params = json!({ "externalOrderId": "7", "externalCustomerId": "ann", "totalCost": "258.50",
            "status": status, "date": "2026-11-20T10:11:00", "currency": "USD" });
        let params = params.as_object().unwrap().iter();
        let params: Vec<Value> = params
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        json!({ "eventTypeKey": "orderUpdated", "keyValue": "ann", "params": params })
    };
    for (posts, status) in [
        (
            [("orders", orders.clone()), ("event", event("DELIVERED"))],
            "DELIVERED",
        ),
        (
            [("event", event("DELIVERED")), ("orders", orders)],
            "DELIVERED",
        ),
    ] {
        let shop = Shop::open(json!({ "currency": "USD" })).await;
        for (resource, body) in posts {
            let path = format!("compat/yespo/{resource}?key={ADMIN}");
            let json = [("content-type", "application/json")];
            let (got, told) = shop.sent(&path, &json, &body.to_string()).await;
            assert_eq!((got, &told["rejected"]), (200, &json!([])), "{told}");
        }
        let order = shop.get("orders/7").await;
        assert_eq!(
            (&order["status"], &order["total"], &order["customer_id"]),
            (&json!(status), &json!("258.50"), &json!("ann")),
            "{order}"
        );
        let listed = shop.get("orders").await;
        assert_eq!(listed["orders"].as_array().unwrap().len(), 1, "{listed}");
    }
}

#[tokio::test]
async fn a_marketers_two_tools_give_true_figures_in_any_order() {
    let mail = json!([
        sendgrid("processed", "7", TEN),
        sendgrid("delivered", "7", TEN),
        sendgrid("open", "7", TEN + 60),
        sendgrid("open", "8", TEN)
    ]);
    let posts = [
        ("sendgrid", mail),
        ("shopify", shopify(1, 7, "2026-11-20T06:00:00-05:00", "0")),
        (
            "shopify",
            shopify(1, 7, "2026-11-20T06:30:00-05:00", "20.00"),
        ),
    ];
    let mut seen: Option<Value> = None;
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let shop = Shop::open(mapped()).await;
        for twice in 0..2 {
            for place in order {
                let (sender, body) = &posts[place];
                let (status, told) = shop.posted(sender, body).await;
                assert_eq!(status, 200, "{told}");
                if *sender == "sendgrid" {
                    let expected = if twice == 0 { (3, 0) } else { (0, 3) };
                    assert_eq!(
                        (&told["accepted"], &told["duplicates"]),
                        (&json!(expected.0), &json!(expected.1)),
                        "{told}"
                    );
                    assert_eq!(told["ignored"], json!({ "processed": 1 }));
                }
            }
        }
        shop.run().await;
        let row = shop.row("spring").await;
        assert_eq!(
            (&row["purchases"], &row["revenue"]),
            (&json!(1), &json!({ "USD": "100.00" })),
            "{row}"
        );
        assert_eq!(
            (&row["deliveries"], &row["unique_opens"], &row["refunded"]),
            (&json!(1), &json!(2), &json!({ "USD": "20.00" })),
            "{row}"
        );
        let reconciled = shop.get("reports/reconciliation").await;
        assert_eq!(
            reconciled["ignored"],
            json!({ "sendgrid": { "processed": 2 } })
        );
        assert_eq!(
            reconciled["events"],
            json!({ "received": 6, "stored": 3, "duplicates": 3, "rejected": 0, "by_address": 0, "by_address_named": 0, "by_address_unnamed": 0 })
        );
        let figures = shop.figures().await["campaigns"].clone();
        assert_eq!(seen.get_or_insert_with(|| figures.clone()), &figures);
    }
}

#[tokio::test]
async fn where_no_customer_is_mapped_the_address_is_whom_an_event_went_to() {
    let shop =
        Shop::open(json!({ "providers": { "sendgrid": { "campaign_id": "metadata.campaign" } } }))
            .await;
    let mut nobody = sendgrid("open", "8", TEN);
    nobody["email"] = json!("");
    let (status, told) = shop
        .posted("sendgrid", &json!([sendgrid("open", "7", TEN), nobody]))
        .await;
    assert_eq!(
        (status, &told["accepted"], &told["rejected"][0]["code"]),
        (200, &json!(1), &json!("missing")),
        "{told}"
    );
    // The order names the customer and the address.
    let order = shopify(1, 7, "2026-11-20T06:00:00-05:00", "0");
    let (status, told) = shop.posted("shopify", &order).await;
    assert_eq!((status, &told["accepted"]), (200, &json!(1)), "{told}");
    shop.run().await;
    let row = shop.row("spring").await;
    assert_eq!(row["revenue"], json!({ "USD": "100.00" }), "{row}");
    let reconciled = shop.get("reports/reconciliation").await;
    assert_eq!(
        reconciled["events"],
        json!({ "received": 2, "stored": 1, "duplicates": 0, "rejected": 1, "by_address": 1, "by_address_named": 1, "by_address_unnamed": 0 })
    );
}

#[tokio::test]
async fn ten_thousand_events_in_one_post_are_taken_and_an_answer_is_bounded() {
    let shop = Shop::open(mapped()).await;
    let events: Vec<Value> = (0..10_000).map(|n| json!({ "event": "open", "timestamp": TEN, "sg_event_id": n.to_string(), "campaign": "spring", "customer": (n % 50).to_string() })).collect();
    let (status, told) = shop.posted("sendgrid", &json!(events)).await;
    assert_eq!((status, &told["accepted"]), (200, &json!(10_000)));
    let old: Vec<Value> = (0..3_000).map(|n| json!({ "event": "open", "timestamp": 1, "sg_event_id": n.to_string(), "campaign": "spring", "customer": "c" })).collect();
    let (status, told) = shop.posted("sendgrid", &json!(old)).await;
    assert_eq!((status, &told["rejected_total"]), (200, &json!(3_000)));
    assert_eq!(told["rejected"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn a_token_proves_one_post() {
    let key = json!({ "campaign_id": "tags.0", "customer_id": "metadata.customer", "verification_key": "mg-secret" });
    let shop = Shop::open(json!({ "providers": { "mailgun": key } })).await;
    // HMAC of the time and the token, made by another program; the shop's clock shows this time.
    let signature = json!({ "timestamp": "1795176000", "token": "t-1",
        "signature": "09c7d264d514c52375b0f5fa9a9d5dd8729ed41620812e5f70692ec409827e2f" });
    let post = |customer: &str| {
        json!({ "signature": signature, "event-data": { "event": "opened", "id": "e1", "timestamp": 1_795_176_000, "tags": ["spring"],
            "recipient": "ann@example.com", "user-variables": { "customer": customer } } })
    };
    for (customer, expected) in [("7", 200), ("8", 403), ("7", 200)] {
        let (status, told) = shop.posted("mailgun", &post(customer)).await;
        assert_eq!(status, expected, "{customer}: {told}");
    }
}

fn voucherify(kind: &str, more: Value) -> Value {
    let mut body = json!({ "type": kind, "data": {
        "campaign": { "id": "camp_1", "name": "p" }, "customer": { "id": "cust_1", "source_id": "7" }, "voucher": { "code": "SAVE10" },
        "redemption": { "id": "r_1", "date": "2026-11-20T10:00:00Z", "order": { "source_id": "1", "total_applied_discount_amount": 1050 } } } });
    for (field, value) in more.as_object().unwrap() {
        body["data"][field] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_rollback_before_or_behind_its_redemption_takes_it_back_once() {
    let redeemed = voucherify("redemption.succeeded", json!({}));
    let back = json!({ "redemption_rollback": { "id": "rr_1", "redemption": "r_1", "reason": "returned" } });
    let back = voucherify("redemption.rollback.succeeded", back);
    for order in [[&redeemed, &back], [&back, &redeemed]] {
        let shop = Shop::open(mapped()).await;
        shop.put(
            "promotions/p",
            json!({ "name": "p", "tracking_from": "2026-11-01T00:00:00Z" }),
        )
        .await;
        for body in order.into_iter().chain(order) {
            let (status, told) = shop.posted("voucherify", body).await;
            assert_eq!((status, &told["rejected"]), (200, &json!([])), "{told}");
        }
        let listed = shop.get("promotions/p/redemptions").await;
        let items = listed["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{listed}");
        assert_eq!(
            (
                &items[0]["redemption_id"],
                &items[0]["customer_id"],
                &items[0]["rolled_back_at"].is_null()
            ),
            (&json!("r_1"), &json!("7"), &false),
            "{listed}"
        );
    }
}

#[tokio::test]
async fn redemptions_of_senders_that_are_rejected_are_told_by_code() {
    let shop = Shop::open(mapped()).await;
    let promotion = json!({ "name": "p", "tracking_from": "2026-11-01T00:00:00Z" });
    shop.put("promotions/p", promotion).await;
    let with = |id: &str, date: &str| {
        voucherify(
            "redemption.succeeded",
            json!({ "redemption": { "id": id, "date": date } }),
        )
    };
    for (body, code) in [
        (with("r_1", "2026-11-20T10:00:00Z"), None),
        (with("r_1", "2026-11-20T11:00:00Z"), Some("conflict")),
        (with("r_2", "soon"), Some("bad_time")),
        (with("r_3", "2026-10-20T11:00:00Z"), Some("before_tracking")),
    ] {
        let (status, told) = shop.posted("voucherify", &body).await;
        let said = told["rejected"][0]["code"].as_str();
        assert_eq!((status, said), (200, code), "{told}");
    }
    let told = shop.get("reports/reconciliation").await;
    let codes = json!({ "conflict": 1, "bad_time": 1, "before_tracking": 1 });
    assert_eq!(told["rejections"]["redemptions"], codes, "{told}");
    assert_eq!(told["redemptions"]["rejected"], json!(3), "{told}");
}

#[tokio::test]
async fn secrets_are_saved_and_not_shown() {
    let shop = Shop::open(json!({})).await;
    let set = json!({ "providers": { "shopify": { "verification_key": "first-secret" } } });
    let (_, told) = shop.call(Method::PATCH, "settings", set).await;
    assert_eq!(
        told["settings"]["providers"]["shopify"]["verification_key"],
        json!("(hidden)")
    );
    let mut shown = shop.get("settings").await["settings"].clone();
    assert_eq!(
        shown["providers"]["shopify"]["verification_key"],
        json!("(hidden)")
    );
    // What was shown, sent back, is what is stored, so there is no new version.
    let (status, same) = shop.call(Method::PUT, "settings", shown.clone()).await;
    assert_eq!(
        (status, &same["version"], &same["changed"]),
        (200, &told["version"], &json!([]))
    );
    shown["providers"]["shopify"]["verification_key"] = json!("second-secret");
    let (_, other) = shop.call(Method::PUT, "settings", shown.clone()).await;
    let changed = json!([{ "field": "providers.shopify.verification_key", "before": "(hidden)", "after": "(hidden, new)" }]);
    assert_eq!(other["changed"], changed);
    shown["providers"]["woocommerce"] = json!({ "verification_key": "(hidden)" });
    let (status, told) = shop.call(Method::PUT, "settings", shown).await;
    assert_eq!(
        (status, &told["errors"][0]["field"]),
        (422, &json!("providers.woocommerce.verification_key"))
    );
    let all = [
        shop.get("settings").await,
        shop.get("settings/versions").await,
        other,
    ]
    .map(|told| told.to_string())
    .concat();
    assert!(!all.contains("-secret"), "{all}");
}
