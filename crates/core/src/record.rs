//! Records as they come in, from JSON or from a CSV row, read field by field; and why one is rejected.
//! Which fields a fact has stands with the fact.

pub mod acceptance;
pub mod problem;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::value::id::ID_BYTES_MAX;
use crate::value::money::{Currency, Money};
use crate::value::time::Instant;

pub use acceptance::{AHEAD_MS_MAX, AcceptanceWindow};
pub use problem::{Code, Problem};

/// Longest text that means something to people only, in bytes: 200 items of four such texts stay below an item's 400 KB.
pub const FREE_BYTES_MAX: usize = 400;
/// Most entries of a list that means something to people only.
pub const FREE_ITEMS_MAX: usize = 200;

/// Largest count, of limits and caps: a million vouchers of it are 10^15 uses, a thousandth of what a counter holds.
pub const COUNT_MAX: i64 = 1_000_000_000;

/// The first [`FREE_BYTES_MAX`] bytes, whole characters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FREE_BYTES_MAX)]
}

/// A name that anybody may have made up, as it can be shown in an answer or on a terminal.
fn shown_name(name: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut name: String = name.chars().take(ID_BYTES_MAX).map(shown).collect();
    name.truncate(name.floor_char_boundary(ID_BYTES_MAX));
    name
}

/// One record, not yet understood.
#[derive(Debug)]
pub enum Record<'a> {
    /// A JSON object, its values still as text.
    Json(BTreeMap<String, &'a RawValue>),
    /// A CSV row under its header; an empty cell is absent.
    Row(&'a [String], Vec<&'a str>),
}

/// A field's value, as far as its syntax tells.
#[derive(Debug)]
enum FieldValue<'a> {
    Absent,
    /// JSON text, or a CSV cell (which may stand for any type).
    Text(Cow<'a, str>),
    /// A JSON number, as written.
    Number(&'a str),
    Bool(bool),
    Other,
}

impl<'a> FieldValue<'a> {
    /// A JSON value, but for `null`.
    fn of_json(raw: &'a str) -> Self {
        match raw.as_bytes().first() {
            _ if raw == "true" => Self::Bool(true),
            _ if raw == "false" => Self::Bool(false),
            Some(b'"') if !raw.contains('\\') => Self::Text(Cow::Borrowed(&raw[1..raw.len() - 1])),
            Some(b'"') => {
                serde_json::from_str(raw).map_or(Self::Other, |text| Self::Text(Cow::Owned(text)))
            }
            Some(b'-' | b'0'..=b'9') => Self::Number(raw),
            _ => Self::Other,
        }
    }

    /// A text or a number, as far as it is kept.
    fn free(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(cut(text).to_owned()),
            Self::Number(number) => Some(cut(number).to_owned()),
            _ => None,
        }
    }
}

impl<'a> Record<'a> {
    /// Reads a JSON text that must be an object.
    ///
    /// # Errors
    /// `not_json` where it does not parse, `wrong_type` where it is no object.
    pub fn from_json(text: &'a str) -> Result<Self, Problem> {
        match serde_json::from_str::<BTreeMap<String, &'a RawValue>>(text) {
            Ok(fields) => Ok(Self::Json(fields)),
            Err(error) if error.is_data() => {
                Err(Problem::whole(Code::WrongType, "a record is a JSON object"))
            }
            Err(error) => Err(Problem::whole(
                Code::NotJson,
                format!("this is no JSON: {error}"),
            )),
        }
    }

    /// The JSON text of a field, `None` where it is absent or this is a CSV row.
    pub fn raw(&self, field: &str) -> Option<&'a str> {
        match self {
            Self::Json(fields) => fields
                .get(field)
                .map(|raw| raw.get())
                .filter(|raw| *raw != "null"),
            Self::Row(..) => None,
        }
    }

    /// True where a JSON record has the field, be it with `null`.
    pub fn names(&self, field: &str) -> bool {
        matches!(self, Self::Json(fields) if fields.contains_key(field))
    }

    /// The names of its fields that are none of those known, in the order of their bytes, each as it can be shown: what is no
    /// character to show is replaced, and of a long name the first [`ID_BYTES_MAX`] bytes are kept.
    pub fn unknown_fields(&self, known: &[&str]) -> Vec<String> {
        let names: Vec<&str> = match self {
            Self::Json(fields) => fields.keys().map(String::as_str).collect(),
            Self::Row(header, _) => header.iter().map(String::as_str).collect(),
        };
        let unknown = names.into_iter().filter(|name| !known.contains(name));
        unknown.map(shown_name).collect()
    }

    /// The names of a JSON record's fields; a CSV row has none.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let fields = match self {
            Self::Json(fields) => Some(fields.keys().map(String::as_str)),
            Self::Row(..) => None,
        };
        fields.into_iter().flatten()
    }

    /// An object inside; `None` where it is absent.
    ///
    /// # Errors
    /// `wrong_type`.
    pub fn object(&self, field: &str) -> Result<Option<Self>, Problem> {
        let Some(raw) = self.raw(field) else {
            return Ok(None);
        };
        Self::from_json(raw)
            .map(Some)
            .map_err(|_| Problem::of(field, Code::WrongType, format!("{field} is an object")))
    }

    fn cell(&self, field: &str) -> FieldValue<'a> {
        match self {
            Self::Row(header, cells) => match header
                .iter()
                .position(|name| name == field)
                .and_then(|i| cells.get(i))
            {
                Some(cell) if !cell.is_empty() => FieldValue::Text(Cow::Borrowed(cell)),
                _ => FieldValue::Absent,
            },
            Self::Json(_) => self
                .raw(field)
                .map_or(FieldValue::Absent, FieldValue::of_json),
        }
    }

    /// A text; `None` where it is absent.
    ///
    /// # Errors
    /// `wrong_type` where it is something else.
    pub fn text(&self, field: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        match self.cell(field) {
            FieldValue::Absent => Ok(None),
            FieldValue::Text(text) => Ok(Some(text)),
            _ => Err(Problem::of(
                field,
                Code::WrongType,
                format!("{field} is a text"),
            )),
        }
    }

    /// A text that means something to people only: anything else than a text or a number is taken as absent, and what is
    /// longer than [`FREE_BYTES_MAX`] is cut, so that no record can be too large to be stored.
    pub fn free_text(&self, field: &str) -> Option<String> {
        self.cell(field).free()
    }

    /// A list of texts: a JSON array, or a CSV cell joined by `|`. Anything else is taken as empty, and what of a list is neither text
    /// nor number as absent; what is beyond [`FREE_ITEMS_MAX`] or [`FREE_BYTES_MAX`] is cut.
    pub fn free_list(&self, field: &str) -> Vec<String> {
        if let (Self::Row(..), FieldValue::Text(text)) = (self, self.cell(field)) {
            let texts = text.split('|').take(FREE_ITEMS_MAX);
            return texts.map(|text| cut(text).to_owned()).collect();
        }
        let list = self.raw(field).map(serde_json::from_str);
        let list: Vec<&RawValue> = list.and_then(Result::ok).unwrap_or_default();
        let texts = list
            .iter()
            .filter_map(|raw| FieldValue::of_json(raw.get()).free());
        texts.take(FREE_ITEMS_MAX).collect()
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// `missing`, `wrong_type`.
    pub fn needed(&self, field: &str) -> Result<Cow<'a, str>, Problem> {
        self.text(field)?
            .ok_or_else(|| Problem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// An id that may be absent.
    ///
    /// # Errors
    /// `wrong_type`, `bad_id`.
    pub fn id<T>(
        &self,
        field: &str,
        new: impl Fn(&str) -> Result<T, crate::value::id::BadId>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        new(&text)
            .map(Some)
            .map_err(|why| Problem::of(field, Code::BadId, format!("{field}: {why}")))
    }

    /// An id that must be there.
    ///
    /// # Errors
    /// `missing`, `wrong_type`, `bad_id`.
    pub fn needed_id<T>(
        &self,
        field: &str,
        new: impl Fn(&str) -> Result<T, crate::value::id::BadId>,
    ) -> Result<T, Problem> {
        self.id(field, new)?
            .ok_or_else(|| Problem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// An instant that may be absent.
    ///
    /// # Errors
    /// `wrong_type`, `bad_time`.
    pub fn instant(&self, field: &str) -> Result<Option<Instant>, Problem> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        Instant::parse(&text)
            .map(Some)
            .map_err(|why| Problem::of(field, Code::BadTime, format!("{field}: {why}")))
    }

    /// An instant that must be there.
    ///
    /// # Errors
    /// `missing`, `wrong_type`, `bad_time`.
    pub fn needed_instant(&self, field: &str) -> Result<Instant, Problem> {
        self.instant(field)?
            .ok_or_else(|| Problem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// An amount, from text or from a JSON number's own text; may be absent.
    ///
    /// # Errors
    /// `wrong_type`, `bad_money`.
    pub fn money(&self, field: &str) -> Result<Option<Money>, Problem> {
        let text = match self.cell(field) {
            FieldValue::Absent => return Ok(None),
            FieldValue::Text(text) => text,
            FieldValue::Number(text) => Cow::Borrowed(text),
            _ => {
                return Err(Problem::of(
                    field,
                    Code::WrongType,
                    format!("{field} is an amount, as a text or a number"),
                ));
            }
        };
        Money::parse(&text)
            .map(Some)
            .map_err(|why| Problem::of(field, Code::BadMoney, format!("{field}: {why}")))
    }

    /// An amount that must be there.
    ///
    /// # Errors
    /// `missing`, `wrong_type`, `bad_money`.
    pub fn needed_money(&self, field: &str) -> Result<Money, Problem> {
        self.money(field)?
            .ok_or_else(|| Problem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// A currency that may be absent.
    ///
    /// # Errors
    /// `wrong_type`, `unknown_currency`.
    pub fn currency(&self, field: &str) -> Result<Option<Currency>, Problem> {
        let Some(code) = self.text(field)? else {
            return Ok(None);
        };
        Currency::parse(&code).map(Some).ok_or_else(|| {
            Problem::of(
                field,
                Code::UnknownCurrency,
                format!("{field}: {code:?} is no currency of ISO 4217, like EUR"),
            )
        })
    }

    /// A currency that must be there.
    ///
    /// # Errors
    /// `missing`, `wrong_type`, `unknown_currency`.
    pub fn needed_currency(&self, field: &str) -> Result<Currency, Problem> {
        self.currency(field)?
            .ok_or_else(|| Problem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// One of some words; `None` where it is absent.
    ///
    /// # Errors
    /// `wrong_type`, `unknown_value`.
    pub fn word<T: Copy>(&self, field: &str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let detail = format!("{field}: {text:?} is none of {}", words.join(", "));
            Problem::of(field, Code::UnknownValue, detail)
        })
    }

    /// A count that may be absent: a JSON number or, in a CSV row, its digits.
    ///
    /// # Errors
    /// `wrong_type` for anything that is no whole number from 0 to [`COUNT_MAX`].
    pub fn count(&self, field: &str) -> Result<Option<i64>, Problem> {
        let text = match (self, self.cell(field)) {
            (_, FieldValue::Absent) => return Ok(None),
            (_, FieldValue::Number(text)) => Some(text.to_owned()),
            (Self::Row(..), FieldValue::Text(text)) => Some(text.into_owned()),
            _ => None,
        };
        text.and_then(|text| text.parse().ok())
            .filter(|count| (0..=COUNT_MAX).contains(count))
            .map(Some)
            .ok_or_else(|| {
                let detail = format!("{field} is a whole number from 0 to {COUNT_MAX}");
                Problem::of(field, Code::WrongType, detail)
            })
    }

    /// True or false; absent is false. A CSV cell says `true` or `false`.
    ///
    /// # Errors
    /// `wrong_type`.
    pub fn flag(&self, field: &str) -> Result<bool, Problem> {
        match (self, self.cell(field)) {
            (_, FieldValue::Absent) => Ok(false),
            (_, FieldValue::Bool(flag)) => Ok(flag),
            (Self::Row(..), FieldValue::Text(text)) if text.eq_ignore_ascii_case("true") => {
                Ok(true)
            }
            (Self::Row(..), FieldValue::Text(text)) if text.eq_ignore_ascii_case("false") => {
                Ok(false)
            }
            _ => Err(Problem::of(
                field,
                Code::WrongType,
                format!("{field} is true or false"),
            )),
        }
    }
}
