//! Two at once: two callers over one table, every store call of both waits for its turn, and every order of their calls within
//! a window is played. Then both are asked again, the attributor ticks twice, and the table holds what it holds when the one
//! came after the other, or the other after the one: mostly that is the same, and a use that both want goes to one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use hourly_attributor::{Attributor, Limits};
use http::Method;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::Store;
use revtrail_store::jobs::job::Nudge;
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::fixtures::{NOW, events, order, with};
use crate::support::invariants::{assert_same, held};
use crate::support::promotion_lists::shown;
use crate::support::service::{Service, block_on};
use crate::support::tripwire::Tripwire;

/// Calls of each that are played in every order; `REVTRAIL_WINDOW` asks for others.
const WINDOW: usize = 6;
/// The same of promotions, whose handlers make four or five, and mostly write with the fourth.
const WINDOW_OF_PROMOTIONS: usize = 4;
/// A smaller window stands at so many places of each one's calls after.
const SLIDING: usize = 2;
const PLACES: usize = 6;

const CUSTOMERS: [&str; 3] = ["ann", "bob", "cyd"];
const CAMPAIGNS: [&str; 3] = ["spring", "summer", "winter"];

/// One caller's line: its calls go one by one, each when it is let.
#[derive(Debug, Clone)]
pub struct Gate {
    line: Tripwire,
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
}

impl Gate {
    pub fn over(database: &Embedded) -> Self {
        Self {
            line: Tripwire::over(database.clone()),
            turns: Arc::new(Semaphore::new(0)),
            waiting: Arc::default(),
            made: Arc::default(),
        }
    }
}

impl HttpConnector for Gate {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let gate = self.clone();
        gate.waiting.fetch_add(1, Ordering::SeqCst);
        HttpConnectorFuture::new(async move {
            // First come, first served: a semaphore is fair.
            gate.turns.acquire().await.unwrap().forget();
            gate.waiting.fetch_sub(1, Ordering::SeqCst);
            let answer = gate.line.call(request).await;
            gate.made.fetch_add(1, Ordering::SeqCst);
            answer
        })
    }
}

/// What a caller does.
#[derive(Debug, Clone)]
enum Act {
    Call(Method, &'static str, Value),
    Plan,
    /// The units that stand, as the queue points at them.
    Work(Vec<Nudge>),
}

fn service(store: Store, tripwire: Tripwire, now: Instant) -> Service {
    Service::on(store, tripwire, now, Retention::DEFAULT)
}

fn attributor(store: &Store) -> Attributor {
    let limits = Limits {
        unit_customers: 2,
        batch_customers: 2,
        stripes: 2,
        ..Limits::DEFAULT
    };
    Attributor {
        limits,
        ..Attributor::new(store.clone(), Retention::DEFAULT)
    }
}

fn plan() -> Nudge {
    Nudge::Plan {
        marketplace: MarketplaceId::new("m").unwrap(),
        run_id: None,
    }
}

/// Does an act; true where it is known to be done.
async fn act(service: &Service, act: &Act, now: Instant) -> bool {
    let nudges = match act {
        Act::Call(method, path, body) => {
            let path = format!("/v1/marketplaces/m/{path}");
            return service.done(method, &path, body).await;
        }
        Act::Plan => vec![plan()],
        Act::Work(nudges) => nudges.clone(),
    };
    attributor(&service.store)
        .drain(nudges, &|| now)
        .await
        .is_ok()
}

/// Two who meet, and what stood before.
struct Meeting {
    name: &'static str,
    before: Embedded,
    both: [Act; 2],
    /// Who comes first makes a difference.
    race: bool,
}

fn now() -> Instant {
    Instant::parse(NOW).unwrap()
}

fn post(path: &'static str, records: Vec<Value>) -> Act {
    Act::Call(Method::POST, path, json!(records))
}

fn clicks(line: &str) -> Act {
    post("events", events(line))
}

fn bought(line: &str) -> Act {
    post("orders", vec![order(line)])
}

async fn meetings() -> Vec<Meeting> {
    // A shop with figures: spring earned ann's and bob's orders.
    let database = Embedded::memory().unwrap();
    let store = embedded::store(database.clone()).await.unwrap();
    let shop = service(store, Tripwire::over(database.clone()), now());
    shop.make("m", &json!({"timezone": "Europe/Dublin", "supersede": "customer", "winner": "last_interaction"})).await;
    for one in [
        clicks("spring email sent,clicked ann 16T10:00"),
        clicks("spring email sent,clicked bob 16T10:00"),
        bought("o1 ann COMPLETE 10.00 EUR 17T10:00"),
        bought("o2 bob COMPLETE 20.00 EUR 17T11:00"),
        Act::Plan,
        Act::Plan,
    ] {
        assert!(act(&shop, &one, now()).await);
    }
    let quiet = database.copy().unwrap();
    // What waits then: summer wins ann's order, bob's is refunded, cyd is new.
    let news = [
        clicks("summer email sent,clicked ann 17T09:00"),
        bought("o2 bob REFUNDED 20.00 EUR 17T11:00 updated_at=18T11:00"),
        clicks("summer email sent,clicked cyd 17T09:00"),
        bought("o3 cyd COMPLETE 40.00 EUR 17T12:00"),
    ];
    for one in &news {
        assert!(act(&shop, one, now()).await);
    }
    let noted = database.copy().unwrap();
    // Units of the same, planned and not begun.
    let planned = attributor(&shop.store)
        .handle(&plan(), &|| now(), now())
        .await
        .unwrap();
    let (units, work) = match planned.is_empty() {
        true => (noted.copy().unwrap(), Act::Plan),
        false => (database.copy().unwrap(), Act::Work(planned)),
    };
    let campaign = |body: Value| Act::Call(Method::PUT, "campaigns/spring", body);
    let settings = Act::Call(
        Method::PUT,
        "settings",
        json!({"timezone": "Europe/Dublin", "supersede": "marketplace"}),
    );
    let late = || bought("o4 ann COMPLETE 80.00 EUR 18T10:00");
    let meeting = |name, before: &Embedded, one: Act, other: Act| Meeting {
        name,
        before: before.copy().unwrap(),
        both: [one, other],
        race: false,
    };
    vec![
        meeting("two attributors", &noted, Act::Plan, Act::Plan),
        meeting(
            "two workers on the same units",
            &units,
            work.clone(),
            work.clone(),
        ),
        meeting(
            "a worker and a new fact of the same customer",
            &units,
            work.clone(),
            late(),
        ),
        meeting(
            "a worker and a click that wins",
            &units,
            work.clone(),
            clicks("winter email sent,clicked cyd 17T11:00"),
        ),
        meeting("a planner and ingest", &quiet, Act::Plan, late()),
        meeting("an attributor and ingest", &noted, Act::Plan, late()),
        meeting(
            "an attributor and a campaign that is tagged",
            &noted,
            Act::Plan,
            campaign(json!({"name": "Spring", "tags": ["technical"]})),
        ),
        meeting(
            "a worker and a campaign that is sent later",
            &units,
            work.clone(),
            Act::Call(
                Method::PUT,
                "campaigns/summer",
                json!({"name": "Summer", "sent_at": "2026-11-17T10:30:00Z"}),
            ),
        ),
        meeting(
            "an attributor and settings",
            &noted,
            Act::Plan,
            settings.clone(),
        ),
        meeting(
            "ingest and settings",
            &quiet,
            bought("o5 ann COMPLETE 7.00 EUR 20T12:00"),
            settings,
        ),
        meeting(
            "two copies of an order",
            &quiet,
            bought("o6 ann PENDING 5.00 EUR 18T12:00"),
            bought("o6 ann COMPLETE 5.00 EUR 18T12:00"),
        ),
        meeting(
            "two campaign changes",
            &quiet,
            campaign(json!({"name": "S", "sent_at": "2026-11-16T09:00:00Z"})),
            clicks("spring push sent,opened bob 15T10:00"),
        ),
    ]
}

/// Meetings over a promotion of which one use of a voucher is left, and others that are pools.
async fn promotion_meetings() -> Vec<Meeting> {
    let database = Embedded::memory().unwrap();
    let store = embedded::store(database.clone()).await.unwrap();
    let shop = service(store, Tripwire::over(database.clone()), now());
    shop.make("m", &json!({"counted_statuses": ["COMPLETE"]}))
        .await;
    let told = |id: &'static str, promotion: &str, customer: &str, more: Value| {
        let kind = if id.starts_with('a') {
            "assignment_id"
        } else {
            "redemption_id"
        };
        let record = json!({kind: id, "promotion_id": promotion, "customer_id": customer});
        let path = if id.starts_with('a') {
            "assignments"
        } else {
            "redemptions"
        };
        post(path, vec![with(record, &more)])
    };
    let redeem = |path, id: &str, customer: &str| {
        let body = json!({"redemption_id": id, "customer_id": customer, "reward_amount": "5.00"});
        Act::Call(Method::POST, path, body)
    };
    const ONE: &str = "promotions/gift/vouchers/ONE/redeem";
    const MANY: &str = "promotions/gift/vouchers/MANY/redeem";
    let back = |path, id: &str| {
        Act::Call(
            Method::POST,
            path,
            json!({"rollback_id": id, "reason": "came back"}),
        )
    };
    let promotion = |path, cap: u64| {
        let body = json!({
            "name": "Gift", "kind": "global", "type": "amount", "value": "5.00", "currency": "EUR", "cap": cap,
            "budget": {"amount": "1000.00", "currency": "EUR"}, "tracking_from": "2026-11-01T00:00:00Z",
        });
        Act::Call(Method::PUT, path, body)
    };
    let own = |limit: u64| {
        let body = json!({"name": "Own", "kind": "global", "currency": "EUR", "limit_per_customer": limit});
        Act::Call(Method::PUT, "promotions/own", body)
    };
    const OWN: &str = "promotions/own/vouchers/OWN/redeem";
    // One that waits is told again, of another promotion; beside it one that is known, so that the call is taken whatever becomes of it.
    let mended = |promotion: &str| {
        let record = |id: &str, promotion: &str, more: Value| {
            let record =
                json!({"redemption_id": id, "promotion_id": promotion, "customer_id": "ann"});
            with(record, &more)
        };
        let known = record("f1", "gift", json!({"voucher_code": "FULL"}));
        let one = record("w1", promotion, json!({"redeemed_at": NOW}));
        post("redemptions", vec![one, known])
    };
    const GIFT: &str = "promotions/gift";
    const LATE: &str = "promotions/late";
    let codes = |codes: &[&str], limit: u64| {
        let body = json!({"codes": codes, "limit": limit});
        Act::Call(Method::POST, "promotions/gift/vouchers", body)
    };
    let voucher = |disabled: bool| {
        let body = json!({"disabled": disabled, "limit": 2});
        Act::Call(Method::PUT, "promotions/gift/vouchers/ONE", body)
    };
    for one in [
        bought("o1 ann PENDING 10.00 EUR 17T10:00"),
        promotion(GIFT, 150),
        codes(&["ONE"], 2),
        codes(&["MANY"], 120),
        redeem(ONE, "x0", "ann"),
        redeem(MANY, "x1", "bob"),
        told(
            "w1",
            "late",
            "ann",
            json!({"redeemed_at": "2026-11-18T10:00:00Z"}),
        ),
        told("aw", "late", "ann", json!({})),
        own(1),
        Act::Call(
            Method::POST,
            "promotions/own/vouchers",
            json!({"codes": ["OWN"]}),
        ),
        codes(&["FULL", "OVER"], 1),
        told("f1", "gift", "ann", json!({"voucher_code": "FULL"})),
        told("o1", "gift", "ann", json!({"voucher_code": "OVER"})),
        told("o2", "gift", "bob", json!({"voucher_code": "OVER"})),
        Act::Plan,
    ] {
        assert!(act(&shop, &one, now()).await);
    }
    let event = |kind: &str| {
        post(
            "events",
            vec![json!({
                "event_id": kind, "kind": kind, "channel": "email", "campaign_id": "spring", "customer_id": "ann", "message_id": "1",
                "occurred_at": NOW, "promotion_id": "late", "voucher_code": "ONE",
            })],
        )
    };
    let meeting = |name, race, one: Act, other: Act| Meeting {
        name,
        before: database.copy().unwrap(),
        both: [one, other],
        race,
    };
    let code = || json!({"voucher_code": "ONE", "order_id": "o1", "reward_amount": "5.00"});
    let complete = || bought("o1 ann COMPLETE 10.00 EUR 17T10:00 updated_at=18T10:00");
    vec![
        meeting(
            "two redeems of the last use",
            true,
            redeem(ONE, "x2", "bob"),
            redeem(ONE, "x3", "cyd"),
        ),
        meeting(
            "a redeem twice at once",
            false,
            redeem(ONE, "x2", "bob"),
            redeem(ONE, "x2", "bob"),
        ),
        meeting(
            "two redeems of a pool",
            false,
            redeem(MANY, "x2", "bob"),
            redeem(MANY, "x3", "cyd"),
        ),
        meeting(
            "a redeem and a reported use",
            true,
            redeem(ONE, "x2", "bob"),
            told("r1", "gift", "cyd", code()),
        ),
        meeting(
            "a redeem and a rollback",
            false,
            redeem(ONE, "x2", "bob"),
            back("redemptions/x0/rollback", "b"),
        ),
        meeting(
            "a use too many and a rollback",
            true,
            told("f2", "gift", "cyd", json!({"voucher_code": "FULL"})),
            back("redemptions/f1/rollback", "b"),
        ),
        meeting(
            "two rollbacks of a voucher that is overdrawn",
            false,
            back("redemptions/o1/rollback", "b"),
            back("redemptions/o2/rollback", "c"),
        ),
        meeting(
            "a rollback twice at once",
            false,
            back("redemptions/x1/rollback", "b"),
            back("redemptions/x1/rollback", "b"),
        ),
        meeting(
            "a redeem and a cap that shrinks",
            true,
            redeem(MANY, "x2", "bob"),
            promotion(GIFT, 2),
        ),
        meeting(
            "a redeem and a cap that is no pool any more",
            false,
            redeem(MANY, "x2", "bob"),
            promotion(GIFT, 99),
        ),
        meeting(
            "a redeem and a voucher that is disabled",
            true,
            redeem(ONE, "x2", "bob"),
            voucher(true),
        ),
        meeting(
            "an assignment and what redeems it",
            false,
            told("a1", "gift", "ann", json!({})),
            told("r1", "gift", "ann", code()),
        ),
        meeting(
            "an assignment and what names it",
            false,
            told("a1", "gift", "ann", json!({})),
            told("r1", "gift", "ann", json!({"assignment_id": "a1"})),
        ),
        meeting(
            "an earlier assignment and what redeems one",
            false,
            told(
                "a1",
                "gift",
                "ann",
                json!({"assigned_at": "2026-11-16T10:00:00Z", "tier_id": "early"}),
            ),
            told("r1", "gift", "ann", json!({})),
        ),
        meeting(
            "two redemptions of a customer",
            false,
            told("r1", "gift", "ann", json!({})),
            told("r2", "gift", "ann", json!({})),
        ),
        meeting(
            "an order and what names it",
            false,
            complete(),
            told("r1", "gift", "ann", code()),
        ),
        meeting(
            "a promotion and what waits for it",
            false,
            promotion(LATE, 9),
            told("r1", "late", "bob", json!({})),
        ),
        meeting(
            "a promotion and one that waits for it and is mended",
            true,
            promotion(LATE, 9),
            mended("gift"),
        ),
        meeting(
            "one that waits is mended twice",
            true,
            mended("gift"),
            mended("own"),
        ),
        meeting(
            "two redeems of a customer's last",
            true,
            redeem(OWN, "x5", "ann"),
            redeem(OWN, "x6", "ann"),
        ),
        meeting(
            "a redeem and a limit of customers that shrinks",
            true,
            redeem(OWN, "x5", "bob"),
            own(0),
        ),
        meeting(
            "a promotion and a message of it",
            false,
            promotion(LATE, 9),
            event("delivered"),
        ),
        meeting(
            "a promotion twice at once",
            false,
            promotion(LATE, 9),
            promotion(LATE, 9),
        ),
        meeting(
            "a promotion and an attributor",
            false,
            promotion(LATE, 9),
            Act::Plan,
        ),
        meeting(
            "two imports of vouchers",
            false,
            codes(&["A", "B"], 3),
            codes(&["B", "C"], 3),
        ),
        meeting(
            "two events of a message",
            false,
            event("sent"),
            event("delivered"),
        ),
    ]
}

/// Who goes when: first so many calls of each alone, then a window.
#[derive(Debug, Clone)]
struct Schedule {
    alone: [usize; 2],
    turns: Vec<usize>,
}

/// Plays a schedule; says how many calls each made, and what the table holds in the end.
async fn play(meeting: &Meeting, schedule: &Schedule) -> ([usize; 2], Vec<String>) {
    let database = meeting.before.copy().unwrap();
    let gates = [Gate::over(&database), Gate::over(&database)];
    let stores = gates
        .each_ref()
        .map(|gate| Store::new(embedded::client(gate.clone()), TABLE));
    let callers = [0, 1].map(|i| service(stores[i].clone(), gates[i].line.clone(), now()));
    let over: [AtomicUsize; 2] = Default::default();
    let caller = async |i: usize| {
        let done = act(&callers[i], &meeting.both[i], now()).await;
        over[i].store(1, Ordering::SeqCst);
        done
    };
    let alone = (0..2).flat_map(|i| std::iter::repeat_n(i, schedule.alone[i]));
    let turns: Vec<usize> = alone.chain(schedule.turns.iter().copied()).collect();
    let driver = drive(&gates, &over, &turns);
    let (one, other, ()) = tokio::join!(caller(0), caller(1), driver);
    let made = gates
        .each_ref()
        .map(|gate| gate.made.load(Ordering::SeqCst));
    // Who was not answered asks again; then two ticks.
    for (i, done) in [one, other].into_iter().enumerate() {
        assert!(
            done || act(&callers[i], &meeting.both[i], now()).await,
            "{:?} does not get through",
            meeting.both[i]
        );
    }
    let later = now().plus_ms(20 * 60_000);
    for _ in 0..2 {
        assert!(act(&callers[0], &Act::Plan, later).await);
    }
    gates.iter().for_each(|gate| gate.line.assert_untouched());
    let market = callers[0]
        .store
        .market(&MarketplaceId::new("m").unwrap(), Retention::DEFAULT);
    let mut held = held(&market, &CUSTOMERS, &CAMPAIGNS, later, true).await;
    held.extend(shown(&callers[0]).await);
    (made, held)
}

/// Lets two callers make their calls in this order, and then as they come. `over` is 1 where a caller is done.
pub async fn drive(gates: &[Gate; 2], over: &[AtomicUsize; 2], turns: &[usize]) {
    for &i in turns {
        let (gate, over) = (&gates[i], &over[i]);
        // Nothing but its own steps keeps a caller from its next call, so it comes.
        while gate.waiting.load(Ordering::SeqCst) == 0 && over.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        if over.load(Ordering::SeqCst) == 0 {
            let made = gate.made.load(Ordering::SeqCst);
            gate.turns.add_permits(1);
            while gate.made.load(Ordering::SeqCst) == made {
                tokio::task::yield_now().await;
            }
        }
    }
    gates
        .iter()
        .for_each(|gate| gate.turns.add_permits(100_000));
}

/// All orders of `n` calls of each.
pub fn interleavings(n: usize) -> Vec<Vec<usize>> {
    let ones = |bits: &u32| bits.count_ones() as usize == n;
    let turns = |bits: u32| {
        (0..2 * n)
            .map(|place| (bits >> place & 1) as usize)
            .collect()
    };
    (0..1_u32 << (2 * n)).filter(ones).map(turns).collect()
}

#[test]
fn every_order_of_two_callers_ends_in_the_same() {
    every_order(&block_on(meetings()), WINDOW);
}

#[test]
fn every_order_of_two_callers_of_promotions_ends_as_in_turn() {
    every_order(&block_on(promotion_meetings()), WINDOW_OF_PROMOTIONS);
}

fn every_order(meetings: &[Meeting], window: usize) {
    let window = std::env::var("REVTRAIL_WINDOW").map_or(window, |text| text.parse().unwrap());
    let only = std::env::var("REVTRAIL_MEETING").ok();
    let mut played = 0;
    for meeting in meetings
        .iter()
        .filter(|meeting| only.as_ref().is_none_or(|only| only == meeting.name))
    {
        let in_turn = |alone| Schedule {
            alone,
            turns: Vec::new(),
        };
        let (calls, expected) = block_on(play(meeting, &in_turn([1_000, 0])));
        let (_, other_way) = block_on(play(meeting, &in_turn([0, 1_000])));
        if meeting.race {
            assert_ne!(expected, other_way, "{}: no race", meeting.name);
        } else {
            println!("{}: one after the other, either way", meeting.name);
            assert_same(&other_way, &expected);
        }
        assert!(
            calls.iter().all(|calls| *calls >= 2),
            "{}: {calls:?} calls",
            meeting.name
        );
        let at = |alone, n| {
            interleavings(n)
                .into_iter()
                .map(move |turns| Schedule { alone, turns })
        };
        let mut schedules: Vec<Schedule> = at([0, 0], window).collect();
        for first in (0..calls[0]).step_by(calls[0].div_ceil(PLACES)) {
            for second in (0..calls[1]).step_by(calls[1].div_ceil(PLACES)) {
                schedules.extend(at([first, second], SLIDING));
            }
        }
        let check = |schedule: &Schedule| {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let (_, held) = block_on(play(meeting, schedule));
                let expected = if held == other_way {
                    &other_way
                } else {
                    &expected
                };
                assert_same(&held, expected);
            }));
            assert!(
                outcome.is_ok(),
                "{schedule:?}; replay: REVTRAIL_MEETING='{}' cargo test -p revtrail-tests --test it faults::two_at_once",
                meeting.name
            );
        };
        std::thread::scope(|scope| {
            for half in 0..2 {
                let (schedules, check) = (&schedules, &check);
                scope.spawn(move || schedules.iter().skip(half).step_by(2).for_each(check));
            }
        });
        println!(
            "{}: {calls:?} calls, {} orders",
            meeting.name,
            schedules.len()
        );
        played += schedules.len();
    }
    assert!(
        only.is_some() || played >= meetings.len() * interleavings(window).len(),
        "{played}"
    );
    println!("interleavings: {played}");
}
