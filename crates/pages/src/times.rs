//! Times as people read them, in the zone of the marketplace.

use std::fmt;

use askama::filters::HtmlSafe;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use revtrail_core::value::time::Instant;

/// A time: exact for programs, local for people. It is HTML.
#[derive(Clone)]
pub(crate) struct Moment {
    pub(crate) exact: String,
    pub(crate) shown: String,
}

impl HtmlSafe for Moment {}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exact, shown } = self;
        write!(
            f,
            "<time datetime=\"{exact}\" title=\"{exact}\">{shown}</time>"
        )
    }
}

fn local(at: Instant, zone: Tz) -> DateTime<Tz> {
    let utc = DateTime::<Utc>::from_timestamp_millis(at.ms()).unwrap_or_default();
    utc.with_timezone(&zone)
}

/// The day that begins at a time; `None` where the time is within a day.
pub(crate) fn begins(at: Instant, zone: Tz) -> Option<String> {
    let time = local(at, zone);
    (time.format("%H:%M:%S%.3f").to_string() == "00:00:00.000")
        .then(|| time.format("%Y-%m-%d").to_string())
}

/// A time with its day; the year where it is another than now.
pub(crate) fn moment(at: Instant, zone: Tz, now: Instant) -> Moment {
    let (time, today) = (local(at, zone), local(now, zone));
    let same_year = time.format("%Y").to_string() == today.format("%Y").to_string();
    let pattern = if same_year {
        "%-d %b, %H:%M"
    } else {
        "%-d %b %Y, %H:%M"
    };
    Moment {
        exact: at.to_string(),
        shown: time.format(pattern).to_string(),
    }
}

/// The hour and minute where it is today, else with its day.
pub(crate) fn lately(at: Instant, zone: Tz, now: Instant) -> Moment {
    let today = at.day(zone) == now.day(zone);
    let shown = local(at, zone).format("%H:%M").to_string();
    let exact = at.to_string();
    if today {
        Moment { exact, shown }
    } else {
        moment(at, zone, now)
    }
}

/// A day, like 20 Nov; with its year where that is asked for.
pub(crate) fn day(text: &str, with_year: bool) -> String {
    let pattern = if with_year { "%-d %b %Y" } else { "%-d %b" };
    let parsed = NaiveDate::parse_from_str(text, "%Y-%m-%d");
    parsed.map_or(text.to_owned(), |day| day.format(pattern).to_string())
}

/// How long it is from one time to another, in its two greatest units.
pub(crate) fn apart(from: Instant, to: Instant) -> String {
    let minutes = (to.ms() - from.ms()).abs() / 60_000;
    let (days, hours, minutes) = (minutes / 1440, minutes / 60 % 24, minutes % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_local() {
        let at = |text: &str| Instant::parse(text).unwrap();
        let now = at("2026-11-20T12:00:00Z");
        let zone = Tz::Europe__Kyiv;
        for (time, shown, late) in [
            ("2026-11-20T10:15:00Z", "20 Nov, 12:15", "12:15"),
            ("2026-11-19T22:30:00Z", "20 Nov, 00:30", "00:30"),
            ("2026-07-01T10:15:00Z", "1 Jul, 13:15", "1 Jul, 13:15"),
            (
                "2025-11-20T10:15:00Z",
                "20 Nov 2025, 12:15",
                "20 Nov 2025, 12:15",
            ),
        ] {
            assert_eq!(moment(at(time), zone, now).shown, shown);
            assert_eq!(lately(at(time), zone, now).shown, late);
        }
        assert_eq!(day("2026-11-01", true), "1 Nov 2026");
        assert_eq!(apart(at("2026-11-20T10:15:00Z"), now), "1 h 45 min");
        assert_eq!(apart(at("2026-11-18T10:00:00Z"), now), "2 d 2 h");
    }
}
