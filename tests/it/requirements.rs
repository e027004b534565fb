//! The requirements that HTTP can show, each in the few lines that fail without the feature; `rNNN` is `REQUIREMENTS.md`'s.
//! Calculations have their tables in `tests/golden`.

use http::Method;
use serde_json::{Value, json};

use crate::shop::{Shop, assert_part, at, earner, time, with};

const MAIL: &str = "E1 email sent,delivered c 16T10:00";
const OPEN: &str = "E1 email opened c 16T11:00";
const CLICK: &str = "E1 email clicked c 16T12:00";

/// The settings object of a preset.
fn preset(name: &str) -> Value {
    json!({ "preset": name, "currency": "USD" })
}

/// Rows of settings, events, an order, and who earns it.
async fn check_earners(rows: &[(Value, &[&str], &str, &str)]) {
    for (settings, events, order, who) in rows {
        assert_eq!(earner(settings, events, order).await, *who, "{settings} {events:?} {order}");
    }
}

/// SPEC 4's story: one customer, an order of 100.00 on Tuesday at 11:30; `p1` is who P1 went to.
fn story(p1: &str) -> Vec<String> {
    let lines = [
        MAIL,
        OPEN,
        CLICK,
        "E1 email clicked c 17T11:00",
        "S1 sms sent,delivered c 17T09:00",
        "X1 email sent c 17T09:30",
        "X1 email opened c 17T09:31",
    ];
    let mut lines: Vec<String> = lines.map(str::to_owned).to_vec();
    lines.push(format!("P1 push sent,delivered {p1} 17T10:00"));
    lines
}

#[tokio::test]
async fn the_story_of_spec_4_tells_the_settings_apart() {
    let customers = json!({ "supersede": "customer" });
    let excluding = json!({ "supersede": "customer", "excluded_tags": ["technical"] });
    let without_second_click = |lines: Vec<String>| lines.into_iter().filter(|line| !line.contains("clicked c 17")).collect();
    for (settings, status, lines, who) in [
        (json!({}), "COMPLETE", story("c"), "P1"),
        (json!({}), "COMPLETE", story("other"), "nobody no_candidate"),
        (customers, "COMPLETE", story("other"), "X1"),
        (excluding, "COMPLETE", story("other"), "S1"),
        (preset("yespo_v1"), "DELIVERED", story("c"), "P1"),
        (preset("yespo_v2"), "DELIVERED", story("c"), "E1"),
        (preset("yespo_v2"), "DELIVERED", without_second_click(story("c")), "P1"),
    ] {
        let shop = Shop::open(settings.clone()).await;
        shop.put("campaigns/X1", json!({ "tags": ["technical"] })).await;
        shop.events(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
        shop.orders(&[&format!("o c {status} 100.00 USD 17T11:30")]).await;
        let told = async || {
            let told = shop.get("orders/o/attribution").await;
            (shop.earner("o").await, told["decided"].clone(), told["amount"].clone())
        };
        assert_eq!(told().await, (who.to_owned(), json!("pending"), json!("100.00")), "{settings}");
        shop.run().await;
        assert_eq!(told().await, (who.to_owned(), json!("run"), json!("100.00")), "{settings}");
        for campaign in ["E1", "S1", "X1", "P1"] {
            let (bought, revenue) = if campaign == who { (vec!["o 100.00"], json!({ "USD": "100.00" })) } else { (vec![], json!({})) };
            assert_eq!(shop.purchases(campaign).await, bought, "{settings} {campaign}");
            let expected = json!({ "purchases": bought.len(), "revenue": revenue });
            assert_part(campaign, &shop.row(campaign).await, &expected);
        }
        let nobody = usize::from(who.starts_with("nobody"));
        let report = shop.get("reports/campaigns").await;
        let purchases = ["counted", "credited", "uncredited"].map(|part| report[part]["purchases"].clone());
        assert_eq!(purchases, [json!(1), json!(1 - nobody), json!(nobody)]);
    }
}

#[tokio::test]
async fn r001_r058_r086_each_role_gets_its_tabs() {
    let shop = Shop::after(json!({}), &[MAIL, OPEN], &["o c COMPLETE 10.00 USD 17T10:00 email=a@b.c phone=1 first_name=A last_name=B"]).await;
    for (role, tabs) in [
        ("admin", [200, 200, 200, 200, 200, 200]),
        ("marketer", [200, 200, 200, 200, 200, 403]),
        ("analyst", [200, 200, 200, 403, 403, 403]),
        ("partner", [403, 403, 403, 403, 403, 403]),
        ("ingest", [403, 403, 403, 403, 403, 403]),
    ] {
        let key = shop.key(role).await;
        let paths = ["reports/campaigns", "orders/o", "settings", "reports/campaigns/E1/purchases", "customers/c", "keys"];
        for (path, status) in paths.into_iter().zip(tabs) {
            assert_eq!(shop.status_for(&key, path).await, status, "{role} {path}");
        }
        let csv = [("authorization", format!("Bearer {key}")), ("accept", "text/csv".to_owned())];
        let csv = csv.each_ref().map(|(name, value)| (*name, value.as_str()));
        for path in ["reports/campaigns", "reports/campaigns/E1/purchases", "reports/orders", "reports/reconciliation"] {
            let (status, ..) = shop.service.send(Method::GET, &shop.path(path), &csv, Vec::new()).await;
            assert_eq!(status == 200, ["admin", "marketer"].contains(&role), "{role} {path} as CSV");
        }
        if role == "analyst" {
            for path in ["orders/o", "orders"] {
                let (_, shown) = shop.service.call_as(&key, Method::GET, &shop.path(path), None).await;
                let order = if path == "orders" { &shown["orders"][0] } else { &shown };
                assert_eq!(order["order_id"], "o");
                for name in ["email", "phone", "first_name", "last_name"] {
                    assert!(order.get(name).is_none_or(Value::is_null), "{path}: {order}");
                }
            }
        }
    }
}

#[tokio::test]
async fn r002_r024_figures_stay_inside_their_marketplace() {
    let shop = Shop::after(json!({}), &[MAIL, OPEN, "only email sent c 16T09:00"], &["o c COMPLETE 10.00 USD 17T10:00"]).await;
    shop.service.make("other", &json!({})).await;
    let other = Shop { id: "other", ..shop };
    other.orders(&["o c COMPLETE 99.00 USD 17T10:00"]).await;
    other.events(&["E1 email sent c 16T10:00"]).await;
    other.run().await;
    // The same person's order on the other marketplace finds no message there that connects, and none of the first.
    assert_eq!(other.earner("o").await, "nobody no_candidate");
    assert_eq!(other.row("only").await, Value::Null);
    assert_part("E1 there", &other.row("E1").await, &json!({ "deliveries": 0, "opens": 0, "purchases": 0 }));
    let shop = Shop { id: "m", ..other };
    assert_part("E1 here", &shop.row("E1").await, &json!({ "deliveries": 1, "opens": 1, "revenue": { "USD": "10.00" } }));
}

/// Rows of events and what the campaign's row shows of them.
async fn check_rows(rows: &[(&[&str], &str, &str, Value)]) {
    for (events, query, campaign, figures) in rows {
        let shop = Shop::after(json!({}), events, &[]).await;
        assert_part(&format!("{events:?}"), &shop.row_of(query, campaign).await, figures);
    }
}

#[tokio::test]
async fn r003_the_tracker_has_its_columns() {
    let shop = Shop::after(json!({}), &[MAIL, OPEN, CLICK, "E1 email bounced d 16T10:01"], &["o c COMPLETE 10.00 USD 17T10:00"]).await;
    let columns = json!({ "revenue": { "USD": "10.00" }, "deliveries": 1, "open_rate": "1.0000", "bounce_rate": "0.5000", "clicks": 1 });
    assert_part("E1", &shop.row("E1").await, &columns);
}

#[tokio::test]
async fn r004_r007_r008_r010_engagement_is_counted_by_message_and_channel() {
    check_rows(&[
        // R4: deliveries of one person on all channels.
        (
            &["A email delivered c 16T10:00 message_id=1", "A email delivered c 16T10:00 message_id=2", "A push,sms delivered c 16T10:00"][..2],
            "",
            "A",
            json!({ "deliveries": 2 }),
        ),
        (
            &["A email delivered c 16T10:00 message_id=1", "A email delivered c 16T10:00 message_id=2", "A push delivered c 16T10:00", "A sms delivered c 16T10:00"],
            "",
            "A",
            json!({ "deliveries": 4, "channels": ["email", "push", "sms"] }),
        ),
        // R7: of e-mails only.
        (
            &["A email sent c,d 16T10:00"][..0],
            "",
            "A",
            json!({}),
        ),
        (
            &["A email delivered c 16T10:00", "A email sent,bounced d 16T10:00", "A push failed c 16T10:00", "A push bounced d 16T10:00", "A sms bounced c 16T10:00"],
            "",
            "A",
            json!({ "bounces": 1, "bounce_rate": "0.5000" }),
        ),
        // R8: every click counts.
        (
            &["A email delivered,clicked c 16T10:00", "A email clicked c 16T10:01", "A email clicked c 16T10:02", "A push clicked c 16T10:00"],
            "?channel=email",
            "A",
            json!({ "clicks": 3, "unique_clicks": 1 }),
        ),
    ])
    .await;
}
