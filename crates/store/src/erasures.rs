//! Erasure: a customer is forgotten, and every figure stays (rule 5).
//!
//! The customer's facts move to a *pseudonym*: a random id that nothing connects with the old one. They lose what says something
//! about the person and stay true facts, so whatever folds, decides again, replays or verifies goes on with them as before. What
//! comes later under the old id finds nothing and makes a new customer, but for copies of known orders: an order's pointer leads
//! to the pseudonym, where the copy is stored without its person. The file `cut` says what *later* is: after the answer of the call
//! that asked for the erasure.
//!
//! **The move.** Whoever asks marks the roots of both contributions as being moved, and makes the list of what is erased. Nobody folds a customer with the mark: whoever should
//! raises the root's version instead, and whoever would explain an order is told to come again. So neither half of the facts is
//! ever taken for the whole. Then everything moves piece by piece, each piece in one transaction that puts it under the pseudonym and
//! deletes the old one, under the condition that the mark stands and that the piece is what was read. A worker that dies leaves
//! less to move, and a worker that freezes can do no harm when it thaws.
//!
//! **The end of the move.** A call of ingest that is under way may have read an order's pointer before it was moved, and would
//! store a copy where nobody looks for it. Such a call has named the customer in an open intake marker, and compares a count in the
//! marketplace's meta item before it stores. So after the facts have moved, the count is raised; if an open marker names the
//! customer, the erasure waits; and if then nothing is left to be moved, one transaction ends the move. It deletes the old root,
//! removes the mark from the new one, plans a fold of the pseudonym (some facts may not be folded yet), and raises the version of
//! the rules, so that no fold of the old customer can be written any more. The roots are deleted under their versions: whoever
//! skipped a fold meanwhile makes the erasure look for facts once more.
//!
//! **The links** of the customer's orders with addresses move with the orders, whose copies keep the hashes of their addresses: a message
//! to an address may have earned them, or may still come to earn them. When the move has ended, the old name is taken from every such
//! address once more: a call that was under way may have written it there last.
//!
//! **The names.** Intake markers, lists of jobs, segments and rejected rows name customers too. Each is rewritten under the
//! condition that it is what was read. Whoever holds a name in memory and would write it to a list or a segment checks the count
//! in the transaction that writes. The walk over the lists is made again after the count was raised, until it finds nothing.
//!
//! Exports that may name somebody are removed, and so is one that is being written: it may have met half of the facts.
//!
//! The results beside files are written again, and the files of exports deleted, by whoever has the files; until then an erasure is
//! shown as running.
//!
//! While an erasure runs, its record has the customer's id; when it is done, nothing has.

mod cut;
mod moving;
mod names;
mod pieces;
mod promotions;
mod rejects;

use self::cut::{Cut, CutFixed};
use aws_sdk_dynamodb::types::AttributeValue;
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::time::{Day, Instant};
use serde::{Deserialize, Serialize};

use crate::jobs::job::{EraseStep, Job, Work};
use crate::market::Market;
use crate::random::random_hex;
use crate::table::attributes::root::MOVING;
use crate::table::attributes::{DATA, erasure as attributes, meta};
use crate::table::condition::Condition;
use crate::table::contention::backoff;
use crate::table::fault::StoreError;
use crate::table::item::{NewItem, data, expired, number, text};
use crate::table::keys;
use crate::table::write::Transacted;

/// What the names of the runs of erasures begin with. They are not on record.
pub const ERASURE_RUN: &str = "erasure ";
/// How often an erasure that meets others looks again before it waits for the next tick.
const LOOKS_MAX: usize = 60;

/// The state of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum ErasureState {
    Running,
    Done,
}

/// An erasure as it is shown. It does not say who was erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// The name of the erasure.
    pub erasure_id: String,
    /// The state of the erasure.
    pub state: ErasureState,
    /// How many facts were moved to the pseudonym: events, orders, assignments and redemptions.
    pub facts: i64,
    /// When the erasure was asked for.
    pub at: Instant,
    /// The name of the key that asked for it.
    pub by: String,
}

/// Who is erased, and who they become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ErasedCustomer {
    customer: CustomerId,
    pseudonym: CustomerId,
}

/// The record of an erasure.
#[derive(Serialize, Deserialize)]
struct ErasureRecord {
    at: Instant,
    by: String,
    /// Present until the erasure is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<ErasedCustomer>,
}

/// An erasure whose names are not taken out everywhere yet.
struct OpenErasure {
    id: String,
    record: ErasureRecord,
    of: ErasedCustomer,
    /// The move has ended.
    moved: bool,
    /// The name of the list of what is erased.
    cut: Option<String>,
}

/// How asking for an erasure ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// The erasure of this name erases what there is now, by this job.
    Erases(String, Job),
    /// The customer has too many facts to tell them from later ones. This job moves them; whoever asks again after that has the rest
    /// erased, and an answer.
    TooMuch(Job),
}

/// How work on an erasure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureEnd {
    /// The erasure is done, and its job is deleted.
    Done,
    /// Time was up. The same job goes on.
    HandedOver,
    /// Something that is under way must end first: the next tick points at the job again.
    Waits,
}

/// How a step of an erasure ended.
enum StepEnd {
    Done,
    OutOfTime(EraseStep),
    Waits,
}

/// The erasures of one marketplace. Reached by [`Market::erasures`].
#[derive(Debug, Clone, Copy)]
pub struct Erasures<'m> {
    market: &'m Market,
}

impl Market {
    /// The erasures of one marketplace.
    pub fn erasures(&self) -> Erasures<'_> {
        Erasures { market: self }
    }

    /// Says that names which were read before must not be written any more.
    async fn raise_erasures(&self) -> Result<(), StoreError> {
        let one = vec![(":one", AttributeValue::N("1".to_owned()))];
        let (key, raise) = (keys::meta(&self.id), format!("ADD {} :one", meta::ERASURES));
        self.store.update(&key, &raise, one, None).await.map(drop)
    }
}

impl<'m> Erasures<'m> {
    /// Puts an erasure of everything that the table has of a customer on record, with its job. If the customer is being erased already,
    /// and nothing came since, that erasure and its job are the answer. Whoever is told [`Started::TooMuch`] must not be answered yet.
    ///
    /// # Errors
    /// [`StoreError::Contended`] if the customer is being erased and has new facts: the call may be made again when that is done.
    /// Otherwise as every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn start(
        self,
        customer: &CustomerId,
        by: &str,
        now: Instant,
    ) -> Result<Started, StoreError> {
        for attempt in 0..LOOKS_MAX {
            if let Some((open, job)) = self.moving(customer).await? {
                match self.fix_cut(&open, now).await? {
                    CutFixed::Fixed => return Ok(Started::Erases(open.id, job)),
                    CutFixed::TooMuch => return Ok(Started::TooMuch(job)),
                    CutFixed::Overtaken => {}
                }
            } else if self.put(customer, by, now).await? {
                continue;
            }
            backoff(attempt).await;
        }
        Err(StoreError::Contended {
            op: "starting an erasure",
        })
    }

    /// The erasure that moves a customer, with its job.
    async fn moving(self, customer: &CustomerId) -> Result<Option<(OpenErasure, Job)>, StoreError> {
        for job in self.market.jobs().jobs().await? {
            if let Work::Erase { erasure, .. } = &job.work
                && let Some(open) = self.open(erasure).await?
                && open.of.customer == *customer
                && !open.moved
            {
                return Ok(Some((open, job)));
            }
        }
        Ok(None)
    }

    /// Puts a new erasure on record, with its job and the marks on the roots. False if somebody was faster.
    async fn put(self, customer: &CustomerId, by: &str, now: Instant) -> Result<bool, StoreError> {
        let (market, store) = (self.market, &self.market.store);
        let erasure = random_hex();
        let pseudonym = format!("erased-{}", random_hex());
        let pseudonym = CustomerId::new(&pseudonym).map_err(|why| StoreError::Refused {
            op: "naming a pseudonym",
            source: why.into(),
        })?;
        let of = ErasedCustomer {
            customer: customer.clone(),
            pseudonym,
        };
        let root = store.get(&keys::root(&market.id, customer), true).await?;
        if root.as_ref().is_some_and(|root| root.contains_key(MOVING)) {
            return Ok(false);
        }
        let marks = self.marks(&of, root.as_ref(), now);
        let record = ErasureRecord {
            at: now,
            by: by.to_owned(),
            of: Some(of),
        };
        let key = keys::erasure(&market.id, &erasure);
        let item = NewItem::at(&key)
            .data(&record)
            .number(attributes::FACTS, 0)
            .expires(now.plus_ms(market.retention.keep_ms()));
        let work = Work::Erase {
            erasure: erasure.clone(),
            step: EraseStep::Move,
        };
        // The job is of no run that is on record: it is planned by the erasure itself, and no plan takes it over.
        let job = Job::new(work, Some(format!("{ERASURE_RUN}{erasure}")), 0, 0, now);
        let mut writes = vec![
            store.put_write(item, Some(Condition::absent())),
            market.jobs().put_job(&job),
        ];
        writes.extend(marks);
        Ok(matches!(store.transact(writes).await?, Transacted::Done))
    }

    /// The erasure of an id; `None` if there is none.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn erasure(self, id: &str, now: Instant) -> Result<Option<Erasure>, StoreError> {
        let key = keys::erasure(&self.market.id, id);
        let item = self.market.store.get(&key, true).await?;
        let Some(item) = item.filter(|item| !expired(item, now)) else {
            return Ok(None);
        };
        let record: ErasureRecord = data(&item)?;
        let results = self.market.batches().with_outdated_results().await?;
        let has_files = !results.is_empty() || self.market.exports().has_files_to_delete().await?;
        Ok(Some(Erasure {
            erasure_id: id.to_owned(),
            state: match record.of {
                None if !has_files => ErasureState::Done,
                _ => ErasureState::Running,
            },
            facts: number(&item, attributes::FACTS).unwrap_or(0),
            at: record.at,
            by: record.by,
        }))
    }

    /// An erasure that is not done.
    async fn open(self, id: &str) -> Result<Option<OpenErasure>, StoreError> {
        let key = keys::erasure(&self.market.id, id);
        let Some(item) = self.market.store.get(&key, true).await? else {
            return Ok(None);
        };
        let record: ErasureRecord = data(&item)?;
        let of = record.of.clone();
        Ok(of.map(|of| OpenErasure {
            id: id.to_owned(),
            record,
            of,
            moved: item.contains_key(attributes::MOVED),
            cut: Some(text(&item, attributes::CUT).to_owned()).filter(|cut| !cut.is_empty()),
        }))
    }

    /// Works on an erasure from a step on, until it is done, or must wait, or the clock shows `stop_at`.
    ///
    /// # Errors
    /// As every call of the table: what was moved stays moved, and the same job may be worked on again.
    pub async fn work(
        self,
        job: &Job,
        erasure: &str,
        step: EraseStep,
        clock: &(dyn Fn() -> Instant + Sync),
        stop_at: Instant,
    ) -> Result<ErasureEnd, StoreError> {
        if let Some(OpenErasure { record, of, .. }) = self.open(erasure).await? {
            let mut erasing = Erasing {
                market: self.market,
                erasure,
                of,
                cut: Cut::default(),
                has_late: false,
                split_from: None,
                job,
                clock,
                stop_at,
            };
            let mut step = Some(step);
            while let Some(now) = step {
                let next = now.next();
                match erasing.step(now).await? {
                    StepEnd::Done => step = next,
                    StepEnd::Waits => return Ok(ErasureEnd::Waits),
                    StepEnd::OutOfTime(rest) => {
                        erasing.hand_over(rest).await?;
                        return Ok(ErasureEnd::HandedOver);
                    }
                }
                if let Some(next) = &step {
                    erasing.hand_over(next.clone()).await?;
                }
            }
            self.close(erasure, record).await?;
        }
        self.market.jobs().job_done(job).await?;
        Ok(ErasureEnd::Done)
    }

    /// Takes the names out of the record, and the lists that belong to it.
    async fn close(self, erasure: &str, record: ErasureRecord) -> Result<(), StoreError> {
        self.forget_cuts(erasure).await?;
        let record = serde_json::to_string(&ErasureRecord { of: None, ..record })?;
        let key = keys::erasure(&self.market.id, erasure);
        let values = vec![(":d", AttributeValue::S(record))];
        let (set, there) = (format!("SET {DATA} = :d"), Some(Condition::present()));
        let closed = self.market.store.update(&key, &set, values, there);
        closed.await.map(drop)
    }
}

/// An erasure that is worked on.
struct Erasing<'e> {
    market: &'e Market,
    erasure: &'e str,
    of: ErasedCustomer,
    /// What is erased, as it was read last.
    cut: Cut,
    /// True if the last look met facts that are not erased.
    has_late: bool,
    /// See [`Meta::split_from`](crate::market::Meta::split_from).
    split_from: Option<Day>,
    job: &'e Job,
    clock: &'e (dyn Fn() -> Instant + Sync),
    stop_at: Instant,
}

/// What a look for pieces to be moved found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PiecesLeft {
    /// Nothing was left.
    Clean,
    /// Something was moved, or met others: it must be looked at again.
    Moved,
    /// Time was up.
    OutOfTime,
}

impl Erasing<'_> {
    fn now(&self) -> Instant {
        (self.clock)()
    }

    fn is_over(&self) -> bool {
        self.now() >= self.stop_at
    }

    async fn step(&mut self, step: EraseStep) -> Result<StepEnd, StoreError> {
        match step {
            EraseStep::Move => self.move_all().await,
            EraseStep::Links { after } => self.links(after).await,
            EraseStep::Lists {
                shard,
                after,
                found,
            } => self.lists(shard, after, found).await,
            EraseStep::Segments { after } => self.segments(after).await,
            EraseStep::Rejects { after } => self.rejects(after).await,
        }
    }

    /// Writes how far the erasure is into its job. A move needs no place, because what is left to be moved is what is still there.
    async fn hand_over(&self, step: EraseStep) -> Result<(), StoreError> {
        if step == EraseStep::Move {
            return Ok(());
        }
        let erasure = self.erasure.to_owned();
        let rest = Work::Erase { erasure, step };
        self.market.jobs().hand_over(self.job, rest).await
    }
}
