//! Notes: what one ingest call touched. Written open before its facts and closed after them, before the answer, so that a
//! fact can never be stored without the attributor hearing of its customer.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use revtrail_core::figures::sheet::Intake;
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::time::Instant;
use serde::{Deserialize, Serialize};

use crate::jobs::job::{ListPlace, Work};
use crate::ledger::purchases::RowPlace;
use crate::market::Market;
use crate::market::campaigns::{Witnessed, merge_witnessed};
use crate::random::random_hex;
use crate::table::client::{Range, Reading};
use crate::table::fault::StoreError;
use crate::table::item::{Item, NewItem, data, text};
use crate::table::keys::{self, NOTE_LANES};
use revtrail_core::attribution::reach::Redecide;

/// An open note older than this belongs to a call that died; it may be deleted once its customers are in units.
pub const OPEN_NOTE_AGE_MS_MAX: i64 = 15 * 60 * 1000;

/// What one ingest call touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The call's name.
    #[serde(skip)]
    pub call: String,
    /// When it arrived.
    #[serde(rename = "t")]
    pub at: Instant,
    /// Its facts are stored, and its counts final.
    #[serde(rename = "z", default)]
    pub closed: bool,
    /// Open: whoever the call may change; closed: whoever it changed.
    #[serde(rename = "c", default)]
    pub customers: BTreeSet<CustomerId>,
    /// Closed: what the call's stored events tell of their campaigns.
    #[serde(rename = "g", default)]
    pub campaigns: Vec<Witnessed>,
    /// Closed: the call's orders.
    #[serde(rename = "o", default)]
    pub orders_in: Intake,
    /// Closed: the call's events.
    #[serde(rename = "e", default)]
    pub events_in: Intake,
    /// The latest time of its events, where that is not before the call.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    ahead_to: Option<Instant>,
    /// It was planned before, and will be until none of its facts is ahead of the clock.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    again: bool,
}

impl Note {
    /// An open note of a call that arrives now.
    pub fn open(customers: BTreeSet<CustomerId>, now: Instant) -> Self {
        let nothing = Intake::default();
        Self {
            call: random_hex(),
            at: now,
            closed: false,
            customers,
            campaigns: vec![],
            orders_in: nothing,
            events_in: nothing,
            ahead_to: None,
            again: false,
        }
    }

    /// The same of a call whose latest event is of this time.
    pub fn with_events_to(mut self, latest: Instant) -> Self {
        self.ahead_to = Some(latest).filter(|latest| *latest >= self.at);
        self
    }

    /// True where the planner may delete it, once its customers are in units.
    pub fn may_go(&self, now: Instant) -> bool {
        let done = self.closed || self.at < now.minus_ms(OPEN_NOTE_AGE_MS_MAX);
        done && !(self.again && self.is_ahead(now))
    }

    /// True where settings that are saved from `now` on can be in force at one of its events: an order that is ahead is decided again
    /// when they are saved, but nobody would find the customer of an event.
    fn is_ahead(&self, now: Instant) -> bool {
        self.at > now || self.ahead_to.is_some_and(|to| to >= now)
    }

    /// What takes its place when it goes, so that its customers are folded once more when it is no longer ahead.
    pub(crate) fn successor(&self, now: Instant) -> Option<Self> {
        let nothing = Intake::default();
        let needed = self.is_ahead(now) && !self.customers.is_empty();
        needed.then(|| Self {
            call: format!("{}n", self.call),
            closed: true,
            campaigns: vec![],
            orders_in: nothing,
            events_in: nothing,
            again: true,
            ..self.clone()
        })
    }

    /// True where some of its facts may be in no figure yet.
    fn is_new(&self) -> bool {
        !self.again
    }

    pub(crate) fn item(&self, market: &Market) -> NewItem {
        NewItem::at(&keys::note(&market.id, &self.call)).packed(self)
    }
}

/// What of one marketplace came in and no run has planned yet. Reached by [`Market::intake`].
#[derive(Debug, Clone, Copy)]
pub struct IntakeMarkers<'m> {
    market: &'m Market,
}

impl Market {
    /// What of one marketplace came in and no run has planned yet.
    pub fn intake(&self) -> IntakeMarkers<'_> {
        IntakeMarkers { market: self }
    }
}

impl IntakeMarkers<'_> {
    /// Writes a note as it stands, open or closed.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn put_note(self, note: &Note) -> Result<(), StoreError> {
        self.market
            .store
            .put(note.item(self.market), None)
            .await
            .map(drop)
    }

    /// A page of a lane's notes, open and closed, from after a call, and where to go on.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn notes_of_lane(
        self,
        lane: u8,
        after: Option<String>,
        limit: Option<i32>,
    ) -> Result<(Vec<Note>, Option<String>), StoreError> {
        let pk = keys::notes(&self.market.id, lane);
        let (items, next) = self
            .market
            .store
            .page(&pk, &Range::All, Reading::STRONG, after, limit)
            .await?;
        let note = |item: &Item| {
            Ok(Note {
                call: text(item, "sk").to_owned(),
                ..data(item)?
            })
        };
        Ok((
            items.iter().map(note).collect::<Result<_, StoreError>>()?,
            next,
        ))
    }

    /// What the notes tell of campaigns, put together; they are not held.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn told_of_campaigns(self) -> Result<Vec<Witnessed>, StoreError> {
        let lanes = (0..NOTE_LANES).map(|lane| async move {
            let (mut told, mut next) = (Vec::new(), None);
            loop {
                let (notes, after) = self.notes_of_lane(lane, next, None).await?;
                let more = notes.into_iter().flat_map(|note| note.campaigns);
                told = merge_witnessed(told.into_iter().chain(more));
                next = after;
                if next.is_none() {
                    return Ok::<_, StoreError>(told);
                }
            }
        });
        let lanes = try_join_all(lanes).await?;
        Ok(merge_witnessed(lanes.into_iter().flatten()))
    }

    /// All notes, open and closed.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn notes(self) -> Result<Vec<Note>, StoreError> {
        let lanes = (0..NOTE_LANES).map(|lane| async move {
            let (mut notes, mut next) = self.notes_of_lane(lane, None, None).await?;
            while next.is_some() {
                let (more, after) = self.notes_of_lane(lane, next, None).await?;
                notes.extend(more);
                next = after;
            }
            Ok::<_, StoreError>(notes)
        });
        Ok(try_join_all(lanes).await?.into_iter().flatten().collect())
    }
}

/// Changed customers who wait for the next run.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    /// At most as many as were asked for.
    pub customers: BTreeSet<CustomerId>,
    /// There are more.
    pub more: bool,
}

/// Notes read at once where it is enough to know some customers.
const NOTES_AT_ONCE: i32 = 25;

impl IntakeMarkers<'_> {
    /// The customers who wait for the next run: those of notes and of units, and those whose orders wait to be decided again; up
    /// to `max` of them.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn pending(self, max: usize, now: Instant) -> Result<Pending, StoreError> {
        let mut pending = Pending::default();
        let firsts =
            (0..NOTE_LANES).map(|lane| self.notes_of_lane(lane, None, Some(NOTES_AT_ONCE)));
        let mut lanes = Vec::new();
        for (lane, (notes, next)) in (0..NOTE_LANES).zip(try_join_all(firsts).await?) {
            pending.take_notes(notes, max);
            lanes.extend(next.map(|next| (lane, next)));
        }
        while let Some((lane, after)) = lanes.pop().filter(|_| !pending.more) {
            let (notes, next) = self
                .notes_of_lane(lane, Some(after), Some(NOTES_AT_ONCE))
                .await?;
            pending.take_notes(notes, max);
            lanes.extend(next.map(|next| (lane, next)));
        }
        let mut asked: Option<Redecide> = None;
        for unit in self.market.jobs().units().await? {
            if pending.more {
                break;
            }
            match unit.work {
                Work::Fold { next } => {
                    let list = self.market.jobs().unit_list(&unit.unit_id).await?;
                    pending.take(list.into_iter().skip(next), max);
                }
                // Every campaign that changes asks for one: they are walked through as a run will, all at once.
                Work::Redecide { span, place: None } => {
                    asked = Some(asked.map_or(span, |all| all.both(span)));
                }
                Work::Redecide { span, place } => {
                    self.take_redecided(&mut pending, span, place, max, now)
                        .await?;
                }
                Work::Refold { .. } => {
                    let mut place = Some(ListPlace::anywhere());
                    while let Some(at) = place.filter(|_| !pending.more) {
                        let (lists, next) = self.market.jobs().unit_lists(at, now).await?;
                        lists
                            .into_iter()
                            .for_each(|(_, list)| pending.take(list, max));
                        place = next;
                    }
                }
                Work::Verify { .. } => {}
            }
        }
        if let Some(span) = asked {
            self.take_redecided(&mut pending, span, None, max, now)
                .await?;
        }
        Ok(pending)
    }

    async fn take_redecided(
        self,
        pending: &mut Pending,
        span: Redecide,
        place: Option<RowPlace>,
        max: usize,
        now: Instant,
    ) -> Result<(), StoreError> {
        let mut redecided = self.market.purchases().redecided(span, place, now).await?;
        while !pending.more
            && let Some(customers) = redecided.next().await?
        {
            pending.take(customers, max);
        }
        Ok(())
    }
}

impl IntakeMarkers<'_> {
    /// True where a customer may have to be folded: a note or a unit names him, or one could that does not say whom.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn waits(self, customer: &CustomerId) -> Result<bool, StoreError> {
        if self
            .notes()
            .await?
            .iter()
            .any(|note| note.is_new() && note.customers.contains(customer))
        {
            return Ok(true);
        }
        for unit in self.market.jobs().units().await? {
            let named = match unit.work {
                Work::Fold { .. } => self
                    .market
                    .jobs()
                    .unit_list(&unit.unit_id)
                    .await?
                    .contains(customer),
                Work::Redecide { .. } | Work::Refold { .. } => true,
                Work::Verify { .. } => false,
            };
            if named {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Pending {
    fn take_notes(&mut self, notes: Vec<Note>, max: usize) {
        for note in notes.into_iter().filter(Note::is_new) {
            self.take(note.customers, max);
        }
    }

    fn take(&mut self, customers: impl IntoIterator<Item = CustomerId>, max: usize) {
        for customer in customers {
            if self.customers.len() < max || self.customers.contains(&customer) {
                self.customers.insert(customer);
            } else {
                self.more = true;
                return;
            }
        }
    }
}
