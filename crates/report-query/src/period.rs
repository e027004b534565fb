//! The period of a report: whole local days, of which only the visible ones are shown.

use revtrail_core::attribution::settings::Versions;
use revtrail_core::record::{Code, Problem as Bad};
use revtrail_core::value::time::Day;
use revtrail_web::query::Query;
use revtrail_web::route::Call;

/// Days from `first` to `last`, both included; empty where `last` is before `first`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) first: Day,
    pub(crate) last: Day,
}

/// Days of a period that is not told.
const DEFAULT_DAYS: u32 = 30;

impl Period {
    /// `from` included, `to` excluded; both absent: the last 30 days with today; one absent: 30 days from the other.
    pub(crate) fn read(query: &mut Query<'_>, call: &Call, versions: &Versions) -> Self {
        let today = call.now.day(versions.newest().settings.timezone);
        let (from, to) = match (query.day("from"), query.day("to")) {
            (Some(from), Some(to)) => (from, to),
            (Some(from), None) => (from, from.plus(DEFAULT_DAYS)),
            (None, Some(to)) => (to.minus(DEFAULT_DAYS), to),
            (None, None) => (today.plus(1).minus(DEFAULT_DAYS), today.plus(1)),
        };
        if from > to {
            query.wrong(Bad::of(
                "to",
                Code::UnknownValue,
                format!("to: {to} is before from: {from}"),
            ));
        }
        Self {
            first: from.max(call.app.retention().first_visible(today)),
            last: to.minus(1),
        }
    }

    /// All visible days, unless a period is told.
    pub(crate) fn read_or_all(query: &mut Query<'_>, call: &Call, versions: &Versions) -> Self {
        if query.text("from").is_some() || query.text("to").is_some() {
            return Self::read(query, call, versions);
        }
        let today = call.now.day(versions.newest().settings.timezone);
        // Orders may be placed up to ten minutes ahead, in a zone that was in force before.
        Self {
            first: call.app.retention().first_visible(today),
            last: today.plus(2),
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.last < self.first
    }
}
