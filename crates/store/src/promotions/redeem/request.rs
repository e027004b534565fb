//! What is asked of redemptions, and how it ended.

use revtrail_core::promotion::redemption::{Assignment, Redemption, Refusal, Rollback};
use revtrail_core::record::RecordProblem;
use revtrail_core::value::id::RedemptionId;

/// A record that comes in.
#[derive(Debug, Clone)]
pub enum PromotionRecord {
    /// An assignment: a customer got an offer.
    Assigned(Assignment),
    /// A redemption, as it was reported: a customer acted on an offer.
    Redeemed(Redemption),
}

/// A record, and where it came from. The same record from the same source gets the same answer again, so that a batch that died
/// counts its rows as it did before.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// The record that came in.
    pub entry: PromotionRecord,
    /// The source, like a batch and a line; `None` if the record came through a call.
    pub source: Option<String>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The record is a new fact.
    Accepted,
    /// The same record came in before.
    Duplicate,
    /// The record is a new fact that waits for its promotion.
    Quarantined,
    /// The record was not taken in, and why: `conflict`, `before_tracking`.
    Rejected(RecordProblem),
}

/// How a redeem ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// One use was taken.
    Success,
    /// No use was taken, and why.
    Refused(Refusal),
    /// There is a redemption with this id that says something else.
    Conflict,
    /// There is no such promotion.
    NoPromotion,
    /// The redeem was not taken in, and why: a reward without a currency, `before_tracking`.
    Rejected(RecordProblem),
}

/// How a rollback ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolledBack {
    /// The redemption is taken back, by this call or by the same rollback before.
    Done,
    /// There is no such redemption.
    Unknown,
    /// The redemption was no success.
    NotASuccess,
    /// Another rollback took the redemption back.
    Already,
    /// The rollback of this id, which took the redemption back, says something else.
    Conflict,
}

/// One request to be planned.
#[derive(Debug, Clone)]
pub(super) enum PromotionRequest {
    Arrival {
        arrival: Arrival,
        place: usize,
    },
    Redeem(Redemption),
    Rollback {
        redemption: RedemptionId,
        rollback: Rollback,
    },
    /// Takes in a record that waits.
    Admit {
        entry: PromotionRecord,
        place: usize,
    },
    /// The settings that hold at the redemption's time changed, so its day may change, and what its order adds.
    Redate(Redemption),
}

/// How a request ended.
#[derive(Debug, Clone)]
pub(super) enum Done {
    Taken(Taken),
    Redeemed(Redeemed),
    RolledBack(RolledBack),
}

impl PromotionRecord {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Assigned(submitted) => submitted.assignment_id.as_str(),
            Self::Redeemed(submitted) => submitted.redemption_id.as_str(),
        }
    }
}
