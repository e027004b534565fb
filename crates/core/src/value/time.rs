//! Instants, spans and calendar days. No clock is read here or anywhere else in this crate: the time is an argument.

use std::fmt;

use chrono::{DateTime, Datelike, Days, NaiveDate};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The length of one hour, in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// The length of one day of 24 hours, in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A moment in UTC, exact to the millisecond, between the years 0000 and 9999.
///
/// # Example
///
/// ```
/// use revtrail_core::value::time::{HOUR_MS, Instant};
///
/// let placed_at = Instant::parse("2026-11-20T11:15:00.1239+01:00").expect("RFC 3339 with an offset");
/// assert_eq!(placed_at.to_string(), "2026-11-20T10:15:00.123Z");
/// assert_eq!(placed_at.plus_ms(HOUR_MS).to_string(), "2026-11-20T11:15:00.123Z");
/// assert!(Instant::parse("2026-11-20 10:15:00Z").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(i64);

/// The error for a text that is not an RFC 3339 time with an offset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no RFC 3339 time with an offset: write it like 2026-11-20T10:15:00Z", crate::value::text::quoted(.0))]
pub struct BadTime(pub String);

/// 0000-01-01T00:00:00.000Z, in milliseconds since the epoch.
const FIRST_MS: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z, in milliseconds since the epoch.
const LAST_MS: i64 = 253_402_300_799_999;

impl Instant {
    /// The first instant that can be represented.
    pub const MIN: Self = Self(FIRST_MS);
    /// The last instant that can be represented.
    pub const MAX: Self = Self(LAST_MS);
    /// A pattern (ECMA-262) of the texts that [`Instant::parse`] takes, for documents of the interface. It takes some days that no
    /// calendar has, like 31 February.
    pub const PATTERN: &str = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";
    /// A pattern (ECMA-262) of printed instants.
    pub const PRINTED: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$";

    /// Makes an instant from milliseconds since 1970-01-01T00:00:00Z, limited to the years 0000 to 9999.
    #[inline]
    pub fn from_ms(epoch_ms: i64) -> Self {
        Self(epoch_ms.clamp(FIRST_MS, LAST_MS))
    }

    /// The milliseconds since 1970-01-01T00:00:00Z.
    #[inline]
    pub fn ms(self) -> i64 {
        self.0
    }

    /// The instant `ms` milliseconds later.
    #[inline]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self::from_ms(self.0.saturating_add(ms))
    }

    /// The instant `ms` milliseconds earlier.
    #[inline]
    pub fn minus_ms(self, ms: i64) -> Self {
        Self::from_ms(self.0.saturating_sub(ms))
    }

    /// Parses the `date-time` of RFC 3339, section 5.6, and nothing looser. Digits after the millisecond are cut.
    ///
    /// RFC 3339 allows `T` and `Z` in lower case, so this function does too. A second is 00 to 59: the grammar knows a leap
    /// second, but UTC in milliseconds cannot hold one. `-00:00` is read as UTC.
    ///
    /// # Errors
    /// [`BadTime`] for anything else, and for instants outside the years 0000 to 9999.
    #[inline]
    pub fn parse(text: &str) -> Result<Self, BadTime> {
        parse_ms(text.as_bytes())
            .filter(|ms| (FIRST_MS..=LAST_MS).contains(ms))
            .map(Self)
            .ok_or_else(|| BadTime(text.to_owned()))
    }

    /// The instant as it is printed: always 24 bytes of ASCII, so that the texts sort as the instants do.
    pub fn text(self) -> [u8; 24] {
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |end: usize, digits: usize, mut number: u32| {
            for digit in text[..end].iter_mut().rev().take(digits) {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        let [year, month, day] = date(self.0.div_euclid(DAY_MS));
        let ms = self.0.rem_euclid(DAY_MS) as u32;
        put(4, 4, year);
        put(7, 2, month);
        put(10, 2, day);
        put(13, 2, ms / 3_600_000);
        put(16, 2, ms / 60_000 % 60);
        put(19, 2, ms / 1_000 % 60);
        put(23, 3, ms % 1_000);
        text
    }

    /// The calendar day of this instant in a time zone.
    pub fn day(self, zone: chrono_tz::Tz) -> Day {
        Day(self.utc().with_timezone(&zone).date_naive())
    }

    fn utc(self) -> DateTime<chrono::Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

/// The milliseconds since the epoch of a `date-time`; `None` where the text is not one.
#[inline]
fn parse_ms(text: &[u8]) -> Option<i64> {
    let (date_time, rest) = text.split_first_chunk::<{ b"2026-11-20T10:15:00".len() }>()?;
    // Every fact that is read asks, so eight bytes are looked at at once.
    let date = numbers(date_time.first_chunk()?, b"0000-00-")?;
    let (_, middle) = date_time.split_first_chunk::<8>()?;
    let mut middle: [u8; 8] = *middle.first_chunk()?;
    middle[2] |= b'T' ^ b't';
    let middle = numbers(&middle, b"00t00:00")?;
    let time = numbers(date_time.last_chunk()?, b"00:00:00")?;
    let two = |numbers: u64, at: u32| u32::from((numbers >> (8 * at)) as u8);
    let (century, year, month) = (two(date, 0), two(date, 2), two(date, 5));
    let (day, hour, minute) = (two(middle, 0), two(middle, 3), two(middle, 6));
    let second = two(time, 6);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_since_epoch(100 * century + year, month, day)?;
    let local_ms = days * DAY_MS + i64::from((hour * 60 + minute) * 60 + second) * 1_000;
    if rest == b"Z" {
        return Some(local_ms);
    }
    let (fraction_ms, offset) = match rest.strip_prefix(b".") {
        None => (0, rest),
        Some(rest) => {
            let len = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            let (fraction, offset) = rest.split_at(len);
            let kept = &fraction[..len.min(3)];
            let unit = [0, 100, 10, 1][kept.len()];
            (digits(kept)? * unit, offset)
        }
    };
    Some(local_ms + i64::from(fraction_ms) - offset_ms(offset)?)
}

/// The number that each byte and the next one write as two digits, in the place of the byte; `None` where `text` has no digit where
/// `shape` has a 0, or another byte where `shape` has any other.
#[inline]
fn numbers(text: &[u8; 8], shape: &[u8; 8]) -> Option<u64> {
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let values = u64::from_le_bytes(*text) ^ u64::from_le_bytes(*shape);
    let others = u64::from_le_bytes(shape.map(|byte| if byte == b'0' { 0 } else { 0xff }));
    // Six more than a digit stays below 16, and a byte that overflows into the next has a high bit itself.
    let wrong = (values | values.wrapping_add(0x0606_0606_0606_0606)) & HIGH | values & others;
    (wrong == 0).then(|| 10 * values + (values >> 8))
}

/// How many days lie between 1970-01-01 and a date of the years 0000 to 9999; `None` where no calendar has it. Every fact that is read
/// asks, so this counts by arithmetic: with years that begin in March, so that a leap day comes last.
#[inline]
fn days_since_epoch(year: u32, month: u32, day: u32) -> Option<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (last, before) = *MONTHS.get(month as usize)?;
    if day == 0 || day > last + u32::from(month == 2 && is_leap) {
        return None;
    }
    // The year before 0000 is in the cycle of 400 years before.
    let year = year + 400 - u32::from(month <= 2);
    let of_year = before + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + of_year;
    Some(i64::from(days) - DAYS_BEFORE_EPOCH)
}

/// For each month, how many days it has, and how many the months before it have in a year that begins in March. There is no month 0.
const MONTHS: [(u32, u32); 13] = [
    (0, 0),
    (31, 306),
    (28, 337),
    (31, 0),
    (30, 31),
    (31, 61),
    (30, 92),
    (31, 122),
    (31, 153),
    (30, 184),
    (31, 214),
    (30, 245),
    (31, 275),
];

/// The year, the month and the day that begin so many days after 1970-01-01: what [`days_since_epoch`] turns into days.
fn date(days: i64) -> [u32; 3] {
    let days = (days + DAYS_BEFORE_EPOCH) as u32;
    let (cycle, days) = (days / DAYS_OF_CYCLE, days % DAYS_OF_CYCLE);
    let year = (days - days / 1_460 + days / 36_524 - days / 146_096) / 365;
    let days = days - (365 * year + year / 4 - year / 100);
    let month = (5 * days + 2) / 153;
    let day = days - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    [400 * cycle + year + u32::from(month <= 2) - 400, month, day]
}

/// The days of 400 years.
const DAYS_OF_CYCLE: u32 = 146_097;
/// The days from 1 March of the year -400 to 1970-01-01.
const DAYS_BEFORE_EPOCH: i64 = 719_468 + 146_097;

/// How far ahead of UTC an offset is, in milliseconds. An offset is `Z`, or a sign, 00 to 23 hours and 00 to 59 minutes.
fn offset_ms(text: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match text {
        b"Z" | b"z" => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, [*h1, *h2], [*m1, *m2]),
        [b'-', h1, h2, b':', m1, m2] => (-1, [*h1, *h2], [*m1, *m2]),
        _ => return None,
    };
    let hours = digits(&hours).filter(|hours| *hours < 24)?;
    let minutes = digits(&minutes).filter(|minutes| *minutes < 60)?;
    Some(sign * i64::from(60 * hours + minutes) * 60_000)
}

/// The number that some ASCII digits write, of at most nine digits; `None` for anything else.
#[inline]
fn digits(text: &[u8]) -> Option<u32> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    all.then(|| text.iter().fold(0, |n, b| 10 * n + u32::from(b - b'0')))
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first day that can be written as `YYYY-MM-DD`.
const FIRST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(0, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};
/// The last day that can be written as `YYYY-MM-DD`.
const LAST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day,
    None => NaiveDate::MAX,
};

/// A calendar day in the time zone of a marketplace, like 2026-11-20.
///
/// # Example
///
/// ```
/// use revtrail_core::value::time::{Day, Instant};
///
/// let late = Instant::parse("2026-11-20T23:30:00Z").expect("RFC 3339 with an offset");
/// assert_eq!(late.day(chrono_tz::Europe::Kyiv).to_string(), "2026-11-21");
/// let day = Day::parse("2026-11-20").expect("a day of the calendar");
/// assert_eq!(day.plus(11).to_string(), "2026-12-01");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(NaiveDate);

impl Day {
    /// A pattern (ECMA-262) of days, for documents of the interface. It takes some days that no calendar has, like 31 February.
    pub const PATTERN: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$";

    /// Parses `YYYY-MM-DD`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let shape = text.len() == 10
            && text.bytes().enumerate().all(|(i, b)| {
                if i == 4 || i == 7 {
                    b == b'-'
                } else {
                    b.is_ascii_digit()
                }
            });
        if shape {
            text.parse().ok().map(Self)
        } else {
            None
        }
    }

    /// The day `n` days earlier, but not before 0000-01-01.
    pub fn minus(self, n: u32) -> Self {
        Self(
            self.0
                .checked_sub_days(Days::new(n.into()))
                .map_or(FIRST_DAY, |day| day.max(FIRST_DAY)),
        )
    }

    /// The day `n` days later, but not after 9999-12-31. So the text of a day always has ten bytes and sorts as the day does.
    pub fn plus(self, n: u32) -> Self {
        Self(
            self.0
                .checked_add_days(Days::new(n.into()))
                .map_or(LAST_DAY, |day| day.min(LAST_DAY)),
        )
    }

    /// The number of days from `earlier` to this day.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.signed_duration_since(earlier.0).num_days()
    }

    /// An instant at which this day is over in every time zone of the world. It serves as a time of expiry.
    pub fn over_everywhere(self) -> Instant {
        Instant::from_ms(
            self.0
                .and_time(chrono::NaiveTime::MIN)
                .and_utc()
                .timestamp_millis(),
        )
        .plus_ms(2 * DAY_MS)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}",
            self.0.year(),
            self.0.month(),
            self.0.day()
        )
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A length of time: `"<n>h"`, `"<n>d"` or `"<n>w"`. It keeps the unit it was written in. A week is 168 hours.
///
/// # Example
///
/// ```
/// use revtrail_core::value::time::{DAY_MS, Span};
///
/// let window = Span::parse("7d").expect("a count and a unit");
/// assert_eq!((window.ms(), window.to_string()), (7 * DAY_MS, "7d".to_owned()));
/// assert_eq!(Span::parse("7 days"), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    count: u32,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Hour,
    Day,
    Week,
}

impl Span {
    /// A pattern (ECMA-262) of the texts that [`Span::parse`] takes, for documents of the interface.
    pub const PATTERN: &str = "^[1-9][0-9]{0,5}[hdw]$";

    /// A span of `count` hours.
    pub const fn hours(count: u32) -> Self {
        Self {
            count,
            unit: Unit::Hour,
        }
    }

    /// A span of `count` days of 24 hours.
    pub const fn days(count: u32) -> Self {
        Self {
            count,
            unit: Unit::Day,
        }
    }

    /// Parses `"<n>h"`, `"<n>d"` or `"<n>w"` with `n` from 1 to 999,999 and no leading zero; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let unit = match text.as_bytes().last()? {
            b'h' => Unit::Hour,
            b'd' => Unit::Day,
            b'w' => Unit::Week,
            _ => return None,
        };
        let digits = &text[..text.len() - 1];
        let plain = digits.len() <= 6
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        let count = if plain {
            digits.parse().ok()?
        } else {
            return None;
        };
        Some(Self { count, unit })
    }

    /// The length in milliseconds.
    pub const fn ms(self) -> i64 {
        self.count as i64
            * match self.unit {
                Unit::Hour => HOUR_MS,
                Unit::Day => DAY_MS,
                Unit::Week => 7 * DAY_MS,
            }
    }

    /// The length in words, like `24 hours` or `1 week`.
    pub fn words(self) -> String {
        let unit = match self.unit {
            Unit::Hour => "hour",
            Unit::Day => "day",
            Unit::Week => "week",
        };
        let plural = if self.count == 1 { "" } else { "s" };
        format!("{} {unit}{plural}", self.count)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Hour => 'h',
            Unit::Day => 'd',
            Unit::Week => 'w',
        };
        write!(f, "{}{unit}", self.count)
    }
}

/// How many days longer another reader may still see a day that one reader no longer sees: time zones are up to 26 hours apart,
/// and clocks differ.
pub const LEAVING_DAYS: u32 = 2;

/// How long facts are visible, and the periods that follow from it (rule 2).
///
/// # Example
///
/// ```
/// use revtrail_core::value::time::{DAY_MS, Day, Retention};
///
/// let retention = Retention::days(90).expect("at least 30 days");
/// assert_eq!(retention.look_back_ms(), 30 * DAY_MS);
/// let today = Day::parse("2026-11-20").expect("a day of the calendar");
/// assert_eq!(retention.first_visible(today).to_string(), "2026-08-22");
/// assert!(Retention::days(7).is_none());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    days: u32,
}

impl Retention {
    /// A retention of 90 days.
    pub const DEFAULT: Self = Self { days: 90 };

    /// A retention of 30 to 36,500 days; `None` for any other number.
    pub fn days(days: u32) -> Option<Self> {
        (30..=36_500).contains(&days).then_some(Self { days })
    }

    /// The length of the retention in milliseconds.
    pub fn ms(self) -> i64 {
        i64::from(self.days) * DAY_MS
    }

    /// A third of the retention, in milliseconds. No decision looks further back than this.
    pub fn look_back_ms(self) -> i64 {
        self.ms() / 3
    }

    /// How long a fact is kept, in milliseconds. The first purchase of a folded day asks whether an order up to one look-back
    /// earlier was credited. The decision on that order looks back one look-back more. Two more days are for late runs.
    pub fn keep_ms(self) -> i64 {
        self.ms() + 2 * self.look_back_ms() + (i64::from(LEAVING_DAYS) + 2) * DAY_MS
    }

    /// The first day that reports show when the current day is `today`.
    pub fn first_visible(self, today: Day) -> Day {
        today.minus(self.days)
    }

    /// The first day that is folded when the current day is `today`. A report in another time zone, or by another clock, may
    /// still show it.
    pub fn first_folded(self, today: Day) -> Day {
        self.first_visible(today).minus(LEAVING_DAYS)
    }
}

macro_rules! text_serde {
    ($name:ident, $parse:expr) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                $parse(&text).ok_or_else(|| {
                    serde::de::Error::custom(format_args!("{text:?} is no {}", stringify!($name)))
                })
            }
        }
    };
}

text_serde!(Instant, |text: &str| Instant::parse(text).ok());
text_serde!(Day, Day::parse);
text_serde!(Span, Span::parse);

#[cfg(test)]
mod tests {
    use super::*;

    /// All days of three cycles of the calendar, and of its first and last year.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for year in [0].into_iter().chain(1600..2801).chain([9999]) {
            for (month, day) in (0..14).flat_map(|month| (0..33).map(move |day| (month, day))) {
                let expected = NaiveDate::from_ymd_opt(year as i32, month, day);
                let expected = expected.map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc());
                let days = days_since_epoch(year, month, day);
                assert_eq!(
                    days.map(|days| days * DAY_MS),
                    expected.map(|date| date.timestamp_millis()),
                    "{year}-{month}-{day}"
                );
                if let Some(days) = days {
                    let printed = Instant::from_ms(days * DAY_MS + 1).to_string();
                    assert_eq!(
                        printed,
                        format!("{year:04}-{month:02}-{day:02}T00:00:00.001Z")
                    );
                }
            }
        }
    }

    #[test]
    fn instants() {
        for (text, printed) in [
            ("2026-11-20T10:15:00Z", "2026-11-20T10:15:00.000Z"),
            (
                "2026-11-20T10:15:00.123999+02:00",
                "2026-11-20T08:15:00.123Z",
            ),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
            ("2020-02-29t00:00:00z", "2020-02-29T00:00:00.000Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            ("2026-11-20T10:15:59.5Z", "2026-11-20T10:15:59.500Z"),
            ("2026-11-20T10:15:00.01-23:59", "2026-11-21T10:14:00.010Z"),
            ("2026-11-20T10:15:00-00:00", "2026-11-20T10:15:00.000Z"),
            ("2026-11-20T10:15:00+23:59", "2026-11-19T10:16:00.000Z"),
        ] {
            assert_eq!(Instant::parse(text).unwrap().to_string(), printed, "{text}");
        }
        for bad in [
            "",
            "2026-11-20",
            "2026-11-20T10:15:00",
            "2026-02-30T00:00:00Z",
            "1700000000",
            "0000-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-00:01",
            "+12026-11-20T10:15:00Z",
            // A second is 00 to 59, on every day.
            "2026-11-20T10:15:60Z",
            "2016-12-31T23:59:60Z",
            "2026-11-20T10:15:61Z",
            "2026-11-20T10:60:00Z",
            "2026-11-20T24:00:00Z",
            // A T separates the date from the time, and no space surrounds them.
            "2026-11-20 10:15:00Z",
            "2026-11-20_10:15:00Z",
            "2026-11-20T10:15:00 Z",
            " 2026-11-20T10:15:00Z",
            "2026-11-20T10:15:00Z ",
            "2026-11-20T10:15:00Z\n",
            "2026-11-20T10:15:00ZZ",
            // Signs, digits and separators must be ASCII.
            "2026-11-20T10:15:00\u{2212}02:00",
            "2026-11-20T10:15:00\u{ff0b}02:00",
            "2026-11-20T10:15:00+02\u{ff1a}00",
            "2026\u{2010}11\u{2010}20T10:15:00Z",
            "2026-11-20T1\u{0660}:15:00Z",
            "2026-11-20T10:15:00.\u{0661}Z",
            // An offset is Z, or a sign, two digits, a colon and two digits.
            "2026-11-20T10:15:00+0200",
            "2026-11-20T10:15:00+02",
            "2026-11-20T10:15:00+2:00",
            "2026-11-20T10:15:00+02:0",
            "2026-11-20T10:15:00+24:00",
            "2026-11-20T10:15:00-23:60",
            "2026-11-20T10:15:00+-1:00",
            "2026-11-20T10:15:00UTC",
            "2026-11-20T10:15:00Z+00:00",
            // No part may be left out, shortened or written in another way.
            "2026-11-20T10:15Z",
            "2026-11-20T10Z",
            "2026-11-20T1:15:00Z",
            "2026-1-20T10:15:00Z",
            "26-11-20T10:15:00Z",
            "20261120T101500Z",
            "2026-324T10:15:00Z",
            "2026-W47-5T10:15:00Z",
            "2026-11-20T10:15:00.Z",
            "2026-11-20T10:15:00,5Z",
            "2026-11-20T10:15:00.5.5Z",
            "2026-11-20T+1:15:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "-026-11-20T10:15:00Z",
        ] {
            assert!(Instant::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn days_follow_the_zone() {
        let t = Instant::parse("2026-11-01T03:59:59.999Z").unwrap();
        assert_eq!(
            t.day(chrono_tz::America::New_York).to_string(),
            "2026-10-31"
        );
        assert_eq!(t.day(chrono_tz::UTC).to_string(), "2026-11-01");
        assert!(
            Day::parse("2026-1-01").is_none()
                && Day::parse("2026-02-30").is_none()
                && Day::parse("2026-02-28").is_some()
        );
    }

    #[test]
    fn days_stay_writable() {
        let day = |text: &str| Day::parse(text).unwrap();
        assert_eq!(day("9999-12-20").plus(30), day("9999-12-31"));
        assert_eq!(day("0000-01-02").minus(30), day("0000-01-01"));
        assert_eq!(day("2026-02-28").plus(1), day("2026-03-01"));
    }

    #[test]
    fn spans() {
        for (text, ms) in [
            ("1h", HOUR_MS),
            ("24h", DAY_MS),
            ("1w", 168 * HOUR_MS),
            ("52w", 364 * DAY_MS),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!((span.ms(), span.to_string().as_str()), (ms, text));
        }
        for bad in [
            "", "h", "0h", "01h", "1m", "1 h", "-1h", "+1h", "1.5h", "1000000h",
        ] {
            assert!(Span::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn look_back_is_a_third() {
        assert_eq!(Retention::DEFAULT.look_back_ms(), 30 * DAY_MS);
        assert_eq!(Retention::days(500).unwrap().look_back_ms(), 14_400_000_000);
        assert!(Retention::days(29).is_none());
    }
}
