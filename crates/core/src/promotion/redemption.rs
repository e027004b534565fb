//! Assignments, redemptions and rollbacks: who got an offer, who used it, and who took a use back (rule 6).
//! Module `account` says what they add up to.

use serde::{Deserialize, Serialize};

use crate::record::{AcceptanceWindow, Record, RecordProblem};
use crate::value::id::{
    AssignmentId, CustomerId, OrderId, PromotionId, RedemptionId, RollbackId, SegmentName, TierId,
    VoucherCode,
};
use crate::value::money::{Currency, Money};
use crate::value::time::Instant;

/// Whether an assignment or a redemption succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Outcome {
    #[default]
    Success,
    Failure,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 2] = [Self::Success, Self::Failure];
}

const OUTCOMES: [(&str, Outcome); 2] =
    [("success", Outcome::Success), ("failure", Outcome::Failure)];

/// Who assigned an offer: a person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum AssignedBy {
    Manual,
    #[default]
    Api,
}

impl AssignedBy {
    /// All ways to assign an offer.
    pub const ALL: [Self; 2] = [Self::Manual, Self::Api];
}

/// What a record states, field by field; `None` where it states nothing. A field with a fixed default always states a value. A
/// field whose default is the time of arrival states a value only where the sender gave one, since two copies never arrive at the
/// same time.
pub type Stated = Vec<(&'static str, Option<String>)>;

fn said(value: &Option<impl ToString>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

/// Who got an offer, as it was submitted. An assignment with a code is a publication. A time that is missing is not filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The id of the assignment, unique in the marketplace.
    pub assignment_id: AssignmentId,
    /// The promotion that is offered.
    pub promotion_id: PromotionId,
    /// The customer who got the offer.
    pub customer_id: CustomerId,
    /// The tier of a tiered promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier_id: Option<TierId>,
    /// The segment to which the customer belonged when the offer was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentName>,
    /// The voucher code that the customer was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher_code: Option<VoucherCode>,
    /// When the offer was made, in UTC; the time of arrival counts where none was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Instant>,
    /// Whether the assignment succeeded. A failed assignment is not an offer.
    pub result: Outcome,
    /// Whether a person or a program made the assignment.
    pub channel: AssignedBy,
}

impl Assignment {
    /// The fields of a submitted assignment. Any other field is ignored.
    pub const FIELDS: [&str; 9] = [
        "assignment_id",
        "promotion_id",
        "customer_id",
        "tier_id",
        "segment",
        "voucher_code",
        "assigned_at",
        "result",
        "channel",
    ];

    /// Reads a submitted assignment.
    ///
    /// # Errors
    /// The problem of the first bad field, in the order of rule 6.
    pub fn read(
        record: &Record<'_>,
        acceptance_window: &AcceptanceWindow,
    ) -> Result<Self, RecordProblem> {
        Ok(Self {
            assignment_id: record.needed_id("assignment_id", AssignmentId::new)?,
            promotion_id: record.needed_id("promotion_id", PromotionId::new)?,
            customer_id: record.needed_id("customer_id", CustomerId::new)?,
            tier_id: record.id("tier_id", TierId::new)?,
            segment: record.id("segment", SegmentName::new)?,
            voucher_code: record.id("voucher_code", VoucherCode::new)?,
            assigned_at: checked(record, "assigned_at", acceptance_window)?,
            result: record.word("result", &OUTCOMES)?.unwrap_or_default(),
            channel: record
                .word(
                    "channel",
                    &[("manual", AssignedBy::Manual), ("api", AssignedBy::Api)],
                )?
                .unwrap_or_default(),
        })
    }

    /// What the record states, to be compared with a copy.
    pub fn stated(&self) -> Stated {
        vec![
            ("promotion_id", Some(self.promotion_id.to_string())),
            ("customer_id", Some(self.customer_id.to_string())),
            ("tier_id", said(&self.tier_id)),
            ("segment", said(&self.segment)),
            ("voucher_code", said(&self.voucher_code)),
            ("assigned_at", said(&self.assigned_at)),
            ("result", Some(format!("{:?}", self.result))),
            ("channel", Some(format!("{:?}", self.channel))),
        ]
    }
}

/// Who used an offer, as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redemption {
    /// The id of the redemption, unique in the marketplace.
    pub redemption_id: RedemptionId,
    /// The promotion that was used.
    pub promotion_id: PromotionId,
    /// The customer who used it.
    pub customer_id: CustomerId,
    /// The voucher code that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher_code: Option<VoucherCode>,
    /// The tier that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier_id: Option<TierId>,
    /// The assignment that was used. Where none was submitted, it is the earliest that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment_id: Option<AssignmentId>,
    /// The order for which the promotion was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// When the promotion was used, in UTC; the time of arrival counts where none was submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeemed_at: Option<Instant>,
    /// Whether the use succeeded.
    pub result: Outcome,
    /// Why the use failed, as a code of the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// The reward that the customer got. It is in the promotion's currency where `currency` is not submitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_amount: Option<Money>,
    /// The currency of the reward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// True where the record itself says that it was rolled back, as an export does. Only a copy of a redemption that was rolled
    /// back may say so.
    #[serde(skip)]
    pub is_rolled_back: bool,
}

/// The results that a reported redemption may have: whether it succeeded, and whether it was rolled back since.
const RESULTS: [(&str, (Outcome, bool)); 3] = [
    ("success", (Outcome::Success, false)),
    ("failure", (Outcome::Failure, false)),
    ("rolled_back", (Outcome::Success, true)),
];

impl Redemption {
    /// The fields of a reported redemption. Any other field is ignored.
    pub const FIELDS: [&str; 12] = [
        "redemption_id",
        "promotion_id",
        "customer_id",
        "voucher_code",
        "tier_id",
        "assignment_id",
        "order_id",
        "redeemed_at",
        "result",
        "failure_code",
        "reward_amount",
        "currency",
    ];
    /// The fields of the body of a redeem call. Any other field is ignored.
    pub const REDEEM_FIELDS: [&str; 7] = [
        "redemption_id",
        "customer_id",
        "tier_id",
        "assignment_id",
        "order_id",
        "reward_amount",
        "currency",
    ];

    /// Reads a reported redemption.
    ///
    /// # Errors
    /// The problem of the first bad field, in the order of rule 6.
    pub fn read(
        record: &Record<'_>,
        acceptance_window: &AcceptanceWindow,
    ) -> Result<Self, RecordProblem> {
        let redemption_id = record.needed_id("redemption_id", RedemptionId::new)?;
        let promotion_id = record.needed_id("promotion_id", PromotionId::new)?;
        let customer_id = record.needed_id("customer_id", CustomerId::new)?;
        let voucher_code = record.id("voucher_code", VoucherCode::new)?;
        let tier_id = record.id("tier_id", TierId::new)?;
        let assignment_id = record.id("assignment_id", AssignmentId::new)?;
        let order_id = record.id("order_id", OrderId::new)?;
        let redeemed_at = checked(record, "redeemed_at", acceptance_window)?;
        let (result, is_rolled_back) = record.word("result", &RESULTS)?.unwrap_or_default();
        Ok(Self {
            tier_id,
            assignment_id,
            order_id,
            redeemed_at,
            result,
            is_rolled_back,
            failure_code: record.free_text("failure_code"),
            reward_amount: record.money("reward_amount")?,
            currency: record.currency("currency")?,
            redemption_id,
            promotion_id,
            customer_id,
            voucher_code,
        })
    }

    /// Reads the body of a redeem call, whose path names the promotion and the code.
    ///
    /// # Errors
    /// The problem of the first bad field.
    pub fn read_redeem(
        record: &Record<'_>,
        promotion_id: PromotionId,
        voucher_code: VoucherCode,
    ) -> Result<Self, RecordProblem> {
        Ok(Self {
            redemption_id: record.needed_id("redemption_id", RedemptionId::new)?,
            promotion_id,
            customer_id: record.needed_id("customer_id", CustomerId::new)?,
            voucher_code: Some(voucher_code),
            tier_id: record.id("tier_id", TierId::new)?,
            assignment_id: record.id("assignment_id", AssignmentId::new)?,
            order_id: record.id("order_id", OrderId::new)?,
            redeemed_at: None,
            result: Outcome::Success,
            failure_code: None,
            reward_amount: record.money("reward_amount")?,
            currency: record.currency("currency")?,
            is_rolled_back: false,
        })
    }

    /// What the record states, to be compared with a copy.
    pub fn stated(&self) -> Stated {
        vec![
            ("promotion_id", Some(self.promotion_id.to_string())),
            ("customer_id", Some(self.customer_id.to_string())),
            ("voucher_code", said(&self.voucher_code)),
            ("tier_id", said(&self.tier_id)),
            ("assignment_id", said(&self.assignment_id)),
            ("order_id", said(&self.order_id)),
            ("redeemed_at", said(&self.redeemed_at)),
            ("result", Some(format!("{:?}", self.result))),
            ("failure_code", self.failure_code.clone()),
            ("reward_amount", said(&self.reward_amount)),
            ("currency", said(&self.currency)),
        ]
    }
}

/// The rollback of a redemption, which takes it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// The id of the rollback. A redemption has at most one rollback.
    pub rollback_id: RollbackId,
    /// The reason of the rollback, for people to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Rollback {
    /// The fields of a submitted rollback. Any other field is ignored.
    pub const FIELDS: [&str; 3] = ["redemption_id", "rollback_id", "reason"];

    /// Reads a submitted rollback.
    ///
    /// # Errors
    /// The problem of the first bad field.
    pub fn read(record: &Record<'_>) -> Result<Self, RecordProblem> {
        Ok(Self {
            rollback_id: record.needed_id("rollback_id", RollbackId::new)?,
            reason: record.free_text("reason"),
        })
    }

    /// True where a copy states another reason.
    pub fn contradicts(&self, copy: &Self) -> bool {
        let both = self.reason.as_ref().zip(copy.reason.as_ref());
        both.is_some_and(|(reason, other)| reason != other)
    }
}

fn checked(
    record: &Record<'_>,
    field: &str,
    acceptance_window: &AcceptanceWindow,
) -> Result<Option<Instant>, RecordProblem> {
    let at = record.instant(field)?;
    at.map_or(Ok(()), |at| acceptance_window.check(field, at))
        .map(|()| at)
}

/// What is unusual about a successful redemption. The shop has already honoured it, so it is accepted and flagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each name is the flag itself")]
pub enum Flag {
    UnknownVoucher,
    OverLimit,
    OverCap,
    OverBudget,
    OverCustomerLimit,
    OutsideTimeframe,
    WrongCustomer,
    UnknownAssignment,
    RewardNotTold,
    OtherCurrency,
    OtherCustomersOrder,
}

impl Flag {
    /// All flags.
    pub const ALL: [Self; 11] = [
        Self::UnknownVoucher,
        Self::OverLimit,
        Self::OverCap,
        Self::OverBudget,
        Self::OverCustomerLimit,
        Self::OutsideTimeframe,
        Self::WrongCustomer,
        Self::UnknownAssignment,
        Self::RewardNotTold,
        Self::OtherCurrency,
        Self::OtherCustomersOrder,
    ];

    /// True for the flag of a limit. Such a flag says what was left at arrival, while all other flags say what holds now.
    pub fn is_of_arrival(self) -> bool {
        matches!(
            self,
            Self::OverLimit | Self::OverCap | Self::OverBudget | Self::OverCustomerLimit
        )
    }
}

/// Why a redeem is refused. Where several reasons hold, the first in this order is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each name is the reason itself")]
pub enum Refusal {
    VoucherNotFound,
    VoucherDisabled,
    WrongCustomer,
    NotStarted,
    Expired,
    CustomerLimitReached,
    LimitReached,
    CapReached,
    BudgetReached,
}

impl Refusal {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::VoucherNotFound,
        Self::VoucherDisabled,
        Self::WrongCustomer,
        Self::NotStarted,
        Self::Expired,
        Self::CustomerLimitReached,
        Self::LimitReached,
        Self::CapReached,
        Self::BudgetReached,
    ];

    /// The name of the reason as the interface spells it, like `cap_reached`.
    pub fn name(self) -> &'static str {
        match self {
            Self::VoucherNotFound => "voucher_not_found",
            Self::VoucherDisabled => "voucher_disabled",
            Self::WrongCustomer => "wrong_customer",
            Self::NotStarted => "not_started",
            Self::Expired => "expired",
            Self::CustomerLimitReached => "customer_limit_reached",
            Self::LimitReached => "limit_reached",
            Self::CapReached => "cap_reached",
            Self::BudgetReached => "budget_reached",
        }
    }
}
