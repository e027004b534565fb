//! The requirements on promotions that HTTP can show: a test for each case of `tests/corpus/requirements_promotions.txt`, made by
//! `tests/build.rs`; and those that look at a header, at codes drawn by lot, at a file or at calls to the table.

use http::Method;
use serde_json::{Value, json};

use crate::support::fault_client::FaultClient;
use crate::support::fixtures::{NOW, Shop, assert_part, at, with};
use crate::support::promotion_lists::{shown, upload, vouchers};
use crate::support::script::records;
use crate::support::service::{ADMIN, Service};

include!(concat!(env!("OUT_DIR"), "/requirements_promotions.rs"));

/// A shop with the promotion `p`, which begins long before any fact.
async fn shop(service: Service, more: Value) -> Shop {
    service.make("m", &json!({})).await;
    let shop = Shop { service, id: "m" };
    let body =
        json!({"name": "p", "kind": "global", "tracking_from": at(NOW).plus_ms(-90 * 86_400_000)});
    shop.put("promotions/p", with(body, &more)).await;
    shop
}

/// Facts of lines, as JSON.
fn facts(kind: &str, lines: &str) -> Vec<Value> {
    let lines = lines.lines().map(str::trim);
    let texts = lines.flat_map(|line| records(kind, line));
    texts
        .map(|text| serde_json::from_str(&text).unwrap())
        .collect()
}

#[tokio::test]
async fn r067_what_is_told_answers_where_it_is() {
    let shop = shop(Service::at(NOW).await, json!({})).await;
    let bearer = format!("Bearer {ADMIN}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    for status in [201, 200] {
        let body = br#"{"name": "Q", "kind": "global"}"#.to_vec();
        let path = shop.path("promotions/q%2F1");
        let service = &shop.service;
        let answer = service.answer(Method::PUT, &path, &headers, body).await;
        assert_eq!(answer.status(), status);
        let overview = answer.headers()["location"].to_str().unwrap();
        assert_eq!(service.get(overview).await["promotion_id"], "q/1");
    }
}

#[tokio::test]
async fn r071_every_voucher_is_listed() {
    let shop = shop(Service::at(NOW).await, json!({})).await;
    let path = "promotions/p/vouchers";
    let pattern =
        json!({"generate": 250, "prefix": "SPRING-", "length": 6, "charset": "ABC123", "limit": 1});
    let (_, told) = shop.call(Method::POST, path, pattern).await;
    assert_part("made", &told, &json!({"created": 250, "existing": 0}));
    let csv = b"code,limit\nSAVE10,5\n\"a,b\",\n".to_vec();
    let (path, key, media) = (shop.path(path), Some(ADMIN), Some("text/csv"));
    let (status, _, told) = shop.service.raw(Method::POST, &path, key, media, csv).await;
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&told));
    let listed = vouchers(&shop.service, "p", 60).await;
    let listed = listed.as_object().unwrap();
    assert_eq!(listed.len(), 252);
    assert_eq!(
        (&listed["SAVE10"]["limit"], &listed["a,b"]["limit"]),
        (&json!(5), &Value::Null)
    );
    let made = listed.keys().filter(|code| {
        code.strip_prefix("SPRING-")
            .is_some_and(|rest| rest.len() == 6 && rest.chars().all(|c| "ABC123".contains(c)))
    });
    assert_eq!(made.count(), 250);
}

#[tokio::test]
async fn r092_r093_a_file_gives_what_calls_give() {
    let facts_of_a_day = facts(
        "redemption",
        "r1 p ann voucher_code=A reward_amount=2.00 currency=EUR redeemed_at=18T10:00
         r2 p bob voucher_code=A redeemed_at=18T11:00
         r3 unknown bob redeemed_at=18T11:00
         r4 p cyd result=failure failure_code=no redeemed_at=19T11:00
         r1 p ann voucher_code=A reward_amount=2.00 currency=EUR redeemed_at=18T10:00
         r2 p cyd redeemed_at=18T11:00",
    );
    let open = async || {
        let limits = json!({"cap": 1, "budget": {"amount": "10.00", "currency": "EUR"}});
        let shop = shop(Service::at(NOW).await, limits).await;
        let codes = json!({"codes": ["A"], "limit": 1});
        let made = shop.call(Method::POST, "promotions/p/vouchers", codes);
        assert_eq!(made.await.0, 201);
        let assigned = facts("assignment", "a1 p ann tier_id=gold\na2 p bob");
        shop.service.feed("m", "assignments", &assigned, 10).await;
        shop
    };
    let called = open().await;
    let call = called.call(Method::POST, "redemptions", json!(facts_of_a_day));
    let (status, told) = call.await;
    assert_eq!(status, 202, "{told}");
    let counts = json!({"accepted": 3, "duplicates": 1, "quarantined": 1});
    assert_part("calls", &told, &counts);

    let filed = open().await;
    let text: Vec<String> = facts_of_a_day.iter().map(Value::to_string).collect();
    let text = text.join("\n");
    let csv = "customer_id,promotion_id,redemption_id,voucher_code\neve,p,r1,\neve,p,r9,A\n";
    let no_customer = "promotion_id,redemption_id\np,r10\n";
    for (name, text, state, counts) in [
        ("day.jsonl", text.as_str(), "done", [6, 3, 1, 1, 1]),
        // Under another name all of it is known.
        ("day-2.jsonl", &text, "done", [6, 0, 5, 0, 1]),
        ("day.csv", csv, "done", [2, 1, 0, 0, 1]),
        ("bad.csv", no_customer, "failed", [0, 0, 0, 0, 0]),
    ] {
        let batch = upload(&filed.service, name, text).await;
        let names = ["rows", "accepted", "duplicates", "quarantined", "rejected"];
        let told = names.map(|name| batch[name].clone());
        let told = (batch["state"].as_str(), told);
        assert_eq!(told, (Some(state), counts.map(Value::from)), "{name}");
        if name == "day.jsonl" {
            assert_eq!(shown(&called.service).await, shown(&filed.service).await);
        }
    }
}

#[tokio::test]
async fn r107_the_page_reads_no_customers() {
    let line = FaultClient::new();
    let service = Service::over(&line, at(NOW));
    service.store.create_table().await.unwrap();
    let shop = shop(service, json!({"cap": 10_000})).await;
    let mut calls = Vec::new();
    for hundred in 1..=4 {
        let lines = (hundred * 100 - 100..hundred * 100)
            .map(|n| format!("{n} p c{n} tier_id=t{} segment=s{}\n", n % 3, n % 5));
        let lines: String = lines.collect();
        let (assigned, redeemed) = (facts("assignment", &lines), facts("redemption", &lines));
        shop.service.feed("m", "assignments", &assigned, 100).await;
        let redeemed = &redeemed[..50];
        shop.service.feed("m", "redemptions", redeemed, 100).await;
        line.clear();
        let report = shop.get("reports/promotions").await;
        let sums = json!({"assigned": hundred * 100, "redeemed": hundred * 50});
        assert_part("row", &report["promotions"][0], &sums);
        calls.push(line.calls().len());
    }
    assert_eq!(calls[3], calls[0], "{calls:?}");
}
