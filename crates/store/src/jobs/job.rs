//! Jobs: which customers wait to be folded, and which orders wait to be decided again. A job is the truth; the
//! message that points at it is not, and may be lost or doubled.

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::attribution::reach::Reattribution;
use revtrail_core::value::id::{CustomerId, MarketplaceId, PromotionId};
use revtrail_core::value::money::{Currency, Money, Sums};
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use crate::ledger::purchases::RowPlace;
use crate::market::{Market, TRIES_MAX};
use crate::random::random_hex;
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, expired, number, text};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// Lists read at once in a walk through all of them: each has at most some hundred KB.
const LISTS_AT_ONCE: i32 = 8;

/// Most customers of a job: with ids of 128 bytes their list is still below an item's 400 KB.
pub const JOB_CUSTOMERS_MAX: usize = 2_500;

/// A pointer to work, as it goes through the queue. It carries no truth: lost, doubled or late it changes no figure, for what
/// waits stands in the table, and every tick points at it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum JobMessage {
    /// Plan what changed in a marketplace.
    Plan {
        /// Which.
        marketplace: MarketplaceId,
        /// The run that was asked for and is on record already; none where a schedule asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
    },
    /// Take in what waited for promotions that are there.
    Admit {
        /// Which.
        marketplace: MarketplaceId,
    },
    /// Work a job off.
    Work {
        /// Whose.
        marketplace: MarketplaceId,
        /// Which job.
        #[serde(rename = "unit_id")]
        job_id: String,
    },
}

impl JobMessage {
    /// Whose work it points at.
    pub fn marketplace(&self) -> &MarketplaceId {
        match self {
            Self::Plan { marketplace, .. }
            | Self::Admit { marketplace }
            | Self::Work { marketplace, .. } => marketplace,
        }
    }
}

/// A job of work, as far as it is small: whom it concerns stands in a list of its own, see [`Jobs::job_list`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name: hexadecimal digits.
    #[serde(skip)]
    pub job_id: String,
    /// When it was planned: its folds see every fact accepted before.
    #[serde(rename = "t")]
    pub at: Instant,
    /// The run that planned it; none for work that settings or campaigns asked for, until a run takes it over.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Where its folds move the daily aggregates.
    #[serde(rename = "s", default)]
    pub shard: u8,
    /// The version of the rules when it was planned: all its folds go by these or newer ones.
    #[serde(rename = "v", default)]
    pub rules: i64,
    /// What to do.
    #[serde(rename = "w")]
    pub work: Work,
    /// Before that: where counting redemptions anew goes on.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub recomputed: Option<RedemptionPlace>,
    /// How often it was written.
    #[serde(skip)]
    version: i64,
}

/// What a job asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Fold the customers of the job's list, from a place in it on.
    #[serde(rename = "c")]
    Fold {
        /// Those before are folded.
        #[serde(rename = "n", default)]
        next: usize,
    },
    /// Plan folds of the customers of the orders placed in a time.
    #[serde(rename = "d")]
    Reattribution {
        /// Which time.
        #[serde(rename = "s")]
        span: Reattribution,
        /// Where the walk through its orders goes on; none at its beginning.
        #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
        place: Option<RowPlace>,
    },
    /// Plan folds of everybody: settings that were replaced before the first order leave nothing behind.
    #[serde(rename = "y")]
    ReattributeAll {
        /// The lists up to this one are done.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<ListPlace>,
    },
    /// Compare what is stored of customers with what their facts add up to.
    #[serde(rename = "v")]
    Verify {
        /// The lists up to this one are done.
        #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
        after: Option<ListPlace>,
        /// How many customers are left to be compared; none: all of them.
        #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
        left: Option<usize>,
    },
}

/// A place in a walk through the lists of all jobs: from a list whose name is drawn by lot, so that a sample is one, once around.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPlace {
    /// How many shards were begun.
    #[serde(rename = "n")]
    shards: usize,
    /// The shard that comes first.
    #[serde(rename = "f")]
    first: usize,
    /// The last list seen in the shard; none at its beginning.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
}

/// A place in a walk through the redemptions of all promotions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedemptionPlace {
    /// Those of the promotions before this one are done.
    #[serde(rename = "p")]
    pub promotion: PromotionId,
    /// And of this one those up to here.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Job {
    /// A job with a name of its own.
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

    /// The name of the run that planned it; none is empty.
    pub(crate) fn run_name(&self) -> &str {
        self.run_id.as_deref().unwrap_or_default()
    }

    /// True for work that was asked for and no run has taken over.
    pub fn is_asked(&self) -> bool {
        self.run_id.is_none()
    }
}

impl Work {
    /// The orders of a time, all of them.
    pub fn reattribute(span: Reattribution) -> Self {
        Self::Reattribution { span, place: None }
    }
}

/// What folds of a job moved. Counted in the transactions that moved it, so each change once, whoever dies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Customers folded whom their run had not folded before.
    pub customers: i64,
    /// Orders decided that their run had not decided before.
    pub orders: i64,
    /// Orders whose credit, amount or count changed.
    pub credits_changed: i64,
    /// What entered the campaigns' revenue, less what left it.
    pub revenue_moved: Sums,
    /// Customers who were parked.
    pub parked: i64,
    /// Customers compared.
    pub checked: i64,
    /// Those whose stored contribution is not what the facts add up to.
    pub differences: i64,
}

const MOVED_PREFIX: &str = "moved_";

impl Progress {
    /// The counters, by the names of their attributes.
    fn counts(&self) -> [(&'static str, i64); 6] {
        [
            ("customers", self.customers),
            ("orders", self.orders),
            ("credits_changed", self.credits_changed),
            ("parked", self.parked),
            ("checked", self.checked),
            ("differences", self.differences),
        ]
    }

    /// What stands in an item.
    pub(crate) fn of(item: &Item) -> Self {
        let count = |name| number(item, name).unwrap_or(0);
        let moved = |(name, value): (&String, &AttributeValue)| -> Option<(Currency, Money)> {
            let amount = serde_json::Value::String(value.as_n().ok()?.clone());
            let currency = Currency::parse(name.strip_prefix(MOVED_PREFIX)?)?;
            Some((currency, serde_json::from_value(amount).ok()?))
        };
        Self {
            customers: count("customers"),
            orders: count("orders"),
            credits_changed: count("credits_changed"),
            revenue_moved: item.iter().filter_map(moved).collect(),
            parked: count("parked"),
            checked: count("checked"),
            differences: count("differences"),
        }
    }

    /// The update that adds all this, and one to a counter, to an item.
    pub(crate) fn addition(&self, one_more: &str) -> (String, Vec<(String, AttributeValue)>) {
        let counts = self
            .counts()
            .map(|(name, n)| (name.to_owned(), n.to_string()));
        let moved = self.revenue_moved.iter();
        let moved = moved.map(|(currency, sum)| {
            (
                format!("{MOVED_PREFIX}{}", currency.code()),
                sum.to_string(),
            )
        });
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

/// Jobs of one marketplace that wait. Reached by [`Market::jobs`].
#[derive(Debug, Clone, Copy)]
pub struct Jobs<'m> {
    market: &'m Market,
}

impl Market {
    /// Jobs of one marketplace that wait.
    pub fn jobs(&self) -> Jobs<'_> {
        Jobs { market: self }
    }
}

impl Jobs<'_> {
    fn job_item(self, job: &Job) -> NewItem {
        NewItem::at(&keys::job(&self.market.id, &job.job_id))
            .number("v", 0)
            .data(job)
    }

    /// A write that puts a job without a list.
    pub(crate) fn put_job(self, job: &Job) -> Write {
        self.market
            .store
            .put_write(self.job_item(job), Some(Condition::absent()))
    }

    /// Writes a job that folds some customers: their list first.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn add_fold(
        self,
        job: &Job,
        customers: &[CustomerId],
        now: Instant,
    ) -> Result<(), StoreError> {
        let list = NewItem::at(&keys::job_list(&self.market.id, &job.job_id)).packed(&customers);
        let list = list.expires(now.plus_ms(self.market.retention.keep_ms()));
        self.market.store.put(list, None).await?;
        self.market
            .store
            .put(self.job_item(job), None)
            .await
            .map(drop)
    }

    /// The customers of a job.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn job_list(self, job_id: &str) -> Result<Vec<CustomerId>, StoreError> {
        let list = self
            .market
            .store
            .get(&keys::job_list(&self.market.id, job_id), true)
            .await?;
        list.as_ref().map_or(Ok(Vec::new()), data)
    }

    /// A job that waits; none where it is done.
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

    /// Puts jobs that a run has taken over in place of those that were asked for, in one transaction. False where one of these
    /// is gone: another plan took it over.
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

    /// Writes what is left of a job, for whoever goes on with it. Nothing where it is done already.
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
                "SET d = :d ADD v :one",
                values,
                Some(Condition::present()),
            )
            .await
            .map(drop)
    }

    /// Counts what a part of a verification found and writes what is left of it, in one: so each part is counted once. False where
    /// another worker was faster, and goes on with it.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn verified(
        self,
        job: &mut Job,
        found: &Progress,
        rest: Work,
    ) -> Result<bool, StoreError> {
        let condition = Condition::equals("v", AttributeValue::N(job.version.to_string()));
        job.work = rest;
        let data = AttributeValue::S(serde_json::to_string(job)?);
        let (addition, counts) = found.addition("v");
        let mut values = vec![(":d", data)];
        values.extend(counts.iter().map(|(name, n)| (name.as_str(), n.clone())));
        let (key, update) = (
            keys::job(&self.market.id, &job.job_id),
            format!("SET d = :d {addition}"),
        );
        job.version += 1;
        self.market
            .store
            .update(&key, &update, values, Some(condition))
            .await
    }

    /// A write that counts what folds of a job moved; it fails where the job is done, and with it its transaction.
    pub(crate) fn count_write(self, job: &Job, progress: &Progress) -> Write {
        let (expression, values) = progress.addition("v");
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

    /// Counts what moved no daily aggregate: customers parked. Nothing where the job is done.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn count(self, job: &Job, progress: &Progress) -> Result<(), StoreError> {
        if *progress == Progress::default() {
            return Ok(());
        }
        let (expression, values) = progress.addition("v");
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

    /// Deletes a job that is done and adds what it moved to its run, in one transaction: so it is added once.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. [`StoreError::Contended`] where others count on it all the time.
    pub async fn job_done(self, job: &Job) -> Result<(), StoreError> {
        let key = keys::job(&self.market.id, &job.job_id);
        let mut runless = false;
        for _ in 0..TRIES_MAX {
            let Some(item) = self.market.store.get(&key, true).await? else {
                return Ok(());
            };
            let version = number(&item, "v").unwrap_or(0).to_string();
            let condition = Condition::equals("v", AttributeValue::N(version));
            let mut writes = vec![self.market.store.delete_write(&key, Some(condition))];
            if let Some(run_id) = job.run_id.as_ref().filter(|_| !runless) {
                writes.push(self.market.runs().add_to_run(run_id, &Progress::of(&item)));
            }
            match self.market.store.transact(writes).await? {
                Transacted::Done => return Ok(()),
                // The run's record is expired.
                Transacted::Cancelled(faults) => runless = faults.get(1) == Some(&Fault::Condition),
            }
        }
        Err(StoreError::Contended {
            op: "ending a unit",
        })
    }

    /// The lists of some jobs after a place in the walk through all of them, and the place behind; none where the walk is over.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn job_lists(
        self,
        place: ListPlace,
        now: Instant,
    ) -> Result<(Vec<(String, Vec<CustomerId>)>, Option<ListPlace>), StoreError> {
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
        let list = |item: &Item| Ok((text(item, "sk").to_owned(), data(item)?));
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
}

impl ListPlace {
    /// The beginning of a walk that begins at a shard drawn by lot.
    pub fn anywhere() -> Self {
        let first = keys::LIST_SHARDS.find(&random_hex()[..1]).unwrap_or(0);
        Self {
            shards: 0,
            first,
            after: None,
        }
    }

    /// Behind a list of the page that was read from here.
    pub fn behind(&self, list: &str) -> Self {
        Self {
            after: Some(list.to_owned()),
            ..self.clone()
        }
    }
}

fn read_job(item: &Item) -> Result<Job, StoreError> {
    Ok(Job {
        job_id: text(item, "sk").to_owned(),
        version: number(item, "v").unwrap_or(0),
        ..data(item)?
    })
}
