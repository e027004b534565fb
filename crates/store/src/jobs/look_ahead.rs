//! The walk of a look ahead through everybody: each customer once, in the order of the ids, whoever dies on the way.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};
use revtrail_core::attribution::campaign::Catalog;
use revtrail_core::attribution::decide::Rules;
use revtrail_core::attribution::explain::explain;
use revtrail_core::attribution::order::Order;
use revtrail_core::attribution::reach::Reattribution;
use revtrail_core::attribution::settings::{Bound, Period, Replay, Versions};
use revtrail_core::figures::fold::World;
use revtrail_core::figures::preview::{Comparison, Preview, Proposal};
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::OrderId;
use revtrail_core::value::time::Instant;
use tokio::task::JoinHandle;

use crate::jobs::job::{JOB_CUSTOMERS_MAX, Job, NAMES_MAX, Work};
use crate::jobs::look_aheads::{LookAhead, LookAheads, LookState, Purpose, SavedLook};
use crate::ledger::facts::{CustomerFacts, TIMELINE_BYTES_MAX};
use crate::market::Market;
use crate::table::fault::StoreError;
use crate::table::keys::LookAheadKind as Kind;
use crate::table::write::Write;

/// How many customers are read at the same time.
const READS_AT_ONCE: usize = 8;
/// The bytes above which a timeline is read alone, so that several at a time do not fill a function's memory: about a page.
const LIGHT_BYTES_MAX: usize = 1 << 20;

/// How much of a look ahead is done at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookLimits {
    /// After how many customers the result is written.
    pub customers: usize,
    /// The most bytes of a customer's timeline; a customer with more is left out, and counted.
    pub timeline_bytes: usize,
}

impl LookLimits {
    /// The limits of a deployment.
    pub const DEFAULT: Self = Self {
        customers: JOB_CUSTOMERS_MAX,
        timeline_bytes: TIMELINE_BYTES_MAX,
    };
}

/// How work on a look ahead ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookEnd {
    /// It is done, or another worker goes on with it.
    Done,
    /// It is done, and a replay was applied: figures follow with the next plan.
    Applied,
    /// The table refused what was found, because it is too large. Nothing was applied.
    TooLarge,
    /// Time was up. The look ahead has the place where to go on.
    HandedOver,
}

/// What the orders of all customers are decided by.
struct WalkRules {
    catalog: Catalog,
    versions: Versions,
}

impl LookAheads<'_> {
    /// Works on a look ahead until it is done or the clock shows `stop_at`, but looks at some customers at least. Whoever goes on
    /// after a crash begins at the place that was written last, with what was found up to there.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn work(
        self,
        job: &Job,
        limits: LookLimits,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<LookEnd, StoreError> {
        let Work::LookAhead { replays, id } = &job.work else {
            return Ok(LookEnd::Done);
        };
        let kind = if *replays {
            Kind::Replays
        } else {
            Kind::WhatIfs
        };
        let ahead = self.read(kind, id, clock()).await?;
        let Some(mut ahead) = ahead.filter(|ahead| ahead.state == LookState::Running) else {
            // The worker that finished it died before it deleted the job, or its day is over.
            return self.job_done(job, LookEnd::Done).await;
        };
        let (mut names, mut last) = (VecDeque::new(), false);
        let mut known: Option<(i64, WalkRules)> = None;
        loop {
            // The version of the rules comes first, so that a change in between is noticed at the next turn of the loop.
            let version = self.market.settings().rules_seen(0).await?.version();
            let same = known.take().filter(|(known, _)| *known == version);
            let Some(rulebook) = (match same {
                Some((_, rulebook)) => Some(rulebook),
                None => self.rulebook().await?,
            }) else {
                return self.job_done(job, LookEnd::Done).await;
            };
            if ahead.seen != rulebook.seen() {
                ahead.begin(rulebook.seen());
                (names, last) = (VecDeque::new(), false);
            }
            if names.is_empty() && !last {
                let found = self
                    .market
                    .jobs()
                    .names_after(ahead.after.as_ref(), clock())
                    .await?;
                last = found.len() < NAMES_MAX;
                names.extend(found);
            }
            let some = names.len().min(limits.customers);
            let some: Vec<Recipient> = names.drain(..some).collect();
            let left = self
                .look_at(&mut ahead, &some, &rulebook, limits, (clock, stop_at))
                .await?;
            if let Some(done) = some.len().checked_sub(left + 1) {
                ahead.after = Some(some[done].clone());
            }
            if left == 0 && names.is_empty() && last {
                match self.finish(&mut ahead, &rulebook, clock()).await {
                    Ok(Some(end)) => return self.job_done(job, end).await,
                    // Another replay was applied in the meantime.
                    Ok(None) => continue,
                    Err(StoreError::Refused { .. }) => return self.fail(&mut ahead, job).await,
                    Err(error) => return Err(error),
                }
            }
            match self.save(&mut ahead, Vec::new()).await {
                Ok(SavedLook::Done) => {}
                Ok(SavedLook::Overtaken | SavedLook::Refused) => return Ok(LookEnd::Done),
                Err(StoreError::Refused { .. }) => return self.fail(&mut ahead, job).await,
                Err(error) => return Err(error),
            }
            if left > 0 || clock() >= stop_at {
                return Ok(LookEnd::HandedOver);
            }
            known = Some((version, rulebook));
        }
    }

    /// Looks at one order alone, wherever its period lies, and explains it by the settings that are tried. False if there is no
    /// such order.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn look_at_order(
        self,
        ahead: &mut LookAhead,
        order: &OrderId,
        now: Instant,
    ) -> Result<bool, StoreError> {
        let facts = self.market.facts();
        let Some(order) = facts.order(order, now).await? else {
            return Ok(false);
        };
        let Some(rulebook) = self.rulebook().await? else {
            return Ok(false);
        };
        let limit = TIMELINE_BYTES_MAX;
        let customer = Recipient::from(order.customer_id);
        let Some(facts) = facts.customer(&customer, limit, now).await? else {
            ahead.skipped = 1;
            return Ok(true);
        };
        // A newer copy may have come in since.
        let is_asked = |one: &&Order| one.order_id == order.order_id;
        let Some(order) = facts.orders.iter().find(is_asked) else {
            return Ok(false);
        };
        let grown = rulebook.catalog.witnessing(facts.all_events());
        let catalog = grown.as_ref().unwrap_or(&rulebook.catalog);
        let look_back_ms = Some(self.market.retention.look_back_ms());
        let marketplace = &self.market.id;
        let world = World::new(marketplace, catalog, &rulebook.versions, look_back_ms);
        let timelines = facts.timelines(&world);
        let proposal = Proposal {
            period: Period {
                from: Bound::Instant(order.placed_at),
                to: Bound::Instant(order.placed_at.plus_ms(1)),
            },
            ..rulebook.proposal(ahead, catalog)
        };
        let mut compared = Comparison::new(&world, &proposal);
        compared.add_customer(&timelines, std::slice::from_ref(order));
        let preview = compared.preview();
        let tried = Versions::only(proposal.rules.settings.clone());
        let world = World::new(marketplace, catalog, &tried, look_back_ms);
        let mut explained = serde_json::to_value(explain(order, &timelines, &world))?;
        // The settings that are tried are no saved version.
        explained["settings_version"] = serde_json::Value::Null;
        ahead.preview = preview;
        ahead.attribution = Some(explained);
        Ok(true)
    }

    async fn job_done(self, job: &Job, end: LookEnd) -> Result<LookEnd, StoreError> {
        self.market.jobs().job_done(job).await?;
        Ok(end)
    }

    async fn rulebook(self) -> Result<Option<WalkRules>, StoreError> {
        let Some(versions) = self.market.settings().versions().await? else {
            return Ok(None);
        };
        let waiting = self.market.campaigns().noted().await?;
        let catalog = self.market.campaigns().catalog_with(&waiting).await?;
        Ok(Some(WalkRules { catalog, versions }))
    }

    /// Looks at some customers as long as there is time, but at some of them at least. Returns how many are left.
    async fn look_at(
        self,
        ahead: &mut LookAhead,
        customers: &[Recipient],
        rulebook: &WalkRules,
        limits: LookLimits,
        (clock, stop_at): (&(dyn Fn() -> Instant + Sync), Instant),
    ) -> Result<usize, StoreError> {
        let now = clock();
        let light = LIGHT_BYTES_MAX.min(limits.timeline_bytes);
        let reads = customers
            .iter()
            .map(|id| read_aside(self.market, id, light, now));
        let reads = Vec::from_iter(reads);
        let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
        let (mut done, mut skipped) = (0, 0);
        let look_back_ms = Some(self.market.retention.look_back_ms());
        let marketplace = &self.market.id;
        let (catalog, versions) = (&rulebook.catalog, &rulebook.versions);
        let world = World::new(marketplace, catalog, versions, look_back_ms);
        let proposal = rulebook.proposal(ahead, &rulebook.catalog);
        let mut compared = Comparison::new(&world, &proposal);
        let mut preview = Preview::new(ahead.models());
        while let Some(mut facts) = reads.next().await {
            if matches!(facts, Ok(None)) {
                let (id, limit) = (&customers[done], limits.timeline_bytes);
                facts = self.market.facts().alone(id, limit, now).await;
            }
            done += 1;
            match facts {
                // Of a customer who is being erased only a part of the facts is here.
                Ok(Some(facts)) if facts.stored.is_moving => skipped += 1,
                Ok(Some(facts)) => match rulebook.catalog.witnessing(facts.all_events()) {
                    None => add(&mut compared, &facts, &world),
                    Some(grown) => {
                        let world = World::new(marketplace, &grown, versions, look_back_ms);
                        let proposal = rulebook.proposal(ahead, &grown);
                        let mut compared = Comparison::new(&world, &proposal);
                        add(&mut compared, &facts, &world);
                        preview.add(compared.preview());
                    }
                },
                Err(error) if error.is_busy() => return Err(error),
                Ok(None) | Err(_) => skipped += 1,
            }
            if clock() >= stop_at {
                break;
            }
        }
        preview.add(compared.preview());
        ahead.preview.add(preview);
        ahead.skipped += skipped;
        if matches!(ahead.purpose, Purpose::Replay { .. }) {
            // A replay is a log that stays, and it names no customer.
            ahead.preview.moved.clear();
        }
        Ok(customers.len() - done)
    }

    /// Writes the end of a look ahead and, in the same transaction, what follows from it. `None` if the walk must begin again.
    async fn finish(
        self,
        ahead: &mut LookAhead,
        rulebook: &WalkRules,
        now: Instant,
    ) -> Result<Option<LookEnd>, StoreError> {
        let place = ahead.after.take();
        ahead.state = LookState::Done;
        let (end, beside) = match ahead.purpose {
            Purpose::Replay {
                version,
                dry_run: false,
            } => (
                LookEnd::Applied,
                self.applied(ahead, version, rulebook, now),
            ),
            _ => (LookEnd::Done, Vec::new()),
        };
        match self.save(ahead, beside).await? {
            SavedLook::Done => Ok(Some(end)),
            SavedLook::Overtaken => Ok(Some(LookEnd::Done)),
            SavedLook::Refused => {
                // Nothing was written, so the root is as it was.
                (ahead.state, ahead.after) = (LookState::Running, place);
                Ok(None)
            }
        }
    }

    /// The writes that apply a replay: the replay itself, the version of the rules, and the job that decides the orders of the
    /// period again. Its number is taken by one replay only.
    fn applied(
        self,
        ahead: &LookAhead,
        version: u32,
        rulebook: &WalkRules,
        now: Instant,
    ) -> Vec<Write> {
        let replay = Replay {
            replay_id: ahead.id.clone(),
            version,
            period: ahead.period,
            by: ahead.by.clone(),
            at: ahead.at,
        };
        let (from, to) = ahead.period.outline();
        let span = Reattribution {
            from,
            to: Some(to),
            settings: true,
            replay: true,
        };
        let settings = self.market.settings();
        let job = Job::new(Work::reattribute(span), None, 0, 0, now);
        let mut writes = settings.raise_rules();
        writes.push(settings.put_replay(rulebook.versions.replays().len(), &replay));
        writes.push(self.market.jobs().put_job(&job));
        writes
    }

    /// Ends a look ahead whose result is too large.
    async fn fail(self, ahead: &mut LookAhead, job: &Job) -> Result<LookEnd, StoreError> {
        ahead.begin(ahead.seen);
        ahead.state = LookState::Failed;
        self.save(ahead, Vec::new()).await?;
        self.job_done(job, LookEnd::TooLarge).await
    }
}

impl WalkRules {
    fn seen(&self) -> (u32, usize) {
        (
            self.versions.newest().version,
            self.versions.replays().len(),
        )
    }

    /// What is asked, with the settings that are tried or with those of the version that is replayed.
    fn proposal<'s>(&'s self, ahead: &'s LookAhead, catalog: &'s Catalog) -> Proposal<'s> {
        let settings = match &ahead.purpose {
            Purpose::WhatIf { settings, .. } => settings,
            Purpose::Replay { version, .. } => {
                let version = self.versions.numbered(*version);
                &version.unwrap_or(self.versions.newest()).settings
            }
        };
        Proposal {
            period: ahead.period,
            rules: Rules::new(settings, catalog),
            models: ahead.models(),
        }
    }
}

/// Reads a customer in a task of its own: where there is another thread, it unpacks what the table answers while this one decides.
/// Who stops waiting ends the task.
async fn read_aside(
    market: &Market,
    id: &Recipient,
    bytes_max: usize,
    now: Instant,
) -> Result<Option<CustomerFacts>, StoreError> {
    struct Task<T>(JoinHandle<T>);
    impl<T> Drop for Task<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    if id.address().is_some() {
        // An address has no orders.
        return Ok(Some(CustomerFacts::default()));
    }
    let (market, id) = (market.clone(), id.clone());
    let read = async move { market.facts().alone(&id, bytes_max, now).await };
    let mut task = Task(tokio::spawn(read));
    (&mut task.0)
        .await
        .unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(StoreError::Busy {
                op: "reading a customer",
                source: cancelled.into(),
            }),
        })
}

/// Adds the orders of one customer.
fn add(to: &mut Comparison<'_>, facts: &CustomerFacts, world: &World<'_>) {
    to.add_customer(&facts.timelines(world), &facts.orders);
}
