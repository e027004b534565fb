//! Verification compares what is stored with what it must add up to: customers with their facts, daily aggregates with the
//! contributions of all customers, and totals of promotions with their accounts. Without being asked to repair, it writes nothing
//! but what it found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures_util::future::try_join_all;
use revtrail_core::figures::fold::Contribution;
use revtrail_core::value::address::Recipient;
use revtrail_core::value::time::{Day, Instant};
use revtrail_store::StoreError;
use revtrail_store::jobs::job::{Job, Progress};
use revtrail_store::jobs::runs::SAMPLE_CUSTOMERS;
use revtrail_store::jobs::verification::{SavedVerification, Verification, VerifyStep};
use revtrail_store::ledger::facts::CustomerFacts;
use revtrail_store::market::Market;

use crate::fold::{LIGHT_BYTES_MAX, RulesSnapshot, contribution};
use crate::{AttributorError, JobEnd, JobLimits, Until};

/// How many customers are read at the same time.
const READS_AT_ONCE: usize = 8;
/// How many customers are compared before the clock is looked at.
const CUSTOMERS_AT_ONCE: usize = 64;
/// How often a customer is looked at because they change, or their contribution is not what it must be.
const LOOKS_MAX: usize = 5;
/// The most names of customers in memory at a time. For more, the lists of all jobs are walked through again.
const NAMES_MAX: usize = 100_000;
/// How many days after today an order can be on: clocks may differ, and so may time zones.
const DAYS_AHEAD: u32 = 2;

/// What comparing a customer found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compared {
    /// What is stored is what the facts add up to.
    Same,
    /// Something else is stored, and no work that waits explains it.
    Different,
    /// The customer is parked, waits for a run, or changes all the time, so there is nothing to compare here.
    NotNow,
}

/// A customer as they were looked at.
struct Looked {
    compared: Compared,
    /// What is stored of the customer; `None` if nobody can say.
    stored: Option<Contribution>,
}

/// Something that is stored and is not what the facts add up to, or is of facts that cannot be read.
#[derive(Clone, PartialEq, Eq)]
struct Doubt {
    version: i64,
    stored: Contribution,
    /// The addresses that the orders name. An event that waits there explains the difference too.
    addresses: BTreeSet<Recipient>,
    /// False if the facts cannot be read.
    readable: bool,
}

/// Works on a verification until it is done or time is up.
///
/// # Errors
/// As every call of the table: [`StoreError::is_busy`] says whether to try again. What was compared stays.
pub(crate) async fn work(
    market: &Market,
    job: &Job,
    repair: bool,
    limits: JobLimits,
    until: Until<'_>,
) -> Result<JobEnd, AttributorError> {
    let mut job = job.clone();
    let verifications = market.verifications();
    let Some(versions) = market.settings().versions().await? else {
        market.jobs().job_done(&job).await?;
        return Ok(JobEnd::Done);
    };
    let today = until.now().day(versions.newest().settings.timezone);
    let days = visible_days(market, today);
    let Some(mut known) = verifications.load(&job, days).await? else {
        return Ok(JobEnd::Done);
    };
    loop {
        let goes_on = match &known.step {
            VerifyStep::Done => break,
            VerifyStep::Promotions(_) => {
                let (clock, stop_at) = (until.clock, until.stop_at);
                let work =
                    verifications.compare_promotions(&mut job, &mut known, repair, clock, stop_at);
                work.await?
            }
            VerifyStep::Days(walk) if walk.walked => {
                let now = until.now();
                verifications
                    .compare_days(&mut job, &mut known, repair, now)
                    .await?
            }
            VerifyStep::Days(_) => walk_on(market, &mut job, &mut known, limits, until).await?,
        };
        if !goes_on {
            return Ok(JobEnd::Done);
        }
        if until.is_over() && known.step != VerifyStep::Done {
            return Ok(JobEnd::HandedOver);
        }
    }
    for one in &known.found.found {
        let (of, figure, repaired) = (&one.of, &one.wrong.figure, one.repaired);
        let (stored, right) = (one.wrong.stored, one.wrong.right);
        tracing::error!(marketplace = %market.id(), of, figure, %stored, %right, repaired, "a stored total is not what it sums");
    }
    if let Some(run_id) = job.run_id.as_ref().filter(|_| !known.found.is_nothing()) {
        let found = &known.found;
        market.runs().verification_found(run_id, found).await?;
    }
    market.jobs().job_done(&job).await?;
    Ok(JobEnd::Done)
}

/// The days whose figures somebody may see, and those on which there may already be orders.
fn visible_days(market: &Market, today: Day) -> Vec<Day> {
    let first = market.retention().first_visible(today);
    let days = std::iter::successors(Some(first), |day| Some(day.plus(1)));
    days.take_while(|day| *day <= today.plus(DAYS_AHEAD))
        .collect()
}

/// Goes on with a walk through everybody, for as many customers as are compared between two saves. False if another worker was
/// faster.
async fn walk_on(
    market: &Market,
    job: &mut Job,
    known: &mut Verification,
    limits: JobLimits,
    until: Until<'_>,
) -> Result<bool, AttributorError> {
    let VerifyStep::Days(walk) = &mut known.step else {
        return Ok(true);
    };
    if !walk.begun {
        // The versions of the days are read before the first customer.
        market.verifications().begin_walk(walk).await?;
    }
    let (max, any) = match known.left {
        Some(left) => (left.min(SAMPLE_CUSTOMERS), true),
        None => (NAMES_MAX, false),
    };
    let after = walk.after.as_deref();
    let names = market
        .jobs()
        .folded_after(&job.job_id, after, (max, any), until.now());
    let mut names = VecDeque::from_iter(names.await?);
    let is_last = names.len() < max;
    loop {
        let mut counts = Progress::default();
        let mut some = limits.job_customers.min(names.len());
        let VerifyStep::Days(walk) = &mut known.step else {
            return Ok(true);
        };
        while some > 0 {
            let batch: Vec<(String, Recipient)> =
                names.drain(..some.min(CUSTOMERS_AT_ONCE)).collect();
            some -= batch.len();
            let looked = look_at(market, job.shard, &batch, limits, until.now()).await?;
            for (one, (hash, _)) in looked.iter().zip(batch) {
                walk.add(one.stored.as_ref());
                walk.after = Some(hash);
                if !walk.customers_done && one.compared != Compared::NotNow {
                    counts.checked += 1;
                    counts.differences += i64::from(one.compared == Compared::Different);
                    known.left = known.left.map(|left| left.saturating_sub(1));
                }
            }
            if until.is_over() {
                break;
            }
        }
        walk.walked = is_last && names.is_empty() || known.left == Some(0);
        let walked = walk.walked;
        let saved = market
            .verifications()
            .save(job, known, &counts, until.now())
            .await?;
        if saved != SavedVerification::Done {
            return Ok(false);
        }
        if walked || names.is_empty() || until.is_over() {
            return Ok(true);
        }
    }
}

/// Looks at some customers. One whose contribution is not what their facts add up to is looked at again: somebody may have changed
/// the customer or the rules in the meantime, and what is stored is read item by item.
async fn look_at(
    market: &Market,
    shard: u8,
    customers: &[(String, Recipient)],
    limits: JobLimits,
    now: Instant,
) -> Result<Vec<Looked>, AttributorError> {
    let light = LIGHT_BYTES_MAX.min(limits.timeline_bytes);
    let mut looked: Vec<Looked> = customers.iter().map(|_| Looked::UNKNOWN).collect();
    let mut open: BTreeMap<usize, Option<Doubt>> =
        (0..customers.len()).map(|n| (n, None)).collect();
    let mut waiting = BTreeSet::new();
    let mut snapshot: Option<RulesSnapshot> = None;
    for _ in 0..LOOKS_MAX {
        // The version of the rules comes first, then the rules, then the facts.
        let seen = market.settings().rules_seen(shard).await?;
        if !snapshot.as_ref().is_some_and(|known| known.is_of(seen)) {
            snapshot = RulesSnapshot::read(market, seen).await?;
            // What was found under other rules proves nothing.
            open.values_mut().for_each(|doubt| *doubt = None);
        }
        let Some(rules) = &snapshot else { break };
        let mut doubts = BTreeMap::new();
        let mut open_now = open.into_iter().peekable();
        while open_now.peek().is_some() {
            // Some are read at once, and all of them before anything else is asked: a read that began must not wait for it.
            let some: Vec<_> = open_now.by_ref().take(READS_AT_ONCE).collect();
            let reads = some
                .iter()
                .map(|(n, _)| read(market, &customers[*n].1, light, now));
            for ((n, before), mut facts) in some.iter().zip(try_join_all(reads).await?) {
                let customer = &customers[*n].1;
                if matches!(facts, Read::TooMany) {
                    // Timelines that are longer than a page are in memory one at a time.
                    facts = read(market, customer, limits.timeline_bytes, now).await?;
                }
                match compare(market, customer, facts, rules, now).await? {
                    Looking::Done(one) => looked[*n] = one,
                    Looking::Doubt(doubt) if before.as_ref() == Some(&doubt) => {
                        let waits =
                            waiting.contains(customer) || !waiting.is_disjoint(&doubt.addresses);
                        let is_wrong = doubt.readable && !waits;
                        looked[*n] = doubt.confirmed(market, is_wrong);
                    }
                    Looking::Doubt(doubt) => drop(doubts.insert(*n, Some(doubt))),
                }
            }
        }
        if doubts.is_empty() {
            break;
        }
        let mut names: BTreeSet<Recipient> =
            doubts.keys().map(|&n| customers[n].1.clone()).collect();
        let of_orders = doubts.values().flatten().flat_map(|doubt| &doubt.addresses);
        names.extend(of_orders.cloned());
        waiting = market.intake().waiting_among(&names).await?;
        open = doubts;
    }
    Ok(looked)
}

/// What was read of a customer.
enum Read {
    Facts(Box<CustomerFacts>),
    /// The facts have more bytes than were allowed.
    TooMany,
    /// Something of the customer cannot be read.
    Unreadable,
}

async fn read(
    market: &Market,
    customer: &Recipient,
    bytes_max: usize,
    now: Instant,
) -> Result<Read, StoreError> {
    match market.facts().customer(customer, bytes_max, now).await {
        Ok(Some(facts)) => Ok(Read::Facts(Box::new(facts))),
        Ok(None) => Ok(Read::TooMany),
        Err(error) if error.is_busy() => Err(error),
        Err(_) => Ok(Read::Unreadable),
    }
}

/// What one look at a customer found.
enum Looking {
    Done(Looked),
    Doubt(Doubt),
}

async fn compare(
    market: &Market,
    customer: &Recipient,
    read: Read,
    rules: &RulesSnapshot,
    now: Instant,
) -> Result<Looking, AttributorError> {
    let (world, first_folded) = rules.world(market, now);
    let (stored, facts) = match read {
        Read::Facts(facts) => (facts.stored.clone(), Some(facts)),
        // A customer whose facts nobody can read is parked, and what is stored of them stands.
        Read::TooMany | Read::Unreadable => match market.facts().contribution_of(customer).await {
            Ok(stored) => (stored, None),
            Err(error) if error.is_busy() => return Err(error.into()),
            Err(_) => return Ok(Looking::Done(Looked::UNKNOWN)),
        },
    };
    if stored.is_moving {
        return Ok(Looking::Done(Looked::UNKNOWN));
    }
    let (version, readable) = (stored.version, facts.is_some());
    let addresses = facts.as_ref().map(|facts| facts.addresses(market.id()));
    let addresses = addresses
        .unwrap_or_default()
        .into_iter()
        .map(Recipient::from);
    let addresses = addresses.collect();
    let stored = stored.since(first_folded);
    if let Some(facts) = facts
        && contribution(&facts, &world, first_folded) == stored
        && market
            .purchases()
            .rows_are(customer, &stored, rules.seen)
            .await?
    {
        let compared = match facts.is_nothing() {
            true => Compared::NotNow,
            false => Compared::Same,
        };
        let stored = Some(stored);
        return Ok(Looking::Done(Looked { compared, stored }));
    }
    Ok(Looking::Doubt(Doubt {
        version,
        stored,
        addresses,
        readable,
    }))
}

impl Looked {
    const UNKNOWN: Self = Self {
        compared: Compared::NotNow,
        stored: None,
    };
}

impl Doubt {
    /// What two looks found.
    fn confirmed(self, market: &Market, is_wrong: bool) -> Looked {
        if is_wrong {
            tracing::error!(marketplace = %market.id(), "a stored contribution is not what the facts add up to");
        }
        Looked {
            compared: match is_wrong {
                true => Compared::Different,
                false => Compared::NotNow,
            },
            stored: Some(self.stored),
        }
    }
}
