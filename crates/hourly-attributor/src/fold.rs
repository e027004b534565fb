//! Folding: customers' facts into contributions, moved into the daily aggregates a hundred at a time.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use revtrail_core::attribution::campaign::Catalog;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::fold::{Contribution, World};
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::time::{Day, Instant};
use revtrail_store::StoreError;
use revtrail_store::jobs::job::{Job, Progress, Work};
use revtrail_store::jobs::parked::{Parked, ParkedFor};
use revtrail_store::ledger::contribution::{Move, Moved};
use revtrail_store::ledger::daily::AggregateCache;
use revtrail_store::ledger::facts::CustomerFacts;
use revtrail_store::market::Market;
use revtrail_store::market::campaigns::observed;
use revtrail_store::market::settings::RulesSeen;

use crate::{AttributorError, Invocation, JobLimits, Until};

/// Customers read at the same time.
const READS_AT_ONCE: usize = 8;
/// A timeline above this is read and folded alone, so that a batch of them does not fill a function's memory: about a page.
const LIGHT_BYTES_MAX: usize = 1 << 20;
/// Facts held at a time, but for those of one heavy customer.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// The rules that folds go by, read once for as long as they stand.
pub(crate) struct RulesSnapshot {
    seen: RulesSeen,
    pub(crate) versions: Versions,
    catalog: Catalog,
}

/// What a worker has before it.
struct Worker<'w> {
    market: &'w Market,
    job: &'w Job,
    limits: JobLimits,
    cache: AggregateCache,
    snapshot: Option<RulesSnapshot>,
    parked: BTreeSet<CustomerId>,
}

/// Folds the customers of a job from where it was left, and deletes it at the end of its list.
///
/// # Errors
/// As every call of the table: [`StoreError::is_busy`] says whether to try again. What was done stays, and does no harm when it is done again.
pub(crate) async fn work(
    market: &Market,
    job: &Job,
    mut next: usize,
    limits: JobLimits,
    until: Until<'_>,
) -> Result<Invocation, AttributorError> {
    let list = market.jobs().job_list(&job.job_id).await?;
    let parked = market.parked().list(until.now()).await?;
    let mut worker = Worker {
        market,
        job,
        limits,
        cache: AggregateCache::of(job.shard),
        snapshot: None,
        parked: parked.into_iter().map(|one| one.customer_id).collect(),
    };
    while next < list.len() {
        let end = list.len().min(next + limits.batch_customers);
        if worker.fold_all(&list[next..end], until.now()).await? == Folded::UnitDone {
            return Ok(Invocation::Done);
        }
        next = end;
        if next < list.len() && until.is_over() {
            market.jobs().hand_over(job, Work::Fold { next }).await?;
            return Ok(Invocation::HandedOver);
        }
    }
    market.jobs().job_done(job).await?;
    Ok(Invocation::Done)
}

/// What became of some customers.
#[derive(PartialEq, Eq)]
enum Folded {
    /// All are folded, or parked.
    All,
    /// Another worker has done the whole job.
    UnitDone,
}

impl Worker<'_> {
    /// Folds customers until each is folded or parked, however often others change them meanwhile.
    async fn fold_all(
        &mut self,
        customers: &[CustomerId],
        now: Instant,
    ) -> Result<Folded, AttributorError> {
        let mut waiting: Vec<CustomerId> = customers.to_vec();
        let mut heavy = Vec::new();
        while !waiting.is_empty() {
            // The version of the rules first, then the rules, then the facts: a change on the way is noticed when the fold is written.
            self.refresh().await?;
            let (light, rest) = self.read_light(waiting, &mut heavy, now).await?;
            match self.move_light(light, now).await? {
                Moved::Again(again) => waiting = rest.into_iter().chain(again).collect(),
                Moved::UnitDone => return Ok(Folded::UnitDone),
            }
        }
        for customer in heavy {
            loop {
                self.refresh().await?;
                let limit = self.limits.timeline_bytes;
                let facts = match self.market.facts().customer(&customer, limit, now).await {
                    Ok(Some(facts)) => facts,
                    Ok(None) => {
                        self.park(customer, ParkedFor::TimelineTooLarge, now)
                            .await?;
                        break;
                    }
                    Err(error) => {
                        self.park_unreadable(&customer, error, now).await?;
                        break;
                    }
                };
                match self
                    .move_light(vec![(customer.clone(), facts)], now)
                    .await?
                {
                    Moved::Again(again) if again.is_empty() => break,
                    Moved::Again(_) => {}
                    Moved::UnitDone => return Ok(Folded::UnitDone),
                }
            }
        }
        Ok(Folded::All)
    }

    /// Takes the rules anew where they changed.
    async fn refresh(&mut self) -> Result<(), AttributorError> {
        let seen = self.market.settings().rules_seen(self.job.shard).await?;
        if !self
            .snapshot
            .as_ref()
            .is_some_and(|snapshot| snapshot.is_of(seen))
        {
            self.snapshot = RulesSnapshot::read(self.market, seen).await?;
        }
        Ok(())
    }

    /// Reads customers up to what may be held at a time; the rest is for another round. Heavy ones are put aside.
    async fn read_light(
        &self,
        customers: Vec<CustomerId>,
        heavy: &mut Vec<CustomerId>,
        now: Instant,
    ) -> Result<(Vec<(CustomerId, CustomerFacts)>, Vec<CustomerId>), AttributorError> {
        let (mut light, mut bytes, mut seen) = (Vec::new(), 0, 0);
        let limit = LIGHT_BYTES_MAX.min(self.limits.timeline_bytes);
        let reads: Vec<_> = customers
            .iter()
            .map(|id| self.market.facts().customer(id, limit, now))
            .collect();
        let mut reads = stream::iter(reads).buffered(READS_AT_ONCE);
        while bytes < BATCH_BYTES_MAX
            && let Some(read) = reads.next().await
        {
            let customer = &customers[seen];
            seen += 1;
            match read {
                Ok(Some(facts)) => {
                    bytes += facts.bytes;
                    light.push((customer.clone(), facts));
                }
                Ok(None) => heavy.push(customer.clone()),
                Err(error) => self.park_unreadable(customer, error, now).await?,
            }
        }
        Ok((light, customers[seen..].to_vec()))
    }

    /// Parks whose facts cannot be read, unless they only cannot be read now.
    async fn park_unreadable(
        &self,
        customer: &CustomerId,
        error: StoreError,
        now: Instant,
    ) -> Result<(), AttributorError> {
        if error.is_busy() {
            return Err(error.into());
        }
        tracing::error!(marketplace = %self.market.id(), %error, "facts cannot be read: their customer is parked");
        self.park(customer.clone(), ParkedFor::NotStorable, now)
            .await
    }

    /// Folds and moves; where the table refuses, one by one, and whoever is at fault is parked.
    async fn move_light(
        &mut self,
        light: Vec<(CustomerId, CustomerFacts)>,
        now: Instant,
    ) -> Result<Moved, AttributorError> {
        match self.move_some(&light, now).await {
            Err(AttributorError::Store(StoreError::Refused { op, source })) => {
                if let [(customer, _)] = &light[..] {
                    tracing::error!(marketplace = %self.market.id(), op, %source, "a contribution cannot be stored: its customer is parked");
                    self.park(customer.clone(), ParkedFor::NotStorable, now)
                        .await?;
                    return Ok(Moved::Again(Vec::new()));
                }
                self.cache = AggregateCache::of(self.job.shard);
                let mut again = Vec::new();
                for one in light {
                    match Box::pin(self.move_light(vec![one], now)).await? {
                        Moved::Again(more) => again.extend(more),
                        Moved::UnitDone => return Ok(Moved::UnitDone),
                    }
                }
                Ok(Moved::Again(again))
            }
            other => other,
        }
    }

    async fn move_some(
        &mut self,
        facts: &[(CustomerId, CustomerFacts)],
        now: Instant,
    ) -> Result<Moved, AttributorError> {
        if facts.is_empty() {
            return Ok(Moved::Again(Vec::new()));
        }
        // No settings: the marketplace is gone, and nothing is to be figured out.
        let Some(snapshot) = &self.snapshot else {
            return Ok(Moved::UnitDone);
        };
        let events = || facts.iter().flat_map(|(_, facts)| &facts.events);
        if let Some(grown) = snapshot.catalog.witnessing(events()) {
            // Facts whose intake marker is not closed yet, or never will be, or whose campaign is newer than the book.
            for seen in observed(events()) {
                if grown.get(&seen.campaign_id) != snapshot.catalog.get(&seen.campaign_id) {
                    self.market.campaigns().observe_campaign(&seen, now).await?;
                }
            }
            self.snapshot = None;
            self.refresh().await?;
        }
        let Some(snapshot) = &self.snapshot else {
            return Ok(Moved::UnitDone);
        };
        let (world, first_folded) = snapshot.world(self.market, now);
        let moves = facts.iter().map(|(customer, facts)| Move {
            customer: customer.clone(),
            stored: facts.stored.clone(),
            new: contribution(facts, &world, first_folded),
        });
        let moved = self
            .market
            .contributions()
            .move_all(
                self.job,
                moves.collect(),
                snapshot.seen,
                first_folded,
                &mut self.cache,
                now,
            )
            .await?;
        if let Moved::Again(again) = &moved {
            for (customer, _) in facts {
                if self.parked.contains(customer) && !again.contains(customer) {
                    self.market.parked().unpark(customer).await?;
                    self.parked.remove(customer);
                }
            }
        }
        Ok(moved)
    }

    async fn park(
        &self,
        customer_id: CustomerId,
        reason: ParkedFor,
        at: Instant,
    ) -> Result<(), AttributorError> {
        let parked = Parked {
            customer_id,
            at,
            reason,
        };
        self.market.parked().park(&parked).await?;
        let one = Progress {
            parked: 1,
            ..Progress::default()
        };
        Ok(self.market.jobs().count(self.job, &one).await?)
    }
}

impl RulesSnapshot {
    /// The rules whose version was seen before; none where the marketplace does not exist.
    pub(crate) async fn read(
        market: &Market,
        seen: RulesSeen,
    ) -> Result<Option<Self>, AttributorError> {
        let Some(versions) = market.settings().versions().await? else {
            return Ok(None);
        };
        let catalog = market.campaigns().catalog().await?;
        Ok(Some(Self {
            seen,
            versions,
            catalog,
        }))
    }

    /// True where it holds the rules of that version.
    pub(crate) fn is_of(&self, seen: RulesSeen) -> bool {
        self.seen.version() == seen.version()
    }

    /// What folds depend on besides facts, and the first day that is folded.
    pub(crate) fn world(&self, market: &Market, now: Instant) -> (World<'_>, Day) {
        let look_back_ms = market.retention().look_back_ms();
        let world = World::new(&self.catalog, &self.versions, Some(look_back_ms));
        let first_folded = market.retention().first_folded(world.day(now));
        (world, first_folded)
    }
}

/// What a customer's facts add up to.
pub(crate) fn contribution(
    facts: &CustomerFacts,
    world: &World<'_>,
    first_folded: Day,
) -> Contribution {
    let timeline = world.timeline(&facts.events);
    Contribution::of(&timeline, &facts.orders, world, first_folded)
}
