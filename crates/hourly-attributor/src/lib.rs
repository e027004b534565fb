//! The attributor plans jobs of changed customers from intake markers, and folds the customers. No figure changes if it runs
//! twice, if two of it run at once, or if it is killed anywhere.

pub mod envelope;
mod export;
mod fold;
mod message;
mod plan;
mod settle;
mod verify;

use std::collections::VecDeque;

use revtrail_core::value::time::{Instant, Retention};
use revtrail_storage::fault::FilesError;
use revtrail_storage::files::Files;
use revtrail_store::erasures::ErasureEnd;
use revtrail_store::jobs::job::{JOB_CUSTOMERS_MAX, Job, JobMessage, Work};
use revtrail_store::jobs::look_ahead::{LookEnd, LookLimits};
use revtrail_store::ledger::daily::APPEND_ABOVE;
use revtrail_store::ledger::facts::TIMELINE_BYTES_MAX;
use revtrail_store::market::Market;
use revtrail_store::market::access::Marketplace;
use revtrail_store::{Store, StoreError, table::keys};

/// Why the attributor stopped early. What it did stays, and the next tick goes on.
#[derive(Debug, thiserror::Error)]
pub enum AttributorError {
    /// The table failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The storage of exports failed.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// An export waits, and there is nowhere to write its files.
    #[error(
        "an export waits, and there is no storage for its files: start revtrail with --data DIR"
    )]
    NoOutbox,
    /// Somebody was erased while customers were read, so a list may not name them any more.
    #[error("a customer was erased meanwhile: read the customers again")]
    Outdated,
}

/// A clock, and the time at which to hand over.
#[derive(Clone, Copy)]
pub(crate) struct Until<'c> {
    clock: &'c (dyn Fn() -> Instant + Sync),
    stop_at: Instant,
}

impl Until<'_> {
    pub(crate) fn now(self) -> Instant {
        (self.clock)()
    }

    pub(crate) fn is_over(self) -> bool {
        self.now() >= self.stop_at
    }
}

/// How work on a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobEnd {
    /// The job is done and deleted.
    Done,
    /// Time was up. The job has the place where to go on.
    HandedOver,
    /// Something that is under way must end first, and the next tick points at the job again.
    Waits,
}

/// How much the attributor does at once. This is all that may differ between a test and a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLimits {
    /// The most customers of a job.
    pub job_customers: usize,
    /// How many customers are folded at a time: about as many as one transaction can carry.
    pub batch_customers: usize,
    /// The most shards that a day's daily aggregate is spread over.
    pub shards: u8,
    /// The bytes of a daily aggregate above which folds put their differences beside it.
    pub append_above: usize,
    /// The most bytes of a customer's timeline; a customer with more is parked. See [`TIMELINE_BYTES_MAX`].
    pub timeline_bytes: usize,
    /// How many bytes of rows of an export are in memory before they are written.
    pub export_bytes: usize,
}

/// A quarter of a million rows. They are compressed file by file to about a tenth.
const EXPORT_BYTES: usize = 64 << 20;

impl JobLimits {
    /// The limits of a deployment.
    pub const DEFAULT: Self = Self {
        job_customers: JOB_CUSTOMERS_MAX,
        batch_customers: 90,
        shards: keys::AGGREGATE_SHARDS,
        append_above: APPEND_ABOVE,
        timeline_bytes: TIMELINE_BYTES_MAX,
        export_bytes: EXPORT_BYTES,
    };
}

/// The attributor over a table. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Attributor {
    /// The table that it works on.
    pub store: Store,
    /// The deployment's retention.
    pub retention: Retention,
    /// How much it does at once.
    pub limits: JobLimits,
    /// Where the files of exports are written; `None` if nothing is kept but in memory, where no export can be asked for.
    pub outbox: Option<Files>,
}

impl Attributor {
    /// The attributor with the limits of a deployment, without storage for files.
    pub fn new(store: Store, retention: Retention) -> Self {
        Self {
            store,
            retention,
            limits: JobLimits::DEFAULT,
            outbox: None,
        }
    }

    /// Does what a schedule asks for: returns a job message that asks for a plan, for every marketplace.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn tick(&self) -> Result<Vec<JobMessage>, AttributorError> {
        let all = self.store.marketplaces().await?;
        let plan = |one: Marketplace| JobMessage::Plan {
            marketplace: one.marketplace_id,
            run_id: None,
        };
        Ok(all.into_iter().map(plan).collect())
    }

    /// How old the figures of the marketplace are whose figures are the oldest, in seconds; 0 where there are none yet.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn oldest_figures_s(&self, now: Instant) -> Result<f64, AttributorError> {
        let mut oldest_s = 0;
        for one in self.store.marketplaces().await? {
            let market = self.store.market(&one.marketplace_id, self.retention);
            if let Some(as_of) = market.meta().await?.as_of {
                oldest_s = oldest_s.max((now.ms() - as_of.ms()) / 1_000);
            }
        }
        Ok(i32::try_from(oldest_s).map_or(f64::from(i32::MAX), f64::from))
    }

    /// Does what a job message points at, until it is done or the clock shows `stop_at`. Returns the job messages to be sent
    /// next.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. What was done stays, and the next tick
    /// points at what was not done.
    pub async fn handle(
        &self,
        message: &JobMessage,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<Vec<JobMessage>, AttributorError> {
        let until = Until { clock, stop_at };
        let market = self.store.market(message.marketplace(), self.retention);
        let job = match message {
            JobMessage::Plan { run_id, .. } => {
                return plan::plan(&market, run_id.as_deref(), self.limits, until).await;
            }
            JobMessage::Admit { .. } => {
                plan::admit(&market, until).await?;
                return Ok(Vec::new());
            }
            JobMessage::Work { job_id, .. } => market.jobs().job(job_id).await?,
        };
        match job {
            // A job that is gone is done.
            None => Ok(Vec::new()),
            // Work that was asked for is only taken over by the plan of a run.
            Some(job) if job.is_asked() => Ok(vec![message::message_plan(&market, None)]),
            Some(job) => {
                let worked = match self.work(&market, &job, until).await {
                    // The job is where it was, and begins there again.
                    Err(AttributorError::Outdated) => return Ok(vec![message.clone()]),
                    worked => worked,
                };
                if worked.is_err()
                    && let Some(run_id) = &job.run_id
                {
                    run_met_error(&market, run_id).await;
                }
                worked
            }
        }
    }

    async fn work(
        &self,
        market: &Market,
        job: &Job,
        until: Until<'_>,
    ) -> Result<Vec<JobMessage>, AttributorError> {
        let limits = self.limits;
        let recompute = match job.work {
            Work::Reattribution { span, place: None } if span.replay => Some(None),
            Work::Reattribution { span, place: None } if span.settings => Some(Some(span.from)),
            Work::ReattributeAll { after: None } => Some(None),
            _ => None,
        };
        if let Some(from) = recompute {
            let place = job.recomputed.clone();
            let left = market
                .redemptions()
                .recompute(from, place, until.clock, until.stop_at);
            if let Some(recomputed) = left.await? {
                let mut rest = job.clone();
                rest.recomputed = Some(recomputed);
                market.jobs().hand_over(&rest, job.work.clone()).await?;
                return Ok(vec![message::message(market, job)]);
            }
        }
        let (invocation, mut messages) = match job.work.clone() {
            Work::Fold { next } => {
                let invocation = fold::work(market, job, next, limits, until).await?;
                (invocation, Vec::new())
            }
            Work::Reattribution { span, place } => {
                plan::reattribute(market, job, (span, place), limits, until).await?
            }
            Work::ReattributeAll { after } => {
                plan::reattribute_all(market, job, after, limits, until).await?
            }
            Work::FoldLinked { address, after } => {
                plan::fold_linked(market, job, (address, after), limits, until).await?
            }
            Work::Erase { erasure, step } => {
                let erasures = market.erasures();
                let (clock, stop_at) = (until.clock, until.stop_at);
                match erasures.work(job, &erasure, step, clock, stop_at).await? {
                    ErasureEnd::Done => {
                        tracing::info!(marketplace = %market.id(), erasure, "a customer was erased");
                        // Whoever asked for the same customer meanwhile waits for this one.
                        (JobEnd::Done, message::erasures(market).await?)
                    }
                    ErasureEnd::HandedOver => (JobEnd::HandedOver, Vec::new()),
                    ErasureEnd::Waits => (JobEnd::Waits, Vec::new()),
                }
            }
            Work::Verify { repair, .. } => {
                let invocation = verify::work(market, job, repair, limits, until).await?;
                (invocation, Vec::new())
            }
            Work::Export { id } => {
                let outbox = self.outbox.as_ref();
                match export::work(market, job, &id, outbox, limits, until).await? {
                    JobEnd::HandedOver => (JobEnd::HandedOver, Vec::new()),
                    // No run waits for an export.
                    JobEnd::Done | JobEnd::Waits => return Ok(Vec::new()),
                }
            }
            Work::LookAhead { .. } => {
                let limits = LookLimits {
                    customers: limits.job_customers,
                    timeline_bytes: limits.timeline_bytes,
                };
                let looks = market.look_aheads();
                match looks.work(job, limits, until.clock, until.stop_at).await? {
                    LookEnd::Done => return Ok(Vec::new()),
                    LookEnd::TooLarge => {
                        tracing::error!(marketplace = %market.id(), job_id = job.job_id, "what a look ahead found is too large to be stored");
                        return Ok(Vec::new());
                    }
                    // The figures of the period need not wait for the next hour.
                    LookEnd::Applied => return Ok(vec![message::message_plan(market, None)]),
                    LookEnd::HandedOver => (JobEnd::HandedOver, Vec::new()),
                }
            }
        };
        match invocation {
            JobEnd::HandedOver => messages.push(message::message(market, job)),
            JobEnd::Waits => {}
            JobEnd::Done => messages.extend(settle::settle_after(market, job, until).await?),
        }
        Ok(messages)
    }

    /// Does what job messages point at and everything that follows from it, in this process, one message after the other. A
    /// message that fails does not keep the others from their turn.
    ///
    /// # Errors
    /// The first failure, after all messages had their turn.
    pub async fn drain(
        &self,
        messages: Vec<JobMessage>,
        clock: &(dyn Fn() -> Instant + Sync),
    ) -> Result<(), AttributorError> {
        let mut outcome = Ok(());
        let mut waiting = VecDeque::from(messages);
        while let Some(message) = waiting.pop_front() {
            match self.handle(&message, clock, Instant::MAX).await {
                Ok(more) => waiting.extend(more),
                Err(error) => {
                    tracing::error!(?message, %error, "a nudge failed; the next tick points at its work again");
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }
}

/// Records, if the table still answers, that something went wrong in a run. Whoever is next takes up the rest of the run, so the
/// run goes on.
async fn run_met_error(market: &Market, run_id: &str) {
    if let Err(error) = market.runs().run_met_error(run_id).await {
        tracing::error!(marketplace = %market.id(), %error, "failed to record that a run met an error");
    }
}
