//! Messages that point at work.

use revtrail_store::StoreError;
use revtrail_store::erasures::ERASURE_RUN;
use revtrail_store::jobs::job::{Job, JobMessage, Work};
use revtrail_store::market::Market;

/// The message that points at a job.
pub(crate) fn message(market: &Market, job: &Job) -> JobMessage {
    JobMessage::Work {
        marketplace: market.id().clone(),
        job_id: job.job_id.clone(),
    }
}

/// The messages that point at what erasures left to be done: other erasures, folds of pseudonyms, and files of exports.
pub(crate) async fn erasures(market: &Market) -> Result<Vec<JobMessage>, StoreError> {
    let jobs = market.jobs().jobs().await?;
    let of_erasures = |job: &&Job| {
        let run = job.run_id.as_deref().unwrap_or_default();
        run.starts_with(ERASURE_RUN) || matches!(job.work, Work::Export { .. })
    };
    Ok(jobs
        .iter()
        .filter(of_erasures)
        .map(|job| message(market, job))
        .collect())
}

/// The message that asks for a plan.
pub(crate) fn message_plan(market: &Market, run_id: Option<&str>) -> JobMessage {
    JobMessage::Plan {
        marketplace: market.id().clone(),
        run_id: run_id.map(str::to_owned),
    }
}
