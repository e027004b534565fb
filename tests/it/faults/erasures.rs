//! Erasures while calls fail, and while others are under way: nothing is lost, nothing counts twice, and nobody is named.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use hourly_attributor::AttributorError;
use http::Method;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::Store;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::table::embedded::{self, Embedded, TABLE};
use serde_json::{Value, json};

use crate::faults::batches::{M, now};
use crate::faults::schedule::{Access, Gate, Orders, Window, drive};
use crate::faults::two_at_once::{attributor, plan};
use crate::http::erasure::{ANN, PERSON, come_late, fill, of_ann};
use crate::support::fault_client::{Fault, FaultClient, points};
use crate::support::fixtures::{NOW, Shop, events, segment, with};
use crate::support::scan;
use crate::support::service::{ADMIN, Service, block_on};
use crate::support::tier::{fails_among, one_in, proves, spread};

/// A meeting that is always played at all places: once an erasure took the mention of an order away that was not stored yet, and nothing led
/// to the order any more.
const MENTION: &str = "an order of another that names the customer";
/// Of the sliding windows a share has one in so many.
const SHARE: usize = 12;
const PLACES: usize = 6;

/// The marketplace with everything that can name a customer.
async fn before() -> Embedded {
    let line = FaultClient::new();
    let service = Service::over(&line, now());
    service.store.create_table().await.unwrap();
    service
        .make(
            "m",
            &json!({"supersede": "none", "counted_statuses": ["COMPLETE"]}),
        )
        .await;
    fill(&service).await;
    // A message to the address has earned an order, and one to the phone is not folded yet.
    let by_address = |line: &str| events(line);
    let folded = by_address("A email sent,clicked to:ann@example.com 16T10:30");
    service.feed("m", "events", &folded, 9).await;
    service.run("m").await;
    let late = by_address("A sms sent,delivered to:+35387123 16T10:45");
    service.feed("m", "events", &late, 9).await;
    line.database.copy().unwrap()
}

/// Handles messages and all that follow, in turns of so many looks at the clock.
async fn work(
    store: &Store,
    begin: Instant,
    mut messages: Vec<JobMessage>,
    looks: i64,
) -> Result<(), AttributorError> {
    let ms = AtomicI64::new(begin.ms());
    let clock = || Instant::from_ms(ms.fetch_add(1, Ordering::SeqCst));
    for _ in 0..2_000 {
        let Some(message) = messages.pop() else {
            return Ok(());
        };
        let stop_at = Instant::from_ms(ms.load(Ordering::SeqCst)).plus_ms(looks);
        messages.extend(attributor(store).handle(&message, &clock, stop_at).await?);
    }
    panic!("it is handed over without an end");
}

/// A call that is answered, or fails behind the service: true where it is known to be done.
async fn done(service: &Service, method: &Method, path: &str, body: &Value) -> bool {
    let call = service.call_as(ADMIN, method.clone(), path, Some(body));
    let (status, answer) = call.await;
    assert!(
        status.is_success() || status.is_server_error(),
        "{path}: {status} {answer}"
    );
    status.is_success()
}

/// Asks for the erasure. True where it was answered.
async fn ask(service: &Service) -> bool {
    let path = format!("{M}/customers/{}", segment(ANN));
    done(service, &Method::DELETE, &path, &json!({})).await
}

/// Asks for the erasure, and has it worked on. True where it is known to be done.
async fn erase(service: &Service, looks: i64) -> bool {
    ask(service).await
        && work(&service.store, service.now(), service.enqueued(), looks)
            .await
            .is_ok()
}

/// What everybody sees in the end: after two ticks the erasures are done, a verification finds nothing, and whoever came late under
/// the old id is erased too, which moves no figure. Then nothing names the customer.
async fn end(service: Service, database: &Embedded) -> Value {
    let later = now().plus_ms(20 * 60_000);
    service.set_now(later);
    for _ in 0..2 {
        service.tick("m").await.unwrap();
    }
    let shop = Shop { service, id: "m" };
    let figures = shop.all_figures().await;
    let run = shop.service.run_with("m", &json!({"verify": "all"})).await;
    assert_eq!(
        (&run["state"], &run["verify"]["differences"]),
        (&json!("done"), &json!(0)),
        "{run}"
    );
    assert!(erase(&shop.service, i64::from(i32::MAX)).await);
    shop.service.tick("m").await.unwrap();
    let named = scan::holding(database, &PERSON);
    assert_eq!(named, Vec::<String>::new());
    assert_eq!(
        shop.all_figures().await,
        figures,
        "an erasure moved figures"
    );
    let states = database.items().unwrap();
    let erasures = states.iter().filter(|item| item["pk"]["S"] == "m/m/er");
    let facts: i64 = erasures
        .map(|item| item["facts"]["N"].as_str().unwrap().parse::<i64>().unwrap())
        .sum();
    json!([figures, facts])
}

/// Every call that an erasure makes fails once; it is asked for again, or the tick takes it up. Between the answer and the work come facts
/// of a new customer, or none.
#[test]
fn every_crash_point_of_an_erasure_ends_in_the_same() {
    let before = block_on(before());
    for (looks, late) in [(i64::from(i32::MAX), false), (4, true)] {
        let play = |failing: Option<(usize, Fault)>| {
            let line = FaultClient::over(before.copy().unwrap());
            block_on(async {
                if let Some((call, fault)) = failing {
                    line.fail_at(call, fault);
                }
                // Whoever was not answered asks again, with a process that remembers nothing.
                let again = || Service::over(&line, now());
                let mut asked = again();
                if !ask(&asked).await {
                    line.clear();
                    asked = again();
                    assert!(ask(&asked).await, "it does not get through");
                }
                if late {
                    let other = FaultClient::over(line.database.clone());
                    come_late(&Service::over(&other, now())).await;
                }
                let messages = asked.enqueued();
                let worked = work(&asked.store, asked.now(), messages, looks).await;
                let calls = line.calls();
                line.clear();
                let again = again();
                assert!(
                    worked.is_ok() || late || erase(&again, looks).await,
                    "it does not get through"
                );
                (end(again, &line.database).await, calls)
            })
        };
        let (smooth, calls) = play(None);
        assert!(calls.len() > 60, "{} calls", calls.len());
        let points = points(&calls, |n| fails_among(n, calls.len()));
        spread(
            &points,
            |(call, fault)| {
                format!(
                    "REVTRAIL_CALL={call} cargo t --test it faults::erasures ({fault:?}, turns of {looks}, late facts: {late})"
                )
            },
            |point| assert_eq!(play(Some(*point)).0, smooth),
        );
        println!("crash points of erasures: {}", points.len());
    }
}

/// Who meets the erasure.
enum Other {
    Call(Method, &'static str, Value),
    Work(Vec<JobMessage>),
    Erasure,
}

impl Other {
    async fn act(&self, service: &Service) -> bool {
        match self {
            Self::Call(method, path, body) => {
                done(service, method, &format!("{M}/{path}"), body).await
            }
            Self::Work(messages) => work(
                &service.store,
                service.now(),
                messages.clone(),
                i64::from(i32::MAX),
            )
            .await
            .is_ok(),
            Self::Erasure => erase(service, i64::from(i32::MAX)).await,
        }
    }
}

struct Meeting {
    name: &'static str,
    before: Embedded,
    other: Other,
}

async fn meetings() -> Vec<Meeting> {
    let quiet = before().await;
    let planned = quiet.copy().unwrap();
    let store = embedded::store(planned.clone()).await.unwrap();
    let jobs = attributor(&store)
        .handle(&plan(), &now, now())
        .await
        .unwrap();
    let post = |path, body: Value| Other::Call(Method::POST, path, body);
    let late = |kind: &str| {
        with(
            events(&format!("E email {kind} x 19T10:00"))[0].clone(),
            &json!({"customer_id": ANN}),
        )
    };
    let redemption = |id: &str| json!({"redemption_id": id, "promotion_id": "gift", "customer_id": ANN, "redeemed_at": NOW});
    let buyers = json!({"name": "s", "campaign_id": "E", "from": "2026-11-01", "to": "2026-12-01"});
    [
        ("a fold", &planned, Other::Work(jobs)),
        ("a plan", &quiet, Other::Work(vec![plan()])),
        ("another erasure", &quiet, Other::Erasure),
        (
            "a refund of a known order",
            &quiet,
            post(
                "orders",
                json!([of_ann(
                    "o1 x REFUNDED 10.00 USD 16T11:00 updated_at=19T11:00"
                )]),
            ),
        ),
        (
            "a new order",
            &quiet,
            post(
                "orders",
                json!([
                    of_ann("o8 x COMPLETE 7.00 USD 19T11:00"),
                    of_ann("o8 x READY 7.00 USD 19T11:00")
                ]),
            ),
        ),
        (
            "a new event",
            &quiet,
            post("events", json!([late("opened")])),
        ),
        (
            "a new event to the address",
            &quiet,
            post(
                "events",
                json!(events("A email clicked to:Ann@Example.com 16T10:50")),
            ),
        ),
        (
            MENTION,
            &quiet,
            post(
                "orders",
                json!([with(
                    of_ann("o3 x COMPLETE 40.00 USD 16T12:00 updated_at=19T12:00"),
                    &json!({})
                )]),
            ),
        ),
        (
            "a redemption",
            &quiet,
            post("redemptions", json!([redemption("late")])),
        ),
        (
            "a rollback",
            &quiet,
            post(
                "redemptions/r1/rollback",
                json!({"rollback_id": "late", "reason": "no"}),
            ),
        ),
        ("a segment", &quiet, post("segments", buyers)),
    ]
    .map(|(name, before, other)| Meeting {
        name,
        before: before.copy().unwrap(),
        other,
    })
    .into()
}

/// Plays an erasure and another who go in these turns; which calls each made, and what everybody sees in the end.
async fn play(meeting: &Meeting, turns: &[usize]) -> ([Vec<Access>; 2], Value) {
    let database = meeting.before.copy().unwrap();
    let gates = [Gate::over(&database), Gate::over(&database)];
    let callers = gates.each_ref().map(|gate| {
        let store = Store::new(embedded::client(gate.clone()), TABLE);
        Service::on(store, gate.line.clone(), now(), Retention::DEFAULT)
    });
    let over: [AtomicUsize; 2] = Default::default();
    let one = async {
        let done = erase(&callers[0], i64::from(i32::MAX)).await;
        over[0].store(1, Ordering::SeqCst);
        done
    };
    let other = async {
        let done = meeting.other.act(&callers[1]).await;
        over[1].store(1, Ordering::SeqCst);
        done
    };
    let (one, other, ()) = tokio::join!(one, other, drive(&gates, &over, turns));
    let made = gates.each_ref().map(Gate::made);
    let [first, second] = callers;
    assert!(
        other || meeting.other.act(&second).await,
        "{} does not get through",
        meeting.name
    );
    assert!(
        one || erase(&first, i64::from(i32::MAX)).await,
        "the erasure does not get through"
    );
    (made, end(first, &database).await)
}

#[test]
fn an_erasure_and_another_end_as_if_one_came_after_the_other() {
    let only = std::env::var("REVTRAIL_MEETING").ok();
    let mut meetings = block_on(meetings());
    meetings.retain(|meeting| only.as_ref().is_none_or(|only| only == meeting.name));
    let whole = proves() || only.is_some();
    let replay = |meeting: &Meeting| {
        format!(
            "REVTRAIL_MEETING='{}' cargo t --test it faults::erasures",
            meeting.name
        )
    };
    let in_turn = spread(&meetings, replay, |meeting| {
        let (made, one) = block_on(play(meeting, &[0; 2_000]));
        let (_, other) = block_on(play(meeting, &[1; 2_000]));
        (made.map(|made| made.len()), [one, other])
    });
    let mut windows = Vec::new();
    for (n, (meeting, (calls, ends))) in meetings.iter().zip(&in_turn).enumerate() {
        let whole_window = if whole { 5 } else { 2 };
        windows.push((
            meeting,
            ends,
            Window {
                alone: [0, 0],
                calls: whole_window,
            },
        ));
        let places = [0, 1].map(|i| (0..calls[i]).step_by(calls[i].div_ceil(PLACES)));
        let [first, second] = places;
        let places = first.flat_map(|one| second.clone().map(move |other| [one, other]));
        for (place, alone) in places.enumerate() {
            if whole || meeting.name == MENTION || one_in(SHARE, place + n) {
                windows.push((meeting, ends, Window { alone, calls: 2 }));
            }
        }
    }
    let orders = spread(
        &windows,
        |(meeting, _, window)| format!("{} at {window:?}", replay(meeting)),
        |(meeting, ends, window)| {
            window.orders(|turns| {
                let (made, end) = block_on(play(meeting, turns));
                assert!(
                    ends.contains(&end),
                    "{}: {end:#}\nand not\n{:#}",
                    meeting.name,
                    ends[0]
                );
                made
            })
        },
    );
    let orders: Orders = orders.into_iter().sum();
    println!("interleavings of erasures: {}", orders.played);
    assert!(!meetings.is_empty() && orders.played >= windows.len());
}
