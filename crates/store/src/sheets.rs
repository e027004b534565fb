//! Day sheets and purchase rows: the figures of a local day, and the list of its orders by who earned them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use revtrail_core::fold::{Contribution, OrderLine};
use revtrail_core::id::{CampaignId, CustomerId};
use revtrail_core::settings::Versions;
use revtrail_core::sheet::Sheet;
use revtrail_core::time::{DAY_MS, Day, Instant};
use serde::{Deserialize, Serialize};

use crate::client::{
    Condition, Fault, Item, NewItem, Range, Reading, StoreError, TRANSACTION_ITEMS_MAX, Transacted,
    Write, data, expired, item_bytes, number, text, unreadable,
};
use crate::keys;
use crate::market::{Market, TRIES_MAX};
use crate::notes::Note;
use crate::work::Redecide;

/// Most transactions in a row that may fail without anything moving on.
pub(crate) const FAILURES_MAX: usize = 50;

/// A stored order as the last run decided it, under the campaign that earned it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurchaseRow {
    /// Who bought.
    #[serde(rename = "c")]
    pub customer_id: CustomerId,
    /// The order, decided.
    #[serde(rename = "l")]
    pub line: OrderLine,
}

/// A sheet above this many bytes takes no more: what comes goes to the next stripe, whose sheet is just another part of the sum.
/// About 6,000 campaigns of a day, compressed; eight times as many in all.
const SHEET_BYTES_MAX: usize = 300_000;
/// Most bytes of the notes that take others' places in one transaction, which has 4 MB and holds some sheets.
const SUCCESSORS_BYTES_MAX: usize = 1_000_000;

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

impl Market {
    /// When what belongs to a day is no longer seen.
    pub(crate) fn unseen_at(&self, day: Day) -> Instant {
        day.over_everywhere()
            .plus_ms(self.retention.ms() + 2 * DAY_MS)
    }

    /// Takes the sheets of days in hand, in the first stripe from the desk's own on where there is room.
    async fn fetch(
        &self,
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
            let key = |(&day, &stripe): (&Day, &u8)| keys::sheet(&self.id, stripe, day);
            let keys: Vec<_> = wanted.iter().map(key).collect();
            for (&day, &stripe) in &wanted {
                let nothing = OnDesk {
                    stripe,
                    ..OnDesk::default()
                };
                desk.sheets.insert(day, nothing);
            }
            for item in self.store.get_all(&keys, true).await? {
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
        &self,
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
    fn put_sheet(&self, stripe: u8, day: Day, stored: &StoredSheet) -> Write {
        let mut item = NewItem::at(&keys::sheet(&self.id, stripe, day))
            .number("v", stored.version + 1)
            .packed(&stored.sheet)
            .expires(self.unseen_at(day));
        if !stored.merged.is_empty() {
            let merged = serde_json::to_string(&stored.merged).unwrap_or_default();
            item = item.text("m", merged);
        }
        self.store
            .put_write(item, Some(Condition::version(stored.version)))
    }

    /// Moves what lies of quiet days (those before `day`) in other stripes to the first, a day in one transaction. A day that
    /// moves meanwhile is left for another time.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn merge_quiet(&self, day: Day) -> Result<(), StoreError> {
        // DynamoDB takes no empty text for a key; no day lies before this one.
        let range = Range::Between("0".to_owned(), day.minus(1).to_string());
        let mut stripes: BTreeMap<Day, Vec<(u8, StoredSheet)>> = BTreeMap::new();
        for stripe in 1..keys::STRIPES {
            let pk = keys::sheets(&self.id, stripe);
            for item in self.store.query(&pk, &range, Reading::EVENTUAL).await? {
                let (day, stored) = read_sheet(&item)?;
                if !stored.sheet.is_empty() {
                    stripes.entry(day).or_default().push((stripe, stored));
                }
            }
        }
        for (day, parts) in stripes {
            let first = self.store.get(&keys::sheet(&self.id, 0, day), true).await?;
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
                self.store.transact(writes).await?;
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
        &self,
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
                    self.store.delete_write(
                        &keys::note(&self.id, &note.call),
                        Some(Condition::present()),
                    )
                })
                .collect();
            writes.append(&mut successors);
            let before = writes.len();
            writes.extend(self.sheet_writes(desk, &differences).await?);
            let bytes: Vec<usize> = writes.iter().skip(before).map(Write::bytes).collect();
            match self.store.transact(writes).await? {
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
        &self,
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
            let successor = successor.map(|next| self.store.put_write(next.item(self), None));
            let more = 1 + usize::from(new_day) + usize::from(successor.is_some());
            if batch.len() + successors.len() + differences.len() + more > TRANSACTION_ITEMS_MAX {
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
        &self,
        from: Day,
        to: Day,
        reading: Reading,
        now: Instant,
    ) -> Result<BTreeMap<Day, Sheet<CampaignId>>, StoreError> {
        let range = &Range::Between(from.to_string(), to.to_string());
        let mut reading = reading;
        for _ in 0..TRIES_MAX {
            let stripes = (0..keys::STRIPES).map(|stripe| async move {
                let pk = keys::sheets(&self.id, stripe);
                self.store.query(&pk, range, reading).await
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

    /// A write that puts a purchase row.
    pub(crate) fn put_row(&self, day: Day, customer: &CustomerId, line: &OrderLine) -> Write {
        let item = NewItem::at(&self.row_key(day, line)).data(&PurchaseRow {
            customer_id: customer.clone(),
            line: line.clone(),
        });
        self.store
            .put_write(item.expires(self.unseen_at(day)), None)
    }

    /// A write that deletes a purchase row.
    pub(crate) fn delete_row(&self, day: Day, line: &OrderLine) -> Write {
        self.store.delete_write(&self.row_key(day, line), None)
    }

    pub(crate) fn row_key(&self, day: Day, line: &OrderLine) -> keys::Key {
        let campaign = line.credit.as_ref().map(|credit| &credit.campaign_id);
        keys::purchase(&self.id, campaign, day, line.placed_at, &line.order_id)
    }

    /// True where the purchase rows of a customer are those of a contribution.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn rows_are(
        &self,
        customer: &CustomerId,
        contribution: &Contribution,
    ) -> Result<bool, StoreError> {
        let days = contribution.days.iter();
        let mut lines: Vec<(Day, &OrderLine)> = days
            .flat_map(|(&day, part)| part.orders.iter().map(move |line| (day, line)))
            .collect();
        let keys: Vec<_> = lines
            .iter()
            .map(|(day, line)| self.row_key(*day, line))
            .collect();
        for item in self.store.get_all(&keys, true).await? {
            let row: PurchaseRow = data(&item)?;
            lines.retain(|(_, line)| **line != row.line || row.customer_id != *customer);
        }
        Ok(lines.is_empty())
    }

    /// The orders that a campaign earned (or nobody, for `None`) on some days, both ends included; a page of them, newest
    /// first, from after the sort key `after`, and where to go on.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn purchases(
        &self,
        campaign: Option<&CampaignId>,
        from: Day,
        to: Day,
        after: Option<String>,
        reading: Reading,
        now: Instant,
    ) -> Result<(Vec<(String, PurchaseRow)>, Option<String>), StoreError> {
        // A day's rows begin with the day and "/": "0" is the next byte.
        let range = Range::Between(from.to_string(), format!("{to}0"));
        let reading = Reading {
            newest_first: true,
            ..reading
        };
        let (items, next) = self
            .store
            .page(
                &keys::purchases(&self.id, campaign),
                &range,
                reading,
                after,
                None,
            )
            .await?;
        let row = |item: &Item| Ok((text(item, "sk").to_owned(), data(item)?));
        let rows = items
            .iter()
            .filter(|item| !expired(item, now))
            .map(row)
            .collect::<Result<_, StoreError>>()?;
        Ok((rows, next))
    }

    /// All orders of a day as the last run decided them, read strongly, by (`placed_at`, `order_id`). The day's sheet says which campaigns
    /// earned any.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn orders_of_day(
        &self,
        day: Day,
        sheet: &Sheet<CampaignId>,
        now: Instant,
    ) -> Result<Vec<PurchaseRow>, StoreError> {
        let campaigns: BTreeSet<&CampaignId> = sheet
            .rows
            .iter()
            .filter(|(_, figures)| figures.orders != 0)
            .map(|((id, _), _)| id)
            .collect();
        let mut rows = Vec::new();
        for campaign in campaigns.into_iter().map(Some).chain([None]) {
            let mut after = None;
            loop {
                let (page, next) = self
                    .purchases(campaign, day, day, after, Reading::STRONG, now)
                    .await?;
                rows.extend(page.into_iter().map(|(_, row)| row));
                match next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
        }
        rows.sort_by(|a, b| {
            (a.line.placed_at, &a.line.order_id).cmp(&(b.line.placed_at, &b.line.order_id))
        });
        Ok(rows)
    }
}

/// The customers of the orders placed in a time, by day: found through the sheets and purchase rows, never by a scan.
#[derive(Debug)]
pub struct Redecided<'m> {
    market: &'m Market,
    span: Redecide,
    now: Instant,
    days: std::collections::btree_map::IntoIter<Day, Sheet<CampaignId>>,
}

impl Market {
    /// Those whose orders a change touches, from after a day on.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn redecided(
        &self,
        mut span: Redecide,
        after: Option<Day>,
        now: Instant,
    ) -> Result<Redecided<'_>, StoreError> {
        let mut days = BTreeMap::new();
        if let Some(versions) = self.versions().await? {
            let day = |at: Instant| at.day(versions.at(at).settings.timezone);
            let first_folded = self.retention.first_folded(day(now));
            // A day on both sides: a day is named by the zone in force at the order's own instant.
            let mut first = day(span.from).minus(1);
            if first < first_folded {
                // An order that nobody sees any more can be the purchase that made a visible one not the customer's first.
                first = first_folded;
                let look_back_ms = self.retention.look_back_ms();
                span.to = span.to.map(|to| to.plus_ms(look_back_ms));
            }
            let first = after.map_or(first, |after| first.max(after.plus(1)));
            let last = day(span.to.unwrap_or(now)).plus(2);
            if first <= last {
                days = self.sheets(first, last, Reading::STRONG, now).await?;
            }
        }
        Ok(Redecided {
            market: self,
            span,
            now,
            days: days.into_iter(),
        })
    }
}

impl Redecided<'_> {
    /// The customers of the next day with any figures.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn next(&mut self) -> Result<Option<(Day, BTreeSet<CustomerId>)>, StoreError> {
        let Some((day, sheet)) = self.days.next() else {
            return Ok(None);
        };
        let rows = self.market.orders_of_day(day, &sheet, self.now).await?;
        let touched = rows
            .into_iter()
            .filter(|row| self.span.takes(row.line.placed_at));
        Ok(Some((day, touched.map(|row| row.customer_id).collect())))
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
