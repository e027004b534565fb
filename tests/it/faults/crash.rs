//! Crash points: every call that a handler makes to the table fails once, in every way that such a call can fail; the caller tries
//! again, the attributor ticks twice, and the table holds what it holds where nothing failed. What was answered with 202 is there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};

use hourly_attributor::{Attributor, AttributorError, JobLimits};
use http::Method;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::Store;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::market::access::{Marketplace, Role};
use revtrail_store::table::embedded::Embedded;
use serde_json::{Value, json};

use crate::support::fault_client::{Call, Fault, FaultClient};
use crate::support::fixtures::{NOW, assert_part, events, order, with};
use crate::support::invariants::{assert_same, held};
use crate::support::promotion_lists::shown;
use crate::support::service::{Service, block_on};
use crate::support::tier::{fails, number, proves, share, spread};

const CUSTOMERS: [&str; 6] = ["ann", "bob", "cyd", "dee", "eve", "fay"];
const CAMPAIGNS: [&str; 3] = ["spring", "summer", "winter"];

/// What a caller does.
#[derive(Debug, Clone)]
enum Act {
    Call(Method, &'static str, Value),
    /// The same, and what it is told when it is done, however often it was tried.
    Told(&'static str, Value, Value),
    /// A tick, and all that follows from it.
    Tick,
    /// The same in jobs and batches of two.
    Small,
    /// The same where the time is up after every look at the clock but one.
    HandOver,
}

fn put(path: &'static str, body: Value) -> Act {
    Act::Call(Method::PUT, path, body)
}

fn bought(lines: &[&str]) -> Act {
    let records: Vec<Value> = lines.iter().map(|line| order(line)).collect();
    Act::Call(Method::POST, "/orders", json!(records))
}

fn seen(lines: &[&str]) -> Act {
    let records: Vec<Value> = lines.iter().flat_map(|line| events(line)).collect();
    Act::Call(Method::POST, "/events", json!(records))
}

/// Names, the least number of calls to the table, and what is done.
type Acts = Vec<(&'static str, usize, Act)>;

/// A life of a marketplace in which every handler has something to do, and something to do again; with the least number of
/// calls, so that none can drop out unnoticed.
fn life() -> Acts {
    let zone = |supersede: &str| {
        put(
            "/settings",
            json!({"timezone": "America/New_York", "supersede": supersede}),
        )
    };
    let summer = |body: Value| put("/campaigns/summer", body);
    vec![
        (
            "make",
            1,
            put(
                "",
                json!({"name": "m", "settings": {"timezone": "Europe/Dublin"}}),
            ),
        ),
        (
            "first events",
            6,
            seen(&[
                "spring email sent,delivered,opened ann 16T10:00",
                "spring email sent,clicked bob 16T10:00",
            ]),
        ),
        ("settings before the first order", 3, zone("marketplace")),
        ("refold", 12, Act::Tick),
        (
            "first orders",
            8,
            bought(&[
                "o1 ann COMPLETE 10.00 EUR 17T10:00 updated_at=17T10:00",
                "o2 bob PENDING 20.00 EUR 17T11:00 updated_at=17T11:00",
                "o3 cyd COMPLETE 40.00 EUR 18T11:00 updated_at=18T11:00",
            ]),
        ),
        ("tick", 12, Act::Tick),
        // Supersedes spring for o1's and o2's customers, who have no other new fact.
        (
            "a campaign heard of late",
            5,
            seen(&[
                "summer email sent dee 17T10:30",
                "summer email opened cyd 17T12:00",
            ]),
        ),
        ("tick that decides again", 15, Act::Tick),
        (
            "orders change",
            6,
            bought(&[
                "o2 bob COMPLETE 20.00 EUR 17T11:00 updated_at=18T11:00",
                // Sent with another customer: it is ann who has to be folded, whoever dies.
                "o1 zoe REFUNDED 10.00 EUR 17T10:00 updated_at=19T10:00",
                "o1 ann COMPLETE 10.00 EUR 17T10:00 updated_at=17T10:00",
            ]),
        ),
        (
            "a run is asked for",
            1,
            Act::Call(Method::POST, "/runs", json!({})),
        ),
        (
            "a campaign is sent later",
            3,
            summer(json!({"name": "Summer", "sent_at": "2026-11-17T11:30:00Z"})),
        ),
        (
            "more customers",
            8,
            bought(&[
                "o4 dee READY 1.00 USD 19T11:00",
                "o5 eve READY 2.00 EUR 19T11:00",
                "o6 fay READY 4.00 USD 19T12:00",
            ]),
        ),
        ("tick in small units", 15, Act::Small),
        ("settings", 4, zone("none")),
        (
            "clicks",
            4,
            seen(&[
                "winter email sent,clicked dee 18T10:00",
                "winter email sent,clicked fay 18T10:00",
                "winter email sent,clicked ann 17T09:00",
            ]),
        ),
        ("tick that is handed over", 15, Act::HandOver),
        (
            "a campaign is excluded",
            3,
            put(
                "/campaigns/spring",
                json!({"name": "Spring", "tags": ["technical"]}),
            ),
        ),
        (
            "tick that decides again and is handed over",
            10,
            Act::HandOver,
        ),
        (
            "a verification is asked for",
            1,
            Act::Call(Method::POST, "/runs", json!({"verify": "all"})),
        ),
        ("tick after it, handed over", 10, Act::HandOver),
        ("a new name", 2, put("", json!({"name": "n"}))),
    ]
}

/// Records of promotions: an id, a promotion, a customer, and more.
fn record(kind: &str, id: &str, promotion: &str, customer: &str, more: &Value) -> Value {
    let record = json!({kind: id, "promotion_id": promotion, "customer_id": customer});
    with(record, more)
}

/// A life of promotions: each of their handlers writes something new, something known, and something that meets a limit; limits
/// of one and limits that are pools.
fn promotions() -> Acts {
    let post = |path, body: Value| Act::Call(Method::POST, path, body);
    let assigned = |id: &str, promotion: &str, customer: &str, more: Value| {
        record("assignment_id", id, promotion, customer, &more)
    };
    let redeemed = |id: &str, promotion: &str, customer: &str, more: Value| {
        record("redemption_id", id, promotion, customer, &more)
    };
    let redeem = |path, id: &str, customer: &str, reason: Value| {
        let result = if reason.is_null() {
            "success"
        } else {
            "failure"
        };
        let body = json!({"redemption_id": id, "customer_id": customer, "reward_amount": "5.00"});
        let told = json!({"redemption_id": id, "result": result, "reason": reason});
        Act::Told(path, body, told)
    };
    let gift = |cap: u64, budget: &str| {
        let body = json!({
            "name": "Gift", "kind": "tiered", "type": "amount", "value": "5.00", "currency": "EUR", "cap": cap, "limit_per_customer": 2,
            "budget": {"amount": budget, "currency": "EUR"}, "tiers": [{"tier_id": "gold", "name": "Gold"}],
            "tracking_from": "2026-11-01T00:00:00Z", "validation_rules": [{"id": "v", "name": "v", "text": format!("up to {cap}")}],
        });
        put("/promotions/gift", body)
    };
    let message = |id: &str, kind: &str| {
        json!({
            "event_id": id, "kind": kind, "channel": "email", "campaign_id": "spring", "customer_id": "ann", "message_id": "1",
            "occurred_at": NOW, "promotion_id": "gift", "voucher_code": "ONE",
        })
    };
    vec![
        ("make", 1, put("", json!({"name": "m"}))),
        (
            "orders",
            3,
            bought(&[
                "o1 ann COMPLETE 10.00 EUR 17T10:00",
                "o2 bob PENDING 20.00 EUR 17T11:00",
            ]),
        ),
        (
            "redemptions that wait",
            2,
            post(
                "/redemptions",
                json!([
                    redeemed(
                        "w1",
                        "late",
                        "ann",
                        json!({"redeemed_at": "2026-11-18T10:00:00Z", "order_id": "o1"})
                    ),
                    redeemed(
                        "w2",
                        "late",
                        "bob",
                        json!({"voucher_code": "L", "assignment_id": "wa"})
                    ),
                    redeemed(
                        "w3",
                        "lat",
                        "cyd",
                        json!({"reward_amount": "1.00", "currency": "EUR"})
                    ),
                    redeemed("w4", "gitf", "dee", json!({"voucher_code": "TWO"})),
                ]),
            ),
        ),
        (
            "one that waits is mended, and waits again",
            2,
            post(
                "/redemptions",
                json!([redeemed(
                    "w3",
                    "late",
                    "cyd",
                    json!({"reward_amount": "2.00", "currency": "EUR"})
                )]),
            ),
        ),
        (
            "an assignment that waits",
            2,
            post(
                "/assignments",
                json!([assigned("wa", "late", "bob", json!({"voucher_code": "L"}))]),
            ),
        ),
        ("a promotion", 2, gift(150, "1000.00")),
        (
            "vouchers of one use",
            2,
            post(
                "/promotions/gift/vouchers",
                json!({"codes": ["ONE", "TWO", "OFF"], "limit": 1}),
            ),
        ),
        (
            "vouchers of many, and known ones",
            2,
            post(
                "/promotions/gift/vouchers",
                json!({"codes": ["ONE", "MANY"], "limit": 120}),
            ),
        ),
        (
            "assignments",
            3,
            post(
                "/assignments",
                json!([
                    assigned(
                        "a1",
                        "gift",
                        "ann",
                        json!({"tier_id": "gold", "segment": "vip", "voucher_code": "ONE"})
                    ),
                    assigned(
                        "a2",
                        "gift",
                        "bob",
                        json!({"result": "failure", "voucher_code": "TWO"})
                    ),
                    assigned("a3", "gift", "cyd", json!({})),
                    assigned("a3", "gift", "dee", json!({})),
                ]),
            ),
        ),
        (
            "redemptions",
            3,
            post(
                "/redemptions",
                json!([
                    redeemed(
                        "r1",
                        "gift",
                        "ann",
                        json!({"voucher_code": "ONE", "order_id": "o1", "reward_amount": "5.00"})
                    ),
                    redeemed(
                        "r2",
                        "gift",
                        "bob",
                        json!({"voucher_code": "TWO", "order_id": "o2", "reward_amount": "2.00"})
                    ),
                    redeemed(
                        "r3",
                        "gift",
                        "eve",
                        json!({"result": "failure", "failure_code": "no"})
                    ),
                    redeemed(
                        "r4",
                        "gift",
                        "fay",
                        json!({"voucher_code": "?", "assignment_id": "a9"})
                    ),
                    redeemed("r1", "gift", "ann", json!({"voucher_code": "MANY"})),
                ]),
            ),
        ),
        (
            "a redeem of a pool",
            3,
            redeem(
                "/promotions/gift/vouchers/MANY/redeem",
                "x1",
                "cyd",
                Value::Null,
            ),
        ),
        (
            "a redeem by code",
            3,
            redeem("/vouchers/MANY/redeem", "x2", "dee", Value::Null),
        ),
        (
            "a redeem of one",
            3,
            redeem(
                "/promotions/gift/vouchers/OFF/redeem",
                "x3",
                "cyd",
                Value::Null,
            ),
        ),
        (
            "a redeem that is refused",
            3,
            redeem(
                "/promotions/gift/vouchers/OFF/redeem",
                "x4",
                "eve",
                json!("limit_reached"),
            ),
        ),
        (
            "a rollback",
            3,
            Act::Told(
                "/redemptions/x3/rollback",
                json!({"rollback_id": "b1", "reason": "came back"}),
                json!({"redemption_id": "x3", "rollback_id": "b1", "result": "rolled_back"}),
            ),
        ),
        (
            "a redeem of what was given back",
            3,
            redeem(
                "/promotions/gift/vouchers/OFF/redeem",
                "x5",
                "eve",
                Value::Null,
            ),
        ),
        (
            "a redeem of a customer's last",
            3,
            redeem("/vouchers/MANY/redeem", "x7", "cyd", Value::Null),
        ),
        (
            "a redeem over the customer's limit",
            3,
            redeem(
                "/vouchers/MANY/redeem",
                "x8",
                "cyd",
                json!("customer_limit_reached"),
            ),
        ),
        (
            "one that waits is mended, and taken in",
            3,
            post(
                "/redemptions",
                json!([redeemed(
                    "w4",
                    "gift",
                    "dee",
                    json!({"voucher_code": "TWO", "order_id": "o1"})
                )]),
            ),
        ),
        (
            "an assignment that was named before",
            3,
            post(
                "/assignments",
                json!([assigned(
                    "a9",
                    "gift",
                    "fay",
                    json!({"assigned_at": "2026-11-16T10:00:00Z"})
                )]),
            ),
        ),
        (
            "the promotion that was waited for",
            4,
            put(
                "/promotions/late",
                json!({"name": "Late", "kind": "global"}),
            ),
        ),
        ("cap and budget while it runs", 3, gift(4, "12.00")),
        (
            "a redeem over the cap",
            3,
            redeem(
                "/promotions/gift/vouchers/MANY/redeem",
                "x6",
                "ann",
                json!("cap_reached"),
            ),
        ),
        (
            "a voucher that is disabled",
            2,
            put(
                "/promotions/gift/vouchers/MANY",
                json!({"disabled": true, "limit": 200}),
            ),
        ),
        (
            "orders that were named change",
            3,
            bought(&[
                "o2 bob COMPLETE 20.00 EUR 17T11:00 updated_at=18T11:00",
                "o1 zoe REFUNDED 10.00 EUR 17T10:00 updated_at=19T10:00",
            ]),
        ),
        (
            "messages with a code",
            3,
            post(
                "/events",
                json!([
                    message("e1", "sent"),
                    message("e2", "bounced"),
                    message("e3", "delivered")
                ]),
            ),
        ),
        ("tick", 5, Act::Tick),
    ]
}

fn now() -> Instant {
    Instant::parse(NOW).unwrap()
}

/// A service over the line, with nothing in memory: as after a crash.
fn service(line: &FaultClient, now: Instant) -> Service {
    Service::over(line, now)
}

/// Handles job messages and all that follow; the clock goes on by a millisecond at every look, and a job message has so many of them.
async fn drain(
    service: &Service,
    mut messages: Vec<JobMessage>,
    limits: JobLimits,
    looks: i64,
) -> Result<(), AttributorError> {
    let attributor = Attributor {
        limits,
        ..service.attributor()
    };
    let ms = AtomicI64::new(service.now().ms());
    let clock = || Instant::from_ms(ms.fetch_add(1, Ordering::SeqCst));
    for _ in 0..1_000 {
        let Some(message) = messages.pop() else {
            return Ok(());
        };
        let stop_at = Instant::from_ms(ms.load(Ordering::SeqCst)).plus_ms(looks);
        messages.extend(attributor.handle(&message, &clock, stop_at).await?);
    }
    panic!("it is handed over without an end");
}

/// A tick and all job messages that follow.
async fn attribute(
    service: &Service,
    limits: JobLimits,
    looks: i64,
) -> Result<(), AttributorError> {
    let messages = service.attributor().tick().await?;
    drain(service, messages, limits, looks).await
}

/// Does an act; true where it is known to be done.
async fn act(service: &Service, act: &Act) -> bool {
    let small = JobLimits {
        job_customers: 2,
        batch_customers: 2,
        shards: 3,
        ..JobLimits::DEFAULT
    };
    match act {
        Act::Call(method, path, body) => {
            let path = format!("/v1/marketplaces/m{path}");
            let done = service.done(method, &path, body).await;
            // A run that is asked for begins at once.
            let poked = service.poked();
            done && (poked.is_empty()
                || drain(service, poked, JobLimits::DEFAULT, i64::from(i32::MAX))
                    .await
                    .is_ok())
        }
        Act::Told(path, body, expected) => {
            let path = format!("/v1/marketplaces/m{path}");
            let (status, told) = service.post(&path, body).await;
            assert!(
                status.is_success() || status.is_server_error(),
                "{path}: {status} {told}"
            );
            if status.is_success() {
                assert_part(&path, &told, expected);
            }
            status.is_success()
        }
        Act::Tick => service.tick("m").await.is_ok(),
        Act::Small => attribute(service, small, i64::from(i32::MAX)).await.is_ok(),
        Act::HandOver => attribute(service, small, 2).await.is_ok(),
    }
}

/// Does an act until it is known to be done; after a failure with a process that remembers nothing. Each try meets the next of
/// the faults, and the last ones a line that works.
async fn insist(
    line: &FaultClient,
    now: Instant,
    one: &Act,
    faults: &mut VecDeque<(usize, Fault)>,
) {
    for _ in 0..4 {
        match faults.pop_front() {
            Some((call, fault)) => line.fail_at(call, fault),
            None => line.clear(),
        }
        if act(&service(line, now), one).await {
            return;
        }
    }
    panic!("{one:?} does not get through");
}

/// Where something goes wrong: in an act, at a call of it, how; and again at a call of what runs next.
type Point = (usize, Vec<(usize, Fault)>);

fn replay(at: usize) -> String {
    format!("REVTRAIL_ACT={at} cargo t --test it faults::crash")
}

/// What the table holds before each act, and after the last.
async fn states(acts: &Acts) -> Vec<Embedded> {
    let line = FaultClient::new();
    service(&line, now()).store.create_table().await.unwrap();
    let mut states = Vec::new();
    for (.., one) in acts {
        states.push(line.database.copy().unwrap());
        insist(&line, now(), one, &mut VecDeque::new()).await;
    }
    states
}

/// Plays an act from the state before it, with faults or without, and lets the attributor tick twice; says what is held then,
/// and which calls the act made.
async fn play(
    acts: &Acts,
    states: &[Embedded],
    at: usize,
    faults: &[(usize, Fault)],
    sends_again: bool,
) -> (Vec<String>, Vec<Call>) {
    // A stale read shows what stood before the act before.
    let stale = at > 0 && faults.iter().any(|(_, fault)| *fault == Fault::StaleRead);
    let mut line = FaultClient::over(states[at - usize::from(stale)].copy().unwrap());
    line.sends_again = sends_again;
    if stale {
        line.remember();
        insist(&line, now(), &acts[at - 1].2, &mut VecDeque::new()).await;
    }
    let faults = &mut VecDeque::from(faults.to_vec());
    insist(&line, now(), &acts[at].2, faults).await;
    let calls = line.calls();
    // The intake marker of a call that died is taken for one after a quarter of an hour.
    let later = now().plus_ms(20 * 60_000);
    insist(&line, later, &Act::Tick, faults).await;
    insist(&line, later, &Act::Tick, faults).await;
    let market = service(&line, later)
        .store
        .market(&MarketplaceId::new("m").unwrap(), Retention::DEFAULT);
    for run in market.runs().list(None, 100, later).await.unwrap().0 {
        assert!(
            run.verify.is_none_or(|found| found.differences == 0),
            "{run:?}"
        );
    }
    let mut held = held(&market, &CUSTOMERS, &CAMPAIGNS, later, false).await;
    line.clear();
    held.extend(shown(&service(&line, later)).await);
    (held, calls)
}

#[test]
fn every_crash_point_ends_in_the_same_figures() {
    every_point(&life(), false);
}

#[test]
fn every_crash_point_of_promotions_ends_in_the_same() {
    every_point(&promotions(), false);
}

/// What the SDK takes for a call to be sent again, though it is done.
const LEAVES_IT_DONE: [Fault; 2] = [Fault::AnswerLost, Fault::ErrorAfterCommit];

#[test]
fn what_the_sdk_sends_again_is_done_once() {
    every_point(&life(), true);
}

#[test]
fn what_the_sdk_sends_again_of_promotions_is_done_once() {
    every_point(&promotions(), true);
}

/// What the SDK sends again, since nothing of it is done: nobody hears of it.
const REFUSED: [Fault; 3] = [Fault::Throttled, Fault::Conflict, Fault::Met];

#[test]
fn what_is_refused_for_now_is_sent_again() {
    let (mut points, only) = (0, only());
    for acts in [life(), promotions()] {
        let states = block_on(states(&acts));
        let played: Vec<usize> = (0..acts.len())
            .filter(|at| only.is_none_or(|only| only == *at))
            .collect();
        let counts = spread(
            &played,
            |at| replay(*at),
            |&at| {
                let (name, _, one) = &acts[at];
                let play = |refused: Option<(usize, Fault)>| {
                    let mut line = FaultClient::over(states[at].copy().unwrap());
                    line.sends_again = true;
                    if let Some((call, fault)) = refused {
                        line.fail_at(call, fault);
                    }
                    let done = block_on(act(&service(&line, now()), one));
                    assert!(done, "act {at} ({name}): {refused:?}");
                    line.calls()
                };
                let calls = play(None);
                let mut points = 0;
                let failing = calls.iter().enumerate();
                for (call, seen) in failing.filter(|(call, _)| whole() || fails(at + call)) {
                    let mut faults = REFUSED.to_vec();
                    faults.retain(|fault| seen.takes(*fault));
                    for fault in share(&faults, at + call + call / 4, whole()) {
                        play(Some((call + 1, fault)));
                        points += 1;
                    }
                }
                points
            },
        );
        points += counts.iter().sum::<usize>();
    }
    println!("refusals: {points}");
    // A quarter of 500 calls, the least that both lives make.
    assert!(
        only.is_some() || points >= if fails(1) { 500 } else { 125 },
        "{points}"
    );
}

/// The one act that is asked for.
fn only() -> Option<usize> {
    number("REVTRAIL_ACT").map(|at| at as usize)
}

/// Whether every fault is played at a call; else one of them, in turn. An act that is asked for is played whole.
fn whole() -> bool {
    proves() || only().is_some() || number("REVTRAIL_PAIRS").is_some()
}

fn every_point(acts: &Acts, sends_again: bool) {
    let only = only();
    let states = block_on(states(acts));
    let all: Vec<usize> = (0..acts.len()).collect();
    let smooth = spread(
        &all,
        |at| replay(*at),
        |at| {
            let (held, calls) = block_on(play(acts, &states, *at, &[], sends_again));
            let (name, few, _) = &acts[*at];
            assert!(calls.len() >= *few, "{name} makes {} calls", calls.len());
            (held, calls)
        },
    );
    let mut points: Vec<Point> = Vec::new();
    let mut calls = 0;
    for (at, (_, made)) in smooth.iter().enumerate() {
        if only.is_some_and(|only| only != at) {
            continue;
        }
        let failing = made.iter().enumerate();
        for (n, call) in failing.filter(|(n, _)| whole() || fails(at + n)) {
            calls += 1;
            let faults = match sends_again {
                true => LEAVES_IT_DONE.to_vec(),
                false => call.faults(),
            };
            let faults = share(&faults, at + n + n / 4, whole());
            points.extend(faults.into_iter().map(|fault| (at, vec![(n + 1, fault)])));
        }
    }
    let mut what = "crash points";
    if number("REVTRAIL_PAIRS").is_some() {
        what = "pairs of crash points";
        let again = |(at, first): &Point| {
            let second = points
                .iter()
                .filter(|(other, _)| other == at)
                .map(|(_, second)| [&first[..], second].concat());
            second.map(|both| (*at, both)).collect::<Vec<Point>>()
        };
        points = points.iter().flat_map(again).collect();
    }
    spread(
        &points,
        |(at, faults)| format!("{} (act {at}, {}: {faults:?})", replay(*at), acts[*at].0),
        |(at, faults)| {
            let (held, _) = block_on(play(acts, &states, *at, faults, sends_again));
            assert_same(&held, &smooth[*at].0);
        },
    );
    println!("calls that fail: {calls}");
    println!("{what}: {}", points.len());
    assert!(points.len() >= calls, "{} at {calls} calls", points.len());
    // A quarter of 200 calls, the least that either life makes.
    assert!(
        only.is_some() || calls >= if fails(1) { 200 } else { 50 },
        "{calls} calls"
    );
}

/// What comes of a call when it fails, as its caller is told, and what stands then.
async fn told(before: &Embedded, operation: &str, fault: Fault) -> String {
    let line = FaultClient::over(before.copy().unwrap());
    let (store, id) = (line.store(), MarketplaceId::new("m").unwrap());
    let marketplace = |name: &str| Marketplace {
        marketplace_id: id.clone(),
        name: name.to_owned(),
        created_at: now(),
    };
    let market = |store: &Store| store.market(&id, Retention::DEFAULT);
    line.fail_at(1, fault);
    let told = match operation {
        "GetItem" => store.marketplace(&id).await.map(|_| ()),
        "Query" => store.marketplaces().await.map(|_| ()),
        "PutItem" => store.rename_marketplace(&marketplace("new")).await,
        "UpdateItem" => market(&store).raise_idle(now()).await,
        "TransactWriteItems" => {
            let made = store.create_key("new", Role::Admin, std::slice::from_ref(&id), None, now());
            made.await.map(|_| ())
        }
        other => panic!("no case for {other}"),
    };
    let told = match told {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("{error:?}").split(' ').next().unwrap().to_owned(),
    };
    assert_eq!(line.calls()[0].operation, operation);
    // A process that was killed is another one.
    line.clear();
    let store = line.store();
    let name = store.marketplace(&id).await.unwrap().unwrap().name;
    let (meta, keys) = (
        market(&store).meta().await.unwrap(),
        store.keys(&id).await.unwrap().len(),
    );
    format!("{told}; {name} {keys} {meta:?}")
}

/// The faults that [`Call::faults`] leaves out: each is told as the one that stands for it, and leaves the same.
#[tokio::test]
async fn faults_of_one_kind_are_one() {
    let line = FaultClient::new();
    let service = service(&line, now());
    service.store.create_table().await.unwrap();
    assert!(act(&service, &life()[0].2).await);
    let mut kinds = std::collections::BTreeMap::new();
    for (operation, fault, same) in [
        ("GetItem", Fault::Throttled, Fault::RequestLost),
        ("GetItem", Fault::AnswerLost, Fault::RequestLost),
        ("GetItem", Fault::ErrorAfterCommit, Fault::RequestLost),
        ("GetItem", Fault::KilledAfter, Fault::KilledBefore),
        ("Query", Fault::Throttled, Fault::RequestLost),
        ("Query", Fault::AnswerLost, Fault::RequestLost),
        ("Query", Fault::ErrorAfterCommit, Fault::RequestLost),
        ("Query", Fault::KilledAfter, Fault::KilledBefore),
        ("PutItem", Fault::Throttled, Fault::RequestLost),
        ("PutItem", Fault::Met, Fault::RequestLost),
        ("PutItem", Fault::ErrorAfterCommit, Fault::AnswerLost),
        ("UpdateItem", Fault::Throttled, Fault::RequestLost),
        ("UpdateItem", Fault::Met, Fault::RequestLost),
        ("UpdateItem", Fault::ErrorAfterCommit, Fault::AnswerLost),
        ("TransactWriteItems", Fault::Throttled, Fault::RequestLost),
        (
            "TransactWriteItems",
            Fault::ErrorAfterCommit,
            Fault::AnswerLost,
        ),
    ] {
        let kind = told(&line.database, operation, same).await;
        assert_eq!(
            told(&line.database, operation, fault).await,
            kind,
            "{operation}: {fault:?} is not {same:?}"
        );
        kinds.insert(format!("{operation} {same:?}"), kind);
    }
    // What is done is not what is not done.
    for operation in ["PutItem", "UpdateItem", "TransactWriteItems"] {
        let kind = |fault: Fault| &kinds[&format!("{operation} {fault:?}")];
        assert_ne!(
            kind(Fault::AnswerLost),
            kind(Fault::RequestLost),
            "{operation}"
        );
    }
}
