//! Day sheets and purchase rows: the figures of a local day, and the list of its orders by who earned them.

use std::collections::{BTreeMap, BTreeSet};

use revtrail_core::fold::OrderLine;
use revtrail_core::id::{CampaignId, CustomerId};
use revtrail_core::settings::Versions;
use revtrail_core::sheet::Sheet;
use revtrail_core::time::{DAY_MS, Day, Instant};
use serde::{Deserialize, Serialize};

use crate::client::{
    Condition, Fault, Item, NewItem, Range, Reading, StoreError, TRANSACTION_ITEMS_MAX, Transacted,
    Write, data, expired, number, text,
};
use crate::keys;
use crate::market::Market;
use crate::notes::Note;

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

/// The sheets a worker has in hand, with the versions it last saw, so that a sheet is read once and not at every step.
#[derive(Debug, Default)]
pub struct Desk {
    sheets: BTreeMap<Day, (i64, Sheet<CampaignId>)>,
}

impl Desk {
    fn forget(&mut self, day: Day) {
        self.sheets.remove(&day);
    }
}

impl Market {
    /// When what belongs to a day is no longer seen.
    pub(crate) fn unseen_at(&self, day: Day) -> Instant {
        day.over_everywhere()
            .plus_ms(self.retention.ms() + 2 * DAY_MS)
    }

    /// Writes that add differences to the sheets of days, each under its version.
    pub(crate) async fn sheet_writes(
        &self,
        desk: &mut Desk,
        differences: &BTreeMap<Day, Sheet<CampaignId>>,
    ) -> Result<Vec<Write>, StoreError> {
        let missing: Vec<_> = differences
            .keys()
            .filter(|day| !desk.sheets.contains_key(day))
            .copied()
            .collect();
        let keys: Vec<_> = missing
            .iter()
            .map(|&day| keys::sheet(&self.id, day))
            .collect();
        for item in self.store.get_all(&keys, true).await? {
            let (day, sheet) = read_sheet(&item)?;
            desk.sheets
                .insert(day, (number(&item, "v").unwrap_or(0), sheet));
        }
        let mut writes = Vec::new();
        for (&day, difference) in differences {
            let (version, stands) = desk.sheets.entry(day).or_default();
            let mut sheet = stands.clone();
            sheet.add(difference);
            let item = NewItem::at(&keys::sheet(&self.id, day))
                .number("v", *version + 1)
                .packed(&sheet)
                .expires(self.unseen_at(day));
            writes.push(
                self.store
                    .put_write(item, Some(Condition::version(*version))),
            );
        }
        Ok(writes)
    }

    /// Takes over that the writes of [`Market::sheet_writes`] were made.
    pub(crate) fn sheets_written(desk: &mut Desk, differences: &BTreeMap<Day, Sheet<CampaignId>>) {
        for (day, difference) in differences {
            let (version, sheet) = desk.sheets.entry(*day).or_default();
            *version += 1;
            sheet.add(difference);
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
            desk.forget(day);
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
    ) -> Result<(), StoreError> {
        let mut left: Vec<&Note> = notes.iter().collect();
        let mut failures = 0;
        while !left.is_empty() {
            let (batch, differences) = self.absorbable(&left, versions);
            let mut writes: Vec<Write> = batch
                .iter()
                .map(|note| {
                    self.store.delete_write(
                        &keys::note(&self.id, &note.call),
                        Some(Condition::present()),
                    )
                })
                .collect();
            writes.extend(self.sheet_writes(desk, &differences).await?);
            match self.store.transact(writes).await? {
                Transacted::Done => {
                    Self::sheets_written(desk, &differences);
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
                    Self::sheets_at_fault(desk, &differences, &faults[batch.len()..]);
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

    /// The first notes that fit into a transaction with their sheets, and what they add to these.
    fn absorbable<'n>(
        &self,
        notes: &[&'n Note],
        versions: &Versions,
    ) -> (Vec<&'n Note>, BTreeMap<Day, Sheet<CampaignId>>) {
        let mut differences: BTreeMap<Day, Sheet<CampaignId>> = BTreeMap::new();
        let mut batch = Vec::new();
        for note in notes {
            let day = note.at.day(versions.at(note.at).settings.timezone);
            let new_day = note.closed && !differences.contains_key(&day);
            if batch.len() + differences.len() + 1 + usize::from(new_day) > TRANSACTION_ITEMS_MAX {
                break;
            }
            if note.closed {
                let sheet = differences.entry(day).or_default();
                sheet.orders_in.add(&note.orders_in);
                sheet.events_in.add(&note.events_in);
            }
            batch.push(*note);
        }
        (batch, differences)
    }

    /// The sheets of some days, both ends included; days without anything are absent.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn sheets(
        &self,
        from: Day,
        to: Day,
        now: Instant,
    ) -> Result<BTreeMap<Day, Sheet<CampaignId>>, StoreError> {
        self.read_sheets(from, to, Reading::EVENTUAL, now).await
    }

    /// The sheets of some days, read strongly.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn sheets_now(
        &self,
        from: Day,
        to: Day,
        now: Instant,
    ) -> Result<BTreeMap<Day, Sheet<CampaignId>>, StoreError> {
        self.read_sheets(from, to, Reading::STRONG, now).await
    }

    async fn read_sheets(
        &self,
        from: Day,
        to: Day,
        reading: Reading,
        now: Instant,
    ) -> Result<BTreeMap<Day, Sheet<CampaignId>>, StoreError> {
        let range = Range::Between(from.to_string(), to.to_string());
        let items = self
            .store
            .query(&keys::sheets(&self.id), &range, reading)
            .await?;
        items
            .iter()
            .filter(|item| !expired(item, now))
            .map(read_sheet)
            .collect()
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
        strong: bool,
        now: Instant,
    ) -> Result<(Vec<(String, PurchaseRow)>, Option<String>), StoreError> {
        // A day's rows begin with the day and "/": "0" is the next byte.
        let range = Range::Between(from.to_string(), format!("{to}0"));
        let reading = Reading {
            strong,
            newest_first: true,
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
                let (page, next) = self.purchases(campaign, day, day, after, true, now).await?;
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

fn read_sheet(item: &Item) -> Result<(Day, Sheet<CampaignId>), StoreError> {
    let day = Day::parse(text(item, "sk"))
        .ok_or_else(|| crate::client::unreadable(item, "its key is no day"))?;
    Ok((day, data(item)?))
}
