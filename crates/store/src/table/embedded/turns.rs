//! Whose turn it is at the embedded database. One call at a time reaches it. Marketplaces have equal shares of its time, and the calls
//! of one marketplace come in the order in which they came.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// A lock that is handed on when it is released. A thread that releases a plain mutex and locks it again is faster than the threads
/// that wait, so work of many pages would keep all others out until it ends. And where many calls of one marketplace wait, one call
/// of another does not come after all of them, but after the one that has the turn.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<TurnQueue>);

#[derive(Debug, Default)]
struct TurnQueue {
    taken: bool,
    waiting: FairQueue<Arc<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    thread: Thread,
    has_turn: AtomicBool,
}

/// The turn of a thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    owner: String,
    since: Instant,
}

impl Turns {
    /// Waits for the turn of this thread, on behalf of an owner: a marketplace, or what else shares the database.
    pub(super) fn take(&self, owner: &str) -> Turn<'_> {
        let mut queue = self.queue();
        if queue.taken {
            let waiter = Arc::new(Waiter {
                thread: thread::current(),
                has_turn: AtomicBool::new(false),
            });
            queue.waiting.join(owner, waiter.clone());
            drop(queue);
            // A thread can wake up without a reason.
            while !waiter.has_turn.load(Ordering::Acquire) {
                thread::park();
            }
        } else {
            queue.taken = true;
        }
        Turn {
            turns: self,
            owner: owner.to_owned(),
            since: Instant::now(),
        }
    }

    /// Nothing panics while it holds the queue, so a poisoned one is still right.
    fn queue(&self) -> MutexGuard<'_, TurnQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.turns.queue();
        queue.waiting.used(&self.owner, self.since.elapsed());
        match queue.waiting.next() {
            Some(next) => {
                next.has_turn.store(true, Ordering::Release);
                next.thread.unpark();
            }
            None => queue.taken = false,
        }
    }
}

/// What waits, by its owner. Whoever has used the least time comes next (start-time fair queueing, Goyal, Vin and Cheng 1996). Time
/// counts from when an owner begins to wait, so nobody saves it up.
#[derive(Debug)]
struct FairQueue<T> {
    lines: BTreeMap<String, Line<T>>,
    /// The used time of the owner who came last: where those begin who have not waited before.
    level: Duration,
}

#[derive(Debug)]
struct Line<T> {
    used: Duration,
    waiting: VecDeque<T>,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            lines: BTreeMap::new(),
            level: Duration::ZERO,
        }
    }
}

impl<T> FairQueue<T> {
    /// The line of an owner, which begins at the level where it is not above it.
    fn line(&mut self, owner: &str) -> &mut Line<T> {
        let level = self.level;
        let new = || Line {
            used: level,
            waiting: VecDeque::new(),
        };
        let line = self.lines.entry(owner.to_owned()).or_insert_with(new);
        if line.waiting.is_empty() {
            line.used = line.used.max(level);
        }
        line
    }

    fn join(&mut self, owner: &str, what: T) {
        self.line(owner).waiting.push_back(what);
    }

    /// Counts what an owner has used. Lines that say nothing are forgotten: there are never more than what waits and what was
    /// served while it waited.
    fn used(&mut self, owner: &str, time: Duration) {
        self.line(owner).used += time;
        if self.lines.values().all(|line| line.waiting.is_empty()) {
            self.lines.clear();
        }
        let level = self.level;
        self.lines
            .retain(|_, line| !line.waiting.is_empty() || line.used > level);
    }

    fn next(&mut self) -> Option<T> {
        let waiting = self
            .lines
            .values_mut()
            .filter(|line| !line.waiting.is_empty());
        let line = waiting.min_by_key(|line| line.used)?;
        self.level = line.used;
        line.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::table::embedded::{Embedded, TABLE};

    /// Waits until so many calls wait.
    fn wait_for(turns: &Turns, count: usize) {
        let waiting = || {
            let queue = turns.queue();
            let lines = queue.waiting.lines.values();
            lines.map(|line| line.waiting.len()).sum::<usize>()
        };
        while waiting() < count {
            thread::yield_now();
        }
    }

    /// Whoever works page by page comes after everybody who waited during the page, and the calls of one owner come in the order in
    /// which they came.
    #[test]
    fn a_turn_is_handed_to_whoever_waited_longest() {
        let (turns, order) = (Turns::default(), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            let page = turns.take("a");
            for name in 1..=3 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let _turn = turns.take("a");
                    order.lock().unwrap().push(name);
                });
                wait_for(turns, name);
            }
            drop(page);
            let _next_page = turns.take("a");
            order.lock().unwrap().push(0);
        });
        assert_eq!(order.into_inner().unwrap(), [1, 2, 3, 0]);
        let queue = turns.queue();
        assert!(!queue.taken && queue.waiting.lines.is_empty(), "{queue:?}");
    }

    #[test]
    fn a_turn_that_panics_is_handed_on() {
        let turns = Turns::default();
        let panicked = thread::scope(|scope| {
            let turn = || {
                let _turn = turns.take("a");
                std::panic::resume_unwind(Box::new("a panic"));
            };
            scope.spawn(turn).join()
        });
        assert!(panicked.is_err());
        drop(turns.take("a"));
    }

    /// What comes to wait, in rounds: by owner, so many calls of so many milliseconds. A round begins after so many turns. Then, the
    /// owners in the order of their turns.
    #[test]
    fn owners_have_equal_shares_of_the_time() {
        type Round<'a> = (usize, &'a [(&'a str, usize, u64)]);
        for (name, rounds, expected) in [
            ("one alone", &[(0, &[("l", 3, 5)][..])][..], "lll"),
            (
                "one call among many",
                &[(0, &[("l", 5, 5)]), (2, &[("q", 1, 5)])],
                "llqlll",
            ),
            (
                "many calls each",
                &[(0, &[("l", 4, 5), ("q", 4, 5)])],
                "lqlqlqlq",
            ),
            (
                "short calls beside long ones",
                &[(0, &[("l", 3, 5), ("q", 8, 1)])],
                "lqqqqqlqqql",
            ),
            (
                "waiting again after a long call",
                &[(0, &[("l", 1, 5), ("q", 2, 1)]), (2, &[("l", 1, 5)])],
                "lqql",
            ),
            (
                "nobody saves up",
                &[(0, &[("l", 6, 5)]), (3, &[("q", 3, 5)])],
                "lllqlqlql",
            ),
            (
                "three owners",
                &[(0, &[("l", 4, 5), ("m", 2, 5), ("q", 1, 5)])],
                "lmqlmll",
            ),
        ] {
            let (mut queue, mut order) = (FairQueue::default(), String::new());
            let mut rounds: VecDeque<&Round<'_>> = rounds.iter().collect();
            loop {
                while let Some((_, calls)) = rounds.pop_front_if(|(after, _)| *after <= order.len())
                {
                    for (owner, count, ms) in *calls {
                        (0..*count).for_each(|_| queue.join(owner, (*owner, *ms)));
                    }
                }
                let Some((owner, ms)) = queue.next() else {
                    break;
                };
                order.push_str(owner);
                queue.used(owner, Duration::from_millis(ms));
            }
            assert_eq!(order, expected, "{name}");
            assert!(queue.lines.is_empty(), "{name}: {queue:?}");
        }
    }

    /// Each call waits in the line of the marketplace whose items it asks for.
    #[test]
    fn a_call_waits_in_the_line_of_its_marketplace() {
        let key = |pk: &str| json!({ "pk": { "S": pk }, "sk": { "S": "a" } });
        let of = |field: &str, pk: &str| json!({ "TableName": TABLE, field: key(pk) });
        let mut update = of("Key", "m/update/x");
        update["UpdateExpression"] = json!("REMOVE n");
        let calls = [
            ("", "GetItem", of("Key", "key/0123")),
            ("get", "GetItem", of("Key", "m/get/x")),
            ("put", "PutItem", of("Item", "m/put/x")),
            ("update", "UpdateItem", update),
            ("delete", "DeleteItem", of("Key", "m/delete/x")),
            (
                "query",
                "Query",
                json!({
                    "TableName": TABLE, "KeyConditionExpression": "pk = :pk",
                    "ExpressionAttributeValues": { ":pk": { "S": "m/query/x" } },
                }),
            ),
            (
                "batch",
                "BatchGetItem",
                json!({ "RequestItems": { TABLE: { "Keys": [key("m/batch/x")] } } }),
            ),
            (
                "transaction",
                "TransactWriteItems",
                json!({ "TransactItems": [{ "Delete": of("Key", "m/transaction/x") }] }),
            ),
        ];
        let embedded = Embedded::memory().unwrap();
        let turn = embedded.turns.take("a");
        thread::scope(|scope| {
            for (_, operation, body) in &calls {
                let (embedded, body) = (&embedded, body.to_string());
                scope.spawn(move || embedded.answer(operation, body.as_bytes()));
            }
            wait_for(&embedded.turns, calls.len());
            let waiting: Vec<String> = embedded
                .turns
                .queue()
                .waiting
                .lines
                .keys()
                .cloned()
                .collect();
            drop(turn);
            let mut owners = calls.each_ref().map(|(owner, ..)| *owner).to_vec();
            owners.sort_unstable();
            assert_eq!(waiting, owners);
        });
    }
}
