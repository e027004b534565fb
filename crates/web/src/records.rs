//! The answer of intake: what became of each record. How a body is cut into records stands in `body`.

use axum::response::Response;
use http::StatusCode;
use revtrail_core::record::Problem as RecordProblem;
use serde::Serialize;

use crate::answer::json;

/// What became of the records of one call.
#[derive(Debug, Default, Serialize)]
pub struct Intake {
    /// Taken, and durable.
    pub accepted: usize,
    /// Here before.
    pub duplicates: usize,
    /// Waiting for their promotion; `None` where the route knows no quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<usize>,
    rejected: Vec<Rejected>,
}

#[derive(Debug, Serialize)]
struct Rejected {
    index: usize,
    #[serde(flatten)]
    problem: RecordProblem,
}

impl Intake {
    /// For routes that know a quarantine.
    pub fn with_quarantine() -> Self {
        Self {
            quarantined: Some(0),
            ..Self::default()
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
