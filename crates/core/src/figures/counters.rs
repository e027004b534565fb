//! The counters of engagement: their names, and how they are stored. Module `fold` says which event adds to which.

use std::ops::{Index, IndexMut};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A figure of engagement, which events increase. A counter is stored at the place of its variant, so a new one goes to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counter {
    /// All events of any kind; one event is enough to give a campaign its row.
    Events,
    /// Messages that were delivered.
    Deliveries,
    /// Opens, including repeated opens of one message.
    Opens,
    /// Messages that were opened at least once.
    UniqueOpens,
    /// E-mails that bounced.
    Bounces,
    /// E-mails with at least one event that enters a figure.
    Emails,
    /// Clicks, including repeated clicks in one message.
    Clicks,
    /// Messages that were clicked at least once.
    UniqueClicks,
    /// Messages whose recipient unsubscribed.
    Unsubscribes,
    /// Messages whose recipient complained.
    Complaints,
    /// Events that went to an address.
    ByAddress,
    /// Events that went to an address that some order names.
    ByAddressNamed,
}

/// The number of counters.
pub const COUNTERS: usize = 12;

/// The counters with the names that people read.
pub(crate) const COUNTER_NAMES: [(Counter, &str); COUNTERS] = [
    (Counter::Events, "events"),
    (Counter::Deliveries, "deliveries"),
    (Counter::Opens, "opens"),
    (Counter::UniqueOpens, "unique opens"),
    (Counter::Bounces, "bounces"),
    (Counter::Emails, "emails"),
    (Counter::Clicks, "clicks"),
    (Counter::UniqueClicks, "unique clicks"),
    (Counter::Unsubscribes, "unsubscribes"),
    (Counter::Complaints, "complaints"),
    (Counter::ByAddress, "events by address"),
    (
        Counter::ByAddressNamed,
        "events by address that some order names",
    ),
];

/// How many counters are stored even if they are 0: those that there were at first. A function that does not know the others yet
/// can read figures that hold none of them.
const COUNTERS_AT_FIRST: usize = 8;

/// Some of the counters, each as the bit of its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CounterSet(u16);

impl CounterSet {
    /// Adds a counter.
    pub(crate) fn add(&mut self, counter: Counter) {
        self.0 |= 1 << counter as u16;
    }

    /// The counters as bits, each at its place.
    #[inline]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Takes in other counters, and returns those that were not in the set before.
    #[inline]
    pub fn take(&mut self, others: Self) -> Self {
        let new = Self(others.0 & !self.0);
        self.0 |= others.0;
        new
    }
}

impl IntoIterator for CounterSet {
    type Item = Counter;
    type IntoIter = CounterSetIter;

    fn into_iter(self) -> CounterSetIter {
        CounterSetIter(self.0)
    }
}

/// The counters of a [`CounterSet`], in the order of their places.
#[derive(Debug)]
pub struct CounterSetIter(u16);

impl Iterator for CounterSetIter {
    type Item = Counter;

    fn next(&mut self) -> Option<Counter> {
        let (counter, _) = COUNTER_NAMES.get(self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(*counter)
    }
}

/// The value of each [`Counter`]. It is stored as a list, from which zeros at the end are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters([i64; COUNTERS]);

impl Counters {
    /// Adds `sign` times other counters to these.
    pub(crate) fn add_times(&mut self, other: &Self, sign: i64) {
        for (sum, n) in self.0.iter_mut().zip(other.0) {
            *sum += sign * n;
        }
    }
}

impl From<[i64; COUNTERS]> for Counters {
    /// The values in the order of [`Counter`].
    fn from(counters: [i64; COUNTERS]) -> Self {
        Self(counters)
    }
}

impl Index<Counter> for Counters {
    type Output = i64;
    fn index(&self, counter: Counter) -> &i64 {
        &self.0[counter as usize]
    }
}

impl IndexMut<Counter> for Counters {
    fn index_mut(&mut self, counter: Counter) -> &mut i64 {
        &mut self.0[counter as usize]
    }
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let used = self.0.iter().rposition(|n| *n != 0).map_or(0, |at| at + 1);
        self.0[..used.max(COUNTERS_AT_FIRST)].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Counters {
    /// Counters that a list does not hold are 0. A list with more counters than there are is refused, since figures would be lost.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Vec::<i64>::deserialize(deserializer)?;
        let mut counters = Self::default();
        let known = counters.0.get_mut(..stored.len());
        let too_many = || {
            let n = stored.len();
            D::Error::custom(format_args!(
                "{n} counters are stored, and this version knows {COUNTERS}"
            ))
        };
        known.ok_or_else(too_many)?.copy_from_slice(&stored);
        Ok(counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_each_counter_once() {
        let places = COUNTER_NAMES.map(|(counter, _)| counter as usize);
        assert_eq!(places, std::array::from_fn(|place| place));
        let (mut all, mut some) = (CounterSet::default(), CounterSet::default());
        for counter in [Counter::Opens, Counter::ByAddressNamed] {
            some.add(counter);
        }
        assert_eq!(
            all.take(some).into_iter().collect::<Vec<_>>(),
            [Counter::Opens, Counter::ByAddressNamed]
        );
        some.add(Counter::Events);
        assert_eq!(
            all.take(some).into_iter().collect::<Vec<_>>(),
            [Counter::Events]
        );
        assert_eq!(all.take(some), CounterSet::default());
    }

    #[test]
    fn how_counters_are_stored() {
        for (stored, last, again) in [
            ("[1,2,3,4,5,6,7,8]", [0, 0], "[1,2,3,4,5,6,7,8]"),
            ("[1,2,3,4,5,6,7,8,9]", [9, 0], "[1,2,3,4,5,6,7,8,9]"),
            ("[1,2,3,4,5,6,7,8,0,-1]", [0, -1], "[1,2,3,4,5,6,7,8,0,-1]"),
            ("[1,2,3,4,5,6,7,8,0,0]", [0, 0], "[1,2,3,4,5,6,7,8]"),
            ("[]", [0, 0], "[0,0,0,0,0,0,0,0]"),
        ] {
            let counters: Counters = serde_json::from_str(stored).unwrap();
            let shown = [Counter::Unsubscribes, Counter::Complaints].map(|one| counters[one]);
            assert_eq!(shown, last, "{stored}");
            assert_eq!(serde_json::to_string(&counters).unwrap(), again, "{stored}");
        }
        assert!(serde_json::from_str::<Counters>("[0,0,0,0,0,0,0,0,0,0,0,0,1]").is_err());
    }
}
