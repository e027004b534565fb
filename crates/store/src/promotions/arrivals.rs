//! The counts of the redemptions that came in, by day of arrival: what the reconciliation says of them.
//!
//! Each redemption is counted in an item of its day, its promotion and a shard, because two promotions must never meet on one item. Of a
//! day that is over nobody counts any more, so its items become one a shard. Otherwise a report would read more with every promotion.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use revtrail_core::value::time::{Day, Instant};

use crate::promotions::lists::Lists;
use crate::table::attributes::redemptions_in;
use crate::table::change::Changes;
use crate::table::client::{Range, Reading};
use crate::table::fault::StoreError;
use crate::table::item::{Item, key_of, number, sk};
use crate::table::keys::{self, PROMOTION_SHARDS};

/// How many days before a quiet one are looked at once more: plans that failed, or redemptions that waited for their promotion, may have
/// left something there.
const LOOKED_AT_DAYS: u32 = 14;
/// How many items are added up in one transaction, which holds the one that they are added to as well.
const ADDED_UP_AT_ONCE: usize = 90;

/// Counts of redemptions that came in during a period.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RedemptionsIn {
    /// All redemptions that came in.
    pub received: i64,
    /// Those that were already known.
    pub duplicates: i64,
    /// Those that found their promotion.
    pub matched: i64,
    /// Those that wait for their promotion.
    pub quarantined: i64,
    /// Those that were rejected.
    pub rejected: i64,
    /// These by code. Of days before this was kept there are fewer than were rejected.
    pub rejected_by_code: BTreeMap<String, i64>,
}

impl Lists<'_> {
    /// Counts of the redemptions that came in, by day of arrival.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn redemptions_in(self, from: Day, to: Day) -> Result<RedemptionsIn, StoreError> {
        // The keys of a day begin with it; the key that is `to` itself belongs to the day after the last.
        let range = &Range::Between(from.to_string(), to.to_string());
        let shard = |shard| async move {
            let pk = keys::redemptions_in(&self.market.id, shard);
            let (mut sum, mut after) = (RedemptionsIn::default(), None);
            loop {
                let page = self
                    .market
                    .store
                    .page(&pk, range, Reading::STRONG, after, None);
                let (items, next) = page.await?;
                for item in items.iter().filter(|item| *sk(item) < *to.to_string()) {
                    sum.take(item);
                }
                match next {
                    Some(next) => after = Some(next),
                    None => return Ok::<_, StoreError>(sum),
                }
            }
        };
        let shards = try_join_all((0..PROMOTION_SHARDS).map(shard)).await?;
        let mut all = RedemptionsIn::default();
        shards.iter().for_each(|sum| all.add(sum));
        Ok(all)
    }

    /// Adds the counts of single promotions up into the count of their day, of the days before this one.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. What was added up stays.
    pub async fn add_up_redemptions_in(
        self,
        before: Day,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<(), StoreError> {
        let store = &self.market.store;
        let from = before.minus(LOOKED_AT_DAYS).to_string();
        let range = Range::Between(from, before.to_string());
        for shard in 0..PROMOTION_SHARDS {
            let pk = keys::redemptions_in(&self.market.id, shard);
            let items = store.query(&pk, &range, Reading::EVENTUAL).await?;
            let mut by_day: BTreeMap<Day, Vec<&Item>> = BTreeMap::new();
            for item in &items {
                if let Some(day) = keys::redemptions_in_day(sk(item)) {
                    by_day.entry(day).or_default().push(item);
                }
            }
            for (day, items) in by_day {
                let sum = keys::redemptions_in_on(&self.market.id, shard, day);
                for some in items.chunks(ADDED_UP_AT_ONCE) {
                    if clock() >= stop_at {
                        return Ok(());
                    }
                    let mut changes = Changes::default();
                    for item in some {
                        for what in redemptions_in::ALL {
                            let gone = changes.at(&key_of(item)).delete();
                            gone.require(what, item.get(what).cloned());
                            let count = number(item, what).unwrap_or(0);
                            changes.at(&sum).add(what, count);
                        }
                    }
                    // Where somebody counts meanwhile, the items stay as they are, and are added up another day.
                    store.transact(changes.writes(store)).await.map(drop)?;
                }
            }
        }
        Ok(())
    }
}

impl RedemptionsIn {
    /// Adds the counts of one item.
    fn take(&mut self, item: &Item) {
        let n = |attribute: &str| number(item, attribute).unwrap_or(0);
        let by_code = item.keys().filter_map(|attribute| {
            let code = redemptions_in::rejected_code(attribute)?;
            Some((code.to_owned(), n(attribute)))
        });
        self.add(&Self {
            received: n(redemptions_in::RECEIVED),
            duplicates: n(redemptions_in::DUPLICATES),
            matched: n(redemptions_in::MATCHED),
            quarantined: n(redemptions_in::QUARANTINED),
            rejected: n(redemptions_in::REJECTED),
            rejected_by_code: by_code.collect(),
        });
    }

    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.duplicates += other.duplicates;
        self.matched += other.matched;
        self.quarantined += other.quarantined;
        self.rejected += other.rejected;
        for (code, n) in &other.rejected_by_code {
            *self.rejected_by_code.entry(code.clone()).or_default() += n;
        }
    }
}
