//! Numbers for things that meet often, like the customers of a partition. A hash finds a thing, and where two hashes meet, the things
//! themselves are compared.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// Hashes bytes, in each run otherwise: nobody can make a file of which all ids meet.
#[derive(Debug, Clone, Default)]
pub(super) struct Hashing(RandomState);

impl Hashing {
    #[inline]
    pub(super) fn of(&self, bytes: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(bytes);
        hasher.finish()
    }
}

/// The hash of a thing that has a number besides what was hashed.
#[inline]
pub(super) fn with_number(hash: u64, number: u64) -> u64 {
    // The golden ratio spreads numbers that follow one another over all bits.
    hash ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Which numbers were given, from 0 on.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Of each number, the upper half of the hash above the number and 1; 0 where there is none. The hash says where it is, or it is
    /// in one of the next places. At least half of the places are empty.
    slots: Vec<u64>,
    /// How many numbers were given.
    given: u32,
}

impl Numbers {
    /// Forgets all numbers. The memory stays, unless it is far more than was needed last.
    pub(super) fn clear(&mut self) {
        match self.slots.len() > SLOTS_MIN.max(16 * self.given as usize) {
            true => self.slots = Vec::new(),
            false => self.slots.fill(0),
        }
        self.given = 0;
    }

    /// The number of a thing, and whether it is given now. `is_it` says of a number whether it is that of the thing.
    #[inline]
    pub(super) fn number(&mut self, hash: u64, is_it: impl Fn(u32) -> bool) -> (u32, bool) {
        if 2 * self.given as usize >= self.slots.len() {
            self.grow();
        }
        let mut at = self.place(hash);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                let number = self.given;
                self.given += 1;
                self.slots[at] = hash & UPPER | u64::from(self.given);
                return (number, true);
            }
            let number = (slot as u32).wrapping_sub(1);
            if (slot ^ hash) & UPPER == 0 && is_it(number) {
                return (number, false);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// Where a hash is looked for first: its highest bits, of which a slot has 32.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        let bits = self.slots.len().trailing_zeros().min(32);
        (hash >> 32 >> (32 - bits)) as usize
    }

    fn grow(&mut self) {
        let more = (2 * self.slots.len()).max(SLOTS_MIN);
        let before = std::mem::replace(&mut self.slots, vec![0; more]);
        for slot in before.into_iter().filter(|slot| *slot != 0) {
            let mut at = self.place(slot);
            while self.slots[at] != 0 {
                at = (at + 1) & (more - 1);
            }
            self.slots[at] = slot;
        }
    }
}

const UPPER: u64 = !(u32::MAX as u64);
const SLOTS_MIN: usize = 1 << 10;
