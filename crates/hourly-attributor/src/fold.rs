//! Folding: the facts of customers become contributions, which are moved into the daily aggregates a hundred customers at a time.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use revtrail_core::attribution::campaign::Catalog;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::fold::{Contribution, World};
use revtrail_core::value::address::{AddressHash, Recipient};
use revtrail_core::value::time::{Day, Instant};
use revtrail_store::StoreError;
use revtrail_store::jobs::job::{Job, Progress, Work};
use revtrail_store::jobs::parked::{Parked, ParkedFor};
use revtrail_store::ledger::contribution::{Move, Moved};
use revtrail_store::ledger::daily::AggregateCache;
use revtrail_store::ledger::facts::{CustomerFacts, TooLarge};
use revtrail_store::market::Market;
use revtrail_store::market::campaigns::observed;
use revtrail_store::market::settings::RulesSeen;

use crate::{AttributorError, JobEnd, JobLimits, Until};

/// How many customers are read at the same time.
const READS_AT_ONCE: usize = 8;
/// The bytes above which a timeline is read and folded alone, so that a batch of them does not fill a function's memory: about a
/// page.
pub(crate) const LIGHT_BYTES_MAX: usize = 1 << 20;
/// The most bytes of facts in memory at a time, not counting those of one heavy customer.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// The rules that folds use, read once and kept for as long as they do not change.
pub(crate) struct RulesSnapshot {
    pub(crate) seen: RulesSeen,
    pub(crate) versions: Versions,
    catalog: Catalog,
}

/// What a worker needs for the customers of one job.
struct Worker<'w> {
    market: &'w Market,
    job: &'w Job,
    limits: JobLimits,
    cache: AggregateCache,
    snapshot: Option<RulesSnapshot>,
    parked: BTreeSet<Recipient>,
    /// The addresses that were too large when they were read. Ten thousand customers may name one, and it is read once a job.
    too_large: BTreeSet<AddressHash>,
}

/// Folds the customers of a job from where it was left, and deletes the job at the end of its list.
///
/// # Errors
/// As every call of the table: [`StoreError::is_busy`] says whether to try again. What was done stays, and does no harm when it
/// is done again.
pub(crate) async fn work(
    market: &Market,
    job: &Job,
    mut next: usize,
    limits: JobLimits,
    until: Until<'_>,
) -> Result<JobEnd, AttributorError> {
    let list = market.jobs().job_list(&job.job_id).await?;
    let parked = market.parked().list(until.now()).await?;
    let mut worker = Worker {
        market,
        job,
        limits,
        cache: AggregateCache::of(job.shard).append_above(limits.append_above),
        snapshot: None,
        parked: parked.into_iter().map(|one| one.recipient).collect(),
        too_large: BTreeSet::new(),
    };
    while next < list.len() {
        let end = list.len().min(next + limits.batch_customers);
        next = match worker.fold_all(&list[next..end], until).await? {
            Folded::All => end,
            Folded::To(done) => next + done,
            Folded::JobDone => return Ok(JobEnd::Done),
        };
        if next < list.len() && until.is_over() {
            market.daily().take_parts(&mut worker.cache, true).await?;
            market.jobs().hand_over(job, Work::Fold { next }).await?;
            return Ok(JobEnd::HandedOver);
        }
    }
    market.daily().take_parts(&mut worker.cache, true).await?;
    market.jobs().job_done(job).await?;
    Ok(JobEnd::Done)
}

/// How folding some customers ended.
#[derive(PartialEq, Eq)]
enum Folded {
    /// All customers are folded, or parked.
    All,
    /// Time was up. So many customers from the first on are folded, or parked; of the others some may be.
    To(usize),
    /// Another worker has done the whole job.
    JobDone,
}

/// How folding some customers ends when time is up and these are left; `None` if the first of all is left, because the next
/// invocation would then begin where this one did.
fn stopped(all: &[Recipient], left: &[Recipient], more: &[Recipient]) -> Option<Folded> {
    let left: BTreeSet<&Recipient> = left.iter().chain(more).collect();
    let done = all.iter().position(|one| left.contains(one));
    done.filter(|done| *done > 0).map(Folded::To)
}

impl Worker<'_> {
    /// Folds customers until each is folded or parked, however often others change them in the meantime, or until time is up and
    /// at least the first is done.
    async fn fold_all(
        &mut self,
        customers: &[Recipient],
        until: Until<'_>,
    ) -> Result<Folded, AttributorError> {
        let now = until.now();
        let mut waiting: Vec<Recipient> = customers.to_vec();
        let mut heavy = Vec::new();
        while !waiting.is_empty() {
            // The order is: the version of the rules, then the rules, then the facts. So a change in between is noticed when the
            // fold is written.
            self.refresh().await?;
            let (light, rest) = self.read_light(waiting, &mut heavy, now).await?;
            let (light, changed) = self.without_moving(light).await?;
            match self.move_light(light, now).await? {
                Moved::Again(again) => {
                    waiting = rest.into_iter().chain(changed).chain(again).collect();
                }
                Moved::JobDone => return Ok(Folded::JobDone),
            }
            if until.is_over()
                && let Some(stopped) = stopped(customers, &waiting, &heavy)
            {
                return Ok(stopped);
            }
        }
        for (n, customer) in heavy.iter().enumerate() {
            if until.is_over()
                && let Some(stopped) = stopped(customers, &heavy[n..], &[])
            {
                return Ok(stopped);
            }
            loop {
                self.refresh().await?;
                let limit = self.limits.timeline_bytes;
                let facts = self.market.facts();
                let read = facts.customer_unless(customer, limit, &self.too_large, now);
                let facts = match read.await {
                    Ok(Ok(facts)) => facts,
                    Ok(Err(TooLarge(address))) => {
                        self.too_large.extend(address);
                        self.park(customer.clone(), ParkedFor::TimelineTooLarge, now)
                            .await?;
                        break;
                    }
                    Err(error) => {
                        self.park_unreadable(customer, error, now).await?;
                        break;
                    }
                };
                let one = vec![(customer.clone(), facts)];
                let (one, changed) = self.without_moving(one).await?;
                if !changed.is_empty() {
                    continue;
                }
                match self.move_light(one, now).await? {
                    Moved::Again(again) if again.is_empty() => break,
                    Moved::Again(_) => {}
                    Moved::JobDone => return Ok(Folded::JobDone),
                }
            }
        }
        Ok(Folded::All)
    }

    /// Reads the rules again if they changed.
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

    /// Reads as many customers as may be in memory at a time, and leaves the rest for another round. Heavy customers are set
    /// aside.
    async fn read_light(
        &self,
        customers: Vec<Recipient>,
        heavy: &mut Vec<Recipient>,
        now: Instant,
    ) -> Result<(Vec<(Recipient, CustomerFacts)>, Vec<Recipient>), AttributorError> {
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

    /// The customers who are to be folded. Whoever is being erased is skipped, and a customer of whom there is nothing, not even a
    /// root, is left without one: their name would come back. The second list has those who changed in the meantime.
    async fn without_moving(
        &mut self,
        read: Vec<(Recipient, CustomerFacts)>,
    ) -> Result<(Vec<(Recipient, CustomerFacts)>, Vec<Recipient>), AttributorError> {
        let (mut kept, mut changed) = (Vec::new(), Vec::new());
        for (customer, facts) in read {
            if facts.stored.is_moving {
                let contributions = self.market.contributions();
                if !contributions.skip(&customer, facts.stored.version).await? {
                    changed.push(customer);
                }
            } else if facts.is_nothing() {
                if self.parked.remove(&customer) {
                    self.market.parked().unpark(&customer).await?;
                }
            } else {
                kept.push((customer, facts));
            }
        }
        Ok((kept, changed))
    }

    /// Parks customers whose facts cannot be read, unless the table is only busy.
    async fn park_unreadable(
        &self,
        customer: &Recipient,
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

    /// Folds customers and moves them. If the table refuses, they are moved one by one, and the customers at fault are parked.
    async fn move_light(
        &mut self,
        light: Vec<(Recipient, CustomerFacts)>,
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
                let empty = AggregateCache::of(self.job.shard);
                self.cache = empty.append_above(self.limits.append_above);
                let mut again = Vec::new();
                for one in light {
                    match Box::pin(self.move_light(vec![one], now)).await? {
                        Moved::Again(more) => again.extend(more),
                        Moved::JobDone => return Ok(Moved::JobDone),
                    }
                }
                Ok(Moved::Again(again))
            }
            other => other,
        }
    }

    async fn move_some(
        &mut self,
        facts: &[(Recipient, CustomerFacts)],
        now: Instant,
    ) -> Result<Moved, AttributorError> {
        if facts.is_empty() {
            return Ok(Moved::Again(Vec::new()));
        }
        // There are no settings, so the marketplace is gone, and there is nothing to fold.
        let Some(snapshot) = &self.snapshot else {
            return Ok(Moved::JobDone);
        };
        let events = || facts.iter().flat_map(|(_, facts)| facts.all_events());
        if let Some(grown) = snapshot.catalog.witnessing(events()) {
            // The facts may be of an intake marker that is not closed yet, or never will be, or their campaign may be newer than
            // the catalog.
            for seen in observed(events()) {
                if grown.get(&seen.campaign_id) != snapshot.catalog.get(&seen.campaign_id) {
                    self.market.campaigns().observe_campaign(&seen, now).await?;
                }
            }
            self.snapshot = None;
            self.refresh().await?;
        }
        let Some(snapshot) = &self.snapshot else {
            return Ok(Moved::JobDone);
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
        recipient: Recipient,
        reason: ParkedFor,
        at: Instant,
    ) -> Result<(), AttributorError> {
        let parked = Parked {
            recipient,
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
    /// The rules whose version was seen before; `None` if the marketplace does not exist.
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

    /// True if the snapshot has the rules of this version.
    pub(crate) fn is_of(&self, seen: RulesSeen) -> bool {
        self.seen.version() == seen.version()
    }

    /// What folds depend on besides facts, and the first day that is folded.
    pub(crate) fn world<'s>(&'s self, market: &'s Market, now: Instant) -> (World<'s>, Day) {
        let look_back_ms = market.retention().look_back_ms();
        let (catalog, versions) = (&self.catalog, &self.versions);
        let world = World::new(market.id(), catalog, versions, Some(look_back_ms));
        let first_folded = market.retention().first_folded(world.day(now));
        (world, first_folded)
    }
}

/// What the facts of a customer or an address add up to.
pub(crate) fn contribution(
    facts: &CustomerFacts,
    world: &World<'_>,
    first_folded: Day,
) -> Contribution {
    Contribution::of(&facts.timelines(world), &facts.orders, world, first_folded)
}
