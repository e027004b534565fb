//! Calls with an `Idempotency-Key`: made once, and told again for a day.

use revtrail_store::StoreError;
use revtrail_store::market::once::{Marker, Met, Once};
use revtrail_web::call::Call;
use revtrail_web::problem::Problem;

/// The code of a key that was given to another call.
pub(crate) const CONFLICT: &str = "idempotency_conflict";

/// How often a call that meets another of its name is tried again before the caller is told to.
const TRIES_MAX: usize = 8;

/// What is remembered of a call: by the first, or by `make`, which puts a new marker on record, or nothing where another call
/// of this name was faster.
pub(crate) async fn only<Fut>(
    call: &Call,
    named: &Once,
    make: impl Fn(Marker) -> Fut,
) -> Result<Marker, Problem>
where
    Fut: Future<Output = Result<Option<Marker>, StoreError>>,
{
    for _ in 0..TRIES_MAX {
        match call.app.store().met(named, call.now).await? {
            Met::Same(marker) => return Ok(marker),
            Met::Other => {
                let detail = "this Idempotency-Key was given to another call in the last 24 hours: give each call one of its own";
                return Err(Problem::conflict(CONFLICT, detail));
            }
            Met::New => {
                if let Some(marker) = make(Marker::new(named, call.now)).await? {
                    return Ok(marker);
                }
            }
        }
    }
    Err(Problem::busy())
}
