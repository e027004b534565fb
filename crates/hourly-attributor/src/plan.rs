//! Planning turns intake markers, and what settings and campaigns ask for, into jobs. Jobs are written before the intake markers
//! are deleted, so that every customer is always in one of the two.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::reach::Reattribution;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::value::address::{AddressHash, Recipient};
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::{Job, JobMessage, ListPlace, Work};
use revtrail_store::jobs::runs::RunState;
use revtrail_store::ledger::daily::AggregateCache;
use revtrail_store::ledger::intake::{IntakeMarker, MarkerPages};
use revtrail_store::ledger::purchases::RowPlace;
use revtrail_store::market::campaigns::{Observed, merge_observed};
use revtrail_store::market::{Market, Meta};

use crate::message::{message, message_plan};
use crate::settle::settle;
use crate::{AttributorError, JobEnd, JobLimits, Until};

/// How many intake markers are in memory at a time. If each is of a thousand records, they have some hundred MB, and usually a
/// tenth.
const MARKERS_AT_ONCE: usize = 4_000;
/// How many customers and addresses of intake markers are planned at a time. Each address is asked for its customers, which are some
/// five thousand a second, so the clock is looked at after at most some twenty seconds.
const RECIPIENTS_AT_ONCE: usize = 100_000;
/// How many intake markers an invocation plans in any case. Some of them may have to stay, and must not keep the others from their
/// turn.
const MARKERS_AT_LEAST: usize = 500;
/// How many jobs' customers are gathered before the jobs are written, so that a customer who is found twice among them is folded
/// once.
const GATHERED_JOBS: usize = 20;
/// How many addresses are asked for their customers at the same time.
const ADDRESSES_AT_ONCE: usize = 32;
/// How many customers of an address its plan folds with it.
const LINKED_AT_FIRST: i32 = 100;
/// How many customers of an address are read at once for the rest of them.
const LINKS_AT_ONCE: i32 = 1_000;
/// How many of the last days are still busy. The daily aggregates of the days before are merged into one shard.
const QUIET_DAYS: u32 = 2;
/// How many jobs are taken over in one transaction: DynamoDB allows 100 items, including the jobs that replace them.
const TAKEN_AT_ONCE: usize = 90;

/// Plans what changed in a marketplace, and points at every job that waits, and at the records that wait for promotions.
///
/// # Errors
/// As every call of the table: [`StoreError::is_busy`] says whether to try again. What is in no job yet is still in its intake
/// markers.
pub(crate) async fn plan(
    market: &Market,
    asked_run: Option<&str>,
    limits: JobLimits,
    until: Until<'_>,
) -> Result<Vec<JobMessage>, AttributorError> {
    let mut messages = plan_facts(market, asked_run, limits, until).await?;
    if !market.promotions().awaited(until.now()).await?.is_empty() {
        let marketplace = market.id().clone();
        messages.push(JobMessage::Admit { marketplace });
    }
    Ok(messages)
}

/// Plans the facts. A schedule's plan that finds nothing new leaves no run behind.
async fn plan_facts(
    market: &Market,
    asked_run: Option<&str>,
    limits: JobLimits,
    until: Until<'_>,
) -> Result<Vec<JobMessage>, AttributorError> {
    let now = until.now();
    let Some(versions) = market.settings().versions().await? else {
        return Ok(Vec::new());
    };
    // The count is read before the first name is.
    let meta = market.meta().await?;
    let zone = versions.newest().settings.timezone;
    let today = now.day(zone);
    if meta.split_from.is_none() {
        market.split_days(today).await?;
    }
    if meta.planned_to.is_some_and(|to| to.day(zone) < today) {
        // Once a day is enough. What this leaves is found on the days after it.
        let (quiet, clock) = (today.minus(QUIET_DAYS), until.clock);
        let lists = market.lists();
        lists
            .add_up_redemptions_in(quiet, clock, until.stop_at)
            .await?;
    }
    let asked_run = match asked_run {
        Some(run_id) => market.runs().run(run_id, now).await?,
        None => None,
    };
    // A message that comes a second time must not begin a run again that has ended.
    let asked_run = asked_run.filter(|run| run.state == RunState::Running);
    let mut markers = market.intake().pages().await?;
    // Jobs are read after the intake markers. Another plan writes jobs before its markers go, so what it took is seen in one of
    // the two.
    let waiting = market.jobs().jobs().await?;
    if asked_run.is_none() && markers.is_empty() && !waiting.iter().any(Job::is_asked) {
        if waiting.is_empty() {
            market.raise_idle(now).await?;
        } else {
            market.raise_planned_to(now).await?;
        }
        let mut messages = messages(market, waiting);
        messages.extend(settle(market, until).await?);
        return Ok(messages);
    }
    let asked = asked_run.is_some();
    let run_id = match asked_run {
        Some(run) => run.run_id,
        None => market.runs().start_run(None, now).await?,
    };
    if !markers.is_empty() {
        // This comes before the first intake marker goes: the events of a marker are folded by settings that were saved before.
        market.raise_settled_to(now).await?;
    }
    let mut gathered = Gathered::new(market, &run_id, meta, limits, now);
    match plan_run(asked, &mut markers, &versions, &mut gathered, until).await {
        Ok(messages) => Ok(messages),
        Err(AttributorError::Outdated) => Ok(vec![message_plan(market, Some(&run_id))]),
        Err(error) => {
            crate::run_met_error(market, &run_id).await;
            Err(error)
        }
    }
}

/// Takes in records that wait for a promotion that exists, as long as there is time. The call that made the promotion died, or
/// had too little time.
pub(crate) async fn admit(market: &Market, until: Until<'_>) -> Result<(), AttributorError> {
    for promotion in market.promotions().awaited(until.now()).await? {
        if until.is_over() {
            break;
        }
        if market.promotions().promotion(&promotion).await?.is_some() {
            market
                .redemptions()
                .admit_waiting(&promotion, until.clock, until.stop_at)
                .await?;
        }
    }
    Ok(())
}

async fn plan_run(
    asked: bool,
    markers: &mut MarkerPages<'_>,
    versions: &Versions,
    gathered: &mut Gathered<'_>,
    until: Until<'_>,
) -> Result<Vec<JobMessage>, AttributorError> {
    let (market, run_id, now) = (gathered.market, gathered.run_id, gathered.now);
    let whole = plan_markers(markers, versions, gathered, until).await?;
    // This comes after the intake markers, because what the markers say about campaigns asks for work too.
    let whole = whole && take_over(market, run_id, now, until).await?;
    if whole && asked {
        // Somebody who asks for a run wants the parked customers to be tried again. They are tried once, so this comes last.
        let parked = market.parked().list(now).await?;
        gathered
            .plan(parked.into_iter().map(|one| one.recipient))
            .await?;
    }
    if whole {
        market.runs().planned(run_id, until.now()).await?;
        market.raise_planned_to(now).await?;
    }
    market.campaigns().forget_known().await?;
    if market.meta().await?.spread {
        let today = now.day(versions.newest().settings.timezone);
        market
            .daily()
            .merge_quiet(today.minus(QUIET_DAYS), until.clock, until.stop_at)
            .await?;
    }
    let mut messages = messages(market, market.jobs().jobs().await?);
    if !whole {
        messages.push(message_plan(market, Some(run_id)));
    }
    messages.extend(settle(market, until).await?);
    Ok(messages)
}

/// The messages that point at the jobs of runs. Jobs that plan others come first, because they leave out customers whom a waiting
/// job folds anyway.
fn messages(market: &Market, mut jobs: Vec<Job>) -> Vec<JobMessage> {
    jobs.retain(|job| !job.is_asked());
    jobs.sort_by_key(|job| matches!(job.work, Work::Fold { .. }));
    jobs.iter().map(|job| message(market, job)).collect()
}

/// Takes in what intake markers say about campaigns, groups their customers into jobs, and deletes the intake markers that may
/// go. False if time was up before the last of them.
async fn plan_markers(
    markers: &mut MarkerPages<'_>,
    versions: &Versions,
    gathered: &mut Gathered<'_>,
    until: Until<'_>,
) -> Result<bool, AttributorError> {
    let cache = AggregateCache::of(0).split_from(gathered.meta.split_from);
    let mut cache = cache.append_above(gathered.limits.append_above);
    let mut held: Vec<IntakeMarker> = Vec::new();
    let mut recipients = 0;
    while let Some(page) = markers.next().await? {
        recipients += page.iter().map(|one| one.customers.len()).sum::<usize>();
        held.extend(page);
        // If reading them took all the time, those that were read are planned, and no more.
        let late = held.len() >= MARKERS_AT_LEAST && until.is_over();
        if held.len() >= MARKERS_AT_ONCE || recipients >= RECIPIENTS_AT_ONCE || late {
            recipients = 0;
            let some = std::mem::take(&mut held);
            let whole = plan_some(some, versions, gathered, &mut cache, until).await?;
            if !whole || until.is_over() {
                return Ok(false);
            }
        }
    }
    plan_some(held, versions, gathered, &mut cache, until).await
}

/// Plans some intake markers. False if time was up while it took in what they say about campaigns, each of which is a transaction:
/// the markers stay, and the next invocation begins where this one stopped, because it finds those campaigns known.
async fn plan_some(
    markers: Vec<IntakeMarker>,
    versions: &Versions,
    gathered: &mut Gathered<'_>,
    cache: &mut AggregateCache,
    until: Until<'_>,
) -> Result<bool, AttributorError> {
    let (market, now) = (gathered.market, gathered.now);
    // The send times come first, because the work that is planned below must see them.
    let observed = merge_observed(
        markers
            .iter()
            .flat_map(|marker| marker.campaigns.iter().cloned()),
    );
    if !observed.is_empty() {
        let catalog = market.campaigns().catalog().await?;
        let unknown = observed.iter().filter(|seen| !seen.is_known(&catalog));
        let unknown: Vec<&Observed> = unknown.collect();
        for (n, seen) in unknown.iter().enumerate() {
            market.campaigns().observe_campaign(seen, now).await?;
            if n + 1 < unknown.len() && until.is_over() {
                return Ok(false);
            }
        }
    }
    let customers = markers
        .iter()
        .flat_map(|marker| marker.customers.iter().cloned());
    gathered.add(customers).await?;
    let touched = markers.iter().flat_map(|marker| &marker.customers);
    let addresses = touched.filter_map(Recipient::address).collect();
    gathered.add_linked(addresses).await?;
    gathered.flush().await?;
    let going: Vec<IntakeMarker> = markers
        .into_iter()
        .filter(|marker| marker.may_go(now))
        .collect();
    market
        .daily()
        .absorb_markers(&going, versions, cache, now)
        .await?;
    Ok(true)
}

/// Makes jobs of this run of what settings and campaigns asked for. All periods become one, so that a customer whom several
/// changes touch is folded once. False if time was up before the last of them: what is left is still asked for.
async fn take_over(
    market: &Market,
    run_id: &str,
    now: Instant,
    until: Until<'_>,
) -> Result<bool, AttributorError> {
    let jobs = market.jobs().jobs().await?;
    let asked: Vec<Job> = jobs.into_iter().filter(Job::is_asked).collect();
    let spans = asked.iter().filter_map(|job| match job.work {
        Work::Reattribution { span, .. } => Some(span),
        _ => None,
    });
    let reattribute = spans.reduce(Reattribution::both).map(Work::reattribute);
    let reattribute_all = |job: &Job| matches!(job.work, Work::ReattributeAll { .. });
    let reattribute_all = asked
        .iter()
        .any(reattribute_all)
        .then_some(Work::ReattributeAll { after: None });
    let new = |work| Job::new(work, Some(run_id.to_owned()), 0, 0, now);
    let mut taken: Vec<Job> = reattribute
        .into_iter()
        .chain(reattribute_all)
        .map(new)
        .collect();
    let planned = taken.len() as i64;
    let mut chunks = asked.chunks(TAKEN_AT_ONCE);
    while let Some(asked) = chunks.next() {
        if !taken.is_empty() {
            market.runs().plans(run_id, planned).await?;
        }
        if !market.jobs().take_over(asked, &taken).await? {
            // Another plan was faster. What that plan left is for the next one.
            if !taken.is_empty() {
                market.runs().plans(run_id, -planned).await?;
            }
            return Ok(true);
        }
        taken.clear();
        if chunks.len() > 0 && until.is_over() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Plans folds of the customers whose orders a change touches. Customers who are already in jobs under the same rules are left
/// out, because those jobs fold them.
pub(crate) async fn reattribute(
    market: &Market,
    job: &Job,
    (span, place): (Reattribution, Option<RowPlace>),
    limits: JobLimits,
    until: Until<'_>,
) -> Result<(JobEnd, Vec<JobMessage>), AttributorError> {
    let now = until.now();
    let mut gathered = Gathered::following(market, job, limits, now).await?;
    let rules = market.settings().rules_seen(0).await?.version();
    let mut cared_for = BTreeSet::new();
    let folds = |job: &&Job| matches!(job.work, Work::Fold { .. }) && job.rules == rules;
    let waiting = market.jobs().jobs().await?;
    for job in waiting.iter().filter(folds).take(GATHERED_JOBS) {
        cared_for.extend(market.jobs().job_list(&job.job_id).await?);
    }
    let mut reattributed = market.purchases().reattributed(span, place, now).await?;
    while let Some(customers) = reattributed.next().await? {
        let customers = customers.into_iter().map(Recipient::from);
        let others = customers.filter(|one| !cared_for.contains(one));
        gathered.add(others).await?;
        let place = reattributed.place();
        if until.is_over() && place.is_some() {
            return gathered
                .hand_over(job, Work::Reattribution { span, place })
                .await;
        }
    }
    gathered.done(job).await
}

/// Plans folds of everybody who was ever in a job.
pub(crate) async fn reattribute_all(
    market: &Market,
    job: &Job,
    after: Option<ListPlace>,
    limits: JobLimits,
    until: Until<'_>,
) -> Result<(JobEnd, Vec<JobMessage>), AttributorError> {
    let now = until.now();
    let mut gathered = Gathered::following(market, job, limits, now).await?;
    let mut place = after.unwrap_or_else(ListPlace::anywhere);
    loop {
        let (lists, next) = market.jobs().job_lists(place, now).await?;
        for (_, customers) in lists {
            gathered.add(customers).await?;
        }
        let Some(next) = next else {
            return gathered.done(job).await;
        };
        if until.is_over() {
            let after = Some(next);
            return gathered
                .hand_over(job, Work::ReattributeAll { after })
                .await;
        }
        place = next;
    }
}

/// Plans folds of the customers of an address that are left, a page of links at a time.
pub(crate) async fn fold_linked(
    market: &Market,
    job: &Job,
    (address, mut after): (AddressHash, Option<String>),
    limits: JobLimits,
    until: Until<'_>,
) -> Result<(JobEnd, Vec<JobMessage>), AttributorError> {
    let now = until.now();
    let mut gathered = Gathered::following(market, job, limits, now).await?;
    loop {
        let links = market.links();
        let page = links.customers_of(address, after, LINKS_AT_ONCE, now);
        let (customers, next) = page.await?;
        gathered
            .add(customers.into_iter().map(Recipient::from))
            .await?;
        after = next;
        if after.is_none() {
            return gathered.done(job).await;
        }
        if until.is_over() {
            let rest = Work::FoldLinked { address, after };
            return gathered.hand_over(job, rest).await;
        }
    }
}

/// Customers and addresses who are being gathered into jobs.
struct Gathered<'g> {
    market: &'g Market,
    run_id: &'g str,
    /// What held for the marketplace before the customers were read.
    meta: Meta,
    limits: JobLimits,
    now: Instant,
    /// The time at which the jobs are planned. Jobs that follow from another job have the time of that job.
    at: Instant,
    customers: BTreeSet<Recipient>,
    messages: Vec<JobMessage>,
}

impl<'g> Gathered<'g> {
    fn new(
        market: &'g Market,
        run_id: &'g str,
        meta: Meta,
        limits: JobLimits,
        now: Instant,
    ) -> Self {
        Self {
            market,
            run_id,
            meta,
            limits,
            now,
            at: now,
            customers: BTreeSet::new(),
            messages: Vec::new(),
        }
    }

    /// Customers whose jobs follow from another job. That job belongs to a run, because nobody works on jobs without one.
    async fn following(
        market: &'g Market,
        job: &'g Job,
        limits: JobLimits,
        now: Instant,
    ) -> Result<Self, AttributorError> {
        let run_id = job.run_id.as_deref().unwrap_or_default();
        let meta = market.meta().await?;
        Ok(Self {
            at: job.at,
            ..Self::new(market, run_id, meta, limits, now)
        })
    }

    async fn add(
        &mut self,
        customers: impl IntoIterator<Item = Recipient>,
    ) -> Result<(), AttributorError> {
        self.customers.extend(customers);
        if self.customers.len() >= GATHERED_JOBS * self.limits.job_customers {
            self.flush().await?;
        }
        Ok(())
    }

    /// Gathers the customers whose orders named some of these addresses. The first of an address are gathered here, and a job of its own
    /// gathers the rest: ten thousand customers of a call centre must not keep the others from their turn.
    async fn add_linked(
        &mut self,
        addresses: BTreeSet<AddressHash>,
    ) -> Result<(), AttributorError> {
        let links = self.market.links();
        let now = self.now;
        let reads = addresses.into_iter().map(|address| async move {
            let first = links.customers_of(address, None, LINKED_AT_FIRST, now);
            Ok::<_, AttributorError>((address, first.await?))
        });
        let mut reads = stream::iter(Vec::from_iter(reads)).buffer_unordered(ADDRESSES_AT_ONCE);
        // All are read before anything is written: a read that began must not wait for it.
        let mut rest = Vec::new();
        while let Some((address, (customers, after))) = reads.try_next().await? {
            let customers = customers.into_iter().map(Recipient::from);
            self.customers.extend(customers);
            rest.extend(after.map(|after| (address, Some(after))));
        }
        drop(reads);
        for (address, after) in rest {
            let run_id = Some(self.run_id.to_owned());
            let work = Work::FoldLinked { address, after };
            let job = Job::new(work, run_id, 0, 0, self.at);
            self.market.runs().plans(self.run_id, 1).await?;
            self.market.jobs().add(&job).await?;
            self.messages.push(message(self.market, &job));
        }
        Ok(())
    }

    /// Gathers these customers, and writes the jobs of all.
    async fn plan(
        &mut self,
        customers: impl IntoIterator<Item = Recipient>,
    ) -> Result<(), AttributorError> {
        self.add(customers).await?;
        self.flush().await
    }

    /// Writes the jobs of the gathered customers. The jobs are put on record first, so that no more can be done than were
    /// planned. If somebody was erased since the customers were read, they must be read again.
    async fn flush(&mut self) -> Result<(), AttributorError> {
        let customers: Vec<Recipient> = std::mem::take(&mut self.customers).into_iter().collect();
        let lists: Vec<&[Recipient]> = customers.chunks(self.limits.job_customers).collect();
        if lists.is_empty() {
            return Ok(());
        }
        let shards = usize::from(self.limits.shards).min(lists.len());
        if shards > 1 {
            self.market.mark_spread().await?;
        }
        self.market
            .runs()
            .plans(self.run_id, lists.len() as i64)
            .await?;
        // The folds of a job use these rules or newer ones.
        let rules = self.market.settings().rules_seen(0).await?.version();
        // They check one item, so two at the same time would meet.
        for (i, list) in lists.iter().enumerate() {
            let Some(message) = self.add_fold((i % shards) as u8, rules, list).await? else {
                let unwritten = lists.len() - i;
                let runs = self.market.runs();
                runs.plans(self.run_id, -(unwritten as i64)).await?;
                return Err(AttributorError::Outdated);
            };
            self.messages.push(message);
        }
        Ok(())
    }

    async fn add_fold(
        &self,
        shard: u8,
        rules: i64,
        list: &[Recipient],
    ) -> Result<Option<JobMessage>, AttributorError> {
        let run_id = Some(self.run_id.to_owned());
        let job = Job::new(Work::Fold { next: 0 }, run_id, shard, rules, self.at);
        let jobs = self.market.jobs();
        let added = jobs
            .add_fold(&job, list, self.meta.erasures, self.now)
            .await?;
        Ok(added.then(|| message(self.market, &job)))
    }

    async fn hand_over(
        mut self,
        job: &Job,
        rest: Work,
    ) -> Result<(JobEnd, Vec<JobMessage>), AttributorError> {
        self.flush().await?;
        self.market.jobs().hand_over(job, rest).await?;
        Ok((JobEnd::HandedOver, self.messages))
    }

    async fn done(mut self, job: &Job) -> Result<(JobEnd, Vec<JobMessage>), AttributorError> {
        self.flush().await?;
        self.market.jobs().job_done(job).await?;
        Ok((JobEnd::Done, self.messages))
    }
}
