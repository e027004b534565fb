//! Assignments, redemptions and rollbacks come in: each in one transaction with its customer's claim, the sums of its promotion
//! and what it uses of limits. What claims add up to stands in `core`, where a use takes its part of a limit in `pool`.
//!
//! Everything is read first, then planned in memory, then written under the conditions that what was read still stands; what meets
//! another call is read and planned again.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use futures_util::future::try_join;
use revtrail_core::claim::{Claim, Figures, Offer, Use};
use revtrail_core::decide;
use revtrail_core::id::{CustomerId, OrderId, PromotionId, RedemptionId, VoucherCode};
use revtrail_core::money::{Currency, Money};
use revtrail_core::order::Order;
use revtrail_core::promotion::Promotion;
use revtrail_core::record::{Code, Problem};
use revtrail_core::redemption::{Assignment, Flag, Outcome, Redemption, Refusal, Rollback};
use revtrail_core::settings::Versions;
use revtrail_core::time::Instant;
use serde::{Deserialize, Serialize};

use crate::change::Changes;
use crate::client::{
    Item, Range, Reading, StoreError, TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX, Transacted,
    Write, data, expired, number, text,
};
use crate::facts::{Pointer, read_order};
use crate::keys::{self, Key, SLOTS, slot_of};
use crate::market::Market;
use crate::pool::{Pool, Took};

/// Records of one transaction: each changes up to eight items of its own, and all share some.
const CHUNK: usize = 11;
/// Adds to the counts of what came in.
const COUNT: &str = "ADD rc :rc, du :du, rj :rj";
/// How often a chunk that meets others is read and planned again.
const TRIES_MAX: usize = 100;

/// A record that comes in.
#[derive(Debug, Clone)]
pub enum Entry {
    /// Who got an offer.
    Assigned(Assignment),
    /// Who acted on it, as reported.
    Redeemed(Redemption),
}

/// A record, and where it came from: the same record from the same place gives the same answer again, so that a batch that died
/// counts its rows as it did before.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What came.
    pub entry: Entry,
    /// The place, like a batch and a line.
    pub source: Option<String>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// A new fact.
    Accepted,
    /// The same record was here before.
    Duplicate,
    /// A new fact that waits for its promotion.
    Quarantined,
    /// Not taken, and why: `conflict`, `before_tracking`.
    Rejected(Problem),
}

/// What became of a redeem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// One use was taken.
    Success,
    /// Nothing was taken.
    Refused(Refusal),
    /// There is a redemption of this id that says something else.
    Conflict,
    /// There is no such promotion.
    NoPromotion,
    /// The reward names no currency, and the promotion has none.
    NoCurrency,
}

/// What became of a rollback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolledBack {
    /// It is taken back, now or before by the same rollback.
    Done,
    /// There is no such redemption.
    Unknown,
    /// It was no success.
    NotASuccess,
    /// Another rollback took it back.
    Already,
}

/// How a redemption came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It happened elsewhere and was told.
    Reported,
    /// It was asked for here.
    Redeem,
}

/// A redemption as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedemptionFact {
    /// What was told.
    pub told: Redemption,
    /// When it happened.
    pub at: Instant,
    /// When it came in.
    pub arrived_at: Instant,
    /// How it came.
    pub way: Way,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// Rules it broke.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flags: BTreeSet<Flag>,
    /// What it gave, with its currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<(Money, Currency)>,
    /// By whom and when it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<(Rollback, Instant)>,
    /// It waits for its promotion; why it still does, where the promotion is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

/// An assignment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentFact {
    /// What was told.
    pub told: Assignment,
    /// When it happened.
    pub at: Instant,
    /// When it came in.
    pub arrived_at: Instant,
    /// It waits for its promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

/// That a fact waits for its promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// Its place among the records of its call.
    pub place: usize,
    /// Why it is not taken in though the promotion is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

impl RedemptionFact {
    /// How it ended: a refusal is a failure.
    pub fn result(&self) -> Outcome {
        match self.refusal {
            Some(_) => Outcome::Failure,
            None => self.told.result,
        }
    }

    fn stands(&self) -> bool {
        self.result() == Outcome::Success && self.rolled_back.is_none()
    }

    fn used(&self, versions: &Versions) -> Use {
        Use {
            redemption_id: self.told.redemption_id.clone(),
            at: self.at,
            day: day_of(versions, self.at),
            voucher_code: self.told.voucher_code.clone(),
            tier_id: self.told.tier_id.clone(),
            assignment_id: self.told.assignment_id.clone(),
            result: self.result(),
            rolled_back: self.rolled_back.is_some(),
        }
    }
}

fn day_of(versions: &Versions, at: Instant) -> revtrail_core::time::Day {
    at.day(versions.at(at).settings.timezone)
}

/// One thing to be planned.
#[derive(Debug, Clone)]
enum Job {
    Arrival {
        arrival: Arrival,
        place: usize,
    },
    Redeem(Redemption),
    Rollback {
        redemption: RedemptionId,
        rollback: Rollback,
    },
    /// Something that waits is taken in.
    Admit(Entry),
}

/// What became of it.
#[derive(Debug, Clone)]
enum Done {
    Taken(Taken),
    Redeemed(Redeemed),
    RolledBack(RolledBack),
}

impl Market {
    /// Takes in records in their order; says of each, in the same order, what became of it.
    ///
    /// # Errors
    /// What the table answers: what is taken stays, and the same records may come again.
    pub async fn take_in(
        &self,
        arrivals: &[Arrival],
        now: Instant,
    ) -> Result<Vec<Taken>, StoreError> {
        let jobs: Vec<Job> = arrivals
            .iter()
            .enumerate()
            .map(|(place, arrival)| Job::Arrival {
                arrival: arrival.clone(),
                place,
            })
            .collect();
        let slot = slot_of(arrivals.first().map_or("", |arrival| arrival.entry.name()));
        let done = self.do_jobs(&jobs, slot, now).await?;
        let taken = done.into_iter().filter_map(|done| match done {
            Done::Taken(taken) => Some(taken),
            Done::Redeemed(_) | Done::RolledBack(_) => None,
        });
        Ok(taken.collect())
    }

    /// Takes one use, where all limits allow it, in one atomic step; the same again gives the same answer and takes nothing more.
    ///
    /// # Errors
    /// What the table answers; the same call may be made again.
    pub async fn redeem(&self, asked: Redemption, now: Instant) -> Result<Redeemed, StoreError> {
        let slot = slot_of(asked.redemption_id.as_str());
        let done = self.do_jobs(&[Job::Redeem(asked)], slot, now).await?;
        match done.into_iter().next() {
            Some(Done::Redeemed(redeemed)) => Ok(redeemed),
            _ => Ok(Redeemed::NoPromotion),
        }
    }

    /// Takes a redemption back, and gives what it used back.
    ///
    /// # Errors
    /// What the table answers; the same call may be made again.
    pub async fn roll_back(
        &self,
        redemption: &RedemptionId,
        rollback: Rollback,
        now: Instant,
    ) -> Result<RolledBack, StoreError> {
        let job = Job::Rollback {
            redemption: redemption.clone(),
            rollback,
        };
        let done = self
            .do_jobs(&[job], slot_of(redemption.as_str()), now)
            .await?;
        match done.into_iter().next() {
            Some(Done::RolledBack(rolled_back)) => Ok(rolled_back),
            _ => Ok(RolledBack::Unknown),
        }
    }

    /// Takes in what waits for promotions that are there, as long as there is time; true where nothing of it is left.
    ///
    /// # Errors
    /// What the table answers: what is taken in stays so.
    pub async fn admit_waiting(
        &self,
        promotion: &PromotionId,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<bool, StoreError> {
        let pk = keys::quarantine(&self.id, promotion);
        let mut after = None;
        let mut kept = false;
        loop {
            let page = self
                .store
                .page(&pk, &Range::All, Reading::STRONG, after, Some(100));
            let (items, next) = page.await?;
            for chunk in items.chunks(CHUNK) {
                let now = clock();
                if now >= stop_at {
                    return Ok(false);
                }
                let waiting = self.waiting(chunk, now).await?;
                let jobs: Vec<Job> = waiting.into_iter().map(Job::Admit).collect();
                let done = self
                    .do_jobs(&jobs, slot_of(promotion.as_str()), now)
                    .await?;
                kept |= done
                    .iter()
                    .any(|done| matches!(done, Done::Taken(Taken::Rejected(_))));
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        if !kept {
            self.store
                .delete(&keys::awaited_promotion(&self.id, promotion))
                .await?;
        }
        Ok(true)
    }

    /// The facts that entries of the quarantine point at; an entry whose fact expired goes.
    async fn waiting(&self, entries: &[Item], now: Instant) -> Result<Vec<Entry>, StoreError> {
        let facts = entries.iter().filter_map(|entry| self.waiting_fact(entry));
        let facts: Vec<Key> = facts.collect();
        let mut found = self.store.get_all(&facts, true).await?;
        let place = |item: &Item| {
            let key = (text(item, "pk"), text(item, "sk"));
            facts.iter().position(|fact| (&*fact.pk, &*fact.sk) == key)
        };
        found.sort_by_key(place);
        let mut waiting = Vec::new();
        for item in found.iter().filter(|item| !expired(item, now)) {
            if is_assignment(item) {
                waiting.push(Entry::Assigned(data::<AssignmentFact>(item)?.told));
            } else {
                waiting.push(Entry::Redeemed(data::<RedemptionFact>(item)?.told));
            }
        }
        Ok(waiting)
    }

    /// The fact that an entry of the quarantine points at.
    pub(crate) fn waiting_fact(&self, entry: &Item) -> Option<Key> {
        let mut parts = text(entry, "sk").splitn(4, '/').skip(2);
        let (what, id) = (parts.next()?, parts.next()?);
        match what {
            "a" => Some(keys::assignment(&self.id, &id_of(id)?)),
            _ => Some(keys::redemption(&self.id, &id_of(id)?)),
        }
    }

    /// Counts records that came in and changed nothing.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn count_redemptions(
        &self,
        duplicates: usize,
        rejected: usize,
        now: Instant,
    ) -> Result<(), StoreError> {
        if duplicates + rejected == 0 {
            return Ok(());
        }
        let (key, values) = self.counted(duplicates, rejected, now).await?;
        self.store
            .update(&key, COUNT, values.into(), None)
            .await
            .map(drop)
    }

    /// The same as a write, for a transaction with what keeps it from being counted twice.
    pub(crate) async fn redemptions_counted(
        &self,
        duplicates: usize,
        rejected: usize,
        now: Instant,
    ) -> Result<Write, StoreError> {
        let (key, values) = self.counted(duplicates, rejected, now).await?;
        Ok(self.store.update_write(&key, COUNT, values.into(), None))
    }

    async fn counted(
        &self,
        duplicates: usize,
        rejected: usize,
        now: Instant,
    ) -> Result<(Key, [(&'static str, AttributeValue); 3]), StoreError> {
        let versions = self.versions().await?.ok_or(StoreError::Contended {
            op: "reading settings",
        })?;
        let slot = slot_of(&now.to_string());
        let key = keys::redemptions_in_on(&self.id, slot, day_of(&versions, now));
        let count = |n: usize| AttributeValue::N(n.to_string());
        let values = [
            (":rc", count(duplicates + rejected)),
            (":du", count(duplicates)),
            (":rj", count(rejected)),
        ];
        Ok((key, values))
    }

    /// Moves the results of the promotions whose redemptions name an order, after a copy of it came in; the same again changes
    /// nothing.
    ///
    /// # Errors
    /// What the table answers; the same may be done again.
    pub async fn settle_order(&self, order: &OrderId, now: Instant) -> Result<(), StoreError> {
        let pk = keys::order_links(&self.id, order);
        let slot = slot_of(order.as_str());
        for attempt in 0..TRIES_MAX {
            let items = self.store.query(&pk, &Range::All, Reading::STRONG).await?;
            let is_link = |item: &Item| text(item, "sk").starts_with(keys::LINK_PREFIX);
            let links: Vec<Item> = items.into_iter().filter(is_link).collect();
            if links.is_empty() {
                return Ok(());
            }
            let (stands, versions) = try_join(self.order(order, now), self.versions()).await?;
            let (Some(stands), Some(versions)) = (stands, versions) else {
                return Ok(());
            };
            let mut changes = Changes::default();
            for item in &links {
                let before: Link = data(item)?;
                let adds = adds(&stands, &versions).filter(|_| before.named > 0);
                let Some(promotion) = id_of(&text(item, "sk")[keys::LINK_PREFIX.len()..]) else {
                    continue;
                };
                if before.adds != adds {
                    let after = Link {
                        adds,
                        ..before.clone()
                    };
                    add_link(
                        &mut changes,
                        &keys::order_link(&self.id, order, &promotion),
                        &keys::promotion_total(&self.id, slot, &promotion),
                        number(item, "v").unwrap_or(0),
                        &before,
                        &after,
                    );
                }
            }
            if changes.len() == 0 {
                return Ok(());
            }
            changes
                .at(&keys::order(&self.id, &stands.customer_id, order))
                .require("d", Some(AttributeValue::S(stands.standing())));
            match self.store.transact(changes.writes(&self.store)).await? {
                Transacted::Done => return Ok(()),
                Transacted::Cancelled(_) => give_way(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "counting an order for promotions",
        })
    }

    async fn do_jobs(&self, jobs: &[Job], slot: u8, now: Instant) -> Result<Vec<Done>, StoreError> {
        let mut done = Vec::new();
        let mut size = CHUNK;
        while done.len() < jobs.len() {
            let rest = &jobs[done.len()..];
            let chunk = &rest[..size.min(rest.len())];
            match self.do_chunk(chunk, slot, now).await? {
                Some(more) => {
                    done.extend(more);
                    size = CHUNK;
                }
                // It does not fit into a transaction.
                None if size > 1 => size = size.div_ceil(2),
                None => {
                    return Err(StoreError::Refused {
                        op: "TransactWriteItems",
                        why: "one record does not fit into a transaction".to_owned(),
                    });
                }
            }
        }
        Ok(done)
    }

    /// Some jobs in one transaction; `None` where they do not fit into one.
    async fn do_chunk(
        &self,
        jobs: &[Job],
        slot: u8,
        now: Instant,
    ) -> Result<Option<Vec<Done>>, StoreError> {
        let mut all_slots = BTreeSet::new();
        for attempt in 0..TRIES_MAX {
            let mut desk = self.lay_out(jobs, slot, &all_slots, now).await?;
            let mut done = Vec::new();
            for job in jobs {
                done.push(desk.plan(job)?);
            }
            if !desk.unknown.is_empty() {
                all_slots.append(&mut desk.unknown);
                continue;
            }
            let changes = desk.close()?;
            if changes.len() == 0 {
                return Ok(Some(done));
            }
            if changes.len() > TRANSACTION_ITEMS_MAX {
                return Ok(None);
            }
            let writes = changes.writes(&self.store);
            if writes.iter().map(|write| write.bytes()).sum::<usize>() > TRANSACTION_BYTES_MAX {
                return Ok(None);
            }
            match self.store.transact(writes).await? {
                Transacted::Done => return Ok(Some(done)),
                // Somebody changed what was read, or is about to.
                Transacted::Cancelled(_) => give_way(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "taking in redemptions",
        })
    }

    /// Reads all that jobs may touch.
    async fn lay_out<'m>(
        &'m self,
        jobs: &[Job],
        slot: u8,
        all_slots: &BTreeSet<PoolOf>,
        now: Instant,
    ) -> Result<Desk<'m>, StoreError> {
        let mut desk = Desk::new(self, slot, now);
        let mut known: Vec<Subject> = jobs.iter().filter_map(Job::subject).collect();
        let rolled: Vec<Key> = jobs
            .iter()
            .filter_map(|job| match job {
                Job::Rollback { redemption, .. } => Some(keys::redemption(&self.id, redemption)),
                _ => None,
            })
            .collect();
        // What a rollback is about stands in the redemption.
        desk.read(&rolled).await?;
        for key in rolled {
            known.extend(desk.fact(&key)?.map(|(fact, _)| Subject::of(&fact.told)));
        }
        let mut wanted = BTreeSet::new();
        for subject in &known {
            subject.keys(self, slot, &mut wanted);
        }
        let wanted: Vec<Key> = wanted.into_iter().collect();
        let (_, versions) = try_join(desk.read(&wanted), self.versions()).await?;
        desk.versions = versions;
        let orders: Vec<Key> = known
            .iter()
            .filter_map(|subject| desk.order_key(subject.order_id.as_ref()?).transpose())
            .collect::<Result<_, _>>()?;
        let named = known.iter().map(|subject| desk.named(subject));
        let named: Vec<Vec<Key>> = named.collect::<Result<_, _>>()?;
        desk.read(&[orders, named.concat()].concat()).await?;
        if !all_slots.is_empty() {
            // The head first, then all slots: what moves, moves from the head to slots.
            let heads: Vec<Key> = all_slots.iter().map(|pool| pool.head(self)).collect();
            desk.read_again(&heads).await?;
            let slots = all_slots.iter().flat_map(|pool| pool.slots(self));
            desk.read_again(&slots.collect::<Vec<_>>()).await?;
            desk.whole = all_slots.clone();
        }
        Ok(desk)
    }
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Assigned(told) => told.assignment_id.as_str(),
            Self::Redeemed(told) => told.redemption_id.as_str(),
        }
    }
}

/// A limit: of a promotion, or of one of its vouchers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PoolOf {
    promotion: PromotionId,
    voucher: Option<VoucherCode>,
}

impl PoolOf {
    fn head(&self, market: &Market) -> Key {
        match &self.voucher {
            None => keys::promotion_pool(&market.id, &self.promotion),
            Some(code) => keys::voucher(&market.id, &self.promotion, code),
        }
    }

    fn slots(&self, market: &Market) -> Vec<Key> {
        let slot = |slot| match &self.voucher {
            None => keys::promotion_total(&market.id, slot, &self.promotion),
            Some(code) => keys::voucher_slot(&market.id, slot, &self.promotion, code),
        };
        (0..SLOTS).map(slot).collect()
    }
}

/// What a job is about.
struct Subject {
    promotion_id: PromotionId,
    customer_id: CustomerId,
    voucher_code: Option<VoucherCode>,
    order_id: Option<OrderId>,
    own: Option<Entry>,
}

impl Job {
    fn subject(&self) -> Option<Subject> {
        match self {
            Self::Arrival { arrival, .. } => Some(Subject::of_entry(&arrival.entry)),
            Self::Admit(entry) => Some(Subject::of_entry(entry)),
            Self::Redeem(told) => Some(Subject {
                own: Some(Entry::Redeemed(told.clone())),
                ..Subject::of(told)
            }),
            Self::Rollback { .. } => None,
        }
    }
}

impl Subject {
    fn of(told: &Redemption) -> Self {
        Self {
            promotion_id: told.promotion_id.clone(),
            customer_id: told.customer_id.clone(),
            voucher_code: told.voucher_code.clone(),
            order_id: told.order_id.clone(),
            own: None,
        }
    }

    fn of_entry(entry: &Entry) -> Self {
        let own = Some(entry.clone());
        match entry {
            Entry::Redeemed(told) => Self {
                own,
                ..Self::of(told)
            },
            Entry::Assigned(told) => Self {
                promotion_id: told.promotion_id.clone(),
                customer_id: told.customer_id.clone(),
                voucher_code: told.voucher_code.clone(),
                order_id: None,
                own,
            },
        }
    }

    fn keys(&self, market: &Market, slot: u8, wanted: &mut BTreeSet<Key>) {
        let (id, promotion) = (&market.id, &self.promotion_id);
        wanted.insert(keys::promotion(id, promotion));
        wanted.insert(keys::promotion_pool(id, promotion));
        wanted.insert(keys::promotion_total(id, slot, promotion));
        wanted.insert(keys::claim(id, &self.customer_id, promotion));
        if let Some(code) = &self.voucher_code {
            wanted.insert(keys::voucher(id, promotion, code));
            wanted.insert(keys::voucher_slot(id, slot, promotion, code));
        }
        if let Some(order) = &self.order_id {
            wanted.insert(keys::order_pointer(id, order));
            wanted.insert(keys::order_link(id, order, promotion));
        }
        match &self.own {
            Some(Entry::Assigned(told)) => {
                wanted.insert(keys::assignment(id, &told.assignment_id));
            }
            Some(Entry::Redeemed(told)) => {
                wanted.insert(keys::redemption(id, &told.redemption_id));
            }
            None => {}
        }
    }
}

/// A customer's claim, as it was and as it becomes.
struct OpenClaim {
    claim: Claim,
    before: Figures,
    version: i64,
    changed: bool,
}

/// A voucher, as it was and as it becomes.
struct OpenVoucher {
    /// It was made; else only its uses are known.
    made: Option<StoredVoucher>,
    disabled: bool,
    assigned: bool,
    mark_assigned: bool,
    pool: Option<Pool>,
    uses: i64,
    opened: i64,
}

/// A voucher as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredVoucher {
    /// How often it may be used; any number of times where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<i64>,
    pub(crate) made_at: Instant,
}

/// From this limit on a voucher's uses are spread over slots.
const SPREAD_LIMIT_MIN: i64 = 100;

impl StoredVoucher {
    /// Its uses are spread over slots, for many may want it at once.
    pub(crate) fn is_spread(&self) -> bool {
        self.limit.is_none_or(|limit| limit >= SPREAD_LIMIT_MIN)
    }
}

/// What redemptions of a promotion that name an order add to its result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Successes that stand and name the order.
    #[serde(rename = "n")]
    pub(crate) named: i64,
    /// What the order adds now, where it counts.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) adds: Option<(Currency, Money)>,
}

struct OpenLink {
    link: Link,
    before: Link,
    version: i64,
    /// The order's standing copy, as it lies in the table.
    standing: Option<AttributeValue>,
    order: Option<Order>,
}

/// All that was read for some jobs, and what they change.
struct Desk<'m> {
    market: &'m Market,
    slot: u8,
    now: Instant,
    items: HashMap<Key, Item>,
    versions: Option<Versions>,
    changes: Changes,
    promotions: BTreeMap<PromotionId, Option<(Promotion, i64)>>,
    claims: BTreeMap<(PromotionId, CustomerId), OpenClaim>,
    vouchers: BTreeMap<(PromotionId, VoucherCode), OpenVoucher>,
    caps: BTreeMap<PromotionId, Pool>,
    budgets: BTreeMap<PromotionId, Pool>,
    links: BTreeMap<(OrderId, PromotionId), OpenLink>,
    facts: BTreeMap<Key, (RedemptionFact, i64)>,
    assignments: BTreeMap<Key, (AssignmentFact, i64)>,
    /// Limits of which all slots were read.
    whole: BTreeSet<PoolOf>,
    /// Limits of which all slots have to be read.
    unknown: BTreeSet<PoolOf>,
}

impl<'m> Desk<'m> {
    fn new(market: &'m Market, slot: u8, now: Instant) -> Self {
        Self {
            market,
            slot,
            now,
            items: HashMap::new(),
            versions: None,
            changes: Changes::default(),
            promotions: BTreeMap::new(),
            claims: BTreeMap::new(),
            vouchers: BTreeMap::new(),
            caps: BTreeMap::new(),
            budgets: BTreeMap::new(),
            links: BTreeMap::new(),
            facts: BTreeMap::new(),
            assignments: BTreeMap::new(),
            whole: BTreeSet::new(),
            unknown: BTreeSet::new(),
        }
    }

    async fn read(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        let missing: Vec<Key> = keys
            .iter()
            .filter(|key| !self.items.contains_key(key))
            .cloned()
            .collect();
        self.read_again(&missing).await
    }

    async fn read_again(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        let found = self.market.store.get_all(keys, true).await?;
        for key in keys {
            self.items.remove(key);
        }
        for item in found {
            let key = Key {
                pk: text(&item, "pk").to_owned(),
                sk: text(&item, "sk").to_owned(),
            };
            self.items.insert(key, item);
        }
        Ok(())
    }

    fn versions(&self) -> Result<&Versions, StoreError> {
        self.versions.as_ref().ok_or(StoreError::Contended {
            op: "reading settings",
        })
    }

    fn number(&self, key: &Key, attribute: &str) -> Money {
        amount(self.items.get(key), attribute)
    }

    /// A redemption that is stored, and its version.
    fn fact(&mut self, key: &Key) -> Result<Option<(RedemptionFact, i64)>, StoreError> {
        if let Some(known) = self.facts.get(key) {
            return Ok(Some(known.clone()));
        }
        let item = self.items.get(key).filter(|item| !expired(item, self.now));
        item.map(|item| Ok((data(item)?, self.version(key))))
            .transpose()
    }

    /// The version of an item, whether it expired or not; 0 where there is none.
    fn version(&self, key: &Key) -> i64 {
        let item = self.items.get(key);
        item.and_then(|item| number(item, "v")).unwrap_or(0)
    }

    fn put_fact(&mut self, key: Key, fact: RedemptionFact, version: i64) {
        let expires = fact.at.plus_ms(self.market.retention.keep_ms());
        self.changes
            .at(&key)
            .data(&fact)
            .expires(expires)
            .next_version(version);
        // Written once: what changes it again in this transaction stands on the same version.
        self.facts.insert(key, (fact, version));
    }

    fn promotion(&mut self, id: &PromotionId) -> Result<Option<(Promotion, i64)>, StoreError> {
        if let Some(known) = self.promotions.get(id) {
            return Ok(known.clone());
        }
        let item = self.items.get(&keys::promotion(&self.market.id, id));
        let read = item.map(|item| Ok((data(item)?, number(item, "v").unwrap_or(0))));
        let read: Option<(Promotion, i64)> = read.transpose()?;
        self.promotions.insert(id.clone(), read.clone());
        Ok(read)
    }

    fn claim(
        &mut self,
        promotion: &PromotionId,
        customer: &CustomerId,
    ) -> Result<&mut OpenClaim, StoreError> {
        let place = (promotion.clone(), customer.clone());
        if !self.claims.contains_key(&place) {
            let key = keys::claim(&self.market.id, customer, promotion);
            let item = self.items.get(&key);
            let claim: Claim = item.map(data).transpose()?.unwrap_or_default();
            let open = OpenClaim {
                before: claim.figures(),
                claim,
                version: item.and_then(|item| number(item, "v")).unwrap_or(0),
                changed: false,
            };
            self.claims.insert(place.clone(), open);
        }
        self.claims.get_mut(&place).ok_or(StoreError::Contended {
            op: "reading a claim",
        })
    }

    fn voucher(
        &mut self,
        promotion: &PromotionId,
        code: &VoucherCode,
    ) -> Result<&mut OpenVoucher, StoreError> {
        let place = (promotion.clone(), code.clone());
        if !self.vouchers.contains_key(&place) {
            let head = keys::voucher(&self.market.id, promotion, code);
            let item = self.items.get(&head);
            let made = item.filter(|item| item.contains_key("d"));
            let made: Option<StoredVoucher> = made.map(data).transpose()?;
            let limited = made.as_ref().filter(|made| made.limit.is_some());
            let pool = limited.map(|made| {
                if made.is_spread() {
                    let of = PoolOf {
                        promotion: promotion.clone(),
                        voucher: Some(code.clone()),
                    };
                    self.pool(&of, "l", true)
                } else {
                    Pool::unspread(self.number(&head, "l"))
                }
            });
            let open = OpenVoucher {
                disabled: item.is_some_and(|item| item.contains_key("x")),
                assigned: item.is_some_and(|item| item.contains_key("s")),
                mark_assigned: false,
                made,
                pool,
                uses: 0,
                opened: 0,
            };
            self.vouchers.insert(place.clone(), open);
        }
        self.vouchers.get_mut(&place).ok_or(StoreError::Contended {
            op: "reading a voucher",
        })
    }

    /// What is left of a limit that is spread over slots, as it was read.
    fn pool(&self, of: &PoolOf, attribute: &str, counted: bool) -> Pool {
        let slots = of.slots(self.market);
        let in_slot = |slot: u8| self.number(&slots[usize::from(slot)], attribute);
        let head = self.number(&of.head(self.market), attribute);
        let mut pool = Pool::new(head, self.slot, in_slot(self.slot), counted);
        if self.whole.contains(of) {
            (0..SLOTS).for_each(|slot| pool.with_slot(slot, in_slot(slot)));
        }
        pool
    }

    /// The cap's pool, and the budget's, where the promotion has them.
    fn open_pools(&mut self, promotion: &Promotion) {
        let id = &promotion.promotion_id;
        let of = PoolOf {
            promotion: id.clone(),
            voucher: None,
        };
        if promotion.cap.is_some() && !self.caps.contains_key(id) {
            let pool = self.pool(&of, "cl", true);
            self.caps.insert(id.clone(), pool);
        }
        if promotion.budget.is_some() && !self.budgets.contains_key(id) {
            let pool = self.pool(&of, "bl", false);
            self.budgets.insert(id.clone(), pool);
        }
    }

    /// The key of an order, where its pointer was read.
    fn order_key(&self, order: &OrderId) -> Result<Option<Key>, StoreError> {
        let pointer = self.items.get(&keys::order_pointer(&self.market.id, order));
        pointer
            .map(|pointer| {
                let customer = data::<Pointer>(pointer)?.customer_id;
                Ok(keys::order(&self.market.id, &customer, order))
            })
            .transpose()
    }

    fn link(
        &mut self,
        order: &OrderId,
        promotion: &PromotionId,
    ) -> Result<&mut OpenLink, StoreError> {
        let place = (order.clone(), promotion.clone());
        if !self.links.contains_key(&place) {
            let key = keys::order_link(&self.market.id, order, promotion);
            let item = self.items.get(&key);
            let link: Link = item.map(data).transpose()?.unwrap_or_default();
            let stored = self.order_key(order)?.and_then(|key| self.items.get(&key));
            let seen = stored.filter(|item| !expired(item, self.now));
            let open = OpenLink {
                before: link.clone(),
                link,
                version: self.version(&key),
                standing: stored.and_then(|item| item.get("d")).cloned(),
                order: seen.map(read_order).transpose()?,
            };
            self.links.insert(place.clone(), open);
        }
        self.links.get_mut(&place).ok_or(StoreError::Contended {
            op: "reading an order",
        })
    }

    /// Redemptions that name the assignment that comes in.
    fn named(&self, subject: &Subject) -> Result<Vec<Key>, StoreError> {
        let Some(Entry::Assigned(told)) = &subject.own else {
            return Ok(Vec::new());
        };
        let id = &self.market.id;
        let key = keys::claim(id, &told.customer_id, &told.promotion_id);
        let claim = self.items.get(&key).map(data::<Claim>).transpose()?;
        let uses = claim.into_iter().flat_map(|claim| claim.uses);
        Ok(uses
            .filter(|used| used.assignment_id.as_ref() == Some(&told.assignment_id))
            .map(|used| keys::redemption(id, &used.redemption_id))
            .collect())
    }

    fn total(&self, promotion: &PromotionId) -> Key {
        keys::promotion_total(&self.market.id, self.slot, promotion)
    }

    fn plan(&mut self, job: &Job) -> Result<Done, StoreError> {
        match job {
            Job::Arrival { arrival, place } => {
                let taken = match &arrival.entry {
                    Entry::Assigned(told) => {
                        self.assign(told, arrival.source.as_ref(), *place, false)?
                    }
                    Entry::Redeemed(told) => {
                        self.report(told, arrival.source.as_ref(), *place, false)?
                    }
                };
                Ok(Done::Taken(taken))
            }
            Job::Admit(Entry::Assigned(told)) => self.assign(told, None, 0, true).map(Done::Taken),
            Job::Admit(Entry::Redeemed(told)) => self.report(told, None, 0, true).map(Done::Taken),
            Job::Redeem(told) => self.redeem(told).map(Done::Redeemed),
            Job::Rollback {
                redemption,
                rollback,
            } => self.roll_back(redemption, rollback).map(Done::RolledBack),
        }
    }

    fn assign(
        &mut self,
        told: &Assignment,
        source: Option<&String>,
        place: usize,
        admit: bool,
    ) -> Result<Taken, StoreError> {
        let id = &self.market.id;
        let key = keys::assignment(id, &told.assignment_id);
        let item = self.items.get(&key).filter(|item| !expired(item, self.now));
        let stands = match self.assignments.get(&key) {
            Some(known) => Some(known.clone()),
            None => item
                .map(|item| Ok::<_, StoreError>((data(item)?, self.version(&key))))
                .transpose()?,
        };
        let (mut fact, version) = match stands {
            Some((fact, version)) if admit && fact.waits.is_some() => (fact, version),
            Some(_) if admit => return Ok(Taken::Accepted),
            Some((fact, _)) => {
                return Ok(seen_before(
                    &fact.told,
                    told,
                    &fact.source,
                    source,
                    fact.waits.is_some(),
                    "assignment_id",
                ));
            }
            None if admit => return Ok(Taken::Accepted),
            None => (
                AssignmentFact {
                    at: told.assigned_at.unwrap_or(self.now),
                    arrived_at: self.now,
                    waits: None,
                    source: source.cloned(),
                    told: told.clone(),
                },
                self.version(&key),
            ),
        };
        let promotion = self.promotion(&told.promotion_id)?;
        let taken = if promotion.is_none() {
            fact.waits = Some(Waits {
                place,
                problem: None,
            });
            self.quarantine(
                &told.promotion_id,
                fact.arrived_at,
                place,
                false,
                told.assignment_id.as_str(),
            );
            Taken::Quarantined
        } else {
            if let Some(waits) = fact.waits.take() {
                self.leave(
                    &told.promotion_id,
                    fact.arrived_at,
                    waits.place,
                    false,
                    told.assignment_id.as_str(),
                );
            }
            self.count_assignment(&fact)?;
            Taken::Accepted
        };
        let expires = fact.at.plus_ms(self.market.retention.keep_ms());
        self.changes
            .at(&key)
            .data(&fact)
            .expires(expires)
            .next_version(version);
        self.assignments.insert(key, (fact, version));
        Ok(taken)
    }

    fn count_assignment(&mut self, fact: &AssignmentFact) -> Result<(), StoreError> {
        let told = &fact.told;
        let offer = Offer {
            assignment_id: told.assignment_id.clone(),
            at: fact.at,
            tier_id: told.tier_id.clone(),
            segment: told.segment.clone(),
            voucher_code: told.voucher_code.clone(),
            result: told.result,
        };
        let open = self.claim(&told.promotion_id, &told.customer_id)?;
        open.claim.offers.push(offer);
        open.changed = true;
        // Redemptions that named it before it was here are no longer of an unknown assignment.
        let named = open.claim.uses.iter();
        let named = named.filter(|used| used.assignment_id.as_ref() == Some(&told.assignment_id));
        let named: Vec<RedemptionId> = named.map(|used| used.redemption_id.clone()).collect();
        for redemption in named {
            let key = keys::redemption(&self.market.id, &redemption);
            if let Some((mut fact, version)) = self.fact(&key)?
                && fact.flags.remove(&Flag::UnknownAssignment)
            {
                self.put_fact(key, fact, version);
            }
        }
        if let Some(code) = &told.voucher_code {
            let listed = keys::listed_publication(
                &self.market.id,
                &told.promotion_id,
                fact.at,
                &told.assignment_id,
            );
            let expires = fact.at.plus_ms(self.market.retention.keep_ms());
            self.changes.at(&listed).expires(expires);
            if told.result == Outcome::Success {
                let voucher = self.voucher(&told.promotion_id, code)?;
                voucher.mark_assigned |= !voucher.assigned;
            }
        }
        Ok(())
    }

    fn quarantine(
        &mut self,
        promotion: &PromotionId,
        arrived_at: Instant,
        place: usize,
        redeemed: bool,
        record: &str,
    ) {
        let id = &self.market.id;
        let entry = keys::quarantined(id, promotion, arrived_at, place, redeemed, record);
        self.changes.at(&entry).mark("q");
        self.changes
            .at(&keys::awaited_promotion(id, promotion))
            .mark("q");
        self.changes
            .at(&keys::promotion(id, promotion))
            .require_absent();
    }

    fn leave(
        &mut self,
        promotion: &PromotionId,
        arrived_at: Instant,
        place: usize,
        redeemed: bool,
        record: &str,
    ) {
        let id = &self.market.id;
        let entry = keys::quarantined(id, promotion, arrived_at, place, redeemed, record);
        self.changes.at(&entry).delete();
    }

    /// Counts a redemption among those that came in on a day.
    fn count_in(&mut self, arrived_at: Instant, what: &str, n: i64) -> Result<(), StoreError> {
        let day = day_of(self.versions()?, arrived_at);
        let key = keys::redemptions_in_on(&self.market.id, self.slot, day);
        self.changes.at(&key).add(what, n);
        Ok(())
    }

    fn report(
        &mut self,
        told: &Redemption,
        source: Option<&String>,
        place: usize,
        admit: bool,
    ) -> Result<Taken, StoreError> {
        let key = keys::redemption(&self.market.id, &told.redemption_id);
        let (mut fact, version) = match self.fact(&key)? {
            Some((fact, version)) if admit && fact.waits.is_some() => (fact, version),
            Some(_) if admit => return Ok(Taken::Accepted),
            Some((fact, _)) => {
                return Ok(seen_before(
                    &fact.told,
                    told,
                    &fact.source,
                    source,
                    fact.waits.is_some(),
                    "redemption_id",
                ));
            }
            None if admit => return Ok(Taken::Accepted),
            None => (
                RedemptionFact {
                    at: told.redeemed_at.unwrap_or(self.now),
                    arrived_at: self.now,
                    way: Way::Reported,
                    refusal: None,
                    flags: BTreeSet::new(),
                    reward: None,
                    rolled_back: None,
                    waits: None,
                    source: source.cloned(),
                    told: told.clone(),
                },
                self.version(&key),
            ),
        };
        let Some((promotion, _)) = self.promotion(&told.promotion_id)? else {
            self.quarantine(
                &told.promotion_id,
                fact.arrived_at,
                place,
                true,
                told.redemption_id.as_str(),
            );
            self.count_in(fact.arrived_at, "rc", 1)?;
            self.count_in(fact.arrived_at, "qu", 1)?;
            fact.waits = Some(Waits {
                place,
                problem: None,
            });
            self.put_fact(key, fact, version);
            return Ok(Taken::Quarantined);
        };
        fact.reward = match reward(told, &promotion) {
            Ok(reward) => reward,
            Err(problem) => return self.keep_waiting(key, fact, version, problem),
        };
        if fact.at < promotion.tracking_from {
            let detail = format!(
                "redeemed_at: {} is before {}, from when on this promotion is tracked",
                fact.at, promotion.tracking_from
            );
            let problem = Problem::of("redeemed_at", Code::BeforeTracking, detail);
            return self.keep_waiting(key, fact, version, problem);
        }
        if let Some(waits) = fact.waits.take() {
            self.leave(
                &told.promotion_id,
                fact.arrived_at,
                waits.place,
                true,
                told.redemption_id.as_str(),
            );
            self.count_in(fact.arrived_at, "qu", -1)?;
        } else {
            self.count_in(fact.arrived_at, "rc", 1)?;
        }
        self.count_in(fact.arrived_at, "ma", 1)?;
        if fact.told.result == Outcome::Success {
            fact.flags = self.broken_rules(&fact, &promotion)?;
            if fact.stands() && self.use_up(&fact, &promotion, true)?.is_err() {
                fact.flags.insert(Flag::OverLimit);
            }
        }
        self.enter(key, fact, version)?;
        Ok(Taken::Accepted)
    }

    /// A record that cannot be taken in is rejected; one that waits goes on waiting, and says why.
    fn keep_waiting(
        &mut self,
        key: Key,
        mut fact: RedemptionFact,
        version: i64,
        problem: Problem,
    ) -> Result<Taken, StoreError> {
        if let Some(waits) = &mut fact.waits
            && waits.problem.as_ref() != Some(&problem)
        {
            waits.problem = Some(problem.clone());
            fact.reward = None;
            self.put_fact(key, fact, version);
        }
        Ok(Taken::Rejected(problem))
    }

    fn broken_rules(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
    ) -> Result<BTreeSet<Flag>, StoreError> {
        let told = &fact.told;
        let mut flags = BTreeSet::new();
        let late = promotion.ends_at.is_some_and(|ends_at| fact.at > ends_at);
        if late
            || promotion
                .starts_at
                .is_some_and(|starts_at| fact.at < starts_at)
        {
            flags.insert(Flag::OutsideTimeframe);
        }
        let claim = &self.claim(&told.promotion_id, &told.customer_id)?.claim;
        if told
            .assignment_id
            .as_ref()
            .is_some_and(|assignment| !claim.knows(assignment))
        {
            flags.insert(Flag::UnknownAssignment);
        }
        if let Some(code) = &told.voucher_code {
            let holds = claim.holds_code(code);
            let voucher = self.voucher(&told.promotion_id, code)?;
            if voucher.made.is_none() {
                flags.insert(Flag::UnknownVoucher);
            }
            if (voucher.assigned || voucher.mark_assigned) && !holds {
                flags.insert(Flag::WrongCustomer);
            }
        }
        Ok(flags)
    }

    fn redeem(&mut self, told: &Redemption) -> Result<Redeemed, StoreError> {
        let key = keys::redemption(&self.market.id, &told.redemption_id);
        if let Some((fact, _)) = self.fact(&key)? {
            return Ok(match fact.refusal {
                _ if fact.way != Way::Redeem || fact.told != *told => Redeemed::Conflict,
                Some(refusal) => Redeemed::Refused(refusal),
                None => Redeemed::Success,
            });
        }
        let Some((promotion, _)) = self.promotion(&told.promotion_id)? else {
            return Ok(Redeemed::NoPromotion);
        };
        let Ok(reward) = reward(told, &promotion) else {
            return Ok(Redeemed::NoCurrency);
        };
        let mut fact = RedemptionFact {
            told: told.clone(),
            at: self.now,
            arrived_at: self.now,
            way: Way::Redeem,
            refusal: None,
            flags: BTreeSet::new(),
            reward,
            rolled_back: None,
            waits: None,
            source: None,
        };
        fact.refusal = match self.refusal(&fact, &promotion)? {
            Some(refusal) => Some(refusal),
            None => self.use_up(&fact, &promotion, false)?.err(),
        };
        self.count_in(fact.arrived_at, "rc", 1)?;
        self.count_in(fact.arrived_at, "ma", 1)?;
        let answer = match fact.refusal {
            Some(refusal) => Redeemed::Refused(refusal),
            None => Redeemed::Success,
        };
        let version = self.version(&key);
        self.enter(key, fact, version)?;
        Ok(answer)
    }

    /// Why a redeem is refused before any limit is looked at.
    fn refusal(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
    ) -> Result<Option<Refusal>, StoreError> {
        let told = &fact.told;
        if let Some(code) = &told.voucher_code {
            let claim = &self.claim(&told.promotion_id, &told.customer_id)?.claim;
            let holds = claim.holds_code(code);
            let voucher = self.voucher(&told.promotion_id, code)?;
            if voucher.made.is_none() {
                return Ok(Some(Refusal::VoucherNotFound));
            }
            if voucher.disabled {
                return Ok(Some(Refusal::VoucherDisabled));
            }
            if voucher.assigned && !holds {
                return Ok(Some(Refusal::WrongCustomer));
            }
        }
        if promotion
            .starts_at
            .is_some_and(|starts_at| fact.at < starts_at)
        {
            return Ok(Some(Refusal::NotStarted));
        }
        let over = promotion.ends_at.is_some_and(|ends_at| fact.at > ends_at);
        Ok(over.then_some(Refusal::Expired))
    }

    /// Takes one use of the voucher, one of the cap, and the reward of the budget: all or, where one has not enough, none of them;
    /// but where the till has honoured it already (`honoured`), all of them, below nothing.
    fn use_up(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
        honoured: bool,
    ) -> Result<Result<(), Refusal>, StoreError> {
        self.open_pools(promotion);
        let one = Money::from(1);
        let id = &promotion.promotion_id;
        let spends = spends(fact.reward, promotion);
        let voucher = fact.told.voucher_code.as_ref();
        let mut of_voucher = match voucher {
            Some(code) => self.voucher(id, code)?.pool.clone(),
            None => None,
        };
        let mut of_cap = self.caps.get(id).cloned();
        let mut of_budget = self.budgets.get(id).cloned().filter(|_| !spends.is_zero());
        let mut missing = None;
        let mut opened = 0;
        for (pool, amount, refusal) in [
            (&mut of_voucher, one, Refusal::LimitReached),
            (&mut of_cap, one, Refusal::CapReached),
            (&mut of_budget, spends, Refusal::BudgetReached),
        ] {
            let Some(pool) = pool else { continue };
            match pool.take(amount) {
                Took::Enough => opened -= i64::from(refusal == Refusal::LimitReached),
                Took::Nothing if honoured => {
                    pool.overdraw(amount);
                    missing = missing.or(Some(refusal));
                }
                Took::Nothing => return Ok(Err(refusal)),
                Took::Unknown => {
                    self.unknown.insert(PoolOf {
                        promotion: id.clone(),
                        voucher: voucher
                            .filter(|_| refusal == Refusal::LimitReached)
                            .cloned(),
                    });
                }
            }
        }
        if let Some(code) = voucher {
            let open = self.voucher(id, code)?;
            open.pool = of_voucher;
            open.uses += 1;
            if !open.disabled {
                open.opened += opened;
            }
        }
        self.caps.extend(of_cap.map(|pool| (id.clone(), pool)));
        self.budgets
            .extend(of_budget.map(|pool| (id.clone(), pool)));
        if let Some((amount, currency)) = fact.reward {
            let total = self.total(id);
            self.changes
                .at(&total)
                .add(&format!("w:{currency}"), amount);
        }
        self.name_order(fact, 1)?;
        Ok(missing.map_or(Ok(()), Err))
    }

    fn give_back(
        &mut self,
        fact: &RedemptionFact,
        promotion: &Promotion,
    ) -> Result<(), StoreError> {
        self.open_pools(promotion);
        let one = Money::from(1);
        let id = &promotion.promotion_id;
        if let Some(code) = &fact.told.voucher_code {
            let open = self.voucher(id, code)?;
            open.uses -= 1;
            if let Some(pool) = &mut open.pool {
                if !open.disabled && !pool.is_overdrawn() {
                    open.opened += 1;
                }
                pool.give_back(one);
            }
        }
        if let Some(pool) = self.caps.get_mut(id) {
            pool.give_back(one);
        }
        if let Some(pool) = self.budgets.get_mut(id) {
            pool.give_back(spends(fact.reward, promotion));
        }
        if let Some((amount, currency)) = fact.reward {
            let total = self.total(id);
            self.changes
                .at(&total)
                .add(&format!("w:{currency}"), -amount);
        }
        self.name_order(fact, -1)
    }

    /// A success that names an order, more or less.
    fn name_order(&mut self, fact: &RedemptionFact, more: i64) -> Result<(), StoreError> {
        let Some(order) = &fact.told.order_id else {
            return Ok(());
        };
        let versions = self.versions()?.clone();
        let open = self.link(order, &fact.told.promotion_id)?;
        open.link.named += more;
        open.link.adds = match &open.order {
            _ if open.link.named == 0 => None,
            Some(order) => adds(order, &versions),
            // What expired adds what it added.
            None => open.link.adds,
        };
        Ok(())
    }

    /// Enters a redemption into the claim, the lists and the feed.
    fn enter(&mut self, key: Key, fact: RedemptionFact, version: i64) -> Result<(), StoreError> {
        let used = fact.used(self.versions()?);
        let told = &fact.told;
        let open = self.claim(&told.promotion_id, &told.customer_id)?;
        open.claim.uses.push(used);
        open.changed = true;
        let id = &self.market.id;
        let keep_ms = self.market.retention.keep_ms();
        let listed = keys::listed_redemption(id, &told.promotion_id, fact.at, &told.redemption_id);
        self.changes.at(&listed).expires(fact.at.plus_ms(keep_ms));
        let fed = keys::fed(id, self.now, false, &told.redemption_id);
        self.changes.at(&fed).expires(self.now.plus_ms(keep_ms));
        self.put_fact(key, fact, version);
        Ok(())
    }

    fn roll_back(
        &mut self,
        redemption: &RedemptionId,
        rollback: &Rollback,
    ) -> Result<RolledBack, StoreError> {
        let key = keys::redemption(&self.market.id, redemption);
        let Some((mut fact, version)) = self.fact(&key)? else {
            return Ok(RolledBack::Unknown);
        };
        if let Some((by, _)) = &fact.rolled_back {
            return Ok(if by.rollback_id == rollback.rollback_id {
                RolledBack::Done
            } else {
                RolledBack::Already
            });
        }
        if fact.result() == Outcome::Failure {
            return Ok(RolledBack::NotASuccess);
        }
        fact.rolled_back = Some((rollback.clone(), self.now));
        if fact.waits.is_none() {
            let told = &fact.told;
            if let Some((promotion, _)) = self.promotion(&told.promotion_id)? {
                self.give_back(&fact, &promotion)?;
            }
            let open = self.claim(&told.promotion_id, &told.customer_id)?;
            open.changed = true;
            for used in &mut open.claim.uses {
                used.rolled_back |= used.redemption_id == *redemption;
            }
            let fed = keys::fed(&self.market.id, self.now, true, redemption);
            let expires = self.now.plus_ms(self.market.retention.keep_ms());
            self.changes.at(&fed).expires(expires);
        }
        self.put_fact(key, fact, version);
        Ok(RolledBack::Done)
    }

    /// Everything that changed, as changes of items.
    fn close(mut self) -> Result<Changes, StoreError> {
        let id = &self.market.id;
        let mut moved: BTreeSet<PromotionId> = BTreeSet::new();
        for ((promotion, customer), open) in &self.claims {
            if !open.changed {
                continue;
            }
            moved.insert(promotion.clone());
            self.changes
                .at(&keys::claim(id, customer, promotion))
                .packed(&open.claim)
                .next_version(open.version);
            let difference = open.claim.figures().minus(&open.before);
            add_figures(
                &mut self.changes,
                self.market,
                self.slot,
                promotion,
                &difference,
            );
        }
        for ((promotion, code), open) in &self.vouchers {
            let head = keys::voucher(id, promotion, code);
            if open.mark_assigned {
                self.changes.at(&head).mark("s");
            }
            if open.uses == 0 {
                continue;
            }
            moved.insert(promotion.clone());
            let spread = open.made.as_ref().is_some_and(StoredVoucher::is_spread);
            if spread {
                let own = keys::voucher_slot(id, self.slot, promotion, code);
                self.changes.at(&own).add("u", open.uses);
            } else {
                self.changes.at(&head).add("u", open.uses);
            }
            if open.made.is_none() {
                self.changes.at(&head).require("d", None);
            }
            if let Some(pool) = &open.pool {
                pool.write_head("l", self.changes.at(&head));
                for slot in pool.changed_slots() {
                    let key = keys::voucher_slot(id, slot, promotion, code);
                    pool.write_slot(slot, "l", self.changes.at(&key));
                }
            }
            if open.opened > 0 {
                // Whether a use that is given back opens one depends on how many are overdrawn.
                let read = self.items.get(&head).and_then(|item| item.get("l"));
                self.changes.at(&head).require("l", read.cloned());
            }
            let total = keys::promotion_total(id, self.slot, promotion);
            self.changes.at(&total).add("op", open.opened);
        }
        for (pools, attribute) in [(&self.caps, "cl"), (&self.budgets, "bl")] {
            for (promotion, pool) in pools {
                pool.write_head(
                    attribute,
                    self.changes.at(&keys::promotion_pool(id, promotion)),
                );
                for slot in pool.changed_slots() {
                    let key = keys::promotion_total(id, slot, promotion);
                    let change = self.changes.at(&key);
                    pool.write_slot(slot, attribute, change);
                    if slot != self.slot {
                        change.add("n", 1);
                    }
                }
            }
        }
        for ((order, promotion), open) in &self.links {
            if open.link == open.before {
                continue;
            }
            match self.order_key(order)? {
                Some(key) => self.changes.at(&key).require("d", open.standing.clone()),
                None => self
                    .changes
                    .at(&keys::order_pointer(id, order))
                    .require_absent(),
            };
            let total = keys::promotion_total(id, self.slot, promotion);
            add_link(
                &mut self.changes,
                &keys::order_link(id, order, promotion),
                &total,
                open.version,
                &open.before,
                &open.link,
            );
        }
        for promotion in moved {
            let version = self.promotions.get(&promotion).and_then(Option::as_ref);
            let total = keys::promotion_total(id, self.slot, &promotion);
            let change = self.changes.at(&total).add("n", 1);
            if let Some((_, version)) = version {
                change.require_number("pv", version);
            }
        }
        Ok(self.changes)
    }
}

/// Lets others go first, the longer the more often they came first.
pub(crate) async fn give_way(attempt: usize) {
    let most_ms = attempt.saturating_sub(3).min(50) as u64;
    if most_ms == 0 {
        return tokio::task::yield_now().await;
    }
    let mut dice = [0_u8; 1];
    // Without randomness they wait equally long, which is worse but not wrong.
    let _ = getrandom::fill(&mut dice);
    let ms = 1 + u64::from(dice[0]) % most_ms;
    tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
}

/// Writes what an order adds to a promotion's result, and moves the result by the difference.
pub(crate) fn add_link(
    changes: &mut Changes,
    key: &Key,
    total: &Key,
    version: i64,
    before: &Link,
    after: &Link,
) {
    changes.at(key).data(after).next_version(version);
    for (link, sign) in [(before, -1), (after, 1)] {
        if let Some((currency, amount)) = link.adds {
            changes
                .at(total)
                .add(&format!("o:{currency}"), amount.times(sign));
        }
    }
    changes.at(total).add("n", 1);
}

/// What an order adds to the result of a promotion whose redemptions name it: its amount, where it counts.
pub(crate) fn adds(order: &Order, versions: &Versions) -> Option<(Currency, Money)> {
    let (not_counted, amount) = decide::count(order, &versions.at(order.placed_at).settings);
    not_counted.is_none().then_some((order.currency, amount))
}

fn add_figures(
    changes: &mut Changes,
    market: &Market,
    slot: u8,
    promotion: &PromotionId,
    difference: &Figures,
) {
    let id = &market.id;
    let total = keys::promotion_total(id, slot, promotion);
    for ((tier, segment), cell) in &difference.cells {
        let key = keys::promotion_cell(id, slot, promotion, tier.as_ref(), segment.as_ref());
        for key in [&total, &key] {
            changes
                .at(key)
                .add("a", cell.assigned)
                .add("r", cell.redeemed)
                .add("s", cell.redemptions);
        }
    }
    for (day, figures) in &difference.days {
        changes
            .at(&keys::promotion_day(id, slot, promotion, *day))
            .add("r", figures.redeemed)
            .add("s", figures.success)
            .add("f", figures.failure);
        changes.at(&total).add("f", figures.failure);
    }
    changes
        .at(&total)
        .add("b", difference.rolled_back)
        .add("ps", difference.publications[0])
        .add("pf", difference.publications[1]);
}

/// A number of an item; nothing where there is none.
pub(crate) fn amount(item: Option<&Item>, attribute: &str) -> Money {
    item.and_then(|item| item.get(attribute))
        .and_then(|value| value.as_n().ok())
        .and_then(|text| Money::stored(text))
        .unwrap_or(Money::ZERO)
}

fn is_assignment(item: &Item) -> bool {
    text(item, "pk").contains("/f/a/")
}

pub(crate) fn id_of<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).ok()
}

/// A record whose id is known: the same from the same place, the same, or another.
fn seen_before<T: PartialEq>(
    stands: &T,
    told: &T,
    from: &Option<String>,
    source: Option<&String>,
    waits: bool,
    field: &str,
) -> Taken {
    if stands != told {
        let detail =
            format!("{field}: there is one with this id that says something else; it stands");
        Taken::Rejected(Problem::of(field, Code::Conflict, detail))
    } else if source.is_some() && from.as_ref() == source {
        if waits {
            Taken::Quarantined
        } else {
            Taken::Accepted
        }
    } else {
        Taken::Duplicate
    }
}

/// What a redemption gave, with the currency that is its own or the promotion's.
fn reward(told: &Redemption, promotion: &Promotion) -> Result<Option<(Money, Currency)>, Problem> {
    let Some(amount) = told.reward_amount else {
        return Ok(None);
    };
    match told.currency.or(promotion.reward_currency()) {
        Some(currency) => Ok(Some((amount, currency))),
        None => Err(Problem::of(
            "currency",
            Code::Missing,
            "currency is needed beside reward_amount: this promotion has none",
        )),
    }
}

/// What a reward takes of the budget: nothing, where it is of another currency.
fn spends(reward: Option<(Money, Currency)>, promotion: &Promotion) -> Money {
    match (reward, promotion.budget) {
        (Some((amount, currency)), Some(budget)) if currency == budget.currency => amount,
        _ => Money::ZERO,
    }
}
