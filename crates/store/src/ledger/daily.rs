//! Daily aggregates: the figures of local days.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::{DAY_MS, Day, Instant};

use crate::ledger::intake::IntakeMarker;
use crate::ledger::parts::{ShardDay, Taken};
use crate::market::{Market, TRIES_MAX};
use crate::table::attributes::{VERSION, aggregate};
use crate::table::client::Reading;
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, expired, item_bytes, sk, text, unreadable, version};
use crate::table::keys;
use crate::table::write::{TRANSACTION_ITEMS_MAX, Transacted, Write};

/// The most transactions in a row that may fail without any progress.
pub(crate) const FAILURES_MAX: usize = 50;

/// A daily aggregate with more bytes than this takes no more. What comes next goes to the next shard, whose daily aggregate is
/// just another part of the sum. The limit holds about 6,000 campaigns of a day, compressed, and all shards hold eight times as
/// many.
pub(super) const AGGREGATE_BYTES_MAX: usize = 300_000;
/// The most bytes of the intake markers that replace others in one transaction, which has 4 MB and also holds some daily
/// aggregates.
const SUCCESSORS_BYTES_MAX: usize = 1_000_000;

/// The most daily aggregates in a transaction that absorbs intake markers. Only outages that lasted for weeks need so many.
const AGGREGATES_MAX: usize = 7;

/// The daily aggregates that a worker holds, with the versions it last saw, so that each is read once and not at every step.
#[derive(Debug)]
pub struct AggregateCache {
    shard: u8,
    aggregates: BTreeMap<Day, CachedAggregate>,
    /// See [`Meta::split_from`](crate::market::Meta::split_from).
    pub(crate) split_from: Option<Day>,
    /// The bytes above which an aggregate is not written for each difference.
    append_above: usize,
}

#[derive(Debug, Default)]
struct CachedAggregate {
    shard: u8,
    stored: StoredAggregate,
    bytes: usize,
    /// True if the difference that is being written is put beside the aggregate.
    appends: bool,
    /// The bytes and the number of the parts that were put beside it.
    appended: (usize, usize),
}

/// The bytes of an aggregate up to which it is written for each difference. A larger one gets the difference beside it, which is a
/// second item to write and to delete.
pub const APPEND_ABOVE: usize = 8_192;

/// For each other shard, the version since which the daily aggregate of that shard reflects a merge with this one: it has
/// received what this one gave, or lacks what this one took. Shards are read one by one, and a merge can happen between two
/// reads. Then one of the two shards has an older version than the other knows of.
type Merged = BTreeMap<u8, i64>;

/// A daily aggregate as it is stored; if none is stored, the empty one of version 0.
#[derive(Debug, Clone, Default)]
pub(super) struct StoredAggregate {
    pub(super) version: i64,
    merged: Merged,
    pub(super) taken: Taken,
    pub(super) aggregate: Aggregate<CampaignId>,
}

impl AggregateCache {
    /// An empty cache. What it writes goes to this shard first.
    pub fn of(shard: u8) -> Self {
        Self {
            shard,
            aggregates: BTreeMap::new(),
            split_from: None,
            append_above: APPEND_ABOVE,
        }
    }

    /// The same, with another bound of bytes above which differences are put beside an aggregate.
    pub fn append_above(mut self, bytes: usize) -> Self {
        self.append_above = bytes;
        self
    }

    /// The same, where days are split from a day on.
    pub fn split_from(mut self, day: Option<Day>) -> Self {
        self.split_from = day;
        self
    }

    /// Where parts were appended, by the bytes and the number of them.
    pub(super) fn appended(&self, is_wanted: impl Fn(usize, usize) -> bool) -> Vec<(u8, Day)> {
        let aggregates = self.aggregates.iter();
        let wanted = aggregates.filter(|(_, on)| is_wanted(on.appended.0, on.appended.1));
        wanted.map(|(&day, on)| (on.shard, day)).collect()
    }

    /// Takes an aggregate as it was written; it is read again where that is not known.
    pub(super) fn renew(&mut self, day: Day, now: Option<(StoredAggregate, usize)>) {
        match (now, self.aggregates.get_mut(&day)) {
            (Some((stored, bytes)), Some(on)) => {
                (on.stored, on.bytes, on.appended) = (stored, bytes, (0, 0));
            }
            _ => drop(self.aggregates.remove(&day)),
        }
    }
}

/// The daily aggregates of one marketplace. Reached by [`Market::daily`].
#[derive(Debug, Clone, Copy)]
pub struct Daily<'m> {
    pub(super) market: &'m Market,
}

impl Market {
    /// The daily aggregates of one marketplace.
    pub fn daily(&self) -> Daily<'_> {
        Daily { market: self }
    }
}

impl Daily<'_> {
    /// When the figures of a day are no longer shown to anybody.
    pub(crate) fn unseen_at(self, day: Day) -> Instant {
        day.over_everywhere()
            .plus_ms(self.market.retention.ms() + 2 * DAY_MS)
    }

    /// Reads the daily aggregates of days into the cache, from the first shard with room, starting at the cache's own shard.
    async fn fetch(
        self,
        cache: &mut AggregateCache,
        days: impl Iterator<Item = Day>,
    ) -> Result<(), StoreError> {
        let mut wanted: BTreeMap<Day, u8> = BTreeMap::new();
        for day in days {
            match cache.aggregates.get(&day) {
                Some(on) if on.bytes <= AGGREGATE_BYTES_MAX => {}
                Some(full) => drop(wanted.insert(day, (full.shard + 1) % keys::AGGREGATE_SHARDS)),
                None => drop(wanted.insert(day, cache.shard)),
            }
        }
        while !wanted.is_empty() {
            let key = |(&day, &shard): (&Day, &u8)| keys::aggregate(&self.market.id, shard, day);
            let keys: Vec<_> = wanted.iter().map(key).collect();
            for (&day, &shard) in &wanted {
                let nothing = CachedAggregate {
                    shard,
                    ..CachedAggregate::default()
                };
                cache.aggregates.insert(day, nothing);
            }
            for item in self.market.store.get_all(&keys, true).await? {
                let (day, stored) = read_aggregate(&item)?;
                let on = cache.aggregates.entry(day).or_default();
                (on.stored, on.bytes) = (stored, item_bytes(&item));
            }
            wanted.retain(|day, shard| {
                *shard = (*shard + 1) % keys::AGGREGATE_SHARDS;
                let full = cache
                    .aggregates
                    .get(day)
                    .is_some_and(|on| on.bytes > AGGREGATE_BYTES_MAX);
                // After one round all shards are full. Then the aggregate is written where it is, and the table decides whether
                // it fits.
                full && *shard != cache.shard
            });
        }
        Ok(())
    }

    /// Writes that add differences to the daily aggregates of days, each under its version.
    pub(crate) async fn aggregate_writes(
        self,
        cache: &mut AggregateCache,
        differences: &BTreeMap<Day, Aggregate<CampaignId>>,
    ) -> Result<Vec<Write>, StoreError> {
        self.fetch(cache, differences.keys().copied()).await?;
        let mut writes = Vec::new();
        for (&day, difference) in differences {
            let is_split = cache.split_from.is_some_and(|from| day >= from);
            let on = cache.aggregates.entry(day).or_default();
            on.appends = false;
            if is_split && on.bytes > cache.append_above {
                let part = self.put_part(on.shard, day, difference);
                if part.bytes() <= on.bytes {
                    on.appends = true;
                    writes.push(part);
                    continue;
                }
            }
            let mut next = on.stored.clone();
            next.aggregate.add(difference);
            writes.push(self.put_aggregate(on.shard, day, &next));
        }
        Ok(writes)
    }

    /// A write that replaces a daily aggregate, under the version that was read.
    pub(super) fn put_aggregate(self, shard: u8, day: Day, stored: &StoredAggregate) -> Write {
        let item = self.aggregate_item(shard, day, stored);
        let unchanged = Condition::version(stored.version);
        self.market.store.put_write(item, Some(unchanged))
    }

    /// A daily aggregate of the next version.
    pub(super) fn aggregate_item(self, shard: u8, day: Day, stored: &StoredAggregate) -> NewItem {
        let mut item = NewItem::at(&keys::aggregate(&self.market.id, shard, day))
            .number(VERSION, stored.version + 1)
            .packed(&stored.aggregate)
            .expires(self.unseen_at(day));
        if !stored.merged.is_empty() {
            item = item.json(aggregate::MERGED, &stored.merged);
        }
        if stored.taken.iter().any(|names| !names.is_empty()) {
            item = item.json(aggregate::TAKEN, &stored.taken);
        }
        item
    }

    /// Moves the parts of quiet days (those before `day`) from the other shards to the first, one day in one transaction. A day
    /// that changes in the meantime is left for another time, and so are the days that are left when the clock shows `stop_at`.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn merge_quiet(
        self,
        day: Day,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<(), StoreError> {
        let mut shards: BTreeMap<Day, Vec<(u8, StoredAggregate)>> = BTreeMap::new();
        for shard in 1..keys::AGGREGATE_SHARDS {
            // DynamoDB takes no empty text as a key, and no day sorts before this text.
            let days = self.shard_days(shard, "0", day.minus(1), Reading::EVENTUAL, |_| true);
            for (day, read) in days.await? {
                if read.has_parts() {
                    // A worker died. The day is merged another time.
                    self.take_parts_of(shard, day).await?;
                } else if !read.stored.aggregate.is_empty() {
                    shards.entry(day).or_default().push((shard, read.stored));
                }
            }
        }
        for (day, parts) in shards {
            let first = self
                .market
                .store
                .get(&keys::aggregate(&self.market.id, 0, day), true)
                .await?;
            let mut first = match &first {
                Some(item) => read_aggregate(item)?.1,
                None => StoredAggregate::default(),
            };
            let mut writes = Vec::new();
            for (shard, mut part) in parts {
                // The part is emptied, not deleted. A version that starts again at 1 could be taken for the one that a frozen
                // worker knows.
                first.aggregate.add(&std::mem::take(&mut part.aggregate));
                first.merged.insert(shard, part.version + 1);
                part.merged.insert(0, first.version + 1);
                writes.push(self.put_aggregate(shard, day, &part));
            }
            let first = self.put_aggregate(0, day, &first);
            if first.bytes() <= AGGREGATE_BYTES_MAX {
                writes.push(first);
                self.market.store.transact(writes).await?;
            }
            if clock() >= stop_at {
                break;
            }
        }
        Ok(())
    }

    /// Records in the cache that the writes of [`Daily::aggregate_writes`] were made, and how large the daily aggregates are now.
    pub(crate) fn aggregates_written(
        cache: &mut AggregateCache,
        differences: &BTreeMap<Day, Aggregate<CampaignId>>,
        bytes: impl Iterator<Item = usize>,
    ) {
        for ((day, difference), bytes) in differences.iter().zip(bytes) {
            let on = cache.aggregates.entry(*day).or_default();
            if on.appends {
                on.appended = (on.appended.0 + bytes, on.appended.1 + 1);
                continue;
            }
            on.stored.version += 1;
            on.stored.aggregate.add(difference);
            on.bytes = bytes;
        }
    }

    /// Forgets the daily aggregates whose writes failed; `faults` has theirs, in the order of `differences`.
    pub(crate) fn aggregates_at_fault(
        cache: &mut AggregateCache,
        differences: &BTreeMap<Day, Aggregate<CampaignId>>,
        faults: &[Fault],
    ) {
        for (&day, _) in differences
            .iter()
            .zip(faults)
            .filter(|(_, fault)| **fault != Fault::None)
            .map(|(d, f)| (d.0, f))
        {
            cache.aggregates.remove(&day);
        }
    }

    /// Deletes intake markers and, in the same transactions, adds the counts of the closed ones to the daily aggregates of their
    /// days of arrival. An intake marker that is already gone was counted by whoever deleted it.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn absorb_markers(
        self,
        markers: &[IntakeMarker],
        versions: &Versions,
        cache: &mut AggregateCache,
        now: Instant,
    ) -> Result<(), StoreError> {
        let mut left: Vec<&IntakeMarker> = markers.iter().collect();
        let mut failures = 0;
        while !left.is_empty() {
            let (batch, mut successors, differences) = self.absorbable(&left, versions, now);
            let mut writes: Vec<Write> = batch
                .iter()
                .map(|marker| {
                    self.market.store.delete_write(
                        &keys::marker(&self.market.id, &marker.call),
                        Some(Condition::present()),
                    )
                })
                .collect();
            writes.append(&mut successors);
            let before = writes.len();
            writes.extend(self.aggregate_writes(cache, &differences).await?);
            let bytes: Vec<usize> = writes.iter().skip(before).map(Write::bytes).collect();
            match self.market.store.transact(writes).await? {
                Transacted::Done => {
                    Self::aggregates_written(cache, &differences, bytes.into_iter());
                    self.take_parts(cache, false).await?;
                    failures = 0;
                    left.drain(..batch.len());
                }
                Transacted::Cancelled(faults) => {
                    failures += 1;
                    if failures > FAILURES_MAX {
                        return Err(StoreError::Contended {
                            op: "absorbing intake markers",
                        });
                    }
                    Self::aggregates_at_fault(cache, &differences, &faults[before..]);
                    let gone: BTreeSet<&str> = batch
                        .iter()
                        .zip(&faults)
                        .filter(|(_, fault)| **fault == Fault::Condition)
                        .map(|(marker, _)| marker.call.as_str())
                        .collect();
                    left.retain(|marker| !gone.contains(marker.call.as_str()));
                }
            }
        }
        self.take_parts(cache, true).await
    }

    /// The first intake markers that fit into one transaction with their successors and their daily aggregates, and what they add
    /// to these.
    fn absorbable<'n>(
        self,
        markers: &[&'n IntakeMarker],
        versions: &Versions,
        now: Instant,
    ) -> (
        Vec<&'n IntakeMarker>,
        Vec<Write>,
        BTreeMap<Day, Aggregate<CampaignId>>,
    ) {
        let (mut successors, mut bytes) = (Vec::new(), 0);
        let mut differences: BTreeMap<Day, Aggregate<CampaignId>> = BTreeMap::new();
        let mut batch = Vec::new();
        for marker in markers {
            let day = marker.at.day(versions.at(marker.at).settings.timezone);
            let new_day = marker.closed && !differences.contains_key(&day);
            let successor = marker.successor(now);
            let successor =
                successor.map(|next| self.market.store.put_write(next.item(self.market), None));
            let more = 1 + usize::from(new_day) + usize::from(successor.is_some());
            let full = new_day && differences.len() == AGGREGATES_MAX;
            if full
                || batch.len() + successors.len() + differences.len() + more > TRANSACTION_ITEMS_MAX
            {
                break;
            }
            bytes += successor.as_ref().map_or(0, Write::bytes);
            if bytes > SUCCESSORS_BYTES_MAX && !batch.is_empty() {
                break;
            }
            successors.extend(successor);
            if marker.closed {
                let aggregate = differences.entry(day).or_default();
                aggregate.orders_in.add(&marker.orders_in);
                aggregate.events_in.add(&marker.events_in);
                for (word, n) in &marker.ignored {
                    aggregate.add_ignored(word, *n);
                }
                for (code, n) in &marker.rejections {
                    aggregate.add_rejections(code, *n);
                }
            }
            batch.push(*marker);
        }
        (batch, successors, differences)
    }

    /// The daily aggregates of some days, both ends included; days without figures are absent.
    ///
    /// Each is the sum of all shards. One shard may be negative, but the sum is not.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn aggregates(
        self,
        from: Day,
        to: Day,
        reading: Reading,
        now: Instant,
    ) -> Result<BTreeMap<Day, Aggregate<CampaignId>>, StoreError> {
        let first = &from.to_string();
        let mut reading = reading;
        for _ in 0..TRIES_MAX {
            let shards = (0..keys::AGGREGATE_SHARDS).map(|shard| {
                self.shard_days(shard, first, to, reading, move |item| !expired(item, now))
            });
            let mut days: BTreeMap<Day, BTreeMap<u8, ShardDay>> = BTreeMap::new();
            for (shard, read) in (0..).zip(try_join_all(shards).await?) {
                for (day, one) in read {
                    days.entry(day).or_default().insert(shard, one);
                }
            }
            if days.values().all(are_of_one_time) {
                return Ok(days.into_iter().map(sum_of_day).collect());
            }
            // A merge happened between the reads. It is complete by now, and a strong read sees all of it.
            reading = Reading::STRONG;
        }
        Err(StoreError::Contended {
            op: "reading daily aggregates",
        })
    }
}

pub(super) fn read_aggregate(item: &Item) -> Result<(Day, StoredAggregate), StoreError> {
    let day = Day::parse(sk(item)).ok_or_else(|| unreadable(item, "its key is no day"))?;
    let merged = match text(item, aggregate::MERGED) {
        "" => Merged::new(),
        merged => serde_json::from_str(merged).map_err(|why| unreadable(item, why))?,
    };
    let taken = match text(item, aggregate::TAKEN) {
        "" => Taken::default(),
        taken => serde_json::from_str(taken).map_err(|why| unreadable(item, why))?,
    };
    let stored = StoredAggregate {
        version: version(item),
        merged,
        taken,
        aggregate: data(item)?,
    };
    Ok((day, stored))
}

/// True if no part of a day's aggregate is older than another part knows it to be.
fn are_of_one_time(aggregates: &BTreeMap<u8, ShardDay>) -> bool {
    let version_of = |shard| aggregates.get(shard).map_or(0, |read| read.stored.version);
    let mut known = aggregates.values().flat_map(|read| &read.stored.merged);
    known.all(|(shard, &since)| version_of(shard) >= since)
}

fn sum_of_day((day, aggregates): (Day, BTreeMap<u8, ShardDay>)) -> (Day, Aggregate<CampaignId>) {
    let mut aggregates = aggregates.values().map(ShardDay::sum);
    let mut sum = aggregates.next().unwrap_or_default();
    aggregates.for_each(|aggregate| sum.add(&aggregate));
    (day, sum)
}
