//! The pages of settings and access, and what-ifs of an order, without a browser: what is tried, saved, restored, replayed and
//! revoked through forms, and what they refuse.

use http::Method;
use revtrail_core::attribution::settings::{Bound, Period, Settings};
use revtrail_core::value::id::MarketplaceId;
use revtrail_store::jobs::look_ahead::LookLimits;
use revtrail_store::jobs::look_aheads::{LookAhead, Purpose};
use serde_json::json;

use crate::http::pages::{Got, OWN};
use crate::support::fixtures::{Shop, at, strip};
use crate::support::service::ADMIN;

/// A shop in which a text message that was sent last earns two orders, each of which an e-mail would earn otherwise.
async fn shop() -> Shop {
    let settings = json!({"supersede": "none", "counted_statuses": ["COMPLETE"], "excluded_tags": ["a, b"],
        "providers": {"sendgrid": {"campaign_id": "metadata.campaign"}}});
    let shop = Shop::after(
        settings,
        &[
            "mail email sent,clicked ann 16T10:00",
            "text sms sent,delivered ann 17T10:00",
        ],
        &[
            "o1 ann COMPLETE 10.01 EUR 18T10:00",
            "o2 ann COMPLETE 5.00 EUR 18T11:00",
        ],
    )
    .await;
    shop.put("campaigns/mail", json!({"name": "The <mail> & co"}))
        .await;
    shop
}

/// The text between two others, in the first place where the first one stands.
fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let rest = text.split_once(from).map_or("", |(_, rest)| rest);
    rest.split_once(to).map_or("", |(found, _)| found)
}

/// The fields of the form of settings, as a browser would send them.
fn filled(page: &str) -> Vec<(String, String)> {
    let form = between(page, "<form class=\"sentences\"", "</form>");
    let plain = |text: &str| text.replace("&#60;", "<").replace("&#38;", "&");
    let attribute = |tag: &str, name: &str| plain(between(tag, &format!(" {name}=\""), "\""));
    let mut fields = Vec::new();
    for tag in form.split('<') {
        let (tag, text) = tag.split_once('>').unwrap_or_default();
        match tag.split(' ').next().unwrap_or_default() {
            "input" if tag.contains("checkbox") && !tag.contains(" checked") => {}
            "input" => fields.push((attribute(tag, "name"), attribute(tag, "value"))),
            "textarea" => fields.push((attribute(tag, "name"), plain(text))),
            "select" => fields.push((attribute(tag, "name"), String::new())),
            "option" if tag.contains(" selected") => {
                fields.last_mut().unwrap().1 = attribute(tag, "value");
            }
            _ => {}
        }
    }
    fields
}

/// The same with some fields set; `-` takes a field off.
fn with(mut fields: Vec<(String, String)>, set: &[(&str, &str)]) -> Vec<(String, String)> {
    for (name, value) in set {
        fields.retain(|(given, _)| given != name);
        if *value != "-" {
            fields.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    fields
}

fn encoded(fields: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

impl Shop {
    async fn post_fields(&self, cookie: &str, page: &str, fields: &[(String, String)]) -> Got {
        let headers = [OWN, ("cookie", cookie)];
        let path = format!("/app/m/{page}");
        self.open_page(Method::POST, &path, &headers, &encoded(fields))
            .await
    }

    /// After how many seconds a page says that it looks again; empty where it does not.
    async fn looks_again(&self, path: &str, cookie: &str) -> String {
        let headers = [("host", "localhost:8080"), ("cookie", cookie)];
        let answer = self
            .service
            .answer(Method::GET, path, &headers, Vec::new())
            .await;
        let again = answer.headers().get("refresh");
        again.map_or(String::new(), |again| again.to_str().unwrap().to_owned())
    }
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    with(Vec::new(), of)
}

#[tokio::test]
async fn a_form_that_nobody_touched_changes_nothing() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop.page("/app/m/settings", &cookie).await.body;
    let got = shop.post_fields(&cookie, "settings", &filled(&page)).await;
    assert_eq!(
        (got.status, &*got.location),
        (303, "/app/m/settings?saved=1")
    );
    let got = shop.page(&got.location, &cookie).await;
    assert!(
        got.body
            .contains("Nothing differs: version 1 stays in force"),
        "{}",
        got.body
    );
    assert_eq!(
        shop.get("settings/versions").await["versions"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn what_is_saved_is_a_version_and_history_stays() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop
        .page("/app/m/settings?from=2026-11-01", &cookie)
        .await
        .body;
    let set = [
        ("sms.delivered", "-"),
        ("email.count", "36"),
        ("email.unit", "h"),
        ("currency", "EUR"),
        ("winner", "last_interaction"),
    ];
    let got = shop
        .post_fields(&cookie, "settings", &with(filled(&page), &set))
        .await;
    assert_eq!(got.status, 303, "{}", got.body);
    assert_eq!(
        got.location,
        "/app/m/settings?from=2026-11-01&saved=2&stay=2"
    );
    let told = shop.get("settings").await;
    let settings = &told["settings"];
    assert_eq!(
        (
            &told["version"],
            &settings["currency"],
            &settings["winner"],
            settings["channels"].get("sms")
        ),
        (&json!(2), &json!("EUR"), &json!("last_interaction"), None)
    );
    assert_eq!(settings["channels"]["email"]["window"], "36h");
    // What the form does not show stays.
    assert_eq!(
        settings["providers"]["sendgrid"]["campaign_id"],
        "metadata.campaign"
    );
    assert_eq!(settings["excluded_tags"], json!(["a, b"]));
    let page = shop.page(&got.location, &cookie).await.body;
    for says in [
        "<strong>Version 2 is saved</strong>",
        "<data value=\"2\">2</data> orders remain under the versions before it",
        "<bdi>SMS</bdi>: <del><bdi>delivered, within 7 days of the send</bdi></del> → <strong><bdi>never earns</bdi></strong>",
        "<bdi>e-mail, window</bdi>: <del><bdi>7 days</bdi></del> → <strong><bdi>36 hours</bdi></strong>",
        "<bdi>currency</bdi>: <del><bdi>none</bdi></del> → <strong><bdi>EUR</bdi></strong>",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    // A link of before says nothing of a newer version.
    let page = shop
        .page("/app/m/settings?saved=1&stay=2", &cookie)
        .await
        .body;
    assert!(!page.contains("is saved</strong>"), "{page}");
    // An earlier version is looked at, and restored as a new one.
    let page = shop.page("/app/m/settings?start=1", &cookie).await.body;
    assert!(page.contains("Restore version 1</button>"), "{page}");
    let got = shop.post_fields(&cookie, "settings", &filled(&page)).await;
    assert_eq!(
        got.location, "/app/m/settings?saved=3&stay=2",
        "{}",
        got.body
    );
    let versions = shop.get("settings/versions").await;
    let [newest, _, oldest] = versions["versions"].as_array().unwrap().as_slice() else {
        panic!("{versions}");
    };
    assert_eq!(
        (&newest["version"], &newest["settings"]),
        (&json!(3), &oldest["settings"])
    );
}

#[tokio::test]
async fn whoever_was_slower_is_told_and_replaces_nothing() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop.page("/app/m/settings", &cookie).await.body;
    let (status, _) = shop
        .call(Method::PATCH, "settings", json!({"refunds": "net"}))
        .await;
    assert_eq!(status, 200);
    let got = shop
        .post_fields(
            &cookie,
            "settings",
            &with(filled(&page), &[("email.count", "3")]),
        )
        .await;
    assert_eq!(got.status, 412, "{}", got.body);
    for says in [
        "<strong>Nothing was saved:</strong>",
        "<bdi>a refund</bdi>: <del><bdi>of the whole order takes it out</bdi></del> → <strong><bdi>is taken off the amount</bdi></strong>",
        "name=\"email.count\" value=\"3\"",
        "name=\"of\" value=\"2\"",
    ] {
        assert!(got.body.contains(says), "{says}: {}", got.body);
    }
    assert_eq!(shop.get("settings").await["version"], 2);
    // Sent again, it is over what the other saved: this form says so.
    let got = shop
        .post_fields(&cookie, "settings", &filled(&got.body))
        .await;
    assert_eq!(got.status, 303, "{}", got.body);
    let told = shop.get("settings").await;
    assert_eq!(
        (&told["version"], &told["settings"]["refunds"]),
        (&json!(3), &json!("drop_order"))
    );
}

#[tokio::test]
async fn what_no_settings_can_say_is_told_at_the_form() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop.page("/app/m/settings", &cookie).await.body;
    for (set, says) in [
        (("email.count", "31"), "channels.email.window is 1h to 720h"),
        (
            ("email.count", "<b>"),
            "channels.email.window is 1h to 720h",
        ),
        (("timezone", "Mars"), "timezone is an IANA time zone"),
        (("currency", "euro"), "currency is a currency of ISO 4217"),
        (("winner", "me"), "winner is last_sent or last_interaction"),
        (("status.LOST", "true"), "counted_statuses"),
    ] {
        let form = with(filled(&page), &[set]);
        let got = shop.post_fields(&cookie, "settings", &form).await;
        assert!(
            got.status == 422 && got.body.contains(says),
            "{set:?}: {} {}",
            got.status,
            got.body
        );
        assert!(!got.body.contains("<b>"), "{}", got.body);
        let tried = shop
            .page(&format!("/app/m/settings?{}", encoded(&form)), &cookie)
            .await;
        assert!(
            tried.status == 200 && tried.body.contains(says),
            "{set:?}: {}",
            tried.body
        );
    }
    assert_eq!(shop.get("settings").await["version"], 1);
    for (query, status) in [
        ("start=9", 404),
        ("start=%3Cb%3E", 404),
        ("nothing=1", 422),
        ("replay=absent", 404),
    ] {
        let got = shop
            .page(&format!("/app/m/settings?{query}"), &cookie)
            .await;
        assert_eq!(got.status, status, "{query}: {}", got.body);
    }
}

#[tokio::test]
async fn a_try_shows_what_the_api_says_and_saves_nothing() {
    let shop = shop().await;
    let cookie = shop.sign_in(&shop.key("analyst").await).await;
    let page = shop.page("/app/m/settings", &cookie).await.body;
    assert!(
        !page.contains("formmethod") && !page.contains("id=\"replays\""),
        "{page}"
    );
    let form = with(filled(&page), &[("sms.delivered", "-")]);
    let got = shop
        .page(&format!("/app/m/settings?{}", encoded(&form)), &cookie)
        .await;
    assert_eq!(got.status, 200, "{}", got.body);
    for says in [
        "<strong><data value=\"2\">2</data></strong> of <data value=\"2\">2</data> orders would move",
        "The &#60;mail&#62; &#38; co",
        "orders of these days remain under version 1",
        "<data value=\"15.01\">15.01 <small>EUR</small></data>",
        "e-mail, clicked 16 Nov",
        "id=\"models\"",
    ] {
        assert!(got.body.contains(says), "{says}: {}", got.body);
    }
    assert_eq!(shop.get("settings").await["version"], 1);
    // A preset, and what is in force, are tried by their names.
    for start in ["redbox", "yespo_v1", "yespo_v2", "1"] {
        let got = shop
            .page(&format!("/app/m/settings?start={start}"), &cookie)
            .await;
        assert!(
            got.status == 200 && got.body.contains("orders would move"),
            "{start}: {}",
            got.body
        );
    }
}

/// The page of a what-if that takes long waits for it, and shows it when it is there; never beside settings that are others.
#[tokio::test]
async fn a_what_if_that_takes_long_is_waited_for() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let page = shop.page("/app/m/settings", &cookie).await.body;
    let form = with(filled(&page), &[("sms.delivered", "-")]);
    let settings = json!({"supersede": "none", "counted_statuses": ["COMPLETE"], "excluded_tags": ["a, b"], "channels":
        {"email": {"connect_on": ["opened", "clicked"], "window": "7d", "window_from": "sent"},
         "push": {"connect_on": ["delivered"], "window": "7d", "window_from": "sent"}}});
    let purpose = Purpose::WhatIf {
        settings: Box::new(Settings::read(&settings, i64::MAX).unwrap()),
        models: Vec::new(),
    };
    let bound = |day| Bound::parse(day).unwrap();
    let period = Period {
        from: bound("2026-11-01"),
        to: bound("2026-11-30"),
    };
    let market = shop
        .service
        .store
        .market(&MarketplaceId::new("m").unwrap(), shop.service.retention);
    let mut ahead = LookAhead::new(purpose, period, "somebody", 2, shop.service.now());
    let job = market
        .look_aheads()
        .begin(&mut ahead)
        .await
        .unwrap()
        .unwrap();
    let path = |form: &[(String, String)]| {
        format!("/app/m/settings?{}&what_if={}", encoded(form), ahead.id)
    };
    let waits = shop.page(&path(&form), &cookie).await.body;
    assert!(waits.contains("<progress value=\"0.0000\""), "{waits}");
    assert_eq!(shop.looks_again(&path(&form), &cookie).await, "2");
    let now = shop.service.now();
    let clock = move || now;
    let worked = market
        .look_aheads()
        .work(&job, LookLimits::DEFAULT, &clock, now.plus_ms(60_000));
    worked.await.unwrap();
    let done = shop.page(&path(&form), &cookie).await.body;
    assert!(done.contains("orders would move"), "{done}");
    assert_eq!(shop.looks_again(&path(&form), &cookie).await, "");
    let others = shop
        .page(&path(&with(form.clone(), &[("email.count", "3")])), &cookie)
        .await
        .body;
    assert!(
        others.contains("What was found is of other settings")
            && !others.contains("orders would move"),
        "{others}"
    );
    // What is not kept any more is asked for anew.
    let gone = format!("/app/m/settings?{}&what_if=absent", encoded(&form));
    let got = shop.page(&gone, &cookie).await;
    assert_eq!(got.status, 303);
    assert!(!got.location.contains("what_if"), "{}", got.location);
}

#[tokio::test]
async fn a_replay_is_seen_before_it_is_applied() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let sms_off = json!({"channels": {"sms": null}});
    assert_eq!(shop.call(Method::PATCH, "settings", sms_off).await.0, 200);
    let asked = [
        ("version", "2"),
        ("from", "2026-11-18"),
        ("to", "2026-11-19"),
        ("once", "a"),
    ];
    let got = shop.post_fields(&cookie, "replays", &pairs(&asked)).await;
    assert_eq!(got.status, 303, "{}", got.body);
    let path = got.location.strip_suffix("#replay").unwrap();
    assert_eq!(shop.looks_again(path, &cookie).await, "2");
    shop.service.work_off().await;
    assert_eq!(shop.looks_again(path, &cookie).await, "");
    let page = shop.page(path, &cookie).await.body;
    for says in [
        "What version 2 would make of 18 Nov 2026",
        "<strong><data value=\"2\">2</data></strong> of",
        "The &#60;mail&#62; &#38; co",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    assert_eq!(shop.earner("o1").await, "text");
    let apply = between(
        &page,
        "<input type=\"hidden\" name=\"once\" value=\"apply ",
        "\"",
    );
    let apply = format!("apply {apply}");
    let applied = with(pairs(&asked), &[("once", &apply), ("apply", "true")]);
    let got = shop.post_fields(&cookie, "replays", &applied).await;
    assert_eq!(got.status, 303, "{}", got.body);
    // The button was pressed twice.
    assert_eq!(
        shop.post_fields(&cookie, "replays", &applied)
            .await
            .location,
        got.location
    );
    shop.service.work_off().await;
    let page = shop
        .page(got.location.strip_suffix("#replay").unwrap(), &cookie)
        .await
        .body;
    assert!(page.contains("It is applied"), "{page}");
    assert_eq!(shop.earner("o1").await, "mail");
    assert_eq!(
        shop.get("replays").await["replays"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    for wrong in [
        ("version", "9"),
        ("version", "x"),
        ("from", ""),
        ("to", "yesterday"),
    ] {
        let got = shop
            .post_fields(
                &cookie,
                "replays",
                &with(pairs(&asked), &[wrong, ("once", "-")]),
            )
            .await;
        assert!(
            [404, 422].contains(&got.status),
            "{wrong:?}: {}",
            got.status
        );
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_revoked() {
    let shop = shop().await;
    let cookie = shop.sign_in(ADMIN).await;
    let form = pairs(&[("name", "Ann <i>"), ("role", "admin"), ("once", "a")]);
    let got = shop.post_fields(&cookie, "access", &form).await;
    assert_eq!(got.status, 201, "{}", got.body);
    let secret = between(&got.body, "<code id=\"secret\">", "</code>").to_owned();
    assert_eq!(shop.status_for(&secret, "settings").await, 200);
    // The page that is loaded again shows the same key, and the list shows none.
    let again = shop.post_fields(&cookie, "access", &form).await;
    assert_eq!(
        between(&again.body, "<code id=\"secret\">", "</code>"),
        secret
    );
    let page = shop.page("/app/m/access", &cookie).await.body;
    assert!(
        !page.contains(&secret) && page.contains("Ann &#60;i&#62;"),
        "{page}"
    );
    assert_eq!(shop.get("keys").await["keys"].as_array().unwrap().len(), 1);
    for (name, role) in [("", "admin"), ("a", "owner"), ("a\nb", "admin")] {
        let got = shop
            .post_fields(&cookie, "access", &pairs(&[("name", name), ("role", role)]))
            .await;
        assert!(
            got.status == 422 && got.body.contains("role=\"alert\""),
            "{name} {role}: {}",
            got.body
        );
    }
    // Whoever revokes their own key is signed out.
    let own = shop.sign_in(&secret).await;
    let id = shop.get("keys").await["keys"][0]["key_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let got = shop
        .post_fields(&own, "access", &pairs(&[("revoke", &id)]))
        .await;
    assert_eq!((got.status, &*got.location), (303, "/app/m/access"));
    assert_eq!(shop.page("/app/m/access", &own).await.status, 303);
    assert_eq!(shop.status_for(&secret, "settings").await, 401);
    assert_eq!(
        shop.post_fields(&cookie, "access", &pairs(&[("revoke", &id)]))
            .await
            .status,
        404
    );
    // The log has it, page by page.
    let mut path = "/app/m/access?limit=1".to_owned();
    let mut told = Vec::new();
    while !path.is_empty() {
        let page = shop.page(&path, &cookie).await.body;
        let rows = between(&page, "<table id=\"log\"", "</table>");
        told.push(between(rows, "<td>changed: <code>", "</code>").to_owned());
        path = between(&page, "<a href=\"", "\" rel=\"next\"")
            .rsplit('"')
            .next()
            .unwrap()
            .replace("&#38;", "&");
    }
    let revoked = told
        .iter()
        .filter(|what| *what == "DELETE M/keys/{key_id}")
        .count();
    assert_eq!(revoked, 1, "{told:?}");
    assert!(told.contains(&"POST M/keys".to_owned()), "{told:?}");
}

#[tokio::test]
async fn forms_of_other_sites_and_other_roles_change_nothing() {
    let shop = shop().await;
    let admin = shop.sign_in(ADMIN).await;
    let page = shop.page("/app/m/settings", &admin).await.body;
    let marketer = shop.sign_in(&shop.key("marketer").await).await;
    let mut keys = shop.get("keys").await;
    let id = keys["keys"][0]["key_id"].as_str().unwrap();
    for (form, fields) in [
        ("settings", with(filled(&page), &[("refunds", "net")])),
        (
            "replays",
            pairs(&[
                ("version", "1"),
                ("from", "2026-11-18"),
                ("to", "2026-11-19"),
                ("apply", "true"),
            ]),
        ),
        ("access", pairs(&[("name", "x"), ("role", "admin")])),
        ("access", pairs(&[("revoke", id)])),
    ] {
        let path = format!("/app/m/{form}");
        for (headers, cookie, status) in [
            (("sec-fetch-site", "cross-site"), &admin, 403),
            (("sec-fetch-site", "same-site"), &admin, 403),
            (("origin", "http://evil.example"), &admin, 403),
            (("origin", "null"), &admin, 403),
            (("accept", "text/html"), &admin, 403),
            (OWN, &marketer, 403),
            (
                OWN,
                &"revtrail-session=deployment.9999999999999.AAAA".to_owned(),
                303,
            ),
        ] {
            let headers = [headers, ("cookie", cookie.as_str())];
            let got = shop
                .open_page(Method::POST, &path, &headers, &encoded(&fields))
                .await;
            assert_eq!(got.status, status, "{path} {headers:?}: {}", got.body);
            assert!(
                status == 403 || got.location.starts_with("/app/sign-in"),
                "{}",
                got.location
            );
        }
    }
    assert_eq!(shop.get("settings").await["version"], 1);
    assert_eq!(shop.get("replays").await["replays"], json!([]));
    let mut now = shop.get("keys").await;
    // That a key was used is no change.
    strip(&mut now, &["used_at"]);
    strip(&mut keys, &["used_at"]);
    assert_eq!(now, keys);
}

/// What the page of an order says of other settings is what the API's what-if says.
#[tokio::test]
async fn an_order_says_what_other_settings_would_have_made_of_it() {
    let shop = shop().await;
    shop.put("settings", json!({"channels": {}, "counted_statuses": []}))
        .await;
    shop.service.set_now(at("20T10:00"));
    let cookie = shop.sign_in(&shop.key("analyst").await).await;
    let page = shop.page("/app/m/order?id=o1", &cookie).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let table = between(&page.body, "<table id=\"others\"", "</table>");
    let newest = shop.get("settings").await["settings"].clone();
    let preset =
        |name: &str| json!({"preset": name, "currency": "EUR", "timezone": newest["timezone"]});
    for (label, settings) in [
        ("preset redbox", preset("redbox")),
        ("preset yespo_v1", preset("yespo_v1")),
        ("preset yespo_v2", preset("yespo_v2")),
        ("version 2", newest.clone()),
    ] {
        let body = json!({"settings": settings, "from": "2026-11-18", "to": "2026-11-19", "order_id": "o1"});
        let (status, told) = shop.call(Method::POST, "what-if", body).await;
        assert_eq!(status, 200, "{told}");
        let why = &told["attribution"];
        let row = between(table, &format!(">{label}</a>"), "</tr>");
        let credited = why["credited_to"]["campaign_id"].as_str();
        let name = match credited.filter(|_| why["counted"] == true) {
            Some("mail") => "The &#60;mail&#62; &#38; co",
            Some(other) => other,
            None => "nobody",
        };
        assert!(
            row.contains(&format!("<td><bdi>{name}</bdi></td>")),
            "{label}: {row}"
        );
        let is_counted = !row.contains("not counted");
        assert_eq!(json!(is_counted), why["counted"], "{label}: {row}");
        let same = why["credited_to"]["campaign_id"] == "text" && is_counted;
        assert_eq!(row.contains("the same"), same, "{label}: {row}");
    }
    // The version that decides the order is not another.
    assert!(!table.contains(">version 1</a>"), "{table}");
}
