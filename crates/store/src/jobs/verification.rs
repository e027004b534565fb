//! Verifications as they are stored: how far one is, and what it found. A verification walks through everybody who was ever folded,
//! compares each customer with their facts, and adds up what is stored of them, day by day. A day whose aggregate did not change
//! during the walk must be that sum.
//!
//! What is known so far lies in chunks beside the job. They are written in one transaction with the version of the job, so each
//! customer is in a sum once, however many workers go on with the walk. Nothing here names a customer.

use std::collections::BTreeMap;

use revtrail_core::figures::daily::Aggregate;
use revtrail_core::figures::differences::WrongFigure;
use revtrail_core::figures::fold::Contribution;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::{DAY_MS, Day, Instant};
use serde::{Deserialize, Serialize};

use crate::jobs::job::{EraseStep, Job, Progress, Work};
use crate::market::Market;
use crate::promotions::verify::PromotionWalk;
use crate::table::attributes::VERSION;
use crate::table::chunks::{chunks_of, joined};
use crate::table::client::{Range, Reading};
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, version};
use crate::table::keys;
use crate::table::write::{Transacted, Write};

/// The most wrong figures that a verification names. All are counted.
const FOUND_MAX: usize = 100;
/// How often days that changed during a walk are walked through again.
const ROUNDS_MAX: u8 = 2;
/// The most bytes of daily aggregates that one walk adds up; a shop with more takes several walks. Compressed, they are about a
/// fifteenth of what a worker has in memory, and they are written with every save.
const WALK_BYTES_MAX: usize = 1_000_000;
/// The most chunks of what is known so far. They are written in one transaction, which has 3.5 MB, and a chunk has up to 350 KB.
const CHUNKS_MAX: usize = 7;
/// How many days' aggregates are in memory while a walk chooses its days.
const DAYS_AT_ONCE: usize = 31;
/// How long what is known of a verification is kept that nobody goes on with, in milliseconds.
const KEPT_MS: i64 = 30 * DAY_MS;

/// A verification: how far it is, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// What is compared now.
    pub step: VerifyStep,
    /// How many customers are left to be compared; `None` if all are.
    pub left: Option<usize>,
    /// What was found so far.
    pub found: Findings,
    /// How many chunks store it.
    #[serde(skip)]
    chunks: usize,
}

/// What a verification compares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerifyStep {
    /// Customers with their facts, and daily aggregates with the sums of what is stored of customers.
    Days(DayWalk),
    /// Totals of promotions with the promotion accounts, the redemptions and the vouchers.
    Promotions(PromotionWalk),
    /// Everything is compared.
    Done,
}

/// A walk through everybody, for some days.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DayWalk {
    /// True once every customer was compared with their facts, which the first walk does.
    pub customers_done: bool,
    /// True from the time when the versions below were read.
    pub begun: bool,
    /// The place up to which customers are walked through.
    pub after: Option<String>,
    /// True once everybody was walked through.
    pub walked: bool,
    /// The days that are added up, with the versions of their aggregates from before the first customer was read.
    days: BTreeMap<Day, i64>,
    /// The count of erasures from then; `None` if the sums prove nothing, because somebody could not be read or was moving.
    quiet: Option<i64>,
    /// What is stored of the customers so far.
    sums: BTreeMap<Day, Aggregate<CampaignId>>,
    /// The days that later walks add up.
    waiting: Vec<Day>,
    /// The days that changed during their walk.
    changed: Vec<Day>,
    /// How often days were walked through again.
    round: u8,
}

/// What a verification found, for the record of its run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Findings {
    /// The first wrong figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<WrongTotal>,
    /// True if more figures are wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found_more: bool,
    /// What could not be compared: days that changed during every walk, and promotions of which not everything is listed or kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
}

/// A wrong figure, and what it is a figure of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongTotal {
    /// The day or the promotion, like `day 2026-11-20`.
    pub of: String,
    /// The figure.
    #[serde(flatten)]
    pub wrong: WrongFigure,
    /// True if the figure was set right.
    pub repaired: bool,
}

/// How saving what is known ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavedVerification {
    /// It is saved.
    Done,
    /// Another worker goes on with this verification.
    Overtaken,
    /// What was to be written beside it changed in the meantime, so nothing was written.
    Refused,
}

impl Findings {
    /// Adds the wrong figures of one day or promotion.
    pub(crate) fn add(&mut self, of: &str, wrong: Vec<WrongFigure>, repaired: bool) {
        for wrong in wrong {
            if self.found.len() == FOUND_MAX {
                self.found_more = true;
                return;
            }
            let of = of.to_owned();
            self.found.push(WrongTotal {
                of,
                wrong,
                repaired,
            });
        }
    }

    /// Adds something that could not be compared.
    pub(crate) fn leave_out(&mut self, of: String) {
        // A hundred days and promotions say enough; whoever reads this must look at the rest of them too.
        if self.not_compared.len() < FOUND_MAX && !self.not_compared.contains(&of) {
            self.not_compared.push(of);
        }
    }

    /// True if nothing is wrong and nothing was left out.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl DayWalk {
    /// Adds what is stored of a customer; `None` if nobody can say what that is.
    pub fn add(&mut self, stored: Option<&Contribution>) {
        let Some(stored) = stored else {
            self.quiet = None;
            return;
        };
        for (day, part) in stored
            .days
            .iter()
            .filter(|(day, _)| self.days.contains_key(day))
        {
            self.sums.entry(*day).or_default().add(&part.aggregate());
        }
    }

    /// Ends a walk whose days are compared. False if no walk is left.
    fn next_walk(&mut self) -> bool {
        if self.waiting.is_empty() && self.round < ROUNDS_MAX && !self.changed.is_empty() {
            self.round += 1;
            self.waiting = std::mem::take(&mut self.changed);
        }
        *self = Self {
            customers_done: true,
            waiting: std::mem::take(&mut self.waiting),
            changed: std::mem::take(&mut self.changed),
            round: self.round,
            ..Self::default()
        };
        !self.waiting.is_empty()
    }

    /// Leaves half of the days to a later walk. False if there is one day only.
    fn shed(&mut self) -> bool {
        let keep = self.days.len() / 2;
        let Some(&from) = self.days.keys().nth(keep).filter(|_| keep > 0) else {
            return false;
        };
        self.sums.split_off(&from);
        let shed = self.days.split_off(&from);
        self.waiting.splice(0..0, shed.into_keys());
        true
    }
}

/// Verifications of one marketplace. Reached by [`Market::verifications`].
#[derive(Debug, Clone, Copy)]
pub struct Verifications<'m> {
    pub(crate) market: &'m Market,
}

impl Market {
    /// Verifications of the marketplace.
    pub fn verifications(&self) -> Verifications<'_> {
        Verifications { market: self }
    }
}

impl Verifications<'_> {
    /// What is known of the verification that a job works on. `days` are those whose aggregates are compared, if it compares all
    /// customers. `None` if another worker was faster.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn load(
        self,
        job: &Job,
        days: impl IntoIterator<Item = Day>,
    ) -> Result<Option<Verification>, StoreError> {
        let pk = keys::verification(&self.market.id, &job.job_id);
        let store = &self.market.store;
        let items = store.query(&pk, &Range::All, Reading::STRONG).await?;
        let own = |item: &&Item| version(item) == job.version();
        let own: Vec<Item> = items.iter().filter(own).cloned().collect();
        if let Some(known) = joined::<Verification>(&own)? {
            let chunks = own.len();
            return Ok(Some(Verification { chunks, ..known }));
        }
        if items.iter().any(|item| version(item) > job.version()) {
            return Ok(None);
        }
        let Work::Verify { left, .. } = job.work else {
            return Ok(None);
        };
        let waiting = match left {
            Some(_) => Vec::new(),
            None => days.into_iter().collect(),
        };
        let walk = DayWalk {
            waiting,
            ..DayWalk::default()
        };
        Ok(Some(Verification {
            step: VerifyStep::Days(walk),
            left,
            found: Findings::default(),
            chunks: 0,
        }))
    }

    /// Saves what is known, counts what was found since the last time, and makes other writes, all in one transaction.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn save(
        self,
        job: &mut Job,
        known: &mut Verification,
        counts: &Progress,
        now: Instant,
    ) -> Result<SavedVerification, StoreError> {
        self.save_with(job, known, counts, Vec::new(), now).await
    }

    pub(crate) async fn save_with(
        self,
        job: &mut Job,
        known: &mut Verification,
        counts: &Progress,
        beside: Vec<Write>,
        now: Instant,
    ) -> Result<SavedVerification, StoreError> {
        let mut chunks = chunks_of(known)?;
        while chunks.len() > CHUNKS_MAX
            && let VerifyStep::Days(walk) = &mut known.step
            && walk.shed()
        {
            chunks = chunks_of(known)?;
        }
        let (store, next) = (&self.market.store, job.version() + 1);
        let key = |n| keys::verification_chunk(&self.market.id, &job.job_id, n);
        let mut writes = vec![self.market.jobs().count_once(job, counts)];
        let len = chunks.len();
        writes.extend((len..known.chunks).map(|n| store.delete_write(&key(n), None)));
        for (n, (attribute, value)) in chunks.into_iter().enumerate() {
            let chunk = NewItem::at(&key(n)).set(attribute, value);
            let chunk = chunk.number(VERSION, next).expires(now.plus_ms(KEPT_MS));
            writes.push(store.put_write(chunk, None));
        }
        writes.extend(beside);
        match store.transact(writes).await? {
            Transacted::Done => {
                job.counted_once();
                known.chunks = len;
                Ok(SavedVerification::Done)
            }
            Transacted::Cancelled(faults) if faults.first() == Some(&Fault::Condition) => {
                Ok(SavedVerification::Overtaken)
            }
            Transacted::Cancelled(faults) if faults.contains(&Fault::Condition) => {
                Ok(SavedVerification::Refused)
            }
            Transacted::Cancelled(_) => Err(StoreError::Contended {
                op: "saving a verification",
            }),
        }
    }

    /// The count of erasures, if no customer is on the way to a pseudonym. The jobs are read first: an erasure raises the count
    /// before it leaves that step.
    pub(crate) async fn erasures_if_quiet(self) -> Result<Option<i64>, StoreError> {
        let jobs = self.market.jobs().jobs().await?;
        let moves =
            |job: &Job| matches!(&job.work, Work::Erase { step, .. } if *step == EraseStep::Move);
        if jobs.iter().any(moves) {
            return Ok(None);
        }
        Ok(Some(self.market.meta().await?.erasures))
    }

    /// Begins a walk: chooses its days, and reads the versions of their aggregates.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again.
    pub async fn begin_walk(self, walk: &mut DayWalk) -> Result<(), StoreError> {
        walk.begun = true;
        walk.quiet = self.erasures_if_quiet().await?;
        let waiting = std::mem::take(&mut walk.waiting);
        let mut bytes = 0;
        for some in waiting.chunks(DAYS_AT_ONCE) {
            if bytes > WALK_BYTES_MAX {
                walk.waiting.extend(some);
                continue;
            }
            let (Some(first), Some(last)) = (some.first(), some.last()) else {
                continue;
            };
            let stored = self.market.daily().stored_days(*first..=*last).await?;
            for day in some {
                let stored = stored.get(day).cloned().unwrap_or_default();
                bytes += stored.bytes();
                if bytes > WALK_BYTES_MAX && !walk.days.is_empty() {
                    walk.waiting.push(*day);
                } else {
                    walk.days.insert(*day, stored.versions());
                }
            }
        }
        Ok(())
    }

    /// Compares the aggregates of the days of a walk with what was added up, sets wrong ones right if that is asked for, and goes
    /// on to the next walk or the next step. False if another worker was faster.
    ///
    /// # Errors
    /// As every call of the table: [`StoreError::is_busy`] says whether to try again. What was compared stays.
    pub async fn compare_days(
        self,
        job: &mut Job,
        known: &mut Verification,
        repair: bool,
        now: Instant,
    ) -> Result<bool, StoreError> {
        let mut counts = Progress::default();
        let mut walk = match &known.step {
            VerifyStep::Days(walk) => walk.clone(),
            VerifyStep::Promotions(_) | VerifyStep::Done => return Ok(true),
        };
        let mut stored = BTreeMap::new();
        if let (Some((first, _)), Some((last, _))) =
            (walk.days.first_key_value(), walk.days.last_key_value())
        {
            stored = self.market.daily().stored_days(*first..=*last).await?;
        }
        let quiet = walk.quiet.is_some() && walk.quiet == self.erasures_if_quiet().await?;
        while let Some((day, versions)) = walk.days.pop_first() {
            let read = stored.remove(&day).unwrap_or_default();
            let sum = walk.sums.remove(&day).unwrap_or_default();
            if !quiet || read.versions() != versions {
                walk.changed.push(day);
                continue;
            }
            let mut difference = sum.clone();
            difference.subtract(&read.sum());
            if difference.is_empty() {
                continue;
            }
            let wrong = WrongFigure::between(&read.sum().named(), &sum.named());
            let of = format!("day {day}");
            if !repair {
                counts.differences += 1;
                known.found.add(&of, wrong, false);
                continue;
            }
            let mut repaired = Verification {
                step: VerifyStep::Days(walk.clone()),
                ..known.clone()
            };
            repaired.found.add(&of, wrong, true);
            let one = Progress {
                differences: counts.differences + 1,
                repaired: 1,
                ..Progress::default()
            };
            let writes = self.market.daily().correction(day, &read, &difference);
            match self
                .save_with(job, &mut repaired, &one, writes, now)
                .await?
            {
                SavedVerification::Done => {
                    counts = Progress::default();
                    *known = repaired;
                }
                // A fold moved the day after all, so the sum is out of date.
                SavedVerification::Refused => walk.changed.push(day),
                SavedVerification::Overtaken => return Ok(false),
            }
        }
        known.step = if walk.next_walk() {
            VerifyStep::Days(walk)
        } else {
            for day in walk.changed {
                known.found.leave_out(format!("day {day}"));
            }
            match known.left {
                Some(_) => VerifyStep::Done,
                None => VerifyStep::Promotions(PromotionWalk::default()),
            }
        };
        let saved = self.save(job, known, &counts, now).await?;
        Ok(saved == SavedVerification::Done)
    }
}
