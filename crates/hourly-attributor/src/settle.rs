//! The end of runs. A run is done when everything that it planned is done. Then the figures are as of the beginning of the run.

use revtrail_aws::metrics;
use revtrail_store::jobs::job::{Job, JobMessage, Work};
use revtrail_store::jobs::runs::{Run, RunState, SAMPLE_CUSTOMERS, Sample};
use revtrail_store::market::Market;
use serde_json::json;

use crate::message::{message, message_plan};
use crate::{AttributorError, Until};

/// The milliseconds after which a run that is not planned has died. What it did not plan is in intake markers, or in jobs that
/// other runs point at.
const PLANNING_MS_MAX: i64 = 30 * 60 * 1000;
/// Why such a run failed.
const NOT_PLANNED: &str = "the run was not planned within 30 minutes, because its worker ended: nothing is lost, and the next run does what this one did not";

/// Ends the runs whose jobs are all done, or begins the verification that they were asked for, and raises the time that the
/// figures are as of. Returns the job messages that follow.
pub(crate) async fn settle(
    market: &Market,
    until: Until<'_>,
) -> Result<Vec<JobMessage>, AttributorError> {
    // The order matters: what a run recorded as planned is in jobs before the jobs are read.
    let runs = market.runs().open_runs().await?;
    let meta = market.meta().await?;
    let jobs = market.jobs().jobs().await?;
    let mut messages = Vec::new();
    let over = |run: &&Run| {
        // A run waits for its own jobs and for those that existed when it was planned, because they have facts that were accepted
        // before.
        let waits_for = |job: &Job| {
            let own = job.run_id.as_ref() == Some(&run.run_id);
            let stood = run.planned_at.is_some_and(|at| job.at <= at);
            own || stood && !job.is_asked() && job.work.holds_facts()
        };
        run.state == RunState::Running && run.planned_at.is_some() && !jobs.iter().any(waits_for)
    };
    let died = |run: &&Run| {
        let quiet_since = until.now().minus_ms(PLANNING_MS_MAX);
        run.state == RunState::Running && run.planned_at.is_none() && run.started_at < quiet_since
    };
    for run in runs.iter().filter(died) {
        market
            .runs()
            .finish_run(&run.run_id, Some(NOT_PLANNED), until.now())
            .await?;
    }
    // These runs have ended, but the worker that ended them died before it took them off the list.
    for run in runs.iter().filter(|run| run.state != RunState::Running) {
        let at = run.finished_at.unwrap_or(until.now());
        let why = || run.detail.as_deref().unwrap_or_default();
        let failed = (run.state == RunState::Failed).then(why);
        market.runs().finish_run(&run.run_id, failed, at).await?;
    }
    let mut ended = false;
    for run in runs.iter().filter(over) {
        if let Some(sample) = run.verify_next {
            let left = (sample == Sample::Sample).then_some(SAMPLE_CUSTOMERS);
            let repair = sample == Sample::Repair;
            let work = Work::Verify { left, repair };
            let job = Job::new(work, Some(run.run_id.clone()), 0, 0, until.now());
            if market.runs().plan_verify(&run.run_id, &job).await? {
                messages.push(message(market, &job));
            }
        } else {
            market
                .runs()
                .finish_run(&run.run_id, None, until.now())
                .await?;
            tell(market, run, until);
            ended = true;
        }
    }
    if let Some(planned_to) = meta
        .planned_to
        .filter(|to| meta.as_of.is_none_or(|as_of| as_of < *to))
    {
        // A plan that is not finished may have facts in hand that were accepted before, whatever its clock shows.
        let early = |job: &Job| {
            let taken = job.at <= planned_to || !job.is_asked();
            taken && job.work.holds_facts()
        };
        if !jobs.iter().any(early) {
            market.raise_as_of(planned_to, until.now()).await?;
        }
    }
    if meta.outdated && market.jobs().reattribute_all_outdated(until.now()).await? {
        messages.push(message_plan(market, None));
    }
    if ended && jobs.iter().any(Job::is_asked) {
        // A fold found a send time that nobody knew. The customers whom it touches need not wait for the next hour.
        messages.push(message_plan(market, None));
    }
    Ok(messages)
}

/// Tells what a run that has ended found, where somebody should be woken.
fn tell(market: &Market, run: &Run, until: Until<'_>) {
    let count = |n: i64| i32::try_from(n).map_or(f64::from(i32::MAX), f64::from);
    let differences = run.verify.as_ref().map_or(0, |verify| verify.differences);
    let measures = [
        ("parked", "Count", count(run.parked)),
        ("run_errors", "Count", count(run.errors)),
        ("differences", "Count", count(differences)),
    ];
    let fields = [
        ("marketplace".to_owned(), json!(market.id())),
        ("run_id".to_owned(), json!(run.run_id)),
    ];
    metrics::tell(until.now(), fields.into_iter().collect(), &measures);
}

/// Does the same after a job, whose end may have been the end of its run.
pub(crate) async fn settle_after(
    market: &Market,
    job: &Job,
    until: Until<'_>,
) -> Result<Vec<JobMessage>, AttributorError> {
    let run = match &job.run_id {
        Some(run_id) => market.runs().run(run_id, until.now()).await?,
        None => None,
    };
    match run {
        Some(run) if run.jobs_done < run.jobs || run.planned_at.is_none() => Ok(Vec::new()),
        _ => settle(market, until).await,
    }
}
