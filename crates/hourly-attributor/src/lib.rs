//! The attributor: plans units of changed customers from notes, and folds them. Running it twice, twice at once, or killing
//! it anywhere changes no figure.

pub mod envelope;
mod fold;
mod plan;

use std::collections::VecDeque;

use revtrail_core::time::{Instant, Retention};
use revtrail_store::access::Marketplace;
use revtrail_store::market::Market;
use revtrail_store::runs::RunState;
use revtrail_store::work::{Nudge, UNIT_CUSTOMERS_MAX, Unit, Work};
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

/// What the attributor goes by; what may differ between a test and a deployment, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most customers of a unit.
    pub unit_customers: usize,
    /// Customers folded at a time: about what one transaction carries.
    pub batch_customers: usize,
    /// Most stripes that the sheets of a day are spread over.
    pub stripes: u8,
    /// Most bytes of a customer's timeline: beyond, the customer is parked.
    pub timeline_bytes: usize,
}

impl Limits {
    /// What is deployed.
    pub const DEFAULT: Self = Self {
        unit_customers: UNIT_CUSTOMERS_MAX,
        batch_customers: 90,
        stripes: 8,
        timeline_bytes: 32 << 20,
    };
}

/// The attributor over a table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Attributor {
    /// The table.
    pub store: Store,
    /// The deployment's retention.
    pub retention: Retention,
    /// How much at once.
    pub limits: Limits,
}

impl Attributor {
    /// The attributor as it is deployed.
    pub fn new(store: Store, retention: Retention) -> Self {
        Self {
            store,
            retention,
            limits: Limits::DEFAULT,
        }
    }

    /// What a schedule asks for: a plan for every marketplace.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn tick(&self) -> Result<Vec<Nudge>, AttributorError> {
        let all = self.store.marketplaces().await?;
        let plan = |one: Marketplace| Nudge::Plan {
            marketplace: one.marketplace_id,
            run_id: None,
        };
        Ok(all.into_iter().map(plan).collect())
    }

    /// Does what a nudge points at, until it is done or the clock shows `stop_at`; says where to go on: the nudges to be sent next.
    ///
    /// # Errors
    /// What the table answers. What was done stays, and what was not is pointed at again by the next tick.
    pub async fn handle(
        &self,
        nudge: &Nudge,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<Vec<Nudge>, AttributorError> {
        let _ = stop_at;
        match nudge {
            Nudge::Plan {
                marketplace,
                run_id,
            } => {
                let market = self.store.market(marketplace, self.retention);
                tick(&market, run_id.clone(), clock).await?;
            }
            Nudge::Work { .. } => {}
        }
        Ok(Vec::new())
    }

    /// Does what nudges point at and all that follows from it, in this process, one after the other. One that fails keeps no
    /// other from its turn.
    ///
    /// # Errors
    /// The first failure, after all had their turn.
    pub async fn drain(
        &self,
        nudges: Vec<Nudge>,
        clock: &(dyn Fn() -> Instant + Sync),
    ) -> Result<(), AttributorError> {
        let mut outcome = Ok(());
        let mut waiting = VecDeque::from(nudges);
        while let Some(nudge) = waiting.pop_front() {
            match self.handle(&nudge, clock, Instant::MAX).await {
                Ok(more) => waiting.extend(more),
                Err(error) => {
                    tracing::error!(?nudge, %error, "a nudge failed; the next tick points at its work again");
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }
}

/// One tick for a marketplace: plans what changed, then works off every unit there is. `run_id` is a run that was asked for
/// and is on record already; without one, a tick that finds nothing to do leaves no run.
///
/// # Errors
/// What the table answers. The run is on record as failed, its units stay.
async fn tick(
    market: &Market,
    run_id: Option<String>,
    clock: &(dyn Fn() -> Instant + Sync),
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
