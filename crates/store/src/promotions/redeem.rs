//! Assignments, redemptions and rollbacks come in. One transaction stores each of them, and moves its customer's promotion
//! account, the sums of its promotion and what it uses of limits. `core` says what promotion accounts add up to, and how a use
//! takes its part of a limit.
//!
//! Everything is read first, then planned in memory, and then written on condition that what was read has not changed. A
//! transaction plan that meets another call is read and planned again.

mod limits;
mod load;
mod plan;
mod request;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join;
use revtrail_core::promotion::redemption::{Redemption, Rollback};
use revtrail_core::record::{Code, RecordProblem};
use revtrail_core::value::id::{PromotionId, RedemptionId};
use revtrail_core::value::time::Instant;

use self::load::{PoolOf, Subject, TransactionPlan};
pub use self::request::{Arrival, PromotionRecord, Redeemed, RolledBack, Taken};
use self::request::{Done, PromotionRequest};
pub(super) use self::write::add_figures;
use crate::jobs::job::RedemptionPlace;
use crate::market::Market;
use crate::promotions::lists::Waiting;
use crate::promotions::records::{RedemptionFact, day_of};
use crate::table::attributes::redemptions_in;
use crate::table::client::{Range, Reading};
use crate::table::contention::{TRIES_MAX, backoff};
use crate::table::fault::StoreError;
use crate::table::item::{data, expired};
use crate::table::keys::{self, Key, promotion_shard_of};
use crate::table::write::{TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX, Transacted, Write};

/// How many records one transaction has. Each changes up to nine items of its own, and all share some items.
const CHUNK: usize = 11;
/// How many redemptions are counted anew between two looks at the clock.
const RECOMPUTED_AT_ONCE: usize = 100;

/// Assignments, redemptions and rollbacks of one marketplace. Reached by [`Market::redemptions`].
#[derive(Debug, Clone, Copy)]
pub struct Redemptions<'m> {
    market: &'m Market,
}

impl Market {
    /// Assignments, redemptions and rollbacks of one marketplace.
    pub fn redemptions(&self) -> Redemptions<'_> {
        Redemptions { market: self }
    }
}

/// What is added to a day's count: each attribute's name behind a colon, as its value is called.
struct Count(Vec<(String, i64)>);

impl Count {
    fn update(&self) -> String {
        let add = self
            .0
            .iter()
            .map(|(value, _)| format!("{} {value}", &value[1..]));
        format!("ADD {}", Vec::from_iter(add).join(", "))
    }

    fn values(&self) -> Vec<(&str, AttributeValue)> {
        let values = self.0.iter();
        let values = values.map(|(value, n)| (value.as_str(), AttributeValue::N(n.to_string())));
        values.collect()
    }
}

impl<'m> Redemptions<'m> {
    /// Takes in records in their order, and says of each, in the same order, what became of it.
    ///
    /// # Errors
    /// As every call of the table: what is taken in stays, and the same records may come again.
    pub async fn take_in(
        self,
        arrivals: &[Arrival],
        now: Instant,
    ) -> Result<Vec<Taken>, StoreError> {
        let jobs: Vec<PromotionRequest> = arrivals
            .iter()
            .enumerate()
            .map(|(place, arrival)| PromotionRequest::Arrival {
                arrival: arrival.clone(),
                place,
            })
            .collect();
        let shard = promotion_shard_of(arrivals.first().map_or("", |arrival| arrival.entry.name()));
        let done = self.do_jobs(&jobs, shard, now).await?;
        let taken = done.into_iter().map(|done| match done {
            Done::Taken(taken) => Ok(taken),
            other => Err(answered_otherwise("a record", Some(&other))),
        });
        taken.collect()
    }

    /// Takes one use if all limits allow it, in one atomic step. The same call again gets the same answer and takes nothing more.
    ///
    /// # Errors
    /// As every call of the table; the same call may be made again.
    pub async fn redeem(self, asked: Redemption, now: Instant) -> Result<Redeemed, StoreError> {
        let shard = promotion_shard_of(asked.redemption_id.as_str());
        let done = self
            .do_jobs(&[PromotionRequest::Redeem(asked)], shard, now)
            .await?;
        match done.into_iter().next() {
            Some(Done::Redeemed(redeemed)) => Ok(redeemed),
            other => Err(answered_otherwise("a redeem", other.as_ref())),
        }
    }

    /// Takes a redemption back, and gives back what it used.
    ///
    /// # Errors
    /// As every call of the table; the same call may be made again.
    pub async fn roll_back(
        self,
        redemption: &RedemptionId,
        rollback: Rollback,
        now: Instant,
    ) -> Result<RolledBack, StoreError> {
        let job = PromotionRequest::Rollback {
            redemption: redemption.clone(),
            rollback,
        };
        let done = self
            .do_jobs(&[job], promotion_shard_of(redemption.as_str()), now)
            .await?;
        match done.into_iter().next() {
            Some(Done::RolledBack(rolled_back)) => Ok(rolled_back),
            other => Err(answered_otherwise("a rollback", other.as_ref())),
        }
    }

    /// The redemption of an id; `None` if there is none.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn redemption(
        self,
        id: &RedemptionId,
        now: Instant,
    ) -> Result<Option<RedemptionFact>, StoreError> {
        let item = self
            .market
            .store
            .get(&keys::redemption(&self.market.id, id), true)
            .await?;
        let seen = item.filter(|item| !expired(item, now));
        seen.as_ref().map(data).transpose()
    }

    /// Takes in records that wait for promotions that exist, as long as there is time. True if none of them is left.
    ///
    /// # Errors
    /// As every call of the table: what is taken in stays so.
    pub async fn admit_waiting(
        self,
        promotion: &PromotionId,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<bool, StoreError> {
        let pk = keys::quarantine(&self.market.id, promotion);
        let mut after = None;
        let mut kept = false;
        let mut place = 0;
        loop {
            let page = self
                .market
                .store
                .page(&pk, &Range::All, Reading::STRONG, after, Some(100));
            let (items, next) = page.await?;
            for chunk in items.chunks(CHUNK) {
                let now = clock();
                if now >= stop_at {
                    return Ok(false);
                }
                let waiting = self.market.lists().waiting(chunk, now).await?;
                let admit = |(_, waiting)| {
                    place += 1;
                    let entry = match waiting {
                        Waiting::Assignment(fact) => PromotionRecord::Assigned(fact.submitted),
                        Waiting::Redemption(fact) => PromotionRecord::Redeemed(fact.submitted),
                    };
                    PromotionRequest::Admit { entry, place }
                };
                let jobs: Vec<PromotionRequest> = waiting.into_iter().map(admit).collect();
                let done = self
                    .do_jobs(&jobs, promotion_shard_of(promotion.as_str()), now)
                    .await?;
                kept |= done.iter().any(|done| {
                    matches!(done, Done::Taken(Taken::Rejected(_) | Taken::Quarantined))
                });
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if !kept {
            self.market
                .store
                .delete(&keys::awaited_promotion(&self.market.id, promotion))
                .await?;
        }
        Ok(true)
    }

    /// Counts redemptions anew whose day, or whose order's amount, depends on settings that changed: all of them, or those from a
    /// time on. A change may reach all of them, because settings replace each other before the first order, and facts may be up
    /// to ten minutes ahead of the clock. If time is up before all were looked at, the answer is the place to go on from.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn recompute(
        self,
        from: Option<Instant>,
        place: Option<RedemptionPlace>,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<Option<RedemptionPlace>, StoreError> {
        self.market
            .order_links()
            .settle_orders_ahead(clock())
            .await?;
        let promotions = self.market.promotions().list().await?.into_iter();
        let mut promotions: Vec<PromotionId> = promotions.map(|one| one.promotion_id).collect();
        promotions.sort();
        let (mut at, mut after) = RedemptionPlace::among(place, &promotions);
        while let Some(id) = promotions.get(at) {
            let page =
                self.market
                    .lists()
                    .redemptions_of(id, after.take(), RECOMPUTED_AT_ONCE, clock());
            let (facts, next) = page.await?;
            let since = facts
                .iter()
                .map(|(_, fact)| fact)
                .filter(|fact| from.is_none_or(|from| fact.at >= from));
            let jobs: Vec<PromotionRequest> = since
                .map(|fact| PromotionRequest::Redate(fact.submitted.clone()))
                .collect();
            for chunk in jobs.chunks(CHUNK) {
                self.do_jobs(chunk, promotion_shard_of(id.as_str()), clock())
                    .await?;
            }
            match next.filter(|_| jobs.len() == facts.len()) {
                Some(next) => after = Some(next),
                None => at += 1,
            }
            if clock() >= stop_at
                && let Some(id) = promotions.get(at)
            {
                let promotion = id.clone();
                return Ok(Some(RedemptionPlace { promotion, after }));
            }
        }
        Ok(None)
    }

    /// Counts records that came in and changed nothing; the rejected ones by code.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn count_redemptions(
        self,
        duplicates: usize,
        rejected: &BTreeMap<String, i64>,
        now: Instant,
    ) -> Result<(), StoreError> {
        if duplicates == 0 && rejected.is_empty() {
            return Ok(());
        }
        let (key, count) = self.counted(duplicates, rejected, now).await?;
        let store = &self.market.store;
        store
            .update(&key, &count.update(), count.values(), None)
            .await
            .map(drop)
    }

    /// The same count as a write, for the transaction with that which keeps it from being counted twice.
    pub(crate) async fn redemptions_counted(
        self,
        duplicates: usize,
        rejected: &BTreeMap<String, i64>,
        now: Instant,
    ) -> Result<Write, StoreError> {
        let (key, count) = self.counted(duplicates, rejected, now).await?;
        let store = &self.market.store;
        Ok(store.update_write(&key, &count.update(), count.values(), None))
    }

    async fn counted(
        self,
        duplicates: usize,
        rejected: &BTreeMap<String, i64>,
        now: Instant,
    ) -> Result<(Key, Count), StoreError> {
        let versions = self.market.settings().versions_there().await?;
        let shard = promotion_shard_of(&now.to_string());
        let key = keys::redemptions_in_on(&self.market.id, shard, day_of(&versions, now));
        let (duplicates, all): (i64, i64) = (duplicates as i64, rejected.values().sum());
        let by_code = rejected
            .iter()
            .map(|(code, n)| (redemptions_in::rejected_as(code), *n));
        let totals = [
            (redemptions_in::RECEIVED, duplicates + all),
            (redemptions_in::DUPLICATES, duplicates),
            (redemptions_in::REJECTED, all),
        ];
        let totals = totals.map(|(what, n)| (what.to_owned(), n));
        let added = totals.into_iter().chain(by_code);
        let added = added.map(|(what, n)| (format!(":{what}"), n));
        Ok((key, Count(added.collect())))
    }

    async fn do_jobs(
        self,
        jobs: &[PromotionRequest],
        shard: u8,
        now: Instant,
    ) -> Result<Vec<Done>, StoreError> {
        let mut done = Vec::new();
        let mut size = CHUNK;
        while done.len() < jobs.len() {
            let rest = &jobs[done.len()..];
            let chunk = &rest[..size.min(rest.len())];
            match self.do_chunk(chunk, shard, now).await? {
                Some(more) => {
                    done.extend(more);
                    size = CHUNK;
                }
                // The chunk does not fit into one transaction.
                None if size > 1 => size = size.div_ceil(2),
                None => match &chunk[0] {
                    PromotionRequest::Arrival { .. } | PromotionRequest::Admit { .. } => {
                        done.push(Done::Taken(Taken::Rejected(too_far())));
                    }
                    PromotionRequest::Redeem(_)
                    | PromotionRequest::Rollback { .. }
                    | PromotionRequest::Redate(_) => {
                        return Err(StoreError::Refused {
                            op: "TransactWriteItems",
                            source: "one record does not fit into a transaction".into(),
                        });
                    }
                },
            }
        }
        Ok(done)
    }

    /// Makes some requests in one transaction; `None` if they do not fit into one.
    async fn do_chunk(
        self,
        jobs: &[PromotionRequest],
        shard: u8,
        now: Instant,
    ) -> Result<Option<Vec<Done>>, StoreError> {
        let mut all_shards = BTreeSet::new();
        for attempt in 0..TRIES_MAX {
            let mut transaction = self.load(jobs, shard, &all_shards, now).await?;
            let mut done = Vec::new();
            for job in jobs {
                done.push(transaction.plan(job)?);
            }
            if !transaction.unknown.is_empty() {
                all_shards.append(&mut transaction.unknown);
                continue;
            }
            let changes = transaction.close()?;
            if changes.len() == 0 {
                return Ok(Some(done));
            }
            if changes.len() > TRANSACTION_ITEMS_MAX {
                return Ok(None);
            }
            let writes = changes.writes(&self.market.store);
            if writes.iter().map(|write| write.bytes()).sum::<usize>() > TRANSACTION_BYTES_MAX {
                return Ok(None);
            }
            match self.market.store.transact(writes).await? {
                Transacted::Done => return Ok(Some(done)),
                // Another call changed what was read, or is about to.
                Transacted::Cancelled(_) => backoff(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "taking in redemptions",
        })
    }

    /// Reads everything that the requests may touch.
    async fn load(
        self,
        jobs: &[PromotionRequest],
        shard: u8,
        all_shards: &BTreeSet<PoolOf>,
        now: Instant,
    ) -> Result<TransactionPlan<'m>, StoreError> {
        let mut known: Vec<Subject> = jobs.iter().filter_map(PromotionRequest::subject).collect();
        let rolled = jobs.iter().filter_map(|job| match job {
            PromotionRequest::Rollback {
                redemption,
                rollback,
            } => Some((
                keys::redemption(&self.market.id, redemption),
                keys::rollback(&self.market.id, &rollback.rollback_id),
            )),
            _ => None,
        });
        let (rolled, by): (Vec<Key>, Vec<Key>) = rolled.unzip();
        let store = &self.market.store;
        let mut items = store.get_map(&[rolled.as_slice(), &by].concat()).await?;
        // The redemption says which promotion and customer its rollback is about.
        for key in &rolled {
            let item = items.get(key).filter(|item| !expired(item, now));
            let fact: Option<RedemptionFact> = item.map(data).transpose()?;
            known.extend(fact.map(|fact| Subject::of(&fact.submitted)));
        }
        let mut wanted = BTreeSet::new();
        for subject in &known {
            subject.keys(self.market, shard, &mut wanted);
        }
        wanted.retain(|key| !items.contains_key(key));
        let wanted: Vec<Key> = wanted.into_iter().collect();
        let settings = self.market.settings();
        let (found, versions) = try_join(store.get_map(&wanted), settings.versions_there()).await?;
        items.extend(found);
        let mut transaction = TransactionPlan::new(self.market, shard, now, items, versions);
        let orders: Vec<Key> = known
            .iter()
            .filter_map(|subject| {
                transaction
                    .order_key(subject.order_id.as_ref()?)
                    .transpose()
            })
            .collect::<Result<_, _>>()?;
        let beside = known
            .iter()
            .filter_map(|subject| transaction.beside_account(subject));
        let rest: Vec<Key> = orders.into_iter().chain(beside).collect();
        transaction.read(&rest).await?;
        if !all_shards.is_empty() {
            // The root is read first, then all shards, because amounts only move from the root to shards.
            let roots: Vec<Key> = all_shards
                .iter()
                .map(|pool| pool.root(self.market))
                .collect();
            transaction.read_again(&roots).await?;
            let shards = all_shards.iter().flat_map(|pool| pool.shards(self.market));
            transaction.read_again(&shards.collect::<Vec<_>>()).await?;
            transaction.whole = all_shards.clone();
        }
        Ok(transaction)
    }
}

/// The error for a plan with the wrong kind of answer. This is a bug of revtrail, so the caller learns nothing else about it.
fn answered_otherwise(asked: &'static str, done: Option<&Done>) -> StoreError {
    StoreError::Refused {
        op: asked,
        source: format!("it was planned as {done:?}").into(),
    }
}

/// Why an assignment is rejected that would move redemptions of a hundred tiers and segments to its own.
fn too_far() -> RecordProblem {
    let detail = "this customer's redemptions of the promotion name too many tiers and segments for one assignment to take them all";
    RecordProblem::of("promotion_id", Code::Conflict, detail)
}
