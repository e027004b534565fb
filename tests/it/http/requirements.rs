//! The requirements that HTTP can show, each in the few lines that fail without the feature; `rNNN` is `REQUIREMENTS.md`'s.
//! Calculations have their tables in `tests/golden`.

use http::Method;
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, assert_part, at, earner, time, with};

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
        assert_eq!(
            earner(settings, events, order).await,
            *who,
            "{settings} {events:?} {order}"
        );
    }
}

/// rule 4's story: one customer, an order of 100.00 on Tuesday at 11:30; `p1` is who P1 went to.
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
    let without_second_click = |lines: Vec<String>| {
        lines
            .into_iter()
            .filter(|line| !line.contains("clicked c 17"))
            .collect()
    };
    for (settings, status, lines, who) in [
        (json!({}), "COMPLETE", story("c"), "P1"),
        (json!({}), "COMPLETE", story("other"), "nobody no_candidate"),
        (customers, "COMPLETE", story("other"), "X1"),
        (excluding, "COMPLETE", story("other"), "S1"),
        (preset("yespo_v1"), "DELIVERED", story("c"), "P1"),
        (preset("yespo_v2"), "DELIVERED", story("c"), "E1"),
        (
            preset("yespo_v2"),
            "DELIVERED",
            without_second_click(story("c")),
            "P1",
        ),
    ] {
        let shop = Shop::open(settings.clone()).await;
        shop.put("campaigns/X1", json!({ "tags": ["technical"] }))
            .await;
        shop.events(&lines.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
        shop.orders(&[&format!("o c {status} 100.00 USD 17T11:30")])
            .await;
        let told = async || {
            let told = shop.get("orders/o/attribution").await;
            (
                shop.earner("o").await,
                told["decided"].clone(),
                told["amount"].clone(),
            )
        };
        assert_eq!(
            told().await,
            (who.to_owned(), json!("pending"), json!("100.00")),
            "{settings}"
        );
        shop.run().await;
        assert_eq!(
            told().await,
            (who.to_owned(), json!("run"), json!("100.00")),
            "{settings}"
        );
        for campaign in ["E1", "S1", "X1", "P1"] {
            let (bought, revenue) = if campaign == who {
                (vec!["o 100.00"], json!({ "USD": "100.00" }))
            } else {
                (vec![], json!({}))
            };
            assert_eq!(
                shop.purchases(campaign).await,
                bought,
                "{settings} {campaign}"
            );
            let expected = json!({ "purchases": bought.len(), "revenue": revenue });
            assert_part(campaign, &shop.row(campaign).await, &expected);
        }
        let nobody = usize::from(who.starts_with("nobody"));
        let report = shop.get("reports/campaigns").await;
        let purchases =
            ["counted", "credited", "uncredited"].map(|part| report[part]["purchases"].clone());
        assert_eq!(purchases, [json!(1), json!(1 - nobody), json!(nobody)]);
    }
}

#[tokio::test]
async fn r001_r058_r086_each_role_gets_its_tabs() {
    let shop = Shop::after(
        json!({}),
        &[MAIL, OPEN],
        &["o c COMPLETE 10.00 USD 17T10:00 email=a@b.c phone=1 first_name=A last_name=B"],
    )
    .await;
    for (role, tabs) in [
        ("admin", [200, 200, 200, 200, 200, 200]),
        ("marketer", [200, 200, 200, 200, 200, 403]),
        ("analyst", [200, 200, 200, 403, 403, 403]),
        ("partner", [403, 403, 403, 403, 403, 403]),
        ("ingest", [403, 403, 403, 403, 403, 403]),
    ] {
        let key = shop.key(role).await;
        let paths = [
            "reports/campaigns",
            "orders/o",
            "settings",
            "reports/campaigns/E1/purchases",
            "customers/c",
            "keys",
        ];
        for (path, status) in paths.into_iter().zip(tabs) {
            assert_eq!(shop.status_for(&key, path).await, status, "{role} {path}");
        }
        for path in [
            "reports/campaigns",
            "reports/campaigns/E1/purchases",
            "reports/orders",
            "reports/reconciliation",
        ] {
            let (status, ..) = shop.table_for(&key, path).await;
            assert_eq!(
                status == 200,
                ["admin", "marketer"].contains(&role),
                "{role} {path} as CSV"
            );
        }
        if role == "analyst" {
            for path in ["orders/o", "orders"] {
                let (_, shown) = shop
                    .service
                    .call_as(&key, Method::GET, &shop.path(path), None)
                    .await;
                let order = if path == "orders" {
                    &shown["orders"][0]
                } else {
                    &shown
                };
                assert_eq!(order["order_id"], "o");
                for name in ["email", "phone", "first_name", "last_name"] {
                    assert!(
                        order.get(name).is_none_or(Value::is_null),
                        "{path}: {order}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn r002_r024_figures_stay_inside_their_marketplace() {
    let shop = Shop::after(
        json!({}),
        &[MAIL, OPEN, "only email sent c 16T09:00"],
        &["o c COMPLETE 10.00 USD 17T10:00"],
    )
    .await;
    shop.service.make("other", &json!({})).await;
    let other = Shop {
        id: "other",
        ..shop
    };
    other.orders(&["o c COMPLETE 99.00 USD 17T10:00"]).await;
    other.events(&["E1 email sent c 16T10:00"]).await;
    other.run().await;
    // The same person's order on the other marketplace finds no message there that connects, and none of the first.
    assert_eq!(other.earner("o").await, "nobody no_candidate");
    assert_eq!(other.row("only").await, Value::Null);
    assert_part(
        "E1 there",
        &other.row("E1").await,
        &json!({ "deliveries": 0, "opens": 0, "purchases": 0 }),
    );
    let shop = Shop { id: "m", ..other };
    assert_part(
        "E1 here",
        &shop.row("E1").await,
        &json!({ "deliveries": 1, "opens": 1, "revenue": { "USD": "10.00" } }),
    );
}

#[tokio::test]
async fn r003_the_tracker_has_its_columns() {
    let shop = Shop::after(
        json!({}),
        &[MAIL, OPEN, CLICK, "E1 email bounced d 16T10:01"],
        &["o c COMPLETE 10.00 USD 17T10:00"],
    )
    .await;
    let columns = json!({ "revenue": { "USD": "10.00" }, "deliveries": 1, "open_rate": "1.0000", "bounce_rate": "0.5000", "clicks": 1 });
    assert_part("E1", &shop.row("E1").await, &columns);
}

#[tokio::test]
async fn r004_r005_r006_r007_r008_engagement_is_counted_by_message_and_channel() {
    let twelve: Vec<String> = (0..12)
        .map(|n| {
            let kinds = if n < 3 {
                "delivered,opened"
            } else {
                "delivered"
            };
            format!(
                "A {} {kinds} c{n} 16T10:00",
                if n % 2 == 0 { "email" } else { "push" }
            )
        })
        .chain(["A sms delivered c 16T10:00".to_owned()])
        .collect();
    let twelve: Vec<&str> = twelve.iter().map(String::as_str).collect();
    let rows: &[(&[&str], &str, Value)] = &[
        // R4: deliveries of one person, each message and channel.
        (
            &[
                "A email delivered c 16T10:00 message_id=1",
                "A email delivered c 16T10:00 message_id=2",
                "A push delivered c 16T10:00",
                "A sms delivered c 16T10:00",
            ],
            "",
            json!({ "deliveries": 4, "channels": ["email", "push", "sms"] }),
        ),
        // R5: 3 opened of 12, an SMS beside them.
        (
            &twelve,
            "",
            json!({ "deliveries": 13, "unique_opens": 3, "open_rate": "0.2500" }),
        ),
        // R6: by app version, number by number.
        (
            &["A push opened c 16T10:00 app_version=5.0"],
            "",
            json!({ "opens": 0 }),
        ),
        (
            &["A push opened c 16T10:00 app_version=5.1"],
            "",
            json!({ "opens": 1 }),
        ),
        (
            &["A push opened c 16T10:00 app_version=5.10"],
            "",
            json!({ "opens": 1 }),
        ),
        (&["A push opened c 16T10:00"], "", json!({ "opens": 1 })),
        // R7: of e-mails only.
        (
            &[
                "A email delivered c 16T10:00",
                "A email sent,bounced d 16T10:00",
                "A push failed c 16T10:00",
                "A push bounced d 16T10:00",
                "A sms bounced c 16T10:00",
            ],
            "",
            json!({ "bounces": 1, "bounce_rate": "0.5000" }),
        ),
        // R8: every click counts; on the channel that is asked for.
        (
            &[
                "A email delivered,clicked c 16T10:00",
                "A email clicked c 16T10:01",
                "A email clicked c 16T10:02",
                "A push clicked c 16T10:00",
            ],
            "?channel=email",
            json!({ "clicks": 3, "unique_clicks": 1 }),
        ),
    ];
    for (events, query, figures) in rows {
        let shop = Shop::after(json!({}), events, &[]).await;
        assert_part(
            &format!("{events:?}"),
            &shop.row_of(query, "A").await,
            figures,
        );
    }
}

#[tokio::test]
async fn r009_revenue_is_labelled_an_estimate() {
    let shop = Shop::open(json!({})).await;
    assert_eq!(shop.get("reports/campaigns").await["estimate"], true);
}

#[tokio::test]
async fn r010_r011_r012_r013_r014_what_qualifies_under_redbox() {
    check_earners(&[
        (
            json!({}),
            &[MAIL, OPEN],
            "o c COMPLETE 10.00 USD 17T10:00",
            "E1",
        ),
        (
            json!({}),
            &[MAIL, CLICK],
            "o c COMPLETE 10.00 USD 17T10:00",
            "E1",
        ),
        (
            json!({}),
            &[MAIL],
            "o c COMPLETE 10.00 USD 17T10:00",
            "nobody no_candidate",
        ),
        (
            json!({}),
            &["P push sent,delivered c 16T10:00"],
            "o c COMPLETE 10.00 USD 17T10:00",
            "P",
        ),
        (
            json!({}),
            &["P push sent c 16T10:00"],
            "o c COMPLETE 10.00 USD 17T10:00",
            "nobody no_candidate",
        ),
        (
            json!({}),
            &["S sms sent,delivered c 16T10:00"],
            "o c COMPLETE 10.00 USD 17T10:00",
            "S",
        ),
        // R13: a second before the open.
        (
            json!({}),
            &[MAIL, OPEN],
            "o c COMPLETE 10.00 USD 16T10:59:59",
            "nobody no_candidate",
        ),
        (
            json!({}),
            &[MAIL, OPEN],
            "o c COMPLETE 10.00 USD 16T11:00",
            "E1",
        ),
        // R14: opened on the web, ordered in the app, no click.
        (
            json!({}),
            &[MAIL, OPEN],
            "o c COMPLETE 10.00 USD 17T10:00 source=app",
            "E1",
        ),
    ])
    .await;
}

#[tokio::test]
async fn r015_r016_r063_which_statuses_count() {
    let all = "ABANDONED_SHOPPING_CART PENDING INITIALIZED IN_PROGRESS PREPARING READY COMPLETE DELIVERED REJECTED CANCELLED REFUNDED";
    for (settings, counted) in [
        (json!({}), vec!["PREPARING", "READY", "COMPLETE"]),
        (preset("yespo_v2"), vec!["DELIVERED"]),
    ] {
        let orders: Vec<String> = all
            .split(' ')
            .map(|status| format!("{status} c {status} 1.00 USD 16T13:00"))
            .collect();
        let orders: Vec<&str> = orders.iter().map(String::as_str).collect();
        let shop = Shop::after(settings, &[MAIL, CLICK], &orders).await;
        assert_part(
            "E1",
            &shop.row("E1").await,
            &json!({ "purchases": counted.len(), "purchasers": 1 }),
        );
        for status in all.split(' ') {
            let not = if counted.contains(&status) {
                ""
            } else {
                " status"
            };
            assert_eq!(shop.earner(status).await, format!("E1{not}"));
        }
    }
}

#[tokio::test]
async fn r017_r018_a_change_of_status_moves_the_revenue_once() {
    let shop = Shop::after(
        json!({}),
        &[MAIL, OPEN],
        &["o c PENDING 10.00 USD 17T10:00"],
    )
    .await;
    for (status, purchases) in [
        ("PENDING", 0),
        ("PREPARING", 1),
        ("COMPLETE", 1),
        ("REFUNDED", 0),
    ] {
        shop.orders(&[&format!("o c {status} 10.00 USD 17T10:00")])
            .await;
        // R18: what the next run finds, and the run after it finds nothing more.
        for _ in 0..2 {
            shop.run().await;
            let revenue = if purchases == 1 {
                json!({ "USD": "10.00" })
            } else {
                json!({})
            };
            assert_part(
                status,
                &shop.row("E1").await,
                &json!({ "purchases": purchases, "revenue": revenue }),
            );
        }
    }
    assert_part(
        "E1",
        &shop.row("E1").await,
        &json!({ "refunded": { "USD": "10.00" } }),
    );
}

#[tokio::test]
async fn r019_r020_r021_seven_days_or_until_the_next_campaign() {
    let early = "E1 email sent,delivered,opened c 10T10:00";
    let sms = "N sms sent other 13T10:00";
    check_earners(&[
        (
            json!({}),
            &[early],
            "o c COMPLETE 10.00 USD 17T10:00:00.000",
            "E1",
        ),
        (
            json!({}),
            &[early],
            "o c COMPLETE 10.00 USD 17T10:00:00.001",
            "nobody no_candidate",
        ),
        (
            json!({}),
            &[early, sms],
            "o c COMPLETE 10.00 USD 13T09:59:59.999",
            "E1",
        ),
        (
            json!({}),
            &[early, sms],
            "o c COMPLETE 10.00 USD 13T10:00",
            "nobody no_candidate",
        ),
        (
            json!({}),
            &[early, "N sms sent,delivered c 13T10:00"],
            "o c COMPLETE 10.00 USD 13T10:00",
            "N",
        ),
    ])
    .await;
}

#[tokio::test]
async fn r022_day_90_is_visible_and_day_91_is_not() {
    let (events, orders) = (
        ["E1 email sent,delivered,opened c 18T12:00"],
        ["o c COMPLETE 10.00 USD 18T12:00"],
    );
    let shop = Shop::after(json!({}), &events, &orders).await;
    let key = shop.key("admin").await;
    let seen = async || {
        let day = "?from=2026-11-18&to=2026-11-19";
        let report = shop.get(&format!("reports/campaigns{day}")).await;
        let counts = [
            report["counted"]["purchases"].clone(),
            report["totals"]["deliveries"].clone(),
            json!(
                shop.get(&format!("reports/campaigns/E1/purchases{day}"))
                    .await["purchases"]
                    .as_array()
                    .unwrap()
                    .len()
            ),
            shop.get(&format!("reports/orders{day}")).await["total"]["orders"].clone(),
            shop.get(&format!("reports/reconciliation{day}")).await["orders"]["stored"].clone(),
        ];
        let mut single = [0, 0, 0, 0];
        for (status, path) in single.iter_mut().zip([
            "orders/o",
            "orders/o/attribution",
            "customers/c",
            "reports/campaigns/E1",
        ]) {
            *status = shop.status_for(&key, path).await;
        }
        let listed = shop
            .get("orders?customer_id=c&from=2026-11-18&to=2026-11-19")
            .await["orders"]
            .as_array()
            .unwrap()
            .len();
        (counts.map(|count| count == 1), single, listed)
    };
    // 90 days after 2026-11-18 is 2027-02-16.
    for (now, days, single, listed) in [
        ("2026-11-20T12:00:00Z", true, 200, 1),
        ("2027-02-16T12:00:00Z", true, 200, 1),
        ("2027-02-16T12:00:00.001Z", true, 404, 0),
        ("2027-02-16T23:59:59.999Z", true, 404, 0),
        ("2027-02-17T00:00:00Z", false, 404, 0),
    ] {
        shop.service.set_now(at(now));
        assert_eq!(
            seen().await,
            ([days; 5], [single, single, single, 200], listed),
            "{now}"
        );
        shop.run().await;
        assert_eq!(
            seen().await,
            ([days; 5], [single, single, single, 200], listed),
            "{now}, after a run"
        );
    }
}

#[tokio::test]
async fn r023_campaigns_sort_by_what_they_brought_in() {
    let (events, orders) = (
        [
            "A sms delivered a 16T10:00",
            "B sms delivered b 17T10:00",
            "C sms delivered c 18T10:00",
            "D sms sent d 19T10:00",
        ],
        [
            "oa a COMPLETE 9.00 USD 16T11:00",
            "ob b COMPLETE 10.00 USD 17T11:00",
            "oc c COMPLETE 1.00 USD 18T11:00",
        ],
    );
    let shop = Shop::after(json!({}), &events, &orders).await;
    for (sort, order) in [
        ("", "BACD"),
        ("?sort=revenue", "CABD"),
        ("?sort=-revenue", "BACD"),
        ("?sort=name", "ABCD"),
        ("?sort=sale_formula", "ABCD"),
        ("?sort=-deliveries", "ABCD"),
    ] {
        let report = shop.get(&format!("reports/campaigns{sort}")).await;
        let got: String = report["campaigns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["campaign_id"].as_str().unwrap())
            .collect();
        assert_eq!(got, order, "{sort}");
    }
}

#[tokio::test]
async fn r026_r049_orders_are_listed_by_period_in_the_zone_of_the_marketplace() {
    let shop = Shop::open(json!({ "timezone": "America/New_York" })).await;
    shop.orders(&[
        "a c COMPLETE 10.00 USD 18T04:59:59.999",
        "b c COMPLETE 20.00 USD 18T05:00",
        "d d PENDING 30.00 USD 18T06:00",
    ])
    .await;
    for run in [false, true] {
        if run {
            shop.run().await;
        }
        for (query, expected) in [
            ("from=2026-11-17&to=2026-11-18", "a"),
            ("from=2026-11-18&to=2026-11-19", "db"),
            ("from=2026-11-17", "dba"),
            ("status=pending", "d"),
            ("customer_id=c", "ba"),
            ("customer_id=c&status=PENDING", ""),
            ("from=2026-11-19&to=2026-11-20", ""),
        ] {
            let told = shop.get(&format!("orders?{query}")).await;
            let listed: String = told["orders"]
                .as_array()
                .unwrap()
                .iter()
                .map(|order| order["order_id"].as_str().unwrap())
                .collect();
            assert_eq!(listed, expected, "{query}, run: {run}");
        }
        let first = shop.get("orders?limit=2").await;
        let rest = shop
            .get(&format!(
                "orders?limit=2&cursor={}",
                first["next_cursor"].as_str().unwrap()
            ))
            .await;
        assert_eq!(
            (
                first["orders"][1]["order_id"].clone(),
                rest["orders"][0]["order_id"].clone(),
                rest["next_cursor"].clone()
            ),
            (json!("b"), json!("a"), Value::Null)
        );
    }
    let totals = async |from: &str, to: &str| {
        shop.get(&format!("reports/orders?from={from}&to={to}"))
            .await["total"]
            .clone()
    };
    assert_eq!(
        totals("2026-11-17", "2026-11-18").await,
        json!({ "orders": 1, "amount": { "USD": "10.00" } })
    );
    assert_eq!(
        totals("2026-11-18", "2026-11-19").await,
        json!({ "orders": 1, "amount": { "USD": "20.00" } })
    );
}

#[tokio::test]
async fn r027_the_master_switch_hides_revenue_and_keeps_it() {
    let shop = Shop::after(
        json!({}),
        &[MAIL, OPEN],
        &["o c COMPLETE 10.00 USD 17T10:00"],
    )
    .await;
    let before = shop.figures().await;
    shop.put("settings", json!({ "enabled": false })).await;
    shop.orders(&["p c COMPLETE 5.00 USD 17T11:00"]).await;
    shop.run().await;
    let hidden = [
        "purchases",
        "purchasers",
        "revenue",
        "refunded",
        "average_check",
        "purchase_to_open_rate",
        "purchase_to_click_rate",
        "sale_formula",
        "counted",
        "credited",
        "uncredited",
    ];
    let report = shop.get("reports/campaigns").await;
    let one = shop.get("reports/campaigns/E1").await;
    for shown in [
        &report,
        &report["totals"],
        &report["campaigns"][0],
        &one,
        &one["days"][0],
    ] {
        let kept: Vec<&&str> = hidden
            .iter()
            .filter(|name| shown.get(**name).is_some())
            .collect();
        assert!(kept.is_empty(), "{kept:?} in {shown}");
    }
    assert_part(
        "E1",
        &report["campaigns"][0],
        &json!({ "deliveries": 1, "opens": 1 }),
    );
    assert!(
        !shop
            .csv("reports/campaigns?revenue=true")
            .await
            .contains("revenue")
    );
    assert_eq!(shop.get("reports/orders").await["total"]["orders"], 2);
    shop.put("settings", json!({ "enabled": true })).await;
    assert_part(
        "E1",
        &shop.row("E1").await,
        &json!({ "purchases": 2, "revenue": { "USD": "15.00" } }),
    );
    assert_part(
        "E1 before",
        &before["campaigns"]["campaigns"][0],
        &json!({ "purchases": 1, "revenue": { "USD": "10.00" } }),
    );
}

#[tokio::test]
async fn r028_r029_r045_r046_each_channel_has_its_event_and_its_window() {
    let channels = |email: &str, sms: &str| {
        let rule = |kinds: &str, window: &str| json!({ "connect_on": [kinds], "window": window, "window_from": "event" });
        json!({ "supersede": "none", "channels": { "email": rule("clicked", email), "sms": rule("delivered", sms) } })
    };
    let (click, sms) = (
        "E email sent,clicked c 10T10:00",
        "S sms sent,delivered c 10T10:00",
    );
    check_earners(&[
        (
            channels("24h", "12h"),
            &["E email sent,opened c 10T10:00"],
            "o c COMPLETE 1.00 USD 10T11:00",
            "nobody no_candidate",
        ),
        (
            channels("24h", "12h"),
            &[click],
            "o c COMPLETE 1.00 USD 11T09:59:59",
            "E",
        ),
        (
            channels("24h", "12h"),
            &[click],
            "o c COMPLETE 1.00 USD 11T10:00:00",
            "E",
        ),
        (
            channels("24h", "12h"),
            &[click],
            "o c COMPLETE 1.00 USD 11T10:00:01",
            "nobody no_candidate",
        ),
        (
            channels("5d", "12h"),
            &[click],
            "o c COMPLETE 1.00 USD 15T10:00",
            "E",
        ),
        (
            channels("5d", "12h"),
            &[click],
            "o c COMPLETE 1.00 USD 15T10:00:00.001",
            "nobody no_candidate",
        ),
        (
            channels("5d", "12h"),
            &[sms],
            "o c COMPLETE 1.00 USD 10T22:00",
            "S",
        ),
        (
            channels("5d", "12h"),
            &[sms],
            "o c COMPLETE 1.00 USD 10T22:00:00.001",
            "nobody no_candidate",
        ),
        (
            channels("1w", "12h"),
            &[click],
            "o c COMPLETE 1.00 USD 17T10:00",
            "E",
        ),
        (
            channels("1w", "12h"),
            &[click],
            "o c COMPLETE 1.00 USD 17T10:00:00.001",
            "nobody no_candidate",
        ),
        // A channel that is left out never earns.
        (
            channels("1w", "12h"),
            &["P push sent,delivered c 10T10:00"],
            "o c COMPLETE 1.00 USD 10T11:00",
            "nobody no_candidate",
        ),
    ])
    .await;
}

#[tokio::test]
async fn r030_r047_only_orders_in_the_chosen_currency_are_income() {
    let orders = [
        "o c COMPLETE 10.00 USD 17T10:00",
        "e c COMPLETE 7.00 EUR 17T10:00",
    ];
    for (currency, purchases, revenue) in [
        (json!("USD"), 1, json!({ "USD": "10.00" })),
        (json!("EUR"), 1, json!({ "EUR": "7.00" })),
        (Value::Null, 2, json!({ "EUR": "7.00", "USD": "10.00" })),
    ] {
        let shop = Shop::after(json!({ "currency": currency }), &[MAIL, OPEN], &orders).await;
        let sums = json!({ "purchases": purchases, "revenue": revenue });
        assert_part("E1", &shop.row("E1").await, &sums);
        let report = shop.get("reports/campaigns").await;
        assert_eq!((&report["counted"], &report["credited"]), (&sums, &sums));
        assert_eq!(
            shop.get("reports/orders").await["total"],
            json!({ "orders": 2, "amount": { "EUR": "7.00", "USD": "10.00" } })
        );
        assert_eq!(
            shop.get("reports/reconciliation").await["orders"]["other_currency"],
            2 - purchases
        );
    }
}

#[tokio::test]
async fn r031_a_change_of_currency_acts_within_ten_minutes() {
    let shop = Shop::after(
        preset("yespo_v1"),
        &[],
        &["old c DELIVERED 1.00 EUR 20T11:00"],
    )
    .await;
    assert_eq!(shop.earner("old").await, "nobody currency");
    let saved = shop
        .put(
            "settings",
            with(preset("yespo_v1"), &json!({ "currency": "EUR" })),
        )
        .await;
    assert_part(
        "saved",
        &saved,
        &json!({ "version": 2, "orders_before": 1 }),
    );
    shop.service.set_now(at("20T12:10"));
    shop.orders(&[
        "new c DELIVERED 1.00 EUR 20T12:10",
        "now c DELIVERED 1.00 EUR 20T12:00",
    ])
    .await;
    for (order, who) in [
        ("old", "nobody currency"),
        ("now", "nobody no_candidate"),
        ("new", "nobody no_candidate"),
    ] {
        assert_eq!(shop.earner(order).await, who);
    }
    shop.run().await;
    assert_eq!(
        shop.get("reports/campaigns").await["counted"],
        json!({ "purchases": 2, "revenue": { "EUR": "2.00" } })
    );
}

#[tokio::test]
async fn r032_r033_r048_excluded_tags_earn_nothing_and_show_their_data() {
    let shop = Shop::open(json!({ "excluded_tags": ["password recovery"] })).await;
    shop.put(
        "campaigns/E1",
        json!({ "name": "Reset", "tags": ["password recovery", "x"] }),
    )
    .await;
    shop.events(&[MAIL, OPEN, CLICK]).await;
    shop.orders(&["o c COMPLETE 10.00 USD 17T10:00"]).await;
    shop.run().await;
    let told = shop.get("orders/o/attribution").await;
    assert_eq!(told["candidates"][0]["outcome"], "tag_excluded");
    let row = json!({ "excluded": true, "name": "Reset", "deliveries": 1, "opens": 1, "clicks": 1, "purchases": 0, "revenue": {} });
    assert_part("E1", &shop.row("E1").await, &row);
}

#[tokio::test]
async fn r034_r038_r054_r061_the_header_sums_the_rows_and_the_campaign_page_agrees() {
    let (events, orders) = (
        [
            MAIL,
            OPEN,
            "B sms delivered b 17T10:00",
            "N sms sent n 18T10:00",
        ],
        [
            "o c COMPLETE 10.00 USD 16T12:00",
            "p c COMPLETE 5.00 USD 16T13:00",
            "q b COMPLETE 5.01 USD 17T11:00",
            "r r COMPLETE 1.00 USD 17T12:00",
        ],
    );
    let shop = Shop::after(json!({}), &events, &orders).await;
    let report = shop.get("reports/campaigns").await;
    let totals = json!({ "campaigns": 3, "purchases": 3, "purchasers": 2, "revenue": { "USD": "20.01" }, "average_check": { "USD": "6.67" }, "deliveries": 2 });
    assert_part("totals", &report["totals"], &totals);
    let parts = ["counted", "credited", "uncredited"].map(|part| report[part].clone());
    let purchases = |n: i64, usd: &str| json!({ "purchases": n, "revenue": { "USD": usd } });
    assert_eq!(
        parts,
        [
            purchases(4, "21.01"),
            purchases(3, "20.01"),
            purchases(1, "1.00")
        ]
    );
    // The totals are those of all pages.
    let page = shop.get("reports/campaigns?limit=1").await;
    assert_eq!(
        (&page["totals"], page["campaigns"].as_array().unwrap().len()),
        (&report["totals"], 1)
    );
    let next = shop
        .get(&format!(
            "reports/campaigns?limit=1&cursor={}",
            page["next_cursor"].as_str().unwrap()
        ))
        .await;
    assert_eq!(
        (&next["campaigns"][0], &page["campaigns"][0]),
        (&report["campaigns"][1], &report["campaigns"][0])
    );
    // R38: the same figures in the campaign's own report.
    let one = shop.get("reports/campaigns/E1").await;
    assert_part("E1", &one, &shop.row("E1").await);
    assert_part(
        "its day",
        &one["days"][0],
        &json!({ "date": "2026-11-16", "purchases": 2, "revenue": { "USD": "15.00" }, "average_check": { "USD": "7.50" } }),
    );
}

#[tokio::test]
async fn r035_r036_r037_r060_revenue_is_exported_only_when_asked_for() {
    let (events, orders) = (
        ["=E1 email sent,delivered,opened c 16T10:00"],
        [
            "o c COMPLETE 10.00 USD 17T10:00",
            "e c COMPLETE 7.00 EUR 17T10:00",
        ],
    );
    let shop = Shop::after(json!({}), &events, &orders).await;
    let names = async |path: &str| shop.csv(path).await.lines().next().unwrap().to_owned();
    let plain = "campaign_id,name,tags,channels,sent_at,excluded,deliveries,opens,unique_opens,open_rate,bounces,bounce_rate,clicks,unique_clicks";
    assert_eq!(names("reports/campaigns").await, plain);
    assert_eq!(names("reports/campaigns?revenue=false").await, plain);
    let with_revenue = names("reports/campaigns?revenue=true").await;
    for column in [
        "purchases",
        "revenue_EUR",
        "revenue_USD",
        "average_check_USD",
    ] {
        assert!(
            with_revenue.split(',').any(|name| name == column),
            "{column} in {with_revenue}"
        );
    }
    let rows = shop.csv("reports/campaigns?revenue=true").await;
    let row: Vec<&str> = rows.lines().nth(1).unwrap().split(',').collect();
    assert_eq!((row[0], row[6]), ("'=E1", "1"));
    assert!(
        ["10.00", "7.00"].iter().all(|amount| row.contains(amount)),
        "{rows}"
    );
    let purchases = format!("reports/campaigns/{}/purchases", "%3DE1");
    assert!(!shop.csv(&purchases).await.contains("10.00"));
    let rows = shop.csv(&format!("{purchases}?revenue=true")).await;
    assert!(
        ["c,o,", "c,e,", "10.00", "7.00"]
            .iter()
            .all(|cells| rows.contains(cells)),
        "{rows}"
    );
    assert!(
        shop.csv("reports/orders")
            .await
            .starts_with("status,orders")
    );
}

#[tokio::test]
async fn r039_r062_the_sale_formula_stands_beside_the_numbers() {
    let events = [
        "E1 email sent,clicked c 16T10:00",
        "P push sent,delivered c 16T10:00",
    ];
    for (settings, campaign, words) in [
        (preset("yespo_v1"), "E1", ["24 hours", "click", "email"]),
        (json!({}), "E1", ["7 days", "send", "open"]),
        (json!({}), "P", ["7 days", "send", "push"]),
    ] {
        let shop = Shop::after(settings, &events, &["o c DELIVERED 1.00 USD 16T11:00"]).await;
        let row = shop.row(campaign).await;
        let formula = row["sale_formula"].as_str().unwrap().to_lowercase();
        assert!(words.iter().all(|word| formula.contains(word)), "{formula}");
        assert_eq!(
            shop.get(&format!("reports/campaigns/{campaign}")).await["sale_formula"],
            row["sale_formula"]
        );
    }
    // Of an order: of the version in force when it was placed, whatever came after.
    let shop = Shop::after(
        preset("yespo_v1"),
        &[CLICK],
        &["o c DELIVERED 1.00 USD 16T13:00"],
    )
    .await;
    let before = shop.get("orders/o/attribution").await;
    assert!(
        before["sale_formula"]
            .as_str()
            .unwrap()
            .contains("24 hours"),
        "{before}"
    );
    shop.put("settings", json!({})).await;
    assert_eq!(shop.get("orders/o/attribution").await, before);
}

#[tokio::test]
async fn r041_r064_every_order_is_credited_or_says_why_not() {
    let told = async |settings: Value, events: &[&str], order: &str| {
        let shop = Shop::after(settings, events, &[order]).await;
        let told = shop.get("orders/o/attribution").await;
        told["candidates"][0]["outcome"].as_str().map(str::to_owned)
    };
    let now = "o c COMPLETE 1.00 USD 17T10:00";
    let machine = "E1 email opened c 16T11:00 machine=true";
    for (settings, events, order, outcome) in [
        (json!({}), vec![MAIL, OPEN], now, Some("credited")),
        (json!({}), vec![MAIL], now, Some("no_connecting_event")),
        (
            json!({ "channels": {} }),
            vec![MAIL, OPEN],
            now,
            Some("channel_off"),
        ),
        (
            json!({}),
            vec![MAIL, OPEN],
            "o c COMPLETE 1.00 USD 16T10:30",
            Some("after_order"),
        ),
        (json!({}), vec![MAIL, machine], now, Some("machine_event")),
        (
            json!({ "machine_events": "count" }),
            vec![MAIL, machine],
            now,
            Some("credited"),
        ),
        (
            json!({ "channels": { "push": { "connect_on": ["opened"], "window": "7d", "window_from": "sent" } } }),
            vec!["P push opened c 16T11:00 app_version=5.0.9"],
            now,
            Some("app_version_too_old"),
        ),
        (
            json!({}),
            vec![MAIL, OPEN, "N sms sent d 17T09:00"],
            now,
            Some("superseded"),
        ),
        (
            json!({}),
            vec!["E1 email sent,opened c 09T10:00"],
            now,
            Some("outside_window"),
        ),
        (json!({ "link": false }), vec![MAIL, OPEN], now, None),
        (json!({}), vec![], now, None),
    ] {
        assert_eq!(
            told(settings.clone(), &events, order).await.as_deref(),
            outcome,
            "{settings} {events:?}"
        );
    }
    let shop = Shop::after(json!({}), &[MAIL, OPEN, "N sms sent d 17T09:00"], &[now]).await;
    assert_eq!(
        shop.get("orders/o/attribution").await["candidates"][0]["superseded_by"],
        "N"
    );
}

#[tokio::test]
async fn r042_r065_last_sent_or_last_interaction() {
    let events = [
        "A email sent c 16T09:00",
        "B email sent,clicked c 16T10:00",
        "A email clicked c 16T11:00",
    ];
    check_earners(&[
        (
            preset("yespo_v1"),
            &events,
            "o c DELIVERED 1.00 USD 16T12:00",
            "B",
        ),
        (
            preset("yespo_v2"),
            &events,
            "o c DELIVERED 1.00 USD 16T12:00",
            "A",
        ),
    ])
    .await;
}

#[tokio::test]
async fn r043_r066_what_a_refund_does() {
    for (refunds, part, whole, reason) in [
        (
            "drop_order",
            json!({ "USD": "10.00" }),
            json!({}),
            "E1 refunded",
        ),
        (
            "gross",
            json!({ "USD": "10.00" }),
            json!({ "USD": "10.00" }),
            "E1",
        ),
        ("net", json!({ "USD": "6.00" }), json!({}), "E1"),
    ] {
        let shop = Shop::open(json!({ "refunds": refunds })).await;
        shop.events(&[MAIL, OPEN]).await;
        for (refunded, revenue) in [("4.00", &part), ("10.00", &whole)] {
            shop.orders(&[&format!(
                "o c COMPLETE 10.00 USD 17T10:00 refunded_total={refunded}"
            )])
            .await;
            shop.run().await;
            assert_part(
                refunds,
                &shop.row("E1").await,
                &json!({ "revenue": revenue, "refunded": { "USD": refunded } }),
            );
        }
        assert_eq!(shop.earner("o").await, reason, "{refunds}");
    }
}

#[tokio::test]
async fn r044_linking_off_connects_nothing() {
    check_earners(&[(
        json!({ "link": false }),
        &[MAIL, OPEN],
        "o c COMPLETE 10.00 USD 17T10:00",
        "nobody linking_off",
    )])
    .await;
}

#[tokio::test]
async fn r050_r051_r052_orders_by_status() {
    let all = "ABANDONED_SHOPPING_CART PENDING INITIALIZED IN_PROGRESS PREPARING READY COMPLETE DELIVERED REJECTED CANCELLED REFUNDED";
    let orders: Vec<String> = all
        .split(' ')
        .enumerate()
        .map(|(n, status)| format!("o{n} c {status} {}.00 USD 17T10:00", 1 << n))
        .collect();
    let shop = Shop::after(
        preset("yespo_v2"),
        &[],
        &orders.iter().map(String::as_str).collect::<Vec<_>>(),
    )
    .await;
    let report = shop.get("reports/orders").await;
    // Places 2 to 7: 4 + 8 + 16 + 32 + 64 + 128.
    assert_eq!(
        report["total"],
        json!({ "orders": 6, "amount": { "USD": "252.00" } })
    );
    assert_eq!(
        report["cancelled"],
        json!({ "orders": 1, "amount": { "USD": "512.00" } })
    );
    let mut told: Vec<(String, i64, String)> = Vec::new();
    for row in report["statuses"].as_array().unwrap() {
        told.push((
            row["status"].as_str().unwrap().into(),
            row["orders"].as_i64().unwrap(),
            row["amount"]["USD"].as_str().unwrap().into(),
        ));
    }
    let expected: Vec<_> = all
        .split(' ')
        .enumerate()
        .map(|(n, status)| (status.to_owned(), 1, format!("{}.00", 1 << n)))
        .collect();
    told.sort();
    let mut sorted = expected;
    sorted.sort();
    assert_eq!(told, sorted);
}

#[tokio::test]
async fn r053_a_report_shows_the_part_of_one_channel() {
    let (events, orders) = (
        [
            "A email sent,delivered,opened c 16T10:00",
            "A sms sent,delivered d 16T10:00",
            "B push sent,delivered e 16T10:00",
        ],
        [
            "o c COMPLETE 10.00 USD 16T11:00",
            "p d COMPLETE 5.00 USD 16T11:00",
            "q q COMPLETE 1.00 USD 16T11:00",
        ],
    );
    let shop = Shop::after(json!({}), &events, &orders).await;
    for (channel, campaigns, deliveries, purchases, revenue) in [
        ("", 2, 3, 2, json!({ "USD": "15.00" })),
        ("email", 1, 1, 1, json!({ "USD": "10.00" })),
        ("sms", 1, 1, 1, json!({ "USD": "5.00" })),
        ("push", 1, 1, 0, json!({})),
    ] {
        let report = shop
            .get(&format!("reports/campaigns?channel={channel}"))
            .await;
        let totals = json!({ "campaigns": campaigns, "deliveries": deliveries, "purchases": purchases, "revenue": revenue });
        assert_part(channel, &report["totals"], &totals);
        // These never follow filters.
        let parts = ["counted", "credited", "uncredited"]
            .map(|part| report[part]["purchases"].as_i64().unwrap());
        assert_eq!(parts, [3, 2, 1], "{channel}");
    }
}

#[tokio::test]
async fn r055_purchases_to_opens_and_to_clicks() {
    let events = [
        "A email delivered,opened,clicked c 16T10:00",
        "A email opened c 16T10:01",
        "A email opened d 16T10:00",
        "A email opened e 16T10:00",
        "A email opened f 16T10:00",
        "A email clicked d 16T10:00",
        "B sms sent g 15T10:00",
    ];
    let shop = Shop::after(json!({}), &events, &["o c COMPLETE 10.00 USD 16T11:00"]).await;
    let rates = json!({ "opens": 5, "unique_opens": 4, "unique_clicks": 2, "purchase_to_open_rate": "0.2500", "purchase_to_click_rate": "0.5000" });
    assert_part("A", &shop.row("A").await, &rates);
    assert_part(
        "B",
        &shop.row("B").await,
        &json!({ "purchase_to_open_rate": null, "purchase_to_click_rate": null }),
    );
}

#[tokio::test]
async fn r056_the_list_of_buyers_sums_to_the_row() {
    let (events, orders) = (
        [
            "A email sent,opened c 16T10:00 message_id=m",
            "A sms sent,delivered d 16T10:00",
        ],
        [
            "o c COMPLETE 10.00 USD 16T11:00",
            "p d COMPLETE 5.50 USD 16T12:00",
            "q c COMPLETE 1.25 USD 16T13:00",
            "r c PENDING 9.00 USD 16T14:00",
        ],
    );
    let shop = Shop::after(json!({}), &events, &orders).await;
    assert_part(
        "A",
        &shop.row("A").await,
        &json!({ "purchases": 3, "purchasers": 2, "revenue": { "USD": "16.75" } }),
    );
    assert_eq!(shop.purchases("A").await, ["q 1.25", "p 5.50", "o 10.00"]);
    let first = shop.get("reports/campaigns/A/purchases?limit=2").await;
    let rest = shop
        .get(&format!(
            "reports/campaigns/A/purchases?limit=2&cursor={}",
            first["next_cursor"].as_str().unwrap()
        ))
        .await;
    let last = json!([{
        "customer_id": "c", "order_id": "o", "placed_at": "2026-11-16T11:00:00.000Z", "amount": "10.00", "currency": "USD", "channel": "email",
        "message_id": "m", "touch_kind": "opened", "touch_at": "2026-11-16T10:00:00.000Z",
    }]);
    assert_eq!(
        (&rest["purchases"], &rest["next_cursor"]),
        (&last, &Value::Null)
    );
    assert_eq!(
        shop.get("reports/campaigns/A/purchases?channel=sms").await["purchases"][0]["order_id"],
        "p"
    );
}

#[tokio::test]
async fn r059_the_contact_card() {
    let shop = Shop::open(json!({})).await;
    shop.events(&[MAIL, OPEN, "S sms delivered c 17T09:00"])
        .await;
    shop.orders(&[
        "o c COMPLETE 10.00 USD 16T12:00 email=a@b.c first_name=Ann",
        "p c PENDING 5.00 USD 16T13:00",
    ])
    .await;
    let card = shop.get("customers/c").await;
    assert_part(
        "card",
        &card,
        &json!({ "customer_id": "c", "email": "a@b.c", "first_name": "Ann", "phone": null, "redemptions": [] }),
    );
    let ids = |list: &str, id: &str| {
        card[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one[id].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (ids("orders", "order_id"), ids("messages", "campaign_id")),
        (vec![json!("p"), json!("o")], vec![json!("S"), json!("E1")])
    );
    assert_eq!(card["orders"][1]["credited_to"]["campaign_id"], "E1");
    assert_eq!(
        shop.status_for(&shop.key("marketer").await, "customers/nobody")
            .await,
        404
    );
}

#[tokio::test]
async fn r109_records_received_are_accounted_for() {
    let shop = Shop::open(json!({ "currency": "USD" })).await;
    let post = async |what: &str, records: Value| shop.call(Method::POST, what, records).await;
    let bad = json!({ "nothing": 1 });
    let mut events: Vec<Value> = [MAIL, OPEN]
        .iter()
        .flat_map(|line| crate::support::fixtures::events(line))
        .collect();
    events.extend([events[0].clone(), bad.clone()]);
    assert_eq!(post("events", json!(events)).await.0, 202);
    assert_eq!(post("events", json!(events[..1])).await.1["duplicates"], 1);
    let order = crate::support::fixtures::order;
    let (pending, complete) = (
        order("o c PENDING 10.00 USD 17T10:00"),
        order("o c COMPLETE 10.00 USD 17T10:00"),
    );
    let (refunded, euros) = (
        order("r c COMPLETE 10.00 USD 17T10:00 refunded_total=10"),
        order("e c COMPLETE 10.00 EUR 17T10:00"),
    );
    let (nobodys, waits) = (
        order("n d COMPLETE 10.00 USD 17T10:00"),
        order("w c PENDING 10.00 USD 17T10:00"),
    );
    let moved = order("o c COMPLETE 10.00 EUR 17T10:00");
    assert_eq!(
        post(
            "orders",
            json!([pending, refunded, euros, nobodys, waits, bad])
        )
        .await
        .0,
        202
    );
    // The standing copy becomes an older one, comes late once more, and is sent twice; a copy that may not be is rejected.
    assert_eq!(
        post("orders", json!([complete, pending, complete, moved]))
            .await
            .1["accepted"],
        2
    );
    // A call without a good record is answered 422 and not counted.
    assert_eq!(post("orders", json!([bad])).await.0, 422);
    shop.run().await;
    let told = shop.get("reports/reconciliation").await;
    let orders = json!({
        "received": 10, "stored": 5, "duplicates": 1, "older_copies": 2, "rejected": 2,
        "counted": 2, "credited": 1, "uncredited": 1, "other_status": 1, "other_currency": 1, "refunded": 1,
    });
    assert_part("orders", &told["orders"], &orders);
    assert_part(
        "events",
        &told["events"],
        &json!({ "received": 6, "stored": 3, "duplicates": 2, "rejected": 1 }),
    );
    assert_eq!(told["pending"], 0);
    assert_eq!(told["as_of"], json!(time("20T12:00:00.000")));
}
