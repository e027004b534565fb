//! Cases from the world: what public bug reports found wrong, each with its whole kind; numbers are those of the list that `tests/it/cases/README.md` tells of.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::support::fixtures::{NOW, Shop, assert_part, at, with};
use crate::support::promotion_lists::{all, upload};
use crate::support::service::ADMIN;

/// A time long before all facts, from when on promotions are tracked.
const LONG_AGO_MS: i64 = 89 * 24 * 60 * 60 * 1_000;

/// A promotion of amounts of five euros.
fn five_euros() -> Value {
    json!({"type": "amount", "value": "5.00", "currency": "EUR"})
}

/// A promotion that is tracked since long ago.
fn promotion(more: &Value) -> Value {
    let from = at(NOW).plus_ms(-LONG_AGO_MS);
    with(
        json!({"name": "P", "kind": "global", "tracking_from": from}),
        more,
    )
}

/// A shop with the promotion `p` and its voucher `C`, which has no limit.
async fn shop(more: Value) -> Shop {
    let shop = Shop::open(json!({})).await;
    shop.put("promotions/p", promotion(&more)).await;
    let (status, told) = shop
        .call(
            Method::POST,
            "promotions/p/vouchers",
            json!({"codes": ["C"]}),
        )
        .await;
    assert_eq!(status, 201, "{told}");
    shop
}

fn redemption(id: &str, customer: &str, more: &Value) -> Value {
    let record = json!({"redemption_id": id, "promotion_id": "p", "customer_id": customer});
    with(record, more)
}

fn assignment(id: &str, customer: &str, more: &Value) -> Value {
    let record = json!({"assignment_id": id, "promotion_id": "p", "customer_id": customer});
    with(record, more)
}

/// What becomes of one record: `accepted`, `duplicates`, `quarantined`, or the code of its rejection.
async fn report(shop: &Shop, what: &str, record: &Value) -> String {
    let (_, told) = shop.call(Method::POST, what, record.clone()).await;
    let counts = ["accepted", "duplicates", "quarantined"];
    let taken = counts.into_iter().find(|count| told[count] == 1);
    let code = || told["rejected"][0]["code"].as_str().map(str::to_owned);
    taken
        .map(str::to_owned)
        .or_else(code)
        .unwrap_or(told.to_string())
}

/// What a redeem is told: `success`, the reason of its refusal, or the code of its problem.
async fn redeem(shop: &Shop, code: &str, id: &str, customer: &str, more: &Value) -> String {
    let body = with(json!({"redemption_id": id, "customer_id": customer}), more);
    let path = format!("promotions/p/vouchers/{code}/redeem");
    let (_, told) = shop.call(Method::POST, &path, body).await;
    let texts = [
        &told["reason"],
        &told["result"],
        &told["errors"][0]["code"],
        &told["code"],
        &told["type"],
    ];
    let text = texts.into_iter().find_map(|text| text.as_str());
    text.unwrap_or_default().to_owned()
}

async fn roll_back(shop: &Shop, id: &str) {
    let body = json!({"rollback_id": format!("b {id}")});
    let path = format!("redemptions/{id}/rollback");
    let (status, told) = shop.call(Method::POST, &path, body).await;
    assert_eq!(status, 200, "{told}");
}

async fn row(shop: &Shop) -> Value {
    let told = shop.get("reports/promotions").await;
    let rows = told["promotions"].as_array().unwrap();
    rows.iter()
        .find(|row| row["promotion_id"] == "p")
        .cloned()
        .unwrap_or_default()
}

async fn history(shop: &Shop) -> Vec<Value> {
    all(
        &shop.service,
        &shop.path("promotions/p/redemptions"),
        "items",
        100,
    )
    .await
}

/// The flags of each redemption of `p`, in the history and, the same, wherever else flags are shown.
async fn flags(shop: &Shop) -> BTreeMap<String, String> {
    let words = |item: &Value| {
        let words = item["flags"].as_array().unwrap().iter();
        let words: Vec<&str> = words.map(|flag| flag.as_str().unwrap()).collect();
        words.join(" ")
    };
    let id = |item: &Value| item["redemption_id"].as_str().unwrap().to_owned();
    let by_id = |items: &[Value]| -> BTreeMap<String, String> {
        items.iter().map(|item| (id(item), words(item))).collect()
    };
    let items = history(shop).await;
    let shown = by_id(&items);
    let feed = all(&shop.service, &shop.path("redemptions"), "items", 100).await;
    assert_eq!(by_id(&feed), shown, "feed");
    for item in &items {
        let card = format!("customers/{}", item["customer_id"].as_str().unwrap());
        let card = shop.get(&card).await;
        for one in card["redemptions"].as_array().unwrap() {
            assert_eq!(words(one), shown[&id(one)], "card: {one}");
        }
    }
    let flagged = shop.get("promotions/p/redemptions?flagged=true").await;
    let some = shown.iter().filter(|(_, flags)| !flags.is_empty());
    let some: BTreeMap<String, String> = some
        .map(|(id, flags)| (id.clone(), flags.clone()))
        .collect();
    assert_eq!(by_id(flagged["items"].as_array().unwrap()), some, "flagged");
    let text = shop.csv("promotions/p/redemptions").await;
    let mut table = csv::Reader::from_reader(text.as_bytes());
    let rows: Vec<BTreeMap<String, String>> = table.deserialize().map(Result::unwrap).collect();
    let cells = rows.iter().map(|row| {
        let flags = row["flags"]
            .split(['|', ' ', ','])
            .filter(|flag| !flag.is_empty());
        (
            row["redemption_id"].clone(),
            Vec::from_iter(flags).join(" "),
        )
    });
    assert_eq!(BTreeMap::from_iter(cells), shown, "CSV: {text}");
    shown
}

/// The codes and fields of a refused promotion.
fn problems(told: &Value) -> Vec<String> {
    let errors = told["errors"].as_array().into_iter().flatten();
    let word = |error: &Value, name: &str| error[name].as_str().unwrap_or_default().to_owned();
    let mut named: Vec<String> = errors
        .map(|error| format!("{} {}", word(error, "field"), word(error, "code")))
        .collect();
    named.sort();
    named
}

#[tokio::test]
async fn case_11_no_figure_rather_than_a_wrong_one() {
    let largest = json!({"type": "amount", "value": "999999999999999.999999", "currency": "EUR"});
    let budget = |currency: &str| json!({"budget": {"amount": "10.00", "currency": currency}});
    let most = 1_000_000_000_i64;
    for (more, limit, worst) in [
        (
            json!({"cap": 10_000_000}),
            None,
            json!({"EUR": "9999999999999999999990.00"}),
        ),
        (
            json!({"cap": most}),
            None,
            json!({"EUR": "999999999999999999999000.00"}),
        ),
        (json!({"cap": most - 1}), None, Value::Null),
        (json!({}), Some(most - 1), Value::Null),
        (
            json!({"cap": 1}),
            Some(most - 1),
            json!({"EUR": "999999999999999.999999"}),
        ),
        (
            with(json!({"cap": most - 1}), &budget("EUR")),
            Some(most - 1),
            json!({"EUR": "10.00"}),
        ),
        // What it may cost in euros is no figure, and without it the rest is none.
        (
            with(json!({"cap": most - 1}), &budget("USD")),
            None,
            Value::Null,
        ),
        (
            json!({"cap": most, "value": "5.00"}),
            None,
            json!({"EUR": "5000000000.00"}),
        ),
        (
            json!({"cap": most, "type": "percent", "value": "100"}),
            None,
            Value::Null,
        ),
    ] {
        let shop = Shop::open(json!({})).await;
        shop.put("promotions/p", promotion(&with(largest.clone(), &more)))
            .await;
        if let Some(limit) = limit {
            let body = json!({"codes": ["C", "D"], "limit": limit});
            let (status, told) = shop.call(Method::POST, "promotions/p/vouchers", body).await;
            assert_eq!(status, 201, "{told}");
        }
        assert_eq!(row(&shop).await["worst_case"], worst, "{more} {limit:?}");
    }
    // Beyond it a limit is refused, and the refusal says what may be given.
    for field in ["cap", "redemption_limit", "limit_per_customer"] {
        let shop = Shop::open(json!({})).await;
        for limit in [most + 1, 1_000_000_000_000_000] {
            let body = with(largest.clone(), &json!({field: limit}));
            let (status, told) = shop.call(Method::PUT, "promotions/p", body).await;
            assert_eq!(
                (status, problems(&told)),
                (422, vec![format!("{field} wrong_type")])
            );
            assert!(told.to_string().contains(&most.to_string()), "{told}");
        }
    }
    let shop = shop(json!({})).await;
    for (method, path, body) in [
        (
            Method::POST,
            "promotions/p/vouchers",
            json!({"codes": ["D"], "limit": most + 1}),
        ),
        (
            Method::PUT,
            "promotions/p/vouchers/C",
            json!({"disabled": false, "limit": most + 1}),
        ),
    ] {
        let (status, told) = shop.call(method, path, body).await;
        assert_eq!(
            (status, problems(&told)),
            (422, vec!["limit wrong_type".to_owned()])
        );
    }
    // A rate of the smallest budget and the largest reward.
    let tiny = json!({"budget": {"amount": "0.000001", "currency": "EUR"}});
    shop.put("promotions/p", promotion(&tiny)).await;
    let reward = json!({"reward_amount": "999999999999999.999999"});
    assert_eq!(
        report(&shop, "redemptions", &redemption("r", "x", &reward)).await,
        "accepted"
    );
    let spent = json!({"amount": "0.000001", "currency": "EUR", "spent": "999999999999999.999999", "usage": "999999999999999999999.0000"});
    let expected =
        json!({"budget": spent, "result": {"EUR": "-999999999999999.999999"}, "worst_case": {}});
    assert_part("row", &row(&shop).await, &expected);
}

#[tokio::test]
async fn case_19_a_success_costs_its_value() {
    let ten = json!({"budget": {"amount": "10.00", "currency": "EUR"}});
    let of =
        |kind: &str, more: Value| with(with(json!({"type": kind, "value": "5.00"}), &ten), &more);
    let usd = json!({"budget": {"amount": "10.00", "currency": "USD"}});
    let tiers = json!({"tiers": [{"tier_id": "gold", "value": "8.00"}, {"tier_id": "tin"}]});
    // The promotion, the records, what redeems of them are told, how reports of them are flagged, and what is spent by reports.
    for (body, records, told, flagged, spent) in [
        (
            of("amount", json!({})),
            vec![json!({}); 4],
            "success success budget_reached budget_reached",
            " , ,over_budget,over_budget",
            "20.00",
        ),
        (
            of("amount", json!({})),
            vec![json!({"reward_amount": "50", "currency": "USD"}); 2],
            "other_currency other_currency",
            "other_currency,other_currency",
            "0.00",
        ),
        (
            of("amount", json!({})),
            vec![
                json!({"reward_amount": "3"}),
                json!({"reward_amount": "0"}),
                json!({}),
            ],
            "success success success",
            " , , ",
            "8.00",
        ),
        (
            of("amount", json!({})),
            vec![json!({"currency": "USD"})],
            "success",
            " ",
            "5.00",
        ),
        (
            of("percent", json!({})),
            vec![json!({}), json!({"reward_amount": "11"})],
            "success budget_reached",
            "reward_not_told,over_budget",
            "11.00",
        ),
        (
            of("unit", json!({})),
            vec![json!({})],
            "success",
            "reward_not_told",
            "0.00",
        ),
        (
            of("gift", json!({})),
            vec![json!({"reward_amount": "4"})],
            "success",
            " ",
            "4.00",
        ),
        (
            ten.clone(),
            vec![json!({})],
            "success",
            "reward_not_told",
            "0.00",
        ),
        (
            of("amount", json!({"value": null})),
            vec![json!({})],
            "success",
            "reward_not_told",
            "0.00",
        ),
        (
            of("amount", tiers),
            vec![
                json!({"tier_id": "gold"}),
                json!({"tier_id": "tin"}),
                json!({}),
            ],
            "success budget_reached budget_reached",
            " ,over_budget,over_budget",
            "18.00",
        ),
        // The value itself is of another currency than the budget.
        (
            with(five_euros(), &usd),
            vec![json!({}), json!({"reward_amount": "1", "currency": "USD"})],
            "other_currency success",
            "other_currency, ",
            "1.00",
        ),
    ] {
        let (asked, reported) = (shop(body.clone()).await, shop(body.clone()).await);
        let mut answers = Vec::new();
        for (n, record) in records.iter().enumerate() {
            let id = format!("r{n}");
            answers.push(redeem(&asked, "C", &id, "x", record).await);
            let told = report(&reported, "redemptions", &redemption(&id, "x", record)).await;
            assert_eq!(told, "accepted", "{record}");
        }
        assert_eq!(answers.join(" "), told, "{body} {records:?}");
        let shown: Vec<String> = flags(&reported).await.into_values().collect();
        let expected: Vec<&str> = flagged.split(',').map(str::trim).collect();
        assert_eq!(shown, expected, "{body} {records:?}");
        assert_eq!(
            row(&reported).await["budget"]["spent"],
            spent,
            "{body} {records:?}"
        );
        // A rollback gives back what was taken, no more and no less, whatever the promotion gives by then.
        asked
            .put(
                "promotions/p",
                promotion(&with(
                    body.clone(),
                    &json!({"type": "amount", "value": "9.99", "currency": "EUR"}),
                )),
            )
            .await;
        for (n, told) in answers.iter().enumerate() {
            if told == "success" {
                roll_back(&asked, &format!("r{n}")).await;
            }
        }
        for n in 0..records.len() {
            roll_back(&reported, &format!("r{n}")).await;
        }
        for shop in [&asked, &reported] {
            let row = row(shop).await;
            assert_eq!(row["budget"]["spent"], "0.00", "{body} {records:?}");
            assert_eq!(
                (&row["result"], &row["redemptions"]),
                (&json!({}), &json!(0))
            );
            let one = json!({"reward_amount": "10", "currency": row["budget"]["currency"]});
            assert_eq!(redeem(shop, "C", "again", "x", &one).await, "success");
            assert_eq!(
                redeem(
                    shop,
                    "C",
                    "more",
                    "x",
                    &with(one, &json!({"reward_amount": "0.01"}))
                )
                .await,
                "budget_reached"
            );
        }
    }
}

/// One thing that happens to `p`.
enum Act {
    /// A redemption of a customer, reported.
    Used(&'static str, &'static str, Value),
    /// An assignment to a customer.
    Given(&'static str, &'static str, Value),
    /// Vouchers of these codes.
    Made(&'static str),
    /// What the promotion says from now on.
    Put(Value),
    /// An order of a customer.
    Bought(&'static str, &'static str),
}

async fn play(shop: &Shop, act: &Act) {
    let told = match act {
        Act::Used(id, who, more) => report(shop, "redemptions", &redemption(id, who, more)).await,
        Act::Given(id, who, more) => report(shop, "assignments", &assignment(id, who, more)).await,
        Act::Made(code) => {
            let body = json!({"codes": [code]});
            let (status, told) = shop.call(Method::POST, "promotions/p/vouchers", body).await;
            assert_eq!(status, 201, "{told}");
            return;
        }
        Act::Put(more) => {
            shop.put("promotions/p", promotion(more)).await;
            return;
        }
        Act::Bought(order, who) => {
            shop.orders(&[&format!("{order} {who} COMPLETE 30.00 EUR 18T10:00")])
                .await;
            return;
        }
    };
    assert!(
        ["accepted", "quarantined"].contains(&told.as_str()),
        "{told}"
    );
}

#[tokio::test]
async fn case_20_flags_are_of_the_facts_as_they_stand() {
    use Act::{Bought, Given, Made, Put, Used};
    let code = || json!({"voucher_code": "D"});
    let named = || json!({"assignment_id": "a"});
    let order = || json!({"order_id": "o"});
    let cheap = || five_euros();
    let times = |from: &str, to: &str| {
        with(
            five_euros(),
            &json!({"starts_at": at(from), "ends_at": at(to)}),
        )
    };
    let on = || json!({"redeemed_at": at("18T10:00")});
    let usd = || {
        with(
            five_euros(),
            &json!({"budget": {"amount": "9", "currency": "USD"}}),
        )
    };
    // Acts of which some may come in any order, and the flags of `r` in the end.
    for (acts, flagged) in [
        (
            vec![
                Made("D"),
                Given("a", "y", code()),
                Used("r", "x", code()),
                Given("b", "x", code()),
            ],
            "",
        ),
        (
            vec![Made("D"), Used("r", "x", code()), Given("a", "y", code())],
            "wrong_customer",
        ),
        (
            vec![
                Made("D"),
                Used("r", "x", code()),
                Given("a", "y", with(code(), &json!({"result": "failure"}))),
            ],
            "",
        ),
        (vec![Used("r", "x", code())], "unknown_voucher"),
        (vec![Used("r", "x", code()), Made("D")], ""),
        (
            vec![Used("r", "x", code()), Given("a", "y", code())],
            "unknown_voucher wrong_customer",
        ),
        (vec![Used("r", "x", named())], "unknown_assignment"),
        (
            vec![Used("r", "x", named()), Given("a", "x", json!({}))],
            "",
        ),
        (
            vec![Used("r", "x", named()), Given("a", "y", json!({}))],
            "unknown_assignment",
        ),
        (
            vec![Used("r", "x", on()), Put(times("18T10:00", "18T10:00"))],
            "",
        ),
        (
            vec![
                Used("r", "x", on()),
                Put(times("18T10:00:00.001", "19T10:00")),
            ],
            "outside_timeframe",
        ),
        (
            vec![
                Used("r", "x", on()),
                Put(times("17T10:00", "18T09:59:59.999")),
            ],
            "outside_timeframe",
        ),
        (vec![Used("r", "x", order()), Bought("o", "x")], ""),
        (
            vec![Used("r", "x", order()), Bought("o", "y")],
            "other_customers_order",
        ),
        (vec![Used("r", "x", order())], ""),
        (
            vec![Used("r", "x", json!({})), Put(usd())],
            "other_currency",
        ),
        (
            vec![
                Used(
                    "r",
                    "x",
                    with(
                        code(),
                        &json!({"result": "failure", "assignment_id": "a", "order_id": "o"}),
                    ),
                ),
                Given("b", "y", code()),
                Bought("o", "y"),
            ],
            "",
        ),
    ] {
        // Turned round, first to last: whatever came first.
        for turn in 0..acts.len() {
            let shop = shop(cheap()).await;
            let (last, first) = acts.split_at(turn);
            let puts_first = |act: &&Act| matches!(act, Put(_));
            for act in first.iter().chain(last).filter(|act| !puts_first(act)) {
                play(&shop, act).await;
            }
            for act in acts.iter().filter(puts_first) {
                play(&shop, act).await;
            }
            assert_eq!(
                flags(&shop).await["r"],
                flagged,
                "{flagged} from act {turn}"
            );
            if !history(&shop)
                .await
                .iter()
                .all(|one| one["result"] == "failure")
            {
                // What was taken back was used all the same.
                roll_back(&shop, "r").await;
                assert_eq!(flags(&shop).await["r"], flagged, "{flagged}, taken back");
            }
        }
    }
    // Times that change there and back, under what was reported and what was asked for here.
    let shop = shop(cheap()).await;
    play(&shop, &Used("r", "x", json!({}))).await;
    assert_eq!(redeem(&shop, "C", "s", "y", &json!({})).await, "success");
    for (more, flagged) in [
        (cheap(), ""),
        (times("17T10:00", "18T10:00"), "outside_timeframe"),
        (cheap(), ""),
    ] {
        shop.put("promotions/p", promotion(&more)).await;
        let shown = flags(&shop).await;
        assert_eq!((&*shown["r"], &*shown["s"]), (flagged, flagged));
    }
    // Of limits the flags are as of arrival.
    let limits = with(five_euros(), &json!({"cap": 2, "limit_per_customer": 1}));
    shop.put("promotions/p", promotion(&limits)).await;
    play(&shop, &Used("t", "x", json!({}))).await;
    shop.put("promotions/p", promotion(&cheap())).await;
    roll_back(&shop, "r").await;
    assert_eq!(flags(&shop).await["t"], "over_cap over_customer_limit");
}

#[tokio::test]
async fn case_21_what_both_copies_state_is_compared() {
    let full = json!({"voucher_code": "C", "tier_id": "gold", "assignment_id": "a", "order_id": "o", "redeemed_at": at("18T10:00"),
        "result": "success", "reward_amount": "5.00", "currency": "EUR"});
    let failed = json!({"result": "failure", "failure_code": "till"});
    // One copy, another, and whether the later is a conflict; both orders of arrival.
    for (one, other, conflict) in [
        (json!({}), json!({"result": "success"}), false),
        (json!({}), full.clone(), false),
        (
            json!({"reward_amount": "5"}),
            json!({"reward_amount": "5.00", "currency": "EUR"}),
            false,
        ),
        (
            json!({"redeemed_at": at("18T10:00")}),
            json!({"redeemed_at": "2026-11-18T11:00:00+01:00"}),
            false,
        ),
        (
            json!({"redeemed_at": at("18T10:00")}),
            json!({"redeemed_at": at("18T10:01")}),
            true,
        ),
        (json!({"order_id": null}), json!({"order_id": "o"}), false),
        (json!({"order_id": "o"}), json!({"order_id": "p"}), true),
        (json!({}), failed.clone(), true),
        (failed.clone(), json!({"result": "failure"}), false),
        (
            failed.clone(),
            json!({"result": "failure", "failure_code": "other"}),
            true,
        ),
        (
            json!({"voucher_code": "C"}),
            json!({"voucher_code": "c"}),
            true,
        ),
        (
            full.clone(),
            with(full.clone(), &json!({"tier_id": "tin"})),
            true,
        ),
        (
            full.clone(),
            with(full.clone(), &json!({"assignment_id": "b"})),
            true,
        ),
        (
            full.clone(),
            with(full.clone(), &json!({"reward_amount": "5.01"})),
            true,
        ),
        (
            full.clone(),
            with(full.clone(), &json!({"currency": "USD"})),
            true,
        ),
        (
            full.clone(),
            with(full.clone(), &json!({"customer_id": "y"})),
            true,
        ),
        (
            full.clone(),
            with(full.clone(), &json!({"promotion_id": "q"})),
            true,
        ),
        (
            full.clone(),
            json!({"note": "unknown fields say nothing"}),
            false,
        ),
    ] {
        for (first, second) in [(&one, &other), (&other, &one)] {
            let shop = shop(five_euros()).await;
            shop.put("promotions/q", promotion(&json!({}))).await;
            assert_eq!(
                report(&shop, "redemptions", &redemption("r", "x", first)).await,
                "accepted"
            );
            let shown = [history(&shop).await, vec![row(&shop).await]];
            let told = report(&shop, "redemptions", &redemption("r", "x", second)).await;
            let expected = if conflict { "conflict" } else { "duplicates" };
            assert_eq!(told, expected, "{first} then {second}");
            // The first stands.
            assert_eq!([history(&shop).await, vec![row(&shop).await]], shown);
        }
    }
    for (one, other, conflict) in [
        (
            json!({}),
            json!({"result": "success", "channel": "api", "assigned_at": at("18T10:00")}),
            false,
        ),
        (json!({"channel": "manual"}), json!({}), true),
        (json!({}), json!({"result": "failure"}), true),
        (
            json!({}),
            json!({"segment": "vip", "tier_id": "gold", "voucher_code": "C"}),
            false,
        ),
        (json!({"segment": "vip"}), json!({"segment": "VIP"}), true),
    ] {
        for (first, second) in [(&one, &other), (&other, &one)] {
            let shop = shop(five_euros()).await;
            report(&shop, "assignments", &assignment("a", "x", first)).await;
            let told = report(&shop, "assignments", &assignment("a", "x", second)).await;
            let expected = if conflict { "conflict" } else { "duplicates" };
            assert_eq!(told, expected, "{first} then {second}");
        }
    }
    // Redeemed live, then in the till's file of the night, by the till's clock; and the other way round.
    let capped = with(five_euros(), &json!({"cap": 1}));
    for (live, filed, expected) in [
        (
            "success",
            json!({"voucher_code": "C", "redeemed_at": at("20T11:59:58.123")}),
            "duplicates",
        ),
        (
            "success",
            json!({"redeemed_at": at("20T11:00"), "order_id": "till-7"}),
            "duplicates",
        ),
        (
            "success",
            json!({"voucher_code": "C", "result": "failure"}),
            "conflict",
        ),
        (
            "cap_reached",
            json!({"redeemed_at": at("20T11:00"), "result": "failure"}),
            "duplicates",
        ),
        (
            "cap_reached",
            json!({"result": "failure", "failure_code": "cap_reached"}),
            "duplicates",
        ),
        (
            "cap_reached",
            json!({"redeemed_at": at("20T11:00")}),
            "conflict",
        ),
    ] {
        let shop = shop(capped.clone()).await;
        if live == "cap_reached" {
            redeem(&shop, "C", "first", "y", &json!({})).await;
        }
        assert_eq!(redeem(&shop, "C", "r", "x", &json!({})).await, live);
        let record = redemption("r", "x", &filed);
        assert_eq!(
            report(&shop, "redemptions", &record).await,
            expected,
            "{filed}"
        );
        let batch = upload(&shop.service, "night.jsonl", &record.to_string()).await;
        let counted = if expected == "conflict" {
            "rejected"
        } else {
            expected
        };
        assert_part("file", &batch, &json!({"rows": 1, counted: 1}));
        // A retry of the till says more than its first try, and is told the same.
        assert_eq!(
            redeem(&shop, "C", "r", "x", &json!({"order_id": "o"})).await,
            live
        );
    }
    let shop = shop(capped.clone()).await;
    let record = redemption(
        "r",
        "x",
        &json!({"voucher_code": "C", "redeemed_at": at("20T11:00")}),
    );
    assert_eq!(report(&shop, "redemptions", &record).await, "accepted");
    assert_eq!(redeem(&shop, "C", "r", "x", &json!({})).await, "success");
    assert_eq!(row(&shop).await["redemptions"], 1);
}

#[tokio::test]
async fn case_21_our_own_exports_are_known() {
    let shop = shop(with(five_euros(), &json!({"limit_per_customer": 2}))).await;
    for (id, more) in [
        ("r1", json!({})),
        (
            "r2",
            json!({"reward_amount": "4", "voucher_code": "C", "order_id": "o", "tier_id": "gold"}),
        ),
        ("r3", json!({"currency": "USD"})),
        (
            "r4",
            json!({"result": "failure", "failure_code": "till", "redeemed_at": at("18T10:00")}),
        ),
    ] {
        report(&shop, "redemptions", &redemption(id, "x", &more)).await;
    }
    assert_eq!(redeem(&shop, "C", "s1", "y", &json!({})).await, "success");
    assert_eq!(
        redeem(&shop, "C", "s2", "y", &json!({"reward_amount": "1"})).await,
        "success"
    );
    assert_eq!(
        redeem(&shop, "C", "s3", "y", &json!({})).await,
        "customer_limit_reached"
    );
    roll_back(&shop, "r2").await;
    roll_back(&shop, "s1").await;
    let given = [
        ("a1", json!({"voucher_code": "C"})),
        (
            "a2",
            json!({"voucher_code": "C", "segment": "vip", "channel": "manual"}),
        ),
    ];
    for (id, more) in given {
        report(&shop, "assignments", &assignment(id, "x", &more)).await;
    }
    report(
        &shop,
        "redemptions",
        &redemption("w1", "x", &json!({"promotion_id": "later"})),
    )
    .await;
    report(
        &shop,
        "assignments",
        &assignment("w2", "x", &json!({"promotion_id": "later"})),
    )
    .await;
    let items = history(&shop).await;
    let count = items.len();
    let (_, told) = shop.call(Method::POST, "redemptions", json!(items)).await;
    assert_part(
        "as JSON",
        &told,
        &json!({"duplicates": count, "accepted": 0, "rejected": []}),
    );
    let text = shop.csv("promotions/p/redemptions").await;
    let batch = upload(&shop.service, "ours.csv", &text).await;
    assert_part(
        "as CSV",
        &batch,
        &json!({"rows": count, "duplicates": count, "rejected": 0}),
    );
    let feed = all(&shop.service, &shop.path("redemptions"), "items", 100).await;
    let (_, told) = shop.call(Method::POST, "redemptions", json!(feed)).await;
    assert_part("the feed", &told, &json!({"duplicates": feed.len()}));
    let published = all(
        &shop.service,
        &shop.path("promotions/p/publications"),
        "items",
        100,
    )
    .await;
    let (_, told) = shop
        .call(Method::POST, "assignments", json!(published))
        .await;
    assert_part("publications", &told, &json!({"duplicates": 2}));
    for item in all(&shop.service, &shop.path("quarantine"), "items", 100).await {
        let what = format!("{}s", item["kind"].as_str().unwrap());
        assert_eq!(
            report(&shop, &what, &item["record"]).await,
            "duplicates",
            "{item}"
        );
    }
    // Only what was taken back is said to be.
    for (id, expected) in [("r1", "conflict"), ("new", "unknown_value")] {
        let record = redemption(id, "x", &json!({"result": "rolled_back"}));
        assert_eq!(report(&shop, "redemptions", &record).await, expected);
    }
    assert_eq!(history(&shop).await, items);
}

#[tokio::test]
async fn case_24_a_promotion_that_says_what_is_not_is_refused() {
    let amount = |more: Value| with(five_euros(), &more);
    let bad: Vec<(Value, Vec<&str>)> = vec![
        (
            json!({"redemtion_limit": 1}),
            vec!["redemtion_limit unknown_field"],
        ),
        (
            json!({"redemtion_limit": 1, "Cap": 2, "caps": null}),
            vec![
                "Cap unknown_field",
                "caps unknown_field",
                "redemtion_limit unknown_field",
            ],
        ),
        (
            json!({"budget": {"amount": "1", "currency": "EUR", "spent": "0"}}),
            vec!["budget.spent unknown_field"],
        ),
        (
            json!({"budget": {"amuont": "1", "currency": "EUR"}}),
            vec!["budget.amount missing", "budget.amuont unknown_field"],
        ),
        (
            json!({"tiers": [{"tier_id": "a"}, {"tier_id": "b", "reward": "1"}]}),
            vec!["tiers[1].reward unknown_field"],
        ),
        (
            json!({"tiers": [{"tier_id": "a", "id": "b"}]}),
            vec!["tiers[0].id unknown_value"],
        ),
        (
            json!({"validation_rules": ["a", {"id": "b", "rule": "x"}]}),
            vec!["validation_rules[1].rule unknown_field"],
        ),
        (
            json!({"voucher": {"type": "gift", "limit": 1}}),
            vec!["voucher.limit unknown_field"],
        ),
        (
            json!({"voucher": {"type": "percent", "value": "101"}}),
            vec!["voucher.value unknown_value"],
        ),
        (
            json!({"voucher": {"type": "gift"}, "type": "gift"}),
            vec!["type unknown_value"],
        ),
        (
            json!({"type": "percent", "value": "150"}),
            vec!["value unknown_value"],
        ),
        (
            json!({"type": "percent", "value": "100.000001"}),
            vec!["value unknown_value"],
        ),
        (
            json!({"type": "percent", "tiers": [{"tier_id": "a", "value": "100.5"}]}),
            vec!["tiers[0].value unknown_value"],
        ),
        (
            json!({"type": "amount", "value": "5"}),
            vec!["currency missing"],
        ),
        (
            json!({"voucher": {"type": "amount", "value": "5"}}),
            vec!["currency missing"],
        ),
        (
            json!({"type": "amount", "value": "5", "currency": "EURO"}),
            vec!["currency unknown_currency"],
        ),
        (amount(json!({"value": "0"})), vec!["value unknown_value"]),
        (
            amount(json!({"value": "0.000000"})),
            vec!["value unknown_value"],
        ),
        (amount(json!({"value": "-5"})), vec!["value bad_money"]),
        (
            amount(json!({"tiers": [{"tier_id": "a", "value": "0"}]})),
            vec!["tiers[0].value unknown_value"],
        ),
        (
            json!({"promotion_id": "q"}),
            vec!["promotion_id unknown_value"],
        ),
        (
            json!({"type": "percent", "value": "150", "redemtion_limit": 1, "cap": -1}),
            vec![
                "cap wrong_type",
                "redemtion_limit unknown_field",
                "value unknown_value",
            ],
        ),
    ];
    let shop = shop(five_euros()).await;
    let before = shop.get("promotions/p").await;
    for (body, expected) in bad {
        // As it is made, and as it is changed.
        for id in ["new", "p"] {
            let path = format!("promotions/{id}");
            let (status, told) = shop.call(Method::PUT, &path, body.clone()).await;
            assert_eq!(
                (status, problems(&told)),
                (422, expected.iter().map(|&text| text.to_owned()).collect()),
                "{body}"
            );
        }
    }
    assert_eq!(shop.get("promotions/p").await, before);
    assert_eq!(shop.status_for(ADMIN, "promotions/new").await, 404);
    for body in [
        json!({"type": "percent", "value": "100"}),
        json!({"type": "percent", "value": "0"}),
        json!({"type": "amount", "value": "0.000001", "currency": "EUR"}),
        json!({"type": "amount", "value": "5", "budget": {"amount": "10", "currency": "EUR"}}),
        json!({"voucher": {"type": "amount", "value": "5", "currency": "EUR"}}),
        json!({"voucher": {"type": "amount", "value": "5"}, "currency": "EUR"}),
        json!({"type": "unit", "value": "150"}),
        json!({"limit_per_customer": 2, "redemption_limit": 1, "cap": 0}),
        json!({"metadata": {"anything": {"may": "stand here"}}}),
    ] {
        shop.put("promotions/p", body.clone()).await;
        // As it is shown it may be sent back, and says nothing new.
        let shown = shop.get("promotions/p").await;
        shop.put("promotions/p", shown.clone()).await;
        assert_eq!(shop.get("promotions/p").await, shown, "{body}");
    }
}

#[tokio::test]
async fn case_33_an_order_of_another_customer_is_flagged() {
    for order_first in [true, false] {
        let shop = shop(five_euros()).await;
        let bought = [
            "o1 ann COMPLETE 30.00 EUR 18T10:00",
            "o2 bob COMPLETE 7.00 EUR 18T10:00",
        ];
        if order_first {
            shop.orders(&bought).await;
        }
        report(
            &shop,
            "redemptions",
            &redemption("r1", "ann", &json!({"order_id": "o1"})),
        )
        .await;
        report(
            &shop,
            "redemptions",
            &redemption("r2", "ann", &json!({"order_id": "o2"})),
        )
        .await;
        report(
            &shop,
            "redemptions",
            &redemption("r3", "ann", &json!({"order_id": "nobody's"})),
        )
        .await;
        assert_eq!(
            redeem(&shop, "C", "x1", "cyd", &json!({"order_id": "o1"})).await,
            "success"
        );
        assert_eq!(
            redeem(&shop, "C", "x2", "bob", &json!({"order_id": "o2"})).await,
            "success"
        );
        if !order_first {
            shop.orders(&bought).await;
        }
        let flagged = [
            ("r1", ""),
            ("r2", "other_customers_order"),
            ("r3", ""),
            ("x1", "other_customers_order"),
            ("x2", ""),
        ];
        let expected = flagged.map(|(id, flags)| (id.to_owned(), flags.to_owned()));
        assert_eq!(
            flags(&shop).await,
            BTreeMap::from(expected),
            "{order_first}"
        );
        // It is in the result all the same, once: the till has honoured it.
        assert_part(
            "result",
            &row(&shop).await,
            &json!({"result": {"EUR": "12.00"}}),
        );
    }
}

#[tokio::test]
async fn case_34_each_limit_has_its_flag_and_its_reason() {
    let budget = json!({"budget": {"amount": "5.00", "currency": "EUR"}});
    // Limits of the promotion, of the voucher, and what the second success of a customer meets.
    for (more, limit, reason, flagged) in [
        (json!({}), Some(1), "limit_reached", "over_limit"),
        (json!({"cap": 1}), None, "cap_reached", "over_cap"),
        (budget.clone(), None, "budget_reached", "over_budget"),
        (
            json!({"limit_per_customer": 1}),
            None,
            "customer_limit_reached",
            "over_customer_limit",
        ),
        (
            with(budget, &json!({"cap": 1, "limit_per_customer": 1})),
            Some(1),
            "customer_limit_reached",
            "over_limit over_cap over_budget over_customer_limit",
        ),
        (
            json!({"cap": 1}),
            Some(1),
            "limit_reached",
            "over_limit over_cap",
        ),
        (
            json!({"limit_per_customer": 0}),
            None,
            "customer_limit_reached",
            "over_customer_limit",
        ),
    ] {
        let shop = shop(with(five_euros(), &more)).await;
        let body = json!({"codes": ["D"], "limit": limit});
        shop.call(Method::POST, "promotions/p/vouchers", body).await;
        let used = |id: &str| redemption(id, "x", &json!({"voucher_code": "D"}));
        let none = more["limit_per_customer"] == 0;
        report(&shop, "redemptions", &used("r1")).await;
        assert_eq!(
            flags(&shop).await["r1"],
            if none { flagged } else { "" },
            "{more}"
        );
        assert_eq!(
            redeem(&shop, "D", "x1", "x", &json!({})).await,
            reason,
            "{more} {limit:?}"
        );
        report(&shop, "redemptions", &used("r2")).await;
        assert_eq!(flags(&shop).await["r2"], flagged, "{more} {limit:?}");
        // What is given back can be taken again.
        roll_back(&shop, "r1").await;
        roll_back(&shop, "r2").await;
        let told = redeem(&shop, "D", "x2", "x", &json!({})).await;
        assert_eq!(
            told,
            if none { reason } else { "success" },
            "{more} {limit:?}"
        );
        if reason == "customer_limit_reached" && more["cap"].is_null() && !none {
            assert_eq!(redeem(&shop, "D", "x3", "y", &json!({})).await, "success");
            assert_eq!(redeem(&shop, "D", "x4", "x", &json!({})).await, reason);
            // A failure takes nothing, and a limit that grows lets in.
            shop.put(
                "promotions/p",
                promotion(&with(five_euros(), &json!({"limit_per_customer": 2}))),
            )
            .await;
            assert_eq!(redeem(&shop, "D", "x5", "x", &json!({})).await, "success");
        }
    }
}

/// The limit of a customer is met exactly, however many tries there are at once.
#[test]
fn case_34_one_customer_at_many_tills() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build();
    for (tries, limit) in [(40, 3), (20, 40), (30, 30)] {
        runtime.as_ref().unwrap().block_on(async {
            let more = with(five_euros(), &json!({"limit_per_customer": limit}));
            let shop = Arc::new(shop(more).await);
            let mut tills = Vec::new();
            for n in 0..tries {
                let shop = shop.clone();
                tills.push(tokio::spawn(async move {
                    let path = shop.path("promotions/p/vouchers/C/redeem");
                    let body = json!({"redemption_id": format!("r{n}"), "customer_id": "x"});
                    loop {
                        let (status, told) = shop.service.post(&path, &body).await;
                        if !status.is_server_error() {
                            return told;
                        }
                    }
                }));
            }
            let mut won = 0;
            for till in tills {
                let told = till.await.unwrap();
                match told["result"].as_str() {
                    Some("success") => won += 1,
                    _ => assert_eq!(told["reason"], "customer_limit_reached"),
                }
            }
            assert_eq!(won, tries.min(limit), "{tries} tries at {limit}");
            assert_eq!(row(&shop).await["redemptions"], won);
        });
    }
}

#[tokio::test]
async fn case_35_a_later_copy_takes_the_place_of_one_that_waits() {
    let waiting = async |shop: &Shop| -> Vec<String> {
        let items = all(&shop.service, &shop.path("quarantine"), "items", 100).await;
        let word = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let one = |item: &Value| {
            format!(
                "{} {} {}",
                word(item, "id"),
                word(item, "promotion_id"),
                word(item, "customer_id")
            )
        };
        items.iter().map(one).collect()
    };
    // What the later copy says, what becomes of it, and what waits then.
    for (later, told, waits) in [
        (json!({"promotion_id": "p"}), "accepted", vec![]),
        (
            json!({"promotion_id": "p", "customer_id": "y"}),
            "accepted",
            vec![],
        ),
        (
            json!({"promotion_id": "other"}),
            "quarantined",
            vec!["r other x"],
        ),
        (json!({"customer_id": "y"}), "quarantined", vec!["r pp y"]),
        (json!({"tier_id": "gold"}), "quarantined", vec!["r pp x"]),
        (json!({}), "duplicates", vec!["r pp x"]),
        (json!({"result": "success"}), "duplicates", vec!["r pp x"]),
    ] {
        for (what, id, listed) in [
            ("redemptions", "redemption_id", "redemptions"),
            ("assignments", "assignment_id", "publications"),
        ] {
            for filed in [false, true] {
                let shop = shop(five_euros()).await;
                let record = |more: &Value| {
                    with(
                        json!({id: "r", "promotion_id": "pp", "customer_id": "x", "voucher_code": "C"}),
                        more,
                    )
                };
                assert_eq!(
                    report(&shop, what, &record(&json!({}))).await,
                    "quarantined"
                );
                shop.service.set_now(at("20T12:01"));
                if filed && what == "redemptions" {
                    let batch =
                        upload(&shop.service, "mended.jsonl", &record(&later).to_string()).await;
                    assert_part("file", &batch, &json!({"rows": 1, told: 1}));
                } else {
                    assert_eq!(
                        report(&shop, what, &record(&later)).await,
                        told,
                        "{what} {later}"
                    );
                }
                assert_eq!(waiting(&shop).await, waits, "{what} {later}");
                // What it waited for appears: only what waits for it now is taken in.
                for promotion_id in ["pp", "other"] {
                    let path = format!("promotions/{promotion_id}");
                    shop.put(&path, promotion(&five_euros())).await;
                }
                assert_eq!(waiting(&shop).await, Vec::<String>::new());
                let mut counts = BTreeMap::new();
                for promotion_id in ["p", "pp", "other"] {
                    let path = shop.path(&format!("promotions/{promotion_id}/{listed}"));
                    for item in all(&shop.service, &path, "items", 100).await {
                        counts.insert(promotion_id, item["customer_id"].clone());
                    }
                }
                let one = with(json!({"promotion_id": "pp", "customer_id": "x"}), &later);
                let place = one["promotion_id"].as_str().unwrap();
                assert_eq!(
                    counts,
                    BTreeMap::from([(place, one["customer_id"].clone())]),
                    "{what} {later}"
                );
                // Once it is taken in, the first stands.
                let other = record(&with(later.clone(), &json!({"customer_id": "z"})));
                assert_eq!(report(&shop, what, &other).await, "conflict");
                shop.run().await;
                let told = shop.get("reports/reconciliation").await["redemptions"].clone();
                let n = |name: &str| told[name].as_i64().unwrap();
                let sum = n("duplicates") + n("matched") + n("quarantined") + n("rejected");
                assert_eq!((n("received"), n("quarantined")), (sum, 0), "{told}");
            }
        }
    }
    // What the mended one cannot be leaves the one that waits; and one that waits for a currency gets it.
    let shop = shop(json!({})).await;
    let reward = |more: Value| {
        redemption(
            "r",
            "x",
            &with(json!({"promotion_id": "pp", "reward_amount": "5"}), &more),
        )
    };
    assert_eq!(
        report(&shop, "redemptions", &reward(json!({}))).await,
        "quarantined"
    );
    for (more, told) in [
        (json!({"promotion_id": "p"}), "missing"),
        (
            json!({"promotion_id": "p", "currency": "EUR", "redeemed_at": at(NOW).plus_ms(-LONG_AGO_MS - 1)}),
            "before_tracking",
        ),
        (
            json!({"promotion_id": "p", "currency": "EURO"}),
            "unknown_currency",
        ),
    ] {
        assert_eq!(report(&shop, "redemptions", &reward(more)).await, told);
        assert_eq!(waiting(&shop).await, ["r pp x"]);
    }
    shop.put("promotions/pp", promotion(&json!({}))).await;
    assert_eq!(
        waiting(&shop).await,
        ["r pp x"],
        "its reward has no currency"
    );
    let mended = reward(json!({"currency": "EUR"}));
    assert_eq!(report(&shop, "redemptions", &mended).await, "accepted");
    assert_eq!(waiting(&shop).await, Vec::<String>::new());
}
