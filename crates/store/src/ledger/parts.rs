//! Parts of daily aggregates: what folds append beside a large aggregate, and what takes the parts into it.
//!
//! The aggregate of a day with 1,000 campaigns has a hundred KB, and a fold of ninety customers changes two KB of it. So a fold
//! puts its difference beside the aggregate, in the same partition, and now and then a worker adds all parts to the aggregate. A
//! part counts from the transaction that puts it. The aggregate names the parts that it took in, so that whoever finds one of these
//! counts it once. The order of three things makes this exact: the aggregate is written before its parts are deleted, a reader sees the
//! parts of a day before its aggregate, and both in one page.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::Day;

use crate::ledger::daily::{AggregateCache, Daily, StoredAggregate, read_aggregate};
use crate::random::random_hex;
use crate::table::client::{PutOutcome, Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data, item_bytes, sk, unreadable};
use crate::table::keys;
use crate::table::write::Write;

/// A worker takes parts into their aggregate when it has appended so many bytes, or so many parts. Until then every report reads them.
const PARTS_BYTES_MAX: usize = 64_000;
const PARTS_MAX: usize = 32;
/// The most bytes of an aggregate and the parts that it takes in at once: an item has 400 KB.
const TAKEN_BYTES_MAX: usize = 380_000;
/// How many parts are deleted at the same time.
const DELETES_AT_ONCE: usize = 8;
/// The length of a part's name.
const NAME_DIGITS: usize = 16;

/// The names of the parts that an aggregate took in: those of the last time, and those of the time before. The latter are kept for a
/// reader that saw such a part just before it was deleted.
pub(super) type Taken = [BTreeSet<String>; 2];

/// A day as it is stored in one shard.
#[derive(Debug, Clone, Default)]
pub(super) struct ShardDay {
    pub(super) stored: StoredAggregate,
    /// The parts that the aggregate has not taken in.
    parts: BTreeMap<String, Aggregate<CampaignId>>,
    /// The parts that it has taken in and that are still there.
    taken: BTreeSet<String>,
    /// The bytes of the aggregate.
    pub(super) bytes: usize,
    part_bytes: BTreeMap<String, usize>,
}

impl ShardDay {
    /// The aggregate with its parts.
    pub(super) fn sum(&self) -> Aggregate<CampaignId> {
        let mut sum = self.stored.aggregate.clone();
        self.parts.values().for_each(|part| sum.add(part));
        sum
    }

    /// Changes with everything that is written of the day in this shard.
    pub(super) fn state(&self) -> i64 {
        let number =
            |name: &String| i64::from_str_radix(name.get(1..).unwrap_or_default(), 16).unwrap_or(1);
        let parts = self.parts.keys().map(number);
        parts.fold(self.stored.version, i64::wrapping_add)
    }

    /// The bytes of all items.
    pub(super) fn all_bytes(&self) -> usize {
        self.bytes + self.part_bytes.values().sum::<usize>()
    }

    /// True where parts are there, taken in or not.
    pub(super) fn has_parts(&self) -> bool {
        !self.part_bytes.is_empty()
    }

    fn take_in(&mut self, item: &Item) -> Result<(), StoreError> {
        if let Some((_, name)) = keys::aggregate_part_of(sk(item)) {
            self.part_bytes.insert(name.to_owned(), item_bytes(item));
            self.parts.insert(name.to_owned(), data(item)?);
        } else {
            (_, self.stored) = read_aggregate(item)?;
            self.bytes = item_bytes(item);
        }
        Ok(())
    }

    /// Sets those parts aside that the aggregate has taken in. All items of the day were read.
    fn close(&mut self) {
        for name in self.stored.taken.iter().flatten() {
            if self.parts.remove(name).is_some() {
                self.taken.insert(name.clone());
            }
        }
    }

    /// The aggregate with as many parts as fit into it, and their names; `None` where there is nothing to take in.
    fn with_parts(&self) -> Option<(StoredAggregate, BTreeSet<String>)> {
        let (mut next, mut names) = (self.stored.clone(), BTreeSet::new());
        let mut bytes = self.bytes;
        for (name, part) in &self.parts {
            bytes += self.part_bytes.get(name).unwrap_or(&0);
            if bytes <= TAKEN_BYTES_MAX {
                next.aggregate.add(part);
                names.insert(name.clone());
            }
        }
        let [last, _] = next.taken;
        next.taken = [names.clone(), last];
        (!names.is_empty()).then_some((next, names))
    }
}

fn aggregate_day(item: &Item) -> Result<Day, StoreError> {
    keys::aggregate_day(sk(item)).ok_or_else(|| unreadable(item, "its key is no day"))
}

impl Daily<'_> {
    /// The days of a shard, both ends included, each as of one time. `from` may be any text that sorts before a day. Of the items only
    /// those are taken that are `seen`.
    pub(super) async fn shard_days(
        self,
        shard: u8,
        from: &str,
        to: Day,
        reading: Reading,
        seen: impl Fn(&Item) -> bool,
    ) -> Result<BTreeMap<Day, ShardDay>, StoreError> {
        let pk = keys::aggregates(&self.market.id, shard);
        let range = Range::Between(from.to_owned(), keys::aggregates_end(to));
        // The parts of a day sort after its aggregate, and so they are read before it.
        let reading = Reading {
            newest_first: true,
            ..reading
        };
        let mut days: BTreeMap<Day, ShardDay> = BTreeMap::new();
        let mut after = None;
        loop {
            let store = &self.market.store;
            let (items, next) = store.page(&pk, &range, reading, after, None).await?;
            // A day that may go on in the next page is read there from its beginning, unless it fills this one.
            let edge = |item: Option<&Item>| item.map(aggregate_day).transpose();
            let (newest, oldest) = (edge(items.first())?, edge(items.last())?);
            let cut = oldest.filter(|_| next.is_some() && newest != oldest);
            after = cut.map(keys::aggregates_end).or(next);
            for item in items.iter().filter(|item| seen(item)) {
                let day = aggregate_day(item)?;
                if cut != Some(day) {
                    days.entry(day).or_default().take_in(item)?;
                }
            }
            if after.is_none() {
                days.values_mut().for_each(ShardDay::close);
                return Ok(days);
            }
        }
    }

    /// A write that puts a difference beside its aggregate.
    pub(super) fn put_part(self, shard: u8, day: Day, difference: &Aggregate<CampaignId>) -> Write {
        let name = &random_hex()[..NAME_DIGITS];
        let key = keys::aggregate_part(&self.market.id, shard, day, name);
        let item = NewItem::at(&key).packed(difference);
        let store = &self.market.store;
        store.put_write(item.expires(self.unseen_at(day)), None)
    }

    /// Takes the parts into their aggregates that a worker appended: all of them, or only where they are many.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. Parts that stay are counted where they are.
    pub async fn take_parts(self, cache: &mut AggregateCache, all: bool) -> Result<(), StoreError> {
        for (shard, day) in cache.appended(|bytes, parts| {
            parts > 0 && (all || parts >= PARTS_MAX || bytes >= PARTS_BYTES_MAX)
        }) {
            let now = self.take_parts_of(shard, day).await?;
            cache.renew(day, now);
        }
        Ok(())
    }

    /// Takes the parts of a day into its aggregate. Gives the aggregate as it is now, with its bytes; `None` if another worker changed it
    /// meanwhile, or if it is full.
    pub(super) async fn take_parts_of(
        self,
        shard: u8,
        day: Day,
    ) -> Result<Option<(StoredAggregate, usize)>, StoreError> {
        let from = day.to_string();
        let days = self.shard_days(shard, &from, day, Reading::STRONG, |_| true);
        let mut days = days.await?;
        let Some(read) = days.remove(&day) else {
            return Ok(None);
        };
        // Whoever took these in died before they were deleted. They go before their names do.
        self.delete_parts(shard, day, &read.taken).await?;
        let Some((mut next, names)) = read.with_parts() else {
            return Ok(None);
        };
        let item = self.aggregate_item(shard, day, &next);
        let bytes = item.bytes();
        let unchanged = Condition::version(next.version);
        match self.market.store.put(item, Some(unchanged)).await? {
            PutOutcome::Refused(_) => return Ok(None),
            PutOutcome::Done(_) => next.version += 1,
        }
        self.delete_parts(shard, day, &names).await?;
        Ok(Some((next, bytes)))
    }

    async fn delete_parts(
        self,
        shard: u8,
        day: Day,
        names: &BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let delete = |name: &String| {
            let key = keys::aggregate_part(&self.market.id, shard, day, name);
            async move { self.market.store.delete(&key).await }
        };
        let deletes: Vec<_> = names.iter().map(delete).collect();
        stream::iter(deletes)
            .buffer_unordered(DELETES_AT_ONCE)
            .try_collect()
            .await
    }
}
