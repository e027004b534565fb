//! Pages without a browser: who may open which, sessions, forms of other sites, and what bad input makes of a page. What a browser
//! sees is tested by `cargo xtask test pages`.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::http::access::{PAGES, ROLES};
use crate::support::fixtures::{Shop, at};
use crate::support::service::ADMIN;

pub(super) const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A page as a browser gets it.
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) location: String,
    pub(super) cookie: String,
    pub(super) policy: String,
    pub(super) body: String,
}

impl Shop {
    pub(super) async fn open_page(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Got {
        let mut all = vec![("host", "localhost:8080")];
        all.extend_from_slice(headers);
        let answer = self
            .service
            .answer(method, path, &all, body.as_bytes().to_vec())
            .await;
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
        };
        let (location, cookie, policy) = (
            header("location"),
            header("set-cookie"),
            header("content-security-policy"),
        );
        let status = answer.status().as_u16();
        let body = answer.into_body();
        Got {
            status,
            location,
            cookie,
            policy,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// The cookie of a session of a key.
    pub(super) async fn sign_in(&self, key: &str) -> String {
        let body = format!("key={key}&next=/app/m");
        let got = self
            .open_page(Method::POST, "/app/sign-in", &[OWN], &body)
            .await;
        assert_eq!(
            (got.status, got.location.as_str()),
            (303, "/app/m"),
            "{}",
            got.body
        );
        got.cookie.split(';').next().unwrap().to_owned()
    }

    pub(super) async fn page(&self, path: &str, cookie: &str) -> Got {
        self.open_page(Method::GET, path, &[("cookie", cookie)], "")
            .await
    }
}

async fn shop() -> Shop {
    let shop = Shop::after(
        json!({}),
        &["E email sent,opened c 16T10:00"],
        &["o c COMPLETE 10.00 USD 16T11:00"],
    )
    .await;
    shop.service.make("other", &json!({})).await;
    shop.put("promotions/p", json!({ "name": "P", "kind": "global" }))
        .await;
    shop
}

#[tokio::test]
async fn each_role_sees_its_pages_in_its_own_marketplace_only() {
    let shop = shop().await;
    for (place, role) in ROLES.iter().enumerate() {
        let cookie = shop.sign_in(&shop.key(role).await).await;
        for (page, roles) in PAGES {
            let may = roles.chars().nth(place) == Some('✓');
            let got = shop.page(&format!("/app/m{page}"), &cookie).await;
            assert_eq!(
                got.status,
                if may { 200 } else { 403 },
                "{role} {page}: {}",
                got.body
            );
            for other in ["other", "absent", "NO-ID"] {
                assert_eq!(
                    shop.page(&format!("/app/{other}{page}"), &cookie)
                        .await
                        .status,
                    403
                );
            }
            let signed_out = shop.page(&format!("/app/m{page}"), "").await;
            assert_eq!(signed_out.status, 303);
            assert!(
                signed_out
                    .location
                    .starts_with("/app/sign-in?next=%2Fapp%2Fm"),
                "{}",
                signed_out.location
            );
        }
        // What one may not do is not offered.
        let home = shop.page("/app", &cookie).await;
        assert_eq!(
            (home.status, home.body.contains("href=\"/app/m\"")),
            (200, place < 3),
            "{role}"
        );
        let campaigns = shop.page("/app/m", &cookie).await.body;
        assert_eq!(campaigns.contains("data-export"), place < 2, "{role}");
    }
    let cookie = shop.sign_in(ADMIN).await;
    assert_eq!(shop.page("/app/absent", &cookie).await.status, 404);
}

#[tokio::test]
async fn a_session_ends_with_its_time_with_its_key_and_when_it_is_forged() {
    let shop = shop().await;
    let made = shop
        .call(
            Method::POST,
            "keys",
            json!({ "name": "x", "role": "analyst" }),
        )
        .await
        .1;
    let (key, id) = (
        made["key"].as_str().unwrap(),
        made["key_id"].as_str().unwrap(),
    );
    let cookie = shop.sign_in(key).await;
    let status = async |cookie: &str| shop.page("/app/m", cookie).await.status;
    assert_eq!(status(&cookie).await, 200);
    let (name, value) = cookie.split_once('=').unwrap();
    let parts: Vec<&str> = value.split('.').collect();
    let later = format!("{}", parts[1].parse::<i64>().unwrap() + 1);
    for forged in [
        format!("{name}={}.{later}.{}", parts[0], parts[2]),
        format!(
            "{name}={}.{}.{}",
            parts[0].replace(['0', '1'], "2"),
            parts[1],
            parts[2]
        ),
        format!("{name}={}.{}.AAAA", parts[0], parts[1]),
        format!("{name}={}.{}.", parts[0], parts[1]),
        format!("{name}={key}"),
        format!("{name}="),
        name.to_owned(),
    ] {
        assert_eq!(status(&forged).await, 303, "{forged}");
    }
    // The API takes no cookie.
    let got = shop.page("/v1/marketplaces/m/settings", &cookie).await;
    assert_eq!(got.status, 401);
    let now = shop.service.now();
    shop.service.set_now(now.plus_ms(12 * 3_600_000 - 1));
    assert_eq!(status(&cookie).await, 200);
    shop.service.set_now(now.plus_ms(12 * 3_600_000));
    assert_eq!(status(&cookie).await, 303);
    shop.service.set_now(now);
    let (deleted, _) = shop
        .call(Method::DELETE, &format!("keys/{id}"), json!({}))
        .await;
    assert_eq!(deleted, 204);
    shop.service.set_now(now.plus_ms(60_000));
    assert_eq!(status(&cookie).await, 303);
}

#[tokio::test]
async fn signing_in_tells_one_thing_of_every_wrong_key() {
    let shop = shop().await;
    let mut bodies = std::collections::BTreeSet::new();
    for key in ["", "wrong", "%00", "%ff", "admin-ke", "ADMIN-KEY"] {
        let body = format!("key={key}&next=https://evil.example/");
        let got = shop
            .open_page(Method::POST, "/app/sign-in", &[OWN], &body)
            .await;
        assert_eq!((got.status, got.cookie.as_str()), (401, ""), "{key}");
        bodies.insert(got.body);
    }
    assert_eq!(bodies.len(), 1);
    let good = format!("key={ADMIN}&next=https://evil.example/");
    let got = shop
        .open_page(Method::POST, "/app/sign-in", &[OWN], &good)
        .await;
    assert_eq!((got.status, got.location.as_str()), (303, "/app"));
    assert!(
        got.cookie.contains("HttpOnly; SameSite=Lax"),
        "{}",
        got.cookie
    );
    let out = shop
        .open_page(Method::POST, "/app/_/sign-out", &[OWN], "")
        .await;
    assert!(out.cookie.contains("Max-Age=0"), "{}", out.cookie);
    // A link signs nobody in, but with the key that is offered to everybody.
    let link = format!("/app/sign-in?key={ADMIN}");
    assert_eq!(shop.page(&link, "").await.cookie, "");
}

#[tokio::test]
async fn forms_of_other_sites_change_nothing() {
    let shop = shop().await;
    let body = format!("key={ADMIN}");
    for (headers, may) in [
        (&[OWN][..], true),
        (&[("sec-fetch-site", "none")], true),
        (&[("sec-fetch-site", "cross-site")], false),
        (&[("sec-fetch-site", "same-site")], false),
        (&[("origin", "http://localhost:8080")], true),
        (&[("origin", "http://evil.example")], false),
        (&[("origin", "null")], false),
        (&[], false),
    ] {
        for path in ["/app/sign-in", "/app/_/sign-out", "/app/_/language"] {
            let got = shop.open_page(Method::POST, path, headers, &body).await;
            assert_eq!(
                got.status,
                if may { 303 } else { 403 },
                "{path} {headers:?}"
            );
            assert!(may || got.cookie.is_empty());
        }
    }
}

#[tokio::test]
async fn what_people_call_things_is_shown_and_never_run() {
    let names = [
        "<script>alert(1)</script>",
        "\"'><b>",
        "🙂{{7*7}}",
        "\u{202e}abc",
        &"é".repeat(64),
        &"א".repeat(64),
        "{{",
        "a/b?c#d%&=+",
    ];
    let shop = Shop::open(json!({})).await;
    for (n, name) in names.iter().enumerate() {
        let event = json!({ "event_id": format!("e-{n}"), "kind": "clicked", "channel": "email", "campaign_id": name,
            "customer_id": name, "message_id": name, "occurred_at": "2026-11-16T10:00:00Z" });
        assert_eq!(shop.call(Method::POST, "events", event).await.0, 202);
        let order = json!({ "order_id": name, "customer_id": name, "status": "COMPLETE", "total": "10.00", "currency": "USD",
            "placed_at": "2026-11-16T11:00:00Z", "source": name, "coupon_codes": [name] });
        assert_eq!(shop.call(Method::POST, "orders", order).await.0, 202);
    }
    let coded = |name: &str| {
        use base64::Engine;
        format!("~{}", base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(name))
    };
    for name in names {
        let promotion = json!({ "name": name, "metadata": { name: name }, "validation_rules": [{ "id": name, "text": name }] });
        let path = format!("promotions/{}", coded(name));
        shop.put(&path, promotion).await;
        let codes = json!({ "codes": [name] });
        let path = format!("{path}/vouchers");
        assert_eq!(shop.call(Method::POST, &path, codes).await.0, 201);
    }
    shop.run().await;
    let cookie = shop.sign_in(ADMIN).await;
    for name in names {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("id", name)
            .finish();
        let as_value = |of: &str| query.replacen("id=", of, 1);
        for path in [
            "/app/m",
            &format!("/app/m?{}", as_value("name=")),
            &format!("/app/m?{}", as_value("tag=")),
            &format!("/app/m/campaign?{query}"),
            &format!("/app/m/campaign?{query}&rivals=true"),
            &format!("/app/m/order?{query}"),
            &format!("/app/m/orders?{}", as_value("customer_id=")),
            &format!("/app/m/customer?{query}"),
            &format!("/app/m/promotions?{}", as_value("name=")),
            &format!("/app/m/promotions?{}", as_value("tier=")),
            &format!("/app/m/promotion?{query}"),
            &format!("/app/m/promotion?{query}&tab=validation-rules"),
            &format!("/app/m/promotion?{query}&tab=metadata"),
            &format!(
                "/app/m/promotion?{query}&tab=vouchers&{}",
                as_value("voucher_code=")
            ),
        ] {
            let got = shop.page(path, &cookie).await;
            assert_eq!(got.status, 200, "{path}: {}", got.body);
            assert!(
                !got.body.contains("<script>alert") && !got.body.contains("'><b>"),
                "{path}"
            );
            assert!(
                got.policy
                    .starts_with("default-src 'none'; script-src 'self'")
            );
            assert!(!got.body.contains(" style="), "{path}");
        }
        for path in ["batches", "erasure"] {
            let got = shop.page(&format!("/app/m/{path}?{query}"), &cookie).await;
            assert_eq!(got.status, 404, "{path}: {}", got.body);
            assert!(!got.body.contains("<script>alert"), "{path}");
        }
    }
    for (path, status) in [
        ("/app/m/nothing", 404),
        ("/app/m/campaign?id=absent", 404),
        ("/app/m/campaign", 404),
        ("/app/m/order?id=%00", 404),
        ("/app/m?from=tomorrow", 422),
        ("/app/m?from=2026-11-02&to=2026-11-01", 422),
        ("/app/m?nothing=1", 422),
        ("/app/m?cursor=x", 400),
        ("/app/m?sort=%3Cscript%3E", 422),
        ("/app/m/campaign?id=E&nothing=1", 422),
        ("/app/_/style.css", 404),
    ] {
        let got = shop.page(path, &cookie).await;
        assert_eq!(got.status, status, "{path}: {}", got.body);
        assert!(
            got.body.contains("<h1>") && got.body.contains("href=\"/app\""),
            "{path}: {}",
            got.body
        );
        assert!(!got.body.contains("<script>"), "{path}");
    }
}

#[tokio::test]
async fn numbers_are_in_the_reader_s_language_and_the_choice_is_kept() {
    let shop = Shop::after(
        json!({}),
        &["E email sent,opened c 16T10:00"],
        &["o c COMPLETE 1234.50 USD 16T11:00"],
    )
    .await;
    let cookie = shop.sign_in(ADMIN).await;
    let body = "language=de&next=/app/m";
    let got = shop
        .open_page(Method::POST, "/app/_/language", &[OWN], body)
        .await;
    let chosen = format!("{cookie}; {}", got.cookie.split(';').next().unwrap());
    for (cookie, accept, shown) in [
        (
            &cookie,
            "en",
            "<data value=\"1234.50\">1,234.50 <small>USD</small></data>",
        ),
        (
            &cookie,
            "fr-FR,fr;q=0.9",
            "<data value=\"1234.50\">1\u{202f}234,50 <small>USD</small></data>",
        ),
        (
            &chosen,
            "en",
            "<data value=\"1234.50\">1.234,50 <small>USD</small></data>",
        ),
    ] {
        let headers = [("cookie", cookie.as_str()), ("accept-language", accept)];
        let got = shop.open_page(Method::GET, "/app/m", &headers, "").await;
        assert!(got.body.contains(shown), "{accept}: {}", got.body);
    }
}

#[tokio::test]
async fn a_campaign_report_tells_each_day_and_first_weeks() {
    let shop = Shop::after(
        json!({}),
        &[
            "E email sent,opened c 16T10:00",
            "F email sent,opened d 17T10:00",
        ],
        &[
            "o c COMPLETE 10.00 USD 16T11:00",
            "p c COMPLETE 20.00 USD 18T11:00",
            "q x COMPLETE 5.00 USD 18T12:00",
        ],
    )
    .await;
    let period = "reports/campaigns?from=2026-11-17&to=2026-11-20";
    assert_eq!(shop.get(period).await.get("days"), None);
    let told = shop
        .get(&format!("{period}&days=true&compare=previous"))
        .await;
    let sums = |days: &Value, of: &str| -> i64 {
        days.as_array()
            .unwrap()
            .iter()
            .map(|day| day[of]["purchases"].as_i64().unwrap())
            .sum()
    };
    for of in ["counted", "credited", "uncredited"] {
        assert_eq!(
            sums(&told["days"], of),
            told[of]["purchases"].as_i64().unwrap(),
            "{told}"
        );
        let before = &told["previous"];
        assert_eq!(
            sums(&before["days"], of),
            before[of]["purchases"].as_i64().unwrap(),
            "{told}"
        );
    }
    // E was sent before the period, and its week is whole.
    let week = &told["first_weeks"];
    let row = |id: &str| {
        told["campaigns"]
            .as_array()
            .unwrap()
            .iter()
            .any(|row| row["campaign_id"] == id)
    };
    for id in ["E", "F"].into_iter().filter(|id| row(id)) {
        let revenue = &week[id];
        assert!(revenue.is_array(), "{id}: {told}");
    }
}

/// A campaign that was sent on the last day of a period has its purchases of the days after in its week, and not in its row.
#[tokio::test]
async fn the_first_week_of_a_campaign_goes_beyond_the_period() {
    let shop = Shop::after(
        json!({}),
        &["E email sent,opened c 17T10:00"],
        &["o c COMPLETE 10.00 USD 18T11:00"],
    )
    .await;
    let told = shop
        .get("reports/campaigns?from=2026-11-17&to=2026-11-18&days=true&compare=previous")
        .await;
    let week = told["first_weeks"]["E"].as_array().unwrap();
    let told_of = |day: &Value| (day["date"].clone(), day["purchases"].clone());
    let days: Vec<_> = week.iter().map(told_of).collect();
    let expected = [("2026-11-17", 0), ("2026-11-18", 1)];
    assert_eq!(
        days,
        expected.map(|(date, n)| (json!(date), json!(n))),
        "{told}"
    );
    let campaign = &told["campaigns"][0];
    assert_eq!(
        (&campaign["purchases"], &told["counted"]["purchases"]),
        (&json!(0), &json!(0)),
        "{told}"
    );
}

/// Who looked at whom through a page is in the log as if they had asked the API.
#[tokio::test]
async fn what_a_page_asks_is_in_the_access_log_as_a_call_of_the_api() {
    let shop = shop().await;
    let cookie = shop.sign_in(&shop.key("marketer").await).await;
    let own = [OWN, ("cookie", cookie.as_str())];
    for (method, path) in [
        (Method::GET, "/app/m/campaign?id=E"),
        (Method::GET, "/app/m/customer?id=c"),
        (Method::GET, "/app/m/purchases.csv?id=E"),
        (Method::GET, "/app/m/runs"),
        (Method::POST, "/app/m/runs"),
    ] {
        let status = shop.open_page(method, path, &own, "").await.status;
        assert!([200, 303].contains(&status), "{path}: {status}");
    }
    let log = shop.get("access-log").await;
    let log = log["items"].as_array().unwrap();
    let own = log.iter().filter(|one| one["role"] == "marketer");
    let told: Vec<Value> = own
        .map(|one| json!([one["kind"], one["what"], one["csv"], one["status"]]))
        .collect();
    let mut expected = [
        json!([
            "export",
            "GET M/reports/campaigns/{id}/purchases",
            false,
            200
        ]),
        json!(["export", "GET M/customers/{id}", false, 200]),
        json!([
            "export",
            "GET M/reports/campaigns/{id}/purchases",
            true,
            200
        ]),
        json!(["change", "POST M/runs", false, 202]),
    ];
    let mut sorted = told.clone();
    sorted.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    assert_eq!(sorted, expected, "{log:?}");
    let on = |what: &str| {
        let is_it = |one: &&Value| one["role"] == "marketer" && one["what"] == what;
        log.iter().find(is_it).unwrap()["on"].clone()
    };
    let run = on("POST M/runs")["made"].clone();
    let made = shop.get(&format!("runs/{}", run.as_str().unwrap())).await;
    assert_eq!(made["run_id"], run);
    let customer = on("GET M/customers/{id}")["customer"].clone();
    assert_eq!(customer.as_str().unwrap().len(), 16);
}

#[tokio::test]
async fn lanes_tell_what_happened_to_each_candidate() {
    let shop = Shop::after(
        json!({}),
        &["E email sent,opened c 16T10:00", "F email sent c 16T10:30"],
        &["o c COMPLETE 10.00 USD 16T11:00"],
    )
    .await;
    let plain = shop.get("orders/o/attribution").await;
    assert_eq!(plain.get("lanes"), None);
    let told = shop.get("orders/o/attribution?lanes=true").await;
    let candidates = told["candidates"].as_array().unwrap();
    let lanes = told["lanes"].as_array().unwrap();
    assert_eq!(candidates.len(), lanes.len());
    for (candidate, lane) in candidates.iter().zip(lanes) {
        match candidate["campaign_id"].as_str().unwrap() {
            "E" => {
                assert_eq!(candidate["outcome"], "superseded", "{told}");
                assert_eq!(lane["superseded_at"], json!(at("16T10:30")), "{told}");
                assert_eq!(lane["window_from"], candidate["sent_at"]);
                assert_eq!(lane["window_to"], json!(at("23T10:00")), "{told}");
                assert_eq!(lane["events"].as_array().unwrap().len(), 2);
            }
            _ => {
                assert_eq!(candidate["outcome"], "no_connecting_event", "{told}");
                assert_eq!(
                    (&lane["window_from"], &lane["superseded_at"]),
                    (&Value::Null, &Value::Null)
                );
            }
        }
    }
}

#[tokio::test]
async fn assets_are_kept_for_ever_and_pages_are_not() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop.page("/app/m", &cookie).await.body;
    for start in ["<link rel=\"stylesheet\" href=\"", "<script src=\""] {
        let href = page.split(start).nth(1).unwrap().split('"').next().unwrap();
        let answer = shop
            .service
            .answer(Method::GET, href, &[], Vec::new())
            .await;
        assert_eq!(answer.status(), StatusCode::OK, "{href}");
        assert_eq!(
            answer.headers()["cache-control"],
            "public, max-age=31536000, immutable"
        );
    }
    let headers = [("cookie", cookie.as_str()), ("accept-encoding", "gzip")];
    let answer = shop
        .service
        .answer(Method::GET, "/app/m", &headers, Vec::new())
        .await;
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    assert_eq!(answer.headers()["cache-control"], "private, no-store");
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
}
