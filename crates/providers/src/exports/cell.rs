//! One row of a file, and what a field finds in it: texts, times and amounts as a map says they are written.

use std::borrow::Cow;

use chrono_tz::Tz;
use revtrail_core::value::money::Currency;
use revtrail_core::value::time::Instant;

use super::json::Entry;
use super::map::{Field, Map, Source};
use crate::node::Node;
use crate::time;

/// A row whose cells are looked up by the names of columns.
#[derive(Debug, Clone, Copy)]
pub enum Row<'r> {
    /// Cells under their header.
    Cells(&'r [String], &'r [&'r str]),
    /// A record of JSON, where a column is a dotted path.
    Json(&'r Entry),
}

impl<'r> Row<'r> {
    /// The text in a column, without blanks around it; `None` where it is empty or the row has no such column. A path whose first step
    /// is a column with JSON in its cells goes on in there.
    pub(super) fn text(self, column: &str) -> Option<Cow<'r, str>> {
        let text = match self {
            Self::Cells(header, cells) => match self.cell(column) {
                Some(cell) => Cow::Borrowed(cell),
                None => {
                    let (first, rest) = column.split_once('.')?;
                    let place = header.iter().position(|name| name == first)?;
                    let inner = Node::parse(cells.get(place)?).ok()?;
                    Cow::Owned(inner.text_at(rest)?)
                }
            },
            Self::Json(entry) => {
                let found = entry.nodes.iter().find_map(|node| node.text_at(column));
                Cow::Owned(found?)
            }
        };
        let trimmed = text.trim();
        match trimmed.len() {
            0 => None,
            length if length == text.len() => Some(text),
            _ => Some(Cow::Owned(trimmed.to_owned())),
        }
    }

    /// True where a column says something.
    pub fn has(self, column: &str) -> bool {
        self.text(column).is_some()
    }

    fn cell(self, column: &str) -> Option<&'r str> {
        let Self::Cells(header, cells) = self else {
            return None;
        };
        let place = header.iter().position(|name| name == column)?;
        cells.get(place).copied()
    }

    /// The list at a path of a JSON record.
    pub(super) fn list(self, path: &str) -> Vec<Node> {
        let Self::Json(entry) = self else {
            return Vec::new();
        };
        match entry.nodes.first().and_then(|node| node.get(path)) {
            Some(Cow::Owned(Node::List(list))) => list,
            Some(Cow::Borrowed(Node::List(list))) => list.clone(),
            _ => Vec::new(),
        }
    }
}

impl Source {
    /// What the column says: nothing, a text or, of a cell with parts, several.
    fn texts(&self, row: Row<'_>, nothing: &[String]) -> Vec<String> {
        let Some(text) = row.text(&self.column) else {
            return Vec::new();
        };
        if self.nothing.iter().chain(nothing).any(|n| *n == text) {
            return Vec::new();
        }
        match (&self.set, &self.part) {
            (Some(set), _) => vec![set.clone()],
            (None, Some(part)) => parts(&text, part),
            (None, None) => vec![text.into_owned()],
        }
    }
}

/// The values with a name in a cell like `amount:5.00|reason:late; and wrong;amount:1.00|reason:`. A value may hold what stands
/// between others, so an entry begins only where the name does.
fn parts(cell: &str, name: &str) -> Vec<String> {
    let entries = cell.split(';').filter_map(|entry| {
        let value = entry.trim_start().strip_prefix(name)?.strip_prefix(':')?;
        Some(
            value
                .split('|')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
        )
    });
    entries.filter(|value| !value.is_empty()).collect()
}

impl Field {
    /// The texts of the first column that says something.
    pub(super) fn first(&self, row: Row<'_>, map: &Map) -> Vec<String> {
        let mut all = self
            .from
            .iter()
            .map(|source| source.texts(row, &map.nothing));
        let found = all.find(|texts| !texts.is_empty());
        match (found, &self.is) {
            (None, Some(is)) => vec![is.clone()],
            (found, _) => found.unwrap_or_default(),
        }
    }

    /// The texts of all columns that say something.
    pub(super) fn all(&self, row: Row<'_>, map: &Map) -> Vec<String> {
        let all = self
            .from
            .iter()
            .flat_map(|source| source.texts(row, &map.nothing));
        all.collect()
    }

    /// The text of the field, before what it means is looked up.
    pub(super) fn text(&self, row: Row<'_>, map: &Map) -> Option<String> {
        match &self.joined_by {
            Some(between) => Some(self.all(row, map).join(between)).filter(|text| !text.is_empty()),
            None => self.first(row, map).into_iter().next(),
        }
    }
}

/// Why a text is no time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoTime {
    /// It has none of the forms.
    OtherForm,
    /// It has no offset, and nobody said its zone.
    NoZone,
}

/// No export is older. A year of two digits, which a spreadsheet writes, is one of the first century.
const FIRST_MS: i64 = 631_152_000_000;

/// The time in a text that has one of these forms.
pub(super) fn instant(text: &str, forms: &[String], zone: Option<Tz>) -> Result<Instant, NoTime> {
    let mut why = NoTime::OtherForm;
    for form in forms {
        let read = |zone| time::instant(text, time::unit(form), zone);
        let at = match zone {
            Some(zone) => read(zone),
            None if time::is_local(form) => {
                if read(Tz::UTC).is_some() {
                    why = NoTime::NoZone;
                }
                None
            }
            None => read(Tz::UTC),
        };
        if let Some(at) = at.filter(|at| at.ms() >= FIRST_MS) {
            return Ok(at);
        }
    }
    Err(why)
}

/// How the amounts of a file are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Amounts {
    /// What stands before the decimals.
    pub(super) decimal: char,
    /// How many digits of a whole number are decimals, where amounts are in the smallest unit.
    pub(super) minor_digits: Option<u32>,
}

impl Amounts {
    /// How the amounts of a row are written.
    pub(super) fn of(map: &Map, row: Row<'_>, currency: Option<Currency>) -> Self {
        let own = map
            .decimals_in
            .as_deref()
            .and_then(|column| row.text(column));
        let own = own
            .and_then(|digits| digits.parse().ok())
            .filter(|digits| *digits <= 6);
        let by_currency = || currency.map(Currency::minor_digits);
        Self {
            decimal: map.decimal,
            minor_digits: map
                .minor_units
                .then(|| own.or_else(by_currency).unwrap_or(2)),
        }
    }

    /// The amount in a text, as the readers of records want it, and whether it is negative. A sign of a currency and what separates
    /// thousands are dropped. `None` where it is no amount written so.
    pub(super) fn read(self, text: &str) -> Option<(String, bool)> {
        let is_sign =
            |c: char| !(c.is_ascii_digit() || c.is_ascii_control() || ".,-+()".contains(c));
        let text = text.trim();
        let inner = text
            .strip_prefix('(')
            .and_then(|text| text.strip_suffix(')'));
        let in_brackets = inner.is_some();
        let text = inner.unwrap_or(text);
        let without_sign = |text: &str| -> Option<(String, bool)> {
            match text.strip_prefix(['-', '\u{2212}']) {
                Some(rest) => Some((rest.trim_start().to_owned(), true)),
                None => Some((text.to_owned(), false)),
            }
        };
        let (text, before) = without_sign(text)?;
        let body = text.trim_matches(is_sign);
        if text.chars().count() - body.chars().count() > SIGN_CHARS_MAX {
            return None;
        }
        let (body, behind) = without_sign(body)?;
        let negative = in_brackets || before || behind;
        let (whole, decimals) = match body.split_once(self.decimal) {
            Some((whole, decimals)) => (whole, Some(decimals)),
            None => (body.as_str(), None),
        };
        let whole = without_thousands(whole, if self.decimal == '.' { ',' } else { '.' })?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(&whole) || !decimals.is_none_or(digits) {
            return None;
        }
        let amount = match (self.minor_digits, decimals) {
            (None, None) => whole,
            (None, Some(decimals)) => format!("{whole}.{decimals}"),
            (Some(minor), None) => shifted(&whole, minor as usize),
            (Some(_), Some(_)) => return None,
        };
        Some((amount, negative))
    }
}

/// The longest sign of a currency with the blanks beside it, in characters.
const SIGN_CHARS_MAX: usize = 6;

/// Digits without what separates thousands. Groups of another length mean that the sign is something else.
fn without_thousands(whole: &str, separator: char) -> Option<String> {
    let is_separator =
        |c: char| c == separator || matches!(c, ' ' | '\u{a0}' | '\u{202f}' | '\'' | '’');
    let mut groups = whole.split(is_separator);
    let first = groups.next()?;
    let rest: Vec<&str> = groups.collect();
    let good = rest.is_empty() || (1..=3).contains(&first.len());
    (good && rest.iter().all(|group| group.len() == 3)).then(|| first.to_owned() + &rest.concat())
}

/// A whole number of the smallest unit as an amount.
fn shifted(digits: &str, minor: usize) -> String {
    let digits = digits.trim_start_matches('0');
    let digits = format!("{digits:0>width$}", width = minor + 1);
    let (whole, decimals) = digits.split_at(digits.len() - minor);
    match minor {
        0 => whole.to_owned(),
        _ => format!("{whole}.{decimals}"),
    }
}

/// True for an id or a number that a spreadsheet rounded, like `5.27762E+12`: what it was cannot be known.
pub(super) fn is_spoilt(text: &str) -> bool {
    let Some((number, exponent)) = text.split_once(['E', 'e']) else {
        return false;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (whole, decimals) = number.split_once(['.', ',']).unwrap_or((number, "0"));
    digits(whole.trim_start_matches(['+', '-']))
        && digits(decimals)
        && exponent.strip_prefix('+').is_some_and(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_amounts_are_read() {
        let point = Amounts {
            decimal: '.',
            minor_digits: None,
        };
        let comma = Amounts {
            decimal: ',',
            ..point
        };
        let cents = Amounts {
            minor_digits: Some(2),
            ..point
        };
        for (amounts, text, expected) in [
            (point, "3897.00", Some(("3897.00", false))),
            (point, "95.0000", Some(("95.0000", false))),
            (point, "60", Some(("60", false))),
            (point, "$22.50", Some(("22.50", false))),
            (point, "-$1,240.00", Some(("1240.00", true))),
            (point, "$-1,240.00", Some(("1240.00", true))),
            (point, "($5.00)", Some(("5.00", true))),
            (point, "1 240.00 zł", Some(("1240.00", false))),
            (point, "US$ 5", Some(("5", false))),
            (point, "1'240.50 CHF", Some(("1240.50", false))),
            (point, "95,02", None),
            (point, "1.240,00", None),
            (point, "12,34,567", None),
            (point, "5.27762E+12", None),
            (point, "€", None),
            (point, "", None),
            (point, ".5", None),
            (point, "free shipping 5", None),
            (comma, "1.240,00 €", Some(("1240.00", false))),
            (comma, "95,02", Some(("95.02", false))),
            (comma, "95.02", None),
            (cents, "1125", Some(("11.25", false))),
            (cents, "5", Some(("0.05", false))),
            (cents, "0", Some(("0.00", false))),
            (cents, "-1125", Some(("11.25", true))),
            (cents, "11.25", None),
        ] {
            let read = amounts.read(text);
            let read = read
                .as_ref()
                .map(|(text, negative)| (text.as_str(), *negative));
            assert_eq!(read, expected, "{text} {amounts:?}");
        }
        assert_eq!(
            (shifted("1125", 0), shifted("1125", 3)),
            ("1125".into(), "1.125".into())
        );
    }

    #[test]
    fn which_texts_a_spreadsheet_spoilt() {
        for (text, spoilt) in [
            ("5.27762E+12", true),
            ("5,27762E+12", true),
            ("8E+17", true),
            ("5277620001049", false),
            ("000000012", false),
            ("SAVE+5", false),
            ("5E12", false),
            ("E+12", false),
            ("", false),
        ] {
            assert_eq!(is_spoilt(text), spoilt, "{text}");
        }
    }

    #[test]
    fn parts_of_cells() {
        for (cell, expected) in [
            ("amount:20.00|reason:|date:2026-11-22 09:00:00", "20.00"),
            (
                "amount:1|reason:late; and wrong|x:y;amount:2|reason:",
                "1 2",
            ),
            ("amount:", ""),
            ("reason:amount:5", ""),
            ("", ""),
        ] {
            assert_eq!(parts(cell, "amount").join(" "), expected, "{cell}");
        }
    }

    #[test]
    fn which_times_are_read() {
        let forms = |forms: &str| forms.split('|').map(str::to_owned).collect::<Vec<_>>();
        let kyiv = Some(chrono_tz::Europe::Kyiv);
        let magento = "%b %d, %Y %H:%M:%S %p|%b %d, %Y %I:%M:%S %p";
        for (text, form, zone, expected) in [
            (
                "2025-12-06 10:36:16 -0500",
                "%Y-%m-%d %H:%M:%S %z",
                None,
                Ok("2025-12-06T15:36:16.000Z"),
            ),
            (
                "11/12/26 17:27",
                "%Y-%m-%d %H:%M:%S %z",
                kyiv,
                Err(NoTime::OtherForm),
            ),
            (
                "11/20/2026 12:22:05 PM",
                "%m/%d/%Y %I:%M:%S %p",
                kyiv,
                Ok("2026-11-20T10:22:05.000Z"),
            ),
            (
                "11/20/26 12:22:05 PM",
                "%m/%d/%Y %I:%M:%S %p",
                kyiv,
                Err(NoTime::OtherForm),
            ),
            (
                "11/20/2026 12:22:05 PM",
                "%m/%d/%Y %I:%M:%S %p",
                None,
                Err(NoTime::NoZone),
            ),
            (
                "Nov 20, 2026 14:15:00 PM",
                magento,
                kyiv,
                Ok("2026-11-20T12:15:00.000Z"),
            ),
            (
                "Nov 20, 2026 2:15:00 PM",
                magento,
                kyiv,
                Ok("2026-11-20T12:15:00.000Z"),
            ),
            (
                "Nov 20, 2026 12:15:00 AM",
                magento,
                kyiv,
                Ok("2026-11-19T22:15:00.000Z"),
            ),
            (
                "2026-11-20T10:15:00Z",
                "%Y-%m-%d %H:%M:%S|rfc3339",
                None,
                Ok("2026-11-20T10:15:00.000Z"),
            ),
            ("1401715744000", "ms", None, Ok("2014-06-02T13:29:04.000Z")),
            (
                "2026-11-20 10:15",
                "%Y-%m-%d %H:%M",
                kyiv,
                Ok("2026-11-20T08:15:00.000Z"),
            ),
        ] {
            let read = instant(text, &forms(form), zone).map(|at| at.to_string());
            assert_eq!(
                read.as_deref().map_err(|_| ()),
                expected.as_ref().map(|at| *at).map_err(|_| ()),
                "{text}"
            );
            if let (Err(why), Err(expected)) = (read, expected) {
                assert_eq!(why, expected, "{text}");
            }
        }
    }
}
