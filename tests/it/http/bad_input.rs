//! The worst input gets a clear error, and moves nothing. Fields stand in `tests/corpus/fields.txt`.

use http::Method;
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, assert_part, at, events, order, segment, strip, with};
use crate::support::service::ADMIN;

const FIELDS: &str = include_str!("../../corpus/fields.txt");

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

/// A shop with figures to be moved.
async fn lively() -> Shop {
    let (events, orders) = (
        [
            "E email sent,delivered,opened c 16T10:00",
            "S sms sent d 15T10:00",
        ],
        [
            "a c COMPLETE 10.00 USD 16T11:00",
            "b c PENDING 5.00 EUR 16T12:00",
        ],
    );
    Shop::after(json!({}), &events, &orders).await
}

/// The sorted codes and fields of a problem.
fn errors(problem: &Value) -> Vec<String> {
    let name = |error: &Value| {
        format!(
            "{} {}",
            error["field"].as_str().unwrap_or("-"),
            error["code"].as_str().unwrap()
        )
    };
    let mut errors: Vec<String> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(name)
        .collect();
    errors.sort();
    errors
}

#[tokio::test]
async fn each_field_is_refused_by_its_code_and_spoils_no_other_record() {
    let alone = lively().await;
    let before = alone.figures().await;
    let among = Shop::open(json!({})).await;
    let mut cases = 0;
    for line in FIELDS.lines().filter(|line| !line.starts_with('#')) {
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

#[tokio::test]
async fn a_line_that_is_no_text_spoils_no_other() {
    let shop = lively().await;
    let event = good("event", "fresh").to_string();
    let body = [event.as_bytes(), b"\n{\"event_id\":\"\xff\"}\n"].concat();
    let media = "application/x-ndjson";
    let (status, told) = shop.send(Method::POST, "events", media, &body).await;
    let rejected = &told["rejected"][0];
    assert_eq!(
        (
            status,
            &told["accepted"],
            &rejected["index"],
            &rejected["code"]
        ),
        (202, &json!(1), &json!(1), &json!("not_json")),
        "{told}"
    );
}

#[tokio::test]
async fn bodies() {
    let shop = lively().await;
    let before = shop.figures().await;
    let event = good("event", "x").to_string();
    let many = |n: usize| format!("[{}]", vec![event.as_str(); n].join(","));
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let (json, lines) = ("application/json", "application/x-ndjson");
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend(event.encode_utf16().flat_map(u16::to_le_bytes));
    let padded = |bytes: usize| format!("{}{event}", " ".repeat(bytes - event.len())).into_bytes();
    // Refused: 400 where it does not parse, 413, 415; in both kinds of facts.
    let refused: Vec<(&str, Vec<u8>, u16)> = vec![
        (json, b"".to_vec(), 400),
        (json, b"{".to_vec(), 400),
        (json, b"[{}".to_vec(), 400),
        (json, b"{}{}".to_vec(), 400),
        (json, b"[{},]".to_vec(), 400),
        (json, b"{'a':1}".to_vec(), 400),
        (json, b"// no\n{}".to_vec(), 400),
        (json, b"NaN".to_vec(), 400),
        (json, b"<xml/>".to_vec(), 400),
        (json, b"event_id=1&kind=opened".to_vec(), 400),
        (json, b"1".to_vec(), 400),
        (json, b"null".to_vec(), 400),
        (json, b"true".to_vec(), 400),
        (json, b"\"text\"".to_vec(), 400),
        (json, b"{\"a\":\"\xff\"}".to_vec(), 400),
        (json, b"\0".to_vec(), 400),
        (json, utf16, 400),
        (json, format!("{event}\n{event}").into_bytes(), 400),
        (json, "[".repeat(2 << 20).into_bytes(), 400),
        (lines, b"\xff\n".to_vec(), 400),
        ("text/plain", event.clone().into_bytes(), 415),
        ("text/csv", b"event_id\n1\n".to_vec(), 415),
        ("application/xml", event.clone().into_bytes(), 415),
        ("application/jsonl", event.clone().into_bytes(), 415),
        (
            "multipart/form-data; boundary=x",
            event.clone().into_bytes(),
            415,
        ),
        (json, many(1_001).into_bytes(), 413),
        (lines, format!("{event}\n").repeat(1_001).into_bytes(), 413),
        (json, padded((4 << 20) + 1), 413),
        (json, vec![b'x'; 9 << 20], 413),
        // 413 comes before 415, and 415 before 400.
        ("text/plain", vec![b'x'; (4 << 20) + 1], 413),
        ("text/plain", b"{".to_vec(), 415),
    ];
    let mut cases = refused.len() * 2;
    for (media, body, status) in &refused {
        for what in ["events", "orders"] {
            let told = shop.send(Method::POST, what, media, body).await;
            assert_eq!(
                told.0,
                *status,
                "{what} {media} {:?}: {}",
                String::from_utf8_lossy(&body[..body.len().min(60)]),
                told.1
            );
        }
    }
    // Every record rejected: 422 and the same body as ever.
    for (media, body, codes) in [
        (json, "[1]".to_owned(), vec!["wrong_type"]),
        (
            json,
            "[null,\"a\",[],{}]".to_owned(),
            vec!["wrong_type", "wrong_type", "wrong_type", "missing"],
        ),
        (json, "{}".to_owned(), vec!["missing"]),
        (json, deep(100_000), vec!["wrong_type"]),
        (
            json,
            "[{\"event_id\":\"\\ud800\"}]".to_owned(),
            vec!["wrong_type"],
        ),
        (
            lines,
            "no\n\n{\n[]\n{}\n".to_owned(),
            vec!["not_json", "not_json", "wrong_type", "missing"],
        ),
    ] {
        cases += 1;
        let (status, told) = shop
            .send(Method::POST, "events", media, body.as_bytes())
            .await;
        let rejected = told["rejected"].as_array().unwrap();
        let found: Vec<_> = rejected
            .iter()
            .map(|one| one["code"].as_str().unwrap())
            .collect();
        let indexes: Vec<_> = rejected
            .iter()
            .map(|one| one["index"].as_u64().unwrap())
            .collect();
        assert_eq!(
            (status, found, indexes),
            (422, codes.clone(), (0..codes.len() as u64).collect()),
            "{told}"
        );
    }
    shop.run().await;
    assert_eq!(shop.figures().await, before);
    // Taken, each in a shop of its own event ids.
    let mut n = 0;
    let mut fresh = || {
        n += 1;
        good("event", &format!("fresh {n}")).to_string()
    };
    let nested = format!("{{\"deep\":{},{}", deep(50_000), &fresh()[1..]);
    let twice = format!("{{\"event_id\":\"first\",{}", &fresh()[1..]);
    for (media, body, accepted, rejected) in [
        ("", fresh(), 1, vec![]),
        (json, fresh(), 1, vec![]),
        (json, format!("[{},{}]", fresh(), fresh()), 2, vec![]),
        (json, format!("\u{feff}[{}]", fresh()), 1, vec![]),
        (json, format!(" \r\n{}\t", fresh()), 1, vec![]),
        (json, "[]".to_owned(), 0, vec![]),
        (json, "[ ]".to_owned(), 0, vec![]),
        (json, nested, 1, vec![]),
        (json, twice, 1, vec![]),
        ("APPLICATION/JSON; charset=utf-8", fresh(), 1, vec![]),
        (lines, format!("{}\r\n{}", fresh(), fresh()), 2, vec![]),
        (lines, format!("\u{feff}{}\n", fresh()), 1, vec![]),
        (lines, String::new(), 0, vec![]),
        (
            lines,
            format!("{}\nnot json\n{{\"a\":\n{}\n7\n", fresh(), fresh()),
            2,
            vec![(1, "not_json"), (2, "not_json"), (4, "wrong_type")],
        ),
        (json, String::from_utf8(padded(4 << 20)).unwrap(), 1, vec![]),
        (
            json,
            format!(
                "[{}]",
                (0..1_000).map(|_| fresh()).collect::<Vec<_>>().join(",")
            ),
            1_000,
            vec![],
        ),
    ] {
        cases += 1;
        let (status, told) = shop
            .send(Method::POST, "events", media, body.as_bytes())
            .await;
        let found: Vec<_> = told["rejected"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| {
                (
                    one["index"].as_u64().unwrap(),
                    one["code"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(
            (status, &told["accepted"], found),
            (202, &json!(accepted), rejected),
            "{media} {}: {told}",
            &body[..body.len().min(60)]
        );
    }
    println!("corpus: {cases} cases");
}

#[tokio::test]
async fn what_never_changes_of_an_order() {
    let shop = lively().await;
    let before = shop.figures().await;
    let first = order("a c COMPLETE 10.00 USD 16T11:00");
    let later = json!({ "updated_at": "2026-11-20T11:00:00Z", "status": "REFUNDED" });
    for (field, value) in [
        ("currency", json!("EUR")),
        ("placed_at", json!("2026-11-16T11:00:00.001Z")),
    ] {
        let changed = with(with(first.clone(), &later), &json!({ field: value }));
        let (status, told) = shop.post("orders", &changed.to_string()).await;
        assert_part(
            field,
            &told["rejected"][0],
            &json!({ "index": 0, "code": "immutable_field", "field": field }),
        );
        assert_eq!(status, 422);
        // Within one call the first copy of a new order is the known one.
        let id = format!("new {field}");
        let (one, other) = (
            with(first.clone(), &json!({ "order_id": id })),
            with(changed, &json!({ "order_id": id })),
        );
        let fresh = Shop::open(json!({})).await;
        let (status, told) = fresh
            .post("orders", &json!([one, other, one]).to_string())
            .await;
        assert_part(field, &told, &json!({ "accepted": 1, "duplicates": 1 }));
        assert_part(
            field,
            &told["rejected"][0],
            &json!({ "index": 1, "code": "immutable_field", "field": field }),
        );
        assert_eq!(status, 202);
        assert_part(
            field,
            &fresh.get(&format!("orders/{}", segment(&id))).await,
            &json!({ "status": "COMPLETE", "customer_id": "c" }),
        );
    }
    // The same instant in another offset is no change.
    let same = with(
        first,
        &json!({ "placed_at": "2026-11-16T13:00:00.000+02:00" }),
    );
    assert_part(
        "same",
        &shop.post("orders", &same.to_string()).await.1,
        &json!({ "accepted": 0, "duplicates": 1 }),
    );
    shop.run().await;
    let (mut after, mut before) = (shop.figures().await, before);
    for shown in [&mut after, &mut before] {
        strip(shown, &["received", "duplicates"]);
    }
    assert_eq!(after, before);
}

#[tokio::test]
async fn settings_tell_all_that_is_wrong_at_once() {
    let shop = lively().await;
    let before = (shop.figures().await, shop.get("settings/versions").await);
    let rule = json!({ "connect_on": ["delivered"], "window": "1h", "window_from": "sent" });
    let email = |more: Value| json!({ "channels": { "email": with(rule.clone(), &more) } });
    let mut cases = 0;
    for (settings, expected) in [
        (json!({ "colour": "red" }), vec!["colour unknown_field"]),
        (json!({ "preset": "purple" }), vec!["preset unknown_value"]),
        (json!({ "preset": "yespo_v1" }), vec!["currency missing"]),
        (
            json!({ "preset": "yespo_v2", "currency": null }),
            vec!["currency missing"],
        ),
        (json!({ "enabled": "yes" }), vec!["enabled wrong_type"]),
        (json!({ "link": 1 }), vec!["link wrong_type"]),
        (
            json!({ "timezone": "Mars/Olympus" }),
            vec!["timezone unknown_value"],
        ),
        (json!({ "timezone": 2 }), vec!["timezone wrong_type"]),
        (json!({ "currency": "usd" }), vec!["currency unknown_value"]),
        (json!({ "winner": "first" }), vec!["winner unknown_value"]),
        (json!({ "supersede": [] }), vec!["supersede wrong_type"]),
        (json!({ "refunds": "some" }), vec!["refunds unknown_value"]),
        (
            json!({ "machine_events": true }),
            vec!["machine_events wrong_type"],
        ),
        (
            email(json!({ "window": "59m" })),
            vec!["channels.email.window unknown_value"],
        ),
        (
            email(json!({ "window": "0h" })),
            vec!["channels.email.window unknown_value"],
        ),
        (
            email(json!({ "window": "31d" })),
            vec!["channels.email.window unknown_value"],
        ),
        (
            email(json!({ "window": "5w" })),
            vec!["channels.email.window unknown_value"],
        ),
        (
            email(json!({ "window": null })),
            vec!["channels.email.window missing"],
        ),
        (
            email(json!({ "window_from": "click" })),
            vec!["channels.email.window_from unknown_value"],
        ),
        (
            email(json!({ "speed": 1 })),
            vec!["channels.email.speed unknown_field"],
        ),
        (
            json!({ "winner": "first", "refunds": "some", "colour": 1, "timezone": "x", "enabled": 1 }),
            vec![
                "colour unknown_field",
                "enabled wrong_type",
                "refunds unknown_value",
                "timezone unknown_value",
                "winner unknown_value",
            ],
        ),
    ] {
        cases += 1;
        let (status, told) = shop.call(Method::PUT, "settings", settings.clone()).await;
        assert_eq!(
            (status, errors(&told)),
            (422, expected.iter().map(|&text| text.to_owned()).collect()),
            "{settings}"
        );
    }
    // What a list or an object holds is named by its place.
    for (settings, place) in [
        (
            email(json!({ "connect_on": [] })),
            "channels.email.connect_on",
        ),
        (
            email(json!({ "connect_on": ["bounced"] })),
            "channels.email.connect_on",
        ),
        (
            email(json!({ "connect_on": "opened" })),
            "channels.email.connect_on",
        ),
        (json!({ "channels": { "fax": rule } }), "channels.fax"),
        (json!({ "channels": [] }), "channels"),
        (
            json!({ "counted_statuses": ["SHIPPED"] }),
            "counted_statuses",
        ),
        (json!({ "excluded_tags": "technical" }), "excluded_tags"),
        (json!({ "excluded_tags": [1] }), "excluded_tags"),
        (json!({ "providers": 7 }), "providers"),
    ] {
        cases += 1;
        let (status, told) = shop.call(Method::PUT, "settings", settings.clone()).await;
        assert!(
            status == 422 && errors(&told)[0].starts_with(place),
            "{settings}: {status} {told}"
        );
    }
    for (body, status) in [("", 400), ("{", 400), ("[]", 400), ("7", 400)] {
        cases += 1;
        assert_eq!(
            shop.send(Method::PUT, "settings", "application/json", body.as_bytes())
                .await
                .0,
            status,
            "{body}"
        );
    }
    assert_eq!(
        shop.send(Method::PUT, "settings", "text/plain", b"{}")
            .await
            .0,
        415
    );
    shop.run().await;
    assert_eq!(
        (shop.figures().await, shop.get("settings/versions").await),
        before
    );
    println!("corpus: {cases} cases");
}

#[tokio::test]
async fn a_marketplace_is_made_once() {
    let service = crate::support::service::Service::at(crate::support::fixtures::NOW).await;
    let put = async |id: &str, body: Value| {
        let (status, told) = service.put(&format!("/v1/marketplaces/{id}"), &body).await;
        (status.as_u16(), told)
    };
    let made = json!({ "name": "A", "preset": "yespo_v1", "settings": null });
    assert_eq!(put("a", made).await.0, 422);
    let yespo = json!({ "name": "A", "settings": { "preset": "yespo_v1", "currency": "USD" } });
    assert_eq!(
        put("a", yespo.clone()).await,
        (
            201,
            json!({ "marketplace_id": "a", "name": "A", "settings_version": 1 })
        )
    );
    assert_eq!(
        put("a", yespo.clone()).await,
        (
            200,
            json!({ "marketplace_id": "a", "name": "A", "settings_version": 1 })
        )
    );
    assert_eq!(
        put("a", json!({ "name": "B" })).await,
        (
            200,
            json!({ "marketplace_id": "a", "name": "B", "settings_version": 1 })
        )
    );
    assert_eq!(
        put("a", json!({ "name": "C", "preset": "redbox" })).await.0,
        409
    );
    assert_eq!(
        service.get("/v1/marketplaces").await["marketplaces"][0]["name"],
        "B"
    );
    let (status, told) = put(
        "b",
        json!({ "name": 7, "what": 1, "settings": { "winner": "first", "link": 0 } }),
    )
    .await;
    assert_eq!(
        (status, errors(&told)),
        (
            422,
            [
                "name wrong_type",
                "settings.link wrong_type",
                "settings.winner unknown_value",
                "what unknown_field"
            ]
            .map(str::to_owned)
            .to_vec()
        )
    );
    for id in ["A", "-a", "a_b", "a.b", "%C3%A9", "a%2Fb", &"a".repeat(65)] {
        assert_eq!(put(id, json!({ "name": "x" })).await.0, 422, "{id}");
    }
    assert_eq!(put(&"a".repeat(64), json!({})).await.0, 201);
}

#[tokio::test]
async fn queries() {
    let shop = lively().await;
    let mut cases = 0;
    let lists = [
        "reports/campaigns",
        "reports/campaigns/E",
        "reports/campaigns/E/purchases",
        "reports/orders",
        "reports/reconciliation",
        "orders",
    ];
    for path in lists {
        for query in [
            "from=yesterday",
            "to=2026-02-30",
            "from=2026-11-20T00:00:00Z",
            "from=2026-11-20&to=2026-11-19",
            "from=2026-11-20&to=2026-11-20",
            "from=1&to=2",
        ] {
            cases += 1;
            assert_eq!(
                shop.send(Method::GET, &format!("{path}?{query}"), "", b"")
                    .await
                    .0,
                422,
                "{path} {query}"
            );
        }
        let (first, last) = ("2026-11-20", "2026-11-21");
        assert_eq!(
            shop.send(
                Method::GET,
                &format!("{path}?from={first}&to={last}"),
                "",
                b""
            )
            .await
            .0,
            200,
            "{path}"
        );
    }
    for (path, query, status) in [
        ("reports/campaigns", "channel=fax", 422),
        ("reports/campaigns", "channel=Email", 422),
        ("reports/campaigns", "sort=colour", 422),
        ("reports/campaigns", "sort=--revenue", 422),
        ("reports/campaigns", "limit=0", 422),
        ("reports/campaigns", "limit=1001", 422),
        ("reports/campaigns", "limit=ten", 422),
        ("reports/campaigns", "limit=-1", 422),
        ("reports/campaigns", "revenue=yes", 422),
        ("reports/campaigns", "cursor=x", 400),
        ("reports/campaigns", "cursor=00", 400),
        ("reports/campaigns", "cursor=%00%ff", 400),
        ("reports/campaigns", "limit=0&cursor=zz", 400),
        (
            "reports/campaigns",
            "limit=1000&sort=-name&channel=sms&tag=x&name=%F0%9F%A6%80&from=2026-11-01&to=2026-12-01",
            200,
        ),
        (
            "reports/campaigns",
            "tag=&name=&channel=&limit=&from=&cursor=",
            200,
        ),
        ("reports/campaigns/E", "channel=fax", 422),
        ("reports/campaigns/E/purchases", "cursor=x", 400),
        ("reports/campaigns/E/purchases", "limit=0", 422),
        ("orders", "status=SHIPPED", 422),
        ("orders", "status=complete", 200),
        ("orders", "customer_id=%00", 422),
        ("orders", "cursor=x", 400),
        ("orders", "limit=1001", 422),
        ("runs", "limit=0", 422),
        ("runs", "cursor=x", 400),
    ] {
        cases += 1;
        let (got, told) = shop
            .send(Method::GET, &format!("{path}?{query}"), "", b"")
            .await;
        assert_eq!(got, status, "{path}?{query}: {told}");
    }
    let (_, told) = shop
        .send(
            Method::GET,
            "reports/campaigns?channel=fax&sort=x&limit=0&from=1",
            "",
            b"",
        )
        .await;
    assert_eq!(errors(&told).len(), 4, "all at once: {told}");
    // A cursor of another list, or of the same with another filter.
    let page = shop.get("reports/campaigns?limit=1").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for (query, status) in [
        ("limit=5", 200),
        ("limit=1&channel=email", 400),
        ("sort=name", 400),
    ] {
        let (got, _) = shop
            .send(
                Method::GET,
                &format!("reports/campaigns?{query}&cursor={cursor}"),
                "",
                b"",
            )
            .await;
        assert_eq!(got, status, "{query}");
    }
    assert_eq!(
        shop.send(Method::GET, &format!("orders?cursor={cursor}"), "", b"")
            .await
            .0,
        400
    );
    println!("corpus: {cases} cases");
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

#[tokio::test]
async fn campaigns_runs_and_keys_refuse_what_they_do_not_know() {
    let shop = lively().await;
    let before = shop.figures().await;
    for (method, path, body, expected) in [
        (
            Method::PUT,
            "campaigns/E",
            json!({ "name": 7, "tags": "x", "sent_at": "now", "triggered": 1, "metadata": [] }),
            vec![
                "metadata wrong_type",
                "name wrong_type",
                "sent_at bad_time",
                "tags wrong_type",
                "triggered wrong_type",
            ],
        ),
        (
            Method::PUT,
            "campaigns/E",
            json!({ "tags": [""] }),
            vec!["tags unknown_value"],
        ),
        (
            Method::POST,
            "runs",
            json!({ "when": "now" }),
            vec!["when unknown_field"],
        ),
        (
            Method::POST,
            "keys",
            json!({}),
            vec!["name missing", "role missing"],
        ),
        (
            Method::POST,
            "keys",
            json!({ "name": "", "role": "king", "more": 1 }),
            vec![
                "more unknown_field",
                "name unknown_value",
                "role unknown_value",
            ],
        ),
        (
            Method::POST,
            "keys",
            json!({ "name": "x", "role": "admin", "marketplaces": ["m", "absent"] }),
            vec!["marketplaces unknown_value"],
        ),
    ] {
        let (status, told) = shop.call(method, path, body.clone()).await;
        assert_eq!(
            (status, errors(&told)),
            (422, expected.iter().map(|&text| text.to_owned()).collect()),
            "{path} {body}"
        );
    }
    for (method, path) in [
        (Method::PUT, "campaigns/E"),
        (Method::PUT, "settings"),
        (Method::POST, "keys"),
        (Method::POST, "runs"),
    ] {
        for (media, body, status) in [
            ("application/json", "{", 400),
            ("application/json", "[]", 400),
            ("application/json", "\u{feff}7", 400),
            ("text/plain", "{}", 415),
        ] {
            assert_eq!(
                shop.send(method.clone(), path, media, body.as_bytes())
                    .await
                    .0,
                status,
                "{path} {media} {body}"
            );
        }
    }
    assert_eq!(shop.get("keys").await["keys"], json!([]));
    shop.run().await;
    assert_eq!(shop.figures().await, before);
}

#[tokio::test]
async fn a_clock_that_moves_moves_the_acceptance_window() {
    let shop = Shop::open(json!({})).await;
    let record = good("event", "e");
    for (now, status) in [
        ("20T09:49:59.999", 422),
        ("20T09:50", 202),
        ("2027-02-18T10:00:00.001Z", 422),
        ("2027-02-18T10:00:00Z", 202),
    ] {
        shop.service.set_now(at(now));
        assert_eq!(
            shop.post("events", &record.to_string()).await.0,
            status,
            "{now}"
        );
    }
}
