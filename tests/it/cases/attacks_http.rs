//! Attacks over HTTP: keys that were revoked, cursors that were made up, cells and names that are not what they seem, bodies that
//! ask for endless answers, and filters that find nothing.

use std::collections::BTreeSet;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::Retention;
use revtrail_store::market::access::{KeyRight, Role};
use revtrail_web::api::Route;
use serde_json::{Value, json};

use crate::support::fault_client::FaultClient;
use crate::support::fixtures::{NOW, Shop, at, order, segment};
use crate::support::promotion_lists::upload;
use crate::support::service::{ADMIN, Service};
use crate::support::tier::{one_in, proves};

/// Every route of the service.
fn routes() -> Vec<Route> {
    revtrail::serve::routes(manage::in_process(drop))
}

#[tokio::test]
async fn a_revoked_key_ends_here_at_once_and_makes_no_other_anywhere() {
    let here = Shop::open(json!({})).await;
    let there = Shop {
        service: Service::on(
            here.service.store.clone(),
            here.service.tripwire.clone(),
            here.service.now(),
            Retention::DEFAULT,
        ),
        id: here.id,
    };
    let body = json!({ "name": "thief", "role": "admin" });
    let (status, made) = here.call(Method::POST, "keys", body.clone()).await;
    assert_eq!(status, 201, "{made}");
    let (key, id) = (
        made["key"].as_str().unwrap(),
        made["key_id"].as_str().unwrap(),
    );
    for shop in [&here, &there] {
        assert_eq!(shop.status_for(key, "orders").await, 200);
    }
    let gone = here
        .call(Method::DELETE, &format!("keys/{id}"), json!({}))
        .await;
    assert_eq!(gone.0, 204);
    assert_eq!(here.status_for(key, "orders").await, 401);
    // Another process believes the key for half a minute, but not where it makes keys, or shows or changes secrets.
    assert_eq!(there.status_for(key, "orders").await, 200);
    for (method, rest, body) in [
        (Method::GET, "keys", Value::Null),
        (Method::POST, "keys", body.clone()),
        (Method::DELETE, "keys/k_1", Value::Null),
        (Method::GET, "settings", Value::Null),
        (Method::GET, "settings/versions", Value::Null),
        (Method::PUT, "settings", json!({})),
        (Method::PATCH, "settings", json!({})),
    ] {
        let told = there
            .service
            .call_as(key, method.clone(), &there.path(rest), Some(&body))
            .await;
        assert_eq!(told.0, 401, "{method} {rest}: {}", told.1);
    }
    // And by then it has forgotten the key.
    assert_eq!(there.status_for(key, "orders").await, 401);
    assert_eq!(here.get("keys").await["keys"], json!([]));
    // A call that was let in just before the key was revoked makes none either.
    let m = MarketplaceId::new(here.id).unwrap();
    let right = KeyRight {
        marketplace: &m,
        key_id: id,
    };
    let marketplaces = std::slice::from_ref(&m);
    let store = &here.service.store;
    let late = store.create_key("late", Role::Admin, marketplaces, Some(&right), at(NOW));
    assert_eq!(late.await.unwrap(), None);
    assert_eq!(here.get("keys").await["keys"], json!([]));
}

#[tokio::test]
async fn of_two_keys_none_counts() {
    let shop = Shop::open(json!({})).await;
    let other = format!("Bearer {}", shop.key("analyst").await);
    let good = format!("Bearer {ADMIN}");
    for (sent, status) in [
        (vec![good.as_str()], 200),
        (vec![&good, &good], 401),
        (vec![&good, "Bearer wrong"], 401),
        (vec!["Bearer wrong", &good], 401),
        (vec![&other, &good], 401),
        (vec![&good, ""], 401),
        (vec![&format!("{good}, {good}")], 401),
    ] {
        let headers: Vec<_> = sent.iter().map(|key| ("authorization", *key)).collect();
        let path = shop.path("orders");
        let told = shop.service.send(Method::GET, &path, &headers, Vec::new());
        assert_eq!(told.await.0, status, "{sent:?}");
    }
}

/// A shop in which every list has at least two rows.
async fn full(id: &'static str) -> Shop {
    let service = Service::at(NOW).await;
    let shop = Shop { service, id };
    for id in ["m", "n"] {
        shop.service.make(id, &json!({})).await;
    }
    let events = [
        "E email sent,clicked c 16T10:00 message_id=a promotion_id=p voucher_code=A",
        "E email sent,clicked d 16T10:00 message_id=b promotion_id=p voucher_code=B",
        "F email sent,clicked e 16T10:00",
    ];
    for name in ["p", "q"] {
        let rules = json!([{"id": "r1", "text": "one"}, {"id": "r2", "text": "two"}]);
        let told = json!({"name": name, "tracking_from": "2026-11-01T00:00:00Z", "validation_rules": rules, "metadata": {"a": 1, "b": 2}});
        shop.put(&format!("promotions/{name}"), told).await;
    }
    shop.put("promotions/p", json!({"name": "x", "tracking_from": "2026-11-01T00:00:00Z", "validation_rules": [{"id": "r1"}, {"id": "r2"}], "metadata": {"a": 1, "b": 2}})).await;
    let (status, told) = shop
        .call(
            Method::POST,
            "promotions/p/vouchers",
            json!({"codes": ["A", "B"]}),
        )
        .await;
    assert_eq!(status, 201, "{told}");
    shop.events(&events).await;
    shop.orders(&[
        "o c COMPLETE 10.00 USD 16T11:00",
        "p d COMPLETE 5.00 USD 16T12:00",
        "q e COMPLETE 1.00 USD 16T13:00",
    ])
    .await;
    let record = |kind: &str, n: usize, of: &str| json!({format!("{kind}_id"): format!("{of}{n}"), "promotion_id": of, "customer_id": "c", "voucher_code": "A"});
    for kind in ["assignment", "redemption"] {
        let records: Vec<Value> = ["p", "nobody's"]
            .iter()
            .flat_map(|of| (0..2).map(move |n| record(kind, n, of)))
            .collect();
        shop.service
            .feed(id, &format!("{kind}s"), &records, 100)
            .await;
    }
    for _ in 0..2 {
        shop.service.set_now(shop.service.now().plus_ms(1_000));
        shop.run().await;
    }
    for name in ["a", "b"] {
        let buyers =
            json!({"name": name, "campaign_id": "E", "from": "2026-11-01", "to": "2026-12-01"});
        let (status, told) = shop.call(Method::POST, "segments", buyers).await;
        assert_eq!((status, &told["customers"]), (201, &json!(2)), "{told}");
        let replay =
            json!({"version": 1, "from": "2026-11-01", "to": "2026-11-20", "dry_run": true});
        let (status, told) = shop.call(Method::POST, "replays", replay).await;
        assert_eq!(status, 202, "{told}");
    }
    if id == "m" {
        for name in ["a.csv", "b.csv"] {
            upload(
                &shop.service,
                name,
                "redemption_id,promotion_id,customer_id\n",
            )
            .await;
        }
    }
    shop
}

/// The path of a route below its marketplace, with ids that exist; `None` for a route of no marketplace.
fn filled(route: &Route) -> Option<String> {
    let rest = route
        .path()
        .strip_prefix("/v1/marketplaces/{marketplace}/")?;
    let id = match rest.split('/').next()? {
        "reports" | "campaigns" => "E",
        "promotions" => "p",
        "orders" => "o",
        _ => "c",
    };
    Some(rest.replace("{id}", id).replace("{code}", "A"))
}

impl Shop {
    /// The status of a list after a cursor.
    async fn continued(&self, list: &str, cursor: &str) -> u16 {
        let mark = if list.contains('?') { '&' } else { '?' };
        let rest = format!("{list}{mark}limit=1&cursor={}", segment(cursor));
        self.call(Method::GET, &rest, Value::Null).await.0
    }
}

#[tokio::test]
async fn a_list_takes_only_its_own_cursors() {
    let shop = full("m").await;
    let saved = shop.get("segments").await["items"][0]["segment_id"].clone();
    let saved = format!("segments/{}", segment(saved.as_str().unwrap()));
    let mut lists = Vec::new();
    for route in routes()
        .iter()
        .filter(|route| *route.method() == Method::GET)
    {
        let Some(list) = filled(route).filter(|_| route.takes_query()) else {
            continue;
        };
        let list = list.replace("segments/c", &saved);
        let (_, first) = shop
            .call(Method::GET, &format!("{list}?limit=1"), Value::Null)
            .await;
        match first.get("next_cursor") {
            Some(Value::String(cursor)) => lists.push((list, cursor.clone())),
            Some(_) => panic!("{list} has one page only: give the shop more of it"),
            // What is no list knows no cursor.
            None => assert_eq!(shop.continued(&list, "zz").await, 422, "{list}"),
        }
    }
    assert!(lists.len() >= 15, "{lists:?}");
    let other = Shop { id: "n", ..shop };
    for (list, cursor) in &lists {
        // Ids of the path exist in the first marketplace only, but the cursor is refused before they are looked for.
        assert_eq!(
            other.continued(list, cursor).await,
            400,
            "{list} of another marketplace"
        );
    }
    let shop = Shop { id: "m", ..other };
    use base64::Engine;
    let plain = |text: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(text);
    for (list, cursor) in &lists {
        assert_eq!(shop.continued(list, cursor).await, 200, "{list}");
        for (others, theirs) in &lists {
            let status = if list == others { 200 } else { 400 };
            assert_eq!(
                shop.continued(list, theirs).await,
                status,
                "{list} after a row of {others}"
            );
        }
        let mut bit = cursor.clone().into_bytes();
        bit[2] ^= 1;
        let cut = &cursor[..cursor.len() - 4];
        for forged in [
            String::from_utf8(bit).unwrap(),
            cut.to_owned(),
            plain(r#"{"after":""}"#),
            r#"{"after":""}"#.to_owned(),
            plain(r#"{"value":null,"id":"a"}"#),
            plain(&format!(
                "{}{}",
                "\0".repeat(16),
                r#"{"value":null,"id":"a"}"#
            )),
            "A".repeat(22),
            "A".repeat(60_000),
            "=".to_owned(),
        ] {
            let shown: String = forged.chars().take(40).collect();
            assert_eq!(
                shop.continued(list, &forged).await,
                400,
                "{list} after {shown}"
            );
        }
        // Another filter or another order is another list.
        for filter in ["from=2026-11-02", "sort=name", "customer_id=c", "unknown=1"] {
            let filtered = format!("{list}?{filter}");
            assert_eq!(shop.continued(&filtered, cursor).await, 400, "{filtered}");
        }
    }
}

#[tokio::test]
async fn a_forged_cursor_reads_nothing() {
    let line = FaultClient::new();
    let shop = Shop::over(&line).await;
    for route in routes()
        .iter()
        .filter(|route| *route.method() == Method::GET)
    {
        let Some(list) = filled(route).filter(|_| route.takes_query()) else {
            continue;
        };
        shop.call(Method::GET, "runs", Value::Null).await;
        line.clear();
        if shop.continued(&list, "zz").await == 400 {
            assert_eq!(line.calls().len(), 0, "{list}");
        }
    }
}

#[tokio::test]
async fn no_table_hides_a_formula_but_the_raw_one() {
    let shop = full("m").await;
    let name = "a;\u{a0}=1+1";
    shop.put("campaigns/E", json!({ "name": name, "tags": ["＝1", "x"] }))
        .await;
    shop.put("promotions/q", json!({ "name": " @SUM(1)" }))
        .await;
    let shown = shop.csv("reports/campaigns").await;
    assert!(shown.contains("a;'\u{a0}=1+1"), "{shown}");
    assert!(shop.csv("reports/campaigns?raw=true").await.contains(name));
    let shown = shop.csv("reports/promotions").await;
    assert!(shown.contains(",' @SUM(1),"), "{shown}");
    let raw = shop.csv("reports/promotions?raw=true").await;
    assert!(raw.contains(", @SUM(1),"), "{raw}");
}

#[tokio::test]
async fn names_hold_no_control_characters() {
    let shop = full("m").await;
    for bad in ["a\tb", "a\nb", "\u{0}", "a\u{85}b", "\u{7f}"] {
        for (method, rest, body, field) in [
            (Method::PUT, "", json!({ "name": bad }), "name"),
            (
                Method::POST,
                "keys",
                json!({ "name": bad, "role": "analyst" }),
                "name",
            ),
            (Method::PUT, "campaigns/E", json!({ "name": bad }), "name"),
            (Method::PATCH, "campaigns/E", json!({ "name": bad }), "name"),
            (
                Method::PUT,
                "campaigns/E",
                json!({ "tags": ["x", bad] }),
                "tags",
            ),
            (Method::PUT, "promotions/p", json!({ "name": bad }), "name"),
            (
                Method::PATCH,
                "promotions/p",
                json!({ "name": bad }),
                "name",
            ),
            (
                Method::PUT,
                "promotions/p",
                json!({ "tiers": [{ "id": "t", "name": bad }] }),
                "tiers[0].name",
            ),
            (
                Method::PUT,
                "promotions/p",
                json!({ "tiers": [{ "id": bad }] }),
                "tiers[0].id",
            ),
            (
                Method::PUT,
                "promotions/p",
                json!({ "validation_rules": [{ "id": "r", "name": bad }] }),
                "validation_rules[0].name",
            ),
            (
                Method::PUT,
                "settings",
                json!({ "excluded_tags": [bad] }),
                "excluded_tags",
            ),
            (
                Method::PUT,
                "settings",
                json!({ "providers": { bad: {} } }),
                "providers",
            ),
        ] {
            let path = shop.path(rest);
            let path = path.trim_end_matches('/');
            let (status, told) = shop.service.call_as(ADMIN, method, path, Some(&body)).await;
            let error = (&told["errors"][0]["field"], &told["errors_total"]);
            assert_eq!(
                (status.as_u16(), error),
                (422, (&json!(field), &json!(1))),
                "{rest} {body}: {told}"
            );
        }
        for field in ["segment", "tier_id"] {
            let record =
                json!({"assignment_id": "a", "promotion_id": "p", "customer_id": "c", field: bad});
            let (status, told) = shop.call(Method::POST, "assignments", record).await;
            let told = &told["rejected"][0];
            assert_eq!(
                (status, &told["code"], &told["field"]),
                (422, &json!("bad_id"), &json!(field))
            );
        }
    }
    // A text of several lines is no name.
    shop.put(
        "promotions/p",
        json!({ "name": "p", "description": "a\nb" }),
    )
    .await;
}

/// A text that is repeated in no answer by itself.
const NOISE: &str = "Ж§";

/// The worst bodies: what they are, their media type, and their bytes.
fn worst() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    const JSON: &str = "application/json";
    let noise = |bytes: usize| NOISE.repeat(bytes / NOISE.len());
    let object = |fields: &mut dyn Iterator<Item = String>| {
        format!("{{{}}}", fields.collect::<Vec<_>>().join(",")).into_bytes()
    };
    let known = [
        "event_id",
        "kind",
        "channel",
        "campaign_id",
        "customer_id",
        "occurred_at",
        "order_id",
        "status",
        "total",
        "currency",
        "placed_at",
        "promotion_id",
        "redemption_id",
        "assignment_id",
        "rollback_id",
        "voucher_code",
        "tier_id",
        "name",
        "role",
        "marketplaces",
        "preset",
        "timezone",
        "winner",
        "providers",
        "tags",
        "sent_at",
        "value",
        "type",
        "limit",
        "prefix",
        "verify",
    ];
    let record = |value: &str| {
        let fields = known.map(|name| format!("\"{name}\":{value}"));
        String::from_utf8(object(&mut fields.into_iter())).unwrap()
    };
    let long = format!("\"{}\"", noise(2_000));
    let escaped = format!("\"{}\"", r#"\"\u0001\\"#.repeat(300));
    let list = |value: &str| format!("[{}]", vec![value; 100_000].join(","));
    let rows = |row: &str| format!("code,limit\n{}", format!("{row}\n").repeat(9_999));
    let channel = r#"{"connect_on":[1,"x"],"window":"x"}"#;
    vec![
        ("many small fields", JSON, object(&mut (0..80_000).map(|n| format!("\"{n:x}\":1")))),
        ("many fields in settings", JSON, {
            let fields = object(&mut (0..80_000).map(|n| format!("\"{n:x}\":1")));
            let long = noise(100_000);
            [br#"{"settings":{"providers":{""#, long.as_bytes(), br#"":"#, fields.as_slice(), b"}}}"].concat()
        }),
        ("many fields under one long name", JSON, {
            let fields = object(&mut (0..80_000).map(|n| format!("\"{n:x}\":1")));
            let long = noise(100_000);
            [br#"{"providers":{""#, long.as_bytes(), br#"":"#, fields.as_slice(), b"}}"].concat()
        }),
        ("many channels", JSON, {
            let channels = object(&mut (0..20_000).map(|n| format!("\"{n:x}\":{channel}")));
            [br#"{"channels":"#, channels.as_slice(), b"}"].concat()
        }),
        ("one long name", JSON, format!("{{\"{}\":1}}", noise(1 << 20)).into_bytes()),
        ("one long text", JSON, format!("\"{}\"", noise(1 << 20)).into_bytes()),
        ("no JSON", JSON, noise(1 << 20).into_bytes()),
        ("long texts in all fields", JSON, record(&long).into_bytes()),
        ("a long text in each field of many records", JSON, format!("[{}]", vec![record(&escaped); 40].join(",")).into_bytes()),
        ("a long word in many records", JSON, {
            let event = format!(r#"{{"event_id":"e","kind":{escaped},"status":{escaped},"order_id":"o","customer_id":"c","redemption_id":"r","promotion_id":"p","redeemed_at":{escaped},"assignment_id":"a","assigned_at":{escaped}}}"#);
            format!("[{}]", vec![event; 250].join(",")).into_bytes()
        }),
        ("many lines", "application/x-ndjson", format!("{{\"kind\":{escaped}}}\n").repeat(1_000).into_bytes()),
        ("lines that are none", "application/x-ndjson", format!("{}\n", noise(3_000)).repeat(1_000).into_bytes()),
        ("codes that are none", JSON, format!("{{\"codes\":[{}]}}", vec!["1"; 9_999].join(",")).into_bytes()),
        ("codes that are too long", JSON, format!("{{\"codes\":[{}]}}", vec![long.as_str(); 400].join(",")).into_bytes()),
        ("many wrong values", JSON, format!(r#"{{"counted_statuses":{0},"excluded_tags":{0},"marketplaces":{0},"tags":{0},"tiers":{0}}}"#, list("1")).into_bytes()),
        ("wrong statuses", JSON, format!(r#"{{"counted_statuses":{}}}"#, list("\"x\"")).into_bytes()),
        ("rows without a limit", "text/csv", rows("a,x").into_bytes()),
        ("rows with long codes", "text/csv", rows(&noise(150)).into_bytes()),
        ("a deep one", JSON, "[".repeat(1 << 20).into_bytes()),
    ]
}

#[tokio::test]
async fn no_answer_is_long_however_much_is_wrong() {
    let shop = full("m").await;
    let mut bodies = worst();
    for (what, _, body) in &bodies {
        assert!(body.len() <= 4 << 20, "{what} is refused before it is read");
    }
    let writes = [Method::POST, Method::PUT, Method::PATCH];
    let mut seen = BTreeSet::new();
    let routes = routes();
    for (nth, route) in routes
        .iter()
        .filter(|route| writes.contains(route.method()))
        .enumerate()
    {
        let path = match filled(route) {
            Some(rest) => shop.path(&rest),
            None => shop.path("").trim_end_matches('/').to_owned(),
        };
        for (of, (what, media, body)) in bodies.iter_mut().enumerate() {
            // A share has each route with one body in three, in turn.
            if !one_in(3, nth + of) {
                continue;
            }
            let (status, _, answer) = shop
                .service
                .raw(
                    route.method().clone(),
                    &path,
                    Some(ADMIN),
                    Some(media),
                    body.clone(),
                )
                .await;
            let named = format!("{} {path}: {what}, {status}", route.method());
            assert!(!status.is_server_error(), "{named}");
            assert!(answer.len() < 1 << 20, "{named}: {} bytes", answer.len());
            let text = String::from_utf8(answer).unwrap();
            assert!(
                !text.contains(&NOISE.repeat(200 / NOISE.len() + 1)),
                "{named}: {text:.2000}"
            );
            let told: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(errors) = told["errors"].as_array() {
                let total = told["errors_total"].as_u64().unwrap() as usize;
                assert!(
                    errors.len() == total.min(100),
                    "{named}: {} of {total}",
                    errors.len()
                );
                seen.extend((total > 100).then_some(*what));
            }
        }
    }
    let least = if proves() { 6 } else { 2 };
    assert!(seen.len() >= least, "too little was wrong: {seen:?}");
}

#[tokio::test]
async fn a_filter_without_hits_reads_many_rows_at_once() {
    let line = FaultClient::new();
    let shop = Shop::over(&line).await;
    let told = json!({"name": "p", "tracking_from": "2026-11-01T00:00:00Z"});
    shop.put("promotions/p", told).await;
    let records = |kind: &str| -> Vec<Value> {
        let record = |n| json!({format!("{kind}_id"): format!("r{n}"), "promotion_id": "p", "customer_id": format!("c{n}"), "voucher_code": "A"});
        (0..600).map(record).collect()
    };
    for kind in ["redemption", "assignment"] {
        shop.service
            .feed("m", &format!("{kind}s"), &records(kind), 1_000)
            .await;
    }
    let orders: Vec<String> = (0..600)
        .map(|n| format!("o{n} c{} COMPLETE 1.00 USD 16T11:00", n % 3))
        .collect();
    shop.orders(&orders.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    shop.run().await;
    for (path, list) in [
        (
            "promotions/p/redemptions?customer_id=nobody&limit=1",
            "items",
        ),
        (
            "promotions/p/redemptions?flagged=false&voucher_code=B&limit=1",
            "items",
        ),
        (
            "promotions/p/publications?customer_id=nobody&limit=1",
            "items",
        ),
        ("orders?status=REFUNDED&limit=1", "orders"),
        ("orders?customer_id=nobody&limit=1", "orders"),
        (
            "orders?customer_id=nobody&status=REFUNDED&limit=1",
            "orders",
        ),
    ] {
        line.clear();
        let told = shop.get(path).await;
        assert_eq!(
            (&told[list], &told["next_cursor"]),
            (&json!([]), &Value::Null),
            "{path}"
        );
        let calls = line.calls().len();
        assert!(
            calls < 200,
            "{path} takes {calls} calls of the table for 600 rows"
        );
    }
    // A page that is cut within what was read goes on with the next row.
    let mut seen = BTreeSet::new();
    let mut cursor = String::new();
    loop {
        let told = shop
            .get(&format!(
                "promotions/p/redemptions?voucher_code=A&limit=7{cursor}"
            ))
            .await;
        for item in told["items"].as_array().unwrap() {
            assert!(seen.insert(item["redemption_id"].as_str().unwrap().to_owned()));
        }
        match told["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", segment(next)),
            None => break,
        }
    }
    assert_eq!(seen.len(), 600);
}

#[tokio::test]
async fn orders_that_wait_are_decided_when_they_are_shown() {
    let shop = Shop::open(json!({})).await;
    let events: Vec<String> = (0..200)
        .map(|n| format!("E email sent,clicked c{n} 16T10:00"))
        .collect();
    shop.events(&events.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let orders: Vec<String> = (0..200)
        .map(|n| format!("o{n:03} c{n} COMPLETE 1.00 USD 16T11:00"))
        .collect();
    shop.orders(&orders.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let told = shop.get("orders?limit=2").await;
    let shown = told["orders"].as_array().unwrap();
    let ids: Vec<&str> = shown
        .iter()
        .map(|order| order["order_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["o199", "o198"]);
    for order in shown {
        assert_eq!(
            (&order["credited_to"]["campaign_id"], &order["counted"]),
            (&json!("E"), &json!(true))
        );
    }
    let before = shop.get("orders?limit=1000").await;
    shop.run().await;
    assert_eq!(shop.get("orders?limit=1000").await, before);
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(plain).unwrap();
    packed.finish().unwrap()
}

/// A body may come packed. What unpacks to more than may come plain is refused, and no more of it is unpacked than that.
#[tokio::test]
async fn a_body_may_be_gzipped_and_no_bomb_is_unpacked() {
    let shop = Shop::open(json!({})).await;
    let order = order("o c COMPLETE 10.00 USD 16T11:00");
    let good = gzip(order.to_string().as_bytes());
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let mut cut = good.clone();
    cut.truncate(good.len() - 4);
    for (coding, body, status) in [
        ("gzip", &good, 202),
        ("GZIP", &good, 202),
        ("identity", &order.to_string().into_bytes(), 202),
        ("gzip", &bomb, 413),
        ("gzip", &cut, 400),
        ("gzip", &order.to_string().into_bytes(), 400),
        ("gzip", &Vec::new(), 400),
        ("br", &good, 415),
        ("gzip, gzip", &gzip(&good), 415),
        ("", &good, 415),
    ] {
        let key = format!("Bearer {ADMIN}");
        let headers = [
            ("authorization", key.as_str()),
            ("content-encoding", coding),
        ];
        let path = shop.path("orders");
        let told = shop
            .service
            .send(Method::POST, &path, &headers, body.clone());
        assert_eq!(told.await.0, status, "{coding:?}");
    }
    let (_, one) = shop.call(Method::GET, "orders/o", Value::Null).await;
    assert_eq!(one["total"], "10.00", "{one}");
}
