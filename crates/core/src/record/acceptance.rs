//! The acceptance window: which times of facts are accepted (rule 2, acceptance).

use super::problem::{Code, RecordProblem};
use crate::value::time::{DAY_MS, Instant, Retention};

/// How far ahead of the receiver's clock the time of a fact may be, in milliseconds (rule 2, acceptance).
pub const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;

/// Which times of facts are accepted: rule 2, acceptance.
#[derive(Debug, Clone, Copy)]
pub struct AcceptanceWindow {
    /// The time of the receiver's clock, in UTC.
    pub now: Instant,
    /// How long the deployment keeps facts visible.
    pub retention: Retention,
}

impl AcceptanceWindow {
    /// Accepts a time from one retention ago up to [`AHEAD_MS_MAX`] ahead of the clock, both ends included.
    ///
    /// # Errors
    /// `too_old` where the time is before the window, `in_future` where it is after it.
    pub fn check(&self, field: &str, at: Instant) -> Result<(), RecordProblem> {
        if at < self.now.minus_ms(self.retention.ms()) {
            let days = self.retention.ms() / DAY_MS;
            return Err(RecordProblem::of(
                field,
                Code::TooOld,
                format!("{field}: {at} is more than {days} days ago: facts are kept {days} days"),
            ));
        }
        self.check_ahead(field, at)
    }

    /// Accepts any time that is at most [`AHEAD_MS_MAX`] ahead of the clock.
    ///
    /// # Errors
    /// `in_future` where the time is further ahead.
    pub fn check_ahead(&self, field: &str, at: Instant) -> Result<(), RecordProblem> {
        if at > self.now.plus_ms(AHEAD_MS_MAX) {
            let detail = format!(
                "{field}: {at} is more than 10 minutes ahead of {}: check the sender's clock",
                self.now
            );
            return Err(RecordProblem::of(field, Code::InFuture, detail));
        }
        Ok(())
    }
}
