//! Random worlds of promotions over HTTP: every call is answered as the second implementation answers it, every row stands after
//! every call as it stands there, and in the end so does everything else.

use std::collections::BTreeSet;

use http::Method;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_oracle::naive_promotions::{Answer, Call, Market};
use revtrail_oracle::promotion_worlds::Teller;
use revtrail_oracle::worlds::{NOW_MS, Rng};
use serde_json::{Value, json};

use crate::support::fixtures::{segment, with};
use crate::support::promotion_lists::{
    all, dashboard, part, promotion, redemptions, rows, upload, vouchers,
};
use crate::support::service::{ADMIN, Service, block_on};
use crate::support::tier::{seeds, spread};

/// How many worlds, of a share and of all; `REVTRAIL_PROMOTION_WORLDS` asks for others, `REVTRAIL_FROM` for the first seed,
/// `REVTRAIL_SEED` for one.
const WORLDS: [u64; 2] = [40, 200];

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

async fn check_rows(service: &Service, market: &Market, page: usize) {
    let expected = market.rows();
    let shown = rows(service, page).await;
    let ids = |rows: &[Value]| -> Vec<Value> {
        rows.iter().map(|row| row["promotion_id"].clone()).collect()
    };
    assert_eq!(ids(&shown), ids(&expected));
    for (shown, expected) in shown.iter().zip(&expected) {
        assert_eq!(part(shown, expected), *expected);
    }
}

async fn check_all(service: &Service, market: &Market) {
    check_rows(service, market, 1).await;
    for id in market.promotions() {
        assert_eq!(dashboard(service, id).await, market.dashboard(id), "{id}");
        let history = redemptions(service, id, 3).await;
        assert_eq!(history, market.redemptions(id), "history of {id}");
        assert_eq!(
            vouchers(service, id, 2).await,
            market.vouchers(id),
            "vouchers of {id}"
        );
        let published = all(service, &promotion(id, "/publications"), "items", 2).await;
        let published: BTreeSet<String> = published
            .iter()
            .map(|item| item["assignment_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(published, market.publications(id), "publications of {id}");
        let distributed = all(service, &promotion(id, "/distributions"), "items", 2).await;
        assert_eq!(
            distributed.len(),
            market.distributions(id).len(),
            "{distributed:?}"
        );
    }
    let waiting = all(service, &format!("{MARKET}/quarantine"), "items", 2).await;
    let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
    let waiting: BTreeSet<String> = waiting.iter().map(id).collect();
    assert_eq!(
        waiting,
        market.quarantine().into_iter().collect(),
        "quarantine"
    );
    // And what is stored is what it is made of.
    let verified = service.run_with("m", &json!({"verify": "all"})).await;
    assert_eq!(verified["verify"]["differences"], 0, "{verified}");
}

/// Makes a call and holds what follows against what follows there. With `files`, reported redemptions come as a file.
async fn make(
    service: &Service,
    now: i64,
    call: &Call,
    answer: &Answer,
    market: &Market,
    files: bool,
) {
    service.set_now(Instant::from_ms(now));
    match call {
        Call::Redemptions(records) if files => take_in(service, now, records, &answer.1).await,
        _ => {
            let (method, path, body) = request(call);
            let (status, told) = service.call_as(ADMIN, method, &path, Some(&body)).await;
            check(call, status.as_u16(), &told, answer);
        }
    }
    // Facts show at once. Settings that are saved before the time of a fact, or instead of others, move what stands with the next run.
    if matches!(call, Call::Settings(_)) {
        service.run("m").await;
    }
    check_rows(service, market, 1_000).await;
}

/// Takes in redemptions as a file; its rows are counted as those of a call are, and rejected for the same.
async fn take_in(service: &Service, now: i64, records: &[Value], expected: &Value) {
    let lines: Vec<String> = records.iter().map(Value::to_string).collect();
    let batch = upload(service, &format!("{now}.jsonl"), &lines.join("\n")).await;
    for name in ["accepted", "duplicates", "quarantined"] {
        assert_eq!(batch[name], expected[name], "{name} of {lines:?}: {batch}");
    }
    let rejected = expected["rejected"].as_array().unwrap().iter();
    let codes: Vec<Value> = rejected.map(|entry| entry["code"].clone()).collect();
    assert_eq!(batch["codes"], json!(codes), "{lines:?}: {batch}");
    assert_eq!(
        (&batch["rejected"], &batch["rows"]),
        (&json!(codes.len()), &json!(records.len()))
    );
}

async fn play(seed: u64) {
    let mut world = Teller::new(seed);
    let start = Instant::from_ms(world.start());
    let service = Service::with(&start.to_string(), Retention::DEFAULT).await;
    service.make("m", &world.settings).await;
    // When the attributor runs changes nothing here.
    let mut dice = Rng::new(seed);
    while let Some(step) = world.draw() {
        make(
            &service,
            step.now,
            &step.call,
            &step.answer,
            &world.market,
            seed % 4 == 3,
        )
        .await;
        if dice.chance(5) {
            service.run("m").await;
        }
    }
    check_all(&service, &world.market).await;
}

#[test]
fn worlds_of_promotions_equal_the_second_implementation() {
    let [share, all] = WORLDS;
    let seeds: Vec<u64> = seeds("REVTRAIL_PROMOTION_WORLDS", share, all).collect();
    let replay =
        |seed: &u64| format!("REVTRAIL_SEED={seed} cargo t --test it http::promotion_worlds");
    let played = spread(&seeds, replay, |seed| block_on(play(*seed)));
    println!("worlds of promotions over HTTP: {}", played.len());
}

/// A settings object with this zone and that currency.
fn settings(zone: &str, currency: Value) -> Value {
    json!({
        "enabled": true, "link": true, "timezone": zone, "currency": currency, "channels": {}, "winner": "last_sent",
        "supersede": "none", "excluded_tags": [], "counted_statuses": ["COMPLETE"], "refunds": "net", "machine_events": "ignore",
    })
}

fn at(ms: i64) -> Value {
    json!(Instant::from_ms(ms).to_string())
}

fn order(id: &str, placed_ms: i64) -> Value {
    json!({
        "order_id": id, "customer_id": "c", "status": "COMPLETE", "total": "30.00", "currency": "USD", "placed_at": at(placed_ms),
    })
}

fn reported(id: &str, more: &Value) -> Value {
    with(
        json!({"redemption_id": id, "promotion_id": "p", "customer_id": "c"}),
        more,
    )
}

fn assigned(id: &str, customer: &str, more: &Value) -> Value {
    with(
        json!({"assignment_id": id, "promotion_id": "p", "customer_id": customer}),
        more,
    )
}

/// What went wrong once, or what worlds hardly meet: a name, and calls with the minutes at which they are made.
fn cases() -> Vec<(&'static str, Vec<(i64, Call)>)> {
    let minute = |minutes: i64| NOW_MS + minutes * 60_000;
    let p = || "p".to_owned();
    let put = |more: Value| {
        let body = json!({"name": "P", "kind": "global", "tracking_from": at(minute(-1_000))});
        Call::Promotion(p(), with(body, &more))
    };
    let first = || (0, Call::Orders(vec![order("~first", minute(0))]));
    let report = |id: &str, more: Value| Call::Redemptions(vec![reported(id, &more)]);
    let redeem = |named: Option<&str>, id: &str| {
        let body = json!({"redemption_id": id, "customer_id": "c"});
        Call::Redeem(named.map(str::to_owned), "C".to_owned(), body)
    };
    let back = |id: &str, rollback: &str, reason: &str| {
        let body = json!({"rollback_id": rollback, "reason": reason});
        Call::Rollback(id.to_owned(), body)
    };
    let code = |id: &str| Call::Vouchers(id.to_owned(), vec!["C".to_owned()], Some(2));
    let event = |id: &str, kind: &str, more: Value| {
        let event = json!({
            "event_id": id, "kind": kind, "channel": "email", "campaign_id": "mail", "customer_id": "c", "message_id": "1",
            "occurred_at": at(minute(0)),
        });
        Call::Events(vec![with(event, &more)])
    };
    let with_code = || json!({"promotion_id": "p", "voucher_code": "C"});
    let zone = |zone: &str| Call::Settings(settings(zone, Value::Null));
    vec![
        (
            "two redemptions of one call name the same order",
            vec![
                first(),
                (0, put(json!({}))),
                (
                    1,
                    Call::Redemptions(vec![
                        reported("r1", &json!({"order_id": "~first"})),
                        reported("r2", &json!({"order_id": "~first"})),
                    ]),
                ),
            ],
        ),
        (
            "two that wait name the same order",
            vec![
                (0, report("r1", json!({"order_id": "o"}))),
                (0, report("r2", json!({"order_id": "o"}))),
                (1, put(json!({}))),
                (2, Call::Orders(vec![order("o", minute(0))])),
            ],
        ),
        (
            "one that waits has an id that looks like the key of an assignment",
            vec![(0, report("x/f/a/y", json!({}))), (1, put(json!({})))],
        ),
        (
            "a rollback's id is one in the marketplace",
            vec![
                (0, put(json!({}))),
                (0, report("r1", json!({}))),
                (0, report("r2", json!({}))),
                (1, back("r1", "b", "x")),
                (2, back("r2", "b", "x")),
                (3, back("r1", "b", "x")),
                (4, back("r2", "c", "x")),
            ],
        ),
        (
            "what was asked for is reported, as it ended and otherwise",
            vec![
                (0, put(json!({"cap": 1}))),
                (0, code("p")),
                (1, redeem(Some("p"), "r1")),
                (1, redeem(Some("p"), "r2")),
                (2, report("r1", json!({"voucher_code": "C"}))),
                (3, report("r2", json!({"voucher_code": "C"}))),
                (
                    4,
                    report(
                        "r2",
                        json!({"voucher_code": "C", "result": "failure", "failure_code": "cap_reached"}),
                    ),
                ),
                (5, redeem(Some("p"), "r2")),
            ],
        ),
        (
            "what was reported is asked for",
            vec![
                (0, put(json!({}))),
                (0, code("p")),
                (1, report("r1", json!({"voucher_code": "C"}))),
                (2, redeem(Some("p"), "r1")),
                (3, redeem(None, "r1")),
                (
                    4,
                    report("r2", json!({"voucher_code": "C", "result": "failure"})),
                ),
                (5, redeem(Some("p"), "r2")),
            ],
        ),
        (
            "a code that becomes a voucher is not unknown any more",
            vec![
                (0, report("r1", json!({"voucher_code": "C"}))),
                (0, report("r2", json!({"voucher_code": "D"}))),
                (1, put(json!({}))),
                (2, code("p")),
            ],
        ),
        (
            "ids of the last characters there are",
            vec![
                (0, put(json!({}))),
                (
                    0,
                    Call::Vouchers(
                        p(),
                        ["a", "b", "\u{10ffff}"]
                            .map(|end| format!("\u{10ffff}{end}"))
                            .to_vec(),
                        None,
                    ),
                ),
                (
                    1,
                    Call::Assignments(vec![assigned(
                        "a",
                        "c",
                        &json!({"tier_id": "\u{10ffff}\u{10ffff}", "segment": "\u{10ffff}\u{10ffff}"}),
                    )]),
                ),
                (2, report("\u{10ffff}\u{10ffff}", json!({}))),
                (3, event("\u{10ffff}\u{10ffff}", "delivered", json!({}))),
                (4, event("e", "sent", with_code())),
            ],
        ),
        (
            "the first bad field is the one that is named",
            vec![
                (0, put(json!({}))),
                (
                    1,
                    report(
                        "r",
                        json!({"redeemed_at": at(minute(-1_001)), "reward_amount": "1"}),
                    ),
                ),
            ],
        ),
        (
            "a rollback has one content",
            vec![
                (0, put(json!({}))),
                (0, report("r", json!({}))),
                (1, back("r", "b", "came back")),
                (2, back("r", "b", "came back")),
                (3, back("r", "b", "another reason")),
                (4, back("r", "c", "came back")),
            ],
        ),
        (
            "an event without the code says what became of the message",
            vec![
                (0, put(json!({}))),
                (0, event("e1", "sent", with_code())),
                (1, event("e2", "delivered", json!({}))),
            ],
        ),
        (
            "the event that carries the code comes last",
            vec![
                (0, put(json!({}))),
                (0, event("e1", "bounced", json!({}))),
                (1, event("e2", "sent", with_code())),
            ],
        ),
        (
            "a message is of a promotion that is told of later",
            vec![
                (0, event("e1", "delivered", with_code())),
                (1, put(json!({}))),
            ],
        ),
        (
            "a code that became ambiguous is answered as it was",
            vec![
                (0, put(json!({}))),
                (0, code("p")),
                (1, redeem(None, "x")),
                (
                    2,
                    Call::Promotion("q".to_owned(), json!({"name": "Q", "kind": "global"})),
                ),
                (2, code("q")),
                (3, redeem(None, "x")),
                (4, redeem(None, "y")),
                (5, redeem(Some("p"), "x")),
            ],
        ),
        (
            "an order ahead of the clock counts under the settings that are saved before its time",
            vec![
                first(),
                (0, put(json!({}))),
                (0, report("r", json!({"order_id": "o"}))),
                (1, Call::Orders(vec![order("o", minute(10))])),
                (2, Call::Settings(settings("UTC", json!("EUR")))),
            ],
        ),
        (
            "a redemption ahead of the clock is of the day in the zone that is saved before its time",
            vec![
                first(),
                (0, put(json!({}))),
                (1, report("r", json!({"redeemed_at": at(minute(10))}))),
                (2, zone("Pacific/Kiritimati")),
            ],
        ),
        (
            "before the first order a zone replaces the one before, for all days",
            vec![
                (0, put(json!({}))),
                (1, report("r", json!({"redeemed_at": at(minute(0))}))),
                (2, zone("Pacific/Kiritimati")),
            ],
        ),
        (
            "a limit for a code without one counts what was used",
            vec![
                (
                    0,
                    put(json!({"type": "amount", "value": "5.00", "currency": "EUR"})),
                ),
                (0, Call::Vouchers(p(), vec!["C".to_owned()], None)),
                (1, report("r", json!({"voucher_code": "C"}))),
                (2, Call::Voucher(p(), "C".to_owned(), false, Some(2))),
                (3, redeem(Some("p"), "x1")),
                (3, redeem(Some("p"), "x2")),
            ],
        ),
        (
            "a limit that changes twice counts what was used before the first",
            vec![
                (0, put(json!({}))),
                (0, Call::Vouchers(p(), vec!["C".to_owned()], None)),
                (1, report("r1", json!({"voucher_code": "C"}))),
                (1, report("r2", json!({"voucher_code": "C"}))),
                (2, Call::Voucher(p(), "C".to_owned(), false, Some(3))),
                (3, Call::Voucher(p(), "C".to_owned(), false, Some(4))),
                (4, redeem(Some("p"), "x1")),
                (4, redeem(Some("p"), "x2")),
                (4, redeem(Some("p"), "x3")),
            ],
        ),
        (
            "a limit for a code without one, in one call with others",
            vec![
                (0, put(json!({}))),
                (
                    0,
                    Call::Vouchers(p(), vec!["C".to_owned(), "D".to_owned()], None),
                ),
                (
                    1,
                    Call::Redemptions(vec![
                        reported("r1", &json!({"voucher_code": "C"})),
                        reported("r2", &json!({"voucher_code": "D"})),
                    ]),
                ),
                (2, Call::Voucher(p(), "C".to_owned(), false, Some(2))),
            ],
        ),
        (
            "a limit becomes a pool, and none again, and one of a disabled code",
            vec![
                (
                    0,
                    put(json!({"type": "amount", "value": "5.00", "currency": "EUR"})),
                ),
                (0, code("p")),
                (1, redeem(Some("p"), "x1")),
                (2, Call::Voucher(p(), "C".to_owned(), false, Some(200))),
                (3, redeem(Some("p"), "x2")),
                (3, report("r1", json!({"voucher_code": "C"}))),
                (4, Call::Voucher(p(), "C".to_owned(), false, Some(4))),
                (5, redeem(Some("p"), "x3")),
                (5, redeem(Some("p"), "x4")),
                (6, back("x1", "b1", "")),
                (7, Call::Voucher(p(), "C".to_owned(), true, Some(150))),
                (8, redeem(Some("p"), "x5")),
                (9, Call::Voucher(p(), "C".to_owned(), false, Some(4))),
                (9, redeem(Some("p"), "x6")),
                (9, redeem(Some("p"), "x7")),
            ],
        ),
        (
            "a code that was used and given back before it is a voucher",
            vec![
                (0, put(json!({}))),
                (1, report("r1", json!({"voucher_code": "C"}))),
                (1, report("r2", json!({"voucher_code": "C"}))),
                (2, back("r1", "b1", "")),
                (3, Call::Vouchers(p(), vec!["C".to_owned()], Some(120))),
                (4, redeem(Some("p"), "x1")),
                (5, back("r2", "b2", "")),
            ],
        ),
        (
            "a cap that comes, grows to a pool, goes, and comes again",
            vec![
                (0, put(json!({}))),
                (0, Call::Vouchers(p(), vec!["C".to_owned()], None)),
                (1, redeem(Some("p"), "x1")),
                (2, put(json!({"cap": 2}))),
                (3, redeem(Some("p"), "x2")),
                (3, redeem(Some("p"), "x3")),
                (4, put(json!({"cap": 500}))),
                (5, redeem(Some("p"), "x4")),
                (6, put(json!({}))),
                (7, redeem(Some("p"), "x5")),
                (8, put(json!({"cap": 5}))),
                (9, redeem(Some("p"), "x6")),
                (9, redeem(Some("p"), "x7")),
                (10, back("x1", "b1", "")),
                (11, redeem(Some("p"), "x8")),
            ],
        ),
        (
            "a budget of another currency has been spent before",
            vec![
                (
                    0,
                    put(json!({"budget": {"amount": "10", "currency": "EUR"}})),
                ),
                (
                    1,
                    report("r1", json!({"reward_amount": "4", "currency": "EUR"})),
                ),
                (
                    1,
                    report("r2", json!({"reward_amount": "7.50", "currency": "USD"})),
                ),
                (
                    2,
                    put(json!({"budget": {"amount": "10", "currency": "USD"}})),
                ),
                (3, report("r3", json!({"reward_amount": "2.51"}))),
                (4, put(json!({"currency": "JPY"}))),
                (5, report("r4", json!({"reward_amount": "100"}))),
                (
                    6,
                    put(json!({"budget": {"amount": "1000", "currency": "EUR"}})),
                ),
                (7, back("r1", "b1", "")),
            ],
        ),
        (
            "an assignment that fails is none, and one that is named may be of another",
            vec![
                (0, put(json!({}))),
                (
                    1,
                    Call::Assignments(vec![
                        assigned(
                            "a1",
                            "c",
                            &json!({"result": "failure", "voucher_code": "C"}),
                        ),
                        assigned("a2", "d", &json!({"voucher_code": "D"})),
                    ]),
                ),
                (2, report("r1", json!({"voucher_code": "C"}))),
                (2, report("r2", json!({"voucher_code": "D"}))),
                (3, report("r3", json!({"assignment_id": "a2"}))),
                (
                    4,
                    Call::Assignments(vec![assigned("a3", "c", &json!({"voucher_code": "D"}))]),
                ),
                (5, back("r1", "b", "")),
            ],
        ),
        (
            "more is redeemed than there was, and taken back",
            vec![
                (
                    0,
                    put(
                        json!({"type": "amount", "value": "5", "currency": "EUR", "cap": 1, "budget": {"amount": "7", "currency": "EUR"}}),
                    ),
                ),
                (0, code("p")),
                (
                    1,
                    report("r1", json!({"voucher_code": "C", "reward_amount": "5"})),
                ),
                (
                    1,
                    report("r2", json!({"voucher_code": "C", "reward_amount": "5"})),
                ),
                (
                    1,
                    report("r3", json!({"voucher_code": "C", "reward_amount": "5"})),
                ),
                (2, redeem(Some("p"), "x1")),
                (3, back("r1", "b1", "")),
                (3, back("r2", "b2", "")),
                (4, redeem(Some("p"), "x2")),
                (5, back("r3", "b3", "")),
                (6, redeem(Some("p"), "x3")),
            ],
        ),
    ]
}

async fn play_case(calls: &[(i64, Call)], files: bool) {
    let first = settings("Pacific/Pago_Pago", Value::Null);
    let mut market = Market::new(first.clone());
    let service = Service::with(&Instant::from_ms(NOW_MS).to_string(), Retention::DEFAULT).await;
    service.make("m", &first).await;
    for (minutes, call) in calls {
        let now = NOW_MS + minutes * 60_000;
        let answer = market.tell(now, call);
        make(&service, now, call, &answer, &market, files).await;
    }
    service.run("m").await;
    check_all(&service, &market).await;
}

#[test]
fn cases_of_promotions_equal_the_second_implementation() {
    let mut failed = Vec::new();
    for (name, calls) in cases() {
        for files in [false, true] {
            let play = std::panic::AssertUnwindSafe(|| block_on(play_case(&calls, files)));
            if std::panic::catch_unwind(play).is_err() {
                failed.push((name, files));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// A customer whom a till sells everything to: the claim is full some day, and figures stay exact.
#[tokio::test]
async fn a_claim_that_is_full_is_counted_on() {
    let service = Service::with(&Instant::from_ms(NOW_MS).to_string(), Retention::DEFAULT).await;
    service.make("m", &settings("UTC", Value::Null)).await;
    let path = |rest: &str| format!("/v1/marketplaces/m/{rest}");
    let told = json!({"cap": 9_000, "budget": {"amount": "9000", "currency": "EUR"}});
    service.put(&path("promotions/p"), &told).await;
    let assigned = json!({"assignment_id": "a", "promotion_id": "p", "customer_id": "c"});
    service.post(&path("assignments"), &assigned).await;
    // Ids that no packing makes small, so that it is full the sooner.
    let mut rng = Rng::new(1);
    let mut ids = Vec::new();
    for _ in 0..5 {
        let mut call = Vec::new();
        for _ in 0..1_000 {
            let digits = (0..8).map(|_| format!("{:016x}", rng.next_u64()));
            ids.push(digits.collect::<String>());
            call.push(with(
                reported(ids.last().unwrap(), &json!({})),
                &json!({"reward_amount": "1", "currency": "EUR"}),
            ));
        }
        let (_, answer) = service.post(&path("redemptions"), &json!(call)).await;
        assert_eq!(answer["accepted"], 1_000, "{answer}");
    }
    for id in [&ids[0], &ids[4_999]] {
        let body = json!({"rollback_id": format!("b{}", &id[..9])});
        let (status, answer) = service
            .post(&path(&format!("redemptions/{id}/rollback")), &body)
            .await;
        assert_eq!(status, 200, "{answer}");
    }
    let late = json!({"assignment_id": "b", "promotion_id": "p", "customer_id": "c"});
    service.post(&path("assignments"), &late).await;
    let report = service.get(&path("reports/promotions")).await;
    let expected = json!({
        "assigned": 2, "redeemed": 1, "redemptions": 4_998, "redemption_rate": "0.5000",
        "budget": {"amount": "9000.00", "currency": "EUR", "spent": "4998.00", "usage": "0.5553"},
        "cap": {"limit": 9_000, "used": 4_998, "usage": "0.5553"}, "result": {"EUR": "-4998.00"},
    });
    assert_eq!(part(&report["promotions"][0], &expected), expected);
    let listed = all(&service, &promotion("p", "/redemptions"), "items", 1_000).await;
    assert_eq!(listed.len(), 5_000);
    let verified = service.run_with("m", &json!({"verify": "all"})).await;
    let expected = json!({"checked": 0, "differences": 0, "not_compared": ["promotion p: some records found a full account"]});
    assert_eq!(verified["verify"], expected);
}
