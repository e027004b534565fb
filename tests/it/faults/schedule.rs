//! Who goes when: two callers over one table, every call of both waits for its turn. Orders of calls that only swap calls which
//! do not touch each other end alike, and one of them is played.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use revtrail_store::table::embedded::Embedded;
use tokio::sync::Semaphore;

use crate::support::tier;
use crate::support::tripwire::{Tripwire, partitions};

/// What a call touched.
#[derive(Debug, Clone)]
pub struct Access {
    partitions: Vec<String>,
    writes: bool,
}

impl Access {
    fn of(request: &HttpRequest) -> Self {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let mut touched = Vec::new();
        let body = request.body().bytes().unwrap_or_default();
        partitions(&serde_json::from_slice(body).unwrap(), &mut touched);
        Self {
            partitions: touched,
            writes: !matches!(operation, "GetItem" | "Query" | "BatchGetItem"),
        }
    }

    /// Who knows: it commutes with no other.
    pub fn unknown() -> Self {
        Self {
            partitions: Vec::new(),
            writes: true,
        }
    }

    /// Whether it is all one which of two comes first: both read, or they have no partition in common.
    fn commutes(&self, other: &Self) -> bool {
        let reads = !self.writes && !other.writes;
        // What names no partition may touch any.
        let named = !self.partitions.is_empty() && !other.partitions.is_empty();
        let meets = |pk: &String| other.partitions.contains(pk);
        reads || named && !self.partitions.iter().any(meets)
    }
}

/// One caller's line: its calls go one by one, each when it is let.
#[derive(Debug, Clone)]
pub struct Gate {
    pub line: Tripwire,
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
    made: Arc<Mutex<Vec<Access>>>,
}

impl Gate {
    pub fn over(database: &Embedded) -> Self {
        Self {
            line: Tripwire::over(database.clone()),
            turns: Arc::new(Semaphore::new(0)),
            waiting: Arc::default(),
            done: Arc::default(),
            made: Arc::default(),
        }
    }

    /// The calls so far, in their order.
    pub fn made(&self) -> Vec<Access> {
        self.made.lock().unwrap().clone()
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
            gate.made.lock().unwrap().push(Access::of(&request));
            let answer = gate.line.call(request).await;
            gate.done.fetch_add(1, Ordering::SeqCst);
            answer
        })
    }
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
            let done = gate.done.load(Ordering::SeqCst);
            gate.turns.add_permits(1);
            while gate.done.load(Ordering::SeqCst) == done {
                tokio::task::yield_now().await;
            }
        }
    }
    gates
        .iter()
        .for_each(|gate| gate.turns.add_permits(100_000));
}

/// A stretch in which both callers make so many calls each, after each made some alone: first the one, then the other.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub alone: [usize; 2],
    pub calls: usize,
}

impl Window {
    /// Plays every order of the calls in it, but for those that end as one that was played. `play` is given who goes when, from
    /// the beginning, and says which calls each caller made. How many orders there are, and how many were played.
    pub fn orders(self, mut play: impl FnMut(&[usize]) -> [Vec<Access>; 2]) -> Orders {
        let places = 2 * self.calls;
        let who = |order: u32, place: usize| (order >> place & 1) as usize;
        let alone = (0..2).flat_map(|i| std::iter::repeat_n(i, self.alone[i]));
        let alone: Vec<usize> = alone.collect();
        let (mut ends_alike, mut orders) = (HashSet::new(), Orders::default());
        let halves = |order: &u32| order.count_ones() as usize == self.calls;
        for order in (0..1_u32 << places).filter(halves) {
            orders.all += 1;
            if !ends_alike.insert(order) {
                continue;
            }
            orders.played += 1;
            let turns = (0..places).map(|place| who(order, place));
            let turns: Vec<usize> = alone.iter().copied().chain(turns).collect();
            let made = play(&turns);
            // Where two calls beside each other commute, all is the same the other way, and so are the calls that follow. A turn
            // of a caller that makes no more calls is nobody's.
            let mut open = vec![order];
            while let Some(order) = open.pop() {
                let call = |place: usize| {
                    let i = who(order, place);
                    let before = (0..place).filter(|place| who(order, *place) == i).count();
                    made[i].get(self.alone[i] + before)
                };
                for place in 1..places {
                    let swaps = who(order, place - 1) != who(order, place)
                        && match (call(place - 1), call(place)) {
                            (Some(one), Some(other)) => one.commutes(other),
                            _ => true,
                        };
                    let swapped = order ^ (0b11 << (place - 1));
                    if swaps && ends_alike.insert(swapped) {
                        open.push(swapped);
                    }
                }
            }
        }
        orders
    }
}

/// Orders of calls.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Orders {
    /// How many there are.
    pub all: usize,
    /// How many were played; each of the others ends as one of these.
    pub played: usize,
}

impl std::iter::Sum for Orders {
    fn sum<I: Iterator<Item = Self>>(orders: I) -> Self {
        orders.fold(Self::default(), |sum, one| Self {
            all: sum.all + one.all,
            played: sum.played + one.played,
        })
    }
}

/// Callers who read and write a few partitions, and decide by what they read: what is played ends in all that there is.
#[test]
fn orders_that_are_left_out_end_as_one_that_was_played() {
    use revtrail_oracle::worlds::Rng;
    const CALLS: usize = 4;
    /// Each partition holds how it came about; each caller remembers what it read, and makes its calls by that.
    fn play(rng: &Rng, turns: &[usize]) -> ([Vec<Access>; 2], String) {
        let mut held = [const { String::new() }; 3];
        let mut minds = [0, 1].map(|i: usize| i.to_string());
        let mut made = [const { Vec::new() }; 2];
        for &i in turns.iter().chain([0, 1].iter().cycle().take(2 * CALLS)) {
            // A caller may stop early.
            let mut rng = Rng::new(minds[i].bytes().fold(rng.clone().next_u64(), |sum, b| {
                sum.wrapping_mul(31).wrapping_add(u64::from(b))
            }));
            if made[i].len() >= CALLS || rng.chance(5) {
                continue;
            }
            let (pk, writes) = (rng.below(held.len()), rng.chance(50));
            minds[i] = match writes {
                true => {
                    held[pk] = format!("{}({})", held[pk], minds[i]);
                    format!("{}w{pk}", minds[i])
                }
                false => format!("{}r{pk}[{}]", minds[i], held[pk]),
            };
            made[i].push(Access {
                partitions: vec![pk.to_string()],
                writes,
            });
        }
        (made, format!("{held:?} {minds:?}"))
    }
    let mut sum = Orders::default();
    for seed in 0..60 {
        let rng = Rng::new(seed);
        for alone in [[0, 0], [1, 2]] {
            let calls = CALLS - 2;
            let (mut all, mut played) = (HashSet::new(), HashSet::new());
            let orders = Window { alone, calls }.orders(|turns| {
                let (made, end) = play(&rng, turns);
                played.insert(end);
                made
            });
            // Of which no two commute.
            let every = Window { alone, calls }.orders(|turns| {
                all.insert(play(&rng, turns).1);
                [vec![Access::unknown(); 9], vec![Access::unknown(); 9]]
            });
            assert_eq!((every.played, every.all), (6, 6));
            assert_eq!(played, all, "seed {seed}");
            sum = [sum, orders].into_iter().sum();
        }
    }
    assert!(sum.played * 3 < sum.all * 2, "few are left out: {sum:?}");
}

#[test]
fn what_is_spread_comes_back_in_its_order() {
    let items: Vec<usize> = (0..1_000).collect();
    let doubled = tier::spread(&items, |n| n.to_string(), |n| 2 * n);
    assert_eq!(doubled, items.iter().map(|n| 2 * n).collect::<Vec<_>>());
    let failed =
        std::panic::catch_unwind(|| tier::spread(&items, |n| n.to_string(), |n| assert!(*n != 7)));
    assert!(failed.is_err(), "a failure of one is a failure of all");
}
