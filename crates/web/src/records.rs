//! The answer of an intake route: what became of each record. Module `body` cuts a body into records.

use std::collections::BTreeMap;

use axum::response::Response;
use http::StatusCode;
use revtrail_core::record::{Code, Record, RecordProblem};
use serde::Serialize;
use serde_json::Value;

use crate::answer::json;
use crate::openapi::schema::{self, field, sometimes};

/// What became of the records of one call.
#[derive(Debug, Default, Serialize)]
pub struct Intake {
    /// The number of records that were accepted and stored durably.
    pub accepted: usize,
    /// The number of records that were stored before.
    pub duplicates: usize,
    /// The number of accepted copies that changed nothing; `None` on a route where records have no copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    older: Option<usize>,
    /// The number of records that wait for their promotion; `None` on a route without a quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<usize>,
    rejected: Vec<Rejected>,
    /// The number of rejected records, where not all of them are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected_total: Option<usize>,
    /// How many things in a sender's post mean nothing here, by its own words; `None` on a route of records.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<BTreeMap<String, i64>>,
    /// The names of fields that no record of this kind has.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored_fields: Vec<String>,
}

/// The most ignored fields that an answer names.
const IGNORED_MAX: usize = 10;
/// The most rejected records that the answer to a sender lists. A post may have tens of thousands of them.
const REJECTED_LISTED_MAX: usize = 100;

#[derive(Debug, Serialize)]
struct Rejected {
    index: usize,
    #[serde(flatten)]
    problem: RecordProblem,
}

/// Adds the names of a record's unknown fields, each once, up to [`IGNORED_MAX`] names.
fn name_ignored(names: &mut Vec<String>, record: &Record<'_>, known: &[&str]) {
    for name in record.unknown_fields(known) {
        if names.len() < IGNORED_MAX && !names.contains(&name) {
            names.push(name);
        }
    }
}

/// The answer to a call with one record. It names the fields that were ignored, if there are any.
pub fn one_answer(mut body: Value, record: &Record<'_>, known: &[&str]) -> Response {
    let mut ignored = Vec::new();
    name_ignored(&mut ignored, record, known);
    if !ignored.is_empty() {
        body["ignored_fields"] = ignored.into();
    }
    json(StatusCode::OK, &body)
}

impl Intake {
    /// The empty answer of a route that has a quarantine.
    pub fn with_quarantine() -> Self {
        Self {
            quarantined: Some(0),
            ..Self::default()
        }
    }

    /// The empty answer of a route where records have copies, of which one is current.
    pub fn with_copies() -> Self {
        Self {
            older: Some(0),
            ..Self::default()
        }
    }

    /// Adds a copy that was accepted and changed nothing, since a later one is current.
    pub fn older(&mut self) {
        self.accepted += 1;
        *self.older.get_or_insert(0) += 1;
    }

    /// Notes the fields of a record that are not known, whether it is accepted or not, so that the sender can see mistyped names.
    pub fn ignore(&mut self, record: &Record<'_>, known: &[&str]) {
        if self.ignored_fields.len() < IGNORED_MAX {
            name_ignored(&mut self.ignored_fields, record, known);
        }
    }

    /// Rejects the record at this index of the body, counted from 0.
    pub fn reject(&mut self, index: usize, problem: RecordProblem) {
        self.rejected.push(Rejected { index, problem });
    }

    /// Adds a record that waits for its promotion.
    pub fn quarantine(&mut self) {
        *self.quarantined.get_or_insert(0) += 1;
    }

    /// True where the call is answered 202: at least one record was accepted or known before, or the body had none.
    pub fn is_taken(&self) -> bool {
        let taken = self.accepted + self.duplicates + self.quarantined.unwrap_or(0);
        taken > 0 || self.rejected.is_empty()
    }

    /// The number of rejected records.
    pub fn rejected(&self) -> usize {
        self.rejected.len()
    }

    /// How many records were rejected, by what they were to be, which is the same for all, and the code.
    pub fn rejections(&self, of: &str) -> BTreeMap<String, i64> {
        let by_code = self.rejected_by_code(0).into_iter();
        by_code
            .map(|(code, n)| (format!("{of} {code}"), n))
            .collect()
    }

    /// How many records were rejected by each code, after so many others.
    pub fn rejected_by_code(&self, after: usize) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for rejected in self.rejected.iter().skip(after) {
            *counts.entry(rejected.problem.code.text()).or_default() += 1;
        }
        counts
    }

    /// The problem of the first record that was rejected.
    pub(crate) fn first_problem(&self) -> Option<&RecordProblem> {
        let first = self.rejected.iter().min_by_key(|rejected| rejected.index);
        first.map(|rejected| &rejected.problem)
    }

    /// The answer to a sender of webhooks: 200 whatever became of the records, since senders repeat or hold back on anything else.
    pub(crate) fn answer_to_sender(mut self, ignored: BTreeMap<String, i64>) -> Response {
        self.rejected.sort_by_key(|rejected| rejected.index);
        if self.rejected.len() > REJECTED_LISTED_MAX {
            self.rejected_total = Some(self.rejected.len());
            self.rejected.truncate(REJECTED_LISTED_MAX);
        }
        self.ignored = Some(ignored);
        json(StatusCode::OK, &self)
    }

    /// The schema of the answer.
    pub(crate) fn schema() -> Value {
        let rejected = schema::object([
            field("index", schema::count()).says("The place of the record in the body, from 0."),
            field("code", schema::words(Code::ALL)),
            field("field", schema::nullable(schema::text()))
                .says("The field that is wrong; null where it is the record."),
            field("detail", schema::text()).says("What is wrong and what to do, in a sentence."),
        ]);
        schema::object([
            field("accepted", schema::count()).says("Records that are stored durably."),
            field("duplicates", schema::count()).says("Records that were stored before."),
            sometimes("older", schema::count()).says(
                "Of orders: accepted copies that changed nothing, since a later one is current.",
            ),
            sometimes("quarantined", schema::count())
                .says("Of promotions: records that wait for their promotion."),
            sometimes("rejected_total", schema::count())
                .says("How many are rejected, where not all are listed."),
            sometimes("ignored", schema::map_of(schema::count()))
                .says("Of webhooks: what means nothing here, by the sender's words."),
            field("rejected", schema::list(rejected))
                .says("One entry a record, with its first bad field."),
            sometimes(
                "ignored_fields",
                schema::list_up_to(IGNORED_MAX, schema::text()),
            )
            .says("Names that no record of this kind has."),
        ])
    }

    /// The answer: 202, or 422 with the same body where there were records and all were rejected.
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
