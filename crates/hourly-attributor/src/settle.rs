//! The end of runs: a run is done when everything it planned is, and then the figures are as of its beginning.

use revtrail_store::jobs::job::{Nudge, Unit, Work};
use revtrail_store::jobs::runs::{Run, RunState, SAMPLE_CUSTOMERS, Sample};
use revtrail_store::market::Market;

use crate::plan::{nudge, nudge_plan};
use crate::{AttributorError, Until};

/// A run that is not planned after so long died on the way: what it did not plan is in notes, or in units that others point at.
const PLANNING_MS_MAX: i64 = 30 * 60 * 1000;

/// Ends the runs whose units are all done, or begins the verification they were asked for; raises the time that the figures are
/// as of. Says what follows.
pub(crate) async fn settle(
    market: &Market,
    until: Until<'_>,
) -> Result<Vec<Nudge>, AttributorError> {
    // In this order: what a run recorded as planned is in units before these are read.
    let runs = market.runs().open_runs().await?;
    let meta = market.meta().await?;
    let units = market.jobs().units().await?;
    let mut nudges = Vec::new();
    let over = |run: &&Run| {
        // Its own units, and those that stood when it was planned: they hold facts that were accepted before.
        let waits_for = |unit: &Unit| {
            let own = unit.run_id.as_ref() == Some(&run.run_id);
            let stood = run.planned_at.is_some_and(|at| unit.at <= at);
            own || stood && !unit.is_asked() && !matches!(unit.work, Work::Verify { .. })
        };
        run.state == RunState::Running && run.planned_at.is_some() && !units.iter().any(waits_for)
    };
    let died = |run: &&Run| {
        let quiet_since = until.now().minus_ms(PLANNING_MS_MAX);
        run.state == RunState::Running && run.planned_at.is_none() && run.started_at < quiet_since
    };
    for run in runs.iter().filter(died) {
        market
            .runs()
            .finish_run(&run.run_id, RunState::Failed, until.now())
            .await?;
    }
    // Whoever ended these died before they were taken off the list.
    for run in runs.iter().filter(|run| run.state != RunState::Running) {
        let at = run.finished_at.unwrap_or(until.now());
        market.runs().finish_run(&run.run_id, run.state, at).await?;
    }
    let mut ended = false;
    for run in runs.iter().filter(over) {
        if let Some(sample) = run.verify_next {
            let left = (sample == Sample::Sample).then_some(SAMPLE_CUSTOMERS);
            let work = Work::Verify { after: None, left };
            let unit = Unit::new(work, Some(run.run_id.clone()), 0, 0, until.now());
            if market.runs().plan_verify(&run.run_id, &unit).await? {
                nudges.push(nudge(market, &unit));
            }
        } else {
            market
                .runs()
                .finish_run(&run.run_id, RunState::Done, until.now())
                .await?;
            ended = true;
        }
    }
    if let Some(planned_to) = meta
        .planned_to
        .filter(|to| meta.as_of.is_none_or(|as_of| as_of < *to))
    {
        // What a plan that is not through yet has in hand may have been accepted before, whatever its clock shows.
        let early = |unit: &Unit| {
            let taken = unit.at <= planned_to || !unit.is_asked();
            taken && !matches!(unit.work, Work::Verify { .. })
        };
        if !units.iter().any(early) {
            market.raise_as_of(planned_to, until.now()).await?;
        }
    }
    if meta.outdated && market.refold_outdated(until.now()).await? {
        nudges.push(nudge_plan(market, None));
    }
    if ended && units.iter().any(Unit::is_asked) {
        // A fold found a send time that nobody knew: whom it touches need not wait for the next hour.
        nudges.push(nudge_plan(market, None));
    }
    Ok(nudges)
}

/// The same, where a unit's end may have been its run's.
pub(crate) async fn settle_after(
    market: &Market,
    unit: &Unit,
    until: Until<'_>,
) -> Result<Vec<Nudge>, AttributorError> {
    let run = match &unit.run_id {
        Some(run_id) => market.runs().run(run_id, until.now()).await?,
        None => None,
    };
    match run {
        Some(run) if run.units_done < run.units || run.planned_at.is_none() => Ok(Vec::new()),
        _ => settle(market, until).await,
    }
}
