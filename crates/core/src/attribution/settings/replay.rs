//! Replays: a saved version of the settings that was applied to the orders of a period afterwards (rule 4.5).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::value::time::{Day, Instant};

/// One end of a period: a local day, or an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The beginning of a day, by the time zone that is in force at the instant that is compared.
    Day(Day),
    /// An instant, in UTC.
    Instant(Instant),
}

impl Bound {
    /// Parses `YYYY-MM-DD`, or an instant of RFC 3339; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let day = Day::parse(text).map(Self::Day);
        day.or_else(|| Instant::parse(text).ok().map(Self::Instant))
    }

    /// True where an instant, which lies on the given day, is not before this end.
    fn is_reached(self, at: Instant, day: Day) -> bool {
        match self {
            Self::Day(bound) => day >= bound,
            Self::Instant(bound) => at >= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Instant(at) => at.fmt(f),
        }
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bad = || serde::de::Error::custom(format_args!("{text:?} is no day and no instant"));
        Self::parse(&text).ok_or_else(bad)
    }
}

/// A half-open period: `from` is in it, and `to` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// The beginning of the period, which is in it.
    pub from: Bound,
    /// The end of the period, which is not in it.
    pub to: Bound,
}

impl Period {
    /// True where the period holds an instant, which lies on the given day.
    pub fn holds(&self, at: Instant, day: Day) -> bool {
        self.from.is_reached(at, day) && !self.to.is_reached(at, day)
    }

    /// The first day of the period in a time zone.
    pub fn first_day(&self, zone: chrono_tz::Tz) -> Day {
        match self.from {
            Bound::Day(day) => day,
            Bound::Instant(at) => at.day(zone),
        }
    }

    /// The last day of the period in a time zone.
    pub fn last_day(&self, zone: chrono_tz::Tz) -> Day {
        match self.to {
            Bound::Day(day) => day.minus(1),
            Bound::Instant(at) => at.minus_ms(1).day(zone),
        }
    }

    /// True where the period holds no instant in a time zone.
    pub fn is_empty(&self, zone: chrono_tz::Tz) -> bool {
        match (self.from, self.to) {
            (Bound::Instant(from), Bound::Instant(to)) => from >= to,
            _ => self.last_day(zone) < self.first_day(zone),
        }
    }

    /// Two instants between which every instant of the period lies, whatever time zones are in force.
    pub fn outline(&self) -> (Instant, Instant) {
        // A day begins at most 14 hours before its midnight in UTC, and at most 12 hours after it.
        let from = match self.from {
            Bound::Day(day) => day.minus(3).over_everywhere(),
            Bound::Instant(at) => at,
        };
        let to = match self.to {
            Bound::Day(day) => day.minus(1).over_everywhere(),
            Bound::Instant(at) => at,
        };
        (from, to)
    }
}

/// One replay: from `at` on, a saved version decides the orders that were placed in a period, also those that come later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The name of the replay.
    pub replay_id: String,
    /// The number of the version that decides the orders.
    pub version: u32,
    /// The period in which the orders were placed.
    #[serde(flatten)]
    pub period: Period,
    /// The name of the access key that asked for the replay.
    pub by: String,
    /// When the replay was asked for, in UTC.
    pub at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_half_open() {
        let zone = chrono_tz::Europe::Kyiv;
        // The columns: the two ends, and an instant; whether the period holds it.
        for (from, to, at, holds) in [
            ("2026-11-20", "2026-11-21", "2026-11-19T22:00:00Z", true),
            (
                "2026-11-20",
                "2026-11-21",
                "2026-11-19T21:59:59.999Z",
                false,
            ),
            ("2026-11-20", "2026-11-21", "2026-11-20T21:59:59.999Z", true),
            ("2026-11-20", "2026-11-21", "2026-11-20T22:00:00Z", false),
            (
                "2026-11-20T02:00:00+02:00",
                "2026-11-21",
                "2026-11-20T00:00:00Z",
                true,
            ),
            (
                "2026-11-20T00:00:00.001Z",
                "2026-11-21",
                "2026-11-20T00:00:00Z",
                false,
            ),
            (
                "2026-11-20",
                "2026-11-20T12:00:00Z",
                "2026-11-20T12:00:00Z",
                false,
            ),
        ] {
            let bound = |text| Bound::parse(text).unwrap();
            let (from, to) = (bound(from), bound(to));
            let at = Instant::parse(at).unwrap();
            let period = Period { from, to };
            assert_eq!(
                period.holds(at, at.day(zone)),
                holds,
                "{from} to {to}: {at}"
            );
            let (earliest, latest) = period.outline();
            assert!(!holds || (earliest <= at && at < latest), "{from} to {to}");
            let stored = serde_json::to_string(&period).unwrap();
            assert_eq!(serde_json::from_str::<Period>(&stored).unwrap(), period);
        }
        for (from, to, is_empty) in [
            ("2026-11-20", "2026-11-20", true),
            ("2026-11-20", "2026-11-21", false),
            ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00Z", true),
            ("2026-11-20T12:00:00Z", "2026-11-20T12:00:00.001Z", false),
            ("2026-11-20", "2026-11-19T22:00:00Z", true),
            ("2026-11-20", "2026-11-19T22:00:00.001Z", false),
            ("2026-11-20T22:00:00Z", "2026-11-21", true),
            ("2026-11-20T21:59:59.999Z", "2026-11-21", false),
        ] {
            let [from, to] = [from, to].map(|text| Bound::parse(text).unwrap());
            assert_eq!(
                Period { from, to }.is_empty(zone),
                is_empty,
                "{from} to {to}"
            );
        }
        assert_eq!(Bound::parse("2026-11-20T00:00:00"), None);
        assert_eq!(Bound::parse("yesterday"), None);
    }
}
