//! Calls with an `Idempotency-Key`: they act once, and their answer is given again for a day.

use revtrail_store::market::once::{CallRecord, Met, Once};
use revtrail_web::call::Call;
use revtrail_web::problem::Problem;

/// The code of the problem that a key was used for another call before.
pub(crate) const CONFLICT: &str = "idempotency_conflict";

/// How often a call that meets another of its name is tried again before the caller is told to try again.
const TRIES_MAX: usize = 8;

/// What is remembered of a call: by the first call of its name, or by `make`. `make` puts a new record on record, or nothing if
/// another call of this name was faster.
pub(crate) async fn only<Fut>(
    call: &Call,
    named: &Once,
    make: impl Fn(CallRecord) -> Fut,
) -> Result<CallRecord, Problem>
where
    Fut: Future<Output = Result<Option<CallRecord>, Problem>>,
{
    for _ in 0..TRIES_MAX {
        match call.app.store().met(named, call.now).await? {
            Met::Same(record) => return Ok(record),
            Met::Other => {
                let detail = "this Idempotency-Key was given to another call in the last 24 hours: give each call one of its own";
                return Err(Problem::conflict(CONFLICT, detail));
            }
            Met::New => {
                if let Some(record) = make(CallRecord::new(named, call.now)).await? {
                    return Ok(record);
                }
            }
        }
    }
    Err(Problem::busy())
}
