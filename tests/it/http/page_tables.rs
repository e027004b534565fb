//! What pages tell besides figures: tables as CSV, when keys were used, offers that a customer holds, rows of files that were rejected, and
//! times in the marketplace's zone.

use http::Method;
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, assert_part, order, with};
use crate::support::service::ADMIN;

async fn shop() -> Shop {
    let shop = Shop::after(
        json!({ "timezone": "America/New_York", "currency": "USD" }),
        &["E email sent,opened c 16T10:00"],
        &[
            "o c COMPLETE 10.00 USD 16T11:00",
            "p c PENDING 10.00 USD 16T12:00",
            "q c COMPLETE 10.00 EUR 16T13:00",
            "r c REFUNDED 10.00 USD 16T14:00",
        ],
    )
    .await;
    let promotion = json!({ "name": "P", "kind": "tiered", "type": "amount", "value": "3.00", "currency": "USD",
        "budget": { "amount": "10.00", "currency": "USD" }, "tracking_from": "2026-11-01T00:00:00Z" });
    shop.put("promotions/p", promotion).await;
    for (id, customer, tier, code) in [
        ("a-1", "c", "gold", json!(null)),
        ("a-2", "c", "gold", json!("CODE")),
        ("a-3", "d", "silver", json!(null)),
    ] {
        let one = json!({ "assignment_id": id, "promotion_id": "p", "customer_id": customer, "tier_id": tier, "voucher_code": code,
            "assigned_at": "2026-11-16T02:00:00Z" });
        assert_eq!(shop.call(Method::POST, "assignments", one).await.0, 202);
    }
    let used = json!({ "redemption_id": "r-1", "promotion_id": "p", "customer_id": "c", "assignment_id": "a-1", "reward_amount": "3.00",
        "currency": "USD", "redeemed_at": "2026-11-17T02:00:00Z" });
    assert_eq!(shop.call(Method::POST, "redemptions", used).await.0, 202);
    shop
}

#[tokio::test]
async fn tables_of_pages_are_had_as_csv_by_those_who_may_and_the_log_says_so() {
    let shop = shop().await;
    let [marketer, analyst, partner] = ["marketer", "analyst", "partner"];
    let cookies = [
        shop.sign_in(&shop.key(marketer).await).await,
        shop.sign_in(&shop.key(analyst).await).await,
        shop.sign_in(&shop.key(partner).await).await,
    ];
    for (page, table, statuses, starts) in [
        ("runs?", "runs", [200, 403, 403], "Started,State,Progress"),
        (
            "reconciliation?",
            "counted",
            [200, 403, 403],
            "Part,Records,Share\ncredited,1,1.0000\nuncredited,0,0.0000\ncounted,1,1.0000\n",
        ),
        (
            "customer?id=c&",
            "offers",
            [200, 403, 403],
            "Promotion,Offered,Used or not,Code,Tier,Segment\np,2026-11-16T02:00:00.000Z,",
        ),
        (
            "promotion?id=p&",
            "tiers",
            [200, 403, 200],
            "Part,Assigned,Redeemed,Rate\ngold,2,1,0.5000\nsilver,1,0,0.0000\n",
        ),
        (
            "promotions?",
            "quarantine",
            // Nothing is in it.
            [404, 403, 404],
            "",
        ),
        (
            "order?id=o&",
            "others",
            [200, 403, 403],
            "Settings,Earned by,Amount,Why,Against now\npreset redbox,E,10.00 USD,",
        ),
        (
            "settings?",
            "all-versions",
            [200, 403, 403],
            "Version,Saved,By,What it changed\n",
        ),
        (
            "campaign?id=E&",
            "days",
            [200, 403, 403],
            "Day,Delivered,Opens",
        ),
        ("orders?", "nothing", [404, 403, 403], ""),
        ("order?id=o&", "x", [404, 403, 403], ""),
        ("access?", "keys", [403, 403, 403], ""),
    ] {
        for (cookie, status) in cookies.iter().zip(statuses) {
            let got = shop
                .page(&format!("/app/m/{page}export={table}"), cookie)
                .await;
            assert_eq!(got.status, status, "{page} {table}: {}", got.body);
            assert!(
                status != 200 || got.body.starts_with(starts),
                "{page}: {}",
                got.body
            );
        }
    }
    let log = shop.get("access-log?limit=100").await;
    let taken = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["kind"] == "export");
    let mut taken: Vec<&str> = taken
        .filter_map(|one| one["on"]["table"].as_str())
        .collect();
    taken.sort_unstable();
    let expected = [
        "all-versions",
        "counted",
        "days",
        "offers",
        "others",
        "runs",
        "tiers",
        "tiers",
    ];
    assert_eq!(taken, expected);
    // What one may not have is not offered.
    for (cookie, may) in cookies.iter().zip([true, false]) {
        let body = shop.page("/app/m/runs", cookie).await.body;
        assert_eq!(body.contains("export=runs"), may, "{body}");
    }
    let path = "/app/m?export=campaigns";
    assert_eq!(shop.page(path, &cookies[0]).await.status, 422, "{path}");
}

#[tokio::test]
async fn a_key_tells_when_it_was_used_last_in_a_marketplace() {
    let shop = Shop::open(json!({})).await;
    let (_, made) = shop
        .call(
            Method::POST,
            "keys",
            json!({ "name": "x", "role": "analyst" }),
        )
        .await;
    let key = made["key"].as_str().unwrap();
    let used = async || {
        let keys = shop.get("keys").await;
        keys["keys"][0]["used_at"].clone()
    };
    assert_eq!(used().await, Value::Null);
    let first = shop.service.now();
    for (minutes, told) in [(0, 0), (59, 0), (60, 60), (61, 60)] {
        shop.service.set_now(first.plus_ms(60_000 * minutes));
        // A call that its role may not make is a use too.
        assert_eq!(shop.status_for(key, "keys").await, 403);
        assert_eq!(
            used().await,
            json!(first.plus_ms(60_000 * told)),
            "{minutes}"
        );
    }
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop.page("/app/m/access", &cookie).await.body;
    assert!(
        page.contains("Last used") && page.contains("13:00"),
        "{page}"
    );
}

#[tokio::test]
async fn a_card_tells_offers_and_whether_they_are_used() {
    let shop = shop().await;
    let card = shop.get("customers/c").await;
    let told = json!([
        { "promotion_id": "p", "assignment_id": "a-2", "voucher_code": "CODE", "tier_id": "gold", "result": "success", "redeemed": false },
        { "assignment_id": "a-1", "voucher_code": null, "redeemed": true },
    ]);
    for (place, one) in told.as_array().unwrap().iter().enumerate() {
        assert_part("offer", &card["offers"][place], one);
    }
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop.page("/app/m/customer?id=c", &cookie).await.body;
    assert!(
        page.contains("held, not used") && page.contains("<bdi>used</bdi>"),
        "{page}"
    );
    // Who was offered something is known, though they bought nothing.
    assert_eq!(
        shop.get("customers/d").await["offers"][0]["assignment_id"],
        "a-3"
    );
    let back = json!({ "rollback_id": "b-1", "reason": "x" });
    assert_eq!(
        shop.call(Method::POST, "redemptions/r-1/rollback", back)
            .await
            .0,
        200
    );
    let card = shop.get("customers/c").await;
    assert_eq!(card["offers"][1]["redeemed"], false, "{card}");
}

#[tokio::test]
async fn orders_say_why_they_do_not_count_and_a_budget_what_is_left() {
    let shop = shop().await;
    let orders = shop.get("orders").await;
    let told = |order: &Value| {
        format!(
            "{} {} {}",
            order["order_id"], order["counted"], order["not_counted"]
        )
    };
    let told: Vec<String> = orders["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(told)
        .collect();
    // A status that is not counted comes before a refund.
    let expected = [
        "\"r\" false \"status\"",
        "\"q\" false \"currency\"",
        "\"p\" false \"status\"",
        "\"o\" true null",
    ];
    assert_eq!(told, expected);
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop
        .page("/app/m/orders?status=PENDING", &cookie)
        .await
        .body;
    assert!(
        page.contains("not counted: its status") && page.contains("status: PENDING"),
        "{page}"
    );
    // A filter is taken off by its chip.
    assert!(
        page.contains("class=\"chip\" href=\"/app/m/orders\""),
        "{page}"
    );
    let board = shop.get("promotions/p/dashboard").await;
    assert_eq!(board["budget"]["spent"], "3.00");
    assert_eq!(board["budget_left"], "7.00");
    let page = shop.page("/app/m/promotion?id=p", &cookie).await.body;
    assert!(
        page.contains("3.00 USD of 10.00 USD, 7.00 USD left"),
        "{page}"
    );
    // Whoever may not read the settings sees times in the marketplace's zone all the same.
    let cookie = shop.sign_in(&shop.key("partner").await).await;
    let page = shop
        .page("/app/m/promotion?id=p&tab=redemptions", &cookie)
        .await
        .body;
    assert!(
        page.contains("Times in America/New_York") && page.contains("16 Nov, 21:00"),
        "{page}"
    );
}

#[tokio::test]
async fn nothing_that_waits_or_is_empty_leaves_its_reader_alone() {
    let shop = Shop::open(json!({})).await;
    let cookie = shop.sign_in(ADMIN).await;
    for (page, says) in [
        ("orders", "/v1/marketplaces/m/orders"),
        ("promotions", "/v1/marketplaces/m/redemptions"),
        ("runs", "/v1/marketplaces/m/runs"),
        ("", "<b>counted <data value=\"0\">0</data></b> = credited"),
    ] {
        let page = shop
            .page(format!("/app/m/{page}").trim_end_matches('/'), &cookie)
            .await
            .body;
        assert!(page.contains(says), "{says}: {page}");
    }
    assert_eq!(
        shop.call(
            Method::POST,
            "orders",
            order("x c COMPLETE 1.00 USD 16T11:00")
        )
        .await
        .0,
        202
    );
    let page = shop.page("/app/m/reconciliation", &cookie).await.body;
    assert!(
        page.contains("no run yet, 1 customer waits") && page.contains("it adds up"),
        "{page}"
    );
}

#[tokio::test]
async fn rejected_records_are_told_by_code_and_add_up() {
    let shop = Shop::open(json!({})).await;
    let bad = |id: &str, total: &str| {
        with(
            order(&format!("{id} c COMPLETE 1.00 USD 16T11:00")),
            &json!({ "total": total }),
        )
    };
    let orders = json!([bad("a", "1.00"), bad("b", "x"), bad("c", "-1"), { "order_id": "d" }]);
    assert_eq!(shop.call(Method::POST, "orders", orders).await.0, 202);
    // A copy that cannot be one of the known order, beside one that can.
    let moved = with(bad("a", "1.00"), &json!({ "currency": "EUR" }));
    assert_eq!(
        shop.call(Method::POST, "orders", json!([moved, bad("e", "2.00")]))
            .await
            .0,
        202
    );
    let event = |id: &str, at: &str| json!({ "event_id": id, "kind": "opened", "channel": "email", "campaign_id": "E", "customer_id": "c", "occurred_at": at });
    let events = json!([
        event("a", "2026-11-16T10:00:00Z"),
        event("b", "soon"),
        event("c", "2020-01-01T00:00:00Z")
    ]);
    assert_eq!(shop.call(Method::POST, "events", events).await.0, 202);
    // Nothing of a call that is refused as a whole is counted.
    assert_eq!(
        shop.call(Method::POST, "events", json!([event("d", "soon")]))
            .await
            .0,
        422
    );
    let promotion =
        json!({ "name": "P", "kind": "global", "tracking_from": "2026-11-01T00:00:00Z" });
    shop.put("promotions/p", promotion).await;
    let redeemed = |id: &str, at: &str| json!({ "redemption_id": id, "promotion_id": "p", "customer_id": "c", "redeemed_at": at });
    for redemptions in [
        json!([redeemed("a", "2026-11-16T10:00:00Z"), redeemed("b", "soon"), { "redemption_id": "c" }]),
        // The second says something else than the first of its id.
        json!([
            redeemed("a", "2026-11-16T11:00:00Z"),
            redeemed("d", "2026-11-16T10:00:00Z")
        ]),
    ] {
        assert_eq!(
            shop.call(Method::POST, "redemptions", redemptions).await.0,
            202
        );
    }
    shop.run().await;
    let report = shop.get("reports/reconciliation").await;
    let told = json!({
        "orders": { "bad_money": 2, "missing": 1, "immutable_field": 1 }, "events": { "bad_time": 1, "too_old": 1 },
        "redemptions": { "bad_time": 1, "missing": 1, "conflict": 1 },
    });
    assert_eq!(report["rejections"], told);
    for of in ["orders", "events", "redemptions"] {
        let codes = told[of].as_object().unwrap().values();
        let sum: i64 = codes.map(|n| n.as_i64().unwrap()).sum();
        assert_eq!(report[of]["rejected"], sum, "{report}");
    }
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop
        .page("/app/m/reconciliation?export=rejections", &cookie)
        .await
        .body;
    assert!(page.contains("orders,bad money,2\n"), "{page}");
}
