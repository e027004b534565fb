//! Work on all partitions by several threads.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Takes so many partitions. Each thread takes the next one that nobody took, and adds to a value of its own, which `new` makes.
pub(super) fn each_partition<T: Send>(
    threads: usize,
    partitions: usize,
    new: impl Fn() -> T + Sync,
    take: impl Fn(&mut T, usize) + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut taken = new();
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                partition if partition < partitions => take(&mut taken, partition),
                _ => return taken,
            }
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let others = others.into_iter().map(|other| other.join());
        let others = others.map(|taken| taken.unwrap_or_else(|panic| resume_unwind(panic)));
        std::iter::once(own).chain(others).collect()
    })
}
