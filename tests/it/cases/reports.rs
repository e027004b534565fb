//! Cases from the world: what public bug reports found wrong, each with its whole kind; numbers are those of the list that `tests/it/cases/README.md` tells of.
//! Here: parameters, cursors, periods, changes of settings, repeated calls, CSV.

use std::collections::BTreeSet;

use http::{HeaderMap, Method};
use serde_json::{Value, json};

use crate::support::fault_client::{FAULTS, Fault, FaultClient};
use crate::support::fixtures::{NOW, Shop, assert_part, at, segment};
use crate::support::service::{ADMIN, Service};
use crate::support::tier::one_in;

/// A call under the deployment's key with more headers.
async fn send(
    service: &Service,
    method: Method,
    path: &str,
    more: &[(&str, &str)],
    body: &str,
) -> (u16, Value, HeaderMap) {
    let bearer = format!("Bearer {ADMIN}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(more);
    let answer = service
        .answer(method, path, &headers, body.as_bytes().to_vec())
        .await;
    let body = serde_json::from_slice(answer.body()).unwrap_or_default();
    (answer.status().as_u16(), body, answer.headers().clone())
}

/// What is wrong, as `field code`.
fn errors(told: &Value) -> Vec<String> {
    let text = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let one = |error: &Value| format!("{} {}", text(error, "field"), text(error, "code"));
    let errors = told["errors"].as_array();
    errors.into_iter().flatten().map(one).collect()
}

/// The ids of a list.
fn ids(told: &Value, list: &str, id: &str) -> Vec<String> {
    let rows = told[list].as_array().unwrap_or_else(|| panic!("{told}"));
    let id = |row: &Value| row[id].as_str().unwrap().to_owned();
    rows.iter().map(id).collect()
}

/// The ids on all pages of a list.
async fn paged(shop: &Shop, path: &str, list: &str, id: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let told = shop.get(&format!("{path}{cursor}")).await;
        pages.push(ids(&told, list, id));
        match told["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

/// A shop whose campaigns earn, as `campaign amount currency`.
async fn earning(settings: Value, lines: &[&str]) -> Shop {
    let shop = Shop::open(settings).await;
    for (n, line) in lines.iter().enumerate() {
        earn(&shop, n, line).await;
    }
    shop.run().await;
    shop
}

async fn earn(shop: &Shop, n: usize, line: &str) {
    let (campaign, money) = line.split_once(' ').unwrap();
    shop.events(&[&format!("{campaign} email sent,clicked c{n} 17T10:00")])
        .await;
    shop.orders(&[&format!("o{n} c{n} COMPLETE {money} 17T11:00")])
        .await;
}

const MANY: [&str; 6] = [
    "A 60000 JPY",
    "B 700.00 USD",
    "C 500.00 EUR",
    "D 10.00 EUR",
    "E 1.00 EUR",
    "E 9000.00 USD",
];

#[tokio::test]
async fn case_12_money_sorts_by_one_currency_for_the_whole_report() {
    let apart = json!({ "supersede": "none" });
    let in_usd = json!({ "supersede": "none", "currency": "USD" });
    let hidden = json!({ "supersede": "none", "enabled": false });
    let few = ["A 5.00 USD", "B 7.00 EUR", "C 9.00 USD", "D 1.00 EUR"];
    for (settings, lines, query, currency, order) in [
        (&apart, &MANY[..], "", json!("EUR"), "CDEAB"),
        (&apart, &MANY, "?sort=revenue", json!("EUR"), "EDCAB"),
        (&apart, &MANY, "?sort=-average_check", json!("EUR"), "CDEAB"),
        // Nobody has refunds: all are absent.
        (&apart, &MANY, "?sort=-refunded", json!("EUR"), "ABCDE"),
        (&apart, &MANY, "?sort=-name", json!("EUR"), "EDCBA"),
        // The totals are those after the filters.
        (&apart, &MANY, "?name=b", json!("USD"), "B"),
        (&apart, &MANY, "?name=nobody", json!(null), ""),
        (&apart, &MANY, "?channel=sms", json!(null), ""),
        (&in_usd, &MANY, "", json!("USD"), "EBACD"),
        (&in_usd, &MANY, "?name=a", json!("USD"), "A"),
        (&hidden, &MANY, "", json!(null), "ABCDE"),
        // Two purchases each: the first code.
        (&apart, &few, "", json!("EUR"), "BDAC"),
        (&apart, &few[..3], "", json!("USD"), "CAB"),
    ] {
        let shop = earning(settings.clone(), lines).await;
        let path = format!("reports/campaigns{query}");
        let told = shop.get(&path).await;
        let got = ids(&told, "campaigns", "campaign_id").concat();
        assert_eq!(
            (got.as_str(), &told["sort_currency"]),
            (order, &currency),
            "{query}"
        );
        let by_pages = match query {
            "" => format!("{path}?limit=2"),
            _ => format!("{path}&limit=2"),
        };
        let pages = paged(&shop, &by_pages, "campaigns", "campaign_id").await;
        assert_eq!(pages.concat().concat(), order, "by pages: {query}");
    }
}

#[tokio::test]
async fn case_12_promotions_sort_by_one_currency_too() {
    let shop = Shop::open(json!({})).await;
    for (n, (promotion, reward, currency)) in [
        ("p1", "5.00", "EUR"),
        ("p2", "1.00", "USD"),
        ("p3", "1.00", "EUR"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("promotions/{promotion}");
        let body = json!({ "name": promotion, "tracking_from": "2026-11-01T00:00:00Z" });
        shop.put(&path, body).await;
        let redemption = json!({
            "redemption_id": format!("r{n}"), "promotion_id": promotion, "customer_id": "c", "reward_amount": reward,
            "currency": currency,
        });
        let (status, told) = shop.call(Method::POST, "redemptions", redemption).await;
        assert_eq!(status, 202, "{told}");
    }
    for (query, order) in [("sort=-result", "p3p1p2"), ("sort=result", "p1p3p2")] {
        let told = shop.get(&format!("reports/promotions?{query}")).await;
        let got = ids(&told, "promotions", "promotion_id").concat();
        assert_eq!(
            (got.as_str(), &told["sort_currency"]),
            (order, &json!("EUR"))
        );
        let path = format!("reports/promotions?{query}&limit=1");
        let pages = paged(&shop, &path, "promotions", "promotion_id").await;
        assert_eq!(pages.concat().concat(), order);
    }
}

/// The cursor of the first page of a list.
async fn first_page(shop: &Shop, path: &str, list: &str, id: &str) -> (Vec<String>, String) {
    let told = shop.get(path).await;
    let cursor = told["next_cursor"].as_str();
    (
        ids(&told, list, id),
        cursor
            .unwrap_or_else(|| panic!("{path}: {told}"))
            .to_owned(),
    )
}

#[tokio::test]
async fn case_13_rows_neither_repeat_nor_vanish_because_others_moved() {
    let six = [
        "A 60.00 EUR",
        "B 50.00 EUR",
        "C 40.00 EUR",
        "D 30.00 EUR",
        "E 20.00 EUR",
        "F 10.00 EUR",
    ];
    // Who moves where between the pages, and what page two shows then.
    for (moved, rest) in [
        ("F 1000.00 EUR", "DE"),
        ("E 15.00 EUR", "EDF"),
        // A new one above, and one below.
        ("G 45.00 EUR", "DEF"),
        ("G 25.00 EUR", "DGE"),
        // Another currency is the one with the most purchases now: the report stays that of its first page.
        ("C 900.00 USD", "DEF"),
    ] {
        let settings = json!({ "supersede": "none" });
        let shop = earning(settings, &six).await;
        let path = "reports/campaigns?limit=3";
        let (first, cursor) = first_page(&shop, path, "campaigns", "campaign_id").await;
        assert_eq!(first.concat(), "ABC");
        for n in 0..if moved.ends_with("USD") { 9 } else { 1 } {
            earn(&shop, 10 + n, moved).await;
        }
        shop.run().await;
        let told = shop.get(&format!("{path}&cursor={cursor}")).await;
        assert_eq!(
            ids(&told, "campaigns", "campaign_id").concat(),
            rest,
            "{moved}"
        );
    }
}

#[tokio::test]
async fn case_13_every_list_goes_on_behind_the_row_it_showed_last() {
    let shop = earning(
        json!({ "supersede": "none" }),
        &["A 1.00 EUR", "A 2.00 EUR", "A 3.00 EUR", "A 4.00 EUR"],
    )
    .await;
    let rules = |ids: &[&str]| -> Value { ids.iter().map(|id| json!({ "id": id })).collect() };
    let promotion = |rules: Value, metadata: Value| json!({ "tracking_from": "2026-11-01T00:00:00Z", "validation_rules": rules, "metadata": metadata });
    let metadata = json!({ "a": 1, "b": 2, "c": 3, "d": 4 });
    let body = promotion(rules(&["r4", "r1", "r2", "r3"]), metadata);
    shop.put("promotions/p2", body).await;
    for name in ["p1", "p3", "p4"] {
        shop.put(&format!("promotions/{name}"), json!({})).await;
    }
    let codes = json!({ "codes": ["v1", "v2", "v3", "v4"] });
    assert_eq!(
        shop.call(Method::POST, "promotions/p2/vouchers", codes)
            .await
            .0,
        201
    );
    let redeem = async |id: &str, promotion: &str, time: &str| {
        let body = json!({
            "redemption_id": id, "promotion_id": promotion, "customer_id": "c", "redeemed_at": at(time),
        });
        assert_eq!(shop.call(Method::POST, "redemptions", body).await.0, 202);
    };
    for n in 1..=4 {
        redeem(&format!("x{n}"), "p2", &format!("18T10:0{n}")).await;
        redeem(&format!("q{n}"), &format!("unknown{n}"), "18T10:00").await;
        shop.service.set_now(at(&format!("20T12:0{n}")));
        shop.run().await;
    }
    let lists = [
        ("orders", "orders", "order_id", "o3o2 o1o0"),
        (
            "reports/campaigns/A/purchases",
            "purchases",
            "order_id",
            "o3o2 o1o0",
        ),
        (
            "reports/promotions",
            "promotions",
            "promotion_id",
            "p1p2 p3p4",
        ),
        ("promotions/p2/validation-rules", "items", "id", "r1r2 r3r4"),
        ("promotions/p2/metadata", "items", "key", "ab cd"),
        (
            "promotions/p2/vouchers",
            "items",
            "voucher_code",
            "v1v2 v3v4",
        ),
        (
            "promotions/p2/redemptions",
            "items",
            "redemption_id",
            "x4x3 x2x1",
        ),
        ("redemptions", "items", "redemption_id", "x1x2 x3x4"),
        ("quarantine", "items", "id", "q1q2 q3q4"),
        ("runs", "runs", "run_id", ""),
    ];
    let mut cursors = Vec::new();
    let mut runs = Vec::new();
    for (path, list, id, expected) in lists {
        let (first, cursor) = first_page(&shop, &format!("{path}?limit=2"), list, id).await;
        match expected.split_once(' ') {
            Some((page, _)) => assert_eq!(first.concat(), page, "{path}"),
            None => runs = first,
        }
        cursors.push(cursor);
    }
    // New rows before the places of all cursors, and rows of the first pages that go.
    shop.service.set_now(at("20T12:10"));
    earn(&shop, 9, "A 9.00 EUR").await;
    shop.run().await;
    let body = promotion(
        rules(&["r0", "r2", "r3", "r4"]),
        json!({ "0": 0, "b": 2, "c": 3, "d": 4 }),
    );
    shop.put("promotions/p2", body).await;
    shop.put("promotions/p0", json!({})).await;
    let codes = json!({ "codes": ["v0"] });
    assert_eq!(
        shop.call(Method::POST, "promotions/p2/vouchers", codes)
            .await
            .0,
        201
    );
    redeem("x5", "p2", "19T10:00").await;
    redeem("q0", "unknown0", "18T10:00").await;
    for ((path, list, id, expected), cursor) in lists.iter().zip(&cursors) {
        let told = shop.get(&format!("{path}?limit=2&cursor={cursor}")).await;
        let second = ids(&told, list, id);
        match expected.split_once(' ') {
            Some((_, page)) => assert_eq!(second.concat(), page, "{path}"),
            None => assert!(second.len() == 2 && second.iter().all(|run| *run < runs[1])),
        }
    }
    // A cursor is good for its own list, with its own filters, and in its own marketplace; whoever changes a bit of it has none.
    shop.service.make("other", &json!({})).await;
    for ((path, ..), cursor) in lists.iter().zip(&cursors) {
        for (other, ..) in lists {
            let (status, told, _) = send(
                &shop.service,
                Method::GET,
                &shop.path(&format!("{other}?cursor={cursor}")),
                &[],
                "",
            )
            .await;
            let expected = if other == *path { 200 } else { 400 };
            assert_eq!(status, expected, "{path} {other}: {told}");
        }
        let mut changed = cursor.clone().into_bytes();
        for place in [0, 10, cursor.len() / 2, cursor.len() - 3] {
            let old = changed[place];
            changed[place] = if old == b'A' { b'Q' } else { b'A' };
            let forged = String::from_utf8(changed.clone()).unwrap();
            changed[place] = old;
            for bad in [
                format!("{path}?cursor={forged}"),
                format!("{path}?cursor={forged}&unknown=1&limit=0"),
                format!("{path}?cursor={}", &cursor[..place]),
                format!("{path}?cursor={cursor}AA"),
            ] {
                let (status, ..) =
                    send(&shop.service, Method::GET, &shop.path(&bad), &[], "").await;
                let empty = bad.ends_with("cursor=");
                assert_eq!(status, if empty { 200 } else { 400 }, "{bad}");
            }
        }
        let elsewhere = format!("/v1/marketplaces/other/{path}?cursor={cursor}");
        let (status, ..) = send(&shop.service, Method::GET, &elsewhere, &[], "").await;
        assert!([400, 404].contains(&status), "{path} elsewhere: {status}");
    }
    // Another process of the same deployment knows its cursors.
    let again = Service::on(
        shop.service.store.clone(),
        shop.service.tripwire.clone(),
        shop.service.now(),
        shop.service.retention,
    );
    again
        .get(&shop.path(&format!("orders?cursor={}", cursors[0])))
        .await;
}

#[tokio::test]
async fn case_14_parameters_that_a_route_does_not_know_are_refused() {
    let shop = Shop::after(
        json!({}),
        &["E email sent,clicked c 17T10:00"],
        &["o c COMPLETE 1.00 EUR 17T11:00"],
    )
    .await;
    let (report, orders) = ("reports/campaigns", "orders");
    for (path, query, status, wrong) in [
        (report, "chanel=email", 422, "chanel unknown_parameter"),
        (report, "chanel=", 422, "chanel unknown_parameter"),
        (report, "Channel=email", 422, "Channel unknown_parameter"),
        (
            report,
            "start=2026-11-01&end=2026-12-01",
            422,
            "end unknown_parameter, start unknown_parameter",
        ),
        (
            report,
            "channel=email&channel=sms",
            422,
            "channel unknown_parameter",
        ),
        (
            report,
            "channel=email&channel=email",
            422,
            "channel unknown_parameter",
        ),
        (
            report,
            "channel=&channel=email",
            422,
            "channel unknown_parameter",
        ),
        (
            report,
            "ch%61nnel=email&channel=sms",
            422,
            "channel unknown_parameter",
        ),
        (
            report,
            "channel=fax&x=1&x=2",
            422,
            "x unknown_parameter, channel unknown_channel",
        ),
        (
            report,
            "from=2026-11-20&to=2026-11-20",
            422,
            "from unknown_value",
        ),
        (
            report,
            "from=2026-11-21&to=2026-11-20",
            422,
            "from unknown_value",
        ),
        (report, "key=abc", 422, "key unknown_parameter"),
        (
            report,
            "since=2026-11-20T10:00:00Z",
            422,
            "since unknown_parameter",
        ),
        (report, "cursor=x&chanel=email", 400, ""),
        (report, "channel=&from=&tag=", 200, ""),
        (report, "", 200, ""),
        (report, "&", 200, ""),
        ("reports/campaigns/E", "tag=x", 422, "tag unknown_parameter"),
        (
            "reports/orders",
            "status=READY",
            422,
            "status unknown_parameter",
        ),
        (
            "reports/reconciliation",
            "from=2026-11-20&to=2026-11-20",
            422,
            "from unknown_value",
        ),
        (orders, "customer=c", 422, "customer unknown_parameter"),
        (
            orders,
            "status=READY&status=PENDING",
            422,
            "status unknown_parameter",
        ),
        ("reports/promotions", "metadata.a=1&metadata.b=2", 200, ""),
        (
            "reports/promotions",
            "metadata.a=1&metadata.a=2",
            422,
            "metadata.a unknown_parameter",
        ),
        (
            "reports/promotions",
            "metadata=1",
            422,
            "metadata unknown_parameter",
        ),
        ("orders/o", "x=1", 422, "x unknown_parameter"),
        ("settings", "version=1", 422, "version unknown_parameter"),
    ] {
        let path = shop.path(&format!("{path}?{query}"));
        let (got, told, _) = send(&shop.service, Method::GET, &path, &[], "").await;
        assert_eq!(
            (got, errors(&told).join(", ").as_str()),
            (status, wrong),
            "{path}: {told}"
        );
    }
}

#[tokio::test]
async fn case_14_on_every_route_there_is() {
    let shop = Shop::open(json!({})).await;
    shop.put("campaigns/x", json!({})).await;
    shop.put("promotions/x", json!({ "name": "X" })).await;
    let before = shop.get("promotions/x").await;
    let (mut routes, mut read) = (0, 0);
    let all = revtrail::serve::routes(manage::in_process(drop));
    // Pages have tests of their own.
    for route in all.into_iter().filter(|route| !route.is_page()) {
        let path = route.path().replace("{marketplace}", "m");
        let path = path
            .split('/')
            .map(|part| if part.starts_with('{') { "x" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let json = [("content-type", "application/json")];
        for (query, wrong) in [("nothing=1", "nothing"), ("nothing", "nothing")] {
            let url = format!("{path}?{query}");
            let method = route.method().clone();
            let (status, told, _) = send(&shop.service, method, &url, &json, "{}").await;
            assert_eq!(
                (status, errors(&told)),
                (422, vec![format!("{wrong} unknown_parameter")]),
                "{} {url}: {told}",
                route.method()
            );
        }
        if [Method::POST, Method::PUT, Method::PATCH].contains(route.method()) {
            for (media, body, expected) in
                [("text/plain", "{}", 415), ("application/json", "{", 400)]
            {
                let url = format!("{path}?nothing=1");
                let media = [("content-type", media)];
                let method = route.method().clone();
                let (status, ..) = send(&shop.service, method, &url, &media, body).await;
                assert_eq!(status, expected, "{} {url} {body}", route.method());
            }
            read += 1;
        }
        routes += 1;
    }
    assert!(routes >= 50 && read >= 18, "{routes} {read}");
    assert_eq!(shop.get("keys").await["keys"], json!([]));
    assert_eq!(shop.get("runs").await["runs"], json!([]));
    assert_eq!(shop.get("promotions/x").await, before);
    assert_eq!(shop.get("settings").await["version"], 1);
}

#[tokio::test]
async fn case_15_without_revenue_purchases_show_no_money() {
    let settings = json!({ "supersede": "none" });
    let shop = earning(settings.clone(), &["A 9.00 EUR", "A 5.00 USD"]).await;
    let path = "reports/campaigns/A/purchases";
    let shown = shop.get(path).await;
    assert_part(
        "shown",
        &shown["purchases"][0],
        &json!({ "amount": "5.00", "currency": "USD" }),
    );
    assert!(
        shop.csv(&format!("{path}?revenue=true"))
            .await
            .contains("amount_EUR,amount_USD")
    );
    let mut hidden = settings;
    hidden["enabled"] = json!(false);
    shop.put("settings", hidden).await;
    let told = shop.get(path).await;
    let purchases = told["purchases"].as_array().unwrap();
    assert_eq!(purchases.len(), 2, "{told}");
    let keys =
        |row: &Value| -> BTreeSet<String> { row.as_object().unwrap().keys().cloned().collect() };
    for purchase in purchases {
        let mut expected = keys(&shown["purchases"][0]);
        assert!(expected.remove("amount") && expected.remove("currency"));
        assert_eq!(keys(purchase), expected);
    }
    for query in ["", "?revenue=true"] {
        let csv = shop.csv(&format!("{path}{query}")).await;
        assert!(
            !csv.contains("amount") && !csv.contains("EUR") && !csv.contains("9.00"),
            "{csv}"
        );
        assert_eq!(csv.lines().count(), 3);
    }
    // What campaigns made is left out wherever it is told, under any parameters; orders keep their amounts.
    let left_out = [
        "purchases",
        "purchasers",
        "revenue",
        "refunded",
        "average_check",
        "purchase_to_open_rate",
        "purchase_to_click_rate",
        "order_rate",
        "revenue_per_delivery",
        "share",
        "sale_formula",
        "counted",
        "credited",
        "uncredited",
    ];
    for path in [
        "reports/campaigns",
        "reports/campaigns?sort=-revenue&channel=email",
        "reports/campaigns/A",
    ] {
        let told = shop.get(path).await;
        let mut objects = vec![&told, &told["totals"]];
        objects.extend(told["campaigns"].as_array().into_iter().flatten());
        objects.extend(told["days"].as_array().into_iter().flatten());
        for (object, name) in objects
            .iter()
            .flat_map(|object| left_out.map(|name| (object, name)))
        {
            assert!(object.get(name).is_none(), "{path}: {name} in {object}");
        }
    }
    for path in [
        "reports/campaigns?revenue=true",
        "reports/campaigns/A?revenue=true",
    ] {
        let csv = shop.csv(path).await;
        assert!(
            !csv.contains("revenue") && !csv.contains("purchase"),
            "{csv}"
        );
    }
    assert_eq!(shop.get("orders/o0").await["total"], "9.00");
    assert!(shop.csv("orders?revenue=true").await.contains("9.00"));
}

#[tokio::test]
async fn case_27_every_report_tells_its_period() {
    let settings = json!({ "timezone": "Pacific/Auckland" });
    let shop = earning(settings, &["A 9.00 EUR"]).await;
    // It is the 21st in Auckland, and the retention ends on the 23rd of August there.
    let shown = |from: &str, to: &str| json!({ "from": from, "to": to });
    for path in [
        "reports/campaigns",
        "reports/campaigns/A",
        "reports/campaigns/A/purchases",
        "reports/orders",
        "reports/reconciliation",
        "orders",
    ] {
        let all_of_it = match path {
            "reports/reconciliation" => shown("2026-08-23", "2026-11-24"),
            _ => shown("2026-10-23", "2026-11-22"),
        };
        for (query, period) in [
            ("", all_of_it),
            (
                "?from=2026-11-01&to=2026-11-02",
                shown("2026-11-01", "2026-11-02"),
            ),
            ("?from=2026-11-01", shown("2026-11-01", "2026-12-01")),
            ("?to=2026-11-01", shown("2026-10-02", "2026-11-01")),
            // Of days that are not seen any more nothing is used.
            (
                "?from=2026-01-01&to=2026-11-01",
                shown("2026-08-23", "2026-11-01"),
            ),
            (
                "?from=2026-01-01&to=2026-02-01",
                shown("2026-02-01", "2026-02-01"),
            ),
        ] {
            let told = shop.get(&format!("{path}{query}")).await;
            assert_eq!(told["period"], period, "{path}{query}");
        }
    }
}

/// A service that keeps what it was told to do, and a hint as a person would paste it.
#[tokio::test]
async fn case_31_the_hints_of_serve_work_one_after_the_other() {
    let service = Service::at(NOW).await;
    let hints = revtrail::hints::from_nothing(service.now());
    let steps: Vec<&str> = hints.iter().map(|hint| hint.path.as_str()).collect();
    let place = |part: &str| steps.iter().position(|path| path.contains(part)).unwrap();
    let order = [
        "/settings",
        "/campaigns/",
        "/events",
        "/orders",
        "/runs",
        "/reports/campaigns?from=",
    ];
    let places: Vec<usize> = order.into_iter().map(place).collect();
    assert!(
        places.is_sorted(),
        "settings come first, reports last: {steps:?}"
    );
    for hint in &hints {
        let line = hint.curl("http://x", "'Authorization: Bearer k'");
        assert_eq!(line.matches('\'').count() % 2, 0, "{line}");
        service.set_now(service.now().plus_ms(20_000));
        let body = hint.body.as_ref().map(Value::to_string).unwrap_or_default();
        let method: Method = hint.method.parse().unwrap();
        let media = [("content-type", "application/json")];
        let (status, told, _) = send(&service, method, &hint.path, &media, &body).await;
        assert!((200..300).contains(&status), "{line}: {status} {told}");
        assert!(
            told.get("rejected")
                .is_none_or(|rejected| *rejected == json!([]))
        );
        if hint.path.ends_with("/attribution") {
            assert_eq!(told["credited_to"]["campaign_id"], "spring", "{told}");
        }
        if hint.path.ends_with("/runs") {
            let enqueued = service.enqueued();
            assert_eq!(enqueued.len(), 1);
            service
                .attributor()
                .drain(enqueued, &|| service.now())
                .await
                .unwrap();
        }
        if hint.path.contains("/reports/campaigns") {
            assert_eq!(
                told["campaigns"][0]["revenue"],
                json!({ "EUR": "100.00" }),
                "{told}"
            );
        }
    }
    // The shop's own marketplace holds no test order, so its settings still replace each other.
    assert!(
        steps
            .iter()
            .all(|path| path.starts_with("/v1/marketplaces/try"))
    );
    service.make("shop", &json!({})).await;
    let (_, told) = service
        .put(
            "/v1/marketplaces/shop/settings",
            &json!({ "preset": "yespo_v1", "currency": "EUR" }),
        )
        .await;
    assert_eq!(told["orders_before"], 0);
}

#[tokio::test]
async fn case_31_orders_before_is_explained() {
    let shop = earning(
        json!({ "supersede": "none" }),
        &["A 1.00 EUR", "A 2.00 EUR"],
    )
    .await;
    for method in [Method::PUT, Method::PATCH] {
        let currency = if method == Method::PUT { "EUR" } else { "USD" };
        let told = shop
            .call(method, "settings", json!({ "currency": currency }))
            .await
            .1;
        assert_eq!(told["orders_before"], 2, "{told}");
        let marker = told["orders_before_note"].as_str().unwrap();
        assert!(
            marker.starts_with("2 orders were placed before 2026-11-20T12:00:00.000Z"),
            "{marker}"
        );
    }
    let empty = Shop::open(json!({})).await;
    let told = empty.put("settings", json!({ "currency": "EUR" })).await;
    assert_part(
        "none",
        &told,
        &json!({ "orders_before": 0, "orders_before_note": null }),
    );
}

#[tokio::test]
async fn case_32_changes_of_settings_are_told_and_can_be_single() {
    let begun = json!({ "preset": "yespo_v1", "currency": "USD", "timezone": "Europe/Kyiv", "excluded_tags": ["technical"] });
    let sms = json!({ "connect_on": ["delivered"], "window": "24h", "window_from": "event" });
    let change = |field: &str, before: Value, after: Value| json!({ "field": field, "before": before, "after": after });
    for (method, body, changed) in [
        // Alone, it takes all else from the preset, and says so.
        (
            Method::PUT,
            json!({ "timezone": "Europe/Dublin" }),
            vec![
                change(
                    "channels.email.connect_on",
                    json!(["clicked"]),
                    json!(["opened", "clicked"]),
                ),
                change("channels.email.window", json!("24h"), json!("7d")),
                change("channels.email.window_from", json!("event"), json!("sent")),
                change("channels.push.window", json!("24h"), json!("7d")),
                change("channels.push.window_from", json!("event"), json!("sent")),
                change("channels.sms.window", json!("24h"), json!("7d")),
                change("channels.sms.window_from", json!("event"), json!("sent")),
                change(
                    "counted_statuses",
                    json!(["DELIVERED"]),
                    json!(["PREPARING", "READY", "COMPLETE"]),
                ),
                change("currency", json!("USD"), json!(null)),
                change("excluded_tags", json!(["technical"]), json!([])),
                change("refunds", json!("gross"), json!("drop_order")),
                change("supersede", json!("none"), json!("marketplace")),
                change("timezone", json!("Europe/Kyiv"), json!("Europe/Dublin")),
            ],
        ),
        (
            Method::PATCH,
            json!({ "timezone": "Europe/Dublin" }),
            vec![change(
                "timezone",
                json!("Europe/Kyiv"),
                json!("Europe/Dublin"),
            )],
        ),
        (Method::PATCH, json!({}), vec![]),
        (Method::PATCH, json!({ "timezone": "Europe/Kyiv" }), vec![]),
        (
            Method::PATCH,
            json!({ "timezone": null, "currency": null, "excluded_tags": null }),
            vec![
                change("currency", json!("USD"), json!(null)),
                change("excluded_tags", json!(["technical"]), json!([])),
                change("timezone", json!("Europe/Kyiv"), json!("UTC")),
            ],
        ),
        (
            Method::PATCH,
            json!({ "channels": { "sms": null, "email": { "window": "3d" } } }),
            vec![
                change("channels.email.window", json!("24h"), json!("3d")),
                change("channels.sms", sms, json!(null)),
            ],
        ),
        (
            Method::PATCH,
            json!({ "winner": null, "refunds": "net" }),
            vec![change("refunds", json!("gross"), json!("net"))],
        ),
    ] {
        let shop = Shop::open(begun.clone()).await;
        let before = shop.get("settings").await;
        let (status, told) = shop.call(method.clone(), "settings", body.clone()).await;
        assert_eq!(
            (status, &told["changed"]),
            (200, &json!(changed)),
            "{method} {body}"
        );
        let version = if changed.is_empty() { 1 } else { 2 };
        assert_eq!(told["version"], version, "{method} {body}");
        let stands = shop.get("settings").await;
        assert_eq!(stands["settings"], told["settings"]);
        if method == Method::PATCH {
            let mut same = stands["settings"].as_object().unwrap().clone();
            same.retain(|name, _| body.get(name).is_none());
            assert_part("the rest stays", &before["settings"], &json!(same));
        }
    }
    let shop = Shop::open(begun).await;
    for (body, wrong) in [
        (json!({ "preset": "yespo_v2" }), "preset unknown_field"),
        (
            json!({ "timezone": "Mars", "winer": "x" }),
            "winer unknown_field, timezone unknown_value",
        ),
        (
            json!({ "channels": { "sms": { "window": "1y" } } }),
            "channels.sms.window unknown_value",
        ),
        (
            json!({ "channels": { "fax": { "window": "1d" } } }),
            "channels.fax unknown_channel",
        ),
    ] {
        let (status, told) = shop.call(Method::PATCH, "settings", body.clone()).await;
        assert_eq!(status, 422, "{body}: {told}");
        for wrong in wrong.split(", ") {
            let (field, _) = wrong.split_once(' ').unwrap();
            assert!(
                errors(&told).iter().any(|one| one.starts_with(field)),
                "{body}: {told}"
            );
        }
        assert_eq!(shop.get("settings").await["version"], 1);
    }
}

#[tokio::test]
async fn case_32_campaigns_and_promotions_are_changed_field_by_field() {
    let shop = Shop::open(json!({})).await;
    for path in ["campaigns/c", "promotions/c"] {
        assert_eq!(
            shop.call(Method::PATCH, path, json!({})).await.0,
            404,
            "{path}"
        );
    }
    let campaign = json!({
        "name": "Spring", "tags": ["sale"], "sent_at": "2026-11-16T10:00:00Z", "triggered": false, "metadata": { "a": { "b": 1 }, "c": 2 },
    });
    let promotion = json!({
        "name": "Spring", "kind": "tiered", "type": "amount", "value": "5", "currency": "EUR", "cap": 10, "redemption_limit": 3,
        "budget": { "amount": "100", "currency": "EUR" }, "tiers": [{ "tier_id": "gold", "value": "9" }],
        "validation_rules": [{ "id": "r1", "text": "once" }], "tracking_from": "2026-11-01T00:00:00Z", "description": "d",
        "metadata": { "a": { "b": 1 } },
    });
    for (path, begun, patch, changed) in [
        (
            "campaigns/c",
            &campaign,
            json!({ "name": "Summer" }),
            json!({ "name": "Summer" }),
        ),
        ("campaigns/c", &campaign, json!({}), json!({})),
        (
            "campaigns/c",
            &campaign,
            json!({ "name": null, "tags": null, "sent_at": null, "metadata": { "a": { "b": null, "x": 1.50 }, "d": [] } }),
            json!({ "name": "c", "tags": [], "sent_at": null, "metadata": { "a": { "x": 1.5 }, "c": 2, "d": [] } }),
        ),
        (
            "promotions/c",
            &promotion,
            json!({ "cap": 20 }),
            json!({ "cap": 20 }),
        ),
        ("promotions/c", &promotion, json!({}), json!({})),
        (
            "promotions/c",
            &promotion,
            json!({ "cap": null, "budget": { "amount": "200.5" }, "description": null, "tracking_from": null, "kind": null, "name": null }),
            json!({ "cap": null, "budget": { "amount": "200.50", "currency": "EUR" }, "description": null, "kind": "global", "name": "c" }),
        ),
        (
            "promotions/c",
            &promotion,
            json!({ "voucher": { "value": "6" } }),
            json!({ "value": "6.00" }),
        ),
        (
            "promotions/c",
            &promotion,
            json!({ "validation_rules": [{ "id": "r1", "text": "twice" }], "tiers": null }),
            json!({ "validation_rules": [{ "id": "r1", "name": null, "text": "twice", "version": 2 }], "tiers": [] }),
        ),
    ] {
        let shop = Shop::open(json!({})).await;
        shop.put(path, begun.clone()).await;
        let mut expected = shop.get(path).await;
        for (name, value) in changed.as_object().unwrap() {
            expected[name] = value.clone();
        }
        let (status, told) = shop.call(Method::PATCH, path, patch.clone()).await;
        assert_eq!((status, &told), (200, &expected), "{path} {patch}");
        assert_eq!(shop.get(path).await, expected, "{path} {patch}");
    }
    // An amount that is a JSON number is read from its text.
    shop.put(
        "promotions/p",
        json!({ "type": "amount", "value": "1", "currency": "EUR" }),
    )
    .await;
    let exact = r#"{"value":123456789012345.123456}"#;
    let path = shop.path("promotions/p");
    let (status, told, _) = send(&shop.service, Method::PATCH, &path, &[], exact).await;
    assert_eq!(
        (status, &told["value"]),
        (200, &json!("123456789012345.123456"))
    );
}

#[tokio::test]
async fn case_32_who_was_slower_is_told_so() {
    let shop = Shop::open(json!({})).await;
    for (path, one, two) in [
        (
            "settings",
            json!({ "currency": "EUR" }),
            json!({ "currency": "USD" }),
        ),
        (
            "campaigns/c",
            json!({ "name": "one" }),
            json!({ "name": "two" }),
        ),
        (
            "promotions/c",
            json!({ "name": "one" }),
            json!({ "name": "two" }),
        ),
    ] {
        let path = shop.path(path);
        let call = async |method: Method, tag: &str, body: &Value| {
            let headers: &[(&str, &str)] = if tag.is_empty() {
                &[]
            } else {
                &[("if-match", tag)]
            };
            let (status, told, headers) =
                send(&shop.service, method, &path, headers, &body.to_string()).await;
            let tag = headers
                .get("etag")
                .map(|tag| tag.to_str().unwrap().to_owned());
            (status, told, tag.unwrap_or_default())
        };
        if !path.ends_with("settings") {
            assert_eq!(
                call(Method::PUT, "*", &one).await.0,
                412,
                "{path}: nothing is there"
            );
        }
        let (status, _, put) = call(Method::PUT, "", &one).await;
        assert!(status < 300);
        let (_, _, got) = call(Method::GET, "", &Value::Null).await;
        assert_eq!(put, got, "{path}");
        assert!(
            got.starts_with('"') && got.ends_with('"') && got.len() > 10,
            "{got}"
        );
        assert_eq!(call(Method::PATCH, "\"no\"", &two).await.0, 412, "{path}");
        assert_eq!(
            call(Method::PATCH, &format!("W/{got}"), &two).await.0,
            412,
            "{path}"
        );
        let (status, _, next) = call(Method::PATCH, &format!("\"no\", {got}"), &two).await;
        assert_eq!(status, 200, "{path}");
        assert_ne!(next, got);
        for method in [Method::PUT, Method::PATCH] {
            assert_eq!(call(method, &got, &one).await.0, 412, "{path}");
        }
        assert_eq!(call(Method::PUT, "*", &one).await.0, 200, "{path}");
    }
    // Events of a campaign change nothing that people told of it.
    let path = shop.path("campaigns/c");
    let tag = async || send(&shop.service, Method::GET, &path, &[], "").await.2["etag"].clone();
    let before = tag().await;
    shop.events(&["c email sent,clicked x 17T10:00"]).await;
    shop.run().await;
    assert_eq!(tag().await, before);
}

/// Calls that make something new each time, and how much of it there is.
const MAKERS: [(&str, &str); 4] = [
    (
        "promotions/p/vouchers",
        r#"{"generate":5,"prefix":"G-","length":8,"limit":1}"#,
    ),
    ("promotions/p/vouchers", r#"{"codes":["A","B","A"]}"#),
    ("keys", r#"{"name":"till","role":"partner"}"#),
    ("runs", r#"{}"#),
];

async fn made(service: &Service, marketplace: &str) -> [usize; 3] {
    let m = format!("/v1/marketplaces/{marketplace}");
    let count = async |path: &str, list: &str| {
        let told = service.get(&format!("{m}/{path}")).await;
        told[list].as_array().unwrap().len()
    };
    [
        count("promotions/p/vouchers?limit=1000", "items").await,
        count("keys", "keys").await,
        count("runs?limit=1000", "runs").await,
    ]
}

async fn with_promotion(service: &Service, marketplace: &str) {
    service.make(marketplace, &json!({})).await;
    for id in ["p", "q"] {
        let path = format!("/v1/marketplaces/{marketplace}/promotions/{id}");
        let (status, told) = service.put(&path, &json!({ "name": "P" })).await;
        assert_eq!(status, 201, "{told}");
    }
}

#[tokio::test]
async fn case_10_the_same_key_and_body_get_the_first_answer() {
    let service = Service::at(NOW).await;
    for marketplace in ["m", "n"] {
        with_promotion(&service, marketplace).await;
    }
    let call = async |path: &str, key: &str, body: &str| {
        let (status, told, headers) = send(
            &service,
            Method::POST,
            path,
            &[("idempotency-key", key)],
            body,
        )
        .await;
        (status, told, headers.get("location").cloned())
    };
    let mut told = Vec::new();
    for (path, body) in MAKERS {
        let own = format!("/v1/marketplaces/m/{path}");
        // One key for all kinds of calls: but for the two of one route, each is a call of its own.
        let key = if body.contains("codes") { "k2" } else { "k1" };
        let first = call(&own, key, body).await;
        assert!((200..300).contains(&first.0), "{first:?}");
        let spelled = body.replace(':', " : ").replace(',', " ,\n");
        for again in [body, spelled.as_str()] {
            assert_eq!(call(&own, key, again).await, first, "{path} {again}");
        }
        let other = body.replace('}', r#","more":1}"#).replace("{,", "{");
        let conflict = match path {
            "promotions/p/vouchers" => call(&own, key, r#"{"generate":6}"#).await,
            "keys" => call(&own, key, r#"{"name":"till","role":"admin"}"#).await,
            _ => call(&own, key, r#"{"verify":"all"}"#).await,
        };
        assert_eq!(
            (conflict.0, errors(&conflict.1)),
            (409, vec![" idempotency_conflict".to_owned()]),
            "{other}"
        );
        // Another name, and another marketplace, is another call.
        let elsewhere = call(&format!("/v1/marketplaces/n/{path}"), key, body).await;
        assert_eq!(elsewhere.0, first.0);
        if path == "keys" {
            assert_ne!(elsewhere.1["key"], first.1["key"]);
            let secret = first.1["key"].as_str().unwrap();
            let (status, _) = service
                .call_as(secret, Method::GET, "/v1/marketplaces/m/batches", None)
                .await;
            assert_eq!(status, 200);
        }
        told.push((own, key, body, first));
    }
    assert_eq!(made(&service, "m").await, [7, 1, 1]);
    assert_eq!(made(&service, "n").await, [7, 1, 1]);
    let log = service.get("/v1/marketplaces/m/promotions/p/changes").await;
    assert_eq!(ids(&log, "items", "field"), ["vouchers", "vouchers"]);
    // Another promotion is another route, and another process remembers.
    let q = "/v1/marketplaces/m/promotions/q/vouchers";
    assert_eq!(
        call(q, "k1", MAKERS[0].1).await.1,
        json!({ "created": 5, "existing": 0 })
    );
    service.set_now(service.now().plus_ms(86_400_000 - 60_000));
    let again = Service::on(
        service.store.clone(),
        service.tripwire.clone(),
        service.now(),
        service.retention,
    );
    for (path, key, body, first) in &told {
        let (status, told, _) = send(
            &again,
            Method::POST,
            path,
            &[("idempotency-key", key)],
            body,
        )
        .await;
        assert_eq!((status, &told), (first.0, &first.1), "{path}");
    }
    assert_eq!(made(&service, "m").await, [7, 1, 1]);
    // After a day the name is free.
    service.set_now(service.now().plus_ms(120_000));
    for (path, key, body, first) in &told {
        let later = call(path, key, body).await;
        assert_eq!(later.0, first.0, "{path}");
        assert!(later.1 != first.1 || body.contains("generate"), "{path}");
    }
    assert_eq!(made(&service, "m").await, [12, 2, 2]);
}

#[tokio::test]
async fn case_10_keys_that_are_none_and_calls_that_fail_make_nothing() {
    let service = Service::at(NOW).await;
    with_promotion(&service, "m").await;
    for (path, body) in MAKERS {
        let path = format!("/v1/marketplaces/m/{path}");
        for keys in [
            vec![""],
            vec!["x".repeat(129).leak() as &str],
            vec!["a", "b"],
        ] {
            let headers: Vec<_> = keys.iter().map(|key| ("idempotency-key", *key)).collect();
            let (status, told, _) = send(&service, Method::POST, &path, &headers, body).await;
            assert_eq!(
                (status, errors(&told)),
                (422, vec!["idempotency-key unknown_value".to_owned()]),
                "{path}"
            );
        }
        // A refused call leaves its name to the corrected one.
        let key = [("idempotency-key", "k")];
        let (status, ..) = send(
            &service,
            Method::POST,
            &path,
            &key,
            r#"{"role":7,"generate":"x","verify":1}"#,
        )
        .await;
        assert_eq!(status, 422, "{path}");
    }
    assert_eq!(made(&service, "m").await, [0, 0, 0]);
    let longest = "x".repeat(128);
    for (path, body) in [MAKERS[0], MAKERS[2], MAKERS[3]] {
        let path = format!("/v1/marketplaces/m/{path}");
        for key in ["k", longest.as_str()] {
            let key = [("idempotency-key", key)];
            let (status, told, _) = send(&service, Method::POST, &path, &key, body).await;
            assert!((200..300).contains(&status), "{path}: {told}");
        }
    }
    assert_eq!(made(&service, "m").await, [10, 2, 2]);
    // Without a key each call is its own.
    for _ in 0..2 {
        let path = "/v1/marketplaces/m/promotions/p/vouchers";
        assert_eq!(
            send(&service, Method::POST, path, &[], MAKERS[0].1).await.0,
            201
        );
    }
    assert_eq!(made(&service, "m").await, [20, 2, 2]);
}

#[tokio::test]
async fn case_10_a_code_is_drawn_once_in_a_call() {
    let service = Service::at(NOW).await;
    with_promotion(&service, "m").await;
    let path = "/v1/marketplaces/m/promotions/p/vouchers";
    // All nine codes that there are, one of them another promotion's.
    let taken = json!({ "codes": ["ab"] });
    assert_eq!(
        service
            .post("/v1/marketplaces/m/promotions/q/vouchers", &taken)
            .await
            .0,
        201
    );
    let body = r#"{"generate":9,"length":2,"charset":"abc"}"#;
    for _ in 0..2 {
        let (_, told, _) = send(
            &service,
            Method::POST,
            path,
            &[("idempotency-key", "k")],
            body,
        )
        .await;
        assert_eq!(told, json!({ "created": 8, "existing": 0 }));
    }
    assert_eq!(made(&service, "m").await[0], 8);
}

#[tokio::test]
async fn case_10_two_calls_at_once_make_one() {
    let service = Service::at(NOW).await;
    with_promotion(&service, "m").await;
    let many = r#"{"generate":200,"length":8}"#;
    for (path, body) in [("promotions/p/vouchers", many), MAKERS[2], MAKERS[3]] {
        let path = format!("/v1/marketplaces/m/{path}");
        let key = [("idempotency-key", "k")];
        let one = || send(&service, Method::POST, &path, &key, body);
        let (a, b, c) = tokio::join!(one(), one(), one());
        assert!((200..300).contains(&a.0), "{a:?}");
        assert_eq!((&a.1, &a.1), (&b.1, &c.1), "{path}");
    }
    assert_eq!(made(&service, "m").await, [200, 1, 1]);
}

/// Every call to the table fails once, in every way; whoever repeats the call gets one thing made.
#[tokio::test]
async fn case_10_what_dies_between_making_and_answering_is_made_once() {
    let mut cases = 0;
    for (path, body) in MAKERS {
        let mut call = 1;
        loop {
            let mut reached = false;
            for (nth, fault) in FAULTS.into_iter().enumerate() {
                // A share has one fault in three at each call, in turn.
                if !one_in(3, nth + call) {
                    continue;
                }
                let line = FaultClient::new();
                line.store().create_table().await.unwrap();
                let service = Service::over(&line, at("20T12:00"));
                with_promotion(&service, "m").await;
                let path = format!("/v1/marketplaces/m/{path}");
                let key = [("idempotency-key", "k")];
                line.fail_at(call, fault);
                let first = send(&service, Method::POST, &path, &key, body).await;
                let calls = line.calls();
                line.clear();
                if calls.len() < call {
                    continue;
                }
                reached = true;
                if !calls[call - 1].takes(fault) || matches!(fault, Fault::StaleRead) {
                    continue;
                }
                cases += 1;
                // The process that died forgets all.
                let service = Service::over(&line, at("20T12:01"));
                let (status, told, _) = send(&service, Method::POST, &path, &key, body).await;
                assert!(
                    (200..300).contains(&status),
                    "{path} {call} {fault:?}: {told}"
                );
                if first.0 < 300 {
                    assert_eq!(first.1, told, "{path} {call} {fault:?}");
                }
                let expected = match (path.rsplit('/').next(), body.contains("codes")) {
                    (Some("vouchers"), true) => [2, 0, 0],
                    (Some("vouchers"), false) => [5, 0, 0],
                    (Some("keys"), _) => [0, 1, 0],
                    _ => [0, 0, 1],
                };
                assert_eq!(
                    made(&service, "m").await,
                    expected,
                    "{path} {call} {fault:?}"
                );
                match path.rsplit('/').next() {
                    Some("vouchers") => {
                        let all = json!({ "created": expected[0], "existing": if body.contains("codes") { 1 } else { 0 } });
                        assert_eq!(told, all, "{path} {call} {fault:?}");
                    }
                    Some("keys") => {
                        let secret = told["key"].as_str().unwrap();
                        let (status, _) = service
                            .call_as(secret, Method::GET, "/v1/marketplaces/m/batches", None)
                            .await;
                        assert_eq!(status, 200, "{call} {fault:?}");
                    }
                    _ => {}
                }
            }
            if !reached {
                break;
            }
            call += 1;
        }
        assert!(call > 2, "{path}: {call}");
    }
    println!("idempotency: {cases} faults");
}

#[tokio::test]
async fn case_39_csv_for_excel_and_for_programs() {
    let shop = Shop::open(json!({})).await;
    shop.put(
        "campaigns/E",
        json!({ "name": "=Grüße", "tags": ["+x", "ä"] }),
    )
    .await;
    shop.events(&["E email sent,clicked @c 17T10:00 message_id=-m"])
        .await;
    shop.orders(&["=o @c COMPLETE 1.00 EUR 17T11:00 source=-web"])
        .await;
    shop.put("promotions/p", json!({ "name": "=P", "metadata": { "@k": "-v" }, "tracking_from": "2026-11-01T00:00:00Z" })).await;
    let codes = json!({ "codes": ["-CODE"] });
    assert_eq!(
        shop.call(Method::POST, "promotions/p/vouchers", codes)
            .await
            .0,
        201
    );
    let redemption = json!({ "redemption_id": "=r", "promotion_id": "p", "customer_id": "@c", "voucher_code": "-CODE" });
    assert_eq!(
        shop.call(Method::POST, "redemptions", redemption).await.0,
        202
    );
    shop.run().await;
    for (path, text) in [
        ("reports/campaigns", "=Grüße"),
        ("reports/campaigns/E", "date"),
        ("reports/campaigns/E/purchases", "@c"),
        ("reports/orders", "COMPLETE"),
        ("reports/reconciliation", "orders"),
        ("orders", "=o"),
        ("reports/promotions", "=P"),
        ("promotions/p/vouchers", "-CODE"),
        ("promotions/p/validation-rules", "id"),
        ("promotions/p/redemptions", "=r"),
        ("promotions/p/publications", "assignment_id"),
        ("promotions/p/distributions", "campaign_id"),
        ("promotions/p/metadata", "@k"),
        ("promotions/p/changes", "field"),
        ("quarantine", "kind"),
        ("redemptions", "=r"),
    ] {
        let dangerous = text.starts_with(['=', '+', '-', '@']);
        let plain = shop.csv(path).await;
        assert!(
            !plain.starts_with('\u{feff}') && plain.contains(text),
            "{path}: {plain}"
        );
        assert_eq!(
            plain.contains(&format!("'{text}")),
            dangerous,
            "{path}: {plain}"
        );
        let raw = shop.csv(&format!("{path}?raw=true")).await;
        assert!(
            raw.contains(text) && !raw.contains(&format!("'{text}")),
            "{path}: {raw}"
        );
        let excel = shop.csv(&format!("{path}?excel=true")).await;
        assert_eq!(
            excel.strip_prefix('\u{feff}'),
            Some(plain.as_str()),
            "{path}"
        );
        let both = shop
            .csv(&format!("{path}?excel=true&raw=true&revenue=false").replace("&revenue=false", ""))
            .await;
        assert_eq!(both.strip_prefix('\u{feff}'), Some(raw.as_str()), "{path}");
        assert_eq!(
            shop.csv(&format!("{path}?excel=false&raw=false")).await,
            plain,
            "{path}"
        );
        // JSON is JSON, and a flag is a flag.
        shop.get(&format!("{path}?excel=true&raw=true")).await;
        let bad = shop.path(&format!("{path}?excel=1"));
        assert_eq!(
            send(&shop.service, Method::GET, &bad, &[], "").await.0,
            422,
            "{path}"
        );
    }
}

/// Ids that a gateway would take apart are written `~` and base64url.
#[tokio::test]
async fn ids_in_paths_are_also_base64url() {
    let shop = Shop::open(json!({})).await;
    for (id, encoded) in [
        ("a/b", "~YS9i"),
        ("a?b#c%d", "~YT9iI2MlZA"),
        ("~x", "~fng"),
        ("plain", "~cGxhaW4"),
        ("ü🦀", "~w7zwn6aA"),
    ] {
        shop.put(&format!("campaigns/{encoded}"), json!({ "name": "N" }))
            .await;
        let told = shop.get(&format!("campaigns/{encoded}")).await;
        assert_eq!(
            (&told["campaign_id"], &told["name"]),
            (&json!(id), &json!("N"))
        );
        assert_eq!(shop.get(&format!("campaigns/{}", segment(id))).await, told);
        // A list is the same list, however its ids are written.
        let page = shop
            .get(&format!("reports/campaigns/{encoded}/purchases"))
            .await;
        assert_eq!(page["purchases"], json!([]));
    }
    for (path, status) in [
        ("campaigns/~YQ==", 404),
        ("campaigns/~", 404),
        ("campaigns/~a", 404),
        ("campaigns/~_w", 404),
    ] {
        let (got, ..) = send(&shop.service, Method::GET, &shop.path(path), &[], "").await;
        assert_eq!(got, status, "{path}");
    }
}
