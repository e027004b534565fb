//! Assignments, redemptions and rollbacks come in. One transaction stores each of them, and moves its customer's promotion
//! account, the sums of its promotion and what it uses of limits. `core` says what promotion accounts add up to, and how a use
//! takes its part of a limit.
//!
//! Everything is read first, then planned in memory, and then written on condition that what was read has not changed. A
//! transaction plan that meets another call is read and planned again.

mod limits;
mod load;
mod plan;
mod write;

use std::borrow::Cow;
use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::promotion::account::Use;
use revtrail_core::promotion::redemption::{
    Assignment, Flag, Outcome, Redemption, Refusal, Rollback,
};
use revtrail_core::record::{Code, RecordProblem};
use revtrail_core::value::id::{PromotionId, RedemptionId};
use revtrail_core::value::money::{Currency, Money};
use revtrail_core::value::time::{Day, Instant};
use serde::{Deserialize, Serialize};

use self::load::{PoolOf, Subject, TransactionPlan};
pub(crate) use self::load::{StoredVoucher, voucher_state};
use crate::jobs::job::RedemptionPlace;
use crate::market::Market;
use crate::promotions::lists::Waiting;
use crate::table::client::{Range, Reading};
use crate::table::fault::StoreError;
use crate::table::item::{Item, data, expired};
use crate::table::keys::{self, Key, promotion_shard_of};
use crate::table::write::{TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX, Transacted, Write};

/// How many records one transaction has. Each changes up to eight items of its own, and all share some items.
const CHUNK: usize = 11;
/// How many redemptions are counted anew between two looks at the clock.
const RECOMPUTED_AT_ONCE: usize = 100;
/// The update that adds to the counts of the redemptions that came in.
const COUNT: &str = "ADD rc :rc, du :du, rj :rj";
/// How often a chunk that meets others is read and planned again.
pub(crate) const TRIES_MAX: usize = 100;

/// A record that comes in.
#[derive(Debug, Clone)]
pub enum PromotionRecord {
    /// An assignment: a customer got an offer.
    Assigned(Assignment),
    /// A redemption, as it was reported: a customer acted on an offer.
    Redeemed(Redemption),
}

/// A record, and where it came from. The same record from the same source gets the same answer again, so that a batch that died
/// counts its rows as it did before.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The record that came in.
    pub entry: PromotionRecord,
    /// The source, like a batch and a line; `None` if the record came through a call.
    pub source: Option<String>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The record is a new fact.
    Accepted,
    /// The same record came in before.
    Duplicate,
    /// The record is a new fact that waits for its promotion.
    Quarantined,
    /// The record was not taken in, and why: `conflict`, `before_tracking`.
    Rejected(RecordProblem),
}

/// How a redeem ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// One use was taken.
    Success,
    /// No use was taken, and why.
    Refused(Refusal),
    /// There is a redemption with this id that says something else.
    Conflict,
    /// There is no such promotion.
    NoPromotion,
    /// The redeem was not taken in, and why: a reward without a currency, `before_tracking`.
    Rejected(RecordProblem),
}

/// How a rollback ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolledBack {
    /// The redemption is taken back, by this call or by the same rollback before.
    Done,
    /// There is no such redemption.
    Unknown,
    /// The redemption was no success.
    NotASuccess,
    /// Another rollback took the redemption back.
    Already,
    /// The rollback of this id, which took the redemption back, says something else.
    Conflict,
}

/// How a redemption came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The redemption happened elsewhere and was reported.
    Reported,
    /// The redemption was asked for here.
    Redeem,
}

/// A redemption as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedemptionFact {
    /// The redemption as its sender submitted it.
    #[serde(rename = "told")]
    pub submitted: Redemption,
    /// When the redemption happened.
    pub at: Instant,
    /// When the redemption came in.
    pub arrived_at: Instant,
    /// How the redemption came in.
    pub way: Way,
    /// Why the redemption was refused; `None` if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// In the stored fact, the limits that were too low when the redemption came in (older versions stored more); in a list, all
    /// flags.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flags: BTreeSet<Flag>,
    /// What the redemption cost: what a success took of the budget and of the result, and what its rollback gives back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<(Money, Currency)>,
    /// The rollback that took the redemption back, and when that happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<(Rollback, Instant)>,
    /// Present while the redemption waits for its promotion. If the promotion exists, this says why the redemption still waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// True if the redemption is counted but is in no promotion account, because its customer's account was full.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    loose: bool,
    /// The source of the redemption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The sources of the redemptions that this one replaced in quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<String>,
}

/// An assignment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentFact {
    /// The assignment as its sender submitted it.
    #[serde(rename = "told")]
    pub submitted: Assignment,
    /// When the assignment happened.
    pub at: Instant,
    /// When the assignment came in.
    pub arrived_at: Instant,
    /// Present while the assignment waits for its promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// The sources of the assignments that this one replaced in quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    earlier: Vec<String>,
}

impl AssignmentFact {
    /// What a copy is compared with. An assignment that waits counts as submitted with its time, even if that is the time of its
    /// arrival.
    fn as_submitted(&self) -> Cow<'_, Assignment> {
        match self.waits {
            None => Cow::Borrowed(&self.submitted),
            Some(_) => Cow::Owned(Assignment {
                assigned_at: Some(self.at),
                ..self.submitted.clone()
            }),
        }
    }

    /// The sources of the assignment and of those that it replaced.
    fn sources(&self) -> Vec<String> {
        self.earlier.iter().chain(&self.source).cloned().collect()
    }
}

/// The mark of a fact that waits for its promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// The place of the fact among the records of its call.
    pub place: usize,
    /// Why the fact is not taken in although the promotion exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<RecordProblem>,
}

impl RedemptionFact {
    /// How the redemption ended; a refusal is a failure.
    pub fn result(&self) -> Outcome {
        match self.refusal {
            Some(_) => Outcome::Failure,
            None => self.submitted.result,
        }
    }

    fn new(submitted: Redemption, way: Way, now: Instant) -> Self {
        Self {
            submitted,
            at: now,
            arrived_at: now,
            way,
            refusal: None,
            flags: BTreeSet::new(),
            reward: None,
            rolled_back: None,
            waits: None,
            loose: false,
            source: None,
            earlier: Vec::new(),
        }
    }

    /// What a report of the redemption would say. A refused redeem is a failure with its reason. A redemption that waits counts
    /// as submitted with its time, even if that is the time of its arrival.
    fn as_submitted(&self) -> Cow<'_, Redemption> {
        match (self.refusal, &self.waits) {
            (None, None) => Cow::Borrowed(&self.submitted),
            (Some(refusal), _) => Cow::Owned(Redemption {
                result: Outcome::Failure,
                failure_code: Some(refusal.name().to_owned()),
                ..self.submitted.clone()
            }),
            (None, Some(_)) => Cow::Owned(Redemption {
                redeemed_at: Some(self.at),
                ..self.submitted.clone()
            }),
        }
    }

    /// The sources of the redemption and of those that it replaced.
    fn sources(&self) -> Vec<String> {
        self.earlier.iter().chain(&self.source).cloned().collect()
    }

    fn current(&self) -> bool {
        self.result() == Outcome::Success && self.rolled_back.is_none()
    }

    fn used(&self, versions: &Versions) -> Use {
        Use {
            redemption_id: self.submitted.redemption_id.clone(),
            at: self.at,
            day: day_of(versions, self.at),
            voucher_code: self.submitted.voucher_code.clone(),
            tier_id: self.submitted.tier_id.clone(),
            assignment_id: self.submitted.assignment_id.clone(),
            result: self.result(),
            rolled_back: self.rolled_back.is_some(),
        }
    }
}

fn day_of(versions: &Versions, at: Instant) -> Day {
    at.day(versions.at(at).settings.timezone)
}

/// One request to be planned.
#[derive(Debug, Clone)]
enum PromotionRequest {
    Arrival {
        arrival: Arrival,
        place: usize,
    },
    Redeem(Redemption),
    Rollback {
        redemption: RedemptionId,
        rollback: Rollback,
    },
    /// Takes in a record that waits.
    Admit {
        entry: PromotionRecord,
        place: usize,
    },
    /// The settings that hold at the redemption's time changed, so its day may change, and what its order adds.
    Redate(Redemption),
}

/// How a request ended.
#[derive(Debug, Clone)]
enum Done {
    Taken(Taken),
    Redeemed(Redeemed),
    RolledBack(RolledBack),
}

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
        let (mut at, mut after) = (0, None);
        if let Some(place) = place {
            at = promotions.partition_point(|id| *id < place.promotion);
            after = place
                .after
                .filter(|_| promotions.get(at) == Some(&place.promotion));
        }
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

    /// Counts records that came in and changed nothing.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn count_redemptions(
        self,
        duplicates: usize,
        rejected: usize,
        now: Instant,
    ) -> Result<(), StoreError> {
        if duplicates + rejected == 0 {
            return Ok(());
        }
        let (key, values) = self.counted(duplicates, rejected, now).await?;
        self.market
            .store
            .update(&key, COUNT, values.into(), None)
            .await
            .map(drop)
    }

    /// The same count as a write, for the transaction with that which keeps it from being counted twice.
    pub(crate) async fn redemptions_counted(
        self,
        duplicates: usize,
        rejected: usize,
        now: Instant,
    ) -> Result<Write, StoreError> {
        let (key, values) = self.counted(duplicates, rejected, now).await?;
        Ok(self
            .market
            .store
            .update_write(&key, COUNT, values.into(), None))
    }

    async fn counted(
        self,
        duplicates: usize,
        rejected: usize,
        now: Instant,
    ) -> Result<(Key, [(&'static str, AttributeValue); 3]), StoreError> {
        let versions = self
            .market
            .settings()
            .versions()
            .await?
            .ok_or(StoreError::Contended {
                op: "reading settings",
            })?;
        let shard = promotion_shard_of(&now.to_string());
        let key = keys::redemptions_in_on(&self.market.id, shard, day_of(&versions, now));
        let count = |n: usize| AttributeValue::N(n.to_string());
        let values = [
            (":rc", count(duplicates + rejected)),
            (":du", count(duplicates)),
            (":rj", count(rejected)),
        ];
        Ok((key, values))
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
        let mut transaction = TransactionPlan::new(self.market, shard, now);
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
        transaction.read(&[rolled.as_slice(), &by].concat()).await?;
        // The redemption says which promotion and customer its rollback is about.
        for key in &rolled {
            known.extend(
                transaction
                    .fact(key)?
                    .map(|(fact, _)| Subject::of(&fact.submitted)),
            );
        }
        let mut wanted = BTreeSet::new();
        for subject in &known {
            subject.keys(self.market, shard, &mut wanted);
        }
        let wanted: Vec<Key> = wanted.into_iter().collect();
        let (_, versions) =
            try_join(transaction.read(&wanted), self.market.settings().versions()).await?;
        transaction.versions = versions;
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
            let heads: Vec<Key> = all_shards
                .iter()
                .map(|pool| pool.head(self.market))
                .collect();
            transaction.read_again(&heads).await?;
            let shards = all_shards.iter().flat_map(|pool| pool.shards(self.market));
            transaction.read_again(&shards.collect::<Vec<_>>()).await?;
            transaction.whole = all_shards.clone();
        }
        Ok(transaction)
    }
}

impl PromotionRecord {
    fn name(&self) -> &str {
        match self {
            Self::Assigned(submitted) => submitted.assignment_id.as_str(),
            Self::Redeemed(submitted) => submitted.redemption_id.as_str(),
        }
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

/// Waits so that other calls can go first; the wait grows with each attempt.
pub(crate) async fn backoff(attempt: usize) {
    let most_ms = attempt.saturating_sub(3).min(50) as u64;
    if most_ms == 0 {
        return tokio::task::yield_now().await;
    }
    let mut dice = [0_u8; 1];
    // Without randomness all calls wait equally long, which is slower but not wrong.
    let _ = getrandom::fill(&mut dice);
    let ms = 1 + u64::from(dice[0]) % most_ms;
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}

/// A numeric attribute of an item; zero if there is none.
pub(crate) fn amount(item: Option<&Item>, attribute: &str) -> Money {
    item.and_then(|item| item.get(attribute))
        .and_then(|value| value.as_n().ok())
        .and_then(|text| Money::stored(text))
        .unwrap_or(Money::ZERO)
}

pub(crate) fn id_of<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
}
