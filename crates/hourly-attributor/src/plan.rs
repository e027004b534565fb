//! Planning: from notes, and from what settings and campaigns ask for, to units. Units are written before the notes go, so that no
//! customer is ever in neither.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use revtrail_core::attribution::reach::Redecide;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::time::Instant;
use revtrail_store::jobs::job::{ListPlace, Nudge, Unit, Work};
use revtrail_store::jobs::runs::RunState;
use revtrail_store::ledger::daily::Desk;
use revtrail_store::ledger::intake::Note;
use revtrail_store::ledger::purchases::RowPlace;
use revtrail_store::market::Market;
use revtrail_store::market::campaigns::merge_witnessed;
use revtrail_store::table::keys::NOTE_LANES;

use crate::settle::settle;
use crate::{AttributorError, Limits, Turn, Until};

/// Notes held at a time: with those of a thousand records some hundred MB at most, as a rule a tenth.
const NOTES_AT_ONCE: usize = 4_000;
/// Units written at the same time.
const WRITES_AT_ONCE: usize = 8;
/// So many units' customers are gathered before they are written: a customer found twice among them is folded once.
const GATHERED_UNITS: usize = 20;
/// Sheets of days before the last two rest: what lies of them in other stripes is put together.
const QUIET_DAYS: u32 = 2;
/// Units taken over in one transaction: DynamoDB's limit of 100 items, with those that replace them.
const TAKEN_AT_ONCE: usize = 90;

/// Plans what changed in a marketplace, and points at every unit that waits, and at what waits for promotions.
///
/// # Errors
/// What the table answers. What is in no unit yet is still in its notes.
pub(crate) async fn plan(
    market: &Market,
    asked_run: Option<&str>,
    limits: Limits,
    until: Until<'_>,
) -> Result<Vec<Nudge>, AttributorError> {
    let mut nudges = plan_facts(market, asked_run, limits, until).await?;
    if !market.promotions().awaited(until.now()).await?.is_empty() {
        let marketplace = market.id().clone();
        nudges.push(Nudge::Admit { marketplace });
    }
    Ok(nudges)
}

/// A schedule's plan that finds nothing new leaves no run.
async fn plan_facts(
    market: &Market,
    asked_run: Option<&str>,
    limits: Limits,
    until: Until<'_>,
) -> Result<Vec<Nudge>, AttributorError> {
    let now = until.now();
    let Some(versions) = market.settings().versions().await? else {
        return Ok(Vec::new());
    };
    let asked_run = match asked_run {
        Some(run_id) => market.runs().run(run_id, now).await?,
        None => None,
    };
    // A message that comes a second time does not begin a run again that has ended.
    let asked_run = asked_run.filter(|run| run.state == RunState::Running);
    let mut notes = Notes::of(market).await?;
    // Behind the notes: another plan writes units before its notes go, so what it took is seen here or there.
    let waiting = market.jobs().units().await?;
    if asked_run.is_none() && notes.is_empty() && !waiting.iter().any(Unit::is_asked) {
        if waiting.is_empty() {
            market.raise_idle(now).await?;
        } else {
            market.raise_planned_to(now).await?;
        }
        let mut nudges = nudges(market, waiting);
        nudges.extend(settle(market, until).await?);
        return Ok(nudges);
    }
    let asked = asked_run.is_some();
    let run_id = match asked_run {
        Some(run) => run.run_id,
        None => market.runs().start_run(None, now).await?,
    };
    if !notes.is_empty() {
        // Before the first note goes: what it told of is folded by settings that were saved before.
        market.raise_settled_to(now).await?;
    }
    let mut gathered = Gathered::new(market, &run_id, limits, now);
    match plan_run(asked, &mut notes, &versions, &mut gathered, until).await {
        Ok(nudges) => Ok(nudges),
        Err(error) => {
            crate::run_met_error(market, &run_id).await;
            Err(error)
        }
    }
}

/// Takes in what waited for a promotion that is there, as long as there is time: the call that made it died, or had too little.
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
    notes: &mut Notes<'_>,
    versions: &Versions,
    gathered: &mut Gathered<'_>,
    until: Until<'_>,
) -> Result<Vec<Nudge>, AttributorError> {
    let (market, run_id, now) = (gathered.market, gathered.run_id, gathered.now);
    if asked {
        // Whoever asks for a run wants those tried again who could not be folded.
        let parked = market.parked().list(now).await?;
        gathered
            .add(parked.into_iter().map(|one| one.customer_id))
            .await?;
    }
    let whole = plan_notes(notes, versions, gathered, until).await?;
    // Behind the notes: what these tell of campaigns asks for work too.
    take_over(market, run_id, now).await?;
    if whole {
        market.runs().planned(run_id, until.now()).await?;
        market.raise_planned_to(now).await?;
    }
    if market.meta().await?.striped {
        let today = now.day(versions.newest().settings.timezone);
        market.daily().merge_quiet(today.minus(QUIET_DAYS)).await?;
    }
    let mut nudges = nudges(market, market.jobs().units().await?);
    if !whole {
        nudges.push(nudge_plan(market, Some(run_id)));
    }
    nudges.extend(settle(market, until).await?);
    Ok(nudges)
}

/// What points at a unit.
pub(crate) fn nudge(market: &Market, unit: &Unit) -> Nudge {
    Nudge::Work {
        marketplace: market.id().clone(),
        unit_id: unit.unit_id.clone(),
    }
}

/// What asks for a plan.
pub(crate) fn nudge_plan(market: &Market, run_id: Option<&str>) -> Nudge {
    Nudge::Plan {
        marketplace: market.id().clone(),
        run_id: run_id.map(str::to_owned),
    }
}

/// What points at the units of runs; those that plan others first, for they leave out whom a unit that waits folds anyway.
fn nudges(market: &Market, mut units: Vec<Unit>) -> Vec<Nudge> {
    units.retain(|unit| !unit.is_asked());
    units.sort_by_key(|unit| matches!(unit.work, Work::Fold { .. }));
    units.iter().map(|unit| nudge(market, unit)).collect()
}

/// The notes of a marketplace, lane by lane, page by page; the first page of each lane is read at once.
struct Notes<'n> {
    market: &'n Market,
    lanes: Vec<(u8, Vec<Note>, Option<String>)>,
}

impl<'n> Notes<'n> {
    async fn of(market: &'n Market) -> Result<Self, AttributorError> {
        let first = |lane| async move {
            let (notes, next) = market.intake().notes_of_lane(lane, None, None).await?;
            Ok::<_, AttributorError>((lane, notes, next))
        };
        let lanes = try_join_all((0..NOTE_LANES).map(first)).await?;
        Ok(Self { market, lanes })
    }

    fn is_empty(&self) -> bool {
        let empty =
            |(_, notes, next): &(_, Vec<Note>, Option<String>)| notes.is_empty() && next.is_none();
        self.lanes.iter().all(empty)
    }

    /// The next page, which can be empty; none after the last.
    async fn next(&mut self) -> Result<Option<Vec<Note>>, AttributorError> {
        let Some((lane, notes, next)) = self.lanes.pop() else {
            return Ok(None);
        };
        if next.is_some() {
            let (more, next) = self.market.intake().notes_of_lane(lane, next, None).await?;
            self.lanes.push((lane, more, next));
        }
        Ok(Some(notes))
    }
}

/// Takes in what notes tell of campaigns, groups their customers into units, and deletes the notes that may go. False where time
/// was up before the last of them.
async fn plan_notes(
    notes: &mut Notes<'_>,
    versions: &Versions,
    gathered: &mut Gathered<'_>,
    until: Until<'_>,
) -> Result<bool, AttributorError> {
    let mut desk = Desk::of(0);
    let mut held: Vec<Note> = Vec::new();
    while let Some(page) = notes.next().await? {
        held.extend(page);
        if held.len() >= NOTES_AT_ONCE {
            plan_some(std::mem::take(&mut held), versions, gathered, &mut desk).await?;
            if until.is_over() {
                return Ok(false);
            }
        }
    }
    plan_some(held, versions, gathered, &mut desk).await?;
    Ok(true)
}

async fn plan_some(
    notes: Vec<Note>,
    versions: &Versions,
    gathered: &mut Gathered<'_>,
    desk: &mut Desk,
) -> Result<(), AttributorError> {
    let (market, now) = (gathered.market, gathered.now);
    // Send times first: work planned below must see them.
    let told = merge_witnessed(notes.iter().flat_map(|note| note.campaigns.iter().cloned()));
    if !told.is_empty() {
        let catalog = market.campaigns().catalog().await?;
        for seen in told.iter().filter(|seen| !seen.is_known(&catalog)) {
            market.campaigns().witness_campaign(seen, now).await?;
        }
    }
    let customers = notes.iter().flat_map(|note| note.customers.iter().cloned());
    gathered.add(customers).await?;
    gathered.flush().await?;
    let going: Vec<Note> = notes.into_iter().filter(|note| note.may_go(now)).collect();
    Ok(market
        .daily()
        .absorb_notes(&going, versions, desk, now)
        .await?)
}

/// Makes what settings and campaigns asked for units of this run: all times together one, so that a customer whom several
/// changes touch is folded once.
async fn take_over(market: &Market, run_id: &str, now: Instant) -> Result<(), AttributorError> {
    let units = market.jobs().units().await?;
    let asked: Vec<Unit> = units.into_iter().filter(Unit::is_asked).collect();
    let spans = asked.iter().filter_map(|unit| match unit.work {
        Work::Redecide { span, .. } => Some(span),
        _ => None,
    });
    let redecide = spans.reduce(Redecide::both).map(Work::redecide);
    let refold = |unit: &Unit| matches!(unit.work, Work::Refold { .. });
    let refold = asked
        .iter()
        .any(refold)
        .then_some(Work::Refold { after: None });
    let new = |work| Unit::new(work, Some(run_id.to_owned()), 0, 0, now);
    let mut taken: Vec<Unit> = redecide.into_iter().chain(refold).map(new).collect();
    let planned = taken.len() as i64;
    for asked in asked.chunks(TAKEN_AT_ONCE) {
        if !taken.is_empty() {
            market.runs().plans(run_id, planned).await?;
        }
        if !market.jobs().take_over(asked, &taken).await? {
            // Another plan was faster; what it left is for the next.
            if !taken.is_empty() {
                market.runs().plans(run_id, -planned).await?;
            }
            return Ok(());
        }
        taken.clear();
    }
    Ok(())
}

/// Plans folds of the customers whose orders a change touches; of those who are in units already that go by the same rules, these
/// take care.
pub(crate) async fn redecide(
    market: &Market,
    unit: &Unit,
    (span, place): (Redecide, Option<RowPlace>),
    limits: Limits,
    until: Until<'_>,
) -> Result<(Turn, Vec<Nudge>), AttributorError> {
    let now = until.now();
    let mut gathered = Gathered::following(market, unit, limits, now);
    let rules = market.settings().rules_seen(0).await?.version();
    let mut cared_for = BTreeSet::new();
    let folds = |unit: &&Unit| matches!(unit.work, Work::Fold { .. }) && unit.rules == rules;
    let waiting = market.jobs().units().await?;
    for unit in waiting.iter().filter(folds).take(GATHERED_UNITS) {
        cared_for.extend(market.jobs().unit_list(&unit.unit_id).await?);
    }
    let mut redecided = market.purchases().redecided(span, place, now).await?;
    while let Some(customers) = redecided.next().await? {
        let others = customers.into_iter().filter(|one| !cared_for.contains(one));
        gathered.add(others).await?;
        let place = redecided.place();
        if until.is_over() && place.is_some() {
            return gathered
                .hand_over(unit, Work::Redecide { span, place })
                .await;
        }
    }
    gathered.done(unit).await
}

/// Plans folds of everybody who was ever in a unit.
pub(crate) async fn refold(
    market: &Market,
    unit: &Unit,
    after: Option<ListPlace>,
    limits: Limits,
    until: Until<'_>,
) -> Result<(Turn, Vec<Nudge>), AttributorError> {
    let now = until.now();
    let mut gathered = Gathered::following(market, unit, limits, now);
    let mut place = after.unwrap_or_else(ListPlace::anywhere);
    loop {
        let (lists, next) = market.jobs().unit_lists(place, now).await?;
        for (_, customers) in lists {
            gathered.add(customers).await?;
        }
        let Some(next) = next else {
            return gathered.done(unit).await;
        };
        if until.is_over() {
            let after = Some(next);
            return gathered.hand_over(unit, Work::Refold { after }).await;
        }
        place = next;
    }
}

/// Customers on their way into units.
struct Gathered<'g> {
    market: &'g Market,
    run_id: &'g str,
    limits: Limits,
    now: Instant,
    /// What their units are planned at: those that follow from another unit are as old as that.
    at: Instant,
    customers: BTreeSet<CustomerId>,
    nudges: Vec<Nudge>,
}

impl<'g> Gathered<'g> {
    fn new(market: &'g Market, run_id: &'g str, limits: Limits, now: Instant) -> Self {
        Self {
            market,
            run_id,
            limits,
            now,
            at: now,
            customers: BTreeSet::new(),
            nudges: Vec::new(),
        }
    }

    /// Those that follow from a unit, which is a run's: nobody works on others.
    fn following(market: &'g Market, unit: &'g Unit, limits: Limits, now: Instant) -> Self {
        let run_id = unit.run_id.as_deref().unwrap_or_default();
        Self {
            at: unit.at,
            ..Self::new(market, run_id, limits, now)
        }
    }

    async fn add(
        &mut self,
        customers: impl IntoIterator<Item = CustomerId>,
    ) -> Result<(), AttributorError> {
        self.customers.extend(customers);
        if self.customers.len() >= GATHERED_UNITS * self.limits.unit_customers {
            self.flush().await?;
        }
        Ok(())
    }

    /// Writes the units of whom it holds. They are put on record first, so that no more can be done than were planned.
    async fn flush(&mut self) -> Result<(), AttributorError> {
        let customers: Vec<CustomerId> = std::mem::take(&mut self.customers).into_iter().collect();
        let lists: Vec<&[CustomerId]> = customers.chunks(self.limits.unit_customers).collect();
        if lists.is_empty() {
            return Ok(());
        }
        let stripes = usize::from(self.limits.stripes).min(lists.len());
        if stripes > 1 {
            self.market.mark_striped().await?;
        }
        self.market
            .runs()
            .plans(self.run_id, lists.len() as i64)
            .await?;
        // A unit's folds go by these rules or newer ones.
        let rules = self.market.settings().rules_seen(0).await?.version();
        let writes: Vec<_> = lists
            .into_iter()
            .enumerate()
            .map(|(i, list)| self.add_fold((i % stripes) as u8, rules, list))
            .collect();
        let nudges: Vec<Nudge> = stream::iter(writes)
            .buffered(WRITES_AT_ONCE)
            .try_collect()
            .await?;
        self.nudges.extend(nudges);
        Ok(())
    }

    async fn add_fold(
        &self,
        stripe: u8,
        rules: i64,
        list: &[CustomerId],
    ) -> Result<Nudge, AttributorError> {
        let run_id = Some(self.run_id.to_owned());
        let unit = Unit::new(Work::Fold { next: 0 }, run_id, stripe, rules, self.at);
        self.market.jobs().add_fold(&unit, list, self.now).await?;
        Ok(nudge(self.market, &unit))
    }

    async fn hand_over(
        mut self,
        unit: &Unit,
        rest: Work,
    ) -> Result<(Turn, Vec<Nudge>), AttributorError> {
        self.flush().await?;
        self.market.jobs().hand_over(unit, rest).await?;
        Ok((Turn::HandedOver, self.nudges))
    }

    async fn done(mut self, unit: &Unit) -> Result<(Turn, Vec<Nudge>), AttributorError> {
        self.flush().await?;
        self.market.jobs().unit_done(unit).await?;
        Ok((Turn::Done, self.nudges))
    }
}
