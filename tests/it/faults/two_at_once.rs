//! Two at once: two callers over one table, every store call of both waits for its turn, and every order of their calls within
//! a window is played. Then both are asked again, the attributor ticks twice, and the table holds what it holds when the one
//! came after the other, or the other after the one: mostly that is the same, and a use that both want goes to one of them.

use std::sync::atomic::{AtomicUsize, Ordering};

use hourly_attributor::{Attributor, JobLimits};
use http::Method;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::Store;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use serde_json::{Value, json};

use crate::faults::schedule::{Access, Gate, Orders, Window, drive};
use crate::support::fixtures::{NOW, events, order, with};
use crate::support::invariants::{assert_same, held};
use crate::support::promotion_lists::shown;
use crate::support::service::{Service, block_on};
use crate::support::tier::{commits, number, proves, spread};
use crate::support::tripwire::Tripwire;

/// Calls of each that are played in every order, from the beginning: of a share, and of all; `REVTRAIL_WINDOW` asks for others.
const WINDOW: [usize; 2] = [3, 6];
/// A smaller window stands at so many places of each one's calls after; of these a share has one in so many.
const SLIDING: usize = 2;
const PLACES: usize = 6;
const SHARE: usize = 6;

const CUSTOMERS: [&str; 3] = ["ann", "bob", "cyd"];
const CAMPAIGNS: [&str; 3] = ["spring", "summer", "winter"];

/// What a caller does.
#[derive(Debug, Clone)]
enum Act {
    Call(Method, &'static str, Value),
    Plan,
    /// The jobs that stand, as the queue points at them.
    Work(Vec<JobMessage>),
}

fn service(store: Store, tripwire: Tripwire, now: Instant) -> Service {
    Service::on(store, tripwire, now, Retention::DEFAULT)
}

fn attributor(store: &Store) -> Attributor {
    let limits = JobLimits {
        job_customers: 2,
        batch_customers: 2,
        shards: 2,
        ..JobLimits::DEFAULT
    };
    Attributor {
        limits,
        ..Attributor::new(store.clone(), Retention::DEFAULT)
    }
}

fn plan() -> JobMessage {
    JobMessage::Plan {
        marketplace: MarketplaceId::new("m").unwrap(),
        run_id: None,
    }
}

/// Does an act; true where it is known to be done.
async fn act(service: &Service, act: &Act, now: Instant) -> bool {
    let messages = match act {
        Act::Call(method, path, body) => {
            let path = format!("/v1/marketplaces/m/{path}");
            return service.done(method, &path, body).await;
        }
        Act::Plan => vec![plan()],
        Act::Work(messages) => messages.clone(),
    };
    attributor(&service.store)
        .drain(messages, &|| now)
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
    let (jobs, work) = match planned.is_empty() {
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
            &jobs,
            work.clone(),
            work.clone(),
        ),
        meeting(
            "a worker and a new fact of the same customer",
            &jobs,
            work.clone(),
            late(),
        ),
        meeting(
            "a worker and a click that wins",
            &jobs,
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
            &jobs,
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

/// Plays two who go in these turns; says which calls each made, and what the table holds in the end.
async fn play(meeting: &Meeting, turns: &[usize]) -> ([Vec<Access>; 2], Vec<String>) {
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
    let driver = drive(&gates, &over, turns);
    let (one, other, ()) = tokio::join!(caller(0), caller(1), driver);
    let made = gates.each_ref().map(Gate::made);
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

#[test]
fn every_order_of_two_callers_ends_in_the_same() {
    every_order(block_on(meetings()));
}

#[test]
fn every_order_of_two_callers_of_promotions_ends_as_in_turn() {
    every_order(block_on(promotion_meetings()));
}

/// What the table holds where the one came after the other, and the other way round; and how many calls each makes.
struct InTurn {
    ends: [Vec<String>; 2],
    calls: [usize; 2],
}

impl Meeting {
    fn in_turn(&self) -> InTurn {
        let (made, one) = block_on(play(self, &[0; 1_000]));
        let (_, other) = block_on(play(self, &[1; 1_000]));
        if self.race {
            assert_ne!(one, other, "{}: no race", self.name);
        } else {
            assert_same(&other, &one);
        }
        let calls = made.map(|made| made.len());
        assert!(
            calls.iter().all(|calls| *calls >= 2),
            "{}: {calls:?} calls",
            self.name
        );
        InTurn {
            ends: [one, other],
            calls,
        }
    }

    /// Plays the orders of a window.
    fn orders(&self, window: Window, in_turn: &InTurn) -> Orders {
        window.orders(|turns| {
            let (made, held) = block_on(play(self, turns));
            let [one, other] = &in_turn.ends;
            assert_same(&held, if held == *other { other } else { one });
            made
        })
    }

    fn replay(&self) -> String {
        let name = self.name;
        format!("REVTRAIL_MEETING='{name}' cargo t --test it faults::two_at_once")
    }
}

fn every_order(mut meetings: Vec<Meeting>) {
    let only = std::env::var("REVTRAIL_MEETING").ok();
    meetings.retain(|meeting| only.as_ref().is_none_or(|only| only == meeting.name));
    let in_turn = spread(&meetings, Meeting::replay, Meeting::in_turn);
    // One meeting alone is played whole.
    let whole = proves() || only.is_some();
    let calls = number("REVTRAIL_WINDOW").map_or(WINDOW[usize::from(whole)], |n| n as usize);
    let mut windows = Vec::new();
    let met = meetings.iter().zip(&in_turn);
    for (n, (meeting, in_turn)) in met.clone().enumerate() {
        let alone = [0, 0];
        windows.push((meeting, in_turn, Window { alone, calls }));
        let places = [0, 1].map(|i| {
            let calls = in_turn.calls[i];
            (0..calls).step_by(calls.div_ceil(PLACES))
        });
        let [first, second] = places;
        let places = first.flat_map(|one| second.clone().map(move |other| [one, other]));
        for (place, alone) in places.enumerate() {
            if whole || (place + n + commits()).is_multiple_of(SHARE) {
                let calls = SLIDING;
                windows.push((meeting, in_turn, Window { alone, calls }));
            }
        }
    }
    let orders = spread(
        &windows,
        |(meeting, _, window)| format!("{} at {window:?}", meeting.replay()),
        |(meeting, in_turn, window)| meeting.orders(*window, in_turn),
    );
    let orders: Orders = orders.into_iter().sum();
    let places = windows.len();
    println!("{places} windows of {} meetings", meetings.len());
    println!("interleavings: {}", orders.all);
    println!("interleavings that differ: {}", orders.played);
    assert!(!meetings.is_empty() && orders.played >= windows.len());
}
