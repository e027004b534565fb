//! Whom a change reaches: which orders must be decided again when a campaign or the settings change.
//!
//! This module mirrors `decide`: that looks backwards from an order, and this looks forwards from a change. If a decision comes
//! to look further, a change must reach further too, so the two modules share their constants.

use serde::{Deserialize, Serialize};

use crate::attribution::campaign::Campaign;
use crate::attribution::decide::SEND_TIME_BEFORE_MS_MAX;
use crate::attribution::settings::{Supersede, Versions};
use crate::value::time::Instant;

/// Which orders are decided again, by the time they were placed; both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reattribution {
    /// The earliest placing time, in UTC.
    pub from: Instant,
    /// The latest placing time, in UTC; `None` where there is no end.
    pub to: Option<Instant>,
    /// True where the settings changed and not a campaign. Redemptions depend on the settings too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settings: bool,
    /// True where a version was replayed. Redemptions of any time may name the orders of the period.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replay: bool,
}

impl Reattribution {
    /// True where an order placed at this time is decided again.
    pub fn takes(&self, placed_at: Instant) -> bool {
        placed_at >= self.from && self.to.is_none_or(|to| placed_at <= to)
    }

    /// One range that contains both ranges.
    pub fn both(self, other: Self) -> Self {
        let to = self.to.zip(other.to).map(|(a, b)| a.max(b));
        Self {
            from: self.from.min(other.from),
            to,
            settings: self.settings || other.settings,
            replay: self.replay || other.replay,
        }
    }

    /// The orders of other customers that a change of a campaign can affect; `None` where it affects none.
    ///
    /// A send time that moves from `a` to `b` supersedes messages sent before either of the two. So the change affects orders
    /// from the earlier of the two up to the later one plus the longest window. It also affects messages without a `sent` event,
    /// which lie up to [`SEND_TIME_BEFORE_MS_MAX`] after it. Where a window starts at the event, or where tags change, the touch
    /// can be at any time, so there is no end. A campaign that is seen for the first time has messages only of customers who are
    /// in jobs already, so it affects other customers only by superseding their messages.
    pub fn after_change(
        stood: Option<&Campaign>,
        stands: &Campaign,
        versions: &Versions,
    ) -> Option<Self> {
        let times = [stood.and_then(Campaign::send_time), stands.send_time()];
        let settings = || versions.deciding().map(|version| &version.settings);
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
                settings: false,
                replay: false,
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
        // A send time that is lost or gained moves messages that may lie at any time after it.
        let open_ended =
            known.len() == 1 || settings().any(|settings| settings.any_window_from_event());
        Some(Self {
            from,
            to: (!open_ended).then(|| later.plus_ms(SEND_TIME_BEFORE_MS_MAX + longest)),
            settings: false,
            replay: false,
        })
    }
}
