//! Fields of forms: how a value of the API is written into one, and read back.

use chrono::{LocalResult, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use revtrail_core::value::time::Instant;
use serde_json::{Map, Value, json};

/// How times are written in fields, as browsers want it; a reader without such a field may add seconds.
const TIMES: [&str; 2] = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
/// What stands between the columns of a line.
const BETWEEN: &str = " | ";

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A line of text, or an amount.
    Text,
    /// Several lines of text.
    Lines,
    /// A text for programs, like JSON, which needs room.
    Code,
    /// A whole number.
    Count,
    /// A time in the zone of the marketplace.
    Time,
    /// A day.
    Day,
    /// One of some words: each with its label.
    Choice(&'static [(&'static str, &'static str)]),
    /// Yes or no.
    Flag,
    /// A file of the reader's machine.
    File,
    /// A list of texts, one a line.
    List,
    /// A list of objects, one a line, with these fields as columns.
    Rows(&'static [&'static str]),
    /// An object of plain values, one a line, like `owner = crm`.
    Pairs,
}

impl Kind {
    /// The words of a choice.
    pub(crate) fn choices(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Choice(words) => words,
            _ => &[],
        }
    }

    /// True where the field has several lines.
    pub(crate) fn is_area(self) -> bool {
        matches!(
            self,
            Self::Lines | Self::Code | Self::List | Self::Rows(_) | Self::Pairs
        )
    }

    /// How many lines an area shows.
    pub(crate) fn rows(self) -> usize {
        if self == Self::Code { 12 } else { 3 }
    }

    /// The type of the field for a browser.
    pub(crate) fn html(self) -> &'static str {
        match self {
            Self::Time => "datetime-local",
            Self::Day => "date",
            Self::Flag => "checkbox",
            Self::File => "file",
            _ => "text",
        }
    }
}

/// A value as its field shows it.
pub(crate) fn shown(kind: Kind, value: &Value, zone: Tz) -> String {
    let lines = |lines: Vec<String>| lines.join("\n");
    match (kind, value) {
        (_, Value::Null) => String::new(),
        (Kind::Flag, value) => (if *value == true { "true" } else { "" }).to_owned(),
        (Kind::Time, value) => local(value, zone).unwrap_or_else(|| plain(value)),
        (Kind::List, Value::Array(all)) => lines(all.iter().map(plain).collect()),
        (Kind::Rows(columns), Value::Array(all)) => {
            lines(all.iter().map(|one| row(one, columns)).collect())
        }
        (Kind::Pairs, Value::Object(all)) => {
            let pair = |(name, value): (&String, &Value)| format!("{name} = {}", literal(value));
            lines(all.iter().map(pair).collect())
        }
        (_, value) => plain(value),
    }
}

/// What a field says, as a value of the API. A text that is not what the field takes goes on as it is, and the API says what is
/// wrong with it.
pub(crate) fn read(kind: Kind, text: &str, zone: Tz) -> Value {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    match kind {
        Kind::Flag => (!text.is_empty()).into(),
        Kind::List => lines().collect(),
        Kind::Rows(columns) => lines().map(|line| object(line, columns)).collect(),
        Kind::Pairs => pairs(lines()).map_or_else(|| text.into(), Value::Object),
        _ if text.trim().is_empty() => Value::Null,
        Kind::Count => text
            .trim()
            .parse::<i64>()
            .map_or_else(|_| text.into(), Value::from),
        Kind::Time => instant(text.trim(), zone).map_or_else(|| text.into(), |at| json!(at)),
        Kind::Lines | Kind::Code => text.into(),
        _ => text.trim().into(),
    }
}

/// True where a value comes back from its field as it is; a time loses its seconds, and is sent on only where it was changed.
pub(crate) fn stays_whole(kind: Kind, value: &Value, zone: Tz) -> bool {
    let back = read(kind, &shown(kind, value, zone), zone);
    match (kind, value) {
        (_, Value::Null) | (Kind::Time | Kind::Text | Kind::Lines, _) => true,
        (Kind::Rows(columns), Value::Array(all)) => {
            let only = |one: &Value| {
                let told = columns.iter().filter(|name| !one[**name].is_null());
                let told = told.map(|name| ((*name).to_owned(), one[*name].clone()));
                Value::Object(told.collect::<Map<_, _>>())
            };
            back == all.iter().map(only).collect::<Value>()
        }
        // A merge patch cannot say that a value of a value is gone.
        (Kind::Pairs, Value::Object(all)) => back == *value && !all.values().any(Value::is_object),
        _ => back == *value,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A value that reads back as what it is: a text that looks like another value is quoted.
fn literal(value: &Value) -> String {
    match value {
        Value::String(text) if serde_json::from_str::<Value>(text).is_err() => text.clone(),
        other => other.to_string(),
    }
}

fn pairs<'l>(lines: impl Iterator<Item = &'l str>) -> Option<Map<String, Value>> {
    let pair = |line: &'l str| {
        let (name, value) = line.split_once('=')?;
        let value = value.trim();
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        Some((name.trim().to_owned(), value))
    };
    lines.map(pair).collect()
}

fn row(one: &Value, columns: &[&str]) -> String {
    let cells: Vec<String> = columns.iter().map(|name| plain(&one[*name])).collect();
    cells.join(BETWEEN).trim_end_matches([' ', '|']).to_owned()
}

fn object(line: &str, columns: &[&str]) -> Value {
    let cells = line.splitn(columns.len(), '|').map(str::trim);
    let told = columns
        .iter()
        .zip(cells)
        .filter(|(_, cell)| !cell.is_empty());
    let told = told.map(|(name, cell)| ((*name).to_owned(), cell.into()));
    Value::Object(told.collect())
}

fn local(value: &Value, zone: Tz) -> Option<String> {
    let at = Instant::parse(value.as_str()?).ok()?;
    let utc = chrono::DateTime::from_timestamp_millis(at.ms())?;
    Some(utc.with_timezone(&zone).format(TIMES[0]).to_string())
}

/// The instant of a local time; the first where the clock shows it twice. `None` where it shows it never.
fn instant(text: &str, zone: Tz) -> Option<Instant> {
    let read = |format: &&str| NaiveDateTime::parse_from_str(text, format).ok();
    let local = TIMES.iter().find_map(read)?;
    let at = match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at,
        LocalResult::None => return None,
    };
    Some(Instant::from_ms(at.timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fields_show_and_read() {
        const TIERS: Kind = Kind::Rows(&["tier_id", "name", "value"]);
        let zone = Tz::Europe__Dublin;
        for (kind, value, text) in [
            (Kind::Text, json!("a | b"), "a | b"),
            (Kind::Count, json!(1200), "1200"),
            (Kind::Flag, json!(true), "true"),
            (Kind::Flag, json!(false), ""),
            (
                Kind::Time,
                json!("2026-07-01T11:00:00.000Z"),
                "2026-07-01T12:00",
            ),
            (Kind::List, json!(["sale", "a b"]), "sale\na b"),
            (
                TIERS,
                json!([{"tier_id": "gold", "name": "Gold", "value": "6.00"}, {"tier_id": "s"}]),
                "gold | Gold | 6.00\ns",
            ),
            (
                Kind::Pairs,
                json!({"n": 5, "owner": "crm", "text": "5", "yes": true}),
                "n = 5\nowner = crm\ntext = \"5\"\nyes = true",
            ),
        ] {
            assert_eq!(shown(kind, &value, zone), text, "{kind:?}");
            assert_eq!(read(kind, text, zone), value, "{kind:?}");
            assert!(stays_whole(kind, &value, zone), "{kind:?}");
        }
        for (kind, value) in [
            (TIERS, json!([{"tier_id": "a|b", "name": "n"}])),
            (
                TIERS,
                json!([{"tier_id": "a", "name": "x | y", "value": "1"}]),
            ),
            (TIERS, json!([{"tier_id": "a", "name": "two\nlines"}])),
            (Kind::Pairs, json!({"a=b": "c"})),
            (Kind::Pairs, json!({"a": "two\nlines"})),
            (Kind::Pairs, json!({"a": {"b": "c"}})),
            (Kind::Pairs, json!({"e": " f"})),
            (Kind::List, json!([" a"])),
        ] {
            assert!(!stays_whole(kind, &value, zone), "{kind:?} {value}");
        }
        // What a field does not take goes on as it is.
        for (kind, text, value) in [
            (Kind::Count, "many", json!("many")),
            (Kind::Count, "1,000", json!("1,000")),
            (Kind::Count, " 7 ", json!(7)),
            (Kind::Time, "soon", json!("soon")),
            // The clock is put forward over this hour.
            (Kind::Time, "2026-03-29T01:30", json!("2026-03-29T01:30")),
            // It shows this hour twice.
            (
                Kind::Time,
                "2026-10-25T01:30:07",
                json!("2026-10-25T00:30:07.000Z"),
            ),
            (Kind::Pairs, "no sign", json!("no sign")),
            (Kind::Text, "  ", Value::Null),
        ] {
            assert_eq!(read(kind, text, zone), value, "{text}");
        }
    }
}
