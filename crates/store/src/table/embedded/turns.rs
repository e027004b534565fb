//! Whose turn it is at the embedded database. One call at a time reaches it, in the order in which they came.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// A lock that is handed to whoever has waited longest. A thread that releases a plain mutex and locks it again is faster than the
/// threads that wait, so work of many pages would keep all others out until it ends.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<TurnQueue>);

#[derive(Debug, Default)]
struct TurnQueue {
    taken: bool,
    waiting: VecDeque<Arc<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    thread: Thread,
    has_turn: AtomicBool,
}

/// The turn of a thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn<'t>(&'t Turns);

impl Turns {
    /// Waits for the turn of this thread.
    pub(super) fn take(&self) -> Turn<'_> {
        let mut queue = self.queue();
        if !queue.taken {
            queue.taken = true;
            return Turn(self);
        }
        let waiter = Arc::new(Waiter {
            thread: thread::current(),
            has_turn: AtomicBool::new(false),
        });
        queue.waiting.push_back(waiter.clone());
        drop(queue);
        // A thread can wake up without a reason.
        while !waiter.has_turn.load(Ordering::Acquire) {
            thread::park();
        }
        Turn(self)
    }

    /// Nothing panics while it holds the queue, so a poisoned one is still right.
    fn queue(&self) -> MutexGuard<'_, TurnQueue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        match queue.waiting.pop_front() {
            Some(next) => {
                next.has_turn.store(true, Ordering::Release);
                next.thread.unpark();
            }
            None => queue.taken = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever works page by page comes after everybody who waited during the page, and they come in the order in which they came.
    #[test]
    fn a_turn_is_handed_to_whoever_waited_longest() {
        let (turns, order) = (Turns::default(), Mutex::new(Vec::new()));
        let waiting = |count: usize| {
            while turns.queue().waiting.len() < count {
                thread::yield_now();
            }
        };
        thread::scope(|scope| {
            let page = turns.take();
            for name in 1..=3 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let _turn = turns.take();
                    order.lock().unwrap().push(name);
                });
                waiting(name);
            }
            drop(page);
            let _next_page = turns.take();
            order.lock().unwrap().push(0);
        });
        assert_eq!(order.into_inner().unwrap(), [1, 2, 3, 0]);
        assert!(!turns.queue().taken);
    }

    #[test]
    fn a_turn_that_panics_is_handed_on() {
        let turns = Turns::default();
        let panicked = thread::scope(|scope| {
            let turn = || {
                let _turn = turns.take();
                std::panic::resume_unwind(Box::new("a panic"));
            };
            scope.spawn(turn).join()
        });
        assert!(panicked.is_err());
        drop(turns.take());
    }
}
