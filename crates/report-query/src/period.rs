//! The period of a report: whole local days, of which only the visible ones are shown.

use revtrail_core::attribution::settings::Versions;
use revtrail_core::record::{Code, RecordProblem as Bad};
use revtrail_core::value::time::Day;
use revtrail_web::call::Call;
use revtrail_web::query::Query;
use serde::ser::{Serialize, SerializeStruct, Serializer};

/// The days from `first` to `last`, both included; there are none if `last` is before `first`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Period {
    pub(crate) first: Day,
    pub(crate) last: Day,
}

/// How many days a period has if the query does not give it.
const DEFAULT_DAYS: u32 = 30;

impl Period {
    /// Reads `from` (included) and `to` (excluded). Without both: the last 30 days with today. Without one: 30 days from the
    /// other.
    pub(crate) fn read(query: &mut Query<'_>, call: &Call, versions: &Versions) -> Self {
        let today = call.now.day(versions.newest().settings.timezone);
        let (from, to) = match (query.day("from"), query.day("to")) {
            (Some(from), Some(to)) => (from, to),
            (Some(from), None) => (from, from.plus(DEFAULT_DAYS)),
            (None, Some(to)) => (to.minus(DEFAULT_DAYS), to),
            (None, None) => (today.plus(1).minus(DEFAULT_DAYS), today.plus(1)),
        };
        if from >= to {
            let detail = format!(
                "from: {from} is not before to: {to}, which is the first day that is not in the period"
            );
            query.wrong(Bad::of("from", Code::UnknownValue, detail));
        }
        Self {
            first: from.max(call.app.retention().first_visible(today)),
            last: to.minus(1),
        }
    }

    /// Reads a period; without one, all visible days.
    pub(crate) fn read_or_all(query: &mut Query<'_>, call: &Call, versions: &Versions) -> Self {
        if [query.text("from"), query.text("to")] != [None, None] {
            return Self::read(query, call, versions);
        }
        let today = call.now.day(versions.newest().settings.timezone);
        // Orders may be placed up to ten minutes ahead of the clock, in a time zone that was in force before.
        Self {
            first: call.app.retention().first_visible(today),
            last: today.plus(2),
        }
    }

    /// The period of the same length just before; `None` where it begins before the visible days.
    pub(crate) fn previous(self, call: &Call, versions: &Versions) -> Option<Self> {
        let today = call.now.day(versions.newest().settings.timezone);
        let days = u32::try_from(self.last.plus(1).since(self.first)).ok()?;
        let before = Self {
            first: self.first.minus(days),
            last: self.first.minus(1),
        };
        let visible = before.first >= call.app.retention().first_visible(today);
        (visible && !before.is_empty()).then_some(before)
    }

    /// The first visible day of the week before the period.
    pub(crate) fn week_before(self, call: &Call, versions: &Versions) -> Day {
        let today = call.now.day(versions.newest().settings.timezone);
        let visible = call.app.retention().first_visible(today);
        self.first.minus(7).max(visible).min(self.first)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.last < self.first
    }
}

impl Serialize for Period {
    /// Writes `from` (included) and `to` (excluded), as they are asked for. Days that are no longer visible are left out.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let to = self.last.plus(1);
        let mut period = serializer.serialize_struct("Period", 2)?;
        period.serialize_field("from", &self.first.min(to))?;
        period.serialize_field("to", &to)?;
        period.end()
    }
}
