//! Settings of a marketplace: what can be set (rule 4.1).

mod presets;
mod read;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::attribution::event::{Channel, EventKind};
use crate::attribution::order::Status;
use crate::value::money::Currency;
use crate::value::time::Span;

pub use presets::Preset;
pub use versions::{Version, Versions};

/// Which of the candidates wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Winner {
    /// The message sent last.
    LastSent,
    /// The message touched last.
    LastInteraction,
}

/// Whose later campaign ends the run of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Supersede {
    /// Nobody's.
    None,
    /// One sent to the same customer.
    Customer,
    /// One sent by the marketplace to anybody.
    Marketplace,
}

/// What a refund does to revenue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refunds {
    /// A wholly refunded order drops out.
    DropOrder,
    /// Nothing.
    Gross,
    /// It is taken off.
    Net,
}

/// Whether machines' opens and clicks are engagement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineEvents {
    /// They enter no figure and connect nothing.
    Ignore,
    /// They are as good as a person's.
    Count,
}

/// Where a window starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowFrom {
    /// At the send of the message.
    Sent,
    /// At the touch.
    Event,
}

/// What connects a message of a channel to a sale, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRule {
    /// The kinds that connect: any of sent, delivered, opened, clicked; at least one.
    pub connect_on: BTreeSet<EventKind>,
    /// How long.
    pub window: Span,
    /// From when.
    pub window_from: WindowFrom,
}

/// One complete set of settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Shows or hides revenue in reports; read from the newest version.
    pub enabled: bool,
    /// Off: orders are kept and connected to nothing.
    pub link: bool,
    /// Where days begin.
    pub timezone: chrono_tz::Tz,
    /// Orders of another currency are not counted; `None` keeps every currency apart.
    pub currency: Option<Currency>,
    /// A channel left out never earns.
    pub channels: BTreeMap<Channel, ChannelRule>,
    /// Which candidate wins.
    pub winner: Winner,
    /// Whose later campaign ends an earlier one's run.
    pub supersede: Supersede,
    /// Campaigns with one of these tags step aside.
    pub excluded_tags: Vec<String>,
    /// Orders of another status are not counted.
    pub counted_statuses: BTreeSet<Status>,
    /// What a refund does.
    pub refunds: Refunds,
    /// Whether machines count.
    pub machine_events: MachineEvents,
    /// How a mail provider's webhook names our ids: provider → field → where it is found.
    #[serde(default)]
    pub providers: BTreeMap<String, BTreeMap<String, String>>,
}

impl Settings {
    /// The longest window, in milliseconds; 0 where no channel earns.
    pub fn longest_window_ms(&self) -> i64 {
        self.channels
            .values()
            .map(|rule| rule.window.ms())
            .max()
            .unwrap_or(0)
    }

    /// True where a channel's window starts at the touch.
    pub fn any_window_from_event(&self) -> bool {
        self.channels
            .values()
            .any(|rule| rule.window_from == WindowFrom::Event)
    }

    /// True where one of the tags is excluded.
    pub fn excludes(&self, tags: &[String]) -> bool {
        tags.iter().any(|tag| self.excluded_tags.contains(tag))
    }
}
