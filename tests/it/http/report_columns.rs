//! Columns of campaign reports that no requirement names, the comparison with the period before, and lists in CSV of any length.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, assert_part};

/// Campaigns A, B and C, of which B reports no deliveries.
const EVENTS: [&str; 11] = [
    "A email sent,delivered,opened c 16T10:00",
    "A email sent,delivered,opened d 16T10:00",
    "A email unsubscribed c 16T11:00",
    "A email unsubscribed c 16T12:00",
    "A email complained d 16T12:00",
    "B email sent,clicked e 16T10:00",
    "B email unsubscribed,complained,unsubscribed e 16T12:00 machine=true",
    "B push unsubscribed f 16T12:00",
    "C email sent,delivered,opened x1 16T10:00",
    "C email sent,delivered x2 16T10:00",
    "C sms delivered,complained x3 16T10:00",
];
const ORDERS: [&str; 6] = [
    "o c COMPLETE 10.0001 USD 16T13:00",
    "p d COMPLETE 7.00 EUR 16T13:00",
    "q e COMPLETE 5.00 USD 16T13:00",
    "r x1 COMPLETE 7.00 USD 16T13:00",
    "s nobody COMPLETE 10.00 USD 16T13:00",
    "t nobody COMPLETE 300 JPY 16T13:00",
];

async fn shop() -> Shop {
    Shop::after(json!({ "supersede": "none" }), &EVENTS, &ORDERS).await
}

#[tokio::test]
async fn the_columns_of_losses_and_of_deliveries() {
    let shop = shop().await;
    // Revenue per delivery is rounded half-even: 10.0001 / 2, and 22.0001 / 5.
    let rows = [
        (
            "A",
            json!({ "deliveries": 2, "unsubscribes": 1, "complaints": 1, "order_rate": "1.0000",
                    "revenue_per_delivery": { "EUR": "3.5000", "USD": "5.0000" } }),
        ),
        (
            "B",
            json!({ "deliveries": 0, "unsubscribes": 2, "complaints": 1, "order_rate": null, "revenue_per_delivery": {},
                    "bounce_rate": "0.0000", "channels": ["email", "push"] }),
        ),
        (
            "C",
            json!({ "deliveries": 3, "unsubscribes": 0, "complaints": 1, "order_rate": "0.3333",
                    "revenue_per_delivery": { "USD": "2.3333" } }),
        ),
    ];
    let report = shop.get("reports/campaigns").await;
    for (campaign, expected) in &rows {
        assert_part(campaign, &shop.row(campaign).await, expected);
        let one = shop.get(&format!("reports/campaigns/{campaign}")).await;
        assert_part(campaign, &one, expected);
        let mut of_day = expected.clone();
        of_day.as_object_mut().unwrap().remove("channels");
        assert_part(campaign, &one["days"][0], &of_day);
    }
    let share = json!({ "EUR": "1.0000", "JPY": "0.0000", "USD": "0.6875" });
    let totals = json!({ "deliveries": 5, "unsubscribes": 3, "complaints": 3, "order_rate": "0.8000",
                         "revenue_per_delivery": { "EUR": "1.4000", "USD": "4.4000" }, "share": share });
    assert_part("totals", &report["totals"], &totals);
    // A filter leaves the share as it is, and takes the rest apart.
    for (query, losses) in [
        ("channel=push", [1, 0]),
        ("channel=sms", [0, 1]),
        ("name=b", [2, 1]),
    ] {
        let filtered = shop.get(&format!("reports/campaigns?{query}")).await;
        let expected =
            json!({ "unsubscribes": losses[0], "complaints": losses[1], "share": share });
        assert_part(query, &filtered["totals"], &expected);
    }
    for (sort, order) in [
        ("unsubscribes", "CAB"),
        ("-unsubscribes", "BAC"),
        ("-complaints", "ABC"),
        ("order_rate", "CAB"),
        ("-order_rate", "ACB"),
        ("revenue_per_delivery", "CAB"),
        ("-revenue_per_delivery", "ACB"),
    ] {
        let sorted = shop.get(&format!("reports/campaigns?sort={sort}")).await;
        let ids = sorted["campaigns"].as_array().unwrap().iter();
        let ids: Vec<&str> = ids
            .map(|row| row["campaign_id"].as_str().unwrap())
            .collect();
        assert_eq!(ids.concat(), order, "{sort}");
    }
    for path in [
        "reports/campaigns?revenue=true&sort=campaign_id",
        "reports/campaigns/A?revenue=true",
    ] {
        let csv = shop.csv(path).await;
        let found = first_row(&csv);
        for (name, cell) in [
            ("unsubscribes", "1"),
            ("complaints", "1"),
            ("order_rate", "1.0000"),
            ("revenue_per_delivery_EUR", "3.5000"),
            ("revenue_per_delivery_USD", "5.0000"),
        ] {
            assert_eq!(found.get(name), Some(&cell), "{path}: {name} in {csv}");
        }
    }
}

/// The cells of the first row of a CSV, by the names of their columns.
fn first_row(csv: &str) -> BTreeMap<&str, &str> {
    let mut lines = csv.lines();
    let (names, cells) = (lines.next().unwrap(), lines.next().unwrap());
    names.split(',').zip(cells.split(',')).collect()
}

/// These kinds count as any event of a message, and are no touch.
#[tokio::test]
async fn who_unsubscribed_or_complained_was_not_won_by_that() {
    for (events, who) in [
        (
            &["A email unsubscribed,complained c 16T10:00"][..],
            "nobody no_candidate",
        ),
        (&["A email sent,opened,complained c 16T10:00"], "A"),
        (
            &[
                "A email opened c 16T10:00",
                "A email unsubscribed c 16T12:30",
            ],
            "A",
        ),
        // The first event is the send, whatever its kind: the window of an hour is over.
        (
            &[
                "A email unsubscribed c 16T11:00",
                "A email opened c 16T12:30",
            ],
            "nobody no_candidate",
        ),
    ] {
        let window = json!({ "connect_on": ["sent", "delivered", "opened", "clicked"], "window": "1h", "window_from": "sent" });
        let settings = json!({ "supersede": "none", "channels": { "email": window } });
        let placed = if who == "A" { "16T10:30" } else { "16T13:00" };
        let shop = Shop::after(
            settings,
            events,
            &[&format!("o c COMPLETE 1.00 USD {placed}")],
        )
        .await;
        assert_eq!(shop.earner("o").await, who, "{events:?}");
    }
    let shop = Shop::open(json!({})).await;
    let body = json!({ "event_id": "e", "kind": "complaint", "channel": "email", "campaign_id": "A", "customer_id": "c",
                       "occurred_at": "2026-11-16T10:00:00Z" });
    let (status, told) = shop.call(Method::POST, "events", body).await;
    let detail = told["rejected"][0]["detail"].as_str().unwrap();
    assert!(
        status == 422 && detail.ends_with("clicked, unsubscribed, complained"),
        "{told}"
    );
}

#[tokio::test]
async fn a_report_is_compared_with_the_period_before() {
    let events = [
        "A email sent,delivered,opened c 14T10:00",
        "A email sent,delivered,clicked d 17T10:00",
    ];
    let orders = [
        "o c COMPLETE 5.00 USD 15T10:00",
        "p nobody COMPLETE 1.00 USD 15T11:00",
        "q d COMPLETE 10.00 USD 17T11:00",
    ];
    let shop = Shop::after(json!({}), &events, &orders).await;
    let plain = shop.get("reports/campaigns").await;
    assert!(plain.get("previous").is_none(), "{plain}");
    // Days are visible from the 22nd of August on.
    for (query, before) in [
        (
            "from=2026-11-17&to=2026-11-19",
            Some(["2026-11-15", "2026-11-17"]),
        ),
        (
            "from=2026-11-17&to=2026-11-19&channel=push",
            Some(["2026-11-15", "2026-11-17"]),
        ),
        (
            "from=2026-11-17&to=2026-11-19&name=b&limit=1",
            Some(["2026-11-15", "2026-11-17"]),
        ),
        ("", Some(["2026-09-22", "2026-10-22"])),
        (
            "from=2026-10-06&to=2026-11-20",
            Some(["2026-08-22", "2026-10-06"]),
        ),
        ("from=2026-10-05&to=2026-11-20", None),
        (
            "from=2026-08-23&to=2026-08-24",
            Some(["2026-08-22", "2026-08-23"]),
        ),
        ("from=2026-08-22&to=2026-08-23", None),
        // What is used of such a period begins with the visible days, and so nothing is before it.
        ("from=2026-01-01&to=2026-11-20", None),
        ("from=2026-01-01&to=2026-02-01", None),
    ] {
        let told = shop
            .get(&format!("reports/campaigns?{query}&compare=previous"))
            .await;
        let expected = match before {
            None => Value::Null,
            Some([from, to]) => {
                let filters: Vec<&str> = query
                    .split('&')
                    .filter(|one| !one.contains("2026"))
                    .collect();
                let path = format!(
                    "reports/campaigns?from={from}&to={to}&{}",
                    filters.join("&")
                );
                let mut report = shop.get(&path).await;
                let parts = ["totals", "counted", "credited", "uncredited", "period"];
                Value::Object(
                    parts
                        .map(|part| (part.to_owned(), report[part].take()))
                        .into_iter()
                        .collect(),
                )
            }
        };
        assert_eq!(told.get("previous"), Some(&expected), "{query}");
    }
    let told = shop
        .get("reports/campaigns?from=2026-11-17&to=2026-11-19&compare=previous")
        .await;
    let before = json!({ "purchases": 1, "deliveries": 0, "revenue": { "USD": "5.00" }, "share": { "USD": "0.8333" } });
    assert_part("before", &told["previous"]["totals"], &before);
    assert_eq!(
        told["previous"]["counted"],
        json!({ "purchases": 2, "revenue": { "USD": "6.00" } })
    );
    assert_part(
        "now",
        &told["totals"],
        &json!({ "purchases": 1, "revenue": { "USD": "10.00" } }),
    );

    shop.put("settings", json!({ "enabled": false })).await;
    let told = shop
        .get("reports/campaigns?from=2026-11-17&to=2026-11-19&compare=previous")
        .await;
    let keys: Vec<&String> = told["previous"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["period", "totals"]);
    for hidden in [
        "purchases",
        "revenue",
        "order_rate",
        "revenue_per_delivery",
        "share",
    ] {
        assert!(
            told["previous"]["totals"].get(hidden).is_none(),
            "{hidden} in {told}"
        );
    }
    for (query, code) in [
        ("compare=last", "unknown_value"),
        ("compare=previous&compare=previous", "unknown_parameter"),
    ] {
        let (status, told) = shop
            .call(
                Method::GET,
                &format!("reports/campaigns?{query}"),
                json!(null),
            )
            .await;
        assert_eq!(
            (status, &told["errors"][0]["code"]),
            (422, &json!(code)),
            "{told}"
        );
    }
    // A table of rows has no totals to compare.
    assert!(
        shop.csv("reports/campaigns?compare=previous")
            .await
            .starts_with("campaign_id,")
    );
}

/// A CSV is the whole list, whatever `limit` says, and its length is not known when it begins.
#[tokio::test]
async fn a_csv_of_purchases_has_no_limit_of_rows() {
    const ORDERS: usize = 2_300;
    let shop = Shop::open(json!({})).await;
    shop.events(&["A email sent,clicked c 16T10:00"]).await;
    let line = |i: usize| {
        let currency = if i == 0 { "EUR" } else { "USD" };
        format!(
            "o{i} c COMPLETE 1.00 {currency} 2026-11-16T{}:{:02}:{:02}Z",
            11 + i / 3_600,
            i / 60 % 60,
            i % 60
        )
    };
    let lines: Vec<String> = (0..ORDERS).map(line).collect();
    for some in lines.chunks(1_000) {
        shop.orders(&some.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
    }
    shop.run().await;
    assert_eq!(shop.row("A").await["purchases"], json!(ORDERS));
    for path in ["reports/campaigns/A/purchases", "orders"] {
        for query in ["?revenue=true", "?revenue=true&limit=10"] {
            let csv = shop.csv(&format!("{path}{query}")).await;
            let mut lines = csv.lines();
            let columns = lines.next().unwrap().matches("_EUR").count();
            let newest_first = lines.zip((0..ORDERS).rev());
            let found = newest_first
                .filter(|(line, i)| line.split(',').any(|cell| cell == format!("o{i}")));
            assert_eq!(
                (found.count(), columns > 0),
                (ORDERS, true),
                "{path}{query}"
            );
        }
    }
    let key = format!("Bearer {}", crate::support::service::ADMIN);
    let headers = [("authorization", key.as_str()), ("accept", "text/csv")];
    let path = shop.path("reports/campaigns/A/purchases");
    let answer = shop
        .service
        .answer(Method::GET, &path, &headers, Vec::new())
        .await;
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers().get("content-length")
        ),
        (200, None)
    );
}
