//! The one reader of records: it takes a JSON object or a CSV row field by field, and says why a record is rejected.
//! The fields of each fact are listed in the module of that fact.

pub mod acceptance;
pub mod problem;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::value::id::ID_BYTES_MAX;
use crate::value::money::{Currency, Money};
use crate::value::time::Instant;

pub use crate::value::text::{quoted, shown};
pub use acceptance::{AHEAD_MS_MAX, AcceptanceWindow};
pub use problem::{Code, Problems, RecordProblem, no_controls};

/// The longest text that only people read, in bytes. An order of 200 items with four such texts each fits into the 400 KB of a
/// stored item.
pub const FREE_BYTES_MAX: usize = 400;
/// The most entries of a list that only people read.
pub const FREE_ITEMS_MAX: usize = 200;

/// The largest count, for limits and caps. A million vouchers of this limit are 10^15 uses, a thousandth of what a counter holds.
pub const COUNT_MAX: i64 = 1_000_000_000;

/// The beginning of a text, cut to at most [`FREE_BYTES_MAX`] bytes between two characters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(FREE_BYTES_MAX)]
}

/// Makes a name safe to show in an answer or on a terminal, since anybody may have made it up.
fn shown_name(name: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut name: String = name.chars().take(ID_BYTES_MAX).map(shown).collect();
    name.truncate(name.floor_char_boundary(ID_BYTES_MAX));
    name
}

/// One record whose fields have not been read yet.
#[derive(Debug)]
pub enum Record<'a> {
    /// A JSON object, with each value still as JSON text.
    Json(BTreeMap<String, &'a RawValue>),
    /// The column names of the header and the cells of one CSV row. An empty cell counts as an absent field.
    Row(&'a [String], Vec<&'a str>),
}

/// The value of a field, as far as its syntax shows a type.
#[derive(Debug)]
enum FieldValue<'a> {
    Absent,
    /// A JSON text, or a CSV cell (which may hold a value of any type).
    Text(Cow<'a, str>),
    /// A JSON number, as it was written.
    Number(&'a str),
    Bool(bool),
    Other,
}

impl<'a> FieldValue<'a> {
    /// Reads the type of a JSON value. The caller has already treated `null` as absent.
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

    /// The value as a text for people, cut to the length that is kept. Only a text or a number has one.
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
    /// `not_json` where the text does not parse, `wrong_type` where it is not an object.
    pub fn from_json(text: &'a str) -> Result<Self, RecordProblem> {
        match serde_json::from_str::<BTreeMap<String, &'a RawValue>>(text) {
            Ok(fields) => Ok(Self::Json(fields)),
            Err(error) if error.is_data() => Err(RecordProblem::whole(
                Code::WrongType,
                "a record is a JSON object",
            )),
            Err(error) => Err(RecordProblem::whole(
                Code::NotJson,
                format!("this is no JSON: {error}"),
            )),
        }
    }

    /// The JSON text of a field. It is `None` where the field is absent or the record is a CSV row.
    pub fn raw(&self, field: &str) -> Option<&'a str> {
        match self {
            Self::Json(fields) => fields
                .get(field)
                .map(|raw| raw.get())
                .filter(|raw| *raw != "null"),
            Self::Row(..) => None,
        }
    }

    /// True where a JSON record has the field, even if its value is `null`.
    pub fn names(&self, field: &str) -> bool {
        matches!(self, Self::Json(fields) if fields.contains_key(field))
    }

    /// The names of the fields that are not in `known`, in the order of their bytes. Each name is made safe to show: control
    /// characters are replaced, and only the first [`ID_BYTES_MAX`] bytes of a long name are kept.
    pub fn unknown_fields(&self, known: &[&str]) -> Vec<String> {
        let unknown = self.fields().filter(|name| !known.contains(name));
        unknown.map(shown_name).collect()
    }

    /// The names of the fields of a JSON record in the order of their bytes, or those of a CSV row in the order of its header.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let (json, row) = match self {
            Self::Json(fields) => (Some(fields.keys()), None),
            Self::Row(header, _) => (None, Some(header.iter())),
        };
        let names = json.into_iter().flatten().chain(row.into_iter().flatten());
        names.map(String::as_str)
    }

    /// The object in a field; `None` where the field is absent.
    ///
    /// # Errors
    /// `wrong_type` where the field is not an object.
    pub fn object(&self, field: &str) -> Result<Option<Self>, RecordProblem> {
        let Some(raw) = self.raw(field) else {
            return Ok(None);
        };
        Self::from_json(raw)
            .map(Some)
            .map_err(|_| RecordProblem::of(field, Code::WrongType, format!("{field} is an object")))
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

    /// The text in a field; `None` where the field is absent.
    ///
    /// # Errors
    /// `wrong_type` where the field is not a text.
    pub fn text(&self, field: &str) -> Result<Option<Cow<'a, str>>, RecordProblem> {
        match self.cell(field) {
            FieldValue::Absent => Ok(None),
            FieldValue::Text(text) => Ok(Some(text)),
            _ => Err(RecordProblem::of(
                field,
                Code::WrongType,
                format!("{field} is a text"),
            )),
        }
    }

    /// A text that only people read. A value that is neither a text nor a number counts as absent. A text longer than
    /// [`FREE_BYTES_MAX`] is cut, so that no record becomes too large to be stored.
    pub fn free_text(&self, field: &str) -> Option<String> {
        self.cell(field).free()
    }

    /// A list of texts: a JSON array, or a CSV cell with texts joined by `|`. Any other value counts as an empty list, and an
    /// entry that is neither a text nor a number is left out. What is beyond [`FREE_ITEMS_MAX`] or [`FREE_BYTES_MAX`] is cut.
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

    /// The text in a field that must be present.
    ///
    /// # Errors
    /// `missing`, `wrong_type`.
    pub fn needed(&self, field: &str) -> Result<Cow<'a, str>, RecordProblem> {
        self.text(field)?
            .ok_or_else(|| RecordProblem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// The id in a field that may be absent.
    ///
    /// # Errors
    /// `wrong_type`, `bad_id`.
    pub fn id<T>(
        &self,
        field: &str,
        new: impl Fn(&str) -> Result<T, crate::value::id::BadId>,
    ) -> Result<Option<T>, RecordProblem> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        new(&text)
            .map(Some)
            .map_err(|why| RecordProblem::of(field, Code::BadId, format!("{field}: {why}")))
    }

    /// The id in a field that must be present.
    ///
    /// # Errors
    /// `missing`, `wrong_type`, `bad_id`.
    pub fn needed_id<T>(
        &self,
        field: &str,
        new: impl Fn(&str) -> Result<T, crate::value::id::BadId>,
    ) -> Result<T, RecordProblem> {
        self.id(field, new)?
            .ok_or_else(|| RecordProblem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// The instant in a field that may be absent.
    ///
    /// # Errors
    /// `wrong_type`, `bad_time`.
    pub fn instant(&self, field: &str) -> Result<Option<Instant>, RecordProblem> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        Instant::parse(&text)
            .map(Some)
            .map_err(|why| RecordProblem::of(field, Code::BadTime, format!("{field}: {why}")))
    }

    /// The instant in a field that must be present.
    ///
    /// # Errors
    /// `missing`, `wrong_type`, `bad_time`.
    pub fn needed_instant(&self, field: &str) -> Result<Instant, RecordProblem> {
        self.instant(field)?
            .ok_or_else(|| RecordProblem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// The amount in a field that may be absent, read from a text or from a JSON number exactly as it was written.
    ///
    /// # Errors
    /// `wrong_type`, `bad_money`.
    pub fn money(&self, field: &str) -> Result<Option<Money>, RecordProblem> {
        let text = match self.cell(field) {
            FieldValue::Absent => return Ok(None),
            FieldValue::Text(text) => text,
            FieldValue::Number(text) => Cow::Borrowed(text),
            _ => {
                return Err(RecordProblem::of(
                    field,
                    Code::WrongType,
                    format!("{field} is an amount, as a text or a number"),
                ));
            }
        };
        Money::parse(&text)
            .map(Some)
            .map_err(|why| RecordProblem::of(field, Code::BadMoney, format!("{field}: {why}")))
    }

    /// The amount in a field that must be present.
    ///
    /// # Errors
    /// `missing`, `wrong_type`, `bad_money`.
    pub fn needed_money(&self, field: &str) -> Result<Money, RecordProblem> {
        self.money(field)?
            .ok_or_else(|| RecordProblem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// The currency in a field that may be absent.
    ///
    /// # Errors
    /// `wrong_type`, `unknown_currency`.
    pub fn currency(&self, field: &str) -> Result<Option<Currency>, RecordProblem> {
        let Some(code) = self.text(field)? else {
            return Ok(None);
        };
        Currency::parse(&code).map(Some).ok_or_else(|| {
            RecordProblem::of(
                field,
                Code::UnknownCurrency,
                format!(
                    "{field}: {} is no currency of ISO 4217, like EUR",
                    quoted(&code)
                ),
            )
        })
    }

    /// The currency in a field that must be present.
    ///
    /// # Errors
    /// `missing`, `wrong_type`, `unknown_currency`.
    pub fn needed_currency(&self, field: &str) -> Result<Currency, RecordProblem> {
        self.currency(field)?
            .ok_or_else(|| RecordProblem::of(field, Code::Missing, format!("{field} is needed")))
    }

    /// The value for the word in a field, out of a list of allowed words; `None` where the field is absent.
    ///
    /// # Errors
    /// `wrong_type` where the field is not a text, `unknown_value` where the word is not in the list.
    pub fn word<T: Copy>(
        &self,
        field: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, RecordProblem> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| Some(*value)).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let detail = format!("{field}: {} is none of {}", quoted(&text), words.join(", "));
            RecordProblem::of(field, Code::UnknownValue, detail)
        })
    }

    /// The count in a field that may be absent: a JSON number or, in a CSV row, its digits.
    ///
    /// # Errors
    /// `wrong_type` for anything that is not a whole number from 0 to [`COUNT_MAX`].
    pub fn count(&self, field: &str) -> Result<Option<i64>, RecordProblem> {
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
                RecordProblem::of(field, Code::WrongType, detail)
            })
    }

    /// The truth value in a field; an absent field is false. A CSV cell holds `true` or `false`.
    ///
    /// # Errors
    /// `wrong_type` for any other value.
    pub fn flag(&self, field: &str) -> Result<bool, RecordProblem> {
        match (self, self.cell(field)) {
            (_, FieldValue::Absent) => Ok(false),
            (_, FieldValue::Bool(flag)) => Ok(flag),
            (Self::Row(..), FieldValue::Text(text)) if text.eq_ignore_ascii_case("true") => {
                Ok(true)
            }
            (Self::Row(..), FieldValue::Text(text)) if text.eq_ignore_ascii_case("false") => {
                Ok(false)
            }
            _ => Err(RecordProblem::of(
                field,
                Code::WrongType,
                format!("{field} is true or false"),
            )),
        }
    }
}
