//! Daily aggregates as they are stored, shard by shard and with their versions: what a verification compares with the sum of the
//! contributions, and the write that sets a wrong one right.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use futures_util::future::try_join_all;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::Day;

use crate::ledger::daily::{AGGREGATE_BYTES_MAX, Daily};
use crate::ledger::parts::ShardDay;
use crate::table::client::Reading;
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::keys::{self, AGGREGATE_SHARDS};
use crate::table::write::Write;

/// All shards of one day's aggregate, as they are stored.
#[derive(Debug, Clone, Default)]
pub struct StoredDay {
    shards: BTreeMap<u8, ShardDay>,
}

impl StoredDay {
    /// The sum of the versions of all shards, and of the random names of parts. Versions only grow, so an equal sum means that no shard
    /// changed.
    pub fn versions(&self) -> i64 {
        let states = self.shards.values().map(ShardDay::state);
        states.fold(0, i64::wrapping_add)
    }

    /// How many bytes are stored.
    pub fn bytes(&self) -> usize {
        self.shards.values().map(ShardDay::all_bytes).sum()
    }

    /// What the contributions of all customers must add up to: the sum of all shards, without the counts of records that arrived.
    pub fn sum(&self) -> Aggregate<CampaignId> {
        let mut sum = Aggregate::default();
        for read in self.shards.values() {
            sum.add(&read.sum());
        }
        sum.without_intake()
    }
}

impl Daily<'_> {
    /// The daily aggregates of some days, both ends included, read strongly. Days of which nothing is stored are absent.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn stored_days(
        self,
        days: RangeInclusive<Day>,
    ) -> Result<BTreeMap<Day, StoredDay>, StoreError> {
        let (first, last) = (&days.start().to_string(), *days.end());
        let shards = (0..AGGREGATE_SHARDS)
            .map(|shard| self.shard_days(shard, first, last, Reading::STRONG, |_| true));
        let mut days: BTreeMap<Day, StoredDay> = BTreeMap::new();
        for (shard, read) in (0..).zip(try_join_all(shards).await?) {
            for (day, one) in read {
                days.entry(day).or_default().shards.insert(shard, one);
            }
        }
        Ok(days)
    }

    /// Writes that add a difference to a day, if no shard of it changed since it was read. A part that a fold appended since changes the
    /// contributions by as much, so the difference stays the same.
    pub(crate) fn correction(
        self,
        day: Day,
        read: &StoredDay,
        difference: &Aggregate<CampaignId>,
    ) -> Vec<Write> {
        let stored = |shard: u8| read.shards.get(&shard).cloned().unwrap_or_default();
        let has_room = |shard: &u8| stored(*shard).bytes <= AGGREGATE_BYTES_MAX;
        // If no shard has room, the table decides whether the first one is too large.
        let own = (0..AGGREGATE_SHARDS).find(has_room).unwrap_or(0);
        let write = |shard| {
            let ShardDay { mut stored, .. } = stored(shard);
            if shard == own {
                stored.aggregate.add(difference);
                return self.put_aggregate(shard, day, &stored);
            }
            let key = keys::aggregate(&self.market.id, shard, day);
            let unchanged = Condition::version(stored.version);
            self.market.store.check_write(&key, unchanged)
        };
        (0..AGGREGATE_SHARDS).map(write).collect()
    }
}
