//! Who may do what: every route of the service × role × own, another's and absent marketplace, from the table of `API.md`.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use revtrail_core::value::id::MarketplaceId;
use revtrail_store::market::access::{Role, key_hash};
use revtrail_store::{Store, table::embedded};
use revtrail_web::access::Access;
use serde_json::{Value, json};

use crate::support::fixtures::{Shop, at};
use crate::support::service::ADMIN;

pub(super) const ROLES: [&str; 5] = ["admin", "marketer", "analyst", "partner", "ingest"];

/// The routes that this version has: method, path under the marketplace, and who may call it, in the order of `ROLES`.
const ROUTES: [(&str, &str, &str); 69] = [
    ("POST", "/events", "✓...✓"),
    ("POST", "/orders", "✓...✓"),
    ("POST", "/webhooks/{provider}", "✓...✓"),
    ("POST", "/webhooks/shopify", "✓...✓"),
    ("POST", "/webhooks/woocommerce", "✓...✓"),
    ("POST", "/compat/yespo/orders", "✓...✓"),
    ("POST", "/compat/yespo/event", "✓...✓"),
    ("PUT", "", "✓...."),
    ("POST", "/keys", "✓...."),
    ("GET", "/keys", "✓...."),
    ("DELETE", "/keys/{key_id}", "✓...."),
    ("PUT", "/settings", "✓...."),
    ("PATCH", "/settings", "✓...."),
    ("GET", "/settings", "✓✓✓.."),
    ("GET", "/settings/versions", "✓✓✓.."),
    ("PUT", "/campaigns/{id}", "✓✓..."),
    ("PATCH", "/campaigns/{id}", "✓✓..."),
    ("GET", "/campaigns/{id}", "✓✓✓.."),
    ("POST", "/what-if", "✓✓✓.."),
    ("GET", "/what-ifs/{id}", "✓✓✓.."),
    ("POST", "/replays", "✓...."),
    ("GET", "/replays", "✓...."),
    ("GET", "/replays/{id}", "✓...."),
    ("POST", "/runs", "✓✓..."),
    ("GET", "/reports/campaigns", "✓✓✓.."),
    ("GET", "/reports/campaigns/{id}", "✓✓✓.."),
    ("GET", "/reports/orders", "✓✓✓.."),
    ("GET", "/reports/reconciliation", "✓✓✓.."),
    ("GET", "/orders", "✓✓✓.."),
    ("GET", "/orders/{id}", "✓✓✓.."),
    ("GET", "/orders/{id}/attribution", "✓✓✓.."),
    ("GET", "/runs", "✓✓✓.."),
    ("GET", "/runs/{id}", "✓✓✓.."),
    ("GET", "/reports/campaigns/{id}/rivals", "✓✓✓.."),
    ("GET", "/reports/campaigns/{id}/purchases", "✓✓..."),
    ("POST", "/segments", "✓✓..."),
    ("GET", "/segments", "✓✓..."),
    ("GET", "/segments/{id}", "✓✓..."),
    ("DELETE", "/segments/{id}", "✓✓..."),
    ("GET", "/access-log", "✓...."),
    ("DELETE", "/customers/{id}", "✓...."),
    ("GET", "/erasures/{id}", "✓...."),
    ("POST", "/exports", "✓...."),
    ("GET", "/exports/{id}", "✓...."),
    ("GET", "/batches", "✓✓✓✓."),
    ("GET", "/batches/{id}", "✓✓✓✓."),
    ("POST", "/uploads", "✓..✓✓"),
    ("POST", "/assignments", "✓..✓✓"),
    ("POST", "/redemptions", "✓..✓✓"),
    ("POST", "/redemptions/{id}/rollback", "✓..✓✓"),
    ("PUT", "/promotions/{id}", "✓✓..."),
    ("PATCH", "/promotions/{id}", "✓✓..."),
    ("POST", "/promotions/{id}/vouchers", "✓✓..."),
    ("PUT", "/promotions/{id}/vouchers/{code}", "✓✓..."),
    ("POST", "/promotions/{id}/vouchers/{code}/redeem", "✓..✓✓"),
    ("POST", "/vouchers/{code}/redeem", "✓..✓✓"),
    ("GET", "/reports/promotions", "✓✓✓✓."),
    ("GET", "/promotions/{id}", "✓✓✓✓."),
    ("GET", "/promotions/{id}/dashboard", "✓✓✓✓."),
    ("GET", "/promotions/{id}/vouchers", "✓✓✓✓."),
    ("GET", "/promotions/{id}/validation-rules", "✓✓✓✓."),
    ("GET", "/promotions/{id}/redemptions", "✓✓✓✓."),
    ("GET", "/promotions/{id}/publications", "✓✓✓✓."),
    ("GET", "/promotions/{id}/distributions", "✓✓✓✓."),
    ("GET", "/promotions/{id}/metadata", "✓✓✓✓."),
    ("GET", "/promotions/{id}/changes", "✓✓✓✓."),
    ("GET", "/senders", "✓✓✓.."),
    ("GET", "/quarantine", "✓✓✓✓."),
    ("GET", "/redemptions", "✓✓✓✓."),
];
/// Of the same row as purchases; apart, for its customer must have facts.
const CARD: (&str, &str, &str) = ("GET", "/customers/{id}", "✓✓...");
/// Those outside of marketplaces.
const OUTSIDE: [(&str, &str); 4] = [
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/marketplaces"),
];
/// Senders probe an address without a key.
const PROBED: [(&str, &str); 3] = [
    ("GET", "/v1/marketplaces/{marketplace}/webhooks/{provider}"),
    ("GET", "/v1/marketplaces/{marketplace}/webhooks/shopify"),
    ("GET", "/v1/marketplaces/{marketplace}/webhooks/woocommerce"),
];

/// The pages and the files of them, with who may open them; and where forms go.
pub(super) const PAGES: [(&str, &str); 22] = [
    ("", "✓✓✓.."),
    ("/campaigns.csv", "✓✓..."),
    ("/campaign?id=E", "✓✓✓.."),
    ("/purchases.csv?id=E", "✓✓..."),
    ("/order?id=o", "✓✓✓.."),
    ("/promotions", "✓✓✓✓."),
    ("/promotion?id=p", "✓✓✓✓."),
    ("/orders", "✓✓✓.."),
    ("/customer?id=c", "✓✓..."),
    ("/reconciliation", "✓✓✓.."),
    ("/runs", "✓✓✓.."),
    ("/batches", "✓✓✓✓."),
    ("/orders.csv", "✓✓..."),
    ("/promotions.csv", "✓✓.✓."),
    ("/promotion.csv?id=p&tab=redemptions", "✓✓.✓."),
    ("/settings", "✓✓✓.."),
    ("/segments", "✓✓..."),
    ("/statuses.csv", "✓✓..."),
    ("/days.csv?id=E", "✓✓..."),
    ("/reconciliation.csv", "✓✓..."),
    ("/senders", "✓✓✓.."),
    ("/access", "✓...."),
];
const PAGES_OUTSIDE: [(&str, &str); 21] = [
    ("GET", "/docs"),
    ("GET", "/app"),
    ("GET", "/app/sign-in"),
    ("GET", "/app/_/{asset}"),
    ("GET", "/app/{marketplace}/erasure"),
    ("GET", "/app/{marketplace}/segment.csv"),
    ("GET", "/app/{marketplace}/rejected.csv"),
    ("POST", "/app/{marketplace}/batches"),
    ("POST", "/app/{marketplace}/campaign"),
    ("POST", "/app/{marketplace}/customer"),
    ("POST", "/app/{marketplace}/promotion"),
    ("POST", "/app/{marketplace}/promotions"),
    ("POST", "/app/{marketplace}/runs"),
    ("POST", "/app/{marketplace}/segments"),
    ("POST", "/app/{marketplace}/senders"),
    ("POST", "/app/{marketplace}/settings"),
    ("POST", "/app/{marketplace}/replays"),
    ("POST", "/app/{marketplace}/access"),
    ("POST", "/app/sign-in"),
    ("POST", "/app/_/sign-out"),
    ("POST", "/app/_/language"),
];

fn routes() -> impl Iterator<Item = (Method, &'static str, &'static str)> {
    // The card comes first: it waits while its customer is being erased.
    let all = [CARD].into_iter().chain(ROUTES);
    all.map(|(method, path, roles)| (method.parse().unwrap(), path, roles))
}

/// A shop, a key of each role, and another marketplace.
async fn shop() -> (Shop, Vec<String>) {
    let shop = Shop::after(
        json!({}),
        &["E email sent,opened c 16T10:00"],
        &["o c COMPLETE 10.00 USD 16T11:00"],
    )
    .await;
    shop.service.make("other", &json!({})).await;
    shop.service.tripwire.allow("m");
    let mut keys = Vec::new();
    for role in ROLES {
        keys.push(shop.key(role).await);
    }
    (shop, keys)
}

impl Shop {
    /// The status and the body of a call for a marketplace.
    async fn call_for(
        &self,
        marketplace: &str,
        method: &Method,
        path: &str,
        key: Option<&str>,
    ) -> (u16, String) {
        let path = path
            .replace("{id}", if path.starts_with("/c") { "c" } else { "o" })
            .replace("{key_id}", "k")
            .replace("{provider}", "postmark")
            .replace("{code}", "s");
        let path = format!(
            "/v1/marketplaces/{marketplace}{}",
            path.replace("/reports/campaigns/o", "/reports/campaigns/E")
        );
        let (status, _, body) = self
            .service
            .raw(
                method.clone(),
                &path,
                key,
                Some("application/json"),
                b"{}".to_vec(),
            )
            .await;
        (status.as_u16(), String::from_utf8(body).unwrap())
    }
}

#[test]
fn the_table_names_every_route_there_is() {
    let served: BTreeSet<(String, String)> = revtrail::serve::routes(manage::in_process(drop))
        .iter()
        .map(|route| (route.method().to_string(), route.path().to_owned()))
        .collect();
    let inside = routes().map(|(method, path, _)| {
        (
            method.to_string(),
            format!("/v1/marketplaces/{{marketplace}}{path}"),
        )
    });
    let pages = PAGES.map(|(page, _)| {
        let path = page.split('?').next().unwrap();
        ("GET".to_owned(), format!("/app/{{marketplace}}{path}"))
    });
    let outside = OUTSIDE.into_iter().chain(PROBED).chain(PAGES_OUTSIDE);
    let named: BTreeSet<_> = inside
        .chain(pages)
        .chain(outside.map(|(method, path)| (method.to_owned(), path.to_owned())))
        .collect();
    assert_eq!(served, named);
}

#[test]
fn the_documents_name_every_route_as_it_is() {
    let roles = |access| match access {
        Access::Open => "–".to_owned(),
        Access::AnyKey => "any key".to_owned(),
        Access::Roles(roles) => {
            let named = ROLES.into_iter().filter(|name| {
                let role = Role::parse(name).unwrap();
                roles.contains(&role)
            });
            named.collect::<Vec<_>>().join(" ")
        }
    };
    let functions = [
        ("ingest-event", ingest_event::routes()),
        ("ingest-order", ingest_order::routes()),
        ("manage", manage::routes(manage::in_process(drop))),
        ("report-query", report_query::routes()),
    ];
    let mut served = BTreeSet::new();
    for (function, routes) in &functions {
        for route in routes {
            let path = route.path().replace("/v1/marketplaces/{marketplace}", "M");
            let query = if route.takes_query() { " query" } else { "" };
            served.insert(format!(
                "| {} | `{path}` | {function} | {} |{query} |",
                route.method(),
                roles(route.access())
            ));
        }
    }
    let docs = include_str!("../../../docs/api.md");
    let methods = ["GET", "PUT", "POST", "PATCH", "DELETE"];
    let is_route = |line: &&str| {
        methods
            .iter()
            .any(|method| line.starts_with(&format!("| {method} |")))
    };
    let written: BTreeSet<String> = docs.lines().filter(is_route).map(str::to_owned).collect();
    assert_eq!(written, served);
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says_in_its_own_marketplace_only() {
    let (shop, keys) = shop().await;
    let mut cases = 0;
    let forbidden = shop
        .call_for("other", &Method::GET, "/settings", Some(&keys[0]))
        .await;
    assert_eq!(forbidden.0, 403);
    for (method, path, roles) in routes() {
        for ((role, key), may) in ROLES.iter().zip(&keys).zip(roles.chars()) {
            let (status, body) = shop.call_for("m", &method, path, Some(key)).await;
            // 422: an empty object is no event, order, key or redemption. 404: there is no such key, run, batch or code.
            let expected: &[u16] = match (may, path) {
                ('.', _) => &[403],
                (_, "/keys/{key_id}" | "/runs/{id}" | "/batches/{id}" | "/what-ifs/{id}") => &[404],
                (_, "/replays/{id}" | "/segments/{id}" | "/erasures/{id}" | "/exports/{id}") => {
                    &[404]
                }
                (_, "/vouchers/{code}/redeem" | "/promotions/{id}/vouchers/{code}") => &[404],
                (_, "/runs") => &[200, 202],
                // Whatever became of the records of a post.
                (_, path) if path.starts_with("/webhooks/") || path.starts_with("/compat/") => {
                    &[200]
                }
                _ if method == Method::POST => &[422],
                _ => &[200, 201, 202],
            };
            assert!(
                expected.contains(&status),
                "{role} {method} {path}: {status} {body}"
            );
            // Another's and an absent marketplace look the same, whatever the role.
            for marketplace in ["other", "absent", "NO-ID"] {
                assert_eq!(
                    shop.call_for(marketplace, &method, path, Some(key)).await,
                    forbidden,
                    "{role} {method} {path} {marketplace}"
                );
            }
            cases += 4;
        }
        if path.is_empty() {
            continue;
        }
        // The deployment's key is told that there is none.
        for (marketplace, expected) in [("other", false), ("absent", true)] {
            let (status, body) = shop.call_for(marketplace, &method, path, Some(ADMIN)).await;
            let told = status == 404 && body.contains("no such marketplace");
            assert_eq!(
                told, expected,
                "{method} {path} {marketplace}: {status} {body}"
            );
            cases += 1;
        }
    }
    println!("access: {cases} cases");
}

#[tokio::test]
async fn a_key_that_is_none_is_told_nothing() {
    let (shop, keys) = shop().await;
    let (status, made) = shop
        .call(
            Method::POST,
            "keys",
            json!({ "name": "x", "role": "admin" }),
        )
        .await;
    assert_eq!(status, 201);
    let revoked = made["key"].as_str().unwrap();
    assert_eq!(shop.status_for(revoked, "settings").await, 200);
    let (status, _) = shop
        .call(
            Method::DELETE,
            &format!("keys/{}", made["key_id"].as_str().unwrap()),
            json!({}),
        )
        .await;
    assert_eq!(status, 204);
    shop.service.set_now(at("20T12:01"));
    let nothing = shop.call_for("m", &Method::GET, "/settings", None).await;
    // Senders may give their key in other ways, so their answer names these; it is one answer too.
    let post = "/webhooks/shopify";
    let nothing_of_a_sender = shop.call_for("m", &Method::POST, post, None).await;
    assert_eq!((nothing.0, nothing_of_a_sender.0), (401, 401));
    let mut cases = 0;
    for (method, path, _) in routes() {
        let is_a_senders = path.starts_with("/webhooks/") || path.starts_with("/compat/");
        let expected = if is_a_senders {
            &nothing_of_a_sender
        } else {
            &nothing
        };
        for key in [
            None,
            Some(""),
            Some("unknown"),
            Some(revoked),
            Some(&keys[0][1..]),
            Some(&*key_hash(&keys[0])),
        ] {
            for marketplace in ["m", "other", "absent"] {
                assert_eq!(
                    &shop.call_for(marketplace, &method, path, key).await,
                    expected,
                    "{method} {path} {key:?}"
                );
                cases += 1;
            }
        }
    }
    let (status, ..) = shop
        .service
        .raw(
            Method::GET,
            "/v1/marketplaces",
            Some(revoked),
            None,
            Vec::new(),
        )
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    println!("access: {cases} cases");
}

#[tokio::test]
async fn a_method_that_a_path_lacks_is_405_whatever_the_role() {
    let (shop, keys) = shop().await;
    let paths: BTreeSet<&str> = routes().map(|(_, path, _)| path).collect();
    let mut cases = 0;
    for path in paths {
        let mut there: Vec<Method> = routes()
            .filter(|route| route.1 == path)
            .map(|route| route.0)
            .collect();
        let probed = PROBED.iter().filter(|(_, probed)| probed.ends_with(path));
        there.extend(probed.map(|_| Method::GET));
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
            .map(|method| method.parse::<Method>().unwrap())
        {
            for key in keys.iter().filter(|_| !there.contains(&method)) {
                assert_eq!(
                    shop.call_for("m", &method, path, Some(key)).await.0,
                    405,
                    "{method} {path}"
                );
                assert_eq!(
                    shop.call_for("other", &method, path, Some(key)).await.0,
                    403,
                    "{method} {path}"
                );
                cases += 2;
            }
        }
    }
    println!("access: {cases} cases");
}

#[tokio::test]
async fn what_is_outside_of_marketplaces() {
    let (shop, keys) = shop().await;
    let get = async |path: &str, key: Option<&str>| {
        let (status, _, body) = shop
            .service
            .raw(Method::GET, path, key, None, Vec::new())
            .await;
        (
            status.as_u16(),
            serde_json::from_slice::<Value>(&body).unwrap(),
        )
    };
    assert_eq!(get("/healthz", None).await.0, 200);
    let own = |body: &Value| {
        body["marketplaces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["marketplace_id"].clone())
            .collect::<Vec<_>>()
    };
    for key in &keys {
        let (status, body) = get("/v1/marketplaces", Some(key)).await;
        assert_eq!((status, own(&body)), (200, vec![json!("m")]));
    }
    assert_eq!(
        own(&get("/v1/marketplaces", Some(ADMIN)).await.1),
        [json!("m"), json!("other")]
    );
    for (path, key, status) in [
        ("/", None, 404),
        ("/v1", Some(ADMIN), 404),
        ("/v1/marketplaces", None, 401),
        ("/v1/marketplaces/m/nothing", None, 404),
        ("/v1/marketplaces/", Some(ADMIN), 404),
    ] {
        assert_eq!(get(path, key).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn keys_are_made_for_the_marketplaces_that_their_maker_rules() {
    let (shop, keys) = shop().await;
    shop.service.tripwire.allow("other");
    let body = json!({ "name": "both", "role": "analyst", "marketplaces": ["m", "other"] });
    let (status, made) = shop.call(Method::POST, "keys", body.clone()).await;
    assert_eq!(
        (status, &made["role"], &made["name"]),
        (201, &json!("analyst"), &json!("both"))
    );
    let both = made["key"].as_str().unwrap();
    let statuses = async || {
        let mut statuses = Vec::new();
        for marketplace in ["m", "other", "absent"] {
            statuses.push(
                shop.call_for(marketplace, &Method::GET, "/settings", Some(both))
                    .await
                    .0,
            );
        }
        statuses
    };
    assert_eq!(statuses().await, [200, 200, 403]);
    // An admin of one marketplace makes keys of that one.
    let path = "/v1/marketplaces/m/keys";
    let (status, _) = shop
        .service
        .call_as(&keys[0], Method::POST, path, Some(&body))
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, made_by_admin) = shop
        .service
        .call_as(
            &keys[0],
            Method::POST,
            path,
            Some(&json!({ "name": "n", "role": "ingest" })),
        )
        .await;
    assert_eq!(status, StatusCode::CREATED);
    let ingest = made_by_admin["key"].as_str().unwrap();
    assert_eq!(
        shop.call_for("other", &Method::POST, "/events", Some(ingest))
            .await
            .0,
        403
    );
    // Revoked in one marketplace it stays good in the other; an id of another marketplace's key is none.
    let id = made["key_id"].as_str().unwrap();
    let (status, _) = shop
        .call(Method::DELETE, &format!("keys/{id}"), json!({}))
        .await;
    let (again, _) = shop
        .call(Method::DELETE, &format!("keys/{id}"), json!({}))
        .await;
    shop.service.set_now(at("20T12:01"));
    assert_eq!(
        (status, again, statuses().await),
        (204, 404, vec![403, 200, 403])
    );
    let others = Shop {
        id: "other",
        ..shop
    };
    assert_eq!(
        others
            .call(
                Method::DELETE,
                &format!("keys/{}", made_by_admin["key_id"].as_str().unwrap()),
                json!({})
            )
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn a_secret_is_told_once_and_never_stored() {
    let (shop, keys) = shop().await;
    let (status, _, listed) = shop
        .service
        .raw(
            Method::GET,
            &shop.path("keys"),
            Some(ADMIN),
            None,
            Vec::new(),
        )
        .await;
    let listed = String::from_utf8(listed).unwrap();
    assert_eq!(status, StatusCode::OK);
    for key in &keys {
        assert!(
            !listed.contains(key.as_str()) && !listed.contains(&key_hash(key)),
            "{listed}"
        );
    }
    let shown: Value = serde_json::from_str(&listed).unwrap();
    let names: BTreeSet<&str> = shown["keys"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|key| key.as_object().unwrap().keys().map(String::as_str))
        .collect();
    assert_eq!(
        (shown["keys"].as_array().unwrap().len(), names),
        (
            5,
            BTreeSet::from(["key_id", "name", "role", "created_at", "used_at"])
        )
    );

    let folder = std::env::temp_dir().join(format!("revtrail-secret-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let store: Store = embedded::store(embedded::Embedded::file(&folder.join("db")).unwrap())
        .await
        .unwrap();
    let (_, secret) = store
        .create_key(
            "n",
            Role::Admin,
            &[MarketplaceId::new("m").unwrap()],
            None,
            at("20T12:00"),
        )
        .await
        .unwrap()
        .unwrap();
    assert!(store.key(&key_hash(&secret)).await.unwrap().is_some());
    let files = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let bytes: Vec<u8> = files.flatten().collect();
    let holds = |text: &str| {
        bytes
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    };
    assert_eq!((holds(&key_hash(&secret)), holds(&secret)), (true, false));
    drop(store);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn who_may_have_no_table_is_told_before_what_is_wrong_with_the_query() {
    let shop = Shop::open(json!({})).await;
    let key = shop.key("analyst").await;
    for path in [
        "reports/campaigns",
        "reports/campaigns/c",
        "reports/campaigns/c/purchases",
        "reports/orders",
        "reports/reconciliation",
        "reports/promotions",
        "orders",
    ] {
        let bad = format!("{path}?from=never&limit=0");
        let (status, ..) = shop.table_for(&key, &bad).await;
        assert_eq!(status, 403, "{path}");
    }
}
