//! Tests the checks of every call as callers see them: small test routes behind the router, on an embedded table.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use revtrail_core::attribution::settings::Preset;
use revtrail_core::record::{Code, Problems, Record};
use revtrail_core::value::id::{CampaignId, MarketplaceId};
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::market::access::Role;
use revtrail_store::{StoreError, table::embedded};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::access::Access;
use crate::answer;
use crate::api::Route;
use crate::app::App;
use crate::body::BODY_BYTES_MAX;
use crate::call::Call;
use crate::csv::{Cell, Style, Table};
use crate::dispatch::router;
use crate::problem::Problem;
use crate::records::Intake;
use revtrail_aws::clock::Clock;

const ROOT: &str = "the deployment's";

struct Shop {
    router: Router,
    app: App,
    now_ms: Arc<AtomicI64>,
    /// The secrets of keys that are good for the marketplace `a`.
    admin: String,
    analyst: String,
    analyst_id: String,
    ingest: String,
}

async fn shop() -> Shop {
    let now = Instant::parse("2026-11-20T10:00:00Z").unwrap();
    let now_ms = Arc::new(AtomicI64::new(now.ms()));
    let store = embedded::memory().await.unwrap();
    for id in ["a", "b"] {
        let market = store.market(&MarketplaceId::new(id).unwrap(), Retention::DEFAULT);
        let settings = Preset::Redbox.settings();
        market.create(id, settings, "test", now).await.unwrap();
    }
    // `gone` is a marketplace that a key names and that nobody created.
    let a = ["a", "gone"].map(|id| MarketplaceId::new(id).unwrap());
    let key = async |role, of| {
        let made = store.create_key("k", role, of, None, now).await;
        made.unwrap().unwrap()
    };
    let (_, admin) = key(Role::Admin, &a[..]).await;
    let (analyst_key, analyst) = key(Role::Analyst, &a[..1]).await;
    let (_, ingest) = key(Role::Ingest, &a[..1]).await;
    let clock = Clock::Set(now_ms.clone());
    let app = App::new(store, clock, Retention::DEFAULT, ROOT);
    Shop {
        router: router(routes(), app.clone()),
        app,
        now_ms,
        admin,
        analyst,
        analyst_id: analyst_key.key_id,
        ingest,
    }
}

const INGEST: Access = Access::Roles(&[Role::Admin, Role::Ingest]);
const ADMIN: Access = Access::Roles(&[Role::Admin]);
const READERS: Access = Access::Roles(&[Role::Admin, Role::Analyst]);

fn routes() -> Vec<Route> {
    let m = "/v1/marketplaces/{marketplace}";
    let under = |rest: &str| -> &'static str { format!("{m}{rest}").leak() };
    let said = async |call: Call| {
        let who = call.caller().map(|caller| caller.key_id.clone()).ok();
        Ok(answer::json(StatusCode::OK, &json!({ "by": who })))
    };
    vec![
        Route::new(Method::GET, "/healthz", Access::Open, said),
        Route::new(Method::GET, "/v1/marketplaces", Access::AnyKey, said),
        Route::new(Method::PUT, under(""), ADMIN, async |call| {
            let id = call.marketplace()?;
            Ok(answer::located(
                StatusCode::CREATED,
                call.path(),
                &json!({ "id": id }),
            ))
        })
        .creates_marketplace(),
        Route::new(Method::GET, under("/settings"), READERS, said),
        Route::new(Method::PUT, under("/settings"), ADMIN, async |call| {
            let settings: Value = serde_json::from_str(call.json_object()?).unwrap();
            Ok(answer::json(StatusCode::OK, &settings))
        }),
        Route::new(Method::POST, under("/runs"), ADMIN, async |call| {
            let body = call.fields(&["verify"], &mut Problems::new())?;
            Ok(answer::json(StatusCode::ACCEPTED, &body))
        }),
        Route::new(Method::POST, under("/tries"), READERS, said).heavy(),
        Route::new(Method::POST, under("/events"), INGEST, intake),
        Route::new(Method::POST, under("/webhooks/{provider}"), INGEST, said).key_in_url_too(),
        Route::new(
            Method::GET,
            under("/campaigns/{id}"),
            READERS,
            async |call| {
                let id = call.id("id", CampaignId::new)?;
                Ok(answer::json(StatusCode::OK, &json!({ "id": id })))
            },
        ),
        Route::new(
            Method::PUT,
            under("/campaigns/{campaign}"),
            ADMIN,
            async |call| {
                let id = call.new_id("campaign", CampaignId::new)?;
                Ok(answer::json(StatusCode::CREATED, &json!({ "id": id })))
            },
        ),
        Route::new(Method::GET, under("/waits"), READERS, async |_| {
            std::future::pending().await
        })
        .heavy(),
        Route::new(Method::GET, under("/fails/{how}"), READERS, async |call| {
            let op = "reading";
            Err(match call.param("how")? {
                "busy" => StoreError::Busy {
                    op,
                    source: "throttled".into(),
                }
                .into(),
                "refused" => StoreError::Refused {
                    op,
                    source: "secret".into(),
                }
                .into(),
                "conflict" => Problem::conflict("ambiguous_code", "two promotions have it"),
                _ => panic!("on purpose"),
            })
        }),
    ]
}

/// Accepts records with an `id`. A record with the id `again` is a duplicate.
async fn intake(call: Call) -> Result<Response, Problem> {
    let mut intake = Intake::default();
    for (index, record) in call.records()?.into_iter().enumerate() {
        let id = record
            .and_then(Record::from_json)
            .and_then(|record| Ok(record.needed("id")?.into_owned()));
        match id {
            Ok(id) if id == "again" => intake.duplicates += 1,
            Ok(_) => intake.accepted += 1,
            Err(problem) => intake.reject(index, problem),
        }
    }
    Ok(intake.answer())
}

impl Shop {
    async fn send(&self, request: Request<Body>) -> (http::response::Parts, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts, String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn call(&self, method: &str, path: &str, authorization: &str) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path);
        if !authorization.is_empty() {
            request = request.header(AUTHORIZATION, authorization);
        }
        let (parts, body) = self.send(request.body(Body::empty()).unwrap()).await;
        (parts.status.as_u16(), body)
    }

    async fn post(&self, path: &str, media: &str, body: impl Into<Body>) -> (u16, Value) {
        let key = format!("Bearer {}", self.admin);
        let mut request = Request::post(path).header(AUTHORIZATION, key);
        if !media.is_empty() {
            request = request.header(CONTENT_TYPE, media);
        }
        let (parts, body) = self.send(request.body(body.into()).unwrap()).await;
        (parts.status.as_u16(), serde_json::from_str(&body).unwrap())
    }
}

#[tokio::test]
async fn who_is_let_in_and_in_which_order() {
    let shop = shop().await;
    let bearer = |key: &str| format!("Bearer {key}");
    let [root, admin, analyst, ingest] =
        [ROOT, &shop.admin, &shop.analyst, &shop.ingest].map(bearer);
    let a = "/v1/marketplaces/a";
    let b = "/v1/marketplaces/b";
    let absent = "/v1/marketplaces/absent";
    for (method, path, key, status) in [
        // A route that does not exist is refused before everything else.
        ("GET", "/nothing".to_owned(), "", 404),
        ("GET", format!("{a}/settings/"), &root, 404),
        ("GET", "/v1/marketplaces//settings".to_owned(), &root, 404),
        ("GET", "/healthz".to_owned(), "", 200),
        ("GET", "/healthz".to_owned(), "Bearer wrong", 200),
        ("POST", "/healthz".to_owned(), "", 405),
        // Then the key is checked, whatever the marketplace, the method and the body.
        ("GET", "/v1/marketplaces".to_owned(), "", 401),
        ("GET", "/v1/marketplaces".to_owned(), &ingest, 200),
        ("GET", format!("{a}/settings"), "", 401),
        ("GET", format!("{absent}/settings"), "", 401),
        ("DELETE", format!("{a}/settings"), "", 401),
        ("GET", format!("{a}/settings"), "Bearer wrong", 401),
        ("GET", format!("{a}/settings"), "Bearer ", 401),
        ("GET", format!("{a}/settings"), "Basic YTpi", 401),
        ("GET", format!("{a}/settings?key={}", shop.analyst), "", 401),
        // Then the marketplace and the role are checked.
        ("GET", format!("{a}/settings"), &analyst, 200),
        ("HEAD", format!("{a}/settings"), &analyst, 200),
        ("GET", format!("{a}/settings"), &ingest, 403),
        ("GET", format!("{b}/settings"), &analyst, 403),
        ("GET", format!("{absent}/settings"), &analyst, 403),
        (
            "GET",
            "/v1/marketplaces/A%2F/settings".to_owned(),
            &analyst,
            403,
        ),
        (
            "GET",
            "/v1/marketplaces/%FF/settings".to_owned(),
            &analyst,
            403,
        ),
        ("GET", format!("{b}/settings"), &root, 200),
        ("GET", format!("{absent}/settings"), &root, 404),
        (
            "GET",
            "/v1/marketplaces/A%2F/settings".to_owned(),
            &root,
            404,
        ),
        (
            "GET",
            "/v1/marketplaces/gone/settings".to_owned(),
            &admin,
            403,
        ),
        // Then the method is checked, without looking at the role.
        ("DELETE", format!("{a}/settings"), &ingest, 405),
        ("OPTIONS", format!("{a}/settings"), &ingest, 405),
        ("DELETE", format!("{b}/settings"), &ingest, 403),
        ("GET", absent.to_owned(), &root, 404),
        // Only the deployment's key may create marketplaces.
        ("PUT", absent.to_owned(), &root, 201),
        ("PUT", absent.to_owned(), &admin, 403),
        ("PUT", "/v1/marketplaces/gone".to_owned(), &admin, 403),
        ("PUT", a.to_owned(), &admin, 201),
        ("PUT", "/v1/marketplaces/A".to_owned(), &root, 422),
    ] {
        let (got, body) = shop.call(method, &path, key).await;
        assert_eq!(got, status, "{method} {path} {key}: {body}");
        if got >= 400 {
            let problem: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(problem["status"], status);
        }
    }
}

#[tokio::test]
async fn causes_are_not_told_apart() {
    let shop = shop().await;
    let analyst = format!("Bearer {}", shop.analyst);
    let settings = |id: &str| format!("/v1/marketplaces/{id}/settings");
    let others = shop.call("GET", &settings("b"), &analyst).await;
    assert_eq!(
        others,
        shop.call("GET", &settings("absent"), &analyst).await
    );
    assert_eq!(others, shop.call("GET", &settings("A"), &analyst).await);
    let none = shop.call("GET", &settings("a"), "").await;
    for key in ["Bearer wrong", "Token x", "Basic YTpi"] {
        assert_eq!(none, shop.call("GET", &settings("a"), key).await);
    }
}

#[tokio::test]
async fn a_revoked_key_ends_within_a_minute() {
    let shop = shop().await;
    let (path, key) = (
        "/v1/marketplaces/a/settings",
        format!("Bearer {}", shop.analyst),
    );
    assert_eq!(shop.call("GET", path, &key).await.0, 200);
    let a = MarketplaceId::new("a").unwrap();
    let store = shop.app.store();
    assert!(store.revoke_key(&a, &shop.analyst_id).await.unwrap());
    shop.now_ms.fetch_add(29_999, Ordering::Relaxed);
    assert_eq!(shop.call("GET", path, &key).await.0, 200);
    shop.now_ms.fetch_add(1, Ordering::Relaxed);
    assert_eq!(shop.call("GET", path, &key).await.0, 401);
}

#[tokio::test]
async fn a_webhook_brings_its_key_as_it_can() {
    let shop = shop().await;
    let path = "/v1/marketplaces/a/webhooks/sendgrid";
    let pair = format!("u:{}", shop.ingest);
    let basic = format!("Basic {}", base64(pair.as_bytes()));
    let in_url = format!("{path}?key={}", shop.ingest);
    for (path, key, status) in [
        (path, basic.as_str(), 200),
        (&in_url, "", 200),
        (&in_url, "Bearer wrong", 401),
        (&format!("{path}?key=wrong"), "", 401),
        // Of two keys none counts, wherever they stand. The key is the only parameter that the route knows.
        (&format!("{in_url}&key=x"), "", 401),
        (&format!("{in_url}&sign=x"), "", 422),
        (&in_url, basic.as_str(), 401),
        (path, "", 401),
    ] {
        assert_eq!(shop.call("POST", path, key).await.0, status, "{path} {key}");
    }
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let six = |chunk: &[u8]| {
        let bits = format!("{:0<6}", String::from_utf8_lossy(chunk));
        char::from(LETTERS[usize::from_str_radix(&bits, 2).unwrap()])
    };
    bits.as_bytes().chunks(6).map(six).collect()
}

#[tokio::test]
async fn an_answer_that_a_function_may_not_give_is_refused() {
    for (bytes, status) in [(0, 200), (99, 200), (100, 200), (101, 422)] {
        let answer = Response::new(Body::from(vec![b'x'; bytes]));
        let answer = answer::within(100, answer).await;
        assert_eq!(answer.status(), status, "{bytes}");
    }
}

/// A list in CSV of these parts, each with a row for each of its words. The part `busy` cannot be read.
async fn list_in_csv(parts: &str) -> Result<Response, Problem> {
    let part = |part: &str| match part {
        "busy" => Err(Problem::busy()),
        _ => Ok(part
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()),
    };
    let parts: Vec<_> = parts.split('|').map(part).collect();
    let table = Table::new(Style::default(), ["h"]);
    table
        .streamed("list.csv", stream::iter(parts), |word| {
            vec![Cell::text(word)]
        })
        .await
}

#[tokio::test]
async fn a_list_is_sent_part_by_part_and_never_a_part_of_it_as_the_whole() {
    let long = "x".repeat(999);
    let two = format!("{long}|{long}");
    for (parts, whole, on_lambda) in [
        ("", Ok("h\n".to_owned()), 200),
        ("a b", Ok("h\na\nb\n".to_owned()), 200),
        ("a|b||c", Ok("h\na\nb\nc\n".to_owned()), 200),
        (&two, Ok(format!("h\n{long}\n{long}\n")), 422),
        // What comes behind is not read any more.
        (&format!("{two}|busy"), Err(200), 422),
        ("a|busy", Err(200), 503),
        ("busy", Err(503), 503),
    ] {
        let sent = match list_in_csv(parts).await {
            Ok(answer) => match answer.into_body().collect().await {
                Ok(body) => Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap()),
                Err(_) => Err(200),
            },
            Err(problem) => Err(problem.status().as_u16()),
        };
        assert_eq!(sent, whole, "{parts}");
        let answer = list_in_csv(parts)
            .await
            .unwrap_or_else(Problem::into_response);
        let answer = answer::within(1_500, answer).await;
        assert_eq!(answer.status(), on_lambda, "{parts}");
    }
}

#[tokio::test]
async fn ids_in_paths_are_decoded_after_the_path_is_cut() {
    let shop = shop().await;
    let key = format!("Bearer {}", shop.admin);
    let long = "x".repeat(129);
    for (method, segment, status, told) in [
        ("GET", "a%2Fb%2523%C3%BC", 200, "{\"id\":\"a/b%23ü\"}"),
        ("PUT", "a%2Fb%2523%C3%BC", 201, "{\"id\":\"a/b%23ü\"}"),
        ("GET", "a+b", 200, "{\"id\":\"a+b\"}"),
        ("GET", "%F0%9F%A6%80%20", 200, "{\"id\":\"🦀 \"}"),
        ("GET", "a%00", 404, "control"),
        ("GET", "%FF", 404, "nothing has this id"),
        ("GET", &long, 404, "at most 128"),
        ("PUT", &long, 422, "\"code\":\"bad_id\""),
    ] {
        let path = format!("/v1/marketplaces/a/campaigns/{segment}");
        let (got, body) = shop.call(method, &path, &key).await;
        assert_eq!(got, status, "{path}");
        assert!(body.contains(told), "{path}: {body}");
    }
}

#[tokio::test]
async fn problems_leave_as_problem_json() {
    let shop = shop().await;
    let key = format!("Bearer {}", shop.admin);
    for (path, method, header, value) in [
        ("/settings", "DELETE", "allow", "GET, HEAD, PUT"),
        ("/fails/busy", "GET", "retry-after", "1"),
        ("/fails/refused", "GET", "cache-control", "no-store"),
        (
            "/fails/panic",
            "GET",
            "content-type",
            "application/problem+json",
        ),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/marketplaces/a{path}"))
            .header(AUTHORIZATION, &key);
        let (parts, body) = shop.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(parts.headers[header], value, "{path}");
        assert_eq!(parts.headers[CONTENT_TYPE], "application/problem+json");
        assert!(
            !body.contains("secret") && !body.contains("on purpose"),
            "{body}"
        );
    }
    let (status, body) = shop
        .call("GET", "/v1/marketplaces/a/fails/conflict", &key)
        .await;
    let told = "two promotions have it";
    let expected = json!({
        "type": "/docs#problem-ambiguous_code", "title": "Several promotions have this code", "status": 409, "detail": told,
        "errors": [{"field": null, "code": "ambiguous_code", "detail": told}], "errors_total": 1,
    });
    assert_eq!(
        (status, serde_json::from_str(&body).unwrap()),
        (409, expected)
    );
    let (parts, _) = shop
        .send(
            Request::get("/v1/marketplaces")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(parts.headers["www-authenticate"], "Bearer");
    assert!(parts.headers.get(ALLOW).is_none());
}

#[tokio::test]
async fn intake_bodies() {
    let shop = shop().await;
    let (one, lines) = ("application/json", "application/x-ndjson");
    let full = format!("[{}]", vec!["{\"id\":\"x\"}"; 1000].join(","));
    let over = format!("[{}]", vec!["{\"id\":\"x\"}"; 1001].join(","));
    let over_lines = "{\"id\":\"x\"}\n".repeat(1001);
    // The rejected records, as (index, code).
    type Rejected = &'static [(usize, &'static str)];
    let took = |accepted: usize, duplicates: usize, rejected: Rejected| {
        Some((accepted, duplicates, rejected))
    };
    for (media, body, status, counts) in [
        (one, "{\"id\":\"x\"}", 202, took(1, 0, &[])),
        ("", " \n{\"id\":\"x\"}\n", 202, took(1, 0, &[])),
        (
            "Application/JSON; charset=utf-8",
            "\u{feff}{\"id\":\"x\"}",
            202,
            took(1, 0, &[]),
        ),
        (one, "[]", 202, took(0, 0, &[])),
        (
            one,
            "[{\"id\":\"x\"},{\"id\":\"again\"},7,{},{\"id\":1}]",
            202,
            took(
                1,
                1,
                &[(2, "wrong_type"), (3, "missing"), (4, "wrong_type")],
            ),
        ),
        (one, "[null]", 422, took(0, 0, &[(0, "wrong_type")])),
        (one, "{}", 422, took(0, 0, &[(0, "missing")])),
        (one, &full, 202, took(1000, 0, &[])),
        (one, &over, 413, None),
        (one, "", 400, None),
        (one, "{\"id\":", 400, None),
        (one, "[{\"id\":\"x\"},]", 400, None),
        (one, "{\"id\":\"x\"}{\"id\":\"y\"}", 400, None),
        (one, "7", 400, None),
        (one, "\"x\"", 400, None),
        (lines, "", 202, took(0, 0, &[])),
        (lines, "\r\n \n", 202, took(0, 0, &[])),
        (
            lines,
            "\u{feff}{\"id\":\"x\"}\r\n\r\n{\"id\":\"y\"}",
            202,
            took(2, 0, &[]),
        ),
        (
            lines,
            "{\"id\":\"x\"}\noops\n{\"id\":\n[{}]\n[1\n{\"id\":\"x\"} 7",
            202,
            took(
                1,
                0,
                &[
                    (1, "not_json"),
                    (2, "not_json"),
                    (3, "wrong_type"),
                    (4, "not_json"),
                    (5, "not_json"),
                ],
            ),
        ),
        (lines, "oops", 422, took(0, 0, &[(0, "not_json")])),
        (lines, &over_lines, 413, None),
        ("text/csv", "id\nx", 415, None),
        ("application/x-www-form-urlencoded", "{}", 415, None),
    ] {
        let shown = &body[..body.len().min(60)];
        let (got, answer) = shop
            .post("/v1/marketplaces/a/events", media, body.to_owned())
            .await;
        assert_eq!(got, status, "{shown}: {answer}");
        let Some((accepted, duplicates, rejected)) = counts else {
            assert_eq!(answer["status"], status);
            continue;
        };
        assert_eq!(
            (&answer["accepted"], &answer["duplicates"]),
            (&json!(accepted), &json!(duplicates)),
            "{shown}"
        );
        let told = answer["rejected"].as_array().unwrap().iter();
        let told: Vec<_> = told
            .map(|r| {
                (
                    r["index"].as_u64().unwrap() as usize,
                    r["code"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(told, rejected, "{shown}");
        assert!(answer.get("quarantined").is_none());
    }
    let (status, _) = shop
        .post("/v1/marketplaces/a/events", one, vec![b'"', 0xff, b'"'])
        .await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn bodies_of_one_object() {
    let shop = shop().await;
    for (media, body, status) in [
        ("", "", 202),
        ("application/json", "{\"verify\":\"all\"}", 202),
        ("application/x-ndjson", "{\"verify\":\"all\"}\n", 202),
        ("application/json", "[{}]", 400),
        ("application/json", " ", 400),
        ("text/plain", "{}", 415),
    ] {
        let (got, answer) = shop
            .post("/v1/marketplaces/a/runs", media, body.to_owned())
            .await;
        assert_eq!(got, status, "{media} {body}: {answer}");
    }
}

#[tokio::test]
async fn a_body_has_at_most_4_mib() {
    let shop = shop().await;
    let padded = |bytes: usize| {
        let mut body = "{\"id\":\"x\"}".to_owned();
        body.push_str(&" ".repeat(bytes - body.len()));
        body
    };
    for (bytes, media, status) in [
        (BODY_BYTES_MAX, "", 202),
        (BODY_BYTES_MAX + 1, "", 413),
        // 413 comes before 415.
        (BODY_BYTES_MAX + 1, "text/plain", 413),
        (BODY_BYTES_MAX, "text/plain", 415),
    ] {
        let (got, _) = shop
            .post("/v1/marketplaces/a/events", media, padded(bytes))
            .await;
        assert_eq!(got, status, "{bytes} {media}");
    }
    let declared = Request::post("/v1/marketplaces/a/events")
        .header(AUTHORIZATION, format!("Bearer {}", shop.admin))
        .header(CONTENT_LENGTH, "99999999999");
    let (parts, _) = shop.send(declared.body(Body::empty()).unwrap()).await;
    assert_eq!(parts.status, 413);
}

#[test]
fn an_intake_counts_its_quarantine_and_sorts_its_rejections() {
    let problem = || revtrail_core::record::RecordProblem::whole(Code::Conflict, "differs");
    let mut intake = Intake::with_quarantine();
    intake.quarantined = Some(1);
    intake.reject(4, problem());
    intake.reject(2, problem());
    assert_eq!(intake.rejected(), 2);
    let text = serde_json::to_value(&intake).unwrap();
    assert_eq!(text["quarantined"], 1);
    assert_eq!(intake.answer().status(), 202);
}

#[tokio::test]
#[should_panic(expected = "GET /healthz is there twice")]
async fn a_route_is_not_written_twice() {
    let shop = shop().await;
    let twice = routes().into_iter().chain(routes()).collect();
    drop(router(twice, shop.app.clone()));
}

#[tokio::test]
async fn a_marketplace_that_asks_too_much_is_told_to_wait() {
    let shop = shop().await;
    let root = format!("Bearer {ROOT}");
    let ask = |path: &str| {
        let request = Request::get(path).header(AUTHORIZATION, &root);
        let request = request.body(Body::empty()).unwrap();
        Box::pin(shop.router.clone().oneshot(request))
    };
    let mut asked: Vec<_> = (0..128).map(|_| ask("/v1/marketplaces/a/waits")).collect();
    for call in &mut asked {
        assert!(futures_util::FutureExt::now_or_never(call).is_none());
    }
    let refused = ask("/v1/marketplaces/a/waits").await.unwrap();
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (
            StatusCode::TOO_MANY_REQUESTS,
            &"1".parse::<http::HeaderValue>().unwrap()
        )
    );
    // Its other calls pass, and so do those of others.
    assert_eq!(
        ask("/v1/marketplaces/a/settings").await.unwrap().status(),
        200
    );
    let mut other = ask("/v1/marketplaces/b/waits");
    assert!(futures_util::FutureExt::now_or_never(&mut other).is_none());
    drop(asked);
    assert!(futures_util::FutureExt::now_or_never(&mut ask("/v1/marketplaces/a/waits")).is_none());
}

/// Bodies that come slowly keep none of the few places of calls that compute for long.
#[tokio::test]
async fn whoever_sends_slowly_keeps_nobody_waiting() {
    let shop = shop().await;
    let root = format!("Bearer {ROOT}");
    let call = |path: &str, body: Body| {
        let request = Request::post(path).header(AUTHORIZATION, &root);
        Box::pin(shop.router.clone().oneshot(request.body(body).unwrap()))
    };
    let never = || Body::from_stream(stream::pending::<Result<String, std::io::Error>>());
    let mut slow: Vec<_> = ["/tries", "/events"]
        .iter()
        .flat_map(|path| [*path; 3])
        .map(|path| call(&format!("/v1/marketplaces/a{path}"), never()))
        .collect();
    for call in &mut slow {
        assert!(futures_util::FutureExt::now_or_never(call).is_none());
    }
    let large = format!("[]{}", " ".repeat(100_000));
    for (path, body) in [("/tries", String::new()), ("/events", large)] {
        let path = format!("/v1/marketplaces/a{path}");
        let answer = call(&path, body.into()).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
    }
}
