//! Which times of facts are let in (rule 2, acceptance).

use super::problem::{Code, Problem};
use crate::value::time::{DAY_MS, Instant, Retention};

/// How far ahead of the receiver's clock a fact may be, in milliseconds (rule 2, acceptance).
pub const AHEAD_MS_MAX: i64 = 10 * 60 * 1000;

/// Which times of facts are let in: rule 2, acceptance.
#[derive(Debug, Clone, Copy)]
pub struct AcceptanceWindow {
    /// The receiver's clock.
    pub now: Instant,
    /// The deployment's retention.
    pub retention: Retention,
}

impl AcceptanceWindow {
    /// Lets in what lies from the retention back to [`AHEAD_MS_MAX`] ahead, both included.
    ///
    /// # Errors
    /// `too_old`, `in_future`.
    pub fn check(&self, field: &str, at: Instant) -> Result<(), Problem> {
        if at < self.now.minus_ms(self.retention.ms()) {
            let days = self.retention.ms() / DAY_MS;
            return Err(Problem::of(
                field,
                Code::TooOld,
                format!("{field}: {at} is more than {days} days ago: facts are kept {days} days"),
            ));
        }
        self.check_ahead(field, at)
    }

    /// Lets in what lies at most [`AHEAD_MS_MAX`] ahead.
    ///
    /// # Errors
    /// `in_future`.
    pub fn check_ahead(&self, field: &str, at: Instant) -> Result<(), Problem> {
        if at > self.now.plus_ms(AHEAD_MS_MAX) {
            let detail = format!(
                "{field}: {at} is more than 10 minutes ahead of {}: check the sender's clock",
                self.now
            );
            return Err(Problem::of(field, Code::InFuture, detail));
        }
        Ok(())
    }
}
