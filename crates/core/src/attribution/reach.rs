//! Whom a change reaches: which orders have to be decided again when a campaign or the settings change.
//!
//! The mirror of `decide`: what that looks at backwards from an order, this follows forwards from a change. A rule that makes a
//! decision look further must make a change reach further, so the two share their constants.

use serde::{Deserialize, Serialize};

use crate::attribution::campaign::Campaign;
use crate::attribution::decide::SEND_TIME_BEFORE_MS_MAX;
use crate::attribution::settings::{Supersede, Versions};
use crate::value::time::Instant;

/// Which orders are decided again, by when they were placed; both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reattribution {
    /// From here.
    pub from: Instant,
    /// To here; `None` up to the last.
    pub to: Option<Instant>,
    /// Settings changed, and no campaign: redemptions follow them too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settings: bool,
}

impl Reattribution {
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
            settings: self.settings || other.settings,
        }
    }

    /// The orders of other customers that a change of a campaign can touch; `None` where it touches none.
    ///
    /// A send time that moves from `a` to `b` supersedes messages sent before either, so it touches orders from the
    /// earlier of the two up to the later and the longest window; also messages without a `sent` event, which lie up to
    /// [`SEND_TIME_BEFORE_MS_MAX`] after it. Where a window starts at the event, or tags change, the touch can be at any time: up to now.
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
                settings: false,
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
            to: (!open_ended).then(|| later.plus_ms(SEND_TIME_BEFORE_MS_MAX + longest)),
            settings: false,
        })
    }
}
