//! Crash points: every call that a handler makes to the table fails once, in every way that such a call can fail; the caller tries
//! again, the attributor ticks twice, and the table holds what it holds where nothing failed. What was answered with 202 is there.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};

use hourly_attributor::{Attributor, AttributorError, JobLimits};
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::Store;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::jobs::look_aheads::Purpose;
use revtrail_store::market::Market;
use revtrail_store::market::access::{Marketplace, Role};
use revtrail_store::table::embedded::Embedded;
use revtrail_store::table::keys::LookAheadKind;

use crate::support::fault_client::{self, Fault, FaultClient};
use crate::support::fixtures::NOW;
use crate::support::invariants::{assert_same, held};
use crate::support::promotion_lists::shown;
use crate::support::script::{Block, Call, Step, blocks};
use crate::support::service::{Service, block_on};
use crate::support::tier::{fails, fails_among, number, one_in, proves, share, spread};

/// The customers, and the addresses gil@example.com and +353 87 123 456.
const CUSTOMERS: [&str; 9] = [
    "ann",
    "bob",
    "cyd",
    "dee",
    "eve",
    "fay",
    "gil",
    "\u{1}f38b3318f230c77cc7ebe0e345826068",
    "\u{1}948b4e75045da1e412e4df82b54fb37e",
];
const CAMPAIGNS: [&str; 3] = ["spring", "summer", "winter"];

/// What a caller does.
#[derive(Debug, Clone)]
enum Act {
    Call(Call),
    /// A call that asks for work which waits for the next tick.
    Asked(Call),
    /// A tick, and all that follows from it.
    Tick,
    /// The same in jobs and batches of two.
    Small,
    /// The same where the time is up after every look at the clock but one.
    HandOver,
}

/// Names, the least number of calls to the table, and what is done.
type Acts = Vec<(String, usize, Act)>;

/// The acts of a table of `tests/corpus`.
fn acts(table: &str) -> Acts {
    let act = |block: Block| {
        let (name, few) = block.name.split_once(" | ").unwrap();
        let act = match &block.steps()[..] {
            [Step::Call(call)] => Act::Call(call.clone()),
            [Step::Call(call), Step::Word(line)] if line.text == "left to a tick" => {
                Act::Asked(call.clone())
            }
            [Step::Word(line)] => match line.text.as_str() {
                "tick" => Act::Tick,
                "tick in small jobs" => Act::Small,
                "tick handed over" => Act::HandOver,
                other => panic!("{name}: there is no act {other}"),
            },
            _ => panic!("{name} is not one act"),
        };
        (name.to_owned(), few.parse().unwrap(), act)
    };
    blocks(table).into_iter().map(act).collect()
}

fn life() -> Acts {
    acts("life.txt")
}

fn promotions() -> Acts {
    acts("life_of_promotions.txt")
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
        append_above: 0,
        ..JobLimits::DEFAULT
    };
    match act {
        Act::Call(call) => {
            let done = call.done(service).await;
            // A run that is asked for begins at once.
            let enqueued = service.enqueued();
            done && (enqueued.is_empty()
                || drain(service, enqueued, JobLimits::DEFAULT, i64::from(i32::MAX))
                    .await
                    .is_ok())
        }
        Act::Asked(call) => {
            let done = call.done(service).await;
            service.enqueued();
            done
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

/// What the table holds after all acts of a table of `tests/corpus`.
pub async fn after_all(table: &str) -> Embedded {
    let mut acts = acts(table);
    // The state before an act that changes nothing is the state after the last one.
    acts.push(("the end".to_owned(), 0, Act::Tick));
    states(&acts).await.pop().unwrap()
}

/// Plays an act from the state before it, with faults or without, and lets the attributor tick twice; says what is held then,
/// and which calls the act made.
async fn play(
    acts: &Acts,
    states: &[Embedded],
    at: usize,
    faults: &[(usize, Fault)],
    sends_again: bool,
) -> (Vec<String>, Vec<fault_client::Call>) {
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
    let id = MarketplaceId::new("m").unwrap();
    let market = line.store().market(&id, Retention::DEFAULT);
    for (_, run) in market.runs().list(None, 100, later).await.unwrap().0 {
        assert!(
            run.verify
                .as_ref()
                .is_none_or(|found| found.differences == 0),
            "{run:?}"
        );
    }
    let mut held = held(&market, &CUSTOMERS, &CAMPAIGNS, later, false).await;
    line.clear();
    held.extend(shown(&service(&line, later)).await);
    held.extend(looked_ahead(&market, later).await);
    (held, calls)
}

/// What looks ahead found, each once: a call that is made again asks again. What a replay found before it is another's after it.
async fn looked_ahead(market: &Market, now: Instant) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in [LookAheadKind::WhatIfs, LookAheadKind::Replays] {
        let listed = market.look_aheads().list(kind, None, 100, now);
        let (all, next) = listed.await.unwrap();
        assert!(next.is_none());
        for (_, ahead) in all {
            let preview = &ahead.preview;
            let shown = match ahead.purpose {
                Purpose::WhatIf { .. } => preview.shown().to_string(),
                Purpose::Replay { .. } => format!("{} {:?}", preview.orders, preview.proposed),
            };
            found.insert(format!("{:?} {:?} {shown}", ahead.purpose, ahead.state));
        }
    }
    found
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
                let played = |(n, call): &(usize, &fault_client::Call)| {
                    is_sent_again(call, at + n, calls.len())
                };
                for (call, seen) in failing.filter(played) {
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
    // Half of 500 calls, the least that both lives make.
    assert!(
        only.is_some() || points >= if fails(1) { 250 } else { 60 },
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

/// Whether it is played that the SDK sends this call again. A share has one write in two, and one read in eight, in turn: a read that is
/// sent again only reads again.
fn is_sent_again(call: &fault_client::Call, n: usize, calls: usize) -> bool {
    let in_turn = if call.reads() { 8 } else { 2 };
    whole() || fails_among(n, calls) && one_in(in_turn, n)
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
        let played = |n: usize, call: &fault_client::Call| match sends_again {
            true => is_sent_again(call, at + n, made.len()),
            false => whole() || fails_among(at + n, made.len()),
        };
        for (n, call) in failing.filter(|(n, call)| played(*n, call)) {
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
    // The least that either life makes: all calls, half of its writes with an eighth of its reads, or a quarter of those.
    let least = match (fails(1), sends_again) {
        (true, false) => 200,
        (true, true) => 40,
        (false, _) => 20,
    };
    assert!(only.is_some() || calls >= least, "{calls} calls");
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

/// The faults that [`fault_client::Call::faults`] leaves out: each is told as the one that stands for it, and leaves the same.
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
