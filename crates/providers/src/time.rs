//! Times as senders write them: seconds or milliseconds of the epoch, RFC 3339, or a format with or without an offset.

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Duration, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use revtrail_core::value::time::Instant;

/// How a sender writes its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit<'a> {
    /// As the built-in senders do: a number is seconds or, from 10^11 on (in seconds that is the year 5138), milliseconds of the
    /// epoch; a text is a date with or without an offset.
    Any,
    Seconds,
    Milliseconds,
    Rfc3339,
    /// A format of `strftime`; without `%z` the time is local.
    Format(&'a str),
}

/// From this number on, a number is milliseconds.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// The forms of dates without a unit: those with an offset, then those without one.
const WITH_OFFSET: [&str; 3] = [
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%dT%H:%M:%S%.f%z",
];
const LOCAL: [&str; 2] = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];

/// The unit with a name: `s`, `ms`, `rfc3339`, or a format.
pub(crate) fn unit(name: &str) -> Unit<'_> {
    match name {
        "s" => Unit::Seconds,
        "ms" => Unit::Milliseconds,
        "rfc3339" => Unit::Rfc3339,
        format => Unit::Format(format),
    }
}

/// True for a unit whose times need a zone.
pub(crate) fn is_local(name: &str) -> bool {
    match unit(name) {
        Unit::Format(format) => !["%z", "%:z", "%::z", "%#z", "%+"]
            .iter()
            .any(|offset| format.contains(offset)),
        _ => false,
    }
}

/// Checks the name of a unit.
pub(crate) fn check(name: &str) -> Result<(), String> {
    match unit(name) {
        Unit::Format(format) if StrftimeItems::new(format).any(|item| item == Item::Error) => {
            Err(format!(
                "{format:?} is no form of times: write it like \"%Y-%m-%d %H:%M:%S\", or rfc3339, s or ms"
            ))
        }
        Unit::Format(format) if !format.contains('%') => Err(format!(
            "{format:?} is no form of times: write it like \"%Y-%m-%d %H:%M:%S\", or rfc3339, s or ms"
        )),
        _ => Ok(()),
    }
}

/// The time in a text; `None` where it is none. A time without an offset is one of `zone`.
pub(crate) fn instant(text: &str, unit: Unit<'_>, zone: Tz) -> Option<Instant> {
    let text = text.trim();
    match unit {
        Unit::Seconds => epoch(text, 1_000),
        Unit::Milliseconds => epoch(text, 1),
        Unit::Rfc3339 => Instant::parse(text).ok(),
        Unit::Format(format) => with_offset(text, format).or_else(|| local(text, format, zone)),
        Unit::Any => any(text, zone),
    }
}

fn any(text: &str, zone: Tz) -> Option<Instant> {
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        let whole: i64 = text.split('.').next()?.parse().ok()?;
        return epoch(text, if whole < MILLISECONDS_FROM { 1_000 } else { 1 });
    }
    let parsed = Instant::parse(text).ok();
    parsed
        .or_else(|| {
            WITH_OFFSET
                .iter()
                .find_map(|format| with_offset(text, format))
        })
        .or_else(|| LOCAL.iter().find_map(|format| local(text, format, zone)))
}

/// A count of the epoch in units of so many milliseconds, with or without a fraction. What is below a millisecond is cut.
fn epoch(text: &str, unit_ms: i64) -> Option<Instant> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() > 15 {
        return None;
    }
    let thousandths: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let ms = whole.parse::<i64>().ok()?.checked_mul(unit_ms)?;
    Some(Instant::from_ms(ms + thousandths * unit_ms / 1_000))
}

fn with_offset(text: &str, format: &str) -> Option<Instant> {
    let at = DateTime::parse_from_str(text, format).ok()?;
    Some(Instant::from_ms(at.timestamp_millis()))
}

fn local(text: &str, format: &str, zone: Tz) -> Option<Instant> {
    let wall = NaiveDateTime::parse_from_str(text, format).ok()?;
    Some(Instant::from_ms(in_zone(wall, zone)?))
}

/// The instant at which clocks in a zone show a time. An hour that comes twice is the first of the two; one that is left out counts
/// as if clocks had not been put forward yet.
fn in_zone(wall: NaiveDateTime, zone: Tz) -> Option<i64> {
    if let Some(at) = zone.from_local_datetime(&wall).earliest() {
        return Some(at.timestamp_millis());
    }
    let hour = Duration::hours(1);
    let before = zone.from_local_datetime(&(wall - hour)).earliest()?;
    Some((before + hour).timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_times_are_read() {
        let kyiv = chrono_tz::Europe::Kyiv;
        let format = "%d.%m.%Y %H:%M:%S";
        for (text, unit, found) in [
            ("1461095250", Unit::Any, Some("2016-04-19T19:47:30.000Z")),
            ("1520363423000", Unit::Any, Some("2018-03-06T19:10:23.000Z")),
            (
                "1377214260.049634",
                Unit::Any,
                Some("2013-08-22T23:31:00.049Z"),
            ),
            (
                "1377214260.5",
                Unit::Seconds,
                Some("2013-08-22T23:31:00.500Z"),
            ),
            (
                "1377214260049.9",
                Unit::Milliseconds,
                Some("2013-08-22T23:31:00.049Z"),
            ),
            (
                "2014-08-01T13:28:10.2735393-04:00",
                Unit::Any,
                Some("2014-08-01T17:28:10.273Z"),
            ),
            (
                "2016-12-02 20:31:39 +00:00",
                Unit::Any,
                Some("2016-12-02T20:31:39.000Z"),
            ),
            (
                "2023-08-10 07:21:56+00:00",
                Unit::Any,
                Some("2023-08-10T07:21:56.000Z"),
            ),
            (
                "2017-05-15T23:59:47+0300",
                Unit::Any,
                Some("2017-05-15T20:59:47.000Z"),
            ),
            (
                "2024-09-06 23:14:24",
                Unit::Any,
                Some("2024-09-06T20:14:24.000Z"),
            ),
            (
                "2023-09-14T08:30:03",
                Unit::Any,
                Some("2023-09-14T05:30:03.000Z"),
            ),
            // The hour that comes twice, and the one that is left out.
            (
                "2026-10-25 03:30:00",
                Unit::Any,
                Some("2026-10-25T00:30:00.000Z"),
            ),
            (
                "2026-03-29 03:30:00",
                Unit::Any,
                Some("2026-03-29T01:30:00.000Z"),
            ),
            (
                "20.11.2026 10:00:00",
                Unit::Format(format),
                Some("2026-11-20T08:00:00.000Z"),
            ),
            ("20.11.2026 10:00:00", Unit::Any, None),
            ("2026-11-20T10:00:00", Unit::Rfc3339, None),
            ("", Unit::Any, None),
            (".", Unit::Any, None),
            ("1.2.3", Unit::Any, None),
            ("99999999999999999999", Unit::Any, None),
            ("-5", Unit::Seconds, None),
        ] {
            let at = instant(text, unit, kyiv).map(|at| at.to_string());
            assert_eq!(at.as_deref(), found, "{text} {unit:?}");
        }
    }
}
