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

/// The length and the ends of some bytes. They tell short ones apart where they are, without a look at the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends {
    length: usize,
    ends: [u64; 2],
}

impl Ends {
    #[inline]
    pub(super) fn of(bytes: &[u8]) -> Self {
        let four = |bytes: [u8; 4]| u64::from(u32::from_le_bytes(bytes));
        let ends = match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => [u64::from_le_bytes(*first), u64::from_le_bytes(*last)],
            _ => match (bytes.first_chunk(), bytes.last_chunk()) {
                (Some(first), Some(last)) => [four(*first), four(*last)],
                _ => [0; 2],
            },
        };
        Self {
            length: bytes.len(),
            ends,
        }
    }

    /// True where all bytes with this length and these ends are the same.
    #[inline]
    pub(super) fn is_all(&self) -> bool {
        (4..=16).contains(&self.length)
    }
}

/// Which numbers were given, from 0 on.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Of each number, the upper half of the hash above the number and 1; 0 where there is none. The hash says where it is, or it is
    /// in one of the next places. At least half of the places are empty.
    slots: Vec<u64>,
    /// How many of the slots are places. It is a power of two, or 0 at first.
    places: usize,
    /// How many numbers were given.
    given: u32,
}

impl Numbers {
    /// Forgets all numbers, and makes room for about so many. The memory stays.
    pub(super) fn clear(&mut self, things: usize) {
        self.given = 0;
        self.places = (2 * things).next_power_of_two().max(SLOTS_MIN);
        if self.slots.len() < self.places {
            self.slots.resize(self.places, 0);
        }
        self.slots[..self.places].fill(0);
    }

    /// How many numbers were given.
    pub(super) fn given(&self) -> usize {
        self.given as usize
    }

    /// The number of a thing, and whether it is given now. `is_it` says of a number whether it is that of the thing.
    #[inline]
    pub(super) fn number(&mut self, hash: u64, is_it: impl Fn(u32) -> bool) -> (u32, bool) {
        if 2 * self.given as usize >= self.places {
            self.grow();
        }
        let slots = &mut self.slots[..self.places];
        let mut at = place(hash, slots.len());
        loop {
            let slot = &mut slots[at];
            if *slot == 0 {
                let number = self.given;
                self.given += 1;
                *slot = hash & UPPER | u64::from(self.given);
                return (number, true);
            }
            let number = (*slot as u32).wrapping_sub(1);
            if (*slot ^ hash) & UPPER == 0 && is_it(number) {
                return (number, false);
            }
            at = (at + 1) & (slots.len() - 1);
        }
    }

    #[cold]
    fn grow(&mut self) {
        let before = self.slots[..self.places].to_vec();
        let given = self.given;
        self.clear(self.places.max(SLOTS_MIN));
        self.given = given;
        for slot in before.into_iter().filter(|slot| *slot != 0) {
            let mut at = place(slot, self.places);
            while self.slots[at] != 0 {
                at = (at + 1) & (self.places - 1);
            }
            self.slots[at] = slot;
        }
    }
}

/// Where of so many places a hash is looked for first: its highest bits, of which a slot has 32.
#[inline]
fn place(hash: u64, places: usize) -> usize {
    let bits = places.trailing_zeros().min(32);
    (hash >> 32 >> (32 - bits)) as usize
}

const UPPER: u64 = !(u32::MAX as u64);
const SLOTS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Things get numbers as they come, also where all hashes meet, while the memory grows, and after all was forgotten.
    #[test]
    fn each_thing_has_one_number() {
        let hashings: [fn(u64) -> u64; 3] = [|n| with_number(0, n), |_| 7 << 40, |n| (n % 5) << 62];
        for hash in hashings {
            let mut numbers = Numbers::default();
            for (things, room) in [(3_000, 3_000), (1, 0), (2_000, 100)] {
                numbers.clear(room);
                let mut known: Vec<u64> = Vec::new();
                for thing in (0..things).chain((0..things).rev()) {
                    let is_it = |number: u32| known[number as usize] == thing;
                    let (number, is_new) = numbers.number(hash(thing), is_it);
                    if is_new {
                        known.push(thing);
                    }
                    assert_eq!((known[number as usize], u64::from(number)), (thing, thing));
                }
                assert_eq!([known.len(), numbers.given()], [things as usize; 2]);
            }
        }
    }

    #[test]
    fn ends_tell_short_bytes_apart() {
        for length in 0..20 {
            let bytes: Vec<u8> = (1..=length).collect();
            let ends = Ends::of(&bytes);
            assert_eq!(ends, Ends::of(&bytes.clone()));
            assert_ne!(ends, Ends::of(&[&bytes[..], b"x"].concat()));
            assert_eq!(ends.is_all(), (4..=16).contains(&length));
            for at in 0..bytes.len() {
                let mut other = bytes.clone();
                other[at] ^= 0x81;
                let tells = Ends::of(&other) != ends;
                assert!(tells || !ends.is_all(), "{length} {at}");
            }
        }
    }
}
