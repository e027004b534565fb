//! The settings of a marketplace: what can be set (rule 4.1).

mod changes;
mod presets;
mod providers;
mod read;
mod reader;
mod replay;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::attribution::event::{Channel, EventKind};
use crate::attribution::order::Status;
use crate::value::money::Currency;
use crate::value::time::Span;

pub use changes::SettingChange;
pub use presets::Preset;
pub use providers::{
    CustomSender, HIDDEN, MachineMark, Provider, Providers, SENDERS, Signature, SignatureScheme,
    TimeUnit,
};
pub use read::EXCLUDED_TAGS_MAX;
pub use replay::{Bound, Period, Replay};
pub use versions::{Version, Versions};

/// Which candidate earns an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Winner {
    /// The message that was sent last.
    LastSent,
    /// The message that was touched last.
    LastInteraction,
}

impl Winner {
    /// All ways to choose a winner.
    pub const ALL: [Self; 2] = [Self::LastSent, Self::LastInteraction];
}

/// Which later campaign ends the run of an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Supersede {
    /// No campaign does.
    None,
    /// A campaign that was sent to the same customer.
    Customer,
    /// A campaign that the marketplace sent to anybody.
    Marketplace,
}

impl Supersede {
    /// All ways in which a campaign can end the run of another.
    pub const ALL: [Self; 3] = [Self::None, Self::Customer, Self::Marketplace];
}

/// What a refund does to revenue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refunds {
    /// A fully refunded order is not counted.
    DropOrder,
    /// A refund changes nothing.
    Gross,
    /// The refund is subtracted from the amount of the order.
    Net,
}

impl Refunds {
    /// All ways to treat refunds.
    pub const ALL: [Self; 3] = [Self::DropOrder, Self::Gross, Self::Net];
}

/// Whether opens and clicks made by machines are engagement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineEvents {
    /// Machine events enter no figure and connect no message to an order.
    Ignore,
    /// Machine events are treated like those of a person.
    Count,
}

impl MachineEvents {
    /// All ways to treat the opens and clicks of machines.
    pub const ALL: [Self; 2] = [Self::Ignore, Self::Count];
}

/// The instant at which the window of a message starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowFrom {
    /// The window starts when the message is sent.
    Sent,
    /// The window starts at the touch.
    Event,
}

impl WindowFrom {
    /// All instants at which a window can start.
    pub const ALL: [Self; 2] = [Self::Sent, Self::Event];
}

/// What connects a message of one channel to a sale, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelRule {
    /// The kinds of event that connect: at least one of sent, delivered, opened and clicked.
    pub connect_on: BTreeSet<EventKind>,
    /// How long after its start the window ends.
    pub window: Span,
    /// The instant at which the window starts.
    pub window_from: WindowFrom,
}

/// One complete set of settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// True where reports show revenue. The newest version decides this for all reports.
    pub enabled: bool,
    /// True where orders are connected to campaigns. If false, orders are stored and nobody earns them.
    pub link: bool,
    /// The time zone that decides where a day begins.
    pub timezone: chrono_tz::Tz,
    /// The only currency whose orders are counted. With `None`, orders of all currencies are counted, each currency apart.
    pub currency: Option<Currency>,
    /// What connects a message on each channel. A channel that is left out never earns an order.
    pub channels: BTreeMap<Channel, ChannelRule>,
    /// Which candidate earns an order.
    pub winner: Winner,
    /// Which later campaign ends the run of an earlier one.
    pub supersede: Supersede,
    /// Campaigns that carry one of these tags never earn an order.
    pub excluded_tags: Vec<String>,
    /// The statuses whose orders are counted.
    pub counted_statuses: BTreeSet<Status>,
    /// What a refund does to revenue.
    pub refunds: Refunds,
    /// Whether opens and clicks made by machines are engagement.
    pub machine_events: MachineEvents,
    /// How webhooks name the ids of revtrail, and what proves their posts.
    #[serde(default)]
    pub providers: Providers,
}

impl Settings {
    /// The longest window of any channel, in milliseconds; 0 where no channel earns.
    pub fn longest_window_ms(&self) -> i64 {
        self.channels
            .values()
            .map(|rule| rule.window.ms())
            .max()
            .unwrap_or(0)
    }

    /// True where the window of any channel starts at the touch.
    pub fn any_window_from_event(&self) -> bool {
        self.channels
            .values()
            .any(|rule| rule.window_from == WindowFrom::Event)
    }

    /// These settings as an answer shows them: without the secrets of senders.
    pub fn without_secrets(&self) -> Self {
        Self {
            providers: self.providers.without_secrets(),
            ..self.clone()
        }
    }

    /// True where at least one of the tags is excluded.
    pub fn excludes(&self, tags: &[String]) -> bool {
        tags.iter().any(|tag| self.excluded_tags.contains(tag))
    }
}
