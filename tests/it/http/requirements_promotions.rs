//! The requirements on promotions (R67 to R109) that HTTP can show, each in the few lines that fail without the feature.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::support::fault_client::FaultClient;
use crate::support::fixtures::{NOW, Shop, assert_part, at, rest, with};
use crate::support::promotion_lists::{shown, upload};
use crate::support::service::{ADMIN, Service};

const MANY: i64 = 90 * 24 * 60 * 60 * 1_000;

/// Records of lines: an id, a customer, and more fields as `name=value`; of the promotion `p` where nothing else is said.
fn records(kind: &str, lines: &[&str]) -> Vec<Value> {
    let record = |line: &&str| {
        let mut words = line.split_whitespace();
        let (id, customer) = (words.next().unwrap(), words.next().unwrap());
        let record = json!({kind: id, "promotion_id": "p", "customer_id": customer});
        with(record, &rest(words))
    };
    lines.iter().map(record).collect()
}

/// A shop with the promotion `p`, which begins long before any fact.
async fn shop(promotion: Value) -> Shop {
    let shop = Shop::open(json!({})).await;
    shop.tell("p", promotion).await;
    shop
}

impl Shop {
    async fn tell(&self, id: &str, more: Value) -> Value {
        let body = json!({"name": id, "kind": "global", "tracking_from": at(NOW).plus_ms(-MANY)});
        self.put(&format!("promotions/{id}"), with(body, &more))
            .await
    }

    async fn vouchers(&self, codes: &[&str], limit: Option<u64>) {
        let body = json!({"codes": codes, "limit": limit});
        let (status, told) = self.call(Method::POST, "promotions/p/vouchers", body).await;
        assert_eq!(status, 201, "{told}");
    }

    async fn assigned(&self, lines: &[&str]) {
        let records = records("assignment_id", lines);
        self.service
            .feed(self.id, "assignments", &records, 1_000)
            .await;
    }

    async fn redeemed(&self, lines: &[&str]) {
        let records = records("redemption_id", lines);
        self.service
            .feed(self.id, "redemptions", &records, 1_000)
            .await;
    }

    /// What a redeem of a line is told: `success`, or why not.
    async fn redeem(&self, code: &str, line: &str) -> String {
        let record = records("redemption_id", &[line]).remove(0);
        let path = format!("promotions/p/vouchers/{code}/redeem");
        let (status, told) = self.call(Method::POST, &path, record).await;
        assert_eq!(status, 200, "{told}");
        let reason = told["reason"].as_str().or(told["result"].as_str());
        reason.unwrap().to_owned()
    }

    async fn promotion_row(&self, query: &str, id: &str) -> Value {
        let report = self.get(&format!("reports/promotions{query}")).await;
        let rows = report["promotions"].as_array().unwrap();
        rows.iter()
            .find(|row| row["promotion_id"] == id)
            .cloned()
            .unwrap_or_default()
    }

    async fn items(&self, rest: &str) -> Vec<Value> {
        self.get(rest).await["items"].as_array().unwrap().clone()
    }

    async fn dashboard(&self) -> Value {
        self.get("promotions/p/dashboard").await
    }
}

/// The promotions of a query, by id.
async fn found(shop: &Shop, query: &str) -> Vec<String> {
    let report = shop.get(&format!("reports/promotions?{query}")).await;
    let ids = report["promotions"].as_array().unwrap().iter();
    let mut ids: Vec<String> = ids
        .map(|row| row["promotion_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn r067_what_is_told_answers_where_it_is() {
    let shop = shop(json!({})).await;
    let headers = [
        ("authorization", format!("Bearer {ADMIN}")),
        ("content-type", "application/json".to_owned()),
    ];
    let headers = headers
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    for status in [201, 200] {
        let body = json!({"name": "Q", "kind": "global"})
            .to_string()
            .into_bytes();
        let path = shop.path("promotions/q%2F1");
        let answer = shop
            .service
            .answer(Method::PUT, &path, &headers, body)
            .await;
        assert_eq!(answer.status(), status);
        let overview = answer.headers()["location"].to_str().unwrap();
        assert_eq!(shop.service.get(overview).await["promotion_id"], "q/1");
    }
}

#[tokio::test]
async fn r068_r108_promotions_are_found() {
    let shop = shop(json!({"name": "Spring sale", "kind": "tiered", "tiers": [{"tier_id": "gold", "name": "Gold"}]})).await;
    shop.tell(
        "q",
        json!({"name": "Autumn sale", "metadata": {"region": "north"}}),
    )
    .await;
    shop.tell("r", json!({"name": "VIP", "kind": "personalised"}))
        .await;
    shop.assigned(&[
        "a1 ann tier_id=gold segment=vip",
        "a2 bob segment=new",
        "a3 ann promotion_id=r segment=vip",
    ])
    .await;
    shop.redeemed(&["r1 ann"]).await;
    for (query, ids) in [
        ("name=sale", "p q"),
        ("name=SPRING", "p"),
        ("kind=personalised", "r"),
        ("metadata.region=north", "q"),
        ("metadata.region=south", ""),
        ("segment=vip", "p r"),
        ("segment=new", "p"),
        ("tier=gold", "p"),
        ("name=sale&segment=vip", "p"),
        ("", "p q r"),
    ] {
        let ids: Vec<&str> = ids.split_whitespace().collect();
        assert_eq!(found(&shop, query).await, ids, "{query}");
    }
    // R108: an audience alone.
    let vip = json!({"assigned": 1, "redeemed": 1, "redemption_rate": "1.0000"});
    assert_part("vip", &shop.promotion_row("?segment=vip", "p").await, &vip);
    let new = json!({"assigned": 1, "redeemed": 0, "redemption_rate": "0.0000"});
    assert_part("new", &shop.promotion_row("?segment=new", "p").await, &new);
    for sorted in ["name", "-redemption_rate", "-redemptions", "assigned"] {
        assert_eq!(found(&shop, &format!("sort={sorted}")).await.len(), 3);
    }
    let first = shop
        .get("reports/promotions?sort=-redemptions&limit=1")
        .await;
    assert_eq!(first["promotions"][0]["promotion_id"], "p");
    assert!(first["next_cursor"].is_string());
}

#[tokio::test]
async fn r069_seven_tabs_and_the_changes() {
    let shop = shop(json!({})).await;
    for tab in [
        "dashboard",
        "vouchers",
        "validation-rules",
        "redemptions",
        "publications",
        "distributions",
        "metadata",
        "changes",
    ] {
        for id in ["p", "unknown"] {
            let status = shop
                .status_for(ADMIN, &format!("promotions/{id}/{tab}"))
                .await;
            assert_eq!(status, if id == "p" { 200 } else { 404 }, "{id} {tab}");
        }
    }
}

#[tokio::test]
async fn r070_r077_r078_r079_r080_r082_r083_the_dashboard() {
    let body = json!({
        "type": "percent", "value": "10", "redemption_limit": 3, "description": "ten off", "starts_at": "2026-11-01T00:00:00Z",
    });
    let shop = shop(body.clone()).await;
    shop.vouchers(&["A", "B", "C"], None).await;
    let (_, told) = shop
        .call(
            Method::POST,
            "promotions/p/vouchers",
            json!({"codes": ["C", "D"]}),
        )
        .await;
    assert_part("R78", &told, &json!({"created": 1, "existing": 1}));
    shop.assigned(&[
        "a1 ann voucher_code=A",
        "a2 bob voucher_code=B",
        "a3 cyd voucher_code=C result=failure",
        "a4 dee",
        "a5 eve result=failure",
    ])
    .await;
    shop.redeemed(&[
        "r1 ann redeemed_at=18T10:00",
        "r2 ann redeemed_at=18T11:00",
        "r3 bob redeemed_at=19T11:00",
        "r4 cyd result=failure redeemed_at=19T11:00",
    ])
    .await;
    let mail = |kinds: &str, customer: &str| {
        format!(
            "mail email {kinds} {customer} 18T09:00 promotion_id=p voucher_code=A message_id={customer}"
        )
    };
    let mails = [
        mail("sent,delivered", "ann"),
        mail("sent,bounced", "bob"),
        mail("sent", "cyd"),
        mail("failed", "dee"),
    ];
    shop.events(&mails.each_ref().map(String::as_str)).await;
    let shown = shop.dashboard().await;
    // R77, R82, R84: what the first box and the third view say.
    let fields = json!({
        "type": "percent", "value": "10", "redemption_limit": 3, "description": "ten off", "starts_at": "2026-11-01T00:00:00.000Z",
        "ends_at": null,
    });
    assert_part("promotion", &shown["promotion"], &fields);
    let counters = json!({
        "vouchers": 4, "publications": {"success": 2, "failure": 1}, "messages": {"delivered": 1, "failed": 2},
        "redemptions_by_day": [
            {"date": "2026-11-18", "success": 2, "failure": 0}, {"date": "2026-11-19", "success": 1, "failure": 1},
        ],
    });
    assert_part("dashboard", &shown, &counters);
    let limit = &shop.items("promotions/p/vouchers").await[0]["limit"];
    assert_eq!(
        *limit, 3,
        "a voucher made without a limit has the promotion's"
    );
    let none = shop.tell("q", json!({})).await;
    assert_eq!(none["description"], Value::Null);
}

#[tokio::test]
async fn r071_every_voucher_is_listed() {
    let shop = shop(json!({})).await;
    let make = async |body: Value| shop.call(Method::POST, "promotions/p/vouchers", body).await;
    let pattern =
        json!({"generate": 250, "prefix": "SPRING-", "length": 6, "charset": "ABC123", "limit": 1});
    assert_part(
        "made",
        &make(pattern).await.1,
        &json!({"created": 250, "existing": 0}),
    );
    let csv = "code,limit\nSAVE10,5\n\"a,b\",\n";
    let path = shop.path("promotions/p/vouchers");
    let (status, _, told) = shop
        .service
        .raw(
            Method::POST,
            &path,
            Some(ADMIN),
            Some("text/csv"),
            csv.as_bytes().to_vec(),
        )
        .await;
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&told));
    let listed = crate::support::promotion_lists::vouchers(&shop.service, "p", 60).await;
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
async fn r072_validation_rules_count_their_changes() {
    let rules = |text: &str| json!({"validation_rules": [{"id": "min", "name": "Minimum", "text": text}, {"id": "new", "name": "New", "text": "only"}]});
    let shop = shop(rules("over 10")).await;
    for (text, version) in [
        ("over 10", 1),
        ("over 20", 2),
        ("over 20", 2),
        ("over 30", 3),
    ] {
        shop.tell("p", rules(text)).await;
        let listed = shop.items("promotions/p/validation-rules").await;
        assert_part(
            text,
            &listed[0],
            &json!({"id": "min", "name": "Minimum", "text": text, "version": version}),
        );
        assert_part("the other", &listed[1], &json!({"id": "new", "version": 1}));
    }
}

#[tokio::test]
async fn r073_the_redemption_history() {
    let of_one = json!({"type": "amount", "value": "1.00", "currency": "EUR"});
    let shop = shop(with(of_one, &json!({"ends_at": at("19T12:00")}))).await;
    shop.vouchers(&["A"], Some(1)).await;
    shop.assigned(&["a1 ann voucher_code=A"]).await;
    shop.redeemed(&[
        "r1 ann voucher_code=A redeemed_at=18T10:00",
        "r2 bob voucher_code=? redeemed_at=18T11:00 assignment_id=a9",
        "r3 bob voucher_code=A redeemed_at=19T12:00:00.001",
        "r4 cyd result=failure failure_code=till_is_down redeemed_at=18T13:00",
    ])
    .await;
    assert_eq!(shop.redeem("NONE", "x1 ann").await, "voucher_not_found");
    let history = crate::support::promotion_lists::redemptions(&shop.service, "p", 2).await;
    for (id, customer, code, result, failure, flags) in [
        ("r1", "ann", json!("A"), "success", Value::Null, ""),
        (
            "r2",
            "bob",
            json!("?"),
            "success",
            Value::Null,
            "unknown_assignment unknown_voucher",
        ),
        (
            "r3",
            "bob",
            json!("A"),
            "success",
            Value::Null,
            "outside_timeframe over_limit wrong_customer",
        ),
        (
            "r4",
            "cyd",
            Value::Null,
            "failure",
            json!("till_is_down"),
            "",
        ),
        (
            "x1",
            "ann",
            json!("NONE"),
            "failure",
            json!("voucher_not_found"),
            "",
        ),
    ] {
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let expected = json!({"customer_id": customer, "voucher_code": code, "result": result, "failure_code": failure, "flags": flags});
        assert_eq!(history[id], expected, "{id}");
    }
    assert_eq!(history.as_object().unwrap().len(), 5);
    for (query, ids) in [
        ("result=failure", 2),
        ("customer_id=bob", 2),
        ("voucher_code=A", 2),
    ] {
        assert_eq!(
            shop.items(&format!("promotions/p/redemptions?{query}"))
                .await
                .len(),
            ids,
            "{query}"
        );
    }
}

#[tokio::test]
async fn r074_r075_r100_publications_distributions_and_redemptions_are_different() {
    let shop = shop(json!({})).await;
    shop.assigned(&[
        "a1 ann voucher_code=A channel=manual",
        "a2 bob voucher_code=B",
        "a3 cyd",
    ])
    .await;
    shop.events(&["mail email sent,delivered dee 18T09:00 promotion_id=p voucher_code=D"])
        .await;
    let listed = async |list: &str, of: [&str; 3]| -> Vec<String> {
        let items = shop.items(&format!("promotions/p/{list}")).await;
        let line = |item: &Value| {
            of.map(|name| item[name].as_str().unwrap().to_owned())
                .join(" ")
        };
        let mut lines: Vec<String> = items.iter().map(line).collect();
        lines.sort();
        lines
    };
    let published = listed("publications", ["customer_id", "voucher_code", "channel"]).await;
    assert_eq!(published, ["ann A manual", "bob B api"]);
    let distributed = listed("distributions", ["customer_id", "voucher_code", "state"]).await;
    assert_eq!(distributed, ["dee D delivered"]);
    // R100: who got it is not who used it.
    let row = json!({"assigned": 3, "redeemed": 0, "redemptions": 0, "redemption_rate": null});
    assert_part("assigned", &shop.promotion_row("", "p").await, &row);
    shop.redeemed(&["r1 eve"]).await;
    let row = json!({"assigned": 3, "redeemed": 0, "redemptions": 1, "redemption_rate": "0.0000"});
    assert_part("redeemed", &shop.promotion_row("", "p").await, &row);
}

#[tokio::test]
async fn r076_metadata() {
    let given = json!({"region": "north", "budget_code": 7, "trial": true});
    let shop = shop(json!({"metadata": given})).await;
    assert_eq!(shop.get("promotions/p").await["metadata"], given);
    let listed = shop.items("promotions/p/metadata").await;
    let listed: Value = listed
        .iter()
        .map(|item| {
            (
                item["key"].as_str().unwrap().to_owned(),
                item["value"].clone(),
            )
        })
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(listed, given);
    for (query, count) in [
        ("metadata.region=north", 1),
        ("metadata.budget_code=7", 1),
        ("metadata.trial=true", 1),
        ("metadata.trial=false", 0),
    ] {
        assert_eq!(found(&shop, query).await.len(), count, "{query}");
    }
}

#[tokio::test]
async fn r081_r084_a_redeem_names_the_first_reason() {
    let shop = shop(json!({"starts_at": at("20T12:00"), "ends_at": at("20T13:00"), "cap": 3, "budget": {"amount": "10.00", "currency": "EUR"}})).await;
    shop.vouchers(&["ONE", "OFF", "HIS"], Some(1)).await;
    shop.vouchers(&["FREE"], None).await;
    shop.put(
        "promotions/p/vouchers/OFF",
        json!({"disabled": true, "limit": 1}),
    )
    .await;
    shop.assigned(&[
        "a1 ann voucher_code=HIS",
        "a2 bob voucher_code=ONE result=failure",
    ])
    .await;
    for (clock, code, line, told) in [
        ("20T11:59:59.999", "NONE", "x1 ann", "voucher_not_found"),
        ("20T11:59:59.999", "OFF", "x2 ann", "voucher_disabled"),
        ("20T11:59:59.999", "HIS", "x3 bob", "wrong_customer"),
        ("20T11:59:59.999", "HIS", "x4 ann", "not_started"),
        (
            "20T12:00",
            "HIS",
            "x5 ann reward_amount=6 currency=EUR",
            "success",
        ),
        ("20T12:00", "HIS", "x6 ann", "limit_reached"),
        // The budget has 4.00 left, which is enough for nothing.
        (
            "20T12:00",
            "ONE",
            "x7 ann reward_amount=4.01 currency=EUR",
            "budget_reached",
        ),
        ("20T12:00", "ONE", "x8 ann", "success"),
        (
            "20T13:00",
            "FREE",
            "x9 ann reward_amount=4 currency=EUR",
            "success",
        ),
        ("20T13:00", "FREE", "x10 ann reward_amount=4", "cap_reached"),
        ("20T13:00:00.001", "FREE", "x11 ann", "expired"),
        // A retry is told what it was told.
        ("20T13:00:00.001", "HIS", "x4 ann", "not_started"),
        (
            "20T13:00:00.001",
            "HIS",
            "x5 ann reward_amount=6 currency=EUR",
            "success",
        ),
    ] {
        shop.service.set_now(at(clock));
        assert_eq!(shop.redeem(code, line).await, told, "{line} at {clock}");
    }
    let row = json!({"redemptions": 3, "cap": {"limit": 3, "used": 3, "usage": "1.0000"}});
    assert_part("row", &shop.promotion_row("", "p").await, &row);
}

#[tokio::test]
async fn r085_every_change_says_who_and_what() {
    let shop = shop(json!({"description": "one"})).await;
    let key = shop.key("marketer").await;
    let before = shop.items("promotions/p/changes").await.len();
    shop.service.set_now(at("20T12:01"));
    let body = json!({"name": "p", "kind": "global", "description": "two", "cap": 5});
    let path = shop.path("promotions/p");
    for _ in 0..2 {
        let (status, told) = shop
            .service
            .call_as(&key, Method::PUT, &path, Some(&body))
            .await;
        assert_eq!(status, 200, "{told}");
    }
    let changes = shop.items("promotions/p/changes").await;
    let news: Vec<&Value> = changes
        .iter()
        .filter(|change| change["at"] == json!(at("20T12:01")))
        .collect();
    assert_eq!(news.len(), changes.len() - before, "{changes:?}");
    for (field, was, is) in [
        ("description", json!("one"), json!("two")),
        ("cap", Value::Null, json!(5)),
    ] {
        let change = news.iter().find(|change| change["field"] == field);
        assert_part(
            field,
            change.unwrap(),
            &json!({"by": "marketer", "before": was, "after": is}),
        );
    }
    assert_eq!(news.len(), 2, "the same again is no change: {news:?}");
    for amount in ["5", "6.5", "6.50"] {
        let budget =
            json!({"name": "p", "kind": "global", "budget": {"amount": amount, "currency": "EUR"}});
        shop.put("promotions/p", budget).await;
    }
    let changes = shop.items("promotions/p/changes").await;
    let budgets = changes.iter().filter(|change| change["field"] == "budget");
    let amounts: BTreeSet<[String; 2]> = budgets
        .map(|change| ["before", "after"].map(|side| change[side]["amount"].to_string()))
        .collect();
    let expected = [["\"5.00\"", "\"6.50\""], ["null", "\"5.00\""]];
    assert_eq!(
        amounts,
        BTreeSet::from(expected.map(|pair| pair.map(str::to_owned)))
    );
    assert_eq!(
        shop.dashboard().await["changes"].as_array().unwrap().len(),
        changes.len().min(10)
    );
}

#[tokio::test]
async fn r101_the_feed_is_in_order_of_arrival() {
    let shop = shop(json!({})).await;
    let record = |promotion: &str, n: usize| json!({"redemption_id": format!("{promotion}{n}"), "promotion_id": promotion, "customer_id": "ann"});
    for promotion in ["q", "p"] {
        let records: Vec<Value> = (0..30).map(|n| record(promotion, n)).collect();
        for call in records.chunks(20) {
            let (status, told) = shop.call(Method::POST, "redemptions", json!(call)).await;
            assert_eq!(status, 202, "{told}");
            let now = shop.service.now().plus_ms(1);
            shop.service.set_now(now);
        }
    }
    shop.put("promotions/q", json!({"name": "q"})).await;
    let fed = shop.items("redemptions?limit=100").await;
    let fed: Vec<&str> = fed
        .iter()
        .map(|one| one["redemption_id"].as_str().unwrap())
        .collect();
    let expected = ["p", "q"].map(|promotion| (0..30).map(move |n| format!("{promotion}{n}")));
    assert_eq!(fed, expected.into_iter().flatten().collect::<Vec<_>>());
}

#[tokio::test]
async fn r086_r101_roles_see_and_tell_what_is_theirs() {
    let shop = shop(json!({})).await;
    shop.vouchers(&["A"], None).await;
    shop.redeemed(&["r ann"]).await;
    let body = json!({"name": "p", "kind": "global"});
    let record =
        |id: &str| json!([{"redemption_id": id, "promotion_id": "p", "customer_id": "ann"}]);
    for (role, reads, tables, changes, reports, cards) in [
        ("admin", 200, 200, 200, 202, 200),
        ("marketer", 200, 200, 200, 403, 200),
        ("analyst", 200, 403, 403, 403, 403),
        ("partner", 200, 200, 403, 202, 403),
        ("ingest", 403, 403, 403, 202, 403),
    ] {
        let key = shop.key(role).await;
        for path in [
            "reports/promotions",
            "promotions/p",
            "promotions/p/redemptions",
            "quarantine",
            "redemptions?since=2026-11-01T00:00:00Z",
        ] {
            assert_eq!(shop.status_for(&key, path).await, reads, "{role} {path}");
        }
        let (status, ..) = shop.table_for(&key, "promotions/p/redemptions").await;
        assert_eq!(status, tables, "{role} as CSV");
        let calls = [
            (Method::PUT, "promotions/p", body.clone(), changes),
            (Method::POST, "redemptions", record(role), reports),
        ];
        for (method, path, body, status) in calls {
            let (told, _) = shop
                .service
                .call_as(&key, method, &shop.path(path), Some(&body))
                .await;
            assert_eq!(told, status, "{role} {path}");
        }
        assert_eq!(
            shop.status_for(&key, "customers/ann").await,
            cards,
            "{role} card"
        );
    }
    // R101: on the customer's card, and in a feed in order of arrival.
    let card = shop.get("customers/ann").await;
    assert_eq!(card["redemptions"].as_array().unwrap().len(), 4, "{card}");
    let feed = shop.items("redemptions?since=2026-11-01T00:00:00Z").await;
    let ids: Vec<&str> = feed
        .iter()
        .map(|item| item["redemption_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 4, "{feed:?}");
    shop.service.set_now(at("20T12:05"));
    shop.redeemed(&["last ann redeemed_at=17T10:00"]).await;
    let feed = shop
        .items(&format!("redemptions?since={}", at("20T12:05")))
        .await;
    assert_eq!(feed.len(), 1, "{feed:?}");
    assert_eq!(feed[0]["redemption_id"], "last");
}

#[tokio::test]
async fn r087_profits_and_possible_losses() {
    let of_five = json!({"type": "amount", "value": "5.00", "currency": "EUR"});
    let budget = json!({"budget": {"amount": "17.00", "currency": "EUR"}});
    let orders = [
        "o1 ann COMPLETE 30.00 EUR 18T10:00",
        "o2 ann PENDING 40.00 EUR 18T10:00",
        "o3 bob COMPLETE 7.00 USD 18T10:00",
    ];
    for (more, limit, worst) in [
        (json!({}), None, Value::Null),
        (budget.clone(), None, json!({"EUR": "2.00"})),
        (json!({"cap": 5}), None, json!({"EUR": "10.00"})),
        (json!({}), Some(4), json!({"EUR": "15.00"})),
        (
            with(budget, &json!({"cap": 3})),
            Some(9),
            Value::Object(serde_json::Map::new()),
        ),
    ] {
        let shop = shop(with(of_five.clone(), &more)).await;
        shop.vouchers(&["A"], limit).await;
        shop.orders(&orders).await;
        shop.redeemed(&[
            "r1 ann order_id=o1 reward_amount=4.00 voucher_code=A",
            "r2 bob order_id=o3 reward_amount=6.00",
            "r3 ann order_id=o2",
            "r4 ann order_id=o1 result=failure reward_amount=100",
        ])
        .await;
        let row = shop.promotion_row("", "p").await;
        // Absent, or null, where nothing bounds it.
        assert_eq!(row["worst_case"], worst, "{more} {limit:?}");
        let result = json!({"result": {"EUR": "15.00", "USD": "7.00"}});
        assert_part("named orders", &row, &result);
        // At once, when one order is refunded and another counts.
        shop.orders(&[
            "o1 ann REFUNDED 30.00 EUR 18T10:00",
            "o2 ann COMPLETE 40.00 EUR 18T10:00",
        ])
        .await;
        let row = shop.promotion_row("", "p").await;
        assert_part(
            "moved",
            &row,
            &json!({"result": {"EUR": "25.00", "USD": "7.00"}}),
        );
    }
}

#[tokio::test]
async fn r088_limits_are_added_while_it_runs() {
    let shop = shop(json!({})).await;
    shop.vouchers(&["A"], None).await;
    let mut calls = 0;
    for (limits, told) in [
        (json!({}), "success"),
        (json!({"cap": 1}), "cap_reached"),
        (json!({"cap": 2}), "success"),
        (
            json!({"cap": 3, "budget": {"amount": "14.99", "currency": "EUR"}}),
            "budget_reached",
        ),
        (
            json!({"cap": 3, "budget": {"amount": "15.00", "currency": "EUR"}}),
            "success",
        ),
        (
            json!({"budget": {"amount": "1.00", "currency": "EUR"}}),
            "budget_reached",
        ),
        (json!({}), "success"),
    ] {
        shop.tell("p", limits.clone()).await;
        calls += 1;
        let line = format!("x{calls} ann reward_amount=5.00 currency=EUR");
        assert_eq!(shop.redeem("A", &line).await, told, "{limits}");
    }
    assert_part(
        "earlier ones stand",
        &shop.promotion_row("", "p").await,
        &json!({"redemptions": 4}),
    );
}

#[tokio::test]
async fn r089_r090_r099_r105_what_is_reported_is_taken_in_kept_or_refused() {
    let shop = shop(json!({"tracking_from": at("15T10:00")})).await;
    let good = json!({"redemption_id": "r", "promotion_id": "p", "customer_id": "ann", "redeemed_at": at("15T10:00")});
    let without = |name: &str| {
        let mut record = with(good.clone(), &json!({"redemption_id": name}));
        record.as_object_mut().unwrap().remove(name);
        record
    };
    for (record, status, field, code) in [
        (without("redemption_id"), 422, "redemption_id", "missing"),
        (without("promotion_id"), 422, "promotion_id", "missing"),
        (without("customer_id"), 422, "customer_id", "missing"),
        (
            with(good.clone(), &json!({"redeemed_at": at("15T09:59:59.999")})),
            422,
            "redeemed_at",
            "before_tracking",
        ),
        (
            with(
                good.clone(),
                &json!({"redeemed_at": "2026-08-22T11:59:59.999Z"}),
            ),
            422,
            "redeemed_at",
            "too_old",
        ),
        (
            with(good.clone(), &json!({"redeemed_at": at("20T12:10:00.001")})),
            422,
            "redeemed_at",
            "in_future",
        ),
        (
            with(good.clone(), &json!({"result": "perhaps"})),
            422,
            "result",
            "unknown_value",
        ),
        (
            with(
                good.clone(),
                &json!({"reward_amount": "1", "currency": "EURO"}),
            ),
            422,
            "currency",
            "unknown_currency",
        ),
        (
            with(
                good.clone(),
                &json!({"reward_amount": "-1", "currency": "EUR"}),
            ),
            422,
            "reward_amount",
            "bad_money",
        ),
        (good.clone(), 202, "", ""),
        (
            with(good.clone(), &json!({"customer_id": "bob"})),
            422,
            "redemption_id",
            "conflict",
        ),
    ] {
        let (told, body) = shop
            .call(Method::POST, "redemptions", json!([record]))
            .await;
        assert_eq!(told, status, "{record}: {body}");
        if status == 422 {
            assert_part(
                &record.to_string(),
                &body["rejected"][0],
                &json!({"index": 0, "field": field, "code": code}),
            );
        }
    }
    shop.tell("p", json!({"tracking_from": at("20T12:00:00.001")}))
        .await;
    shop.vouchers(&["A"], None).await;
    let path = "promotions/p/vouchers/A/redeem";
    let told = shop
        .call(
            Method::POST,
            path,
            with(good.clone(), &json!({"redemption_id": "early"})),
        )
        .await
        .1;
    assert_eq!(told["errors"][0]["code"], "before_tracking", "{told}");
    // R99: of an unknown promotion: kept, listed, and taken in when it appears, in order of arrival.
    let waiting = with(
        good.clone(),
        &json!({"redemption_id": "w", "promotion_id": "q", "redeemed_at": at("15T09:00")}),
    );
    let (_, told) = shop
        .call(Method::POST, "redemptions", json!([waiting]))
        .await;
    assert_part(
        "waits",
        &told,
        &json!({"accepted": 0, "duplicates": 0, "quarantined": 1}),
    );
    let (_, told) = shop
        .call(Method::POST, "redemptions", json!([waiting]))
        .await;
    assert_part(
        "waits",
        &told,
        &json!({"accepted": 0, "duplicates": 1, "quarantined": 0}),
    );
    let listed = shop.items("quarantine").await;
    assert_eq!((listed.len(), &listed[0]["promotion_id"]), (1, &json!("q")));
    let told = shop
        .put("promotions/q", json!({"name": "Q", "kind": "global"}))
        .await;
    assert_eq!(told["tracking_from"], json!(at("15T09:00")));
    assert_eq!(shop.items("quarantine").await.len(), 0);
    assert_part(
        "taken in",
        &shop.promotion_row("", "q").await,
        &json!({"redemptions": 1}),
    );
}

#[tokio::test]
async fn r091_r094_r095_r096_r106_the_rate_moves_at_once() {
    let shop = shop(json!({})).await;
    let lines: Vec<String> = (0..25).map(|n| format!("a{n} c{n}")).collect();
    let faces = async |what: &str, redeemed: u64, rate: Value| {
        let row = json!({"assigned": 25, "redeemed": redeemed, "redemption_rate": rate});
        assert_part(what, &shop.promotion_row("", "p").await, &row);
    };
    shop.assigned(&lines.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    faces("a dash", 0, Value::Null).await;
    shop.redeemed(&["f c1 result=failure"]).await;
    faces("a number", 0, json!("0.0000")).await;
    for n in 0..8 {
        shop.redeemed(&[&format!("r{n} c{n}"), &format!("again{n} c{n}")])
            .await;
        let rate = format!("0.{:04}", (n + 1) * 400);
        faces("at once", n + 1, json!(rate)).await;
    }
    for (id, redeemed) in [("r0", 8), ("again0", 7)] {
        let body = json!({"rollback_id": format!("b {id}"), "reason": "came back"});
        let (status, told) = shop
            .call(Method::POST, &format!("redemptions/{id}/rollback"), body)
            .await;
        assert_eq!(status, 200, "{told}");
        faces(
            "rolled back",
            redeemed,
            json!(format!("0.{:04}", redeemed * 400)),
        )
        .await;
    }
}

#[tokio::test]
async fn r092_r093_a_file_gives_what_calls_give() {
    let lines = [
        "r1 ann voucher_code=A reward_amount=2.00 currency=EUR redeemed_at=18T10:00",
        "r2 bob voucher_code=A redeemed_at=18T11:00",
        "r3 bob promotion_id=unknown redeemed_at=18T11:00",
        "r4 cyd result=failure failure_code=no redeemed_at=19T11:00",
        "r1 ann voucher_code=A reward_amount=2.00 currency=EUR redeemed_at=18T10:00",
        "r2 cyd redeemed_at=18T11:00",
    ];
    let records = records("redemption_id", &lines);
    let open = async || {
        let shop = shop(json!({"cap": 1, "budget": {"amount": "10.00", "currency": "EUR"}})).await;
        shop.vouchers(&["A"], Some(1)).await;
        shop.assigned(&["a1 ann tier_id=gold", "a2 bob"]).await;
        shop
    };
    let called = open().await;
    let (status, told) = called
        .call(Method::POST, "redemptions", json!(records))
        .await;
    assert_eq!(status, 202, "{told}");
    assert_part(
        "calls",
        &told,
        &json!({"accepted": 3, "duplicates": 1, "quarantined": 1}),
    );
    let filed = open().await;
    let text: Vec<String> = records.iter().map(Value::to_string).collect();
    let counts = json!({"state": "done", "rows": 6, "accepted": 3, "duplicates": 1, "quarantined": 1, "rejected": 1});
    assert_part(
        "file",
        &upload(&filed.service, "day.jsonl", &text.join("\n")).await,
        &counts,
    );
    assert_eq!(shown(&called.service).await, shown(&filed.service).await);
    // Under another name all of it is known.
    let counts = json!({"state": "done", "rows": 6, "accepted": 0, "duplicates": 5, "quarantined": 0, "rejected": 1});
    assert_part(
        "again",
        &upload(&filed.service, "day-2.jsonl", &text.join("\n")).await,
        &counts,
    );
    let csv = "customer_id,promotion_id,redemption_id,voucher_code\neve,p,r1,\neve,p,r9,A\n";
    let counts = json!({"state": "done", "rows": 2, "accepted": 1, "duplicates": 0, "quarantined": 0, "rejected": 1});
    assert_part(
        "CSV",
        &upload(&filed.service, "day.csv", csv).await,
        &counts,
    );
    let failed = upload(
        &filed.service,
        "bad.csv",
        "promotion_id,redemption_id\np,r10\n",
    )
    .await;
    assert_eq!(failed["state"], "failed", "{failed}");
}

#[tokio::test]
async fn r097_budget_and_cap_usage() {
    let shop = shop(json!({"cap": 8, "budget": {"amount": "20", "currency": "EUR"}})).await;
    shop.redeemed(&[
        "r1 ann reward_amount=2.50",
        "r2 ann reward_amount=1 currency=USD",
        "r3 bob",
        "r4 bob result=failure reward_amount=9",
    ])
    .await;
    let usage = json!({
        "budget": {"amount": "20.00", "currency": "EUR", "spent": "2.50", "usage": "0.1250"},
        "cap": {"limit": 8, "used": 3, "usage": "0.3750"},
    });
    assert_part("row", &shop.promotion_row("", "p").await, &usage);
    assert_part("dashboard", &shop.dashboard().await, &usage);
    shop.tell("q", json!({})).await;
    assert_part(
        "none",
        &shop.promotion_row("", "q").await,
        &json!({"budget": null, "cap": null}),
    );
}

#[tokio::test]
async fn r098_r102_r103_the_breakdown_sums_to_the_headline() {
    let tiers = json!({"kind": "tiered", "tiers": [{"tier_id": "gold", "name": "Gold"}, {"tier_id": "tin", "name": "Tin"}]});
    let shop = shop(tiers).await;
    shop.assigned(&[
        "a1 ann tier_id=gold segment=vip",
        "a2 bob tier_id=gold",
        "a3 cyd tier_id=tin segment=vip",
        "a4 dee",
        "a5 eve tier_id=tin result=failure",
    ])
    .await;
    shop.redeemed(&[
        "r1 ann redeemed_at=18T10:00",
        "r2 ann redeemed_at=17T10:00",
        "r3 cyd redeemed_at=19T10:00",
        "r4 eve redeemed_at=19T10:00",
        "r5 bob result=failure redeemed_at=19T10:00",
        "r6 dee redeemed_at=19T10:00",
    ])
    .await;
    let body = json!({"rollback_id": "b", "reason": "came back"});
    assert_eq!(
        shop.call(Method::POST, "redemptions/r6/rollback", body)
            .await
            .0,
        200
    );
    let shown = crate::support::promotion_lists::dashboard(&shop.service, "p").await;
    let share = |assigned: u64, redeemed: u64, rate: &str| json!({"assigned": assigned, "redeemed": redeemed, "redemption_rate": rate});
    assert_eq!(
        shown["breakdown"],
        json!({
            "tier": {"\"gold\"": share(2, 1, "0.5000"), "\"tin\"": share(1, 1, "1.0000"), "null": share(1, 0, "0.0000")},
            "segment": {"\"vip\"": share(2, 2, "1.0000"), "null": share(2, 0, "0.0000")},
            "day": {"2026-11-17": 1, "2026-11-19": 1},
            "result": {"success": 4, "failure": 1, "rolled_back": 1},
        })
    );
    let row = shop.promotion_row("", "p").await;
    assert_part(
        "headline",
        &row,
        &json!({"assigned": 4, "redeemed": 2, "redemption_rate": "0.5000", "redemptions": 4}),
    );
    for by in ["tier", "segment", "day"] {
        let sum = |name: &str| -> u64 {
            let parts = shown["breakdown"][by].as_object().unwrap().values();
            parts
                .map(|part| part.as_u64().or(part[name].as_u64()).unwrap())
                .sum()
        };
        assert_eq!(sum("redeemed"), 2, "{by}");
    }
}

#[tokio::test]
async fn r104_global_tiered_and_personalised() {
    for (kind, more, assigned, rate) in [
        ("global", json!({}), "", Value::Null),
        (
            "tiered",
            json!({"tiers": [{"tier_id": "gold", "name": "Gold"}]}),
            "a1 ann tier_id=gold",
            json!("1.0000"),
        ),
        (
            "personalised",
            json!({}),
            "a1 ann voucher_code=HERS",
            json!("1.0000"),
        ),
    ] {
        let shop = shop(with(json!({"kind": kind}), &more)).await;
        shop.vouchers(&["HERS"], Some(1)).await;
        shop.assigned(&Vec::from_iter((!assigned.is_empty()).then_some(assigned)))
            .await;
        shop.redeemed(&["r1 ann voucher_code=HERS"]).await;
        let row = json!({"kind": kind, "redemptions": 1, "redemption_rate": rate});
        assert_part(kind, &shop.promotion_row("", "p").await, &row);
    }
    let shop = Shop::open(json!({})).await;
    let (status, told) = shop
        .call(
            Method::PUT,
            "promotions/p",
            json!({"name": "P", "kind": "secret"}),
        )
        .await;
    assert_eq!(status, 422, "{told}");
}

#[tokio::test]
async fn r107_the_page_reads_no_customers() {
    let line = FaultClient::new();
    let service = Service::over(&line, at(NOW));
    service.store.create_table().await.unwrap();
    service.make("m", &json!({})).await;
    let shop = Shop { service, id: "m" };
    shop.tell("p", json!({"cap": 10_000})).await;
    let mut calls = Vec::new();
    for hundred in 0..4 {
        let ids = hundred * 100..(hundred + 1) * 100;
        let lines: Vec<String> = ids
            .map(|n| format!("{n} c{n} tier_id=t{} segment=s{}", n % 3, n % 5))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        shop.assigned(&lines).await;
        shop.redeemed(&lines[..50]).await;
        line.clear();
        let row = shop.promotion_row("", "p").await;
        assert_part(
            "row",
            &row,
            &json!({"assigned": (hundred + 1) * 100, "redeemed": (hundred + 1) * 50}),
        );
        calls.push(line.calls().len());
    }
    assert_eq!(calls[3], calls[0], "{calls:?}");
}

#[tokio::test]
async fn r109_redemptions_received_are_accounted_for() {
    let shop = shop(json!({})).await;
    let post = async |records: Value| shop.call(Method::POST, "redemptions", records).await;
    let of = |lines: &[&str]| records("redemption_id", lines);
    let first = of(&[
        "r1 ann",
        "r2 bob result=failure",
        "w cyd promotion_id=unknown",
        "r1 ann",
        "r1 bob",
    ]);
    assert_eq!(post(json!(first)).await.0, 202);
    assert_eq!(
        post(json!(of(&[
            "r2 bob result=failure",
            "w cyd promotion_id=unknown"
        ])))
        .await
        .0,
        202
    );
    // A call without a good record is answered 422 and not counted.
    assert_eq!(post(json!(of(&["r1 bob"]))).await.0, 422);
    shop.run().await;
    let expected = |matched: u64, quarantined: u64| json!({"received": 7, "duplicates": 3, "matched": matched, "quarantined": quarantined, "rejected": 1});
    let told = shop.get("reports/reconciliation").await;
    assert_part("waiting", &told["redemptions"], &expected(2, 1));
    shop.put("promotions/unknown", json!({"name": "U", "kind": "global"}))
        .await;
    shop.run().await;
    let told = shop.get("reports/reconciliation").await;
    assert_part("taken in", &told["redemptions"], &expected(3, 0));
}

/// Found by a tester: the transaction of the assignment held a write for each redemption, and was refused for ever.
#[tokio::test]
async fn an_assignment_comes_after_any_number_of_redemptions_that_named_it() {
    for waits in [false, true] {
        let shop = Shop::open(json!({})).await;
        // What a use costs is known, so that nothing else is to be said of them.
        let one = json!({"type": "amount", "value": "1.00", "currency": "EUR"});
        if !waits {
            shop.tell("p", one.clone()).await;
        }
        let lines: Vec<String> = (0..150)
            .map(|n| format!("r{n} ann assignment_id=a"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        shop.redeemed(&lines).await;
        shop.redeemed(&["s bob assignment_id=a"]).await;
        shop.assigned(&["b bob", "a ann", "c cyd"]).await;
        if waits {
            shop.tell("p", one).await;
        }
        assert_eq!(shop.items("quarantine").await, Vec::<Value>::new());
        assert_part(
            "row",
            &shop.promotion_row("", "p").await,
            &json!({"assigned": 3, "redeemed": 1, "redemptions": 151, "redemption_rate": "0.3333"}),
        );
        // It is another customer's.
        let flagged = shop.items("promotions/p/redemptions?flagged=true").await;
        let ids: Vec<_> = flagged.iter().map(|one| &one["redemption_id"]).collect();
        assert_eq!(ids, ["s"], "it waits: {waits}");
        let fed = shop.items("redemptions?limit=1000").await;
        assert_eq!(fed.len(), 151);
    }
}

#[tokio::test]
async fn codes_that_are_used_up_are_told() {
    let shop = shop(json!({})).await;
    let body = json!({"generate": 4, "prefix": "F", "length": 2, "charset": "01"});
    let path = "promotions/p/vouchers";
    let (status, made) = shop.call(Method::POST, path, body.clone()).await;
    assert_eq!((status, &made["created"]), (201, &json!(4)));
    let (status, told) = shop.call(Method::POST, path, body).await;
    assert_eq!(
        (status, &told["errors"][0]["code"]),
        (409, &json!("no_new_code"))
    );
}

/// A fact is seen for the retention, however lately it came in.
#[tokio::test]
async fn the_feed_shows_no_fact_that_is_not_seen_any_more() {
    let shop = shop(json!({})).await;
    let old = at(NOW).plus_ms(-80 * 24 * 60 * 60 * 1_000);
    shop.redeemed(&[&format!("old ann redeemed_at={old}"), "new ann"])
        .await;
    let fed = async || {
        let items = shop.items("redemptions").await;
        let ids = items
            .iter()
            .map(|one| one["redemption_id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(fed().await, ["old", "new"]);
    shop.service
        .set_now(at(NOW).plus_ms(20 * 24 * 60 * 60 * 1_000));
    assert_eq!(fed().await, ["new"]);
}

#[tokio::test]
async fn the_money_of_a_tier_is_read_from_its_text() {
    let shop = shop(json!({})).await;
    for (value, stands) in [
        ("123456789012.123456", Some("123456789012.123456")),
        ("\"0.10\"", Some("0.1")),
        ("1e2", None),
        ("12.3400000", None),
    ] {
        let body = format!(
            r#"{{"name":"P","kind":"tiered","tiers":[{{"tier_id":"g","value":{value}}}]}}"#
        );
        let (path, media) = (shop.path("promotions/p"), Some("application/json"));
        let (status, _, told) = shop
            .service
            .raw(Method::PUT, &path, Some(ADMIN), media, body.into_bytes())
            .await;
        let told: Value = serde_json::from_slice(&told).unwrap();
        let Some(stands) = stands else {
            let bad = json!({"field": "tiers[0].value", "code": "bad_money"});
            assert_eq!(status, 422, "{value}: {told}");
            assert_part(value, &told["errors"][0], &bad);
            continue;
        };
        assert_eq!(told["tiers"][0]["value"], stands, "{told}");
    }
}

#[tokio::test]
async fn uses_are_those_of_the_code_whatever_it_holds() {
    let shop = shop(json!({})).await;
    let codes = ["X", "v/X", "v/v/X"];
    shop.vouchers(&codes, None).await;
    for (uses, code) in codes.iter().enumerate() {
        for n in 0..uses {
            let segment = crate::support::fixtures::segment(code);
            assert_eq!(
                shop.redeem(&segment, &format!("{code}{n} ann")).await,
                "success"
            );
        }
    }
    let listed = shop.items("promotions/p/vouchers").await;
    let uses = |code: &str| {
        listed
            .iter()
            .find(|one| one["voucher_code"] == code)
            .unwrap()["uses"]
            .clone()
    };
    assert_eq!(
        codes.map(uses),
        [json!(0), json!(1), json!(2)],
        "{listed:?}"
    );
}

#[tokio::test]
async fn a_table_holds_what_the_list_holds() {
    let shop = shop(json!({})).await;
    let metadata = json!({"ages": [1, 2], "delta": -5, "cities": ["Rome", "Oslo"]});
    shop.tell(
        "p",
        json!({"kind": "tiered", "tiers": ["gold"], "metadata": metadata}),
    )
    .await;
    let table = shop.csv("promotions/p/metadata").await;
    for (name, value) in [
        ("ages", "\"[1,2]\""),
        ("delta", "-5"),
        ("cities", "Rome|Oslo"),
    ] {
        assert!(table.contains(&format!("{name},{value}")), "{table}");
    }
    let table = shop.csv("promotions/p/changes").await;
    assert!(table.contains("gold"), "{table}");
    shop.redeemed(&["r ann", "s ann promotion_id=later"]).await;
    let table = shop.csv("reports/reconciliation").await;
    let figures = shop.get("reports/reconciliation").await;
    for of in ["orders", "events", "redemptions"] {
        for (figure, n) in figures[of].as_object().unwrap() {
            let row = format!("{of},{figure},{n}");
            assert!(table.lines().any(|line| line == row), "{row}: {table}");
        }
    }
    assert_part(
        "received",
        &figures["redemptions"],
        &json!({"received": 2, "quarantined": 1}),
    );
}
