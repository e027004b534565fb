//! The attributor: plans units of changed customers from notes, and folds them. Running it twice, twice at once, or killing
//! it anywhere changes no figure.

pub mod envelope;
mod fold;
mod plan;
mod settle;
mod verify;

use std::collections::VecDeque;

use revtrail_core::value::time::{Instant, Retention};
use revtrail_store::jobs::job::{Nudge, UNIT_CUSTOMERS_MAX, Unit, Work};
use revtrail_store::ledger::facts::TIMELINE_BYTES_MAX;
use revtrail_store::market::Market;
use revtrail_store::market::access::Marketplace;
use revtrail_store::{Store, StoreError, table::keys};

/// Why the attributor stopped early. What it did stays, and the next tick goes on.
#[derive(Debug, thiserror::Error)]
pub enum AttributorError {
    /// The table.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A clock, and when it is time to hand over.
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

/// How work on a unit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is done, and gone.
    Done,
    /// Time was up; how far it is stands in the unit.
    HandedOver,
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
    /// Most bytes of a customer's timeline: beyond, the customer is parked. See [`TIMELINE_BYTES_MAX`].
    pub timeline_bytes: usize,
}

impl Limits {
    /// What is deployed.
    pub const DEFAULT: Self = Self {
        unit_customers: UNIT_CUSTOMERS_MAX,
        batch_customers: 90,
        stripes: keys::STRIPES,
        timeline_bytes: TIMELINE_BYTES_MAX,
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
        let until = Until { clock, stop_at };
        let market = self.store.market(nudge.marketplace(), self.retention);
        let unit = match nudge {
            Nudge::Plan { run_id, .. } => {
                return plan::plan(&market, run_id.as_deref(), self.limits, until).await;
            }
            Nudge::Admit { .. } => {
                plan::admit(&market, until).await?;
                return Ok(Vec::new());
            }
            Nudge::Work { unit_id, .. } => market.jobs().unit(unit_id).await?,
        };
        match unit {
            // One that is gone is done.
            None => Ok(Vec::new()),
            // Only a run's plan takes it over.
            Some(unit) if unit.is_asked() => Ok(vec![plan::nudge_plan(&market, None)]),
            Some(unit) => {
                let worked = self.work(&market, &unit, until).await;
                if worked.is_err()
                    && let Some(run_id) = &unit.run_id
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
        unit: &Unit,
        until: Until<'_>,
    ) -> Result<Vec<Nudge>, AttributorError> {
        let limits = self.limits;
        let recount = match unit.work {
            Work::Redecide { span, place: None } if span.settings => Some(Some(span.from)),
            Work::Refold { after: None } => Some(None),
            _ => None,
        };
        if let Some(from) = recount {
            let place = unit.recounted.clone();
            let left = market
                .redemptions()
                .recount(from, place, until.clock, until.stop_at);
            if let Some(recounted) = left.await? {
                let mut rest = unit.clone();
                rest.recounted = Some(recounted);
                market.jobs().hand_over(&rest, unit.work.clone()).await?;
                return Ok(vec![plan::nudge(market, unit)]);
            }
        }
        let (turn, mut nudges) = match unit.work.clone() {
            Work::Fold { next } => {
                let turn = fold::work(market, unit, next, limits, until).await?;
                (turn, Vec::new())
            }
            Work::Redecide { span, place } => {
                plan::redecide(market, unit, (span, place), limits, until).await?
            }
            Work::Refold { after } => plan::refold(market, unit, after, limits, until).await?,
            Work::Verify { after, left } => {
                let turn = verify::work(market, unit, (after, left), limits, until).await?;
                (turn, Vec::new())
            }
        };
        match turn {
            Turn::HandedOver => nudges.push(plan::nudge(market, unit)),
            Turn::Done => nudges.extend(settle::settle_after(market, unit, until).await?),
        }
        Ok(nudges)
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

/// Records, where the table still answers, that something went wrong in a run. What is left of it is taken up again by whoever is
/// next, so the run goes on.
async fn run_met_error(market: &Market, run_id: &str) {
    if let Err(error) = market.runs().run_met_error(run_id).await {
        tracing::error!(marketplace = %market.id(), %error, "failed to record that a run met an error");
    }
}
