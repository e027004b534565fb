//! What is stored of promotions' records: assignments, redemptions, vouchers, and the log of changes.

use std::borrow::Cow;
use std::collections::BTreeSet;

use revtrail_core::attribution::settings::Versions;
use revtrail_core::promotion::FieldChange;
use revtrail_core::promotion::account::Use;
use revtrail_core::promotion::admission::VoucherState;
use revtrail_core::promotion::redemption::{
    Assignment, Flag, Outcome, Redemption, Refusal, Rollback, Stated,
};
use revtrail_core::record::RecordProblem;
use revtrail_core::value::id::CustomerId;
use revtrail_core::value::money::{Currency, Money};
use revtrail_core::value::time::{Day, Instant};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::table::attributes::{DATA, voucher};
use crate::table::item::Item;

/// How a redemption came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The redemption happened elsewhere and was reported.
    Reported,
    /// The redemption was asked for here.
    Redeem,
}

/// A redemption as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedemptionFact {
    /// The redemption as its sender submitted it.
    #[serde(rename = "told")]
    pub submitted: Redemption,
    /// When the redemption happened.
    pub at: Instant,
    /// When the redemption came in.
    pub arrived_at: Instant,
    /// How the redemption came in.
    pub way: Way,
    /// Why the redemption was refused; `None` if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// In the stored fact, the limits that were too low when the redemption came in (older versions stored more); in a list, all
    /// flags.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub flags: BTreeSet<Flag>,
    /// What the redemption cost: what a success took of the budget and of the result, and what its rollback gives back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<(Money, Currency)>,
    /// The rollback that took the redemption back, and when that happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<(Rollback, Instant)>,
    /// Present while the redemption waits for its promotion. If the promotion exists, this says why the redemption still waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// True if the redemption is counted but is in no promotion account, because its customer's account was full.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) loose: bool,
    /// True if the customer was erased, and a pseudonym has the redemption.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) erased: bool,
    /// The source of the redemption.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    /// The sources of the redemptions that this one replaced in quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) earlier: Vec<String>,
}

/// An assignment as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignmentFact {
    /// The assignment as its sender submitted it.
    #[serde(rename = "told")]
    pub submitted: Assignment,
    /// When the assignment happened.
    pub at: Instant,
    /// When the assignment came in.
    pub arrived_at: Instant,
    /// Present while the assignment waits for its promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
    /// True if the customer was erased, and a pseudonym has the assignment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) erased: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
    /// The sources of the assignments that this one replaced in quarantine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) earlier: Vec<String>,
}

impl AssignmentFact {
    /// What a copy is compared with. An assignment that waits counts as submitted with its time, even if that is the time of its
    /// arrival.
    pub(super) fn as_submitted(&self) -> Cow<'_, Assignment> {
        match self.waits {
            None => Cow::Borrowed(&self.submitted),
            Some(_) => Cow::Owned(Assignment {
                assigned_at: Some(self.at),
                ..self.submitted.clone()
            }),
        }
    }

    /// What the assignment states. Of a customer who was erased it states nothing.
    pub(super) fn stated(&self) -> Stated {
        unless_erased(self.as_submitted().stated(), self.erased)
    }

    /// The assignment as one of a pseudonym.
    pub(crate) fn without_person(mut self, pseudonym: &CustomerId) -> Self {
        self.submitted.customer_id = pseudonym.clone();
        self.erased = true;
        self
    }

    /// The sources of the assignment and of those that it replaced.
    pub(super) fn sources(&self) -> Vec<String> {
        self.earlier.iter().chain(&self.source).cloned().collect()
    }
}

/// The mark of a fact that waits for its promotion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// The place of the fact among the records of its call.
    pub place: usize,
    /// Why the fact is not taken in although the promotion exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<RecordProblem>,
}

impl RedemptionFact {
    /// How the redemption ended; a refusal is a failure.
    pub fn result(&self) -> Outcome {
        match self.refusal {
            Some(_) => Outcome::Failure,
            None => self.submitted.result,
        }
    }

    /// The redemption as lists and exports show it.
    pub fn shown(&self) -> Value {
        let submitted = &self.submitted;
        let refusal = self.refusal.map(|refusal| refusal.name());
        // A redemption that waits for its promotion may wait for a currency too.
        let of_reward = submitted.reward_amount.and(self.reward);
        let currency = submitted
            .currency
            .or(of_reward.map(|(_, currency)| currency));
        let costs = self.reward.filter(|_| self.result() == Outcome::Success);
        let reward = submitted.reward_amount.map(|amount| match currency {
            Some(currency) => amount.in_currency(currency),
            None => amount.to_string(),
        });
        let rolled_back = self.rolled_back.as_ref();
        let result = match rolled_back {
            Some(_) => json!("rolled_back"),
            None => json!(self.result()),
        };
        json!({
            "redemption_id": submitted.redemption_id, "promotion_id": submitted.promotion_id, "customer_id": submitted.customer_id,
            "voucher_code": submitted.voucher_code, "tier_id": submitted.tier_id, "assignment_id": submitted.assignment_id,
            "order_id": submitted.order_id, "redeemed_at": self.at, "result": result,
            "failure_code": refusal.or(submitted.failure_code.as_deref()),
            "reward_amount": reward, "currency": currency,
            "cost": costs.map(|(amount, currency)| json!({currency.code(): amount.in_currency(currency)})),
            "flags": self.flags, "rolled_back_at": rolled_back.map(|(_, at)| at),
            "rollback_id": rolled_back.map(|(rollback, _)| &rollback.rollback_id),
            "rollback_reason": rolled_back.and_then(|(rollback, _)| rollback.reason.as_ref()),
            "arrived_at": self.arrived_at,
        })
    }

    pub(super) fn new(submitted: Redemption, way: Way, now: Instant) -> Self {
        Self {
            submitted,
            at: now,
            arrived_at: now,
            way,
            refusal: None,
            flags: BTreeSet::new(),
            reward: None,
            rolled_back: None,
            waits: None,
            loose: false,
            erased: false,
            source: None,
            earlier: Vec::new(),
        }
    }

    /// What a report of the redemption would say. A refused redeem is a failure with its reason. A redemption that waits counts
    /// as submitted with its time, even if that is the time of its arrival.
    pub(super) fn as_submitted(&self) -> Cow<'_, Redemption> {
        match (self.refusal, &self.waits) {
            (None, None) => Cow::Borrowed(&self.submitted),
            (Some(refusal), _) => Cow::Owned(Redemption {
                result: Outcome::Failure,
                failure_code: Some(refusal.name().to_owned()),
                ..self.submitted.clone()
            }),
            (None, Some(_)) => Cow::Owned(Redemption {
                redeemed_at: Some(self.at),
                ..self.submitted.clone()
            }),
        }
    }

    /// What a report of the redemption would state. Of a customer who was erased it states nothing.
    pub(super) fn stated(&self) -> Stated {
        unless_erased(self.as_submitted().stated(), self.erased)
    }

    /// What a redeem of the redemption states.
    pub(super) fn stated_by_redeem(&self) -> Stated {
        unless_erased(self.submitted.stated(), self.erased)
    }

    /// The redemption as one of a pseudonym, without what people wrote about its rollback.
    pub(crate) fn without_person(mut self, pseudonym: &CustomerId) -> Self {
        self.submitted.customer_id = pseudonym.clone();
        if let Some((rollback, _)) = &mut self.rolled_back {
            rollback.reason = None;
        }
        self.erased = true;
        self
    }

    /// The sources of the redemption and of those that it replaced.
    pub(super) fn sources(&self) -> Vec<String> {
        self.earlier.iter().chain(&self.source).cloned().collect()
    }

    pub(super) fn current(&self) -> bool {
        self.result() == Outcome::Success && self.rolled_back.is_none()
    }

    pub(super) fn used(&self, versions: &Versions) -> Use {
        Use {
            redemption_id: self.submitted.redemption_id.clone(),
            at: self.at,
            day: day_of(versions, self.at),
            voucher_code: self.submitted.voucher_code.clone(),
            tier_id: self.submitted.tier_id.clone(),
            assignment_id: self.submitted.assignment_id.clone(),
            result: self.result(),
            rolled_back: self.rolled_back.is_some(),
        }
    }
}

/// A record of a customer who was erased is compared with copies by all but the customer: it is still the same record.
fn unless_erased(mut stated: Stated, erased: bool) -> Stated {
    for (_, value) in stated
        .iter_mut()
        .filter(|(field, _)| erased && *field == "customer_id")
    {
        *value = None;
    }
    stated
}

/// The local day of an instant, by the settings that were in force then.
pub(super) fn day_of(versions: &Versions, at: Instant) -> Day {
    at.day(versions.at(at).settings.timezone)
}

/// The voucher of a code, by the item where it is or would be stored. The item may have uses and assignments before the voucher
/// is made.
pub(crate) fn voucher_state(item: Option<&Item>) -> VoucherState {
    let has = |attribute| item.is_some_and(|item| item.contains_key(attribute));
    VoucherState {
        exists: has(DATA),
        disabled: has(voucher::DISABLED),
        assigned: has(voucher::ASSIGNED),
    }
}

/// A voucher as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredVoucher {
    /// How often the voucher may be used; `None` if there is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<i64>,
    pub(crate) made_at: Instant,
    /// The call that made the voucher, if that call named itself. Whoever goes on with the call recognises its own vouchers by
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) made_by: Option<String>,
}

/// The smallest limit for which a voucher's uses are spread over shards.
const SPREAD_LIMIT_MIN: i64 = 100;

impl StoredVoucher {
    /// True if the voucher's uses are spread over shards, because many customers may want it at once.
    pub(crate) fn is_spread(&self) -> bool {
        self.limit.is_none_or(|limit| limit >= SPREAD_LIMIT_MIN)
    }
}

/// A change of a promotion, as it is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedChange {
    /// When the change was made.
    pub at: Instant,
    /// The name of the key that made the change.
    pub by: String,
    /// The change itself.
    #[serde(flatten)]
    pub change: FieldChange,
}
