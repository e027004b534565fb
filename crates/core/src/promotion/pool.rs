//! What is left of a limit, spread over shards, and from which of them a use takes its part. N tries at a limit of L succeed
//! exactly min(N, L) times, and tries at the same time seldom meet. This module only calculates; the store decides which item
//! holds what.
//!
//! A limit lies in a root and in shards. A use takes from its own shard. An empty shard draws from the root.
//! Where plenty is left, it draws more than it needs: a quarter of a shard's fair share, so that little is left over in other
//! shards at the end. A use is refused only after it found the root and then all shards empty. Uses move only from the root to
//! shards, so a reader who goes the same way misses none of them.

use crate::value::money::Money;

/// What is left in one place: as it was read, and what this transaction does to it.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    read: Money,
    net: Money,
    low: Money,
}

impl Level {
    fn of(read: Money) -> Self {
        Self {
            read,
            ..Self::default()
        }
    }

    fn left(self) -> Money {
        self.read + self.net
    }

    fn take(&mut self, amount: Money) {
        self.net = self.net - amount;
        self.low = self.low.min(self.net);
    }

    fn give(&mut self, amount: Money) {
        self.net += amount;
    }

    fn change(self) -> LevelChange {
        LevelChange {
            add: self.net,
            at_least: (self.low < Money::ZERO).then(|| -self.low),
        }
    }
}

/// What is written to one place of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelChange {
    /// What is added; it is negative where a use takes something.
    pub add: Money,
    /// What must at least be left there at the time of the write; `None` where nothing is taken.
    pub at_least: Option<Money>,
}

impl LevelChange {
    fn is_nothing(self) -> bool {
        self.add.is_zero() && self.at_least.is_none()
    }
}

/// A limit as one transaction sees it.
#[derive(Debug, Clone)]
pub struct Pool {
    root: Level,
    /// The shards by their number; `None` for a shard that was not read.
    shards: Vec<Option<Level>>,
    own: usize,
    /// True where the whole limit lies in the root and there are no shards.
    whole: bool,
    /// True where uses are counted one by one, so that a shard draws a whole number.
    counted: bool,
}

/// The result of taking an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// Enough was left, and the amount was taken.
    Enough,
    /// Too little was left, and nothing was taken.
    Nothing,
    /// The result is unknown until all shards are read, and nothing was taken.
    Unknown,
}

impl Pool {
    /// A limit with `shards` shards, of which the root and the caller's own shard were read.
    pub fn new(root: Money, shards: u8, own: u8, in_own: Money, counted: bool) -> Self {
        let level = |shard| (shard == own).then(|| Level::of(in_own));
        Self {
            root: Level::of(root),
            shards: (0..shards).map(level).collect(),
            own: usize::from(own),
            whole: false,
            counted,
        }
    }

    /// A limit that lies in its root alone.
    pub fn unspread(root: Money) -> Self {
        Self {
            root: Level::of(root),
            shards: Vec::new(),
            own: 0,
            whole: true,
            counted: true,
        }
    }

    /// Adds another shard, which was read after the root.
    pub fn with_shard(&mut self, shard: u8, left: Money) {
        self.shards[usize::from(shard)].get_or_insert(Level::of(left));
    }

    /// Everything that is left in the places that were read.
    pub fn left(&self) -> Money {
        let shards = self.shards.iter().flatten().map(|shard| shard.left());
        shards.fold(self.root.left(), |sum, left| sum + left)
    }

    fn own(&mut self) -> &mut Level {
        self.shards[self.own].get_or_insert_default()
    }

    /// Takes an amount, if enough is left.
    pub fn take(&mut self, amount: Money) -> Took {
        if self.whole {
            if self.root.left() < amount {
                return Took::Nothing;
            }
            self.root.take(amount);
            return Took::Enough;
        }
        let need = amount - self.own().left();
        if need > Money::ZERO {
            if self.root.left() < need {
                return self.take_from_all(amount);
            }
            let mut share = self.root.left().part(4 * self.shards.len() as i64);
            if self.counted {
                share = Money::from(share.whole());
            }
            let draw = share.max(need);
            self.root.take(draw);
            self.own().give(draw);
        }
        self.own().take(amount);
        Took::Enough
    }

    fn take_from_all(&mut self, amount: Money) -> Took {
        if self.shards.iter().any(Option::is_none) {
            return Took::Unknown;
        }
        if self.left() < amount {
            return Took::Nothing;
        }
        let own = self.own;
        let mut need = amount;
        let others = (0..self.shards.len()).filter(|shard| *shard != own);
        for place in [own].into_iter().chain(others).map(Some).chain([None]) {
            let level = match place {
                Some(shard) => self.shards[shard].get_or_insert_default(),
                None => &mut self.root,
            };
            let part = level.left().min(need).max(Money::ZERO);
            if !part.is_zero() {
                level.take(part);
                need = need - part;
            }
        }
        Took::Enough
    }

    /// Takes an amount even where too little is left, for a use that was honoured already. The shards are emptied, and the root
    /// goes below zero.
    pub fn overdraw(&mut self, amount: Money) {
        let mut need = amount;
        for shard in self.shards.iter_mut().flatten() {
            let part = shard.left().min(need).max(Money::ZERO);
            if !part.is_zero() {
                shard.take(part);
                need = need - part;
            }
        }
        self.root.give(-need);
    }

    /// Gives an amount back to the root.
    pub fn give_back(&mut self, amount: Money) {
        self.root.give(amount);
    }

    /// True where more was used than there was.
    pub fn is_overdrawn(&self) -> bool {
        self.root.left() < Money::ZERO
    }

    /// What is written to the root.
    pub fn root_change(&self) -> LevelChange {
        self.root.change()
    }

    /// What is written to each shard that changed.
    pub fn shard_changes(&self) -> impl Iterator<Item = (u8, LevelChange)> + '_ {
        let levels = (0_u8..).zip(&self.shards);
        let changes = levels.filter_map(|(shard, level)| Some((shard, level.as_ref()?.change())));
        changes.filter(|(_, change)| !change.is_nothing())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMOTION_SHARDS: u8 = 8;

    fn money(text: &str) -> Money {
        Money::stored(text).unwrap()
    }

    #[test]
    fn where_a_use_takes_its_part() {
        // The columns: root, own shard, the other shards (`None`: not read), amount, outcome, then root and own shard afterwards.
        for (root, own, others, amount, outcome, root_after, own_after) in [
            ("100", "0", None, "1", Took::Enough, "97", "2"),
            ("97", "2", None, "1", Took::Enough, "97", "1"),
            ("31", "0", None, "1", Took::Enough, "30", "0"),
            ("0", "1", None, "1", Took::Enough, "0", "0"),
            ("0", "0", None, "1", Took::Unknown, "0", "0"),
            ("0", "0", Some("0"), "1", Took::Nothing, "0", "0"),
            ("0", "0", Some("1"), "1", Took::Enough, "0", "0"),
            ("1", "2", Some("1"), "10", Took::Enough, "0", "0"),
            ("1", "2", Some("1"), "11", Took::Nothing, "1", "2"),
            ("-3", "0", Some("0"), "1", Took::Nothing, "-3", "0"),
        ] {
            let mut pool = Pool::new(money(root), PROMOTION_SHARDS, 3, money(own), true);
            if let Some(others) = others {
                (0..PROMOTION_SHARDS).for_each(|shard| pool.with_shard(shard, money(others)));
            }
            assert_eq!(pool.take(money(amount)), outcome, "{root} {own} {others:?}");
            assert_eq!(pool.root.left(), money(root_after), "root of {root}");
            assert_eq!(pool.own().left(), money(own_after), "slot of {own}");
        }
    }

    #[test]
    fn money_is_drawn_to_the_sixth_decimal_and_overdrawn_whole() {
        let mut pool = Pool::new(money("10"), PROMOTION_SHARDS, 0, Money::ZERO, false);
        assert_eq!(pool.take(money("0.01")), Took::Enough);
        assert_eq!(pool.own().left(), money("0.3025"));
        (0..PROMOTION_SHARDS).for_each(|shard| pool.with_shard(shard, money("1")));
        pool.overdraw(money("20"));
        assert!(pool.is_overdrawn());
        assert_eq!(pool.left(), money("-3.01"));
        pool.give_back(money("4"));
        assert_eq!(pool.left(), money("0.99"));
    }
}
