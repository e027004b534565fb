//! Contributions as they are stored, and the one write that matters: it replaces customers' contributions and moves the daily
//! aggregates and purchase rows by the difference, in one transaction, each under its version.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::figures::counters::{Counter, Counters};
use revtrail_core::figures::daily::Aggregate;
use revtrail_core::figures::fold::{Contribution, DayPart, OrderLine};
use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::{Day, Instant, LEAVING_DAYS};
use serde::{Deserialize, Serialize};

use crate::jobs::job::{Job, Progress};
use crate::ledger::daily::{AggregateCache, FAILURES_MAX};
use crate::market::settings::RulesSeen;
use crate::market::{Market, TRIES_MAX};
use crate::table::attributes::{VERSION, root};
use crate::table::client::{Range, Reading, last};
use crate::table::condition::Condition;
use crate::table::contention::backoff;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, sk, text, unreadable, version};
use crate::table::keys::{self, CustomerItem};
use crate::table::write::{TRANSACTION_BYTES_MAX, TRANSACTION_ITEMS_MAX, Transacted, Write};

/// The length of a month's name, like 2026-11.
const MONTH_BYTES: usize = 7;
/// A transaction that is too large is rebuilt with fewer items, but no fewer than these: at most ten of them are daily
/// aggregates.
const ITEMS_MAX_LEAST: usize = 12;
/// The most bytes of days in a root; above them, the root gives its older days to chunks. A write unit is 1 KB, and what else a
/// root holds has up to 220 bytes.
const ROOT_BYTES_MAX: usize = 800;
/// How many bytes of its newest days a root keeps when it gives days to chunks.
const ROOT_BYTES_KEPT: usize = 500;

/// How many runs a root remembers: the last ones. Runs overlap if one takes longer than the time until the next, or if somebody
/// asks for one. A run counts a customer twice only if three other runs folded the customer between two of its own folds.
const RUNS_KEPT: usize = 3;

/// What the daily aggregates hold of a customer, and which items store it.
#[derive(Debug, Clone, Default)]
pub struct StoredContribution {
    /// The version of the root; 0 if there is none.
    pub version: i64,
    /// The job that folded the customer last.
    pub job_id: String,
    /// The runs that folded the customer last, newest first, each with how many of the customer's orders it counted.
    runs: Vec<(String, i64)>,
    /// True while the customer is being erased: only a part of the facts is here, and they are not to be folded.
    pub is_moving: bool,
    days: BTreeMap<Day, StoredPart>,
}

#[derive(Debug, Clone)]
struct StoredPart {
    part: DayPart,
    place: ChangePosition,
}

/// Which item stores a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChangePosition {
    Root,
    /// The day is in a chunk with the other days of its month.
    Month,
    /// The day is in a chunk of its own: it is large, and a month of such days would not fit into one item.
    Day,
}

/// A day with more bytes of JSON than this is stored alone. 31 smaller days, compressed, stay far below an item's 400 KB.
const ALONE_BYTES_MIN: usize = 20_000;

/// The days that one item holds.
#[derive(Serialize, Deserialize)]
struct Days(BTreeMap<Day, DayPart>);

impl StoredContribution {
    /// Takes in the root or a chunk.
    pub(crate) fn take(&mut self, item: &Item) -> Result<(), StoreError> {
        let place = match keys::customer_item(sk(item)) {
            Some(CustomerItem::Chunk(name)) if name.len() == MONTH_BYTES => ChangePosition::Month,
            Some(CustomerItem::Chunk(_)) => ChangePosition::Day,
            _ => ChangePosition::Root,
        };
        if place == ChangePosition::Root {
            self.version = version(item);
            text(item, root::JOB).clone_into(&mut self.job_id);
            self.is_moving = item.contains_key(root::MOVING);
            self.runs = match text(item, root::RUNS) {
                "" => Vec::new(),
                runs => serde_json::from_str(runs).map_err(|why| unreadable(item, why))?,
            };
        }
        let Days(days) = data(item)?;
        self.days.extend(
            days.into_iter()
                .map(|(day, part)| (day, StoredPart { part, place })),
        );
        Ok(())
    }

    /// What the daily aggregates hold of the customer, from this day on.
    pub fn since(&self, first: Day) -> Contribution {
        Contribution {
            days: self
                .days
                .range(first..)
                .map(|(&day, stored)| (day, stored.part.clone()))
                .collect(),
        }
    }

    /// True if some day counts something of this kind.
    pub fn counts(&self, counter: Counter) -> bool {
        let parts = self.days.values().flat_map(|stored| &stored.part.counters);
        parts
            .into_iter()
            .any(|(_, _, counters)| counters[counter] != 0)
    }

    /// All orders as the last fold decided them, with their days.
    pub fn lines(&self) -> impl Iterator<Item = (Day, &OrderLine)> {
        let days = self.days.iter();
        days.flat_map(|(&day, stored)| stored.part.orders.iter().map(move |line| (day, line)))
    }

    /// An order as the last fold decided it.
    pub fn line(&self, order: &revtrail_core::value::id::OrderId) -> Option<&OrderLine> {
        self.days
            .values()
            .flat_map(|stored| &stored.part.orders)
            .find(|line| line.order_id == *order)
    }
}

/// The new contribution of a customer or an address, and the stored one that it replaces.
#[derive(Debug)]
pub struct Move {
    /// The customer or the address whose contribution it is.
    pub customer: Recipient,
    /// The contribution that was stored before the first fact was read.
    pub stored: StoredContribution,
    /// What the facts add up to, for the days that are folded.
    pub new: Contribution,
}

/// How a move ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// All customers were moved except these: another worker changed them in the meantime, and they must be folded again.
    Again(Vec<Recipient>),
    /// The job is done: another worker had it too, and nothing is left to do for this one.
    JobDone,
}

/// One change that cannot be divided further.
#[derive(Debug)]
enum DayChange {
    Gauges(
        Day,
        Vec<(
            CampaignId,
            revtrail_core::attribution::event::Channel,
            Counters,
        )>,
    ),
    /// An order's line on a day: the stored one, and the one that replaces it.
    Order(Day, Option<Box<OrderLine>>, Option<Box<OrderLine>>),
}

impl DayChange {
    fn day(&self) -> Day {
        match self {
            Self::Gauges(day, _) | Self::Order(day, ..) => *day,
        }
    }
}

/// A customer on the way from the stored contribution to the new one.
struct PendingMove {
    customer: Recipient,
    stored: StoredContribution,
    orders: i64,
    changes: VecDeque<DayChange>,
}

/// What one transaction changes of a customer.
struct MoveStep {
    customer: usize,
    changes: usize,
    stored: StoredContribution,
}

/// One transaction that is being built.
#[derive(Default)]
struct MoveBatch {
    steps: Vec<MoveStep>,
    writes: Vec<Write>,
    /// For each write, the index of the customer that it belongs to.
    owners: Vec<usize>,
    bytes: usize,
    differences: BTreeMap<Day, Aggregate<CampaignId>>,
}

/// The contributions of one marketplace. Reached by [`Market::contributions`].
#[derive(Debug, Clone, Copy)]
pub struct Contributions<'m> {
    market: &'m Market,
}

impl Market {
    /// The contributions of one marketplace.
    pub fn contributions(&self) -> Contributions<'_> {
        Contributions { market: self }
    }
}

impl Contributions<'_> {
    /// What is stored of a customer, all of it as of one time, without the facts.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. [`StoreError::Contended`] if the customer is
    /// folded again and again meanwhile.
    pub async fn stored(self, customer: &Recipient) -> Result<StoredContribution, StoreError> {
        let (pk, root) = (
            keys::customer(&self.market.id, customer),
            keys::root(&self.market.id, customer),
        );
        let range = Range::Between(root.sk.clone(), last(keys::CHUNK_PREFIX));
        for attempt in 0..TRIES_MAX {
            let store = &self.market.store;
            let mut stored = StoredContribution::default();
            for item in store.query(&pk, &range, Reading::STRONG).await? {
                stored.take(&item)?;
            }
            // A fold that was written between two of the items has raised the version of the root.
            let root = store.get(&root, true).await?;
            if root.as_ref().map_or(0, version) == stored.version {
                return Ok(stored);
            }
            backoff(attempt).await;
        }
        Err(StoreError::Contended {
            op: "reading a contribution",
        })
    }

    /// Moves customers to their new contributions, as many in one transaction as fit. A difference that fits into no transaction
    /// is moved in steps, and after each step the daily aggregates are the sum of the contributions. A customer without any
    /// difference still gets a new version, so that a worker that froze with an older fold can no longer write it. Each
    /// transaction also counts, on the job, what it moved.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. What moved before stays moved.
    pub async fn move_all(
        self,
        job: &Job,
        moves: Vec<Move>,
        rules: RulesSeen,
        first_folded: Day,
        cache: &mut AggregateCache,
        now: Instant,
    ) -> Result<Moved, StoreError> {
        let mut again = Vec::new();
        cache.split_from = rules.split_from;
        let mut pending: Vec<Option<PendingMove>> = moves
            .into_iter()
            .map(|one| Some(PendingMove::of(one, first_folded)))
            .collect();
        let mut failures = 0;
        let mut items_max = TRANSACTION_ITEMS_MAX;
        while pending.iter().any(Option::is_some) {
            let batch = self.batch(job, &pending, rules, first_folded, items_max, now);
            let own = batch.writes.len();
            let mut writes = batch.writes;
            let aggregates = self
                .market
                .daily()
                .aggregate_writes(cache, &batch.differences)
                .await?;
            let aggregate_bytes: Vec<usize> = aggregates.iter().map(Write::bytes).collect();
            writes.extend(aggregates);
            // The size of the daily aggregates is known only now. If the transaction is too large, it is made again with fewer
            // days.
            let bytes: usize = writes.iter().map(Write::bytes).sum();
            if bytes > TRANSACTION_BYTES_MAX && items_max > ITEMS_MAX_LEAST {
                items_max = (items_max / 2).max(ITEMS_MAX_LEAST);
                continue;
            }
            items_max = TRANSACTION_ITEMS_MAX;
            let mut progress = Progress::default();
            for step in &batch.steps {
                progress.take(&pending[step.customer], step, job.run_name());
            }
            writes.push(self.market.jobs().count_write(job, &progress));
            writes.push(self.market.settings().check_rules(rules));
            match self.market.store.transact(writes).await? {
                Transacted::Done => {
                    failures = 0;
                    super::daily::Daily::aggregates_written(
                        cache,
                        &batch.differences,
                        aggregate_bytes.into_iter(),
                    );
                    for step in batch.steps {
                        let shard = &mut pending[step.customer];
                        if let Some(one) = shard.take_if(|one| one.changes.len() == step.changes) {
                            drop(one);
                        } else if let Some(one) = shard {
                            one.changes.drain(..step.changes);
                            one.stored = step.stored;
                        }
                    }
                    self.market.daily().take_parts(cache, false).await?;
                }
                Transacted::Cancelled(faults) => {
                    failures += 1;
                    if failures > FAILURES_MAX {
                        return Err(StoreError::Contended {
                            op: "moving contributions",
                        });
                    }
                    let (job_fault, rules_fault) = (faults.iter().rev().nth(1), faults.last());
                    if job_fault == Some(&Fault::Condition) {
                        return Ok(Moved::JobDone);
                    }
                    if rules_fault == Some(&Fault::Condition) {
                        // The rules changed, so everybody who is left must be folded again under the new ones.
                        again.extend(pending.into_iter().flatten().map(|one| one.customer));
                        return Ok(Moved::Again(again));
                    }
                    super::daily::Daily::aggregates_at_fault(
                        cache,
                        &batch.differences,
                        &faults[own..],
                    );
                    let lost: BTreeSet<usize> = batch
                        .owners
                        .iter()
                        .zip(&faults)
                        .filter(|(_, fault)| **fault == Fault::Condition)
                        .map(|(owner, _)| *owner)
                        .collect();
                    for customer in lost {
                        again.extend(pending[customer].take().map(|pending| pending.customer));
                    }
                }
            }
        }
        Ok(Moved::Again(again))
    }

    /// Skips the fold of a customer who is being erased, by raising the version that was read: so the erasure sees that it was
    /// skipped, and plans another. False if the customer changed in the meantime.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn skip(self, customer: &Recipient, version: i64) -> Result<bool, StoreError> {
        let key = keys::root(&self.market.id, customer);
        let one = vec![(":one", AttributeValue::N("1".to_owned()))];
        let seen = Some(Condition::version(version));
        let store = &self.market.store;
        let expression = format!("ADD {VERSION} :one");
        store.update(&key, &expression, one, seen).await
    }

    /// The next transaction: customers in order, whole ones as long as they fit. If the first does not fit, a step is cut from
    /// it.
    fn batch(
        self,
        job: &Job,
        pending: &[Option<PendingMove>],
        rules: RulesSeen,
        first_folded: Day,
        items_max: usize,
        now: Instant,
    ) -> MoveBatch {
        let mut batch = MoveBatch::default();
        for (i, one) in pending.iter().enumerate() {
            let Some(one) = one else { continue };
            let mut take = one.changes.len();
            loop {
                let step = one.step(i, take, job, first_folded);
                let (writes, differences) = self.step_writes(one, &step, rules, now);
                if batch.fits(&writes, &differences, items_max) {
                    batch.add(step, writes, &differences);
                    break;
                }
                if !batch.steps.is_empty() {
                    return batch;
                }
                if take <= 1 {
                    // One change is a root, a chunk or two, two rows and a daily aggregate, so it always fits.
                    batch.add(step, writes, &differences);
                    return batch;
                }
                take = if take > 2 * TRANSACTION_ITEMS_MAX {
                    TRANSACTION_ITEMS_MAX
                } else {
                    take - take.div_ceil(8)
                };
            }
            if batch
                .steps
                .last()
                .is_some_and(|step| step.changes < one.changes.len())
            {
                return batch;
            }
        }
        batch
    }

    /// The writes of a step except those of the daily aggregates, and what the step adds to the daily aggregates.
    fn step_writes(
        self,
        pending: &PendingMove,
        step: &MoveStep,
        rules: RulesSeen,
        now: Instant,
    ) -> (Vec<Write>, BTreeMap<Day, Aggregate<CampaignId>>) {
        let mut writes =
            self.contribution_writes(&pending.customer, &pending.stored, &step.stored, now);
        let mut days = BTreeSet::new();
        for change in pending.changes.iter().take(step.changes) {
            days.insert(change.day());
            if let DayChange::Order(day, old, new) = change {
                let rows = self.market.purchases();
                let key = |line: &OrderLine| rows.row_key(rules.split_from, *day, line);
                let (stood, key) = (old.as_deref().map(key), new.as_deref().map(key));
                if let Some(stood) = stood.filter(|stood| key.as_ref() != Some(stood)) {
                    writes.push(self.market.store.delete_write(&stood, None));
                }
                // Only customers have orders.
                if let (Some(key), Some(new)) = (key, new)
                    && let Some(customer) = pending.customer.customer()
                {
                    writes.push(rows.put_row(&key, *day, customer, new));
                }
            }
        }
        let aggregate = |stored: &StoredContribution, day: Day| {
            stored
                .days
                .get(&day)
                .map(|stored| stored.part.aggregate())
                .unwrap_or_default()
        };
        let mut differences = BTreeMap::new();
        for day in days {
            let mut difference = aggregate(&step.stored, day);
            difference.subtract(&aggregate(&pending.stored, day));
            if !difference.is_empty() {
                differences.insert(day, difference);
            }
        }
        (writes, differences)
    }

    /// Writes of the root, always and under its version, and of the chunks that changed.
    fn contribution_writes(
        self,
        customer: &Recipient,
        old: &StoredContribution,
        new: &StoredContribution,
        now: Instant,
    ) -> Vec<Write> {
        let gone_at = now.plus_ms(self.market.retention.keep_ms());
        let root = NewItem::at(&keys::root(&self.market.id, customer))
            .number(VERSION, new.version)
            .text(root::JOB, &*new.job_id)
            .json(root::RUNS, &new.runs)
            .data(&new.root())
            .expires(gone_at);
        let mut writes = vec![
            self.market
                .store
                .put_write(root, Some(Condition::version(old.version))),
        ];
        let (before, after) = (old.chunks(), new.chunks());
        for (name, days) in &after {
            if before.get(name) != Some(days) {
                let chunk = NewItem::at(&keys::chunk(&self.market.id, customer, name));
                writes.push(
                    self.market
                        .store
                        .put_write(chunk.packed(days).expires(gone_at), None),
                );
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            let key = keys::chunk(&self.market.id, customer, name);
            writes.push(self.market.store.delete_write(&key, None));
        }
        writes
    }
}

impl StoredContribution {
    /// What a whole fold adds to the counts of its run: the customer and their orders, less what the run has counted before.
    fn not_counted_by(&self, run: &str, orders: i64) -> (i64, i64) {
        let before = self.runs.iter().find(|(name, _)| name == run);
        before.map_or((1, orders), |(_, counted)| (0, (orders - counted).max(0)))
    }

    /// Remembers in the root what a run has counted, in the transaction that counts it.
    fn remember(&mut self, run: &str, orders: i64) {
        let counted = self.runs.iter().position(|(name, _)| name == run);
        let counted = counted.map_or(0, |place| self.runs.remove(place).1);
        self.runs.insert(0, (run.to_owned(), orders.max(counted)));
        self.runs.truncate(RUNS_KEPT);
    }

    fn root(&self) -> BTreeMap<&Day, &DayPart> {
        self.days
            .iter()
            .filter(|(_, stored)| stored.place == ChangePosition::Root)
            .map(|(day, stored)| (day, &stored.part))
            .collect()
    }

    fn chunks(&self) -> BTreeMap<String, BTreeMap<&Day, &DayPart>> {
        let mut chunks: BTreeMap<String, BTreeMap<&Day, &DayPart>> = BTreeMap::new();
        for (day, stored) in &self.days {
            let name = match stored.place {
                ChangePosition::Root => continue,
                ChangePosition::Month => day.to_string()[..MONTH_BYTES].to_owned(),
                ChangePosition::Day => day.to_string(),
            };
            chunks.entry(name).or_default().insert(day, &stored.part);
        }
        chunks
    }

    fn apply(&mut self, change: &DayChange) {
        let stored = self.days.entry(change.day()).or_insert_with(|| StoredPart {
            part: DayPart::default(),
            place: ChangePosition::Root,
        });
        match change {
            DayChange::Gauges(_, counters) => stored.part.counters.clone_from(counters),
            DayChange::Order(_, old, new) => {
                let id = new.as_ref().or(old.as_ref()).map(|line| &line.order_id);
                stored.part.orders.retain(|line| Some(&line.order_id) != id);
                stored.part.orders.extend(new.as_deref().cloned());
                stored
                    .part
                    .orders
                    .sort_by(|a, b| (a.placed_at, &a.order_id).cmp(&(b.placed_at, &b.order_id)));
            }
        }
        if stored.part == DayPart::default() {
            self.days.remove(&change.day());
        }
    }

    /// Puts every day where it belongs. A root that grew too large gives its older days to chunks, and a day that grew too large
    /// is stored alone. Days that no fold adds up any more, in whatever time zone, leave the root. A day that a fold still adds
    /// up must stay, because the fold would add it a second time.
    fn tidy(&mut self, first_folded: Day) {
        let forgotten_before = first_folded.minus(LEAVING_DAYS);
        self.days
            .retain(|day, stored| *day >= forgotten_before || stored.place != ChangePosition::Root);
        let bytes = |part: &DayPart| serde_json::to_string(part).map_or(0, |text| text.len() + 14);
        let mut total = 0;
        for stored in self.days.values_mut() {
            match stored.place {
                ChangePosition::Root => total += bytes(&stored.part),
                ChangePosition::Month if bytes(&stored.part) > ALONE_BYTES_MIN => {
                    stored.place = ChangePosition::Day
                }
                ChangePosition::Month | ChangePosition::Day => {}
            }
        }
        if total <= ROOT_BYTES_MAX {
            return;
        }
        let mut kept = 0;
        for stored in self.days.values_mut().rev() {
            if stored.place == ChangePosition::Root {
                let size = bytes(&stored.part);
                kept += size;
                stored.place = match (kept <= ROOT_BYTES_KEPT, size > ALONE_BYTES_MIN) {
                    (true, _) => ChangePosition::Root,
                    (false, false) => ChangePosition::Month,
                    (false, true) => ChangePosition::Day,
                };
            }
        }
    }
}

impl PendingMove {
    fn of(one: Move, first_folded: Day) -> Self {
        let old = one.stored.since(first_folded);
        let nothing = DayPart::default();
        let mut changes = VecDeque::new();
        let days: BTreeSet<Day> = old
            .days
            .keys()
            .chain(one.new.days.keys())
            .copied()
            .collect();
        for day in days {
            let (before, after) = (
                old.days.get(&day).unwrap_or(&nothing),
                one.new.days.get(&day).unwrap_or(&nothing),
            );
            if before.counters != after.counters {
                changes.push_back(DayChange::Gauges(day, after.counters.clone()));
            }
            let by_id = |part: &DayPart| -> BTreeMap<_, _> {
                part.orders
                    .iter()
                    .map(|line| (line.order_id.clone(), line.clone()))
                    .collect()
            };
            let (mut before, after) = (by_id(before), by_id(after));
            for (id, line) in after {
                let stood = before.remove(&id);
                if stood.as_ref() != Some(&line) {
                    changes.push_back(DayChange::Order(
                        day,
                        stood.map(Box::new),
                        Some(Box::new(line)),
                    ));
                }
            }
            changes.extend(
                before
                    .into_values()
                    .map(|line| DayChange::Order(day, Some(Box::new(line)), None)),
            );
        }
        let orders = one
            .new
            .days
            .values()
            .map(|part| part.orders.len() as i64)
            .sum();
        Self {
            customer: one.customer,
            stored: one.stored,
            orders,
            changes,
        }
    }

    fn step(&self, customer: usize, changes: usize, job: &Job, first_folded: Day) -> MoveStep {
        let mut stored = self.stored.clone();
        stored.version += 1;
        stored.job_id.clone_from(&job.job_id);
        if changes == self.changes.len() {
            stored.remember(job.run_name(), self.orders);
        }
        for change in self.changes.iter().take(changes) {
            stored.apply(change);
        }
        stored.tidy(first_folded);
        MoveStep {
            customer,
            changes,
            stored,
        }
    }
}

impl MoveBatch {
    fn fits(
        &self,
        writes: &[Write],
        differences: &BTreeMap<Day, Aggregate<CampaignId>>,
        items_max: usize,
    ) -> bool {
        let new_days = differences
            .keys()
            .filter(|day| !self.differences.contains_key(day))
            .count();
        let items = self.writes.len() + writes.len() + self.differences.len() + new_days;
        let bytes: usize = writes.iter().map(Write::bytes).sum();
        // Two more items: one counts on the job, and one checks the rules.
        items + 2 <= items_max && self.bytes + bytes <= TRANSACTION_BYTES_MAX / 2
    }

    fn add(
        &mut self,
        step: MoveStep,
        writes: Vec<Write>,
        differences: &BTreeMap<Day, Aggregate<CampaignId>>,
    ) {
        self.bytes += writes.iter().map(Write::bytes).sum::<usize>();
        self.owners
            .extend(std::iter::repeat_n(step.customer, writes.len()));
        self.writes.extend(writes);
        for (&day, difference) in differences {
            self.differences.entry(day).or_default().add(difference);
        }
        self.steps.push(step);
    }
}

impl Progress {
    /// Counts what a step does to a customer.
    fn take(&mut self, pending: &Option<PendingMove>, step: &MoveStep, run: &str) {
        let Some(pending) = pending else { return };
        for change in pending.changes.iter().take(step.changes) {
            let DayChange::Order(_, old, new) = change else {
                continue;
            };
            let earned = |line: &Option<Box<OrderLine>>| {
                line.as_ref()
                    .filter(|line| {
                        line.figures.credit.is_some() && line.figures.not_counted.is_none()
                    })
                    .map(|line| (line.figures.currency, line.figures.amount))
            };
            let credit = |line: &Option<Box<OrderLine>>| {
                let line = line.as_ref()?;
                let credit = line.figures.credit.clone()?;
                Some((
                    credit,
                    line.figures.amount,
                    line.figures.not_counted.is_none(),
                ))
            };
            self.credits_changed += i64::from(credit(old) != credit(new));
            let left = earned(old).map(|(currency, amount)| (currency, -amount));
            for (currency, amount) in earned(new).into_iter().chain(left) {
                self.revenue_moved.add(currency, amount);
            }
        }
        if step.changes == pending.changes.len() {
            let (customers, orders) = pending.stored.not_counted_by(run, pending.orders);
            // An address is no customer.
            self.customers += customers * i64::from(pending.customer.customer().is_some());
            self.orders += orders;
        }
    }
}
