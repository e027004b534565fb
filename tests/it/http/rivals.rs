//! What a campaign took from others and lost to them; and what else the API tells pages, so that no page computes it.

use http::Method;
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, at};

fn rows(told: &Value, of: &str) -> Vec<(String, Value, Value)> {
    let row = |row: &Value| {
        let id = row["campaign_id"].as_str().unwrap().to_owned();
        (id, row["orders"].clone(), row["revenue"].clone())
    };
    told[of].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test]
async fn orders_for_which_two_campaigns_had_a_message_are_with_both() {
    let shop = Shop::after(
        json!({ "supersede": "customer", "winner": "last_sent" }),
        &[
            "E email sent,opened c 16T10:00",
            "F email sent,opened c 16T10:30",
            "E email sent,opened d 16T10:00",
            "F push sent d 16T10:10",
            "E email sent,opened e 16T10:00",
            "G email sent,delivered e 16T10:30",
        ],
        &[
            // F is the later of two.
            "o1 c COMPLETE 10.00 USD 16T11:00",
            "o2 c COMPLETE 2.50 EUR 16T12:00",
            // It was placed before F, and nobody else had a message.
            "o3 c COMPLETE 5.00 USD 16T10:20",
            // It does not count.
            "o4 c CANCELLED 7.00 USD 16T11:10",
            // E is superseded by F, which earned nothing.
            "o5 d COMPLETE 3.00 USD 16T11:00",
            "o6 x COMPLETE 1.00 USD 16T11:00",
        ],
    )
    .await;
    let named = |id: &str, orders: i64, revenue: Value| (id.to_owned(), json!(orders), revenue);
    let both = json!({ "USD": "10.00", "EUR": "2.50" });
    for (path, taken, lost) in [
        ("E/rivals", vec![], vec![named("F", 2, both.clone())]),
        ("F/rivals", vec![named("E", 2, both.clone())], vec![]),
        (
            "F/rivals?channel=email",
            vec![named("E", 2, both.clone())],
            vec![],
        ),
        ("F/rivals?channel=push", vec![], vec![]),
        ("E/rivals?channel=sms", vec![], vec![]),
        ("E/rivals?from=2026-11-01&to=2026-11-02", vec![], vec![]),
        ("G/rivals", vec![], vec![]),
    ] {
        let told = shop.get(&format!("reports/campaigns/{path}")).await;
        assert_eq!(rows(&told, "taken_from"), taken, "{path}: {told}");
        assert_eq!(rows(&told, "lost_to"), lost, "{path}: {told}");
        assert_eq!(told["orders_more"], false, "{told}");
    }
    let told = shop.get("reports/campaigns/F/rivals").await;
    assert_eq!(
        (&told["orders"], &told["taken_from"][0]["name"]),
        (&json!(3), &json!("E")),
        "{told}"
    );
    // Where revenue is switched off, so is this.
    let off = json!({ "supersede": "customer", "enabled": false });
    shop.put("settings", off).await;
    let told = shop.get("reports/campaigns/F/rivals").await;
    assert_eq!(
        told["taken_from"],
        json!([{ "campaign_id": "E", "name": "E" }]),
        "{told}"
    );
}

#[tokio::test]
async fn a_dry_run_of_a_campaign_says_which_orders_are_decided_anew_and_changes_nothing() {
    let shop = Shop::after(
        json!({}),
        &["E email sent,opened c 16T10:00"],
        &[
            "o c COMPLETE 10.00 USD 16T11:00",
            "p c PENDING 1.00 USD 17T11:00",
        ],
    )
    .await;
    let before = shop.get("campaigns/E").await;
    for (body, told) in [
        (json!({ "name": "N" }), Value::Null),
        (json!({ "tags": ["a"] }), json!(2)),
        (json!({ "sent_at": at("15T10:00") }), json!(2)),
        (
            json!({ "sent_at": before["sent_at"], "triggered": false }),
            Value::Null,
        ),
    ] {
        let (status, got) = shop
            .call(Method::PATCH, "campaigns/E?dry_run=true", body.clone())
            .await;
        assert_eq!(
            (status, &got["redecided"]["orders_max"]),
            (200, &told),
            "{body}: {got}"
        );
        assert_eq!(shop.get("campaigns/E").await, before, "{body}");
    }
    let wrong = shop.call(
        Method::PATCH,
        "campaigns/E?dry_run=true",
        json!({ "nam": "N" }),
    );
    assert_eq!(wrong.await.0, 422);
    assert_eq!(
        shop.call(Method::PATCH, "campaigns/X?dry_run=true", json!({}))
            .await
            .0,
        404
    );
    assert_eq!(
        shop.call(Method::PUT, "campaigns/X?dry_run=true", json!({}))
            .await
            .0,
        200
    );
    assert_eq!(
        shop.call(Method::GET, "campaigns/X", Value::Null).await.0,
        404
    );
}

#[tokio::test]
async fn a_promotion_says_whether_it_runs() {
    let shop = Shop::open(json!({})).await;
    let redeem = |n: i64, id: &str| json!({"redemption_id": format!("{id}-{n}"), "promotion_id": id, "customer_id": "c", "reward_amount": "1.00", "currency": "EUR"});
    for (id, limits, uses, state) in [
        ("free", json!({}), 1, "running"),
        (
            "later",
            json!({ "starts_at": at("30T10:00") }),
            0,
            "planned",
        ),
        (
            "over",
            json!({ "ends_at": at("01T10:00"), "cap": 1 }),
            1,
            "ended",
        ),
        ("capped", json!({ "cap": 2 }), 2, "used_up"),
        ("left", json!({ "cap": 2 }), 1, "running"),
        (
            "spent",
            json!({ "budget": { "amount": "2.00", "currency": "EUR" } }),
            2,
            "used_up",
        ),
        // A rate of 0.99995 is shown as 1.0000, and yet something is left.
        (
            "nearly",
            json!({ "budget": { "amount": "2.0001", "currency": "EUR" } }),
            2,
            "running",
        ),
        (
            "nothing",
            json!({ "budget": { "amount": "0", "currency": "EUR" } }),
            0,
            "used_up",
        ),
    ] {
        shop.put(&format!("promotions/{id}"), limits).await;
        for n in 0..uses {
            let (status, told) = shop.call(Method::POST, "redemptions", redeem(n, id)).await;
            assert_eq!(status, 202, "{told}");
        }
        let board = shop.get(&format!("promotions/{id}/dashboard")).await;
        let report = shop.get(&format!("reports/promotions?name={id}")).await;
        let row = &report["promotions"][0];
        assert_eq!(
            (&board["state"], &row["state"]),
            (&json!(state), &json!(state)),
            "{id}: {row}"
        );
        assert_eq!(row["starts_at"], board["promotion"]["starts_at"], "{id}");
        assert_eq!(row["ends_at"], board["promotion"]["ends_at"], "{id}");
    }
}

/// `If-None-Match: *` makes a thing and never replaces one.
#[tokio::test]
async fn who_means_a_new_thing_replaces_none() {
    let shop = Shop::open(json!({})).await;
    for path in ["campaigns/x", "promotions/x"] {
        let put = async |name: &str| {
            let headers = [
                ("authorization", "Bearer admin-key"),
                ("content-type", "application/json"),
                ("if-none-match", "*"),
            ];
            let body = json!({ "name": name }).to_string().into_bytes();
            let path = shop.path(path);
            let answer = shop.service.send(Method::PUT, &path, &headers, body);
            answer.await.0.as_u16()
        };
        assert_eq!(
            (put("first").await, put("second").await),
            (201, 412),
            "{path}"
        );
        assert_eq!(shop.get(path).await["name"], "first");
    }
}
