//! Notes: what one ingest call touched. Written open before its facts and closed after them, before the answer, so that a
//! fact can never be stored without the attributor hearing of its customer.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use revtrail_core::id::CustomerId;
use revtrail_core::sheet::Intake;
use revtrail_core::time::Instant;
use serde::{Deserialize, Serialize};

use crate::client::{NewItem, Range, Reading, StoreError, data, random_hex, text};
use crate::keys::{self, NOTE_LANES};
use crate::market::{Market, Witnessed};

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
        }
    }

    /// True where the planner may delete it, once its customers are in units.
    pub fn may_go(&self, now: Instant) -> bool {
        self.closed || self.at < now.minus_ms(OPEN_NOTE_AGE_MS_MAX)
    }
}

impl Market {
    /// Writes a note as it stands, open or closed.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn put_note(&self, note: &Note) -> Result<(), StoreError> {
        let item = NewItem::at(&keys::note(&self.id, &note.call)).data(note);
        self.store.put(item, None).await.map(drop)
    }

    /// All notes, open and closed.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn notes(&self) -> Result<Vec<Note>, StoreError> {
        let lanes = (0..NOTE_LANES).map(|lane| async move {
            let mut notes = Vec::new();
            for item in self
                .store
                .query(&keys::notes(&self.id, lane), &Range::All, Reading::STRONG)
                .await?
            {
                notes.push(Note {
                    call: text(&item, "sk").to_owned(),
                    ..data(&item)?
                });
            }
            Ok::<_, StoreError>(notes)
        });
        Ok(try_join_all(lanes).await?.into_iter().flatten().collect())
    }
}

/// What waits for the next run.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    /// Changed customers, at most as many as were asked for.
    pub customers: BTreeSet<CustomerId>,
    /// There are more.
    pub more: bool,
    /// What the closed notes tell of campaigns.
    pub campaigns: Vec<Witnessed>,
}

impl Market {
    /// The changed customers that wait for the next run, in notes or in units, up to `max` of them.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn pending(&self, max: usize) -> Result<Pending, StoreError> {
        let mut pending = Pending::default();
        for note in self.notes().await? {
            pending.campaigns.extend(note.campaigns);
            pending.take(note.customers, max);
        }
        for unit in self.units().await? {
            if let crate::work::Work::Customers(customers) = unit.work {
                pending.take(customers, max);
            }
        }
        Ok(pending)
    }
}

impl Pending {
    fn take(&mut self, customers: impl IntoIterator<Item = CustomerId>, max: usize) {
        for customer in customers {
            if self.customers.len() < max || self.customers.contains(&customer) {
                self.customers.insert(customer);
            } else {
                self.more = true;
            }
        }
    }
}
