//! Random worlds of promotions over HTTP: every call is answered as the second implementation answers it, every row stands after
//! every call as it stands there, and in the end so does everything else.

use std::collections::BTreeSet;

use http::Method;
use revtrail_core::time::{Instant, Retention};
use revtrail_tests::naive_promotions::{Answer, Call};
use revtrail_tests::promotion_worlds::Teller;
use revtrail_tests::worlds::Rng;
use serde_json::{Value, json};

use crate::promotions::{all, dashboard, part, promotion, redemptions, rows, vouchers};
use crate::service::{ADMIN, Service, block_on};
use crate::worlds_http::segment;

/// How many worlds; `REVTRAIL_PROMOTION_WORLDS` asks for others, `REVTRAIL_FROM` for the first seed, `REVTRAIL_SEED` for one.
const WORLDS: usize = 200;

const MARKET: &str = "/v1/marketplaces/m";

/// What a call is over HTTP.
fn request(call: &Call) -> (Method, String, Value) {
    let put = |path, body: &Value| (Method::PUT, path, body.clone());
    let post = |what: &str, body: Value| (Method::POST, format!("{MARKET}/{what}"), body);
    match call {
        Call::Settings(body) => put(format!("{MARKET}/settings"), body),
        Call::Orders(records) => post("orders", json!(records)),
        Call::Events(records) => post("events", json!(records)),
        Call::Promotion(id, body) => put(promotion(id, ""), body),
        Call::Vouchers(id, codes, limit) => (
            Method::POST,
            promotion(id, "/vouchers"),
            json!({"codes": codes, "limit": limit}),
        ),
        Call::Voucher(id, code, disabled, limit) => (
            Method::PUT,
            promotion(id, &format!("/vouchers/{}", segment(code))),
            json!({"disabled": disabled, "limit": limit}),
        ),
        Call::Assignments(records) => post("assignments", json!(records)),
        // Where files are read, the same records come as one: its `result.json` is the answer, but for `rejected`.
        Call::Redemptions(records) => post("redemptions", json!(records)),
        Call::Redeem(Some(id), code, body) => (
            Method::POST,
            promotion(id, &format!("/vouchers/{}/redeem", segment(code))),
            body.clone(),
        ),
        Call::Redeem(None, code, body) => {
            post(&format!("vouchers/{}/redeem", segment(code)), body.clone())
        }
        Call::Rollback(id, body) => post(
            &format!("redemptions/{}/rollback", segment(id)),
            body.clone(),
        ),
    }
}

/// Holds an answer against the naive one; what that does not say may be anything.
fn check(call: &Call, status: u16, told: &Value, (expected, body): &Answer) {
    assert_eq!(status, *expected, "{call:?} is answered {told}");
    if let Some(code) = body.as_str() {
        assert!(told.to_string().contains(code), "no {code} in {told}");
        return;
    }
    for (name, value) in body.as_object().unwrap() {
        match name.as_str() {
            "rejected" => {
                let entry = |entry: &Value| {
                    [&entry["index"], &entry["code"], &entry["field"]].map(Value::clone)
                };
                let entries = |list: &Value| -> Vec<[Value; 3]> {
                    list.as_array().unwrap().iter().map(entry).collect()
                };
                assert_eq!(entries(&told[name]), entries(value), "{call:?}: {told}");
            }
            _ => assert_eq!(told[name], *value, "{name} after {call:?}: {told}"),
        }
    }
}

async fn check_rows(service: &Service, world: &Teller, page: usize) {
    let expected = world.market.rows();
    let shown = rows(service, page).await;
    let ids = |rows: &[Value]| -> Vec<Value> {
        rows.iter().map(|row| row["promotion_id"].clone()).collect()
    };
    assert_eq!(ids(&shown), ids(&expected));
    for (shown, expected) in shown.iter().zip(&expected) {
        assert_eq!(part(shown, expected), *expected);
    }
}

async fn check_all(service: &Service, world: &Teller) {
    check_rows(service, world, 1).await;
    for id in world.promotions() {
        assert_eq!(
            dashboard(service, id).await,
            world.market.dashboard(id),
            "{id}"
        );
        let history = redemptions(service, id, 3).await;
        assert_eq!(history, world.market.redemptions(id), "history of {id}");
        assert_eq!(
            vouchers(service, id, 2).await,
            world.market.vouchers(id),
            "vouchers of {id}"
        );
        let published = all(service, &promotion(id, "/publications"), "items", 2).await;
        let published: BTreeSet<String> = published
            .iter()
            .map(|item| item["assignment_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            published,
            world.market.publications(id),
            "publications of {id}"
        );
        let distributed = all(service, &promotion(id, "/distributions"), "items", 2).await;
        assert_eq!(
            distributed.len(),
            world.market.distributions(id).len(),
            "{distributed:?}"
        );
    }
    let waiting = all(service, &format!("{MARKET}/quarantine"), "items", 2).await;
    let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
    let waiting: BTreeSet<String> = waiting.iter().map(id).collect();
    assert_eq!(
        waiting,
        world.market.quarantine().into_iter().collect(),
        "quarantine"
    );
}

async fn play(seed: u64) {
    let mut world = Teller::new(seed);
    let start = Instant::from_ms(world.start());
    let service = Service::with(&start.to_string(), Retention::DEFAULT).await;
    service.make("m", &world.settings).await;
    // When the attributor runs changes nothing here.
    let mut dice = Rng::new(seed);
    while let Some(step) = world.next() {
        service.set_now(Instant::from_ms(step.now));
        let (method, path, body) = request(&step.call);
        let (status, told) = service.call_as(ADMIN, method, &path, Some(&body)).await;
        check(&step.call, status.as_u16(), &told, &step.answer);
        if dice.chance(5) {
            service.run("m").await;
        }
        check_rows(&service, &world, 1_000).await;
    }
    check_all(&service, &world).await;
}

#[test]
fn worlds_of_promotions_equal_the_second_implementation() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let count = number("REVTRAIL_PROMOTION_WORLDS").unwrap_or(WORLDS as u64);
    let from = number("REVTRAIL_FROM").unwrap_or(0);
    let seeds: Vec<u64> = match number("REVTRAIL_SEED") {
        Some(seed) => vec![seed],
        None => (from..from + count).collect(),
    };
    std::thread::scope(|scope| {
        for some in seeds.chunks(seeds.len().div_ceil(2)) {
            scope.spawn(move || {
                for &seed in some {
                    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| block_on(play(seed))));
                    assert!(outcome.is_ok(), "replay: REVTRAIL_SEED={seed} cargo test -p revtrail-tests --test it promotions_http");
                }
            });
        }
    });
    println!("worlds of promotions over HTTP: {}", seeds.len());
}
