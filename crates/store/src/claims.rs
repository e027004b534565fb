//! Assignments, redemptions and rollbacks come in: each in one transaction with the sums of its promotion.

use revtrail_core::record::Problem;
use revtrail_core::redemption::{Assignment, Redemption};
use revtrail_core::time::Instant;

use crate::client::StoreError;
use crate::market::Market;

/// A record that comes in.
#[derive(Debug, Clone)]
pub enum Entry {
    /// Who got an offer.
    Assigned(Assignment),
    /// Who acted on it, as reported.
    Redeemed(Redemption),
}

/// A record, and where it came from: the same record from the same place gives the same answer again, so that a batch that died
/// counts its rows as it did before.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// What came.
    pub entry: Entry,
    /// The place, like a batch and a line.
    pub source: Option<String>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// A new fact.
    Accepted,
    /// The same record was here before.
    Duplicate,
    /// A new fact that waits for its promotion.
    Quarantined,
    /// Not taken, and why: `conflict`, `before_tracking`.
    Rejected(Problem),
}

impl Market {
    /// Takes in records in their order; says of each, in the same order, what became of it.
    ///
    /// # Errors
    /// What the table answers: what is taken stays, and the same records may come again.
    pub async fn take_in(
        &self,
        _arrivals: &[Arrival],
        _now: Instant,
    ) -> Result<Vec<Taken>, StoreError> {
        Err(StoreError::Contended {
            op: "not there yet",
        })
    }
}
