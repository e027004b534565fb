//! The attributor: plans units of changed customers from notes, and folds them. Running it twice, twice at once, or killing
//! it anywhere changes no figure.

mod fold;
mod plan;

use revtrail_core::time::{Instant, Retention};
use revtrail_store::market::Market;
use revtrail_store::runs::RunState;
use revtrail_store::work::{Unit, Work};
use revtrail_store::{Store, StoreError};

/// Most rounds over the units of one tick: a unit can ask for others (a send time that became known late), these for none.
const ROUNDS_MAX: usize = 100;

/// Why a tick ended early. What it did stays, and the next tick goes on.
#[derive(Debug, thiserror::Error)]
pub enum AttributorError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Units keep coming.
    #[error(
        "after {ROUNDS_MAX} rounds there are still units of work: the next tick goes on with them"
    )]
    NotDrained,
}

/// One tick for every marketplace, each at the time that `clock` then shows. One that fails does not keep the others from theirs.
///
/// # Errors
/// The first failure, after all of them had their turn.
pub async fn hourly(
    store: &Store,
    retention: Retention,
    clock: impl Fn() -> Instant,
) -> Result<(), AttributorError> {
    let mut outcome = Ok(());
    for marketplace in store.marketplaces().await? {
        let market = store.market(&marketplace.marketplace_id, retention);
        if let Err(error) = tick(&market, None, &clock).await {
            tracing::error!(marketplace = %market.id(), %error, "a tick failed");
            outcome = outcome.and(Err(error));
        }
    }
    outcome
}

/// One tick for a marketplace: plans what changed, then works off every unit there is. `run_id` is a run that was asked for
/// and is on record already; without one, a tick that finds nothing to do leaves no run.
///
/// # Errors
/// What the table answers. The run is on record as failed, its units stay.
pub async fn tick(
    market: &Market,
    run_id: Option<String>,
    clock: impl Fn() -> Instant,
) -> Result<Option<String>, AttributorError> {
    let now = clock();
    let run_id = match run_id {
        Some(run_id) => run_id,
        None if market.notes().await?.is_empty() && market.units().await?.is_empty() => {
            return Ok(None);
        }
        None => market.start_run(now).await?,
    };
    let outcome = plan_and_work(market, &run_id, now).await;
    match &outcome {
        Ok(()) => market.finish_run(&run_id, RunState::Done, clock()).await?,
        Err(_) => {
            market
                .finish_run(&run_id, RunState::Failed, clock())
                .await?
        }
    }
    outcome.map(|()| Some(run_id))
}

async fn plan_and_work(market: &Market, run_id: &str, now: Instant) -> Result<(), AttributorError> {
    plan::plan(market, run_id, now).await?;
    for _ in 0..ROUNDS_MAX {
        let (units, asked): (Vec<Unit>, Vec<Unit>) = market
            .units()
            .await?
            .into_iter()
            .partition(|unit| matches!(unit.work, Work::Customers(_)));
        if units.is_empty() && asked.is_empty() {
            market.raise_as_of(now).await?;
            return Ok(());
        }
        if !asked.is_empty() {
            let in_units = units.iter().flat_map(Unit::customers).cloned().collect();
            plan::expand(market, &asked, &in_units, run_id, now).await?;
            continue;
        }
        // A unit that fails keeps no other from being done. What failed of it waits for the next tick.
        let mut outcome = Ok(());
        for unit in &units {
            if let Err(error) = fold::work(market, unit, run_id, now).await {
                tracing::error!(marketplace = %market.id(), unit = unit.unit_id, %error, "a unit failed");
                market.run_met_error(run_id).await?;
                outcome = Err(error);
            }
        }
        outcome?;
    }
    Err(AttributorError::NotDrained)
}
