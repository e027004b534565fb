//! Jobs: which customers wait to be folded, and which orders wait to be decided again. The job is the truth. The job message that
//! points at it is not, and may be lost or delivered twice.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::attribution::reach::Reattribution;
use revtrail_core::figures::fold::FOLD_VERSION;
use revtrail_core::value::address::{AddressHash, Recipient};
use revtrail_core::value::id::{MarketplaceId, PromotionId};
use revtrail_core::value::money::{Currency, Money, Sums};
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ledger::purchases::RowPlace;
use crate::market::{Market, TRIES_MAX};
use crate::random::{hex, random_hex};
use crate::table::attributes::{DATA, VERSION, meta, progress};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::contention::backoff;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, expired, number, sk, version};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// How many lists are read at once in a walk through all of them; each list has at most some hundred KB.
const LISTS_AT_ONCE: i32 = 8;

/// The most customers of a job. Even with ids of 128 bytes their list stays below an item's 400 KB.
pub const JOB_CUSTOMERS_MAX: usize = 2_500;

/// The most names of customers in memory at a time. For more, the lists of all jobs are walked through again.
pub const NAMES_MAX: usize = 100_000;

/// A pointer to work, as it goes through the queue. A job message carries no truth. If it is lost, doubled or late, no figure
/// changes, because the work that waits is stored in the table, and every tick points at it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum JobMessage {
    /// Plans what changed in a marketplace.
    Plan {
        /// The marketplace to plan.
        marketplace: MarketplaceId,
        /// The run that was asked for and is already on record; `None` if a schedule asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
    },
    /// Takes in the records that waited for promotions that exist by now.
    Admit {
        /// The marketplace of the promotions.
        marketplace: MarketplaceId,
    },
    /// Works on a job.
    Work {
        /// The marketplace of the job.
        marketplace: MarketplaceId,
        /// The job to work on.
        #[serde(rename = "unit_id")]
        job_id: String,
    },
}

impl JobMessage {
    /// The marketplace whose work the message points at.
    pub fn marketplace(&self) -> &MarketplaceId {
        match self {
            Self::Plan { marketplace, .. }
            | Self::Admit { marketplace }
            | Self::Work { marketplace, .. } => marketplace,
        }
    }
}

/// A job without its list: the customers whom it concerns are stored in a list of their own, see [`Jobs::job_list`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The name of the job, in hexadecimal digits.
    #[serde(skip)]
    pub job_id: String,
    /// When the job was planned. Its folds see every fact that was accepted before.
    #[serde(rename = "t")]
    pub at: Instant,
    /// The run that planned the job; `None` for work that settings or campaigns asked for, until a run takes it over.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The shard of the daily aggregates that the job's folds change.
    #[serde(rename = "s", default)]
    pub shard: u8,
    /// The version of the rules when the job was planned; all its folds use this version or a newer one.
    #[serde(rename = "v", default)]
    pub rules: i64,
    /// What the job does.
    #[serde(rename = "w")]
    pub work: Work,
    /// Before its work, the job counts redemptions anew; this is the place where that goes on.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub recomputed: Option<RedemptionPlace>,
    /// The version of the stored job, which every write raises.
    #[serde(skip)]
    version: i64,
}

/// What a job asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Folds the customers of the job's list, starting at a place in it.
    #[serde(rename = "c")]
    Fold {
        /// The place of the next customer; those before are folded.
        #[serde(rename = "n", default)]
        next: usize,
    },
    /// Plans folds of the customers of the orders that were placed in a period.
    #[serde(rename = "d")]
    Reattribution {
        /// The period, and what it asks for.
        #[serde(rename = "s")]
        span: Reattribution,
        /// The place where the walk through the orders goes on; `None` at its beginning.
        #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
        place: Option<RowPlace>,
    },
    /// Plans folds of everybody, because settings that were replaced before the first order leave nothing behind to find
    /// customers by.
    #[serde(rename = "y")]
    ReattributeAll {
        /// The walk is done up to this list; `None` at its beginning.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<ListPlace>,
    },
    /// Plans folds of the customers of an address, those behind the first of them, which the plan itself folds.
    #[serde(rename = "f")]
    FoldLinked {
        /// The address.
        #[serde(rename = "h")]
        address: AddressHash,
        /// The walk through the links is done up to this one.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Compares what is stored with what it must add up to. How far it is lies beside the job, see
    /// [`crate::jobs::verification`].
    #[serde(rename = "v")]
    Verify {
        /// How many customers are compared; `None` if everything is.
        #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
        left: Option<usize>,
        /// True if wrong sums are to be set right.
        #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
        repair: bool,
    },
    /// Works on a what-if or a replay, which has the place where its walk goes on.
    #[serde(rename = "l")]
    LookAhead {
        /// True for a replay, false for a what-if.
        #[serde(rename = "r", default)]
        replays: bool,
        /// The name of the look ahead.
        #[serde(rename = "i")]
        id: String,
    },
    /// Writes the files of an export, which has the place where that goes on, and deletes them when its time is over.
    #[serde(rename = "x")]
    Export {
        /// The name of the export.
        #[serde(rename = "i")]
        id: String,
    },
    /// Erases a customer, whom the record of the erasure names.
    #[serde(rename = "e")]
    Erase {
        /// The name of the erasure.
        #[serde(rename = "i")]
        erasure: String,
        /// How far the erasure is.
        #[serde(rename = "s")]
        step: EraseStep,
    },
}

/// A step of an erasure. What the steps do, and in which order they must, is said in [`crate::erasures`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EraseStep {
    /// Moves the customer's facts to a pseudonym.
    #[serde(rename = "m")]
    Move,
    /// Takes the name from the addresses of the customer's orders.
    #[serde(rename = "k")]
    Links {
        /// The last link of the pseudonym that was looked at.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Takes the name out of intake markers and the lists of jobs.
    #[serde(rename = "l")]
    Lists {
        /// The shard of the lists, as an index.
        #[serde(rename = "n")]
        shard: usize,
        /// The last list that was looked at in the shard.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// True if some list of this walk had the name.
        #[serde(rename = "f", default)]
        found: bool,
    },
    /// Deletes the what-ifs, removes the exports, and takes the name out of segments.
    #[serde(rename = "s")]
    Segments {
        /// The last chunk that was looked at.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Takes the name out of what was rejected of files.
    #[serde(rename = "r")]
    Rejects {
        /// The last batch that was looked at, by its place in the list of batches.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
}

impl EraseStep {
    /// The step that follows; `None` after the last.
    pub(crate) fn next(&self) -> Option<Self> {
        match self {
            Self::Move => Some(Self::Links { after: None }),
            Self::Links { .. } => Some(Self::Lists {
                shard: 0,
                after: None,
                found: false,
            }),
            Self::Lists { .. } => Some(Self::Segments { after: None }),
            Self::Segments { .. } => Some(Self::Rejects { after: None }),
            Self::Rejects { .. } => None,
        }
    }
}

/// A place in a walk through the lists of all jobs. The walk starts at a random shard, so that a sample is random, and goes
/// around once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPlace {
    /// How many shards of the walk were begun.
    #[serde(rename = "n")]
    shards: usize,
    /// The shard that the walk started with, as an index.
    #[serde(rename = "f")]
    first: usize,
    /// The last list that was read in the shard; `None` at its beginning.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// A place in a walk through the redemptions of all promotions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedemptionPlace {
    /// The promotion that the walk is at; the redemptions of all promotions before it are done.
    #[serde(rename = "p")]
    pub promotion: PromotionId,
    /// The place in this promotion's redemptions up to which they are done; `None` at its beginning.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl RedemptionPlace {
    /// Where a walk over the redemptions of promotions goes on, from its beginning where there is no place: at which of the
    /// promotions, which are sorted by id, and after which of its redemptions. A promotion that is gone is passed over.
    pub fn among(place: Option<Self>, promotions: &[PromotionId]) -> (usize, Option<String>) {
        let Some(Self { promotion, after }) = place else {
            return (0, None);
        };
        let at = promotions.partition_point(|id| *id < promotion);
        (at, after.filter(|_| promotions.get(at) == Some(&promotion)))
    }
}

impl Job {
    /// A new job with a name of its own.
    pub fn new(work: Work, run_id: Option<String>, shard: u8, rules: i64, at: Instant) -> Self {
        Self {
            job_id: random_hex()[..16].to_owned(),
            at,
            run_id,
            shard,
            rules,
            work,
            recomputed: None,
            version: 0,
        }
    }

    /// The name of the run that planned the job; empty if no run did.
    pub(crate) fn run_name(&self) -> &str {
        self.run_id.as_deref().unwrap_or_default()
    }

    /// The version of the stored job, as far as this worker knows.
    pub(crate) fn version(&self) -> i64 {
        self.version
    }

    /// Knows that [`Jobs::count_once`] was written.
    pub(crate) fn counted_once(&mut self) {
        self.version += 1;
    }

    /// True for work that was asked for and that no run has taken over. No run takes a look ahead or an export over.
    pub fn is_asked(&self) -> bool {
        let alone = matches!(self.work, Work::LookAhead { .. } | Work::Export { .. });
        self.run_id.is_none() && !alone
    }
}

impl Work {
    /// True if a fact may be in no figure until the job is done.
    pub fn holds_facts(&self) -> bool {
        match self {
            Self::Fold { .. }
            | Self::Reattribution { .. }
            | Self::ReattributeAll { .. }
            | Self::FoldLinked { .. } => true,
            Self::Erase { step, .. } => *step == EraseStep::Move,
            Self::Verify { .. } | Self::LookAhead { .. } | Self::Export { .. } => false,
        }
    }

    /// Work that decides all orders of a period again.
    pub fn reattribute(span: Reattribution) -> Self {
        Self::Reattribution { span, place: None }
    }
}

/// What the folds of a job moved. It is counted in the transactions that moved it, so each change counts once, whoever dies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Customers who were folded and whom their run had not folded before.
    pub customers: i64,
    /// Orders that were decided and that their run had not decided before.
    pub orders: i64,
    /// Orders whose credit, amount or count changed.
    pub credits_changed: i64,
    /// The revenue that entered campaigns, less the revenue that left them.
    pub revenue_moved: Sums,
    /// Customers who were parked.
    pub parked: i64,
    /// Customers who were compared.
    pub checked: i64,
    /// Customers, days and promotions of which something else is stored than it must be.
    pub differences: i64,
    /// Days and promotions that were set right.
    pub repaired: i64,
}

impl Progress {
    /// The counts, by the names of their attributes.
    fn counts(&self) -> [(&'static str, i64); 7] {
        [
            (progress::CUSTOMERS, self.customers),
            (progress::ORDERS, self.orders),
            (progress::CREDITS_CHANGED, self.credits_changed),
            (progress::PARKED, self.parked),
            (progress::CHECKED, self.checked),
            (progress::DIFFERENCES, self.differences),
            (progress::REPAIRED, self.repaired),
        ]
    }

    /// Reads the counts that are stored in an item.
    pub(crate) fn of(item: &Item) -> Self {
        let count = |name| number(item, name).unwrap_or(0);
        let moved = |(name, value): (&String, &AttributeValue)| -> Option<(Currency, Money)> {
            let amount = serde_json::Value::String(value.as_n().ok()?.clone());
            let currency = progress::moved_currency(name)?;
            Some((currency, serde_json::from_value(amount).ok()?))
        };
        Self {
            customers: count(progress::CUSTOMERS),
            orders: count(progress::ORDERS),
            credits_changed: count(progress::CREDITS_CHANGED),
            revenue_moved: item.iter().filter_map(moved).collect(),
            parked: count(progress::PARKED),
            checked: count(progress::CHECKED),
            differences: count(progress::DIFFERENCES),
            repaired: count(progress::REPAIRED),
        }
    }

    /// The update expression, with its values, that adds all these counts to an item, and one to another counter of it.
    pub(crate) fn addition(&self, one_more: &str) -> (String, Vec<(String, AttributeValue)>) {
        let counts = self
            .counts()
            .map(|(name, n)| (name.to_owned(), n.to_string()));
        let moved = self.revenue_moved.iter();
        let moved = moved.map(|(currency, sum)| (progress::moved(currency), sum.to_string()));
        let one_more = (one_more.to_owned(), "1".to_owned());
        let all = counts
            .into_iter()
            .filter(|(_, n)| n != "0")
            .chain(moved)
            .chain([one_more]);
        let (names, values): (Vec<_>, Vec<_>) = all
            .map(|(name, n)| {
                (
                    format!("{name} :{name}"),
                    (format!(":{name}"), AttributeValue::N(n)),
                )
            })
            .unzip();
        (format!("ADD {}", names.join(", ")), values)
    }
}

/// The jobs of one marketplace that wait. Reached by [`Market::jobs`].
#[derive(Debug, Clone, Copy)]
pub struct Jobs<'m> {
    market: &'m Market,
}

impl Market {
    /// The jobs of the marketplace that wait.
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs { market: self }
    }
}

impl Jobs<'_> {
    fn job_item(self, job: &Job) -> NewItem {
        NewItem::at(&keys::job(&self.market.id, &job.job_id))
            .number(VERSION, 0)
            .data(job)
    }

    /// Writes a job without a list.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn add(self, job: &Job) -> Result<(), StoreError> {
        let item = self.job_item(job);
        self.market.store.put(item, None).await.map(drop)
    }

    /// A write that puts a job without a list.
    pub(crate) fn put_job(self, job: &Job) -> Write {
        self.market
            .store
            .put_write(self.job_item(job), Some(Condition::absent()))
    }

    /// Asks, once, for a fold of everybody if some customers may have been folded by an older version. Until then the daily
    /// aggregates hold what the stored contributions say, whatever version made them, so each fold takes away what was added.
    /// True if this call asked.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn reattribute_all_outdated(self, now: Instant) -> Result<bool, StoreError> {
        let job = Job::new(Work::ReattributeAll { after: None }, None, 0, 0, now);
        let outdated = Condition::absent_or_less(meta::FOLD_VERSION, FOLD_VERSION);
        let writes = vec![
            self.put_job(&job),
            self.market.raise_fold_version(Some(outdated)),
        ];
        Ok(matches!(
            self.market.store.transact(writes).await?,
            Transacted::Done
        ))
    }

    /// A write that puts the list of a job.
    pub(crate) fn list_write(self, job: &Job, customers: &[Recipient], now: Instant) -> Write {
        let list = NewItem::at(&keys::job_list(&self.market.id, &job.job_id)).packed(&customers);
        let list = list.expires(now.plus_ms(self.market.retention.keep_ms()));
        self.market.store.put_write(list, None)
    }

    /// Writes a job that folds some customers, with their list. `erasures` is the count of [`Market::meta`] from before the customers
    /// were read. False if somebody was erased since: the list may name them, so the customers must be read again.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn add_fold(
        self,
        job: &Job,
        customers: &[Recipient],
        erasures: i64,
        now: Instant,
    ) -> Result<bool, StoreError> {
        for attempt in 0..TRIES_MAX {
            let writes = vec![
                self.market.check_erasures(erasures),
                self.list_write(job, customers, now),
                self.market.store.put_write(self.job_item(job), None),
            ];
            match self.market.store.transact(writes).await? {
                Transacted::Done => return Ok(true),
                Transacted::Cancelled(faults) if faults.first() == Some(&Fault::Condition) => {
                    return Ok(false);
                }
                // Another call changes the marketplace's meta item at this moment.
                Transacted::Cancelled(_) => backoff(attempt).await,
            }
        }
        Err(StoreError::Contended {
            op: "writing a job",
        })
    }

    /// The customers and addresses of a job.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn job_list(self, job_id: &str) -> Result<Vec<Recipient>, StoreError> {
        let list = self
            .market
            .store
            .get(&keys::job_list(&self.market.id, job_id), true)
            .await?;
        list.as_ref().map_or(Ok(Vec::new()), data)
    }

    /// A job that waits; `None` if it is done.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn job(self, job_id: &str) -> Result<Option<Job>, StoreError> {
        let item = self
            .market
            .store
            .get(&keys::job(&self.market.id, job_id), true)
            .await?;
        item.as_ref().map(read_job).transpose()
    }

    /// All jobs that wait.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn jobs(self) -> Result<Vec<Job>, StoreError> {
        self.market
            .store
            .query(&keys::jobs(&self.market.id), &Range::All, Reading::STRONG)
            .await?
            .iter()
            .map(read_job)
            .collect()
    }

    /// Replaces jobs that were asked for by the jobs of the run that takes them over, in one transaction. False if one of the
    /// replaced jobs is gone, because another plan took it over.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn take_over(self, asked: &[Job], jobs: &[Job]) -> Result<bool, StoreError> {
        let gone = asked.iter().map(|job| {
            let key = keys::job(&self.market.id, &job.job_id);
            self.market
                .store
                .delete_write(&key, Some(Condition::present()))
        });
        let writes = jobs.iter().map(|job| self.put_job(job)).chain(gone);
        Ok(matches!(
            self.market.store.transact(writes.collect()).await?,
            Transacted::Done
        ))
    }

    /// Writes the rest of a job, for whoever goes on with it. Does nothing if the job is already done.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn hand_over(self, job: &Job, rest: Work) -> Result<(), StoreError> {
        let job = Job {
            work: rest,
            ..job.clone()
        };
        let data = serde_json::to_string(&job)?;
        let values = vec![
            (":d", AttributeValue::S(data)),
            (":one", AttributeValue::N("1".to_owned())),
        ];
        let key = keys::job(&self.market.id, &job.job_id);
        self.market
            .store
            .update(
                &key,
                &format!("SET {DATA} = :d ADD {VERSION} :one"),
                values,
                Some(Condition::present()),
            )
            .await
            .map(drop)
    }

    /// A write that counts what a part of a verification found, so that each part is counted once: it fails if another worker
    /// counted since the job was read.
    pub(crate) fn count_once(self, job: &Job, found: &Progress) -> Write {
        let condition = Condition::equals(VERSION, AttributeValue::N(job.version.to_string()));
        let (addition, counts) = found.addition(VERSION);
        let counts = counts.iter().map(|(name, n)| (name.as_str(), n.clone()));
        let key = keys::job(&self.market.id, &job.job_id);
        let store = &self.market.store;
        store.update_write(&key, &addition, counts.collect(), Some(condition))
    }

    /// A write that counts what the folds of a job moved. If the job is done, the write fails, and its transaction with it.
    pub(crate) fn count_write(self, job: &Job, progress: &Progress) -> Write {
        let (expression, values) = progress.addition(VERSION);
        let values = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        self.market.store.update_write(
            &keys::job(&self.market.id, &job.job_id),
            &expression,
            values.collect(),
            Some(Condition::present()),
        )
    }

    /// Counts what moved no daily aggregate: customers who were parked. Does nothing if the job is done.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn count(self, job: &Job, progress: &Progress) -> Result<(), StoreError> {
        if *progress == Progress::default() {
            return Ok(());
        }
        let (expression, values) = progress.addition(VERSION);
        let values = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        let key = keys::job(&self.market.id, &job.job_id);
        self.market
            .store
            .update(
                &key,
                &expression,
                values.collect(),
                Some(Condition::present()),
            )
            .await
            .map(drop)
    }

    /// Deletes a job that is done and adds what it moved to its run, in one transaction, so that it is added once.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. [`StoreError::Contended`] if others keep
    /// counting on the job.
    pub async fn job_done(self, job: &Job) -> Result<(), StoreError> {
        let key = keys::job(&self.market.id, &job.job_id);
        let mut runless = false;
        for _ in 0..TRIES_MAX {
            let Some(item) = self.market.store.get(&key, true).await? else {
                return Ok(());
            };
            let version = version(&item).to_string();
            let condition = Condition::equals(VERSION, AttributeValue::N(version));
            let mut writes = vec![self.market.store.delete_write(&key, Some(condition))];
            if let Some(run_id) = job.run_id.as_ref().filter(|_| !runless) {
                writes.push(self.market.runs().add_to_run(run_id, &Progress::of(&item)));
            }
            match self.market.store.transact(writes).await? {
                Transacted::Done => return Ok(()),
                // The record of the run has expired.
                Transacted::Cancelled(faults) => runless = faults.get(1) == Some(&Fault::Condition),
            }
        }
        Err(StoreError::Contended { op: "ending a job" })
    }

    /// The next of all customers who were ever folded, in the order of a hash that says nothing about them, with their hashes: at
    /// most `max` of those after a hash. `walk` names the walk, and gives it an order of its own. All lists are read, unless any
    /// `max` customers will do.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn folded_after(
        self,
        walk: &str,
        after: Option<&str>,
        (max, any): (usize, bool),
        now: Instant,
    ) -> Result<BTreeMap<String, Recipient>, StoreError> {
        let mut found = BTreeMap::new();
        let mut place = Some(ListPlace::by_name(walk));
        while let Some(at) = place.filter(|_| !any || found.len() < max) {
            let (lists, next) = self.job_lists(at, now).await?;
            for customer in lists.into_iter().flat_map(|(_, customers)| customers) {
                let hash = Sha256::digest(format!("{walk}/{customer}").as_bytes());
                let hash = hex(&hash[..16]);
                if after.is_none_or(|after| hash.as_str() > after) {
                    found.insert(hash, customer);
                }
                if found.len() > max {
                    found.pop_last();
                }
            }
            place = next;
        }
        Ok(found)
    }

    /// The lists of some jobs after a place in the walk through all lists, and the next place; `None` if the walk is over.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn job_lists(
        self,
        place: ListPlace,
        now: Instant,
    ) -> Result<(Vec<(String, Vec<Recipient>)>, Option<ListPlace>), StoreError> {
        let shard = (place.first + place.shards) % keys::LIST_SHARDS.len();
        let pk = keys::job_lists(&self.market.id, &keys::LIST_SHARDS[shard..=shard]);
        let (items, next) = self
            .market
            .store
            .page(
                &pk,
                &Range::All,
                Reading::STRONG,
                place.after,
                Some(LISTS_AT_ONCE),
            )
            .await?;
        let list = |item: &Item| Ok((sk(item).to_owned(), data(item)?));
        let lists = items.iter().filter(|item| !expired(item, now)).map(list);
        let shards = place.shards + usize::from(next.is_none());
        let place = ListPlace {
            shards,
            first: place.first,
            after: next,
        };
        let more = shards < keys::LIST_SHARDS.len();
        Ok((
            lists.collect::<Result<_, StoreError>>()?,
            more.then_some(place),
        ))
    }

    /// The next addresses and customers in their order, at most [`NAMES_MAX`] of them: those of the lists of all jobs, where everybody
    /// is who was ever folded, and those of intake markers.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn names_after(
        self,
        after: Option<&Recipient>,
        now: Instant,
    ) -> Result<BTreeSet<Recipient>, StoreError> {
        let mut names = BTreeSet::new();
        let mut take = |some: &mut dyn Iterator<Item = Recipient>| {
            for name in some.filter(|name| after.is_none_or(|after| name > after)) {
                names.insert(name);
                if names.len() > NAMES_MAX {
                    names.pop_last();
                }
            }
        };
        // Markers come first: a plan writes its lists before the markers go.
        let mut pages = self.market.intake().pages().await?;
        while let Some(markers) = pages.next().await? {
            for marker in markers {
                take(&mut marker.customers.into_iter());
            }
        }
        let mut place = Some(ListPlace::anywhere());
        while let Some(at) = place {
            let (lists, next) = self.job_lists(at, now).await?;
            for (_, customers) in lists {
                take(&mut customers.into_iter());
            }
            place = next;
        }
        Ok(names)
    }
}

impl ListPlace {
    /// The beginning of a walk, at a random shard.
    pub fn anywhere() -> Self {
        let first = keys::LIST_SHARDS.find(&random_hex()[..1]).unwrap_or(0);
        Self {
            shards: 0,
            first,
            after: None,
        }
    }

    /// The beginning of a walk that starts at the same shard whenever this name is given.
    fn by_name(name: &str) -> Self {
        let first = keys::LIST_SHARDS.find(name.get(..1).unwrap_or("0"));
        Self {
            first: first.unwrap_or(0),
            ..Self::anywhere()
        }
    }
}

fn read_job(item: &Item) -> Result<Job, StoreError> {
    Ok(Job {
        job_id: sk(item).to_owned(),
        version: version(item),
        ..data(item)?
    })
}
