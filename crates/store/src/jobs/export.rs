//! An export: what was asked for, where it goes on, and what its files are called.

use std::collections::BTreeSet;

use revtrail_core::value::address::Recipient;
use revtrail_core::value::id::MarketplaceId;
use revtrail_core::value::time::{DAY_MS, Day, Instant};
use serde::{Deserialize, Serialize};

use crate::jobs::job::{Job, RedemptionPlace, Work};
use crate::random::random_hex;

/// For how long an export is kept after it was last worked on, in milliseconds.
const KEPT_MS: i64 = DAY_MS;
/// A kind of rows that an export can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportKind {
    /// Events, as they came in.
    Events,
    /// The standing copies of orders, as they came in.
    Orders,
    /// Each order as the last run decided it.
    Credits,
    /// The figures of the daily aggregates, by campaign, channel and day.
    CampaignDays,
    /// Redemptions, with their results and flags.
    Redemptions,
}

impl ExportKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Events,
        Self::Orders,
        Self::Credits,
        Self::CampaignDays,
        Self::Redemptions,
    ];

    /// The name of the kind, as the interface spells it. It is the name of a folder too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Orders => "orders",
            Self::Credits => "credits",
            Self::CampaignDays => "campaign_days",
            Self::Redemptions => "redemptions",
        }
    }

    /// True if each row names a customer.
    fn names_customers(self) -> bool {
        self != Self::CampaignDays
    }
}

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportState {
    /// Some rows are not written yet.
    Running,
    /// All rows are written, and so is the manifest.
    Done,
    /// A customer was erased since. The files are deleted, or are about to be.
    Removed,
}

/// Where an export goes on. The stages follow one another in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportStage {
    /// The figures of days.
    CampaignDays,
    /// Events, orders and credits: address by address, and then customer by customer in the order of their ids.
    Facts {
        /// The customers up to this one are written; `None` at the beginning.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Recipient>,
        /// The next customer, and the last of their items that is written, if the walk stopped within a customer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        within: Option<(Recipient, String)>,
    },
    /// Redemptions, promotion by promotion.
    Redemptions {
        /// The place in the walk through all promotions; `None` at the beginning.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<RedemptionPlace>,
    },
    /// All rows are written. What is left is the manifest.
    Manifest,
}

impl ExportStage {
    /// The first stage.
    pub const FIRST: Self = Self::CampaignDays;

    /// The stage that follows.
    pub fn next(&self) -> Self {
        match self {
            Self::CampaignDays => Self::Facts {
                after: None,
                within: None,
            },
            Self::Facts { .. } => Self::Redemptions { place: None },
            Self::Redemptions { .. } | Self::Manifest => Self::Manifest,
        }
    }
}

/// An export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The name of the export.
    #[serde(skip)]
    pub id: String,
    /// The kinds of rows that were asked for.
    pub what: BTreeSet<ExportKind>,
    /// The first day of the rows.
    pub from: Day,
    /// The first day that is not in the export any more.
    pub to: Day,
    /// The name of the access key that asked for it.
    pub by: String,
    /// When it was asked for.
    pub at: Instant,
    /// The time that the figures were as of when it was asked for.
    pub as_of: Option<Instant>,
    /// How far it is.
    pub state: ExportState,
    /// Where it goes on.
    pub stage: ExportStage,
    /// How many parts of this stage were drafted.
    #[serde(default)]
    pub(super) drafts: u32,
    /// When somebody last worked on it.
    pub(super) moved_at: Instant,
    /// True for a removed export whose files are deleted.
    #[serde(default)]
    pub(super) deleted: bool,
    /// The version of the stored export, which every write raises.
    #[serde(skip)]
    pub(super) version: i64,
}

/// A file of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportFile {
    /// What the rows are.
    #[serde(rename = "w")]
    pub what: ExportKind,
    /// The day of all rows.
    #[serde(rename = "d")]
    pub day: Day,
    /// The number of the attempt at writing rows of this kind that made the file.
    #[serde(rename = "n")]
    pub attempt: u32,
    /// The number of rows.
    #[serde(rename = "r")]
    pub rows: u64,
    /// The size of the file.
    #[serde(rename = "b")]
    pub bytes: u64,
}

impl ExportFile {
    /// The name of the file in the folder of its export: `credits/2026-11-20.jsonl.gz`, and `credits/2026-11-20-2.jsonl.gz` where
    /// the second attempt made it.
    pub fn name(&self) -> String {
        let (what, day) = (self.what.name(), self.day);
        match self.attempt {
            1 => format!("{what}/{day}.jsonl.gz"),
            n => format!("{what}/{day}-{n}.jsonl.gz"),
        }
    }
}

/// Some files of an export that were written together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPart {
    /// The number of the part.
    pub(super) number: i64,
    /// True if the files belong to the export. They may not exist otherwise.
    pub counted: bool,
    /// The files.
    pub files: Vec<ExportFile>,
}

impl Export {
    /// A new export, at its beginning.
    pub fn new(
        what: BTreeSet<ExportKind>,
        (from, to): (Day, Day),
        by: &str,
        as_of: Option<Instant>,
        at: Instant,
    ) -> Self {
        Self {
            id: random_hex()[..16].to_owned(),
            what,
            from,
            to,
            by: by.to_owned(),
            at,
            as_of,
            state: ExportState::Running,
            stage: ExportStage::FIRST,
            drafts: 0,
            moved_at: at,
            deleted: false,
            version: 0,
        }
    }

    /// True if rows of this kind were asked for.
    pub fn has(&self, kind: ExportKind) -> bool {
        self.what.contains(&kind)
    }

    /// True for a day of the export.
    pub fn has_day(&self, day: Day) -> bool {
        (self.from..self.to).contains(&day)
    }

    /// When the export is no longer shown, and its files go.
    pub fn expires_at(&self) -> Instant {
        self.moved_at.plus_ms(KEPT_MS)
    }

    /// The key of the folder that has the files.
    pub fn folder(&self, marketplace: &MarketplaceId) -> String {
        format!("outbox/{marketplace}/exports/{}", self.id)
    }

    /// The number of the next attempt at writing rows of this stage.
    pub fn next_attempt(&self) -> u32 {
        self.drafts + 1
    }

    /// True if some rows name customers.
    pub(crate) fn names_customers(&self) -> bool {
        self.what.iter().any(|kind| kind.names_customers())
    }

    /// The job that writes its files.
    pub(super) fn job(&self) -> Job {
        let id = self.id.clone();
        Job::new(Work::Export { id }, None, 0, 0, self.at)
    }
}
