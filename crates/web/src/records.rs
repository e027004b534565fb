//! The answer of intake: what became of each record. How a body is cut into records stands in `body`.

use axum::response::Response;
use http::StatusCode;
use revtrail_core::record::{Problem as RecordProblem, Record};
use serde::Serialize;
use serde_json::Value;

use crate::answer::json;

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
