//! The pages of senders and of segments without a browser: what a sender sent last, the address to paste, a mapping that is tried before
//! it is saved, and segments that are saved, shown and deleted.

use http::Method;
use serde_json::{Value, json};

use crate::http::forms::hidden;
use crate::support::fixtures::{Shop, assert_part};
use crate::support::service::ADMIN;

/// Noon of the fixtures' Friday, less two hours, in seconds of the epoch.
const TEN: i64 = 1_795_168_800;

impl Shop {
    /// The status of a post of a sender.
    async fn sends(&self, sender: &str, key: &str, body: &Value) -> u16 {
        let path = format!("/v1/marketplaces/m/webhooks/{sender}?key={key}");
        let headers = [("content-type", "application/json")];
        let body = body.to_string().into_bytes();
        let sent = self.service.send(Method::POST, &path, &headers, body);
        sent.await.0.as_u16()
    }

    /// The last post of a sender, as the API tells it.
    async fn last(&self, sender: &str) -> Value {
        let told = self.get("senders").await;
        let all = told["senders"].as_array().unwrap();
        let found = all.iter().find(|last| last["sender"] == sender);
        found.cloned().unwrap_or_default()
    }
}

fn event(kind: &str, n: i64) -> Value {
    json!({ "email": "ann@example.com", "timestamp": TEN, "event": kind, "sg_event_id": format!("{kind}{n}"), "campaign": "spring" })
}

#[tokio::test]
async fn the_last_post_of_a_sender_tells_what_became_of_it_and_nothing_of_whom() {
    let mapped = json!({ "providers": { "sendgrid": { "campaign_id": "metadata.campaign" } } });
    let shop = Shop::open(mapped).await;
    assert_eq!(shop.get("senders").await, json!({ "senders": [] }));
    let now = shop.service.now();
    for (seconds, body, status, told) in [
        (
            0,
            json!([event("open", 1), event("processed", 2)]),
            200,
            json!({ "accepted": 1, "duplicates": 0, "rejected": 0, "ignored": { "processed": 1 }, "refused": null, "problem": null,
                "shape": r#"[{"campaign":text,"email":text,"event":text,"sg_event_id":text,"timestamp":number}]"# }),
        ),
        (
            1,
            json!([event("open", 1)]),
            200,
            json!({ "accepted": 0, "duplicates": 1, "shape": null }),
        ),
        (
            2,
            json!([{ "email": "ann@", "timestamp": "soon", "event": "open", "campaign": "spring" }]),
            200,
            json!({ "rejected": 1, "problem": { "code": "bad_time", "field": "occurred_at" } }),
        ),
        (3, json!("["), 200, json!({ "ignored": { "no kind": 1 } })),
        // The same outcome is written once a minute.
        (
            4,
            json!([event("open", 1)]),
            200,
            json!({ "ignored": { "no kind": 1 } }),
        ),
        (
            62,
            json!([event("open", 1)]),
            200,
            json!({ "duplicates": 1, "ignored": {} }),
        ),
    ] {
        shop.service.set_now(now.plus_ms(1_000 * seconds));
        assert_eq!(shop.sends("sendgrid", ADMIN, &body).await, status, "{body}");
        let last = shop.last("sendgrid").await;
        assert_part(&body.to_string(), &last, &told);
        assert!(!last.to_string().contains("ann"), "{last}");
    }
    assert_eq!(
        shop.last("sendgrid").await["at"],
        json!(now.plus_ms(62_000))
    );
    // A post that is refused is the last one too, and nothing of it is taken.
    let keyed = json!({ "providers": { "sendgrid": { "verification_key": "AAAA" } } });
    assert_eq!(shop.call(Method::PATCH, "settings", keyed).await.0, 200);
    assert_eq!(
        shop.sends("sendgrid", ADMIN, &json!([event("open", 9)]))
            .await,
        403
    );
    assert_part(
        "refused",
        &shop.last("sendgrid").await,
        &json!({ "accepted": 0, "refused": "bad_signature" }),
    );
    assert_eq!(shop.sends("nobody", ADMIN, &json!([])).await, 404);
    assert_eq!(shop.sends("sendgrid", "wrong", &json!([])).await, 401);
    let order = json!({ "id": 1, "customer": { "id": 7 }, "created_at": "2026-11-20T06:00:00-05:00", "total_price": "100.00",
        "currency": "USD", "financial_status": "paid" });
    assert_eq!(shop.sends("shopify", ADMIN, &order).await, 200);
    let names = shop.get("senders").await;
    let names = names["senders"].as_array().unwrap().iter();
    let names: Vec<&Value> = names.map(|last| &last["sender"]).collect();
    assert_eq!(names, ["sendgrid", "shopify"]);
    let cookie = shop.sign_in(&shop.key("analyst").await).await;
    let list = shop.page("/app/m/senders", &cookie).await.body;
    assert!(
        list.contains("refused: its signature is not that of the key in the settings"),
        "{list}"
    );
    assert!(
        list.contains("1 accepted") && list.contains("WooCommerce"),
        "{list}"
    );
    let one = shop
        .page("/app/m/senders?sender=sendgrid", &cookie)
        .await
        .body;
    assert!(
        one.contains("/v1/marketplaces/m/webhooks/sendgrid?key=…"),
        "{one}"
    );
    assert!(!one.contains("Make the address"), "{one}");
}

#[tokio::test]
async fn an_address_with_a_key_of_its_own_is_made_once_and_delivers_facts_only() {
    let shop = Shop::open(json!({})).await;
    let cookie = shop.sign_in(ADMIN).await;
    let path = "senders?sender=postmark";
    let page = shop.page(&format!("/app/m/{path}"), &cookie).await.body;
    let once = hidden(&page, "once");
    let fields = [("form", "key"), ("once", once.as_str())];
    let got = shop.send_form(&cookie, path, &fields).await;
    assert_eq!(got.status, 201, "{}", got.body);
    let address = "http://localhost:8080/v1/marketplaces/m/webhooks/postmark?key=";
    let secret = |body: &str| {
        let rest = body
            .split(address)
            .nth(1)
            .unwrap_or_else(|| panic!("no address in {body}"));
        rest.split('<').next().unwrap().to_owned()
    };
    let key = secret(&got.body);
    assert_eq!(shop.sends("postmark", &key, &json!({})).await, 200);
    assert_eq!(shop.status_for(&key, "settings").await, 403);
    // A page that is loaded again makes no other key.
    let again = shop.send_form(&cookie, path, &fields).await;
    assert_eq!(secret(&again.body), key);
    let keys = shop.get("keys").await;
    let named = keys["keys"].as_array().unwrap().iter();
    assert_eq!(
        named
            .filter(|key| key["name"] == "webhook postmark" && key["role"] == "ingest")
            .count(),
        1
    );
    let page = shop.page(&format!("/app/m/{path}"), &cookie).await.body;
    assert!(
        page.contains("A key was made for this address") && !page.contains(&key),
        "{page}"
    );
}

#[tokio::test]
async fn a_mapping_is_tried_on_a_pasted_post_before_it_is_saved() {
    let shop = Shop::open(json!({})).await;
    let cookie = shop.sign_in(ADMIN).await;
    let own = r#"{"list":"events","kind":"type","kinds":{"open":"opened"},"at":"ts","unit":"s","channel":"sms","campaign_id":"meta.campaign",
        "phone":"to","signature":{"scheme":"hmac-sha256-hex","header":"X-Sig","secret":"s"}}"#;
    let good = json!({ "events": [{ "type": "open", "ts": TEN, "meta": { "campaign": "spring <b>" }, "to": "+353 1 234 5678" }] });
    let nowhere = json!({ "events": [{ "type": "open", "ts": TEN, "to": "+353 1 234 5678" }] });
    let late = json!({ "events": [{ "type": "open", "ts": 1, "meta": { "campaign": "spring" }, "to": "1" }] });
    for (sender, row, post, status, says) in [
        (
            "tool",
            own,
            good.to_string(),
            200,
            &[
                "<th scope=\"row\">event</th>",
                "spring &#60;b&#62;",
                "opened",
            ][..],
        ),
        (
            "tool",
            own,
            nowhere.to_string(),
            200,
            &["ignored", "no campaign_id at meta.campaign"],
        ),
        ("tool", own, late.to_string(), 200, &["<code>phone</code>"]),
        (
            "tool",
            own,
            "[".to_owned(),
            422,
            &["mapping-post-wrong", "no JSON"],
        ),
        (
            "tool",
            own,
            json!({}).to_string(),
            200,
            &["no list at events"],
        ),
        (
            "tool",
            "{\"kind\":\"type\"}",
            good.to_string(),
            422,
            &["providers.custom.tool.kinds"],
        ),
        (
            "tool",
            "{",
            good.to_string(),
            422,
            &["mapping-row-wrong", "no JSON"],
        ),
        (
            "tool",
            "",
            good.to_string(),
            422,
            &["no sender that this marketplace knows"],
        ),
        (
            "sendgrid",
            r#"{"campaign_id":"metadata.campaign","verification_key":"AAAA"}"#,
            json!([event("open", 1), event("processed", 2)]).to_string(),
            200,
            &["ann@example.com", "<th scope=\"row\">ignored</th>"],
        ),
        (
            "unisender_go",
            "{}",
            "a=1&b=2".to_owned(),
            200,
            &["ignored"],
        ),
    ] {
        let path = format!("senders?sender={}", sender.replace(' ', "+"));
        let fields = [("form", "mapping"), ("row", row), ("post", post.as_str())];
        let got = shop.send_form(&cookie, &path, &fields).await;
        assert_eq!(got.status, status, "{sender} {row} {post}: {}", got.body);
        for one in says {
            assert!(
                got.body.contains(one),
                "{sender} {row} {post}: no {one} in {}",
                got.body
            );
        }
        // What was typed stays, and nothing is run.
        assert!(
            !got.body.contains("<b>") && got.body.contains("<textarea"),
            "{}",
            got.body
        );
    }
    for absent in ["Bad+Name", "%3Cscript%3E", "x/y", "%D7%90", &"x".repeat(65)] {
        let page = shop
            .page(&format!("/app/m/senders?sender={absent}"), &cookie)
            .await;
        assert_eq!(page.status, 404, "{absent}: {}", page.body);
    }
    assert_eq!(shop.get("settings").await["version"], 1);
    assert_eq!(shop.get("senders").await, json!({ "senders": [] }));
    let path = "senders?sender=tool";
    let page = shop.page(&format!("/app/m/{path}"), &cookie).await.body;
    let seen = hidden(&page, "seen");
    let fields = |row: &'static str, seen: &str| {
        [
            ("form", "mapping"),
            ("row", row),
            ("post", ""),
            ("asks", "true"),
            ("seen", seen),
        ]
        .map(|(a, b)| (a, b.to_owned()))
    };
    let save = async |row: &'static str, seen: &str| {
        let fields = fields(row, seen);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (*a, b.as_str())).collect();
        shop.send_form(&cookie, path, &fields).await
    };
    let got = save(own, &seen).await;
    assert_eq!(
        (got.status, got.location.as_str()),
        (303, "/app/m/senders?sender=tool&saved=true"),
        "{}",
        got.body
    );
    let page = shop.page(&got.location, &cookie).await.body;
    assert!(
        page.contains("The mapping is saved")
            && page.contains("(hidden)")
            && !page.contains("\"secret\": \"s\""),
        "{page}"
    );
    let custom = |settings: &Value| settings["settings"]["providers"]["custom"]["tool"].clone();
    let settings = shop.get("settings").await;
    assert_part(
        "saved",
        &custom(&settings),
        &json!({ "list": "events", "phone": "to" }),
    );
    // Whoever saw an older state is shown the newer one.
    let got = save("{}", &seen).await;
    assert!(
        got.status == 412 && got.body.contains("Somebody changed it meanwhile"),
        "{}",
        got.body
    );
    let got = save("", &hidden(&page, "seen")).await;
    assert_eq!(got.status, 303, "{}", got.body);
    assert_eq!(custom(&shop.get("settings").await), Value::Null);
}

#[tokio::test]
async fn a_segment_is_saved_shown_and_deleted_by_its_pages() {
    let shop = Shop::after(
        json!({}),
        &[
            "E email sent,opened c 16T10:00",
            "E email sent,opened d 16T10:00",
        ],
        &[
            "o c COMPLETE 10.00 USD 16T11:00",
            "p d COMPLETE 10.00 USD 16T12:00",
        ],
    )
    .await;
    let cookie = shop.sign_in(&shop.key("marketer").await).await;
    let list = shop.page("/app/m/segments", &cookie).await.body;
    assert!(
        list.contains("No segment was saved yet") && list.contains("<option value=\"E\">"),
        "{list}"
    );
    let name = "buyers <b>\"{{7*7}}";
    let fields = [
        ("form", "segment"),
        ("name", name),
        ("campaign_id", "E"),
        ("from", "2026-11-16"),
        ("to", "2026-11-17"),
    ];
    for (field, value, says) in [
        ("name", "", "segment-name-wrong"),
        ("campaign_id", "F<b>", "segment-campaign_id-wrong"),
        ("from", "soon", "segment-from-wrong"),
        ("to", "2026-11-01", "2026-11-01"),
    ] {
        let wrong = fields.map(|(of, own)| (of, if of == field { value } else { own }));
        let got = shop.send_form(&cookie, "segments", &wrong).await;
        assert!(
            got.status == 422 && got.body.contains(says),
            "{field}: {} {}",
            got.status,
            got.body
        );
        assert!(!got.body.contains("<b>"), "{}", got.body);
    }
    let got = shop.send_form(&cookie, "segments", &fields).await;
    assert_eq!(got.status, 303, "{}", got.body);
    let page = shop.page(&got.location, &cookie).await.body;
    assert!(
        page.contains("2 customers")
            && page.contains("/app/m/customer?id=c")
            && page.contains("/app/m/segment.csv?id="),
        "{page}"
    );
    let again = shop.send_form(&cookie, "segments", &fields).await;
    assert!(
        again.status == 409 && again.body.contains("there is a segment with the name"),
        "{}",
        again.body
    );
    let list = shop.page("/app/m/segments", &cookie).await.body;
    assert!(
        list.contains("buyers &#60;b&#62;") && list.contains("/app/m/promotions?segment=buyers"),
        "{list}"
    );
    let path = got.location.strip_prefix("/app/m/").unwrap();
    let unsure = shop.send_form(&cookie, path, &[("form", "delete")]).await;
    assert!(
        unsure.status == 422 && unsure.body.contains("delete-sure-wrong"),
        "{}",
        unsure.body
    );
    let sure = shop
        .send_form(&cookie, path, &[("form", "delete"), ("sure", "true")])
        .await;
    assert_eq!(
        (sure.status, sure.location.as_str()),
        (303, "/app/m/segments"),
        "{}",
        sure.body
    );
    assert_eq!(shop.get("segments").await["items"], json!([]));
    assert_eq!(shop.page(&got.location, &cookie).await.status, 404);
}
