//! Blocks: many whole lines at once, read by several workers. A block of plain rows is read where it is, see [`Plan`](crate::Plan). Any other
//! block goes back, and [`Records`] reads it record by record, so there is one reader that knows what is wrong.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use crate::lines::Block;
use crate::plain::NotPlain;
use crate::records::Records;

/// The bytes of a block. The rows that are made of it are cut into a thousand parts, which should hold more than a few.
pub const BLOCK_BYTES: usize = 4 << 20;

/// What the workers share.
struct Shared<'r, R: Read, T, A> {
    records: &'r mut Records<R>,
    /// The number of the next block, and of the next that is accepted.
    next: u64,
    accepted: u64,
    /// Blocks that were read, with what was made of each; `None` of one that is not plain.
    waiting: BTreeMap<u64, (Block, Option<T>)>,
    spare: Vec<Block>,
    accept: A,
    ended: bool,
}

/// Reads blocks with a thread for each worker, until one is not plain or none follows. What `make` makes of a block is given to
/// `accept` in the order of the blocks. A block that is not plain goes back, with those behind it, to be read record by record.
/// Returns how many bytes it has.
pub fn read_blocks<R, W, T>(
    records: &mut Records<R>,
    workers: &mut [W],
    block_bytes: usize,
    make: impl Fn(&mut W, &Block) -> Result<T, NotPlain> + Sync,
    accept: impl FnMut(T) + Send,
) -> u64
where
    R: Read + Send,
    W: Send,
    T: Send,
{
    let shared = Mutex::new(Shared {
        records,
        next: 0,
        accepted: 0,
        waiting: BTreeMap::new(),
        spare: Vec::new(),
        accept,
        ended: false,
    });
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let work = |worker: &mut W| {
        let mut taken = lock().take(block_bytes);
        while let Some((number, block)) = taken {
            let made = make(worker, &block).ok();
            let mut shared = lock();
            shared.give(number, block, made);
            taken = shared.take(block_bytes);
        }
    };
    side_by_side(workers, work);
    let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    let blocks: Vec<Block> = shared
        .waiting
        .into_values()
        .map(|(block, _)| block)
        .collect();
    shared.records.give_back(&blocks);
    blocks.first().map_or(0, |block| block.bytes.len() as u64)
}

/// Lets each worker work on a thread of its own, the first on this one, until all are done.
pub(crate) fn side_by_side<W: Send>(workers: &mut [W], work: impl Fn(&mut W) + Sync) {
    let work = &work;
    std::thread::scope(|scope| {
        let mut workers = workers.iter_mut();
        let own = workers.next();
        for worker in workers {
            scope.spawn(move || work(worker));
        }
        own.map(work)
    });
}

impl<R: Read, T, A: FnMut(T)> Shared<'_, R, T, A> {
    /// The next block, unless there is none, or one before it was not plain.
    fn take(&mut self, block_bytes: usize) -> Option<(u64, Block)> {
        if self.ended {
            return None;
        }
        let mut block = self.spare.pop().unwrap_or_default();
        if !self.records.next_block(&mut block, block_bytes) {
            self.ended = true;
            return None;
        }
        self.next += 1;
        Some((self.next - 1, block))
    }

    /// Takes what was made of a block, and accepts it once everything before it was accepted.
    fn give(&mut self, number: u64, block: Block, made: Option<T>) {
        self.ended |= made.is_none();
        self.waiting.insert(number, (block, made));
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() == self.accepted
            && entry.get().1.is_some()
        {
            let (block, made) = entry.remove();
            made.into_iter().for_each(&mut self.accept);
            self.spare.push(block);
            self.accepted += 1;
        }
    }
}
