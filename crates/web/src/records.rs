//! Bodies that carry JSON: how they are cut into records, and the answer of intake. What a record must hold is `core`'s.

use axum::response::Response;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use revtrail_core::record::{Code, Problem as RecordProblem, Record};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::json;
use crate::problem::Problem;

/// Most records of one call.
pub const RECORDS_MAX: usize = 1000;

enum Media {
    Json,
    Lines,
}

/// The media type of a body, without its parameters, in lower case; empty where none is given.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<String, Problem> {
    if let Some(coding) = headers.get(CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Problem::media_type("bodies are taken uncompressed only"));
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(String::new());
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let name = value.split(';').next().unwrap_or_default();
    Ok(name.trim().to_ascii_lowercase())
}

fn media(headers: &HeaderMap) -> Result<Media, Problem> {
    match media_type(headers)?.as_str() {
        "" | "application/json" => Ok(Media::Json),
        "application/x-ndjson" => Ok(Media::Lines),
        _ => Err(Problem::media_type(
            "a body is application/json or application/x-ndjson",
        )),
    }
}

/// The body as text, without the byte order mark that some programs begin UTF-8 with.
fn text(body: &[u8]) -> Result<&str, Problem> {
    let text =
        std::str::from_utf8(body).map_err(|_| Problem::unreadable("the body is not UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn unreadable(error: &serde_json::Error) -> Problem {
    Problem::unreadable(format!("the body is no JSON: {error}"))
}

/// Cuts an intake body into records: each the text of a JSON object, or why it is none. A line that begins like an
/// object is passed on unread: who reads it finds out, and it is read once.
pub(crate) fn cut<'a>(
    headers: &HeaderMap,
    body: &'a [u8],
) -> Result<Vec<Result<&'a str, RecordProblem>>, Problem> {
    let media = media(headers)?;
    if let Media::Lines = media {
        return few(lines(body)?);
    }
    let text = text(body)?;
    if text.trim_ascii_start().starts_with('[') {
        let elements: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        return few(elements.into_iter().map(|raw| object(raw.get())).collect());
    }
    Ok(vec![Ok(one_object(text)?)])
}

/// The records of lines: one that is no JSON, or no UTF-8, spoils no other. Where none is UTF-8 the body is something else.
fn lines(body: &[u8]) -> Result<Records<'_>, Problem> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let lines: Vec<_> = lines
        .filter(|line| !line.is_empty())
        .map(std::str::from_utf8)
        .collect();
    if !lines.is_empty() && lines.iter().all(Result::is_err) {
        return Err(Problem::unreadable("the body is not UTF-8"));
    }
    let no_json = |detail| RecordProblem::whole(Code::NotJson, detail);
    let record = lines.into_iter().map(|line| {
        let line = line.map_err(|_| no_json("this line is not UTF-8"))?;
        if line.starts_with('{') || serde_json::from_str::<&RawValue>(line).is_ok() {
            object(line)
        } else {
            Err(no_json("this line is no JSON"))
        }
    });
    Ok(record.collect())
}

type Records<'a> = Vec<Result<&'a str, RecordProblem>>;

fn few(records: Records<'_>) -> Result<Records<'_>, Problem> {
    if records.len() > RECORDS_MAX {
        let detail = format!("{} records: a call takes at most 1,000", records.len());
        return Err(Problem::too_large(detail));
    }
    Ok(records)
}

fn object(text: &str) -> Result<&str, RecordProblem> {
    if text.starts_with('{') {
        Ok(text)
    } else {
        let detail = "a record is a JSON object";
        Err(RecordProblem::whole(Code::WrongType, detail))
    }
}

/// The one object of a body that is no intake. A single line of NDJSON is one too.
pub(crate) fn one<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<&'a str, Problem> {
    media(headers)?;
    one_object(text(body)?)
}

fn one_object(text: &str) -> Result<&str, Problem> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    if raw.get().starts_with('{') {
        Ok(raw.get())
    } else {
        Err(Problem::unreadable("the body is no JSON object"))
    }
}

/// What became of the records of one call.
#[derive(Debug, Default, Serialize)]
pub struct Intake {
    /// Taken, and durable.
    pub accepted: usize,
    /// Here before.
    pub duplicates: usize,
    /// Of those accepted the copies that changed nothing; `None` where the route knows no copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    older: Option<usize>,
    /// Waiting for their promotion; `None` where the route knows no quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<usize>,
    rejected: Vec<Rejected>,
    /// Fields that no record of this kind has, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_fields: Vec<String>,
}

/// Most ignored fields that an answer names.
const IGNORED_MAX: usize = 10;

#[derive(Debug, Serialize)]
struct Rejected {
    index: usize,
    #[serde(flatten)]
    problem: RecordProblem,
}

/// Adds the names of a record's unknown fields, each once, up to [`IGNORED_MAX`].
fn name_ignored(names: &mut Vec<String>, record: &Record<'_>, known: &[&str]) {
    for name in record.unknown_fields(known) {
        if names.len() < IGNORED_MAX && !names.contains(&name) {
            names.push(name);
        }
    }
}

/// The answer to a call of one record, with the names of what was ignored of it, if there is any.
pub fn one_answer(mut body: Value, record: &Record<'_>, known: &[&str]) -> Response {
    let mut ignored = Vec::new();
    name_ignored(&mut ignored, record, known);
    if !ignored.is_empty() {
        body["ignored_fields"] = ignored.into();
    }
    json(StatusCode::OK, &body)
}

impl Intake {
    /// For routes that know a quarantine.
    pub fn with_quarantine() -> Self {
        Self {
            quarantined: Some(0),
            ..Self::default()
        }
    }

    /// For routes that know copies, of which one stands.
    pub fn with_copies() -> Self {
        Self {
            older: Some(0),
            ..Self::default()
        }
    }

    /// Adds a copy that was taken and changed nothing, since a later one stands.
    pub fn older(&mut self) {
        self.accepted += 1;
        *self.older.get_or_insert(0) += 1;
    }

    /// Names what a record has beside the fields that are known, be the record taken or not: a slip of the pen is seen so.
    pub fn ignore(&mut self, record: &Record<'_>, known: &[&str]) {
        if self.ignored_fields.len() < IGNORED_MAX {
            name_ignored(&mut self.ignored_fields, record, known);
        }
    }

    /// Rejects the record with this place in the body, counted from 0.
    pub fn reject(&mut self, index: usize, problem: RecordProblem) {
        self.rejected.push(Rejected { index, problem });
    }

    /// Adds a record that waits for its promotion.
    pub fn quarantine(&mut self) {
        *self.quarantined.get_or_insert(0) += 1;
    }

    /// Whether this is answered 202: some record was taken or known, or there was none.
    pub fn is_taken(&self) -> bool {
        let taken = self.accepted + self.duplicates + self.quarantined.unwrap_or(0);
        taken > 0 || self.rejected.is_empty()
    }

    /// How many were rejected.
    pub fn rejected(&self) -> usize {
        self.rejected.len()
    }

    /// 202; 422 with the same body where there were records and all were rejected.
    pub fn answer(mut self) -> Response {
        self.rejected.sort_by_key(|rejected| rejected.index);
        let status = if self.is_taken() {
            StatusCode::ACCEPTED
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        };
        json(status, &self)
    }
}
