//! The access log: exports, refusals with a good key, and changes are in it; intake and plain reads are not.

use http::Method;
use serde_json::{Value, json};

use crate::support::fault_client::{Fault, FaultClient};
use crate::support::fixtures::{Shop, at, segment};
use crate::support::promotion_lists::all;
use crate::support::scan;
use crate::support::service::ADMIN;

async fn shop() -> Shop {
    Shop::after(
        json!({}),
        &["E email sent,opened ann@example.com 16T10:00"],
        &["o ann@example.com COMPLETE 10.00 USD 16T11:00"],
    )
    .await
}

impl Shop {
    /// The entries, newest first: kind, what, outcome and status.
    async fn log(&self) -> Vec<String> {
        let log = self.get("access-log?limit=1000").await;
        let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
        let line = |one: &Value| {
            let csv = if one["csv"] == true { " csv" } else { "" };
            format!(
                "{} {}: {}{csv} {} {}",
                text(one, "role"),
                text(one, "kind"),
                text(one, "what"),
                text(one, "outcome"),
                one["status"]
            )
        };
        log["items"].as_array().unwrap().iter().map(line).collect()
    }

    async fn count(&self) -> usize {
        self.log().await.len()
    }
}

#[tokio::test]
async fn r58_exports_refusals_and_changes_are_logged_and_nothing_else() {
    let shop = shop().await;
    shop.service.make("other", &json!({})).await;
    shop.service.tripwire.allow("m");
    let mut keys = std::collections::BTreeMap::new();
    for role in ["admin", "marketer", "analyst", "ingest"] {
        keys.insert(role, shop.key(role).await);
    }
    let (json_, csv) = ("application/json", "text/csv");
    let card = format!("customers/{}", segment("ann@example.com"));
    let purchases = "reports/campaigns/E/purchases";
    for (role, method, path, accept, body, logged) in [
        ("admin", "GET", "settings", json_, json!({}), None),
        (
            "analyst",
            "GET",
            "reports/campaigns",
            json_,
            json!({}),
            None,
        ),
        (
            "analyst",
            "GET",
            "reports/campaigns",
            csv,
            json!({}),
            Some("analyst refusal: GET M/reports/campaigns csv refused 403"),
        ),
        (
            "analyst",
            "GET",
            purchases,
            csv,
            json!({}),
            Some("analyst refusal: GET M/reports/campaigns/{id}/purchases csv refused 403"),
        ),
        (
            "marketer",
            "GET",
            "reports/campaigns",
            csv,
            json!({}),
            Some("marketer export: GET M/reports/campaigns csv done 200"),
        ),
        (
            "marketer",
            "GET",
            purchases,
            json_,
            json!({}),
            Some("marketer export: GET M/reports/campaigns/{id}/purchases done 200"),
        ),
        (
            "marketer",
            "GET",
            &card,
            json_,
            json!({}),
            Some("marketer export: GET M/customers/{id} done 200"),
        ),
        (
            "marketer",
            "GET",
            "customers/nobody",
            json_,
            json!({}),
            None,
        ),
        (
            "analyst",
            "GET",
            &card,
            json_,
            json!({}),
            Some("analyst refusal: GET M/customers/{id} refused 403"),
        ),
        ("ingest", "POST", "events", json_, json!([]), None),
        ("ingest", "POST", "orders", json_, json!([{}]), None),
        (
            "analyst",
            "POST",
            "orders",
            json_,
            json!([]),
            Some("analyst refusal: POST M/orders refused 403"),
        ),
        (
            "admin",
            "PUT",
            "campaigns/E",
            json_,
            json!({"name": "E"}),
            Some("admin change: PUT M/campaigns/{id} done 200"),
        ),
        (
            "admin",
            "PUT",
            "campaigns/E",
            json_,
            json!({"nme": "E"}),
            Some("admin change: PUT M/campaigns/{id} refused 422"),
        ),
        ("admin", "DELETE", "campaigns/E", json_, json!({}), None),
        (
            "marketer",
            "PUT",
            "settings",
            json_,
            json!({}),
            Some("marketer refusal: PUT M/settings refused 403"),
        ),
        (
            "marketer",
            "POST",
            "segments",
            json_,
            json!({"name": "s", "campaign_id": "E", "from": "2026-11-01", "to": "2026-12-01"}),
            Some("marketer change: POST M/segments done 201"),
        ),
        (
            "marketer",
            "GET",
            "segments",
            json_,
            json!({}),
            Some("marketer export: GET M/segments done 200"),
        ),
        ("admin", "GET", "access-log", json_, json!({}), None),
        (
            "admin",
            "GET",
            "../other/settings",
            json_,
            json!({}),
            Some("admin refusal: GET M/settings refused 403"),
        ),
        ("admin", "GET", "nothing", json_, json!({}), None),
    ] {
        let before = shop.count().await;
        let bearer = format!("Bearer {}", keys[role]);
        let headers = [
            ("authorization", bearer.as_str()),
            ("accept", accept),
            ("content-type", json_),
        ];
        let path = shop.path(path).replace("/m/../other", "/other");
        let method: Method = method.parse().unwrap();
        let body = if method == Method::GET {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        shop.service
            .send(method.clone(), &path, &headers, body)
            .await;
        // What is logged in one instant has no order, so the new entry is the one that was not there.
        let log = shop.log().await;
        assert_eq!(
            log.len() - before,
            usize::from(logged.is_some()),
            "{role} {method} {path}: {log:#?}"
        );
        if let Some(logged) = logged {
            assert!(
                log.iter().any(|line| line == logged),
                "{logged} in {log:#?}"
            );
        }
    }
    let others = shop.service.get("/v1/marketplaces/other/access-log").await;
    let others = others["items"].as_array().unwrap();
    assert_eq!(others.len(), 1, "only its making: {others:?}");
}

/// A customer stands in the log as a keyed hash, the same in two entries, and another in another marketplace.
#[tokio::test]
async fn an_entry_says_who_did_what_on_which_ids_and_names_no_customer() {
    let shop = shop().await;
    shop.put("campaigns/E", json!({"name": "E"})).await;
    let key = shop.key("marketer").await;
    let card = format!("customers/{}", segment("ann@example.com"));
    for _ in 0..2 {
        assert_eq!(shop.status_for(&key, &card).await, 200);
    }
    let log = shop.get("access-log").await;
    let all = log["items"].as_array().unwrap();
    let of = |what: &str| -> Vec<&Value> { all.iter().filter(|one| one["what"] == what).collect() };
    let cards = of("GET M/customers/{id}");
    let hash = cards[0]["on"]["customer"].as_str().unwrap();
    assert_eq!(
        (cards.len(), hash.len(), &cards[1]["on"]["customer"]),
        (2, 16, &json!(hash))
    );
    assert_eq!(
        (&cards[0]["at"], &cards[0]["key"]),
        (&json!("2026-11-20T12:00:00.000Z"), &json!("marketer"))
    );
    let made = &of("POST M/keys")[0];
    assert_eq!(
        (&made["key_id"], &made["on"]["made"]),
        (&json!("deployment"), &cards[0]["key_id"])
    );
    assert_eq!(of("PUT M/campaigns/{id}")[0]["on"], json!({"id": "E"}));
    let named = scan::holding(shop.service.tripwire.database(), &["ann@example.com"]);
    assert!(
        named.iter().all(|item| !item.contains("m/m/al/")),
        "{named:#?}"
    );
}

#[tokio::test]
async fn the_log_is_shown_newest_first_in_pages_for_as_long_as_facts_are() {
    let shop = Shop::open(json!({})).await;
    for minute in 1..=9 {
        shop.service.set_now(at(&format!("20T12:0{minute}")));
        shop.put(&format!("campaigns/c{minute}"), json!({})).await;
    }
    let entries = all(&shop.service, &shop.path("access-log"), "items", 4).await;
    let name = |one: &Value| one["on"]["id"].as_str().unwrap_or("made").to_owned();
    let named: Vec<String> = entries.iter().map(name).collect();
    assert_eq!(
        named,
        ["c9", "c8", "c7", "c6", "c5", "c4", "c3", "c2", "c1", "made"]
    );
    shop.service
        .set_now(at("20T12:05").plus_ms(shop.service.retention.ms() + 2_000));
    assert_eq!(shop.count().await, 4, "the rest is over");
}

/// The last call to the table is the entry. Where it fails, a change is answered as it was made.
#[tokio::test]
async fn a_log_that_cannot_be_written_changes_no_answer() {
    let line = FaultClient::new();
    let service = Shop::over(&line).await.service;
    let path = "/v1/marketplaces/m/campaigns/E";
    let put = async |name: &str| service.put(path, &json!({ "name": name })).await;
    line.clear();
    assert_eq!(put("a").await.0, 201);
    line.clear();
    put("b").await;
    let calls = line.calls().len();
    line.fail_at(calls, Fault::RequestLost);
    assert_eq!(
        (put("c").await.0.as_u16(), line.calls().len()),
        (200, calls)
    );
    line.clear();
    let log = service.get("/v1/marketplaces/m/access-log").await;
    assert_eq!(log["items"].as_array().unwrap().len(), 3, "{log}");
    let (status, shown) = service.call_as(ADMIN, Method::GET, path, None).await;
    assert_eq!((status.as_u16(), &shown["name"]), (200, &json!("c")));
}
