//! The worst input gets a clear error, and moves nothing: a test for each case of `tests/corpus/bad_input.txt`, made by
//! `tests/build.rs`; the fields of `fields.txt` and the bodies of `bodies.txt`; and odd ids.

use http::Method;
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, assert_part, events, order, segment, with};
use crate::support::script::rows;
use crate::support::service::ADMIN;

const FIELDS: &str = include_str!("../../corpus/fields.txt");
const BODIES: &str = include_str!("../../corpus/bodies.txt");

include!(concat!(env!("OUT_DIR"), "/bad_input.rs"));

/// A fact that is good at the shop's time.
fn good(fact: &str, id: &str) -> Value {
    match fact {
        "event" => with(
            events("E email opened c 20T10:00").remove(0),
            &json!({ "event_id": id }),
        ),
        _ => with(
            order("o c COMPLETE 10.00 USD 20T10:00"),
            &json!({ "order_id": id }),
        ),
    }
}

/// The JSON text of a good fact with one field replaced by a JSON text, or taken out.
fn spoilt(fact: &str, id: &str, field: &str, text: &str) -> String {
    let good = good(fact, id);
    let kept = good
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != field);
    let mut fields: Vec<String> = kept
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    if text != "-" {
        fields.push(format!("\"{field}\":{text}"));
    }
    format!("{{{}}}", fields.join(","))
}

impl Shop {
    async fn send(&self, method: Method, rest: &str, media: &str, body: &[u8]) -> (u16, Value) {
        let media = Some(media).filter(|media| !media.is_empty());
        let (status, told, bytes) = self
            .service
            .raw(method, &self.path(rest), Some(ADMIN), media, body.to_vec())
            .await;
        let status = status.as_u16();
        let shown: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        // Whatever is refused is a problem of RFC 9457, but for the answer of intake.
        if status >= 400 && shown.get("rejected").is_none() {
            assert_eq!(
                (told.as_str(), &shown["status"]),
                ("application/problem+json", &json!(status)),
                "{rest}: {shown}"
            );
        }
        (status, shown)
    }

    async fn post(&self, what: &str, body: &str) -> (u16, Value) {
        self.send(Method::POST, what, "application/json", body.as_bytes())
            .await
    }
}

#[tokio::test]
async fn each_field_is_refused_by_its_code_and_spoils_no_other_record() {
    let alone = Shop::lively().await;
    let before = alone.figures().await;
    let among = Shop::open(json!({})).await;
    let mut cases = 0;
    for line in rows(FIELDS) {
        let [fact, field, text, code] = line
            .split(" | ")
            .map(str::trim)
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        cases += 1;
        let what = format!("{fact}s");
        let id = format!("case {cases}");
        let body = spoilt(fact, &id, field, text);
        let (first, last) = (
            good(fact, &format!("{id} first")),
            good(fact, &format!("{id} last")),
        );
        let (status, told) = among.post(&what, &format!("[{first},{body},{last}]")).await;
        let rejected = told["rejected"].as_array().unwrap();
        if code == "ok" {
            assert_eq!(
                (status, &told["accepted"], rejected.len()),
                (202, &json!(3), 0),
                "{line}: {told}"
            );
            continue;
        }
        assert_eq!(
            (status, &told["accepted"], rejected.len()),
            (202, &json!(2), 1),
            "{line}: {told}"
        );
        assert_part(
            line,
            &rejected[0],
            &json!({ "index": 1, "code": code, "field": field }),
        );
        assert!(
            rejected[0]["detail"]
                .as_str()
                .is_some_and(|detail| detail.len() > 10),
            "{told}"
        );
        let (status, told) = alone.post(&what, &body).await;
        assert_part(line, &told, &json!({ "accepted": 0, "duplicates": 0 }));
        assert_part(
            line,
            &told["rejected"][0],
            &json!({ "index": 0, "code": code, "field": field }),
        );
        assert_eq!(status, 422, "{line}: {told}");
    }
    let long = |bytes: usize| json!("x".repeat(bytes)).to_string();
    for (fact, field) in [
        ("event", "event_id"),
        ("event", "campaign_id"),
        ("event", "customer_id"),
        ("event", "message_id"),
        ("order", "order_id"),
        ("order", "customer_id"),
    ] {
        cases += 2;
        assert_eq!(
            among
                .post(
                    &format!("{fact}s"),
                    &spoilt(fact, "long", field, &long(128))
                )
                .await
                .0,
            202,
            "{field}"
        );
        let (status, told) = alone
            .post(
                &format!("{fact}s"),
                &spoilt(fact, "long", field, &long(129)),
            )
            .await;
        assert_eq!(
            (status, &told["rejected"][0]["code"]),
            (422, &json!("bad_id")),
            "{field}"
        );
    }
    alone.run().await;
    assert_eq!(alone.figures().await, before);
    println!("corpus: {cases} cases");
}

#[tokio::test]
async fn the_first_bad_field_in_the_order_of_the_spec_is_named() {
    let shop = Shop::open(json!({})).await;
    for (what, fields) in [
        (
            "events",
            vec![
                "event_id",
                "kind",
                "channel",
                "campaign_id",
                "customer_id",
                "message_id",
                "occurred_at",
                "machine",
                "promotion_id",
                "voucher_code",
            ],
        ),
        (
            "orders",
            vec![
                "order_id",
                "customer_id",
                "status",
                "total",
                "currency",
                "placed_at",
                "updated_at",
                "refunded_total",
            ],
        ),
    ] {
        // All are wrong at first; the first is put right, and so on.
        let mut record = json!({});
        for field in &fields {
            record[field] = json!({ "no": "value" });
        }
        let right = good(&what[..5], "id");
        for field in fields {
            let (status, told) = shop.post(what, &record.to_string()).await;
            assert_eq!(
                (status, told["rejected"].as_array().unwrap().len()),
                (422, 1)
            );
            assert_part(
                what,
                &told["rejected"][0],
                &json!({ "field": field, "code": "wrong_type" }),
            );
            record[field] = right.get(field).cloned().unwrap_or_default();
        }
        assert_eq!(
            shop.post(what, &record.to_string()).await.0,
            202,
            "{record}"
        );
    }
}

/// The bytes of a body in `tests/corpus/bodies.txt`; `fresh` makes a good event.
fn bytes(text: &str, mut fresh: impl FnMut() -> String) -> Vec<u8> {
    let mut parts = text.split('<');
    let mut written = parts.next().unwrap().to_owned();
    for part in parts {
        let inner = part
            .split_once('>')
            .and_then(|(inner, rest)| Some((inner.split_once(' ')?, rest)));
        match inner {
            Some((("pad", _), _)) | None => written = written + "<" + part,
            Some(((times, what), rest)) => written += &(what.repeat(times.parse().unwrap()) + rest),
        }
    }
    while let Some(at) = written.find("EVENT") {
        written.replace_range(at..at + 5, &fresh());
    }
    let mut written = written.replace("REST", &fresh()[1..]);
    if let Some(text) = written.strip_prefix("<utf-16>") {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        return [0xff, 0xfe].into_iter().chain(units).collect();
    }
    let padded = written
        .strip_prefix("<pad ")
        .and_then(|text| text.split_once('>'));
    if let Some((size, text)) = padded {
        let size: usize = size.parse().unwrap();
        written = " ".repeat(size - text.len()) + text;
    }
    let mut parts = written.split('\\');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        let (byte, length) = match &part[..1] {
            "n" => (b'\n', 1),
            "r" => (b'\r', 1),
            "t" => (b'\t', 1),
            "0" => (0, 1),
            "x" => (u8::from_str_radix(&part[1..3], 16).unwrap(), 3),
            _ => (b'\\', 0),
        };
        bytes.push(byte);
        bytes.extend(&part.as_bytes()[length..]);
    }
    bytes
}

#[tokio::test]
async fn bodies() {
    let shop = Shop::lively().await;
    let before = shop.figures().await;
    let mut n = 0;
    let mut fresh = || {
        n += 1;
        good("event", &format!("fresh {n}")).to_string()
    };
    let mut cases = 0;
    let is_taken = |line: &&str| line.contains("| 202");
    for line in rows(BODIES).filter(|line| !is_taken(line)) {
        body(&shop, line, &mut fresh).await;
        cases += 1;
    }
    assert_eq!(shop.get("keys").await["keys"], json!([]));
    shop.run().await;
    assert_eq!(shop.figures().await, before);
    for line in rows(BODIES).filter(is_taken) {
        body(&shop, line, &mut fresh).await;
        cases += 1;
    }
    println!("corpus: {cases} cases");
}

/// Sends a body to whom it is for, and looks at what is told.
async fn body(shop: &Shop, line: &str, fresh: impl FnMut() -> String) {
    let columns: Vec<&str> = line.split('|').map(str::trim).collect();
    let [who, media, body, expected] = columns[..] else {
        panic!("a body has four columns: {line}")
    };
    let calls: &[(Method, &str)] = match who {
        "events" => &[(Method::POST, "events")],
        "facts" => &[(Method::POST, "events"), (Method::POST, "orders")],
        _ => &[
            (Method::PUT, "campaigns/E"),
            (Method::PUT, "settings"),
            (Method::POST, "keys"),
            (Method::POST, "runs"),
        ],
    };
    let (media, body) = (media.trim_matches('-'), bytes(body, fresh));
    for (method, path) in calls {
        let (status, told) = shop.send(method.clone(), path, media, &body).await;
        let rejected = told["rejected"].as_array().into_iter().flatten();
        let mut shown = vec![status.to_string()];
        if status == 202 {
            shown.push(told["accepted"].to_string());
        }
        for (at, one) in rejected.enumerate() {
            let (index, code) = (&one["index"], one["code"].as_str().unwrap());
            shown.push(match status {
                422 if *index == json!(at) => code.to_owned(),
                _ => format!("{index}:{code}"),
            });
        }
        assert_eq!(shown.join(" "), expected, "{line}, {path}: {told}");
    }
}

#[tokio::test]
async fn odd_ids_are_ids_like_any_other() {
    let shop = Shop::open(json!({})).await;
    let ids = [
        "a/b",
        "a",
        "b",
        "#",
        "%23",
        "%2523",
        "🦀",
        " ",
        "  ",
        ".",
        "..",
        "a b",
        "a+b",
        "a?b=c",
        "a&b",
        "\"",
        "'",
        "\\",
        "é",
        "e\u{301}",
        "A",
        "null",
        "m/other/c/x",
        "{id}",
        "-a",
        "=a",
    ];
    for id in ids {
        shop.put(
            &format!("campaigns/{}", segment(id)),
            json!({ "name": format!("of {id}") }),
        )
        .await;
        let event = json!({ "event_id": id, "kind": "delivered", "channel": "sms", "campaign_id": id, "customer_id": id, "message_id": id, "occurred_at": "2026-11-16T10:00:00Z" });
        let order = with(
            order("- c COMPLETE 10.00 USD 16T11:00"),
            &json!({ "order_id": id, "customer_id": id }),
        );
        shop.service.feed("m", "events", &[event], 1).await;
        shop.service.feed("m", "orders", &[order], 1).await;
    }
    shop.run().await;
    for id in ids {
        let of = segment(id);
        assert_part(
            id,
            &shop.get(&format!("orders/{of}")).await,
            &json!({ "order_id": id, "customer_id": id }),
        );
        assert_eq!(shop.earner(&of).await, id);
        assert_part(
            id,
            &shop.get(&format!("customers/{of}")).await,
            &json!({ "customer_id": id }),
        );
        assert_eq!(
            shop.get(&format!("orders?customer_id={of}")).await["orders"]
                .as_array()
                .unwrap()
                .len(),
            1,
            "{id}"
        );
        let row = json!({ "campaign_id": id, "name": format!("of {id}"), "deliveries": 1, "purchases": 1, "revenue": { "USD": "10.00" } });
        assert_part(
            id,
            &shop.get(&format!("reports/campaigns/{of}")).await,
            &row,
        );
        assert_eq!(shop.purchases(&of).await, [format!("{id} 10.00")]);
    }
    assert_eq!(
        shop.get("reports/campaigns").await["totals"]["campaigns"],
        ids.len()
    );
    // What can name nothing names nothing; and what would be named so may not be.
    let long = ["x".repeat(129), "x".repeat(1_100)];
    for bad in ["%00", "a%0Ab", "%FF", &long[0], &long[1]] {
        for (method, path) in [
            (Method::GET, "orders"),
            (Method::GET, "customers"),
            (Method::GET, "reports/campaigns"),
            (Method::GET, "runs"),
            (Method::GET, "batches"),
            (Method::DELETE, "keys"),
        ] {
            let (status, ..) = shop.send(method, &format!("{path}/{bad}"), "", b"").await;
            assert_eq!(status, 404, "{path} {bad}");
        }
    }
    for bad in ["%00", "a%0Ab", &"x".repeat(129)] {
        assert_eq!(
            shop.send(Method::PUT, &format!("campaigns/{bad}"), "", b"{}")
                .await
                .0,
            422,
            "{bad}"
        );
        let path = format!("campaigns/{bad}");
        let (status, ..) = shop.send(Method::PUT, &path, "", b"no JSON").await;
        assert_eq!(status, 400, "the body comes first");
    }
    for (path, status) in [
        ("orders//attribution", 404),
        ("orders/", 404),
        ("orders/a/", 404),
        ("reports", 404),
        ("orders/nobody", 404),
    ] {
        assert_eq!(
            shop.send(Method::GET, path, "", b"").await.0,
            status,
            "{path}"
        );
    }
}
