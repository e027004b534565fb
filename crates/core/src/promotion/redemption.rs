//! Assignments, redemptions and rollbacks: who got an offer, who acted on it, and who took that back (rule 6).
//! What they add up to stands in `account`.

use serde::{Deserialize, Serialize};

use crate::record::{AcceptanceWindow, Problem, Record};
use crate::value::id::{
    AssignmentId, CustomerId, OrderId, PromotionId, RedemptionId, RollbackId, SegmentName, TierId,
    VoucherCode,
};
use crate::value::money::{Currency, Money};
use crate::value::time::Instant;

/// How an assignment or a redemption went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Outcome {
    #[default]
    Success,
    Failure,
}

const OUTCOMES: [(&str, Outcome); 2] =
    [("success", Outcome::Success), ("failure", Outcome::Failure)];

/// How an offer was assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum AssignedBy {
    Manual,
    #[default]
    Api,
}

/// What a record says, field by field; `None` where it says nothing. Of a field with a fixed default it always says something, and
/// of one whose default is the time of arrival only where it was told: no copy arrives when another did.
pub type Stated = Vec<(&'static str, Option<String>)>;

fn said(value: &Option<impl ToString>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

/// Who got an offer, as it was told; an assignment with a code is a publication. A time that was not told is not filled in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// One in the marketplace.
    pub assignment_id: AssignmentId,
    /// Of what.
    pub promotion_id: PromotionId,
    /// To whom.
    pub customer_id: CustomerId,
    /// Which step of a tiered promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier_id: Option<TierId>,
    /// What the customer was taken for when the offer was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<SegmentName>,
    /// The code that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher_code: Option<VoucherCode>,
    /// When; the time of arrival where it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Instant>,
    /// A failed one is no offer.
    pub result: Outcome,
    /// By hand or by a program.
    pub channel: AssignedBy,
}

impl Assignment {
    /// The fields of a record; what else it has is ignored.
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

    /// Understands a record.
    ///
    /// # Errors
    /// The first bad field, in the order of rule 6.
    pub fn read(
        record: &Record<'_>,
        acceptance_window: &AcceptanceWindow,
    ) -> Result<Self, Problem> {
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

    /// What it says, to be compared with a copy.
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

/// Who acted on an offer, as it was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redemption {
    /// One in the marketplace.
    pub redemption_id: RedemptionId,
    /// Of what.
    pub promotion_id: PromotionId,
    /// By whom.
    pub customer_id: CustomerId,
    /// With which code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher_code: Option<VoucherCode>,
    /// On which step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier_id: Option<TierId>,
    /// On which assignment; where it is not told the earliest that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignment_id: Option<AssignmentId>,
    /// For which order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<OrderId>,
    /// When; the time of arrival where it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeemed_at: Option<Instant>,
    /// Whether it went well.
    pub result: Outcome,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// What the customer got for it, of the promotion's currency where none is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward_amount: Option<Money>,
    /// The reward's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// It says of itself that it was taken back, as an export does; only a copy of one that was may say so.
    #[serde(skip)]
    pub is_rolled_back: bool,
}

/// The results that a reported redemption may have: how it went, and whether it was taken back since.
const RESULTS: [(&str, (Outcome, bool)); 3] = [
    ("success", (Outcome::Success, false)),
    ("failure", (Outcome::Failure, false)),
    ("rolled_back", (Outcome::Success, true)),
];

impl Redemption {
    /// The fields of a reported record; what else it has is ignored.
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
    /// The fields of a redeem call; what else its body has is ignored.
    pub const REDEEM_FIELDS: [&str; 7] = [
        "redemption_id",
        "customer_id",
        "tier_id",
        "assignment_id",
        "order_id",
        "reward_amount",
        "currency",
    ];

    /// Understands a reported record.
    ///
    /// # Errors
    /// The first bad field, in the order of rule 6.
    pub fn read(
        record: &Record<'_>,
        acceptance_window: &AcceptanceWindow,
    ) -> Result<Self, Problem> {
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

    /// Understands the body of a redeem call, whose promotion and code stand in the address.
    ///
    /// # Errors
    /// The first bad field.
    pub fn read_redeem(
        record: &Record<'_>,
        promotion_id: PromotionId,
        voucher_code: VoucherCode,
    ) -> Result<Self, Problem> {
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

    /// What it says, to be compared with a copy.
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

/// Taking a redemption back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// One for a redemption.
    pub rollback_id: RollbackId,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Rollback {
    /// The fields of a record; what else it has is ignored.
    pub const FIELDS: [&str; 3] = ["redemption_id", "rollback_id", "reason"];

    /// Understands a record.
    ///
    /// # Errors
    /// The bad field.
    pub fn read(record: &Record<'_>) -> Result<Self, Problem> {
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
) -> Result<Option<Instant>, Problem> {
    let at = record.instant(field)?;
    at.map_or(Ok(()), |at| acceptance_window.check(field, at))
        .map(|()| at)
}

/// What is to be known of a success: the till has honoured it, so it is taken in and marked.
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
    /// It is of a limit: it tells what was left at arrival, while the others tell what holds now.
    pub fn is_of_arrival(self) -> bool {
        matches!(
            self,
            Self::OverLimit | Self::OverCap | Self::OverBudget | Self::OverCustomerLimit
        )
    }
}

/// Why a redeem is refused: the first that holds, in this order.
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
    /// The reason as text, like `cap_reached`.
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
