//! The ledger of attribution runs.

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::money::Sums;
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use crate::jobs::job::{Job, Progress};
use crate::jobs::verification::Findings;
use crate::market::Market;
use crate::market::once::{CallRecord, Once};
use crate::random::random_hex;
use crate::table::attributes::run as attributes;
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data, expired, number, sk, text, unreadable};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum RunState {
    Running,
    Done,
    Failed,
}

/// One run of the attributor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Run {
    /// The name of the run; names sort by the time when the runs started.
    pub run_id: String,
    /// The state of the run.
    pub state: RunState,
    /// When the run started.
    pub started_at: Instant,
    /// When the run was done, or failed.
    pub finished_at: Option<Instant>,
    /// How many jobs the run planned.
    #[serde(rename = "units")]
    pub jobs: i64,
    /// How many of these jobs are done.
    #[serde(rename = "units_done")]
    pub jobs_done: i64,
    /// Customers folded by the run, each counted once, however often they were folded.
    pub customers: i64,
    /// Orders decided by the run, each counted once, however often it was decided.
    pub orders: i64,
    /// Orders whose credit, amount or count changed.
    pub credits_changed: i64,
    /// The revenue that entered campaigns, less the revenue that left them.
    pub revenue_moved: Sums,
    /// Customers whom the run parked.
    pub parked: i64,
    /// How many errors the run met.
    pub errors: i64,
    /// Why the run failed.
    pub detail: Option<String>,
    /// What a verification found; `None` if the run has none.
    pub verify: Option<Verified>,
    /// When everything that the run must do was stored in jobs.
    #[serde(skip)]
    pub planned_at: Option<Instant>,
    /// The verification that was asked for and is not planned yet.
    #[serde(skip)]
    pub verify_next: Option<Sample>,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Customers who were compared.
    pub checked: i64,
    /// Customers whose stored contribution, or purchase rows, are not what the facts add up to, and days and promotions whose
    /// totals are not what they sum.
    pub differences: i64,
    /// Days and promotions that were set right.
    #[serde(skip_serializing_if = "is_zero")]
    pub repaired: i64,
    /// Which totals are wrong, and what was not compared.
    #[serde(flatten)]
    pub found: Findings,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// What a verification compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// Up to [`SAMPLE_CUSTOMERS`] of them, chosen at random.
    Sample,
    /// All customers, all daily aggregates, and the totals of all promotions.
    All,
    /// The same; wrong aggregates and totals are set right.
    Repair,
}

/// How many customers a sample has.
pub const SAMPLE_CUSTOMERS: usize = 1_000;

/// The fixed part of a run. Its counters are attributes of the item, so that they can be added to.
#[derive(Serialize, Deserialize)]
struct Fixed {
    started_at: Instant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verify: Option<Sample>,
}

/// The name of a new run; names sort by the time when the runs start.
pub fn new_run_id(now: Instant) -> String {
    format!("{now}-{}", &random_hex()[..8])
}

fn read_run(item: &Item) -> Result<Run, StoreError> {
    let count = |name| number(item, name).unwrap_or(0);
    let fixed: Fixed = data(item)?;
    let state = match text(item, attributes::STATE) {
        "done" => RunState::Done,
        "failed" => RunState::Failed,
        _ => RunState::Running,
    };
    let verifying = item.contains_key(attributes::VERIFYING);
    let moved = Progress::of(item);
    let found = match text(item, attributes::FOUND) {
        "" => Findings::default(),
        found => serde_json::from_str(found).map_err(|why| unreadable(item, why))?,
    };
    let verify = verifying.then_some(Verified {
        checked: moved.checked,
        differences: moved.differences,
        repaired: moved.repaired,
        found,
    });
    Ok(Run {
        run_id: sk(item).to_owned(),
        state,
        started_at: fixed.started_at,
        finished_at: Instant::parse(text(item, attributes::FINISHED_AT)).ok(),
        jobs: count(attributes::JOBS),
        jobs_done: count(attributes::JOBS_DONE),
        customers: moved.customers,
        orders: moved.orders,
        credits_changed: moved.credits_changed,
        revenue_moved: moved.revenue_moved,
        parked: moved.parked,
        errors: count(attributes::ERRORS),
        detail: Some(text(item, attributes::DETAIL).to_owned()).filter(|why| !why.is_empty()),
        verify,
        planned_at: Instant::parse(text(item, attributes::PLANNED_AT)).ok(),
        verify_next: fixed.verify.filter(|_| !verifying),
    })
}

/// The ledger of runs of one marketplace. Reached by [`Market::runs`].
#[derive(Debug, Clone, Copy)]
pub struct Runs<'m> {
    market: &'m Market,
}

impl Market {
    /// The ledger of runs of one marketplace.
    pub fn runs(&self) -> Runs<'_> {
        Runs { market: self }
    }
}

impl Runs<'_> {
    /// Puts a new run on record, in the state of running.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn start_run(
        self,
        verify: Option<Sample>,
        now: Instant,
    ) -> Result<String, StoreError> {
        let run_id = new_run_id(now);
        match self.put_run(&run_id, verify, None, now).await? {
            true => Ok(run_id),
            false => Err(StoreError::Contended {
                op: "starting a run",
            }),
        }
    }

    /// The same, with a name from [`new_run_id`] and with the record of the call that asks for the run. False if nothing was put
    /// on record, because the same call arrived before.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn put_run(
        self,
        run_id: &str,
        verify: Option<Sample>,
        once: Option<(&Once, &CallRecord)>,
        now: Instant,
    ) -> Result<bool, StoreError> {
        let gone_at = now.plus_ms(self.market.retention.keep_ms());
        let fixed = Fixed {
            started_at: now,
            verify,
        };
        let item = NewItem::at(&keys::run(&self.market.id, run_id))
            .data(&fixed)
            .text(attributes::STATE, "running")
            .expires(gone_at);
        let open = NewItem::at(&keys::open_run(&self.market.id, run_id)).expires(gone_at);
        let mut writes = vec![
            self.market.store.put_write(item, Some(Condition::absent())),
            self.market.store.put_write(open, None),
        ];
        writes.extend(once.map(|(once, record)| self.market.store.call_record_write(once, record)));
        Ok(matches!(
            self.market.store.transact(writes).await?,
            Transacted::Done
        ))
    }

    /// The runs that have not ended, in the order in which they started.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn open_runs(self) -> Result<Vec<Run>, StoreError> {
        let open = keys::open_runs(&self.market.id);
        let open = self
            .market
            .store
            .query(&open, &Range::All, Reading::STRONG)
            .await?;
        let key = |item: &Item| keys::run(&self.market.id, sk(item));
        let keys: Vec<_> = open.iter().map(key).collect();
        let items = self.market.store.get_all(&keys, true).await?;
        let mut runs: Vec<Run> = items.iter().map(read_run).collect::<Result<_, _>>()?;
        runs.sort_by(|a, b| a.run_id.cmp(&b.run_id));
        Ok(runs)
    }

    /// The run of a name; `None` if there is none.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn run(self, run_id: &str, now: Instant) -> Result<Option<Run>, StoreError> {
        self.market
            .store
            .get(&keys::run(&self.market.id, run_id), true)
            .await?
            .filter(|item| !expired(item, now))
            .map(|item| read_run(&item))
            .transpose()
    }

    /// A page of runs, newest first, each with its place, starting after a run; and the place where the next page starts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn list(
        self,
        after: Option<String>,
        limit: usize,
        now: Instant,
    ) -> Result<(Vec<(String, Run)>, Option<String>), StoreError> {
        let list = keys::runs(&self.market.id);
        let (items, next) = self.market.store.newest(&list, after, limit).await?;
        let kept = items.iter().filter(|item| !expired(item, now));
        let placed = |item| Ok((sk(item).to_owned(), read_run(item)?));
        Ok((kept.map(placed).collect::<Result<_, StoreError>>()?, next))
    }

    /// Changes a run that is on record. Does nothing if the run is not on record.
    async fn update_run(
        self,
        run_id: &str,
        expression: &str,
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<(), StoreError> {
        let key = keys::run(&self.market.id, run_id);
        self.market
            .store
            .update(&key, expression, values, Some(Condition::present()))
            .await
            .map(drop)
    }

    /// Records that a run plans this many jobs. This is recorded before the jobs are written, so that no more can be done than
    /// were planned.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn plans(self, run_id: &str, jobs: i64) -> Result<(), StoreError> {
        let jobs = vec![(":u", AttributeValue::N(jobs.to_string()))];
        let more = format!("ADD {} :u", attributes::JOBS);
        self.update_run(run_id, &more, jobs).await
    }

    /// Records that everything that a run must do is stored in jobs.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn planned(self, run_id: &str, now: Instant) -> Result<(), StoreError> {
        let now = vec![(":t", AttributeValue::S(now.to_string()))];
        let planned = format!("SET {} = :t", attributes::PLANNED_AT);
        self.update_run(run_id, &planned, now).await
    }

    /// Records that something went wrong in a run.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn run_met_error(self, run_id: &str) -> Result<(), StoreError> {
        let one = vec![(":u", AttributeValue::N("1".to_owned()))];
        let more = format!("ADD {} :u", attributes::ERRORS);
        self.update_run(run_id, &more, one).await
    }

    /// Records that a run is done or, where a reason is given, that it failed.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn finish_run(
        self,
        run_id: &str,
        failed: Option<&str>,
        now: Instant,
    ) -> Result<(), StoreError> {
        let ended = failed.map_or("done", |_| "failed");
        let mut values = vec![
            (":s", AttributeValue::S(ended.to_owned())),
            (":t", AttributeValue::S(now.to_string())),
        ];
        let (state, at) = (attributes::STATE, attributes::FINISHED_AT);
        let mut set = format!("SET {state} = :s, {at} = :t");
        if let Some(why) = failed.filter(|why| !why.is_empty()) {
            values.push((":w", AttributeValue::S(why.to_owned())));
            set += &format!(", {} = :w", attributes::DETAIL);
        }
        self.update_run(run_id, &set, values).await?;
        self.market
            .store
            .delete(&keys::open_run(&self.market.id, run_id))
            .await
    }

    /// Plans the verification of a run: one job, in the transaction that records it. False if another call has planned it.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn plan_verify(self, run_id: &str, job: &Job) -> Result<bool, StoreError> {
        let values = vec![
            (":t", AttributeValue::Bool(true)),
            (":u", AttributeValue::N("1".to_owned())),
        ];
        let (verifying, jobs) = (attributes::VERIFYING, attributes::JOBS);
        let record = self.market.store.update_write(
            &keys::run(&self.market.id, run_id),
            &format!("SET {verifying} = :t ADD {jobs} :u"),
            values,
            Some(Condition::without(verifying)),
        );
        let writes = vec![self.market.jobs().put_job(job), record];
        Ok(matches!(
            self.market.store.transact(writes).await?,
            Transacted::Done
        ))
    }

    /// Records which totals a verification found wrong, and what it did not compare. Doing the same again changes nothing.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn verification_found(
        self,
        run_id: &str,
        found: &Findings,
    ) -> Result<(), StoreError> {
        let found = serde_json::to_string(found)?;
        let found = vec![(":f", AttributeValue::S(found))];
        let set = format!("SET {} = :f", attributes::FOUND);
        self.update_run(run_id, &set, found).await
    }

    /// A write that adds what a job moved to its run. The run must be on record.
    pub(crate) fn add_to_run(self, run_id: &str, moved: &Progress) -> Write {
        let (expression, values) = moved.addition(attributes::JOBS_DONE);
        let values = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        let key = keys::run(&self.market.id, run_id);
        self.market.store.update_write(
            &key,
            &expression,
            values.collect(),
            Some(Condition::present()),
        )
    }
}
