//! Two at once: two callers over one table, every store call of both waits for its turn, and every order of their calls within
//! a window is played. Then both are asked again, the attributor ticks twice, and the table holds what it holds when the one
//! came after the other, or the other after the one: mostly that is the same, and a use that both want goes to one of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use hourly_attributor::{Attributor, JobLimits};
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::Store;
use revtrail_store::jobs::job::JobMessage;
use revtrail_store::table::embedded::{self, Embedded, TABLE};

use crate::faults::schedule::{Access, Gate, Orders, Window, drive};
use crate::support::fixtures::NOW;
use crate::support::invariants::{assert_same, held};
use crate::support::promotion_lists::shown;
use crate::support::script::{Call, Step, blocks};
use crate::support::service::{Service, block_on};
use crate::support::tier::{number, one_in, proves, spread};
use crate::support::tripwire::Tripwire;

/// Calls of each that are played in every order, from the beginning: of a share, and of all; `REVTRAIL_WINDOW` asks for others.
const WINDOW: [usize; 2] = [3, 6];
/// A smaller window stands at so many places of each one's calls after; of these a share has one in so many.
const SLIDING: usize = 2;
const PLACES: usize = 6;
const SHARE: usize = 6;

/// The address gil@example.com, as a recipient's text.
const GIL: &str = "\u{1}f38b3318f230c77cc7ebe0e345826068";
/// The customers, and the address.
const CUSTOMERS: [&str; 4] = ["ann", "bob", "cyd", GIL];
const CAMPAIGNS: [&str; 3] = ["spring", "summer", "winter"];

/// What a caller does.
#[derive(Debug, Clone)]
enum Act {
    Call(Call),
    Plan,
    /// The jobs that stand, as the queue points at them.
    Work(Vec<JobMessage>),
}

fn service(store: Store, tripwire: Tripwire, now: Instant) -> Service {
    Service::on(store, tripwire, now, Retention::DEFAULT)
}

pub fn attributor(store: &Store) -> Attributor {
    let limits = JobLimits {
        job_customers: 2,
        batch_customers: 2,
        shards: 2,
        append_above: 0,
        ..JobLimits::DEFAULT
    };
    Attributor {
        limits,
        ..Attributor::new(store.clone(), Retention::DEFAULT)
    }
}

pub fn plan() -> JobMessage {
    JobMessage::Plan {
        marketplace: MarketplaceId::new("m").unwrap(),
        run_id: None,
    }
}

/// Does an act; true where it is known to be done.
async fn act(service: &Service, act: &Act, now: Instant) -> bool {
    let messages = match act {
        Act::Call(call) => return call.done(service).await,
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
    name: String,
    before: Embedded,
    both: [Act; 2],
    /// Who comes first makes a difference.
    race: bool,
}

fn now() -> Instant {
    Instant::parse(NOW).unwrap()
}

/// The meetings of a table of `tests/corpus`.
async fn meetings(table: &str) -> Vec<Meeting> {
    let database = Embedded::memory().unwrap();
    let store = embedded::store(database.clone()).await.unwrap();
    let shop = service(store, Tripwire::over(database.clone()), now());
    // What stood before, by name; and the jobs that were left.
    let mut states: BTreeMap<String, Embedded> = BTreeMap::new();
    let mut work = Act::Plan;
    let mut meetings = Vec::new();
    for block in blocks(table) {
        let heading: Vec<&str> = block.name.split(" | ").collect();
        let mut acts = Vec::new();
        for step in block.steps() {
            acts.push(match step {
                Step::Call(call) => Act::Call(call),
                Step::Word(line) => match line.text.as_str() {
                    "plan" => Act::Plan,
                    "work" => work.clone(),
                    "leave jobs" => {
                        let attributor = attributor(&shop.store);
                        let planned = attributor.handle(&plan(), &|| now(), now()).await;
                        let planned = planned.unwrap();
                        assert!(!planned.is_empty(), "a plan leaves jobs");
                        work = Act::Work(planned);
                        continue;
                    }
                    other => panic!("{}: there is no act {other}", block.name),
                },
            });
        }
        match heading[..] {
            [state] => {
                for one in &acts {
                    assert!(act(&shop, one, now()).await, "{state}: {one:?}");
                }
                states.insert(state.to_owned(), database.copy().unwrap());
            }
            [state, name, ref race @ ..] => meetings.push(Meeting {
                name: name.to_owned(),
                before: states[state].copy().unwrap(),
                both: acts.try_into().unwrap(),
                race: race == ["race"],
            }),
            [] => {}
        }
    }
    meetings
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
    every_order(block_on(meetings("meetings.txt")));
}

#[test]
fn every_order_of_two_callers_of_promotions_ends_as_in_turn() {
    every_order(block_on(meetings("meetings_of_promotions.txt")));
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
        let name = &self.name;
        format!("REVTRAIL_MEETING='{name}' cargo t --test it faults::two_at_once")
    }
}

fn every_order(mut meetings: Vec<Meeting>) {
    let only = std::env::var("REVTRAIL_MEETING").ok();
    meetings.retain(|meeting| only.as_ref().is_none_or(|only| *only == meeting.name));
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
            if whole || one_in(SHARE, place + n) {
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
