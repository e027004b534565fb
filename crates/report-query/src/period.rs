//! The period of a report: whole local days, of which only the visible ones are shown.

use revtrail_core::attribution::settings::Versions;
use revtrail_core::record::{Code, Problem as Bad};
use revtrail_core::value::time::Day;
use revtrail_web::call::Call;
use revtrail_web::query::Query;
use serde::ser::{Serialize, SerializeStruct, Serializer};

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

    /// All visible days, unless a period is told.
    pub(crate) fn read_or_all(query: &mut Query<'_>, call: &Call, versions: &Versions) -> Self {
        if [query.text("from"), query.text("to")] != [None, None] {
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

impl Serialize for Period {
    /// `from` included and `to` excluded, as they are asked for; of days that are not seen any more nothing is left.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let to = self.last.plus(1);
        let mut period = serializer.serialize_struct("Period", 2)?;
        period.serialize_field("from", &self.first.min(to))?;
        period.serialize_field("to", &to)?;
        period.end()
    }
}
