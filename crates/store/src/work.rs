//! Units of work: which customers wait to be folded, and which orders wait to be decided again. A unit is the truth; the
//! message that points at it is not, and may be lost or doubled.

use revtrail_core::campaign::Campaign;
use revtrail_core::id::{CustomerId, MarketplaceId};
use revtrail_core::settings::{Supersede, Versions};
use revtrail_core::time::{DAY_MS, Instant};
use serde::{Deserialize, Serialize};

use crate::client::{
    Condition, NewItem, PutOutcome, Range, Reading, StoreError, Write, data, random_hex, text,
};
use crate::keys;
use crate::market::Market;

/// Most customers of a unit: with ids of 128 bytes still below an item's 400 KB.
pub const UNIT_CUSTOMERS_MAX: usize = 2_500;

/// A pointer to work, as it goes through the queue. It carries no truth: lost, doubled or late it changes no figure, for what
/// waits stands in the table, and every tick points at it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Nudge {
    /// Plan what changed in a marketplace.
    Plan {
        /// Which.
        marketplace: MarketplaceId,
        /// The run that was asked for and is on record already; none where a schedule asks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
    },
    /// Work a unit off.
    Work {
        /// Whose.
        marketplace: MarketplaceId,
        /// Which unit.
        unit_id: String,
    },
}

/// A unit of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its name.
    #[serde(skip)]
    pub unit_id: String,
    /// The run that planned it; none for work that settings or campaigns asked for.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// What to do.
    #[serde(rename = "w")]
    pub work: Work,
}

/// What a unit asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Fold these customers.
    #[serde(rename = "c")]
    Customers(Vec<CustomerId>),
    /// Fold the customers of the orders placed in a time.
    #[serde(rename = "d")]
    Redecide(Redecide),
    /// Fold all customers that were folded before the marketplace held its first order.
    #[serde(rename = "y")]
    RefoldEarly,
}

/// Which orders are decided again, by when they were placed; both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redecide {
    /// From here.
    pub from: Instant,
    /// To here; `None` up to the last.
    pub to: Option<Instant>,
}

impl Unit {
    /// The customers it names.
    pub fn customers(&self) -> &[CustomerId] {
        match &self.work {
            Work::Customers(customers) => customers,
            Work::Redecide(_) | Work::RefoldEarly => &[],
        }
    }

    /// A unit with a name of its own.
    pub fn new(work: Work, run_id: Option<String>) -> Self {
        Self {
            unit_id: random_hex(),
            run_id,
            work,
        }
    }
}

impl Redecide {
    /// True for an order placed then.
    pub fn takes(&self, placed_at: Instant) -> bool {
        placed_at >= self.from && self.to.is_none_or(|to| placed_at <= to)
    }

    /// A time that holds both.
    pub fn both(self, other: Self) -> Self {
        let to = self.to.zip(other.to).map(|(a, b)| a.max(b));
        Self {
            from: self.from.min(other.from),
            to,
        }
    }

    /// The orders of other customers that a change of a campaign can touch; `None` where it touches none.
    ///
    /// A send time that moves from `a` to `b` supersedes messages sent before either, so it touches orders from the
    /// earlier of the two up to the later and the longest window; also messages without a `sent` event, which lie up to
    /// 30 days after it. Where a window starts at the event, or tags change, the touch can be at any time: up to now.
    /// A campaign heard of for the first time has no messages but those of customers who are in units already, so it
    /// touches others only by superseding them.
    pub fn after_change(
        stood: Option<&Campaign>,
        stands: &Campaign,
        versions: &Versions,
    ) -> Option<Self> {
        let times = [stood.and_then(Campaign::send_time), stands.send_time()];
        let settings = || {
            versions
                .all()
                .iter()
                .filter(|version| !version.replaced)
                .map(|version| &version.settings)
        };
        let retagged = stood.is_some_and(|stood| stood.tags != stands.tags)
            || (stood.is_none() && !stands.tags.is_empty());
        if retagged {
            let first = [stood, Some(stands)]
                .into_iter()
                .flatten()
                .flat_map(|campaign| [campaign.first_event_at, campaign.send_time()])
                .flatten()
                .min()?;
            return Some(Self {
                from: first,
                to: None,
            });
        }
        if times[0] == times[1] {
            return None;
        }
        let known_before = stood.is_some_and(|stood| stood.first_event_at.is_some());
        if !known_before && !settings().any(|settings| settings.supersede == Supersede::Marketplace)
        {
            return None;
        }
        let known: Vec<Instant> = times.into_iter().flatten().collect();
        let (from, later) = (*known.iter().min()?, *known.iter().max()?);
        let longest = settings()
            .map(|settings| settings.longest_window_ms())
            .max()
            .unwrap_or(0);
        // Losing a send time, or gaining one, moves messages that may lie anywhere after.
        let open_ended =
            known.len() == 1 || settings().any(|settings| settings.any_window_from_event());
        Some(Self {
            from,
            to: (!open_ended).then(|| later.plus_ms(30 * DAY_MS + longest)),
        })
    }
}

impl Market {
    pub(crate) fn put_unit(&self, unit: &Unit) -> Write {
        self.store.put_write(
            NewItem::at(&keys::unit(&self.id, &unit.unit_id)).data(unit),
            None,
        )
    }

    /// Writes a unit.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn add_unit(&self, unit: &Unit) -> Result<(), StoreError> {
        let item = NewItem::at(&keys::unit(&self.id, &unit.unit_id)).data(unit);
        match self.store.put(item, Some(Condition::absent())).await? {
            PutOutcome::Done(_) | PutOutcome::Refused(_) => Ok(()),
        }
    }

    /// All units that wait.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn units(&self) -> Result<Vec<Unit>, StoreError> {
        let mut units = Vec::new();
        for item in self
            .store
            .query(&keys::units(&self.id), &Range::All, Reading::STRONG)
            .await?
        {
            units.push(Unit {
                unit_id: text(&item, "sk").to_owned(),
                ..data(&item)?
            });
        }
        Ok(units)
    }

    /// Keeps the list of a unit's customers, as long as the marketplace holds no order: another version of the settings
    /// would replace the one they were folded under.
    ///
    /// # Errors
    /// What the table answers.
    pub async fn keep_early(&self, unit: &Unit) -> Result<(), StoreError> {
        let item = NewItem::at(&keys::early_unit(&self.id, &unit.unit_id)).data(unit);
        self.store.put(item, None).await.map(drop)
    }

    /// The lists kept by [`Market::keep_early`].
    ///
    /// # Errors
    /// What the table answers.
    pub async fn early_units(&self) -> Result<Vec<Unit>, StoreError> {
        self.store
            .query(&keys::early_units(&self.id), &Range::All, Reading::STRONG)
            .await?
            .iter()
            .map(data)
            .collect()
    }
}
