//! Daily aggregates as they are stored, shard by shard and with their versions: what a verification compares with the sum of the
//! contributions, and the write that sets a wrong one right.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use futures_util::future::try_join_all;
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::Day;

use crate::ledger::daily::{AGGREGATE_BYTES_MAX, Daily, StoredAggregate, read_aggregate};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::item::item_bytes;
use crate::table::keys::{self, AGGREGATE_SHARDS};
use crate::table::write::Write;

/// All shards of one day's aggregate, as they are stored.
#[derive(Debug, Clone, Default)]
pub struct StoredDay {
    shards: BTreeMap<u8, (StoredAggregate, usize)>,
}

impl StoredDay {
    /// The sum of the versions of all shards. Versions only grow, so an equal sum means that no shard changed.
    pub fn versions(&self) -> i64 {
        self.shards.values().map(|(stored, _)| stored.version).sum()
    }

    /// How many bytes are stored.
    pub fn bytes(&self) -> usize {
        self.shards.values().map(|(_, bytes)| bytes).sum()
    }

    /// What the contributions of all customers must add up to: the sum of all shards, without the counts of records that arrived.
    pub fn sum(&self) -> Aggregate<CampaignId> {
        let mut sum = Aggregate::default();
        for (stored, _) in self.shards.values() {
            sum.add(&stored.aggregate);
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
        let range = &Range::Between(days.start().to_string(), days.end().to_string());
        let shards = (0..AGGREGATE_SHARDS).map(|shard| async move {
            let pk = keys::aggregates(&self.market.id, shard);
            let store = &self.market.store;
            store.query(&pk, range, Reading::STRONG).await
        });
        let mut days: BTreeMap<Day, StoredDay> = BTreeMap::new();
        for (shard, items) in (0..).zip(try_join_all(shards).await?) {
            for item in &items {
                let (day, stored) = read_aggregate(item)?;
                let shards = &mut days.entry(day).or_default().shards;
                shards.insert(shard, (stored, item_bytes(item)));
            }
        }
        Ok(days)
    }

    /// Writes that add a difference to a day, if no shard of it changed since it was read.
    pub(crate) fn correction(
        self,
        day: Day,
        read: &StoredDay,
        difference: &Aggregate<CampaignId>,
    ) -> Vec<Write> {
        let stored = |shard: u8| read.shards.get(&shard).cloned().unwrap_or_default();
        let has_room = |shard: &u8| stored(*shard).1 <= AGGREGATE_BYTES_MAX;
        // If no shard has room, the table decides whether the first one is too large.
        let own = (0..AGGREGATE_SHARDS).find(has_room).unwrap_or(0);
        let write = |shard| {
            let (mut stored, _) = stored(shard);
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
