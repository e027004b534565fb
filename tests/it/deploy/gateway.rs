//! Calls as the gateway hands them over, good and mangled: each is answered as `revtrail serve` answers it, and nothing panics.

use axum::Router;
use revtrail_oracle::worlds::Rng;
use revtrail_web::{dispatch, gateway};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::fixtures::Shop;
use crate::support::service::ADMIN;

/// All routes over a shop.
async fn deployed() -> (Shop, Router) {
    let shop = Shop::open(json!({})).await;
    let routes = revtrail::serve::routes(manage::in_process(drop));
    let router = dispatch::router(routes, shop.service.app.clone());
    (shop, router)
}

/// What the gateway gets back; `None` where the event is of no HTTP API.
async fn answered(router: &Router, event: &str) -> Option<Value> {
    let response = match gateway::request(event).ok()? {
        Ok(request) => router.clone().oneshot(request).await.unwrap(),
        Err(refused) => refused,
    };
    Some(serde_json::to_value(gateway::answer(response).await).unwrap())
}

fn event(method: &str, path: &str, query: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "cookies": ["revtrail-session=x.y.z"],
        "headers": { "authorization": format!("Bearer {ADMIN}"), "content-type": "application/json", "host": "api.example.com" },
        "requestContext": {
            "apiId": "a", "domainName": "api.example.com", "requestId": "r", "routeKey": "$default", "stage": "$default",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t" },
        },
        "body": "{\"name\":\"n\"}", "isBase64Encoded": false,
    })
}

#[tokio::test]
async fn what_has_no_route_is_answered_as_ever() {
    let (_shop, router) = deployed().await;
    for (method, path, status, allow) in [
        ("GET", "/nothing", 404, None),
        ("GET", "/v1/marketplaces/m/keys/a/b", 404, None),
        (
            "PATCH",
            "/v1/marketplaces/m/keys",
            405,
            Some("GET, HEAD, POST"),
        ),
        ("GET", "/v1/marketplaces/m/events", 405, Some("POST")),
        (
            "OPTIONS",
            "/v1/marketplaces/m/settings",
            405,
            Some("GET, HEAD, PATCH, PUT"),
        ),
        ("HEAD", "/healthz", 200, None),
        ("HEAD", "/v1/marketplaces/m/webhooks/postmark", 204, None),
        ("HEAD", "/v1/marketplaces/m/keys", 200, None),
    ] {
        let told = answered(&router, &event(method, path, "").to_string()).await;
        let told = told.unwrap();
        assert_eq!(told["statusCode"], status, "{method} {path}: {told}");
        let headers = &told["headers"];
        assert_eq!(headers["allow"].as_str(), allow, "{method} {path}");
        if status >= 400 {
            let media = headers["content-type"].as_str();
            assert_eq!(media, Some("application/problem+json"), "{told}");
        }
    }
    // Before anybody asks for the key.
    let mut nobody = event("GET", "/v1/marketplaces/m/orders", "status=\"<a b>\"");
    nobody["headers"] = json!({});
    let told = answered(&router, &nobody.to_string()).await.unwrap();
    assert_eq!(told["statusCode"], 401);
}

/// Values that no client sends, and that somebody sends.
fn odd(rng: &mut Rng) -> Value {
    let texts = [
        "",
        "\u{0}",
        "\"<>` ",
        "%",
        "%zz%00",
        "é🙂\u{fffd}",
        "//",
        "?#",
        "..",
        "\r\nx: y",
        "$default",
        "~a",
    ];
    match rng.below(8) {
        0 => Value::Null,
        1 => json!(-1),
        2 => json!(1e300),
        3 => json!([]),
        4 => json!({ "a": [null] }),
        5 => json!("x".repeat(70_000)),
        _ => json!(rng.pick(&texts).repeat(1 + rng.below(3))),
    }
}

/// Changes something anywhere in an event.
fn mangle(value: &mut Value, rng: &mut Rng) {
    match value {
        Value::Object(fields) if !fields.is_empty() && rng.below(8) > 0 => {
            let at = rng.below(fields.len());
            let name = fields.keys().nth(at).unwrap().clone();
            match rng.below(12) {
                0 => drop(fields.remove(&name)),
                1 => drop(fields.insert(odd(rng).to_string(), json!("1"))),
                _ => mangle(&mut fields[&name], rng),
            }
        }
        Value::String(text) if rng.below(3) > 0 => {
            let at = text.floor_char_boundary(rng.below(text.len() + 1));
            let odd = odd(rng);
            text.insert_str(at, odd.as_str().unwrap_or("\""));
        }
        other => *other = odd(rng),
    }
}

#[tokio::test]
async fn mangled_calls_are_refused_and_never_fail() {
    const EVENTS: usize = 6_000;
    let (_shop, router) = deployed().await;
    let calls = [
        ("GET", "/v1/marketplaces/m/orders", "limit=1&status=NEW"),
        ("POST", "/v1/marketplaces/m/events", ""),
        ("PUT", "/v1/marketplaces/m/campaigns/a", ""),
        ("GET", "/app/m", ""),
        ("POST", "/v1/marketplaces/m/webhooks/postmark", "key=x"),
    ];
    let (mut rng, mut foreign, mut statuses) = (Rng::new(7), 0, [0_usize; 6]);
    for n in 0..EVENTS {
        let (method, path, query) = calls[n % calls.len()];
        let mut event = event(method, path, query);
        for _ in 0..1 + rng.below(3) {
            mangle(&mut event, &mut rng);
        }
        let mut text = event.to_string();
        if rng.below(10) == 0 {
            text.truncate(text.floor_char_boundary(rng.below(text.len())));
        }
        match answered(&router, &text).await {
            None => foreign += 1,
            Some(told) => {
                let status = told["statusCode"].as_u64().unwrap();
                assert_ne!(status, 500, "{text:.2000}\n{told}");
                statuses[status as usize / 100] += 1;
            }
        }
    }
    // All of it was reached: what is no call, what is refused, and what is answered.
    assert!(
        foreign > 0 && statuses[2] > 0 && statuses[4] > 0,
        "{foreign} {statuses:?}"
    );
    println!("mangled calls: {EVENTS}");
}
