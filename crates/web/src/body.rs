//! Bodies of calls: the one reader of JSON and text. Crate `core` decides what a record must contain.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, Entry};
use revtrail_core::record::{Code, Problems, Record, RecordProblem, shown};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::call::Call;
use crate::problem::Problem;

/// The most bytes of a body. A request to Lambda holds 6 MB, in which quotes are escaped.
pub(crate) const BODY_BYTES_MAX: usize = 4 << 20;
/// The most records of one call.
pub(crate) const RECORDS_MAX: usize = 1000;

enum Media {
    Json,
    Lines,
}

/// A body as it was before its sender compressed it. The headers then say nothing of a compression any more.
///
/// # Errors
/// 415 for a coding other than gzip; 413 for a body that unpacks to more than may be sent plain, of which no more is unpacked; 400 for
/// one that is no whole gzip.
pub(crate) fn unpacked(body: Bytes, headers: &mut HeaderMap) -> Result<Bytes, Problem> {
    let coding = match headers.entry(CONTENT_ENCODING) {
        Entry::Vacant(_) => return Ok(body),
        Entry::Occupied(coding) => coding.remove_entry_mult().1.collect::<Vec<_>>(),
    };
    let is = |name: &str| {
        coding.len() == 1 && coding[0].as_bytes().eq_ignore_ascii_case(name.as_bytes())
    };
    if is("identity") {
        return Ok(body);
    }
    if !is("gzip") {
        return Err(Problem::media_type(
            "a body is plain, or its Content-Encoding is gzip",
        ));
    }
    let mut plain = Vec::new();
    let most = BODY_BYTES_MAX as u64 + 1;
    MultiGzDecoder::new(&body[..])
        .take(most)
        .read_to_end(&mut plain)
        .map_err(|error| Problem::unreadable(format!("the body is no gzip: {error}")))?;
    if plain.len() > BODY_BYTES_MAX {
        return Err(Problem::too_large(
            "a body has at most 4 MiB when it is unpacked",
        ));
    }
    Ok(plain.into())
}

/// The media type of a body, without its parameters, in lower case; empty where none is given.
fn media_type(headers: &HeaderMap) -> String {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return String::new();
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let name = value.split(';').next().unwrap_or_default();
    name.trim().to_ascii_lowercase()
}

fn media(headers: &HeaderMap) -> Result<Media, Problem> {
    match media_type(headers).as_str() {
        "" | "application/json" => Ok(Media::Json),
        "application/x-ndjson" => Ok(Media::Lines),
        _ => Err(Problem::media_type(
            "a body is application/json or application/x-ndjson",
        )),
    }
}

fn text(body: &[u8]) -> Result<&str, Problem> {
    let text =
        std::str::from_utf8(body).map_err(|_| Problem::unreadable("the body is not UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn unreadable(error: &serde_json::Error) -> Problem {
    Problem::unreadable(format!("the body is no JSON: {error}"))
}

/// The records of a body of lines. A line that is not JSON or not UTF-8 affects no other line. Where no line is UTF-8, the whole
/// body is something else and is refused.
fn lines(body: &[u8]) -> Result<BodyRecords<'_>, Problem> {
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

type BodyRecords<'a> = Vec<Result<&'a str, RecordProblem>>;

fn few(records: BodyRecords<'_>) -> Result<BodyRecords<'_>, Problem> {
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

fn one_object(text: &str) -> Result<&str, Problem> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    if raw.get().starts_with('{') {
        Ok(raw.get())
    } else {
        Err(Problem::unreadable("the body is no JSON object"))
    }
}

impl Call {
    /// The media type of the body, without parameters, in lower case; empty where none is given.
    pub fn media_type(&self) -> String {
        media_type(&self.headers)
    }

    /// The body as text, without the byte order mark that some programs put before UTF-8.
    ///
    /// # Errors
    /// 400 where the body is not UTF-8.
    pub fn text(&self) -> Result<&str, Problem> {
        text(&self.body)
    }

    /// The records of an intake body, in order. Each is the text of a JSON object for `Record::from_json`, or the problem why it
    /// is not one. A text that begins like an object is passed on without parsing, so that it is parsed only once, by its reader.
    ///
    /// # Errors
    /// 413 for too many records, 415 for another media type, 400 for a body that cannot be read. In these cases no record is
    /// accepted.
    pub fn records(&self) -> Result<Vec<Result<&str, RecordProblem>>, Problem> {
        if let Media::Lines = media(&self.headers)? {
            return few(lines(&self.body)?);
        }
        let text = self.text()?;
        if text.trim_ascii_start().starts_with('[') {
            let elements: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|error| unreadable(&error))?;
            return few(elements.into_iter().map(|raw| object(raw.get())).collect());
        }
        Ok(vec![Ok(one_object(text)?)])
    }

    /// The one JSON object of the body. A single line of NDJSON is accepted too.
    ///
    /// # Errors
    /// 415 for another media type, 400 for anything that is not a JSON object.
    pub fn json_object(&self) -> Result<&str, Problem> {
        media(&self.headers)?;
        one_object(self.text()?)
    }

    /// The one record of the body.
    ///
    /// # Errors
    /// The same as [`Call::json_object`].
    pub fn record(&self) -> Result<Record<'_>, Problem> {
        let text = self.json_object()?;
        Record::from_json(text).map_err(|bad| Problem::invalid(bad.into()))
    }

    /// The fields of the one object of the body; an empty body has none. A problem is returned for each field that is not known.
    ///
    /// # Errors
    /// The same as [`Call::json_object`].
    pub fn fields(
        &self,
        known: &[&str],
        problems: &mut Problems,
    ) -> Result<Map<String, Value>, Problem> {
        let text = match self.body.is_empty() {
            true => "{}",
            false => self.json_object()?,
        };
        let fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let detail = format!("{} is none of {}", shown(name), known.join(", "));
            problems.push(RecordProblem::of(name, Code::UnknownField, detail));
        }
        Ok(fields)
    }

    /// The body in a form in which two bodies that say the same are equal. A body that is not JSON is left as it is.
    pub(crate) fn plain_body(&self) -> Vec<u8> {
        let text = text(&self.body).unwrap_or_default();
        let text = if text.is_empty() { "{}" } else { text };
        match serde_json::from_str::<Value>(text) {
            Ok(value) => value.to_string().into_bytes(),
            Err(_) => self.body.to_vec(),
        }
    }

    /// Checks whether the body of a call can be read. A call that is refused for another reason is first refused for this one.
    ///
    /// # Errors
    /// 415 for a media type that no route takes, 400 for a body that cannot be read.
    pub(crate) fn readable(&self) -> Result<(), Problem> {
        match (self.media_type().as_str(), self.body.is_empty()) {
            (_, true) => Ok(()),
            ("text/csv", _) => self.text().map(drop),
            ("application/x-ndjson", _) => lines(&self.body).map(drop),
            _ => {
                media(&self.headers)?;
                let json: Result<&RawValue, _> = serde_json::from_str(self.text()?);
                json.map(drop).map_err(|error| unreadable(&error))
            }
        }
    }
}
