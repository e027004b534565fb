//! Messages that point at work.

use revtrail_store::jobs::job::{Job, JobMessage};
use revtrail_store::market::Market;

/// The message that points at a job.
pub(crate) fn message(market: &Market, job: &Job) -> JobMessage {
    JobMessage::Work {
        marketplace: market.id().clone(),
        job_id: job.job_id.clone(),
    }
}

/// The message that asks for a plan.
pub(crate) fn message_plan(market: &Market, run_id: Option<&str>) -> JobMessage {
    JobMessage::Plan {
        marketplace: market.id().clone(),
        run_id: run_id.map(str::to_owned),
    }
}
