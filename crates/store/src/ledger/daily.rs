//! Day sheets: the figures of local days.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use revtrail_core::attribution::settings::Versions;
use revtrail_core::figures::sheet::Sheet;
use revtrail_core::value::id::CampaignId;
use revtrail_core::value::time::{DAY_MS, Day, Instant};

use crate::ledger::intake::Note;
use crate::market::{Market, TRIES_MAX};
use crate::table::client::{Range, Reading};
use crate::table::condition::Condition;
use crate::table::fault::{Fault, StoreError};
use crate::table::item::{Item, NewItem, data, expired, item_bytes, number, text, unreadable};
use crate::table::keys;
use crate::table::write::{TRANSACTION_ITEMS_MAX, Transacted, Write};

/// Most transactions in a row that may fail without anything moving on.
pub(crate) const FAILURES_MAX: usize = 50;

/// A sheet above this many bytes takes no more: what comes goes to the next stripe, whose sheet is just another part of the sum.
/// About 6,000 campaigns of a day, compressed; eight times as many in all.
const SHEET_BYTES_MAX: usize = 300_000;
/// Most bytes of the notes that take others' places in one transaction, which has 4 MB and holds some sheets.
const SUCCESSORS_BYTES_MAX: usize = 1_000_000;

/// Most sheets of a transaction that absorbs notes: those of outages that lasted for weeks.
const SHEETS_MAX: usize = 7;

/// The sheets that a worker has in hand, with the versions it last saw, so that a sheet is read once and not at every step.
#[derive(Debug)]
pub struct Desk {
    stripe: u8,
    sheets: BTreeMap<Day, OnDesk>,
}

#[derive(Debug, Default)]
struct OnDesk {
    stripe: u8,
    stored: StoredSheet,
    bytes: usize,
}

/// By stripe the version since which that one's sheet of the day holds what this one gave it, or lacks what this one took. Stripes
/// are read one by one, and a merge can lie between two reads: then one of the two shows an older version than the other knows.
type Merged = BTreeMap<u8, i64>;

/// A sheet as it is stored; where none is, the empty one of version 0.
#[derive(Debug, Clone, Default)]
struct StoredSheet {
    version: i64,
    merged: Merged,
    sheet: Sheet<CampaignId>,
}

impl Desk {
    /// Nothing in hand yet; what comes lies in this stripe.
    pub fn of(stripe: u8) -> Self {
        Self {
            stripe,
            sheets: BTreeMap::new(),
        }
    }
}

/// The daily aggregates of one marketplace. Reached by [`Market::daily`].
#[derive(Debug, Clone, Copy)]
pub struct Daily<'m> {
    market: &'m Market,
}

impl Market {
    /// The daily aggregates of one marketplace.
    pub fn daily(&self) -> Daily<'_> {
        Daily { market: self }
    }
}

impl Daily<'_> {
    /// When what belongs to a day is no longer seen.
    pub(crate) fn unseen_at(self, day: Day) -> Instant {
        day.over_everywhere()
            .plus_ms(self.market.retention.ms() + 2 * DAY_MS)
    }

    /// Takes the sheets of days in hand, in the first stripe from the desk's own on where there is room.
    async fn fetch(
        self,
        desk: &mut Desk,
        days: impl Iterator<Item = Day>,
    ) -> Result<(), StoreError> {
        let mut wanted: BTreeMap<Day, u8> = BTreeMap::new();
        for day in days {
            match desk.sheets.get(&day) {
                Some(on) if on.bytes <= SHEET_BYTES_MAX => {}
                Some(full) => drop(wanted.insert(day, (full.stripe + 1) % keys::STRIPES)),
                None => drop(wanted.insert(day, desk.stripe)),
            }
        }
        while !wanted.is_empty() {
            let key = |(&day, &stripe): (&Day, &u8)| keys::sheet(&self.market.id, stripe, day);
            let keys: Vec<_> = wanted.iter().map(key).collect();
            for (&day, &stripe) in &wanted {
                let nothing = OnDesk {
                    stripe,
                    ..OnDesk::default()
                };
                desk.sheets.insert(day, nothing);
            }
            for item in self.market.store.get_all(&keys, true).await? {
                let (day, stored) = read_sheet(&item)?;
                let on = desk.sheets.entry(day).or_default();
                (on.stored, on.bytes) = (stored, item_bytes(&item));
            }
            wanted.retain(|day, stripe| {
                *stripe = (*stripe + 1) % keys::STRIPES;
                let full = desk
                    .sheets
                    .get(day)
                    .is_some_and(|on| on.bytes > SHEET_BYTES_MAX);
                // Once around, and everything is full: then it is written where it is, and the table says what it thinks of it.
                full && *stripe != desk.stripe
            });
        }
        Ok(())
    }

    /// Writes that add differences to the sheets of days, each under its version.
    pub(crate) async fn sheet_writes(
        self,
        desk: &mut Desk,
        differences: &BTreeMap<Day, Sheet<CampaignId>>,
    ) -> Result<Vec<Write>, StoreError> {
        self.fetch(desk, differences.keys().copied()).await?;
        let mut writes = Vec::new();
        for (&day, difference) in differences {
            let on = desk.sheets.entry(day).or_default();
            let mut next = on.stored.clone();
            next.sheet.add(difference);
            writes.push(self.put_sheet(on.stripe, day, &next));
        }
        Ok(writes)
    }

    /// A write that puts a sheet in the place of the one whose version it has.
    fn put_sheet(self, stripe: u8, day: Day, stored: &StoredSheet) -> Write {
        let mut item = NewItem::at(&keys::sheet(&self.market.id, stripe, day))
            .number("v", stored.version + 1)
            .packed(&stored.sheet)
            .expires(self.unseen_at(day));
        if !stored.merged.is_empty() {
            item = item.json("m", &stored.merged);
        }
        self.market
            .store
            .put_write(item, Some(Condition::version(stored.version)))
    }

    /// Moves what lies of quiet days (those before `day`) in other stripes to the first, a day in one transaction. A day that
    /// moves meanwhile is left for another time.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn merge_quiet(self, day: Day) -> Result<(), StoreError> {
        // DynamoDB takes no empty text for a key; no day lies before this one.
        let range = Range::Between("0".to_owned(), day.minus(1).to_string());
        let mut stripes: BTreeMap<Day, Vec<(u8, StoredSheet)>> = BTreeMap::new();
        for stripe in 1..keys::STRIPES {
            let pk = keys::sheets(&self.market.id, stripe);
            for item in self
                .market
                .store
                .query(&pk, &range, Reading::EVENTUAL)
                .await?
            {
                let (day, stored) = read_sheet(&item)?;
                if !stored.sheet.is_empty() {
                    stripes.entry(day).or_default().push((stripe, stored));
                }
            }
        }
        for (day, parts) in stripes {
            let first = self
                .market
                .store
                .get(&keys::sheet(&self.market.id, 0, day), true)
                .await?;
            let mut first = match &first {
                Some(item) => read_sheet(item)?.1,
                None => StoredSheet::default(),
            };
            let mut writes = Vec::new();
            for (stripe, mut part) in parts {
                // Emptied, not deleted: a version that begins again at 1 could be taken for the one that a frozen worker knows.
                first.sheet.add(&std::mem::take(&mut part.sheet));
                first.merged.insert(stripe, part.version + 1);
                part.merged.insert(0, first.version + 1);
                writes.push(self.put_sheet(stripe, day, &part));
            }
            let first = self.put_sheet(0, day, &first);
            if first.bytes() <= SHEET_BYTES_MAX {
                writes.push(first);
                self.market.store.transact(writes).await?;
            }
        }
        Ok(())
    }

    /// Takes over that the writes of [`Market::sheet_writes`] were made, and how large the sheets are now.
    pub(crate) fn sheets_written(
        desk: &mut Desk,
        differences: &BTreeMap<Day, Sheet<CampaignId>>,
        bytes: impl Iterator<Item = usize>,
    ) {
        for ((day, difference), bytes) in differences.iter().zip(bytes) {
            let on = desk.sheets.entry(*day).or_default();
            on.stored.version += 1;
            on.stored.sheet.add(difference);
            on.bytes = bytes;
        }
    }

    /// Forgets the sheets whose writes were at fault; `faults` are those of the sheets, in the order of `differences`.
    pub(crate) fn sheets_at_fault(
        desk: &mut Desk,
        differences: &BTreeMap<Day, Sheet<CampaignId>>,
        faults: &[Fault],
    ) {
        for (&day, _) in differences
            .iter()
            .zip(faults)
            .filter(|(_, fault)| **fault != Fault::None)
            .map(|(d, f)| (d.0, f))
        {
            desk.sheets.remove(&day);
        }
    }

    /// Deletes notes and, in the same transactions, adds the counts of the closed ones to the sheets of their days of arrival.
    /// A note that is gone already was counted by who deleted it.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn absorb_notes(
        self,
        notes: &[Note],
        versions: &Versions,
        desk: &mut Desk,
        now: Instant,
    ) -> Result<(), StoreError> {
        let mut left: Vec<&Note> = notes.iter().collect();
        let mut failures = 0;
        while !left.is_empty() {
            let (batch, mut successors, differences) = self.absorbable(&left, versions, now);
            let mut writes: Vec<Write> = batch
                .iter()
                .map(|note| {
                    self.market.store.delete_write(
                        &keys::note(&self.market.id, &note.call),
                        Some(Condition::present()),
                    )
                })
                .collect();
            writes.append(&mut successors);
            let before = writes.len();
            writes.extend(self.sheet_writes(desk, &differences).await?);
            let bytes: Vec<usize> = writes.iter().skip(before).map(Write::bytes).collect();
            match self.market.store.transact(writes).await? {
                Transacted::Done => {
                    Self::sheets_written(desk, &differences, bytes.into_iter());
                    failures = 0;
                    left.drain(..batch.len());
                }
                Transacted::Cancelled(faults) => {
                    failures += 1;
                    if failures > FAILURES_MAX {
                        return Err(StoreError::Contended {
                            op: "absorbing notes",
                        });
                    }
                    Self::sheets_at_fault(desk, &differences, &faults[before..]);
                    let gone: BTreeSet<&str> = batch
                        .iter()
                        .zip(&faults)
                        .filter(|(_, fault)| **fault == Fault::Condition)
                        .map(|(note, _)| note.call.as_str())
                        .collect();
                    left.retain(|note| !gone.contains(note.call.as_str()));
                }
            }
        }
        Ok(())
    }

    /// The first notes that fit into a transaction with what takes their places and their sheets, and what they add to these.
    fn absorbable<'n>(
        self,
        notes: &[&'n Note],
        versions: &Versions,
        now: Instant,
    ) -> (Vec<&'n Note>, Vec<Write>, BTreeMap<Day, Sheet<CampaignId>>) {
        let (mut successors, mut bytes) = (Vec::new(), 0);
        let mut differences: BTreeMap<Day, Sheet<CampaignId>> = BTreeMap::new();
        let mut batch = Vec::new();
        for note in notes {
            let day = note.at.day(versions.at(note.at).settings.timezone);
            let new_day = note.closed && !differences.contains_key(&day);
            let successor = note.successor(now);
            let successor =
                successor.map(|next| self.market.store.put_write(next.item(self.market), None));
            let more = 1 + usize::from(new_day) + usize::from(successor.is_some());
            let full = new_day && differences.len() == SHEETS_MAX;
            if full
                || batch.len() + successors.len() + differences.len() + more > TRANSACTION_ITEMS_MAX
            {
                break;
            }
            bytes += successor.as_ref().map_or(0, Write::bytes);
            if bytes > SUCCESSORS_BYTES_MAX && !batch.is_empty() {
                break;
            }
            successors.extend(successor);
            if note.closed {
                let sheet = differences.entry(day).or_default();
                sheet.orders_in.add(&note.orders_in);
                sheet.events_in.add(&note.events_in);
            }
            batch.push(*note);
        }
        (batch, successors, differences)
    }

    /// The sheets of some days, both ends included; days without anything are absent.
    ///
    /// Of all stripes: one may be negative, their sum is not.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn sheets(
        self,
        from: Day,
        to: Day,
        reading: Reading,
        now: Instant,
    ) -> Result<BTreeMap<Day, Sheet<CampaignId>>, StoreError> {
        let range = &Range::Between(from.to_string(), to.to_string());
        let mut reading = reading;
        for _ in 0..TRIES_MAX {
            let stripes = (0..keys::STRIPES).map(|stripe| async move {
                let pk = keys::sheets(&self.market.id, stripe);
                self.market.store.query(&pk, range, reading).await
            });
            let mut days: BTreeMap<Day, BTreeMap<u8, StoredSheet>> = BTreeMap::new();
            for (stripe, items) in (0..).zip(try_join_all(stripes).await?) {
                for item in items.iter().filter(|item| !expired(item, now)) {
                    let (day, stored) = read_sheet(item)?;
                    days.entry(day).or_default().insert(stripe, stored);
                }
            }
            if days.values().all(are_of_one_time) {
                return Ok(days.into_iter().map(sum_of_day).collect());
            }
            // A merge went through between the reads: it is done by now, and a strong read sees all of it.
            reading = Reading::STRONG;
        }
        Err(StoreError::Contended {
            op: "reading sheets",
        })
    }
}

fn read_sheet(item: &Item) -> Result<(Day, StoredSheet), StoreError> {
    let day = Day::parse(text(item, "sk")).ok_or_else(|| unreadable(item, "its key is no day"))?;
    let merged = match text(item, "m") {
        "" => Merged::new(),
        merged => serde_json::from_str(merged).map_err(|why| unreadable(item, why))?,
    };
    let stored = StoredSheet {
        version: number(item, "v").unwrap_or(0),
        merged,
        sheet: data(item)?,
    };
    Ok((day, stored))
}

/// True where no sheet of a day is older than another one knows it.
fn are_of_one_time(sheets: &BTreeMap<u8, StoredSheet>) -> bool {
    let version_of = |stripe| sheets.get(stripe).map_or(0, |stored| stored.version);
    let mut known = sheets.values().flat_map(|stored| &stored.merged);
    known.all(|(stripe, &since)| version_of(stripe) >= since)
}

fn sum_of_day((day, sheets): (Day, BTreeMap<u8, StoredSheet>)) -> (Day, Sheet<CampaignId>) {
    let mut sheets = sheets.into_values().map(|stored| stored.sheet);
    let mut sum = sheets.next().unwrap_or_default();
    sheets.for_each(|sheet| sum.add(&sheet));
    (day, sum)
}
