//! How much of a harness is played, and how it is spread over the machine. `cargo xtask test` plays a share that moves on with every
//! commit, so that everything comes round; `cargo xtask prove` plays all of it; `cargo t`, between two thoughts, plays less.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number in the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

/// Whether all of a harness is played.
pub fn proves() -> bool {
    number("REVTRAIL_PROVE").is_some()
}

/// Whether this is `cargo t`: neither `cargo xtask test`, which names the commits, nor `cargo xtask prove`.
fn between_two_thoughts() -> bool {
    !proves() && number("REVTRAIL_COMMITS").is_none()
}

/// Whether something fails at the `n`-th call of many: at each, but for `cargo t`, which lets an eighth fail.
pub fn fails(n: usize) -> bool {
    !between_two_thoughts() || n.is_multiple_of(8)
}

/// How many calls of one act fail in a share.
const FAILING: usize = 100;

/// Whether the `n`-th of an act's calls fails: each, but where there are more than [`FAILING`] one in so many in turn. Such an act does the
/// same over and over, and to let each of its calls fail takes time by the square of their number.
pub fn fails_among(n: usize, calls: usize) -> bool {
    fails(n) && one_in(calls.div_ceil(FAILING), n)
}

/// How many commits there are: `cargo xtask test` counts them, and without it shares begin where the first did.
pub fn commits() -> usize {
    number("REVTRAIL_COMMITS").unwrap_or(0) as usize
}

/// Whether the `n`-th of many is played: in `cargo xtask prove` each, else one in so many, in turn with the commits.
pub fn one_in(of: usize, n: usize) -> bool {
    proves() || (n + commits()).is_multiple_of(of)
}

/// All of a list, or the one whose turn it is: the turn moves on with the commits, and with `n` from one list to the next.
pub fn share<T: Copy>(list: &[T], n: usize, all: bool) -> Vec<T> {
    match list.len() {
        0 => Vec::new(),
        _ if all => list.to_vec(),
        len => vec![list[(commits() + n) % len]],
    }
}

/// The seeds of a harness: `REVTRAIL_SEED`, or as many as the variable says from `REVTRAIL_FROM` on; else a share or all, and for
/// `cargo t` a tenth of a share.
pub fn seeds(variable: &str, share: u64, all: u64) -> Range<u64> {
    if let Some(seed) = number("REVTRAIL_SEED") {
        return seed..seed + 1;
    }
    let (count, from) = match proves() {
        true => (all, 0),
        false if between_two_thoughts() => (share.div_ceil(10), 0),
        false => (share, commits() as u64 * share),
    };
    let count = number(variable).unwrap_or(count);
    let from = number("REVTRAIL_FROM").unwrap_or(from);
    println!("the same seeds again: REVTRAIL_FROM={from} {variable}={count}");
    from..from + count
}

/// Plays every item, on all threads of the machine, the first ones first; what came of each. Where one fails, it is said how to
/// replay it, and no other is begun.
pub fn spread<T: Sync, R: Send>(
    items: &[T],
    replay: impl Fn(&T) -> String + Sync,
    play: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            match catch_unwind(AssertUnwindSafe(|| play(item))) {
                Ok(result) => results.lock().unwrap().push((at, result)),
                Err(_) => {
                    next.store(items.len(), Ordering::Relaxed);
                    panic!("replay: {}", replay(item));
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
