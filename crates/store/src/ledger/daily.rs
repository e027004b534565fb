//! daily aggregates: the figures of local days.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::{DAY_MS, Day, Instant};

use crate::ledger::intake::IntakeMarker;
use crate::market::{Market, TRIES_MAX};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, expired, item_bytes, number, text, unreadable};
use crate::table::keys;
use crate::table::write::{TRANSACTION_ITEMS_MAX, Transacted, Write};

/// Most transactions in a row that may fail without anything moving on.
pub(crate) const FAILURES_MAX: usize = 50;

/// A daily aggregate above this many bytes takes no more: what comes goes to the next shard, whose daily aggregate is just another part of the sum.
/// About 6,000 campaigns of a day, compressed; eight times as many in all.
const AGGREGATE_BYTES_MAX: usize = 300_000;
/// Most bytes of the intake markers that take others' places in one transaction, which has 4 MB and holds some daily aggregates.
const SUCCESSORS_BYTES_MAX: usize = 1_000_000;

/// Most daily aggregates of a transaction that absorbs intake markers: those of outages that lasted for weeks.
const AGGREGATES_MAX: usize = 7;

/// The daily aggregates that a worker has in hand, with the versions it last saw, so that a daily aggregate is read once and not at every step.
#[derive(Debug)]
pub struct AggregateCache {
    shard: u8,
    aggregates: BTreeMap<Day, CachedAggregate>,
}

#[derive(Debug, Default)]
struct CachedAggregate {
    shard: u8,
    stored: StoredAggregate,
    bytes: usize,
}

/// By shard the version since which that one's daily aggregate of the day holds what this one gave it, or lacks what this one took. Shards
/// are read one by one, and a merge can lie between two reads: then one of the two shows an older version than the other knows.
type Merged = BTreeMap<u8, i64>;

/// A daily aggregate as it is stored; where none is, the empty one of version 0.
#[derive(Debug, Clone, Default)]
struct StoredAggregate {
    version: i64,
    merged: Merged,
    aggregate: Aggregate<CampaignId>,
}

impl AggregateCache {
    /// Nothing in hand yet; what comes lies in this shard.
    pub fn of(shard: u8) -> Self {
        Self {
            shard,
            aggregates: BTreeMap::new(),
        }
    }
}

/// The daily aggregates of one marketplace. Reached by [`Market::daily`].
#[derive(Debug, Clone, Copy)]
pub struct Daily<'m> {
    market: &'m Market,
}

impl Market {
    /// The daily aggregates of one marketplace.
    pub fn daily(&self) -> Daily<'_> {
        Daily { market: self }
    }
}

impl Daily<'_> {
    /// When what belongs to a day is no longer seen.
    pub(crate) fn unseen_at(self, day: Day) -> Instant {
        day.over_everywhere()
            .plus_ms(self.market.retention.ms() + 2 * DAY_MS)
    }

    /// Takes the daily aggregates of days in hand, in the first shard from the desk's own on where there is room.
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
                // Once around, and everything is full: then it is written where it is, and the table says what it thinks of it.
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
            let on = cache.aggregates.entry(day).or_default();
            let mut next = on.stored.clone();
            next.aggregate.add(difference);
            writes.push(self.put_aggregate(on.shard, day, &next));
        }
        Ok(writes)
    }

    /// A write that puts a daily aggregate in the place of the one whose version it has.
    fn put_aggregate(self, shard: u8, day: Day, stored: &StoredAggregate) -> Write {
        let mut item = NewItem::at(&keys::aggregate(&self.market.id, shard, day))
            .number("v", stored.version + 1)
            .packed(&stored.aggregate)
            .expires(self.unseen_at(day));
        if !stored.merged.is_empty() {
            item = item.json("m", &stored.merged);
        }
        self.market
            .store
            .put_write(item, Some(Condition::version(stored.version)))
    }

    /// Moves what lies of quiet days (those before `day`) in other shards to the first, a day in one transaction. A day that
    /// moves meanwhile is left for another time.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn merge_quiet(self, day: Day) -> Result<(), StoreError> {
        // DynamoDB takes no empty text for a key; no day lies before this one.
        let range = Range::Between("0".to_owned(), day.minus(1).to_string());
        let mut shards: BTreeMap<Day, Vec<(u8, StoredAggregate)>> = BTreeMap::new();
        for shard in 1..keys::AGGREGATE_SHARDS {
            let pk = keys::aggregates(&self.market.id, shard);
            for item in self
                .market
                .store
                .query(&pk, &range, Reading::EVENTUAL)
                .await?
            {
                let (day, stored) = read_aggregate(&item)?;
                if !stored.aggregate.is_empty() {
                    shards.entry(day).or_default().push((shard, stored));
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
                // Emptied, not deleted: a version that begins again at 1 could be taken for the one that a frozen worker knows.
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
        }
        Ok(())
    }

    /// Takes over that the writes of [`Daily::aggregate_writes`] were made, and how large the daily aggregates are now.
    pub(crate) fn aggregates_written(
        cache: &mut AggregateCache,
        differences: &BTreeMap<Day, Aggregate<CampaignId>>,
        bytes: impl Iterator<Item = usize>,
    ) {
        for ((day, difference), bytes) in differences.iter().zip(bytes) {
            let on = cache.aggregates.entry(*day).or_default();
            on.stored.version += 1;
            on.stored.aggregate.add(difference);
            on.bytes = bytes;
        }
    }

    /// Forgets the daily aggregates whose writes were at fault; `faults` are those of the daily aggregates, in the order of `differences`.
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

    /// Deletes intake markers and, in the same transactions, adds the counts of the closed ones to the daily aggregates of their days of arrival.
    /// An intake marker that is gone already was counted by who deleted it.
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
                    failures = 0;
                    left.drain(..batch.len());
                }
                Transacted::Cancelled(faults) => {
                    failures += 1;
                    if failures > FAILURES_MAX {
                        return Err(StoreError::Contended {
                            op: "absorbing notes",
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
        Ok(())
    }

    /// The first intake markers that fit into a transaction with what takes their places and their daily aggregates, and what they add to these.
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
            }
            batch.push(*marker);
        }
        (batch, successors, differences)
    }

    /// The daily aggregates of some days, both ends included; days without anything are absent.
    ///
    /// Of all shards: one may be negative, their sum is not.
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
        let range = &Range::Between(from.to_string(), to.to_string());
        let mut reading = reading;
        for _ in 0..TRIES_MAX {
            let shards = (0..keys::AGGREGATE_SHARDS).map(|shard| async move {
                let pk = keys::aggregates(&self.market.id, shard);
                self.market.store.query(&pk, range, reading).await
            });
            let mut days: BTreeMap<Day, BTreeMap<u8, StoredAggregate>> = BTreeMap::new();
            for (shard, items) in (0..).zip(try_join_all(shards).await?) {
                for item in items.iter().filter(|item| !expired(item, now)) {
                    let (day, stored) = read_aggregate(item)?;
                    days.entry(day).or_default().insert(shard, stored);
                }
            }
            if days.values().all(are_of_one_time) {
                return Ok(days.into_iter().map(sum_of_day).collect());
            }
            // A merge went through between the reads: it is done by now, and a strong read sees all of it.
            reading = Reading::STRONG;
        }
        Err(StoreError::Contended {
            op: "reading sheets",
        })
    }
}

fn read_aggregate(item: &Item) -> Result<(Day, StoredAggregate), StoreError> {
    let day = Day::parse(text(item, "sk")).ok_or_else(|| unreadable(item, "its key is no day"))?;
    let merged = match text(item, "m") {
        "" => Merged::new(),
        merged => serde_json::from_str(merged).map_err(|why| unreadable(item, why))?,
    };
    let stored = StoredAggregate {
        version: number(item, "v").unwrap_or(0),
        merged,
        aggregate: data(item)?,
    };
    Ok((day, stored))
}

/// True where no daily aggregate of a day is older than another one knows it.
fn are_of_one_time(aggregates: &BTreeMap<u8, StoredAggregate>) -> bool {
    let version_of = |shard| aggregates.get(shard).map_or(0, |stored| stored.version);
    let mut known = aggregates.values().flat_map(|stored| &stored.merged);
    known.all(|(shard, &since)| version_of(shard) >= since)
}

fn sum_of_day(
    (day, aggregates): (Day, BTreeMap<u8, StoredAggregate>),
) -> (Day, Aggregate<CampaignId>) {
    let mut aggregates = aggregates.into_values().map(|stored| stored.aggregate);
    let mut sum = aggregates.next().unwrap_or_default();
    aggregates.for_each(|aggregate| sum.add(&aggregate));
    (day, sum)
}
